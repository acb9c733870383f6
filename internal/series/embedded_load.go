package series

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// schema2 is what version 2 added to history.db.
const schema2 = `
CREATE TABLE IF NOT EXISTS load (
	start_ms   INTEGER NOT NULL,
	division   TEXT NOT NULL,
	partition  INTEGER NOT NULL,
	energy_kwh REAL NOT NULL,
	charging   REAL NOT NULL,
	minutes    TEXT NOT NULL, -- JSON: 15 times kW
	operators  TEXT NOT NULL, -- JSON: kWh by operator; of counties only
	PRIMARY KEY (start_ms, division, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS energy (
	day_ms     INTEGER NOT NULL,
	division   TEXT NOT NULL,
	operator   TEXT NOT NULL,
	partition  INTEGER NOT NULL,
	energy_kwh REAL NOT NULL,
	PRIMARY KEY (day_ms, division, operator, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS coverage (
	day_ms     INTEGER NOT NULL,
	division   TEXT NOT NULL,
	total      INTEGER NOT NULL,
	effective  INTEGER NOT NULL,
	failing    INTEGER NOT NULL,
	unverified INTEGER NOT NULL,
	starting   INTEGER NOT NULL,
	none       INTEGER NOT NULL,
	connectors INTEGER NOT NULL,
	usable     INTEGER NOT NULL,
	PRIMARY KEY (day_ms, division)
) WITHOUT ROWID;
PRAGMA user_version = 2;
`

// each runs a query and calls fn at each row.
func (e *Embedded) each(ctx context.Context, fn func(*sql.Rows) error, query string, args ...any) (err error) {
	rows, err := e.read.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Draws calls fn with what each connector told of its power in a range, by time, the connectors in
// the order of their keys.
func (e *Embedded) Draws(ctx context.Context, from, to time.Time, fn func(charge.ConnectorKey, []charge.Draw)) error {
	var (
		of    charge.ConnectorKey
		draws []charge.Draw
	)
	err := e.each(ctx, func(rows *sql.Rows) error {
		var (
			key    charge.ConnectorKey
			ms     int64
			status *int64
			kw     *float64
		)
		if err := rows.Scan(&key.Pile.Operator, &key.Pile.Equipment, &key.Connector, &ms, &status, &kw); err != nil {
			return err
		}
		if key != of {
			if len(draws) > 0 {
				fn(of, draws)
			}
			of, draws = key, draws[:0]
		}
		if d, ok := drawOf(ms, status, kw); ok {
			draws = append(draws, d)
		}
		return nil
	}, fmt.Sprintf(`SELECT c.operator, c.pile, c.connector, r.time_ms, r.status, r.power_kw
FROM readings r CROSS JOIN connectors c ON c.id = r.connector
WHERE r.hour BETWEEN ?1 AND ?2 AND r.time_ms >= ?3 AND r.time_ms < ?4 AND r.kind IN (%d, %d)
ORDER BY c.operator, c.pile, c.connector, r.time_ms, r.kind`, charge.KindStatus, charge.KindTelemetry),
		floorDiv(from.UnixMilli(), hourMS), floorDiv(to.UnixMilli()-1, hourMS), from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return fmt.Errorf("read power from %s: %w", from.Format(time.RFC3339), err)
	}
	if len(draws) > 0 {
		fn(of, draws)
	}
	return nil
}

// insertAll writes rows in one transaction.
func (e *Embedded) insertAll(ctx context.Context, query string, rows int, row func(i int) ([]any, error)) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	e.mu.Lock()
	defer e.mu.Unlock()
	tx, err := e.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	stmt, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = stmt.Close() }()
	for i := range rows {
		values, err := row(i)
		if err != nil {
			return err
		}
		if _, err := stmt.ExecContext(ctx, values...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// WriteLoads writes windows; one that is there is replaced.
func (e *Embedded) WriteLoads(ctx context.Context, loads []Load) error {
	err := e.insertAll(ctx, "INSERT OR REPLACE INTO load VALUES (?,?,?,?,?,?,?)", len(loads), func(i int) ([]any, error) {
		l := &loads[i]
		minutes, operators, err := l.texts()
		return []any{l.Start.UnixMilli(), string(l.Division), l.Partition, l.EnergyKWh, l.Charging, minutes, operators}, err
	})
	if err != nil {
		return fmt.Errorf("write %d load windows: %w", len(loads), err)
	}
	return nil
}

// Loads gives a division's windows, its partitions added up, by time.
func (e *Embedded) Loads(ctx context.Context, division charge.DivisionCode, from, to time.Time) ([]Load, error) {
	if err := checkRange(division, from, to, MaxLoadRange); err != nil {
		return nil, fmt.Errorf("query load: %w", err)
	}
	sum := adder{}
	err := e.each(ctx, func(rows *sql.Rows) error {
		var (
			ms            int64
			kWh, charging float64
			minutes       string
		)
		if err := rows.Scan(&ms, &kWh, &charging, &minutes); err != nil {
			return err
		}
		return sum.add(ms, division, kWh, charging, minutes)
	}, `SELECT start_ms, energy_kwh, charging, minutes FROM load
WHERE start_ms >= ? AND start_ms < ? AND division = ? ORDER BY start_ms, partition`, from.UnixMilli(), to.UnixMilli(), string(division))
	if err != nil {
		return nil, fmt.Errorf("read load of %s: %w", division, err)
	}
	return sum.sorted(), nil
}

// OperatorLoads gives the energy of operators in the counties' windows of a range: only Start,
// Division, Partition and Operators are set.
func (e *Embedded) OperatorLoads(ctx context.Context, from, to time.Time) ([]Load, error) {
	var all []Load
	err := e.each(ctx, func(rows *sql.Rows) error {
		var (
			l         Load
			ms        int64
			operators string
		)
		if err := rows.Scan(&ms, &l.Division, &l.Partition, &operators); err != nil {
			return err
		}
		l.Start = time.UnixMilli(ms).UTC()
		all = append(all, l)
		return json.Unmarshal([]byte(operators), &all[len(all)-1].Operators)
	}, `SELECT start_ms, division, partition, operators FROM load
WHERE start_ms >= ? AND start_ms < ? AND operators != '' ORDER BY start_ms, division, partition`, from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read load of operators from %s: %w", from.Format(time.RFC3339), err)
	}
	return all, nil
}

// WriteEnergies writes whole days of divisions; a row that is there is replaced.
func (e *Embedded) WriteEnergies(ctx context.Context, energies []Energy) error {
	err := e.insertAll(ctx, "INSERT OR REPLACE INTO energy VALUES (?,?,?,?,?)", len(energies), func(i int) ([]any, error) {
		n := &energies[i]
		return []any{n.Day.UnixMilli(), string(n.Division), string(n.Operator), n.Partition, n.EnergyKWh}, nil
	})
	if err != nil {
		return fmt.Errorf("write %d days of energy: %w", len(energies), err)
	}
	return nil
}

// Energies gives energy by day and what the query tells apart; Operator is set by operator only.
func (e *Embedded) Energies(ctx context.Context, q EnergyQuery) ([]Energy, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	operator := "''"
	if q.By == ByOperator {
		operator = "operator"
	}
	var all []Energy
	err := e.each(ctx, func(rows *sql.Rows) error {
		var (
			n  Energy
			ms int64
		)
		if err := rows.Scan(&ms, &n.Division, &n.Operator, &n.EnergyKWh); err != nil {
			return err
		}
		n.Day = time.UnixMilli(ms).UTC()
		all = append(all, n)
		return nil
	}, `SELECT day_ms, division, `+operator+` AS o, sum(energy_kwh) FROM energy
WHERE day_ms >= ?1 AND day_ms < ?2 AND length(division) = ?3 AND substr(division, 1, length(?4)) = ?4
GROUP BY day_ms, division, o ORDER BY day_ms, division, o`, q.From.UnixMilli(), q.To.UnixMilli(), q.codeDigits(), string(q.Division))
	if err != nil {
		return nil, fmt.Errorf("read energy of %s: %w", q.Division, err)
	}
	return all, nil
}

// WriteCoverage writes days; one that is there is replaced.
func (e *Embedded) WriteCoverage(ctx context.Context, days []Coverage) error {
	err := e.insertAll(ctx, "INSERT OR REPLACE INTO coverage VALUES (?,?,?,?,?,?,?,?,?,?)", len(days), func(i int) ([]any, error) {
		c := &days[i]
		return []any{c.Day.UnixMilli(), string(c.Division), c.Total, c.Effective, c.Failing, c.Unverified, c.Starting, c.None, c.Connectors, c.Usable}, nil
	})
	if err != nil {
		return fmt.Errorf("write %d days of coverage: %w", len(days), err)
	}
	return nil
}

// Coverages gives a division's days, by time.
func (e *Embedded) Coverages(ctx context.Context, division charge.DivisionCode, from, to time.Time) ([]Coverage, error) {
	if err := checkRange(division, from, to, LongKeep); err != nil {
		return nil, fmt.Errorf("query coverage: %w", err)
	}
	var all []Coverage
	err := e.each(ctx, func(rows *sql.Rows) error {
		c := Coverage{Division: division}
		var ms int64
		if err := rows.Scan(&ms, &c.Total, &c.Effective, &c.Failing, &c.Unverified, &c.Starting, &c.None, &c.Connectors, &c.Usable); err != nil {
			return err
		}
		c.Day = time.UnixMilli(ms).UTC()
		all = append(all, c)
		return nil
	}, `SELECT day_ms, total, effective, failing, unverified, starting, none, connectors, usable FROM coverage
WHERE day_ms >= ? AND day_ms < ? AND division = ? ORDER BY day_ms`, from.UnixMilli(), to.UnixMilli(), string(division))
	if err != nil {
		return nil, fmt.Errorf("read coverage of %s: %w", division, err)
	}
	return all, nil
}

// purgeLong deletes windows older than before, and what is one row a day once it is as old as InfluxDB
// keeps it. Called each hour, it finds few rows, but of piles, which it takes in steps.
func (e *Embedded) purgeLong(ctx context.Context, before time.Time) error {
	days := before.Add(Keep - LongKeep).UnixMilli()
	for {
		n, err := e.purgeAvailability(ctx, days)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_, loads := e.write.ExecContext(ctx, "DELETE FROM load WHERE start_ms < ?", before.UnixMilli())
	_, energies := e.write.ExecContext(ctx, "DELETE FROM energy WHERE day_ms < ?", days)
	_, coverage := e.write.ExecContext(ctx, "DELETE FROM coverage WHERE day_ms < ?", days)
	return errors.Join(loads, energies, coverage)
}
