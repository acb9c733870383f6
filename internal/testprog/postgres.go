package testprog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

var (
	postgres = program{name: "postgres", env: "PILEWATCH_TEST_POSTGRES", get: "apt-get install postgresql"}
	initdb   = program{name: "initdb", env: "PILEWATCH_TEST_INITDB", get: "apt-get install postgresql"}
)

// A PostgresServer is a PostgreSQL that writes nothing through to the disk: it may be killed, the machine may not.
type PostgresServer struct {
	*Server

	made atomic.Int64
}

const (
	postgresUser     = "pilewatch"
	postgresPassword = "secret of the tests"
)

// Postgres starts a PostgreSQL for one test.
func Postgres(t testing.TB) *PostgresServer {
	t.Helper()
	postgres.find(t)
	initdb.find(t)
	s, end, err := StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	return s
}

// StartPostgres starts a PostgreSQL for all tests of a program: its TestMain calls end.
func StartPostgres() (s *PostgresServer, end func(), err error) {
	server, make := postgres.look(), initdb.look()
	if server == "" || make == "" {
		return nil, nil, fmt.Errorf("tests need PostgreSQL: get it by `%s`; `go test -short` leaves out what needs it", postgres.get)
	}
	dir, err := os.MkdirTemp("", "pilewatch-postgres-")
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	as, err := notRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	secret := filepath.Join(dir, "password")
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(secret, []byte(postgresPassword+"\n"), 0o644); err != nil { //nolint:gosec // of a test, for another user
		return nil, nil, err
	}
	cmd := exec.Command(make, "-D", data, "-U", postgresUser, "--auth=scram-sha-256", "--pwfile="+secret, "--no-sync", "--locale=C.UTF-8", "--encoding=UTF8")
	cmd.SysProcAttr, cmd.Dir = as, dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("make a PostgreSQL: %w\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	addr := l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	if err := l.Close(); err != nil {
		return nil, nil, err
	}
	s = &PostgresServer{Server: &Server{Addr: addr, Dir: dir, path: server, as: as, args: []string{
		"-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "max_connections=200", "-c", "shared_buffers=32MB",
	}}}
	s.ready = func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}
	if err := s.launch(); err != nil {
		return nil, nil, err
	}
	return s, func() {
		s.end(syscall.SIGQUIT) // its own quick end, which leaves no shared memory behind
		_ = os.RemoveAll(dir)
	}, nil
}

// notRoot gives the directory to a user that PostgreSQL runs as where the tests run as root, which it refuses.
func notRoot(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // as we are
	}
	var errs []error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid))); err != nil { //nolint:gosec // 32 bits
			return nil, err
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return nil, errors.Join(errs...)
}

// URL is the address of a database, with its password.
func (s *PostgresServer) URL(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(postgresUser, postgresPassword), Host: s.Addr, Path: database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Database makes an empty database, or a copy of another one of this server that nobody has open, and gives its address.
func (s *PostgresServer) Database(t testing.TB, of string) (address string) {
	t.Helper()
	name := "test" + strconv.FormatInt(s.made.Add(1), 10)
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // of a test
	make := "CREATE DATABASE " + name
	if of != "" {
		u, err := url.Parse(of)
		if err != nil {
			t.Fatal(err)
		}
		make += " TEMPLATE " + strings.TrimPrefix(u.Path, "/")
	}
	if _, err := conn.Exec(t.Context(), make); err != nil {
		t.Fatal(err)
	}
	return s.URL(name)
}
