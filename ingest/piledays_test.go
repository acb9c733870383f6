package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
	"pilewatch/internal/testprog"
)

// availabilities is a store of them that can be read back.
type availabilities interface {
	availabilityStore
	Availabilities(ctx context.Context, pile charge.PileID, from, to time.Time) ([]series.Availability, error)
}

// moodyStore passes what it is told on to a real one, until it has no more writes left.
type moodyStore struct {
	availabilities
	left   int // -1: without end
	writes int
	run    string
}

func (m *moodyStore) WriteAvailability(ctx context.Context, days []series.Availability) error {
	if m.left == 0 {
		return errors.New("away")
	}
	m.left--
	m.writes++
	return m.availabilities.WriteAvailability(ctx, days)
}

func (m *moodyStore) Started(context.Context) (string, error) {
	if m.run == "" {
		return "", errors.New("it does not say")
	}
	return m.run, nil
}

func TestEachPilesDayIsCopiedToTheEmbeddedFileWhenItIsClosedAndWhenItIsFrozen(t *testing.T) {
	t.Parallel()
	copiesPileDays(t, openStore(t, t.TempDir()))
}

func TestEachPilesDayIsCopiedToInfluxDBWhenItIsClosedAndWhenItIsFrozen(t *testing.T) {
	t.Parallel()
	x, err := series.NewInflux(series.InfluxConfig{URL: "http://" + testprog.InfluxServer(t).Addr, Bucket: "evcs/raw"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	if err := x.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	copiesPileDays(t, x)
}

// What runs is wired so that a closed day comes to the store.
func TestAnIngestThatRunsCopiesPilesDays(t *testing.T) {
	p, store := newPlatform(t), openStore(t, t.TempDir())
	day := dayOf(time.Now()).AddDate(0, 0, -4)
	closed := registry.PileDay{Pile: pileNamed("1"), Day: day, Minutes: charge.DayMinutes{Usable: 1440}, Frozen: true}
	if err := p.registry.SaveHealth(t.Context(), 0, 1, &registry.Health{
		PileDays: []registry.PileDay{closed},
		Sums:     []registry.DaySum{{Day: day, Frozen: true, SumKey: registry.SumKey{County: "371721", Operator: "OP", Kind: charge.Public}}},
	}); err != nil {
		t.Fatal(err)
	}
	run(t, p.ingest(t, store).Run)
	until(t, "the day is in the store", func() bool {
		got, err := store.Availabilities(t.Context(), closed.Pile, day, day.AddDate(0, 0, 1))
		return err == nil && len(got) == 1 && got[0].Frozen && got[0].Minutes == closed.Minutes
	})
}

func copiesPileDays(t *testing.T, real availabilities) {
	const piles = 5 // 3 of partition 0 and 2 of partition 1, written 2 at once
	today := dayOf(time.Now())
	at := func(n int) time.Time { return today.AddDate(0, 0, n) }
	noon := today.Add(12 * time.Hour)
	type step struct {
		day       int // from today
		parts     []int
		frozen    bool
		usable    int
		look      time.Time // where it is no day that health closes
		writes    int       // that the store takes before it is away; 0: without end
		want      int       // writes of this look
		restarted bool      // ingest
		run       string    // the store is started anew
		story     int       // ends with this day
	}
	both := []int{0, 1}
	for i, tt := range []struct {
		name  string
		steps []step
		want  map[int]string // by day: usable minutes and p or f, the same for all piles
	}{
		{"nothing is closed", []step{{look: noon}}, nil},
		{"closed, and frozen three days later", []step{
			{day: -4, parts: both, usable: 900},
			{look: noon, want: 3},
			{day: -4, parts: both, usable: 800, frozen: true},
			{look: noon, want: 3},
			{look: noon},
		}, map[int]string{-4: "800f"}},
		{"not before each partition has closed it", []step{
			{day: -2, parts: both, usable: 700}, {day: -1, parts: []int{0}, usable: 600}, {look: noon, want: 3},
		}, map[int]string{-2: "700p"}},
		{"not before an hour has passed, in which a partition closes its first day", []step{
			{day: -2, parts: both, usable: 700}, {look: noon, want: 3}, {day: -1, parts: both, usable: 600}, {look: today.Add(59 * time.Minute)},
		}, map[int]string{-2: "700p"}},
		{"an hour has passed", []step{
			{day: -1, parts: both, usable: 600}, {look: today.Add(time.Hour), want: 3},
		}, map[int]string{-1: "600p"}},
		{"it begins with the newest frozen day", []step{
			{day: -6, parts: both, usable: 1, frozen: true}, {day: -5, parts: both, usable: 2, frozen: true}, {day: -4, parts: both, usable: 3}, {look: noon, want: 6},
		}, map[int]string{-5: "2f", -4: "3p"}},
		{"days that passed while ingest was down", []step{
			{day: -6, parts: both, usable: 1},
			{look: noon, want: 3},
			{day: -6, parts: both, usable: 2, frozen: true},
			{day: -5, parts: both, usable: 3, frozen: true},
			{day: -4, parts: both, usable: 4, frozen: true},
			{day: -3, parts: both, usable: 5},
			{look: noon, restarted: true, want: 12},
		}, map[int]string{-6: "2f", -5: "3f", -4: "4f", -3: "5p"}},
		{"a restart copies nothing again", []step{
			{day: -4, parts: both, usable: 900}, {look: noon, want: 3}, {look: noon, restarted: true},
		}, map[int]string{-4: "900p"}},
		{"the store goes away within a day, and ingest is killed", []step{
			{day: -4, parts: both, usable: 900},
			{look: noon, want: 3},
			{day: -4, parts: both, usable: 901, frozen: true},
			{day: -3, parts: both, usable: 800},
			{look: noon, writes: 1, want: 1},
			{look: noon, restarted: true, want: 6},
		}, map[int]string{-4: "901f", -3: "800p"}},
		{"the store was started anew and may have forgotten the newest", []step{
			{day: -5, parts: both, usable: 1, frozen: true},
			{day: -4, parts: both, usable: 2, frozen: true},
			{day: -3, parts: both, usable: 3},
			{day: -2, parts: both, usable: 4},
			{look: noon, run: "one", want: 9},
			{look: noon, want: 0},
			{look: noon, run: "two", want: 6},
			{look: noon, run: "two", restarted: true},
		}, map[int]string{-4: "2f", -3: "3p", -2: "4p"}},
		{"of a story only the day on which it ends, which was lived in part", []step{
			{story: -3},
			{day: -5, parts: both, usable: 1, frozen: true},
			{look: noon},
			{day: -4, parts: both, usable: 2, frozen: true},
			{day: -3, parts: both, usable: 3},
			{day: -2, parts: both, usable: 4},
			{look: noon, want: 6},
		}, map[int]string{-3: "3p", -2: "4p"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg, err := registry.Open(t.Context(), filepath.Join(t.TempDir(), "registry.db"), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer reg.Close()
			pile := func(n int) charge.PileID {
				return charge.PileID{Operator: charge.OperatorID(fmt.Sprintf("OP%d", i)), Equipment: fmt.Sprintf("P%d", n)}
			}
			kept, store := &drawer{}, &moodyStore{availabilities: real}
			start := func() *pileDays {
				p := newPileDays(store, reg, kept, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
				p.atOnce = 2
				return p
			}
			p := start()
			for n, s := range tt.steps {
				switch {
				case s.story != 0:
					if err := reg.SetStory(t.Context(), registry.Story{Name: "test", Until: at(s.story).Add(9 * time.Hour)}); err != nil {
						t.Fatal(err)
					}
				case s.look.IsZero():
					for _, part := range s.parts {
						h := registry.Health{Sums: []registry.DaySum{{Partition: part, Day: at(s.day), Frozen: s.frozen, SumKey: registry.SumKey{County: "371721", Operator: pile(0).Operator, Kind: charge.Public}}}}
						for j := part; j < piles; j += 2 {
							h.PileDays = append(h.PileDays, registry.PileDay{Pile: pile(j), Day: at(s.day), Minutes: charge.DayMinutes{Usable: uint16(s.usable), Unknown: uint16(1440 - s.usable)}, Frozen: s.frozen}) //nolint:gosec // minutes
						}
						if err := reg.SaveHealth(t.Context(), part, uint64(n+1), &h); err != nil {
							t.Fatal(err)
						}
					}
				default:
					if s.restarted {
						p = start()
					}
					if s.run != "" {
						store.run = s.run
					}
					if store.left = s.writes; s.writes == 0 {
						store.left = -1
					}
					before := store.writes
					if err := p.look(t.Context(), s.look); (err != nil) != (s.writes > 0) {
						t.Errorf("step %d: got %v, want away %v", n, err, s.writes > 0)
					}
					if got := store.writes - before; got != s.want {
						t.Errorf("step %d: got %d writes, want %d", n, got, s.want)
					}
				}
			}
			for j := range piles {
				all, err := real.Availabilities(t.Context(), pile(j), at(-20), at(1))
				if err != nil {
					t.Fatal(err)
				}
				var got map[int]string
				for _, a := range all {
					if got == nil {
						got = map[int]string{}
					}
					mark := "p"
					if a.Frozen {
						mark = "f"
					}
					got[-int(today.Sub(a.Day).Hours()/24)] = fmt.Sprint(a.Minutes.Usable, mark)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("days of %s in the store (-want +got):\n%s", pile(j), diff)
				}
			}
		})
	}
}
