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

// RegistryExcuseCmd is `pilewatch registry excuse`.
type RegistryExcuseCmd struct {
	List   RegistryExcuseListCmd   `cmd:"" help:"List excuses."`
	Grant  RegistryExcuseGrantCmd  `cmd:"" help:"Let a claim count."`
	Refuse RegistryExcuseRefuseCmd `cmd:"" help:"Let a claim not count; it stays on record."`
}

// RegistryExcuseListCmd is `pilewatch registry excuse list`.
type RegistryExcuseListCmd struct {
	State    string `help:"Only those that are ${enum}." enum:"claimed,granted,refused,all" default:"all"`
	Operator string `help:"Only those of an operator." placeholder:"ID"`
}

// Run prints a row an excuse.
func (c *RegistryExcuseListCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		q := registry.ExcuseQuery{Operator: charge.OperatorID(c.Operator)}
		if c.State != "all" {
			q.State = charge.ExcuseState(c.State)
		}
		all, err := r.Excuses(ctx, q)
		if err != nil {
			return err
		}
		table := newTable(out, "ID", "KIND", "STATE", "OF", "FROM", "UNTIL", "CAUSE", "DOCUMENT", "BY", "JUDGE")
		for _, e := range all {
			of := "division " + string(e.Division)
			if e.Operator != "" {
				of = string(e.Operator)
			}
			if e.Pile != "" {
				of += ":" + e.Pile
			}
			fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.Kind, e.State, of, e.From.Format(time.RFC3339),
				e.Until.Format(time.RFC3339), orDash(e.Cause), orDash(e.Document), orDash(e.By), orDash(e.Judge))
		}
		return table.Flush()
	})
}

// RegistryExcuseGrantCmd is `pilewatch registry excuse grant ID --by NAME`.
type RegistryExcuseGrantCmd struct {
	ID  int64  `arg:"" help:"As list shows it."`
	By  string `required:"" help:"The officer who grants." placeholder:"NAME"`
	Why string `help:"The reason." placeholder:"TEXT"`
}

// Run grants the claim.
func (c *RegistryExcuseGrantCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return decideExcuse(ctx, log, out, parent, c.ID, true, c.By, c.Why)
}

// RegistryExcuseRefuseCmd is `pilewatch registry excuse refuse ID --by NAME`.
type RegistryExcuseRefuseCmd struct {
	ID  int64  `arg:"" help:"As list shows it."`
	By  string `required:"" help:"The officer who refuses." placeholder:"NAME"`
	Why string `help:"The reason." placeholder:"TEXT"`
}

// Run refuses the claim.
func (c *RegistryExcuseRefuseCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return decideExcuse(ctx, log, out, parent, c.ID, false, c.By, c.Why)
}

func decideExcuse(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd, id int64, granted bool, by, why string) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		if err := r.DecideExcuse(ctx, id, granted, by, why); err != nil {
			return err
		}
		word := charge.Refused
		if granted {
			word = charge.Granted
		}
		fmt.Fprintf(out, "excuse %d is %s\n", id, word)
		return nil
	})
}
