package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

const (
	maxPacketBytes = 4 << 20          // a larger packet ends its connection
	writeWithin    = 10 * time.Second // for a client that does not read its acknowledgements
	// The library's default makes a channel of 8,192 slots, 64 KiB, for each connection; a pile
	// is written little more than acknowledgements, which do not use it.
	pendingWrites = 64
)

// authenticator knows credentials.
type authenticator interface {
	Authenticate(username, password string) (registry.Identity, bool)
}

// A listener is the MQTT server that piles connect to (3.1, 3.1.1 and 5). It speaks the protocol;
// what a message says goes to the acceptor, and a QoS 1 message is acknowledged when the
// acceptor says that it is stored, in the order received on its connection. Many messages of
// one connection are under way at once: the library's own way, to acknowledge when the hook
// returns, would hold each connection to one message a round trip to the disk.
type listener struct {
	mqtt.HookBase
	server      *mqtt.Server
	socket      net.Listener
	accept      *acceptor
	auth        authenticator
	log         *slog.Logger
	maxInFlight int
	metrics     listenerMetrics

	ctx context.Context //nolint:containedctx // the library's hooks carry none; this one ends with run

	conns sync.Map // *mqtt.Client → *connection
}

type listenerMetrics struct {
	connections prometheus.Gauge
	refused     *prometheus.CounterVec
	published   *prometheus.CounterVec
	acked       prometheus.Counter
}

func newListener(cfg *Config, accept *acceptor, auth authenticator, log *slog.Logger, reg prometheus.Registerer) (*listener, error) {
	f := promauto.With(reg)
	l := &listener{
		accept: accept, auth: auth, log: log, maxInFlight: cfg.MaxInFlight,
		metrics: listenerMetrics{
			connections: f.NewGauge(prometheus.GaugeOpts{Name: "gateway_connections", Help: "Open MQTT connections."}),
			refused:     f.NewCounterVec(prometheus.CounterOpts{Name: "gateway_connections_refused_total", Help: "Connections refused, by cause."}, []string{"cause"}),
			published:   f.NewCounterVec(prometheus.CounterOpts{Name: "gateway_publishes_total", Help: "PUBLISH packets received, by quality of service."}, []string{"qos"}),
			acked:       f.NewCounter(prometheus.CounterOpts{Name: "gateway_pubacks_total", Help: "PUBACK packets sent: each is a promise that the message is on disk."}),
		},
	}
	socket, err := net.Listen("tcp", cfg.MQTT)
	if err != nil {
		return nil, fmt.Errorf("listen for MQTT on %s: %w; choose another address with --mqtt", cfg.MQTT, err)
	}
	l.socket = socket

	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumClients = cfg.MaxClients
	capabilities.MaximumClientWritesPending = pendingWrites
	capabilities.MaximumPacketSize = maxPacketBytes
	capabilities.ReceiveMaximum = uint16(min(cfg.MaxInFlight, 65535)) //nolint:gosec // bounded
	capabilities.MaximumQos = 1
	capabilities.RetainAvailable = 0
	capabilities.SharedSubAvailable = 0
	l.server = mqtt.New(&mqtt.Options{
		Capabilities: capabilities,
		InlineClient: true, // for answers on the reject topics
		Logger:       slog.New(slog.DiscardHandler),
	})
	if err := l.server.AddHook(l, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("make the MQTT listener: %w", err), socket.Close())
	}
	if err := l.server.AddListener(listeners.NewNet("mqtt", socket)); err != nil {
		return nil, errors.Join(fmt.Errorf("make the MQTT listener: %w", err), socket.Close())
	}
	return l, nil
}

// run serves until ctx ends, then says goodbye to every client.
func (l *listener) run(ctx context.Context) error {
	l.ctx = ctx
	if err := l.server.Serve(); err != nil {
		return fmt.Errorf("serve MQTT: %w", err)
	}
	<-ctx.Done()
	if err := l.server.Close(); err != nil {
		return fmt.Errorf("stop MQTT: %w", err)
	}
	return nil
}

// A connection is one client's, from its CONNECT to its end.
type connection struct {
	client  *mqtt.Client
	sender  sender
	session int64 // the gateway's number: when it began, in Unix nanoseconds
	slots   chan struct{}

	mu       sync.Mutex
	waiting  []*pendingAck // in the order received
	flushing bool
}

// A pendingAck is a QoS 1 message between its arrival and its PUBACK.
type pendingAck struct {
	packetID uint16
	verdict  verdict
	done     bool
}

// ID names the hook.
func (l *listener) ID() string { return "gateway" }

// Provides tells the library which hooks to call.
func (l *listener) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablished, mqtt.OnDisconnect,
		mqtt.OnPacketRead, mqtt.OnPublish, mqtt.OnWill:
		return true
	}
	return false
}

// OnConnectAuthenticate lets in whoever holds a credential. The client identifier is made unique
// within its operator, so that nobody can take over a stranger's session (MQTT-3.1.4-3).
func (l *listener) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	identity, ok := l.auth.Authenticate(string(pk.Connect.Username), string(pk.Connect.Password))
	if !ok {
		l.metrics.refused.WithLabelValues("credential").Inc()
		return false
	}
	cl.ID = string(identity.Operator) + "/" + identity.Pile + "/" + cl.ID
	l.conns.Store(cl, &connection{
		client: cl,
		sender: sender{operator: identity.Operator, pile: identity.Pile, answer: l.answer},
		slots:  make(chan struct{}, l.maxInFlight),
	})
	return true
}

func (l *listener) answer(topic string, payload []byte) {
	if err := l.server.Publish(topic, payload, false, 0); err != nil {
		l.log.Warn("answer to a reject is not sent", "topic", topic, "err", err)
	}
}

func (l *listener) of(cl *mqtt.Client) *connection {
	c, ok := l.conns.Load(cl)
	if !ok {
		return nil
	}
	return c.(*connection) //nolint:forcetypeassert // nothing else is stored
}

// OnACLCheck lets a client subscribe to its own reject and command topics only. Publishing is
// checked by the acceptor, which can tell why: the library would just close a 3.1.1 connection.
func (l *listener) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	if write || cl.Net.Inline {
		return true
	}
	c := l.of(cl)
	if c == nil {
		return false
	}
	rest, ok := strings.CutPrefix(topic, "evcs/v1/"+string(c.sender.operator)+"/")
	if !ok {
		return false
	}
	pile, leaf, ok := strings.Cut(rest, "/")
	if !ok {
		return rest == "#" && c.sender.pile == ""
	}
	if leaf != "reject" && leaf != "command" {
		return false
	}
	return c.sender.pile == "" || pile == c.sender.pile
}

// OnSessionEstablished records the presence of a pile that connects by itself.
func (l *listener) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c := l.of(cl)
	if c == nil {
		return
	}
	now := time.Now()
	c.session = now.UnixNano()
	l.metrics.connections.Inc()
	if c.sender.pile != "" {
		_ = l.accept.presence(l.ctx, &c.sender, charge.KindConnected, c.session, now) // fails only at the end
	}
}

// OnDisconnect records the end of a pile's own connection. The end of an operator's connection
// says nothing of its piles.
func (l *listener) OnDisconnect(cl *mqtt.Client, _ error, _ bool) {
	c := l.of(cl)
	if c == nil {
		return
	}
	l.conns.Delete(cl)
	if c.session == 0 {
		return
	}
	l.metrics.connections.Dec()
	if c.sender.pile != "" && l.ctx.Err() == nil {
		_ = l.accept.presence(l.ctx, &c.sender, charge.KindDisconnected, c.session, time.Now())
	}
}

// OnPacketRead refuses QoS 2: the server announces QoS 1 as its most (MQTT-3.2.2-11), and a
// 3.1.1 client that sends it all the same would wait for a PUBREC for good.
func (l *listener) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Qos > 1 {
		l.metrics.refused.WithLabelValues("qos2").Inc()
		if cl.Properties.ProtocolVersion == 5 {
			return pk, l.server.DisconnectClient(cl, packets.ErrQosNotSupported)
		}
		return pk, packets.ErrQosNotSupported
	}
	return pk, nil
}

// OnPublish takes a message and returns before it is stored: the library neither acknowledges
// nor forwards it (ErrRejectPacket). It waits, and so stops reading from this connection, while
// too many of its messages are under way.
func (l *listener) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil
	}
	c := l.of(cl)
	if c == nil {
		return pk, packets.ErrRejectPacket
	}
	received := time.Now()
	if pk.FixedHeader.Qos == 0 {
		l.metrics.published.WithLabelValues("0").Inc()
		_ = l.accept.accept(l.ctx, &c.sender, pk.TopicName, pk.Payload, received, func(verdict) {})
		return pk, packets.ErrRejectPacket
	}
	l.metrics.published.WithLabelValues("1").Inc()
	select {
	case c.slots <- struct{}{}:
	case <-l.ctx.Done():
		return pk, packets.ErrRejectPacket
	}
	ack := &pendingAck{packetID: pk.PacketID}
	c.mu.Lock()
	c.waiting = append(c.waiting, ack)
	c.mu.Unlock()
	_ = l.accept.accept(l.ctx, &c.sender, pk.TopicName, pk.Payload, received, func(v verdict) { l.stored(c, ack, v) })
	return pk, packets.ErrRejectPacket
}

// OnWill takes a last will like any other message; it is stored for the platform and goes to no
// other client. A connection that the gateway itself ends, because it stops, says nothing of
// the pile.
func (l *listener) OnWill(cl *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	if c := l.of(cl); c != nil && l.ctx.Err() == nil {
		_ = l.accept.accept(l.ctx, &c.sender, will.TopicName, will.Payload, time.Now(), func(verdict) {})
	}
	return mqtt.Will{}, nil
}

// stored marks a message as safe and sees that the PUBACKs that are due go out. It is called
// from the log's writer, so it never waits for the client's socket.
func (l *listener) stored(c *connection, ack *pendingAck, v verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ack.verdict, ack.done = v, true
	if c.waiting[0].done && !c.flushing {
		c.flushing = true
		go l.flush(c)
	}
}

// flush writes the PUBACKs of the connection's oldest messages, as far as all before are stored.
func (l *listener) flush(c *connection) {
	var out bytes.Buffer
	for {
		out.Reset()
		c.mu.Lock()
		n := 0
		for n < len(c.waiting) && c.waiting[n].done {
			encodePuback(&out, c.client, c.waiting[n])
			n++
		}
		if n == 0 {
			c.flushing = false
			c.mu.Unlock()
			return
		}
		c.waiting = c.waiting[n:]
		if len(c.waiting) == 0 {
			c.waiting = nil
		}
		c.mu.Unlock()

		c.client.Lock()
		_ = c.client.Net.Conn.SetWriteDeadline(time.Now().Add(writeWithin))
		_, err := c.client.Net.Conn.Write(out.Bytes())
		c.client.Unlock()
		for range n {
			<-c.slots
		}
		if err != nil {
			c.client.Stop(err) // the client sends again what it has no PUBACK for
		} else {
			l.metrics.acked.Add(float64(n))
		}
	}
}

// Reason codes of MQTT 5.0, 3.4.2.1, for a message of which nothing could be used.
const (
	notAuthorized        = 0x87
	topicNameInvalid     = 0x90
	payloadFormatInvalid = 0x99
)

// encodePuback writes a PUBACK (MQTT 3.4): four bytes, or with a reason where an MQTT 5 client is
// told why its message was of no use.
func encodePuback(out *bytes.Buffer, cl *mqtt.Client, ack *pendingAck) {
	if cl.Properties.ProtocolVersion < 5 || ack.verdict.reason == "" {
		out.Write([]byte{packets.Puback << 4, 2, byte(ack.packetID >> 8), byte(ack.packetID)})
		return
	}
	pk := packets.Packet{
		ProtocolVersion: 5,
		FixedHeader:     packets.FixedHeader{Type: packets.Puback},
		PacketID:        ack.packetID,
		ReasonCode:      payloadFormatInvalid,
		Properties:      packets.Properties{ReasonString: string(ack.verdict.reason) + ": " + ack.verdict.detail},
	}
	switch ack.verdict.reason {
	case "bad_topic":
		pk.ReasonCode = topicNameInvalid
	case "not_yours", "unknown_pile":
		pk.ReasonCode = notAuthorized
	}
	_ = pk.PubackEncode(out) // writes to memory
}
