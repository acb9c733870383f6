package charge

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMaintenanceOverItsYearlyLimit(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15", s, Zone)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	of := func(from, until string) Excuse { return Excuse{Kind: Maintenance, From: at(from), Until: at(until)} }
	for _, tt := range []struct {
		name           string
		excuses        []Excuse
		counting, over []Span
	}{
		{"nothing", nil, nil, nil},
		{"within the limit", []Excuse{of("2026-03-01 00", "2026-03-03 00")}, []Span{{at("2026-03-01 00"), at("2026-03-03 00")}}, nil},
		{
			"the second one is half over, whichever was entered first",
			[]Excuse{of("2026-06-01 00", "2026-06-03 00"), of("2026-03-01 00", "2026-03-03 00")},
			[]Span{{at("2026-03-01 00"), at("2026-03-03 00")}, {at("2026-06-01 00"), at("2026-06-02 00")}},
			[]Span{{at("2026-06-02 00"), at("2026-06-03 00")}},
		},
		{
			"the same days twice are used once",
			[]Excuse{of("2026-03-01 00", "2026-03-03 00"), of("2026-03-02 00", "2026-03-04 00")},
			[]Span{{at("2026-03-01 00"), at("2026-03-04 00")}},
			nil,
		},
		{
			"the year's end gives a new limit",
			[]Excuse{of("2025-12-28 00", "2026-01-05 00")},
			[]Span{{at("2025-12-28 00"), at("2025-12-31 00")}, {at("2026-01-01 00"), at("2026-01-04 00")}},
			[]Span{{at("2025-12-31 00"), at("2026-01-01 00")}, {at("2026-01-04 00"), at("2026-01-05 00")}},
		},
	} {
		counting, over := WithinYearlyLimit(tt.excuses, 72*time.Hour)
		if diff := cmp.Diff([][]Span{tt.counting, tt.over}, [][]Span{counting, over}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestEveryExcusedMinuteCountsOnceOrIsOver(t *testing.T) {
	base := time.Date(2025, 12, 20, 0, 0, 0, 0, Zone)
	rapid.Check(t, func(t *rapid.T) {
		excuses := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Excuse {
			from := base.Add(time.Duration(rapid.IntRange(0, 30*24).Draw(t, "from")) * time.Hour)
			return Excuse{From: from, Until: from.Add(time.Duration(rapid.IntRange(-2, 100).Draw(t, "hours")) * time.Hour)}
		}), 0, 6).Draw(t, "excuses")
		limit := time.Duration(rapid.IntRange(0, 100).Draw(t, "limit")) * time.Hour
		counting, over := WithinYearlyLimit(excuses, limit)
		within := func(spans []Span, at time.Time) (n int) {
			for _, s := range spans {
				if !at.Before(s.From) && at.Before(s.Until) {
					n++
				}
			}
			return n
		}
		used := map[int]time.Duration{}
		for at := base; at.Before(base.AddDate(0, 0, 60)); at = at.Add(time.Hour) {
			excused := 0
			for _, e := range excuses {
				excused += within([]Span{{e.From, e.Until}}, at)
			}
			c, o := within(counting, at), within(over, at)
			if c+o != min(excused, 1) {
				t.Fatalf("%s: %d excuses, counted %d times, over %d times", at, excused, c, o)
			}
			if o == 1 && used[at.Year()] < limit {
				t.Fatalf("%s is over, with %v of %v used", at, used[at.Year()], limit)
			}
			used[at.Year()] += time.Duration(c) * time.Hour
			if used[at.Year()] > limit {
				t.Fatalf("%s: %v used of %v", at, used[at.Year()], limit)
			}
		}
	})
}
