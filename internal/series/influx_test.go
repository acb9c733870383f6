package series

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/testprog"
)

// An answer is what a recorded InfluxDB says to one request.
type answer struct {
	method, path string
	token        string // wanted in the request; "" does not look
	status       int
	header       http.Header
	body         string
}

// A script is an InfluxDB that gives its answers in their order.
type script struct {
	t       testing.TB
	mu      sync.Mutex
	answers []answer
	bodies  []string // of the requests
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	s.bodies = append(s.bodies, string(body))
	if len(s.answers) == 0 {
		s.t.Errorf("request beyond the script: %s %s", r.Method, r.URL)
		http.Error(w, "end of script", http.StatusTeapot)
		return
	}
	a := s.answers[0]
	s.answers = s.answers[1:]
	if r.Method != a.method || r.URL.Path != a.path {
		s.t.Errorf("request: got %s %s, want %s %s", r.Method, r.URL.Path, a.method, a.path)
	}
	if got := r.Header.Get("Authorization"); a.token != "" && got != a.token {
		s.t.Errorf("%s %s: got Authorization %q, want %q", r.Method, r.URL.Path, got, a.token)
	}
	maps.Copy(w.Header(), a.header)
	if strings.HasPrefix(a.body, "{") {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// play makes a client of InfluxDB 2.x that answers by the script.
func play(t testing.TB, answers ...answer) (*Influx, *script, string) {
	t.Helper()
	s := &script{t: t, answers: answers}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "token")
	writeToken(t, file, "first\n")
	x, err := NewInflux(InfluxConfig{URL: server.URL + "/", TokenFile: file, Org: "bureau", Bucket: "evcs"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if len(s.answers) != 0 {
			t.Errorf("requests: %d answers of the script are left, the next for %s %s", len(s.answers), s.answers[0].method, s.answers[0].path)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x, s, file
}

func writeToken(t testing.TB, file, token string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	unauthorized = `{"code":"unauthorized","message":"unauthorized access"}`
	writePath    = "/api/v2/write"
	queryPath    = "/api/v2/query"
)

func TestTokenIsReadAgainAfterA401(t *testing.T) {
	x, s, file := play(t,
		answer{method: "POST", path: writePath, token: "Token first", status: 204},
		answer{method: "POST", path: writePath, token: "Token first", status: 401, body: unauthorized},
		answer{method: "POST", path: writePath, token: "Token second", status: 204},
		answer{method: "POST", path: queryPath, token: "Token second", status: 401, body: unauthorized},
		answer{method: "POST", path: queryPath, token: "Token third", status: 200},
		// The file holds the token that was refused: no second attempt.
		answer{method: "POST", path: writePath, token: "Token third", status: 401, body: unauthorized},
	)
	batch := []charge.Reading{reading("P1", 0, 1, 60.5)}
	write := func() error { return x.Write(t.Context(), batch) }
	if err := write(); err != nil {
		t.Fatal(err)
	}
	writeToken(t, file, "second")
	if err := write(); err != nil {
		t.Errorf("Write after the token has changed: %v", err)
	}
	writeToken(t, file, " third\r\n")
	if rows, err := x.History(t.Context(), Query{Pile: batch[0].Pile, From: today, To: today.Add(time.Hour)}); err != nil || len(rows) != 0 {
		t.Errorf("History after the token has changed: got %d rows, %v", len(rows), err)
	}
	err := write()
	var rejected *RejectedError
	var retry *RetryError
	if err == nil || errors.As(err, &rejected) || errors.As(err, &retry) || !strings.Contains(err.Error(), "unauthorized") {
		t.Errorf("Write with a token that is refused: got %v, want it said, and the batch kept", err)
	}
	want := fmt.Sprintf("connector,connector=1,kind=telemetry,operator=MA3TEST01,pile=P1 status=3i,power_kw=60.5,seq=1i %d\n", today.UnixMilli())
	if s.bodies[0] != want {
		t.Errorf("line: got %q, want %q", s.bodies[0], want)
	}
}

func TestTokenFileThatIsGone(t *testing.T) {
	if _, err := NewInflux(InfluxConfig{URL: "http://127.0.0.1:1", TokenFile: filepath.Join(t.TempDir(), "none"), Bucket: "b"}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("NewInflux without its token file: got no error")
	}
	x, _, file := play(t, answer{method: "POST", path: writePath, status: 401, body: unauthorized})
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := x.Write(t.Context(), []charge.Reading{reading("P1", 0, 1, 1)}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Write: got %v, want it to name the missing file", err)
	}
}

// What InfluxDB answers decides what becomes of the batch.
func TestWriteAnswers(t *testing.T) {
	batch := []charge.Reading{reading("P1", 0, 1, 1), reading("P2", 0, 1, 2), reading("P3", 0, 1, 3), reading("P4", 0, 1, 4)}
	post := func(status int, body string, header ...string) answer {
		a := answer{method: "POST", path: writePath, status: status, body: body, header: http.Header{}}
		for i := 0; i < len(header); i += 2 {
			a.header.Set(header[i], header[i+1])
		}
		return a
	}
	const conflict = `{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: input field \"power_kw\" on measurement \"connector\" is type float, already exists as type integer dropped=2"}`
	const bad = `{"code":"invalid","message":"unable to parse 'x': bad timestamp"}`
	const unread = `{"code":"invalid","message":"partial write: unable to parse 'a b': bad\nand 'c d': bad dropped=0"}`
	tests := []struct {
		name     string
		answers  []answer
		rejected *RejectedError
		retry    *time.Duration
		other    string
	}{
		{"taken", []answer{post(204, "")}, nil, nil, ""},
		{"too many requests, with a time", []answer{post(429, `{"code":"too many requests","message":"slow down"}`, "Retry-After", "7")}, nil, after(7 * time.Second), ""},
		{"unavailable, with a time", []answer{post(503, `{"code":"unavailable","message":"compacting"}`, "Retry-After", "30")}, nil, after(30 * time.Second), ""},
		{"unavailable, without one", []answer{post(503, "")}, nil, after(0), ""},
		{"unavailable until a date", []answer{post(503, "", "Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT")}, nil, after(0), ""},
		{"an error of its own", []answer{post(500, `{"code":"internal error","message":"disk full"}`)}, nil, nil, "disk full"},
		{"a proxy without its server", []answer{post(502, "<html>bad gateway</html>")}, nil, nil, "502"},
		{"not allowed", []answer{post(403, `{"code":"forbidden","message":"insufficient permissions"}`)}, nil, nil, "insufficient permissions"},
		{
			"part of it, found by halves, though the rest is stored",
			[]answer{post(422, conflict), post(422, conflict), post(204, "")},
			&RejectedError{Points: []int{0, 1}, Reasons: []string{"partial write", "partial write"}, Dropped: 2}, nil, "",
		},
		{
			"lines that could not be read, of which 1.8 counts none",
			[]answer{post(400, unread), post(204, ""), post(400, unread), post(400, unread), post(204, "")},
			&RejectedError{Points: []int{2}, Reasons: []string{"unable to parse"}, Dropped: 1}, nil, "",
		},
		{
			"one bad line is found by halves",
			[]answer{post(400, bad), post(204, ""), post(400, bad), post(400, bad), post(204, "")},
			&RejectedError{Points: []int{2}, Reasons: []string{"bad timestamp"}, Dropped: 1}, nil, "",
		},
		{"too large is sent in halves", []answer{post(413, ""), post(204, ""), post(204, "")}, nil, nil, ""},
		{"busy between two halves", []answer{post(400, bad), post(204, ""), post(503, "", "Retry-After", "3")}, nil, after(3 * time.Second), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x, _, _ := play(t, tt.answers...)
			err := x.Write(t.Context(), batch)
			var rejected *RejectedError
			var retry *RetryError
			switch {
			case tt.rejected != nil:
				if !errors.As(err, &rejected) {
					t.Fatalf("Write: got %v, want %+v", err, tt.rejected)
				}
				if diff := cmp.Diff(tt.rejected.Points, rejected.Points); diff != "" || rejected.Dropped != tt.rejected.Dropped ||
					len(rejected.Reasons) != len(tt.rejected.Reasons) || !strings.Contains(rejected.Reasons[0], tt.rejected.Reasons[0]) {
					t.Errorf("Write: got %+v, want %+v", rejected, tt.rejected)
				}
			case tt.retry != nil:
				if !errors.As(err, &retry) || retry.After != *tt.retry || errors.As(err, &rejected) {
					t.Errorf("Write: got %v, want a RetryError after %s", err, *tt.retry)
				}
			case tt.other != "":
				if err == nil || errors.As(err, &rejected) || errors.As(err, &retry) || !strings.Contains(err.Error(), tt.other) {
					t.Errorf("Write: got %v, want an error with %q", err, tt.other)
				}
			default:
				if err != nil {
					t.Errorf("Write: got %v, want none", err)
				}
			}
		})
	}
}

func after(d time.Duration) *time.Duration { return new(d) }

// A 2.x without the bucket is given one, and the batch is sent again.
func TestMissingBucketIsMade(t *testing.T) {
	x, s, _ := play(t,
		answer{method: "POST", path: writePath, status: 404, body: `{"code":"not found","message":"bucket \"evcs\" not found"}`},
		answer{method: "GET", path: "/ping", status: 204, header: http.Header{"X-Influxdb-Version": {"v2.7.12"}}},
		answer{method: "GET", path: "/api/v2/buckets", status: 200, body: `{"buckets":[]}`},
		answer{method: "GET", path: "/api/v2/orgs", status: 200, body: `{"orgs":[{"id":"0123456789abcdef","name":"bureau"}]}`},
		answer{method: "POST", path: "/api/v2/buckets", status: 201, body: `{}`},
		answer{method: "GET", path: "/api/v2/buckets", status: 200, body: `{"buckets":[{"name":"evcs/long","retentionRules":[{"type":"expire","everySeconds":94867200}]}]}`},
		answer{method: "POST", path: writePath, status: 204},
	)
	if err := x.Write(t.Context(), []charge.Reading{reading("P1", 0, 1, 1)}); err != nil {
		t.Fatal(err)
	}
	var made struct {
		OrgID          string
		Name           string
		RetentionRules []struct{ EverySeconds int }
	}
	if err := json.Unmarshal([]byte(s.bodies[4]), &made); err != nil {
		t.Fatal(err)
	}
	if made.OrgID != "0123456789abcdef" || made.Name != "evcs" || len(made.RetentionRules) != 1 || made.RetentionRules[0].EverySeconds != int(Keep.Seconds()) {
		t.Errorf("bucket made: got %+v, want evcs of bureau, kept for %s", made, Keep)
	}
}

func TestSetupLeavesABucketAsItIs(t *testing.T) {
	x, _, _ := play(t,
		answer{method: "GET", path: "/ping", status: 204, header: http.Header{"X-Influxdb-Version": {"v2.7.12"}}},
		answer{method: "GET", path: "/api/v2/buckets", status: 200, body: `{"buckets":[{"name":"evcs"}]}`},
		answer{method: "GET", path: "/api/v2/buckets", status: 200, body: `{"buckets":[{"name":"evcs/long"}]}`},
	)
	if err := x.Setup(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCheckSaysHowLongIsKept(t *testing.T) {
	buckets := func(name, rules string) answer {
		return answer{method: "GET", path: "/api/v2/buckets", status: 200, body: `{"buckets":[{"name":"` + name + `","retentionRules":[` + rules + `]}]}`}
	}
	days := func(n int) string { return fmt.Sprintf(`{"type":"expire","everySeconds":%d}`, n*86400) }
	for _, tt := range []struct {
		name      string
		raw, long string
		said, err string
	}{
		{"as set up", days(30), days(1098), "evcs keeps 30 days, evcs/long keeps 1098 days", ""},
		{"for ever", "", days(2000), "evcs keeps for ever, evcs/long keeps 2000 days", ""},
		{"readings for a week", days(7), days(1098), "evcs keeps 7 days", "bucket evcs keeps what it holds for 7 days only, want 30 days or more"},
	} {
		x, _, _ := play(t,
			answer{method: "GET", path: "/ping", status: 204, header: http.Header{"X-Influxdb-Version": {"v2.7.12"}}},
			buckets("evcs", tt.raw), buckets("evcs/long", tt.long))
		said, err := x.Check(t.Context())
		if !strings.HasPrefix(said, tt.said) || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("Check, %s: got %q, %v, want %q, %q", tt.name, said, err, tt.said, tt.err)
		}
	}
}

// The whole suite against a 2.x that somebody runs: URL, with token and organisation in
// PILEWATCH_TEST_INFLUX2_TOKEN_FILE and PILEWATCH_TEST_INFLUX2_ORG.
func TestInflux2(t *testing.T) {
	base := os.Getenv("PILEWATCH_TEST_INFLUX2_URL")
	if base == "" {
		t.Skip("PILEWATCH_TEST_INFLUX2_URL names no InfluxDB 2.x")
	}
	x, err := NewInflux(InfluxConfig{
		URL: base, TokenFile: os.Getenv("PILEWATCH_TEST_INFLUX2_TOKEN_FILE"), Org: os.Getenv("PILEWATCH_TEST_INFLUX2_ORG"),
		Bucket: fmt.Sprintf("pilewatch-test-%d/raw", time.Now().UnixMilli()),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	if _, err := x.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	suite(t, x)
}

func TestTooOldAnInfluxIsNamed(t *testing.T) {
	for version, ok := range map[string]bool{"1.7.11": false, "0.9.6": false, "1.8.10": true, "v2.7.12": true} {
		x, _, _ := play(t, answer{method: "GET", path: "/ping", status: 204, header: http.Header{"X-Influxdb-Version": {version}}})
		if err := x.Ping(t.Context()); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), version) {
			t.Errorf("Ping of %s: got %v, want ok %v", version, err, ok)
		}
	}
}

// A batch that InfluxDB takes in part: the good rows are stored, and how many are not is told.
func influxStoresTheRestOfABatch(t *testing.T, base string) {
	x := influxAt(t, base, "partly/raw")
	line := fmt.Sprintf("connector,connector=1,kind=telemetry,operator=MA3TEST01,pile=typed power_kw=1i %d", today.UnixMilli())
	res, err := http.Post(base+"/write?precision=ms&db=partly&rp=raw", "text/plain", strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusNoContent {
		t.Fatalf("make power_kw a whole number: %s, %v", res.Status, err)
	}
	conflict := reading("P1", 0, 1, 60.5)
	var good []charge.Reading
	for i := range 5 {
		r := statusReading("P1", time.Duration(i)*time.Minute, charge.Idle)
		good = append(good, r)
	}
	forgotten := statusReading("P1", -2*Keep, charge.Idle) // beyond the retention
	for _, tt := range []struct {
		name   string
		batch  []charge.Reading
		points []int
	}{
		{"a field of another type", append([]charge.Reading{conflict}, good...), []int{0}},
		{"older than all that is kept", append([]charge.Reading{forgotten}, good...), []int{0}},
		{"one alone", []charge.Reading{conflict}, []int{0}},
	} {
		err := x.Write(t.Context(), tt.batch)
		var rejected *RejectedError
		if !errors.As(err, &rejected) || rejected.Dropped != 1 || cmp.Diff(tt.points, rejected.Points) != "" {
			t.Errorf("%s: got %v, want a RejectedError of 1, points %v", tt.name, err, tt.points)
		}
		rows, err := x.History(t.Context(), Query{Pile: conflict.Pile, From: today, To: today.Add(time.Hour)})
		if diff := cmp.Diff(rowsOf(good...), rows); err != nil || diff != "" {
			t.Errorf("%s: the rest of the batch: %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

func influxSetupMakesDatabaseAndRetention(t *testing.T, base string) {
	policies := func(db string) map[string]string {
		t.Helper()
		res, err := http.Get(base + "/query?" + url.Values{"q": {`SHOW RETENTION POLICIES ON "` + db + `"`}}.Encode())
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var answer struct {
			Results []struct{ Series []struct{ Values [][]any } }
		}
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, r := range answer.Results {
			for _, s := range r.Series {
				for _, v := range s.Values {
					got[fmt.Sprint(v[0])] = fmt.Sprint(v[1])
				}
			}
		}
		return got
	}
	open := func(bucket string) *Influx {
		t.Helper()
		x, err := NewInflux(InfluxConfig{URL: base, Bucket: bucket}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, tt := range []struct {
		name   string
		bucket string
		db     string
		want   map[string]string
	}{
		{"database and retention were made", "evcs/raw", "evcs", map[string]string{"raw": "720h0m0s", "long": "26352h0m0s"}},
		{"a second retention in the same database", "evcs/copy", "evcs", map[string]string{"raw": "720h0m0s", "copy": "720h0m0s", "long": "26352h0m0s"}},
		{"a name with quotes", `od"d/r`, `od\"d`, map[string]string{"r": "720h0m0s", "long": "26352h0m0s"}},
		{"a database alone", "plain", "plain", map[string]string{"autogen": "720h0m0s", "long": "26352h0m0s"}},
	} {
		for range 2 { // the second changes nothing
			if err := open(tt.bucket).Setup(t.Context()); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			if diff := cmp.Diff(tt.want, policies(tt.db)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
		}
	}
	// A database that nobody has made is made by the first question, or the first write.
	if rows, err := open("asked/raw").History(t.Context(), Query{Pile: reading("P1", 0, 1, 1).Pile, From: today, To: today.Add(time.Hour)}); err != nil || len(rows) != 0 {
		t.Errorf("History without a database: got %d rows, %v, want none and no error", len(rows), err)
	}
	x := open("later/raw")
	if err := x.Write(t.Context(), []charge.Reading{reading("P1", 0, 1, 1)}); err != nil {
		t.Errorf("Write without a database: %v", err)
	}
	if rows, err := x.History(t.Context(), Query{Pile: reading("P1", 0, 1, 1).Pile, From: today, To: today.Add(time.Hour)}); err != nil || len(rows) != 1 {
		t.Errorf("History after it: got %d rows, %v, want 1", len(rows), err)
	}
}

// While InfluxDB hangs, a write ends with its context and may be sent again.
func TestWriteToAnInfluxThatHangs(t *testing.T) {
	hangs := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hangs }))
	defer server.Close()
	defer close(hangs)
	x, err := NewInflux(InfluxConfig{URL: server.URL, Bucket: "b"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = x.Write(ctx, []charge.Reading{reading("P1", 0, 1, 1)})
	var rejected *RejectedError
	if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &rejected) {
		t.Errorf("Write: got %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestSettingsThatNameNoInflux(t *testing.T) {
	for _, cfg := range []InfluxConfig{{}, {URL: "127.0.0.1:8086", Bucket: "b"}, {URL: "ftp://x", Bucket: "b"}, {URL: "http://", Bucket: "b"}, {URL: "http://x"}} {
		if x, err := NewInflux(cfg, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("NewInflux(%+v): got %v, want an error", cfg, x)
		}
	}
}

// Compressed or not, InfluxDB is told the same.
func TestGzipIsASetting(t *testing.T) {
	batch := []charge.Reading{reading("P1", 0, 1, 60.5), reading("P2", 0, 1, 7)}
	var told []string
	for _, packed := range []bool{false, true} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var body io.Reader = r.Body
			if got := r.Header.Get("Content-Encoding") == "gzip"; got != packed {
				t.Errorf("Content-Encoding %q, want gzip %v", r.Header.Get("Content-Encoding"), packed)
			} else if packed {
				var err error
				if body, err = gzip.NewReader(r.Body); err != nil {
					t.Error(err)
				}
			}
			text, _ := io.ReadAll(body)
			told = append(told, string(text))
			w.WriteHeader(http.StatusNoContent)
		}))
		x, err := NewInflux(InfluxConfig{URL: server.URL, Bucket: "b", Gzip: packed}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Write(t.Context(), batch); err != nil {
			t.Error(err)
		}
		_ = x.Close()
		server.Close()
	}
	if told[0] != told[1] || told[0] != Line(&batch[0])+"\n"+Line(&batch[1])+"\n" {
		t.Errorf("told: got %q and %q compressed, want the two lines", told[0], told[1])
	}
}

// Telemetry of an hour, sent twice by several writers in random order and with repeats, is there once.
// PILEWATCH_TEST_READINGS=1000000 sends that many from 10,000 connectors.
func TestInfluxHoldsEachDistinctReadingOnce(t *testing.T) {
	base, _ := testprog.Influx(t)
	x := influxAt(t, base, "evcs/raw")
	count := 50_000
	if text := os.Getenv("PILEWATCH_TEST_READINGS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // a test's chance
	var all []charge.Reading
	distinct := make(map[[2]int64]bool)
	sum := 0.0
	for len(all) < count {
		connector, ms := random.Int64N(int64(count/100)), random.Int64N(time.Hour.Milliseconds())
		r := reading(fmt.Sprintf("P%05d", connector/2), time.Duration(ms)*time.Millisecond, uint64(ms), float64((connector+ms)%120))
		r.Connector = charge.ConnectorID(fmt.Sprint(connector % 2))
		if key := [2]int64{connector, ms}; !distinct[key] {
			distinct[key] = true
			sum += r.PowerKW
		}
		all = append(all, r)
		if random.IntN(100) == 0 {
			all = append(all, r)
		}
	}
	begun := time.Now()
	for range 2 {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var g errgroup.Group
		g.SetLimit(4)
		for batch := range slices.Chunk(all, 5000) {
			g.Go(func() error { return x.Write(t.Context(), batch) })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(begun)
	got, gotSum := 0, 0.0
	for quarter := range 4 {
		from := today.Add(time.Duration(quarter) * 15 * time.Minute)
		if err := x.ask(t.Context(), fluxRange("evcs/raw", Measurement, from, from.Add(15*time.Minute))+`
 |> filter(fn: (r) => r._field == "power_kw") |> keep(columns: ["_value"])`, func(r *csvRow) error {
			v, err := r.number("_value")
			got, gotSum = got+1, gotSum+v
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if got != len(distinct) || gotSum != sum {
		t.Errorf("stored: got %d readings of %v kW together, want %d of %v", got, gotSum, len(distinct), sum)
	}
	t.Logf("%d readings twice in %s, %.0f a second; %d distinct", len(all), took, 2*float64(len(all))/took.Seconds(), len(distinct))
}

// InfluxDB whose disk is full refuses for now: nothing is taken for bad, and once it has room and was started anew all that
// was refused is stored.
func TestInfluxOutOfDiskRefusesAndLosesNothing(t *testing.T) {
	dir := testprog.SmallDisk(t)
	server := testprog.InfluxServerIn(t, dir)
	x := influxAt(t, "http://"+server.Addr, "evcs/raw")
	const readings = 2000
	batch := func(n int) []charge.Reading {
		all := make([]charge.Reading, readings)
		for i := range all {
			all[i] = reading(fmt.Sprintf("P%04d", i), time.Duration(n)*time.Second, uint64(n), float64(i)) //nolint:gosec // small numbers
		}
		return all
	}
	if err := x.Write(t.Context(), batch(0)); err != nil {
		t.Fatal(err)
	}
	filler := testprog.FillDisk(t, dir, 0)
	refused := -1
	for n := 1; n < 500; n++ {
		err := x.Write(t.Context(), batch(n))
		if err == nil {
			continue // what the last block had room for
		}
		if rejected, ok := errors.AsType[*RejectedError](err); ok {
			t.Fatalf("a full disk is taken for bad readings: %v", rejected)
		}
		if !strings.Contains(err.Error(), "no space left") {
			t.Errorf("the error is %q, want InfluxDB's own words", err)
		}
		refused = n
		break
	}
	if refused < 0 {
		t.Fatal("the full disk takes everything")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	server.Stop() // InfluxDB 1.8 keeps the first error of its log until it is started anew
	server.Start(t)
	if err := x.Write(t.Context(), batch(refused)); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	got := 0
	if err := x.ask(t.Context(), fluxRange("evcs/raw", Measurement, today, today.Add(time.Hour))+`
 |> filter(fn: (r) => r._field == "power_kw") |> keep(columns: ["_value"])`, func(*csvRow) error { got++; return nil }); err != nil {
		t.Fatal(err)
	}
	if want := (refused + 1) * readings; got != want {
		t.Errorf("stored: %d readings, want %d", got, want)
	}
}
