package series

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// A Place is how far somebody has read the embedded file, in the order of its keys. The zero value is
// its beginning.
type Place struct {
	Hour      int64 `json:"hour"`
	Connector int64 `json:"connector"`
	Kind      int64 `json:"kind"`
	TimeMS    int64 `json:"time_ms"`
}

// Count gives the number of readings in the file, and how many of them lie before a place.
func (e *Embedded) Count(ctx context.Context, at Place) (all, before int64, err error) {
	err = e.read.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE (hour, connector, kind, time_ms) <= (?, ?, ?, ?)) FROM readings`,
		at.Hour, at.Connector, at.Kind, at.TimeMS).Scan(&all, &before)
	if err != nil {
		return 0, 0, fmt.Errorf("count readings: %w", err)
	}
	return all, before, nil
}

// After gives the next most readings after a place, as they were written, and the place of the last.
func (e *Embedded) After(ctx context.Context, at Place, most int) ([]charge.Reading, Place, error) {
	all := make([]charge.Reading, 0, most)
	err := e.each(ctx, func(rows *sql.Rows) error {
		var (
			r      charge.Reading
			seq    int64
			status sql.NullInt64
			v      [len(numbers)]sql.NullFloat64
			text   sql.NullString
		)
		if err := rows.Scan(&r.Pile.Operator, &r.Pile.Equipment, &r.Connector, &at.Hour, &at.Connector, &at.Kind, &at.TimeMS, &seq, &status,
			&v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &text); err != nil {
			return err
		}
		r.Kind = charge.Kind(at.Kind) //nolint:gosec // one of eight
		r.At = time.UnixMilli(at.TimeMS).UTC()
		r.Received = r.At
		if seq >= 0 {
			r.Has, r.Seq = r.Has|charge.HasSeq, uint64(seq)
		}
		if status.Valid {
			r.Has, r.Status = r.Has|charge.HasStatus, charge.Status(status.Int64) //nolint:gosec // a code of one byte
		}
		for i := range numbers {
			if v[i].Valid {
				r.Has |= numbers[i].has
				*numbers[i].to(&r) = v[i].Float64
			}
		}
		if text.Valid {
			var m more
			if err := json.Unmarshal([]byte(text.String), &m); err != nil {
				return fmt.Errorf("read extra fields of %s at %s: %w", r.Pile, r.At.Format(time.RFC3339), err)
			}
			m.intoReading(&r)
		}
		all = append(all, r)
		return nil
	}, `SELECT c.operator, c.pile, c.connector, r.hour, r.connector, r.kind, r.time_ms, r.seq, r.status,
 r.voltage_v, r.current_a, r.power_kw, r.energy_kwh, r.meter_kwh, r.soc_pct, r.temp_c, r.more
FROM readings r CROSS JOIN connectors c ON c.id = r.connector
WHERE (r.hour, r.connector, r.kind, r.time_ms) > (?, ?, ?, ?)
ORDER BY r.hour, r.connector, r.kind, r.time_ms LIMIT ?`, at.Hour, at.Connector, at.Kind, at.TimeMS, most)
	if err != nil {
		return nil, at, fmt.Errorf("read the file: %w", err)
	}
	return all, at, nil
}

func (m more) intoReading(r *charge.Reading) {
	r.Fault, r.FaultCode, r.Level, r.Code, r.Text, r.Order = m.Fault, m.FaultCode, m.Level, m.Code, m.Text, m.Order
	if m.StartMS != 0 {
		r.Has, r.Start = r.Has|charge.HasStart, time.UnixMilli(m.StartMS).UTC()
	}
	if m.EndMS != 0 {
		r.Has, r.End = r.Has|charge.HasEnd, time.UnixMilli(m.EndMS).UTC()
	}
}

// Long gives all that the file keeps beside readings.
func (e *Embedded) Long(ctx context.Context) (loads []Load, energies []Energy, days []Coverage, err error) {
	err = e.each(ctx, func(rows *sql.Rows) error {
		var (
			l                  Load
			ms                 int64
			minutes, operators string
		)
		if err := rows.Scan(&ms, &l.Division, &l.Partition, &l.EnergyKWh, &l.Charging, &minutes, &operators); err != nil {
			return err
		}
		l.Start = time.UnixMilli(ms).UTC()
		if err := json.Unmarshal([]byte(minutes), &l.Minutes); err != nil {
			return err
		}
		if operators != "" {
			if err := json.Unmarshal([]byte(operators), &l.Operators); err != nil {
				return err
			}
		}
		loads = append(loads, l)
		return nil
	}, "SELECT start_ms, division, partition, energy_kwh, charging, minutes, operators FROM load ORDER BY 1, 2, 3")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read load windows: %w", err)
	}
	err = e.each(ctx, func(rows *sql.Rows) error {
		var n Energy
		var ms int64
		if err := rows.Scan(&ms, &n.Division, &n.Operator, &n.Partition, &n.EnergyKWh); err != nil {
			return err
		}
		n.Day = time.UnixMilli(ms).UTC()
		energies = append(energies, n)
		return nil
	}, "SELECT day_ms, division, operator, partition, energy_kwh FROM energy ORDER BY 1, 2, 3, 4")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read energy: %w", err)
	}
	err = e.each(ctx, func(rows *sql.Rows) error {
		var c Coverage
		var ms int64
		if err := rows.Scan(&ms, &c.Division, &c.Total, &c.Effective, &c.Failing, &c.Unverified, &c.Starting, &c.None, &c.Connectors, &c.Usable); err != nil {
			return err
		}
		c.Day = time.UnixMilli(ms).UTC()
		days = append(days, c)
		return nil
	}, "SELECT day_ms, division, total, effective, failing, unverified, starting, none, connectors, usable FROM coverage ORDER BY 1, 2")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read coverage: %w", err)
	}
	return loads, energies, days, nil
}

// Backup copies the history, as it is at one moment while others go on writing, into a new file.
func (e *Embedded) Backup(ctx context.Context, path string) error {
	if _, err := e.write.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("copy history to %s: %w", path, err)
	}
	return nil
}
