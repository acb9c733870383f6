package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// FrozenThrough is the newest day that is frozen in every partition that has piles, of the newest days that have
// sums; zero where there is none.
func (r *Registry) FrozenThrough(ctx context.Context) (time.Time, error) {
	day, err := r.newestDay(ctx, "max(CASE WHEN frozen <> 0 THEN day END)")
	if err != nil {
		return time.Time{}, fmt.Errorf("find the newest frozen day: %w", err)
	}
	return day, nil
}

// newestDay is the earliest of what newest, an aggregate of day_sum, gives of each partition; zero where one has none.
func (r *Registry) newestDay(ctx context.Context, newest string) (time.Time, error) {
	const look = 20 // days: more than the lateness limit, at most
	var day sql.NullInt64
	err := r.read.QueryRowContext(ctx, "SELECT min(coalesce(p.newest, 0)) FROM (SELECT partition, "+newest+` AS newest FROM day_sum
		WHERE day > (SELECT max(day) FROM day_sum) - ? GROUP BY partition) AS p`, look).Scan(&day)
	if err != nil || day.Int64 == 0 {
		return time.Time{}, err
	}
	return dayStart(day.Int64), nil
}

// ClosedThrough is FrozenThrough for days that are closed, be it provisionally.
func (r *Registry) ClosedThrough(ctx context.Context) (time.Time, error) {
	day, err := r.newestDay(ctx, "max(day)")
	if err != nil {
		return time.Time{}, fmt.Errorf("find the newest closed day: %w", err)
	}
	return day, nil
}

// CasesLookedAt is the newest frozen day of which all suspicions are cases; zero before the first.
func (r *Registry) CasesLookedAt(ctx context.Context) (time.Time, error) {
	var day int64
	err := r.read.QueryRowContext(ctx, "SELECT day FROM case_progress").Scan(&day)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read how far cases have come: %w", err)
	}
	return dayStart(day), nil
}

// NoteCasesLookedAt moves that day forward, never back.
func (r *Registry) NoteCasesLookedAt(ctx context.Context, day time.Time) error {
	_, err := r.write.ExecContext(ctx, "INSERT INTO case_progress (one, day) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET day = max(case_progress.day, excluded.day)", dayNumber(day))
	if err != nil {
		return fmt.Errorf("note how far cases have come: %w", err)
	}
	return nil
}

// FailingPiles gives the piles with a frozen day that were usable under a share (0-1) of their unexcused minutes
// in the last two weeks to that day. No rule of long-failed piles but no_energy holds of any other.
func (r *Registry) FailingPiles(ctx context.Context, day time.Time, under float64) ([]charge.PileID, error) {
	const window = 14
	month, last := monthNumber(day)
	var failing []charge.PileID
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var pile charge.PileID
		var now, before sql.RawBytes
		if err := rows.Scan(&pile.Operator, &pile.Equipment, &now, &before); err != nil {
			return err
		}
		m, err := decodeMonth(now)
		if err != nil {
			return fmt.Errorf("%s: %w", pile, err)
		}
		if m.frozen&(1<<last) == 0 {
			return nil
		}
		var usable, all int
		add := func(m *monthOfDays, from, to int) {
			for i := max(from, 0); i <= to; i++ {
				if m.present&(1<<i) != 0 {
					usable += int(m.days[i].Usable)
					all += m.days[i].InService() - int(m.days[i].Excused)
				}
			}
		}
		add(m, last-window+1, last)
		if missing := window - 1 - last; missing > 0 && len(before) > 0 {
			if m, err = decodeMonth(before); err != nil {
				return fmt.Errorf("%s: %w", pile, err)
			}
			_, end := monthNumber(day.AddDate(0, 0, -last-1))
			add(m, end-missing+1, end)
		}
		if float64(usable) <= under*float64(all) { // all 0: excused or closed, and the rules look further back
			failing = append(failing, pile)
		}
		return nil
	}, `SELECT t.operator, t.pile, t.days, b.days FROM pile_month t LEFT JOIN pile_month b ON b.month = t.month - 1 AND b.operator = t.operator AND b.pile = t.pile
		WHERE t.month = ? ORDER BY t.operator, t.pile`, month)
	if err != nil {
		return nil, fmt.Errorf("find failing piles of %s: %w", dateText(day), err)
	}
	return failing, nil
}
