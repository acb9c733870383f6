package availability_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/availability"
	"pilewatch/internal/charge"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, charge.Zone)

func outage(startMin, endMin int) availability.Outage {
	o := availability.Outage{Start: noon.Add(time.Duration(startMin) * time.Minute)}
	if endMin >= 0 {
		o.End = noon.Add(time.Duration(endMin) * time.Minute)
	}
	return o
}

func TestAShortRecoveryDoesNotEndAnOutage(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []availability.Outage
		want []availability.Outage
	}{
		{"usable for 59 minutes between", []availability.Outage{outage(0, 100), outage(159, 200)}, []availability.Outage{outage(0, 200)}},
		{"usable for 60 minutes between", []availability.Outage{outage(0, 100), outage(160, 200)}, []availability.Outage{outage(0, 100), outage(160, 200)}},
		{"restarts in vain and is still out", []availability.Outage{outage(0, 100), outage(101, 110), outage(115, -1)}, []availability.Outage{outage(0, -1)}},
		{"told in another order", []availability.Outage{outage(160, 200), outage(0, 120)}, []availability.Outage{outage(0, 200)}},
		{"one within the other", []availability.Outage{outage(0, 300), outage(10, 20)}, []availability.Outage{outage(0, 300)}},
		{"none", nil, nil},
	} {
		if got := availability.MergeOutages(tt.in); !cmp.Equal(got, tt.want) && len(got)+len(tt.want) > 0 {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestTimeToRepair(t *testing.T) {
	const h = 60
	for _, tt := range []struct {
		name string
		in   []availability.Outage
		want availability.Repair
	}{
		{"no outage", nil, availability.Repair{}},
		{"three repaired after 1, 2 and 6 hours", []availability.Outage{outage(0, h), outage(0, 2*h), outage(0, 6*h)}, availability.Repair{Repaired: 3, Median: 2 * time.Hour, HasMedian: true, Mean: 3 * time.Hour, HasMean: true}},
		// S = 3/4 after 1 h, 3/4 · 1/2 after 3 h; the open one of 2 h only leaves the number at risk.
		{"one still open counts while it was seen", []availability.Outage{outage(0, h), outage(8*h, -1), outage(0, 3*h), outage(0, 10*h)}, availability.Repair{Repaired: 3, Open: 1, Median: 3 * time.Hour, HasMedian: true, Mean: time.Duration(float64(time.Hour) * (1 + 0.75*2 + 0.375*7)), HasMean: true}},
		{"none repaired yet", []availability.Outage{outage(0, -1), outage(h, -1)}, availability.Repair{Open: 2, Mean: 30 * 24 * time.Hour, HasMean: true}},
	} {
		if got := availability.TimeToRepair(tt.in, noon.Add(10*time.Hour)); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestOneOutageOfAYearDoesNotMakeTheMean(t *testing.T) {
	got := availability.TimeToRepair([]availability.Outage{outage(0, 60), outage(0, 365*24*60)}, noon.AddDate(2, 0, 0))
	if want := 15*24*time.Hour + 30*time.Minute; got.Mean != want {
		t.Errorf("mean: got %v, want %v", got.Mean, want)
	}
}

// obviousCurve is Efron's "redistribute to the right": each censored outage hands its weight on to those that
// lasted longer, in equal parts. It gives the product-limit estimate by other means.
func obviousCurve(lasted []int, repaired []bool, at float64) float64 {
	type spell struct {
		min      int
		repaired bool
		weight   float64
	}
	spells := make([]spell, len(lasted))
	for i := range lasted {
		spells[i] = spell{lasted[i], repaired[i], 1 / float64(len(lasted))}
	}
	slices.SortFunc(spells, func(a, b spell) int {
		if a.min != b.min {
			return a.min - b.min
		}
		if a.repaired != b.repaired && a.repaired {
			return -1
		} else if a.repaired != b.repaired {
			return 1
		}
		return 0
	})
	for i := range spells {
		if right := len(spells) - i - 1; !spells[i].repaired && right > 0 {
			for j := i + 1; j < len(spells); j++ {
				spells[j].weight += spells[i].weight / float64(right)
			}
			spells[i].weight = 0
		}
	}
	broken := 1.0
	for _, s := range spells {
		if s.repaired && float64(s.min) <= at {
			broken -= s.weight
		}
	}
	return broken
}

func TestTimeToRepairAgreesWithASlowOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := noon.AddDate(1, 0, 0)
		lasted := rapid.SliceOfN(rapid.IntRange(0, 40*24*60), 1, 12).Draw(t, "minutes")
		repaired := make([]bool, len(lasted))
		var outages []availability.Outage
		for i, m := range lasted {
			lasted[i] = m / 360 * 360 // ties are likely
			repaired[i] = rapid.Bool().Draw(t, "repaired")
			o := availability.Outage{Start: now.Add(-time.Duration(lasted[i]) * time.Minute)}
			if repaired[i] {
				o.End = now
			}
			outages = append(outages, o)
		}
		got := availability.TimeToRepair(outages, now)
		steps := slices.Sorted(slices.Values(lasted))
		median, has := 0, false
		for _, m := range steps {
			if obviousCurve(lasted, repaired, float64(m)) <= 0.5+1e-9 {
				median, has = m, true
				break
			}
		}
		if got.HasMedian != has || has && got.Median != time.Duration(median)*time.Minute {
			t.Fatalf("median: got %v (%v), want %v min (%v)", got.Median, got.HasMedian, median, has)
		}
		mean := 0.0
		for m := 0; m < 30*24*60; m += 360 { // the curve only steps at whole six hours
			mean += 360 * obviousCurve(lasted, repaired, float64(m))
		}
		if math.Abs(got.Mean.Minutes()-mean) > 1e-3 {
			t.Fatalf("mean: got %v min, want %v min", got.Mean.Minutes(), mean)
		}
	})
}
