package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/internal/wire"
	"pilewatch/simulator"
)

// How large and how long the province's benchmarks are; smaller for a try:
// PILEWATCH_BENCH_PILES=20000 PILEWATCH_BENCH_SECONDS=20 make bench ONLY=province.
const (
	benchPiles   = "PILEWATCH_BENCH_PILES"
	benchSeconds = "PILEWATCH_BENCH_SECONDS"
)

// Shares of the piles that charge. In the mean 8 %; what is over it keeps the rate above 24,000 a second. At 23:00 a
// quarter of the 900,000 home piles and 8 % of the 180,000 public ones.
const (
	meanCharging   = 0.085
	valleyCharging = 0.224
)

func benchNumber(b *testing.B, name string, otherwise int) int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		b.Fatalf("%s=%s: want a number above 0", name, text)
	}
	return n
}

// A provinceBench is the whole platform, its parts apart on one machine with everything embedded, under the load of the
// province of 2025. What one run measures serves several figures.
type provinceBench struct {
	mean, valley *provinceRun
}

type provinceRun struct {
	simulator.Summary
	lost      float64
	toBrowser *hdrhistogram.Histogram // of µs from a pile's PUBLISH to the WebSocket
}

func (p *provinceBench) measure(b *testing.B) *provinceBench {
	b.Helper()
	if p.valley == nil {
		f := startProvince(b)
		length := time.Duration(benchNumber(b, benchSeconds, 600)) * time.Second
		p.mean = f.drive("the mean", meanCharging, length)
		p.valley = f.drive("23:00", valleyCharging, length)
	}
	return p
}

func (p *provinceBench) meanRate(b *testing.B) float64   { return p.measure(b).mean.Rate }
func (p *provinceBench) valleyRate(b *testing.B) float64 { return p.measure(b).valley.Rate }
func (p *provinceBench) lost(b *testing.B) float64 {
	p.measure(b)
	return p.mean.lost + p.valley.lost
}

// p99 is of the mean's run; the log has the others.
func (p *provinceBench) p99(b *testing.B) float64 {
	return float64(p.measure(b).mean.toBrowser.ValueAtQuantile(99)) / 1000
}

// A province is the platform that the load is sent to.
type province struct {
	b      *testing.B
	parts  []*program // gateway, ingest, dashboard
	fleet  *simulator.Fleet
	piles  []charge.PileID
	tokens map[charge.OperatorID]string
	probes []charge.PileID // of one operator, public, that the load leaves alone
}

const provinceProbes = 20

func startProvince(b *testing.B, ofDashboard ...string) *province {
	b.Helper()
	f := &province{b: b}
	dir := b.TempDir()
	r, d := openRegistry(b, dir)
	fleet := provinceFleet(b, d)
	f.fleet = fleet
	registerAll(b, r, fleet)
	if err := d.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	f.tokens = issueTokens(b, r, d)
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	for i := range fleet.Piles {
		p := &fleet.Piles[i]
		if p.Operator == 0 && fleet.Stations[p.Station].Kind == charge.Public && len(f.probes) < provinceProbes {
			f.probes = append(f.probes, fleet.ID(i))
			continue
		}
		f.piles = append(f.piles, fleet.ID(i))
	}
	logAddr, mqtt := freeAddr(b), freeAddr(b)
	atLog := []string{"--log-url", "nats://" + logAddr, "--log-token-file", journal.TokenFile(dir)}
	for _, args := range [][]string{
		{"gateway", "--mqtt", mqtt, "--log-listen", logAddr},
		append([]string{"ingest"}, atLog...),
		slices.Concat([]string{"dashboard", "--public"}, atLog, ofDashboard),
	} {
		p := &program{t: b, dir: dir, http: freeAddr(b), mqtt: mqtt}
		p.args = append(args, "--data", dir, "--http", p.http)
		p.start()
		b.Cleanup(p.kill)
		if err := eventually(b.Context(), 2*time.Minute, func() error {
			return getJSON(b.Context(), "http://"+p.http+"/readyz", "", nil)
		}); err != nil {
			p.kill()
			b.Fatalf("%s: %v\n%s", p.args[0], err, p.output.String())
		}
		f.parts = append(f.parts, p)
	}
	return f
}

// provinceFleet is the plan's of 2025, or for a try a smaller one.
func provinceFleet(b *testing.B, d *registry.Directory) *simulator.Fleet {
	b.Helper()
	piles := benchNumber(b, benchPiles, simulator.PlannedPiles("2025-12"))
	fleet, err := simulator.GeneratePlanned(d.Divisions(), "2025-12", piles, 1)
	if err != nil {
		fleet, err = simulator.Generate(d.Divisions(), piles, 1)
	}
	if err != nil {
		b.Fatal(err)
	}
	return fleet
}

// drive sends for so long, waits until all of it is judged and in history, and logs what each part used for it.
func (f *province) drive(name string, charging float64, length time.Duration) *provinceRun {
	f.b.Helper()
	gateway, ingest, dashboard := f.parts[0], f.parts[1], f.parts[2]
	judged, stored := ingest.metric(f.b, "ingest_health_readings_total"), ingest.metric(f.b, "ingest_history_written_total")
	before := []time.Duration{gateway.cpu(f.b), ingest.cpu(f.b), dashboard.cpu(f.b), cpuOf(f.b, os.Getpid())}
	load := &simulator.Drive{
		Broker: "tcp://" + gateway.mqtt, Piles: f.piles, Connections: 64, Charging: charging, Length: length,
		Credentials: func(op charge.OperatorID) (string, string) { return string(op), f.tokens[op] },
	}
	stop := f.probe()
	s, err := load.Run(f.b.Context())
	run := &provinceRun{Summary: s}
	run.toBrowser = stop()
	if err != nil {
		f.b.Fatal(err)
	}
	ended := time.Now()
	missing := func() float64 {
		probes := run.toBrowser.TotalCount() + provinceProbes // the first round is not timed
		all, kept := float64(s.Acked+probes), float64(s.Telemetry+probes)
		return max(0, all-(ingest.metric(f.b, "ingest_health_readings_total")-judged)) +
			max(0, kept-(ingest.metric(f.b, "ingest_history_written_total")-stored))
	}
	_ = eventually(f.b.Context(), 10*time.Minute, func() error { // what is missing then is lost
		if n := missing(); n > 0 {
			return fmt.Errorf("%.0f are missing", n)
		}
		return nil
	})
	run.lost = float64(s.Lost) + missing()
	used := func(i int, now time.Duration) float64 { return (now - before[i]).Seconds() / length.Seconds() }
	f.b.Logf("%s: %.0f messages a second of %.0f for %s, %.0f lost; PUBACK p50 %.1f ms, p99 %.1f, p99.9 %.1f; to the WebSocket p50 %.1f ms, p99 %.1f, p99.9 %.1f of %d",
		name, s.Rate, s.Wanted, length, run.lost, s.P50MS, s.P99MS, s.P999MS, float64(run.toBrowser.ValueAtQuantile(50))/1000,
		float64(run.toBrowser.ValueAtQuantile(99))/1000, float64(run.toBrowser.ValueAtQuantile(99.9))/1000, run.toBrowser.TotalCount())
	f.b.Logf("%s: cores used: gateway %.2f, ingest %.2f, dashboard %.2f, sender %.2f; up to date %s after the last message; MiB: gateway %d, ingest %d, dashboard %d",
		name, used(0, gateway.cpu(f.b)), used(1, ingest.cpu(f.b)), used(2, dashboard.cpu(f.b)), used(3, cpuOf(f.b, os.Getpid())),
		time.Since(ended).Round(100*time.Millisecond), gateway.residentBytes(f.b)>>20, ingest.residentBytes(f.b)>>20, dashboard.residentBytes(f.b)>>20)
	return run
}

var meterShown = regexp.MustCompile(`"meter_kwh":([0-9.]+)`)

// probe lets some piles measure every 1.5 s while somebody watches them, and gives how long a value takes to get there.
// stop ends it; a value that never came counts as a minute.
func (f *province) probe() (stop func() *hdrhistogram.Histogram) {
	f.b.Helper()
	var watchers []*watcher
	for _, pile := range f.probes {
		watchers = append(watchers, watchTopic(f.b, f.parts[2].http, "pile:"+pile.String()))
	}
	operator := f.probes[0].Operator
	c := connectAs(f.b, f.parts[0].mqtt, operator, f.tokens[operator])
	ctx := f.b.Context()
	end, ended := make(chan struct{}), make(chan struct{})
	sent := make(map[float64]time.Time)
	go func() {
		defer close(ended)
		ticks := time.NewTicker(1500 * time.Millisecond / provinceProbes)
		defer ticks.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-end:
				return
			case <-ticks.C:
			}
			now, pile := time.Now(), f.probes[n%len(f.probes)]
			r := charge.Reading{
				Pile: pile, Connector: "1", Kind: charge.KindTelemetry, At: now, Seq: uint64(n), Has: charge.HasSeq | charge.HasStatus | charge.HasMeter,
				Status: charge.Charging, MeterKWh: float64(n) + 0.5,
			}
			if n >= len(f.probes) { // those before may come before it is known that somebody watches
				sent[r.MeterKWh] = now
			}
			c.Publish(wire.Topic(string(operator), pile.Equipment, r.Kind), 1, false, wire.Encode(nil, &r, true))
		}
	}()
	var once sync.Once
	finish := func() { once.Do(func() { close(end); <-ended; c.Disconnect(1000) }) }
	f.b.Cleanup(finish)
	return func() *hdrhistogram.Histogram {
		finish()
		time.Sleep(2 * time.Second) // the last deltas are on their way
		took := hdrhistogram.New(1, time.Minute.Microseconds(), 3)
		for _, w := range watchers {
			w.mu.Lock()
			for _, m := range w.messages {
				for _, found := range meterShown.FindAllSubmatch(m.Data, -1) {
					meter, err := strconv.ParseFloat(string(found[1]), 64)
					if at, ours := sent[meter]; err == nil && ours {
						_ = took.RecordValue(min(max(1, m.at.Sub(at).Microseconds()), time.Minute.Microseconds())) // within its bounds
						delete(sent, meter)
					}
				}
			}
			w.mu.Unlock()
		}
		if len(sent) > 0 {
			f.b.Logf("%d of the values that are timed never came", len(sent))
		}
		for range sent {
			_ = took.RecordValue(time.Minute.Microseconds()) // within its bounds
		}
		return took
	}
}

// messagesPerCore is how many messages the load's sender makes, sends and sees acknowledged a second of processor time.
// The other end, which only acknowledges, is in the same process and counted with it.
func messagesPerCore(b *testing.B) float64 {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go acknowledge(conn)
		}
	}()
	d := &simulator.Drive{Broker: "tcp://" + listener.Addr().String(), Connections: 8, Charging: meanCharging, Rate: 60_000, Length: 10 * time.Second}
	for i := range 100_000 {
		d.Piles = append(d.Piles, charge.PileID{Operator: "MA3PWDL01", Equipment: fmt.Sprintf("370102%06d", i)})
	}
	before := cpuOf(b, os.Getpid())
	s, err := d.Run(b.Context())
	if err != nil || s.Lost > 0 {
		b.Fatalf("%+v, %v", s, err)
	}
	used := cpuOf(b, os.Getpid()) - before
	b.Logf("%.0f messages a second with %.2f cores, the other end included", s.Rate, used.Seconds()/s.Seconds)
	return float64(s.Acked) / used.Seconds()
}

// acknowledge is the least that a broker does: a CONNACK, and a PUBACK for each PUBLISH (MQTT 3.1.1, 3.3.2).
func acknowledge(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	out := bufio.NewWriterSize(conn, 64<<10)
	for {
		kind, err := in.ReadByte()
		if err != nil {
			return
		}
		rest, err := binary.ReadUvarint(in) // MQTT's lengths are written alike
		if err != nil {
			return
		}
		switch kind >> 4 {
		case packets.Publish:
			head, err := in.Peek(2)
			if err != nil {
				return
			}
			topic := int(binary.BigEndian.Uint16(head))
			if _, err := in.Discard(2 + topic); err != nil {
				return
			}
			id, err := in.Peek(2)
			if err != nil {
				return
			}
			_, _ = out.Write([]byte{packets.Puback << 4, 2, id[0], id[1]}) // Flush tells
			rest -= uint64(2 + topic)                                      //nolint:gosec // not negative
		case packets.Connect:
			_, _ = out.Write([]byte{packets.Connack << 4, 2, 0, 0}) // Flush tells
		}
		if _, err := io.CopyN(io.Discard, in, int64(rest)); err != nil { //nolint:gosec // a packet's
			return
		}
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}
