package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
	"pilewatch/simulator"
)

// fleetFile is the file of a data directory that says that its registry is a simulated fleet's, and
// which. It holds what the fleet signs in with, so only its owner may read it.
const fleetFile = "fleet.json"

// demoPolicy is the default with one difference: a fleet without a story has just begun to live, and no past
// hour in which its connectors could have been usable.
const demoPolicy = "version: demo\nfrom: 2023-01-02\ncoverage:\n  min_usable_minutes: 0\n"

// A fleetNote is what fleetFile holds.
type fleetNote struct {
	Piles  int                          `json:"piles"`
	Seed   uint64                       `json:"seed"`
	Story  string                       `json:"story,omitempty"` // the past that it has; simulator.NoStory or none for none
	Tokens map[charge.OperatorID]string `json:"tokens"`          // by operator; one is missing until it is issued
}

// ensureFleet makes the registry in data that of a simulated fleet, unless it is one already, and
// gives the fleet and what its operators sign in with. piles and seed 0 are what the directory holds,
// or the default; story is for a new directory. A start that was killed half way goes on where it was.
func ensureFleet(ctx context.Context, data string, reg *registry.Registry, dir *registry.Directory, piles int, seed uint64, story string) (*simulator.Fleet, *fleetNote, error) {
	path := filepath.Join(data, fleetFile)
	note, err := readFleetNote(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if len(dir.Operators()) > 0 {
			return nil, nil, fmt.Errorf("make a fleet in %s: its registry holds operators and there is no fleet.json; choose another directory with --data", data)
		}
		if piles == 0 {
			piles = simulator.Defaults().Piles
		}
		if seed == 0 {
			seed = simulator.Defaults().Seed
		}
		note = &fleetNote{Piles: piles, Seed: seed, Story: story, Tokens: map[charge.OperatorID]string{}}
	case err != nil:
		return nil, nil, err
	case piles != 0 && piles != note.Piles, seed != 0 && seed != note.Seed:
		return nil, nil, fmt.Errorf("%s holds a fleet of %d piles with seed %d: start with --piles %d --seed %d, or choose another directory with --data",
			data, note.Piles, note.Seed, note.Piles, note.Seed)
	}
	generate := simulator.Generate
	if note.Story == simulator.Plan2023 {
		generate = simulator.GenerateStory
	}
	fleet, err := generate(dir.Divisions(), note.Piles, note.Seed)
	if err != nil {
		return nil, nil, err
	}
	if note.registered(fleet, dir) {
		return fleet, note, nil
	}
	if err := writeFleetNote(path, note); err != nil {
		return nil, nil, err
	}
	for _, table := range []registry.Table{registry.Operators, registry.Stations, registry.Piles} {
		var file bytes.Buffer
		if err := fleet.WriteCSV(string(table), &file); err != nil {
			return nil, nil, err
		}
		if _, err := reg.Import(ctx, table, &file); err != nil {
			return nil, nil, fmt.Errorf("register the fleet: %w", err)
		}
	}
	if note.Story != simulator.Plan2023 {
		if _, err := reg.ImportPolicy(ctx, []byte(demoPolicy)); err != nil {
			return nil, nil, fmt.Errorf("register the fleet: %w", err)
		}
	}
	for _, op := range fleet.Operators {
		token, _, err := reg.IssueCredential(ctx, op.ID, "")
		if err != nil {
			return nil, nil, fmt.Errorf("register the fleet: %w", err)
		}
		note.Tokens[op.ID] = token
	}
	if err := writeFleetNote(path, note); err != nil {
		return nil, nil, err
	}
	return fleet, note, dir.Refresh(ctx)
}

// registered tells whether the registry is the fleet's and lets it in.
func (n *fleetNote) registered(fleet *simulator.Fleet, dir *registry.Directory) bool {
	for _, op := range fleet.Operators {
		if _, ok := dir.Authenticate(n.signIn(op.ID)); !ok {
			return false
		}
	}
	_, last := dir.Pile(fleet.ID(len(fleet.Piles) - 1))
	return last
}

// signIn gives what an operator's piles and its platform sign in with.
func (n *fleetNote) signIn(op charge.OperatorID) (user, password string) {
	return string(op), n.Tokens[op]
}

func readFleetNote(path string) (*fleetNote, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the fleet: %w", err)
	}
	note := &fleetNote{}
	if err := json.Unmarshal(text, note); err != nil {
		return nil, fmt.Errorf("read the fleet: %s: %w", path, err)
	}
	if note.Tokens == nil {
		note.Tokens = map[charge.OperatorID]string{}
	}
	return note, nil
}

// writeFleetNote puts the whole file there or nothing.
func writeFleetNote(path string, note *fleetNote) error {
	text, err := json.MarshalIndent(note, "", "  ")
	if err != nil {
		return fmt.Errorf("write the fleet: %w", err)
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the fleet: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the fleet: %w", err)
	}
	return nil
}
