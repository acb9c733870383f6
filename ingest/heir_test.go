package ingest

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// transfer is what an import of transfers does to station 1: from the day on it is station 2's machine.
func (c *court) transfer(day time.Time) {
	opened := c.dir.stations[0].Opened
	c.dir.change("1", func(s *charge.Station) { s.Closed = day })
	closed := *c.dir.piles[0]
	closed.Connectors = append([]charge.Connector(nil), closed.Connectors...)
	for i := range closed.Connectors {
		closed.Connectors[i].Closed = day
	}
	c.dir.piles[0] = &closed
	c.dir.add("2", townA, 1, func(s *charge.Station) { s.Opened, s.FirstOpened = day, opened })
	gun := &c.dir.piles[1].Connectors[0]
	gun.Opened, gun.FirstOpened = day, opened
	c.dir.links = append(c.dir.links, registry.PileLink{Pile: pileNamed("2"), Was: pileNamed("1"), From: day, Why: "transfer"})
	c.dir.rev++
}

func TestAStationThatPassesToAnotherOperatorKeepsItsMinutesAndItsClock(t *testing.T) {
	c := newTownCourt(midnight)
	c.until(midnight.Add(10*time.Hour), charge.Idle, "1")
	c.transfer(midnight.AddDate(0, 0, 1))
	c.until(midnight.Add(24*time.Hour-time.Minute), charge.Idle, "1")
	for half := range 50 {
		c.until(midnight.Add(24*time.Hour+time.Duration(half+1)*30*time.Minute), charge.Idle, "2")
		if got := c.towns[townA].verdict.State; got != charge.Effective {
			t.Fatalf("township %d half hours after the transfer: got %s, want it effective all the time", half+1, got)
		}
	}
	piles, _, _ := c.closed()
	want := []string{"06-02 OP:1 frozen=false 1440 usable 0 excused 0 out 0 unknown", "06-03 OP:2 frozen=false 1440 usable 0 excused 0 out 0 unknown"}
	if diff := gocmp.Diff(want, piles); diff != "" {
		t.Errorf("days, each under one name (-want +got):\n%s", diff)
	}
}

func TestAStationThatNeverWorkedGetsNoNewMonthOfGraceByATransfer(t *testing.T) {
	c := newTownCourt(midnight)
	c.until(midnight.Add(10*time.Hour), charge.Faulted, "1")
	c.transfer(midnight.AddDate(0, 0, 1))
	c.until(midnight.Add(49*time.Hour), charge.Faulted, "2")
	piles, _, _ := c.closed()
	want := []string{"06-02 OP:1 frozen=false 0 usable 0 excused 611 out 829 unknown", "06-03 OP:2 frozen=false 0 usable 0 excused 1440 out 0 unknown"}
	if diff := gocmp.Diff(want, piles); diff != "" {
		t.Errorf("its days (-want +got):\n%s", diff)
	}
	if got := c.verdict(townA); got != "failing all_fault" {
		t.Errorf("township: got %s, want failing: the station does not start anew", got)
	}
}

func TestWhatWasInheritedIsInheritedOnceAlsoAfterARestart(t *testing.T) {
	c := newTownCourt(midnight)
	c.until(midnight.Add(10*time.Hour), charge.Idle, "1")
	c.transfer(midnight.AddDate(0, 0, 1))
	c.until(midnight.Add(25*time.Hour), charge.Idle, "1")
	c.message(statusOf("2", "1", charge.Faulted))
	c.collect(false)
	data, err := c.save(0)
	if err != nil {
		t.Fatal(err)
	}
	again := newCourt(0, c.dir)
	again.now, again.seq = c.now, c.seq
	if _, err := again.restore(data); err != nil {
		t.Fatal(err)
	}
	again.message()
	if g := again.piles[pileNamed("2")].guns[0]; g.Status != charge.Faulted {
		t.Errorf("status under its new name: got %v, want the fault that it told since", g.Status)
	}
}
