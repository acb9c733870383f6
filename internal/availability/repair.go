package availability

import (
	"slices"
	"time"
)

// An Outage is a time in which a connector was not usable. End is zero while it lasts.
type Outage struct{ Start, End time.Time }

// Open tells whether the outage still lasts.
func (o Outage) Open() bool { return o.End.IsZero() }

// mendedFor is how long a connector must be usable between two outages for the first to have ended.
const mendedFor = 60 * time.Minute

// MergeOutages puts one connector's outages in order and joins those with less than 60 minutes of usable
// time between them, so that a device that restarts in vain is not repaired each time.
func MergeOutages(outages []Outage) []Outage {
	sorted := slices.Clone(outages)
	slices.SortStableFunc(sorted, func(a, b Outage) int { return a.Start.Compare(b.Start) })
	merged := sorted[:0]
	for _, o := range sorted {
		if n := len(merged); n > 0 {
			last := &merged[n-1]
			if last.Open() || o.Start.Sub(last.End) < mendedFor {
				if o.Open() || o.End.After(last.End) && !last.Open() {
					last.End = o.End
				}
				continue
			}
		}
		merged = append(merged, o)
	}
	return merged
}

// restrictedTo bounds the mean time to repair: beyond, an outage is no longer a repair but a case.
const restrictedTo = 30 * 24 * time.Hour

// A Repair is how long repairs take.
type Repair struct {
	Repaired, Open int
	// Median by Kaplan-Meier, with open outages censored at now. HasMedian is false where fewer than half
	// can be said to have been repaired at any time: then it is "longer than observed".
	Median    time.Duration
	HasMedian bool
	// Mean restricted to the first 30 days: the area under the Kaplan-Meier curve. Where the longest outage
	// is open and younger than 30 days, the curve is held level from there, so the mean is at most this.
	Mean    time.Duration
	HasMean bool // false without any outage
}

// TimeToRepair takes the merged outages of any number of connectors. An open one that would start after
// now, and one that ends before it starts, are left out.
func TimeToRepair(outages []Outage, now time.Time) Repair {
	type spell struct {
		lasted   time.Duration
		repaired bool
	}
	spells := make([]spell, 0, len(outages))
	var r Repair
	for _, o := range outages {
		end := o.End
		if o.Open() {
			end = now
		}
		if end.Before(o.Start) {
			continue
		}
		spells = append(spells, spell{end.Sub(o.Start), !o.Open()})
		if o.Open() {
			r.Open++
		} else {
			r.Repaired++
		}
	}
	if len(spells) == 0 {
		return r
	}
	// Product-limit estimate (Kaplan and Meier 1958): S(t) = Π (1 − repaired at u / at risk at u) over the
	// times of repair u ≤ t. Of a repair and a censoring at one time the repair comes first.
	slices.SortFunc(spells, func(a, b spell) int { return int(a.lasted - b.lasted) })
	broken, area, at := 1.0, 0.0, time.Duration(0)
	for i := 0; i < len(spells); {
		t, repaired, j := spells[i].lasted, 0, i
		for ; j < len(spells) && spells[j].lasted == t; j++ {
			if spells[j].repaired {
				repaired++
			}
		}
		if repaired > 0 {
			area += broken * float64(min(t, restrictedTo)-min(at, restrictedTo))
			at = t
			atRisk := len(spells) - i
			broken *= float64(atRisk-repaired) / float64(atRisk)
			// The product of fractions that make exactly one half may end a hair above it.
			if !r.HasMedian && broken <= 0.5+1e-12 {
				r.Median, r.HasMedian = t, true
			}
		}
		i = j
	}
	area += broken * float64(restrictedTo-min(at, restrictedTo))
	r.Mean, r.HasMean = time.Duration(area), true
	return r
}
