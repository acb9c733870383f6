// Package journal is the log between gateway, ingest and dashboard: NATS JetStream, embedded in
// the process or an existing cluster, and the records in it. It knows what a record looks like
// and when it is safely stored; it never judges what a record means.
//
// Streams: READINGS (subjects readings.{partition}) refuses when it is full, so that nothing
// that was not consumed is ever dropped; REJECTS and CHANGES discard their oldest.
package journal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"pilewatch/internal/charge"
)

// Names of the streams and of the store of checkpoints.
const (
	readingsStream   = "READINGS"
	rejectsStream    = "REJECTS"
	changesStream    = "CHANGES"
	checkpointsStore = "CHECKPOINTS"
)

// maxPayloadBytes bounds one log message; a batch is cut long before.
const maxPayloadBytes = 4 << 20

// Config says where the log is and how much it may hold.
type Config struct {
	URL       string // an existing NATS, such as nats://10.0.0.1:4222; empty embeds one
	TokenFile string // token of an existing NATS
	Dir       string // the embedded log's directory
	Listen    string // where the embedded log listens for the other parts, host:port; empty: in this process only

	Partitions int   // of READINGS, fixed when the stream is made
	Replicas   int   // 1 embedded, 3 on a cluster
	MaxBytes   int64 // of READINGS; beyond it writes are refused until ingest has purged

	Tracer trace.Tracer // of batches on their way; nil: none is traced
}

// Embedded is the configuration of a log inside this process, with its files in dir:
// 4 partitions, 20 GiB.
func Embedded(dir string) Config {
	return Config{Dir: dir, Partitions: 4, Replicas: 1, MaxBytes: 20 << 30}
}

// A Log is an open log. Its methods are safe for concurrent use.
type Log struct {
	cfg        Config
	serverMu   sync.Mutex
	server     *server.Server // nil where the log is elsewhere; under serverMu
	broken     atomic.Bool    // server has failed to write, and will fail from then on
	dir        string         // of server's files
	diskLow    atomic.Bool    // nothing may be written now
	unlock     func() error
	conn       *nats.Conn
	js         jetstream.JetStream
	partitions int
	replicas   int // of each stream
	log        *slog.Logger
	tracer     trace.Tracer
	decoded    decodedBatches
}

// ErrTaken is returned where another process has the embedded log, or what Lock was asked for.
var ErrTaken = errors.New("another pilewatch runs on this directory")

// Open opens the log and makes the streams that are not there yet.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Log, error) {
	l := &Log{log: log, cfg: cfg, tracer: tracerOr(cfg.Tracer)}
	if err := l.connect(cfg); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := l.makeStreams(ctx, cfg); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Log) connect(cfg Config) error {
	opts := []nats.Option{
		nats.Name("pilewatch"),
		nats.MaxReconnects(-1),
		nats.ReconnectJitter(100*time.Millisecond, time.Second),
		// A server whose machine is cut off says nothing: another one of the cluster is asked within some 12 s.
		nats.PingInterval(4 * time.Second), nats.MaxPingsOutstanding(2),
	}
	url := cfg.URL
	if url == "" {
		if err := l.embed(cfg); err != nil {
			return err
		}
		opts = append(opts, nats.InProcessServer(inProcess{l}), nats.ReconnectWait(100*time.Millisecond))
		cfg.TokenFile = tokenFile(cfg.Dir)
	}
	if cfg.TokenFile != "" {
		token, err := os.ReadFile(cfg.TokenFile)
		if err != nil {
			return fmt.Errorf("read the log's token: %w", err)
		}
		opts = append(opts, nats.Token(strings.TrimSpace(string(token))))
	}
	conn, err := nats.Connect(url, opts...)
	if err != nil {
		return fmt.Errorf("connect to the log at %s: %w", url, err)
	}
	l.conn = conn
	l.js, err = jetstream.New(conn,
		jetstream.WithPublishAsyncMaxPending(maxPublishesPending),
		jetstream.WithPublishAsyncTimeout(publishTimeout))
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	return nil
}

// inProcess connects to whichever server runs now.
type inProcess struct{ log *Log }

func (p inProcess) InProcessConn() (net.Conn, error) {
	p.log.serverMu.Lock()
	defer p.log.serverMu.Unlock()
	if p.log.server == nil {
		return nil, errors.New("the embedded log does not run")
	}
	return p.log.server.InProcessConn()
}

// embed takes the directory for this process and starts the server in it.
func (l *Log) embed(cfg Config) error {
	dir := filepath.Join(cfg.Dir, "log")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the log's directory: %w", err)
	}
	unlock, err := Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	l.unlock, l.dir = unlock, dir
	return l.startServer(cfg)
}

// restart ends the embedded server and starts it again: JetStream keeps its first failure to write
// (no space left on the disk, say) and stores nothing more, whatever room there is later.
func (l *Log) restart() error {
	l.stopServer()
	l.broken.Store(false)
	if err := l.startServer(l.cfg); err != nil {
		l.broken.Store(true)
		return err
	}
	return nil
}

func (l *Log) stopServer() {
	l.serverMu.Lock()
	running := l.server
	l.server = nil
	l.serverMu.Unlock()
	if running != nil {
		running.Shutdown()
		running.WaitForShutdown()
	}
}

// startServer runs JetStream in this process. Every write is on disk before it is acknowledged
// (SyncAlways): the default would acknowledge up to two minutes earlier, and a power cut in
// between would lose readings that their senders were told are safe.
func (l *Log) startServer(cfg Config) error {
	dir := l.dir
	token, err := ensureToken(tokenFile(cfg.Dir))
	if err != nil {
		return err
	}
	opts := &server.Options{
		ServerName:             "pilewatch",
		JetStream:              true,
		StoreDir:               dir,
		JetStreamMaxStore:      1 << 60, // each stream has its own limit; their sum changes with the configuration
		JetStreamMaxMemory:     64 << 20,
		SyncAlways:             true,
		DontListen:             cfg.Listen == "",
		NoSigs:                 true,
		MaxPayload:             maxPayloadBytes,
		Authorization:          token,
		DisableJetStreamBanner: true,
	}
	if cfg.Listen != "" {
		if opts.Host, opts.Port, err = hostPort(cfg.Listen); err != nil {
			return err
		}
	}
	fresh, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("make the embedded log in %s: %w", dir, err)
	}
	fresh.SetLoggerV2(&serverLog{log: l.log, broken: &l.broken}, false, false, false)
	l.serverMu.Lock()
	l.server = fresh
	l.serverMu.Unlock()
	fresh.Start()
	if !fresh.ReadyForConnections(30 * time.Second) {
		return fmt.Errorf("start the embedded log in %s: not ready within 30 s; is its disk readable and %s free?", dir, cfg.Listen)
	}
	return nil
}

const (
	rejectsMaxBytes     = 1 << 30
	changesMaxBytes     = 1 << 30
	checkpointsMaxBytes = 2 << 30
	rejectsMaxAge       = 90 * 24 * time.Hour
	changesMaxAge       = 30 * 24 * time.Hour
)

func (l *Log) makeStreams(ctx context.Context, cfg Config) error {
	existing, err := l.js.Stream(ctx, readingsStream)
	switch {
	case err == nil:
		subjects := existing.CachedInfo().Config.Subjects
		if cfg.Partitions != 0 && cfg.Partitions != len(subjects) {
			l.log.Warn("the log keeps the number of partitions it was made with", "partitions", len(subjects))
		}
		l.partitions = len(subjects)
		l.replicas = existing.CachedInfo().Config.Replicas // of whoever made it: others join and have no say
		if l.server != nil {
			if err := l.resize(ctx, existing, cfg.MaxBytes); err != nil {
				return err
			}
		}
	case errors.Is(err, jetstream.ErrStreamNotFound):
		if cfg.Partitions == 0 {
			return errors.New("open the log: stream READINGS is not there yet; start the gateway first")
		}
		subjects := make([]string, cfg.Partitions)
		for p := range subjects {
			subjects[p] = readingsSubject(p)
		}
		if _, err := l.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: readingsStream, Subjects: subjects, Storage: jetstream.FileStorage, Replicas: cfg.Replicas,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: cfg.MaxBytes,
		}); err != nil {
			return fmt.Errorf("make stream %s: %w", readingsStream, err)
		}
		l.partitions, l.replicas = cfg.Partitions, max(cfg.Replicas, 1)
	default:
		return fmt.Errorf("look up stream %s: %w", readingsStream, err)
	}
	for _, s := range []jetstream.StreamConfig{
		{Name: rejectsStream, Subjects: []string{"rejects.>"}, MaxAge: rejectsMaxAge, MaxBytes: rejectsMaxBytes},
		{Name: changesStream, Subjects: []string{"changes.>"}, MaxAge: changesMaxAge, MaxBytes: changesMaxBytes},
	} {
		s.Storage, s.Discard, s.Replicas = jetstream.FileStorage, jetstream.DiscardOld, l.replicas
		// To say what is so already costs a cluster an agreement, and many parts may start at once.
		if there, err := l.js.Stream(ctx, s.Name); err == nil {
			if is := there.CachedInfo().Config; is.MaxAge == s.MaxAge && is.MaxBytes == s.MaxBytes && is.Replicas == s.Replicas {
				continue
			}
		}
		if _, err := l.js.CreateOrUpdateStream(ctx, s); err != nil {
			return fmt.Errorf("make stream %s: %w", s.Name, err)
		}
	}
	if _, err := l.js.ObjectStore(ctx, checkpointsStore); err == nil && l.server == nil {
		return nil
	}
	if _, err := l.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: checkpointsStore, MaxBytes: checkpointsMaxBytes, Replicas: l.replicas,
	}); err != nil {
		return fmt.Errorf("make object store %s: %w", checkpointsStore, err)
	}
	return nil
}

// resize gives READINGS the bytes that are configured now: more is how a full log is helped. Fewer
// than it holds would cost readings that nobody has consumed; 0 leaves it as it is.
func (l *Log) resize(ctx context.Context, stream jetstream.Stream, maxBytes int64) error {
	info := stream.CachedInfo()
	if maxBytes == 0 || info.Config.MaxBytes == maxBytes {
		return nil
	}
	if maxBytes > 0 && info.State.Bytes > uint64(maxBytes) {
		l.log.Warn("the log keeps its size until it holds less", "bytes", info.State.Bytes, "max_bytes", info.Config.MaxBytes)
		return nil
	}
	info.Config.MaxBytes = maxBytes
	if _, err := l.js.UpdateStream(ctx, info.Config); err != nil {
		return fmt.Errorf("give stream %s %d bytes: %w", readingsStream, maxBytes, err)
	}
	return nil
}

// Close ends the connection and, where it runs in this process, the server.
func (l *Log) Close() error {
	if l.conn != nil {
		l.conn.Close()
	}
	l.stopServer()
	if l.unlock != nil {
		return l.unlock()
	}
	return nil
}

// Ping tells whether the log answers.
func (l *Log) Ping(ctx context.Context) error {
	if _, err := l.js.Stream(ctx, readingsStream); err != nil {
		return fmt.Errorf("ask the log for its stream %s: %w", readingsStream, err)
	}
	return nil
}

// Partitions tells into how many partitions READINGS is cut.
func (l *Log) Partitions() int { return l.partitions }

// PartitionOf gives the partition of a township's readings, so that one township's piles are
// together and in order (FNV-1a of the code).
func (l *Log) PartitionOf(township charge.DivisionCode) int {
	return int(fnv1a(string(township)) % uint32(l.partitions)) //nolint:gosec // partitions is 1 to 64
}

func fnv1a(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

func readingsSubject(partition int) string { return fmt.Sprintf("readings.%d", partition) }

func tokenFile(dir string) string { return filepath.Join(dir, "log.token") }

// TokenFile names the file with the embedded log's token under the data directory dir, which the
// other parts on the same machine read.
func TokenFile(dir string) string { return tokenFile(dir) }

func ensureToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the log's token: %w", err)
	}
	if token := strings.TrimSpace(string(b)); token != "" {
		return token, nil
	}
	// None yet, or one that a crash left empty, with which NATS would let everyone in.
	token := hex.EncodeToString(randomBytes(32))
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the log's token: %w", err)
	}
	return token, nil
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand aborts the program instead
	return b
}

// subjectToken makes an id one token of a NATS subject: its dots would separate tokens.
func subjectToken(id string) string {
	if id == "" {
		return "-"
	}
	return strings.ReplaceAll(id, ".", "%2E")
}
