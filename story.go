package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/simulator"
)

// storyProgressEvery is how often the log says how far the story is judged.
const storyProgressEvery = 5 * time.Second

// demoPartitions is how many partitions a demo's log is made with: sums of counties are saved by each, which costs
// a story of years more than a fleet of thousands gains by sharing.
const demoPartitions = 2

// writeStory puts the fleet's past up to now into the log, and notes in the registry that it is there. One that
// was broken off goes on where it was. It reports false where all of it was there before.
func writeStory(ctx context.Context, log *journal.Log, reg *registry.Registry, fleet *simulator.Fleet, now time.Time) (bool, error) {
	s, err := reg.Story(ctx)
	if err != nil {
		return false, err
	}
	if s != nil && s.Told {
		return false, nil
	}
	if s == nil {
		s = &registry.Story{Name: simulator.Plan2023, Partitions: log.Partitions(), Messages: uint64(len(fleet.Piles))} // about one a pile, until it is known
	}
	s.Until = now.UTC().Truncate(time.Millisecond)
	if _, last, _, err := log.Span(ctx); err != nil {
		return false, err
	} else if last == 0 { // or it would be noted of a log that refuses it
		if err := reg.SetStory(ctx, *s); err != nil {
			return false, err
		}
	}
	last, err := log.Backfill(ctx, fleet.Story(s.Until, log.Partitions(), log.PartitionOf))
	if err != nil {
		return false, err
	}
	s.Messages, s.Told = last, true
	return true, reg.SetStory(ctx, *s)
}

// tellStory plays the story into the log, lets go of those that wait for that, and says how far it is judged
// until it is.
func (p *parts) tellStory(ctx context.Context, fleet *simulator.Fleet) error {
	begun := time.Now()
	fresh, err := writeStory(ctx, p.journal, p.registry, fleet, begun)
	if errors.Is(err, journal.ErrReal) {
		fresh, err = false, nil
		p.log.Warn("the story is left out, the log holds real readings")
	}
	if err != nil {
		return unlessDone(ctx, fmt.Errorf("play the story: %w", err))
	}
	close(p.told)
	if !fresh {
		return nil
	}
	p.log.Info("story is written, piles go on from it", "story", simulator.Plan2023, "in", time.Since(begun).Round(time.Millisecond))
	ticks := time.NewTicker(storyProgressEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		s, err := p.registry.Story(ctx)
		if err != nil || s == nil {
			return unlessDone(ctx, err)
		}
		percent, err := p.registry.StoryJudged(ctx, s)
		if err != nil {
			return unlessDone(ctx, err)
		}
		if percent == 100 {
			p.log.Info("story is judged", "story", s.Name, "in", time.Since(begun).Round(time.Second))
			return nil
		}
		p.log.Info("story is being judged", "story", s.Name, "percent", percent)
	}
}

func unlessDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was stopped
	}
	return err
}

// afterStory lets run begin when the story is in the log: what is live comes behind it.
func (p *parts) afterStory(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if p.told != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-p.told:
			}
		}
		return run(ctx)
	}
}

// SimulatorBackfillCmd is `pilewatch simulator backfill`.
type SimulatorBackfillCmd struct {
	DataConfig `embed:""`
	Story      string `help:"The story to write: plan-2023-2025." enum:"plan-2023-2025" default:"plan-2023-2025"`
	Piles      int    `help:"Piles in the fleet, 2000 at least; in a new directory 3000, afterwards what it holds." env:"PILEWATCH_SIMULATOR_PILES"`
	Seed       uint64 `help:"The same seed gives the same story; in a new directory 1, afterwards what it holds." env:"PILEWATCH_SIMULATOR_SEED"`
}

// Run writes the story; whoever reads the log judges it.
func (c *SimulatorBackfillCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer) error {
	p, err := openParts(ctx, &c.DataConfig, log)
	if err != nil {
		return err
	}
	return errors.Join(c.write(ctx, p, out), p.close())
}

func (c *SimulatorBackfillCmd) write(ctx context.Context, p *parts, out io.Writer) error {
	cfg := journal.Embedded(c.Data)
	cfg.Partitions = demoPartitions
	if err := p.openJournal(func() (*journal.Log, error) { return journal.Open(ctx, cfg, p.log) }); err != nil {
		return err
	}
	known, err := p.registry.Story(ctx)
	if err != nil {
		return err
	}
	if known == nil || !known.Told { // before anything is registered
		if err := p.journal.TakesStory(ctx); err != nil {
			return fmt.Errorf("backfill %s: %w; choose another directory with --data", c.Data, err)
		}
	}
	fleet, note, err := ensureFleet(ctx, c.Data, p.registry, p.directory, c.Piles, c.Seed, c.Story)
	if err != nil {
		return err
	}
	if note.Story != c.Story {
		return fmt.Errorf("backfill %s: its fleet was made without a story; choose another directory with --data", c.Data)
	}
	begun := time.Now()
	fresh, err := writeStory(ctx, p.journal, p.registry, fleet, begun)
	switch {
	case err != nil:
		return fmt.Errorf("backfill %s: %w", c.Data, err)
	case !fresh:
		fmt.Fprintf(out, "%s holds the story %s already\n", c.Data, c.Story)
	default:
		fmt.Fprintf(out, "wrote the story %s of %d piles into %s in %s; serve or demo judges it\n", c.Story, note.Piles, c.Data, time.Since(begun).Round(time.Millisecond))
	}
	return nil
}
