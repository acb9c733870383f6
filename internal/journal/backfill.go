package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"pilewatch/internal/charge"
)

// ErrReal is returned by Backfill where the log holds what a gateway wrote: a story never follows that.
var ErrReal = errors.New("the log holds real readings already")

// A Told is one message of a story: readings in the order of their times, none later than At.
type Told struct {
	Partition int
	At        time.Time
	Readings  []charge.Reading // several hundreds at most; used again for the next
}

// Backfill writes a story into a log that holds nothing else, and gives the sequence of its last message. Each
// partition's times must rise. A story that was broken off goes on: what the partition holds already is left
// out. Nothing else writes such records, so that no door can.
func (l *Log) Backfill(ctx context.Context, story iter.Seq[Told]) (last uint64, err error) {
	told, err := l.toldUntil(ctx)
	if err != nil {
		return 0, err
	}
	waiting := make([]jetstream.PubAckFuture, l.partitions) // one under way in each, so that none overtakes one that the log refuses
	settle := func(partition int) error {
		if waiting[partition] == nil {
			return nil
		}
		select {
		case ack := <-waiting[partition].Ok():
			last, waiting[partition] = max(last, ack.Sequence), nil
			return nil
		case err := <-waiting[partition].Err():
			return fmt.Errorf("write the story: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for t := range story {
		if !t.At.After(told[t.Partition]) {
			continue
		}
		data := binary.AppendVarint([]byte{backfillVersion}, t.At.UnixMilli())
		for i := range t.Readings {
			if r := &t.Readings[i]; r.Received.After(told[t.Partition]) {
				data = appendReading(data, r)
			}
		}
		if err := settle(t.Partition); err != nil {
			return 0, err
		}
		if waiting[t.Partition], err = l.js.PublishAsync(readingsSubject(t.Partition), data); err != nil {
			return 0, fmt.Errorf("write the story of %s: %w", t.At.In(charge.Zone).Format(time.DateOnly), err)
		}
	}
	for p := range waiting {
		if err := settle(p); err != nil {
			return 0, err
		}
	}
	if last == 0 { // all of it was there
		_, last, _, err = l.Span(ctx)
	}
	return last, err
}

// TakesStory fails with ErrReal where Backfill would.
func (l *Log) TakesStory(ctx context.Context) error {
	_, err := l.toldUntil(ctx)
	return err
}

// toldUntil gives up to when each partition holds a story; ErrReal where one holds anything else.
func (l *Log) toldUntil(ctx context.Context) ([]time.Time, error) {
	told := make([]time.Time, l.partitions)
	stream, err := l.js.Stream(ctx, readingsStream)
	if err != nil {
		return nil, fmt.Errorf("look for a story in the log: %w", err)
	}
	if stream.CachedInfo().State.LastSeq == 0 {
		return told, nil
	}
	for p := range told {
		m, err := stream.GetLastMsgForSubject(ctx, readingsSubject(p))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for a story in partition %d of the log: %w", p, err)
		}
		b, err := decodeBatch(m.Data)
		if err != nil {
			return nil, fmt.Errorf("look for a story in partition %d of the log: %w", p, err)
		}
		if !b.Backfill {
			return nil, ErrReal
		}
		told[p] = b.At
	}
	return told, nil
}
