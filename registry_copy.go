package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"pilewatch/internal/registry"
)

// RegistryCopyCmd is `pilewatch registry copy --to …`.
type RegistryCopyCmd struct {
	From             string `help:"The registry to copy: a file, or a PostgreSQL's URL; the one of the settings if left out." placeholder:"FILE|URL"`
	FromPasswordFile string `help:"File with the password for it." placeholder:"FILE" type:"path"`
	To               string `help:"Where to: a file that is not there, or the URL of a PostgreSQL's empty database." required:"" placeholder:"FILE|URL"`
	ToPasswordFile   string `help:"File with the password for it." placeholder:"FILE" type:"path"`
}

// Run copies while the other parts go on; what they write after it has begun is not in the copy.
func (c *RegistryCopyCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	if !isPostgres(c.To) {
		if _, err := os.Stat(c.To); err == nil {
			return fmt.Errorf("copy registry to %s: it is there already; name a new file", c.To)
		}
	}
	if c.From != "" && !isPostgres(c.From) {
		if _, err := os.Stat(c.From); err != nil {
			return fmt.Errorf("copy registry: %w", err)
		}
	}
	var from *registry.Registry
	var err error
	if c.From == "" {
		from, err = parent.openRegistry(ctx, log)
	} else {
		from, err = openRegistryAt(ctx, c.From, c.FromPasswordFile, log)
	}
	if err != nil {
		return err
	}
	to, err := openRegistryAt(ctx, c.To, c.ToPasswordFile, log)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	copied, err := registry.Copy(ctx, from, to)
	rows := int64(0)
	for _, t := range copied {
		rows += t.Rows
	}
	if err == nil {
		fmt.Fprintf(out, "copied %d rows of %d tables, and both are the same; let each part have it by --registry-url\n", rows, len(copied))
	}
	return errors.Join(err, to.Close(), from.Close())
}

func isPostgres(where string) bool {
	return strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://")
}

func openRegistryAt(ctx context.Context, where, passwordFile string, log *slog.Logger) (*registry.Registry, error) {
	if isPostgres(where) {
		return registry.OpenPostgres(ctx, registry.PostgresConfig{URL: where, PasswordFile: passwordFile}, log)
	}
	return registry.Open(ctx, where, log)
}
