package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"pilewatch/internal/journal"
)

// Gateways say every 5 s what their bridges are doing. One that has been quiet for longer than
// bridgesStale is shown as not heard of; after bridgesForgotten it is left out.
const (
	bridgesStale     = 30 * time.Second
	bridgesForgotten = 24 * time.Hour
	gatewaysAtMost   = 1_000
)

// bridges are what gateways say of their bridges to operators' brokers. It is safe for concurrent use.
type bridges struct {
	mu sync.Mutex
	of map[string]saidBridges
}

type saidBridges struct {
	journal.Bridges
	heard time.Time // by our clock
}

// A bridgeView is one connection of a bridge as the API shows it.
type bridgeView struct {
	Gateway string `json:"gateway"`
	journal.BridgeState
	Heard time.Time `json:"heard"` // when its gateway spoke last
	Stale bool      `json:"stale"` // its gateway says nothing any more
}

func (b *bridges) add(said journal.Bridges, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == nil {
		b.of = make(map[string]saidBridges)
	}
	for name, s := range b.of {
		if now.Sub(s.heard) > bridgesForgotten {
			delete(b.of, name)
		}
	}
	if _, known := b.of[said.Gateway]; known || len(b.of) < gatewaysAtMost {
		b.of[said.Gateway] = saidBridges{said, now}
	}
}

// list gives them all, those that are down first.
func (b *bridges) list(now time.Time) []bridgeView {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := []bridgeView{}
	for name, s := range b.of {
		for _, one := range s.Bridges.Bridges {
			v := bridgeView{Gateway: name, BridgeState: one, Heard: s.heard.UTC(), Stale: now.Sub(s.heard) > bridgesStale}
			v.Up = v.Up && !v.Stale
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b bridgeView) int {
		if a.Up != b.Up {
			if a.Up {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.Operator, b.Operator), cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Bridge, b.Bridge), cmp.Compare(a.Broker, b.Broker))
	})
	return all
}

// getBridges lists the bridges to operators' brokers, with what each is doing.
func (d *Dashboard) getBridges(w http.ResponseWriter, r *http.Request) error {
	return reply(w, r, map[string]any{"bridges": d.bridges.list(time.Now())})
}

func (d *Dashboard) followBridges(ctx context.Context) {
	for {
		err := d.feed.FollowBridges(ctx, func(b journal.Bridges) { d.bridges.add(b, time.Now()) })
		if ctx.Err() != nil {
			return
		}
		d.log.Warn("does not hear of bridges, tries again", "every", retryEvery, "err", err)
		if !wait(ctx, retryEvery) {
			return
		}
	}
}
