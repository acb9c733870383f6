package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"pilewatch/internal/charge"
)

// A Verdict is what history holds of the measurements that were acknowledged.
type Verdict struct {
	Compared int64 `json:"compared"`
	Missing  int64 `json:"missing"`
	Twice    int64 `json:"twice"`
	Altered  int64 `json:"altered"` // another sequence number or meter than was sent
	Hidden   int64 `json:"hidden"`  // of piles that are not shown to everybody, as households' are; not compared
}

// Verify reads the measurements of each pile back by the dashboard's API at base (http://host:port) and compares them,
// one by one, with what was acknowledged. Heartbeats are not kept in history. It is called after Run.
func (d *Drive) Verify(ctx context.Context, base string) (Verdict, error) {
	var v Verdict
	for _, l := range d.lanes {
		want := make(map[int32]map[int64]charge.Reading) // by pile and time in ms
		for k := range l.first {
			if entry := l.plan[k%int64(len(l.plan))]; entry < 0 {
				r := l.message(k)
				if want[entry] == nil {
					want[entry] = make(map[int64]charge.Reading)
				}
				want[entry][r.At.UnixMilli()] = r
				v.Compared++
			}
		}
		for entry, readings := range want {
			if err := d.compare(ctx, base, l.piles[-1-entry], readings, &v); err != nil {
				return v, fmt.Errorf("verify %s: %w", l.piles[-1-entry], err)
			}
		}
	}
	return v, nil
}

func (d *Drive) compare(ctx context.Context, base string, pile charge.PileID, want map[int64]charge.Reading, v *Verdict) error {
	between := url.Values{
		"from": {d.start.Add(-time.Second).UTC().Format(time.RFC3339)},
		"to":   {d.start.Add(d.Length + time.Minute).UTC().Format(time.RFC3339)},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/piles/"+url.PathEscape(pile.String())+"/history?"+between.Encode(), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // read to its end
	if answer.StatusCode == http.StatusNotFound {
		v.Compared -= int64(len(want))
		v.Hidden += int64(len(want))
		return nil
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", request.URL.Path, answer.Status)
	}
	var past struct {
		Rows []struct {
			Connector charge.ConnectorID `json:"connector"`
			At        time.Time          `json:"at"`
			Kind      string             `json:"kind"`
			Seq       uint64             `json:"seq"`
			Meter     struct {
				Mean float64 `json:"mean"`
			} `json:"meter_kwh"`
		} `json:"rows"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&past); err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	seen := make(map[int64]bool)
	for _, row := range past.Rows {
		r, ours := want[row.At.UnixMilli()]
		switch {
		case !ours || row.Connector != d.Connector || row.Kind != charge.KindTelemetry.String():
		case seen[row.At.UnixMilli()]:
			v.Twice++
		default:
			seen[row.At.UnixMilli()] = true
			if row.Seq != r.Seq || row.Meter.Mean != r.MeterKWh {
				v.Altered++
			}
		}
	}
	v.Missing += int64(len(want) - len(seen))
	return nil
}
