package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
)

// manifestFile is the last file that a backup writes: without it the backup is not whole.
const manifestFile = "backup.json"

// backupForm is the form of a backup. A program that does not know it refuses it.
const backupForm = 1

// A manifest says what a backup holds.
type manifest struct {
	Form    int               `json:"form"`
	Version string            `json:"version"` // of the program that made it
	Began   time.Time         `json:"began"`   // what was acknowledged before this is in it
	Files   map[string]string `json:"files"`   // SHA-256 by name
}

// BackupCmd is `pilewatch backup DIR`.
type BackupCmd struct {
	DataConfig `embed:""`
	LogURL     string `help:"The log of a running pilewatch: where its --log-listen is, or a NATS. Empty opens the one in the data directory, of one that is stopped." env:"PILEWATCH_LOG_URL" placeholder:"URL"`
	TokenFile  string `name:"log-token-file" help:"File with the log's token; DIR/log.token if left out." env:"PILEWATCH_LOG_TOKEN_FILE" placeholder:"FILE" type:"path"`
	To         string `arg:"" help:"Directory that is made for it." type:"path"`
}

// Run copies registry, log and embedded history, in the order in which one may be newer than the other.
func (c *BackupCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer) (err error) {
	began := time.Now().UTC()
	if err := os.Mkdir(c.To, 0o700); err != nil {
		return fmt.Errorf("back up to %s: %w; name a directory that is not there yet", c.To, err)
	}
	l, err := c.openLog(ctx, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	r, err := c.openRegistry(ctx, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	streams := filepath.Join(c.To, "log")
	if err := os.Mkdir(streams, 0o700); err != nil {
		return err
	}
	for _, copyPart := range []func() error{
		func() error { return l.BackupCheckpoints(ctx, streams) },
		func() error { return r.Backup(ctx, filepath.Join(c.To, "registry.db")) },
		func() error { return l.Backup(ctx, streams) },
		func() error { return c.backupHistory(ctx, log, out) },
		func() error { return copySmallFiles(c.Data, c.To) },
	} {
		if err := copyPart(); err != nil {
			return fmt.Errorf("back up: %w", err)
		}
	}
	m := manifest{Form: backupForm, Version: version(), Began: began}
	if m.Files, err = sumFiles(c.To); err != nil {
		return err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.To, manifestFile), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	fmt.Fprintf(out, "%d files in %s; secrets are among them\n", len(m.Files), c.To)
	return nil
}

func (c *BackupCmd) openLog(ctx context.Context, log *slog.Logger) (*journal.Log, error) {
	cfg := journal.Embedded(c.Data)
	cfg.MaxBytes = 0 // as it is
	if c.LogURL != "" {
		cfg = journal.Config{URL: c.LogURL, TokenFile: c.TokenFile}
		if cfg.TokenFile == "" {
			cfg.TokenFile = journal.TokenFile(c.Data)
		}
	} else if _, err := os.Stat(filepath.Join(c.Data, "log")); err != nil {
		return nil, fmt.Errorf("back up the log: %w; is it elsewhere? Then name it with --log-url", err)
	}
	l, err := journal.Open(ctx, cfg, log)
	if errors.Is(err, journal.ErrTaken) {
		return nil, fmt.Errorf("%w; let it listen by --log-listen and name that here by --log-url", err)
	}
	return l, err
}

func (c *BackupCmd) backupHistory(ctx context.Context, log *slog.Logger, out io.Writer) error {
	file := filepath.Join(c.Data, "history.db")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(out, "no history.db here: InfluxDB has a backup of its own (influx backup, influxd backup)")
		return nil
	}
	h, err := series.OpenEmbedded(ctx, file, log)
	if err != nil {
		return err
	}
	return errors.Join(h.Backup(ctx, filepath.Join(c.To, "history.db")), h.Close())
}

// smallFiles are what a data directory holds beside its databases: tokens, keys, names.
var smallFiles = []string{"dashboard.token", "log.token", "signing.key", "ingest.name", fleetFile}

func copySmallFiles(from, to string) error {
	for _, name := range smallFiles {
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// sumFiles gives the SHA-256 of every file below dir but the manifest.
func sumFiles(dir string) (map[string]string, error) {
	sums := make(map[string]string)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	defer root.Close() //nolint:errcheck // only read from
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == manifestFile || strings.HasSuffix(name, "-wal") || strings.HasSuffix(name, "-shm") {
			return err
		}
		file, err := root.Open(name)
		if err != nil {
			return err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, file)
		sums[name] = hex.EncodeToString(sum.Sum(nil))
		return errors.Join(err, file.Close())
	})
	if err != nil {
		return nil, fmt.Errorf("read backup %s: %w", dir, err)
	}
	return sums, nil
}

// RestoreCmd is `pilewatch restore DIR`.
type RestoreCmd struct {
	DataConfig `embed:""`
	LogURL     string `help:"An existing NATS, without streams, that the log goes to; empty makes it in the data directory." env:"PILEWATCH_LOG_URL" placeholder:"URL"`
	TokenFile  string `name:"log-token-file" help:"File with the NATS' token." env:"PILEWATCH_LOG_TOKEN_FILE" placeholder:"FILE" type:"path"`
	Replicas   int    `help:"Replicas of the log in a NATS cluster." default:"1" env:"PILEWATCH_LOG_REPLICAS"`
	From       string `arg:"" help:"Directory of the backup." type:"existingdir"`
}

// Run makes a data directory, which must be empty or not there, out of a backup that is whole.
func (c *RestoreCmd) Run(ctx context.Context, log *slog.Logger, out io.Writer) error {
	m, err := readManifest(c.From)
	if err != nil {
		return err
	}
	if there, err := os.ReadDir(c.Data); err == nil && len(there) > 0 {
		return fmt.Errorf("restore to %s: it holds something already; name a new directory with --data", c.Data)
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := copySmallFiles(c.From, c.Data); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if _, has := m.Files["history.db"]; has {
		if err := copyFile(filepath.Join(c.From, "history.db"), filepath.Join(c.Data, "history.db")); err != nil {
			return fmt.Errorf("restore history: %w", err)
		}
	}
	if err := c.restoreRegistry(ctx, log); err != nil {
		return err
	}
	cfg := journal.Embedded(c.Data)
	if c.LogURL != "" {
		cfg = journal.Config{URL: c.LogURL, TokenFile: c.TokenFile, Replicas: c.Replicas}
	}
	if err := journal.Restore(ctx, cfg, filepath.Join(c.From, "log"), log); err != nil {
		return fmt.Errorf("restore log: %w", err)
	}
	fmt.Fprintf(out, "restored to %s what was acknowledged before %s\n", c.Data, m.Began.Format(time.RFC3339))
	return nil
}

func (c *RestoreCmd) restoreRegistry(ctx context.Context, log *slog.Logger) error {
	kept := filepath.Join(c.From, "registry.db")
	if c.RegistryURL == "" {
		if err := copyFile(kept, filepath.Join(c.Data, "registry.db")); err != nil {
			return fmt.Errorf("restore registry: %w", err)
		}
		return nil
	}
	// A copy of the copy: to open it brings its schema up to date.
	passing := filepath.Join(c.Data, "restored.db")
	if err := copyFile(kept, passing); err != nil {
		return fmt.Errorf("restore registry: %w", err)
	}
	from, err := registry.Open(ctx, passing, log)
	if err != nil {
		return err
	}
	to, err := c.openRegistry(ctx, log)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	_, err = registry.Copy(ctx, from, to)
	return errors.Join(err, to.Close(), from.Close(), os.Remove(passing))
}

// readManifest reads a backup's and compares every file with it.
func readManifest(dir string) (*manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return nil, fmt.Errorf("restore: %w; a backup without it is not whole", err)
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("read %s of the backup: %w", manifestFile, err)
	}
	if m.Form != backupForm {
		return nil, fmt.Errorf("restore: the backup has form %d, made by version %s; this version reads form %d", m.Form, m.Version, backupForm)
	}
	sums, err := sumFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if sums[name] != m.Files[name] {
			return nil, fmt.Errorf("restore: %s of the backup is not what was written; take another backup", name)
		}
	}
	return &m, nil
}

func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // only read from
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Sync(), dst.Close())
}
