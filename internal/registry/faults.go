package registry

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// A FaultKey is a fault of a connector in a month.
type FaultKey struct {
	Month     time.Time // any time in it
	Connector charge.ConnectorKey
	Fault     charge.Fault
	Code      string // the sender's own, "" where that is the same
}

// A FaultCount is how often a fault was told.
type FaultCount struct {
	Faults      int64 // times that a status of 255 began with it
	Alarms      int64
	Danger      int64     // of the alarms: of level danger
	First, Last time.Time // by the gateway's clock
}

// Add adds what was counted apart.
func (c *FaultCount) Add(o *FaultCount) {
	c.Faults += o.Faults
	c.Alarms += o.Alarms
	c.Danger += o.Danger
	if c.First.IsZero() || o.First.Before(c.First) {
		c.First = o.First
	}
	if o.Last.After(c.Last) {
		c.Last = o.Last
	}
}

// AddFaults adds counts to what is stored, all or none.
func (r *Registry) AddFaults(ctx context.Context, counts map[FaultKey]*FaultCount) error {
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		for key, c := range counts {
			month, _ := monthNumber(key.Month)
			if _, err := tx.ExecContext(ctx, `INSERT INTO fault_month (month, operator, pile, connector, fault, code, faults, alarms, danger, first, last)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (month, operator, pile, connector, fault, code) DO UPDATE SET
				faults = fault_month.faults + excluded.faults, alarms = fault_month.alarms + excluded.alarms, danger = fault_month.danger + excluded.danger,
				first = min(fault_month.first, excluded.first), last = max(fault_month.last, excluded.last)`, month, string(key.Connector.Pile.Operator), key.Connector.Pile.Equipment,
				string(key.Connector.Connector), string(key.Fault), key.Code, c.Faults, c.Alarms, c.Danger, c.First.UnixMilli(), c.Last.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count %d faults: %w", len(counts), err)
	}
	return nil
}

// A FaultRow is a fault of a pile, over all its connectors and the months asked for.
type FaultRow struct {
	Pile  charge.PileID
	Fault charge.Fault
	Code  string
	FaultCount
}

// Faults gives the faults of an operator's piles, or of one where pile is not "", in the months from from to to, both inclusive.
func (r *Registry) Faults(ctx context.Context, operator charge.OperatorID, pile string, from, to time.Time) ([]FaultRow, error) {
	first, _ := monthNumber(from)
	last, _ := monthNumber(to)
	var all []FaultRow
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		row := FaultRow{Pile: charge.PileID{Operator: operator}}
		var began, ended int64
		if err := rows.Scan(&row.Pile.Equipment, &row.Fault, &row.Code, &row.Faults, &row.Alarms, &row.Danger, &began, &ended); err != nil {
			return err
		}
		row.First, row.Last = time.UnixMilli(began).UTC(), time.UnixMilli(ended).UTC()
		all = append(all, row)
		return nil
	}, `SELECT pile, fault, code, sum(faults), sum(alarms), sum(danger), min(first), max(last) FROM fault_month
		WHERE month >= ?1 AND month <= ?2 AND operator = ?3 AND (?4 = '' OR pile = ?4) GROUP BY pile, fault, code ORDER BY pile, fault, code`,
		first, last, string(operator), pile)
	if err != nil {
		return nil, fmt.Errorf("read faults of %s: %w", operator, err)
	}
	return all, nil
}
