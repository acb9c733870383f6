package health

import (
	"time"

	"pilewatch/internal/charge"
)

// observedWithin is how far back UsableObserved looks, in ms.
const observedWithin = 96 * 60 * minuteMS

// UsableObserved is how many minutes the connector was usable, and not blocked, in the last of those that could
// be observed, as many as window holds: outages of the platform and the spans of left are left out, and the
// window reaches further back for them, up to 96 hours. It goes by what came in time only. Observed is how many
// there were: fewer than asked for only where 96 hours do not hold them.
func (s *State) UsableObserved(c *Connector, window time.Duration, left []charge.Span) (usable, observed int) {
	end := after(s.now)
	begin := end - observedWithin/minuteMS
	var few [4]minutes
	blind := s.blind(few[:0], begin, end, left)
	// Backwards from end, until the window is full.
	missing, at := int32(window/time.Minute), end //nolint:gosec // hours
	for i := len(blind) - 1; i >= 0 && at-blind[i].end < missing; i-- {
		missing -= at - blind[i].end
		at = blind[i].first
	}
	begin = max(begin, at-missing)
	seen := func(from, until int32) int {
		from, until = max(from, begin), min(until, end)
		n := until - from
		if n <= 0 {
			return 0
		}
		for _, b := range blind {
			n -= max(0, min(b.end, until)-max(b.first, from))
		}
		return int(n)
	}
	if c.Until == 0 {
		return 0, seen(begin, end)
	}
	from := c.From
	for _, r := range c.Runs {
		if r.kind() == Usable {
			usable += seen(from, from+r.minutes())
		}
		from += r.minutes()
	}
	var tail [len(minuteNames)]Run
	for _, r := range s.extend(c, tail[:0], c.Until, end) {
		if r.kind() == Usable {
			usable += seen(from, from+r.minutes())
		}
		from += r.minutes()
	}
	return usable, seen(begin, end)
}

// blind gives the minutes between begin and end that could not be observed or are left out, in order and apart.
func (s *State) blind(into []minutes, begin, end int32, left []charge.Span) []minutes {
	add := func(first, until int32) {
		if first, until = max(first, begin), min(until, end); first < until {
			into = append(into, minutes{first, until})
		}
	}
	for _, o := range s.outages {
		add(after(o.From), before(o.Until))
	}
	for _, span := range left {
		add(before(span.From.UnixMilli()), before(span.Until.UnixMilli()))
	}
	return apart(into)
}
