// Package ranking orders townships by how much a public charging station, or the repair of one, is missing
// there (judgement.md §6, gap ranking). It is pure: no I/O and no clock; its draws have a fixed seed, so the
// same townships always come in the same order.
package ranking

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"pilewatch/internal/charge"
)

// A Component is one reason to be early in the ranking.
type Component string

// The components. Of each, more is more urgent.
const (
	Distance   Component = "distance"   // km to the nearest effective public station
	Demand     Component = "demand"     // energy charged near by, kWh
	Tags       Component = "tags"       // how many priority tags the township has
	Population Component = "population" // inhabitants
	Grid       Component = "grid"       // headroom of the grid, kVA
	Holiday    Component = "holiday"    // highest load in holidays, kW
)

// Components gives all six.
func Components() []Component {
	return []Component{Distance, Demand, Tags, Population, Grid, Holiday}
}

// PriorityTags are those that count, as in the townships file: 城乡结合部, 乡镇驻地, 搬迁安置区,
// 齐鲁样板示范区, 乡村旅游重点村 and 和美乡村 (鲁政字〔2023〕155号).
func PriorityTags() []string {
	return []string{"城乡结合部", "乡镇驻地", "搬迁安置区", "齐鲁样板示范区", "乡村旅游重点村", "和美乡村"}
}

// CountTags gives how many different priority tags are among tags.
func CountTags(tags []string) int {
	n := 0
	for _, tag := range PriorityTags() {
		if slices.Contains(tags, tag) {
			n++
		}
	}
	return n
}

// Weights are how much each component counts; only their proportions matter.
type Weights map[Component]float64

// Check tells what is wrong with weights that come from a file.
func (w Weights) Check() error {
	sum := 0.0
	for component, weight := range w {
		if !slices.Contains(Components(), component) {
			return fmt.Errorf("weigh %q: want one of %v", component, Components())
		}
		if math.IsNaN(weight) || weight < 0 || weight > 1e6 {
			return fmt.Errorf("weigh %s by %v: want 0 to 1000000", component, weight)
		}
		sum += weight
	}
	if sum <= 0 {
		return fmt.Errorf("weigh components: all weights are 0")
	}
	return nil
}

// A Township is what is known of one. A component that is missing in Values, or not a number, is "no data".
type Township struct {
	Code   charge.DivisionCode
	Values map[Component]float64
}

// A Part is one component of a township's score.
type Part struct {
	Value      float64 // 0 without data
	Percentile float64 // 0 to 1 among the townships that have data; 0.5, the median, without
	NoData     bool
}

// A Place is a township's place in the ranking.
type Place struct {
	Code      charge.DivisionCode
	Rank      int     // from 1
	Score     float64 // 0 to 1, the weighted mean of the percentiles
	Parts     map[Component]Part
	Stability float64 // 0 to 1: the share of draws in which it is among the first
}

// Draws are how stability is found.
type Draws struct {
	Count int     // how often the weights are drawn
	Vary  float64 // 0 to 1: each within ± this share of itself
	First int     // a township is stable that stays among so many
}

// Rank orders townships, the most urgent first; those with equal scores by code. Codes must be unique.
func Rank(townships []Township, w Weights, draws Draws) ([]Place, error) {
	if draws.Count < 1 || draws.First < 1 || !(draws.Vary >= 0 && draws.Vary <= 1) {
		return nil, fmt.Errorf("draw weights: %d times, ± %v, for the first %d: want at least once, 0 to 1, at least one", draws.Count, draws.Vary, draws.First)
	}
	if err := w.Check(); err != nil {
		return nil, err
	}
	places := make([]Place, len(townships))
	for i, t := range townships {
		places[i] = Place{Code: t.Code, Parts: make(map[Component]Part, len(Components()))}
	}
	for _, c := range Components() {
		percentiles(c, townships, places)
	}
	slices.SortFunc(places, func(a, b Place) int { return cmp.Compare(a.Code, b.Code) })
	for i := 1; i < len(places); i++ {
		if places[i].Code == places[i-1].Code {
			return nil, fmt.Errorf("rank townships: %s is there twice", places[i].Code)
		}
	}
	rows := make([][]float64, len(places)) // in the order of codes, which breaks ties
	for i := range places {
		for _, c := range Components() {
			rows[i] = append(rows[i], places[i].Parts[c].Percentile)
		}
	}
	weights := make([]float64, len(Components()))
	for i, c := range Components() {
		weights[i] = w[c]
	}
	scores := score(rows, weights)
	for i := range places {
		places[i].Score = scores[i]
	}
	draws.stability(places, rows, weights)
	slices.SortStableFunc(places, func(a, b Place) int { return cmp.Compare(b.Score, a.Score) })
	for i := range places {
		places[i].Rank = i + 1
	}
	return places, nil
}

// percentiles gives each value the share of the others that it exceeds, those equal to it counted by half:
// (less + (equal − 1) / 2) / (n − 1), so that the mean is ½, and 0.5 where there is only one.
func percentiles(c Component, townships []Township, places []Place) {
	var values []float64
	for _, t := range townships {
		if v, ok := t.value(c); ok {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	for i, t := range townships {
		v, ok := t.value(c)
		part := Part{Value: v, Percentile: 0.5, NoData: !ok}
		if ok && len(values) > 1 {
			less, _ := slices.BinarySearch(values, v)
			equal := 0
			for ; less+equal < len(values) && values[less+equal] == v; equal++ {
			}
			part.Percentile = (float64(less) + float64(equal-1)/2) / float64(len(values)-1)
		}
		places[i].Parts[c] = part
	}
}

func (t Township) value(c Component) (float64, bool) {
	v, ok := t.Values[c]
	if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, false
	}
	return v, true
}

func score(rows [][]float64, weights []float64) []float64 {
	scores := make([]float64, len(rows))
	total := 0.0
	for _, w := range weights {
		total += w
	}
	for i, row := range rows {
		for j, p := range row {
			scores[i] += p * weights[j]
		}
		scores[i] = min(1, scores[i]/total)
	}
	return scores
}

func (d Draws) stability(places []Place, rows [][]float64, weights []float64) {
	rng := rand.New(rand.NewPCG(20230630, 1000)) // fixed: the same input, the same figure
	order := make([]int, len(places))
	drawn := make([]float64, len(weights))
	within := make([]int, len(places))
	for range d.Count {
		for j, w := range weights {
			drawn[j] = w * (1 - d.Vary + 2*d.Vary*rng.Float64())
		}
		scores := score(rows, drawn)
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(a, b)) })
		for _, i := range order[:min(d.First, len(order))] {
			within[i]++
		}
	}
	for i := range places {
		places[i].Stability = float64(within[i]) / float64(d.Count)
	}
}
