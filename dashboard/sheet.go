package dashboard

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"pilewatch/internal/charge"
)

// A column of a sheet in both languages.
type column struct {
	zh, en string
	width  float64 // characters
}

// A sheet is a table to be saved: what it is, where from, and its rows, which are made one by one.
type sheet struct {
	zh, en  string
	about   [][2]string // what was asked for and as of when, in the reader's language
	columns []column
	rows    func(row func(cells ...any) error) error
}

func (s *sheet) name(lang string) string {
	if lang == "en" {
		return s.en
	}
	return s.zh
}

func (s *sheet) heads(lang string) []string {
	heads := make([]string, len(s.columns))
	for i, c := range s.columns {
		if heads[i] = c.zh; lang == "en" {
			heads[i] = c.en
		}
	}
	return heads
}

// writeCSV writes a sheet as spreadsheets read it: UTF-8 with a byte order mark, what it is about in
// lines of two cells, a line of empty ones, and the table.
func (s *sheet) writeCSV(dst io.Writer, lang string) error {
	if _, err := io.WriteString(dst, "\ufeff"); err != nil {
		return err
	}
	w := csv.NewWriter(dst)
	w.UseCRLF = true                       // RFC 4180
	text := make([]string, len(s.columns)) // each line has as many (RFC 4180 §2)
	for _, line := range append([][2]string{{s.name(lang)}}, s.about...) {
		text[0], text[1] = line[0], harmless(line[1])
		if err := w.Write(text); err != nil {
			return err
		}
	}
	if err := w.Write(make([]string, len(s.columns))); err != nil {
		return err
	}
	if err := w.Write(s.heads(lang)); err != nil {
		return err
	}
	err := s.rows(func(cells ...any) error {
		for i, c := range cells {
			text[i] = csvCell(c)
		}
		return w.Write(text)
	})
	w.Flush()
	if err == nil {
		err = w.Error()
	}
	return err
}

// csvCell writes a value; no data is an empty cell, never 0.
func csvCell(v any) string {
	switch v := cell(v).(type) {
	case nil:
		return ""
	case string:
		return harmless(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// harmless keeps a stranger's text from being run as a formula by the spreadsheet that opens the
// file (OWASP, "CSV Injection"): an apostrophe makes it text.
func harmless(text string) string {
	if strings.HasPrefix(text, "'") || strings.ContainsAny(firstRune(text), "=+-@\t\r\n＝＋－＠") {
		return "'" + text
	}
	return text
}

func firstRune(text string) string {
	for _, c := range text {
		return string(c)
	}
	return ""
}

// cell is a value as a spreadsheet may hold it: nil, a string, a whole number or a float64. Times
// are those of Asia/Shanghai.
func cell(v any) any {
	switch v := v.(type) {
	case *float64:
		if v == nil {
			return nil
		}
		return *v
	case *int:
		if v == nil {
			return nil
		}
		return *v
	case *int64:
		if v == nil {
			return nil
		}
		return *v
	case *string:
		if v == nil {
			return nil
		}
		return *v
	case *time.Time:
		if v == nil {
			return nil
		}
		return cell(*v)
	case time.Time:
		return v.In(charge.Zone).Format(time.DateTime)
	}
	return v
}

const sheetHead = "B6BEC4" // the colour under the heads

// writeXLSX writes a workbook of two sheets: the table, and what it is about. Rows go to disk as
// they come where they are many; strings are written as strings, so nothing is run as a formula.
func (s *sheet) writeXLSX(dst io.Writer, lang string) (err error) {
	f := excelize.NewFile()
	defer func() {
		if end := f.Close(); err == nil {
			err = end
		}
	}()
	name, aboutName := s.name(lang), "说明"
	if lang == "en" {
		aboutName = "About"
	}
	if err := f.SetSheetName("Sheet1", name); err != nil {
		return err
	}
	bold, err := f.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}, Border: []excelize.Border{{Type: "bottom", Color: sheetHead, Style: 1}}})
	if err != nil {
		return err
	}
	w, err := f.NewStreamWriter(name)
	if err != nil {
		return err
	}
	for i, c := range s.columns {
		if err := w.SetColWidth(i+1, i+1, c.width); err != nil {
			return err
		}
	}
	if err := w.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	heads := make([]any, len(s.columns))
	for i, h := range s.heads(lang) {
		heads[i] = excelize.Cell{StyleID: bold, Value: h}
	}
	at := 1
	put := func(cells []any) error {
		place, err := excelize.CoordinatesToCellName(1, at)
		if err != nil {
			return err
		}
		at++
		return w.SetRow(place, cells)
	}
	if err := put(heads); err != nil {
		return err
	}
	err = s.rows(func(cells ...any) error {
		values := make([]any, len(cells))
		for i, c := range cells {
			values[i] = cell(c)
		}
		return put(values)
	})
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if _, err := f.NewSheet(aboutName); err != nil {
		return err
	}
	for i, line := range s.about {
		row := []any{line[0], line[1]}
		if err := f.SetSheetRow(aboutName, fmt.Sprintf("A%d", i+1), &row); err != nil {
			return err
		}
	}
	if err := f.SetColWidth(aboutName, "A", "B", 40); err != nil {
		return err
	}
	return f.Write(dst)
}
