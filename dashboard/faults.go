package dashboard

import (
	"cmp"
	"context"
	"slices"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// A faultView is how often a fault was told, by the sender's own code, and what the taxonomy says of it.
type faultView struct {
	Fault    charge.Fault      `json:"fault"`
	Code     string            `json:"code"` // the sender's own; "" where it is the fault's name
	Class    charge.FaultClass `json:"class"`
	Severity string            `json:"severity"`
	Out      bool              `json:"out"`    // takes a connector out of service by itself
	Faults   int64             `json:"faults"` // times that a status of 255 began with it
	Alarms   int64             `json:"alarms"`
	Danger   int64             `json:"danger"` // of the alarms
	Piles    int               `json:"piles"`
	Last     time.Time         `json:"last"`
}

// faultsOf gives an operator's faults, or those of one pile, in the months from from to to; only of piles that are seen.
func (d *Dashboard) faultsOf(ctx context.Context, operator charge.OperatorID, pile string, from, to time.Time, sees func(charge.PileID) bool) ([]faultView, error) {
	rows, err := d.registry.Faults(ctx, operator, pile, from, to)
	if err != nil {
		return nil, err
	}
	return viewFaults(rows, sees), nil
}

// viewFaults adds up over piles; the most frequent come first.
func viewFaults(rows []registry.FaultRow, sees func(charge.PileID) bool) []faultView {
	type name struct {
		fault charge.Fault
		code  string
	}
	at := make(map[name]int)
	views := []faultView{}
	for i := range rows {
		row := &rows[i]
		if !sees(row.Pile) {
			continue
		}
		key := name{row.Fault, row.Code}
		n, known := at[key]
		if !known {
			kind := charge.KindOfFault(row.Fault, row.Code)
			n = len(views)
			at[key] = n
			views = append(views, faultView{Fault: row.Fault, Code: row.Code, Class: kind.Class, Severity: kind.Severity, Out: kind.Out})
		}
		v := &views[n]
		v.Faults += row.Faults
		v.Alarms += row.Alarms
		v.Danger += row.Danger
		v.Piles++
		if row.Last.After(v.Last) {
			v.Last = row.Last
		}
	}
	slices.SortStableFunc(views, func(a, b faultView) int {
		return cmp.Or(cmp.Compare(b.Faults+b.Alarms, a.Faults+a.Alarms), cmp.Compare(a.Fault, b.Fault), cmp.Compare(a.Code, b.Code))
	})
	return views
}
