package ingest

import (
	"time"

	"pilewatch/ingest/coverage"
	"pilewatch/internal/charge"
)

// A town's verdict is sure until an instant before which neither time nor, where it is effective, a message in time
// can change it, so that it need not be judged at each tick. Nothing is foreseen where an excuse is near or the last
// state stands without evidence, nor in a story; a new day, an outage, the registry and, where the township
// is not effective, any word of its piles make the verdict unsure at once.

// lag is how long before the last tick a message may have been received that leaves an effective township sure.
const lag = time.Minute

// sureUntil is until when, inclusive, the verdict on the township whose evidence was just listed stands, Unix ms.
func (j *judge) sureUntil(v *coverage.Verdict) int64 {
	now := j.state.Now()
	if j.story || j.restless || v.NotObserved {
		return 0
	}
	var until time.Time
	if v.State == charge.Effective {
		until = j.surelyServes(now)
	} else {
		until = j.surelyNot(now)
	}
	if v.Proven {
		var last time.Time
		for i := range j.connectors {
			last = later(last, j.connectors[i].Proven)
		}
		until = earlier(until, last.Add(j.policy.ProvenFor-time.Millisecond))
	}
	return earlier(until, j.turns.Add(-time.Millisecond)).UnixMilli()
}

// leastUsable is the policy's, of which some has to be.
func (j *judge) leastUsable() time.Duration { return max(j.policy.MinUsable, time.Minute) }

// surelyServes is until when one of the connectors makes the township effective, whatever it tells: of the last
// day's observed minutes each that passes lets one go at most, so that what was usable for ten hours of them is
// usable for one hour for nine hours more.
func (j *judge) surelyServes(now time.Time) (best time.Time) {
	const rounding = time.Minute // the window ends with the minute, or with the closing of the station in it
	for i := range j.connectors {
		c := &j.connectors[i]
		if c.Usable < j.policy.MinUsable || !c.Heard || c.Blocked {
			continue
		}
		until := now.Add(min(c.Usable, c.UsableSeen) - j.leastUsable() - 2*lag - rounding)
		until = earlier(until, now.Add(j.policy.UnobservedFor-c.Unheard))
		until = earlier(until, now.Add(j.numbers.BlockedAfter-lag)) // it may have been told occupied
		best = later(best, earlier(until, instant(j.blockedFrom[i])))
	}
	return best
}

// surelyNot is until when none of the connectors makes the township effective, nor is the reason another, if none
// tells anything.
func (j *judge) surelyNot(now time.Time) time.Time {
	const rounding = 2 * time.Minute
	until := j.turns
	for i := range j.connectors {
		c := &j.connectors[i]
		if missing := j.leastUsable() - c.Usable; missing > 0 {
			until = earlier(until, now.Add(missing-rounding))
		}
		if !c.Blocked {
			until = earlier(until, instant(j.blockedFrom[i]))
		}
		if c.Heard && c.Unheard <= j.policy.UnobservedFor {
			until = earlier(until, now.Add(j.policy.UnobservedFor-c.Unheard))
		}
	}
	for i := range j.stations {
		if begun := j.stations[i].Opened.Add(j.policy.StartingFor); begun.After(now) {
			until = earlier(until, begun.Add(-time.Millisecond))
		}
	}
	return until
}

// turnAt notes a day on which something of the township being judged begins or ceases to be in service.
func (j *judge) turnAt(dates ...time.Time) {
	for _, at := range dates {
		if at.After(j.state.Now()) {
			j.turns = earlier(j.turns, at)
		}
	}
}

// doubt has every township judged at the next tick.
func (j *judge) doubt() {
	for _, t := range j.places {
		t.sure = 0
	}
}
