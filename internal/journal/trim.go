package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// keepForReplay is how long READINGS keeps what all its consumers have taken (design: "The log").
const keepForReplay = 24 * time.Hour

// Trim deletes from the front of READINGS what lies below sequence taken, which every consumer has
// taken: what is older than 24 hours, and what is younger where the log holds more than half of
// what it may hold. What is not taken is never deleted.
func (l *Log) Trim(ctx context.Context, taken uint64) error {
	if err := l.Purge(ctx, taken, keepForReplay); err != nil {
		return err
	}
	stream, err := l.js.Stream(ctx, readingsStream)
	if err != nil {
		return fmt.Errorf("trim the log: %w", err)
	}
	info := stream.CachedInfo()
	half := info.Config.MaxBytes / 2
	if half <= 0 || int64(info.State.Bytes) <= half { //nolint:gosec // bytes on a disk
		return nil
	}
	// Messages are of like size, so their share of the sequences is about their share of the bytes.
	keep := uint64(float64(info.State.Msgs) * float64(half) / float64(info.State.Bytes))
	before := min(taken, info.State.LastSeq-keep+1)
	if before <= info.State.FirstSeq {
		return nil
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(before)); err != nil {
		return fmt.Errorf("trim the log below %d: %w", before, err)
	}
	return nil
}
