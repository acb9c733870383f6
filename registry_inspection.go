package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// RegistryInspectionCmd is `pilewatch registry inspection`.
type RegistryInspectionCmd struct {
	Draw   RegistryInspectionDrawCmd   `cmd:"" help:"Draw piles and two inspectors for each at random (双随机)."`
	List   RegistryInspectionListCmd   `cmd:"" help:"List draws, or the piles of one, or what it was drawn from."`
	Record RegistryInspectionRecordCmd `cmd:"" help:"Keep what was found at a pile that was drawn."`
}

// RegistryInspectionDrawCmd is `pilewatch registry inspection draw`.
type RegistryInspectionDrawCmd struct {
	Division  string   `required:"" help:"Where the piles stand." placeholder:"CODE"`
	Count     int      `required:"" help:"How many piles." placeholder:"N"`
	Inspector []string `required:"" help:"Who may be drawn, two at least; may be given more than once." placeholder:"NAME"`
	Seed      string   `help:"What the draw follows from, such as a number drawn in public; one is made if left out." placeholder:"TEXT"`
	By        string   `required:"" help:"The officer who draws." placeholder:"NAME"`
}

// Run draws and prints what was drawn.
func (c *RegistryInspectionDrawCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	code, err := charge.ParseDivisionCode(c.Division)
	if err != nil {
		return err
	}
	return parent.with(ctx, log, func(r *registry.Registry) error {
		d, err := r.DrawInspections(ctx, registry.InspectionDraw{Division: code, Count: c.Count, Inspectors: c.Inspector, Seed: c.Seed, By: c.By})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d of %d piles, seed %s\n", d.ID, len(d.Picks), len(d.Piles), d.Seed)
		return printPicks(out, d.Picks)
	})
}

func printPicks(out io.Writer, picks []registry.Inspection) error {
	table := newTable(out, "PILE", "TOWNSHIP", "INSPECTORS", "FOUND", "TEST KWH", "CASE")
	for _, p := range picks {
		found, test := "-", "-"
		if p.Finding != nil {
			found = p.Finding.At.In(charge.Zone).Format(time.DateOnly) + " " + p.Text
			if p.Finding.TestFailed {
				test = "failed"
			} else if p.Finding.TestWh > 0 {
				test = fmt.Sprintf("%.3f", float64(p.Finding.TestWh)/1000)
			}
		}
		table.row(p.Pile, p.Township, strings.Join(p.Inspectors, " "), found, test, orDash(p.Case))
	}
	return table.Flush()
}

// RegistryInspectionListCmd is `pilewatch registry inspection list [ID]`.
type RegistryInspectionListCmd struct {
	ID         string `arg:"" optional:"" help:"Of one draw."`
	Candidates bool   `help:"Print the list it was drawn from, a pile a line."`
	Division   string `help:"Draws in a division." default:"37" placeholder:"CODE"`
}

// Run prints a row a draw, or a row a pile.
func (c *RegistryInspectionListCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	return parent.with(ctx, log, func(r *registry.Registry) error {
		if c.ID != "" {
			d, err := r.InspectionDrawByID(ctx, c.ID)
			if err != nil {
				return err
			}
			if c.Candidates {
				fmt.Fprintln(out, strings.Join(d.Piles, "\n"))
				return nil
			}
			return printPicks(out, d.Picks)
		}
		all, err := r.InspectionDraws(ctx, charge.DivisionCode(c.Division))
		if err != nil {
			return err
		}
		table := newTable(out, "ID", "AT", "BY", "DIVISION", "PILES", "INSPECTED", "SEED")
		for _, d := range all {
			table.row(d.ID, d.At.Format(time.RFC3339), d.By, d.Division, d.Count, d.Found, d.Seed)
		}
		return table.Flush()
	})
}

// RegistryInspectionRecordCmd is `pilewatch registry inspection record ID PILE`.
type RegistryInspectionRecordCmd struct {
	ID         string    `arg:"" help:"Of the draw."`
	Pile       string    `arg:"" help:"{operator}:{pile}"`
	At         time.Time `required:"" help:"When it was inspected (RFC 3339)." placeholder:"TIME"`
	Found      string    `required:"" help:"What was found." placeholder:"TEXT"`
	Photo      string    `help:"SHA-256 or file number of the photo." placeholder:"TEXT"`
	TestKWh    float64   `name:"test-kwh" help:"Delivered by a test charge." placeholder:"KWH"`
	TestFailed bool      `help:"A test charge was tried in vain."`
	By         string    `required:"" help:"The officer who records." placeholder:"NAME"`
}

// Run keeps it, and says to which case it went.
func (c *RegistryInspectionRecordCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer, parent *RegistryCmd) error {
	id, err := charge.ParsePileID(c.Pile)
	if err != nil {
		return err
	}
	return parent.with(ctx, log, func(r *registry.Registry) error {
		finding := cases.Inspection{At: c.At, Photo: c.Photo, TestWh: int64(c.TestKWh*1000 + 0.5), TestFailed: c.TestFailed}
		one, err := r.RecordInspection(ctx, c.ID, id, finding, c.Found, registry.CaseStep{Person: c.By, Role: cases.ProvinceOfficer})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "the inspection of %s is recorded\n", id)
		if one.Case != "" {
			fmt.Fprintf(out, "it is on the record of case %s\n", one.Case)
		}
		return nil
	})
}
