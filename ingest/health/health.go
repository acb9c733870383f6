// Package health knows what a connector's messages mean: its status, whether it is heard, whether
// it is usable. It is pure: the same readings and ticks in the same order always give the same
// state, whichever way they are cut into batches; it asks no clock, and reads and writes nothing.
package health

import (
	"cmp"
	"time"

	"pilewatch/internal/charge"
)

// A Policy is the numbers of judgement.md §1.
type Policy struct {
	StatusHolds   time.Duration // a told status that is not repeated holds so long; by connector: Connector.HoldsMS
	LeastSilence  time.Duration // the silence limit is this or SilentReports reports, whichever is longer
	MostSilence   time.Duration
	SilentReports int
	OutageAfter   time.Duration // no tick of any gateway for so long is an outage of the platform
	OutagesKept   time.Duration // and so are minutes, where nobody frees them before
	BlockedAfter  time.Duration // occupied or reserved for longer without a break is blocked
	ConnectWithin time.Duration // a connector is in service so long after it opened, if it was not usable before
	Lateness      time.Duration // what was told longer ago when it is received is a correction only
}

// DefaultPolicy is 6 hours, 15 minutes, 24 hours, 3 reports, 2 minutes, 8 days, 24 hours, 30 days, 72 hours.
func DefaultPolicy() Policy {
	return Policy{
		StatusHolds: 6 * time.Hour, LeastSilence: 15 * time.Minute, MostSilence: 24 * time.Hour, SilentReports: 3,
		OutageAfter: 2 * time.Minute, OutagesKept: 8 * 24 * time.Hour,
		BlockedAfter: 24 * time.Hour, ConnectWithin: 30 * 24 * time.Hour,
		Lateness: 72 * time.Hour,
	}
}

// powerHolds is how long a reading of power stands for what a connector draws (design: "History").
const powerHolds = time.Minute

// Connector is the state of one connector. Instants are Unix milliseconds by the gateway's clock
// unless said otherwise, 0 for never. The zero value has told nothing.
type Connector struct {
	Told       bool
	Silent     bool
	HasSeq     bool
	Let        bool          // a story heard the last of it: what was told does not hold on, until it is told again
	Status     charge.Status // as told
	PowerKW    float32
	SilenceMS  int32 // the silence limit, at most 7 days; changed by Limit
	HoldsMS    int32 // the status limit, 0 for the policy's; changed by Limit
	Fault      charge.Fault
	Since      int64 // of what Shown gives
	GoneAt     int64 // a last will or the end of its own connection is the last word of its presence
	ToldAt     int64 // the status was last told or agreed with
	TakenAt    int64 // the newest status or telemetry was received
	TakenOn    int64 // the connection began on which that was, as far as it is known
	DeviceAt   int64 // by the device's clock: of the newest status or telemetry
	Seq        uint64
	Heard      int64
	LastUsable int64
	PowerAt    int64

	FirstUsable int64 // 0: not yet
	Ledger
}

// A Pile is what its connectors share: who of several sessions is the newest.
type Pile struct {
	Session int64 // newest session of the device's own heartbeats, Unix ms by its clock
	Link    int64 // newest session of the listener's records
	LinkAt  int64 // when that began, Unix ms by the gateway's clock
	Clock   Clock
}

// State is the state of all connectors of a partition, and the log's clock.
type State struct {
	policy  Policy
	now     int64
	held    int64  // up to it a story goes, in which what was told holds until it is told anew; 0 without one
	outages []span // of the platform, oldest first
}

type span struct{ From, Until int64 }

// New makes a state that has consumed nothing.
func New(policy Policy) *State { return &State{policy: policy} }

// Now is the largest log time consumed; zero before the first.
func (s *State) Now() time.Time {
	if s.now == 0 {
		return time.Time{}
	}
	return time.UnixMilli(s.now).UTC()
}

// Advance moves the log's clock. A gap of more than OutageAfter since the last record of any
// gateway is an outage of the platform: nobody could be heard in it, so it counts for nothing, and
// silence starts anew after it. So is all the time before the first record, which
// is not reported. It reports whether there was one.
func (s *State) Advance(at time.Time) (outage bool) {
	ms := at.UnixMilli()
	if ms <= s.now {
		return false
	}
	if ms-s.now > s.policy.OutageAfter.Milliseconds() {
		s.outages = append(s.outages, span{s.now, ms})
		outage = s.now != 0
	}
	s.now = ms
	for len(s.outages) > 0 && ms-s.outages[0].Until > s.policy.OutagesKept.Milliseconds() {
		s.outages = s.outages[1:]
	}
	return outage
}

// AdvanceStory moves the log's clock through a story, in which a told state holds until the next one: all that
// was told counts as told and heard at that time, but for what is heard no more (see Last). There is no outage
// in a story. What is told live goes on from its end, and the limits run from there.
func (s *State) AdvanceStory(at time.Time) {
	if ms := at.UnixMilli(); ms > s.now {
		s.now, s.held = ms, ms
	}
}

// Last takes a story's word that the connector was heard at that time (Unix ms), and is not from then on: its
// limits run from there.
func (s *State) Last(c *Connector, received int64) {
	if c.Let || c.Heard == 0 || received < c.Heard {
		return
	}
	s.commit(c, received)
	c.Heard = received
	if c.Told {
		c.ToldAt = max(c.ToldAt, received)
	}
	if c.GoneAt != 0 {
		c.GoneAt = max(c.GoneAt, received)
	}
	c.Let = true
}

// HeardAt is when the connector was last heard, Unix ms, 0 for never: in a story it is heard all the time.
func (s *State) HeardAt(c *Connector) int64 { return s.standing(c, c.Heard) }

// standing is when what was told at an instant counts as told.
func (s *State) standing(c *Connector, at int64) int64 {
	if c.Let || at == 0 {
		return at
	}
	return max(at, s.held)
}

// Observed is how much of the time from since (Unix ms) to now the platform could observe.
func (s *State) Observed(since int64) time.Duration {
	d := s.now - since
	for _, o := range s.outages {
		d -= max(0, min(o.Until, s.now)-max(o.From, since))
	}
	return time.Duration(max(d, 0)) * time.Millisecond
}

// SilenceLimit is the larger of 15 minutes and three reports, at most 24 hours.
func (s *State) SilenceLimit(reportEvery time.Duration) time.Duration {
	return min(max(s.policy.LeastSilence, time.Duration(s.policy.SilentReports)*reportEvery), s.policy.MostSilence)
}

// Shown is the status that stands now: as told, but Offline when it has left.
func (c *Connector) Shown() charge.Status {
	if c.GoneAt != 0 {
		return charge.Offline
	}
	return c.Status
}

// Usable tells whether the connector can serve a driver now: told so, the status still holds, not
// silent (judgement.md §1).
func (s *State) Usable(c *Connector) bool {
	return c.Told && !c.Silent && c.GoneAt == 0 && c.Status.Usable() && s.now <= s.observedUntil(s.standing(c, c.ToldAt), s.holds(c))
}

// Power is what the connector draws now, in kW; a reading of it stands for a minute.
func (s *State) Power(c *Connector) float64 {
	if c.PowerAt == 0 || s.now-c.PowerAt > powerHolds.Milliseconds() {
		return 0
	}
	return float64(c.PowerKW)
}

// Hear takes note that the connector's pile was heard at the gateway's time received (Unix ms). A
// repeat of what was heard before ends no silence.
func (s *State) Hear(c *Connector, received int64) {
	if received <= c.Heard {
		return
	}
	s.commit(c, received)
	c.Heard = received
	if c.Silent && s.now <= s.silentAfter(c) {
		c.Silent, c.Since = false, received
	}
	s.noteUsable(c, received)
}

// noteUsable keeps when the connector was first usable.
func (s *State) noteUsable(c *Connector, at int64) {
	if c.FirstUsable == 0 && s.Usable(c) {
		c.FirstUsable = at
	}
}

// Limit sets the connector's silence limit and its status limit (0 for the policy's) from now on, each at most 24 days.
func (s *State) Limit(c *Connector, silence, holds time.Duration) {
	silenceMS, holdsMS := int32(silence.Milliseconds()), int32(holds.Milliseconds()) //nolint:gosec // the policy allows 7 days
	if c.SilenceMS == silenceMS && c.HoldsMS == holdsMS {
		return
	}
	if c.Until != 0 {
		s.commit(c, s.now)
	}
	c.SilenceMS, c.HoldsMS = silenceMS, holdsMS
}

// Taken is what became of a reading.
type Taken uint8

// Whatever became of it, its pile was heard.
const (
	InTime   Taken = iota
	Old            // not newer than what is known, or a repeat: it changes nothing else
	ComeLate       // stored and forwarded: it changes no live state, only minutes of which nothing is known
	TooLate        // by more than the lateness limit: it changes nothing, and counts as a correction
	TooMany        // an order, of more than a connector can have had: it is not counted
)

// Tell takes a status or telemetry of the pile's connector. A message that is older than what is
// known is heard and changes nothing else. What is told in time holds from when we received it, so that a
// clock that is wrong neither hides an outage nor makes one.
func (s *State) Tell(p *Pile, c *Connector, r *charge.Reading) Taken {
	received := r.Received.UnixMilli()
	s.Return(c, received)
	if !r.Tells(charge.ClockWrong) {
		switch p.Clock.time(received, r.At.UnixMilli()) {
		case earlier:
			return Old
		case suspect:
			if !s.setBack(p, c, r) {
				return s.late(p, c, r)
			}
			p.Clock.set(received, received-r.At.UnixMilli())
		case inTime:
		}
		s.resolve(p, c)
	}
	if !newer(p, c, r) {
		return Old
	}
	s.commit(c, received)
	if r.Tells(charge.HasStatus) {
		busy := r.Status == charge.Occupied || r.Status == charge.Reserved
		if !busy {
			c.BusySince = 0
		} else if c.BusySince == 0 {
			c.BusySince = received
		}
	}
	c.TakenAt, c.DeviceAt = received, r.At.UnixMilli()
	if received >= p.LinkAt {
		c.TakenOn = p.LinkAt
	}
	if r.Tells(charge.HasSeq) {
		c.Seq, c.HasSeq = r.Seq, true
	}
	if r.Tells(charge.HasStatus) {
		if !c.Told || c.Status != r.Status || (r.Kind == charge.KindStatus && c.Fault != r.Fault) {
			c.Since = received
		}
		c.Told, c.Status = true, r.Status
		if r.Kind == charge.KindStatus || r.Status != charge.Faulted {
			c.Fault = r.Fault
		}
		c.ToldAt, c.Let = max(c.ToldAt, received), false
	} else if r.Kind == charge.KindTelemetry && c.Status == charge.Charging && r.Tells(charge.HasPower) && r.PowerKW != 0 {
		c.ToldAt = max(c.ToldAt, received) // telemetry that agrees repeats the status
	}
	if r.Tells(charge.HasPower) {
		c.PowerKW, c.PowerAt = float32(r.PowerKW), received
	}
	if r.Tells(charge.HasStatus) && r.Status != charge.Charging {
		c.PowerKW, c.PowerAt = 0, 0
	}
	c.measure(r, received)
	s.noteUsable(c, received)
	return InTime
}

// setBack tells of a message with too long a delay whether its pile's clock was set back, for no store
// sends its newest with a time before what it has sent: it has the next number, or it comes on a new
// connection from longer ago than anything is stored.
func (s *State) setBack(p *Pile, c *Connector, r *charge.Reading) bool {
	received, at := r.Received.UnixMilli(), r.At.UnixMilli()
	switch {
	case at >= c.DeviceAt || received <= c.TakenAt:
		return false
	case c.HasSeq && r.Tells(charge.HasSeq) && r.Seq != c.Seq && r.Seq-c.Seq < seqWindow:
		return true
	}
	return c.TakenOn < p.LinkAt && received >= p.LinkAt && received-p.Clock.event(at) > s.policy.Lateness.Milliseconds()
}

// seqWindow is how far apart two sequence numbers may be and still say which is newer.
const seqWindow = 1 << 20

// newer tells whether r is news to c. On a new connection everything is: the pile may have started
// anew, with another clock. Else the sequence number and the device's time say so; where they
// contradict each other, at a restart, a wrap or a clock set back, what we received later is newer.
func newer(p *Pile, c *Connector, r *charge.Reading) bool {
	received := r.Received.UnixMilli()
	switch {
	case c.TakenAt == 0, c.TakenOn < p.LinkAt && received >= p.LinkAt:
		return true
	case received < c.TakenOn:
		return false
	case r.Tells(charge.ClockWrong):
		return received >= c.TakenAt
	}
	byTime, bySeq, numbered := cmp.Compare(r.At.UnixMilli(), c.DeviceAt), 0, c.HasSeq && r.Tells(charge.HasSeq)
	if numbered {
		if r.Seq-c.Seq < seqWindow || c.Seq-r.Seq < seqWindow { // unsigned: both ways round a wrap
			bySeq = cmp.Compare(int64(r.Seq-c.Seq), 0) //nolint:gosec // within the window
		}
	}
	switch {
	case bySeq*byTime < 0:
		return received > c.TakenAt
	case bySeq != 0 || byTime != 0:
		return bySeq+byTime > 0
	}
	return !numbered && received >= c.TakenAt // with a number it is a repeat
}

// A Presence is what a word of a pile's presence says of it.
type Presence uint8

// What a heartbeat, a last will or a record of the listener may say.
const (
	Nothing Presence = iota // the end of an older session: the pile has come back since
	Heard                   // a word of an older session that came late: it was sent all the same
	There
	Left
)

// Beat takes a heartbeat or last will of the pile. It counts only if its session is the newest
// heard, so that the late "disconnected" of an old session never marks a pile offline that has
// come back.
func (p *Pile) Beat(r *charge.Reading) Presence {
	left := r.Tells(charge.HasOnline) && !r.Online
	if !left && !r.Tells(charge.ClockWrong) { // a will was written when its session began
		p.Clock.time(r.Received.UnixMilli(), r.At.UnixMilli())
	}
	switch {
	case !r.Tells(charge.HasSession):
	case r.Session < p.Session && left:
		return Nothing
	case r.Session < p.Session:
		return Heard
	default:
		p.Session = r.Session
	}
	if left {
		return Left
	}
	return There
}

// Attach takes the listener's record that a connection opened or ended. An end counts only if it
// is that of the newest connection.
func (p *Pile) Attach(r *charge.Reading) Presence {
	if r.Kind == charge.KindConnected {
		if r.Session > p.Link {
			p.Link, p.LinkAt = r.Session, max(p.LinkAt, r.Received.UnixMilli())
		}
		return There
	}
	if r.Session < p.Link {
		return Nothing
	}
	return Left
}

// Leave marks the connector as gone, by the word of its presence. A word from before it was last
// heard says nothing: it has come back since.
func (s *State) Leave(c *Connector, received int64) {
	if c.GoneAt == 0 && c.Told && received >= c.Heard {
		s.commit(c, received)
		c.GoneAt, c.Since = received, received
		c.PowerKW, c.PowerAt = 0, 0
	}
}

// Return marks the connector as heard, and as there again unless that was before it left.
func (s *State) Return(c *Connector, received int64) {
	s.Hear(c, received)
	if c.GoneAt != 0 && received >= c.GoneAt {
		s.commit(c, received)
		c.GoneAt, c.Since = 0, received
		s.noteUsable(c, received)
	}
}

// Settle brings the connector to now: it may have gone silent, and while it is usable it was last
// usable now. To do it again changes nothing until Due.
func (s *State) Settle(c *Connector) {
	s.Serve(c)
	if c.Heard != 0 && !c.Silent && s.now > s.silentAfter(c) {
		c.Silent, c.Since = true, s.now
		c.PowerKW, c.PowerAt = 0, 0
	}
}

// Serve brings LastUsable to now, or to when the connector ceased to be usable without a word.
func (s *State) Serve(c *Connector) {
	if c.Told && !c.Silent && c.GoneAt == 0 && c.Status.Usable() {
		c.LastUsable = max(c.LastUsable, min(s.now, s.observedUntil(c.ToldAt, s.holds(c)), s.silentAfter(c)))
	}
}

// Due is until when, inclusive, time alone does not change what the connector is, Unix ms. A later word or
// an outage may only put it off, Limit and Adopt may bring it forward.
func (s *State) Due(c *Connector) int64 {
	due := int64(never)
	if c.Heard != 0 && !c.Silent {
		due = s.silentAfter(c)
	}
	if s.Usable(c) {
		due = min(due, s.observedUntil(c.ToldAt, s.holds(c)))
	}
	return due
}

// A Snapshot is what a State keeps beside its connectors, for a checkpoint.
type Snapshot struct {
	NowMS   int64
	HeldMS  int64
	Outages [][2]int64 // from and until, Unix ms
}

// Snapshot gives the state's own part of a checkpoint.
func (s *State) Snapshot() Snapshot {
	snap := Snapshot{NowMS: s.now, HeldMS: s.held}
	for _, o := range s.outages {
		snap.Outages = append(snap.Outages, [2]int64{o.From, o.Until})
	}
	return snap
}

// Restore makes a state go on where the snapshot was taken.
func Restore(policy Policy, snap Snapshot) *State {
	s := &State{policy: policy, now: snap.NowMS, held: snap.HeldMS}
	for _, o := range snap.Outages {
		s.outages = append(s.outages, span{o[0], o[1]})
	}
	return s
}
