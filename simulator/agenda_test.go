package simulator

import (
	"bytes"
	"encoding/csv"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

func TestAgendaGivesWhatIsDueFirst(t *testing.T) {
	fleet := generate(t, 2000, 1)
	b := newBehaviour(fleet, Defaults(), storyStart, time.Second)
	piles := 0
	for w := range 3 {
		a := newAgenda(b, w, 3)
		v := b.voice(func(*message) {})
		seen := make(map[uint32]bool)
		for last := time.Duration(0); a[0].due < 10*time.Minute; {
			if a[0].due < last {
				t.Fatalf("%s comes after %s", a[0].due, last)
			}
			if int(a[0].pile)%3 != w {
				t.Fatalf("worker %d has pile %d", w, a[0].pile)
			}
			last = a[0].due
			seen[a[0].pile] = true
			b.step(v, int(a[0].pile), last)
			a.reset(b.due(int(a[0].pile)))
		}
		piles += len(seen)
	}
	speaking := 0
	for i := range fleet.Piles {
		if fleet.Piles[i].Condition != FailedSilent {
			speaking++
		}
	}
	if piles != speaking {
		t.Errorf("%d piles acted, want %d", piles, speaking)
	}
}

func TestDefaultsAreWhatTheFlagsSay(t *testing.T) {
	var parsed Config
	parser, err := kong.New(&parsed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*Defaults(), parsed); diff != "" {
		t.Errorf("Defaults and the flags' defaults differ (-Defaults +flags):\n%s", diff)
	}
}

func TestConfigNamesTheFlagThatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Piles = 1999 }, "--piles"},
		{func(c *Config) { c.Connections = -1 }, "--connections"},
		{func(c *Config) { c.ReportEvery = 0 }, "--report-every"},
		{func(c *Config) { c.Broker = "127.0.0.1:1883" }, "--broker"},
		{func(c *Config) { c.Broker = "ws://127.0.0.1:80" }, "--broker"},
		{func(c *Config) { c.Broker = "tcp://127.0.0.1" }, "--broker"},
		{func(c *Config) { c.Broker = "tls://example.org:8883" }, ""},
	} {
		cfg := Defaults()
		tt.change(cfg)
		err := cfg.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("Validate(%+v): got %v, want an error about %q", *cfg, err, tt.want)
		}
	}
}

func TestGenerateWritesTheSameFilesAgain(t *testing.T) {
	files := func(seed uint64) map[string][]byte {
		cmd := GenerateCmd{Dir: filepath.Join(t.TempDir(), "fleet"), Piles: 2000, Seed: seed}
		if err := cmd.Run(t.Context(), slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		all := make(map[string][]byte)
		for _, name := range []string{"operators.csv", "stations.csv", "piles.csv"} {
			content, err := os.ReadFile(filepath.Join(cmd.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			all[name] = content
		}
		return all
	}
	one := files(3)
	if diff := cmp.Diff(one, files(3)); diff != "" {
		t.Error("the same seed gives other files")
	}
	rows, err := csv.NewReader(bytes.NewReader(one["piles.csv"])).ReadAll()
	if err != nil || len(rows) < 2001 {
		t.Errorf("piles.csv has %d rows, %v", len(rows), err)
	}
}
