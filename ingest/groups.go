package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/internal/charge"
	"pilewatch/internal/policy"
	"pilewatch/internal/registry"
)

// excuseStore is where silences are read and excuses kept; *registry.Registry is one.
type excuseStore interface {
	Silences(ctx context.Context, since time.Time) (map[charge.OperatorID][]registry.Silence, error)
	Speaking(ctx context.Context, operator charge.OperatorID) (int, error)
	OpenExcuses(ctx context.Context, now time.Time) ([]charge.Excuse, error)
	FoundExcuse(ctx context.Context, e charge.Excuse) error
	EndExcuse(ctx context.Context, id int64, until time.Time) error
}

// groups finds time that no single pile is to blame for (judgement.md §3): nearly all of an operator's
// connectors silent at once, since its broker or its network is away; or half of the connectors of
// several operators, since ours is. An excuse is a dated row of the registry: whoever replays the log
// has it, too, and the minutes of the days that are not frozen go by it.
type groups struct {
	store    excuseStore
	policies func() policy.Policies
	pile     func(charge.PileID) (*registry.Pile, bool)
	places   func() []charge.Division
	slog     *slog.Logger
	open     prometheus.Gauge
}

const (
	groupsEvery  = 20 * time.Second
	groupsWithin = 24 * time.Hour // last heard longer ago, a connector is silent for reasons of its own
)

func newGroups(store excuseStore, dir *registry.Directory, log *slog.Logger, reg prometheus.Registerer) *groups {
	return &groups{
		store: store, policies: dir.Policies, pile: dir.Pile, places: dir.Divisions, slog: log,
		open: promauto.With(reg).NewGauge(prometheus.GaugeOpts{Name: "ingest_group_silences", Help: "Operators whose silence is excused now, since nearly all of their connectors fell silent at once."}),
	}
}

func (g *groups) run(ctx context.Context) error {
	failing := false
	for wait(ctx, groupsEvery) {
		err := g.look(ctx, time.Now())
		if err != nil && !failing && ctx.Err() == nil {
			g.slog.Warn("group silences are not looked for, they will be once they can", "err", err)
		}
		failing = err != nil
	}
	return nil
}

// look finds what has begun and what has ended by now.
func (g *groups) look(ctx context.Context, now time.Time) error {
	p := &g.policies().At(now).Excuses
	open, err := g.store.OpenExcuses(ctx, now)
	if err != nil {
		return err
	}
	since := now.Add(-groupsWithin)
	for _, e := range open {
		since = earlier(since, e.From.Add(-time.Millisecond))
	}
	silent, err := g.store.Silences(ctx, since)
	if err != nil {
		return err
	}
	shares, speaking := make(map[charge.OperatorID]group), make(map[charge.OperatorID]int)
	for operator, of := range silent {
		if speaking[operator], err = g.store.Speaking(ctx, operator); err != nil {
			return err
		}
		shares[operator] = g.group(of, speaking[operator], p)
	}
	silentNow := 0
	for _, e := range open {
		if !ended(&e, silent, speaking, p) {
			silentNow++
			continue
		}
		if err := g.store.EndExcuse(ctx, e.ID, now); err != nil {
			return err
		}
		g.slog.Info("excused silence ends", "kind", e.Kind, "operator", e.Operator, "for", now.Sub(e.From))
	}
	found := g.found(shares, p)
	for _, e := range found {
		if slices.ContainsFunc(open, func(o charge.Excuse) bool { return o.Kind == e.Kind && o.Operator == e.Operator }) {
			continue
		}
		if err := g.store.FoundExcuse(ctx, e); err != nil {
			return err
		}
		silentNow++
		g.slog.Warn("many connectors are silent at once, which is excused", "kind", e.Kind, "operator", e.Operator, "since", e.From, "cause", e.Cause)
	}
	g.open.Set(float64(silentNow))
	return nil
}

// A group is how many of an operator's connectors fell silent together.
type group struct {
	since  time.Time // the first last message of them
	silent int
	of     int // that were heard of until then
}

func (g group) share() float64 {
	if g.of == 0 {
		return 0
	}
	return float64(g.silent) / float64(g.of)
}

// group finds the connectors whose last message falls within the policy's minutes and their own
// interval before the newest of them. Those that are silent for longer have reasons of their own.
func (g *groups) group(silent []registry.Silence, speaking int, p *policy.Excuses) group {
	newest := slices.MaxFunc(silent, func(a, b registry.Silence) int { return a.LastHeard.Compare(b.LastHeard) }).LastHeard
	found := group{since: newest, of: speaking}
	for _, s := range silent {
		if newest.Sub(s.LastHeard) > p.GroupSilence.Within+g.interval(s.Key) {
			continue
		}
		found.silent++
		found.of++
		if s.LastHeard.Before(found.since) {
			found.since = s.LastHeard
		}
	}
	return found
}

// interval is how often a connector is to report.
func (g *groups) interval(key charge.ConnectorKey) time.Duration {
	pile, ok := g.pile(key.Pile)
	if !ok {
		return 0
	}
	for i := range pile.Connectors {
		if pile.Connectors[i].ID == key.Connector {
			return pile.Connectors[i].ReportEvery
		}
	}
	return 0
}

// found lists what is excused: each operator of which nearly all are silent, and everybody where over
// half of the connectors of several operators are, for then the way to us is broken.
func (g *groups) found(shares map[charge.OperatorID]group, p *policy.Excuses) []charge.Excuse {
	var all []charge.Excuse
	var many int
	var since time.Time
	for _, operator := range slices.Sorted(maps.Keys(shares)) {
		s := shares[operator]
		if s.of >= p.GroupSilence.FromIfAll && s.share() > p.OutageShare {
			if many++; since.IsZero() || s.since.Before(since) {
				since = s.since
			}
		}
		if s.of >= p.GroupSilence.FromIfAll && s.share() > p.GroupSilence.Share { // all that the operator has
			all = append(all, charge.Excuse{
				Kind: charge.GroupSilence, Operator: operator, From: s.since, Until: s.since.Add(p.GroupSilence.AnEvent),
				Cause: fmt.Sprintf("%d of %d connectors silent at once", s.silent, s.of),
			})
		}
	}
	if many >= p.OutageOperators {
		all = append(all, charge.Excuse{
			Kind: charge.PlatformOutage, Division: g.places()[0].Code, From: since, Until: since.Add(p.GroupSilence.AnEvent),
			Cause: fmt.Sprintf("over half of the connectors of %d operators silent at once", many),
		})
	}
	return all
}

// ended tells whether so many are heard again that what has begun is over.
func ended(e *charge.Excuse, silent map[charge.OperatorID][]registry.Silence, speaking map[charge.OperatorID]int, p *policy.Excuses) bool {
	share := func(operator charge.OperatorID) float64 {
		g := group{of: speaking[operator]}
		for _, s := range silent[operator] {
			if !s.LastHeard.Before(e.From) {
				g.silent++
				g.of++
			}
		}
		return g.share()
	}
	if e.Kind != charge.PlatformOutage {
		return share(e.Operator) <= p.GroupSilence.Share
	}
	many := 0
	for operator := range silent {
		if share(operator) > p.OutageShare {
			many++
		}
	}
	return many < p.OutageOperators
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
