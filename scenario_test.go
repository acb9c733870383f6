package main

import (
	"bytes"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"pilewatch/internal/charge"
	"pilewatch/simulator"
)

// Each scenario that the program carries is played against a platform, whose API must show what it names. They share a
// platform, one after the other, since each leaves its piles as it found them or says what it changed.
func TestScenariosShowWhatTheyName(t *testing.T) {
	var fleet *simulator.Fleet
	f := startPlatform(t, setup{load: loadFleet(&fleet)})
	all, err := simulator.Scenarios()
	if err != nil || len(all) < 7 {
		t.Fatalf("%d scenarios, %v", len(all), err)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			s, err := simulator.ReadScenario(all[name])
			if err != nil {
				t.Fatal(err)
			}
			stage := simulator.Stage{
				Fleet: fleet, Broker: "tcp://" + f.mqtt, API: "http://" + f.http, Token: f.token, Say: t.Logf,
				Credentials: func(op charge.OperatorID) (string, string) { return string(op), f.tokens[op] },
			}
			if err := stage.Play(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestScenariosAreListedAndOthersRefused(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.DiscardHandler)
	if err := (&SimulatorScenarioCmd{}).Run(t.Context(), log, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"operator-outage", "hostile-client", "counted with its reason"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the list lacks %q:\n%s", want, out.String())
		}
	}
	for name, want := range map[string]string{"no-such": "holiday", "holiday": "no simulated fleet"} {
		c := SimulatorScenarioCmd{DataConfig: DataConfig{Data: t.TempDir()}, Scenario: name}
		if err := c.Run(t.Context(), log, &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("scenario %s: got %v, want an error with %q", name, err, want)
		}
	}
}
