// Package projection holds when a target will be reached, and how far it is from what is due today
// (judgement.md §§6 and 7). It is pure: no I/O and no clock; its draws have a fixed seed.
package projection

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"
)

// A Day is how many townships (or piles) were gained and lost on one day.
type Day struct {
	Date          time.Time // 00:00 Asia/Shanghai
	Gained, Lost  int
	NoObservation bool // the platform saw nothing: the day is neither gain nor standstill, and is left out
}

const (
	paceDays = 180
	weekDays = 7
	minWeeks = 4 // fewer give no pace
	draws    = 2000
	// horizonDays bounds what is called reached: a century on is "not reached at this pace".
	horizonDays = 36_525
)

// A Pace is how fast a target is neared, and when it is reached if that goes on.
type Pace struct {
	Known   bool    // false with fewer than 28 days observed
	PerDay  float64 // gained less lost a day, of the last 180 days
	Days    int     // that were observed
	Reached bool    // the target is reached already; then there are no dates
	// At the pace; Early and Late are the 10 % and 90 % of draws. A zero time is "not reached at this pace".
	On, Early, Late time.Time
}

// Project looks at the 180 days before today (not at today, which is not over). remaining is what is missing
// to the target, 0 or less where it is reached. The range comes of drawing the observed weeks, each with its
// gains and losses together, anew with replacement. Days are taken in any order, one a date; days that are missing
// in the list count as observed and without change once the first day of the list has passed.
func Project(days []Day, today time.Time, remaining float64) Pace {
	weeks, observed := weekly(days, today)
	p := Pace{Days: observed, Reached: remaining <= 0}
	if len(weeks) < minWeeks {
		return p
	}
	p.Known = true
	p.PerDay = pace(weeks)
	if p.Reached {
		return p
	}
	p.On = date(today, remaining, p.PerDay)
	rng := rand.New(rand.NewPCG(180, 7)) // fixed: the same input, the same range
	lasting := make([]float64, draws)
	drawn := make([]week, len(weeks))
	for i := range lasting {
		for j := range drawn {
			drawn[j] = weeks[rng.IntN(len(weeks))]
		}
		lasting[i] = lasts(remaining, pace(drawn))
	}
	slices.Sort(lasting)
	p.Early = after(today, stat.Quantile(0.1, stat.Empirical, lasting, nil))
	p.Late = after(today, stat.Quantile(0.9, stat.Empirical, lasting, nil))
	return p
}

type week struct{ net, days int }

// weekly sums up weeks of seven days, counted backwards from yesterday; the oldest may be shorter. A week
// without an observed day is left out.
func weekly(days []Day, today time.Time) (weeks []week, observed int) {
	if len(days) == 0 {
		return nil, 0
	}
	oldest := days[0].Date
	byAge := map[int]Day{} // 1 is yesterday
	for _, d := range days {
		byAge[age(d.Date, today)] = d
		if d.Date.Before(oldest) {
			oldest = d.Date
		}
	}
	var w week
	for a := 1; a <= min(paceDays, age(oldest, today)); a++ {
		if d := byAge[a]; !d.NoObservation {
			w.net += d.Gained - d.Lost
			w.days++
			observed++
		}
		if a%weekDays == 0 || a == min(paceDays, age(oldest, today)) {
			if w.days > 0 {
				weeks = append(weeks, w)
			}
			w = week{}
		}
	}
	return weeks, observed
}

// age counts days; the zone has no daylight saving, so each has 24 hours.
func age(date, today time.Time) int { return int(math.Round(today.Sub(date).Hours() / 24)) }

func pace(weeks []week) float64 {
	net, days := 0, 0
	for _, w := range weeks {
		net += w.net
		days += w.days
	}
	return float64(net) / float64(days)
}

// lasts is in days, +Inf where it is not reached.
func lasts(remaining, perDay float64) float64 {
	if perDay <= 0 || remaining/perDay > horizonDays {
		return math.Inf(1)
	}
	return math.Ceil(remaining / perDay)
}

func date(today time.Time, remaining, perDay float64) time.Time {
	return after(today, lasts(remaining, perDay))
}

func after(today time.Time, days float64) time.Time {
	if math.IsInf(days, 1) {
		return time.Time{}
	}
	return today.AddDate(0, 0, int(days))
}
