package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

const grafanaDir = "deploy/grafana"

// A panel is one question that a Grafana dashboard asks Prometheus.
type panel struct{ where, expr string }

// readPanels reads what the dashboards that are shipped ask.
func readPanels(t testing.TB) (panels []panel) {
	t.Helper()
	files, err := filepath.Glob(grafanaDir + "/dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	uids := map[string]string{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			UID    string
			Title  string
			Panels []struct {
				ID         int
				Title      string
				Type       string
				Datasource struct{ UID string }
				Targets    []struct{ Expr, LegendFormat string }
			}
			Templating struct {
				List []struct {
					Name  string
					Query struct{ Query string }
				}
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if uids[board.UID] != "" || board.UID == "" {
			t.Errorf("%s: uid %q is empty or that of %s", path, board.UID, uids[board.UID])
		}
		uids[board.UID] = path
		ids := map[int]bool{}
		for _, p := range board.Panels {
			if ids[p.ID] {
				t.Errorf("%s: two panels are number %d", path, p.ID)
			}
			ids[p.ID] = true
			if p.Datasource.UID != "prometheus" || len(p.Targets) == 0 {
				t.Errorf("%s: panel %q asks nothing of the data source that is provisioned", path, p.Title)
			}
			for _, target := range p.Targets {
				panels = append(panels, panel{board.Title + ": " + p.Title, target.Expr})
			}
		}
		for _, v := range board.Templating.List {
			panels = append(panels, panel{board.Title + ": $" + v.Name, v.Query.Query})
		}
	}
	return panels
}

func TestGrafanaIsProvisioned(t *testing.T) {
	if len(readPanels(t)) == 0 {
		t.Fatal("no dashboard has a panel")
	}
	var sources struct {
		Datasources []struct{ UID, Type, URL string }
	}
	readYAML(t, grafanaDir+"/provisioning/datasources/pilewatch.yml", &sources)
	found := map[string]bool{}
	for _, s := range sources.Datasources {
		found[s.UID] = true
	}
	if !found["prometheus"] || !found["influxdb"] {
		t.Errorf("data sources: %v, want prometheus and influxdb", found)
	}
	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	readYAML(t, grafanaDir+"/provisioning/dashboards/pilewatch.yml", &providers)
	if len(providers.Providers) != 1 || providers.Providers[0].Options.Path != "/etc/grafana/dashboards" {
		t.Errorf("providers: %+v", providers)
	}
}
