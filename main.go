// Pilewatch watches a province's EV charging piles: it takes their messages over MQTT, keeps them
// in a log and a history, tells which townships truly have a working public charging station, and
// shows it to those who are responsible. One program; a word picks the part that runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// CLI is the command line: a flag, an environment variable or a line of the YAML file for each
// setting, in this order of precedence.
type CLI struct {
	Demo      DemoCmd      `cmd:"" help:"Everything in one process, with a simulated fleet: the way to look around."`
	Serve     ServeCmd     `cmd:"" help:"Everything in one process, without the fleet: production on one machine."`
	Gateway   GatewayCmd   `cmd:"" help:"The door alone: piles over MQTT, into the log."`
	Ingest    IngestCmd    `cmd:"" help:"Ingest alone: the log, into history, coverage and changes."`
	Dashboard DashboardCmd `cmd:"" help:"The dashboard alone: API, WebSocket and page."`
	Simulator SimulatorCmd `cmd:"" help:"A simulated fleet that reports to a gateway, or its registry as files."`
	Registry  RegistryCmd  `cmd:"" help:"Import, export, credentials, accounts and the policy."`
	History   HistoryCmd   `cmd:"" help:"Move what the embedded history holds to InfluxDB."`
	Check     CheckCmd     `cmd:"" help:"Try all that the settings name, and this machine, and say what is wrong and what to do."`
	Conform   ConformCmd   `cmd:"" help:"Check an operator's messages before it goes live: what of them could not be used, and why."`
	Backup    BackupCmd    `cmd:"" help:"Copy registry, log and embedded history into a new directory, while pilewatch runs."`
	Restore   RestoreCmd   `cmd:"" help:"Make a data directory out of a backup."`
	Ready     ReadyCmd     `cmd:"" help:"Ask a running part whether it is ready; fails if it is not. For containers, which have no other program."`

	Config    kong.ConfigFlag  `help:"YAML file with settings, named like the flags." placeholder:"FILE" type:"existingfile"`
	LogFormat string           `help:"Form of the log on standard error: ${enum}." enum:"text,json" default:"text" env:"PILEWATCH_LOG_FORMAT"`
	LogLevel  slog.Level       `help:"Least level that is logged: debug, info, warn or error." default:"info" env:"PILEWATCH_LOG_LEVEL"`
	Pprof     string           `help:"Where to serve Go's profiles (host:port), such as 127.0.0.1:6060; nowhere by default." env:"PILEWATCH_PPROF" placeholder:"ADDR"`
	Version   kong.VersionFlag `help:"Print the version and leave."`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pilewatch:", err)
		os.Exit(1)
	}
}

// run is one call of the program. The first SIGINT or SIGTERM stops it in order, a second at once.
func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	unsetEmpty()
	var cli CLI
	parser, err := kong.New(&cli,
		kong.Name("pilewatch"),
		kong.Description("Watches a province's EV charging piles, and which of its townships truly have one that works."),
		kong.Configuration(loadSettings),
		kong.Vars{"version": version()},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(os.Stdout, (*io.Writer)(nil)),
	)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return fmt.Errorf("%w; pilewatch --help tells what there is", err)
	}
	log := newLogger(&cli)
	if cli.Pprof != "" {
		end, err := servePprof(cli.Pprof, log)
		if err != nil {
			return err
		}
		defer end()
	}
	err = parsed.Run(log)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil // stopped while it started
	}
	return err
}

// unsetEmpty takes our empty environment variables for not set, as compose files give them.
func unsetEmpty() {
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); value == "" && strings.HasPrefix(name, "PILEWATCH_") {
			_ = os.Unsetenv(name) // fails for names that no environment can hold
		}
	}
}

func newLogger(cli *CLI) *slog.Logger {
	options := &slog.HandlerOptions{Level: cli.LogLevel}
	if cli.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}

// stamped is set by the linker in an image's build, where the repository is not at hand.
var stamped string

// version is what was stamped into the build: a release's tag, or the commit.
func version() string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}
