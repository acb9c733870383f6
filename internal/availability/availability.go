// Package availability holds how well connectors, piles and groups of them served (judgement.md §2):
// availability by three definitions, time to repair, and leagues. It is pure: no I/O, no clock, and
// the same input always gives the same figures. docs/availability.md has the formulas and their sources.
package availability

import (
	"time"

	"pilewatch/internal/charge"
)

// A Definition names what an availability means. No figure is shown without its own.
type Definition string

// The three definitions.
const (
	Ours Definition = "pilewatch"
	NEVI Definition = "nevi"
	UK   Definition = "uk"
)

// Definitions gives all of them, ours first.
func Definitions() []Definition { return []Definition{Ours, NEVI, UK} }

// Names gives the definition's name in Chinese and English and its source.
func (d Definition) Names() (zh, en, source string) {
	switch d {
	case Ours:
		return "可用率（本平台定义）", "Availability (pilewatch)", "docs/availability.md"
	case NEVI:
		return "可用率（美国 NEVI）", "Uptime (US NEVI)", "23 CFR 680.116(b)"
	case UK:
		return "可靠率（英国）", "Reliability (UK)", "SI 2023/1168 reg. 7"
	}
	return "", "", ""
}

// Requirement is the share that the definition's source asks for, and whether a figure must be above it
// or may be equal to it. Ours asks for nothing: ok is false.
func (d Definition) Requirement() (share float64, above, ok bool) {
	switch d {
	case NEVI:
		return 0.97, true, true
	case UK:
		return 0.99, false, true
	case Ours:
	}
	return 0, false, false
}

// A Figure is an availability as two whole numbers of minutes, so that figures of one definition add up
// without rounding: a group's is the sum of its parts'.
type Figure struct {
	Definition Definition
	Up, Of     int64 // minutes, 0 ≤ Up ≤ Of
}

// Share is between 0 and 1; ok is false where nothing was measured, which is shown as "–".
func (f Figure) Share() (share float64, ok bool) {
	if f.Of <= 0 {
		return 0, false
	}
	return float64(f.Up) / float64(f.Of), true
}

// Meets tells whether the figure is what its definition's source asks for; ok is false where nothing
// was measured or nothing is asked for.
func (f Figure) Meets() (meets, ok bool) {
	share, measured := f.Share()
	want, above, asked := f.Definition.Requirement()
	if above {
		return share > want, measured && asked
	}
	return share >= want, measured && asked
}

// Sum adds up figures of definition d; those of another definition are left out.
func Sum(d Definition, figures ...Figure) Figure {
	sum := Figure{Definition: d}
	for _, f := range figures {
		if f.Definition == d {
			sum.Up += f.Up
			sum.Of += f.Of
		}
	}
	return sum
}

// Minutes is the sum of days of one or many connectors or piles.
type Minutes struct {
	Usable, Excused, Out, Unknown int64
	Fault, Blocked                int64 // of Out, of Usable
}

// Add adds a day.
func (m *Minutes) Add(d *charge.DayMinutes) {
	m.Usable += int64(d.Usable)
	m.Excused += int64(d.Excused)
	m.Out += int64(d.Out)
	m.Unknown += int64(d.Unknown)
	m.Fault += int64(d.Fault)
	m.Blocked += int64(d.Blocked)
}

// AddAll adds the sum of another connector, pile or group.
func (m *Minutes) AddAll(o Minutes) {
	m.Usable += o.Usable
	m.Excused += o.Excused
	m.Out += o.Out
	m.Unknown += o.Unknown
	m.Fault += o.Fault
	m.Blocked += o.Blocked
}

// InService is the minutes in service.
func (m Minutes) InService() int64 { return m.Usable + m.Excused + m.Out + m.Unknown }

// Ours is usable / (in service − excused); what is unknown counts as not usable.
func (m Minutes) Ours() Figure {
	return Figure{Definition: Ours, Up: m.Usable, Of: m.InService() - m.Excused}
}

// RapidKW is the power from which a charge point is rapid (SI 2023/1168 reg. 2).
const RapidKW = 50

// UKOf is usable / (usable + out) of one public connector of at least RapidKW over a calendar year;
// a network's is the Sum of its connectors'. Connectors of less power have no such figure. Unknown and
// excused minutes are not measured.
func (m Minutes) UKOf(powerKW float64) Figure {
	if powerKW < RapidKW {
		return Figure{Definition: UK}
	}
	return Figure{Definition: UK, Up: m.Usable, Of: m.Usable + m.Out}
}

// yearMinutes is the year of 23 CFR 680.116(b)(3), 365 days, in leap years too.
const yearMinutes = 525_600

// A Date is a day of a connector or pile, at 00:00 Asia/Shanghai.
type Date struct {
	Day     time.Time
	Minutes charge.DayMinutes
}

// NEVIOf is the uptime of one port in the twelve months before month (any time in it): the year without
// its minutes of outage, which are those told out or unknown; excused minutes and those outside opening
// hours are T_excluded. A port that opened within the twelve months has none yet, since the formula
// would count the time before as up. The fixed year makes an outage of a whole leap year longer than
// the year: uptime is then 0.
func NEVIOf(days []Date, opened, month time.Time) Figure {
	month = month.In(charge.Zone)
	until := time.Date(month.Year(), month.Month(), 1, 0, 0, 0, 0, charge.Zone)
	from := until.AddDate(-1, 0, 0)
	var m Minutes
	for i := range days {
		if d := &days[i]; !d.Day.Before(from) && d.Day.Before(until) {
			m.Add(&d.Minutes)
		}
	}
	return m.NEVI(opened, month)
}

// NEVI is NEVIOf where the minutes are those of the twelve months before already.
func (m Minutes) NEVI(opened, month time.Time) Figure {
	month = month.In(charge.Zone)
	if from := time.Date(month.Year()-1, month.Month(), 1, 0, 0, 0, 0, charge.Zone); opened.After(from) || m.InService() == 0 {
		return Figure{Definition: NEVI}
	}
	return Figure{Definition: NEVI, Up: max(0, yearMinutes-m.Out-m.Unknown), Of: yearMinutes}
}
