package cases

import (
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// A Calendar tells working days. Which days the State Council gives off is decided a year at a time, so the
// calendar knows weekends and what a setting lists. The zero value knows weekends only.
type Calendar struct {
	off, on map[string]bool // by date, "2006-01-02"
}

// NewCalendar takes the holidays and the weekend days that are worked instead (调休), as "2006-01-02".
func NewCalendar(holidays, worked []string) (Calendar, error) {
	c := Calendar{off: map[string]bool{}, on: map[string]bool{}}
	for days, list := range map[*map[string]bool][]string{&c.off: holidays, &c.on: worked} {
		for _, s := range list {
			if _, err := time.ParseInLocation(time.DateOnly, s, charge.Zone); err != nil {
				return Calendar{}, fmt.Errorf("read calendar: day %q: want one like 2026-10-01", s)
			}
			(*days)[s] = true
		}
	}
	return c, nil
}

// Working tells whether the day of t is one.
func (c Calendar) Working(t time.Time) bool {
	t = t.In(charge.Zone)
	date := t.Format(time.DateOnly)
	if c.on[date] {
		return true
	}
	return !c.off[date] && t.Weekday() != time.Saturday && t.Weekday() != time.Sunday
}

// AfterWorking is the moment at which days whole working days after the day of from have passed.
func (c Calendar) AfterWorking(from time.Time, days int) time.Time {
	day := midnight(from)
	for days > 0 {
		if day = day.AddDate(0, 0, 1); c.Working(day) {
			days--
		}
	}
	return day.AddDate(0, 0, 1)
}

// Deadline is the moment at which a period of calendar days after the day of served has passed. The day of
// service does not count, and a last day that is not a working one moves to the next that is. A period of
// 0 days has passed with the day of service.
func (c Calendar) Deadline(served time.Time, days int) time.Time {
	last := midnight(served).AddDate(0, 0, days)
	for days > 0 && !c.Working(last) {
		last = last.AddDate(0, 0, 1)
	}
	return last.AddDate(0, 0, 1)
}

func midnight(t time.Time) time.Time {
	t = t.In(charge.Zone)
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, charge.Zone)
}
