package coverage

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

func TestEventsOfATownship(t *testing.T) {
	const gained, lost, unsteady, nothing = charge.CoverageGained, charge.CoverageLost, charge.CoverageUnsteady, charge.EventKind("")
	type turn struct {
		after     time.Duration
		effective bool
		want      charge.EventKind
	}
	tests := []struct {
		name  string
		turns []turn
	}{
		{"a gain and, a month later, a loss", []turn{{0, true, gained}, {30 * day, false, lost}}},
		{"told again, it is nothing", []turn{{0, true, gained}, {hour, true, nothing}}},
		{"lost before it was ever covered, it is nothing", []turn{{0, false, nothing}}},
		{"usable one hour every 25", []turn{
			{0, true, gained},
			{24 * hour, false, lost},
			{25 * hour, true, unsteady},
			{49 * hour, false, nothing},
			{50 * hour, true, nothing},
			{74 * hour, false, nothing},
		}},
		{"steady again after a quiet week", []turn{
			{0, true, gained}, {day, false, lost}, {2 * day, true, unsteady}, {3 * day, false, nothing}, {10 * day, true, gained},
		}},
		{"two changes a week, for ever", []turn{
			{0, true, gained}, {day, false, lost}, {8 * day, true, gained}, {9 * day, false, lost}, {16 * day, true, gained},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Record
			for _, turn := range tt.turns {
				if got := r.Turn(DefaultPolicy(), now.Add(turn.after), turn.effective); got != turn.want {
					t.Errorf("after %s effective %t: got %q, want %q", turn.after, turn.effective, got, turn.want)
				}
			}
		})
	}
}

func TestShareEffective(t *testing.T) {
	p := DefaultPolicy()
	turns := func(at ...time.Duration) (r Record) {
		for i, after := range at {
			r.Turn(p, now.Add(after), i%2 == 0)
		}
		return r
	}
	tests := []struct {
		name   string
		record Record
		at     time.Duration
		want   float64
	}{
		{"never", Record{}, 0, 0},
		{"since before the week", turns(0), 30 * day, 1},
		{"for the last of seven days", turns(0), day, 1. / 7},
		{"a day on, a day off, a day on", turns(0, day, 2*day), 3 * day, 2. / 7},
		{"lost half a week ago", turns(0, 30*day), 30*day + 84*hour, .5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.record.Share(p, now.Add(tt.at)); math.Abs(got-tt.want) > 1e-9 {
				t.Errorf("Share: got %v, want %v", got, tt.want)
			}
		})
	}
}

// Whatever happens, an unsteady township tells no single change, a record stays small, and a copy of
// it goes on as it would have.
func TestAnyTurnsAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, at := DefaultPolicy(), now
		var r Record
		for range rapid.IntRange(1, 200).Draw(t, "turns") {
			pass := rapid.SampledFrom([]time.Duration{time.Minute, hour, 25 * hour, 3 * day, 7 * day}).Draw(t, "pass")
			at = at.Add(pass)
			effective := rapid.Bool().Draw(t, "effective")
			copied := Record{append([]int64(nil), r.ChangedMS...), r.Effective, r.Unsteady}
			kind := r.Turn(p, at, effective)
			if again := copied.Turn(p, at, effective); again != kind {
				t.Fatalf("a copy gives %q, want %q", again, kind)
			}
			if diff := cmp.Diff(r, copied); diff != "" {
				t.Fatalf("a copy goes another way (-record +copy):\n%s", diff)
			}
			if len(r.ChangedMS) > maxChanges {
				t.Fatalf("record of %d changes", len(r.ChangedMS))
			}
			if share := r.Share(p, at); share < 0 || share > 1 {
				t.Fatalf("share %v", share)
			}
			if r.Unsteady && kind != "" && kind != charge.CoverageUnsteady {
				t.Fatalf("%s while unsteady", kind)
			}
		}
	})
}
