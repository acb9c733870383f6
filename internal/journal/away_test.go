package journal

import (
	"log/slog"
	"testing"
	"time"

	"pilewatch/internal/testprog"
)

// What a part asks for to begin is asked for until the log is there, though its server comes up only then.
func TestWhatAPartNeedsToBeginIsAskedForUntilTheLogIsThere(t *testing.T) {
	nats := testprog.NATSServer(t, "max_payload: 4MB\njetstream { sync_interval: always }\n")
	l, err := Open(t.Context(), Config{URL: "nats://" + nats.Addr, Partitions: 2, Replicas: 1, MaxBytes: 1 << 28}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.SaveCheckpoint(t.Context(), "kept", []byte("so far")); err != nil {
		t.Fatal(err)
	}
	nats.Kill()
	type answer struct {
		text []byte
		err  error
	}
	checkpoint, durable := make(chan answer, 1), make(chan answer, 1)
	go func() {
		text, err := l.Checkpoint(t.Context(), "kept")
		checkpoint <- answer{text, err}
	}()
	go func() {
		d, err := l.Durable(t.Context(), "history")
		if err == nil {
			d.Stop()
		}
		durable <- answer{nil, err}
	}()
	select {
	case a := <-checkpoint:
		t.Fatalf("answered without a server: %+v", a)
	case a := <-durable:
		t.Fatalf("answered without a server: %+v", a)
	case <-time.After(6 * time.Second): // longer than one question waits
	}
	nats.Start(t)
	if a := <-checkpoint; a.err != nil || string(a.text) != "so far" {
		t.Errorf("Checkpoint: got %q, %v", a.text, a.err)
	}
	if a := <-durable; a.err != nil {
		t.Errorf("Durable: %v", a.err)
	}
}
