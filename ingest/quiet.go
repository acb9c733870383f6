package ingest

import (
	"time"

	"pilewatch/ingest/coverage"
	"pilewatch/internal/charge"
)

// quiet is until when, at least, the verdict on the township whose evidence was just listed stays as it is if
// nothing but time passes, Unix ms: it need not be judged at every tick. Of the last day's observed minutes
// each that passes lets one go, so that what was usable for ten hours is usable for one for nine hours more.
// What a message changes, an outage and the registry end the quiet themselves.
func (j *judge) quiet(v *coverage.Verdict) int64 {
	now := j.state.Now()
	if j.restless || v.NotObserved {
		return now.UnixMilli()
	}
	until := j.today.AddDate(0, 0, 1).Add(-time.Millisecond) // hours, seasons and dates hold for a day
	if v.State == charge.Effective {
		until = earlier(until, j.serving(now))
	} else {
		until = earlier(until, j.idle(now))
	}
	if v.Proven {
		var last time.Time
		for i := range j.connectors {
			last = later(last, j.connectors[i].Proven)
		}
		until = earlier(until, last.Add(j.policy.ProvenFor-time.Millisecond))
	}
	return until.UnixMilli()
}

// serving is until when one of the connectors surely makes the township effective.
func (j *judge) serving(now time.Time) time.Time {
	best := now
	for i := range j.connectors {
		c := &j.connectors[i]
		if !c.Heard || c.Blocked {
			continue
		}
		until := now.Add(min(c.Usable, c.UsableSeen) - max(j.policy.MinUsable, time.Minute))
		until = earlier(until, now.Add(j.policy.UnobservedFor-c.Unheard))
		until = earlier(until, now.Add(j.numbers.BlockedAfter)) // it may be told occupied with the next message
		best = later(best, earlier(until, instant(j.blocking[i])))
	}
	return best
}

// idle is until when surely none of the connectors makes the township effective, nor is the reason another.
func (j *judge) idle(now time.Time) time.Time {
	const far = 48 * time.Hour
	until := now.Add(far)
	for i := range j.connectors {
		c := &j.connectors[i]
		if c.UsableNow && !c.Blocked {
			until = earlier(until, now.Add(max(0, j.policy.MinUsable-c.Usable-time.Minute)))
		}
		if !c.Blocked {
			until = earlier(until, instant(j.blocking[i]))
		}
		if c.Heard && c.Unheard <= j.policy.UnobservedFor {
			until = earlier(until, now.Add(j.policy.UnobservedFor-c.Unheard))
		}
	}
	for i := range j.stations {
		if ends := j.stations[i].Opened.Add(j.policy.StartingFor - time.Millisecond); !ends.Before(now) {
			until = earlier(until, ends)
		}
	}
	return until
}
