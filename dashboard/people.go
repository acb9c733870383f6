package dashboard

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// People are the persons and programs that may come in; *registry.Registry keeps them.
type People interface {
	AccountRev(ctx context.Context) (int64, error)
	Accounts(ctx context.Context) ([]registry.Account, error)
	Account(ctx context.Context, name string) (registry.Account, error)
	AddAccount(ctx context.Context, name, fullName string, grant registry.Grant, by registry.Actor) (string, registry.Account, error)
	ResetPassword(ctx context.Context, name string, by registry.Actor) (string, error)
	DisableAccount(ctx context.Context, name string, by registry.Actor) error
	EnableAccount(ctx context.Context, name string, by registry.Actor) error
	SetGrant(ctx context.Context, name string, grant registry.Grant, by registry.Actor) error
	AccountLog(ctx context.Context, before int64, limit int) ([]registry.AccountNote, error)

	SignIn(ctx context.Context, name, password string, by registry.Actor) (registry.Account, error)
	SignInVouched(ctx context.Context, v registry.Vouched, by registry.Actor) (registry.Account, error)
	ChangePassword(ctx context.Context, name, old, chosen string, by registry.Actor) (registry.Account, error)
	OpenSession(ctx context.Context, account int64, lasts time.Duration, how string, by registry.Actor) (string, error)
	OpenTokenSession(ctx context.Context, token [32]byte, lasts time.Duration, by registry.Actor) (string, error)
	FindSession(ctx context.Context, secret string) (registry.Session, error)
	CloseSession(ctx context.Context, secret string, by registry.Actor) error

	APITokens(ctx context.Context) ([]registry.APIToken, error)
	FindAPIToken(ctx context.Context, token string) (registry.APIToken, error)
	IssueAPIToken(ctx context.Context, name string, grant registry.Grant, expires time.Time, by registry.Actor) (string, registry.APIToken, error)
	RevokeAPIToken(ctx context.Context, id int64, by registry.Actor) error
}

const (
	notesAtMost   = 500
	tokenDaysMost = 3650
)

func newSignInMetrics(reg prometheus.Registerer) *prometheus.CounterVec {
	return promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "dashboard_sign_ins_total", Help: "Attempts to sign in, by way (password, token, oidc, demo) and result (in, refused, too_many).",
	}, []string{"way", "result"})
}

// actor is who a change is written down for.
func (d *Dashboard) actor(r *http.Request) registry.Actor {
	return registry.Actor{Name: viewerOf(r).name, Address: d.addressOf(r)}
}

// accountProblem turns what the registry says of accounts into an answer.
func accountProblem(err error) error {
	switch {
	case errors.Is(err, registry.ErrUnknownAccount), errors.Is(err, registry.ErrUnknownToken):
		return notFound(err.Error())
	case errors.Is(err, registry.ErrAccountExists):
		return newProblem(http.StatusConflict, "name is taken", err.Error())
	case errors.Is(err, registry.ErrBadPassword):
		return newProblem(http.StatusUnprocessableEntity, "bad password", err.Error())
	case errors.Is(err, registry.ErrBadAccount):
		return newProblem(http.StatusUnprocessableEntity, "bad account", err.Error())
	}
	return err
}

type me struct {
	Role           string              `json:"role"` // "": nobody may read before signing in; public: no sign-in
	Name           string              `json:"name"`
	FullName       string              `json:"full_name"`
	Scope          string              `json:"scope"`
	ScopeName      string              `json:"scope_name"`
	Home           charge.DivisionCode `json:"home"` // the division that is shown where none is named
	May            []string            `json:"may"`
	MustChange     bool                `json:"must_change"`
	Demo           bool                `json:"demo"`
	Public         bool                `json:"public"`
	PolicyDocument string              `json:"policy_document"`
	Build          string              `json:"build"`
	Story          *story              `json:"story"` // nil: the log begins with real readings
}

// A story says that the past that is shown is simulated, and how much of it is judged.
type story struct {
	Name    string `json:"name"`
	Percent int    `json:"percent"`
}

// story gives the one that the log begins with.
func (d *Dashboard) story(ctx context.Context) *story {
	s, err := d.registry.Story(ctx)
	if err != nil || s == nil {
		return d.noStory(ctx, err)
	}
	percent, err := d.registry.StoryJudged(ctx, s)
	if err != nil {
		return d.noStory(ctx, err)
	}
	return &story{Name: s.Name, Percent: percent}
}

func (d *Dashboard) noStory(ctx context.Context, err error) *story {
	if err != nil && ctx.Err() == nil {
		d.log.Warn("whether the past is a story cannot be told", "err", err)
	}
	return nil
}

func (d *Dashboard) viewMe(ctx context.Context, v *viewer) me {
	m := me{
		Story: d.story(ctx),
		Role:  string(v.Role), Name: v.name, FullName: v.fullName, Scope: v.Scope, ScopeName: d.scopeName(v.Grant), May: v.words(),
		MustChange: v.mustChange, Demo: v.demo, Public: d.cfg.Public, PolicyDocument: d.cfg.PolicyDocument, Build: d.build,
	}
	if v.may(needsReading) {
		m.Home = v.home(d.province())
		if !v.signedIn() {
			m.Role = "public"
		}
	}
	return m
}

// scopeName is what people call what a role is for.
func (d *Dashboard) scopeName(g registry.Grant) string {
	if g.Role == registry.Operator {
		for _, o := range d.divisions.Operators() {
			if string(o.ID) == g.Scope {
				return o.Name
			}
		}
		return ""
	}
	return d.coverage.name(charge.DivisionCode(g.Scope))
}

func (d *Dashboard) getMe(w http.ResponseWriter, r *http.Request) error {
	return reply(w, r, d.viewMe(r.Context(), viewerOf(r)))
}

// A demoAccount is one that anyone may sign in with.
type demoAccount struct {
	Name      string `json:"name"`
	Role      string `json:"role"`
	Scope     string `json:"scope"`
	ScopeName string `json:"scope_name"`
}

// getSignIns tells the ways to sign in.
func (d *Dashboard) getSignIns(w http.ResponseWriter, r *http.Request) error {
	ways := struct {
		Provider *string       `json:"provider"` // what the button to it says; null without one
		Start    string        `json:"start,omitempty"`
		Demo     []demoAccount `json:"demo"` // not empty in the demo only
	}{Demo: []demoAccount{}}
	if d.oidc != nil {
		ways.Provider, ways.Start = &d.cfg.OIDC.Name, oidcStart
	}
	if d.cfg.Demo {
		all, err := d.registry.Accounts(r.Context())
		if err != nil {
			return err
		}
		for _, a := range all {
			if a.Demo && a.Disabled.IsZero() {
				ways.Demo = append(ways.Demo, demoAccount{a.Name, string(a.Role), a.Scope, d.scopeName(a.Grant)})
			}
		}
	}
	return reply(w, r, ways)
}

// postSession signs somebody in: by name and password, by the token of the data directory or, in
// the demo, by the name of one of its accounts.
func (d *Dashboard) postSession(w http.ResponseWriter, r *http.Request) error {
	var given struct {
		Name     string `json:"name"`
		Password string `json:"password"`
		Token    string `json:"token"`
		Demo     string `json:"demo"`
	}
	way := "password"
	if err := readBody(w, r, &given); err != nil {
		return err
	}
	switch {
	case given.Demo != "":
		way = "demo"
	case given.Token != "":
		way = "token"
	}
	by := registry.Actor{Address: d.addressOf(r)}
	if !d.signInPace.allow(by.Address) {
		d.signIns.WithLabelValues(way, "too_many").Inc()
		return tooMany(w, int(signInEvery/time.Second))
	}
	var v viewer
	var err error
	switch way {
	case "demo":
		v, err = d.demoSignIn(r.Context(), given.Demo, by)
	case "token":
		v, err = d.tokenSignIn(r.Context(), strings.TrimSpace(given.Token), by)
	default:
		v, err = d.passwordSignIn(r.Context(), given.Name, given.Password, by)
	}
	if err != nil {
		d.signIns.WithLabelValues(way, "refused").Inc()
		return err
	}
	d.signIns.WithLabelValues(way, "in").Inc()
	v.public = d.cfg.Public
	http.SetCookie(w, d.cookie(r, v.session, time.Now().Add(d.cfg.SessionFor)))
	return reply(w, r, d.viewMe(r.Context(), &v))
}

func (d *Dashboard) passwordSignIn(ctx context.Context, name, password string, by registry.Actor) (viewer, error) {
	a, err := d.registry.SignIn(ctx, name, password, by)
	if errors.Is(err, registry.ErrSignIn) {
		return viewer{}, wrongSignIn()
	}
	if err != nil {
		return viewer{}, err
	}
	return d.open(ctx, &a, "password", by)
}

func wrongSignIn() error {
	return newProblem(http.StatusUnauthorized, "not signed in", registry.ErrSignIn.Error())
}

func (d *Dashboard) tokenSignIn(ctx context.Context, token string, by registry.Actor) (viewer, error) {
	if !d.token.is(token) {
		return viewer{}, newProblem(http.StatusUnauthorized, "wrong token", "the token is the content of the file dashboard.token in the data directory")
	}
	by.Name = tokenFile
	secret, err := d.registry.OpenTokenSession(ctx, d.token.sum, d.cfg.SessionFor, by)
	return d.token.admin(secret), err
}

func (d *Dashboard) demoSignIn(ctx context.Context, name string, by registry.Actor) (viewer, error) {
	a, err := d.registry.Account(ctx, name)
	if err != nil && !errors.Is(err, registry.ErrUnknownAccount) {
		return viewer{}, err
	}
	if err != nil || !d.cfg.Demo || !a.Demo {
		return viewer{}, wrongSignIn()
	}
	return d.open(ctx, &a, "demo", by)
}

// open begins a session of an account.
func (d *Dashboard) open(ctx context.Context, a *registry.Account, how string, by registry.Actor) (viewer, error) {
	secret, err := d.registry.OpenSession(ctx, a.ID, d.cfg.SessionFor, how, by)
	if errors.Is(err, registry.ErrSignIn) {
		return viewer{}, wrongSignIn()
	}
	return accountViewer(a, secret), err
}

func (d *Dashboard) deleteSession(w http.ResponseWriter, r *http.Request) error {
	if v := viewerOf(r); v.session != "" {
		if err := d.registry.CloseSession(r.Context(), v.session, d.actor(r)); err != nil {
			return err
		}
		d.hub.doubt()
	}
	http.SetCookie(w, d.cookie(r, "", time.Unix(1, 0)))
	return reply(w, r, d.viewMe(r.Context(), &viewer{public: d.cfg.Public}))
}

// postPassword changes the viewer's own password. Its other sessions end.
func (d *Dashboard) postPassword(w http.ResponseWriter, r *http.Request) error {
	var given struct {
		Old string `json:"old"`
		New string `json:"new"`
	}
	if err := readBody(w, r, &given); err != nil {
		return err
	}
	by := d.actor(r)
	if !d.signInPace.allow(by.Address) {
		return tooMany(w, int(signInEvery/time.Second))
	}
	a, err := d.registry.ChangePassword(r.Context(), by.Name, given.Old, given.New, by)
	if errors.Is(err, registry.ErrSignIn) {
		return newProblem(http.StatusUnprocessableEntity, "wrong password", "the old password is wrong, or the account is locked after several wrong ones")
	}
	if err != nil {
		return accountProblem(err)
	}
	v, err := d.open(r.Context(), &a, "changed password", by)
	if err != nil {
		return err
	}
	v.public = d.cfg.Public
	d.hub.doubt()
	http.SetCookie(w, d.cookie(r, v.session, time.Now().Add(d.cfg.SessionFor)))
	return reply(w, r, d.viewMe(r.Context(), &v))
}

// An accountView is an account as an admin sees it.
type accountView struct {
	Name        string     `json:"name"`
	FullName    string     `json:"full_name"`
	Role        string     `json:"role"`
	Scope       string     `json:"scope"`
	ScopeName   string     `json:"scope_name"`
	Issuer      string     `json:"issuer"` // who vouches for it; "": it has a password here
	MustChange  bool       `json:"must_change"`
	Demo        bool       `json:"demo"`
	LockedUntil *time.Time `json:"locked_until"` // null when it is not locked now
	Created     *time.Time `json:"created"`
	Disabled    *time.Time `json:"disabled"`
}

func (d *Dashboard) viewAccount(a *registry.Account) accountView {
	v := accountView{
		Name: a.Name, FullName: a.FullName, Role: string(a.Role), Scope: a.Scope, ScopeName: d.scopeName(a.Grant), Issuer: a.Issuer,
		MustChange: a.MustChange, Demo: a.Demo, Created: orNull(a.Created), Disabled: orNull(a.Disabled),
	}
	if a.LockedUntil.After(time.Now()) {
		v.LockedUntil = orNull(a.LockedUntil)
	}
	return v
}

func (d *Dashboard) getAccounts(w http.ResponseWriter, r *http.Request) error {
	all, err := d.registry.Accounts(r.Context())
	if err != nil {
		return err
	}
	rows := make([]accountView, len(all))
	for i := range all {
		rows[i] = d.viewAccount(&all[i])
	}
	return reply(w, r, map[string]any{"accounts": rows})
}

func (d *Dashboard) postAccount(w http.ResponseWriter, r *http.Request) error {
	var given struct {
		Name     string `json:"name"`
		FullName string `json:"full_name"`
		Role     string `json:"role"`
		Scope    string `json:"scope"`
	}
	if err := readBody(w, r, &given); err != nil {
		return err
	}
	grant := registry.Grant{Role: registry.Role(given.Role), Scope: given.Scope}
	password, a, err := d.registry.AddAccount(r.Context(), given.Name, given.FullName, grant, d.actor(r))
	if err != nil {
		return accountProblem(err)
	}
	return replyStatus(w, r, http.StatusCreated, map[string]any{"account": d.viewAccount(&a), "password": password})
}

// postAccountAction does to an account what the path says; a reset answers with the new password.
func (d *Dashboard) postAccountAction(w http.ResponseWriter, r *http.Request) error {
	name, action, by := r.PathValue("name"), r.PathValue("action"), d.actor(r)
	var (
		password string
		err      error
	)
	switch action {
	case "reset":
		password, err = d.registry.ResetPassword(r.Context(), name, by)
	case "disable":
		err = d.registry.DisableAccount(r.Context(), name, by)
	case "enable":
		err = d.registry.EnableAccount(r.Context(), name, by)
	case "grant":
		var given struct {
			Role  string `json:"role"`
			Scope string `json:"scope"`
		}
		if err := readBody(w, r, &given); err != nil {
			return err
		}
		err = d.registry.SetGrant(r.Context(), name, registry.Grant{Role: registry.Role(given.Role), Scope: given.Scope}, by)
	default:
		return notFound("no such action; there are reset, disable, enable and grant")
	}
	if err != nil {
		return accountProblem(err)
	}
	d.hub.doubt()
	a, err := d.registry.Account(r.Context(), name)
	if err != nil {
		return err
	}
	answer := map[string]any{"account": d.viewAccount(&a)}
	if password != "" {
		answer["password"] = password
	}
	return reply(w, r, answer)
}

// A noteView is a line of the account log.
type noteView struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"`
	Who     string    `json:"who"`
	Address string    `json:"address"`
	Action  string    `json:"action"`
	About   string    `json:"about"`
	Detail  string    `json:"detail"`
}

func (d *Dashboard) getAccountLog(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r, pageOf, notesAtMost)
	if err != nil {
		return err
	}
	var before int64
	if text := r.URL.Query().Get("cursor"); text != "" {
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || before < 1 {
			return badRequest("cursor: not one of this list's")
		}
	}
	notes, err := d.registry.AccountLog(r.Context(), before, limit+1)
	if err != nil {
		return err
	}
	next := ""
	if len(notes) > limit {
		notes = notes[:limit]
		next = strconv.FormatInt(notes[limit-1].ID, 10)
	}
	rows := make([]noteView, len(notes))
	for i, n := range notes {
		rows[i] = noteView{n.ID, n.At, n.Who, n.Address, n.Action, n.About, n.Detail}
	}
	return reply(w, r, map[string]any{"notes": rows, "next": next})
}

// A tokenView is an API token as an admin sees it.
type tokenView struct {
	ID        int64      `json:"id"`
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Scope     string     `json:"scope"`
	ScopeName string     `json:"scope_name"`
	Created   *time.Time `json:"created"`
	Expires   *time.Time `json:"expires"`
	Revoked   *time.Time `json:"revoked"`
}

func (d *Dashboard) viewToken(t *registry.APIToken) tokenView {
	return tokenView{t.ID, t.Name, string(t.Role), t.Scope, d.scopeName(t.Grant), orNull(t.Created), orNull(t.Expires), orNull(t.Revoked)}
}

func (d *Dashboard) getTokens(w http.ResponseWriter, r *http.Request) error {
	all, err := d.registry.APITokens(r.Context())
	if err != nil {
		return err
	}
	rows := make([]tokenView, len(all))
	for i := range all {
		rows[i] = d.viewToken(&all[i])
	}
	return reply(w, r, map[string]any{"tokens": rows})
}

func (d *Dashboard) postToken(w http.ResponseWriter, r *http.Request) error {
	var given struct {
		Name  string `json:"name"`
		Role  string `json:"role"`
		Scope string `json:"scope"`
		Days  int    `json:"days"` // 0: it does not end by itself
	}
	if err := readBody(w, r, &given); err != nil {
		return err
	}
	if given.Days < 0 || given.Days > tokenDaysMost {
		return badRequest("days: want 0 to " + strconv.Itoa(tokenDaysMost))
	}
	var expires time.Time
	if given.Days > 0 {
		expires = time.Now().AddDate(0, 0, given.Days)
	}
	token, t, err := d.registry.IssueAPIToken(r.Context(), given.Name, registry.Grant{Role: registry.Role(given.Role), Scope: given.Scope}, expires, d.actor(r))
	if err != nil {
		return accountProblem(err)
	}
	return replyStatus(w, r, http.StatusCreated, map[string]any{"token": token, "about": d.viewToken(&t)})
}

func (d *Dashboard) deleteToken(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.ParseInt(r.PathValue("token"), 10, 64)
	if err != nil {
		return notFound("no such token")
	}
	if err := d.registry.RevokeAPIToken(r.Context(), id, d.actor(r)); err != nil {
		return accountProblem(err)
	}
	d.hub.doubt()
	w.WriteHeader(http.StatusNoContent)
	return nil
}
