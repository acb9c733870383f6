package simulator

import (
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
)

func storyFleet(t testing.TB, piles int, seed uint64) *Fleet {
	t.Helper()
	fleet, err := GenerateStory(shandong(t), piles, seed)
	if err != nil {
		t.Fatal(err)
	}
	return fleet
}

var storyUntil = time.Date(2026, 7, 1, 9, 30, 0, 0, charge.Zone)

func inOne(charge.DivisionCode) int { return 0 }

// digest is a hash of all that a story tells before a time, however it is cut.
func digest(fleet *Fleet, until, before time.Time) uint64 {
	h := fnv.New64a()
	for m := range fleet.Story(until, 1, inOne) {
		for i := range m.Readings {
			if m.Readings[i].Received.Before(before) {
				fmt.Fprintf(h, "%+v", m.Readings[i])
			}
		}
	}
	return h.Sum64()
}

func TestSameSeedSameStoryWheneverItEnds(t *testing.T) {
	half := storyBegins.AddDate(1, 0, 0)
	want := digest(storyFleet(t, MinPiles, 1), storyUntil, half)
	if got := digest(storyFleet(t, MinPiles, 1), half, half); got != want {
		t.Error("the story's first year differs with the day on which the story ends")
	}
	if got := digest(storyFleet(t, MinPiles, 2), storyUntil, half); got == want {
		t.Error("another seed gave the same story")
	}
}

func TestEveryTownHasAStationAtThePlansEnd(t *testing.T) {
	fleet := storyFleet(t, 3000, 1)
	first := make(map[charge.DivisionCode]time.Time)
	for _, s := range fleet.Stations {
		if at, known := first[s.Township]; s.Kind == charge.Public && fleet.Counted(s.Township) && (!known || s.Opened.Before(at)) {
			first[s.Township] = s.Opened
		}
	}
	for _, tt := range []struct {
		day         time.Time
		least, most int
	}{
		{storyBegins, coveredTowns, coveredTowns + 40}, // a further station may have opened before a town's first one
		{storyYear2, coveredTowns + 120, coveredTowns + 290},
		{planEnds, plannedTowns, plannedTowns},
	} {
		n := 0
		for _, opened := range first {
			if opened.Before(tt.day) {
				n++
			}
		}
		if n < tt.least || n > tt.most {
			t.Errorf("towns with a public station at %s: got %d, want %d to %d", tt.day.Format(time.DateOnly), n, tt.least, tt.most)
		}
	}
	for i := range fleet.Piles {
		if p := &fleet.Piles[i]; !p.Opened.Before(planEnds) || p.Opened.Before(fleet.Stations[p.Station].Opened) {
			t.Fatalf("pile %d opened %s, its station %s", i, p.Opened, fleet.Stations[p.Station].Opened)
		}
	}
}

// A last is what a story tells of a pile in the end.
type last struct {
	status map[charge.ConnectorID]charge.Status
	gone   bool // heard for the last time
	orders int
}

func TestAStoryEndsWithThePilesCondition(t *testing.T) {
	fleet := storyFleet(t, 3000, 1)
	ends := make(map[charge.PileID]*last)
	var before time.Time
	for m := range fleet.Story(storyUntil, 1, inOne) {
		for i := range m.Readings {
			r := &m.Readings[i]
			if r.Received.Before(before) || r.Received.After(m.At) || !r.Received.Equal(r.At) {
				t.Fatalf("reading of %s at %s after one of %s, in a message of %s", r.Received, r.At, before, m.At)
			}
			before = r.Received
			end := ends[r.Pile]
			if end == nil {
				end = &last{status: make(map[charge.ConnectorID]charge.Status)}
				ends[r.Pile] = end
			}
			switch r.Kind {
			case charge.KindStatus:
				end.status[r.Connector], end.gone = r.Status, false
			case charge.KindOrder:
				if end.status[r.Connector] != charge.Idle || end.gone {
					t.Fatalf("order of %s/%s while it is %s, gone %t", r.Pile, r.Connector, end.status[r.Connector], end.gone)
				}
				end.orders++
			case charge.KindHeard:
				end.gone = true
			default:
				t.Fatalf("the story tells a %s", r.Kind)
			}
		}
	}
	idle, working, never := 0, 0, 0
	for i := range fleet.Piles {
		p, end := &fleet.Piles[i], ends[fleet.ID(i)]
		if end == nil {
			if never++; p.Condition != FailedSilent {
				t.Errorf("%s, condition %d: told nothing", fleet.ID(i), p.Condition)
			}
			continue
		}
		if p.Condition == Unused && end.orders > 0 {
			t.Errorf("%s is never used, and had %d orders", fleet.ID(i), end.orders)
		}
		for id, status := range end.status {
			switch {
			case p.usable():
				if working++; status == charge.Idle && !end.gone {
					idle++
				}
			case p.Condition == FailedSilent && !end.gone, p.Condition == FailedFault && status != charge.Faulted, p.Condition == FailedGone && status != charge.Offline:
				t.Errorf("%s/%s, condition %d: ends with %s, gone %t", fleet.ID(i), id, p.Condition, status, end.gone)
			}
		}
	}
	if never == 0 {
		t.Error("no pile exists on paper only")
	}
	if share := float64(idle) / float64(working); share < 0.94 || share == 1 {
		t.Errorf("connectors of working piles that are idle in the end: got %.3f, want nearly all", share)
	}
}

func TestAStorysMessagesAreForOnePartitionAndItsTimesRise(t *testing.T) {
	fleet := storyFleet(t, MinPiles, 1)
	of := func(code charge.DivisionCode) int { return int(code[5]-'0') % 3 }
	places := make(map[charge.PileID]int)
	for i := range fleet.Piles {
		places[fleet.ID(i)] = of(fleet.Stations[fleet.Piles[i].Station].Township)
	}
	until := storyBegins.AddDate(0, 6, 0)
	at := make([]time.Time, 3)
	var ended [3]journal.Told
	for m := range fleet.Story(until, 3, of) {
		if !m.At.After(at[m.Partition]) {
			t.Fatalf("partition %d: %s after %s", m.Partition, m.At, at[m.Partition])
		}
		at[m.Partition], ended[m.Partition] = m.At, m
		for i := range m.Readings {
			if places[m.Readings[i].Pile] != m.Partition {
				t.Fatalf("%s is told in partition %d", m.Readings[i].Pile, m.Partition)
			}
		}
	}
	for p, m := range ended {
		if !m.At.Equal(until) || len(m.Readings) > 0 {
			t.Errorf("partition %d ends at %s with %d readings, want %s with none", p, m.At, len(m.Readings), until)
		}
	}
}
