package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"pilewatch/dashboard"
	"pilewatch/gateway"
	"pilewatch/ingest"
	"pilewatch/internal/journal"
	"pilewatch/simulator"
)

// A whole is all parts in one process, with everything embedded.
type whole struct {
	DataConfig    `embed:""`
	HistoryConfig `embed:"" envprefix:"PILEWATCH_INFLUX_"`
	TraceConfig   `embed:""`
	Gateway       gateway.Config `embed:"" envprefix:"PILEWATCH_GATEWAY_"`
	Ingest        ingest.Config  `embed:"" envprefix:"PILEWATCH_INGEST_"`
	LogListen     string         `help:"Where the embedded log listens for other processes (host:port); nowhere by default." env:"PILEWATCH_LOG_LISTEN" placeholder:"ADDR"`
	LogMaxBytes   int64          `help:"Most that the log may hold; when it is full, senders wait." default:"21474836480" env:"PILEWATCH_LOG_MAX_BYTES"`

	partitions int // of a log that is made; 0 for the default
}

// Validate names the first setting that cannot be used. kong calls it.
func (c *whole) Validate() error {
	if c.LogMaxBytes < leastLogBytes {
		return fmt.Errorf("--log-max-bytes %d: at least %d, a log of less is full at once", c.LogMaxBytes, leastLogBytes)
	}
	return nil
}

const leastLogBytes = 64 << 20

// open opens everything but the dashboard, whose defaults differ between demo and serve. between
// runs once the registry is open and before anything looks into it.
func (c *whole) open(ctx context.Context, log *slog.Logger, d *dashboard.Config, between func(*parts) error) (*parts, *gateway.Gateway, *dashboard.Dashboard, error) {
	p, err := openParts(ctx, &c.DataConfig, log)
	if err != nil {
		return nil, nil, nil, err
	}
	g, page, err := c.assemble(ctx, p, d, between)
	if err != nil {
		if g != nil {
			err = errors.Join(err, g.Close())
		}
		return nil, nil, nil, errors.Join(err, p.close())
	}
	return p, g, page, nil
}

func (c *whole) assemble(ctx context.Context, p *parts, d *dashboard.Config, between func(*parts) error) (g *gateway.Gateway, page *dashboard.Dashboard, err error) {
	if err := p.traces(ctx, &c.TraceConfig, "serve"); err != nil {
		return nil, nil, err
	}
	err = p.openJournal(func() (*journal.Log, error) {
		cfg := journal.Embedded(c.Data)
		cfg.Listen, cfg.MaxBytes, cfg.Tracer = c.LogListen, c.LogMaxBytes, p.tracer
		cfg.Partitions = cmp.Or(c.partitions, cfg.Partitions)
		return journal.Open(ctx, cfg, p.log)
	})
	if err != nil {
		return nil, nil, err
	}
	if err := between(p); err != nil {
		return nil, nil, err
	}
	if err := p.openHistory(ctx, &c.HistoryConfig); err != nil {
		return nil, nil, err
	}
	if g, err = p.gateway(&c.Gateway); err != nil {
		return nil, nil, err
	}
	if err := p.ingest(&c.Ingest); err != nil {
		return g, nil, err
	}
	page, err = p.dashboard(d)
	return g, page, err
}

// ServeCmd is `pilewatch serve`.
type ServeCmd struct {
	whole     `embed:""`
	Dashboard dashboard.Config `embed:"" envprefix:"PILEWATCH_DASHBOARD_" set:"public=false"`
}

// Run serves until it is told to stop.
func (c *ServeCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer) error {
	p, g, page, err := c.open(ctx, log, &c.Dashboard, func(*parts) error { return nil })
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "pilewatch serves\n  page  http://%s  (sign in with an account, or with the token in %s)\n  MQTT  %s\n", page.Addr(), page.TokenFile(), orNowhere(g.Addr()))
	return p.run(ctx)
}

// DemoCmd is `pilewatch demo`.
type DemoCmd struct {
	whole     `embed:""`
	Dashboard dashboard.Config `embed:"" envprefix:"PILEWATCH_DASHBOARD_" set:"public=true"`
	Piles     int              `help:"Piles in the fleet, 2000 at least; in a new directory 3000, afterwards what it holds." env:"PILEWATCH_SIMULATOR_PILES"`
	Seed      uint64           `help:"The same seed gives the same fleet; in a new directory 1, afterwards what it holds." env:"PILEWATCH_SIMULATOR_SEED"`
	Story     string           `help:"The past that the fleet of a new directory has: plan-2023-2025 or none." enum:"plan-2023-2025,none" default:"plan-2023-2025" env:"PILEWATCH_SIMULATOR_STORY"`
}

// Run plays the province until it is told to stop.
func (c *DemoCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer) error {
	var (
		fleet *simulator.Fleet
		note  *fleetNote
	)
	c.Dashboard.Demo = true
	c.partitions = demoPartitions
	p, g, page, err := c.open(ctx, log, &c.Dashboard, func(p *parts) (err error) {
		story := c.Story
		if err := p.journal.TakesStory(ctx); errors.Is(err, journal.ErrReal) {
			story = simulator.NoStory // a new fleet's; one that has a past keeps it
		} else if err != nil {
			return err
		}
		if fleet, note, err = ensureFleet(ctx, c.Data, p.registry, p.directory, c.Piles, c.Seed, story); err != nil {
			return err
		}
		if note.Story == simulator.Plan2023 {
			p.told = make(chan struct{})
		}
		return demoAccounts(ctx, p.registry, fleet.Operators[0])
	})
	if err != nil {
		return err
	}
	cfg := simulator.Defaults()
	cfg.Piles, cfg.Seed = note.Piles, note.Seed
	if g.Addr() == "" {
		return errors.Join(errors.New("play the demo: its fleet connects over MQTT; leave --mqtt as it is or give it an address"), p.close())
	}
	cfg.Broker = "tcp://" + g.Addr()
	s := simulator.New(cfg, fleet, note.signIn, log.With("service", "simulator"), p.metrics)
	page.Handle("GET /simulator/", s.Handler())
	p.group = append(p.group, p.afterStory(s.Run))
	if p.told != nil {
		p.group = append(p.group, func(ctx context.Context) error { return p.tellStory(ctx, fleet) })
	}
	fmt.Fprintf(out, `pilewatch demo: %d simulated piles of %d operators
  page  http://%s  (anyone may read; sign in with a click as officer, reviewer, operator or viewer, or as admin with the token in %s)
  MQTT  %s  (for a pile of your own: pilewatch registry credential issue %s --data %s)
Ctrl-C stops it; a second start goes on with %s.
`, note.Piles, len(fleet.Operators), page.Addr(), page.TokenFile(), g.Addr(), fleet.Operators[0].ID, c.Data, c.Data)
	return p.run(ctx)
}

func orNowhere(addr string) string {
	if addr == "" {
		return "nowhere: bridges only"
	}
	return addr
}

// GatewayCmd is `pilewatch gateway`.
type GatewayCmd struct {
	DataConfig  `embed:""`
	TraceConfig `embed:""`
	Gateway     gateway.Config `embed:"" envprefix:"PILEWATCH_GATEWAY_"`
	HTTP        string         `name:"http" help:"Where /metrics, /healthz and /readyz are served (host:port)." default:"127.0.0.1:9101" env:"PILEWATCH_GATEWAY_HTTP" placeholder:"ADDR"`
	LogURL      string         `help:"An existing NATS that holds the log; empty embeds the log here." env:"PILEWATCH_LOG_URL" placeholder:"URL"`
	TokenFile   string         `name:"log-token-file" help:"File with an existing NATS' token." env:"PILEWATCH_LOG_TOKEN_FILE" placeholder:"FILE" type:"path"`
	LogListen   string         `help:"Where the embedded log listens for the other parts (host:port)." default:"127.0.0.1:4222" env:"PILEWATCH_LOG_LISTEN" placeholder:"ADDR"`
	LogMaxBytes int64          `help:"Most that the log may hold; when it is full, senders wait." default:"21474836480" env:"PILEWATCH_LOG_MAX_BYTES"`
	Partitions  int            `help:"Partitions of a log that is made; fixed afterwards." default:"4" env:"PILEWATCH_LOG_PARTITIONS"`
	Replicas    int            `help:"Replicas of a log that is made in a NATS cluster." default:"1" env:"PILEWATCH_LOG_REPLICAS"`
}

// Run is the door until it is told to stop.
func (c *GatewayCmd) Run(ctx context.Context, log *slog.Logger) error {
	p, err := openParts(ctx, &c.DataConfig, log)
	if err != nil {
		return err
	}
	if err := p.traces(ctx, &c.TraceConfig, "gateway"); err != nil {
		return errors.Join(err, p.close())
	}
	err = p.openJournal(func() (*journal.Log, error) {
		cfg := journal.Config{
			URL: c.LogURL, TokenFile: c.TokenFile, Dir: c.Data, Listen: c.LogListen, Tracer: p.tracer,
			Partitions: c.Partitions, Replicas: c.Replicas, MaxBytes: c.LogMaxBytes,
		}
		if cfg.URL == "" {
			return journal.Open(ctx, cfg, log)
		}
		return waitForLog(ctx, cfg, log)
	})
	if err != nil {
		return errors.Join(err, p.close())
	}
	g, err := p.gateway(&c.Gateway)
	if err != nil {
		return errors.Join(err, p.close())
	}
	if err := p.ops(c.HTTP); err != nil {
		return errors.Join(err, g.Close(), p.close())
	}
	log.Info("gateway is up", "mqtt", g.Addr(), "http", c.HTTP)
	return p.run(ctx)
}

// IngestCmd is `pilewatch ingest`.
type IngestCmd struct {
	DataConfig    `embed:""`
	LogConfig     `embed:"" envprefix:"PILEWATCH_LOG_"`
	HistoryConfig `embed:"" envprefix:"PILEWATCH_INFLUX_"`
	TraceConfig   `embed:""`
	Ingest        ingest.Config `embed:"" envprefix:"PILEWATCH_INGEST_"`
	HTTP          string        `name:"http" help:"Where /metrics, /healthz and /readyz are served (host:port)." default:"127.0.0.1:9102" env:"PILEWATCH_INGEST_HTTP" placeholder:"ADDR"`
}

// Run reads the log until it is told to stop.
func (c *IngestCmd) Run(ctx context.Context, log *slog.Logger) error {
	p, err := openParts(ctx, &c.DataConfig, log)
	if err != nil {
		return err
	}
	for _, open := range []func() error{
		func() error { return p.ops(c.HTTP) },
		func() error { return p.traces(ctx, &c.TraceConfig, "ingest") },
		func() error {
			return p.openJournal(func() (*journal.Log, error) { return c.LogConfig.open(ctx, c.Data, p.tracer, log) })
		},
		func() error { return p.openHistory(ctx, &c.HistoryConfig) },
		func() error { return p.ingest(&c.Ingest) },
	} {
		if err := open(); err != nil {
			return errors.Join(err, p.close())
		}
	}
	log.Info("ingest is up", "http", c.HTTP)
	return p.run(ctx)
}

// DashboardCmd is `pilewatch dashboard`.
type DashboardCmd struct {
	DataConfig    `embed:""`
	LogConfig     `embed:"" envprefix:"PILEWATCH_LOG_"`
	HistoryConfig `embed:"" envprefix:"PILEWATCH_INFLUX_"`
	Dashboard     dashboard.Config `embed:"" envprefix:"PILEWATCH_DASHBOARD_" set:"public=false"`
}

// Run shows the page until it is told to stop.
func (c *DashboardCmd) Run(ctx context.Context, log *slog.Logger) error {
	p, err := openParts(ctx, &c.DataConfig, log)
	if err != nil {
		return err
	}
	if err := p.openJournal(func() (*journal.Log, error) { return c.LogConfig.open(ctx, c.Data, nil, log) }); err != nil {
		return errors.Join(err, p.close())
	}
	if err := p.openHistory(ctx, &c.HistoryConfig); err != nil {
		return errors.Join(err, p.close())
	}
	d, err := p.dashboard(&c.Dashboard)
	if err != nil {
		return errors.Join(err, p.close())
	}
	log.Info("dashboard is up", "http", d.Addr())
	return p.run(ctx)
}

// SimulatorCmd is `pilewatch simulator`.
type SimulatorCmd struct {
	Run      SimulatorRunCmd       `cmd:"" default:"withargs" help:"Let a fleet report to a gateway. The gateway's registry must be the fleet's: give the same --data, or import what generate writes."`
	Load     SimulatorLoadCmd      `cmd:"" help:"Send what the piles of a simulated fleet's registry would at a fixed rate, and tell rate, latency and losses."`
	Scenario SimulatorScenarioCmd  `cmd:"" help:"Let an outage, a flood or something else happen to some piles, and check that the dashboard shows it."`
	Backfill SimulatorBackfillCmd  `cmd:"" help:"Write a fleet's past into the log of a new data directory, registry and all."`
	Generate simulator.GenerateCmd `cmd:"" help:"Write a fleet's registry as the CSV files that import reads."`
}

// SimulatorRunCmd is `pilewatch simulator run`.
type SimulatorRunCmd struct {
	DataConfig `embed:""`
	Simulator  simulator.Config `embed:"" envprefix:"PILEWATCH_SIMULATOR_"`
	HTTP       string           `name:"http" help:"Where /metrics, /healthz and /readyz are served (host:port)." default:"127.0.0.1:9103" env:"PILEWATCH_SIMULATOR_HTTP" placeholder:"ADDR"`
}

// Run speaks for the fleet until it is told to stop.
func (c *SimulatorRunCmd) Run(ctx context.Context, log *slog.Logger) error {
	p, err := openParts(ctx, &c.DataConfig, log)
	if err != nil {
		return err
	}
	fleet, note, err := ensureFleet(ctx, c.Data, p.registry, p.directory, c.Simulator.Piles, c.Simulator.Seed, simulator.NoStory)
	if err != nil {
		return errors.Join(err, p.close())
	}
	s := simulator.New(&c.Simulator, fleet, note.signIn, log.With("service", "simulator"), p.metrics)
	p.group = append(p.group, s.Run)
	p.ready = append(p.ready, s.Ready)
	if err := p.ops(c.HTTP); err != nil {
		return errors.Join(err, p.close())
	}
	log.Info("simulator is up", "piles", len(fleet.Piles), "broker", c.Simulator.Broker, "http", c.HTTP)
	return p.run(ctx)
}
