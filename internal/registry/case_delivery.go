package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// A Delivery is something to be sent out.
type Delivery struct {
	ID        int64
	Kind      string // head: the end of the record; reminder: of a case
	About     string
	Way       string // email, webhook
	Address   string
	Body      string // JSON
	Created   time.Time
	Attempts  int
	Delivered time.Time // zero: not yet
	Error     string    // of the last attempt
}

// deliveryTries is after how many attempts a delivery is given up: they are an hour apart at most, so some days.
const deliveryTries = 100

// remind puts a reminder to the operator on the list, in the case's transaction. It serves nothing.
func remind(ctx context.Context, tx *sql.Tx, c *Case, now time.Time) error {
	body, err := json.Marshal(map[string]any{
		"kind": "reminder", "case": c.ID, "pile": c.Pile.String(), "state": c.State, "record": c.Step,
		"note": "以上为平台接收到的信息，不等同于现场检验结论；本提醒不构成送达。",
	})
	if err != nil {
		return err
	}
	return deliverToOperators(ctx, tx, "reminder", fmt.Sprintf("%s/%d", c.ID, c.Step), string(body), now, c.Pile.Operator)
}

func deliverToOperators(ctx context.Context, tx *sql.Tx, kind, about, body string, now time.Time, operator charge.OperatorID) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO case_delivery (kind, about, way, address, body, created, attempts, next, error)
		SELECT ?1, ?2, way, address, ?3, ?4, 0, ?4, '' FROM (
			SELECT operator, 'email' AS way, email AS address FROM operators UNION ALL SELECT operator, 'webhook', webhook FROM operators) AS o
		WHERE address <> '' AND (operator = ?5 OR ?5 = '') ON CONFLICT DO NOTHING`, kind, about, body, now.UnixMilli(), string(operator))
	if err != nil {
		return fmt.Errorf("put %s %s on the list of deliveries: %w", kind, about, err)
	}
	return nil
}

// SendCaseHead puts the end of the record on the list for today, to each operator and to the addresses given
// (an e-mail address or a URL). Again on the same day it changes nothing.
func (r *Registry) SendCaseHead(ctx context.Context, more map[string]string) error {
	return r.inWrite(ctx, func(tx *sql.Tx) error {
		last, err := lastEntry(ctx, tx)
		if err != nil || last == nil {
			return err
		}
		now := r.now()
		body, err := json.Marshal(map[string]any{"kind": "head", "day": dateText(startOfDay(now)), "entry": last.Seq, "hash": last.Hash})
		if err != nil {
			return err
		}
		var done bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM case_delivery WHERE kind = 'head' AND about = ?)", dateText(startOfDay(now))).Scan(&done); err != nil || done {
			return err
		}
		if err := deliverToOperators(ctx, tx, "head", dateText(startOfDay(now)), string(body), now, ""); err != nil {
			return err
		}
		for address, way := range more {
			if _, err := tx.ExecContext(ctx, `INSERT INTO case_delivery (kind, about, way, address, body, created, attempts, next, error)
				VALUES ('head', ?, ?, ?, ?, ?, 0, ?, '') ON CONFLICT DO NOTHING`, dateText(startOfDay(now)), way, address, string(body), now.UnixMilli(), now.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Deliveries gives those that are to be tried now, or all of them.
func (r *Registry) Deliveries(ctx context.Context, due bool) ([]Delivery, error) {
	where, args := "", []any{}
	if due {
		where, args = "WHERE next <= ?", []any{r.now().UnixMilli()}
	}
	var all []Delivery
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var d Delivery
		var created, delivered sql.NullInt64
		if err := rows.Scan(&d.ID, &d.Kind, &d.About, &d.Way, &d.Address, &d.Body, &created, &d.Attempts, &delivered, &d.Error); err != nil {
			return err
		}
		d.Created, d.Delivered = fromMillis(created, charge.Zone), fromMillis(delivered, charge.Zone)
		all = append(all, d)
		return nil
	}, "SELECT id, kind, about, way, address, body, created, attempts, delivered, error FROM case_delivery "+where+" ORDER BY id", args...)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	return all, nil
}

// NoteDelivery keeps what came of an attempt: what failed is tried again, later each time, at most an hour apart.
func (r *Registry) NoteDelivery(ctx context.Context, d *Delivery, failed error) error {
	now := r.now()
	text, delivered, next := "", millis(now), sql.NullInt64{}
	if failed != nil {
		text, delivered = failed.Error(), sql.NullInt64{}
		if d.Attempts+1 < deliveryTries {
			next = millis(now.Add(min(time.Hour, time.Minute<<min(d.Attempts, 6))))
		}
	}
	_, err := r.write.ExecContext(ctx, "UPDATE case_delivery SET attempts = attempts + 1, delivered = ?, next = ?, error = ? WHERE id = ? AND delivered IS NULL",
		delivered, next, text, d.ID)
	if err != nil {
		return fmt.Errorf("note delivery %d: %w", d.ID, err)
	}
	return nil
}
