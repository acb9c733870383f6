package journal

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	awayFor   = time.Minute // longer than a cluster needs to agree on a leader, or a server to start
	askAgain  = 500 * time.Millisecond
	notYetErr = 10008 // JSClusterNotAvailErr: there is no leader
)

// whileAway asks again while the log does not answer: of what a part needs to begin, so that it does not end because it
// began while a cluster elects a leader.
func whileAway[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	for until := time.Now().Add(awayFor); ; {
		got, err := ask()
		if err == nil || !isAway(err) || ctx.Err() != nil || time.Now().After(until) {
			return got, err
		}
		select {
		case <-ctx.Done():
			return got, err
		case <-time.After(askAgain):
		}
	}
}

func isAway(err error) bool {
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok {
		return refused.ErrorCode == notYetErr
	}
	for _, is := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, jetstream.ErrNoStreamResponse,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}
