package ingest

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"pilewatch/ingest/coverage"
	"pilewatch/ingest/health"
	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

// directory is what a judge asks the registry.
type directory interface {
	Rev() int64
	Piles() iter.Seq[*registry.Pile]
	Stations() iter.Seq[*charge.Station]
	Divisions() []charge.Division
}

// A judge holds what is known of one partition: the state of its connectors and what its townships
// are counted as. It does no I/O and asks no clock: the same batches in the same order, on the same
// registry, always give the same states and the same events.
type judge struct {
	partition   int
	partitionOf func(charge.DivisionCode) int
	dir         directory
	rev         int64 // of the directory that the indexes are made from
	judgedRev   int64 // of the directory that the townships were judged by

	state  *health.State
	policy coverage.Policy
	seq    uint64 // of the last message taken

	piles   map[charge.PileID]*pile
	ordered []*pile // by id: events of one tick come in the same order on every replay
	towns   map[charge.DivisionCode]*town
	live    map[charge.ConnectorKey]*charge.LiveConnector // of piles that somebody watches

	changed changes

	stations   []coverage.Station // of the township being judged; kept, since a tick judges all
	judged     []*station         // the same ones
	connectors []coverage.Connector
}

// A pile is a registered pile of the partition; guns are in the order of its connectors.
type pile struct {
	health.Pile
	registered *registry.Pile
	town       *town
	counts     bool // its connectors count for coverage
	guns       []gun
}

// A gun is a connector and what of it was last saved.
type gun struct {
	health.Connector
	savedHeard int64 // Unix ms
	dangerAt   int64 // of the newest danger alarm, Unix ms by the device's clock
	provenAt   int64 // a session of at least 1 kWh was heard of, Unix ms
	changed    bool  // to be saved
}

// A town is a township-level division of the partition.
type town struct {
	shown    charge.TownshipState // as last collected
	verdict  coverage.Verdict
	since    time.Time
	record   coverage.Record
	stations []*station
	stale    bool // to be judged again
	changed  bool // its figures may be others than shown
	untold   bool // what is shown has to be told again
}

// A station is a public one.
type station struct {
	registered *charge.Station
	piles      []*pile
}

// changes is what a judge has found since it was last asked.
type changes struct {
	guns   []gunRef
	towns  []*town
	events []numberedEvent
	live   map[charge.ConnectorKey]struct{}
}

type gunRef struct {
	pile *pile
	gun  int
}

type numberedEvent struct {
	seq   uint64
	event charge.Event
}

// heardSavedEvery is how often the registry is told that a connector was heard, where nothing
// else of it changes: a row for each heartbeat of a million piles would be 18,000 a second.
const heardSavedEvery = 5 * time.Minute

func newJudge(partition int, partitionOf func(charge.DivisionCode) int, dir directory) *judge {
	j := &judge{
		partition: partition, partitionOf: partitionOf, dir: dir, rev: -1, judgedRev: -1,
		state: health.New(health.DefaultPolicy()), policy: coverage.DefaultPolicy(),
		piles: make(map[charge.PileID]*pile), towns: make(map[charge.DivisionCode]*town),
		live:    make(map[charge.ConnectorKey]*charge.LiveConnector),
		changed: changes{live: make(map[charge.ConnectorKey]struct{})},
	}
	return j
}

// take consumes one batch of the partition. watched tells of which piles live values are wanted.
func (j *judge) take(b *journal.Batch, watched func(charge.PileID) bool) {
	j.seq = b.Seq
	j.refresh()
	j.state.Advance(b.At)
	events := len(j.changed.events)
	for i := range b.Readings {
		r := &b.Readings[i]
		p := j.piles[r.Pile]
		if p == nil {
			continue // it has left the registry, or this partition, since the gateway looked it up
		}
		j.read(p, r)
		if (r.Kind == charge.KindStatus || r.Kind == charge.KindTelemetry) && watched(r.Pile) {
			j.observe(p, r)
		}
	}
	if len(b.Readings) == 0 {
		j.tick(watched)
	}
	j.judgeTowns()
	for n := range j.changed.events[events:] {
		e := &j.changed.events[events+n]
		e.seq, e.event.ID = b.Seq, fmt.Sprintf("%d-%d-%d", j.partition, b.Seq, n)
	}
}

// refresh makes the indexes anew where the registry has changed. What is known of a connector stays.
func (j *judge) refresh() {
	rev := j.dir.Rev()
	if rev == j.rev {
		return
	}
	j.rev = rev
	before := j.piles
	j.piles = make(map[charge.PileID]*pile, len(before))
	towns := make(map[charge.DivisionCode]*town, len(j.towns))
	for _, d := range j.dir.Divisions() {
		if d.Level != charge.Township || j.partitionOf(d.Code) != j.partition {
			continue
		}
		t := &town{shown: charge.TownshipState{Township: d.Code}}
		if known := j.towns[d.Code]; known != nil {
			t.shown, t.verdict, t.since, t.record = known.shown, known.verdict, known.since, known.record
		}
		towns[d.Code] = t
	}
	j.towns = towns
	// By name: while the directory is refreshed, a pile may hold its station as it was before.
	stations := make(map[stationKey]*station)
	for s := range j.dir.Stations() {
		if t := towns[s.Township]; t != nil && s.Kind == charge.Public {
			one := &station{registered: s}
			stations[stationKey{s.Operator, s.ID}] = one
			t.stations = append(t.stations, one)
		}
	}
	for registered := range j.dir.Piles() {
		t := towns[registered.Station.Township]
		if t == nil {
			continue
		}
		p := &pile{registered: registered, town: t, guns: make([]gun, len(registered.Connectors))}
		known := before[registered.ID]
		if known != nil {
			p.Pile = known.Pile
		}
		for i := range registered.Connectors {
			c := &registered.Connectors[i]
			if known != nil {
				if at := known.gun(c.ID); at >= 0 {
					p.guns[i] = known.guns[at]
					p.guns[i].changed = false
				}
			}
			p.guns[i].SilenceMS = j.state.SilenceLimit(c.ReportEvery).Milliseconds()
		}
		j.piles[registered.ID] = p
	}
	j.ordered = slices.SortedFunc(maps.Values(j.piles), func(a, b *pile) int {
		return cmp.Or(cmp.Compare(a.registered.ID.Operator, b.registered.ID.Operator), cmp.Compare(a.registered.ID.Equipment, b.registered.ID.Equipment))
	})
	for _, p := range j.ordered { // in one order, so that power adds up to the same on every replay
		if s := stations[stationKey{p.registered.Station.Operator, p.registered.Station.ID}]; s != nil {
			p.counts = shut(s.registered) == ""
			s.piles = append(s.piles, p)
		}
	}
	j.keepChanged()
	for _, t := range towns {
		slices.SortFunc(t.stations, func(a, b *station) int {
			return cmp.Or(cmp.Compare(a.registered.Operator, b.registered.Operator), cmp.Compare(a.registered.ID, b.registered.ID))
		})
	}
	// After a restore from a checkpoint nothing is judged anew that was not before: what a replay
	// finds has to be what was found, at the same message.
	if rev != j.judgedRev {
		j.judgedRev = rev
		for _, t := range towns {
			t.stale = true
			j.mark(t)
		}
	}
}

type stationKey struct {
	operator charge.OperatorID
	id       charge.StationID
}

// keepChanged carries what was still to be saved over to the new indexes.
func (j *judge) keepChanged() {
	guns, towns := j.changed.guns, j.changed.towns
	j.changed.guns, j.changed.towns = nil, nil
	for _, t := range towns {
		if now := j.towns[t.shown.Township]; now != nil {
			now.stale = now.stale || t.stale
			j.mark(now)
		}
	}
	for _, ref := range guns {
		p := j.piles[ref.pile.registered.ID]
		if p == nil {
			continue
		}
		if i := p.gun(ref.pile.registered.Connectors[ref.gun].ID); i >= 0 {
			j.touch(p, i)
		}
	}
}

// gun finds a connector of the pile, -1 where it is not there.
func (p *pile) gun(id charge.ConnectorID) int {
	return slices.IndexFunc(p.registered.Connectors, func(c charge.Connector) bool { return c.ID == id })
}

// read takes one reading of the pile. Whatever a pile sends, all its connectors are heard.
func (j *judge) read(p *pile, r *charge.Reading) {
	received := r.Received.UnixMilli()
	switch r.Kind {
	case charge.KindHeartbeat:
		j.presence(p, received, p.Beat(r))
	case charge.KindConnected, charge.KindDisconnected:
		j.presence(p, received, p.Attach(r))
	case charge.KindStatus, charge.KindTelemetry:
		for i := range p.guns {
			if p.registered.Connectors[i].ID == r.Connector {
				j.step(p, i, func(c *health.Connector) { j.state.Tell(&p.Pile, c, r) })
			} else {
				j.step(p, i, func(c *health.Connector) { j.state.Return(c, received) })
			}
		}
	default: // alarm, order, heard
		j.presence(p, received, health.There)
		if r.Kind == charge.KindAlarm && r.Level == "danger" {
			j.danger(p, r)
		}
	}
	if (r.Kind == charge.KindOrder || r.Kind == charge.KindTelemetry) && r.Tells(charge.HasEnergy) && r.EnergyKWh >= provesKWh {
		j.prove(p, r)
	}
}

// provesKWh is the energy of a session that proves a township (judgement.md §6).
const provesKWh = 1

// prove takes note of a session: that a driver was served is news of its township for hours at most.
func (j *judge) prove(p *pile, r *charge.Reading) {
	i := p.gun(r.Connector)
	if i < 0 || r.Received.UnixMilli() <= p.guns[i].provenAt {
		return
	}
	p.guns[i].provenAt = r.Received.UnixMilli()
	if p.counts && !p.town.verdict.Proven {
		p.town.stale = true
		j.mark(p.town)
	}
}

// danger tells of a danger alarm. One with the time of the one before is a repeat of it; one that is older
// may be news all the same, from a clock set back. A household's is its own affair.
func (j *judge) danger(p *pile, r *charge.Reading) {
	i := p.gun(r.Connector)
	if i < 0 || p.registered.Station.Kind == charge.Residential || r.At.UnixMilli() == p.guns[i].dangerAt {
		return
	}
	p.guns[i].dangerAt = r.At.UnixMilli()
	j.event(p, r.Connector, charge.Event{Kind: charge.DangerAlarm, Fault: charge.ParseFault(r.Code)})
}

// presence tells all connectors of the pile what a word of its presence says.
func (j *judge) presence(p *pile, received int64, says health.Presence) {
	for i := range p.guns {
		j.step(p, i, func(c *health.Connector) {
			switch says {
			case health.Left:
				j.state.Leave(c, received)
			case health.There:
				j.state.Return(c, received)
			case health.Heard:
				j.state.Hear(c, received)
			case health.Nothing:
			}
		})
	}
}

// look is what of a connector is shown to the world.
type look struct {
	heard, told, silent, usable bool
	status                      charge.Status
	fault                       charge.Fault
}

func (j *judge) look(c *health.Connector) look {
	return look{heard: c.Heard != 0, told: c.Told, silent: c.Silent, usable: j.state.Usable(c), status: c.Shown(), fault: c.Fault}
}

// step lets do change connector i of the pile, and notes what came of it.
func (j *judge) step(p *pile, i int, do func(*health.Connector)) {
	g := &p.guns[i]
	before, power := j.look(&g.Connector), g.PowerKW
	do(&g.Connector)
	j.state.Settle(&g.Connector)
	after := j.look(&g.Connector)
	if p.counts && power != g.PowerKW {
		j.mark(p.town)
	}
	if before == after {
		if g.Heard-g.savedHeard >= heardSavedEvery.Milliseconds() {
			j.touch(p, i)
		}
		return
	}
	j.touch(p, i)
	if len(j.live) > 0 {
		j.relook(p, i)
	}
	if p.counts {
		// A message makes a township effective at most; what ends that is a day's passing, at a tick.
		p.town.stale = p.town.stale || p.town.verdict.State != charge.Effective
		j.mark(p.town)
		if j.serves(p.registered.Station.Opened, p.registered.Station.Closed) && j.serves(p.registered.Connectors[i].Opened, p.registered.Connectors[i].Closed) {
			j.tellOf(p, i, before, after)
		}
	}
}

// serves tells whether what has these dates is in service at the log's now.
func (j *judge) serves(opened, closed time.Time) bool {
	return charge.InService(opened, closed, j.state.Now())
}

// tellOf makes an event of a change of a connector that counts. A first word is none.
func (j *judge) tellOf(p *pile, i int, before, after look) {
	e := charge.Event{Before: before.String(), After: after.String()}
	switch {
	case !before.told || e.Before == e.After:
		return
	case after.silent:
		e.Kind = charge.ConnectorSilent
	case after.status == charge.Faulted:
		e.Kind, e.Fault = charge.ConnectorFault, after.fault
	case after.status == charge.Offline:
		e.Kind = charge.ConnectorOffline
	case after.usable && (before.silent || !before.status.Usable()):
		e.Kind = charge.ConnectorRestored
	default:
		return
	}
	j.event(p, p.registered.Connectors[i].ID, e)
}

// String gives the word that the page shows.
func (l look) String() string {
	switch {
	case l.silent:
		return "silent"
	case !l.told:
		return "unseen"
	}
	return l.status.String()
}

func (j *judge) event(p *pile, connector charge.ConnectorID, e charge.Event) {
	s := p.registered.Station
	e.At, e.Township, e.Operator, e.Station = j.state.Now(), s.Township, s.Operator, s.Name
	e.Pile, e.Conn = p.registered.ID.String(), connector
	j.changed.events = append(j.changed.events, numberedEvent{event: e})
}

func (j *judge) touch(p *pile, i int) {
	if !p.guns[i].changed {
		p.guns[i].changed = true
		j.changed.guns = append(j.changed.guns, gunRef{p, i})
	}
}

func (j *judge) mark(t *town) {
	if !t.changed {
		t.changed = true
		j.changed.towns = append(j.changed.towns, t)
	}
}

// tick lets time pass for everyone: silence begins, statuses run out, and so does the day in which
// a township's connector was last usable.
func (j *judge) tick(watched func(charge.PileID) bool) {
	for _, p := range j.ordered {
		for i := range p.guns {
			j.step(p, i, func(*health.Connector) {})
		}
	}
	for _, t := range j.towns {
		t.stale = true
		j.mark(t)
	}
	maps.DeleteFunc(j.live, func(key charge.ConnectorKey, _ *charge.LiveConnector) bool { return !watched(key.Pile) })
}

// judgeTowns decides anew what the townships are counted as in which something has changed.
func (j *judge) judgeTowns() {
	if j.state.Now().IsZero() {
		return
	}
	stale := make([]*town, 0, len(j.changed.towns))
	for _, t := range j.changed.towns {
		if t.stale {
			t.stale = false
			stale = append(stale, t)
		}
	}
	slices.SortFunc(stale, func(a, b *town) int { return cmp.Compare(a.shown.Township, b.shown.Township) })
	for _, t := range stale {
		j.judgeTown(t)
	}
}

func (j *judge) judgeTown(t *town) {
	before := t.verdict
	stations := j.evidence(t)
	t.verdict = coverage.Judge(j.policy, j.state.Now(), stations)
	if before.State == t.verdict.State {
		return
	}
	t.since = j.state.Now()
	kind := t.record.Turn(j.policy, t.since, t.verdict.State == charge.Effective)
	if kind == "" {
		return
	}
	e := charge.Event{
		At: t.since, Kind: kind, Township: t.shown.Township, Before: string(before.State), After: string(t.verdict.State), Reason: t.verdict.Reason,
	}
	if kind == charge.CoverageUnsteady {
		share := t.record.Share(j.policy, t.since)
		e.Share = &share
	}
	if s := j.cause(t); s != nil {
		e.Operator, e.Station = s.registered.Operator, s.registered.Name
	}
	j.changed.events = append(j.changed.events, numberedEvent{event: e})
}

// cause is the station that made the township what it is: the one that serves, or the one that
// served last.
func (j *judge) cause(t *town) *station {
	if by := t.verdict.By; by >= 0 {
		return j.judged[by]
	}
	var last *station
	var at int64
	for _, s := range t.stations {
		for _, p := range s.piles {
			for i := range p.guns {
				if usable := p.guns[i].LastUsable; usable > at {
					last, at = s, usable
				}
			}
		}
	}
	return last
}

// evidence lists the stations in service of a township and their connectors in service, until it is asked again.
func (j *judge) evidence(t *town) []coverage.Station {
	j.stations, j.judged, j.connectors = j.stations[:0], j.judged[:0], j.connectors[:0]
	for _, s := range t.stations {
		if !j.serves(s.registered.Opened, s.registered.Closed) {
			continue
		}
		first := len(j.connectors)
		for _, p := range s.piles {
			for i := range p.guns {
				if c := &p.registered.Connectors[i]; !j.serves(c.Opened, c.Closed) {
					continue
				}
				j.connectors = append(j.connectors, j.witness(&p.guns[i]))
			}
		}
		j.judged = append(j.judged, s)
		j.stations = append(j.stations, coverage.Station{Opened: s.registered.Opened, Shut: shut(s.registered), Connectors: j.connectors[first:]})
	}
	return j.stations
}

// shut tells why a public station cannot cover its township (judgement.md §6), "" where it can.
func shut(s *charge.Station) string {
	switch {
	case s.Mobile:
		return coverage.ReasonMobile
	case s.Access != "" && s.Access != "public":
		return coverage.ReasonLimited
	}
	return ""
}

func (j *judge) witness(g *gun) coverage.Connector {
	c := coverage.Connector{
		Heard: g.Heard != 0, Told: g.Told, Status: g.Shown(), Silent: g.Silent, UsableNow: j.state.Usable(&g.Connector),
		Proven: instant(g.provenAt),
	}
	if c.Heard {
		c.Unheard = j.state.Now().Sub(instant(g.Heard))
	}
	if g.LastUsable != 0 && j.state.Observed(g.LastUsable) < j.policy.Window {
		c.Usable = j.policy.Window
	}
	if g.LastUsable != 0 && j.state.Now().Sub(instant(g.LastUsable)) < j.policy.Window {
		c.UsableSeen = j.policy.Window
	}
	return c
}

// figures counts a township's connectors now.
func (j *judge) figures(t *town) charge.TownshipState {
	shown := charge.TownshipState{
		Township: t.shown.Township, State: t.verdict.State, Since: t.since, Reason: t.verdict.Reason,
		NotObserved: t.verdict.NotObserved, Proven: t.verdict.Proven,
	}
	for _, s := range t.stations {
		if shut(s.registered) != "" || !j.serves(s.registered.Opened, s.registered.Closed) {
			continue
		}
		shown.Stations++
		for _, p := range s.piles {
			for i := range p.guns {
				c := &p.registered.Connectors[i]
				if j.serves(c.Opened, c.Closed) {
					j.count(&shown, &p.guns[i].Connector)
				}
			}
		}
	}
	if shown.Usable > 0 {
		shown.LastUsable = j.state.Now().Truncate(time.Hour) // it is usable now; a time that moves would be a change every tick
	}
	return shown
}

func (j *judge) count(t *charge.TownshipState, c *health.Connector) {
	t.Connectors++
	if at := instant(c.LastUsable); at.After(t.LastUsable) {
		t.LastUsable = at
	}
	if c.Heard == 0 || c.Silent {
		return
	}
	status := c.Shown()
	if !c.Told || status != charge.Offline {
		t.Online++
	}
	if j.state.Usable(c) {
		t.Usable++
	}
	if c.Told && status == charge.Charging {
		t.Charging++
	}
	if c.Told && status == charge.Faulted {
		t.Fault++
	}
	t.PowerKW += j.state.Power(c)
}

// A step is what a judge found since the last one, as absolute rows.
type step struct {
	seq        uint64
	at         time.Time
	townships  []charge.TownshipState
	connectors []charge.ConnectorState
	events     []numberedEvent
	live       []liveConnector
	unanswered bool // it was published, and the log has not said whether it has it
}

// A liveConnector is what a watched connector is like now.
type liveConnector struct {
	pile  charge.PileID
	value charge.LiveConnector
}

// collect gives what has changed since it was last called, and forgets it; live values only where
// they are wanted.
func (j *judge) collect(withLive bool) step {
	s := step{seq: j.seq, at: j.state.Now(), events: j.changed.events}
	slices.SortFunc(j.changed.towns, func(a, b *town) int { return cmp.Compare(a.shown.Township, b.shown.Township) })
	for _, t := range j.changed.towns {
		t.changed = false
		figures := j.figures(t)
		if figures != t.shown || t.untold {
			s.townships = append(s.townships, figures)
		}
		t.shown, t.untold = figures, false
	}
	for _, ref := range j.changed.guns {
		g := &ref.pile.guns[ref.gun]
		g.changed, g.savedHeard = false, g.Heard
		s.connectors = append(s.connectors, charge.ConnectorState{
			Key:  charge.ConnectorKey{Pile: ref.pile.registered.ID, Connector: ref.pile.registered.Connectors[ref.gun].ID},
			Told: g.Told, Status: g.Shown(), Fault: g.Fault, Silent: g.Silent,
			Since: instant(g.Since), LastHeard: instant(g.Heard), LastUsable: instant(g.LastUsable),
		})
	}
	j.changed.guns, j.changed.towns, j.changed.events = nil, nil, nil
	if withLive {
		for key := range j.changed.live {
			if v := j.live[key]; v != nil {
				s.live = append(s.live, liveConnector{key.Pile, *v})
			}
		}
		clear(j.changed.live)
	}
	return s
}

// again lets the next collect give every township, and every connector if guns is true.
func (j *judge) again(guns bool) {
	for _, t := range j.towns {
		t.untold = true
		j.mark(t)
	}
	if !guns {
		return
	}
	for _, p := range j.ordered {
		for i := range p.guns {
			j.touch(p, i)
		}
	}
}

// observe keeps the newest values of a connector that somebody watches.
func (j *judge) observe(p *pile, r *charge.Reading) {
	i := p.gun(r.Connector)
	key := charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}
	v := j.live[key]
	if i < 0 || (v != nil && r.At.Before(v.At)) {
		return
	}
	if v == nil {
		v = &charge.LiveConnector{Connector: r.Connector}
		j.live[key] = v
	}
	v.At, v.Received = r.At, r.Received
	if r.Kind == charge.KindTelemetry {
		for _, f := range [...]struct {
			has  charge.Fields
			from float64
			to   **float64
		}{
			{charge.HasVoltage, r.VoltageV, &v.VoltageV},
			{charge.HasCurrent, r.CurrentA, &v.CurrentA},
			{charge.HasPower, r.PowerKW, &v.PowerKW},
			{charge.HasEnergy, r.EnergyKWh, &v.EnergyKWh},
			{charge.HasMeter, r.MeterKWh, &v.MeterKWh},
			{charge.HasSoC, r.SoCPct, &v.SoCPct},
			{charge.HasTemp, r.TempC, &v.TempC},
		} {
			if *f.to = nil; r.Tells(f.has) {
				*f.to = &f.from
			}
		}
	}
	j.relook(p, i)
}

// relook puts what is shown of a watched connector to its live values.
func (j *judge) relook(p *pile, i int) {
	key := charge.ConnectorKey{Pile: p.registered.ID, Connector: p.registered.Connectors[i].ID}
	v := j.live[key]
	if v == nil {
		return
	}
	c := &p.guns[i].Connector
	v.StatusCode, v.Silent, v.Fault = c.Shown(), c.Silent, c.Fault
	v.Status = v.StatusCode.String()
	j.changed.live[key] = struct{}{}
}

// instant reads Unix milliseconds, of which 0 is never.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
