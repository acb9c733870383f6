package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"pilewatch/internal/charge"
)

// Errors of accounts that callers tell apart.
var (
	ErrUnknownAccount = errors.New("unknown account")
	ErrAccountExists  = errors.New("an account has this name already")
	ErrBadAccount     = errors.New("bad account")
	ErrBadPassword    = errors.New("bad password")
	ErrSignIn         = errors.New("the name or the password is wrong, or the account is locked after several wrong ones")
)

// A Role is what an account or a token may do (design: "Dashboard", roles).
type Role string

// The roles. The scope of an admin is everything, of an operator its id, of the others a division.
const (
	Viewer   Role = "viewer"
	Officer  Role = "officer"
	Reviewer Role = "reviewer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// roles are all of them, the one that may least first.
var roles = []Role{Viewer, Officer, Reviewer, Operator, Admin}

// A Grant is a role with what it holds for.
type Grant struct {
	Role  Role
	Scope string // a division's code, an operator's id, "" of an admin
}

func (g Grant) String() string {
	if g.Scope == "" {
		return string(g.Role)
	}
	return string(g.Role) + ":" + g.Scope
}

// ParseGrant reads "admin", "officer:371721" or "operator:MA3CLQP01". Whether the division or the
// operator is registered is asked when the grant is used. ErrBadAccount.
func ParseGrant(text string) (Grant, error) {
	role, scope, _ := strings.Cut(text, ":")
	g := Grant{Role(role), scope}
	switch {
	case !slices.Contains(roles, g.Role):
		return g, fmt.Errorf("%w: role %s is none of viewer, officer, reviewer, operator, admin", ErrBadAccount, quote(role))
	case g.Role == Admin && scope != "":
		return g, fmt.Errorf("%w: an admin has no scope", ErrBadAccount)
	case g.Role == Operator && !charge.ValidID(scope):
		return g, fmt.Errorf("%w: an operator's scope is its id, not %s", ErrBadAccount, quote(scope))
	case g.Role != Operator && g.Role != Admin:
		if _, err := charge.ParseDivisionCode(scope); err != nil {
			return g, fmt.Errorf("%w: the scope of %s is a division: %w", ErrBadAccount, g.Role, err)
		}
	}
	return g, nil
}

// check asks whether what the grant is for is registered.
func (g Grant) check(ctx context.Context, q querier) error {
	if _, err := ParseGrant(g.String()); err != nil {
		return err
	}
	table, what := "SELECT count(*) FROM divisions WHERE code = ?", "division"
	switch g.Role {
	case Admin:
		return nil
	case Operator:
		table, what = "SELECT count(*) FROM operators WHERE operator = ?", "operator"
	}
	var n int
	if err := q.QueryRowContext(ctx, table, g.Scope).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("%w: no %s %s is registered", ErrBadAccount, what, g.Scope)
	}
	return nil
}

// An Account is a person who may sign in.
type Account struct {
	ID       int64
	Name     string // what the person signs in with; letters in either case are the same
	FullName string
	Grant
	MustChange  bool   // the password first
	Issuer      string // of OpenID Connect; "": a local account
	Demo        bool
	LockedUntil time.Time // UTC; in the past, or zero, when it is not locked
	Created     time.Time // UTC
	Disabled    time.Time // UTC; zero while it may sign in
}

// Local tells whether the account has a password here.
func (a *Account) Local() bool { return a.Issuer == "" }

// An Actor is who changes something.
type Actor struct {
	Name    string // as it stands in the log
	Address string // where from; "" from the shell
}

var accountName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,31}$`)

const maxFullName = 64 // characters

// AddAccount makes a local account with a password to be changed at the first sign-in, and gives the
// password, once. ErrAccountExists, ErrBadAccount.
func (r *Registry) AddAccount(ctx context.Context, name, fullName string, grant Grant, by Actor) (password string, a Account, err error) {
	password = newPassword()
	a, err = r.addAccount(ctx, Account{Name: name, FullName: strings.TrimSpace(fullName), Grant: grant, MustChange: true}, password, by)
	return password, a, err
}

// EnsureDemoAccount makes an account that anyone may sign in with by a click, unless it is there.
// ErrAccountExists where the name is a person's.
func (r *Registry) EnsureDemoAccount(ctx context.Context, name, fullName string, grant Grant) error {
	found, err := r.Account(ctx, name)
	switch {
	case err == nil && found.Demo:
		return nil
	case err == nil:
		return fmt.Errorf("add demo account: %w: %s", ErrAccountExists, name)
	case !errors.Is(err, ErrUnknownAccount):
		return err
	}
	_, err = r.addAccount(ctx, Account{Name: name, FullName: fullName, Grant: grant, Demo: true}, "", Actor{Name: "demo"})
	return err
}

func (r *Registry) addAccount(ctx context.Context, a Account, password string, by Actor) (Account, error) {
	a.Created = r.now().UTC().Truncate(time.Millisecond)
	var hash string
	if password != "" { // before the lock is taken: it takes a while
		var err error
		if hash, err = r.hashPassword(ctx, password); err != nil {
			return Account{}, fmt.Errorf("add account: %w", err)
		}
	}
	err := r.inAccounts(ctx, func(tx *sql.Tx) error {
		if !accountName.MatchString(a.Name) {
			return fmt.Errorf("%w: name %s: want 2 to 32 letters, digits, points, hyphens or underscores", ErrBadAccount, quote(a.Name))
		}
		if utf8.RuneCountInString(a.FullName) > maxFullName {
			return fmt.Errorf("%w: full name over %d characters", ErrBadAccount, maxFullName)
		}
		if err := a.check(ctx, tx); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, `INSERT INTO accounts (name, full_name, role, scope, password, must_change, issuer, subject, demo, failed, created)
			VALUES (?, ?, ?, ?, ?, ?, '', '', ?, 0, ?) ON CONFLICT (name) DO NOTHING RETURNING id`,
			a.Name, a.FullName, string(a.Role), a.Scope, hash, a.MustChange, a.Demo, millis(a.Created)).Scan(&a.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: %s", ErrAccountExists, a.Name)
		}
		if err != nil {
			return err
		}
		return r.note(ctx, tx, by, "add", a.Name, a.String())
	})
	if err != nil {
		return Account{}, fmt.Errorf("add account: %w", err)
	}
	return a, nil
}

const accountColumns = "a.id, a.name, a.full_name, a.role, a.scope, a.must_change, a.issuer, a.demo, a.locked_until, a.created, a.disabled"

// scanAccount reads accountColumns, and what follows them into more.
func scanAccount(row interface{ Scan(dest ...any) error }, more ...any) (a Account, err error) {
	var locked, created, disabled sql.NullInt64
	err = row.Scan(append([]any{
		&a.ID, &a.Name, &a.FullName, &a.Role, &a.Scope, &a.MustChange, &a.Issuer, &a.Demo, &locked, &created, &disabled,
	}, more...)...)
	a.LockedUntil, a.Created, a.Disabled = fromMillis(locked, time.UTC), fromMillis(created, time.UTC), fromMillis(disabled, time.UTC)
	return a, err
}

// Account finds one by its name. ErrUnknownAccount.
func (r *Registry) Account(ctx context.Context, name string) (Account, error) {
	a, err := scanAccount(r.read.QueryRowContext(ctx, "SELECT "+accountColumns+" FROM accounts a WHERE a.name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		return a, fmt.Errorf("%w %s", ErrUnknownAccount, quote(name))
	}
	if err != nil {
		return a, fmt.Errorf("read account: %w", err)
	}
	return a, nil
}

// Accounts lists all, the disabled ones too, by name.
func (r *Registry) Accounts(ctx context.Context) ([]Account, error) {
	all := []Account{}
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		a, err := scanAccount(rows)
		all = append(all, a)
		return err
	}, "SELECT "+accountColumns+" FROM accounts a ORDER BY a.name")
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return all, nil
}

// ResetPassword gives a local account a new password, to be changed at the next sign-in, unlocks it
// and ends its sessions. ErrUnknownAccount, ErrBadAccount.
func (r *Registry) ResetPassword(ctx context.Context, name string, by Actor) (password string, err error) {
	password = newPassword()
	hash, err := r.hashPassword(ctx, password)
	if err == nil {
		err = r.changeAccount(ctx, name, "reset", by, func(a *Account) (string, []any, error) {
			if !a.Local() || a.Demo {
				return "", nil, fmt.Errorf("%w: %s has no password here", ErrBadAccount, a.Name)
			}
			return "password = ?, must_change = 1, failed = 0, locked_until = NULL", []any{hash}, nil
		})
	}
	if err != nil {
		return "", fmt.Errorf("reset password: %w", err)
	}
	return password, nil
}

// DisableAccount keeps an account from signing in and ends its sessions. ErrUnknownAccount.
func (r *Registry) DisableAccount(ctx context.Context, name string, by Actor) error {
	err := r.changeAccount(ctx, name, "disable", by, func(*Account) (string, []any, error) {
		return "disabled = coalesce(disabled, ?)", []any{millis(r.now())}, nil
	})
	if err != nil {
		return fmt.Errorf("disable account: %w", err)
	}
	return nil
}

// EnableAccount lets a disabled account sign in again, with the password that it had. ErrUnknownAccount.
func (r *Registry) EnableAccount(ctx context.Context, name string, by Actor) error {
	err := r.changeAccount(ctx, name, "enable", by, func(*Account) (string, []any, error) {
		return "disabled = NULL, failed = 0, locked_until = NULL", nil, nil
	})
	if err != nil {
		return fmt.Errorf("enable account: %w", err)
	}
	return nil
}

// SetGrant gives an account another role or scope; its sessions go on with it. ErrUnknownAccount, ErrBadAccount.
func (r *Registry) SetGrant(ctx context.Context, name string, grant Grant, by Actor) error {
	err := r.inAccounts(ctx, func(tx *sql.Tx) error {
		if err := grant.check(ctx, tx); err != nil {
			return err
		}
		a, err := accountForChange(ctx, tx, name)
		if err != nil || a.Grant == grant {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET role = ?, scope = ? WHERE id = ?", string(grant.Role), grant.Scope, a.ID); err != nil {
			return err
		}
		return r.note(ctx, tx, by, "grant", a.Name, a.String()+" to "+grant.String())
	})
	if err != nil {
		return fmt.Errorf("change role: %w", err)
	}
	return nil
}

func accountForChange(ctx context.Context, tx *sql.Tx, name string) (Account, error) {
	a, err := scanAccount(tx.QueryRowContext(ctx, "SELECT "+accountColumns+" FROM accounts a WHERE a.name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		return a, fmt.Errorf("%w %s", ErrUnknownAccount, quote(name))
	}
	return a, err
}

// changeAccount sets columns of an account, ends its sessions and writes both down.
func (r *Registry) changeAccount(ctx context.Context, name, action string, by Actor, change func(*Account) (set string, args []any, err error)) error {
	return r.inAccounts(ctx, func(tx *sql.Tx) error {
		a, err := accountForChange(ctx, tx, name)
		if err != nil {
			return err
		}
		set, args, err := change(&a)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET "+set+" WHERE id = ?", append(args, a.ID)...); err != nil { //nolint:gosec // set is one of this file's and password.go's own
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM account_sessions WHERE account = ?", a.ID); err != nil {
			return err
		}
		return r.note(ctx, tx, by, action, a.Name, "")
	})
}

// inAccounts runs a change after which somebody's rights may be others.
func (r *Registry) inAccounts(ctx context.Context, fn func(*sql.Tx) error) error {
	return r.inWrite(ctx, func(tx *sql.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE account_revision SET rev = rev + 1")
		return err
	})
}

// AccountRev grows when somebody's rights may be others than before.
func (r *Registry) AccountRev(ctx context.Context) (rev int64, err error) {
	if err := r.read.QueryRowContext(ctx, "SELECT rev FROM account_revision").Scan(&rev); err != nil {
		return 0, fmt.Errorf("read revision of accounts: %w", err)
	}
	return rev, nil
}

// An AccountNote is one line of what was done to accounts, tokens and sessions.
type AccountNote struct {
	ID      int64
	At      time.Time // UTC
	Who     string
	Address string
	Action  string // add, reset, disable, enable, grant, password, lock, sign_in, sign_out, token, revoke
	About   string
	Detail  string
}

// note writes down who did what, in the transaction that does it.
func (r *Registry) note(ctx context.Context, tx *sql.Tx, by Actor, action, about, detail string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO account_log (at, who, address, action, about, detail) VALUES (?, ?, ?, ?, ?, ?)",
		millis(r.now()), by.Name, by.Address, action, about, detail)
	if err != nil {
		return fmt.Errorf("write account log: %w", err)
	}
	return nil
}

// AccountLog gives the newest lines with an id below before (0: of all), newest first.
func (r *Registry) AccountLog(ctx context.Context, before int64, limit int) ([]AccountNote, error) {
	notes := []AccountNote{}
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var n AccountNote
		var at sql.NullInt64
		err := rows.Scan(&n.ID, &at, &n.Who, &n.Address, &n.Action, &n.About, &n.Detail)
		n.At = fromMillis(at, time.UTC)
		notes = append(notes, n)
		return err
	}, "SELECT id, at, who, address, action, about, detail FROM account_log WHERE ?1 = 0 OR id < ?1 ORDER BY id DESC LIMIT ?2", before, limit)
	if err != nil {
		return nil, fmt.Errorf("read account log: %w", err)
	}
	return notes, nil
}
