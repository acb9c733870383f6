package longfailed

import (
	"time"

	"pilewatch/internal/charge"
)

const dayMinutes = 24 * 60

// A Day is one day of a pile. Connectors have one order through all days; one that was not in service has
// the zero value, and those at the end may be missing.
type Day struct {
	Date       time.Time         // 00:00 Asia/Shanghai
	Pile       charge.DayMinutes // the union of its connectors
	Connectors []charge.DayMinutes
}

func unexcused(d *charge.DayMinutes) int64 { return int64(d.Usable) + int64(d.Out) + int64(d.Unknown) }

// A Window is a sum of days, in minutes of the pile as the union of its connectors.
type Window struct {
	From, Until time.Time // first day, and the day after the last

	Usable, Out, Unknown int64
	Excused              int64
	Fault, Heard         int64
	EnergyWh             int64
	Sessions             int64 // of at least 1 kWh

	Connectors []ConnectorSum
}

// A ConnectorSum is one connector's part of a window.
type ConnectorSum struct {
	Unexcused, Fault int64 // minutes
}

// Unexcused is the minutes in service that are not excused.
func (w *Window) Unexcused() int64 { return w.Usable + w.Out + w.Unknown }

// Share is minutes as a part of the unexcused ones, 0 where there are none.
func (w *Window) Share(minutes int64) float64 {
	return part(minutes, w.Unexcused())
}

// part divides, for a quotient is rounded once: 97 of 100 is at least 0.97, whatever 0.97 × 100 comes to.
func part(minutes, of int64) float64 {
	if of == 0 {
		return 0
	}
	return float64(minutes) / float64(of)
}

// Look takes whole days from the newest backwards, but none that begins before since, until they hold
// minutes of unexcused service; full is false where there are not so many.
func Look(days []Day, since time.Time, minutes int) (w Window, full bool) {
	i := len(days)
	for ; i > 0 && w.Unexcused() < int64(minutes) && !days[i-1].Date.Before(since); i-- {
		w.add(&days[i-1])
	}
	if i < len(days) {
		w.From, w.Until = days[i].Date, days[len(days)-1].Date.AddDate(0, 0, 1)
	}
	return w, w.Unexcused() >= int64(minutes)
}

func (w *Window) add(d *Day) {
	w.Usable += int64(d.Pile.Usable)
	w.Out += int64(d.Pile.Out)
	w.Unknown += int64(d.Pile.Unknown)
	w.Excused += int64(d.Pile.Excused)
	w.Fault += int64(d.Pile.Fault)
	w.Heard += int64(d.Pile.Heard)
	w.EnergyWh += int64(d.Pile.EnergyWh)
	w.Sessions += int64(d.Pile.Sessions)
	for len(w.Connectors) < len(d.Connectors) {
		w.Connectors = append(w.Connectors, ConnectorSum{})
	}
	for i := range d.Connectors {
		w.Connectors[i].Unexcused += unexcused(&d.Connectors[i])
		w.Connectors[i].Fault += int64(d.Connectors[i].Fault)
	}
}

// everyConnectorFaulted passes over connectors without unexcused service in the window. One that is new in
// it is judged by its own time: adding a gun that does not work is no repair.
func (w *Window) everyConnectorFaulted(share float64) bool {
	for _, c := range w.Connectors {
		if c.Unexcused > 0 && part(c.Fault, c.Unexcused) < share {
			return false
		}
	}
	return len(w.Connectors) > 0
}
