package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/simulator"
)

// SimulatorLoadCmd is `pilewatch simulator load`.
type SimulatorLoadCmd struct {
	DataConfig  `embed:""`
	Broker      string        `help:"Where to send: tcp://HOST:PORT, or tls://HOST:PORT." default:"tcp://127.0.0.1:1883" placeholder:"URL"`
	Piles       int           `help:"How many of the registry's piles send; 0 is all." default:"0"`
	Connections int           `help:"Connections in all; as many as piles gives each its own." default:"16"`
	Charging    float64       `help:"Share of the piles that charge, and measure every 15 s." default:"0.08"`
	Rate        float64       `help:"Messages a second in all; 0 is a heartbeat of each pile every 60 s and its measurements." default:"0"`
	Length      time.Duration `help:"How long to send." default:"1m"`
	Verify      string        `help:"Compare with history afterwards, reading by reading, by the dashboard at this address, such as http://127.0.0.1:8080." placeholder:"URL"`
	JSON        bool          `name:"json" help:"Print the summary as JSON."`
}

// verifyWithin is how long history may take to hold what was acknowledged.
const verifyWithin = time.Minute

// Run sends and prints what came of it. It fails when something was lost.
func (c *SimulatorLoadCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer) error {
	switch {
	case c.Charging < 0 || c.Charging > 1:
		return fmt.Errorf("--charging %v: want a share of 0 to 1", c.Charging)
	case c.Piles < 0 || c.Rate < 0 || c.Connections < 0 || c.Length <= 0:
		return errors.New("--piles, --rate, --connections: not negative; --length: more than 0")
	}
	d, err := c.drive(ctx, log)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	told := make(chan struct{})
	go func() {
		defer close(told)
		if !c.JSON {
			c.progress(running, d, out)
		}
	}()
	summary, err := d.Run(ctx)
	stop()
	<-told
	if err != nil {
		return err
	}
	answer := struct {
		simulator.Summary
		Verdict *simulator.Verdict `json:"history,omitempty"`
	}{Summary: summary}
	if c.Verify != "" {
		if answer.Verdict, err = c.verify(ctx, d); err != nil {
			return err
		}
	}
	if c.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(answer)
	} else {
		fmt.Fprintf(out, "%d sent, %d acknowledged, %d lost, %d sent again; %.0f/s of %.0f; p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, at most %.0f ms\n",
			summary.Sent, summary.Acked, summary.Lost, summary.Duplicated, summary.Rate, summary.Wanted, summary.P50MS, summary.P99MS, summary.P999MS, summary.MaxMS)
		if v := answer.Verdict; v != nil {
			fmt.Fprintf(out, "history: %d measurements compared, %d missing, %d twice, %d altered\n", v.Compared, v.Missing, v.Twice, v.Altered)
		}
	}
	switch v := answer.Verdict; {
	case err != nil:
		return fmt.Errorf("print the summary: %w", err)
	case summary.Lost > 0:
		return fmt.Errorf("%d of %d messages were not acknowledged", summary.Lost, summary.Sent)
	case v != nil && v.Missing+v.Twice+v.Altered > 0:
		return fmt.Errorf("history differs from what was acknowledged: %d missing, %d twice, %d altered", v.Missing, v.Twice, v.Altered)
	}
	return nil
}

// drive takes the piles from the registry, and what they sign in with from the fleet that made it.
func (c *SimulatorLoadCmd) drive(ctx context.Context, log *slog.Logger) (*simulator.Drive, error) {
	note, err := readFleetNote(filepath.Join(c.Data, fleetFile))
	if err != nil {
		return nil, fmt.Errorf("send load: %s holds no simulated fleet; make one with pilewatch simulator run: %w", c.Data, err)
	}
	p, err := openParts(ctx, &c.DataConfig, log)
	if err != nil {
		return nil, err
	}
	d := &simulator.Drive{
		Broker: c.Broker, Credentials: note.signIn, Connections: c.Connections, Charging: c.Charging, Rate: c.Rate, Length: c.Length,
	}
	for pile := range p.directory.Piles() {
		d.Piles = append(d.Piles, pile.ID)
	}
	slices.SortFunc(d.Piles, func(a, b charge.PileID) int { return strings.Compare(a.String(), b.String()) })
	if c.Piles > 0 && c.Piles < len(d.Piles) {
		// Every n-th, so that all operators have some.
		step, some := float64(len(d.Piles))/float64(c.Piles), make([]charge.PileID, c.Piles)
		for i := range some {
			some[i] = d.Piles[int(float64(i)*step)]
		}
		d.Piles = some
	}
	return d, p.close()
}

// progress says how it goes once a second, on one line.
func (c *SimulatorLoadCmd) progress(ctx context.Context, d *simulator.Drive, out io.Writer) {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for begun := time.Now(); ; {
		select {
		case <-ctx.Done():
			fmt.Fprintln(out)
			return
		case <-ticks.C:
		}
		s := d.Summary()
		fmt.Fprintf(out, "\r%.0f/s of %.0f, %d acknowledged, p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, %s left   ",
			s.Rate, s.Wanted, s.Acked, s.P50MS, s.P99MS, s.P999MS, max(0, c.Length-time.Since(begun)).Round(time.Second))
	}
}

// verify waits until history holds everything, and gives the last verdict if it never does.
func (c *SimulatorLoadCmd) verify(ctx context.Context, d *simulator.Drive) (*simulator.Verdict, error) {
	base := strings.TrimSuffix(c.Verify, "/")
	for until := time.Now().Add(verifyWithin); ; {
		v, err := d.Verify(ctx, base)
		if err != nil || v.Missing == 0 || time.Now().After(until) {
			return &v, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
