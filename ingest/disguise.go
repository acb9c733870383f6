package ingest

import (
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/quality"
	"pilewatch/internal/registry"
)

// disguises finds connectors that tell faults as offline, as quality.Contradictions does in the whole, of
// those whose alarms told of a fault: only these are remembered, from their first alarm on.
type disguises struct {
	of      map[charge.ConnectorKey]*disguise
	changed map[charge.ConnectorKey]bool
}

// A disguise is a connector since its first alarm.
type disguise struct {
	registry.FaultAsOffline
	alarmed, went time.Time // its last alarm, and since when it tells offline; zero: it does not
	counted       bool      // the present time offline is
	toldFault     bool
}

// disguisesAtMost are a tenth of a province's connectors; beyond it all is forgotten.
const disguisesAtMost = 100_000

func newDisguises() disguises {
	return disguises{make(map[charge.ConnectorKey]*disguise), make(map[charge.ConnectorKey]bool)}
}

func (d *disguises) see(r *charge.Reading) {
	key := charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}
	of := d.of[key]
	if r.Tells(charge.ClockWrong) {
		return
	}
	if r.Kind == charge.KindAlarm && r.Level != "notice" {
		if of == nil {
			if len(d.of) >= disguisesAtMost {
				clear(d.of)
			}
			of = &disguise{FaultAsOffline: registry.FaultAsOffline{Key: key}}
			d.of[key] = of
		}
		of.alarmed = r.At
	}
	if of == nil {
		return
	}
	if r.Tells(charge.HasStatus) {
		switch {
		case r.Status != charge.Offline:
			of.went, of.counted = time.Time{}, false
		case of.went.IsZero():
			of.went = r.At
		}
		if r.Status == charge.Faulted && !of.toldFault {
			of.toldFault = true
			d.changed[key] = of.Times > 0
		}
	}
	limits := quality.DefaultLimits()
	if of.toldFault || of.went.IsZero() || of.counted || of.went.Sub(of.alarmed).Abs() > limits.AlarmWithin {
		return
	}
	of.counted = true
	if of.First.IsZero() {
		of.First = r.At
	}
	of.Last = r.At
	of.Times++
	d.changed[key] = true
}

// take gives what was found since the last time; what is taken back has no times.
func (d *disguises) take() []registry.FaultAsOffline {
	var found []registry.FaultAsOffline
	least := quality.DefaultLimits().AlarmCount
	for key, worth := range d.changed {
		of := d.of[key]
		if of == nil || !worth || of.Times < least {
			continue
		}
		f := of.FaultAsOffline
		if of.toldFault {
			f.Times = 0
		}
		found = append(found, f)
	}
	clear(d.changed)
	return found
}
