package ingest

import (
	"context"
	"math"
	"slices"
	"time"

	"pilewatch/ingest/longfailed"
	"pilewatch/internal/charge"
)

// neighbourKM is how far apart the registered points of two townships lie at most that neighbour on each other. One
// without a point has no neighbours.
const neighbourKM = 15

// A model is what stands for a maker's model, which the registry does not know.
type model struct {
	operator charge.OperatorID
	kind     int // T/CEC 102 EquipmentType
	powerKW  float64
}

// energies keeps what was added up for the end of one day.
type energies struct {
	reported  map[model]bool
	delivered map[charge.PileID]int64 // Wh, from the first day of the window on
	from      time.Time
}

// suspicions gives the rules that hold. What no_energy asks of others is looked up only where all else of it holds.
func (p *procedure) suspicions(ctx context.Context, x *examined, day time.Time, versions []longfailed.Policy) ([]longfailed.Suspicion, error) {
	x.days.EnergyReported, x.days.StationKWh = true, math.Inf(1)
	found := longfailed.Suspect(&x.days, versions)
	i := slices.IndexFunc(found, func(s longfailed.Suspicion) bool { return s.Check })
	if i < 0 {
		return found, nil
	}
	if err := p.lookAround(ctx, x, found[i].Window.From, day); err != nil {
		return nil, err
	}
	return longfailed.Suspect(&x.days, versions), nil
}

// lookAround finds whether this pile or its model has ever told energy, and what others delivered.
func (p *procedure) lookAround(ctx context.Context, x *examined, from, day time.Time) error {
	if p.energies == nil || !p.energies.from.Equal(from) {
		p.energies = &energies{reported: make(map[model]bool), delivered: make(map[charge.PileID]int64), from: from}
	}
	var err error
	if x.days.EnergyReported, err = p.reportsEnergy(ctx, x, day); err != nil {
		return err
	}
	at := x.pile.Station
	of, err := p.store.PilesOfStation(ctx, at.Operator, at.ID)
	if err != nil {
		return err
	}
	if x.days.StationKWh, err = p.meanKWh(ctx, of, x.pile.ID, day); err != nil {
		return err
	}
	towns, err := p.around(ctx, at.TermsAt(day).Township)
	if err != nil {
		return err
	}
	var area []charge.PileID
	for _, town := range towns {
		of, err := p.store.PublicPiles(ctx, town)
		if err != nil {
			return err
		}
		area = append(area, of...)
	}
	x.days.AreaKWh, err = p.meanKWh(ctx, area, x.pile.ID, day)
	return err
}

func (p *procedure) reportsEnergy(ctx context.Context, x *examined, day time.Time) (bool, error) {
	told := func(d longfailed.Day) bool { return d.Pile.EnergyWh > 0 }
	if slices.ContainsFunc(x.days.Days, told) {
		return true, nil
	}
	for i := range x.pile.Connectors {
		c := &x.pile.Connectors[i]
		m := model{x.pile.ID.Operator, c.EquipmentType, c.PowerKW}
		does, known := p.energies.reported[m]
		if !known {
			same, err := p.store.PilesOfModel(ctx, m.operator, m.kind, m.powerKW)
			if err != nil {
				return false, err
			}
			for _, id := range same {
				if wh, err := p.wh(ctx, id, day); err != nil {
					return false, err
				} else if wh > 0 {
					does = true
					break
				}
			}
			p.energies.reported[m] = does
		}
		if does {
			return true, nil
		}
	}
	return false, nil
}

// meanKWh is what the piles but one delivered in the window, a mean a pile; 0 where there is none.
func (p *procedure) meanKWh(ctx context.Context, piles []charge.PileID, but charge.PileID, day time.Time) (float64, error) {
	var sum int64
	n := 0
	for _, id := range piles {
		if id == but {
			continue
		}
		wh, err := p.wh(ctx, id, day)
		if err != nil {
			return 0, err
		}
		sum += wh
		n++
	}
	if n == 0 {
		return 0, nil
	}
	return float64(sum) / float64(n) / 1000, nil
}

// wh is what a pile delivered in the window.
func (p *procedure) wh(ctx context.Context, id charge.PileID, day time.Time) (int64, error) {
	if wh, known := p.energies.delivered[id]; known {
		return wh, nil
	}
	days, err := p.store.PileDays(ctx, id, p.energies.from, day)
	if err != nil {
		return 0, err
	}
	var wh int64
	for i := range days {
		wh += int64(days[i].Minutes.EnergyWh)
	}
	p.energies.delivered[id] = wh
	return wh, nil
}

// around gives a township and its neighbours.
func (p *procedure) around(ctx context.Context, town charge.DivisionCode) ([]charge.DivisionCode, error) {
	facts, err := p.store.TownshipFacts(ctx)
	if err != nil {
		return nil, err
	}
	all := []charge.DivisionCode{town}
	for i := range facts {
		if own := &facts[i]; own.Township == town && own.HasPoint {
			for j := range facts {
				other := &facts[j]
				if other.Township != town && other.HasPoint && distanceKM(own.Lng, own.Lat, other.Lng, other.Lat) <= neighbourKM {
					all = append(all, other.Township)
				}
			}
		}
	}
	return all, nil
}

// distanceKM is exact enough for some tens of kilometres: the earth is taken for flat there.
func distanceKM(lng1, lat1, lng2, lat2 float64) float64 {
	const kmADegree = 111.2
	x := (lng2 - lng1) * math.Cos((lat1+lat2)/2*math.Pi/180)
	return kmADegree * math.Hypot(x, lat2-lat1)
}
