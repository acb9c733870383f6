package simulator

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"testing"

	"pilewatch/internal/registry"
)

func TestRegistryTakesTheFleet(t *testing.T) {
	reg, err := registry.Open(t.Context(), filepath.Join(t.TempDir(), "registry.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	fleet := generate(t, 2000, 1)
	connectors := 0
	for _, p := range fleet.Piles {
		connectors += int(p.Connectors)
	}
	for _, tt := range []struct {
		table registry.Table
		rows  int
	}{
		{registry.Operators, len(fleet.Operators)},
		{registry.Stations, len(fleet.Stations)},
		{registry.Piles, connectors},
	} {
		var file bytes.Buffer
		if err := fleet.WriteCSV(string(tt.table), &file); err != nil {
			t.Fatal(err)
		}
		done, err := reg.Import(t.Context(), tt.table, &file)
		if err != nil {
			t.Fatalf("Import(%s): %v", tt.table, err)
		}
		if done.Added != tt.rows {
			t.Errorf("Import(%s): got %d rows added, want %d", tt.table, done.Added, tt.rows)
		}
	}
}
