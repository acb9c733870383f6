package simulator

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// A milestone is how many there are at the end of a day, after the plan (鲁政字〔2023〕155号).
type milestone struct {
	at                            string // as --at names it
	by                            time.Time
	public, residential           float64
	ruralPublic, ruralResidential float64
	towns                         int     // with a public station
	fastShare                     float64 // DC piles among the urban public ones
	publicKVA, residentialKVA     float64 // of all stations
}

// milestones are the plan's figures at the ends of 2023 and 2025. The rest is inferred or assumed:
//   - what stood before 2023, from the growth that the plan wants of public and residential piles (30 % and 100 % a
//     year); that rural ones doubled in 2023 is assumed;
//   - September 2023, on the straight way between the two;
//   - 48.2 % of the towns has no date in the plan: that it held until the plan's own month is assumed, and that towns
//     follow evenly from then to the end of 2025;
//   - a DC share below 70 % before 2025 is assumed;
//   - 750,000 kVA added in three years by 16 % a year is 1.337 million before them, since (1.16³ - 1) × 1.337 = 0.75;
//     that residential capacity follows the piles is assumed.
func milestones() []milestone {
	return []milestone{
		{"", lastDay(2022, 12), 84_615, 175_000, 1_500, 30_000, coveredTowns, 0.60, 1_337_000, 193_000},
		{"2023-09", lastDay(2023, 9), 103_654, 306_250, 2_625, 52_500, coveredTowns, 0.60, 1_497_000, 338_000},
		{"2023-12", lastDay(2023, 12), 110_000, 350_000, 3_000, 60_000, 609, 0.62, 1_551_000, 386_000},
		{"2025-12", lastDay(2025, 12), 180_000, 900_000, 10_000, 150_000, plannedTowns, 0.705, 2_087_000, 993_000},
	}
}

// lastDay is that of a month.
func lastDay(year int, month time.Month) time.Time {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, charge.Zone)
}

// Of the urban public stations, those at expressway service areas; assumed.
const expresswayShare = 0.015

// PlannedPiles is how many piles the plan has at the end of a month: "2023-09", "2023-12" or "2025-12"; 0 at others.
func PlannedPiles(at string) int {
	for _, m := range milestones() {
		if m.at == at && at != "" {
			return m.piles()
		}
	}
	return 0
}

func (m *milestone) piles() int { return int(m.public + m.residential) }

// GeneratePlanned makes the province's fleet as the plan has it at the end of a month, one of those of PlannedPiles.
// piles 0 is all of it; fewer are in proportion, but as many towns have a station, so that there is a least number.
func GeneratePlanned(divisions []charge.Division, at string, piles int, seed uint64) (*Fleet, error) {
	all := milestones()
	last := slices.IndexFunc(all, func(m milestone) bool { return m.at == at })
	if at == "" || last < 0 {
		return nil, fmt.Errorf("generate fleet of %q: want 2023-09, 2023-12 or 2025-12", at)
	}
	if piles == 0 {
		piles = all[last].piles()
	}
	return makeFleet(divisions, piles, seed, func(g *generator) { g.plan = all[:last+1] })
}

// An era is the time between two milestones, in which some of the fleet opens.
type era struct {
	from, until time.Time // first day and the day after the last
	fastShare   float64   // of the urban public piles
	fastOwed    float64   // DC piles that the share is behind by
	stations    int       // where the era's begin
}

func (e *era) day(rng *rand.Rand) time.Time {
	return e.from.AddDate(0, 0, rng.IntN(int(e.until.Sub(e.from).Hours()/24+0.5)))
}

// fast keeps to the share as closely as whole piles allow; at expressways all are DC.
func (e *era) fast(always bool) bool {
	e.fastOwed += e.fastShare
	if always || e.fastOwed >= 0.5 {
		e.fastOwed--
		return true
	}
	return false
}

// buildPlan builds era by era what came between two milestones.
func (g *generator) buildPlan(piles int) error {
	end := &g.plan[len(g.plan)-1]
	scale := float64(piles) / float64(end.piles())
	share := func(n float64) int { return int(math.Round(scale * n)) }
	covered := func(towns int) int {
		return int(math.Round(float64(len(g.towns)) * float64(towns) / plannedTowns))
	}
	if least := g.leastPiles(covered); piles < least {
		return fmt.Errorf("%d piles are too few for a station in each of the plan's towns: at least %d", piles, least)
	}
	towns := slices.Clone(g.towns)
	g.rng.Shuffle(len(towns), func(i, j int) { towns[i], towns[j] = towns[j], towns[i] })
	early := g.choose(g.towns, covered(coveredTowns))
	first := make(map[charge.DivisionCode]bool, len(early))
	for _, code := range early {
		first[code] = true
	}
	slices.SortStableFunc(towns, func(a, b charge.DivisionCode) int {
		return cmp.Compare(order(first[a]), order(first[b]))
	})
	before := milestone{}
	begin := firstOpening
	for i := range g.plan {
		m := &g.plan[i]
		until := m.by.AddDate(0, 0, 1)
		g.era = &era{from: begin, until: until, stations: len(g.fleet.Stations)}
		rural := share(m.ruralPublic) - share(before.ruralPublic)
		urban := share(m.public) - share(before.public) - rural
		urbanBefore := before.public - before.ruralPublic
		g.era.fastShare = (m.fastShare*(m.public-m.ruralPublic) - before.fastShare*urbanBefore) /
			(m.public - m.ruralPublic - urbanBefore)
		fresh := towns[covered(before.towns):covered(m.towns)]
		served := towns[:covered(m.towns)]
		g.place(ruralPublic, append(slices.Clone(fresh), g.some(served, (rural-len(fresh))/3)...), rural)
		g.place(urbanPublic, g.some(g.street, max(1, urban/8)), urban)
		ruralHomes := share(m.ruralResidential) - share(before.ruralResidential)
		homes := share(m.residential) - share(before.residential) - ruralHomes
		g.place(residential, g.some(g.towns, max(1, ruralHomes/10)), ruralHomes)
		g.place(residential, g.some(g.street, max(1, homes/30)), homes)
		g.capacity(charge.Public, scale*(m.publicKVA-before.publicKVA))
		g.capacity(charge.Residential, scale*(m.residentialKVA-before.residentialKVA))
		before, begin = *m, until
	}
	return nil
}

// leastPiles is the smallest fleet that has a rural pile for each town that is new in an era.
func (g *generator) leastPiles(covered func(int) int) int {
	end, before, least := &g.plan[len(g.plan)-1], milestone{}, 0.0
	for _, m := range g.plan {
		fresh := float64(covered(m.towns) - covered(before.towns))
		least = max(least, float64(end.piles())*(fresh+1)/(m.ruralPublic-before.ruralPublic))
		before = m
	}
	return int(math.Ceil(least))
}

func order(first bool) int {
	if first {
		return 0
	}
	return 1
}

// capacity shares the transformers' capacity of an era out among its stations of a kind, by the power of their piles.
func (g *generator) capacity(kind charge.StationKind, kva float64) {
	g.fleet.capacityKVA = append(g.fleet.capacityKVA, make([]float64, len(g.fleet.Stations)-len(g.fleet.capacityKVA))...)
	power := make(map[uint32]float64)
	total := 0.0
	for i := len(g.fleet.Piles) - 1; i >= 0 && int(g.fleet.Piles[i].Station) >= g.era.stations; i-- {
		p := &g.fleet.Piles[i]
		if g.fleet.Stations[p.Station].Kind == kind {
			kw := float64(p.PowerKW) * float64(p.Connectors)
			power[p.Station] += kw
			total += kw
		}
	}
	for station, kw := range power {
		g.fleet.capacityKVA[station] = kva * kw / total
	}
}
