package registry

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"time"

	"pilewatch/internal/charge"
)

var operatorColumns = columnsOf("operator", "operator", "name", "contact", "email", "webhook")

type operatorStage struct {
	rows    []charge.Operator
	changed []charge.Operator
}

func parseOperators(src io.Reader, bad *ImportError) (stage, error) {
	st := &operatorStage{}
	seen := make(map[charge.OperatorID]int)
	err := readCSV(src, operatorColumns, bad, func(rec *record) {
		o := charge.Operator{
			ID: charge.OperatorID(rec.id("operator")), Name: rec.text("name"), Contact: rec.text("contact"),
			Email: rec.text("email"), Webhook: rec.text("webhook"),
		}
		if !rec.wrong {
			firstLine(seen, rec, "operator", o.ID, "operator "+string(o.ID))
		}
		if !rec.wrong {
			st.rows = append(st.rows, o)
		}
	})
	return st, err
}

func (st *operatorStage) check(ctx context.Context, q querier, _ time.Time, _ *ImportError) (done Imported, err error) {
	st.changed = nil
	present, err := readOperators(ctx, q)
	if err != nil {
		return done, err
	}
	known := make(map[charge.OperatorID]charge.Operator, len(present))
	for _, o := range present {
		known[o.ID] = o
	}
	for _, o := range st.rows {
		switch before, ok := known[o.ID]; {
		case !ok:
			done.Added++
		case before != o:
			done.Updated++
		default:
			done.Unchanged++
			continue
		}
		st.changed = append(st.changed, o)
	}
	return done, nil
}

func (st *operatorStage) apply(ctx context.Context, tx *sql.Tx, rev int64) error {
	for _, o := range st.changed {
		_, err := tx.ExecContext(ctx, `INSERT INTO operators (operator, name, contact, email, webhook, rev) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (operator) DO UPDATE SET name = excluded.name, contact = excluded.contact, email = excluded.email,
				webhook = excluded.webhook, rev = excluded.rev`,
			string(o.ID), o.Name, o.Contact, o.Email, o.Webhook, rev)
		if err != nil {
			return fmt.Errorf("write operator %s: %w", o.ID, err)
		}
	}
	return nil
}

// readOperators reads all operators, sorted by id.
func readOperators(ctx context.Context, q querier) ([]charge.Operator, error) {
	var all []charge.Operator
	err := each(ctx, q, func(rows *sql.Rows) error {
		var o charge.Operator
		if err := rows.Scan(&o.ID, &o.Name, &o.Contact, &o.Email, &o.Webhook); err != nil {
			return err
		}
		all = append(all, o)
		return nil
	}, "SELECT operator, name, contact, email, webhook FROM operators ORDER BY operator")
	if err != nil {
		return nil, fmt.Errorf("read operators: %w", err)
	}
	return all, nil
}

func exportOperators(ctx context.Context, q querier, row func(...string) error) error {
	all, err := readOperators(ctx, q)
	if err != nil {
		return err
	}
	for _, o := range all {
		if err := row(string(o.ID), o.Name, o.Contact, o.Email, o.Webhook); err != nil {
			return err
		}
	}
	return nil
}
