package registry

import (
	"bytes"
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"time"

	"pilewatch/internal/charge"
)

// The divisions that the program carries: Shandong by the National Bureau of Statistics' codes.
//
//go:embed data/divisions.csv
var defaultDivisions []byte

// DefaultDivisionsAsOf is the version date of the divisions that the program carries.
const DefaultDivisionsAsOf = "2023-06-30"

const asOfSetting = "divisions_as_of"

var divisionColumns = columnsOf("code,name", "code", "name", "level", "parent_code", "kind", "as_of")

func (r *Registry) loadDefaultDivisions(ctx context.Context) error {
	asOf, err := time.ParseInLocation(time.DateOnly, DefaultDivisionsAsOf, charge.Zone)
	if err != nil {
		return fmt.Errorf("read date of default divisions: %w", err)
	}
	done, err := r.ImportDivisions(ctx, bytes.NewReader(defaultDivisions), asOf)
	if err != nil {
		return fmt.Errorf("load default divisions: %w", err)
	}
	r.log.Info("loaded the default divisions", "divisions", done.Added, "as_of", DefaultDivisionsAsOf)
	return nil
}

// DivisionsAsOf is the version date of the divisions, like "2023-06-30".
func (r *Registry) DivisionsAsOf(ctx context.Context) (string, error) {
	asOf, err := readAsOf(ctx, r.read)
	if err != nil {
		return "", fmt.Errorf("read date of divisions: %w", err)
	}
	return asOf, nil
}

func readAsOf(ctx context.Context, q querier) (asOf string, err error) {
	err = q.QueryRowContext(ctx, "SELECT value FROM setting WHERE name = ?", asOfSetting).Scan(&asOf)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return asOf, err
}

// ImportDivisions is Import for divisions with the date of the list, which the column as_of may
// give as well. A list of another date replaces the whole: codes that it no longer has are removed,
// unless a station stands there. Without a date, or with the present one, the rows of the file
// correct the present list.
func (r *Registry) ImportDivisions(ctx context.Context, src io.Reader, asOf time.Time) (Imported, error) {
	bad := &ImportError{Table: Divisions}
	st, err := parseDivisions(src, asOf, bad)
	if err != nil {
		return Imported{}, err
	}
	return r.take(ctx, Divisions, st, bad)
}

func parseDivisions(src io.Reader, asOf time.Time, bad *ImportError) (stage, error) {
	st := &divisionStage{rows: make(map[charge.DivisionCode]divisionRow)}
	if !asOf.IsZero() {
		st.asOf = asOf.In(charge.Zone).Format(time.DateOnly)
	}
	seen := make(map[charge.DivisionCode]int)
	err := readCSV(src, divisionColumns, bad, func(rec *record) { st.add(rec, seen) })
	return st, err
}

type divisionRow struct {
	charge.Division
	line int
}

type divisionStage struct {
	asOf string // "": correct the present list
	rows map[charge.DivisionCode]divisionRow

	changed []charge.Division
	removed []charge.DivisionCode
}

func (st *divisionStage) add(rec *record, seen map[charge.DivisionCode]int) {
	code, err := charge.ParseDivisionCode(rec.raw("code"))
	if err != nil {
		rec.fail("code", "%s is not a code: want 2, 4, 6 or 9 digits", quote(rec.raw("code")))
		return
	}
	d := charge.Division{
		Code: code, Name: rec.needed("name"), Level: code.Level(), Parent: code.Parent(), Kind: kindOf(code),
	}
	if level := rec.raw("level"); level != "" && level != string(d.Level) {
		rec.fail("level", "%s, where a code of %d digits is a %s", quote(level), len(code), d.Level)
	}
	if parent := rec.raw("parent_code"); parent != "" && parent != string(d.Parent) {
		rec.fail("parent_code", "%s, where the code starts with %s", quote(parent), quote(string(d.Parent)))
	}
	if kind := rec.raw("kind"); kind != "" {
		switch d.Level {
		case charge.County:
			d.Kind = charge.DivisionKind(rec.oneOf("kind", true, string(charge.KindCounty), string(charge.KindZone)))
		case charge.Township:
			d.Kind = charge.DivisionKind(rec.oneOf("kind", true, string(charge.KindStreet), string(charge.KindTown),
				string(charge.KindTownship), string(charge.KindQuasi)))
		default:
			rec.fail("kind", "%s, where only counties and townships have a kind", quote(kind))
		}
	}
	if day := rec.day("as_of", false); !day.IsZero() {
		switch asOf := day.Format(time.DateOnly); st.asOf {
		case "", asOf:
			st.asOf = asOf
		default:
			rec.fail("as_of", "%s, where the list is of %s", asOf, st.asOf)
		}
	}
	firstLine(seen, rec, "code", code, string(code))
	if _, ok := st.rows[code]; !ok { // a row with an error, too: others may have it as their parent
		st.rows[code] = divisionRow{Division: d, line: rec.line}
	}
}

// kindOf tells the kind by the code: of a township-level division by its last three digits (GB/T
// 10114), of a county by the zones' 37xx7x.
func kindOf(code charge.DivisionCode) charge.DivisionKind {
	switch code.Level() {
	case charge.County:
		if code[4] == '7' {
			return charge.KindZone
		}
		return charge.KindCounty
	case charge.Township:
		switch last := code[6:]; {
		case last == "000":
			return charge.KindUnclassified
		case last < "100":
			return charge.KindStreet
		case last < "200":
			return charge.KindTown
		case last < "400":
			return charge.KindTownship
		case last < "600":
			return charge.KindQuasi
		}
	}
	return charge.KindUnclassified
}

func (st *divisionStage) check(ctx context.Context, q querier, _ time.Time, bad *ImportError) (done Imported, err error) {
	st.changed, st.removed = nil, nil
	present, err := readDivisions(ctx, q)
	if err != nil {
		return done, err
	}
	asOf, err := readAsOf(ctx, q)
	if err != nil {
		return done, err
	}
	known := make(map[charge.DivisionCode]charge.Division, len(present))
	for _, d := range present {
		known[d.Code] = d
	}
	whole := st.asOf != "" && st.asOf != asOf
	for _, code := range sortedKeys(st.rows) {
		row := st.rows[code]
		if row.Parent != "" {
			_, inFile := st.rows[row.Parent]
			_, inRegistry := known[row.Parent]
			if !inFile && (whole || !inRegistry) {
				bad.add(row.line, "code", "unknown parent %s", row.Parent)
			}
		}
		switch before, ok := known[code]; {
		case !ok:
			done.Added++
		case before != row.Division:
			done.Updated++
		default:
			done.Unchanged++
			continue
		}
		st.changed = append(st.changed, row.Division)
	}
	if !whole || len(bad.Rows) > 0 {
		return done, nil
	}
	stations, err := stationsByTownship(ctx, q)
	if err != nil {
		return done, err
	}
	for _, d := range present {
		if _, ok := st.rows[d.Code]; ok {
			continue
		}
		if station, ok := stations[d.Code]; ok {
			bad.add(1, "code", "%s %s is missing in the list of %s, and station %s stands there: move it first",
				d.Code, d.Name, st.asOf, station)
		}
		st.removed = append(st.removed, d.Code)
	}
	done.Removed = len(st.removed)
	if done.Added+done.Updated+done.Removed == 0 && len(st.rows) > 0 {
		// The same list with a newer date: written once, so that the date is.
		for _, code := range sortedKeys(st.rows) {
			if code.Level() == charge.Province {
				st.changed = append(st.changed, st.rows[code].Division)
				done.Updated, done.Unchanged = done.Updated+1, done.Unchanged-1
			}
		}
	}
	return done, nil
}

func stationsByTownship(ctx context.Context, q querier) (map[charge.DivisionCode]string, error) {
	found := make(map[charge.DivisionCode]string)
	err := each(ctx, q, func(rows *sql.Rows) error {
		var township charge.DivisionCode
		var station string
		if err := rows.Scan(&township, &station); err != nil {
			return err
		}
		found[township] = station
		return nil
	}, "SELECT township, min(operator || ':' || station) FROM stations GROUP BY township")
	return found, err
}

func (st *divisionStage) apply(ctx context.Context, tx *sql.Tx, rev int64) error {
	var put, remove *sql.Stmt
	if err := prepareAll(ctx, tx, map[string]**sql.Stmt{
		`INSERT INTO divisions (code, name, level, parent, kind, rev) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (code) DO UPDATE SET name = excluded.name, level = excluded.level, parent = excluded.parent,
			kind = excluded.kind, rev = excluded.rev`: &put,
		"DELETE FROM divisions WHERE code = ?": &remove,
	}); err != nil {
		return err
	}
	for _, d := range st.changed {
		if _, err := put.ExecContext(ctx, string(d.Code), d.Name, string(d.Level), string(d.Parent), string(d.Kind), rev); err != nil {
			return fmt.Errorf("write division %s: %w", d.Code, err)
		}
	}
	for _, code := range st.removed {
		if _, err := remove.ExecContext(ctx, string(code)); err != nil {
			return fmt.Errorf("remove division %s: %w", code, err)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM township_state WHERE township = ?", string(code)); err != nil {
			return fmt.Errorf("remove state of township %s: %w", code, err)
		}
	}
	if st.asOf == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO setting (name, value) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, asOfSetting, st.asOf)
	if err != nil {
		return fmt.Errorf("write date of divisions: %w", err)
	}
	return nil
}

// readDivisions reads all divisions, sorted by code.
func readDivisions(ctx context.Context, q querier) ([]charge.Division, error) {
	var all []charge.Division
	err := each(ctx, q, func(rows *sql.Rows) error {
		var d charge.Division
		if err := rows.Scan(&d.Code, &d.Name, &d.Level, &d.Parent, &d.Kind); err != nil {
			return err
		}
		all = append(all, d)
		return nil
	}, "SELECT code, name, level, parent, kind FROM divisions ORDER BY code")
	if err != nil {
		return nil, fmt.Errorf("read divisions: %w", err)
	}
	return all, nil
}

func exportDivisions(ctx context.Context, q querier, row func(...string) error) error {
	asOf, err := readAsOf(ctx, q)
	if err != nil {
		return err
	}
	all, err := readDivisions(ctx, q)
	if err != nil {
		return err
	}
	for _, d := range all {
		err := row(string(d.Code), d.Name, string(d.Level), string(d.Parent), string(d.Kind), asOf)
		if err != nil {
			return err
		}
	}
	return nil
}

// divisionRange gives the half-open range of township codes inside a division, for an index.
func divisionRange(code charge.DivisionCode) (from, before string) {
	return string(code), string(code) + ":" // ':' follows '9'
}
