package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"pilewatch/internal/charge"
)

// Errors of excuses.
var (
	ErrUnknownExcuse = errors.New("unknown excuse")
	ErrExcuse        = errors.New("excuse is refused") // it breaks a rule; the rule is in the text
)

var excuseColumns = columnsOf("kind,from,until", "kind", "operator", "pile", "division", "from", "until", "cause", "document")

// enteredKinds are the kinds that people enter; health finds the others itself.
var enteredKinds = []string{string(charge.Maintenance), string(charge.PowerCut), string(charge.Site)}

// byImport stands for whoever imported a file, as the one who entered and granted.
const byImport = "import"

// An ExcuseQuery asks for excuses. Zero fields do not filter.
type ExcuseQuery struct {
	State    charge.ExcuseState
	Operator charge.OperatorID
	Pile     string
	// Division finds those of a division that lies in it or around it, and those of piles in it.
	Division charge.DivisionCode
	From     time.Time // overlapping the time from From to before Until
	Until    time.Time
}

const excuseFields = "e.id, e.kind, e.state, e.operator, e.pile, e.division, e.begins, e.ends, e.cause, e.document, e.entered, e.by_whom, e.decided, e.judge, e.why"

// Excuses gives the excuses that match, by their begin.
func (r *Registry) Excuses(ctx context.Context, q ExcuseQuery) ([]charge.Excuse, error) {
	where, args := []string{"1 = 1"}, []any{}
	add := func(condition string, more ...any) { where, args = append(where, condition), append(args, more...) }
	if q.State != "" {
		add("e.state = ?", string(q.State))
	}
	if q.Operator != "" {
		add("e.operator = ?", string(q.Operator))
	}
	if q.Pile != "" {
		add("e.pile = ?", q.Pile)
	}
	if q.Division != "" {
		from, before := divisionRange(q.Division)
		add(`(e.division >= ? AND e.division < ? OR e.division <> '' AND substr(?, 1, length(e.division)) = e.division
			OR EXISTS (SELECT 1 FROM piles p WHERE p.operator = e.operator AND (e.pile = '' OR p.pile = e.pile) AND p.township >= ? AND p.township < ?))`,
			from, before, string(q.Division), from, before)
	}
	if !q.From.IsZero() {
		add("e.ends > ?", q.From.UnixMilli())
	}
	if !q.Until.IsZero() {
		add("e.begins < ?", q.Until.UnixMilli())
	}
	return readExcuses(ctx, r.read, "WHERE "+strings.Join(where, " AND "), args...)
}

func readExcuses(ctx context.Context, q querier, where string, args ...any) ([]charge.Excuse, error) {
	var all []charge.Excuse
	err := each(ctx, q, func(rows *sql.Rows) error {
		var e charge.Excuse
		var from, until, entered, decided sql.NullInt64
		if err := rows.Scan(&e.ID, &e.Kind, &e.State, &e.Operator, &e.Pile, &e.Division, &from, &until, &e.Cause, &e.Document,
			&entered, &e.By, &decided, &e.Judge, &e.Why); err != nil {
			return err
		}
		e.From, e.Until = fromMillis(from, charge.Zone), fromMillis(until, charge.Zone)
		e.Entered, e.Decided = fromMillis(entered, charge.Zone), fromMillis(decided, charge.Zone)
		all = append(all, e)
		return nil
	}, "SELECT "+excuseFields+" FROM excuses e "+where+" ORDER BY e.begins, e.id", args...)
	if err != nil {
		return nil, fmt.Errorf("read excuses: %w", err)
	}
	return all, nil
}

// ClaimExcuse enters what By claims, at the platform's time; ID, State, Entered, Decided and Judge are
// set here. What a rule forbids is kept as refused, with the rule as its judge, so that a case shows
// it; ErrExcuse says that it cannot be kept at all.
func (r *Registry) ClaimExcuse(ctx context.Context, e charge.Excuse) (charge.Excuse, error) {
	e.From, e.Until = e.From.Truncate(time.Millisecond), e.Until.Truncate(time.Millisecond)
	e.Entered, e.State, e.Decided, e.Judge = r.now().Truncate(time.Millisecond), charge.Claimed, time.Time{}, ""
	if err := plainExcuse(&e); err != nil {
		return e, err
	}
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		if err := knownSubject(ctx, tx, &e); err != nil {
			return err
		}
		forbidden, err := causesNotExcused(ctx, tx, e.Entered)
		if err != nil {
			return err
		}
		applyRule(&e, forbidden)
		if _, err := nextRev(ctx, tx, "excuses"); err != nil {
			return err
		}
		return addExcuse(ctx, tx, &e)
	})
	if err != nil {
		return e, fmt.Errorf("claim excuse: %w", err)
	}
	return e, nil
}

// DecideExcuse grants or refuses a claim; why may be "". ErrUnknownExcuse where nothing is claimed under the number.
func (r *Registry) DecideExcuse(ctx context.Context, id int64, granted bool, judge, why string) error {
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		found, err := readExcuses(ctx, tx, "WHERE e.id = ? AND e.state = ?", id, string(charge.Claimed))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return ErrUnknownExcuse
		}
		state := charge.Refused
		if granted {
			state = charge.Granted
		}
		if _, err := nextRev(ctx, tx, "excuses"); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE excuses SET state = ?, decided = ?, judge = ?, why = ? WHERE id = ?", string(state), r.now().UnixMilli(), judge, why, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("decide excuse %d: %w", id, err)
	}
	return nil
}

// plainExcuse refuses what is no excuse at all.
func plainExcuse(e *charge.Excuse) error {
	switch {
	case !slices.Contains(enteredKinds, string(e.Kind)):
		return fmt.Errorf("%w: kind %s is none of %s", ErrExcuse, quote(string(e.Kind)), strings.Join(enteredKinds, ", "))
	case !e.Until.After(e.From):
		return fmt.Errorf("%w: it ends before it begins", ErrExcuse)
	case e.Kind == charge.Site && e.Document == "":
		return fmt.Errorf("%w: one of a site has a document", ErrExcuse)
	case e.Kind == charge.PowerCut && e.Cause == "":
		return fmt.Errorf("%w: a power cut has a cause", ErrExcuse)
	case (e.Operator == "") == (e.Division == "") || e.Operator == "" && e.Pile != "":
		return fmt.Errorf("%w: it is of an operator, of one of its piles, or of a division", ErrExcuse)
	}
	return nil
}

func knownSubject(ctx context.Context, q querier, e *charge.Excuse) error {
	query, args, unknown := "SELECT 1 FROM divisions WHERE code = ?", []any{string(e.Division)}, "division "+string(e.Division)
	switch {
	case e.Pile != "":
		query, args = "SELECT 1 FROM piles WHERE operator = ? AND pile = ?", []any{string(e.Operator), e.Pile}
		unknown = "pile " + e.Pile + " of " + string(e.Operator)
	case e.Operator != "":
		query, args, unknown = "SELECT 1 FROM operators WHERE operator = ?", []any{string(e.Operator)}, "operator "+string(e.Operator)
	}
	var one int
	err := q.QueryRowContext(ctx, query, args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: unknown %s", ErrExcuse, unknown)
	}
	return err
}

func causesNotExcused(ctx context.Context, q querier, now time.Time) ([]string, error) {
	policies, err := loadPolicies(ctx, q)
	if err != nil {
		return nil, err
	}
	return policies.At(now).Excuses.NotExcused, nil
}

// applyRule refuses what no officer could grant.
func applyRule(e *charge.Excuse, forbidden []string) {
	switch {
	case e.Kind == charge.Maintenance && !e.Entered.Before(e.From):
		e.State, e.Decided, e.Judge = charge.Refused, e.Entered, "rule: maintenance entered after its begin"
	case e.Kind == charge.PowerCut && slices.Contains(forbidden, e.Cause):
		e.State, e.Decided, e.Judge = charge.Refused, e.Entered, "rule: a power cut by "+e.Cause+" does not excuse"
	}
}

func addExcuse(ctx context.Context, tx *sql.Tx, e *charge.Excuse) error {
	return tx.QueryRowContext(ctx, `INSERT INTO excuses (kind, state, operator, pile, division, begins, ends, cause, document, entered, by_whom, decided, judge)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`, string(e.Kind), string(e.State), string(e.Operator), e.Pile,
		string(e.Division), e.From.UnixMilli(), e.Until.UnixMilli(), e.Cause, e.Document, e.Entered.UnixMilli(), e.By,
		millis(e.Decided), e.Judge).Scan(&e.ID)
}

// excuseKey is what a row of the file updates.
type excuseKey struct {
	kind     charge.ExcuseKind
	operator charge.OperatorID
	pile     string
	division charge.DivisionCode
	from     int64
}

func keyOfExcuse(e *charge.Excuse) excuseKey {
	return excuseKey{e.Kind, e.Operator, e.Pile, e.Division, e.From.UnixMilli()}
}

type excuseRow struct {
	charge.Excuse
	line int
}

type excuseStage struct {
	rows    []excuseRow
	changed []charge.Excuse // ID 0: new
}

func parseExcuses(src io.Reader, bad *ImportError) (stage, error) {
	st := &excuseStage{}
	seen := make(map[excuseKey]int)
	err := readCSV(src, excuseColumns, bad, func(rec *record) {
		e := charge.Excuse{
			Kind: charge.ExcuseKind(rec.oneOf("kind", true, enteredKinds...)), Pile: rec.raw("pile"),
			From: rec.day("from", true), Until: rec.day("until", true), Cause: rec.text("cause"), Document: rec.text("document"), By: byImport,
		}
		e.Operator = charge.OperatorID(rec.raw("operator"))
		for col, id := range map[string]string{"operator": string(e.Operator), "pile": e.Pile} {
			if id != "" && !charge.ValidID(id) {
				rec.fail(col, "%s is not an id: want 1 to 64 characters of A-Z a-z 0-9 . _ -", quote(id))
			}
		}
		if code := rec.raw("division"); code != "" {
			var err error
			if e.Division, err = charge.ParseDivisionCode(code); err != nil {
				rec.fail("division", "%s is not a code: want 2, 4, 6 or 9 digits", quote(code))
			}
		}
		if rec.wrong {
			return
		}
		if err := plainExcuse(&e); err != nil {
			rec.fail("", "%s", strings.TrimPrefix(err.Error(), ErrExcuse.Error()+": "))
			return
		}
		firstLine(seen, rec, "from", keyOfExcuse(&e), "the same excuse from "+dateText(e.From))
		st.rows = append(st.rows, excuseRow{e, rec.line})
	})
	return st, err
}

func (st *excuseStage) check(ctx context.Context, q querier, now time.Time, bad *ImportError) (done Imported, err error) {
	st.changed = nil
	forbidden, err := causesNotExcused(ctx, q, now)
	if err != nil {
		return done, err
	}
	all, err := readExcuses(ctx, q, "")
	if err != nil {
		return done, err
	}
	present := make(map[excuseKey]charge.Excuse, len(all))
	for _, e := range all {
		present[keyOfExcuse(&e)] = e
	}
	for _, row := range st.rows {
		e := row.Excuse
		if err := knownSubject(ctx, q, &e); errors.Is(err, ErrExcuse) {
			bad.add(row.line, "", "%s", strings.TrimPrefix(err.Error(), ErrExcuse.Error()+": "))
			continue
		} else if err != nil {
			return done, err
		}
		e.Entered, e.State, e.Decided, e.Judge = now.Truncate(time.Millisecond), charge.Granted, now.Truncate(time.Millisecond), byImport
		before, ok := present[keyOfExcuse(&e)]
		switch {
		case !ok:
			done.Added++
		case before.Until.Equal(e.Until) && before.Cause == e.Cause && before.Document == e.Document && before.State != charge.Claimed:
			done.Unchanged++
			continue
		case e.Kind == charge.Maintenance && !before.From.After(now) && !before.Until.Equal(e.Until):
			bad.add(row.line, "until", "the window has begun: enter another one for the time after it")
			continue
		default:
			e.ID, e.By, e.Entered = before.ID, before.By, before.Entered
			done.Updated++
		}
		applyRule(&e, forbidden)
		st.changed = append(st.changed, e)
	}
	return done, nil
}

func (st *excuseStage) apply(ctx context.Context, tx *sql.Tx, _ int64) error {
	for i := range st.changed {
		e := &st.changed[i]
		if e.ID == 0 {
			if err := addExcuse(ctx, tx, e); err != nil {
				return fmt.Errorf("write excuse: %w", err)
			}
			continue
		}
		if _, err := tx.ExecContext(ctx, "UPDATE excuses SET state = ?, ends = ?, cause = ?, document = ?, decided = ?, judge = ? WHERE id = ?",
			string(e.State), e.Until.UnixMilli(), e.Cause, e.Document, millis(e.Decided), e.Judge, e.ID); err != nil {
			return fmt.Errorf("write excuse %d: %w", e.ID, err)
		}
	}
	return nil
}

// exportExcuses writes those that were granted or refused; what is only claimed would be granted by
// an import.
func exportExcuses(ctx context.Context, q querier, row func(...string) error) error {
	all, err := readExcuses(ctx, q, "WHERE e.state <> ?", string(charge.Claimed))
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := row(string(e.Kind), string(e.Operator), e.Pile, string(e.Division), dateText(e.From), dateText(e.Until), e.Cause, e.Document); err != nil {
			return err
		}
	}
	return nil
}

// excuseView is what has been granted, by whom it is of, each by its begin.
type excuseView struct {
	piles     map[charge.PileID][]charge.Excuse
	operators map[charge.OperatorID][]charge.Excuse
	divisions map[charge.DivisionCode][]charge.Excuse
}

func loadExcuses(ctx context.Context, q querier) (*excuseView, error) {
	all, err := readExcuses(ctx, q, "WHERE e.state = ?", string(charge.Granted))
	if err != nil {
		return nil, err
	}
	view := &excuseView{
		piles: make(map[charge.PileID][]charge.Excuse), operators: make(map[charge.OperatorID][]charge.Excuse),
		divisions: make(map[charge.DivisionCode][]charge.Excuse),
	}
	for _, e := range all {
		switch pile := (charge.PileID{Operator: e.Operator, Equipment: e.Pile}); {
		case e.Pile != "":
			view.piles[pile] = append(view.piles[pile], e)
		case e.Operator != "":
			view.operators[e.Operator] = append(view.operators[e.Operator], e)
		default:
			view.divisions[e.Division] = append(view.divisions[e.Division], e)
		}
	}
	return view, nil
}

// Excuses gives what has been granted to a pile in a township, itself or with its operator or any
// division around it, and overlaps the time from from to before until; where the machine had another name, also what was
// granted under that, as far as before it was given up. Yearly limits are not applied: charge.WithinYearlyLimit does that.
func (d *Directory) Excuses(pile charge.PileID, township charge.DivisionCode, from, until time.Time) []charge.Excuse {
	view := d.excuses.Load()
	var found []charge.Excuse
	take := func(of []charge.Excuse) {
		for _, e := range of {
			if e.From.Before(until) && e.Until.After(from) {
				found = append(found, e)
			}
		}
	}
	take(view.piles[pile])
	take(view.operators[pile.Operator])
	for code := township; code != ""; code = code.Parent() {
		take(view.divisions[code])
	}
	for link, ok := d.nameBefore(pile, until); ok && link.From.After(from); link, ok = d.nameBefore(link.Was, link.From) {
		own := len(found)
		take(view.piles[link.Was])
		take(view.operators[link.Was.Operator])
		for i := range found[own:] {
			if e := &found[own+i]; e.Until.After(link.From) {
				e.Until = link.From
			}
		}
		found = slices.DeleteFunc(found, func(e charge.Excuse) bool { return !e.From.Before(e.Until) })
	}
	return found
}

// nameBefore gives the last link by which a machine had come to that name before a time.
func (d *Directory) nameBefore(pile charge.PileID, before time.Time) (last PileLink, ok bool) {
	links := *d.links.Load()
	at, _ := slices.BinarySearchFunc(links, pile, func(l PileLink, id charge.PileID) int { return l.Pile.Compare(id) })
	for ; at < len(links) && links[at].Pile == pile && links[at].From.Before(before); at++ {
		last, ok = links[at], true
	}
	return last, ok
}
