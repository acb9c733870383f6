package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

// healthStore is where judgements are kept for those who ask; *registry.Registry is one.
type healthStore interface {
	Partitions(ctx context.Context) ([]registry.Partition, error)
	SaveHealth(ctx context.Context, partition int, logSeq uint64, h *registry.Health) error
}

const (
	publishEvery    = 200 * time.Millisecond // most often (design: "Dashboard")
	storyEvery      = 5 * time.Second        // of a story's days: a month of them is one row
	storyRows       = 200_000                // found, and then at once
	liveEvery       = time.Second            // most often, of one connector
	checkpointEvery = 30 * time.Second       // what a killed process has to read again
	countEvery      = 5 * time.Second        // most often, of connectors for metrics; ticks come every 10 s
	endWithin       = 3 * time.Second
	batchesAhead    = 64 // read from the log and not yet judged
)

// An owner judges one partition of the log: it feeds the judge, saves what the judge finds in the
// registry, publishes it, and keeps a checkpoint to go on from.
type owner struct {
	judge    *judge
	epoch    uint64 // of its lease; 0 where there is none
	log      *journal.Log
	store    healthStore
	watched  *journal.Watched
	slog     *slog.Logger
	metrics  healthMetrics
	safe     uint64 // everything up to this sequence is in a checkpoint
	counted  *connectorCount
	changes  *journal.Changes
	unsaved  *step  // found, and not yet saved and told
	saved    uint64 // the last sequence with which rows were saved
	retell   retelling
	failing  bool
	liveSent map[charge.ConnectorKey]time.Time // in the last liveEvery
}

// A retelling is what must be told once more although the judge has not found it anew.
type retelling struct {
	towns bool // a replay has told nothing of what it found, since it was published before: by another registry, perhaps
	guns  bool // the registry holds less than was saved: it is a restored copy
}

type healthMetrics struct {
	readings prometheus.Counter
	late     prometheus.Counter
	tooLate  prometheus.Counter
	events   *prometheus.CounterVec
	retries  prometheus.Counter
	judged   *prometheus.GaugeVec
	danger   *prometheus.CounterVec
	saved    prometheus.Histogram
}

func newHealthMetrics(reg prometheus.Registerer) healthMetrics {
	f := promauto.With(reg)
	return healthMetrics{
		readings: f.NewCounter(prometheus.CounterOpts{Name: "ingest_health_readings_total", Help: "Readings judged."}),
		late:     f.NewCounter(prometheus.CounterOpts{Name: "ingest_health_late_readings_total", Help: "Readings that came late, within the lateness limit: they correct days that are not frozen."}),
		tooLate:  f.NewCounter(prometheus.CounterOpts{Name: "ingest_health_too_late_readings_total", Help: "Readings that came later than the lateness limit: they are in the history, and change no day."}),
		events:   f.NewCounterVec(prometheus.CounterOpts{Name: "ingest_health_events_total", Help: "Events found, by kind."}, []string{"kind"}),
		retries:  f.NewCounter(prometheus.CounterOpts{Name: "ingest_health_retries_total", Help: "Steps saved or published again because the registry or the log did not answer."}),
		judged:   f.NewGaugeVec(prometheus.GaugeOpts{Name: "ingest_health_judged_timestamp_seconds", Help: "The log's time that is judged and saved; ticks come every 10 s."}, []string{"partition"}),
		danger:   f.NewCounterVec(prometheus.CounterOpts{Name: "pilewatch_danger_alarms_total", Help: "Alarms of level danger of public and dedicated piles, by city and fault."}, []string{"division", "name", "fault"}),
		saved: f.NewHistogram(prometheus.HistogramOpts{
			Name: "ingest_health_step_seconds", Help: "To save and publish a step.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
	}
}

func (o *owner) checkpointName() string { return checkpointOf(o.judge.partition) }

// checkpointOf names the checkpoint of a partition.
func checkpointOf(partition int) string { return "health." + strconv.Itoa(partition) }

// run works until ctx ends, and then keeps a last checkpoint.
func (o *owner) run(ctx context.Context) error {
	if err := o.resume(ctx); err != nil {
		return err
	}
	from, err := o.position(ctx)
	if err != nil {
		return err
	}
	defer o.counted.drop(o.judge.partition)
	batches := make(chan journal.Batch, batchesAhead)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return o.log.FollowPartition(ctx, o.judge.partition, from, func(b journal.Batch, _ uint64) error {
			select {
			case batches <- b:
			case <-ctx.Done():
			}
			return nil
		})
	})
	g.Go(func() error {
		if err := o.work(ctx, batches); err != nil {
			return err
		}
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
		defer cancel()
		return o.finish(ending)
	})
	return g.Wait()
}

// resume makes the judge go on from its checkpoint, and notices what was told and saved since.
func (o *owner) resume(ctx context.Context) error {
	data, err := o.log.Checkpoint(ctx, o.checkpointName())
	if err != nil {
		return err
	}
	if data != nil {
		if o.saved, err = o.judge.restore(data); err != nil {
			// The log still has what was judged: nothing is worse than late.
			o.slog.Error("checkpoint cannot be read, judging the log from its beginning", "err", err)
			o.judge = newJudge(o.judge.partition, o.judge.partitionOf, o.judge.dir)
		} else if err := o.compare(ctx); err != nil {
			return err
		}
	}
	if o.changes, err = o.log.Changes(ctx, o.judge.partition); err != nil {
		return err
	}
	o.retell.towns = o.retell.towns || o.judge.seq < o.changes.LogSeq
	o.safe = o.judge.seq
	return nil
}

// position tells from where on to read the log.
func (o *owner) position(ctx context.Context) (from uint64, err error) {
	if o.judge.seq == 0 {
		return 0, nil
	}
	first, last, _, err := o.log.Span(ctx)
	if err != nil {
		return 0, err
	}
	if o.judge.seq > last {
		// Only a disk that lied can do this. What was judged stands; what comes now is not skipped.
		o.slog.Error("log ends before what was judged, its tail is lost", "offset", last, "judged", o.judge.seq)
		o.judge.seq, o.safe = last, last
	}
	if first > o.judge.seq+1 {
		o.slog.Warn("log begins after what was judged last", "offset", first, "judged", o.judge.seq)
	}
	return o.judge.seq + 1, nil
}

// compare notices a registry that holds less than was saved: one that was restored from a copy.
func (o *owner) compare(ctx context.Context) error {
	partitions, err := o.store.Partitions(ctx)
	if err != nil {
		return err
	}
	var held uint64
	for _, p := range partitions {
		if p.Number == o.judge.partition {
			held = p.LogSeq
		}
	}
	if held < o.saved {
		o.slog.Warn("registry holds less than was judged, all of it is saved again", "offset", held, "judged", o.saved)
		o.retell = retelling{towns: true, guns: true}
	}
	return nil
}

// work judges batches until ctx ends. The first change of a quiet time is told at once, further
// ones gather for publishEvery.
func (o *owner) work(ctx context.Context, batches <-chan journal.Batch) error {
	publish := time.NewTimer(0)
	defer publish.Stop()
	<-publish.C
	var published, saved, counted time.Time
	due := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-batches:
			o.judge.take(&b, o.watched.Has)
			o.metrics.readings.Add(float64(len(b.Readings)))
			if o.judge.unread != nil {
				o.slog.Error("piles that moved here begin with nothing known of them", "err", o.judge.unread)
				o.judge.unread = nil
			}
			every := publishEvery
			if b.Backfill {
				if every = storyEvery; len(o.judge.changed.connectorDays) > storyRows {
					due, every = false, 0
				}
			}
			if !due {
				due = true
				publish.Reset(max(0, every-time.Since(published)))
			}
		case <-publish.C:
			due = false
			if err := o.publish(ctx); err != nil || ctx.Err() != nil {
				return err
			}
			published = time.Now()
			o.metrics.judged.WithLabelValues(strconv.Itoa(o.judge.partition)).Set(float64(o.judge.state.Now().UnixMilli()) / 1000)
			if time.Since(counted) >= countEvery {
				o.counted.set(o.judge.partition, o.judge.census())
				counted = time.Now()
			}
			if time.Since(saved) < checkpointEvery {
				continue
			}
			if err := o.checkpoint(ctx); err != nil && ctx.Err() == nil {
				o.slog.Warn("checkpoint is not kept, the one before stands", "err", err)
			}
			saved = time.Now()
		}
	}
}

// finish saves and publishes what is left and keeps a checkpoint.
func (o *owner) finish(ctx context.Context) error {
	for range 2 { // what a publish before could not, and what was found since
		if err := o.publish(ctx); err != nil || ctx.Err() != nil {
			return err // the checkpoint before stands, and the log has the rest
		}
	}
	if err := o.checkpoint(ctx); err != nil {
		o.slog.Warn("last checkpoint is not kept, the one before stands", "err", err) // the log may have stopped first
	}
	return nil
}

func (o *owner) checkpoint(ctx context.Context) error {
	if o.judge.seq == o.safe {
		return nil
	}
	data, err := o.judge.save(o.saved)
	if err != nil {
		return err
	}
	if err := o.log.SavePosition(ctx, o.checkpointName(), o.judge.seq, data); err != nil {
		return err
	}
	o.safe = o.judge.seq
	return nil
}

// publish saves what the judge has found and then tells it. Rows are absolute and carry the log's
// sequence, so that what is saved twice is saved once; what a killed process has published before
// is not published again.
func (o *owner) publish(ctx context.Context) error {
	if o.unsaved == nil {
		s := o.collect()
		o.unsaved = &s
	}
	s := o.unsaved
	begun := time.Now()
	if err := o.insist(ctx, func() error { return o.handOver(ctx, s) }); err != nil || ctx.Err() != nil {
		return err
	}
	if rows := s.rows(o.epoch); rows != nil {
		if err := o.insist(ctx, func() error {
			return o.store.SaveHealth(ctx, o.judge.partition, s.seq, rows)
		}); err != nil || ctx.Err() != nil {
			return err
		}
		o.saved = s.seq
	}
	o.metrics.late.Add(float64(s.late))
	o.metrics.tooLate.Add(float64(s.tooLate))
	change := journal.Change{Partition: o.judge.partition, LogSeq: s.seq, At: s.at, Townships: s.townships}
	for _, e := range s.events {
		if e.seq > o.changes.LogSeq {
			change.Events = append(change.Events, e.event)
		}
	}
	if s.seq > o.changes.LogSeq && len(change.Townships)+len(change.Events) > 0 {
		if err := o.insist(ctx, func() error { return o.tell(ctx, s, change) }); err != nil || ctx.Err() != nil {
			return err
		}
		for _, e := range change.Events {
			o.metrics.events.WithLabelValues(string(e.Kind)).Inc()
			if e.Kind == charge.DangerAlarm {
				o.countDanger(&e)
			}
		}
		o.metrics.saved.Observe(time.Since(begun).Seconds())
	}
	o.unsaved = nil
	return nil
}

// collect takes what the judge has found and tells live values, which nobody waits for twice.
func (o *owner) collect() step {
	now := time.Now()
	if o.liveSent == nil {
		o.liveSent = make(map[charge.ConnectorKey]time.Time)
	}
	maps.DeleteFunc(o.liveSent, func(_ charge.ConnectorKey, at time.Time) bool { return now.Sub(at) >= liveEvery })
	if (o.retell.towns || o.retell.guns) && o.judge.seq > o.changes.LogSeq {
		o.judge.again(o.retell.guns)
		o.retell = retelling{}
	}
	s := o.judge.collect(true)
	if o.judge.story {
		s.forget(registry.DaysKeptFrom(time.Now()))
	}
	for _, l := range s.live {
		key := charge.ConnectorKey{Pile: l.pile, Connector: l.value.Connector}
		if _, just := o.liveSent[key]; just {
			o.judge.changed.live[key] = struct{}{} // it waits for the next time
			continue
		}
		o.liveSent[key] = now
		if err := o.log.PublishLive(l.pile, l.value); err != nil {
			o.slog.Debug("live values are not told", "pile", l.pile, "err", err)
		}
	}
	return s
}

// forget drops the days before first of connectors and piles, which the registry would not keep.
func (s *step) forget(first time.Time) {
	s.connectorDays = slices.DeleteFunc(s.connectorDays, func(d registry.ConnectorDay) bool { return d.Day.Before(first) })
	s.pileDays = slices.DeleteFunc(s.pileDays, func(d registry.PileDay) bool { return d.Day.Before(first) })
	s.sums = slices.DeleteFunc(s.sums, func(d registry.DaySum) bool { return d.Day.Before(first) })
}

// tell publishes a change. Where an earlier attempt had no answer, the change may be stored all the
// same, and then the log refuses it as if another owner had been there.
func (o *owner) tell(ctx context.Context, s *step, change journal.Change) error {
	err := o.changes.Publish(ctx, change)
	if err == nil {
		return nil
	}
	if !errors.Is(err, journal.ErrStale) {
		s.unanswered = true
		return err
	}
	if !s.unanswered {
		return err
	}
	stored, lookErr := o.log.Changes(ctx, o.judge.partition)
	if lookErr != nil {
		return fmt.Errorf("ask whether the log has the change: %w", lookErr) // and ask again
	}
	if stored.LogSeq != change.LogSeq {
		return err
	}
	o.changes = stored
	return nil
}

// insist does a thing again and again until it succeeds, ctx ends, or another owner has taken the
// partition over. Meanwhile the log holds what comes.
func (o *owner) insist(ctx context.Context, do func() error) error {
	pause := firstRetry
	for {
		err := do()
		if err == nil {
			if o.failing {
				o.failing = false
				o.slog.Info("judgements are saved again")
			}
			return nil
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the caller looks at ctx
		}
		if errors.Is(err, journal.ErrStale) || errors.Is(err, registry.ErrStale) {
			return err
		}
		o.metrics.retries.Inc()
		if !o.failing {
			o.failing = true
			o.slog.Warn("judgements cannot be saved, the log keeps what comes", "err", err)
		}
		if !wait(ctx, pause) {
			return nil
		}
		pause = min(2*pause, mostRetry)
	}
}
