package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"pilewatch/dashboard"
	"pilewatch/gateway"
	"pilewatch/ingest"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
)

// A DataConfig says where a part keeps what is its own.
type DataConfig struct {
	Data                 string `help:"Directory of the data." default:"data" env:"PILEWATCH_DATA" type:"path" placeholder:"DIR"`
	RegistryURL          string `help:"PostgreSQL that holds the registry, such as postgres://pilewatch@10.0.0.5/pilewatch?sslmode=verify-full, so that several machines share it; empty keeps it in DIR/registry.db." env:"PILEWATCH_REGISTRY_URL" placeholder:"URL"`
	RegistryPasswordFile string `help:"File with the password for that PostgreSQL." env:"PILEWATCH_REGISTRY_PASSWORD_FILE" placeholder:"FILE" type:"path"`
}

// openRegistry opens the one that every part needs.
func (c *DataConfig) openRegistry(ctx context.Context, log *slog.Logger) (*registry.Registry, error) {
	if c.RegistryURL != "" {
		return registry.OpenPostgres(ctx, registry.PostgresConfig{URL: c.RegistryURL, PasswordFile: c.RegistryPasswordFile}, log)
	}
	return registry.Open(ctx, filepath.Join(c.Data, "registry.db"), log)
}

// A HistoryConfig says where readings are kept for those who ask for the past.
type HistoryConfig struct {
	InfluxURL       string `help:"InfluxDB that keeps the history, such as http://127.0.0.1:8086; empty keeps it in a file for 30 days." env:"URL" placeholder:"URL"`
	InfluxTokenFile string `help:"File with InfluxDB's token (2.x), or user:password (1.8+)." env:"TOKEN_FILE" placeholder:"FILE" type:"path"`
	InfluxOrg       string `help:"InfluxDB's organisation (2.x)." env:"ORG"`
	InfluxBucket    string `help:"InfluxDB's bucket; database/retention policy on 1.8." default:"evcs/raw" env:"BUCKET"`
	InfluxGzip      bool   `help:"Compress what is written to InfluxDB: for a narrow way there; on a LAN it costs more than it saves." env:"GZIP"`
}

// history is where the past lies: *series.Embedded or *series.Influx.
type history interface {
	ingest.Store
	dashboard.History
	Close() error
}

func (c *HistoryConfig) open(ctx context.Context, data string, log *slog.Logger) (history, error) {
	if c.InfluxURL == "" {
		return series.OpenEmbedded(ctx, filepath.Join(data, "history.db"), log)
	}
	return series.NewInflux(series.InfluxConfig{
		URL: c.InfluxURL, TokenFile: c.InfluxTokenFile, Org: c.InfluxOrg, Bucket: c.InfluxBucket, Gzip: c.InfluxGzip,
	}, log)
}

// A LogConfig says where the parts find the log when they run apart.
type LogConfig struct {
	LogURL       string `help:"The log: the gateway's own on this machine, or an existing NATS." default:"nats://127.0.0.1:4222" env:"URL" placeholder:"URL"`
	LogTokenFile string `help:"File with the log's token; DIR/log.token if left out." env:"TOKEN_FILE" placeholder:"FILE" type:"path"`
}

// open waits for the log: the parts start in any order.
func (c *LogConfig) open(ctx context.Context, data string, tracer trace.Tracer, log *slog.Logger) (*journal.Log, error) {
	cfg := journal.Config{URL: c.LogURL, TokenFile: c.LogTokenFile, Tracer: tracer}
	if cfg.TokenFile == "" {
		cfg.TokenFile = journal.TokenFile(data)
	}
	return waitForLog(ctx, cfg, log)
}

func waitForLog(ctx context.Context, cfg journal.Config, log *slog.Logger) (*journal.Log, error) {
	for told := false; ; told = true {
		l, err := journal.Open(ctx, cfg, log)
		if err == nil {
			return l, nil
		}
		if !told {
			log.Warn("log does not answer, waiting for it", "url", cfg.URL, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// A parts is what a process has open and runs. Everything that was opened is closed by close, in
// the opposite order.
type parts struct {
	log     *slog.Logger
	metrics *prometheus.Registry
	data    string

	registry  *registry.Registry
	directory *registry.Directory
	journal   *journal.Log
	history   history
	tracer    trace.Tracer // nil where nothing is traced

	told    chan struct{} // closed when the demo's story is in the log; nil without one
	running atomic.Bool   // then group and ready stay as they are
	group   []func(context.Context) error
	ready   []func(context.Context) error
	closers []func() error
}

// openParts opens the registry, which every part needs.
func openParts(ctx context.Context, c *DataConfig, log *slog.Logger) (*parts, error) {
	p := &parts{log: log, metrics: newMetrics(), data: c.Data}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w; choose another one with --data", err)
	}
	var err error
	if p.registry, err = c.openRegistry(ctx, log); err != nil {
		return nil, err
	}
	p.closers = append(p.closers, p.registry.Close)
	if p.directory, err = p.registry.Directory(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.group = append(p.group, func(ctx context.Context) error { return p.directory.Follow(ctx, registryEvery) })
	return p, nil
}

// registryEvery is how soon a change of the registry is seen (design: within 5 s).
const registryEvery = time.Second

func (p *parts) openJournal(open func() (*journal.Log, error)) error {
	var err error
	if p.journal, err = open(); err != nil {
		return err
	}
	p.closers = append(p.closers, p.journal.Close)
	return nil
}

func (p *parts) openHistory(ctx context.Context, cfg *HistoryConfig) error {
	var err error
	if p.history, err = cfg.open(ctx, p.data, p.log); err != nil {
		return err
	}
	p.closers = append(p.closers, p.history.Close)
	return nil
}

// gateway adds the door.
func (p *parts) gateway(cfg *gateway.Config) (*gateway.Gateway, error) {
	g, err := gateway.New(cfg, p.data, p.journal, p.directory, p.log, p.metrics)
	if err != nil {
		return nil, err
	}
	p.group = append(p.group, p.afterStory(g.Run))
	p.ready = append(p.ready, g.Ready)
	return g, nil
}

// ingest adds what reads the log.
func (p *parts) ingest(cfg *ingest.Config) error {
	unlock, err := journal.Lock(filepath.Join(p.data, "ingest.lock"))
	if err != nil {
		return fmt.Errorf("start ingest: %w", err)
	}
	p.closers = append(p.closers, unlock)
	mine := *cfg
	if mine.Name, err = ensureName(filepath.Join(p.data, "ingest.name")); err != nil {
		return err
	}
	mine.SigningKey = filepath.Join(p.data, "signing.key")
	in, err := ingest.New(&mine, p.journal, p.registry, p.directory, p.history, p.log, p.metrics)
	if err != nil {
		return err
	}
	p.group = append(p.group, p.afterStory(in.Run)) // a story is written at once, and not while it is read
	p.ready = append(p.ready, in.Ready)
	return nil
}

// ensureName gives the name in the file, which it makes where it is missing: by it a process finds
// after a restart what it held before.
func ensureName(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the name of this ingest: %w", err)
	}
	if name := string(bytes.TrimSpace(text)); name != "" {
		return name, nil
	}
	name := rand.Text()
	if err := os.WriteFile(path, []byte(name+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the name of this ingest: %w", err)
	}
	return name, nil
}

// dashboard adds the page, which serves the process's metrics as well.
func (p *parts) dashboard(cfg *dashboard.Config) (*dashboard.Dashboard, error) {
	d, err := dashboard.New(cfg, p.data, dashboard.Sources{
		Divisions: p.directory, Registry: p.registry, Feed: p.journal, History: p.history,
	}, p.log, p.metrics)
	if err != nil {
		return nil, err
	}
	p.group = append(p.group, d.Run)
	p.ready = append(p.ready, d.Ready)
	handleOps(d, p.metrics, p.allReady)
	return d, nil
}

// ops adds an address for metrics and health, for a process without a page.
func (p *parts) ops(addr string) error {
	s, err := newOpsServer(addr, p.metrics, p.allReady)
	if err != nil {
		return err
	}
	p.group = append(p.group, s.run)
	p.closers = append(p.closers, s.close)
	return nil
}

func (p *parts) allReady(ctx context.Context) error {
	if !p.running.Load() {
		return errors.New("starting: not all that it needs is there yet")
	}
	var all []error
	for _, ready := range p.ready {
		all = append(all, ready(ctx))
	}
	return errors.Join(all...)
}

// run runs everything until ctx ends or a part fails, and then closes what is open.
func (p *parts) run(ctx context.Context) error {
	p.running.Store(true)
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range p.group {
		g.Go(func() error { return run(ctx) })
	}
	return errors.Join(g.Wait(), p.close())
}

func (p *parts) close() error {
	var all []error
	for _, end := range slices.Backward(p.closers) {
		all = append(all, end())
	}
	p.closers = nil
	return errors.Join(all...)
}
