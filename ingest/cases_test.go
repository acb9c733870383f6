package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/policy"
	"pilewatch/internal/registry"
)

// A story is a registry with two piles of 曹县 whose days a test writes.
type story struct {
	t        *testing.T
	registry *registry.Registry
	dir      *registry.Directory
	engine   *procedure
	seq      uint64
	path     string
}

var (
	storyPile = charge.PileID{Operator: "MA3CLQP01", Equipment: "P1"}
	firstDay  = time.Date(2025, 1, 1, 0, 0, 0, 0, charge.Zone)
)

func newStory(t *testing.T) *story {
	t.Helper()
	s := &story{t: t, path: filepath.Join(t.TempDir(), "registry.db")}
	s.open()
	for _, file := range []struct {
		table registry.Table
		text  string
	}{
		{registry.Operators, "operator,name,email\nMA3CLQP01,鲁充,a@example.cn\nMA3CLQP02,姊妹公司,\n"},
		{registry.Stations, "operator,station,name,township,kind,opened\nMA3CLQP01,S1,古营集镇站,371721101,public,2022-01-01\nMA3CLQP01,HOME,小区,371721101,residential,2022-01-01\nMA3CLQP02,S1,古营集镇站,371721101,public,2022-01-01\n"},
		{registry.Piles, "operator,station,pile,connector,serial,power_kw,opened\nMA3CLQP01,S1,P1,1,SN1,60,2022-01-01\nMA3CLQP01,HOME,H1,1,,7,2022-01-01\n"},
	} {
		if _, err := s.registry.Import(t.Context(), file.table, strings.NewReader(file.text)); err != nil {
			t.Fatal(err)
		}
	}
	s.refresh()
	return s
}

// open opens the registry, as a process does that starts.
func (s *story) open() {
	s.t.Helper()
	var err error
	if s.registry, err = registry.Open(s.t.Context(), s.path, slog.New(slog.DiscardHandler)); err != nil {
		s.t.Fatal(err)
	}
	reg := s.registry
	s.t.Cleanup(func() { _ = reg.Close() })
	if s.dir, err = s.registry.Directory(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.engine = newProcedure(s.registry, s.dir, func(charge.DivisionCode) int { return 0 }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

func (s *story) refresh() {
	s.t.Helper()
	if err := s.dir.Refresh(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// days writes frozen days of a pile with one connector, from the n-th of the story on.
func (s *story) days(pile charge.PileID, from int, all ...charge.DayMinutes) {
	s.t.Helper()
	for i, m := range all {
		day := firstDay.AddDate(0, 0, from+i)
		s.seq++
		err := s.registry.SaveHealth(s.t.Context(), 0, s.seq, &registry.Health{
			PileDays:      []registry.PileDay{{Pile: pile, Day: day, Minutes: m, Frozen: true}},
			ConnectorDays: []registry.ConnectorDay{{Key: charge.ConnectorKey{Pile: pile, Connector: "1"}, Day: day, Minutes: m, Frozen: true}},
			Sums:          []registry.DaySum{{Day: day, Frozen: true, SumKey: registry.SumKey{County: "371721", Operator: pile.Operator, Kind: charge.Public}}},
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *story) look() {
	s.t.Helper()
	if err := s.engine.look(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) cases() []registry.Case {
	s.t.Helper()
	all, err := s.registry.Cases(s.t.Context(), registry.CaseQuery{})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func times(n int, m charge.DayMinutes) []charge.DayMinutes {
	all := make([]charge.DayMinutes, n)
	for i := range all {
		all[i] = m
	}
	return all
}

var (
	well       = charge.DayMinutes{Usable: 1440, Heard: 1440, EnergyWh: 5000, Sessions: 2}
	quiet      = charge.DayMinutes{Unknown: 1440, BreakFirst: 1440, BreakLongest: 1440, BreakLast: 1440}
	faulty     = charge.DayMinutes{Out: 1440, Fault: 1440, Heard: 1440, BreakFirst: 1440, BreakLongest: 1440, BreakLast: 1440}
	toldOff    = charge.DayMinutes{Out: 1440, Heard: 1440, BreakFirst: 1440, BreakLongest: 1440, BreakLast: 1440}
	anHour     = charge.DayMinutes{Usable: 60, Out: 1380, Heard: 1440, BreakLongest: 1380}
	shortly    = charge.DayMinutes{Usable: 1424, Out: 16, Heard: 1440, BreakLongest: 16}
	notAtFault = charge.DayMinutes{Excused: 1440}
)

func mixed(n int, of ...charge.DayMinutes) []charge.DayMinutes {
	var all []charge.DayMinutes
	for len(all) < n {
		all = append(all, of...)
	}
	return all[:n]
}

func TestWhichPilesGetACase(t *testing.T) {
	for _, tt := range []struct {
		name string
		days []charge.DayMinutes
		want string // its rules, "" for no case
	}{
		{"silent for 30 days", append(times(10, well), times(30, quiet)...), "silent not_usable"},
		{"silent for 29 days", append(times(10, well), times(29, quiet)...), ""},
		{"faulted for 15 days", append(times(10, well), times(15, faulty)...), "faulted"},
		{"16 minutes lost every other day", mixed(60, well, shortly), ""},
		{"told 0 for 31 days", append(times(10, well), times(31, toldOff)...), "not_usable"},
		{"ten days each of fault, told offline and silence", append(append(times(10, faulty), times(10, toldOff)...), times(10, quiet)...), "not_usable"},
		{"up for an hour a week", mixed(30, anHour, toldOff, toldOff, toldOff, toldOff, toldOff, toldOff), "not_usable"},
		{"silent and excused", append(times(10, well), times(40, notAtFault)...), ""},
		{"silent for 29 days and excused in between", append(append(times(15, quiet), times(10, notAtFault)...), times(14, quiet)...), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStory(t)
			s.days(storyPile, 0, tt.days...)
			s.look()
			var got []string
			for _, c := range s.cases() {
				for _, g := range c.Grounds {
					got = append(got, g.Rule)
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %v, want %q", got, tt.want)
			}
		})
	}
}

// An estate's piles that an operator runs are in service to others; whether they get cases is for the policy to say.
func TestAResidentialPileHasACaseOnlyWhereItIsRunAsAServiceAndThePolicySaysSo(t *testing.T) {
	for _, tt := range []struct {
		name, access string
		policy, want bool
	}{
		{"a household's own", "", false, false},
		{"a household's own, whatever the policy says", "inner", true, false},
		{"run as a service, and the policy says nothing of it", "limited", false, false},
		{"run as a service, and the policy says so", "limited", true, true},
	} {
		s := newStory(t)
		const head, estate = "operator,station,name,township,kind,access,opened\n", "MA3CLQP01,ESTATE,小区,371721101,residential,"
		if _, err := s.registry.Import(t.Context(), registry.Stations, strings.NewReader(head+estate+tt.access+",2022-01-01\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.registry.Import(t.Context(), registry.Piles, strings.NewReader("operator,station,pile,connector,power_kw,opened\nMA3CLQP01,ESTATE,E1,1,7,2022-01-01\n")); err != nil {
			t.Fatal(err)
		}
		s.refresh()
		s.later(1, func(p *policy.Policy) { p.LongFailed.Service = tt.policy })
		s.days(charge.PileID{Operator: "MA3CLQP01", Equipment: "E1"}, 0, times(60, quiet)...)
		s.look()
		if all := s.cases(); len(all) == 1 != tt.want {
			t.Errorf("%s: got %+v, want a case: %v", tt.name, all, tt.want)
		}
	}
}

func TestASilentPileIsOneCaseOnce(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, times(30, quiet)...)
	s.look()
	first := s.cases()
	if len(first) != 1 || first[0].State != cases.Suspected || first[0].PeriodDays != 30 || first[0].Serial != "SN1" {
		t.Fatalf("got %+v, want one suspected case with 30 days", first)
	}
	for range 3 {
		s.look()
		s.open() // begun again
		s.look()
		if err := s.engine.closeDay(t.Context(), firstDay.AddDate(0, 0, 29)); err != nil { // the same day again
			t.Fatal(err)
		}
	}
	s.days(storyPile, 30, quiet)
	s.look()
	if got := s.cases(); len(got) != 1 || got[0].Step != first[0].Step {
		t.Errorf("after the same days again: got %+v, want the one", got)
	}
	file, err := s.registry.CaseDossier(t.Context(), first[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := cases.Thaw(file)
	if err != nil || len(d.Days) != 60 || d.Grounds[0].Unknown != 30*1440 || d.Versions.Policy == "" {
		t.Errorf("dossier: got %v, %d days, %+v; want 30 of the pile and 30 of its connector", err, len(d.Days), d.Grounds)
	}
	all, err := s.registry.Deliveries(t.Context(), true)
	if err != nil || len(all) != 1 || all[0].Kind != "reminder" || all[0].Address != "a@example.cn" {
		t.Errorf("reminders: got %+v, %v; want one", all, err)
	}
}

// What a dossier says beside minutes: what was told and when, what could not be used, whether the platform and the
// neighbours were there.
func TestADossierHoldsItsWitnesses(t *testing.T) {
	s := newStory(t)
	if _, err := s.registry.Import(t.Context(), registry.Piles, strings.NewReader("operator,station,pile,connector,serial,power_kw,opened\nMA3CLQP01,S1,P2,1,SN2,60,2022-01-01\nMA3CLQP01,S1,P3,1,SN3,60,2022-01-01\n")); err != nil {
		t.Fatal(err)
	}
	s.refresh()
	s.days(charge.PileID{Operator: "MA3CLQP01", Equipment: "P2"}, 0, times(30, well)...)
	s.days(storyPile, 0, times(30, quiet)...)
	gun := charge.ConnectorKey{Pile: storyPile, Connector: "1"}
	at := firstDay.AddDate(0, 0, 3).UTC()
	err := s.registry.SaveHealth(t.Context(), 0, 1000, &registry.Health{
		Changes: []registry.StandingChange{
			{Key: gun, Partition: 2, LogSeq: 7, Nth: 1, Told: firstDay.AddDate(0, -2, 0), Received: firstDay.AddDate(0, -2, 0), Standing: "usable", Status: charge.Idle},
			{Key: gun, Partition: 2, LogSeq: 9, Nth: 1, Received: firstDay.Add(-time.Hour), Standing: "silent", Status: charge.Idle},
			{Key: gun, Partition: 2, LogSeq: 11, Nth: 1, Told: at.Add(-time.Minute), Received: at, Standing: "fault", Status: charge.Faulted, Fault: "contactor"},
			{Key: gun, Partition: 2, LogSeq: 99, Nth: 1, Told: at.AddDate(1, 0, 0), Received: at.AddDate(1, 0, 0), Standing: "usable"},
		},
		Outages: []registry.PlatformOutage{{Partition: 0, Span: charge.Span{From: at, Until: at.Add(90 * time.Minute)}}, {Partition: 1, Span: charge.Span{From: at, Until: at.Add(time.Hour)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.registry.AddPileRejects(t.Context(), map[registry.PileReject]int64{{Day: at, Pile: storyPile, Reason: "bad_time"}: 12, {Day: at.AddDate(1, 0, 0), Pile: storyPile, Reason: "bad_json"}: 1}); err != nil {
		t.Fatal(err)
	}
	q := &registry.Quality{Messages: 100}
	q.Delays[4], q.Delays[9] = 60, 40
	if err := s.registry.AddQuality(t.Context(), map[registry.QualityKey]*registry.Quality{{Month: firstDay, Operator: "MA3CLQP01"}: q}); err != nil {
		t.Fatal(err)
	}
	s.look()
	file, err := s.registry.CaseDossier(t.Context(), s.cases()[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := cases.Thaw(file)
	if err != nil {
		t.Fatal(err)
	}
	want := cases.Dossier{
		Changes: []cases.StatusChange{
			{Connector: "1", Standing: "silent", Received: firstDay.Add(-time.Hour).UTC(), Partition: 2, Sequence: 9, Status: 1},
			{Connector: "1", Standing: "fault", At: at.Add(-time.Minute), Received: at, Partition: 2, Sequence: 11, Status: 255, Fault: "contactor"},
		},
		Rejects: []cases.Reject{{Date: "2025-01-04", Reason: "bad_time", Count: 12}},
		Platform: cases.PlatformRecord{
			UpMinutes: 30*1440 - 90, DownMinutes: 90, Outages: []cases.Outage{{From: at, Until: at.Add(90 * time.Minute)}}, Messages: 100, DelayP50MS: 5000, DelayP99MS: -1,
		},
		Neighbours: []cases.Neighbour{{Pile: "MA3CLQP01:P2", Usable: 30 * 1440, Heard: 30 * 1440}}, Others: 2,
	}
	got := cases.Dossier{Changes: d.Changes, Rejects: d.Rejects, Platform: d.Platform, Neighbours: d.Neighbours, Others: d.Others}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("dossier (-want +got):\n%s", diff)
	}
}

var idle = charge.DayMinutes{Usable: 1440, Heard: 1440}

func TestNoEnergyIsACheckFirst(t *testing.T) {
	const more = "operator,station,pile,connector,serial,power_kw,opened\nMA3CLQP01,S1,P2,1,SN2,60,2022-01-01\n"
	other := charge.PileID{Operator: "MA3CLQP01", Equipment: "P2"}
	open := func(t *testing.T, own, others charge.DayMinutes) *story {
		s := newStory(t)
		if _, err := s.registry.Import(t.Context(), registry.Piles, strings.NewReader(more)); err != nil {
			t.Fatal(err)
		}
		s.refresh()
		s.days(storyPile, 0, append(times(1, own), times(180, idle)...)...)
		s.days(other, 0, times(181, others)...)
		s.look()
		return s
	}
	state := func(s *story) cases.State {
		t.Helper()
		s.look()
		return s.cases()[0].State
	}
	for _, tt := range []struct {
		name        string
		own, others charge.DayMinutes
		want        int
	}{
		{"it has charged before, and its neighbour does", well, well, 1},
		{"of a model that charges", idle, well, 1},
		{"nobody visits the place", well, idle, 0},
		{"the operator sends no energy", idle, idle, 0},
	} {
		if got := open(t, tt.own, tt.others).cases(); len(got) != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, len(got), tt.want)
		}
	}

	s := open(t, well, well)
	c := s.cases()[0]
	if c.State != cases.Checking || len(c.Grounds) != 1 || c.Grounds[0].Rule != "no_energy" || time.Until(c.Deadline) < 30*24*time.Hour || time.Until(c.Deadline) > 31*24*time.Hour {
		t.Fatalf("got %+v, want a check with 30 days", c)
	}
	file, err := s.registry.CaseDossier(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d, _, err := cases.Thaw(file); err != nil || d.Grounds[0].EnergyWh != 0 || d.Grounds[0].StationWh != 180*5000 {
		t.Errorf("dossier: got %+v, %v; want what the neighbour delivered", d.Grounds, err)
	}
	s.days(storyPile, 181, idle, idle, idle, idle)
	if got := state(s); got != cases.Checking {
		t.Errorf("after 96 hours of idle: got %s, want it still open", got)
	}
	s.days(storyPile, 185, well)
	if got := state(s); got != cases.Rectified {
		t.Errorf("after a session: got %s, want rectified", got)
	}

	s = open(t, well, well)
	s.must(s.act(s.cases()[0].ID, cases.CountyOfficer, "zhao", cases.Inspect, cases.Detail{Inspection: &cases.Inspection{At: time.Now(), Officers: []string{"甲"}, TestFailed: true}}))
	if got := state(s); got != cases.Suspected {
		t.Errorf("the test charge failed: got %s, want suspected", got)
	}
	if c := s.cases()[0]; c.PeriodDays != 30 || !c.Deadline.IsZero() {
		t.Errorf("then: got %+v, want a period of 30 days that has not begun", c)
	}

	s = open(t, well, well)
	s.sql("UPDATE cases SET deadline = 1")
	if got := state(s); got != cases.Suspected {
		t.Errorf("no test charge in time: got %s, want suspected", got)
	}
	all, err := s.registry.Deliveries(t.Context(), true)
	if err != nil || len(all) != 2 {
		t.Errorf("reminders: got %d, %v; want one of the check and one of the suspicion", len(all), err)
	}
	s.must(s.act(s.cases()[0].ID, cases.CityOfficer, "li", cases.Notify, cases.Detail{}))
	if _, _, err := s.registry.AuditCases(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

// later gives a policy that follows the default one from the n-th day of the story on.
func (s *story) later(from int, change func(*policy.Policy)) {
	s.t.Helper()
	p, err := policy.Parse(policy.DefaultFile())
	if err != nil {
		s.t.Fatal(err)
	}
	p.Version, p.From = "later", firstDay.AddDate(0, 0, from)
	change(p)
	s.engine.policies = func() policy.Policies { return policy.NewPolicies(p) }
}

const aDay = 24 * time.Hour

func TestAStricterPolicyInMidWindowCountsOnlyItsOwnDays(t *testing.T) {
	s := newStory(t)
	s.later(20, func(p *policy.Policy) {
		p.LongFailed.Silent.Window, p.LongFailed.NotUsable.Window, p.Case.PeriodDays = 8*aDay, 8*aDay, 5
	})
	s.days(storyPile, 0, append(times(5, well), times(22, quiet)...)...)
	s.look()
	if all := s.cases(); len(all) != 0 {
		t.Fatalf("22 days silent, 7 of them by the stricter policy: got %+v, want no case", all)
	}
	s.days(storyPile, 27, quiet)
	s.look()
	if all := s.cases(); len(all) != 1 || all[0].Grounds[0].Policy != "later" || all[0].PeriodDays != 5 {
		t.Fatalf("8 days of its own: got %+v, want a case by it", all)
	}
}

func TestAServedDeadlineStandsWhateverPolicyComes(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, times(30, quiet)...)
	s.look()
	id := s.cases()[0].ID
	s.must(s.act(id, cases.CityOfficer, "li", cases.Notify, cases.Detail{}))
	served := s.must(s.act(id, cases.CityOfficer, "li", cases.Serve, cases.Detail{Service: &cases.Service{Kind: cases.Direct, On: time.Now(), Evidence: "回执"}}))
	s.later(31, func(p *policy.Policy) { p.Case.PeriodDays, p.LongFailed.Silent.Window = 5, 10*aDay })
	s.days(storyPile, 30, times(5, quiet)...)
	s.look()
	if c := s.cases()[0]; c.State != cases.Notified || !c.Deadline.Equal(served.Deadline) || c.PeriodDays != 30 {
		t.Errorf("got %s until %v, want notified until %v", c.State, c.Deadline, served.Deadline)
	}
}

func TestAMilderPolicyEndsWhatDoesNotHoldByIt(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, append(times(5, well), times(30, quiet)...)...)
	s.look()
	id := s.cases()[0].ID
	s.must(s.act(id, cases.CityOfficer, "li", cases.Notify, cases.Detail{}))
	s.later(36, func(p *policy.Policy) { p.LongFailed.Silent.Window = 60 * aDay })
	s.days(storyPile, 35, quiet, quiet)
	s.look()
	if got := s.cases()[0].State; got != cases.Notified {
		t.Fatalf("silent is milder, not_usable is not: got %s, want notified", got)
	}
	s.later(36, func(p *policy.Policy) { p.LongFailed.Silent.Window, p.LongFailed.NotUsable.Window = 60*aDay, 60*aDay })
	s.days(storyPile, 37, quiet)
	s.look()
	s.look()
	if all := s.cases(); len(all) != 1 || all[0].State != cases.Dismissed {
		t.Fatalf("both are: got %+v, want the case ended", all)
	}
	rec, err := s.registry.CaseRecord(t.Context(), id)
	if err != nil || rec[len(rec)-1].Action != cases.Lapse || !strings.Contains(rec[len(rec)-1].Text, "later") {
		t.Errorf("record: got %+v, %v; want that the later policy ended it", rec, err)
	}
	if _, _, err := s.registry.AuditCases(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

func TestARepairIsProved(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, times(30, quiet)...)
	s.look()
	s.days(storyPile, 30, well, well)
	s.look()
	if got := s.cases()[0].State; got != cases.Suspected {
		t.Errorf("after two good days: got %s, want suspected", got)
	}
	s.days(storyPile, 32, well)
	s.look()
	c := s.cases()[0]
	if c.State != cases.Rectified {
		t.Fatalf("after three good days: got %s, want rectified", c.State)
	}
	// 60 days later the same: a relapse, which joins the case with 10 days; and again: none.
	s.days(storyPile, 33, append(times(20, well), times(30, quiet)...)...)
	s.look()
	if all := s.cases(); len(all) != 1 || all[0].State != cases.Suspected || all[0].PeriodDays != 10 || all[0].Relapses != 1 {
		t.Errorf("a relapse: got %+v, want the same case with 10 days", all)
	}
	s.days(storyPile, 83, append(append(times(3, well), times(5, well)...), times(30, quiet)...)...)
	s.look()
	if all := s.cases(); len(all) != 1 || all[0].State != cases.Suspected || all[0].PeriodDays != 0 || all[0].Relapses != 2 {
		t.Errorf("the third: got %+v, want no period", all)
	}
	if _, _, err := s.registry.AuditCases(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

func TestTheRepairOfADecommissionedPileIsOnTheRecordOnce(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, times(30, quiet)...)
	s.look()
	id := s.cases()[0].ID
	s.sql("UPDATE cases SET state = 'decommissioned'")
	restore := func() error {
		_, err := s.act(id, cases.ProvinceOfficer, "wang", cases.Restore, cases.Detail{})
		return err
	}
	if restore() == nil {
		t.Error("restored before the repair is proved")
	}
	s.days(storyPile, 30, times(5, well)...)
	s.look()
	s.days(storyPile, 35, well)
	s.look()
	rec, err := s.registry.CaseRecord(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(rec) != 2 || rec[1].Action != cases.Prove || rec[1].To != cases.Decommissioned || rec[1].Detail.Until.IsZero() || s.cases()[0].Step != rec[1].Seq {
		t.Errorf("record: got %+v, want the suspicion and one proof", rec)
	}
	if err := restore(); err != nil {
		t.Errorf("after the proof: %v", err)
	}
}

// act does a step as a person who has seen the case as it is.
func (s *story) act(id string, role cases.Role, person string, action cases.Action, detail cases.Detail) (registry.Case, error) {
	s.t.Helper()
	c, err := s.registry.CaseByID(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.registry.ActOnCase(s.t.Context(), id, registry.CaseStep{Action: action, Person: person, Role: role, Text: "理由", Detail: detail, Seen: c.Step})
}

func (s *story) must(c registry.Case, err error) registry.Case {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// passed lets the period of every case end before its service: what follows need not be waited for.
func (s *story) passed() {
	s.t.Helper()
	s.sql("UPDATE cases SET period_days = -40")
}

func TestWithoutADocumentACaseStopsAtOverdue(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, times(30, quiet)...)
	s.look()
	id := s.cases()[0].ID
	s.must(s.act(id, cases.CityOfficer, "li", cases.Notify, cases.Detail{}))
	past := time.Now().AddDate(0, 0, -60)
	for name, on := range map[string]time.Time{"before there was a notice": past, "tomorrow": time.Now().AddDate(0, 0, 1)} {
		_, err := s.act(id, cases.CityOfficer, "li", cases.Serve, cases.Detail{Service: &cases.Service{Kind: cases.Direct, On: on, Evidence: "回执"}})
		if refused := (*cases.RefusedError)(nil); !errors.As(err, &refused) || refused.Need != cases.NeedService {
			t.Errorf("served %s: got %v, want that the service is not valid", name, err)
		}
	}
	s.passed()
	s.must(s.act(id, cases.CityOfficer, "li", cases.Serve, cases.Detail{Service: &cases.Service{Kind: cases.Direct, On: time.Now(), Evidence: "回执"}}))
	s.look()
	s.look()
	c := s.cases()[0]
	if c.State != cases.Overdue {
		t.Fatalf("after the period: got %s, want overdue", c.State)
	}
	for name, at := range map[string]time.Time{"before the suspicion": past, "tomorrow": time.Now().AddDate(0, 0, 1)} {
		_, err := s.act(id, cases.CountyOfficer, "zhao", cases.Inspect, cases.Detail{Inspection: &cases.Inspection{At: at, Photo: "p", Officers: []string{"甲", "乙"}}})
		if refused := (*cases.RefusedError)(nil); !errors.As(err, &refused) || refused.Need != cases.NeedVisitDay {
			t.Errorf("inspected %s: got %v, want that its day is refused", name, err)
		}
	}
	s.must(s.act(id, cases.CountyOfficer, "zhao", cases.Inspect, cases.Detail{Inspection: &cases.Inspection{At: time.Now(), Photo: "p", Officers: []string{"甲", "乙"}}}))
	_, err := s.act(id, cases.ProvinceOfficer, "wang", cases.Confirm, cases.Detail{})
	if refused := (*cases.RefusedError)(nil); !errors.As(err, &refused) || refused.Need != cases.NeedDocument {
		t.Errorf("confirm: got %v, want that the document is missing", err)
	}
	_, err = s.registry.ActOnCase(t.Context(), id, registry.CaseStep{Action: cases.Dismiss, Person: "li", Role: cases.CityOfficer, Text: "x", Seen: c.Step})
	if !errors.Is(err, registry.ErrCaseMoved) {
		t.Errorf("on what was seen before the inspection: got %v, want %v", err, registry.ErrCaseMoved)
	}
}

func TestADismissalRunsOut(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, times(30, quiet)...)
	s.look()
	until := firstDay.AddDate(0, 0, 40)
	s.must(s.act(s.cases()[0].ID, cases.CityOfficer, "li", cases.Dismiss, cases.Detail{Until: until}))
	s.days(storyPile, 30, times(8, quiet)...)
	s.look()
	if all := s.cases(); len(all) != 1 {
		t.Errorf("while it holds: got %d cases, want 1", len(all))
	}
	s.days(storyPile, 38, times(4, quiet)...)
	s.look()
	if all := s.cases(); len(all) != 2 {
		t.Errorf("after it: got %d cases, want 2", len(all))
	}
}

func TestAnOperatorThatCannotBeReachedIsDecidedAfterAPublicNotice(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, times(30, quiet)...)
	s.look()
	id := s.cases()[0].ID
	s.must(s.act(id, cases.CityOfficer, "li", cases.Notify, cases.Detail{}))
	posted := time.Now()
	serve := func(kind cases.ServiceKind, failed bool) (registry.Case, error) {
		return s.act(id, cases.CityOfficer, "li", cases.Serve, cases.Detail{Service: &cases.Service{Kind: kind, On: posted, Evidence: "回执", Failed: failed}})
	}
	if _, err := serve(cases.PublicNotice, false); err == nil {
		t.Error("a public notice before anything else was tried: got no error")
	}
	s.must(serve(cases.Direct, true))
	s.must(serve(cases.Post, true))
	c := s.must(serve(cases.PublicNotice, false))
	if got := c.Served.Sub(posted).Round(time.Hour); got != 30*aDay {
		t.Errorf("served %v after the posting, want 30 days", got)
	}
	if got := c.Deadline.Sub(c.Served); got < 30*aDay || got > 42*aDay { // a holiday may lie at its end
		t.Errorf("the period ends %v after service, want 30 days and to a working day", got)
	}
	s.look()
	if got := s.cases()[0].State; got != cases.Notified {
		t.Fatalf("before the period is over: got %s, want notified", got)
	}
	s.sql("UPDATE cases SET served = served - 86400000 * 80, deadline = deadline - 86400000 * 80")
	s.look()
	if got := s.cases()[0].State; got != cases.Overdue {
		t.Fatalf("after both: got %s, want overdue", got)
	}
	confirm := registry.CaseStep{Action: cases.Confirm, Person: "wang", Role: cases.ProvinceOfficer, Text: "理由", Document: "鲁能源〔2026〕1号", Seen: s.cases()[0].Step}
	if _, err := s.registry.ActOnCase(t.Context(), id, confirm); err != nil {
		t.Errorf("confirm: %v", err)
	}
}

func TestANewOpenedOnPaperStopsNoClock(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, times(29, quiet)...)
	s.look()
	const again = "operator,station,pile,connector,serial,power_kw,opened\nMA3CLQP01,S1,P1,1,SN1,60,2025-01-29\n"
	if _, err := s.registry.Import(t.Context(), registry.Piles, strings.NewReader(again)); err != nil {
		t.Fatal(err)
	}
	s.refresh()
	waiting, err := s.registry.Confirmations(t.Context())
	if err != nil || len(waiting) != 1 || waiting[0].Field != "opened" {
		t.Fatalf("what waits for an officer: got %+v, %v; want opened", waiting, err)
	}
	s.days(storyPile, 29, quiet)
	s.look()
	if all := s.cases(); len(all) != 1 {
		t.Errorf("on the thirtieth day: got %d cases, want 1", len(all))
	}
}

// The demonstrated repair of a relapse: 60 days dead, 3 alive, and again, and again.
func TestSixtyDaysDeadAndThreeAliveRepeatedLosesItsPeriod(t *testing.T) {
	s := newStory(t)
	from, periods := 0, []int{}
	for range 3 {
		s.days(storyPile, from, append(times(60, quiet), well, well, well)...)
		from += 63
		for day := from - 63; day < from; day++ { // as the platform looks: a day at a time
			if err := s.engine.closeDay(t.Context(), firstDay.AddDate(0, 0, day)); err != nil {
				t.Fatal(err)
			}
			if all := s.cases(); len(all) > 0 && all[len(all)-1].State == cases.Suspected && (len(periods) == 0 || periods[len(periods)-1] != all[len(all)-1].PeriodDays) {
				periods = append(periods, all[len(all)-1].PeriodDays)
			}
		}
		if got := s.cases()[0].State; got != cases.Rectified {
			t.Fatalf("after three good days: got %s, want rectified", got)
		}
	}
	if all := s.cases(); len(all) != 1 || all[0].Relapses != 2 || !slices.Equal(periods, []int{30, 10, 0}) {
		t.Errorf("got periods %v in %+v, want 30, 10 and none in one case", periods, all)
	}
}

func TestSoldOnDay29TheClockGoesOn(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, times(29, quiet)...)
	s.look()
	if _, err := s.registry.Import(t.Context(), registry.Piles, strings.NewReader("operator,station,pile,connector,serial,power_kw,opened\nMA3CLQP02,S1,NEW,1,SN1,60,2025-01-30\n")); err != nil {
		t.Fatal(err)
	}
	s.refresh()
	links, err := s.registry.PileLinks(t.Context())
	if err != nil || len(links) != 1 {
		t.Fatalf("links: got %+v, %v; want one", links, err)
	}
	if links[0].From.Before(firstDay.AddDate(0, 0, 29)) {
		t.Fatalf("the new name is from %v", links[0].From)
	}
	// The import names today as the new name's first day; the old name's days go on until then.
	from := int(links[0].From.Sub(firstDay) / (24 * time.Hour))
	s.days(storyPile, 29, well)
	s.days(storyPile, from-29, times(29, quiet)...)
	s.days(charge.PileID{Operator: "MA3CLQP02", Equipment: "NEW"}, from, quiet)
	if err := s.engine.closeDay(t.Context(), firstDay.AddDate(0, 0, from)); err != nil {
		t.Fatal(err)
	}
	all := s.cases()
	if len(all) != 1 || all[0].Pile.Equipment != "NEW" {
		t.Fatalf("got %+v, want one case of the new name", all)
	}
	file, err := s.registry.CaseDossier(t.Context(), all[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if d, _, err := cases.Thaw(file); err != nil || len(d.Known) != 2 || d.Known[0].Pile != "P1" {
		t.Errorf("got %+v, %v; want both names", d.Known, err)
	}
}

func TestATransferOnDay29RestartsNoClock(t *testing.T) {
	s := newStory(t)
	for _, file := range []struct {
		table registry.Table
		text  string
	}{
		{registry.Operators, "operator,name\nMA3CLQP03,新东家\n"},
		{registry.Transfers, "from_operator,to_operator,station,date,document\nMA3CLQP01,MA3CLQP03,S1,2025-01-30,协议1号\n"},
	} {
		if _, err := s.registry.Import(t.Context(), file.table, strings.NewReader(file.text)); err != nil {
			t.Fatal(err)
		}
	}
	s.refresh()
	links, err := s.registry.PileLinks(t.Context())
	i := slices.IndexFunc(links, func(l registry.PileLink) bool { return l.Was == storyPile })
	if err != nil || i < 0 {
		t.Fatalf("links: got %+v, %v; want one of %s", links, err, storyPile)
	}
	from := int(links[i].From.Sub(firstDay) / (24 * time.Hour))
	s.days(storyPile, from-29, times(29, quiet)...)
	s.days(links[i].Pile, from, quiet)
	if err := s.engine.closeDay(t.Context(), firstDay.AddDate(0, 0, from)); err != nil {
		t.Fatal(err)
	}
	if all := s.cases(); len(all) != 1 || all[0].Pile.Operator != "MA3CLQP03" {
		t.Errorf("got %+v, want one case of the new operator on its first day", all)
	}
}

// A sale in the midst of a procedure ends nothing: the case, its period and its decision go on with the machine.
func TestSoldWhileItsCaseIsOpenTheCaseGoesAlong(t *testing.T) {
	open := func(t *testing.T) (*story, registry.Case, charge.PileID) {
		s := newStory(t)
		s.days(storyPile, 0, times(30, quiet)...)
		s.look()
		id := s.cases()[0].ID
		s.must(s.act(id, cases.CityOfficer, "li", cases.Notify, cases.Detail{}))
		c := s.must(s.act(id, cases.CityOfficer, "li", cases.Serve, cases.Detail{Service: &cases.Service{Kind: cases.Direct, On: time.Now(), Evidence: "回执"}}))
		for _, file := range []struct {
			table registry.Table
			text  string
		}{
			{registry.Operators, "operator,name,email\nMA3CLQP03,新东家,b@example.cn\n"},
			{registry.Transfers, "from_operator,to_operator,station,date,document\nMA3CLQP01,MA3CLQP03,S1,2025-02-02,协议1号\n"},
		} {
			if _, err := s.registry.Import(t.Context(), file.table, strings.NewReader(file.text)); err != nil {
				t.Fatal(err)
			}
		}
		s.look()
		if got := s.cases()[0].Pile; got != storyPile {
			t.Errorf("before the day of the transfer: got a case of %s, want of %s", got, storyPile)
		}
		s.sql(fmt.Sprintf("UPDATE pile_links SET from_day = %d", firstDay.AddDate(0, 0, 31).UnixMilli())) // that day has come
		s.refresh()
		s.look()
		return s, c, charge.PileID{Operator: "MA3CLQP03", Equipment: storyPile.Equipment}
	}
	s, before, now := open(t)
	all := s.cases()
	if len(all) != 1 || all[0].Pile != now || all[0].State != cases.Notified || !all[0].Deadline.Equal(before.Deadline) {
		t.Fatalf("got %+v, want the one case of %s with its deadline %v", all, now, before.Deadline)
	}
	rec, err := s.registry.CaseRecord(t.Context(), before.ID)
	if last := rec[len(rec)-1]; err != nil || last.Action != cases.Follow || !strings.Contains(last.Text, "MA3CLQP01:P1") || !strings.Contains(last.Text, "协议1号") {
		t.Errorf("record: got %+v, %v; want both names and the document", last, err)
	}
	sent, err := s.registry.Deliveries(t.Context(), true)
	if err != nil || !slices.ContainsFunc(sent, func(d registry.Delivery) bool {
		return d.Address == "b@example.cn" && strings.Contains(d.Body, before.ID)
	}) {
		t.Errorf("reminders: got %+v, %v; want one to the new operator", sent, err)
	}
	// A late day of the old name opens no second case, and the repair is proved under the new one.
	s.days(storyPile, 30, quiet)
	s.days(now, 31, quiet, well, well, well)
	s.look()
	if all = s.cases(); len(all) != 1 || all[0].State != cases.Rectified {
		t.Errorf("repaired by the new operator: got %+v, want the one case rectified", all)
	}
}

func TestAPileThatIsRegisteredAnewAfterItsDecisionStaysOut(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, times(30, quiet)...)
	s.look()
	id := s.cases()[0].ID
	s.sql("UPDATE cases SET state = 'decommissioned'") // as the procedure brings it there
	const anew = "operator,station,pile,connector,serial,power_kw,opened\nMA3CLQP01,S1,ANEW,1,SN1,60,2026-01-01\n"
	if _, err := s.registry.Import(t.Context(), registry.Piles, strings.NewReader(anew)); err != nil {
		t.Fatal(err)
	}
	s.refresh()
	s.look()
	if p, _, err := s.registry.PileByID(t.Context(), charge.PileID{Operator: "MA3CLQP01", Equipment: "ANEW"}); err != nil || p.Decommissioned != id {
		t.Errorf("got out by %q, %v; want by %s", p.Decommissioned, err, id)
	}
}

// A killer ends the context after so many steps, in the middle of whatever is done then.
type killer struct {
	*registry.Registry
	left   int
	cancel context.CancelFunc
}

func (k *killer) step() {
	if k.left--; k.left == 0 {
		k.cancel()
	}
}

func (k *killer) OpenCase(ctx context.Context, s *registry.Suspicion) (registry.Case, bool, error) {
	k.step()
	c, ok, err := k.Registry.OpenCase(ctx, s)
	k.step()
	return c, ok, err
}

func (k *killer) ActOnCase(ctx context.Context, id string, step registry.CaseStep) (registry.Case, error) {
	k.step()
	c, err := k.Registry.ActOnCase(ctx, id, step)
	k.step()
	return c, err
}

func (k *killer) NoteCasesLookedAt(ctx context.Context, day time.Time) error {
	k.step()
	return k.Registry.NoteCasesLookedAt(ctx, day)
}

func (k *killer) PassCase(ctx context.Context, c *registry.Case) (bool, error) {
	k.step()
	ok, err := k.Registry.PassCase(ctx, c)
	k.step()
	return ok, err
}

// Ended at any step and begun again, the engine comes to the same record as if it had never been ended.
func TestEndedAnywhereNothingIsRepeatedOrLost(t *testing.T) {
	tell := func(s *story) string {
		rec, err := s.registry.CaseRecord(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, e := range rec {
			text += fmt.Sprintf("%s %s→%s; ", e.Action, e.From, e.To)
		}
		if _, _, err := s.registry.AuditCases(t.Context(), ""); err != nil {
			t.Error(err)
		}
		return text
	}
	play := func(killEvery int) string {
		s := newStory(t)
		s.days(storyPile, 0, times(30, quiet)...)
		look := func() {
			for ended := false; !ended; {
				ctx, cancel := context.WithCancel(t.Context())
				k := &killer{s.registry, killEvery, cancel}
				s.engine.store = k
				ended = s.engine.look(ctx) == nil
				cancel()
				killEvery += 3
			}
		}
		look()
		id := s.cases()[0].ID
		s.must(s.act(id, cases.CityOfficer, "li", cases.Notify, cases.Detail{}))
		s.passed()
		s.must(s.act(id, cases.CityOfficer, "li", cases.Serve, cases.Detail{Service: &cases.Service{Kind: cases.Direct, On: time.Now(), Evidence: "回执"}}))
		look()
		s.days(storyPile, 30, well, well, well)
		look()
		return tell(s)
	}
	want := play(1_000_000)
	if !strings.Contains(want, "expire") || !strings.Contains(want, "prove") {
		t.Fatalf("undisturbed: got %s, want a case that is overdue and then rectified", want)
	}
	for n := 1; n <= 12; n++ {
		if got := play(n); got != want {
			t.Errorf("ended at step %d: got %s, want %s", n, got, want)
		}
	}
}

func TestOneChangedByteIsFoundAndWhere(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, times(30, quiet)...)
	s.look()
	id := s.cases()[0].ID
	s.must(s.act(id, cases.CityOfficer, "li", cases.Notify, cases.Detail{}))
	if n, dossiers, err := s.registry.AuditCases(t.Context(), ""); err != nil || n != 2 || dossiers != 1 {
		t.Fatalf("got %d entries, %d dossiers, %v; want 2, 1 and none", n, dossiers, err)
	}
	if _, _, err := s.registry.AuditCases(t.Context(), strings.Repeat("0", 64)); err == nil {
		t.Error("with a head that never was: got no error")
	}
	for _, tt := range []struct{ name, change, undo, want string }{
		{"in an entry", "UPDATE case_record SET entry = replace(entry, '理由', '理屈') WHERE seq = 2", "UPDATE case_record SET entry = replace(entry, '理屈', '理由') WHERE seq = 2", "entry 2"},
		{"in the dossier", "UPDATE case_dossier SET file = CAST(replace(CAST(file AS TEXT), '\"unknown_min\":43200', '\"unknown_min\":43201') AS BLOB)", "UPDATE case_dossier SET file = CAST(replace(CAST(file AS TEXT), '\"unknown_min\":43201', '\"unknown_min\":43200') AS BLOB)", "grounds"},
		{"in the case", "UPDATE cases SET state = 'overdue'", "UPDATE cases SET state = 'notified'", id},
	} {
		s.sql("DROP TRIGGER IF EXISTS case_record_stays", tt.change)
		_, _, err := s.registry.AuditCases(t.Context(), "")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error that names %s", tt.name, err, tt.want)
		}
		s.sql(tt.undo)
	}
	if _, _, err := s.registry.AuditCases(t.Context(), ""); err != nil {
		t.Errorf("all undone: got %v", err)
	}
}

func TestAPolicyIsTried(t *testing.T) {
	s := newStory(t)
	s.days(storyPile, 0, append(times(20, well), times(20, quiet)...)...)
	s.look()
	strict, err := policy.Parse(policy.DefaultFile())
	if err != nil {
		t.Fatal(err)
	}
	strict.LongFailed.Silent.Window = 20 * 24 * time.Hour
	_, all, err := TryPolicy(t.Context(), s.registry, s.dir, strict)
	if err != nil || len(all) != 1 || len(all[0].Now) != 0 || !slices.Contains(all[0].Beside, "silent") {
		t.Errorf("got %+v, %v; want that it would open a case of the silent pile", all, err)
	}
	if got := s.cases(); len(got) != 0 {
		t.Errorf("trying has opened %+v", got)
	}
}

func TestAPolicyIsTriedForPilesThatDeliverNothingToo(t *testing.T) {
	s := newStory(t)
	if _, err := s.registry.Import(t.Context(), registry.Piles, strings.NewReader("operator,station,pile,connector,serial,power_kw,opened\nMA3CLQP01,S1,P2,1,SN2,60,2022-01-01\n")); err != nil {
		t.Fatal(err)
	}
	s.refresh()
	s.days(storyPile, 0, append(times(1, well), times(100, idle)...)...)
	s.days(charge.PileID{Operator: "MA3CLQP01", Equipment: "P2"}, 0, times(101, well)...)
	s.look()
	other, err := policy.Parse(policy.DefaultFile())
	if err != nil {
		t.Fatal(err)
	}
	other.LongFailed.NoEnergy.Window = 90 * aDay
	for _, tt := range []struct {
		name    string
		visited float64 // Wh a neighbour must have delivered
		want    string
	}{
		{"neighbours charge", 50_000, "[{MA3CLQP01:P1  [] [no_energy]}]"},
		{"none charges as much as it asks for", 5_000_000, "[]"},
	} {
		other.LongFailed.NoEnergy.NeighboursWh = tt.visited
		if _, all, err := TryPolicy(t.Context(), s.registry, s.dir, other); err != nil || fmt.Sprint(all) != tt.want {
			t.Errorf("%s: got %v, %v; want %s", tt.name, all, err, tt.want)
		}
	}
}

// sql changes the file as whoever owns the disk can.
func (s *story) sql(statements ...string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only a test's
	for _, text := range statements {
		if _, err := db.ExecContext(s.t.Context(), text); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
	}
}
