package registry

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

// A columnOfBoth is a column as both databases tell of it.
type columnOfBoth struct {
	Table, Column, Type string
	NotNull             bool
}

func schemaOf(t *testing.T, r *Registry) (columns []columnOfBoth, tables []schemaTable, indexes []string) {
	t.Helper()
	columnQuery := `SELECT m.name, c.name, c.type, c."notnull" OR c.pk > 0 FROM sqlite_master m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'goose_db_version' ORDER BY m.name, c.name`
	indexQuery := `SELECT m.tbl_name || ' ' || CASE WHEN l."unique" THEN 'unique ' ELSE '' END || CASE WHEN l.partial THEN 'partial ' ELSE '' END ||
			(SELECT group_concat(i.name, ',') FROM pragma_index_info(l.name) i)
		FROM sqlite_master m JOIN pragma_index_list(m.name) l WHERE m.type = 'table' AND m.name <> 'goose_db_version' AND l.origin <> 'pk' ORDER BY 1`
	if r.lock != nil {
		columnQuery = `SELECT table_name, column_name, CASE data_type WHEN 'bigint' THEN 'INTEGER' WHEN 'text' THEN 'TEXT' WHEN 'bytea' THEN 'BLOB'
				WHEN 'double precision' THEN 'REAL' ELSE data_type END, is_nullable = 'NO'
			FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> 'goose_db_version'
			ORDER BY table_name COLLATE "C", column_name COLLATE "C"`
		indexQuery = `SELECT t.relname || ' ' || CASE WHEN x.indisunique THEN 'unique ' ELSE '' END || CASE WHEN x.indpred IS NOT NULL THEN 'partial ' ELSE '' END ||
				(SELECT string_agg(a.attname, ',' ORDER BY array_position(x.indkey::smallint[], a.attnum)) FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = ANY (x.indkey))
			FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid WHERE t.relnamespace = current_schema()::regnamespace AND NOT x.indisprimary
				AND t.relname <> 'goose_db_version' ORDER BY 1`
	}
	rows, err := r.read.QueryContext(t.Context(), columnQuery)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var c columnOfBoth
		if err := rows.Scan(&c.Table, &c.Column, &c.Type, &c.NotNull); err != nil {
			t.Fatal(err)
		}
		columns = append(columns, c)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	set, err := stringSet[string](t.Context(), r.read, indexQuery)
	if err != nil {
		t.Fatal(err)
	}
	if tables, err = r.tables(t.Context(), r.read); err != nil {
		t.Fatal(err)
	}
	for i := range tables {
		tables[i].counted = "" // SQLite does not tell
	}
	return columns, tables, sortedKeys(set)
}

// pair gives a registry in a file and one in PostgreSQL, both new.
func pair(t *testing.T) (file, server *Registry) {
	t.Helper()
	if onPostgres.server == nil {
		t.Skip("is of both: it runs with PostgreSQL's")
	}
	file, err := Open(t.Context(), filepath.Join(t.TempDir(), "registry.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file, open(t)
}

func TestSchemaIsTheSameInBoth(t *testing.T) {
	file, server := pair(t)
	wantColumns, wantTables, wantIndexes := schemaOf(t, file)
	columns, tables, indexes := schemaOf(t, server)
	if len(columns) < 100 || len(indexes) < 10 {
		t.Fatalf("only %d columns and %d indexes are told of", len(columns), len(indexes))
	}
	if diff := cmp.Diff(wantColumns, columns); diff != "" {
		t.Errorf("columns (-SQLite +PostgreSQL):\n%s", diff)
	}
	if diff := cmp.Diff(wantTables, tables, cmp.AllowUnexported(schemaTable{})); diff != "" {
		t.Errorf("keys and references (-SQLite +PostgreSQL):\n%s", diff)
	}
	if diff := cmp.Diff(wantIndexes, indexes); diff != "" {
		t.Errorf("indexes (-SQLite +PostgreSQL):\n%s", diff)
	}
}

// fill puts something into many tables.
func fill(t *testing.T, r *Registry) {
	t.Helper()
	take(t, r, Operators, someOperators)
	take(t, r, Stations, someStations)
	take(t, r, Piles, somePiles)
	take(t, r, Statistics, "division,indicator,date,value,source\n37,public_piles,2025-06-30,214500.5,省充电办\n")
	if _, _, err := r.IssueCredential(t.Context(), "MA3CLQP01", "P1"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.AddAccount(t.Context(), "Wang.Wei", "王伟", Grant{Officer, "3717"}, Actor{Name: "shell"}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if _, err := r.ClaimExcuse(t.Context(), charge.Excuse{
		Kind: charge.Site, Operator: "MA3CLQP01", From: now, Until: now.Add(time.Hour), Document: "鲁充〔2025〕1号", By: "operator",
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.SaveHealth(t.Context(), 3, 77, &Health{Epoch: 2, Townships: []charge.TownshipState{{Township: "371721101", State: charge.Effective, PowerKW: 12.25}}}); err != nil {
		t.Fatal(err)
	}
}

func TestCopyThereAndBack(t *testing.T) {
	file, server := pair(t)
	fill(t, file)
	there, err := Copy(t.Context(), file, server)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(export(t, file, Piles), export(t, server, Piles)); diff != "" {
		t.Errorf("piles (-SQLite +PostgreSQL):\n%s", diff)
	}
	if a, err := server.Account(t.Context(), "WANG.wei"); err != nil || a.FullName != "王伟" {
		t.Errorf("account by its name in another case: got %+v, %v", a, err)
	}
	// What is added to the copy has a number of its own.
	if _, _, err := server.AddAccount(t.Context(), "li.na", "李娜", Grant{Admin, ""}, Actor{Name: "shell"}); err != nil {
		t.Errorf("add to the copy: %v", err)
	}
	if _, err := Copy(t.Context(), file, server); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("Copy over another registry: got %v, want ErrNotEmpty", err)
	}
	back, err := Open(t.Context(), filepath.Join(t.TempDir(), "back.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close() //nolint:errcheck // of a test
	again, err := Copy(t.Context(), server, back)
	if err != nil {
		t.Fatal(err)
	}
	differs := func(a, b []CopiedTable) (names []string) {
		for i := range a {
			if a[i] != b[i] {
				names = append(names, a[i].Name)
			}
		}
		return names
	}
	if got := differs(there, again); !slices.Equal(got, []string{"account_log", "account_revision", "accounts"}) {
		t.Errorf("tables that differ after an account was added: %v", got)
	}
}

func TestCopyTakesOneMoment(t *testing.T) {
	file, server := pair(t)
	fill(t, server)
	stop := make(chan struct{})
	ended := make(chan error)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if _, err := server.Import(t.Context(), Operators, strings.NewReader(fmt.Sprintf("operator,name\nMA3CLQP01,%d\n", i))); err != nil {
				ended <- err
				return
			}
		}
	}()
	_, err := Copy(t.Context(), server, file)
	close(stop)
	if err := errors.Join(err, <-ended); err != nil {
		t.Error(err)
	}
}
