package registry

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/charge"
)

const someTransfers = "from_operator,to_operator,station,date,document\nMA3CLQP01,MA3CLQP02,S2,2024-05-01,鲁能源〔2024〕1号\n"

func TestAStationPassesToAnotherOperatorWithItsPiles(t *testing.T) {
	r := withPiles(t)
	r.now = func() time.Time { return time.Date(2024, 5, 20, 15, 0, 0, 0, charge.Zone) }
	day := time.Date(2024, 5, 21, 0, 0, 0, 0, charge.Zone) // never backwards: the day after it is entered
	d := directory(t, r)
	if done := take(t, r, Transfers, someTransfers); done.Added != 1 {
		t.Fatalf("import: got %+v", done)
	}
	refresh(t, d)
	was, _ := d.Pile(pileID("MA3CLQP01:P2"))
	now, found := d.Pile(pileID("MA3CLQP02:P2"))
	if !found || !was.Connectors[0].Closed.Equal(day) || !was.Station.Closed.Equal(day) {
		t.Fatalf("under its old name: got closed %s, and under its new one found %v", was.Connectors[0].Closed, found)
	}
	opened := time.Date(2022, 1, 1, 0, 0, 0, 0, charge.Zone)
	c := &now.Connectors[0]
	if !c.Opened.Equal(day) || !c.Since().Equal(opened) || !now.Station.Opened.Equal(day) || now.Station.Since().Format(time.DateOnly) != "2022-01-01" {
		t.Errorf("under its new name: got opened %s, since %s; want %s and %s", c.Opened, c.Since(), day, opened)
	}
	if now.Station.Township != was.Station.Township || now.Station.Seasons != was.Station.Seasons || c.Closed.Format(time.DateOnly) != "2030-01-01" {
		t.Errorf("the station under its new name: got %+v, want what it was", now.Station)
	}
	links := d.Links()
	if len(links) != 1 || links[0].Pile != now.ID || links[0].Was != was.ID || links[0].Why != "transfer" || !links[0].From.Equal(day) || links[0].Document == "" {
		t.Errorf("links: got %+v", links)
	}
	if row, _, err := r.PileByID(t.Context(), now.ID); err != nil || row.Township != "371721001" {
		t.Errorf("PileByID under its new name: got %+v, %v", row, err)
	}
	if got := export(t, r, Transfers); got != someTransfers {
		t.Errorf("export: got %s", got)
	}
	if done := take(t, r, Transfers, someTransfers); done.Unchanged != 1 || done.Added+done.Updated != 0 {
		t.Errorf("the same file again: got %+v", done)
	}
	if done := take(t, r, Transfers, strings.Replace(someTransfers, "1号", "2号", 1)); done.Updated != 1 {
		t.Errorf("another document: got %+v", done)
	}
	for _, table := range []Table{Stations, Piles} {
		if done := take(t, r, table, export(t, r, table)); done.Added+done.Updated != 0 {
			t.Errorf("import of the export of %s: got %+v, want all unchanged", table, done)
		}
	}
}

func TestWhatWasGrantedUnderTheOldNameExcusesTheMachineAfterItsTransfer(t *testing.T) {
	r := withPiles(t)
	r.now = func() time.Time { return time.Date(2024, 5, 20, 15, 0, 0, 0, charge.Zone) }
	day := time.Date(2024, 5, 21, 0, 0, 0, 0, charge.Zone)
	d := directory(t, r)
	take(t, r, Transfers, someTransfers)
	take(t, r, Excuses, "kind,operator,pile,division,from,until,cause,document\n"+
		"site,MA3CLQP01,P2,,2024-05-01,2024-05-03,of the machine,1\n"+
		"site,MA3CLQP01,,,2024-05-20,2024-06-30,of all of the operator,2\n"+
		"site,MA3CLQP01,P1,,2024-05-02,2024-05-04,of another machine,3\n"+
		"site,MA3CLQP01,P2,,2024-05-22,2024-05-23,after it was sold,4\n")
	refresh(t, d)
	found := func(from, until time.Time) (all []string) {
		for _, e := range d.Excuses(pileID("MA3CLQP02:P2"), "371721001", from, until) {
			all = append(all, e.Cause+" until "+e.Until.In(charge.Zone).Format(time.DateOnly))
		}
		return all
	}
	want := []string{"of the machine until 2024-05-03", "of all of the operator until 2024-05-21"}
	if got := found(day.AddDate(0, -1, 0), day.AddDate(0, 1, 0)); !slices.Equal(got, want) {
		t.Errorf("from before the transfer on: got %q, want %q", got, want)
	}
	if got := found(day, day.AddDate(0, 1, 0)); len(got) > 0 {
		t.Errorf("from the transfer on: got %q, want none: the old operator's time is not the new one's", got)
	}
}

func TestATransferThatCannotBeIsRefused(t *testing.T) {
	const head = "from_operator,to_operator,station,date\n"
	for _, tt := range []struct{ name, row, want string }{
		{"nobody's station", "MA3CLQP01,MA3CLQP02,S9,2024-05-01", "unknown station S9 of MA3CLQP01"},
		{"to nobody", "MA3CLQP01,MA3CLQP09,S2,2024-05-01", "unknown operator MA3CLQP09"},
		{"to itself", "MA3CLQP01,MA3CLQP01,S2,2024-05-01", "MA3CLQP01 has it already"},
		{"ids that the other one has", "MA3CLQP01,MA3CLQP02,S1,2024-05-01", "MA3CLQP02 has a pile P1 of its own"},
		{"no date", "MA3CLQP01,MA3CLQP02,S2,May", `"May" is not a date`},
		{"a station that is closed by then", "MA3CLQP01,MA3CLQP02,S2,2031-01-01", "is closed from 2030-01-01 on"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := withPiles(t)
			var bad *ImportError
			_, err := r.Import(t.Context(), Transfers, strings.NewReader(head+tt.row+"\n"))
			if !errors.As(err, &bad) || !strings.Contains(bad.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAFileOfTheOldOperatorTakesNothingBack(t *testing.T) {
	r := withPiles(t)
	r.now = func() time.Time { return time.Date(2024, 5, 20, 15, 0, 0, 0, charge.Zone) }
	take(t, r, Transfers, someTransfers)
	for table, file := range map[Table]string{Stations: someStations, Piles: somePiles} {
		var bad *ImportError
		_, err := r.Import(t.Context(), table, strings.NewReader(file))
		if !errors.As(err, &bad) || len(bad.Rows) != 1 || !strings.Contains(bad.Error(), "it passed to MA3CLQP02: want 2024-05-21 or before") {
			t.Errorf("%s as they were before: got %v", table, err)
		}
	}
}
