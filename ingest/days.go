package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/series"
)

// A coverageStore keeps the daily copies of coverage; *series.Embedded and *series.Influx are ones.
type coverageStore interface {
	WriteCoverage(ctx context.Context, days []series.Coverage) error
}

// A changeLog is where changes of coverage come from; *journal.Log is one.
type changeLog interface {
	keeper
	LastChange(ctx context.Context) (uint64, error)
	FollowChanges(ctx context.Context, from uint64, fn func(seq uint64, c journal.Change) error) error
}

// days copies each division's coverage at 24:00 to history, from CHANGES. A change that comes late
// and tells of the day before corrects that day's copy.
type days struct {
	store     coverageStore
	log       changeLog
	divisions func() []charge.Division
	states    func(context.Context) ([]charge.TownshipState, error) // where nothing was followed before
	slog      *slog.Logger

	mu      sync.Mutex
	known   knownDays
	pending []time.Time // days to be written, with what ended them
	changed bool        // since it was saved
}

// knownDays is what days remembers through a restart.
type knownDays struct {
	Seq   uint64                                       `json:"seq"` // of CHANGES, up to which it has heard
	Day   time.Time                                    `json:"day"` // midnight that began the day of Now
	Now   map[charge.DivisionCode]charge.TownshipState `json:"now"`
	Ended map[charge.DivisionCode]charge.TownshipState `json:"ended"` // at the end of the day before Day
	Run   string                                       `json:"run"`   // of the store, as runOf names it
}

const (
	daysCheckpoint = "history.days"
	daysEvery      = time.Minute
	dayGrace       = 5 * time.Minute // for what is on its way at midnight
)

// run follows changes until ctx ends.
func (d *days) run(ctx context.Context) error {
	if err := d.recall(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		d.mu.Lock()
		from := d.known.Seq + 1
		d.mu.Unlock()
		return d.log.FollowChanges(ctx, from, func(seq uint64, c journal.Change) error {
			d.hear(seq, &c)
			return nil
		})
	})
	g.Go(func() error {
		failing := false
		for wait(ctx, daysEvery) {
			err := d.tick(ctx, time.Now())
			if err != nil && !failing && ctx.Err() == nil {
				d.slog.Warn("daily coverage is not written, it will be once it can", "err", err)
			}
			failing = err != nil
		}
		return nil
	})
	return g.Wait()
}

func (d *days) recall(ctx context.Context) error {
	text, err := d.log.Checkpoint(ctx, daysCheckpoint)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known, d.pending, d.changed = knownDays{}, nil, false // another process may have done it meanwhile
	if text != nil {
		if err := json.Unmarshal(text, &d.known); err != nil {
			return fmt.Errorf("read checkpoint %s: %w", daysCheckpoint, err)
		}
		return nil
	}
	// What is told between the two comes again, which changes nothing.
	if d.known.Seq, err = d.log.LastChange(ctx); err != nil {
		return err
	}
	states, err := d.states(ctx)
	if err != nil {
		return err
	}
	d.known.Day, d.known.Now = dayOf(time.Now()), make(map[charge.DivisionCode]charge.TownshipState)
	for _, s := range states {
		d.known.Now[s.Township] = s
	}
	return nil
}

// hear takes a change. A township's changes come in their order.
func (d *days) hear(seq uint64, c *journal.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn(dayOf(c.At))
	before := c.At.Before(d.known.Day)
	for _, s := range c.Townships {
		d.known.Now[s.Township] = s
		if before && d.known.Ended != nil {
			d.known.Ended[s.Township] = s
		}
	}
	if yesterday := d.known.Day.Add(-24 * time.Hour); before && len(c.Townships) > 0 && d.known.Ended != nil && !slices.Contains(d.pending, yesterday) {
		d.pending = append(d.pending, yesterday)
	}
	d.known.Seq, d.changed = seq, true
}

// turn begins a day. Days in between on which nothing was told ended as the last one did.
func (d *days) turn(day time.Time) {
	if !day.After(d.known.Day) {
		return
	}
	for ended := d.known.Day; ended.Before(day); ended = ended.Add(24 * time.Hour) {
		d.pending = append(d.pending, ended)
	}
	d.known.Day, d.known.Ended, d.changed = day, maps.Clone(d.known.Now), true
}

// tick writes the days that have ended, and keeps what is known once they are.
func (d *days) tick(ctx context.Context, now time.Time) error {
	run := runOf(ctx, d.store)
	d.mu.Lock()
	d.turn(dayOf(now.Add(-dayGrace)))
	if run != "" && run != d.known.Run {
		// Started anew, it may have forgotten what it was told last.
		if yesterday := d.known.Day.Add(-24 * time.Hour); d.known.Ended != nil && !slices.Contains(d.pending, yesterday) {
			d.pending = append(d.pending, yesterday)
		}
		d.known.Run, d.changed = run, true
	}
	var rows []series.Coverage
	for _, day := range d.pending {
		rows = append(rows, d.count(day)...)
	}
	pending, changed := len(d.pending), d.changed
	text, err := json.Marshal(&d.known)
	d.changed = false
	d.mu.Unlock()
	if err != nil {
		return fmt.Errorf("encode checkpoint %s: %w", daysCheckpoint, err)
	}
	if err := d.keep(ctx, rows, text, changed); err != nil {
		d.mu.Lock()
		d.changed = true
		d.mu.Unlock()
		return err
	}
	d.mu.Lock()
	d.pending = d.pending[pending:]
	d.mu.Unlock()
	return nil
}

func (d *days) keep(ctx context.Context, rows []series.Coverage, text []byte, changed bool) error {
	if len(rows) > 0 {
		if err := d.store.WriteCoverage(ctx, rows); err != nil {
			return err
		}
	}
	if !changed {
		return nil
	}
	return d.log.SaveCheckpoint(ctx, daysCheckpoint, text)
}

// count adds up the towns and townships that had ended a day, by county, city and province.
func (d *days) count(day time.Time) []series.Coverage {
	sums := make(map[charge.DivisionCode]*series.Coverage)
	for _, division := range d.divisions() {
		if !division.Counted() {
			continue
		}
		s := d.known.Ended[division.Code] // the zero state is that of a town of which nothing is known
		for up := division.Code.Parent(); up != ""; up = up.Parent() {
			c := sums[up]
			if c == nil {
				c = &series.Coverage{Day: day, Division: up}
				sums[up] = c
			}
			c.Total++
			c.Connectors += s.Connectors
			c.Usable += s.Usable
			switch s.State {
			case charge.Effective:
				c.Effective++
			case charge.Failing:
				c.Failing++
			case charge.Unverified:
				c.Unverified++
			case charge.Starting:
				c.Starting++
			default:
				c.None++
			}
		}
	}
	var rows []series.Coverage
	for _, code := range slices.Sorted(maps.Keys(sums)) {
		rows = append(rows, *sums[code])
	}
	return rows
}
