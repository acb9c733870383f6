package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"pilewatch/internal/journal"
)

// A starter tells which run of it answers; *series.Influx is one.
type starter interface {
	Started(ctx context.Context) (string, error)
}

// again has a store that was started anew told again what it may have forgotten. An InfluxDB that is
// killed within a write leaves half an entry at the end of its write-ahead log. When it starts it opens
// that file at its end, and only then cuts the half entry off (tsdb/engine/tsm1: WAL.Open before
// CacheLoader.Load, 1.8.10): what it takes from then on lies behind a hole, and the next start cuts the
// file at the hole, with all that was acknowledged behind it. It is safe when the file is full (10 MB)
// or was written to its tables (25 MB of cache, or 10 minutes without a write).
type again struct {
	store starter
	slog  *slog.Logger

	known knownRun
	marks []mark
	mute  bool // it cannot be asked, and that was said

	repeated uint64 // of the log: what comes again up to here was read before it was wound back
}

// A knownRun is what again remembers through a restart.
type knownRun struct {
	Run   string `json:"run"`   // of the store, in its own words
	After uint64 `json:"after"` // of the log: what was confirmed up to here will not be forgotten
}

// A mark is how far things were at a moment.
type mark struct {
	confirmed uint64 // of the log, all up to here
	stored    int64  // readings
	at        time.Time
}

const (
	againCheckpoint = "history.again"
	againEvery      = 5 * time.Second
	// A write-ahead log of 10 MB holds 280,000 of the smallest readings (37 bytes each in batches of
	// 5,000, measured), a tenth of that of telemetry.
	forgetsAtMost = 300_000
	forgetsFor    = 12 * time.Minute // of what goes to days that hardly anything is written to
	marksEvery    = forgetsAtMost / 4
)

// errStartedAnew ends the work of history until the log is wound back.
var errStartedAnew = errors.New("the store was started anew")

// begin winds the log back where the store is not the run that was known, and tells whether it did.
func (a *again) begin(ctx context.Context, log *journal.Log) (rewound bool, err error) {
	durable, err := log.Peek(ctx, historyConsumer)
	if err != nil {
		return false, err
	}
	backlog, err := durable.Backlog(ctx)
	if err != nil {
		return false, err
	}
	text, err := log.Checkpoint(ctx, againCheckpoint)
	if err != nil {
		return false, err
	}
	a.marks = nil
	a.known = knownRun{After: backlog.Confirmed}
	if text != nil {
		if err := json.Unmarshal(text, &a.known); err != nil {
			return false, fmt.Errorf("read checkpoint %s: %w", againCheckpoint, err)
		}
	}
	run := a.ask(ctx)
	if run == "" || run == a.known.Run {
		return false, nil
	}
	if rewound = a.known.Run != "" && a.known.After < backlog.Confirmed; rewound {
		a.slog.Info("history was started anew, what it may have forgotten is written again", "offset", a.known.After, "confirmed", backlog.Confirmed)
		if err := log.Rewind(ctx, historyConsumer, a.known.After); err != nil {
			return false, err
		}
		a.repeated = backlog.Confirmed
	}
	a.known.Run = run // after the log was wound back: a kill in between does it twice
	return rewound, a.save(ctx, log)
}

// ask gives the store's run, "" where it does not tell.
func (a *again) ask(ctx context.Context) string {
	run, err := a.store.Started(ctx)
	if err != nil && ctx.Err() == nil && !a.mute {
		a.slog.Warn("history does not tell since when it runs, after a kill of it some of what it had taken may be missing", "err", err)
	}
	a.mute = err != nil
	return run
}

// watch ends with errStartedAnew when the store is another run than the known, and notes meanwhile
// what it will not forget any more. stored counts the readings that it has taken.
func (a *again) watch(ctx context.Context, log *journal.Log, durable *journal.Durable, stored func() int64) error {
	for wait(ctx, againEvery) {
		now := mark{stored: stored(), at: time.Now()}
		run, err := a.store.Started(ctx)
		if err != nil {
			continue // it is away
		}
		if run != a.known.Run {
			return errStartedAnew
		}
		backlog, err := durable.Backlog(ctx)
		if err != nil {
			continue // the log is away, and says so elsewhere
		}
		// Confirmed may be ahead of stored by now, so that what it tells is stored, later than it says.
		now.confirmed = backlog.Confirmed
		if a.note(now, stored()) {
			if err := a.save(ctx, log); err != nil {
				return unlessEnded(ctx, err)
			}
		}
	}
	return nil
}

// note takes a mark at which the run was the known one, and tells whether more is safe now. stored is
// what was stored when confirmed was asked for.
func (a *again) note(now mark, stored int64) (safer bool) {
	for len(a.marks) > 0 && now.stored-a.marks[0].stored >= forgetsAtMost && now.at.Sub(a.marks[0].at) >= forgetsFor {
		a.known.After, a.marks, safer = max(a.known.After, a.marks[0].confirmed), a.marks[1:], true
	}
	now.stored = stored
	if n := len(a.marks); n == 0 || now.stored-a.marks[n-1].stored >= marksEvery && now.at.Sub(a.marks[n-1].at) >= forgetsFor/4 {
		a.marks = append(a.marks, now)
	}
	return safer
}

func (a *again) save(ctx context.Context, log *journal.Log) error {
	text, err := json.Marshal(&a.known)
	if err != nil {
		return fmt.Errorf("encode checkpoint %s: %w", againCheckpoint, err)
	}
	return log.SaveCheckpoint(ctx, againCheckpoint, text)
}
