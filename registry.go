package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// RegistryCmd is `pilewatch registry`: what goes into the registry by hand.
type RegistryCmd struct {
	DataConfig `embed:""`

	Import     RegistryImportCmd     `cmd:"" help:"Import a CSV file: all of it, or nothing and every error by line."`
	Export     RegistryExportCmd     `cmd:"" help:"Write a table as the CSV that import reads."`
	Remove     RegistryRemoveCmd     `cmd:"" help:"Take out what was entered by mistake, as if it had never been there."`
	Credential RegistryCredentialCmd `cmd:"" help:"Issue, list and revoke operators' and piles' credentials."`
	Confirm    RegistryConfirmCmd    `cmd:"" help:"List, accept and refuse what an officer must confirm of an import."`
	Excuse     RegistryExcuseCmd     `cmd:"" help:"List, grant and refuse claims of excused time."`
	Policy     RegistryPolicyCmd     `cmd:"" help:"Show, import and list versions of the policy."`
	Case       RegistryCaseCmd       `cmd:"" help:"Cases of long-failed piles: list, show and verify them."`
	Inspection RegistryInspectionCmd `cmd:"" help:"Random inspections: draw piles and inspectors, record what was found."`
	Audit      RegistryAuditCmd      `cmd:"" help:"Find any change in the record and the dossiers of cases."`
	Account    RegistryAccountCmd    `cmd:"" help:"Who may sign in to the dashboard: people's accounts and API tokens."`
	Copy       RegistryCopyCmd       `cmd:"" help:"Copy the whole registry into a new file or an empty PostgreSQL, and compare both."`
}

// with opens the registry for one command.
func (c *RegistryCmd) with(ctx context.Context, log *slog.Logger, do func(*registry.Registry) error) error {
	r, err := c.openRegistry(ctx, log)
	if err != nil {
		return err
	}
	return errors.Join(do(r), r.Close())
}

// RegistryImportCmd is `pilewatch registry import TABLE FILE`.
type RegistryImportCmd struct {
	AsOf  string `help:"Of divisions: the date of the list, YYYY-MM-DD. A new date replaces the whole list." placeholder:"DATE"`
	Table string `arg:"" enum:"divisions,operators,stations,piles,transfers,renames,excuses,townships,statistics,targets" help:"One of ${enum}."`
	File  string `arg:"" help:"CSV file, UTF-8; - reads standard input."`
}

// Run imports the file and prints what became of its rows, or every error.
func (c *RegistryImportCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	var asOf time.Time
	if c.AsOf != "" {
		var err error
		if asOf, err = time.ParseInLocation(time.DateOnly, c.AsOf, charge.Zone); err != nil {
			return fmt.Errorf("read --as-of %q: want YYYY-MM-DD", c.AsOf)
		}
		if c.Table != string(registry.Divisions) {
			return fmt.Errorf("--as-of is for divisions, not for %s", c.Table)
		}
	}
	src := io.Reader(os.Stdin)
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // only read from
		src = file
	}
	return parent.with(ctx, log, func(r *registry.Registry) error {
		var (
			done registry.Imported
			err  error
		)
		if asOf.IsZero() {
			done, err = r.Import(ctx, registry.Table(c.Table), src)
		} else {
			done, err = r.ImportDivisions(ctx, src, asOf)
		}
		if bad := (*registry.ImportError)(nil); errors.As(err, &bad) {
			lines := bufio.NewWriter(out)
			for _, row := range bad.Rows {
				fmt.Fprintf(lines, "%s: %s\n", c.File, row)
			}
			if err := lines.Flush(); err != nil {
				return err
			}
			return fmt.Errorf("import %s: %d errors, nothing imported", c.Table, len(bad.Rows))
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d added, %d updated, %d unchanged", c.Table, done.Added, done.Updated, done.Unchanged)
		if done.Removed > 0 {
			fmt.Fprintf(out, ", %d removed", done.Removed)
		}
		if done.Unconfirmed > 0 {
			fmt.Fprintf(out, ", %d values to be confirmed (pilewatch registry confirm list)", done.Unconfirmed)
		}
		fmt.Fprintln(out)
		return nil
	})
}

// RegistryExportCmd is `pilewatch registry export TABLE [FILE]`.
type RegistryExportCmd struct {
	Table string `arg:"" enum:"divisions,operators,stations,piles,excuses,townships,statistics,targets" help:"One of ${enum}."`
	File  string `arg:"" optional:"" default:"-" help:"Where to write; - is standard output."`
}

// Run writes the file whole or not at all.
func (c *RegistryExportCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		if c.File == "-" {
			return r.Export(ctx, registry.Table(c.Table), out)
		}
		file, err := os.CreateTemp(filepath.Dir(c.File), filepath.Base(c.File)+".*")
		if err != nil {
			return fmt.Errorf("export %s: %w", c.Table, err)
		}
		err = errors.Join(r.Export(ctx, registry.Table(c.Table), file), file.Close())
		if err == nil {
			err = os.Rename(file.Name(), c.File)
		}
		if err != nil {
			return errors.Join(err, os.Remove(file.Name()))
		}
		return nil
	})
}

// RegistryRemoveCmd is `pilewatch registry remove KIND ID`.
type RegistryRemoveCmd struct {
	Force bool   `help:"Also where it has sent messages already: it then vanishes from coverage, and its history has no name."`
	Kind  string `arg:"" enum:"pile,station,operator" help:"One of ${enum}; a station goes with its piles, an operator with all that is its own."`
	ID    string `arg:"" help:"OPERATOR:PILE, OPERATOR:STATION or OPERATOR."`
}

// Run prints what is gone.
func (c *RegistryRemoveCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	id := charge.PileID{Operator: charge.OperatorID(c.ID)}
	if c.Kind != "operator" {
		var err error
		if id, err = charge.ParsePileID(c.ID); err != nil {
			return fmt.Errorf("remove %s %q: want OPERATOR:ID", c.Kind, c.ID)
		}
	}
	return parent.with(ctx, log, func(r *registry.Registry) (err error) {
		var done registry.Removed
		switch c.Kind {
		case "pile":
			done, err = r.RemovePile(ctx, id, c.Force)
		case "station":
			done, err = r.RemoveStation(ctx, id.Operator, charge.StationID(id.Equipment), c.Force)
		case "operator":
			done, err = r.RemoveOperator(ctx, id.Operator, c.Force)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %s is removed: stations %d, piles %d, connectors %d; credentials ended: %d\n",
			c.Kind, c.ID, done.Stations, done.Piles, done.Connectors, done.Credentials)
		return nil
	})
}

// RegistryCredentialCmd is `pilewatch registry credential`.
type RegistryCredentialCmd struct {
	Issue  RegistryIssueCmd  `cmd:"" help:"Issue a credential and print its token, once."`
	List   RegistryListCmd   `cmd:"" help:"List all credentials."`
	Revoke RegistryRevokeCmd `cmd:"" help:"End a credential."`
}

// RegistryIssueCmd is `pilewatch registry credential issue OPERATOR [PILE]`.
type RegistryIssueCmd struct {
	Operator string `arg:"" help:"The operator's id."`
	Pile     string `arg:"" optional:"" help:"The id of one of its piles; left out, the credential speaks for all of them."`
}

// Run prints the MQTT user name and password.
func (c *RegistryIssueCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		token, credential, err := r.IssueCredential(ctx, charge.OperatorID(c.Operator), c.Pile)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "id:       %d\nusername: %s\npassword: %s\n", credential.ID, credential.Username(), token)
		fmt.Fprintln(out, "The password is not kept and cannot be shown again.")
		return nil
	})
}

// RegistryListCmd is `pilewatch registry credential list`.
type RegistryListCmd struct{}

// Run prints a row a credential.
func (c *RegistryListCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		all, err := r.Credentials(ctx)
		if err != nil {
			return err
		}
		table := newTable(out, "ID", "USERNAME", "CREATED", "REVOKED")
		for _, credential := range all {
			revoked := "-"
			if !credential.Revoked.IsZero() {
				revoked = credential.Revoked.Format(time.RFC3339)
			}
			fmt.Fprintf(table, "%d\t%s\t%s\t%s\n", credential.ID, credential.Username(), credential.Created.Format(time.RFC3339), revoked)
		}
		return table.Flush()
	})
}

// RegistryRevokeCmd is `pilewatch registry credential revoke ID`.
type RegistryRevokeCmd struct {
	ID int64 `arg:"" help:"The credential's id, as list shows it."`
}

// Run ends the credential.
func (c *RegistryRevokeCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		if err := r.RevokeCredential(ctx, c.ID); err != nil {
			return err
		}
		fmt.Fprintf(out, "credential %d is revoked\n", c.ID)
		return nil
	})
}
