package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

func open(t testing.TB) *Registry {
	t.Helper()
	r, err := openAt(t, filepath.Join(t.TempDir(), "registry.db"), slog.New(slog.DiscardHandler))
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

func export(t testing.TB, r *Registry, table Table) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Export(t.Context(), table, &b); err != nil {
		t.Fatalf("Export(%s): %v", table, err)
	}
	return b.String()
}

func directory(t testing.TB, r *Registry) *Directory {
	t.Helper()
	d, err := r.Directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func refresh(t testing.TB, d *Directory) {
	t.Helper()
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func rev(t testing.TB, r *Registry) int64 {
	t.Helper()
	rev, err := r.Rev(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func pileID(s string) charge.PileID {
	operator, pile, _ := strings.Cut(s, ":")
	return charge.PileID{Operator: charge.OperatorID(operator), Equipment: pile}
}

// Three files in the form in which they are exported.
const (
	someOperators = "operator,name,contact,email,webhook\nMA3CLQP01,鲁充,张三,ops@example.com,https://example.com/hook\nMA3CLQP02,海岱,,,\n"
	someStations  = `operator,station,name,township,kind,area,site,access,hours,seasons,mobile,lng,lat,crs,address,spaces,fast_spaces,reserved_spaces,capacity_kva,pv_kw,storage_kwh,opened,closed
MA3CLQP01,S1,"庄寨镇站, 东",371721101,public,rural,township office,public,Mo-Fr 18:00-08:00,,,115.54,34.82,wgs84,"曹县""庄寨""",12,8,0,630,20.5,,2023-05-01,
MA3CLQP01,S2,曹城站,371721001,public,urban,,,,05-01..10-31,true,,,,,,,,,,,2022-01-01T08:30:00+08:00,2030-01-01
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
	confirmAll(t, r)
	return r
}

// confirmAll is an officer who agrees to everything.
func confirmAll(t testing.TB, r *Registry) {
	t.Helper()
	all, err := r.Confirmations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if err := r.Confirm(t.Context(), c.ID, true, "李四"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFreshRegistryHasTheProvince(t *testing.T) {
	r := open(t)
	levels, counted := map[charge.Level]int{}, 0
	for _, division := range directory(t, r).Divisions() {
		levels[division.Level]++
		if division.Counted() {
			counted++
		}
	}
	want := map[charge.Level]int{charge.Province: 1, charge.City: 16, charge.County: 151, charge.Township: 1853}
	if diff := cmp.Diff(want, levels); diff != "" || counted != 1129 {
		t.Errorf("divisions (-want +got): %s; towns and townships: got %d, want 1129", diff, counted)
	}
	if asOf, err := r.DivisionsAsOf(t.Context()); err != nil || asOf != "2023-06-30" {
		t.Errorf("DivisionsAsOf: got %q, %v, want 2023-06-30", asOf, err)
	}
}

func TestOpenTogetherOnAnEmptyDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "registry.db")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			r, err := openAt(t, path, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Error(err)
				return
			}
			if n := len(directory(t, r).Divisions()); n != 2021 {
				t.Errorf("divisions: got %d, want 2021", n)
			}
			if err := errors.Join(r.Ping(t.Context()), r.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestExportGivesBackWhatWasImported(t *testing.T) {
	r := withPiles(t)
	before := rev(t, r)
	for table, file := range map[Table]string{Operators: someOperators, Stations: someStations, Piles: somePiles} {
		if diff := cmp.Diff(file, export(t, r, table)); diff != "" {
			t.Errorf("Export(%s) (-imported +exported):\n%s", table, diff)
		}
		if done := take(t, r, table, file); done.Added+done.Updated != 0 || done.Unchanged == 0 {
			t.Errorf("Import(%s) again: got %+v, want all unchanged", table, done)
		}
	}
	divisions := export(t, r, Divisions)
	if done := take(t, r, Divisions, divisions); done != (Imported{Unchanged: 2021}) {
		t.Errorf("Import(divisions) of the export: got %+v, want 2021 unchanged", done)
	}
	if after := rev(t, r); after != before {
		t.Errorf("rev after importing the same: got %d, want %d", after, before)
	}
}

func TestImportUpdatesWhatDiffersAndKeepsTheRest(t *testing.T) {
	r := withPiles(t)
	revs := func() (all []int64) {
		err := each(t.Context(), r.read, func(rows *sql.Rows) error {
			var rev int64
			err := rows.Scan(&rev)
			all = append(all, rev)
			return err
		}, "SELECT rev FROM connectors ORDER BY operator, pile, connector")
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := revs()
	done := take(t, r, Piles, strings.Replace(somePiles, "P1,2,SN-1,,1,4,120", "P1,2,SN-1,,1,4,180", 1)+"MA3CLQP02,S1,P3,1,,,,,7,,2024-01-01,\n")
	if want := (Imported{Added: 1, Updated: 1, Unchanged: 3}); done != want {
		t.Errorf("Import: got %+v, want %+v", done, want)
	}
	after := revs()
	if !slices.Equal([]int64{after[0], after[2], after[3]}, []int64{before[0], before[2], before[3]}) {
		t.Errorf("revs of unchanged connectors: got %v, want those of %v", after, before)
	}
	if now := rev(t, r); after[1] != now || after[4] != now {
		t.Errorf("revs of changed connectors: got %d, %d, want %d", after[1], after[4], now)
	}
	// A file with only the required columns takes nothing else away but those it does not give.
	take(t, r, Piles, "operator,station,pile,connector,power_kw,opened\nMA3CLQP02,S1,P9,1,7,2024-01-01\n")
	if n := strings.Count(export(t, r, Piles), "\n"); n != 7 {
		t.Errorf("lines after a file of one pile: got %d, want 7", n)
	}
}

func TestImportReportsEveryBadRow(t *testing.T) {
	const stationHead = "operator,station,township,kind,opened"
	tests := []struct {
		name  string
		table Table
		file  string
		want  []RowError
	}{
		{"empty file", Operators, "", []RowError{{1, "", "the file is empty: want a header with operator, name, contact, email, webhook"}}},
		{"column that is not known", Operators, "operator,nmae\nA,x\n", []RowError{
			{1, "nmae", "unknown column; known: operator, name, contact, email, webhook"},
		}},
		{"column twice", Operators, "operator,operator\nA,A\n", []RowError{{1, "operator", "the column occurs twice"}}},
		{"required columns missing", Stations, "operator,station,name\nA,S,x\n", []RowError{
			{1, "township", "the column is missing"}, {1, "kind", "the column is missing"}, {1, "opened", "the column is missing"},
		}},
		{"too few fields, and a quote left open", Operators, "operator,name\nA\nB,\"x\n", []RowError{
			{2, "", "1 fields, where the header has 2"}, {3, "", "a quote is not closed, or text follows it"},
		}},
		{"lines are those of the file, over quotes and empty lines", Operators, "operator,name\n\nA,\"a\"\n\nB b,x\n", []RowError{
			{5, "operator", `"B b" is not an id: want 1 to 64 characters of A-Z a-z 0-9 . _ -`},
		}},
		{"not UTF-8", Operators, "operator,name\nA,\xc2\xb3\xb3\xe4\n", []RowError{{2, "name", "not UTF-8: save the file as CSV UTF-8"}}},
		{"control character", Operators, "operator,name\nA,\"a\nb\"\n", []RowError{{2, "name", "a line break or another control character"}}},
		{"operator twice", Operators, "operator\nA\nB\nA\n", []RowError{{4, "operator", "operator A is on line 2 already"}}},
		{"every fault of a station row", Stations, "operator,station,township,kind,area,access,hours,seasons,mobile,lng,lat,crs,spaces,capacity_kva,opened,closed\n" +
			"NONE,S 1,37172110,publik,suburb,open,evenings,May-Oct,maybe,36.8,117.1,bd09,1.5,many,2023-13-01,yesterday\n", []RowError{
			{2, "operator", "unknown operator NONE"},
			{2, "station", `"S 1" is not an id: want 1 to 64 characters of A-Z a-z 0-9 . _ -`},
			{2, "township", `"37172110" is not a township's code: want 9 digits`},
			{2, "kind", `"publik" is none of public, dedicated, residential`},
			{2, "area", `"suburb" is none of urban, rural`},
			{2, "access", `"open" is none of public, limited, inner`},
			{2, "hours", `hours "evenings": "evenings" is none of Mo, Tu, We, Th, Fr, Sa, Su; want like "08:00-20:00", "Mo-Fr 07:00-19:00; Sa,Su 09:00-18:00" or "24/7"`},
			{2, "seasons", `seasons "May-Oct": "May-Oct" is no range of days; want like "05-01..10-15" or "05-01..10-15; 12-20..01-10"`},
			{2, "mobile", `"maybe" is neither true nor false`},
			{2, "lng", `"36.8" is out of range: want 72.004 to 137.8347`},
			{2, "lat", `"117.1" is out of range: want 0.8293 to 55.8271`},
			{2, "crs", `"bd09" is none of wgs84, gcj02`},
			{2, "spaces", `"1.5" is not a whole number`},
			{2, "capacity_kva", `"many" is not a number`},
			{2, "opened", `"2023-13-01" is not a date: want 2006-01-02 or RFC 3339`},
			{2, "closed", `"yesterday" is not a date: want 2006-01-02 or RFC 3339`},
		}},
		{"references of a station, of every row", Stations, stationHead + "\nNONE,S1,371721101,public,2023-01-01\nMA3CLQP01,S3,379999101,public,2023-01-01\nNONE,S9,379999101,public,2023-01-01\n", []RowError{
			{2, "operator", "unknown operator NONE"},
			{3, "township", "unknown township 379999101"},
			{4, "operator", "unknown operator NONE"},
			{4, "township", "unknown township 379999101"},
		}},
		{"a county is not a township", Stations, stationHead + "\nMA3CLQP01,S3,371721,public,2023-01-01\n", []RowError{
			{2, "township", `"371721" is not a township's code: want 9 digits`},
		}},
		{"points", Stations, stationHead + ",lng,lat\nMA3CLQP01,S3,371721101,public,2023-01-01,36.8,117.1\nMA3CLQP01,S4,371721101,public,2023-01-01,117.1,\nMA3CLQP01,S5,371721101,public,2023-01-01,0,0\n", []RowError{
			{2, "lng", `"36.8" is out of range: want 72.004 to 137.8347`},
			{2, "lat", `"117.1" is out of range: want 0.8293 to 55.8271`},
			{3, "lat", "missing: a point has both lng and lat"},
			{4, "lng", `"0" is out of range: want 72.004 to 137.8347`},
			{4, "lat", `"0" is out of range: want 0.8293 to 55.8271`},
		}},
		{"closed before opened", Stations, stationHead + ",closed\nMA3CLQP01,S3,371721101,public,2023-01-02,2023-01-01\n", []RowError{
			{2, "closed", "2023-01-01 is before opened, 2023-01-02"},
		}},
		{"references and values of piles", Piles, "operator,station,pile,connector,power_kw,report_s,equipment_type,connector_type,opened\n" +
			"NONE,S1,P7,1,7,,,,2023-01-01\n" +
			"MA3CLQP01,S77,P7,1,7,,,,2023-01-01\n" +
			"MA3CLQP01,S1,P8,1,0,0,6,7,2023-01-01\n" +
			"MA3CLQP01,S1,P9,,,x,DC,,\n", []RowError{
			{2, "operator", "unknown operator NONE"},
			{3, "station", "unknown station S77 of MA3CLQP01"},
			{4, "equipment_type", `"6" is none of 1 to 5, 255`},
			{4, "connector_type", `"7" is none of 1 to 6, 255`},
			{4, "power_kw", "0 is out of range: want more than 0"},
			{4, "report_s", `"0" is out of range: want 1 to 86400`},
			{5, "connector", "missing"},
			{5, "equipment_type", `"DC" is none of 1 to 5, 255`},
			{5, "power_kw", "missing"},
			{5, "report_s", `"x" is not a whole number`},
			{5, "opened", "missing"},
		}},
		{"connector twice, and a pile at two stations", Piles, "operator,station,pile,connector,power_kw,opened\n" +
			"MA3CLQP01,S1,P7,1,7,2023-01-01\nMA3CLQP01,S1,P7,1,7,2023-01-01\nMA3CLQP01,S2,P7,2,7,2023-01-01\n", []RowError{
			{3, "connector", "connector MA3CLQP01:P7/1 is on line 2 already"},
			{4, "station", "S2, where line 2 has the same pile at S1"},
		}},
		{"divisions", Divisions, "code,name,level,parent_code,kind,as_of\n37a,x,,,,\n3718,,county,36,town,\n371899101,x,,,,2024-01-01\n371721101,x,,,zone,2024-02-01\n3701,x,,,,31.12.2024\n", []RowError{
			{2, "code", `"37a" is not a code: want 2, 4, 6 or 9 digits`},
			{3, "code", "unknown parent 37"}, // a new date makes it the whole list
			{3, "name", "missing"},
			{3, "level", `"county", where a code of 4 digits is a city`},
			{3, "parent_code", `"36", where the code starts with "37"`},
			{3, "kind", `"town", where only counties and townships have a kind`},
			{4, "code", "unknown parent 371899"},
			{5, "code", "unknown parent 371721"},
			{5, "kind", `"zone" is none of street, town, township, quasi`},
			{5, "as_of", "2024-02-01, where the list is of 2024-01-01"},
			{6, "code", "unknown parent 37"},
			{6, "as_of", `"31.12.2024" is not a date: want 2006-01-02 or RFC 3339`},
		}},
	}
	r := withPiles(t)
	before := rev(t, r)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := r.Import(t.Context(), tt.table, strings.NewReader(tt.file))
			var bad *ImportError
			if !errors.As(err, &bad) {
				t.Fatalf("Import: got %v, want an *ImportError", err)
			}
			if diff := cmp.Diff(tt.want, bad.Rows); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
	if after := rev(t, r); after != before {
		t.Errorf("rev after refused files: got %d, want %d", after, before)
	}
	if diff := cmp.Diff(someStations, export(t, r, Stations)); diff != "" {
		t.Errorf("stations after refused files (-want +got):\n%s", diff)
	}
}

func TestOneBadRowKeepsTheOthersOut(t *testing.T) {
	r := open(t)
	file := "operator,name\n" + "GOOD1,a\nbad id,b\nGOOD2,c\n"
	if _, err := r.Import(t.Context(), Operators, strings.NewReader(file)); err == nil {
		t.Fatal("Import of a bad row: got no error")
	}
	if got := export(t, r, Operators); got != "operator,name,contact,email,webhook\n" {
		t.Errorf("operators after a refused file: got %q, want none", got)
	}
}

func TestImportReadsWhatSpreadsheetsWrite(t *testing.T) {
	r := open(t)
	take(t, r, Operators, "\xef\xbb\xbfname , operator\r\n 鲁充 ,MA3CLQP01\r\n\r\n")
	if got, want := export(t, r, Operators), "operator,name,contact,email,webhook\nMA3CLQP01,鲁充,,,\n"; got != want {
		t.Errorf("Export: got %q, want %q", got, want)
	}
}

func TestNewListOfDivisionsReplacesTheOld(t *testing.T) {
	r := withPiles(t)
	list := export(t, r, Divisions)
	d := directory(t, r)

	// Without another date, a file corrects the list.
	if done := take(t, r, Divisions, "code,name\n371721101,新庄寨镇\n371721199,新镇\n"); done != (Imported{Added: 1, Updated: 1}) {
		t.Errorf("correction: got %+v, want one added, one updated", done)
	}
	refresh(t, d)
	if division, _ := d.Division("371721199"); division.Kind != charge.KindTown || division.Parent != "371721" || !division.Counted() {
		t.Errorf("new town: got %+v, want a town of 371721", division)
	}
	if len(d.Divisions()) != 2022 {
		t.Errorf("divisions after a correction: got %d, want 2022", len(d.Divisions()))
	}

	// With another date, it is the whole list; a township with a station cannot leave it.
	newer := strings.ReplaceAll(list, "2023-06-30", "2024-12-31")
	without := func(code string) string {
		var kept []string
		for line := range strings.Lines(newer) {
			if !strings.HasPrefix(line, code+",") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "")
	}
	_, err := r.Import(t.Context(), Divisions, strings.NewReader(without("371721101")))
	var bad *ImportError
	if !errors.As(err, &bad) || len(bad.Rows) != 1 || !strings.Contains(bad.Rows[0].Reason, "station MA3CLQP01:S1 stands there") {
		t.Errorf("list without a township that has a station: got %v", err)
	}
	if done := take(t, r, Divisions, without("371721102")); done != (Imported{Updated: 1, Unchanged: 2019, Removed: 2}) {
		t.Errorf("new list: got %+v, want the name back and two removed", done)
	}
	refresh(t, d)
	if _, ok := d.Division("371721102"); ok || len(d.Divisions()) != 2020 {
		t.Errorf("divisions after a new list: got %d with 371721102 %v, want 2020 without", len(d.Divisions()), ok)
	}
	if asOf, err := r.DivisionsAsOf(t.Context()); err != nil || asOf != "2024-12-31" {
		t.Errorf("DivisionsAsOf: got %q, %v, want 2024-12-31", asOf, err)
	}
	// The same list with a newer date is a new list, too.
	take(t, r, Divisions, strings.ReplaceAll(export(t, r, Divisions), "2024-12-31", "2025-12-31"))
	if asOf, err := r.DivisionsAsOf(t.Context()); err != nil || asOf != "2025-12-31" {
		t.Errorf("DivisionsAsOf: got %q, %v, want 2025-12-31", asOf, err)
	}
}

func TestImportedPointsAreWGS84(t *testing.T) {
	r := withPiles(t)
	// 天安门 in WGS84 and in GCJ-02, and the corners of the province.
	for _, tt := range []struct {
		name             string
		lng, lat         float64
		wantLng, wantLat float64
	}{
		{"Beijing, published by coordtransform", 116.41024449916938, 39.91640428150164, 116.404, 39.915},
	} {
		lng, lat := fromGCJ02(tt.lng, tt.lat)
		if max(lng-tt.wantLng, tt.wantLng-lng, lat-tt.wantLat, tt.wantLat-lat) > 1e-6 {
			t.Errorf("%s: fromGCJ02(%v, %v): got %v, %v, want %v, %v", tt.name, tt.lng, tt.lat, lng, lat, tt.wantLng, tt.wantLat)
		}
	}
	for lng := 114.8; lng < 122.8; lng += 0.37 {
		for lat := 34.3; lat < 38.5; lat += 0.31 {
			dLng, dLat := gcj02Shift(lng, lat)
			if gotLng, gotLat := fromGCJ02(lng+dLng, lat+dLat); max(gotLng-lng, lng-gotLng, gotLat-lat, lat-gotLat) > 1.1e-6 {
				t.Errorf("there and back from %v, %v: got %v, %v", lng, lat, gotLng, gotLat)
			}
		}
	}
	const file = "operator,station,township,kind,opened,lng,lat,crs\nMA3CLQP01,G,371721101,public,2023-01-01,116.41024449916938,39.91640428150164,gcj02\n"
	take(t, r, Stations, file)
	if got := export(t, r, Stations); !strings.Contains(got, ",116.404,39.915,wgs84,") {
		t.Errorf("export of a gcj02 point: got %s", got)
	}
	if done := take(t, r, Stations, file); done != (Imported{Unchanged: 1}) {
		t.Errorf("the same gcj02 file again: got %+v, want unchanged", done)
	}
}

func TestDirectorySeesChanges(t *testing.T) {
	r := withPiles(t)
	d := directory(t, r)
	pile := func(id string) *Pile {
		t.Helper()
		refresh(t, d)
		p, ok := d.Pile(pileID(id))
		if !ok {
			t.Fatalf("Pile(%s): not there", id)
		}
		return p
	}
	before := pile("MA3CLQP01:P1")
	want := []charge.Connector{{
		Pile: pileID("MA3CLQP01:P1"), ID: "1", Station: "S1", Serial: "SN-1", EquipmentType: 1, ConnectorType: 4, PowerKW: 120,
		ReportEvery: 5 * time.Minute, Opened: time.Date(2023, 5, 1, 0, 0, 0, 0, charge.Zone),
	}}
	want = append(want, want[0])
	want[1].ID = "2"
	if diff := cmp.Diff(want, before.Connectors); diff != "" {
		t.Errorf("connectors (-want +got):\n%s", diff)
	}
	if before.Station.Name != "庄寨镇站, 东" || !before.Station.HasPoint || before.Station.Township != "371721101" {
		t.Errorf("station: got %+v", before.Station)
	}

	take(t, r, Stations, strings.Replace(someStations, "371721101", "371721102", 1))
	confirmAll(t, r)
	after := pile("MA3CLQP01:P1")
	if after.Station.Township != "371721102" || before.Station.Township != "371721101" {
		t.Errorf("township of a station that moved: got %s, and %s in the snapshot before", after.Station.Township, before.Station.Township)
	}
	take(t, r, Piles, "operator,station,pile,connector,power_kw,opened\nMA3CLQP01,S2,P1,3,60,2024-01-01\n")
	confirmAll(t, r)
	if p := pile("MA3CLQP01:P1"); p.Station.ID != "S2" || len(p.Connectors) != 3 || p.Connectors[0].Station != "S2" || p.Connectors[2].PowerKW != 60 {
		t.Errorf("pile moved by a third connector: got %+v at %s", p.Connectors, p.Station.ID)
	}
	if row, station, err := r.PileByID(t.Context(), pileID("MA3CLQP01:P1")); err != nil || row.Township != "371721001" || station.ID != "S2" {
		t.Errorf("PileByID of the moved pile: got %+v, %v", row, err)
	}
	take(t, r, Operators, "operator,name\nMA3CLQP03,新\n")
	take(t, r, Stations, "operator,station,township,kind,opened\nMA3CLQP03,S,371721101,public,2024-01-01\n")
	take(t, r, Piles, "operator,station,pile,connector,power_kw,opened\nMA3CLQP03,S,N,1,60,2024-01-01\n")
	if p := pile("MA3CLQP03:N"); p.Station.Operator != "MA3CLQP03" {
		t.Errorf("new pile: got %+v", p)
	}
	if o, ok := d.Operator("MA3CLQP03"); !ok || o.Name != "新" || len(d.Operators()) != 3 {
		t.Errorf("Operator: got %+v, %v of %d", o, ok, len(d.Operators()))
	}
	piles, stations := 0, 0
	for range d.Piles() {
		piles++
	}
	for range d.Stations() {
		stations++
	}
	if piles != 4 || stations != 4 || d.Rev() != rev(t, r) {
		t.Errorf("got %d piles, %d stations at rev %d, want 4, 4 at %d", piles, stations, d.Rev(), rev(t, r))
	}
	fresh := directory(t, r)
	for p := range fresh.Piles() {
		followed, _ := d.Pile(p.ID)
		if diff := cmp.Diff(p, followed); diff != "" {
			t.Errorf("a refreshed pile differs from a loaded one (-loaded +refreshed):\n%s", diff)
		}
	}
}

func TestDirectoryFollowsAndOutlivesFailures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	var logged bytes.Buffer
	r, err := openAt(t, path, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	d := directory(t, r)
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	ended := make(chan error)
	go func() { ended <- d.Follow(ctx, time.Millisecond) }()
	take(t, r, Operators, someOperators)
	for ctx.Err() == nil {
		if _, ok := d.Operator("MA3CLQP01"); ok {
			break
		}
	}
	if ctx.Err() != nil {
		t.Error("Follow has not seen a new operator")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Refresh(t.Context()); err == nil {
		t.Error("Refresh of a closed registry: got no error")
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Follow: got %v, want nil", err)
	}
	if _, ok := d.Operator("MA3CLQP01"); !ok {
		t.Error("what was known is gone after a failure")
	}
}

func TestLookUpsGoOnDuringImports(t *testing.T) {
	r := withPiles(t)
	d := directory(t, r)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				p, ok := d.Pile(pileID("MA3CLQP01:P1"))
				if !ok || len(p.Connectors) != 2 || p.Connectors[0].PowerKW != p.Connectors[1].PowerKW {
					t.Errorf("Pile during an import: got %+v, %v, want both connectors of one import", p, ok)
					return
				}
				if rows, _, err := r.FindPiles(t.Context(), PileQuery{}); err != nil || len(rows) != 3 {
					t.Errorf("FindPiles during an import: got %d rows, %v, want 3", len(rows), err)
					return
				}
			}
		})
	}
	for _, power := range []string{"60", "90", "120", "150", "180", "240", "300", "350", "400", "480"} {
		take(t, r, Piles, strings.ReplaceAll(somePiles, "1,4,120", "1,4,"+power))
		if err := r.SaveHealth(t.Context(), 0, 1, &Health{Connectors: []charge.ConnectorState{{Key: charge.ConnectorKey{Pile: pileID("MA3CLQP01:P1"), Connector: "1"}}}}); err != nil {
			t.Error(err)
		}
		refresh(t, d)
	}
	close(stop)
	readers.Wait()
}

func TestImportsAtOnceAllArrive(t *testing.T) {
	r := withPiles(t)
	var imports sync.WaitGroup
	for _, pile := range []string{"A", "B", "C", "D", "E", "F"} {
		imports.Go(func() {
			take(t, r, Piles, "operator,station,pile,connector,power_kw,opened\nMA3CLQP01,S1,"+pile+",1,60,2024-01-01\nMA3CLQP01,S1,SAME,1,60,2024-01-01\n")
		})
	}
	imports.Wait()
	if n := strings.Count(export(t, r, Piles), "\n"); n != 1+4+6+1 {
		t.Errorf("lines after six imports at once: got %d, want 12", n)
	}
}

func TestLifeOfACredential(t *testing.T) {
	r := withPiles(t)
	d := directory(t, r)
	ctx := t.Context()
	token, credential, err := r.IssueCredential(ctx, "MA3CLQP01", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(token) != 43 {
		t.Errorf("token: got %d characters, want 43 (256 bits)", len(token))
	}
	second, _, err := r.IssueCredential(ctx, "MA3CLQP01", "")
	if err != nil {
		t.Fatal(err)
	}
	pileToken, pileCredential, err := r.IssueCredential(ctx, "MA3CLQP01", "P1")
	if err != nil {
		t.Fatal(err)
	}
	refresh(t, d)
	whole, pile := Identity{Operator: "MA3CLQP01"}, Identity{Operator: "MA3CLQP01", Pile: "P1"}
	check := func(username, password string, want Identity, ok bool) {
		t.Helper()
		if got, gotOK := d.Authenticate(username, password); got != want || gotOK != ok {
			t.Errorf("Authenticate(%s): got %+v, %v, want %+v, %v", username, got, gotOK, want, ok)
		}
		if id, err := charge.ParsePileID(username); err == nil { // who is signed in is asked about again
			want = Identity{Operator: id.Operator, Pile: id.Equipment}
		} else {
			want = Identity{Operator: charge.OperatorID(username)}
		}
		if got := d.Holds(want, sha256.Sum256([]byte(password))); got != ok {
			t.Errorf("Holds(%s): got %v, want %v", username, got, ok)
		}
	}
	check("MA3CLQP01", token, whole, true)
	check("MA3CLQP01", second, whole, true)
	check("MA3CLQP01:P1", pileToken, pile, true)
	check("MA3CLQP01:P1", token, Identity{}, false)
	check("MA3CLQP01", pileToken, Identity{}, false)
	check("MA3CLQP01", "", Identity{}, false)
	check("MA3CLQP02", token, Identity{}, false)
	check("", "", Identity{}, false)

	for who, want := range map[Identity]bool{whole: true, pile: true, {Operator: "NONE"}: false, {Operator: "MA3CLQP02", Pile: "P9"}: false} {
		if got := d.Registered(who); got != want {
			t.Errorf("Registered(%s): got %v, want %v", who, got, want)
		}
	}

	if err := r.RevokeCredential(ctx, credential.ID); err != nil {
		t.Fatal(err)
	}
	refresh(t, d)
	check("MA3CLQP01", token, Identity{}, false)
	check("MA3CLQP01", second, whole, true)

	all, err := r.Credentials(ctx)
	if err != nil || len(all) != 3 || all[0].Revoked.IsZero() || !all[1].Revoked.IsZero() || all[2] != pileCredential {
		t.Errorf("Credentials: got %+v, %v", all, err)
	}
	if err := r.RevokeCredential(ctx, credential.ID); err != nil {
		t.Errorf("revoke again: got %v, want nothing to happen", err)
	}
	if again, _ := r.Credentials(ctx); !again[0].Revoked.Equal(all[0].Revoked) {
		t.Errorf("date of a second revocation: got %v, want %v", again[0].Revoked, all[0].Revoked)
	}
	if err := r.RevokeCredential(ctx, 99); !errors.Is(err, ErrUnknownCredential) {
		t.Errorf("RevokeCredential(99): got %v, want ErrUnknownCredential", err)
	}
	if _, _, err := r.IssueCredential(ctx, "NONE", ""); !errors.Is(err, ErrUnknownOperator) {
		t.Errorf("IssueCredential(NONE): got %v, want ErrUnknownOperator", err)
	}
	if _, _, err := r.IssueCredential(ctx, "MA3CLQP02", "P2"); !errors.Is(err, ErrUnknownPile) {
		t.Errorf("IssueCredential(MA3CLQP02:P2): got %v, want ErrUnknownPile", err)
	}
	var stored int
	if err := r.read.QueryRow("SELECT count(*) FROM credentials WHERE CAST(sha256 AS TEXT) LIKE '%' || ? || '%'", token).Scan(&stored); err != nil || stored != 0 {
		t.Errorf("credentials that hold the token itself: got %d, %v, want none", stored, err)
	}
}

func TestOlderHealthIsLeftOut(t *testing.T) {
	r := withPiles(t)
	ctx := t.Context()
	at := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	township := charge.TownshipState{
		Township: "371721101", State: charge.Effective, Since: at, Reason: "usable", LastUsable: at,
		Stations: 1, Connectors: 2, Online: 2, Usable: 1, Charging: 1, PowerKW: 61.5,
	}
	connector := charge.ConnectorState{
		Key:  charge.ConnectorKey{Pile: pileID("MA3CLQP01:P1"), Connector: "1"},
		Told: true, Status: charge.Charging, Since: at, LastHeard: at, LastUsable: at,
	}
	save := func(seq uint64) {
		t.Helper()
		unknown := connector
		unknown.Key.Connector = "99"
		if err := r.SaveHealth(ctx, 2, seq, &Health{Townships: []charge.TownshipState{township}, Connectors: []charge.ConnectorState{connector, unknown}}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want charge.CoverageState, status charge.Status, seq uint64) {
		t.Helper()
		states, err := r.TownshipStates(ctx)
		if err != nil || len(states) != 1 || states[0].State != want {
			t.Errorf("TownshipStates: got %+v, %v, want %s", states, err, want)
		}
		row, _, err := r.PileByID(ctx, connector.Key.Pile)
		if err != nil || len(row.Connectors) != 2 || row.Connectors[0].Status != status {
			t.Errorf("PileByID: got %+v, %v, want %s", row.Connectors, err, status)
		}
		partitions, err := r.Partitions(ctx)
		if err != nil || !slices.Equal(partitions, []Partition{{2, seq}}) {
			t.Errorf("Partitions: got %+v, %v, want 2 at %d", partitions, err, seq)
		}
	}
	save(10)
	check(charge.Effective, charge.Charging, 10)
	states, _ := r.TownshipStates(ctx)
	if diff := cmp.Diff([]charge.TownshipState{township}, states); diff != "" {
		t.Errorf("township (-saved +read):\n%s", diff)
	}
	row, _, _ := r.PileByID(ctx, connector.Key.Pile)
	if diff := cmp.Diff(connector, row.Connectors[0]); diff != "" {
		t.Errorf("connector (-saved +read):\n%s", diff)
	}
	if ShownAs(&row.Connectors[1]) != "unseen" {
		t.Errorf("a connector that was never heard: got %s, want unseen", ShownAs(&row.Connectors[1]))
	}
	township.State, connector.Status = charge.Failing, charge.Idle
	save(9)
	check(charge.Effective, charge.Charging, 10)
	save(10) // a step that is repeated
	check(charge.Failing, charge.Idle, 10)
	township.State, connector.Status, connector.Fault = charge.Unverified, charge.Faulted, "flood"
	save(11)
	check(charge.Unverified, charge.Faulted, 11)

	before := rev(t, r)
	if done := take(t, r, Piles, strings.Replace(somePiles, "SN-1", "SN-9", 1)); done.Updated != 1 {
		t.Errorf("Import: got %+v, want one updated", done)
	}
	check(charge.Unverified, charge.Faulted, 11)
	if rev(t, r) != before+1 {
		t.Errorf("rev: got %d, want %d: only imports change it", rev(t, r), before+1)
	}
}

func TestTargetsSayWhatIsNotKnown(t *testing.T) {
	r := open(t)
	r.now = func() time.Time { return time.Date(2025, 6, 1, 12, 0, 0, 0, charge.Zone) }
	actual := func() map[string]float64 {
		t.Helper()
		targets, err := r.Targets(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]float64)
		for _, target := range targets {
			if target.NameZH == "" || target.NameEN == "" || target.Unit == "" || target.Document == "" || target.Division != "37" || target.Value <= 0 {
				t.Errorf("target without its words: %+v", target)
			}
			if target.Reported != nil {
				t.Errorf("%s: reported %v, where there are no statistics", target.Indicator, *target.Reported)
			}
			if target.Connected != nil && target.Year == 2025 {
				got[target.Indicator] = *target.Connected
			}
		}
		if len(targets) != 17 {
			t.Errorf("targets: got %d, want 17", len(targets))
		}
		return got
	}
	if got := actual(); len(got) != 0 {
		t.Errorf("an empty registry: got %v, want no data", got)
	}
	take(t, r, Operators, someOperators)
	take(t, r, Stations, someStations)
	take(t, r, Piles, somePiles)
	want := map[string]float64{
		"public_piles": 2, "residential_piles": 1, "rural_public_piles": 1, "urban_public_dc_share": 0, "public_capacity_added": 630,
	}
	if diff := cmp.Diff(want, actual()); diff != "" {
		t.Errorf("actuals (-want +got):\n%s", diff)
	}
	states := []charge.TownshipState{{Township: "371721101", State: charge.Effective}, {Township: "371721001", State: charge.Effective}, {Township: "371721102", State: charge.None}}
	if err := r.SaveHealth(t.Context(), 0, 1, &Health{Townships: states}); err != nil {
		t.Fatal(err)
	}
	take(t, r, Piles, strings.Replace(somePiles, ",2,,7,,2022-01-01,2030-01-01", ",3,,7,,2022-01-01,2025-06-02", 1)+
		"MA3CLQP01,S2,P5,1,,,1,,7,,2022-01-01,2025-06-01\nMA3CLQP01,S2,P6,1,,,1,,7,,2025-06-02,\nMA3CLQP01,S2,P7,1,,,2,,7,,2025-06-01,\n")
	want["township_coverage"], want["public_piles"], want["urban_public_dc_share"] = 100.0/1129, 3, 50
	if diff := cmp.Diff(want, actual()); diff != "" {
		t.Errorf("actuals of today (-want +got):\n%s", diff)
	}
	r.now = func() time.Time { return time.Date(2025, 6, 2, 0, 0, 0, 0, charge.Zone) }
	if got := actual()["urban_public_dc_share"]; got != 50 {
		t.Errorf("DC share a day later: got %v, want 50 (one has closed, one opened)", got)
	}
}
