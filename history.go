package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/series"
)

// HistoryCmd is `pilewatch history`.
type HistoryCmd struct {
	Copy HistoryCopyCmd `cmd:"" help:"Copy a history.db to InfluxDB. Ended at any time, it goes on where it was."`
}

// HistoryCopyCmd is `pilewatch history copy`.
type HistoryCopyCmd struct {
	From      string `required:"" help:"The embedded history, such as data/history.db. A running pilewatch may have it open." type:"existingfile" placeholder:"FILE"`
	To        string `required:"" help:"InfluxDB, such as http://127.0.0.1:8086." placeholder:"URL"`
	TokenFile string `help:"File with InfluxDB's token (2.x), or user:password (1.8+)." env:"PILEWATCH_INFLUX_TOKEN_FILE" placeholder:"FILE" type:"path"`
	Org       string `help:"InfluxDB's organisation (2.x)." env:"PILEWATCH_INFLUX_ORG"`
	Bucket    string `help:"InfluxDB's bucket; database/retention policy on 1.8." default:"evcs/raw" env:"PILEWATCH_INFLUX_BUCKET"`
	State     string `help:"File that remembers how far the copy has come; FROM.copied if left out." placeholder:"FILE" type:"path"`
}

// copied is how far a copy has come, as its file holds it.
type copied struct {
	To     string       `json:"to"`
	Bucket string       `json:"bucket"`
	At     series.Place `json:"at"`
}

const (
	copyAtOnce = 5000
	copyTells  = 500 * time.Millisecond
	copyBar    = 30 // signs wide
)

// Run copies.
func (c *HistoryCopyCmd) Run(ctx context.Context, log *slog.Logger) error {
	from, err := series.OpenEmbedded(ctx, c.From, log)
	if err != nil {
		return err
	}
	to, err := series.NewInflux(series.InfluxConfig{URL: c.To, TokenFile: c.TokenFile, Org: c.Org, Bucket: c.Bucket}, log)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	return errors.Join(c.copy(ctx, from, to, os.Stderr), from.Close(), to.Close())
}

func (c *HistoryCopyCmd) copy(ctx context.Context, from *series.Embedded, to *series.Influx, tell io.Writer) error {
	if c.State == "" {
		c.State = c.From + ".copied"
	}
	if err := to.Setup(ctx); err != nil {
		return err
	}
	state, err := c.recall()
	if err != nil {
		return err
	}
	all, done, err := from.Count(ctx, state.At)
	if err != nil {
		return err
	}
	if done > 0 {
		fmt.Fprintf(tell, "goes on after %d readings that are there already\n", done)
	}
	begun, first, refused, told := time.Now(), done, 0, time.Time{}
	progress := func() {
		rate := float64(done-first) / max(time.Since(begun).Seconds(), 0.001)
		left := time.Duration(float64(max(all-done, 0)) / max(rate, 1) * float64(time.Second))
		full := int(copyBar * done / max(all, done, 1))
		fmt.Fprintf(tell, "\r[%s%s] %d of %d readings (%d %%), %.0f a second, %s left   ", strings.Repeat("=", full), strings.Repeat(" ", copyBar-full),
			done, max(all, done), 100*done/max(all, done, 1), rate, left.Round(time.Second))
	}
	for {
		batch, at, err := from.After(ctx, state.At, copyAtOnce)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			break
		}
		dropped, err := writeAll(ctx, to, batch, tell)
		if err != nil {
			return err
		}
		refused += dropped
		done += int64(len(batch))
		state.At = at
		if err := c.remember(state); err != nil {
			return err
		}
		if time.Since(told) >= copyTells {
			told = time.Now()
			progress()
		}
	}
	progress()
	loads, energies, days, err := from.Long(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(to.WriteLoads(ctx, loads), to.WriteEnergies(ctx, energies), to.WriteCoverage(ctx, days)); err != nil {
		return err
	}
	available := 0
	if err := from.EachAvailability(ctx, copyAtOnce, func(some []series.Availability) error {
		available += len(some)
		return to.WriteAvailability(ctx, some)
	}); err != nil {
		return err
	}
	fmt.Fprintf(tell, "\ncopied: %d readings (%d of them refused by InfluxDB: older than it keeps, or of another type), %d load windows, %d days of energy, %d of coverage, %d of piles\n",
		done, refused, len(loads), len(energies), len(days), available)
	return nil
}

// writeAll writes a batch, and waits for an InfluxDB that is away. It tells how many were refused.
func writeAll(ctx context.Context, to *series.Influx, batch []charge.Reading, tell io.Writer) (refused int, err error) {
	for wait := time.Second; ; wait = min(2*wait, 10*time.Second) {
		err := to.Write(ctx, batch)
		if rejected, ok := errors.AsType[*series.RejectedError](err); ok {
			return rejected.Dropped, nil
		}
		if err == nil || ctx.Err() != nil {
			return 0, err
		}
		fmt.Fprintf(tell, "\nInfluxDB does not take readings, tries again in %s: %v\n", wait, err)
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// recall reads how far a copy to the same place has come.
func (c *HistoryCopyCmd) recall() (copied, error) {
	fresh := copied{To: c.To, Bucket: c.Bucket}
	text, err := os.ReadFile(c.State)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return fresh, fmt.Errorf("read how far the copy has come: %w", err)
	}
	var state copied
	if err := json.Unmarshal(text, &state); err != nil {
		return fresh, fmt.Errorf("read how far the copy has come from %s: %w; delete it to begin anew", c.State, err)
	}
	if state.To != c.To || state.Bucket != c.Bucket {
		return fresh, nil
	}
	return state, nil
}

func (c *HistoryCopyCmd) remember(state copied) error {
	text, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("remember how far the copy has come: %w", err)
	}
	// Replaced as a whole: a copy that is killed here goes on from before or after.
	if err := os.WriteFile(c.State+".new", text, 0o600); err != nil {
		return fmt.Errorf("remember how far the copy has come: %w", err)
	}
	if err := os.Rename(c.State+".new", c.State); err != nil {
		return fmt.Errorf("remember how far the copy has come: %w", err)
	}
	return nil
}
