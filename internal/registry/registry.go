// Package registry is what the platform knows beforehand, and what it makes of the log: divisions,
// operators, stations, piles, credentials, and the states that health keeps. It is one SQLite file
// that several processes share, or a PostgreSQL that several machines do; Directory is the same in memory, for look-ups at every message.
// It never reads or writes readings: those are in the log and in the series.
package registry

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sync/semaphore"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Errors that callers tell apart.
var (
	ErrUnknownOperator   = errors.New("unknown operator")
	ErrUnknownPile       = errors.New("unknown pile")
	ErrUnknownCredential = errors.New("unknown credential")
	ErrUnknownTable      = errors.New("unknown table")
	ErrBadQuery          = errors.New("bad query")
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// busyTimeout is how long a write waits for another process's: the first import of a whole
	// province is the longest.
	busyTimeout = time.Minute
	readers     = 4

	// The writer's: begin every transaction with the lock; keep what a statement may have to undo in
	// memory, not in a file; write pages that change again and again (health's) back every 32 MB,
	// not every 4; and cut the -wal back to 64 MB after an import that needed more.
	writerPragmas = "_txlock=immediate&_pragma=cache_size(-64000)&_pragma=temp_store(MEMORY)" +
		"&_pragma=wal_autocheckpoint(8000)&_pragma=journal_size_limit(67108864)"
)

// A Registry is an open registry. It is safe for concurrent use, and several processes may
// have the same one open. Of a file, writes go through one connection, one after the other; reads have a
// few of their own, and in WAL mode neither waits for the other.
type Registry struct {
	write *sql.DB // of a file one connection, every transaction BEGIN IMMEDIATE
	read  *sql.DB
	lock  func(ctx context.Context, tx *sql.Tx, shared bool) error // before a transaction writes; nil where its begin does that
	log   *slog.Logger
	now   func() time.Time

	hashes *semaphore.Weighted // bounds what strangers' tries of passwords cost

	countsMu sync.Mutex
	counts   pileCounts // Targets' slow part, kept until the registry or the day changes
}

// Open opens the file and makes it, with its directory, where there is none; brings its schema up
// to date; and loads the divisions that the program carries where it has none. The file must be on
// a local disk.
func Open(ctx context.Context, path string, log *slog.Logger) (*Registry, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open registry %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o700); err != nil {
		return nil, fmt.Errorf("make directory of registry: %w", err)
	}
	// Contacts and hashes of credentials are nobody else's; SQLite gives its -wal the same rights.
	file, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}

	r := newRegistry(log)
	if r.write, err = openSQLite(abs, writerPragmas); err != nil {
		return nil, err
	}
	if r.read, err = openSQLite(abs, "_pragma=query_only(1)&_pragma=cache_size(-16000)"); err != nil {
		return nil, errors.Join(err, r.write.Close())
	}
	r.write.SetMaxOpenConns(1)
	r.read.SetMaxOpenConns(readers)
	r.read.SetMaxIdleConns(readers)
	if err := r.prepare(ctx, goose.DialectSQLite3); err != nil {
		return nil, errors.Join(fmt.Errorf("open registry %s: %w", path, err), r.Close())
	}
	return r, nil
}

func newRegistry(log *slog.Logger) *Registry {
	return &Registry{log: log, now: time.Now, hashes: semaphore.NewWeighted(hashAtOnce)}
}

func openSQLite(abs, extra string) (*sql.DB, error) {
	file := url.URL{Scheme: "file", OmitHost: true, Path: abs, RawQuery: fmt.Sprintf(
		"_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&%s",
		busyTimeout.Milliseconds(), extra)}
	db, err := sql.Open("sqlite", file.String())
	if err != nil {
		return nil, fmt.Errorf("open registry %s: %w", abs, err)
	}
	return db, nil
}

func (r *Registry) prepare(ctx context.Context, dialect goose.Dialect, more ...goose.ProviderOption) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, r.write, files, append(more, goose.WithLogger(goose.NopLogger()))...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	// Parts that start together on an empty directory race for the same migration; the one that
	// loses finds it done when it looks again.
	for attempt := 1; ; attempt++ {
		if _, err = provider.Up(ctx); err == nil {
			break
		}
		if attempt == 20 || ctx.Err() != nil {
			return fmt.Errorf("bring schema up to date: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	var divisions int
	if err := r.read.QueryRowContext(ctx, "SELECT count(*) FROM divisions").Scan(&divisions); err != nil {
		return fmt.Errorf("count divisions: %w", err)
	}
	if divisions == 0 {
		return r.loadDefaultDivisions(ctx)
	}
	return nil
}

// Close closes it.
func (r *Registry) Close() error {
	if err := errors.Join(r.read.Close(), r.write.Close()); err != nil {
		return fmt.Errorf("close registry: %w", err)
	}
	return nil
}

// Ping tells whether the registry answers and can be read.
func (r *Registry) Ping(ctx context.Context) error {
	_, err := r.Rev(ctx)
	return err
}

// Rev is the registry's revision: it grows with every import and every change of a credential.
func (r *Registry) Rev(ctx context.Context) (int64, error) { return readRev(ctx, r.read) }

// A querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readRev(ctx context.Context, q querier) (rev int64, err error) {
	if err := q.QueryRowContext(ctx, "SELECT rev FROM revision").Scan(&rev); err != nil {
		return 0, fmt.Errorf("read registry revision: %w", err)
	}
	return rev, nil
}

// nextRev takes the next revision for a change of the table, inside the change's transaction.
func nextRev(ctx context.Context, tx *sql.Tx, table string) (rev int64, err error) {
	if err := tx.QueryRowContext(ctx, "UPDATE revision SET rev = rev + 1 RETURNING rev").Scan(&rev); err != nil {
		return 0, fmt.Errorf("take registry revision: %w", err)
	}
	if err := markTable(ctx, tx, table, rev); err != nil {
		return 0, err
	}
	return rev, nil
}

func markTable(ctx context.Context, tx *sql.Tx, table string, rev int64) error {
	if _, err := tx.ExecContext(ctx, "UPDATE table_revision SET rev = ? WHERE name = ?", rev, table); err != nil {
		return fmt.Errorf("mark %s with revision: %w", table, err)
	}
	return nil
}

// inWrite runs fn in a transaction that no other one that writes is beside.
func (r *Registry) inWrite(ctx context.Context, fn func(*sql.Tx) error) error {
	return r.inTransaction(ctx, false, fn)
}

// inHealth is inWrite for what health saves: where several may write at once, those of other partitions do.
func (r *Registry) inHealth(ctx context.Context, fn func(*sql.Tx) error) error {
	return r.inTransaction(ctx, true, fn)
}

func (r *Registry) inTransaction(ctx context.Context, shared bool, fn func(*sql.Tx) error) error {
	tx, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin registry transaction: %w", err)
	}
	if r.lock != nil {
		err = r.lock(ctx, tx, shared)
	}
	if err == nil {
		err = fn(tx)
	}
	if err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit registry transaction: %w", err)
	}
	return nil
}

// inRead runs fn on one consistent state of the registry.
func (r *Registry) inRead(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := r.read.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin registry read: %w", err)
	}
	err = fn(tx)
	return errors.Join(err, ignoreDone(tx.Rollback()))
}

// ignoreDone drops the error of a rollback that came after ctx had ended the transaction already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// each runs fn for every row of a query.
func each(ctx context.Context, q querier, fn func(*sql.Rows) error, query string, args ...any) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// millis is how times lie in the file; the zero time is NULL.
func millis(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

func fromMillis(ms sql.NullInt64, zone *time.Location) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64).In(zone)
}
