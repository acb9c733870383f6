package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

// A task is something of which there may be only one at a time among all ingest processes: judging
// one partition, or tidying up. run works until ctx ends; epoch is higher than that of whoever did it before.
type task struct {
	name string
	run  func(ctx context.Context, epoch uint64) error
}

// shares divides the tasks among the processes that take part: each takes what is free up to its
// share, and gives back what is over it when another one joins.
type shares struct {
	leases *journal.Leases
	tasks  []task
	log    *slog.Logger
	held   prometheus.Gauge

	running map[string]*running
	first   int // of the tasks that is looked at next
}

type running struct {
	stop  context.CancelFunc
	ended chan error
}

const (
	shareEvery    = time.Second // a lease that has ended is taken within this and the time it lives: 11 s
	releaseWithin = 3 * time.Second
)

func newShares(leases *journal.Leases, tasks []task, log *slog.Logger, reg prometheus.Registerer) *shares {
	return &shares{
		leases: leases, tasks: tasks, log: log, running: make(map[string]*running),
		held: promauto.With(reg).NewGauge(prometheus.GaugeOpts{Name: "ingest_tasks_held", Help: "Partitions judged and chores done by this process."}),
	}
}

// run takes part until ctx ends or a task fails.
func (s *shares) run(ctx context.Context) error {
	tick := time.NewTicker(shareEvery)
	defer tick.Stop()
	failing := false
	for {
		err := s.share(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			s.log.Warn("leases cannot be had, what is held is done on", "err", err)
		}
		failing = err != nil
		if err := s.reap(); err != nil {
			return errors.Join(err, s.leave(ctx))
		}
		select {
		case <-ctx.Done():
			return s.leave(ctx)
		case <-tick.C:
		}
	}
}

// share takes or gives back tasks until this process has its share.
func (s *shares) share(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, releaseWithin)
	defer cancel()
	if err := s.leases.Join(ctx); err != nil {
		return err
	}
	members, err := s.leases.Members(ctx)
	if err != nil {
		return err
	}
	share := (len(s.tasks) + members - 1) / members
	for range s.tasks {
		t := s.tasks[s.first%len(s.tasks)]
		if len(s.running) > share && s.running[t.name] != nil {
			s.running[t.name].stop() // and reap sees it end
			return nil
		}
		if len(s.running) < share && s.running[t.name] == nil {
			lease, err := s.leases.Take(ctx, t.name)
			if err != nil && !errors.Is(err, journal.ErrHeld) {
				return err
			}
			if err == nil {
				s.start(ctx, t, lease)
			}
		}
		s.first++
	}
	return nil
}

// start runs a task for as long as its lease holds.
func (s *shares) start(ctx context.Context, t task, lease *journal.Lease) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // ended by leave, which waits
	r := &running{stop: stop, ended: make(chan error, 1)}
	s.running[t.name] = r
	s.held.Set(float64(len(s.running)))
	s.log.Debug("task is taken", "task", t.name, "epoch", lease.Epoch)
	kept := make(chan error, 1)
	go func() {
		defer stop()
		kept <- lease.Keep(ctx)
	}()
	go func() {
		err := unlessEnded(ctx, t.run(ctx, lease.Epoch))
		stop()
		lost := <-kept
		switch {
		case lost != nil:
			s.log.Warn("task is given up, another process may do it", "task", t.name, "err", lost)
			err = nil // whatever it could not write, the next one does
		case errors.Is(err, journal.ErrStale), errors.Is(err, registry.ErrStale):
			s.log.Warn("task is given up, another process does it", "task", t.name, "err", err)
			err = nil
		}
		if lost == nil {
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWithin)
			defer cancel()
			if err := lease.Release(ending); err != nil {
				s.log.Debug("lease is not given back, it ends by itself", "task", t.name, "err", err)
			}
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", t.name, err)
		}
		r.ended <- err
	}()
}

// reap forgets tasks that have ended, and gives the error of one that has failed.
func (s *shares) reap() error {
	var all []error
	for name, r := range s.running {
		select {
		case err := <-r.ended:
			delete(s.running, name)
			all = append(all, err)
		default:
		}
	}
	s.held.Set(float64(len(s.running)))
	return errors.Join(all...)
}

// leave ends all tasks and tells the others.
func (s *shares) leave(ctx context.Context) error {
	for _, r := range s.running {
		r.stop()
	}
	var all []error
	for name, r := range s.running {
		all = append(all, <-r.ended)
		delete(s.running, name)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWithin)
	defer cancel()
	if err := s.leases.Leave(ctx); err != nil {
		s.log.Debug("the others are not told, they see it soon", "err", err)
	}
	return errors.Join(all...)
}
