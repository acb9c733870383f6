package registry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

func TestFaultsOfAPileAddUpOverItsConnectorsAndMonths(t *testing.T) {
	r := open(t)
	march := time.Date(2025, 3, 31, 23, 59, 0, 0, charge.Zone).UTC()
	april := march.Add(2 * time.Minute)
	of := func(pile string, gun charge.ConnectorID) charge.ConnectorKey {
		return charge.ConnectorKey{Pile: pileID("MA3CLQP01:" + pile), Connector: gun}
	}
	for range 2 {
		if err := r.AddFaults(t.Context(), map[FaultKey]*FaultCount{
			{march, of("P1", "1"), "smoke", "t77:9"}: {Faults: 1, Alarms: 2, Danger: 1, First: march, Last: march},
			{april, of("P1", "2"), "smoke", "t77:9"}: {Alarms: 1, First: april, Last: april},
			{april, of("P2", "1"), "other", "E-7"}:   {Faults: 3, First: april, Last: april},
		}); err != nil {
			t.Fatal(err)
		}
	}
	smoke := FaultRow{of("P1", "").Pile, "smoke", "t77:9", FaultCount{Faults: 2, Alarms: 6, Danger: 2, First: march, Last: april}}
	other := FaultRow{of("P2", "").Pile, "other", "E-7", FaultCount{Faults: 6, First: april, Last: april}}
	got, err := r.Faults(t.Context(), "MA3CLQP01", "", march, april)
	if diff := cmp.Diff([]FaultRow{smoke, other}, got); err != nil || diff != "" {
		t.Errorf("of the operator: %v, %s", err, diff)
	}
	if got, _ := r.Faults(t.Context(), "MA3CLQP01", "P1", march, march); len(got) != 1 || got[0].Alarms != 4 {
		t.Errorf("of P1 in March: got %+v, want 4 alarms", got)
	}
}
