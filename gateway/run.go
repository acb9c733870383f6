package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

// A Gateway is ready to run: its address is taken, its settings are checked.
type Gateway struct {
	log      *journal.Log
	writer   *journal.Writer
	revision func() int64 // of the registry
	rejects  *rejectRecorder
	listener *listener // nil where the gateway listens nowhere
	bridges  []*bridge
	sessions *sessionBook // of the bridges; nil without
	name     string
}

// New makes a gateway that looks piles up in dir and stores readings in log. data is the directory
// in which it remembers its sessions at operators' brokers.
func New(cfg *Config, data string, log *journal.Log, dir *registry.Directory, logger *slog.Logger, reg prometheus.Registerer) (*Gateway, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	logger = logger.With("service", "gateway")
	g := &Gateway{log: log, writer: log.NewWriter(logger, reg), revision: dir.Rev, name: cfg.Name}
	g.writer.Bound(cfg.MaxWaitingBytes)
	g.writer.KeepFree(cfg.LogMinFree)
	pace := newPace(cfg.MaxPileRate, cfg.MaxOperatorRate)
	g.rejects = newRejectRecorder(log.PublishReject, logger, reg)
	accept := &acceptor{
		piles: dir, log: g.writer, partition: log.PartitionOf, rejects: g.rejects, metrics: newAcceptMetrics(reg),
	}
	if err := g.makeBridges(cfg, data, dir, accept, pace, logger, reg); err != nil {
		return nil, errors.Join(err, g.sessions.close())
	}
	if cfg.MQTT != "" || cfg.secure() {
		var err error
		if g.listener, err = newListener(cfg, accept, dir, pace, logger, reg); err != nil {
			return nil, errors.Join(err, g.sessions.close())
		}
	}
	return g, nil
}

// makeBridges makes those of the settings, and one for each session that an earlier start has left
// at a broker and that no setting names any more, to end it.
func (g *Gateway) makeBridges(cfg *Config, data string, dir *registry.Directory, accept *acceptor, pace *pace, logger *slog.Logger, reg prometheus.Registerer) error {
	known, err := readSessions(filepath.Join(data, sessionsFile+cfg.Name+".json"))
	if err != nil {
		return err
	}
	if len(cfg.Bridge) == 0 && len(known) == 0 {
		return nil // several gateways without bridges may have one name
	}
	if g.sessions, err = openSessionBook(data, cfg.Name); err != nil {
		return err
	}
	metrics := newBridgeMetrics(reg)
	made := make(map[charge.OperatorID]int)
	var wanted []Session
	for _, s := range cfg.Bridge {
		b, err := parseBridge(s)
		if err != nil {
			return err
		}
		if _, ok := dir.Operator(b.operator); !ok {
			return fmt.Errorf("--bridge: operator %s is not registered; import it with: pilewatch registry import operators FILE", b.operator)
		}
		for range b.connections {
			// With the operator's name in it: the session that a broker keeps under an identifier
			// must never come to speak for another operator when the settings change.
			made[b.operator]++
			client := fmt.Sprintf("pilewatch-%s-%s-%d", cfg.Name, b.operator, made[b.operator])
			g.bridges = append(g.bridges, newBridge(b, client, accept, pace.join(b.operator, ""), g.sessions, logger, metrics))
			wanted = append(wanted, Session{Client: client, Broker: b.broker, Setting: b.setting, Filters: b.filters()})
		}
	}
	before, orphans, err := g.sessions.begin(wanted)
	if err != nil {
		return err
	}
	for i, filters := range before {
		g.bridges[i].giveUp(filters)
	}
	for _, s := range orphans {
		cfg, err := g.configOf(s)
		if err != nil {
			logger.Error("session at a broker cannot be ended; pilewatch check lists it", "bridge", s.Client, "broker", s.Broker, "err", err)
			continue
		}
		b := newBridge(cfg, s.Client, accept, pace.join(cfg.operator, ""), g.sessions, logger, metrics)
		b.end(s.Filters)
		g.bridges = append(g.bridges, b)
	}
	return nil
}

// configOf tells how to reach the broker of a session that is to be ended: as a bridge of the
// settings with the same user there does, else as its own setting said.
func (g *Gateway) configOf(s Session) (bridgeConfig, error) {
	was, err := parseBridge(s.Setting)
	for _, b := range g.bridges {
		if b.ending || b.cfg.broker != s.Broker || (err == nil && b.cfg.user != was.user) {
			continue
		}
		if err == nil && b.cfg.operator == was.operator {
			was.password, was.tls = b.cfg.password, b.cfg.tls
		}
	}
	return was, err
}

// tellBridges tells what the bridges are doing, again and again until ctx ends.
func (g *Gateway) tellBridges(ctx context.Context, name string) error {
	looks := time.NewTicker(tellBridgesEvery)
	defer looks.Stop()
	for {
		now := journal.Bridges{Gateway: name, At: time.Now().UTC(), Bridges: []journal.BridgeState{}}
		for _, b := range g.bridges {
			if told := b.tell(); !b.over.Load() {
				now.Bridges = append(now.Bridges, told)
			}
		}
		_ = g.log.PublishBridges(now) // where the log is away for a moment, it is said again soon
		select {
		case <-ctx.Done():
			return nil
		case <-looks.C:
		}
	}
}

const tellBridgesEvery = 5 * time.Second

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
	doors.Go(func() error { tickAtRevisions(ctx, g.revision, g.writer.Tick); return nil })
	if g.listener != nil {
		doors.Go(func() error { return g.listener.run(ctx) })
	}
	for _, b := range g.bridges {
		doors.Go(func() error { return b.run(ctx) })
	}
	if len(g.bridges) > 0 {
		doors.Go(func() error { return g.tellBridges(ctx, g.name) })
	}
	doors.Go(func() error { <-ctx.Done(); return nil })
	err := doors.Wait()
	stop()
	return errors.Join(err, behind.Wait(), g.sessions.close())
}

// Ready tells whether the gateway can keep its promise: whether the log answers.
func (g *Gateway) Ready(ctx context.Context) error { return g.log.Ping(ctx) }

// Close gives the addresses back where Run is never called.
func (g *Gateway) Close() error {
	if g.listener == nil {
		return g.sessions.close()
	}
	return errors.Join(g.listener.closeSockets(), g.sessions.close())
}
