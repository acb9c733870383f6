package series

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"pilewatch/internal/charge"
)

// schema of history.db. The key starts with the hour, not with the connector: what is written
// together lies together, so that a batch touches few pages, and the oldest hours, which Purge
// takes, are one run of pages at the front.
const schema = `
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS connectors (
	id        INTEGER PRIMARY KEY,
	operator  TEXT NOT NULL,
	pile      TEXT NOT NULL,
	connector TEXT NOT NULL,
	UNIQUE (operator, pile, connector)
);
CREATE TABLE IF NOT EXISTS readings (
	hour       INTEGER NOT NULL, -- time_ms / 3600000
	connector  INTEGER NOT NULL, -- connectors.id
	kind       INTEGER NOT NULL, -- charge.Kind
	time_ms    INTEGER NOT NULL, -- by the pile's clock
	seq        INTEGER NOT NULL, -- -1: none
	status     INTEGER,
	voltage_v  REAL,
	current_a  REAL,
	power_kw   REAL,
	energy_kwh REAL,
	meter_kwh  REAL,
	soc_pct    REAL,
	temp_c     REAL,
	more       TEXT,             -- JSON: faults, alarms, orders
	PRIMARY KEY (hour, connector, kind, time_ms)
) WITHOUT ROWID;
PRAGMA user_version = 1;
`

const (
	schemaVersion  = 4
	columns        = 14
	rowsAtOnce     = 128     // a statement; more gains nothing (BenchmarkEmbeddedWrite)
	knownAtMost    = 1 << 18 // connectors whose id is kept in memory, some 40 MiB when full
	purgeRows      = 5_000   // a step, so that a write never waits for a purge for long
	vacuumPages    = 2_000   // a step: 8 MiB
	writeTimeout   = time.Minute
	readersAtMost  = 4
	busyTimeoutMS  = 10_000
	cachePagesKiB  = 64 * 1024
	walAutoPages   = 4_000
	sqliteConnsDSN = "?_txlock=immediate&_pragma=busy_timeout(%d)&_pragma=synchronous(FULL)&_pragma=cache_size(-%d)&_pragma=wal_autocheckpoint(%d)"
)

// Embedded is the history in one SQLite file of the local disk. It is safe for concurrent use in
// one process; a second process may read the file, not write it.
type Embedded struct {
	log   *slog.Logger
	write *sql.DB // one connection
	read  *sql.DB

	maxRows int // MaxRows, but for tests

	mu     sync.Mutex // one writer at a time
	many   *sql.Stmt  // rowsAtOnce rows
	one    *sql.Stmt
	known  *lru.Cache[charge.ConnectorKey, int64]
	values []any
}

// OpenEmbedded opens or makes the history file at path.
func OpenEmbedded(ctx context.Context, path string, log *slog.Logger) (*Embedded, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath()
	dsn += fmt.Sprintf(sqliteConnsDSN, busyTimeoutMS, cachePagesKiB, walAutoPages)
	e := &Embedded{log: log, maxRows: MaxRows}
	var err error
	if e.known, err = lru.New[charge.ConnectorKey, int64](knownAtMost); err != nil {
		return nil, fmt.Errorf("make connector cache: %w", err)
	}
	if e.write, err = sql.Open("sqlite", dsn); err != nil {
		return nil, fmt.Errorf("open history %s: %w", path, err)
	}
	e.write.SetMaxOpenConns(1)
	if e.read, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return nil, errors.Join(fmt.Errorf("open history %s: %w", path, err), e.write.Close())
	}
	e.read.SetMaxOpenConns(readersAtMost)
	if err := e.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open history %s: %w", path, err), e.Close())
	}
	return e, nil
}

func (e *Embedded) prepare(ctx context.Context) error {
	var version int
	if err := e.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > schemaVersion {
		return fmt.Errorf("file has format %d, this program knows up to %d", version, schemaVersion)
	}
	for _, s := range []string{schema, schema2, schema3, schema4}[version:] {
		if _, err := e.write.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	var err error
	if e.many, err = e.write.PrepareContext(ctx, insertReadings(rowsAtOnce)); err != nil {
		return err
	}
	e.one, err = e.write.PrepareContext(ctx, insertReadings(1))
	return err
}

func insertReadings(rows int) string {
	row := "(" + strings.Repeat("?,", columns-1) + "?)"
	return "INSERT INTO readings VALUES " + strings.Repeat(row+",", rows-1) + row + `
ON CONFLICT DO UPDATE SET seq=excluded.seq, status=excluded.status, voltage_v=excluded.voltage_v,
 current_a=excluded.current_a, power_kw=excluded.power_kw, energy_kwh=excluded.energy_kwh,
 meter_kwh=excluded.meter_kwh, soc_pct=excluded.soc_pct, temp_c=excluded.temp_c, more=excluded.more
WHERE excluded.seq >= readings.seq`
}

// more is what few readings carry, packed into one column.
type more struct {
	Fault     charge.Fault `json:"fault,omitempty"`
	FaultCode string       `json:"fault_code,omitempty"`
	Level     string       `json:"level,omitempty"`
	Code      string       `json:"code,omitempty"`
	Text      string       `json:"text,omitempty"`
	Order     string       `json:"order,omitempty"`
	StartMS   int64        `json:"start_ms,omitempty"`
	EndMS     int64        `json:"end_ms,omitempty"`
}

func moreOf(r *charge.Reading) more {
	m := more{
		Fault: charge.Fault(oneLine(string(r.Fault))), FaultCode: oneLine(r.FaultCode),
		Level: oneLine(r.Level), Code: oneLine(r.Code), Text: oneLine(r.Text), Order: oneLine(r.Order),
	}
	if r.Tells(charge.HasStart) {
		m.StartMS = r.Start.UnixMilli()
	}
	if r.Tells(charge.HasEnd) {
		m.EndMS = r.End.UnixMilli()
	}
	return m
}

var breaks = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\t", " ")

// oneLine keeps a text as both stores can: the line protocol's encoder writes a line break as two
// signs that InfluxDB does not read back as one.
func oneLine(s string) string {
	if s == "" {
		return ""
	}
	if strings.ContainsAny(s, "\r\n\t") {
		s = breaks.Replace(s)
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func (m more) into(w *Row) {
	w.Fault, w.FaultCode, w.Level, w.Code, w.Text, w.Order = m.Fault, m.FaultCode, m.Level, m.Code, m.Text, m.Order
	if m.StartMS != 0 {
		w.Start = time.UnixMilli(m.StartMS).UTC()
	}
	if m.EndMS != 0 {
		w.End = time.UnixMilli(m.EndMS).UTC()
	}
}

// Write stores a batch in one transaction; when it returns nil or a *RejectedError, the rest is on
// disk. Readings that are there already change nothing.
func (e *Embedded) Write(ctx context.Context, batch []charge.Reading) error {
	p := prepare(batch)
	if len(p.order) == 0 {
		return p.err()
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	e.mu.Lock()
	defer e.mu.Unlock()
	tx, err := e.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write batch of %d readings: %w", len(batch), err)
	}
	if err = e.insert(ctx, tx, batch, p.order); err == nil {
		err = tx.Commit()
	} else {
		err = errors.Join(err, tx.Rollback())
	}
	if err != nil {
		e.known.Purge() // it may hold ids of the transaction that is not there
		return fmt.Errorf("write batch of %d readings: %w", len(batch), err)
	}
	return p.err()
}

func (e *Embedded) insert(ctx context.Context, tx *sql.Tx, batch []charge.Reading, order []int) error {
	many, one := tx.StmtContext(ctx, e.many), tx.StmtContext(ctx, e.one)
	for len(order) > 0 {
		stmt, n := one, 1
		if len(order) >= rowsAtOnce {
			stmt, n = many, rowsAtOnce
		}
		e.values = e.values[:0]
		for _, i := range order[:n] {
			if err := e.appendRow(ctx, tx, &batch[i]); err != nil {
				return err
			}
		}
		if _, err := stmt.ExecContext(ctx, e.values...); err != nil {
			return err
		}
		order = order[n:]
	}
	return nil
}

func (e *Embedded) appendRow(ctx context.Context, tx *sql.Tx, r *charge.Reading) error {
	id, err := e.connector(ctx, tx, charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector})
	if err != nil {
		return err
	}
	ms := r.At.UnixMilli()
	e.values = append(e.values, ms/hourMS, id, int64(r.Kind), ms, seqOf(r))
	if r.Tells(charge.HasStatus) {
		e.values = append(e.values, int64(r.Status))
	} else {
		e.values = append(e.values, nil)
	}
	for i := range numbers {
		if r.Tells(numbers[i].has) {
			e.values = append(e.values, numbers[i].of(r))
		} else {
			e.values = append(e.values, nil)
		}
	}
	m := moreOf(r)
	if m == (more{}) {
		e.values = append(e.values, nil)
		return nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	e.values = append(e.values, string(text))
	return nil
}

// connector finds the number of a connector, or gives it one.
func (e *Embedded) connector(ctx context.Context, tx *sql.Tx, key charge.ConnectorKey) (int64, error) {
	if id, ok := e.known.Get(key); ok {
		return id, nil
	}
	var id int64
	// The update that changes nothing makes RETURNING answer for a row that is there already.
	err := tx.QueryRowContext(ctx, `INSERT INTO connectors (operator, pile, connector) VALUES (?,?,?)
ON CONFLICT DO UPDATE SET connector = excluded.connector RETURNING id`,
		string(key.Pile.Operator), key.Pile.Equipment, string(key.Connector)).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("number connector %s: %w", key, err)
	}
	e.known.Add(key, id)
	return id, nil
}

// Ping tells whether the file answers.
func (e *Embedded) Ping(ctx context.Context) error {
	var one int
	if err := e.read.QueryRowContext(ctx, "SELECT 1 FROM (SELECT count(*) FROM pragma_user_version)").Scan(&one); err != nil {
		return fmt.Errorf("ping history: %w", err)
	}
	return nil
}

// Close waits for a running write and closes the file.
func (e *Embedded) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, s := range []*sql.Stmt{e.many, e.one} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if err := errors.Join(append(errs, e.read.Close(), e.write.Close())...); err != nil {
		return fmt.Errorf("close history: %w", err)
	}
	return nil
}

// Purge deletes readings older than before, in steps between which writes go on, and gives the
// pages back to the disk. It tells how many it deleted, also when it ends early with an error.
func (e *Embedded) Purge(ctx context.Context, before time.Time) (int64, error) {
	var total int64
	for {
		n, err := e.purgeStep(ctx, before.UnixMilli())
		total += n
		if err != nil {
			return total, fmt.Errorf("purge history before %s: %w", before.Format(time.RFC3339), err)
		}
		if n == 0 {
			break
		}
	}
	if err := e.purgeLong(ctx, before); err != nil {
		return total, fmt.Errorf("purge windows before %s: %w", before.Format(time.RFC3339), err)
	}
	for {
		more, err := e.vacuumStep(ctx)
		if err != nil {
			return total, fmt.Errorf("shrink history: %w", err)
		}
		if !more {
			return total, nil
		}
	}
}

func (e *Embedded) purgeStep(ctx context.Context, beforeMS int64) (int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	// WITHOUT ROWID has no rowid to limit by: the step is the range up to its last key.
	res, err := e.write.ExecContext(ctx, `DELETE FROM readings WHERE hour <= ?1 AND time_ms < ?2 AND (hour, connector, kind, time_ms) <= (
 SELECT hour, connector, kind, time_ms FROM (SELECT hour, connector, kind, time_ms FROM readings
  WHERE hour <= ?1 AND time_ms < ?2 ORDER BY hour, connector, kind, time_ms LIMIT ?3)
 ORDER BY hour DESC, connector DESC, kind DESC, time_ms DESC LIMIT 1)`, beforeMS/hourMS, beforeMS, purgeRows)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (e *Embedded) vacuumStep(ctx context.Context) (more bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var free int
	if err := e.write.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
		return false, err
	}
	if free == 0 {
		return false, nil
	}
	// incremental_vacuum works one page for each row that is read.
	rows, err := e.write.QueryContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages))
	if err != nil {
		return false, err
	}
	for rows.Next() {
	}
	return free > vacuumPages, errors.Join(rows.Err(), rows.Close())
}

// History reads a pile's past, by time, connector and kind. Errors wrap ErrTooMuch where the query
// is refused for its size.
func (e *Embedded) History(ctx context.Context, q Query) ([]Row, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	var rows []Row
	var err error
	if q.Step == 0 {
		rows, err = e.raw(ctx, q)
	} else {
		rows, err = e.windows(ctx, q)
	}
	if err != nil {
		return nil, fmt.Errorf("read history of %s: %w", q.Pile, err)
	}
	sortRows(rows)
	return rows, nil
}

// pileHours is the part of both queries that finds a pile's rows: one short range for each hour and connector.
const pileHours = `WITH RECURSIVE hours(h) AS (SELECT ?1 UNION ALL SELECT h+1 FROM hours WHERE h < ?2)`

const pileRows = `FROM connectors c CROSS JOIN hours CROSS JOIN readings r
WHERE c.operator = ?3 AND c.pile = ?4 AND r.hour = hours.h AND r.connector = c.id AND r.time_ms >= ?5 AND r.time_ms < ?6`

func (q Query) args() []any {
	from, to := max(q.From.UnixMilli(), 0), q.To.UnixMilli()
	return []any{from / hourMS, (to - 1) / hourMS, string(q.Pile.Operator), q.Pile.Equipment, from, to}
}

func (e *Embedded) raw(ctx context.Context, q Query) ([]Row, error) {
	rows, err := e.read.QueryContext(ctx, pileHours+` SELECT c.connector, r.kind, r.time_ms, r.seq, r.status,
 r.voltage_v, r.current_a, r.power_kw, r.energy_kwh, r.meter_kwh, r.soc_pct, r.temp_c, r.more `+pileRows+` AND (?8 = 0 OR r.kind = ?8) LIMIT ?7`,
		append(q.args(), e.maxRows+1, int64(q.Kind))...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has told all there is
	var out []Row
	for rows.Next() {
		var (
			w       Row
			ms, seq int64
			status  sql.NullInt64
			v       [len(numbers)]sql.NullFloat64
			text    sql.NullString
		)
		if err := rows.Scan(&w.Connector, &w.Kind, &ms, &seq, &status, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &text); err != nil {
			return nil, err
		}
		w.At = time.UnixMilli(ms).UTC()
		if seq >= 0 {
			s := uint64(seq)
			w.Seq = &s
		}
		w.setStatus(status)
		for i := range numbers {
			if v[i].Valid {
				*numbers[i].row(&w) = &Stat{v[i].Float64, v[i].Float64, v[i].Float64}
			}
		}
		if text.Valid {
			var m more
			if err := json.Unmarshal([]byte(text.String), &m); err != nil {
				return nil, fmt.Errorf("read extra fields at %s: %w", w.At.Format(time.RFC3339), err)
			}
			m.into(&w)
		}
		if out = append(out, w); len(out) > e.maxRows {
			return nil, q.tooManyRows()
		}
	}
	return out, rows.Err()
}

func (w *Row) setStatus(code sql.NullInt64) {
	if code.Valid {
		s := charge.Status(code.Int64) //nolint:gosec // a status, 0 to 255
		w.Status = &s
	}
}

func (e *Embedded) windows(ctx context.Context, q Query) ([]Row, error) {
	step := q.Step.Milliseconds()
	var fields strings.Builder
	for _, f := range numbers {
		fmt.Fprintf(&fields, ", avg(r.%[1]s) FILTER (WHERE r.kind=%[2]d), min(r.%[1]s) FILTER (WHERE r.kind=%[2]d), max(r.%[1]s) FILTER (WHERE r.kind=%[2]d)",
			f.name, charge.KindTelemetry)
	}
	// The largest of time*256+status is the last status told: a code fits in 8 bits.
	rows, err := e.read.QueryContext(ctx, pileHours+fmt.Sprintf(` SELECT c.connector, (r.time_ms + %d) / ?7 AS w,
 max(r.time_ms * 256 + r.status) & 255`, zoneMS)+fields.String()+" "+pileRows+
		fmt.Sprintf(` AND r.kind IN (%d, %d) GROUP BY c.connector, w LIMIT ?8`, charge.KindTelemetry, charge.KindStatus),
		append(q.args(), step, e.maxRows+1)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has told all there is
	var out []Row
	for rows.Next() {
		var (
			w      Row
			window int64
			status sql.NullInt64
			v      [3 * len(numbers)]sql.NullFloat64
		)
		into := []any{&w.Connector, &window, &status}
		for i := range v {
			into = append(into, &v[i])
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		w.At = time.UnixMilli(window*step - zoneMS).UTC()
		w.setStatus(status)
		for i := range numbers {
			if v[3*i].Valid {
				*numbers[i].row(&w) = &Stat{Mean: v[3*i].Float64, Min: v[3*i+1].Float64, Max: v[3*i+2].Float64}
			}
		}
		if out = append(out, w); len(out) > e.maxRows {
			return nil, q.tooManyRows()
		}
	}
	return out, rows.Err()
}
