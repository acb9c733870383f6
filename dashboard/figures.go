package dashboard

import (
	"context"
	"sync"
	"time"

	"pilewatch/internal/availability"
	"pilewatch/internal/charge"
	"pilewatch/internal/quality"
	"pilewatch/internal/registry"
)

// Figures of many months are made of every connector's days, which takes seconds in a province: they are
// made once for all askers, and again when they are old.
const (
	figuresHold   = 10 * time.Minute
	nowHolds      = 20 * time.Second
	figuresStale  = 3 // times as long they are still given, while new ones are made
	figuresPause  = 20
	figuresWithin = 5 * time.Minute
	figuresWait   = 25 * time.Second // an asker waits for so long
	figuresKept   = 6                // of each kind
	tablesKept    = 200              // of those that take some KiB: each viewer's scope has its own
)

// A once keeps what is dear to make, by key, and makes each of them once at a time. What has held for long enough is
// made anew when it is asked for; until that is there, and where it is not much too old, askers get the old one. What
// takes long to make holds longer, so that making takes no more than a twentieth of the time. It is safe for concurrent
// use.
type once[K comparable, V any] struct {
	holds time.Duration
	kept  int // so many
	make  func(ctx context.Context, key K) (V, error)

	mu   sync.Mutex
	made map[K]*making[V]
}

type making[V any] struct {
	done  chan struct{}
	value V
	err   error
	at    time.Time // when it was begun
	took  time.Duration
	last  *making[V] // what was there before, until this is done
}

// holds tells how long a value holds.
func (m *making[V]) holds(atLeast time.Duration) time.Duration {
	return max(atLeast, figuresPause*m.took)
}

// get gives what is there and not too old, or waits until it is made. ok is false where that takes too long.
func (o *once[K, V]) get(ctx context.Context, key K) (value V, ok bool, err error) {
	m := o.begin(ctx, key)
	late := time.NewTimer(figuresWait)
	defer late.Stop()
	select {
	case <-m.done:
		return m.value, true, m.err
	case <-late.C:
		return value, false, nil
	case <-ctx.Done():
		return value, false, ctx.Err()
	}
}

// begin gives what answers an asker: what is made, what is being made, or what was made before.
func (o *once[K, V]) begin(ctx context.Context, key K) *making[V] {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.made[key]
	if was != nil {
		select {
		case <-was.done:
			if was.err == nil && time.Since(was.at) < was.holds(o.holds) {
				return was
			}
		default:
			if was.last != nil {
				return was.last
			}
			return was
		}
	}
	if o.made == nil {
		o.made = make(map[K]*making[V])
	}
	for was == nil && len(o.made) >= o.kept {
		var oldest K
		for k, m := range o.made {
			if before := o.made[oldest]; before == nil || m.at.Before(before.at) {
				oldest = k
			}
		}
		delete(o.made, oldest)
	}
	m := &making[V]{done: make(chan struct{}), at: time.Now()}
	if was != nil && was.err == nil && time.Since(was.at) < figuresStale*was.holds(o.holds) {
		m.last = was
	}
	o.made[key] = m
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), figuresWithin) // whoever comes next waits for it, too
	go func() {
		defer cancel()
		m.value, m.err = o.make(ctx, key)
		m.took = time.Since(m.at)
		o.mu.Lock()
		defer o.mu.Unlock()
		if m.err != nil && m.last != nil && o.made[key] == m { // what was there is better than nothing; the next asker tries again
			o.made[key] = m.last
		}
		m.last = nil
		close(m.done)
	}()
	if m.last != nil {
		return m.last
	}
	return m
}

// A stationKey names a station.
type stationKey struct {
	operator charge.OperatorID
	station  charge.StationID
}

// A stationSum is the minutes of a station's connectors over some days.
type stationSum struct {
	ours, rapid availability.Minutes // rapid: of public connectors from 50 kW on
	outages     []availability.Outage
}

// A period is days, both inclusive.
type period struct{ from, to time.Time }

func (p period) text() (from, to string) {
	return p.from.Format(time.DateOnly), p.to.Format(time.DateOnly)
}

// months gives a time in each month that a period touches.
func (p period) months() []time.Time {
	var all []time.Time
	for m := time.Date(p.from.Year(), p.from.Month(), 1, 0, 0, 0, 0, charge.Zone); !m.After(p.to); m = m.AddDate(0, 1, 0) {
		all = append(all, m)
	}
	return all
}

// brokenSpell is an outage that may go on in the next month.
type brokenSpell struct {
	start, end time.Time
	lastDay    time.Time
}

// sumStations sums the minutes and outages of a period by station.
func (d *Dashboard) sumStations(ctx context.Context, p period) (map[stationKey]*stationSum, error) {
	sums := make(map[stationKey]*stationSum)
	open, yesterday := make(map[charge.ConnectorKey]brokenSpell), startOfDay(time.Now()).AddDate(0, 0, -1)
	end := func(s *stationSum, o brokenSpell) {
		outage := availability.Outage{Start: o.start, End: o.end}
		if (!o.lastDay.Before(p.to) || !o.lastDay.Before(yesterday)) && o.end.Equal(o.lastDay.AddDate(0, 0, 1)) {
			outage.End = time.Time{} // it lasts; today's minutes may not be there yet
		}
		s.outages = append(s.outages, outage)
	}
	of := func(key charge.ConnectorKey) (*stationSum, *registry.Pile) {
		pile, ok := d.divisions.Pile(key.Pile)
		if !ok {
			return nil, nil
		}
		at := stationKey{pile.Station.Operator, pile.Station.ID}
		if sums[at] == nil {
			sums[at] = &stationSum{}
		}
		return sums[at], pile
	}
	for _, month := range p.months() {
		err := d.registry.EachConnectorMonth(ctx, registry.MonthQuery{Month: month}, func(days []registry.ConnectorDay) error {
			if len(days) == 0 {
				return nil
			}
			key := days[0].Key
			sum, pile := of(key)
			if sum == nil {
				return nil // taken out of the registry
			}
			isRapid := pile.Station.Kind == charge.Public && powerOf(pile, key.Connector) >= availability.RapidKW
			spell, broken := open[key]
			for i := range days {
				day := &days[i]
				if day.Day.Before(p.from) || day.Day.After(p.to) {
					continue
				}
				sum.ours.Add(&day.Minutes)
				if isRapid {
					sum.rapid.Add(&day.Minutes)
				}
				spell, broken = stepOutage(spell, broken, day, func(o brokenSpell) { end(sum, o) })
			}
			if broken {
				open[key] = spell
			} else {
				delete(open, key)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for key, spell := range open {
		if sum, _ := of(key); sum != nil {
			end(sum, spell)
		}
	}
	return sums, nil
}

// repairedBy is how many usable minutes of a day end an outage, as in availability.MergeOutages.
const repairedBy = 60

// stepOutage takes a day into the outages of a connector. Days tell how many minutes were out and not when:
// an outage begins at the end of its first day and ends at the beginning of its last one, and those of a
// single day are one that begins with it.
func stepOutage(spell brokenSpell, broken bool, day *registry.ConnectorDay, end func(brokenSpell)) (brokenSpell, bool) {
	m := &day.Minutes
	out, next := time.Duration(m.Out)*time.Minute, day.Day.AddDate(0, 0, 1)
	wholly := m.Out > 0 && m.Usable < repairedBy
	if broken && !spell.lastDay.AddDate(0, 0, 1).Equal(day.Day) { // it was out of service meanwhile
		end(spell)
		broken = false
	}
	switch {
	case broken && wholly:
		spell.end, spell.lastDay = next, day.Day
	case broken:
		spell.end = day.Day.Add(out)
		end(spell)
		broken = false
	case wholly:
		spell, broken = brokenSpell{next.Add(-out), next, day.Day}, true
	case m.Out >= repairedBy && m.BreakLast > 0: // out at midnight: the part before it is what the day ends with
		last := min(time.Duration(m.BreakLast)*time.Minute, out)
		if rest := out - last; rest > 0 {
			end(brokenSpell{day.Day, day.Day.Add(rest), day.Day})
		}
		spell, broken = brokenSpell{next.Add(-last), next, day.Day}, true
	case m.Out > 0:
		end(brokenSpell{day.Day, day.Day.Add(out), day.Day})
	}
	return spell, broken
}

func powerOf(p *registry.Pile, id charge.ConnectorID) float64 {
	for i := range p.Connectors {
		if p.Connectors[i].ID == id {
			return p.Connectors[i].PowerKW
		}
	}
	return 0
}

// sumNEVI gives each station's figure by NEVI of the twelve months before a month, of its public ports.
func (d *Dashboard) sumNEVI(ctx context.Context, month time.Time) (map[stationKey]availability.Figure, error) {
	type year struct {
		m      availability.Minutes
		opened time.Time
		at     stationKey
	}
	of := make(map[charge.ConnectorKey]*year)
	for n := 12; n >= 1; n-- {
		err := d.registry.EachConnectorMonth(ctx, registry.MonthQuery{Month: month.AddDate(0, -n, 0)}, func(days []registry.ConnectorDay) error {
			if len(days) == 0 {
				return nil
			}
			key := days[0].Key
			y := of[key]
			if y == nil {
				pile, ok := d.divisions.Pile(key.Pile)
				if !ok || pile.Station.Kind != charge.Public {
					return nil
				}
				y = &year{at: stationKey{pile.Station.Operator, pile.Station.ID}}
				for i := range pile.Connectors {
					if pile.Connectors[i].ID == key.Connector {
						y.opened = pile.Connectors[i].Opened
					}
				}
				of[key] = y
			}
			for i := range days {
				y.m.Add(&days[i].Minutes)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	all := make(map[stationKey]availability.Figure)
	for _, y := range of {
		all[y.at] = availability.Sum(availability.NEVI, all[y.at], y.m.NEVI(y.opened, month))
	}
	return all, nil
}

// A stationNow counts what a station's connectors tell now.
type stationNow struct{ online, usable int }

func (d *Dashboard) countNow(ctx context.Context, _ struct{}) (map[stationKey]stationNow, error) {
	all := make(map[stationKey]stationNow)
	now := time.Now()
	err := d.registry.EachConnectorNow(ctx, func(c *registry.ConnectorNow) error {
		pile, ok := d.divisions.Pile(c.Key.Pile)
		if !ok || !c.Online || !inService(pile.Station.Opened, pile.Station.Closed, now) {
			return nil
		}
		at := stationKey{pile.Station.Operator, pile.Station.ID}
		n := all[at]
		n.online++
		if c.Usable {
			n.usable++
		}
		all[at] = n
		return nil
	})
	return all, err
}

// inService tells whether now lies between opened and closed.
func inService(opened, closed, now time.Time) bool {
	return !opened.After(now) && (closed.IsZero() || closed.After(now))
}

// A findings is what days of piles tell of an operator: contradictions, and piles that report too seldom.
type findings struct {
	found  []quality.Finding
	seldom []seldomPile
}

// A seldomPile was heard in a month, and silent for much of it.
type seldomPile struct {
	pile        charge.PileID
	unknownMin  int64
	expectedMin int64 // in service and not excused
}

const seldomShare = 0.25 // of the minutes that are not excused

// findIn looks through the days of the piles of a month, and for never_charges through those of the month
// before, too: by station's township, neighbours are the other piles of the township.
func (d *Dashboard) findIn(ctx context.Context, month time.Time) (map[charge.OperatorID]*findings, error) {
	limits := quality.DefaultLimits()
	type pileSum struct {
		usable, wh  int64
		from, until time.Time
		seldom      seldomPile
		heard       int64
		township    charge.DivisionCode
		charges     bool // others may charge at it, too
	}
	type place struct {
		wh    int64
		piles int64
	}
	piles, places := make(map[charge.PileID]*pileSum), make(map[charge.DivisionCode]*place)
	for n := 1; n >= 0; n-- {
		err := d.registry.EachPileMonth(ctx, registry.MonthQuery{Month: month.AddDate(0, -n, 0)}, func(days []registry.PileDay) error {
			if len(days) == 0 {
				return nil
			}
			id := days[0].Pile
			pile, ok := d.divisions.Pile(id)
			if !ok {
				return nil
			}
			sum := piles[id]
			if sum == nil {
				sum = &pileSum{township: pile.Station.Township, from: days[0].Day, charges: pile.Station.Kind != charge.Residential}
				piles[id] = sum
			}
			for i := range days {
				m := &days[i].Minutes
				sum.usable += int64(m.Usable)
				sum.wh += int64(m.EnergyWh)
				sum.until = days[i].Day.AddDate(0, 0, 1)
				if n == 0 {
					sum.heard += int64(m.Heard)
					sum.seldom.unknownMin += int64(m.Unknown)
					sum.seldom.expectedMin += int64(m.Usable) + int64(m.Out) + int64(m.Unknown)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, sum := range piles {
		if !sum.charges {
			continue
		}
		if places[sum.township] == nil {
			places[sum.township] = &place{}
		}
		places[sum.township].wh += sum.wh
		places[sum.township].piles++
	}
	all := make(map[charge.OperatorID]*findings)
	disguised, err := d.registry.FaultsAsOffline(ctx, month)
	if err != nil {
		return nil, err
	}
	for i := range disguised {
		f := &disguised[i]
		of := all[f.Key.Pile.Operator]
		if of == nil {
			of = &findings{}
			all[f.Key.Pile.Operator] = of
		}
		of.found = append(of.found, quality.Finding{
			What: quality.FaultAsOffline, Connector: f.Key, From: f.First, Until: f.Last.AddDate(0, 0, 1), Messages: f.Times, Value: float64(f.Times),
		})
	}
	for id, sum := range piles {
		var f findings
		if here := places[sum.township]; sum.charges && here.piles > 1 {
			others := float64(here.wh-sum.wh) / 1000 / float64(here.piles-1)
			day := charge.DayMinutes{EnergyWh: uint32(min(sum.wh, 1000))} //nolint:gosec // 0 to 1000
			days := make([]charge.DayMinutes, 0, 48)
			for left := sum.usable; left > 0; left -= 1440 {
				day.Usable = uint16(min(left, 1440)) //nolint:gosec // 1 to 1440
				days = append(days, day)
				day.EnergyWh = 0
			}
			if found, ok := quality.NeverChargesIn(charge.ConnectorKey{Pile: id}, sum.from, sum.until, days, others, limits); ok {
				f.found = append(f.found, found)
			}
		}
		if s := sum.seldom; sum.heard > 0 && float64(s.unknownMin) > seldomShare*float64(s.expectedMin) {
			s.pile = id
			f.seldom = append(f.seldom, s)
		}
		if f.found == nil && f.seldom == nil {
			continue
		}
		of := all[id.Operator]
		if of == nil {
			of = &findings{}
			all[id.Operator] = of
		}
		of.found = append(of.found, f.found...)
		of.seldom = append(of.seldom, f.seldom...)
	}
	return all, nil
}

// stillMade is the answer where figures take longer than an asker waits.
func stillMade() error {
	return newProblem(503, "being counted", "the figures are being made of every connector's days; try again in a minute")
}
