// Package quality holds where an operator's messages contradict themselves or each other (judgement.md §8),
// each with its evidence, and how late and how complete they are. A contradiction is told and never changes
// history. It is pure: no I/O and no clock.
package quality

import (
	"time"

	"pilewatch/internal/charge"
)

// A Contradiction is what cannot be so.
type Contradiction string

// The contradictions.
const (
	PowerNotCharging Contradiction = "power_not_charging" // power flows, and the status is not charging
	ChargingNoPower  Contradiction = "charging_no_power"  // charging, and no power flows
	MeterStandsStill Contradiction = "meter_stands_still" // power flows, and the meter does not move
	MeterRunsBack    Contradiction = "meter_runs_back"    // the meter falls, and nothing was fed back
	Frozen           Contradiction = "frozen"             // measured values do not change at all
	Cloned           Contradiction = "cloned"             // another connector's values at the same times
	FaultAsOffline   Contradiction = "fault_as_offline"   // alarms of faults, told as offline and never as a fault
	NeverCharges     Contradiction = "never_charges"      // usable, and nothing delivered while others deliver
)

// Limits are from when on something is a contradiction: a little of each is normal.
type Limits struct {
	PowerKW       float64       // power from this on flows
	PowerFor      time.Duration // power_not_charging, at least so long
	NoPowerKW     float64       // power below this does not flow
	NoPowerFor    time.Duration // charging_no_power: a full battery draws little for a while
	StillKWh      float64       // meter_stands_still: by power and time at least so much
	BackKWh       float64       // meter_runs_back: more than rounding
	FrozenFor     time.Duration // frozen, at least so long
	FrozenCount   int           // and so many messages
	ClonedCount   int           // equal readings
	ClonedShare   float64       // 0-1, of those that can be compared
	AlarmWithin   time.Duration // fault_as_offline: between alarm and status
	AlarmCount    int           // times
	UsableDays    int           // never_charges: full days usable
	NeighboursKWh float64       // never_charges: others a pile in that time
}

// DefaultLimits suit messages every 15 s to 5 minutes.
func DefaultLimits() Limits {
	return Limits{
		PowerKW: 0.5, PowerFor: 5 * time.Minute, NoPowerKW: 0.1, NoPowerFor: time.Hour, StillKWh: 1, BackKWh: 0.1,
		FrozenFor: 30 * time.Minute, FrozenCount: 20, ClonedCount: 20, ClonedShare: 0.9,
		AlarmWithin: 10 * time.Minute, AlarmCount: 3, UsableDays: 30, NeighboursKWh: 50,
	}
}

// A Finding is a contradiction with its evidence.
type Finding struct {
	What        Contradiction
	Connector   charge.ConnectorKey
	Other       charge.ConnectorKey // cloned: whose values they are
	From, Until time.Time           // first and last message of the evidence, by the device's clock
	Messages    int
	Value       float64 // kW, kWh or a share, as the contradiction has it
}

// holdsAtMost is how long a power is taken to last until the next message, as in the load curve.
const holdsAtMost = time.Minute

// NeverChargesIn looks at the days of a connector or pile: usable for 30 full days in all, less than a
// kilowatt-hour delivered by the meter in all of them, and neighboursKWh delivered by others, a mean a pile.
func NeverChargesIn(key charge.ConnectorKey, from, until time.Time, days []charge.DayMinutes, neighboursKWh float64, l Limits) (Finding, bool) {
	usable, wh := 0, uint64(0)
	for _, d := range days {
		usable += int(d.Usable)
		wh += uint64(d.EnergyWh)
	}
	f := Finding{What: NeverCharges, Connector: key, From: from, Until: until, Value: neighboursKWh}
	return f, usable >= l.UsableDays*24*60 && wh < 1000 && neighboursKWh >= l.NeighboursKWh
}
