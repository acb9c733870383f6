package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pilewatch/simulator"
)

// What a drive sends is in history, reading by reading, and the command says so.
func TestWhatALoadSendsIsInHistory(t *testing.T) {
	f := startPlatform(t, setup{})
	if err := writeFleetNote(filepath.Join(f.dir, fleetFile), &fleetNote{Tokens: f.tokens}); err != nil {
		t.Fatal(err)
	}
	load := SimulatorLoadCmd{
		DataConfig: DataConfig{Data: f.dir}, Broker: "tcp://" + f.mqtt, Connections: 4, Charging: 1, Rate: 200, Length: 2 * time.Second,
		Verify: "http://" + f.http + "/", JSON: true,
	}
	var out bytes.Buffer
	if err := load.Run(t.Context(), slog.New(slog.DiscardHandler), &out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		simulator.Summary
		History simulator.Verdict `json:"history"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if got.Piles != 4 || got.Connections != 4 || got.Lost != 0 || got.Acked < 390 || got.Acked > 410 {
		t.Errorf("summary: got %+v, want about 400 messages of 4 piles, none lost", got.Summary)
	}
	// One of the four is a household's own, which the public page does not show.
	if h := got.History; h.Compared == 0 || h.Hidden == 0 || h.Compared+h.Hidden != got.Telemetry || h.Missing+h.Twice+h.Altered != 0 {
		t.Errorf("history: got %+v, want all of the %d measurements compared or hidden", h, got.Telemetry)
	}
	load.JSON = false
	load.Length, load.Piles, load.Verify = 1200*time.Millisecond, 2, ""
	out.Reset()
	if err := load.Run(t.Context(), slog.New(slog.DiscardHandler), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/s of 200", " left", "0 lost", "p99.9"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("progress and summary lack %q:\n%s", want, out.String())
		}
	}
}

func TestALoadThatCannotBeIsRefused(t *testing.T) {
	for _, tt := range []struct {
		load SimulatorLoadCmd
		want string
	}{
		{SimulatorLoadCmd{Charging: 1.5, Length: time.Second}, "--charging"},
		{SimulatorLoadCmd{Piles: -1, Length: time.Second}, "--piles"},
		{SimulatorLoadCmd{DataConfig: DataConfig{Data: t.TempDir()}, Length: time.Second}, "no simulated fleet"},
	} {
		if err := tt.load.Run(t.Context(), slog.New(slog.DiscardHandler), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want an error about %s", tt.load, err, tt.want)
		}
	}
}
