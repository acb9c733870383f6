package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
	"pilewatch/internal/series"
	"pilewatch/internal/testprog"
)

// A copy that is ended in the middle goes on where it was, and in the end InfluxDB answers as the
// file does.
func TestHistoryIsCopiedAndGoesOnWhereItWas(t *testing.T) {
	influx := testprog.InfluxServer(t)
	quiet := slog.New(slog.DiscardHandler)
	file := filepath.Join(t.TempDir(), "history.db")
	from, err := series.OpenEmbedded(t.Context(), file, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	begun := time.Now().Add(-6 * time.Hour).Truncate(time.Hour).UTC()
	const piles, each = 40, 500
	for p := range piles {
		var batch []charge.Reading
		for i := range each {
			r := charge.Reading{
				Pile: charge.PileID{Operator: "MA3TEST01", Equipment: fmt.Sprintf("P%d", p)}, Connector: "1", Kind: charge.KindTelemetry,
				At: begun.Add(time.Duration(i) * 15 * time.Second), Has: charge.HasStatus | charge.HasPower | charge.HasSeq | charge.HasTemp,
				Status: charge.Charging, PowerKW: float64(i), Seq: uint64(i), TempC: -2.5,
			}
			switch i {
			case 7:
				r.Kind, r.Has, r.Status, r.Fault, r.FaultCode = charge.KindStatus, charge.HasStatus, charge.Faulted, charge.OtherFault, "E-1"
			case 8:
				r.Kind, r.Has, r.Level, r.Code, r.Text = charge.KindAlarm, charge.HasSeq, "danger", "smoke", "烟雾"
			case 9:
				r.Kind, r.Has, r.Order, r.Start, r.End, r.EnergyKWh = charge.KindOrder, charge.HasStart|charge.HasEnd|charge.HasEnergy, "NO-1", begun, r.At, 12
			}
			batch = append(batch, r)
		}
		if err := from.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	loads := []series.Load{{Start: begun, Division: "37", EnergyKWh: 12, Charging: 3, Minutes: [15]float64{48}}}
	if err := from.WriteLoads(t.Context(), loads); err != nil {
		t.Fatal(err)
	}
	day := begun.In(charge.Zone)
	spent := []series.Availability{{
		Day:  time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, charge.Zone).AddDate(0, 0, -40).UTC(), // readings are not kept for as long
		Pile: charge.PileID{Operator: "MA3TEST01", Equipment: "P1"}, Minutes: charge.DayMinutes{Usable: 1000, Unknown: 440}, Frozen: true,
	}}
	if err := from.WriteAvailability(t.Context(), spent); err != nil {
		t.Fatal(err)
	}
	cmd := &HistoryCopyCmd{From: file, To: "http://" + influx.Addr, Bucket: "evcs/raw"}
	to, err := series.NewInflux(series.InfluxConfig{URL: cmd.To, Bucket: cmd.Bucket}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	ctx, cancel := context.WithCancel(t.Context())
	if err := cmd.copy(ctx, from, to, writerFunc(func([]byte) { cancel() })); err == nil {
		t.Error("copy that was ended: got no error")
	}
	var told strings.Builder
	if err := cmd.copy(t.Context(), from, to, &told); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"goes on after 5000 readings", fmt.Sprintf("%d of %d readings (100 %%)", piles*each, piles*each), "copied: 20000 readings (0 of them refused", "1 load windows", "1 of piles", "[" + strings.Repeat("=", 30) + "]"} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("told: lacks %q in %q", want, told.String())
		}
	}
	for p := range piles {
		q := series.Query{Pile: charge.PileID{Operator: "MA3TEST01", Equipment: fmt.Sprintf("P%d", p)}, From: begun.Add(-time.Hour), To: begun.Add(6 * time.Hour)}
		want, err := from.History(t.Context(), q)
		if err != nil || len(want) != each {
			t.Fatalf("file: %d rows, %v", len(want), err)
		}
		got, err := to.History(t.Context(), q)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("pile %d: %v (-file +InfluxDB):\n%s", p, err, diff)
		}
	}
	got, err := to.Loads(t.Context(), "37", begun, begun.Add(time.Hour))
	if diff := cmp.Diff(loads, got); err != nil || diff != "" {
		t.Errorf("load: %v (-file +InfluxDB):\n%s", err, diff)
	}
	days, err := to.Availabilities(t.Context(), spent[0].Pile, spent[0].Day, spent[0].Day.AddDate(0, 0, 1))
	if diff := cmp.Diff(spent, days); err != nil || diff != "" {
		t.Errorf("availability: %v (-file +InfluxDB):\n%s", err, diff)
	}
	other := *cmd
	other.Bucket = "evcs/other"
	if state, err := other.recall(); err != nil || state.At != (series.Place{}) {
		t.Errorf("a copy to another bucket: begins at %+v, %v, want the beginning", state.At, err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

var _ io.Writer = writerFunc(nil)
