package dashboard

import (
	"archive/zip"
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// suspect opens a case of MA3CLQP01:P1 in 曹县, and keeps 90 days of it.
func (s *site) suspect(t *testing.T) {
	t.Helper()
	pile := charge.PileID{Operator: "MA3CLQP01", Equipment: "P1"}
	y, m, day := time.Now().In(charge.Zone).Date()
	last := time.Date(y, m, day-4, 0, 0, 0, 0, charge.Zone)
	h := &registry.Health{}
	d := &cases.Dossier{
		Pile: pile.String(), Known: []cases.Name{{Operator: "MA3CLQP01", Pile: "P1"}}, Station: "古营集镇站", Township: "371721101",
		Changes: []cases.StatusChange{}, Rejects: []cases.Reject{}, Excuses: []cases.Excuse{}, Neighbours: []cases.Neighbour{},
		Grounds: []cases.Ground{{Rule: "not_usable", Policy: "1", From: last.AddDate(0, 0, -29).UTC(), Until: last.AddDate(0, 0, 1).UTC(), Out: 40_000, Fault: 30_000, Unknown: 3200}},
	}
	for n := 89; n >= 0; n-- {
		minutes := charge.DayMinutes{Usable: 1440, Heard: 1440}
		switch {
		case n < 12:
			minutes = charge.DayMinutes{Unknown: 1440}
		case n < 20:
			minutes = charge.DayMinutes{Out: 1440, Fault: 500, Heard: 1440}
		case n < 24:
			minutes = charge.DayMinutes{Out: 240, Fault: 240, Excused: 1200}
		case n < 40:
			minutes = charge.DayMinutes{Out: 1440, Fault: 1440, Heard: 1440}
		case n < 50:
			minutes = charge.DayMinutes{Usable: 900, Out: 540, Fault: 300, Heard: 1440}
		}
		at := last.AddDate(0, 0, -n)
		h.PileDays = append(h.PileDays, registry.PileDay{Pile: pile, Day: at, Minutes: minutes, Frozen: true})
		d.Days = append(d.Days, dayView(at, &minutes))
	}
	if err := s.registry.SaveHealth(t.Context(), 0, 1, h); err != nil {
		t.Fatal(err)
	}
	c, ok, err := s.registry.OpenCase(t.Context(), &registry.Suspicion{
		Pile: pile, Names: []charge.PileID{pile}, Serial: "SN-1", Township: "371721101", Policy: "1", Day: last, PeriodDays: 30, Dossier: d,
		Grounds: []registry.CaseGround{{Rule: "not_usable", Policy: "1"}},
	})
	if err != nil || !ok {
		t.Fatalf("open the case: %v, %v", ok, err)
	}
	s.caseID = c.ID
}

// sql changes the registry's file beside the registry.
func (s *site) sql(t *testing.T, text string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "registry.db")+"?_pragma=busy_timeout(10000)&_pragma=synchronous(OFF)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only a test's
	if _, err := db.ExecContext(t.Context(), text, args...); err != nil {
		t.Fatal(err)
	}
}

const aDocument = "鲁能源〔2026〕1号"

// Every state, action and person gives the answer of the table, 404 out of scope and 409 elsewhere.
func TestEveryActionForEveryStateRoleAndScope(t *testing.T) {
	s := openSite(t, Config{PolicyDocument: aDocument}, func(s *site) { told(t, s); s.suspect(t) })
	people := []struct {
		name, grant string
		role        cases.Role
		there       bool
	}{
		{"county", "officer:371721", cases.CountyOfficer, true},
		{"city", "officer:3717", cases.CityOfficer, true},
		{"province", "officer:37", cases.ProvinceOfficer, true},
		{"reviewer", "reviewer:37", cases.Reviewer, true},
		{"viewer", "viewer:37", cases.Viewer, true},
		{"owner", "operator:MA3CLQP01", cases.Operator, true},
		{"admin", "admin", cases.Admin, true},
		{"elsewhere", "officer:3701", cases.CityOfficer, false},
		{"rival", "operator:MA3CLQP02", cases.Operator, false},
	}
	body := fmt.Sprintf(`{"text":"理由","service":{"kind":"direct","on":%q,"evidence":"回执","consent":"","failed":false},"seen":`, time.Now().Format(time.RFC3339))
	done := 0
	for _, who := range people {
		grant, err := registry.ParseGrant(who.grant)
		if err != nil {
			t.Fatal(err)
		}
		one := asker{who.name, grant, s.person(t, "p-"+who.name, grant, aPassword)}
		for _, state := range cases.States() {
			s.sql(t, "UPDATE cases SET state = ?, served = NULL, deadline = NULL, extended = 0, confirmed_by = 'somebody', proved = NULL", string(state))
			for _, action := range cases.Actions() {
				c, err := s.registry.CaseByID(t.Context(), s.caseID)
				if err != nil {
					t.Fatal(err)
				}
				next, err := cases.Next(state, action, who.role, cases.Facts{
					Person: "p-" + who.name, Text: "理由", DossierHash: "x", PolicyDocument: aDocument, ServiceValid: true, VisitValid: true, ConfirmedBy: "somebody",
				})
				want := http.StatusOK
				switch {
				case !who.there:
					want = http.StatusNotFound
				case err != nil:
					want = http.StatusConflict
				}
				a := s.askAs(t, one, http.MethodPost, "/api/v1/cases/"+s.caseID+"/"+string(action), body+fmt.Sprint(c.Step)+"}")
				if a.StatusCode != want {
					t.Fatalf("%s on %s as %s: got %d, want %d: %s", action, state, who.name, a.StatusCode, want, a.body)
				}
				after, err := s.registry.CaseByID(t.Context(), s.caseID)
				if err != nil {
					t.Fatal(err)
				}
				if want != http.StatusOK {
					if after.State != state || after.Step != c.Step {
						t.Fatalf("%s on %s as %s was refused, and the case is %s", action, state, who.name, after.State)
					}
					continue
				}
				done++
				if after.State != next {
					t.Fatalf("%s on %s as %s: got %s, want %s", action, state, who.name, after.State, next)
				}
				if a := s.askAs(t, one, http.MethodPost, "/api/v1/cases/"+s.caseID+"/"+string(action), body+fmt.Sprint(c.Step)+"}"); a.StatusCode != http.StatusConflict {
					t.Fatalf("%s on %s as %s a second time: got %d, want 409", action, state, who.name, a.StatusCode)
				}
				s.sql(t, "UPDATE cases SET state = ?, served = NULL, deadline = NULL, extended = 0, confirmed_by = 'somebody', proved = NULL", string(state))
			}
		}
	}
	if done < 40 {
		t.Errorf("%d actions were done, want all of the table", done)
	}
}

// ready gives a person of a role and what that person does with the case.
func (s *site) does(t *testing.T, name, grant string) func(action, body string) answer {
	t.Helper()
	g, err := registry.ParseGrant(grant)
	if err != nil {
		t.Fatal(err)
	}
	who := asker{name, g, s.person(t, name, g, aPassword)}
	return func(action, body string) answer {
		t.Helper()
		c, err := s.registry.CaseByID(t.Context(), s.caseID)
		if err != nil {
			t.Fatal(err)
		}
		return s.askAs(t, who, http.MethodPost, "/api/v1/cases/"+s.caseID+"/"+action, fmt.Sprintf(`{"seen":%d,%s}`, c.Step, body))
	}
}

// overdue brings the case to the end of its period.
func (s *site) overdue(t *testing.T) {
	t.Helper()
	s.sql(t, "UPDATE cases SET period_days = -40") // it has passed with the service
	for _, step := range []registry.CaseStep{
		{Action: cases.Notify, Person: "li", Role: cases.CityOfficer, Text: "请整改"},
		{Action: cases.Serve, Person: "li", Role: cases.CityOfficer, Detail: cases.Detail{Service: &cases.Service{Kind: cases.Direct, On: time.Now(), Evidence: "回执"}}},
		{Action: cases.Expire, Person: "platform", Role: cases.Platform},
	} {
		c, err := s.registry.CaseByID(t.Context(), s.caseID)
		if err != nil {
			t.Fatal(err)
		}
		step.Seen = c.Step
		if _, err := s.registry.ActOnCase(t.Context(), s.caseID, step); err != nil {
			t.Fatal(err)
		}
	}
}

func TestArgumentsAreAnsweredAndTheReviewerIsAnother(t *testing.T) {
	s := openSite(t, Config{PolicyDocument: aDocument}, func(s *site) { told(t, s); s.suspect(t); s.overdue(t) })
	province, reviewer, operator := s.does(t, "wang", "officer:37"), s.does(t, "zhao", "reviewer:37"), s.does(t, "lu", "operator:MA3CLQP01")
	if a := operator("state", `"text":"申辩","arguments":["停电","道路施工"]`); a.StatusCode != http.StatusOK {
		t.Fatalf("statement: got %s %s", a.Status, a.body)
	}
	if a := province("confirm", `"text":"理由","answers":["停电不足"]`); a.StatusCode != http.StatusConflict || !strings.Contains(string(a.body), "须逐条回应") {
		t.Errorf("one of two answered: got %s %s, want 409 that says so", a.Status, a.body)
	}
	if a := province("confirm", `"text":"理由","answers":["停电不足","施工已完"]`); a.StatusCode != http.StatusOK {
		t.Fatalf("both answered: got %s %s", a.Status, a.body)
	}
	if err := s.registry.SetGrant(t.Context(), "wang", registry.Grant{Role: registry.Reviewer, Scope: "37"}, registry.Actor{Name: "test"}); err != nil {
		t.Fatal(err)
	}
	if a := reviewer("review", `"text":"合法"`); a.StatusCode != http.StatusOK {
		t.Errorf("another person: got %s %s", a.Status, a.body)
	}
}

func TestADecommissionedPileLeavesTheFinderAndComesBack(t *testing.T) {
	s := openSite(t, Config{PolicyDocument: aDocument}, func(s *site) { told(t, s); s.suspect(t); s.overdue(t) })
	province, reviewer := s.does(t, "wang", "officer:37"), s.does(t, "zhao", "reviewer:37")
	found := func() bool {
		a := s.ask(t, http.MethodGet, "/api/v1/piles?operator=MA3CLQP01&limit=500", "", true)
		return strings.Contains(string(a.body), `"MA3CLQP01:P1"`)
	}
	for _, a := range []answer{province("confirm", `"text":"理由"`), reviewer("review", `"text":"合法"`), province("decommission", `"text":"决定"`)} {
		if a.StatusCode != http.StatusOK {
			t.Fatalf("got %s %s", a.Status, a.body)
		}
	}
	if found() {
		t.Error("the finder still has it")
	}
	rec, err := s.registry.CaseRecord(t.Context(), s.caseID)
	if err != nil {
		t.Fatal(err)
	}
	e := rec[len(rec)-1].Detail.Effects
	if e == nil || !e.LastStation || e.NominalAfter != e.NominalBefore-1 {
		t.Errorf("effects: got %+v, want one nominal town fewer", e)
	}
	public := openCases(t, s)
	if len(public) != 1 {
		t.Errorf("an officer's list: got %d, want 1", len(public))
	}
	if a := province("revoke", `"text":"查明有误"`); a.StatusCode != http.StatusOK {
		t.Fatalf("revoke: got %s %s", a.Status, a.body)
	}
	if !found() {
		t.Error("after it was revoked the finder does not have it")
	}
	if _, _, err := s.registry.AuditCases(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

func openCases(t *testing.T, s *site) []caseView {
	t.Helper()
	var got struct{ Cases []caseView }
	s.ask(t, http.MethodGet, "/api/v1/cases", "", true).into(t, &got)
	return got.Cases
}

func TestTheArchiveOfACaseVerifiesByItself(t *testing.T) {
	s := openSite(t, Config{}, func(s *site) { told(t, s); s.suspect(t) })
	a := s.ask(t, http.MethodGet, "/api/v1/cases/"+s.caseID+"/file", "", true)
	z, err := zip.NewReader(bytes.NewReader(a.body), int64(len(a.body)))
	if err != nil {
		t.Fatal(err)
	}
	if err := cases.VerifyArchive(z); err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)/2]++
		var changed bytes.Buffer
		w := zip.NewWriter(&changed)
		for _, other := range z.File {
			to, err := w.Create(other.Name)
			if err != nil {
				t.Fatal(err)
			}
			if other.Name == f.Name {
				_, err = to.Write(text)
			} else {
				from, openErr := other.Open()
				if openErr != nil {
					t.Fatal(openErr)
				}
				_, err = io.Copy(to, from)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close()); err != nil {
			t.Fatal(err)
		}
		bad, err := zip.NewReader(bytes.NewReader(changed.Bytes()), int64(changed.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if err := cases.VerifyArchive(bad); err == nil || f.Name != "SHA256SUMS" && !strings.Contains(err.Error(), f.Name) {
			t.Errorf("one byte of %s changed: got %v, want an error that names it", f.Name, err)
		}
	}
}

// Where the public may see the province, an officer's list and its totals are still of the own scope.
func TestAnOfficersListOfCasesIsOfTheOwnScope(t *testing.T) {
	for _, public := range []bool{false, true} {
		s := openSite(t, Config{Public: public}, func(s *site) { told(t, s); s.suspect(t) })
		for _, c := range []struct {
			grant string
			want  int
		}{{"officer:3701", 0}, {"reviewer:370102", 0}, {"officer:3717", 1}, {"viewer:37", 1}, {"admin", 1}} {
			g, err := registry.ParseGrant(c.grant)
			if err != nil {
				t.Fatal(err)
			}
			var v casesView
			s.askAs(t, asker{c.grant, g, s.tokenOf(t, g)}, http.MethodGet, "/api/v1/cases", "").into(t, &v)
			if v.Totals[cases.Suspected] != c.want || len(v.Cases) != c.want {
				t.Errorf("%s, public %t: got totals %v and %d cases, want %d", c.grant, public, v.Totals, len(v.Cases), c.want)
			}
		}
	}
}

func TestReadingACaseIsOnItsRecord(t *testing.T) {
	s := openSite(t, Config{}, func(s *site) { told(t, s); s.suspect(t) })
	g := registry.Grant{Role: registry.Officer, Scope: "3717"}
	who := asker{"li", g, s.person(t, "li", g, aPassword)}
	for range 2 {
		var f caseFile
		s.askAs(t, who, http.MethodGet, "/api/v1/cases/"+s.caseID, "").into(t, &f)
		if n := len(f.Record); n != 2 || f.Record[1].Action != cases.Read || f.Record[1].Person != "li" {
			t.Errorf("record: got %+v, want the suspicion and one reading", f.Record)
		}
	}
}
