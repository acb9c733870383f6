package series

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"pilewatch/internal/charge"
)

// availabilityMeasurement has the tags operator and pile.
const (
	availabilityMeasurement = "availability"
	frozenField             = "frozen" // 0 or 1, so that all of its fields are of one type
)

// An Availability is how the minutes of a pile were spent in the day that begins at Day: the daily copy
// of what health keeps.
type Availability struct {
	Day     time.Time
	Pile    charge.PileID
	Minutes charge.DayMinutes
	Frozen  bool // false: provisional, what comes late may still change it
}

// minuteFields lists the numbers of a day once, in the order of the columns of the embedded file.
var minuteFields = [...]struct {
	name string
	of   func(*charge.DayMinutes) int64
	set  func(*charge.DayMinutes, int64)
}{
	{"usable", func(d *charge.DayMinutes) int64 { return int64(d.Usable) }, func(d *charge.DayMinutes, v int64) { d.Usable = uint16(v) }},
	{"excused", func(d *charge.DayMinutes) int64 { return int64(d.Excused) }, func(d *charge.DayMinutes, v int64) { d.Excused = uint16(v) }},
	{"out", func(d *charge.DayMinutes) int64 { return int64(d.Out) }, func(d *charge.DayMinutes, v int64) { d.Out = uint16(v) }},
	{"unknown", func(d *charge.DayMinutes) int64 { return int64(d.Unknown) }, func(d *charge.DayMinutes, v int64) { d.Unknown = uint16(v) }},
	{"fault", func(d *charge.DayMinutes) int64 { return int64(d.Fault) }, func(d *charge.DayMinutes, v int64) { d.Fault = uint16(v) }},
	{"heard", func(d *charge.DayMinutes) int64 { return int64(d.Heard) }, func(d *charge.DayMinutes, v int64) { d.Heard = uint16(v) }},
	{"blocked", func(d *charge.DayMinutes) int64 { return int64(d.Blocked) }, func(d *charge.DayMinutes, v int64) { d.Blocked = uint16(v) }},
	{"break_first", func(d *charge.DayMinutes) int64 { return int64(d.BreakFirst) }, func(d *charge.DayMinutes, v int64) { d.BreakFirst = uint16(v) }},
	{"break_longest", func(d *charge.DayMinutes) int64 { return int64(d.BreakLongest) }, func(d *charge.DayMinutes, v int64) { d.BreakLongest = uint16(v) }},
	{"break_last", func(d *charge.DayMinutes) int64 { return int64(d.BreakLast) }, func(d *charge.DayMinutes, v int64) { d.BreakLast = uint16(v) }},
	{"energy_wh", func(d *charge.DayMinutes) int64 { return int64(d.EnergyWh) }, func(d *charge.DayMinutes, v int64) { d.EnergyWh = uint32(v) }},
	{"sessions", func(d *charge.DayMinutes) int64 { return int64(d.Sessions) }, func(d *charge.DayMinutes, v int64) { d.Sessions = uint8(v) }},
}

// schema3 is what version 3 added to history.db.
const schema3 = `
CREATE TABLE IF NOT EXISTS availability (
	operator      TEXT NOT NULL,
	pile          TEXT NOT NULL,
	day_ms        INTEGER NOT NULL,
	usable        INTEGER NOT NULL, -- minutes, as all that follows
	excused       INTEGER NOT NULL,
	out           INTEGER NOT NULL,
	unknown       INTEGER NOT NULL,
	fault         INTEGER NOT NULL,
	heard         INTEGER NOT NULL,
	blocked       INTEGER NOT NULL,
	break_first   INTEGER NOT NULL,
	break_longest INTEGER NOT NULL,
	break_last    INTEGER NOT NULL,
	energy_wh     INTEGER NOT NULL, -- Wh
	sessions      INTEGER NOT NULL, -- a number
	PRIMARY KEY (operator, pile, day_ms)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS availability_day ON availability (day_ms);
PRAGMA user_version = 3;
`

// schema4 is what version 4 added to history.db.
const schema4 = `
ALTER TABLE availability ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 4;
`

func checkPile(p charge.PileID) error {
	if !charge.ValidID(string(p.Operator)) || !charge.ValidID(p.Equipment) {
		return fmt.Errorf("%q is not a pile's id", p)
	}
	return nil
}

func checkPileRange(p charge.PileID, from, to time.Time) error {
	if err := checkPile(p); err != nil {
		return fmt.Errorf("query availability: %w", err)
	}
	if err := checkRange("00", from, to, LongKeep); err != nil {
		return fmt.Errorf("query availability of %s: %w", p, err)
	}
	return nil
}

// WriteAvailability writes days; one that is there is replaced.
func (x *Influx) WriteAvailability(ctx context.Context, days []Availability) error {
	err := x.writeLong(ctx, len(days), func(e *lineprotocol.Encoder, i int) error {
		a := &days[i]
		if err := checkPile(a.Pile); err != nil {
			return err
		}
		e.StartLine(availabilityMeasurement)
		e.AddTag("operator", string(a.Pile.Operator))
		e.AddTag("pile", a.Pile.Equipment)
		for _, f := range minuteFields {
			e.AddField(f.name, lineprotocol.IntValue(f.of(&a.Minutes)))
		}
		frozen := int64(0)
		if a.Frozen {
			frozen = 1
		}
		e.AddField(frozenField, lineprotocol.IntValue(frozen))
		e.EndLine(a.Day)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %d days of availability: %w", len(days), err)
	}
	return nil
}

// Availabilities gives a pile's days, by time.
func (x *Influx) Availabilities(ctx context.Context, pile charge.PileID, from, to time.Time) ([]Availability, error) {
	if err := checkPileRange(pile, from, to); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, influxQueryTimeout)
	defer cancel()
	days := map[int64]*Availability{}
	err := x.ask(ctx, fluxRange(longBucket(x.cfg.Bucket), availabilityMeasurement, from, to)+fmt.Sprintf(`
 |> filter(fn: (r) => r.operator == %q and r.pile == %q) |> keep(columns: ["_field", "_time", "_value"])`,
		string(pile.Operator), pile.Equipment), func(r *csvRow) error {
		ms, err := r.ms("_time")
		if err != nil {
			return err
		}
		v, err := r.number("_value")
		if err != nil {
			return err
		}
		a := days[ms]
		if a == nil {
			a = &Availability{Day: time.UnixMilli(ms).UTC(), Pile: pile}
			days[ms] = a
		}
		if r.of("_field") == frozenField {
			a.Frozen = v != 0
		}
		for _, f := range minuteFields {
			if f.name == r.of("_field") {
				f.set(&a.Minutes, int64(v))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read availability of %s: %w", pile, err)
	}
	var all []Availability
	for _, ms := range slices.Sorted(maps.Keys(days)) {
		all = append(all, *days[ms])
	}
	return all, nil
}

// WriteAvailability writes days; one that is there is replaced.
func (e *Embedded) WriteAvailability(ctx context.Context, days []Availability) error {
	err := e.insertAll(ctx, "INSERT OR REPLACE INTO availability VALUES (?,?,?"+strings.Repeat(",?", len(minuteFields))+",?)", len(days), func(i int) ([]any, error) {
		a := &days[i]
		values := []any{string(a.Pile.Operator), a.Pile.Equipment, a.Day.UnixMilli()}
		for _, f := range minuteFields {
			values = append(values, f.of(&a.Minutes))
		}
		return append(values, a.Frozen), checkPile(a.Pile)
	})
	if err != nil {
		return fmt.Errorf("write %d days of availability: %w", len(days), err)
	}
	return nil
}

// Availabilities gives a pile's days, by time.
func (e *Embedded) Availabilities(ctx context.Context, pile charge.PileID, from, to time.Time) ([]Availability, error) {
	if err := checkPileRange(pile, from, to); err != nil {
		return nil, err
	}
	var all []Availability
	err := e.each(ctx, func(rows *sql.Rows) error {
		a, err := scanAvailability(rows)
		all = append(all, a)
		return err
	}, "SELECT * FROM availability WHERE operator = ? AND pile = ? AND day_ms >= ? AND day_ms < ? ORDER BY day_ms",
		string(pile.Operator), pile.Equipment, from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read availability of %s: %w", pile, err)
	}
	return all, nil
}

// EachAvailability gives all that the file has, at most so many days of piles at once.
func (e *Embedded) EachAvailability(ctx context.Context, most int, fn func([]Availability) error) error {
	var some []Availability
	err := e.each(ctx, func(rows *sql.Rows) error {
		a, err := scanAvailability(rows)
		if err != nil {
			return err
		}
		if some = append(some, a); len(some) < most {
			return nil
		}
		err, some = fn(some), some[:0]
		return err
	}, "SELECT * FROM availability ORDER BY operator, pile, day_ms")
	if err == nil && len(some) > 0 {
		err = fn(some)
	}
	if err != nil {
		return fmt.Errorf("read availability: %w", err)
	}
	return nil
}

// purgeAvailability deletes some days before a time, and tells how many.
func (e *Embedded) purgeAvailability(ctx context.Context, beforeMS int64) (int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	res, err := e.write.ExecContext(ctx, `DELETE FROM availability WHERE (operator, pile, day_ms) IN
 (SELECT operator, pile, day_ms FROM availability WHERE day_ms < ? ORDER BY day_ms LIMIT ?)`, beforeMS, purgeRows)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func scanAvailability(rows *sql.Rows) (a Availability, err error) {
	var (
		ms int64
		v  [len(minuteFields)]int64
	)
	into := []any{&a.Pile.Operator, &a.Pile.Equipment, &ms}
	for i := range v {
		into = append(into, &v[i])
	}
	into = append(into, &a.Frozen)
	err = rows.Scan(into...)
	a.Day = time.UnixMilli(ms).UTC()
	for i, f := range minuteFields {
		f.set(&a.Minutes, v[i])
	}
	return a, err
}
