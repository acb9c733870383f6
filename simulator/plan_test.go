package simulator

import (
	"math"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/charge"
)

func planned(t testing.TB, at string, piles int) *Fleet {
	t.Helper()
	fleet, err := GeneratePlanned(shandong(t), at, piles, 1)
	if err != nil {
		t.Fatal(err)
	}
	return fleet
}

// indicators counts what of the fleet stands at the end of a day, as the plan counts.
func indicators(f *Fleet, by time.Time) map[string]float64 {
	n := make(map[string]float64)
	towns := make(map[charge.DivisionCode]bool)
	urban, fast := 0.0, 0.0
	for i := range f.Piles {
		p := &f.Piles[i]
		s := &f.Stations[p.Station]
		if p.Opened.After(by) {
			continue
		}
		n[string(s.Kind)+" piles"]++
		if s.Area == "rural" {
			n["rural "+string(s.Kind)+" piles"]++
		}
		switch {
		case s.Kind != charge.Public:
		case f.Counted(s.Township):
			towns[s.Township] = true
		default:
			urban++
			if p.DC {
				fast++
			}
		}
	}
	for i := range f.Stations {
		if s := &f.Stations[i]; !s.Opened.After(by) && !s.Opened.Before(storyBegins) {
			n[string(s.Kind)+" kVA added"] += f.capacityKVA[i]
		}
	}
	n["towns"], n["DC share"] = float64(len(towns)), 100*fast/urban
	return n
}

// The plan: 鲁政字〔2023〕155号.
func TestTheProvinceIsAsThePlanHasIt(t *testing.T) {
	end2023, end2025 := time.Date(2023, 12, 31, 0, 0, 0, 0, charge.Zone), time.Date(2025, 12, 31, 0, 0, 0, 0, charge.Zone)
	want2023 := map[string]float64{"public piles": 110_000, "residential piles": 350_000, "rural public piles": 3_000, "rural residential piles": 60_000}
	want2025 := map[string]float64{
		"public piles": 180_000, "residential piles": 900_000, "rural public piles": 10_000, "rural residential piles": 150_000,
		"towns": 1129, "public kVA added": 750_000, "residential kVA added": 800_000,
	}
	for _, tt := range []struct {
		fleet string
		by    time.Time
		want  map[string]float64
	}{
		{"2023-12", end2023, want2023},
		{"2025-12", end2025, want2025},
		{"2025-12", end2023, want2023}, // its past is the plan's as well
	} {
		got := indicators(planned(t, tt.fleet, 0), tt.by)
		for name, want := range tt.want {
			if math.Abs(got[name]-want) > 0.01*want {
				t.Errorf("%s in the fleet of %s at %s: got %.0f, want %.0f within 1 %%", name, tt.fleet, tt.by.Format(time.DateOnly), got[name], want)
			}
		}
		if tt.by.Equal(end2025) && (got["DC share"] < 70 || got["DC share"] > 71) {
			t.Errorf("DC share of urban public piles at the end of 2025: got %.2f %%, want at least 70", got["DC share"])
		}
	}
}

// 48.2 % of the towns has no date in the plan; that it held in the plan's own month is an assumption.
func TestThePlanBeginsWithItsShareOfTowns_assumed(t *testing.T) {
	fleet := planned(t, "2023-09", 150_000)
	if got := indicators(fleet, lastDay(2023, 9))["towns"]; got != coveredTowns {
		t.Errorf("towns with a public station in September 2023: got %.0f, want %d", got, coveredTowns)
	}
	if len(fleet.Piles) != 150_000 {
		t.Errorf("got %d piles, want 150000", len(fleet.Piles))
	}
	tiers := make(map[string]bool)
	for i := range fleet.Piles {
		p, s := &fleet.Piles[i], &fleet.Stations[fleet.Piles[i].Station]
		switch s.Site {
		case expressway:
			tiers["expressway"] = true
			if !p.DC {
				t.Fatalf("pile %d at an expressway is AC", i)
			}
		default:
			tiers[s.Area+" "+string(s.Kind)] = true
		}
		if p.DC && (p.PowerKW < 30 || p.PowerKW > 480) || !p.DC && p.PowerKW != 7 {
			t.Fatalf("pile %d of %v kW, DC %v", i, p.PowerKW, p.DC)
		}
	}
	for _, want := range []string{"urban public", "rural public", "urban residential", "rural residential", "expressway"} {
		if !tiers[want] {
			t.Errorf("no pile is %s", want)
		}
	}
}

func TestAPlannedFleetTooSmallOrOfAnotherMonthIsRefused(t *testing.T) {
	if _, err := GeneratePlanned(shandong(t), "2025-12", 50_000, 1); err == nil || !strings.Contains(err.Error(), "at least") {
		t.Errorf("50,000 piles for 1,129 towns: got %v, want an error with the least number", err)
	}
	if _, err := GeneratePlanned(shandong(t), "2024-12", 0, 1); err == nil || !strings.Contains(err.Error(), "2025-12") {
		t.Errorf("2024-12: got %v, want an error with the months", err)
	}
	if got := PlannedPiles("2025-12"); got != 1_080_000 {
		t.Errorf("PlannedPiles(2025-12): got %d", got)
	}
}
