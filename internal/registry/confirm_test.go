package registry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/charge"
)

// waiting is what waits for an officer, as one line each.
func waiting(t *testing.T, r *Registry) string {
	t.Helper()
	all, err := r.Confirmations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range all {
		lines = append(lines, strings.Join([]string{string(c.Station) + c.Pile, c.Field, c.Before, c.Value}, "|"))
	}
	return strings.Join(lines, " ")
}

func station(t *testing.T, d *Directory, id charge.StationID) *charge.Station {
	t.Helper()
	refresh(t, d)
	for s := range d.Stations() {
		if s.ID == id && s.Operator == "MA3CLQP01" {
			return s
		}
	}
	t.Fatalf("no station %s", id)
	return nil
}

func TestAChangeHoldsFromTheDayAfterItIsEntered(t *testing.T) {
	r := withPiles(t)
	d := directory(t, r)
	r.now = func() time.Time { return time.Date(2126, 3, 1, 23, 30, 0, 0, charge.Zone) }
	done := take(t, r, Stations, strings.Replace(someStations, "Mo-Fr 18:00-08:00", "06:00-22:00", 1))
	if done != (Imported{Updated: 1, Unchanged: 2}) || waiting(t, r) != "" {
		t.Errorf("hours of 16 hours: got %+v, waiting %q", done, waiting(t, r))
	}
	r.now = func() time.Time { return time.Date(2126, 3, 5, 8, 0, 0, 0, charge.Zone) }
	take(t, r, Stations, strings.Replace(someStations, "Mo-Fr 18:00-08:00", "05:00-23:00", 1))
	take(t, r, Stations, strings.Replace(someStations, "Mo-Fr 18:00-08:00", "05:00-22:00", 1)) // the same day again
	for _, dir := range []*Directory{d, directory(t, r)} {
		s := station(t, dir, "S1")
		if s.Hours != "05:00-22:00" {
			t.Errorf("the station's own hours: got %s", s.Hours)
		}
		for at, want := range map[string]string{
			"2025-01-01T00:00:00+08:00": "", // since it was entered with hours that were confirmed on a later day
			"2126-03-02T00:00:00+08:00": "06:00-22:00",
			"2126-03-05T23:59:59+08:00": "06:00-22:00",
			"2126-03-05T16:00:00Z":      "05:00-22:00",
			"2127-01-01T00:00:00Z":      "05:00-22:00",
		} {
			at, _ := time.Parse(time.RFC3339, at)
			if got := s.TermsAt(at); got.Hours != want || got.Township != "371721101" {
				t.Errorf("terms at %s: got %+v, want hours %q", at, got, want)
			}
		}
	}
	if s := station(t, d, "S2"); s.Past == nil || s.TermsAt(time.Time{}).Seasons != "" {
		t.Errorf("a closure that was confirmed: got %+v", s)
	}
	// Nothing else of a station has a past.
	take(t, r, Stations, strings.Replace(someStations, "小区", "新区", 1))
	for s := range directory(t, r).Stations() {
		if s.Operator == "MA3CLQP02" && s.Past != nil {
			t.Errorf("a new name makes a past: %+v", s.Past)
		}
	}
}

func TestNoEscapeByPaper(t *testing.T) {
	r := withPiles(t)
	d := directory(t, r)
	before := export(t, r, Stations)
	moved := strings.NewReplacer("371721101,public,rural", "371721102,dedicated,urban", "2023-05-01,\n", "2026-01-01,\n", "Mo-Fr 18:00-08:00", "08:00-12:00").Replace(someStations)
	done := take(t, r, Stations, moved)
	if done != (Imported{Updated: 1, Unchanged: 2, Unconfirmed: 5}) {
		t.Errorf("Import: got %+v", done)
	}
	want := "S1|township|371721101|371721102 S1|kind|public|dedicated S1|area|rural|urban S1|hours|Mo-Fr 18:00-08:00|08:00-12:00 S1|opened|2023-05-01|2026-01-01"
	if got := waiting(t, r); got != want || export(t, r, Stations) != before {
		t.Errorf("waiting: got %s, want %s; registry changed: %v", got, want, export(t, r, Stations) != before)
	}
	if done := take(t, r, Stations, moved); done != (Imported{Unchanged: 3}) || waiting(t, r) != want {
		t.Errorf("the same again: got %+v, waiting %s", done, waiting(t, r))
	}
	all, _ := r.Confirmations(t.Context())
	if err := r.Confirm(t.Context(), all[0].ID, true, "李四"); err != nil {
		t.Fatal(err)
	}
	if err := r.Confirm(t.Context(), all[1].ID, false, "李四"); err != nil {
		t.Fatal(err)
	}
	if err := r.Confirm(t.Context(), all[0].ID, true, "李四"); !errors.Is(err, ErrUnknownConfirmation) {
		t.Errorf("confirm twice: got %v", err)
	}
	s := station(t, d, "S1")
	if s.Township != "371721102" || s.Kind != charge.Public || s.TermsAt(r.now()).Township != "371721101" ||
		s.TermsAt(r.now().AddDate(0, 0, 1)).Township != "371721102" {
		t.Errorf("after a move was confirmed and a kind refused: got %+v", s)
	}
	// The file takes back what it asked for.
	take(t, r, Stations, export(t, r, Stations))
	if got := waiting(t, r); got != "" {
		t.Errorf("waiting after the file takes it back: got %s", got)
	}
}

func TestAnOfficerConfirmsThatAnEstateIsNoLongerRunAsAService(t *testing.T) {
	r := withPiles(t)
	const head, estate = "operator,station,township,kind,access,opened\n", "MA3CLQP01,S9,371721101,residential,"
	take(t, r, Stations, head+estate+"limited,2023-05-01\n")
	if done := take(t, r, Stations, head+estate+"public,2023-05-01\n"); done.Unconfirmed != 0 || done.Updated != 1 {
		t.Errorf("still run as a service: got %+v", done)
	}
	if done := take(t, r, Stations, head+estate+"inner,2023-05-01\n"); done.Unconfirmed != 1 {
		t.Errorf("a household's own now: got %+v, want it to wait for an officer", done)
	}
	all, err := r.Confirmations(t.Context())
	if err != nil || len(all) != 1 || all[0].Field != "access" {
		t.Fatalf("got %+v, %v; want the access to wait", all, err)
	}
	if s := station(t, directory(t, r), "S9"); s.Access != "public" {
		t.Errorf("until then: got access %q, want public", s.Access)
	}
	if err := r.Confirm(t.Context(), all[0].ID, true, "李四"); err != nil {
		t.Fatal(err)
	}
	if s := station(t, directory(t, r), "S9"); s.Access != "inner" {
		t.Errorf("confirmed: got access %q, want inner", s.Access)
	}
}

func TestAPileKeepsItsClocks(t *testing.T) {
	r := withPiles(t)
	const head = "operator,station,pile,connector,serial,power_kw,opened\n"
	done := take(t, r, Piles, head+"MA3CLQP01,S1,P1,1,SN-1,120,2026-01-01\nMA3CLQP01,S2,P2,1,,7,2022-01-01\n")
	if done.Unconfirmed != 1 || waiting(t, r) != "P1|opened|2023-05-01|2026-01-01" {
		t.Errorf("a new opened on a known id: got %+v, waiting %s", done, waiting(t, r))
	}
	done = take(t, r, Piles, head+"MA3CLQP02,S1,NEW,1,SN-1,120,2026-02-01\n")
	if done.Added != 1 || done.Unconfirmed != 1 || waiting(t, r) != "P1|opened|2023-05-01|2026-01-01 NEW|opened|2023-05-01|2026-02-01" {
		t.Errorf("a new opened on a known serial: got %+v, waiting %s", done, waiting(t, r))
	}
	if got := export(t, r, Piles); !strings.Contains(got, "MA3CLQP02,S1,NEW,1,SN-1,,,,120,,2023-05-01,") {
		t.Errorf("the new name has its own opened: %s", got)
	}
	links, err := r.PileLinks(t.Context())
	if err != nil || len(links) != 1 || links[0].Was != pileID("MA3CLQP01:P1") || links[0].Why != "serial" {
		t.Errorf("PileLinks: got %+v, %v", links, err)
	}
	done = take(t, r, Piles, head+"MA3CLQP01,S2,P1,1,SN-1,120,2026-01-01\n")
	if done.Unconfirmed != 1 || !strings.Contains(waiting(t, r), "P1|station|S1|S2") {
		t.Errorf("a pile that moves to another township: got %+v, waiting %s", done, waiting(t, r))
	}
	if p, _ := directory(t, r).Pile(pileID("MA3CLQP01:P1")); p.Station.ID != "S1" {
		t.Errorf("station before the officer confirmed: got %s", p.Station.ID)
	}
	confirmAll(t, r)
	d := directory(t, r)
	p, _ := d.Pile(pileID("MA3CLQP01:P1"))
	if got := p.Connectors[0].Opened.Format(time.DateOnly); p.Station.ID != "S2" || got != "2026-01-01" {
		t.Errorf("after the officer confirmed: got %s, opened %s", p.Station.ID, got)
	}
	if row, _, err := r.PileByID(t.Context(), p.ID); err != nil || row.Township != "371721001" {
		t.Errorf("PileByID: got %+v, %v", row, err)
	}
}
