package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/ingest"
	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
	"pilewatch/simulator"
)

// storyPatience is for the replay of a few months.
const storyPatience = 5 * time.Minute

// A storyDir is a data directory with the smallest fleet that has a story.
type storyDir struct {
	dir   string
	log   *journal.Log
	reg   *registry.Registry
	known *registry.Directory
	fleet *simulator.Fleet
}

func newStoryDir(t *testing.T) *storyDir {
	t.Helper()
	s := &storyDir{dir: t.TempDir()}
	s.reg, s.known = openRegistry(t, s.dir)
	cfg := journal.Embedded(s.dir)
	cfg.Partitions = demoPartitions
	var err error
	if s.log, err = journal.Open(t.Context(), cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.log.Close(), s.reg.Close()); err != nil {
			t.Error(err)
		}
	})
	if s.fleet, _, err = ensureFleet(t.Context(), s.dir, s.reg, s.known, simulator.MinPiles, 1, simulator.Plan2023); err != nil {
		t.Fatal(err)
	}
	return s
}

// judge runs an ingest until so much of the story is judged.
func (s *storyDir) judge(t *testing.T, percent int) {
	t.Helper()
	history, err := series.OpenEmbedded(t.Context(), filepath.Join(s.dir, "history.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	in, err := ingest.New(ingest.Defaults(), s.log, s.reg, s.known, history, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	err = eventually(t.Context(), storyPatience, func() error {
		story, err := s.reg.Story(t.Context())
		if err != nil {
			return err
		}
		if got, err := s.reg.StoryJudged(t.Context(), story); err != nil || got < percent {
			return fmt.Errorf("%d %% is judged: %w", got, err)
		}
		return nil
	})
	stop()
	if err := errors.Join(err, <-ended, history.Close()); err != nil {
		t.Fatal(err)
	}
}

// served lists the township-level divisions that a public connector served for an hour of the last day of the story,
// by what the story tells alone.
func (s *storyDir) served(until time.Time) []charge.DivisionCode {
	type since struct {
		idle time.Time // zero: it is not
		sum  time.Duration
	}
	guns := make(map[charge.ConnectorKey]*since)
	from := until.Add(-24 * time.Hour)
	end := func(g *since, at time.Time) {
		if begun := g.idle; !begun.IsZero() && at.After(from) {
			if begun.Before(from) {
				begun = from
			}
			g.sum += at.Sub(begun)
		}
		g.idle = time.Time{}
	}
	for m := range s.fleet.Story(until, 1, func(charge.DivisionCode) int { return 0 }) {
		for i := range m.Readings {
			r := &m.Readings[i]
			switch r.Kind {
			case charge.KindHeard:
				for key, g := range guns {
					if key.Pile == r.Pile {
						end(g, r.Received.Add(30*time.Minute)) // the silence limit of a pile that reports every 10 minutes
					}
				}
			case charge.KindStatus:
				key := charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}
				if guns[key] == nil {
					guns[key] = &since{}
				}
				if end(guns[key], r.Received); r.Status == charge.Idle {
					guns[key].idle = r.Received
				}
			}
		}
	}
	var all []charge.DivisionCode
	for key, g := range guns {
		if end(g, until); g.sum < time.Hour {
			continue
		}
		if p, ok := s.known.Pile(key.Pile); ok && p.Station.Kind == charge.Public {
			all = append(all, p.Station.Township)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestAStoryIsJudgedLikeWhatIsLive(t *testing.T) {
	s := newStoryDir(t)
	until := time.Date(2023, 3, 1, 12, 0, 0, 0, charge.Zone)
	if fresh, err := writeStory(t.Context(), s.log, s.reg, s.fleet, until); err != nil || !fresh {
		t.Fatalf("writeStory: got %t, %v", fresh, err)
	}
	s.judge(t, 1) // broken off in the middle
	s.judge(t, 100)

	states, err := s.reg.TownshipStates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var effective []charge.DivisionCode
	for _, state := range states {
		if state.State == charge.Effective {
			effective = append(effective, state.Township)
		}
	}
	slices.Sort(effective)
	if diff := cmp.Diff(s.served(until), effective); diff != "" || len(effective) < 500 {
		t.Errorf("townships with a station that works, of %d (-told +judged):\n%s", len(effective), diff)
	}

	days, err := s.reg.CoverageDays(t.Context(), "37", registry.Towns, simulator.StoryBegins(), until)
	if err != nil {
		t.Fatal(err)
	}
	if len(days) != 59 {
		t.Errorf("days of coverage: got %d, want 59: 2023-01-01 to 2023-02-28", len(days))
	}
	for _, d := range days {
		if d.Total() != 1129 || d.Effective < 400 || d.NotObserved != 0 {
			t.Errorf("%s: got %d of %d effective, %d not observed, want 1129 judged, most of 544 effective, all observed",
				d.Day.Format(time.DateOnly), d.Effective, d.Total(), d.NotObserved)
		}
	}
	events, err := s.reg.CoverageEvents(t.Context(), "37", simulator.StoryBegins(), until, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	gained, lost := 0, 0
	for _, e := range events {
		switch e.Kind {
		case charge.CoverageGained:
			gained++
		case charge.CoverageLost:
			lost++
		}
	}
	if lost < 50 || gained-lost < 500 {
		t.Errorf("coverage: gained %d times, lost %d times, want some losses and %d more gains", gained, lost, len(effective))
	}

	if fresh, err := writeStory(t.Context(), s.log, s.reg, s.fleet, until.AddDate(0, 0, 1)); err != nil || fresh {
		t.Errorf("writeStory of one that is there: got %t, %v, want false", fresh, err)
	}
}

func TestABackfillIntoALogWithRealReadingsIsRefused(t *testing.T) {
	s := newStoryDir(t)
	w := s.log.NewWriter(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }() // its first ticks are real
	err := eventually(t.Context(), patience, func() error {
		if _, last, _, err := s.log.Span(t.Context()); err != nil || last == 0 {
			return fmt.Errorf("the log is empty: %w", err)
		}
		return nil
	})
	stop()
	if err := errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
	_, err = writeStory(t.Context(), s.log, s.reg, s.fleet, time.Date(2023, 2, 1, 0, 0, 0, 0, charge.Zone))
	if err == nil || !strings.Contains(err.Error(), "the log holds real readings already") {
		t.Errorf("writeStory: got %v, want it refused", err)
	}
	if story, err := s.reg.Story(t.Context()); err != nil || story != nil {
		t.Errorf("the registry says that its past is %v, %v, want none", story, err)
	}
}
