package registry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNoSession is the answer to a cookie that signs nobody in.
var ErrNoSession = errors.New("no such session")

// A Session is a sign-in that holds.
type Session struct {
	Account Account // the zero one: whoever had the token of the data directory
	Token   []byte  // of that token, the SHA-256
	Expires time.Time
}

func newSecret() (secret string, sum [32]byte) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	secret = base64.RawURLEncoding.EncodeToString(random)
	return secret, sha256.Sum256([]byte(secret))
}

// OpenSession signs an account in for a while and gives what its browser keeps. Sessions that are
// over are cleared on the way. ErrSignIn where the account has been disabled.
func (r *Registry) OpenSession(ctx context.Context, account int64, lasts time.Duration, how string, by Actor) (secret string, err error) {
	secret, sum := newSecret()
	err = r.openSession(ctx, sum, lasts, func(tx *sql.Tx) (any, any, error) {
		var name string
		err := tx.QueryRowContext(ctx, "SELECT name FROM accounts WHERE id = ? AND disabled IS NULL", account).Scan(&name)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil, ErrSignIn
		}
		if err != nil {
			return nil, nil, err
		}
		return account, nil, r.note(ctx, tx, Actor{name, by.Address}, "sign_in", name, how)
	})
	return secret, err
}

// OpenTokenSession signs in whoever has the token of the data directory, while it is that one.
func (r *Registry) OpenTokenSession(ctx context.Context, token [32]byte, lasts time.Duration, by Actor) (secret string, err error) {
	secret, sum := newSecret()
	err = r.openSession(ctx, sum, lasts, func(tx *sql.Tx) (any, any, error) {
		return nil, token[:], r.note(ctx, tx, by, "sign_in", by.Name, "token file")
	})
	return secret, err
}

func (r *Registry) openSession(ctx context.Context, sum [32]byte, lasts time.Duration, whose func(*sql.Tx) (account, token any, err error)) error {
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		account, token, err := whose(tx)
		if err != nil {
			return err
		}
		now := r.now()
		if _, err := tx.ExecContext(ctx, "DELETE FROM account_sessions WHERE expires <= ?", millis(now)); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO account_sessions (sha256, account, token, created, expires) VALUES (?, ?, ?, ?, ?)",
			sum[:], account, token, millis(now), millis(now.Add(lasts)))
		return err
	})
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	return nil
}

// FindSession tells who is signed in with a cookie's secret. ErrNoSession.
func (r *Registry) FindSession(ctx context.Context, secret string) (s Session, err error) {
	sum := sha256.Sum256([]byte(secret))
	var account, expires sql.NullInt64
	err = r.read.QueryRowContext(ctx, "SELECT account, token, expires FROM account_sessions WHERE sha256 = ? AND expires > ?", sum[:], millis(r.now())).
		Scan(&account, &s.Token, &expires)
	if err == nil && account.Valid {
		s.Account, err = scanAccount(r.read.QueryRowContext(ctx,
			"SELECT "+accountColumns+" FROM accounts a WHERE a.id = ? AND a.disabled IS NULL", account.Int64))
	}
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, ErrNoSession
	}
	if err != nil {
		return Session{}, fmt.Errorf("find session: %w", err)
	}
	s.Expires = fromMillis(expires, time.UTC)
	return s, nil
}

// CloseSession ends a sign-in; one that is over already is none.
func (r *Registry) CloseSession(ctx context.Context, secret string, by Actor) error {
	sum := sha256.Sum256([]byte(secret))
	err := r.inAccounts(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, "DELETE FROM account_sessions WHERE sha256 = ?", sum[:])
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return r.note(ctx, tx, by, "sign_out", by.Name, "")
	})
	if err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}

// A Vouched person is one whom an OpenID Connect provider has named.
type Vouched struct {
	Issuer, Subject string
	Name            string // what it calls the person
	FullName        string
	Grant           Grant
}

// SignInVouched gives the account of a person whom a provider has named, makes it at the first time,
// and brings its name and its role up to date. ErrSignIn where it is disabled; ErrBadAccount where
// what the role is for is not registered.
func (r *Registry) SignInVouched(ctx context.Context, v Vouched, by Actor) (a Account, err error) {
	err = r.inAccounts(ctx, func(tx *sql.Tx) error {
		if v.Issuer == "" || v.Subject == "" {
			return fmt.Errorf("%w: the provider names nobody", ErrBadAccount)
		}
		if err := v.Grant.check(ctx, tx); err != nil {
			return err
		}
		name, fullName := vouchedName(v), clipRunes(v.FullName, maxFullName)
		a, err = scanAccount(tx.QueryRowContext(ctx, "SELECT "+accountColumns+" FROM accounts a WHERE a.issuer = ? AND a.subject = ?", v.Issuer, v.Subject))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			a = Account{Name: name, FullName: fullName, Grant: v.Grant, Issuer: v.Issuer, Created: r.now().UTC().Truncate(time.Millisecond)}
			err = tx.QueryRowContext(ctx, `INSERT INTO accounts (name, full_name, role, scope, password, must_change, issuer, subject, demo, failed, created)
				VALUES (?, ?, ?, ?, '', 0, ?, ?, 0, 0, ?) ON CONFLICT (name) DO NOTHING RETURNING id`,
				name, fullName, string(v.Grant.Role), v.Grant.Scope, v.Issuer, v.Subject, millis(a.Created)).Scan(&a.ID)
			if errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("%w: %s is somebody else's at the same provider", ErrAccountExists, name)
			}
			if err != nil {
				return err
			}
			return r.note(ctx, tx, Actor{name, by.Address}, "add", name, v.Grant.String()+" by "+v.Issuer)
		case err != nil:
			return err
		case !a.Disabled.IsZero():
			return ErrSignIn
		case a.Grant == v.Grant && a.FullName == fullName:
			return nil
		}
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET full_name = ?, role = ?, scope = ? WHERE id = ?",
			fullName, string(v.Grant.Role), v.Grant.Scope, a.ID); err != nil {
			return err
		}
		before := a.Grant
		a.Grant, a.FullName = v.Grant, fullName
		if before == v.Grant {
			return nil
		}
		return r.note(ctx, tx, Actor{a.Name, by.Address}, "grant", a.Name, before.String()+" to "+v.Grant.String()+" by "+v.Issuer)
	})
	if err != nil {
		return Account{}, fmt.Errorf("sign in by %s: %w", v.Issuer, err)
	}
	return a, nil
}

// vouchedName has an @ in it, which no local name has: a provider cannot take a local account over.
func vouchedName(v Vouched) string {
	name := strings.Map(func(c rune) rune {
		if c <= ' ' || c == 0x7f || c == 0xfffd {
			return -1
		}
		return c
	}, v.Name)
	if name == "" {
		name = v.Subject
	}
	if !strings.Contains(name, "@") {
		host := strings.TrimPrefix(strings.TrimPrefix(v.Issuer, "https://"), "http://")
		host, _, _ = strings.Cut(host, "/")
		name += "@" + host
	}
	return clipRunes(name, maxFullName)
}

func clipRunes(s string, atMost int) string {
	if runes := []rune(s); len(runes) > atMost {
		return string(runes[:atMost])
	}
	return s
}
