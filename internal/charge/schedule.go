package charge

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Schedule is when a station is open: by the day of the week, and by the season. The zero value is
// always open. It is immutable and may be shared.
type Schedule struct {
	week    *[7][]MinuteSpan // by time.Weekday, sorted, apart; nil: all day
	seasons []season         // none: all year
}

// A MinuteSpan is a part of a day in minutes after its 00:00, Until exclusive and at most 1,440.
type MinuteSpan struct{ From, Until int }

// A season is a range of days of the year as month*100+day, both ends inclusive; first after last
// goes over the year's end.
type season struct{ first, last int }

const (
	minutesOfDay = 24 * 60
	anHoursForm  = `want like "08:00-20:00", "Mo-Fr 07:00-19:00; Sa,Su 09:00-18:00" or "24/7"`
	aSeasonsForm = `want like "05-01..10-15" or "05-01..10-15; 12-20..01-10"`
	maxSchedule  = 500 // bytes
)

var (
	allDay    = []MinuteSpan{{0, minutesOfDay}}
	weekdays  = [...]string{"Su", "Mo", "Tu", "We", "Th", "Fr", "Sa"} // by time.Weekday
	monthDays = [...]int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
)

// ParseSchedule reads opening hours and seasons.
//
// Hours are rules separated by ";", each with the days that it is for (none: every day) and its
// windows or "off": "Mo-Fr 18:00-08:00", "08:00-12:00,13:00-20:00; Su off". A later rule replaces an
// earlier one on its days. A window that ends at or before its begin goes past midnight. Empty and
// "24/7" are always.
//
// Seasons are ranges of month and day, both inclusive: "05-01..10-15; 12-20..01-10". A day outside
// all of them is closed from 00:00 on, whatever the hours. Empty is all year.
func ParseSchedule(hours, seasons string) (Schedule, error) {
	var s Schedule
	if len(hours) > maxSchedule || len(seasons) > maxSchedule {
		return s, fmt.Errorf("hours or seasons of over %d bytes", maxSchedule)
	}
	if hours = strings.TrimSpace(hours); hours != "" && hours != "24/7" {
		week, err := parseHours(hours)
		if err != nil {
			return Schedule{}, fmt.Errorf("hours %q: %w", hours, err)
		}
		s.week = week
	}
	if seasons = strings.TrimSpace(seasons); seasons != "" {
		for part := range strings.SplitSeq(seasons, ";") {
			one, err := parseSeason(strings.TrimSpace(part))
			if err != nil {
				return Schedule{}, fmt.Errorf("seasons %q: %w", seasons, err)
			}
			s.seasons = append(s.seasons, one)
		}
	}
	return s, nil
}

func parseHours(text string) (*[7][]MinuteSpan, error) {
	var begun [7][]MinuteSpan // by the day on which a window begins; Until up to a day more
	for rule := range strings.SplitSeq(text, ";") {
		days, windows, err := parseRule(strings.TrimSpace(rule))
		if err != nil {
			return nil, err
		}
		for day := range begun {
			if days[day] {
				begun[day] = windows
			}
		}
	}
	var week [7][]MinuteSpan
	open := false
	for day, windows := range begun {
		for _, w := range windows {
			open = true
			week[day] = append(week[day], MinuteSpan{w.From, min(w.Until, minutesOfDay)})
			if w.Until > minutesOfDay {
				next := (day + 1) % 7
				week[next] = append(week[next], MinuteSpan{0, w.Until - minutesOfDay})
			}
		}
	}
	if !open {
		return nil, errors.New("never open: a station out of service has a closed date")
	}
	for day := range week {
		week[day] = merge(week[day])
	}
	return &week, nil
}

func parseRule(rule string) (days [7]bool, windows []MinuteSpan, err error) {
	if rule == "" {
		return days, nil, errors.New("an empty rule; " + anHoursForm)
	}
	times := rule
	if rule[0] < '0' || rule[0] > '9' {
		var list string
		list, times, _ = strings.Cut(rule, " ")
		if rule == "off" {
			list, times = "Mo-Su", "off"
		}
		if days, err = parseDays(list); err != nil {
			return days, nil, err
		}
	} else {
		days = [7]bool{true, true, true, true, true, true, true}
	}
	if times = strings.TrimSpace(times); times == "off" {
		return days, nil, nil
	}
	for part := range strings.SplitSeq(times, ",") {
		from, until, ok := strings.Cut(strings.TrimSpace(part), "-")
		f, okFrom := parseClock(from)
		u, okUntil := parseClock(until)
		switch {
		case !ok || !okFrom || !okUntil || f == minutesOfDay:
			return days, nil, fmt.Errorf("%q is no time of opening; %s", part, anHoursForm)
		case f == u:
			return days, nil, fmt.Errorf("%q begins when it ends: the whole day is 00:00-24:00", part)
		case u < f:
			u += minutesOfDay
		}
		windows = append(windows, MinuteSpan{f, u})
	}
	return days, windows, nil
}

// parseDays reads "Mo-Fr" or "Sa,Su"; a range may go over the end of the week.
func parseDays(list string) (days [7]bool, err error) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, until := slices.Index(weekdays[:], first), slices.Index(weekdays[:], last)
		if from < 0 || until < 0 {
			return days, fmt.Errorf("%q is none of Mo, Tu, We, Th, Fr, Sa, Su; %s", part, anHoursForm)
		}
		for day := from; ; day = (day + 1) % 7 {
			days[day] = true
			if day == until {
				break
			}
		}
	}
	return days, nil
}

// parseClock reads "8:00" to "24:00" as minutes.
func parseClock(s string) (minute int, ok bool) {
	hour, rest, ok := strings.Cut(strings.TrimSpace(s), ":")
	h, okHour := parseDigits(hour, 1, 2)
	m, okMinute := parseDigits(rest, 2, 2)
	minute = h*60 + m
	return minute, ok && okHour && okMinute && m < 60 && minute <= minutesOfDay
}

func parseDigits(s string, least, most int) (int, bool) {
	if len(s) < least || len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

func parseSeason(part string) (season, error) {
	first, last, ok := strings.Cut(part, "..")
	f, okFirst := parseMonthDay(strings.TrimSpace(first))
	l, okLast := parseMonthDay(strings.TrimSpace(last))
	if !ok || !okFirst || !okLast {
		return season{}, fmt.Errorf("%q is no range of days; %s", part, aSeasonsForm)
	}
	return season{f, l}, nil
}

func parseMonthDay(s string) (int, bool) {
	month, day, ok := strings.Cut(s, "-")
	m, okMonth := parseDigits(month, 2, 2)
	d, okDay := parseDigits(day, 2, 2)
	if !ok || !okMonth || !okDay || m < 1 || m > 12 || d < 1 || d > monthDays[m-1] {
		return 0, false
	}
	return m*100 + d, true
}

// merge sorts spans and joins those that touch or overlap.
func merge(spans []MinuteSpan) []MinuteSpan {
	slices.SortFunc(spans, func(a, b MinuteSpan) int { return a.From - b.From })
	var apart []MinuteSpan
	for _, s := range spans {
		if n := len(apart); n > 0 && s.From <= apart[n-1].Until {
			apart[n-1].Until = max(apart[n-1].Until, s.Until)
		} else {
			apart = append(apart, s)
		}
	}
	return apart
}

// Always tells whether the station never closes.
func (s Schedule) Always() bool { return s.week == nil && len(s.seasons) == 0 }

// Minutes gives the opening times of the day (Asia/Shanghai) in which day lies, sorted and apart,
// none where it is closed. What belongs to a window of the day before is there, too. The slice is
// shared: never change it.
func (s Schedule) Minutes(day time.Time) []MinuteSpan {
	day = day.In(Zone)
	if !s.inSeason(int(day.Month())*100 + day.Day()) {
		return nil
	}
	if s.week == nil {
		return allDay
	}
	return s.week[day.Weekday()]
}

// Spans is Minutes as times.
func (s Schedule) Spans(day time.Time) []Span {
	year, month, date := day.In(Zone).Date()
	begin := time.Date(year, month, date, 0, 0, 0, 0, Zone)
	minutes := s.Minutes(day)
	spans := make([]Span, len(minutes))
	for i, m := range minutes {
		spans[i] = Span{begin.Add(time.Duration(m.From) * time.Minute), begin.Add(time.Duration(m.Until) * time.Minute)}
	}
	return spans
}

// Open tells whether the station is open at a time.
func (s Schedule) Open(at time.Time) bool {
	at = at.In(Zone)
	minute := at.Hour()*60 + at.Minute()
	return slices.ContainsFunc(s.Minutes(at), func(m MinuteSpan) bool { return minute >= m.From && minute < m.Until })
}

// InSeason tells whether the day (Asia/Shanghai) in which at lies is in season.
func (s Schedule) InSeason(at time.Time) bool {
	at = at.In(Zone)
	return s.inSeason(int(at.Month())*100 + at.Day())
}

func (s Schedule) inSeason(monthDay int) bool {
	return len(s.seasons) == 0 || slices.ContainsFunc(s.seasons, func(one season) bool {
		if one.first <= one.last {
			return monthDay >= one.first && monthDay <= one.last
		}
		return monthDay >= one.first || monthDay <= one.last
	})
}

// LeastHours is for how many hours the station is open on the day of the week when it is open the
// least, within its season: 0 where it is closed on Sundays.
func (s Schedule) LeastHours() float64 {
	if s.week == nil {
		return 24
	}
	least := minutesOfDay
	for _, day := range s.week {
		open := 0
		for _, m := range day {
			open += m.Until - m.From
		}
		least = min(least, open)
	}
	return float64(least) / 60
}

// LongestClosure is how many days on end the seasons close the station, over the year's end as well;
// a leap day counts.
func (s Schedule) LongestClosure() int {
	var closed []bool
	for month, days := range monthDays {
		for day := range days {
			closed = append(closed, !s.inSeason((month+1)*100+day+1))
		}
	}
	longest, run := 0, 0
	for i := range 2 * len(closed) { // twice round, for what goes over the year's end
		if !closed[i%len(closed)] {
			run = 0
			continue
		}
		run++
		longest = max(longest, min(run, len(closed)))
	}
	return longest
}
