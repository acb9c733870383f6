package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/policy"
	"pilewatch/internal/ranking"
	"pilewatch/internal/registry"
)

// gapsFor is how long a ranking stands: its draws cost some tens of milliseconds.
const gapsFor = time.Minute

// A priorityView is a township's place in the gap ranking of the whole province.
type priorityView struct {
	Rank       int                                    `json:"rank"`
	Of         int                                    `json:"of"`
	Score      float64                                `json:"score"`
	Stability  float64                                `json:"stability"`
	Components map[ranking.Component]priorityPartView `json:"components"`
}

// A priorityPartView is one component; value is null without data.
type priorityPartView struct {
	Value      *float64 `json:"value"`
	Percentile float64  `json:"percentile"`
}

// A gapRanking is the towns without effective coverage, ranked.
type gapRanking struct {
	Policy  string
	Weights ranking.Weights // as shares, which add up to 1
	places  map[charge.DivisionCode]*priorityView
	made    time.Time
	version uint64 // of the coverage that it is of
}

// gaps keeps the newest ranking.
type gaps struct {
	mu   sync.Mutex
	last *gapRanking
}

// weightsOf gives the policy's weights as shares.
func weightsOf(g *policy.Gaps) ranking.Weights {
	w := ranking.Weights{
		ranking.Distance: g.Distance, ranking.Demand: g.Demand, ranking.Tags: g.Tag, ranking.Population: g.Population, ranking.Grid: g.Grid,
		ranking.Holiday: g.Holiday,
	}
	sum := 0.0
	for _, c := range ranking.Components() {
		sum += w[c]
	}
	for c := range w {
		if sum > 0 {
			w[c] /= sum
		}
	}
	return w
}

// gapRanking gives the ranking as of at most a minute ago.
func (d *Dashboard) gapRanking(ctx context.Context) (*gapRanking, error) {
	d.gaps.mu.Lock()
	defer d.gaps.mu.Unlock()
	version, asOf, _ := d.coverage.now()
	if last := d.gaps.last; last != nil && (last.version == version || time.Since(last.made) < gapsFor) {
		return last, nil
	}
	made, err := d.rankGaps(ctx, asOf)
	if err != nil {
		return nil, fmt.Errorf("rank gaps: %w", err)
	}
	made.version, made.made = version, time.Now()
	d.gaps.last = made
	return made, nil
}

func (d *Dashboard) rankGaps(ctx context.Context, asOf time.Time) (*gapRanking, error) {
	now := time.Now()
	if asOf.IsZero() {
		asOf = now
	}
	inForce := d.divisions.Policies().At(now)
	facts, err := d.registry.TownshipFacts(ctx)
	if err != nil {
		return nil, err
	}
	points, err := d.registry.WorkingPoints(ctx, asOf.Add(-inForce.Coverage.Window), asOf)
	if err != nil {
		return nil, err
	}
	counties, err := given(d.served.get(ctx, lastDays(now))) // the nearest that is summed
	if err != nil {
		return nil, err
	}
	working := make([]ranking.Point, len(points))
	for i, p := range points {
		working[i] = ranking.Point(p)
	}
	stations := ranking.NewStations(working)
	towns := []ranking.Township{}
	for _, row := range d.coverage.list(d.province(), tierTowns, func(s charge.CoverageState) bool { return s != charge.Effective }) {
		t := ranking.Township{Code: row.Division, Values: map[ranking.Component]float64{}}
		if c, ok := counties[row.Division.Parent()]; ok {
			t.Values[ranking.Demand] = c.energyKWh
		}
		i, known := slices.BinarySearchFunc(facts, row.Division, func(f registry.TownshipFacts, code charge.DivisionCode) int {
			return cmp.Compare(f.Township, code)
		})
		if known {
			addFacts(t.Values, &facts[i], stations)
		}
		towns = append(towns, t)
	}
	weights := weightsOf(&inForce.Gaps)
	places, err := ranking.Rank(towns, weights, ranking.Draws{Count: inForce.Gaps.Draws, Vary: inForce.Gaps.Vary, First: inForce.Gaps.First})
	if err != nil {
		return nil, err
	}
	made := &gapRanking{Policy: inForce.Version, Weights: weights, places: make(map[charge.DivisionCode]*priorityView, len(places))}
	for i := range places {
		p := &places[i]
		view := &priorityView{Rank: p.Rank, Of: len(places), Score: p.Score, Stability: p.Stability, Components: map[ranking.Component]priorityPartView{}}
		for c, part := range p.Parts {
			one := priorityPartView{Percentile: part.Percentile}
			if !part.NoData {
				one.Value = &part.Value
			}
			view.Components[c] = one
		}
		made.places[p.Code] = view
	}
	return made, nil
}

// addFacts puts in what offices know of a township. Without a real point there is no distance.
func addFacts(values map[ranking.Component]float64, f *registry.TownshipFacts, stations *ranking.Stations) {
	if f.HasPoint {
		if km, ok := stations.NearestKM(ranking.Point{Lng: f.Lng, Lat: f.Lat}); ok {
			values[ranking.Distance] = km
		}
	}
	if f.Population != nil {
		values[ranking.Population] = float64(*f.Population)
	}
	if f.HeadroomKVA != nil {
		values[ranking.Grid] = *f.HeadroomKVA
	}
	if len(f.Tags) > 0 {
		values[ranking.Tags] = float64(ranking.CountTags(f.Tags))
	}
}

// among gives those rows that are ranked, with their places; the others are effective or not counted.
func (g *gapRanking) among(rows []townshipView) []townshipView {
	ranked := []townshipView{}
	for _, row := range rows {
		if row.Priority = g.places[row.Division]; row.Priority != nil {
			ranked = append(ranked, row)
		}
	}
	return ranked
}
