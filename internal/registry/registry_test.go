package registry

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"pilewatch/internal/charge"
)

func open(t testing.TB) *Registry {
	t.Helper()
	r, err := Open(t.Context(), filepath.Join(t.TempDir(), "registry.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// take imports a file that must be right.
func take(t testing.TB, r *Registry, table Table, file string) Imported {
	t.Helper()
	done, err := r.Import(t.Context(), table, strings.NewReader(file))
	if err != nil {
		t.Fatalf("Import(%s): %v", table, err)
	}
	return done
}

const (
	someOperators = "operator,name,contact,email,webhook\nMA3CLQP01,鲁充,张三,ops@example.com,https://example.com/hook\nMA3CLQP02,海岱,,,\n"
	someStations  = `operator,station,name,township,kind,area,site,access,hours,seasons,mobile,lng,lat,crs,address,spaces,fast_spaces,reserved_spaces,capacity_kva,pv_kw,storage_kwh,opened,closed
MA3CLQP01,S1,"古营集镇站, 东",371721101,public,rural,township office,public,Mo-Fr 18:00-08:00,,,115.54,34.82,wgs84,"曹县""古营集""",12,8,0,630,20.5,,2023-05-01,
MA3CLQP01,S2,曹城站,371721001,public,urban,,,,,true,,,,,,,,,,,2022-01-01T08:30:00+08:00,2030-01-01
MA3CLQP02,S1,小区,371721001,residential,,,inner,,,,,,,,,,,,,,2022-01-01,
`
	somePiles = `operator,station,pile,connector,serial,replaces,equipment_type,connector_type,power_kw,report_s,opened,closed
MA3CLQP01,S1,P1,1,SN-1,,1,4,120,300,2023-05-01,
MA3CLQP01,S1,P1,2,SN-1,,1,4,120,300,2023-05-01,
MA3CLQP01,S2,P2,1,,P0,2,,7,,2022-01-01,2030-01-01
MA3CLQP02,S1,P1,1,,,,,3.5,,2022-01-01,
`
)

// withPiles is a registry that holds the files above.
func withPiles(t testing.TB) *Registry {
	t.Helper()
	r := open(t)
	take(t, r, Operators, someOperators)
	take(t, r, Stations, someStations)
	take(t, r, Piles, somePiles)
	return r
}

func TestFreshRegistryHasTheProvince(t *testing.T) {
	r := open(t)
	d, err := r.Directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	levels, counted := map[charge.Level]int{}, 0
	for _, division := range d.Divisions() {
		levels[division.Level]++
		if division.Counted() {
			counted++
		}
	}
	if levels[charge.Province] != 1 || levels[charge.City] != 16 || levels[charge.County] != 151 || levels[charge.Township] != 1853 || counted != 1129 {
		t.Errorf("divisions: got %v and %d towns and townships, want 1, 16, 151, 1853 and 1129", levels, counted)
	}
	if asOf, err := r.DivisionsAsOf(t.Context()); err != nil || asOf != "2023-06-30" {
		t.Errorf("DivisionsAsOf: got %q, %v, want 2023-06-30", asOf, err)
	}
}

func TestDirectoryHoldsWhatWasImported(t *testing.T) {
	r := withPiles(t)
	d, err := r.Directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, ok := d.Pile(charge.PileID{Operator: "MA3CLQP01", Equipment: "P1"})
	if !ok || len(p.Connectors) != 2 || p.Station.Name != "古营集镇站, 东" || p.Connectors[1].ID != "2" || p.Connectors[1].PowerKW != 120 {
		t.Errorf("Pile: got %+v, %v", p, ok)
	}
}
