package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/testprog"
)

func TestConformSaysWhichMessagesCannotBeUsed(t *testing.T) {
	now := time.Now().UnixMilli()
	good := fmt.Sprintf(`evcs/v1/MA3CLQP01/P1/status {"connector":"1","time":%d,"status":1}`, now)
	for _, tt := range []struct {
		name, messages string
		args           []string
		says           []string
		fails          bool
	}{
		{"all good", good + "\n\n" + good, nil, []string{"2 messages: 2 objects can be used, 0 problems"}, false},
		{"a status of another standard", strings.Replace(good, `"status":1`, `"status":7`, 1), nil, []string{"line 1: bad_status: status 7"}, true},
		{
			"one bad of two", fmt.Sprintf(`evcs/v1/MA3CLQP01/-/telemetry [{"pile":"P1","connector":"1","time":%d,"power_kw":7},{"pile":"P2","connector":"1","time":%d,"power_kw":7000}]`, now, now), nil,
			[]string{"line 1: out_of_range: power_kw", "object 2, pile P2", "1 objects can be used, 1 problems"},
			true,
		},
		{"a topic that nobody listens to", "evcs/v2/MA3CLQP01/P1/status {}", nil, []string{"bad_topic: evcs/v2/"}, true},
		{
			"payloads of one topic", fmt.Sprintf(`{"connector":"1","time":%d,"status":1,"colour":"red"}`, now),
			[]string{"--topic", "evcs/v1/MA3CLQP01/P1/status"},
			[]string{"1 objects can be used", "1 fields that are not known"},
			false,
		},
		{"no topic at all", `{"status":1}`, nil, nil, true},
		{"nothing", "", nil, []string{"0 messages"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "messages")
			if err := os.WriteFile(file, []byte(tt.messages), 0o600); err != nil {
				t.Fatal(err)
			}
			cli, err := parse(t, "", append([]string{"conform", file}, tt.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := cli.Conform.Run(t.Context(), &out); (err != nil) != tt.fails {
				t.Errorf("ends with %v", err)
			}
			for _, want := range tt.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("got:\n%swant: %s", out.String(), want)
				}
			}
		})
	}
}

func TestConformListensAtAnOperatorsBroker(t *testing.T) {
	broker := testprog.Mosquitto(t, "")
	pub, _ := testprog.MosquittoClients(t)
	cli, err := parse(t, "", "conform", "--broker", "mqtt://"+broker+"/MA3CLQP01", "--messages", "1", "--for", patience.String())
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(broker, ":")
	sending := exec.CommandContext(t.Context(), pub, "-h", host, "-p", port, "-q", "1", "-t", "evcs/v1/MA3CLQP01/P1/status", "-m", "rubbish",
		"--repeat", "200", "--repeat-delay", "0.1") // until it listens
	if err := sending.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = sending.Process.Kill(), sending.Wait() }()
	var out strings.Builder
	if err := cli.Conform.Run(t.Context(), &out); err == nil || !strings.Contains(out.String(), "bad_json: payload is not JSON") {
		t.Errorf("ends with %v:\n%s", err, out.String())
	}
}

// What the guides tell operators to send can be used.
func TestTheGuidesMessagesConform(t *testing.T) {
	line := regexp.MustCompile(`(?m)^ +mosquitto_pub .* -t \$T/(\w+) +-m '(.*)'$`)
	for _, path := range []string{"docs/guide-operator.en.md", "docs/guide-operator.zh.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		r := &conformity{out: &out}
		for _, m := range line.FindAllStringSubmatch(string(text), -1) {
			payload := strings.ReplaceAll(m[2], "'$NOW'", strconv.FormatInt(time.Now().UnixMilli(), 10))
			r.message(m[1], "evcs/v1/MA3CLQP01/P1/"+m[1], []byte(payload))
		}
		if r.usable != 3 || r.problems > 0 || r.unknown > 0 {
			t.Errorf("%s: %d messages, %d usable, %d unknown fields:\n%s", path, r.messages, r.usable, r.unknown, out.String())
		}
	}
}
