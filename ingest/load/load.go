// Package load makes the 15-minute windows of the load curve (96 a day, the grid's convention) from
// what connectors told. It is pure: the same readings give the same windows, in whichever order they
// arrived.
package load

import (
	"time"

	"pilewatch/internal/charge"
)

// The grid's convention, and how long a reading is believed: a pile tells its power each 15 s while
// it charges, so one that has said nothing for a minute has gone.
const (
	Window  = 15 * time.Minute
	Minutes = int(Window / time.Minute)
	Hold    = time.Minute
)

const (
	minuteMS = int64(time.Minute / time.Millisecond)
	windowMS = int64(Window / time.Millisecond)
	holdMS   = int64(Hold / time.Millisecond)
	hourMS   = float64(time.Hour / time.Millisecond)
)

// Start gives the beginning of the window that holds a time. Windows begin on whole quarters of an
// hour of UTC, which are those of Asia/Shanghai too.
func Start(at time.Time) time.Time { return at.Truncate(Window) }

// Touched gives the beginnings of the windows that a reading at this time may change: its own, and
// the next where the reading holds into it.
func Touched(at time.Time) (first, last time.Time) {
	return Start(at), Start(at.Add(Hold - time.Millisecond))
}

// A Sum is what some connectors drew in one window.
type Sum struct {
	minutes  [Minutes]float64 // kW times ms
	charging int64            // ms of connectors that charged
}

// Add adds one connector: its readings by time, of which what they say about [fromMS, toMS) counts. A
// reading holds until the next, for Hold at most. start is the window's beginning, and the range
// lies in the window: a window may be added up in parts, as long as each part has the readings of
// Hold before it. It returns the energy.
func (s *Sum) Add(startMS int64, draws []charge.Draw, fromMS, toMS int64) (kWh float64) {
	for i, d := range draws {
		until := d.AtMS + holdMS
		if i+1 < len(draws) {
			until = min(until, draws[i+1].AtMS)
		}
		from, until := max(d.AtMS, fromMS), min(until, toMS)
		if from >= until {
			continue
		}
		if d.Charging {
			s.charging += until - from
		}
		kWh += d.PowerKW * float64(until-from) / hourMS
		for from < until {
			minute := (from - startMS) / minuteMS
			end := min(until, startMS+(minute+1)*minuteMS)
			s.minutes[minute] += d.PowerKW * float64(end-from)
			from = end
		}
	}
	return kWh
}

// Plus adds another sum of the same window.
func (s *Sum) Plus(o *Sum) {
	for i := range s.minutes {
		s.minutes[i] += o.minutes[i]
	}
	s.charging += o.charging
}

// EnergyKWh is what was drawn; its quadruple is the mean power.
func (s *Sum) EnergyKWh() float64 {
	var all float64
	for _, m := range s.minutes {
		all += m
	}
	return all / hourMS
}

// Charging is the mean number of connectors that charged.
func (s *Sum) Charging() float64 { return float64(s.charging) / float64(windowMS) }

// PowerKW is the mean power of each minute. The largest of a window is a maximum that a grid can
// feel; the largest powers of single connectors never are one together.
func (s *Sum) PowerKW() (minutes [Minutes]float64) {
	for i, m := range s.minutes {
		minutes[i] = m / float64(minuteMS)
	}
	return minutes
}
