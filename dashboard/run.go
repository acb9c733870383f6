package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
)

// Run serves until ctx ends; then it tells its clients, lets running requests end and returns.
func (d *Dashboard) Run(ctx context.Context) error {
	server := &http.Server{
		Handler: d.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the dashboard: %w", err)
		}
		return nil
	})
	d.start(ctx, g)
	g.Go(func() error {
		<-ctx.Done()
		d.hub.close()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		if err := server.Shutdown(stopping); err != nil {
			return errors.Join(fmt.Errorf("stop the dashboard: %w", err), server.Close())
		}
		return nil
	})
	return g.Wait()
}

// start starts all but the server.
func (d *Dashboard) start(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { d.hub.run(ctx); return nil })
	g.Go(func() error { d.followChanges(ctx); return nil })
	g.Go(func() error { d.followRejects(ctx); return nil })
	g.Go(func() error { d.followBridges(ctx); return nil })
	g.Go(func() error { d.followDivisions(ctx); return nil })
	g.Go(func() error { d.followAccounts(ctx); return nil })
	g.Go(func() error { d.followCases(ctx); return nil })
	g.Go(func() error { d.followStanding(ctx); return nil })
	g.Go(func() error { d.assets.compress(ctx); return nil })
}

// followChanges keeps coverage and events up to date. Where the log or the registry does not
// answer, it begins anew with what the registry holds; nothing is lost, for rows are absolute.
func (d *Dashboard) followChanges(ctx context.Context) {
	failing := false
	for {
		began := time.Now()
		err := d.followOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if !failing || time.Since(began) > 10*retryEvery { // once for each time that they stop coming
			d.log.Warn("does not get changes, tries again", "every", retryEvery, "err", err)
		}
		failing = true
		if !wait(ctx, retryEvery) {
			return
		}
	}
}

func (d *Dashboard) followOnce(ctx context.Context) error {
	last, err := d.feed.LastChange(ctx)
	if err != nil {
		return err
	}
	// The registry is written before a change is published, so it holds at least what last does.
	states, err := d.registry.TownshipStates(ctx)
	if err != nil {
		return err
	}
	if err := d.loadDivisions(ctx); err != nil {
		return err
	}
	from := uint64(1)
	if last > changesForPast {
		from = last - changesForPast + 1
	}
	d.recent.restart(from-1, last)
	d.coverage.load(last, states)
	d.hub.resync()
	return d.feed.FollowChanges(ctx, from, func(seq uint64, c journal.Change) error {
		d.apply(seq, last, &c)
		return nil
	})
}

// apply takes a change in; of those that load has brought in, the events only.
func (d *Dashboard) apply(seq, loaded uint64, c *journal.Change) {
	// Events come first: once the version tells of a change, its events can be found.
	d.recent.addEvents(seq, c.Events)
	if seq <= loaded {
		d.coverage.seen(c.At)
		if seq == loaded {
			d.hub.resync() // snapshots given since the start lack these events
		}
		return
	}
	d.hub.change(func() []charge.DivisionCode { return d.coverage.apply(seq, c) }, c.Events)
}

func (d *Dashboard) followRejects(ctx context.Context) {
	for {
		d.recent.forgetRejects()
		err := d.feed.FollowRejects(ctx, keepRejects, d.recent.addReject)
		if ctx.Err() != nil {
			return
		}
		d.log.Warn("does not get rejects, tries again", "every", retryEvery, "err", err)
		if !wait(ctx, retryEvery) {
			return
		}
	}
}

// followDivisions notices an import of divisions.
func (d *Dashboard) followDivisions(ctx context.Context) {
	known := d.divisions.Rev()
	for wait(ctx, lookEvery) {
		rev := d.divisions.Rev()
		if rev == known {
			continue
		}
		if err := d.loadDivisions(ctx); err != nil {
			d.log.Warn("does not get divisions, tries again", "every", lookEvery, "err", err)
			continue
		}
		known = rev
	}
}

// followAccounts has open connections looked at when somebody's rights may be others than before.
func (d *Dashboard) followAccounts(ctx context.Context) {
	known, failing := int64(-1), false
	for {
		rev, err := d.registry.AccountRev(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failing {
				d.log.Warn("does not hear of changed accounts, tries again", "every", lookEvery, "err", err)
			}
		case rev != known:
			d.hub.doubt()
			known = rev
		}
		failing = err != nil
		if !wait(ctx, lookEvery) {
			return
		}
	}
}

// loadDivisions builds the tree anew where the divisions are others than before.
func (d *Dashboard) loadDivisions(ctx context.Context) error {
	asOf, err := d.registry.DivisionsAsOf(ctx)
	if err != nil {
		return err
	}
	if d.coverage.setDivisions(d.divisions.Divisions(), asOf) {
		d.hub.resync()
	}
	return nil
}
