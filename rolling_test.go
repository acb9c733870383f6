package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/simulator"
)

// A balancer hands each TCP connection to the next of its backends that takes it, as those in front
// of several gateways do.
type balancer struct {
	listener net.Listener
	backends []string
	next     int
	carried  sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

func newBalancer(t *testing.T, backends ...string) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: l, backends: backends, conns: make(map[net.Conn]bool)}
	b.carried.Go(b.accept)
	t.Cleanup(func() {
		_ = l.Close()
		b.mu.Lock()
		for c := range b.conns {
			_ = c.Close()
		}
		b.mu.Unlock()
		b.carried.Wait()
	})
	return b
}

func (b *balancer) accept() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return
		}
		var server net.Conn
		for range b.backends {
			b.next++
			if server, err = net.Dial("tcp", b.backends[b.next%len(b.backends)]); err == nil {
				break
			}
		}
		if err != nil {
			_ = client.Close()
			continue
		}
		for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
			b.mu.Lock()
			b.conns[way[0]] = true
			b.mu.Unlock()
			b.carried.Go(func() {
				_, _ = io.Copy(way[0], way[1]) // whichever side ends, both end
				_ = way[0].Close()
				_ = way[1].Close()
				b.mu.Lock()
				delete(b.conns, way[0])
				b.mu.Unlock()
			})
		}
	}
}

// A cluster is several gateways on one log that is elsewhere, behind a balancer, under load.
type cluster struct {
	t        *testing.T
	gateways []*program
	logDir   string
	logAddr  string
	log      *journal.Log
	load     *simulator.Load
	end      func() // the load
}

func newCluster(t *testing.T, gateways int) *cluster {
	t.Helper()
	c := &cluster{t: t, logDir: t.TempDir(), logAddr: freeAddr(t)}
	c.openLog()
	t.Cleanup(func() {
		if err := c.log.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	fleet, tokens := registerFleet(t, dir, simulator.MinPiles)
	var addrs []string
	for range gateways {
		p := &program{t: t, dir: dir, http: freeAddr(t), mqtt: freeAddr(t)}
		p.args = []string{
			"gateway", "--data", dir, "--http", p.http, "--mqtt", p.mqtt,
			"--log-url", "nats://" + c.logAddr, "--log-token-file", journal.TokenFile(c.logDir),
		}
		p.start()
		t.Cleanup(p.kill)
		c.gateways, addrs = append(c.gateways, p), append(addrs, p.mqtt)
		c.ready(p)
	}
	c.load = &simulator.Load{
		Broker: "tcp://" + newBalancer(t, addrs...).listener.Addr().String(), Connections: 10, InFlight: 100, Rate: 2000,
		Credentials: func(op charge.OperatorID) (string, string) { return string(op), tokens[op] },
	}
	for i := range 500 {
		c.load.Connectors = append(c.load.Connectors, charge.ConnectorKey{Pile: fleet.ID(i), Connector: "1"})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.load.Run(ctx) }()
	c.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Cleanup(c.end)
	return c
}

func (c *cluster) openLog() {
	c.t.Helper()
	cfg := journal.Embedded(c.logDir)
	cfg.Listen = c.logAddr
	var err error
	if c.log, err = journal.Open(c.t.Context(), cfg, slog.New(slog.DiscardHandler)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) ready(p *program) {
	c.t.Helper()
	if err := eventually(c.t.Context(), patience, func() error {
		res, err := http.Get("http://" + p.http + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	}); err != nil {
		c.t.Fatalf("a gateway is not ready: %v\n%s", err, p.output.String())
	}
}

// more waits until n readings more are acknowledged.
func (c *cluster) more(n int) {
	c.t.Helper()
	from := c.load.AckedCount()
	if err := eventually(c.t.Context(), 2*patience, func() error {
		if got := c.load.AckedCount() - from; got < n {
			return fmt.Errorf("%d acknowledged", got)
		}
		return nil
	}); err != nil {
		c.t.Fatalf("%d readings more: %v", n, err)
	}
}

// terminate ends a gateway as a rolling update does, and expects it to end by itself, cleanly.
func (c *cluster) terminate(p *program) {
	c.t.Helper()
	begun := time.Now()
	_ = p.process.Process.Signal(syscall.SIGTERM)
	if err := p.process.Wait(); err != nil || time.Since(begun) > patience {
		c.t.Errorf("after SIGTERM it ends within %s with %v:\n%s", time.Since(begun).Round(time.Millisecond), err, p.output.String())
	}
}

// check expects that all that was sent is acknowledged and in the log.
func (c *cluster) check() {
	c.t.Helper()
	c.end()
	acked := c.load.Acked()
	// A connection's last reading may be made, and counted, when there is no time left to send it.
	if sent := c.load.Sent(); sent-int64(len(acked)) > int64(c.load.Connections) {
		c.t.Errorf("%d readings were sent and %d acknowledged", sent, len(acked))
	}
	type key struct {
		charge.ConnectorKey
		ms int64
	}
	stored := make(map[key]bool)
	for partition := range c.log.Partitions() {
		enough := errors.New("read up to the end")
		err := c.log.FollowPartition(c.t.Context(), partition, 0, func(b journal.Batch, pending uint64) error {
			for i := range b.Readings {
				r := &b.Readings[i]
				stored[key{charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}, r.At.UnixMilli()}] = true
			}
			if pending == 0 {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			c.t.Fatal(err)
		}
	}
	lost := 0
	for _, a := range acked {
		if !stored[key{charge.ConnectorKey{Pile: a.Pile, Connector: a.Connector}, a.At.UnixMilli()}] {
			lost++
		}
	}
	if lost > 0 || len(acked) == 0 {
		c.t.Errorf("%d of %d acknowledged readings are not in the log", lost, len(acked))
	}
}

func TestARollingRestartLosesNothing(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("left out under -short: starts four gateways")
	}
	c := newCluster(t, 2)
	c.more(2000)
	for _, p := range c.gateways {
		c.terminate(p)
		c.more(1000) // by the other one
		p.start()
		c.ready(p)
	}
	c.more(1000)
	c.check()
}

// While the log is away for 30 s under load nobody gets an acknowledgement, and nobody is sent away;
// then all goes on by itself. No reading that was sent may be lost: each is acknowledged in the end
// and is in the log.
func TestALogThatIsAwayLosesNothing(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("left out under -short: some 40 s")
	}
	c := newCluster(t, 1)
	c.more(2000)
	p := c.gateways[0]
	connections := func() float64 {
		n, err := readMetric(t.Context(), "http://"+p.http+"/metrics", "gateway_connections")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := connections()
	if err := c.log.Close(); err != nil {
		t.Fatal(err)
	}
	away := time.Now()
	acked := c.load.AckedCount()
	for last := -1; last != acked; { // what had been acknowledged is read
		time.Sleep(time.Second)
		last, acked = acked, c.load.AckedCount()
	}
	time.Sleep(time.Until(away.Add(30 * time.Second))) // three times as long as a publish may take
	if n := c.load.AckedCount(); n != acked {
		t.Errorf("%d readings are acknowledged while the log is away", n-acked)
	}
	if n := connections(); n != before || n == 0 {
		t.Errorf("%v connections after 30 s without a log, want the %v before", n, before)
	}
	c.openLog()
	c.more(3000)
	c.check()
}

// Two gateways cannot open one embedded log: the second is told who has it.
func TestASecondGatewayOnOneDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	holder, err := journal.Open(t.Context(), journal.Embedded(dir), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	cmd := &GatewayCmd{DataConfig: DataConfig{Data: dir}, HTTP: "127.0.0.1:0", Partitions: 4, Replicas: 1, LogMaxBytes: 1 << 30}
	if err := cmd.Run(t.Context(), slog.New(slog.DiscardHandler)); !errors.Is(err, journal.ErrTaken) {
		t.Errorf("got %v, want that %s is taken", err, filepath.Join(dir, "log"))
	}
}
