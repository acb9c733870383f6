package journal

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// HandOver writes into partition to what the judge of another one knows of piles that are to's from now on; at is
// that judge's log time. Whoever is killed in between writes it again: a reader takes it once.
func (l *Log) HandOver(ctx context.Context, to int, at time.Time, state []byte) error {
	data := binary.AppendVarint([]byte{movedVersion}, at.UnixMilli())
	if _, err := l.js.Publish(ctx, readingsSubject(to), append(data, state...)); err != nil {
		return fmt.Errorf("hand %d bytes over to partition %d: %w", len(state), to, err)
	}
	return nil
}
