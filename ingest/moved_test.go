package ingest

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
)

// moves lets station 1 be in another township from a day on.
func (d *fakeDirectory) moves(day time.Time, to charge.DivisionCode) {
	d.change("1", func(s *charge.Station) {
		before := s.Terms()
		s.Township = to
		after := s.Terms()
		after.From = day
		s.Past = &charge.StationPast{Terms: []charge.StationTerms{before, after}}
	})
}

// restarted is the court after its process was killed, right behind a checkpoint.
func (c *court) restarted(t testing.TB) *court {
	t.Helper()
	data, err := c.save(0)
	if err != nil {
		t.Fatal(err)
	}
	again := newCourt(c.partition, c.dir)
	again.now, again.judge.seq, again.seq = c.now, c.judge.seq, c.seq
	if _, err := again.restore(data); err != nil {
		t.Fatal(err)
	}
	return again
}

// moved collects, and gives what is handed over as the log has it.
func (c *court) moved(t testing.TB) []byte {
	t.Helper()
	s := c.collect(false)
	if len(s.moved) == 0 {
		return nil
	}
	var data bytes.Buffer
	if err := gob.NewEncoder(&data).Encode(s.moved); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

func (c *court) receive(data []byte) {
	c.seq++
	c.take(&journal.Batch{Seq: c.seq, At: c.now, Moved: data}, c.seen)
}

func TestAStationMovedToATownshipOfAnotherPartitionTakesItsMinutesAlong(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := &fakeDirectory{minimum: time.Hour}
		dir.add("1", townA, 1)
		dir.add("3", townC, 1)
		from, to := newCourt(0, dir), newCourt(1, dir)
		from.now, to.now = midnight, midnight
		day := midnight.AddDate(0, 0, 1)
		status := rapid.SampledFrom([]charge.Status{charge.Idle, charge.Faulted}).Draw(rt, "status")
		from.until(midnight.Add(10*time.Hour), status, "1")
		to.until(midnight.Add(10*time.Hour), charge.Faulted, "3")
		dir.moves(day, townC)
		from.until(day.Add(-5*time.Minute), status, "1")
		to.until(day.Add(-5*time.Minute), charge.Faulted, "3")
		if data := from.moved(t); data != nil {
			rt.Fatal("handed over before the day")
		}
		to.coverageEvents()
		// Either partition may come to the day first, its judge may be killed at any point, and what it wrote may be there twice.
		early := rapid.IntRange(0, 6).Draw(rt, "messages before the state comes")
		to.until(day.Add(time.Duration(early)*5*time.Minute), charge.Idle, "1")
		if rapid.Bool().Draw(rt, "old owner is killed") {
			from = from.restarted(t)
		}
		from.now = day.Add(time.Second)
		from.message()
		data := from.moved(t)
		if data == nil {
			rt.Fatal("nothing is handed over on the day")
		}
		if rapid.Bool().Draw(rt, "new owner is killed before") {
			to.collect(false)
			to = to.restarted(t)
		}
		to.receive(data)
		if rapid.Bool().Draw(rt, "new owner is killed after") {
			to.collect(false)
			to = to.restarted(t)
		}
		if rapid.Bool().Draw(rt, "twice") {
			to.until(to.now.Add(10*time.Minute), charge.Idle, "1")
			to.receive(data)
		}
		var piles []string
		to.changed.pileDays = nil
		for hour := range 100 {
			to.until(day.Add(time.Duration(hour+1)*time.Hour), charge.Idle, "1")
			more, _, _ := to.closed()
			piles = append(piles, more...)
			if hour == 0 && status == charge.Idle && to.towns[townC].verdict.State != charge.Effective {
				rt.Fatalf("its new township within the first hour: got %s, want effective by the hours before", to.towns[townC].verdict.State)
			}
		}
		yesterday := "1440 usable 0 excused 0 out 0 unknown"
		if status == charge.Faulted {
			yesterday = "0 usable 0 excused 1440 out 0 unknown"
		}
		want := []string{fmt.Sprintf("06-02 OP:1 frozen=true %s", yesterday), "06-03 OP:1 frozen=true 1440 usable 0 excused 0 out 0 unknown"}
		var got []string
		for _, p := range piles {
			if bytes.Contains([]byte(p), []byte("OP:1 frozen=true")) {
				got = append(got, p)
			}
		}
		if len(got) < 1 || got[0] != want[0] || status == charge.Idle && len(got) > 1 && got[1] != want[1] {
			rt.Fatalf("days for good (-want +got):\n%s", gocmp.Diff(want, got))
		}
	})
}

func TestWhatIsHandedOverGoesThroughTheLog(t *testing.T) {
	t.Parallel()
	cfg := journal.Embedded(t.TempDir())
	cfg.Partitions = 2
	log, err := journal.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := &fakeDirectory{minimum: time.Hour}
	dir.add("1", townA, 1)
	c := newCourt(0, dir)
	c.now = midnight
	c.until(midnight.Add(time.Hour), charge.Idle, "1")
	dir.moves(midnight, townC)
	c.message()
	s := c.collect(false)
	o := &owner{judge: c.judge, log: log}
	if err := o.handOver(t.Context(), &s); err != nil || len(s.moved) != 0 {
		t.Fatalf("hand over: %v, %d left", err, len(s.moved))
	}
	errFound := errors.New("found")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	to := newCourt(1, dir)
	to.now = c.now
	to.message()
	err = log.FollowPartition(ctx, 1, 0, func(b journal.Batch, _ uint64) error {
		to.take(&b, nobody)
		if b.Moved != nil {
			return errFound
		}
		return nil
	})
	if !errors.Is(err, errFound) {
		t.Fatalf("follow partition 1: %v", err)
	}
	if g := to.piles[pileNamed("1")].guns[0]; !g.Told || g.Status != charge.Idle || to.unread != nil {
		t.Errorf("in its new partition: got %+v, %v", g.Connector, to.unread)
	}
}
