package availability_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pilewatch/internal/availability"
	"pilewatch/internal/charge"
)

func day(usable, excused, out, unknown uint16) charge.DayMinutes {
	return charge.DayMinutes{Usable: usable, Excused: excused, Out: out, Unknown: unknown}
}

func sum(days ...charge.DayMinutes) availability.Minutes {
	var m availability.Minutes
	for i := range days {
		m.Add(&days[i])
	}
	return m
}

func TestOursAsInTheWorkedExample(t *testing.T) {
	f := sum(day(960, 60, 300, 120)).Ours()
	if f.Up != 960 || f.Of != 1380 {
		t.Errorf("got %d of %d minutes, want 960 of 1380", f.Up, f.Of)
	}
	share, ok := f.Share()
	if got := math.Round(share*1000) / 10; !ok || got != 69.6 {
		t.Errorf("got %v %% (%v), want 69.6 %%", got, ok)
	}
}

func TestNothingLeftIsNeitherNoneNorAll(t *testing.T) {
	for name, m := range map[string]availability.Minutes{
		"no day at all":           sum(),
		"closed all day":          sum(day(0, 0, 0, 0)),
		"every minute is excused": sum(day(0, 1440, 0, 0)),
	} {
		if share, ok := m.Ours().Share(); ok {
			t.Errorf("%s: got %v, want –", name, share)
		}
		if _, ok := m.Ours().Meets(); ok {
			t.Errorf("%s: meets or misses a requirement", name)
		}
	}
}

func TestUKMeasuresRapidConnectorsAndKnownTimeOnly(t *testing.T) {
	m := sum(day(960, 60, 20, 400))
	if f := m.UKOf(120); f.Up != 960 || f.Of != 980 {
		t.Errorf("120 kW: got %d of %d, want 960 of 980", f.Up, f.Of)
	}
	if _, ok := m.UKOf(49.9).Share(); ok {
		t.Error("49.9 kW has a figure")
	}
	if _, ok := m.UKOf(50).Share(); !ok {
		t.Error("50 kW has none")
	}
	network := availability.Sum(availability.UK, sum(day(1440, 0, 0, 0)).UKOf(60), sum(day(720, 0, 720, 0)).UKOf(60), sum(day(0, 0, 1440, 0)).UKOf(7))
	if share, _ := network.Share(); share != 0.75 {
		t.Errorf("network: got %v, want 0.75", share)
	}
}

func dates(from time.Time, n int, m charge.DayMinutes) []availability.Date {
	days := make([]availability.Date, n)
	for i := range days {
		days[i] = availability.Date{Day: from.AddDate(0, 0, i), Minutes: m}
	}
	return days
}

func TestNEVICountsTheTwelveMonthsBefore(t *testing.T) {
	from := time.Date(2025, 3, 1, 0, 0, 0, 0, charge.Zone)
	month := time.Date(2026, 3, 17, 9, 0, 0, 0, charge.Zone)
	for _, tt := range []struct {
		name   string
		days   []availability.Date
		opened time.Time
		up     int64
		ok     bool
	}{
		{"ten minutes out and five unknown a day", dates(from, 365, day(1425, 0, 10, 5)), from, 525600 - 365*15, true},
		{"excused outage is excluded", dates(from, 365, day(1400, 40, 0, 0)), from, 525600, true},
		{"closed by night is not out", dates(from, 365, day(600, 0, 0, 0)), from, 525600, true},
		{"days before and after are not counted", append(dates(from.AddDate(0, 0, -9), 9, day(0, 0, 1440, 0)), dates(from, 400, day(1440, 0, 0, 0))...), from.AddDate(-1, 0, 0), 525600, true},
		{"opened within the year", dates(from.AddDate(0, 6, 0), 150, day(1440, 0, 0, 0)), from.AddDate(0, 6, 0), 0, false},
		{"never in service", nil, from, 0, false},
	} {
		f := availability.NEVIOf(tt.days, tt.opened, month)
		if _, ok := f.Share(); ok != tt.ok || f.Up != tt.up {
			t.Errorf("%s: got %d (%v), want %d (%v)", tt.name, f.Up, ok, tt.up, tt.ok)
		}
	}
	leap := time.Date(2024, 1, 1, 0, 0, 0, 0, charge.Zone)
	if share, ok := availability.NEVIOf(dates(leap, 366, day(0, 0, 1440, 0)), leap, leap.AddDate(1, 0, 0)).Share(); !ok || share != 0 {
		t.Errorf("out for a leap year: got %v (%v), want 0", share, ok)
	}
}

func TestRequirementsAsTheirSourcesSay(t *testing.T) {
	for _, tt := range []struct {
		name      string
		f         availability.Figure
		meets, ok bool
	}{
		{"NEVI asks for more than 97 %", availability.Figure{Definition: availability.NEVI, Up: 97, Of: 100}, false, true},
		{"and more is enough", availability.Figure{Definition: availability.NEVI, Up: 971, Of: 1000}, true, true},
		{"the UK asks for 99 %", availability.Figure{Definition: availability.UK, Up: 99, Of: 100}, true, true},
		{"and less is not enough", availability.Figure{Definition: availability.UK, Up: 989, Of: 1000}, false, true},
		{"ours asks for nothing", availability.Figure{Definition: availability.Ours, Up: 1, Of: 1}, false, false},
	} {
		if meets, ok := tt.f.Meets(); ok != tt.ok || ok && meets != tt.meets {
			t.Errorf("%s: got %v (%v), want %v (%v)", tt.name, meets, ok, tt.meets, tt.ok)
		}
	}
	for _, d := range availability.Definitions() {
		if zh, en, source := d.Names(); zh == "" || en == "" || source == "" {
			t.Errorf("%s lacks a name or its source", d)
		}
	}
}

func anyDay(t *rapid.T) charge.DayMinutes {
	left := 1440
	part := func(name string) uint16 {
		n := rapid.IntRange(0, left).Draw(t, name)
		left -= n
		return uint16(n)
	}
	return day(part("usable"), part("excused"), part("out"), part("unknown"))
}

func TestAGroupIsTheWeightedMeanOfItsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var group availability.Minutes
		var up, weight float64
		for _, d := range rapid.SliceOfN(rapid.Custom(anyDay), 0, 20).Draw(t, "days") {
			part := sum(d)
			group.AddAll(part)
			for _, f := range []availability.Figure{part.Ours(), part.UKOf(60)} {
				if share, ok := f.Share(); ok && (share < 0 || share > 1) {
					t.Fatalf("%s of %+v: %v", f.Definition, d, share)
				}
			}
			if share, ok := part.Ours().Share(); ok {
				up += share * float64(part.Ours().Of)
				weight += float64(part.Ours().Of)
			}
		}
		share, ok := group.Ours().Share()
		if ok != (weight > 0) {
			t.Fatalf("measured: got %v with a weight of %v", ok, weight)
		}
		if ok && math.Abs(share-up/weight) > 1e-9 {
			t.Fatalf("got %v, want %v", share, up/weight)
		}
	})
}
