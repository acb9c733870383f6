package registry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/charge"
)

const someRenames = "old,new,date,document\n371721101,371721190,2024-05-01,鲁民〔2024〕3号\n"

func TestThePlanCounts1129TownsAndTownships(t *testing.T) {
	all, err := PlanTownships()
	if err != nil || len(all) != 1129 {
		t.Fatalf("got %d, %v", len(all), err)
	}
}

func TestARenamedTownshipKeepsItsStationsAndItsDays(t *testing.T) {
	r := withPiles(t)
	r.now = func() time.Time { return time.Date(2024, 5, 20, 15, 0, 0, 0, charge.Zone) }
	day := func(d int) time.Time { return time.Date(2024, 5, d, 0, 0, 0, 0, charge.Zone) }
	save(t, r, 1, Health{TownshipDays: []TownshipDay{
		{Township: "371721101", Day: day(19), State: charge.Effective, Reason: "usable"},
		{Township: "371721101", Day: day(20), State: charge.Failing, Reason: "all_fault"},
	}})
	take(t, r, Divisions, "code,name\n371721190,新庄寨镇\n")
	if done := take(t, r, Renames, someRenames); done.Added != 1 {
		t.Fatalf("import: got %+v", done)
	}
	if got := waiting(t, r); got != "" {
		t.Errorf("an officer is asked for what the government has decided: %s", got)
	}
	s := station(t, directory(t, r), "S1")
	if s.TownshipAt(day(20)) != "371721101" || s.TownshipAt(day(21)) != "371721190" {
		t.Errorf("its station: got %s and %s, want the new township from the next day on", s.TownshipAt(day(20)), s.TownshipAt(day(21)))
	}
	save(t, r, 2, Health{TownshipDays: []TownshipDay{
		{Township: "371721101", Day: day(21), State: charge.None, Reason: "no_station"},
		{Township: "371721190", Day: day(20), State: charge.None, Reason: "no_station"},
		{Township: "371721190", Day: day(21), State: charge.Effective, Reason: "usable"},
	}})
	days, err := r.TownshipDays(t.Context(), "371721190", day(1), day(31))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range days {
		got = append(got, d.Day.Format("01-02")+" "+string(d.Township)+" "+string(d.State))
	}
	want := "05-19 371721190 effective, 05-20 371721190 failing, 05-21 371721190 effective"
	if strings.Join(got, ", ") != want {
		t.Errorf("its days: got %v, want %s", got, want)
	}
	// The list without the old code takes it out: its stations are not there any more.
	var list []string
	for line := range strings.Lines(strings.ReplaceAll(export(t, r, Divisions), "2023-06-30", "2024-06-30")) {
		if !strings.HasPrefix(line, "371721101,") {
			list = append(list, line)
		}
	}
	if done := take(t, r, Divisions, strings.Join(list, "")); done.Removed != 1 {
		t.Errorf("today's list: got %+v", done)
	}
	if renames, err := r.Renames(t.Context()); err != nil || renames["371721101"] != "371721190" {
		t.Errorf("Renames: got %v, %v", renames, err)
	}
	if got := export(t, r, Renames); got != someRenames {
		t.Errorf("export: got %s", got)
	}
	if done := take(t, r, Renames, someRenames); done.Unchanged != 1 {
		t.Errorf("the same file again: got %+v", done)
	}
}

func TestTownshipsThatMergeKeepTheirOwnPasts(t *testing.T) {
	r := withPiles(t)
	r.now = func() time.Time { return time.Date(2024, 5, 20, 15, 0, 0, 0, charge.Zone) }
	day := time.Date(2024, 5, 19, 0, 0, 0, 0, charge.Zone)
	save(t, r, 1, Health{TownshipDays: []TownshipDay{
		{Township: "371721101", Day: day, State: charge.Failing}, {Township: "371721102", Day: day, State: charge.Effective}, {Township: "371721103", Day: day, State: charge.None},
	}})
	take(t, r, Renames, "old,new,date\n371721101,371721103,2024-05-01\n371721102,371721103,2024-05-01\n")
	days, err := r.TownshipDays(t.Context(), "371721103", day, day)
	if err != nil || len(days) != 1 || days[0].State != charge.None {
		t.Errorf("a day before the merger: got %+v, %v, want what the township itself was", days, err)
	}
	if s := station(t, directory(t, r), "S1"); s.Township != "371721103" {
		t.Errorf("station of one of them: got %s", s.Township)
	}
}

func TestARenameThatCannotBeIsRefused(t *testing.T) {
	for _, tt := range []struct{ row, want string }{
		{"371721101,371721999,2024-05-01", "unknown township 371721999"},
		{"371721101,371721101,2024-05-01", "371721101 is the old code"},
		{"371721,371721101,2024-05-01", "not a township's code"},
		{"371721101,371721102,May", "is not a date"},
	} {
		var bad *ImportError
		_, err := withPiles(t).Import(t.Context(), Renames, strings.NewReader("old,new,date\n"+tt.row+"\n"))
		if !errors.As(err, &bad) || !strings.Contains(bad.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.row, err, tt.want)
		}
	}
}
