package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/policy"
)

// A CaseStep is what somebody does with a case.
type CaseStep struct {
	Action   cases.Action
	Person   string // the account's name
	Name     string // what people call that person
	Role     cases.Role
	Text     string
	Evidence []cases.Evidence
	Detail   cases.Detail
	Document string // number and date of the regulation, where the policy has none
	// Seen is the Step of the case that the person has seen; another one now is ErrCaseMoved. 0 for the platform,
	// which looks at the case in the same transaction.
	Seen int64
	Pile charge.PileID // follow: the machine's name from now on
}

// A Suspicion is what opens a case, or joins one as a relapse.
type Suspicion struct {
	Pile       charge.PileID
	Names      []charge.PileID // all under which the machine was known, its own among them
	Serial     string
	Township   charge.DivisionCode
	Grounds    []CaseGround
	Policy     string
	Day        time.Time // on whose end the rules hold
	PeriodDays int
	Joins      string // the case that it is a relapse of
	CheckDays  int    // no_energy alone: a check is opened, and a test charge is due within these; 0: a case
	Dossier    *cases.Dossier
}

// OpenCase freezes the dossier and opens the case, or lets the earlier one go on. Where any name of the machine
// has a case that is not at its end nothing happens, and ok is false: the same suspicion twice is one case.
func (r *Registry) OpenCase(ctx context.Context, s *Suspicion) (c Case, ok bool, err error) {
	err = r.inWrite(ctx, func(tx *sql.Tx) error {
		now := r.now()
		for _, name := range append([]charge.PileID{s.Pile}, s.Names...) {
			var running bool
			if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM cases WHERE operator = ? AND pile = ? AND (suspected >= ? OR
				state IN ('check', 'suspected', 'notified', 'overdue', 'confirmed', 'reviewed', 'decommissioned')))`,
				string(name.Operator), name.Equipment, s.Day.AddDate(0, 0, 1).UnixMilli()).Scan(&running); err != nil || running {
				return err
			}
		}
		action, from := cases.Suspect, cases.None
		if s.Joins != "" {
			if c, err = caseByID(ctx, tx, s.Joins); err != nil {
				return err
			}
			action, from = cases.Relapse, c.State
			c.Relapses++
			c.Served, c.Deadline, c.Extended, c.ConfirmedBy = time.Time{}, time.Time{}, false, ""
		} else {
			year := now.In(charge.Zone).Year()
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM cases WHERE id LIKE ?", fmt.Sprintf("LF-%d-%%", year)).Scan(&n); err != nil {
				return err
			}
			c = Case{ID: fmt.Sprintf("LF-%d-%04d", year, n+1), Opened: now, Policy: s.Policy}
			if s.CheckDays > 0 {
				action, c.Deadline = cases.OpenCheck, startOfDay(now).AddDate(0, 0, s.CheckDays+1)
			}
		}
		c.Pile, c.Serial, c.Township, c.Grounds = s.Pile, s.Serial, s.Township, s.Grounds
		c.PeriodDays, c.Suspected, c.Since, c.Escalated = s.PeriodDays, s.Day.AddDate(0, 0, 1), now, false
		s.Dossier.Case, s.Dossier.Frozen = c.ID, now.UTC().Truncate(time.Millisecond)
		file, hash, err := s.Dossier.Freeze()
		if err != nil {
			return err
		}
		if c.State, err = cases.Next(from, action, cases.Platform, cases.Facts{DossierHash: hash}); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO case_dossier (case_id, sha256, frozen, file) VALUES (?, ?, ?, ?)", c.ID, hash, now.UnixMilli(), file); err != nil {
			return err
		}
		rules := make([]string, len(s.Grounds))
		for i, g := range s.Grounds {
			rules[i] = g.Rule + " (policy " + g.Policy + ")"
		}
		text := "rules that hold at the end of " + dateText(s.Day) + ": " + strings.Join(rules, " ")
		c.Step, err = appendRecord(ctx, tx, cases.Entry{
			Case: c.ID, At: now, Person: "platform", Role: cases.Platform, Action: action, From: from, To: c.State, Text: text,
			Evidence: []cases.Evidence{{Name: "dossier.json", SHA256: hash}},
		})
		if err != nil {
			return err
		}
		if err := remind(ctx, tx, &c, now); err != nil {
			return err
		}
		ok = true
		return putCase(ctx, tx, &c)
	})
	if err != nil {
		return Case{}, false, fmt.Errorf("open case of pile %s: %w", s.Pile, err)
	}
	return c, ok, nil
}

// ActOnCase does one step with the checks of the table (package cases), in one transaction. A *cases.RefusedError
// or ErrCaseMoved says why not; nothing is changed then.
func (r *Registry) ActOnCase(ctx context.Context, id string, step CaseStep) (c Case, err error) {
	err = r.inWrite(ctx, func(tx *sql.Tx) error {
		c, err = r.actOnCase(ctx, tx, id, step)
		return err
	})
	if err != nil {
		return Case{}, fmt.Errorf("%s case %s: %w", step.Action, quote(id), err)
	}
	return c, nil
}

func (r *Registry) actOnCase(ctx context.Context, tx *sql.Tx, id string, step CaseStep) (Case, error) {
	c, err := caseByID(ctx, tx, id)
	if err != nil {
		return c, err
	}
	if step.Role != cases.Platform && step.Seen != c.Step {
		return c, fmt.Errorf("%w: step %d is the last, %d was seen", ErrCaseMoved, c.Step, step.Seen)
	}
	now := r.now()
	rec, err := readRecord(ctx, tx, id)
	if err != nil {
		return c, err
	}
	policies, err := loadPolicies(ctx, tx)
	if err != nil {
		return c, err
	}
	calendar, err := calendarOf(ctx, tx)
	if err != nil {
		return c, err
	}
	p := policies.At(now)
	facts := factsOf(&c, rec, &step, p, calendar, now)
	from := c.State
	if c.State, err = cases.Next(from, step.Action, step.Role, facts); err != nil {
		return c, err
	}
	if err := c.apply(ctx, tx, &step, p, calendar, from, now); err != nil {
		return c, err
	}
	detail := &step.Detail
	if detail.Service == nil && detail.Inspection == nil && len(detail.Arguments)+len(detail.Answers) == 0 && detail.Until.IsZero() && detail.Effects == nil {
		detail = nil
	}
	c.Step, err = appendRecord(ctx, tx, cases.Entry{
		Case: id, At: now, Person: step.Person, Name: step.Name, Role: step.Role, Action: step.Action, From: from, To: c.State, Text: step.Text,
		Evidence: step.Evidence, Detail: detail,
	})
	if err != nil {
		return c, err
	}
	if step.Action == cases.Notify || step.Action == cases.Suspect || step.Action == cases.Follow {
		if err := remind(ctx, tx, &c, now); err != nil {
			return c, err
		}
	}
	return c, putCase(ctx, tx, &c)
}

// Terms are those of a policy.
func caseTerms(p *policy.Policy) cases.Terms {
	return cases.Terms{SuspectedDays: p.Case.SuspectedDays, OverdueDays: p.Case.OverdueDays, PublicDays: p.Case.PublicNoticeDays}
}

// factsOf gathers what the needs of a step are looked up in.
func factsOf(c *Case, rec []cases.Entry, step *CaseStep, p *policy.Policy, calendar cases.Calendar, now time.Time) cases.Facts {
	f := cases.Facts{
		Person: step.Person, Text: step.Text, PolicyDocument: p.Case.Document, Served: !c.Served.IsZero(), Extended: c.Extended, ConfirmedBy: c.ConfirmedBy,
		PeriodOver: !c.Deadline.IsZero() && !now.Before(c.Deadline), SilenceOnly: true, Proved: !c.Proved.IsZero(),
	}
	if f.PolicyDocument == "" {
		f.PolicyDocument = step.Document
	}
	if step.Action == cases.Prove {
		f.Proved = c.Proved.IsZero() // the platform says so, having looked; once is enough
	}
	for _, g := range c.Grounds {
		f.SilenceOnly = f.SilenceOnly && g.Rule == "silent"
	}
	var services []cases.Service
	var since, noticed time.Time // the days of the suspicion and of the notice
	for i, e := range rec {
		switch e.Action {
		case cases.OpenCheck, cases.Suspect, cases.Relapse:
			if len(e.Evidence) == 0 {
				continue // a check that has become a case rests on the dossier of its opening
			}
			since = startOfDay(e.At)
			f.DossierHash = e.Evidence[0].SHA256
			f.Arguments, f.Inspected, services, noticed = 0, false, nil, time.Time{} // of the suspicion before
		case cases.Notify:
			noticed = startOfDay(e.At)
		case cases.Statement:
			f.Arguments++
			if rec[i].Detail != nil {
				f.Arguments += max(0, len(rec[i].Detail.Arguments)-1)
			}
		case cases.Inspect:
			f.Inspected = f.Inspected || e.Detail != nil && e.Detail.Inspection.OnSite() && e.Detail.Inspection.Within(since, e.At)
		case cases.Serve:
			if e.Detail != nil && e.Detail.Service != nil {
				services = append(services, *e.Detail.Service)
			}
		}
	}
	for _, a := range step.Detail.Answers {
		if a != "" {
			f.Answered++
		}
	}
	if s := step.Detail.Service; s != nil {
		f.ServiceValid = s.Check(services) == nil && !s.On.Before(noticed) && !s.On.After(now)
	}
	f.VisitValid = step.Detail.Inspection.Within(since, now)
	due, ok := cases.Due(c.Due(), now, calendar, caseTerms(p))
	f.Waiting, f.CheckOver = ok && due.Action == cases.Escalate, ok && due.Action == cases.Suspect
	f.Lapsed = step.Action == cases.Lapse // the platform says so, having looked
	return f
}

// apply does what a step means for the case and its pile.
func (c *Case) apply(ctx context.Context, tx *sql.Tx, step *CaseStep, p *policy.Policy, calendar cases.Calendar, from cases.State, now time.Time) error {
	if c.State != from {
		c.Since, c.Escalated = now, false
	}
	switch step.Action {
	case cases.Serve:
		if on, ok := step.Detail.Service.Effective(caseTerms(p)); ok {
			c.Served, c.Deadline = on, calendar.Deadline(on, c.PeriodDays)
		}
	case cases.Extend:
		c.Extended = true
		c.Deadline = cases.Lengthened(c.Deadline, calendar.Deadline(c.Deadline.Add(-time.Second), max(c.PeriodDays, 1)))
		step.Detail.Until = c.Deadline
	case cases.Dismiss:
		if c.DismissedUntil = step.Detail.Until; c.DismissedUntil.IsZero() {
			c.DismissedUntil = startOfDay(now).AddDate(0, 0, p.DismissalHolds)
		}
		step.Detail.Until = c.DismissedUntil
	case cases.Inspect:
		if from == cases.Checking && step.Detail.Inspection.Failed() {
			c.Deadline = now // the test charge was made and failed: nothing is waited for
		}
	case cases.Suspect:
		c.Deadline = time.Time{} // of the check
	case cases.Lapse:
		c.DismissedUntil = now // the rule may ask again, if it ever holds
	case cases.Confirm:
		c.ConfirmedBy = step.Person
	case cases.Escalate:
		c.Escalated = true
	case cases.Prove:
		if from == cases.Decommissioned {
			c.Proved = step.Detail.Until // an officer restores it
			return nil
		}
		c.Suspected = step.Detail.Until // windows start anew with the day after the proof
	case cases.Follow:
		c.Pile = step.Pile
		if err := tx.QueryRowContext(ctx, "SELECT township FROM piles WHERE operator = ? AND pile = ?", string(c.Pile.Operator), c.Pile.Equipment).Scan(&c.Township); err != nil {
			return fmt.Errorf("find pile %s: %w", c.Pile, err)
		}
		if c.State == cases.Decommissioned {
			return markDecommissioned(ctx, tx, c.Pile, c.ID)
		}
	case cases.Decommission, cases.Restore, cases.Revoke:
		out := step.Action == cases.Decommission
		effects, err := pileEffects(ctx, tx, c.Pile, out)
		if err != nil {
			return err
		}
		step.Detail.Effects = effects
		mark := ""
		if out {
			mark, c.Decommissioned = c.ID, now
		}
		return markDecommissioned(ctx, tx, c.Pile, mark)
	}
	return nil
}

// markDecommissioned takes a pile out of what counts, or puts it back where by is "".
func markDecommissioned(ctx context.Context, tx *sql.Tx, pile charge.PileID, by string) error {
	rev, err := nextRev(ctx, tx, "piles")
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE piles SET decommissioned = ?, rev = ? WHERE operator = ? AND pile = ?", by, rev, string(pile.Operator), pile.Equipment); err != nil {
		return fmt.Errorf("mark pile %s: %w", pile, err)
	}
	return nil
}

// PileEffects tells what taking a pile out of what counts does to coverage; or, out being false, what putting it
// back does.
func (r *Registry) PileEffects(ctx context.Context, pile charge.PileID, out bool) (e *cases.Effects, err error) {
	err = r.inRead(ctx, func(tx *sql.Tx) error {
		e, err = pileEffects(ctx, tx, pile, out)
		return err
	})
	return e, err
}

// pileEffects counts towns and townships (乡镇) as health has judged them. With others standing in the township
// nominal coverage stays; effective coverage goes where no other connector there is usable now.
func pileEffects(ctx context.Context, q querier, pile charge.PileID, out bool) (*cases.Effects, error) {
	e := &cases.Effects{}
	err := q.QueryRowContext(ctx, `SELECT count(CASE WHEN t.state <> 'none' THEN 1 END), count(CASE WHEN t.state = 'effective' THEN 1 END)
		FROM township_state t JOIN divisions d ON d.code = t.township WHERE d.kind IN (?, ?)`, string(charge.KindTown), string(charge.KindTownship)).
		Scan(&e.NominalBefore, &e.EffectiveBefore)
	if err != nil {
		return nil, fmt.Errorf("count coverage: %w", err)
	}
	var kind, state string
	err = q.QueryRowContext(ctx, `SELECT p.township, s.kind, coalesce(t.state, 'none') FROM piles p JOIN stations s ON s.id = p.station_id
		LEFT JOIN township_state t ON t.township = p.township WHERE p.operator = ? AND p.pile = ?`, string(pile.Operator), pile.Equipment).Scan(&e.Township, &kind, &state)
	if errors.Is(err, sql.ErrNoRows) {
		e.NominalAfter, e.EffectiveAfter = e.NominalBefore, e.EffectiveBefore
		return e, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the township of pile %s: %w", pile, err)
	}
	var others, usable, own int
	err = q.QueryRowContext(ctx, `SELECT count(DISTINCT CASE WHEN p.decommissioned = '' AND p.closed IS NULL AND NOT (p.operator = ?1 AND p.pile = ?2) THEN p.operator || ':' || p.pile END),
		count(CASE WHEN p.decommissioned = '' AND NOT (p.operator = ?1 AND p.pile = ?2) AND c.shown IN (1, 2, 3, 4) THEN 1 END),
		count(CASE WHEN p.operator = ?1 AND p.pile = ?2 AND c.shown IN (1, 2, 3, 4) THEN 1 END)
		FROM piles p JOIN stations s ON s.id = p.station_id AND s.kind = 'public' AND s.closed IS NULL
		JOIN connector_state c ON c.operator = p.operator AND c.pile = p.pile WHERE p.township = ?3`,
		string(pile.Operator), pile.Equipment, e.Township).Scan(&others, &usable, &own)
	if err != nil {
		return nil, fmt.Errorf("count piles of township %s: %w", e.Township, err)
	}
	e.LastStation = others == 0 && kind == string(charge.Public)
	e.NominalAfter, e.EffectiveAfter = e.NominalBefore, e.EffectiveBefore
	var counted bool
	if err := q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM divisions WHERE code = ? AND kind IN (?, ?))", e.Township, string(charge.KindTown), string(charge.KindTownship)).Scan(&counted); err != nil {
		return nil, err
	}
	if !counted || kind != string(charge.Public) {
		return e, nil
	}
	switch {
	case out && e.LastStation && state != "none":
		e.NominalAfter--
	case !out && e.LastStation && state == "none":
		e.NominalAfter++
	}
	switch {
	case out && state == "effective" && usable == 0:
		e.EffectiveAfter--
	case !out && state != "effective" && own > 0:
		e.EffectiveAfter++
	}
	return e, nil
}

// FollowCases lets each case that is not at its end go on under the newest name of its machine, and tells how many did.
// Where that name has a case of its own already, both stay where they are.
func (r *Registry) FollowCases(ctx context.Context) (followed int, err error) {
	links, err := r.PileLinks(ctx)
	if err != nil || len(links) == 0 {
		return 0, err
	}
	running, err := r.Cases(ctx, CaseQuery{States: cases.RunningStates()})
	if err != nil {
		return 0, err
	}
	has := make(map[charge.PileID]bool, len(running))
	for i := range running {
		has[running[i].Pile] = true
	}
	for i := range running {
		c := &running[i]
		names := LaterNames(links, c.Pile, r.now())
		if len(names) == 0 || has[names[len(names)-1].Pile] {
			continue
		}
		l := names[len(names)-1]
		text := fmt.Sprintf("%s is %s since %s, by %s %s", c.Pile, l.Pile, dateText(l.From), l.Why, l.Document)
		_, err := r.ActOnCase(ctx, c.ID, CaseStep{Action: cases.Follow, Person: "platform", Role: cases.Platform, Text: strings.TrimSpace(text), Pile: l.Pile})
		if refused := (*cases.RefusedError)(nil); errors.As(err, &refused) {
			continue // it has come to its end
		}
		if err != nil {
			return followed, err
		}
		has[l.Pile] = true
		followed++
	}
	return followed, nil
}

// DueCases gives the cases of which something has become due by now by time alone.
func (r *Registry) DueCases(ctx context.Context) (due []Case, err error) {
	now := r.now()
	policies, err := r.Policies(ctx)
	if err != nil {
		return nil, err
	}
	calendar, err := r.Calendar(ctx)
	if err != nil {
		return nil, err
	}
	open, err := r.Cases(ctx, CaseQuery{States: []cases.State{cases.Checking, cases.Suspected, cases.Notified, cases.Overdue}})
	if err != nil {
		return nil, err
	}
	terms := caseTerms(policies.At(now))
	return slices.DeleteFunc(open, func(c Case) bool {
		_, ok := cases.Due(c.Due(), now, calendar, terms)
		return !ok
	}), nil
}

// PassCase does what is due of a case by time alone; false where nothing is.
func (r *Registry) PassCase(ctx context.Context, c *Case) (bool, error) {
	policies, err := r.Policies(ctx)
	if err != nil {
		return false, err
	}
	calendar, err := r.Calendar(ctx)
	if err != nil {
		return false, err
	}
	due, ok := cases.Due(c.Due(), r.now(), calendar, caseTerms(policies.At(r.now())))
	if !ok {
		return false, nil
	}
	_, err = r.ActOnCase(ctx, c.ID, CaseStep{Action: due.Action, Person: "platform", Role: cases.Platform, Text: "due since " + due.At.In(charge.Zone).Format(time.RFC3339)})
	if refused := (*cases.RefusedError)(nil); errors.As(err, &refused) {
		return false, nil // it was done, or the case has moved on
	}
	return err == nil, err
}
