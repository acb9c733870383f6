package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"pilewatch/ingest/coverage"
	"pilewatch/ingest/health"
	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/policy"
	"pilewatch/internal/registry"
)

// directory is what a judge asks the registry.
type directory interface {
	Rev() int64
	Policies() policy.Policies
	Excuses(pile charge.PileID, township charge.DivisionCode, from, until time.Time) []charge.Excuse
	Piles() iter.Seq[*registry.Pile]
	Stations() iter.Seq[*charge.Station]
	Divisions() []charge.Division
	Links() []registry.PileLink
}

// A judge holds what is known of one partition: the state of its connectors and what its townships
// are counted as. It does no I/O and asks no clock: the same batches in the same order, on the same
// registry, always give the same states and the same events.
type judge struct {
	partition   int
	partitionOf func(charge.DivisionCode) int
	dir         directory
	rev         int64     // of the directory that the indexes are made from
	today       time.Time // for which they are made
	hour        time.Time // of the last tick
	judgedRev   int64     // of the directory that the townships were judged by
	steady      bool      // the indexes are those of every day, by the terms that are known

	state    *health.State
	inForce  *policy.Policy // at the day of the log's now
	numbers  health.Policy  // of it
	policy   coverage.Policy
	calendar calendar
	seq      uint64 // of the last message taken
	story    bool   // that was of a story
	unread   error  // what was handed over and cannot be read

	piles    map[charge.PileID]*pile
	ordered  []*pile // by id: events of one tick come in the same order on every replay
	due      []int64 // of ordered: until when, at least, time alone changes none of its connectors, Unix ms
	towns    map[charge.DivisionCode]*town
	places   []*town                                       // the same ones
	public   []*station                                    // of them
	arriving map[charge.PileID]movedPile                   // handed over by another partition's judge, and not here yet
	live     map[charge.ConnectorKey]*charge.LiveConnector // of piles that somebody watches

	reading *charge.Reading // being read; nil while time alone passes
	nth     int             // of the standings that the present message changed

	changed changes
	ticked  bool // since the last collect

	days        []health.Day // of the pile being closed; kept, since they are large
	united      health.Day
	kinds       []health.Minute // of the pile being closed; kept
	sums        []charge.DayMinutes
	inService   []int
	stations    []coverage.Station // of the township being judged; kept, since one may be judged at every tick
	judged      []*station         // the same ones
	connectors  []coverage.Connector
	blockedFrom []int64   // of connectors, Unix ms
	restless    bool      // an excuse of one of them is near
	turns       time.Time // when one of them, or of the others there, next begins or ceases to be in service; at most a day away
	closing     []*health.Day
}

// A pile is a registered pile of the partition; guns are in the order of its connectors.
type pile struct {
	health.Pile
	registered *registry.Pile
	*standing
	town   *town
	guns   []gun
	at     int32 // in the order of ids
	counts bool  // its connectors count for coverage

	movedOn int64 // day on which another partition's judge handed it over, Unix ms; 0: none did
}

// A standing is the terms of stations today, shared by all piles that have the same.
type standing struct {
	terms    charge.StationTerms
	schedule charge.Schedule // by them
}

// A gun is a connector and what of it was last saved.
type gun struct {
	health.Connector
	savedHeard int64 // Unix ms
	dangerAt   int64 // of the newest danger alarm, Unix ms by the device's clock
	provenAt   int64 // a session of at least 1 kWh was heard of, Unix ms
	standing   standingCode
	changed    bool // to be saved
}

// A town is a township-level division of the partition.
type town struct {
	shown    charge.TownshipState // as last collected
	verdict  coverage.Verdict
	since    time.Time
	record   coverage.Record
	stations []*station
	left     string // the case by which its last station that counted left, "" where none did
	sure     int64  // until when, inclusive, time alone does not change the verdict, Unix ms
	stale    bool   // to be judged again
	changed  bool   // its figures may be others than shown
	untold   bool   // what is shown has to be told again

	saved charge.TownshipState // as last kept in the registry
}

// A station is a public one.
type station struct {
	registered *charge.Station
	terms      charge.StationTerms // today
	schedule   charge.Schedule
	piles      []*pile
	left       string // the case by which one of its piles was decommissioned
}

// leave takes out the stations all of whose piles are decommissioned.
func (t *town) leave() {
	t.stations = slices.DeleteFunc(t.stations, func(s *station) bool {
		gone := len(s.piles) == 0 && s.left != ""
		if gone {
			t.left = s.left
		}
		return gone
	})
	if len(t.stations) > 0 {
		t.left = ""
	}
}

// changes is what a judge has found since it was last asked.
type changes struct {
	guns   []gunRef
	towns  []*town
	events []numberedEvent
	live   map[charge.ConnectorKey]struct{}

	connectorDays []registry.ConnectorDay
	pileDays      []registry.PileDay
	sums          []registry.DaySum
	townDays      []registry.TownshipDay
	corrections   []registry.Correction
	moved         []movedPile
	standings     []registry.StandingChange
	outages       []registry.PlatformOutage
	late, tooLate int // readings
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
		state: health.New(health.DefaultPolicy()),
		piles: make(map[charge.PileID]*pile), towns: make(map[charge.DivisionCode]*town),
		live: make(map[charge.ConnectorKey]*charge.LiveConnector), arriving: make(map[charge.PileID]movedPile),
		changed: changes{live: make(map[charge.ConnectorKey]struct{})},
	}
	return j
}

// take consumes one batch of the partition. watched tells of which piles live values are wanted.
func (j *judge) take(b *journal.Batch, watched func(charge.PileID) bool) {
	j.seq, j.nth = b.Seq, 0
	if b.Backfill {
		j.relive(b)
		return
	}
	events := len(j.changed.events)
	ended := j.story
	j.story = false
	j.advance(b.At)
	if b.Moved != nil {
		if err := j.arrive(b.Moved); err != nil {
			j.unread = errors.Join(j.unread, err)
		}
	}
	if ended {
		j.doubt()
		j.again(true) // since when each was heard moved all the time and was not told
	}
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
	j.number(events)
}

// number gives the events from the one of that index on their identity.
func (j *judge) number(from int) {
	for n := range j.changed.events[from:] {
		e := &j.changed.events[from+n]
		e.seq, e.event.ID = j.seq, fmt.Sprintf("%d-%d-%d", j.partition, j.seq, n)
	}
}

// relive consumes a batch of a story: each reading at its own time, with a tick a day, however the
// story is cut into batches.
func (j *judge) relive(b *journal.Batch) {
	events := len(j.changed.events)
	if !j.story {
		j.doubt() // what was told holds on in it
	}
	j.story = true
	for i := range b.Readings {
		r := &b.Readings[i]
		j.reach(r.Received)
		if p := j.piles[r.Pile]; p != nil {
			j.read(p, r)
		}
	}
	j.reach(b.At)
	if len(b.Readings) == 0 {
		j.tell()
	}
	j.number(events)
}

// Ticks of a story are at 23:59, so that a day ends as it was judged a minute before.
const (
	storyTick  = 24 * time.Hour
	zoneOffset = 8 * time.Hour // of Asia/Shanghai: times are cut in UTC
	tickOffset = zoneOffset + time.Minute
)

// reach lets a story's time pass.
func (j *judge) reach(at time.Time) {
	if now := j.state.Now(); !now.IsZero() {
		for next := now.Add(tickOffset).Truncate(storyTick).Add(storyTick - tickOffset); !next.After(at); next = next.Add(storyTick) {
			j.advance(next)
			j.tell()
		}
	}
	j.advance(at)
}

// tell lets time pass for everyone in a story.
func (j *judge) tell() {
	j.tick(func(charge.PileID) bool { return false })
	j.judgeTowns()
}

// advance moves the log's clock. Before a new day begins, the townships of those that end are what
// they were last judged as.
func (j *judge) advance(at time.Time) {
	before := j.state.Now()
	if at.After(before) && !before.IsZero() {
		for day := dayOf(before); day.Before(dayOf(at)); day = day.AddDate(0, 0, 1) {
			j.endDay(day, !j.story && at.Sub(before) > j.numbers.OutageAfter)
		}
	}
	if j.story {
		j.state.AdvanceStory(at)
	} else if j.state.Advance(at) {
		j.changed.outages = append(j.changed.outages, registry.PlatformOutage{Partition: j.partition, Span: charge.Span{From: before, Until: at}})
		j.doubt() // what could be observed is another time than was foreseen
	}
	j.refresh()
	j.turn()
}

// endDay takes down what the townships were at a day's end (judgement.md §6); unseen says that it
// ended in an outage of the platform.
func (j *judge) endDay(day time.Time, unseen bool) {
	for _, code := range slices.Sorted(maps.Keys(j.towns)) {
		v := &j.towns[code].verdict
		if v.State == "" {
			continue // the registry has it, and it was not judged yet
		}
		j.changed.townDays = append(j.changed.townDays, registry.TownshipDay{
			Township: code, Day: day, State: v.State, Reason: v.Reason, NotObserved: v.NotObserved || unseen, Proven: v.Proven, Story: j.story,
		})
	}
}

// adopt takes the policy that is in force.
func (j *judge) adopt() {
	p := j.dir.Policies().At(j.state.Now())
	if p == j.inForce {
		return
	}
	j.inForce = p
	j.numbers = health.DefaultPolicy()
	j.numbers.StatusHolds, j.numbers.OutageAfter = p.StatusLimit.Public, p.Excuses.NoTick
	j.numbers.BlockedAfter, j.numbers.ConnectWithin, j.numbers.Lateness = p.BlockedAfter, p.ConnectWithin, p.Lateness
	j.state.Adopt(j.numbers)
	const day = 24 * time.Hour
	c := &p.Coverage
	j.policy = coverage.Policy{
		Window: c.Window, MinUsable: c.MinUsable, StartingFor: c.Starting, UnobservedFor: c.Unobserved,
		ProvenFor: time.Duration(c.ProvenDays) * day, UnsteadyWithin: time.Duration(c.UnsteadyDays) * day, UnsteadyAfter: c.UnsteadyChanges,
	}
}

// refresh makes the indexes anew where the registry has changed, or the day, by which its terms hold.
// What is known of a connector stays.
func (j *judge) refresh() {
	rev, now := j.dir.Rev(), j.state.Now()
	if rev == j.rev && now.Sub(j.today) < 24*time.Hour {
		return
	}
	today := dayOf(now)
	j.doubt()
	if rev == j.rev && j.sameTerms(now, today) {
		j.today = today
		for _, s := range j.public {
			s.count(today)
		}
		return
	}
	before, inForce := j.piles, j.inForce
	j.today = today
	j.adopt()
	if rev == j.rev && j.steady && inForce == j.inForce {
		return
	}
	j.rev = rev
	j.steady = !slices.ContainsFunc(j.dir.Links(), func(l registry.PileLink) bool { return l.From.After(today) })
	j.piles = make(map[charge.PileID]*pile, len(before))
	towns := make(map[charge.DivisionCode]*town, len(j.towns))
	for _, d := range j.dir.Divisions() {
		if d.Level != charge.Township || j.partitionOf(d.Code) != j.partition {
			continue
		}
		t := &town{shown: charge.TownshipState{Township: d.Code}}
		if known := j.towns[d.Code]; known != nil {
			t.shown, t.saved, t.verdict, t.since, t.record = known.shown, known.saved, known.verdict, known.since, known.record
		}
		towns[d.Code] = t
	}
	j.towns = towns
	// By name: while the directory is refreshed, a pile may hold its station as it was before.
	stations := make(map[stationKey]*station)
	for s := range j.dir.Stations() {
		terms := s.TermsAt(today)
		if s.Past != nil && len(s.Past.Terms) > 1 {
			j.steady = false
		}
		if t := towns[terms.Township]; t != nil && terms.Kind == charge.Public {
			one := &station{registered: s, terms: terms, schedule: terms.Schedule()}
			j.steady = j.steady && one.schedule.Always()
			stations[stationKey{s.Operator, s.ID}] = one
			t.stations = append(t.stations, one)
		}
	}
	standings := make(map[charge.StationTerms]*standing)
	heirs := j.heirs(today)
	var inherited []gunRef
	var piles slab[pile]
	var guns slab[gun]
	for registered := range j.dir.Piles() {
		terms := registered.Station.TermsAt(today)
		t := towns[terms.Township]
		if t == nil {
			if known := before[registered.ID]; known != nil {
				j.leave(known, terms.Township)
			}
			continue
		}
		st := standings[terms]
		if st == nil {
			st = &standing{terms, terms.Schedule()}
			standings[terms] = st
		}
		p := &piles.take(1)[0]
		p.registered, p.standing, p.town, p.guns = registered, st, t, guns.take(len(registered.Connectors))
		known := before[registered.ID]
		if known != nil {
			p.Pile, p.movedOn = known.Pile, known.movedOn
		}
		was := before[heirs[registered.ID]]
		for i := range registered.Connectors {
			c := &registered.Connectors[i]
			if known != nil {
				if at := known.gun(c.ID); at >= 0 {
					p.guns[i] = known.guns[at]
					p.guns[i].changed = false
				}
			}
			if was != nil && p.inherit(i, was) {
				inherited = append(inherited, gunRef{p, i})
			}
			j.state.Limit(&p.guns[i].Connector, j.inForce.Silence.Limit(terms.Kind, c.ReportEvery), j.inForce.StatusLimit.Of(terms.Kind))
		}
		j.piles[registered.ID] = p
	}
	j.ordered = slices.SortedFunc(maps.Values(j.piles), func(a, b *pile) int {
		return a.registered.ID.Compare(b.registered.ID)
	})
	j.due = slices.Grow(j.due[:0], len(j.ordered))[:len(j.ordered)]
	clear(j.due)
	j.public = slices.Collect(maps.Values(stations))
	for at, p := range j.ordered { // in one order, so that power adds up to the same on every replay
		p.at = int32(at) //nolint:gosec // small
		if s := stations[stationKey{p.registered.Station.Operator, p.registered.Station.ID}]; s != nil {
			if p.registered.Decommissioned != "" {
				s.left = p.registered.Decommissioned
				continue // its messages are stored and its minutes kept, and it counts for nothing
			}
			s.piles = append(s.piles, p)
		}
	}
	for _, s := range j.public {
		s.count(today)
	}
	for _, t := range towns {
		t.leave()
	}
	j.keepChanged()
	for _, ref := range inherited {
		j.touch(ref.pile, ref.gun)
	}
	j.places = slices.Collect(maps.Values(towns))
	j.settleArrived()
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

// A slab gives slices of an array that many share, since a million small ones take a tenth more memory.
type slab[T any] []T

func (s *slab[T]) take(n int) []T {
	const together = 1024
	if len(*s) < n {
		*s = make([]T, max(n, together))
	}
	taken := (*s)[:n:n]
	*s = (*s)[n:]
	return taken
}

// sameTerms tells whether a new day brings no other policy and no station other terms.
func (j *judge) sameTerms(now, today time.Time) bool {
	if j.dir.Policies().At(now) != j.inForce {
		return false
	}
	for s := range j.dir.Stations() {
		if s.Past != nil && s.TermsAt(today) != s.TermsAt(j.today) {
			return false
		}
	}
	return !slices.ContainsFunc(j.dir.Links(), func(l registry.PileLink) bool { return l.From.After(j.today) && !l.From.After(today) })
}

// count takes note for its piles whether the station can cover its township today.
func (s *station) count(today time.Time) {
	counts := s.shut(today) == ""
	for _, p := range s.piles {
		p.counts = counts
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
	j.reading = r
	defer func() { j.reading = nil }()
	received := r.Received.UnixMilli()
	if p.counts && (p.town.verdict.State != charge.Effective || j.state.Now().Sub(r.Received) > lag) {
		p.town.sure = 0
	}
	switch r.Kind {
	case charge.KindHeartbeat:
		j.presence(p, received, p.Beat(r))
	case charge.KindConnected, charge.KindDisconnected:
		j.presence(p, received, p.Attach(r))
	case charge.KindStatus, charge.KindTelemetry:
		for i := range p.guns {
			if p.registered.Connectors[i].ID == r.Connector {
				j.step(p, i, func(c *health.Connector) { j.note(r, j.state.Tell(&p.Pile, c, r)) })
			} else {
				j.step(p, i, func(c *health.Connector) { j.state.Return(c, received) })
			}
		}
	default: // alarm, order, heard
		if j.story && r.Kind == charge.KindHeard {
			for i := range p.guns {
				j.step(p, i, func(c *health.Connector) { j.state.Last(c, received) })
			}
			return
		}
		j.presence(p, received, health.There)
		if r.Kind == charge.KindAlarm && r.Level == "danger" {
			j.danger(p, r)
		}
		if i := p.gun(r.Connector); r.Kind == charge.KindOrder && i >= 0 {
			j.note(r, j.state.Order(&p.Pile, &p.guns[i].Connector, r))
		}
	}
	if (r.Kind == charge.KindOrder || r.Kind == charge.KindTelemetry) && r.Tells(charge.HasEnergy) && r.EnergyKWh*1000 >= j.inForce.Coverage.ProvenWh {
		j.prove(p, r)
	}
}

// note counts what came late, and puts on record what came too late to count.
func (j *judge) note(r *charge.Reading, taken health.Taken) {
	switch taken {
	case health.ComeLate:
		j.changed.late++
	case health.TooLate:
		j.changed.tooLate++
		c := registry.Correction{
			Key: charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}, Day: dayOf(r.At), Status: r.Status, Told: r.At, Received: r.Received,
		}
		last := len(j.changed.corrections) - 1
		if r.Tells(charge.HasStatus) && (last < 0 || !sameCorrection(&j.changed.corrections[last], &c)) {
			j.changed.corrections = append(j.changed.corrections, c)
		}
	case health.InTime, health.Old:
	}
}

// sameCorrection tells whether the registry would keep only one of the two.
func sameCorrection(a, b *registry.Correction) bool {
	return a.Key == b.Key && a.Status == b.Status && a.Day.Equal(b.Day)
}

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
	if i < 0 || p.terms.Kind == charge.Residential || p.registered.Decommissioned != "" || r.At.UnixMilli() == p.guns[i].dangerAt {
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
	before, power := j.look(&g.Connector), j.state.Power(&g.Connector)
	j.state.Serve(&g.Connector)
	do(&g.Connector)
	j.state.Settle(&g.Connector)
	j.due[p.at] = min(j.due[p.at], j.state.Due(&g.Connector))
	after := j.look(&g.Connector)
	j.stand(p, i, &after)
	if p.counts && power != j.state.Power(&g.Connector) {
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
	if j.story {
		return // nobody was there to be told; of a story only those of coverage are kept
	}
	s := p.registered.Station
	e.At, e.Township, e.Operator, e.Station = j.state.Now(), p.terms.Township, s.Operator, s.Name
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
	now := j.state.Now()
	ms := now.UnixMilli()
	for at, due := range j.due {
		if ms <= due {
			continue
		}
		p := j.ordered[at]
		j.due[at] = math.MaxInt64
		for i := range p.guns {
			j.step(p, i, func(*health.Connector) {})
			if c := &p.guns[i].Connector; p.counts && c.Told && c.Status.Usable() && !j.state.Usable(c) {
				p.town.stale = true // a status that has run out is no change of the connector's, and one of its township's
				j.mark(p.town)
			}
		}
	}
	hour := now.Truncate(time.Hour)
	newHour := !hour.Equal(j.hour)
	for _, t := range j.places {
		if ms > t.sure {
			t.stale = true
			j.mark(t)
		} else if newHour || t.shown.PowerKW != 0 || t.saved.PowerKW != t.shown.PowerKW {
			j.mark(t) // figures name the hour, and power stands for a minute
		}
	}
	j.ticked, j.hour = true, hour
	j.closeSome()
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
	t.sure = j.sureUntil(&t.verdict)
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
	if kind == charge.CoverageLost {
		e.Case = t.left
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
				j.state.Serve(&p.guns[i].Connector)
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
	j.stations, j.judged, j.connectors, j.blockedFrom = j.stations[:0], j.judged[:0], j.connectors[:0], j.blockedFrom[:0]
	now, tomorrow := j.state.Now(), j.today.AddDate(0, 0, 1)
	j.restless, j.turns = false, tomorrow
	for _, s := range t.stations {
		j.turnAt(s.registered.Opened, s.registered.Closed)
		if !j.serves(s.registered.Opened, s.registered.Closed) {
			continue
		}
		first := len(j.connectors)
		why := s.shut(j.today)
		for _, p := range s.piles {
			var excused []charge.Span
			if len(j.dir.Excuses(p.registered.ID, p.terms.Township, now.Add(-excusedWithin), tomorrow)) > 0 {
				excused, j.restless = j.excused(p, now.Add(-excusedWithin), now), true
			}
			for i := range p.guns {
				c := &p.registered.Connectors[i]
				j.turnAt(c.Opened, c.Closed)
				if why != "" || !j.serves(c.Opened, c.Closed) {
					continue
				}
				j.connectors = append(j.connectors, j.witness(s, &p.guns[i], excused))
				j.blockedFrom = append(j.blockedFrom, j.state.BlockedFrom(&p.guns[i].Connector))
			}
		}
		j.judged = append(j.judged, s)
		j.stations = append(j.stations, coverage.Station{Opened: s.registered.Since(), Shut: why, Connectors: j.connectors[first:]})
	}
	return j.stations
}

// excusedWithin is how far back excused time matters to coverage: as far as health keeps minutes for it.
const excusedWithin = 96 * time.Hour

// excused gives the granted excuses of a pile that lie within a time and count, by the limits of the
// policy: what is over them is not excused (judgement.md §3).
func (j *judge) excused(p *pile, from, until time.Time) []charge.Span {
	if len(j.dir.Excuses(p.registered.ID, p.terms.Township, from, until)) == 0 {
		return nil
	}
	year := time.Date(from.In(charge.Zone).Year(), 1, 1, 0, 0, 0, 0, charge.Zone)
	var spans []charge.Span
	byKind := make(map[charge.ExcuseKind][]charge.Excuse)
	for _, e := range j.dir.Excuses(p.registered.ID, p.terms.Township, year, until) {
		if most := j.inForce.Excuses.GroupSilence.AnEvent; e.Kind == charge.GroupSilence && e.Until.Sub(e.From) > most {
			e.Until = e.From.Add(most)
		}
		byKind[e.Kind] = append(byKind[e.Kind], e)
	}
	for kind, all := range byKind {
		limit := until.Sub(year)
		switch kind {
		case charge.Maintenance:
			limit = j.inForce.Excuses.MaintenanceAYear
		case charge.GroupSilence:
			limit = time.Duration(j.inForce.Excuses.GroupSilence.DaysAYear) * 24 * time.Hour
		case charge.PlatformOutage, charge.PowerCut, charge.Site:
		}
		counting, _ := charge.WithinYearlyLimit(all, limit)
		spans = append(spans, counting...)
	}
	spans = slices.DeleteFunc(spans, func(s charge.Span) bool { return !s.From.Before(until) || !s.Until.After(from) })
	slices.SortFunc(spans, func(a, b charge.Span) int { return a.From.Compare(b.From) })
	return spans
}

// shut tells why the public station cannot cover its township on a day (judgement.md §6), "" where it can.
func (s *station) shut(day time.Time) string {
	switch {
	case s.terms.Mobile:
		return coverage.ReasonMobile
	case s.terms.Access != "" && s.terms.Access != "public":
		return coverage.ReasonLimited
	case s.schedule.Always():
		return ""
	}
	yesterday := day.AddDate(0, 0, -1)
	if len(s.schedule.Minutes(day))+len(s.schedule.Minutes(yesterday)) > 0 {
		return ""
	}
	if s.schedule.InSeason(day) {
		return coverage.ReasonClosedHours
	}
	return coverage.ReasonClosedSeason
}

func (j *judge) witness(s *station, g *gun, excused []charge.Span) coverage.Connector {
	now := j.state.Now()
	c := coverage.Connector{
		Heard: g.Heard != 0, Told: g.Told, Status: g.Shown(), Silent: g.Silent, UsableNow: j.state.Usable(&g.Connector),
		Blocked: j.state.Blocked(&g.Connector), Proven: instant(g.provenAt),
		Excused: slices.ContainsFunc(excused, func(e charge.Span) bool { return !now.Before(e.From) && now.Before(e.Until) }),
	}
	if !c.Heard {
		return c
	}
	c.Unheard = now.Sub(instant(j.state.HeardAt(&g.Connector)))
	if g.FirstUsable == 0 {
		return c
	}
	usable, _ := j.state.UsableObserved(&g.Connector, j.policy.Window, left(excused, s, now))
	c.Usable = time.Duration(usable) * time.Minute
	c.UsableSeen = c.Usable
	if len(excused) > 0 || j.state.Observed(now.Add(-j.policy.Window).UnixMilli()) < j.policy.Window {
		c.UsableSeen = time.Duration(j.state.UsableSince(&g.Connector, now.Add(-j.policy.Window))) * time.Minute
	}
	return c
}

// left is what the window of coverage leaves out: excused time, and the time in which the station is closed.
func left(excused []charge.Span, s *station, now time.Time) []charge.Span {
	if s.schedule.Always() {
		return excused
	}
	out := slices.Clone(excused)
	closed := now.Add(-excusedWithin)
	for day := dayOf(closed); !day.After(now); day = day.AddDate(0, 0, 1) {
		for _, open := range s.schedule.Spans(day) {
			if closed.Before(open.From) {
				out = append(out, charge.Span{From: closed, Until: open.From})
			}
			closed = later(closed, open.Until)
		}
	}
	if closed.Before(now) {
		out = append(out, charge.Span{From: closed, Until: now})
	}
	return out
}

// figures counts a township's connectors now.
func (j *judge) figures(t *town) charge.TownshipState {
	shown := charge.TownshipState{
		Township: t.shown.Township, State: t.verdict.State, Since: t.since, Reason: t.verdict.Reason,
		NotObserved: t.verdict.NotObserved, Proven: t.verdict.Proven,
	}
	for _, s := range t.stations {
		if s.shut(j.today) != "" || !j.serves(s.registered.Opened, s.registered.Closed) {
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
	j.state.Serve(c)
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
	townships  []charge.TownshipState // to be told
	kept       []charge.TownshipState // of them, to be kept in the registry
	connectors []charge.ConnectorState
	events     []numberedEvent
	live       []liveConnector
	unanswered bool // it was published, and the log has not said whether it has it

	connectorDays []registry.ConnectorDay
	pileDays      []registry.PileDay
	sums          []registry.DaySum
	townDays      []registry.TownshipDay
	corrections   []registry.Correction
	moved         []movedPile
	standings     []registry.StandingChange
	outages       []registry.PlatformOutage
	late, tooLate int // readings
}

// rows is what of the step is kept in the registry, nil where there is nothing.
func (s *step) rows(epoch uint64) *registry.Health {
	h := &registry.Health{
		Epoch: epoch, Townships: s.kept, Connectors: s.connectors, ConnectorDays: s.connectorDays, PileDays: s.pileDays,
		Sums: s.sums, TownshipDays: s.townDays, Corrections: s.corrections, Changes: s.standings, Outages: s.outages,
	}
	for _, e := range s.events {
		switch e.event.Kind {
		case charge.CoverageGained, charge.CoverageLost, charge.CoverageUnsteady:
			h.Events = append(h.Events, e.event)
		case charge.ConnectorFault, charge.ConnectorRestored, charge.ConnectorOffline, charge.ConnectorSilent, charge.DangerAlarm:
		}
	}
	if len(h.Townships)+len(h.Connectors)+len(h.ConnectorDays)+len(h.PileDays)+len(h.Sums)+len(h.TownshipDays)+len(h.Corrections)+len(h.Changes)+len(h.Outages)+len(h.Events) == 0 {
		return nil
	}
	return h
}

// A liveConnector is what a watched connector is like now.
type liveConnector struct {
	pile  charge.PileID
	value charge.LiveConnector
}

// collect gives what has changed since it was last called, and forgets it. Live values, and townships
// of which nothing but the power has changed, wait until they are wanted.
func (j *judge) collect(withLive bool) step {
	s := step{
		seq: j.seq, at: j.state.Now(), events: j.changed.events, connectorDays: j.changed.connectorDays, pileDays: j.changed.pileDays,
		sums: j.changed.sums, townDays: j.changed.townDays, late: j.changed.late, tooLate: j.changed.tooLate,
		corrections: j.changed.corrections, moved: j.changed.moved, standings: j.changed.standings, outages: j.changed.outages,
	}
	slices.SortFunc(j.changed.towns, func(a, b *town) int { return cmp.Compare(a.shown.Township, b.shown.Township) })
	var later []*town
	for _, t := range j.changed.towns {
		figures := j.figures(t)
		if !t.untold && !withLive && figures != t.shown && onlyPower(&figures, &t.shown) {
			later = append(later, t)
			continue
		}
		t.changed = false
		if figures != t.shown || t.untold {
			s.townships = append(s.townships, figures)
		}
		// Power changes with every reading: the registry, which shows it to whoever starts anew, has it at ticks.
		if t.untold || figures != t.saved && (j.ticked || !onlyPower(&figures, &t.saved)) {
			s.kept = append(s.kept, figures)
			t.saved = figures
		}
		t.shown, t.untold = figures, false
	}
	j.ticked = false
	for _, ref := range j.changed.guns {
		g := &ref.pile.guns[ref.gun]
		heard := j.state.HeardAt(&g.Connector)
		g.changed, g.savedHeard = false, heard
		j.state.Serve(&g.Connector)
		s.connectors = append(s.connectors, charge.ConnectorState{
			Key:  charge.ConnectorKey{Pile: ref.pile.registered.ID, Connector: ref.pile.registered.Connectors[ref.gun].ID},
			Told: g.Told, Status: g.Shown(), Fault: g.Fault, Silent: g.Silent,
			Since: instant(g.Since), LastHeard: instant(heard), LastUsable: instant(g.LastUsable),
		})
	}
	j.changed = changes{live: j.changed.live, towns: later}
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

// onlyPower tells whether two states of a township differ in nothing but the power drawn.
func onlyPower(a, b *charge.TownshipState) bool {
	c := *a
	c.PowerKW = b.PowerKW
	return c == *b
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
