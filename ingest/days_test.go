package ingest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/series"
)

// ledger keeps daily coverage, by day and division.
type ledger struct {
	effective map[string]int
	failing   bool
	writes    int
	run       string
}

func (l *ledger) Started(context.Context) (string, error) {
	if l.failing || l.run == "" {
		return "", errors.New("away")
	}
	return l.run, nil
}

func (l *ledger) WriteCoverage(_ context.Context, days []series.Coverage) error {
	if l.failing {
		return errors.New("away")
	}
	l.writes++
	for _, c := range days {
		if c.Division == "37" {
			l.effective[c.Day.In(charge.Zone).Format("02")] = c.Effective
		}
		if n := c.Effective + c.Failing + c.Unverified + c.Starting + c.None; n != c.Total {
			return errors.New("states do not add up")
		}
	}
	return nil
}

// changesTold is a log that nobody writes to.
type changesTold struct{ drawer }

func (*changesTold) LastChange(context.Context) (uint64, error) { return 0, nil }

func (*changesTold) FollowChanges(context.Context, uint64, func(uint64, journal.Change) error) error {
	return nil
}

func TestCoverageIsCopiedAtMidnight(t *testing.T) {
	t.Parallel()
	midnight := dayOf(time.Now()) // of today, "0"; the copies are of the days before
	state := func(town charge.DivisionCode, s charge.CoverageState) charge.TownshipState {
		return charge.TownshipState{Township: town, State: s, Connectors: 2}
	}
	on := func(day int) string { return midnight.AddDate(0, 0, day).In(charge.Zone).Format("02") }
	type step struct {
		at       time.Duration // of a change, from today's midnight
		towns    []charge.TownshipState
		tick     time.Duration // a look at the clock, where no change is told
		away     bool
		restarts bool
		run      string // the store is started anew and has forgotten what it was told last
	}
	const h = time.Hour
	for _, tt := range []struct {
		name  string
		steps []step
		want  map[string]int // effective towns of the province
	}{
		{"as it was at 24:00", []step{{at: h, towns: []charge.TownshipState{state(townA, charge.Effective)}}, {tick: 25 * h}}, map[string]int{on(0): 1}},
		{"not before all has come in", []step{{at: h, towns: []charge.TownshipState{state(townA, charge.Effective)}}, {tick: 24*h + time.Minute}}, map[string]int{}},
		{"what happens after midnight is of the next day", []step{
			{at: h, towns: []charge.TownshipState{state(townA, charge.Effective)}},
			{at: 24*h + time.Minute, towns: []charge.TownshipState{state(townB, charge.Effective)}},
			{tick: 25 * h},
			{tick: 49 * h},
		}, map[string]int{on(0): 1, on(1): 2}},
		{"a late change corrects the day", []step{
			{at: h, towns: []charge.TownshipState{state(townA, charge.Effective)}},
			{tick: 25 * h},
			{at: 23 * h, towns: []charge.TownshipState{state(townA, charge.Failing)}},
			{tick: 26 * h},
		}, map[string]int{on(0): 0}},
		{"days on which nothing was told", []step{{at: h, towns: []charge.TownshipState{state(townA, charge.Effective)}}, {tick: 73 * h}}, map[string]int{on(0): 1, on(1): 1, on(2): 1}},
		{"the store is away at midnight", []step{{at: h, towns: []charge.TownshipState{state(townA, charge.Effective)}}, {tick: 25 * h, away: true}, {tick: 26 * h}}, map[string]int{on(0): 1}},
		{"killed before midnight", []step{{at: h, towns: []charge.TownshipState{state(townA, charge.Effective)}}, {tick: 2 * h}, {restarts: true}, {tick: 25 * h}}, map[string]int{on(0): 1}},
		{"killed after midnight, before the store came back", []step{
			{at: h, towns: []charge.TownshipState{state(townA, charge.Effective)}}, {tick: 2 * h}, {tick: 25 * h, away: true}, {restarts: true}, {tick: 26 * h},
		}, map[string]int{on(0): 1}},
		{"the store is started anew after midnight and has forgotten the day", []step{
			{at: h, towns: []charge.TownshipState{state(townA, charge.Effective)}}, {tick: 25 * h}, {run: "two"}, {tick: 26 * h}, {restarts: true}, {tick: 27 * h},
		}, map[string]int{on(0): 1}},
		{"a town loses its coverage", []step{
			{at: h, towns: []charge.TownshipState{state(townA, charge.Effective), state(townC, charge.Effective)}}, {at: 2 * h, towns: []charge.TownshipState{state(townC, charge.None)}}, {tick: 25 * h},
		}, map[string]int{on(0): 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store, log := &ledger{effective: map[string]int{}, run: "one"}, &changesTold{}
			start := func() *days {
				d := &days{
					store: store, log: log, slog: slog.New(slog.DiscardHandler),
					divisions: func() []charge.Division {
						var all []charge.Division
						for _, code := range []charge.DivisionCode{townA, townB, townC} {
							all = append(all, charge.Division{Code: code, Level: charge.Township, Kind: charge.KindTown})
						}
						return append(all, charge.Division{Code: "371721001", Level: charge.Township, Kind: charge.KindStreet})
					},
					states: func(context.Context) ([]charge.TownshipState, error) {
						return []charge.TownshipState{state("371721001", charge.Effective)}, nil
					},
				}
				if err := d.recall(t.Context()); err != nil {
					t.Fatal(err)
				}
				return d
			}
			d := start()
			for i, s := range tt.steps {
				switch {
				case s.restarts:
					d = start()
				case s.run != "":
					store.run = s.run
					clear(store.effective)
				case s.tick != 0:
					store.failing = s.away
					if err := d.tick(t.Context(), midnight.Add(s.tick)); (err != nil) != s.away {
						t.Errorf("step %d: got %v, want away %v", i, err, s.away)
					}
				default:
					d.hear(uint64(i+1), &journal.Change{At: midnight.Add(s.at), Townships: s.towns})
				}
			}
			if diff := cmp.Diff(tt.want, store.effective); diff != "" {
				t.Errorf("effective by day (-want +got):\n%s", diff)
			}
			before := store.writes
			if err := d.tick(t.Context(), midnight.Add(tt.steps[len(tt.steps)-1].tick)); err != nil || store.writes != before {
				t.Errorf("a second look: %v, %d writes more, want none", err, store.writes-before)
			}
		})
	}
}
