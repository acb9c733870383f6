package registry

import (
	"context"
	"database/sql"
	_ "embed" // holidays.csv
	"encoding/csv"
	"fmt"
	"strings"
	"time"

	"pilewatch/internal/cases"
)

// The holidays that the program carries, by the State Council's notices (data/SOURCES.md).
//
//go:embed data/holidays.csv
var holidayFile string

func readHoliday(rec *record) []string {
	date := ""
	if day := rec.day("date", true); !day.IsZero() {
		date = day.Format(time.DateOnly)
	}
	return []string{date, rec.oneOf("kind", true, "off", "work"), rec.text("name"), rec.text("document")}
}

// calendarOf gives the working days: of a year for which holidays were imported by those, else by those that the
// program carries. A year of which neither knows any has weekends alone.
func calendarOf(ctx context.Context, q querier) (cases.Calendar, error) {
	var off, worked []string
	imported := make(map[string]bool) // years
	add := func(date, kind string) {
		if kind == "off" {
			off = append(off, date)
		} else {
			worked = append(worked, date)
		}
	}
	err := each(ctx, q, func(rows *sql.Rows) error {
		var date, kind string
		err := rows.Scan(&date, &kind)
		imported[date[:min(4, len(date))]] = true
		add(date, kind)
		return err
	}, "SELECT date, kind FROM holidays")
	if err != nil {
		return cases.Calendar{}, fmt.Errorf("read holidays: %w", err)
	}
	carried, err := csv.NewReader(strings.NewReader(holidayFile)).ReadAll()
	if err != nil {
		return cases.Calendar{}, fmt.Errorf("read holidays.csv: %w", err)
	}
	for _, row := range carried[1:] {
		if !imported[row[0][:4]] {
			add(row[0], row[1])
		}
	}
	return cases.NewCalendar(off, worked)
}

// Calendar gives the working days by which deadlines go.
func (r *Registry) Calendar(ctx context.Context) (cases.Calendar, error) {
	return calendarOf(ctx, r.read)
}
