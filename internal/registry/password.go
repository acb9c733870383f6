package registry

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
)

// How passwords are kept: OWASP's Password Storage Cheat Sheet names these for argon2id.
var hashing = &argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

const (
	minPassword = 12  // characters
	maxPassword = 128 // characters; more would be work for nothing
	triesBefore = 5   // wrong passwords before an account is locked
	lockFor     = 15 * time.Minute
	hashAtOnce  = 2 // each takes 19 MiB and a core
)

// someHash is compared with where there is no account, so that an unknown name takes as long.
const someHash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$m4Q0xLhLJzpS4pPfGkW0vJ0m0Jm3Gd7p0m3m1x9lqfA"

func (r *Registry) hashPassword(ctx context.Context, password string) (string, error) {
	if err := r.hashes.Acquire(ctx, 1); err != nil {
		return "", err
	}
	defer r.hashes.Release(1)
	hash, err := argon2id.CreateHash(password, hashing)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return hash, nil
}

func (r *Registry) isPassword(ctx context.Context, password, hash string) (bool, error) {
	if err := r.hashes.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer r.hashes.Release(1)
	same, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("compare password: %w", err)
	}
	return same, nil
}

// newPassword is one that somebody is told and has to change: 80 random bits in groups of four.
func newPassword() string {
	text := strings.ToLower(rand.Text()[:16])
	return text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
}

// checkPassword refuses one that is easily guessed. ErrBadPassword.
func checkPassword(name, password string) error {
	switch n := utf8.RuneCountInString(password); {
	case n < minPassword || n > maxPassword:
		return fmt.Errorf("%w: want %d to %d characters", ErrBadPassword, minPassword, maxPassword)
	case strings.Contains(strings.ToLower(password), strings.ToLower(name)):
		return fmt.Errorf("%w: it holds the account's name", ErrBadPassword)
	}
	different := map[rune]bool{}
	for _, c := range password {
		different[c] = true
	}
	if len(different) < minPassword/2 {
		return fmt.Errorf("%w: want at least %d different characters", ErrBadPassword, minPassword/2)
	}
	return nil
}

// passwordOf reads what a sign-in is compared with; of an unknown name that nothing matches.
func (r *Registry) passwordOf(ctx context.Context, name string) (a Account, hash string, err error) {
	a, err = scanAccount(r.read.QueryRowContext(ctx, "SELECT "+accountColumns+", a.password FROM accounts a WHERE a.name = ?", name), &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return Account{}, "", nil
	}
	return a, hash, err
}

// SignIn tells whose name and password these are. After five wrong passwords the account is locked
// for a quarter of an hour, for the right one too. Whether a name is known cannot be told from the
// answer or the time it takes: ErrSignIn is all that is said of a wrong name, a wrong password, a
// locked and a disabled account.
func (r *Registry) SignIn(ctx context.Context, name, password string, by Actor) (Account, error) {
	a, hash, err := r.passwordOf(ctx, name)
	if err != nil {
		return Account{}, fmt.Errorf("sign in: %w", err)
	}
	known := hash != ""
	if !known {
		hash = someHash
	}
	if utf8.RuneCountInString(password) > maxPassword {
		password = "" // nobody's
	}
	right, err := r.isPassword(ctx, password, hash)
	if err != nil {
		return Account{}, fmt.Errorf("sign in: %w", err)
	}
	if !known {
		return Account{}, ErrSignIn
	}
	allowed := false
	err = r.inWrite(ctx, func(tx *sql.Tx) error {
		var locked, disabled sql.NullInt64
		var now string
		var failed int
		err := tx.QueryRowContext(ctx, "SELECT locked_until, disabled, password, failed FROM accounts WHERE id = ?", a.ID).
			Scan(&locked, &disabled, &now, &failed)
		switch {
		case err != nil:
			return err
		case disabled.Valid, now != hash, locked.Valid && locked.Int64 > r.now().UnixMilli():
			return nil
		case right:
			allowed = true
			_, err := tx.ExecContext(ctx, "UPDATE accounts SET failed = 0, locked_until = NULL WHERE id = ?", a.ID)
			return err
		}
		if failed++; failed < triesBefore {
			_, err := tx.ExecContext(ctx, "UPDATE accounts SET failed = ? WHERE id = ?", failed, a.ID)
			return err
		}
		until := r.now().Add(lockFor)
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET failed = 0, locked_until = ? WHERE id = ?", millis(until), a.ID); err != nil {
			return err
		}
		return r.note(ctx, tx, Actor{Name: "", Address: by.Address}, "lock", a.Name, fmt.Sprintf("%d wrong passwords", triesBefore))
	})
	switch {
	case err != nil:
		return Account{}, fmt.Errorf("sign in: %w", err)
	case !allowed:
		return Account{}, ErrSignIn
	}
	return a, nil
}

// ChangePassword lets a person choose a password and ends the account's sessions: whoever knew the
// old one is out. A wrong old password counts as a wrong sign-in. ErrSignIn, ErrBadPassword.
func (r *Registry) ChangePassword(ctx context.Context, name, old, chosen string, by Actor) (Account, error) {
	a, err := r.SignIn(ctx, name, old, by)
	if err != nil {
		return Account{}, err
	}
	if err := checkPassword(a.Name, chosen); err != nil {
		return Account{}, err
	}
	if old == chosen {
		return Account{}, fmt.Errorf("%w: it is the old one", ErrBadPassword)
	}
	hash, err := r.hashPassword(ctx, chosen)
	if err == nil {
		err = r.changeAccount(ctx, name, "password", by, func(*Account) (string, []any, error) {
			return "password = ?, must_change = 0", []any{hash}, nil
		})
	}
	if err != nil {
		return Account{}, fmt.Errorf("change password: %w", err)
	}
	a.MustChange = false
	return a, nil
}
