package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"pilewatch/internal/charge"
)

// A Change is one message of CHANGES: what one step of a partition's owner changed. Townships
// are absolute, so that a repeat is harmless; events have an identity that a replay repeats.
type Change struct {
	Partition int                    `json:"partition"`
	LogSeq    uint64                 `json:"log_seq"` // of the last message of READINGS behind it
	At        time.Time              `json:"at"`      // the log's now
	Townships []charge.TownshipState `json:"townships,omitempty"`
	Events    []charge.Event         `json:"events,omitempty"`
}

// ErrStale is returned by Publish where another owner of the partition has published since:
// whoever gets it must stop.
var ErrStale = errors.New("another owner of the partition has published since")

// Changes publishes the changes of one partition. Each message goes in only if the one before
// is still the partition's last, so of two owners the stale one fails.
type Changes struct {
	log     *Log
	subject string
	last    uint64 // sequence in CHANGES of the partition's last message
	LogSeq  uint64 // of that message: what lies below was published before
}

// Changes opens the publisher of a partition where its last message stands.
func (l *Log) Changes(ctx context.Context, partition int) (*Changes, error) {
	c := &Changes{log: l, subject: fmt.Sprintf("changes.sum.%d", partition)}
	stream, err := whileAway(ctx, func() (jetstream.Stream, error) { return l.js.Stream(ctx, changesStream) })
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", changesStream, err)
	}
	m, err := whileAway(ctx, func() (*jetstream.RawStreamMsg, error) { return stream.GetLastMsgForSubject(ctx, c.subject) })
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the last change of partition %d: %w", partition, err)
	}
	var last Change
	if err := json.Unmarshal(m.Data, &last); err != nil {
		return nil, fmt.Errorf("read the last change of partition %d: %w", partition, err)
	}
	c.last, c.LogSeq = m.Sequence, last.LogSeq
	return c, nil
}

// Publish stores a change.
func (c *Changes) Publish(ctx context.Context, change Change) error {
	data, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("encode change: %w", err)
	}
	ack, err := c.log.js.Publish(ctx, c.subject, data, jetstream.WithExpectLastSequencePerSubject(c.last))
	var refused *jetstream.APIError
	if errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return fmt.Errorf("publish to %s: %w", c.subject, ErrStale)
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", c.subject, err)
	}
	c.last, c.LogSeq = ack.Sequence, change.LogSeq
	return nil
}

// LastChange tells the last sequence of CHANGES, 0 for an empty one.
func (l *Log) LastChange(ctx context.Context) (uint64, error) {
	stream, err := l.js.Stream(ctx, changesStream)
	if err != nil {
		return 0, fmt.Errorf("ask for the last change: %w", err)
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// FollowChanges calls fn with every change from the sequence from on, until ctx ends or fn fails.
func (l *Log) FollowChanges(ctx context.Context, from uint64, fn func(seq uint64, c Change) error) error {
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1)}
	return l.follow(ctx, changesStream, cfg, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		var c Change
		if err := json.Unmarshal(m.Data(), &c); err != nil {
			l.log.Error("skip a change that cannot be read", "offset", meta.Sequence.Stream, "err", err)
			return nil
		}
		return fn(meta.Sequence.Stream, c)
	})
}

const maxRejectsPending = maxPublishesPending / 4

// ErrBusy is returned by PublishReject while so much is under way that readings need the room.
var ErrBusy = errors.New("the log is busy")

// A Reject is a message, or several alike within a minute, that could not be used.
type Reject struct {
	At       time.Time `json:"at"`
	Operator string    `json:"operator,omitempty"` // of the credential or bridge that sent it
	Pile     string    `json:"pile,omitempty"`     // as the message named it
	Conn     string    `json:"connector,omitempty"`
	Kind     string    `json:"kind,omitempty"`
	Topic    string    `json:"topic"`
	Reason   string    `json:"reason"`
	Detail   string    `json:"detail,omitempty"`
	Sample   string    `json:"sample,omitempty"` // the payload's beginning
	Count    int       `json:"count"`            // how many messages or objects this record stands for
	Bridge   string    `json:"bridge,omitempty"`
}

// PublishReject records a reject without waiting for the disk: rejects discard their oldest and
// must never hold readings back, so they may fill but a quarter of what may be under way. ErrDiskLow, ErrBusy.
func (l *Log) PublishReject(r Reject) error {
	if l.diskLow.Load() {
		return ErrDiskLow
	}
	if l.js.PublishAsyncPending() > maxRejectsPending {
		return ErrBusy
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode reject: %w", err)
	}
	if _, err := l.js.PublishAsync("rejects."+subjectToken(r.Operator), data); err != nil {
		return fmt.Errorf("publish reject: %w", err)
	}
	return nil
}

// FollowRejects calls fn with the last lastN rejects and every later one, until ctx ends.
func (l *Log) FollowRejects(ctx context.Context, lastN int, fn func(Reject)) error {
	stream, err := l.js.Stream(ctx, rejectsStream)
	if err != nil {
		return fmt.Errorf("follow rejects: %w", err)
	}
	from := uint64(1)
	if last := stream.CachedInfo().State.LastSeq; last > uint64(lastN) { //nolint:gosec // lastN is a small constant
		from = last - uint64(lastN) + 1 //nolint:gosec // see above
	}
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from}
	return l.follow(ctx, rejectsStream, cfg, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		var r Reject
		if err := json.Unmarshal(m.Data(), &r); err != nil {
			l.log.Error("skip a reject that cannot be read", "offset", meta.Sequence.Stream, "err", err)
			return nil
		}
		fn(r)
		return nil
	})
}
