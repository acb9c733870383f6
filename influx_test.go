package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/testprog"
	"pilewatch/simulator"
)

// countInflux asks InfluxDB 1.8 how many values of a field it has.
func countInflux(ctx context.Context, addr, field, where string) (int, error) {
	q := fmt.Sprintf(`SELECT count(%s) FROM "evcs"."raw"."connector" WHERE %s`, field, where)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/query?"+url.Values{"q": {q}}.Encode(), nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var answer struct {
		Results []struct {
			Error  string
			Series []struct{ Values [][2]any }
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if len(answer.Results) == 0 || answer.Results[0].Error != "" {
		return 0, fmt.Errorf("count: %+v", answer)
	}
	if len(answer.Results[0].Series) == 0 {
		return 0, nil
	}
	n, _ := answer.Results[0].Series[0].Values[0][1].(float64)
	return int(n), nil
}

// A killed InfluxDB costs nothing: each reading is stored once in the end, and what people watch goes
// on as if nothing were the matter.
func TestInfluxMayBeKilledAtAnyTime(t *testing.T) {
	influx := testprog.InfluxServer(t)
	var fleet *simulator.Fleet
	f := startPlatform(t, setup{influx: "http://" + influx.Addr, load: loadFleet(&fleet)})
	kills, rate := 3, 5000
	if text := os.Getenv("PILEWATCH_TEST_KILLS"); text != "" { // 10 take two minutes: InfluxDB needs some 5 s to start
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	watched := workingPile(fleet)
	load := &simulator.Load{
		Broker: "tcp://" + f.mqtt, Connections: 10, InFlight: 100, Rate: float64(rate),
		Credentials: func(op charge.OperatorID) (string, string) { return string(op), f.tokens[op] },
	}
	for i := range fleet.Piles {
		if id := fleet.ID(i); id != watched && len(load.Connectors) < 500 {
			load.Connectors = append(load.Connectors, charge.ConnectorKey{Pile: id, Connector: "1"})
		}
	}
	events := watchTopic(t, f.http, "events:37")
	told := 0
	slowest := time.Duration(0)
	// tell lets the watched pile fail or work again, and waits until a browser knows.
	tell := func() {
		t.Helper()
		code, kind := 255, charge.ConnectorFault
		if told%2 == 1 {
			code, kind = 1, charge.ConnectorRestored
		}
		told++
		f.publish(t, watched.Operator, fmt.Sprintf("evcs/v1/%s/%s/status", watched.Operator, watched.Equipment), status("1", time.Now(), code))
		sent := time.Now()
		f.until("the event has come", func() error {
			seen, err := events.eventsOf(watched, kind)
			if err == nil && seen != (told+1)/2 {
				err = fmt.Errorf("%d events of %s, want %d", seen, kind, (told+1)/2)
			}
			return err
		})
		slowest = max(slowest, time.Since(sent))
		asked := time.Now()
		f.coverage("37")
		slowest = max(slowest, time.Since(asked))
	}
	f.publish(t, watched.Operator, fmt.Sprintf("evcs/v1/%s/%s/status", watched.Operator, watched.Equipment), status("1", time.Now(), 1))
	tell()
	tell()
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { done <- load.Run(ctx) }()
	for range 4 { // how it is under this load on this machine, without a kill
		tell()
	}
	usual := slowest
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's chance
	for range kills {
		at := load.AckedCount() + rate/10 + random.IntN(3*rate/2) // some 0.1 to 1.6 s later
		f.until("the load goes on", func() error {
			if load.AckedCount() < at {
				return errors.New("not yet")
			}
			return nil
		})
		influx.Kill()
		tell()
		tell()
		influx.Start(t)
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	load.Count = int(load.Sent()) + rate // the rest, until every one that was sent is acknowledged
	if err := load.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	distinct := make(map[simulator.Acked]bool) // what a connection that was lost had not heard of is sent again
	for _, a := range load.Acked() {
		distinct[a] = true
	}
	count, stored := len(distinct), 0
	var err error
	for moves := true; moves && stored < count; { // a slow machine catches up for long
		before := stored + int(f.metric("ingest_history_written_total"))
		err = eventually(t.Context(), 2*time.Minute, func() (err error) {
			if stored, err = countInflux(t.Context(), influx.Addr, "power_kw", "kind = 'telemetry'"); err == nil && stored < count {
				err = fmt.Errorf("%d of %d", stored, count)
			}
			return err
		})
		moves = stored+int(f.metric("ingest_history_written_total")) > before
	}
	if err != nil || stored != count {
		t.Errorf("readings in InfluxDB: got %d, %v, want %d", stored, err, count)
		for _, name := range []string{"written_total", "rejected_total", "retries_total", "away", "backlog_readings", "backlog_seconds"} {
			t.Logf("ingest_history_%s %v", name, f.metric("ingest_history_"+name))
		}
	}
	t.Logf("%d readings, %d kills, the slowest event or answer took %s, %s before the first kill", stored, kills, slowest, usual)
}
