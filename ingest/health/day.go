package health

import (
	"cmp"
	"math"
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// A Minute is how one minute was spent (judgement.md §1).
type Minute uint8

// The kinds of minutes. Blocked counts as usable; Fault counts as out; Silent counts as unknown.
const (
	NotInService Minute = iota // or not yet passed
	Usable
	Blocked // usable, but occupied or reserved without a break for over 24 hours
	Excused
	Out     // told offline, or left
	Fault   // told a fault
	Unknown // heard, but no status holds
	Silent
)

var minuteNames = [...]string{"not_in_service", "usable", "blocked", "excused", "out", "fault", "unknown", "silent"}

// String gives the word that pages use.
func (m Minute) String() string {
	if int(m) < len(minuteNames) {
		return minuteNames[m]
	}
	return "invalid"
}

func (m Minute) usable() bool { return m == Usable || m == Blocked }
func (m Minute) out() bool    { return m == Out || m == Fault }
func (m Minute) unheld() bool { return m == Unknown || m == Silent }

const dayMinutes = 24 * 60

// A Day is the minutes of one day, 00:00 to 24:00 Asia/Shanghai, of a connector or of a pile. To fill one
// that was used before costs no memory.
type Day struct {
	Runs     []Run // in order; 1,440 minutes, and no two of one kind beside each other
	EnergyWh uint32
	Sessions uint8

	known []Run // while it is made
	spans []minutes
	walks []walk
}

// add appends minutes of a kind.
func (d *Day) add(minutes int32, kind Minute) { d.Runs = appendRun(d.Runs, minutes, kind) }

func appendRun(runs []Run, minutes int32, kind Minute) []Run {
	switch n := len(runs); {
	case minutes <= 0:
		return runs
	case n > 0 && runs[n-1].kind() == kind:
		runs[n-1] = run(runs[n-1].minutes()+minutes, kind)
		return runs
	}
	return append(runs, run(minutes, kind))
}

// A Stretch is minutes of one kind.
type Stretch struct {
	Kind    Minute
	Minutes int
}

// Strip gives the day as stretches in order, for a page to draw; they add up to 1,440.
func (d *Day) Strip() []Stretch {
	strip := make([]Stretch, len(d.Runs))
	for i, r := range d.Runs {
		strip[i] = Stretch{r.kind(), int(r.minutes())}
	}
	return strip
}

// Sum counts the day. On a day without a usable minute all three breaks are the whole of it.
func (d *Day) Sum() charge.DayMinutes {
	var (
		counts [len(minuteNames)]uint16
		sum    = charge.DayMinutes{EnergyWh: d.EnergyWh, Sessions: d.Sessions}
		broken uint16
		ended  bool // the break at the day's begin
	)
	for _, r := range d.Runs {
		kind, n := r.kind(), uint16(r.minutes()) //nolint:gosec // of a day
		counts[kind] += n
		switch {
		case kind.usable():
			if !ended {
				ended, sum.BreakFirst = true, broken
			}
			broken = 0
		case kind.out(), kind.unheld():
			broken += n
			sum.BreakLongest = max(sum.BreakLongest, broken)
		}
	}
	sum.BreakLast = broken
	if !ended {
		sum.BreakFirst = broken
	}
	sum.Usable, sum.Blocked = counts[Usable]+counts[Blocked], counts[Blocked]
	sum.Excused = counts[Excused]
	sum.Out, sum.Fault = counts[Out]+counts[Fault], counts[Fault]
	sum.Unknown = counts[Unknown] + counts[Silent]
	sum.Heard = sum.Usable + sum.Out + counts[Unknown]
	return sum
}

// A walk goes through the runs of a day.
type walk struct {
	runs []Run
	end  int32 // of the first of them, in minutes of the day
}

// Unite makes the day of a pile from those of its connectors, minute by minute: usable if one is
// (Blocked if all that are usable are blocked); else excused if all in service are; else out if one is (Fault if
// all in service tell a fault); else unknown (Silent if all that are not excused are). Energy and sessions add up.
func (d *Day) Unite(connectors ...*Day) {
	d.EnergyWh, d.Sessions, d.Runs, d.walks = 0, 0, d.Runs[:0], d.walks[:0]
	for _, c := range connectors {
		d.EnergyWh = saturate(d.EnergyWh, int64(c.EnergyWh))
		d.Sessions = saturateSessions(d.Sessions, c.Sessions)
		d.walks = append(d.walks, walk{c.Runs, c.Runs[0].minutes()})
	}
	if len(connectors) == 0 {
		d.add(dayMinutes, NotInService)
	}
	for at := int32(0); at < dayMinutes && len(d.walks) > 0; {
		var n [len(minuteNames)]int
		next := int32(dayMinutes)
		for i := range d.walks {
			w := &d.walks[i]
			if w.end == at {
				w.runs = w.runs[1:]
				w.end += w.runs[0].minutes()
			}
			n[w.runs[0].kind()]++
			next = min(next, w.end)
		}
		d.add(next-at, unite(&n, len(connectors)-n[NotInService]))
		at = next
	}
}

func saturateSessions(a, b uint8) uint8 {
	return uint8(min(int(a)+int(b), math.MaxUint8)) //nolint:gosec // bounded
}

func unite(n *[len(minuteNames)]int, inService int) Minute {
	switch {
	case inService == 0:
		return NotInService
	case n[Usable] > 0:
		return Usable
	case n[Blocked] > 0:
		return Blocked
	case n[Excused] == inService:
		return Excused
	case n[Fault] == inService:
		return Fault
	case n[Out]+n[Fault] > 0:
		return Out
	case n[Unknown] > 0:
		return Unknown
	}
	return Silent
}

// CloseDay fills into with the connector's minutes of the day that begins at day (00:00 Asia/Shanghai), as far
// as the log has come. service is when it is to serve (see InService), excused the granted excuses; both
// sorted or not, and they may overlap. Outages of the platform are excused without being named. It changes
// nothing of s, p and c, so that a day can be closed provisionally at any time; it is final once the
// lateness limit has passed after its end. It reports false where the day was freed before.
func (s *State) CloseDay(into *Day, p *Pile, c *Connector, day time.Time, service, excused []charge.Span) bool {
	first := before(day.UnixMilli())
	into.Runs, into.EnergyWh, into.Sessions = into.Runs[:0], 0, 0
	if first < c.Freed {
		into.add(dayMinutes, NotInService)
		return false
	}
	if c.Meter != nil {
		into.EnergyWh, into.Sessions = c.Meter.delivered(dayOf(day.UnixMilli()))
	}
	w := minutes{first: first, end: min(first+dayMinutes, after(s.now))}
	if w.end <= first {
		into.add(dayMinutes, NotInService)
		return true
	}
	into.known = s.known(into.known[:0], c, w)
	into.spans = into.spans[:0]
	serves, excuses, outages := into.within(w, service), into.within(w, excused), into.outages(w, s.outages)
	evidence := lateWords{words: s.words(p, c), silent: min(int64(c.SilenceMS), s.holds(c)), holds: s.holds(c)}
	runs, end := into.known, w.first
	for at := w.first; at < w.end; {
		for end <= at {
			end += runs[0].minutes()
			runs = runs[1:]
		}
		kind, next := into.known[len(into.known)-len(runs)-1].kind(), end
		serving, excuse, outage := serves.holds(at, &next), excuses.holds(at, &next), outages.holds(at, &next)
		told, late := evidence.at(at, kind, &next)
		switch {
		case !serving:
			kind = NotInService
		case outage && late && told == Usable:
			kind = Usable
		case outage:
			kind = Excused
		default:
			if kind.unheld() && late {
				kind = told
			}
			if excuse && !kind.usable() {
				kind = Excused
			}
		}
		into.add(next-at, kind)
		at = next
	}
	into.add(dayMinutes-(w.end-w.first), NotInService)
	return true
}

// known appends what came in time says of the minutes of w.
func (s *State) known(into []Run, c *Connector, w minutes) []Run {
	if c.Until == 0 {
		return append(into, run(w.end-w.first, Silent))
	}
	fill := func(from, until int32, kind Minute) {
		into = appendRun(into, min(until, w.end)-max(from, w.first), kind)
	}
	fill(w.first, c.From, Silent)
	at := c.From
	for _, r := range c.Runs {
		fill(at, at+r.minutes(), r.kind())
		at += r.minutes()
	}
	if w.end > c.Until {
		var tail [len(minuteNames)]Run
		for _, r := range s.extend(c, tail[:0], c.Until, w.end) {
			fill(at, at+r.minutes(), r.kind())
			at += r.minutes()
		}
	}
	return into
}

// Minutes are those from first to before end, since the Unix epoch.
type minutes struct{ first, end int32 }

// apart sorts minutes and joins those that touch.
func apart(all []minutes) []minutes {
	if len(all) < 2 {
		return all
	}
	slices.SortFunc(all, func(a, b minutes) int { return cmp.Compare(a.first, b.first) })
	joined := all[:1]
	for _, m := range all[1:] {
		if last := &joined[len(joined)-1]; m.first <= last.end {
			last.end = max(last.end, m.end)
		} else {
			joined = append(joined, m)
		}
	}
	return joined
}

// cursor goes through minutes that are apart.
type cursor []minutes

// holds tells whether at is one of them, and lowers next to where that ends. at never falls.
func (k *cursor) holds(at int32, next *int32) bool {
	for len(*k) > 0 && (*k)[0].end <= at {
		*k = (*k)[1:]
	}
	switch {
	case len(*k) == 0:
		return false
	case (*k)[0].first > at:
		*next = min(*next, (*k)[0].first)
		return false
	}
	*next = min(*next, (*k)[0].end)
	return true
}

func (d *Day) within(w minutes, spans []charge.Span) cursor {
	first := len(d.spans)
	for _, span := range spans {
		d.keep(w, before(span.From.UnixMilli()), before(span.Until.UnixMilli()))
	}
	return cursor(apart(d.spans[first:]))
}

func (d *Day) outages(w minutes, spans []span) cursor {
	first := len(d.spans)
	for _, o := range spans {
		d.keep(w, after(o.From), before(o.Until))
	}
	return cursor(apart(d.spans[first:]))
}

func (d *Day) keep(w minutes, from, until int32) {
	if from, until = max(from, w.first), min(until, w.end); from < until {
		d.spans = append(d.spans, minutes{from, until})
	}
}

// lateWords goes through what came late, in order.
type lateWords struct {
	words         []Word
	told          Word
	silent, holds int64 // for how long a word counts where the pile was silent, and where it was heard, ms
}

// at gives what was told last before minute m, of which the rest says kind, and whether it still counts; it lowers
// next to where that may change. m never falls.
func (l *lateWords) at(m int32, kind Minute, next *int32) (told Minute, counts bool) {
	t := int64(m) * minuteMS
	for len(l.words) > 0 && l.words[0].at() <= t {
		l.told, l.words = l.words[0], l.words[1:]
	}
	if len(l.words) > 0 {
		*next = min(*next, before(l.words[0].at()))
	}
	if l.told == 0 {
		return 0, false
	}
	limit := l.silent
	if kind == Unknown {
		limit = l.holds
	}
	end := after(l.told.at() + limit)
	if m >= end {
		return 0, false
	}
	*next = min(*next, end)
	return l.told.kind(), true
}

// InService clips the spans in which a connector is to serve (from its dates, hours and seasons) to when it
// did enter service: the later of opened and its first usable minute, at most 30 days after opened. Before that
// it is registered and not connected, and no minute of it counts.
func (s *State) InService(c *Connector, opened time.Time, spans []charge.Span) []charge.Span {
	from := opened.Add(s.policy.ConnectWithin)
	if c.FirstUsable != 0 {
		if first := time.UnixMilli(c.FirstUsable); first.Before(from) {
			from = first
		}
	}
	if from.Before(opened) {
		from = opened
	}
	var clipped []charge.Span
	for _, span := range spans {
		if span.From.Before(from) {
			span.From = from
		}
		if span.From.Before(span.Until) {
			clipped = append(clipped, span)
		}
	}
	return clipped
}
