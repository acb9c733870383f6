package dashboard

import (
	"slices"
	"strings"

	"pilewatch/internal/charge"
)

// planDenominator is what a figure of the plan's list counts.
const planDenominator = "towns and townships of the plan's list (乡镇, 2023-06-30)"

// planView shows coverage by the plan's list of towns and townships, whatever list is in force: each is counted as what
// the township is that it has become. One that no list and no rename knows any more has none.
func (c *coverage) planView(code charge.DivisionCode, plan []charge.Division, renames map[charge.DivisionCode]charge.DivisionCode) (coverageView, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p := c.places[code]
	if p == nil {
		return coverageView{}, false
	}
	v := coverageView{
		Division: code, Name: p.division.Name, Level: p.division.Level, Denominator: planDenominator, Tier: tierNames[tierTowns],
		AsOf: orNull(c.asOf), DivisionsAsOf: c.divisionsAsOf, Version: c.version, Children: []coverageChild{},
	}
	var whole sums
	var parts []sums
	counted := make(map[*place]bool) // stations of merged townships are there once
	for _, d := range plan {
		if !strings.HasPrefix(string(d.Code), string(code)) || d.Code == code {
			continue
		}
		today := c.places[becomes(d.Code, renames)]
		one := sumsOf(&charge.TownshipState{State: charge.None})
		var state charge.TownshipState
		if today != nil {
			state = today.state
			one = sumsOf(&state)
			if counted[today] {
				one.stations, one.connectors, one.online, one.usable, one.charging, one.fault, one.powerW = 0, 0, 0, 0, 0, 0, 0
			}
			counted[today] = true
		}
		whole.add(&one, 1)
		child := d
		for child.Parent != code {
			above := child.Parent
			child = charge.Division{Code: above, Level: above.Level(), Parent: above.Parent()}
			if known := c.places[above]; known != nil {
				child.Name, child.Kind = known.division.Name, known.division.Kind
			}
		}
		if n := len(v.Children); n == 0 || v.Children[n-1].Division != child.Code {
			v.Children = append(v.Children, coverageChild{Division: child.Code, Name: child.Name, Level: child.Level, Kind: child.Kind})
			parts = append(parts, sums{})
		}
		last := len(parts) - 1
		parts[last].add(&one, 1)
		if child.Level == charge.Township {
			row := &v.Children[last]
			row.State, row.Since, row.Reason = charge.None, nil, "no_station"
			if today != nil {
				row.State, row.Since, row.Reason = state.State, orNull(state.Since), state.Reason
			}
		}
	}
	v.counts = whole.view()
	for i := range parts {
		v.Children[i].counts = parts[i].view()
	}
	slices.SortFunc(v.Children, func(a, b coverageChild) int { return strings.Compare(string(a.Division), string(b.Division)) })
	return v, true
}

// becomes follows renames to today's code.
func becomes(code charge.DivisionCode, renames map[charge.DivisionCode]charge.DivisionCode) charge.DivisionCode {
	for range renames { // no longer, should they go round
		next, ok := renames[code]
		if !ok {
			break
		}
		code = next
	}
	return code
}
