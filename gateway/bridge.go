package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/internal/journal"
)

const (
	// bridgeInFlight bounds the messages of one connection that are accepted and not yet
	// acknowledged to the operator's broker.
	bridgeInFlight  = 4096
	subscribeWithin = 10 * time.Second
	subscribeAgain  = 30 * time.Second
	refusedFilter   = 0x80 // in a SUBACK (MQTT 3.1.1, 3.9.3)
	connectFirst    = time.Second
	connectMost     = 30 * time.Second
	// A session that is ended is first emptied: what the broker holds for it comes at once, so that
	// after some quiet there is no more.
	emptyAfter = 5 * time.Second
	share      = "$share/pilewatch/"
)

// A bridge subscribes to an operator's broker and hands its messages to the acceptor. The broker
// is told that a message is ours only when it is in the log: a persistent session under a stable
// client identifier keeps, on the broker, what was not. Several connections share the load by a
// $share group. One that is ending takes what the broker holds for a session that no setting names
// any more, and then has the broker forget it.
type bridge struct {
	cfg        bridgeConfig
	client     string   // MQTT client identifier, pilewatch-{gateway}-{operator}-{n}
	filters    []string // to subscribe to; none where it is ending
	old        []string // filters to give up
	ending     bool
	emptyAfter time.Duration
	accept     *acceptor
	limits     limits
	log        *slog.Logger
	up         prometheus.Gauge
	waiting    prometheus.Gauge
	state      bridgeState
	over       atomic.Bool // its session is ended
	book       bookkeeper
}

// bookkeeper remembers sessions; *sessionBook is one.
type bookkeeper interface {
	subscribed(client, broker string, filters []string) error
	ended(client, broker string) error
}

type bridgeMetrics struct{ up, waiting *prometheus.GaugeVec }

func newBridgeMetrics(reg prometheus.Registerer) bridgeMetrics {
	f := promauto.With(reg)
	labels := []string{"bridge", "operator"}
	return bridgeMetrics{
		up:      f.NewGaugeVec(prometheus.GaugeOpts{Name: "gateway_bridge_up", Help: "1 while the bridge's connection to its operator's broker is open and subscribed."}, labels),
		waiting: f.NewGaugeVec(prometheus.GaugeOpts{Name: "gateway_bridge_waiting", Help: "Messages that the bridge has from its broker and that are not yet in the log."}, labels),
	}
}

func newBridge(cfg bridgeConfig, client string, accept *acceptor, limits limits, book bookkeeper, log *slog.Logger, metrics bridgeMetrics) *bridge {
	b := &bridge{
		cfg: cfg, client: client, filters: cfg.filters(), emptyAfter: emptyAfter, accept: accept, limits: limits, book: book,
		log:     log.With("bridge", client, "operator", cfg.operator, "broker", cfg.broker),
		up:      metrics.up.WithLabelValues(client, string(cfg.operator)),
		waiting: metrics.waiting.WithLabelValues(client, string(cfg.operator)),
	}
	// A session of the other setting of connections, also one that no book knows of.
	for _, filter := range b.filters {
		alone, shared := strings.CutPrefix(filter, share)
		if !shared {
			alone = share + filter
		}
		b.old = append(b.old, alone)
	}
	b.state.since = time.Now()
	return b
}

// giveUp adds what the session was subscribed to before and is not any more.
func (b *bridge) giveUp(before []string) {
	for _, filter := range before {
		if !slices.Contains(b.filters, filter) && !slices.Contains(b.old, filter) {
			b.old = append(b.old, filter)
		}
	}
}

// end makes it one that ends its session. The metrics are those of the bridges that are meant to be.
func (b *bridge) end(filters []string) {
	b.ending, b.filters, b.old = true, nil, filters
	b.up, b.waiting = prometheus.NewGauge(prometheus.GaugeOpts{}), prometheus.NewGauge(prometheus.GaugeOpts{})
}

// A taken message is one on its way into the log.
type taken struct {
	message paho.Message
	settled chan bool // told once, whether it is stored
}

// run connects, and connects again with back-off and jitter, until ctx ends or the session has
// ended. Then it waits a little for what it took, so that the broker does not keep what is in the
// log.
func (b *bridge) run(ctx context.Context) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	order := make(chan *taken, bridgeInFlight)
	from := &sender{operator: b.cfg.operator, bridge: b.client, broker: b.cfg.broker}
	opts := b.options(ctx)
	// The handler takes what the broker held for the session before the subscription is renewed.
	opts.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		b.limits.wait(ctx, b.accept.metrics.slow)
		t := &taken{message: m, settled: make(chan bool, 1)}
		select {
		case order <- t:
		case <-ctx.Done():
			return // the broker keeps the message
		}
		received := time.Now()
		b.state.took(received)
		b.waiting.Inc()
		topic := b.cfg.topics.ours(b.cfg.operator, m.Topic())
		if err := b.accept.accept(ctx, from, topic, m.Payload(), received, func(verdict) { t.settled <- true }); err != nil {
			t.settled <- false
		}
	})
	opts.SetOnConnectHandler(func(c paho.Client) { b.connected(ctx, c, done) })
	opts.SetConnectionLostHandler(func(_ paho.Client, err error) {
		b.down(err)
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
		b.acknowledge(ctx, order)
	}()
	b.connect(ctx, client)
	<-ctx.Done()
	select {
	case <-acknowledged:
	case <-time.After(drainWithin + partWithin): // the broker does not read
	}
	client.Disconnect(uint(partWithin / time.Millisecond))
	b.up.Set(0)
	b.state.stopped(nil)
	return nil
}

// connect connects for the first time; paho connects again by itself from then on.
func (b *bridge) connect(ctx context.Context, client paho.Client) {
	refused := false
	for failed := 0; ; failed++ {
		token := client.Connect()
		select {
		case <-token.Done():
		case <-ctx.Done():
			return
		}
		err := token.Error()
		if err == nil {
			return
		}
		before := refused
		if refused = refusesAccount(err); refused {
			err = fmt.Errorf("the broker refuses the user name or the password: %w", err)
		}
		if failed == 0 || refused != before { // one line for each cause, not for each try
			b.log.Warn("bridge cannot connect to its broker, trying again", "user", b.cfg.user, "err", err)
		}
		b.down(fmt.Errorf("connect: %w", err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(backOff(failed)):
		}
	}
}

// refusesAccount tells whether a broker has answered that it does not let this account in (MQTT 3.1.1, 3.2.2.3).
func refusesAccount(err error) bool {
	return errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword) || errors.Is(err, packets.ErrorRefusedNotAuthorised)
}

// backOff is how long to wait after so many failures and one more: twice as long each time, and
// never the same for two bridges, or all would come at once to a broker that has just started.
func backOff(failed int) time.Duration {
	longest := connectMost
	if failed < 5 {
		longest = connectFirst << failed
	}
	return longest/2 + rand.N(longest/2) //nolint:gosec // jitter
}

func (b *bridge) down(err error) {
	b.up.Set(0)
	b.state.stopped(err)
}

func (b *bridge) options(ctx context.Context) *paho.ClientOptions {
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
		SetMaxReconnectInterval(connectMost). // backs off by itself, without jitter
		SetReconnectingHandler(func(paho.Client, *paho.ClientOptions) {
			select {
			case <-ctx.Done():
			case <-time.After(rand.N(connectFirst)): //nolint:gosec // jitter
			}
		}).
		SetKeepAlive(30 * time.Second)
}

// acknowledge tells the broker of messages in the order in which they came (MQTT-4.6.0-2), each
// when it is stored, until ctx ends and nothing is under way any more, or for a little longer.
func (b *bridge) acknowledge(ctx context.Context, order <-chan *taken) {
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
			b.state.settled()
			b.waiting.Dec()
		case <-giveUp.Done():
			return
		}
	}
}

// connected subscribes, again and again while the broker refuses: the account may be given the
// right later. One that is ending empties its session and then is done.
func (b *bridge) connected(ctx context.Context, c paho.Client, done func()) {
	for {
		err := b.subscribe(c)
		if err == nil {
			b.up.Set(1)
			b.state.started()
			b.log.Info("bridge connected", "ending", b.ending)
			if b.ending {
				go b.endSession(ctx, c, done)
			}
			return
		}
		if ctx.Err() != nil || !c.IsConnectionOpen() {
			return
		}
		b.down(err)
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

// subscribe asks for the filters one by one, not for all below the operator: the reject topics
// that we answer on lie there too. One connection subscribes by itself: after a restart Mosquitto
// has forgotten shared subscriptions, and loses what comes before they are renewed, but not the
// others. Then the session gives up what it was subscribed to under other settings.
func (b *bridge) subscribe(c paho.Client) error {
	if len(b.filters) > 0 {
		filters := make(map[string]byte)
		for _, filter := range b.filters {
			filters[filter] = 1
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
	}
	if len(b.old) > 0 { // last: a message twice is better than none
		if err := b.answered(c.Unsubscribe(b.old...)); err != nil {
			return err
		}
	}
	if b.ending {
		return nil
	}
	return b.book.subscribed(b.client, b.cfg.broker, b.filters)
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

// endSession waits until nothing has come for a while and all that came is acknowledged, and then
// connects once more without a session: by that the broker forgets it (MQTT-3.1.2-6). Where the
// connection is lost meanwhile, the next one begins anew.
func (b *bridge) endSession(ctx context.Context, c paho.Client, done func()) {
	looks := time.NewTicker(b.emptyAfter / 10)
	defer looks.Stop()
	for begun := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
		}
		if !c.IsConnectionOpen() {
			return
		}
		if quietSince, waiting := b.state.rests(begun); waiting == 0 && time.Since(quietSince) >= b.emptyAfter {
			break
		}
	}
	c.Disconnect(uint(partWithin / time.Millisecond)) // it would come back, and make the session anew
	for failed := 0; ; failed++ {
		last := paho.NewClient(b.options(ctx).SetCleanSession(true).SetAutoReconnect(false).SetOnConnectHandler(nil))
		token := last.Connect()
		if token.WaitTimeout(subscribeWithin) && token.Error() == nil {
			last.Disconnect(uint(partWithin / time.Millisecond))
			break
		}
		last.Disconnect(0)
		select {
		case <-ctx.Done():
			return // the next start ends it
		case <-time.After(backOff(failed)):
		}
	}
	if err := b.book.ended(b.client, b.cfg.broker); err != nil {
		b.log.Error("ended session is not forgotten", "err", err)
	}
	b.log.Info("session at the broker is ended: no bridge of the settings uses it")
	b.over.Store(true)
	done()
}

// A bridgeState is what a bridge is doing, for whoever looks.
type bridgeState struct {
	mu       sync.Mutex
	up       bool
	since    time.Time
	err      error
	failed   time.Time
	waiting  int
	messages uint64
	last     time.Time
}

func (s *bridgeState) started() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		s.up, s.since = true, time.Now()
	}
}

func (s *bridgeState) stopped(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.up {
		s.up, s.since = false, now
	}
	if err != nil {
		s.err, s.failed = err, now
	}
}

func (s *bridgeState) took(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting++
	s.messages++
	s.last = now
}

func (s *bridgeState) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
}

// rests tells since when nothing has come, at the earliest since begun, and how much is under way.
func (s *bridgeState) rests(begun time.Time) (since time.Time, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.After(begun) {
		begun = s.last
	}
	return begun, s.waiting
}

// tell is what the bridge is doing now.
func (b *bridge) tell() journal.BridgeState {
	s := &b.state
	s.mu.Lock()
	defer s.mu.Unlock()
	told := journal.BridgeState{
		Bridge: b.client, Operator: string(b.cfg.operator), Broker: b.cfg.broker, Up: s.up, Since: s.since.UTC(),
		Ending: b.ending, Waiting: s.waiting, Messages: s.messages, Last: s.last.UTC(), Failed: s.failed.UTC(),
	}
	if s.err != nil {
		told.Error = clean(s.err.Error(), 256)
	}
	return told
}
