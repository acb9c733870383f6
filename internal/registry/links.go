package registry

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
)

// A PileLink tells that a pile is the same machine as one of another name, whose clocks and cases go
// on with it.
type PileLink struct {
	Pile, Was charge.PileID
	From      time.Time // first day under the new name
	Why       string    // "serial" or "transfer"
	Document  string
}

// PileLinks gives all links, by the new name.
func (r *Registry) PileLinks(ctx context.Context) ([]PileLink, error) { return readLinks(ctx, r.read) }

func readLinks(ctx context.Context, q querier) ([]PileLink, error) {
	var all []PileLink
	err := each(ctx, q, func(rows *sql.Rows) error {
		var l PileLink
		var from sql.NullInt64
		if err := rows.Scan(&l.Pile.Operator, &l.Pile.Equipment, &l.Was.Operator, &l.Was.Equipment, &from, &l.Why, &l.Document); err != nil {
			return err
		}
		l.From = fromMillis(from, charge.Zone)
		all = append(all, l)
		return nil
	}, `SELECT operator, pile, was_operator, was_pile, from_day, why, document FROM pile_links
		ORDER BY operator, pile, from_day, was_operator, was_pile`)
	if err != nil {
		return nil, fmt.Errorf("read links of piles: %w", err)
	}
	return all, nil
}

// PileNames gives all names under which the machine of a pile was known, oldest first; the last is its own.
func PileNames(links []PileLink, pile charge.PileID) []cases.Name {
	names := []cases.Name{{Operator: string(pile.Operator), Pile: pile.Equipment}}
	seen := map[charge.PileID]bool{pile: true}
	for at := pile; ; {
		found := false
		for _, l := range links {
			if l.Pile == at && !seen[l.Was] {
				names[0].From, names[0].Document = l.From.UTC(), l.Document
				names = append([]cases.Name{{Operator: string(l.Was.Operator), Pile: l.Was.Equipment}}, names...)
				seen[l.Was], at, found = true, l.Was, true
				break
			}
		}
		if !found {
			return names
		}
	}
}

// LaterNames gives the links by which a machine has gone on under other names until now, in their order.
func LaterNames(links []PileLink, pile charge.PileID, now time.Time) (later []PileLink) {
	seen := map[charge.PileID]bool{pile: true}
	for at := pile; ; {
		next := -1
		for i, l := range links {
			if l.Was == at && !seen[l.Pile] && !l.From.After(now) && (next < 0 || l.From.After(links[next].From)) {
				next = i
			}
		}
		if next < 0 {
			return later
		}
		at = links[next].Pile
		seen[at] = true
		later = append(later, links[next])
	}
}
