package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"pilewatch/internal/testprog"
)

// A rule is one of a file of Prometheus' rules: an alert or a record.
type rule struct {
	Alert       string
	Record      string
	Expr        string
	For         *string
	Labels      map[string]string
	Annotations map[string]string
}

const rulesDir = "deploy/prometheus"

// readRules reads all rules; files with tests in them are left out.
func readRules(t testing.TB) (rules []rule) {
	t.Helper()
	for _, name := range []string{"recording.yml", "platform.yml", "network.yml"} {
		var file struct{ Groups []struct{ Rules []rule } }
		readYAML(t, filepath.Join(rulesDir, name), &file)
		for _, g := range file.Groups {
			rules = append(rules, g.Rules...)
		}
	}
	return rules
}

func readYAML(t testing.TB, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestRulesPassTheirOwnTests(t *testing.T) {
	promtool := testprog.Promtool(t)
	rules, err := filepath.Glob(rulesDir + "/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests := slices.DeleteFunc(slices.Clone(rules), func(f string) bool { return !strings.HasSuffix(f, "_test.yml") })
	rules = slices.DeleteFunc(rules, func(f string) bool {
		return strings.HasSuffix(f, "_test.yml") || strings.HasSuffix(f, "prometheus.yml")
	})
	testprog.Run(t, promtool, append([]string{"check", "rules"}, rules...)...)
	testprog.Run(t, promtool, append([]string{"test", "rules"}, tests...)...)
	testprog.Run(t, testprog.Amtool(t), "check-config", "deploy/alertmanager/alertmanager.yml")
}

func TestEveryRuleIsTestedFiringAndNot(t *testing.T) {
	fires, quiet, asked := map[string]bool{}, map[string]bool{}, ""
	files, err := filepath.Glob(rulesDir + "/*_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		var file struct {
			Tests []struct {
				Alerts []struct {
					Name     string `yaml:"alertname"`
					Expected []any  `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
				Exprs []struct{ Expr string } `yaml:"promql_expr_test"`
			}
		}
		readYAML(t, path, &file)
		for _, one := range file.Tests {
			for _, a := range one.Alerts {
				if len(a.Expected) > 0 {
					fires[a.Name] = true
				} else {
					quiet[a.Name] = true
				}
			}
			for _, e := range one.Exprs {
				asked += e.Expr + "\n"
			}
		}
	}
	for _, r := range readRules(t) {
		switch {
		case r.Record != "" && !strings.Contains(asked, r.Record):
			t.Errorf("record %s: no test asks for it", r.Record)
		case r.Alert != "" && !fires[r.Alert]:
			t.Errorf("alert %s: no test sees it fire", r.Alert)
		case r.Alert != "" && !quiet[r.Alert]:
			t.Errorf("alert %s: no test sees it stay quiet", r.Alert)
		}
	}
}

func TestEveryAlertSaysWhereAndWhatToDo(t *testing.T) {
	playbooks := map[string]bool{}
	files, err := filepath.Glob("docs/playbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		playbooks[f] = true
	}
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		if s := r.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.For == nil {
			t.Errorf("%s: says not for how long", r.Alert)
		}
		wants := map[string]string{"network": `\$labels\.(division|operator)`, "operator": `\$labels\.operator`, "platform": `\$(labels|value)`}[r.Labels["scope"]]
		if wants == "" {
			t.Errorf("%s: scope %q", r.Alert, r.Labels["scope"])
		} else if !regexp.MustCompile(wants).MatchString(r.Annotations["summary"]) {
			t.Errorf("%s: its summary names nothing of %s: %s", r.Alert, wants, r.Annotations["summary"])
		}
		path := "docs/playbooks/" + r.Alert + ".md"
		if r.Annotations["playbook"] != path {
			t.Errorf("%s: playbook %q, want %s", r.Alert, r.Annotations["playbook"], path)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%s: %v", r.Alert, err)
		}
		for _, part := range []string{"# " + r.Alert + "\n", "**What it means.**", "**What to look at.**", "**What to do.**"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s: has no %q", path, part)
			}
		}
		delete(playbooks, path)
	}
	for path := range playbooks {
		t.Errorf("%s: there is no such alert", path)
	}
}

// A delivery is what Alertmanager sends to a webhook.
type delivery struct {
	Alerts []struct {
		Status      string
		Labels      map[string]string
		Annotations map[string]string
	}
}

// receiveAlerts is a webhook; it gives where it is and what comes, by path.
func receiveAlerts(t *testing.T) (at string, come chan string, deliveries chan delivery) {
	t.Helper()
	come, deliveries = make(chan string, 100), make(chan delivery, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var d delivery
		if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
			t.Errorf("webhook: %v", err)
			return
		}
		come <- r.URL.Path
		deliveries <- d
	}))
	t.Cleanup(server.Close)
	return server.URL, come, deliveries
}

// prometheusFor is the configuration that is shipped, for one process that has all parts.
func prometheusFor(t *testing.T, target, alertmanager string) string {
	t.Helper()
	var conf map[string]any
	readYAML(t, filepath.Join(rulesDir, "prometheus.yml"), &conf)
	dir, err := filepath.Abs(rulesDir)
	if err != nil {
		t.Fatal(err)
	}
	files := conf["rule_files"].([]any)
	for i, f := range files {
		files[i] = filepath.Join(dir, filepath.Base(f.(string)))
	}
	static := func(addr string) []any { return []any{map[string]any{"targets": []string{addr}}} }
	conf["scrape_configs"] = []any{map[string]any{"job_name": "pilewatch", "static_configs": static(target)}}
	conf["alerting"] = map[string]any{"alertmanagers": []any{map[string]any{"static_configs": static(alertmanager)}}}
	text, err := yaml.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// alertWithin is how soon whoever is on call hears of what happened.
const alertWithin = 90 * time.Second

// Smoke at a pile is at the city's and the province's desk in time, with the right division.
func TestADangerAlarmReachesTheDutyDesk(t *testing.T) {
	desk, paths, deliveries := receiveAlerts(t)
	text, err := os.ReadFile("deploy/alertmanager/alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	alertmanager := testprog.Alertmanager(t, strings.ReplaceAll(string(text), "http://127.0.0.1:9", desk))
	f := startPlatform(t, setup{})
	prometheus := testprog.Prometheus(t, prometheusFor(t, f.http, alertmanager))
	if err := eventually(t.Context(), alertWithin, func() error {
		n, err := ask(t.Context(), prometheus, `count(pilewatch_danger_alarms_total{division="3717"})`)
		if err == nil && n == 0 {
			err = fmt.Errorf("Prometheus has not looked yet")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	f.publish(t, "MA3CLQP01", "evcs/v1/MA3CLQP01/P1/alarm",
		fmt.Sprintf(`{"connector":"1","time":%d,"level":"danger","code":"smoke"}`, time.Now().UnixMilli()))
	got := map[string]bool{}
	late := time.After(alertWithin)
	for !got["/heze"] || !got["/province"] {
		select {
		case <-late:
			t.Fatalf("after %s told: %v", alertWithin, slices.Collect(maps.Keys(got)))
		case path := <-paths:
			for _, a := range (<-deliveries).Alerts {
				if a.Labels["alertname"] != "DangerAlarm" {
					t.Errorf("%s: %s: %s", path, a.Labels["alertname"], a.Annotations["summary"])
					continue
				}
				got[path] = true
				if a.Labels["division"] != "3717" || a.Annotations["summary"] != "danger in 菏泽市 (3717): smoke" {
					t.Errorf("%s: division %s, %q", path, a.Labels["division"], a.Annotations["summary"])
				}
			}
		}
	}
	if got["/jinan"] {
		t.Error("Jinan's desk is told of Heze's piles")
	}
}

// ask gives the value of an expression that has one, 0 where it has none.
func ask(ctx context.Context, prometheus, expr string) (float64, error) {
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := getJSON(ctx, prometheus+"/api/v1/query?"+url.Values{"query": {expr}}.Encode(), "", &answer); err != nil {
		return 0, err
	}
	if len(answer.Data.Result) == 0 {
		return 0, nil
	}
	var v float64
	_, err := fmt.Sscan(answer.Data.Result[0].Value[1].(string), &v)
	return v, err
}
