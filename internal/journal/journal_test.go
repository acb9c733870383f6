package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sync/semaphore"

	"pilewatch/internal/charge"
)

const deadline = 20 * time.Second // for what takes milliseconds on a machine at rest

var discard = slog.New(slog.DiscardHandler)

// openLog opens the log in dir with 4 partitions, and closes it with the test unless the test does.
func openLog(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(t.Context(), cfg, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLog(t, l) })
	return l
}

// closeLog closes a log once.
func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if l.conn.IsClosed() {
		return
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// within is the test's context with an end, so that what never comes fails the test by name.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// until waits for a condition.
func until(t testing.TB, what string, met func() bool) {
	t.Helper()
	ctx := within(t)
	ask := time.NewTicker(2 * time.Millisecond)
	defer ask.Stop()
	for !met() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", deadline, what)
		case <-ask.C:
		}
	}
}

// A writing is a Writer that runs.
type writing struct {
	*Writer
	end func()
}

func startWriter(t testing.TB, l *Log) *writing {
	t.Helper()
	return startRoomyWriter(t, l, waitingBytes)
}

// startRoomyWriter starts a writer that holds so many bytes at most.
func startRoomyWriter(t testing.TB, l *Log, room int64) *writing {
	t.Helper()
	w := &writing{Writer: l.NewWriter(discard, prometheus.NewRegistry())}
	w.room = semaphore.NewWeighted(room)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.end = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(deadline):
			t.Errorf("Run does not end within %s", deadline)
		}
	})
	t.Cleanup(w.end)
	return w
}

// store appends readings to a partition, each by itself, and waits until all are on disk.
func (w *writing) store(t testing.TB, partition int, seqs ...uint64) {
	t.Helper()
	var told sync.WaitGroup
	for _, seq := range seqs {
		told.Add(1)
		if err := w.Append(within(t), placed(partition, seq), told.Done); err != nil {
			t.Fatal(err)
		}
	}
	all := make(chan struct{})
	go func() { told.Wait(); close(all) }()
	select {
	case <-all:
	case <-within(t).Done():
		t.Fatalf("%d readings are not stored within %s", len(seqs), deadline)
	}
}

func placed(partition int, seqs ...uint64) []Placed {
	out := make([]Placed, len(seqs))
	for i, seq := range seqs {
		out[i] = Placed{Partition: partition, Reading: charging(fmt.Sprintf("P%d", partition), seq)}
	}
	return out
}

var errEnough = errors.New("enough")

// read gives the seqs of a partition's readings from a sequence on, until n of them were read.
func read(t testing.TB, l *Log, partition int, from uint64, n int) []uint64 {
	t.Helper()
	var seqs []uint64
	ctx := within(t)
	err := l.FollowPartition(ctx, partition, from, func(b Batch, _ uint64) error {
		for _, r := range b.Readings {
			if want := fmt.Sprintf("P%d", partition); r.Pile.Equipment != want {
				t.Errorf("partition %d: got a reading of %s, want only %s", partition, r.Pile.Equipment, want)
			}
			seqs = append(seqs, r.Seq)
		}
		if len(seqs) >= n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("read partition %d: got %d readings and %v, want %d", partition, len(seqs), err, n)
	}
	return seqs
}

func span(t testing.TB, l *Log) (first, last, bytes uint64) {
	t.Helper()
	first, last, bytes, err := l.Span(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return first, last, bytes
}

func upTo(n uint64) []uint64 {
	out := make([]uint64, n)
	for i := range out {
		out[i] = uint64(i) + 1
	}
	return out
}

// Whoever is told "stored" can stop keeping it: another process that comes now reads it.
func TestStoredIsToldWhenAnotherCanReadIt(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	w := startWriter(t, l)
	for seq := uint64(1); seq <= 20; seq++ {
		stored := make(chan uint64, 1)
		if err := w.Append(within(t), placed(2, seq), func() {
			_, last, _, _ := l.Span(context.Background())
			stored <- last
		}); err != nil {
			t.Fatal(err)
		}
		var last uint64
		select {
		case last = <-stored:
		case <-within(t).Done():
			t.Fatal("stored is never called")
		}
		stream, err := l.js.Stream(within(t), readingsStream)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for s := uint64(1); s <= last && !found; s++ {
			m, err := stream.GetMsg(within(t), s)
			if err != nil {
				t.Fatal(err)
			}
			b, err := decodeBatch(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range b.Readings {
				found = found || r.Seq == seq
			}
		}
		if !found {
			t.Fatalf("reading %d: told stored, and not among the %d messages of the log", seq, last)
		}
	}
}

func TestPartitionsKeepTheirOwnOrder(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	w := startWriter(t, l)
	const each = 3000
	var told sync.WaitGroup
	var calls atomic.Int64
	for seq := uint64(1); seq <= each; seq++ {
		var all []Placed
		for p := range l.Partitions() {
			all = append(all, placed(p, seq)...)
		}
		told.Add(1)
		if err := w.Append(within(t), all, func() { calls.Add(1); told.Done() }); err != nil {
			t.Fatal(err)
		}
	}
	told.Wait()
	for p := range l.Partitions() {
		if diff := cmp.Diff(upTo(each), read(t, l, p, 0, each)); diff != "" {
			t.Errorf("partition %d (-want +got):\n%s", p, diff)
		}
	}
	if got := calls.Load(); got != each {
		t.Errorf("stored: got %d calls, want one for each of %d messages", got, each)
	}
	if got := testutil.ToFloat64(w.metrics.readings); got != each*float64(l.Partitions()) {
		t.Errorf("gateway_log_readings_total: got %v, want %v", got, each*l.Partitions())
	}
	if got := testutil.ToFloat64(w.metrics.waiting); got != 0 {
		t.Errorf("gateway_log_waiting_bytes: got %v when all is stored, want 0", got)
	}
}

func TestOneTownshipHasOnePartition(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	seen := map[int]int{}
	for i := range 1129 {
		code := charge.DivisionCode(fmt.Sprintf("3717%05d", 21100+i))
		p := l.PartitionOf(code)
		if p < 0 || p >= l.Partitions() || p != l.PartitionOf(code) {
			t.Fatalf("PartitionOf(%s): got %d, want one of %d, always the same", code, p, l.Partitions())
		}
		seen[p]++
	}
	for p := range l.Partitions() {
		if seen[p] < 1129/l.Partitions()/2 {
			t.Errorf("partition %d: got %d of 1,129 townships, want near a %dth", p, seen[p], l.Partitions())
		}
	}
	// A log that is on disk was written with these.
	for code, want := range map[charge.DivisionCode]int{"371721101": 2, "370102001": 1, "": 1} {
		if got := l.PartitionOf(code); got != want {
			t.Errorf("PartitionOf(%q): got %d, want %d", code, got, want)
		}
	}
}

func TestEveryPartitionHasATickAtTheStart(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	before := time.Now().Add(-time.Second)
	startWriter(t, l)
	for p := range l.Partitions() {
		err := l.FollowPartition(within(t), p, 0, func(b Batch, _ uint64) error {
			if len(b.Readings) != 0 || b.At.Before(before) || b.At.After(time.Now().Add(time.Second)) {
				t.Errorf("partition %d: got %d readings at %s, want a tick of now", p, len(b.Readings), b.At)
			}
			return errEnough
		})
		if !errors.Is(err, errEnough) {
			t.Errorf("partition %d: got %v, want a tick", p, err)
		}
	}
}

func TestRunStoresWhatItHoldsAtTheEnd(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	w := startWriter(t, l)
	var told atomic.Int64
	const n = 700
	for seq := uint64(1); seq <= n; seq++ {
		if err := w.Append(within(t), placed(0, seq), func() { told.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	w.end()
	if got := told.Load(); got != n {
		t.Errorf("stored after Run has ended: got %d, want %d", got, n)
	}
	if diff := cmp.Diff(upTo(n), read(t, l, 0, 0, n)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestAppendEndsWithItsContext(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	w := l.NewWriter(discard, prometheus.NewRegistry()) // nobody runs it
	ctx, cancel := context.WithCancel(t.Context())
	if !w.room.TryAcquire(waitingBytes) {
		t.Fatal("no room in a new writer")
	}
	ended := make(chan error)
	go func() {
		ended <- w.Append(ctx, placed(0, 1), func() { t.Error("stored is told of what was not taken") })
	}()
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Append: got %v, want %v", err, context.Canceled)
		}
	case <-within(t).Done():
		t.Fatal("Append does not end with its context")
	}
}

// A log that is full holds senders back; when ingest has purged, all goes on by itself, in
// order, and nothing is lost.
func TestFullLogHoldsSendersBackAndLosesNothing(t *testing.T) {
	cfg := Embedded(t.TempDir())
	cfg.MaxBytes = 4 << 20
	l := openLog(t, cfg)
	const room = 6 << 20
	w := startRoomyWriter(t, l, room)

	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	var appended, stored atomic.Uint64
	sender := make(chan struct{})
	go func() { // sends until it is held back, and then on when there is room
		defer close(sender)
		for ctx.Err() == nil {
			seqs := make([]uint64, 100)
			for i := range seqs {
				seqs[i] = appended.Load() + uint64(i) + 1
			}
			if w.Append(ctx, placed(1, seqs...), func() { stored.Add(100) }) != nil {
				return
			}
			appended.Add(100)
		}
	}()
	until(t, "the log is full", func() bool { return testutil.ToFloat64(w.metrics.away) == 1 })
	until(t, "Append is held back", func() bool { return testutil.ToFloat64(w.metrics.waiting) > room-10_000 })
	if got := testutil.ToFloat64(w.metrics.waiting); got > room {
		t.Errorf("waiting: got %.0f bytes, want at most %d", got, room)
	}
	_, last, bytes := span(t, l)
	if bytes > 4<<20 {
		t.Errorf("full log: got %d bytes, want at most 4 MiB", bytes)
	}
	if stored.Load() == appended.Load() {
		t.Error("stored is told of everything, though the log is full")
	}

	// The consumer reads and purges what it has read, until it has seen all that senders were
	// told of, and then all that was appended.
	reader, stop := context.WithCancel(within(t))
	defer stop()
	var mu sync.Mutex
	var seqs []uint64
	following := make(chan error, 1)
	var read atomic.Uint64
	go func() {
		following <- l.FollowPartition(reader, 1, 0, func(b Batch, _ uint64) error {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range b.Readings {
				seqs = append(seqs, r.Seq)
			}
			read.Store(b.Seq)
			return nil
		})
	}()
	until(t, "the consumer has read the full log", func() bool { return read.Load() >= last-8 })
	begun := stored.Load()
	purged := func() {
		if err := l.Purge(within(t), read.Load(), 0); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "stored again after a purge", func() bool { purged(); return stored.Load() > begun+20_000 })
	cancel()
	<-sender
	until(t, "all that was appended is stored", func() bool { purged(); return stored.Load() == appended.Load() })
	until(t, "all that was stored is read", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return uint64(len(seqs)) >= appended.Load()
	})
	stop()
	if err := <-following; err != nil {
		t.Error(err)
	}
	for i, seq := range seqs {
		if seq != uint64(i)+1 {
			t.Fatalf("reading %d of %d in the log: got seq %d, want %d: order holds though the log was full", i, len(seqs), seq, i+1)
		}
	}
	if got := testutil.ToFloat64(w.metrics.away); got != 0 {
		t.Errorf("gateway_log_away: got %v, want 0", got)
	}
}

// Where nothing is purged, Run ends all the same, and nobody is told of what was not stored.
func TestRunEndsThoughTheLogIsFull(t *testing.T) {
	t.Parallel() // waits for the 3 s that a slow log is given
	cfg := Embedded(t.TempDir())
	cfg.MaxBytes = 64 << 10
	l := openLog(t, cfg)
	w := startWriter(t, l)
	var told atomic.Int64
	seqs := upTo(2000) // more than fits
	if err := w.Append(within(t), placed(0, seqs...), func() { told.Add(1) }); err != nil {
		t.Fatal(err)
	}
	until(t, "the log is full", func() bool { return testutil.ToFloat64(w.metrics.away) == 1 })
	w.end()
	if got := told.Load(); got != 0 {
		t.Errorf("stored: told %d times of what the log has refused", got)
	}
}

func TestSecondOpenIsRefusedByName(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Embedded(dir))
	second, err := Open(t.Context(), Embedded(dir), discard)
	if !errors.Is(err, ErrTaken) {
		t.Fatalf("second Open: got %v, %v, want ErrTaken", second, err)
	}
	for _, part := range []string{dir, fmt.Sprintf("process %d;", os.Getpid())} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("second Open: got %q, want it to name %q", err, part)
		}
	}
	if err := l.Ping(within(t)); err != nil {
		t.Errorf("the first log after that: %v", err)
	}
	closeLog(t, l)
	openLog(t, Embedded(dir))
}

func TestReopenGoesOnAtTheSameSequence(t *testing.T) {
	cfg := Embedded(t.TempDir())
	l := openLog(t, cfg)
	w := startWriter(t, l)
	w.store(t, 3, upTo(10)...)
	w.end()
	_, before, _ := span(t, l)
	closeLog(t, l)

	cfg.Partitions = 8 // the log keeps what it was made with
	l = openLog(t, cfg)
	if _, last, _ := span(t, l); last != before {
		t.Errorf("last sequence after reopening: got %d, want %d", last, before)
	}
	if got := l.Partitions(); got != 4 {
		t.Errorf("partitions after reopening with 8: got %d, want 4", got)
	}
	w = startWriter(t, l)
	w.store(t, 3, 11)
	if diff := cmp.Diff(upTo(11), read(t, l, 3, 0, 11)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint64{11}, read(t, l, 3, before+1, 1)); diff != "" {
		t.Errorf("log from %d on (-want +got):\n%s", before+1, diff)
	}
}

func TestMoreBytesAreGivenToALogThatIsThere(t *testing.T) {
	t.Parallel() // waits for the 3 s that a slow log is given
	cfg := Embedded(t.TempDir())
	cfg.MaxBytes = 64 << 10
	l := openLog(t, cfg)
	w := startWriter(t, l)
	if err := w.Append(within(t), placed(0, upTo(2000)...), func() {}); err != nil {
		t.Fatal(err)
	}
	until(t, "the log is full", func() bool { return testutil.ToFloat64(w.metrics.away) == 1 })
	w.end()
	closeLog(t, l)

	for _, size := range []int64{1 << 20, 96 << 10} { // more, and then less again
		cfg.MaxBytes = size
		l = openLog(t, cfg)
		stream, err := l.js.Stream(within(t), readingsStream)
		if err != nil {
			t.Fatal(err)
		}
		if got := stream.CachedInfo().Config.MaxBytes; got != size {
			t.Errorf("opened again with %d bytes: got a stream of %d", size, got)
		}
		if size == 1<<20 {
			w = startWriter(t, l)
			w.store(t, 0, 1, 2, 3)
			w.end()
		}
		closeLog(t, l)
	}
}

func TestAnotherProcessMeetsTheLogAtItsAddress(t *testing.T) {
	cfg := Embedded(t.TempDir())
	cfg.Listen = "127.0.0.1:0"
	l := openLog(t, cfg)
	startWriter(t, l).store(t, 1, 1, 2)
	elsewhere := Config{URL: l.server.ClientURL(), TokenFile: TokenFile(cfg.Dir)}
	other := openLog(t, elsewhere)
	if diff := cmp.Diff([]uint64{1, 2}, read(t, other, 1, 0, 2)); diff != "" {
		t.Errorf("read over the network (-want +got):\n%s", diff)
	}
	if got := other.Partitions(); got != l.Partitions() {
		t.Errorf("partitions: got %d, want %d", got, l.Partitions())
	}
	wrong := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(wrong, []byte("guess"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"a wrong token": wrong, "no token": ""} {
		elsewhere.TokenFile = file
		if stranger, err := Open(t.Context(), elsewhere, discard); err == nil {
			t.Errorf("with %s: got in", name)
			closeLog(t, stranger)
		}
	}
}

// A crash between making the file and writing the token must not open the log to everyone.
func TestEmptyTokenFileIsNoToken(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(TokenFile(dir), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Embedded(dir)
	cfg.Listen = "127.0.0.1:0"
	l := openLog(t, cfg)
	if stranger, err := Open(t.Context(), Config{URL: l.server.ClientURL()}, discard); err == nil {
		t.Error("without a token: got in")
		closeLog(t, stranger)
	}
	if token, err := os.ReadFile(TokenFile(dir)); err != nil || len(bytes.TrimSpace(token)) < 32 {
		t.Errorf("token file: got %q, %v, want a token", token, err)
	}
}

func TestDurableGivesAgainWhatWasNotConfirmed(t *testing.T) {
	cfg := Embedded(t.TempDir())
	l := openLog(t, cfg)
	w := startWriter(t, l)
	w.store(t, 0, 1, 2)
	w.store(t, 1, 3)
	first := take(t, l, "history", 3)
	if diff := cmp.Diff([]uint64{1, 2, 3}, seqsOf(first.got)); diff != "" {
		t.Fatalf("first delivery (-want +got):\n%s", diff)
	}
	var confirmed []Delivery
	for _, d := range first.got {
		if len(d.Readings) == 0 || d.Readings[0].Seq < 3 {
			confirmed = append(confirmed, d)
		}
	}
	if err := first.Confirm(confirmed); err != nil {
		t.Fatal(err)
	}
	until(t, "the confirmation has arrived", func() bool {
		b, err := first.Backlog(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return b.Batches == 1 && b.Readings == 1 && !b.Oldest.IsZero()
	})
	first.Stop()
	begun := time.Now()
	second := take(t, l, "history", 1)
	if took := time.Since(begun); took > confirmWithin/2 {
		t.Errorf("delivered again after %s, want at once: it was handed back", took)
	}
	if diff := cmp.Diff([]uint64{3}, seqsOf(second.got)); diff != "" {
		t.Errorf("handed back (-want +got):\n%s", diff)
	}
	second.Stop()
	w.end()
	closeLog(t, l)

	l = openLog(t, cfg)
	startWriter(t, l).store(t, 2, 4)
	reopened, err := l.durable(within(t), "history", 100*time.Millisecond) // what was handed back, a log that ended forgets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reopened.Stop)
	d := &taken{Durable: reopened}
	d.until(t, 2)
	got := map[uint64]bool{}
	for _, seq := range seqsOf(d.got) {
		got[seq] = true
	}
	if diff := cmp.Diff(map[uint64]bool{3: true, 4: true}, got); diff != "" {
		t.Errorf("delivered after reopening (-want +got):\n%s", diff)
	}
	if err := d.Confirm(d.got); err != nil {
		t.Fatal(err)
	}
	_, last, _ := span(t, l)
	until(t, "all is confirmed", func() bool {
		b, err := d.Backlog(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return b == Backlog{Confirmed: last}
	})
}

type taken struct {
	*Durable
	got []Delivery
}

func openDurable(t testing.TB, l *Log, name string) *Durable {
	t.Helper()
	d, err := l.Durable(within(t), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	return d
}

func take(t testing.TB, l *Log, name string, readings int) *taken {
	t.Helper()
	d := &taken{Durable: openDurable(t, l, name)}
	d.until(t, readings)
	return d
}

func (d *taken) until(t testing.TB, readings int) {
	t.Helper()
	ctx := within(t)
	for len(seqsOf(d.got)) < readings {
		got, err := d.Next(ctx, 10*time.Millisecond, readings)
		if err != nil || ctx.Err() != nil {
			t.Fatalf("Next: got %v after %d readings, want %d", err, len(seqsOf(d.got)), readings)
		}
		d.got = append(d.got, got...)
	}
}

func seqsOf(deliveries []Delivery) []uint64 {
	var seqs []uint64
	for _, d := range deliveries {
		for _, r := range d.Readings {
			seqs = append(seqs, r.Seq)
		}
	}
	return seqs
}

func TestDurablesDoNotTakeFromEachOther(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	startWriter(t, l).store(t, 0, upTo(5)...)
	for _, name := range []string{"history", "health"} {
		if diff := cmp.Diff(upTo(5), seqsOf(take(t, l, name, 5).got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	peek, err := l.Peek(within(t), "history")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := peek.Backlog(within(t)); err != nil || b.Batches == 0 {
		t.Errorf("Backlog of what is not confirmed: got %+v, %v, want some", b, err)
	}
}

func TestNextGivesNothingAfterTheEnd(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	d := openDurable(t, l, "history")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := d.Next(ctx, time.Second, 10); err != nil || len(got) != 0 {
		t.Errorf("Next after the end: got %d batches, %v, want none and no error", len(got), err)
	}
}

// A record that this program cannot read stops a consumer by name: skipping it would lose it.
func TestUnreadableRecordIsNamed(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	if _, err := l.js.Publish(within(t), readingsSubject(0), []byte{9, 9, 9}); err != nil {
		t.Fatal(err)
	}
	const want = "read message 1 of the log: record of version 9: this program reads version 3; upgrade it"
	err := l.FollowPartition(within(t), 0, 0, func(Batch, uint64) error { return nil })
	if err == nil || err.Error() != want {
		t.Errorf("FollowPartition: got %v, want %q", err, want)
	}
	d := openDurable(t, l, "history")
	if got, err := d.Next(within(t), time.Second, 1); err == nil || err.Error() != want {
		t.Errorf("Next: got %d batches, %v, want %q", len(got), err, want)
	}
	if b, err := d.Backlog(within(t)); err != nil || b.Batches != 1 {
		t.Errorf("Backlog: got %+v, %v, want the unreadable one still there", b, err)
	}
}

// What nobody can read does not stand in the way of what lies behind it.
func TestATornRecordIsSkipped(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	for _, torn := range [][]byte{nil, {0, 0, 0}, {liveVersion, 2, 3, 4}, []byte(`{"status":1}`)} {
		if _, err := l.js.Publish(within(t), readingsSubject(0), torn); err != nil {
			t.Fatal(err)
		}
	}
	startWriter(t, l).store(t, 0, 7)
	ctx, done := context.WithCancel(within(t))
	var followed []uint64
	err := l.FollowPartition(ctx, 0, 0, func(b Batch, _ uint64) error {
		if len(b.Readings) > 0 {
			followed = append(followed, b.Readings[0].Seq)
			done()
		}
		return nil
	})
	if diff := cmp.Diff([]uint64{7}, followed); err != nil || diff != "" {
		t.Errorf("FollowPartition: %v (-want +got):\n%s", err, diff)
	}
	d := take(t, l, "history", 1)
	var torn []uint64
	for _, v := range d.got {
		if v.Err != nil {
			torn = append(torn, v.Seq)
		}
	}
	if diff := cmp.Diff(upTo(4), torn); diff != "" {
		t.Errorf("told as unreadable (-want +got):\n%s", diff)
	}
	if err := d.Confirm(d.got); err != nil {
		t.Fatal(err)
	}
	until(t, "nothing is left", func() bool {
		b, err := d.Backlog(within(t))
		return err == nil && b.Batches == 0
	})
}

// A write may take longer than the log is patient: what is under way is not delivered again.
func TestWhatIsUnderWayIsHeld(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	held := make(chan *nats.Msg, 1000)
	sub, err := l.conn.ChanSubscribe("$JS.ACK."+readingsStream+".history.>", held)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	startWriter(t, l).store(t, 0, 1, 2, 3)
	d, err := l.durable(within(t), "history", 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	(&taken{Durable: d}).until(t, 3)
	before := len(d.pending)
	for words := 0; words < 3*holdsWithin*before; { // three times the log's patience
		select {
		case m := <-held:
			if string(m.Data) == "+WPI" {
				words++
			}
		case <-within(t).Done():
			t.Fatalf("not held: %d words of work in progress", words)
		}
	}
	info, err := d.consumer.Info(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.NumRedelivered != 0 || info.NumAckPending < before {
		t.Errorf("under way: got %d, and %d delivered again, want %d and none", info.NumAckPending, info.NumRedelivered, before)
	}
}

func TestFollowPartitionTellsWhatWaits(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	w := startWriter(t, l)
	for seq := uint64(1); seq <= 3; seq++ {
		w.store(t, 0, seq) // a message each
		w.store(t, 1, seq)
	}
	w.end()
	var waits []uint64
	err := l.FollowPartition(within(t), 0, 0, func(_ Batch, pending uint64) error {
		if waits = append(waits, pending); pending == 0 {
			return errEnough
		}
		return nil
	})
	if diff := cmp.Diff([]uint64{3, 2, 1, 0}, waits); !errors.Is(err, errEnough) || diff != "" { // a tick and three readings
		t.Errorf("pending: %v (-want +got):\n%s", err, diff)
	}
}

func TestPurgeKeepsWhatIsYoungOrNotRead(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	w := startWriter(t, l)
	var young time.Time // before the fourth reading, after the third
	for seq := uint64(1); seq <= 6; seq++ {
		if seq == 4 {
			time.Sleep(150 * time.Millisecond) // the log stamps its messages itself
			young = time.Now()
			time.Sleep(150 * time.Millisecond)
		}
		w.store(t, 0, seq) // a message each
	}
	w.end()
	_, last, _ := span(t, l)
	now := time.Now
	steps := []struct {
		name   string
		before uint64
		until  func() time.Time // what is older goes
		first  uint64
	}{
		{"nothing is an hour old", last, func() time.Time { return time.Now().Add(-time.Hour) }, 1},
		{"nothing was read", 1, now, 1},
		{"nothing was ever read", 0, now, 1},
		{"what lies below the checkpoint", last - 4, now, last - 4},
		{"the same again", last - 4, now, last - 4},
		{"of what was read, what is older than the fourth reading", last, func() time.Time { return young }, last - 2},
		{"a checkpoint beyond the end leaves the last message", last + 100, now, last},
	}
	for _, s := range steps {
		if err := l.Purge(within(t), s.before, time.Since(s.until())); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if first, end, _ := span(t, l); first != s.first || end != last {
			t.Errorf("%s: Purge(%d): got sequences %d to %d, want %d to %d", s.name, s.before, first, end, s.first, last)
		}
	}
	if diff := cmp.Diff([]uint64{6}, read(t, l, 0, 1, 1)); diff != "" {
		t.Errorf("read from a sequence that is gone (-want +got):\n%s", diff)
	}
}

func TestPurgeOfAnEmptyLog(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	for _, before := range []uint64{0, 1, 100} {
		if err := l.Purge(within(t), before, 0); err != nil {
			t.Errorf("Purge(%d): %v", before, err)
		}
	}
}

func TestCheckpoints(t *testing.T) {
	cfg := Embedded(t.TempDir())
	l := openLog(t, cfg)
	if got, err := l.Checkpoint(within(t), "health.0"); err != nil || got != nil {
		t.Fatalf("Checkpoint before any: got %d bytes, %v, want none and no error", len(got), err)
	}
	large := make([]byte, 5<<20+17) // more than one chunk, and more than a message may hold
	for i := range large {
		large[i] = byte(i * 7919 >> 3)
	}
	for _, s := range []struct {
		name string
		data []byte
	}{
		{"small", []byte("sequence 7")},
		{"larger than a message", large},
		{"small again", []byte("sequence 9")},
		{"empty", []byte{}},
		{"large again", large[1:]},
	} {
		if err := l.SaveCheckpoint(within(t), "health.0", s.data); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		got, err := l.Checkpoint(within(t), "health.0")
		if err != nil || got == nil && len(s.data) > 0 || !bytes.Equal(got, s.data) {
			t.Errorf("%s: got %d bytes, %v, want the %d that were saved", s.name, len(got), err, len(s.data))
		}
	}
	if got, err := l.Checkpoint(within(t), "health.1"); err != nil || got != nil {
		t.Errorf("Checkpoint of another name: got %d bytes, %v, want none", len(got), err)
	}
	closeLog(t, l)
	l = openLog(t, cfg)
	if got, err := l.Checkpoint(within(t), "health.0"); err != nil || !bytes.Equal(got, large[1:]) {
		t.Errorf("Checkpoint after reopening: got %d bytes, %v, want %d", len(got), err, len(large)-1)
	}
	stream, err := l.js.Stream(within(t), "OBJ_"+checkpointsStore)
	if err != nil {
		t.Fatal(err)
	}
	if got, most := stream.CachedInfo().State.Bytes, uint64(len(large)+1<<16); got > most {
		t.Errorf("store of checkpoints: got %d bytes, want at most %d: what was overwritten is gone", got, most)
	}
}

func change(logSeq uint64, partition int) Change {
	return Change{
		Partition: partition, LogSeq: logSeq, At: noon.Add(time.Duration(logSeq) * time.Second),
		Townships: []charge.TownshipState{{Township: "371721101", State: charge.Effective, Since: noon, Reason: "usable", Connectors: 4, Usable: 3, PowerKW: 83.06}},
		Events:    []charge.Event{{ID: fmt.Sprintf("%d-%d-0", partition, logSeq), At: noon, Kind: charge.CoverageGained, Township: "371721101"}},
	}
}

func changes(t testing.TB, l *Log, partition int) *Changes {
	t.Helper()
	c, err := l.Changes(within(t), partition)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOfTwoOwnersTheStaleOneFails(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	ctx := within(t)
	old, other := changes(t, l, 0), changes(t, l, 1)
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("first change", old.Publish(ctx, change(5, 0)))
	must("another partition", other.Publish(ctx, change(6, 1)))
	must("second change", old.Publish(ctx, change(7, 0)))

	heir := changes(t, l, 0)
	if heir.LogSeq != 7 {
		t.Errorf("where the heir begins: got %d, want 7", heir.LogSeq)
	}
	must("the heir", heir.Publish(ctx, change(8, 0)))
	for range 2 {
		if err := old.Publish(ctx, change(8, 0)); !errors.Is(err, ErrStale) {
			t.Errorf("the stale owner: got %v, want ErrStale", err)
		}
	}
	if old.LogSeq != 7 {
		t.Errorf("the stale owner after its failure: got LogSeq %d, want 7", old.LogSeq)
	}
	must("the heir again", heir.Publish(ctx, change(9, 0)))
	must("another partition again", other.Publish(ctx, change(9, 1)))

	last, err := l.LastChange(ctx)
	if err != nil || last != 6 {
		t.Errorf("LastChange: got %d, %v, want 6", last, err)
	}
	var got []Change
	err = l.FollowChanges(ctx, 2, func(seq uint64, c Change) error {
		got = append(got, c)
		if seq != uint64(len(got))+1 {
			t.Errorf("change %d: got sequence %d, want %d", len(got), seq, len(got)+1)
		}
		if seq == last {
			return errEnough
		}
		return nil
	})
	want := []Change{change(6, 1), change(7, 0), change(8, 0), change(9, 0), change(9, 1)}
	if diff := cmp.Diff(want, got); !errors.Is(err, errEnough) || diff != "" {
		t.Errorf("FollowChanges from 2: %v (-want +got):\n%s", err, diff)
	}
}

func TestTwoFirstOwnersOfAPartition(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	one, two := changes(t, l, 3), changes(t, l, 3)
	if err := one.Publish(within(t), change(1, 3)); err != nil {
		t.Fatal(err)
	}
	if err := two.Publish(within(t), change(1, 3)); !errors.Is(err, ErrStale) {
		t.Errorf("the second of two that began at once: got %v, want ErrStale", err)
	}
}

func TestFollowRejectsBeginsWithTheLast(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	reject := func(n int) Reject {
		operator := []string{"MA3TEST01", "MA3.TEST.02", ""}[n%3]
		return Reject{At: noon, Operator: operator, Pile: "P1", Kind: "status", Topic: "evcs/v1/x", Reason: "bad_json", Sample: "\x00枪", Count: n}
	}
	for n := 1; n <= 7; n++ {
		if err := l.PublishReject(reject(n)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-l.js.PublishAsyncComplete():
	case <-within(t).Done():
		t.Fatal("rejects are not stored")
	}
	for _, tt := range []struct {
		lastN int
		want  []int
	}{
		{3, []int{5, 6, 7, 8}},
		{0, []int{8}},
		{100, []int{1, 2, 3, 4, 5, 6, 7, 8}},
	} {
		t.Run(fmt.Sprintf("the last %d and a later one", tt.lastN), func(t *testing.T) {
			ctx, cancel := context.WithCancel(within(t))
			defer cancel()
			seen := make(chan Reject, 100)
			before := followers(t, l, rejectsStream)
			done := make(chan error, 1)
			go func() { done <- l.FollowRejects(ctx, tt.lastN, func(r Reject) { seen <- r }) }()
			for i, n := range tt.want {
				if n == 8 && tt.lastN == 3 { // the later one, published once, while somebody follows
					if err := l.PublishReject(reject(8)); err != nil {
						t.Fatal(err)
					}
				}
				if n == 8 && tt.lastN == 0 {
					until(t, "the follower waits", func() bool { return followers(t, l, rejectsStream) > before })
					if err := l.PublishReject(reject(8)); err != nil {
						t.Fatal(err)
					}
				}
				select {
				case got := <-seen:
					if diff := cmp.Diff(reject(n), got); diff != "" {
						t.Errorf("reject %d (-want +got):\n%s", i, diff)
					}
				case <-ctx.Done():
					t.Fatalf("reject %d does not come", n)
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Errorf("FollowRejects: %v", err)
			}
		})
	}
}

func followers(t testing.TB, l *Log, stream string) int {
	t.Helper()
	s, err := l.js.Stream(within(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Consumers
}

func TestLiveValuesGoToWhoeverWatches(t *testing.T) {
	l := openLog(t, Embedded(t.TempDir()))
	watched := charge.PileID{Operator: "MA3.TEST", Equipment: "LN.AC.7"}
	power := 6.9
	live := func(connector charge.ConnectorID) charge.LiveConnector {
		return charge.LiveConnector{Connector: connector, At: noon, Received: noon, Status: "charging", StatusCode: charge.Charging, PowerKW: &power}
	}
	publish := func(pile charge.PileID, c charge.LiveConnector) {
		t.Helper()
		if err := l.PublishLive(pile, c); err != nil {
			t.Fatal(err)
		}
	}
	publish(watched, live("nobody watches yet"))
	seen := make(chan charge.LiveConnector, 10)
	stop, err := l.WatchLive(t.Context(), watched, func(c charge.LiveConnector) { seen <- c })
	if err != nil {
		t.Fatal(err)
	}
	publish(charge.PileID{Operator: "MA3", Equipment: "TEST.LN.AC.7"}, live("another pile, the same dots"))
	publish(charge.PileID{Operator: "MA3.TEST", Equipment: "LN.AC.8"}, live("another pile"))
	publish(watched, live("1"))
	publish(watched, live("2"))
	for _, want := range []charge.ConnectorID{"1", "2"} {
		select {
		case got := <-seen:
			if diff := cmp.Diff(live(want), got); diff != "" {
				t.Errorf("live values (-want +got):\n%s", diff)
			}
		case <-within(t).Done():
			t.Fatal("live values do not come")
		}
	}
	stop()
	publish(watched, live("after stop"))
	if err := l.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-seen:
		t.Errorf("after stop: got %+v", got)
	default:
	}
}

func TestARewoundConsumerIsGivenAgainWhatItHadConfirmed(t *testing.T) {
	cfg := Embedded(t.TempDir())
	l := openLog(t, cfg)
	w := startWriter(t, l)
	w.store(t, 0, 1)
	w.store(t, 0, 2)
	first := take(t, l, "history", 2)
	if err := first.Confirm(first.got); err != nil {
		t.Fatal(err)
	}
	after := first.got[0].Seq
	for _, d := range first.got {
		if len(d.Readings) > 0 && d.Readings[0].Seq == 1 {
			after = d.Seq
		}
	}
	first.Stop()
	if err := l.Rewind(t.Context(), "history", after); err != nil {
		t.Fatal(err)
	}
	w.end()
	closeLog(t, l)
	l = openLog(t, cfg) // as a kill right after it would find it
	again := take(t, l, "history", 1)
	if diff := cmp.Diff([]uint64{2}, seqsOf(again.got)); diff != "" {
		t.Errorf("given again (-want +got):\n%s", diff)
	}
	b, err := again.Backlog(t.Context())
	if err != nil || b.Confirmed != after {
		t.Errorf("backlog: got %+v, %v, want what comes after %d not to be confirmed", b, err, after)
	}
}
