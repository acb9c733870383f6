package health

import (
	"math"
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

// A Day is the minutes of one day, 00:00 to 24:00 Asia/Shanghai, of a connector or of a pile.
type Day struct {
	Minutes  [dayMinutes]Minute
	EnergyWh uint32
	Sessions uint8
}

// A Stretch is minutes of one kind.
type Stretch struct {
	Kind    Minute
	Minutes int
}

// Strip gives the day as stretches in order, for a page to draw; they add up to 1,440.
func (d *Day) Strip() []Stretch {
	var strip []Stretch
	for _, m := range d.Minutes {
		if n := len(strip); n > 0 && strip[n-1].Kind == m {
			strip[n-1].Minutes++
		} else {
			strip = append(strip, Stretch{m, 1})
		}
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
	for _, m := range d.Minutes {
		counts[m]++
		switch {
		case m.usable():
			if !ended {
				ended, sum.BreakFirst = true, broken
			}
			broken = 0
		case m.out(), m.unheld():
			broken++
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

// Unite makes the day of a pile from those of its connectors, minute by minute: usable if one is
// (Blocked if all that are usable are blocked); else excused if all in service are; else out if one is (Fault if
// all in service tell a fault); else unknown (Silent if all that are not excused are). Energy and sessions add up.
func (d *Day) Unite(connectors ...*Day) {
	*d = Day{}
	for _, c := range connectors {
		d.EnergyWh = saturate(d.EnergyWh, int64(c.EnergyWh))
		d.Sessions = uint8(min(int(d.Sessions)+int(c.Sessions), math.MaxUint8)) //nolint:gosec // bounded
	}
	for i := range d.Minutes {
		var n [len(minuteNames)]int
		for _, c := range connectors {
			n[c.Minutes[i]]++
		}
		d.Minutes[i] = unite(&n, len(connectors)-n[NotInService])
	}
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
	*into = Day{}
	if first < c.Freed {
		return false
	}
	if c.Meter != nil {
		into.EnergyWh, into.Sessions = c.Meter.delivered(dayOf(day.UnixMilli()))
	}
	w := minutes{first: first, end: min(first+dayMinutes, after(s.now))}
	if w.end <= first {
		return true
	}
	marks := [dayMinutes]mark{}
	for _, span := range service {
		w.mark(&marks, inService, before(span.From.UnixMilli()), before(span.Until.UnixMilli()))
	}
	for _, span := range excused {
		w.mark(&marks, excuse, before(span.From.UnixMilli()), before(span.Until.UnixMilli()))
	}
	for _, o := range s.outages {
		w.mark(&marks, outage, after(o.From), before(o.Until))
	}
	s.known(&into.Minutes, c, w)
	words, next := s.words(p, c), 0
	var told Word
	silent := min(c.SilenceMS, s.holds(c))
	for i := range into.Minutes[:w.end-first] {
		t := int64(first+int32(i)) * minuteMS //nolint:gosec // of a day
		for next < len(words) && words[next].at() <= t {
			told = words[next]
			next++
		}
		m := &into.Minutes[i]
		limit := silent
		if *m == Unknown {
			limit = s.holds(c) // it was heard
		}
		late := told != 0 && t-told.at() <= limit
		switch {
		case marks[i]&inService == 0:
			*m = NotInService
			continue
		case marks[i]&outage != 0:
			if *m = Excused; late && told.kind() == Usable {
				*m = Usable
			}
			continue
		case m.unheld() && late:
			*m = told.kind()
		}
		if marks[i]&excuse != 0 && !m.usable() {
			*m = Excused
		}
	}
	return true
}

// known fills the minutes of w with what came in time.
func (s *State) known(into *[dayMinutes]Minute, c *Connector, w minutes) {
	fill := func(from, until int32, kind Minute) {
		for m := max(from, w.first); m < min(until, w.end); m++ {
			into[m-w.first] = kind
		}
	}
	if c.Until == 0 {
		fill(w.first, w.end, Silent)
		return
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
}

// A mark is what else is known of a minute.
type mark uint8

const (
	inService mark = 1 << iota
	excuse
	outage
)

// Minutes are those from first to before end, since the Unix epoch.
type minutes struct{ first, end int32 }

func (w minutes) mark(marks *[dayMinutes]mark, with mark, from, until int32) {
	for m := max(from, w.first); m < min(until, w.end); m++ {
		marks[m-w.first] |= with
	}
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
