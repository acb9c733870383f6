package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
)

var admin = Actor{Name: "root", Address: "192.0.2.1"}

// person adds an account whose password is its own choice already.
func person(t *testing.T, r *Registry, name string, grant Grant) (Account, string) {
	t.Helper()
	given, _, err := r.AddAccount(t.Context(), name, "", grant, admin)
	if err != nil {
		t.Fatal(err)
	}
	const chosen = "correct horse battery"
	a, err := r.ChangePassword(t.Context(), name, given, chosen, Actor{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return a, chosen
}

// at sets the registry's clock.
func at(r *Registry, now time.Time) { r.now = func() time.Time { return now } }

func TestGrants(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"an admin of everything", "admin", true},
		{"an admin of a county", "admin:371721", false},
		{"an officer of a county", "officer:371721", true},
		{"an officer of everything", "officer", false},
		{"a viewer of the province", "viewer:37", true},
		{"a reviewer of three digits", "reviewer:371", false},
		{"an operator", "operator:MA3CLQP01", true},
		{"an operator without an id", "operator", false},
		{"an operator of the topic's dash", "operator:-", false},
		{"a king", "king:37", false},
		{"nothing", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := ParseGrant(tt.text)
			if (err == nil) != tt.ok {
				t.Errorf("ParseGrant(%q): got %v, want ok %v", tt.text, err, tt.ok)
			}
			if err == nil && g.String() != tt.text {
				t.Errorf("ParseGrant(%q) writes itself as %q", tt.text, g)
			}
			if err != nil && !errors.Is(err, ErrBadAccount) {
				t.Errorf("ParseGrant(%q): got %v, want ErrBadAccount", tt.text, err)
			}
		})
	}
}

func TestAddAccountRefuses(t *testing.T) {
	r := open(t)
	person(t, r, "li.ming", Grant{Viewer, "37"})
	for _, tt := range []struct {
		name, account, fullName string
		grant                   Grant
		want                    error
	}{
		{"a name that is taken, in other letters", "Li.Ming", "", Grant{Viewer, "37"}, ErrAccountExists},
		{"a name with an @, which providers' have", "li@example.org", "", Grant{Viewer, "37"}, ErrBadAccount},
		{"no name", "", "", Grant{Viewer, "37"}, ErrBadAccount},
		{"a name with a script", "<script>", "", Grant{Viewer, "37"}, ErrBadAccount},
		{"a division that is not there", "wang", "", Grant{Officer, "99"}, ErrBadAccount},
		{"an operator that is not there", "wang", "", Grant{Operator, "NOBODY"}, ErrBadAccount},
		{"a full name as long as a book", "wang", strings.Repeat("王", 65), Grant{Viewer, "37"}, ErrBadAccount},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := r.AddAccount(t.Context(), tt.account, tt.fullName, tt.grant, admin); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	all, err := r.Accounts(t.Context())
	if err != nil || len(all) != 1 {
		t.Errorf("after the refusals: got %d accounts and %v, want the one", len(all), err)
	}
}

func TestThePasswordThatIsGivenMustBeChanged(t *testing.T) {
	r := open(t)
	given, a, err := r.AddAccount(t.Context(), "wang", "王芳", Grant{Officer, "371721"}, admin)
	if err != nil || !a.MustChange {
		t.Fatalf("got %+v and %v, want one that must change its password", a, err)
	}
	if a, err = r.SignIn(t.Context(), "wang", given, Actor{}); err != nil || !a.MustChange {
		t.Fatalf("sign in with the given password: got %+v and %v, want it to ask for another", a, err)
	}
	for _, tt := range []struct{ name, chosen string }{
		{"short", "elevenchars"},
		{"the name in it", "IamWangAndNobodyElse"},
		{"one letter", strings.Repeat("a", 20)},
		{"the old one", given},
		{"too long", strings.Repeat("abcdefgh", 17)},
	} {
		if _, err := r.ChangePassword(t.Context(), "wang", given, tt.chosen, Actor{}); !errors.Is(err, ErrBadPassword) {
			t.Errorf("a new password, %s: got %v, want ErrBadPassword", tt.name, err)
		}
	}
	if _, err := r.ChangePassword(t.Context(), "wang", given, "correct horse battery", Actor{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SignIn(t.Context(), "wang", given, Actor{}); !errors.Is(err, ErrSignIn) {
		t.Errorf("the old password: got %v, want ErrSignIn", err)
	}
	if a, err := r.SignIn(t.Context(), "WANG", "correct horse battery", Actor{}); err != nil || a.MustChange || a.FullName != "王芳" {
		t.Errorf("the new one: got %+v and %v, want the person, with nothing to change", a, err)
	}
}

func TestFiveWrongPasswordsLockTheAccount(t *testing.T) {
	r := open(t)
	_, right := person(t, r, "wang", Grant{Viewer, "37"})
	now := time.Date(2026, 3, 9, 4, 0, 0, 0, time.UTC)
	at(r, now)
	try := func(password string) error {
		_, err := r.SignIn(t.Context(), "wang", password, Actor{Address: "192.0.2.9"})
		return err
	}
	for range triesBefore - 1 {
		if err := try("wrong"); !errors.Is(err, ErrSignIn) {
			t.Fatalf("wrong: got %v, want ErrSignIn", err)
		}
	}
	if err := try(right); err != nil {
		t.Fatalf("right after four wrong ones: got %v, want a sign-in", err)
	}
	for range triesBefore { // the count begins anew after a right one
		_ = try("wrong")
	}
	if err := try(right); !errors.Is(err, ErrSignIn) {
		t.Errorf("right while locked: got %v, want ErrSignIn", err)
	}
	at(r, now.Add(lockFor-time.Second))
	if err := try(right); !errors.Is(err, ErrSignIn) {
		t.Errorf("a second before the end of the lock: got %v, want ErrSignIn", err)
	}
	at(r, now.Add(lockFor))
	if err := try(right); err != nil {
		t.Errorf("after the lock: got %v, want a sign-in", err)
	}
	notes, err := r.AccountLog(t.Context(), 0, 10)
	if err != nil || notes[0].Action != "lock" || notes[0].About != "wang" || notes[0].Address != "192.0.2.9" {
		t.Errorf("the log: got %+v and %v, want the lock and its address first", notes, err)
	}
}

func TestWhoCannotSignIn(t *testing.T) {
	r := open(t)
	_, right := person(t, r, "gone", Grant{Viewer, "37"})
	if err := r.DisableAccount(t.Context(), "gone", admin); err != nil {
		t.Fatal(err)
	}
	if err := r.EnsureDemoAccount(t.Context(), "demo", "", Grant{Viewer, "37"}); err != nil {
		t.Fatal(err)
	}
	vouched, err := r.SignInVouched(t.Context(), Vouched{Issuer: "https://id.example", Subject: "1", Name: "zhao", Grant: Grant{Viewer, "37"}}, Actor{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ why, name, password string }{
		{"unknown", "nobody", right},
		{"disabled", "gone", right},
		{"a demo account has no password", "demo", ""},
		{"a provider's account has none here", vouched.Name, ""},
		{"a book", "gone", strings.Repeat("x", 1<<20)},
	} {
		if _, err := r.SignIn(t.Context(), tt.name, tt.password, Actor{}); !errors.Is(err, ErrSignIn) || err.Error() != ErrSignIn.Error() {
			t.Errorf("%s: got %v, want ErrSignIn and nothing more", tt.why, err)
		}
	}
	if _, _, err := argon2id.CheckHash("x", someHash); err != nil {
		t.Errorf("the hash that unknown names are compared with: %v", err)
	}
	params, _, _, err := argon2id.DecodeHash(someHash)
	if err != nil || params.Memory != hashing.Memory || params.Iterations != hashing.Iterations || params.Parallelism != hashing.Parallelism {
		t.Errorf("it costs %+v (%v), want what a person's costs", params, err)
	}
}

func TestSessionsEnd(t *testing.T) {
	now := time.Date(2026, 3, 9, 4, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		end  func(ctx context.Context, r *Registry, password, secret string) error
	}{
		{"by themselves", func(_ context.Context, r *Registry, _, _ string) error { at(r, now.Add(time.Hour)); return nil }},
		{"by signing out", func(ctx context.Context, r *Registry, _, secret string) error {
			return r.CloseSession(ctx, secret, Actor{Name: "wang"})
		}},
		{"with the account", func(ctx context.Context, r *Registry, _, _ string) error { return r.DisableAccount(ctx, "wang", admin) }},
		{"with another password", func(ctx context.Context, r *Registry, _, _ string) error {
			_, err := r.ResetPassword(ctx, "wang", admin)
			return err
		}},
		{"with the person's own new password", func(ctx context.Context, r *Registry, password, _ string) error {
			_, err := r.ChangePassword(ctx, "wang", password, "another horse battery", Actor{})
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := open(t)
			at(r, now)
			a, password := person(t, r, "wang", Grant{Officer, "371721"})
			secret, err := r.OpenSession(t.Context(), a.ID, time.Hour, "password", Actor{Address: "192.0.2.9"})
			if err != nil {
				t.Fatal(err)
			}
			before, err := r.AccountRev(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s, err := r.FindSession(t.Context(), secret)
			if err != nil || s.Account.Name != "wang" || s.Account.Grant != (Grant{Officer, "371721"}) {
				t.Fatalf("got %+v and %v, want wang's session", s, err)
			}
			if err := tt.end(t.Context(), r, password, secret); err != nil {
				t.Fatal(err)
			}
			if _, err := r.FindSession(t.Context(), secret); !errors.Is(err, ErrNoSession) {
				t.Errorf("afterwards: got %v, want ErrNoSession", err)
			}
			if after, err := r.AccountRev(t.Context()); err != nil || after == before && tt.name != "by themselves" {
				t.Errorf("revision: got %d then and %d now (%v), want it to grow, so that open connections are looked at", before, after, err)
			}
		})
	}
}

func TestADisabledAccountOpensNoSession(t *testing.T) {
	r := open(t)
	a, _ := person(t, r, "wang", Grant{Viewer, "37"})
	if err := r.DisableAccount(t.Context(), "wang", admin); err != nil {
		t.Fatal(err)
	}
	if _, err := r.OpenSession(t.Context(), a.ID, time.Hour, "password", Actor{}); !errors.Is(err, ErrSignIn) {
		t.Errorf("got %v, want ErrSignIn", err)
	}
	if err := r.EnableAccount(t.Context(), "wang", admin); err != nil {
		t.Fatal(err)
	}
	if _, err := r.OpenSession(t.Context(), a.ID, time.Hour, "password", Actor{}); err != nil {
		t.Errorf("enabled again: got %v, want a session", err)
	}
}

func TestAPITokens(t *testing.T) {
	r := open(t)
	now := time.Date(2026, 3, 9, 4, 0, 0, 0, time.UTC)
	at(r, now)
	token, issued, err := r.IssueAPIToken(t.Context(), "大屏", Grant{Viewer, "3717"}, now.Add(time.Hour), admin)
	if err != nil || !strings.HasPrefix(token, TokenPrefix) {
		t.Fatalf("got %q and %v, want a token", token, err)
	}
	if found, err := r.FindAPIToken(t.Context(), token); err != nil || found.Grant != (Grant{Viewer, "3717"}) || found.Name != "大屏" {
		t.Errorf("got %+v and %v, want the token's role", found, err)
	}
	at(r, now.Add(time.Hour))
	if _, err := r.FindAPIToken(t.Context(), token); !errors.Is(err, ErrUnknownToken) {
		t.Errorf("when it is over: got %v, want ErrUnknownToken", err)
	}
	at(r, now)
	for range 2 { // the second time changes nothing
		if err := r.RevokeAPIToken(t.Context(), issued.ID, admin); err != nil {
			t.Fatal(err)
		}
		at(r, now.Add(time.Minute))
	}
	if _, err := r.FindAPIToken(t.Context(), token); !errors.Is(err, ErrUnknownToken) {
		t.Errorf("revoked: got %v, want ErrUnknownToken", err)
	}
	all, err := r.APITokens(t.Context())
	if err != nil || len(all) != 1 || !all[0].Revoked.Equal(now) {
		t.Errorf("list: got %+v and %v, want the one, revoked at %s", all, err, now)
	}
	for _, tt := range []struct {
		name    string
		label   string
		grant   Grant
		expires time.Time
	}{
		{"without a name", " ", Grant{Viewer, "37"}, time.Time{}},
		{"over already", "x", Grant{Viewer, "37"}, now},
		{"of no division", "x", Grant{Viewer, "99"}, time.Time{}},
	} {
		if _, _, err := r.IssueAPIToken(t.Context(), tt.label, tt.grant, tt.expires, admin); !errors.Is(err, ErrBadAccount) {
			t.Errorf("a token %s: got %v, want ErrBadAccount", tt.name, err)
		}
	}
	if err := r.RevokeAPIToken(t.Context(), 99, admin); !errors.Is(err, ErrUnknownToken) {
		t.Errorf("revoke one that is not there: got %v, want ErrUnknownToken", err)
	}
}

func TestVouchedPeople(t *testing.T) {
	r := open(t)
	v := Vouched{Issuer: "https://id.example/realm", Subject: "s-1", Name: "zhao", FullName: "赵", Grant: Grant{Officer, "3717"}}
	a, err := r.SignInVouched(t.Context(), v, Actor{Address: "192.0.2.9"})
	if err != nil || a.Name != "zhao@id.example" || a.Local() {
		t.Fatalf("the first time: got %+v and %v, want zhao@id.example", a, err)
	}
	v.Grant = Grant{Viewer, "37"}
	again, err := r.SignInVouched(t.Context(), v, Actor{})
	if err != nil || again.ID != a.ID || again.Grant != v.Grant {
		t.Errorf("with another role: got %+v and %v, want the same account with it", again, err)
	}
	other := v
	other.Subject = "s-2"
	if _, err := r.SignInVouched(t.Context(), other, Actor{}); !errors.Is(err, ErrAccountExists) {
		t.Errorf("another person of that name: got %v, want ErrAccountExists", err)
	}
	v.Grant = Grant{Operator, "NOBODY"}
	if _, err := r.SignInVouched(t.Context(), v, Actor{}); !errors.Is(err, ErrBadAccount) {
		t.Errorf("a role for an operator that is not there: got %v, want ErrBadAccount", err)
	}
	if err := r.DisableAccount(t.Context(), a.Name, admin); err != nil {
		t.Fatal(err)
	}
	v.Grant = Grant{Viewer, "37"}
	if _, err := r.SignInVouched(t.Context(), v, Actor{}); !errors.Is(err, ErrSignIn) {
		t.Errorf("disabled here: got %v, want ErrSignIn", err)
	}
	if _, err := r.ResetPassword(t.Context(), a.Name, admin); !errors.Is(err, ErrBadAccount) {
		t.Errorf("a password for it: got %v, want ErrBadAccount", err)
	}
}

func TestEveryChangeIsWrittenDown(t *testing.T) {
	r := open(t)
	a, _ := person(t, r, "wang", Grant{Viewer, "37"})
	secret, err := r.OpenSession(t.Context(), a.ID, time.Hour, "password", Actor{Address: "192.0.2.9"})
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := r.IssueAPIToken(t.Context(), "大屏", Grant{Viewer, "37"}, time.Time{}, admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range []func() error{
		func() error { return r.CloseSession(t.Context(), secret, Actor{Name: "wang"}) },
		func() error { return r.SetGrant(t.Context(), "wang", Grant{Officer, "3717"}, admin) },
		func() error { _, err := r.ResetPassword(t.Context(), "wang", admin); return err },
		func() error { return r.DisableAccount(t.Context(), "wang", admin) },
		func() error { return r.EnableAccount(t.Context(), "wang", admin) },
		func() error { return r.RevokeAPIToken(t.Context(), token.ID, admin) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	notes, err := r.AccountLog(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range notes {
		if n.At.IsZero() {
			t.Errorf("%+v has no time", n)
		}
		got = append(got, strings.TrimSpace(fmt.Sprintln(n.Who, n.Action, n.About, n.Detail)))
	}
	want := []string{
		"root revoke token 1 大屏", "root enable wang", "root disable wang", "root reset wang", "root grant wang viewer:37 to officer:3717",
		"wang sign_out wang", "root token token 1 大屏, viewer:37", "wang sign_in wang password", "wang password wang", "root add wang viewer:37",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got, newest first:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	older, err := r.AccountLog(t.Context(), notes[3].ID, 2)
	if err != nil || len(older) != 2 || older[0].ID != notes[4].ID {
		t.Errorf("a page of two before %d: got %+v and %v", notes[3].ID, older, err)
	}
}
