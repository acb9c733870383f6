package registry

import (
	"cmp"
	"time"

	"pilewatch/internal/charge"
)

// A ConnectorDay is how a connector spent a day; not frozen, what comes late may still change it.
type ConnectorDay struct {
	Key     charge.ConnectorKey
	Day     time.Time // 00:00 Asia/Shanghai
	Minutes charge.DayMinutes
	Frozen  bool
}

// A PileDay is how a pile spent a day, as the union of its connectors.
type PileDay struct {
	Pile    charge.PileID
	Day     time.Time // 00:00 Asia/Shanghai
	Minutes charge.DayMinutes
	Frozen  bool
}

// A SumKey says of which connectors a sum is.
type SumKey struct {
	County   charge.DivisionCode
	Operator charge.OperatorID
	Kind     charge.StationKind
	Rural    bool
	DC       bool
}

// Compare orders keys.
func (k SumKey) Compare(o SumKey) int {
	return cmp.Or(cmp.Compare(k.County, o.County), cmp.Compare(k.Operator, o.Operator), cmp.Compare(k.Kind, o.Kind),
		compareBools(k.Rural, o.Rural), compareBools(k.DC, o.DC))
}

// A MinuteSum is the minutes of a day of many connectors, and what they delivered.
type MinuteSum struct {
	Connectors int64 // in service on that day
	Usable     int64
	Excused    int64
	Out        int64
	Unknown    int64
	Fault      int64 // of Out
	Blocked    int64 // of Usable
	EnergyWh   int64
	Sessions   int64
}

// Add adds one connector's day.
func (s *MinuteSum) Add(d *charge.DayMinutes) {
	s.Connectors++
	s.Usable += int64(d.Usable)
	s.Excused += int64(d.Excused)
	s.Out += int64(d.Out)
	s.Unknown += int64(d.Unknown)
	s.Fault += int64(d.Fault)
	s.Blocked += int64(d.Blocked)
	s.EnergyWh += int64(d.EnergyWh)
	s.Sessions += int64(d.Sessions)
}

// A DaySum is a sum of one day and partition.
type DaySum struct {
	Partition int
	Day       time.Time // 00:00 Asia/Shanghai
	Frozen    bool
	SumKey
	MinuteSum
}

// A TownshipDay is what a township was counted as at a day's end.
type TownshipDay struct {
	Township    charge.DivisionCode
	Day         time.Time // 00:00 Asia/Shanghai
	State       charge.CoverageState
	Reason      string
	NotObserved bool
	Proven      bool
	Story       bool // of a simulated past: counted in the sums of divisions, and kept by itself only where it tells something new
}
