package gateway

import (
	"context"
	"time"
)

const (
	revisionEvery = time.Second
	seenWithin    = 3 * time.Second // by whoever judges: every process looks at the registry once a second
)

// tickAtRevisions lets the log's time pass when the registry has changed: who judges looks at the registry with
// each record of the log, so that an import is seen within seconds where nobody speaks. The change is
// ticked once at once, and once when every process has seen it.
func tickAtRevisions(ctx context.Context, revision func() int64, tick func()) {
	seen := revision()
	var again time.Time // zero: nothing is due
	look := time.NewTicker(revisionEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-look.C:
			switch rev := revision(); {
			case rev != seen:
				seen, again = rev, now.Add(seenWithin)
				tick()
			case !again.IsZero() && !now.Before(again):
				again = time.Time{}
				tick()
			}
		}
	}
}
