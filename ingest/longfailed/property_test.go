package longfailed_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pilewatch/ingest/longfailed"
	"pilewatch/internal/charge"
)

// anyDay draws a day of a pile that is often wholly of one kind, so that rules fire now and then.
func anyDay(t *rapid.T) charge.DayMinutes {
	if rapid.IntRange(0, 4).Draw(t, "plain") > 0 {
		return rapid.SampledFrom([]charge.DayMinutes{idle, idle, offline, faulted, silent, excused, halfOpen, anHour, {}}).Draw(t, "day")
	}
	left := rapid.IntRange(0, 1440).Draw(t, "in service")
	part := func(name string) uint16 {
		n := rapid.IntRange(0, left).Draw(t, name)
		left -= n
		return uint16(n)
	}
	d := charge.DayMinutes{Usable: part("usable"), Excused: part("excused"), Out: part("out"), Unknown: part("unknown")}
	d.Fault = uint16(rapid.IntRange(0, int(d.Out)).Draw(t, "fault"))
	d.Heard = min(d.Usable+d.Out+uint16(rapid.IntRange(0, int(d.Unknown)).Draw(t, "heard")), d.Usable+d.Out+d.Unknown)
	d.EnergyWh = uint32(rapid.IntRange(0, 20).Draw(t, "energy"))
	return d
}

// anyPile draws runs of equal days; with windows of a few days they are as good as years.
func anyPile(t *rapid.T) *longfailed.Pile {
	var all []charge.DayMinutes
	for range rapid.IntRange(0, 8).Draw(t, "runs") {
		all = append(all, repeat(rapid.IntRange(1, 8).Draw(t, "length"), anyDay(t))...)
	}
	p := pile(all)
	p.Since = first.AddDate(0, 0, rapid.IntRange(0, 5).Draw(t, "since"))
	p.EnergyReported = rapid.IntRange(0, 4).Draw(t, "energy reported") > 0
	p.StationKWh = rapid.SampledFrom([]float64{0, 49, 50, 900}).Draw(t, "neighbours")
	return p
}

// small is the default policy with windows of a few days.
func small() longfailed.Policy {
	p := longfailed.Defaults()
	p.Silent.Days, p.Faulted.Days, p.NotUsable.Days, p.Unreliable.Days, p.NoEnergy.Days = 3, 2, 4, 6, 3
	p.Proof.UnreliableDays = 2
	return p
}

// obvious is the rules once more, slowly: the shortest window that is long enough, found by trying all, and
// sums in plain loops.
func obvious(p *longfailed.Pile, policy longfailed.Policy) []longfailed.Rule {
	sum := func(from int, of func(charge.DayMinutes) uint16) float64 {
		total := 0.0
		for _, d := range p.Days[from:] {
			total += float64(of(d.Pile))
		}
		return total
	}
	usable := func(d charge.DayMinutes) uint16 { return d.Usable }
	known := func(d charge.DayMinutes) uint16 { return d.Usable + d.Out }
	counted := func(d charge.DayMinutes) uint16 { return d.Usable + d.Out + d.Unknown }
	heard := func(d charge.DayMinutes) uint16 { return d.Heard }
	fault := func(d charge.DayMinutes) uint16 { return d.Fault }
	window := func(days int) (from int, ok bool) {
		best := math.Inf(1)
		for i := range p.Days {
			if got := sum(i, counted); !p.Days[i].Date.Before(p.Since) && got >= float64(days)*1440 && got < best {
				best, from, ok = got, i, true
			}
		}
		for ok && from+1 < len(p.Days) && sum(from+1, counted) == best {
			from++ // days without unexcused service at its begin do not belong to it
		}
		return from, ok
	}
	var rules []longfailed.Rule
	if i, ok := window(policy.Silent.Days); ok && sum(i, usable) == 0 && sum(i, heard)/sum(i, counted) < 0.03 {
		rules = append(rules, longfailed.Silent)
	}
	if i, ok := window(policy.Faulted.Days); ok && sum(i, fault)/sum(i, counted) >= 0.97 {
		rules = append(rules, longfailed.Faulted)
	}
	if i, ok := window(policy.NotUsable.Days); ok && sum(i, usable)/sum(i, counted) <= 0.03 {
		rules = append(rules, longfailed.NotUsable)
	}
	if i, ok := window(policy.Unreliable.Days); ok && sum(i, usable)/sum(i, counted) < 0.5 && sum(i, known)/sum(i, counted) >= 0.5 {
		j, good := window(policy.Proof.UnreliableDays)
		if !good || sum(j, usable)/sum(j, counted) < 0.9 {
			rules = append(rules, longfailed.Unreliable)
		}
	}
	if i, ok := window(policy.NoEnergy.Days); ok && sum(i, usable)/sum(i, counted) >= 0.5 {
		wh := 0
		for _, d := range p.Days[i:] {
			wh += int(d.Pile.EnergyWh)
		}
		if wh < 1000 && p.EnergyReported && p.StationKWh >= 50 {
			rules = append(rules, longfailed.NoEnergy)
		}
	}
	return rules
}

func TestRulesAgreeWithSlowOnes(t *testing.T) {
	fired := map[longfailed.Rule]int{}
	rapid.Check(t, func(t *rapid.T) {
		p := anyPile(t)
		got, want := found(p, small()), obvious(p, small())
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for _, rule := range got {
			fired[rule]++
		}
	})
	for _, rule := range longfailed.Rules() {
		if fired[rule] == 0 {
			t.Errorf("%s never fired: the drawn piles are too healthy to compare anything", rule)
		}
	}
}

func TestAWindowHoldsItsLengthAndLessThanADayMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPile(t)
		minutes := rapid.IntRange(1, 5*1440).Draw(t, "minutes")
		w, full := longfailed.Look(p.Days, p.Since, minutes)
		if got := w.Unexcused(); full != (got >= int64(minutes)) || got >= int64(minutes)+1440 {
			t.Fatalf("%d minutes asked for, %d held, full is %v", minutes, got, full)
		}
		if !w.From.IsZero() && w.From.Before(p.Since) {
			t.Fatalf("from %v, before %v", w.From, p.Since)
		}
	})
}

// No rule looks at excused time: a day that is excused whole changes nothing, wherever it lies.
func TestExcusedDaysChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPile(t)
		p.Since = first
		before := found(p, small())
		at := rapid.IntRange(0, len(p.Days)).Draw(t, "at")
		var all []charge.DayMinutes
		for _, d := range p.Days {
			all = append(all, d.Pile)
		}
		p.Days = days(slices.Insert(all, at, repeat(rapid.IntRange(1, 5).Draw(t, "excused"), excused)...))
		if after := found(p, small()); !slices.Equal(before, after) {
			t.Fatalf("before: %v, after: %v", before, after)
		}
	})
}

// Usable minutes in place of minutes out never create a suspicion of failure, and in place of unknown ones
// only that of unreliable, for they can make a pile known well enough to say so. (no_energy is about piles
// that are usable.)
func TestAddingUsableTimeNeverCreatesASuspicion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPile(t)
		before := found(p, small())
		heard := rapid.Bool().Draw(t, "mend unknown time")
		for i := range p.Days {
			d := &p.Days[i].Pile
			mended := uint16(rapid.IntRange(0, int(d.Out)).Draw(t, "mended"))
			d.Usable, d.Out, d.Fault = d.Usable+mended, d.Out-mended, d.Fault-min(d.Fault, mended)
			if heard {
				mended = uint16(rapid.IntRange(0, int(d.Unknown)).Draw(t, "heard again"))
				d.Usable, d.Unknown, d.Heard = d.Usable+mended, d.Unknown-mended, min(1440, d.Heard+mended)
			}
			p.Days[i].Connectors = []charge.DayMinutes{*d}
		}
		for _, rule := range found(p, small()) {
			if rule != longfailed.NoEnergy && (!heard || rule != longfailed.Unreliable) && !slices.Contains(before, rule) {
				t.Fatalf("%s is new", rule)
			}
		}
	})
}

// A version that is milder by every number never catches whom the stricter one does not.
func TestMilderIsMilder(t *testing.T) {
	draw := func(t *rapid.T, name string) longfailed.Policy {
		p := small()
		p.Version = name
		p.Silent = longfailed.SilentRule{Days: rapid.IntRange(0, 6).Draw(t, "silent days"), HeardUnder: rapid.SampledFrom([]float64{0.01, 0.03, 0.1}).Draw(t, "heard")}
		p.Faulted = longfailed.FaultedRule{Days: rapid.IntRange(0, 6).Draw(t, "faulted days"), FaultAtLeast: rapid.SampledFrom([]float64{0.5, 0.97, 1}).Draw(t, "fault")}
		p.NotUsable = longfailed.NotUsableRule{Days: rapid.IntRange(0, 6).Draw(t, "days"), UsableAtMost: rapid.SampledFrom([]float64{0, 0.03, 0.3}).Draw(t, "usable")}
		return p
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		for _, rule := range longfailed.Rules() {
			if !longfailed.Milder(rule, &a, &a) {
				t.Fatalf("%s is not as mild as itself", rule)
			}
		}
		d := anyPile(t)
		for _, rule := range []longfailed.Rule{longfailed.Silent, longfailed.Faulted, longfailed.NotUsable} {
			a, b := a, b
			a.FirstDay, b.FirstDay = time.Time{}, time.Time{}
			if !longfailed.Milder(rule, &a, &b) || !slices.Contains(found(d, a), rule) {
				continue
			}
			// By the longer window it holds; by the shorter one it held at the end of some day within it.
			held := false
			for n := range d.Days {
				part := *d
				part.Days = d.Days[:n+1]
				held = held || slices.Contains(found(&part, b), rule)
			}
			if !held {
				t.Fatalf("%s holds by %+v and never by the stricter %+v", rule, a, b)
			}
		}
	})
}
