package series

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"pilewatch/internal/charge"
)

var noon = time.Date(2025, 3, 9, 12, 0, 0, 0, charge.Zone).UTC()

func openEmbedded(tb testing.TB) *Embedded {
	tb.Helper()
	e, err := OpenEmbedded(tb.Context(), filepath.Join(tb.TempDir(), "history.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Close(); err != nil {
			tb.Error(err)
		}
	})
	return e
}

// charging is one telemetry reading as a DC pile sends it.
func charging(pile int, at time.Time, seq uint64) charge.Reading {
	return charge.Reading{
		Pile: charge.PileID{Operator: "MA3TEST01", Equipment: fmt.Sprintf("pile-%05d", pile)}, Connector: "1",
		Kind: charge.KindTelemetry, At: at, Received: at, Seq: seq, Status: charge.Charging,
		Has: charge.HasSeq | charge.HasStatus | charge.HasVoltage | charge.HasCurrent | charge.HasPower |
			charge.HasEnergy | charge.HasMeter | charge.HasSoC | charge.HasTemp,
		VoltageV: 700, CurrentA: 120.5, PowerKW: 84.35, EnergyKWh: 12.34, MeterKWh: 98765.4, SoCPct: 55, TempC: 41.5,
	}
}

// BenchmarkEmbeddedWrite writes batches as ingest does, from 20,000 piles that report every 15 s.
func BenchmarkEmbeddedWrite(b *testing.B) {
	for _, size := range []int{500, 5000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			e := openEmbedded(b)
			batch := make([]charge.Reading, size)
			n := 0
			b.ResetTimer()
			for range b.N {
				for i := range batch {
					batch[i] = charging(n%20000, noon.Add(time.Duration(n/20000)*15*time.Second), uint64(n))
					n++
				}
				if err := e.Write(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
