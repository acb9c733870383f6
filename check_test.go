package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pilewatch/internal/journal"
)

func TestCheckListsSessionsThatAreLeftOver(t *testing.T) {
	data := t.TempDir()
	if said, err := checkBridges(data); err != nil || said != "no sessions at operators' brokers" {
		t.Errorf("without bridges: %q, %v", said, err)
	}
	for name, text := range map[string]string{
		"bridge-sessions-one.json": `[{"client":"pilewatch-one-OP-1","broker":"tcp://b:1883","setting":"mqtt://b/OP","filters":["a"]}]`,
		"bridge-sessions-two.json": `[{"client":"pilewatch-two-OP-2","broker":"tcp://b:1883","setting":"mqtt://b/OP","filters":["a"],"orphan":true}]`,
	} {
		if err := os.WriteFile(filepath.Join(data, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unlock, err := journal.Lock(filepath.Join(data, "bridge-sessions-one.lock"))
	if err != nil {
		t.Fatal(err)
	}
	said, err := checkBridges(data)
	for _, want := range []string{"one runs: sessions: 1", "two does not run"} {
		if !strings.Contains(said, want) {
			t.Errorf("says %q, want it to say %q", said, want)
		}
	}
	if err == nil || !strings.Contains(err.Error(), "pilewatch-two-OP-2 at tcp://b:1883") || strings.Contains(err.Error(), "pilewatch-one") {
		t.Errorf("got %v, want the one session that is left over", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}
