package ingest

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/internal/journal"
	"pilewatch/internal/series"
)

const (
	trimEvery  = time.Minute
	purgeFirst = time.Minute // after the start: a program that is started daily has to purge, too
	purgeEvery = time.Hour
)

// A tidier deletes what nobody needs any more: of the log what both consumers have taken, of the
// embedded history and of the registry's days what is older than they keep.
type tidier struct {
	log    *journal.Log
	purger purger // nil where the store deletes by itself
	pruner pruner
	slog   *slog.Logger
	bytes  prometheus.Gauge
	limit  prometheus.Gauge
}

// purger deletes readings older than before; *series.Embedded is one.
type purger interface {
	Purge(ctx context.Context, before time.Time) (int64, error)
}

// pruner removes days that are kept no longer, some at a call; *registry.Registry is one.
type pruner interface {
	PruneDays(ctx context.Context, now time.Time) (more bool, err error)
}

func newTidier(log *journal.Log, store Store, days pruner, logger *slog.Logger, reg prometheus.Registerer) *tidier {
	p, _ := store.(purger)
	f := promauto.With(reg)
	return &tidier{
		log: log, purger: p, pruner: days, slog: logger,
		bytes: f.NewGauge(prometheus.GaugeOpts{Name: "ingest_log_bytes", Help: "Size of the log's readings on disk."}),
		limit: f.NewGauge(prometheus.GaugeOpts{Name: "ingest_log_limit_bytes", Help: "Size at which the log refuses readings, and senders wait; 0 or less where there is none."}),
	}
}

func (t *tidier) run(ctx context.Context) {
	trim, purge := time.NewTicker(trimEvery), time.NewTimer(purgeFirst)
	defer trim.Stop()
	defer purge.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-trim.C:
			if err := t.trim(ctx); err != nil && ctx.Err() == nil {
				t.slog.Warn("log is not trimmed, it grows until it can be", "err", err)
			}
		case now := <-purge.C:
			purge.Reset(purgeEvery)
			if err := t.prune(ctx, now); err != nil && ctx.Err() == nil {
				t.slog.Warn("old days are not deleted", "err", err)
			}
			if t.purger == nil {
				continue
			}
			if n, err := t.purger.Purge(ctx, now.Add(-series.Keep)); err != nil && ctx.Err() == nil {
				t.slog.Warn("old history is not deleted", "readings", n, "err", err)
			}
		}
	}
}

// prune removes old days of connectors and piles.
func (t *tidier) prune(ctx context.Context, now time.Time) error {
	for {
		more, err := t.pruner.PruneDays(ctx, now)
		if err != nil || !more {
			return err
		}
	}
}

// trim lets the log delete what lies below both consumers' positions.
func (t *tidier) trim(ctx context.Context) error {
	history, err := t.log.Peek(ctx, historyConsumer)
	if err != nil {
		return err
	}
	backlog, err := history.Backlog(ctx)
	if err != nil {
		return err
	}
	judged := uint64(math.MaxUint64)
	for p := range t.log.Partitions() {
		position, err := t.log.Position(ctx, checkpointOf(p))
		if err != nil {
			return err
		}
		judged = min(judged, position)
	}
	_, _, bytes, err := t.log.Span(ctx)
	if err != nil {
		return err
	}
	limit, err := t.log.MaxBytes(ctx)
	if err != nil {
		return err
	}
	t.bytes.Set(float64(bytes))
	t.limit.Set(float64(limit))
	return t.log.Trim(ctx, min(backlog.Confirmed, judged)+1)
}
