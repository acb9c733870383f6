package ingest

import (
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// faultCounts count the faults that connectors tell, by their codes: each status of 255 once, however often it is repeated,
// and each alarm once, however often it is sent.
type faultCounts struct {
	counts  map[registry.FaultKey]*registry.FaultCount
	telling map[charge.ConnectorKey]faultTold // connectors in fault
	alarmed map[charge.ConnectorKey]alarm
}

type faultTold struct {
	fault charge.Fault
	code  string
}

type alarm struct {
	code string
	at   int64 // Unix ms, by the device's clock
}

// faultsAtMost bounds what is remembered of connectors, and what is counted between two saves: a sender's codes are its own.
const faultsAtMost = 100_000

func newFaultCounts() faultCounts {
	return faultCounts{make(map[registry.FaultKey]*registry.FaultCount), make(map[charge.ConnectorKey]faultTold), make(map[charge.ConnectorKey]alarm)}
}

func (f *faultCounts) see(r *charge.Reading) {
	key := charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}
	switch {
	case r.Kind == charge.KindAlarm:
		now := alarm{r.Code, r.At.UnixMilli()}
		if f.alarmed[key] == now {
			return
		}
		if len(f.alarmed) >= faultsAtMost {
			clear(f.alarmed)
		}
		f.alarmed[key] = now
		c := registry.FaultCount{Alarms: 1}
		if r.Level == "danger" {
			c.Danger = 1
		}
		f.add(r, charge.ParseFault(r.Code), r.Code, &c)
	case r.Tells(charge.HasStatus) && r.Status != charge.Faulted:
		delete(f.telling, key)
	case r.Kind == charge.KindStatus && r.Tells(charge.HasStatus):
		now := faultTold{r.Fault, r.FaultCode}
		if before, in := f.telling[key]; in && before == now {
			return
		}
		if len(f.telling) >= faultsAtMost {
			clear(f.telling)
		}
		f.telling[key] = now
		f.add(r, r.Fault, r.FaultCode, &registry.FaultCount{Faults: 1})
	}
}

func (f *faultCounts) add(r *charge.Reading, fault charge.Fault, code string, c *registry.FaultCount) {
	if code == string(fault) {
		code = ""
	}
	key := registry.FaultKey{Month: monthOf(r.Received), Connector: charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}, Fault: fault, Code: code}
	c.First, c.Last = r.Received, r.Received
	if sum := f.counts[key]; sum != nil {
		sum.Add(c)
		return
	}
	if len(f.counts) >= faultsAtMost {
		key.Code = "" // the fault still counts
	}
	if sum := f.counts[key]; sum != nil {
		sum.Add(c)
		return
	}
	f.counts[key] = c
}

// take gives what was counted since the last time.
func (f *faultCounts) take() map[registry.FaultKey]*registry.FaultCount {
	counts := f.counts
	f.counts = make(map[registry.FaultKey]*registry.FaultCount)
	return counts
}

// putBack counts what could not be saved with the next.
func (f *faultCounts) putBack(counts map[registry.FaultKey]*registry.FaultCount) {
	for key, c := range counts {
		if sum := f.counts[key]; sum != nil {
			sum.Add(c)
		} else {
			f.counts[key] = c
		}
	}
}
