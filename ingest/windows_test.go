package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
)

func (d *fakeDirectory) Pile(id charge.PileID) (*registry.Pile, bool) {
	for _, p := range d.piles {
		if p.ID == id {
			return p, true
		}
	}
	return nil, false
}

// drawer keeps checkpoints, and loses none of them.
type drawer struct {
	texts   map[string][]byte
	saves   int
	failing bool
}

func (d *drawer) SaveCheckpoint(_ context.Context, name string, data []byte) error {
	if d.failing {
		return errors.New("log is away")
	}
	if d.texts == nil {
		d.texts = map[string][]byte{}
	}
	d.texts[name], d.saves = data, d.saves+1
	return nil
}

func (d *drawer) Checkpoint(_ context.Context, name string) ([]byte, error) {
	return d.texts[name], nil
}

func openStore(t testing.TB, dir string) *series.Embedded {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	e, err := series.OpenEmbedded(context.Background(), filepath.Join(dir, "history.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func fourTowns() *fakeDirectory {
	d := &fakeDirectory{}
	d.add("a", townA, 2)
	d.add("b", townB, 1)
	d.add("c", townC, 1)
	d.add("d", "370102101", 1)
	return d
}

func testWindows(store windowStore, dir *fakeDirectory, kept keeper) *windows {
	return newWindows(store, dir, partitionOf, kept, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

// yesterday is noon in Shanghai of a day that the store still has.
var yesterday = time.Now().In(charge.Zone).Truncate(24 * time.Hour).Add(-44 * time.Hour).UTC()

func drew(pile, gun string, second int, kw float64) charge.Reading {
	r := powerOf(pile, gun, kw)
	r.At = yesterday.Add(time.Duration(second) * time.Second)
	return r
}

// take writes a batch as history does.
func (w *windows) take(t testing.TB, store PointWriter, batch ...charge.Reading) {
	t.Helper()
	if err := errors.Join(store.Write(t.Context(), batch), w.touch(t.Context(), batch)); err != nil {
		t.Fatal(err)
	}
}

// finish makes all that is stale.
func (w *windows) finish(t testing.TB) {
	t.Helper()
	for range 100 {
		if err := w.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if testutil.ToFloat64(w.metrics.stale) == 0 {
			return
		}
	}
	t.Fatal("windows stay stale")
}

func loadsOf(t testing.TB, s *series.Embedded, division charge.DivisionCode) map[string]series.Load {
	t.Helper()
	loads, err := s.Loads(t.Context(), division, yesterday.Add(-time.Hour), yesterday.Add(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]series.Load{}
	for _, l := range loads {
		all[l.Start.In(charge.Zone).Format("15:04")] = l
	}
	return all
}

func energyOf(t testing.TB, s *series.Embedded, division charge.DivisionCode, by series.EnergyBy) []string {
	t.Helper()
	days, err := s.Energies(t.Context(), series.EnergyQuery{Division: division, From: yesterday.Add(-24 * time.Hour), To: yesterday.Add(24 * time.Hour), By: by})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, d := range days {
		all = append(all, fmt.Sprintf("%s%s %.3f", d.Division, d.Operator, d.EnergyKWh))
	}
	return all
}

func TestWindowsAreOfCountiesAndWhatIsAbove(t *testing.T) {
	t.Parallel()
	store := openStore(t, t.TempDir())
	w := testWindows(store, fourTowns(), &drawer{})
	w.take(t, store, drew("a", "1", 0, 60), drew("a", "2", 60, 60), drew("b", "1", 0, 30), drew("c", "1", 60, 120), drew("d", "1", 870, 60), drew("nobody", "1", 0, 999))
	w.finish(t)
	for _, tt := range []struct {
		division      charge.DivisionCode
		window        string
		kWh, charging float64
		max           float64
	}{
		{"371721", "12:00", 4.5, 4. / 15, 180},
		{"3717", "12:00", 4.5, 4. / 15, 180},
		{"370102", "12:00", 0.5, 0.5 / 15, 30},
		{"370102", "12:15", 0.5, 0.5 / 15, 30},
		{"37", "12:00", 5, 4.5 / 15, 180},
		{"371721", "12:15", 0, 0, 0},
	} {
		l, ok := loadsOf(t, store, tt.division)[tt.window]
		if !ok || !close9(l.EnergyKWh, tt.kWh) || !close9(l.Charging, tt.charging) || !close9(l.MaxKW(), tt.max) || !close9(l.PowerKW(), 4*tt.kWh) {
			t.Errorf("%s at %s: got %+v, want %v kWh, %v charging, %v kW at most", tt.division, tt.window, l, tt.kWh, tt.charging, tt.max)
		}
	}
	for by, want := range map[series.EnergyBy][]string{series.ByDay: {"37 5.500"}, series.ByCity: {"3701 1.000", "3717 4.500"}, series.ByOperator: {"37OP 5.500"}} {
		if diff := cmp.Diff(want, energyOf(t, store, "37", by)); diff != "" {
			t.Errorf("energy by %s (-want +got):\n%s", by, diff)
		}
	}
}

func close9(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }

func TestALateReadingRewritesItsWindowAndItsDay(t *testing.T) {
	t.Parallel()
	store := openStore(t, t.TempDir())
	w := testWindows(store, fourTowns(), &drawer{})
	w.take(t, store, drew("a", "1", 0, 60), drew("a", "1", 30, 60), drew("b", "1", 3600, 60))
	w.finish(t)
	w.take(t, store, drew("a", "1", 15, 0), drew("a", "1", 15, 0)) // between the two, and again
	w.finish(t)
	if got := loadsOf(t, store, "371721"); !close9(got["12:00"].EnergyKWh, 1.25) || !close9(got["13:00"].EnergyKWh, 1) {
		t.Errorf("energy: got %v and %v kWh, want 1.25, without what the late reading ended, and 1", got["12:00"].EnergyKWh, got["13:00"].EnergyKWh)
	}
	if diff := cmp.Diff([]string{"37 2.250"}, energyOf(t, store, "37", series.ByDay)); diff != "" {
		t.Errorf("energy of the day (-want +got):\n%s", diff)
	}
}

// However readings are mixed, repeated, cut into batches and interrupted by restarts, the windows
// are those of a first and orderly hearing.
func TestAReplayGivesTheSameWindows(t *testing.T) {
	t.Parallel()
	store := openStore(t, t.TempDir())
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		if n >= 2*30 {
			return // each costs the store a tenth of a second under the race detector
		}
		var all []charge.Reading
		for i := range rapid.IntRange(1, 40).Draw(rt, "readings") {
			r := drew(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "pile"), "1", rapid.IntRange(-1000, 2000).Draw(rt, "second"), float64(rapid.IntRange(0, 120).Draw(rt, "kW")))
			r.Has |= charge.HasSeq
			r.Seq = uint64(i) // of two at one time, the store keeps the higher
			if rapid.Bool().Draw(rt, "idle") {
				r.Kind, r.Has, r.Status = charge.KindStatus, charge.HasStatus|charge.HasSeq, charge.Idle
			}
			all = append(all, r)
		}
		// Each hearing has two hours of the store to itself.
		hear := func(batches [][]charge.Reading, restarts bool) (heard []series.Load) {
			n++
			back, kept := time.Duration(n%300)*-2*time.Hour, &drawer{}
			w := testWindows(store, fourTowns(), kept)
			for i, b := range batches {
				b = slices.Clone(b)
				for j := range b {
					b[j].At = b[j].At.Add(back)
				}
				w.take(t, store, b...)
				if restarts && i%2 == 0 {
					w = testWindows(store, fourTowns(), kept)
					if err := w.recall(t.Context()); err != nil {
						rt.Fatal(err)
					}
				} else if restarts {
					if err := w.pass(t.Context()); err != nil {
						rt.Fatal(err)
					}
				}
			}
			w.finish(t)
			from, to := yesterday.Add(back-30*time.Minute), yesterday.Add(back+45*time.Minute)
			for _, d := range []charge.DivisionCode{"37", "3717", "371721", "370102"} {
				loads, err := store.Loads(t.Context(), d, from, to)
				if err != nil {
					rt.Fatal(err)
				}
				heard = append(heard, loads...)
			}
			operators, err := store.OperatorLoads(t.Context(), from, to)
			if err != nil {
				rt.Fatal(err)
			}
			heard = append(heard, operators...)
			for i := range heard {
				heard[i].Start = heard[i].Start.Add(-back)
			}
			return heard
		}
		want := hear([][]charge.Reading{all}, false)
		mixed := rapid.Permutation(slices.Concat(all, all)).Draw(rt, "mixed")
		var batches [][]charge.Reading
		for len(mixed) > 0 {
			k := len(mixed)
			if len(batches) < 5 {
				k = rapid.IntRange(1, k).Draw(rt, "batch")
			}
			batches = append(batches, mixed[:k])
			mixed = mixed[k:]
		}
		got := hear(batches, true)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("windows (-want +got):\n%s", diff)
		}
	})
}

func TestWhatIsStaleIsKeptBeforeItIsConfirmed(t *testing.T) {
	t.Parallel()
	store, kept := openStore(t, t.TempDir()), &drawer{}
	w := testWindows(store, fourTowns(), kept)
	kept.failing = true
	if err := w.touch(t.Context(), []charge.Reading{drew("a", "1", 0, 60)}); err == nil {
		t.Error("touch while nothing can be kept: got no error, want the batch not to be confirmed")
	}
	kept.failing = false
	for range 3 {
		w.take(t, store, drew("a", "1", 0, 60))
	}
	if kept.saves != 1 {
		t.Errorf("kept %d times for one window, want once", kept.saves)
	}
	after := testWindows(store, fourTowns(), kept) // killed, and started again
	if err := after.recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	after.finish(t)
	if got := loadsOf(t, store, "371721")["12:00"].EnergyKWh; !close9(got, 1) {
		t.Errorf("energy: got %v kWh, want 1", got)
	}
	last := testWindows(store, fourTowns(), kept)
	if err := last.recall(t.Context()); err != nil || len(last.stale) != 0 {
		t.Errorf("stale after all was made: got %v, %v, want none", last.stale, err)
	}
}

func TestWhatTheStoreForgetsIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	store := openStore(t, t.TempDir())
	w := testWindows(store, fourTowns(), &drawer{})
	old := drew("a", "1", 0, 60)
	old.At = time.Now().Add(-series.Keep)
	w.take(t, store, old)
	w.stale[old.At.Unix()/900*900] = 1 // from before a long stop
	if err := w.pass(t.Context()); err != nil || len(w.stale) != 0 || testutil.ToFloat64(w.metrics.made) != 0 {
		t.Errorf("pass: got %v, %d stale, %v made, want none of an incomplete window", err, len(w.stale), testutil.ToFloat64(w.metrics.made))
	}
}
