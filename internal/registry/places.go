package registry

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// A StationRow is a station with its names and its piles, by operator and id.
type StationRow struct {
	charge.Station
	OperatorName string
	TownshipName string
	CountyName   string
	Piles        []PileRow
}

// StationByID gives a station and its piles. ErrUnknownStation.
func (r *Registry) StationByID(ctx context.Context, operator charge.OperatorID, station charge.StationID) (StationRow, error) {
	found, err := r.stationRows(ctx, "WHERE operator = ? AND station = ?", string(operator), string(station))
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w %s:%s", ErrUnknownStation, operator, station)
	}
	if err != nil {
		return StationRow{}, fmt.Errorf("read station: %w", err)
	}
	return found[0], nil
}

// PublicStations gives the public stations of a township, those that are closed too, and their piles.
func (r *Registry) PublicStations(ctx context.Context, township charge.DivisionCode) ([]StationRow, error) {
	found, err := r.stationRows(ctx, "WHERE township = ? AND kind = 'public' ORDER BY operator, station", string(township))
	if err != nil {
		return nil, fmt.Errorf("read public stations of %s: %w", township, err)
	}
	return found, nil
}

func (r *Registry) stationRows(ctx context.Context, rest string, args ...any) (all []StationRow, err error) {
	err = r.inRead(ctx, func(tx *sql.Tx) error {
		all = nil
		var ids []int64
		if err := readStations(ctx, tx, func(id int64, s stationRow) error {
			ids = append(ids, id)
			all = append(all, StationRow{Station: s.Station})
			return nil
		}, rest, args...); err != nil {
			return err
		}
		for i, id := range ids {
			s := &all[i]
			if err := tx.QueryRowContext(ctx, `SELECT coalesce(o.name, ''), coalesce(t.name, ''), coalesce(c.name, '')
				FROM stations s LEFT JOIN operators o ON o.operator = s.operator LEFT JOIN divisions t ON t.code = s.township
					LEFT JOIN divisions c ON c.code = t.parent WHERE s.id = ?`, id).
				Scan(&s.OperatorName, &s.TownshipName, &s.CountyName); err != nil {
				return fmt.Errorf("read names of station %s: %w", s.ID, err)
			}
			keys, err := readKeys(ctx, tx, "SELECT township, operator, pile FROM piles INDEXED BY piles_station WHERE station_id = ? ORDER BY operator, pile", id)
			if err != nil {
				return err
			}
			if s.Piles, err = readPiles(ctx, tx, keys); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// A Point is where something stands, in WGS84 degrees.
type Point struct{ Lng, Lat float64 }

// WorkingPoints gives the real points of the public stations in service at now that are open to
// everyone, not mobile, and of which a connector was usable since a time. Stations without a point
// are left out.
func (r *Registry) WorkingPoints(ctx context.Context, since, now time.Time) ([]Point, error) {
	var all []Point
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var p Point
		if err := rows.Scan(&p.Lng, &p.Lat); err != nil {
			return err
		}
		all = append(all, p)
		return nil
	}, `SELECT s.lng, s.lat FROM stations s WHERE s.kind = 'public' AND s.access IN ('', 'public') AND s.mobile = 0 AND s.lng IS NOT NULL
			AND s.opened <= ?1 AND (s.closed IS NULL OR s.closed > ?1) AND EXISTS (SELECT 1 FROM piles p INDEXED BY piles_station
			CROSS JOIN connector_state c ON c.operator = p.operator AND c.pile = p.pile WHERE p.station_id = s.id AND c.last_usable >= ?2)
		ORDER BY s.id`, now.UnixMilli(), since.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read points of working stations: %w", err)
	}
	return all, nil
}
