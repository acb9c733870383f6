package simulator

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"pilewatch/internal/charge"
)

// A tariff is the price of charging by date, month and hour: rows of tariff.csv, of which the first that fits holds.
type tariff []price

// A price holds from a day, until a later day's rows take its place, in some months and hours.
type price struct {
	from   time.Time
	months [13]bool // by number
	hours  [24]bool
	period string
	yuan   float64 // a kWh
	source string
}

//go:embed tariff.csv
var tariffFile []byte

//go:embed holidays.csv
var holidaysFile []byte

// readTariff reads rows and checks that each hour of each month has a price from the first day on.
func readTariff(r io.Reader) (tariff, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read tariff: %w", err)
	}
	var t tariff
	for i, row := range rows[1:] {
		p, err := readPrice(row)
		if err != nil {
			return nil, fmt.Errorf("read tariff: line %d: %w", i+2, err)
		}
		if len(t) > 0 && p.from.Before(t[len(t)-1].from) {
			return nil, fmt.Errorf("read tariff: line %d: from %s stands behind a later day", i+2, row[0])
		}
		t = append(t, p)
	}
	for _, p := range t {
		for month := time.January; month <= time.December; month++ {
			for hour := range 24 {
				if t.at(p.from.AddDate(0, int(month)-1, 0).Add(time.Duration(hour)*time.Hour)).period == "" {
					return nil, fmt.Errorf("read tariff: no price from %s in month %d at %d o'clock", p.from.Format(time.DateOnly), month, hour)
				}
			}
		}
	}
	return t, nil
}

func readPrice(row []string) (price, error) {
	p := price{period: row[3], source: row[5]}
	var err error
	if p.from, err = time.ParseInLocation(time.DateOnly, row[0], charge.Zone); err != nil {
		return p, fmt.Errorf("from: %w", err)
	}
	for part := range strings.FieldsSeq(row[1]) {
		first, last, err := span(part, 1, 12)
		if err != nil {
			return p, fmt.Errorf("months: %w", err)
		}
		for m := first; m <= last; m++ {
			p.months[m] = true
		}
	}
	first, last, err := span(row[2], 0, 24)
	if err != nil {
		return p, fmt.Errorf("hours: %w", err)
	}
	for h := first; h%24 != last%24 || h == first; h++ { // 23-7 goes over midnight
		p.hours[h%24] = true
	}
	if p.yuan, err = strconv.ParseFloat(row[4], 64); err != nil || p.yuan <= 0 {
		return p, fmt.Errorf("yuan_per_kwh: %q is not a price", row[4])
	}
	return p, nil
}

// span reads "1-12" or "5".
func span(text string, least, most int) (first, last int, err error) {
	from, until, both := strings.Cut(text, "-")
	if !both {
		until = from
	}
	first, err1 := strconv.Atoi(from)
	last, err2 := strconv.Atoi(until)
	if err1 != nil || err2 != nil || min(first, last) < least || max(first, last) > most {
		return 0, 0, fmt.Errorf("%q is no span within %d-%d", text, least, most)
	}
	return first, last, nil
}

// at gives the price at a time; before the first day, that of the first day.
func (t tariff) at(at time.Time) *price {
	at = at.In(charge.Zone)
	last := t[0].from
	for i := range t {
		if !t[i].from.After(at) {
			last = t[i].from
		}
	}
	for i := range t {
		if p := &t[i]; p.from.Equal(last) && p.months[at.Month()] && p.hours[at.Hour()] {
			return p
		}
	}
	return &price{}
}

// valley gives the hour at which the longest stretch of the valley begins on a day. The plan's is from 23 to 7.
func (t tariff) valley(day time.Time) int {
	begin, longest := 23, 0
	midnight := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, charge.Zone)
	in := func(h int) bool { return t.at(midnight.Add(time.Duration(h%24)*time.Hour)).period == "valley" }
	for h := range 24 {
		n := 0
		for n < 24 && in(h+n) {
			n++
		}
		if n > longest {
			begin, longest = h, n
		}
	}
	return begin
}

// Holidays are days off, both ends included.
type holiday struct {
	name        string
	from, until time.Time
}

func readHolidays(r io.Reader) ([]holiday, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read holidays: %w", err)
	}
	var all []holiday
	for i, row := range rows[1:] {
		from, err1 := time.ParseInLocation(time.DateOnly, row[1], charge.Zone)
		until, err2 := time.ParseInLocation(time.DateOnly, row[2], charge.Zone)
		if err1 != nil || err2 != nil || until.Before(from) {
			return nil, fmt.Errorf("read holidays: line %d: %s to %s is no span of days", i+2, row[1], row[2])
		}
		all = append(all, holiday{row[0], from, until.AddDate(0, 0, 1)})
	}
	return all, nil
}

// A calendar is the tariff and the holidays that the program carries.
type calendar struct {
	tariff   tariff
	holidays []holiday
}

func ownCalendar() (*calendar, error) {
	t, err := readTariff(bytes.NewReader(tariffFile))
	if err != nil {
		return nil, err
	}
	h, err := readHolidays(bytes.NewReader(holidaysFile))
	if err != nil {
		return nil, err
	}
	return &calendar{t, h}, nil
}

// holiday names the one that a time lies in, or "".
func (c *calendar) holiday(at time.Time) string {
	if i := slices.IndexFunc(c.holidays, func(h holiday) bool { return !at.Before(h.from) && at.Before(h.until) }); i >= 0 {
		return c.holidays[i].name
	}
	return ""
}
