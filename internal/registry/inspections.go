package registry

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/inspection"
)

// Errors of inspections.
var (
	ErrUnknownInspection = errors.New("unknown inspection")
	ErrInspection        = errors.New("inspection is refused") // why is in the text
)

// An InspectionDraw is a random inspection.
type InspectionDraw struct {
	ID         string
	At         time.Time
	By         string
	Division   charge.DivisionCode
	Seed       string
	Count      int
	Piles      []string // drawn from, "{operator}:{pile}"; only where one draw is asked for
	Inspectors []string
	Picks      []Inspection
	Found      int // of the picks that were inspected
}

// An Inspection is one pile of a draw.
type Inspection struct {
	Draw       string
	Pile       charge.PileID
	Township   charge.DivisionCode
	Inspectors []string
	Finding    *cases.Inspection // nil: not yet
	Text       string
	Recorded   time.Time
	By         string
	Case       string // to whose record it went
}

// DrawInspections draws piles that may have a case, in service, of d's division, and inspectors for them. Without a
// seed one is made. ErrInspection.
func (r *Registry) DrawInspections(ctx context.Context, d InspectionDraw) (InspectionDraw, error) {
	if d.Seed == "" {
		var seed [16]byte
		_, _ = rand.Read(seed[:]) // it never fails
		d.Seed = hex.EncodeToString(seed[:])
	}
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		now := r.now()
		d.At = now
		from, before := divisionRange(d.Division)
		places := make(map[string]Inspection)
		d.Piles = nil
		err := each(ctx, tx, func(rows *sql.Rows) error {
			var one Inspection
			if err := rows.Scan(&one.Pile.Operator, &one.Pile.Equipment, &one.Township); err != nil {
				return err
			}
			d.Piles = append(d.Piles, one.Pile.String())
			places[one.Pile.String()] = one
			return nil
		}, `SELECT p.operator, p.pile, p.township FROM piles p JOIN stations s ON s.id = p.station_id WHERE s.kind IN (?, ?) AND p.township >= ? AND p.township < ?
			AND p.decommissioned = '' AND p.opened <= ?5 AND (p.closed IS NULL OR p.closed > ?5) AND (s.closed IS NULL OR s.closed > ?5) ORDER BY p.operator, p.pile`,
			string(charge.Public), string(charge.Dedicated), from, before, now.UnixMilli())
		if err != nil {
			return err
		}
		picks, err := inspection.Draw(d.Seed, d.Piles, d.Inspectors, d.Count)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInspection, err)
		}
		year := now.In(charge.Zone).Year()
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM inspection_draw WHERE id LIKE ?", fmt.Sprintf("RI-%d-%%", year)).Scan(&n); err != nil {
			return err
		}
		d.ID = fmt.Sprintf("RI-%d-%04d", year, n+1)
		if _, err := tx.ExecContext(ctx, "INSERT INTO inspection_draw (id, at, by_whom, division, seed, count, piles, inspectors) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			d.ID, now.UnixMilli(), d.By, string(d.Division), d.Seed, d.Count, strings.Join(d.Piles, "\n"), strings.Join(d.Inspectors, "\n")); err != nil {
			return err
		}
		d.Picks = nil
		for i, p := range picks {
			one := places[p.Pile]
			one.Draw, one.Inspectors = d.ID, p.Inspectors
			d.Picks = append(d.Picks, one)
			if _, err := tx.ExecContext(ctx, "INSERT INTO inspection (draw, operator, pile, nth, township, inspectors) VALUES (?, ?, ?, ?, ?, ?)",
				d.ID, string(one.Pile.Operator), one.Pile.Equipment, i, string(one.Township), strings.Join(p.Inspectors, "\n")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return InspectionDraw{}, fmt.Errorf("draw inspections in %s: %w", d.Division, err)
	}
	return d, nil
}

// InspectionDraws gives the draws of divisions that lie in one, the newest first, without lists and picks.
func (r *Registry) InspectionDraws(ctx context.Context, division charge.DivisionCode) ([]InspectionDraw, error) {
	return readDraws(ctx, r.read, "WHERE d.division = ?1 OR d.division LIKE ?1 || '%'", string(division))
}

func readDraws(ctx context.Context, q querier, where string, args ...any) ([]InspectionDraw, error) {
	var all []InspectionDraw
	err := each(ctx, q, func(rows *sql.Rows) error {
		var d InspectionDraw
		var at sql.NullInt64
		var people string
		err := rows.Scan(&d.ID, &at, &d.By, &d.Division, &d.Seed, &d.Count, &people, &d.Found)
		d.At, d.Inspectors = fromMillis(at, charge.Zone), strings.Split(people, "\n")
		all = append(all, d)
		return err
	}, `SELECT d.id, d.at, d.by_whom, d.division, d.seed, d.count, d.inspectors, (SELECT count(*) FROM inspection i WHERE i.draw = d.id AND i.recorded IS NOT NULL)
		FROM inspection_draw d `+where+" ORDER BY d.at DESC, d.id DESC", args...)
	if err != nil {
		return nil, fmt.Errorf("read draws of inspections: %w", err)
	}
	return all, nil
}

// InspectionDrawByID gives a draw with its lists and picks, or ErrUnknownInspection.
func (r *Registry) InspectionDrawByID(ctx context.Context, id string) (d InspectionDraw, err error) {
	err = r.inRead(ctx, func(tx *sql.Tx) error {
		found, err := readDraws(ctx, tx, "WHERE d.id = ?", id)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("draw %s: %w", quote(id), ErrUnknownInspection)
		}
		d = found[0]
		var piles string
		if err := tx.QueryRowContext(ctx, "SELECT piles FROM inspection_draw WHERE id = ?", id).Scan(&piles); err != nil {
			return err
		}
		d.Piles = strings.Split(piles, "\n")
		d.Picks, err = readInspections(ctx, tx, "WHERE draw = ? ORDER BY nth", id)
		return err
	})
	return d, err
}

// InspectionsOf gives what random inspections found at a pile from from to before until.
func (r *Registry) InspectionsOf(ctx context.Context, pile charge.PileID, from, until time.Time) ([]Inspection, error) {
	return readInspections(ctx, r.read, "WHERE operator = ? AND pile = ? AND recorded IS NOT NULL AND recorded >= ? AND recorded < ? ORDER BY recorded",
		string(pile.Operator), pile.Equipment, from.UnixMilli(), until.UnixMilli())
}

func readInspections(ctx context.Context, q querier, where string, args ...any) ([]Inspection, error) {
	var all []Inspection
	err := each(ctx, q, func(rows *sql.Rows) error {
		var one Inspection
		var people string
		var finding, text, by, of sql.NullString
		var recorded sql.NullInt64
		if err := rows.Scan(&one.Draw, &one.Pile.Operator, &one.Pile.Equipment, &one.Township, &people, &finding, &text, &recorded, &by, &of); err != nil {
			return err
		}
		one.Inspectors, one.Text, one.By, one.Case, one.Recorded = strings.Split(people, "\n"), text.String, by.String, of.String, fromMillis(recorded, charge.Zone)
		if finding.Valid {
			one.Finding = &cases.Inspection{}
			if err := json.Unmarshal([]byte(finding.String), one.Finding); err != nil {
				return err
			}
		}
		all = append(all, one)
		return nil
	}, "SELECT draw, operator, pile, township, inspectors, finding, text, recorded, by_whom, case_id FROM inspection "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read inspections: %w", err)
	}
	return all, nil
}

// RecordInspection keeps what was found at a pile of a draw, once and for good. Where the pile has a case in which it may be
// inspected, the finding goes to the case's record in the same transaction, as evidence. The officers are those that were
// drawn. ErrUnknownInspection, ErrInspection.
func (r *Registry) RecordInspection(ctx context.Context, draw string, pile charge.PileID, finding cases.Inspection, text string, by CaseStep) (one Inspection, err error) {
	err = r.inWrite(ctx, func(tx *sql.Tx) error {
		found, err := readInspections(ctx, tx, "WHERE draw = ? AND operator = ? AND pile = ?", draw, string(pile.Operator), pile.Equipment)
		if err != nil {
			return err
		}
		now := r.now()
		switch {
		case len(found) == 0:
			return fmt.Errorf("pile %s of draw %s: %w", pile, quote(draw), ErrUnknownInspection)
		case !found[0].Recorded.IsZero():
			return fmt.Errorf("%w: it was recorded by %s on %s", ErrInspection, found[0].By, found[0].Recorded.Format(time.DateOnly))
		case finding.At.IsZero() || finding.At.After(now):
			return fmt.Errorf("%w: give the time of the inspection, not later than now", ErrInspection)
		case strings.TrimSpace(text) == "":
			return fmt.Errorf("%w: say what was found", ErrInspection)
		}
		one = found[0]
		finding.Officers, finding.Draw = one.Inspectors, draw
		running, err := readCases(ctx, tx, `WHERE operator = ? AND pile = ? AND state IN ('check', 'suspected', 'notified', 'overdue', 'confirmed', 'reviewed', 'decommissioned')`,
			string(pile.Operator), pile.Equipment)
		if err != nil {
			return err
		}
		for _, c := range running {
			by.Action, by.Text, by.Detail, by.Seen = cases.Inspect, text, cases.Detail{Inspection: &finding}, c.Step
			_, err := r.actOnCase(ctx, tx, c.ID, by)
			if refused := (*cases.RefusedError)(nil); errors.As(err, &refused) && refused.Need == cases.NeedVisitDay {
				continue // it was made before the suspicion: no evidence for this case, and kept all the same
			}
			if err != nil {
				return err
			}
			one.Case = c.ID
		}
		one.Finding, one.Text, one.Recorded, one.By = &finding, text, now, by.Person
		told, err := json.Marshal(&finding)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE inspection SET finding = ?, text = ?, recorded = ?, by_whom = ?, case_id = ? WHERE draw = ? AND operator = ? AND pile = ?",
			string(told), text, now.UnixMilli(), by.Person, one.Case, draw, string(pile.Operator), pile.Equipment)
		return err
	})
	if err != nil {
		return Inspection{}, fmt.Errorf("record the inspection of %s: %w", pile, err)
	}
	return one, nil
}
