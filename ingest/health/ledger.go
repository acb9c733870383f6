package health

import (
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// minuteMS is a minute in milliseconds. Minutes are counted from the Unix epoch; a minute is what
// held at its first instant.
const minuteMS = 60_000

// A Ledger is what is known of a connector's minutes, beside its live state: what held by what came in
// time, in the order received, as runs of minutes; and what came late, apart from it. It is part of
// Connector and of its checkpoint; its fields are the State's to change.
type Ledger struct {
	Runs      []Run  // minutes from From to before Until, oldest first
	From      int32  // minute; before it nothing was known
	Until     int32  // minute; 0 before the first word
	Freed     int32  // minutes before it are no longer held
	BusySince int64  // occupied or reserved since, without another status, Unix ms; 0 if it is not
	Late      *Late  // nil where nothing came late
	Meter     *Meter // nil before the first energy
}

// Copy gives a ledger that shares nothing with this one.
func (l *Ledger) Copy() Ledger {
	c := *l
	c.Runs = slices.Clone(l.Runs)
	if l.Late != nil {
		c.Late = &Late{Words: slices.Clone(l.Late.Words), Pending: slices.Clone(l.Late.Pending)}
	}
	if l.Meter != nil {
		meter := *l.Meter
		meter.Days, meter.Orders = slices.Clone(meter.Days), slices.Clone(meter.Orders)
		c.Meter = &meter
	}
	return c
}

// Join puts before what is known of a connector what another state knew of it until then: its minutes, when it was first
// usable, what came late, its meter. Where it was only heard since, and told nothing, what it told before holds on.
func (s *State) Join(c, old *Connector) {
	if old.Until == 0 {
		return
	}
	ledger := old.Copy()
	if !c.Told {
		heard, silence, holds := c.Heard, c.SilenceMS, c.HoldsMS
		*c = *old
		c.Ledger = ledger
		if heard != 0 {
			s.Return(c, heard)
		}
		s.Limit(c, time.Duration(silence)*time.Millisecond, time.Duration(holds)*time.Millisecond)
		return
	}
	runs := ledger.Runs
	if ledger.Until <= c.From {
		runs = s.extend(old, runs, ledger.Until, c.From)
	} else {
		runs = cut(runs, ledger.Until-c.From)
	}
	for _, r := range c.Runs {
		if n := len(runs); n > 0 && runs[n-1].kind() == r.kind() {
			runs[n-1] = run(runs[n-1].minutes()+r.minutes(), r.kind())
		} else {
			runs = append(runs, r)
		}
	}
	c.Runs, c.From, c.Freed = runs, min(ledger.From, c.From), ledger.Freed
	if old.FirstUsable != 0 && (c.FirstUsable == 0 || old.FirstUsable < c.FirstUsable) {
		c.FirstUsable = old.FirstUsable
	}
	c.LastUsable = max(c.LastUsable, old.LastUsable)
	if c.BusySince != 0 && old.BusySince != 0 {
		c.BusySince = old.BusySince
	}
	if c.Late == nil {
		c.Late = ledger.Late
	} else if ledger.Late != nil {
		for _, w := range ledger.Late.Words {
			c.Late.Words = addWord(c.Late.Words, w)
		}
	}
	c.Meter = ledger.Meter.join(c.Meter)
}

// cut takes minutes off the end.
func cut(runs []Run, minutes int32) []Run {
	for len(runs) > 0 && minutes > 0 {
		last := runs[len(runs)-1]
		if last.minutes() > minutes {
			runs[len(runs)-1] = run(last.minutes()-minutes, last.kind())
			return runs
		}
		minutes -= last.minutes()
		runs = runs[:len(runs)-1]
	}
	return runs
}

// A Run is a number of minutes of one kind: minutes<<4 | Minute.
type Run uint32

func run(minutes int32, kind Minute) Run {
	return Run(minutes)<<4 | Run(kind) //nolint:gosec // minutes are positive and at most those of keptFor
}

func (r Run) minutes() int32 { return int32(r >> 4) } //nolint:gosec // 28 bits
func (r Run) kind() Minute   { return Minute(r & 15) }

// before gives the first minute that does not begin before ms.
func before(ms int64) int32 { return int32(-floorDiv(-ms, minuteMS)) } //nolint:gosec // of this millennium

// after gives the first minute that begins after ms.
func after(ms int64) int32 { return int32(floorDiv(ms, minuteMS)) + 1 } //nolint:gosec // of this millennium

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// commit writes the minutes down that begin before ms, as they are by what is known up to now.
// What comes later can change them no more.
func (s *State) commit(c *Connector, ms int64) {
	l := &c.Ledger
	end := before(min(ms, s.now))
	if l.Until == 0 {
		l.From, l.Until = end, end
		return
	}
	if end <= l.Until {
		return
	}
	if oldest := end - s.keptMinutes(); l.Until < oldest {
		l.Runs, l.From, l.Until, l.Freed = l.Runs[:0], oldest, oldest, max(l.Freed, oldest)
	}
	l.Runs = s.extend(c, l.Runs, l.Until, end)
	l.Until = end
	if oldest := end - s.keptMinutes(); l.From < oldest-trimEvery {
		l.trim(oldest)
	}
}

// trimEvery is how many minutes too many may be held, so that they do not go one by one.
const trimEvery = 24 * 60

func (s *State) keptMinutes() int32 { return int32(s.policy.OutagesKept.Milliseconds() / minuteMS) } //nolint:gosec // days

// trim frees the minutes before oldest.
func (l *Ledger) trim(oldest int32) {
	drop, from := 0, l.From
	for drop < len(l.Runs) && from+l.Runs[drop].minutes() <= oldest {
		from += l.Runs[drop].minutes()
		drop++
	}
	if drop < len(l.Runs) && from < oldest {
		l.Runs[drop] = run(from+l.Runs[drop].minutes()-oldest, l.Runs[drop].kind())
	}
	l.From, l.Freed = max(l.From, min(oldest, l.Until)), max(l.Freed, oldest)
	if drop > 0 {
		l.Runs = append([]Run(nil), l.Runs[drop:]...)
	}
}

// extend appends the minutes from from to before until, as they are if nothing more is told.
func (s *State) extend(c *Connector, runs []Run, from, until int32) []Run {
	d := s.deadlines(c)
	for from < until {
		kind, next := d.at(c, from), until
		for _, deadline := range [...]int64{d.silent, d.lapsed, d.blocked} {
			if m := after(deadline); m > from && m < next {
				next = m
			}
		}
		if n := len(runs); n > 0 && runs[n-1].kind() == kind {
			runs[n-1] = run(runs[n-1].minutes()+next-from, kind)
		} else {
			runs = append(runs, run(next-from, kind))
		}
		from = next
	}
	return runs
}

// deadlines are until when what is known of a connector holds if nothing more comes, inclusive, Unix ms.
type deadlines struct {
	silent  int64 // not silent
	lapsed  int64 // the status, or that it has left
	blocked int64 // not blocked
}

// never is later than every minute.
const never = 1 << 46

func (s *State) deadlines(c *Connector) deadlines {
	var d deadlines
	if c.Heard != 0 {
		d.silent = s.silentAfter(c)
	}
	switch {
	case c.GoneAt != 0:
		d.lapsed = s.observedUntil(s.standing(c, c.GoneAt), s.holds(c))
	case c.Told:
		d.lapsed = s.observedUntil(s.standing(c, c.ToldAt), s.holds(c))
	}
	d.blocked = s.BlockedFrom(c)
	return d
}

// at tells what a minute is.
func (d *deadlines) at(c *Connector, m int32) Minute {
	t := int64(m) * minuteMS
	switch {
	case t > d.silent:
		return Silent
	case t > d.lapsed:
		return Unknown
	case c.GoneAt != 0, c.Status == charge.Offline:
		return Out
	case c.Status == charge.Faulted:
		return Fault
	case t > d.blocked:
		return Blocked
	}
	return Usable
}

// holds is the status limit of the connector, in ms.
func (s *State) holds(c *Connector) int64 {
	if c.HoldsMS != 0 {
		return int64(c.HoldsMS)
	}
	return s.policy.StatusHolds.Milliseconds()
}

// observedUntil is the instant at which the platform has observed for so many ms since from.
func (s *State) observedUntil(from, ms int64) int64 {
	until := from + ms
	for _, o := range s.outages {
		if o.From > until {
			break
		}
		if o.Until > from {
			until += o.Until - max(o.From, from)
		}
	}
	return until
}

// silentAfter is the last instant at which the connector is not silent. Silence starts anew after an
// outage of the platform that it has not fallen silent before.
func (s *State) silentAfter(c *Connector) int64 {
	from, limit := s.HeardAt(c), int64(c.SilenceMS)
	for _, o := range s.outages {
		if o.From > from+limit {
			break
		}
		from = max(from, o.Until)
	}
	return from + limit
}

// Blocked tells whether the connector is told occupied or reserved without a break for over 24 hours of observed
// time: it counts as usable for availability, and not for coverage.
func (s *State) Blocked(c *Connector) bool { return s.now > s.BlockedFrom(c) }

// BlockedFrom is after when the connector is blocked if nothing else is told and observed time goes on, Unix ms.
func (s *State) BlockedFrom(c *Connector) int64 {
	if c.BusySince == 0 {
		return never
	}
	return s.observedUntil(c.BusySince, s.policy.BlockedAfter.Milliseconds())
}

// Free lets go of the days before provisional (00:00 Asia/Shanghai of the first day that is not yet final), after the
// caller has closed them for good. UsableObserved still sees the 96 hours that it needs.
func (s *State) Free(c *Connector, provisional time.Time) {
	l, frozen := &c.Ledger, provisional.UnixMilli()
	if oldest := min(before(frozen), before(s.now-observedWithin)); oldest > l.From {
		l.trim(oldest)
	}
	l.Freed = max(l.Freed, before(frozen))
	if l.Late != nil && l.Late.free(frozen-s.holds(c)) {
		l.Late = nil
	}
	if l.Meter != nil {
		l.Meter.free(dayOf(frozen))
	}
}
