package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"pilewatch/dashboard"
	"pilewatch/gateway"
	"pilewatch/ingest"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
	"pilewatch/internal/testprog"
	"pilewatch/simulator"
)

// runAsProgram makes the test binary be pilewatch: tests that kill it need a process of its own.
const runAsProgram = "PILEWATCH_TEST_RUN_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(runAsProgram) != "" {
		if err := run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "pilewatch:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A platform is everything in one process, as `pilewatch serve` runs it, for one test.
type platform struct {
	t      testing.TB
	dir    string
	http   string // host:port
	mqtt   string
	tokens map[charge.OperatorID]string
	token  string // of the dashboard
}

// The registry of a platform under test: one working station in a town and one in a street, an
// estate's own pile, and two operators.
const (
	testOperators = "operator,name\nMA3CLQP01,鲁充\nMA3CLQP02,泰电\n"
	testStations  = `operator,station,name,township,kind,area,access,opened
MA3CLQP01,S1,庄寨镇政府充电站,371721101,public,rural,public,2023-05-01
MA3CLQP01,S2,普连集镇卫生院充电站,371721102,public,rural,public,2023-05-01
MA3CLQP02,S1,曹城街道充电站,371721001,public,urban,public,2023-05-01
MA3CLQP01,R1,曹城街道锦苑小区,371721001,residential,urban,limited,2023-05-01
`
	testPiles = `operator,station,pile,connector,equipment_type,power_kw,report_s,opened
MA3CLQP01,S1,P1,1,1,60,600,2023-05-01
MA3CLQP01,S1,P1,2,1,60,600,2023-05-01
MA3CLQP01,S2,P2,1,2,7,600,2023-05-01
MA3CLQP02,S1,P1,1,1,120,600,2023-05-01
MA3CLQP01,R1,H1,1,2,7,600,2023-05-01
`
)

// A setup is what differs between platforms under test.
type setup struct {
	influx string   // URL; "" keeps history in a file
	bridge []string // as --bridge
	trace  TraceConfig
	load   func(testing.TB, *registry.Registry, *registry.Directory) map[charge.OperatorID]string
}

func loadTestRegistry(t testing.TB, r *registry.Registry, d *registry.Directory) map[charge.OperatorID]string {
	t.Helper()
	for table, text := range map[registry.Table]string{registry.Operators: testOperators} {
		importTable(t, r, table, text)
	}
	importTable(t, r, registry.Stations, testStations)
	importTable(t, r, registry.Piles, testPiles)
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return issueTokens(t, r, d)
}

func importTable(t testing.TB, r *registry.Registry, table registry.Table, text string) {
	t.Helper()
	if _, err := r.Import(t.Context(), table, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

// loadFleet registers a small fleet and gives it to whoever asked for the platform.
func loadFleet(fleet **simulator.Fleet) func(testing.TB, *registry.Registry, *registry.Directory) map[charge.OperatorID]string {
	return func(t testing.TB, r *registry.Registry, d *registry.Directory) map[charge.OperatorID]string {
		made, err := simulator.Generate(d.Divisions(), simulator.MinPiles, 1)
		if err != nil {
			t.Fatal(err)
		}
		*fleet = made
		registerAll(t, r, made)
		if err := d.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		return issueTokens(t, r, d)
	}
}

func issueTokens(t testing.TB, r *registry.Registry, d *registry.Directory) map[charge.OperatorID]string {
	t.Helper()
	tokens := make(map[charge.OperatorID]string)
	for _, op := range d.Operators() {
		token, _, err := r.IssueCredential(t.Context(), op.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		tokens[op.ID] = token
	}
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return tokens
}

// patience is how long tests wait for what takes a moment. How long it takes is measured in benchmarks:
// on a loaded machine, with the race detector, a moment may be long.
const patience = 20 * time.Second

// startPlatform runs a platform until the test ends, which expects it to stop cleanly.
// coverAtOnce lets a connector cover its township as soon as it is usable: a test does not wait for an hour.
func coverAtOnce(t *testing.T, r *registry.Registry) {
	t.Helper()
	if _, err := r.ImportPolicy(t.Context(), []byte("version: at once\nfrom: 2023-01-02\ncoverage:\n  min_usable_minutes: 0\n")); err != nil &&
		!errors.Is(err, registry.ErrPolicy) { // a fleet's registry has its own
		t.Fatal(err)
	}
}

func startPlatform(t *testing.T, s setup) *platform {
	t.Helper()
	if s.load == nil {
		s.load = loadTestRegistry
	}
	c := &whole{
		DataConfig: DataConfig{Data: t.TempDir()}, HistoryConfig: HistoryConfig{InfluxURL: s.influx, InfluxBucket: "evcs/raw"}, TraceConfig: s.trace,
		Gateway: *gateway.Defaults(), Ingest: *ingest.Defaults(), LogMaxBytes: 1 << 30,
	}
	c.Gateway.MQTT, c.Gateway.Bridge = "127.0.0.1:0", s.bridge
	page := dashboard.Defaults()
	page.HTTP, page.Public = "127.0.0.1:0", true
	logged := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	f := &platform{t: t, dir: c.Data}
	parts, g, d, err := c.open(t.Context(), logged, page, func(p *parts) error {
		f.tokens = s.load(t, p.registry, p.directory)
		coverAtOnce(t, p.registry)
		return p.directory.Refresh(t.Context())
	})
	if err != nil {
		t.Fatal(err)
	}
	f.http, f.mqtt = d.Addr(), g.Addr()
	token, err := os.ReadFile(d.TokenFile())
	if err != nil {
		t.Fatal(err)
	}
	f.token = strings.TrimSpace(string(token))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- parts.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("platform ended with: %v", err)
			}
		case <-time.After(patience):
			t.Errorf("platform does not stop within %s", patience)
		}
	})
	f.until("the platform is ready", func() error {
		return f.get("/readyz", nil)
	})
	return f
}

// until waits for a condition, and fails the test with what was wrong last.
func (f *platform) until(what string, ok func() error) {
	f.t.Helper()
	if err := eventually(f.t.Context(), patience, ok); err != nil {
		f.t.Fatalf("not within %s: %s: %v", patience, what, err)
	}
}

func eventually(ctx context.Context, within time.Duration, ok func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ask := time.NewTicker(20 * time.Millisecond)
	defer ask.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-ask.C:
		}
	}
}

// get reads JSON from the dashboard, signed in.
func (f *platform) get(path string, into any) error {
	return getJSON(f.t.Context(), "http://"+f.http+path, f.token, into)
}

func getJSON(ctx context.Context, address, token string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", address, res.Status, text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// Figures of /coverage that tests look at.
type figures struct {
	Division  charge.DivisionCode `json:"division"`
	Total     int                 `json:"total"`
	Nominal   int                 `json:"nominal"`
	Effective int                 `json:"effective"`
	Failing   int                 `json:"failing"`
	None      int                 `json:"none"`
	Children  []figures           `json:"children"`
}

func (f *platform) coverage(division string) figures {
	f.t.Helper()
	var c figures
	if err := f.get("/api/v1/coverage?division="+division, &c); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// mosquittoPub sends a message as a client that nobody here wrote; it returns when it is acknowledged.
func mosquittoPub(t *testing.T, addr, user, password, topic string, payload []byte) {
	t.Helper()
	path, _ := testprog.MosquittoClients(t)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-V", "311", "-q", "1", "-h", host, "-p", port, "-t", topic, "-s"}
	if user != "" {
		args = append(args, "-u", user, "-P", password)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(string(payload))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub to %s: %v: %s", topic, err, out)
	}
}

// publish sends to the platform's own door as the operator.
func (f *platform) publish(t *testing.T, op charge.OperatorID, topic, payload string) {
	t.Helper()
	mosquittoPub(t, f.mqtt, string(op), f.tokens[op], topic, []byte(payload))
}

func status(connector string, at time.Time, code int) string {
	return fmt.Sprintf(`{"connector":%q,"time":%q,"status":%d}`, connector, at.Format(time.RFC3339Nano), code)
}

// A watcher is a WebSocket client of one topic.
type watcher struct {
	mu       sync.Mutex
	messages []heard
}

type heard struct {
	at   time.Time
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// watchTopic subscribes until the test ends, and returns when the snapshot is there.
func watchTopic(t testing.TB, http, topic string) *watcher {
	t.Helper()
	conn, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+http+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.WriteJSON(map[string]any{"subscribe": []string{topic}}); err != nil {
		t.Fatal(err)
	}
	w := &watcher{}
	go func() {
		for {
			var m heard
			if conn.ReadJSON(&m) != nil {
				return
			}
			m.at = time.Now()
			w.mu.Lock()
			w.messages = append(w.messages, m)
			w.mu.Unlock()
		}
	}()
	if err := eventually(t.Context(), patience, func() error {
		_, err := w.find("snapshot", func(json.RawMessage) bool { return true })
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

// find gives the first message of the type whose data is as wanted.
func (w *watcher) find(kind string, want func(json.RawMessage) bool) (heard, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.messages {
		if m.Type == kind && want(m.Data) {
			return m, nil
		}
	}
	return heard{}, fmt.Errorf("no %s as wanted among %d messages", kind, len(w.messages))
}

// eventsOf counts the events of a kind that tell of a pile. Where more comes at once than deltas hold, a snapshot
// has them, and with them some that were told before.
func (w *watcher) eventsOf(pile charge.PileID, kind charge.EventKind) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := make(map[string]bool)
	for _, m := range w.messages {
		if m.Type != "delta" && m.Type != "snapshot" {
			continue
		}
		var told struct {
			Events []struct {
				ID, Pile string
				Kind     charge.EventKind
			}
		}
		if err := json.Unmarshal(m.Data, &told); err != nil {
			return 0, fmt.Errorf("a %s of events: %w", m.Type, err)
		}
		for _, e := range told.Events {
			if e.Pile == pile.String() && e.Kind == kind {
				seen[e.ID] = true
			}
		}
	}
	return len(seen), nil
}

func effectiveIs(n int) func(json.RawMessage) bool {
	return func(data json.RawMessage) bool {
		var c figures
		return json.Unmarshal(data, &c) == nil && c.Effective == n
	}
}

// The main job: one message of a pile makes its township covered, in the API and on the WebSocket,
// whichever door it comes by. `make bench ONLY=demo` measures how long it takes.
func TestOneStatusCoversItsTownship(t *testing.T) {
	t.Run("by the listener", func(t *testing.T) {
		f := startPlatform(t, setup{})
		raises(t, f, func() {
			f.publish(t, "MA3CLQP01", "evcs/v1/MA3CLQP01/P1/status", status("1", time.Now(), 1))
		})
	})
	t.Run("by an operator's broker", func(t *testing.T) {
		broker := testprog.Mosquitto(t, "")
		f := startPlatform(t, setup{bridge: []string{"mqtt://" + broker + "/MA3CLQP01"}})
		f.until("the bridge is up", func() error {
			if f.metric(`gateway_bridge_up{bridge="pilewatch-gateway-1-MA3CLQP01-1",operator="MA3CLQP01"}`) != 1 {
				return errors.New("not subscribed")
			}
			return nil
		})
		raises(t, f, func() {
			mosquittoPub(t, broker, "", "", "evcs/v1/MA3CLQP01/P1/status", []byte(status("1", time.Now(), 1)))
		})
	})
}

func raises(t *testing.T, f *platform, send func()) {
	t.Helper()
	f.until("every town is judged", func() error {
		if c := f.coverage("37"); c.Total != 1129 || c.Nominal != 2 {
			return fmt.Errorf("total %d, nominal %d, want 1129 and 2", c.Total, c.Nominal)
		}
		return nil
	})
	before := f.coverage("37").Effective
	w := watchTopic(t, f.http, "coverage:37")
	send()
	sent := time.Now()
	f.until("the API shows one more", func() error {
		if got := f.coverage("37").Effective; got != before+1 {
			return fmt.Errorf("effective %d, want %d", got, before+1)
		}
		return nil
	})
	var delta heard
	f.until("the delta has come", func() (err error) {
		delta, err = w.find("delta", effectiveIs(before+1))
		return err
	})
	t.Logf("on the WebSocket %s after the acknowledgement", delta.at.Sub(sent).Round(time.Millisecond))
}

// metric reads one line of /metrics, 0 where it is not there.
func (f *platform) metric(name string) float64 {
	f.t.Helper()
	v, err := readMetric(f.t.Context(), "http://"+f.http+"/metrics", name)
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

func readMetric(ctx context.Context, address, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(rest), 64)
		}
	}
	return 0, nil
}

// The demo's fleet and what the platform makes of it agree: the set of effective townships is the
// simulator's own list of those with a working public pile, with either history.
func TestEveryWorkingTownshipOfTheFleetIsFound(t *testing.T) {
	for _, tt := range []struct {
		name   string
		influx func(*testing.T) string
	}{
		{"history in a file", func(*testing.T) string { return "" }},
		{"history in InfluxDB", func(t *testing.T) string { url, _ := testprog.Influx(t); return url }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var fleet *simulator.Fleet
			f := startPlatform(t, setup{influx: tt.influx(t), load: loadFleet(&fleet)})
			playFleet(t, f, fleet)
			f.until("nominal coverage is the plan's", func() error {
				if c := f.coverage("37"); c.Total != 1129 || c.Nominal != 544 {
					return fmt.Errorf("total %d, nominal %d, want 1129 and 544", c.Total, c.Nominal)
				}
				return nil
			})
			want := fleet.WorkingTownships()
			if err := eventually(t.Context(), 120*time.Second, func() error {
				if diff := cmp.Diff(want, f.effective()); diff != "" {
					return fmt.Errorf("working townships (-simulator +platform):\n%s", diff)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			addsUp(t, f, "37")
			pile := workingPile(fleet)
			f.until("a pile's history can be read", func() error {
				var h struct {
					Rows []json.RawMessage `json:"rows"`
				}
				if err := f.get("/api/v1/piles/"+url.PathEscape(pile.String())+"/history", &h); err != nil {
					return err
				}
				if len(h.Rows) == 0 {
					return errors.New("no rows")
				}
				return nil
			})
		})
	}
}

// playFleet lets the fleet report until the test ends.
func playFleet(t *testing.T, f *platform, fleet *simulator.Fleet) {
	t.Helper()
	cfg := simulator.Defaults()
	cfg.Piles, cfg.Broker, cfg.Connections = len(fleet.Piles), "tcp://"+f.mqtt, 50
	s := simulator.New(cfg, fleet, func(op charge.OperatorID) (string, string) { return string(op), f.tokens[op] },
		slog.New(slog.NewTextHandler(t.Output(), nil)), newMetrics())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("simulator ended with: %v", err)
		}
	})
}

func workingPile(fleet *simulator.Fleet) charge.PileID {
	for i := range fleet.Piles {
		if fleet.Piles[i].Condition == simulator.Working {
			return fleet.ID(i)
		}
	}
	return charge.PileID{}
}

// effective lists the townships and streets that are effective, sorted.
func (f *platform) effective() []charge.DivisionCode {
	f.t.Helper()
	var codes []charge.DivisionCode
	for cursor := ""; ; {
		var page struct {
			Townships []struct {
				Division charge.DivisionCode `json:"division"`
			} `json:"townships"`
			Next string `json:"next"`
		}
		if err := f.get("/api/v1/townships?division=37&tier=all&state=effective&limit=1000&cursor="+url.QueryEscape(cursor), &page); err != nil {
			f.t.Fatal(err)
		}
		for _, row := range page.Townships {
			codes = append(codes, row.Division)
		}
		if cursor = page.Next; cursor == "" {
			slices.Sort(codes)
			return codes
		}
	}
}

// addsUp tells whether a division and all below it are exactly the sum of their children.
func addsUp(t *testing.T, f *platform, code string) {
	t.Helper()
	c := f.coverage(code)
	sum := figures{Division: c.Division, Children: c.Children}
	for _, child := range c.Children {
		sum.Total += child.Total
		sum.Nominal += child.Nominal
		sum.Effective += child.Effective
		sum.Failing += child.Failing
		sum.None += child.None
	}
	if diff := cmp.Diff(c, sum); diff != "" {
		t.Errorf("coverage of %s against the sum of its children:\n%s", code, diff)
	}
	if len(code) == 2 && len(c.Children) != 16 {
		t.Errorf("coverage of %s: %d cities, want 16", code, len(c.Children))
	}
	if len(code) < 6 {
		for _, child := range c.Children {
			addsUp(t, f, string(child.Division))
		}
	}
}

// What strangers send is recorded with its reason, told back and acknowledged; what of it is good
// is stored, and the platform lives on.
func TestGarbageIsToldBackAndTheGoodIsStored(t *testing.T) {
	testprog.MosquittoClients(t) // else all its parts are left out, and what is expected of them is missing
	f := startPlatform(t, setup{})
	now := time.Now()
	const op = charge.OperatorID("MA3CLQP01")
	array := make([]string, 1000)
	for i := range array {
		array[i] = fmt.Sprintf(`{"connector":"1","time":%d,"seq":%d,"status":3,"power_kw":42.5}`, now.Add(time.Duration(i-1000)*time.Second).UnixMilli(), i+1)
	}
	array[10], array[500], array[999] = `{"connector":"1"}`, `7`, `{"connector":"1","time":"yesterday","status":3}`
	own, many := "evcs/v1/MA3CLQP01/P1/reject", "evcs/v1/MA3CLQP01/-/reject"
	for _, tt := range []struct {
		name, topic, payload string
		reasons              []string
		told                 string // the topic
	}{
		{"not JSON", "evcs/v1/MA3CLQP01/P1/status", "hello", []string{"bad_json"}, own},
		{"three bad of 1,000", "evcs/v1/MA3CLQP01/P1/telemetry", "[" + strings.Join(array, ",") + "]", []string{"bad_json", "bad_time"}, own},
		{"an unknown pile", "evcs/v1/MA3CLQP01/P9/status", status("1", now, 1), []string{"unknown_pile"}, "evcs/v1/MA3CLQP01/P9/reject"},
		{"another operator's pile", "evcs/v1/MA3CLQP02/P1/status", status("1", now, 1), []string{"not_yours"}, many},
		{"a time a day ahead", "evcs/v1/MA3CLQP01/P2/status", status("1", now.Add(24*time.Hour), 1), []string{"bad_time"}, "evcs/v1/MA3CLQP01/P2/reject"},
		{"2 MiB", "evcs/v1/MA3CLQP01/P1/alarm", strings.Repeat(" ", 2<<20), []string{"too_large"}, own},
		{"too few levels", "evcs/v1/MA3CLQP01", status("1", now, 1), []string{"bad_topic"}, many},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told := subscribe(t, f, op, "evcs/v1/MA3CLQP01/+/reject")
			before := make(map[string]float64)
			for _, reason := range tt.reasons {
				before[reason] = f.metric(fmt.Sprintf("gateway_rejects_total{reason=%q}", reason))
			}
			f.publish(t, op, tt.topic, tt.payload)
			for _, reason := range tt.reasons {
				f.until("counted as "+reason, func() error {
					if now := f.metric(fmt.Sprintf("gateway_rejects_total{reason=%q}", reason)); now <= before[reason] {
						return fmt.Errorf("counter stands at %g", now)
					}
					return nil
				})
				f.until("shown as "+reason, func() error {
					var shown struct {
						Rejects []struct{ Reason string } `json:"rejects"`
					}
					if err := f.get("/api/v1/rejects?operator=MA3CLQP01", &shown); err != nil {
						return err
					}
					for _, r := range shown.Rejects {
						if r.Reason == reason { // by pile and reason one a minute; the rest is counted
							return nil
						}
					}
					return fmt.Errorf("not among %d rejects: %v", len(shown.Rejects), shown.Rejects)
				})
				told.until(t, tt.told, reason)
			}
		})
	}
	f.until("997 of the 1,000 are in history", func() error {
		rows, err := readRaw(t.Context(), f.http, f.token, charge.PileID{Operator: op, Equipment: "P1"}, now.Add(-time.Hour), now.Add(time.Hour))
		if err == nil && len(rows) != 997 {
			err = fmt.Errorf("%d readings", len(rows))
		}
		return err
	})
	if err := f.get("/readyz", nil); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// A raw reading as /history gives it.
type rawReading struct {
	Connector charge.ConnectorID `json:"connector"`
	At        time.Time          `json:"at"`
	Kind      string             `json:"kind"`
}

func readRaw(ctx context.Context, http, token string, pile charge.PileID, from, to time.Time) ([]rawReading, error) {
	var h struct {
		Rows []rawReading `json:"rows"`
	}
	query := url.Values{"from": {from.UTC().Format(time.RFC3339)}, "to": {to.UTC().Format(time.RFC3339)}, "step": {"raw"}}
	err := getJSON(ctx, "http://"+http+"/api/v1/piles/"+url.PathEscape(pile.String())+"/history?"+query.Encode(), token, &h)
	return h.Rows, err
}

// A program is pilewatch in a process of its own, which a test may kill.
type program struct {
	t          testing.TB
	args       []string
	dir        string
	http, mqtt string
	token      string
	process    *exec.Cmd
	output     strings.Builder
}

func (p *program) start() {
	p.t.Helper()
	p.process = exec.Command(os.Args[0], p.args...)
	p.process.Env = append(os.Environ(), runAsProgram+"=1")
	p.output.Reset()
	p.process.Stdout, p.process.Stderr = &p.output, &p.output
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) ready(within time.Duration) {
	p.t.Helper()
	if err := eventually(p.t.Context(), within, func() error {
		if p.token == "" {
			token, err := os.ReadFile(filepath.Join(p.dir, "dashboard.token"))
			if err != nil {
				return err
			}
			p.token = strings.TrimSpace(string(token))
		}
		return getJSON(p.t.Context(), "http://"+p.http+"/readyz", p.token, nil)
	}); err != nil {
		p.t.Fatalf("not ready within %s: %v", within, err)
	}
}

// kill ends it as a power cut of the process does, and waits for its end.
func (p *program) kill() {
	_ = p.process.Process.Kill()
	_ = p.process.Wait()
}

// stop ends it as Ctrl-C does, and expects it to end cleanly.
func (p *program) stop() {
	p.t.Helper()
	_ = p.process.Process.Signal(os.Interrupt)
	done := make(chan error, 1)
	go func() { done <- p.process.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			p.t.Errorf("ended with %v:\n%s", err, p.output.String())
		}
	case <-time.After(patience):
		p.t.Errorf("does not stop within %s", patience)
		p.kill()
	}
}

// What was acknowledged is in history once, whenever the process is killed; coverage is as before as
// soon as the process is ready again.
func TestAKillLosesNothingAcknowledged(t *testing.T) {
	if testing.Short() {
		t.Skip("left out under -short: some 20 s")
	}
	p := &program{t: t, dir: t.TempDir(), http: freeAddr(t), mqtt: freeAddr(t)}
	p.args = []string{"serve", "--data", p.dir, "--http", p.http, "--mqtt", p.mqtt, "--public", "--request-rate", "100000"}
	fleet, tokens := registerFleet(t, p.dir, simulator.MinPiles)
	p.start()
	t.Cleanup(p.kill)
	p.ready(patience)

	var connectors []charge.ConnectorKey
	for i := range 500 {
		connectors = append(connectors, charge.ConnectorKey{Pile: fleet.ID(i), Connector: "1"})
	}
	begun := time.Now()
	load := &simulator.Load{
		Broker: "tcp://" + p.mqtt, Connectors: connectors, Connections: 10, InFlight: 100, Rate: 5000,
		Credentials: func(op charge.OperatorID) (string, string) { return string(op), tokens[op] },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- load.Run(ctx) }()
	// What a killed process must show again: every town of the piles that report is effective.
	whole := readUntil(t, p, effectiveTowns(fleet, 500))
	acked := load.AckedCount()
	for kills := range 4 {
		acked += 6000
		if err := eventually(t.Context(), 60*time.Second, func() error {
			if n := load.AckedCount(); n < acked {
				return fmt.Errorf("%d acknowledged of %d", n, acked)
			}
			return nil
		}); err != nil {
			t.Fatalf("after %d kills: %v\n%s", kills, err, p.output.String())
		}
		acked = load.AckedCount()
		if kills == 3 {
			break
		}
		p.kill()
		p.start()
		p.ready(patience)
		if diff := cmp.Diff(whole, readFigures(t, p)); diff != "" {
			t.Errorf("coverage once ready after restart %d (-before +after):\n%s", kills+1, diff)
		}
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
	if err := eventually(t.Context(), 30*time.Second, func() error { return allStored(t.Context(), p, want, begun) }); err != nil {
		t.Errorf("acknowledged readings in history: %v", err)
	}
	p.stop()
}

// effectiveTowns counts the towns with a public pile among the first n.
func effectiveTowns(fleet *simulator.Fleet, n int) int {
	towns := make(map[charge.DivisionCode]bool)
	for i := range n {
		if s := &fleet.Stations[fleet.Piles[i].Station]; s.Kind == charge.Public && fleet.Counted(s.Township) {
			towns[s.Township] = true
		}
	}
	return len(towns)
}

// readUntil waits until so many towns are effective, of all that the plan covers.
func readUntil(t *testing.T, p *program, effective int) (c figures) {
	t.Helper()
	if err := eventually(t.Context(), 2*patience, func() error {
		if c = readFigures(t, p); c.Nominal != 544 || c.Effective != effective {
			return fmt.Errorf("nominal %d, effective %d, want 544 and %d", c.Nominal, c.Effective, effective)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

func readFigures(t *testing.T, p *program) figures {
	t.Helper()
	var c figures
	if err := getJSON(t.Context(), "http://"+p.http+"/api/v1/coverage?division=37", p.token, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// allStored compares history with what was acknowledged: all of it, and each once. A reading that
// was stored and whose acknowledgement the kill cut off may be there too.
func allStored(ctx context.Context, p *program, want map[charge.PileID]map[int64]bool, begun time.Time) error {
	for pile, times := range want {
		rows, err := readRaw(ctx, p.http, p.token, pile, begun.Add(-time.Minute), time.Now().Add(time.Hour))
		if err != nil {
			return err
		}
		got := make(map[int64]int)
		for _, row := range rows {
			if got[row.At.UnixMilli()]++; got[row.At.UnixMilli()] > 1 {
				return fmt.Errorf("pile %s: reading of %s is stored twice", pile, row.At)
			}
		}
		missing := 0
		for at := range maps.Keys(times) {
			if got[at] == 0 {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("pile %s: %d of %d acknowledged readings are missing", pile, missing, len(times))
		}
	}
	return nil
}

// registerFleet makes the registry of a fleet in dir before the program runs.
func registerFleet(t testing.TB, dir string, piles int) (*simulator.Fleet, map[charge.OperatorID]string) {
	t.Helper()
	r, d := openRegistry(t, dir)
	fleet, note, err := ensureFleet(t.Context(), dir, r, d, piles, 1, simulator.NoStory)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return fleet, note.Tokens
}

func openRegistry(t testing.TB, dir string) (*registry.Registry, *registry.Directory) {
	t.Helper()
	r, err := registry.Open(t.Context(), filepath.Join(dir, "registry.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Directory(t.Context())
	if err != nil {
		t.Fatal(errors.Join(err, r.Close()))
	}
	return r, d
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Mistakes at the start are one line that names the flag.
func TestATakenAddressNamesItsFlag(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct{ name, flag string }{{"the page's", "--http"}, {"the door's", "--mqtt"}} {
		t.Run(tt.name, func(t *testing.T) {
			args := map[string]string{"--http": "127.0.0.1:0", "--mqtt": "127.0.0.1:0", "--data": t.TempDir()}
			args[tt.flag] = taken.Addr().String()
			line := []string{"serve"}
			for flag, value := range args {
				line = append(line, flag, value)
			}
			err := run(line)
			if err == nil || !strings.Contains(err.Error(), tt.flag) || strings.Contains(err.Error(), "\n") {
				t.Errorf("run %v: got %v, want one line that names %s", line, err, tt.flag)
			}
		})
	}
}
