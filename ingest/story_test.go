package ingest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// coverageEvents collects, and gives what was told of townships.
func (c *court) coverageEvents() []string {
	var all []string
	for _, e := range c.collect(false).events {
		switch e.event.Kind {
		case charge.CoverageGained, charge.CoverageLost, charge.CoverageUnsteady:
			all = append(all, fmt.Sprintf("%s %s by %s", e.event.Kind, e.event.Township[6:], e.event.Station))
		case charge.ConnectorFault, charge.ConnectorRestored, charge.ConnectorOffline, charge.ConnectorSilent, charge.DangerAlarm:
		}
	}
	return all
}

func newTownCourt(now time.Time) *court {
	dir := &fakeDirectory{minimum: time.Hour}
	dir.add("1", townA, 1)
	c := newCourt(0, dir)
	c.now = now
	return c
}

func TestAStationUsableOneHourEvery25IsUnsteadyAndOneEvent(t *testing.T) {
	c := newTownCourt(midnight)
	var got []string
	for range 8 {
		c.until(c.now.Add(time.Hour), charge.Idle, "1")
		c.until(c.now.Add(24*time.Hour), charge.Faulted, "1")
		got = append(got, c.coverageEvents()...)
	}
	want := []string{"coverage_gained 101 by station 1", "coverage_lost 101 by station 1", "coverage_unsteady 101 by station 1"}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("events of eight days and eight hours (-want +got):\n%s", diff)
	}
}

func TestThePlatformAwayFor25HoursLosesNoTownshipAndMarksIt(t *testing.T) {
	c := newTownCourt(midnight)
	c.until(midnight.Add(20*time.Hour), charge.Idle, "1")
	c.coverageEvents()
	c.now = c.now.Add(25 * time.Hour)
	c.message()
	if got := c.state(townA); got.State != charge.Effective || !got.NotObserved {
		t.Errorf("when it is back: got %s, not observed %t, want effective and so marked", got.State, got.NotObserved)
	}
	c.until(c.now.Add(2*time.Hour), charge.Idle, "1")
	if got := c.coverageEvents(); len(got) != 0 {
		t.Errorf("events: got %v, want none", got)
	}
	if got := c.state(townA); got.NotObserved {
		t.Error("two hours later: still marked as not observed")
	}
}

func TestATrailerInThreeTownshipsCoversNone(t *testing.T) {
	c := newTownCourt(midnight)
	c.dir.change("1", func(s *charge.Station) { s.Mobile = true })
	for _, town := range []charge.DivisionCode{townA, townB, townA} {
		c.dir.change("1", func(s *charge.Station) { s.Township = town })
		c.until(c.now.Add(8*time.Hour), charge.Idle, "1")
		if got := c.verdict(town); got != "none mobile" {
			t.Errorf("where it stands, %s: got %q, want none, since it is mobile", town, got)
		}
	}
	if got := c.coverageEvents(); len(got) != 0 {
		t.Errorf("events: got %v, want none", got)
	}
}

func TestADecommissionedPileThatWakesUpCoversNothing(t *testing.T) {
	c := newTownCourt(midnight)
	c.until(midnight.Add(2*time.Hour), charge.Idle, "1")
	c.dir.piles = slices.DeleteFunc(c.dir.piles, func(p *registry.Pile) bool { return p.ID == pileNamed("1") })
	c.dir.rev++
	c.until(midnight.Add(4*time.Hour), charge.Idle, "1")
	if got := c.verdict(townA); got != "unverified never_connected" {
		t.Errorf("its township: got %q, want unverified: a station without a pile", got)
	}
	c.until(midnight.Add(25*time.Hour), charge.Idle, "1")
	if piles, _, _ := c.closed(); len(piles) != 0 {
		t.Errorf("its days: got %v, want none", piles)
	}
}

func TestAStationMovedToTheNextTownshipTakesItsMinutesAlong(t *testing.T) {
	c := newTownCourt(midnight)
	c.until(midnight.Add(12*time.Hour), charge.Idle, "1")
	c.dir.change("1", func(s *charge.Station) { s.Township = townB })
	c.coverageEvents()
	c.message()
	want := []string{"coverage_lost 101 by ", "coverage_gained 102 by station 1"}
	if diff := gocmp.Diff(want, c.coverageEvents()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	c.until(midnight.Add(25*time.Hour), charge.Idle, "1")
	piles, _, _ := c.closed()
	if diff := gocmp.Diff([]string{"06-02 OP:1 frozen=false 1440 usable 0 excused 0 out 0 unknown"}, piles); diff != "" {
		t.Errorf("its day (-want +got):\n%s", diff)
	}
}

func TestANewYearBringsItsOwnLimitOfMaintenance(t *testing.T) {
	newYear := time.Date(2026, 1, 1, 0, 0, 0, 0, charge.Zone)
	c := newTownCourt(newYear.AddDate(0, 0, -1))
	for _, e := range [][2]int{{-24 * 6, -24 * 3}, {-24, -22}, {1, 3}} { // 72 hours in the old year, two more, and two in the new one
		c.dir.excuses = append(c.dir.excuses, charge.Excuse{
			Kind: charge.Maintenance, Operator: "OP", Pile: "1",
			From: newYear.Add(time.Duration(e[0]) * time.Hour), Until: newYear.Add(time.Duration(e[1]) * time.Hour),
		})
	}
	c.until(newYear.Add(25*time.Hour), charge.Faulted, "1")
	piles, _, _ := c.closed()
	want := []string{
		"12-31 OP:1 frozen=false 0 usable 0 excused 1440 out 0 unknown",
		"01-01 OP:1 frozen=false 0 usable 120 excused 1320 out 0 unknown",
	}
	if diff := gocmp.Diff(want, piles); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
}

func TestTheDayOnWhichThePlatformStartsIsExcusedUntilThen(t *testing.T) {
	c := newTownCourt(midnight.Add(10 * time.Hour))
	c.until(midnight.Add(25*time.Hour), charge.Idle, "1")
	piles, _, _ := c.closed()
	if diff := gocmp.Diff([]string{"06-02 OP:1 frozen=false 840 usable 600 excused 0 out 0 unknown"}, piles); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
}

func TestAMessageFiveDaysLateIsOnRecordAndChangesNoDay(t *testing.T) {
	c := newTownCourt(midnight)
	c.until(midnight.Add(2*time.Hour), charge.Idle, "1")
	c.pass(5 * 24 * time.Hour)
	c.closed()
	late := statusOf("1", "1", charge.Faulted)
	late.At = midnight.Add(5 * time.Hour)
	c.message(late, late)
	c.message(statusOf("1", "1", charge.Idle))
	c.pass(time.Hour)
	s := c.collect(false)
	if len(s.corrections) != 1 || len(s.connectorDays) != 0 {
		t.Fatalf("got %d corrections and %d days, want one and none", len(s.corrections), len(s.connectorDays))
	}
	want := registry.Correction{
		Key: charge.ConnectorKey{Pile: pileNamed("1"), Connector: "1"}, Day: midnight, Status: charge.Faulted, Told: late.At,
		Received: midnight.Add(5*24*time.Hour + 2*time.Hour),
	}
	if diff := gocmp.Diff(want, s.corrections[0]); diff != "" {
		t.Errorf("correction (-want +got):\n%s", diff)
	}
}

func TestAStationWhoseModemLivesAndWhoseStatusIs40DaysOldLosesItsTownship(t *testing.T) {
	c := newTownCourt(midnight)
	c.until(midnight.Add(2*time.Hour), charge.Idle, "1")
	c.coverageEvents()
	c.passAlive(40*24*time.Hour, "1")
	if diff := gocmp.Diff([]string{"coverage_lost 101 by station 1"}, c.coverageEvents()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got := c.state(townA); got.State != charge.Failing || got.Reason != "all_lapsed" {
		t.Errorf("its township: got %s for %s, want failing since no status holds", got.State, got.Reason)
	}
}

func TestAnExcuseOverItsYearlyLimitDoesNotCount(t *testing.T) {
	c := newTownCourt(midnight)
	c.dir.excuses = []charge.Excuse{{Kind: charge.Maintenance, State: charge.Granted, Operator: "OP", Pile: "1", From: midnight, Until: midnight.Add(96 * time.Hour)}}
	c.message(statusOf("1", "1", charge.Idle)) // it has worked once: it is in service
	c.until(midnight.Add(98*time.Hour), charge.Faulted, "1")
	piles, _, _ := c.closed()
	var got []string
	for _, p := range piles {
		if strings.Contains(p, "frozen=false") {
			got = append(got, p)
		}
	}
	want := []string{
		"06-02 OP:1 frozen=false 0 usable 1440 excused 0 out 0 unknown", "06-03 OP:1 frozen=false 0 usable 1440 excused 0 out 0 unknown",
		"06-04 OP:1 frozen=false 0 usable 1440 excused 0 out 0 unknown", "06-05 OP:1 frozen=false 0 usable 0 excused 1440 out 0 unknown",
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("four days of maintenance, of which the year allows three (-want +got):\n%s", diff)
	}
}
