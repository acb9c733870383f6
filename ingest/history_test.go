package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/series"
)

// answers is a store that gives these answers, one a write, and then takes everything.
type answers struct {
	give    []error
	asked   []time.Time
	written []charge.Reading
	setup   []error
}

func (a *answers) Write(_ context.Context, batch []charge.Reading) error {
	a.asked = append(a.asked, time.Now())
	if len(a.give) > 0 {
		err := a.give[0]
		a.give = a.give[1:]
		return err
	}
	a.written = append(a.written, batch...)
	return nil
}

func (a *answers) Ping(context.Context) error { return nil }

func (a *answers) Setup(context.Context) error {
	a.asked = append(a.asked, time.Now())
	if len(a.setup) > 0 {
		err := a.setup[0]
		a.setup = a.setup[1:]
		return err
	}
	return nil
}

// noRejects is for tests in which nothing is refused.
func noRejects(journal.Reject) error { return errors.New("a reject that nobody expected") }

func newTestHistory(store PointWriter, log *slog.Logger) *history {
	return newHistory(Defaults(), store, noRejects, log, prometheus.NewRegistry())
}

// at gives a reading a time of day by the device's clock.
func at(clock string, r charge.Reading) charge.Reading {
	day, err := time.Parse("15:04", clock)
	if err != nil {
		panic(err)
	}
	r.At = begin.Add(time.Duration(day.Hour())*time.Hour + time.Duration(day.Minute())*time.Minute)
	return r
}

func TestWorthKeeping(t *testing.T) {
	var (
		idle     = statusOf("1", "1", charge.Idle)
		fault    = faultOf("1", "1", "flood")
		charging = powerOf("1", "1", 60)
		measured = charge.Reading{Pile: pileNamed("1"), Connector: "1", Kind: charge.KindTelemetry, Has: charge.HasTemp}
	)
	kind := func(k charge.Kind) charge.Reading {
		return charge.Reading{Pile: pileNamed("1"), Connector: "1", Kind: k}
	}
	tests := []struct {
		name string
		log  []charge.Reading
		want []bool
	}{
		{"every telemetry, order and alarm", []charge.Reading{at("10:00", charging), at("10:00", charging), at("10:01", kind(charge.KindOrder)), at("10:02", kind(charge.KindAlarm))}, []bool{true, true, true, true}},
		{"heartbeats and presence never", []charge.Reading{kind(charge.KindHeartbeat), kind(charge.KindConnected), kind(charge.KindDisconnected), kind(charge.KindHeard)}, []bool{false, false, false, false}},
		{"every status but idle", []charge.Reading{at("10:00", fault), at("10:01", fault), at("10:02", statusOf("1", "1", charge.Offline))}, []bool{true, true, true}},
		{"the first idle, not the second", []charge.Reading{at("10:00", idle), at("10:10", idle)}, []bool{true, false}},
		{"the first idle of each hour", []charge.Reading{at("10:50", idle), at("10:59", idle), at("11:00", idle), at("11:01", idle)}, []bool{true, false, true, false}},
		{"the first idle after another status", []charge.Reading{at("10:00", idle), at("10:01", fault), at("10:02", idle), at("10:03", idle)}, []bool{true, true, true, false}},
		{"the first idle after a session told by telemetry", []charge.Reading{at("10:00", idle), at("10:01", charging), at("10:30", idle), at("10:31", idle)}, []bool{true, true, true, false}},
		{"telemetry without a status does not interrupt idle", []charge.Reading{at("10:00", idle), at("10:01", measured), at("10:02", idle)}, []bool{true, true, false}},
		{"each connector by itself", []charge.Reading{at("10:00", idle), at("10:01", statusOf("1", "2", charge.Idle)), at("10:02", statusOf("2", "1", charge.Idle))}, []bool{true, true, true}},
		{"delivered again", []charge.Reading{at("10:00", idle), at("10:00", idle)}, []bool{true, false}},
		{"a late idle of the hour before is kept, and the present hour's not written again", []charge.Reading{at("11:00", idle), at("10:30", idle), at("11:10", idle)}, []bool{true, true, false}},
		{"the idle after a late fault", []charge.Reading{at("10:00", idle), at("10:30", idle), at("10:20", fault), at("10:40", idle)}, []bool{true, false, true, true}},
		{"a status at our clock, never", []charge.Reading{at("10:00", idle), func() charge.Reading {
			r := fault
			r.Has |= charge.ClockWrong
			return r
		}()}, []bool{true, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newTestHistory(nil, slog.New(slog.DiscardHandler))
			var got []bool
			for _, r := range tt.log {
				kept := h.worthKeeping([]journal.Delivery{{Batch: journal.Batch{Readings: []charge.Reading{r}}}})
				got = append(got, len(kept) == 1)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if left, want := testutil.ToFloat64(h.metrics.left), float64(len(tt.want)-count(tt.want)); left != want {
				t.Errorf("left out: counted %v, want %v", left, want)
			}
		})
	}
}

func count(all []bool) (n int) {
	for _, one := range all {
		if one {
			n++
		}
	}
	return n
}

func TestWhatIsRememberedOfIdleIsBounded(t *testing.T) {
	key := func(n int) charge.ConnectorKey {
		return charge.ConnectorKey{Pile: pileNamed(fmt.Sprint(n)), Connector: "1"}
	}
	s := newResting(100)
	for hour := range 20 {
		for n := range 100 {
			if !s.rest(key(n), begin.Add(time.Duration(hour)*time.Hour)) {
				t.Fatalf("idle of connector %d in hour %d: not written", n, hour)
			}
		}
	}
	if got := len(s.hour); got != 100 {
		t.Errorf("remembered of 100 connectors after 20 hours: got %d, want 100", got)
	}
	now := begin.Add(20 * time.Hour)
	for n := range 1000 {
		s.rest(key(n), now)
		if got := len(s.hour); got > 100 {
			t.Fatalf("remembered after %d connectors: got %d, want 100 at most", n, got)
		}
	}
	if !s.rest(key(1), now) || s.rest(key(1), now) {
		t.Error("an idle that was forgotten: want it to be written again, once")
	}
}

// batchOf is one telemetry of each of so many connectors.
func batchOf(readings int) (batch []charge.Reading) {
	for i := range readings {
		batch = append(batch, powerOf("1", fmt.Sprint(i), 60))
	}
	return batch
}

func TestWriteTriesUntilTheStoreTakesOrRefuses(t *testing.T) {
	away := errors.New("connection refused")
	type counted struct{ Written, Rejected, Retries, Away float64 }
	one := &series.RejectedError{Points: []int{1}, Reasons: []string{"no 1741"}, Dropped: 1}
	tests := []struct {
		name    string
		answers []error
		want    counted
		lines   []int    // of being away, of going on, of refusing
		rejects []string // connector, how many, detail
	}{
		{"takes all", nil, counted{Written: 3}, []int{0, 0, 0}, nil},
		{"comes back", []error{away, away, away}, counted{Written: 3, Retries: 3}, []int{1, 1, 0}, nil},
		{"asks for patience", []error{&series.RetryError{After: time.Minute, Err: away}}, counted{Written: 3, Retries: 1}, []int{1, 1, 0}, nil},
		{"refuses one", []error{one}, counted{Written: 2, Rejected: 1}, []int{0, 0, 1}, []string{"1 1 no 1741"}},
		{"refuses two and names none", []error{&series.RejectedError{Reasons: []string{"no"}, Dropped: 2}}, counted{Written: 1, Rejected: 2}, []int{0, 0, 1}, []string{" 2 no"}},
		{"refuses three and names two", []error{&series.RejectedError{Points: []int{2, 0}, Reasons: []string{"a", "b", "c"}, Dropped: 3}}, counted{Rejected: 3}, []int{0, 0, 1}, []string{" 1 c", "0 1 b", "2 1 a"}},
		{"comes back and refuses one", []error{away, fmt.Errorf("write: %w", one)}, counted{Written: 2, Rejected: 1, Retries: 1}, []int{1, 1, 1}, []string{"1 1 no 1741"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, said := &answers{give: slices.Clone(tt.answers)}, &lines{}
				h := newTestHistory(store, slog.New(slog.NewTextHandler(said, nil)))
				var rejects []string
				h.reject = func(r journal.Reject) error {
					rejects = append(rejects, fmt.Sprintf("%s %d %s", r.Conn, r.Count, r.Detail))
					if r.Reason != "history_refused" || r.Conn != "" && (r.Operator != "OP" || r.Pile != "1" || r.Kind != "telemetry" || !strings.Contains(r.Sample, "power_kw=60")) {
						t.Errorf("reject: got %+v, want it to say who was refused what", r)
					}
					return nil
				}
				if !h.write(t.Context(), batchOf(3)) {
					t.Error("write: got false, want true")
				}
				m := h.metrics
				got := counted{testutil.ToFloat64(m.written), testutil.ToFloat64(m.rejected), testutil.ToFloat64(m.retries), testutil.ToFloat64(m.away)}
				if got != tt.want {
					t.Errorf("counted: got %+v, want %+v", got, tt.want)
				}
				told := []int{said.count("does not take"), said.count("takes readings again"), said.count("refuses readings")}
				if diff := cmp.Diff(tt.lines, told); diff != "" {
					t.Errorf("log lines (-want +got):\n%s", diff)
				}
				slices.Sort(rejects)
				if diff := cmp.Diff(tt.rejects, rejects); diff != "" {
					t.Errorf("rejects (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A store that refuses everything, as after a field has changed its type, floods neither the rejects
// nor the program's log.
func TestRejectsOfABatchAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := &lines{}
		h := newTestHistory(nil, slog.New(slog.NewTextHandler(said, nil)))
		records, counted := 0, 0
		h.reject = func(r journal.Reject) error {
			records++
			counted += r.Count
			return nil
		}
		batch := batchOf(5000)
		all := &series.RejectedError{Dropped: len(batch)}
		for i := range batch {
			all.Points, all.Reasons = append(all.Points, i), append(all.Reasons, fmt.Sprintf("conflict at %d", i))
		}
		for range 10 {
			h.tell(batch, all)
			time.Sleep(time.Second)
		}
		if records > 10*(recordsAtMost+1) || counted != 50_000 {
			t.Errorf("rejects: got %d records of %d readings, want %d at most, of 50000", records, counted, 10*(recordsAtMost+1))
		}
		if n := said.count("refuses readings"); n != 1 {
			t.Errorf("log lines in 10 s: got %d, want 1", n)
		}
		time.Sleep(time.Minute)
		h.tell(batch, all)
		if n := said.count("readings=50000 "); n != 1 {
			t.Errorf("log line after a minute: got %d that count what went before, want 1", n)
		}
	})
}

func TestWriteBacksOffToTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &answers{give: slices.Repeat([]error{errors.New("away")}, 40)}
		newTestHistory(store, slog.New(slog.DiscardHandler)).write(t.Context(), batchOf(1))
		wait := firstRetry
		for i := 1; i < len(store.asked); i++ {
			if pause := store.asked[i].Sub(store.asked[i-1]); pause < wait/2 || pause > wait*3/2 {
				t.Errorf("pause %d: got %s, want %s give or take a half", i, pause, wait)
			}
			wait = min(2*wait, 10*time.Second)
		}
	})
}

// moody is a store that is away until a time.
type moody struct {
	until time.Time
	after time.Duration // it asks for

	mu      sync.Mutex
	asked   []time.Time
	written int
}

func (m *moody) Write(_ context.Context, batch []charge.Reading) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, time.Now())
	if time.Now().Before(m.until) {
		return &series.RetryError{After: m.after, Err: errors.New("away")}
	}
	m.written += len(batch)
	return nil
}

func TestAllWritersGoOnOnceOneCan(t *testing.T) {
	for _, tt := range []struct {
		name  string
		away  time.Duration
		after time.Duration
		most  time.Duration // from its return until all is written
	}{
		{"away for an hour", time.Hour, 0, 5 * time.Second},
		{"away for a moment", time.Second, 0, time.Second},
		{"asks for 90 s", time.Second, 90 * time.Second, 90 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const writers = 8 // of which the soonest comes back at once
				store, said := &moody{until: time.Now().Add(tt.away), after: tt.after}, &lines{}
				h := newTestHistory(store, slog.New(slog.NewTextHandler(said, nil)))
				var wg sync.WaitGroup
				for range writers {
					wg.Go(func() { h.write(t.Context(), batchOf(10)) })
				}
				wg.Wait()
				if took := time.Since(store.until); store.written != 10*writers || took > tt.most {
					t.Errorf("written: got %d, %s after the store was back, want %d within %s", store.written, took, 10*writers, tt.most)
				}
				if tt.after > 0 {
					for _, asked := range store.asked[writers:] {
						if early := asked.Sub(store.asked[0]); early < tt.after {
							t.Errorf("asked after %s, want the %s that it asked for", early, tt.after)
						}
					}
				}
				if away, again := said.count("does not take"), said.count("takes readings again"); away != 1 || again != 1 {
					t.Errorf("log lines: got %d of being away and %d of going on, want one of each", away, again)
				}
			})
		})
	}
}

func TestWriteEndsWithItsContext(t *testing.T) {
	for name, answer := range map[string]error{"away": errors.New("away"), "asks for an hour": &series.RetryError{After: time.Hour, Err: errors.New("away")}} {
		synctest.Test(t, func(t *testing.T) {
			store := &answers{give: slices.Repeat([]error{answer}, 1000)}
			ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
			defer cancel()
			h, begun := newTestHistory(store, slog.New(slog.DiscardHandler)), time.Now()
			if h.write(ctx, batchOf(1)) {
				t.Errorf("%s: write: got true, want false at the end", name)
			}
			if got := time.Since(begun); got != 25*time.Second {
				t.Errorf("%s: ended after %s, want 25 s", name, got)
			}
		})
	}
}

func TestSetupIsTriedUntilTheStoreIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, said := &answers{setup: slices.Repeat([]error{errors.New("away")}, 10)}, &lines{}
		h := newTestHistory(store, slog.New(slog.NewTextHandler(said, nil)))
		if !h.prepare(t.Context()) {
			t.Error("prepare: got false, want true")
		}
		if got := len(store.asked); got != 11 {
			t.Errorf("asked %d times, want 11", got)
		}
		if away, again := said.count("cannot be set up"), said.count("takes readings"); away != 1 || again != 1 {
			t.Errorf("log lines: got %d of being away and %d of going on, want one of each", away, again)
		}
		if got := testutil.ToFloat64(h.metrics.away); got != 0 {
			t.Errorf("away: got %v, want 0", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		store := &answers{setup: slices.Repeat([]error{errors.New("away")}, 1000)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if newTestHistory(store, slog.New(slog.DiscardHandler)).prepare(ctx) {
			t.Error("prepare of a store that never comes: got true, want false")
		}
	})
}

// gate is a store that does not answer until it is open.
type gate struct {
	open  atomic.Bool
	asked atomic.Int64
	taken chan charge.Reading
}

func (g *gate) Write(_ context.Context, batch []charge.Reading) error {
	g.asked.Add(1)
	if !g.open.Load() {
		return errors.New("away")
	}
	for _, r := range batch {
		g.taken <- r
	}
	return nil
}

func TestWhatWasNotWrittenStaysUnconfirmed(t *testing.T) {
	p := newLogOnly(t, 64<<20)
	store := &gate{taken: make(chan charge.Reading, 10)}
	following := func() func() error {
		h := newTestHistory(store, slog.New(slog.DiscardHandler))
		return run(t, func(ctx context.Context) error { return h.run(ctx, p.log) })
	}
	stop := following()
	p.write(t, powerOf("1", "1", 60))
	until(t, "the store was asked", func() bool { return store.asked.Load() > 0 })
	if err := stop(); err != nil {
		t.Errorf("run: got %v, want no error at the end", err)
	}
	look, err := p.log.Peek(t.Context(), historyConsumer)
	if err != nil {
		t.Fatal(err)
	}
	_, last, _, err := p.log.Span(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := look.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b.Confirmed >= last {
		t.Errorf("confirmed up to %d of %d, want the reading not to be", b.Confirmed, last)
	}
}

// stuck takes one batch and then hangs until it is let go.
type stuck struct {
	asked atomic.Int64
	let   chan struct{}
}

func (s *stuck) Write(ctx context.Context, _ []charge.Reading) error {
	if s.asked.Add(1) == 1 {
		return nil
	}
	select {
	case <-s.let:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The gauges say how much waits and for how long, and go on doing so while nothing moves. As many
// writes are under way as there are writers, and no more is taken.
func TestBacklogIsToldWhileTheStoreHangs(t *testing.T) {
	p := newLogOnly(t, 64<<20)
	store := &stuck{let: make(chan struct{})}
	h := newTestHistory(store, slog.New(slog.DiscardHandler))
	h.size, h.flush = 1, time.Millisecond
	run(t, func(ctx context.Context) error { return h.run(ctx, p.log) })
	p.write(t, powerOf("1", "1", 60))
	until(t, "one is written", func() bool { return store.asked.Load() == 1 })
	for range 9 {
		p.write(t, batchOf(3)...)
	}
	begun := time.Now()
	until(t, "all writers are busy", func() bool { return store.asked.Load() == 1+int64(h.writers) })
	peek, err := p.log.Peek(t.Context(), historyConsumer)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "27 readings wait", func() bool { // the log tells its consumers a moment after it has stored
		h.look(t.Context(), peek)
		return testutil.ToFloat64(h.metrics.readings) == 27
	})
	first := testutil.ToFloat64(h.metrics.behind)
	until(t, "the backlog has aged", func() bool {
		h.look(t.Context(), peek)
		return testutil.ToFloat64(h.metrics.behind) > first
	})
	if most := time.Since(begun).Seconds() + patience.Seconds(); first < 0 || first > most {
		t.Errorf("backlog: got %v s, want what has passed since the oldest was stored", first)
	}
	if got := store.asked.Load(); got != 1+int64(h.writers) {
		t.Errorf("writes under way: got %d, want %d", got-1, h.writers)
	}
	close(store.let)
	until(t, "nothing waits", func() bool {
		h.look(t.Context(), peek)
		return testutil.ToFloat64(h.metrics.batches) == 0 && testutil.ToFloat64(h.metrics.behind) == 0
	})
}

func TestHistoryConfirmsWhatItHasWritten(t *testing.T) {
	p := newLogOnly(t, 64<<20)
	store := &gate{taken: make(chan charge.Reading, 10)}
	h := newTestHistory(store, slog.New(slog.DiscardHandler))
	stop := run(t, func(ctx context.Context) error { return h.run(ctx, p.log) })
	p.write(t, powerOf("1", "1", 60))
	until(t, "the store was asked", func() bool { return store.asked.Load() > 1 })
	store.open.Store(true)
	if got := receive(t, store.taken, "the history"); got.PowerKW != 60 {
		t.Errorf("written: got %v kW, want 60", got.PowerKW)
	}
	_, last, _, err := p.log.Span(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	look, err := p.log.Peek(t.Context(), historyConsumer)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it is confirmed", func() bool {
		b, err := look.Backlog(t.Context())
		return err == nil && b.Confirmed >= last
	})
	if err := stop(); err != nil {
		t.Errorf("run: %v", err)
	}
}
