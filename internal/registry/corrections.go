package registry

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// A Correction is what a connector told of a day when that was frozen already (judgement.md §2): it is on
// record, and changes neither the day nor what was made of it.
type Correction struct {
	Key      charge.ConnectorKey
	Day      time.Time // 00:00 Asia/Shanghai
	Status   charge.Status
	Told     time.Time // by the pile's clock
	Received time.Time
}

// saveCorrections keeps the first of each connector, day and status.
func saveCorrections(ctx context.Context, tx *sql.Tx, corrections []Correction) error {
	for i := range corrections {
		c := &corrections[i]
		if _, err := tx.ExecContext(ctx, `INSERT INTO correction (day, operator, pile, connector, status, told, received)
			VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, dayNumber(c.Day), string(c.Key.Pile.Operator), c.Key.Pile.Equipment, string(c.Key.Connector),
			int64(c.Status), c.Told.UnixMilli(), c.Received.UnixMilli()); err != nil {
			return fmt.Errorf("write correction of %s: %w", c.Key, err)
		}
	}
	return nil
}

// CorrectedPiles counts what piles told too late, of the days from from to to, both inclusive.
func (r *Registry) CorrectedPiles(ctx context.Context, from, to time.Time) (map[charge.PileID]int, error) {
	all := make(map[charge.PileID]int)
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var id charge.PileID
		var n int
		err := rows.Scan(&id.Operator, &id.Equipment, &n)
		all[id] = n
		return err
	}, "SELECT operator, pile, count(*) FROM correction WHERE day >= ? AND day <= ? GROUP BY operator, pile", dayNumber(from), dayNumber(to))
	if err != nil {
		return nil, fmt.Errorf("count corrections: %w", err)
	}
	return all, nil
}

// Corrections gives what a pile told too late of the days from from to to, both inclusive, by connector and day.
func (r *Registry) Corrections(ctx context.Context, pile charge.PileID, from, to time.Time) ([]Correction, error) {
	var all []Correction
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		c := Correction{Key: charge.ConnectorKey{Pile: pile}}
		var day, told, received int64
		if err := rows.Scan(&day, &c.Key.Connector, &c.Status, &told, &received); err != nil {
			return err
		}
		c.Day, c.Told, c.Received = dayStart(day), time.UnixMilli(told).UTC(), time.UnixMilli(received).UTC()
		all = append(all, c)
		return nil
	}, `SELECT day, connector, status, told, received FROM correction WHERE operator = ? AND pile = ? AND day >= ? AND day <= ?
		ORDER BY connector, day, told`, string(pile.Operator), pile.Equipment, dayNumber(from), dayNumber(to))
	if err != nil {
		return nil, fmt.Errorf("read corrections of pile %s: %w", pile, err)
	}
	return all, nil
}
