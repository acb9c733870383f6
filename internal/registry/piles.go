package registry

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"time"

	"pilewatch/internal/charge"
)

var pileColumns = columnsOf("operator,station,pile,connector,power_kw,opened",
	"operator", "station", "pile", "connector", "serial", "replaces", "equipment_type", "connector_type", "power_kw",
	"report_s", "opened", "closed")

const (
	maxPowerKW = 5000
	maxReport  = 24 * 60 * 60 // seconds; a pile that reports less than once a day cannot be judged
)

// A connectorRow is one row of the piles file.
type connectorRow struct {
	charge.Connector
	replaces string // the pile's id before, by the operator's word
	line     int
}

func (c *connectorRow) key() charge.ConnectorKey {
	return charge.ConnectorKey{Pile: c.Pile, Connector: c.ID}
}

func (c connectorRow) same(o connectorRow) bool {
	if !c.Opened.Equal(o.Opened) || !c.Closed.Equal(o.Closed) {
		return false
	}
	o.line, o.Opened, o.Closed = c.line, c.Opened, c.Closed
	return c == o
}

type pileStage struct {
	rows     []connectorRow
	stations map[stationKey]stationPlace // of the registry, by the last check
	changed  []pileChange
	kept     map[int]connectorRow // by row: what stands of it while an officer has not confirmed the rest
	claims   *claims
	serials  bool // the registry has some
	links    []pileLink
}

// A pileLink is the same machine under another name.
type pileLink struct{ pile, was charge.PileID }

// row is a row of the file as it is written.
func (st *pileStage) row(i int) *connectorRow {
	if kept, ok := st.kept[i]; ok {
		return &kept
	}
	return &st.rows[i]
}

// A pileChange is what the check found of one row: whether its pile, its connector, and the pile
// at this station, are new to the registry.
type pileChange struct {
	row                    int
	newPile, newRow, moved bool
}

type stationPlace struct {
	id       int64
	township charge.DivisionCode
	kind     charge.StationKind
	area     string
}

func parsePiles(src io.Reader, bad *ImportError) (stage, error) {
	type atStation struct {
		station charge.StationID
		line    int
	}
	st := &pileStage{}
	seen := make(map[charge.ConnectorKey]int)
	places := make(map[charge.PileID]atStation)
	err := readCSV(src, pileColumns, bad, func(rec *record) {
		c := readConnector(rec)
		if c.Pile.Operator != "" && c.Pile.Equipment != "" && c.ID != "" {
			firstLine(seen, rec, "connector", c.key(), "connector "+c.key().String())
		}
		if at, ok := places[c.Pile]; !ok && c.Pile.Equipment != "" {
			places[c.Pile] = atStation{c.Station, rec.line}
		} else if ok && at.station != c.Station && at.station != "" && c.Station != "" {
			rec.fail("station", "%s, where line %d has the same pile at %s", c.Station, at.line, at.station)
		}
		st.rows = append(st.rows, c)
	})
	// In the order of the key, so that look-ups and writes go through the file once, not all over it.
	slices.SortFunc(st.rows, func(a, b connectorRow) int { return compareKeys(a.key(), b.key()) })
	return st, err
}

func readConnector(rec *record) connectorRow {
	c := connectorRow{line: rec.line}
	c.Pile.Operator = charge.OperatorID(rec.id("operator"))
	c.Station = charge.StationID(rec.id("station"))
	c.Pile.Equipment = rec.id("pile")
	c.ID = charge.ConnectorID(rec.id("connector"))
	c.Serial = rec.text("serial")
	if c.replaces = rec.raw("replaces"); c.replaces != "" && !charge.ValidID(c.replaces) {
		rec.fail("replaces", "%s is not a pile's id", quote(c.replaces))
	}
	c.EquipmentType = rec.code("equipment_type", 5)
	c.ConnectorType = rec.code("connector_type", 6)
	power, ok := rec.number("power_kw", 0, maxPowerKW)
	switch {
	case rec.raw("power_kw") == "":
		rec.fail("power_kw", "missing")
	case ok && power == 0:
		rec.fail("power_kw", "0 is out of range: want more than 0")
	}
	c.PowerKW = power
	if seconds, ok := rec.whole("report_s", 1, maxReport); ok {
		c.ReportEvery = time.Duration(seconds) * time.Second
	}
	c.Opened, c.Closed = rec.period()
	return c
}

func (st *pileStage) check(ctx context.Context, q querier, now time.Time, bad *ImportError) (done Imported, err error) {
	st.changed, st.kept, st.links = nil, make(map[int]connectorRow), nil
	if st.claims, err = readClaims(ctx, q, now); err != nil {
		return done, err
	}
	if err := q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM connectors WHERE serial <> '')").Scan(&st.serials); err != nil {
		return done, err
	}
	operators, err := stringSet[charge.OperatorID](ctx, q, "SELECT operator FROM operators")
	if err != nil {
		return done, err
	}
	if st.stations, err = readPlaces(ctx, q); err != nil {
		return done, err
	}
	gone, err := readPassed(ctx, q)
	if err != nil {
		return done, err
	}
	for i := range st.rows {
		c := &st.rows[i]
		gone[stationKey{c.Pile.Operator, c.Station}].refuse(c.line, c.Opened, c.Closed, bad)
		if c.Pile.Operator == "" {
			continue // reported
		}
		if !operators[c.Pile.Operator] {
			bad.add(c.line, "operator", "unknown operator %s", c.Pile.Operator)
			continue
		}
		if _, ok := st.stations[stationKey{c.Pile.Operator, c.Station}]; !ok && c.Station != "" {
			bad.add(c.line, "station", "unknown station %s of %s", c.Station, c.Pile.Operator)
		}
	}
	if len(bad.Rows) > 0 {
		return done, nil
	}
	for from, to := range sameOperator(st.rows) {
		if err := st.compare(ctx, q, from, to, &done); err != nil {
			return done, err
		}
	}
	return done, nil
}

// sameOperator gives the ranges of rows, which are sorted, that belong to one operator.
func sameOperator(rows []connectorRow) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for from := 0; from < len(rows); {
			to := from + 1
			for to < len(rows) && rows[to].Pile.Operator == rows[from].Pile.Operator {
				to++
			}
			if !yield(from, to) {
				return
			}
			from = to
		}
	}
}

// scanFrom is from how many rows of an operator on its connectors are read in one go and merged with
// the file's: reading one that is not in the file costs a tenth of looking one up that is.
const scanFrom = 2000

// compare sorts one operator's rows into new, changed and unchanged ones.
func (st *pileStage) compare(ctx context.Context, q querier, from, to int, done *Imported) error {
	next := from
	var group []presentRow // the registry's connectors of one pile
	// pass notes the file's rows up to the group's pile, and those of the group's pile against it.
	var fresh []int // rows of piles that are not in the registry
	pass := func() {
		for ; next < to && st.rows[next].Pile.Equipment < group[0].Pile.Equipment; next++ {
			fresh = append(fresh, next)
			st.note(next, nil, done)
		}
		for ; next < to && st.rows[next].Pile == group[0].Pile; next++ {
			st.note(next, group, done)
		}
		group = group[:0]
	}
	visit := func(row presentRow) error {
		if len(group) > 0 && group[0].Pile != row.Pile {
			pass()
		}
		group = append(group, row)
		return nil
	}
	operator := string(st.rows[from].Pile.Operator)
	if to-from >= scanFrom {
		first, last := st.rows[from].Pile.Equipment, st.rows[to-1].Pile.Equipment
		if err := readPresent(ctx, q, visit, operator, first, last); err != nil {
			return err
		}
	} else {
		for i := from; i < to; i++ {
			if pile := st.rows[i].Pile; i == from || pile != st.rows[i-1].Pile {
				if err := readPresent(ctx, q, visit, operator, pile.Equipment, pile.Equipment); err != nil {
					return err
				}
			}
		}
	}
	if len(group) > 0 {
		pass()
	}
	for ; next < to; next++ {
		fresh = append(fresh, next)
		st.note(next, nil, done)
	}
	if !st.serials {
		return nil
	}
	for _, i := range fresh {
		if err := st.recognise(ctx, q, i, done); err != nil {
			return err
		}
	}
	return nil
}

// recognise looks for a new pile's serial number under another name: the machine's clocks go on, and
// a new opened holds only when an officer confirms it.
func (st *pileStage) recognise(ctx context.Context, q querier, i int, done *Imported) error {
	c := st.rows[i]
	if c.Serial == "" {
		return nil
	}
	var was charge.PileID
	var first sql.NullInt64
	err := q.QueryRowContext(ctx, `SELECT operator, pile, opened FROM connectors WHERE serial = ? AND NOT (operator = ? AND pile = ?)
		ORDER BY opened, operator, pile LIMIT 1`, c.Serial, string(c.Pile.Operator), c.Pile.Equipment).Scan(&was.Operator, &was.Equipment, &first)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find serial %s: %w", quote(c.Serial), err)
	}
	if link := (pileLink{c.Pile, was}); !slices.Contains(st.links, link) {
		st.links = append(st.links, link)
	}
	opened := fromMillis(first, charge.Zone)
	if opened.Equal(c.Opened) || !c.Closed.IsZero() && c.Closed.Before(opened) {
		return nil
	}
	asked := []Confirmation{{
		Field: "opened", Before: dateText(opened), Value: dateText(c.Opened), Reason: "a new opened on a known serial, that of " + was.String(),
	}}
	if st.claims.settle(claimKey{operator: c.Pile.Operator, pile: c.Pile.Equipment, connector: c.ID}, []string{"opened"}, asked) {
		done.Unconfirmed++
	}
	c.Opened = opened
	st.kept[i] = c
	return nil
}

// note compares one row of the file with what the registry has of its pile.
func (st *pileStage) note(i int, present []presentRow, done *Imported) {
	c := &st.rows[i]
	change := pileChange{row: i, newPile: len(present) == 0}
	if !change.newPile {
		change.moved = present[0].at != st.stations[stationKey{c.Pile.Operator, c.Station}].id
	}
	before := slices.IndexFunc(present, func(p presentRow) bool { return p.ID == c.ID })
	claimed := false
	if !change.newPile {
		c, claimed = st.guard(i, &change, present, before, done)
	}
	switch {
	case before < 0:
		change.newRow = true
		done.Added++
	case claimed && !change.moved && present[before].same(*c):
		done.Updated++
		return
	case !change.moved && present[before].same(*c):
		done.Unchanged++
		return
	default:
		done.Updated++
	}
	st.changed = append(st.changed, change)
}

// guard takes back what an officer must confirm of a row of a known pile.
func (st *pileStage) guard(i int, change *pileChange, present []presentRow, before int, done *Imported) (c *connectorRow, claimed bool) {
	row := st.rows[i]
	settle := func(connector charge.ConnectorID, field string, asked ...Confirmation) {
		if st.claims.settle(claimKey{operator: row.Pile.Operator, pile: row.Pile.Equipment, connector: connector}, []string{field}, asked) {
			claimed = true
			done.Unconfirmed += len(asked)
		}
	}
	at := st.stations[stationKey{row.Pile.Operator, present[0].Station}]
	to := st.stations[stationKey{row.Pile.Operator, row.Station}]
	if change.moved && (at.township != to.township || at.kind != to.kind || at.area != to.area && at.area != "") {
		settle("", "station", Confirmation{
			Field: "station", Before: string(present[0].Station), Value: string(row.Station),
			Reason: "a move to a station of another township, kind or area",
		})
		row.Station, change.moved = present[0].Station, false
	} else {
		settle("", "station")
	}
	if before >= 0 && !present[before].Opened.Equal(row.Opened) {
		settle(row.ID, "opened", Confirmation{
			Field: "opened", Before: dateText(present[before].Opened), Value: dateText(row.Opened), Reason: "a new opened on a known id",
		})
		row.Opened = present[before].Opened
		if !row.Closed.IsZero() && row.Closed.Before(row.Opened) {
			row.Closed = row.Opened
		}
	} else if before >= 0 {
		settle(row.ID, "opened")
	}
	if row != st.rows[i] {
		st.kept[i] = row
		return &row, claimed
	}
	return &st.rows[i], claimed
}

// A presentRow is a connector of the registry and the id of its station there.
type presentRow struct {
	connectorRow
	at int64
}

// readPresent reads an operator's connectors from one pile to another, sorted.
func readPresent(ctx context.Context, q querier, fn func(presentRow) error, operator, first, last string) error {
	err := each(ctx, q, func(rows *sql.Rows) error {
		var (
			row            presentRow
			report         int64
			opened, closed sql.NullInt64
		)
		row.Pile.Operator = charge.OperatorID(operator)
		if err := rows.Scan(&row.Pile.Equipment, &row.ID, &row.at, &row.Station, &row.Serial, &row.replaces, &row.EquipmentType,
			&row.ConnectorType, &row.PowerKW, &report, &opened, &closed); err != nil {
			return err
		}
		row.ReportEvery = time.Duration(report) * time.Second
		row.Opened, row.Closed = fromMillis(opened, charge.Zone), fromMillis(closed, charge.Zone)
		return fn(row)
	}, `SELECT c.pile, c.connector, p.station_id, s.station, c.serial, c.replaces, c.equipment_type, c.connector_type, c.power_kw,
			c.report_s, c.opened, c.closed
		FROM connectors c CROSS JOIN piles p ON p.operator = c.operator AND p.pile = c.pile CROSS JOIN stations s ON s.id = p.station_id
		WHERE c.operator = ? AND c.pile >= ? AND c.pile <= ? ORDER BY c.operator, c.pile, c.connector`, operator, first, last)
	if err != nil {
		return fmt.Errorf("read connectors of %s: %w", operator, err)
	}
	return nil
}

func readPlaces(ctx context.Context, q querier) (map[stationKey]stationPlace, error) {
	places := make(map[stationKey]stationPlace)
	err := each(ctx, q, func(rows *sql.Rows) error {
		var key stationKey
		var place stationPlace
		if err := rows.Scan(&place.id, &key.operator, &key.station, &place.township, &place.kind, &place.area); err != nil {
			return err
		}
		places[key] = place
		return nil
	}, "SELECT id, operator, station, township, kind, area FROM stations")
	if err != nil {
		return nil, fmt.Errorf("read stations: %w", err)
	}
	return places, nil
}

// pileWriter holds the statements of an apply: plain inserts and updates, since the check has told
// which; an upsert takes half as long again, for what SQLite keeps to undo it.
type pileWriter struct {
	addPile, putPile, addConnector, putConnector, addState, moveStates *sql.Stmt

	rev int64
}

func (st *pileStage) apply(ctx context.Context, tx *sql.Tx, rev int64) error {
	w := pileWriter{rev: rev}
	if err := prepareAll(ctx, tx, map[string]**sql.Stmt{
		`INSERT INTO piles (operator, pile, station_id, township, opened, closed, typed, dc, rev)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`: &w.addPile,
		`UPDATE piles SET station_id = ?3, township = ?4, rev = ?5, (opened, closed, typed, dc) =
			(SELECT min(c.opened), CASE WHEN count(c.closed) = count(*) THEN max(c.closed) END,
				max(CASE WHEN c.equipment_type <> 0 THEN 1 ELSE 0 END), max(CASE WHEN c.equipment_type IN (1, 3) THEN 1 ELSE 0 END)
			FROM connectors c WHERE c.operator = ?1 AND c.pile = ?2)
		WHERE operator = ?1 AND pile = ?2`: &w.putPile,
		"UPDATE connector_state SET township = ?1 WHERE operator = ?2 AND pile = ?3 AND township <> ?1": &w.moveStates,
		`INSERT INTO connectors (serial, replaces, equipment_type, connector_type, power_kw, report_s, opened, closed, rev,
			operator, pile, connector) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`: &w.addConnector,
		`UPDATE connectors SET serial = ?, replaces = ?, equipment_type = ?, connector_type = ?, power_kw = ?, report_s = ?,
			opened = ?, closed = ?, rev = ? WHERE operator = ? AND pile = ? AND connector = ?`: &w.putConnector,
		`INSERT INTO connector_state (operator, pile, connector, township, shown, told, status, fault, silent, log_seq)
		VALUES (?, ?, ?, ?, ?, 0, 0, '', 0, 0)`: &w.addState,
	}); err != nil {
		return err
	}
	if err := st.claims.apply(ctx, tx); err != nil {
		return err
	}
	for _, link := range st.links {
		if _, err := tx.ExecContext(ctx, `INSERT INTO pile_links (operator, pile, was_operator, was_pile, from_day, why, document)
			VALUES (?, ?, ?, ?, ?, 'serial', '') ON CONFLICT DO NOTHING`, string(link.pile.Operator), link.pile.Equipment,
			string(link.was.Operator), link.was.Equipment, startOfDay(st.claims.now).UnixMilli()); err != nil {
			return fmt.Errorf("link pile %s with %s: %w", link.pile, link.was, err)
		}
	}
	for rest := st.changed; len(rest) > 0; {
		pile, n := st.rows[rest[0].row].Pile, 1
		for n < len(rest) && st.rows[rest[n].row].Pile == pile {
			n++
		}
		if err := st.applyPile(ctx, &w, rest[:n]); err != nil {
			return fmt.Errorf("write pile %s: %w", pile, err)
		}
		rest = rest[n:]
	}
	return nil
}

// applyPile writes the changes of one pile.
func (st *pileStage) applyPile(ctx context.Context, w *pileWriter, changes []pileChange) error {
	first := st.row(changes[0].row)
	operator, pile := string(first.Pile.Operator), first.Pile.Equipment
	place := st.stations[stationKey{first.Pile.Operator, first.Station}]
	var typed, dc, open bool
	opened, closed := first.Opened, first.Closed
	for _, change := range changes {
		c := st.row(change.row)
		put := w.putConnector
		if change.newRow {
			put = w.addConnector
		}
		_, err := put.ExecContext(ctx, c.Serial, c.replaces, c.EquipmentType, c.ConnectorType, c.PowerKW,
			int64(c.ReportEvery/time.Second), millis(c.Opened), millis(c.Closed), w.rev, operator, pile, string(c.ID))
		if err != nil {
			return fmt.Errorf("write connector %s: %w", c.ID, err)
		}
		if change.newRow {
			if _, err := w.addState.ExecContext(ctx, operator, pile, string(c.ID), string(place.township), shownUnseen); err != nil {
				return fmt.Errorf("write state of connector %s: %w", c.ID, err)
			}
		}
		typed = typed || c.EquipmentType != 0
		dc = dc || isDC(c.EquipmentType)
		open = open || c.Closed.IsZero()
		if c.Opened.Before(opened) {
			opened = c.Opened
		}
		if c.Closed.After(closed) {
			closed = c.Closed
		}
	}
	if changes[0].newPile { // all its connectors are here
		if open {
			closed = time.Time{}
		}
		_, err := w.addPile.ExecContext(ctx, operator, pile, place.id, string(place.township), millis(opened), millis(closed), typed, dc, w.rev)
		return err
	}
	if _, err := w.putPile.ExecContext(ctx, operator, pile, place.id, string(place.township), w.rev); err != nil {
		return err
	}
	if changes[0].moved {
		_, err := w.moveStates.ExecContext(ctx, string(place.township), operator, pile)
		return err
	}
	return nil
}

// isDC goes by T/CEC 102's EquipmentType: DC, or AC and DC in one.
func isDC(equipmentType int) bool { return equipmentType == 1 || equipmentType == 3 }

func exportPiles(ctx context.Context, q querier, row func(...string) error) error {
	return each(ctx, q, func(rows *sql.Rows) error {
		var (
			operator, station, pile, connector, serial, replaces string
			equipment, gun, report                               int64
			power                                                float64
			opened, closed                                       sql.NullInt64
		)
		err := rows.Scan(&operator, &station, &pile, &connector, &serial, &replaces, &equipment, &gun, &power, &report, &opened, &closed)
		if err != nil {
			return err
		}
		return row(operator, station, pile, connector, serial, replaces, codeText(equipment), codeText(gun), plain(power),
			codeText(report), dateText(fromMillis(opened, charge.Zone)), dateText(fromMillis(closed, charge.Zone)))
	}, `SELECT c.operator, s.station, c.pile, c.connector, c.serial, c.replaces, c.equipment_type, c.connector_type,
			c.power_kw, c.report_s, c.opened, c.closed
		FROM connectors c JOIN piles p ON p.operator = c.operator AND p.pile = c.pile JOIN stations s ON s.id = p.station_id
		ORDER BY c.operator, c.pile, c.connector`)
}

// codeText writes a number of which 0 means "not known".
func codeText(v int64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatInt(v, 10)
}

func compareKeys(a, b charge.ConnectorKey) int {
	return cmp.Or(cmp.Compare(a.Pile.Operator, b.Pile.Operator), cmp.Compare(a.Pile.Equipment, b.Pile.Equipment),
		cmp.Compare(a.Connector, b.Connector))
}
