package simulator

import (
	"strings"
	"testing"
)

func TestScenariosOfTheProgramAreRead(t *testing.T) {
	all, err := Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"operator-outage", "county-power-cut", "firmware-flood", "rolling-restart", "reconnect-storm", "holiday", "hostile-client"} {
		if _, ok := all[want]; !ok {
			t.Errorf("%s is missing", want)
		}
	}
	for name, text := range all {
		s, err := ReadScenario(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if strings.ReplaceAll(s.Name, " ", "-") != name {
			t.Errorf("%s.yaml is named %q", name, s.Name)
		}
		for _, piles := range []int{MinPiles, 3000} {
			stage := Stage{Fleet: generate(t, piles, 1)}
			if got := len(stage.choose(&s.Who)); got != s.Who.Count {
				t.Errorf("%s: a fleet of %d piles has %d as wanted, of %d", name, piles, got, s.Who.Count)
			}
		}
	}
}

func TestAScenarioThatIsWrongIsRefusedByLine(t *testing.T) {
	const right = `name: n
about: a
who: {count: 1}
steps:
  - {do: report, status: idle}
expect:
  - {get: /api/v1/coverage, path: total, is: exactly 1129}
`
	if _, err := ReadScenario([]byte(right)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, was, is, want string }{
		{"nothing", right, "", "empty"},
		{"a key that is none", "about: a", "abuot: a", "line 2"},
		{"no piles", "{count: 1}", "{count: 0}", "line 3: who: count"},
		{"a deed that is none", "do: report", "do: explode", "line 5: steps: do"},
		{"a status that is none", "status: idle", "status: asleep", "line 5: steps: report"},
		{"a wait without end", "do: report, status: idle", "do: wait", "line 5: steps: wait"},
		{"a comparison that is none", "exactly 1129", "about 1129", "line 7: expect: is"},
		{"a figure of nothing", "path: total, ", "", "line 7: expect: get and path"},
		{"another site", "/api/v1/coverage", "http://example.org", "line 7: expect: get and path"},
		{"no expectation", right[strings.Index(right, "expect"):], "", "steps and expect are needed"},
		{"no YAML", "steps:\n", "steps: [\n", "line"},
	} {
		if _, err := ReadScenario([]byte(strings.Replace(right, tt.was, tt.is, 1))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

func TestFiguresAreCompared(t *testing.T) {
	for _, tt := range []struct {
		is          string
		got, before float64
		want        bool
	}{
		{"at least 3", 3, 0, true},
		{"at least 3", 2, 0, false},
		{"at most before", 4, 4, true},
		{"at most before", 5, 4, false},
		{"exactly before", 4, 4, true},
		{"exactly 1", 2, 1, false},
		{"more than before", 5, 4, true},
		{"more than before", 4, 4, false},
		{"less than 2.5", 2, 0, true},
		{"less than before", 2, 2, false},
	} {
		i, err := parseIs(tt.is)
		if err != nil {
			t.Fatal(err)
		}
		if got := i.holds(tt.got, tt.before); got != tt.want {
			t.Errorf("%v is %s (before %v): got %v", tt.got, tt.is, tt.before, got)
		}
	}
}
