package dashboard

import (
	"context"
	"net/http"
	"time"

	"pilewatch/internal/availability"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

const pileDaysDefault = 90

// A pileDay is how a pile spent a day's minutes in service, as the union of its connectors.
type pileDay struct {
	Date      string  `json:"date"`
	Frozen    bool    `json:"frozen"` // false: what comes late may still change it
	Usable    uint16  `json:"usable_min"`
	Excused   uint16  `json:"excused_min"`
	Unknown   uint16  `json:"unknown_min"`
	Out       uint16  `json:"out_min"`   // told offline or a fault
	Fault     uint16  `json:"fault_min"` // of out: told a fault
	Heard     uint16  `json:"heard_min"`
	Blocked   uint16  `json:"blocked_min"` // of usable
	EnergyKWh float64 `json:"energy_kwh"`
	Sessions  uint8   `json:"sessions"` // of at least 1 kWh
}

func viewPileDay(p *registry.PileDay) pileDay {
	m := &p.Minutes
	return pileDay{
		Date: dateText(p.Day), Frozen: p.Frozen, Usable: m.Usable, Excused: m.Excused, Unknown: m.Unknown, Out: m.Out, Fault: m.Fault,
		Heard: m.Heard, Blocked: m.Blocked, EnergyKWh: float64(m.EnergyWh) / 1000, Sessions: m.Sessions,
	}
}

func (d *Dashboard) getPileDays(w http.ResponseWriter, r *http.Request) error {
	row, _, err := d.pileOf(r)
	if err != nil {
		return err
	}
	from, to, err := daysOf(r, func(to time.Time) time.Time { return to.AddDate(0, 0, 1-pileDaysDefault) })
	if err != nil {
		return err
	}
	days, err := d.pileDays(r.Context(), row.Pile, from, to)
	if err != nil {
		return err
	}
	rows := make([]pileDay, len(days))
	for i := range days {
		rows[i] = viewPileDay(&days[i])
	}
	shares, err := d.pileShares(r.Context(), &row, time.Now())
	if err != nil {
		return err
	}
	faults, err := d.faultsOf(r.Context(), row.Pile.Operator, row.Pile.Equipment, to.AddDate(-1, 0, 0), to, func(charge.PileID) bool { return true })
	if err != nil {
		return err
	}
	corrections, err := d.correctionsOf(r.Context(), row.Pile, from, to)
	if err != nil {
		return err
	}
	return reply(w, r, map[string]any{
		"corrections": corrections,
		"pile":        row.Pile.String(), "from": dateText(from), "to": dateText(to), "days": rows, "availability": shares, "faults": faults,
	})
}

// pileShares gives a pile's availability by each definition over the times that the definition is
// made for: ours over 30 days and twelve months, NEVI over the twelve months before this one, the
// UK's over this calendar year. Of today nothing is known before it is over.
func (d *Dashboard) pileShares(ctx context.Context, row *registry.PileRow, now time.Time) ([]share, error) {
	now = now.In(charge.Zone)
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, charge.Zone)
	yesterday := today.AddDate(0, 0, -1)
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, charge.Zone)
	year := time.Date(now.Year(), time.January, 1, 0, 0, 0, 0, charge.Zone)
	days, err := d.pileDays(ctx, row.Pile, today.AddDate(-1, 0, 0), yesterday)
	if err != nil {
		return nil, err
	}
	var short, long availability.Minutes
	first := today.AddDate(0, 0, -availabilityDays)
	for i := range days {
		long.Add(&days[i].Minutes)
		if !days[i].Day.Before(first) {
			short.Add(&days[i].Minutes)
		}
	}
	registered, _ := d.divisions.Pile(row.Pile)
	var nevi, uk []availability.Figure
	for _, c := range connectorsOf(registered) {
		past, err := d.connectorDays(ctx, row.Pile, &c, month.AddDate(-1, 0, 0), yesterday)
		if err != nil {
			return nil, err
		}
		dates, thisYear := make([]availability.Date, len(past)), availability.Minutes{}
		for i := range past {
			dates[i] = availability.Date{Day: past[i].Day, Minutes: past[i].Minutes}
			if !past[i].Day.Before(year) {
				thisYear.Add(&past[i].Minutes)
			}
		}
		nevi = append(nevi, availability.NEVIOf(dates, c.Since(), month))
		if row.Kind == charge.Public {
			uk = append(uk, thisYear.UKOf(c.PowerKW))
		}
	}
	return []share{
		viewShare(short.Ours(), first, yesterday),
		viewShare(long.Ours(), today.AddDate(-1, 0, 0), yesterday),
		viewShare(availability.Sum(availability.NEVI, nevi...), month.AddDate(-1, 0, 0), month.AddDate(0, 0, -1)),
		viewShare(availability.Sum(availability.UK, uk...), year, latest(year, yesterday)),
	}, nil
}

func connectorsOf(p *registry.Pile) []charge.Connector {
	if p == nil {
		return nil // removed while it was asked for
	}
	return p.Connectors
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
