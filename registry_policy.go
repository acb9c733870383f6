package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// RegistryPolicyCmd is `pilewatch registry policy`.
type RegistryPolicyCmd struct {
	Show   RegistryPolicyShowCmd   `cmd:"" help:"Print a version as its file: the one in force, or the one of a name."`
	Import RegistryPolicyImportCmd `cmd:"" help:"Take a new version. A wrong one is refused, by line, and the one in force stays."`
	Try    RegistryPolicyTryCmd    `cmd:"" help:"List what a policy would open and close; nothing is changed."`
	List   RegistryPolicyListCmd   `cmd:"" help:"List all versions with their first days."`
}

// RegistryPolicyShowCmd is `pilewatch registry policy show [VERSION]`.
type RegistryPolicyShowCmd struct {
	Version string `arg:"" optional:"" help:"The version's name; left out, the one in force today."`
}

// Run prints the file as it was imported.
func (c *RegistryPolicyShowCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		files, err := r.PolicyFiles(ctx)
		if err != nil {
			return err
		}
		name := c.Version
		if name == "" {
			all, err := r.Policies(ctx)
			if err != nil {
				return err
			}
			name = all.At(time.Now()).Version
		}
		for _, f := range files {
			if f.Version == name {
				_, err := out.Write(f.File)
				return err
			}
		}
		return fmt.Errorf("no policy %s; pilewatch registry policy list tells what there is", name)
	})
}

// RegistryPolicyImportCmd is `pilewatch registry policy import FILE`.
type RegistryPolicyImportCmd struct {
	File string `arg:"" help:"YAML file; - reads standard input."`
}

// Run takes the version or prints every wrong line.
func (c *RegistryPolicyImportCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	file, err := readAll(c.File)
	if err != nil {
		return err
	}
	return parent.with(ctx, log, func(r *registry.Registry) error {
		p, err := r.ImportPolicy(ctx, file)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "policy %s holds from %s on\n", p.Version, p.From.Format(time.DateOnly))
		return nil
	})
}

func readAll(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(path)
}

// RegistryPolicyListCmd is `pilewatch registry policy list`.
type RegistryPolicyListCmd struct{}

// Run prints a row a version.
func (c *RegistryPolicyListCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		files, err := r.PolicyFiles(ctx)
		if err != nil {
			return err
		}
		all, err := r.Policies(ctx)
		if err != nil {
			return err
		}
		inForce := all.At(time.Now()).Version
		table := newTable(out, "VERSION", "FROM", "ENTERED", "IN FORCE")
		for _, f := range files {
			entered, now := "-", ""
			if !f.Entered.IsZero() {
				entered = f.Entered.In(charge.Zone).Format(time.RFC3339)
			}
			if f.Version == inForce {
				now = "today"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.Version, f.From.Format(time.DateOnly), entered, now)
		}
		return table.Flush()
	})
}
