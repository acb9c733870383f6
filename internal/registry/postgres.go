package registry

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// A PostgresConfig says where a registry lies in PostgreSQL.
type PostgresConfig struct {
	URL          string // postgres://user@host:5432/database?sslmode=verify-full, or libpq's key=value words
	PasswordFile string // its first line is the password, read for each connection; "" for none, or what URL or the environment says
}

// postgresFunctions are what SQLite has by itself.
//
//go:embed postgres.sql
var postgresFunctions string

const (
	pgWriters = 8
	pgReaders = 8

	// The keys of advisory locks: of whoever writes, and of whoever makes the schema.
	pgWriteLock  = 0x70696c65
	pgSchemaLock = 0x70696c66
)

// OpenPostgres opens a registry in PostgreSQL (13 or later, with ICU), as Open does one in a file: several
// machines may have it open. Writers take one lock, so that one change follows the other as in a file;
// those of health, each on rows of a partition of its own, share it.
func OpenPostgres(ctx context.Context, c PostgresConfig, log *slog.Logger) (*Registry, error) {
	cfg, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return nil, fmt.Errorf("read address of registry: %w", withoutCause(err))
	}
	where := fmt.Sprintf("PostgreSQL %s:%d/%s", cfg.Host, cfg.Port, cfg.Database)
	r := newRegistry(log)
	r.lock = pgLock
	r.write = openPostgres(cfg, c.PasswordFile, false)
	r.read = openPostgres(cfg, c.PasswordFile, true)
	r.write.SetMaxOpenConns(pgWriters)
	r.write.SetMaxIdleConns(pgWriters)
	r.read.SetMaxOpenConns(pgReaders)
	r.read.SetMaxIdleConns(pgReaders)
	if err := r.makePostgres(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open registry in %s: %w", where, err), r.Close())
	}
	return r, nil
}

// withoutCause keeps what pgx says of a bad address, which has no password in it, and not the address.
func withoutCause(err error) error {
	if _, after, ok := strings.Cut(err.Error(), "`: "); ok {
		return errors.New(after)
	}
	return errors.New("not a PostgreSQL address")
}

func openPostgres(cfg *pgx.ConnConfig, passwordFile string, readOnly bool) *sql.DB {
	cfg = cfg.Copy()
	for name, value := range map[string]string{
		"application_name": "pilewatch",
		"lock_timeout":     strconv.FormatInt(busyTimeout.Milliseconds(), 10),
		// Whoever is cut off keeps no lock for long.
		"idle_in_transaction_session_timeout": "60000",
		"tcp_keepalives_idle":                 "10",
		"tcp_keepalives_interval":             "5",
		"tcp_keepalives_count":                "3",
	} {
		if _, set := cfg.RuntimeParams[name]; !set {
			cfg.RuntimeParams[name] = value
		}
	}
	if readOnly {
		cfg.RuntimeParams["default_transaction_read_only"] = "on"
	}
	before := stdlib.OptionBeforeConnect(func(_ context.Context, c *pgx.ConnConfig) error {
		if passwordFile == "" {
			return nil
		}
		text, err := os.ReadFile(passwordFile)
		if err != nil {
			return fmt.Errorf("read password of registry: %w", err)
		}
		line, _, _ := strings.Cut(string(text), "\n")
		c.Password = strings.TrimSuffix(line, "\r")
		return nil
	})
	return sql.OpenDB(pgConnector{stdlib.GetConnector(*cfg, before), readOnly})
}

func pgLock(ctx context.Context, tx *sql.Tx, shared bool) error {
	take := "SELECT pg_advisory_xact_lock($1)"
	if shared {
		take = "SELECT pg_advisory_xact_lock_shared($1)"
	}
	if _, err := tx.ExecContext(ctx, take, pgWriteLock); err != nil {
		return fmt.Errorf("wait for the registry's other writers: %w", err)
	}
	return nil
}

func (r *Registry) makePostgres(ctx context.Context) error {
	tx, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", pgSchemaLock)
	for statement := range strings.SplitSeq(postgresFunctions, "\n\n") {
		if err == nil {
			_, err = tx.ExecContext(ctx, statement)
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make what queries need: %w", err), ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, uint64(busyTimeout/time.Second)))
	if err != nil {
		return err
	}
	return r.prepare(ctx, goose.DialectPostgres, goose.WithSessionLocker(locker))
}
