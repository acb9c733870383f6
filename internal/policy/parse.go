package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"pilewatch/internal/charge"
)

// A LineError is one thing that is wrong in a policy file.
type LineError struct {
	Line   int
	Key    string // like "coverage.min_usable_minutes"; "" where the whole is meant
	Reason string
}

func (e LineError) String() string {
	if e.Key == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("line %d, %s: %s", e.Line, e.Key, e.Reason)
}

// An Error is everything that is wrong in a policy file, by line.
type Error struct{ Lines []LineError }

func (e *Error) Error() string {
	all := make([]string, len(e.Lines))
	for i, line := range e.Lines {
		all[i] = line.String()
	}
	return "policy is refused: " + strings.Join(all, "; ")
}

const (
	maxFile = 64 << 10
	maxText = 100 // characters
)

// Parse reads a policy file. A key that is left out has the program's default, but version and from
// must be there. What is not a key, occurs twice, has the wrong type or is out of its range refuses
// the file with an *Error that names every such line.
func Parse(file []byte) (*Policy, error) {
	bad := &Error{}
	root := readRoot(file, bad)
	p := &Policy{}
	r := reader{bad: bad, seen: map[string]int{}, fields: map[string]field{}, sections: map[string]bool{}}
	for _, f := range fieldsOf(p) {
		r.fields[f.key] = f
		for i, c := range f.key {
			if c == '.' {
				r.sections[f.key[:i]] = true
			}
		}
	}
	if root != nil {
		r.section(root, "")
	}
	for _, f := range fieldsOf(p) {
		_, given := r.seen[f.key]
		switch {
		case given:
		case f.needed && root != nil:
			r.fail(root.Line, f.key, "missing")
		case !f.needed:
			if reason := f.set(&yaml.Node{Kind: yaml.ScalarNode, Tag: f.tag, Value: f.byDefault}); reason != "" {
				return nil, fmt.Errorf("default of %s: %s", f.key, reason)
			}
		}
	}
	if len(bad.Lines) == 0 {
		r.compare(p)
	}
	if len(bad.Lines) > 0 {
		slices.SortStableFunc(bad.Lines, func(a, b LineError) int { return cmp.Compare(a.Line, b.Line) })
		return nil, bad
	}
	return p, nil
}

// readRoot gives the mapping that the file is, nil where it is none.
func readRoot(file []byte, bad *Error) *yaml.Node {
	fail := func(line int, reason string) *yaml.Node {
		bad.Lines = append(bad.Lines, LineError{Line: line, Reason: strings.ToValidUTF8(reason, "\ufffd")})
		return nil
	}
	if len(file) > maxFile {
		return fail(1, fmt.Sprintf("the file has over %d bytes", maxFile))
	}
	var doc, more yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(file))
	switch err := in.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return fail(1, "the file is empty")
	case err != nil:
		return fail(lineOf(err), "not YAML: "+err.Error())
	}
	if err := in.Decode(&more); !errors.Is(err, io.EOF) {
		return fail(1, "more than one document")
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return fail(max(doc.Line, 1), "want keys with values, like version: 2026-1")
	}
	return doc.Content[0]
}

// lineOf finds the line in the words of the YAML library's error.
func lineOf(err error) int {
	_, rest, _ := strings.Cut(err.Error(), "line ")
	digits := rest
	if i := strings.IndexFunc(rest, func(r rune) bool { return !unicode.IsDigit(r) }); i >= 0 {
		digits = rest[:i]
	}
	line, convErr := strconv.Atoi(digits)
	if convErr != nil {
		return 1
	}
	return max(line, 1)
}

type reader struct {
	bad      *Error
	fields   map[string]field
	sections map[string]bool
	seen     map[string]int // by key, on which line
}

func (r *reader) fail(line int, key, format string, args ...any) {
	r.bad.Lines = append(r.bad.Lines, LineError{max(line, 1), key, fmt.Sprintf(format, args...)})
}

func (r *reader) section(n *yaml.Node, prefix string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode {
			r.fail(name.Line, strings.TrimSuffix(prefix, "."), "a key that is no word")
			continue
		}
		key := prefix + quoted(name.Value)
		if first, ok := r.seen[key]; ok {
			r.fail(name.Line, key, "is on line %d already", first)
			continue
		}
		r.seen[key] = name.Line
		f, known := r.fields[key]
		switch {
		case r.sections[key] && value.Kind == yaml.MappingNode:
			r.section(value, key+".")
		case r.sections[key]:
			r.fail(name.Line, key, "want keys with values below it")
		case !known:
			r.fail(name.Line, key, "unknown key; docs/policy.md lists them")
		default:
			if reason := f.set(value); reason != "" {
				r.fail(value.Line, key, "%s", reason)
			}
		}
	}
}

// compare checks numbers against each other.
func (r *reader) compare(p *Policy) {
	if p.Coverage.PaceLow >= p.Coverage.PaceHigh {
		r.fail(r.seen["coverage.pace_high_pct"], "coverage.pace_high_pct", "want more than pace_low_pct")
	}
	if p.Coverage.MinUsable > p.Coverage.Window {
		r.fail(r.seen["coverage.min_usable_minutes"], "coverage.min_usable_minutes", "more than the window of window_hours has")
	}
	g := p.Gaps
	if g.Distance+g.Demand+g.Tag+g.Population+g.Grid+g.Holiday <= 0 {
		r.fail(r.seen["gaps"], "gaps", "every weight is 0")
	}
}

// quoted makes a stranger's key fit for a message.
func quoted(s string) string {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			s = strings.ToValidUTF8(s, "\ufffd")
			if runes := []rune(s); len(runes) > maxText {
				s = string(runes[:maxText]) + "…"
			}
			return strconv.Quote(s)
		}
	}
	return s
}

// A field is one key of the file and where its value goes.
type field struct {
	key       string
	byDefault string
	tag       string // of the default, as the YAML library names types
	needed    bool
	set       func(*yaml.Node) (reason string)
}

func number(n *yaml.Node, least, most float64) (float64, string) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" && n.ShortTag() != "!!float" {
		return 0, fmt.Sprintf("%s is not a number", shown(n))
	}
	v, err := strconv.ParseFloat(n.Value, 64)
	if err != nil || math.IsNaN(v) || strings.ContainsAny(n.Value, "xX_") {
		return 0, fmt.Sprintf("%s is not a number in plain digits", shown(n))
	}
	if v < least || v > most {
		return 0, fmt.Sprintf("%s is out of range: want %s to %s", shown(n), plain(least), plain(most))
	}
	return v, ""
}

func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func shown(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	return strconv.Quote(strings.ToValidUTF8(n.Value[:min(len(n.Value), maxText)], "\ufffd"))
}

func numberField(key string, byDefault, least, most float64, put func(float64)) field {
	return field{key: key, byDefault: plain(byDefault), tag: "!!float", set: func(n *yaml.Node) string {
		v, reason := number(n, least, most)
		if reason == "" {
			put(v)
		}
		return reason
	}}
}

// duration is a number of the unit, from least to most of them.
func duration(key string, unit time.Duration, byDefault, least, most float64, into *time.Duration) field {
	return numberField(key, byDefault, least, most, func(v float64) {
		*into = time.Duration(math.Round(v * float64(unit)))
	})
}

func percent(key string, byDefault float64, into *float64) field {
	return numberField(key, byDefault, 0, 100, func(v float64) { *into = v / 100 })
}

func kwh(key string, byDefault float64, into *float64) field {
	return numberField(key, byDefault, 0, 1_000_000, func(v float64) { *into = v * 1000 })
}

func factor(key string, byDefault, most float64, into *float64) field {
	return numberField(key, byDefault, 0, most, func(v float64) { *into = v })
}

func whole(key string, byDefault, least, most int, into *int) field {
	return field{key: key, byDefault: strconv.Itoa(byDefault), tag: "!!int", set: func(n *yaml.Node) string {
		v, reason := number(n, float64(least), float64(most))
		if reason == "" && v != math.Trunc(v) {
			return fmt.Sprintf("%s is not a whole number", shown(n))
		}
		if reason == "" {
			*into = int(v)
		}
		return reason
	}}
}

func yes(key string, byDefault bool, into *bool) field {
	return field{key: key, byDefault: strconv.FormatBool(byDefault), tag: "!!bool", set: func(n *yaml.Node) string {
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Value != "true" && n.Value != "false" {
			return shown(n) + " is neither true nor false"
		}
		*into = n.Value == "true"
		return ""
	}}
}

func text(key string, needed bool, into *string) field {
	return field{key: key, tag: "!!str", needed: needed, set: func(n *yaml.Node) string {
		v := strings.TrimSpace(n.Value)
		switch {
		case n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" && needed:
			return shown(n) + " is not a text"
		case n.ShortTag() == "!!null":
			v = ""
		case needed && v == "":
			return "missing"
		case utf8.RuneCountInString(v) > maxText:
			return fmt.Sprintf("over %d characters", maxText)
		case !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl):
			return "a line break or another control character"
		}
		*into = v
		return ""
	}}
}

func day(key string, into *time.Time) field {
	return field{key: key, needed: true, set: func(n *yaml.Node) string {
		at, err := time.ParseInLocation(time.DateOnly, n.Value, charge.Zone)
		if n.Kind != yaml.ScalarNode || err != nil || at.Year() < 2000 || at.Year() > 2999 {
			return shown(n) + " is not a day: want like 2026-01-01"
		}
		*into = at
		return ""
	}}
}

// words is a list of words, sorted.
func words(key string, byDefault []string, into *[]string) field {
	return field{key: key, byDefault: strings.Join(byDefault, ","), set: func(n *yaml.Node) string {
		if n.Kind == yaml.ScalarNode && n.Tag == "" { // the default
			*into = slices.Clone(byDefault)
			return ""
		}
		if n.Kind != yaml.SequenceNode {
			return shown(n) + " is not a list"
		}
		list := []string{}
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || item.Value == "" || quoted(item.Value) != item.Value {
				return shown(item) + " is not a word of a-z, 0-9 and _"
			}
			list = append(list, item.Value)
		}
		slices.Sort(list)
		*into = slices.Compact(list)
		return ""
	}}
}
