package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

func anyMinutes(t *rapid.T) charge.DayMinutes {
	u16 := rapid.Uint16()
	if rapid.Bool().Draw(t, "ordinary") {
		u := u16.Draw(t, "usable") % 1441
		return charge.DayMinutes{Usable: u, Unknown: 1440 - u, Heard: u, EnergyWh: rapid.Uint32().Draw(t, "energy")}
	}
	return charge.DayMinutes{
		Usable: u16.Draw(t, "usable"), Excused: u16.Draw(t, "excused"), Out: u16.Draw(t, "out"), Unknown: u16.Draw(t, "unknown"),
		Fault: u16.Draw(t, "fault"), Heard: u16.Draw(t, "heard"), Blocked: u16.Draw(t, "blocked"), BreakFirst: u16.Draw(t, "first"),
		BreakLongest: u16.Draw(t, "longest"), BreakLast: u16.Draw(t, "last"), EnergyWh: rapid.Uint32().Draw(t, "energy"), Sessions: rapid.Uint8().Draw(t, "sessions"),
	}
}

func TestAMonthComesOutAsItWasPacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &monthOfDays{}
		for i := range m.days {
			switch rapid.IntRange(0, 3).Draw(t, "day") {
			case 0:
				continue
			case 1:
				m.frozen |= 1 << i
			}
			m.present |= 1 << i
			if i > 0 && rapid.Bool().Draw(t, "as before") {
				m.days[i] = m.days[i-1]
			} else {
				m.days[i] = anyMinutes(t)
			}
		}
		got, err := decodeMonth(m.encode())
		if err != nil {
			t.Fatal(err)
		}
		if *got != *m {
			t.Fatalf("(-packed +read):\n%s", cmp.Diff(m, got, cmp.AllowUnexported(monthOfDays{})))
		}
	})
}

func TestAnOrdinaryMonthIsSmall(t *testing.T) {
	silent, busy := &monthOfDays{present: 1<<31 - 1, frozen: 1<<31 - 1}, &monthOfDays{present: 1<<31 - 1, frozen: 1<<31 - 1}
	for i := range silent.days {
		silent.days[i] = charge.DayMinutes{Unknown: 1440, BreakFirst: 1440, BreakLongest: 1440, BreakLast: 1440}
		busy.days[i] = charge.DayMinutes{Usable: 1440, Heard: 1440, EnergyWh: uint32(40_000 + i*317), Sessions: 2}
	}
	if n := len(silent.encode()); n > 48 {
		t.Errorf("a month of a pile that was never heard: got %d bytes, want at most 48", n)
	}
	if n := len(busy.encode()); n > 180 {
		t.Errorf("a month of a busy pile: got %d bytes, want at most 180", n)
	}
}

func FuzzDecodeMonth(f *testing.F) {
	m := &monthOfDays{present: 7, frozen: 3}
	m.days[0] = charge.DayMinutes{Usable: 1000, Unknown: 440, BreakFirst: 440, BreakLongest: 440, EnergyWh: 5000, Sessions: 1}
	m.days[1] = m.days[0]
	m.days[2] = charge.DayMinutes{Out: 300, Fault: 300, Usable: 960, Unknown: 120, Excused: 60, Heard: 1260, Blocked: 3, BreakLast: 7}
	f.Add(m.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMonth(b)
		if err != nil {
			return
		}
		again, err := decodeMonth(m.encode())
		if err != nil || *again != *m {
			t.Errorf("packed again: %v, %+v, want %+v", err, again, m)
		}
	})
}

func shanghaiDay(s string) time.Time {
	day, err := time.ParseInLocation(time.DateOnly, s, charge.Zone)
	if err != nil {
		panic(err)
	}
	return day
}

func TestDaysAreNumberedByShanghai(t *testing.T) {
	for at, want := range map[string]int64{"1970-01-01T00:00:00+08:00": 0, "1969-12-31T23:59:59+08:00": -1, "2026-03-01T15:59:59Z": 20513, "2026-03-01T16:00:00Z": 20514} {
		v, _ := time.Parse(time.RFC3339, at)
		if got := dayNumber(v); got != want {
			t.Errorf("dayNumber(%s): got %d, want %d", at, got, want)
		}
		if start := dayStart(want); dayNumber(start) != want || dayNumber(start.Add(-time.Nanosecond)) != want-1 {
			t.Errorf("dayStart(%d): got %s", want, start)
		}
	}
}

func save(t *testing.T, r *Registry, seq uint64, h Health) {
	t.Helper()
	if err := r.SaveHealth(t.Context(), 0, seq, &h); err != nil {
		t.Fatal(err)
	}
}

func TestDaysOfConnectorsAndPiles(t *testing.T) {
	r := withPiles(t)
	key := charge.ConnectorKey{Pile: pileID("MA3CLQP01:P1"), Connector: "1"}
	other := charge.ConnectorKey{Pile: pileID("MA3CLQP02:P1"), Connector: "1"}
	day := func(s string, usable uint16, frozen bool) ConnectorDay {
		return ConnectorDay{key, shanghaiDay(s), charge.DayMinutes{Usable: usable, Unknown: 1440 - usable, Heard: usable}, frozen}
	}
	pile := func(s string, usable uint16) PileDay {
		return PileDay{key.Pile, shanghaiDay(s), charge.DayMinutes{Usable: usable}, true}
	}
	foreign := day("2026-02-01", 7, false)
	foreign.Key = other
	save(t, r, 10, Health{
		ConnectorDays: []ConnectorDay{day("2026-02-01", 3, false), day("2026-01-31", 2, true), foreign, day("2026-01-30", 1, true)},
		PileDays:      []PileDay{pile("2026-02-01", 9)},
	})
	want := []ConnectorDay{day("2026-01-30", 1, true), day("2026-01-31", 2, true), day("2026-02-01", 3, false)}
	check := func(what string, want []ConnectorDay) {
		t.Helper()
		got, err := r.ConnectorDays(t.Context(), key, shanghaiDay("2026-01-30").Add(time.Hour), shanghaiDay("2026-02-28"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("saved", want)
	save(t, r, 9, Health{ConnectorDays: []ConnectorDay{day("2026-02-01", 77, false)}})
	check("after an older step is repeated", want)
	save(t, r, 11, Health{ConnectorDays: []ConnectorDay{day("2026-01-31", 88, false), day("2026-02-01", 4, true), day("2026-02-02", 5, false)}})
	want[2] = day("2026-02-01", 4, true)
	want = append(want, day("2026-02-02", 5, false))
	check("after a frozen day was to change", want)
	if got, err := r.ConnectorDays(t.Context(), key, shanghaiDay("2026-01-31"), shanghaiDay("2026-01-31")); err != nil || len(got) != 1 {
		t.Errorf("one day: got %+v, %v", got, err)
	}
	if got, err := r.PileDays(t.Context(), key.Pile, shanghaiDay("2025-01-01"), shanghaiDay("2026-12-31")); err != nil || !cmp.Equal(got, []PileDay{pile("2026-02-01", 9)}) {
		t.Errorf("PileDays: got %+v, %v", got, err)
	}

	var seen []string
	each := func(q MonthQuery) string {
		t.Helper()
		seen = nil
		q.Month = shanghaiDay("2026-02-15")
		if err := r.EachConnectorMonth(t.Context(), q, func(days []ConnectorDay) error {
			seen = append(seen, fmt.Sprintf("%s %d", days[0].Key, len(days)))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return strings.Join(seen, ", ")
	}
	for want, q := range map[string]MonthQuery{
		"MA3CLQP01:P1/1 2, MA3CLQP02:P1/1 1": {}, "MA3CLQP02:P1/1 1": {Operator: "MA3CLQP02"}, "MA3CLQP01:P1/1 2": {Division: "371721101"},
		"": {Division: "3701"},
	} {
		if got := each(q); got != want {
			t.Errorf("EachConnectorMonth(%+v): got %q, want %q", q, got, want)
		}
	}
	piles := 0
	if err := r.EachPileMonth(t.Context(), MonthQuery{Month: shanghaiDay("2026-02-28")}, func(days []PileDay) error {
		piles += len(days)
		return nil
	}); err != nil || piles != 1 {
		t.Errorf("EachPileMonth: got %d, %v", piles, err)
	}

	second := pile("2026-02-03", 5)
	second.Pile, second.Frozen = other.Pile, false
	save(t, r, 12, Health{PileDays: []PileDay{pile("2026-02-03", 4), second}})
	for _, most := range []int{1, 2, 3} {
		var on []PileDay
		if err := r.EachPileOn(t.Context(), shanghaiDay("2026-02-03"), most, func(days []PileDay) error {
			on = append(on, days...)
			return nil
		}); err != nil || !cmp.Equal(on, []PileDay{pile("2026-02-03", 4), second}) {
			t.Errorf("EachPileOn, %d at once: got %+v, %v", most, on, err)
		}
		if err := r.EachPileOn(t.Context(), shanghaiDay("2026-02-02"), most, func(days []PileDay) error { return fmt.Errorf("got %+v", days) }); err != nil {
			t.Errorf("EachPileOn, a day that no pile has: %v", err)
		}
	}
	broken := errors.New("broken")
	if err := r.EachPileOn(t.Context(), shanghaiDay("2026-02-03"), 1, func([]PileDay) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("EachPileOn: got %v, want fn's error", err)
	}

	for more := true; more; {
		var err error
		if more, err = r.PruneDays(t.Context(), shanghaiDay("2029-02-10")); err != nil {
			t.Fatal(err)
		}
	}
	check("36 months later", want[2:])
}

// A day counts as closed, and as frozen, when it is so in every partition.
func TestHowFarDaysAreClosed(t *testing.T) {
	r := withPiles(t)
	through := func(closed, frozen string) {
		t.Helper()
		gotClosed, err := r.ClosedThrough(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		gotFrozen, err := r.FrozenThrough(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := dateText(gotClosed) + " " + dateText(gotFrozen); got != closed+" "+frozen {
			t.Errorf("closed and frozen through: got %q, want %q", got, closed+" "+frozen)
		}
	}
	seq := uint64(0)
	closeDay := func(partition int, day string, frozen bool) {
		seq++
		save(t, r, seq, Health{Sums: []DaySum{{Partition: partition, Day: shanghaiDay(day), Frozen: frozen, SumKey: SumKey{County: "371721", Operator: "MA3CLQP01", Kind: charge.Public}}}})
	}
	through("", "")
	closeDay(0, "2026-02-01", false)
	through("2026-02-01", "")
	closeDay(1, "2026-02-01", false)
	closeDay(1, "2026-02-02", false)
	closeDay(1, "2026-02-01", true)
	through("2026-02-01", "")
	closeDay(0, "2026-02-02", false)
	closeDay(0, "2026-02-01", true)
	through("2026-02-02", "2026-02-01")
	closeDay(1, "2026-03-02", true) // partition 0 has had no pile in service for weeks
	through("2026-03-02", "2026-03-02")
}

func TestSumsOfDays(t *testing.T) {
	r := withPiles(t)
	sum := func(partition int, county charge.DivisionCode, operator charge.OperatorID, frozen bool, usable int64) DaySum {
		return DaySum{
			Partition: partition, Day: shanghaiDay("2026-02-01"), Frozen: frozen, SumKey: SumKey{County: county, Operator: operator, Kind: charge.Public, Rural: true},
			MinuteSum: MinuteSum{Connectors: 1, Usable: usable, Out: 1, EnergyWh: 1000},
		}
	}
	save(t, r, 10, Health{Sums: []DaySum{sum(0, "371721", "MA3CLQP01", true, 5), sum(0, "371721", "MA3CLQP02", true, 7)}})
	save(t, r, 11, Health{Sums: []DaySum{sum(1, "371721", "MA3CLQP01", false, 9)}})
	get := func(q SumQuery) []DaySum {
		t.Helper()
		q.From, q.To = shanghaiDay("2026-02-01"), shanghaiDay("2026-02-01")
		got, err := r.DaySums(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	both := sum(0, "371721", "MA3CLQP01", false, 14)
	both.Connectors, both.Out, both.EnergyWh = 2, 2, 2000
	if diff := cmp.Diff([]DaySum{both, sum(0, "371721", "MA3CLQP02", true, 7)}, get(SumQuery{Division: "3717"})); diff != "" {
		t.Errorf("DaySums (-want +got):\n%s", diff)
	}
	save(t, r, 12, Health{Sums: []DaySum{sum(0, "371721", "MA3CLQP01", true, 6)}}) // the other one is gone
	save(t, r, 9, Health{Sums: []DaySum{sum(0, "371722", "MA3CLQP01", true, 99)}}) // an older step again
	if got := get(SumQuery{}); len(got) != 1 || got[0].Usable != 15 {
		t.Errorf("DaySums after the partition's day was saved again: got %+v", got)
	}
	if got := get(SumQuery{Operator: "MA3CLQP02"}); len(got) != 0 {
		t.Errorf("DaySums of MA3CLQP02: got %+v", got)
	}
}

// Whatever is saved, in whatever order of steps and however often, the counts of a division are those
// of its townships.
func TestCoverageOfADivisionIsTheSumOfItsTownships(t *testing.T) {
	r := open(t)
	towns := []charge.DivisionCode{"371721101", "371721102", "371721001", "371722101", "370102001"}
	states := []charge.CoverageState{charge.Effective, charge.Failing, charge.Unverified, charge.Starting, charge.None}
	seq := uint64(0)
	latest := map[string]TownshipDay{}
	rapid.Check(t, func(rt *rapid.T) {
		days := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) TownshipDay {
			return TownshipDay{
				Township: rapid.SampledFrom(towns).Draw(t, "town"), Day: dayStart(20000 + rapid.Int64Range(0, 2).Draw(t, "day")),
				State: rapid.SampledFrom(states).Draw(t, "state"), Reason: "usable", NotObserved: rapid.Bool().Draw(t, "unseen"), Proven: rapid.Bool().Draw(t, "proven"),
			}
		}), 1, 5).Draw(rt, "days")
		if seq > 1 && rapid.IntRange(0, 3).Draw(rt, "older") == 0 {
			var known []TownshipDay // an older step changes nothing of what is there
			for _, d := range days {
				if _, ok := latest[string(d.Township)+d.Day.String()]; ok {
					known = append(known, d)
				}
			}
			save(t, r, 0, Health{TownshipDays: known})
		} else {
			seq++
			for range rapid.IntRange(1, 2).Draw(rt, "times") {
				save(t, r, seq, Health{TownshipDays: days})
			}
			for _, d := range days {
				latest[string(d.Township)+d.Day.String()] = d
			}
		}
		saved, err := r.TownshipDays(t.Context(), "37", dayStart(20000), dayStart(20002))
		if err != nil || len(saved) != len(latest) {
			rt.Fatalf("TownshipDays: got %d, %v, want %d", len(saved), err, len(latest))
		}
		for _, d := range saved {
			if d != latest[string(d.Township)+d.Day.String()] {
				rt.Fatalf("TownshipDays: got %+v, want %+v", d, latest[string(d.Township)+d.Day.String()])
			}
		}
		for _, division := range []charge.DivisionCode{"37", "3717", "371721", "3701"} {
			for scope, in := range map[Scope]func(charge.DivisionCode) bool{
				All: func(charge.DivisionCode) bool { return true }, Towns: func(c charge.DivisionCode) bool { return c[6] == '1' },
				Streets: func(c charge.DivisionCode) bool { return c[6] == '0' },
			} {
				want := map[time.Time]*CoverageDay{}
				for _, d := range latest {
					if d.Township.Within(division) && in(d.Township) {
						if want[d.Day] == nil {
							want[d.Day] = &CoverageDay{Division: division, Day: d.Day}
						}
						want[d.Day].add(&d, 1)
					}
				}
				got, err := r.CoverageDays(t.Context(), division, scope, dayStart(20000), dayStart(20002))
				if err != nil || len(got) != len(want) {
					rt.Fatalf("CoverageDays(%s, %s): got %+v, %v, want %d days", division, scope, got, err, len(want))
				}
				for _, d := range got {
					if d != *want[d.Day] || d.Total() == 0 {
						rt.Fatalf("CoverageDays(%s, %s): got %+v, want %+v", division, scope, d, want[d.Day])
					}
				}
			}
		}
	})
}

func TestCoverageEventsAreKeptOnce(t *testing.T) {
	r := open(t)
	share := 0.25
	at := time.Date(2026, 2, 1, 4, 0, 0, 0, time.UTC)
	events := []charge.Event{
		{ID: "0-1-0", At: at, Kind: charge.CoverageGained, Township: "371721101", Operator: "MA3CLQP01", Station: "庄寨镇站", Before: "failing", After: "effective", Reason: "usable"},
		{ID: "0-2-0", At: at.Add(time.Hour), Kind: charge.CoverageUnsteady, Township: "371722101", Share: &share},
		{ID: "0-2-1", At: at.Add(time.Hour), Kind: charge.ConnectorFault, Township: "371722101"},
	}
	save(t, r, 2, Health{Events: events})
	save(t, r, 2, Health{Events: events})
	for division, want := range map[charge.DivisionCode][]charge.Event{"37": {events[1], events[0]}, "371721101": {events[0]}, "3701": nil} {
		got, err := r.CoverageEvents(t.Context(), division, at, at.Add(2*time.Hour), 10)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("CoverageEvents(%s) (-want +got):\n%s", division, diff)
		}
	}
	if got, err := r.CoverageEvents(t.Context(), "37", at, at.Add(time.Hour), 10); err != nil || len(got) != 1 {
		t.Errorf("until is exclusive: got %+v, %v", got, err)
	}
	if got, err := r.CoverageEvents(t.Context(), "37", at, at.Add(2*time.Hour), 1); err != nil || !slices.Equal([]string{got[0].ID}, []string{"0-2-0"}) {
		t.Errorf("the newest: got %+v, %v", got, err)
	}
}
