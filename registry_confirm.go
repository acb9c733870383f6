package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"pilewatch/internal/registry"
)

// RegistryConfirmCmd is `pilewatch registry confirm`.
type RegistryConfirmCmd struct {
	List   RegistryConfirmListCmd   `cmd:"" help:"List what waits for an officer."`
	Accept RegistryConfirmAcceptCmd `cmd:"" help:"Let it take effect: terms of a station from tomorrow on."`
	Refuse RegistryConfirmRefuseCmd `cmd:"" help:"Let stand what was before."`
}

// RegistryConfirmListCmd is `pilewatch registry confirm list`.
type RegistryConfirmListCmd struct{}

// Run prints a row for each value that waits.
func (c *RegistryConfirmListCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		all, err := r.Confirmations(ctx)
		if err != nil {
			return err
		}
		table := newTable(out, "ID", "OF", "COLUMN", "NOW", "ASKED", "WHY", "ENTERED")
		for _, one := range all {
			of := "station " + string(one.Operator) + ":" + string(one.Station)
			if one.Pile != "" {
				of = "pile " + string(one.Operator) + ":" + one.Pile
			}
			if one.Connector != "" {
				of += "/" + string(one.Connector)
			}
			fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", one.ID, of, one.Field, orDash(one.Before), orDash(one.Value), one.Reason,
				one.Entered.Format(time.RFC3339))
		}
		return table.Flush()
	})
}

// RegistryConfirmAcceptCmd is `pilewatch registry confirm accept ID --by NAME`.
type RegistryConfirmAcceptCmd struct {
	ID int64  `arg:"" help:"As list shows it."`
	By string `required:"" help:"The officer who confirms." placeholder:"NAME"`
}

// Run lets the value take effect.
func (c *RegistryConfirmAcceptCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return decide(ctx, log, out, parent, c.ID, true, c.By)
}

// RegistryConfirmRefuseCmd is `pilewatch registry confirm refuse ID --by NAME`.
type RegistryConfirmRefuseCmd struct {
	ID int64  `arg:"" help:"As list shows it."`
	By string `required:"" help:"The officer who refuses." placeholder:"NAME"`
}

// Run lets stand what was before.
func (c *RegistryConfirmRefuseCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return decide(ctx, log, out, parent, c.ID, false, c.By)
}

func decide(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd, id int64, confirmed bool, by string) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		if err := r.Confirm(ctx, id, confirmed, by); err != nil {
			return err
		}
		word := "refused"
		if confirmed {
			word = "confirmed"
		}
		fmt.Fprintf(out, "%d is %s\n", id, word)
		return nil
	})
}
