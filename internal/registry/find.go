package registry

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pilewatch/internal/charge"
)

// A PileQuery asks for a page of piles. Zero fields do not filter.
type PileQuery struct {
	Division charge.DivisionCode
	Operator charge.OperatorID
	// Status of any of the pile's connectors as it is shown: "offline", "idle", "occupied",
	// "charging", "reserved", "fault", "silent" or "unseen".
	Status string
	// Search finds piles whose id, alone or as {operator}:{pile}, starts with it, and those whose
	// station's name or address contains it; ASCII letters match in either case in the latter.
	Search string
	Cursor string // what the page before gave as next
	Limit  int    // 1 to 500; 0 is 50
}

// A PileRow is a pile as lists show it.
type PileRow struct {
	Pile         charge.PileID
	Station      charge.StationID
	StationName  string
	Township     charge.DivisionCode
	TownshipName string
	CountyName   string
	OperatorName string
	Kind         charge.StationKind
	PowerKW      float64                 // rated: the strongest connector's, since connectors may share it
	DC           bool                    // T/CEC 102 EquipmentType 1 or 3
	Opened       time.Time               // the first connector's, 00:00 Asia/Shanghai
	Closed       time.Time               // the last connector's; zero while one is open
	Connectors   []charge.ConnectorState // by connector id; times are UTC
	// Decommissioned is the case by which the pile was taken out of what counts; FindPiles finds no such one.
	Decommissioned string
}

const (
	defaultPage = 50
	maxPage     = 500
	maxSearch   = 100 // characters
)

// statusCodes gives the number by which the index knows a status.
func statusCode(status string) (int, bool) {
	switch status {
	case "unseen":
		return shownUnseen, true
	case "silent":
		return shownSilent, true
	}
	for _, s := range []charge.Status{charge.Offline, charge.Idle, charge.Occupied, charge.Charging, charge.Reserved, charge.Faulted} {
		if s.String() == status {
			return int(s), true
		}
	}
	return 0, false
}

// A pileKey is the order of every list, and what a cursor holds.
type pileKey struct {
	township, operator, pile string
}

func compareKey(a, b pileKey) int {
	return cmp.Or(cmp.Compare(a.township, b.township), cmp.Compare(a.operator, b.operator), cmp.Compare(a.pile, b.pile))
}

func (k pileKey) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(k.township + "|" + k.operator + "|" + k.pile))
}

func parseCursor(s string) (k pileKey, err error) {
	if s == "" {
		return k, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(s)
	parts := strings.Split(string(text), "|")
	if err != nil || len(parts) != 3 {
		return k, fmt.Errorf("%w: cursor %s is not one of ours", ErrBadQuery, quote(s))
	}
	return pileKey{parts[0], parts[1], parts[2]}, nil
}

// A search is a checked query.
type search struct {
	after        pileKey
	from, before string // township codes
	operator     string
	shown        int
	byStatus     bool
	text         string
	want         int // rows: a page and one more, which tells whether there is a next
}

// FindPiles gives a page of the piles that match, in the order of township, operator and pile, and
// the cursor of the next page, "" after the last. Every page is found through an index from where
// the one before ended, so the last page is as fast as the first, and rows that stay are given
// exactly once even if others come and go. ErrBadQuery.
func (r *Registry) FindPiles(ctx context.Context, q PileQuery) (rows []PileRow, next string, err error) {
	s, err := checkQuery(q)
	if err != nil {
		return nil, "", fmt.Errorf("find piles: %w", err)
	}
	err = r.inRead(ctx, func(tx *sql.Tx) error {
		var keys []pileKey
		if s.text == "" {
			keys, err = s.inPlace(ctx, tx)
		} else {
			keys, err = s.byText(ctx, tx)
		}
		if err != nil {
			return err
		}
		if len(keys) == s.want {
			keys = keys[:s.want-1]
			next = keys[len(keys)-1].cursor()
		}
		if rows, err = readPiles(ctx, tx, keys); err != nil {
			return err
		}
		rows = slices.DeleteFunc(rows, func(row PileRow) bool { return row.Decommissioned != "" })
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("find piles: %w", err)
	}
	return rows, next, nil
}

func checkQuery(q PileQuery) (s search, err error) {
	if q.Division != "" {
		if _, err := charge.ParseDivisionCode(string(q.Division)); err != nil {
			return s, fmt.Errorf("%w: %w", ErrBadQuery, err)
		}
	}
	if s.after, err = parseCursor(q.Cursor); err != nil {
		return s, err
	}
	s.from, s.before = divisionRange(q.Division)
	s.operator = string(q.Operator)
	if s.byStatus = q.Status != ""; s.byStatus {
		var ok bool
		if s.shown, ok = statusCode(q.Status); !ok {
			return s, fmt.Errorf("%w: status %s is none of offline, idle, occupied, charging, reserved, fault, silent, unseen",
				ErrBadQuery, quote(q.Status))
		}
	}
	s.text = strings.TrimSpace(q.Search)
	if len([]rune(s.text)) > maxSearch {
		return s, fmt.Errorf("%w: search text over %d characters", ErrBadQuery, maxSearch)
	}
	if q.Limit < 0 || q.Limit > maxPage {
		return s, fmt.Errorf("%w: limit %d is out of range: want 1 to %d", ErrBadQuery, q.Limit, maxPage)
	}
	s.want = cmp.Or(q.Limit, defaultPage) + 1
	return s, nil
}

// A where gathers conditions and their arguments.
type where struct {
	conditions []string
	args       []any
}

func (w *where) and(condition string, args ...any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

func (w *where) String() string { return strings.Join(w.conditions, " AND ") }

// place bounds the rows to the division and to what follows the cursor. The cursor's township is
// given apart as well, since the planner bounds an index by a row value only where all of it fits.
func (s *search) place(w *where, table string) {
	from := max(s.from, s.after.township)
	w.and(table+".township >= ? AND "+table+".township < ?", from, s.before)
	if s.after != (pileKey{}) {
		w.and(fmt.Sprintf("(%[1]s.township, %[1]s.operator, %[1]s.pile) > (?, ?, ?)", table),
			s.after.township, s.after.operator, s.after.pile)
	}
}

// filter adds the operator and the status as conditions on each pile.
func (s *search) filter(w *where) {
	if s.operator != "" {
		w.and("p.operator = ?", s.operator)
	}
	if s.byStatus {
		// The + keeps the planner from going through all connectors of that status for each pile.
		w.and("EXISTS (SELECT 1 FROM connector_state c WHERE c.operator = p.operator AND c.pile = p.pile AND +c.shown = ?)", s.shown)
	}
}

func readKeys(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]pileKey, error) {
	var keys []pileKey
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var k pileKey
		if err := rows.Scan(&k.township, &k.operator, &k.pile); err != nil {
			return err
		}
		keys = append(keys, k)
		return nil
	}, query, args...)
	return keys, err
}

// few is up to how many rows are looked through one by one for another condition. What matches more
// rows than that is a good part of all, so going through the others in order soon fills a page.
const few = 20_000

// inPlace finds piles by place, operator and status. The index is named each time: without
// statistics the planner guesses, and a wrong guess reads a million rows.
func (s *search) inPlace(ctx context.Context, tx *sql.Tx) ([]pileKey, error) {
	small := false
	if s.operator != "" && s.byStatus {
		var n int
		err := tx.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM piles INDEXED BY piles_operator WHERE operator = ? LIMIT ?) AS few",
			s.operator, few+1).Scan(&n)
		if err != nil {
			return nil, err
		}
		small = n <= few
	}
	var w where
	if s.byStatus && !small {
		w.and("c.shown = ?", s.shown)
		s.place(&w, "c")
		if s.operator != "" {
			w.and("c.operator = ?", s.operator)
		}
		return readKeys(ctx, tx, "SELECT c.township, c.operator, c.pile FROM connector_state c INDEXED BY connector_state_shown WHERE "+
			w.String()+" GROUP BY c.township, c.operator, c.pile ORDER BY c.township, c.operator, c.pile LIMIT ?", append(w.args, s.want)...)
	}
	index := "piles_place"
	if s.operator != "" {
		index = "piles_operator"
	}
	s.place(&w, "p")
	s.filter(&w)
	return readKeys(ctx, tx, "SELECT p.township, p.operator, p.pile FROM piles p INDEXED BY "+index+" WHERE "+w.String()+
		" ORDER BY p.township, p.operator, p.pile LIMIT ?", append(w.args, s.want)...)
}

// byText finds piles by their id or their station, and by place, operator and status.
func (s *search) byText(ctx context.Context, tx *sql.Tx) ([]pileKey, error) {
	if s.byStatus {
		keys, ok, err := s.byRareStatus(ctx, tx)
		if ok || err != nil {
			return keys, err
		}
	}
	byID, err := s.byID(ctx, tx)
	if err != nil {
		return nil, err
	}
	byStation, err := s.byStation(ctx, tx)
	if err != nil {
		return nil, err
	}
	keys := append(byID, byStation...)
	slices.SortFunc(keys, compareKey)
	keys = slices.Compact(keys)
	return keys[:min(len(keys), s.want)], nil
}

// byRareStatus looks through the connectors of a status, where these are few.
func (s *search) byRareStatus(ctx context.Context, tx *sql.Tx) (keys []pileKey, ok bool, err error) {
	var w where
	w.and("c.shown = ?", s.shown)
	s.place(&w, "c")
	var n int
	err = tx.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM connector_state c INDEXED BY connector_state_shown WHERE "+
		w.String()+" LIMIT ?) AS few", append(slices.Clone(w.args), few+1)...).Scan(&n)
	if err != nil || n > few {
		return nil, false, err
	}
	if s.operator != "" {
		w.and("c.operator = ?", s.operator)
	}
	like := s.like()
	text, args := `t.name LIKE ? ESCAPE '\' OR t.address LIKE ? ESCAPE '\'`, []any{like, like}
	if operator, prefix, ok := s.idPrefix(); ok {
		text, args = text+" OR (p.pile >= ? AND p.pile < ? AND (? = '' OR p.operator = ?))", append(args, prefix, prefix+afterIDs, operator, operator)
	}
	w.and("("+text+")", args...)
	keys, err = readKeys(ctx, tx, `SELECT c.township, c.operator, c.pile FROM connector_state c INDEXED BY connector_state_shown
		CROSS JOIN piles p ON p.operator = c.operator AND p.pile = c.pile CROSS JOIN stations t ON t.id = p.station_id WHERE `+
		w.String()+" GROUP BY c.township, c.operator, c.pile ORDER BY c.township, c.operator, c.pile LIMIT ?", append(w.args, s.want)...)
	return keys, true, err
}

// like is the text as a pattern of SQL's LIKE that finds it anywhere.
func (s *search) like() string {
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s.text) + "%"
}

// afterIDs follows every character of an id.
const afterIDs = "\x7f"

// idPrefix reads the text as the beginning of a pile's id; operator is "" where it names none, and
// ok is false where no pile can have such an id.
func (s *search) idPrefix() (operator, prefix string, ok bool) {
	operator, prefix = s.operator, s.text
	if before, after, ok := strings.Cut(s.text, ":"); ok {
		if operator != "" && operator != before {
			return "", "", false
		}
		operator, prefix = before, after
	}
	ok = (operator == "" || charge.ValidID(operator)) && (prefix == "" || prefix == "-" || charge.ValidID(prefix))
	return operator, prefix, ok
}

// manyIDs is from how many piles on their ids are no longer sorted but looked for in order: there
// are then so many that a page is soon full.
const manyIDs = 100_000

func (s *search) byID(ctx context.Context, tx *sql.Tx) ([]pileKey, error) {
	operator, prefix, ok := s.idPrefix()
	if !ok {
		return nil, nil
	}
	end := prefix + afterIDs
	only := *s
	only.operator = operator
	var w where
	only.place(&w, "p")
	only.filter(&w)
	w.and("p.pile >= ? AND p.pile < ?", prefix, end)
	index := "piles_operator"
	if operator == "" {
		var n int
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM
			(SELECT 1 FROM piles INDEXED BY piles_pile WHERE pile >= ? AND pile < ? LIMIT ?) AS few`, prefix, end, manyIDs).Scan(&n)
		if err != nil {
			return nil, err
		}
		if index = "piles_pile"; n == manyIDs {
			index = "piles_place"
		}
	}
	return readKeys(ctx, tx, "SELECT p.township, p.operator, p.pile FROM piles p INDEXED BY "+index+" WHERE "+w.String()+
		" ORDER BY p.township, p.operator, p.pile LIMIT ?", append(w.args, s.want)...)
}

// stationsAtOnce is of how many stations the piles are asked for together.
const stationsAtOnce = 200

// byStation goes through the stations that match in the order of their townships, and stops at the
// end of the township in which the page is full.
func (s *search) byStation(ctx context.Context, tx *sql.Tx) ([]pileKey, error) {
	like := s.like()
	rest, args := "", []any{max(s.from, s.after.township), s.before, like, like}
	if s.operator != "" {
		rest, args = " AND operator = ?", append(args, s.operator)
	}
	var (
		keys     []pileKey
		group    []any
		township string
		errFull  = errors.New("page is full")
	)
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		var w where
		w.and("p.station_id IN (?"+strings.Repeat(", ?", len(group)-1)+")", group...)
		s.place(&w, "p")
		s.filter(&w)
		found, err := readKeys(ctx, tx, "SELECT p.township, p.operator, p.pile FROM piles p INDEXED BY piles_station WHERE "+w.String()+
			" ORDER BY p.township, p.operator, p.pile LIMIT ?", append(w.args, s.want)...)
		keys, group = append(keys, found...), group[:0]
		return err
	}
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var id int64
		var at string
		if err := rows.Scan(&id, &at); err != nil {
			return err
		}
		switch {
		case at != township && (len(group) >= stationsAtOnce/2 || len(keys)+len(group) >= s.want), len(group) >= stationsAtOnce:
			if err := flush(); err != nil {
				return err
			}
			if at != township && len(keys) >= s.want {
				return errFull
			}
		}
		township = at
		group = append(group, id)
		return nil
	}, `SELECT id, township FROM stations INDEXED BY stations_text WHERE township >= ? AND township < ?
		AND (name LIKE ? ESCAPE '\' OR address LIKE ? ESCAPE '\')`+rest+` ORDER BY township`, args...)
	if errors.Is(err, errFull) {
		return keys, nil
	}
	if err != nil {
		return nil, err
	}
	return keys, flush()
}

// PileByID gives a pile and its station. ErrUnknownPile.
func (r *Registry) PileByID(ctx context.Context, id charge.PileID) (row PileRow, station charge.Station, err error) {
	err = r.inRead(ctx, func(tx *sql.Tx) error {
		rows, err := readPiles(ctx, tx, []pileKey{{operator: string(id.Operator), pile: id.Equipment}})
		if err != nil {
			return err
		}
		row = rows[0]
		return readStations(ctx, tx, func(_ int64, s stationRow) error {
			station = s.Station
			return nil
		}, "WHERE id = (SELECT station_id FROM piles WHERE operator = ? AND pile = ?)", string(id.Operator), id.Equipment)
	})
	if err != nil {
		return PileRow{}, charge.Station{}, fmt.Errorf("read pile: %w", err)
	}
	return row, station, nil
}

// readPiles reads piles in the order of their keys, with two queries for the piles of each operator: both databases'
// planners find a list of piles of one operator by the index. ErrUnknownPile.
func readPiles(ctx context.Context, tx *sql.Tx, keys []pileKey) ([]PileRow, error) {
	found, of := make(map[charge.PileID]*PileRow, len(keys)), make(map[string][]string)
	for _, key := range keys {
		of[key.operator] = append(of[key.operator], key.pile)
	}
	for operator, piles := range of {
		for some := range slices.Chunk(piles, maxPage) {
			if err := readPilesOf(ctx, tx, operator, some, found); err != nil {
				return nil, fmt.Errorf("read piles of operator %s: %w", operator, err)
			}
		}
	}
	all := make([]PileRow, 0, len(keys))
	for _, key := range keys {
		id := charge.PileID{Operator: charge.OperatorID(key.operator), Equipment: key.pile}
		row := found[id]
		if row == nil {
			return nil, fmt.Errorf("%w %s", ErrUnknownPile, id)
		}
		all = append(all, *row)
	}
	return all, nil
}

func readPilesOf(ctx context.Context, tx *sql.Tx, operator string, piles []string, found map[charge.PileID]*PileRow) error {
	args := []any{operator}
	for _, pile := range piles {
		args = append(args, pile)
	}
	among := "IN (?" + strings.Repeat(", ?", len(piles)-1) + ")"
	err := each(ctx, tx, func(rows *sql.Rows) error {
		row := &PileRow{}
		err := rows.Scan(&row.Pile.Operator, &row.Pile.Equipment, &row.Station, &row.StationName, &row.Township, &row.Kind, &row.OperatorName,
			&row.TownshipName, &row.CountyName, &row.Decommissioned)
		found[row.Pile] = row
		return err
	}, `SELECT p.operator, p.pile, s.station, s.name, s.township, s.kind, o.name, coalesce(t.name, ''), coalesce(c.name, ''), p.decommissioned
		FROM piles p CROSS JOIN stations s ON s.id = p.station_id CROSS JOIN operators o ON o.operator = p.operator
			LEFT JOIN divisions t ON t.code = s.township LEFT JOIN divisions c ON c.code = t.parent
		WHERE p.operator = ? AND p.pile `+among, args...)
	if err != nil {
		return err
	}
	open := make(map[charge.PileID]bool, len(piles))
	err = each(ctx, tx, func(rows *sql.Rows) error {
		var (
			equipment                                    int
			power                                        float64
			opened, closed, since, lastHeard, lastUsable sql.NullInt64
			c                                            charge.ConnectorState
		)
		id := &c.Key.Pile
		if err := rows.Scan(&id.Operator, &id.Equipment, &c.Key.Connector, &equipment, &power, &opened, &closed, &c.Told, &c.Status, &c.Fault, &c.Silent,
			&since, &lastHeard, &lastUsable); err != nil {
			return err
		}
		row := found[*id]
		if row == nil {
			return nil // of a pile whose station is not there
		}
		c.Since, c.LastHeard, c.LastUsable = fromMillis(since, time.UTC), fromMillis(lastHeard, time.UTC), fromMillis(lastUsable, time.UTC)
		row.PowerKW = max(row.PowerKW, power)
		row.DC = row.DC || isDC(equipment)
		if at := fromMillis(opened, charge.Zone); row.Opened.IsZero() || at.Before(row.Opened) {
			row.Opened = at
		}
		if at := fromMillis(closed, charge.Zone); at.IsZero() {
			open[*id] = true
		} else if at.After(row.Closed) {
			row.Closed = at
		}
		row.Connectors = append(row.Connectors, c)
		return nil
	}, `SELECT c.operator, c.pile, c.connector, c.equipment_type, c.power_kw, c.opened, c.closed, coalesce(h.told, 0), coalesce(h.status, 0),
			coalesce(h.fault, ''), coalesce(h.silent, 0), h.since, h.last_heard, h.last_usable
		FROM connectors c LEFT JOIN connector_state h ON h.operator = c.operator AND h.pile = c.pile AND h.connector = c.connector
		WHERE c.operator = ? AND c.pile `+among+` ORDER BY c.pile, c.connector`, args...)
	if err != nil {
		return fmt.Errorf("connectors: %w", err)
	}
	for id := range open {
		found[id].Closed = time.Time{}
	}
	return nil
}
