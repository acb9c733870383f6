package registry

import (
	"context"
	"database/sql"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"time"
)

// A Table is one kind of registry file.
type Table string

// The tables that can be imported and exported. Each needs the ones before it.
const (
	Divisions Table = "divisions"
	Operators Table = "operators"
	Stations  Table = "stations"
	Piles     Table = "piles"
	Excuses   Table = "excuses"
	Transfers Table = "transfers"
	Renames   Table = "renames"

	Townships  Table = "townships"
	Statistics Table = "statistics"
	TargetFile Table = "targets"
	Holidays   Table = "holidays"
)

// Imported counts a file's rows by what became of them.
type Imported struct {
	Added, Updated, Unchanged int
	Removed                   int // divisions that a new list no longer has; nothing else is ever removed
	Unconfirmed               int // values of the file that hold only when an officer confirms them
}

// A stage is a file that has been parsed and is not yet in the registry.
type stage interface {
	// check compares the rows with the registry: references that lead nowhere go to bad, rows
	// that differ are kept for apply. It may be called again after the registry has changed.
	check(ctx context.Context, q querier, now time.Time, bad *ImportError) (Imported, error)
	// apply writes what check has kept, marked with rev.
	apply(ctx context.Context, tx *sql.Tx, rev int64) error
}

// Import takes a CSV file (docs/registry.md) as a whole or, with an *ImportError that names every
// bad row, not at all. The file is parsed and compared outside; only the rows that differ are then
// written, in one transaction. Rows that are in the registry and not in the file stay as they are,
// and unchanged rows keep their rev.
func (r *Registry) Import(ctx context.Context, t Table, src io.Reader) (Imported, error) {
	bad := &ImportError{Table: t}
	st, err := parse(t, src, bad)
	if err != nil {
		return Imported{}, err
	}
	return r.take(ctx, t, st, bad)
}

// parse reads a file without looking at the registry; what is wrong in it goes to bad.
func parse(t Table, src io.Reader, bad *ImportError) (stage, error) {
	switch t {
	case Divisions:
		return parseDivisions(src, time.Time{}, bad)
	case Operators:
		return parseOperators(src, bad)
	case Stations:
		return parseStations(src, bad)
	case Piles:
		return parsePiles(src, bad)
	case Excuses:
		return parseExcuses(src, bad)
	case Transfers:
		return parseTransfers(src, bad)
	case Renames:
		return parseRenames(src, bad)
	}
	if plain, ok := plainTableOf(t); ok {
		return plain.parse(src, bad)
	}
	return nil, fmt.Errorf("import %q: %w", t, ErrUnknownTable)
}

// take checks a stage and writes it. What the check found holds only while the registry's rev is
// the same, so it is done again where another import came between.
func (r *Registry) take(ctx context.Context, t Table, st stage, bad *ImportError) (Imported, error) {
	parsed := len(bad.Rows)
	for {
		bad.Rows = bad.Rows[:parsed]
		var (
			done    Imported
			checked int64
			stale   bool
		)
		err := r.inRead(ctx, func(tx *sql.Tx) (err error) {
			if checked, err = readRev(ctx, tx); err != nil {
				return err
			}
			done, err = st.check(ctx, tx, r.now(), bad)
			return err
		})
		if err != nil {
			return Imported{}, fmt.Errorf("check %s against registry: %w", t, err)
		}
		if len(bad.Rows) > 0 {
			bad.sort(columnsOfTable(t))
			return Imported{}, bad
		}
		if done.Added+done.Updated+done.Removed == 0 {
			return done, nil
		}
		err = r.inWrite(ctx, func(tx *sql.Tx) error {
			rev, err := readRev(ctx, tx)
			if err != nil {
				return err
			}
			if stale = rev != checked; stale {
				return nil
			}
			if rev, err = nextRev(ctx, tx, string(t)); err != nil {
				return err
			}
			return st.apply(ctx, tx, rev)
		})
		if err != nil {
			return Imported{}, fmt.Errorf("import %s: %w", t, err)
		}
		if !stale {
			return done, nil
		}
	}
}

func columnsOfTable(t Table) []column {
	switch t {
	case Divisions:
		return divisionColumns
	case Operators:
		return operatorColumns
	case Stations:
		return stationColumns
	case Piles:
		return pileColumns
	case Excuses:
		return excuseColumns
	case Transfers:
		return transferColumns
	case Renames:
		return renameColumns
	}
	plain, _ := plainTableOf(t)
	return plain.columns
}

// Export writes a table as the CSV that Import reads, sorted by its key. Points are WGS84.
func (r *Registry) Export(ctx context.Context, t Table, dst io.Writer) error {
	var rows func(context.Context, querier, func(...string) error) error
	switch t {
	case Divisions:
		rows = exportDivisions
	case Operators:
		rows = exportOperators
	case Stations:
		rows = exportStations
	case Piles:
		rows = exportPiles
	case Excuses:
		rows = exportExcuses
	case Transfers:
		rows = exportTransfers
	case Renames:
		rows = exportRenames
	default:
		plain, ok := plainTableOf(t)
		if !ok {
			return fmt.Errorf("export %q: %w", t, ErrUnknownTable)
		}
		rows = plain.each
	}
	out := csv.NewWriter(dst)
	var header []string
	for _, c := range columnsOfTable(t) {
		header = append(header, c.name)
	}
	if err := out.Write(header); err != nil {
		return fmt.Errorf("export %s: %w", t, err)
	}
	err := r.inRead(ctx, func(tx *sql.Tx) error {
		return rows(ctx, tx, func(fields ...string) error { return out.Write(fields) })
	})
	if err != nil {
		return fmt.Errorf("export %s: %w", t, err)
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("export %s: %w", t, err)
	}
	return nil
}

// prepareAll prepares statements by their text; they are closed with the transaction.
func prepareAll(ctx context.Context, tx *sql.Tx, into map[string]**sql.Stmt) error {
	for query, stmt := range into {
		var err error
		if *stmt, err = tx.PrepareContext(ctx, query); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	return nil
}

// stringSet reads the first column of a query.
func stringSet[T ~string](ctx context.Context, q querier, query string, args ...any) (map[T]bool, error) {
	set := make(map[T]bool)
	err := each(ctx, q, func(rows *sql.Rows) error {
		var s T
		if err := rows.Scan(&s); err != nil {
			return err
		}
		set[s] = true
		return nil
	}, query, args...)
	return set, err
}

// firstLine remembers on which line a key came first and reports a second one.
func firstLine[K comparable](seen map[K]int, rec *record, col string, key K, what string) {
	if first, ok := seen[key]; ok {
		rec.fail(col, "%s is on line %d already", what, first)
		return
	}
	seen[key] = rec.line
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
