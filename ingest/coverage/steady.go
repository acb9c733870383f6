package coverage

import (
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// A Record is what of a township's past its events depend on. The zero value has none.
type Record struct {
	ChangedMS []int64 // when it became effective or ceased to be, Unix ms, oldest first, of the last UnsteadyWithin
	Effective bool    // after the last of them
	Unsteady  bool    // that has been told, and no quiet time has passed since
}

// maxChanges bounds a record; a township that changes more often is unsteady all the same.
const maxChanges = 64

// Turn takes note that the township is, from at on, effective or not. It gives the event that this
// is, "" for none: a gain, a loss, or at the change over UnsteadyAfter one event "unsteady" that
// stands for all that follow, until no change has come for UnsteadyWithin.
func (r *Record) Turn(p Policy, at time.Time, effective bool) charge.EventKind {
	if effective == r.Effective {
		return ""
	}
	ms := at.UnixMilli()
	if n := len(r.ChangedMS); n > 0 && ms-r.ChangedMS[n-1] >= p.UnsteadyWithin.Milliseconds() {
		r.Unsteady = false
	}
	r.forget(p, ms)
	r.Effective = effective
	r.ChangedMS = append(r.ChangedMS, ms)
	if len(r.ChangedMS) > maxChanges {
		r.ChangedMS = slices.Delete(r.ChangedMS, 0, 2) // a pair, so that what it was before stays right
	}
	switch {
	case r.Unsteady:
		return ""
	case len(r.ChangedMS) > p.UnsteadyAfter:
		r.Unsteady = true
		return charge.CoverageUnsteady
	case effective:
		return charge.CoverageGained
	}
	return charge.CoverageLost
}

// forget drops changes that are older than the time that counts.
func (r *Record) forget(p Policy, nowMS int64) {
	first := 0
	for first < len(r.ChangedMS) && nowMS-r.ChangedMS[first] >= p.UnsteadyWithin.Milliseconds() {
		first++
	}
	r.ChangedMS = slices.Delete(r.ChangedMS, 0, first)
}

// Share is the part, 0 to 1, of the last UnsteadyWithin before at for which the township was effective.
func (r *Record) Share(p Policy, at time.Time) float64 {
	until, effective, total := at.UnixMilli(), r.Effective, int64(0)
	from := until - p.UnsteadyWithin.Milliseconds()
	for i := len(r.ChangedMS) - 1; i >= 0 && until > from; i-- {
		begun := max(r.ChangedMS[i], from)
		if effective {
			total += max(until-begun, 0)
		}
		until, effective = min(until, begun), !effective
	}
	if effective {
		total += max(until-from, 0)
	}
	return float64(total) / float64(p.UnsteadyWithin.Milliseconds())
}
