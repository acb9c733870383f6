package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

// parse reads a command line as the program does, up to running it.
func parse(t *testing.T, settings string, args ...string) (*CLI, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	cli := &CLI{}
	parser, err := kong.New(cli, kong.Name("pilewatch"), kong.Configuration(loadSettings), kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append(args, "--config", path))
	return cli, err
}

func TestAFlagGoesBeforeTheEnvironmentBeforeTheFile(t *testing.T) {
	const settings = "data: /common\nhttp: a:1\nmqtt: a:2\nflush-every: 5s\nbridge: [\"mqtt://x@h:1/OP\"]\nserve:\n  http: b:1\n"
	t.Setenv("PILEWATCH_GATEWAY_MQTT", "env:2")
	cli, err := parse(t, settings, "serve", "--flush-size", "7")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{
		cli.Serve.Data, cli.Serve.Dashboard.HTTP, cli.Serve.Gateway.MQTT, cli.Serve.Ingest.FlushEvery, cli.Serve.Ingest.FlushSize,
		cli.Serve.Gateway.Bridge, cli.Serve.Dashboard.Public, cli.Serve.Gateway.MaxInFlight,
	}
	want := []any{"/common", "b:1", "env:2", 5 * time.Second, 7, []string{"mqtt://x@h:1/OP"}, false, 256}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings of serve (-want +got):\n%s", diff)
	}
	t.Setenv("PILEWATCH_GATEWAY_MQTT", "env:2")
	if cli, err = parse(t, settings, "demo", "--mqtt", "flag:2"); err != nil {
		t.Fatal(err)
	}
	if got, want := []any{cli.Demo.Gateway.MQTT, cli.Demo.Dashboard.HTTP, cli.Demo.Dashboard.Public}, []any{"flag:2", "a:1", true}; !cmp.Equal(got, want) {
		t.Errorf("settings of demo: got %v, want %v", got, want)
	}
}

func TestAMisspeltSettingIsNamed(t *testing.T) {
	for _, tt := range []struct{ name, settings, want string }{
		{"of no command", "htpp: x\n", `no command has a setting "htpp"`},
		{"of another command", "gateway:\n  flush-every: 1s\n", `gateway has no setting "flush-every"`},
		{"a value of the wrong kind", "flush-every: soon\n", "flush-every"},
		{"not YAML", "a: [\n", "read settings"},
		{"an empty file", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, tt.settings, "serve")
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("settings %q: got %v, want %q", tt.settings, err, tt.want)
			}
		})
	}
}
