package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"pilewatch/internal/charge"
)

// A pile's live values go over core NATS and are not stored. Nobody sends them unless somebody
// watches: whoever does says so at once and then again and again, since neither side knows when the
// other starts anew.
const (
	watchSubject    = "watch"
	watchSaidEvery  = 10 * time.Second
	watchHoldsFor   = 3 * watchSaidEvery
	watchedPileMost = 100_000 // of all dashboards; beyond it new ones are not watched until others end
)

func liveSubject(pile charge.PileID) string {
	return "live." + subjectToken(string(pile.Operator)) + "." + subjectToken(pile.Equipment)
}

// PublishLive tells a connector's newest values to whoever watches its pile; it is not stored.
func (l *Log) PublishLive(pile charge.PileID, c charge.LiveConnector) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode live values: %w", err)
	}
	if err := l.conn.Publish(liveSubject(pile), data); err != nil {
		return fmt.Errorf("publish live values: %w", err)
	}
	return nil
}

// WatchLive calls fn with a pile's newest values until stop is called.
func (l *Log) WatchLive(ctx context.Context, pile charge.PileID, fn func(charge.LiveConnector)) (stop func(), err error) {
	sub, err := l.conn.Subscribe(liveSubject(pile), func(m *nats.Msg) {
		var c charge.LiveConnector
		if err := json.Unmarshal(m.Data, &c); err != nil {
			l.log.Error("skip live values that cannot be read", "pile", pile, "err", err)
			return
		}
		fn(c)
	})
	if err != nil {
		return nil, fmt.Errorf("watch pile %s: %w", pile, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		again := time.NewTicker(watchSaidEvery)
		defer again.Stop()
		for {
			// Where the log is away for a moment, it is said again soon.
			_ = l.conn.Publish(watchSubject, []byte(pile.String()))
			select {
			case <-ctx.Done():
				return
			case <-again.C:
			}
		}
	}()
	// Unsubscribe fails only where the connection has ended, and the subscription with it.
	return sync.OnceFunc(func() { cancel(); _ = sub.Unsubscribe() }), nil
}

// Watched knows which piles somebody watches. It is safe for concurrent use.
type Watched struct {
	until atomic.Pointer[map[charge.PileID]time.Time]
	mu    sync.Mutex // one writer at a time
}

// Watched listens to who says that a pile is watched, as long as the log is open.
func (l *Log) Watched() (*Watched, error) {
	w := &Watched{}
	w.until.Store(&map[charge.PileID]time.Time{})
	if _, err := l.conn.Subscribe(watchSubject, func(m *nats.Msg) {
		if pile, err := charge.ParsePileID(string(m.Data)); err == nil {
			w.add(pile, time.Now())
		}
	}); err != nil {
		return nil, fmt.Errorf("listen for watched piles: %w", err)
	}
	return w, nil
}

func (w *Watched) add(pile charge.PileID, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := maps.Clone(*w.until.Load())
	maps.DeleteFunc(next, func(_ charge.PileID, until time.Time) bool { return until.Before(now) })
	if len(next) < watchedPileMost {
		next[pile] = now.Add(watchHoldsFor)
	}
	w.until.Store(&next)
}

// Has tells whether somebody has said within the last half minute that the pile is watched.
func (w *Watched) Has(pile charge.PileID) bool {
	until := *w.until.Load()
	if len(until) == 0 {
		return false
	}
	at, ok := until[pile]
	return ok && time.Now().Before(at)
}
