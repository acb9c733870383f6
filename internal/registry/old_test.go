package registry

import (
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pressly/goose/v3"
)

// A registry of the first schema is brought up to date with what it holds. All schemas between are steps of this way.
func TestARegistryOfTheFirstSchemaOpens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "registry.db")
	log := slog.New(slog.DiscardHandler)
	r, err := openAt(t, path, log)
	if err != nil {
		t.Fatal(err)
	}
	firstSchema(t, r)
	for _, do := range []string{
		"INSERT INTO divisions (code, name, level, parent, kind, rev) VALUES ('379999101', '某镇', 'township', '379999', 'town', 1)",
		"INSERT INTO operators (operator, name, contact, email, webhook, rev) VALUES ('OLD', '老运营商', '', '', '', 1)",
		`INSERT INTO stations (id, operator, station, name, township, kind, area, site, access, hours, seasons, mobile, address, opened, rev)
			VALUES (7, 'OLD', 'S1', '老站', '379999101', 'public', '', '', '', '', '', 0, '', 1672531200000, 1)`,
		"INSERT INTO piles (operator, pile, station_id, township, opened, typed, dc, rev) VALUES ('OLD', 'P1', 7, '379999101', 1672531200000, 0, 0, 1)",
		`INSERT INTO connectors (operator, pile, connector, serial, replaces, equipment_type, connector_type, power_kw, report_s, opened, rev)
			VALUES ('OLD', 'P1', '1', '', '', 0, 0, 60, 0, 1672531200000, 1)`,
		`INSERT INTO connector_state (operator, pile, connector, township, shown, told, status, fault, silent, log_seq)
			VALUES ('OLD', 'P1', '1', '379999101', 1, 1, 1, '', 0, 5)`,
		"UPDATE revision SET rev = 1",
	} {
		if _, err := r.write.ExecContext(t.Context(), do); err != nil {
			t.Fatalf("%s: %v", do, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = openAt(t, path, log); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, ok := directory(t, r).Pile(pileID("OLD:P1"))
	if !ok || p.Station.Name != "老站" || len(p.Connectors) != 1 || p.Connectors[0].PowerKW != 60 {
		t.Errorf("the old pile: got %+v, %v", p, ok)
	}
	rows, _, err := r.FindPiles(t.Context(), PileQuery{Status: "idle"})
	if err != nil || len(rows) != 1 || rows[0].Pile != pileID("OLD:P1") {
		t.Errorf("FindPiles: got %+v, %v", rows, err)
	}
}

// firstSchema takes all tables away and makes those of the first migration.
func firstSchema(t *testing.T, r *Registry) {
	t.Helper()
	tables, err := r.tables(t.Context(), r.read)
	if err != nil {
		t.Fatal(err)
	}
	dialect := goose.DialectSQLite3
	if r.lock != nil {
		dialect = goose.DialectPostgres
	}
	slices.Reverse(tables) // SQLite minds what refers to them
	for _, table := range append(tables, schemaTable{name: "goose_db_version"}) {
		drop := "DROP TABLE " + table.name
		if r.lock != nil {
			drop += " CASCADE"
		}
		if _, err := r.write.ExecContext(t.Context(), drop); err != nil {
			t.Fatal(err)
		}
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(dialect, r.write, files, goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
}
