package dashboard

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"pilewatch/internal/availability"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

const availabilityDaysMost = 3 * 366

// An availabilityPoint is the minutes of all connectors of a day or month, and what they make by our
// definition.
type availabilityPoint struct {
	Date       string   `json:"date"`       // 2025-03-09, or 2025-03 of a month
	Connectors int64    `json:"connectors"` // in service; of a month, on its busiest day
	UsableMin  int64    `json:"usable_min"`
	ExcusedMin int64    `json:"excused_min"`
	OutMin     int64    `json:"out_min"`
	UnknownMin int64    `json:"unknown_min"`
	FaultMin   int64    `json:"fault_min"`
	BlockedMin int64    `json:"blocked_min"`
	EnergyKWh  float64  `json:"energy_kwh"`
	Sessions   int64    `json:"sessions"`
	Share      *float64 `json:"share"`
	Frozen     bool     `json:"frozen"` // nothing will change it
}

// getAvailability is the past of availability in a division of a county or more, of all operators or one.
func (d *Dashboard) getAvailability(w http.ResponseWriter, r *http.Request) error {
	code, err := d.countyOrAbove(r)
	if err != nil {
		return err
	}
	p, err := periodOf(r, availabilityDaysMost)
	if err != nil {
		return err
	}
	q, v := r.URL.Query(), viewerOf(r)
	by := cmp.Or(q.Get("by"), "day")
	if by != "day" && by != "month" {
		return badRequest(fmt.Sprintf("by %q: want day or month", clip(by)))
	}
	if !v.mayNameOperator(q.Get("operator")) {
		return notFound("no such operator")
	}
	operator := charge.OperatorID(q.Get("operator"))
	if v.Role == registry.Operator && !v.public {
		operator = charge.OperatorID(v.Scope)
	}
	sums, err := d.registry.DaySums(r.Context(), registry.SumQuery{From: p.from, To: p.to, Division: code, Operator: operator})
	if err != nil {
		return err
	}
	points := []availabilityPoint{}
	var day time.Time
	var connectors int64
	for i := range sums {
		s := &sums[i]
		if v.sightOf(s.Kind, s.Operator, s.County) == hidden {
			continue
		}
		date := s.Day.Format(time.DateOnly)
		if by == "month" {
			date = date[:7]
		}
		if n := len(points); n == 0 || points[n-1].Date != date {
			points = append(points, availabilityPoint{Date: date, Frozen: true})
			connectors = 0
		}
		if !s.Day.Equal(day) {
			day, connectors = s.Day, 0
		}
		connectors += s.Connectors
		at := &points[len(points)-1]
		at.Connectors = max(at.Connectors, connectors)
		at.UsableMin += s.Usable
		at.ExcusedMin += s.Excused
		at.OutMin += s.Out
		at.UnknownMin += s.Unknown
		at.FaultMin += s.Fault
		at.BlockedMin += s.Blocked
		at.EnergyKWh += float64(s.EnergyWh) / 1000
		at.Sessions += s.Sessions
		at.Frozen = at.Frozen && s.Frozen
	}
	for i := range points {
		at := &points[i]
		m := availability.Minutes{Usable: at.UsableMin, Excused: at.ExcusedMin, Out: at.OutMin, Unknown: at.UnknownMin}
		if share, ok := m.Ours().Share(); ok {
			at.Share = &share
		}
	}
	return replyTagged(w, r, map[string]any{"division": code, "operator": operator, "by": by, "definition": availability.Ours, "points": points})
}
