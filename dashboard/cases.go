package dashboard

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// A Procedure is the cases of long-failed piles and what is done with them; *registry.Registry keeps them.
type Procedure interface {
	Cases(ctx context.Context, q registry.CaseQuery) ([]registry.Case, error)
	CaseVersion(ctx context.Context) (int64, error)
	CaseByID(ctx context.Context, id string) (registry.Case, error)
	CaseRecord(ctx context.Context, id string) ([]cases.Entry, error)
	CaseDossier(ctx context.Context, id string) ([]byte, error)
	NoteCaseRead(ctx context.Context, id, person string, role cases.Role) error
	ActOnCase(ctx context.Context, id string, step registry.CaseStep) (registry.Case, error)
	PileEffects(ctx context.Context, pile charge.PileID, out bool) (*cases.Effects, error)
}

const (
	caseDays = 90   // on the strip of a case
	textMost = 1000 // characters of a reason or a statement: bodyAtMost holds them
)

// decided are the states that the public sees.
func decided(s cases.State) bool {
	return slices.Contains([]cases.State{cases.Decommissioned, cases.Restored, cases.Revoked}, s)
}

// A caseView is a case in a list.
type caseView struct {
	ID             string                `json:"id"`
	Pile           string                `json:"pile"`
	Operator       charge.OperatorID     `json:"operator"`
	OperatorName   string                `json:"operator_name"`
	StationName    string                `json:"station_name"`
	Township       charge.DivisionCode   `json:"township"`
	TownshipName   string                `json:"township_name"`
	CountyName     string                `json:"county_name"`
	Serial         string                `json:"serial"`
	State          cases.State           `json:"state"`
	StateZH        string                `json:"state_zh"`
	Since          *time.Time            `json:"since"`
	Opened         *time.Time            `json:"opened"`
	Grounds        []registry.CaseGround `json:"grounds"`
	Policy         string                `json:"policy"`
	PeriodDays     int                   `json:"period_days"`
	Served         *time.Time            `json:"served"`
	Deadline       *time.Time            `json:"deadline"`
	Extended       bool                  `json:"extended"`
	Escalated      bool                  `json:"escalated"`
	Relapses       int                   `json:"relapses"`
	DismissedUntil *time.Time            `json:"dismissed_until"`
	Step           int64                 `json:"step"`
}

// An actionView is what the asker may do with a case, now or once what is missing is there.
type actionView struct {
	Action  cases.Action `json:"action"`
	Name    string       `json:"name_zh"`
	Next    cases.State  `json:"next"`
	NextZH  string       `json:"next_zh"`
	Missing string       `json:"missing"`    // the need that is not met yet, "" where none is
	Why     string       `json:"missing_zh"` // what to do for it
}

// A caseFile is a case with all that belongs to it.
type caseFile struct {
	caseView
	Document string          `json:"document"` // number and date of the regulation; "": on trial
	Dossier  json.RawMessage `json:"dossier"`
	SHA256   string          `json:"sha256"` // of the dossier
	Record   []cases.Entry   `json:"record"`
	Days     []cases.Day     `json:"days"` // the newest 90
	Excuses  []excuseView    `json:"excuses"`
	Actions  []actionView    `json:"actions"`
	Effects  *cases.Effects  `json:"effects"` // of taking the pile out, or of putting it back where it is out
}

func (d *Dashboard) viewCase(c *registry.Case) caseView {
	v := caseView{
		ID: c.ID, Pile: c.Pile.String(), Operator: c.Pile.Operator, Township: c.Township, TownshipName: d.coverage.name(c.Township),
		CountyName: d.coverage.name(c.Township.Parent()), Serial: c.Serial, State: c.State, StateZH: c.State.Chinese(), Since: orNull(c.Since),
		Opened: orNull(c.Opened), Grounds: c.Grounds, Policy: c.Policy, PeriodDays: c.PeriodDays, Served: orNull(c.Served), Deadline: orNull(c.Deadline),
		Extended: c.Extended, Escalated: c.Escalated, Relapses: c.Relapses, DismissedUntil: orNull(c.DismissedUntil), Step: c.Step,
	}
	if p, ok := d.divisions.Pile(c.Pile); ok {
		v.StationName = p.Station.Name
	}
	v.OperatorName = d.operatorName(c.Pile.Operator)
	return v
}

// operatorName gives an operator's name, "" for one that is not registered.
func (d *Dashboard) operatorName(id charge.OperatorID) string {
	for _, o := range d.divisions.Operators() {
		if o.ID == id {
			return o.Name
		}
	}
	return ""
}

// document is the regulation in force, "" on trial.
func (d *Dashboard) document() string {
	return cmp.Or(d.divisions.Policies().At(time.Now()).Case.Document, d.cfg.PolicyDocument)
}

func (d *Dashboard) getCases(w http.ResponseWriter, r *http.Request) error {
	v, err := d.caseRows(r)
	if err != nil {
		return err
	}
	return reply(w, r, v)
}

// caseRows finds the cases that are asked for, as far as the viewer may see them.
func (d *Dashboard) caseRows(r *http.Request) (found casesView, err error) {
	v := viewerOf(r)
	q := registry.CaseQuery{Operator: charge.OperatorID(r.URL.Query().Get("operator"))}
	if state := r.URL.Query().Get("state"); state != "" {
		if !slices.Contains(cases.States(), cases.State(state)) {
			return found, badRequest(fmt.Sprintf("state %q: want one of the states of docs/cases.md", clip(state)))
		}
		q.States = []cases.State{cases.State(state)}
	}
	if !v.mayNameOperator(string(q.Operator)) {
		return found, notFound("no operator has the id " + clip(string(q.Operator)))
	}
	switch {
	case r.URL.Query().Get("division") != "":
		if q.Division, err = d.divisionOf(r); err != nil {
			return found, err
		}
	case v.Role != registry.Operator:
		q.Division = v.caseHome(d.province())
	}
	if v.Role == registry.Operator {
		q.Operator = charge.OperatorID(v.Scope)
	}
	all, err := d.registry.Cases(r.Context(), q)
	if err != nil {
		return found, err
	}
	found = casesView{Cases: []caseView{}, Totals: map[cases.State]int{}, Document: d.document()}
	for i := range all {
		switch v.sightOfCase(&all[i]) {
		case wholly:
			found.Cases = append(found.Cases, d.viewCase(&all[i]))
		case openly:
			found.Cases = append(found.Cases, openCaseView(d.viewCase(&all[i])))
		case hidden:
		}
		found.Totals[all[i].State]++
	}
	return found, nil
}

// openCaseView is what the public sees of a case that was decided.
func openCaseView(v caseView) caseView {
	v.Serial, v.Grounds = "", []registry.CaseGround{}
	return v
}

// caseOf finds the case of a path for its viewer, wholly visible.
func (d *Dashboard) caseOf(r *http.Request) (registry.Case, error) {
	c, err := d.registry.CaseByID(r.Context(), r.PathValue("id"))
	if errors.Is(err, registry.ErrUnknownCase) || err == nil && viewerOf(r).sightOfCase(&c) != wholly {
		return c, notFound("no case has the id " + clip(r.PathValue("id")))
	}
	return c, err
}

// readCase finds it and puts on the record that it was read.
func (d *Dashboard) readCase(r *http.Request) (registry.Case, error) {
	c, err := d.caseOf(r)
	if err != nil || r.Method == http.MethodHead {
		return c, err
	}
	v := viewerOf(r)
	return c, d.registry.NoteCaseRead(r.Context(), c.ID, v.person(), v.caseRole())
}

func (d *Dashboard) getCase(w http.ResponseWriter, r *http.Request) error {
	c, err := d.readCase(r)
	if err != nil {
		return err
	}
	f, err := d.fileOf(r.Context(), viewerOf(r), &c)
	if err != nil {
		return err
	}
	return reply(w, r, f)
}

func (d *Dashboard) fileOf(ctx context.Context, v *viewer, c *registry.Case) (*caseFile, error) {
	f := &caseFile{caseView: d.viewCase(c), Days: []cases.Day{}, Excuses: []excuseView{}, Actions: []actionView{}, Document: d.document()}
	text, err := d.registry.CaseDossier(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	dossier, hash, err := cases.Thaw(text)
	if err != nil {
		return nil, fmt.Errorf("the dossier of case %s was changed: %w", c.ID, err)
	}
	if f.Dossier, err = json.Marshal(dossier); err != nil {
		return nil, err
	}
	f.SHA256 = hash
	if f.Record, err = d.registry.CaseRecord(ctx, c.ID); err != nil {
		return nil, err
	}
	if v.Role == registry.Operator || v.Role == registry.Viewer { // who in the offices looked is the offices' affair
		f.Record = slices.DeleteFunc(f.Record, func(e cases.Entry) bool { return e.Action == cases.Read })
	}
	now := time.Now()
	days, err := d.registry.PileDays(ctx, c.Pile, now.AddDate(0, 0, -caseDays-5), now)
	if err != nil {
		return nil, err
	}
	for _, day := range days {
		f.Days = append(f.Days, dayView(day.Day, &day.Minutes))
	}
	if len(f.Days) == 0 { // then those that it rests on
		f.Days = slices.DeleteFunc(slices.Clone(dossier.Days), func(one cases.Day) bool { return one.Connector != "" })
	}
	f.Days = f.Days[max(0, len(f.Days)-caseDays):]
	excuses, err := d.registry.Excuses(ctx, registry.ExcuseQuery{Operator: c.Pile.Operator, Pile: c.Pile.Equipment})
	if err != nil {
		return nil, err
	}
	for i := range excuses {
		f.Excuses = append(f.Excuses, d.viewExcuse(&excuses[i], v, 0))
	}
	f.Actions = d.possible(v, c, f)
	f.Effects, err = d.registry.PileEffects(ctx, c.Pile, c.State != cases.Decommissioned)
	return f, err
}

func dayView(date time.Time, m *charge.DayMinutes) cases.Day {
	return cases.Day{
		Date: date.In(charge.Zone).Format(time.DateOnly), Usable: int(m.Usable), Excused: int(m.Excused), Out: int(m.Out), Fault: int(m.Fault),
		Unknown: int(m.Unknown), Heard: int(m.Heard), EnergyWh: int64(m.EnergyWh),
	}
}

// possible lists what the asker may do, with what is still missing as far as it can be told in advance: what is
// given with the action itself is not.
func (d *Dashboard) possible(v *viewer, c *registry.Case, f *caseFile) []actionView {
	all := []actionView{}
	if !v.mayAct() {
		return all
	}
	facts := cases.Facts{
		Person: v.person(), Text: "-", DossierHash: f.SHA256, PolicyDocument: f.Document, ServiceValid: true, VisitValid: true, Served: !c.Served.IsZero(),
		PeriodOver: !c.Deadline.IsZero() && !time.Now().Before(c.Deadline), Extended: c.Extended, ConfirmedBy: c.ConfirmedBy, Proved: !c.Proved.IsZero(), SilenceOnly: true,
	}
	for _, g := range c.Grounds {
		facts.SilenceOnly = facts.SilenceOnly && g.Rule == "silent"
	}
	for _, e := range f.Record {
		facts.Inspected = facts.Inspected || e.Action == cases.Inspect && e.Detail != nil && e.Detail.Inspection.OnSite()
	}
	for _, row := range cases.Possible(c.State, v.caseRole()) {
		a := actionView{Action: row.Action, Name: row.Action.Chinese(), Next: row.To, NextZH: row.To.Chinese()}
		_, err := cases.Next(c.State, row.Action, v.caseRole(), facts)
		if refused := (*cases.RefusedError)(nil); errors.As(err, &refused) {
			a.Missing, a.Why = string(refused.Need), refused.Need.Chinese()
		}
		all = append(all, a)
	}
	return all
}

// A stepBody is what comes with an action.
type stepBody struct {
	Seen       int64             `json:"seen"` // step of the case, as it was read
	Text       string            `json:"text"`
	Service    *cases.Service    `json:"service"`
	Inspection *cases.Inspection `json:"inspection"`
	Arguments  []string          `json:"arguments"`
	Answers    []string          `json:"answers"`
	Until      string            `json:"until"` // of a dismissal, YYYY-MM-DD
	Evidence   []cases.Evidence  `json:"evidence"`
}

func (d *Dashboard) postCaseAction(w http.ResponseWriter, r *http.Request) error {
	c, err := d.caseOf(r)
	if err != nil {
		return err
	}
	v, action := viewerOf(r), cases.Action(r.PathValue("action"))
	if !slices.Contains(cases.Actions(), action) {
		return notFound("no such action; docs/cases.md lists them")
	}
	var body stepBody
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	if len([]rune(body.Text)) > textMost {
		return newProblem(http.StatusUnprocessableEntity, "text too long", fmt.Sprintf("want at most %d characters", textMost))
	}
	if !v.mayAct() {
		return newProblem(http.StatusConflict, "not possible", "only a person who has signed in with an account acts on a case")
	}
	step := registry.CaseStep{
		Action: action, Person: v.person(), Name: v.fullName, Role: v.caseRole(), Text: strings.TrimSpace(body.Text), Evidence: body.Evidence, Document: d.cfg.PolicyDocument, Seen: body.Seen,
		Detail: cases.Detail{Service: body.Service, Inspection: body.Inspection, Arguments: body.Arguments, Answers: body.Answers},
	}
	if body.Until != "" {
		if step.Detail.Until, err = time.ParseInLocation(time.DateOnly, body.Until, charge.Zone); err != nil || !step.Detail.Until.After(time.Now()) {
			return newProblem(http.StatusUnprocessableEntity, "bad date", fmt.Sprintf("until %q: want YYYY-MM-DD, later than today", clip(body.Until)))
		}
	}
	if action == cases.Statement && len(step.Detail.Arguments) == 0 {
		step.Detail.Arguments = []string{step.Text}
	}
	c, err = d.registry.ActOnCase(r.Context(), c.ID, step)
	if err := caseProblem(err); err != nil {
		return err
	}
	return reply(w, r, d.viewCase(&c))
}

// caseProblem turns what the registry says of a step into an answer.
func caseProblem(err error) error {
	var refused *cases.RefusedError
	switch {
	case errors.As(err, &refused):
		detail := refused.Error()
		if refused.Need != "" {
			detail = refused.Need.Chinese() + " · " + refused.Need.English()
		}
		return newProblem(http.StatusConflict, "not possible", detail)
	case errors.Is(err, registry.ErrCaseMoved):
		return newProblem(http.StatusConflict, "moved on", "案件已有新的步骤，请刷新后再操作 · "+err.Error())
	}
	return err
}

// getCaseFile gives the whole case as an archive: dossier, record, documents, and how to verify them.
func (d *Dashboard) getCaseFile(w http.ResponseWriter, r *http.Request) error {
	c, err := d.readCase(r)
	if err != nil {
		return err
	}
	f, err := d.fileOf(r.Context(), viewerOf(r), &c)
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	if files["dossier.json"], err = d.registry.CaseDossier(r.Context(), c.ID); err != nil {
		return err
	}
	var lines bytes.Buffer
	for _, e := range f.Record {
		text, err := e.JSON()
		if err != nil {
			return err
		}
		lines.Write(append(text, '\n'))
	}
	files["record.jsonl"] = lines.Bytes()
	for _, name := range documentNames {
		var page bytes.Buffer
		if err := d.writeDocument(&page, name, f); err != nil {
			return err
		}
		files[name+".html"] = page.Bytes()
	}
	var sums bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256(files[name])
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum[:]), name)
	}
	files["SHA256SUMS"] = sums.Bytes()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entry, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Now()})
		if err != nil {
			return err
		}
		if _, err := entry.Write(files[name]); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": c.ID + ".zip"}))
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(out.Bytes()) // whoever asked may have gone
	return nil
}
