package series

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api"
	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"

	"pilewatch/internal/charge"
)

// Measurement holds the readings of connectors; its tags are connector, kind, operator and pile.
const Measurement = "connector"

const (
	influxWriteTimeout = 30 * time.Second
	influxQueryTimeout = 30 * time.Second
	influxConnections  = 16
	maxErrorBytes      = 4096
)

// An InfluxConfig says where the history lies.
type InfluxConfig struct {
	URL       string // like http://127.0.0.1:8086
	TokenFile string // 2.x: a token; 1.8: "user:password"; "" where InfluxDB asks for none. Read again after a 401.
	Org       string // 2.x only
	Bucket    string // 2.x: a bucket; 1.8: "database/retention policy"
	Gzip      bool   // for a narrow way there: it costs the writer 7 µs of CPU a reading
}

// Influx is the history in InfluxDB 2.x, or 1.8 and later. It is safe for concurrent use: several
// writes may be under way at once.
type Influx struct {
	cfg    InfluxConfig
	log    *slog.Logger
	token  *fileToken
	http   *http.Client
	client influxdb2.Client
	writer api.WriteAPIBlocking
	long   api.WriteAPIBlocking // to longBucket
	reader api.QueryAPI
	buffer sync.Pool // of *[]byte, for lines
}

// NewInflux checks the settings and reads the token; it does not call InfluxDB (Setup and Ping do).
func NewInflux(cfg InfluxConfig, log *slog.Logger) (*Influx, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("use InfluxDB at %q: want a URL like http://127.0.0.1:8086", cfg.URL)
	}
	if cfg.Bucket == "" {
		return nil, errors.New("use InfluxDB: no bucket named")
	}
	token := &fileToken{path: cfg.TokenFile}
	if err := token.reload(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // so says net/http
	transport.MaxIdleConnsPerHost = influxConnections
	httpClient := &http.Client{Transport: authorizer{token, transport}}
	// The library's own log is silenced: every failure comes back as an error.
	client := influxdb2.NewClientWithOptions(strings.TrimSuffix(cfg.URL, "/"), "", influxdb2.DefaultOptions().
		SetHTTPClient(httpClient).SetPrecision(time.Millisecond).SetUseGZip(cfg.Gzip).SetLogLevel(0).SetApplicationName("pilewatch"))
	return &Influx{
		cfg: cfg, log: log, token: token, http: httpClient, client: client,
		writer: client.WriteAPIBlocking(cfg.Org, cfg.Bucket), reader: client.QueryAPI(cfg.Org),
		long: client.WriteAPIBlocking(cfg.Org, longBucket(cfg.Bucket)),
	}, nil
}

// fileToken is a secret that may be changed under a running program.
type fileToken struct {
	path  string
	value atomic.Pointer[string]
}

func (t *fileToken) reload() error {
	text := []byte{}
	if t.path != "" {
		var err error
		if text, err = os.ReadFile(t.path); err != nil {
			return fmt.Errorf("read InfluxDB token: %w", err)
		}
	}
	s := strings.TrimSpace(string(text))
	t.value.Store(&s)
	return nil
}

// authorizer puts the token of the moment on each request.
type authorizer struct {
	token *fileToken
	next  http.RoundTripper
}

func (a authorizer) RoundTrip(req *http.Request) (*http.Response, error) {
	if token := *a.token.value.Load(); token != "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Token "+token)
	}
	return a.next.RoundTrip(req)
}

// Write stores a batch. nil means all of it is in; *RejectedError that all is in but what it
// names; *RetryError and any other error that the whole batch may be sent again, harmlessly.
func (x *Influx) Write(ctx context.Context, batch []charge.Reading) error {
	p := prepare(batch)
	splits := splitsAtMost
	if err := x.writeSome(ctx, batch, p.order, &p.rejected, &splits); err != nil {
		return fmt.Errorf("write batch of %d readings: %w", len(batch), err)
	}
	return p.err()
}

// splitsAtMost bounds the requests that look for what InfluxDB refused of a batch whose rest it has
// stored. A batch with more scattered bad readings than that finds is rare, and costs names only.
const splitsAtMost = 512

// writeSome sends the readings of order. What InfluxDB refuses for its content is halved until the
// bad ones are found; to send good ones again is harmless. splits is how often that may still be done.
func (x *Influx) writeSome(ctx context.Context, batch []charge.Reading, order []int, rejected *RejectedError, splits *int) error {
	if len(order) == 0 {
		return nil
	}
	err := x.post(ctx, x.writer, x.encode(batch, order))
	if err == nil {
		return nil
	}
	var answer *influxhttp.Error
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return &RetryError{After: time.Duration(answer.RetryAfter) * time.Second, Err: err} //nolint:gosec // seconds
	default:
		return err
	}
	dropped, partly := partial(answer.Message)
	if len(order) == 1 || partly && dropped >= len(order) {
		for _, i := range order {
			rejected.Points = append(rejected.Points, i)
			rejected.Reasons = append(rejected.Reasons, answer.Message)
			rejected.Dropped++
		}
		return nil
	}
	if partly {
		if *splits <= 0 {
			rejected.Reasons = append(rejected.Reasons, answer.Message)
			rejected.Dropped += max(dropped, 1)
			return nil
		}
		*splits--
	}
	half := len(order) / 2
	if err := x.writeSome(ctx, batch, order[:half], rejected, splits); err != nil {
		return err
	}
	return x.writeSome(ctx, batch, order[half:], rejected, splits)
}

// InfluxDB's words for "the rest is stored", the same in 1.8 and 2.x. Of lines that it could not
// read it says dropped=0.
var partialWrite = regexp.MustCompile(`(?s)partial write: .* dropped=([0-9]+)`)

func partial(message string) (dropped int, ok bool) {
	m := partialWrite.FindStringSubmatch(message)
	if m == nil {
		return 0, false
	}
	dropped, err := strconv.Atoi(m[1])
	return dropped, err == nil
}

// post sends lines; after a 401 with the token read again, after a 404 with the bucket made.
func (x *Influx) post(ctx context.Context, w api.WriteAPIBlocking, lines string) error {
	ctx, cancel := context.WithTimeout(ctx, influxWriteTimeout)
	defer cancel()
	err := w.WriteRecord(ctx, lines)
	mended, mendErr := x.mend(ctx, err)
	if mendErr != nil {
		return errors.Join(err, mendErr)
	}
	if mended {
		return w.WriteRecord(ctx, lines)
	}
	return err
}

// mend tells whether it did something that lets the same request succeed now.
func (x *Influx) mend(ctx context.Context, err error) (bool, error) {
	var answer *influxhttp.Error
	if !errors.As(err, &answer) {
		return false, nil
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		before := *x.token.value.Load()
		if err := x.token.reload(); err != nil {
			return false, err
		}
		return before != *x.token.value.Load(), nil
	case http.StatusNotFound:
		return true, x.Setup(ctx)
	case http.StatusInternalServerError:
		if strings.Contains(answer.Message, "no database") { // 1.8 to a question
			return true, x.Setup(ctx)
		}
	}
	return false, nil
}

// encode gives the lines of the readings of order.
func (x *Influx) encode(batch []charge.Reading, order []int) string {
	buffer, _ := x.buffer.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	defer x.buffer.Put(buffer)
	lines := (*buffer)[:0]
	for _, i := range order {
		lines = appendLine(lines, &batch[i])
	}
	*buffer = lines
	return string(lines)
}

// Line is a reading as InfluxDB is told it, for people to look at.
func Line(r *charge.Reading) string { return strings.TrimSuffix(string(appendLine(nil, r)), "\n") }

// moreFields lists the text fields once.
var moreFields = [...]struct {
	name string
	text func(*more) *string
}{
	{"fault", func(m *more) *string { return (*string)(&m.Fault) }},
	{"fault_code", func(m *more) *string { return &m.FaultCode }},
	{"level", func(m *more) *string { return &m.Level }},
	{"code", func(m *more) *string { return &m.Code }},
	{"text", func(m *more) *string { return &m.Text }},
	{"order", func(m *more) *string { return &m.Order }},
}

// Ping tells whether InfluxDB answers and is no older than 1.8.
func (x *Influx) Ping(ctx context.Context) error {
	_, err := x.version(ctx)
	return err
}

// version gives "1.8.10" or "v2.7.12", as InfluxDB says it.
func (x *Influx) version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, influxQueryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.url("/ping", nil), nil)
	if err != nil {
		return "", fmt.Errorf("ping InfluxDB: %w", err)
	}
	res, err := x.http.Do(req)
	if err != nil {
		return "", fmt.Errorf("ping InfluxDB: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return "", fmt.Errorf("ping InfluxDB at %s: answers %s", x.cfg.URL, res.Status)
	}
	v := res.Header.Get("X-Influxdb-Version")
	for _, old := range []string{"0.", "1.0.", "1.1.", "1.2.", "1.3.", "1.4.", "1.5.", "1.6.", "1.7."} {
		if strings.HasPrefix(v, old) {
			return "", fmt.Errorf("ping InfluxDB at %s: version %s is too old, want 1.8 or later", x.cfg.URL, v)
		}
	}
	return v, nil
}

// Started tells since when this InfluxDB runs, in its own words: another answer is another run of it.
func (x *Influx) Started(ctx context.Context) (string, error) {
	var ready struct{ Started string } // 2.x
	err := x.call(ctx, http.MethodGet, "/ready", nil, "", nil, &ready)
	var answer *influxhttp.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		var vars struct{ System struct{ Started string } } // 1.8
		err = x.call(ctx, http.MethodGet, "/debug/vars", nil, "", nil, &vars)
		ready.Started = vars.System.Started
	}
	if err != nil {
		return "", fmt.Errorf("ask InfluxDB since when it runs: %w", err)
	}
	if ready.Started == "" {
		return "", errors.New("ask InfluxDB since when it runs: it does not say")
	}
	return ready.Started, nil
}

func (x *Influx) url(path string, query url.Values) string {
	u := strings.TrimSuffix(x.cfg.URL, "/") + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	return u
}

// Setup makes the buckets (1.8: database and retention policies) where they are missing: the one of
// readings, kept for Keep, and the long one. One that is there is left as it is.
func (x *Influx) Setup(ctx context.Context) error {
	_, err := x.eachBucket(ctx)
	return err
}

// A bucket is where InfluxDB keeps something, and for how long.
type bucket struct {
	Name string
	Want time.Duration
	Keep time.Duration // 0: for ever
}

// Check makes sure of the buckets, and says in plain words how long they keep what they hold. It fails
// where one of them keeps it for less long than it should.
func (x *Influx) Check(ctx context.Context) (string, error) {
	buckets, err := x.eachBucket(ctx)
	if err != nil {
		return "", err
	}
	var said []string
	var short error
	for _, b := range buckets {
		keeps := "for ever"
		if b.Keep > 0 {
			keeps = fmt.Sprintf("%d days", int(b.Keep.Hours()/24))
		}
		said = append(said, fmt.Sprintf("%s keeps %s", b.Name, keeps))
		if b.Keep > 0 && b.Keep < b.Want {
			short = errors.Join(short, fmt.Errorf("bucket %s keeps what it holds for %s only, want %d days or more: give it that retention in InfluxDB",
				b.Name, keeps, int(b.Want.Hours()/24)))
		}
	}
	return strings.Join(said, ", "), short
}

func (x *Influx) eachBucket(ctx context.Context) ([]bucket, error) {
	v, err := x.version(ctx)
	if err != nil {
		return nil, err
	}
	buckets := []bucket{{Name: x.cfg.Bucket, Want: Keep}, {Name: longBucket(x.cfg.Bucket), Want: LongKeep}}
	for i := range buckets {
		b := &buckets[i]
		var answer *influxhttp.Error
		switch major, _, _ := strings.Cut(strings.TrimPrefix(v, "v"), "."); major {
		case "1":
			err = x.bucket1(ctx, b)
		case "2":
			err = x.bucket2(ctx, b)
		default: // one built from its source does not know its version; 1.8 has no such paths
			if err = x.bucket2(ctx, b); errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
				err = x.bucket1(ctx, b)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("set up InfluxDB bucket %s: %w", b.Name, err)
		}
	}
	return buckets, nil
}

// bucket1 looks at a retention policy of 1.8, and makes it where it is to.
func (x *Influx) bucket1(ctx context.Context, b *bucket) error {
	db, rp, _ := strings.Cut(b.Name, "/")
	keep := fmt.Sprintf("%dh", int(b.Want.Hours()))
	policies, err := x.influxQL(ctx, "SHOW RETENTION POLICIES ON "+influxQuote(db))
	if err != nil && !strings.Contains(err.Error(), "database not found") {
		return err
	}
	for _, v := range policies {
		if name, duration := fmt.Sprint(v[0]), fmt.Sprint(v[1]); name == rp || rp == "" {
			b.Keep, err = time.ParseDuration(duration)
			return err
		}
	}
	b.Keep = b.Want
	x.log.Info("makes InfluxDB retention policy", "database", db, "retention_policy", rp, "keep", b.Want)
	if err != nil {
		named := ""
		if rp != "" {
			named = " NAME " + influxQuote(rp)
		}
		_, err = x.influxQL(ctx, "CREATE DATABASE "+influxQuote(db)+" WITH DURATION "+keep+named)
		return err
	}
	_, err = x.influxQL(ctx, "CREATE RETENTION POLICY "+influxQuote(rp)+" ON "+influxQuote(db)+" DURATION "+keep+" REPLICATION 1")
	return err
}

// influxQL asks 1.8 in its own language, and gives the rows of the answer.
func (x *Influx) influxQL(ctx context.Context, q string) (rows [][]any, err error) {
	var answer struct {
		Results []struct {
			Error  string
			Series []struct{ Values [][]any }
		}
		Error string
	}
	body := strings.NewReader(url.Values{"q": {q}}.Encode())
	if err := x.call(ctx, http.MethodPost, "/query", nil, "application/x-www-form-urlencoded", body, &answer); err != nil {
		return nil, err
	}
	for _, r := range answer.Results {
		answer.Error = cmp.Or(answer.Error, r.Error)
		for _, s := range r.Series {
			rows = append(rows, s.Values...)
		}
	}
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return slices.DeleteFunc(rows, func(v []any) bool { return len(v) < 2 }), nil
}

func influxQuote(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// bucket2 looks at a bucket of 2.x, and makes it where it is to.
func (x *Influx) bucket2(ctx context.Context, b *bucket) error {
	var found struct {
		Buckets []struct {
			Name           string
			RetentionRules []struct{ EverySeconds int64 }
		}
	}
	err := x.call(ctx, http.MethodGet, "/api/v2/buckets", url.Values{"org": {x.cfg.Org}, "name": {b.Name}}, "", nil, &found)
	var answer *influxhttp.Error
	if err != nil && (!errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound) {
		return err
	}
	if len(found.Buckets) > 0 {
		for _, r := range found.Buckets[0].RetentionRules {
			b.Keep = time.Duration(r.EverySeconds) * time.Second
		}
		return nil
	}
	var orgs struct{ Orgs []struct{ ID string } }
	if err := x.call(ctx, http.MethodGet, "/api/v2/orgs", url.Values{"org": {x.cfg.Org}}, "", nil, &orgs); err != nil {
		return err
	}
	if len(orgs.Orgs) == 0 {
		return fmt.Errorf("no organisation %q, or the token may not see it", x.cfg.Org)
	}
	body, err := json.Marshal(map[string]any{
		"orgID": orgs.Orgs[0].ID, "name": b.Name,
		"retentionRules": []any{map[string]any{"type": "expire", "everySeconds": int(b.Want.Seconds())}},
	})
	if err != nil {
		return err
	}
	b.Keep = b.Want
	x.log.Info("makes InfluxDB bucket", "bucket", b.Name, "keep", b.Want)
	return x.call(ctx, http.MethodPost, "/api/v2/buckets", nil, "application/json", bytes.NewReader(body), nil)
}

// call does one request of the set-up; an answer that is not 2xx is an *influxhttp.Error.
func (x *Influx) call(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader, into any) error {
	ctx, cancel := context.WithTimeout(ctx, influxQueryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, x.url(path, query), body)
	if err != nil {
		return err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := x.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBytes)) // the status alone says enough when this fails
		return &influxhttp.Error{StatusCode: res.StatusCode, Code: res.Status, Message: strings.TrimSpace(string(text))}
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		return fmt.Errorf("read answer of %s: %w", path, err)
	}
	return nil
}

// Close ends idle connections.
func (x *Influx) Close() error {
	x.client.Close()
	x.http.CloseIdleConnections()
	return nil
}

// History reads a pile's past, by time, connector and kind. Errors wrap ErrTooMuch where the query
// is refused for its size.
func (x *Influx) History(ctx context.Context, q Query) ([]Row, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, influxQueryTimeout)
	defer cancel()
	flux := x.fluxRaw(q)
	if q.Step > 0 {
		flux = x.fluxWindows(q)
	}
	rows, err := x.collect(ctx, q, flux)
	if mended, mendErr := x.mend(ctx, err); mendErr != nil {
		err = errors.Join(err, mendErr)
	} else if mended {
		rows, err = x.collect(ctx, q, flux)
	}
	if err != nil {
		return nil, fmt.Errorf("read history of %s: %w", q.Pile, err)
	}
	sortRows(rows)
	return rows, nil
}

// fluxFrom is the subset of Flux that InfluxDB 1.8 has, like all Flux here. The ids need no
// escaping: Query.check lets only [A-Za-z0-9._-] pass. The nanosecond is for InfluxDB 1.8, which
// gives what lies at stop too; no reading lies between two milliseconds.
func (x *Influx) fluxFrom(q Query) string {
	return fmt.Sprintf(`from(bucket: %s) |> range(start: %s, stop: %s)
 |> filter(fn: (r) => r._measurement == %q and r.operator == %q and r.pile == %q)`,
		strconv.Quote(x.cfg.Bucket), q.From.UTC().Format(time.RFC3339Nano), q.To.UTC().Add(-time.Nanosecond).Format(time.RFC3339Nano),
		Measurement, string(q.Pile.Operator), q.Pile.Equipment)
}

func (x *Influx) fluxRaw(q Query) string {
	kind := ""
	if q.Kind != 0 {
		kind = fmt.Sprintf(" |> filter(fn: (r) => r.kind == %q)", q.Kind)
	}
	return x.fluxFrom(q) + kind + fmt.Sprintf(`
 |> limit(n: %d) |> keep(columns: ["connector", "kind", "_field", "_time", "_value"])`, MaxRows+1)
}

func (x *Influx) fluxWindows(q Query) string {
	var fields []string
	for _, f := range numbers {
		fields = append(fields, fmt.Sprintf("r._field == %q", f.name))
	}
	var b strings.Builder
	window := fmt.Sprintf("window(every: %ds, offset: %ds)", int(q.Step.Seconds()), int((q.Step - time.Duration(zoneMS)*time.Millisecond%q.Step).Seconds()))
	fmt.Fprintf(&b, "data = %s\n |> filter(fn: (r) => r.kind == %q and (%s)) |> %s\n",
		x.fluxFrom(q), charge.KindTelemetry, strings.Join(fields, " or "), window)
	for _, f := range []string{"mean", "min", "max"} {
		fmt.Fprintf(&b, "data |> %[1]s() |> keep(columns: [\"_start\", \"connector\", \"_field\", \"_value\"]) |> yield(name: %[1]q)\n", f)
	}
	fmt.Fprintf(&b, `%s |> filter(fn: (r) => r._field == "status" and (r.kind == %q or r.kind == %q))
 |> %s |> last() |> keep(columns: ["_start", "_time", "connector", "kind", "_field", "_value"]) |> yield(name: "last")`,
		x.fluxFrom(q), charge.KindTelemetry, charge.KindStatus, window)
	return b.String()
}

// cell names the row that a value of the answer belongs to.
type cell struct {
	connector string
	kind      string // "" in windows
	ms        int64
}

// collect runs a query and puts the values, which come field by field, together to rows.
func (x *Influx) collect(ctx context.Context, q Query, flux string) (_ []Row, err error) {
	result, err := x.reader.Query(ctx, flux)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, result.Close()) }()
	at := map[cell]int{}
	var rows []Row
	var told []time.Time // of a window's status, in step with rows
	for result.Next() {
		values := result.Record().Values()
		c := cell{connector: text(values["connector"])}
		stamp := "_time"
		if q.Step > 0 {
			stamp = "_start"
		} else {
			c.kind = text(values["kind"])
		}
		when, _ := values[stamp].(time.Time)
		c.ms = when.UnixMilli()
		if q.Step > 0 {
			c.ms = align(c.ms, q.Step.Milliseconds()) // the first window begins before the range does
		}
		n, ok := at[c]
		if !ok {
			if n = len(rows); n >= MaxRows {
				return nil, q.tooManyRows()
			}
			kind, _ := charge.ParseKind(c.kind)
			rows = append(rows, Row{Connector: charge.ConnectorID(c.connector), At: time.UnixMilli(c.ms).UTC(), Kind: kind})
			told = append(told, time.Time{})
			at[c] = n
		}
		if q.Step > 0 && text(values["_field"]) == "status" {
			// Telemetry and status are two series: the later of their last ones counts.
			if when, _ := values["_time"].(time.Time); when.Before(told[n]) {
				continue
			} else {
				told[n] = when
			}
		}
		rows[n].set(text(values["_field"]), text(values["result"]), values["_value"])
	}
	return rows, result.Err()
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// set puts one value of InfluxDB's into its place; what it does not know it leaves out.
func (w *Row) set(field, result string, value any) {
	switch v := value.(type) {
	case float64:
		for _, f := range numbers {
			if f.name != field {
				continue
			}
			stat := f.row(w)
			if *stat == nil {
				*stat = &Stat{v, v, v}
			}
			switch result {
			case "mean":
				(*stat).Mean = v
			case "min":
				(*stat).Min = v
			case "max":
				(*stat).Max = v
			}
		}
	case int64:
		switch field {
		case "status":
			s := charge.Status(v) //nolint:gosec // a status, 0 to 255
			w.Status = &s
		case "seq":
			s := uint64(v) //nolint:gosec // written as one
			w.Seq = &s
		case "start_ms":
			w.Start = time.UnixMilli(v).UTC()
		case "end_ms":
			w.End = time.UnixMilli(v).UTC()
		}
	case string:
		m := more{Fault: w.Fault, FaultCode: w.FaultCode, Level: w.Level, Code: w.Code, Text: w.Text, Order: w.Order}
		for _, f := range moreFields {
			if f.name == field {
				*f.text(&m) = v
			}
		}
		w.Fault, w.FaultCode, w.Level, w.Code, w.Text, w.Order = m.Fault, m.FaultCode, m.Level, m.Code, m.Text, m.Order
	}
}
