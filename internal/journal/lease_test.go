package journal

import (
	"context"
	"errors"
	"testing"
	"time"
)

func openLeases(t *testing.T, log *Log, holder string) *Leases {
	t.Helper()
	l, err := log.Leases(t.Context(), holder)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestALeaseHasOneHolder(t *testing.T) {
	t.Parallel()
	log := openLog(t, Embedded(t.TempDir()))
	a, b := openLeases(t, log, "a"), openLeases(t, log, "b")
	first, err := a.Take(t.Context(), "health.0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Take(t.Context(), "health.0"); !errors.Is(err, ErrHeld) {
		t.Errorf("a second holder: got %v, want %v", err, ErrHeld)
	}
	killed := first
	if first, err = a.Take(t.Context(), "health.0"); err != nil {
		t.Fatalf("the same process after a restart: %v", err)
	}
	if first.Epoch <= killed.Epoch {
		t.Errorf("epochs: got %d after %d, want a higher one", first.Epoch, killed.Epoch)
	}
	if _, err := b.Take(t.Context(), "health.1"); err != nil {
		t.Errorf("another lease: %v", err)
	}
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, err := b.Take(t.Context(), "health.0")
	if err != nil {
		t.Fatalf("one that was given back: %v", err)
	}
	if second.Epoch <= first.Epoch {
		t.Errorf("epochs: got %d after %d, want a higher one", second.Epoch, first.Epoch)
	}
	if err := first.Release(t.Context()); err == nil {
		t.Error("a lease that is another's: released, want an error")
	}
}

// A holder that is killed says nothing more: its lease ends by itself. One that lives keeps it for longer.
func TestALeaseEndsByItself(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the end of a lease")
	}
	t.Parallel()
	log := openLog(t, Embedded(t.TempDir()))
	a, b := openLeases(t, log, "a"), openLeases(t, log, "b")
	killed, err := a.Take(t.Context(), "killed")
	if err != nil {
		t.Fatal(err)
	}
	lives, err := a.Take(t.Context(), "lives")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	kept := make(chan error, 1)
	go func() { kept <- lives.Keep(ctx) }()
	var taken *Lease
	for deadline := time.Now().Add(3 * leaseLives); taken == nil; {
		if time.Now().After(deadline) {
			t.Fatal("the lease of a killed process does not end")
		}
		if taken, err = b.Take(t.Context(), "killed"); err != nil && !errors.Is(err, ErrHeld) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if taken.Epoch <= killed.Epoch {
		t.Errorf("epochs: got %d after %d, want a higher one", taken.Epoch, killed.Epoch)
	}
	if _, err := b.Take(t.Context(), "lives"); !errors.Is(err, ErrHeld) {
		t.Errorf("a lease that is kept: got %v, want %v", err, ErrHeld)
	}
	if err := killed.Keep(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("a holder that comes back: got %v, want %v", err, ErrLost)
	}
	end()
	if err := <-kept; err != nil {
		t.Errorf("Keep at its end: %v", err)
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	log := openLog(t, Embedded(t.TempDir()))
	a, b := openLeases(t, log, "a"), openLeases(t, log, "b")
	count := func(want int) {
		t.Helper()
		if got, err := a.Members(t.Context()); err != nil || got != want {
			t.Errorf("members: got %d, %v, want %d", got, err, want)
		}
	}
	count(1)
	for _, l := range []*Leases{a, b, b} {
		if err := l.Join(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	count(2)
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	count(1)
}
