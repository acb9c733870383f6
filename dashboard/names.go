package dashboard

import (
	"context"
	"maps"
	"slices"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// A pileName is what a machine is called from a day on, by a transfer or by its serial number.
type pileName struct {
	Pile     string  `json:"pile"`
	From     *string `json:"from"` // a day of Asia/Shanghai; null: its first name
	Document string  `json:"document"`
}

// namesOf gives all names of the machine that this pile is, the first one first.
func (d *Dashboard) namesOf(id charge.PileID) []pileName {
	links := d.divisions.Links()
	for range links { // to its newest name
		i := slices.IndexFunc(links, func(l registry.PileLink) bool { return l.Was == id })
		if i < 0 {
			break
		}
		id = links[i].Pile
	}
	var names []pileName
	for _, n := range registry.PileNames(links, id) {
		one := pileName{Pile: charge.PileID{Operator: charge.OperatorID(n.Operator), Equipment: n.Pile}.String(), Document: n.Document}
		if !n.From.IsZero() {
			from := dateText(n.From.In(charge.Zone))
			one.From = &from
		}
		names = append(names, one)
	}
	return names
}

// pileDays gives the days of the machine that this pile is, under its names up to this one. Where it has two
// on one day, that of the later name is taken.
func (d *Dashboard) pileDays(ctx context.Context, id charge.PileID, from, to time.Time) ([]registry.PileDay, error) {
	byDay := make(map[time.Time]registry.PileDay)
	for _, n := range registry.PileNames(d.divisions.Links(), id) {
		days, err := d.registry.PileDays(ctx, charge.PileID{Operator: charge.OperatorID(n.Operator), Equipment: n.Pile}, from, to)
		if err != nil {
			return nil, err
		}
		for i := range days {
			byDay[days[i].Day.UTC()] = days[i]
		}
	}
	return slices.SortedFunc(maps.Values(byDay), func(a, b registry.PileDay) int { return a.Day.Compare(b.Day) }), nil
}

// connectorDays gives the days of a connector of the machine that this pile is, as pileDays does: under a name before
// it is the one of the same id, or else of the same serial number.
func (d *Dashboard) connectorDays(ctx context.Context, id charge.PileID, c *charge.Connector, from, to time.Time) ([]registry.ConnectorDay, error) {
	byDay := make(map[time.Time]registry.ConnectorDay)
	for _, n := range registry.PileNames(d.divisions.Links(), id) {
		key := charge.ConnectorKey{Pile: charge.PileID{Operator: charge.OperatorID(n.Operator), Equipment: n.Pile}, Connector: c.ID}
		if pile, ok := d.divisions.Pile(key.Pile); ok && c.Serial != "" && key.Pile != id {
			if !slices.ContainsFunc(pile.Connectors, func(o charge.Connector) bool { return o.ID == c.ID }) {
				if i := slices.IndexFunc(pile.Connectors, func(o charge.Connector) bool { return o.Serial == c.Serial }); i >= 0 {
					key.Connector = pile.Connectors[i].ID
				}
			}
		}
		days, err := d.registry.ConnectorDays(ctx, key, from, to)
		if err != nil {
			return nil, err
		}
		for i := range days {
			byDay[days[i].Day.UTC()] = days[i]
		}
	}
	return slices.SortedFunc(maps.Values(byDay), func(a, b registry.ConnectorDay) int { return a.Day.Compare(b.Day) }), nil
}
