package registry

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// A Silence is a connector that has fallen silent.
type Silence struct {
	Key       charge.ConnectorKey
	LastHeard time.Time
}

// Silences gives the connectors that are silent and were last heard after since, by operator.
func (r *Registry) Silences(ctx context.Context, since time.Time) (map[charge.OperatorID][]Silence, error) {
	all := make(map[charge.OperatorID][]Silence)
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var s Silence
		var heard int64
		if err := rows.Scan(&s.Key.Pile.Operator, &s.Key.Pile.Equipment, &s.Key.Connector, &heard); err != nil {
			return err
		}
		s.LastHeard = time.UnixMilli(heard).UTC()
		all[s.Key.Pile.Operator] = append(all[s.Key.Pile.Operator], s)
		return nil
	}, `SELECT operator, pile, connector, last_heard FROM connector_state WHERE shown = ? AND last_heard > ?
		ORDER BY operator, pile, connector`, shownSilent, since.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read who is silent: %w", err)
	}
	return all, nil
}

// Speaking counts an operator's connectors that were heard and are not silent.
func (r *Registry) Speaking(ctx context.Context, operator charge.OperatorID) (n int, err error) {
	err = r.read.QueryRowContext(ctx, "SELECT count(*) FROM connector_state WHERE operator = ? AND last_heard IS NOT NULL AND shown <> ?",
		string(operator), shownSilent).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count who is heard of %s: %w", operator, err)
	}
	return n, nil
}

// byHealth stands for the platform itself, as the one who entered and granted.
const byHealth = "health"

// OpenExcuses gives the excuses that health has found and that have not ended by now.
func (r *Registry) OpenExcuses(ctx context.Context, now time.Time) ([]charge.Excuse, error) {
	return readExcuses(ctx, r.read, "WHERE e.by_whom = ? AND e.ends > ?", byHealth, now.UnixMilli())
}

// FoundExcuse keeps, as granted, an excuse that health has found. One of the same kind, operator and
// begin is the same again.
func (r *Registry) FoundExcuse(ctx context.Context, e charge.Excuse) error {
	e.Entered, e.State, e.By, e.Judge = r.now().Truncate(time.Millisecond), charge.Granted, byHealth, byHealth
	e.Decided = e.Entered
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		same, err := readExcuses(ctx, tx, "WHERE e.by_whom = ? AND e.kind = ? AND e.operator = ? AND e.division = ? AND e.begins = ?",
			byHealth, string(e.Kind), string(e.Operator), string(e.Division), e.From.UnixMilli())
		if err != nil || len(same) > 0 {
			return err
		}
		if _, err := nextRev(ctx, tx, "excuses"); err != nil {
			return err
		}
		return addExcuse(ctx, tx, &e)
	})
	if err != nil {
		return fmt.Errorf("keep excuse %s of %s: %w", e.Kind, e.Operator, err)
	}
	return nil
}

// EndExcuse ends an excuse that health has found.
func (r *Registry) EndExcuse(ctx context.Context, id int64, until time.Time) error {
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		if _, err := nextRev(ctx, tx, "excuses"); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE excuses SET ends = ? WHERE id = ? AND by_whom = ? AND ends > ?", until.UnixMilli(), id, byHealth, until.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("end excuse %d: %w", id, err)
	}
	return nil
}
