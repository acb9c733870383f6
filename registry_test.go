package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"pilewatch/internal/registry"
)

// runRegistry runs `pilewatch registry --data dir args...`.
func runRegistry(t *testing.T, dir string, args ...string) error {
	t.Helper()
	var cli struct {
		Registry RegistryCmd `cmd:""`
	}
	parser, err := kong.New(&cli, kong.Name("pilewatch"), kong.BindTo(t.Context(), (*context.Context)(nil)),
		kong.Bind(slog.New(slog.DiscardHandler)), kong.BindTo(t.Output(), (*io.Writer)(nil)))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(append([]string{"registry", "--data", dir}, args...))
	if err != nil {
		return err
	}
	return parsed.Run()
}

func TestRegistryCommands(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	operators := file("operators.csv", "operator,name\nMA3CLQP01,鲁充\n")
	stations := file("stations.csv", "operator,station,township,kind,opened\nMA3CLQP01,S1,371721101,public,2023-05-01\n")
	piles := file("piles.csv", "operator,station,pile,connector,power_kw,opened\nMA3CLQP01,S1,P1,1,60,2023-05-01\n")
	bad := file("bad.csv", "operator,station,pile,connector,power_kw,opened\nMA3CLQP01,S2,P1,1,x,2023-05-01\n")
	moved := file("moved.csv", "operator,station,township,kind,opened\nMA3CLQP01,S1,371721102,public,2023-05-01\n")
	cuts := file("cuts.csv", "kind,division,from,until,cause\npower_cut,371721,2026-03-01,2026-03-02,storm\n")
	rules := file("policy.yaml", "version: 2026-1\nfrom: 2026-01-01\n")
	out := filepath.Join(dir, "out.csv")
	for _, tt := range []struct {
		name string
		args []string
		want string // in the error; "" is none
	}{
		{"operators", []string{"import", "operators", operators}, ""},
		{"stations", []string{"import", "stations", stations}, ""},
		{"piles", []string{"import", "piles", piles}, ""},
		{"a bad file", []string{"import", "piles", bad}, "import piles: 2 errors, nothing imported"},
		{"no such file", []string{"import", "piles", filepath.Join(dir, "none.csv")}, "no such file"},
		{"no such table", []string{"import", "cars", piles}, "must be one of"},
		{"a date for piles", []string{"import", "piles", piles, "--as-of", "2024-01-01"}, "--as-of is for divisions"},
		{"a date that is none", []string{"import", "divisions", piles, "--as-of", "today"}, "want YYYY-MM-DD"},
		{"export to a file", []string{"export", "piles", out}, ""},
		{"export to standard output", []string{"export", "operators"}, ""},
		{"credential of an operator", []string{"credential", "issue", "MA3CLQP01"}, ""},
		{"credential of a pile", []string{"credential", "issue", "MA3CLQP01", "P1"}, ""},
		{"credential of nobody", []string{"credential", "issue", "NONE"}, "unknown operator NONE"},
		{"list", []string{"credential", "list"}, ""},
		{"revoke", []string{"credential", "revoke", "1"}, ""},
		{"a station that moves", []string{"import", "stations", moved}, ""},
		{"what waits", []string{"confirm", "list"}, ""},
		{"nobody confirms", []string{"confirm", "accept", "1"}, "missing flags: --by"},
		{"an officer confirms", []string{"confirm", "accept", "1", "--by", "李四"}, ""},
		{"nothing waits any more", []string{"confirm", "refuse", "1", "--by", "李四"}, "nothing to confirm"},
		{"excuses of the grid", []string{"import", "excuses", cuts}, ""},
		{"excuses", []string{"excuse", "list", "--state", "granted"}, ""},
		{"nothing is claimed", []string{"excuse", "grant", "1", "--by", "李四"}, "unknown excuse"},
		{"policy that the program carries", []string{"policy", "show"}, ""},
		{"a policy of one's own", []string{"policy", "import", rules}, ""},
		{"a wrong policy", []string{"policy", "import", piles}, "policy is refused: line 1"},
		{"policies", []string{"policy", "list"}, ""},
		{"policy by its name", []string{"policy", "show", "2026-1"}, ""},
		{"policy that is not there", []string{"policy", "show", "2027-1"}, "no policy 2027-1"},
		{"revoke what is not there", []string{"credential", "revoke", "9"}, "unknown credential 9"},
		{"an operator by mistake", []string{"import", "operators", file("mistake.csv", "operator\nMISTAKE\n")}, ""},
		{"remove it", []string{"remove", "operator", "MISTAKE"}, ""},
		{"remove it again", []string{"remove", "operator", "MISTAKE"}, "unknown operator"},
		{"remove a pile that is not there", []string{"remove", "pile", "MA3CLQP01:P9"}, "unknown pile"},
		{"remove a station that is not there", []string{"remove", "station", "MA3CLQP01:S9", "--force"}, "unknown station"},
		{"remove a pile of nobody", []string{"remove", "pile", "P1"}, "want OPERATOR:ID"},
		{"remove a car", []string{"remove", "car", "A:B"}, "must be one of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := runRegistry(t, dir, tt.args...)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("registry %v: got %v, want %q", tt.args, err, tt.want)
			}
		})
	}
	exported, err := os.ReadFile(out)
	if err != nil || !strings.Contains(string(exported), "\nMA3CLQP01,S1,P1,1,,,,,60,,2023-05-01,\n") {
		t.Errorf("exported piles: got %q, %v", exported, err)
	}
	r, err := registry.Open(t.Context(), filepath.Join(dir, "registry.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if all, err := r.Credentials(t.Context()); err != nil || len(all) != 2 || all[0].Revoked.IsZero() || all[1].Pile != "P1" {
		t.Errorf("credentials: got %+v, %v", all, err)
	}
}

func TestANewListOfDivisionsByItsDate(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list.csv")
	if err := os.WriteFile(list, []byte("code,name\n37,山东省\n3717,菏泽市\n371721,曹县\n371721101,庄寨镇\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := runRegistry(t, dir, "import", "divisions", list, "--as-of", "2025-06-30"); err != nil {
		t.Fatal(err)
	}
	r, err := registry.Open(t.Context(), filepath.Join(dir, "registry.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d, err := r.Directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if asOf, err := r.DivisionsAsOf(t.Context()); err != nil || asOf != "2025-06-30" || len(d.Divisions()) != 4 {
		t.Errorf("got %d divisions as of %q, %v, want 4 as of 2025-06-30", len(d.Divisions()), asOf, err)
	}
}
