package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/journal"
)

// rota notes who does which task.
type rota struct {
	mu    sync.Mutex
	doing map[string]string
	twice []string
	epoch map[string]uint64
}

func newRota() *rota { return &rota{doing: map[string]string{}, epoch: map[string]uint64{}} }

func (r *rota) tasks(who string, names ...string) []task {
	var all []task
	for _, name := range names {
		all = append(all, task{name, func(ctx context.Context, epoch uint64) error {
			r.begin(who, name, epoch)
			<-ctx.Done()
			r.end(name)
			return nil
		}})
	}
	return all
}

func (r *rota) begin(who, name string, epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.doing[name]; other != "" {
		r.twice = append(r.twice, fmt.Sprintf("%s by %s and %s", name, other, who))
	}
	if epoch <= r.epoch[name] {
		r.twice = append(r.twice, fmt.Sprintf("%s: epoch %d after %d", name, epoch, r.epoch[name]))
	}
	r.doing[name], r.epoch[name] = who, epoch
}

func (r *rota) end(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doing[name] = ""
}

// held tells how many tasks each does, like "a2 b2".
func (r *rota) held() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := map[string]int{}
	for _, who := range r.doing {
		counts[who]++
	}
	var all []string
	for _, who := range []string{"a", "b"} {
		if counts[who] > 0 {
			all = append(all, fmt.Sprint(who, counts[who]))
		}
	}
	return strings.Join(all, " ")
}

func (p *platform) shares(t *testing.T, who string, tasks []task) *shares {
	t.Helper()
	leases, err := p.log.Leases(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	return newShares(leases, tasks, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

func TestProcessesShareTheWork(t *testing.T) {
	p, r := newLogOnly(t, 64<<20), newRota()
	names := []string{"1", "2", "3", "4"}
	stopA := run(t, p.shares(t, "a", r.tasks("a", names...)).run)
	until(t, "the only one does all", func() bool { return r.held() == "a4" })
	stopB := run(t, p.shares(t, "b", r.tasks("b", names...)).run)
	until(t, "a second one gets half", func() bool { return r.held() == "a2 b2" })
	if err := stopA(); err != nil {
		t.Fatal(err)
	}
	until(t, "the one that stays does all", func() bool { return r.held() == "b4" })
	if err := stopB(); err != nil {
		t.Fatal(err)
	}
	if len(r.twice) > 0 {
		t.Errorf("done twice at once: %v", r.twice)
	}
}

func TestAKilledProcessIsReplaced(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the end of a lease")
	}
	p, r := newLogOnly(t, 64<<20), newRota()
	killed, err := p.log.Leases(t.Context(), "killed")
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := killed.Take(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	run(t, p.shares(t, "a", r.tasks("a", "1", "2")).run)
	until(t, "the other one does its share", func() bool { return r.held() == "a1" })
	until(t, "the other one does all", func() bool { return r.held() == "a2" })
}

func TestATaskThatFailsEndsTheProcess(t *testing.T) {
	p := newLogOnly(t, 64<<20)
	broken := errors.New("broken")
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"by itself", broken, broken},
		{"since another process does it", fmt.Errorf("publish: %w", journal.ErrStale), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			begun := 0
			s := p.shares(t, "a", []task{{"1", func(context.Context, uint64) error {
				if begun++; begun == 2 {
					cancel() // it was tried again
				}
				return tt.err
			}}})
			if err := s.run(ctx); !errors.Is(err, tt.want) {
				t.Errorf("run: got %v, want %v", err, tt.want)
			}
		})
	}
}
