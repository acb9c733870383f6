package ingest

import (
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pilewatch/internal/charge"
	"pilewatch/internal/series"
	"pilewatch/internal/testprog"
)

// tear leaves half an entry at the end of each write-ahead log, as a kill within a write does.
func tear(t *testing.T, influx *testprog.Server) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(influx.Dir, "wal", "evcs", "raw", "*", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("write-ahead logs: got %v, %v", logs, err)
	}
	for _, path := range logs {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		half := append(binary.BigEndian.AppendUint32([]byte{1}, 30_000), make([]byte, 16<<10)...) // a write, its length, some of it
		if _, err := f.Write(half); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// InfluxDB itself loses here what it had acknowledged after the first kill; it is written again.
func TestWhatAKilledInfluxForgetsIsWrittenAgain(t *testing.T) {
	influx := testprog.InfluxServer(t)
	x, err := series.NewInflux(series.InfluxConfig{URL: "http://" + influx.Addr, Bucket: "evcs/raw"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	p := newLogOnly(t, 64<<20)
	p.addRegistry(t, atOnce)
	in := p.ingest(t, x)
	stop := run(t, in.Run)
	stored := func(want int) {
		t.Helper()
		n := 0
		for deadline := time.Now().Add(4 * patience); n != want; time.Sleep(50 * time.Millisecond) { // the store is away for longer by itself
			if time.Now().After(deadline) {
				t.Fatalf("readings in the store: got %d, want %d", n, want)
			}
			rows, err := x.History(t.Context(), series.Query{Pile: pileNamed("1"), From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)})
			if n = len(rows); err != nil {
				n = -1
			}
		}
		until(t, "they are confirmed", func() bool {
			look, err := p.log.Peek(t.Context(), historyConsumer)
			if err != nil {
				return false
			}
			b, err := look.Backlog(t.Context())
			return err == nil && b.Batches == 0
		})
	}
	p.write(t, powerOf("1", "1", 60))
	stored(1)
	influx.Kill()
	tear(t, influx)
	influx.Start(t)
	p.write(t, powerOf("1", "1", 61))
	stored(2)
	influx.Kill()
	influx.Start(t)
	stored(2)
	if got := testutil.ToFloat64(in.history.metrics.rewound); got < 1 {
		t.Errorf("times rewound: got %v, want one or two", got)
	}
	if err := stop(); err != nil {
		t.Errorf("run: %v", err)
	}
	// What was written again lies behind the hole, too. This kill comes while nobody looks.
	influx.Kill()
	influx.Start(t)
	run(t, p.ingest(t, x).Run)
	stored(2)
}

func TestWhatIsLongStoredIsNotWrittenAgain(t *testing.T) {
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a := &again{known: knownRun{Run: "1", After: 7}}
	for n, step := range []struct {
		minute    int
		stored    int64
		confirmed uint64
		want      uint64
	}{
		{0, 0, 100, 7},
		{1, 10_000, 200, 7}, // no mark: too near to the first
		{5, 200_000, 300, 7},
		{11, 300_000, 400, 7}, // as many, too soon
		{12, 400_000, 500, 100},
		{60, 499_999, 600, 100}, // so long, too few
		{61, 500_000, 700, 300},
	} {
		now := mark{confirmed: step.confirmed, stored: step.stored, at: begun.Add(time.Duration(step.minute) * time.Minute)}
		before := a.known.After
		if safer := a.note(now, step.stored); a.known.After != step.want || safer != (before != step.want) {
			t.Errorf("step %d: safe up to %d (%t), want %d", n, a.known.After, safer, step.want)
		}
	}
}

// mumbling is a store that does not tell since when it runs.
type mumbling struct{ gate }

func (*mumbling) Started(context.Context) (string, error) { return "", os.ErrPermission }

func TestAStoreThatDoesNotTellItsStartIsWrittenToAllTheSame(t *testing.T) {
	p := newLogOnly(t, 64<<20)
	store := &mumbling{gate{taken: make(chan charge.Reading, 10)}}
	store.open.Store(true)
	log := &lines{}
	h := newTestHistory(store, slog.New(slog.DiscardHandler))
	h.again = &again{store: store, slog: slog.New(slog.NewTextHandler(log, nil))}
	run(t, func(ctx context.Context) error { return h.run(ctx, p.log) })
	p.write(t, powerOf("1", "1", 60))
	receive(t, store.taken, "the history")
	if log.count("does not tell since when it runs") != 1 {
		t.Error("nothing is said of it")
	}
}
