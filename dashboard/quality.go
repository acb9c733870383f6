package dashboard

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/quality"
	"pilewatch/internal/registry"
)

const evidenceAtMost = 200 // of an operator and kind

// A qualityRow is what came of an operator's messages in a month, and what cannot be so.
type qualityRow struct {
	Operator     charge.OperatorID `json:"operator"` // "": of no registered operator
	Name         string            `json:"name"`
	Messages     int64             `json:"messages"`
	Late         int64             `json:"late"`
	OffClock     int64             `json:"off_clock"`
	Numbered     int64             `json:"numbered"`
	Missing      int64             `json:"missing"`
	Twice        int64             `json:"twice"`
	Restarts     int64             `json:"restarts"`
	Completeness *float64          `json:"completeness"` // null: no message was numbered
	Delays       []int64           `json:"delays"`       // by delay_bounds_s, and beyond
	Rejects      map[string]int64  `json:"rejects"`      // by reason
	Seldom       []seldomView      `json:"seldom"`
	SeldomPiles  int               `json:"seldom_piles"` // all of them
	Findings     []findingView     `json:"contradictions"`
	FoundPiles   int               `json:"contradiction_piles"`
	Faults       []faultView       `json:"faults"`
	Corrected    []correctedView   `json:"corrected"`
	Corrections  int               `json:"corrections"` // all of them
}

// A seldomView is a pile that reports too seldom.
type seldomView struct {
	Pile        string `json:"pile"`
	UnknownMin  int64  `json:"unknown_min"`
	ExpectedMin int64  `json:"expected_min"`
}

// A correctedView is a pile that told something of frozen days.
type correctedView struct {
	Pile  string `json:"pile"`
	Count int    `json:"count"` // of each connector, day and status the first
}

// A findingView is a contradiction with its evidence.
type findingView struct {
	What  quality.Contradiction `json:"what"`
	Pile  string                `json:"pile"`
	From  string                `json:"from"`  // a date
	Until string                `json:"until"` // the day after its last one
	Value float64               `json:"value"` // never_charges: kWh that others delivered, a mean a pile; fault_as_offline: times
}

// getQuality gives the quality of operators' data in a month; what is summed over all of an operator's
// messages is there only for whoever may see all of them.
func (d *Dashboard) getQuality(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	q, v := r.URL.Query(), viewerOf(r)
	month := startOfDay(time.Now())
	if text := q.Get("month"); text != "" {
		var err error
		if month, err = time.ParseInLocation("2006-01", text, charge.Zone); err != nil {
			return badRequest(fmt.Sprintf("month %q: want a month like 2025-03", clip(text)))
		}
	}
	month = time.Date(month.Year(), month.Month(), 1, 0, 0, 0, 0, charge.Zone)
	operator := charge.OperatorID(q.Get("operator"))
	if !v.mayNameOperator(string(operator)) {
		return notFound("no such operator")
	}
	counts, err := d.registry.Qualities(r.Context(), month)
	if err != nil {
		return err
	}
	found, err := given(d.findings.get(r.Context(), month))
	if err != nil {
		return err
	}
	corrected, err := d.registry.CorrectedPiles(r.Context(), month, month.AddDate(0, 1, -1))
	if err != nil {
		return err
	}
	names := d.operatorNames()
	ids := make(map[charge.OperatorID]bool)
	for id := range names {
		ids[id] = true
	}
	for id := range counts {
		ids[id] = true
	}
	rows := []qualityRow{}
	for id := range ids {
		if operator != "" && id != operator || !v.mayNameOperator(string(id)) || v.Role == registry.Operator && id == "" {
			continue
		}
		row := qualityRow{Operator: id, Name: names[id], Delays: make([]int64, len(registry.DelayBounds)+1), Rejects: map[string]int64{}, Seldom: []seldomView{}, Findings: []findingView{}}
		all := d.seesAllOf(v, id)
		if all {
			row.take(counts[id])
		}
		sees := func(p charge.PileID) bool {
			pile, ok := d.divisions.Pile(p)
			return ok && v.sightOf(pile.Station.Kind, p.Operator, pile.Station.Township) == wholly
		}
		row.find(found[id], sees)
		if row.Faults, err = d.faultsOf(r.Context(), id, "", month, month, sees); err != nil {
			return err
		}
		row.correct(corrected, sees)
		if all || row.SeldomPiles+row.FoundPiles+len(row.Faults)+row.Corrections > 0 {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b qualityRow) int {
		return cmp.Or(cmp.Compare(b.FoundPiles, a.FoundPiles), cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Operator, b.Operator))
	})
	bounds := make([]float64, len(registry.DelayBounds))
	for i, b := range registry.DelayBounds {
		bounds[i] = b.Seconds()
	}
	return reply(w, r, map[string]any{
		"operators": rows, "month": month.Format("2006-01"), "delay_bounds_s": bounds, "seldom_share": seldomShare,
		"late_after_h": d.divisions.Policies().At(month).Lateness.Hours(),
	})
}

func (row *qualityRow) take(q registry.Quality) {
	row.Messages, row.Late, row.OffClock, row.Numbered = q.Messages, q.Late, q.OffClock, q.Numbered
	row.Missing, row.Twice, row.Restarts = max(q.Missing, 0), q.Twice, q.Restarts
	row.Delays = q.Delays[:]
	if came := q.Numbered - q.Twice; came > 0 {
		share := float64(came) / float64(came+row.Missing)
		row.Completeness = &share
	}
	maps.Copy(row.Rejects, q.Rejects)
}

func (row *qualityRow) correct(corrected map[charge.PileID]int, sees func(charge.PileID) bool) {
	row.Corrected = []correctedView{}
	for id, n := range corrected {
		if id.Operator == row.Operator && sees(id) {
			row.Corrected = append(row.Corrected, correctedView{id.String(), n})
			row.Corrections += n
		}
	}
	slices.SortFunc(row.Corrected, func(a, b correctedView) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Pile, b.Pile))
	})
	row.Corrected = row.Corrected[:min(len(row.Corrected), evidenceAtMost)]
}

func (row *qualityRow) find(f *findings, sees func(charge.PileID) bool) {
	if f == nil {
		return
	}
	for _, s := range f.seldom {
		if sees(s.pile) {
			row.Seldom = append(row.Seldom, seldomView{s.pile.String(), s.unknownMin, s.expectedMin})
		}
	}
	for i := range f.found {
		if n := &f.found[i]; sees(n.Connector.Pile) {
			row.Findings = append(row.Findings, findingView{
				n.What, n.Connector.Pile.String(), n.From.In(charge.Zone).Format(time.DateOnly), n.Until.In(charge.Zone).Format(time.DateOnly), n.Value,
			})
		}
	}
	slices.SortFunc(row.Seldom, func(a, b seldomView) int {
		return cmp.Or(cmp.Compare(b.UnknownMin, a.UnknownMin), cmp.Compare(a.Pile, b.Pile))
	})
	slices.SortFunc(row.Findings, func(a, b findingView) int { return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Pile, b.Pile)) })
	row.SeldomPiles, row.FoundPiles = len(row.Seldom), len(row.Findings)
	row.Seldom, row.Findings = row.Seldom[:min(row.SeldomPiles, evidenceAtMost)], row.Findings[:min(row.FoundPiles, evidenceAtMost)]
}
