package simulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// GenerateCmd is `pilewatch simulator generate DIR`: it writes a fleet's registry as the files that
// `pilewatch registry import` reads.
type GenerateCmd struct {
	Dir       string `arg:"" help:"Directory to write operators.csv, stations.csv and piles.csv into." type:"path"`
	At        string `help:"The province as the plan has it at the end of this month: 2023-09, 2023-12 or 2025-12; a small fleet for looking around if left out." enum:"2023-09,2023-12,2025-12," default:"" placeholder:"MONTH"`
	Piles     int    `help:"Piles in the fleet: 2000 at least, 3000 if left out. With --at all that the plan has (460,000 at the end of 2023, 1,080,000 at the end of 2025) if left out; fewer are in proportion, with as many towns covered."`
	Seed      uint64 `help:"The same seed gives the same files." default:"1"`
	Divisions string `help:"CSV file of divisions; the program's own list if left out." type:"existingfile" optional:"" placeholder:"FILE"`
}

// Run writes the files; those of the same name are replaced.
func (c *GenerateCmd) Run(ctx context.Context, log *slog.Logger) error {
	divisions, err := c.divisions(ctx)
	if err != nil {
		return err
	}
	fleet, err := c.generate(divisions)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil { //nolint:gosec // nothing in it is secret
		return fmt.Errorf("make directory of fleet: %w", err)
	}
	for _, table := range []string{"operators", "stations", "piles"} {
		if err := writeTable(fleet, table, filepath.Join(c.Dir, table+".csv")); err != nil {
			return err
		}
	}
	log.Info("wrote the fleet", "dir", c.Dir, "operators", len(fleet.Operators), "stations", len(fleet.Stations), "piles", len(fleet.Piles))
	return nil
}

func (c *GenerateCmd) generate(divisions []charge.Division) (*Fleet, error) {
	switch {
	case c.At != "":
		return GeneratePlanned(divisions, c.At, c.Piles, c.Seed)
	case c.Piles == 0:
		return Generate(divisions, Defaults().Piles, c.Seed)
	}
	return Generate(divisions, c.Piles, c.Seed)
}

func writeTable(fleet *Fleet, table, path string) error {
	file, err := os.Create(path) //nolint:gosec // the path is the user's own
	if err != nil {
		return fmt.Errorf("write %s: %w", table, err)
	}
	return errors.Join(fleet.WriteCSV(table, file), file.Close())
}

// divisions reads the list by way of a registry of its own, which checks it as an import does.
func (c *GenerateCmd) divisions(ctx context.Context) (_ []charge.Division, err error) {
	dir, err := os.MkdirTemp("", "pilewatch-generate-")
	if err != nil {
		return nil, fmt.Errorf("read divisions: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	reg, err := registry.Open(ctx, filepath.Join(dir, "registry.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, fmt.Errorf("read divisions: %w", err)
	}
	defer func() { err = errors.Join(err, reg.Close()) }()
	if c.Divisions != "" {
		file, err := os.Open(c.Divisions)
		if err != nil {
			return nil, fmt.Errorf("read divisions: %w", err)
		}
		_, err = reg.Import(ctx, registry.Divisions, file)
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("read divisions of %s: %w", c.Divisions, err)
		}
	}
	directory, err := reg.Directory(ctx)
	if err != nil {
		return nil, fmt.Errorf("read divisions: %w", err)
	}
	return directory.Divisions(), nil
}
