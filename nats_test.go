package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/testprog"
	"pilewatch/simulator"
)

// The parts meet at a NATS server of its own, with a token and as it is shipped. It is killed under load: what was
// acknowledged is in history, once, and the parts go on by themselves.
func TestANATSOfItsOwnMayBeKilled(t *testing.T) {
	nats := testprog.NATSServer(t, "max_payload: 4MB\njetstream { sync_interval: always }\nauthorization { token: \"of the test\" }\n")
	dir := t.TempDir()
	token := filepath.Join(dir, "nats.token")
	if err := os.WriteFile(token, []byte("of the test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fleet, tokens := registerFleet(t, dir, simulator.MinPiles)
	atLog := []string{"--data", dir, "--log-url", "nats://" + nats.Addr, "--log-token-file", token}
	gateway := &program{t: t, dir: dir, http: freeAddr(t), mqtt: freeAddr(t)}
	gateway.args = append([]string{"gateway", "--http", gateway.http, "--mqtt", gateway.mqtt}, atLog...)
	ingest := &program{t: t, dir: dir, http: freeAddr(t)}
	ingest.args = append([]string{"ingest", "--http", ingest.http}, atLog...)
	page := &program{t: t, dir: dir, http: freeAddr(t)}
	page.args = append([]string{"dashboard", "--http", page.http, "--request-rate", "100000"}, atLog...)
	for _, p := range []*program{page, ingest, gateway} { // in any order: they wait for each other
		p.start()
		t.Cleanup(p.kill)
	}
	for _, p := range []*program{gateway, ingest, page} {
		p.ready(patience)
	}

	load := &simulator.Load{
		Broker: "tcp://" + gateway.mqtt, Connections: 10, InFlight: 100, Rate: 2000,
		Credentials: func(op charge.OperatorID) (string, string) { return string(op), tokens[op] },
	}
	for i := range 500 {
		load.Connectors = append(load.Connectors, charge.ConnectorKey{Pile: fleet.ID(i), Connector: "1"})
	}
	begun := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- load.Run(ctx) }()
	more := func(n int) {
		t.Helper()
		from := load.AckedCount()
		if err := eventually(t.Context(), 3*patience, func() error {
			if got := load.AckedCount() - from; got < n {
				return fmt.Errorf("%d acknowledged", got)
			}
			return nil
		}); err != nil {
			t.Fatalf("%d readings more: %v\n%s", n, err, gateway.output.String())
		}
	}
	more(2000)
	for range 2 {
		nats.Kill()
		nats.Start(t)
		more(2000)
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	want := make(map[charge.PileID]map[int64]bool)
	for _, a := range load.Acked() {
		if want[a.Pile] == nil {
			want[a.Pile] = make(map[int64]bool)
		}
		want[a.Pile][a.At.UnixMilli()] = true
	}
	if err := eventually(t.Context(), 3*patience, func() error { return allStored(t.Context(), page, want, begun) }); err != nil {
		t.Error(err)
	}
}
