package simulator

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
)

// Plan2023 is the name of the only story: the plan 鲁政字〔2023〕155号 as history, from 2023-01-01 to the real now.
const Plan2023 = "plan-2023-2025"

// NoStory leaves it out.
const NoStory = "none"

// Dates of the story. The plan's own years are 2023 to 2025; nothing opens after them.
var (
	storyBegins = time.Date(2023, 1, 1, 0, 0, 0, 0, charge.Zone)
	storyYear2  = time.Date(2024, 1, 1, 0, 0, 0, 0, charge.Zone)
	planEnds    = time.Date(2026, 1, 1, 0, 0, 0, 0, charge.Zone)
)

// StoryBegins is the first instant of the story.
func StoryBegins() time.Time { return storyBegins }

// A growth is which shares of a use's piles of the end of 2025 stood at the beginning and at the end of 2023.
type growth struct{ begin, year2 float64 }

// The plan gives stocks for 2023 and 2025 (public 110,000 and 180,000, residential 350,000 and 900,000, rural
// public 3,000 and 10,000). What stood at the beginning of 2023 is inferred from the yearly growth of 2025's
// indicators (30 % and 100 %), and for rural ones assumed to have doubled.
var growths = [...]growth{
	ruralPublic: {0.15, 0.30},
	urbanPublic: {0.47, 0.611},
	dedicated:   {0.47, 0.611},
	residential: {0.194, 0.389},
}

// Of the towns' first stations 544 of 1,129 stood at the beginning; that a third of the others came in 2023 is assumed.
var townsGrow = growth{0, 0.33}

// opening draws the day on which something opens in the story.
func (g *generator) opening(gr growth) time.Time {
	u := g.rng.Float64()
	day := func(from, until time.Time) time.Time {
		return from.AddDate(0, 0, g.rng.IntN(int(until.Sub(from).Hours()/24)))
	}
	switch {
	case u < gr.begin:
		return day(firstOpening, storyBegins)
	case u < gr.year2:
		return day(storyBegins, storyYear2)
	}
	return day(storyYear2, planEnds)
}

// extension draws the day on which a station gets another pile.
func (g *generator) extension(station time.Time) time.Time {
	return station.AddDate(0, 0, g.rng.IntN(int(planEnds.Sub(station).Hours()/24)))
}

// unusedShare of the working piles say that they are usable and never charge (1 to 3 %, assumed).
const unusedShare = 0.02

// What a pile's past consists of, all assumed but where faultModes says otherwise. Only what lasts for hours is
// told: a story of every short fault would be as long as the years themselves.
const (
	connectDays    = 12.0 // at most, from the opening to the first word
	quietDays      = 75.0 // mean between two faults of hours of a connector
	quietDaysBad   = 30.0 // at an operator that keeps its piles badly
	repairHours    = 12.0 // median, log-normal with spread 1
	mostRepair     = 25 * 24 * time.Hour
	longFails      = 0.07 // share of working piles with one long failure behind them
	longFailsBad   = 0.20
	flaky          = 0.015 // share that is out most of the time
	flakyBad       = 0.06
	flakyQuietDays = 4.0
	flakyRepair    = 110.0 // hours
	orderDays      = 5.0   // mean between two orders of a pile that are told
	neverConnected = 0.25  // of the piles that are silent at the end
)

// A moment is something that a pile tells in its past: 12 bytes, for there are hundreds of each.
type moment struct {
	second uint32 // since storyBegins
	what   word
	gun    uint8
	arg    uint16 // of a fault its mode, of an order its energy in 0.1 kWh
}

type word uint8

const (
	tellsIdle word = iota
	tellsFault
	tellsOffline
	tellsOrder
	heardLast // of all its connectors
)

// storyStream keeps the story's random numbers apart.
const storyStream = 0x73746f7279 // "story"

// A past is one pile's, being made.
type past struct {
	rng     *rand.Rand
	fleet   *Fleet
	i       int
	until   time.Time
	moments []moment
	quiet   float64 // days
	repair  float64 // hours
}

// past gives all that pile i told before until, in order. What was told before a time does not depend on until.
func (f *Fleet) past(i int, until time.Time) []moment {
	pile := &f.Piles[i]
	bad := f.habits[pile.Operator].bad()
	p := &past{rng: rand.New(rand.NewPCG(f.Seed^storyStream, uint64(i))), fleet: f, i: i, until: until, quiet: quietDays, repair: repairHours} //nolint:gosec // an index
	of := func(good, atBad float64) float64 {
		if bad {
			return atBad
		}
		return good
	}
	p.quiet = of(quietDays, quietDaysBad)
	opened := pile.Opened
	if opened.Before(storyBegins) {
		opened = storyBegins
	} else {
		opened = opened.Add(p.span(connectDays*24*p.rng.Float64() + 8))
	}
	begin := opened.Add(p.span(2 + 8*p.rng.Float64()))
	// How it ends: a pile that has failed for good did so after a while, in the years up to the plan's end or soon after.
	end, dead := until, pile.Condition != Working && pile.Condition != Unused
	if dead {
		if pile.Condition == FailedSilent && p.rng.Float64() < neverConnected {
			return nil
		}
		last := later(planEnds, begin.AddDate(0, 2, 0)).AddDate(0, 4, 0)
		end = begin.Add(time.Duration((0.1 + 0.9*p.rng.Float64()) * float64(last.Sub(begin))).Truncate(time.Second))
	}
	fails, when, days := p.rng.Float64() < of(longFails, longFailsBad), p.rng.Float64(), 20+180*p.rng.Float64()*p.rng.Float64()
	how := [...]Condition{FailedSilent, FailedSilent, FailedFault, FailedGone}[p.rng.IntN(4)]
	if p.rng.Float64() < of(flaky, flakyBad) && !dead {
		p.quiet, p.repair = flakyQuietDays, flakyRepair
	}
	// The long failure lies where it does whatever until is, which may come before its end.
	if from := begin.Add(p.span(24 * (30 + 900*when))); fails && from.Before(end) {
		p.live(begin, from)
		p.fail(how, from)
		begin = from.Add(p.span(24 * days))
	}
	if begin.Before(end) {
		p.live(begin, end)
	}
	if dead {
		p.fail(pile.Condition, later(begin, end))
	}
	slices.SortStableFunc(p.moments, func(a, b moment) int { return cmp.Compare(a.second, b.second) })
	return p.moments
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (p *past) span(hours float64) time.Duration {
	return time.Duration(hours * float64(time.Hour)).Truncate(time.Second)
}

func (p *past) tell(at time.Time, gun int, what word, arg int) {
	if !at.Before(p.until) {
		return
	}
	p.moments = append(p.moments, moment{uint32(at.Sub(storyBegins) / time.Second), what, uint8(gun), uint16(arg)}) //nolint:gosec // of this decade, two guns, under 6,553 kWh
}

// live lets the pile's connectors work, fail and be repaired from one time to another.
func (p *past) live(from, until time.Time) {
	pile := &p.fleet.Piles[p.i]
	for gun := range int(pile.Connectors) {
		// Each with numbers of its own, so that where one life is cut short the other stays the same.
		rng := rand.New(rand.NewPCG(p.fleet.Seed^storyStream^uint64(from.Unix()), uint64(p.i)<<1|uint64(gun))) //nolint:gosec // two guns
		for at := from; at.Before(until) && !at.After(p.until); {
			p.tell(at, gun, tellsIdle, 0)
			fault := at.Add(time.Hour + p.span(24*p.quiet*rng.ExpFloat64()))
			p.serve(rng.Uint64(), gun, at, earlier(fault, until))
			if !fault.Before(until) {
				break
			}
			p.tell(fault, gun, tellsFault, int(faultOf(rng.Float64())))
			at = fault.Add(time.Hour + min(p.span(p.repair*math.Exp(rng.NormFloat64())), mostRepair))
		}
	}
}

// serve tells of some of the sessions that a connector had while it was usable.
func (p *past) serve(seed uint64, gun int, from, until time.Time) {
	pile := &p.fleet.Piles[p.i]
	if pile.Condition == Unused {
		return
	}
	rng := rand.New(rand.NewPCG(p.fleet.Seed^storyStream, seed))
	for at := from; ; {
		at = at.Add(time.Hour + p.span(24*orderDays*float64(pile.Connectors)*rng.ExpFloat64()))
		kWh := 5 + 27*rng.Float64()
		if pile.DC {
			kWh = 12 + 28*rng.Float64()
		}
		if !at.Before(until) || at.After(p.until) {
			return
		}
		p.tell(at, gun, tellsOrder, int(10*kWh))
	}
}

func (p *past) fail(how Condition, at time.Time) {
	if how == FailedSilent {
		p.tell(at, 0, heardLast, 0)
		return
	}
	mode := int(faultOf(p.rng.Float64()))
	for gun := range int(p.fleet.Piles[p.i].Connectors) {
		if how == FailedFault {
			p.tell(at, gun, tellsFault, mode)
		} else {
			p.tell(at, gun, tellsOffline, 0)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// storyReadings is how many readings are in one message of a partition.
const storyReadings = 500

// Story gives the fleet's past up to before until for the log: each partition's messages in order, at last one that only
// tells the time. partitionOf tells where a township's piles are. The same fleet gives the same messages;
// another until only ends them elsewhere.
func (f *Fleet) Story(until time.Time, partitions int, partitionOf func(charge.DivisionCode) int) iter.Seq[journal.Told] {
	return func(yield func(journal.Told) bool) {
		pasts := make([][]moment, len(f.Piles))
		places := make([]int, len(f.Piles))
		for i := range f.Piles {
			pasts[i] = f.past(i, until)
			places[i] = partitionOf(f.Stations[f.Piles[i].Station].Township)
		}
		type said struct {
			moment
			pile int
		}
		var today []said
		told := make([][]charge.Reading, partitions)
		for day := storyBegins.AddDate(0, 0, 1); ; day = day.AddDate(0, 0, 1) {
			before := uint32(day.Sub(storyBegins) / time.Second) //nolint:gosec // of this decade
			today = today[:0]
			for i, past := range pasts {
				for len(past) > 0 && past[0].second < before {
					today = append(today, said{past[0], i})
					past = past[1:]
				}
				pasts[i] = past
			}
			slices.SortStableFunc(today, func(a, b said) int { return cmp.Compare(a.second, b.second) })
			for i := range today {
				r := f.tells(today[i].pile, &today[i].moment)
				p := places[today[i].pile]
				if n := len(told[p]); n >= storyReadings && r.Received.After(told[p][n-1].Received) { // times of messages rise
					if !yield(journal.Told{Partition: p, At: told[p][n-1].Received, Readings: told[p]}) {
						return
					}
					told[p] = told[p][:0]
				}
				told[p] = append(told[p], r)
			}
			if !day.Before(until) {
				break
			}
		}
		for p, readings := range told {
			if n := len(readings); n > 0 && !yield(journal.Told{Partition: p, At: readings[n-1].Received, Readings: readings}) {
				return
			}
		}
		for p := range told {
			if !yield(journal.Told{Partition: p, At: until}) {
				return
			}
		}
	}
}

// tells gives the reading that a moment is.
func (f *Fleet) tells(i int, m *moment) charge.Reading {
	at := storyBegins.Add(time.Duration(m.second) * time.Second).UTC()
	r := charge.Reading{
		Pile: f.ID(i), Connector: charge.ConnectorID(connectorName(m.gun)), Kind: charge.KindStatus, Has: charge.HasStatus, At: at, Received: at,
	}
	switch m.what {
	case tellsIdle:
		r.Status = charge.Idle
	case tellsFault:
		r.Status, r.Fault = charge.Faulted, faultModes[m.arg].fault
	case tellsOffline:
		r.Status = charge.Offline
	case heardLast:
		r.Kind, r.Has, r.Connector = charge.KindHeard, 0, ""
	case tellsOrder:
		pile := &f.Piles[i]
		r.Kind, r.Has = charge.KindOrder, charge.HasEnergy|charge.HasStart|charge.HasEnd
		r.EnergyKWh = float64(m.arg) / 10
		// At half of what the pile can give, which is about what a session comes to in the mean.
		r.End, r.Start = at, at.Add(-time.Duration(2*r.EnergyKWh/float64(pile.PowerKW)*3600)*time.Second)
		r.Order = fmt.Sprintf("%s%s%06d%s", r.Pile.Operator, strconv.FormatInt(r.Start.Unix(), 10), i%1_000_000, r.Connector)
	}
	return r
}
