package registry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// A Credential lets an operator's platform, or one pile, sign in to the gateway. Its token is
// shown once, when it is issued; the registry keeps only the token's SHA-256.
type Credential struct {
	ID       int64
	Operator charge.OperatorID
	Pile     string    // "": the whole operator
	Created  time.Time // UTC
	Revoked  time.Time // UTC; zero while it holds
}

// Username is what goes with the token: the operator's id, or "{operator}:{pile}".
func (c Credential) Username() string {
	if c.Pile == "" {
		return string(c.Operator)
	}
	return string(c.Operator) + ":" + c.Pile
}

// IssueCredential makes a token of 256 random bits, base64url without padding, for a registered
// operator or one of its registered piles. An operator may hold several at once, so that one can
// be replaced without a gap. ErrUnknownOperator, ErrUnknownPile.
func (r *Registry) IssueCredential(ctx context.Context, op charge.OperatorID, pile string) (token string, c Credential, err error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	token = base64.RawURLEncoding.EncodeToString(secret)
	hash := sha256.Sum256([]byte(token))
	c = Credential{Operator: op, Pile: pile, Created: r.now().UTC().Truncate(time.Millisecond)}
	err = r.inWrite(ctx, func(tx *sql.Tx) error {
		var one int
		err := tx.QueryRowContext(ctx, "SELECT 1 FROM operators WHERE operator = ?", string(op)).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w %s", ErrUnknownOperator, op)
		}
		if err != nil {
			return err
		}
		if pile != "" {
			err := tx.QueryRowContext(ctx, "SELECT 1 FROM piles WHERE operator = ? AND pile = ?", string(op), pile).Scan(&one)
			if errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("%w %s:%s", ErrUnknownPile, op, pile)
			}
			if err != nil {
				return err
			}
		}
		if _, err := nextRev(ctx, tx, "credentials"); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "INSERT INTO credentials (operator, pile, sha256, created) VALUES (?, ?, ?, ?) RETURNING id",
			string(op), pile, hash[:], millis(c.Created)).Scan(&c.ID)
	})
	if err != nil {
		return "", Credential{}, fmt.Errorf("issue credential: %w", err)
	}
	return token, c, nil
}

// Credentials lists all credentials, the revoked ones too, by id.
func (r *Registry) Credentials(ctx context.Context) ([]Credential, error) {
	var all []Credential
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var c Credential
		var created, revoked sql.NullInt64
		if err := rows.Scan(&c.ID, &c.Operator, &c.Pile, &created, &revoked); err != nil {
			return err
		}
		c.Created, c.Revoked = fromMillis(created, time.UTC), fromMillis(revoked, time.UTC)
		all = append(all, c)
		return nil
	}, "SELECT id, operator, pile, created, revoked FROM credentials ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	return all, nil
}

// RevokeCredential ends a credential; Directory refuses it from its next refresh on. A credential
// that is revoked already keeps its first date. ErrUnknownCredential.
func (r *Registry) RevokeCredential(ctx context.Context, id int64) error {
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		var revoked sql.NullInt64
		err := tx.QueryRowContext(ctx, "SELECT revoked FROM credentials WHERE id = ?", id).Scan(&revoked)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w %d", ErrUnknownCredential, id)
		}
		if err != nil || revoked.Valid {
			return err
		}
		if _, err := nextRev(ctx, tx, "credentials"); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE credentials SET revoked = ? WHERE id = ?", millis(r.now()), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("revoke credential: %w", err)
	}
	return nil
}
