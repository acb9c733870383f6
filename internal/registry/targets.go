package registry

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"pilewatch/internal/charge"
)

// The numbers of the plan and the words for them; the figures are in these files only.
var (
	//go:embed data/targets.csv
	targetFile string
	//go:embed data/indicators.csv
	indicatorFile string
)

// A Target is one number that the plan asks for, and what there is of it.
type Target struct {
	Division       charge.DivisionCode
	Indicator      string
	NameZH, NameEN string
	Unit           string
	Year           int // to be reached by its end
	Value          float64
	Kind           string // stock, flow or share (in %)
	Comparison     string // "=" or ">="
	Document       string
	Reported       *float64 // by statistics; nil: no data
	Connected      *float64 // by the registry and health, today; nil: no data
}

// Targets gives all targets of the plan with their actuals. Connected counts what is in service
// today by the registry's dates, whatever the target's year; the coverage is health's.
func (r *Registry) Targets(ctx context.Context) ([]Target, error) {
	imported, err := r.importedTargets(ctx)
	if err != nil {
		return nil, err
	}
	targets, err := readTargets(imported)
	if err != nil {
		return nil, fmt.Errorf("read targets: %w", err)
	}
	reported, err := r.reported(ctx)
	if err != nil {
		return nil, err
	}
	actual, err := r.actuals(ctx)
	if err != nil {
		return nil, fmt.Errorf("count for targets: %w", err)
	}
	for i := range targets {
		if v, ok := actual[targets[i].Indicator]; ok && targets[i].Division.Level() == charge.Province {
			targets[i].Connected = &v
		}
		if v, ok := reported[statKey{string(targets[i].Division), targets[i].Indicator}]; ok {
			targets[i].Reported = &v
		}
	}
	return targets, nil
}

type statKey struct{ division, indicator string }

// reported is the newest of each statistic.
func (r *Registry) reported(ctx context.Context) (map[statKey]float64, error) {
	newest := make(map[statKey]float64)
	err := statTable.each(ctx, r.read, func(fields ...string) error { // by date
		v, err := strconv.ParseFloat(fields[3], 64)
		newest[statKey{fields[0], fields[1]}] = v
		return err
	})
	return newest, err
}

func (r *Registry) importedTargets(ctx context.Context) ([][]string, error) {
	var all [][]string
	err := targetTable.each(ctx, r.read, func(fields ...string) error {
		all = append(all, fields)
		return nil
	})
	return all, err
}

// readTargets gives the targets that the program carries, those that were imported in their place,
// and the other imported ones.
func readTargets(imported [][]string) ([]Target, error) {
	indicators, err := csv.NewReader(strings.NewReader(indicatorFile)).ReadAll()
	if err != nil {
		return nil, err
	}
	words := make(map[string][]string, len(indicators))
	for _, row := range indicators[1:] {
		words[row[0]] = row
	}
	rows, err := csv.NewReader(strings.NewReader(targetFile)).ReadAll()
	if err != nil {
		return nil, err
	}
	rows = rows[1:]
	for _, row := range imported {
		at := slices.IndexFunc(rows, func(r []string) bool { return slices.Equal(r[:3], row[:3]) })
		if at >= 0 {
			rows[at] = row
		} else {
			rows = append(rows, row)
		}
	}
	targets := make([]Target, 0, len(rows))
	for _, row := range rows {
		word, ok := words[row[1]]
		if !ok {
			return nil, fmt.Errorf("indicator %q has no name", row[1])
		}
		t := Target{
			Division: charge.DivisionCode(row[0]), Indicator: row[1], NameZH: word[1], NameEN: word[2], Unit: word[3],
			Kind: row[4], Comparison: row[5], Document: row[6],
		}
		if t.Year, err = strconv.Atoi(row[2]); err != nil {
			return nil, fmt.Errorf("target %s: %w", t.Indicator, err)
		}
		if t.Value, err = strconv.ParseFloat(row[3], 64); err != nil {
			return nil, fmt.Errorf("target %s: %w", t.Indicator, err)
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// pileCounts are the actuals that come from the registry alone, for one revision and day.
type pileCounts struct {
	rev    int64
	day    string
	values map[string]float64
}

func (r *Registry) actuals(ctx context.Context) (map[string]float64, error) {
	rev, err := r.Rev(ctx)
	if err != nil {
		return nil, err
	}
	now := r.now().In(charge.Zone)
	day := now.Format(time.DateOnly)

	r.countsMu.Lock()
	defer r.countsMu.Unlock()
	if r.counts.values == nil || r.counts.rev != rev || r.counts.day != day {
		values, err := countPiles(ctx, r.read, now)
		if err != nil {
			return nil, err
		}
		r.counts = pileCounts{rev: rev, day: day, values: values}
	}
	actual := make(map[string]float64, len(r.counts.values)+1)
	maps.Copy(actual, r.counts.values)
	var judged, effective, counted float64
	err = r.read.QueryRowContext(ctx, `SELECT count(t.state), count(*) FILTER (WHERE t.state = ?), count(*)
		FROM divisions d LEFT JOIN township_state t ON t.township = d.code
		WHERE d.level = ? AND d.kind IN (?, ?)`, string(charge.Effective), string(charge.Township),
		string(charge.KindTown), string(charge.KindTownship)).Scan(&judged, &effective, &counted)
	if err != nil {
		return nil, err
	}
	if judged > 0 {
		actual["township_coverage"] = effective / counted * 100
	}
	return actual, nil
}

// countPiles counts the piles in service at a time. An indicator of which the registry knows
// nothing (no area given, no equipment type, no capacity) is left out: that is not 0.
func countPiles(ctx context.Context, q querier, now time.Time) (map[string]float64, error) {
	values := make(map[string]float64)
	count := func(indicator string, n int64) { values[indicator] += float64(n) }
	var typed, dc int64
	err := each(ctx, q, func(rows *sql.Rows) error {
		var (
			kind              charge.StationKind
			area              string
			all, ofType, fast int64
		)
		if err := rows.Scan(&kind, &area, &all, &ofType, &fast); err != nil {
			return err
		}
		count("public_piles", 0)
		count("residential_piles", 0)
		switch kind {
		case charge.Public:
			count("public_piles", all)
			if area != "" {
				count("rural_public_piles", 0)
			}
			if area == "rural" {
				count("rural_public_piles", all)
			}
			if area == "urban" {
				typed, dc = typed+ofType, dc+fast
			}
		case charge.Residential:
			count("residential_piles", all)
			if area != "" {
				count("rural_residential_piles", 0)
			}
			if area == "rural" {
				count("rural_residential_piles", all)
			}
		}
		return nil
	}, `SELECT s.kind, s.area, count(*), sum(p.typed), sum(p.dc)
		FROM stations s CROSS JOIN piles p INDEXED BY piles_station ON p.station_id = s.id
		WHERE s.opened <= ?1 AND (s.closed IS NULL OR s.closed > ?1) AND p.opened <= ?1 AND (p.closed IS NULL OR p.closed > ?1) AND p.decommissioned = ''
		GROUP BY s.kind, s.area`, now.UnixMilli())
	if err != nil {
		return nil, err
	}
	if typed > 0 {
		values["urban_public_dc_share"] = float64(dc) / float64(typed) * 100
	}
	for kind, indicator := range map[charge.StationKind]string{
		charge.Public: "public_capacity_added", charge.Residential: "residential_capacity_added",
	} {
		from := time.Date(2023, 1, 1, 0, 0, 0, 0, charge.Zone)
		var added sql.NullFloat64
		err := q.QueryRowContext(ctx, `SELECT sum(capacity_kva) FROM stations WHERE kind = ?1 AND opened >= ?2 AND opened < ?3
			AND opened <= ?4`, string(kind), from.UnixMilli(), from.AddDate(3, 0, 0).UnixMilli(), now.UnixMilli()).Scan(&added)
		if err != nil {
			return nil, err
		}
		if added.Valid {
			values[indicator] = added.Float64
		}
	}
	return values, nil
}
