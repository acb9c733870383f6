package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

// qualityStore is where counts of messages are added up; *registry.Registry is one.
type qualityStore interface {
	AddQuality(ctx context.Context, counts map[registry.QualityKey]*registry.Quality) error
	AddFaults(ctx context.Context, counts map[registry.FaultKey]*registry.FaultCount) error
	AddPileRejects(ctx context.Context, counts map[registry.PileReject]int64) error
	SaveFaultsAsOffline(ctx context.Context, found []registry.FaultAsOffline) error
}

// A tally counts what comes of messages, by operator and month. Its counts are added to what is stored
// every half minute: a kill loses those of the last one, and what the log hands out again after it is
// counted again. Nothing is judged by them.
type tally struct {
	store qualityStore
	late  func(at time.Time) time.Duration // the lateness limit
	known func(charge.OperatorID) bool
	cases func(charge.PileID) bool // may have one
	slog  *slog.Logger

	mu     sync.Mutex
	counts map[registry.QualityKey]*registry.Quality
	piles  map[registry.PileReject]int64
	month  time.Time // the last that was counted in, to before next
	next   time.Time
	after  uint64 // what the log has up to here was counted before it was wound back

	seqs      seqs
	disguises disguises
	faults    faultCounts
}

const (
	tallyEvery    = 30 * time.Second
	tallyWithin   = 3 * time.Second // at the end
	rejectsAtMost = 10_000          // that are looked at again after a pause
	rejectsTaken  = "quality.rejects"
)

func newTally(store qualityStore, late func(time.Time) time.Duration, known func(charge.OperatorID) bool, cases func(charge.PileID) bool, log *slog.Logger) *tally {
	return &tally{
		store: store, late: late, known: known, cases: cases, slog: log, counts: make(map[registry.QualityKey]*registry.Quality),
		piles: make(map[registry.PileReject]int64), seqs: newSeqs(restingAtMost), disguises: newDisguises(), faults: newFaultCounts(),
	}
}

// of is under mu.
func (t *tally) of(operator charge.OperatorID, at time.Time) *registry.Quality {
	if !t.known(operator) {
		operator = "" // made-up names must not fill the table
	}
	if at.Before(t.month) || !at.Before(t.next) {
		t.month = monthOf(at)
		t.next = t.month.AddDate(0, 1, 0)
	}
	key := registry.QualityKey{Month: t.month, Operator: operator}
	q := t.counts[key]
	if q == nil {
		q = &registry.Quality{}
		t.counts[key] = q
	}
	return q
}

// monthOf gives 00:00 of the month's first day, Asia/Shanghai.
func monthOf(at time.Time) time.Time {
	local := at.In(charge.Zone)
	return time.Date(local.Year(), local.Month(), 1, 0, 0, 0, 0, charge.Zone)
}

// skipTo leaves out what the log hands out again up to a sequence.
func (t *tally) skipTo(seq uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.after = max(t.after, seq)
}

// add counts messages as they come from the log.
func (t *tally) add(deliveries []journal.Delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range deliveries {
		if d.Seq <= t.after {
			continue
		}
		for i := range d.Readings {
			if r := &d.Readings[i]; sentByDevice(r.Kind) {
				t.count(r)
			}
		}
	}
}

// sentByDevice leaves out what the gateway says of a connection.
func sentByDevice(k charge.Kind) bool {
	switch k {
	case charge.KindStatus, charge.KindTelemetry, charge.KindOrder, charge.KindAlarm, charge.KindHeartbeat:
		return true
	}
	return false
}

func (t *tally) count(r *charge.Reading) {
	t.disguises.see(r)
	q := t.of(r.Pile.Operator, r.Received)
	q.Messages++
	if t.known(r.Pile.Operator) {
		t.faults.see(r)
	}
	if r.Tells(charge.ClockWrong) {
		q.OffClock++
	} else {
		delay, n := r.Received.Sub(r.At), 0
		for n < len(registry.DelayBounds) && delay > registry.DelayBounds[n] {
			n++
		}
		q.Delays[n]++
		if delay > time.Hour && delay > t.late(r.Received) { // no policy's limit is under an hour
			q.Late++
		}
	}
	if !r.Tells(charge.HasSeq) {
		return
	}
	q.Numbered++
	switch missing, what := t.seqs.see(charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}, r.Seq); what {
	case seqTwice:
		q.Twice++
	case seqRestarts:
		q.Restarts++
	case seqComes:
		q.Missing += missing
	}
}

// addReject counts messages that could not be used.
func (t *tally) addReject(r *journal.Reject) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.of(charge.OperatorID(r.Operator), r.At)
	if q.Rejects == nil {
		q.Rejects = make(map[string]int64)
	}
	q.Rejects[r.Reason] += int64(max(r.Count, 1))
	if pile := (charge.PileID{Operator: charge.OperatorID(r.Operator), Equipment: r.Pile}); t.cases(pile) {
		t.piles[registry.PileReject{Day: dayOf(r.At), Pile: pile, Reason: r.Reason}] += int64(max(r.Count, 1))
	}
}

// run saves until ctx ends.
func (t *tally) run(ctx context.Context) error {
	failing := false
	for going := true; going; {
		going = wait(ctx, tallyEvery)
		saving, cancel := ctx, context.CancelFunc(func() {})
		if !going {
			saving, cancel = context.WithTimeout(context.WithoutCancel(ctx), tallyWithin)
		}
		err := t.save(saving)
		cancel()
		if err != nil && !failing && going {
			t.slog.Warn("counts of messages are not saved, they are kept until they can be", "err", err)
		}
		failing = err != nil
	}
	return nil
}

func (t *tally) save(ctx context.Context) error {
	t.mu.Lock()
	counts, piles, found, faults := t.counts, t.piles, t.disguises.take(), t.faults.take()
	t.counts, t.piles = make(map[registry.QualityKey]*registry.Quality), make(map[registry.PileReject]int64)
	t.mu.Unlock()
	if len(found) > 0 {
		if err := t.store.SaveFaultsAsOffline(ctx, found); err != nil {
			t.slog.Warn("faults told as offline are not kept, the next one of each will be", "connectors", len(found), "err", err)
		}
	}
	if len(faults) > 0 {
		if err := t.store.AddFaults(ctx, faults); err != nil {
			t.slog.Warn("counts of faults are not saved, they are kept until they can be", "err", err)
			t.mu.Lock()
			t.faults.putBack(faults)
			t.mu.Unlock()
		}
	}
	if len(piles) > 0 {
		if err := t.store.AddPileRejects(ctx, piles); err != nil {
			t.slog.Warn("counts of a pile's rejects are not saved, they are kept until they can be", "err", err)
			t.mu.Lock()
			for of, n := range piles {
				t.piles[of] += n
			}
			t.mu.Unlock()
		}
	}
	if len(counts) == 0 {
		return nil
	}
	err := t.store.AddQuality(ctx, counts)
	if err == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, q := range counts {
		if later := t.counts[key]; later != nil {
			q.Add(later)
		}
		t.counts[key] = q
	}
	return err
}

// followRejects counts rejects until ctx ends. One process does so at a time, and remembers up to when;
// those that two gateways tell within a moment of that may be missed or counted twice.
func (t *tally) followRejects(ctx context.Context, log *journal.Log) error {
	var taken time.Time
	text, err := log.Checkpoint(ctx, rejectsTaken)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	if text != nil {
		if err := json.Unmarshal(text, &taken); err != nil {
			return fmt.Errorf("read checkpoint %s: %w", rejectsTaken, err)
		}
	}
	since, saved, failing := taken, time.Now(), false
	err = log.FollowRejects(ctx, rejectsAtMost, func(r journal.Reject) {
		if !r.At.After(since) {
			return
		}
		t.addReject(&r)
		if r.At.After(taken) {
			taken = r.At
		}
		if time.Since(saved) < tallyEvery {
			return
		}
		saved = time.Now()
		err := saveTaken(ctx, log, taken)
		if err != nil && !failing {
			t.slog.Warn("how far rejects are counted is not saved", "err", err)
		}
		failing = err != nil
	})
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), tallyWithin)
	defer cancel()
	if taken.After(since) {
		if err := saveTaken(ending, log, taken); err != nil {
			t.slog.Warn("how far rejects are counted is not saved", "err", err)
		}
	}
	return unlessEnded(ctx, err)
}

func saveTaken(ctx context.Context, log *journal.Log, taken time.Time) error {
	text, err := json.Marshal(taken)
	if err != nil {
		return err
	}
	return log.SaveCheckpoint(ctx, rejectsTaken, text)
}

// seqs know of each connector the highest number that came, and which of the 64 before it did. Of a
// connector they keep 24 bytes, as resting does.
type seqs struct {
	seed maphash.Seed
	most int
	of   map[uint64]seqState
}

type seqState struct{ highest, came uint64 }

func newSeqs(most int) seqs { return seqs{maphash.MakeSeed(), most, make(map[uint64]seqState)} }

type seqKind int

const (
	seqComes seqKind = iota
	seqTwice
	seqRestarts
)

// restartsBelow is as in quality.Deliveries: a number so far away is a count that began anew, not a gap.
const restartsBelow = 10_000

// see takes a number. missing is how many are missing more (or, where one fills a gap, fewer: -1). One
// that comes more than 64 behind the highest is taken for a repeat.
func (s *seqs) see(key charge.ConnectorKey, seq uint64) (missing int64, what seqKind) {
	hash := maphash.Comparable(s.seed, key)
	state, known := s.of[hash]
	if !known && len(s.of) >= s.most {
		clear(s.of)
	}
	switch behind := state.highest - seq; {
	case !known:
		state = seqState{seq, ^uint64(0)}
	case seq > state.highest && seq-state.highest <= restartsBelow:
		step := seq - state.highest
		missing = int64(step - 1) //nolint:gosec // under restartsBelow
		state = seqState{seq, state.came<<step | 1<<(step-1)}
	case seq > state.highest || behind >= restartsBelow:
		state, what = seqState{seq, ^uint64(0)}, seqRestarts
	case behind > 0 && behind <= 64 && state.came&(1<<(behind-1)) == 0:
		missing = -1
		state.came |= 1 << (behind - 1)
	case behind > 0 && seq <= 1:
		state, what = seqState{seq, ^uint64(0)}, seqRestarts
	default:
		what = seqTwice
	}
	s.of[hash] = state
	return missing, what
}
