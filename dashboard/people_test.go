package dashboard

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"pilewatch/internal/registry"
)

// signIn posts to /session and gives the answer with its cookie's header.
func (s *site) signIn(t *testing.T, body string) (answer, http.Header) {
	t.Helper()
	a := s.ask(t, http.MethodPost, "/api/v1/session", body, false)
	header := http.Header{}
	for _, c := range a.Cookies() {
		header.Add("Cookie", c.Name+"="+c.Value)
	}
	return a, header
}

func TestSignInWithTheToken(t *testing.T) {
	s := openSite(t, Config{}, nil)
	info, err := os.Stat(s.TokenFile())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("token file: got mode %o, want 600", info.Mode().Perm())
	}
	if a, _ := s.signIn(t, `{"token":"wrong"}`); a.StatusCode != http.StatusUnauthorized || a.Header.Get("Set-Cookie") != "" {
		t.Errorf("wrong token: got %s and cookie %q, want 401 and none", a.Status, a.Header.Get("Set-Cookie"))
	}
	for _, body := range []string{`{`, `{"tokn":"x"}`, `{"token":"x"}{}`, `{"token":"` + strings.Repeat("x", bodyAtMost) + `"}`} {
		if a, _ := s.signIn(t, body); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%.40s: got %s, want 400", body, a.Status)
		}
	}
	a, header := s.signIn(t, fmt.Sprintf(`{"token":%q}`, s.token.token))
	if a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), `"role":"admin"`) {
		t.Fatalf("right token: got %s %s, want 200", a.Status, a.body)
	}
	cookie := a.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || strings.Contains(cookie.Value, s.token.token) {
		t.Errorf("cookie %v: want HttpOnly, SameSite=Strict and without the token", cookie)
	}
	who := asker{header: header}
	if a := s.askAs(t, who, http.MethodGet, "/api/v1/accounts", ""); a.StatusCode != http.StatusOK {
		t.Errorf("with the cookie: got %s, want 200", a.Status)
	}
	other := asker{header: header.Clone()}
	other.header.Set("Origin", "http://other.example")
	if a := s.askAs(t, other, http.MethodDelete, "/api/v1/session", ""); a.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: got %s, want 403", a.Status)
	}
	out := s.askAs(t, who, http.MethodDelete, "/api/v1/session", "")
	if c := out.Cookies(); len(c) != 1 || !c[0].Expires.Before(time.Now()) {
		t.Errorf("sign out: got cookies %v, want one of the past", c)
	}
	if a := s.askAs(t, who, http.MethodGet, "/api/v1/accounts", ""); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("with the cookie after signing out: got %s, want 401", a.Status)
	}
	// Another token ends the sessions that the old one has begun.
	_, header = s.signIn(t, fmt.Sprintf(`{"token":%q}`, s.token.token))
	again, err := openToken(strings.TrimSuffix(s.TokenFile(), "/"+tokenFile))
	if err != nil || again.token != s.token.token {
		t.Errorf("a second start: got another token or %v", err)
	}
	s.token.sum[0]++
	if a := s.askAs(t, asker{header: header}, http.MethodGet, "/api/v1/accounts", ""); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the token was replaced: got %s, want 401", a.Status)
	}
}

func TestTheCookieIsSecureOverTLS(t *testing.T) {
	s := openSite(t, Config{URL: "https://piles.example.cn"}, nil)
	a, _ := s.signIn(t, fmt.Sprintf(`{"token":%q}`, s.token.token))
	if c := a.Cookies(); len(c) != 1 || !c[0].Secure {
		t.Errorf("got %v, want a Secure one", c)
	}
}

func TestAPersonsFirstDay(t *testing.T) {
	s := openSite(t, Config{}, nil)
	root := asker{header: s.bearer()}
	var added struct{ Password string }
	s.askAs(t, root, http.MethodPost, "/api/v1/accounts", `{"name":"wang","full_name":"王芳","role":"officer","scope":"371721"}`).into(t, &added)
	if a, _ := s.signIn(t, `{"name":"wang","password":"wrong"}`); a.StatusCode != http.StatusUnauthorized || !strings.Contains(string(a.body), "locked after several") {
		t.Errorf("wrong password: got %s %s, want 401 that tells of the lock", a.Status, a.body)
	}
	a, header := s.signIn(t, fmt.Sprintf(`{"name":"wang","password":%q}`, added.Password))
	var m me
	a.into(t, &m)
	if m.Role != "officer" || !m.MustChange || m.ScopeName != "曹县" || m.FullName != "王芳" || m.Home != "371721" {
		t.Fatalf("first sign-in: got %+v, want an officer of 曹县 who must change the password", m)
	}
	wang := asker{header: header}
	if a := s.askAs(t, wang, http.MethodGet, "/api/v1/coverage", ""); a.StatusCode != http.StatusForbidden || !strings.Contains(string(a.body), "change the password first") {
		t.Errorf("before the change: got %s %s, want 403 that says so", a.Status, a.body)
	}
	for _, chosen := range []string{"short", "wangwangwangwang", added.Password} {
		body := fmt.Sprintf(`{"old":%q,"new":%q}`, added.Password, chosen)
		if a := s.askAs(t, wang, http.MethodPost, "/api/v1/password", body); a.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("choosing %q: got %s, want 422", chosen, a.Status)
		}
	}
	a = s.askAs(t, wang, http.MethodPost, "/api/v1/password", fmt.Sprintf(`{"old":%q,"new":%q}`, added.Password, aPassword))
	if a.StatusCode != http.StatusOK || len(a.Cookies()) != 1 {
		t.Fatalf("the change: got %s %s, want 200 and a new cookie", a.Status, a.body)
	}
	if a := s.askAs(t, wang, http.MethodGet, "/api/v1/coverage", ""); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old session: got %s, want 401", a.Status)
	}
	wang.header = http.Header{"Cookie": {a.Cookies()[0].Name + "=" + a.Cookies()[0].Value}}
	if a := s.askAs(t, wang, http.MethodGet, "/api/v1/coverage", ""); a.StatusCode != http.StatusOK {
		t.Errorf("the new one: got %s, want 200", a.Status)
	}
	var log struct {
		Notes []noteView
		Next  string
	}
	s.askAs(t, root, http.MethodGet, "/api/v1/account-log?limit=2", "").into(t, &log)
	if len(log.Notes) != 2 || log.Next == "" || log.Notes[1].Action != "password" || log.Notes[1].Who != "wang" || log.Notes[1].Address != "127.0.0.1" {
		t.Errorf("the log: got %+v, want the change, by wang from 127.0.0.1, and a next page", log)
	}
	s.askAs(t, root, http.MethodGet, "/api/v1/account-log?limit=100&cursor="+log.Next, "").into(t, &log)
	if last := log.Notes[len(log.Notes)-1]; last.Action != "add" || last.Who != tokenFile || log.Next != "" {
		t.Errorf("its last page ends with %+v, want who added wang", last)
	}
}

func TestAccountsThatCannotBeAdded(t *testing.T) {
	s := openSite(t, Config{}, nil)
	root := asker{header: s.bearer()}
	for _, tt := range []struct {
		name, path, body string
		status           int
	}{
		{"the first", "accounts", `{"name":"wang","role":"viewer","scope":"37"}`, 201},
		{"the same again", "accounts", `{"name":"Wang","role":"viewer","scope":"37"}`, 409},
		{"a role that is none", "accounts", `{"name":"li","role":"king","scope":"37"}`, 422},
		{"a scope that is none", "accounts", `{"name":"li","role":"officer","scope":"99"}`, 422},
		{"more than is asked for", "accounts", `{"name":"li","role":"officer","scope":"37","demo":true}`, 400},
		{"a token for no time", "tokens", `{"name":"x","role":"viewer","scope":"37","days":-1}`, 400},
		{"a token without a name", "tokens", `{"name":"","role":"viewer","scope":"37"}`, 422},
	} {
		if a := s.askAs(t, root, http.MethodPost, "/api/v1/"+tt.path, tt.body); a.StatusCode != tt.status {
			t.Errorf("%s: got %s %s, want %d", tt.name, a.Status, a.body, tt.status)
		}
	}
}

func TestTheDemosAccounts(t *testing.T) {
	demo := func(s *site) {
		if err := s.registry.EnsureDemoAccount(t.Context(), "demo-officer", "演示", registry.Grant{Role: registry.Officer, Scope: "371721"}); err != nil {
			t.Fatal(err)
		}
	}
	s := openSite(t, Config{Public: true, Demo: true}, demo)
	var ways struct{ Demo []demoAccount }
	s.get(t, "/api/v1/session", &ways)
	if len(ways.Demo) != 1 || ways.Demo[0] != (demoAccount{"demo-officer", "officer", "371721", "曹县"}) {
		t.Errorf("got %+v, want the officer of 曹县", ways.Demo)
	}
	a, header := s.signIn(t, `{"demo":"demo-officer"}`)
	if a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), `"demo":true`) {
		t.Fatalf("got %s %s, want a sign-in that says it is a demo", a.Status, a.body)
	}
	if a := s.askAs(t, asker{header: header}, http.MethodGet, "/api/v1/rejects", ""); a.StatusCode != http.StatusOK {
		t.Errorf("rejects: got %s, want 200", a.Status)
	}
	if a := s.askAs(t, asker{header: header}, http.MethodPost, "/api/v1/password", `{"old":"","new":"correct horse battery"}`); a.StatusCode != http.StatusNotFound {
		t.Errorf("a password for it: got %s, want 404", a.Status)
	}
	if _, _, err := s.registry.AddAccount(t.Context(), "real", "", registry.Grant{Role: registry.Viewer, Scope: "37"}, registry.Actor{}); err != nil {
		t.Fatal(err)
	}
	if a, _ := s.signIn(t, `{"demo":"real"}`); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a person's account by a click: got %s, want 401", a.Status)
	}
	s.cfg.Demo = false // the same data, served
	if a, _ := s.signIn(t, `{"demo":"demo-officer"}`); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("where it is no demo: got %s, want 401", a.Status)
	}
	if a := s.askAs(t, asker{header: header}, http.MethodGet, "/api/v1/rejects", ""); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("its session where it is no demo: got %s, want 401", a.Status)
	}
}

func TestAWrongBearerIsNotTakenForAStranger(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	who := asker{header: http.Header{"Authorization": {"Bearer pw_nothing"}}}
	if a := s.askAs(t, who, http.MethodGet, "/api/v1/coverage", ""); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %s, want 401: the program would go on with less than it should see", a.Status)
	}
}

func TestTooManyRequests(t *testing.T) {
	s := openSite(t, Config{Public: true, RequestRate: 0.01}, nil)
	who := asker{header: s.tokenOf(t, registry.Grant{Role: registry.Viewer, Scope: "37"})}
	s.get(t, "/api/v1/me", &me{})
	a := s.ask(t, http.MethodGet, "/api/v1/me", "", false)
	if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		t.Errorf("the second of a stranger: got %s, want 429 with Retry-After", a.Status)
	}
	if a := s.askAs(t, who, http.MethodGet, "/api/v1/me", ""); a.StatusCode != http.StatusOK {
		t.Errorf("the first of somebody else at the same address: got %s, want 200", a.Status)
	}
	if a := s.askAs(t, who, http.MethodGet, "/api/v1/me", ""); a.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the second of it: got %s, want 429", a.Status)
	}
	if a := s.ask(t, http.MethodGet, "/", "", false); a.StatusCode != http.StatusOK {
		t.Errorf("the page's files: got %s, want 200", a.Status)
	}
}

func TestSignInsAreFew(t *testing.T) {
	s := openSite(t, Config{}, nil)
	s.signInPace.limit = rate.Every(time.Hour)
	for i := range signInAtOnce + 1 {
		a, _ := s.signIn(t, `{"name":"nobody","password":"x"}`)
		want := http.StatusUnauthorized
		if i == signInAtOnce {
			want = http.StatusTooManyRequests
		}
		if a.StatusCode != want {
			t.Errorf("try %d: got %s, want %d", i+1, a.Status, want)
		}
	}
}

func TestWhereARequestComesFrom(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32")}
	for _, tt := range []struct {
		name    string
		trusted []netip.Prefix
		remote  string
		via     []string
		want    string
	}{
		{"no proxy", nil, "192.0.2.1:5", nil, "192.0.2.1"},
		{"a stranger says he comes from elsewhere", proxies, "192.0.2.1:5", []string{"198.51.100.7"}, "192.0.2.1"},
		{"nobody is trusted", nil, "10.1.1.1:5", []string{"198.51.100.7"}, "10.1.1.1"},
		{"a proxy", proxies, "10.1.1.1:5", []string{"198.51.100.7"}, "198.51.100.7"},
		{"two proxies", proxies, "127.0.0.1:5", []string{"198.51.100.7, 10.1.1.1"}, "198.51.100.7"},
		{"a proxy, and what the stranger wrote before it", proxies, "10.1.1.1:5", []string{"1.1.1.1, 198.51.100.7"}, "198.51.100.7"},
		{"in two headers", proxies, "10.1.1.1:5", []string{"1.1.1.1", "198.51.100.7"}, "198.51.100.7"},
		{"nonsense", proxies, "10.1.1.1:5", []string{"x"}, "10.1.1.1"},
		{"IPv4 in IPv6", proxies, "[::ffff:10.1.1.1]:5", []string{"2001:db8::1"}, "2001:db8::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &Dashboard{cfg: &Config{TrustedProxies: tt.trusted}}
			r := &http.Request{RemoteAddr: tt.remote, Header: http.Header{"X-Forwarded-For": tt.via}}
			if got := d.addressOf(r); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestWhatSeldomChangesIsNotSentAgain(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	for _, path := range []string{"/api/v1/targets", "/api/v1/energy?from=2025-03-09&to=2025-03-09", "/api/v1/openapi.yaml"} {
		first := s.ask(t, http.MethodGet, path, "", false)
		who := asker{header: http.Header{"If-None-Match": {first.Header.Get("ETag")}}}
		if a := s.askAs(t, who, http.MethodGet, path, ""); first.Header.Get("ETag") == "" || a.StatusCode != http.StatusNotModified || len(a.body) > 0 {
			t.Errorf("GET %s with its ETag %q: got %s and %d bytes, want 304 and none", path, first.Header.Get("ETag"), a.Status, len(a.body))
		}
	}
}
