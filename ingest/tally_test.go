package ingest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/quality"
	"pilewatch/internal/registry"
)

// sums is a qualityStore in memory, that fails at times.
type sums struct {
	all   map[registry.QualityKey]*registry.Quality
	found []registry.FaultAsOffline
	told  map[registry.FaultKey]*registry.FaultCount
	away  bool
}

func (s *sums) SaveFaultsAsOffline(_ context.Context, found []registry.FaultAsOffline) error {
	s.found = append(s.found, found...)
	return nil
}

func (s *sums) AddFaults(_ context.Context, counts map[registry.FaultKey]*registry.FaultCount) error {
	if s.away {
		return errors.New("away")
	}
	s.told = counts
	return nil
}
func (s *sums) AddPileRejects(context.Context, map[registry.PileReject]int64) error { return nil }

func (s *sums) AddQuality(_ context.Context, counts map[registry.QualityKey]*registry.Quality) error {
	if s.away {
		return errors.New("away")
	}
	for key, q := range counts {
		if s.all[key] == nil {
			s.all[key] = &registry.Quality{}
		}
		s.all[key].Add(q)
	}
	return nil
}

// forgetful is a qualityStore that refuses all but the counts of messages while it is away.
type forgetful struct {
	*sums
	away    bool
	rejects map[registry.PileReject]int64
}

func (f *forgetful) AddFaults(ctx context.Context, counts map[registry.FaultKey]*registry.FaultCount) error {
	if f.away {
		return errors.New("away")
	}
	return f.sums.AddFaults(ctx, counts)
}

func (f *forgetful) AddPileRejects(_ context.Context, counts map[registry.PileReject]int64) error {
	if f.away {
		return errors.New("away")
	}
	f.rejects = counts
	return nil
}

func TestWhatCouldNotBeSavedIsSavedThoughNothingMoreIsTold(t *testing.T) {
	s := &forgetful{sums: &sums{all: map[registry.QualityKey]*registry.Quality{}}, away: true}
	y := tallyInto(s.sums)
	y.store = s
	y.add([]journal.Delivery{{Batch: journal.Batch{Seq: 1, Readings: []charge.Reading{{
		Pile: charge.PileID{Operator: "OP1", Equipment: "P"}, Connector: "1", Kind: charge.KindStatus, Has: charge.HasStatus,
		Status: charge.Faulted, Fault: charge.OtherFault, Received: time.Now(), At: time.Now(),
	}}}}})
	y.piles[registry.PileReject{Reason: "bad_json"}] = 3
	if err := y.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.away = false
	if err := y.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.told) != 1 || s.rejects[registry.PileReject{Reason: "bad_json"}] != 3 {
		t.Errorf("saved later: got %d faults and %v, want what was refused before", len(s.told), s.rejects)
	}
}

func tallyInto(s *sums) *tally {
	return newTally(s, func(time.Time) time.Duration { return 72 * time.Hour }, func(id charge.OperatorID) bool { return id == "OP1" }, func(charge.PileID) bool { return true }, slog.New(slog.DiscardHandler))
}

func TestMessagesAreCountedByOperatorAndMonth(t *testing.T) {
	march := time.Date(2025, 3, 31, 23, 59, 59, 0, charge.Zone)
	april := march.Add(time.Second)
	reading := func(received time.Time, late time.Duration, seq uint64) charge.Reading {
		return charge.Reading{
			Pile: charge.PileID{Operator: "OP1", Equipment: "P"}, Connector: "1", Kind: charge.KindStatus, Has: charge.HasSeq, Seq: seq,
			Received: received, At: received.Add(-late),
		}
	}
	wrong := reading(april, 0, 9)
	wrong.Has |= charge.ClockWrong
	stranger := reading(april, 0, 1)
	stranger.Pile.Operator = "ODD"
	opened := reading(april, 0, 1)
	opened.Kind = charge.KindConnected
	s := &sums{all: map[registry.QualityKey]*registry.Quality{}, away: true}
	y := tallyInto(s)
	y.skipTo(4)
	y.add([]journal.Delivery{
		{Batch: journal.Batch{Seq: 4, Readings: []charge.Reading{reading(march, 0, 100)}}}, // was counted before
		{Batch: journal.Batch{Seq: 5, Readings: []charge.Reading{reading(march, 0, 1), reading(march, 73*time.Hour, 2), reading(march, -2*time.Minute, 5)}}},
		{Batch: journal.Batch{Seq: 6, Readings: []charge.Reading{reading(april, 0, 4), reading(april, 0, 4), wrong, stranger, opened}}},
	})
	y.addReject(&journal.Reject{At: april, Operator: "OP1", Reason: "bad_json", Count: 3})
	if err := y.save(t.Context()); err == nil {
		t.Fatal("the store is away, and nobody says so")
	}
	y.addReject(&journal.Reject{At: april, Operator: "OP1", Reason: "bad_json"})
	s.away = false
	for range 2 { // what is saved is not saved again
		if err := y.save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first := func(at time.Time) time.Time { return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, charge.Zone) }
	want := map[registry.QualityKey]*registry.Quality{
		{Month: first(march), Operator: "OP1"}: {Messages: 3, Late: 1, Numbered: 3, Missing: 2, Delays: [10]int64{2: 1, 4: 1, 9: 1}},
		{Month: first(april), Operator: "OP1"}: {Messages: 3, OffClock: 1, Numbered: 3, Missing: 2, Twice: 1, Delays: [10]int64{4: 2}, Rejects: map[string]int64{"bad_json": 4}},
		{Month: first(april), Operator: ""}:    {Messages: 1, Numbered: 1, Delays: [10]int64{4: 1}},
	}
	if diff := cmp.Diff(want, s.all); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// What is counted as it comes is what quality.Deliveries finds in the whole, as long as nothing comes more
// than 64 numbers late.
func TestGapsAreCountedAsInTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
		var readings []charge.Reading
		next := uint64(rapid.IntRange(100, 1000).Draw(t, "first"))
		for range rapid.IntRange(1, 60).Draw(t, "messages") {
			seq := next
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				next += uint64(rapid.IntRange(2, 30).Draw(t, "gap"))
				seq = next - 1
			case 1:
				seq = next - uint64(rapid.IntRange(1, 40).Draw(t, "back"))
			case 2:
				next += 50_000
				seq = next - 1
			default:
				next++
			}
			readings = append(readings, charge.Reading{
				Pile: charge.PileID{Operator: "OP1", Equipment: "P"}, Connector: "1", Kind: charge.KindStatus, Has: charge.HasSeq, Seq: seq, At: at, Received: at,
			})
		}
		s := &sums{all: map[registry.QualityKey]*registry.Quality{}}
		y := tallyInto(s)
		for i := range readings {
			y.add([]journal.Delivery{{Batch: journal.Batch{Seq: uint64(i + 1), Readings: readings[i : i+1]}}})
		}
		if err := y.save(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := quality.Deliveries(readings, time.Hour)
		for _, got := range s.all {
			if int(got.Numbered) != want.Numbered || int(got.Missing) != want.Missing || int(got.Twice) != want.Twice || int(got.Restarts) != want.Restarts {
				t.Fatalf("got %+v, want %+v", got, want)
			}
		}
	})
}

func TestFaultsToldAsOfflineAreFound(t *testing.T) {
	at := time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
	reading := func(pile string, minute int, status charge.Status) charge.Reading {
		return charge.Reading{
			Pile: charge.PileID{Operator: "OP1", Equipment: pile}, Connector: "1", Kind: charge.KindStatus, Has: charge.HasStatus, Status: status,
			At: at.Add(time.Duration(minute) * time.Minute), Received: at,
		}
	}
	var readings []charge.Reading
	for n := range 4 {
		for _, pile := range []string{"LIES", "HONEST", "LATER", "CALM"} {
			alarm := reading(pile, 60*n, 0)
			alarm.Kind, alarm.Has, alarm.Level = charge.KindAlarm, 0, "warning"
			if pile == "CALM" {
				alarm.Level = "notice"
			}
			down := charge.Offline
			if pile == "HONEST" || pile == "LATER" && n == 3 {
				down = charge.Faulted
			}
			readings = append(readings, alarm, reading(pile, 60*n+5, down), reading(pile, 60*n+6, down), reading(pile, 60*n+40, charge.Idle))
		}
	}
	s := &sums{all: map[registry.QualityKey]*registry.Quality{}}
	y := tallyInto(s)
	for i := range readings {
		y.add([]journal.Delivery{{Batch: journal.Batch{Seq: uint64(i + 1), Readings: readings[i : i+1]}}})
		if err := y.save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	last := map[string]int{}
	for _, f := range s.found {
		last[f.Key.Pile.Equipment] = f.Times
	}
	if want := map[string]int{"LIES": 4, "LATER": 0}; !cmp.Equal(last, want) {
		t.Errorf("got %v, want %v: LATER is taken back", last, want)
	}
	var lies []charge.Reading
	for _, r := range readings {
		if r.Pile.Equipment == "LIES" {
			lies = append(lies, r)
		}
	}
	if whole := quality.Contradictions(lies, quality.DefaultLimits()); len(whole) != 1 || whole[0].What != quality.FaultAsOffline || whole[0].Messages != 4 {
		t.Errorf("in the whole: got %+v, want the same 4 times", whole)
	}
}
