package cases_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
)

func at(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, charge.Zone)
	if err != nil {
		panic(err)
	}
	return t
}

func nationalDay(t *testing.T) cases.Calendar {
	cal, err := cases.NewCalendar([]string{"2026-10-01", "2026-10-02", "2026-10-05", "2026-10-06", "2026-10-07"}, []string{"2026-10-10"})
	if err != nil {
		t.Fatal(err)
	}
	return cal
}

func TestThePeriodRunsFromTheDayAfterService(t *testing.T) {
	plain, cal := cases.Calendar{}, nationalDay(t)
	for _, tt := range []struct {
		name   string
		cal    cases.Calendar
		served string
		days   int
		want   string
	}{
		{"30 days after a service at 10:00", plain, "2026-05-04 10:00", 30, "2026-06-04 00:00"},
		{"served just before midnight, it is still that day", plain, "2026-05-04 23:59", 30, "2026-06-04 00:00"},
		{"the last day is a Saturday", plain, "2026-05-07 10:00", 30, "2026-06-09 00:00"},
		{"the last day is a Sunday", plain, "2026-05-08 10:00", 30, "2026-06-09 00:00"},
		{"the last day is in the national holidays", cal, "2026-09-02 10:00", 30, "2026-10-09 00:00"},
		{"the last day is a Saturday that is worked", cal, "2026-09-10 10:00", 30, "2026-10-11 00:00"},
		{"ten days after a relapse", plain, "2026-05-04 10:00", 10, "2026-05-15 00:00"},
		{"no period: with the day of service", plain, "2026-05-04 10:00", 0, "2026-05-05 00:00"},
		{"no period, served on a Saturday", plain, "2026-05-09 10:00", 0, "2026-05-10 00:00"},
	} {
		if got := tt.cal.Deadline(at(tt.served), tt.days); !got.Equal(at(tt.want)) {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
	}
}

func TestWorkingDays(t *testing.T) {
	for _, tt := range []struct {
		name string
		cal  cases.Calendar
		from string
		days int
		want string
	}{
		{"ten from a Monday", cases.Calendar{}, "2026-05-04 10:00", 10, "2026-05-19 00:00"},
		{"one from a Friday", cases.Calendar{}, "2026-05-08 10:00", 1, "2026-05-12 00:00"},
		{"over the national holidays", nationalDay(t), "2026-09-30 10:00", 3, "2026-10-11 00:00"},
	} {
		if got := tt.cal.AfterWorking(at(tt.from), tt.days); !got.Equal(at(tt.want)) {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
	}
	if _, err := cases.NewCalendar([]string{"2026-13-01"}, nil); err == nil || !strings.Contains(err.Error(), "2026-13-01") {
		t.Errorf("a day that does not exist: got %v", err)
	}
}

func TestDeadlinesPassByThemselves(t *testing.T) {
	monday := at("2026-05-04 10:00")
	for _, tt := range []struct {
		name string
		c    cases.Case
		now  string
		want cases.Action
		at   string
	}{
		{"suspected for ten working days", cases.Case{State: cases.Suspected, Since: monday}, "2026-05-19 00:00", cases.Escalate, "2026-05-19 00:00"},
		{"suspected for a minute less", cases.Case{State: cases.Suspected, Since: monday}, "2026-05-18 23:59", "", ""},
		{"suspected for long, and on the list", cases.Case{State: cases.Suspected, Since: monday, Escalated: true}, "2026-09-01 00:00", "", ""},
		{"overdue for fifteen working days", cases.Case{State: cases.Overdue, Since: monday}, "2026-05-26 00:00", cases.Escalate, "2026-05-26 00:00"},
		{"notified and never served: no period runs", cases.Case{State: cases.Notified, Since: monday}, "2027-01-01 00:00", "", ""},
		{"the period has passed while the program was away", cases.Case{State: cases.Notified, Served: true, Deadline: at("2026-06-04 00:00")}, "2026-06-20 00:00", cases.Expire, "2026-06-04 00:00"},
		{"the last minute of the period", cases.Case{State: cases.Notified, Served: true, Deadline: at("2026-06-04 00:00")}, "2026-06-03 23:59", "", ""},
		{"no test charge within 30 days", cases.Case{State: cases.Checking, CheckBy: at("2026-06-03 00:00")}, "2026-06-03 00:00", cases.Suspect, "2026-06-03 00:00"},
		{"reviewed waits for a person", cases.Case{State: cases.Reviewed, Since: monday}, "2027-01-01 00:00", "", ""},
	} {
		got, due := cases.Due(&tt.c, at(tt.now), cases.Calendar{}, cases.DefaultTerms())
		if due != (tt.want != "") || due && (got.Action != tt.want || !got.At.Equal(at(tt.at))) {
			t.Errorf("%s: got %v (%v), want %s at %s", tt.name, got, due, tt.want, tt.at)
		}
	}
}

func TestAServedDeadlineNeverShortens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		served := at("2026-05-04 10:00").AddDate(0, 0, rapid.IntRange(0, 400).Draw(t, "day"))
		deadline := cases.Calendar{}.Deadline(served, 30)
		for range rapid.IntRange(0, 5).Draw(t, "changes") {
			anew := cases.Calendar{}.Deadline(served, rapid.IntRange(0, 90).Draw(t, "days"))
			if got := cases.Lengthened(deadline, anew); got.Before(deadline) {
				t.Fatalf("from %v to %v", deadline, got)
			} else if got.Before(anew) {
				t.Fatalf("an extension to %v gives %v", anew, got)
			} else {
				deadline = got
			}
		}
	})
}

func TestService(t *testing.T) {
	day := at("2026-05-04 10:00")
	failed := func(kind cases.ServiceKind) cases.Service {
		return cases.Service{Kind: kind, On: day.AddDate(0, 0, -20), Evidence: "moved away", Failed: true}
	}
	for _, tt := range []struct {
		name    string
		s       cases.Service
		earlier []cases.Service
		ok      bool
		served  time.Time
	}{
		{"handed over and signed", cases.Service{Kind: cases.Direct, On: day, Evidence: "receipt 7"}, nil, true, day},
		{"handed over, without a receipt", cases.Service{Kind: cases.Direct, On: day}, nil, false, time.Time{}},
		{"left before a camera", cases.Service{Kind: cases.Left, On: day, Evidence: "video"}, nil, true, day},
		{"by post", cases.Service{Kind: cases.Post, On: day, Evidence: "EMS 123"}, nil, true, day},
		{"an e-mail without consent is a reminder", cases.Service{Kind: cases.Electronic, On: day, Evidence: "250 OK"}, nil, false, time.Time{}},
		{"an e-mail to a confirmed address", cases.Service{Kind: cases.Electronic, On: day, Evidence: "250 OK", Consent: "确认书 2026-3"}, nil, true, day},
		{"an operator that cannot be reached, by public notice", cases.Service{Kind: cases.PublicNotice, On: day, Evidence: "公告 12"}, []cases.Service{failed(cases.Direct), failed(cases.Post)}, true, day.AddDate(0, 0, 30)},
		{"a public notice at once", cases.Service{Kind: cases.PublicNotice, On: day, Evidence: "公告 12"}, nil, false, time.Time{}},
		{"a public notice where the post was not tried", cases.Service{Kind: cases.PublicNotice, On: day, Evidence: "公告 12"}, []cases.Service{failed(cases.Direct)}, false, time.Time{}},
		{"a public notice posted before the others failed", cases.Service{Kind: cases.PublicNotice, On: day.AddDate(0, 0, -30), Evidence: "公告 12"}, []cases.Service{failed(cases.Direct), failed(cases.Post)}, false, time.Time{}},
		{"a letter that came back", failed(cases.Post), nil, true, time.Time{}},
		{"by webhook", cases.Service{Kind: "webhook", On: day, Evidence: "200"}, nil, false, time.Time{}},
		{"without a day", cases.Service{Kind: cases.Post, Evidence: "EMS 123"}, nil, false, time.Time{}},
	} {
		if err := tt.s.Check(tt.earlier); (err == nil) != tt.ok {
			t.Errorf("%s: got %v, want ok %v", tt.name, err, tt.ok)
			continue
		}
		if on, served := tt.s.Effective(cases.DefaultTerms()); tt.ok && (served == tt.served.IsZero() || served && !on.Equal(tt.served)) {
			t.Errorf("%s: got %v (%v), want %v", tt.name, on, served, tt.served)
		}
	}
}
