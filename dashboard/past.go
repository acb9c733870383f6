package dashboard

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"pilewatch/internal/availability"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

const (
	pastDefault      = 3 // years of coverage, where no first day is asked for
	pastDaysAtMost   = 4 * 366
	stripDays        = 30 // of a township's state
	availabilityDays = 30
)

// A coverageDay is what a division's townships were at a day's end.
type coverageDay struct {
	Date        string `json:"date"`
	Total       int    `json:"total"`
	Nominal     int    `json:"nominal"`
	Effective   int    `json:"effective"`
	Failing     int    `json:"failing"`
	Unverified  int    `json:"unverified"`
	Starting    int    `json:"starting"`
	None        int    `json:"none"`
	Proven      int    `json:"proven"`
	NotObserved int    `json:"not_observed"`
}

// scopes are the registry's names of tiers.
var scopes = [tiers]registry.Scope{tierTowns: registry.Towns, tierStreets: registry.Streets, tierAll: registry.All}

// daysOf reads ?from= and ?to=, both inclusive days of Asia/Shanghai.
func daysOf(r *http.Request, from func(to time.Time) time.Time) (first, last time.Time, err error) {
	v := r.URL.Query()
	if last, err = dateOf(v.Get("to"), "to", time.Now()); err != nil {
		return first, last, err
	}
	if first, err = dateOf(v.Get("from"), "from", from(last)); err != nil {
		return first, last, err
	}
	if first.After(last) {
		return first, last, badRequest("from is after to")
	}
	if last.Sub(first) > pastDaysAtMost*24*time.Hour {
		return first, last, badRequest(fmt.Sprintf("from %s: at most %d days before to", first.Format(time.DateOnly), pastDaysAtMost))
	}
	return first, last, nil
}

func dateText(day time.Time) string { return day.In(charge.Zone).Format(time.DateOnly) }

func (d *Dashboard) getCoverageHistory(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	code, err := d.divisionOf(r)
	if err != nil {
		return err
	}
	if code.Level() == charge.Township {
		return badRequest(fmt.Sprintf("division %s: days are counted of counties, cities and the province; /townships/%s has this one's", code, code))
	}
	t, ok := parseTier(r.URL.Query().Get("scope"))
	if !ok {
		return badRequest(fmt.Sprintf("scope %q: want towns, streets or all", clip(r.URL.Query().Get("scope"))))
	}
	from, to, err := daysOf(r, func(to time.Time) time.Time { return to.AddDate(-pastDefault, 0, 0) })
	if err != nil {
		return err
	}
	days, err := d.registry.CoverageDays(r.Context(), code, scopes[t], from, to)
	if err != nil {
		return err
	}
	rows := make([]coverageDay, len(days))
	for i := range days {
		day := &days[i]
		total := day.Total()
		rows[i] = coverageDay{
			Date: dateText(day.Day), Total: total, Nominal: total - day.None, Effective: day.Effective, Failing: day.Failing, Unverified: day.Unverified,
			Starting: day.Starting, None: day.None, Proven: day.Proven, NotObserved: day.NotObserved,
		}
	}
	return reply(w, r, map[string]any{
		"division": code, "scope": tierNames[t], "from": dateText(from), "to": dateText(to), "days": rows,
	})
}

// A townshipDay is what a township was at a day's end.
type townshipDay struct {
	Date        string               `json:"date"`
	State       charge.CoverageState `json:"state"`
	Reason      string               `json:"reason"`
	NotObserved bool                 `json:"not_observed"`
	Proven      bool                 `json:"proven"`
}

func viewTownshipDay(t *registry.TownshipDay) townshipDay {
	return townshipDay{dateText(t.Day), t.State, t.Reason, t.NotObserved, t.Proven}
}

// A townshipStrip is the last days of one township.
type townshipStrip struct {
	Division charge.DivisionCode `json:"division"`
	Days     []townshipDay       `json:"days"`
}

// getTownshipDays gives the strips of a county's townships, or of one.
func (d *Dashboard) getTownshipDays(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	code, err := d.divisionOf(r)
	if err != nil {
		return err
	}
	if code.Level() != charge.County && code.Level() != charge.Township {
		return badRequest(fmt.Sprintf("division %s: want a county or a township", code))
	}
	now := time.Now()
	days, err := d.registry.TownshipDays(r.Context(), code, now.AddDate(0, 0, -stripDays), now)
	if err != nil {
		return err
	}
	strips := []townshipStrip{}
	for i := range days {
		if n := len(strips); n == 0 || strips[n-1].Division != days[i].Township {
			strips = append(strips, townshipStrip{Division: days[i].Township})
		}
		last := &strips[len(strips)-1]
		last.Days = append(last.Days, viewTownshipDay(&days[i]))
	}
	return reply(w, r, map[string]any{"division": code, "townships": strips})
}

// A share is an availability; null where nothing was measured.
type share struct {
	Definition availability.Definition `json:"definition"`
	NameZH     string                  `json:"name_zh"`
	NameEN     string                  `json:"name_en"`
	Source     string                  `json:"source"`
	From       string                  `json:"from"`
	To         string                  `json:"to"` // inclusive
	UpMinutes  int64                   `json:"up_min"`
	OfMinutes  int64                   `json:"of_min"`
	Share      *float64                `json:"share"`
	Asked      *float64                `json:"asked"` // by the definition's source
	Meets      *bool                   `json:"meets"`
}

func viewShare(f availability.Figure, from, to time.Time) share {
	v := share{Definition: f.Definition, From: dateText(from), To: dateText(to), UpMinutes: f.Up, OfMinutes: f.Of}
	v.NameZH, v.NameEN, v.Source = f.Definition.Names()
	if s, ok := f.Share(); ok {
		v.Share = &s
	}
	if asked, _, ok := f.Definition.Requirement(); ok {
		v.Asked = &asked
	}
	if meets, ok := f.Meets(); ok {
		v.Meets = &meets
	}
	return v
}

// A countyShare is how well a county's public connectors served.
type countyShare struct {
	Division  charge.DivisionCode `json:"division"`
	Name      string              `json:"name"`
	UpMinutes int64               `json:"up_min"`
	OfMinutes int64               `json:"of_min"`
	EnergyKWh float64             `json:"energy_kwh"`
}

// getCountyAvailability gives our availability of public connectors by county over the last 30 days
// that have closed: what the map is coloured by.
func (d *Dashboard) getCountyAvailability(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	code, err := d.countyOrAbove(r)
	if err != nil {
		return err
	}
	days := lastDays(time.Now())
	counties, err := given(d.served.get(r.Context(), days))
	if err != nil {
		return err
	}
	rows := []countyShare{}
	var all availability.Minutes
	for _, county := range slices.Sorted(maps.Keys(counties)) {
		if !county.Within(code) {
			continue
		}
		c := counties[county]
		f := c.minutes.Ours()
		rows = append(rows, countyShare{county, d.coverage.name(county), f.Up, f.Of, c.energyKWh})
		all.AddAll(c.minutes)
	}
	return reply(w, r, map[string]any{"division": code, "whole": viewShare(all.Ours(), days.from, days.to), "counties": rows})
}

// lastDays are the last 30 days that have closed.
func lastDays(now time.Time) period {
	yesterday := startOfDay(now).AddDate(0, 0, -1)
	return period{yesterday.AddDate(0, 0, 1-availabilityDays), yesterday}
}

// A countyMinutes is how a county's public connectors spent some days.
type countyMinutes struct {
	minutes   availability.Minutes
	energyKWh float64
}

// sumCounties sums the public connectors of every county over some days.
func (d *Dashboard) sumCounties(ctx context.Context, p period) (map[charge.DivisionCode]countyMinutes, error) {
	sums, err := d.registry.DaySums(ctx, registry.SumQuery{From: p.from, To: p.to, Kind: charge.Public})
	if err != nil {
		return nil, err
	}
	counties := make(map[charge.DivisionCode]countyMinutes)
	for i := range sums {
		s := &sums[i]
		c := counties[s.County]
		c.minutes.AddAll(minutesOf(&s.MinuteSum))
		c.energyKWh += float64(s.EnergyWh) / 1000
		counties[s.County] = c
	}
	return counties, nil
}
