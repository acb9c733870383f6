package registry

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// A StandingChange is that a connector began to stand otherwise: usable, told offline or a fault, silent, or by a
// status that holds no longer.
type StandingChange struct {
	Key       charge.ConnectorKey
	Partition int
	LogSeq    uint64    // of the message that brought it
	Nth       int       // of those that it brought
	Told      time.Time // by the pile's clock; zero where time alone brought it
	Received  time.Time // by the gateway's
	Standing  string
	Status    charge.Status
	Fault     charge.Fault
}

// evidenceMonths is for how long changes, rejects and outages are kept: longer than any window of a rule looks back.
const evidenceMonths = 14

func saveStandingChanges(ctx context.Context, tx *sql.Tx, changes []StandingChange) error {
	if len(changes) == 0 {
		return nil
	}
	put, err := tx.PrepareContext(ctx, `INSERT INTO standing_change (month, operator, pile, connector, log_seq, nth, partition, told, received,
		standing, status, fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
	if err != nil {
		return err
	}
	for i := range changes {
		c := &changes[i]
		month, _ := monthNumber(c.Received)
		if _, err := put.ExecContext(ctx, month, string(c.Key.Pile.Operator), c.Key.Pile.Equipment, string(c.Key.Connector), int64(c.LogSeq), c.Nth, //nolint:gosec // JetStream's sequences stay far below 2^63
			c.Partition, millis(c.Told), c.Received.UnixMilli(), c.Standing, int64(c.Status), string(c.Fault)); err != nil {
			return fmt.Errorf("write change of %s: %w", c.Key, err)
		}
	}
	return nil
}

// StandingChanges gives a pile's changes from from to before until, and of each connector the last one before, by
// which it stood at the begin. Of the log's past before it was kept, and of a story, there are none.
func (r *Registry) StandingChanges(ctx context.Context, pile charge.PileID, from, until time.Time) ([]StandingChange, error) {
	last, _ := monthNumber(until)
	first, _ := monthNumber(from)
	var all []StandingChange
	before := make(map[charge.ConnectorID]StandingChange)
	for month := first - evidenceMonths; month <= last; month++ {
		err := each(ctx, r.read, func(rows *sql.Rows) error {
			c := StandingChange{Key: charge.ConnectorKey{Pile: pile}}
			var told, received sql.NullInt64
			if err := rows.Scan(&c.Key.Connector, &c.LogSeq, &c.Nth, &c.Partition, &told, &received, &c.Standing, &c.Status, &c.Fault); err != nil {
				return err
			}
			c.Told, c.Received = fromMillis(told, time.UTC), fromMillis(received, time.UTC)
			switch {
			case c.Received.Before(from):
				before[c.Key.Connector] = c
			case c.Received.Before(until):
				all = append(all, c)
			}
			return nil
		}, `SELECT connector, log_seq, nth, partition, told, received, standing, status, fault FROM standing_change
			WHERE month = ? AND operator = ? AND pile = ? ORDER BY connector, log_seq, nth`, month, string(pile.Operator), pile.Equipment)
		if err != nil {
			return nil, fmt.Errorf("read changes of pile %s: %w", pile, err)
		}
	}
	for _, c := range before {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b StandingChange) int {
		return cmp.Or(a.Received.Compare(b.Received), compareKeys(a.Key, b.Key), cmp.Compare(a.LogSeq, b.LogSeq), a.Nth-b.Nth)
	})
	return all, nil
}

// A PileReject is of what messages that could not be used are counted.
type PileReject struct {
	Day    time.Time // any time in it
	Pile   charge.PileID
	Reason string
}

// AddPileRejects adds counts to what is stored, all or none.
func (r *Registry) AddPileRejects(ctx context.Context, counts map[PileReject]int64) error {
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		for of, n := range counts {
			if _, err := tx.ExecContext(ctx, `INSERT INTO pile_reject AS r (day, operator, pile, reason, messages) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (day, operator, pile, reason) DO UPDATE SET messages = r.messages + excluded.messages`,
				dayNumber(of.Day), string(of.Pile.Operator), of.Pile.Equipment, of.Reason, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count rejects of %d piles and reasons: %w", len(counts), err)
	}
	return nil
}

// A RejectDay is how many messages of a pile could not be used on a day, for one reason.
type RejectDay struct {
	Day      time.Time
	Reason   string
	Messages int64
}

// PileRejects gives those of a pile from the day of from to that of to, both inclusive.
func (r *Registry) PileRejects(ctx context.Context, pile charge.PileID, from, to time.Time) ([]RejectDay, error) {
	var all []RejectDay
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var d RejectDay
		var day int64
		if err := rows.Scan(&day, &d.Reason, &d.Messages); err != nil {
			return err
		}
		d.Day = dayStart(day)
		all = append(all, d)
		return nil
	}, "SELECT day, reason, messages FROM pile_reject WHERE operator = ? AND pile = ? AND day BETWEEN ? AND ? ORDER BY day, reason",
		string(pile.Operator), pile.Equipment, dayNumber(from), dayNumber(to))
	if err != nil {
		return nil, fmt.Errorf("read rejects of pile %s: %w", pile, err)
	}
	return all, nil
}

// A PlatformOutage is a time in which no gateway spoke to a partition of the log.
type PlatformOutage struct {
	Partition int
	charge.Span
}

func savePlatformOutages(ctx context.Context, tx *sql.Tx, outages []PlatformOutage) error {
	for _, o := range outages {
		if _, err := tx.ExecContext(ctx, "INSERT INTO platform_outage (partition, begins, ends) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
			o.Partition, o.From.UnixMilli(), o.Until.UnixMilli()); err != nil {
			return fmt.Errorf("write outage of partition %d: %w", o.Partition, err)
		}
	}
	return nil
}

// PlatformOutages gives a partition's that overlap the time from from to before until.
func (r *Registry) PlatformOutages(ctx context.Context, partition int, from, until time.Time) ([]charge.Span, error) {
	var all []charge.Span
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var begins, ends int64
		if err := rows.Scan(&begins, &ends); err != nil {
			return err
		}
		all = append(all, charge.Span{From: time.UnixMilli(begins).UTC(), Until: time.UnixMilli(ends).UTC()})
		return nil
	}, "SELECT begins, ends FROM platform_outage WHERE partition = ? AND begins < ? AND ends > ? ORDER BY begins", partition, until.UnixMilli(), from.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read outages of partition %d: %w", partition, err)
	}
	return all, nil
}

// NeighboursOf gives the public and dedicated piles of an operator in a township.
func (r *Registry) NeighboursOf(ctx context.Context, operator charge.OperatorID, township charge.DivisionCode) ([]charge.PileID, error) {
	return r.pilesWhere(ctx, "p.operator = ? AND p.township = ? AND s.kind IN (?, ?)", string(operator), string(township), string(charge.Public), string(charge.Dedicated))
}
