package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
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
		b, err := decodeBatch(m.Data())
		if err != nil {
			return fmt.Errorf("read message %d of the log: %w", meta.Sequence.Stream, err)
		}
		b.Seq = meta.Sequence.Stream
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

// A Delivery is a batch that a durable consumer has to confirm.
type Delivery struct {
	Batch
	msg jetstream.Msg
}

// A Durable is a named consumer of READINGS that remembers, in the log, what it has confirmed.
// Several processes may share one.
type Durable struct {
	consumer jetstream.Consumer
	messages jetstream.MessagesContext // nil for one that only looks
	name     string
}

const (
	confirmWithin = 15 * time.Second
	mostUnderWay  = 1024 // batches delivered and not yet confirmed
)

// Durable opens the consumer of that name over all partitions, at the log's first message when it
// is new.
func (l *Log) Durable(ctx context.Context, name string) (*Durable, error) {
	d, err := l.Peek(ctx, name)
	if err != nil {
		return nil, err
	}
	d.messages, err = d.consumer.Messages(jetstream.PullMaxMessages(mostUnderWay/2), jetstream.WithMessagesErrOnMissingHeartbeat(false))
	if err != nil {
		return nil, fmt.Errorf("open consumer %s of the log: %w", name, err)
	}
	return d, nil
}

// Peek opens an existing consumer without taking anything from it, for Backlog.
func (l *Log) Peek(ctx context.Context, name string) (*Durable, error) {
	consumer, err := l.js.CreateOrUpdateConsumer(ctx, readingsStream, durableConfig(name))
	if err != nil {
		return nil, fmt.Errorf("open consumer %s of the log: %w", name, err)
	}
	return &Durable{consumer: consumer, name: name}, nil
}

func durableConfig(name string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: confirmWithin, MaxAckPending: mostUnderWay,
	}
}

// Next waits for a batch, then gathers more for at most wait or until there are readings in hand.
// After ctx has ended it gives nothing and no error. A record that cannot be decoded comes
// back as an error that names it; it stays unconfirmed.
func (d *Durable) Next(ctx context.Context, wait time.Duration, readings int) ([]Delivery, error) {
	var got []Delivery
	n := 0
	gather := ctx
	for n < readings {
		m, err := d.messages.Next(jetstream.NextContext(gather))
		if err != nil {
			if len(got) > 0 || ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
				return got, nil
			}
			return nil, fmt.Errorf("read the log as %s: %w", d.name, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return got, fmt.Errorf("read the log as %s: %w", d.name, err)
		}
		b, err := decodeBatch(m.Data())
		if err != nil {
			return got, fmt.Errorf("read message %d of the log: %w", meta.Sequence.Stream, err)
		}
		b.Seq = meta.Sequence.Stream
		got = append(got, Delivery{Batch: b, msg: m})
		n += len(b.Readings)
		if len(got) == 1 {
			var cancel context.CancelFunc
			gather, cancel = context.WithTimeout(ctx, wait)
			defer cancel()
		}
	}
	return got, nil
}

// Confirm tells the log that the batches are safe where they were written.
func (d *Durable) Confirm(deliveries []Delivery) error {
	for _, v := range deliveries {
		if err := v.msg.Ack(); err != nil {
			return fmt.Errorf("confirm message %d of the log as %s: %w", v.Seq, d.name, err)
		}
	}
	return nil
}

// Hold tells the log that the batches are still being worked on, so that it does not deliver
// them again; call it every 5 s.
func (d *Durable) Hold(deliveries []Delivery) error {
	for _, v := range deliveries {
		if err := v.msg.InProgress(); err != nil {
			return fmt.Errorf("hold message %d of the log as %s: %w", v.Seq, d.name, err)
		}
	}
	return nil
}

// Backlog tells how many batches the consumer has not confirmed, and up to which sequence
// everything is.
func (d *Durable) Backlog(ctx context.Context) (batches uint64, confirmed uint64, err error) {
	info, err := d.consumer.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("ask for the backlog of %s: %w", d.name, err)
	}
	return info.NumPending + uint64(info.NumAckPending), info.AckFloor.Stream, nil //nolint:gosec // never negative
}

// Stop ends the delivery.
func (d *Durable) Stop() { d.messages.Stop() }

// Span tells the first and the last sequence of READINGS and its size in bytes.
func (l *Log) Span(ctx context.Context) (first, last, bytes uint64, err error) {
	stream, err := l.js.Stream(ctx, readingsStream)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("ask for the log's span: %w", err)
	}
	state := stream.CachedInfo().State
	return state.FirstSeq, state.LastSeq, state.Bytes, nil
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
	store, err := l.js.ObjectStore(ctx, checkpointsStore)
	if err != nil {
		return fmt.Errorf("save checkpoint %s: %w", name, err)
	}
	if _, err := store.PutBytes(ctx, name, data); err != nil {
		return fmt.Errorf("save checkpoint %s of %d bytes: %w", name, len(data), err)
	}
	return nil
}

// Checkpoint gives what SaveCheckpoint kept, nil where there is none.
func (l *Log) Checkpoint(ctx context.Context, name string) ([]byte, error) {
	store, err := l.js.ObjectStore(ctx, checkpointsStore)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint %s: %w", name, err)
	}
	data, err := store.GetBytes(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoint %s: %w", name, err)
	}
	return data, nil
}
