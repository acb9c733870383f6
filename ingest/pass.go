package ingest

import (
	"maps"
	"slices"
	"time"

	"pilewatch/ingest/health"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// A pass closes one day for every pile of the partition: provisionally once the day has ended, and
// for good once nothing that comes late can change it any more. It takes some piles at each tick, so
// that a million of them hold nobody up, and all at once where the log's time has leapt.
type pass struct {
	Day    time.Time // 00:00 Asia/Shanghai
	Frozen bool
	Due    time.Time // when it could begin, by the log's time
	Done   int       // piles
	After  charge.PileID
	Sums   map[registry.SumKey]registry.MinuteSum
}

// passTakes is over how much of the log's time a pass is spread.
const passTakes = 20 * time.Minute

// A calendar says which days are closed: both name the first day that is not.
type calendar struct {
	Provisional, Frozen time.Time // 00:00 Asia/Shanghai
	Passes              []*pass
}

// turn starts the passes that are due at the log's now.
func (j *judge) turn() {
	now := j.state.Now()
	if now.IsZero() {
		return
	}
	c := &j.calendar
	if c.Provisional.IsZero() {
		c.Provisional, c.Frozen = dayOf(now), dayOf(now)
	}
	if c.Provisional.Before(c.Frozen) {
		c.Provisional = c.Frozen // after a story
	}
	// In a story nothing comes late, and a day that is closed once is enough.
	for due := c.Provisional.AddDate(0, 0, 1); !j.story && !now.Before(due); due = c.Provisional.AddDate(0, 0, 1) {
		c.Passes = append(c.Passes, &pass{Day: c.Provisional, Due: due})
		c.Provisional = due
	}
	for due := c.Frozen.AddDate(0, 0, 1).Add(j.numbers.Lateness); !now.Before(due); due = c.Frozen.AddDate(0, 0, 1).Add(j.numbers.Lateness) {
		c.Passes = append(c.Passes, &pass{Day: c.Frozen, Frozen: true, Due: due})
		c.Frozen = c.Frozen.AddDate(0, 0, 1)
	}
	if len(c.Passes) > 0 && now.Sub(c.Passes[0].Due) >= passTakes {
		j.closeSome() // not at the next tick: there may be none before its minutes are forgotten
	}
}

// closeSome goes on with the passes, in the order of their days.
func (j *judge) closeSome() {
	c := &j.calendar
	for _, p := range c.Passes {
		due := len(j.ordered)
		if passed := j.state.Now().Sub(p.Due); passed < passTakes {
			due = int(int64(len(j.ordered)) * int64(passed) / int64(passTakes))
		}
		first, found := slices.BinarySearchFunc(j.ordered, p.After, func(o *pile, id charge.PileID) int { return o.registered.ID.Compare(id) })
		if found {
			first++
		}
		for _, one := range j.ordered[first:] {
			if p.Done >= due {
				break
			}
			j.closePile(p, one)
			p.After = one.registered.ID
			p.Done++
		}
		if len(j.ordered) == 0 || p.After.Compare(j.ordered[len(j.ordered)-1].registered.ID) >= 0 {
			j.changed.sums = append(j.changed.sums, p.finish(j.partition)...)
			p.Done = -1
		}
	}
	c.Passes = slices.DeleteFunc(c.Passes, func(p *pass) bool { return p.Done < 0 })
}

// closePile closes the pass's day for a pile.
func (j *judge) closePile(ps *pass, p *pile) {
	s := p.registered.Station
	terms, schedule := p.terms, p.schedule
	if s.Past != nil {
		terms = s.TermsAt(ps.Day)
		schedule = terms.Schedule()
	}
	open := within(schedule.Spans(ps.Day), s.Opened, s.Closed)
	excused := j.excused(p, ps.Day, ps.Day.AddDate(0, 0, 1))
	if len(excused) == 0 && j.closeWhole(ps, p, &terms, open) {
		return
	}
	if missing := len(p.guns) - len(j.days); missing > 0 {
		j.days = append(j.days, make([]health.Day, missing)...)
	}
	days := j.closing[:0]
	for i := range p.guns {
		c := &p.registered.Connectors[i]
		service := j.state.InService(&p.guns[i].Connector, later(s.Since(), c.Since()), within(open, c.Opened, c.Closed))
		if !j.state.CloseDay(&j.days[i], &p.Pile, &p.guns[i].Connector, ps.Day, service, excused) {
			continue
		}
		if ps.Frozen {
			j.state.Free(&p.guns[i].Connector, ps.Day.AddDate(0, 0, 1))
		}
		if len(service) == 0 {
			continue
		}
		days = append(days, &j.days[i])
		j.connectorDay(ps, p, i, &terms, j.days[i].Sum())
	}
	j.closing = days
	if len(days) == 0 {
		return
	}
	j.united.Unite(days...)
	j.changed.pileDays = append(j.changed.pileDays, registry.PileDay{Pile: p.registered.ID, Day: ps.Day, Minutes: j.united.Sum(), Frozen: ps.Frozen})
}

func (j *judge) connectorDay(ps *pass, p *pile, i int, terms *charge.StationTerms, sum charge.DayMinutes) {
	c := &p.registered.Connectors[i]
	j.changed.connectorDays = append(j.changed.connectorDays, registry.ConnectorDay{
		Key: charge.ConnectorKey{Pile: p.registered.ID, Connector: c.ID}, Day: ps.Day, Minutes: sum, Frozen: ps.Frozen,
	})
	ps.add(registry.SumKey{
		County: terms.Township.Parent(), Operator: p.registered.Station.Operator, Kind: terms.Kind, Rural: terms.Area == "rural", DC: isDC(c),
	}, &sum)
}

// closeWhole closes the day where each connector spent all of it in one way, in service or out of it. It
// reports false, having changed nothing, for any other.
func (j *judge) closeWhole(ps *pass, p *pile, terms *charge.StationTerms, open []charge.Span) bool {
	s, next := p.registered.Station, ps.Day.AddDate(0, 0, 1)
	j.kinds, j.sums, j.inService = j.kinds[:0], j.sums[:0], j.inService[:0]
	for i := range p.guns {
		c, g := &p.registered.Connectors[i], &p.guns[i].Connector
		service := j.state.InService(g, later(s.Since(), c.Since()), within(open, c.Opened, c.Closed))
		if len(service) == 0 {
			continue
		}
		if len(service) > 1 || service[0].From.After(ps.Day) || service[0].Until.Before(next) {
			return false
		}
		kind, sum, ok := j.state.WholeDay(g, ps.Day)
		if !ok {
			return false
		}
		j.kinds, j.sums, j.inService = append(j.kinds, kind), append(j.sums, sum), append(j.inService, i)
	}
	for n, i := range j.inService {
		j.connectorDay(ps, p, i, terms, j.sums[n])
	}
	for i := range p.guns {
		if ps.Frozen {
			j.state.Free(&p.guns[i].Connector, next)
		}
	}
	if len(j.inService) > 0 {
		j.changed.pileDays = append(j.changed.pileDays, registry.PileDay{
			Pile: p.registered.ID, Day: ps.Day, Minutes: health.UniteWhole(j.kinds, j.sums), Frozen: ps.Frozen,
		})
	}
	return true
}

// isDC goes by T/CEC 102's EquipmentType.
func isDC(c *charge.Connector) bool { return c.EquipmentType == 1 || c.EquipmentType == 3 }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// within cuts spans down to the time from opened to before closed, which is zero while it is open.
func within(spans []charge.Span, opened, closed time.Time) []charge.Span {
	var clipped []charge.Span
	for _, s := range spans {
		s.From = later(s.From, opened)
		if !closed.IsZero() && s.Until.After(closed) {
			s.Until = closed
		}
		if s.From.Before(s.Until) {
			clipped = append(clipped, s)
		}
	}
	return clipped
}

func (ps *pass) add(key registry.SumKey, d *charge.DayMinutes) {
	if ps.Sums == nil {
		ps.Sums = make(map[registry.SumKey]registry.MinuteSum)
	}
	sum := ps.Sums[key]
	sum.Add(d)
	ps.Sums[key] = sum
}

// finish gives the sums of the day, in one order.
func (ps *pass) finish(partition int) []registry.DaySum {
	keys := slices.SortedFunc(maps.Keys(ps.Sums), registry.SumKey.Compare)
	all := make([]registry.DaySum, len(keys))
	for i, key := range keys {
		all[i] = registry.DaySum{Partition: partition, Day: ps.Day, Frozen: ps.Frozen, SumKey: key, MinuteSum: ps.Sums[key]}
	}
	return all
}
