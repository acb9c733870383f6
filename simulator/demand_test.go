package simulator

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/charge"
)

func calendarOf(t testing.TB) *calendar {
	t.Helper()
	c, err := ownCalendar()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// 鲁政字〔2023〕155号: five prices in 2023; from 2024 the valley from 23 to 7 is all that is fixed.
func TestTheTariffHasThePlansPrices(t *testing.T) {
	c := calendarOf(t)
	seen := make(map[string]float64)
	for h := range 365 * 24 {
		p := c.tariff.at(storyBegins.Add(time.Duration(h) * time.Hour))
		seen[p.period] = p.yuan
	}
	for period, yuan := range map[string]float64{"deep valley": 0.222, "valley": 0.385, "flat": 0.555, "peak": 0.585, "sharp": 0.888} {
		if seen[period] != yuan {
			t.Errorf("%s in 2023: got %v, want %v yuan", period, seen[period], yuan)
		}
	}
	for _, day := range []time.Time{storyYear2, storyStart} {
		for h := range 24 {
			at := time.Date(day.Year(), day.Month(), day.Day(), h, 30, 0, 0, charge.Zone)
			p := c.tariff.at(at)
			if valley := h >= 23 || h < 7; (p.period == "valley") != valley {
				t.Errorf("%s: got %s", at, p.period)
			}
			if p.period != "valley" && !strings.Contains(p.source, "assumed") {
				t.Errorf("%s: %s does not say that it is assumed", at, p.period)
			}
		}
	}
}

func TestATariffThatIsWrongIsRefusedByLine(t *testing.T) {
	const header = "from,months,hours,period,yuan_per_kwh,source\n"
	for _, tt := range []struct{ name, rows, want string }{
		{"a month that is none", "2023-01-01,0-12,0-24,flat,0.5,x\n", "line 2: months"},
		{"an hour that is none", "2023-01-01,1-12,0-25,flat,0.5,x\n", "line 2: hours"},
		{"a price that is none", "2023-01-01,1-12,0-24,flat,free,x\n", "line 2: yuan_per_kwh"},
		{"a day that is none", "2023-13-01,1-12,0-24,flat,0.5,x\n", "line 2: from"},
		{"days out of order", "2023-01-01,1-12,0-24,flat,0.5,x\n2022-01-01,1-12,0-24,flat,0.5,x\n", "line 3"},
		{"hours without a price", "2023-01-01,1-12,7-24,flat,0.5,x\n", "no price"},
	} {
		if _, err := readTariff(strings.NewReader(header + tt.rows)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	if _, err := readHolidays(bytes.NewReader([]byte("name,from,until,source\nx,2023-02-01,2023-01-01,y\n"))); err == nil {
		t.Error("a holiday that ends before it begins: got no error")
	}
}

// A day is what a fleet did on average on one: by tier and kind of current.
type day struct {
	energy, busy, guns, piles, sessions float64
	starts                              [24]float64
}

// live lets every keep-th pile live for some days and gives what it did a day by tier and DC, and the power by hour.
func live(start time.Time, fleet *Fleet, days, keep int) (of map[tier]map[bool]*day, hourly [24]float64) {
	of = make(map[tier]map[bool]*day)
	for t := range tiers {
		of[t] = map[bool]*day{true: {}, false: {}}
	}
	for i := 0; i < len(fleet.Piles); i += keep {
		d := of[fleet.tier(i)][fleet.Piles[i].DC]
		d.piles++
		d.guns += float64(fleet.Piles[i].Connectors)
	}
	cfg := Defaults()
	cfg.ReportEvery, cfg.HeartbeatEvery = 5*time.Minute, time.Hour
	playFrom(start, fleet, cfg, time.Duration(days)*24*time.Hour, 1, keep, func(m *message) {
		d := of[fleet.tier(m.pile)][fleet.Piles[m.pile].DC]
		switch {
		case m.again:
		case m.reading.Kind == charge.KindTelemetry:
			hourly[m.reading.At.In(charge.Zone).Hour()] += m.reading.PowerKW
		case m.reading.Kind == charge.KindOrder:
			d.sessions += 1 / float64(days)
			d.energy += m.reading.EnergyKWh / float64(days)
			d.busy += m.reading.End.Sub(m.reading.Start).Hours() / 24 / float64(days)
			d.starts[m.reading.Start.In(charge.Zone).Hour()] += 1 / float64(days)
		}
	})
	return of, hourly
}

// Sources seen in excerpts only: 中国充电联盟·能链 2022 (25.6 kWh and 49.3 min of a public session; starts peak at 5-7,
// 12-16 and 23-1), Beijing 2019 (DC piles give 6 to 11 times the energy of AC ones), 168 Beijing cars (51 h between two
// home charges). The others are judgement.
func TestAnOrdinaryDayKeepsToItsRanges_assumed(t *testing.T) {
	fleet := planned(t, "2025-12", 400_000)
	of, hourly := live(storyStart, fleet, 4, 50)
	urban, home, rural := of[urbanTier], of[homeTier], of[ruralTier]
	public := day{}
	for _, d := range []*day{urban[true], urban[false], of[expresswayTier][true]} {
		public.energy += d.energy
		public.guns += d.guns
	}
	starts := func(d *day, hours ...int) (share float64) {
		for _, h := range hours {
			share += d.starts[h] / d.sessions
		}
		return share / float64(len(hours)) * 24
	}
	for _, tt := range []struct {
		what             string
		got, least, most float64
	}{
		{"kWh of a public DC session", urban[true].energy / urban[true].sessions, 23, 28},
		{"minutes of a public DC session", urban[true].busy * 24 * 60 / urban[true].sessions, 45, 55},
		{"starts at 5-7 against the mean hour", starts(urban[true], 5, 6), 1.05, 3},
		{"starts at 12-16 against the mean hour", starts(urban[true], 12, 13, 14, 15), 1.05, 3},
		{"starts at 23-1 against the mean hour", starts(urban[true], 23, 0), 1.05, 3},
		{"energy of a DC connector against an AC one", urban[true].energy / urban[true].guns / (urban[false].energy / urban[false].guns), 6, 11},
		{"hours between two home charges", 24 * home[false].guns / home[false].sessions, 40, 60},
		{"kWh a public pile a day, each connector counted as one", public.energy / public.guns, 30, 55},
		{"kWh a rural public pile a day", (rural[true].energy + rural[false].energy) / (rural[true].piles + rural[false].piles), 5, 20},
		{"% of time that public DC charges", 100 * urban[true].busy / urban[true].guns, 6, 15},
		{"% of time that public AC charges", 100 * urban[false].busy / urban[false].guns, 2, 6},
		{"% of time that home charges", 100 * home[false].busy / home[false].guns, 5, 8},
		{"% of home charges that begin from 23 to 3", 100 * starts(home[false], 23, 0, 1, 2) * 4 / 24, 40, 70},
		{"the province's peak hour against its least", slices.Max(hourly[:]) / slices.Min(hourly[:]), 2, 3.5},
	} {
		t.Logf("%s: %.2f", tt.what, tt.got)
		if tt.got < tt.least || tt.got > tt.most {
			t.Errorf("%s: got %.2f, want %v to %v", tt.what, tt.got, tt.least, tt.most)
		}
	}
}

// 3 to 5 times an ordinary day is judgement.
func TestHolidaysFillTheExpressways_assumed(t *testing.T) {
	fleet := planned(t, "2023-12", 400_000)
	fleet.Piles = slices.DeleteFunc(fleet.Piles, func(p Pile) bool { return fleet.Stations[p.Station].Site != expressway })
	if len(fleet.Piles) < 300 {
		t.Fatalf("%d piles at expressways", len(fleet.Piles))
	}
	sessions := func(from time.Time) float64 {
		of, _ := live(from, fleet, 4, 1)
		return of[expresswayTier][true].sessions
	}
	national, spring := time.Date(2026, 10, 2, 0, 0, 0, 0, charge.Zone), time.Date(2026, 2, 17, 0, 0, 0, 0, charge.Zone)
	ordinary := sessions(storyStart)
	for name, holiday := range map[string]float64{"National Day": sessions(national), "Spring Festival": sessions(spring)} {
		if times := holiday / ordinary; times < 3 || times > 5 {
			t.Errorf("expressways on %s: got %.1f times an ordinary day, want 3 to 5", name, times)
		}
	}
}

// 3 to 8 % of connectors out at any time, 10 to 25 % at bad operators, 1 to 3 % zombies: judgement.
func TestConnectorsThatAreOut_assumed(t *testing.T) {
	fleet := planned(t, "2025-12", 400_000)
	cfg := Defaults()
	cfg.ReportEvery, cfg.HeartbeatEvery = 10*time.Minute, time.Hour
	const keep, days = 40, 6
	b := newBehaviour(fleet, cfg, storyStart, 18*time.Second)
	v := b.voice(func(*message) {})
	var out, all [2]float64
	zombies := 0.0
	for i := 0; i < len(fleet.Piles); i += keep {
		b.step(v, i, days*24*time.Hour)
		bad := 0
		if fleet.habits[fleet.Piles[i].Operator].bad() {
			bad = 1
		}
		for _, g := range b.gunsOf(i) {
			all[bad]++
			if g.phase == faulted || g.phase == dead {
				out[bad]++
			}
		}
		if fleet.Piles[i].Condition == Unused {
			zombies += 100 * keep / float64(len(fleet.Piles))
		}
	}
	t.Logf("out: %.1f %%, at bad operators %.1f %%; zombies %.1f %%", 100*out[0]/all[0], 100*out[1]/all[1], zombies)
	if share := 100 * out[0] / all[0]; share < 3 || share > 8 {
		t.Errorf("connectors out: got %.1f %%, want 3 to 8", share)
	}
	if share := 100 * out[1] / all[1]; share < 10 || share > 25 {
		t.Errorf("connectors out at bad operators: got %.1f %%, want 10 to 25", share)
	}
	if zombies < 1 || zombies > 3 {
		t.Errorf("zombies: got %.1f %%, want 1 to 3", zombies)
	}
}

// A log-normal time with a median of 8 to 24 h, and 1 % never: judgement.
func TestRepairsThatNeedAVisit_assumed(t *testing.T) {
	fleet := generate(t, 2000, 1)
	b := newBehaviour(fleet, Defaults(), storyStart, time.Second)
	v := b.voice(func(*message) {})
	var hours []float64
	all, left := 0, 0
	for range 40 {
		for i := range b.piles {
			v.i = i
			gun := &b.gunsOf(i)[0]
			gun.phase = idle
			b.fail(v, 0, time.Hour)
			switch {
			case faultModes[gun.fault].median < visitMedian:
			case gun.phaseEnds == never:
				all++
				left++
			default:
				all++
				hours = append(hours, (gun.phaseEnds - time.Hour).Hours())
			}
		}
	}
	slices.Sort(hours)
	if median := hours[len(hours)/2]; median < 8 || median > 24 {
		t.Errorf("median of repairs: got %.1f h, want 8 to 24", median)
	}
	if share := 100 * float64(left) / float64(all); math.Abs(share-1) > 0.3 {
		t.Errorf("never repaired: got %.2f %% of %d, want 1", share, all)
	}
}

// What the field's equipment does to those who listen to it.
func TestMessagesComeTwiceLateAndWithWrongClocks(t *testing.T) {
	fleet := generate(t, 2000, 3)
	cfg := Defaults()
	twice, stored := 0, 0
	worst := make(map[bool]time.Duration) // by whether the operator's clocks are bad
	down := make(map[int]bool)
	play(fleet, cfg, 48*time.Hour, 1, 2, func(m *message) {
		r := &m.reading
		switch {
		case m.action == connect:
			down[m.pile] = false
			return
		case m.action == drop:
			down[m.pile] = true
			return
		case m.again:
			twice++
			return
		case down[m.pile]:
			stored++
		}
		if r.Kind == charge.KindHeartbeat {
			return
		}
		bad := fleet.habits[fleet.Piles[m.pile].Operator].ways == badClocks
		worst[bad] = max(worst[bad], r.At.Sub(storyStart.Add(m.at)).Abs())
		if m.pile%wrapsEvery == 0 && r.MeterKWh >= wrapsAt {
			t.Errorf("%s: a meter of five digits shows %v", r.Pile, r.MeterKWh)
		}
	})
	if twice == 0 || stored == 0 {
		t.Errorf("%d messages came twice and %d were stored while the connection was away, want some", twice, stored)
	}
	if worst[false] > 2*time.Second || worst[true] < 5*time.Minute || worst[true] > 10*time.Minute {
		t.Errorf("clocks are wrong by up to %s, bad ones by %s: want 2 s, and 5 to 10 min", worst[false], worst[true])
	}
	for i := 0; i < 10*wrapsEvery; i += wrapsEvery {
		if told(i, wrapsAt+1.25) != 1.25 {
			t.Errorf("told(%d, 100001.25): got %v, want 1.25", i, told(i, wrapsAt+1.25))
		}
	}
}

func TestColdBatteriesTakeLess_assumed(t *testing.T) {
	january, july := outdoorC(time.Date(2026, 1, 15, 4, 0, 0, 0, charge.Zone)), outdoorC(time.Date(2026, 7, 15, 15, 0, 0, 0, charge.Zone))
	if january > 0 || july < 28 {
		t.Errorf("a night in January has %.1f °C, an afternoon in July %.1f", january, july)
	}
	if cold, warm := coldPower(january), coldPower(july); warm != 1 || cold > 0.8 || cold < 0.5 {
		t.Errorf("power of a battery: got %.2f in January, %.2f in July; want 0.5 to 0.8, and 1", cold, warm)
	}
}
