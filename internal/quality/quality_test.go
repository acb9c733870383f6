package quality_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pilewatch/internal/charge"
	"pilewatch/internal/quality"
)

var (
	start = time.Date(2026, 5, 4, 0, 0, 0, 0, charge.Zone)
	gun   = charge.ConnectorKey{Pile: charge.PileID{Operator: "MA1", Equipment: "P-1"}, Connector: "1"}
)

// every makes n messages of a connector, step apart.
func every(step time.Duration, n int, fill func(i int, r *charge.Reading)) []charge.Reading {
	var all []charge.Reading
	for i := range n {
		at := start.Add(time.Duration(i) * step)
		r := charge.Reading{Pile: gun.Pile, Connector: gun.Connector, Kind: charge.KindTelemetry, At: at, Received: at.Add(time.Second)}
		fill(i, &r)
		all = append(all, r)
	}
	return all
}

func drawing(status charge.Status, kW float64) func(int, *charge.Reading) {
	return func(_ int, r *charge.Reading) {
		r.Has |= charge.HasStatus | charge.HasPower
		r.Status, r.PowerKW = status, kW
	}
}

// metering charges with 60 kW, so a kilowatt-hour a minute, and the meter tells kWhPerMinute of it.
func metering(kWhPerMinute float64) func(int, *charge.Reading) {
	return func(i int, r *charge.Reading) {
		drawing(charge.Charging, 60)(i, r)
		r.Has |= charge.HasMeter
		r.MeterKWh = 1000 + kWhPerMinute*float64(i)
	}
}

func jumping(at int, by, kW float64) func(int, *charge.Reading) {
	return func(i int, r *charge.Reading) {
		drawing(charge.Charging, kW)(i, r)
		r.Has |= charge.HasMeter
		r.MeterKWh = 1000
		if i >= at {
			r.MeterKWh += by
		}
	}
}

func analog(i int, r *charge.Reading) {
	drawing(charge.Charging, 40+float64(i%7)/10)(i, r)
	r.Has |= charge.HasVoltage | charge.HasCurrent | charge.HasTemp
	r.VoltageV, r.CurrentA, r.TempC = 400+float64(i%11)/10, 100+float64(i%13)/10, 30
}

func still(i int, r *charge.Reading) {
	analog(0, r)
	r.At = start.Add(time.Duration(i) * time.Minute)
}

func alarmThen(status charge.Status, level string) func(int, *charge.Reading) {
	return func(i int, r *charge.Reading) {
		switch i % 3 {
		case 0:
			r.Kind, r.Level, r.Code = charge.KindAlarm, level, "insulation"
		case 1:
			r.Kind, r.Has, r.Status = charge.KindStatus, charge.HasStatus, status
		case 2:
			r.Kind, r.Has, r.Status = charge.KindStatus, charge.HasStatus, charge.Idle
		}
	}
}

func TestContradictions(t *testing.T) {
	const minute = time.Minute
	for _, tt := range []struct {
		name string
		in   []charge.Reading
		want string
	}{
		{"charges as it should", every(minute, 120, analog), ""},
		{"draws 7 kW and says idle", every(minute, 10, drawing(charge.Idle, 7)), "power_not_charging 10"},
		{"for four minutes", every(minute, 5, drawing(charge.Idle, 7)), ""},
		{"its fan draws 0.3 kW", every(minute, 60, drawing(charge.Idle, 0.3)), ""},
		{"says charging for an hour and draws nothing", every(minute, 61, drawing(charge.Charging, 0)), "charging_no_power 61"},
		{"a full battery draws nothing for half an hour", every(minute, 31, drawing(charge.Charging, 0)), ""},
		{"feeds back", every(minute, 120, drawing(charge.Charging, -7)), ""},
		{"the meter counts", every(minute, 60, metering(1)), ""},
		{"the meter stands still", every(minute, 60, metering(0)), "meter_stands_still 60"},
		{"the meter stands still while little flows", every(minute, 60, jumping(99, 0, 0.9)), ""},
		{"the meter counts in whole kilowatt-hours", every(minute, 60, func(i int, r *charge.Reading) { jumping(0, 0, 3)(i, r); r.MeterKWh = float64(i / 20) }), ""},
		{"the meter runs back", every(minute, 3, jumping(2, -5, 0)), "meter_runs_back 2"},
		{"the meter is rounded", every(minute, 3, jumping(2, -0.05, 0)), ""},
		{"the meter falls since energy was fed back", every(minute, 3, jumping(2, -5, -60)), ""},
		{"values do not change for half an hour", every(minute, 31, still), "frozen 31"},
		{"values do not change for less", every(minute, 30, still), ""},
		{"a wrong clock's messages are left out", every(minute, 10, func(i int, r *charge.Reading) { drawing(charge.Idle, 7)(i, r); r.Has |= charge.ClockWrong }), ""},
		{"faults told as offline", every(minute, 9, alarmThen(charge.Offline, "danger")), "fault_as_offline 3"},
		{"twice is chance", every(minute, 6, alarmThen(charge.Offline, "danger")), ""},
		{"a notice is no fault", every(minute, 9, alarmThen(charge.Offline, "notice")), ""},
		{"faults told as faults", every(minute, 9, alarmThen(charge.Faulted, "danger")), ""},
		{"goes offline after alarms, and tells faults as well", append(every(minute, 9, alarmThen(charge.Offline, "danger")), every(minute, 2, alarmThen(charge.Faulted, "danger"))[1]), ""},
		{"an alarm long before", every(20*minute, 9, alarmThen(charge.Offline, "danger")), ""},
		{"nothing told", nil, ""},
	} {
		got := ""
		for _, f := range quality.Contradictions(tt.in, quality.DefaultLimits()) {
			if got += fmt.Sprintf("%s %d", f.What, f.Messages); f.Connector != gun || f.Until.Before(f.From) || f.From.IsZero() {
				t.Errorf("%s: evidence %+v", tt.name, f)
			}
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A heartbeat adds nothing to the energy that a power of long ago is taken to have brought.
func TestPowerHoldsForAMinuteOnly(t *testing.T) {
	in := every(30*time.Second, 200, func(i int, r *charge.Reading) {
		if i == 0 {
			jumping(99, 0, 50)(i, r)
			return
		}
		r.Kind, r.Has, r.MeterKWh = charge.KindOrder, charge.HasMeter, 1000
	})
	if got := quality.Contradictions(in, quality.DefaultLimits()); len(got) > 0 {
		t.Errorf("got %+v", got)
	}
}

func TestAConnectorThatTellsAnothersValues(t *testing.T) {
	other := charge.ConnectorKey{Pile: charge.PileID{Operator: "MA1", Equipment: "P-2"}, Connector: "1"}
	as := func(key charge.ConnectorKey, in []charge.Reading) []charge.Reading {
		out := slices.Clone(in)
		for i := range out {
			out[i].Pile, out[i].Connector = key.Pile, key.Connector
			out[i].At = out[i].At.Add(20 * time.Second)
		}
		return out
	}
	real := every(time.Minute, 60, analog)
	apart := every(time.Minute, 60, func(i int, r *charge.Reading) { analog(i*5+3, r) })
	for _, tt := range []struct {
		name  string
		in    []charge.Reading
		count int
	}{
		{"all values", slices.Concat(real, as(other, real)), 60},
		{"all it has", slices.Concat(real, as(other, real[:20])), 20},
		{"too few to say", slices.Concat(real, as(other, real[:19])), 0},
		{"half of them", slices.Concat(real, as(other, slices.Concat(real[:30], apart[30:]))), 0},
		{"its own values", slices.Concat(real, as(other, apart)), 0},
		{"both idle", slices.Concat(every(time.Minute, 60, drawing(charge.Idle, 0)), as(other, every(time.Minute, 60, drawing(charge.Idle, 0)))), 0},
	} {
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(tt.in), func(i, j int) { tt.in[i], tt.in[j] = tt.in[j], tt.in[i] })
		got := quality.Clones(tt.in, quality.DefaultLimits())
		if tt.count == 0 && len(got) > 0 || tt.count > 0 && (len(got) != 1 || got[0].Connector != other || got[0].Other != gun || got[0].Messages != tt.count) {
			t.Errorf("%s: got %+v, want %d", tt.name, got, tt.count)
		}
	}
}

func TestUsableAndNeverCharging(t *testing.T) {
	days := func(n int, d charge.DayMinutes) []charge.DayMinutes {
		all := make([]charge.DayMinutes, n)
		for i := range all {
			all[i] = d
		}
		return all
	}
	for _, tt := range []struct {
		name       string
		days       []charge.DayMinutes
		neighbours float64
		want       bool
	}{
		{"30 days usable while others charge", days(30, charge.DayMinutes{Usable: 1440}), 50, true},
		{"29 days", days(29, charge.DayMinutes{Usable: 1440}), 50, false},
		{"nobody charges there", days(30, charge.DayMinutes{Usable: 1440}), 49, false},
		{"one charge", append(days(30, charge.DayMinutes{Usable: 1440}), charge.DayMinutes{EnergyWh: 1000}), 50, false},
		{"not usable", days(300, charge.DayMinutes{Out: 1440}), 50, false},
	} {
		if _, got := quality.NeverChargesIn(gun, start, start.AddDate(0, 0, 30), tt.days, tt.neighbours, quality.DefaultLimits()); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func numbered(seqs ...uint64) []charge.Reading {
	return every(time.Minute, len(seqs), func(i int, r *charge.Reading) { r.Has |= charge.HasSeq; r.Seq = seqs[i] })
}

func TestDeliveries(t *testing.T) {
	for _, tt := range []struct {
		name                     string
		in                       []charge.Reading
		missing, twice, restarts int
	}{
		{"all there", numbered(5, 6, 7, 8), 0, 0, 0},
		{"two missing", numbered(5, 8), 2, 0, 0},
		{"one came late", numbered(5, 7, 6, 8), 0, 0, 0},
		{"one came twice", numbered(5, 6, 6, 7, 5), 0, 2, 0},
		{"the first came twice", numbered(1, 1, 2), 0, 1, 0},
		{"began anew", numbered(500, 502, 0, 1, 2), 1, 0, 1},
		{"wrapped at 65535", numbered(65534, 65535, 0, 1), 0, 0, 1},
		{"a leap is another count", numbered(5, 1_000_000, 1_000_001), 0, 0, 1},
		{"no numbers", every(time.Minute, 3, func(int, *charge.Reading) {}), 0, 0, 0},
	} {
		d := quality.Deliveries(tt.in, 72*time.Hour)
		if d.Missing != tt.missing || d.Twice != tt.twice || d.Restarts != tt.restarts {
			t.Errorf("%s: got %+v", tt.name, d)
		}
	}
	if share, ok := quality.Deliveries(numbered(1, 2, 5), 0).Completeness(); !ok || share != 0.6 {
		t.Errorf("three of five: got %v (%v)", share, ok)
	}
	if _, ok := quality.Deliveries(nil, 0).Completeness(); ok {
		t.Error("complete without a message")
	}
}

func TestLateness(t *testing.T) {
	d := quality.Deliveries(every(time.Minute, 100, func(i int, r *charge.Reading) {
		r.Received = r.At.Add(time.Duration(i) * time.Hour)
	}), 72*time.Hour)
	if !d.HasDelay || d.Least != 0 || d.P50 != 49*time.Hour || d.P99 != 98*time.Hour || d.Late != 27 {
		t.Errorf("got %+v", d)
	}
	if ahead := quality.Deliveries(every(time.Minute, 3, func(_ int, r *charge.Reading) { r.Received = r.At.Add(-time.Minute) }), time.Hour); ahead.Least != -time.Minute {
		t.Errorf("a clock that is ahead: got %v", ahead.Least)
	}
}

// What is missing, what came and what came twice always add up, whatever was lost, repeated or late.
func TestNumbersAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 200).Draw(t, "sent")
		var seqs []uint64
		lost := map[uint64]bool{}
		for s := uint64(2); s < uint64(n)+2; s++ {
			switch {
			case s > 2 && s < uint64(n)+1 && rapid.IntRange(0, 5).Draw(t, "fate") == 0:
				lost[s] = true
			case rapid.IntRange(0, 9).Draw(t, "twice") == 0:
				seqs = append(seqs, s, s)
			default:
				seqs = append(seqs, s)
			}
		}
		for i := 2; i < len(seqs)-1; i++ { // neighbours change places, the first and last stay
			if rapid.IntRange(0, 5).Draw(t, "late") == 0 {
				seqs[i], seqs[i-1] = seqs[i-1], seqs[i]
			}
		}
		d := quality.Deliveries(numbered(seqs...), time.Hour)
		if d.Missing != len(lost) || d.Restarts != 0 || d.Numbered-d.Twice+d.Missing != n {
			t.Fatalf("sent %d, lost %d: %+v", n, len(lost), d)
		}
		for s := range lost {
			if d.OldestMissingSeq == 0 || s < d.OldestMissingSeq {
				t.Fatalf("oldest missing: got %d, and %d is", d.OldestMissingSeq, s)
			}
		}
	})
}
