package simulator

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"os"
	"slices"
	"strings"
	"testing"

	"pilewatch/internal/charge"
)

// shandong reads the real divisions that the registry carries.
func shandong(t testing.TB) []charge.Division {
	t.Helper()
	file, err := os.Open("../internal/registry/data/divisions.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []charge.Division
	for _, row := range rows[1:] {
		all = append(all, charge.Division{
			Code: charge.DivisionCode(row[0]), Name: row[1], Level: charge.Level(row[2]),
			Parent: charge.DivisionCode(row[3]), Kind: charge.DivisionKind(row[4]),
		})
	}
	return all
}

func generate(t testing.TB, piles int, seed uint64) *Fleet {
	t.Helper()
	fleet, err := Generate(shandong(t), piles, seed)
	if err != nil {
		t.Fatal(err)
	}
	return fleet
}

func TestPlannedShareOfTownsIsCovered(t *testing.T) {
	for _, tt := range []struct {
		piles int
		seed  uint64
	}{{2000, 1}, {2000, 2}, {3000, 1}, {3000, 7}, {20_000, 3}, {100_000, 1}} {
		fleet := generate(t, tt.piles, tt.seed)
		if len(fleet.Piles) != tt.piles {
			t.Errorf("Generate(%d, seed %d): got %d piles", tt.piles, tt.seed, len(fleet.Piles))
		}
		nominal := make(map[charge.DivisionCode]bool)
		for _, s := range fleet.Stations {
			if s.Kind == charge.Public && fleet.Counted(s.Township) {
				nominal[s.Township] = true
			}
			if !s.Opened.Before(lastOpening.AddDate(0, 0, 1)) || s.Opened.Before(firstOpening) {
				t.Errorf("station %s opened %s: want 2019 to mid-2023", s.ID, s.Opened)
			}
		}
		if len(nominal) != 544 {
			t.Errorf("Generate(%d, seed %d): got %d covered towns, want 544", tt.piles, tt.seed, len(nominal))
		}
		working := 0
		for _, code := range fleet.WorkingTownships() {
			if fleet.Counted(code) {
				working++
			}
		}
		if paper := float64(544-working) / 544; paper < 0.08 || paper > 0.15 {
			t.Errorf("Generate(%d, seed %d): got %.1f %% paper coverage, want 8 to 15 %%", tt.piles, tt.seed, 100*paper)
		}
	}
}

// What share of piles is out is an assumption: no published figure was found.
func TestOperatorsDifferInQuality_assumed(t *testing.T) {
	for _, piles := range []int{2000, 3000, 50_000} {
		fleet := generate(t, piles, 5)
		for i, h := range fleet.habits {
			out, all := 0, 0
			for _, p := range fleet.Piles {
				if int(p.Operator) == i {
					all++
					if p.Condition != Working {
						out++
					}
				}
			}
			low, high := 0.03, 0.08
			if h.bad() {
				low, high = 0.10, 0.25
			}
			if share := float64(out) / float64(all); share < low || share > high {
				t.Errorf("%s of %d piles: got %.1f %% out of %d, want %.0f to %.0f %%", h.name, piles, 100*share, all, 100*low, 100*high)
			}
		}
	}
}

func TestSameSeedSameFleet(t *testing.T) {
	tables := func(seed uint64) string {
		var out bytes.Buffer
		fleet := generate(t, 3000, seed)
		for _, table := range []string{"operators", "stations", "piles"} {
			if err := fleet.WriteCSV(table, &out); err != nil {
				t.Fatal(err)
			}
		}
		for i := range fleet.Piles {
			out.WriteByte(byte('0' + fleet.Piles[i].Condition))
		}
		return out.String()
	}
	if once, again := tables(11), tables(11); once != again {
		t.Error("two fleets of one seed differ")
	}
	if tables(11) == tables(12) {
		t.Error("fleets of two seeds are the same")
	}
}

func TestStationsStandWhereTheySay(t *testing.T) {
	fleet := generate(t, 3000, 1)
	divisions := shandong(t)
	byCode := make(map[charge.DivisionCode]charge.Division)
	for _, d := range divisions {
		byCode[d.Code] = d
	}
	names := make(map[string]bool)
	public := 0
	for _, s := range fleet.Stations {
		d := byCode[s.Township]
		if d.Level != charge.Township {
			t.Fatalf("station %s stands in %q", s.ID, s.Township)
		}
		if want := byCode[d.Parent].Name + d.Name; !strings.HasPrefix(s.Name, want) || !strings.HasSuffix(s.Name, "充电站") {
			t.Errorf("station of %s is named %s", want, s.Name)
		}
		if names[s.Name] {
			t.Errorf("two stations are named %s", s.Name)
		}
		names[s.Name] = true
		if s.HasPoint {
			t.Errorf("station %s has a point, and nobody knows where it is", s.ID)
		}
		if s.Kind == charge.Public {
			public++
			if want := map[bool]string{true: "rural", false: "urban"}[d.Counted()]; s.Area != want {
				t.Errorf("station %s in a %s: got %s, want %s", s.ID, d.Kind, s.Area, want)
			}
		}
	}
	if public == len(fleet.Stations) {
		t.Error("no station is dedicated or residential")
	}
	ids := make(map[charge.PileID]bool)
	for i := range fleet.Piles {
		id := fleet.ID(i)
		if ids[id] || !charge.ValidID(id.Equipment) || len(id.Equipment) > 23 || len(id.Operator) != 9 {
			t.Errorf("pile %s: want a valid, unique id within T/CEC 102's lengths", id)
		}
		ids[id] = true
		p := fleet.Piles[i]
		if p.DC && (p.PowerKW < 30 || p.PowerKW > 480) || !p.DC && p.PowerKW != 7 || p.Connectors < 1 || p.Connectors > 2 {
			t.Errorf("pile %s: %v kW, %d connectors, DC %v", id, p.PowerKW, p.Connectors, p.DC)
		}
	}
}

func TestWorkingTownshipsAreSortedAndWork(t *testing.T) {
	fleet := generate(t, 2500, 3)
	working := fleet.WorkingTownships()
	if !slices.IsSortedFunc(working, func(a, b charge.DivisionCode) int { return cmp.Compare(a, b) }) {
		t.Error("not sorted")
	}
	streets := 0
	for _, code := range working {
		if !fleet.Counted(code) {
			streets++
		}
		if !slices.ContainsFunc(fleet.Piles, func(p Pile) bool {
			s := fleet.Stations[p.Station]
			return p.Condition == Working && s.Township == code && s.Kind == charge.Public
		}) {
			t.Errorf("%s has no working public pile", code)
		}
	}
	if streets == 0 {
		t.Error("no street is among them")
	}
}

func TestTooSmallAFleetIsRefused(t *testing.T) {
	if _, err := Generate(shandong(t), MinPiles-1, 1); err == nil {
		t.Error("Generate(1999): got no error")
	}
	if _, err := Generate(nil, MinPiles, 1); err == nil {
		t.Error("Generate without divisions: got no error")
	}
	if err := generate(t, MinPiles, 1).WriteCSV("divisions", &bytes.Buffer{}); err == nil {
		t.Error("WriteCSV(divisions): got no error")
	}
}
