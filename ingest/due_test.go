package ingest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
)

// drawDays is some days of four piles in two townships, a tick a minute: what they tell, when they beat, and
// when the platform is away.
func drawDays(t *rapid.T) []journal.Batch {
	var all []journal.Batch
	now, seq := midnight, uint64(0)
	take := func(readings ...charge.Reading) {
		seq++
		for i := range readings {
			readings[i].At, readings[i].Received = now, now
			switch rapid.IntRange(0, 40).Draw(t, "comes") {
			case 0: // stored and forwarded
				readings[i].At = now.Add(-time.Duration(rapid.IntRange(1, 300).Draw(t, "minutes late")) * time.Minute)
			case 1: // slow from the gateway to the log
				readings[i].Received = now.Add(-time.Duration(rapid.IntRange(1, 9000).Draw(t, "seconds in the log")) * time.Second)
				readings[i].At = readings[i].Received
			}
		}
		all = append(all, journal.Batch{Seq: seq, At: now, Readings: readings})
	}
	lives := map[string]bool{}
	for range rapid.IntRange(3, 24).Draw(t, "happenings") {
		for range rapid.IntRange(1, 3).Draw(t, "told") {
			name := rapid.SampledFrom([]string{"1", "2", "3", "4"}).Draw(t, "pile")
			status := rapid.SampledFrom([]charge.Status{charge.Idle, charge.Idle, charge.Occupied, charge.Charging, charge.Faulted, charge.Offline}).Draw(t, "status")
			lives[name] = rapid.IntRange(0, 3).Draw(t, "lives") > 0
			r := statusOf(name, "1", status)
			if status == charge.Charging {
				r = powerOf(name, "1", 30)
				r.Has |= charge.HasEnergy
				r.EnergyKWh = 2
			}
			take(r)
		}
		if rapid.IntRange(0, 12).Draw(t, "away") == 0 {
			now = now.Add(time.Duration(rapid.IntRange(3, 30*60).Draw(t, "minutes away")) * time.Minute)
		}
		for m := range rapid.SampledFrom([]int{1, 40, 59, 60, 61, 400, 800}).Draw(t, "minutes") {
			now = now.Add(time.Minute)
			take()
			for _, name := range []string{"1", "2", "3", "4"} {
				if lives[name] && m%10 == 0 {
					take(charge.Reading{Pile: pileNamed(name), Kind: charge.KindHeartbeat})
				}
			}
		}
	}
	return all
}

// A connector that is looked at only when it is due, and a township that is judged only when it is not sure, come out as
// if they were looked at at every tick.
func TestWhoIsNotDueIsNotMissed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batches := drawDays(t)
		dir := func() *fakeDirectory {
			dir := &fakeDirectory{minimum: time.Duration(rapid.SampledFrom([]int{0, 1, 60, 60, 600}).Draw(t, "least")) * time.Minute}
			dir.add("1", townA, 1, func(s *charge.Station) {
				s.Closed = midnight.AddDate(0, 0, rapid.SampledFrom([]int{2, 4, 400}).Draw(t, "closed on day"))
			})
			dir.add("2", townA, 1, func(s *charge.Station) { s.Opened = midnight.AddDate(0, 0, -6) })
			dir.add("3", townB, 1)
			dir.add("4", townB, 1, func(s *charge.Station) { s.Hours = "Mo-Su 18:00-08:00" })
			if from := rapid.IntRange(-40, 60).Draw(t, "excused from hour"); from > -20 {
				dir.excuses = []charge.Excuse{{
					Kind: charge.PowerCut, Operator: "OP", Pile: "3", From: midnight.Add(time.Duration(from) * time.Hour),
					Until: midnight.Add(time.Duration(from+20) * time.Hour), State: charge.Granted,
				}}
			}
			return dir
		}()
		lazy, eager := newJudge(0, partitionOf, dir), newJudge(0, partitionOf, dir)
		for i := range batches {
			b := &batches[i]
			clear(eager.due)
			eager.doubt()
			eager.hour = time.Time{}
			lazy.take(b, nobody)
			eager.take(b, nobody)
			got, want := lazy.collect(false), eager.collect(false)
			if diff := gocmp.Diff(told(&want), told(&got)); diff != "" {
				t.Fatalf("after message %d at %s:\ngot\n%s\njudged at every tick\n%s", i, b.At.In(charge.Zone), strings.Join(told(&got), "\n"), strings.Join(told(&want), "\n"))
			}
			for code, town := range eager.towns {
				got, want := lazy.towns[code].verdict, town.verdict
				if got.By, want.By = 0, 0; got != want { // any of the stations that serve may decide it
					t.Fatalf("after message %d at %s: %s got %+v, want %+v", i, b.At.In(charge.Zone), code, lazy.towns[code].verdict, town.verdict)
				}
			}
		}
	})
}

// told is what a step tells the world.
func told(s *step) []string {
	var all []string
	for _, t := range s.townships {
		all = append(all, fmt.Sprintf("%+v", t))
	}
	for _, c := range s.connectors {
		all = append(all, fmt.Sprintf("%+v", c))
	}
	for _, e := range s.events {
		share := -1.0
		if e.event.Share != nil {
			share = *e.event.Share
		}
		e.event.Share = nil
		all = append(all, fmt.Sprintf("%+v, effective for %.3f", e.event, share))
	}
	for _, d := range s.townDays {
		all = append(all, fmt.Sprintf("%+v", d))
	}
	return all
}
