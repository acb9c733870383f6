package dashboard

import (
	"net/http"
	"strings"
	"testing"

	"pilewatch/internal/cases"
	"pilewatch/internal/registry"
)

func TestAStepOfACaseIsToldToWhoMaySeeIt(t *testing.T) {
	s := openSite(t, Config{}, func(s *site) { told(t, s); s.suspect(t) })
	eventually(t, "the case is on the board", func() bool {
		_, _, version := s.board.of(func(*registry.Case) bool { return true }, 0)
		return version > 0
	})
	as := func(grant string) *watcherConn {
		g, err := registry.ParseGrant(grant)
		if err != nil {
			t.Fatal(err)
		}
		return s.dial(t, s.tokenOf(t, g))
	}
	office, owner, rival := as("officer:371721"), as("operator:MA3CLQP01"), as("operator:MA3CLQP02")
	var v casesView
	office.subscribe("cases:371721")
	first := office.next("snapshot", &v)
	if len(v.Cases) != 1 || v.Cases[0].ID != s.caseID || v.Totals[cases.Suspected] != 1 || first.Version == 0 {
		t.Fatalf("the office: got %+v, want the case", v)
	}
	owner.subscribe("cases:op:MA3CLQP01")
	if owner.next("snapshot", &v); len(v.Cases) != 1 {
		t.Errorf("its operator: got %+v, want the case", v)
	}
	rival.subscribe("cases:op:MA3CLQP02")
	var none casesView
	if rival.next("snapshot", &none); len(none.Cases) != 0 || len(none.Totals) != 0 {
		t.Errorf("another operator: got %+v, want nothing", none)
	}

	do := s.does(t, "li", "officer:3717")
	if a := do("notify", `"text":"请整改"`); a.StatusCode != http.StatusOK {
		t.Fatalf("notify: got %d %s", a.StatusCode, a.body)
	}
	for name, c := range map[string]*watcherConn{"the office": office, "its operator": owner} {
		var d casesView
		if m := c.next("delta", &d); len(d.Cases) != 1 || d.Cases[0].State != cases.Notified || d.Totals[cases.Notified] != 1 || m.Version <= first.Version {
			t.Errorf("%s: got %+v at %d, want the case notified", name, d, m.Version)
		}
	}
	// The rival hears of nothing: what it asks for next is the first that it is told.
	rival.subscribe("cases:op:MA3CLQP01")
	if m, err := rival.read(); err != nil || m.Type != "error" {
		t.Errorf("another operator: got %+v, %v; want a refusal", m, err)
	}
	// Who comes back with what it has seen gets the step alone.
	back := as("officer:371721")
	back.send(ask{Subscribe: []string{"cases:371721"}, Versions: map[string]uint64{"cases:371721": first.Version}})
	var d casesView
	if back.next("delta", &d); len(d.Cases) != 1 || d.Cases[0].State != cases.Notified {
		t.Errorf("who comes back: got %+v, want the step", d)
	}
}

func TestCasesAsAFile(t *testing.T) {
	s := openSite(t, Config{}, func(s *site) { told(t, s); s.suspect(t) })
	for query, want := range map[string]bool{"": true, "?state=suspected&lang=en": true, "?state=notified": false, "?division=371721&operator=MA3CLQP01": true, "?operator=MA3CLQP02": false} {
		a := s.ask(t, http.MethodGet, "/api/v1/export/cases.csv"+query, "", true)
		if text := string(a.body); a.StatusCode != http.StatusOK || strings.Contains(text, s.caseID) != want {
			t.Errorf("%s: got %d %s, want the case in it: %v", query, a.StatusCode, text, want)
		}
	}
	if a := s.ask(t, http.MethodGet, "/api/v1/export/cases.xlsx", "", true); a.StatusCode != http.StatusOK || !strings.HasPrefix(string(a.body), "PK") {
		t.Errorf("xlsx: got %d", a.StatusCode)
	}
	if a := s.ask(t, http.MethodGet, "/api/v1/export/cases.csv?state=gone", "", true); a.StatusCode != http.StatusBadRequest {
		t.Errorf("a state that is none: got %d", a.StatusCode)
	}
}
