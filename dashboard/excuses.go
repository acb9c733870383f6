package dashboard

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

const (
	excusesAtMost = 1000
	whyAtMost     = 500 // characters of a reason
)

// An excuseView is excused time, claimed, granted or refused.
type excuseView struct {
	ID       int64               `json:"id"`
	Kind     charge.ExcuseKind   `json:"kind"`
	State    charge.ExcuseState  `json:"state"`
	Operator charge.OperatorID   `json:"operator"` // "" where it is of a division
	Name     string              `json:"operator_name"`
	Pile     string              `json:"pile"`     // {operator}:{pile}; "" where it is of a whole operator or of a division
	Division charge.DivisionCode `json:"division"` // the pile's township; "" where it is of a whole operator
	Place    string              `json:"place"`
	From     time.Time           `json:"from"`
	Until    time.Time           `json:"until"`
	Cause    string              `json:"cause"`
	Document string              `json:"document"`
	Entered  time.Time           `json:"entered"`
	By       string              `json:"by"`
	Decided  *time.Time          `json:"decided"`
	Judge    string              `json:"judge"`
	Why      string              `json:"why"`
	Hours    float64             `json:"hours"`
	// OverHours are of maintenance beyond the yearly limit: they do not count.
	OverHours float64 `json:"over_hours"`
	MayDecide bool    `json:"may_decide"`
}

func (d *Dashboard) townshipOf(id charge.PileID) (charge.DivisionCode, bool) {
	p, ok := d.divisions.Pile(id)
	if !ok {
		return "", false
	}
	return p.Station.Township, true
}

func (d *Dashboard) viewExcuse(e *charge.Excuse, v *viewer, over time.Duration) excuseView {
	where := excuseScope(e, d.townshipOf)
	view := excuseView{
		ID: e.ID, Kind: e.Kind, State: e.State, Operator: e.Operator, Division: where, Place: d.coverage.name(where), From: e.From.UTC(), Until: e.Until.UTC(),
		Cause: e.Cause, Document: e.Document, Entered: e.Entered.UTC(), By: e.By, Decided: orNull(e.Decided), Judge: e.Judge, Why: e.Why,
		Hours: e.Until.Sub(e.From).Hours(), OverHours: over.Hours(), MayDecide: e.State == charge.Claimed && v.mayDecide(where, d.province()),
	}
	if e.Operator != "" {
		view.Name = d.operatorNames()[e.Operator]
	}
	if e.Pile != "" {
		view.Pile = charge.PileID{Operator: e.Operator, Equipment: e.Pile}.String()
	}
	return view
}

func (d *Dashboard) getExcuses(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	q, v := r.URL.Query(), viewerOf(r)
	limit, err := limitOf(r, pageOf, excusesAtMost)
	if err != nil {
		return err
	}
	if !v.mayNameOperator(q.Get("operator")) {
		return notFound("no such operator")
	}
	ask := registry.ExcuseQuery{State: charge.ExcuseState(q.Get("state")), Operator: charge.OperatorID(q.Get("operator"))}
	if ask.State != "" && ask.State != charge.Claimed && ask.State != charge.Granted && ask.State != charge.Refused {
		return badRequest(fmt.Sprintf("state %q: want claimed, granted or refused", clip(string(ask.State))))
	}
	if text := q.Get("pile"); text != "" {
		id, err := charge.ParsePileID(text)
		if err != nil {
			return badRequest(err.Error())
		}
		if !v.mayNameOperator(string(id.Operator)) {
			return notFound("no such operator")
		}
		ask.Operator, ask.Pile = id.Operator, id.Equipment
	}
	if q.Get("division") != "" {
		if ask.Division, err = d.divisionOf(r); err != nil {
			return err
		}
	}
	if ask.From, err = timeOf(q.Get("from"), "from", time.Time{}); err != nil {
		return err
	}
	if ask.Until, err = timeOf(q.Get("until"), "until", time.Time{}); err != nil {
		return err
	}
	all, err := d.registry.Excuses(r.Context(), ask)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b charge.Excuse) int { // what waits first, then the newest
		return cmp.Or(cmp.Compare(waitsLast(&a), waitsLast(&b)), b.From.Compare(a.From), cmp.Compare(b.ID, a.ID))
	})
	over, err := d.overLimit(r, all)
	if err != nil {
		return err
	}
	rows, more := []excuseView{}, false
	for i := range all {
		e := &all[i]
		if !v.maySeeExcuse(e, excuseScope(e, d.townshipOf), d.province()) {
			continue
		}
		if more = len(rows) == limit; more {
			break
		}
		rows = append(rows, d.viewExcuse(e, v, over[e.ID]))
	}
	limits := d.divisions.Policies().At(time.Now()).Excuses
	return reply(w, r, map[string]any{"excuses": rows, "more": more, "maintenance_hours_a_year": limits.MaintenanceAYear.Hours()})
}

func waitsLast(e *charge.Excuse) int {
	if e.State == charge.Claimed {
		return 0
	}
	return 1
}

// overLimit tells how much of each granted maintenance is over the yearly limit of its pile.
func (d *Dashboard) overLimit(r *http.Request, shown []charge.Excuse) (map[int64]time.Duration, error) {
	over := make(map[int64]time.Duration)
	operators := make(map[charge.OperatorID]bool)
	for i := range shown {
		if e := &shown[i]; e.Kind == charge.Maintenance && e.State == charge.Granted && e.Operator != "" {
			operators[e.Operator] = true
		}
	}
	limit := d.divisions.Policies().At(time.Now()).Excuses.MaintenanceAYear
	for operator := range operators {
		all, err := d.registry.Excuses(r.Context(), registry.ExcuseQuery{State: charge.Granted, Operator: operator})
		if err != nil {
			return nil, err
		}
		byPile := make(map[string][]charge.Excuse) // "": of the whole operator, which counts for each pile
		for i := range all {
			if e := &all[i]; e.Kind == charge.Maintenance {
				byPile[e.Pile] = append(byPile[e.Pile], *e)
			}
		}
		for pile, of := range byPile {
			counted := of
			if pile != "" {
				counted = slices.Concat(byPile[""], of)
			}
			_, beyond := charge.WithinYearlyLimit(counted, limit)
			for i := range of {
				for _, s := range beyond {
					over[of[i].ID] += s.Overlap(charge.Span{From: of[i].From, Until: of[i].Until})
				}
			}
		}
	}
	return over, nil
}

// postExcuse enters a claim: an operator's for itself or its piles, an officer's for what lies in the scope.
func (d *Dashboard) postExcuse(w http.ResponseWriter, r *http.Request) error {
	var given struct {
		Kind     charge.ExcuseKind   `json:"kind"`
		Operator charge.OperatorID   `json:"operator"`
		Pile     string              `json:"pile"` // {operator}:{pile}
		Division charge.DivisionCode `json:"division"`
		From     time.Time           `json:"from"`
		Until    time.Time           `json:"until"`
		Cause    string              `json:"cause"`
		Document string              `json:"document"`
	}
	if err := readBody(w, r, &given); err != nil {
		return err
	}
	v := viewerOf(r)
	e := charge.Excuse{
		Kind: given.Kind, Operator: given.Operator, Division: given.Division, From: given.From, Until: given.Until, Cause: given.Cause, Document: given.Document, By: v.name,
	}
	if given.Pile != "" {
		id, err := charge.ParsePileID(given.Pile)
		if err != nil {
			return badRequest(err.Error())
		}
		e.Operator, e.Pile = id.Operator, id.Equipment
	}
	for _, text := range []string{e.Cause, e.Document} {
		if utf8.RuneCountInString(text) > whyAtMost {
			return badRequest(fmt.Sprintf("cause and document: want at most %d characters each", whyAtMost))
		}
	}
	switch where := excuseScope(&e, d.townshipOf); {
	case v.Role == registry.Operator:
		if string(e.Operator) != v.Scope {
			return notFound("no such pile or operator")
		}
	case !v.mayDecide(where, d.province()):
		return notFound("no such pile, operator or division")
	}
	e, err := d.registry.ClaimExcuse(r.Context(), e)
	if errors.Is(err, registry.ErrExcuse) {
		return newProblem(http.StatusUnprocessableEntity, "bad claim", err.Error())
	}
	if err != nil {
		return err
	}
	return replyStatus(w, r, http.StatusCreated, d.viewExcuse(&e, v, 0))
}

// readWhy reads the reason of a decision.
func readWhy(w http.ResponseWriter, r *http.Request, needed bool) (string, error) {
	var given struct {
		Why string `json:"why"`
	}
	if err := readBody(w, r, &given); err != nil {
		return "", err
	}
	if n := utf8.RuneCountInString(given.Why); n > whyAtMost || needed && n == 0 {
		return "", badRequest(fmt.Sprintf("why: want 1 to %d characters", whyAtMost))
	}
	return given.Why, nil
}

// numberOf reads {id}.
func numberOf(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, notFound("no such number")
	}
	return id, nil
}

func (d *Dashboard) postExcuseDecision(w http.ResponseWriter, r *http.Request) error {
	id, err := numberOf(r)
	if err != nil {
		return err
	}
	decision := r.PathValue("decision")
	if decision != "grant" && decision != "refuse" {
		return notFound("an excuse can be granted or refused: POST …/grant or …/refuse")
	}
	v := viewerOf(r)
	claimed, err := d.registry.Excuses(r.Context(), registry.ExcuseQuery{State: charge.Claimed})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(claimed, func(e charge.Excuse) bool { return e.ID == id })
	if i < 0 || !v.mayDecide(excuseScope(&claimed[i], d.townshipOf), d.province()) {
		return notFound("nothing is claimed under this number")
	}
	why, err := readWhy(w, r, true)
	if err != nil {
		return err
	}
	err = d.registry.DecideExcuse(r.Context(), id, decision == "grant", v.name, why)
	if errors.Is(err, registry.ErrUnknownExcuse) {
		return newProblem(http.StatusConflict, "decided already", "somebody else has decided it meanwhile")
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
