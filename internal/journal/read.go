package journal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"
)

// FollowPartition calls fn with every batch of a partition in order, from sequence from on
// (0 or 1: from the beginning), until ctx ends or fn fails. pending is how many batches of the
// partition wait behind this one. It keeps no position of its own: the caller's checkpoint is
// the position.
func (l *Log) FollowPartition(ctx context.Context, partition int, from uint64, fn func(b Batch, pending uint64) error) error {
	cfg := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{readingsSubject(partition)},
		DeliverPolicy:  jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:    max(from, 1),
	}
	return l.follow(ctx, readingsStream, cfg, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		b, err := l.decoded.decode(meta.Sequence.Stream, m.Data())
		if newer := newerRecord(0); errors.As(err, &newer) {
			return fmt.Errorf("read message %d of the log: %w", meta.Sequence.Stream, err)
		}
		if err != nil { // whoever waits for it to be mended would wait for ever, and all behind it too
			l.log.Error("skip a message of the log that nobody can read", "offset", meta.Sequence.Stream, "err", err)
			return nil
		}
		return fn(b, meta.NumPending)
	})
}

func (l *Log) follow(ctx context.Context, stream string, cfg jetstream.OrderedConsumerConfig, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	consumer, err := l.js.OrderedConsumer(ctx, stream, cfg)
	if err != nil {
		return fmt.Errorf("follow stream %s: %w", stream, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("follow stream %s: %w", stream, err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow stream %s: %w", stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("follow stream %s: %w", stream, err)
		}
		if err := fn(m, meta); err != nil {
			return err
		}
	}
}

// A Delivery is a batch that a durable consumer has to confirm. Where Err is set, nobody can read the
// record: it has no readings, and all that can be done is to confirm it.
type Delivery struct {
	Batch
	Err error
}

// A Durable is a named consumer of READINGS that remembers, in the log, what it has confirmed.
// Several processes may share one. What it has been given it holds until it is confirmed, however
// long that takes: the log delivers again only what a process left behind. Its methods are safe for
// concurrent use.
type Durable struct {
	log      *Log
	consumer jetstream.Consumer
	name     string

	messages jetstream.MessagesContext // nil for one that only looks, as what follows
	given    chan uint64               // sequences, in the order of their delivery
	stopped  chan struct{}             // closed by Stop
	stopping sync.Once
	ended    sync.WaitGroup
	failed   error // why nothing more is given; read after given is closed

	mu      sync.Mutex
	pending map[uint64]jetstream.Msg // delivered and not confirmed
	spans   map[uint64]trace.Span    // of those among them that are traced
}

const (
	confirmWithin = 15 * time.Second
	holdsWithin   = 3    // times in which what is under way is held before the log would deliver it again
	mostUnderWay  = 1024 // batches delivered and not yet confirmed
)

// Durable opens the consumer of that name over all partitions, at the log's first message when it
// is new. It takes what Next will give as soon as the log has it, within mostUnderWay.
func (l *Log) Durable(ctx context.Context, name string) (*Durable, error) {
	return l.durable(ctx, name, confirmWithin)
}

func (l *Log) durable(ctx context.Context, name string, patience time.Duration) (*Durable, error) {
	d, err := l.peek(ctx, name, patience)
	if err != nil {
		return nil, err
	}
	d.messages, err = d.consumer.Messages(jetstream.PullMaxMessages(mostUnderWay/2), jetstream.WithMessagesErrOnMissingHeartbeat(false))
	if err != nil {
		return nil, fmt.Errorf("open consumer %s of the log: %w", name, err)
	}
	d.given, d.stopped, d.pending = make(chan uint64, 2*mostUnderWay), make(chan struct{}), make(map[uint64]jetstream.Msg)
	d.spans = make(map[uint64]trace.Span)
	d.ended.Add(2)
	go d.receive()
	go d.hold(patience / holdsWithin)
	return d, nil
}

// receive takes what the log delivers. What is delivered again while it is being worked on is not
// given a second time.
func (d *Durable) receive() {
	defer d.ended.Done()
	defer close(d.given)
	for {
		m, err := d.messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return
		}
		if err != nil {
			d.failed = err
			return
		}
		meta, err := m.Metadata()
		if err != nil {
			d.failed = err
			return
		}
		seq := meta.Sequence.Stream
		d.mu.Lock()
		_, again := d.pending[seq]
		d.pending[seq] = m
		d.mu.Unlock()
		if !again {
			d.given <- seq // has room for all that may be under way
		}
	}
}

// hold tells the log that what was delivered is still being worked on.
func (d *Durable) hold(every time.Duration) {
	defer d.ended.Done()
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-d.stopped:
			return
		case <-ticks.C:
			d.mu.Lock()
			for _, m := range d.pending {
				_ = m.InProgress() // a connection that is down delivers again
			}
			d.mu.Unlock()
		}
	}
}

// Peek opens an existing consumer without taking anything from it, for Backlog.
func (l *Log) Peek(ctx context.Context, name string) (*Durable, error) {
	return l.peek(ctx, name, confirmWithin)
}

func (l *Log) peek(ctx context.Context, name string, patience time.Duration) (*Durable, error) {
	consumer, err := whileAway(ctx, func() (jetstream.Consumer, error) {
		return l.js.CreateOrUpdateConsumer(ctx, readingsStream, jetstream.ConsumerConfig{
			Durable: name, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
			AckWait: patience, MaxAckPending: mostUnderWay,
		})
	})
	if err != nil {
		return nil, fmt.Errorf("open consumer %s of the log: %w", name, err)
	}
	return &Durable{log: l, consumer: consumer, name: name}, nil
}

// Rewind lets a consumer begin again behind sequence after, whatever it has confirmed. Nobody may be
// taking from it meanwhile. It needs nats-server 2.14 or later, as the embedded log is.
func (l *Log) Rewind(ctx context.Context, name string, after uint64) error {
	if _, err := l.js.ResetConsumerToSequence(ctx, readingsStream, name, after+1); err != nil {
		return fmt.Errorf("wind consumer %s of the log back behind %d: %w", name, after, err)
	}
	return nil
}

// Next waits for a batch, then gathers more for at most wait or until there are readings in hand.
// After ctx has ended it gives nothing and no error. A record that nobody can read comes as a
// Delivery with Err; one of a later version of this program is an error, and stays in the log.
func (d *Durable) Next(ctx context.Context, wait time.Duration, readings int) ([]Delivery, error) {
	var got []Delivery
	var waited <-chan time.Time
	for n := 0; n < readings; {
		select {
		case <-ctx.Done():
			return got, nil
		case <-waited:
			return got, nil
		case seq, ok := <-d.given:
			if !ok {
				return got, fmt.Errorf("read the log as %s: %w", d.name, cmp.Or(d.failed, errStopped))
			}
			v, err := d.delivery(seq)
			if err != nil {
				return got, err
			}
			if got = append(got, v); len(got) == 1 {
				timer := time.NewTimer(wait)
				defer timer.Stop()
				waited = timer.C
			}
			n += len(v.Readings)
		}
	}
	return got, nil
}

func (d *Durable) delivery(seq uint64) (Delivery, error) {
	d.mu.Lock()
	m := d.pending[seq]
	if span := d.log.working(d.name, m.Subject(), m.Headers(), seq); span != nil {
		d.spans[seq] = span
	}
	d.mu.Unlock()
	b, err := d.log.decoded.decode(seq, m.Data())
	if newer := newerRecord(0); errors.As(err, &newer) {
		return Delivery{}, fmt.Errorf("read message %d of the log: %w", seq, err)
	}
	b.Seq = seq
	return Delivery{Batch: b, Err: err}, nil
}

// Confirm tells the log that the batches are safe where they were written.
func (d *Durable) Confirm(deliveries []Delivery) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range deliveries {
		m, ok := d.pending[v.Seq]
		if !ok {
			continue
		}
		if err := m.Ack(); err != nil {
			return fmt.Errorf("confirm message %d of the log as %s: %w", v.Seq, d.name, err)
		}
		delete(d.pending, v.Seq)
		if span, ok := d.spans[v.Seq]; ok {
			span.End()
			delete(d.spans, v.Seq)
		}
	}
	return nil
}

// A Backlog is what a consumer has not confirmed.
type Backlog struct {
	Batches   uint64
	Readings  uint64    // exact for a few batches, beyond that by a sample of them
	Oldest    time.Time // log time of the first of them; zero where there is none
	Confirmed uint64    // the sequence up to which everything is
}

// backlogSample is how many batches are looked at to know how many readings wait.
const backlogSample = 16

// Backlog tells what the consumer has not confirmed.
func (d *Durable) Backlog(ctx context.Context) (Backlog, error) {
	info, err := whileAway(ctx, func() (*jetstream.ConsumerInfo, error) { return d.consumer.Info(ctx) })
	if err != nil {
		return Backlog{}, fmt.Errorf("ask for the backlog of %s: %w", d.name, err)
	}
	b := Backlog{Batches: info.NumPending + uint64(info.NumAckPending), Confirmed: info.AckFloor.Stream} //nolint:gosec // never negative
	if b.Batches == 0 {
		return b, nil
	}
	stream, err := d.log.js.Stream(ctx, readingsStream)
	if err != nil {
		return b, fmt.Errorf("look at the backlog of %s: %w", d.name, err)
	}
	state := stream.CachedInfo().State
	from := max(b.Confirmed+1, state.FirstSeq)
	step := max(1, (state.LastSeq+1-min(from, state.LastSeq))/backlogSample)
	var seen, readings uint64
	for seq := from; seq <= state.LastSeq && seen < 2*backlogSample; seq += step {
		m, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return b, fmt.Errorf("look at the backlog of %s: %w", d.name, err)
		}
		seen++
		if b.Oldest.IsZero() {
			b.Oldest = m.Time
		}
		if batch, err := decodeBatch(m.Data); err == nil {
			readings += uint64(len(batch.Readings))
		}
	}
	if seen > 0 {
		b.Readings = uint64(float64(readings)/float64(seen)*float64(b.Batches) + 0.5)
	}
	return b, nil
}

// Stop ends the delivery and hands what is not confirmed back to the log, which gives it to the
// next at once.
func (d *Durable) Stop() {
	d.stopping.Do(func() {
		close(d.stopped)
		d.messages.Drain()
		hurry := time.AfterFunc(stopWithin, d.messages.Stop) // where the log is away
		d.ended.Wait()
		hurry.Stop()
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, m := range d.pending {
			_ = m.Nak() // where it does not arrive, the log waits confirmWithin
		}
		clear(d.pending)
		for _, span := range d.spans {
			dropped(span)
		}
		clear(d.spans)
		_ = d.log.conn.FlushTimeout(stopWithin)
	})
}

const stopWithin = 2 * time.Second

var errStopped = errors.New("stopped")

// Span tells the first and the last sequence of READINGS and its size in bytes.
func (l *Log) Span(ctx context.Context) (first, last, bytes uint64, err error) {
	stream, err := l.js.Stream(ctx, readingsStream)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("ask for the log's span: %w", err)
	}
	state := stream.CachedInfo().State
	return state.FirstSeq, state.LastSeq, state.Bytes, nil
}

// MaxBytes tells how much READINGS may hold before it refuses; -1 is without a limit.
func (l *Log) MaxBytes(ctx context.Context) (int64, error) {
	stream, err := l.js.Stream(ctx, readingsStream)
	if err != nil {
		return 0, fmt.Errorf("ask for the log's limit: %w", err)
	}
	return stream.CachedInfo().Config.MaxBytes, nil
}

// Clock tells the time of the machine that the log is on.
func (l *Log) Clock(ctx context.Context) (time.Time, error) {
	stream, err := l.js.Stream(ctx, readingsStream)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask the log for its time: %w", err)
	}
	return stream.CachedInfo().TimeStamp, nil
}

// Purge deletes what of READINGS lies below sequence before and is older than age.
func (l *Log) Purge(ctx context.Context, before uint64, age time.Duration) error {
	stream, err := l.js.Stream(ctx, readingsStream)
	if err != nil {
		return fmt.Errorf("purge the log: %w", err)
	}
	state := stream.CachedInfo().State
	limit := time.Now().Add(-age)
	// Sequences rise with time: find the last one that is old enough.
	low, high := state.FirstSeq, min(before, state.LastSeq)
	for low < high {
		middle := low + (high-low)/2
		m, err := stream.GetMsg(ctx, middle)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("purge the log: %w", err)
		}
		if err != nil || m.Time.Before(limit) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low <= state.FirstSeq {
		return nil
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(low)); err != nil {
		return fmt.Errorf("purge the log below %d: %w", low, err)
	}
	return nil
}

// SaveCheckpoint keeps what an owner needs to go on, under a name.
func (l *Log) SaveCheckpoint(ctx context.Context, name string, data []byte) error {
	return l.saveCheckpoint(ctx, jetstream.ObjectMeta{Name: name}, data)
}

// SavePosition keeps a checkpoint that stands for all messages of READINGS up to seq.
func (l *Log) SavePosition(ctx context.Context, name string, seq uint64, data []byte) error {
	return l.saveCheckpoint(ctx, jetstream.ObjectMeta{Name: name, Metadata: map[string]string{positionKey: strconv.FormatUint(seq, 10)}}, data)
}

const positionKey = "seq"

func (l *Log) saveCheckpoint(ctx context.Context, meta jetstream.ObjectMeta, data []byte) error {
	store, err := l.js.ObjectStore(ctx, checkpointsStore)
	if err != nil {
		return fmt.Errorf("save checkpoint %s: %w", meta.Name, err)
	}
	if _, err := store.Put(ctx, meta, bytes.NewReader(data)); err != nil {
		return fmt.Errorf("save checkpoint %s of %d bytes: %w", meta.Name, len(data), err)
	}
	return nil
}

// Position tells up to which message of READINGS the checkpoint of that name stands; 0 where there is none.
func (l *Log) Position(ctx context.Context, name string) (uint64, error) {
	store, err := l.js.ObjectStore(ctx, checkpointsStore)
	if err != nil {
		return 0, fmt.Errorf("look up checkpoint %s: %w", name, err)
	}
	info, err := store.GetInfo(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look up checkpoint %s: %w", name, err)
	}
	seq, err := strconv.ParseUint(info.Metadata[positionKey], 10, 64)
	if err != nil {
		return 0, nil //nolint:nilerr // of an earlier version, which kept none: nothing is known to be safe
	}
	return seq, nil
}

// Checkpoint gives what SaveCheckpoint kept, nil where there is none.
func (l *Log) Checkpoint(ctx context.Context, name string) ([]byte, error) {
	data, err := whileAway(ctx, func() ([]byte, error) {
		store, err := l.js.ObjectStore(ctx, checkpointsStore)
		if err != nil {
			return nil, err
		}
		return store.GetBytes(ctx, name)
	})
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoint %s: %w", name, err)
	}
	return data, nil
}
