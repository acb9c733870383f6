package registry

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
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
	changed  []int                       // indexes into rows
	unmoved  []bool                      // of each changed row: the pile is at its station already
}

type stationPlace struct {
	id       int64
	township charge.DivisionCode
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
		if c.Pile.Operator == "" || c.Station == "" {
			return
		}
		if at, ok := places[c.Pile]; ok && at.station != c.Station {
			rec.fail("station", "%s, where line %d has the same pile at %s", c.Station, at.line, at.station)
		} else if !ok {
			places[c.Pile] = atStation{c.Station, rec.line}
		}
		st.rows = append(st.rows, c)
	})
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

func (st *pileStage) check(ctx context.Context, q querier, bad *ImportError) (done Imported, err error) {
	st.changed, st.unmoved = nil, nil
	operators, err := stringSet[charge.OperatorID](ctx, q, "SELECT operator FROM operators")
	if err != nil {
		return done, err
	}
	if st.stations, err = readPlaces(ctx, q); err != nil {
		return done, err
	}
	for i := range st.rows {
		c := &st.rows[i]
		if !operators[c.Pile.Operator] {
			bad.add(c.line, "operator", "unknown operator %s", c.Pile.Operator)
		} else if _, ok := st.stations[stationKey{c.Pile.Operator, c.Station}]; !ok {
			bad.add(c.line, "station", "unknown station %s of %s", c.Station, c.Pile.Operator)
		}
	}
	if len(bad.Rows) > 0 {
		return done, nil
	}
	tx, ok := q.(*sql.Tx)
	if !ok {
		return done, errors.New("check piles outside a transaction")
	}
	stmt, err := tx.PrepareContext(ctx, `SELECT p.station_id, c.serial, c.replaces, c.equipment_type, c.connector_type,
			c.power_kw, c.report_s, c.opened, c.closed
		FROM connectors c JOIN piles p ON p.operator = c.operator AND p.pile = c.pile
		WHERE c.operator = ? AND c.pile = ? AND c.connector = ?`)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	for i := range st.rows {
		c := &st.rows[i]
		before := connectorRow{Connector: charge.Connector{Pile: c.Pile, ID: c.ID, Station: c.Station}}
		var (
			at             int64
			report         int64
			opened, closed sql.NullInt64
		)
		err := stmt.QueryRowContext(ctx, string(c.Pile.Operator), c.Pile.Equipment, string(c.ID)).Scan(&at, &before.Serial,
			&before.replaces, &before.EquipmentType, &before.ConnectorType, &before.PowerKW, &report, &opened, &closed)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return done, fmt.Errorf("look up connector %s: %w", c.key(), err)
		}
		if err != nil {
			done.Added++
			st.changed, st.unmoved = append(st.changed, i), append(st.unmoved, false)
			continue
		}
		before.ReportEvery = time.Duration(report) * time.Second
		before.Opened, before.Closed = fromMillis(opened, charge.Zone), fromMillis(closed, charge.Zone)
		unmoved := at == st.stations[stationKey{c.Pile.Operator, c.Station}].id
		if unmoved && before.same(*c) {
			done.Unchanged++
			continue
		}
		done.Updated++
		st.changed, st.unmoved = append(st.changed, i), append(st.unmoved, unmoved)
	}
	return done, nil
}

func readPlaces(ctx context.Context, q querier) (map[stationKey]stationPlace, error) {
	places := make(map[stationKey]stationPlace)
	err := each(ctx, q, func(rows *sql.Rows) error {
		var key stationKey
		var place stationPlace
		if err := rows.Scan(&place.id, &key.operator, &key.station, &place.township); err != nil {
			return err
		}
		places[key] = place
		return nil
	}, "SELECT id, operator, station, township FROM stations")
	if err != nil {
		return nil, fmt.Errorf("read stations: %w", err)
	}
	return places, nil
}

func (st *pileStage) apply(ctx context.Context, tx *sql.Tx, rev int64) error {
	var putPile, putConnector, putState, moveStates *sql.Stmt
	if err := prepareAll(ctx, tx, map[string]**sql.Stmt{
		`INSERT INTO piles (operator, pile, station_id, township, rev) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (operator, pile) DO UPDATE SET station_id = excluded.station_id, township = excluded.township,
			rev = excluded.rev`: &putPile,
		`INSERT INTO connectors (operator, pile, connector, serial, replaces, equipment_type, connector_type, power_kw,
			report_s, opened, closed, rev) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (operator, pile, connector) DO UPDATE SET serial = excluded.serial, replaces = excluded.replaces,
			equipment_type = excluded.equipment_type, connector_type = excluded.connector_type,
			power_kw = excluded.power_kw, report_s = excluded.report_s, opened = excluded.opened,
			closed = excluded.closed, rev = excluded.rev`: &putConnector,
		`INSERT INTO connector_state (operator, pile, connector, township, shown, told, status, fault, silent, log_seq)
		VALUES (?, ?, ?, ?, ?, 0, 0, '', 0, 0) ON CONFLICT DO NOTHING`: &putState,
		`UPDATE connector_state SET township = ?1 WHERE operator = ?2 AND pile = ?3 AND township <> ?1`: &moveStates,
	}); err != nil {
		return err
	}
	var last charge.PileID
	for i, at := range st.changed {
		c := &st.rows[at]
		operator, pile, connector := string(c.Pile.Operator), c.Pile.Equipment, string(c.ID)
		place := st.stations[stationKey{c.Pile.Operator, c.Station}]
		if c.Pile != last {
			if _, err := putPile.ExecContext(ctx, operator, pile, place.id, string(place.township), rev); err != nil {
				return fmt.Errorf("write pile %s: %w", c.Pile, err)
			}
			last = c.Pile
		}
		_, err := putConnector.ExecContext(ctx, operator, pile, connector, c.Serial, c.replaces, c.EquipmentType,
			c.ConnectorType, c.PowerKW, int64(c.ReportEvery/time.Second), millis(c.Opened), millis(c.Closed), rev)
		if err != nil {
			return fmt.Errorf("write connector %s: %w", c.key(), err)
		}
		if st.unmoved[i] {
			continue
		}
		if _, err := putState.ExecContext(ctx, operator, pile, connector, string(place.township), shownUnseen); err != nil {
			return fmt.Errorf("write state of connector %s: %w", c.key(), err)
		}
		if _, err := moveStates.ExecContext(ctx, string(place.township), operator, pile); err != nil {
			return fmt.Errorf("move connector %s: %w", c.key(), err)
		}
	}
	return nil
}

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
