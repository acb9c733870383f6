package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/journal"
	"pilewatch/internal/testprog"
	"pilewatch/simulator"
)

// runCheck runs check with these arguments on a data directory and gives what it prints, by what was tried.
func runCheck(t *testing.T, dir string, args ...string) (said map[string]string, err error) {
	t.Helper()
	cli, err := parse(t, "", append([]string{"check", "--data", dir}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err = cli.Check.Run(t.Context(), &out)
	said = map[string]string{}
	for line := range strings.Lines(out.String()) {
		said[strings.Fields(line)[1]] = strings.TrimSpace(line)
	}
	return said, err
}

// expectSaid fails where a line does not begin and go on as wanted.
func expectSaid(t *testing.T, said map[string]string, what, level, contains string) {
	t.Helper()
	if line := said[what]; !strings.HasPrefix(line, level) || !strings.Contains(line, contains) {
		t.Errorf("%s: got %q, want %s … %s", what, line, level, contains)
	}
}

func TestCheckSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	registerFleet(t, dir, simulator.MinPiles)
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	nobody := freeAddr(t)

	t.Run("a machine in order", func(t *testing.T) {
		writeServerKeys(t, cert, key, 100*24*time.Hour)
		said, err := runCheck(t, dir, "--tls-cert", cert, "--tls-key", key, "--log-min-free", "1")
		if err != nil {
			t.Errorf("%v: %v", err, said)
		}
		expectSaid(t, said, "data", "ok", "closed to others")
		expectSaid(t, said, "registry", "ok", "2000 piles")
		expectSaid(t, said, "history", "ok", "history.db")
		expectSaid(t, said, "log", "ok", "0 batches")
		expectSaid(t, said, "certificate", "ok", "99 days left")
	})
	for _, tt := range []struct {
		name, level, says string
		lasts             time.Duration
	}{
		{"a certificate of two weeks", "NOTE", "renew it", 14 * 24 * time.Hour},
		{"a certificate of a day", "WRONG", "renew it now", 24 * time.Hour},
		{"a certificate that has ended", "WRONG", "no pile can connect", -time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			writeServerKeys(t, cert, key, tt.lasts)
			said, err := runCheck(t, dir, "--tls-cert", cert, "--tls-key", key, "--log-min-free", "1")
			expectSaid(t, said, "certificate", tt.level, tt.says)
			if (err != nil) != (tt.level == "WRONG") {
				t.Errorf("check ends with %v", err)
			}
		})
	}
	t.Run("nobody is where the settings say", func(t *testing.T) {
		said, err := runCheck(t, dir, "--influx-url", "http://"+nobody, "--log-url", "nats://"+nobody, "--bridge", "mqtt://"+nobody+"/MA3CLQP01")
		expectSaid(t, said, "history", "WRONG", nobody)
		expectSaid(t, said, "log", "WRONG", "connect to the log at nats://"+nobody)
		expectSaid(t, said, "broker", "WRONG", "is the address right")
		if err == nil || !strings.Contains(err.Error(), "4 of 10 checks failed") {
			t.Errorf("check ends with %v", err)
		}
	})
	t.Run("a clock that is an hour off InfluxDB's", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		}))
		defer server.Close()
		said, _ := runCheck(t, dir, "--influx-url", server.URL)
		expectSaid(t, said, "clock", "WRONG", "off that of InfluxDB")
	})
	t.Run("a disk with less than is to stay free", func(t *testing.T) {
		said, _ := runCheck(t, dir, "--log-min-free", "1000000000000000")
		expectSaid(t, said, "disk", "WRONG", "make room")
	})
	t.Run("secrets that others can read", func(t *testing.T) {
		token := filepath.Join(dir, "log.token")
		if err := os.WriteFile(token, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		for path, mode := range map[string]os.FileMode{token: 0o644, dir: 0o755} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		said, _ := runCheck(t, dir)
		expectSaid(t, said, "data", "WRONG", "chmod 600")
		if err := os.Chmod(token, 0o600); err != nil {
			t.Fatal(err)
		}
		said, _ = runCheck(t, dir)
		expectSaid(t, said, "data", "NOTE", "chmod 700")
	})
}

func TestCheckTriesBrokersWithoutDisturbingThem(t *testing.T) {
	dir := t.TempDir()
	registerFleet(t, dir, simulator.MinPiles)
	broker := testprog.Mosquitto(t, "")
	said, err := runCheck(t, dir, "--log-min-free", "1", "--bridge", "mqtt://"+broker+"/MA3CLQP01")
	if err != nil {
		t.Errorf("%v: %v", err, said)
	}
	expectSaid(t, said, "broker", "ok", "lets us in")
}

func TestReadyAsksARunningPart(t *testing.T) {
	f := startPlatform(t, setup{})
	var out strings.Builder
	if err := (&ReadyCmd{Part: "http://" + f.http}).Run(t.Context(), &out); err != nil || out.String() != "ready\n" {
		t.Errorf("ready: %v, %q", err, out.String())
	}
	if err := (&ReadyCmd{Part: "http://" + freeAddr(t)}).Run(t.Context(), &out); err == nil {
		t.Error("nobody is ready, too")
	}
}

func TestCheckListsSessionsThatAreLeftOver(t *testing.T) {
	data := t.TempDir()
	if said, err := checkBridges(data); err != nil || said != "no sessions at operators' brokers" {
		t.Errorf("without bridges: %q, %v", said, err)
	}
	for name, text := range map[string]string{
		"bridge-sessions-one.json": `[{"client":"pilewatch-one-OP-1","broker":"tcp://b:1883","setting":"mqtt://b/OP","filters":["a"]}]`,
		"bridge-sessions-two.json": `[{"client":"pilewatch-two-OP-2","broker":"tcp://b:1883","setting":"mqtt://b/OP","filters":["a"],"orphan":true}]`,
	} {
		if err := os.WriteFile(filepath.Join(data, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unlock, err := journal.Lock(filepath.Join(data, "bridge-sessions-one.lock"))
	if err != nil {
		t.Fatal(err)
	}
	said, err := checkBridges(data)
	for _, want := range []string{"one runs: sessions: 1", "two does not run"} {
		if !strings.Contains(said, want) {
			t.Errorf("says %q, want it to say %q", said, want)
		}
	}
	if err == nil || !strings.Contains(err.Error(), "pilewatch-two-OP-2 at tcp://b:1883") || strings.Contains(err.Error(), "pilewatch-one") {
		t.Errorf("got %v, want the one session that is left over", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}
