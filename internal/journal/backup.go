package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
)

// The streams of a copy, in the order in which they are taken. What is judged goes on from the checkpoints and is
// judged again where it must be, so they are the oldest; the leases count on, so they are newer than all that names them.
const (
	checkpointsStream = "OBJ_" + checkpointsStore
	leasesStream      = "KV_" + ownersStore
)

const (
	snapshotChunk  = 256 << 10
	snapshotWithin = 30 * time.Second // from one chunk to the next
)

// A streamCopy is a stream's file of words; its messages and consumers lie beside it, as NATS packs them.
type streamCopy struct {
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
}

// BackupCheckpoints copies into dir what owners and others have kept of how far they have come. It is to be taken
// before the registry is, and Backup after it.
func (l *Log) BackupCheckpoints(ctx context.Context, dir string) error {
	return l.snapshot(ctx, checkpointsStream, dir)
}

// Backup copies all other streams, with what their consumers have confirmed, into dir, while others write. The history
// is to be copied after it: then what is confirmed in this copy is there.
func (l *Log) Backup(ctx context.Context, dir string) error {
	for _, name := range []string{readingsStream, rejectsStream, changesStream, leasesStream} {
		if err := l.snapshot(ctx, name, dir); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) snapshot(ctx context.Context, name, dir string) (err error) {
	file, err := os.OpenFile(filepath.Join(dir, name+".snapshot"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copy stream %s: %w", name, err)
	}
	defer func() {
		if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
			err = fmt.Errorf("copy stream %s: %w", name, err)
		}
	}()
	inbox := l.conn.NewInbox()
	chunks, err := l.conn.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, chunks.Unsubscribe()) }()
	if err := chunks.SetPendingLimits(-1, -1); err != nil { // the window bounds them
		return err
	}
	var answer struct {
		streamCopy
		Error *struct{ Description string }
	}
	if err := l.askAPI(ctx, "$JS.API.STREAM.SNAPSHOT."+name, map[string]any{"deliver_subject": inbox, "chunk_size": snapshotChunk}, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return errors.New(answer.Error.Description)
	}
	for {
		within, cancel := context.WithTimeout(ctx, snapshotWithin)
		m, err := chunks.NextMsgWithContext(within)
		cancel()
		if err != nil {
			return err
		}
		if len(m.Data) == 0 {
			if status := m.Header.Get("Status"); status != "" && status != "204" {
				return fmt.Errorf("NATS ends it: %s %s", status, m.Header.Get("Description"))
			}
			break
		}
		if _, err := file.Write(m.Data); err != nil {
			return err
		}
		if m.Reply != "" {
			if err := m.Respond(nil); err != nil {
				return err
			}
		}
	}
	text, err := json.Marshal(answer.streamCopy)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), text, 0o600)
}

func (l *Log) askAPI(ctx context.Context, subject string, request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotWithin)
	defer cancel()
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	m, err := l.conn.RequestWithContext(ctx, subject, text)
	if err != nil {
		return err
	}
	return json.Unmarshal(m.Data, answer)
}

// Restore makes the log of cfg, which must have no streams, out of a copy in dir. Replicas of cfg hold for it.
func Restore(ctx context.Context, cfg Config, dir string, log *slog.Logger) (err error) {
	l := &Log{log: log, cfg: cfg, tracer: tracerOr(cfg.Tracer)}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.connect(cfg); err != nil {
		return err
	}
	for _, name := range []string{checkpointsStream, readingsStream, rejectsStream, changesStream, leasesStream} {
		if err := l.restore(ctx, name, dir, max(cfg.Replicas, 1)); err != nil {
			return fmt.Errorf("restore stream %s: %w", name, err)
		}
	}
	return nil
}

func (l *Log) restore(ctx context.Context, name, dir string, replicas int) (err error) {
	text, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if err != nil {
		return err
	}
	var kept struct {
		Config map[string]any  `json:"config"`
		State  json.RawMessage `json:"state"`
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		return err
	}
	kept.Config["num_replicas"] = replicas
	delete(kept.Config, "placement")
	file, err := os.Open(filepath.Join(dir, name+".snapshot"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var answer struct {
		Deliver string `json:"deliver_subject"`
		Error   *struct{ Description string }
	}
	if err := l.askAPI(ctx, "$JS.API.STREAM.RESTORE."+name, kept, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return errors.New(answer.Error.Description)
	}
	chunk := make([]byte, snapshotChunk)
	for ended := false; !ended; {
		n, err := io.ReadFull(file, chunk)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		ended = n == 0 // an empty chunk ends it
		within, cancel := context.WithTimeout(ctx, snapshotWithin)
		m, err := l.conn.RequestMsgWithContext(within, &nats.Msg{Subject: answer.Deliver, Data: chunk[:n]})
		cancel()
		if err != nil {
			return err
		}
		var failed struct{ Error *struct{ Description string } }
		if len(m.Data) > 0 {
			if err := json.Unmarshal(m.Data, &failed); err != nil {
				return err
			}
		}
		if failed.Error != nil {
			return errors.New(failed.Error.Description)
		}
	}
	return nil
}
