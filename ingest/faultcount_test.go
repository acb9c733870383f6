package ingest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

func TestFaultsAreCountedByTheSendersCodeAndOnceEach(t *testing.T) {
	at := time.Date(2025, 3, 1, 0, 0, 0, 0, charge.Zone)
	minute := 0
	status := func(status charge.Status, fault charge.Fault, code string) charge.Reading {
		minute++
		now := at.Add(time.Duration(minute) * time.Minute)
		return charge.Reading{
			Pile: charge.PileID{Operator: "OP1", Equipment: "P"}, Connector: "1", Kind: charge.KindStatus, Has: charge.HasStatus, Status: status,
			Fault: fault, FaultCode: code, At: now, Received: now,
		}
	}
	raised := func(level, code string, sent int) charge.Reading {
		r := status(0, "", "")
		r.Kind, r.Has, r.Level, r.Code, r.At = charge.KindAlarm, 0, level, code, at.Add(time.Duration(sent)*time.Second)
		return r
	}
	stranger := status(charge.Faulted, "smoke", "")
	stranger.Pile.Operator = "ODD"
	s := &sums{all: map[registry.QualityKey]*registry.Quality{}, away: true}
	y := tallyInto(s)
	y.add([]journal.Delivery{{Batch: journal.Batch{Seq: 1, Readings: []charge.Reading{
		status(charge.Faulted, "leakage", "GroundFailure"), status(charge.Faulted, "leakage", "GroundFailure"), status(charge.Idle, "", ""),
		status(charge.Faulted, "leakage", "GroundFailure"), status(charge.Faulted, "other", "E-7"), stranger,
	}}}})
	_ = y.save(t.Context()) // the store is away: nothing of it is lost
	s.away = false
	y.add([]journal.Delivery{{Batch: journal.Batch{Seq: 2, Readings: []charge.Reading{
		raised("danger", "smoke", 5), raised("danger", "smoke", 5), raised("warning", "smoke", 9), raised("notice", "t77:19", 9), status(charge.Faulted, "other", "E-7"),
	}}}})
	if err := y.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	of := func(fault charge.Fault, code string) registry.FaultKey {
		return registry.FaultKey{Month: at, Connector: charge.ConnectorKey{Pile: charge.PileID{Operator: "OP1", Equipment: "P"}, Connector: "1"}, Fault: fault, Code: code}
	}
	after := func(minutes int) time.Time { return at.Add(time.Duration(minutes) * time.Minute) }
	want := map[registry.FaultKey]*registry.FaultCount{
		of("leakage", "GroundFailure"): {Faults: 2, First: after(2), Last: after(5)},
		of("other", "E-7"):             {Faults: 1, First: after(6), Last: after(6)},
		of("smoke", ""):                {Alarms: 2, Danger: 1, First: after(7), Last: after(9)},
		of("other", "t77:19"):          {Alarms: 1, First: after(10), Last: after(10)},
	}
	if diff := cmp.Diff(want, s.told); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}
