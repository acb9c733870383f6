package registry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

const (
	someTownships  = "township,lng,lat,crs,population,grid_headroom_kva,road_class,tags\n371721101,115.54,34.82,wgs84,61000,1250.5,S1,城乡结合部;乡镇驻地\n371721102,,,,,,,\n"
	someStatistics = "division,indicator,date,value,source\n37,residential_piles,2024-12-31,812345,国网山东\n37,residential_piles,2025-06-30,901000,国网山东\n"
	someTargets    = "division,indicator,year,value,kind,comparison,document\n37,public_piles,2025,190000,stock,>=,修订\n3717,public_piles,2025,9000,stock,>=,\n"
)

func TestPlainFilesComeBack(t *testing.T) {
	r := withPiles(t)
	for table, file := range map[Table]string{Townships: someTownships, Statistics: someStatistics, TargetFile: someTargets} {
		if done := take(t, r, table, file); done != (Imported{Added: 2}) {
			t.Errorf("Import(%s): got %+v", table, done)
		}
		if diff := cmp.Diff(file, export(t, r, table)); diff != "" {
			t.Errorf("Export(%s) (-imported +exported):\n%s", table, diff)
		}
		if done := take(t, r, table, file); done != (Imported{Unchanged: 2}) {
			t.Errorf("Import(%s) again: got %+v", table, done)
		}
	}
	facts, err := r.TownshipFacts(t.Context())
	if err != nil || len(facts) != 2 || *facts[0].Population != 61000 || len(facts[0].Tags) != 2 || facts[1].Population != nil || facts[1].HeadroomKVA != nil || facts[1].HasPoint {
		t.Errorf("TownshipFacts: got %+v, %v", facts, err)
	}
	targets, err := r.Targets(t.Context())
	if err != nil || len(targets) != 18 {
		t.Fatalf("Targets: got %d, %v, want 17 and one", len(targets), err)
	}
	for _, target := range targets {
		if target.Division == "37" && target.Indicator == "public_piles" && target.Year == 2025 && (target.Value != 190000 || target.Document != "修订") {
			t.Errorf("an imported target: got %+v", target)
		}
		if target.Indicator == "residential_piles" && (target.Reported == nil || *target.Reported != 901000) {
			t.Errorf("reported: got %+v", target)
		}
	}
	_, err = r.Import(t.Context(), Townships, strings.NewReader("township,population,tags\n379999101,1,山区\n"))
	var bad *ImportError
	if !errors.As(err, &bad) || len(bad.Rows) != 2 || bad.Rows[0].Reason != "unknown division 379999101" {
		t.Errorf("wrong rows: got %v", err)
	}
}

func TestConnectionRates(t *testing.T) {
	r := withPiles(t)
	r.now = func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, charge.Zone) }
	heard := func(pile string, ago time.Duration) charge.ConnectorState {
		return charge.ConnectorState{Key: charge.ConnectorKey{Pile: pileID(pile), Connector: "1"}, LastHeard: r.now().Add(-ago)}
	}
	save(t, r, 1, Health{Connectors: []charge.ConnectorState{heard("MA3CLQP01:P1", 71*time.Hour), heard("MA3CLQP01:P2", 73*time.Hour)}})
	got, err := r.ConnectionRates(t.Context(), "37")
	want := []ConnectionRate{{"MA3CLQP01", TierPublic, 2, 2, 1}, {"MA3CLQP02", TierHousehold, 1, 0, 0}}
	if err != nil || !cmp.Equal(want, got) {
		t.Errorf("ConnectionRates: got %+v, %v, want %+v", got, err, want)
	}
	if got, err := r.ConnectionRates(t.Context(), "371721101"); err != nil || len(got) != 1 || got[0].Registered != 1 {
		t.Errorf("ConnectionRates of a township: got %+v, %v", got, err)
	}
}
