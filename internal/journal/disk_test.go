package journal

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pilewatch/internal/charge"
	"pilewatch/internal/testprog"
)

func TestDiskIsLow(t *testing.T) {
	const gib = 1 << 30
	tests := []struct {
		name        string
		free, total uint64
		before      bool
		want        bool
	}{
		{"a large disk with room", 100 * gib, 1000 * gib, false, false},
		{"a large disk below 5 %", 49 * gib, 1000 * gib, false, true},
		{"a small disk with 2 GiB", 2 * gib, 20 * gib, false, false},
		{"a small disk with less", 2*gib - 1, 20 * gib, false, true},
		{"it was low, and has but little more", 2*gib + 1, 20 * gib, true, true},
		{"it was low, and has a tenth more", 2*gib + 2*gib/10, 20 * gib, true, false},
	}
	for _, tt := range tests {
		d := disk{keepFree: keepFree}
		if got := d.lowNow(tt.free, tt.total, tt.before); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	free, total, err := diskOf(t.TempDir())()
	if err != nil || free == 0 || total < free {
		t.Errorf("this machine's own disk: %d of %d bytes, %v", free, total, err)
	}
}

// lines is a log that tests read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(of string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), of)
}

// A flood appends readings as fast as they are taken, and counts.
type flood struct {
	log    *Log
	writer *Writer
	said   *lines
	sent   atomic.Int64
	stored atomic.Int64
	stop   func() // sending
}

// newFlood writes into a log in dir, whose disk set may change.
func newFlood(t *testing.T, dir string, set func(*Writer)) *flood {
	t.Helper()
	f := &flood{said: &lines{}}
	says := slog.New(slog.NewTextHandler(f.said, nil))
	cfg := Embedded(dir)
	var err error
	if f.log, err = Open(t.Context(), cfg, says); err != nil {
		t.Fatal(err)
	}
	f.writer = f.log.NewWriter(says, prometheus.NewRegistry())
	f.writer.disk.every = 10 * time.Millisecond
	set(f.writer)
	writing, end := context.WithCancel(context.Background())
	sending, stop := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { _ = f.writer.Run(writing) })
	ended.Go(func() {
		id := charge.PileID{Operator: "OP", Equipment: "P1"}
		for {
			now := time.Now().UTC()
			r := charge.Reading{
				Pile: id, Connector: "1", Kind: charge.KindAlarm, At: now, Received: now, Text: strings.Repeat("x", 200),
				Has: charge.HasSeq, Seq: uint64(f.sent.Load()),
			}
			if f.writer.Append(sending, []Placed{{Reading: r}}, func() { f.stored.Add(1) }) != nil {
				return
			}
			f.sent.Add(1)
			select {
			case <-time.After(50 * time.Microsecond): // some thousands a second
			case <-sending.Done():
				return
			}
		}
	})
	f.stop = stop
	t.Cleanup(func() {
		stop()
		end()
		ended.Wait()
		if err := f.log.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *flood) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			f.said.mu.Lock()
			defer f.said.mu.Unlock()
			t.Fatalf("waited in vain until %s; %d sent, %d stored; the log says:\n%.2000s", what, f.sent.Load(), f.stored.Load(), f.said.text.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// more waits until n more are stored.
func (f *flood) more(t *testing.T, n int64) {
	t.Helper()
	from := f.stored.Load()
	f.until(t, "more is stored", func() bool { return f.stored.Load() >= from+n })
}

// all waits until what was sent is told to be stored, and looks whether it is.
func (f *flood) all(t *testing.T) {
	t.Helper()
	f.stop()
	f.until(t, "all that was sent is stored", func() bool { return f.stored.Load() == f.sent.Load() })
	seen := make(map[uint64]bool)
	enough := errors.New("read up to the end")
	err := f.log.FollowPartition(t.Context(), 0, 0, func(b Batch, pending uint64) error {
		for i := range b.Readings {
			seen[b.Readings[i].Seq] = true
		}
		if pending == 0 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if int64(len(seen)) != f.sent.Load() {
		t.Errorf("%d readings are in the log, want the %d that were told to be stored", len(seen), f.sent.Load())
	}
}

func TestNothingIsStoredWhileTheDiskIsLow(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(10 << 30)
	f := newFlood(t, t.TempDir(), func(w *Writer) {
		w.disk.free = func() (uint64, uint64, error) { return free.Load(), 20 << 30, nil }
		w.Bound(1 << 20)
	})
	const rounds = 3
	for range rounds {
		f.more(t, 100)
		free.Store(1 << 30)
		f.until(t, "senders wait", func() bool { return f.log.diskLow.Load() && f.waiting() })
		before := f.stored.Load()
		if err := f.log.PublishReject(Reject{Operator: "OP"}); err != ErrDiskLow { //nolint:errorlint // it is this one itself
			t.Errorf("PublishReject: got %v, want ErrDiskLow", err)
		}
		if got := testutil.ToFloat64(f.writer.metrics.low); got != 1 {
			t.Errorf("gateway_log_disk_low: got %v, want 1", got)
		}
		time.Sleep(100 * time.Millisecond) // in which nothing must happen
		if now := f.stored.Load(); now != before {
			t.Fatalf("%d readings are stored while the disk is low", now-before)
		}
		free.Store(10 << 30)
	}
	f.more(t, 100)
	f.all(t)
	for line, want := range map[string]int{"log's disk is low": rounds, "log's disk has room again": rounds, "refuses": 0} {
		if got := f.said.count(line); got != want {
			t.Errorf("%q is said %d times, want %d", line, got, want)
		}
	}
}

// waiting tells whether senders wait: nothing was taken for 50 ms.
func (f *flood) waiting() bool {
	before := f.sent.Load()
	time.Sleep(50 * time.Millisecond)
	return f.sent.Load() == before
}

// Somebody else fills the disk: what is acknowledged is stored, what is not is stored later, and the
// log never fails.
func TestADiskThatRunsLow(t *testing.T) {
	t.Parallel()
	dir := testprog.SmallDisk(t)
	f := newFlood(t, dir, func(w *Writer) { w.KeepFree(16 << 20); w.Bound(1 << 20) })
	f.more(t, 1000)
	filler := testprog.FillDisk(t, dir, 12<<20)
	f.until(t, "senders wait", func() bool { return f.log.diskLow.Load() && f.waiting() })
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	f.more(t, 1000)
	f.all(t)
	if got := f.said.count("refuses"); got != 0 {
		t.Errorf("the log refuses %d times, want it to be spared", got)
	}
}

// The disk is full before the writer has noticed: JetStream keeps its first error, so the log is
// started again by itself once there is room.
func TestADiskThatIsFull(t *testing.T) {
	t.Parallel()
	dir := testprog.SmallDisk(t)
	var full atomic.Bool
	f := newFlood(t, dir, func(w *Writer) {
		w.Bound(1 << 20)
		look := w.disk.free
		w.disk.keepFree = 16 << 20
		w.disk.free = func() (uint64, uint64, error) {
			if !full.Load() {
				return 1 << 30, 1 << 30, nil // it does not notice
			}
			return look()
		}
	})
	f.more(t, 1000)
	filler := testprog.FillDisk(t, dir, 0)
	f.until(t, "the log has failed", func() bool { return f.log.broken.Load() && f.waiting() })
	full.Store(true)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	f.more(t, 1000)
	f.all(t)
}
