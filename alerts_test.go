package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

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
