// Package testprog starts the real programs that tests talk to: InfluxDB, Mosquitto, NATS, PostgreSQL, Prometheus and
// Alertmanager, each on a free port of its own, with a directory of its own, and ended with the test. Chromium it only finds:
// who drives it starts it. Only tests import this package.
//
// A program is looked for in its environment variable, in .tools/bin at the top of the repository,
// in PATH (and /usr/sbin) and in ~/go/bin. A test that needs one is left out under -short; without
// -short a missing program fails the test and says how to get it.
package testprog

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A program is one that tests may need.
type program struct {
	name string
	env  string // names the binary, first choice
	get  string // how to get it
}

var (
	influxd = program{
		name: "influxd", env: "PILEWATCH_TEST_INFLUXD",
		get: "GOBIN=$PWD/.tools/bin go install github.com/influxdata/influxdb/cmd/influxd@v1.8.10",
	}
	mosquitto = program{
		name: "mosquitto", env: "PILEWATCH_TEST_MOSQUITTO",
		get: "apt-get install mosquitto",
	}
	mosquittoPub = program{
		name: "mosquitto_pub", env: "PILEWATCH_TEST_MOSQUITTO_PUB",
		get: "apt-get install mosquitto-clients",
	}
	mosquittoSub = program{
		name: "mosquitto_sub", env: "PILEWATCH_TEST_MOSQUITTO_SUB",
		get: "apt-get install mosquitto-clients",
	}
	mosquittoPasswd = program{
		name: "mosquitto_passwd", env: "PILEWATCH_TEST_MOSQUITTO_PASSWD",
		get: "apt-get install mosquitto",
	}
	chromium = program{
		name: "chromium", env: "PILEWATCH_TEST_CHROMIUM",
		get: "apt-get install chromium fonts-noto-cjk",
	}
)

// Chromium gives the path of the browser.
func Chromium(t testing.TB) (path string) {
	t.Helper()
	return chromium.find(t)
}

// find gives the path of the program, or skips or fails the test.
func (p program) find(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skipf("left out under -short: needs the program %s", p.name)
	}
	if path := p.look(); path != "" {
		return path
	}
	t.Fatalf("needs the program %s: get it by `%s`, or name it in %s; `go test -short` leaves this test out", p.name, p.get, p.env)
	return ""
}

// Look gives the path of a program that benchmarks compare with, such as telegraf, or an error where
// it is not there.
func Look(name string) (string, error) {
	p := program{name: name, env: "PILEWATCH_TEST_" + strings.ToUpper(name)}
	if path := p.look(); path != "" {
		return path, nil
	}
	return "", fmt.Errorf("the program %s is not there", name)
}

// Kept gives a directory in .tools, which is not in git, for what benchmarks make once.
func Kept(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(repository(), ".tools", "bench-data", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// look gives the path of the program, "" where it is not there.
func (p program) look() string {
	var tried []string
	if path := os.Getenv(p.env); path != "" {
		tried = append(tried, path)
	}
	if root := repository(); root != "" {
		tried = append(tried, filepath.Join(root, ".tools", "bin", p.name))
	}
	if path, err := exec.LookPath(p.name); err == nil {
		tried = append(tried, path)
	}
	tried = append(tried, filepath.Join("/usr/sbin", p.name))
	if versions, err := filepath.Glob(filepath.Join("/usr/lib/postgresql/*/bin", p.name)); err == nil { // Debian's, not in PATH
		slices.Reverse(versions)
		tried = append(tried, versions...)
	}
	if home, err := os.UserHomeDir(); err == nil {
		tried = append(tried, filepath.Join(home, "go", "bin", p.name))
	}
	for _, path := range tried {
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// repository is the directory of go.mod above the test, "" when there is none.
func repository() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// A Server is a program of its own that a test started. It may be killed and started again; its
// address and its files stay.
type Server struct {
	Addr string // host:port
	Dir  string // of its files

	path  string
	args  []string
	as    *syscall.SysProcAttr // another user; nil for our own
	ready func(ctx context.Context) error

	mu      sync.Mutex
	process *exec.Cmd
	ended   chan struct{}
	output  *tail
}

const (
	readyWithin = 2 * time.Minute // InfluxDB reads its log of writes first
	askEvery    = 20 * time.Millisecond
	endWithin   = 10 * time.Second
)

// Start starts the program, if it does not run, and returns when it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.launch(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) launch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil
	}
	s.output = &tail{}
	cmd := exec.Command(s.path, s.args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr, cmd.Dir = s.output, s.output, s.as, s.Dir
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.path, err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is of no use: tests kill it
		close(ended)
	}()
	s.process, s.ended = cmd, ended
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			s.process = nil
			return fmt.Errorf("%s ended before it answered:\n%s", s.path, s.output)
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer within %s: %w\n%s", s.path, readyWithin, err, s.output)
		case <-ask.C:
		}
	}
}

// Kill ends the program at once, as a power cut does (SIGKILL).
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop asks the program to end, and kills it when it does not within 10 s.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(sig) // it may have ended by itself
	select {
	case <-s.ended:
	case <-time.After(endWithin):
		_ = s.process.Process.Kill()
		<-s.ended
	}
	s.process = nil
}

// PID is the process' number, 0 where it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.Process.Pid
}

// Output gives the last 64 KiB of what the program printed.
func (s *Server) Output() string { return s.output.String() }

// start is the common end of the constructors.
func (s *Server) start(t testing.TB) *Server {
	t.Helper()
	t.Cleanup(s.Kill)
	s.Start(t)
	return s
}

// Influx starts an InfluxDB 1.8 with Flux and without sign-in, and gives its URL and the token to
// use, which is "". It has no database yet.
func Influx(t testing.TB) (url, token string) {
	t.Helper()
	return "http://" + InfluxServer(t).Addr, ""
}

// InfluxServer is Influx for tests that kill it.
func InfluxServer(t testing.TB) *Server {
	t.Helper()
	return InfluxServerIn(t, t.TempDir())
}

// InfluxServerIn is InfluxServer on a directory that may stay: what is in it already is there.
func InfluxServerIn(t testing.TB, dir string) *Server {
	t.Helper()
	path := influxd.find(t)
	s := &Server{Addr: freeAddr(t), Dir: dir, path: path}
	conf := filepath.Join(dir, "influxdb.conf")
	writeFile(t, conf, fmt.Sprintf(`reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = %[1]q
[data]
  dir = %[2]q
  wal-dir = %[3]q
  index-version = "tsi1"
  max-series-per-database = 0
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = %[4]q
  flux-enabled = true
  log-enabled = false
`, filepath.Join(dir, "meta"), filepath.Join(dir, "data"), filepath.Join(dir, "wal"), s.Addr))
	s.args = []string{"-config", conf}
	s.ready = func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr+"/ping", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return res.Body.Close()
	}
	return s.start(t)
}

// Mosquitto starts an MQTT broker that lets everyone in, unless conf, further lines of its
// configuration, says otherwise, and gives its address.
func Mosquitto(t testing.TB, conf string) (addr string) {
	t.Helper()
	return MosquittoServer(t, conf).Addr
}

// MosquittoServer is Mosquitto for tests that kill it.
func MosquittoServer(t testing.TB, conf string) *Server {
	t.Helper()
	path := mosquitto.find(t)
	dir := t.TempDir()
	s := &Server{Addr: freeAddr(t), Dir: dir, path: path}
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	text := "listener " + port + " 127.0.0.1\nallow_anonymous true\npersistence_location " + dir + "/\n"
	if os.Getuid() == 0 {
		text += "user root\n" // else it gives up its rights and cannot read the test's directory
	}
	file := filepath.Join(dir, "mosquitto.conf")
	writeFile(t, file, text+conf)
	s.args = []string{"-c", file}
	s.ready = func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", s.Addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
	return s.start(t)
}

// MosquittoAccount makes a file of one account and gives the lines of configuration that let only it in.
func MosquittoAccount(t testing.TB, user, password string) (conf string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "passwords")
	out, err := exec.CommandContext(t.Context(), mosquittoPasswd.find(t), "-b", "-c", file, user, password).CombinedOutput()
	if err != nil {
		t.Fatalf("make a password file: %v\n%s", err, out)
	}
	return "allow_anonymous false\npassword_file " + file + "\n"
}

// MosquittoClients gives the paths of Mosquitto's command-line clients, mosquitto_pub and mosquitto_sub.
func MosquittoClients(t testing.TB) (pub, sub string) {
	t.Helper()
	return mosquittoPub.find(t), mosquittoSub.find(t)
}

// freeAddr gives an address of the loopback that nobody listens on now.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tail keeps the last bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailBytes = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - tailBytes; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

// String implements fmt.Stringer.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
