package registry

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pilewatch/internal/testprog"
)

// onPostgres is the server that registries of tests are in; its server is nil in the first run, when they are files.
var onPostgres struct {
	server *testprog.PostgresServer

	mu       sync.Mutex
	template string            // a new registry, closed
	address  map[string]string // by the path that the test names
}

// TestMain runs all tests twice: on files, and on PostgreSQL, which starts once. Short, and where it fuzzes or
// measures, it leaves the second run out.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, name := range []string{"test.bench", "test.fuzz", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			os.Exit(code)
		}
	}
	if code == 0 && !testing.Short() {
		code = runOnPostgres(m)
	}
	os.Exit(code)
}

func runOnPostgres(m *testing.M) int {
	server, end, err := testprog.StartPostgres()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer end()
	fmt.Println("the same on PostgreSQL")
	onPostgres.server, onPostgres.address = server, map[string]string{}
	return m.Run()
}

// openAt opens the registry of that path: the file, or the database that stands for it.
func openAt(t testing.TB, path string, log *slog.Logger) (*Registry, error) {
	t.Helper()
	if onPostgres.server == nil {
		return Open(t.Context(), path, log)
	}
	return OpenPostgres(t.Context(), PostgresConfig{URL: databaseFor(t, path)}, log)
}

func databaseFor(t testing.TB, path string) string {
	t.Helper()
	all := &onPostgres
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.template == "" {
		all.template = all.server.Database(t, "")
		r, err := OpenPostgres(t.Context(), PostgresConfig{URL: all.template}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if all.address[path] == "" {
		of := all.template
		if filepath.Base(filepath.Dir(path)) == "new" { // the test is of making it
			of = ""
		}
		all.address[path] = all.server.Database(t, of)
	}
	return all.address[path]
}
