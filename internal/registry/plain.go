package registry

import (
	"context"
	"database/sql"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"pilewatch/internal/charge"
)

// A plainTable is a file whose rows are stored as they are: its columns are the table's, the first
// ones its key.
type plainTable struct {
	name    Table
	columns []column
	keys    int
	read    func(rec *record) []string // the row in the form of the export
}

var (
	townshipTable = plainTable{Townships, columnsOf("township", "township", "lng", "lat", "crs", "population", "grid_headroom_kva", "road_class", "tags"), 1, readTownshipFacts}
	statTable     = plainTable{Statistics, columnsOf("division,indicator,date,value", "division", "indicator", "date", "value", "source"), 3, readStatistic}
	targetTable   = plainTable{TargetFile, columnsOf("division,indicator,year,value,kind,comparison", "division", "indicator", "year", "value", "kind", "comparison", "document"), 3, readTargetRow}
	holidayTable  = plainTable{Holidays, columnsOf("date,kind", "date", "kind", "name", "document"), 1, readHoliday}
)

func plainTableOf(t Table) (plainTable, bool) {
	for _, one := range []plainTable{townshipTable, statTable, targetTable, holidayTable} {
		if one.name == t {
			return one, true
		}
	}
	return plainTable{}, false
}

// The priority tags of a township (judgement.md §6).
var townshipTags = []string{"城乡结合部", "乡镇驻地", "搬迁安置区", "齐鲁样板示范区", "乡村旅游重点村", "和美乡村"}

func readTownshipFacts(rec *record) []string {
	code, err := charge.ParseDivisionCode(rec.raw("township"))
	if err != nil || code.Level() != charge.Township {
		rec.fail("township", "%s is not a township's code: want 9 digits", quote(rec.raw("township")))
	}
	var point stationRow
	readPoint(rec, &point)
	var lng, lat, crs, population, headroom string
	if point.HasPoint {
		lng, lat, crs = plain(point.Lng), plain(point.Lat), "wgs84"
	}
	if v, ok := rec.whole("population", 0, 10_000_000); ok {
		population = strconv.FormatInt(v, 10)
	}
	if v, ok := rec.number("grid_headroom_kva", -1e6, 1e6); ok {
		headroom = plain(v)
	}
	var tags []string
	for tag := range strings.SplitSeq(rec.text("tags"), ";") {
		if tag = strings.TrimSpace(tag); tag == "" {
			continue
		}
		if !slices.Contains(townshipTags, tag) {
			rec.fail("tags", "%s is none of %s, separated by ;", quote(tag), strings.Join(townshipTags, ", "))
		}
		tags = append(tags, tag)
	}
	slices.SortFunc(tags, func(a, b string) int { return slices.Index(townshipTags, a) - slices.Index(townshipTags, b) })
	return []string{string(code), lng, lat, crs, population, headroom, rec.text("road_class"), strings.Join(slices.Compact(tags), ";")}
}

// readIndicator reads a division and one of the indicators that have a name.
func readIndicator(rec *record) (division, indicator string) {
	code, err := charge.ParseDivisionCode(rec.raw("division"))
	if err != nil {
		rec.fail("division", "%s is not a code: want 2, 4, 6 or 9 digits", quote(rec.raw("division")))
	}
	rows, err := csv.NewReader(strings.NewReader(indicatorFile)).ReadAll()
	if err != nil {
		rec.fail("indicator", "%v", err)
		return string(code), ""
	}
	var words []string
	for _, row := range rows[1:] {
		words = append(words, row[0])
	}
	return string(code), rec.oneOf("indicator", true, words...)
}

func readValue(rec *record) string {
	v, ok := rec.number("value", -1e12, 1e12)
	if !ok {
		if rec.raw("value") == "" {
			rec.fail("value", "missing")
		}
		return ""
	}
	return plain(v)
}

func readStatistic(rec *record) []string {
	division, indicator := readIndicator(rec)
	day := rec.day("date", true)
	date := ""
	if !day.IsZero() {
		date = day.Format(time.DateOnly)
	}
	return []string{division, indicator, date, readValue(rec), rec.text("source")}
}

func readTargetRow(rec *record) []string {
	division, indicator := readIndicator(rec)
	year, ok := rec.whole("year", 2000, 2100)
	if !ok && rec.raw("year") == "" {
		rec.fail("year", "missing")
	}
	return []string{
		division, indicator, strconv.FormatInt(year, 10), readValue(rec), rec.oneOf("kind", true, "stock", "flow", "share"),
		rec.oneOf("comparison", true, "=", ">="), rec.text("document"),
	}
}

type plainStage struct {
	table   plainTable
	rows    []plainRow
	changed [][]string
}

type plainRow struct {
	fields []string
	line   int
}

func (t plainTable) parse(src io.Reader, bad *ImportError) (stage, error) {
	st := &plainStage{table: t}
	seen := make(map[string]int)
	err := readCSV(src, t.columns, bad, func(rec *record) {
		fields := t.read(rec)
		if !rec.wrong {
			firstLine(seen, rec, t.columns[0].name, t.key(fields), strings.Join(fields[:t.keys], " "))
		}
		st.rows = append(st.rows, plainRow{fields, rec.line})
	})
	return st, err
}

func (t plainTable) key(fields []string) string { return strings.Join(fields[:t.keys], "\x00") }

func (st *plainStage) check(ctx context.Context, q querier, _ time.Time, bad *ImportError) (done Imported, err error) {
	st.changed = nil
	divisions, err := stringSet[string](ctx, q, "SELECT code FROM divisions")
	if err != nil {
		return done, err
	}
	present := make(map[string][]string)
	if err := st.table.each(ctx, q, func(fields ...string) error {
		present[st.table.key(fields)] = fields
		return nil
	}); err != nil {
		return done, err
	}
	for _, row := range st.rows {
		if code := row.fields[0]; code != "" && st.table.name != Holidays && !divisions[code] {
			bad.add(row.line, st.table.columns[0].name, "unknown division %s", code)
		}
		switch before, ok := present[st.table.key(row.fields)]; {
		case !ok:
			done.Added++
		case !slices.Equal(before, row.fields):
			done.Updated++
		default:
			done.Unchanged++
			continue
		}
		st.changed = append(st.changed, row.fields)
	}
	return done, nil
}

func (st *plainStage) apply(ctx context.Context, tx *sql.Tx, _ int64) error {
	t := st.table
	//nolint:gosec // the names are ours
	put, err := tx.PrepareContext(ctx, upsert(string(t.name), t.keys, strings.Split(names(t.columns), ", ")...))
	if err != nil {
		return err
	}
	for _, fields := range st.changed {
		args := make([]any, len(fields))
		for i, f := range fields {
			if f != "" {
				args[i] = f // a number's text is a number in a column of numbers
			}
		}
		if _, err := put.ExecContext(ctx, args...); err != nil {
			return fmt.Errorf("write %s of %s: %w", t.name, fields[0], err)
		}
	}
	return nil
}

// each gives every row in the form of the export, sorted by key.
func (t plainTable) each(ctx context.Context, q querier, row func(...string) error) error {
	keys := names(t.columns[:t.keys])
	err := each(ctx, q, func(rows *sql.Rows) error {
		values, into := make([]any, len(t.columns)), make([]any, len(t.columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		fields := make([]string, len(values))
		for i, v := range values {
			switch v := v.(type) {
			case nil:
			case int64:
				fields[i] = strconv.FormatInt(v, 10)
			case float64:
				fields[i] = plain(v)
			default:
				fields[i] = fmt.Sprint(v)
			}
		}
		return row(fields...)
	}, "SELECT "+names(t.columns)+" FROM "+string(t.name)+" ORDER BY "+keys)
	if err != nil {
		return fmt.Errorf("read %s: %w", t.name, err)
	}
	return nil
}

// A TownshipFacts is what offices know of a township; nil is "no data".
type TownshipFacts struct {
	Township    charge.DivisionCode
	HasPoint    bool
	Lng, Lat    float64 // WGS84
	Population  *int64
	HeadroomKVA *float64 // of the grid
	RoadClass   string
	Tags        []string
}

// TownshipFacts gives what is known of townships, by code.
func (r *Registry) TownshipFacts(ctx context.Context) ([]TownshipFacts, error) {
	var all []TownshipFacts
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var f TownshipFacts
		var lng, lat, headroom sql.NullFloat64
		var population sql.NullInt64
		var road, tags sql.NullString
		if err := rows.Scan(&f.Township, &lng, &lat, &population, &headroom, &road, &tags); err != nil {
			return err
		}
		f.HasPoint, f.Lng, f.Lat, f.RoadClass = lng.Valid && lat.Valid, lng.Float64, lat.Float64, road.String
		if population.Valid {
			f.Population = &population.Int64
		}
		if headroom.Valid {
			f.HeadroomKVA = &headroom.Float64
		}
		if tags.String != "" {
			f.Tags = strings.Split(tags.String, ";")
		}
		all = append(all, f)
		return nil
	}, "SELECT township, lng, lat, population, grid_headroom_kva, road_class, tags FROM townships ORDER BY township")
	if err != nil {
		return nil, fmt.Errorf("read facts of townships: %w", err)
	}
	return all, nil
}
