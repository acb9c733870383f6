package dashboard

import (
	"context"
	"net/http"
	"slices"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/projection"
	"pilewatch/internal/registry"
)

// A targetView is one aim of the plan beside what there is; null is "no data".
type targetView struct {
	Indicator   string    `json:"indicator"`
	NameZH      string    `json:"name_zh"`
	NameEN      string    `json:"name_en"`
	Unit        string    `json:"unit"`
	Year        int       `json:"year"`
	Value       float64   `json:"value"`
	Kind        string    `json:"kind"`
	Comparison  string    `json:"comparison"`
	Reported    *float64  `json:"reported"`
	Connected   *float64  `json:"connected"`
	Due         *float64  `json:"due"`       // on a straight way to the target, today; null: there is no way to say
	Shortfall   *float64  `json:"shortfall"` // of what is reported or else connected; null: neither is known
	Met         *bool     `json:"met"`
	DaysOverdue int       `json:"days_overdue"`
	Pace        *paceView `json:"pace"` // null: nothing tells of it, or it is met
	Document    string    `json:"document"`
}

// A paceView is how fast a target is neared; null is "not known", and of a date "not at this pace".
type paceView struct {
	PerDay *float64 `json:"per_day"` // in the target's unit
	Days   int      `json:"days"`    // that were observed
	On     *string  `json:"on"`
	Early  *string  `json:"early"` // 10 % of draws
	Late   *string  `json:"late"`  // 90 %
}

const paceDays = 180

func (d *Dashboard) getTargets(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	code, err := d.divisionOf(r)
	if err != nil {
		return err
	}
	rows, err := d.targetRows(r.Context(), code, time.Now())
	if err != nil {
		return err
	}
	return replyTagged(w, r, map[string]any{"targets": rows})
}

// targetRows are the targets of a division, with what is due on a day and the pace of the days before it.
func (d *Dashboard) targetRows(ctx context.Context, code charge.DivisionCode, now time.Time) ([]targetView, error) {
	today := startOfDay(now)
	targets, err := d.registry.Targets(ctx)
	if err != nil {
		return nil, err
	}
	targets = slices.DeleteFunc(targets, func(t registry.Target) bool { return t.Division != code })
	paces := map[string]func() ([]projection.Day, float64, error){ // with how much of the target's unit one is
		"township_coverage": func() ([]projection.Day, float64, error) { return d.coveragePace(ctx, code, today) },
	}
	for indicator := range openingsOf {
		paces[indicator] = func() ([]projection.Day, float64, error) {
			days, err := given(d.openings.get(ctx, openingsKey{code, today}))
			return days[indicator], 1, err
		}
	}
	rows := []targetView{}
	known := make(map[string][]projection.Day) // an indicator may have several years
	for i := range targets {
		t := &targets[i]
		v := targetView{
			Indicator: t.Indicator, NameZH: t.NameZH, NameEN: t.NameEN, Unit: t.Unit, Year: t.Year, Value: t.Value, Kind: t.Kind, Comparison: t.Comparison,
			Reported: t.Reported, Connected: t.Connected, Document: t.Document,
		}
		var from projection.Milestone
		if t.Kind == string(projection.Flow) {
			from.By = time.Date(2023, 1, 1, 0, 0, 0, 0, charge.Zone) // as the plan's years begin
		}
		if due, ok := projection.Due(projection.Kind(t.Kind), from, milestonesTo(targets, t), today); ok {
			v.Due = &due
		}
		actual := t.Reported
		if actual == nil {
			actual = t.Connected
		}
		if actual == nil {
			rows = append(rows, v)
			continue
		}
		aim := projection.Milestone{By: projection.YearEnd(t.Year), Value: t.Value}
		standing, err := projection.Stand(*actual, t.Comparison, aim, today)
		if err != nil {
			return nil, err
		}
		v.Met, v.Shortfall = &standing.Met, &standing.Shortfall
		if standing.Shortfall > 0 {
			v.DaysOverdue = standing.DaysOverdue
		}
		if pace := paces[t.Indicator]; pace != nil && standing.Shortfall > 0 {
			days, one := known[t.Indicator], 1.0
			if days == nil {
				if days, one, err = pace(); err != nil {
					return nil, err
				}
				known[t.Indicator] = days
			} else if t.Indicator == "township_coverage" {
				one = d.oneTown(code)
			}
			if one > 0 {
				v.Pace = viewPace(projection.Project(days, today, standing.Shortfall/one), one)
			}
		}
		rows = append(rows, v)
	}
	return rows, nil
}

// milestonesTo are a target and those of earlier years on the way to it.
func milestonesTo(targets []registry.Target, to *registry.Target) []projection.Milestone {
	var way []projection.Milestone
	for i := range targets {
		if t := &targets[i]; t.Indicator == to.Indicator && t.Year <= to.Year {
			way = append(way, projection.Milestone{By: projection.YearEnd(t.Year), Value: t.Value})
		}
	}
	return way
}

func viewPace(p projection.Pace, one float64) *paceView {
	v := &paceView{Days: p.Days}
	if !p.Known {
		return v
	}
	perDay := p.PerDay * one
	v.PerDay = &perDay
	date := func(t time.Time) *string {
		if t.IsZero() {
			return nil
		}
		text := t.Format(time.DateOnly)
		return &text
	}
	v.On, v.Early, v.Late = date(p.On), date(p.Early), date(p.Late)
	return v
}

// oneTown is how many percent a town is of those that are counted; 0 where none is.
func (d *Dashboard) oneTown(code charge.DivisionCode) float64 {
	view, ok := d.coverage.view(code, tierTowns, every)
	if !ok || view.Total == 0 {
		return 0
	}
	return 100 / float64(view.Total)
}

// coveragePace gives the towns gained and lost on each day, by what was saved of them.
func (d *Dashboard) coveragePace(ctx context.Context, code charge.DivisionCode, today time.Time) ([]projection.Day, float64, error) {
	saved, err := d.registry.CoverageDays(ctx, code, registry.Towns, today.AddDate(0, 0, -paceDays-1), today.AddDate(0, 0, -1))
	if err != nil {
		return nil, 0, err
	}
	days := []projection.Day{}
	for i := 1; i < len(saved); i++ {
		change := saved[i].Effective - saved[i-1].Effective
		days = append(days, projection.Day{
			Date: saved[i].Day, Gained: max(change, 0), Lost: max(-change, 0), NoObservation: saved[i].Total() > 0 && saved[i].NotObserved == saved[i].Total(),
		})
	}
	return days, d.oneTown(code), nil
}

// openingsOf tells of which stations an indicator counts the piles.
var openingsOf = map[string]func(*charge.Station) bool{
	"public_piles":            func(s *charge.Station) bool { return s.Kind == charge.Public },
	"rural_public_piles":      func(s *charge.Station) bool { return s.Kind == charge.Public && s.Area == "rural" },
	"residential_piles":       func(s *charge.Station) bool { return s.Kind == charge.Residential },
	"rural_residential_piles": func(s *charge.Station) bool { return s.Kind == charge.Residential && s.Area == "rural" },
}

// An openingsKey is where piles are counted, and the day after the last that is.
type openingsKey struct {
	division charge.DivisionCode
	today    time.Time
}

// countOpenings gives the piles that came into service and left it on each day, by the registry's dates, for each
// indicator that counts piles: one walk through all of them.
func (d *Dashboard) countOpenings(_ context.Context, key openingsKey) (map[string][]projection.Day, error) {
	first := key.today.AddDate(0, 0, -paceDays)
	all := make(map[string][]projection.Day)
	for indicator := range openingsOf {
		days := make([]projection.Day, paceDays)
		for i := range days {
			days[i].Date = first.AddDate(0, 0, i)
		}
		all[indicator] = days
	}
	for p := range d.divisions.Piles() {
		s := p.Station
		if !s.Township.Within(key.division) {
			continue
		}
		var opened, closed time.Time
		for i := range p.Connectors {
			c := &p.Connectors[i]
			if i == 0 || c.Opened.Before(opened) {
				opened = c.Opened
			}
			if i == 0 || !closed.IsZero() && (c.Closed.IsZero() || c.Closed.After(closed)) {
				closed = c.Closed
			}
		}
		if s.Opened.After(opened) {
			opened = s.Opened
		}
		if !s.Closed.IsZero() && (closed.IsZero() || s.Closed.Before(closed)) {
			closed = s.Closed
		}
		came, hasCome := dayIn(first, opened)
		left, hasLeft := dayIn(first, closed)
		if !hasCome && !hasLeft {
			continue
		}
		for indicator, is := range openingsOf {
			if !is(s) {
				continue
			}
			if hasCome {
				all[indicator][came].Gained++
			}
			if hasLeft {
				all[indicator][left].Lost++
			}
		}
	}
	return all, nil
}

func dayIn(first, at time.Time) (n int, ok bool) {
	n = int(at.Sub(first).Hours() / 24)
	return n, !at.IsZero() && !at.Before(first) && n < paceDays
}

// startOfDay is 00:00 in Asia/Shanghai of the day in which at lies.
func startOfDay(at time.Time) time.Time {
	year, month, day := at.In(charge.Zone).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, charge.Zone)
}
