package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"pilewatch/internal/availability"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

const (
	operatorDays     = 30  // where no from is given
	operatorDaysMost = 366 // of from and to
	sparkDays        = 30
)

// An availabilityView is a figure by the definition that the answer names; null is "–".
type availabilityView struct {
	UpMin    int64    `json:"up_min"`
	OfMin    int64    `json:"of_min"`
	Share    *float64 `json:"share"`
	Low      *float64 `json:"low"` // of the 95 % interval
	High     *float64 `json:"high"`
	Rank     *int     `json:"rank"`
	Unranked string   `json:"unranked"` // why it has no rank; "" where it has one
}

// A repairView is the time to repair by docs/availability.md; null is "–".
type repairView struct {
	Repaired    int      `json:"repaired"`
	Open        int      `json:"open"`
	MedianHours *float64 `json:"median_h"` // null: longer than observed, or no outage
	MeanHours   *float64 `json:"mean_h"`   // restricted to 30 days
}

func viewRepair(r availability.Repair) repairView {
	v := repairView{Repaired: r.Repaired, Open: r.Open}
	if r.HasMedian {
		h := r.Median.Hours()
		v.MedianHours = &h
	}
	if r.HasMean {
		h := r.Mean.Hours()
		v.MeanHours = &h
	}
	return v
}

// A connectionView is how many piles of a tier are connected.
type connectionView struct {
	Tier       registry.Tier `json:"tier"`
	Registered int           `json:"registered"`
	Ever       int           `json:"ever"`
	Recent     int           `json:"recent"` // in the last 72 hours
}

// An operatorRow is an operator as far as the viewer may see its piles.
type operatorRow struct {
	Operator     charge.OperatorID `json:"operator"`
	Name         string            `json:"name"`
	Stations     int               `json:"stations"`
	Piles        int               `json:"piles"`
	PublicPiles  int               `json:"public_piles"`
	Connectors   int               `json:"connectors"`
	Online       int               `json:"online"`
	Usable       int               `json:"usable"`
	Availability availabilityView  `json:"availability"`
	Repair       repairView        `json:"repair"`
	Rejects      *int64            `json:"rejects"` // this month; null: not for the viewer
	Connection   []connectionView  `json:"connection"`
	Days         []*float64        `json:"days"` // ours, of the last days of the period
}

// A definitionView is what an availability means.
type definitionView struct {
	ID     availability.Definition `json:"id"`
	NameZH string                  `json:"name_zh"`
	NameEN string                  `json:"name_en"`
	Source string                  `json:"source"`
	Asked  *float64                `json:"asked"` // the share that its source asks for
	Above  bool                    `json:"above"` // more than it, not just as much
}

func definitionViews() []definitionView {
	var all []definitionView
	for _, id := range availability.Definitions() {
		v := definitionView{ID: id}
		v.NameZH, v.NameEN, v.Source = id.Names()
		if share, above, ok := id.Requirement(); ok {
			v.Asked, v.Above = &share, above
		}
		all = append(all, v)
	}
	return all
}

// periodOf reads ?from= and ?to=, dates; without them the 30 days up to today.
func periodOf(r *http.Request, most int) (period, error) {
	q := r.URL.Query()
	to, err := dateOf(q.Get("to"), "to", time.Now())
	if err != nil {
		return period{}, err
	}
	from, err := dateOf(q.Get("from"), "from", to.AddDate(0, 0, 1-operatorDays))
	if err != nil {
		return period{}, err
	}
	if from.After(to) || to.Sub(from) >= time.Duration(most)*24*time.Hour {
		return period{}, badRequest(fmt.Sprintf("from and to: want 1 to %d days", most))
	}
	return period{from, to}, nil
}

func definitionOf(r *http.Request) (availability.Definition, error) {
	id := availability.Definition(cmp.Or(r.URL.Query().Get("definition"), string(availability.Ours)))
	if !slices.Contains(availability.Definitions(), id) {
		return "", badRequest(fmt.Sprintf("definition %q: want pilewatch, nevi or uk", clip(string(id))))
	}
	return id, nil
}

func (d *Dashboard) getOperators(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	code, err := d.divisionOf(r)
	if err != nil {
		return err
	}
	p, err := periodOf(r, operatorDaysMost)
	if err != nil {
		return err
	}
	definition, err := definitionOf(r)
	if err != nil {
		return err
	}
	rows, err := d.operatorsOf(r, code, p, definition)
	if err != nil {
		return err
	}
	from, to := p.text()
	return reply(w, r, map[string]any{
		"operators": rows, "division": code, "definition": definition, "definitions": definitionViews(), "from": from, "to": to, "league_from": availability.LeagueFrom,
	})
}

// A leagueKey is all that the operators' figures depend on, beside what happens: where, when, by which definition, and
// which piles the viewer may see.
type leagueKey struct {
	division   charge.DivisionCode
	days       period
	definition availability.Definition
	grant      registry.Grant
	public     bool
}

// operatorsOf gives the operators in a division, the best of the league first, as far as the viewer may see them.
func (d *Dashboard) operatorsOf(r *http.Request, code charge.DivisionCode, p period, definition availability.Definition) ([]operatorRow, error) {
	v := viewerOf(r)
	return given(d.league.get(r.Context(), leagueKey{code, p, definition, v.Grant, v.public}))
}

// given is what a once has, or why it has nothing.
func given[V any](value V, ok bool, err error) (V, error) {
	if err == nil && !ok {
		err = stillMade()
	}
	return value, err
}

func (d *Dashboard) operatorRows(ctx context.Context, key leagueKey) ([]operatorRow, error) {
	code, p, definition, v := key.division, key.days, key.definition, &viewer{Grant: key.grant, public: key.public}
	sums, err := given(d.stations.get(ctx, p))
	if err != nil {
		return nil, err
	}
	told, err := given(d.told.get(ctx, struct{}{}))
	if err != nil {
		return nil, err
	}
	var nevi map[stationKey]availability.Figure
	if definition == availability.NEVI {
		if nevi, err = given(d.nevi.get(ctx, time.Date(p.to.Year(), p.to.Month(), 1, 0, 0, 0, 0, charge.Zone))); err != nil {
			return nil, err
		}
	}
	of, entrants := d.countOperators(v, code), []availability.Entrant{}
	outages := make(map[charge.OperatorID][]availability.Outage)
	for id, c := range of {
		e := availability.Entrant{Name: string(id), Connectors: c.connectors}
		for _, at := range c.at {
			sum := sums[at]
			if sum == nil {
				sum = &stationSum{}
			}
			f := sum.ours.Ours()
			switch definition {
			case availability.UK:
				f = sum.rapid.UKOf(availability.RapidKW)
			case availability.NEVI:
				f = nevi[at]
				f.Definition = definition
			case availability.Ours:
			}
			e.Stations = append(e.Stations, f)
			outages[id] = append(outages[id], sum.outages...)
			c.online += told[at].online
			c.usable += told[at].usable
		}
		entrants = append(entrants, e)
	}
	rates, err := given(d.rates.get(ctx, code))
	if err != nil {
		return nil, err
	}
	spark, err := d.sparks(ctx, v, code, p)
	if err != nil {
		return nil, err
	}
	counts, err := d.registry.Qualities(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	names := d.operatorNames()
	rows := []operatorRow{}
	now := p.to.AddDate(0, 0, 1)
	if now.After(time.Now()) {
		now = time.Now()
	}
	for _, s := range availability.League(entrants) {
		id := charge.OperatorID(s.Name)
		c := of[id]
		row := operatorRow{
			Operator: id, Name: names[id], Stations: c.stations, Piles: c.piles, PublicPiles: c.public, Connectors: c.connectors, Online: c.online, Usable: c.usable,
			Availability: viewStanding(&s), Repair: viewRepair(availability.TimeToRepair(outages[id], now)), Connection: []connectionView{}, Days: spark[id],
		}
		if v.may(needsRecords) && d.seesAllOf(v, id) {
			var n int64
			for _, of := range counts[id].Rejects {
				n += of
			}
			row.Rejects = &n
		}
		for _, rate := range rates {
			if rate.Operator == id && (v.signedIn() || rate.Tier == registry.TierPublic || rate.Tier == registry.TierDedicated) {
				row.Connection = append(row.Connection, connectionView{rate.Tier, rate.Registered, rate.Ever, rate.Recent})
			}
		}
		if row.Days == nil {
			row.Days = make([]*float64, 0)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// seesAllOf tells whether what is counted over all of an operator's messages is there for the viewer.
func (d *Dashboard) seesAllOf(v *viewer, id charge.OperatorID) bool {
	if v.Role == registry.Operator {
		return string(id) == v.Scope
	}
	return v.within(d.province())
}

func viewStanding(s *availability.Standing) availabilityView {
	v := availabilityView{UpMin: s.Figure.Up, OfMin: s.Figure.Of, Unranked: s.Unranked}
	if share, ok := s.Figure.Share(); ok {
		v.Share = &share
	}
	if s.Rank > 0 {
		v.Low, v.High, v.Rank = &s.Low, &s.High, &s.Rank
	}
	return v
}

func (d *Dashboard) operatorNames() map[charge.OperatorID]string {
	names := make(map[charge.OperatorID]string)
	for _, o := range d.divisions.Operators() {
		names[o.ID] = o.Name
	}
	return names
}

// An operatorCount is what is in service of an operator, where.
type operatorCount struct {
	stations, piles, public, connectors, online, usable int

	at []stationKey
}

// countOperators counts what is in service by operator, as far as the viewer may see the piles.
func (d *Dashboard) countOperators(v *viewer, code charge.DivisionCode) map[charge.OperatorID]*operatorCount {
	now := time.Now()
	counts := map[charge.OperatorID]*operatorCount{}
	stations := map[*charge.Station]bool{}
	for p := range d.divisions.Piles() {
		s := p.Station
		if !s.Township.Within(code) || v.sightOf(s.Kind, p.ID.Operator, s.Township) == hidden || !inService(s.Opened, s.Closed, now) {
			continue
		}
		guns := 0
		for i := range p.Connectors {
			if c := &p.Connectors[i]; inService(c.Opened, c.Closed, now) {
				guns++
			}
		}
		if guns == 0 {
			continue
		}
		of := counts[p.ID.Operator]
		if of == nil {
			of = &operatorCount{}
			counts[p.ID.Operator] = of
		}
		if !stations[s] {
			stations[s] = true
			of.stations++
			of.at = append(of.at, stationKey{s.Operator, s.ID})
		}
		of.piles++
		of.connectors += guns
		if s.Kind == charge.Public {
			of.public++
		}
	}
	for _, of := range counts {
		slices.SortFunc(of.at, func(a, b stationKey) int { return cmp.Compare(a.station, b.station) })
	}
	return counts
}

// sparks are each operator's shares of the last days of a period, by our definition; null is a day without
// any. A township has none: sums are kept by county.
func (d *Dashboard) sparks(ctx context.Context, v *viewer, code charge.DivisionCode, p period) (map[charge.OperatorID][]*float64, error) {
	all := make(map[charge.OperatorID][]*float64)
	if code.Level() == charge.Township {
		return all, nil
	}
	first := p.to.AddDate(0, 0, 1-sparkDays)
	sums, err := d.registry.DaySums(ctx, registry.SumQuery{From: first, To: p.to, Division: code})
	if err != nil {
		return nil, err
	}
	type key struct {
		operator charge.OperatorID
		day      int
	}
	minutes := make(map[key]*availability.Minutes)
	for i := range sums {
		s := &sums[i]
		if v.sightOf(s.Kind, s.Operator, s.County) == hidden {
			continue
		}
		k := key{s.Operator, int(s.Day.Sub(first).Hours() / 24)}
		if minutes[k] == nil {
			minutes[k] = &availability.Minutes{}
		}
		minutes[k].AddAll(minutesOf(&s.MinuteSum))
	}
	for k, m := range minutes {
		if all[k.operator] == nil {
			all[k.operator] = make([]*float64, sparkDays)
		}
		if share, ok := m.Ours().Share(); ok {
			all[k.operator][k.day] = &share
		}
	}
	return all, nil
}

func minutesOf(s *registry.MinuteSum) availability.Minutes {
	return availability.Minutes{Usable: s.Usable, Excused: s.Excused, Out: s.Out, Unknown: s.Unknown, Fault: s.Fault, Blocked: s.Blocked}
}
