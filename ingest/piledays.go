package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/internal/registry"
	"pilewatch/internal/series"
)

// An availabilityStore keeps the daily copies of piles' availability; *series.Embedded and *series.Influx are ones.
type availabilityStore interface {
	WriteAvailability(ctx context.Context, days []series.Availability) error
}

// closedDays is where health keeps how piles spent the days that it has closed; *registry.Registry is one.
type closedDays interface {
	ClosedThrough(ctx context.Context) (time.Time, error)
	FrozenThrough(ctx context.Context) (time.Time, error)
	EachPileOn(ctx context.Context, day time.Time, most int, fn func([]registry.PileDay) error) error
	Story(ctx context.Context) (*registry.Story, error)
}

// pileDays copies how each pile spent a day to history: once the day is closed provisionally, and again once it
// is frozen. What is copied is read from the registry whole each time, so that a copy that was ended in the middle is
// made again and ends in the same points.
type pileDays struct {
	store  availabilityStore
	days   closedDays
	kept   keeper
	atOnce int // piles in a write
	slog   *slog.Logger
	copied prometheus.Counter
}

// A copiedDays is what pileDays remembers through a restart: the newest day that is copied, and the newest of which
// the frozen minutes are. Both are 00:00 Asia/Shanghai.
type copiedDays struct {
	Closed time.Time `json:"closed"`
	Frozen time.Time `json:"frozen"` // at most Closed
	Run    string    `json:"run"`    // of the store, in its own words, that was told of them; "" of one that forgets nothing
}

const (
	pileDaysCheckpoint = "history.piledays"
	pileDaysEvery      = time.Minute
	pileDaysGrace      = time.Hour // after the day's end: passes take twenty minutes, and a partition with its first piles is not missed
	pileDaysAtOnce     = 5000
	pileDaysShare      = 3 // a write is followed by a pause of so many times what it took: readings go first
)

func newPileDays(store availabilityStore, days closedDays, kept keeper, log *slog.Logger, reg prometheus.Registerer) *pileDays {
	return &pileDays{
		store: store, days: days, kept: kept, atOnce: pileDaysAtOnce, slog: log,
		copied: promauto.With(reg).NewCounter(prometheus.CounterOpts{Name: "ingest_history_availabilities_total", Help: "Days of piles that were copied to the history, each provisionally and again once it is frozen."}),
	}
}

// run works until ctx ends.
func (p *pileDays) run(ctx context.Context) error {
	failing := false
	for {
		err := p.look(ctx, time.Now())
		if err != nil && !failing && ctx.Err() == nil {
			p.slog.Warn("daily availability of piles is not copied to the history, it will be once it can", "err", err)
		}
		if err == nil && failing {
			p.slog.Info("daily availability of piles is copied to the history again")
		}
		failing = err != nil
		if !wait(ctx, pileDaysEvery) {
			return nil
		}
	}
}

// look copies the days that are due.
func (p *pileDays) look(ctx context.Context, now time.Time) error {
	closed, err := p.days.ClosedThrough(ctx)
	if err != nil {
		return err
	}
	if latest := dayOf(now.Add(-pileDaysGrace)).Add(-24 * time.Hour); closed.After(latest) {
		closed = latest
	}
	frozen, err := p.days.FrozenThrough(ctx)
	if err != nil || closed.IsZero() {
		return err
	}
	known, err := p.recall(ctx, closed, frozen)
	if err != nil {
		return err
	}
	oldest, err := p.oldest(ctx, now)
	if err != nil {
		return err
	}
	for day := later(known.Frozen.Add(24*time.Hour), oldest); !day.After(closed); day = day.Add(24 * time.Hour) {
		final := !day.After(frozen)
		if !day.After(known.Closed) && !final {
			continue
		}
		if err := p.copy(ctx, day); err != nil {
			return err
		}
		known.Closed = later(known.Closed, day)
		if final {
			known.Frozen = day
		}
		if err := p.remember(ctx, known); err != nil {
			return err
		}
	}
	return nil
}

// oldest is the first day that is copied: what is older the store would not keep, and a story's days nobody measured.
func (p *pileDays) oldest(ctx context.Context, now time.Time) (time.Time, error) {
	first := dayOf(now.Add(-series.LongKeep)).Add(24 * time.Hour)
	story, err := p.days.Story(ctx)
	if err != nil || story == nil {
		return first, err
	}
	return later(first, dayOf(story.Until)), nil
}

// copy writes one day of all piles.
func (p *pileDays) copy(ctx context.Context, day time.Time) error {
	var rows []series.Availability
	return p.days.EachPileOn(ctx, day, p.atOnce, func(some []registry.PileDay) error {
		rows = rows[:0]
		for i := range some {
			rows = append(rows, series.Availability{Day: some[i].Day.UTC(), Pile: some[i].Pile, Minutes: some[i].Minutes, Frozen: some[i].Frozen})
		}
		begun := time.Now()
		if err := p.store.WriteAvailability(ctx, rows); err != nil {
			return err
		}
		p.copied.Add(float64(len(rows)))
		if !wait(ctx, pileDaysShare*time.Since(begun)) {
			return ctx.Err()
		}
		return nil
	})
}

// recall gives what is copied. Where nothing is, it begins with the newest frozen day or, before there is one, with the
// newest closed one. A store that was started anew may have forgotten what it was told last: that is copied again.
func (p *pileDays) recall(ctx context.Context, closed, frozen time.Time) (copiedDays, error) {
	text, err := p.kept.Checkpoint(ctx, pileDaysCheckpoint)
	if err != nil {
		return copiedDays{}, err
	}
	run := runOf(ctx, p.store)
	var known copiedDays
	if text == nil {
		begin := closed
		if !frozen.IsZero() {
			begin = frozen
		}
		known.Frozen = begin.Add(-24 * time.Hour)
		known.Closed = known.Frozen
	} else {
		if err := json.Unmarshal(text, &known); err != nil {
			return copiedDays{}, fmt.Errorf("read checkpoint %s: %w", pileDaysCheckpoint, err)
		}
		if run == "" || run == known.Run {
			return known, nil
		}
		known.Frozen = known.Frozen.Add(-24 * time.Hour)
		known.Closed = later(known.Closed.Add(-24*time.Hour), known.Frozen)
	}
	known.Run = run
	return known, p.remember(ctx, known)
}

// runOf names the run of a store that may forget what it was told last when it is started anew; "" of one that does not, or
// cannot be asked.
func runOf(ctx context.Context, store any) string {
	s, ok := store.(starter)
	if !ok {
		return ""
	}
	run, err := s.Started(ctx)
	if err != nil {
		return ""
	}
	return run
}

func (p *pileDays) remember(ctx context.Context, known copiedDays) error {
	text, err := json.Marshal(&known)
	if err != nil {
		return fmt.Errorf("encode checkpoint %s: %w", pileDaysCheckpoint, err)
	}
	return p.kept.SaveCheckpoint(ctx, pileDaysCheckpoint, text)
}
