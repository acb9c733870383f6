package dashboard

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"pilewatch/internal/registry"
)

// later serves what is known only once its own address is.
type later struct{ http.Handler }

// startProvider runs an OpenID Connect provider with the users test-user@127.0.0.1 and test-user2.
func startProvider(t *testing.T, back string) (issuer string) {
	t.Helper()
	handler := &later{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	storage.RegisterClients(storage.WebClient("pilewatch", "a secret", back))
	handler.Handler = exampleop.SetupServer(server.URL, storage.NewStorage(storage.NewUserStore(server.URL)), nil, false, op.WithAllowInsecure())
	return server.URL
}

// A person is somebody's browser: it keeps cookies and goes where it is sent.
type personsBrowser struct {
	*http.Client
	t *testing.T
}

func newPersonsBrowser(t *testing.T) personsBrowser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return personsBrowser{&http.Client{Jar: jar, Timeout: 20 * time.Second}, t}
}

func (b personsBrowser) get(address string) (final *url.URL, body string) {
	b.t.Helper()
	res, err := b.Get(address)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.Request.URL, string(text)
}

// signIn goes to the dashboard's button, and gives the provider the person's name and password.
func (b personsBrowser) signIn(page, name string) (final *url.URL) {
	b.t.Helper()
	form, _ := b.get(page + oidcStart)
	if !strings.HasSuffix(form.Path, "/login/username") {
		b.t.Fatalf("the button leads to %s, want the provider's form", form)
	}
	res, err := b.PostForm(form.Scheme+"://"+form.Host+"/login/username", url.Values{
		"username": {name}, "password": {"verysecure"}, "id": {form.Query().Get("authRequestID")},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.Request.URL
}

// openOIDC is a site whose people a real provider vouches for.
func openOIDC(t *testing.T, roles map[string]string) *site {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The provider must know where the dashboard is, and the dashboard where the provider is.
	handler := &later{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(front.Close)
	s := openSite(t, Config{URL: front.URL, OIDC: OIDCConfig{
		Issuer: startProvider(t, front.URL+oidcCallback), ClientID: "pilewatch", SecretFile: secret, Name: "统一身份认证",
		Scopes: []string{"profile", "email"}, Claim: "preferred_username", Map: roles,
	}}, nil)
	handler.Handler, s.url = s.Handler(), front.URL
	return s
}

func TestAProvidersPersonSignsIn(t *testing.T) {
	s := openOIDC(t, map[string]string{"test-user@127.0.0.1": "officer:371721"})
	b := newPersonsBrowser(t)
	if at := b.signIn(s.url, "test-user@127.0.0.1"); at.String() != s.url+"/" {
		t.Fatalf("signed in, the browser is at %s, want the page", at)
	}
	_, body := b.get(s.url + "/api/v1/me")
	for _, want := range []string{`"role":"officer"`, `"scope":"371721"`, `"name":"test-user@127.0.0.1"`, `"full_name":"Test User"`, `"may":["load","records","bridges","cases","excuses","claims","decisions"]`} {
		if !strings.Contains(body, want) {
			t.Errorf("/me lacks %s: %s", want, body)
		}
	}
	// Who is disabled here does not come in, whatever the provider says.
	if err := s.registry.DisableAccount(t.Context(), "test-user@127.0.0.1", registry.Actor{Name: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, body := b.get(s.url + "/api/v1/me"); !strings.Contains(body, `"role":""`) {
		t.Errorf("disabled: got %s, want nobody", body)
	}
	if at := newPersonsBrowser(t).signIn(s.url, "test-user@127.0.0.1"); at.Fragment != "/signin?failed=oidc" {
		t.Errorf("disabled, and signing in again: the browser is at %s, want the sign-in page that says no", at)
	}
}

func TestAPersonWithoutARoleStaysOut(t *testing.T) {
	s := openOIDC(t, map[string]string{"somebody-else": "admin"})
	b := newPersonsBrowser(t)
	if at := b.signIn(s.url, "test-user2"); at.Fragment != "/signin?failed=oidc" {
		t.Errorf("the browser is at %s, want the sign-in page that says no", at)
	}
	if _, body := b.get(s.url + "/api/v1/me"); !strings.Contains(body, `"role":""`) {
		t.Errorf("/me: got %s, want nobody", body)
	}
	if all, err := s.registry.Accounts(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("got accounts %v and %v, want none", all, err)
	}
}

func TestAForgedWayBackFromTheProvider(t *testing.T) {
	s := openOIDC(t, map[string]string{"test-user2": "viewer:37"})
	for _, tt := range []struct {
		name   string
		begin  bool
		query  string
		cookie string
	}{
		{"without a start", false, "code=x&state=y", ""},
		{"of another sign-in", true, "code=x&state=y", ""},
		{"with a made-up cookie", false, "code=x&state=", "e30"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newPersonsBrowser(t)
			if tt.begin {
				b.get(s.url + oidcStart)
			}
			if tt.cookie != "" {
				at, err := url.Parse(s.url + oidcStart)
				if err != nil {
					t.Fatal(err)
				}
				b.Jar.SetCookies(at, []*http.Cookie{{Name: oidcCookie, Value: tt.cookie, Path: oidcStart}})
			}
			if at, _ := b.get(s.url + oidcCallback + "?" + tt.query); at.Fragment != "/signin?failed=oidc" {
				t.Errorf("the browser is at %s, want the sign-in page that says no", at)
			}
		})
	}
}

func TestAProviderThatDoesNotAnswer(t *testing.T) {
	s := openSite(t, Config{URL: "http://127.0.0.1:1", OIDC: OIDCConfig{Issuer: "http://127.0.0.1:1", ClientID: "x"}}, nil)
	if a := s.ask(t, http.MethodGet, oidcStart, "", false); a.StatusCode != http.StatusBadGateway {
		t.Errorf("got %s, want 502", a.Status)
	}
}

func TestOIDCSettingsThatCannotBe(t *testing.T) {
	for _, tt := range []struct {
		name, page string
		cfg        OIDCConfig
		want       string
	}{
		{"no client", "https://piles.example.cn", OIDCConfig{Issuer: "https://id.example"}, "--oidc-client-id"},
		{"no page", "", OIDCConfig{Issuer: "https://id.example", ClientID: "x"}, "--url"},
		{"a page that is no address", "piles.example.cn", OIDCConfig{Issuer: "https://id.example", ClientID: "x"}, "--url"},
		{"no secret file", "https://piles.example.cn", OIDCConfig{Issuer: "https://id.example", ClientID: "x", SecretFile: "/nowhere"}, "--oidc-secret-file"},
		{"a role that is none", "https://piles.example.cn", OIDCConfig{Issuer: "https://id.example", ClientID: "x", Map: map[string]string{"a": "king"}}, "--oidc-map a=king"},
	} {
		if _, err := newOIDCSignIn(&tt.cfg, tt.page); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error that names %s", tt.name, err, tt.want)
		}
	}
}

func TestWhatClaimsGive(t *testing.T) {
	o, err := newOIDCSignIn(&OIDCConfig{Issuer: "https://id.example", ClientID: "x", Claim: "groups", Map: map[string]string{
		"cao": "officer:371721", "bureau": "viewer:37", "caoxian": "officer:371721",
	}}, "https://piles.example.cn")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		claims map[string]any
		want   string // "": nobody
	}{
		{"one group of ours", map[string]any{"groups": []any{"staff", "cao", 7}}, "officer:371721"},
		{"one text", map[string]any{"groups": "bureau"}, "viewer:37"},
		{"two groups of one role", map[string]any{"groups": []any{"cao", "caoxian"}}, "officer:371721"},
		{"two roles", map[string]any{"groups": []any{"cao", "bureau"}}, ""},
		{"none of ours", map[string]any{"groups": []any{"staff"}}, ""},
		{"a group that is called like a role", map[string]any{"groups": []any{"admin"}}, ""},
		{"another claim", map[string]any{"roles": []any{"cao"}}, ""},
		{"no list", map[string]any{"groups": 7}, ""},
	} {
		got, err := o.grantOf(tt.claims)
		if (err == nil) != (tt.want != "") || err == nil && got.String() != tt.want {
			t.Errorf("%s: got %v and %v, want %q", tt.name, got, err, tt.want)
		}
	}
}
