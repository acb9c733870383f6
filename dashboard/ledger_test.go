package dashboard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/availability"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// pastDays saves 40 days up to yesterday: MA3CLQP01's P1 was out for the last 36 hours of a week, P2 was usable
// and never charged while MA3CLQP02 charged beside it.
func pastDays(t *testing.T, s *site, today time.Time) {
	t.Helper()
	importText(t, s, registry.Stations, "operator,station,name,township,kind,opened\nMA3CLQP02,S3,曹城二站,371721001,public,2022-01-01\n")
	importText(t, s, registry.Piles, "operator,station,pile,connector,equipment_type,power_kw,opened\nMA3CLQP02,S3,BUSY,1,1,60,2022-01-01\n")
	h := &registry.Health{}
	pile := func(id string) charge.PileID {
		p, err := charge.ParsePileID(id)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	put := func(id string, connector charge.ConnectorID, day time.Time, m charge.DayMinutes) {
		h.ConnectorDays = append(h.ConnectorDays, registry.ConnectorDay{Key: charge.ConnectorKey{Pile: pile(id), Connector: connector}, Day: day, Minutes: m, Frozen: true})
		if connector == "1" {
			h.PileDays = append(h.PileDays, registry.PileDay{Pile: pile(id), Day: day, Minutes: m, Frozen: true})
		}
	}
	for n := 40; n >= 1; n-- {
		day := today.AddDate(0, 0, -n)
		whole := charge.DayMinutes{Usable: 1440, Heard: 1440}
		p1 := whole
		switch n {
		case 9: // out from noon on
			p1 = charge.DayMinutes{Usable: 720, Out: 720, Fault: 720, Heard: 1440, BreakLast: 720, BreakLongest: 720}
		case 8:
			p1 = charge.DayMinutes{Out: 1440, Fault: 1440, Heard: 1440, BreakFirst: 1440, BreakLast: 1440, BreakLongest: 1440}
		case 7: // back after six hours
			p1 = charge.DayMinutes{Usable: 1080, Out: 360, Fault: 360, Heard: 1440, BreakFirst: 360, BreakLongest: 360}
		}
		put("MA3CLQP01:P1", "1", day, p1)
		put("MA3CLQP01:P1", "2", day, whole)
		put("MA3CLQP01:P2", "1", day, whole)
		busy := whole
		busy.EnergyWh = 60_000
		put("MA3CLQP02:BUSY", "1", day, busy)
		put("MA3CLQP02:P1", "1", day, charge.DayMinutes{Usable: 840, Unknown: 600, Heard: 840})
		put("MA3CLQP02:HOME", "1", day, charge.DayMinutes{Out: 1440, Heard: 1440, BreakLast: 1440})
		for _, sum := range []registry.DaySum{
			{SumKey: registry.SumKey{County: "371721", Operator: "MA3CLQP01", Kind: charge.Public}, MinuteSum: registry.MinuteSum{Connectors: 3, Usable: 2*1440 + int64(p1.Usable), Out: int64(p1.Out)}},
			{SumKey: registry.SumKey{County: "371721", Operator: "MA3CLQP02", Kind: charge.Public}, MinuteSum: registry.MinuteSum{Connectors: 2, Usable: 2280, Unknown: 600, EnergyWh: 60_000, Sessions: 2}},
			{SumKey: registry.SumKey{County: "371721", Operator: "MA3CLQP02", Kind: charge.Residential}, MinuteSum: registry.MinuteSum{Connectors: 1, Out: 1440}},
		} {
			sum.Day, sum.Frozen = day, true
			h.Sums = append(h.Sums, sum)
		}
	}
	if err := s.registry.SaveHealth(t.Context(), 0, 2, h); err != nil {
		t.Fatal(err)
	}
	if err := s.registry.SaveHealth(t.Context(), 0, 99, &registry.Health{Corrections: []registry.Correction{{
		Key: charge.ConnectorKey{Pile: pile("MA3CLQP02:P1"), Connector: "1"}, Day: today.AddDate(0, 0, -1), Status: charge.Faulted,
		Told: today.AddDate(0, 0, -1).Add(time.Hour), Received: today,
	}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.registry.AddFaults(t.Context(), map[registry.FaultKey]*registry.FaultCount{
		{Month: today.AddDate(0, 0, -1), Connector: charge.ConnectorKey{Pile: pile("MA3CLQP02:P1"), Connector: "1"}, Fault: "leakage", Code: "GroundFailure"}: {
			Faults: 3, Alarms: 2, Danger: 1, First: today.AddDate(0, 0, -1), Last: today.AddDate(0, 0, -1),
		},
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.registry.SaveFaultsAsOffline(t.Context(), []registry.FaultAsOffline{
		{Key: charge.ConnectorKey{Pile: pile("MA3CLQP02:P1"), Connector: "1"}, First: today.AddDate(0, 0, -1), Last: today.AddDate(0, 0, -1), Times: 4},
	}); err != nil {
		t.Fatal(err)
	}
	month := time.Date(today.Year(), today.Month(), 1, 0, 0, 0, 0, charge.Zone)
	if err := s.registry.AddQuality(t.Context(), map[registry.QualityKey]*registry.Quality{
		{Month: month, Operator: "MA3CLQP01"}: {Messages: 120_400, Late: 3, Numbered: 1000, Missing: 10, Twice: 10, Restarts: 1, Delays: [10]int64{0, 0, 2, 8, 110_000, 9_000, 900, 90, 9, 3}, Rejects: map[string]int64{"bad_json": 7}},
		{Month: month, Operator: "MA3CLQP02"}: {Messages: 50, Delays: [10]int64{4: 50}},
	}); err != nil {
		t.Fatal(err)
	}
}

func openLedger(t *testing.T, cfg Config) *site {
	t.Helper()
	s := openSite(t, cfg, func(s *site) { pastDays(t, s, startOfDay(time.Now())) })
	noError(t, s.divisions.Refresh(t.Context()))
	return s
}

type operatorsAnswer struct {
	Operators  []operatorRow
	Definition availability.Definition
}

func (s *site) operatorsAs(t *testing.T, grant registry.Grant, path string) map[charge.OperatorID]operatorRow {
	t.Helper()
	var got operatorsAnswer
	a := s.askAs(t, asker{header: s.tokenOf(t, grant)}, http.MethodGet, path, "")
	if a.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
	}
	a.into(t, &got)
	rows := make(map[charge.OperatorID]operatorRow)
	for _, r := range got.Operators {
		rows[r.Operator] = r
	}
	return rows
}

var provinceOfficer = registry.Grant{Role: registry.Officer, Scope: "37"}

func TestOperatorsFiguresAreThoseOfTheirDays(t *testing.T) {
	s := openLedger(t, Config{})
	today := startOfDay(time.Now())
	path := fmt.Sprintf("/api/v1/operators?from=%s&to=%s", today.AddDate(0, 0, -30).Format(time.DateOnly), today.AddDate(0, 0, -1).Format(time.DateOnly))
	rows := s.operatorsAs(t, provinceOfficer, path)
	one, two := rows["MA3CLQP01"], rows["MA3CLQP02"]
	if one.Stations != 2 || one.Piles != 2 || one.Connectors != 3 || one.Availability.OfMin != 3*30*1440 || one.Availability.UpMin != 3*30*1440-2520 {
		t.Errorf("MA3CLQP01: got %+v", one)
	}
	if one.Availability.Unranked != "few_connectors" || one.Availability.Rank != nil {
		t.Errorf("3 connectors: got %+v, want no rank", one.Availability)
	}
	// Out from noon to six in the morning of the day after the next one: 42 hours.
	if r := one.Repair; r.Repaired != 1 || r.Open != 0 || r.MedianHours == nil || *r.MedianHours != 42 {
		t.Errorf("repair: got %+v, want one outage of 42 h", r)
	}
	if two.Repair.Open != 1 {
		t.Errorf("HOME is out to the end: got %+v, want one open outage", two.Repair)
	}
	if got := one.Days; len(got) != 30 || got[0] == nil || *got[0] != 1 || math.Abs(*got[22]-2.0/3) > 1e-9 {
		t.Errorf("30 days: got %v, want the eighth day before today at two thirds", got)
	}
	if one.Rejects == nil || *one.Rejects != 7 {
		t.Errorf("rejects: got %v, want 7", one.Rejects)
	}
	uk := s.operatorsAs(t, provinceOfficer, path+"&definition=uk")
	if a := uk["MA3CLQP02"].Availability; a.OfMin != 30*1440 || *a.Share != 1 {
		t.Errorf("UK, of 60 kW alone: got %+v", a)
	}
	if a := s.operatorsAs(t, provinceOfficer, path+"&definition=nevi")["MA3CLQP01"].Availability; a.OfMin == 0 {
		t.Errorf("NEVI: got %+v, want a figure of the months before", a)
	}
	// A county's officer is not told what is summed over an operator's messages everywhere.
	if r := s.operatorsAs(t, provinceOfficer, "/api/v1/operators")["MA3CLQP02"].Repair; r.Open != 1 || r.Repaired != 0 {
		t.Errorf("up to today, of which nothing is saved yet: got %+v, want HOME's outage open", r)
	}
	cao := s.operatorsAs(t, registry.Grant{Role: registry.Officer, Scope: "371721"}, path)
	if cao["MA3CLQP01"].Rejects != nil {
		t.Error("a county's officer is told of rejects of the whole operator")
	}
	own := s.operatorsAs(t, registry.Grant{Role: registry.Operator, Scope: "MA3CLQP01"}, path)
	if len(own) != 1 || own["MA3CLQP01"].Connectors != 3 {
		t.Errorf("an operator: got %+v, want itself alone", own)
	}
}

func TestStrangersSeeNothingOfHouseholds(t *testing.T) {
	s := openLedger(t, Config{Public: true})
	var got operatorsAnswer
	s.get(t, "/api/v1/operators", &got)
	for _, o := range got.Operators {
		if o.Operator == "MA3CLQP02" && (o.Piles != 2 || o.Repair.Open != 0 || o.Rejects != nil) {
			t.Errorf("got %+v, want the two public piles", o)
		}
		for _, c := range o.Connection {
			if c.Tier == registry.TierHousehold {
				t.Errorf("got %+v", c)
			}
		}
	}
	var past struct{ Points []availabilityPoint }
	s.get(t, "/api/v1/availability?division=371721", &past)
	if n := len(past.Points); n != 29 || past.Points[0].Connectors != 5 || past.Points[0].OutMin != 0 {
		t.Errorf("got %d points, the first %+v; want 29 of 5 public connectors", n, past.Points[:min(n, 1)])
	}
}

func TestAvailabilityByMonthIsTheSumOfItsDays(t *testing.T) {
	s := openLedger(t, Config{})
	var days, months struct{ Points []availabilityPoint }
	from := startOfDay(time.Now()).AddDate(0, 0, -45).Format(time.DateOnly)
	header := s.tokenOf(t, provinceOfficer)
	s.askAs(t, asker{header: header}, http.MethodGet, "/api/v1/availability?from="+from, "").into(t, &days)
	s.askAs(t, asker{header: header}, http.MethodGet, "/api/v1/availability?by=month&from="+from, "").into(t, &months)
	sum := func(points []availabilityPoint) (usable, out int64) {
		for _, p := range points {
			usable, out = usable+p.UsableMin, out+p.OutMin
		}
		return usable, out
	}
	du, do := sum(days.Points)
	mu, mo := sum(months.Points)
	if du != mu || do != mo || du == 0 || len(days.Points) != 40 || len(months.Points) > 3 || days.Points[0].Connectors != 6 || months.Points[0].Connectors != 6 {
		t.Errorf("got %d days of %d and %d min, %d months of %d and %d min", len(days.Points), du, do, len(months.Points), mu, mo)
	}
}

func TestQualityTellsWhatCannotBeSo(t *testing.T) {
	s := openLedger(t, Config{})
	var got struct{ Operators []qualityRow }
	month := startOfDay(time.Now()).AddDate(0, 0, -1).Format("2006-01")
	s.askAs(t, asker{header: s.tokenOf(t, provinceOfficer)}, http.MethodGet, "/api/v1/quality?month="+month, "").into(t, &got)
	if len(got.Operators) < 2 || got.Operators[0].Operator != "MA3CLQP01" {
		t.Fatalf("got %+v", got)
	}
	one, two := got.Operators[0], got.Operators[1]
	if len(one.Findings) != 1 || one.Findings[0].Pile != "MA3CLQP01:P2" || one.Findings[0].Value < 50 {
		t.Errorf("never charges: got %+v, want P2", one.Findings)
	}
	if len(two.Findings) != 1 || two.Findings[0].What != "fault_as_offline" || two.Findings[0].Value != 4 {
		t.Errorf("a fault told as offline: got %+v, want P1's 4 times", two.Findings)
	}
	if two.SeldomPiles != 1 || two.Seldom[0].Pile != "MA3CLQP02:P1" {
		t.Errorf("too seldom: got %+v, want P1", two.Seldom)
	}
	leak := faultView{Fault: "leakage", Code: "GroundFailure", Class: "electrical", Severity: "danger", Out: true, Faults: 3, Alarms: 2, Danger: 1, Piles: 1}
	if len(two.Faults) != 1 {
		t.Fatalf("faults by code: got %+v", two.Faults)
	}
	two.Faults[0].Last = time.Time{}
	if two.Faults[0] != leak || len(one.Faults) != 0 {
		t.Errorf("faults by code: got %+v and %+v, want %+v of the second alone", one.Faults, two.Faults, leak)
	}
	if two.Corrections != 1 || len(two.Corrected) != 1 || two.Corrected[0] != (correctedView{"MA3CLQP02:P1", 1}) || one.Corrections != 0 {
		t.Errorf("told after freezing: got %+v of the second and %d of the first, want one", two.Corrected, one.Corrections)
	}
	var days struct {
		Faults      []faultView
		Corrections []correctionView
	}
	s.askAs(t, asker{header: s.tokenOf(t, provinceOfficer)}, http.MethodGet, "/api/v1/piles/MA3CLQP02:P1/days", "").into(t, &days)
	if c := days.Corrections; len(c) != 1 || c[0].Status != "fault" || c[0].Connector != "1" {
		t.Errorf("corrections of its pile: got %+v", c)
	}
	if len(days.Faults) != 1 || days.Faults[0].Code != "GroundFailure" {
		t.Errorf("faults of its pile: got %+v", days.Faults)
	}
	if one.Completeness == nil || math.Abs(*one.Completeness-0.99) > 1e-9 {
		t.Errorf("completeness: got %v, want 990 of 1,000", one.Completeness)
	}
}

func TestTargetsAreNearedAtAPace(t *testing.T) {
	s := openSite(t, Config{}, func(s *site) {
		today := startOfDay(time.Now())
		var days []registry.TownshipDay
		for n := 100; n >= 1; n-- { // a town a day
			for town := range 21 {
				state := charge.None
				if town < 100-n {
					state = charge.Effective
				}
				if town < 18 {
					days = append(days, registry.TownshipDay{Township: charge.DivisionCode(fmt.Sprintf("3717211%02d", town+1)), Day: today.AddDate(0, 0, -n), State: state})
				}
			}
		}
		noError(t, s.registry.SaveHealth(t.Context(), 0, 3, &registry.Health{TownshipDays: days, Townships: []charge.TownshipState{town("371721101", 1)}}))
	})
	rows, err := s.targetRows(t.Context(), "37", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row.Indicator != "township_coverage" {
			continue
		}
		if row.Shortfall == nil || *row.Shortfall <= 99 || row.Pace == nil || row.Pace.PerDay == nil || *row.Pace.PerDay <= 0 || row.Pace.On == nil || row.Due == nil && !time.Now().Before(time.Date(2025, 12, 31, 0, 0, 0, 0, charge.Zone)) {
			t.Errorf("got %+v, pace %+v", row, row.Pace)
		}
		if late := time.Now().After(time.Date(2026, 1, 1, 0, 0, 0, 0, charge.Zone)); late != (row.DaysOverdue > 0) {
			t.Errorf("overdue: got %d days", row.DaysOverdue)
		}
	}
}

func TestMaintenanceOverItsLimitDoesNotCount(t *testing.T) {
	s := openSite(t, Config{}, nil)
	year := time.Now().In(charge.Zone).Year() + 1
	claim := func(day int, hours int) int64 {
		from := time.Date(year, 3, day, 0, 0, 0, 0, charge.Zone)
		e, err := s.registry.ClaimExcuse(t.Context(), charge.Excuse{Kind: charge.Maintenance, Operator: "MA3CLQP01", Pile: "P1", From: from, Until: from.Add(time.Duration(hours) * time.Hour), By: "op"})
		if err != nil {
			t.Fatal(err)
		}
		noError(t, s.registry.DecideExcuse(t.Context(), e.ID, true, "li", "年度检修"))
		return e.ID
	}
	first, second := claim(1, 60), claim(10, 20)
	var got struct{ Excuses []excuseView }
	s.askAs(t, asker{header: s.tokenOf(t, provinceOfficer)}, http.MethodGet, "/api/v1/excuses", "").into(t, &got)
	over := map[int64]float64{}
	for _, e := range got.Excuses {
		over[e.ID] = e.OverHours
		if e.Why != "年度检修" {
			t.Errorf("why: got %q", e.Why)
		}
	}
	if over[first] != 0 || over[second] != 8 {
		t.Errorf("over 72 h: got %v, want 8 h of the second", over)
	}
	a := s.askAs(t, asker{header: s.tokenOf(t, registry.Grant{Role: registry.Operator, Scope: "MA3CLQP01"})}, http.MethodPost, "/api/v1/excuses",
		`{"kind":"maintenance","pile":"MA3CLQP01:P1","from":"2025-03-01T00:00:00Z","until":"2025-03-02T00:00:00Z"}`)
	if a.StatusCode != http.StatusCreated || !strings.Contains(string(a.body), `"state":"refused"`) {
		t.Errorf("entered after its begin: got %d %s, want it kept as refused", a.StatusCode, a.body)
	}
}

var errTold = errors.New("told")

func TestDearFiguresAreMadeOnceForAll(t *testing.T) {
	made := 0
	o := once[int, int]{holds: time.Hour, kept: figuresKept, make: func(_ context.Context, key int) (int, error) {
		made++
		if made == 1 {
			return 0, errTold
		}
		return key, nil
	}}
	if _, _, err := o.get(t.Context(), 1); !errors.Is(err, errTold) {
		t.Errorf("got %v, want what failed", err)
	}
	for range 3 { // a failure is tried again, and what was made is kept
		if got, ok, err := o.get(t.Context(), 1); got != 1 || !ok || err != nil {
			t.Errorf("got %d, %v, %v", got, ok, err)
		}
	}
	for key := range 20 {
		if _, _, err := o.get(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	if made < 20 || len(o.made) > figuresKept {
		t.Errorf("made %d, kept %d", made, len(o.made))
	}
}

func importText(t *testing.T, s *site, table registry.Table, text string) {
	t.Helper()
	if _, err := s.registry.Import(t.Context(), table, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}
