package dashboard

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
)

// told saves what health knows, as ingest does before it starts publishing.
func told(t *testing.T, s *site) {
	t.Helper()
	key := func(op, pile, connector string) charge.ConnectorKey {
		return charge.ConnectorKey{Pile: charge.PileID{Operator: charge.OperatorID(op), Equipment: pile}, Connector: charge.ConnectorID(connector)}
	}
	err := s.registry.SaveHealth(t.Context(), 0, 1, &registry.Health{Townships: []charge.TownshipState{
		{Township: "371721101", State: charge.Effective, Since: noon, Reason: "usable", Stations: 1, Connectors: 2, Usable: 2, Online: 2, Charging: 1, PowerKW: 60.4, LastUsable: noon},
		{Township: "371721102", State: charge.Failing, Since: noon, Reason: "all_fault", Stations: 1, Connectors: 1, Online: 1, Fault: 1},
		{Township: "371721001", State: charge.Unverified, Since: noon, Reason: "never_connected", Stations: 1, Connectors: 1, NotObserved: true},
	}, Connectors: []charge.ConnectorState{
		{Key: key("MA3CLQP01", "P1", "1"), Told: true, Status: charge.Charging, Since: noon, LastHeard: noon, LastUsable: noon},
		{Key: key("MA3CLQP01", "P1", "2"), Told: true, Status: charge.Idle, Since: noon, LastHeard: noon, LastUsable: noon, Silent: true},
		{Key: key("MA3CLQP02", "P1", "1"), Told: true, Status: charge.Faulted, Fault: "insulation", Since: noon, LastHeard: noon},
	}})
	if err != nil {
		t.Fatal(err)
	}
	seq := uint64(9)
	reading := func(second int, kw float64) charge.Reading {
		return charge.Reading{
			Pile: charge.PileID{Operator: "MA3CLQP01", Equipment: "P1"}, Connector: "1", Kind: charge.KindTelemetry,
			Has: charge.HasStatus | charge.HasPower | charge.HasSeq, Seq: seq, Status: charge.Charging, PowerKW: kw,
			At: noon.Add(time.Duration(second) * time.Second), Received: noon,
		}
	}
	readings := []charge.Reading{reading(0, 60), reading(30, 50), reading(60, 40)}
	readings = append(readings, charge.Reading{
		Pile: readings[0].Pile, Connector: "1", Kind: charge.KindAlarm, At: noon, Level: "danger", Code: "smoke", Text: evil, Has: charge.HasSeq,
	}, charge.Reading{
		Pile: readings[0].Pile, Connector: "1", Kind: charge.KindOrder, At: noon, Order: "NO-1", Has: charge.HasEnergy, EnergyKWh: 12,
	})
	if err := s.history.Write(t.Context(), readings); err != nil {
		t.Fatal(err)
	}
	loads := []series.Load{{Start: noon, Division: "371721", EnergyKWh: 12, Charging: 3}, {Start: noon, Division: "371721", Partition: 1, EnergyKWh: 3, Charging: 1}}
	loads[0].Minutes[3], loads[1].Minutes[3], loads[1].Minutes[7] = 60, 30, 80
	for _, back := range []int{1, 7, 2} {
		l := series.Load{Start: noon.AddDate(0, 0, -back), Division: "371721", EnergyKWh: float64(back)}
		loads = append(loads, l)
	}
	midnight := noon.Add(-12 * time.Hour)
	energies := []series.Energy{
		{Day: midnight, Division: "37", Operator: "MA3CLQP01", EnergyKWh: 7},
		{Day: midnight, Division: "37", Operator: "MA3CLQP02", EnergyKWh: 2.5},
		{Day: midnight, Division: "3717", Operator: "MA3CLQP01", EnergyKWh: 7},
		{Day: midnight.AddDate(0, 0, 1), Division: "37", Operator: "MA3CLQP01", EnergyKWh: 77},
	}
	if err := errors.Join(s.history.WriteLoads(t.Context(), loads), s.history.WriteEnergies(t.Context(), energies)); err != nil {
		t.Fatal(err)
	}
	for i, reason := range []string{"bad_json", "bad_json", "unknown_pile"} {
		s.feed.rejects = append(s.feed.rejects, journal.Reject{
			At: noon.Add(time.Duration(i) * time.Second), Operator: "MA3CLQP01", Pile: "P1", Topic: "evcs/v1/" + evil, Reason: reason, Sample: evil, Count: 1 + i,
		})
	}
	s.feed.bridges = []journal.Bridges{{Gateway: "gateway-1", At: noon, Bridges: []journal.BridgeState{
		{Bridge: "pilewatch-gateway-1-MA3CLQP01-1", Operator: "MA3CLQP01", Broker: "tcp://b:1883", Up: true, Since: noon, Messages: 3, Last: noon},
		{Bridge: "pilewatch-gateway-1-MA3CLQP02-1", Operator: "MA3CLQP02", Broker: "ssl://c:8883", Since: noon, Error: evil, Failed: noon, Ending: true},
	}}}
	s.feed.rejects = append(s.feed.rejects, journal.Reject{At: noon, Operator: "MA3CLQP02", Pile: "NEW", Topic: "evcs/v1/x", Reason: "unknown_pile", Sample: evil, Count: 5})
	s.feed.publish(journal.Change{At: noon, Events: []charge.Event{
		{ID: "0-1-0", At: noon, Kind: charge.CoverageGained, Township: "371721101", Station: evil, After: "effective"},
		{ID: "0-1-1", At: noon, Kind: charge.ConnectorFault, Township: "371721102", Pile: "MA3CLQP02:P1", Conn: "1", Fault: "insulation"},
	}})
}

func TestEndpointsAnswer(t *testing.T) {
	s := openSite(t, Config{Public: true}, func(s *site) { told(t, s) })
	eventually(t, "bridges are there", func() bool { return len(s.bridges.list(time.Now())) == 2 })
	eventually(t, "rejects are there", func() bool {
		r, _ := s.recent.rejectsOf("", "", 9, func(*journal.Reject) bool { return true })
		return len(r) == 4
	})
	eventually(t, "events are there", func() bool { e, _ := s.recent.eventsOf(everyEvent, "37", 0, 99, 9); return len(e) == 2 })
	for _, tt := range []struct {
		name, path string
		signedIn   bool
		status     int
		has, lacks []string // in the body
	}{
		{"the province counts towns and townships", "/api/v1/coverage?division=37", false, 200, []string{`"total":1129`, `"nominal":2`, `"effective":1`, `"failing":1`, `"unverified":0`, `"paper":1`, `"power_kw":60.4`, `"proven":0`, `"divisions_as_of":"2023-06-30"`, `"version":1`, `"as_of":"2025-03-09T04:00:00Z"`, `"denominator":"towns and townships (乡镇)"`}, nil},
		{"no division is the province", "/api/v1/coverage", false, 200, []string{`"division":"37"`, `"total":1129`}, nil},
		{"streets are counted apart", "/api/v1/coverage?division=37&tier=streets", false, 200, []string{`"total":684`, `"unverified":1`, `"not_observed":1`, `"effective":0`}, nil},
		{"all divisions", "/api/v1/coverage?division=37&tier=all", false, 200, []string{`"total":1853`, `"nominal":3`}, nil},
		{"a county's children are its towns, with reasons", "/api/v1/coverage?division=371721", false, 200, []string{`"division":"371721101"`, `"reason":"usable"`, `"since":"2025-03-09T04:00:00Z"`}, []string{`"371721001"`}},
		{"a town has no children", "/api/v1/coverage?division=371721101", false, 200, []string{`"children":[]`, `"total":1`}, nil},
		{"no such division", "/api/v1/coverage?division=99", false, 404, []string{`"title":"not found"`, `"status":404`, `"instance":"/api/v1/coverage"`}, nil},
		{"not a division", "/api/v1/coverage?division=3x", false, 400, []string{`want 2, 4, 6 or 9 digits`}, nil},
		{"not a tier", "/api/v1/coverage?tier=x", false, 400, []string{`want towns, streets or all`}, nil},
		{"townships with names", "/api/v1/townships?division=3717&state=effective", false, 200, []string{`"name":"庄寨镇"`, `"county":"曹县"`, `"city":"菏泽市"`, `"counted":true`, `"last_usable":"2025-03-09T04:00:00Z"`, `"next":""`}, []string{`"failing"`}},
		{"townships of all kinds", "/api/v1/townships?division=371721&state=unverified", false, 200, []string{`"371721001"`, `"counted":false`, `"not_observed":true`}, nil},
		{"not a state", "/api/v1/townships?state=x", false, 400, nil, nil},
		{"not a sort", "/api/v1/townships?sort=x", false, 400, nil, nil},
		{"not a cursor", "/api/v1/townships?cursor=x", false, 400, nil, nil},
		{"not a limit", "/api/v1/townships?limit=0", false, 400, nil, nil},
		{"piles of a county; none at home", "/api/v1/piles?division=371721", false, 200, []string{`"id":"MA3CLQP01:P1"`, `"status":"charging"`, `"status_code":3`, `"dc":true`, `"operator_name":"鲁充"`, `"status_code":null`, `"silent":true`}, []string{"HOME"}},
		{"piles at home for who has signed in", "/api/v1/piles?division=371721", true, 200, []string{"HOME"}, nil},
		{"piles in fault", "/api/v1/piles?status=fault", false, 200, []string{`"id":"MA3CLQP02:P1"`, `"fault":"insulation"`, `\u003cscript\u003e`}, []string{"<script>", "MA3CLQP01"}},
		{"not a status", "/api/v1/piles?status=x", false, 400, []string{"want", "offline"}[1:], nil},
		{"not a pile cursor", "/api/v1/piles?cursor=!", false, 400, nil, nil},
		{"one pile", "/api/v1/piles/MA3CLQP01:P1", false, 200, []string{`"address":"曹县古营集"`, `"opened":"2023-05-01"`, `"lng":115.54`, `"live":{}`}, nil},
		{"a pile at home is not there", "/api/v1/piles/MA3CLQP02:HOME", false, 404, nil, nil},
		{"a pile at home is there for who has signed in", "/api/v1/piles/MA3CLQP02:HOME", true, 200, nil, nil},
		{"its only name", "/api/v1/piles/MA3CLQP01:P1", false, 200, []string{`"names":[{"pile":"MA3CLQP01:P1","from":null,"document":""}]`}, nil},
		{"no such pile", "/api/v1/piles/MA3CLQP02:P9", false, 404, nil, nil},
		{"not a pile", "/api/v1/piles/P9", false, 400, nil, nil},
		{"a pile's readings, without orders and texts", "/api/v1/piles/MA3CLQP01:P1/history?from=2025-03-09T03:00:00Z&to=2025-03-09T05:00:00Z", false, 200, []string{`"step_s":0`, `"kind":"telemetry"`, `"seq":9`, `"power_kw":{"mean":60,"min":60,"max":60}`, `"level":"danger"`}, []string{"NO-1", "script"}},
		{"with them for who has signed in", "/api/v1/piles/MA3CLQP01:P1/history?from=2025-03-09T03:00:00Z&to=2025-03-09T05:00:00Z", true, 200, []string{"NO-1", `\u003cscript\u003e`}, []string{"<script>"}},
		{"a pile's minutes", "/api/v1/piles/MA3CLQP01:P1/history?from=2025-03-09T03:00:00Z&to=2025-03-09T05:00:00Z&step=1m", false, 200, []string{`"step_s":60`, `"power_kw":{"mean":55,"min":50,"max":60}`, `"status":3`}, []string{`"kind"`}},
		{"too long a past", "/api/v1/piles/MA3CLQP01:P1/history?from=2024-03-09T03:00:00Z&to=2025-03-09T05:00:00Z", false, 400, []string{"too much history asked for", "give a step"}, nil},
		{"backwards", "/api/v1/piles/MA3CLQP01:P1/history?from=2025-03-09T05:00:00Z&to=2025-03-09T03:00:00Z", false, 400, nil, nil},
		{"not a step", "/api/v1/piles/MA3CLQP01:P1/history?step=1.5x", false, 400, []string{"15m"}, nil},
		{"not a time", "/api/v1/piles/MA3CLQP01:P1/history?from=yesterday", false, 400, nil, nil},
		{"a pile's sessions", "/api/v1/piles/MA3CLQP01:P1/sessions?from=2025-03-09T03:00:00Z&to=2025-03-09T05:00:00Z", false, 200, []string{`"energy_kwh":12`, `"start":null`}, []string{"NO-1", "telemetry", "60"}},
		{"with their orders for who has signed in", "/api/v1/piles/MA3CLQP01:P1/sessions?from=2025-03-09T03:00:00Z&to=2025-03-09T05:00:00Z", true, 200, []string{`"order":"NO-1"`}, nil},
		{"sessions of too long a past", "/api/v1/piles/MA3CLQP01:P1/sessions?from=2024-03-09T03:00:00Z&to=2025-03-09T05:00:00Z", false, 400, []string{"too much history asked for"}, nil},
		{"sessions backwards", "/api/v1/piles/MA3CLQP01:P1/sessions?from=2025-03-09T05:00:00Z&to=2025-03-09T03:00:00Z", false, 400, nil, nil},
		{"sessions of a pile at home", "/api/v1/piles/MA3CLQP02:HOME/sessions", false, 404, nil, nil},
		{"a county's load beside the day before and the week before", "/api/v1/load?division=371721&date=2025-03-09", false, 200, []string{`"minutes":15`, `"day":{"date":"2025-03-09"`, `"day_before":{"date":"2025-03-08"`, `"week_before":{"date":"2025-03-02"`, `null,60,null`, `null,90,null`, `null,4,null`, `null,28,null`}, []string{`null,8,null`}},
		{"a load of which nothing is known", "/api/v1/load?division=3701&date=2025-03-09", false, 200, []string{`null,null`}, []string{`,0`}},
		{"a load of a town", "/api/v1/load?division=371721101", false, 400, []string{"counties, cities and the province"}, nil},
		{"a load on no day", "/api/v1/load?date=2025-02-30", false, 400, []string{"want a date like"}, nil},
		{"a load of today", "/api/v1/load", false, 200, []string{`"division":"37"`}, nil},
		{"energy by day", "/api/v1/energy?division=37&from=2025-03-09&to=2025-03-09", false, 200, []string{`"by":"day"`, `"rows":[{"date":"2025-03-09","division":"37","name":"山东省","energy_kwh":9.5}]`}, nil},
		{"energy by operator", "/api/v1/energy?division=37&by=operator&from=2025-03-09&to=2025-03-09", false, 200, []string{`"operator":"MA3CLQP01","energy_kwh":7}`, `"operator":"MA3CLQP02","energy_kwh":2.5}`}, []string{"77"}},
		{"energy by city", "/api/v1/energy?by=city&from=2025-03-09&to=2025-03-10", false, 200, []string{`"name":"菏泽市","energy_kwh":7}`}, []string{`"37"}`, "77"}},
		{"energy by the moon", "/api/v1/energy?by=moon", false, 400, []string{"day, city or operator"}, nil},
		{"energy of too long a past", "/api/v1/energy?from=2023-03-09&to=2025-03-09", false, 400, []string{"too much history asked for", "at most 8784h"}, nil},
		{"energy backwards", "/api/v1/energy?from=2025-03-10&to=2025-03-09", false, 400, []string{"from is after to"}, nil},
		{"energy of the last 30 days", "/api/v1/energy", false, 200, []string{`"rows":[]`}, nil},
		{"targets", "/api/v1/targets?division=37", false, 200, []string{`"indicator":"public_piles"`, `"value":180000`, `"comparison":"\u003e="`}, nil},
		{"no targets of a city", "/api/v1/targets?division=3717", false, 200, []string{`"targets":[]`}, nil},
		{"unknown piles are not for strangers", "/api/v1/unknown", false, 401, []string{`"title":"sign in first"`}, nil},
		{"a pile that was unknown and is registered by now", "/api/v1/unknown?operator=MA3CLQP01", true, 200, []string{`"piles":[]`, `"beyond":0`}, nil},
		{"an unknown pile", "/api/v1/unknown?operator=MA3CLQP02", true, 200, []string{`"id":"MA3CLQP02:NEW"`, `"count":5`}, []string{"<script>"}},
		{"bridges are not for strangers", "/api/v1/bridges", false, 401, []string{`"title":"sign in first"`}, []string{"MA3CLQP01"}},
		{"bridges, those that are down first", "/api/v1/bridges", true, 200, []string{`{"bridges":[{"gateway":"gateway-1","bridge":"pilewatch-gateway-1-MA3CLQP02-1"`, `"messages":3`, `"stale":false`}, []string{"<script>"}},
		{"rejects are not for strangers", "/api/v1/rejects", false, 401, []string{`"title":"sign in first"`}, []string{"unknown_pile"}},
		{"rejects", "/api/v1/rejects", true, 200, []string{`"totals":{"bad_json":3,"unknown_pile":8}`, `"reason":"unknown_pile"`}, []string{"<script>"}},
		{"rejects with samples", "/api/v1/rejects?operator=MA3CLQP01&reason=bad_json&limit=1", true, 200, []string{`"sample"`, `"count":2`}, []string{`"reason":"unknown_pile"`, "<script>"}},
		{"another operator's rejects", "/api/v1/rejects?operator=MA3CLQP03", true, 200, []string{`"rejects":[]`, `"totals":{}`}, nil},
		{"events, newest first, with names", "/api/v1/events?division=37", false, 200, []string{`"kind":"connector_fault"`, `"township_name":"普连集镇"`, `"city_name":"菏泽市"`, `\u003cscript\u003e`}, []string{"<script>"}},
		{"events of another city", "/api/v1/events?division=3701", false, 200, []string{`"events":[]`}, nil},
		{"the asker", "/api/v1/me", false, 200, []string{`"role":"public"`, `"public":true`}, nil},
		{"the asker who has signed in", "/api/v1/me", true, 200, []string{`"role":"admin"`}, nil},
		{"the document", "/api/v1/openapi.yaml", false, 200, []string{"openapi: 3.1.0"}, nil},
		{"no such path", "/api/v1/nothing", false, 404, []string{`"status":404`}, nil},
		{"not a method", "/api/v1/tokens/9", true, 405, nil, nil},
		{"the page", "/", false, 200, []string{"<!doctype html>"}, nil},
		{"no such file", "/nothing.js", false, 404, nil, nil},
		{"the package's source is not the page's", "/web.go", false, 404, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := s.ask(t, http.MethodGet, tt.path, "", tt.signedIn)
			if a.StatusCode != tt.status {
				t.Errorf("GET %s: got %s, want %d: %s", tt.path, a.Status, tt.status, a.body)
			}
			if tt.status >= 400 && a.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("GET %s: got %s, want a problem document", tt.path, a.Header.Get("Content-Type"))
			}
			for _, want := range tt.has {
				if !bytes.Contains(a.body, []byte(want)) {
					t.Errorf("GET %s: lacks %s in %.2000s", tt.path, want, a.body)
				}
			}
			for _, no := range tt.lacks {
				if bytes.Contains(a.body, []byte(no)) {
					t.Errorf("GET %s: shows %s in %.2000s", tt.path, no, a.body)
				}
			}
			if csp := a.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self';") {
				t.Errorf("GET %s: Content-Security-Policy %q", tt.path, csp)
			}
		})
	}
}

func TestPagesOfTownshipsJoinToTheWhole(t *testing.T) {
	s := openSite(t, Config{Public: true}, func(s *site) { told(t, s) })
	type list struct {
		Townships []townshipView
		Next      string
	}
	for _, sort := range []string{"division", "-division", "name", "state", "-power_kw", "since"} {
		var whole list
		s.get(t, "/api/v1/townships?limit=2000&sort="+sort, &whole)
		if len(whole.Townships) != 1853 || whole.Next != "" {
			t.Fatalf("sort %s: got %d townships and next %q, want 1853 and none", sort, len(whole.Townships), whole.Next)
		}
		var joined []townshipView
		for cursor := ""; ; {
			var l list
			s.get(t, "/api/v1/townships?limit=500&sort="+sort+"&cursor="+cursor, &l)
			joined = append(joined, l.Townships...)
			if cursor = l.Next; cursor == "" {
				break
			}
		}
		for i := range joined {
			if joined[i].Division != whole.Townships[i].Division {
				t.Fatalf("sort %s: row %d is %s by pages, %s at once", sort, i, joined[i].Division, whole.Townships[i].Division)
			}
		}
		if len(joined) != 1853 {
			t.Errorf("sort %s: got %d rows by pages, want 1853", sort, len(joined))
		}
	}
	var worst list
	s.get(t, "/api/v1/townships?limit=1&sort=state", &worst)
	if worst.Townships[0].State != charge.Failing {
		t.Errorf("sort state: got %s first, want failing", worst.Townships[0].State)
	}
	if a := s.ask(t, http.MethodGet, "/api/v1/townships?sort=name&cursor="+worst.Next, "", false); a.StatusCode != http.StatusBadRequest {
		t.Errorf("a cursor of another sort: got %s, want 400", a.Status)
	}
}

func TestPagesOfPilesJoinToTheWhole(t *testing.T) {
	s := openSite(t, Config{}, nil)
	var got []string
	for cursor := ""; ; {
		a := s.ask(t, http.MethodGet, "/api/v1/piles?limit=1&cursor="+cursor, "", true)
		var l struct {
			Piles []pileRow
			Next  string
		}
		a.into(t, &l)
		for _, p := range l.Piles {
			got = append(got, p.ID)
		}
		if cursor = l.Next; cursor == "" {
			break
		}
	}
	if want := "[MA3CLQP01:P2 MA3CLQP02:HOME MA3CLQP01:P1 MA3CLQP02:P1]"; fmt.Sprint(got) != want {
		t.Errorf("piles by pages of one: got %v, want %s", got, want)
	}
}

func TestFilesAreCompressedAndTagged(t *testing.T) {
	s := openSite(t, Config{}, nil)
	plain := string(page["app.js"].Data)
	for _, tt := range []struct {
		accept, encoding string
		unpack           func(io.Reader) (io.Reader, error)
	}{
		{"", "", func(r io.Reader) (io.Reader, error) { return r, nil }},
		{"gzip;q=0", "", func(r io.Reader) (io.Reader, error) { return r, nil }},
		{"gzip, deflate", "gzip", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"gzip, br", "br", func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/app.js", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", tt.accept)
		a := s.send(t, req)
		if got := a.Header.Get("Content-Encoding"); got != tt.encoding {
			t.Errorf("Accept-Encoding %q: got %q, want %q", tt.accept, got, tt.encoding)
		}
		r, err := tt.unpack(bytes.NewReader(a.body))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(r); err != nil || string(text) != plain {
			t.Errorf("Accept-Encoding %q: got %d bytes and %v, want the file's %d", tt.accept, len(text), err, len(plain))
		}
		if got := a.Header.Get("Content-Type"); got != "text/javascript; charset=utf-8" {
			t.Errorf("app.js: got type %q", got)
		}
		req.Header.Set("If-None-Match", a.Header.Get("ETag"))
		if again := s.send(t, req); again.StatusCode != http.StatusNotModified || len(again.body) > 0 {
			t.Errorf("asked again with its ETag: got %s and %d bytes, want 304 and none", again.Status, len(again.body))
		}
	}
}

func TestATakenPortNamesTheFlag(t *testing.T) {
	s := openSite(t, Config{}, nil)
	_, err := New(&Config{HTTP: strings.TrimPrefix(s.url, "http://")}, t.TempDir(), Sources{s.divisions, s.registry, s.feed, s.history}, s.log, prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "--http") {
		t.Errorf("New on a taken port: got %v, want an error that names --http", err)
	}
}
