package dashboard

import (
	"encoding/csv"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

const connectorsAtMost = 20

// postPile registers one pile at a known station, as a row of the file of piles would.
func (d *Dashboard) postPile(w http.ResponseWriter, r *http.Request) error {
	var given struct {
		Operator   charge.OperatorID `json:"operator"`
		Station    charge.StationID  `json:"station"`
		Pile       string            `json:"pile"`
		DC         bool              `json:"dc"`
		PowerKW    float64           `json:"power_kw"`
		Connectors int               `json:"connectors"` // numbered from 1
		Opened     string            `json:"opened"`     // a date; today
	}
	if err := readBody(w, r, &given); err != nil {
		return err
	}
	v := viewerOf(r)
	var station *charge.Station
	for s := range d.divisions.Stations() {
		if s.Operator == given.Operator && s.ID == given.Station {
			station = s
		}
	}
	if station == nil || !v.mayDecide(station.Township, d.province()) {
		return notFound("no such station of this operator")
	}
	id := charge.PileID{Operator: given.Operator, Equipment: given.Pile}
	opened, err := dateOf(given.Opened, "opened", time.Now())
	if err != nil {
		return err
	}
	if given.Connectors < 1 || given.Connectors > connectorsAtMost {
		return badRequest("connectors: want 1 to " + strconv.Itoa(connectorsAtMost))
	}
	_, _, err = d.registry.PileByID(r.Context(), id)
	if err == nil {
		return newProblem(http.StatusConflict, "registered already", "a pile of this operator has this number; change it with a file of piles")
	}
	if !errors.Is(err, registry.ErrUnknownPile) {
		return err
	}
	equipment := "2"
	if given.DC {
		equipment = "1"
	}
	var file strings.Builder
	rows := csv.NewWriter(&file)
	lines := [][]string{{"operator", "station", "pile", "connector", "equipment_type", "power_kw", "opened"}}
	for n := range given.Connectors {
		lines = append(lines, []string{
			string(given.Operator), string(given.Station), given.Pile, strconv.Itoa(n + 1), equipment, strconv.FormatFloat(given.PowerKW, 'f', -1, 64), opened.Format(time.DateOnly),
		})
	}
	if err := rows.WriteAll(lines); err != nil {
		return err
	}
	_, err = d.registry.Import(r.Context(), registry.Piles, strings.NewReader(file.String()))
	if bad, ok := errors.AsType[*registry.ImportError](err); ok {
		return newProblem(http.StatusUnprocessableEntity, "bad pile", clip(bad.Error()))
	}
	if err != nil {
		return err
	}
	d.log.Info("pile is registered", "pile", id, "station", given.Station, "by", v.name, "address", d.addressOf(r))
	if err := d.divisions.Refresh(r.Context()); err != nil {
		d.log.Warn("a registered pile is not shown yet", "pile", id, "err", err)
	}
	row, _, err := d.registry.PileByID(r.Context(), id)
	if err != nil {
		return err
	}
	return replyStatus(w, r, http.StatusCreated, viewPile(&row))
}
