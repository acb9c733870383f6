package ingest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/ingest/load"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
)

// A windowStore is where load windows are made of readings and kept; *series.Embedded and
// *series.Influx are ones.
type windowStore interface {
	Draws(ctx context.Context, from, to time.Time, fn func(charge.ConnectorKey, []charge.Draw)) error
	WriteLoads(ctx context.Context, loads []series.Load) error
	OperatorLoads(ctx context.Context, from, to time.Time) ([]series.Load, error)
	WriteEnergies(ctx context.Context, energies []series.Energy) error
}

// places tells where piles stand; *registry.Directory does.
type places interface {
	Pile(id charge.PileID) (*registry.Pile, bool)
	Stations() iter.Seq[*charge.Station]
}

// A keeper keeps texts through a restart; *journal.Log is one.
type keeper interface {
	SaveCheckpoint(ctx context.Context, name string, data []byte) error
	Checkpoint(ctx context.Context, name string) ([]byte, error)
}

// windows keeps the 15-minute windows of the load curve and the energy of days. It makes a window
// from the readings that are in the store, all of it each time: so a late reading, one that comes
// twice and a replay of the log all end in the same window, and nothing has to be remembered but
// which windows are stale. That is kept in the log before the readings that made them so are confirmed.
type windows struct {
	store       windowStore
	places      places
	partitionOf func(charge.DivisionCode) int
	kept        keeper
	log         *slog.Logger
	metrics     windowMetrics

	mu    sync.Mutex
	stale map[int64]uint64 // start (Unix s) of what is to be made again, and the count of touches at its last
	count uint64

	saving sync.Mutex
	saved  map[int64]bool // what of stale is kept; under saving
}

type windowMetrics struct {
	made  prometheus.Counter
	stale prometheus.Gauge
}

func newWindows(store windowStore, where places, partitionOf func(charge.DivisionCode) int, kept keeper, log *slog.Logger, reg prometheus.Registerer) *windows {
	f := promauto.With(reg)
	return &windows{
		store: store, places: where, partitionOf: partitionOf, kept: kept, log: log,
		stale: make(map[int64]uint64), saved: make(map[int64]bool),
		metrics: windowMetrics{
			made:  f.NewCounter(prometheus.CounterOpts{Name: "ingest_windows_made_total", Help: "Load windows made from readings, first or again."}),
			stale: f.NewGauge(prometheus.GaugeOpts{Name: "ingest_windows_stale", Help: "Load windows that readings have changed since they were made."}),
		},
	}
}

const (
	staleWindows  = "history.windows" // their checkpoint's name
	makeEvery     = 30 * time.Second  // at most
	makeShare     = 20                // a pass is followed by a pause of so many times what it took
	windowsAtOnce = 8                 // a pass: the open ones and some late ones
	drawsAtOnce   = 3 * time.Minute   // of readings in memory
	forgetBefore  = time.Hour         // earlier than the store does
)

// touch notes whose windows a batch that is in the store has changed, and returns when that is kept.
func (w *windows) touch(ctx context.Context, batch []charge.Reading) error {
	starts := make(map[int64]bool)
	oldest := w.oldest()
	for i := range batch {
		r := &batch[i]
		if r.Kind != charge.KindTelemetry && r.Kind != charge.KindStatus || r.At.Before(oldest) {
			continue // the store may not have all of that window any more
		}
		first, last := load.Touched(r.At)
		starts[first.Unix()], starts[last.Unix()] = true, true
	}
	if len(starts) == 0 {
		return nil
	}
	w.mu.Lock()
	w.count++
	for s := range starts {
		w.stale[s] = w.count
	}
	w.metrics.stale.Set(float64(len(w.stale)))
	w.mu.Unlock()

	w.saving.Lock()
	defer w.saving.Unlock()
	for s := range starts {
		if !w.saved[s] {
			return w.save(ctx)
		}
	}
	return nil
}

// oldest is the time before which the store may not have all readings of a window any more.
func (w *windows) oldest() time.Time { return time.Now().Add(forgetBefore - series.Keep) }

// save keeps which windows are stale. The caller holds saving.
func (w *windows) save(ctx context.Context) error {
	w.mu.Lock()
	starts := slices.Sorted(maps.Keys(w.stale))
	w.mu.Unlock()
	text, err := json.Marshal(starts)
	if err != nil {
		return fmt.Errorf("encode stale windows: %w", err)
	}
	if err := w.kept.SaveCheckpoint(ctx, staleWindows, text); err != nil {
		return err
	}
	clear(w.saved)
	for _, s := range starts {
		w.saved[s] = true
	}
	return nil
}

// recall reads which windows were stale when the program ended.
func (w *windows) recall(ctx context.Context) error {
	text, err := w.kept.Checkpoint(ctx, staleWindows)
	if err != nil || text == nil {
		return err
	}
	var starts []int64
	if err := json.Unmarshal(text, &starts); err != nil {
		return fmt.Errorf("read checkpoint %s: %w", staleWindows, err)
	}
	w.saving.Lock()
	defer w.saving.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range starts {
		w.saved[s] = true
		if _, touched := w.stale[s]; !touched {
			w.stale[s] = 0
		}
	}
	return nil
}

// run makes stale windows until ctx ends, for at most a twentieth of the time.
func (w *windows) run(ctx context.Context) error {
	if err := w.recall(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	failing := false
	for pause := makeEvery; wait(ctx, pause); {
		begun := time.Now()
		err := w.pass(ctx)
		pause = max(makeEvery, makeShare*time.Since(begun))
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing:
			w.log.Warn("load windows are not made, they stay as they are until they can be", "err", err)
		case err == nil && failing:
			w.log.Info("load windows are made again")
		}
		failing = err != nil
	}
	return nil
}

// unlessEnded is err where it has not its cause in the end of ctx.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // what fails because it was ended has not failed
	}
	return err
}

// wait waits, unless ctx ends first; then it is false.
func wait(ctx context.Context, long time.Duration) bool {
	t := time.NewTimer(long)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// pass makes the newest stale windows and then the days that they are of.
func (w *windows) pass(ctx context.Context) error {
	oldest := w.oldest().Unix()
	w.mu.Lock()
	maps.DeleteFunc(w.stale, func(start int64, _ uint64) bool { return start < oldest })
	todo := maps.Clone(w.stale)
	w.mu.Unlock()
	starts := slices.Sorted(maps.Keys(todo))
	slices.Reverse(starts)
	starts = starts[:min(len(starts), windowsAtOnce)]
	if len(starts) == 0 {
		return nil
	}
	served := w.served()
	days := make(map[time.Time]bool)
	for _, s := range starts {
		start := time.Unix(s, 0).UTC()
		loads, err := w.window(ctx, start, served)
		if err != nil {
			return err
		}
		if err := w.store.WriteLoads(ctx, loads); err != nil {
			return err
		}
		w.metrics.made.Inc()
		days[dayOf(start)] = true
	}
	for day := range days {
		if err := w.day(ctx, day); err != nil {
			return err
		}
	}
	w.saving.Lock()
	defer w.saving.Unlock()
	w.mu.Lock()
	for _, s := range starts {
		if w.stale[s] == todo[s] { // not touched since
			delete(w.stale, s)
		}
	}
	w.metrics.stale.Set(float64(len(w.stale)))
	w.mu.Unlock()
	return w.save(ctx)
}

// dayOf is the midnight of charge.Zone before a time.
func dayOf(t time.Time) time.Time {
	y, m, d := t.In(charge.Zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, charge.Zone).UTC()
}

// A site is where windows are summed: a division and a partition.
type site struct {
	division  charge.DivisionCode
	partition int
}

func compareSites(a, b site) int {
	return cmp.Or(cmp.Compare(a.division, b.division), cmp.Compare(a.partition, b.partition))
}

// served gives the counties that have stations: where nobody charges, the load is 0 and not unknown.
func (w *windows) served() map[site]bool {
	all := make(map[site]bool)
	for s := range w.places.Stations() {
		all[w.siteOf(s)] = true
	}
	return all
}

func (w *windows) siteOf(s *charge.Station) site {
	return site{s.Township.Parent(), w.partitionOf(s.Township)}
}

// window makes the rows of a window: of each county, city and province, by partition.
func (w *windows) window(ctx context.Context, start time.Time, served map[site]bool) ([]series.Load, error) {
	sums := make(map[site]*load.Sum)
	operators := make(map[site]map[charge.OperatorID]float64)
	for at := range served {
		sums[at] = &load.Sum{}
	}
	end := start.Add(load.Window)
	for from := start; from.Before(end); from = from.Add(drawsAtOnce) {
		to := from.Add(drawsAtOnce)
		err := w.store.Draws(ctx, from.Add(-load.Hold), to, func(key charge.ConnectorKey, draws []charge.Draw) {
			pile, ok := w.places.Pile(key.Pile)
			if !ok {
				return // it was taken out of the registry
			}
			at := w.siteOf(pile.Station)
			sum := sums[at]
			if sum == nil {
				sum = &load.Sum{}
				sums[at] = sum
			}
			if kWh := sum.Add(start.UnixMilli(), draws, from.UnixMilli(), to.UnixMilli()); kWh != 0 {
				if operators[at] == nil {
					operators[at] = make(map[charge.OperatorID]float64)
				}
				operators[at][key.Pile.Operator] += kWh
			}
		})
		if err != nil {
			return nil, err
		}
	}
	counties := slices.SortedFunc(maps.Keys(sums), compareSites)
	for _, county := range counties { // in a fixed order, so that the same readings give the same digits
		for up := county.division.Parent(); up != ""; up = up.Parent() {
			at := site{up, county.partition}
			if sums[at] == nil {
				sums[at] = &load.Sum{}
			}
			sums[at].Plus(sums[county])
		}
	}
	var loads []series.Load
	for _, at := range slices.SortedFunc(maps.Keys(sums), compareSites) {
		sum := sums[at]
		loads = append(loads, series.Load{
			Start: start, Division: at.division, Partition: at.partition, EnergyKWh: sum.EnergyKWh(), Charging: sum.Charging(),
			Minutes: sum.PowerKW(), Operators: operators[at],
		})
	}
	return loads, nil
}

// day adds up the windows of a day, by operator.
func (w *windows) day(ctx context.Context, day time.Time) error {
	loads, err := w.store.OperatorLoads(ctx, day, day.Add(24*time.Hour))
	if err != nil {
		return err
	}
	type key struct {
		site
		operator charge.OperatorID
	}
	sum := make(map[key]float64)
	for i := range loads {
		l := &loads[i]
		for division := l.Division; division != ""; division = division.Parent() {
			for operator, kWh := range l.Operators {
				sum[key{site{division, l.Partition}, operator}] += kWh
			}
		}
	}
	energies := make([]series.Energy, 0, len(sum))
	for k, kWh := range sum {
		energies = append(energies, series.Energy{Day: day, Division: k.division, Operator: k.operator, Partition: k.partition, EnergyKWh: kWh})
	}
	slices.SortFunc(energies, func(a, b series.Energy) int {
		return cmp.Or(cmp.Compare(a.Division, b.Division), cmp.Compare(a.Operator, b.Operator), cmp.Compare(a.Partition, b.Partition))
	})
	return w.store.WriteEnergies(ctx, energies)
}
