package journal

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"pilewatch/internal/charge"
)

// Limits of a Writer. 5 ms or 500 readings amortise one disk sync (0.2 ms measured) over a batch
// while a sender waits for at most about 10 ms. One flush is under way at a time: what comes
// meanwhile is the next one, so that a slow disk makes larger batches, not more of them.
const (
	flushEvery          = 5 * time.Millisecond
	flushReadings       = 500
	flushesTold         = 4 // stored, their senders not told yet
	maxMessageBytes     = 512 << 10
	maxPublishesPending = 1024
	publishTimeout      = 10 * time.Second
	waitingBytes        = 64 << 20 // of readings accepted and not yet stored; beyond it Append waits
	tickEvery           = 10 * time.Second
	retryFirst          = 50 * time.Millisecond
	retryMost           = 2 * time.Second
	drainFor            = 3 * time.Second // after the end, for a log that is slow
)

// A Placed reading knows its partition.
type Placed struct {
	Partition int
	Reading   charge.Reading
}

// A Writer gathers readings of all senders into batches and stores them, in order within a
// partition. It does not give up: while the log is full or away it holds what it has and
// Append waits, so that senders wait too, memory stays bounded, and all goes on by itself.
type Writer struct {
	log     *Log
	slog    *slog.Logger
	room    *semaphore.Weighted
	most    int64 // bytes of room
	disk    disk
	metrics writerMetrics
	encoded sync.Pool // of *[]byte

	mu   sync.Mutex
	next *flush        // gathering
	full chan struct{} // told when next has flushReadings
	tell chan struct{} // told when a tick is wanted
}

// flush is what goes to the log together.
type flush struct {
	messages [][][]byte // by partition
	readings int
	bytes    int64
	begun    time.Time
	stored   []func()
}

type writerMetrics struct {
	readings prometheus.Counter
	messages prometheus.Counter
	waiting  prometheus.Gauge
	refused  prometheus.Counter
	away     prometheus.Gauge
	free     prometheus.Gauge
	low      prometheus.Gauge
	seconds  prometheus.Histogram
}

// NewWriter makes a writer; Run stores what Append gathers.
func (l *Log) NewWriter(log *slog.Logger, reg prometheus.Registerer) *Writer {
	f := promauto.With(reg)
	d := disk{keepFree: keepFree, every: lookAtDisk}
	if l.dir != "" {
		d.free = diskOf(l.dir)
	}
	return &Writer{
		log: l, slog: log, disk: d,
		room: semaphore.NewWeighted(waitingBytes), most: waitingBytes,
		full: make(chan struct{}, 1), tell: make(chan struct{}, 1),
		metrics: writerMetrics{
			readings: f.NewCounter(prometheus.CounterOpts{Name: "gateway_log_readings_total", Help: "Readings stored in the log."}),
			messages: f.NewCounter(prometheus.CounterOpts{Name: "gateway_log_messages_total", Help: "Batches stored in the log."}),
			waiting:  f.NewGauge(prometheus.GaugeOpts{Name: "gateway_log_waiting_bytes", Help: "Bytes accepted and not yet stored in the log."}),
			refused:  f.NewCounter(prometheus.CounterOpts{Name: "gateway_log_refused_total", Help: "Attempts to store a batch that the log refused; each is tried again."}),
			away:     f.NewGauge(prometheus.GaugeOpts{Name: "gateway_log_away", Help: "1 while the log refuses or does not answer."}),
			free:     f.NewGauge(prometheus.GaugeOpts{Name: "gateway_log_disk_free_bytes", Help: "Free space of the embedded log's disk; 0 where the log is elsewhere."}),
			low:      f.NewGauge(prometheus.GaugeOpts{Name: "gateway_log_disk_low", Help: "1 while the embedded log's disk is too full to acknowledge anything."}),
			seconds: f.NewHistogram(prometheus.HistogramOpts{
				Name: "gateway_log_store_seconds", Help: "From the first reading of a batch to its storage on disk.",
				Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
			}),
		},
	}
}

// Bound sets how many bytes may be accepted and not yet stored, 64 MiB without it. It is called
// before Run and Append.
func (w *Writer) Bound(bytes int64) { w.room, w.most = semaphore.NewWeighted(bytes), bytes }

// Append takes the readings of one message and returns; stored is called, from another
// goroutine, when all of them are on disk. It waits while too much waits already, and fails
// only when ctx ends.
func (w *Writer) Append(ctx context.Context, readings []Placed, stored func()) error {
	buffer, _ := w.encoded.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	defer w.encoded.Put(buffer)
	encoded := (*buffer)[:0]
	ends := make([]int, len(readings))
	for i := range readings {
		encoded = appendReading(encoded, &readings[i].Reading)
		ends[i] = len(encoded)
	}
	if len(readings) == 1 { // what a platform sends at once would be kept for single readings
		*buffer = encoded
	}
	weight := min(int64(len(encoded)), w.most)
	if err := w.room.Acquire(ctx, weight); err != nil {
		return err
	}
	w.metrics.waiting.Add(float64(weight))

	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil {
		w.next = &flush{messages: make([][][]byte, w.log.partitions), begun: time.Now()}
	}
	f := w.next
	start := 0
	for i, end := range ends {
		f.add(readings[i].Partition, encoded[start:end]) //nolint:gosec // ends has one for each reading
		start = end
	}
	f.readings += len(readings)
	f.bytes += weight
	f.stored = append(f.stored, stored)
	if f.readings >= flushReadings || len(f.stored) == 1 {
		select {
		case w.full <- struct{}{}:
		default:
		}
	}
	return nil
}

func (f *flush) add(partition int, record []byte) {
	messages := f.messages[partition]
	last := len(messages) - 1
	if last < 0 || len(messages[last])+len(record) > maxMessageBytes {
		messages = append(messages, appendHeader(make([]byte, 0, 1024), f.begun))
		last++
	}
	messages[last] = append(messages[last], record...)
	f.messages[partition] = messages
}

// Run stores what Append gathers, and a tick into every partition every 10 s, until ctx ends;
// then it stores what it still holds, as long as the log answers.
func (w *Writer) Run(ctx context.Context) error {
	drain, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(drainFor, cancel) })

	stored := make(chan *flush, flushesTold)
	var told sync.WaitGroup
	told.Go(func() {
		for f := range stored {
			for _, tell := range f.stored {
				tell()
			}
		}
	})
	defer told.Wait()
	defer close(stored)
	store := func(f *flush) {
		if f != nil && w.store(drain, f) {
			stored <- f
		}
	}

	ticks := time.NewTicker(tickEvery)
	defer ticks.Stop()
	again := time.NewTicker(w.disk.every)
	defer again.Stop()
	w.look()
	told.Go(func() { w.watch(ctx) }) // by itself: also while the log refuses
	if !w.log.diskLow.Load() {
		store(w.tick())
	}
	for {
		due, full, soon := ticks.C, w.full, w.tell
		if w.log.diskLow.Load() {
			due, full, soon = nil, nil, nil // nobody can be heard, and so no time passes for those who judge
		}
		select {
		case <-ctx.Done():
			if w.log.diskLow.Load() {
				return nil // senders keep what was not stored
			}
			store(w.take())
			return nil
		case <-again.C:
		case <-due:
			store(w.tick())
		case <-soon:
			store(w.tick())
		case <-full:
			store(w.gather(ctx))
		}
	}
}

// gather waits until the flush that has begun is full or 5 ms old.
func (w *Writer) gather(ctx context.Context) *flush {
	w.mu.Lock()
	if w.next == nil {
		w.mu.Unlock()
		return nil
	}
	age := time.NewTimer(time.Until(w.next.begun.Add(flushEvery)))
	w.mu.Unlock()
	defer age.Stop()
	for {
		w.mu.Lock()
		ready := w.next.readings >= flushReadings // only take sets next to nil
		w.mu.Unlock()
		if ready {
			return w.take()
		}
		select {
		case <-ctx.Done():
			return w.take()
		case <-age.C:
			return w.take()
		case <-w.full:
		}
	}
}

func (w *Writer) take() *flush {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.next
	w.next = nil
	return f
}

// Tick lets Run store a tick at once, beside those of every 10 s.
func (w *Writer) Tick() {
	select {
	case w.tell <- struct{}{}:
	default: // one is wanted already
	}
}

// tick is a flush of a record without readings for each partition.
func (w *Writer) tick() *flush {
	now := time.Now()
	f := &flush{messages: make([][][]byte, w.log.partitions), begun: now}
	for p := range f.messages {
		f.messages[p] = [][]byte{appendHeader(nil, now)}
	}
	return f
}

// A message is on its way to the log.
type message struct {
	nats.Msg
	ack jetstream.PubAckFuture
	err error
}

// store returns true when every message of the flush is on disk; false when the writer is
// stopping and the log does not answer: then nobody is told, so that senders keep what they sent.
// A partition's messages go one after the other, each when the one before is stored, since one
// that the log refuses must not be overtaken.
func (w *Writer) store(ctx context.Context, f *flush) bool {
	for round := 0; ; round++ {
		var sent []*message
		for partition, messages := range f.messages {
			if round < len(messages) {
				m := &message{Msg: nats.Msg{Subject: readingsSubject(partition), Data: messages[round]}}
				if f.readings > 0 {
					var span trace.Span
					m.Header, span = w.log.storing(ctx, m.Subject, len(m.Data), f.begun)
					defer span.End()
				}
				sent = append(sent, m)
			}
		}
		if len(sent) == 0 {
			break
		}
		if !w.storeAll(ctx, sent) {
			return false
		}
		w.metrics.messages.Add(float64(len(sent)))
	}
	w.metrics.readings.Add(float64(f.readings))
	if f.readings > 0 {
		w.metrics.seconds.Observe(time.Since(f.begun).Seconds())
	}
	w.room.Release(f.bytes)
	w.metrics.waiting.Sub(float64(f.bytes))
	return true
}

// storeAll sends messages, one a partition, until the log has taken all of them.
func (w *Writer) storeAll(ctx context.Context, waiting []*message) bool {
	wait := retryFirst
	for refused := false; ; refused = true {
		if ctx.Err() != nil {
			return false
		}
		for _, m := range waiting {
			m.ack, m.err = w.log.js.PublishMsgAsync(&m.Msg)
		}
		var again []*message
		var why error
		for _, m := range waiting {
			if m.err == nil {
				select {
				case <-m.ack.Ok():
					continue
				case m.err = <-m.ack.Err():
				case <-ctx.Done():
					return false
				}
			}
			again, why = append(again, m), m.err
			w.metrics.refused.Inc()
		}
		if len(again) == 0 {
			if refused {
				w.metrics.away.Set(0)
				w.slog.Info("log takes readings again")
			}
			return true
		}
		if !refused {
			w.metrics.away.Set(1)
			w.slog.Warn("log refuses readings, acknowledgements wait", "err", why)
		}
		waiting = again
		for waited := false; !waited || w.log.diskLow.Load(); waited = true {
			select {
			case <-ctx.Done():
				return false
			case <-time.After(wait):
			}
		}
		wait = min(2*wait, retryMost)
	}
}
