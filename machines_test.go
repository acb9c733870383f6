package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/internal/testprog"
	"pilewatch/simulator"
)

// Machines are what runs a province on several: three NATS servers, a PostgreSQL and an InfluxDB, and two of each part with
// a data directory of its own, under load through a balancer.
type machines struct {
	t                         *testing.T
	nats                      []*testprog.Server
	postgres                  *testprog.PostgresServer
	gateways, ingests, boards []*supervised
	fleet                     *simulator.Fleet
	load                      *simulator.Load
	token                     string // file with NATS' one
}

// A supervised program is started again when it ends by itself, as compose and Kubernetes do; a part may end when it
// starts while the log has no leader.
type supervised struct {
	program

	mu     sync.Mutex
	killed bool
	ended  chan struct{}
	said   strings.Builder // of the starts before
}

func (s *supervised) start() {
	s.t.Helper()
	s.killed, s.ended = false, make(chan struct{})
	s.program.start()
	go func() {
		defer close(s.ended)
		for {
			_ = s.process.Wait()
			s.mu.Lock()
			if s.killed {
				s.mu.Unlock()
				return
			}
			s.said.WriteString(s.output.String() + "(started again)\n")
			s.program.start()
			s.mu.Unlock()
		}
	}()
}

func (s *supervised) kill() {
	s.mu.Lock()
	s.killed = true
	_ = s.process.Process.Kill() // it may have ended
	s.mu.Unlock()
	<-s.ended
}

func startMachines(t *testing.T) *machines {
	t.Helper()
	const secret = "of the test"
	m := &machines{t: t, token: filepath.Join(t.TempDir(), "nats.token")}
	m.nats = testprog.NATSCluster(t, 3, fmt.Sprintf("max_payload: 4MB\njetstream { sync_interval: always }\nauthorization { token: %q }\n", secret))
	m.postgres = testprog.Postgres(t)
	influx := testprog.InfluxServer(t)
	testprog.Run(t, "curl", "-sS", "-f", "--data-urlencode", `q=CREATE DATABASE "evcs" WITH DURATION 30d NAME "raw"`, "http://"+influx.Addr+"/query")
	if err := os.WriteFile(m.token, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address, tokens := m.register()

	urls := ""
	for _, s := range m.nats {
		urls += ",nats://" + s.Addr
	}
	start := func(part string, more ...string) *supervised {
		p := &supervised{program: program{t: t, dir: t.TempDir(), http: freeAddr(t)}}
		p.args = append([]string{part, "--data", p.dir, "--http", p.http, "--registry-url", address, "--log-url", urls[1:], "--log-token-file", m.token}, more...)
		t.Cleanup(func() {
			p.kill()
			if t.Failed() {
				t.Logf("%s %s:\n%s%s", part, p.http, p.said.String(), p.output.String())
			}
		})
		return p
	}
	history := []string{"--influx-url", "http://" + influx.Addr}
	for range 2 {
		mqtt := freeAddr(t)
		g := start("gateway", "--mqtt", mqtt, "--replicas", "3", "--partitions", "8", "--log-max-bytes", strconv.Itoa(1<<30))
		g.mqtt = mqtt
		m.gateways = append(m.gateways, g)
		m.ingests = append(m.ingests, start("ingest", history...))
		m.boards = append(m.boards, start("dashboard", append(history, "--request-rate", "100000")...))
	}
	for _, p := range slices.Concat(m.boards, m.ingests, m.gateways) {
		p.start()
	}
	m.allReady()
	m.load = &simulator.Load{
		Broker: "tcp://" + newBalancer(t, m.gateways[0].mqtt, m.gateways[1].mqtt).listener.Addr().String(), Connections: 10, InFlight: 100, Rate: 1000,
		Credentials: func(op charge.OperatorID) (string, string) { return string(op), tokens[op] },
	}
	for i := range 500 {
		m.load.Connectors = append(m.load.Connectors, charge.ConnectorKey{Pile: m.fleet.ID(i), Connector: "1"})
	}
	return m
}

// register puts a fleet into PostgreSQL, by way of a file.
func (m *machines) register() (address string, tokens map[charge.OperatorID]string) {
	m.t.Helper()
	dir := m.t.TempDir()
	m.fleet, tokens = registerFleet(m.t, dir, simulator.MinPiles)
	address = m.postgres.Database(m.t, "")
	from, _ := openRegistry(m.t, dir)
	to, err := registry.OpenPostgres(m.t.Context(), registry.PostgresConfig{URL: address}, slog.New(slog.DiscardHandler))
	if err != nil {
		m.t.Fatal(err)
	}
	_, err = registry.Copy(m.t.Context(), from, to)
	if err := errors.Join(err, from.Close(), to.Close()); err != nil {
		m.t.Fatal(err)
	}
	return address, tokens
}

func (m *machines) allReady() {
	m.t.Helper()
	for _, p := range slices.Concat(m.gateways, m.ingests) {
		if err := eventually(m.t.Context(), 4*patience, func() error { return getJSON(m.t.Context(), "http://"+p.http+"/readyz", "", nil) }); err != nil {
			m.t.Fatalf("not ready: %v", err)
		}
	}
	for _, p := range m.boards {
		p.ready(4 * patience)
	}
}

// more waits until n readings more are acknowledged.
func (m *machines) more(when string, n int) {
	m.t.Helper()
	from := m.load.AckedCount()
	if err := eventually(m.t.Context(), 4*patience, func() error {
		if got := m.load.AckedCount() - from; got < n {
			return fmt.Errorf("%d acknowledged", got)
		}
		return nil
	}); err != nil {
		m.t.Fatalf("%d readings more %s: %v", n, when, err)
	}
}

// round lets one of each fail, one after the other.
func (m *machines) round(n int) {
	const some = 1000
	s := m.nats[n%3]
	s.Kill()
	m.more("while a NATS server is away", some)
	s.Start(m.t)
	for what, all := range map[string][]*supervised{"gateway": m.gateways, "ingest": m.ingests, "dashboard": m.boards} {
		p := all[n%2]
		p.kill()
		m.more("while one "+what+" is away", some)
		p.start()
	}
	m.allReady()
	m.postgres.Kill()
	m.more("while PostgreSQL is away", some)
	m.postgres.Start(m.t)
	s = m.nats[(n+1)%3]
	s.Freeze()
	m.more("while a NATS server is cut off", some)
	s.Thaw()
	m.more("after all of it", some)
}

// judgedOnce expects of the log's changes that no event is told twice and no partition went back.
func (m *machines) judgedOnce() {
	m.t.Helper()
	log, err := journal.Open(m.t.Context(), journal.Config{URL: "nats://" + m.nats[0].Addr, TokenFile: m.token}, slog.New(slog.DiscardHandler))
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // of a test
	last, err := log.LastChange(m.t.Context())
	if err != nil || last == 0 {
		m.t.Fatalf("the last change: %d, %v", last, err)
	}
	seen, judged, enough := map[string]bool{}, map[int]uint64{}, errors.New("read up to the end")
	err = log.FollowChanges(m.t.Context(), 1, func(seq uint64, c journal.Change) error {
		if c.LogSeq < judged[c.Partition] {
			m.t.Errorf("partition %d: judged up to %d, and then up to %d", c.Partition, judged[c.Partition], c.LogSeq)
		}
		judged[c.Partition] = c.LogSeq
		for _, e := range c.Events {
			if seen[e.ID] {
				m.t.Errorf("event %s is told twice", e.ID)
			}
			seen[e.ID] = true
		}
		if seq >= last {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		m.t.Fatal(err)
	}
	if len(seen) == 0 {
		m.t.Error("no event was told")
	}
}

// Any of the machines of a province may fail under load, one at a time: what was acknowledged is in history, once; no
// reading is judged twice; and coverage is what it was. PILEWATCH_TEST_ROUNDS=20 lets each fail twenty times.
func TestAnyOfSeveralMachinesMayFail(t *testing.T) {
	t.Parallel()
	rounds := 1
	if text := os.Getenv("PILEWATCH_TEST_ROUNDS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	m := startMachines(t)
	begun := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.load.Run(ctx) }()
	effective := effectiveTowns(m.fleet, 500)
	m.covered(effective)
	for n := range rounds {
		m.round(n)
		m.covered(effective)
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	want := make(map[charge.PileID]map[int64]bool)
	for _, a := range m.load.Acked() {
		if want[a.Pile] == nil {
			want[a.Pile] = make(map[int64]bool)
		}
		want[a.Pile][a.At.UnixMilli()] = true
	}
	if err := eventually(t.Context(), 3*patience, func() error { return allStored(t.Context(), &m.boards[0].program, want, begun) }); err != nil {
		t.Error(err)
	}
	m.judgedOnce()
}

// covered expects both dashboards to come to show so many towns.
func (m *machines) covered(effective int) {
	m.t.Helper()
	for _, p := range m.boards {
		if err := eventually(m.t.Context(), 4*patience, func() error {
			var c figures
			if err := getJSON(m.t.Context(), "http://"+p.http+"/api/v1/coverage?division=37", p.token, &c); err != nil {
				return err
			}
			if c.Nominal != 544 || c.Effective != effective {
				return fmt.Errorf("nominal %d, effective %d, want 544 and %d", c.Nominal, c.Effective, effective)
			}
			return nil
		}); err != nil {
			m.t.Fatal(err)
		}
	}
}
