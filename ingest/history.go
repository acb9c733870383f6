package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/series"
)

// PointWriter is where readings go; *series.Embedded and *series.Influx are ones.
type PointWriter interface {
	Write(ctx context.Context, batch []charge.Reading) error
}

// history moves readings from the log to where the past is kept, and tells the log that they are
// safe when they are. While the store is away the log is the buffer.
type history struct {
	points  PointWriter
	flush   time.Duration
	size    int
	log     *slog.Logger
	metrics historyMetrics

	idle map[charge.ConnectorKey]int64 // of each connector whose last status is idle, the newest hour in which that was written
}

type historyMetrics struct {
	written  prometheus.Counter
	left     prometheus.Counter
	rejected prometheus.Counter
	retries  prometheus.Counter
	away     prometheus.Gauge
	backlog  prometheus.Gauge
	behind   prometheus.Gauge
}

func newHistory(cfg *Config, points PointWriter, log *slog.Logger, reg prometheus.Registerer) *history {
	f := promauto.With(reg)
	return &history{
		points: points, flush: cfg.FlushEvery, size: cfg.FlushSize, log: log,
		idle: make(map[charge.ConnectorKey]int64),
		metrics: historyMetrics{
			written:  f.NewCounter(prometheus.CounterOpts{Name: "ingest_history_written_total", Help: "Readings that the history has accepted."}),
			left:     f.NewCounter(prometheus.CounterOpts{Name: "ingest_history_left_total", Help: "Readings that say nothing new and are not written: heartbeats, presence, repeated idle."}),
			rejected: f.NewCounter(prometheus.CounterOpts{Name: "ingest_history_rejected_total", Help: "Readings that the history refused for their content."}),
			retries:  f.NewCounter(prometheus.CounterOpts{Name: "ingest_history_retries_total", Help: "Writes tried again because the history did not answer or said so."}),
			away:     f.NewGauge(prometheus.GaugeOpts{Name: "ingest_history_away", Help: "1 while the history does not take readings."}),
			backlog:  f.NewGauge(prometheus.GaugeOpts{Name: "ingest_history_backlog_batches", Help: "Batches in the log that are not in the history yet."}),
			behind:   f.NewGauge(prometheus.GaugeOpts{Name: "ingest_history_backlog_seconds", Help: "Age of the newest batch that is in the history."}),
		},
	}
}

// A preparer has to be set up before it is written to; *series.Influx makes its database.
type preparer interface {
	Setup(ctx context.Context) error
}

// prepare waits until the store is there and set up. It is false where ctx ended before.
func (h *history) prepare(ctx context.Context) bool {
	p, ok := h.points.(preparer)
	if !ok {
		return true
	}
	wait := firstRetry
	for away := false; ; away = true {
		err := p.Setup(ctx)
		if err == nil {
			if away {
				h.metrics.away.Set(0)
				h.log.Info("history takes readings")
			}
			return true
		}
		if !away && ctx.Err() == nil {
			h.metrics.away.Set(1)
			h.log.Warn("history cannot be set up, the log keeps readings until it can", "err", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
		wait = min(2*wait, mostRetry)
	}
}

// run works until ctx ends.
func (h *history) run(ctx context.Context, log *journal.Log) error {
	if !h.prepare(ctx) {
		return nil
	}
	durable, err := log.Durable(ctx, historyConsumer)
	if err != nil {
		return err
	}
	defer durable.Stop()
	for ctx.Err() == nil {
		deliveries, err := durable.Next(ctx, h.flush, h.size)
		if err != nil {
			return fmt.Errorf("history: %w", err)
		}
		if len(deliveries) == 0 {
			continue
		}
		if err := h.write(ctx, durable, deliveries); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil // not written: the log keeps them
		}
		if err := durable.Confirm(deliveries); err != nil {
			return err
		}
		h.metrics.behind.Set(time.Since(deliveries[len(deliveries)-1].At).Seconds())
	}
	return nil
}

// watch keeps the backlog's gauge.
func (h *history) watch(ctx context.Context, log *journal.Log) error {
	durable, err := log.Peek(ctx, historyConsumer)
	if err != nil {
		return err
	}
	ticks := time.NewTicker(5 * time.Second)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
			if batches, _, err := durable.Backlog(ctx); err == nil {
				h.metrics.backlog.Set(float64(batches))
			}
		}
	}
}

// historyConsumer is the name under which the log remembers how far history has come.
const historyConsumer = "history"

const (
	firstRetry = 100 * time.Millisecond
	mostRetry  = 10 * time.Second
	holdEvery  = 5 * time.Second // a third of the log's patience
)

// A holder keeps batches that take long from being delivered again; *journal.Durable is one.
type holder interface {
	Hold(deliveries []journal.Delivery) error
}

// write writes the readings of the batches, again and again until the store has taken or refused
// them. It fails only for a cause that waiting does not mend.
func (h *history) write(ctx context.Context, batches holder, deliveries []journal.Delivery) error {
	batch := h.worthKeeping(deliveries)
	if len(batch) == 0 {
		return nil
	}
	held := time.Now()
	wait := firstRetry
	for away := false; ; away = true {
		err := h.points.Write(ctx, batch)
		var rejected *series.RejectedError
		if errors.As(err, &rejected) {
			h.metrics.rejected.Add(float64(rejected.Dropped))
			h.log.Warn("history refuses readings for their content", "readings", rejected.Dropped, "err", rejected)
			h.metrics.written.Add(float64(len(batch) - rejected.Dropped))
			err = nil
		} else if err == nil {
			h.metrics.written.Add(float64(len(batch)))
		}
		if err == nil {
			if away {
				h.metrics.away.Set(0)
				h.log.Info("history takes readings again")
			}
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		h.metrics.retries.Inc()
		if !away {
			h.metrics.away.Set(1)
			h.log.Warn("history does not take readings, the log keeps them", "readings", len(batch), "err", err)
		}
		pause := wait/2 + time.Duration(rand.Int64N(int64(wait))) //nolint:gosec // jitter
		var retry *series.RetryError
		if errors.As(err, &retry) && retry.After > pause {
			pause = retry.After
		}
		wait = min(2*wait, mostRetry)
		for until := time.Now().Add(pause); ; {
			if time.Since(held) >= holdEvery {
				held = time.Now()
				if err := batches.Hold(deliveries); err != nil {
					return err
				}
			}
			left := time.Until(until)
			if left <= 0 {
				break
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(min(left, holdEvery)):
			}
		}
	}
}

// worthKeeping leaves out what says nothing new (design: "History"): heartbeats and presence,
// statuses taken at our clock, and of repeated idle all but the first of each hour.
func (h *history) worthKeeping(deliveries []journal.Delivery) []charge.Reading {
	var batch []charge.Reading
	for _, d := range deliveries {
		for i := range d.Readings {
			if r := &d.Readings[i]; h.says(r) {
				batch = append(batch, *r)
			} else {
				h.metrics.left.Inc()
			}
		}
	}
	return batch
}

func (h *history) says(r *charge.Reading) bool {
	if r.Tells(charge.ClockWrong) {
		return false
	}
	key := charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}
	switch r.Kind {
	case charge.KindStatus, charge.KindTelemetry:
		if r.Tells(charge.HasStatus) && r.Status != charge.Idle {
			delete(h.idle, key)
		}
		if r.Kind == charge.KindTelemetry || r.Status != charge.Idle {
			return true
		}
	case charge.KindOrder, charge.KindAlarm:
		return true
	default:
		return false
	}
	hour := r.At.Unix() / 3600
	last, rests := h.idle[key]
	if rests && hour == last {
		return false
	}
	if !rests || hour > last { // a late one does not make the present hour's be written again
		h.idle[key] = hour
	}
	return true
}
