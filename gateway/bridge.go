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

const (
	// bridgeInFlight bounds the messages of one connection that are accepted and not yet
	// acknowledged to the operator's broker.
	bridgeInFlight  = 4096
	subscribeWithin = 10 * time.Second
	subscribeAgain  = 30 * time.Second
	refusedFilter   = 0x80 // in a SUBACK (MQTT 3.1.1, 3.9.3)
)

// A bridge subscribes to an operator's broker and hands its messages to the acceptor. The broker
// is told that a message is ours only when it is in the log: a persistent session under a stable
// client identifier keeps, on the broker, what was not. Several connections share the load by a
// $share group.
type bridge struct {
	cfg    bridgeConfig
	client string // MQTT client identifier, pilewatch-{gateway}-{operator}-{n}
	accept *acceptor
	limits limits
	log    *slog.Logger
	up     prometheus.Gauge
}

func newBridge(cfg bridgeConfig, client string, accept *acceptor, limits limits, log *slog.Logger, up *prometheus.GaugeVec) *bridge {
	return &bridge{
		cfg: cfg, client: client, accept: accept, limits: limits,
		log: log.With("bridge", client, "operator", cfg.operator, "broker", cfg.broker),
		up:  up.WithLabelValues(client, string(cfg.operator)),
	}
}

// A taken message is one on its way into the log.
type taken struct {
	message paho.Message
	settled chan bool // told once, whether it is stored
}

// run connects, and connects again with back-off and jitter, until ctx ends. Then it waits a
// little for what it took, so that the broker does not keep what is in the log.
func (b *bridge) run(ctx context.Context) error {
	order := make(chan *taken, bridgeInFlight)
	from := &sender{operator: b.cfg.operator, bridge: b.client, broker: b.cfg.broker}
	opts := b.options()
	// The handler takes what the broker held for the session before the subscription is renewed.
	opts.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		b.limits.wait(ctx, b.accept.metrics.slow)
		t := &taken{message: m, settled: make(chan bool, 1)}
		select {
		case order <- t:
		case <-ctx.Done():
			return // the broker keeps the message
		}
		if err := b.accept.accept(ctx, from, m.Topic(), m.Payload(), time.Now(), func(verdict) { t.settled <- true }); err != nil {
			t.settled <- false
		}
	})
	opts.SetOnConnectHandler(func(c paho.Client) { b.connected(ctx, c) })
	opts.SetConnectionLostHandler(func(_ paho.Client, err error) {
		b.up.Set(0)
		b.log.Warn("bridge lost its broker, connecting again", "err", err)
	})
	client := paho.NewClient(opts)
	from.answer = func(topic string, payload []byte) {
		if client.IsConnectionOpen() { // else it would wait for the connection, and be old by then
			client.Publish(topic, 0, false, payload)
		}
	}
	acknowledged := make(chan struct{})
	go func() {
		defer close(acknowledged)
		acknowledge(ctx, order)
	}()
	client.Connect()
	<-ctx.Done()
	select {
	case <-acknowledged:
	case <-time.After(drainWithin + partWithin): // the broker does not read
	}
	client.Disconnect(uint(partWithin / time.Millisecond))
	b.up.Set(0)
	return nil
}

func (b *bridge) options() *paho.ClientOptions {
	o := paho.NewClientOptions()
	if b.cfg.tls != nil {
		o.SetTLSConfig(b.cfg.tls)
	}
	return o.
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
}

// acknowledge tells the broker of messages in the order in which they came (MQTT-4.6.0-2), each
// when it is stored, until ctx ends and nothing is under way any more, or for a little longer.
func acknowledge(ctx context.Context, order <-chan *taken) {
	giveUp, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainWithin, cancel) })()
	for {
		var t *taken
		select {
		case t = <-order:
		default:
			select {
			case t = <-order:
			case <-ctx.Done():
				return
			}
		}
		select {
		case stored := <-t.settled:
			if stored {
				t.message.Ack()
			}
		case <-giveUp.Done():
			return
		}
	}
}

// connected subscribes, again and again while the broker refuses: the account may be given the
// right later.
func (b *bridge) connected(ctx context.Context, c paho.Client) {
	for {
		err := b.subscribe(c)
		if err == nil {
			b.up.Set(1)
			b.log.Info("bridge connected")
			return
		}
		if ctx.Err() != nil || !c.IsConnectionOpen() {
			return
		}
		b.log.Error("bridge cannot subscribe, is the account allowed to?", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(subscribeAgain):
		}
		if !c.IsConnectionOpen() {
			return // the next connection subscribes by itself
		}
	}
}

// subscribe asks for the five kinds one by one, not for all below the operator: the reject topics
// that we answer on lie there too. One connection subscribes by itself: after a restart Mosquitto
// has forgotten shared subscriptions, and loses what comes before they are renewed, but not the
// others. A session that was made under the other setting then gives its old filters up.
func (b *bridge) subscribe(c paho.Client) error {
	filters := make(map[string]byte)
	var old []string
	for k := charge.KindStatus; k <= charge.KindHeartbeat; k++ {
		alone := wire.Topic(string(b.cfg.operator), "+", k)
		shared := "$share/pilewatch/" + alone
		if b.cfg.connections == 1 {
			filters[alone], old = 1, append(old, shared)
		} else {
			filters[shared], old = 1, append(old, alone)
		}
	}
	token := c.SubscribeMultiple(filters, nil)
	if err := b.answered(token); err != nil {
		return err
	}
	if t, ok := token.(*paho.SubscribeToken); ok {
		for filter, code := range t.Result() {
			if code == refusedFilter {
				return fmt.Errorf("subscribe at %s: the broker refuses %s", b.cfg.broker, filter)
			}
		}
	}
	return b.answered(c.Unsubscribe(old...)) // last: a message twice is better than none
}

func (b *bridge) answered(token paho.Token) error {
	if !token.WaitTimeout(subscribeWithin) {
		return fmt.Errorf("subscribe at %s: no answer within %s", b.cfg.broker, subscribeWithin)
	}
	if err := token.Error(); err != nil {
		return fmt.Errorf("subscribe at %s: %w", b.cfg.broker, err)
	}
	return nil
}
