package dashboard

import (
	"net/http"
	"time"

	"pilewatch/internal/charge"
)

const (
	townshipEventDays   = 90
	townshipEventsShown = 50
)

// A townshipPage is a township with the evidence for its state.
type townshipPage struct {
	townshipView
	WindowHours  float64       `json:"window_hours"` // in which a connector must have been usable
	MinUsable    float64       `json:"min_usable_min"`
	Stations     []stationView `json:"public_stations"`
	OfOthers     int           `json:"stations_of_others"` // public ones that are not there for the viewer
	Days         []townshipDay `json:"days"`
	Events       []eventView   `json:"events"` // gains, losses and unsteadiness
	EventsFrom   string        `json:"events_from"`
	PolicyInUse  string        `json:"policy"`
	ProvenWithin int           `json:"proven_within_days"`
}

func (d *Dashboard) getTownship(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	v := viewerOf(r)
	code, err := charge.ParseDivisionCode(r.PathValue("code"))
	if err != nil {
		return badRequest(err.Error())
	}
	if code.Level() != charge.Township {
		return badRequest("township " + string(code) + ": want a code of 9 digits")
	}
	rows := d.coverage.list(code, tierAll, func(charge.CoverageState) bool { return true })
	if len(rows) == 0 || !v.maySee(code) {
		return notFound("no township has the code " + string(code))
	}
	now := time.Now()
	inForce := d.divisions.Policies().At(now)
	from := now.AddDate(0, 0, -townshipEventDays)
	page := townshipPage{
		townshipView: rows[0], WindowHours: inForce.Coverage.Window.Hours(), MinUsable: inForce.Coverage.MinUsable.Minutes(), Stations: []stationView{},
		Days: []townshipDay{}, EventsFrom: dateText(from), PolicyInUse: inForce.Version, ProvenWithin: inForce.Coverage.ProvenDays,
	}
	found, err := d.registry.PublicStations(r.Context(), code)
	if err != nil {
		return err
	}
	for i := range found {
		if v.sightOf(found[i].Kind, found[i].Operator, found[i].Township) == hidden {
			page.OfOthers++
			continue
		}
		station, err := d.viewStation(r.Context(), &found[i], now)
		if err != nil {
			return err
		}
		page.Stations = append(page.Stations, station)
	}
	days, err := d.registry.TownshipDays(r.Context(), code, now.AddDate(0, 0, -stripDays), now)
	if err != nil {
		return err
	}
	for i := range days {
		page.Days = append(page.Days, viewTownshipDay(&days[i]))
	}
	events, err := d.registry.CoverageEvents(r.Context(), code, from, now.AddDate(0, 0, 1), townshipEventsShown)
	if err != nil {
		return err
	}
	seen := []charge.Event{}
	for i := range events {
		if v.maySeeEvent(&events[i]) {
			seen = append(seen, events[i])
		}
	}
	page.Events = d.coverage.named(seen)
	return reply(w, r, page)
}
