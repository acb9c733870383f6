package registry

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pilewatch/internal/charge"
)

// A Scope is which township-level divisions are counted.
type Scope string

// The plan counts towns and townships (乡镇); streets, and all with development zones, stand apart.
const (
	Towns   Scope = "towns"
	Streets Scope = "streets"
	All     Scope = "all"
)

// A CoverageDay counts the townships of a division by what they were at a day's end.
type CoverageDay struct {
	Division                                       charge.DivisionCode
	Day                                            time.Time // 00:00 Asia/Shanghai
	Effective, Failing, Unverified, Starting, None int
	Proven, NotObserved                            int
}

// Total is all townships that were judged on that day.
func (d *CoverageDay) Total() int {
	return d.Effective + d.Failing + d.Unverified + d.Starting + d.None
}

func (d *CoverageDay) add(t *TownshipDay, n int) {
	switch t.State {
	case charge.Effective:
		d.Effective += n
	case charge.Failing:
		d.Failing += n
	case charge.Unverified:
		d.Unverified += n
	case charge.Starting:
		d.Starting += n
	case charge.None:
		d.None += n
	}
	if t.Proven {
		d.Proven += n
	}
	if t.NotObserved {
		d.NotObserved += n
	}
}

// coverageKey is a row of coverage_day.
type coverageKey struct {
	division charge.DivisionCode
	scope    Scope
	day      int64
}

// saveTownshipDays writes what townships were at a day's end, and moves the sums of the divisions
// above them by the difference, so that a repeat changes nothing and a sum is always its parts'.
func saveTownshipDays(ctx context.Context, tx *sql.Tx, seq int64, days []TownshipDay) error {
	if len(days) == 0 {
		return nil
	}
	var get, latest, kind *sql.Stmt
	if err := prepareAll(ctx, tx, map[string]**sql.Stmt{
		"SELECT state, reason, not_observed, proven, log_seq FROM township_day WHERE township = ? AND day = ?": &get,
		"SELECT coalesce(max(day), -1) FROM township_day WHERE township = ?":                                   &latest,
		"SELECT kind FROM divisions WHERE code = ?":                                                            &kind,
	}); err != nil {
		return err
	}
	columns := []string{"township", "day", "state", "reason", "not_observed", "proven", "log_seq"}
	put := newBulk(tx, "INSERT INTO township_day ("+strings.Join(columns, ", ")+")", onConflict(2, columns...), len(columns))
	type about struct {
		latest int64 // day that is there, -1 for none
		before *TownshipDay
		scopes []Scope
	}
	known := make(map[charge.DivisionCode]about)
	moved := make(map[coverageKey]*CoverageDay)
	ordered := slices.Clone(days) // as the table is
	slices.SortStableFunc(ordered, func(a, b TownshipDay) int {
		return cmp.Or(cmp.Compare(a.Township, b.Township), a.Day.Compare(b.Day))
	})
	for i := range ordered {
		t := &ordered[i]
		day := dayNumber(t.Day)
		of, seen := known[t.Township]
		if !seen {
			if err := latest.QueryRowContext(ctx, string(t.Township)).Scan(&of.latest); err != nil {
				return fmt.Errorf("read last day of township %s: %w", t.Township, err)
			}
			var err error
			if of.scopes, err = scopesOf(ctx, kind, t.Township); err != nil {
				return err
			}
		}
		var before TownshipDay
		var stored int64
		there := false
		if t.Story && day <= of.latest {
			known[t.Township] = of
			continue // a step's days follow each other, and its last is always there: this one was counted
		}
		if day <= of.latest {
			if err := put.flush(ctx); err != nil { // it may hold that day
				return fmt.Errorf("write days of townships: %w", err)
			}
			err := get.QueryRowContext(ctx, string(t.Township), day).Scan(&before.State, &before.Reason, &before.NotObserved, &before.Proven, &stored)
			there = err == nil
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("read day of township %s: %w", t.Township, err)
			}
		}
		if there && stored > seq {
			known[t.Township] = of
			continue
		}
		last := i+1 == len(ordered) || ordered[i+1].Township != t.Township
		keep := !t.Story || last || of.before == nil || !of.before.alike(t)
		of.latest, of.before = max(of.latest, day), t
		known[t.Township] = of
		if !keep {
			// Only in the sums.
		} else if err := put.add(ctx, string(t.Township), day, string(t.State), t.Reason, t.NotObserved, t.Proven, seq); err != nil {
			return fmt.Errorf("write days of townships: %w", err)
		}
		for above := t.Township.Parent(); above != ""; above = above.Parent() {
			for _, scope := range of.scopes {
				key := coverageKey{above, scope, day}
				if moved[key] == nil {
					moved[key] = &CoverageDay{}
				}
				moved[key].add(t, 1)
				if there {
					moved[key].add(&before, -1)
				}
			}
		}
	}
	if err := put.flush(ctx); err != nil {
		return fmt.Errorf("write days of townships: %w", err)
	}
	return moveCoverage(ctx, tx, moved)
}

// alike tells whether the day ended as the other did.
func (t *TownshipDay) alike(o *TownshipDay) bool {
	return t.State == o.State && t.Reason == o.Reason && t.NotObserved == o.NotObserved && t.Proven == o.Proven
}

// moveCoverage adds differences to the sums of divisions.
func moveCoverage(ctx context.Context, tx *sql.Tx, moved map[coverageKey]*CoverageDay) error {
	sum := newBulk(tx, "INSERT INTO coverage_day AS d (division, scope, day, effective, failing, unverified, starting, none, proven, not_observed)",
		`ON CONFLICT (division, scope, day) DO UPDATE SET effective = d.effective + excluded.effective, failing = d.failing + excluded.failing,
		unverified = d.unverified + excluded.unverified, starting = d.starting + excluded.starting, none = d.none + excluded.none,
		proven = d.proven + excluded.proven, not_observed = d.not_observed + excluded.not_observed`, 10)
	for _, key := range slices.SortedFunc(maps.Keys(moved), coverageKey.compare) {
		d := moved[key]
		if *d == (CoverageDay{}) {
			continue
		}
		if err := sum.add(ctx, string(key.division), string(key.scope), key.day, d.Effective, d.Failing, d.Unverified, d.Starting,
			d.None, d.Proven, d.NotObserved); err != nil {
			return fmt.Errorf("write coverage of divisions: %w", err)
		}
	}
	if err := sum.flush(ctx); err != nil {
		return fmt.Errorf("write coverage of divisions: %w", err)
	}
	return nil
}

func (k coverageKey) compare(o coverageKey) int {
	return cmp.Or(cmp.Compare(k.division, o.division), cmp.Compare(k.scope, o.scope), cmp.Compare(k.day, o.day))
}

// scopesOf tells in which counts a township is, by the list of today, or by its code where it has
// left the list.
func scopesOf(ctx context.Context, kinds *sql.Stmt, township charge.DivisionCode) ([]Scope, error) {
	kind := kindOf(township)
	if err := kinds.QueryRowContext(ctx, string(township)).Scan(&kind); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read kind of township %s: %w", township, err)
	}
	switch kind {
	case charge.KindTown, charge.KindTownship:
		return []Scope{All, Towns}, nil
	case charge.KindStreet:
		return []Scope{All, Streets}, nil
	}
	return []Scope{All}, nil
}

// TownshipDays gives what the townships in a division were at the ends of the days from the day of
// from to that of to, both inclusive, by township and day.
func (r *Registry) TownshipDays(ctx context.Context, division charge.DivisionCode, from, to time.Time) ([]TownshipDay, error) {
	first, last := dayNumber(from), dayNumber(to)
	index := ""
	if len(division) < 6 && last-first < 31 { // many townships and few days
		index = "INDEXED BY township_day_day "
	}
	lowest, before := divisionRange(division)
	var all []TownshipDay
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var t TownshipDay
		var day int64
		if err := rows.Scan(&t.Township, &day, &t.State, &t.Reason, &t.NotObserved, &t.Proven); err != nil {
			return err
		}
		t.Day = dayStart(day)
		all = append(all, t)
		return nil
	}, "SELECT township, day, state, reason, not_observed, proven FROM township_day "+index+
		"WHERE township >= ? AND township < ? AND day >= ? AND day <= ? ORDER BY township, day", lowest, before, first, last)
	if err != nil {
		return nil, fmt.Errorf("read days of townships in %s: %w", division, err)
	}
	if len(division) >= 6 { // where whole days are drawn
		if all, err = r.withStoryDays(ctx, division, all, first, last); err != nil {
			return nil, fmt.Errorf("read days of townships in %s: %w", division, err)
		}
	}
	if len(division) == 9 {
		return r.withOldDays(ctx, division, all, first, last)
	}
	return all, nil
}

// withOldDays puts the days before a township was renamed before its own, under its own code. One into which several were merged
// has no other past than its own.
func (r *Registry) withOldDays(ctx context.Context, township charge.DivisionCode, own []TownshipDay, first, last int64) ([]TownshipDay, error) {
	seen := map[charge.DivisionCode]bool{township: true}
	for code := township; ; {
		var was charge.DivisionCode
		var from int64
		var n int
		if err := r.read.QueryRowContext(ctx, "SELECT coalesce(max(old), ''), coalesce(max(from_day), 0), count(*) FROM township_renames WHERE new = ?", string(code)).
			Scan(&was, &from, &n); err != nil {
			return nil, fmt.Errorf("read what %s was before: %w", code, err)
		}
		if n != 1 || seen[was] {
			return own, nil
		}
		seen[was], code = true, was
		own = slices.DeleteFunc(own, func(d TownshipDay) bool { return dayNumber(d.Day) < from })
		var before []TownshipDay
		err := each(ctx, r.read, func(rows *sql.Rows) error {
			t := TownshipDay{Township: township}
			var day int64
			if err := rows.Scan(&day, &t.State, &t.Reason, &t.NotObserved, &t.Proven); err != nil {
				return err
			}
			t.Day = dayStart(day)
			before = append(before, t)
			return nil
		}, "SELECT day, state, reason, not_observed, proven FROM township_day WHERE township = ? AND day >= ? AND day <= ? AND day < ? ORDER BY day",
			string(was), first, last, from)
		if err != nil {
			return nil, fmt.Errorf("read days of %s, which %s was before: %w", was, township, err)
		}
		own = append(before, own...)
	}
}

// CoverageDays gives the counts of a province, city or county for the days from the day of from to
// that of to, both inclusive, that were saved.
func (r *Registry) CoverageDays(ctx context.Context, division charge.DivisionCode, scope Scope, from, to time.Time) ([]CoverageDay, error) {
	var all []CoverageDay
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		d := CoverageDay{Division: division}
		var day int64
		if err := rows.Scan(&day, &d.Effective, &d.Failing, &d.Unverified, &d.Starting, &d.None, &d.Proven, &d.NotObserved); err != nil {
			return err
		}
		d.Day = dayStart(day)
		all = append(all, d)
		return nil
	}, `SELECT day, effective, failing, unverified, starting, none, proven, not_observed FROM coverage_day
		WHERE division = ? AND scope = ? AND day >= ? AND day <= ? ORDER BY day`, string(division), string(scope), dayNumber(from), dayNumber(to))
	if err != nil {
		return nil, fmt.Errorf("read coverage of %s: %w", division, err)
	}
	return all, nil
}

// saveEvents keeps the events of coverage; the others are for whoever looks just then.
func saveEvents(ctx context.Context, tx *sql.Tx, events []charge.Event) error {
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case charge.CoverageGained, charge.CoverageLost, charge.CoverageUnsteady:
		default:
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO coverage_event (id, at, kind, township, operator, station, before, after, reason, share)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`, e.ID, e.At.UnixMilli(), string(e.Kind), string(e.Township),
			string(e.Operator), e.Station, e.Before, e.After, e.Reason, e.Share); err != nil {
			return fmt.Errorf("write event %s: %w", e.ID, err)
		}
	}
	return nil
}

// CoverageEvents gives gains, losses and unsteadiness in a division from from to before until, the
// newest first, at most limit.
func (r *Registry) CoverageEvents(ctx context.Context, division charge.DivisionCode, from, until time.Time, limit int) ([]charge.Event, error) {
	index := "coverage_event_at"
	if len(division) == 9 {
		index = "coverage_event_township"
	}
	lowest, before := divisionRange(division)
	var all []charge.Event
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var e charge.Event
		var at sql.NullInt64
		var share sql.NullFloat64
		if err := rows.Scan(&e.ID, &at, &e.Kind, &e.Township, &e.Operator, &e.Station, &e.Before, &e.After, &e.Reason, &share); err != nil {
			return err
		}
		e.At = fromMillis(at, time.UTC)
		if share.Valid {
			e.Share = &share.Float64
		}
		all = append(all, e)
		return nil
	}, `SELECT id, at, kind, township, operator, station, before, after, reason, share FROM coverage_event INDEXED BY `+index+`
		WHERE township >= ? AND township < ? AND at >= ? AND at < ? ORDER BY at DESC, id DESC LIMIT ?`,
		lowest, before, from.UnixMilli(), until.UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("read coverage events of %s: %w", division, err)
	}
	return all, nil
}
