package ingest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

// A Store is where history is kept; *series.Embedded and *series.Influx are ones.
type Store interface {
	PointWriter
	Ping(ctx context.Context) error
}

// An Ingest is ready to run.
type Ingest struct {
	log      *journal.Log
	registry *registry.Registry
	store    Store
	history  *history
	windows  *windows  // nil where the store has none
	days     *days     // nil where the store has none
	pileDays *pileDays // nil where the store has none
	tally    *tally
	tidier   *tidier
	groups   *groups
	cases    *procedure
	courier  *courier
	newOwner func(partition int, epoch uint64) *owner
	slog     *slog.Logger
	metrics  prometheus.Registerer
	holder   string
}

// New makes an ingest that reads the log, keeps history in store and judgements in reg. dir is reg's
// own, and followed by the caller. Several may share the work: each is cfg.Name to the others.
func New(cfg *Config, log *journal.Log, reg *registry.Registry, dir *registry.Directory, store Store, logger *slog.Logger, metrics prometheus.Registerer) (*Ingest, error) {
	logger = logger.With("service", "ingest")
	watched, err := log.Watched()
	if err != nil {
		return nil, err
	}
	in := &Ingest{log: log, registry: reg, store: store, slog: logger, metrics: metrics, holder: cmp.Or(cfg.Name, rand.Text()), history: newHistory(cfg, store, log.PublishReject, logger, metrics)}
	in.tally = newTally(reg, func(at time.Time) time.Duration { return dir.Policies().At(at).Lateness },
		func(id charge.OperatorID) bool { _, ok := dir.Operator(id); return ok },
		func(id charge.PileID) bool {
			p, ok := dir.Pile(id)
			if !ok {
				return false
			}
			terms := p.Station.Terms()
			return terms.Kind != charge.Residential || terms.RunAsService()
		}, logger)
	in.history.tally = in.tally
	if ws, ok := store.(windowStore); ok {
		in.windows = newWindows(ws, dir, log.PartitionOf, log, logger, metrics)
		in.history.touch = in.windows.touch
	}
	if st, ok := store.(starter); ok {
		in.history.again = &again{store: st, slog: logger}
	}
	if cs, ok := store.(coverageStore); ok {
		in.days = &days{store: cs, log: log, divisions: dir.Divisions, states: reg.TownshipStates, slog: logger}
	}
	if as, ok := store.(availabilityStore); ok {
		in.pileDays = newPileDays(as, reg, log, logger, metrics)
	}
	m := newHealthMetrics(metrics)
	m.beginDanger(dir.Divisions())
	counted := &connectorCount{by: make(map[int]census)}
	metrics.MustRegister(counted)
	in.newOwner = func(p int, epoch uint64) *owner {
		return &owner{
			judge: newJudge(p, log.PartitionOf, dir), epoch: epoch, log: log, store: reg, watched: watched,
			slog: logger.With("partition", p), metrics: m, counted: counted,
		}
	}
	in.tidier = newTidier(log, store, reg, logger, metrics)
	in.groups = newGroups(reg, dir, logger, metrics)
	in.cases = newProcedure(reg, dir, log.PartitionOf, logger, metrics)
	if in.courier, err = newCourier(cfg, reg, logger, metrics); err != nil {
		return nil, err
	}
	return in, nil
}

// Run reads the log until ctx ends. Then it keeps a checkpoint; what it has not taken stays in the log.
func (in *Ingest) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return in.history.run(ctx, in.log) })
	g.Go(func() error { return in.history.watch(ctx, in.log) })
	g.Go(func() error { return in.tally.run(ctx) })
	if in.windows != nil {
		g.Go(func() error { return in.windows.run(ctx) })
	}
	g.Go(func() error {
		leases, err := in.log.Leases(ctx, in.holder)
		if err != nil {
			return unlessEnded(ctx, err)
		}
		return newShares(leases, in.tasks(), in.slog, in.metrics).run(ctx)
	})
	return g.Wait()
}

// tasks lists what only one of all ingest processes may do at a time.
func (in *Ingest) tasks() []task {
	var all []task
	for p := range in.log.Partitions() {
		all = append(all, task{fmt.Sprintf("health-%d", p), func(ctx context.Context, epoch uint64) error { return in.newOwner(p, epoch).run(ctx) }})
	}
	if in.days != nil {
		all = append(all, task{"days", func(ctx context.Context, _ uint64) error { return in.days.run(ctx) }})
	}
	if in.pileDays != nil {
		all = append(all, task{"piledays", func(ctx context.Context, _ uint64) error { return in.pileDays.run(ctx) }})
	}
	all = append(all, task{"groups", func(ctx context.Context, _ uint64) error { return in.groups.run(ctx) }})
	all = append(all, task{"rejects", func(ctx context.Context, _ uint64) error { return in.tally.followRejects(ctx, in.log) }})
	all = append(all, task{"cases", func(ctx context.Context, _ uint64) error { return in.cases.run(ctx) }})
	all = append(all, task{"deliver", func(ctx context.Context, _ uint64) error { return in.courier.run(ctx) }})
	return append(all, task{"tidy", func(ctx context.Context, _ uint64) error { in.tidier.run(ctx); return nil }})
}

// Ready tells whether everything that ingest needs answers. It works without history all the same:
// the log holds what cannot be written.
func (in *Ingest) Ready(ctx context.Context) error {
	return errors.Join(in.registry.Ping(ctx), in.store.Ping(ctx), in.log.Ping(ctx)) // the log last: it may use the time up
}
