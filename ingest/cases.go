package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/ingest/longfailed"
	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/policy"
	"pilewatch/internal/registry"
)

// caseStore is where days are read and cases kept; *registry.Registry is one.
type caseStore interface {
	FrozenThrough(ctx context.Context) (time.Time, error)
	CasesLookedAt(ctx context.Context) (time.Time, error)
	NoteCasesLookedAt(ctx context.Context, day time.Time) error
	FailingPiles(ctx context.Context, day time.Time, under float64) ([]charge.PileID, error)
	PileDays(ctx context.Context, pile charge.PileID, from, to time.Time) ([]registry.PileDay, error)
	ConnectorDays(ctx context.Context, key charge.ConnectorKey, from, to time.Time) ([]registry.ConnectorDay, error)
	IdlePiles(ctx context.Context, day time.Time, days int, underWh int64) ([]charge.PileID, error)
	PilesOfStation(ctx context.Context, operator charge.OperatorID, station charge.StationID) ([]charge.PileID, error)
	PublicPiles(ctx context.Context, township charge.DivisionCode) ([]charge.PileID, error)
	PilesOfModel(ctx context.Context, operator charge.OperatorID, equipmentType int, powerKW float64) ([]charge.PileID, error)
	TownshipFacts(ctx context.Context) ([]registry.TownshipFacts, error)
	PileLinks(ctx context.Context) ([]registry.PileLink, error)
	Excuses(ctx context.Context, q registry.ExcuseQuery) ([]charge.Excuse, error)
	Rev(ctx context.Context) (int64, error)
	StandingChanges(ctx context.Context, pile charge.PileID, from, until time.Time) ([]registry.StandingChange, error)
	PileRejects(ctx context.Context, pile charge.PileID, from, to time.Time) ([]registry.RejectDay, error)
	PlatformOutages(ctx context.Context, partition int, from, until time.Time) ([]charge.Span, error)
	Qualities(ctx context.Context, month time.Time) (map[charge.OperatorID]registry.Quality, error)
	InspectionsOf(ctx context.Context, pile charge.PileID, from, until time.Time) ([]registry.Inspection, error)
	NeighboursOf(ctx context.Context, operator charge.OperatorID, township charge.DivisionCode) ([]charge.PileID, error)

	Cases(ctx context.Context, q registry.CaseQuery) ([]registry.Case, error)
	CaseRecord(ctx context.Context, id string) ([]cases.Entry, error)
	OpenCase(ctx context.Context, s *registry.Suspicion) (registry.Case, bool, error)
	ActOnCase(ctx context.Context, id string, step registry.CaseStep) (registry.Case, error)
	FollowCases(ctx context.Context) (int, error)
	DueCases(ctx context.Context) ([]registry.Case, error)
	PassCase(ctx context.Context, c *registry.Case) (bool, error)
}

// procedure is what the platform does with cases by itself (docs/cases.md): it suspects, proves repairs, and lets
// deadlines pass. All of it is in the registry, each step in one transaction with a check of the present state, so
// that it may be ended anywhere and begun again: a day that was half looked at is looked at again whole.
type procedure struct {
	store       caseStore
	policies    func() policy.Policies
	pile        func(charge.PileID) (*registry.Pile, bool)
	partitionOf func(charge.DivisionCode) int
	slog        *slog.Logger
	steps       *prometheus.CounterVec
	energies    *energies // of the day that is looked at
}

// farAway is after all that is entered.
var farAway = time.Date(9999, 1, 1, 0, 0, 0, 0, charge.Zone)

const (
	casesEvery  = time.Minute
	longestLook = 400 // days that are read of a pile: 180 in service, at a station open for half of each day, and to spare
)

func newProcedure(store caseStore, dir *registry.Directory, partitionOf func(charge.DivisionCode) int, log *slog.Logger, reg prometheus.Registerer) *procedure {
	return &procedure{
		store: store, policies: dir.Policies, pile: dir.Pile, partitionOf: partitionOf, slog: log,
		steps: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{Name: "ingest_case_steps_total", Help: "Steps of cases of long-failed piles that the platform took by itself, by action."}, []string{"action"}),
	}
}

func (p *procedure) run(ctx context.Context) error {
	failing := false
	for {
		err := p.look(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			p.slog.Warn("cases are not looked at, they will be once they can", "err", err)
		}
		failing = err != nil
		if !wait(ctx, casesEvery) {
			return nil
		}
	}
}

// look does all that there is to do now.
func (p *procedure) look(ctx context.Context) error {
	followed, err := p.store.FollowCases(ctx)
	if err != nil {
		return err
	}
	p.steps.WithLabelValues(string(cases.Follow)).Add(float64(followed))
	frozen, err := p.store.FrozenThrough(ctx)
	if err != nil {
		return err
	}
	if !frozen.IsZero() {
		last, err := p.store.CasesLookedAt(ctx)
		if err != nil {
			return err
		}
		day := frozen
		if !last.IsZero() {
			day = last.AddDate(0, 0, 1)
		}
		for ; !day.After(frozen); day = day.AddDate(0, 0, 1) {
			if err := p.closeDay(ctx, day); err != nil {
				return fmt.Errorf("look at cases of %s: %w", day.Format(time.DateOnly), err)
			}
			if err := p.store.NoteCasesLookedAt(ctx, day); err != nil {
				return err
			}
		}
	}
	due, err := p.store.DueCases(ctx)
	if err != nil {
		return err
	}
	for i := range due {
		passed, err := p.store.PassCase(ctx, &due[i])
		if err != nil {
			return err
		}
		if passed {
			p.steps.WithLabelValues("passed").Inc()
		}
	}
	return nil
}

// closeDay looks first for proof of repair and then for suspicions, at the end of a frozen day.
func (p *procedure) closeDay(ctx context.Context, day time.Time) error {
	links, err := p.store.PileLinks(ctx)
	if err != nil {
		return err
	}
	open, err := p.store.Cases(ctx, registry.CaseQuery{States: cases.RunningStates()})
	if err != nil {
		return err
	}
	versions := longFailedPolicies(p.policies())
	for i := range open {
		lapsed, err := p.uphold(ctx, &open[i], links, day, versions)
		if err != nil {
			return fmt.Errorf("judge case %s by later policies: %w", open[i].ID, err)
		}
		if lapsed {
			continue
		}
		if err := p.prove(ctx, &open[i], links, day, versions); err != nil {
			return fmt.Errorf("prove case %s: %w", open[i].ID, err)
		}
	}
	failing, err := p.store.FailingPiles(ctx, day, goodFrom(versions))
	if err != nil {
		return err
	}
	for _, id := range failing {
		if err := p.suspect(ctx, id, links, day, versions); err != nil {
			return fmt.Errorf("judge pile %s: %w", id, err)
		}
	}
	return p.check(ctx, links, day, versions)
}

// check looks for piles that delivered nothing.
func (p *procedure) check(ctx context.Context, links []registry.PileLink, day time.Time, versions []longfailed.Policy) error {
	days, underWh := idleFrom(day, versions)
	if days == 0 {
		return nil
	}
	p.energies = nil
	idle, err := p.store.IdlePiles(ctx, day, days, underWh)
	if err != nil {
		return err
	}
	for _, id := range idle {
		if err := p.suspect(ctx, id, links, day, versions); err != nil {
			return fmt.Errorf("judge pile %s: %w", id, err)
		}
	}
	return nil
}

// uphold ends an open case of which no ground holds by a policy that came after it and is milder (从旧兼从轻).
func (p *procedure) uphold(ctx context.Context, c *registry.Case, links []registry.PileLink, day time.Time, versions []longfailed.Policy) (lapsed bool, err error) {
	if !c.State.Open() {
		return false, nil
	}
	version := func(name string) int {
		return slices.IndexFunc(versions, func(v longfailed.Policy) bool { return v.Version == name })
	}
	since := version(c.Policy)
	var x *examined
	by := ""
	for _, g := range c.Grounds {
		rule, old := longfailed.Rule(g.Rule), version(g.Policy)
		if since < 0 || old < 0 {
			return false, nil // by a policy that is no longer known
		}
		fallen := ""
		for n := max(since, old) + 1; n < len(versions) && !versions[n].FirstDay.After(day) && fallen == ""; n++ {
			if !longfailed.Milder(rule, &versions[n], &versions[old]) {
				continue
			}
			if x == nil {
				if x, err = p.examine(ctx, c.Pile, links, day); err != nil || x == nil {
					return false, err
				}
				if rule == longfailed.NoEnergy {
					if err := p.lookAround(ctx, x, day.AddDate(0, 0, -versions[n].NoEnergy.Days), day); err != nil {
						return false, err
					}
				}
			}
			if !longfailed.Upheld(rule, &x.days, c.Suspected, &versions[old], &versions[n]) {
				fallen = versions[n].Version
			}
		}
		if fallen == "" {
			return false, nil
		}
		by = fallen
	}
	_, err = p.store.ActOnCase(ctx, c.ID, registry.CaseStep{
		Action: cases.Lapse, Person: "platform", Role: cases.Platform, Text: "no ground holds by policy " + by + ", which is milder than the one by which the case was opened",
	})
	if refused := (*cases.RefusedError)(nil); errors.As(err, &refused) {
		return false, nil // somebody was first
	}
	if err == nil {
		p.steps.WithLabelValues(string(cases.Lapse)).Inc()
	}
	return err == nil, err
}

// prove ends a case whose repair is proved by every ground; of one that was decommissioned it goes on the record, for an
// officer to restore it.
func (p *procedure) prove(ctx context.Context, c *registry.Case, links []registry.PileLink, day time.Time, versions []longfailed.Policy) error {
	if !c.Proved.IsZero() {
		return nil // it is on the record
	}
	names := registry.PileNames(links, c.Pile)
	days, _, err := p.days(ctx, names, c.Suspected, day)
	if err != nil || len(days) == 0 {
		return err
	}
	rec, err := p.store.CaseRecord(ctx, c.ID)
	if err != nil {
		return err
	}
	var tests []time.Time
	for _, e := range rec {
		if e.Detail != nil && e.Detail.Inspection != nil && e.Detail.Inspection.TestWh >= 1000 {
			tests = append(tests, e.Detail.Inspection.At)
		}
	}
	grounds := make([]longfailed.Rule, len(c.Grounds))
	for i, g := range c.Grounds {
		grounds[i] = longfailed.Rule(g.Rule)
	}
	since := slices.IndexFunc(versions, func(v longfailed.Policy) bool { return v.Version == c.Policy })
	proofs, done := longfailed.Prove(grounds, days, c.Suspected, tests, versions[max(since, 0):]...)
	if !done {
		return nil
	}
	on, text := time.Time{}, "the repair is proved:"
	for _, proof := range proofs {
		on = later(on, proof.On)
		text += fmt.Sprintf(" %s by %d of %d minutes usable;", proof.Ground, proof.Usable, proof.Minutes)
	}
	on = on.AddDate(0, 0, 1)
	_, err = p.store.ActOnCase(ctx, c.ID, registry.CaseStep{Action: cases.Prove, Person: "platform", Role: cases.Platform, Text: text, Detail: cases.Detail{Until: on}})
	if refused := (*cases.RefusedError)(nil); errors.As(err, &refused) {
		return nil // somebody was first
	}
	if err == nil {
		p.steps.WithLabelValues(string(cases.Prove)).Inc()
	}
	return err
}

// An examined is a pile with all that the rules look at.
type examined struct {
	pile       *registry.Pile
	names      []cases.Name    // up to its own
	machine    []charge.PileID // all names of the machine, later ones too
	days       longfailed.Pile
	connectors []dossierDay
	earlier    []registry.Case // under any of its names
	running    bool            // one of them is not at its end
}

// mayHaveCase tells whether the policy in force on day, or the only one given, opens cases for a pile.
func mayHaveCase(pile *registry.Pile, day time.Time, versions []longfailed.Policy) bool {
	terms := pile.Station.TermsAt(day)
	n := len(versions) - 1
	for n > 0 && versions[n].FirstDay.After(day) {
		n--
	}
	return n >= 0 && longfailed.MayHaveCase(terms.Kind, terms.RunAsService(), &versions[n])
}

// examine reads what the rules look at; nil where the pile is not registered or is decommissioned.
func (p *procedure) examine(ctx context.Context, id charge.PileID, links []registry.PileLink, day time.Time) (*examined, error) {
	pile, ok := p.pile(id)
	if !ok || pile.Decommissioned != "" {
		return nil, nil
	}
	x := &examined{pile: pile, names: registry.PileNames(links, id), days: longfailed.Pile{Since: pile.Station.Since(), Dismissed: map[longfailed.Rule]time.Time{}}}
	for _, n := range x.names {
		x.machine = append(x.machine, charge.PileID{Operator: charge.OperatorID(n.Operator), Equipment: n.Pile})
	}
	for _, l := range registry.LaterNames(links, id, farAway) { // its cases go on there
		x.machine = append(x.machine, l.Pile)
	}
	for _, name := range x.machine {
		of, err := p.store.Cases(ctx, registry.CaseQuery{Pile: name})
		if err != nil {
			return nil, err
		}
		for _, c := range of {
			switch {
			case c.State.Running():
				x.running = true
			case c.State == cases.Dismissed:
				for _, g := range c.Grounds {
					rule := longfailed.Rule(g.Rule)
					x.days.Dismissed[rule] = later(x.days.Dismissed[rule], c.DismissedUntil)
				}
			case c.State == cases.Rectified:
				x.days.Since = later(x.days.Since, c.Suspected)
			default:
				x.days.Since = later(x.days.Since, c.Since)
			}
		}
		x.earlier = append(x.earlier, of...)
	}
	var err error
	x.days.Days, x.connectors, err = p.days(ctx, x.names, day.AddDate(0, 0, -longestLook), day)
	return x, err
}

// suspect opens a case where a rule holds at the end of day.
func (p *procedure) suspect(ctx context.Context, id charge.PileID, links []registry.PileLink, day time.Time, versions []longfailed.Policy) error {
	if pile, ok := p.pile(id); !ok || !mayHaveCase(pile, day, versions) {
		return nil
	}
	x, err := p.examine(ctx, id, links, day)
	if err != nil || x == nil || x.running {
		return err
	}
	all, err := p.suspicions(ctx, x, day, versions)
	if err != nil || len(all) == 0 {
		return err
	}
	found, action, checkDays := grounds(all), cases.Suspect, 0
	if found[0].Check {
		action, checkDays = cases.OpenCheck, versionOf(versions, found[0].Policy).NoEnergy.CheckDays
	}
	s, err := p.suspicion(ctx, x, day, found)
	if err != nil {
		return err
	}
	s.PeriodDays, s.CheckDays = p.policies().At(day).Case.PeriodDays, checkDays
	if checkDays == 0 {
		joinRelapse(s, x.earlier, day, versions)
	}
	c, opened, err := p.store.OpenCase(ctx, s)
	if opened {
		p.steps.WithLabelValues(string(action)).Inc()
		p.slog.Info("pile is suspected to have failed for long", "case", c.ID, "pile", id, "station", x.pile.Station.ID, "rule", s.Grounds[0].Rule)
	}
	return err
}

func versionOf(versions []longfailed.Policy, name string) *longfailed.Policy {
	return &versions[max(0, slices.IndexFunc(versions, func(v longfailed.Policy) bool { return v.Version == name }))]
}

// grounds are the rules on which a case rests, or where none opens one, a check.
func grounds(found []longfailed.Suspicion) []longfailed.Suspicion {
	of := slices.DeleteFunc(slices.Clone(found), func(s longfailed.Suspicion) bool { return s.Check })
	if len(of) == 0 {
		return found
	}
	return of
}

// A Tried is a pile that another policy would judge otherwise than those in force.
type Tried struct {
	Pile        charge.PileID
	Case        string            // that is open, "" for none
	Now, Beside []longfailed.Rule // that hold by the policies in force, and by the other one; no_energy alone is a check
}

// TryPolicy lists what a policy would open and close, had it always been in force, at the end of the newest frozen day.
func TryPolicy(ctx context.Context, reg *registry.Registry, dir *registry.Directory, other *policy.Policy) (day time.Time, all []Tried, err error) {
	p := &procedure{store: reg, policies: dir.Policies, pile: dir.Pile}
	if day, err = reg.FrozenThrough(ctx); err != nil || day.IsZero() {
		return day, nil, err
	}
	links, err := reg.PileLinks(ctx)
	if err != nil {
		return day, nil, err
	}
	trials := [2]*trial{{versions: longFailedPolicies(dir.Policies())}, {versions: longFailedPolicies(policy.Policies{other})}}
	trials[1].versions[0].FirstDay = time.Time{}
	piles, err := p.candidates(ctx, day, append(slices.Clone(trials[0].versions), trials[1].versions...))
	if err != nil {
		return day, nil, err
	}
	for _, id := range piles {
		x, err := p.examine(ctx, id, links, day)
		if err != nil {
			return day, nil, err
		}
		if x == nil {
			continue
		}
		t := Tried{Pile: id}
		for i, rules := range []*[]longfailed.Rule{&t.Now, &t.Beside} {
			if *rules, err = p.try(ctx, trials[i], x, day); err != nil {
				return day, nil, err
			}
		}
		for _, c := range x.earlier {
			if c.State.Open() {
				t.Case = c.ID
			}
		}
		if !slices.Equal(t.Now, t.Beside) {
			all = append(all, t)
		}
	}
	return day, all, nil
}

// A trial is policies that are tried, with the energies that were added up for them.
type trial struct {
	versions []longfailed.Policy
	energies *energies
}

// try gives the rules on which a case or a check would rest.
func (p *procedure) try(ctx context.Context, t *trial, x *examined, day time.Time) (rules []longfailed.Rule, err error) {
	if !mayHaveCase(x.pile, day, t.versions) {
		return nil, nil
	}
	p.energies = t.energies
	found, err := p.suspicions(ctx, x, day, t.versions)
	t.energies = p.energies
	for _, f := range grounds(found) {
		rules = append(rules, f.Rule)
	}
	return rules, err
}

// candidates gives the piles of which a rule of any of the policies may hold at the end of day.
func (p *procedure) candidates(ctx context.Context, day time.Time, versions []longfailed.Policy) ([]charge.PileID, error) {
	failing, err := p.store.FailingPiles(ctx, day, goodFrom(versions))
	if err != nil {
		return nil, err
	}
	days, underWh := idleFrom(day, versions)
	if days == 0 {
		return failing, nil
	}
	idle, err := p.store.IdlePiles(ctx, day, days, underWh)
	if err != nil {
		return nil, err
	}
	known := make(map[charge.PileID]bool, len(failing))
	for _, id := range failing {
		known[id] = true
	}
	return append(failing, slices.DeleteFunc(idle, func(id charge.PileID) bool { return known[id] })...), nil
}

// goodFrom is the share of time usable from which on no rule but no_energy holds.
func goodFrom(versions []longfailed.Policy) (share float64) {
	for i := range versions {
		share = max(share, versions[i].Proof.UnreliableAtLeast)
	}
	return share
}

// idleFrom is in how many days a pile must have delivered less than what for no_energy to hold; 0 days: by no policy.
func idleFrom(day time.Time, versions []longfailed.Policy) (days int, underWh int64) {
	for i := range versions {
		if rule := &versions[i].NoEnergy; rule.Days > 0 && !versions[i].FirstDay.After(day) {
			if days == 0 || rule.Days < days {
				days = rule.Days
			}
			underWh = max(underWh, int64(math.Ceil(rule.UnderKWh*1000)))
		}
	}
	return days, underWh
}

// joinRelapse lets a suspicion soon after a rectified case go on with that one.
func joinRelapse(s *registry.Suspicion, earlier []registry.Case, day time.Time, versions []longfailed.Policy) {
	var of []longfailed.Earlier
	var ids []string
	for _, c := range earlier {
		if c.State == cases.Rectified && !wasCheck(&c) { // a check that was met is no earlier suspicion
			of, ids = append(of, longfailed.Earlier{Suspected: c.Opened, Rectified: c.Suspected}), append(ids, c.ID)
			for range c.Relapses { // suspicions that joined it are earlier ones of their own
				of, ids = append(of, longfailed.Earlier{Suspected: c.Opened, Rectified: c.Suspected}), append(ids, c.ID)
			}
		}
	}
	r := versions[len(versions)-1].Periods.Relapsed(of, day.AddDate(0, 0, 1))
	s.PeriodDays = r.PeriodDays
	if r.Joins >= 0 {
		s.Joins = ids[r.Joins]
	}
}

func wasCheck(c *registry.Case) bool {
	return !slices.ContainsFunc(c.Grounds, func(g registry.CaseGround) bool { return g.Rule != string(longfailed.NoEnergy) })
}

// A dossierDay is one connector's.
type dossierDay struct {
	connector charge.ConnectorID
	day       registry.ConnectorDay
}

// days reads the frozen days of a machine under all its names, in order.
func (p *procedure) days(ctx context.Context, names []cases.Name, from, to time.Time) (days []longfailed.Day, connectors []dossierDay, err error) {
	for i, n := range names {
		first, last := from, to
		if i+1 < len(names) {
			if next := names[i+1].From.In(charge.Zone); next.AddDate(0, 0, -1).Before(last) {
				last = next.AddDate(0, 0, -1)
			}
		}
		if i > 0 {
			first = later(first, n.From.In(charge.Zone))
		}
		id := charge.PileID{Operator: charge.OperatorID(n.Operator), Equipment: n.Pile}
		of, err := p.store.PileDays(ctx, id, first, last)
		if err != nil {
			return nil, nil, err
		}
		at := make(map[int64]int, len(of))
		for _, d := range of {
			if d.Frozen {
				at[d.Day.Unix()] = len(days)
				days = append(days, longfailed.Day{Date: d.Day, Pile: d.Minutes})
			}
		}
		pile, ok := p.pile(id)
		if !ok {
			continue
		}
		for c := range pile.Connectors {
			of, err := p.store.ConnectorDays(ctx, charge.ConnectorKey{Pile: id, Connector: pile.Connectors[c].ID}, first, last)
			if err != nil {
				return nil, nil, err
			}
			for _, d := range of {
				if n, ok := at[d.Day.Unix()]; ok && d.Frozen {
					for len(days[n].Connectors) <= c {
						days[n].Connectors = append(days[n].Connectors, charge.DayMinutes{})
					}
					days[n].Connectors[c] = d.Minutes
					connectors = append(connectors, dossierDay{pile.Connectors[c].ID, d})
				}
			}
		}
	}
	return days, connectors, nil
}

// longFailedPolicies are the numbers of the rules, of each version of the policy.
func longFailedPolicies(all policy.Policies) []longfailed.Policy {
	const day = 24 * time.Hour
	days := func(d time.Duration) int { return int(d / day) }
	versions := make([]longfailed.Policy, len(all))
	for i, p := range all {
		l := &p.LongFailed
		versions[i] = longfailed.Policy{
			Version: p.Version, FirstDay: p.From,
			Silent:     longfailed.SilentRule{Days: days(l.Silent.Window), HeardUnder: l.Silent.HeardUnder},
			Faulted:    longfailed.FaultedRule{Days: days(l.Faulted.Window), FaultAtLeast: l.Faulted.AtLeast},
			NotUsable:  longfailed.NotUsableRule{Days: days(l.NotUsable.Window), UsableAtMost: l.NotUsable.AtMost},
			Unreliable: longfailed.UnreliableRule{Days: days(l.Unreliable.Window), Under: l.Unreliable.Under, KnownAtLeast: l.Unreliable.KnownShare},
			NoEnergy: longfailed.NoEnergyRule{
				Days: days(l.NoEnergy.Window), UnderKWh: l.NoEnergy.UnderWh / 1000, UsableAtLeast: l.NoEnergy.UsableShare,
				OthersKWh: l.NoEnergy.NeighboursWh / 1000, CheckDays: l.NoEnergy.TestDays,
			},
			Proof: longfailed.ProofRule{
				Hours: int(p.Proof.Service / time.Hour), UsableAtLeast: p.Proof.Usable, BreakMinutes: int(p.Proof.BreakAtMost / time.Minute),
				UnreliableDays: days(p.Proof.UnreliableTime), UnreliableAtLeast: p.Proof.Unreliable,
			},
			Periods: longfailed.Periods{
				Days: p.Case.PeriodDays, RelapseDays: p.Relapse.PeriodDays, RelapseWithinDays: p.Relapse.WithinDays, LastWithinMonths: p.Relapse.ThirdMonths,
				DismissalDays: p.DismissalHolds,
			},
			Public: l.Public, Dedicated: l.Dedicated, ResidentialAsAService: l.Service,
		}
	}
	return versions
}
