package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// DelayBounds are where the counts of delays end, from the device's clock to ours: a message counts in the
// first bound that it does not exceed, or beyond the last. A negative one is a clock that is ahead.
var DelayBounds = [...]time.Duration{
	-time.Hour, -5 * time.Minute, -time.Minute, -5 * time.Second, 5 * time.Second, time.Minute, 5 * time.Minute, time.Hour, 24 * time.Hour,
}

// A QualityKey is of what messages are counted.
type QualityKey struct {
	Month    time.Time // any time in it; 00:00 of its first day, Asia/Shanghai, where it is given
	Operator charge.OperatorID
}

// A Quality is what came of an operator's messages in a month.
type Quality struct {
	Messages int64
	Late     int64 // longer under way than the policy's lateness limit
	OffClock int64 // the device's clock was so wrong that the gateway's time counts
	Numbered int64 // told a seq
	Missing  int64 // numbers between two that came, less those that came late
	Twice    int64
	Restarts int64                       // the count began anew
	Delays   [len(DelayBounds) + 1]int64 // by DelayBounds, and beyond
	Rejects  map[string]int64            // messages that could not be used, by reason
}

// DelayWithin is the bound within which a share (0-1) of the counted messages were under way, as DelayBounds tells it;
// ok is false where it was longer than the last, or nothing was counted.
func (q *Quality) DelayWithin(share float64) (bound time.Duration, ok bool) {
	var all, seen int64
	for _, n := range q.Delays {
		all += n
	}
	for i, bound := range DelayBounds {
		if seen += q.Delays[i]; all > 0 && float64(seen) >= share*float64(all) {
			return bound, true
		}
	}
	return 0, false
}

// Add adds what was counted apart.
func (q *Quality) Add(o *Quality) {
	q.Messages += o.Messages
	q.Late += o.Late
	q.OffClock += o.OffClock
	q.Numbered += o.Numbered
	q.Missing += o.Missing
	q.Twice += o.Twice
	q.Restarts += o.Restarts
	for i := range q.Delays {
		q.Delays[i] += o.Delays[i]
	}
	for reason, n := range o.Rejects {
		if q.Rejects == nil {
			q.Rejects = make(map[string]int64)
		}
		q.Rejects[reason] += n
	}
}

// AddQuality adds counts to what is stored, all or none.
func (r *Registry) AddQuality(ctx context.Context, counts map[QualityKey]*Quality) error {
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		for key, q := range counts {
			month, _ := monthNumber(key.Month)
			sum, err := readQuality(ctx, tx, month, key.Operator)
			if err != nil {
				return err
			}
			sum.Add(q)
			if sum.Rejects == nil {
				sum.Rejects = map[string]int64{}
			}
			delays, err := json.Marshal(sum.Delays)
			if err != nil {
				return err
			}
			rejects, err := json.Marshal(sum.Rejects)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, upsert("quality_month", 2, "month", "operator", "messages", "late", "off_clock", "numbered", "missing",
				"twice", "restarts", "delays", "rejects"), month, string(key.Operator), sum.Messages, sum.Late, sum.OffClock,
				sum.Numbered, sum.Missing, sum.Twice, sum.Restarts, string(delays), string(rejects)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count messages of %d operators: %w", len(counts), err)
	}
	return nil
}

const qualityFields = "messages, late, off_clock, numbered, missing, twice, restarts, delays, rejects"

func readQuality(ctx context.Context, q querier, month int64, operator charge.OperatorID) (Quality, error) {
	sum, err := scanQuality(q.QueryRowContext(ctx, "SELECT "+qualityFields+" FROM quality_month WHERE month = ? AND operator = ?", month, string(operator)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Quality{}, nil
	}
	return sum, err
}

func scanQuality(scan func(...any) error, before ...any) (Quality, error) {
	var q Quality
	var delays, rejects []byte
	if err := scan(append(before, &q.Messages, &q.Late, &q.OffClock, &q.Numbered, &q.Missing, &q.Twice, &q.Restarts, &delays, &rejects)...); err != nil {
		return q, err
	}
	return q, errors.Join(json.Unmarshal(delays, &q.Delays), json.Unmarshal(rejects, &q.Rejects))
}

// Qualities gives what came of each operator's messages in a month; one of which nothing came is left out.
func (r *Registry) Qualities(ctx context.Context, month time.Time) (map[charge.OperatorID]Quality, error) {
	number, _ := monthNumber(month)
	all := make(map[charge.OperatorID]Quality)
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var operator charge.OperatorID
		q, err := scanQuality(rows.Scan, &operator)
		all[operator] = q
		return err
	}, "SELECT operator, "+qualityFields+" FROM quality_month WHERE month = ?", number)
	if err != nil {
		return nil, fmt.Errorf("read quality of %s: %w", month.In(charge.Zone).Format("2006-01"), err)
	}
	return all, nil
}

// A FaultAsOffline is a connector whose alarms told of faults near a status told offline.
type FaultAsOffline struct {
	Key         charge.ConnectorKey
	First, Last time.Time // by the device's clock; the month is Last's
	Times       int       // 0: it told a fault after all, and is taken back
}

// SaveFaultsAsOffline keeps findings; one of a connector and month that is there already is replaced where
// the new one tells of more times, since whoever counts may have begun anew.
func (r *Registry) SaveFaultsAsOffline(ctx context.Context, found []FaultAsOffline) error {
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		for i := range found {
			f := &found[i]
			month, _ := monthNumber(f.Last)
			args := []any{month, string(f.Key.Pile.Operator), f.Key.Pile.Equipment, string(f.Key.Connector)}
			query := "DELETE FROM fault_as_offline WHERE month = ? AND operator = ? AND pile = ? AND connector = ?"
			if f.Times > 0 {
				query = `INSERT INTO fault_as_offline AS f (month, operator, pile, connector, first, last, times) VALUES (?, ?, ?, ?, ?, ?, ?)
					ON CONFLICT (month, operator, pile, connector) DO UPDATE SET first = min(f.first, excluded.first), last = max(f.last, excluded.last),
					times = max(f.times, excluded.times)`
				args = append(args, f.First.UnixMilli(), f.Last.UnixMilli(), f.Times)
			}
			if _, err := tx.ExecContext(ctx, query, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep %d faults told as offline: %w", len(found), err)
	}
	return nil
}

// FaultsAsOffline gives those of a month, by connector.
func (r *Registry) FaultsAsOffline(ctx context.Context, month time.Time) ([]FaultAsOffline, error) {
	number, _ := monthNumber(month)
	var all []FaultAsOffline
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var f FaultAsOffline
		var first, last sql.NullInt64
		if err := rows.Scan(&f.Key.Pile.Operator, &f.Key.Pile.Equipment, &f.Key.Connector, &first, &last, &f.Times); err != nil {
			return err
		}
		f.First, f.Last = fromMillis(first, charge.Zone), fromMillis(last, charge.Zone)
		all = append(all, f)
		return nil
	}, "SELECT operator, pile, connector, first, last, times FROM fault_as_offline WHERE month = ? ORDER BY operator, pile, connector", number)
	if err != nil {
		return nil, fmt.Errorf("read faults told as offline: %w", err)
	}
	return all, nil
}
