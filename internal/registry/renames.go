package registry

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"fmt"
	"io"
	"time"

	"pilewatch/internal/charge"
)

var renameColumns = columnsOf("old,new,date", "old", "new", "date", "document")

// A renameRow is a township that has another code from a date on, alone (renamed) or with others (merged).
type renameRow struct {
	was, is  charge.DivisionCode
	date     string // 2006-01-02
	document string
	line     int
}

type renameStage struct {
	rows    []renameRow
	now     time.Time // of the check
	changed []renameRow
	moves   []stationChange
}

func parseRenames(src io.Reader, bad *ImportError) (stage, error) {
	st := &renameStage{}
	seen := make(map[charge.DivisionCode]int)
	err := readCSV(src, renameColumns, bad, func(rec *record) {
		row := renameRow{line: rec.line, document: rec.text("document")}
		for column, code := range map[string]*charge.DivisionCode{"old": &row.was, "new": &row.is} {
			var err error
			if *code, err = charge.ParseDivisionCode(rec.raw(column)); err != nil || code.Level() != charge.Township {
				rec.fail(column, "%s is not a township's code: want 9 digits", quote(rec.raw(column)))
			}
		}
		if row.was == row.is {
			rec.fail("new", "%s is the old code", row.is)
		}
		day, err := time.ParseInLocation(time.DateOnly, rec.raw("date"), charge.Zone)
		if err != nil {
			rec.fail("date", "%s is not a date: want 2006-01-02", quote(rec.raw("date")))
		}
		row.date = day.Format(time.DateOnly)
		firstLine(seen, rec, "old", row.was, string(row.was))
		st.rows = append(st.rows, row)
	})
	return st, err
}

func (st *renameStage) check(ctx context.Context, q querier, now time.Time, bad *ImportError) (done Imported, err error) {
	st.now, st.changed, st.moves = now, nil, nil
	townships, err := stringSet[charge.DivisionCode](ctx, q, "SELECT code FROM divisions WHERE level = ?", string(charge.Township))
	if err != nil {
		return done, err
	}
	known := make(map[charge.DivisionCode]renameRow)
	if err := readRenames(ctx, q, func(row renameRow, _ int64) error {
		known[row.was] = row
		return nil
	}); err != nil {
		return done, err
	}
	to := make(map[charge.DivisionCode]charge.DivisionCode)
	for _, row := range st.rows {
		before, recorded := known[row.was]
		switch {
		case !townships[row.is] && !recorded:
			bad.add(row.line, "new", "unknown township %s: import the list of divisions without a date first, which adds it", row.is)
		case recorded && (before.is != row.is || before.date != row.date):
			bad.add(row.line, "old", "%s became %s on %s already, which stays on record", row.was, before.is, before.date)
		case recorded && before.document == row.document:
			done.Unchanged++
		case recorded:
			st.changed = append(st.changed, row)
			done.Updated++
		default:
			st.changed = append(st.changed, row)
			to[row.was] = row.is
			done.Added++
		}
	}
	if len(bad.Rows) > 0 || len(to) == 0 {
		return done, nil
	}
	return done, readStations(ctx, q, func(_ int64, s stationRow) error {
		if is, ok := to[s.Township]; ok {
			before := s
			s.Township = is
			st.moves = append(st.moves, stationChange{row: s, before: &before})
		}
		return nil
	}, "")
}

// apply moves the stations along: their terms hold from the day after. Nobody has to confirm that.
func (st *renameStage) apply(ctx context.Context, tx *sql.Tx, rev int64) error {
	day := dayNumber(startOfDay(st.now).AddDate(0, 0, 1))
	for _, row := range st.changed {
		if _, err := tx.ExecContext(ctx, `INSERT INTO township_renames (old, new, date, from_day, document) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (old) DO UPDATE SET document = excluded.document`, string(row.was), string(row.is), row.date, day, row.document); err != nil {
			return fmt.Errorf("write that %s became %s: %w", row.was, row.is, err)
		}
	}
	if len(st.moves) == 0 {
		return nil
	}
	if err := markTable(ctx, tx, string(Stations), rev); err != nil {
		return err
	}
	moves := stationStage{now: st.now, changed: st.moves}
	return moves.apply(ctx, tx, rev)
}

// readRenames gives the renames and the day (dayNumber) from which each holds.
func readRenames(ctx context.Context, q querier, fn func(row renameRow, day int64) error) error {
	err := each(ctx, q, func(rows *sql.Rows) error {
		var row renameRow
		var day int64
		if err := rows.Scan(&row.was, &row.is, &row.date, &day, &row.document); err != nil {
			return err
		}
		return fn(row, day)
	}, "SELECT old, new, date, from_day, document FROM township_renames ORDER BY old")
	if err != nil {
		return fmt.Errorf("read renamed townships: %w", err)
	}
	return nil
}

func exportRenames(ctx context.Context, q querier, row func(...string) error) error {
	return readRenames(ctx, q, func(r renameRow, _ int64) error { return row(string(r.was), string(r.is), r.date, r.document) })
}

// Renames gives what each old code of a township has become, one step at a time.
func (r *Registry) Renames(ctx context.Context) (map[charge.DivisionCode]charge.DivisionCode, error) {
	all := make(map[charge.DivisionCode]charge.DivisionCode)
	err := readRenames(ctx, r.read, func(row renameRow, _ int64) error {
		all[row.was] = row.is
		return nil
	})
	return all, err
}

// PlanTownships gives the towns and townships (乡镇) of the list that the plan's figure counts: 1,129 as of
// DefaultDivisionsAsOf, whatever list is in force.
func PlanTownships() ([]charge.Division, error) {
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(defaultDivisions, []byte("\ufeff")))).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read the plan's list of divisions: %w", err)
	}
	at := make(map[string]int)
	for i, name := range rows[0] {
		at[name] = i
	}
	var all []charge.Division
	for _, row := range rows[1:] {
		code, err := charge.ParseDivisionCode(row[at["code"]])
		if err != nil {
			return nil, fmt.Errorf("read the plan's list of divisions: %w", err)
		}
		d := charge.Division{Code: code, Name: row[at["name"]], Level: code.Level(), Parent: code.Parent(), Kind: kindOf(code)}
		if d.Level == charge.Township && d.Counted() {
			all = append(all, d)
		}
	}
	return all, nil
}
