package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gorilla/websocket"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

// An asker is somebody who asks, with what goes along with each of its requests.
type asker struct {
	name   string
	grant  registry.Grant
	header http.Header
}

// token gives a program's header with a role.
func (s *site) tokenOf(t *testing.T, grant registry.Grant) http.Header {
	t.Helper()
	token, _, err := s.registry.IssueAPIToken(t.Context(), "test", grant, time.Time{}, registry.Actor{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return http.Header{"Authorization": {"Bearer " + token}}
}

// person adds a local account and gives the header of its session; the password is still to be
// changed unless chosen is another one.
func (s *site) person(t *testing.T, name string, grant registry.Grant, chosen string) http.Header {
	t.Helper()
	given, a, err := s.registry.AddAccount(t.Context(), name, "", grant, registry.Actor{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if chosen != "" {
		if _, err := s.registry.ChangePassword(t.Context(), name, given, chosen, registry.Actor{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	secret, err := s.registry.OpenSession(t.Context(), a.ID, time.Hour, "test", registry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	return http.Header{"Cookie": {cookieName + "=" + secret}}
}

const aPassword = "correct horse battery"

// askers are everyone that the matrix asks for, in its order.
func (s *site) askers(t *testing.T) []asker {
	t.Helper()
	all := []asker{{name: "nobody"}}
	for _, text := range []string{"viewer:371721", "officer:371721", "officer:37", "reviewer:371721", "operator:MA3CLQP01", "admin"} {
		g, err := registry.ParseGrant(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, asker{text, g, s.tokenOf(t, g)})
	}
	cao := registry.Grant{Role: registry.Officer, Scope: "371721"}
	return append(all, asker{"must change", cao, s.person(t, "fresh", cao, "")}, asker{"a person", cao, s.person(t, "settled", cao, aPassword)})
}

func (s *site) askAs(t *testing.T, who asker, method, path, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = who.header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return s.send(t, req)
}

// matrix is what each asker gets: nobody, viewer:371721, officer:371721, officer:37,
// reviewer:371721, operator:MA3CLQP01, admin, one who must change the password, and a person.
// 曹县 is 371721. Piles: MA3CLQP01 has P1 and P2 there, MA3CLQP02 P1 and HOME; FAR stands in 3701.
var matrix = []struct {
	route, path, body string
	want              string
}{
	{"GET /api/v1/coverage", "/api/v1/coverage", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/coverage", "/api/v1/coverage?division=37", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/coverage", "/api/v1/coverage?division=371721", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/coverage", "/api/v1/coverage?division=371721101", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/coverage", "/api/v1/coverage?division=3701", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/coverage/history", "/api/v1/coverage/history?from=2025-03-01&to=2025-03-09", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/coverage/history", "/api/v1/coverage/history?division=3701", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/coverage/days", "/api/v1/coverage/days?division=371721", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/coverage/days", "/api/v1/coverage/days?division=370102", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/coverage/availability", "/api/v1/coverage/availability", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/coverage/availability", "/api/v1/coverage/availability?division=3701", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/townships/{code}", "/api/v1/townships/371721101", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/townships/{code}", "/api/v1/townships/371721102", "", "401 200 200 200 200 200 200 403 200"}, // of another operator: its state without its stations
	{"GET /api/v1/townships/{code}", "/api/v1/townships/370102001", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/stations/{id}", "/api/v1/stations/MA3CLQP01:S1", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/stations/{id}", "/api/v1/stations/MA3CLQP02:S1", "", "401 200 200 200 200 404 200 403 200"},
	{"GET /api/v1/stations/{id}", "/api/v1/stations/MA3CLQP02:S2", "", "401 200 200 200 200 404 200 403 200"},
	{"GET /api/v1/stations/{id}", "/api/v1/stations/MA3CLQP02:FAR", "", "401 404 404 200 404 404 200 403 404"},
	{"GET /api/v1/piles/{id}/days", "/api/v1/piles/MA3CLQP01:P1/days", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/piles/{id}/days", "/api/v1/piles/MA3CLQP02:FAR/days", "", "401 404 404 200 404 404 200 403 404"},
	{"GET /api/v1/townships", "/api/v1/townships?sort=priority", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/townships", "/api/v1/townships?limit=2000", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/townships", "/api/v1/townships?division=371721", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/townships", "/api/v1/townships?division=3717", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/piles", "/api/v1/piles", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/piles", "/api/v1/piles?division=371721", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/piles", "/api/v1/piles?division=3701", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/piles", "/api/v1/piles?operator=MA3CLQP01", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/piles", "/api/v1/piles?operator=MA3CLQP02", "", "401 200 200 200 200 404 200 403 200"},
	{"GET /api/v1/piles/{id}", "/api/v1/piles/MA3CLQP01:P1", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/piles/{id}", "/api/v1/piles/MA3CLQP02:P1", "", "401 200 200 200 200 404 200 403 200"},
	{"GET /api/v1/piles/{id}", "/api/v1/piles/MA3CLQP02:HOME", "", "401 200 200 200 200 404 200 403 200"},
	{"GET /api/v1/piles/{id}", "/api/v1/piles/MA3CLQP02:FAR", "", "401 404 404 200 404 404 200 403 404"},
	{"GET /api/v1/piles/{id}/history", "/api/v1/piles/MA3CLQP01:P1/history", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/piles/{id}/history", "/api/v1/piles/MA3CLQP02:FAR/history", "", "401 404 404 200 404 404 200 403 404"},
	{"GET /api/v1/piles/{id}/sessions", "/api/v1/piles/MA3CLQP01:P1/sessions", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/piles/{id}/sessions", "/api/v1/piles/MA3CLQP02:FAR/sessions", "", "401 404 404 200 404 404 200 403 404"},
	{"GET /api/v1/load", "/api/v1/load", "", "401 200 200 200 200 404 200 403 200"},
	{"GET /api/v1/load", "/api/v1/load?division=3701", "", "401 404 404 200 404 404 200 403 404"},
	{"GET /api/v1/energy", "/api/v1/energy", "", "401 200 200 200 200 404 200 403 200"},
	{"GET /api/v1/energy", "/api/v1/energy?division=3701", "", "401 404 404 200 404 404 200 403 404"},
	{"GET /api/v1/targets", "/api/v1/targets", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/targets", "/api/v1/targets?division=37", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/rejects", "/api/v1/rejects", "", "401 404 200 200 404 200 200 403 200"},
	{"GET /api/v1/rejects", "/api/v1/rejects?operator=MA3CLQP02", "", "401 404 200 200 404 404 200 403 200"},
	{"GET /api/v1/bridges", "/api/v1/bridges", "", "401 404 200 200 404 404 200 403 200"},
	{"GET /api/v1/unknown", "/api/v1/unknown", "", "401 404 200 200 404 200 200 403 200"},
	{"GET /api/v1/unknown", "/api/v1/unknown?operator=MA3CLQP02", "", "401 404 200 200 404 404 200 403 200"},
	{"GET /api/v1/events", "/api/v1/events", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/events", "/api/v1/events?division=3701", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/operators", "/api/v1/operators", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/operators", "/api/v1/operators?division=371721&definition=nevi", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/operators", "/api/v1/operators?division=3701", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/availability", "/api/v1/availability", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/availability", "/api/v1/availability?division=3701", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/availability", "/api/v1/availability?operator=MA3CLQP02&by=month", "", "401 200 200 200 200 404 200 403 200"},
	{"GET /api/v1/quality", "/api/v1/quality", "", "401 404 200 200 404 200 200 403 200"},
	{"GET /api/v1/quality", "/api/v1/quality?operator=MA3CLQP02&month=2025-02", "", "401 404 200 200 404 404 200 403 200"},
	{"GET /api/v1/policies", "/api/v1/policies", "", "401 200 200 200 200 200 200 403 200"},
	// The first of these claims is granted below, the second is of a pile outside 曹县.
	{"POST /api/v1/excuses", "/api/v1/excuses", `{"kind":"site","pile":"MA3CLQP01:P1","from":"2025-03-01T00:00:00Z","until":"2025-03-02T00:00:00Z","document":"〔2025〕1号"}`, "401 404 201 201 404 201 201 403 201"},
	{"POST /api/v1/excuses", "/api/v1/excuses", `{"kind":"site","pile":"MA3CLQP02:FAR","from":"2025-03-01T00:00:00Z","until":"2025-03-02T00:00:00Z","document":"far"}`, "401 404 404 201 404 404 201 403 404"},
	{"POST /api/v1/excuses", "/api/v1/excuses", `{"kind":"site","operator":"MA3CLQP02","from":"2025-03-01T00:00:00Z","until":"2025-03-02T00:00:00Z","document":"whole"}`, "401 404 404 201 404 404 201 403 404"},
	{"GET /api/v1/excuses", "/api/v1/excuses", "", "401 404 200 200 200 200 200 403 200"},
	{"GET /api/v1/excuses", "/api/v1/excuses?division=3701", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/excuses", "/api/v1/excuses?pile=MA3CLQP02:P1", "", "401 404 200 200 200 404 200 403 200"},
	{"POST /api/v1/excuses/{id}/{decision}", "/api/v1/excuses/1/grant", `{"why":"文件齐全"}`, "401 404 204 404 404 404 404 403 404"},
	{"POST /api/v1/excuses/{id}/{decision}", "/api/v1/excuses/6/refuse", `{"why":"无关"}`, "401 404 404 204 404 404 404 403 404"}, // of FAR
	{"POST /api/v1/excuses/{id}/{decision}", "/api/v1/excuses/8/refuse", `{"why":"无关"}`, "401 404 404 204 404 404 404 403 404"}, // of all of MA3CLQP02
	{"GET /api/v1/confirmations", "/api/v1/confirmations", "", "401 404 200 200 404 404 200 403 200"},
	{"POST /api/v1/confirmations/{id}/{decision}", "/api/v1/confirmations/1/accept", "", "401 404 404 204 404 404 404 403 404"}, // FAR's kind
	{"POST /api/v1/confirmations/{id}/{decision}", "/api/v1/confirmations/2/refuse", "", "401 404 204 404 404 404 404 403 404"}, // S2's
	{"POST /api/v1/piles", "/api/v1/piles", `{"operator":"MA3CLQP01","station":"S1","pile":"NEW","power_kw":60,"dc":true,"connectors":2}`, "401 404 201 409 404 404 409 403 409"},
	{"POST /api/v1/piles", "/api/v1/piles", `{"operator":"MA3CLQP02","station":"FAR","pile":"FAR2","power_kw":60,"connectors":1}`, "401 404 404 201 404 404 409 403 404"},
	{"GET /api/v1/export/{file}", "/api/v1/export/townships.csv", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/export/{file}", "/api/v1/export/townships.csv?division=3701", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/export/{file}", "/api/v1/export/townships.xlsx?division=371721", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/export/{file}", "/api/v1/export/operators.csv", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/export/{file}", "/api/v1/export/operators.csv?division=3701", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/export/{file}", "/api/v1/export/targets.csv?division=37", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/export/{file}", "/api/v1/export/load.csv", "", "401 200 200 200 200 404 200 403 200"},
	{"GET /api/v1/export/{file}", "/api/v1/export/load.csv?division=3701", "", "401 404 404 200 404 404 200 403 404"},
	{"GET /api/v1/export/{file}", "/api/v1/export/cases.csv", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/export/{file}", "/api/v1/export/cases.xlsx?division=3701", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/export/{file}", "/api/v1/export/cases.csv?operator=MA3CLQP02", "", "401 200 200 200 200 404 200 403 200"},
	{"GET /api/v1/export/{file}", "/api/v1/export/accounts.csv", "", "401 404 404 404 404 404 404 403 404"},
	{"GET /api/v1/cases", "/api/v1/cases", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/cases", "/api/v1/cases?division=3701", "", "401 404 404 200 404 200 200 403 404"},
	{"GET /api/v1/cases", "/api/v1/cases?operator=MA3CLQP02", "", "401 200 200 200 200 404 200 403 200"},
	{"GET /api/v1/cases/{id}", "/api/v1/cases/{case}", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/cases/{id}", "/api/v1/cases/LF-0-1", "", "401 404 404 404 404 404 404 403 404"},
	{"GET /api/v1/cases/{id}/file", "/api/v1/cases/{case}/file", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/cases/{id}/documents/{document}", "/api/v1/cases/{case}/documents/notice", "", "401 200 200 200 200 200 200 403 200"},
	{"GET /api/v1/cases/{id}/documents/{document}", "/api/v1/cases/{case}/documents/other", "", "401 404 404 404 404 404 404 403 404"},
	{"POST /api/v1/cases/{id}/{action}", "/api/v1/cases/{case}/destroy", `{"seen":1}`, "401 404 404 404 404 404 404 403 404"},
	{"POST /api/v1/cases/{id}/{action}", "/api/v1/cases/{case}/notify", `{"seen":0,"text":"x"}`, "401 409 409 409 409 409 409 403 409"},
	{"GET /api/v1/inspections", "/api/v1/inspections", "", "401 404 200 200 404 404 200 403 200"},
	{"GET /api/v1/inspections", "/api/v1/inspections?division=3701", "", "401 404 404 200 404 404 200 403 404"},
	{"POST /api/v1/inspections", "/api/v1/inspections", `{"division":"370102","count":9,"inspectors":["甲","乙"]}`, "401 404 404 409 404 404 409 403 404"},
	{"POST /api/v1/inspections", "/api/v1/inspections", `{"division":"371721","count":99,"inspectors":["甲","乙","丙"],"seed":"一号"}`, "401 404 409 409 404 404 409 403 201"},
	{"GET /api/v1/inspections/{id}", "/api/v1/inspections/{draw}", "", "401 404 200 200 404 404 200 403 200"},
	{"GET /api/v1/inspections/{id}/list", "/api/v1/inspections/{draw}/list", "", "401 404 200 200 404 404 200 403 200"},
	{"POST /api/v1/inspections/{id}/{pile}", "/api/v1/inspections/{draw}/MA3CLQP01:P1", `{"at":"2025-03-01T00:00:00Z","text":"屏幕无显示"}`, "401 404 409 409 404 404 409 403 200"},
	{"POST /api/v1/inspections/{id}/{pile}", "/api/v1/inspections/{draw}/MA3CLQP01:P1", `{"at":"2025-03-01T00:00:00Z","text":"再次"}`, "401 404 409 409 404 404 409 403 409"},
	{"POST /api/v1/inspections/{id}/{pile}", "/api/v1/inspections/{draw}/MA3CLQP02:HOME", `{"at":"2025-03-01T00:00:00Z","text":"x"}`, "401 404 409 409 404 404 409 403 404"},
	{"GET /api/v1/me", "/api/v1/me", "", "200 200 200 200 200 200 200 200 200"},
	{"GET /api/v1/session", "/api/v1/session", "", "200 200 200 200 200 200 200 200 200"},
	{"POST /api/v1/session", "/api/v1/session", `{"name":"settled","password":"wrong"}`, "401 401 401 401 401 401 401 401 401"},
	{"POST /api/v1/password", "/api/v1/password", `{"old":"wrong","new":"another horse battery"}`, "401 404 404 404 404 404 404 422 422"},
	{"GET /api/v1/accounts", "/api/v1/accounts", "", "401 404 404 404 404 404 200 403 404"},
	{"POST /api/v1/accounts", "/api/v1/accounts", `{"name":"li","role":"viewer","scope":"37"}`, "401 404 404 404 404 404 201 403 404"},
	{"POST /api/v1/accounts/{name}/{action}", "/api/v1/accounts/li/grant", `{"role":"viewer","scope":"3701"}`, "401 404 404 404 404 404 200 403 404"},
	{"POST /api/v1/accounts/{name}/{action}", "/api/v1/accounts/li/reset", "", "401 404 404 404 404 404 200 403 404"},
	{"POST /api/v1/accounts/{name}/{action}", "/api/v1/accounts/li/disable", "", "401 404 404 404 404 404 200 403 404"},
	{"POST /api/v1/accounts/{name}/{action}", "/api/v1/accounts/li/enable", "", "401 404 404 404 404 404 200 403 404"},
	{"POST /api/v1/accounts/{name}/{action}", "/api/v1/accounts/nobody/reset", "", "401 404 404 404 404 404 404 403 404"},
	{"GET /api/v1/account-log", "/api/v1/account-log", "", "401 404 404 404 404 404 200 403 404"},
	{"GET /api/v1/tokens", "/api/v1/tokens", "", "401 404 404 404 404 404 200 403 404"},
	{"POST /api/v1/tokens", "/api/v1/tokens", `{"name":"wall","role":"viewer","scope":"37"}`, "401 404 404 404 404 404 201 403 404"},
	{"DELETE /api/v1/tokens/{token}", "/api/v1/tokens/7", "", "401 404 404 404 404 404 204 403 404"}, // the one just made
	{"GET /api/v1/openapi.yaml", "/api/v1/openapi.yaml", "", "401 200 200 200 200 200 200 403 200"},
	{"DELETE /api/v1/session", "/api/v1/session", "", "200 200 200 200 200 200 200 200 200"}, // the last: it ends theirs
}

// openMatrix is a site with a pile and events outside the scope.
func openMatrix(t *testing.T, cfg Config) *site {
	t.Helper()
	return openSite(t, cfg, func(s *site) {
		for _, file := range []struct {
			table registry.Table
			text  string
		}{
			{registry.Stations, "operator,station,name,township,kind,opened\nMA3CLQP02,FAR,济南站,370102001,public,2022-01-01\n"},
			{registry.Piles, "operator,station,pile,connector,power_kw,opened\nMA3CLQP02,FAR,FAR,1,60,2022-01-01\n"},
		} {
			if _, err := s.registry.Import(t.Context(), file.table, strings.NewReader(file.text)); err != nil {
				t.Fatal(err)
			}
		}
		for _, kind := range []string{"MA3CLQP02,FAR,济南站,370102001,dedicated,2022-01-01", "MA3CLQP01,S2,曹城站,371721001,dedicated,2022-01-01"} { // each to be confirmed
			if _, err := s.registry.Import(t.Context(), registry.Stations, strings.NewReader("operator,station,name,township,kind,opened\n"+kind+"\n")); err != nil {
				t.Fatal(err)
			}
		}
		told(t, s)
		s.suspect(t)
		s.feed.rejects = append(s.feed.rejects, journal.Reject{At: noon, Operator: "MA3CLQP02", Pile: "FAR", Topic: "evcs/v1/far", Reason: "bad_json", Sample: "far", Count: 1})
		s.feed.publish(journal.Change{At: noon, Events: []charge.Event{
			{ID: "0-2-0", At: noon, Kind: charge.ConnectorFault, Township: "370102001", Operator: "MA3CLQP02", Pile: "MA3CLQP02:FAR", Conn: "1", Fault: "insulation"},
		}, Townships: []charge.TownshipState{town("370102001", 1)}})
	})
}

var divisionCodes = regexp.MustCompile(`"(37\d{0,7})"|\b(37\d{2}|37\d{4}|37\d{7})\b`)

// leaks names what an answer tells that the grant does not let its reader know.
func leaks(grant registry.Grant, text string) []string {
	var found []string
	switch grant.Role {
	case registry.Viewer, registry.Officer, registry.Reviewer:
		for _, code := range divisionCodes.FindAllString(text, -1) {
			if c := charge.DivisionCode(strings.Trim(code, `"`)); !c.Within(charge.DivisionCode(grant.Scope)) {
				found = append(found, string(c))
			}
		}
		if grant.Scope == "371721" {
			for _, word := range []string{"FAR", "济南", "far"} {
				if strings.Contains(text, word) {
					found = append(found, word)
				}
			}
		}
	case registry.Operator:
		for _, word := range []string{"MA3CLQP02", "FAR", "HOME"} {
			if strings.Contains(text, word) {
				found = append(found, word)
			}
		}
	}
	return found
}

// documentRoutes are the document's methods and paths.
func documentRoutes(t *testing.T) map[string]bool {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			routes[method+" "+path] = true
		}
	}
	return routes
}

func TestEveryRouteForEveryRole(t *testing.T) {
	s := openMatrix(t, Config{RequestRate: 0})
	eventually(t, "rejects are there", func() bool {
		r, _ := s.recent.rejectsOf("", "", 9, func(*journal.Reject) bool { return true })
		return len(r) == 5
	})
	askers := s.askers(t)
	// Every route of the document has a row, and every endpoint is in the document.
	routes := map[string]bool{}
	for _, line := range matrix {
		routes[line.route] = true
	}
	inDocument := documentRoutes(t)
	for route := range inDocument {
		if !routes[route] {
			t.Errorf("the matrix lacks %s", route)
		}
	}
	for path, e := range s.endpoints() {
		for method := range e.methods {
			if !inDocument[method+" "+path] {
				t.Errorf("openapi.yaml lacks %s %s", method, path)
			}
			delete(inDocument, method+" "+path)
		}
	}
	for route := range inDocument {
		t.Errorf("openapi.yaml has %s, which is not served", route)
	}
	for _, line := range matrix {
		want := strings.Fields(line.want)
		if len(want) != len(askers) {
			t.Fatalf("%s: %d answers for %d askers", line.path, len(want), len(askers))
		}
		method, _, _ := strings.Cut(line.route, " ")
		line.path = strings.NewReplacer("{case}", s.caseID, "{draw}", fmt.Sprintf("RI-%d-0001", time.Now().In(charge.Zone).Year())).Replace(line.path)
		for i, who := range askers {
			a := s.askAs(t, who, method, line.path, line.body)
			if got := fmt.Sprint(a.StatusCode); got != want[i] {
				t.Errorf("%s %s as %s: got %s, want %s: %.300s", method, line.path, who.name, got, want[i], a.body)
			}
			if a.StatusCode == http.StatusOK && !strings.HasSuffix(line.path, "openapi.yaml") && !strings.Contains(line.path, ".xlsx") && !strings.HasSuffix(line.path, "/file") {
				if found := leaks(who.grant, string(a.body)); found != nil {
					t.Errorf("%s %s as %s tells of %v: %.1000s", method, line.path, who.name, found, a.body)
				}
			}
		}
	}
}

func TestWherePublicTheSignedInSeeNoLess(t *testing.T) {
	s := openMatrix(t, Config{Public: true})
	askers := s.askers(t)
	for _, line := range []struct{ path, want string }{
		{"/api/v1/coverage?division=37", "200 200 200 200 200 200 200 403 200"},
		{"/api/v1/load?division=3701", "200 200 200 200 200 200 200 403 200"},
		{"/api/v1/piles/MA3CLQP02:FAR", "200 200 200 200 200 200 200 403 200"},
		{"/api/v1/piles/MA3CLQP02:HOME", "404 200 200 200 200 404 200 403 200"},
		{"/api/v1/rejects", "401 404 200 200 404 200 200 403 200"},
		{"/api/v1/accounts", "401 404 404 404 404 404 200 403 404"},
	} {
		want := strings.Fields(line.want)
		for i, who := range askers {
			if a := s.askAs(t, who, http.MethodGet, line.path, ""); fmt.Sprint(a.StatusCode) != want[i] {
				t.Errorf("GET %s as %s: got %d, want %s: %.300s", line.path, who.name, a.StatusCode, want[i], a.body)
			}
		}
	}
	for _, tt := range []struct {
		who  asker
		sees bool
	}{{askers[0], false}, {askers[1], true}, {askers[5], true}, {asker{"another county", registry.Grant{}, s.tokenOf(t, registry.Grant{Role: registry.Officer, Scope: "370102"})}, false}} {
		a := s.askAs(t, tt.who, http.MethodGet, "/api/v1/piles/MA3CLQP01:P1/history?from=2025-03-09T03:00:00Z&to=2025-03-09T05:00:00Z", "")
		if got := strings.Contains(string(a.body), "NO-1"); got != tt.sees {
			t.Errorf("%s sees order numbers of 曹县: got %v, want %v", tt.who.name, got, tt.sees)
		}
	}
}

func TestACursorDoesNotTellWhatIsLeftOut(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	var page struct {
		Piles []pileRow
		Next  string
	}
	seen, hiddenPages := 0, 0
	for cursor := ""; ; cursor = page.Next {
		s.get(t, "/api/v1/piles?limit=1&cursor="+cursor, &page)
		seen += len(page.Piles)
		if len(page.Piles) == 0 {
			hiddenPages++
		}
		if plain, err := s.sealed.open("other", page.Next); err == nil && plain != "" {
			t.Errorf("the cursor can be opened for another purpose: %s", plain)
		}
		if page.Next == "" {
			break
		}
	}
	if seen != 3 || hiddenPages != 1 {
		t.Errorf("got %d piles and %d empty pages, want the 3 that are not at home", seen, hiddenPages)
	}
}

// topicMatrix is which topics each of the askers of the matrix may have, those who must change the
// password and nobody left out: they get no connection.
var topicMatrix = []struct{ topic, want string }{ // viewer:371721 officer:371721 officer:37 reviewer:371721 operator admin person
	{"coverage:37", "- - + - + + -"},
	{"coverage:3717:all", "- - + - + + -"},
	{"coverage:371721", "+ + + + + + +"},
	{"coverage:371721:streets", "+ + + + + + +"},
	{"coverage:371721101", "+ + + + + + +"},
	{"coverage:3701", "- - + - + + -"},
	{"events:37", "- - + - - + -"},
	{"events:371721", "+ + + + - + +"},
	{"events:370102", "- - + - - + -"},
	{"events:op:MA3CLQP01", "- - + - + + -"},
	{"events:op:MA3CLQP02", "- - + - - + -"},
	{"events:op:", "- - - - - - -"},
	{"pile:MA3CLQP01:P1", "+ + + + + + +"},
	{"pile:MA3CLQP02:P1", "+ + + + - + +"},
	{"pile:MA3CLQP02:HOME", "+ + + + - + +"},
	{"pile:MA3CLQP02:FAR", "- - + - - + -"},
	{"cases:37", "- - + - - + -"},
	{"cases:371721", "+ + + + - + +"},
	{"cases:3701", "- - + - - + -"},
	{"cases:op:MA3CLQP01", "- - + - + + -"},
	{"cases:op:MA3CLQP02", "- - + - - + -"},
	{"cases:public:37", "- - - - - - -"},
	{"cases:99", "- - - - - - -"},
}

func TestEveryTopicForEveryRole(t *testing.T) {
	s := openMatrix(t, Config{})
	askers := s.askers(t)
	for _, i := range []int{0, 7} {
		if _, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(s.url, "http")+"/ws", askers[i].header); err == nil {
			t.Errorf("%s: got a connection (%v), want none", askers[i].name, res.Status)
		}
	}
	var topics []string
	for _, line := range topicMatrix {
		topics = append(topics, line.topic)
	}
	column := 0
	for i, who := range askers {
		if i == 0 || i == 7 {
			continue
		}
		c := s.dial(t, who.header)
		c.subscribe(topics...)
		got := map[string]string{}
		var told []string
		read := func() message {
			m, raw := c.raw(t)
			told = append(told, raw)
			return m
		}
		for len(got) < len(topics) {
			switch m := read(); m.Type {
			case "snapshot":
				got[m.Topic] = "+"
			case "error":
				got[m.Topic] = "-"
				told = told[:len(told)-1] // it repeats the name that was asked for
			}
		}
		for _, line := range topicMatrix {
			if want := strings.Fields(line.want)[column]; got[line.topic] != want {
				t.Errorf("%s subscribes to %s: got %s, want %s", who.name, line.topic, got[line.topic], want)
			}
		}
		// What happens elsewhere is not heard of; then something here, to know that all before it has come.
		n := 10 * (i + 1)
		s.feed.publish(journal.Change{At: noon, Townships: []charge.TownshipState{town("370102001", n)}, Events: []charge.Event{fault(n, "370102001")}})
		here := s.feed.publish(journal.Change{At: noon, Townships: []charge.TownshipState{town("371721101", n)}})
		for {
			if m := read(); m.Topic == "coverage:371721" && m.Version >= here {
				break
			}
		}
		for _, text := range told {
			if found := leaks(who.grant, text); found != nil {
				t.Errorf("%s is told of %v: %.500s", who.name, found, text)
			}
		}
		_ = c.Close()
		column++
	}
}

// raw gives the next message, and its text.
func (c *watcherConn) raw(t *testing.T) (m message, text string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, raw, err := c.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m, string(raw)
}

func TestAConnectionEndsWithItsRights(t *testing.T) {
	cao := registry.Grant{Role: registry.Officer, Scope: "371721"}
	admin := registry.Actor{Name: "root"}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, s *site) error
	}{
		{"disabled from the shell", func(t *testing.T, s *site) error { return s.registry.DisableAccount(t.Context(), "wang", admin) }},
		{"another scope", func(t *testing.T, s *site) error {
			return s.registry.SetGrant(t.Context(), "wang", registry.Grant{Role: registry.Officer, Scope: "3701"}, admin)
		}},
		{"a new password", func(t *testing.T, s *site) error {
			_, err := s.registry.ResetPassword(t.Context(), "wang", admin)
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := openSite(t, Config{}, nil)
			c := s.dial(t, s.person(t, "wang", cao, aPassword))
			other := s.dial(t, s.bearer())
			for _, conn := range []*watcherConn{c, other} {
				conn.subscribe("coverage:371721")
				conn.next("snapshot", nil)
			}
			if err := tt.change(t, s); err != nil {
				t.Fatal(err)
			}
			c.closed(websocket.ClosePolicyViolation)
			s.feed.publish(changeOf(town("371721101", 3)))
			other.next("delta", nil) // it is not touched
		})
	}
}

func TestOperatorsHearOfTheirOwnPilesOnly(t *testing.T) {
	s := openSite(t, Config{}, nil)
	c := s.dial(t, s.tokenOf(t, registry.Grant{Role: registry.Operator, Scope: "MA3CLQP01"}))
	c.subscribe("events:op:MA3CLQP01")
	c.next("snapshot", nil)
	event := func(n int, operator string) charge.Event {
		e := fault(n, "371721101")
		e.Pile = operator + ":P1"
		return e
	}
	s.feed.publish(journal.Change{At: noon, Events: []charge.Event{event(1, "MA3CLQP02"), event(2, "MA3CLQP01"), event(3, "MA3CLQP02")}})
	var v eventsView
	c.next("delta", &v)
	if len(v.Events) != 1 || v.Events[0].ID != "0-2-0" {
		t.Errorf("got %+v, want its own event alone", v.Events)
	}
	var asked struct{ Events []eventView }
	a := s.askAs(t, asker{header: s.tokenOf(t, registry.Grant{Role: registry.Operator, Scope: "MA3CLQP02"})}, http.MethodGet, "/api/v1/events", "")
	a.into(t, &asked)
	if ids := []string{asked.Events[0].ID, asked.Events[1].ID}; len(asked.Events) != 2 || !slices.Equal(ids, []string{"0-3-0", "0-1-0"}) {
		t.Errorf("GET /events of the other one: got %v, want its two", ids)
	}
}
