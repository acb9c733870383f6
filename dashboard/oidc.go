package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"pilewatch/internal/registry"
)

// An OIDCConfig names the provider that vouches for people (OpenID Connect Core 1.0), and says what
// its claims let them do.
type OIDCConfig struct {
	Issuer     string            `help:"OpenID Connect provider whose people may sign in; none by default." env:"ISSUER" placeholder:"URL"`
	ClientID   string            `help:"What the provider knows the dashboard by." env:"CLIENT_ID" placeholder:"ID"`
	SecretFile string            `help:"File with the client's secret; none for a public client." env:"SECRET_FILE" placeholder:"FILE" type:"path"`
	Name       string            `help:"What the button to the provider says." default:"统一身份认证" env:"NAME"`
	Scopes     []string          `help:"What is asked of the provider, beside openid." default:"profile,email" env:"SCOPES"`
	Claim      string            `help:"Claim whose values decide the role." default:"groups" env:"CLAIM"`
	Map        map[string]string `help:"What a value of the claim lets people do: VALUE=ROLE:SCOPE, such as cao-county=officer:371721; other values let nobody in." env:"MAP"`
}

const (
	oidcStart    = "/auth/oidc"
	oidcCallback = "/auth/oidc/callback"
	oidcCookie   = "pilewatch-oidc"
	oidcWithin   = 10 * time.Minute // from the start to the way back
	oidcAnswer   = 15 * time.Second // of the provider
)

// An oidcSignIn signs people in whom a provider vouches for. It asks the provider for its addresses
// and keys when somebody comes, so the dashboard starts without it.
type oidcSignIn struct {
	cfg    *OIDCConfig
	secret string
	back   string // where the provider sends people to
	grants map[string]registry.Grant

	mu       sync.Mutex
	provider *oidc.Provider
}

// newOIDCSignIn reads the settings; nil without a provider.
func newOIDCSignIn(cfg *OIDCConfig, page string) (*oidcSignIn, error) {
	if cfg.Issuer == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	o := &oidcSignIn{cfg: cfg, grants: map[string]registry.Grant{}}
	base, err := url.Parse(page)
	switch {
	case cfg.ClientID == "":
		return nil, errors.New("sign in with OpenID Connect: --oidc-client-id is missing")
	case page == "" || err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http":
		return nil, errors.New("sign in with OpenID Connect: --url must say where browsers find the page, such as https://piles.example.cn; the provider sends people back there")
	}
	o.back = base.JoinPath(oidcCallback).String()
	if cfg.SecretFile != "" {
		text, err := os.ReadFile(cfg.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("read --oidc-secret-file: %w", err)
		}
		o.secret = strings.TrimSpace(string(text))
	}
	for value, text := range cfg.Map {
		if o.grants[value], err = registry.ParseGrant(text); err != nil {
			return nil, fmt.Errorf("read --oidc-map %s=%s: %w", value, text, err)
		}
	}
	return o, nil
}

// found asks the provider for its addresses, once.
func (o *oidcSignIn) found(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider == nil {
		// The provider keeps the context for its keys, so it must outlive this request.
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), &http.Client{Timeout: oidcAnswer}), o.cfg.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("ask %s who it is: %w", o.cfg.Issuer, err)
		}
		o.provider = p
	}
	return o.provider, &oauth2.Config{
		ClientID: o.cfg.ClientID, ClientSecret: o.secret, Endpoint: o.provider.Endpoint(), RedirectURL: o.back,
		Scopes: append([]string{oidc.ScopeOpenID}, o.cfg.Scopes...),
	}, nil
}

// An oidcTry is what the browser keeps, sealed, while its person is at the provider.
type oidcTry struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // PKCE, RFC 7636
	Until    time.Time `json:"until"`
}

// startOIDC sends a person to the provider.
func (d *Dashboard) startOIDC(w http.ResponseWriter, r *http.Request) error {
	_, client, err := d.oidc.found(r.Context())
	if err != nil {
		d.log.Error("send a person to the sign-in's provider", "err", err)
		return newProblem(http.StatusBadGateway, "the sign-in's provider does not answer", "try again in a while, or sign in with a password")
	}
	try := oidcTry{State: newNonce(), Nonce: newNonce(), Verifier: oauth2.GenerateVerifier(), Until: time.Now().Add(oidcWithin)}
	text, err := json.Marshal(try)
	if err != nil {
		return fmt.Errorf("encode sign-in: %w", err)
	}
	http.SetCookie(w, d.tryCookie(r, d.sealed.seal(oidcCookie, string(text)), try.Until))
	http.Redirect(w, r, client.AuthCodeURL(try.State, oidc.Nonce(try.Nonce), oauth2.S256ChallengeOption(try.Verifier)), http.StatusFound)
	return nil
}

// tryCookie is sent along when the provider sends the person back, so it cannot be SameSite=Strict.
func (d *Dashboard) tryCookie(r *http.Request, value string, ends time.Time) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // as the session's
		Name: oidcCookie, Value: value, Path: oidcStart, Expires: ends, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: d.overTLS(r),
	}
}

// finishOIDC takes a person in whom the provider has sent back. What went wrong is said on the page.
func (d *Dashboard) finishOIDC(w http.ResponseWriter, r *http.Request) error {
	http.SetCookie(w, d.tryCookie(r, "", time.Unix(1, 0)))
	v, err := d.vouched(r)
	if err != nil {
		d.signIns.WithLabelValues("oidc", "refused").Inc()
		d.log.Warn("a provider's person is not let in", "err", err)
		http.Redirect(w, r, "/#/signin?failed=oidc", http.StatusFound)
		return nil
	}
	d.signIns.WithLabelValues("oidc", "in").Inc()
	http.SetCookie(w, d.cookie(r, v.session, time.Now().Add(d.cfg.SessionFor)))
	http.Redirect(w, r, "/", http.StatusFound)
	return nil
}

func (d *Dashboard) vouched(r *http.Request) (viewer, error) {
	ctx, q := r.Context(), r.URL.Query()
	cookie, err := r.Cookie(oidcCookie)
	if err != nil {
		return viewer{}, errors.New("no sign-in was begun in this browser")
	}
	text, err := d.sealed.open(oidcCookie, cookie.Value)
	if err != nil {
		return viewer{}, err
	}
	var try oidcTry
	if err := json.Unmarshal([]byte(text), &try); err != nil {
		return viewer{}, fmt.Errorf("decode sign-in: %w", err)
	}
	switch {
	case time.Now().After(try.Until):
		return viewer{}, errors.New("the sign-in took too long")
	case q.Get("state") != try.State:
		return viewer{}, errors.New("the answer is to another sign-in")
	case q.Get("error") != "":
		return viewer{}, fmt.Errorf("the provider says %q", clip(q.Get("error")))
	}
	provider, client, err := d.oidc.found(ctx)
	if err != nil {
		return viewer{}, err
	}
	ctx = oidc.ClientContext(ctx, &http.Client{Timeout: oidcAnswer})
	token, err := client.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(try.Verifier))
	if err != nil {
		return viewer{}, fmt.Errorf("exchange code: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: d.cfg.OIDC.ClientID}).Verify(ctx, raw)
	if err != nil {
		return viewer{}, fmt.Errorf("verify id token: %w", err)
	}
	if id.Nonce != try.Nonce {
		return viewer{}, errors.New("the id token is of another sign-in")
	}
	claims, err := allClaims(ctx, provider, client, token, id)
	if err != nil {
		return viewer{}, err
	}
	grant, err := d.oidc.grantOf(claims)
	if err != nil {
		return viewer{}, fmt.Errorf("%s of %s: %w", id.Subject, id.Issuer, err)
	}
	by := registry.Actor{Address: d.addressOf(r)}
	name, _ := claims["preferred_username"].(string)
	if name == "" {
		name, _ = claims["email"].(string)
	}
	fullName, _ := claims["name"].(string)
	a, err := d.registry.SignInVouched(ctx, registry.Vouched{Issuer: id.Issuer, Subject: id.Subject, Name: name, FullName: fullName, Grant: grant}, by)
	if err != nil {
		return viewer{}, err
	}
	return d.open(ctx, &a, "oidc", by)
}

// allClaims are those of the id token and, where it has more, of the user info of the same subject.
func allClaims(ctx context.Context, provider *oidc.Provider, client *oauth2.Config, token *oauth2.Token, id *oidc.IDToken) (map[string]any, error) {
	claims := map[string]any{}
	if provider.UserInfoEndpoint() != "" {
		info, err := provider.UserInfo(ctx, client.TokenSource(ctx, token))
		if err != nil {
			return nil, fmt.Errorf("ask for user info: %w", err)
		}
		if info.Subject != id.Subject {
			return nil, errors.New("the user info is of another person") // OpenID Connect Core 1.0 §5.3.2
		}
		if err := info.Claims(&claims); err != nil {
			return nil, fmt.Errorf("read user info: %w", err)
		}
	}
	if err := id.Claims(&claims); err != nil { // signed, so it goes before
		return nil, fmt.Errorf("read id token: %w", err)
	}
	return claims, nil
}

// grantOf reads the one role that the claim's values give; none or several let nobody in.
func (o *oidcSignIn) grantOf(claims map[string]any) (registry.Grant, error) {
	var values []string
	switch claim := claims[o.cfg.Claim].(type) {
	case string:
		values = []string{claim}
	case []any:
		for _, v := range claim {
			if text, ok := v.(string); ok {
				values = append(values, text)
			}
		}
	}
	var grants []registry.Grant
	for _, value := range values {
		if grant, mapped := o.grants[value]; mapped && !slices.Contains(grants, grant) {
			grants = append(grants, grant)
		}
	}
	switch len(grants) {
	case 0:
		return registry.Grant{}, fmt.Errorf("claim %s gives no role; --oidc-map says what its values mean", o.cfg.Claim)
	case 1:
		return grants[0], nil
	}
	return registry.Grant{}, fmt.Errorf("claim %s gives several roles, %v, and one is wanted", o.cfg.Claim, grants)
}
