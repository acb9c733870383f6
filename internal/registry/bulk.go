package registry

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// bulkRows is how many rows go in one statement: the call costs several times the row.
const bulkRows = 50

// A bulk writes rows of one table. Rows are written when there are enough, and by flush.
type bulk struct {
	tx         *sql.Tx
	head, tail string // before and behind the rows
	full       *sql.Stmt
	args       []any
	columns    int
}

func newBulk(tx *sql.Tx, head, tail string, columns int) *bulk {
	return &bulk{tx: tx, head: head, tail: tail, columns: columns, args: make([]any, 0, columns*bulkRows)}
}

func (b *bulk) query(rows int) string {
	row := "(" + strings.Repeat("?, ", b.columns-1) + "?)"
	return b.head + " VALUES " + strings.Repeat(row+", ", rows-1) + row + " " + b.tail
}

func (b *bulk) add(ctx context.Context, args ...any) error {
	b.args = append(b.args, args...)
	if len(b.args) < b.columns*bulkRows {
		return nil
	}
	if b.full == nil {
		var err error
		if b.full, err = b.tx.PrepareContext(ctx, b.query(bulkRows)); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	_, err := b.full.ExecContext(ctx, b.args...)
	b.args = b.args[:0]
	return err
}

func (b *bulk) flush(ctx context.Context) error {
	if len(b.args) == 0 {
		return nil
	}
	_, err := b.tx.ExecContext(ctx, b.query(len(b.args)/b.columns), b.args...)
	b.args = b.args[:0]
	return err
}
