package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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

// holds notes when batches were held.
type holds []time.Time

func (h *holds) Hold([]journal.Delivery) error {
	*h = append(*h, time.Now())
	return nil
}

func newTestHistory(store PointWriter, log *slog.Logger) *history {
	return newHistory(Defaults(), store, log, prometheus.NewRegistry())
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

func TestWhatIsRememberedOfIdleGrowsWithConnectorsOnly(t *testing.T) {
	h := newTestHistory(nil, slog.New(slog.DiscardHandler))
	for hour := range 100 {
		for gun := range 3 {
			r := statusOf("1", fmt.Sprint(gun), charge.Idle)
			r.At = begin.Add(time.Duration(hour) * time.Hour)
			h.says(&r)
		}
	}
	if got := len(h.idle); got != 3 {
		t.Errorf("remembered of 3 connectors: got %d, want 3", got)
	}
}

// delivery is a batch of one telemetry a connector.
func delivery(readings int) []journal.Delivery {
	var b journal.Batch
	for i := range readings {
		b.Readings = append(b.Readings, powerOf("1", fmt.Sprint(i), 60))
	}
	return []journal.Delivery{{Batch: b}}
}

func TestWriteTriesUntilTheStoreTakesOrRefuses(t *testing.T) {
	away := errors.New("connection refused")
	type counted struct{ Written, Rejected, Retries, Away float64 }
	tests := []struct {
		name    string
		answers []error
		want    counted
		lines   []int // of being away, of going on, of refusing
	}{
		{"takes all", nil, counted{Written: 3}, []int{0, 0, 0}},
		{"comes back", []error{away, away, away}, counted{Written: 3, Retries: 3}, []int{1, 1, 0}},
		{"asks for patience", []error{&series.RetryError{After: time.Minute, Err: away}}, counted{Written: 3, Retries: 1}, []int{1, 1, 0}},
		{"refuses one", []error{&series.RejectedError{Points: []int{1}, Reasons: []string{"no"}, Dropped: 1}}, counted{Written: 2, Rejected: 1}, []int{0, 0, 1}},
		{"refuses two and names none", []error{&series.RejectedError{Reasons: []string{"no"}, Dropped: 2}}, counted{Written: 1, Rejected: 2}, []int{0, 0, 1}},
		{"comes back and refuses one", []error{away, fmt.Errorf("write: %w", &series.RejectedError{Points: []int{1}, Reasons: []string{"no"}, Dropped: 1})}, counted{Written: 2, Rejected: 1, Retries: 1}, []int{1, 1, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, said := &answers{give: slices.Clone(tt.answers)}, &lines{}
				h := newTestHistory(store, slog.New(slog.NewTextHandler(said, nil)))
				if err := h.write(t.Context(), &holds{}, delivery(3)); err != nil {
					t.Fatal(err)
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
			})
		})
	}
}

func TestWriteBacksOffToTenSecondsAndHoldsItsBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &answers{give: slices.Repeat([]error{errors.New("away")}, 40)}
		held := &holds{time.Now()}
		h := newTestHistory(store, slog.New(slog.DiscardHandler))
		if err := h.write(t.Context(), held, delivery(1)); err != nil {
			t.Fatal(err)
		}
		wait := firstRetry
		for i := 1; i < len(store.asked); i++ {
			if pause := store.asked[i].Sub(store.asked[i-1]); pause < wait/2 || pause > wait*3/2 {
				t.Errorf("pause %d: got %s, want %s give or take a half", i, pause, wait)
			}
			wait = min(2*wait, 10*time.Second)
		}
		*held = append(*held, time.Now())
		for i := 1; i < len(*held); i++ {
			if apart := (*held)[i].Sub((*held)[i-1]); apart > 40*time.Second {
				t.Errorf("held %s apart, want 40 s at most: the log delivers again after a minute", apart)
			}
		}
	})
}

func TestWriteWaitsAsLongAsTheStoreAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &answers{give: []error{&series.RetryError{After: 90 * time.Second, Err: errors.New("too many requests")}}}
		held := &holds{}
		h := newTestHistory(store, slog.New(slog.DiscardHandler))
		if err := h.write(t.Context(), held, delivery(1)); err != nil {
			t.Fatal(err)
		}
		if got := store.asked[1].Sub(store.asked[0]); got != 90*time.Second {
			t.Errorf("waited %s, want 90 s", got)
		}
		if want := int(90 * time.Second / holdEvery); len(*held) != want {
			t.Errorf("held %d times in 90 s, want %d", len(*held), want)
		}
	})
}

func TestWriteEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &answers{give: slices.Repeat([]error{errors.New("away")}, 1000)}
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		h, begun := newTestHistory(store, slog.New(slog.DiscardHandler)), time.Now()
		if err := h.write(ctx, &holds{}, delivery(1)); err != nil {
			t.Errorf("write: got %v, want no error at the end", err)
		}
		if got := time.Since(begun); got != 25*time.Second {
			t.Errorf("ended after %s, want 25 s", got)
		}
	})
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
	_, confirmed, err := look.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if confirmed >= last {
		t.Errorf("confirmed up to %d of %d, want the reading not to be", confirmed, last)
	}
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
		_, confirmed, err := look.Backlog(t.Context())
		return err == nil && confirmed >= last
	})
	if err := stop(); err != nil {
		t.Errorf("run: %v", err)
	}
}
