package dashboard

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

// What bounds the list of unknown piles: a stranger's made-up names must not fill memory, and one
// operator's must not take the others' place.
const (
	unknownAtMost      = 20_000
	unknownOfOperator  = 2_000
	unknownRowsAtMost  = 500
	reasonUnknownPile  = "unknown_pile" // as the gateway writes it
	unknownSampleBytes = 256
)

// unknownPiles are piles that send and are not registered, as REJECTS tells of them: an officer
// finds here what the registry lacks. It is safe for concurrent use.
type unknownPiles struct {
	mu     sync.Mutex
	piles  map[charge.PileID]*unknownPile
	of     map[charge.OperatorID]int
	beyond int // messages of piles that there was no room for
}

// An unknownPile is one of them.
type unknownPile struct {
	ID       string    `json:"id"` // {operator}:{pile}
	Operator string    `json:"operator"`
	Pile     string    `json:"pile"`
	First    time.Time `json:"first"` // seen, by the gateway's clock; of what is remembered
	Last     time.Time `json:"last"`
	Count    int       `json:"count"` // messages or objects
	Topic    string    `json:"topic"`
	Sample   string    `json:"sample,omitempty"` // beginning of a payload
}

func (u *unknownPiles) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.piles, u.of, u.beyond = nil, nil, 0
}

func (u *unknownPiles) add(r *journal.Reject) {
	if r.Reason != reasonUnknownPile {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	id := charge.PileID{Operator: charge.OperatorID(r.Operator), Equipment: r.Pile}
	p := u.piles[id]
	if p == nil {
		if r.Pile == "" || len(u.piles) >= unknownAtMost || u.of[id.Operator] >= unknownOfOperator {
			u.beyond += max(r.Count, 1)
			return
		}
		if u.piles == nil {
			u.piles, u.of = make(map[charge.PileID]*unknownPile), make(map[charge.OperatorID]int)
		}
		p = &unknownPile{ID: id.String(), Operator: r.Operator, Pile: r.Pile, First: r.At}
		u.piles[id] = p
		u.of[id.Operator]++
	}
	p.Last, p.Topic = r.At, r.Topic
	p.Count += max(r.Count, 1)
	if r.Sample != "" {
		p.Sample = strings.ToValidUTF8(r.Sample[:min(len(r.Sample), unknownSampleBytes)], "")
	}
}

// list gives an operator's, or everyone's where it is "", the one seen last first.
func (u *unknownPiles) list(operator string) (all []unknownPile, beyond int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range u.piles {
		if operator == "" || p.Operator == operator {
			all = append(all, *p)
		}
	}
	slices.SortFunc(all, func(a, b unknownPile) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, u.beyond
}

// getUnknown lists piles that send and are not registered. One that is registered meanwhile is left
// out.
func (d *Dashboard) getUnknown(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r, pageOf, unknownRowsAtMost)
	if err != nil {
		return err
	}
	v, operator := viewerOf(r), r.URL.Query().Get("operator")
	if !v.mayNameOperator(operator) {
		return notFound("no such operator")
	}
	all, beyond := d.recent.unknown.list(operator)
	if v.Role == registry.Operator {
		beyond = 0 // it may be others'
	}
	sees := d.seesReject(v)
	rows := []unknownPile{}
	for _, p := range all {
		if !sees(&journal.Reject{Operator: p.Operator, Pile: p.Pile}) {
			continue
		}
		if len(rows) == limit {
			break
		}
		_, _, err := d.registry.PileByID(r.Context(), charge.PileID{Operator: charge.OperatorID(p.Operator), Equipment: p.Pile})
		switch {
		case errors.Is(err, registry.ErrUnknownPile):
			rows = append(rows, p)
		case err != nil:
			return err
		}
	}
	return reply(w, r, map[string]any{"piles": rows, "beyond": beyond})
}
