package ingest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
)

// patience is how long a test waits for what should take milliseconds.
const patience = 30 * time.Second

// platform is a real log and a real registry of two stations, and a door to write readings through.
// Tests that have one mostly wait for the disk, so they run beside each other.
type platform struct {
	log      *journal.Log
	registry *registry.Registry
	dir      *registry.Directory
	writer   *journal.Writer
}

// atOnce is a policy by which a township is effective with its first usable minute.
const atOnce = "version: at once\nfrom: 2023-01-02\ncoverage:\n  min_usable_minutes: 0\n"

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := newLogOnly(t, 64<<20)
	p.addRegistry(t, atOnce)
	return p
}

// newLogOnly is a platform without a registry.
func newLogOnly(t *testing.T, maxBytes int64) *platform {
	t.Helper()
	t.Parallel()
	return openLog(t, maxBytes)
}

func openLog(t *testing.T, maxBytes int64) *platform {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	cfg := journal.Embedded(t.TempDir())
	cfg.Partitions, cfg.MaxBytes = 1, maxBytes
	p := &platform{}
	var err error
	if p.log, err = journal.Open(t.Context(), cfg, quiet); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.log.Close(); err != nil {
			t.Error(err)
		}
	})
	p.writer = p.log.NewWriter(quiet, prometheus.NewRegistry())
	run(t, p.writer.Run)
	return p
}

func (p *platform) addRegistry(t *testing.T, policy string) {
	t.Helper()
	var err error
	if p.registry, err = registry.Open(t.Context(), filepath.Join(t.TempDir(), "registry.db"), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.registry.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, file := range []struct {
		table registry.Table
		rows  string
	}{
		{registry.Operators, "operator,name\nOP,operator\n"},
		{registry.Stations, "operator,station,name,township,kind,opened\nOP,S1,station 1,371721101,public,2022-01-01\nOP,S2,station 2,371721102,public,2022-01-01\n"},
		{registry.Piles, "operator,station,pile,connector,power_kw,opened\nOP,S1,1,1,120,2022-01-01\nOP,S1,1,2,120,2022-01-01\nOP,S2,2,1,7,2022-01-01\n"},
	} {
		if _, err := p.registry.Import(t.Context(), file.table, strings.NewReader(file.rows)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.registry.ImportPolicy(t.Context(), []byte(policy)); err != nil {
		t.Fatal(err)
	}
	if p.dir, err = p.registry.Directory(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// run runs do until the test ends or stop is called, which gives its error.
func run(t *testing.T, do func(context.Context) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- do(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(patience):
			return errors.New("does not end")
		}
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

// write stores readings of now and waits until they are stored.
func (p *platform) write(t *testing.T, readings ...charge.Reading) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	var placed []journal.Placed
	for _, r := range readings {
		r.At, r.Received = now, now
		placed = append(placed, journal.Placed{Reading: r})
	}
	stored := make(chan struct{})
	if err := p.writer.Append(t.Context(), placed, func() { close(stored) }); err != nil {
		t.Fatal(err)
	}
	receive(t, stored, "the log to store readings")
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
	}
	panic("unreachable")
}

// follow gives the changes from the first one on.
func (p *platform) follow(t *testing.T) <-chan journal.Change {
	t.Helper()
	changes := make(chan journal.Change, 1000)
	run(t, func(ctx context.Context) error {
		return p.log.FollowChanges(ctx, 1, func(_ uint64, c journal.Change) error {
			changes <- c
			return nil
		})
	})
	return changes
}

// await reads changes until one holds an event of the kind at the town, and gives its connector.
func await(t *testing.T, changes <-chan journal.Change, kind charge.EventKind, town charge.DivisionCode) charge.Event {
	t.Helper()
	for {
		for _, e := range receive(t, changes, string(kind)).Events {
			if e.Kind == kind && e.Township == town {
				return e
			}
		}
	}
}

func (p *platform) owner(t *testing.T, store healthStore, log *slog.Logger) *owner {
	t.Helper()
	watched, err := p.log.Watched()
	if err != nil {
		t.Fatal(err)
	}
	return &owner{
		judge: newJudge(0, p.log.PartitionOf, p.dir), log: p.log, store: store, watched: watched,
		slog: log, metrics: newHealthMetrics(prometheus.NewRegistry()),
	}
}

func (p *platform) ingest(t *testing.T, store Store) *Ingest {
	t.Helper()
	in, err := New(Defaults(), p.log, p.registry, p.dir, store, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// shownPiles is each connector's status as the registry finds it.
func (p *platform) shownPiles(t *testing.T) map[string]string {
	t.Helper()
	rows, _, err := p.registry.FindPiles(t.Context(), registry.PileQuery{})
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for _, row := range rows {
		for i := range row.Connectors {
			shown[row.Connectors[i].Key.String()] = registry.ShownAs(&row.Connectors[i])
		}
	}
	return shown
}

func (p *platform) coverage(t *testing.T) map[charge.DivisionCode]charge.CoverageState {
	t.Helper()
	states, err := p.registry.TownshipStates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[charge.DivisionCode]charge.CoverageState{}
	for _, s := range states {
		if s.State != charge.None {
			got[s.Township] = s.State
		}
	}
	return got
}

func TestReadingsReachRegistryChangesAndHistory(t *testing.T) {
	p := newPlatform(t)
	store, err := series.OpenEmbedded(t.Context(), filepath.Join(t.TempDir(), "history.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	changes := p.follow(t)
	in := p.ingest(t, store)
	stop := run(t, in.Run)
	if err := in.Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}
	p.write(t, statusOf("1", "1", charge.Idle), statusOf("1", "2", charge.Charging))
	await(t, changes, charge.CoverageGained, townA)
	p.write(t, faultOf("1", "1", "flood"))
	if e := await(t, changes, charge.ConnectorFault, townA); e.Pile != "OP:1" || e.Conn != "1" || e.Fault != "flood" || e.Station != "station 1" {
		t.Errorf("event: got %+v, want the flood of OP:1/1 at station 1", e)
	}
	if diff := cmp.Diff(map[charge.DivisionCode]charge.CoverageState{townA: charge.Effective, townB: charge.Unverified}, p.coverage(t)); diff != "" {
		t.Errorf("townships (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"OP:1/1": "fault", "OP:1/2": "charging", "OP:2/1": "unseen"}, p.shownPiles(t)); diff != "" {
		t.Errorf("connectors (-want +got):\n%s", diff)
	}
	until(t, "both statuses and the fault are in the history", func() bool {
		rows, err := store.History(t.Context(), series.Query{Pile: pileNamed("1"), From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)})
		return err == nil && len(rows) == 3
	})
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}

	// A second start goes on from the checkpoint and says nothing twice.
	before, err := p.log.LastChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop = run(t, p.ingest(t, store).Run)
	p.write(t, statusOf("2", "1", charge.Idle))
	e := await(t, changes, charge.CoverageGained, townB)
	after, err := p.log.LastChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after != before+1 {
		t.Errorf("changes after the restart: got %d, want 1; the last tells %+v", after-before, e)
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// until waits for what nobody tells.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s until %s", patience, what)
		}
	}
}

// weakStore fails while it is told to.
type weakStore struct {
	healthStore
	failing atomic.Bool
	refused atomic.Int64
}

func (s *weakStore) SaveHealth(ctx context.Context, partition int, seq uint64, h *registry.Health) error {
	if s.failing.Load() {
		s.refused.Add(1)
		return errors.New("database is locked")
	}
	return s.healthStore.SaveHealth(ctx, partition, seq, h)
}

// lines is a log that tests read.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

func TestNothingIsLostWhileTheRegistryFails(t *testing.T) {
	p := newPlatform(t)
	changes := p.follow(t)
	store, said := &weakStore{healthStore: p.registry}, &lines{}
	o := p.owner(t, store, slog.New(slog.NewTextHandler(said, nil)))
	store.failing.Store(true)
	stop := run(t, o.run)
	p.write(t, statusOf("1", "1", charge.Idle))
	until(t, "the registry has refused twice", func() bool { return store.refused.Load() >= 2 })
	p.write(t, statusOf("2", "1", charge.Idle))
	store.failing.Store(false)
	await(t, changes, charge.CoverageGained, townB)
	if diff := cmp.Diff(map[charge.DivisionCode]charge.CoverageState{townA: charge.Effective, townB: charge.Effective}, p.coverage(t)); diff != "" {
		t.Errorf("townships (-want +got):\n%s", diff)
	}
	if err := stop(); err != nil {
		t.Errorf("run: %v", err)
	}
	if failed, again := said.count("cannot be saved"), said.count("saved again"); failed != 1 || again != 1 {
		t.Errorf("log lines: got %d of failing and %d of going on, want one of each", failed, again)
	}
	if got := testutil.ToFloat64(o.metrics.retries); got < 2 {
		t.Errorf("retries counted: got %v, want 2 or more", got)
	}
}

func TestAnOwnerThatEndsWhileTheRegistryFailsLeavesTheRestToTheNext(t *testing.T) {
	p := newPlatform(t)
	changes := p.follow(t)
	store := &weakStore{healthStore: p.registry}
	store.failing.Store(true)
	stop := run(t, p.owner(t, store, slog.New(slog.DiscardHandler)).run)
	p.write(t, statusOf("1", "1", charge.Idle))
	until(t, "the registry has refused", func() bool { return store.refused.Load() >= 1 })
	if err := stop(); err != nil {
		t.Errorf("run: %v", err)
	}
	run(t, p.owner(t, p.registry, slog.New(slog.DiscardHandler)).run)
	await(t, changes, charge.CoverageGained, townA)
	if got := p.coverage(t)[townA]; got != charge.Effective {
		t.Errorf("township: got %s, want effective", got)
	}
}

func TestAKilledOwnerTellsNoEventTwice(t *testing.T) {
	p := newPlatform(t)
	changes := p.follow(t)
	o := p.owner(t, p.registry, slog.New(slog.DiscardHandler))
	empty, err := o.judge.save(0)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, o.run)
	p.write(t, statusOf("1", "1", charge.Idle))
	await(t, changes, charge.CoverageGained, townA)
	p.write(t, faultOf("1", "1", "flood"))
	await(t, changes, charge.ConnectorFault, townA)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.log.SaveCheckpoint(t.Context(), o.checkpointName(), empty); err != nil { // as if it was killed before any other
		t.Fatal(err)
	}
	p.write(t, statusOf("2", "1", charge.Idle)) // in one step with what is read again
	run(t, p.owner(t, p.registry, slog.New(slog.DiscardHandler)).run)
	var told []charge.EventKind
	for gained := false; !gained; {
		for _, e := range receive(t, changes, "the change after the kill").Events {
			told = append(told, e.Kind)
			gained = gained || e.Township == townB
		}
	}
	if diff := cmp.Diff([]charge.EventKind{charge.CoverageGained}, told); diff != "" {
		t.Errorf("events after the kill (-want +got):\n%s", diff)
	}
}

func TestAChangeIsToldOnce(t *testing.T) {
	p := newPlatform(t)
	mine := journal.Change{LogSeq: 7, At: begin}
	tests := []struct {
		name       string
		unanswered bool
		stored     uint64 // log sequence of what is stored meanwhile, 0 for nothing
		want       error
	}{
		{"nobody was there", false, 0, nil},
		{"an attempt without an answer that was not stored", true, 0, nil},
		{"an attempt without an answer that was stored", true, 7, nil},
		{"another owner has told the same", false, 7, journal.ErrStale},
		{"another owner has told more", true, 8, journal.ErrStale},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := p.owner(t, p.registry, slog.New(slog.DiscardHandler))
			other, err := p.log.Changes(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			if o.changes, err = p.log.Changes(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			s := &step{}
			if tt.unanswered {
				ended, cancel := context.WithCancel(t.Context())
				cancel()
				if err := o.tell(ended, s, mine); err == nil {
					t.Fatal("an attempt without time: got no error")
				}
			}
			before, err := p.log.LastChange(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if tt.stored != 0 {
				if err := other.Publish(t.Context(), journal.Change{LogSeq: tt.stored, At: begin}); err != nil {
					t.Fatal(err)
				}
			}
			if err := o.tell(t.Context(), s, mine); !errors.Is(err, tt.want) {
				t.Errorf("tell: got %v, want %v", err, tt.want)
			}
			after, err := p.log.LastChange(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if after != before+1 {
				t.Errorf("changes: got %d more, want 1", after-before)
			}
			if tt.want == nil {
				if err := o.tell(t.Context(), &step{}, journal.Change{LogSeq: 9, At: begin}); err != nil {
					t.Errorf("the next change: got %v, want none", err)
				}
			}
		})
	}
}

func TestOfTwoOwnersTheStaleOneEnds(t *testing.T) {
	p := newPlatform(t)
	changes := p.follow(t)
	ended := make(chan error, 2)
	for range 2 {
		o := p.owner(t, p.registry, slog.New(slog.DiscardHandler))
		run(t, func(ctx context.Context) error {
			err := o.run(ctx)
			ended <- err
			return err
		})
	}
	gone := make(chan error, 1)
	go func() { gone <- <-ended }()
	var err error
	for n := 0; err == nil; n++ {
		// A fault and its end, until they meet: each is news to both owners.
		p.write(t, statusOf("1", "1", charge.Idle))
		p.write(t, faultOf("1", "1", "flood"))
		await(t, changes, charge.ConnectorFault, townA)
		select {
		case err = <-gone:
			if err == nil {
				t.Fatal("an owner ended without an error")
			}
		default:
		}
		if n == 100 {
			t.Fatal("both owners go on")
		}
	}
	if !errors.Is(err, journal.ErrStale) {
		t.Errorf("the stale owner: got %v, want %v", err, journal.ErrStale)
	}
	p.write(t, statusOf("2", "1", charge.Idle))
	await(t, changes, charge.CoverageGained, townB) // the other one goes on
}

func TestACheckpointBeyondTheLogIsWoundBack(t *testing.T) {
	p := newPlatform(t)
	p.write(t, statusOf("1", "1", charge.Idle))
	ahead := p.owner(t, p.registry, slog.New(slog.DiscardHandler))
	ahead.judge.seq = 1000
	data, err := ahead.judge.save(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.log.SaveCheckpoint(t.Context(), ahead.checkpointName(), data); err != nil {
		t.Fatal(err)
	}
	said := &lines{}
	o := p.owner(t, p.registry, slog.New(slog.NewTextHandler(said, nil)))
	if err := o.resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	from, err := o.position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, last, _, err := p.log.Span(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if from != last+1 || said.count("its tail is lost") != 1 {
		t.Errorf("resume: got from %d with %d alarms, want %d with 1", from, said.count("its tail is lost"), last+1)
	}
}

func TestTheLogKeepsWhatOneConsumerHasNotTaken(t *testing.T) {
	tests := []struct {
		name          string
		taken, judged uint64
	}{
		{"nothing is taken", 0, 0},
		{"nothing is judged", 8, 0},
		{"nothing is in the history", 0, 8},
		{"history is ahead", 8, 3},
		{"judgement is ahead", 3, 8},
		{"both are far", 8, 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newLogOnly(t, 2<<20)
			alarm := charge.Reading{Pile: pileNamed("1"), Connector: "1", Kind: charge.KindAlarm, Text: strings.Repeat("x", 200)}
			many := make([]charge.Reading, 500)
			for i := range many {
				many[i] = alarm
			}
			for range 12 { // 1.5 of 2 MiB
				p.write(t, many...)
			}
			history, err := p.log.Durable(t.Context(), historyConsumer)
			if err != nil {
				t.Fatal(err)
			}
			defer history.Stop()
			for range tt.taken {
				one, err := history.Next(t.Context(), 0, 1)
				if err != nil || len(one) == 0 {
					t.Fatalf("take a batch: %d, %v", len(one), err)
				}
				if err := history.Confirm(one); err != nil {
					t.Fatal(err)
				}
			}
			until(t, "the log knows what is confirmed", func() bool {
				b, err := history.Backlog(t.Context())
				return err == nil && b.Confirmed >= tt.taken
			})
			if err := p.log.SavePosition(t.Context(), checkpointOf(0), tt.judged, nil); err != nil {
				t.Fatal(err)
			}
			if err := newTidier(p.log, nil, p.registry, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).trim(t.Context()); err != nil {
				t.Fatal(err)
			}
			first, _, _, err := p.log.Span(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if most := min(tt.taken, tt.judged) + 1; first > most {
				t.Errorf("first message kept: got %d, want %d or before", first, most)
			}
			if min(tt.taken, tt.judged) > 0 && first == 1 {
				t.Errorf("first message kept: got %d, want some gone, since the log is more than half full", first)
			}
		})
	}
}

func TestARegistryThatHoldsLessIsWrittenWhole(t *testing.T) {
	p := newPlatform(t)
	changes := p.follow(t)
	stop := run(t, p.owner(t, p.registry, slog.New(slog.DiscardHandler)).run)
	p.write(t, statusOf("1", "1", charge.Idle), statusOf("1", "2", charge.Charging))
	await(t, changes, charge.CoverageGained, townA)
	until(t, "the registry has it", func() bool { return p.coverage(t)[townA] == charge.Effective })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	p.addRegistry(t, atOnce) // as a copy from before is put back
	said := &lines{}
	run(t, p.owner(t, p.registry, slog.New(slog.NewTextHandler(said, nil))).run)
	p.write(t, charge.Reading{Pile: pileNamed("1"), Kind: charge.KindHeartbeat})
	until(t, "the new registry has it too", func() bool {
		return p.coverage(t)[townA] == charge.Effective && p.shownPiles(t)["OP:1/2"] == "charging"
	})
	if n := said.count("registry holds less than was judged"); n != 1 {
		t.Errorf("said %d times that the registry holds less, want once", n)
	}
}

// A process is killed after it has published and before its next checkpoint, and the registry
// changes while it is down: what the replay finds by the new registry must not be taken for told.
func TestWhatChangedWhileWeWereDownIsTold(t *testing.T) {
	p := newPlatform(t)
	changes := p.follow(t)
	killed, kill := context.WithCancel(t.Context())
	first := p.owner(t, p.registry, slog.New(slog.DiscardHandler))
	gone := make(chan struct{})
	go func() { _ = first.run(killed); close(gone) }() // its end is a kill's: no checkpoint is kept
	p.write(t, statusOf("1", "1", charge.Idle))
	await(t, changes, charge.CoverageGained, townA)
	kill()
	<-gone
	if err := p.log.SaveCheckpoint(t.Context(), first.checkpointName(), emptyCheckpoint(t, p)); err != nil {
		t.Fatal(err)
	}
	const closed = "operator,station,name,township,kind,opened,closed\nOP,S1,station 1,371721101,public,2022-01-01,2023-01-01\n"
	if _, err := p.registry.Import(t.Context(), registry.Stations, strings.NewReader(closed)); err != nil {
		t.Fatal(err)
	}
	if err := p.dir.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, p.owner(t, p.registry, slog.New(slog.DiscardHandler)).run)
	p.write(t, charge.Reading{Pile: pileNamed("2"), Kind: charge.KindHeartbeat})
	for {
		c := receive(t, changes, "townA's new state")
		for _, s := range c.Townships {
			if s.Township == townA && s.State == charge.None {
				until(t, "the registry has it", func() bool { _, ok := p.coverage(t)[townA]; return !ok })
				return
			}
		}
	}
}

// emptyCheckpoint is one from before anything was judged.
func emptyCheckpoint(t *testing.T, p *platform) []byte {
	t.Helper()
	data, err := p.owner(t, p.registry, slog.New(slog.DiscardHandler)).judge.save(0)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
