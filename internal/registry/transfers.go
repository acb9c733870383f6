package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"

	"pilewatch/internal/charge"
)

var transferColumns = columnsOf("from_operator,to_operator,station,date", "from_operator", "to_operator", "station", "date", "document")

// A transferRow is a station that passes to another operator with its piles, under the same ids.
type transferRow struct {
	from, to charge.OperatorID
	station  charge.StationID
	date     string // 2006-01-02
	document string
	line     int
}

type transferStage struct {
	rows    []transferRow
	now     time.Time     // of the check
	fresh   []transferRow // not in the registry yet
	renamed []transferRow // only the document differs
}

func parseTransfers(src io.Reader, bad *ImportError) (stage, error) {
	st := &transferStage{}
	seen := make(map[stationKey]int)
	err := readCSV(src, transferColumns, bad, func(rec *record) {
		t := transferRow{line: rec.line, document: rec.text("document")}
		t.from, t.to = charge.OperatorID(rec.id("from_operator")), charge.OperatorID(rec.id("to_operator"))
		t.station = charge.StationID(rec.id("station"))
		day, err := time.ParseInLocation(time.DateOnly, rec.raw("date"), charge.Zone)
		if err != nil {
			rec.fail("date", "%s is not a date: want 2006-01-02", quote(rec.raw("date")))
		}
		t.date = day.Format(time.DateOnly)
		if t.from != "" && t.from == t.to {
			rec.fail("to_operator", "%s has it already", t.to)
		}
		if t.from != "" && t.station != "" {
			firstLine(seen, rec, "station", stationKey{t.from, t.station}, fmt.Sprintf("station %s of %s", t.station, t.from))
		}
		st.rows = append(st.rows, t)
	})
	return st, err
}

func (st *transferStage) check(ctx context.Context, q querier, now time.Time, bad *ImportError) (done Imported, err error) {
	st.now, st.fresh, st.renamed = now, nil, nil
	operators, err := stringSet[charge.OperatorID](ctx, q, "SELECT operator FROM operators")
	if err != nil {
		return done, err
	}
	known := make(map[stationKey]transferRow)
	if err := readTransfers(ctx, q, func(t transferRow, _ time.Time) error {
		known[stationKey{t.from, t.station}] = t
		return nil
	}); err != nil {
		return done, err
	}
	for _, t := range st.rows {
		before, recorded := known[stationKey{t.from, t.station}]
		switch {
		case !operators[t.from]:
			bad.add(t.line, "from_operator", "unknown operator %s", t.from)
		case !operators[t.to]:
			bad.add(t.line, "to_operator", "unknown operator %s", t.to)
		case recorded && (before.to != t.to || before.date != t.date):
			bad.add(t.line, "station", "%s passed to %s on %s already, which stays on record", t.station, before.to, before.date)
		case recorded && before.document != t.document:
			st.renamed = append(st.renamed, t)
			done.Updated++
		case recorded:
			done.Unchanged++
		default:
			if err := st.checkFresh(ctx, q, &t, bad); err != nil {
				return done, err
			}
			st.fresh = append(st.fresh, t)
			done.Added++
		}
	}
	return done, nil
}

// checkFresh looks whether the station and its piles can go under their ids.
func (st *transferStage) checkFresh(ctx context.Context, q querier, t *transferRow, bad *ImportError) error {
	var id int64
	var closed sql.NullInt64
	err := q.QueryRowContext(ctx, "SELECT id, closed FROM stations WHERE operator = ? AND station = ?", string(t.from), string(t.station)).Scan(&id, &closed)
	if errors.Is(err, sql.ErrNoRows) {
		bad.add(t.line, "station", "unknown station %s of %s", t.station, t.from)
		return nil
	}
	if err != nil {
		return fmt.Errorf("find station %s of %s: %w", t.station, t.from, err)
	}
	if day := t.firstDay(st.now); closed.Valid && closed.Int64 <= day.UnixMilli() {
		bad.add(t.line, "date", "station %s of %s is closed from %s on", t.station, t.from, dateText(fromMillis(closed, charge.Zone)))
	}
	taken, err := stringSet[string](ctx, q, `SELECT 'station ' || station FROM stations WHERE operator = ?1 AND station = ?2
		UNION ALL SELECT 'pile ' || o.pile FROM piles o JOIN piles n ON n.operator = ?1 AND n.pile = o.pile WHERE o.station_id = ?3`,
		string(t.to), string(t.station), id)
	if err != nil {
		return err
	}
	for _, what := range sortedKeys(taken) {
		bad.add(t.line, "to_operator", "%s has a %s of its own", t.to, what)
	}
	return nil
}

// firstDay is when the transfer holds: on its date, and never before the day after it is entered.
func (t *transferRow) firstDay(entered time.Time) time.Time {
	tomorrow := startOfDay(entered).AddDate(0, 0, 1)
	if day, err := time.ParseInLocation(time.DateOnly, t.date, charge.Zone); err == nil && day.After(tomorrow) {
		return day
	}
	return tomorrow
}

func (st *transferStage) apply(ctx context.Context, tx *sql.Tx, rev int64) error {
	for _, table := range []Table{Stations, Piles} {
		if err := markTable(ctx, tx, string(table), rev); err != nil {
			return err
		}
	}
	for i := range st.renamed {
		t := &st.renamed[i]
		if _, err := tx.ExecContext(ctx, "UPDATE transfers SET document = ? WHERE from_operator = ? AND station = ?",
			t.document, string(t.from), string(t.station)); err != nil {
			return err
		}
	}
	for i := range st.fresh {
		if err := st.pass(ctx, tx, &st.fresh[i], rev); err != nil {
			return fmt.Errorf("transfer station %s of %s: %w", st.fresh[i].station, st.fresh[i].from, err)
		}
	}
	return nil
}

// pass writes one transfer: what is under the new name, the links between, and the end of the old name.
func (st *transferStage) pass(ctx context.Context, tx *sql.Tx, t *transferRow, rev int64) error {
	args := []any{string(t.from), string(t.to), string(t.station), t.firstDay(st.now).UnixMilli(), rev, t.document, t.date, st.now.UnixMilli()}
	// The piles that go: those of the station that are not closed by then.
	const going = "p.station_id = (SELECT id FROM stations WHERE operator = ?1 AND station = ?3) AND p.operator = ?1 AND (p.closed IS NULL OR p.closed > ?4)"
	for _, do := range []string{
		"INSERT INTO transfers (from_operator, to_operator, station, date, from_day, document, entered) VALUES (?1, ?2, ?3, ?7, ?4, ?6, ?8)",
		`INSERT INTO stations (operator, station, name, township, kind, area, site, access, hours, seasons, mobile, lng, lat, address,
			spaces, fast_spaces, reserved_spaces, capacity_kva, pv_kw, storage_kwh, opened, closed, first_opened, rev)
		SELECT ?2, station, name, township, kind, area, site, access, hours, seasons, mobile, lng, lat, address, spaces, fast_spaces,
			reserved_spaces, capacity_kva, pv_kw, storage_kwh, max(opened, ?4), closed, CASE WHEN opened < ?4 THEN coalesce(first_opened, opened) END, ?5
		FROM stations WHERE operator = ?1 AND station = ?3`,
		`INSERT INTO pile_links (operator, pile, was_operator, was_pile, from_day, why, document)
		SELECT ?2, p.pile, ?1, p.pile, ?4, 'transfer', ?6 FROM piles p WHERE ` + going + " ON CONFLICT DO NOTHING",
		`INSERT INTO connector_state (operator, pile, connector, township, shown, told, status, fault, silent, log_seq)
		SELECT ?2, c.pile, c.connector, p.township, -1, 0, 0, '', 0, 0 FROM connectors c JOIN piles p USING (operator, pile)
		WHERE (c.closed IS NULL OR c.closed > ?4) AND ` + going,
		`INSERT INTO connectors (operator, pile, connector, serial, replaces, equipment_type, connector_type, power_kw, report_s, opened, closed, first_opened, rev)
		SELECT ?2, c.pile, c.connector, c.serial, c.replaces, c.equipment_type, c.connector_type, c.power_kw, c.report_s, max(c.opened, ?4), c.closed,
			CASE WHEN c.opened < ?4 THEN coalesce(c.first_opened, c.opened) END, ?5
		FROM connectors c JOIN piles p USING (operator, pile) WHERE (c.closed IS NULL OR c.closed > ?4) AND ` + going,
		`INSERT INTO piles (operator, pile, station_id, township, opened, closed, typed, dc, decommissioned, rev)
		SELECT ?2, p.pile, (SELECT id FROM stations WHERE operator = ?2 AND station = ?3), p.township, max(p.opened, ?4), p.closed, p.typed, p.dc, p.decommissioned, ?5
		FROM piles p WHERE ` + going,
		`UPDATE connectors SET closed = max(opened, ?4), rev = ?5 WHERE (closed IS NULL OR closed > ?4) AND operator = ?1
			AND pile IN (SELECT p.pile FROM piles p WHERE ` + going + ")",
		// What an officer has yet to confirm goes along.
		`UPDATE confirmations SET operator = ?2 WHERE state = 'pending' AND operator = ?1
			AND (station = ?3 OR pile IN (SELECT p.pile FROM piles p WHERE ` + going + "))",
		"UPDATE piles AS p SET closed = max(p.opened, ?4), rev = ?5 WHERE " + going,
		"UPDATE stations SET closed = max(opened, ?4), rev = ?5 WHERE operator = ?1 AND station = ?3",
	} {
		text, given := used(do, args)
		if _, err := tx.ExecContext(ctx, text, given...); err != nil {
			return err
		}
	}
	return nil
}

var numbered = regexp.MustCompile(`\?[1-9]`)

// used gives a query those of the numbered parameters that it names: PostgreSQL cannot tell the type of any other.
func used(query string, args []any) (string, []any) {
	var given []any
	at := make(map[string]int)
	text := numbered.ReplaceAllStringFunc(query, func(name string) string {
		if at[name] == 0 {
			given = append(given, args[name[1]-'1'])
			at[name] = len(given)
		}
		return "?" + strconv.Itoa(at[name])
	})
	return text, given
}

// readTransfers gives the transfers and from when each holds.
func readTransfers(ctx context.Context, q querier, fn func(t transferRow, from time.Time) error) error {
	err := each(ctx, q, func(rows *sql.Rows) error {
		var t transferRow
		var from int64
		if err := rows.Scan(&t.from, &t.to, &t.station, &t.date, &from, &t.document); err != nil {
			return err
		}
		return fn(t, time.UnixMilli(from).In(charge.Zone))
	}, "SELECT from_operator, to_operator, station, date, from_day, document FROM transfers ORDER BY from_operator, station")
	if err != nil {
		return fmt.Errorf("read transfers: %w", err)
	}
	return nil
}

func exportTransfers(ctx context.Context, q querier, row func(...string) error) error {
	return readTransfers(ctx, q, func(t transferRow, _ time.Time) error {
		return row(string(t.from), string(t.to), string(t.station), t.date, t.document)
	})
}

// A passed station is one that another operator has, and from when.
type passed struct {
	to   charge.OperatorID
	from time.Time
}

func readPassed(ctx context.Context, q querier) (map[stationKey]passed, error) {
	all := make(map[stationKey]passed)
	err := readTransfers(ctx, q, func(t transferRow, from time.Time) error {
		all[stationKey{t.from, t.station}] = passed{t.to, from}
		return nil
	})
	return all, err
}

// refuse reports a row that would take a station, or a pile of it, back into service under its old name.
func (p passed) refuse(line int, opened, closed time.Time, bad *ImportError) {
	if p.to != "" && (closed.IsZero() || closed.After(p.from)) && opened.Before(p.from) {
		bad.add(line, "closed", "it passed to %s: want %s or before, or no such row", p.to, p.from.Format(time.DateOnly))
	}
}
