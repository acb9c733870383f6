package registry

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strconv"
	"time"

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
	o.line, o.Opened, o.Closed, o.FirstOpened = s.line, s.Opened, s.Closed, s.FirstOpened // that is of transfers, not of the file
	return s == o
}

type stationStage struct {
	rows    []stationRow
	now     time.Time // of the check
	changed []stationChange
	claims  *claims
}

// A stationChange is a row as it is written, and what was there before.
type stationChange struct {
	row    stationRow
	before *stationRow // nil: new
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

func (st *stationStage) check(ctx context.Context, q querier, now time.Time, bad *ImportError) (done Imported, err error) {
	st.changed, st.now = nil, now
	operators, err := stringSet[charge.OperatorID](ctx, q, "SELECT operator FROM operators")
	if err != nil {
		return done, err
	}
	townships, err := stringSet[charge.DivisionCode](ctx, q, "SELECT code FROM divisions WHERE level = ?", string(charge.Township))
	if err != nil {
		return done, err
	}
	gone, err := readPassed(ctx, q)
	if err != nil {
		return done, err
	}
	for _, s := range st.rows {
		gone[s.key()].refuse(s.line, s.Opened, s.Closed, bad)
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
	if st.claims, err = readClaims(ctx, q, now); err != nil {
		return done, err
	}
	for _, s := range st.rows {
		change := stationChange{row: s}
		if before, ok := present[s.key()]; ok {
			change.before = &before
		}
		asked := change.row.guard(change.before, st.claims.limits)
		claimed := st.claims.settle(claimKey{operator: s.Operator, station: s.ID}, guardedOfStation, asked)
		if claimed {
			done.Unconfirmed += len(asked)
		}
		switch {
		case change.before == nil:
			done.Added++
		case !change.before.same(change.row):
			done.Updated++
		case claimed:
			done.Updated++
			continue
		default:
			done.Unchanged++
			continue
		}
		st.changed = append(st.changed, change)
	}
	return done, nil
}

func (st *stationStage) apply(ctx context.Context, tx *sql.Tx, rev int64) error {
	var put, movePiles, moveStates, firstTerms, terms *sql.Stmt
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
		`INSERT INTO station_terms (station_id, from_day, township, kind, area, access, hours, seasons, mobile)
			VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`: &firstTerms,
		`INSERT INTO station_terms (station_id, township, kind, area, access, hours, seasons, mobile, from_day, entered)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ` + onConflict(2, "station_id", "from_day", "township", "kind", "area", "access", "hours",
			"seasons", "mobile", "entered"): &terms,
	}); err != nil {
		return err
	}
	if st.claims != nil {
		if err := st.claims.apply(ctx, tx); err != nil {
			return err
		}
	}
	for _, change := range st.changed {
		s := change.row
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
		if change.before == nil || change.before.Terms() == s.Terms() {
			continue
		}
		if _, err := firstTerms.ExecContext(ctx, termsArgs(id, change.before.Terms())...); err != nil {
			return fmt.Errorf("write first terms of station %s:%s: %w", s.Operator, s.ID, err)
		}
		tomorrow := startOfDay(st.now).AddDate(0, 0, 1)
		if _, err := terms.ExecContext(ctx, append(termsArgs(id, s.Terms()), tomorrow.UnixMilli(), st.now.UnixMilli())...); err != nil {
			return fmt.Errorf("write terms of station %s:%s: %w", s.Operator, s.ID, err)
		}
	}
	return nil
}

func termsArgs(id int64, t charge.StationTerms) []any {
	return []any{id, string(t.Township), string(t.Kind), t.Area, t.Access, t.Hours, t.Seasons, t.Mobile}
}

// readPasts reads the terms of the stations that have changed once and are newer than a revision.
func readPasts(ctx context.Context, q querier, newer int64) (map[int64]*charge.StationPast, error) {
	pasts := make(map[int64]*charge.StationPast)
	err := each(ctx, q, func(rows *sql.Rows) error {
		var t charge.StationTerms
		var id, from int64
		if err := rows.Scan(&id, &from, &t.Township, &t.Kind, &t.Area, &t.Access, &t.Hours, &t.Seasons, &t.Mobile); err != nil {
			return err
		}
		if from != 0 {
			t.From = time.UnixMilli(from).In(charge.Zone)
		}
		if pasts[id] == nil {
			pasts[id] = &charge.StationPast{}
		}
		pasts[id].Terms = append(pasts[id].Terms, t)
		return nil
	}, `SELECT t.station_id, t.from_day, t.township, t.kind, t.area, t.access, t.hours, t.seasons, t.mobile
		FROM station_terms t CROSS JOIN stations s ON s.id = t.station_id WHERE s.rev > ? ORDER BY t.station_id, t.from_day`, newer)
	if err != nil {
		return nil, fmt.Errorf("read terms of stations: %w", err)
	}
	return pasts, nil
}

// readStations reads the stations that the rest of the query (WHERE, ORDER BY) asks for.
func readStations(ctx context.Context, q querier, fn func(id int64, s stationRow) error, rest string, args ...any) error {
	err := each(ctx, q, func(rows *sql.Rows) error {
		var (
			s              stationRow
			id             int64
			lng, lat       sql.NullFloat64
			opened, closed sql.NullInt64
			first          sql.NullInt64
		)
		err := rows.Scan(&id, &s.Operator, &s.ID, &s.Name, &s.Township, &s.Kind, &s.Area, &s.Site, &s.Access, &s.Hours,
			&s.Seasons, &s.Mobile, &lng, &lat, &s.Address, &s.spaces, &s.fastSpaces, &s.reservedSpaces, &s.capacityKVA,
			&s.pvKW, &s.storageKWh, &opened, &closed, &first)
		if err != nil {
			return err
		}
		s.HasPoint, s.Lng, s.Lat = lng.Valid && lat.Valid, lng.Float64, lat.Float64
		s.Opened, s.Closed = fromMillis(opened, charge.Zone), fromMillis(closed, charge.Zone)
		s.FirstOpened = fromMillis(first, charge.Zone)
		return fn(id, s)
	}, `SELECT id, operator, station, name, township, kind, area, site, access, hours, seasons, mobile, lng, lat, address,
		spaces, fast_spaces, reserved_spaces, capacity_kva, pv_kw, storage_kwh, opened, closed, first_opened FROM stations `+rest, args...)
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
