package dashboard

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// A confirmationView is what an import asks for and an officer must confirm.
type confirmationView struct {
	ID        int64               `json:"id"`
	Operator  charge.OperatorID   `json:"operator"`
	Name      string              `json:"operator_name"`
	Station   charge.StationID    `json:"station"` // "" where it is of a pile
	Pile      string              `json:"pile"`    // {operator}:{pile}; "" where it is of a station
	Connector charge.ConnectorID  `json:"connector"`
	Township  charge.DivisionCode `json:"township"`
	Place     string              `json:"place"`
	Field     string              `json:"field"`
	Before    string              `json:"before"`
	Value     string              `json:"value"`
	Reason    string              `json:"reason"`
	Entered   time.Time           `json:"entered"`
}

// placeOf is the township in which something to confirm lies, "" where that is not known.
func (d *Dashboard) placeOf(c *registry.Confirmation, stations map[stationKey]charge.DivisionCode) charge.DivisionCode {
	if c.Station != "" {
		return stations[stationKey{c.Operator, c.Station}]
	}
	township, _ := d.townshipOf(charge.PileID{Operator: c.Operator, Equipment: c.Pile})
	return township
}

func (d *Dashboard) stationTownships() map[stationKey]charge.DivisionCode {
	all := make(map[stationKey]charge.DivisionCode)
	for s := range d.divisions.Stations() {
		all[stationKey{s.Operator, s.ID}] = s.Township
	}
	return all
}

// mayConfirm tells whether it is the viewer's to decide: where it lies, and where it would move to.
func (d *Dashboard) mayConfirm(v *viewer, c *registry.Confirmation, stations map[stationKey]charge.DivisionCode) bool {
	to := d.placeOf(c, stations)
	if !v.mayDecide(to, d.province()) {
		return false
	}
	switch c.Field {
	case "township":
		to = charge.DivisionCode(c.Value)
	case "station":
		to = stations[stationKey{c.Operator, charge.StationID(c.Value)}]
	}
	return v.mayDecide(to, d.province())
}

func (d *Dashboard) getConfirmations(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	all, err := d.registry.Confirmations(r.Context())
	if err != nil {
		return err
	}
	v, names, rows := viewerOf(r), d.operatorNames(), []confirmationView{}
	stations := d.stationTownships()
	for i := range all {
		c := &all[i]
		if !d.mayConfirm(v, c, stations) {
			continue
		}
		where := d.placeOf(c, stations)
		view := confirmationView{
			ID: c.ID, Operator: c.Operator, Name: names[c.Operator], Station: c.Station, Connector: c.Connector, Township: where, Place: d.coverage.name(where),
			Field: c.Field, Before: c.Before, Value: c.Value, Reason: c.Reason, Entered: c.Entered.UTC(),
		}
		if c.Pile != "" {
			view.Pile = charge.PileID{Operator: c.Operator, Equipment: c.Pile}.String()
		}
		rows = append(rows, view)
	}
	return reply(w, r, map[string]any{"confirmations": rows})
}

func (d *Dashboard) postConfirmation(w http.ResponseWriter, r *http.Request) error {
	id, err := numberOf(r)
	if err != nil {
		return err
	}
	decision := r.PathValue("decision")
	if decision != "accept" && decision != "refuse" {
		return notFound("it can be accepted or refused: POST …/accept or …/refuse")
	}
	all, err := d.registry.Confirmations(r.Context())
	if err != nil {
		return err
	}
	v := viewerOf(r)
	i := slices.IndexFunc(all, func(c registry.Confirmation) bool { return c.ID == id })
	if i < 0 || !d.mayConfirm(v, &all[i], d.stationTownships()) {
		return notFound("nothing waits under this number")
	}
	err = d.registry.Confirm(r.Context(), id, decision == "accept", v.name)
	if errors.Is(err, registry.ErrUnknownConfirmation) {
		return newProblem(http.StatusConflict, "decided already", "somebody else has decided it meanwhile")
	}
	if err != nil {
		return err
	}
	if err := d.divisions.Refresh(r.Context()); err != nil {
		d.log.Warn("what was confirmed is not shown yet", "err", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
