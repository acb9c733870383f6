package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
	"pilewatch/internal/testprog"
)

// What an operator sends twice over MQTT, in random order within an hour and with repeats, is in InfluxDB once; what
// InfluxDB refuses for its content is among the rejects in its own words, and holds nothing up.
// PILEWATCH_TEST_READINGS=1000000 sends that many from 10,000 connectors.
func TestEachReadingThatIsSentIsStoredOnceAndWhatIsRefusedBlocksNothing(t *testing.T) {
	count := 10_000
	if text := os.Getenv("PILEWATCH_TEST_READINGS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	const operator, atOnce, inFlight = "MA3CLQP01", 100, 64
	connectors := count / 100
	influx := testprog.InfluxServer(t)
	f := startPlatform(t, setup{influx: "http://" + influx.Addr, load: func(t testing.TB, r *registry.Registry, d *registry.Directory) map[charge.OperatorID]string {
		var piles strings.Builder
		piles.WriteString("operator,station,pile,connector,power_kw,opened\n")
		for c := range connectors {
			fmt.Fprintf(&piles, "%s,S1,N%05d,%d,60,2023-05-01\n", operator, c/2, c%2)
		}
		importTable(t, r, registry.Operators, testOperators)
		importTable(t, r, registry.Stations, testStations)
		importTable(t, r, registry.Piles, piles.String())
		if err := d.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		return issueTokens(t, r, d)
	}})
	// Somebody has made code a number in these days, so that an alarm's word for it can never be stored.
	begun := time.Now().Add(-time.Hour - time.Minute).Truncate(time.Millisecond)
	typed := fmt.Sprintf("connector,connector=x,kind=alarm,operator=x,pile=x code=1i %d\nconnector,connector=x,kind=alarm,operator=x,pile=x code=1i %d",
		begun.UnixMilli(), begun.Add(time.Hour).UnixMilli())
	f.until("code is a number", func() error {
		res, err := http.Post("http://"+influx.Addr+"/write?precision=ms&db=evcs&rp=raw", "text/plain", strings.NewReader(typed))
		if err != nil {
			return err
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusNoContent {
			return fmt.Errorf("%s, %w", res.Status, err)
		}
		return nil
	})

	random := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // a test's chance
	type key struct{ connector, ms int64 }
	distinct := make(map[key]bool)
	var all []key
	for len(all) < count {
		k := key{random.Int64N(int64(connectors)), random.Int64N(time.Hour.Milliseconds())}
		distinct[k] = true
		all = append(all, k)
		if random.IntN(100) == 0 {
			all = append(all, k)
		}
	}
	client := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + f.mqtt).SetClientID("once").SetUsername(operator).SetPassword(f.tokens[operator]))
	if token := client.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
	defer client.Disconnect(100)
	var waiting []paho.Token
	send := func(kind string, payload []byte) {
		t.Helper()
		if len(waiting) >= inFlight {
			if !waiting[0].WaitTimeout(6 * patience) {
				t.Fatal("no acknowledgement")
			}
			waiting = waiting[1:]
		}
		waiting = append(waiting, client.Publish("evcs/v1/"+operator+"/-/"+kind, 1, false, payload))
	}
	type told struct {
		Pile      string  `json:"pile"`
		Connector string  `json:"connector"`
		Time      int64   `json:"time"`
		Seq       int64   `json:"seq"`
		Status    int     `json:"status"`
		PowerKW   float64 `json:"power_kw"`
	}
	for range 2 {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for n, some := range slices.Collect(slices.Chunk(all, atOnce)) {
			batch := make([]told, len(some))
			for i, k := range some {
				batch[i] = told{fmt.Sprintf("N%05d", k.connector/2), fmt.Sprint(k.connector % 2), begun.UnixMilli() + k.ms, k.ms, int(charge.Charging), float64((k.connector + k.ms) % 120)}
			}
			text, err := json.Marshal(batch)
			if err != nil {
				t.Fatal(err)
			}
			send("telemetry", text)
			if n%50 == 7 {
				send("alarm", fmt.Appendf(nil, `{"pile":"N00001","connector":"1","time":%d,"level":"warning","code":"smoke"}`, begun.UnixMilli()+int64(n)))
			}
		}
	}
	for _, token := range waiting {
		if !token.WaitTimeout(6 * patience) {
			t.Fatal("no acknowledgement")
		}
	}
	stored, before := 0, -1
	for err := errors.New("not asked"); err != nil && stored > before; { // a slow machine takes long
		before = stored
		err = eventually(t.Context(), 3*patience, func() (err error) {
			if stored, err = countInflux(t.Context(), influx.Addr, "power_kw", "kind = 'telemetry'"); err == nil && stored < len(distinct) {
				err = fmt.Errorf("%d of %d", stored, len(distinct))
			}
			return err
		})
	}
	// What comes again is written again: nothing waits in the end, what was refused neither.
	for waits, before := errors.New("not asked"), -1.0; waits != nil; {
		written := f.metric("ingest_history_written_total")
		if written <= before {
			t.Fatalf("history does not go on: %v", waits)
		}
		before = written
		waits = eventually(t.Context(), 3*patience, func() error {
			if n := f.metric("ingest_history_backlog_batches"); n > 0 {
				return fmt.Errorf("%v batches wait", n)
			}
			return nil
		})
	}
	if stored, err := countInflux(t.Context(), influx.Addr, "power_kw", "kind = 'telemetry'"); err != nil || stored != len(distinct) {
		t.Errorf("in InfluxDB: got %d readings, %v, want %d", stored, err, len(distinct))
	}
	if alarms, err := countInflux(t.Context(), influx.Addr, "level", "kind = 'alarm'"); err != nil || alarms != 0 {
		t.Errorf("in InfluxDB: got %d alarms, %v, want none", alarms, err)
	}
	f.until("the rejects have them", func() error {
		var answer struct {
			Rejects []struct{ Reason, Detail, Kind string }
		}
		if err := f.get("/api/v1/rejects?operator="+operator+"&reason=history_refused", &answer); err != nil {
			return err
		}
		for _, r := range answer.Rejects {
			if r.Kind == "alarm" && strings.Contains(r.Detail, "field type conflict") && strings.Contains(r.Detail, "code") {
				return nil
			}
		}
		return fmt.Errorf("got %+v, want InfluxDB's words", answer)
	})
	t.Logf("%d readings twice, %d distinct, %v refused", len(all), len(distinct), f.metric("ingest_history_rejected_total"))
}
