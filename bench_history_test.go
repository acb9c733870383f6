package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"pilewatch/ingest"
	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
	"pilewatch/internal/testprog"
	"pilewatch/simulator"
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

func benchInflux(b *testing.B, server *testprog.Server) *series.Influx {
	b.Helper()
	x, err := series.NewInflux(series.InfluxConfig{URL: "http://" + server.Addr, Bucket: "evcs/raw"}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = x.Close() })
	if err := x.Setup(b.Context()); err != nil {
		b.Fatal(err)
	}
	return x
}

// historyBegin is when the readings of a store begin that is filled now: before the load of days, and
// later than InfluxDB forgets, also of a store that is kept for days.
func historyBegin() time.Time { return time.Now().Add(-20 * 24 * time.Hour).Truncate(24 * time.Hour) }

// fill writes count readings from begin on, by as many writers as ingest has, 10 minutes' of all piles at
// a time.
func fill(b *testing.B, x *series.Influx, begin time.Time, count int) {
	b.Helper()
	cfg := ingest.Defaults()
	var g errgroup.Group
	g.SetLimit(cfg.HistoryWriters)
	for n := 0; n < count; n += cfg.FlushSize {
		g.Go(func() error {
			random := rand.New(rand.NewPCG(1, uint64(n))) //nolint:gosec // plausible numbers
			batch := make([]charge.Reading, 0, cfg.FlushSize)
			for i := n; i < min(n+cfg.FlushSize, count); i++ {
				batch = append(batch, historyReading(i%historyPiles, begin.Add(time.Duration(i/historyPiles)*10*time.Minute), random))
			}
			return eventually(b.Context(), time.Minute, func() error { return x.Write(b.Context(), batch) }) // one compacting disk must not cost all
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
	server := testprog.InfluxServer(b)
	x := benchInflux(b, server)
	fill(b, x, historyBegin(), writtenPoints/10) // the series are there then, as they are after a day
	self, other, begun := cpuOf(b, os.Getpid()), cpuOf(b, server.PID()), time.Now()
	fill(b, x, historyBegin(), writtenPoints)
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

// A filled store is one of many points, made once and kept for a few days, as it takes some ten minutes.
type filled struct {
	Begin  time.Time `json:"begin"`
	Points int       `json:"points"`
}

// keptFor is how long a filled store is of use: what is in it must not be forgotten while it is asked.
const keptFor = 5 * 24 * time.Hour

// historyStore gives a store with benchPoints readings, days of two piles that charge, a county's load
// and the province's energy of 90 days, and the midnight after its last day.
func historyStore(b *testing.B) (*series.Influx, time.Time) {
	b.Helper()
	points := benchPoints(b)
	dir := testprog.Kept(b, fmt.Sprintf("history-%d", points))
	note := filepath.Join(dir, "filled.json")
	var store filled
	if text, err := os.ReadFile(note); err == nil {
		if err := json.Unmarshal(text, &store); err != nil {
			b.Fatal(err)
		}
	}
	fresh := time.Since(store.Begin) > time.Since(historyBegin())+keptFor
	if fresh {
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		store = filled{Begin: historyBegin(), Points: points}
	}
	server := testprog.InfluxServerIn(b, dir)
	b.Cleanup(server.Stop)
	x := benchInflux(b, server)
	end := store.Begin.Add(18*24*time.Hour - 8*time.Hour) // a midnight of charge.Zone
	if !fresh {
		return x, end
	}
	begun := time.Now()
	fillDays(b, x, end)
	fill(b, x, store.Begin, points)
	b.Logf("filled with %d points in %s", points, time.Since(begun).Round(time.Second))
	text, err := json.Marshal(store)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(note, text, 0o600); err != nil {
		b.Fatal(err)
	}
	return x, end
}

// fillDays writes what is looked at by day: of 16 cities and 128 counties, 30 operators and 4 partitions.
func fillDays(b *testing.B, x *series.Influx, end time.Time) {
	b.Helper()
	day := end.Add(-24 * time.Hour)
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
	divisions := []charge.DivisionCode{"37"}
	for city := range 16 {
		code := charge.DivisionCode(fmt.Sprintf("37%02d", city+1))
		divisions = append(divisions, code)
		for county := range 8 {
			divisions = append(divisions, charge.DivisionCode(fmt.Sprintf("%s%02d", code, county+21)))
		}
	}
	var loads []series.Load
	for n := range 96 {
		for _, division := range divisions {
			for partition := range 4 {
				loads = append(loads, series.Load{Start: day.Add(time.Duration(n) * 15 * time.Minute), Division: division, Partition: partition, EnergyKWh: float64(n)})
			}
		}
	}
	if err := x.WriteLoads(b.Context(), loads); err != nil {
		b.Fatal(err)
	}
	for n := range 90 {
		var energies []series.Energy
		for _, division := range divisions {
			for operator := range 30 {
				for partition := range 4 {
					energies = append(energies, series.Energy{
						Day: day.AddDate(0, 0, -n), Division: division, Operator: charge.OperatorID(fmt.Sprintf("MA3BENC%02d", operator)),
						Partition: partition, EnergyKWh: float64(n + operator),
					})
				}
			}
		}
		if err := x.WriteEnergies(b.Context(), energies); err != nil {
			b.Fatal(err)
		}
	}
}

// historyPileDay is the time to read a day of one pile that reported each minute, raw, on a store of
// 20 million points; a pile that reported each 15 s, and a county's load day, are told beside it.
func historyPileDay(b *testing.B) float64 {
	x, end := historyStore(b)
	day := end.Add(-24 * time.Hour)
	pileDay := func(n int) func() (int, error) {
		return func() (int, error) {
			rows, err := x.History(b.Context(), series.Query{Pile: historyPile(n), From: day, To: end})
			return len(rows), err
		}
	}
	dense := warm(b, pileDay(historyPiles+2))
	b.Logf("a pile's day each 15 s: %.1f ms", dense)
	return warm(b, pileDay(historyPiles+1))
}

// historyCountyDay is the time to read a county's load of a day, on the same store.
func historyCountyDay(b *testing.B) float64 {
	x, end := historyStore(b)
	return warm(b, func() (int, error) {
		rows, err := x.Loads(b.Context(), "370121", end.Add(-24*time.Hour), end)
		return len(rows), err
	})
}

// historyProvince is the time to read the province's energy by day for 90 days, on the same store.
func historyProvince(b *testing.B) float64 {
	x, end := historyStore(b)
	ask := func(by series.EnergyBy) float64 {
		return warm(b, func() (int, error) {
			rows, err := x.Energies(b.Context(), series.EnergyQuery{Division: "37", From: end.AddDate(0, 0, -90), To: end, By: by})
			return len(rows), err
		})
	}
	b.Logf("by city: %.1f ms; by operator: %.1f ms", ask(series.ByCity), ask(series.ByOperator))
	return ask(series.ByDay)
}

// historyVersusTelegraf is how many times the points a second of Telegraf's outputs.influxdb_v2 our
// writer reaches, with the same points into the same InfluxDB.
func historyVersusTelegraf(b *testing.B) float64 {
	binary, err := testprog.Look("telegraf")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	points := filepath.Join(dir, "points.lp")
	file, err := os.Create(points)
	if err != nil {
		b.Fatal(err)
	}
	out := bufio.NewWriter(file)
	random := rand.New(rand.NewPCG(1, 0)) //nolint:gosec // plausible numbers
	begin := historyBegin()
	for i := range writtenPoints {
		r := historyReading(i%historyPiles, begin.Add(time.Duration(i/historyPiles)*10*time.Minute), random)
		fmt.Fprintf(out, "%s000000\n", series.Line(&r)) // Telegraf reads nanoseconds
	}
	if err := errors.Join(out.Flush(), file.Close()); err != nil {
		b.Fatal(err)
	}
	// run gives the time and the processor time of Telegraf that reads the points once and hands them on.
	run := func(output string) (took, used time.Duration) {
		conf := filepath.Join(dir, "telegraf.conf")
		text := fmt.Sprintf(`[agent]
  metric_batch_size = 5000
  metric_buffer_limit = %d
  omit_hostname = true
[[inputs.file]]
  files = [%q]
  data_format = "influx"
%s`, 2*writtenPoints, points, output)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		cmd := exec.CommandContext(b.Context(), binary, "--config", conf, "--once")
		begun := time.Now()
		if said, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("telegraf: %v\n%.2000s", err, said)
		}
		return time.Since(begun), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	readTook, readUsed := run("[[outputs.discard]]\n")
	server := testprog.InfluxServer(b)
	x := benchInflux(b, server)
	fill(b, x, begin, writtenPoints/10)
	before := cpuOf(b, server.PID())
	took, used := run(fmt.Sprintf("[[outputs.influxdb_v2]]\n  urls = [\"http://%s\"]\n  bucket = \"evcs/raw\"\n  content_encoding = \"identity\"\n", server.Addr))
	theirs := cpuOf(b, server.PID()) - before
	if n, err := countInflux(b.Context(), server.Addr, "power_kw", "kind = 'telemetry'"); err != nil || n < writtenPoints {
		b.Fatalf("telegraf wrote %d of %d, %v", n, writtenPoints, err)
	}
	b.Logf("Telegraf: %d points in %s, without reading them (%s) %s; its output's CPU %.2f µs a point, InfluxDB's %.1f µs", writtenPoints,
		took.Round(time.Millisecond), readTook.Round(time.Millisecond), (took - readTook).Round(time.Millisecond),
		(used-readUsed).Seconds()*1e6/writtenPoints, theirs.Seconds()*1e6/writtenPoints)
	ours, _, _ := historyWrite(b)
	return (took - readTook).Seconds() / ours.Seconds()
}

const backlogReadings = 6_000_000

// historyBacklogMemory is the largest resident memory of an ingest that works a backlog off, as an
// InfluxDB leaves it that was away: of four messages three are heartbeats, as of the province's 24,000 a
// second. That of a tenth of the backlog is told beside it. PILEWATCH_BENCH_BACKLOG changes its size.
func historyBacklogMemory(b *testing.B) float64 {
	count := backlogReadings
	if text := os.Getenv("PILEWATCH_BENCH_BACKLOG"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	small, _ := workOff(b, count/10)
	large, took := workOff(b, count)
	b.Logf("%d readings in %s (%.0f a second): %.0f MiB; %d readings: %.0f MiB", count, took.Round(time.Second), float64(count)/took.Seconds(), large, count/10, small)
	return large
}

func workOff(b *testing.B, count int) (peakMiB float64, took time.Duration) {
	b.Helper()
	quiet := slog.New(slog.DiscardHandler)
	dir, logDir, addr := b.TempDir(), b.TempDir(), freeAddr(b)
	fleet, _ := registerFleet(b, dir, simulator.MinPiles)
	r, d := openRegistry(b, dir)
	cfg := journal.Embedded(logDir)
	cfg.Listen = addr
	log, err := journal.Open(b.Context(), cfg, quiet)
	if err != nil {
		b.Fatal(errors.Join(err, r.Close()))
	}
	b.Cleanup(func() { _ = log.Close() })
	backlog(b, log, fleet, d, count)
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	influx := testprog.InfluxServer(b)
	p := &program{t: b, dir: dir, http: freeAddr(b)}
	p.args = []string{
		"ingest", "--data", dir, "--http", p.http, "--log-url", "nats://" + addr, "--log-token-file", journal.TokenFile(logDir),
		"--influx-url", "http://" + influx.Addr,
	}
	begun := time.Now()
	p.start()
	defer p.kill()
	var peak int64
	if err := eventually(b.Context(), 15*time.Minute, func() error {
		peak = max(peak, p.residentBytes(b))
		done, err := readMetric(b.Context(), "http://"+p.http+"/metrics", "ingest_history_written_total")
		if err != nil {
			return err
		}
		left, err := readMetric(b.Context(), "http://"+p.http+"/metrics", "ingest_history_left_total")
		if err == nil && int(done+left) < count {
			err = fmt.Errorf("%.0f of %d are worked off", done+left, count)
		}
		return err
	}); err != nil {
		b.Fatalf("%v\n%s", err, p.output.String())
	}
	return float64(peak) / (1 << 20), time.Since(begun)
}

// backlog fills the log with readings of the hour before now.
func backlog(b *testing.B, log *journal.Log, fleet *simulator.Fleet, d *registry.Directory, count int) {
	b.Helper()
	w := log.NewWriter(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	random := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // plausible numbers
	begin := time.Now().Add(-time.Hour)
	const atOnce = 500
	var stored sync.WaitGroup
	for n := 0; n < count; n += atOnce {
		var placed []journal.Placed
		for i := n; i < min(n+atOnce, count); i++ {
			id := fleet.ID(i / 4 % len(fleet.Piles))
			pile, ok := d.Pile(id)
			if !ok {
				b.Fatalf("%s is not registered", id)
			}
			r := historyReading(0, begin.Add(time.Duration(float64(i)/float64(count)*float64(time.Hour))).Truncate(time.Millisecond), random)
			if r.Pile = id; i%4 != 0 {
				r = charge.Reading{Pile: id, Kind: charge.KindHeartbeat, At: r.At, Received: r.Received}
			}
			placed = append(placed, journal.Placed{Partition: log.PartitionOf(pile.Station.Township), Reading: r})
		}
		stored.Add(1)
		if err := w.Append(ctx, placed, stored.Done); err != nil {
			b.Fatal(err)
		}
	}
	stored.Wait()
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
