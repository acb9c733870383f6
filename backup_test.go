package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
	"pilewatch/internal/testprog"
	"pilewatch/simulator"
)

// runCopy runs `pilewatch backup` or `pilewatch restore`.
func runCopy(t *testing.T, args ...string) (said string, err error) {
	t.Helper()
	var cli struct {
		Backup  BackupCmd  `cmd:""`
		Restore RestoreCmd `cmd:""`
	}
	var out bytes.Buffer
	parser, err := kong.New(&cli, kong.Name("pilewatch"), kong.BindTo(t.Context(), (*context.Context)(nil)),
		kong.Bind(slog.New(slog.DiscardHandler)), kong.BindTo(&out, (*io.Writer)(nil)))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(args)
	if err == nil {
		err = parsed.Run()
	}
	return out.String(), err
}

// A backup that is taken under load is restored into an empty place, and there all is as it was: coverage, the registry,
// and each reading that was acknowledged before the backup began, once.
func TestABackupTakenWhileRunningIsRestored(t *testing.T) {
	if testing.Short() {
		t.Skip("left out under -short: starts pilewatch twice")
	}
	dir, copied, again := t.TempDir(), filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "again")
	logAddr := freeAddr(t)
	fleet, tokens := registerFleet(t, dir, simulator.MinPiles)
	serve := func(dir string, more ...string) *program {
		p := &program{t: t, dir: dir, http: freeAddr(t), mqtt: freeAddr(t)}
		p.args = append([]string{"serve", "--data", dir, "--http", p.http, "--mqtt", p.mqtt, "--public", "--request-rate", "100000"}, more...)
		p.start()
		t.Cleanup(p.kill)
		p.ready(2 * patience)
		return p
	}
	p := serve(dir, "--log-listen", logAddr)
	load := &simulator.Load{
		Broker: "tcp://" + p.mqtt, Connections: 10, InFlight: 100, Rate: 2000,
		Credentials: func(op charge.OperatorID) (string, string) { return string(op), tokens[op] },
	}
	for i := range 500 {
		load.Connectors = append(load.Connectors, charge.ConnectorKey{Pile: fleet.ID(i), Connector: "1"})
	}
	begun := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- load.Run(ctx) }()
	whole := readUntil(t, p, effectiveTowns(fleet, 500))
	want := make(map[charge.PileID]map[int64]bool)
	for _, a := range load.Acked() {
		if want[a.Pile] == nil {
			want[a.Pile] = make(map[int64]bool)
		}
		want[a.Pile][a.At.UnixMilli()] = true
	}
	if _, err := runCopy(t, "backup", "--data", dir, filepath.Join(t.TempDir(), "taken")); err == nil || !strings.Contains(err.Error(), "--log-listen") {
		t.Errorf("backup of a log that runs elsewhere: got %v, want a word of --log-listen", err)
	}
	said, err := runCopy(t, "backup", "--data", dir, "--log-url", "nats://"+logAddr, copied)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	p.stop()

	if _, err := runCopy(t, "restore", "--data", dir, copied); err == nil || !strings.Contains(err.Error(), "holds something already") {
		t.Errorf("restore over another one: got %v", err)
	}
	if said, err := runCopy(t, "restore", "--data", again, copied); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, table := range []registry.Table{registry.Operators, registry.Stations, registry.Piles} {
		var texts [2]bytes.Buffer
		for i, of := range []string{dir, again} {
			r, _ := openRegistry(t, of)
			if err := errors.Join(r.Export(t.Context(), table, &texts[i]), r.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if texts[0].String() != texts[1].String() {
			t.Errorf("%s of the restored registry differ", table)
		}
	}
	q := serve(again)
	if diff := cmp.Diff(whole, readUntil(t, q, whole.Effective)); diff != "" {
		t.Errorf("coverage (-before +restored):\n%s", diff)
	}
	if err := eventually(t.Context(), 2*patience, func() error { return allStored(t.Context(), q, want, begun) }); err != nil {
		t.Errorf("what was acknowledged before the backup: %v", err)
	}
	// It goes on: what comes now is judged and stored.
	load.Broker, load.Count = "tcp://"+q.mqtt, int(load.Sent())+1000
	if err := load.Run(t.Context()); err != nil {
		t.Error(err)
	}
	q.stop()

	if err := os.WriteFile(filepath.Join(copied, "registry.db"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := runCopy(t, "restore", "--data", filepath.Join(t.TempDir(), "x"), copied); err == nil || !strings.Contains(err.Error(), "registry.db of the backup is not what was written") {
		t.Errorf("restore of a spoilt backup: got %v", err)
	}
	if err := os.Remove(filepath.Join(copied, manifestFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := runCopy(t, "restore", "--data", filepath.Join(t.TempDir(), "x"), copied); err == nil || !strings.Contains(err.Error(), "is not whole") {
		t.Errorf("restore of half a backup: got %v", err)
	}
}

// A registry in PostgreSQL is backed up as a file, and goes back into an empty database.
func TestABackupOfPostgresGoesBack(t *testing.T) {
	server := testprog.Postgres(t)
	dir, copied := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	was, is := server.Database(t, ""), server.Database(t, "")
	operators := filepath.Join(t.TempDir(), "operators.csv")
	if err := os.WriteFile(operators, []byte("operator,name\nMA3CLQP01,曹州充电\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := runRegistry(t, dir, "--registry-url", was, "import", "operators", operators); err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, dir: dir, http: freeAddr(t)}
	p.args = []string{"serve", "--data", dir, "--http", p.http, "--mqtt", freeAddr(t), "--registry-url", was}
	p.start()
	t.Cleanup(p.kill)
	p.ready(patience)
	p.stop()
	if said, err := runCopy(t, "backup", "--data", dir, "--registry-url", was, copied); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	again := filepath.Join(t.TempDir(), "again")
	if said, err := runCopy(t, "restore", "--data", again, "--registry-url", is, copied); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	out := filepath.Join(dir, "out.csv")
	if err := runRegistry(t, again, "--registry-url", is, "export", "operators", out); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(out); err != nil || !strings.Contains(string(text), "MA3CLQP01,曹州充电") {
		t.Errorf("operators of the restored registry: %q, %v", text, err)
	}
}
