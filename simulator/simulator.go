// Package simulator is a province of piles that are not there: it generates their registry out of
// the real divisions, decides second by second what each of them does, and speaks for them as real
// MQTT clients through the gateway's own door. It never writes to the log, the registry or the
// series: what the platform knows of these piles it has from their messages alone, and of their past,
// if they have one, from the story that is put into the log before.
package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
)

// A Simulator lets a fleet live, in real time.
type Simulator struct {
	cfg         *Config
	fleet       *Fleet
	credentials func(charge.OperatorID) (user, password string)
	log         *slog.Logger
	metrics     *metrics
	spread      time.Duration // of the first messages

	mu      sync.Mutex
	up      int   // connections
	waiting bool  // no connection, and the log says so
	lastErr error // of connecting
}

// New makes a simulator of the fleet. credentials gives what an operator's piles and its platform sign
// in with; nil is for a broker that asks nobody.
func New(cfg *Config, fleet *Fleet, credentials func(op charge.OperatorID) (user, password string), log *slog.Logger, reg prometheus.Registerer) *Simulator {
	return &Simulator{
		cfg: cfg, fleet: fleet, credentials: credentials, log: log, metrics: newMetrics(reg),
		spread: spreadOf(len(fleet.Piles), cfg.Connections),
	}
}

// Run speaks for the fleet until ctx ends. A gateway that is away or goes away is waited for.
func (s *Simulator) Run(ctx context.Context) error {
	if err := s.cfg.Validate(); err != nil {
		return err
	}
	broker, err := parseBroker(s.cfg.Broker)
	if err != nil {
		return err
	}
	b := newBehaviour(s.fleet, s.cfg, time.Now(), s.spread)
	began := time.Now()
	routes, links := s.connectAll(b, broker)
	s.log.Info("piles start to report", "piles", len(s.fleet.Piles), "connectors", len(b.guns),
		"connections", len(links), "spread", s.spread)

	g, ctx := errgroup.WithContext(ctx)
	for _, l := range links {
		g.Go(func() error { return l.run(ctx) })
	}
	workers := min(runtime.GOMAXPROCS(0), 8)
	for w := range workers {
		g.Go(func() error {
			s.work(ctx, b, newAgenda(b, w, workers), began, routes)
			return nil
		})
	}
	return g.Wait()
}

// connectAll makes the connections: one for each pile that has its own, one for each operator.
// routes tells by pile which one is its.
func (s *Simulator) connectAll(b *behaviour, broker *dialer) (routes []*link, links []*link) {
	platforms := make([]*link, len(s.fleet.Operators))
	routes = make([]*link, len(s.fleet.Piles))
	for i := range s.fleet.Piles {
		p := &s.fleet.Piles[i]
		switch {
		case p.Condition == FailedSilent:
			continue
		case b.piles[i].own:
			routes[i] = newPileLink(s, broker, i)
			routes[i].clock = func(now time.Time) time.Duration { return b.clock(i, now.Sub(b.start)) }
			links = append(links, routes[i])
			continue
		case platforms[p.Operator] == nil:
			platforms[p.Operator] = newPlatformLink(s, broker, int(p.Operator))
			links = append(links, platforms[p.Operator])
		}
		routes[i] = platforms[p.Operator]
		routes[i].limit += 2 * int(p.Connectors)
	}
	return routes, links
}

// A batch of what falls due is looked for this often; the messages bear the time at which they fell due.
const lookEvery = 10 * time.Millisecond

// work lets a worker's piles act when they are due.
func (s *Simulator) work(ctx context.Context, b *behaviour, a agenda, began time.Time, routes []*link) {
	v := b.voice(func(m *message) {
		if m.action == say {
			s.metrics.said[m.reading.Kind].Inc()
		}
		routes[m.pile].push(m)
	})
	wake := time.NewTimer(0)
	defer wake.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake.C:
		}
		now := time.Since(began)
		for len(a) > 0 && a[0].due <= now {
			i := int(a[0].pile)
			if !a[0].started {
				a[0].started = true
				s.metrics.started.Inc()
			}
			b.step(v, i, now)
			a.reset(b.due(i))
		}
		if len(a) == 0 || a[0].due == never {
			return
		}
		wake.Reset(max(a[0].due-time.Since(began), lookEvery))
	}
}

// An agenda is a heap of piles by what is due first.
type agenda []appointment

type appointment struct {
	due     time.Duration
	pile    uint32
	started bool
}

// newAgenda holds every workers-th pile that ever acts.
func newAgenda(b *behaviour, w, workers int) agenda {
	a := make(agenda, 0, len(b.piles)/workers+1)
	for i := w; i < len(b.piles); i += workers {
		if due := b.due(i); due != never {
			a = append(a, appointment{due: due, pile: uint32(i)}) //nolint:gosec // fewer than 2^32 piles
		}
	}
	for i := len(a)/2 - 1; i >= 0; i-- {
		a.sink(i)
	}
	return a
}

// reset gives the first pile its next due time.
func (a agenda) reset(due time.Duration) {
	a[0].due = due
	a.sink(0)
}

func (a agenda) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(a) {
			return
		}
		if child+1 < len(a) && a[child+1].due < a[child].due {
			child++
		}
		if a[i].due <= a[child].due {
			return
		}
		a[i], a[child] = a[child], a[i]
		i = child
	}
}

// Ready tells whether the fleet reaches its gateway: nil while at least one connection is up.
func (s *Simulator) Ready(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.up > 0:
		return nil
	case s.lastErr != nil:
		return fmt.Errorf("connect to %s: %w", s.cfg.Broker, s.lastErr)
	}
	return errors.New("no pile has connected yet")
}

func (s *Simulator) connected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up++
	s.metrics.connections.Inc()
	if s.waiting {
		s.waiting = false
		s.log.Info("gateway answers", "broker", s.cfg.Broker)
	}
}

func (s *Simulator) disconnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up--
	s.metrics.connections.Dec()
}

// refused keeps why a connection could not be made, and says so once while none is up.
func (s *Simulator) refused(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastErr = err
	s.metrics.refused.Inc()
	if s.up == 0 && !s.waiting {
		s.waiting = true
		s.log.Warn("gateway does not answer, piles wait for it", "broker", s.cfg.Broker, "err", err)
	}
}

// Handler serves GET /simulator/townships: the townships with a public pile that works ("working"),
// and of them those that the plan counts ("counted"), sorted. It is what the platform must find out.
func (s *Simulator) Handler() http.Handler {
	answer := struct {
		Working []charge.DivisionCode `json:"working"`
		Counted []charge.DivisionCode `json:"counted"`
	}{Working: s.fleet.WorkingTownships()}
	for _, code := range answer.Working {
		if s.fleet.Counted(code) {
			answer.Counted = append(answer.Counted, code)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /simulator/townships", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // a reader that has gone away needs no answer
	})
	return mux
}

type metrics struct {
	started, refused, dropped prometheus.Counter
	said, acked               [charge.KindHeartbeat + 1]prometheus.Counter // by kind
	connections               prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		started:     prometheus.NewCounter(prometheus.CounterOpts{Name: "simulator_piles_started_total", Help: "Piles that have begun to report."}),
		refused:     prometheus.NewCounter(prometheus.CounterOpts{Name: "simulator_connections_refused_total", Help: "Attempts to connect that did not succeed."}),
		dropped:     prometheus.NewCounter(prometheus.CounterOpts{Name: "simulator_messages_dropped_total", Help: "Messages given up because a connection was away or slow for long."}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "simulator_connections", Help: "MQTT connections that are up."}),
	}
	said := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "simulator_messages_total", Help: "Messages that piles had to send, each object of an array counted."}, []string{"kind"})
	acked := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "simulator_messages_acknowledged_total", Help: "Messages that the gateway has acknowledged, each object of an array counted."}, []string{"kind"})
	for kind := charge.KindStatus; kind <= charge.KindHeartbeat; kind++ {
		m.said[kind], m.acked[kind] = said.WithLabelValues(kind.String()), acked.WithLabelValues(kind.String())
	}
	reg.MustRegister(m.started, m.refused, m.dropped, m.connections, said, acked)
	return m
}
