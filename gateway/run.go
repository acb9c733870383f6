package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

// A Gateway is ready to run: its address is taken, its settings are checked.
type Gateway struct {
	log      *journal.Log
	writer   *journal.Writer
	rejects  *rejectRecorder
	listener *listener // nil where the gateway listens nowhere
	bridges  []*bridge
}

// New makes a gateway that looks piles up in dir and stores readings in log.
func New(cfg *Config, log *journal.Log, dir *registry.Directory, logger *slog.Logger, reg prometheus.Registerer) (*Gateway, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	logger = logger.With("service", "gateway")
	g := &Gateway{log: log, writer: log.NewWriter(logger, reg)}
	g.writer.Bound(cfg.MaxWaitingBytes)
	g.writer.KeepFree(cfg.LogMinFree)
	pace := newPace(cfg.MaxPileRate, cfg.MaxOperatorRate)
	g.rejects = newRejectRecorder(log.PublishReject, logger, reg)
	accept := &acceptor{
		piles: dir, log: g.writer, partition: log.PartitionOf, rejects: g.rejects, metrics: newAcceptMetrics(reg),
	}
	up := promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
		Name: "gateway_bridge_up", Help: "1 while the bridge's connection to its operator's broker is open.",
	}, []string{"bridge", "operator"})
	made := make(map[charge.OperatorID]int)
	for _, s := range cfg.Bridge {
		b, err := parseBridge(s)
		if err != nil {
			return nil, err
		}
		if _, ok := dir.Operator(b.operator); !ok {
			return nil, fmt.Errorf("--bridge: operator %s is not registered; import it with: pilewatch registry import operators FILE", b.operator)
		}
		for range b.connections {
			// With the operator's name in it: the session that a broker keeps under an identifier
			// must never come to speak for another operator when the settings change.
			made[b.operator]++
			client := fmt.Sprintf("pilewatch-%s-%s-%d", cfg.Name, b.operator, made[b.operator])
			g.bridges = append(g.bridges, newBridge(b, client, accept, pace.join(b.operator, ""), logger, up))
		}
	}
	if cfg.MQTT != "" || cfg.secure() {
		var err error
		if g.listener, err = newListener(cfg, accept, dir, pace, logger, reg); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Addr is where the listener listens without TLS, "" where it does not.
func (g *Gateway) Addr() string {
	if g.listener == nil || g.listener.socket == nil {
		return ""
	}
	return g.listener.socket.Addr().String()
}

// SecureAddr is where the listener listens with TLS, "" where it does not.
func (g *Gateway) SecureAddr() string {
	if g.listener == nil || g.listener.secure == nil {
		return ""
	}
	return g.listener.secure.Addr().String()
}

// Run serves until ctx ends. Then it first stops taking messages, and then stores what it took.
func (g *Gateway) Run(ctx context.Context) error {
	store, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var behind errgroup.Group
	doors, ctx := errgroup.WithContext(ctx) // one that cannot serve ends the others
	behind.Go(func() error { return g.writer.Run(store) })
	behind.Go(func() error { return g.rejects.run(store) })
	if g.listener != nil {
		doors.Go(func() error { return g.listener.run(ctx) })
	}
	for _, b := range g.bridges {
		doors.Go(func() error { return b.run(ctx) })
	}
	doors.Go(func() error { <-ctx.Done(); return nil })
	err := doors.Wait()
	stop()
	return errors.Join(err, behind.Wait())
}

// Ready tells whether the gateway can keep its promise: whether the log answers.
func (g *Gateway) Ready(ctx context.Context) error { return g.log.Ping(ctx) }

// Close gives the addresses back where Run is never called.
func (g *Gateway) Close() error {
	if g.listener == nil {
		return nil
	}
	return g.listener.closeSockets()
}
