package longfailed

import "time"

// An Earlier is a case of the same serial number that ended as rectified. The suspicions that joined it are
// earlier ones of their own.
type Earlier struct{ Suspected, Rectified time.Time }

// A Relapse is how a new suspicion stands to the earlier ones.
type Relapse struct {
	Joins      int // index of the earlier case, -1 where it opens one of its own
	PeriodDays int // to repair or to state one's case; 0: it goes to the officer without a period
}

// Relapsed tells whether a suspicion within 90 days after a rectified case joins that case, with 10 days;
// the third suspicion in 12 months, this one counted, has no period.
func (p Periods) Relapsed(earlier []Earlier, suspected time.Time) Relapse {
	r := Relapse{Joins: -1, PeriodDays: p.Days}
	recent := 1
	for i, e := range earlier {
		if e.Suspected.After(suspected.AddDate(0, -p.LastWithinMonths, 0)) {
			recent++
		}
		if !suspected.Before(e.Rectified) && suspected.Before(e.Rectified.AddDate(0, 0, p.RelapseWithinDays)) &&
			(r.Joins < 0 || earlier[r.Joins].Rectified.Before(e.Rectified)) {
			r.Joins = i
		}
	}
	if r.Joins >= 0 {
		r.PeriodDays = p.RelapseDays
		if recent >= 3 {
			r.PeriodDays = 0
		}
	}
	return r
}

// DismissedUntil is when a rule may ask again: at the date given, or after 90 days.
func (p Periods) DismissedUntil(dismissed, given time.Time) time.Time {
	if !given.IsZero() {
		return given
	}
	return dismissed.AddDate(0, 0, p.DismissalDays)
}
