package main

import (
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"pilewatch/gateway"
)

// The table of the door's limits names only flags and metrics that exist, and each --max- flag of the
// gateway stands in it with its default.
func TestTheTableOfLimitsIsTrue(t *testing.T) {
	text, err := os.ReadFile("docs/mqtt.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "\n## Limits\n")
	table, _, ends := strings.Cut(table, "\n## ")
	if !ok || !ends {
		t.Fatal("docs/mqtt.md has no section Limits")
	}
	var cfg gateway.Config
	parser, err := kong.New(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if got, want := cfg, *gateway.Defaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("the flags' defaults: got %+v, want those of Defaults: %+v", got, want)
	}
	flags := map[string]string{} // with their defaults
	for _, f := range parser.Model.Flags {
		flags[f.Name] = f.Default
	}
	named := map[string]bool{}
	for _, found := range regexp.MustCompile("`--([a-z-]+)").FindAllStringSubmatch(table, -1) {
		named[found[1]] = true
		if _, ok := flags[found[1]]; !ok {
			t.Errorf("the table names --%s, which the gateway does not have", found[1])
		}
	}
	for name := range flags {
		if strings.HasPrefix(name, "max-") && !named[name] {
			t.Errorf("--%s is a limit and not in the table", name)
		}
	}
	spelt := map[string]string{ // as the table has them
		"max-packet-bytes": "4 MiB", "max-waiting-bytes": "64 MiB", "log-min-free": "2 GiB", "max-keep-alive": "20 min",
		"max-clients": "200,000", "max-clients-per-address": "20,000", "max-connect-rate": "2,000", "max-operator-rate": "20,000",
	}
	bytes := map[string]string{"4194304": "4 MiB", "67108864": "64 MiB", "2147483648": "2 GiB", "20m": "20 min"}
	for name := range named {
		want := flags[name]
		if s, ok := spelt[name]; ok {
			if plain := strings.ReplaceAll(s, ",", ""); plain != want && bytes[want] != s {
				t.Errorf("the default of --%s is %s, and this test spells it %s", name, want, s)
			}
			want = s
		}
		if !strings.Contains(table, "`--"+name+"` "+want) && !strings.Contains(table, "`--"+name+" "+want) {
			t.Errorf("the table does not give the default of --%s, which is %s", name, want)
		}
	}
	source, err := exec.CommandContext(t.Context(), "grep", "-rhoE", `"gateway_[a-z_0-9]+"`, "gateway", "internal/journal", "--include=*.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, metric := range regexp.MustCompile("gateway_[a-z_0-9]+").FindAllString(table, -1) {
		if !strings.Contains(string(source), `"`+metric+`"`) {
			t.Errorf("the table names the metric %s, which nobody counts", metric)
		}
	}
	for line := range strings.SplitSeq(table, "\n") {
		if cells := strings.Split(line, "|"); len(cells) == 6 && strings.TrimSpace(cells[4]) == "–" {
			t.Errorf("a limit without a metric: %s", line)
		}
	}
}
