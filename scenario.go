package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pilewatch/simulator"
)

// SimulatorScenarioCmd is `pilewatch simulator scenario`.
type SimulatorScenarioCmd struct {
	DataConfig `embed:""`
	Scenario   string `arg:"" optional:"" help:"Name of one that the program carries, or a YAML file; all names are listed if left out."`
	Broker     string `help:"Where the piles speak to: tcp://HOST:PORT, or tls://HOST:PORT." default:"tcp://127.0.0.1:1883" placeholder:"URL"`
	API        string `name:"api" help:"The dashboard that is asked what it shows." default:"http://127.0.0.1:8080" placeholder:"URL"`
}

// Run plays a scenario on the fleet of the data directory, and fails where the dashboard does not show what it names.
func (c *SimulatorScenarioCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer) error {
	all, err := simulator.Scenarios()
	if err != nil {
		return err
	}
	if c.Scenario == "" {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			s, err := simulator.ReadScenario(all[name])
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%-18s %s\n", name, s.About)
		}
		return nil
	}
	text, ok := all[c.Scenario]
	if !ok {
		if text, err = os.ReadFile(c.Scenario); err != nil {
			return fmt.Errorf("scenario %s: it is none of %s, and no file: %w", c.Scenario, strings.Join(slices.Sorted(maps.Keys(all)), ", "), err)
		}
	}
	s, err := simulator.ReadScenario(text)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Scenario, err)
	}
	stage, err := c.stage(ctx, log, out)
	if err != nil {
		return err
	}
	if err := stage.Play(ctx, s); err != nil {
		return err
	}
	fmt.Fprintf(out, "scenario %s: all is shown as it should be\n", s.Name)
	return nil
}

func (c *SimulatorScenarioCmd) stage(ctx context.Context, log *slog.Logger, out io.Writer) (*simulator.Stage, error) {
	if _, err := os.Stat(filepath.Join(c.Data, fleetFile)); err != nil {
		return nil, fmt.Errorf("play scenario: %s holds no simulated fleet; make one with pilewatch demo or simulator run: %w", c.Data, err)
	}
	p, err := openParts(ctx, &c.DataConfig, log)
	if err != nil {
		return nil, err
	}
	fleet, note, err := ensureFleet(ctx, c.Data, p.registry, p.directory, 0, 0, simulator.NoStory)
	if err = errors.Join(err, p.close()); err != nil {
		return nil, err
	}
	// Who runs the platform on this machine may see rejects.
	token, err := os.ReadFile(filepath.Join(c.Data, "dashboard.token"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("play scenario: %w", err)
	}
	return &simulator.Stage{
		Fleet: fleet, Broker: c.Broker, Credentials: note.signIn, API: c.API, Token: strings.TrimSpace(string(token)),
		Say: func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) },
	}, nil
}
