package projection

import (
	"fmt"
	"math"
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// A Kind tells how a target's value is to be read.
type Kind string

// The kinds of targets.
const (
	Stock Kind = "stock" // how many there are by then
	Flow  Kind = "flow"  // how many are added in the years up to then
	Share Kind = "share" // what part, in %
)

// A Milestone is a value to be reached by the end of a day.
type Milestone struct {
	By    time.Time // 00:00 Asia/Shanghai of its last day
	Value float64
}

// YearEnd is the last day of a year, by which the plan's figures are due.
func YearEnd(year int) time.Time { return time.Date(year, 12, 31, 0, 0, 0, 0, charge.Zone) }

// Due is what would have to be there today on a straight way between milestones. from is where that way
// begins: the baseline of a stock or share; for a flow its first day, with the value 0. Before from nothing
// is due (ok is false); after the last milestone its value stays due. Without a baseline (a zero From.By) a
// stock or share is due only from its first milestone on.
func Due(kind Kind, from Milestone, milestones []Milestone, today time.Time) (value float64, ok bool) {
	way := slices.Clone(milestones)
	slices.SortFunc(way, func(a, b Milestone) int { return a.By.Compare(b.By) })
	if !from.By.IsZero() {
		if kind == Flow {
			from.Value = 0
		}
		way = slices.Insert(slices.DeleteFunc(way, func(m Milestone) bool { return !m.By.After(from.By) }), 0, from)
	}
	if len(way) == 0 || today.Before(way[0].By) {
		return 0, false
	}
	for i := 1; i < len(way); i++ {
		if a, b := way[i-1], way[i]; today.Before(b.By) {
			part := float64(today.Sub(a.By)) / float64(b.By.Sub(a.By))
			return a.Value + part*(b.Value-a.Value), true
		}
	}
	return way[len(way)-1].Value, true
}

// A Standing is an actual value against its target.
type Standing struct {
	Met         bool
	Shortfall   float64 // what is missing to the target, 0 where it is met
	DaysOverdue int     // after its last day, 0 until then or where it is met
}

// Stand compares by "=" or ">=". An "=" is met within a billionth, since shares are quotients; above it is
// not met and nothing is missing.
func Stand(actual float64, comparison string, target Milestone, today time.Time) (Standing, error) {
	var s Standing
	switch comparison {
	case ">=", "≥":
		s.Met = actual >= target.Value
	case "=":
		s.Met = math.Abs(actual-target.Value) <= 1e-9*max(1, math.Abs(target.Value))
	default:
		return Standing{}, fmt.Errorf("compare by %q: want = or >=", comparison)
	}
	if !s.Met {
		s.Shortfall = max(0, target.Value-actual)
		s.DaysOverdue = max(0, age(target.By, today))
	}
	return s, nil
}
