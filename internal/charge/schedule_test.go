package charge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestOpeningTimesOfADay(t *testing.T) {
	for _, tt := range []struct {
		name, hours, seasons string
		day                  string // 2024-06-03 is a Monday
		want                 string
	}{
		{"nothing said is always", "", "", "2024-06-03", "00:00-24:00"},
		{"round the clock", "24/7", "", "2024-06-03", "00:00-24:00"},
		{"every day by day", "08:00-20:00", "", "2024-06-09", "08:00-20:00"},
		{"a lot open at night, on Monday", "Mo-Fr 18:00-08:00", "", "2024-06-03", "18:00-24:00"},
		{"on Tuesday it has Monday's morning", "Mo-Fr 18:00-08:00", "", "2024-06-04", "00:00-08:00 18:00-24:00"},
		{"on Saturday it has Friday's morning", "Mo-Fr 18:00-08:00", "", "2024-06-08", "00:00-08:00"},
		{"on Sunday it is closed", "Mo-Fr 18:00-08:00", "", "2024-06-09", ""},
		{"the week's end has hours of its own", "Mo-Fr 07:00-19:00; Sa,Su 09:00-18:00", "", "2024-06-09", "09:00-18:00"},
		{"a later rule goes before an earlier one", "08:00-20:00; Su off", "", "2024-06-09", ""},
		{"a break at noon, hours without a leading zero", "8:00-12:00, 13:00-20:00", "", "2024-06-03", "08:00-12:00 13:00-20:00"},
		{"windows that overlap are one", "08:00-14:00,12:00-20:00", "", "2024-06-03", "08:00-20:00"},
		{"days over the end of the week", "Sa-Mo 10:00-12:00", "", "2024-06-03", "10:00-12:00"},
		{"until midnight, either way", "10:00-24:00; Tu 10:00-00:00", "", "2024-06-04", "10:00-24:00"},
		{"first day of the season", "", "05-01..10-15", "2024-05-01", "00:00-24:00"},
		{"last day of the season", "", "05-01..10-15", "2024-10-15", "00:00-24:00"},
		{"the day after it", "", "05-01..10-15", "2024-10-16", ""},
		{"a season over the year's end", "", "05-01..10-15; 12-20..01-10", "2024-01-10", "00:00-24:00"},
		{"the season closes at midnight, whatever began before", "22:00-02:00", "05-01..10-15", "2024-10-16", ""},
		{"and opens at midnight", "22:00-02:00", "05-01..10-15", "2024-05-01", "00:00-02:00 22:00-24:00"},
		{"a leap day belongs to the winter around it", "", "02-01..03-01", "2024-02-29", "00:00-24:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseSchedule(tt.hours, tt.seasons)
			if err != nil {
				t.Fatal(err)
			}
			day, err := time.ParseInLocation(time.DateOnly, tt.day, Zone)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range s.Minutes(day.Add(23 * time.Hour)) {
				got = append(got, fmt.Sprintf("%02d:%02d-%02d:%02d", m.From/60, m.From%60, m.Until/60, m.Until%60))
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("Minutes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNoSchedule(t *testing.T) {
	for _, tt := range []struct{ hours, seasons, want string }{
		{"evenings", "", `"evenings" is none of Mo, Tu`},
		{"Mo-Xx 08:00-20:00", "", `"Mo-Xx" is none of Mo, Tu`},
		{"Mo-Fr", "", `"" is no time of opening`},
		{"08:00", "", `"08:00" is no time of opening`},
		{"08:00-25:00", "", `"08:00-25:00" is no time of opening`},
		{"24:00-08:00", "", "is no time of opening"},
		{"08:60-20:00", "", "is no time of opening"},
		{"08:00-08:00", "", "begins when it ends"},
		{"08:00-20:00;", "", "an empty rule"},
		{"off", "", "never open"},
		{"08:00-20:00; Mo-Su off", "", "never open"},
		{"", "May-Oct", `"May-Oct" is no range of days`},
		{"", "05-01..", "is no range of days"},
		{"", "04-31..05-01", "is no range of days"},
		{"", "05-01..13-01", "is no range of days"},
		{"", ";", "is no range of days"},
		{strings.Repeat("08:00-09:00,", 60), "", "over 500 bytes"},
	} {
		if _, err := ParseSchedule(tt.hours, tt.seasons); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseSchedule(%q, %q): got %v, want %q", tt.hours, tt.seasons, err, tt.want)
		}
	}
}

func TestWhatAnOfficerMustConfirm(t *testing.T) {
	for _, tt := range []struct {
		name, hours, seasons string
		hoursADay            float64
		closed               int
	}{
		{"always", "", "", 24, 0},
		{"eight hours", "09:00-17:00", "", 8, 0},
		{"every night", "18:00-08:00", "", 14, 0},
		{"an hour on Sundays", "Mo-Sa 00:00-24:00; Su 08:00-09:00", "", 1, 0},
		{"closed on Sundays", "Mo-Sa 00:00-24:00", "", 0, 0},
		{"closed from November to February", "", "03-01..10-31", 24, 30 + 31 + 31 + 29},
		{"closed in two parts", "", "03-01..05-31; 08-01..12-31", 24, 30 + 31},
		{"open on one day", "", "03-01..03-01", 24, 365},
	} {
		s, err := ParseSchedule(tt.hours, tt.seasons)
		if err != nil {
			t.Fatal(err)
		}
		if got, closed := s.LeastHours(), s.LongestClosure(); got != tt.hoursADay || closed != tt.closed {
			t.Errorf("%s: got %v hours, %d days closed, want %v, %d", tt.name, got, closed, tt.hoursADay, tt.closed)
		}
	}
}

// anyHours draws hours as they may be written.
func anyHours(t *rapid.T) string {
	day := rapid.SampledFrom(weekdays[:])
	rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
		var days string
		switch rapid.IntRange(0, 3).Draw(t, "days") {
		case 1:
			days = day.Draw(t, "day") + " "
		case 2:
			days = day.Draw(t, "first") + "-" + day.Draw(t, "last") + " "
		case 3:
			days = day.Draw(t, "one") + "," + day.Draw(t, "other") + " "
		}
		windows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			from, length := rapid.IntRange(0, 1439).Draw(t, "from"), rapid.IntRange(1, 1439).Draw(t, "length")
			until := (from + length) % 1440
			return fmt.Sprintf("%02d:%02d-%02d:%02d", from/60, from%60, until/60, until%60)
		}), 1, 3).Draw(t, "windows")
		return days + strings.Join(windows, ",")
	}), 1, 4).Draw(t, "rules")
	return strings.Join(rules, "; ")
}

func anySeasons(t *rapid.T) string {
	at := rapid.Custom(func(t *rapid.T) string {
		month := rapid.IntRange(1, 12).Draw(t, "month")
		return fmt.Sprintf("%02d-%02d", month, rapid.IntRange(1, monthDays[month-1]).Draw(t, "day"))
	})
	return strings.Join(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
		return at.Draw(t, "first") + ".." + at.Draw(t, "last")
	}), 0, 3).Draw(t, "seasons"), "; ")
}

func checkSchedule(t interface {
	Errorf(format string, args ...any)
}, s Schedule, day time.Time,
) {
	year, month, date := day.In(Zone).Date()
	begin := time.Date(year, month, date, 0, 0, 0, 0, Zone)
	before := begin
	spans := s.Spans(day)
	for i, span := range spans {
		if span.From.Before(before) || i > 0 && span.From.Equal(before) || !span.Until.After(span.From) || span.Until.After(begin.AddDate(0, 0, 1)) {
			t.Errorf("span %d of %s: got %v, which is not of the day, sorted and apart", i, begin.Format(time.DateOnly), spans)
		}
		before = span.Until
	}
	for at := begin; at.Before(begin.AddDate(0, 0, 1)); at = at.Add(time.Minute) {
		within := slices.ContainsFunc(spans, func(s Span) bool { return !at.Before(s.From) && at.Before(s.Until) })
		if open := s.Open(at.Add(59 * time.Second)); open != within {
			t.Errorf("Open(%s): got %v, where the spans %v say %v", at, open, spans, within)
			return
		}
	}
}

func TestOpenAgreesWithTheDaysSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hours, seasons := anyHours(t), anySeasons(t)
		s, err := ParseSchedule(hours, seasons)
		if err != nil {
			t.Fatalf("ParseSchedule(%q, %q): %v", hours, seasons, err)
		}
		checkSchedule(t, s, time.Unix(rapid.Int64Range(1.7e9, 1.8e9).Draw(t, "at"), 0))
	})
}

func FuzzParseSchedule(f *testing.F) {
	f.Add("Mo-Fr 07:00-19:00; Sa,Su 09:00-18:00", "05-01..10-15; 12-20..01-10", int64(1.7e9))
	f.Add("Fr-Mo 22:00-02:00,3:00-4:00; off; Su 24/7", "02-29..02-29", int64(0))
	f.Fuzz(func(t *testing.T, hours, seasons string, at int64) {
		s, err := ParseSchedule(hours, seasons)
		if err != nil {
			if !s.Always() {
				t.Errorf("a refused schedule is not the zero one: %v", err)
			}
			return
		}
		checkSchedule(t, s, time.Unix(at%1e11, 0))
		if least, closed := s.LeastHours(), s.LongestClosure(); least < 0 || least > 24 || closed < 0 || closed > 366 {
			t.Errorf("least hours %v, longest closure %d", least, closed)
		}
	})
}
