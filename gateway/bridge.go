package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/charge"
	"pilewatch/internal/wire"
)

// bridgeInFlight bounds the messages of one connection that are accepted and not yet
// acknowledged to the operator's broker.
const bridgeInFlight = 4096

// A bridge subscribes to an operator's broker and hands its messages to the acceptor. The broker
// is told that a message is ours only when it is in the log: a persistent session under a stable
// client identifier keeps, on the broker, what was not. Several connections share the load by a
// $share group.
type bridge struct {
	cfg    bridgeConfig
	client string // MQTT client identifier, pilewatch-{gateway}-{n}
	accept *acceptor
	log    *slog.Logger
	up     prometheus.Gauge
}

func newBridge(cfg bridgeConfig, client string, accept *acceptor, log *slog.Logger, up *prometheus.GaugeVec) *bridge {
	return &bridge{
		cfg: cfg, client: client, accept: accept,
		log: log.With("bridge", client, "operator", cfg.operator, "broker", cfg.broker),
		up:  up.WithLabelValues(client, string(cfg.operator)),
	}
}

// run connects, and connects again with back-off and jitter, until ctx ends.
func (b *bridge) run(ctx context.Context) error {
	acks := make(chan paho.Message, bridgeInFlight)
	slots := make(chan struct{}, bridgeInFlight)
	from := &sender{operator: b.cfg.operator, bridge: b.client, broker: b.cfg.broker}

	opts := paho.NewClientOptions().
		AddBroker(b.cfg.broker).
		SetClientID(b.client).
		SetUsername(b.cfg.user).
		SetPassword(b.cfg.password).
		SetCleanSession(false).
		SetOrderMatters(true).
		SetAutoAckDisabled(true).
		SetResumeSubs(false).
		SetAutoReconnect(true).
		SetConnectRetry(true).
		SetConnectRetryInterval(time.Second + time.Duration(rand.Int64N(int64(time.Second)))). //nolint:gosec // jitter
		SetMaxReconnectInterval(30 * time.Second).
		SetKeepAlive(30 * time.Second)
	// The handler takes what the broker held for the session before the subscription is renewed.
	opts.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := b.accept.accept(ctx, from, m.Topic(), m.Payload(), time.Now(), func(verdict) { acks <- m })
		if err != nil {
			return // stopping: the broker keeps the message
		}
	})
	opts.SetOnConnectHandler(func(c paho.Client) {
		if err := b.subscribe(c); err != nil {
			b.log.Error("bridge cannot subscribe, is the account allowed to?", "err", err)
			return
		}
		b.up.Set(1)
		b.log.Info("bridge connected")
	})
	opts.SetConnectionLostHandler(func(_ paho.Client, err error) {
		b.up.Set(0)
		b.log.Warn("bridge lost its broker, connecting again", "err", err)
	})

	client := paho.NewClient(opts)
	from.answer = func(topic string, payload []byte) { client.Publish(topic, 0, false, payload) }
	client.Connect()
	for {
		select {
		case m := <-acks:
			m.Ack()
			<-slots
		case <-ctx.Done():
			client.Disconnect(250)
			b.up.Set(0)
			return nil
		}
	}
}

// subscribe asks for the five kinds one by one, not for all below the operator: the reject topics
// that we answer on lie there too.
func (b *bridge) subscribe(c paho.Client) error {
	filters := make(map[string]byte)
	for k := charge.KindStatus; k <= charge.KindHeartbeat; k++ {
		filters["$share/pilewatch/"+wire.Topic(string(b.cfg.operator), "+", k)] = 1
	}
	token := c.SubscribeMultiple(filters, nil)
	if !token.WaitTimeout(10 * time.Second) {
		return fmt.Errorf("subscribe at %s: no answer within 10 s", b.cfg.broker)
	}
	if err := token.Error(); err != nil {
		return fmt.Errorf("subscribe at %s: %w", b.cfg.broker, err)
	}
	return nil
}
