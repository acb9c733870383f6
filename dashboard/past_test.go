package dashboard

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/ranking"
	"pilewatch/internal/registry"
)

// daysBack is 00:00 in Asia/Shanghai so many days before today.
func daysBack(n int) time.Time {
	now := time.Now().In(charge.Zone)
	return time.Date(now.Year(), now.Month(), now.Day()-n, 0, 0, 0, 0, charge.Zone)
}

// past saves 40 closed days: 庄寨镇 (371721101) is effective but on day 10 before today, on which it
// was not observed on day 9; 普连集镇 (371721102) fails; the pile MA3CLQP01:P1 has a day of each kind.
func past(t *testing.T, s *site) {
	t.Helper()
	told(t, s)
	h := &registry.Health{}
	p1 := charge.PileID{Operator: "MA3CLQP01", Equipment: "P1"}
	for n := 40; n >= 1; n-- {
		day := daysBack(n)
		good := registry.TownshipDay{Township: "371721101", Day: day, State: charge.Effective, Reason: "usable", Proven: true, NotObserved: n == 9}
		if n == 10 {
			good.State, good.Reason = charge.Failing, "all_fault"
		}
		h.TownshipDays = append(h.TownshipDays, good,
			registry.TownshipDay{Township: "371721102", Day: day, State: charge.Failing, Reason: "all_fault"},
			registry.TownshipDay{Township: "371721001", Day: day, State: charge.Unverified, Reason: "never_connected"})
		minutes := charge.DayMinutes{Usable: 960, Excused: 60, Out: 300, Unknown: 120, Fault: 200, Heard: 1260, EnergyWh: 41_500, Sessions: 3}
		h.PileDays = append(h.PileDays, registry.PileDay{Pile: p1, Day: day, Minutes: minutes, Frozen: n > 3})
		for _, c := range []charge.ConnectorID{"1", "2"} {
			h.ConnectorDays = append(h.ConnectorDays, registry.ConnectorDay{Key: charge.ConnectorKey{Pile: p1, Connector: c}, Day: day, Minutes: minutes, Frozen: n > 3})
		}
		sum := registry.MinuteSum{}
		sum.Add(&minutes)
		h.Sums = append(h.Sums, registry.DaySum{Day: day, SumKey: registry.SumKey{County: "371721", Operator: "MA3CLQP01", Kind: charge.Public}, MinuteSum: sum})
	}
	share := 0.4
	h.Events = []charge.Event{
		{ID: "e1", At: daysBack(10).Add(9 * time.Hour), Kind: charge.CoverageLost, Township: "371721101", Before: "effective", After: "failing", Reason: "all_fault"},
		{ID: "e2", At: daysBack(5).Add(9 * time.Hour), Kind: charge.CoverageUnsteady, Township: "371721101", Operator: "MA3CLQP01", Station: evil, After: "effective", Reason: "usable", Share: &share},
	}
	if err := s.registry.SaveHealth(t.Context(), 0, 2, h); err != nil {
		t.Fatal(err)
	}
	for _, file := range []struct {
		table registry.Table
		text  string
	}{
		{registry.Stations, `operator,station,name,township,kind,access,mobile,hours,seasons,opened
MA3CLQP01,VAN,流动充电车,371721101,public,,true,,,2023-05-01
MA3CLQP01,YARD,院内,371721101,public,inner,,,,2023-05-01
MA3CLQP01,SOON,未开业,371721101,public,,,,,2099-01-01
`},
		{registry.Townships, "township,lng,lat,population,tags\n371721102,115.60,34.90,52000,乡镇驻地\n371721103,,,31000,\n"},
	} {
		if _, err := s.registry.Import(t.Context(), file.table, strings.NewReader(file.text)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestThePastOfADivision(t *testing.T) {
	s := openSite(t, Config{Public: true}, func(s *site) { past(t, s) })
	var got struct {
		Scope string
		Days  []coverageDay
	}
	s.get(t, "/api/v1/coverage/history?division=371721", &got)
	if len(got.Days) != 40 || got.Days[0].Date != dateText(daysBack(40)) || got.Scope != "towns" {
		t.Fatalf("the past of 曹县: got %d days from %+v of %s, want 40", len(got.Days), got.Days[:1], got.Scope)
	}
	want := coverageDay{Date: dateText(daysBack(9)), Total: 2, Nominal: 2, Effective: 1, Failing: 1, Proven: 1, NotObserved: 1}
	if got.Days[31] != want {
		t.Errorf("the ninth day before today: got %+v, want %+v", got.Days[31], want)
	}
	if d := got.Days[30]; d.Effective != 0 || d.Failing != 2 {
		t.Errorf("the day on which 庄寨镇 failed: got %+v", d)
	}
	s.get(t, "/api/v1/coverage/history?scope=streets&from="+dateText(daysBack(3))+"&to="+dateText(daysBack(2)), &got)
	if len(got.Days) != 2 || got.Days[0].Unverified != 1 || got.Days[0].Total != 1 {
		t.Errorf("streets of the province on two days: got %+v", got.Days)
	}
	for _, tt := range []struct{ path, says string }{
		{"?division=371721101", "counties, cities and the province"},
		{"?scope=x", "towns, streets or all"},
		{"?from=2025-03-10&to=2025-03-09", "from is after to"},
		{"?from=2015-03-10&to=2025-03-09", "at most 1464 days"},
		{"?from=soon", "want a date"},
	} {
		a := s.ask(t, http.MethodGet, "/api/v1/coverage/history"+tt.path, "", false)
		if a.StatusCode != http.StatusBadRequest || !strings.Contains(string(a.body), tt.says) {
			t.Errorf("history%s: got %s %s, want 400 that says %q", tt.path, a.Status, a.body, tt.says)
		}
	}
	var strips struct{ Townships []townshipStrip }
	s.get(t, "/api/v1/coverage/days?division=371721", &strips)
	if len(strips.Townships) != 3 || len(strips.Townships[1].Days) != stripDays || strips.Townships[1].Days[20].State != charge.Failing {
		t.Errorf("the strips of 曹县: got %d, and %+v", len(strips.Townships), strips.Townships)
	}
	if a := s.ask(t, http.MethodGet, "/api/v1/coverage/days?division=3717", "", false); a.StatusCode != http.StatusBadRequest {
		t.Errorf("strips of a city: got %s, want 400", a.Status)
	}
	var byCounty struct {
		Whole    share
		Counties []countyShare
	}
	s.get(t, "/api/v1/coverage/availability", &byCounty)
	if c := byCounty.Counties; len(c) != 1 || c[0].UpMinutes != 30*960 || c[0].OfMinutes != 30*1380 || c[0].EnergyKWh != 30*41.5 || *byCounty.Whole.Share < 0.695 || *byCounty.Whole.Share > 0.697 {
		t.Errorf("availability by county: got %+v and %+v, want 30 days of 960 of 1,380 minutes, 69.6 %%", c, byCounty.Whole)
	}
}

func TestATownshipsEvidence(t *testing.T) {
	s := openSite(t, Config{Public: true}, func(s *site) { past(t, s) })
	var got townshipPage
	s.get(t, "/api/v1/townships/371721101", &got)
	why := map[string]string{}
	for _, st := range got.Stations {
		why[string(st.Station)] = st.WhyNot
		if st.Counts != (st.WhyNot == "") {
			t.Errorf("station %s: counts %v for reason %q", st.Station, st.Counts, st.WhyNot)
		}
	}
	if want := "map[S1: SOON:not_opened VAN:mobile YARD:limited_access]"; fmt.Sprint(why) != want {
		t.Errorf("why stations do not count: got %v, want %s", why, want)
	}
	p := got.Stations[0].Piles
	if len(p) != 1 || len(p[0].Connectors) != 2 || p[0].UsableYesterday["1"] != 960 || !p[0].Connectors[1].Silent {
		t.Errorf("the piles of S1: got %+v", p)
	}
	if len(got.Days) != stripDays || got.MinUsable != 60 || got.WindowHours != 24 || got.State != charge.Effective {
		t.Errorf("got %d days, %v of %v h, %s", len(got.Days), got.MinUsable, got.WindowHours, got.State)
	}
	if len(got.Events) != 2 || got.Events[0].ID != "e2" || *got.Events[0].Share != 0.4 || got.Events[0].TownshipName != "庄寨镇" {
		t.Errorf("events: got %+v, want the unsteady one first", got.Events)
	}
	for path, status := range map[string]int{"371721": 400, "37172x": 400, "371721999": 404} {
		if a := s.ask(t, http.MethodGet, "/api/v1/townships/"+path, "", false); a.StatusCode != status {
			t.Errorf("township %s: got %s, want %d", path, a.Status, status)
		}
	}
	other := asker{header: s.tokenOf(t, registry.Grant{Role: registry.Operator, Scope: "MA3CLQP02"})}
	closed := openSite(t, Config{}, func(s *site) { past(t, s) })
	other.header = closed.tokenOf(t, registry.Grant{Role: registry.Operator, Scope: "MA3CLQP02"})
	a := closed.askAs(t, other, http.MethodGet, "/api/v1/townships/371721101", "")
	var seen townshipPage
	a.into(t, &seen)
	if len(seen.Stations) != 0 || seen.OfOthers != 4 || len(seen.Events) != 0 || strings.Contains(string(a.body), "MA3CLQP01") {
		t.Errorf("another operator: got %s, want the state and that there are 4 stations of others", a.body)
	}
	var st stationView
	s.get(t, "/api/v1/stations/MA3CLQP01:S1", &st)
	if st.Name != "古营集镇站" || st.TownshipName != "庄寨镇" || len(st.Piles) != 1 || st.Lng == nil {
		t.Errorf("the station: got %+v", st)
	}
	for path, status := range map[string]int{"MA3CLQP02:S2": 404, "MA3CLQP01:NO": 404, "S1": 400, ":": 400} {
		if a := s.ask(t, http.MethodGet, "/api/v1/stations/"+path, "", false); a.StatusCode != status {
			t.Errorf("station %s: got %s, want %d", path, a.Status, status)
		}
	}
}

func TestAPilesDaysAndAvailability(t *testing.T) {
	s := openSite(t, Config{Public: true}, func(s *site) { past(t, s) })
	var got struct {
		Days         []pileDay
		Availability []share
	}
	s.get(t, "/api/v1/piles/MA3CLQP01:P1/days", &got)
	if len(got.Days) != 40 {
		t.Fatalf("got %d days, want 40", len(got.Days))
	}
	want := pileDay{Date: dateText(daysBack(40)), Frozen: true, Usable: 960, Excused: 60, Unknown: 120, Out: 300, Fault: 200, Heard: 1260, EnergyKWh: 41.5, Sessions: 3}
	if got.Days[0] != want || got.Days[39].Frozen {
		t.Errorf("the first day: got %+v, want %+v; the last frozen: %v", got.Days[0], want, got.Days[39].Frozen)
	}
	var names []string
	for _, a := range got.Availability {
		names = append(names, string(a.Definition))
	}
	if fmt.Sprint(names) != "[pilewatch pilewatch nevi uk]" {
		t.Fatalf("definitions: got %v", names)
	}
	if a := got.Availability[0]; a.UpMinutes != 30*960 || a.OfMinutes != 30*1380 || a.NameZH != "可用率（本平台定义）" {
		t.Errorf("ours over 30 days: got %+v", a)
	}
	if a := got.Availability[1]; a.UpMinutes != 40*960 || a.Meets != nil {
		t.Errorf("ours over twelve months: got %+v", a)
	}
	if a := got.Availability[2]; a.OfMinutes%525_600 != 0 {
		t.Errorf("NEVI: got %+v, want whole years of 525,600 minutes", a)
	}
	s.get(t, "/api/v1/piles/MA3CLQP02:P1/days", &got)
	if len(got.Days) != 0 || got.Availability[0].Share != nil {
		t.Errorf("a pile without days: got %+v, want none and no share", got)
	}
}

func TestTheGapRankingHasItsComponents(t *testing.T) {
	s := openSite(t, Config{Public: true}, func(s *site) { past(t, s) })
	var got struct {
		Townships []townshipView
		Weights   map[ranking.Component]float64
		Policy    string
	}
	s.get(t, "/api/v1/townships?division=371721&sort=priority&limit=2000", &got)
	if len(got.Townships) != 20 || got.Weights[ranking.Distance] != 0.25 || got.Policy == "" {
		t.Fatalf("got %d townships, weights %v, policy %q; want 曹县's 20 towns that are not effective", len(got.Townships), got.Weights, got.Policy)
	}
	first := got.Townships[0]
	if first.Division != "371721102" || first.Priority.Rank != 1 || first.Priority.Of != 1128 || first.Priority.Stability < 0.9 {
		t.Errorf("the first: got %s %+v, want 普连集镇: the most people and a tag", first.Division, first.Priority)
	}
	parts := first.Priority.Components
	// Its point lies 10.4 km from S1, which has a real point and was usable.
	if d := parts[ranking.Distance].Value; d == nil || *d < 10 || *d > 11 {
		t.Errorf("distance: got %v, want some 10 km", d)
	}
	if p := parts[ranking.Population]; *p.Value != 52000 || p.Percentile != 1 {
		t.Errorf("population: got %+v", p)
	}
	if g := parts[ranking.Grid]; g.Value != nil || g.Percentile != 0.5 {
		t.Errorf("headroom that nobody knows: got %+v, want no data, counted as the median", g)
	}
	for _, row := range got.Townships {
		if row.Division == "371721103" && row.Priority.Components[ranking.Distance].Value != nil {
			t.Error("a township without a point has a distance")
		}
	}
	var byReason struct{ Townships []townshipView }
	s.get(t, "/api/v1/townships?reason=all_fault", &byReason)
	if len(byReason.Townships) != 1 || byReason.Townships[0].Division != "371721102" || byReason.Townships[0].Priority != nil {
		t.Errorf("by reason: got %+v", byReason.Townships)
	}
}
