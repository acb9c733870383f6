package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"pilewatch/ingest"
	"pilewatch/ingest/longfailed"
	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/policy"
	"pilewatch/internal/registry"
)

// RegistryCaseCmd is `pilewatch registry case`.
type RegistryCaseCmd struct {
	List   RegistryCaseListCmd   `cmd:"" help:"List cases of long-failed piles."`
	Show   RegistryCaseShowCmd   `cmd:"" help:"Print a case's record."`
	Verify RegistryCaseVerifyCmd `cmd:"" help:"Verify a dossier or a case's archive by the file alone; no registry is needed."`
}

// RegistryCaseListCmd is `pilewatch registry case list`.
type RegistryCaseListCmd struct {
	State    string `help:"Only those in this state." placeholder:"STATE"`
	Operator string `help:"Only those of an operator." placeholder:"ID"`
}

// Run prints a row a case.
func (c *RegistryCaseListCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		q := registry.CaseQuery{Operator: charge.OperatorID(c.Operator)}
		if c.State != "" {
			q.States = []cases.State{cases.State(c.State)}
		}
		all, err := r.Cases(ctx, q)
		if err != nil {
			return err
		}
		table := newTable(out, "ID", "PILE", "STATE", "SINCE", "DEADLINE", "GROUNDS")
		for _, one := range all {
			deadline, grounds := "-", ""
			if !one.Deadline.IsZero() {
				deadline = one.Deadline.Format(time.RFC3339)
			}
			for _, g := range one.Grounds {
				grounds += " " + g.Rule
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", one.ID, one.Pile, one.State, one.Since.Format(time.RFC3339), deadline, orDash(grounds[min(1, len(grounds)):]))
		}
		return table.Flush()
	})
}

// RegistryCaseShowCmd is `pilewatch registry case show ID`.
type RegistryCaseShowCmd struct {
	ID string `arg:"" help:"As list shows it."`
}

// Run prints a row an entry of the record.
func (c *RegistryCaseShowCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		if _, err := r.CaseByID(ctx, c.ID); err != nil {
			return err
		}
		all, err := r.CaseRecord(ctx, c.ID)
		if err != nil {
			return err
		}
		table := newTable(out, "ENTRY", "AT", "PERSON", "ROLE", "ACTION", "STATE", "TEXT", "HASH")
		for _, e := range all {
			fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%.12s\n", e.Seq, e.At.In(charge.Zone).Format(time.RFC3339), e.Person, e.Role, e.Action, e.To, orDash(e.Text), e.Hash)
		}
		return table.Flush()
	})
}

// RegistryCaseVerifyCmd is `pilewatch registry case verify FILE`.
type RegistryCaseVerifyCmd struct {
	File string `arg:"" help:"A dossier (JSON) or a case's archive (zip); - reads standard input."`
}

// Run prints the dossier's hash, or says what was changed and where.
func (c *RegistryCaseVerifyCmd) Run(out io.Writer) error {
	text, err := readAll(c.File)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(text, []byte("PK")) {
		z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return fmt.Errorf("open archive %s: %w", c.File, err)
		}
		if err := cases.VerifyArchive(z); err != nil {
			return err
		}
		f, err := z.Open("dossier.json")
		if err != nil {
			return err
		}
		text, err = io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	d, hash, err := cases.Thaw(text)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: as it was frozen on %s\nsha256 %s\n", d.Case, d.Frozen.In(charge.Zone).Format(time.RFC3339), hash)
	return nil
}

// RegistryAuditCmd is `pilewatch registry audit`.
type RegistryAuditCmd struct {
	Head string `help:"Hash of an entry that was kept elsewhere: only against one is it found that entries were cut off or all written anew." placeholder:"SHA256"`
}

// Run recomputes the record and all dossiers.
func (c *RegistryAuditCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		entries, dossiers, err := r.AuditCases(ctx, c.Head)
		if bad := (*registry.AuditError)(nil); errors.As(err, &bad) {
			for _, what := range bad.What {
				fmt.Fprintln(out, what)
			}
			return fmt.Errorf("audit: %d things are not as they were written", len(bad.What))
		}
		if err != nil {
			return err
		}
		head, ok, err := r.CaseHead(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d entries and %d dossiers are as they were written\n", entries, dossiers)
		if ok {
			fmt.Fprintf(out, "head: entry %d, sha256 %s\n", head.Seq, head.Hash)
		}
		return nil
	})
}

// would says what another policy would do of itself.
func would(t *ingest.Tried) string {
	check := func(rules []longfailed.Rule) bool { return len(rules) == 1 && rules[0] == longfailed.NoEnergy }
	switch {
	case len(t.Now) == 0 && check(t.Beside):
		return "open a check"
	case len(t.Now) == 0:
		return "open"
	case len(t.Beside) == 0 && check(t.Now):
		return "close a check"
	case len(t.Beside) == 0:
		return "close"
	}
	return "change grounds"
}

// RegistryPolicyTryCmd is `pilewatch registry policy try FILE`.
type RegistryPolicyTryCmd struct {
	File string `arg:"" help:"YAML file; - reads standard input. It is not imported."`
}

// Run lists the piles that the policy would judge otherwise, had it always been in force.
func (c *RegistryPolicyTryCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	file, err := readAll(c.File)
	if err != nil {
		return err
	}
	other, err := policy.Parse(file)
	if err != nil {
		return err
	}
	return parent.with(ctx, log, func(r *registry.Registry) error {
		dir, err := r.Directory(ctx)
		if err != nil {
			return err
		}
		day, all, err := ingest.TryPolicy(ctx, r, dir, other)
		if err != nil {
			return err
		}
		if day.IsZero() {
			fmt.Fprintln(out, "no day is frozen yet: there is nothing to try the policy on")
			return nil
		}
		rules := func(of []longfailed.Rule) string {
			names := make([]string, len(of))
			for i, rule := range of {
				names[i] = string(rule)
			}
			return orDash(strings.Join(names, " "))
		}
		fmt.Fprintf(out, "at the end of %s, by the policies in force and by %s as if it had always been:\n", day.Format(time.DateOnly), other.Version)
		table := newTable(out, "PILE", "OPEN CASE", "NOW", "BY "+other.Version, "WOULD")
		for _, t := range all {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", t.Pile, orDash(t.Case), rules(t.Now), rules(t.Beside), would(&t))
		}
		fmt.Fprintf(table, "%d piles\n", len(all))
		return table.Flush()
	})
}
