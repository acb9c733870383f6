package registry

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNotEmpty says that a registry is not copied over another one.
var ErrNotEmpty = errors.New("holds a registry already: copy into a new file or an empty database")

// A CopiedTable is one of a copy.
type CopiedTable struct {
	Name   string
	Rows   int64
	SHA256 string // over all its rows, in the order of their key: the same in both
}

// A schemaTable is a table with what a copy needs of it.
type schemaTable struct {
	name    string
	columns []string
	key     []string
	refers  []string // to these tables
	counted string   // the column that the database numbers by itself, "" for none
}

// Copy copies all of from, as it is at one moment while others go on writing, into to, which must be new; then it
// reads both and compares. Rows that are sessions, credentials and hashes are among it. ErrNotEmpty.
func Copy(ctx context.Context, from, to *Registry) ([]CopiedTable, error) {
	var copied []CopiedTable
	err := from.inRead(ctx, func(src *sql.Tx) error {
		tables, err := from.tables(ctx, src)
		if err != nil {
			return err
		}
		if err := to.inWrite(ctx, func(dst *sql.Tx) error { return copyTables(ctx, src, dst, to, tables) }); err != nil {
			return err
		}
		return to.inRead(ctx, func(dst *sql.Tx) error {
			for _, t := range tables {
				a, err := sumTable(ctx, src, &t)
				if err != nil {
					return err
				}
				b, err := sumTable(ctx, dst, &t)
				if err != nil {
					return err
				}
				if a != b {
					return fmt.Errorf("table %s of the copy differs: %d rows, %d in the copy", t.name, a.Rows, b.Rows)
				}
				copied = append(copied, a)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("copy registry: %w", err)
	}
	return copied, nil
}

func copyTables(ctx context.Context, src, dst *sql.Tx, to *Registry, tables []schemaTable) error {
	var entries int
	for _, table := range []string{"operators", "accounts", "policies", "case_record", "health_partition"} {
		var n int
		if err := dst.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil { //nolint:gosec // ours
			return err
		}
		entries += n
	}
	if entries > 0 {
		return ErrNotEmpty
	}
	there, err := to.tables(ctx, dst)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(tables, there, func(a, b schemaTable) bool { return a.name == b.name && slices.Equal(a.columns, b.columns) }) {
		return errors.New("the two were made by different versions: open both with this one first")
	}
	for _, t := range slices.Backward(tables) { // what its making has put there
		if t.name == "case_record" {
			continue // append-only, and empty
		}
		if _, err := dst.ExecContext(ctx, "DELETE FROM "+t.name); err != nil { //nolint:gosec // of the schema
			return fmt.Errorf("empty %s: %w", t.name, err)
		}
	}
	for _, t := range there { // as the copy's database tells of it
		if err := copyTable(ctx, src, dst, &t); err != nil {
			return fmt.Errorf("copy %s: %w", t.name, err)
		}
		if t.counted != "" { // SQLite goes on from the greatest by itself
			next := "SELECT setval(pg_get_serial_sequence(?, ?), coalesce(max(" + t.counted + "), 0) + 1, false) FROM " + t.name //nolint:gosec // of the schema
			if _, err := dst.ExecContext(ctx, next, t.name, t.counted); err != nil {
				return fmt.Errorf("go on numbering %s: %w", t.name, err)
			}
		}
	}
	return nil
}

func copyTable(ctx context.Context, src, dst *sql.Tx, t *schemaTable) error {
	put := newBulk(dst, "INSERT INTO "+t.name+" ("+strings.Join(t.columns, ", ")+")", "", len(t.columns))
	if err := eachRow(ctx, src, t, func(values []any) error { return put.add(ctx, values...) }); err != nil {
		return err
	}
	return put.flush(ctx)
}

// eachRow gives the rows of a table by its key. The slice is reused.
func eachRow(ctx context.Context, q querier, t *schemaTable, fn func(values []any) error) error {
	values, into := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		into[i] = &values[i]
	}
	query := "SELECT " + strings.Join(t.columns, ", ") + " FROM " + t.name + " ORDER BY " + strings.Join(t.key, ", ")
	return each(ctx, q, func(rows *sql.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		return fn(values)
	}, query)
}

func sumTable(ctx context.Context, q querier, t *schemaTable) (CopiedTable, error) {
	sum, n := sha256.New(), int64(0)
	err := eachRow(ctx, q, t, func(values []any) error {
		n++
		for _, v := range values {
			text, known := "", true
			switch v := v.(type) {
			case nil:
				text = "nothing"
			case int64:
				text = fmt.Sprintf("i%d", v)
			case float64:
				text = fmt.Sprintf("f%v", v)
			case string:
				text = "t" + v
			case []byte:
				text = "b" + string(v)
			default:
				known = false
			}
			if !known {
				return fmt.Errorf("a column holds a %T", v)
			}
			_, _ = fmt.Fprintf(sum, "%d:%s", len(text), text) // never fails
		}
		return nil
	})
	if err != nil {
		return CopiedTable{}, fmt.Errorf("read %s: %w", t.name, err)
	}
	return CopiedTable{t.name, n, hex.EncodeToString(sum.Sum(nil))}, nil
}

// tables gives the tables of the schema, each after those that it refers to.
func (r *Registry) tables(ctx context.Context, q querier) ([]schemaTable, error) {
	// table, column, place in the key or 0, table that the column refers to or "", whether the database numbers it
	query := `SELECT m.name, c.name, c.pk, coalesce((SELECT f."table" FROM pragma_foreign_key_list(m.name) f WHERE f."from" = c.name), ''), 0
		FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'goose_db_version'
		ORDER BY m.name, c.name`
	if r.lock != nil {
		query = `SELECT t.relname, a.attname, coalesce(array_position(k.conkey, a.attnum), 0), coalesce(f.confrelid::regclass::text, ''),
				CASE WHEN a.attidentity <> '' THEN 1 ELSE 0 END
			FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
				LEFT JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'p'
				LEFT JOIN pg_constraint f ON f.conrelid = t.oid AND f.contype = 'f' AND a.attnum = ANY (f.conkey)
			WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind = 'r' AND t.relname <> 'goose_db_version'
			ORDER BY t.relname COLLATE "C", a.attname COLLATE "C"`
	}
	var all []schemaTable
	keys := make(map[string]map[int]string)
	err := each(ctx, q, func(rows *sql.Rows) error {
		var table, column, refers string
		var key, counted int
		if err := rows.Scan(&table, &column, &key, &refers, &counted); err != nil {
			return err
		}
		if len(all) == 0 || all[len(all)-1].name != table {
			all = append(all, schemaTable{name: table})
			keys[table] = make(map[int]string)
		}
		t := &all[len(all)-1]
		t.columns = append(t.columns, column)
		if key > 0 {
			keys[table][key] = column
		}
		if refers != "" {
			t.refers = append(t.refers, refers)
		}
		if counted > 0 {
			t.counted = column
		}
		return nil
	}, query)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	for i := range all {
		for place := 1; place <= len(keys[all[i].name]); place++ {
			all[i].key = append(all[i].key, keys[all[i].name][place])
		}
	}
	return byReference(all), nil
}

// byReference puts tables behind those that they refer to, and else by name. No table refers to one that refers back.
func byReference(all []schemaTable) []schemaTable {
	sorted, placed := make([]schemaTable, 0, len(all)), make(map[string]bool)
	for len(sorted) < len(all) {
		before := len(sorted)
		for _, t := range all {
			if !placed[t.name] && !slices.ContainsFunc(t.refers, func(other string) bool { return other != t.name && !placed[other] }) {
				sorted = append(sorted, t)
				placed[t.name] = true
			}
		}
		if len(sorted) == before {
			return all
		}
	}
	return sorted
}

// Backup copies the registry, as it is at one moment while others go on writing, into a new file.
func (r *Registry) Backup(ctx context.Context, path string) error {
	if r.lock == nil {
		if _, err := r.write.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
			return fmt.Errorf("copy registry to %s: %w", path, err)
		}
		return nil
	}
	to, err := Open(ctx, path, r.log)
	if err != nil {
		return err
	}
	_, err = Copy(ctx, r, to)
	return errors.Join(err, to.Close())
}
