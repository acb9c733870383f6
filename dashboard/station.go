package dashboard

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// A stationView is a station with its piles.
type stationView struct {
	ID           string              `json:"id"` // {operator}:{station}
	Operator     charge.OperatorID   `json:"operator"`
	OperatorName string              `json:"operator_name"`
	Station      charge.StationID    `json:"station"`
	Name         string              `json:"name"`
	Township     charge.DivisionCode `json:"township"`
	TownshipName string              `json:"township_name"`
	CountyName   string              `json:"county_name"`
	Kind         charge.StationKind  `json:"kind"`
	Site         string              `json:"site"`
	Access       string              `json:"access"`
	Hours        string              `json:"hours"`
	Seasons      string              `json:"seasons"`
	Mobile       bool                `json:"mobile"`
	Address      string              `json:"address"`
	Lng          *float64            `json:"lng"`
	Lat          *float64            `json:"lat"`
	Opened       *string             `json:"opened"`
	Closed       *string             `json:"closed"`
	Counts       bool                `json:"counts"`  // for its township's coverage, now
	WhyNot       string              `json:"why_not"` // "" where it counts
	Piles        []stationPile       `json:"piles"`
}

// A stationPile is a pile of a station with what its connectors gave yesterday.
type stationPile struct {
	pileRow
	// UsableYesterday is the minutes of each connector, by its id; missing where the day has not closed.
	UsableYesterday map[charge.ConnectorID]int `json:"usable_yesterday_min"`
}

// whyNot tells why a station does not count for its township's coverage now; "" where it does.
func whyNot(s *charge.Station, now time.Time) string {
	terms := s.Terms()
	schedule := terms.Schedule()
	switch {
	case terms.Kind != charge.Public:
		return "not_public"
	case now.Before(s.Opened):
		return "not_opened"
	case !charge.InService(s.Opened, s.Closed, now):
		return "closed"
	case terms.Mobile:
		return "mobile"
	case terms.Access != "" && terms.Access != "public":
		return "limited_access"
	case !schedule.InSeason(now):
		return "closed_season"
	case !schedule.Open(now):
		return "closed_hours"
	}
	return ""
}

// dayOrNull is null in JSON for a day that is not known.
func dayOrNull(day time.Time) *string {
	if day.IsZero() {
		return nil
	}
	text := dateText(day)
	return &text
}

func (d *Dashboard) viewStation(ctx context.Context, s *registry.StationRow, now time.Time) (stationView, error) {
	v := stationView{
		ID: string(s.Operator) + ":" + string(s.ID), Operator: s.Operator, OperatorName: s.OperatorName, Station: s.ID, Name: s.Name,
		Township: s.Township, TownshipName: s.TownshipName, CountyName: s.CountyName, Kind: s.Kind, Site: s.Site, Access: s.Access, Hours: s.Hours,
		Seasons: s.Seasons, Mobile: s.Mobile, Address: s.Address, Opened: dayOrNull(s.Opened), Closed: dayOrNull(s.Closed), WhyNot: whyNot(&s.Station, now),
		Piles: []stationPile{},
	}
	v.Counts = v.WhyNot == ""
	if s.HasPoint {
		v.Lng, v.Lat = &s.Lng, &s.Lat
	}
	yesterday := now.AddDate(0, 0, -1)
	for i := range s.Piles {
		p := stationPile{viewPile(&s.Piles[i]), map[charge.ConnectorID]int{}}
		for _, c := range s.Piles[i].Connectors {
			days, err := d.registry.ConnectorDays(ctx, c.Key, yesterday, yesterday)
			if err != nil {
				return stationView{}, err
			}
			if len(days) > 0 {
				p.UsableYesterday[c.Key.Connector] = int(days[0].Minutes.Usable)
			}
		}
		v.Piles = append(v.Piles, p)
	}
	return v, nil
}

func (d *Dashboard) getStation(w http.ResponseWriter, r *http.Request) error {
	text := r.PathValue("id")
	operator, station, ok := strings.Cut(text, ":")
	if !ok || operator == "" || station == "" {
		return badRequest("station " + clip(text) + ": want {operator}:{station}")
	}
	found, err := d.registry.StationByID(r.Context(), charge.OperatorID(operator), charge.StationID(station))
	if errors.Is(err, registry.ErrUnknownStation) || err == nil && viewerOf(r).sightOf(found.Kind, found.Operator, found.Township) == hidden {
		return notFound("no station has the id " + clip(text))
	}
	if err != nil {
		return err
	}
	view, err := d.viewStation(r.Context(), &found, time.Now())
	if err != nil {
		return err
	}
	return reply(w, r, view)
}
