package health

import "time"

// UsableSince is how many minutes from from on the platform saw the connector usable and not blocked: in
// its own outages it saw nothing. It goes by what came in time only.
func (s *State) UsableSince(c *Connector, from time.Time) int {
	first, end, usable := before(from.UnixMilli()), after(s.now), int32(0)
	var few [4]minutes
	blind := s.blind(few[:0], first, end, nil)
	count := func(begin int32, r Run) int32 {
		until := begin + r.minutes()
		if r.kind() == Usable {
			usable += max(0, min(until, end)-max(begin, first))
			for _, b := range blind {
				usable -= max(0, min(until, b.end)-max(begin, b.first))
			}
		}
		return until
	}
	if c.Until == 0 {
		return 0
	}
	at := c.From
	for _, r := range c.Runs {
		at = count(at, r)
	}
	var tail [len(minuteNames)]Run
	for _, r := range s.extend(c, tail[:0], c.Until, end) {
		at = count(at, r)
	}
	return int(usable)
}

// Adopt makes another policy hold from the log's now on.
func (s *State) Adopt(policy Policy) { s.policy = policy }
