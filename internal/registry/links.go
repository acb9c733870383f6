package registry

import (
	"context"
	"database/sql"
	"fmt"
	"time"

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
