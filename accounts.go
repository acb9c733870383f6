package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// shell is who changes accounts from the command line: whoever may write the data directory.
var shell = registry.Actor{Name: "shell"}

// RegistryAccountCmd is `pilewatch registry account`.
type RegistryAccountCmd struct {
	Add     AccountAddCmd     `cmd:"" help:"Add a person and print the password, once; it must be changed at the first sign-in."`
	List    AccountListCmd    `cmd:"" help:"List all accounts."`
	Grant   AccountGrantCmd   `cmd:"" help:"Give an account another role."`
	Reset   AccountResetCmd   `cmd:"" help:"Give an account a new password, unlock it and end its sessions."`
	Disable AccountDisableCmd `cmd:"" help:"Keep an account from signing in and end its sessions."`
	Enable  AccountEnableCmd  `cmd:"" help:"Let a disabled account sign in again."`
	Token   AccountTokenCmd   `cmd:"" help:"Issue, list and revoke API tokens."`
	Log     AccountLogCmd     `cmd:"" help:"Print what was done to accounts, tokens and sessions, newest first."`
}

// AccountAddCmd is `pilewatch registry account add NAME ROLE`.
type AccountAddCmd struct {
	FullName string `help:"The person's name." placeholder:"TEXT"`
	Name     string `arg:"" help:"What the person signs in with."`
	Role     string `arg:"" help:"admin, operator:ID, or viewer, officer or reviewer of a division, such as officer:371721."`
}

// Run prints the password.
func (c *AccountAddCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	grant, err := registry.ParseGrant(c.Role)
	if err != nil {
		return err
	}
	return parent.with(ctx, log, func(r *registry.Registry) error {
		password, a, err := r.AddAccount(ctx, c.Name, c.FullName, grant, shell)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "name:     %s\nrole:     %s\npassword: %s\n", a.Name, a.Grant, password)
		fmt.Fprintln(out, "The password is not kept, and must be changed at the first sign-in.")
		return nil
	})
}

// AccountListCmd is `pilewatch registry account list`.
type AccountListCmd struct{}

// Run prints a row an account.
func (c *AccountListCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		all, err := r.Accounts(ctx)
		if err != nil {
			return err
		}
		table := newTable(out, "NAME", "FULL NAME", "ROLE", "STATE")
		for _, a := range all {
			state := "-"
			switch {
			case !a.Disabled.IsZero():
				state = "disabled " + a.Disabled.Format(time.RFC3339)
			case a.LockedUntil.After(time.Now()):
				state = "locked until " + a.LockedUntil.Format(time.RFC3339)
			case a.Demo:
				state = "demo"
			case !a.Local():
				state = "by " + a.Issuer
			case a.MustChange:
				state = "must change the password"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", a.Name, a.FullName, a.Grant, state)
		}
		return table.Flush()
	})
}

// AccountGrantCmd is `pilewatch registry account grant NAME ROLE`.
type AccountGrantCmd struct {
	Name string `arg:"" help:"The account's name."`
	Role string `arg:"" help:"As for add."`
}

// Run changes the role.
func (c *AccountGrantCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	grant, err := registry.ParseGrant(c.Role)
	if err != nil {
		return err
	}
	return parent.with(ctx, log, func(r *registry.Registry) error {
		if err := r.SetGrant(ctx, c.Name, grant, shell); err != nil {
			return err
		}
		fmt.Fprintf(out, "account %s is %s\n", c.Name, grant)
		return nil
	})
}

// AccountResetCmd is `pilewatch registry account reset NAME`.
type AccountResetCmd struct {
	Name string `arg:"" help:"The account's name."`
}

// Run prints the new password.
func (c *AccountResetCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		password, err := r.ResetPassword(ctx, c.Name, shell)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "password: %s\n", password)
		fmt.Fprintln(out, "The password is not kept, and must be changed at the next sign-in.")
		return nil
	})
}

// AccountDisableCmd is `pilewatch registry account disable NAME`.
type AccountDisableCmd struct {
	Name string `arg:"" help:"The account's name."`
}

// Run disables the account.
func (c *AccountDisableCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		if err := r.DisableAccount(ctx, c.Name, shell); err != nil {
			return err
		}
		fmt.Fprintf(out, "account %s is disabled\n", c.Name)
		return nil
	})
}

// AccountEnableCmd is `pilewatch registry account enable NAME`.
type AccountEnableCmd struct {
	Name string `arg:"" help:"The account's name."`
}

// Run enables the account.
func (c *AccountEnableCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		if err := r.EnableAccount(ctx, c.Name, shell); err != nil {
			return err
		}
		fmt.Fprintf(out, "account %s is enabled\n", c.Name)
		return nil
	})
}

// AccountTokenCmd is `pilewatch registry account token`.
type AccountTokenCmd struct {
	Issue  TokenIssueCmd  `cmd:"" help:"Issue an API token and print it, once."`
	List   TokenListCmd   `cmd:"" help:"List all API tokens."`
	Revoke TokenRevokeCmd `cmd:"" help:"End an API token."`
}

// TokenIssueCmd is `pilewatch registry account token issue NAME ROLE`.
type TokenIssueCmd struct {
	Days int    `help:"Days until it ends by itself; 0 for never." default:"365"`
	Name string `arg:"" help:"What the token is for."`
	Role string `arg:"" help:"As for account add."`
}

// Validate refuses a token that would be over already. kong calls it.
func (c *TokenIssueCmd) Validate() error {
	if c.Days < 0 {
		return fmt.Errorf("--days %d: want 0 or more", c.Days)
	}
	return nil
}

// Run prints the token.
func (c *TokenIssueCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	grant, err := registry.ParseGrant(c.Role)
	if err != nil {
		return err
	}
	var expires time.Time
	if c.Days > 0 {
		expires = time.Now().AddDate(0, 0, c.Days)
	}
	return parent.with(ctx, log, func(r *registry.Registry) error {
		token, t, err := r.IssueAPIToken(ctx, c.Name, grant, expires, shell)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "id:    %d\nrole:  %s\ntoken: %s\n", t.ID, t.Grant, token)
		fmt.Fprintln(out, "The token is not kept and cannot be shown again.")
		return nil
	})
}

// TokenListCmd is `pilewatch registry account token list`.
type TokenListCmd struct{}

// Run prints a row a token.
func (c *TokenListCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		all, err := r.APITokens(ctx)
		if err != nil {
			return err
		}
		or := func(at time.Time) string {
			if at.IsZero() {
				return "-"
			}
			return at.Format(time.RFC3339)
		}
		table := newTable(out, "ID", "FOR", "ROLE", "CREATED", "EXPIRES", "REVOKED")
		for _, t := range all {
			fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, t.Grant, or(t.Created), or(t.Expires), or(t.Revoked))
		}
		return table.Flush()
	})
}

// TokenRevokeCmd is `pilewatch registry account token revoke ID`.
type TokenRevokeCmd struct {
	ID int64 `arg:"" help:"The token's id, as list shows it."`
}

// Run ends the token.
func (c *TokenRevokeCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		if err := r.RevokeAPIToken(ctx, c.ID, shell); err != nil {
			return err
		}
		fmt.Fprintf(out, "token %d is revoked\n", c.ID)
		return nil
	})
}

// AccountLogCmd is `pilewatch registry account log`.
type AccountLogCmd struct {
	Limit int `help:"Lines, at most." default:"100"`
}

// Run prints a row a change.
func (c *AccountLogCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		notes, err := r.AccountLog(ctx, 0, c.Limit)
		if err != nil {
			return err
		}
		table := newTable(out, "AT", "WHO", "FROM", "ACTION", "ABOUT", "DETAIL")
		for _, n := range notes {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", n.At.Format(time.RFC3339), n.Who, n.Address, n.Action, n.About, n.Detail)
		}
		return table.Flush()
	})
}

// demoAccounts makes what anyone may sign in to the demo with, one of each role that looks at piles.
func demoAccounts(ctx context.Context, r *registry.Registry, operator charge.Operator) error {
	for _, a := range []struct {
		name, fullName string
		grant          registry.Grant
	}{
		{"demo-officer", "演示 · 菏泽市主管人员", registry.Grant{Role: registry.Officer, Scope: "3717"}},
		{"demo-reviewer", "演示 · 省级法制审核", registry.Grant{Role: registry.Reviewer, Scope: "37"}},
		{"demo-operator", "演示 · " + operator.Name, registry.Grant{Role: registry.Operator, Scope: string(operator.ID)}},
		{"demo-viewer", "演示 · 曹县查看者", registry.Grant{Role: registry.Viewer, Scope: "371721"}},
	} {
		if err := r.EnsureDemoAccount(ctx, a.name, a.fullName, a.grant); err != nil {
			return err
		}
	}
	return nil
}
