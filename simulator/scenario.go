package simulator

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"pilewatch/internal/charge"
)

// A Scenario is something that happens to some piles of a fleet, and what the platform should show of it. It is read
// from a file of YAML; docs/simulator.md names the keys.
type Scenario struct {
	Name    string   `yaml:"name"`
	About   string   `yaml:"about"`
	Who     Chosen   `yaml:"who"`
	Prepare []Step   `yaml:"prepare"` // before the figures are noted with which "before" compares
	Steps   []Step   `yaml:"steps"`
	Expect  []Expect `yaml:"expect"`
	Then    []Step   `yaml:"then"` // how it ends
	After   []Expect `yaml:"after"`
}

// Chosen are the piles that take part: of one operator or county or both, at most so many.
type Chosen struct {
	Operator string `yaml:"operator"`
	County   string `yaml:"county"`
	Site     string `yaml:"site"`
	Count    int    `yaml:"count"`
}

// A Step is one thing that the chosen piles do; the others of its keys say how.
type Step struct {
	Do      Deed          `yaml:"do"`
	Status  string        `yaml:"status"`  // of report
	Times   int           `yaml:"times"`   // of flood, storm and send; 1 if left out
	Topic   string        `yaml:"topic"`   // of send; {operator} and {pile} are put in
	Payload string        `yaml:"payload"` // of send
	For     time.Duration `yaml:"for"`     // of wait
}

// A Deed is what a step does.
type Deed string

// The deeds.
const (
	Report  Deed = "report"  // each tells the status of each of its connectors, over its operator's connection
	Connect Deed = "connect" // each opens its own connection with a last will, and says that it is back and idle
	Cut     Deed = "cut"     // those connections end without a word
	Restart Deed = "restart" // one after the other ends its connection and opens it again
	Storm   Deed = "storm"   // all end and open their connections at once
	Flood   Deed = "flood"   // each sends its status as fast as it is acknowledged
	Send    Deed = "send"    // the operator's connection sends a payload as it stands
	Wait    Deed = "wait"
)

// An Expect is a figure of the dashboard's API and what it must come to.
type Expect struct {
	Get    string        `yaml:"get"`  // {operator}, {county} and {pile} are put in
	Path   string        `yaml:"path"` // keys with points between; # at its end is how many there are
	Is     string        `yaml:"is"`
	Within time.Duration `yaml:"within"` // 30 s if left out
}

//go:embed scenarios/*.yaml
var ownScenarios embed.FS

// Scenarios are those that the program carries, by name.
func Scenarios() (map[string][]byte, error) {
	files, err := fs.Glob(ownScenarios, "scenarios/*.yaml")
	if err != nil {
		return nil, err
	}
	all := make(map[string][]byte, len(files))
	for _, file := range files {
		text, err := ownScenarios.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all[strings.TrimSuffix(strings.TrimPrefix(file, "scenarios/"), ".yaml")] = text
	}
	return all, nil
}

// ReadScenario reads one and checks all of it; what is wrong is told with its line.
func ReadScenario(text []byte) (*Scenario, error) {
	s := &Scenario{}
	in := yaml.NewDecoder(bytes.NewReader(text))
	in.KnownFields(true)
	if err := in.Decode(s); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("read scenario: the file is empty")
		}
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	root := doc.Content[0]
	var all []error
	bad := func(n *yaml.Node, format string, args ...any) {
		all = append(all, fmt.Errorf("line %d: %s", n.Line, fmt.Sprintf(format, args...)))
	}
	if s.Name == "" || s.About == "" {
		bad(root, "name and about are needed")
	}
	if s.Who.Count <= 0 {
		bad(within(root, "who"), "who: count: want how many piles take part")
	}
	if len(s.Steps) == 0 || len(s.Expect) == 0 {
		bad(root, "steps and expect are needed: a scenario names what the platform should show")
	}
	for key, steps := range map[string][]Step{"prepare": s.Prepare, "steps": s.Steps, "then": s.Then} {
		for i := range steps {
			if reason := steps[i].wrong(); reason != "" {
				bad(within(root, key).Content[i], "%s: %s", key, reason)
			}
		}
	}
	for key, expects := range map[string][]Expect{"expect": s.Expect, "after": s.After} {
		for i := range expects {
			e := &expects[i]
			if _, err := parseIs(e.Is); err != nil {
				bad(within(root, key).Content[i], "%s: %v", key, err)
			}
			if !strings.HasPrefix(e.Get, "/api/v1/") || e.Path == "" {
				bad(within(root, key).Content[i], "%s: get and path: want a path of the API, and where in the answer the figure is", key)
			}
		}
	}
	if len(all) > 0 {
		slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, fmt.Errorf("read scenario: %w", errors.Join(all...))
	}
	return s, nil
}

// within gives the value of a key, or the mapping itself where it is not there.
func within(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return mapping
}

var scenarioStatuses = map[string]charge.Status{
	"offline": charge.Offline, "idle": charge.Idle, "occupied": charge.Occupied, "charging": charge.Charging, "fault": charge.Faulted,
}

func (s *Step) wrong() string {
	_, known := scenarioStatuses[s.Status]
	switch s.Do {
	case Report:
		if !known {
			return fmt.Sprintf("report: status %q: want offline, idle, occupied, charging or fault", s.Status)
		}
	case Send:
		if s.Topic == "" {
			return "send: topic is needed"
		}
	case Wait:
		if s.For <= 0 || s.For > time.Hour {
			return "wait: for: want a time up to 1h"
		}
	case Connect, Cut, Restart, Storm, Flood:
	default:
		return fmt.Sprintf("do: %q: want report, connect, cut, restart, storm, flood, send or wait", s.Do)
	}
	if s.Times < 0 || s.Times > 100_000 {
		return "times: want 1 to 100000"
	}
	return ""
}

// An is compares a figure with a number or with what it was before.
type is struct {
	op     string // "at least", "at most", "exactly", "more than", "less than"
	number float64
	before bool
}

func parseIs(text string) (is, error) {
	for _, op := range []string{"at least", "at most", "exactly", "more than", "less than"} {
		rest, ok := strings.CutPrefix(text, op+" ")
		if !ok {
			continue
		}
		if rest == "before" {
			return is{op: op, before: true}, nil
		}
		n, err := strconv.ParseFloat(rest, 64)
		if err != nil {
			break
		}
		return is{op: op, number: n}, nil
	}
	return is{}, fmt.Errorf(`is: %q: want "at least", "at most", "exactly", "more than" or "less than", and a number or "before"`, text)
}

func (i is) holds(got, before float64) bool {
	want := i.number
	if i.before {
		want = before
	}
	switch i.op {
	case "at least":
		return got >= want
	case "at most":
		return got <= want
	case "more than":
		return got > want
	case "less than":
		return got < want
	}
	return got == want
}
