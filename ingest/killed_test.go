package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

// week is a log of seven days, a message every 20 minutes: two piles that come and go, and a platform that is away
// for some hours.
func week(random *rand.Rand) []journal.Batch {
	var all []journal.Batch
	now := midnight
	for now.Before(midnight.AddDate(0, 0, 7)) {
		now = now.Add(20 * time.Minute)
		if random.IntN(150) == 0 {
			now = now.Add(5 * time.Hour)
		}
		b := journal.Batch{Seq: uint64(len(all) + 1), At: now} //nolint:gosec // small
		for _, gun := range [][2]string{{"1", "1"}, {"1", "2"}, {"2", "1"}} {
			if random.IntN(4) == 0 {
				continue
			}
			status := []charge.Status{charge.Idle, charge.Idle, charge.Charging, charge.Faulted, charge.Offline}[random.IntN(5)]
			if day := now.In(charge.Zone).Day(); day%4 > 1 { // for two days, so that townships are lost and gained
				status = charge.Faulted
			}
			r := statusOf(gun[0], gun[1], status)
			r.Received = now
			r.At = now.Add(-time.Duration(random.IntN(2)*random.IntN(40)) * time.Minute)
			b.Readings = append(b.Readings, r)
		}
		all = append(all, b, journal.Batch{Seq: b.Seq + 1, At: now})
	}
	return all
}

// kept is all that health has left in the registry and has told.
func (p *platform) kept(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	add := func(row any, err error) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%+v\n", row)
	}
	from, to := midnight.AddDate(0, 0, -1), midnight.AddDate(0, 0, 8)
	for _, gun := range [][2]string{{"1", "1"}, {"1", "2"}, {"2", "1"}} {
		days, err := p.registry.ConnectorDays(t.Context(), charge.ConnectorKey{Pile: pileNamed(gun[0]), Connector: charge.ConnectorID(gun[1])}, from, to)
		for _, d := range days {
			add(d, nil)
		}
		add("", err)
	}
	for _, name := range []string{"1", "2"} {
		days, err := p.registry.PileDays(t.Context(), pileNamed(name), from, to)
		for _, d := range days {
			add(d, nil)
		}
		add("", err)
	}
	sums, err := p.registry.DaySums(t.Context(), registry.SumQuery{From: from, To: to})
	for _, s := range sums {
		add(s, err)
	}
	for _, town := range []charge.DivisionCode{townA, townB} {
		days, err := p.registry.TownshipDays(t.Context(), town, from, to)
		for _, d := range days {
			add(d, nil)
		}
		add("", err)
		events, err := p.registry.CoverageEvents(t.Context(), town, from, to, 1000)
		for _, e := range events {
			add(fmt.Sprint(e.ID, e.At.UnixMilli(), e.Kind, e.Township, e.Before, e.After, e.Reason, e.Station), nil)
		}
		add("", err)
	}
	states, err := p.registry.TownshipStates(t.Context())
	for _, s := range states {
		if s.Township == townA || s.Township == townB {
			add(s, nil)
		}
	}
	add("", err)
	rows, _, err := p.registry.FindPiles(t.Context(), registry.PileQuery{})
	for i := range rows {
		for _, c := range rows[i].Connectors {
			c.LastHeard = time.Time{} // is saved every five minutes
			c.LastUsable = time.Time{}
			add(c, nil)
		}
	}
	add("", err)
	return out.String()
}

// told is the ids of all events in the changes, in order.
func (p *platform) told(t *testing.T) []string {
	t.Helper()
	last, err := p.log.LastChange(t.Context())
	if err != nil || last == 0 {
		t.Fatalf("changes: %d, %v", last, err)
	}
	var ids []string
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_ = p.log.FollowChanges(ctx, 1, func(seq uint64, c journal.Change) error {
		for _, e := range c.Events {
			ids = append(ids, fmt.Sprint(e.ID, " ", e.Kind, " ", e.Township, e.Pile))
		}
		if seq == last {
			cancel()
		}
		return nil
	})
	return ids
}

// weekly is a platform with that log's policy.
func (p *platform) weekly(t *testing.T) {
	t.Helper()
	p.addRegistry(t, "version: a tick in 20 minutes\nfrom: 2023-01-02\nexcuses:\n  platform_outage:\n    no_tick_minutes: 30\n")
}

// lives judges the log, publishing and keeping checkpoints at random, and being killed at random so many times.
func (p *platform) lives(t *testing.T, log []journal.Batch, kills int, random *rand.Rand) {
	t.Helper()
	for epoch := uint64(1); ; epoch++ {
		o := p.owner(t, p.registry, slog.New(slog.DiscardHandler))
		o.epoch = epoch
		ctx, kill := context.WithCancel(t.Context())
		if err := o.resume(ctx); err != nil {
			t.Fatal(err)
		}
		killed := false
		for _, b := range log[o.judge.seq:] {
			o.judge.take(&b, nobody)
			if random.IntN(3) > 0 {
				continue
			}
			if killed = kills > 0 && random.IntN(4) == 0; killed {
				time.AfterFunc(time.Duration(random.IntN(6000))*time.Microsecond, kill) // at any moment of what follows
			}
			if err := o.publish(ctx); err != nil && !killed {
				t.Fatal(err)
			}
			if random.IntN(3) == 0 && ctx.Err() == nil {
				if err := o.checkpoint(ctx); err != nil && !killed {
					t.Fatal(err)
				}
			}
			if killed {
				break
			}
		}
		if !killed {
			if err := o.finish(ctx); err != nil {
				t.Fatal(err)
			}
			kill()
			if kills > 0 {
				t.Fatalf("%d kills are left: the log is too short", kills)
			}
			return
		}
		kill()
		kills--
	}
}

func TestIngestKilledAtAnyMomentFiftyTimesLeavesWhatAnUndisturbedRunLeaves(t *testing.T) {
	undisturbed, killed := newLogOnly(t, 64<<20), openLog(t, 64<<20)
	undisturbed.weekly(t)
	killed.weekly(t)
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // a seed
	t.Logf("seed %d", seed)
	log := week(rand.New(rand.NewPCG(seed, 1)))
	undisturbed.lives(t, log, 0, rand.New(rand.NewPCG(seed, 2)))
	killed.lives(t, log, 50, rand.New(rand.NewPCG(seed, 3)))
	want := undisturbed.kept(t)
	for _, needs := range []string{"Frozen:true", "Frozen:false", "coverage_lost", "coverage_gained", "failing"} {
		if !strings.Contains(want, needs) {
			t.Errorf("the week has no %q: it proves nothing of it", needs)
		}
	}
	if diff := gocmp.Diff(strings.Split(want, "\n"), strings.Split(killed.kept(t), "\n")); diff != "" {
		t.Errorf("registry (-undisturbed +killed):\n%s", diff)
	}
	if diff := gocmp.Diff(undisturbed.told(t), killed.told(t)); diff != "" {
		t.Errorf("events told (-undisturbed +killed):\n%s", diff)
	}
}
