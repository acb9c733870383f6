package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
	"pilewatch/internal/wire"
	"pilewatch/simulator"
)

// A figure is one line of bench.json (design: "Figures to reach").
type figure struct {
	ID       string   `json:"id"`
	Goal     string   `json:"goal"` // such as ">= 2.5"; "" where there is none
	Measured *float64 `json:"measured"`
	Unit     string   `json:"unit"`
	Peer     string   `json:"peer"`
	OK       *bool    `json:"ok"`
	Reason   string   `json:"reason,omitempty"` // why it was not measured

	needs   func() string // why it cannot be measured here, "" where it can
	measure func(*testing.B) float64
}

// figures are all that the design names, in its order, and those of the demo.
func benchFigures() []figure {
	door, board, province := &doorBench{}, &dashboardBench{}, &provinceBench{}
	return []figure{
		{ID: "demo.page_up_s", Goal: "<= 60", Unit: "s", measure: demoPageUp},
		{ID: "demo.story_judged_s", Goal: "<= 60", Unit: "s", measure: demoStory},
		{ID: "demo.stop_s", Goal: "<= 5", Unit: "s", measure: demoStop},
		{ID: "demo.pile_to_websocket_ms", Goal: "<= 1000", Unit: "ms", measure: pileToWebSocket},
		{ID: "demo.readings_per_s", Unit: "readings/s", measure: demoReadings},
		{ID: "demo.memory_1000_piles_mib", Unit: "MiB", measure: func(b *testing.B) float64 { return memoryOf(b, 1_000) }},
		{ID: "demo.memory_100000_piles_mib", Unit: "MiB", measure: func(b *testing.B) float64 { return memoryOf(b, 100_000) }},
		{ID: "gateway.listener_readings_vs_telegraf", Goal: ">= 2.5", Unit: "times", Peer: "Mosquitto + Telegraf 1.37.2", needs: telegrafMissing, measure: door.listenerReadings},
		{ID: "gateway.bridge_readings_vs_telegraf", Goal: ">= 1.6", Unit: "times", Peer: "Mosquitto + Telegraf 1.37.2", needs: telegrafMissing, measure: door.bridgeReadings},
		{ID: "gateway.listener_cpu_vs_telegraf", Goal: "<= 0.25", Unit: "times", Peer: "Mosquitto + Telegraf 1.37.2", needs: telegrafMissing, measure: door.listenerCPU},
		{ID: "gateway.bridge_cpu_vs_telegraf", Goal: "<= 0.5", Unit: "times", Peer: "Telegraf 1.37.2", needs: telegrafMissing, measure: door.bridgeCPU},
		{ID: "gateway.listener_readings_per_s", Unit: "readings/s", measure: listenerAlone},
		{ID: "gateway.idle_connection_kib", Goal: "<= 25", Unit: "KiB", measure: idleConnection},
		{ID: "gateway.reconnect_10000_s", Unit: "s", measure: reconnect},
		{ID: "history.points_per_s", Unit: "points/s", Peer: "", measure: historyPoints},
		{ID: "history.writer_cpu_vs_influxdb", Goal: "<= 0.1", Unit: "times", Peer: "InfluxDB 1.8.10", measure: historyWriterCPU},
		{ID: "history.points_vs_telegraf", Unit: "times", Peer: "Telegraf 1.37.2 outputs.influxdb_v2", needs: telegrafMissing, measure: historyVersusTelegraf},
		{ID: "history.pile_day_ms", Goal: "<= 50", Unit: "ms", measure: historyPileDay},
		{ID: "history.county_load_day_ms", Unit: "ms", measure: historyCountyDay},
		{ID: "history.province_90d_ms", Goal: "<= 300", Unit: "ms", measure: historyProvince},
		{ID: "history.backlog_memory_mib", Goal: "<= 300", Unit: "MiB", measure: historyBacklogMemory},
		{ID: "health.bytes_per_connector", Goal: "<= 500", Unit: "bytes", measure: healthFigure("BytesPerConnector", "bytes")},
		{ID: "health.replay_three_years_s", Goal: "<= 60", Unit: "s", measure: healthFigure("ThreeYears", "s")},
		{ID: "health.province_day_s", Goal: "<= 60", Unit: "s", measure: healthFigure("ProvinceDay", "s")},
		{ID: "health.restart_s", Goal: "<= 10", Unit: "s", measure: healthFigure("Restart", "s")},
		{ID: "dashboard.ws_5000_p99_ms", Goal: "<= 1000", Unit: "ms", measure: board.figure("ws_5000_p99_ms")},
		{ID: "dashboard.ws_5000_cores", Unit: "cores", measure: board.figure("ws_5000_cores")},
		{ID: "dashboard.ws_5000_mib", Unit: "MiB", measure: board.figure("ws_5000_mib")},
		{ID: "dashboard.first_load_kib", Goal: "<= 700", Unit: "KiB", needs: chromiumMissing, measure: board.figure("first_load_kib")},
		{ID: "dashboard.first_load_ms", Goal: "<= 1500", Unit: "ms", needs: chromiumMissing, measure: board.figure("first_load_ms")},
		{ID: "dashboard.coverage_p99_ms", Goal: "<= 20", Unit: "ms", measure: board.figure("coverage_p99_ms")},
		{ID: "dashboard.townships_p99_ms", Goal: "<= 20", Unit: "ms", measure: board.figure("townships_p99_ms")},
		{ID: "dashboard.pile_search_ms", Goal: "<= 200", Unit: "ms", measure: board.figure("pile_search_ms")},
		{ID: "simulator.messages_per_core_s", Goal: ">= 50000", Unit: "messages/s", measure: messagesPerCore},
		{ID: "province.messages_per_s", Goal: ">= 24000", Unit: "messages/s", measure: province.meanRate},
		{ID: "province.valley_start_messages_per_s", Goal: ">= 34000", Unit: "messages/s", measure: province.valleyRate},
		{ID: "province.p99_ms", Goal: "<= 1000", Unit: "ms", measure: province.p99},
		{ID: "province.lost", Goal: "= 0", Unit: "readings", measure: province.lost},
	}
}

// BenchmarkFigures measures the figures of the design and of the demo, each once, prints them as a
// table and writes bench.json. `make bench ONLY=gateway` measures those whose id starts so.
func BenchmarkFigures(b *testing.B) {
	all := benchFigures()
	for i := range all {
		f := &all[i]
		if f.needs != nil {
			if f.Reason = f.needs(); f.Reason != "" {
				continue
			}
		}
		f.Reason = "left out by ONLY"
		b.Run(f.ID, func(b *testing.B) {
			f.Reason = "failed; the output above says why"
			for range b.N { // b.N is 1: -benchtime 1x
				v := f.measure(b)
				f.Measured, f.Reason = &v, ""
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(*f.Measured, f.Unit)
			f.OK = within(f.Goal, *f.Measured)
		})
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile("bench.json", append(text, '\n'), 0o600); err != nil {
		b.Fatal(err)
	}
	out := tabwriter.NewWriter(os.Stderr, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "\nID\tMEASURED\tUNIT\tGOAL\tOK\tPEER")
	for _, f := range all {
		if f.Measured == nil {
			fmt.Fprintf(out, "%s\t-\t%s\t%s\t%s\t%s\n", f.ID, f.Unit, f.Goal, f.Reason, f.Peer)
			continue
		}
		ok := "-"
		if f.OK != nil {
			ok = strconv.FormatBool(*f.OK)
		}
		fmt.Fprintf(out, "%s\t%.4g\t%s\t%s\t%s\t%s\n", f.ID, *f.Measured, f.Unit, f.Goal, ok, f.Peer)
	}
	_ = out.Flush() // to standard error
}

// within compares with a goal such as "<= 25", nil where there is none.
func within(goal string, v float64) *bool {
	op, limit, ok := strings.Cut(goal, " ")
	if !ok {
		return nil
	}
	n, err := strconv.ParseFloat(limit, 64)
	if err != nil {
		return nil
	}
	var met bool
	switch op {
	case ">=":
		met = v >= n
	case "<=":
		met = v <= n
	case "=":
		met = v == n
	}
	return &met
}

// serveProgram starts `pilewatch serve` in a process of its own on a registry of n piles.
func serveProgram(b *testing.B, n int) (*program, *simulator.Fleet, map[charge.OperatorID]string) {
	b.Helper()
	p := &program{t: b, dir: b.TempDir(), http: freeAddr(b), mqtt: freeAddr(b)}
	p.args = []string{"serve", "--data", p.dir, "--http", p.http, "--mqtt", p.mqtt, "--public"}
	fleet, tokens := registerSome(b, p.dir, n)
	p.start()
	b.Cleanup(p.kill)
	p.ready(time.Minute)
	return p, fleet, tokens
}

// registerSome registers the first n piles of a fleet.
func registerSome(b *testing.B, dir string, n int) (*simulator.Fleet, map[charge.OperatorID]string) {
	b.Helper()
	if n >= simulator.MinPiles {
		return registerFleet(b, dir, n)
	}
	r, d := openRegistry(b, dir)
	defer r.Close()
	fleet, err := simulator.Generate(d.Divisions(), simulator.MinPiles, 1)
	if err != nil {
		b.Fatal(err)
	}
	fleet.Piles = fleet.Piles[:n]
	registerAll(b, r, fleet)
	if err := d.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	return fleet, issueTokens(b, r, d)
}

// demoProgram starts `pilewatch demo` in a new directory.
func demoProgram(b *testing.B, more ...string) *program {
	b.Helper()
	p := &program{t: b, dir: b.TempDir(), http: freeAddr(b), mqtt: freeAddr(b)}
	p.args = append([]string{"demo", "--data", p.dir, "--http", p.http, "--mqtt", p.mqtt}, more...)
	p.start()
	b.Cleanup(p.kill)
	return p
}

// demoPageUp is from the start of the demo, in a new directory, until everything answers.
func demoPageUp(b *testing.B) float64 {
	begun := time.Now()
	p := demoProgram(b)
	p.ready(time.Minute)
	return time.Since(begun).Seconds()
}

// demoStory is from the start of the demo, in a new directory, until all of its fleet's past is judged.
func demoStory(b *testing.B) float64 {
	begun := time.Now()
	p := demoProgram(b)
	p.ready(time.Minute)
	if err := eventually(b.Context(), 10*time.Minute, func() error {
		answer, err := http.Get("http://" + p.http + "/api/v1/me")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		var me struct{ Story struct{ Percent int } }
		if err := json.NewDecoder(answer.Body).Decode(&me); err != nil || me.Story.Percent < 100 {
			return fmt.Errorf("%d %% judged: %w", me.Story.Percent, err)
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun).Seconds()
}

// demoStop is how long a demo whose fleet reports takes from Ctrl-C to its end.
func demoStop(b *testing.B) float64 {
	p := demoProgram(b, "--story", simulator.NoStory)
	p.ready(time.Minute)
	if err := eventually(b.Context(), time.Minute, func() error {
		if n := p.metric(b, "gateway_log_readings_total"); n < 3000 {
			return fmt.Errorf("%.0f readings", n)
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	begun := time.Now()
	p.stop()
	return time.Since(begun).Seconds()
}

// pileToWebSocket is the slowest of 50 from a message's PUBLISH to the delta that shows its township
// as effective, through the real door and a WebSocket, on a platform at rest.
func pileToWebSocket(b *testing.B) float64 {
	p, fleet, tokens := serveProgram(b, simulator.MinPiles)
	w := watchTopic(b, p.http, "coverage:37")
	seen := make(map[charge.DivisionCode]bool)
	var slowest time.Duration
	for i := range fleet.Piles {
		s := &fleet.Stations[fleet.Piles[i].Station]
		if s.Kind != charge.Public || !fleet.Counted(s.Township) || seen[s.Township] {
			continue
		}
		seen[s.Township] = true
		c := connectAs(b, p.mqtt, s.Operator, tokens[s.Operator])
		sent := time.Now()
		token := c.Publish(wire.Topic(string(s.Operator), fleet.Piles[i].Equipment, charge.KindStatus), 1, false, status("1", sent, 1))
		if !token.WaitTimeout(patience) || token.Error() != nil {
			b.Fatalf("publish: %v", token.Error())
		}
		c.Disconnect(0)
		var delta heard
		if err := eventually(b.Context(), patience, func() (err error) {
			delta, err = w.find("delta", effectiveIs(len(seen)))
			return err
		}); err != nil {
			b.Fatal(err)
		}
		if slowest = max(slowest, delta.at.Sub(sent)); len(seen) == 50 {
			break
		}
	}
	return float64(slowest.Milliseconds())
}

// demoReadings is how many readings a second go from a sender through the door, the log and health
// into the embedded history, all in one process on this machine, sender included.
func demoReadings(b *testing.B) float64 {
	p, fleet, tokens := serveProgram(b, simulator.MinPiles)
	const count = 300_000
	load := loadOf(p, fleet, tokens)
	load.Count = count
	begun := time.Now()
	if err := load.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
	acked := time.Since(begun)
	if err := eventually(b.Context(), 2*time.Minute, func() error {
		if n := p.metric(b, "ingest_history_written_total"); n < count {
			return fmt.Errorf("%.0f of %d in history", n, count)
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	took := time.Since(begun)
	b.Logf("%d readings acknowledged in %s, in history after %s; the process: %.1f µs of CPU a reading, %d MiB",
		count, acked.Round(time.Millisecond), took.Round(time.Millisecond), p.cpu(b).Seconds()*1e6/count, p.residentBytes(b)>>20)
	return count / took.Seconds()
}

func loadOf(p *program, fleet *simulator.Fleet, tokens map[charge.OperatorID]string) *simulator.Load {
	load := &simulator.Load{
		Broker: "tcp://" + p.mqtt, Connections: 20, InFlight: 100,
		Credentials: func(op charge.OperatorID) (string, string) { return string(op), tokens[op] },
	}
	for i := range fleet.Piles {
		load.Connectors = append(load.Connectors, charge.ConnectorKey{Pile: fleet.ID(i), Connector: "1"})
	}
	return load
}

// memoryOf is the resident memory of the process with n piles of which each has reported.
func memoryOf(b *testing.B, n int) float64 {
	p, fleet, tokens := serveProgram(b, n)
	load := loadOf(p, fleet, tokens)
	load.Count = 2 * n
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	if err := load.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	if err := eventually(b.Context(), time.Minute, func() error {
		if got := p.metric(b, "ingest_health_readings_total"); got < float64(2*n) {
			return fmt.Errorf("%.0f of %d judged", got, 2*n)
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return float64(p.residentBytes(b)) / (1 << 20)
}

func (p *program) metric(t testing.TB, name string) float64 {
	t.Helper()
	v, err := readMetric(t.Context(), "http://"+p.http+"/metrics", name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (p *program) cpu(t testing.TB) time.Duration { return cpuOf(t, p.process.Process.Pid) }

// cpuOf is the processor time that a process has used, of user and system (proc(5): stat, fields 14
// and 15, in ticks of 1/100 s).
func cpuOf(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold blanks
	fields := strings.Fields(rest)
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// residentBytes is the process' resident memory (proc(5): statm, field 2, in pages).
func (p *program) residentBytes(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.process.Process.Pid), "statm"))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func registerAll(t testing.TB, r *registry.Registry, fleet *simulator.Fleet) {
	t.Helper()
	for _, table := range []registry.Table{registry.Operators, registry.Stations, registry.Piles} {
		var file strings.Builder
		if err := fleet.WriteCSV(string(table), &file); err != nil {
			t.Fatal(err)
		}
		importTable(t, r, table, file.String())
	}
}
