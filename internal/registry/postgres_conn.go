package registry

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"slices"

	"github.com/jackc/pgx/v5/stdlib"
)

// A pgConnector makes connections that are spoken to in SQLite's words (dialect.go).
type pgConnector struct {
	driver.Connector

	readOnly bool // each transaction sees one state of the registry, and changes nothing
}

// Connect implements driver.Connector.
func (c pgConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := conn.(*stdlib.Conn)
	if !ok {
		return nil, errors.Join(errors.New("pgx gives another kind of connection"), conn.Close())
	}
	return &pgConn{Conn: inner, readOnly: c.readOnly}, nil
}

// A pgConn is one connection. database/sql lets one goroutine use it at a time.
type pgConn struct {
	*stdlib.Conn

	readOnly bool
	open     *pgRows // being read: a PostgreSQL connection can do one thing at a time, SQLite's can do several
}

// words translates a statement and its arguments, once what is being read has been read.
func (c *pgConn) words(query string, args []driver.NamedValue) (string, []driver.NamedValue, error) {
	if c.open != nil {
		if err := c.open.keep(); err != nil {
			return "", nil, err
		}
	}
	text, ours := translate(query, args)
	if ours {
		args = slices.Clone(args)
		for i := range args {
			v, ok := args[i].Value.(bool)
			if !ok {
				continue
			}
			args[i].Value = int64(0) // a number in our tables
			if v {
				args[i].Value = int64(1)
			}
		}
	}
	return text, args, nil
}

// ExecContext implements driver.ExecerContext.
func (c *pgConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	text, args, err := c.words(query, args)
	if err != nil {
		return nil, err
	}
	return c.Conn.ExecContext(ctx, text, args)
}

// QueryContext implements driver.QueryerContext.
func (c *pgConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	text, args, err := c.words(query, args)
	if err != nil {
		return nil, err
	}
	rows, err := c.Conn.QueryContext(ctx, text, args)
	if err != nil {
		return nil, err
	}
	c.open = &pgRows{conn: c, rows: rows}
	return c.open, nil
}

// PrepareContext implements driver.ConnPrepareContext. pgx keeps what PostgreSQL has prepared, by text.
func (c *pgConn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return &pgStmt{c, query}, nil
}

// BeginTx implements driver.ConnBeginTx.
func (c *pgConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.readOnly {
		opts = driver.TxOptions{Isolation: driver.IsolationLevel(sql.LevelRepeatableRead), ReadOnly: true}
	}
	return c.Conn.BeginTx(ctx, opts)
}

// A pgStmt is translated when its arguments are known.
type pgStmt struct {
	conn  *pgConn
	query string
}

// Close implements driver.Stmt.
func (s *pgStmt) Close() error { return nil }

// NumInput implements driver.Stmt: PostgreSQL counts.
func (s *pgStmt) NumInput() int { return -1 }

// Exec implements driver.Stmt; database/sql calls ExecContext.
func (s *pgStmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }

// Query implements driver.Stmt; database/sql calls QueryContext.
func (s *pgStmt) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

// ExecContext implements driver.StmtExecContext.
func (s *pgStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

// QueryContext implements driver.StmtQueryContext.
func (s *pgStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}

// A pgRows gives rows as they come, or those that were kept when the connection was needed.
type pgRows struct {
	conn *pgConn
	rows driver.Rows // nil when all are kept
	kept [][]driver.Value
	cols []string
}

// keep reads what is left, so that the connection is free.
func (r *pgRows) keep() error {
	r.cols = r.rows.Columns()
	for {
		row := make([]driver.Value, len(r.cols))
		err := r.rows.Next(row)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for i, v := range row {
			if b, ok := v.([]byte); ok {
				row[i] = slices.Clone(b)
			}
		}
		r.kept = append(r.kept, row)
	}
	err := r.rows.Close()
	r.rows, r.conn.open = nil, nil
	return err
}

// Columns implements driver.Rows.
func (r *pgRows) Columns() []string {
	if r.rows == nil {
		return r.cols
	}
	return r.rows.Columns()
}

// Next implements driver.Rows.
func (r *pgRows) Next(dest []driver.Value) error {
	if r.rows != nil {
		return r.rows.Next(dest)
	}
	if len(r.kept) == 0 {
		return io.EOF
	}
	copy(dest, r.kept[0])
	r.kept = r.kept[1:]
	return nil
}

// Close implements driver.Rows.
func (r *pgRows) Close() error {
	if r.rows == nil {
		return nil
	}
	r.cols = r.rows.Columns()
	err := r.rows.Close()
	r.rows = nil
	if r.conn.open == r {
		r.conn.open = nil
	}
	return err
}
