package health

import (
	"time"

	"pilewatch/internal/charge"
)

// WholeDay gives what all minutes of the connector's day are, where they are alike and nothing but what came in
// time bears on them, and the sums of that day: what CloseDay and Sum give with the connector in service all day
// and nothing excused, at a hundredth of the time. Most days are such. It reports false for every other day.
func (s *State) WholeDay(c *Connector, day time.Time) (kind Minute, sum charge.DayMinutes, ok bool) {
	first := before(day.UnixMilli())
	end := first + dayMinutes
	if first < c.Freed || end > after(s.now) || c.Late != nil {
		return 0, sum, false
	}
	for _, o := range s.outages {
		if after(o.From) < end && before(o.Until) > first {
			return 0, sum, false
		}
	}
	if kind, ok = s.alike(c, first, end); !ok {
		return 0, sum, false
	}
	sum = kind.wholeDay()
	if c.Meter != nil {
		sum.EnergyWh, sum.Sessions = c.Meter.delivered(dayOf(day.UnixMilli()))
	}
	return kind, sum, true
}

// alike tells whether all minutes from first to before end are of one kind by what came in time.
func (s *State) alike(c *Connector, first, end int32) (kind Minute, ok bool) {
	if c.Until == 0 || end <= c.From {
		return Silent, true
	}
	if first < c.From {
		return 0, false
	}
	at, found := c.From, false
	same := func(r Run) bool {
		from := at
		at += r.minutes()
		if at <= first || from >= end {
			return true
		}
		if found && r.kind() != kind {
			return false
		}
		kind, found = r.kind(), true
		return true
	}
	for _, r := range c.Runs {
		if !same(r) {
			return 0, false
		}
	}
	if end > c.Until {
		var tail [len(minuteNames)]Run
		for _, r := range s.extend(c, tail[:0], c.Until, end) {
			if !same(r) {
				return 0, false
			}
		}
	}
	return kind, found
}

// wholeDay gives the sums of a day of minutes of the kind.
func (m Minute) wholeDay() (sum charge.DayMinutes) {
	switch {
	case m.usable():
		sum.Usable, sum.Heard = dayMinutes, dayMinutes
		if m == Blocked {
			sum.Blocked = dayMinutes
		}
	case m.out():
		sum.Out, sum.Heard = dayMinutes, dayMinutes
		if m == Fault {
			sum.Fault = dayMinutes
		}
	case m.unheld():
		sum.Unknown = dayMinutes
		if m == Unknown {
			sum.Heard = dayMinutes
		}
	case m == Excused:
		sum.Excused = dayMinutes
	}
	if m.out() || m.unheld() {
		sum.BreakFirst, sum.BreakLongest, sum.BreakLast = dayMinutes, dayMinutes, dayMinutes
	}
	return sum
}

// UniteWhole is Unite for days of one kind each, and gives the sums of the pile's day. Energy and sessions are
// those of the connectors together.
func UniteWhole(kinds []Minute, sums []charge.DayMinutes) (sum charge.DayMinutes) {
	var n [len(minuteNames)]int
	for _, k := range kinds {
		n[k]++
	}
	sum = unite(&n, len(kinds)-n[NotInService]).wholeDay()
	for i := range sums {
		sum.EnergyWh = saturate(sum.EnergyWh, int64(sums[i].EnergyWh))
		sum.Sessions = saturateSessions(sum.Sessions, sums[i].Sessions)
	}
	return sum
}
