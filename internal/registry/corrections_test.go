package registry

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

func TestWhatComesTooLateIsOnRecordOnce(t *testing.T) {
	r := open(t)
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, charge.Zone)
	c := Correction{
		Key: charge.ConnectorKey{Pile: charge.PileID{Operator: "OP", Equipment: "1"}, Connector: "1"}, Day: day, Status: charge.Faulted,
		Told: day.Add(2 * time.Hour).UTC(), Received: day.AddDate(0, 0, 5).UTC(),
	}
	later := c
	later.Told, later.Received = later.Told.Add(time.Hour), later.Received.Add(time.Hour)
	idle := later
	idle.Status = charge.Idle
	for _, h := range []Health{{Corrections: []Correction{c, later}}, {Corrections: []Correction{c, idle}}} { // a step again
		if err := r.SaveHealth(t.Context(), 0, 1, &h); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.Corrections(t.Context(), c.Key.Pile, day, day)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]Correction{c, idle}, got, gocmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
		t.Errorf("corrections (-want +got):\n%s", diff)
	}
	if got, err := r.Corrections(t.Context(), c.Key.Pile, day.AddDate(0, 0, 1), day.AddDate(0, 0, 9)); err != nil || len(got) != 0 {
		t.Errorf("of other days: got %v, %v, want none", got, err)
	}
}
