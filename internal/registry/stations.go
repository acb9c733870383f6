package registry

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strconv"

	"pilewatch/internal/charge"
)

var stationColumns = columnsOf("operator,station,township,kind,opened",
	"operator", "station", "name", "township", "kind", "area", "site", "access", "hours", "seasons", "mobile",
	"lng", "lat", "crs", "address", "spaces", "fast_spaces", "reserved_spaces", "capacity_kva", "pv_kw",
	"storage_kwh", "opened", "closed")

type stationKey struct {
	operator charge.OperatorID
	station  charge.StationID
}

// A stationRow is a station with what only the registry keeps of it.
type stationRow struct {
	charge.Station
	spaces, fastSpaces, reservedSpaces sql.NullInt64
	capacityKVA, pvKW, storageKWh      sql.NullFloat64
	line                               int
}

func (s *stationRow) key() stationKey { return stationKey{s.Operator, s.ID} }

// same tells whether two rows say the same, whatever their lines and their times' locations.
func (s stationRow) same(o stationRow) bool {
	if !s.Opened.Equal(o.Opened) || !s.Closed.Equal(o.Closed) {
		return false
	}
	o.line, o.Opened, o.Closed = s.line, s.Opened, s.Closed
	return s == o
}

type stationStage struct {
	rows    []stationRow
	changed []stationRow
}

func parseStations(src io.Reader, bad *ImportError) (stage, error) {
	st := &stationStage{}
	seen := make(map[stationKey]int)
	err := readCSV(src, stationColumns, bad, func(rec *record) {
		s := readStation(rec)
		if s.Operator != "" && s.ID != "" {
			firstLine(seen, rec, "station", s.key(), fmt.Sprintf("station %s of %s", s.ID, s.Operator))
		}
		st.rows = append(st.rows, s) // its references are checked even where another field is wrong
	})
	return st, err
}

func readStation(rec *record) stationRow {
	s := stationRow{line: rec.line}
	s.Operator = charge.OperatorID(rec.id("operator"))
	s.ID = charge.StationID(rec.id("station"))
	s.Name = rec.text("name")
	if code, err := charge.ParseDivisionCode(rec.raw("township")); err == nil && code.Level() == charge.Township {
		s.Township = code
	} else {
		rec.fail("township", "%s is not a township's code: want 9 digits", quote(rec.raw("township")))
	}
	s.Kind = charge.StationKind(rec.oneOf("kind", true, string(charge.Public), string(charge.Dedicated), string(charge.Residential)))
	s.Area = rec.oneOf("area", false, "urban", "rural")
	s.Site = rec.text("site")
	s.Access = rec.oneOf("access", false, "public", "limited", "inner")
	s.Hours, s.Seasons = rec.text("hours"), rec.text("seasons")
	if _, err := charge.ParseSchedule(s.Hours, ""); err != nil {
		rec.fail("hours", "%v", err)
	}
	if _, err := charge.ParseSchedule("", s.Seasons); err != nil {
		rec.fail("seasons", "%v", err)
	}
	s.Mobile = rec.yes("mobile")
	readPoint(rec, &s)
	s.Address = rec.text("address")

	const most = 100_000
	for col, v := range map[string]*sql.NullInt64{"spaces": &s.spaces, "fast_spaces": &s.fastSpaces, "reserved_spaces": &s.reservedSpaces} {
		v.Int64, v.Valid = rec.whole(col, 0, most)
	}
	for col, v := range map[string]*sql.NullFloat64{"capacity_kva": &s.capacityKVA, "pv_kw": &s.pvKW, "storage_kwh": &s.storageKWh} {
		v.Float64, v.Valid = rec.number(col, 0, 10*most)
	}
	s.Opened, s.Closed = rec.period()
	return s
}

// readPoint reads lng and lat, converted to WGS84; crs left out means wgs84.
func readPoint(rec *record, s *stationRow) {
	hasLng, hasLat := rec.raw("lng") != "", rec.raw("lat") != ""
	crs := rec.oneOf("crs", false, "wgs84", "gcj02")
	if hasLng != hasLat {
		missing := "lng"
		if hasLng {
			missing = "lat"
		}
		rec.fail(missing, "missing: a point has both lng and lat")
		return
	}
	lng, okLng := rec.number("lng", minLng, maxLng)
	lat, okLat := rec.number("lat", minLat, maxLat)
	if !okLng || !okLat {
		return
	}
	if crs == "gcj02" {
		lng, lat = fromGCJ02(lng, lat)
	}
	s.HasPoint, s.Lng, s.Lat = true, lng, lat
}

func (st *stationStage) check(ctx context.Context, q querier, bad *ImportError) (done Imported, err error) {
	st.changed = nil
	operators, err := stringSet[charge.OperatorID](ctx, q, "SELECT operator FROM operators")
	if err != nil {
		return done, err
	}
	townships, err := stringSet[charge.DivisionCode](ctx, q, "SELECT code FROM divisions WHERE level = ?", string(charge.Township))
	if err != nil {
		return done, err
	}
	for _, s := range st.rows {
		if s.Operator != "" && !operators[s.Operator] {
			bad.add(s.line, "operator", "unknown operator %s", s.Operator)
		}
		if s.Township != "" && !townships[s.Township] {
			bad.add(s.line, "township", "unknown township %s", s.Township)
		}
	}
	if len(bad.Rows) > 0 {
		return done, nil
	}
	present := make(map[stationKey]stationRow)
	if err := readStations(ctx, q, func(_ int64, s stationRow) error {
		present[s.key()] = s
		return nil
	}, ""); err != nil {
		return done, err
	}
	for _, s := range st.rows {
		switch before, ok := present[s.key()]; {
		case !ok:
			done.Added++
		case !before.same(s):
			done.Updated++
		default:
			done.Unchanged++
			continue
		}
		st.changed = append(st.changed, s)
	}
	return done, nil
}

func (st *stationStage) apply(ctx context.Context, tx *sql.Tx, rev int64) error {
	var put, movePiles, moveStates *sql.Stmt
	if err := prepareAll(ctx, tx, map[string]**sql.Stmt{
		`INSERT INTO stations (operator, station, name, township, kind, area, site, access, hours, seasons, mobile, lng, lat,
			address, spaces, fast_spaces, reserved_spaces, capacity_kva, pv_kw, storage_kwh, opened, closed, rev)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (operator, station) DO UPDATE SET name = excluded.name, township = excluded.township, kind = excluded.kind,
			area = excluded.area, site = excluded.site, access = excluded.access, hours = excluded.hours,
			seasons = excluded.seasons, mobile = excluded.mobile, lng = excluded.lng, lat = excluded.lat,
			address = excluded.address, spaces = excluded.spaces, fast_spaces = excluded.fast_spaces,
			reserved_spaces = excluded.reserved_spaces, capacity_kva = excluded.capacity_kva, pv_kw = excluded.pv_kw,
			storage_kwh = excluded.storage_kwh, opened = excluded.opened, closed = excluded.closed, rev = excluded.rev
		RETURNING id`: &put,
		// A station that moves takes its piles along: they keep its township.
		"UPDATE piles SET township = ?1, rev = ?2 WHERE station_id = ?3 AND township <> ?1": &movePiles,
		`UPDATE connector_state SET township = ?1 WHERE township <> ?1
			AND (operator, pile) IN (SELECT operator, pile FROM piles WHERE station_id = ?2)`: &moveStates,
	}); err != nil {
		return err
	}
	for _, s := range st.changed {
		var lng, lat sql.NullFloat64
		if s.HasPoint {
			lng, lat = sql.NullFloat64{Float64: s.Lng, Valid: true}, sql.NullFloat64{Float64: s.Lat, Valid: true}
		}
		var id int64
		err := put.QueryRowContext(ctx, string(s.Operator), string(s.ID), s.Name, string(s.Township), string(s.Kind), s.Area, s.Site,
			s.Access, s.Hours, s.Seasons, s.Mobile, lng, lat, s.Address, s.spaces, s.fastSpaces, s.reservedSpaces,
			s.capacityKVA, s.pvKW, s.storageKWh, millis(s.Opened), millis(s.Closed), rev).Scan(&id)
		if err != nil {
			return fmt.Errorf("write station %s:%s: %w", s.Operator, s.ID, err)
		}
		if _, err := movePiles.ExecContext(ctx, string(s.Township), rev, id); err != nil {
			return fmt.Errorf("move piles of station %s:%s: %w", s.Operator, s.ID, err)
		}
		if _, err := moveStates.ExecContext(ctx, string(s.Township), id); err != nil {
			return fmt.Errorf("move connectors of station %s:%s: %w", s.Operator, s.ID, err)
		}
	}
	return nil
}

// readStations reads the stations that the rest of the query (WHERE, ORDER BY) asks for.
func readStations(ctx context.Context, q querier, fn func(id int64, s stationRow) error, rest string, args ...any) error {
	err := each(ctx, q, func(rows *sql.Rows) error {
		var (
			s              stationRow
			id             int64
			lng, lat       sql.NullFloat64
			opened, closed sql.NullInt64
		)
		err := rows.Scan(&id, &s.Operator, &s.ID, &s.Name, &s.Township, &s.Kind, &s.Area, &s.Site, &s.Access, &s.Hours,
			&s.Seasons, &s.Mobile, &lng, &lat, &s.Address, &s.spaces, &s.fastSpaces, &s.reservedSpaces, &s.capacityKVA,
			&s.pvKW, &s.storageKWh, &opened, &closed)
		if err != nil {
			return err
		}
		s.HasPoint, s.Lng, s.Lat = lng.Valid && lat.Valid, lng.Float64, lat.Float64
		s.Opened, s.Closed = fromMillis(opened, charge.Zone), fromMillis(closed, charge.Zone)
		return fn(id, s)
	}, `SELECT id, operator, station, name, township, kind, area, site, access, hours, seasons, mobile, lng, lat, address,
		spaces, fast_spaces, reserved_spaces, capacity_kva, pv_kw, storage_kwh, opened, closed FROM stations `+rest, args...)
	if err != nil {
		return fmt.Errorf("read stations: %w", err)
	}
	return nil
}

func exportStations(ctx context.Context, q querier, row func(...string) error) error {
	return readStations(ctx, q, func(_ int64, s stationRow) error {
		var lng, lat, crs, mobile string
		if s.HasPoint {
			lng, lat, crs = plain(s.Lng), plain(s.Lat), "wgs84"
		}
		if s.Mobile {
			mobile = "true"
		}
		return row(string(s.Operator), string(s.ID), s.Name, string(s.Township), string(s.Kind), s.Area, s.Site, s.Access,
			s.Hours, s.Seasons, mobile, lng, lat, crs, s.Address, wholeText(s.spaces), wholeText(s.fastSpaces),
			wholeText(s.reservedSpaces), numberText(s.capacityKVA), numberText(s.pvKW), numberText(s.storageKWh),
			dateText(s.Opened), dateText(s.Closed))
	}, "ORDER BY operator, station")
}

func wholeText(v sql.NullInt64) string {
	if !v.Valid {
		return ""
	}
	return strconv.FormatInt(v.Int64, 10)
}

func numberText(v sql.NullFloat64) string {
	if !v.Valid {
		return ""
	}
	return plain(v.Float64)
}
