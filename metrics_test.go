package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"pilewatch/internal/journal"
	"pilewatch/internal/testprog"
	"pilewatch/simulator"
)

// startApart runs the four parts in processes of their own, with a fleet, a bridge whose broker is away, and
// TLS: everything that has metrics. It gives each part's address.
func startApart(t *testing.T) (parts map[string]string, mqtt, token string) {
	t.Helper()
	dir := t.TempDir()
	fleet, tokens := registerFleet(t, dir, simulator.MinPiles)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeServerKeys(t, cert, key, time.Hour)
	logAddr, mqtt := freeAddr(t), freeAddr(t)
	parts = map[string]string{"gateway": freeAddr(t), "ingest": freeAddr(t), "dashboard": freeAddr(t), "simulator": freeAddr(t)}
	atLog := []string{"--log-url", "nats://" + logAddr, "--log-token-file", journal.TokenFile(dir)}
	for _, p := range []*program{
		{http: parts["gateway"], args: []string{
			"gateway", "--mqtt", mqtt, "--mqtts", freeAddr(t), "--tls-cert", cert, "--tls-key", key, "--log-listen", logAddr,
			"--bridge", "mqtt://" + freeAddr(t) + "/" + string(fleet.Operators[0].ID),
		}},
		{http: parts["ingest"], args: append([]string{"ingest"}, atLog...)},
		{http: parts["dashboard"], args: append([]string{"dashboard", "--public"}, atLog...)},
		{http: parts["simulator"], args: []string{"simulator", "run", "--broker", "tcp://" + mqtt, "--piles", fmt.Sprint(simulator.MinPiles)}},
	} {
		p.t, p.dir = t, dir
		p.args = append(p.args, "--data", dir, "--http", p.http)
		p.start()
		t.Cleanup(p.kill)
		if err := eventually(t.Context(), patience, func() error {
			return getJSON(t.Context(), "http://"+p.http+"/readyz", "", nil)
		}); err != nil {
			p.kill()
			t.Fatalf("%s: %v\n%s", p.args[0], err, p.output.String())
		}
	}
	return parts, mqtt, tokens[fleet.Operators[0].ID]
}

func readMetrics(ctx context.Context, addr string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// Labels that a metric may have, each of few values: cities, operators, and words of a list. A pile, a
// connector, a station or an address is none of them.
var labelsKnown = []string{
	"division", "name", "tier", "state", "operator", "status", "fault", "kind", "reason", "cause", "door", "qos", "by", "bridge", "action",
	"partition", "route", "method", "code", "path", "type", "le", "quantile", "version", "goversion", "job", "instance",
}

// mostSeries is how many series of its own a part may have; a province has 16 cities and some hundred operators.
const mostSeries = 2000

func TestMetricsAreCleanBoundedAndAskedForRightly(t *testing.T) {
	promtool := testprog.Promtool(t)
	parts, mqtt, token := startApart(t)
	exists := map[string]bool{}
	all := map[string]map[string]*dto.MetricFamily{}
	operator := ""
	if err := eventually(t.Context(), patience, func() error { // the census is taken, a request is answered, a reject is counted
		for part, addr := range parts {
			text, err := readMetrics(t.Context(), addr)
			if err != nil {
				return err
			}
			parser := expfmt.NewTextParser(model.UTF8Validation)
			if all[part], err = parser.TextToMetricFamilies(bytes.NewReader(text)); err != nil {
				return err
			}
		}
		if f := all["ingest"]["pilewatch_connectors"]; f != nil && operator == "" {
			operator = all["gateway"]["gateway_bridge_up"].Metric[0].Label[1].GetValue()
			mosquittoPub(t, mqtt, operator, token, "evcs/v1/"+operator+"/-/status", []byte("rubbish"))
			return fmt.Errorf("a reject is on its way")
		}
		for _, has := range [][2]string{
			{"ingest", "pilewatch_connectors"},
			{"dashboard", "pilewatch_townships"},
			{"gateway", "gateway_operator_rejects_total"},
			{"gateway", "gateway_readings_total"},
		} {
			if all[has[0]][has[1]] == nil {
				return fmt.Errorf("%s has no %s yet", has[0], has[1])
			}
		}
		return getJSON(t.Context(), "http://"+parts["dashboard"]+"/api/v1/coverage?division=37", "", nil)
	}); err != nil {
		t.Fatal(err)
	}
	for part, addr := range parts {
		text, err := readMetrics(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		lint := exec.CommandContext(t.Context(), promtool, "check", "metrics")
		lint.Stdin = bytes.NewReader(text)
		if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: promtool check metrics: %v\n%s", part, err, out)
		}
		series := 0
		for line := bufio.NewScanner(bytes.NewReader(text)); line.Scan(); {
			if s := line.Text(); !strings.HasPrefix(s, "#") && !strings.HasPrefix(s, "go_") {
				series++
				exists[seriesName.FindString(s)] = true
			}
		}
		t.Logf("%s has %d series", part, series)
		if series > mostSeries {
			t.Errorf("%s has %d series, want at most %d: is there a label that grows with the piles?", part, series, mostSeries)
		}
		for name, f := range all[part] {
			for _, m := range f.Metric {
				for _, l := range m.Label {
					if !slices.Contains(labelsKnown, l.GetName()) && !strings.HasPrefix(name, "go_") {
						t.Errorf("%s has the label %s=%q: is its number of values bounded? Then it is to be in labelsKnown", name, l.GetName(), l.GetValue())
					}
					if l.GetName() == "division" && len(l.GetValue()) != 4 {
						t.Errorf("%s has the division %q, want cities only", name, l.GetValue())
					}
				}
			}
		}
	}
	for _, r := range readRules(t) {
		if r.Record != "" {
			exists[r.Record] = true
		}
	}
	for _, r := range readRules(t) {
		expectMetrics(t, "rule "+r.Record+r.Alert, r.Expr, exists)
	}
	for _, panel := range readPanels(t) {
		expectMetrics(t, "panel "+panel.where, panel.expr, exists)
	}
}

var (
	seriesName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`)
	quoted     = regexp.MustCompile(`"[^"]*"`)
	metricName = regexp.MustCompile(`\b[a-z_0-9]+:[a-z_0-9]+:[a-z_0-9]+\b|\b[a-z]+(_[a-z0-9]+)+\b`)
)

// notMetrics are PromQL's own words that look like metrics; up is Prometheus' own.
var notMetrics = []string{"predict_linear", "last_over_time", "histogram_quantile", "label_replace", "label_values", "max_over_time", "group_left"}

// expectMetrics fails for each metric of an expression that does not exist.
func expectMetrics(t *testing.T, where, expr string, exists map[string]bool) {
	t.Helper()
	for _, name := range metricName.FindAllString(quoted.ReplaceAllString(expr, ""), -1) {
		if !exists[name] && !slices.Contains(notMetrics, name) {
			t.Errorf("%s asks for %s, which nobody has", where, name)
		}
	}
}

// Connectors are counted by operator, a household's left out, and townships by city.
func TestWhatPilesSayIsCounted(t *testing.T) {
	testprog.MosquittoClients(t)
	f := startPlatform(t, setup{})
	for topic, code := range map[string]int{"P1": 3, "P2": 255, "H1": 1} {
		f.publish(t, "MA3CLQP01", "evcs/v1/MA3CLQP01/"+topic+"/status", status("1", time.Now(), code))
	}
	for name, want := range map[string]float64{
		`pilewatch_connectors{operator="MA3CLQP01",status="charging"}`:                      1,
		`pilewatch_connectors{operator="MA3CLQP01",status="fault"}`:                         1,
		`pilewatch_connectors{operator="MA3CLQP01",status="unseen"}`:                        1,
		`pilewatch_connectors{operator="MA3CLQP02",status="unseen"}`:                        1,
		`pilewatch_townships{division="3717",name="菏泽市",state="effective",tier="towns"}`:    1,
		`pilewatch_townships{division="3717",name="菏泽市",state="failing",tier="towns"}`:      1,
		`pilewatch_townships{division="3717",name="菏泽市",state="unverified",tier="streets"}`: 1,
		`pilewatch_townships{division="3701",name="济南市",state="effective",tier="all"}`:      0,
		`pilewatch_danger_alarms_total{division="3717",fault="smoke",name="菏泽市"}`:           0,
	} {
		if err := eventually(t.Context(), 3*patience, func() error { // connectors are counted at a tick
			if got, err := readMetric(t.Context(), "http://"+f.http+"/metrics", name); err != nil {
				return err
			} else if got != want {
				return fmt.Errorf("got %v, want %v", got, want)
			}
			return nil
		}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text, err := readMetrics(t.Context(), f.http); err != nil || bytes.Contains(text, []byte(`pilewatch_connectors{operator="MA3CLQP01",status="idle"}`)) {
		t.Errorf("a household's pile is counted: %v", err)
	}
}
