package main

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"pilewatch/ingest"
	"pilewatch/internal/charge"
	"pilewatch/internal/series"
	"pilewatch/internal/testprog"
)

// historyPiles is how many piles a store under measurement has.
const historyPiles = 10_000

// benchPoints is how many points a store has that is asked; PILEWATCH_BENCH_POINTS makes it smaller
// while one works on the benchmark.
func benchPoints(b *testing.B) int {
	b.Helper()
	text := os.Getenv("PILEWATCH_BENCH_POINTS")
	if text == "" {
		return 20_000_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func historyPile(n int) charge.PileID {
	return charge.PileID{Operator: charge.OperatorID(fmt.Sprintf("MA3BENCH%d", n%5)), Equipment: fmt.Sprintf("EQ%08d", n)}
}

// historyReading is a telemetry with all that a charging pile tells.
func historyReading(pile int, at time.Time, random *rand.Rand) charge.Reading {
	return charge.Reading{
		Pile: historyPile(pile), Connector: "1", Kind: charge.KindTelemetry, At: at, Received: at, Status: charge.Charging, Seq: uint64(at.Unix()),
		Has:      charge.HasStatus | charge.HasSeq | charge.HasVoltage | charge.HasCurrent | charge.HasPower | charge.HasEnergy | charge.HasMeter | charge.HasSoC | charge.HasTemp,
		VoltageV: 380 + random.Float64(), CurrentA: 120, PowerKW: float64(random.IntN(600)) / 10, EnergyKWh: float64(random.IntN(400)) / 10,
		MeterKWh: 18_000 + float64(at.Unix()%100_000)/100, SoCPct: float64(random.IntN(100)), TempC: 41.5,
	}
}

func benchInflux(b *testing.B) (*series.Influx, *testprog.Server) {
	b.Helper()
	server := testprog.InfluxServer(b)
	x, err := series.NewInflux(series.InfluxConfig{URL: "http://" + server.Addr, Bucket: "evcs/raw"}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = x.Close() })
	if err := x.Setup(b.Context()); err != nil {
		b.Fatal(err)
	}
	return x, server
}

// fill writes count readings by as many writers as ingest has, an hour's of all piles at a time.
func fill(b *testing.B, x *series.Influx, count int) {
	b.Helper()
	cfg := ingest.Defaults()
	begin := time.Now().Add(-20 * 24 * time.Hour).Truncate(time.Hour)
	var g errgroup.Group
	g.SetLimit(cfg.HistoryWriters)
	for n := 0; n < count; n += cfg.FlushSize {
		g.Go(func() error {
			random := rand.New(rand.NewPCG(1, uint64(n))) //nolint:gosec // plausible numbers
			batch := make([]charge.Reading, 0, cfg.FlushSize)
			for i := n; i < min(n+cfg.FlushSize, count); i++ {
				batch = append(batch, historyReading(i%historyPiles, begin.Add(time.Duration(i/historyPiles)*10*time.Minute), random))
			}
			return x.Write(b.Context(), batch)
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

const writtenPoints = 500_000

// historyWrite writes points and tells how long it took and what it cost each side. The readings'
// making, a tenth of a microsecond each, counts as the writer's.
func historyWrite(b *testing.B) (took, writer, influx time.Duration) {
	b.Helper()
	x, server := benchInflux(b)
	fill(b, x, writtenPoints/10) // the series are there then, as they are after a day
	self, other, begun := cpuOf(b, os.Getpid()), cpuOf(b, server.PID()), time.Now()
	fill(b, x, writtenPoints)
	took, writer, influx = time.Since(begun), cpuOf(b, os.Getpid())-self, cpuOf(b, server.PID())-other
	b.Logf("%d points in %s: writer %.2f µs of CPU a point, InfluxDB %.1f µs", writtenPoints, took.Round(time.Millisecond),
		writer.Seconds()*1e6/writtenPoints, influx.Seconds()*1e6/writtenPoints)
	return took, writer, influx
}

func historyPoints(b *testing.B) float64 {
	took, _, _ := historyWrite(b)
	return writtenPoints / took.Seconds()
}

func historyWriterCPU(b *testing.B) float64 {
	_, writer, influx := historyWrite(b)
	return writer.Seconds() / influx.Seconds()
}

// warm is the median time of a query that was asked before.
func warm(b *testing.B, ask func() (int, error)) float64 {
	b.Helper()
	var took []time.Duration
	rows := 0
	for i := range 12 {
		begun := time.Now()
		var err error
		if rows, err = ask(); err != nil || rows == 0 {
			b.Fatalf("asked: %d rows, %v", rows, err)
		}
		if i > 1 {
			took = append(took, time.Since(begun))
		}
	}
	slices.Sort(took)
	b.Logf("%d rows; %s to %s", rows, took[0].Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond))
	return float64(took[len(took)/2].Microseconds()) / 1000
}

// historyPileDay is the time to read a day of one pile that reported each minute, raw, on a store of
// 20 million points; a day each 15 s, and a county's load day, are told beside it.
func historyPileDay(b *testing.B) float64 {
	x, _ := benchInflux(b)
	day := time.Now().Add(-48 * time.Hour).Truncate(24 * time.Hour)
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // plausible numbers
	for pile, every := range map[int]time.Duration{historyPiles + 1: time.Minute, historyPiles + 2: 15 * time.Second} {
		var batch []charge.Reading
		for at := day; at.Before(day.Add(8 * time.Hour)); at = at.Add(every) { // a third of the day it charges
			batch = append(batch, historyReading(pile, at, random))
		}
		if err := x.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	var loads []series.Load
	for n := range 96 {
		for partition := range 4 {
			loads = append(loads, series.Load{Start: day.Add(time.Duration(n) * 15 * time.Minute), Division: "371721", Partition: partition, EnergyKWh: float64(n)})
		}
	}
	if err := x.WriteLoads(b.Context(), loads); err != nil {
		b.Fatal(err)
	}
	fill(b, x, benchPoints(b))
	pileDay := func(n int) func() (int, error) {
		return func() (int, error) {
			rows, err := x.History(b.Context(), series.Query{Pile: historyPile(n), From: day, To: day.Add(24 * time.Hour)})
			return len(rows), err
		}
	}
	dense := warm(b, pileDay(historyPiles+2))
	load := warm(b, func() (int, error) {
		rows, err := x.Loads(b.Context(), "371721", day, day.Add(24*time.Hour))
		return len(rows), err
	})
	b.Logf("a pile's day each 15 s: %.1f ms; a county's load day: %.1f ms", dense, load)
	return warm(b, pileDay(historyPiles+1))
}

// historyProvince is the time to read the province's energy by day for 90 days, of 16 cities and 136
// counties, 30 operators and 4 partitions.
func historyProvince(b *testing.B) float64 {
	x, _ := benchInflux(b)
	midnight := time.Now().In(charge.Zone).Truncate(24 * time.Hour).Add(-8 * time.Hour)
	var divisions []charge.DivisionCode
	for city := range 16 {
		code := charge.DivisionCode(fmt.Sprintf("37%02d", city+1))
		divisions = append(divisions, code)
		for county := range 8 {
			divisions = append(divisions, charge.DivisionCode(fmt.Sprintf("%s%02d", code, county+1)))
		}
	}
	for day := range 90 {
		var energies []series.Energy
		for _, division := range append(divisions, "37") {
			for operator := range 30 {
				for partition := range 4 {
					energies = append(energies, series.Energy{
						Day: midnight.AddDate(0, 0, -day), Division: division, Operator: charge.OperatorID(fmt.Sprintf("MA3BENC%02d", operator)),
						Partition: partition, EnergyKWh: float64(day + operator),
					})
				}
			}
		}
		if err := x.WriteEnergies(b.Context(), energies); err != nil {
			b.Fatal(err)
		}
	}
	fill(b, x, benchPoints(b)/10) // raw readings lie in another bucket: they cost this question memory at most
	ask := func(by series.EnergyBy) float64 {
		return warm(b, func() (int, error) {
			rows, err := x.Energies(b.Context(), series.EnergyQuery{Division: "37", From: midnight.AddDate(0, 0, -90), To: midnight, By: by})
			return len(rows), err
		})
	}
	b.Logf("by city: %.1f ms; by operator: %.1f ms", ask(series.ByCity), ask(series.ByOperator))
	return ask(series.ByDay)
}
