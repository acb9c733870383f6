package dashboard

import (
	"context"
	"time"

	"pilewatch/internal/charge"
)

// A correctionView is what a connector told of a day when that was frozen: on record beside it, and without effect.
type correctionView struct {
	Connector charge.ConnectorID `json:"connector"`
	Date      string             `json:"date"` // of the day
	Status    string             `json:"status"`
	Told      time.Time          `json:"told"` // by the pile's clock
	Received  time.Time          `json:"received"`
}

func (d *Dashboard) correctionsOf(ctx context.Context, pile charge.PileID, from, to time.Time) ([]correctionView, error) {
	all, err := d.registry.Corrections(ctx, pile, from, to)
	if err != nil {
		return nil, err
	}
	views := make([]correctionView, len(all))
	for i, c := range all {
		views[i] = correctionView{c.Key.Connector, dateText(c.Day), c.Status.String(), c.Told, c.Received}
	}
	return views, nil
}
