package quality

import (
	"time"

	"pilewatch/internal/charge"
)

// Contradictions looks through the messages of one connector, in the order of the device's clock. Each time
// that a contradiction lasts gives one finding.
func Contradictions(readings []charge.Reading, l Limits) []Finding {
	w := walk{limits: l}
	for i := range readings {
		w.see(&readings[i])
	}
	w.end(&w.power)
	w.end(&w.noPower)
	w.end(&w.frozen)
	w.endMeter()
	if f, ok := w.offline.finding(l); ok {
		w.found = append(w.found, f)
	}
	return w.found
}

// A spell is a time in which something contradicts itself.
type spell struct {
	Finding
	lasts time.Duration // at least, to be told
	count int           // at least
}

type walk struct {
	limits Limits
	found  []Finding

	told   bool
	status charge.Status

	power, noPower, frozen spell
	values                 values

	meter   spell // since the meter last moved
	metered bool
	meterAt float64
	flowed  float64         // kWh by power and time since the meter last moved
	fedBack bool            // since the meter was last told
	last    *charge.Reading // the last with a power

	flowedTo time.Time // up to where flowed has counted

	offline offline
}

func (w *walk) see(r *charge.Reading) {
	if r.Tells(charge.ClockWrong) {
		return // its time is the gateway's: what it says belongs to another moment
	}
	if r.Tells(charge.HasStatus) {
		w.told, w.status = true, r.Status
	}
	w.offline.see(r, w.limits)
	if r.Tells(charge.HasPower) && w.told {
		w.during(&w.power, PowerNotCharging, r, r.PowerKW >= w.limits.PowerKW && w.status != charge.Charging, w.limits.PowerFor, 2)
		idle := r.PowerKW < w.limits.NoPowerKW && r.PowerKW > -w.limits.NoPowerKW
		w.during(&w.noPower, ChargingNoPower, r, idle && w.status == charge.Charging, w.limits.NoPowerFor, 2)
	}
	if v, ok := measured(r); ok {
		if v != w.values {
			w.end(&w.frozen)
		}
		w.values = v
		w.during(&w.frozen, Frozen, r, true, w.limits.FrozenFor, w.limits.FrozenCount)
	}
	w.seeMeter(r)
}

// during lengthens or ends a spell.
func (w *walk) during(s *spell, what Contradiction, r *charge.Reading, holds bool, lasts time.Duration, count int) {
	if !holds {
		w.end(s)
		return
	}
	if s.Messages == 0 {
		*s = spell{Finding{What: what, Connector: charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}, From: r.At}, lasts, count}
	}
	s.Until = r.At
	s.Messages++
	s.Value = max(s.Value, r.PowerKW)
}

func (w *walk) end(s *spell) {
	if s.Messages > 0 && s.Messages >= s.count && s.Until.Sub(s.From) >= s.lasts {
		w.found = append(w.found, s.Finding)
	}
	*s = spell{}
}

// seeMeter compares the register with power and time. What flowed between two messages goes by the power of
// the first, for a minute at most, so that it is rather too little.
func (w *walk) seeMeter(r *charge.Reading) {
	if w.last != nil {
		from, to := w.flowedTo, r.At
		if until := w.last.At.Add(holdsAtMost); to.After(until) {
			to = until
		}
		if to.After(from) {
			w.flowed += max(0, w.last.PowerKW) * to.Sub(from).Hours()
			w.flowedTo = to
		}
	}
	if r.Tells(charge.HasPower) {
		w.last, w.flowedTo = r, r.At
		w.fedBack = w.fedBack || r.PowerKW < 0
	}
	if !r.Tells(charge.HasMeter) {
		return
	}
	switch {
	case !w.metered:
		w.flowed = 0
	case r.MeterKWh < w.meterAt-w.limits.BackKWh && !w.fedBack:
		w.endMeter()
		key := charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}
		w.found = append(w.found, Finding{What: MeterRunsBack, Connector: key, From: w.meter.Until, Until: r.At, Messages: 2, Value: w.meterAt - r.MeterKWh})
	case r.MeterKWh != w.meterAt:
		w.endMeter()
	}
	if !w.metered || r.MeterKWh != w.meterAt {
		w.meter = spell{Finding: Finding{What: MeterStandsStill, Connector: charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}, From: r.At}}
	}
	w.metered, w.meterAt, w.fedBack = true, r.MeterKWh, false
	w.meter.Until = r.At
	w.meter.Messages++
	w.meter.Value = w.flowed
}

func (w *walk) endMeter() {
	if w.meter.Messages > 1 && w.meter.Value >= w.limits.StillKWh {
		w.found = append(w.found, w.meter.Finding)
	}
	w.flowed = 0
}

// values are what a connector that charges measures.
type values struct{ voltageV, currentA, powerKW, tempC float64 }

// measured gives the values of a reading under power that has at least voltage, current and power; those
// hardly stay the same to the last digit.
func measured(r *charge.Reading) (values, bool) {
	const needed = charge.HasVoltage | charge.HasCurrent | charge.HasPower
	return values{r.VoltageV, r.CurrentA, r.PowerKW, r.TempC}, r.Has&needed == needed && r.PowerKW > 0
}

// offline counts alarms of faults near a status told offline.
type offline struct {
	Finding
	faultTold     bool
	alarmed, went time.Time
	counted       bool // the present time offline is
}

func (o *offline) see(r *charge.Reading, l Limits) {
	if r.Kind == charge.KindAlarm && r.Level != "notice" {
		o.alarmed = r.At
	}
	if r.Tells(charge.HasStatus) {
		switch r.Status {
		case charge.Offline:
			if o.went.IsZero() {
				o.went, o.counted = r.At, false
			}
		case charge.Faulted:
			o.faultTold = true
			o.went = time.Time{}
		default:
			o.went = time.Time{}
		}
	}
	if o.went.IsZero() || o.alarmed.IsZero() || o.counted || o.went.Sub(o.alarmed).Abs() > l.AlarmWithin {
		return
	}
	o.counted = true
	if o.Messages == 0 {
		o.Finding = Finding{What: FaultAsOffline, Connector: charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}, From: r.At}
	}
	o.Until = r.At
	o.Messages++
}

func (o *offline) finding(l Limits) (Finding, bool) {
	return o.Finding, !o.faultTold && o.Messages > 0 && o.Messages >= l.AlarmCount
}
