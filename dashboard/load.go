package dashboard

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/series"
)

const (
	pointsOfDay   = 96 // 15 minutes each, the grid's convention
	pointEvery    = 24 * time.Hour / pointsOfDay
	energyDefault = 30 // days
)

// A loadDay is the load curve of one day of Asia/Shanghai; null is a point that is not over yet or
// of which nothing is known.
type loadDay struct {
	Date      string     `json:"date"`
	PowerKW   []*float64 `json:"power_kw"`
	MaxKW     []*float64 `json:"max_kw"`
	EnergyKWh []*float64 `json:"energy_kwh"`
	Charging  []*float64 `json:"charging"`
}

func viewLoad(midnight time.Time, loads []series.Load, now time.Time) loadDay {
	d := loadDay{
		Date:    midnight.In(charge.Zone).Format(time.DateOnly),
		PowerKW: make([]*float64, pointsOfDay), MaxKW: make([]*float64, pointsOfDay),
		EnergyKWh: make([]*float64, pointsOfDay), Charging: make([]*float64, pointsOfDay),
	}
	for i := range loads {
		l := &loads[i]
		n := int(l.Start.Sub(midnight) / pointEvery)
		if n < 0 || n >= pointsOfDay || l.Start.Add(pointEvery).After(now) {
			continue
		}
		power, most := l.PowerKW(), l.MaxKW()
		d.PowerKW[n], d.MaxKW[n], d.EnergyKWh[n], d.Charging[n] = &power, &most, &l.EnergyKWh, &l.Charging
	}
	return d
}

// dateOf reads a day of Asia/Shanghai, and gives its midnight.
func dateOf(text, name string, or time.Time) (time.Time, error) {
	if text == "" {
		y, m, d := or.In(charge.Zone).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, charge.Zone), nil
	}
	t, err := time.ParseInLocation(time.DateOnly, text, charge.Zone)
	if err != nil {
		return time.Time{}, badRequest(fmt.Sprintf("%s %q: want a date like 2025-03-09", name, clip(text)))
	}
	return t, nil
}

// countyOrAbove reads ?division= where figures are kept of counties and what is above them.
func (d *Dashboard) countyOrAbove(r *http.Request) (charge.DivisionCode, error) {
	code, err := d.divisionOf(r)
	if err == nil && code.Level() == charge.Township {
		err = badRequest(fmt.Sprintf("division %s: the load is known of counties, cities and the province", code))
	}
	return code, err
}

func (d *Dashboard) getLoad(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	code, err := d.countyOrAbove(r)
	if err != nil {
		return err
	}
	now := time.Now()
	day, err := dateOf(r.URL.Query().Get("date"), "date", now)
	if err != nil {
		return err
	}
	var days [3]loadDay
	for i, back := range []int{0, 1, 7} {
		midnight := day.AddDate(0, 0, -back)
		loads, err := d.history.Loads(r.Context(), code, midnight, midnight.AddDate(0, 0, 1))
		if err != nil {
			return err
		}
		days[i] = viewLoad(midnight, loads, now)
	}
	return reply(w, r, map[string]any{
		"division": code, "minutes": int(pointEvery / time.Minute), "day": days[0], "day_before": days[1], "week_before": days[2],
	})
}

// An energyRow is a day's energy of the division, of one of its parts or of an operator.
type energyRow struct {
	Date      string              `json:"date"`
	Division  charge.DivisionCode `json:"division"`
	Name      string              `json:"name"`
	Operator  charge.OperatorID   `json:"operator,omitempty"`
	EnergyKWh float64             `json:"energy_kwh"`
}

func (d *Dashboard) getEnergy(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	code, err := d.countyOrAbove(r)
	if err != nil {
		return err
	}
	v := r.URL.Query()
	q := series.EnergyQuery{Division: code, By: cmp.Or(series.EnergyBy(v.Get("by")), series.ByDay)}
	switch q.By {
	case series.ByDay, series.ByCity, series.ByOperator:
	default:
		return badRequest(fmt.Sprintf("by %q: want day, city or operator", clip(string(q.By))))
	}
	last, err := dateOf(v.Get("to"), "to", time.Now())
	if err != nil {
		return err
	}
	if q.From, err = dateOf(v.Get("from"), "from", last.AddDate(0, 0, 1-energyDefault)); err != nil {
		return err
	}
	if q.To = last.AddDate(0, 0, 1); !q.From.Before(q.To) {
		return badRequest("from is after to")
	}
	energies, err := d.history.Energies(r.Context(), q)
	if errors.Is(err, series.ErrTooMuch) {
		return newProblem(http.StatusBadRequest, series.ErrTooMuch.Error(), err.Error())
	}
	if err != nil {
		return err
	}
	names := make(map[charge.DivisionCode]string)
	for _, division := range d.divisions.Divisions() {
		names[division.Code] = division.Name
	}
	rows := make([]energyRow, len(energies))
	for i, e := range energies {
		rows[i] = energyRow{e.Day.In(charge.Zone).Format(time.DateOnly), e.Division, names[e.Division], e.Operator, e.EnergyKWh}
	}
	return replyTagged(w, r, map[string]any{"division": code, "by": q.By, "rows": rows})
}

// A sessionRow is a finished session of a connector, as its order told it.
type sessionRow struct {
	Connector charge.ConnectorID `json:"connector"`
	At        time.Time          `json:"at"`
	Order     string             `json:"order,omitempty"` // where the pile is wholly seen
	Start     *time.Time         `json:"start"`
	End       *time.Time         `json:"end"`
	EnergyKWh *float64           `json:"energy_kwh"`
	MeterKWh  *float64           `json:"meter_kwh"`
}

func (d *Dashboard) getSessions(w http.ResponseWriter, r *http.Request) error {
	row, _, err := d.pileOf(r)
	if err != nil {
		return err
	}
	v := r.URL.Query()
	q := series.Query{Pile: row.Pile, Kind: charge.KindOrder}
	if q.To, err = timeOf(v.Get("to"), "to", time.Now()); err != nil {
		return err
	}
	if q.From, err = timeOf(v.Get("from"), "from", q.To.Add(-7*historyDefault)); err != nil {
		return err
	}
	if !q.From.Before(q.To) {
		return badRequest("from is not before to")
	}
	orders, err := d.history.History(r.Context(), q)
	if errors.Is(err, series.ErrTooMuch) {
		return newProblem(http.StatusBadRequest, series.ErrTooMuch.Error(), err.Error())
	}
	if err != nil {
		return err
	}
	rows, sees := make([]sessionRow, len(orders)), viewerOf(r).sightOf(row.Kind, row.Pile.Operator, row.Township)
	for i := range orders {
		o := &orders[i]
		rows[i] = sessionRow{Connector: o.Connector, At: o.At.UTC(), Start: orNull(o.Start), End: orNull(o.End), EnergyKWh: meanOf(o.EnergyKWh), MeterKWh: meanOf(o.MeterKWh)}
		if sees == wholly {
			rows[i].Order = o.Order
		}
	}
	return reply(w, r, map[string]any{"pile": row.Pile.String(), "sessions": rows})
}

func meanOf(s *series.Stat) *float64 {
	if s == nil {
		return nil
	}
	return &s.Mean
}
