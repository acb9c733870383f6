package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pilewatch/internal/testprog"
	"pilewatch/simulator"
)

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

// A stack is what deploy/stack.sh has started.
type stack struct {
	dir  string
	port int
}

// at gives the address of one of its ports, in the order of the script.
func (s *stack) at(n int) string { return fmt.Sprintf("127.0.0.1:%d", s.port+n) }

const (
	stackDashboard  = 0
	stackInflux     = 7
	stackPrometheus = 8
	stackBroker     = 10
	stackPorts      = 12
)

// startStack runs deploy/stack.sh until the test ends, with this test's program as pilewatch.
func startStack(t *testing.T, alerts string) *stack {
	t.Helper()
	testprog.NeedStack(t)
	s := &stack{dir: t.TempDir(), port: freePorts(t, stackPorts)}
	if err := os.Chmod(filepath.Dir(s.dir), 0o755); err != nil { //nolint:gosec // PostgreSQL's user must come through; secrets are closed
		t.Fatal(err)
	}
	cmd := exec.Command("deploy/stack.sh", s.dir)
	cmd.Env = append(os.Environ(), runAsProgram+"=1", "PILEWATCH="+os.Args[0], fmt.Sprintf("STACK_PORT=%d", s.port),
		fmt.Sprintf("STACK_PILES=%d", simulator.MinPiles), "ALERT_URL="+alerts)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			for _, part := range []string{"gateway", "ingest", "dashboard"} {
				log, err := os.ReadFile(filepath.Join(s.dir, part+".log"))
				t.Logf("%s ends with (%v):\n%s", part, err, log[max(0, len(log)-4000):])
			}
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("deploy/stack.sh ends with %v:\n%s", err, said.String())
			}
		case <-time.After(2 * patience):
			t.Error("deploy/stack.sh does not stop")
			_ = cmd.Process.Kill()
		}
	})
	if err := eventually(t.Context(), 4*patience, func() error {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("deploy/stack.sh has ended: %v:\n%s", err, said.String())
		default:
		}
		return getJSON(t.Context(), "http://"+s.at(stackDashboard)+"/readyz", "", nil)
	}); err != nil {
		t.Fatalf("%v", err)
	}
	return s
}

// freePorts gives the first of n ports of the loopback, one after another, that nobody listens on now.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for first := 21000; first < 31000; first += 100 {
		free := true
		for i := range n {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+i))
			if err == nil {
				err = l.Close()
			}
			free = free && err == nil
		}
		if free {
			return first
		}
	}
	t.Fatalf("no %d ports are free one after another", n)
	return 0
}

// alertWithin is how soon whoever is on call hears of what happened.
const alertWithin = 90 * time.Second

// The real engines, each on its own, and the parts apart: what an operator's own broker is told is on the page and in
// InfluxDB, every part is watched, and smoke at a pile is at the city's and the province's desk in time.
func TestTheStackOfRealProgramsWorks(t *testing.T) {
	desk, paths, deliveries := receiveAlerts(t)
	s := startStack(t, desk)
	password, err := os.ReadFile(filepath.Join(s.dir, "secrets/mosquitto_password"))
	if err != nil {
		t.Fatal(err)
	}
	soon := func(what string, within time.Duration, ok func() error) {
		t.Helper()
		if err := eventually(t.Context(), within, ok); err != nil {
			t.Fatalf("not within %s: %s: %v", within, what, err)
		}
	}
	begun := time.Now()
	mosquittoPub(t, s.at(stackBroker), "pilewatch", string(password), "evcs/v1/MA3STACK1/P1/status", []byte(status("1", begun, 3)))
	soon("the pile behind the broker is on the page", patience, func() error {
		var shown struct{ Connectors []struct{ Status string } }
		if err := getJSON(t.Context(), "http://"+s.at(stackDashboard)+"/api/v1/piles/MA3STACK1:P1", "", &shown); err != nil {
			return err
		}
		if shown.Connectors[0].Status != "charging" {
			return fmt.Errorf("shown as %+v", shown)
		}
		return nil
	})
	soon("its reading is in InfluxDB", patience, func() error {
		n, err := countInflux(t.Context(), s.at(stackInflux), "status", `operator = 'MA3STACK1'`)
		if err == nil && n != 1 {
			err = fmt.Errorf("%d readings", n)
		}
		return err
	})
	soon("the fleet's townships are found", 2*patience, func() error {
		var c figures
		err := getJSON(t.Context(), "http://"+s.at(stackDashboard)+"/api/v1/coverage?division=37", "", &c)
		if err == nil && c.Effective < 100 {
			err = fmt.Errorf("%d of %d are effective", c.Effective, c.Total)
		}
		return err
	})
	const counted = `count(pilewatch_danger_alarms_total{division="3717", fault="smoke"})`
	soon("all parts are watched", alertWithin, func() error {
		for expr, want := range map[string]float64{"sum(up)": 4, "count(up)": 4, counted: 1} {
			if n, err := ask(t.Context(), "http://"+s.at(stackPrometheus), expr); err != nil {
				return err
			} else if n != want {
				return fmt.Errorf("%s is %g, want %g", expr, n, want)
			}
		}
		return nil
	})

	mosquittoPub(t, s.at(stackBroker), "pilewatch", string(password), "evcs/v1/MA3STACK1/P1/alarm",
		fmt.Appendf(nil, `{"connector":"1","time":%d,"level":"danger","code":"smoke"}`, time.Now().UnixMilli()))
	got := map[string]bool{}
	late := time.After(alertWithin)
	for !got["/heze"] || !got["/province"] {
		select {
		case <-late:
			t.Fatalf("after %s told: %v", alertWithin, slices.Collect(maps.Keys(got)))
		case path := <-paths:
			for _, a := range (<-deliveries).Alerts {
				if a.Labels["alertname"] != "DangerAlarm" || a.Labels["fault"] != "smoke" || a.Labels["division"] != "3717" {
					continue // the fleet has alarms of its own
				}
				got[path] = true
				if want := "danger in 菏泽市 (3717): smoke"; a.Annotations["summary"] != want {
					t.Errorf("%s: %q, want %q", path, a.Annotations["summary"], want)
				}
			}
		}
	}
	if got["/jinan"] {
		t.Error("Jinan's desk is told of Heze's piles")
	}
	for path := range got {
		if path == "/oncall" {
			t.Error("the engineer on call is told of a pile")
		}
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
