package testprog

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"
)

var (
	promtool     = program{name: "promtool", env: "PILEWATCH_TEST_PROMTOOL", get: "apt-get install prometheus"}
	prometheus   = program{name: "prometheus", env: "PILEWATCH_TEST_PROMETHEUS", get: "apt-get install prometheus"}
	amtool       = program{name: "amtool", env: "PILEWATCH_TEST_AMTOOL", get: "apt-get install prometheus-alertmanager"}
	alertmanager = program{name: "prometheus-alertmanager", env: "PILEWATCH_TEST_ALERTMANAGER", get: "apt-get install prometheus-alertmanager"}
	curl         = program{name: "curl", env: "PILEWATCH_TEST_CURL", get: "apt-get install curl"}
	natsServer   = program{
		name: "nats-server", env: "PILEWATCH_TEST_NATS_SERVER",
		get: "GOBIN=$PWD/.tools/bin go install github.com/nats-io/nats-server/v2@v2.15.2",
	}
)

// Promtool gives the path of Prometheus' tool that checks rules and metrics.
func Promtool(t testing.TB) (path string) {
	t.Helper()
	return promtool.find(t)
}

// Amtool gives the path of Alertmanager's tool that checks its settings.
func Amtool(t testing.TB) (path string) {
	t.Helper()
	return amtool.find(t)
}

// NeedStack leaves the test out, or fails it, where a program is missing that deploy/stack.sh starts.
func NeedStack(t testing.TB) {
	t.Helper()
	for _, p := range []program{influxd, mosquitto, mosquittoPub, natsServer, postgres, initdb, prometheus, alertmanager, curl} {
		p.find(t)
	}
}

// NATSServer starts a NATS server with JetStream whose configuration is conf, further lines of it,
// beside its addresses. Its files stay when it is killed and started again.
func NATSServer(t testing.TB, conf string) *Server {
	t.Helper()
	path, dir := natsServer.find(t), t.TempDir()
	s := &Server{Addr: freeAddr(t), path: path}
	watched := &Server{Addr: freeAddr(t)}
	file := filepath.Join(dir, "nats.conf")
	writeFile(t, file, fmt.Sprintf("listen: %q\nhttp: %q\n%s", s.Addr, watched.Addr, conf))
	s.args = []string{"-c", file, "-sd", filepath.Join(dir, "store")}
	s.ready = watched.answers("/healthz")
	return s.start(t)
}

// NATSCluster starts that many NATS servers that are one cluster, each with conf. Their files stay when they are killed.
func NATSCluster(t testing.TB, servers int, conf string) []*Server {
	t.Helper()
	path := natsServer.find(t)
	var routes []string
	for range servers {
		routes = append(routes, fmt.Sprintf("%q", "nats://"+freeAddr(t)))
	}
	all := make([]*Server, servers)
	g := &errgroup.Group{}
	for i := range all {
		dir := t.TempDir()
		s := &Server{Addr: freeAddr(t), path: path}
		watched := &Server{Addr: freeAddr(t)}
		file := filepath.Join(dir, "nats.conf")
		writeFile(t, file, fmt.Sprintf("listen: %q\nhttp: %q\nserver_name: log%d\ncluster { name: test, listen: %s, routes: [%s], no_advertise: true }\n%s",
			s.Addr, watched.Addr, i, strings.Replace(routes[i], "nats://", "", 1), strings.Join(routes, ", "), conf))
		s.args = []string{"-c", file, "-sd", filepath.Join(dir, "store")}
		s.ready = watched.answers("/healthz")
		t.Cleanup(s.Kill)
		all[i] = s
		g.Go(s.launch) // together: alone none has a majority
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return all
}

// Freeze stops the program's work, as for those that talk to it a cut of its network does; Thaw lets it go on.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		_ = s.process.Process.Signal(sig)
	}
}

// Run runs a tool to its end and fails the test where it fails.
func Run(t testing.TB, path string, args ...string) (output string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(path), args, err, out)
	}
	return string(out)
}

// answers asks a page of the program, which must be there.
func (s *Server) answers(page string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr+page, nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s", page, res.Status)
		}
		return nil
	}
}
