package ingest

import (
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
)

// midnight is the first one in Asia/Shanghai after begin.
var midnight = time.Date(2025, 6, 2, 0, 0, 0, 0, charge.Zone)

// until lets time pass while the piles tell a status every five minutes.
func (c *court) until(end time.Time, status charge.Status, names ...string) {
	for c.now.Before(end) {
		for _, name := range names {
			c.message(statusOf(name, "1", status))
		}
		c.pass(5 * time.Minute)
	}
}

// closed collects, and gives the days that were closed in short.
func (c *court) closed() (piles, sums, towns []string) {
	s := c.collect(false)
	for _, d := range s.pileDays {
		m := d.Minutes
		piles = append(piles, fmt.Sprintf("%s %s frozen=%t %d usable %d excused %d out %d unknown", d.Day.In(charge.Zone).Format("01-02"), d.Pile, d.Frozen, m.Usable, m.Excused, m.Out, m.Unknown))
	}
	for _, d := range s.sums {
		sums = append(sums, fmt.Sprintf("%s %s %s frozen=%t %d connectors %d usable", d.Day.In(charge.Zone).Format("01-02"), d.County, d.Operator, d.Frozen, d.Connectors, d.Usable))
	}
	for _, d := range s.townDays {
		towns = append(towns, fmt.Sprintf("%s %s %s", d.Day.In(charge.Zone).Format("01-02"), d.Township[6:], d.State))
	}
	return piles, sums, towns
}

func TestADayIsClosedProvisionallyAndForGood(t *testing.T) {
	dir := &fakeDirectory{minimum: time.Hour}
	dir.add("1", townA, 1)
	dir.add("2", townB, 1)
	c := newCourt(0, dir)
	c.now = midnight
	c.until(midnight.Add(22*time.Hour), charge.Idle, "1", "2")
	c.until(midnight.Add(24*time.Hour-5*time.Minute), charge.Faulted, "1")
	if piles, sums, towns := c.closed(); len(piles)+len(sums)+len(towns) != 0 {
		t.Errorf("before the day has ended: got %v %v %v, want none", piles, sums, towns)
	}
	c.until(midnight.Add(24*time.Hour), charge.Faulted, "1")
	_, _, towns := c.closed()
	if diff := gocmp.Diff([]string{"06-02 101 effective", "06-02 102 effective"}, towns); diff != "" {
		t.Errorf("townships at its end (-want +got):\n%s", diff)
	}
	c.until(midnight.Add(25*time.Hour), charge.Faulted, "1")
	wantPiles := []string{
		"06-02 OP:1 frozen=%t 1320 usable 0 excused 120 out 0 unknown",
		// Told last at 21:55, and silent 15 minutes later, from the first minute after that on.
		"06-02 OP:2 frozen=%t 1331 usable 0 excused 0 out 109 unknown",
	}
	wantSums := []string{"06-02 371721 OP frozen=%t 2 connectors 2651 usable"}
	compare := func(frozen bool) {
		t.Helper()
		piles, sums, _ := c.closed()
		for _, check := range []struct{ want, got []string }{{wantPiles, piles}, {wantSums, sums}} {
			var want []string
			for _, w := range check.want {
				want = append(want, fmt.Sprintf(w, frozen))
			}
			if diff := gocmp.Diff(want, check.got); diff != "" {
				t.Errorf("frozen %t (-want +got):\n%s", frozen, diff)
			}
		}
	}
	compare(false)
	c.until(midnight.Add(95*time.Hour), charge.Faulted, "1")
	c.closed()
	c.until(midnight.Add(96*time.Hour), charge.Faulted, "1")
	if piles, _, _ := c.closed(); len(piles) != 0 {
		t.Errorf("within the lateness limit: got %v closed, want none", piles)
	}
	c.pass(10 * time.Minute) // half of the pass
	c.closed()
	c.until(midnight.Add(97*time.Hour), charge.Faulted, "1")
	var frozen []string
	piles, sums, _ := c.closed()
	for _, d := range piles {
		if d[:5] == "06-02" {
			frozen = append(frozen, d)
		}
	}
	if len(frozen) > 1 || len(sums) == 0 {
		t.Errorf("the rest of the pass: got %v and %v, want one pile at most and the sums", frozen, sums)
	}
}

func TestExcusedTimeOfADay(t *testing.T) {
	at := func(hour int) time.Time { return midnight.Add(time.Duration(hour) * time.Hour) }
	tests := []struct {
		name    string
		excuses []charge.Excuse
		want    string
	}{
		{"none", nil, "0 usable 0 excused 1440 out 0 unknown"},
		{"two hours of maintenance", []charge.Excuse{{Kind: charge.Maintenance, Operator: "OP", Pile: "1", From: at(1), Until: at(3)}}, "0 usable 120 excused 1320 out 0 unknown"},
		{"of another pile", []charge.Excuse{{Kind: charge.Maintenance, Operator: "OP", Pile: "2", From: at(1), Until: at(3)}}, "0 usable 0 excused 1440 out 0 unknown"},
		{"maintenance over its yearly limit", []charge.Excuse{
			{Kind: charge.Maintenance, Operator: "OP", Pile: "1", From: at(-100), Until: at(-29)},
			{Kind: charge.Maintenance, Operator: "OP", Pile: "1", From: at(1), Until: at(3)},
		}, "0 usable 60 excused 1380 out 0 unknown"},
		{"a group silence for longer than an event may be", []charge.Excuse{
			{Kind: charge.GroupSilence, Operator: "OP", From: at(-71), Until: at(20)},
		}, "0 usable 60 excused 1380 out 0 unknown"},
		{"a power cut", []charge.Excuse{{Kind: charge.PowerCut, Operator: "OP", Pile: "1", From: at(0), Until: at(24)}}, "0 usable 1440 excused 0 out 0 unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := &fakeDirectory{excuses: tt.excuses}
			dir.add("1", townA, 1)
			c := newCourt(0, dir)
			c.now = midnight
			c.until(midnight.Add(25*time.Hour), charge.Faulted, "1")
			piles, _, _ := c.closed()
			if diff := gocmp.Diff([]string{"06-02 OP:1 frozen=false " + tt.want}, piles); diff != "" {
				t.Errorf("days (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATownshipsStationHasHoursAndSeasons(t *testing.T) {
	tests := []struct {
		name           string
		hours, seasons string
		want           string
	}{
		{"always open", "", "", "effective usable"},
		{"a lot that is open at night, by day", "18:00-08:00", "", "effective usable"},
		{"a beach in winter", "", "07-01..09-30", "none closed_season"},
		{"closed on the days that count", "Sa-Su 08:00-20:00", "", "none closed_hours"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := &fakeDirectory{minimum: time.Hour}
			dir.add("1", townA, 1, func(s *charge.Station) { s.Hours, s.Seasons = tt.hours, tt.seasons })
			c := newCourt(0, dir)
			c.now = midnight.Add(24 * time.Hour) // Tuesday, 3 June 2025
			c.until(c.now.Add(8*time.Hour), charge.Idle, "1")
			c.until(c.now.Add(9*time.Hour), charge.Offline, "1")
			if got := c.verdict(townA); got != tt.want {
				t.Errorf("township: got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestATownshipIsLostInTime(t *testing.T) {
	tests := []struct {
		name string
		do   func(*court)
		want string
	}{
		{"usable for 60 minutes of 24 hours", func(c *court) {
			c.until(midnight.Add(time.Hour), charge.Idle, "1")
			c.until(midnight.Add(23*time.Hour), charge.Faulted, "1")
		}, "effective usable"},
		{"usable for 55 minutes of 24 hours", func(c *court) {
			c.until(midnight.Add(55*time.Minute), charge.Idle, "1")
			c.until(midnight.Add(23*time.Hour), charge.Faulted, "1")
		}, "failing all_fault"},
		{"told 2 for 30 hours", func(c *court) {
			c.until(midnight.Add(30*time.Hour), charge.Occupied, "1")
		}, "failing all_blocked"},
		{"the modem lives and the status is 40 hours old", func(c *court) {
			c.message(statusOf("1", "1", charge.Idle))
			c.passAlive(40*time.Hour, "1")
		}, "failing all_lapsed"},
		{"the platform away for 25 hours, just now", func(c *court) {
			c.until(midnight.Add(2*time.Hour), charge.Idle, "1")
			c.now = c.now.Add(25 * time.Hour)
			c.message()
		}, "effective usable not observed"},
		{"an operator's broker away for 30 hours", func(c *court) {
			c.until(midnight.Add(2*time.Hour), charge.Idle, "1")
			c.dir.excuses = []charge.Excuse{{Kind: charge.GroupSilence, Operator: "OP", From: c.now, Until: c.now.Add(72 * time.Hour)}}
			c.pass(30 * time.Hour)
		}, "effective usable not observed"},
		{"a bill unpaid", func(c *court) {
			c.until(midnight.Add(2*time.Hour), charge.Idle, "1")
			c.pass(30 * time.Hour)
		}, "failing all_silent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := &fakeDirectory{minimum: time.Hour}
			dir.add("1", townA, 1)
			c := newCourt(0, dir)
			c.now = midnight
			tt.do(c)
			got := c.verdict(townA)
			if c.towns[townA].shown.NotObserved {
				got += " not observed"
			}
			if got != tt.want {
				t.Errorf("township: got %q, want %q", got, tt.want)
			}
		})
	}
}

// Whatever comes and wherever it stops, each day of each pile is closed once provisionally and once for
// good, in order, and the sums are those of its connectors.
func TestEachDayIsClosedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir := province()
		j := newJudge(0, partitionOf, dir)
		now := midnight.Add(time.Duration(rapid.IntRange(0, 24).Draw(t, "hour")) * time.Hour)
		var first time.Time
		type closing struct {
			pile   charge.PileID
			day    time.Time
			frozen bool
		}
		times, usable, summed := map[closing]int{}, map[time.Time]int64{}, map[time.Time]int64{}
		count := func(s step) {
			for _, d := range s.pileDays {
				times[closing{d.Pile, d.Day, d.Frozen}]++
			}
			for _, d := range s.connectorDays {
				if d.Frozen {
					usable[d.Day] += int64(d.Minutes.Usable)
				}
			}
			for _, d := range s.sums {
				if d.Frozen {
					summed[d.Day] += d.Usable
				}
			}
		}
		for seq := range uint64(rapid.IntRange(1, 150).Draw(t, "messages")) {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{10, 600, 7200, 90_000}).Draw(t, "pass s")) * time.Second)
			b := journal.Batch{Seq: seq + 1, At: now}
			if seq == 0 {
				first = dayOf(now)
			}
			if rapid.Bool().Draw(t, "told") {
				r := statusOf(fmt.Sprint(rapid.IntRange(1, 3).Draw(t, "pile")), "1", rapid.SampledFrom([]charge.Status{charge.Idle, charge.Faulted}).Draw(t, "status"))
				r.At, r.Received = now, now
				b.Readings = []charge.Reading{r}
			}
			j.take(&b, nobody)
			count(j.collect(false))
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				data, err := j.save(0)
				if err != nil {
					t.Fatal(err)
				}
				j = newJudge(0, partitionOf, dir)
				if _, err := j.restore(data); err != nil {
					t.Fatal(err)
				}
			}
		}
		for end := range 3 { // the last passes end
			b := journal.Batch{Seq: 1000 + uint64(end), At: now.Add(time.Duration(end+1) * passTakes)}
			j.take(&b, nobody)
			count(j.collect(false))
		}
		last := j.state.Now()
		for day := first; !day.AddDate(0, 0, 1).Add(passTakes).After(last); day = day.AddDate(0, 0, 1) {
			frozen := 0
			if !day.AddDate(0, 0, 1).Add(72*time.Hour + passTakes).After(last) {
				frozen = 1
			}
			for _, name := range []string{"1", "2", "3"} {
				if n := times[closing{pileNamed(name), day, false}]; n != 1 {
					t.Fatalf("%s of pile %s was closed provisionally %d times, want once", day.In(charge.Zone), name, n)
				}
				if n := times[closing{pileNamed(name), day, true}]; frozen == 1 && n != 1 {
					t.Fatalf("%s of pile %s was closed for good %d times, want once", day.In(charge.Zone), name, n)
				}
			}
			if frozen == 1 && usable[day] != summed[day] {
				t.Fatalf("%s: the sums have %d usable minutes, the connectors %d", day.In(charge.Zone), summed[day], usable[day])
			}
		}
	})
}
