package registry

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"pilewatch/internal/charge"
)

// A RowError is one thing that is wrong in an imported file.
type RowError struct {
	Line   int    // of the file, the header being 1
	Column string // "" where the whole row is meant
	Reason string
}

func (e RowError) String() string {
	if e.Column == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("line %d, %s: %s", e.Line, e.Column, e.Reason)
}

// An ImportError holds everything that is wrong in a file, by line; nothing of the file was taken.
type ImportError struct {
	Table Table
	Rows  []RowError
}

func (e *ImportError) Error() string {
	const shown = 3
	var b strings.Builder
	fmt.Fprintf(&b, "import %s: %d errors, nothing imported", e.Table, len(e.Rows))
	for _, row := range e.Rows[:min(shown, len(e.Rows))] {
		b.WriteString("; ")
		b.WriteString(row.String())
	}
	if len(e.Rows) > shown {
		fmt.Fprintf(&b, "; and %d more", len(e.Rows)-shown)
	}
	return b.String()
}

func (e *ImportError) add(line int, column, format string, args ...any) {
	e.Rows = append(e.Rows, RowError{Line: line, Column: column, Reason: fmt.Sprintf(format, args...)})
}

// sort puts the errors in the order of lines and, within one, of the columns.
func (e *ImportError) sort(cols []column) {
	at := func(name string) int { return slices.IndexFunc(cols, func(c column) bool { return c.name == name }) }
	slices.SortStableFunc(e.Rows, func(a, b RowError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(at(a.Column), at(b.Column)))
	})
}

// A column of a file; the order is that of the export.
type column struct {
	name     string
	required bool
}

func columnsOf(required string, all ...string) []column {
	needed := strings.Split(required, ",")
	cols := make([]column, len(all))
	for i, name := range all {
		cols[i] = column{name: name, required: slices.Contains(needed, name)}
	}
	return cols
}

// readCSV calls row for every record of the file. What is wrong goes to bad; an error is returned
// only where the source itself cannot be read.
func readCSV(src io.Reader, cols []column, bad *ImportError, row func(*record)) error {
	buffered := bufio.NewReaderSize(src, 1<<16)
	if bom, _ := buffered.Peek(3); string(bom) == "\xef\xbb\xbf" {
		_, _ = buffered.Discard(3) // peeked, so it is there
	}
	in := csv.NewReader(buffered)
	in.FieldsPerRecord = -1 // reported by line below
	in.ReuseRecord = true

	header, err := in.Read()
	var parse *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		bad.add(1, "", "the file is empty: want a header with %s", names(cols))
		return nil
	case errors.As(err, &parse):
		bad.add(parse.Line, "", "%s", reasonOf(parse))
		return nil
	case err != nil:
		return fmt.Errorf("read %s file: %w", bad.Table, err)
	}
	rec := &record{bad: bad, at: make(map[string]int, len(header))}
	width := len(header)
	headerLine, _ := in.FieldPos(0)
	for i, name := range header {
		name = strings.TrimSpace(name)
		switch known := slices.ContainsFunc(cols, func(c column) bool { return c.name == name }); {
		case !known:
			bad.add(headerLine, strings.ToValidUTF8(name, "\ufffd"), "unknown column; known: %s", names(cols))
		case rec.has(name):
			bad.add(headerLine, name, "the column occurs twice")
		default:
			rec.at[name] = i
		}
	}
	for _, c := range cols {
		if c.required && !rec.has(c.name) {
			bad.add(headerLine, c.name, "the column is missing")
		}
	}
	if len(bad.Rows) > 0 {
		return nil // without a sound header every row would be reported for the same reason
	}

	for {
		fields, err := in.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &parse):
			bad.add(parse.StartLine, "", "%s", reasonOf(parse))
			continue
		case err != nil:
			return fmt.Errorf("read %s file: %w", bad.Table, err)
		}
		rec.line, _ = in.FieldPos(0)
		rec.fields, rec.wrong = fields, false
		if len(fields) != width {
			rec.fail("", "%d fields, where the header has %d", len(fields), width)
			continue
		}
		row(rec)
	}
}

func reasonOf(err *csv.ParseError) string {
	switch {
	case errors.Is(err.Err, csv.ErrQuote):
		return "a quote is not closed, or text follows it"
	case errors.Is(err.Err, csv.ErrBareQuote):
		return "a quote inside a field that is not quoted"
	}
	return err.Err.Error()
}

func names(cols []column) string {
	all := make([]string, len(cols))
	for i, c := range cols {
		all[i] = c.name
	}
	return strings.Join(all, ", ")
}

// A record is one row of a file while it is read; each reader of a field reports what is wrong
// with it and gives the zero value then.
type record struct {
	bad    *ImportError
	at     map[string]int
	line   int
	fields []string
	wrong  bool // this row has an error already
}

func (r *record) has(col string) bool { _, ok := r.at[col]; return ok }

func (r *record) fail(col, format string, args ...any) {
	r.wrong = true
	r.bad.add(r.line, col, format, args...)
}

// raw is the field without surrounding space, "" where the file has no such column.
func (r *record) raw(col string) string {
	i, ok := r.at[col]
	if !ok {
		return ""
	}
	return strings.TrimSpace(r.fields[i])
}

// maxText bounds a text, in characters.
const maxText = 500

func (r *record) text(col string) string {
	s := r.raw(col)
	switch {
	case s == "":
		return ""
	case !utf8.ValidString(s):
		r.fail(col, "not UTF-8: save the file as CSV UTF-8")
		return ""
	case utf8.RuneCountInString(s) > maxText:
		r.fail(col, "over %d characters", maxText)
		return ""
	case strings.ContainsFunc(s, unicode.IsControl):
		r.fail(col, "a line break or another control character")
		return ""
	}
	return s
}

func (r *record) needed(col string) string {
	s := r.text(col)
	if s == "" && !r.wrong {
		r.fail(col, "missing")
	}
	return s
}

// id reads a required id of [A-Za-z0-9._-].
func (r *record) id(col string) string {
	s := r.raw(col)
	switch {
	case s == "":
		r.fail(col, "missing")
		return ""
	case !charge.ValidID(s):
		r.fail(col, "%s is not an id: want 1 to 64 characters of A-Z a-z 0-9 . _ -", quote(s))
		return ""
	}
	return s
}

// oneOf reads a word of a fixed list; "" where it is left out and may be.
func (r *record) oneOf(col string, required bool, words ...string) string {
	s := r.raw(col)
	if s == "" && !required {
		return ""
	}
	if s == "" {
		r.fail(col, "missing: want %s", strings.Join(words, ", "))
		return ""
	}
	if !slices.Contains(words, s) {
		r.fail(col, "%s is none of %s", quote(s), strings.Join(words, ", "))
		return ""
	}
	return s
}

// number reads a number from lo to hi; ok is false where it is left out or wrong.
func (r *record) number(col string, lo, hi float64) (v float64, ok bool) {
	s := r.raw(col)
	if s == "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || strings.ContainsAny(s, "xX_") {
		r.fail(col, "%s is not a number", quote(s))
		return 0, false
	}
	if v < lo || v > hi {
		r.fail(col, "%s is out of range: want %s to %s", quote(s), plain(lo), plain(hi))
		return 0, false
	}
	return v + 0, true // -0 becomes 0
}

// whole reads a whole number from lo to hi; ok is false where it is left out or wrong.
func (r *record) whole(col string, lo, hi int64) (v int64, ok bool) {
	s := r.raw(col)
	if s == "" {
		return 0, false
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		r.fail(col, "%s is not a whole number", quote(s))
		return 0, false
	}
	if err != nil || v < lo || v > hi {
		r.fail(col, "%s is out of range: want %d to %d", quote(s), lo, hi)
		return 0, false
	}
	return v, true
}

// code reads one of T/CEC 102's type codes, 1 to last or 255; 0 where it is left out.
func (r *record) code(col string, last int64) int {
	s := r.raw(col)
	if s == "" {
		return 0
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || (v < 1 || v > last) && v != 255 {
		r.fail(col, "%s is none of 1 to %d, 255", quote(s), last)
		return 0
	}
	return int(v)
}

func (r *record) yes(col string) bool {
	switch s := r.raw(col); s {
	case "", "false", "no", "0":
		return false
	case "true", "yes", "1":
		return true
	default:
		r.fail(col, "%s is neither true nor false", quote(s))
		return false
	}
}

// day reads 2006-01-02, which is 00:00 in Asia/Shanghai, or RFC 3339.
func (r *record) day(col string, required bool) time.Time {
	s := r.raw(col)
	if s == "" {
		if required {
			r.fail(col, "missing")
		}
		return time.Time{}
	}
	t, err := time.ParseInLocation(time.DateOnly, s, charge.Zone)
	if err != nil {
		t, err = time.Parse(time.RFC3339, s)
	}
	if err != nil || t.Year() < 1900 || t.Year() > 2999 {
		r.fail(col, "%s is not a date: want 2006-01-02 or RFC 3339", quote(s))
		return time.Time{}
	}
	return t.Truncate(time.Millisecond).In(charge.Zone)
}

// period reads opened (required) and closed (optional), which must not come before it.
func (r *record) period() (opened, closed time.Time) {
	opened, closed = r.day("opened", true), r.day("closed", false)
	if !opened.IsZero() && !closed.IsZero() && closed.Before(opened) {
		r.fail("closed", "%s is before opened, %s", dateText(closed), dateText(opened))
	}
	return opened, closed
}

// quote makes a value fit for an error message: printable, valid UTF-8, and not long.
func quote(s string) string {
	const most = 40
	s = strings.ToValidUTF8(s, "\ufffd")
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return strconv.Quote(s)
}

func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// dateText writes what day reads: a date alone where it is one.
func dateText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = t.In(charge.Zone)
	if hour, minute, second := t.Clock(); hour == 0 && minute == 0 && second == 0 && t.Nanosecond() == 0 {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339Nano)
}
