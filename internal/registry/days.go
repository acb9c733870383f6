package registry

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"pilewatch/internal/charge"
)

// monthsKept is for how long days of connectors and piles are kept (design: "Health and coverage").
const monthsKept = 36

// DaysKeptFrom is the first day of connectors and piles that is still kept at now.
func DaysKeptFrom(now time.Time) time.Time {
	month, _ := monthNumber(now)
	return dayOfMonthNumber(month-monthsKept, 0)
}

const secondsADay = 24 * 60 * 60

// dayNumber numbers the day in which at lies, and dayStart gives its 00:00 back.
func dayNumber(at time.Time) int64 {
	_, offset := at.In(charge.Zone).Zone()
	seconds := at.Unix() + int64(offset)
	day := seconds / secondsADay
	if seconds%secondsADay < 0 {
		day--
	}
	return day
}

func dayStart(day int64) time.Time {
	return time.Date(1970, 1, 1, 0, 0, 0, 0, charge.Zone).AddDate(0, 0, int(day))
}

// monthNumber numbers the month in which at lies; dayOfMonth is the day in it, from 0.
func monthNumber(at time.Time) (month int64, dayOfMonth int) {
	year, m, day := at.In(charge.Zone).Date()
	return int64(year)*12 + int64(m) - 1, day - 1
}

func dayOfMonthNumber(month int64, day int) time.Time {
	return time.Date(int(month/12), time.Month(month%12+1), day+1, 0, 0, 0, 0, charge.Zone)
}

// A dayRow is a day to be packed into its month; connector is "" for a pile's.
type dayRow struct {
	key     charge.ConnectorKey
	day     time.Time
	minutes charge.DayMinutes
	frozen  bool
}

// saveDays packs days into their months. A day that is frozen is never changed, and a step that is
// older than what a month holds already is left out: it is in it.
func saveDays(ctx context.Context, tx *sql.Tx, seq int64, rows []dayRow, get, put string, args func(month int64, key *charge.ConnectorKey) []any) error {
	if len(rows) == 0 {
		return nil
	}
	var read, write *sql.Stmt
	if err := prepareAll(ctx, tx, map[string]**sql.Stmt{get: &read, put: &write}); err != nil {
		return err
	}
	// In the order of the table. Rows come by day, so each month's are gathered rather than all sorted.
	type packed struct {
		month int64
		key   charge.ConnectorKey
	}
	groups := make(map[packed][]dayRow)
	var month int64
	var of time.Time // the day that month is of
	for _, row := range rows {
		if !row.day.Equal(of) || of.IsZero() {
			of = row.day
			month, _ = monthNumber(of)
		}
		at := packed{month, row.key}
		groups[at] = append(groups[at], row)
	}
	for _, at := range slices.SortedFunc(maps.Keys(groups), func(a, b packed) int { return cmp.Or(cmp.Compare(a.month, b.month), compareKeys(a.key, b.key)) }) {
		if err := saveMonth(ctx, read, write, seq, groups[at], args(at.month, &at.key)); err != nil {
			return fmt.Errorf("write days of %s: %w", at.key, err)
		}
	}
	return nil
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// saveMonth packs days of one month of one connector or pile.
func saveMonth(ctx context.Context, read, write *sql.Stmt, seq int64, rows []dayRow, args []any) error {
	m := &monthOfDays{}
	var packed []byte
	var stored int64
	switch err := read.QueryRowContext(ctx, args...).Scan(&packed, &stored); {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	case stored > seq:
		return nil
	default:
		if m, err = decodeMonth(packed); err != nil {
			return err
		}
	}
	for _, row := range rows {
		_, i := monthNumber(row.day)
		if m.frozen&(1<<i) != 0 {
			continue
		}
		m.days[i] = row.minutes
		m.present |= 1 << i
		if row.frozen {
			m.frozen |= 1 << i
		}
	}
	_, err := write.ExecContext(ctx, append(args, m.encode(), seq)...)
	return err
}

func saveConnectorDays(ctx context.Context, tx *sql.Tx, seq int64, days []ConnectorDay) error {
	rows := make([]dayRow, len(days))
	for i, d := range days {
		rows[i] = dayRow{d.Key, d.Day, d.Minutes, d.Frozen}
	}
	return saveDays(ctx, tx, seq, rows,
		"SELECT days, log_seq FROM connector_month WHERE month = ? AND operator = ? AND pile = ? AND connector = ?",
		upsert("connector_month", 4, "month", "operator", "pile", "connector", "days", "log_seq"),
		func(month int64, key *charge.ConnectorKey) []any {
			return []any{month, string(key.Pile.Operator), key.Pile.Equipment, string(key.Connector)}
		})
}

func savePileDays(ctx context.Context, tx *sql.Tx, seq int64, days []PileDay) error {
	rows := make([]dayRow, len(days))
	for i, d := range days {
		rows[i] = dayRow{charge.ConnectorKey{Pile: d.Pile}, d.Day, d.Minutes, d.Frozen}
	}
	return saveDays(ctx, tx, seq, rows,
		"SELECT days, log_seq FROM pile_month WHERE month = ? AND operator = ? AND pile = ?",
		upsert("pile_month", 3, "month", "operator", "pile", "days", "log_seq"),
		func(month int64, key *charge.ConnectorKey) []any {
			return []any{month, string(key.Pile.Operator), key.Pile.Equipment}
		})
}

// inMonth gives the days that are there, from the day of from to that of to, both inclusive.
func (m *monthOfDays) inMonth(month int64, from, to time.Time) iter.Seq2[int, time.Time] {
	first, last := dayNumber(from), dayNumber(to)
	return func(yield func(int, time.Time) bool) {
		for i := range m.days {
			if m.present&(1<<i) == 0 {
				continue
			}
			day := dayOfMonthNumber(month, i)
			if n := dayNumber(day); n >= first && n <= last && !yield(i, day) {
				return
			}
		}
	}
}

// ConnectorDays gives the days of a connector that were saved, from the day of from to that of to,
// both inclusive, in order.
func (r *Registry) ConnectorDays(ctx context.Context, key charge.ConnectorKey, from, to time.Time) ([]ConnectorDay, error) {
	var all []ConnectorDay
	first, _ := monthNumber(from)
	last, _ := monthNumber(to)
	for month := first; month <= last; month++ {
		m, err := readMonth(ctx, r.read, "SELECT days FROM connector_month WHERE month = ? AND operator = ? AND pile = ? AND connector = ?",
			month, string(key.Pile.Operator), key.Pile.Equipment, string(key.Connector))
		if err != nil {
			return nil, fmt.Errorf("read days of connector %s: %w", key, err)
		}
		for i, day := range m.inMonth(month, from, to) {
			all = append(all, ConnectorDay{key, day, m.days[i], m.frozen&(1<<i) != 0})
		}
	}
	return all, nil
}

// PileDays is ConnectorDays for a pile as the union of its connectors.
func (r *Registry) PileDays(ctx context.Context, pile charge.PileID, from, to time.Time) ([]PileDay, error) {
	var all []PileDay
	first, _ := monthNumber(from)
	last, _ := monthNumber(to)
	for month := first; month <= last; month++ {
		m, err := readMonth(ctx, r.read, "SELECT days FROM pile_month WHERE month = ? AND operator = ? AND pile = ?",
			month, string(pile.Operator), pile.Equipment)
		if err != nil {
			return nil, fmt.Errorf("read days of pile %s: %w", pile, err)
		}
		for i, day := range m.inMonth(month, from, to) {
			all = append(all, PileDay{pile, day, m.days[i], m.frozen&(1<<i) != 0})
		}
	}
	return all, nil
}

// readMonth reads a packed month, an empty one where there is none.
func readMonth(ctx context.Context, q querier, query string, args ...any) (*monthOfDays, error) {
	var packed []byte
	switch err := q.QueryRowContext(ctx, query, args...).Scan(&packed); {
	case errors.Is(err, sql.ErrNoRows):
		return &monthOfDays{}, nil
	case err != nil:
		return nil, err
	}
	return decodeMonth(packed)
}

// A MonthQuery asks for the days of one month. Zero fields but Month do not filter.
type MonthQuery struct {
	Month    time.Time // any time in it
	Operator charge.OperatorID
	Division charge.DivisionCode // where the pile stands by the registry of today
}

// EachConnectorMonth gives fn the days of all connectors that match, by connector and day: a group's
// availability is summed over them. The slice is reused.
func (r *Registry) EachConnectorMonth(ctx context.Context, q MonthQuery, fn func(days []ConnectorDay) error) error {
	var days []ConnectorDay
	return r.eachMonth(ctx, q, "connector_month", "t.connector", func(key charge.ConnectorKey, month int64, m *monthOfDays) error {
		days = days[:0]
		for i := range m.days {
			if m.present&(1<<i) != 0 {
				days = append(days, ConnectorDay{key, dayOfMonthNumber(month, i), m.days[i], m.frozen&(1<<i) != 0})
			}
		}
		return fn(days)
	})
}

// EachPileMonth is EachConnectorMonth for piles.
func (r *Registry) EachPileMonth(ctx context.Context, q MonthQuery, fn func(days []PileDay) error) error {
	var days []PileDay
	return r.eachMonth(ctx, q, "pile_month", "''", func(key charge.ConnectorKey, month int64, m *monthOfDays) error {
		days = days[:0]
		for i := range m.days {
			if m.present&(1<<i) != 0 {
				days = append(days, PileDay{key.Pile, dayOfMonthNumber(month, i), m.days[i], m.frozen&(1<<i) != 0})
			}
		}
		return fn(days)
	})
}

// EachPileOn gives fn how the piles spent a day, by pile, some at a call and at most so many. No
// transaction is open meanwhile, so fn may take its time. The slice is reused.
func (r *Registry) EachPileOn(ctx context.Context, day time.Time, most int, fn func(days []PileDay) error) error {
	month, i := monthNumber(day)
	var last charge.PileID
	var days []PileDay
	for more := true; more; {
		days, more = days[:0], false
		read := 0
		err := each(ctx, r.read, func(rows *sql.Rows) error {
			var packed sql.RawBytes
			if err := rows.Scan(&last.Operator, &last.Equipment, &packed); err != nil {
				return err
			}
			m, err := decodeMonth(packed)
			if err != nil {
				return fmt.Errorf("%s: %w", last, err)
			}
			if m.present&(1<<i) != 0 {
				days = append(days, PileDay{last, dayOfMonthNumber(month, i), m.days[i], m.frozen&(1<<i) != 0})
			}
			read++
			more = read == most
			return nil
		}, "SELECT operator, pile, days FROM pile_month WHERE month = ? AND (operator, pile) > (?, ?) ORDER BY operator, pile LIMIT ?",
			month, string(last.Operator), last.Equipment, most)
		if err != nil {
			return fmt.Errorf("read piles of %s: %w", dateText(day), err)
		}
		if len(days) == 0 {
			continue
		}
		if err := fn(days); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) eachMonth(ctx context.Context, q MonthQuery, table, connector string, fn func(charge.ConnectorKey, int64, *monthOfDays) error) error {
	month, _ := monthNumber(q.Month)
	query, args := "SELECT t.operator, t.pile, "+connector+", t.days FROM "+table+" t ", []any{}
	if q.Division != "" {
		from, before := divisionRange(q.Division)
		query += "CROSS JOIN piles p ON p.operator = t.operator AND p.pile = t.pile AND p.township >= ? AND p.township < ? "
		args = append(args, from, before)
	}
	query, args = query+"WHERE t.month = ?", append(args, month)
	if q.Operator != "" {
		query, args = query+" AND t.operator = ?", append(args, string(q.Operator))
	}
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var key charge.ConnectorKey
		var packed sql.RawBytes
		if err := rows.Scan(&key.Pile.Operator, &key.Pile.Equipment, &key.Connector, &packed); err != nil {
			return err
		}
		m, err := decodeMonth(packed)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return fn(key, month, m)
	}, query+" ORDER BY t.month, t.operator, t.pile, 3", args...)
	if err != nil {
		return fmt.Errorf("read days of a month: %w", err)
	}
	return nil
}

// PruneDays removes days of connectors and piles, and their sums, that are older than 36 months before
// now, and what dossiers are made of after 14 months, at most some thousands a call so that health need not wait for it; more tells that there are more.
func (r *Registry) PruneDays(ctx context.Context, now time.Time) (more bool, err error) {
	const most = 5000
	month, _ := monthNumber(now)
	first := dayNumber(dayOfMonthNumber(month-monthsKept, 0))
	for _, one := range []struct {
		query  string
		oldest int64
	}{
		{`DELETE FROM connector_month WHERE (month, operator, pile, connector) IN
			(SELECT month, operator, pile, connector FROM connector_month WHERE month < ? LIMIT ?)`, month - monthsKept},
		{"DELETE FROM pile_month WHERE (month, operator, pile) IN (SELECT month, operator, pile FROM pile_month WHERE month < ? LIMIT ?)", month - monthsKept},
		{`DELETE FROM day_sum WHERE (day, partition, county, operator, kind, rural, dc) IN
			(SELECT day, partition, county, operator, kind, rural, dc FROM day_sum WHERE day < ? LIMIT ?)`, first},
		{`DELETE FROM standing_change WHERE (month, operator, pile, connector, log_seq, nth) IN
			(SELECT month, operator, pile, connector, log_seq, nth FROM standing_change WHERE month < ? LIMIT ?)`, month - evidenceMonths},
		{
			`DELETE FROM pile_reject WHERE (day, operator, pile, reason) IN (SELECT day, operator, pile, reason FROM pile_reject WHERE day < ? LIMIT ?)`,
			dayNumber(dayOfMonthNumber(month-evidenceMonths, 0)),
		},
		{
			"DELETE FROM platform_outage WHERE (partition, begins) IN (SELECT partition, begins FROM platform_outage WHERE ends < ? LIMIT ?)",
			dayOfMonthNumber(month-evidenceMonths, 0).UnixMilli(),
		},
	} {
		err := r.inWrite(ctx, func(tx *sql.Tx) error {
			done, err := tx.ExecContext(ctx, one.query, one.oldest, most)
			if err != nil {
				return err
			}
			n, err := done.RowsAffected()
			more = more || n == most
			return err
		})
		if err != nil {
			return false, fmt.Errorf("prune days: %w", err)
		}
	}
	return more, nil
}

// saveSums replaces the sums of each partition and day that comes.
func saveSums(ctx context.Context, tx *sql.Tx, seq int64, sums []DaySum) error {
	type part struct {
		day       int64
		partition int
	}
	keep := make(map[part]bool)
	columns := strings.Fields("day partition county operator kind rural dc frozen connectors usable excused out unknown fault blocked energy_wh sessions log_seq")
	put := newBulk(tx, "INSERT INTO day_sum ("+strings.Join(columns, ", ")+")", onConflict(7, columns...), len(columns))
	for i := range sums {
		s := &sums[i]
		day := dayNumber(s.Day)
		of := part{day, s.Partition}
		fresh, seen := keep[of]
		if !seen {
			var newer bool
			if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM day_sum WHERE day = ? AND partition = ? AND log_seq > ?)",
				day, s.Partition, seq).Scan(&newer); err != nil {
				return err
			}
			fresh = !newer
			keep[of] = fresh
			if fresh {
				if _, err := tx.ExecContext(ctx, "DELETE FROM day_sum WHERE day = ? AND partition = ?", day, s.Partition); err != nil {
					return err
				}
			}
		}
		if !fresh {
			continue
		}
		if err := put.add(ctx, day, s.Partition, string(s.County), string(s.Operator), string(s.Kind), s.Rural, s.DC, s.Frozen, s.Connectors,
			s.Usable, s.Excused, s.Out, s.Unknown, s.Fault, s.Blocked, s.EnergyWh, s.Sessions, seq); err != nil {
			return fmt.Errorf("write sums of days: %w", err)
		}
	}
	if err := put.flush(ctx); err != nil {
		return fmt.Errorf("write sums of days: %w", err)
	}
	return nil
}

// A SumQuery asks for sums of days, both From's and To's day inclusive. Zero fields do not filter.
type SumQuery struct {
	From, To time.Time
	Division charge.DivisionCode // a county or more
	Operator charge.OperatorID
	Kind     charge.StationKind
}

// DaySums gives the sums that match, by day and key, over all partitions; a day is frozen when all its
// parts are. Partition is 0 in all of them.
func (r *Registry) DaySums(ctx context.Context, q SumQuery) ([]DaySum, error) {
	query, args := "day >= ? AND day <= ?", []any{dayNumber(q.From), dayNumber(q.To)}
	if q.Division != "" {
		from, before := divisionRange(q.Division)
		query, args = query+" AND county >= ? AND county < ?", append(args, from, before)
	}
	if q.Operator != "" {
		query, args = query+" AND operator = ?", append(args, string(q.Operator))
	}
	if q.Kind != "" {
		query, args = query+" AND kind = ?", append(args, string(q.Kind))
	}
	var all []DaySum
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var s DaySum
		var day int64
		if err := rows.Scan(&day, &s.County, &s.Operator, &s.Kind, &s.Rural, &s.DC, &s.Frozen, &s.Connectors, &s.Usable, &s.Excused,
			&s.Out, &s.Unknown, &s.Fault, &s.Blocked, &s.EnergyWh, &s.Sessions); err != nil {
			return err
		}
		s.Day = dayStart(day)
		all = append(all, s)
		return nil
	}, `SELECT day, county, operator, kind, rural, dc, min(frozen), sum(connectors), sum(usable), sum(excused), sum(out), sum(unknown),
		sum(fault), sum(blocked), sum(energy_wh), sum(sessions) FROM day_sum WHERE `+query+`
		GROUP BY day, county, operator, kind, rural, dc ORDER BY day, county, operator, kind, rural, dc`, args...)
	if err != nil {
		return nil, fmt.Errorf("read sums of days: %w", err)
	}
	return all, nil
}
