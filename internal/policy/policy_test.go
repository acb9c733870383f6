package policy

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

func TestDefaultsAreThoseOfTheFile(t *testing.T) {
	bare, err := Parse([]byte("version: default\nfrom: 2023-01-01\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), bare); diff != "" {
		t.Errorf("the embedded file (-) and what holds where a key is left out (+):\n%s", diff)
	}
	if p := Default(); p.Coverage.MinUsable != time.Hour || p.LongFailed.Faulted.AtLeast != 0.97 || p.LongFailed.NoEnergy.NeighboursWh != 50_000 ||
		!p.From.Equal(time.Date(2022, 12, 31, 16, 0, 0, 0, time.UTC)) {
		t.Errorf("units: got %+v", p)
	}
}

func TestEveryKeyIsInTheFileAndInTheDocument(t *testing.T) {
	doc, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fieldsOf(&Policy{}) {
		start := fmt.Sprintf("| `%s` |", f.key)
		if f.byDefault != "" {
			start += fmt.Sprintf(" %s |", strings.ReplaceAll(f.byDefault, ",", ", "))
		}
		if !strings.Contains(string(doc), "\n"+start) {
			t.Errorf("docs/policy.md has no row %q", start)
		}
		last := f.key[strings.LastIndexByte(f.key, '.')+1:]
		if !strings.Contains(string(DefaultFile()), last+":") {
			t.Errorf("default.yaml has no %s", f.key)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	const head = "version: 2026-1\nfrom: 2026-01-01\n"
	for _, tt := range []struct {
		name, file string
		want       []LineError
	}{
		{"an empty file", "", []LineError{{1, "", "the file is empty"}}},
		{"a list", "- 1\n", []LineError{{1, "", "want keys with values, like version: 2026-1"}}},
		{"no version and no first day", "coverage:\n  window_hours: 24\n", []LineError{{1, "version", "missing"}, {1, "from", "missing"}}},
		{"a misspelt key", head + "coverage:\n  min_usable_minuts: 60\n", []LineError{
			{4, "coverage.min_usable_minuts", "unknown key; docs/policy.md lists them"},
		}},
		{"a key outside its section", head + "min_usable_minutes: 60\n", []LineError{
			{3, "min_usable_minutes", "unknown key; docs/policy.md lists them"},
		}},
		{"out of range, and of the wrong type, all of them", head + "coverage:\n  min_usable_minutes: -1\n  window_hours: \"24\"\n  proven_days: 1.5\n  proven_kwh: .nan\n", []LineError{
			{4, "coverage.min_usable_minutes", `"-1" is out of range: want 0 to 10080`},
			{5, "coverage.window_hours", `"24" is not a number`},
			{6, "coverage.proven_days", `"1.5" is not a whole number`},
			{7, "coverage.proven_kwh", `".nan" is not a number in plain digits`},
		}},
		{"a number where a section is", head + "coverage: 60\n", []LineError{{3, "coverage", "want keys with values below it"}}},
		{"a section where a number is", head + "coverage:\n  window_hours:\n    public: 1\n", []LineError{{5, "coverage.window_hours", "a section is not a number"}}},
		{"a key twice", head + "lateness_hours: 72\nlateness_hours: 48\n", []LineError{{4, "lateness_hours", "is on line 3 already"}}},
		{"a day that is none", "version: x\nfrom: 2026-02-30\n", []LineError{{2, "from", `"2026-02-30" is not a day: want like 2026-01-01`}}},
		{"yes for true", head + "case:\n  public: yes\n", []LineError{{4, "case.public", `"yes" is neither true nor false`}}},
		{"an alias", head + "lateness_hours: &a 72\nblocked_after_hours: *a\n", []LineError{{4, "blocked_after_hours", "an alias is not a number"}}},
		{"two documents", head + "---\n" + head, []LineError{{1, "", "more than one document"}}},
		{"a range upside down", head + "coverage:\n  pace_low_pct: 90\n  pace_high_pct: 10\n", []LineError{{5, "coverage.pace_high_pct", "want more than pace_low_pct"}}},
		{"more minutes than the window has", head + "coverage:\n  min_usable_minutes: 61\n  window_hours: 1\n", []LineError{
			{4, "coverage.min_usable_minutes", "more than the window of window_hours has"},
		}},
		{"no weight at all", head + "gaps:\n  distance: 0\n  demand: 0\n  tag: 0\n  population: 0\n  grid: 0\n  holiday: 0\n", []LineError{{3, "gaps", "every weight is 0"}}},
		{"causes that are no words", head + "excuses:\n  power_cut_not_excused: [arrears, \"a b\"]\n", []LineError{
			{4, "excuses.power_cut_not_excused", `"a b" is not a word of a-z, 0-9 and _`},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.file))
			var bad *Error
			if !errors.As(err, &bad) {
				t.Fatalf("Parse: got %v, want an Error", err)
			}
			if diff := cmp.Diff(tt.want, bad.Lines); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
	var bad *Error
	if _, err := Parse([]byte(head + "coverage:\n   a: [\n")); !errors.As(err, &bad) || bad.Lines[0].Line < 4 || !strings.HasPrefix(bad.Lines[0].Reason, "not YAML: ") {
		t.Errorf("what is not YAML: got %v", err)
	}
}

func TestWhatIsTaken(t *testing.T) {
	p, err := Parse([]byte("version: 2026-1\nfrom: 2026-01-01\nexcuses:\n  power_cut_not_excused: [theft, arrears, theft]\ncase:\n  document: 鲁能源〔2026〕1号\n  public: true\ncoverage:\n  min_usable_minutes: 90\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Version, want.From = "2026-1", time.Date(2026, 1, 1, 0, 0, 0, 0, charge.Zone)
	want.Excuses.NotExcused = []string{"arrears", "theft"}
	want.Case.Document, want.Case.Public = "鲁能源〔2026〕1号", true
	want.Coverage.MinUsable = 90 * time.Minute
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
}

func TestSilenceLimit(t *testing.T) {
	s := Default().Silence
	for _, tt := range []struct {
		name  string
		kind  charge.StationKind
		every time.Duration
		want  time.Duration
	}{
		{"nothing declared", charge.Public, 0, 15 * time.Minute},
		{"often", charge.Public, time.Minute, 15 * time.Minute},
		{"every ten minutes", charge.Public, 10 * time.Minute, 30 * time.Minute},
		{"a public pile once a day", charge.Public, 24 * time.Hour, 24 * time.Hour},
		{"a household's once a day", charge.Residential, 24 * time.Hour, 72 * time.Hour},
	} {
		if got := s.Limit(tt.kind, tt.every); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestTheVersionInForce(t *testing.T) {
	version := func(name, from string) *Policy {
		p, err := Parse([]byte("version: " + name + "\nfrom: " + from + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	all := NewPolicies(version("c", "2026-07-01"), version("b", "2026-01-01"))
	for _, tt := range []struct{ at, want string }{
		{"2020-01-01T00:00:00+08:00", "default"},
		{"2025-12-31T23:59:59+08:00", "default"},
		{"2026-01-01T00:00:00+08:00", "b"},
		{"2026-06-30T16:00:00Z", "c"},
		{"2030-01-01T00:00:00Z", "c"},
	} {
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := all.At(at).Version; got != tt.want {
			t.Errorf("At(%s): got %s, want %s", tt.at, got, tt.want)
		}
	}
	if got := NewPolicies(version("early", "2022-01-01")); len(got) != 1 || got.At(time.Time{}).Version != "early" {
		t.Errorf("a version before the default's first day: got %d versions, want it alone", len(got))
	}
}

func FuzzParse(f *testing.F) {
	f.Add(DefaultFile())
	f.Add([]byte("version: 1\nfrom: 2026-01-01\nx: &a [*a]\n"))
	f.Add([]byte("? {a: b}\n: c\n<<: {version: 1}\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := Parse(file)
		var bad *Error
		switch {
		case err == nil:
			if p.Version == "" || p.From.IsZero() || p.Coverage.MinUsable <= 0 || p.StatusLimit.Public <= 0 {
				t.Errorf("taken, and not whole: %+v", p)
			}
		case !errors.As(err, &bad) || len(bad.Lines) == 0:
			t.Errorf("refused without a line: %v", err)
		default:
			for _, line := range bad.Lines {
				if line.Line < 1 || line.Reason == "" || !utf8.ValidString(line.String()) {
					t.Errorf("line without number or reason, or not UTF-8: %+v", line)
				}
			}
		}
	})
}
