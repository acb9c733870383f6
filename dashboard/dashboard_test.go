package dashboard

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
)

// evil is in every text that a stranger can fill.
const evil = `<script>alert("1")</script>&'`

const (
	operatorsCSV = "operator,name\nMA3CLQP01,鲁充\nMA3CLQP02,\"<script>alert(\"\"1\"\")</script>&'\"\n"
	stationsCSV  = `operator,station,name,township,kind,address,lng,lat,crs,opened
MA3CLQP01,S1,古营集镇站,371721101,public,曹县古营集,115.54,34.82,wgs84,2023-05-01
MA3CLQP01,S2,曹城站,371721001,public,,,,,2022-01-01
MA3CLQP02,S1,"<script>alert(""1"")</script>&'",371721102,public,"<script>alert(""1"")</script>&'",,,,2022-01-01
MA3CLQP02,S2,小区,371721001,residential,,,,,2022-01-01
`
	pilesCSV = `operator,station,pile,connector,equipment_type,power_kw,opened
MA3CLQP01,S1,P1,1,1,120,2023-05-01
MA3CLQP01,S1,P1,2,1,120,2023-05-01
MA3CLQP01,S2,P2,1,2,7,2022-01-01
MA3CLQP02,S1,P1,1,2,7,2022-01-01
MA3CLQP02,S2,HOME,1,2,7,2022-01-01
`
)

var noon = time.Date(2025, 3, 9, 4, 0, 0, 0, time.UTC)

// A feed is CHANGES, REJECTS and live values in memory.
type feed struct {
	mu      sync.Mutex
	changes []journal.Change
	rejects []journal.Reject
	bridges []journal.Bridges
	more    chan struct{} // closed when there is more
	live    map[charge.PileID][]*watcher
	broken  error
	lost    chan error    // what ends FollowChanges
	slow    time.Duration // before FollowChanges brings its first
	passed  int           // changes that have been brought; -1 before FollowChanges
}

type watcher struct{ fn func(charge.LiveConnector) }

func newFeed() *feed {
	return &feed{more: make(chan struct{}), live: map[charge.PileID][]*watcher{}, lost: make(chan error), passed: -1}
}

func (f *feed) Ping(context.Context) error { return f.broken }

func (f *feed) LastChange(context.Context) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return uint64(len(f.changes)), f.broken
}

func (f *feed) FollowChanges(ctx context.Context, from uint64, fn func(uint64, journal.Change) error) error {
	if f.slow > 0 && !wait(ctx, f.slow) {
		return nil
	}
	for {
		f.mu.Lock()
		fresh, more := slices.Clone(f.changes[min(int(from)-1, len(f.changes)):]), f.more
		f.mu.Unlock()
		for _, c := range fresh {
			if err := fn(from, c); err != nil {
				return err
			}
			from++
		}
		f.mu.Lock()
		f.passed = int(from) - 1
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case err := <-f.lost:
			return err
		case <-more:
		}
	}
}

func (f *feed) FollowRejects(ctx context.Context, _ int, fn func(journal.Reject)) error {
	f.mu.Lock()
	for _, r := range f.rejects {
		fn(r)
	}
	f.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (f *feed) FollowBridges(ctx context.Context, fn func(journal.Bridges)) error {
	f.mu.Lock()
	for _, b := range f.bridges {
		fn(b)
	}
	f.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (f *feed) WatchLive(_ context.Context, pile charge.PileID, fn func(charge.LiveConnector)) (func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &watcher{fn}
	f.live[pile] = append(f.live[pile], w)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.live[pile] = slices.DeleteFunc(slices.Clone(f.live[pile]), func(other *watcher) bool { return other == w })
	}, nil
}

// watched tells whether somebody watches a pile, and passes values to them.
func (f *feed) watched(pile charge.PileID, values ...charge.LiveConnector) bool {
	f.mu.Lock()
	watchers := f.live[pile]
	f.mu.Unlock()
	for _, w := range watchers {
		for _, v := range values {
			w.fn(v)
		}
	}
	return len(watchers) > 0
}

// publish appends a change and tells its sequence.
func (f *feed) publish(c journal.Change) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, c)
	close(f.more)
	f.more = make(chan struct{})
	return uint64(len(f.changes))
}

// page is a page small enough to read here.
var page = fstest.MapFS{
	"index.html": {Data: []byte("<!doctype html><title>pilewatch</title>")},
	"app.js":     {Data: []byte(strings.Repeat("export const a = 1;\n", 200))},
	"web.go":     {Data: []byte("package web")},
}

// A site is a dashboard on a test server, with a real registry and history.
type site struct {
	dir    string
	caseID string
	*Dashboard
	url      string
	feed     *feed
	registry *registry.Registry
	history  *series.Embedded
	metrics  *prometheus.Registry
}

// openSite starts a dashboard; before, when not nil, is called before it starts.
func openSite(t *testing.T, cfg Config, before func(*site)) *site {
	t.Helper()
	return openSiteOf(t, page, cfg, before)
}

// openSiteOf is openSite with another page.
func openSiteOf(t *testing.T, files fs.FS, cfg Config, before func(*site)) *site {
	t.Helper()
	if cfg.SessionFor == 0 {
		cfg.SessionFor = time.Hour
	}
	ctx, log, dir := t.Context(), slog.New(slog.DiscardHandler), t.TempDir()
	s := &site{dir: dir, feed: newFeed(), metrics: prometheus.NewRegistry()}
	var err error
	if s.registry, err = registry.Open(ctx, filepath.Join(dir, "registry.db"), log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, s.registry.Close()) })
	for _, file := range []struct {
		table registry.Table
		text  string
	}{{registry.Operators, operatorsCSV}, {registry.Stations, stationsCSV}, {registry.Piles, pilesCSV}} {
		if _, err := s.registry.Import(ctx, file.table, strings.NewReader(file.text)); err != nil {
			t.Fatal(err)
		}
	}
	directory, err := s.registry.Directory(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s.history, err = series.OpenEmbedded(ctx, filepath.Join(dir, "history.db"), log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, s.history.Close()) })
	if before != nil {
		before(s)
	}
	s.Dashboard, err = newDashboard(&cfg, dir, files, Sources{directory, s.registry, s.feed, s.history}, log, s.metrics)
	if err != nil {
		t.Fatal(err)
	}
	s.signInPace.limit = rate.Inf // tests sign in often
	server := httptest.NewServer(s.Handler())
	s.url = server.URL
	ctx, stop := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	s.start(ctx, g)
	t.Cleanup(func() {
		stop()
		s.hub.close()
		noError(t, g.Wait())
		server.Close()
	})
	eventually(t, "coverage is loaded and the past is read", func() bool {
		s.feed.mu.Lock()
		defer s.feed.mu.Unlock()
		return s.Ready(ctx) == nil && s.feed.passed == len(s.feed.changes)
	})
	return s
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// patience is how long a test waits for what takes a moment on a machine at rest.
const patience = 30 * time.Second

// eventually asks until it holds, no longer than patience.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ask := time.NewTicker(2 * time.Millisecond)
	defer ask.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-ask.C:
		case <-deadline:
			t.Fatalf("after %s it does not hold that %s", patience, what)
		}
	}
}

// An answer is what a request got.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%s: %v in %s", a.Request.URL, err, a.body)
	}
}

// ask sends a request, signed in or not, and checks the answer against openapi.yaml.
func (s *site) ask(t *testing.T, method, path, body string, signedIn bool) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if signedIn {
		req.Header.Set("Authorization", "Bearer "+s.token.token)
	}
	return s.send(t, req)
}

func (s *site) send(t *testing.T, req *http.Request) answer {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err := errorsJoin(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(req.URL.Path, "/api/v1/") {
		checkAnswer(t, req, res, text)
	}
	return answer{res, text}
}

func errorsJoin(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// get reads a path that must answer 200.
func (s *site) get(t *testing.T, path string, into any) {
	t.Helper()
	a := s.ask(t, http.MethodGet, path, "", false)
	if a.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %s", path, a.Status, a.body)
	}
	a.into(t, into)
}

// document is openapi.yaml, checked by itself.
var document = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc)
})

// checkAnswer compares an answer with what openapi.yaml promises.
func checkAnswer(t *testing.T, req *http.Request, res *http.Response, text []byte) {
	t.Helper()
	router, err := document()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	path := *req
	u := *req.URL
	u.Scheme, u.Host = "", ""
	path.URL = &u
	route, params, err := router.FindRoute(&path)
	if err != nil {
		if res.StatusCode == http.StatusOK {
			t.Errorf("openapi.yaml lacks %s %s: %v", req.Method, req.URL.Path, err)
		}
		return
	}
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 res.StatusCode, Header: res.Header, Body: io.NopCloser(strings.NewReader(string(text))),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		t.Errorf("%s %s answers otherwise than openapi.yaml says: %v", req.Method, req.URL, err)
	}
}
