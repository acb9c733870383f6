package registry

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrUnknownToken is the answer to a token that lets nobody in.
var ErrUnknownToken = errors.New("unknown token")

// An APIToken lets a program in. It is shown once; its SHA-256 is kept.
type APIToken struct {
	ID   int64
	Name string // what it is for
	Grant
	Created time.Time // UTC
	Expires time.Time // UTC; zero: never
	Revoked time.Time // UTC; zero while it holds
}

// Label is how the log names the token.
func (t *APIToken) Label() string { return fmt.Sprintf("token %d", t.ID) }

// TokenPrefix begins every API token, so that one that has leaked can be found by its looks.
const TokenPrefix = "pw_"

// IssueAPIToken makes a token with a role; expires may be zero. ErrBadAccount.
func (r *Registry) IssueAPIToken(ctx context.Context, name string, grant Grant, expires time.Time, by Actor) (token string, t APIToken, err error) {
	secret, _ := newSecret()
	token = TokenPrefix + secret
	sum := sha256.Sum256([]byte(token))
	t = APIToken{Name: strings.TrimSpace(name), Grant: grant, Created: r.now().UTC().Truncate(time.Millisecond), Expires: expires}
	err = r.inAccounts(ctx, func(tx *sql.Tx) error {
		if n := utf8.RuneCountInString(t.Name); n == 0 || n > maxFullName {
			return fmt.Errorf("%w: a token's name says what it is for, in up to %d characters", ErrBadAccount, maxFullName)
		}
		if !expires.IsZero() && !expires.After(t.Created) {
			return fmt.Errorf("%w: the token would be over already", ErrBadAccount)
		}
		if err := grant.check(ctx, tx); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, "INSERT INTO api_tokens (name, role, scope, sha256, created, expires) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
			t.Name, string(grant.Role), grant.Scope, sum[:], millis(t.Created), millis(expires)).Scan(&t.ID)
		if err != nil {
			return err
		}
		return r.note(ctx, tx, by, "token", t.Label(), t.Name+", "+grant.String())
	})
	if err != nil {
		return "", APIToken{}, fmt.Errorf("issue token: %w", err)
	}
	return token, t, nil
}

const tokenColumns = "id, name, role, scope, created, expires, revoked" //nolint:gosec // columns

func scanToken(row interface{ Scan(dest ...any) error }) (t APIToken, err error) {
	var created, expires, revoked sql.NullInt64
	err = row.Scan(&t.ID, &t.Name, &t.Role, &t.Scope, &created, &expires, &revoked)
	t.Created, t.Expires, t.Revoked = fromMillis(created, time.UTC), fromMillis(expires, time.UTC), fromMillis(revoked, time.UTC)
	return t, err
}

// APITokens lists all, the revoked ones too, by id.
func (r *Registry) APITokens(ctx context.Context) ([]APIToken, error) {
	all := []APIToken{}
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		t, err := scanToken(rows)
		all = append(all, t)
		return err
	}, "SELECT "+tokenColumns+" FROM api_tokens ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return all, nil
}

// FindAPIToken tells whose token this is. ErrUnknownToken where it is nobody's, over or revoked.
func (r *Registry) FindAPIToken(ctx context.Context, token string) (APIToken, error) {
	sum := sha256.Sum256([]byte(token))
	t, err := scanToken(r.read.QueryRowContext(ctx, "SELECT "+tokenColumns+` FROM api_tokens
		WHERE sha256 = ?1 AND revoked IS NULL AND (expires IS NULL OR expires > ?2)`, sum[:], millis(r.now())))
	if errors.Is(err, sql.ErrNoRows) {
		return APIToken{}, ErrUnknownToken
	}
	if err != nil {
		return APIToken{}, fmt.Errorf("find token: %w", err)
	}
	return t, nil
}

// RevokeAPIToken ends a token; one that is revoked keeps its first date. ErrUnknownToken.
func (r *Registry) RevokeAPIToken(ctx context.Context, id int64, by Actor) error {
	err := r.inAccounts(ctx, func(tx *sql.Tx) error {
		t, err := scanToken(tx.QueryRowContext(ctx, "SELECT "+tokenColumns+" FROM api_tokens WHERE id = ?", id))
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w %d", ErrUnknownToken, id)
		}
		if err != nil || !t.Revoked.IsZero() {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE api_tokens SET revoked = ? WHERE id = ?", millis(r.now()), id); err != nil {
			return err
		}
		return r.note(ctx, tx, by, "revoke", t.Label(), t.Name)
	})
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}
