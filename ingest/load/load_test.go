package load

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

// start is 12:00 in Shanghai.
var start = time.Date(2025, 3, 9, 4, 0, 0, 0, time.UTC).UnixMilli()

func draw(second float64, kw float64) charge.Draw {
	return charge.Draw{AtMS: start + int64(second*1000), PowerKW: kw, Charging: kw > 0}
}

func TestAdd(t *testing.T) {
	for _, tt := range []struct {
		name     string
		draws    []charge.Draw
		kWh      float64
		charging float64         // connector-seconds
		minutes  map[int]float64 // kW
	}{
		{"nothing was told", nil, 0, 0, nil},
		{"one reading holds for a minute", []charge.Draw{draw(0, 60)}, 1, 60, map[int]float64{0: 60}},
		{"each 15 s for a minute", []charge.Draw{draw(0, 60), draw(15, 30), draw(30, 60), draw(45, 30), draw(60, 0)}, 0.75, 60, map[int]float64{0: 45}},
		{"a gap of five minutes is not charged over", []charge.Draw{draw(0, 60), draw(300, 60)}, 2, 120, map[int]float64{0: 60, 5: 60}},
		{"a reading holds across a minute", []charge.Draw{draw(30, 60)}, 1, 60, map[int]float64{0: 30, 1: 30}},
		{"from the window before, to its end only", []charge.Draw{draw(-30, 60)}, 0.5, 30, map[int]float64{0: 30}},
		{"from the window before, ended by a reading", []charge.Draw{draw(-30, 60), draw(-10, 0)}, 0, 0, nil},
		{"into the next window, to this one's end", []charge.Draw{draw(885, 60)}, 0.25, 15, map[int]float64{14: 15}},
		{"a minute before the window says nothing", []charge.Draw{draw(-60, 60)}, 0, 0, nil},
		{"the next window's first reading", []charge.Draw{draw(900, 60)}, 0, 0, nil},
		{"feeds back", []charge.Draw{draw(0, -60)}, -1, 0, map[int]float64{0: -60}},
		{"idle ends a session", []charge.Draw{draw(0, 60), draw(6, 0)}, 0.1, 6, map[int]float64{0: 6}},
		{"two at one time: the later counts", []charge.Draw{draw(0, 60), draw(0, 120)}, 2, 60, map[int]float64{0: 120}},
		{"occupied and not charging", []charge.Draw{{AtMS: start, PowerKW: 0}}, 0, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s Sum
			got := s.Add(start, tt.draws, start, start+windowMS)
			if !near(got, tt.kWh) || !near(s.EnergyKWh(), tt.kWh) {
				t.Errorf("energy: got %v, and %v in the sum, want %v kWh", got, s.EnergyKWh(), tt.kWh)
			}
			if !near(s.Charging(), tt.charging/900) {
				t.Errorf("charging: got %v, want %v connectors", s.Charging(), tt.charging/900)
			}
			for m, kw := range s.PowerKW() {
				if !near(kw, tt.minutes[m]) {
					t.Errorf("minute %d: got %v, want %v kW", m, kw, tt.minutes[m])
				}
			}
		})
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9*(1+math.Abs(b)) }

func TestTheMaximumIsOfTheSum(t *testing.T) {
	var s Sum
	s.Add(start, []charge.Draw{draw(0, 60)}, start, start+windowMS)
	s.Add(start, []charge.Draw{draw(60, 60)}, start, start+windowMS)
	var o Sum
	o.Add(start, []charge.Draw{draw(60, 30)}, start, start+windowMS)
	s.Plus(&o)
	minutes := s.PowerKW()
	if got := slices.Max(minutes[:]); got != 90 {
		t.Errorf("largest minute: got %v kW, want 90: they did not all charge at once", got)
	}
}

func TestTouched(t *testing.T) {
	noon := time.UnixMilli(start).UTC()
	for _, tt := range []struct {
		after       time.Duration
		first, last time.Duration
	}{
		{0, 0, 0}, {14 * time.Minute, 0, 0}, {14*time.Minute + time.Millisecond, 0, Window}, {Window - time.Millisecond, 0, Window}, {Window, Window, Window}, {-time.Second, -Window, 0},
	} {
		if first, last := Touched(noon.Add(tt.after)); first != noon.Add(tt.first) || last != noon.Add(tt.last) {
			t.Errorf("Touched(12:00 + %s): got %s and %s, want 12:00 + %s and %s", tt.after, first, last, tt.first, tt.last)
		}
	}
}

// slow asks for each second which reading holds, as the rule says it in words.
func slow(draws []charge.Draw, second int64) (kw float64, charging bool) {
	at := start + second*1000
	for _, d := range draws {
		if d.AtMS <= at {
			kw, charging = 0, false
			if at-d.AtMS < holdMS {
				kw, charging = d.PowerKW, d.Charging
			}
		}
	}
	return kw, charging
}

func TestAnyReadingsGiveWhatTheRuleSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draws := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) charge.Draw {
			return draw(float64(rapid.IntRange(-120, 960).Draw(t, "second")), float64(rapid.IntRange(-10, 120).Draw(t, "kW")))
		}), 0, 80).Draw(t, "draws")
		slices.SortStableFunc(draws, func(a, b charge.Draw) int { return cmp.Compare(a.AtMS, b.AtMS) })
		var want [Minutes]float64
		var charging int
		for second := range int64(900) {
			kw, on := slow(draws, second)
			want[second/60] += kw / 60
			if on {
				charging++
			}
		}
		// In parts, each with the readings of a minute before it, as a store gives them.
		var s Sum
		cuts := rapid.SliceOfN(rapid.IntRange(0, 900), 0, 4).Draw(t, "cuts")
		slices.Sort(cuts)
		from := 0
		for _, to := range append(cuts, 900) {
			first := slices.IndexFunc(draws, func(d charge.Draw) bool { return d.AtMS >= start+int64(from-60)*1000 })
			last := slices.IndexFunc(draws, func(d charge.Draw) bool { return d.AtMS >= start+int64(to)*1000 })
			part := draws[max(first, 0):]
			if first < 0 {
				part = nil
			} else if last >= 0 {
				part = draws[first:max(first, last)]
			}
			s.Add(start, part, start+int64(from)*1000, start+int64(to)*1000)
			from = to
		}
		for m, kw := range s.PowerKW() {
			if math.Abs(kw-want[m]) > 1e-6 {
				t.Fatalf("minute %d of %v: got %v, want %v kW", m, draws, kw, want[m])
			}
		}
		if !near(s.Charging(), float64(charging)/900) {
			t.Fatalf("charging: got %v, want %v", s.Charging(), float64(charging)/900)
		}
	})
}
