package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// Inspections are random draws of piles and inspectors, and what was found; *registry.Registry keeps them. They are for
// offices alone: an operator that knew who is drawn would be ready for it, and has the finding in its case.
type Inspections interface {
	DrawInspections(ctx context.Context, d registry.InspectionDraw) (registry.InspectionDraw, error)
	InspectionDraws(ctx context.Context, division charge.DivisionCode) ([]registry.InspectionDraw, error)
	InspectionDrawByID(ctx context.Context, id string) (registry.InspectionDraw, error)
	RecordInspection(ctx context.Context, draw string, pile charge.PileID, finding cases.Inspection, text string, by registry.CaseStep) (registry.Inspection, error)
}

const (
	drawMost       = 500 // piles
	inspectorsMost = 200
)

// A drawView is a draw of inspections.
type drawView struct {
	ID         string              `json:"id"`
	At         time.Time           `json:"at"`
	By         string              `json:"by"`
	Division   charge.DivisionCode `json:"division"`
	Place      string              `json:"place"`
	Seed       string              `json:"seed"`
	Count      int                 `json:"count"`
	Inspectors []string            `json:"inspectors"`
	Found      int                 `json:"found"` // of the piles drawn that were inspected
	From       int                 `json:"from"`  // how many piles there were; 0 in a list
	Picks      []pickView          `json:"picks"`
}

// A pickView is a pile that was drawn.
type pickView struct {
	Pile         string              `json:"pile"`
	OperatorName string              `json:"operator_name"`
	StationName  string              `json:"station_name"`
	Township     charge.DivisionCode `json:"township"`
	TownshipName string              `json:"township_name"`
	Inspectors   []string            `json:"inspectors"`
	Finding      *cases.Inspection   `json:"finding"` // null: not yet
	Text         string              `json:"text"`
	Recorded     *time.Time          `json:"recorded"`
	By           string              `json:"by"`
	Case         string              `json:"case"` // to whose record it went, "" for none
}

func (d *Dashboard) viewDraw(one *registry.InspectionDraw) drawView {
	v := drawView{
		ID: one.ID, At: one.At.UTC(), By: one.By, Division: one.Division, Place: d.coverage.name(one.Division), Seed: one.Seed, Count: one.Count,
		Inspectors: one.Inspectors, Found: one.Found, From: len(one.Piles), Picks: []pickView{},
	}
	for i := range one.Picks {
		p := &one.Picks[i]
		pick := pickView{
			Pile: p.Pile.String(), Township: p.Township, TownshipName: d.coverage.name(p.Township), Inspectors: p.Inspectors, Finding: p.Finding, Text: p.Text,
			Recorded: orNull(p.Recorded), By: p.By, Case: p.Case, OperatorName: d.operatorName(p.Pile.Operator),
		}
		if known, ok := d.divisions.Pile(p.Pile); ok {
			pick.StationName = known.Station.Name
		}
		v.Picks = append(v.Picks, pick)
	}
	return v
}

func (d *Dashboard) getInspections(w http.ResponseWriter, r *http.Request) error {
	code, err := d.divisionOf(r)
	if err != nil {
		return err
	}
	all, err := d.registry.InspectionDraws(r.Context(), code)
	if err != nil {
		return err
	}
	views := []drawView{}
	for i := range all {
		views = append(views, d.viewDraw(&all[i]))
	}
	return reply(w, r, map[string]any{"draws": views})
}

// drawOf finds the draw of a path for its viewer.
func (d *Dashboard) drawOf(r *http.Request) (registry.InspectionDraw, error) {
	one, err := d.registry.InspectionDrawByID(r.Context(), r.PathValue("id"))
	if errors.Is(err, registry.ErrUnknownInspection) || err == nil && !viewerOf(r).within(one.Division) {
		return one, notFound("no draw has the id " + clip(r.PathValue("id")))
	}
	return one, err
}

func (d *Dashboard) getInspection(w http.ResponseWriter, r *http.Request) error {
	one, err := d.drawOf(r)
	if err != nil {
		return err
	}
	return reply(w, r, d.viewDraw(&one))
}

// getInspectionList gives what was drawn from, a pile a line, so that anybody can draw again.
func (d *Dashboard) getInspectionList(w http.ResponseWriter, r *http.Request) error {
	one, err := d.drawOf(r)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	_, _ = fmt.Fprintln(w, strings.Join(one.Piles, "\n")) // whoever asked may have gone
	return nil
}

func (d *Dashboard) postInspections(w http.ResponseWriter, r *http.Request) error {
	v := viewerOf(r)
	var body struct {
		Division   charge.DivisionCode `json:"division"`
		Count      int                 `json:"count"`
		Inspectors []string            `json:"inspectors"`
		Seed       string              `json:"seed"`
	}
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	if !d.coverage.has(body.Division) || !v.within(body.Division) {
		return notFound("no division has the code " + clip(string(body.Division)))
	}
	if err := v.inspects(); err != nil {
		return err
	}
	if body.Count > drawMost || len(body.Inspectors) > inspectorsMost || len(body.Seed) > 100 {
		return newProblem(http.StatusUnprocessableEntity, "too many", fmt.Sprintf("want at most %d piles, %d inspectors and 100 characters of a seed", drawMost, inspectorsMost))
	}
	one, err := d.registry.DrawInspections(r.Context(), registry.InspectionDraw{Division: body.Division, Count: body.Count, Inspectors: namesOf(body.Inspectors), Seed: body.Seed, By: v.person()})
	if err := inspectionProblem(err); err != nil {
		return err
	}
	return replyStatus(w, r, http.StatusCreated, d.viewDraw(&one))
}

// namesOf leaves out what is no name.
func namesOf(texts []string) (names []string) {
	for _, s := range texts {
		if s = strings.TrimSpace(strings.ReplaceAll(s, "\n", " ")); s != "" {
			names = append(names, s)
		}
	}
	return names
}

func (d *Dashboard) postInspection(w http.ResponseWriter, r *http.Request) error {
	one, err := d.drawOf(r)
	if err != nil {
		return err
	}
	id, err := charge.ParsePileID(r.PathValue("pile"))
	if err != nil {
		return notFound("no pile of the draw has the id " + clip(r.PathValue("pile")))
	}
	v := viewerOf(r)
	var body struct {
		At         time.Time `json:"at"`
		Photo      string    `json:"photo"`
		TestWh     int64     `json:"test_wh"`
		TestFailed bool      `json:"test_failed"`
		Text       string    `json:"text"`
	}
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	if err := v.inspects(); err != nil {
		return err
	}
	if len([]rune(body.Text)) > textMost {
		return newProblem(http.StatusUnprocessableEntity, "text too long", fmt.Sprintf("want at most %d characters", textMost))
	}
	_, err = d.registry.RecordInspection(r.Context(), one.ID, id, cases.Inspection{At: body.At, Photo: body.Photo, TestWh: body.TestWh, TestFailed: body.TestFailed}, strings.TrimSpace(body.Text),
		registry.CaseStep{Person: v.person(), Name: v.fullName, Role: v.caseRole(), Document: d.cfg.PolicyDocument})
	if err := inspectionProblem(err); err != nil {
		return err
	}
	if one, err = d.drawOf(r); err != nil {
		return err
	}
	return reply(w, r, d.viewDraw(&one))
}

// inspectionProblem turns what the registry says of an inspection into an answer.
func inspectionProblem(err error) error {
	switch {
	case errors.Is(err, registry.ErrUnknownInspection):
		return notFound("no such pile in the draw")
	case errors.Is(err, registry.ErrInspection):
		return newProblem(http.StatusConflict, "not possible", err.Error())
	}
	return caseProblem(err)
}
