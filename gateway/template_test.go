package gateway

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/wire"
)

func TestParseTemplate(t *testing.T) {
	tests := []struct {
		name, text string
		err        string // what the error says, "" where there is none
	}{
		{"pile and kind", "charging/{pile}/{kind}", ""},
		{"a fixed kind", "charging/{pile}/realtime=telemetry", ""},
		{"the objects name their piles", "platform/up/{kind}", ""},
		{"levels of any content, and the operator", "sd/{any}/{any}/{operator}/{pile}/{kind}", ""},
		{"a first level of nothing", "/charging/{pile}/{kind}", ""},
		{"Chinese", "充电/{pile}/{kind}", ""},
		{"nothing", "", "is empty"},
		{"only a kind", "=telemetry", "is empty"},
		{"no kind", "charging/{pile}", "nothing tells the kind"},
		{"two kinds", "charging/{pile}/{kind}=status", "leave one out"},
		{"a kind that is none", "charging/{pile}=weather", `kind "weather"`},
		{"a kind of the gateway's own", "charging/{pile}=heard", `kind "heard"`},
		{"no kind behind the sign", "charging/{pile}=", `kind ""`},
		{"two piles", "{pile}/{pile}/{kind}", "{pile} stands there twice"},
		{"a word that is not known", "charging/{station}/{kind}", `"{station}"`},
		{"half a level", "charging/pile-{pile}/{kind}", "each a whole level"},
		{"a brace alone", "charging/{/{kind}", "each a whole level"},
		{"a wildcard", "charging/+/{kind}", "write {any}"},
		{"all below", "charging/{kind}/#", "name every level"},
		{"a share of its own", "$share/g/charging/{pile}/{kind}", "connections=N"},
		{"a byte of nothing", "a\x00/{kind}", "no text"},
		{"no text", "a\xff/{kind}", "no text"},
		{"very long", strings.Repeat("a", 300) + "/{kind}", "too long"},
		{"very deep", strings.Repeat("a/", 20) + "{kind}", "too long"},
	}
	for _, tt := range tests {
		_, err := parseTemplate(tt.text)
		if (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: parseTemplate(%q): got %v, want %q", tt.name, tt.text, err, tt.err)
		}
	}
}

// templatesOf reads several, which must be right.
func templatesOf(t *testing.T, texts ...string) (ts templates) {
	t.Helper()
	for _, text := range texts {
		one, err := parseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		ts = append(ts, one)
	}
	return ts
}

func TestTemplatesThatDisturbEachOther(t *testing.T) {
	tests := []struct {
		name  string
		texts []string
		err   string
	}{
		{"different levels", []string{"a/{pile}/rt=telemetry", "a/{pile}/st=status"}, ""},
		{"different depths", []string{"a/{pile}/{kind}", "a/{any}/{pile}/{kind}"}, ""},
		{"the same twice", []string{"a/{pile}/{kind}", "a/{pile}/{kind}"}, "the same messages"},
		{"one that takes the other's", []string{"a/{pile}/st=status", "a/{pile}/{any}=telemetry"}, "the same messages"},
		{"our own topics with more", []string{"evcs/v1/{operator}/{pile}/{kind}", "evcs/v1/{operator}/{pile}/rt=telemetry"}, ""},
		{"one that hears our answers", []string{"evcs/{any}/{operator}/{pile}/{any}=status"}, "on which we answer"},
		{"seventeen", slices.Repeat([]string{"a/{kind}"}, 17), "at most 16"},
	}
	for _, tt := range tests {
		err := templatesOf(t, tt.texts...).check("OP")
		if (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.err)
		}
	}
}

func TestTemplatesGiveOurTopics(t *testing.T) {
	ts := templatesOf(t, "charging/{pile}/{kind}", "charging/{pile}/rt=telemetry", "all/{operator}/{any}/{kind}")
	want := []string{
		"charging/+/status", "charging/+/telemetry", "charging/+/alarm", "charging/+/order", "charging/+/heartbeat", "charging/+/rt",
		"all/OP/+/status", "all/OP/+/telemetry", "all/OP/+/alarm", "all/OP/+/order", "all/OP/+/heartbeat",
	}
	if diff := cmp.Diff(want, ts.filters("OP")); diff != "" {
		t.Errorf("filters (-want +got):\n%s", diff)
	}
	for topic, want := range map[string]string{
		"charging/P1/status":      "evcs/v1/OP/P1/status",
		"charging/P1/rt":          "evcs/v1/OP/P1/telemetry",
		"all/OP/菏泽/order":         "evcs/v1/OP/-/order",
		"all/OTHER/菏泽/order":      "all/OTHER/菏泽/order",
		"charging/P1/weather":     "charging/P1/weather",
		"charging/P1":             "charging/P1",
		"charging/P1/rt/more":     "charging/P1/rt/more",
		"charging/a b/rt":         "charging/a b/rt",
		"charging/-/status":       "evcs/v1/OP/-/status",
		"evcs/v1/OTHER/P1/status": "evcs/v1/OTHER/P1/status",
		"":                        "",
	} {
		if got := ts.ours("OP", topic); got != want {
			t.Errorf("%q: got %q, want %q", topic, got, want)
		}
	}
	if got := templates(nil).ours("OP", "evcs/v1/OP/P1/status"); got != "evcs/v1/OP/P1/status" {
		t.Errorf("without templates: got %q", got)
	}
}

// Whatever the template: it never makes a topic of another operator's, and each topic that its
// filters take for a possible pile is one of ours.
func FuzzParseTemplate(f *testing.F) {
	f.Add("charging/{pile}/{kind}", "charging/P1/status")
	f.Add("a/{any}/{operator}/{pile}/rt=telemetry", "a/b/OP/P1/rt")
	f.Add("{kind}", "order")
	f.Add("/{pile}//{kind}/", "/P1//alarm/")
	f.Add("charging/{station}/{kind}", "charging//")
	f.Fuzz(func(t *testing.T, text, topic string) {
		one, err := parseTemplate(text)
		if err != nil {
			return
		}
		if ours, ok := one.ours("OP", topic); ok {
			a, err := wire.ParseTopic(ours)
			if err != nil || a.Operator != "OP" {
				t.Fatalf("template %q makes %q of %q: %v", text, ours, topic, err)
			}
		}
		for _, filter := range one.filters("OP") {
			if strings.ContainsAny(filter, "#{}") || strings.HasPrefix(filter, "$") {
				t.Fatalf("template %q subscribes to %q", text, filter)
			}
			if _, ok := one.ours("OP", strings.ReplaceAll(filter, "+", "P1")); !ok {
				t.Fatalf("template %q does not take what %q brings", text, filter)
			}
		}
	})
}
