package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/testprog"
	"pilewatch/simulator"
)

// doorReadings is how many readings each way is given: some 20 s of the slowest.
const doorReadings = 200_000

// A doorBench runs the three ways of a reading side by side, once for all figures that need them:
// (a) listener, log, ingest, InfluxDB; (b) Mosquitto, bridge, log, ingest, InfluxDB; (c) Mosquitto,
// Telegraf, InfluxDB. The load is the same, and each way has an InfluxDB of its own that is new.
type doorBench struct {
	once                                sync.Once
	listener, bridge, telegraf, flatter way // flatter is Telegraf without gzip
}

// A way is what one run measured.
type way struct {
	perSecond float64            // readings, until all are stored
	cpu       map[string]float64 // µs a reading, by process
}

const (
	ours     = "pilewatch" // gateway, log and ingest in one process, as serve runs them
	theirs   = "telegraf"
	broker   = "mosquitto"
	database = "influxd"
	sender   = "load"
)

func telegrafMissing() string {
	_, err := testprog.Look("telegraf")
	if err != nil {
		return err.Error() + "; deploy/benchtools.sh builds it"
	}
	return ""
}

func (d *doorBench) run(b *testing.B) {
	b.Helper()
	d.once.Do(func() {
		d.listener = d.throughUs(b, false)
		d.bridge = d.throughUs(b, true)
		d.telegraf = d.throughTelegraf(b, "gzip")
		d.flatter = d.throughTelegraf(b, "identity")
	})
	if d.flatter.perSecond == 0 {
		b.Fatal("the runs have failed; what was measured first says why")
	}
}

func (d *doorBench) listenerReadings(b *testing.B) float64 {
	d.run(b)
	b.Logf("against Telegraf without gzip: %.2f times", d.listener.perSecond/d.flatter.perSecond)
	return d.listener.perSecond / d.telegraf.perSecond
}

func (d *doorBench) bridgeReadings(b *testing.B) float64 {
	d.run(b)
	b.Logf("against Telegraf without gzip: %.2f times", d.bridge.perSecond/d.flatter.perSecond)
	return d.bridge.perSecond / d.telegraf.perSecond
}

func (d *doorBench) listenerCPU(b *testing.B) float64 {
	d.run(b)
	return d.listener.cpu[ours] / (d.telegraf.cpu[broker] + d.telegraf.cpu[theirs])
}

func (d *doorBench) bridgeCPU(b *testing.B) float64 {
	d.run(b)
	return d.bridge.cpu[ours] / d.telegraf.cpu[theirs]
}

// mosquittoConf lets the broker keep all that it is given and send it as fast as it is taken.
const mosquittoConf = "max_queued_messages 0\nmax_inflight_messages 1000\n"

// newInflux is an InfluxDB with the database that facts of the field use.
func newInflux(b *testing.B) *testprog.Server {
	b.Helper()
	s := testprog.InfluxServer(b)
	influxQL(b, s.Addr, `CREATE DATABASE "evcs" WITH DURATION 30d NAME "raw"`)
	return s
}

// influxQL asks InfluxDB 1.x and gives the last column of the first row, 0 where there is none.
func influxQL(b *testing.B, addr, query string) float64 {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+addr+"/query?db=evcs&q="+url.QueryEscape(query), nil)
	if err != nil {
		b.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Results []struct {
			Error  string
			Series []struct{ Values [][]any }
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		b.Fatal(err)
	}
	if len(answer.Results) == 0 || answer.Results[0].Error != "" {
		b.Fatalf("%s: %+v", query, answer)
	}
	if s := answer.Results[0].Series; len(s) > 0 {
		if n, ok := s[0].Values[0][len(s[0].Values[0])-1].(float64); ok {
			return n
		}
	}
	return 0
}

// influxStored is how many points InfluxDB 1.x says that it has taken since it started. Unlike a count
// it costs InfluxDB nothing, and so may be asked for during a measurement.
func influxStored(b *testing.B, addr string) int {
	b.Helper()
	var vars map[string]json.RawMessage
	if err := getJSON(b.Context(), "http://"+addr+"/debug/vars", "", &vars); err != nil {
		b.Fatal(err)
	}
	stored := 0
	for name, raw := range vars {
		if !strings.HasPrefix(name, "shard:") {
			continue
		}
		var shard struct {
			Values struct{ WritePointsOk int }
		}
		if err := json.Unmarshal(raw, &shard); err != nil {
			b.Fatal(err)
		}
		stored += shard.Values.WritePointsOk
	}
	return stored
}

// throughUs is (a), or with a broker (b).
func (d *doorBench) throughUs(b *testing.B, bridged bool) way {
	b.Helper()
	influx := newInflux(b)
	p := &program{t: b, dir: b.TempDir(), http: freeAddr(b), mqtt: freeAddr(b)}
	p.args = []string{"serve", "--data", p.dir, "--http", p.http, "--mqtt", p.mqtt, "--public", "--max-operator-rate", "0", "--influx-url", "http://" + influx.Addr}
	fleet, tokens := registerFleet(b, p.dir, 10_000)
	load := loadOf(p, fleet, tokens)
	pids := map[string]int{database: influx.PID()}
	done := func() {}
	if bridged {
		mosquitto := testprog.MosquittoServer(b, mosquittoConf)
		pids[broker], done = mosquitto.PID(), mosquitto.Kill
		for _, op := range fleet.Operators {
			p.args = append(p.args, "--bridge", "mqtt://"+mosquitto.Addr+"/"+string(op.ID))
		}
		load.Broker, load.Credentials = "tcp://"+mosquitto.Addr, nil
	}
	p.start()
	b.Cleanup(p.kill)
	p.ready(time.Minute)
	if bridged {
		for _, op := range fleet.Operators {
			if err := eventually(b.Context(), time.Minute, func() error {
				if p.metric(b, fmt.Sprintf(`gateway_bridge_up{bridge="pilewatch-gateway-1-%[1]s-1",operator="%[1]s"}`, op.ID)) != 1 {
					return errors.New("a bridge is not up")
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	}
	pids[ours] = p.process.Process.Pid
	name := "(a) listener, log, ingest, InfluxDB"
	if bridged {
		name = "(b) Mosquitto, bridge, log, ingest, InfluxDB"
	}
	w := d.measure(b, name, load, influx.Addr, pids)
	p.kill()
	influx.Kill()
	done()
	return w
}

// throughTelegraf is (c).
func (d *doorBench) throughTelegraf(b *testing.B, encoding string) way {
	b.Helper()
	binary, err := testprog.Look("telegraf")
	if err != nil {
		b.Fatal(err)
	}
	influx, mosquitto := newInflux(b), testprog.MosquittoServer(b, mosquittoConf)
	fleet, _ := registerFleet(b, b.TempDir(), 10_000) // the same as the other ways'
	conf := filepath.Join(b.TempDir(), "telegraf.conf")
	text := fmt.Sprintf(`[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = 5000
  metric_buffer_limit = 100000
  omit_hostname = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://%s"]
  topics = ["evcs/v1/+/+/telemetry"]
  topic_tag = ""
  qos = 1
  persistent_session = true
  client_id = "telegraf"
  max_undelivered_messages = 10000
  data_format = "json"
  name_override = "connector"
  tag_keys = ["connector", "pile"]
  json_time_key = "time"
  json_time_format = "2006-01-02T15:04:05.000Z07:00"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "evcs/v1/+/+/+"
    tags = "_/_/operator/_/kind"
[[outputs.influxdb_v2]]
  urls = ["http://%s"]
  token = ""
  organization = ""
  bucket = "evcs/raw"
  content_encoding = %q
`, mosquitto.Addr, influx.Addr, encoding)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(binary, "--config", conf)
	said := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b.Failed() {
			b.Logf("Telegraf says:\n%.3000s", said)
		}
	})
	b.Cleanup(end)
	load := loadOf(&program{mqtt: mosquitto.Addr}, fleet, nil)
	load.Credentials = nil
	untilTaken(b, mosquitto.Addr, fleet, influx.Addr)
	w := d.measure(b, "(c) Mosquitto, Telegraf ("+encoding+"), InfluxDB", load, influx.Addr, map[string]int{
		database: influx.PID(), broker: mosquitto.PID(), theirs: cmd.Process.Pid,
	})
	end()
	influx.Kill()
	mosquitto.Kill()
	return w
}

// untilTaken sends a reading of its own each moment until one is stored: then Telegraf has subscribed.
func untilTaken(b *testing.B, mqtt string, fleet *simulator.Fleet, influx string) {
	b.Helper()
	if err := eventually(b.Context(), time.Minute, func() error {
		one := loadOf(&program{mqtt: mqtt}, fleet, nil)
		one.Credentials, one.Count, one.Connections, one.Connectors = nil, 1, 1, one.Connectors[:1]
		if err := one.Run(b.Context()); err != nil {
			return err
		}
		if influxQL(b, influx, `SELECT count("power_kw") FROM "raw"."connector"`) == 0 {
			time.Sleep(500 * time.Millisecond)
			return errors.New("nothing is stored")
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	influxQL(b, influx, `DELETE FROM "connector"`)
}

// measure sends the readings and waits until InfluxDB counts all of them.
func (d *doorBench) measure(b *testing.B, name string, load *simulator.Load, influx string, pids map[string]int) way {
	b.Helper()
	load.Count = doorReadings
	before := make(map[string]time.Duration)
	for process, pid := range pids {
		before[process] = cpuOf(b, pid)
	}
	before[sender] = ownCPU(b)
	held, begun := influxStored(b, influx), time.Now()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	if err := load.Run(ctx); err != nil {
		b.Fatal(err)
	}
	acked := time.Since(begun)
	if err := eventually(ctx, 5*time.Minute, func() error {
		if n := influxStored(b, influx) - held; n < doorReadings {
			time.Sleep(20 * time.Millisecond)
			return fmt.Errorf("%d of %d are stored", n, doorReadings)
		}
		// Points that are not readings, and what was sent twice, are counted as well.
		if n := influxQL(b, influx, `SELECT count("power_kw") FROM "raw"."connector"`); n != doorReadings {
			time.Sleep(200 * time.Millisecond)
			return fmt.Errorf("%.0f of %d are stored", n, doorReadings)
		}
		return nil
	}); err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	took := time.Since(begun)
	w := way{perSecond: doorReadings / took.Seconds(), cpu: make(map[string]float64)}
	line := fmt.Sprintf("%s: %.0f readings/s until stored (%.0f until acknowledged); CPU µs a reading:", name, w.perSecond, doorReadings/acked.Seconds())
	for _, process := range []string{ours, broker, theirs, database, sender} {
		var used time.Duration
		switch pid, is := pids[process]; {
		case is:
			used = cpuOf(b, pid) - before[process]
		case process == sender:
			used = ownCPU(b) - before[process]
		default:
			continue
		}
		w.cpu[process] = used.Seconds() * 1e6 / doorReadings
		line += fmt.Sprintf(" %s %.1f", process, w.cpu[process])
	}
	b.Log(line)
	return w
}

func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// gatewayAlone runs the door without anything behind its log.
func gatewayAlone(b *testing.B, more ...string) (*program, *simulator.Fleet, map[charge.OperatorID]string) {
	b.Helper()
	p := &program{t: b, dir: b.TempDir(), http: freeAddr(b), mqtt: freeAddr(b)}
	p.args = append([]string{
		"gateway", "--data", p.dir, "--http", p.http, "--mqtt", p.mqtt, "--log-listen", freeAddr(b), "--max-operator-rate", "0",
	}, more...)
	fleet, tokens := registerFleet(b, p.dir, 10_000)
	p.start()
	b.Cleanup(p.kill)
	if err := eventually(b.Context(), time.Minute, func() error {
		return getJSON(b.Context(), "http://"+p.http+"/readyz", "", nil)
	}); err != nil {
		b.Fatalf("%v\n%s", err, p.output.String())
	}
	return p, fleet, tokens
}

// listenerAlone is how many readings a second are acknowledged, each on disk.
func listenerAlone(b *testing.B) float64 {
	p, fleet, tokens := gatewayAlone(b)
	load := loadOf(p, fleet, tokens)
	load.Count = 2 * doorReadings
	before, begun := p.cpu(b), time.Now()
	if err := load.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(begun)
	b.Logf("the gateway: %.1f µs of CPU a reading", (p.cpu(b)-before).Seconds()*1e6/float64(load.Count))
	return float64(load.Count) / took.Seconds()
}

// storm opens n connections, as fast as workers can, and gives them. Not one may be refused.
func storm(b *testing.B, n, workers int, dial func() (net.Conn, error), fleet *simulator.Fleet, tokens map[charge.OperatorID]string) []net.Conn {
	b.Helper()
	conns := make([]net.Conn, n)
	b.Cleanup(func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	})
	var group errgroup.Group
	group.SetLimit(workers)
	for i := range conns {
		group.Go(func() (err error) {
			op := fleet.Operators[i%len(fleet.Operators)].ID
			conns[i], err = signIn(dial, fmt.Sprintf("c-%d", i), string(op), tokens[op])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	return conns
}

// signIn opens a connection of MQTT 3.1.1 that costs its own side next to nothing.
func signIn(dial func() (net.Conn, error), id, user, password string) (net.Conn, error) {
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	body := []byte{0, 4, 'M', 'Q', 'T', 'T', 4, 0xc2, 0, 0}
	for _, s := range []string{id, user, password} {
		body = append(body, byte(len(s)>>8), byte(len(s)))
		body = append(body, s...)
	}
	if len(body) > 127 {
		return nil, fmt.Errorf("a CONNECT of %d bytes needs a longer header", len(body))
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(append([]byte{0x10, byte(len(body))}, body...)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, errors.Join(fmt.Errorf("no CONNACK: %w", err), conn.Close())
	}
	if answer[0] != 0x20 || answer[3] != 0 {
		return nil, errors.Join(fmt.Errorf("CONNECT is answered by %x", answer), conn.Close())
	}
	return conn, conn.SetDeadline(time.Time{})
}

func dialer(addr string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.DialTimeout("tcp", addr, time.Minute) }
}

// idleConnection is the resident memory of the gateway's process that a connection adds which has
// signed in and rests, of 20,000; with TLS it is printed, of 2,000.
func idleConnection(b *testing.B) float64 {
	dir := b.TempDir()
	secure, profiles := freeAddr(b), freeAddr(b)
	trusted := writeServerKeys(b, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), time.Hour)
	files(b, 30_000)
	p, fleet, tokens := gatewayAlone(b, "--pprof", profiles, "--mqtts", secure, "--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem"))
	const over = 2_000
	n := files(b, 20_000+over+1_000) - over - 1_000
	storm(b, 500, 50, dialer(p.mqtt), fleet, tokens) // for what is made once
	settle := func() int64 {
		for range 2 { // what the collector would find in its next rounds is nobody's memory
			res, err := http.Get("http://" + profiles + "/debug/pprof/heap?gc=1")
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		time.Sleep(5 * time.Second) // in which Go gives free pages back
		return p.residentBytes(b)
	}
	before := settle()
	storm(b, n, 200, dialer(p.mqtt), fleet, tokens)
	after := settle()
	storm(b, over, 50, func() (net.Conn, error) { return tls.Dial("tcp", secure, &tls.Config{RootCAs: trusted}) }, fleet, tokens)
	b.Logf("of %d connections; with TLS %.1f KiB, of %d", n, float64(settle()-after)/over/1024, over)
	return float64(after-before) / float64(n) / 1024
}

// files lets this process, and those that it starts, have so many files open, or as many as may be.
func files(b *testing.B, want int) int {
	b.Helper()
	limit := syscall.Rlimit{Cur: uint64(want), Max: uint64(want)}
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		b.Fatal(err)
	}
	if now.Cur >= limit.Cur {
		return want
	}
	limit.Max = max(limit.Max, now.Max)
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		return want
	}
	now.Cur = now.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		b.Fatal(err)
	}
	return int(now.Cur)
}

// writeServerKeys writes a certificate for loopback that signs itself and ends in lasts.
func writeServerKeys(b testing.TB, certFile, keyFile string, lasts time.Duration) *x509.CertPool {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lasts),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		b.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(os.WriteFile(certFile, text, 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)); err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}

// reconnect is how long 10,000 connections take that come at once, until each has signed in.
func reconnect(b *testing.B) float64 {
	files(b, 15_000)
	p, fleet, tokens := gatewayAlone(b)
	const n = 10_000
	for _, c := range storm(b, n, 500, dialer(p.mqtt), fleet, tokens) {
		_ = c.Close()
	}
	if err := eventually(b.Context(), time.Minute, func() error {
		if open := p.metric(b, "gateway_connections"); open != 0 {
			return fmt.Errorf("%.0f are open", open)
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	begun := time.Now()
	storm(b, n, 2000, dialer(p.mqtt), fleet, tokens)
	took := time.Since(begun)
	if err := eventually(b.Context(), time.Minute, func() error {
		if open := p.metric(b, "gateway_connections"); open != n {
			return fmt.Errorf("%.0f are open", open)
		}
		return nil
	}); err != nil {
		b.Errorf("of %d that were let in: %v", n, err)
	}
	return took.Seconds()
}
