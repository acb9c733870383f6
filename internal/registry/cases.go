package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
)

// Errors of cases.
var (
	ErrUnknownCase = errors.New("unknown case")
	// ErrCaseMoved says that the case is not as whoever acts has seen it: somebody was first, or this is a repeat.
	ErrCaseMoved = errors.New("the case has moved on since it was read")
)

// A Case is one pile's, as its record has left it.
type Case struct {
	ID       string
	Pile     charge.PileID
	Serial   string
	Township charge.DivisionCode
	State    cases.State
	Since    time.Time // in State

	Opened     time.Time
	Suspected  time.Time // only days from here on prove a repair
	Grounds    []CaseGround
	Policy     string // version in force when it opened
	PeriodDays int

	Served         time.Time // takes or took effect; zero before
	Deadline       time.Time // of the period after service; of a check, when the test charge is due
	Extended       bool
	Escalated      bool // in State
	Relapses       int
	ConfirmedBy    string
	DismissedUntil time.Time
	Decommissioned time.Time
	Proved         time.Time // after decommissioning: the day that completed the proof of repair
	Step           int64     // number on the record of its last step that was not a reading
}

// A CaseGround is a rule by which a case was opened.
type CaseGround struct {
	Rule   string `json:"rule"`
	Policy string `json:"policy"`
}

// Due is what deadlines depend on.
func (c *Case) Due() *cases.Case {
	return &cases.Case{State: c.State, Since: c.Since, CheckBy: c.Deadline, Served: !c.Served.IsZero(), Deadline: c.Deadline, Escalated: c.Escalated}
}

const caseFields = `id, operator, pile, serial, township, state, since, opened, suspected, grounds, policy, period_days, served, deadline,
	extended, escalated, relapses, confirmed_by, dismissed_until, decommissioned, proved, step`

func readCases(ctx context.Context, q querier, where string, args ...any) ([]Case, error) {
	var all []Case
	err := each(ctx, q, func(rows *sql.Rows) error {
		var c Case
		var grounds []byte
		var since, opened, suspected, served, deadline, dismissed, gone, proved sql.NullInt64
		if err := rows.Scan(&c.ID, &c.Pile.Operator, &c.Pile.Equipment, &c.Serial, &c.Township, &c.State, &since, &opened, &suspected, &grounds,
			&c.Policy, &c.PeriodDays, &served, &deadline, &c.Extended, &c.Escalated, &c.Relapses, &c.ConfirmedBy, &dismissed, &gone, &proved, &c.Step); err != nil {
			return err
		}
		if err := json.Unmarshal(grounds, &c.Grounds); err != nil {
			return fmt.Errorf("grounds of %s: %w", c.ID, err)
		}
		for at, ms := range map[*time.Time]sql.NullInt64{
			&c.Since: since, &c.Opened: opened, &c.Suspected: suspected, &c.Served: served, &c.Deadline: deadline,
			&c.DismissedUntil: dismissed, &c.Decommissioned: gone, &c.Proved: proved,
		} {
			*at = fromMillis(ms, charge.Zone)
		}
		all = append(all, c)
		return nil
	}, "SELECT "+caseFields+" FROM cases "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read cases: %w", err)
	}
	return all, nil
}

func isBetweenFields(r rune) bool { return r == ',' || unicode.IsSpace(r) }

func putCase(ctx context.Context, tx *sql.Tx, c *Case) error {
	grounds, err := json.Marshal(c.Grounds)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, upsert("cases", 1, strings.FieldsFunc(caseFields, isBetweenFields)...),
		c.ID, string(c.Pile.Operator), c.Pile.Equipment, c.Serial, string(c.Township), string(c.State), millis(c.Since), millis(c.Opened), millis(c.Suspected),
		string(grounds), c.Policy, c.PeriodDays, millis(c.Served), millis(c.Deadline), c.Extended, c.Escalated, c.Relapses, c.ConfirmedBy,
		millis(c.DismissedUntil), millis(c.Decommissioned), millis(c.Proved), c.Step)
	if err != nil {
		return fmt.Errorf("write case %s: %w", c.ID, err)
	}
	return nil
}

// A CaseQuery asks for cases. Zero fields do not filter.
type CaseQuery struct {
	States   []cases.State
	Division charge.DivisionCode
	Operator charge.OperatorID
	Pile     charge.PileID
}

// Cases gives the cases that match: those with a deadline first, by it, then by when they came into their state.
func (r *Registry) Cases(ctx context.Context, q CaseQuery) ([]Case, error) {
	where, args := []string{"1 = 1"}, []any{}
	add := func(condition string, more ...any) { where, args = append(where, condition), append(args, more...) }
	if len(q.States) > 0 {
		var of []any
		for _, s := range q.States {
			of = append(of, string(s))
		}
		add("state IN (?"+strings.Repeat(", ?", len(of)-1)+")", of...)
	}
	if q.Division != "" {
		from, before := divisionRange(q.Division)
		add("township >= ? AND township < ?", from, before)
	}
	if q.Operator != "" {
		add("operator = ?", string(q.Operator))
	}
	if q.Pile.Operator != "" {
		add("operator = ? AND pile = ?", string(q.Pile.Operator), q.Pile.Equipment)
	}
	return readCases(ctx, r.read, "WHERE "+strings.Join(where, " AND ")+" ORDER BY deadline IS NULL, deadline, since, id", args...)
}

// CaseByID gives one case, or ErrUnknownCase.
func (r *Registry) CaseByID(ctx context.Context, id string) (Case, error) {
	return caseByID(ctx, r.read, id)
}

func caseByID(ctx context.Context, q querier, id string) (Case, error) {
	found, err := readCases(ctx, q, "WHERE id = ?", id)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("case %s: %w", quote(id), ErrUnknownCase)
	}
	if err != nil {
		return Case{}, err
	}
	return found[0], nil
}

// CaseRecord gives a case's part of the record, or all of it for "".
func (r *Registry) CaseRecord(ctx context.Context, id string) ([]cases.Entry, error) {
	return readRecord(ctx, r.read, id)
}

func readRecord(ctx context.Context, q querier, id string) ([]cases.Entry, error) {
	var all []cases.Entry
	err := each(ctx, q, func(rows *sql.Rows) error {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			return err
		}
		e, err := cases.ReadEntry(text)
		all = append(all, e)
		return err
	}, "SELECT entry FROM case_record WHERE case_id = ?1 OR ?1 = '' ORDER BY seq", id)
	if err != nil {
		return nil, fmt.Errorf("read record of case %s: %w", quote(id), err)
	}
	return all, nil
}

// CaseDossier gives the newest dossier's file of a case.
func (r *Registry) CaseDossier(ctx context.Context, id string) (file []byte, err error) {
	err = r.read.QueryRowContext(ctx, "SELECT file FROM case_dossier WHERE case_id = ? ORDER BY frozen DESC LIMIT 1", id).Scan(&file)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrUnknownCase
	}
	if err != nil {
		return nil, fmt.Errorf("read dossier of case %s: %w", quote(id), err)
	}
	return file, nil
}

// An AuditError names what of the cases is not as it was written.
type AuditError struct{ What []string }

// Error lists all of it.
func (e *AuditError) Error() string { return "audit of cases: " + strings.Join(e.What, "; ") }

// AuditCases recomputes the record and every dossier, and compares each case with its record. head is the
// hash of an entry that was kept elsewhere, "" for none. The error is an *AuditError where something was changed.
func (r *Registry) AuditCases(ctx context.Context, head string) (entries, dossiers int, err error) {
	bad := &AuditError{}
	err = r.inRead(ctx, func(tx *sql.Tx) error {
		record, err := readRecord(ctx, tx, "")
		if err != nil {
			return err
		}
		entries = len(record)
		if err := cases.Verify(record, head); err != nil {
			bad.What = append(bad.What, err.Error())
		}
		hashes, last := make(map[string]bool), make(map[string]cases.Entry)
		for _, e := range record {
			if e.Action != cases.Read {
				last[e.Case] = e
			}
			for _, ev := range e.Evidence {
				hashes[e.Case+" "+ev.SHA256] = true
			}
		}
		all, err := readCases(ctx, tx, "")
		if err != nil {
			return err
		}
		for _, c := range all {
			if e := last[c.ID]; e.Seq != c.Step || e.To != c.State {
				bad.What = append(bad.What, fmt.Sprintf("case %s is %s in the table and %q by entry %d of the record", c.ID, c.State, e.To, e.Seq))
			}
			delete(last, c.ID)
		}
		for id := range last {
			bad.What = append(bad.What, fmt.Sprintf("case %s is on the record and not in the table", id))
		}
		return each(ctx, tx, func(rows *sql.Rows) error {
			var id, hash string
			var file []byte
			if err := rows.Scan(&id, &hash, &file); err != nil {
				return err
			}
			dossiers++
			_, told, err := cases.Thaw(file)
			switch {
			case err != nil:
				bad.What = append(bad.What, fmt.Sprintf("dossier of case %s: %v", id, err))
			case told != hash || !hashes[id+" "+hash]:
				bad.What = append(bad.What, fmt.Sprintf("dossier of case %s has the hash %s, which is not on its record", id, told))
			}
			return nil
		}, "SELECT case_id, sha256, file FROM case_dossier ORDER BY case_id, frozen")
	})
	if err == nil && len(bad.What) > 0 {
		slices.Sort(bad.What)
		err = bad
	}
	return entries, dossiers, err
}

// CaseVersion is the number of the record's last entry, 0 while there is none.
func (r *Registry) CaseVersion(ctx context.Context) (seq int64, err error) {
	if err := r.read.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM case_record").Scan(&seq); err != nil {
		return 0, fmt.Errorf("find the record's last entry: %w", err)
	}
	return seq, nil
}

// CaseHead is the last entry of the record; ok is false while there is none.
func (r *Registry) CaseHead(ctx context.Context) (e cases.Entry, ok bool, err error) {
	last, err := lastEntry(ctx, r.read)
	if err != nil || last == nil {
		return cases.Entry{}, false, err
	}
	return *last, true, nil
}

func lastEntry(ctx context.Context, q querier) (*cases.Entry, error) {
	var text []byte
	err := q.QueryRowContext(ctx, "SELECT entry FROM case_record ORDER BY seq DESC LIMIT 1").Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record's last entry: %w", err)
	}
	e, err := cases.ReadEntry(text)
	return &e, err
}

// appendRecord appends an entry and gives its number.
func appendRecord(ctx context.Context, tx *sql.Tx, e cases.Entry) (int64, error) {
	last, err := lastEntry(ctx, tx)
	if err != nil {
		return 0, err
	}
	if e, err = cases.Chained(last, e); err != nil {
		return 0, err
	}
	text, err := e.JSON()
	if err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO case_record (seq, case_id, entry) VALUES (?, ?, ?)", e.Seq, e.Case, string(text)); err != nil {
		return 0, fmt.Errorf("write entry %d of the record: %w", e.Seq, err)
	}
	return e.Seq, nil
}

// readAgainAfter is for how long further looks of one person at one case are one entry of the record.
const readAgainAfter = time.Hour

// NoteCaseRead puts on the record that somebody looked at a case; again within an hour it is the same look.
func (r *Registry) NoteCaseRead(ctx context.Context, id, person string, role cases.Role) error {
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		c, err := caseByID(ctx, tx, id)
		if err != nil {
			return err
		}
		now := r.now()
		var seen bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM case_record WHERE case_id = ? AND entry ->> 'action' = ? AND entry ->> 'person' = ?
			AND entry ->> 'at' > ?)`, id, string(cases.Read), person, now.Add(-readAgainAfter).UTC().Format(time.RFC3339)).Scan(&seen); err != nil || seen {
			return err
		}
		_, err = appendRecord(ctx, tx, cases.Entry{Case: id, At: now, Person: person, Role: role, Action: cases.Read, From: c.State, To: c.State})
		return err
	})
	if err != nil {
		return fmt.Errorf("note that case %s was read: %w", quote(id), err)
	}
	return nil
}
