package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"

	"pilewatch/internal/charge"
)

// Errors of removals that callers tell apart.
var (
	ErrUnknownStation = errors.New("unknown station")
	ErrInUse          = errors.New("has sent messages already")
)

// Removed is what a removal took out of the registry.
type Removed struct{ Stations, Piles, Connectors, Credentials int }

// What was removed is noted beside the revisions of tables, so that a directory that knows it
// finds by its revision that it is gone. Ids hold no colon.
const (
	goneOperator = "gone:operator:"
	goneStation  = "gone:station:"
	gonePile     = "gone:pile:"
)

// RemovePile takes a pile out that was entered by mistake, as if it had never been there. Its
// credentials end. One that has been in service is closed by an import instead, which keeps what
// it was: without force, ErrInUse where it has been heard. ErrUnknownPile.
func (r *Registry) RemovePile(ctx context.Context, id charge.PileID, force bool) (Removed, error) {
	return r.remove(ctx, "pile "+id.String(), force, removal{
		exists: ErrUnknownPile, find: "SELECT 1 FROM piles WHERE operator = ? AND pile = ?",
		piles: "operator = ? AND pile = ?", args: []any{string(id.Operator), id.Equipment},
	})
}

// RemoveStation does the same for a station with its piles. ErrUnknownStation, ErrInUse.
func (r *Registry) RemoveStation(ctx context.Context, op charge.OperatorID, id charge.StationID, force bool) (Removed, error) {
	return r.remove(ctx, "station "+string(op)+":"+string(id), force, removal{
		exists: ErrUnknownStation, find: "SELECT 1 FROM stations WHERE operator = ? AND station = ?",
		piles:    "station_id = (SELECT id FROM stations WHERE operator = ? AND station = ?)",
		stations: "operator = ? AND station = ?", args: []any{string(op), string(id)},
		note: goneStation + string(op) + ":" + string(id),
	})
}

// RemoveOperator does the same for an operator with all that is its own. ErrUnknownOperator, ErrInUse.
func (r *Registry) RemoveOperator(ctx context.Context, op charge.OperatorID, force bool) (Removed, error) {
	return r.remove(ctx, "operator "+string(op), force, removal{
		exists: ErrUnknownOperator, find: "SELECT 1 FROM operators WHERE operator = ?",
		piles: "operator = ?", stations: "operator = ?", operator: true, args: []any{string(op)},
		note: goneOperator + string(op),
	})
}

// A removal says in SQL what goes; args are those of each of its texts.
type removal struct {
	exists   error  // where find finds nothing
	find     string // the thing itself
	piles    string // condition of piles that go with it
	stations string // condition of stations, "" where none goes
	operator bool
	args     []any
	note     string // "" where the piles' own notes say all
}

func (r *Registry) remove(ctx context.Context, what string, force bool, m removal) (done Removed, err error) {
	err = r.inWrite(ctx, func(tx *sql.Tx) error {
		done = Removed{}
		var one int
		err := tx.QueryRowContext(ctx, m.find, m.args...).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return m.exists
		}
		if err != nil {
			return err
		}
		piles, err := r.pilesThatGo(ctx, tx, m, force)
		if err != nil {
			return err
		}
		if done, err = r.deletePiles(ctx, tx, piles); err != nil {
			return err
		}
		return deleteAround(ctx, tx, m, &done)
	})
	if err != nil {
		return Removed{}, fmt.Errorf("remove %s: %w", what, err)
	}
	return done, nil
}

// pilesThatGo lists them, unless one has been heard.
func (r *Registry) pilesThatGo(ctx context.Context, tx *sql.Tx, m removal, force bool) ([]charge.PileID, error) {
	var all, heard []charge.PileID
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var id charge.PileID
		var has bool
		if err := rows.Scan(&id.Operator, &id.Equipment, &has); err != nil {
			return err
		}
		all = append(all, id)
		if has {
			heard = append(heard, id)
		}
		return nil
	}, `SELECT p.operator, p.pile, EXISTS (SELECT 1 FROM connector_state s
			WHERE s.operator = p.operator AND s.pile = p.pile AND (s.told <> 0 OR s.last_heard IS NOT NULL))
		FROM (SELECT operator, pile FROM piles WHERE `+m.piles+`) p`, m.args...) //nolint:gosec // the conditions are constants
	if err != nil {
		return nil, err
	}
	if len(heard) > 0 && !force {
		return nil, fmt.Errorf("pile %s %w (%d of %d piles): take it out of service by importing it with a closed date; "+
			"--force removes it all the same, with its place in coverage, and leaves its history without a name", heard[0], ErrInUse, len(heard), len(all))
	}
	return all, nil
}

func (r *Registry) deletePiles(ctx context.Context, tx *sql.Tx, piles []charge.PileID) (done Removed, err error) {
	rev, err := nextRev(ctx, tx, "piles")
	if err != nil {
		return done, err
	}
	if err := markTable(ctx, tx, "credentials", rev); err != nil {
		return done, err
	}
	now := millis(r.now())
	for _, id := range piles {
		counts := [...]*int{&done.Connectors, nil, &done.Piles, &done.Credentials}
		for i, do := range [...]string{
			"DELETE FROM connectors WHERE operator = ? AND pile = ?",
			"DELETE FROM connector_state WHERE operator = ? AND pile = ?",
			"DELETE FROM piles WHERE operator = ? AND pile = ?",
			"UPDATE credentials SET revoked = ?3 WHERE operator = ?1 AND pile = ?2 AND revoked IS NULL",
		} {
			args := []any{string(id.Operator), id.Equipment}
			if i == len(counts)-1 {
				args = append(args, now)
			}
			if err := counted(ctx, tx, counts[i], do, args...); err != nil {
				return done, err
			}
		}
		if err := noteGone(ctx, tx, gonePile+id.String(), rev); err != nil {
			return done, err
		}
	}
	return done, nil
}

// deleteAround deletes the stations and the operator that the piles were in.
func deleteAround(ctx context.Context, tx *sql.Tx, m removal, done *Removed) error {
	rev, err := readRev(ctx, tx)
	if err != nil {
		return err
	}
	if m.stations != "" {
		if err := markTable(ctx, tx, "stations", rev); err != nil {
			return err
		}
		if err := counted(ctx, tx, &done.Stations, "DELETE FROM stations WHERE "+m.stations, m.args...); err != nil { //nolint:gosec // a constant
			return err
		}
	}
	if m.operator {
		if err := markTable(ctx, tx, "operators", rev); err != nil {
			return err
		}
		// A row that is left would name an operator that is not there.
		var live int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM credentials WHERE operator = ? AND revoked IS NULL", m.args...).Scan(&live); err != nil {
			return err
		}
		done.Credentials += live
		for _, do := range []string{"DELETE FROM credentials WHERE operator = ?", "DELETE FROM operators WHERE operator = ?"} {
			if err := counted(ctx, tx, nil, do, m.args...); err != nil {
				return err
			}
		}
	}
	if m.note == "" {
		return nil
	}
	return noteGone(ctx, tx, m.note, rev)
}

// counted runs a statement and adds its rows to n, where that is not nil.
func counted(ctx context.Context, tx *sql.Tx, n *int, do string, args ...any) error {
	result, err := tx.ExecContext(ctx, do, args...)
	if err != nil {
		return err
	}
	rows, err := result.RowsAffected()
	if n != nil {
		*n += int(rows)
	}
	return err
}

func noteGone(ctx context.Context, tx *sql.Tx, name string, rev int64) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO table_revision (name, rev) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET rev = excluded.rev", name, rev)
	return err
}

// forget drops what the notes say is gone. What has come back since is loaded after it.
func (d *Directory) forget(notes map[string]bool) {
	var operators, stations, piles map[string]bool
	for note := range notes {
		for prefix, set := range map[string]*map[string]bool{goneOperator: &operators, goneStation: &stations, gonePile: &piles} {
			if name, ok := strings.CutPrefix(note, prefix); ok {
				if *set == nil {
					*set = make(map[string]bool)
				}
				(*set)[name] = true
			}
		}
	}
	if operators == nil && stations == nil && piles == nil {
		return
	}
	d.piles.drop(func(p *Pile) bool { return operators[string(p.ID.Operator)] || piles[p.ID.String()] })
	d.stations.drop(func(s placedStation) bool {
		return operators[string(s.Operator)] || stations[string(s.Operator)+":"+string(s.ID)]
	})
}

// drop removes values; there must be only one writer at a time.
func (s *shards[K, V]) drop(gone func(V) bool) {
	for i := range s.maps {
		var after map[K]V
		for k, v := range *s.maps[i].Load() {
			if !gone(v) {
				continue
			}
			if after == nil {
				after = maps.Clone(*s.maps[i].Load())
			}
			delete(after, k)
		}
		if after != nil {
			s.maps[i].Store(&after)
		}
	}
}
