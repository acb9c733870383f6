package ingest

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/series"
)

// PointWriter is where readings go; *series.Embedded and *series.Influx are ones.
type PointWriter interface {
	Write(ctx context.Context, batch []charge.Reading) error
}

// history moves readings from the log to where the past is kept, and tells the log that they are
// safe when they are, in whichever order that comes about. While the store is away the log is the
// buffer: no more is in memory than what the writers hold and what the log has handed out.
type history struct {
	points  PointWriter
	reject  func(journal.Reject) error
	flush   time.Duration
	size    int
	writers int
	log     *slog.Logger
	metrics historyMetrics
	store   temper

	resting resting
	again   *again                                                  // nil where the store forgets nothing
	touch   func(ctx context.Context, batch []charge.Reading) error // told what was written, before it is confirmed; nil: nobody
	tally   *tally                                                  // counts messages as they come; nil: nobody does

	stored  atomic.Int64 // readings that the store has taken
	mu      sync.Mutex
	refused int       // readings refused since that was last logged
	said    time.Time // when that was
}

type historyMetrics struct {
	written    prometheus.Counter
	left       prometheus.Counter
	backfill   prometheus.Counter
	rejected   prometheus.Counter
	unreadable prometheus.Counter
	retries    prometheus.Counter
	rewound    prometheus.Counter
	away       prometheus.Gauge
	batches    prometheus.Gauge
	readings   prometheus.Gauge
	behind     prometheus.Gauge
}

func newHistory(cfg *Config, points PointWriter, reject func(journal.Reject) error, log *slog.Logger, reg prometheus.Registerer) *history {
	f := promauto.With(reg)
	return &history{
		points: points, reject: reject, flush: cfg.FlushEvery, size: cfg.FlushSize, writers: max(cfg.HistoryWriters, 1), log: log,
		resting: newResting(restingAtMost),
		metrics: historyMetrics{
			written:    f.NewCounter(prometheus.CounterOpts{Name: "ingest_history_written_total", Help: "Readings that the history has accepted."}),
			left:       f.NewCounter(prometheus.CounterOpts{Name: "ingest_history_left_total", Help: "Readings that say nothing new and are not written: heartbeats, presence, repeated idle."}),
			backfill:   f.NewCounter(prometheus.CounterOpts{Name: "ingest_history_backfill_total", Help: "Readings of a story, which are judged and not written: nobody measured them."}),
			rejected:   f.NewCounter(prometheus.CounterOpts{Name: "ingest_history_rejected_total", Help: "Readings that the history refused for their content."}),
			unreadable: f.NewCounter(prometheus.CounterOpts{Name: "ingest_history_unreadable_total", Help: "Records of the log that nobody can read; they are skipped."}),
			retries:    f.NewCounter(prometheus.CounterOpts{Name: "ingest_history_retries_total", Help: "Writes tried again because the history did not answer or said so."}),
			rewound:    f.NewCounter(prometheus.CounterOpts{Name: "ingest_history_rewound_total", Help: "Times that the log was read again from further back, as the store had been started anew."}),
			away:       f.NewGauge(prometheus.GaugeOpts{Name: "ingest_history_away", Help: "1 while the history does not take readings."}),
			batches:    f.NewGauge(prometheus.GaugeOpts{Name: "ingest_history_backlog_batches", Help: "Batches in the log that are not in the history yet."}),
			readings:   f.NewGauge(prometheus.GaugeOpts{Name: "ingest_history_backlog_readings", Help: "Readings in the log that are not in the history yet, heartbeats and the like included; of many batches by a sample."}),
			behind:     f.NewGauge(prometheus.GaugeOpts{Name: "ingest_history_backlog_seconds", Help: "Age of the oldest batch in the log that is not in the history yet, 0 where there is none."}),
		},
	}
}

// A preparer has to be set up before it is written to; *series.Influx makes its database.
type preparer interface {
	Setup(ctx context.Context) error
}

// prepare waits until the store is there and set up. It is false where ctx ended before.
func (h *history) prepare(ctx context.Context) bool {
	p, ok := h.points.(preparer)
	if !ok {
		return true
	}
	return h.persist(ctx, func(err error) {
		h.log.Warn("history cannot be set up, the log keeps readings until it can", "err", err)
	}, p.Setup)
}

// run works until ctx ends.
func (h *history) run(ctx context.Context, log *journal.Log) error {
	for h.prepare(ctx) {
		if h.again != nil {
			rewound, err := h.again.begin(ctx, log)
			if err != nil {
				return unlessEnded(ctx, err)
			}
			if rewound {
				h.metrics.rewound.Inc()
				if h.tally != nil {
					h.tally.skipTo(h.again.repeated)
				}
				h.resting = newResting(restingAtMost) // an idle may be among what was forgotten
			}
		}
		if err := h.work(ctx, log); !errors.Is(err, errStartedAnew) {
			return err
		}
	}
	return nil
}

// work writes what the log has until ctx ends, or with errStartedAnew.
func (h *history) work(ctx context.Context, log *journal.Log) error {
	durable, err := log.Durable(ctx, historyConsumer)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer durable.Stop()
	work := make(chan job)
	g, ctx := errgroup.WithContext(ctx)
	if h.again != nil {
		g.Go(func() error { return h.again.watch(ctx, log, durable, h.stored.Load) })
	}
	g.Go(func() error {
		defer close(work)
		return h.read(ctx, durable, work)
	})
	for range h.writers {
		g.Go(func() error {
			for j := range work {
				if !h.write(ctx, j.batch) {
					continue // ctx has ended, and the log keeps them
				}
				if h.touch != nil {
					if err := h.touch(ctx, j.batch); err != nil && ctx.Err() == nil {
						return fmt.Errorf("history: %w", err)
					} else if err != nil {
						continue
					}
				}
				if err := durable.Confirm(j.deliveries); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// A job is what is written together, and what of the log is safe once it is.
type job struct {
	batch      []charge.Reading
	deliveries []journal.Delivery // without their readings
}

// read hands the log's readings to the writers.
func (h *history) read(ctx context.Context, durable *journal.Durable, work chan<- job) error {
	for ctx.Err() == nil {
		deliveries, err := durable.Next(ctx, h.flush, h.size)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("history: %w", err)
		}
		if len(deliveries) == 0 {
			continue
		}
		if h.tally != nil {
			h.tally.add(deliveries)
		}
		j := job{batch: h.worthKeeping(deliveries), deliveries: deliveries}
		for i := range deliveries {
			deliveries[i].Readings = nil
		}
		select {
		case work <- j:
		case <-ctx.Done():
		}
	}
	return nil
}

// watch keeps the backlog's gauges, whether anything moves or not.
func (h *history) watch(ctx context.Context, log *journal.Log) error {
	durable, err := log.Peek(ctx, historyConsumer)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	ticks := time.NewTicker(watchEvery)
	defer ticks.Stop()
	for {
		h.look(ctx, durable)
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

func (h *history) look(ctx context.Context, durable *journal.Durable) {
	b, err := durable.Backlog(ctx)
	if err != nil {
		return // the log is away, and says so elsewhere
	}
	h.metrics.batches.Set(float64(b.Batches))
	h.metrics.readings.Set(float64(b.Readings))
	behind := 0.0
	if !b.Oldest.IsZero() {
		behind = max(0, time.Since(b.Oldest).Seconds())
	}
	h.metrics.behind.Set(behind)
}

// historyConsumer is the name under which the log remembers how far history has come.
const historyConsumer = "history"

const (
	firstRetry = 100 * time.Millisecond
	mostRetry  = 10 * time.Second
	watchEvery = 5 * time.Second
	sayEvery   = time.Minute
)

// write writes a batch, again and again until the store has taken or refused it. It is false where
// ctx ended before.
func (h *history) write(ctx context.Context, batch []charge.Reading) bool {
	if len(batch) == 0 {
		return ctx.Err() == nil
	}
	return h.persist(ctx, func(err error) {
		h.log.Warn("history does not take readings, the log keeps them", "readings", len(batch), "err", err)
	}, func(ctx context.Context) error {
		err := h.points.Write(ctx, batch)
		if rejected, ok := errors.AsType[*series.RejectedError](err); ok {
			h.tell(batch, rejected)
			h.metrics.rejected.Add(float64(rejected.Dropped))
			h.took(len(batch) - rejected.Dropped)
			return nil
		}
		if err == nil {
			h.took(len(batch))
		}
		return err
	})
}

func (h *history) took(readings int) {
	h.stored.Add(int64(readings))
	h.metrics.written.Add(float64(readings))
}

// persist does what the store has to take part in until it succeeds, with pauses that double and as
// long as the store asks for. It is false where ctx ended before.
func (h *history) persist(ctx context.Context, lament func(error), do func(context.Context) error) bool {
	wait := firstRetry
	for {
		if !h.store.obey(ctx) {
			return false
		}
		begun := time.Now()
		err := do(ctx)
		if err == nil {
			if h.store.took(begun) {
				h.metrics.away.Set(0)
				h.log.Info("history takes readings again")
			}
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		h.metrics.retries.Inc()
		var retry *series.RetryError
		var until time.Time
		if errors.As(err, &retry) && retry.After > 0 {
			until = time.Now().Add(retry.After)
		}
		first, back := h.store.failed(time.Now(), until)
		if first {
			h.metrics.away.Set(1)
			lament(err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait/2 + time.Duration(rand.Int64N(int64(wait)))): //nolint:gosec // jitter
			wait = min(2*wait, mostRetry)
		case <-back:
			wait = firstRetry
		}
	}
}

// A temper is how the store is, to all writers together: it takes readings, or does not since a
// time. Its zero value takes them. It is safe for concurrent use.
type temper struct {
	mu    sync.Mutex
	away  time.Time     // since when; zero while it takes readings
	until time.Time     // it asks to be left alone
	back  chan struct{} // closed when it takes readings again
}

// obey waits for as long as the store asks to be left alone. It is false where ctx ended before.
func (t *temper) obey(ctx context.Context) bool {
	for {
		t.mu.Lock()
		left := time.Until(t.until)
		t.mu.Unlock()
		if left <= 0 {
			return ctx.Err() == nil
		}
		if !wait(ctx, left) {
			return false
		}
	}
}

// failed notes a failure. It tells whether that is news, and when to try again early.
func (t *temper) failed(now, until time.Time) (first bool, back <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if first = t.away.IsZero(); first {
		t.away, t.back = now, make(chan struct{})
	}
	if until.After(t.until) {
		t.until = until
	}
	return first, t.back
}

// took notes that the store took what it was asked at begun, and tells whether that is news. What
// it was asked before it went away is not.
func (t *temper) took(begun time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away.IsZero() || begun.Before(t.away) {
		return false
	}
	t.away = time.Time{}
	close(t.back)
	return true
}

// reasonRefused is the reason of a reject that the store of history gave.
const reasonRefused = "history_refused"

const (
	recordsAtMost = 50 // rejects recorded of one batch; the others are counted in one more
	sampleBytes   = 512
	detailBytes   = 1024
)

// tell records what the store refused, in its own words, with the other rejects.
func (h *history) tell(batch []charge.Reading, e *series.RejectedError) {
	now := time.Now().UTC()
	type kind struct {
		key    charge.ConnectorKey
		kind   charge.Kind
		reason string
	}
	records := make(map[kind]*journal.Reject)
	rest := journal.Reject{At: now, Reason: reasonRefused, Topic: "-", Count: e.Dropped}
	if n := len(e.Reasons); n > 0 {
		rest.Detail = clip(e.Reasons[n-1], detailBytes)
	}
	for n, i := range e.Points {
		r, reason := &batch[i], ""
		if n < len(e.Reasons) {
			reason = e.Reasons[n]
		}
		k := kind{charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}, r.Kind, withoutNumbers(reason)}
		if records[k] == nil {
			if len(records) >= recordsAtMost {
				continue
			}
			records[k] = &journal.Reject{
				At: now, Operator: string(r.Pile.Operator), Pile: r.Pile.Equipment, Conn: string(r.Connector), Kind: r.Kind.String(),
				Topic:  fmt.Sprintf("evcs/v1/%s/%s/%s", r.Pile.Operator, r.Pile.Equipment, r.Kind),
				Reason: reasonRefused, Detail: clip(reason, detailBytes), Sample: clip(series.Line(r), sampleBytes),
			}
		}
		records[k].Count++
		rest.Count--
	}
	var failed error
	for _, r := range records {
		failed = errors.Join(failed, h.reject(*r))
	}
	if rest.Count > 0 {
		failed = errors.Join(failed, h.reject(rest))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refused += e.Dropped; now.Sub(h.said) >= sayEvery || failed != nil {
		h.log.Warn("history refuses readings for their content, the rejects have them", "readings", h.refused, "err", errors.Join(e, failed))
		h.refused, h.said = 0, now
	}
}

// withoutNumbers is a reason without what differs from line to line, such as times.
func withoutNumbers(reason string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, reason)
}

// clip cuts a text to at most so many bytes, between two characters.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// worthKeeping leaves out what says nothing new (design: "History"): heartbeats and presence,
// statuses taken at our clock, and of repeated idle all but the first of each hour.
func (h *history) worthKeeping(deliveries []journal.Delivery) []charge.Reading {
	n := 0
	for _, d := range deliveries {
		if !d.Backfill {
			n += len(d.Readings)
		}
	}
	batch := make([]charge.Reading, 0, n)
	for _, d := range deliveries {
		if d.Err != nil {
			h.metrics.unreadable.Inc()
			h.log.Error("skip a message of the log that nobody can read", "offset", d.Seq, "err", d.Err)
		}
		if d.Backfill {
			h.metrics.backfill.Add(float64(len(d.Readings)))
			continue
		}
		for i := range d.Readings {
			if r := &d.Readings[i]; h.says(r) {
				batch = append(batch, *r)
			} else {
				h.metrics.left.Inc()
			}
		}
	}
	return batch
}

func (h *history) says(r *charge.Reading) bool {
	if r.Tells(charge.ClockWrong) {
		return false
	}
	key := charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}
	switch r.Kind {
	case charge.KindStatus, charge.KindTelemetry:
		if r.Tells(charge.HasStatus) && r.Status != charge.Idle {
			h.resting.wake(key)
		}
		if r.Kind == charge.KindTelemetry || r.Status != charge.Idle {
			return true
		}
		return h.resting.rest(key, r.At)
	case charge.KindOrder, charge.KindAlarm:
		return true
	}
	return false
}

// resting knows of each connector whose last status is idle the newest hour in which that was
// written. Of a connector it keeps 12 bytes, a hash and the hour: two of a province's connectors
// with one hash (one in a million provinces) would share their idle rows.
type resting struct {
	seed maphash.Seed
	most int
	hour map[uint64]uint32
}

// restingAtMost is more than the province of 2025 has connectors. Beyond it all is forgotten, and
// the next idle of each is written again.
const restingAtMost = 4_000_000

func newResting(most int) resting {
	return resting{maphash.MakeSeed(), most, make(map[uint64]uint32)}
}

func (s *resting) wake(key charge.ConnectorKey) { delete(s.hour, maphash.Comparable(s.seed, key)) }

// rest notes an idle, and tells whether it is the first of its hour or after another status.
func (s *resting) rest(key charge.ConnectorKey, at time.Time) bool {
	hash, hour := maphash.Comparable(s.seed, key), uint32(max(0, at.Unix()/3600)) //nolint:gosec // until the year 491936
	last, rests := s.hour[hash]
	if rests && hour == last {
		return false
	}
	if !rests && len(s.hour) >= s.most {
		clear(s.hour)
	}
	if !rests || hour > last { // a late one does not make the present hour's be written again
		s.hour[hash] = hour
	}
	return true
}
