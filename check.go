package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"pilewatch/gateway"
	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/series"
)

// CheckCmd is `pilewatch check`.
type CheckCmd struct {
	DataConfig    `embed:""`
	HistoryConfig `embed:"" envprefix:"PILEWATCH_INFLUX_"`
	Gateway       gateway.Config `embed:"" envprefix:"PILEWATCH_GATEWAY_"`
	LogURL        string         `help:"An existing NATS that holds the log; empty looks at the embedded one." env:"PILEWATCH_LOG_URL" placeholder:"URL"`
	TokenFile     string         `name:"log-token-file" help:"File with the NATS' token." env:"PILEWATCH_LOG_TOKEN_FILE" placeholder:"FILE" type:"path"`
}

// What is good enough. A clock may be off by what the history's and the health's rules do not notice.
const (
	clockOff         = 5 * time.Second
	certificateSoon  = 21 * 24 * time.Hour
	certificateNever = 3 * 24 * time.Hour
	brokerWithin     = 10 * time.Second
	clockWithin      = 5 * time.Second
	filesBesides     = 1000 // open files and connections that are no piles
)

// A checker tries one thing after another and prints a line for each.
type checker struct {
	out           io.Writer
	tried, failed int
}

// A worry is something that goes well now, and may not for long.
type worry string

func (w worry) Error() string { return string(w) }

// try prints what do says: that all is well, a worry, or what is wrong and what to do.
func (c *checker) try(what string, do func() (string, error)) {
	c.tried++
	said, err := do()
	switch w, worried := errors.AsType[worry](err); {
	case err == nil:
		fmt.Fprintf(c.out, "ok     %-11s %s\n", what, said)
	case worried:
		fmt.Fprintf(c.out, "NOTE   %-11s %s\n", what, string(w))
	default:
		c.failed++
		fmt.Fprintf(c.out, "WRONG  %-11s %s\n", what, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// Run prints a line for each thing that it tries. It fails if one of them is wrong.
func (c *CheckCmd) Run(ctx context.Context, out io.Writer) error {
	quiet := slog.New(slog.DiscardHandler)
	own := c.Data
	if c.RegistryURL == "" {
		own = filepath.Join(c.Data, "registry.db")
	}
	if _, err := os.Stat(own); err != nil {
		return fmt.Errorf("check %s: %w; start pilewatch there first, or name another directory with --data", c.Data, err)
	}
	all := &checker{out: out}
	all.try("data", func() (string, error) { return checkData(c.Data) })
	all.try("disk", func() (string, error) { return checkDisk(c.Data, c.Gateway.LogMinFree) })
	piles := 0
	all.try("registry", func() (said string, err error) {
		said, piles, err = c.checkRegistry(ctx, quiet)
		return said, err
	})
	all.try("files", func() (string, error) { return checkFiles(piles) })
	all.try("history", func() (string, error) { return c.checkHistory(ctx, quiet) })
	all.try("log", func() (string, error) { return c.checkLog(ctx, quiet) })
	all.try("clock", func() (string, error) { return c.checkClock(ctx, quiet) })
	all.try("certificate", func() (string, error) { return c.checkCertificate(time.Now()) })
	all.try("bridges", func() (string, error) { return checkBridges(c.Data) })
	for _, b := range c.Gateway.Bridge {
		all.try("broker", func() (string, error) {
			trying, cancel := context.WithTimeout(ctx, brokerWithin)
			defer cancel()
			return gateway.TryBridge(trying, b)
		})
	}
	if all.failed > 0 {
		return fmt.Errorf("%d of %d checks failed", all.failed, all.tried)
	}
	return nil
}

// File systems that other machines share, on which SQLite's locks do not hold (statfs(2)).
var sharedDisks = map[int64]string{0x6969: "NFS", 0xff534d42: "CIFS", 0xfe534d42: "SMB2", 0x65735546: "FUSE"}

// checkData tells whether the data directory can be written, by us alone, and is on a disk of this machine.
func checkData(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	probe, err := os.CreateTemp(dir, ".check-*")
	if err != nil {
		return "", fmt.Errorf("%s cannot be written: %w; give it to the user that runs pilewatch (chown)", dir, err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return "", err
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "", fmt.Errorf("ask for the disk of %s: %w", dir, err)
	}
	if name := sharedDisks[int64(s.Type)&0xffffffff]; name != "" { //nolint:unconvert // its type differs by machine
		return "", fmt.Errorf("%s is on %s, where the registry's locks do not hold; move it to a disk of this machine", dir, name)
	}
	open := info.Mode().Perm()&0o077 != 0
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".token") {
			return err
		}
		file, err := d.Info()
		if err == nil && file.Mode().Perm()&0o077 != 0 {
			err = fmt.Errorf("%s can be read by others; chmod 600 %s", path, path)
		}
		return err
	}); err != nil {
		return "", err
	}
	if open {
		return "", worry(fmt.Sprintf("%s can be entered by others (%s); chmod 700 %s", dir, info.Mode().Perm(), dir))
	}
	return dir + ": writable, closed to others", nil
}

// checkDisk tells whether the gateway would acknowledge here.
func checkDisk(dir string, keepFree uint64) (string, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "", fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	size := uint64(s.Bsize) //nolint:gosec // not negative
	free, total := s.Bavail*size, s.Blocks*size
	said := fmt.Sprintf("%d of %d MiB free", free>>20, total>>20)
	least := max(total/20, keepFree)
	switch {
	case free < least:
		return "", fmt.Errorf("%s: below %d MiB the gateway acknowledges nothing; make room, or lower --log-min-free", said, least>>20)
	case free < 2*least:
		return "", worry(fmt.Sprintf("%s: below %d MiB the gateway acknowledges nothing; make room", said, least>>20))
	}
	return said, nil
}

// checkFiles tells whether each pile could have its connection.
func checkFiles(piles int) (string, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return "", fmt.Errorf("ask for the limit of open files: %w", err)
	}
	said := fmt.Sprintf("%d may be open", limit.Cur)
	if need := uint64(piles + filesBesides); limit.Cur < need { //nolint:gosec // not negative
		return "", worry(fmt.Sprintf("%s; if each of the %d piles connects by itself it takes %d: raise the limit (ulimit -n, LimitNOFILE=)", said, piles, need))
	}
	return said, nil
}

func (c *CheckCmd) checkRegistry(ctx context.Context, quiet *slog.Logger) (said string, piles int, err error) {
	p, err := openParts(ctx, &c.DataConfig, quiet)
	if err != nil {
		return "", 0, err
	}
	towns := 0
	for range p.directory.Piles() {
		piles++
	}
	for _, d := range p.directory.Divisions() {
		if d.Level == charge.Township {
			towns++
		}
	}
	where := filepath.Join(c.Data, "registry.db")
	if c.RegistryURL != "" {
		where = "PostgreSQL"
	}
	return fmt.Sprintf("%s: %d township-level divisions, %d operators, %d piles", where, towns,
		len(p.directory.Operators()), piles), piles, p.close()
}

func (c *CheckCmd) checkHistory(ctx context.Context, quiet *slog.Logger) (string, error) {
	h, err := c.open(ctx, c.Data, quiet)
	if err != nil {
		return "", err
	}
	where := filepath.Join(c.Data, "history.db")
	if c.InfluxURL != "" {
		where = c.InfluxURL + " " + c.InfluxBucket
		if s, ok := h.(*series.Influx); ok {
			keeps, err := s.Check(ctx)
			if err != nil {
				return "", errors.Join(err, h.Close())
			}
			where += ": " + keeps
		}
	}
	return where, errors.Join(h.Ping(ctx), h.Close())
}

// openLog opens the log as it is; ErrTaken is of the embedded one that a running pilewatch has.
func (c *CheckCmd) openLog(ctx context.Context, quiet *slog.Logger) (*journal.Log, string, error) {
	cfg := journal.Embedded(c.Data)
	where := filepath.Join(c.Data, "log")
	if c.LogURL != "" {
		cfg, where = journal.Config{URL: c.LogURL, TokenFile: c.TokenFile}, c.LogURL
	}
	cfg.MaxBytes = 0 // as it is
	l, err := journal.Open(ctx, cfg, quiet)
	return l, where, err
}

func (c *CheckCmd) checkLog(ctx context.Context, quiet *slog.Logger) (string, error) {
	l, where, err := c.openLog(ctx, quiet)
	if errors.Is(err, journal.ErrTaken) {
		return where + ": open in a running pilewatch", nil
	}
	if err != nil {
		return "", err
	}
	first, last, bytes, err := l.Span(ctx)
	if err != nil {
		return "", errors.Join(err, l.Close())
	}
	most, err := l.MaxBytes(ctx)
	said := fmt.Sprintf("%s: %d batches, %d MiB", where, last+1-max(first, 1), bytes>>20)
	if err == nil && most > 0 && bytes > uint64(most)/4*3 {
		err = worry(fmt.Sprintf("%s of %d: when it is full piles wait; see that ingest runs, or raise --log-max-bytes", said, most>>20))
	}
	return said, errors.Join(err, l.Close())
}

// notInStep is what adjtimex(2) gives for a clock that nothing keeps right (TIME_ERROR).
const notInStep = 5

// checkClock compares this machine's clock with those of InfluxDB and NATS, where these are elsewhere, and asks
// the kernel whether anything keeps it right.
func (c *CheckCmd) checkClock(ctx context.Context, quiet *slog.Logger) (string, error) {
	var said []string
	compare := func(with string, theirs time.Time, exact time.Duration) error {
		off := time.Until(theirs)
		said = append(said, fmt.Sprintf("%s from %s", off.Round(exact), with))
		if off.Abs() > clockOff {
			return fmt.Errorf("the clock is %s off that of %s: readings are judged by it; set both by NTP (chrony)", off.Round(exact), with)
		}
		return nil
	}
	if c.InfluxURL != "" {
		date, err := serverDate(ctx, c.InfluxURL)
		if err == nil {
			err = compare("InfluxDB", date, time.Second)
		}
		if err != nil {
			return "", err
		}
	}
	if c.LogURL != "" {
		l, _, err := c.openLog(ctx, quiet)
		if err != nil {
			return "", errors.New("the log does not answer, see above: its clock cannot be compared")
		}
		now, err := l.Clock(ctx)
		if err == nil {
			err = compare("NATS", now, time.Millisecond)
		}
		if err = errors.Join(err, l.Close()); err != nil {
			return "", err
		}
	}
	if state, err := syscall.Adjtimex(&syscall.Timex{}); err == nil && state == notInStep {
		said = append(said, "nothing keeps it right: run an NTP client (chrony) on this machine")
		return "", worry(strings.Join(said, ", "))
	}
	return strings.Join(append(said, "kept right by NTP"), ", "), nil
}

// serverDate is what a server's answer says of the time, to a second.
func serverDate(ctx context.Context, address string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, clockWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/ping", nil)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask %s for the time: %w", address, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask InfluxDB for the time: %w", err)
	}
	defer res.Body.Close()
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return time.Time{}, fmt.Errorf("ask InfluxDB for the time: %w", err)
	}
	return date, nil
}

func (c *CheckCmd) checkCertificate(now time.Time) (string, error) {
	if c.Gateway.TLSCert == "" {
		return "none: piles connect without TLS, so from this machine or a safe network only (--tls-cert, --tls-key)", nil
	}
	until, err := c.Gateway.CertificateUntil()
	if err != nil {
		return "", err
	}
	left := until.Sub(now)
	said := fmt.Sprintf("%s: %d days left, until %s", c.Gateway.TLSCert, int(left/(24*time.Hour)), until.In(charge.Zone).Format(time.DateTime))
	switch {
	case left <= 0:
		return "", fmt.Errorf("%s ended on %s: no pile can connect; renew it, the gateway takes the new one by itself", c.Gateway.TLSCert, until.In(charge.Zone).Format(time.DateTime))
	case left < certificateNever:
		return "", fmt.Errorf("%s; renew it now, the gateway takes the new one by itself", said)
	case left < certificateSoon:
		return "", worry(said + "; renew it, the gateway takes the new one by itself")
	}
	return said, nil
}

// checkBridges tells which sessions the gateways of the data directory have at operators' brokers,
// and which of them no setting names any more.
func checkBridges(data string) (string, error) {
	keepers, err := gateway.Sessions(data)
	if err != nil {
		return "", err
	}
	if len(keepers) == 0 {
		return "no sessions at operators' brokers", nil
	}
	var said []string
	var wrong []error
	for _, k := range keepers {
		runs := "runs"
		if !k.Running {
			runs = "does not run, and its brokers keep messages for it"
		}
		said = append(said, fmt.Sprintf("%s %s: sessions: %d", k.Name, runs, len(k.Sessions)))
		for _, s := range k.Sessions {
			if s.Orphan {
				wrong = append(wrong, fmt.Errorf("session %s at %s is left over from other settings and may go on getting its share; "+
					"it is ended when gateway %s reaches that broker (--bridge was %s)", s.Client, s.Broker, k.Name, s.Setting))
			}
		}
	}
	return strings.Join(said, "; "), errors.Join(wrong...)
}

// ReadyCmd is `pilewatch ready`.
type ReadyCmd struct {
	Part string `arg:"" help:"Where the part serves /readyz, such as http://127.0.0.1:8080." placeholder:"URL"`
}

// Run asks once.
func (c *ReadyCmd) Run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 2*readyWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.Part, "/")+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.Part, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.Part, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.Part, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not ready: %s", c.Part, strings.TrimSpace(string(text)))
	}
	_, err = fmt.Fprintln(out, "ready")
	return err
}
