package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/time/rate"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
	"pilewatch/internal/wire"
)

const (
	maxPacketBytes = 4 << 20          // the default
	connectWithin  = 10 * time.Second // for a client's CONNECT; who only opens a connection cannot keep it
	writeWithin    = 10 * time.Second // for a client that does not read its acknowledgements
	acceptAgain    = 100 * time.Millisecond
	// At the end messages under way are stored and acknowledged, and clients told: together
	// with the log's own drain it takes under 5 s.
	drainWithin = time.Second
	partWithin  = 500 * time.Millisecond
	lookEvery   = time.Second // for changed TLS files, and for who may no longer be connected
	// The library's default makes a channel of 8,192 slots, 64 KiB, for each connection; a pile
	// is written little more than acknowledgements, which do not use it.
	pendingWrites = 64
	// sessionKept bounds how long the library remembers a client that does not come back, with
	// its buffers; its default is 136 years. Only subscriptions are kept, and clients renew them.
	sessionKept = time.Hour
)

// authenticator knows credentials: *registry.Directory.
type authenticator interface {
	Authenticate(username, password string) (registry.Identity, bool)
	Holds(who registry.Identity, token [sha256.Size]byte) bool
	Registered(who registry.Identity) bool
	Rev() int64
}

// A listener is the MQTT server that piles connect to (3.1, 3.1.1 and 5). It speaks the protocol;
// what a message says goes to the acceptor, and a QoS 1 message is acknowledged when the
// acceptor says that it is stored, in the order received on its connection. Many messages of
// one connection are under way at once: the library's own way, to acknowledge when the hook
// returns, would hold each connection to one message a round trip to the disk.
type listener struct {
	mqtt.HookBase
	server      *mqtt.Server
	socket      net.Listener // plain; nil where there is none
	secure      net.Listener // TLS; nil where there is none
	keys        *keyring     // of secure
	arrivals    *rate.Limiter
	guesses     *guesses
	pace        *pace
	refusals    *tally // connections refused and ended, by cause
	keepAlive   uint16 // the longest, in seconds
	perAddress  int    // connections, 0 for no limit
	maxClients  int64
	elsewhere   string // where MQTT 5 clients are sent at the end
	accept      *acceptor
	auth        authenticator
	log         *slog.Logger
	maxInFlight int
	connectIn   time.Duration // connectWithin
	writeIn     time.Duration // writeWithin
	lookEvery   time.Duration // lookEvery
	metrics     listenerMetrics

	ctx context.Context //nolint:containedctx // the library's hooks carry none; this one ends with run

	looked   atomic.Int64 // times that watch has looked
	underWay atomic.Int64 // QoS 1 messages taken and neither acknowledged nor given up

	mu      sync.Mutex
	open    map[*connection]struct{}
	from    map[netip.Prefix]int // how many of open
	session int64                // the last that was given out
}

type listenerMetrics struct {
	connections prometheus.Gauge
	refused     *prometheus.CounterVec
	ended       *prometheus.CounterVec
	published   [2]prometheus.Counter // by quality of service
	acked       prometheus.Counter
}

func newListener(cfg *Config, accept *acceptor, auth authenticator, pace *pace, log *slog.Logger, reg prometheus.Registerer) (*listener, error) {
	f := promauto.With(reg)
	published := f.NewCounterVec(prometheus.CounterOpts{Name: "gateway_publishes_total", Help: "PUBLISH packets received, by quality of service."}, []string{"qos"})
	l := &listener{
		accept: accept, auth: auth, log: log, maxInFlight: cfg.MaxInFlight, connectIn: connectWithin, writeIn: writeWithin, lookEvery: lookEvery,
		open: make(map[*connection]struct{}), from: make(map[netip.Prefix]int), guesses: newGuesses(cfg.MaxWrongPasswords),
		pace: pace, keepAlive: uint16(cfg.MaxKeepAlive / time.Second), //nolint:gosec // checked: mostKeepAlive
		perAddress: cfg.MaxClientsPerAddress, maxClients: cfg.MaxClients, elsewhere: cfg.ServerReference,
		metrics: listenerMetrics{
			connections: f.NewGauge(prometheus.GaugeOpts{Name: "gateway_connections", Help: "Open MQTT connections."}),
			refused:     f.NewCounterVec(prometheus.CounterOpts{Name: "gateway_connections_refused_total", Help: "Connections refused, by cause."}, []string{"cause"}),
			ended:       f.NewCounterVec(prometheus.CounterOpts{Name: "gateway_connections_ended_total", Help: "Connections that the gateway itself ended, by cause."}, []string{"cause"}),
			published:   [2]prometheus.Counter{published.WithLabelValues("0"), published.WithLabelValues("1")},
			acked:       f.NewCounter(prometheus.CounterOpts{Name: "gateway_pubacks_total", Help: "PUBACK packets sent: each is a promise that the message is on disk."}),
		},
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "gateway_in_flight", Help: "QoS 1 messages taken and not yet acknowledged, of all connections."}, func() float64 { return float64(l.underWay.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "gateway_in_flight_most", Help: "The same of the connection that has most; at --max-in-flight it is not read from."}, l.mostUnderWay)
	l.refusals = newTally(func(cause string, count int, last []any) {
		log.Warn("connections refused or ended", append([]any{"cause", cause, "count", count}, last...)...)
	})
	if cfg.MaxConnectRate > 0 {
		l.arrivals = rate.NewLimiter(rate.Limit(cfg.MaxConnectRate), burstOf(cfg.MaxConnectRate))
	}
	if err := l.listen(cfg, f); err != nil {
		return nil, errors.Join(err, l.closeSockets())
	}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumClients = math.MaxInt64 // OnConnect counts, and says so
	capabilities.MaximumClientWritesPending = pendingWrites
	capabilities.MaximumPacketSize = cfg.MaxPacketBytes
	capabilities.ReceiveMaximum = uint16(cfg.MaxInFlight) //nolint:gosec // checked: mostInFlight
	capabilities.MaximumQos = 1
	capabilities.SharedSubAvailable = 0
	capabilities.TopicAliasMaximum = 0 // as announced; an alias would keep a topic of up to 64 KiB
	capabilities.MaximumSessionExpiryInterval = uint32(sessionKept / time.Second)
	l.server = mqtt.New(&mqtt.Options{
		Capabilities:            capabilities,
		InlineClient:            true, // for answers on the reject topics
		ClientNetReadBufferSize: 16,   // the least; connection reads ahead
		Logger:                  slog.New(slog.DiscardHandler),
		SysTopicResendInterval:  int64(24 * time.Hour / time.Second), // nobody may read them, and each stops the world
	})
	if err := l.server.AddHook(l, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("make the MQTT listener: %w", err), l.closeSockets())
	}
	return l, nil
}

// mostUnderWay is how many messages of one connection are under way, of the one that has most.
func (l *listener) mostUnderWay() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := 0
	for c := range l.open {
		most = max(most, len(c.slots))
	}
	return float64(most)
}

// listen takes the addresses.
func (l *listener) listen(cfg *Config, f promauto.Factory) (err error) {
	// MQTT's keep-alive finds who is gone; Go's default would wake every pile's modem each 15 s.
	listen := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Minute, Interval: 30 * time.Second, Count: 4}}
	if cfg.MQTT != "" {
		if l.socket, err = listen.Listen(context.Background(), "tcp", cfg.MQTT); err != nil {
			return fmt.Errorf("listen for MQTT on %s: %w; choose another address with --mqtt", cfg.MQTT, err)
		}
	}
	if !cfg.secure() {
		return nil
	}
	if l.keys, err = newKeyring(cfg, l.log); err != nil {
		return err
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_certificate_expiry_timestamp_seconds", Help: "When the certificate that piles are shown ends.",
	}, l.keys.until)
	if l.secure, err = listen.Listen(context.Background(), "tcp", cfg.MQTTS); err != nil {
		return fmt.Errorf("listen for MQTT over TLS on %s: %w; choose another address with --mqtts", cfg.MQTTS, err)
	}
	return nil
}

func (l *listener) sockets() []net.Listener {
	var all []net.Listener
	for _, s := range []net.Listener{l.socket, l.secure} {
		if s != nil {
			all = append(all, s)
		}
	}
	return all
}

func (l *listener) closeSockets() error {
	var all []error
	for _, s := range l.sockets() {
		all = append(all, s.Close())
	}
	return errors.Join(all...)
}

// run serves until ctx ends. Then it accepts no connection and takes no message any more, waits a
// little for the acknowledgements of those it took, and says goodbye to every client.
func (l *listener) run(ctx context.Context) error {
	l.ctx = ctx
	if err := l.server.Serve(); err != nil {
		return errors.Join(fmt.Errorf("serve MQTT: %w", err), l.closeSockets())
	}
	var clients, accepting sync.WaitGroup
	for _, s := range l.sockets() {
		accepting.Go(func() { l.acceptAll(s, &clients) })
	}
	l.watch(ctx)
	err := l.closeSockets()
	accepting.Wait()
	l.drain()
	l.part()
	clients.Wait()
	l.refusals.sweep(time.Now(), true)
	if err := errors.Join(err, l.server.Close()); err != nil {
		return fmt.Errorf("stop MQTT: %w", err)
	}
	return nil
}

// acceptAll hands connections to the library until the socket is closed. The library's own loop
// would end for good at the first error, such as too many open files.
func (l *listener) acceptAll(socket net.Listener, clients *sync.WaitGroup) {
	for {
		// Who comes in a storm waits in the kernel's queue, where it costs next to nothing.
		limits{operator: l.arrivals}.wait(l.ctx, func(string) func() { return l.accept.metrics.slow("arrivals") })
		raw, err := socket.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.refusals.add(time.Now(), "cannot_accept", 1, "err", err)
			time.Sleep(acceptAgain)
			continue
		}
		c := &connection{Conn: raw, listener: l, raw: raw, from: origin(raw), writeIn: l.writeIn, slots: make(chan struct{}, l.maxInFlight)}
		c.ctx, c.cancel = context.WithCancel(l.ctx)
		_ = c.SetReadDeadline(time.Now().Add(l.connectIn))
		if !l.enter(c) {
			l.metrics.refused.WithLabelValues(tooMany).Inc()
			l.refusals.add(time.Now(), tooMany, 1, "address", c.from)
			_ = c.Close()
			continue
		}
		clients.Go(func() {
			l.serve(c, socket == l.secure)
			_ = c.Close()
			l.leave(c)
		})
	}
}

// Causes for which a connection is refused or ended, in metrics and in the log.
const (
	tooMany        = "too_many"
	tooManyFrom    = "too_many_of_address"
	guessing       = "too_many_wrong_passwords"
	credential     = "credential"
	noTLS          = "tls"
	silent         = "silent"
	packetTooLarge = "packet_too_large"
	protocol       = "protocol"
	deaf           = "deaf" // it does not read what it is sent
	qos2           = "qos2"
	revoked        = "revoked"
)

// notSignedIn is how many connections more than --max-clients may be open: they have 10 s to say
// who they are, and are told why they are refused.
const notSignedIn = 20_000

// enter counts the connection, or tells that there is no room for it.
func (l *listener) enter(c *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if int64(len(l.open)) >= l.maxClients+notSignedIn {
		return false
	}
	l.open[c] = struct{}{}
	l.from[c.from]++
	c.crowded = l.perAddress > 0 && c.from.IsValid() && l.from[c.from] > l.perAddress
	return true
}

func (l *listener) leave(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	if l.from[c.from]--; l.from[c.from] == 0 {
		delete(l.from, c.from)
	}
}

// serve is a connection's whole life.
func (l *listener) serve(c *connection, secure bool) {
	if secure {
		if err := l.handshake(c); err != nil {
			l.metrics.refused.WithLabelValues(noTLS).Inc()
			l.refusals.add(time.Now(), noTLS, 1, "address", c.from, "err", err)
			return
		}
	}
	err := l.server.EstablishConnection("mqtt", c)
	if c.joined {
		l.pace.leave(c.sender.operator, c.sender.pile)
	}
	l.tellEnd(c, err)
}

// tellEnd tells why a connection has ended, where neither side has ended it by its own will.
func (l *listener) tellEnd(c *connection, err error) {
	code, coded := errors.AsType[packets.Code](err)
	failure, network := errors.AsType[net.Error](err)
	var cause string
	switch {
	case c.deaf.Load() && l.ctx.Err() == nil:
		cause = deaf
	case err == nil || l.ctx.Err() != nil || c.told:
		return
	case errors.Is(err, packets.ErrPacketTooLarge):
		cause = packetTooLarge
	case errors.Is(err, packets.ErrRejectPacket):
		cause = qos2 // the one that OnPacketRead rejects
	case network && failure.Timeout():
		cause = silent
	case coded && code.Code >= packets.ErrUnspecifiedError.Code:
		cause = protocol
	default:
		return // the client has gone
	}
	if c.client.Load() == nil {
		l.metrics.refused.WithLabelValues(cause).Inc()
	} else {
		l.metrics.ended.WithLabelValues(cause).Inc()
	}
	if cause != silent { // which is what mobile networks do all day
		l.refusals.add(time.Now(), cause, 1, "address", c.from, "operator", c.sender.operator, "pile", c.sender.pile, "err", err)
	}
}

// handshake makes the connection one of TLS, and notes whose certificate its client has shown.
func (l *listener) handshake(c *connection) error {
	conn := tls.Server(c.raw, l.keys.config)
	if err := conn.HandshakeContext(c.ctx); err != nil { // within the deadline that is set
		return err
	}
	c.Conn, c.tls = conn, conn
	if chain := conn.ConnectionState().PeerCertificates; len(chain) > 0 {
		who, err := certified(chain[0])
		if err != nil {
			return err
		}
		c.certificate = &who
	}
	return nil
}

// watch looks every second whether somebody has lost the right to be connected, until ctx ends.
func (l *listener) watch(ctx context.Context) {
	ticks := time.NewTicker(l.lookEvery)
	defer ticks.Stop()
	rev := l.auth.Rev()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		l.looked.Add(1)
		l.refusals.sweep(time.Now(), false)
		now := l.auth.Rev()
		fresh := l.keys != nil && l.keys.refresh()
		if now == rev && !fresh {
			continue
		}
		rev = now
		for _, c := range l.connected() {
			if err := l.mayStay(c); err != nil {
				c.banned.Store(true)
				l.metrics.ended.WithLabelValues(revoked).Inc()
				l.refusals.add(time.Now(), revoked, 1, "address", c.from, "operator", c.sender.operator, "pile", c.sender.pile, "err", err)
				go l.end(c, packets.ErrNotAuthorized)
			}
		}
	}
}

// connected are the connections that have signed in.
func (l *listener) connected() []*connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*connection
	for c := range l.open {
		if c.client.Load() != nil && !c.banned.Load() {
			all = append(all, c)
		}
	}
	return all
}

var (
	errCredentialEnded = errors.New("the credential is revoked")
	errNotRegistered   = errors.New("its name is not registered")
)

// mayStay tells whether what a connection has signed in with still holds.
func (l *listener) mayStay(c *connection) error {
	who := registry.Identity{Operator: c.sender.operator, Pile: c.sender.pile}
	if c.certificate == nil {
		if !l.auth.Holds(who, c.token) {
			return errCredentialEnded
		}
		return nil
	}
	if !l.auth.Registered(who) {
		return errNotRegistered
	}
	return l.keys.current.Load().verify(c.tls.ConnectionState().PeerCertificates)
}

// drain waits until what was taken is acknowledged.
func (l *listener) drain() {
	giveUp := time.After(drainWithin)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for l.underWay.Load() > 0 {
		select {
		case <-look.C:
		case <-giveUp:
			return
		}
	}
}

// part ends every connection: at once, those of MQTT 5 with a reason first. A client that does
// not read holds nobody up.
func (l *listener) part() {
	l.mu.Lock()
	open := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	why := packets.ErrServerShuttingDown
	if l.elsewhere != "" {
		why = packets.ErrUseAnotherServer
	}
	var told sync.WaitGroup
	for _, c := range open {
		told.Go(func() { l.end(c, why) })
	}
	told.Wait()
}

// end ends a connection, one of MQTT 5 with a reason first, if it reads it soon.
func (l *listener) end(c *connection, why packets.Code) {
	late := time.AfterFunc(partWithin, func() { _ = c.Close() })
	defer late.Stop()
	if cl := c.client.Load(); cl != nil && cl.Properties.ProtocolVersion == 5 {
		_ = l.server.DisconnectClient(cl, why)
	}
	_ = c.Close()
}

// A connection is one client's, from its TCP connection's beginning to its end. It is also the
// net.Conn that the library writes to: every write has its own time, whoever makes it.
type connection struct {
	net.Conn
	stream
	listener *listener
	raw      net.Conn // below TLS; the same without
	from     netip.Prefix
	crowded  bool // too many of its address were here when it came
	tls      *tls.Conn
	writeIn  time.Duration
	ctx      context.Context //nolint:containedctx // ends with the connection
	cancel   context.CancelFunc

	certificate *registry.Identity // whose certificate was shown; nil without

	client  atomic.Pointer[mqtt.Client] // set when it has signed in, with sender and token
	sender  sender
	token   [sha256.Size]byte // hash of what was signed in with, where there is no certificate
	limits  limits            // of what it may send
	joined  bool              // to pace
	told    bool              // that it was refused
	banned  atomic.Bool       // ended since its right has ended
	deaf    atomic.Bool       // ended since a write took too long
	session int64             // the gateway's number: when it began, in Unix nanoseconds; 0 before
	slots   chan struct{}

	mu       sync.Mutex
	waiting  []*pendingAck // in the order received
	flushing bool
}

// Write ends the connection when it fails: after half a packet nothing else may follow.
func (c *connection) Write(b []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(c.writeIn)) // fails only where Write does
	n, err := c.Conn.Write(b)
	if err != nil {
		if failure, network := errors.AsType[net.Error](err); network && failure.Timeout() {
			c.deaf.Store(true)
		}
		_ = c.Close()
	}
	return n, err
}

// SetDeadline is how the library sets the time in which a packet must come (MQTT-3.1.2-24).
func (c *connection) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// Close may be called again. TLS takes no leave by itself, which could wait for a client that does
// not read; MQTT's packets tell where they end.
func (c *connection) Close() error {
	c.cancel()
	return c.raw.Close()
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
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished,
		mqtt.OnDisconnect, mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPublish, mqtt.OnWill:
		return true
	}
	return false
}

// OnConnect refuses whom there is no room for, and who has guessed too often: that one is told
// what a wrong password is told. It bounds the keep-alive, also of a client that wants none: MQTT
// 5 clients are told (MQTT-3.1.2-21), others may be disconnected when they are silent.
func (l *listener) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c := of(cl)
	if c == nil {
		return packets.ErrNotAuthorized
	}
	if cl.State.Keepalive == 0 || cl.State.Keepalive > l.keepAlive {
		cl.State.Keepalive, cl.State.ServerKeepalive = l.keepAlive, true
	}
	code, cause := packets.ErrServerBusy, tooMany
	switch {
	case atomic.LoadInt64(&l.server.Info.ClientsConnected) >= l.maxClients:
	case c.crowded:
		code, cause = packets.ErrQuotaExceeded, tooManyFrom
	case c.certificate == nil && !l.guesses.mayTry(c.from, string(pk.Connect.Username), time.Now()):
		code, cause = packets.ErrBadUsernameOrPassword, guessing
	default:
		return nil
	}
	l.refuse(c, cause)
	if cl.Properties.ProtocolVersion < 5 && cause != guessing {
		code = packets.ErrServerUnavailable
	}
	_ = l.server.SendConnack(cl, code, false, nil) // it may have gone
	return code
}

func (l *listener) refuse(c *connection, cause string) {
	c.told = true
	l.metrics.refused.WithLabelValues(cause).Inc()
	l.refusals.add(time.Now(), cause, 1, "address", c.from)
}

// OnConnectAuthenticate lets in whoever holds a credential or has shown a certificate. The client
// identifier is made unique within its operator, so that nobody can take over a stranger's session
// (MQTT-3.1.4-3).
func (l *listener) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	c := of(cl)
	if c == nil {
		return false
	}
	identity, ok := l.signIn(c, string(pk.Connect.Username), string(pk.Connect.Password))
	if !ok {
		l.refuse(c, credential)
		l.guesses.wrong(c.from, string(pk.Connect.Username), time.Now())
		return false
	}
	cl.ID = string(identity.Operator) + "/" + identity.Pile + "/" + cl.ID
	c.sender = sender{operator: identity.Operator, pile: identity.Pile, answer: l.answer}
	c.limits, c.joined = l.pace.join(identity.Operator, identity.Pile), true
	c.client.Store(cl) // from here on watch looks after it; what was revoked just before is seen here
	if l.mayStay(c) != nil {
		l.refuse(c, revoked)
		return false
	}
	return true
}

// signIn tells who a client is. A certificate needs no password; a user name beside it must be the
// certificate's own.
func (l *listener) signIn(c *connection, username, password string) (registry.Identity, bool) {
	if c.certificate == nil {
		c.token = sha256.Sum256([]byte(password))
		return l.auth.Authenticate(username, password)
	}
	if username != "" && username != c.certificate.String() {
		return registry.Identity{}, false
	}
	return *c.certificate, l.auth.Registered(*c.certificate)
}

func (l *listener) answer(topic string, payload []byte) {
	if err := l.server.Publish(topic, payload, false, 0); err != nil {
		l.log.Warn("answer to a reject is not sent", "topic", topic, "err", err)
	}
}

// of gives the client's connection, nil for the inline client.
func of(cl *mqtt.Client) *connection {
	c, _ := cl.Net.Conn.(*connection)
	return c
}

// OnPacketEncode announces to MQTT 5 clients what else ends their connection (MQTT-3.2.2-15), and
// where to go instead (5.0, 4.11).
func (l *listener) OnPacketEncode(_ *mqtt.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Connack && pk.ReasonCode == 0 {
		pk.Properties.MaximumPacketSize = l.server.Options.Capabilities.MaximumPacketSize
	}
	if pk.FixedHeader.Type == packets.Disconnect && pk.ReasonCode == packets.ErrUseAnotherServer.Code {
		pk.Properties.ServerReference = l.elsewhere
	}
	return pk
}

// OnACLCheck lets a client subscribe to its own reject and command topics only. Publishing is
// checked by the acceptor, which can tell why: the library would just close a 3.1.1 connection.
func (l *listener) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	if write || cl.Net.Inline {
		return true
	}
	c := of(cl)
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

// OnSessionEstablish ends an older connection of the same client before the library does: that
// one would send a DISCONNECT, which MQTT 3.1.1 knows from clients only, and wait for a client
// that does not read.
func (l *listener) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	older, ok := l.server.Clients.Get(cl.ID)
	if !ok {
		return
	}
	if older.Properties.ProtocolVersion < 5 {
		older.Stop(packets.ErrSessionTakenOver)
	} else if c := of(older); c != nil {
		time.AfterFunc(partWithin, func() { _ = c.Close() })
	}
}

// OnSessionEstablished records the presence of a pile that connects by itself. Session numbers
// rise, and a connection that was taken over meanwhile gets none: so of two connections of one
// client the one that stays always has the higher number.
func (l *listener) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c := of(cl)
	if c == nil {
		return
	}
	now := time.Now()
	l.mu.Lock()
	if cl.Closed() {
		l.mu.Unlock()
		return
	}
	l.session = max(now.UnixNano(), l.session+1)
	c.session = l.session
	l.mu.Unlock()
	l.metrics.connections.Inc()
	if c.sender.pile != "" {
		_ = l.accept.presence(l.ctx, &c.sender, charge.KindConnected, c.session, now) // fails only at the end
	}
}

// OnDisconnect records the end of a pile's own connection. The end of an operator's connection
// says nothing of its piles.
func (l *listener) OnDisconnect(cl *mqtt.Client, _ error, _ bool) {
	c := of(cl)
	if c == nil || c.session == 0 {
		return
	}
	l.metrics.connections.Dec()
	if c.sender.pile != "" && l.ctx.Err() == nil {
		_ = l.accept.presence(l.ctx, &c.sender, charge.KindDisconnected, c.session, time.Now())
	}
}

// dropped marks topics that the library would drop, and never acknowledge. No topic may hold it
// (MQTT-1.5.4-2).
const dropped = "\x00"

// OnPacketRead refuses QoS 2: the server announces QoS 1 as its most (MQTT-3.2.2-11), and a
// 3.1.1 client that sends it all the same would wait for a PUBREC for good. ErrRejectPacket is
// the one error that the library heeds here: it ends the connection.
func (l *listener) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type != packets.Publish {
		return pk, nil
	}
	if pk.FixedHeader.Qos > 1 {
		if cl.Properties.ProtocolVersion == 5 {
			_ = l.server.DisconnectClient(cl, packets.ErrQosNotSupported)
		}
		return pk, packets.ErrRejectPacket
	}
	if len(pk.TopicName) >= len(mqtt.SysPrefix) && strings.EqualFold(pk.TopicName[:len(mqtt.SysPrefix)], mqtt.SysPrefix) {
		pk.TopicName = dropped + pk.TopicName
	}
	return pk, nil
}

// OnPublish takes a message that the library has read, and returns before it is stored: the library
// neither acknowledges nor forwards it (ErrRejectPacket).
func (l *listener) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil
	}
	c := of(cl)
	if c == nil {
		return pk, packets.ErrRejectPacket
	}
	l.take(c, published{pk.FixedHeader.Qos, pk.PacketID, strings.TrimPrefix(pk.TopicName, dropped), pk.Payload})
	return pk, packets.ErrRejectPacket
}

// take hands a message on and returns before it is stored. It waits, and so stops reading from this
// connection, while too many of its messages are under way.
func (l *listener) take(c *connection, m published) {
	c.limits.wait(c.ctx, l.accept.metrics.slow)
	received := time.Now()
	if m.qos == 0 {
		l.metrics.published[0].Inc()
		_ = l.accept.accept(c.ctx, &c.sender, m.topic, m.payload, received, func(verdict) {})
		return
	}
	l.metrics.published[1].Inc()
	if !l.slot(c) {
		return
	}
	ack := &pendingAck{packetID: m.packetID}
	c.mu.Lock()
	c.waiting = append(c.waiting, ack)
	c.mu.Unlock()
	l.underWay.Add(1)
	err := l.accept.accept(c.ctx, &c.sender, m.topic, m.payload, received, func(v verdict) { l.stored(c, ack, v) })
	if err != nil { // not taken: the client keeps it, since it gets no PUBACK
		c.mu.Lock()
		c.waiting = c.waiting[:len(c.waiting)-1] // it is the last: only this goroutine adds
		c.mu.Unlock()
		l.underWay.Add(-1)
		<-c.slots
	}
}

// slot waits until one more message of the connection may be under way; it is false at its end.
func (l *listener) slot(c *connection) bool {
	select {
	case c.slots <- struct{}{}:
		return true
	default:
	}
	defer l.accept.metrics.slow("in_flight")()
	select {
	case c.slots <- struct{}{}:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// OnWill takes a last will like any other message; it is stored for the platform and goes to no
// other client. A connection that the gateway itself ends, because it stops, says nothing of
// the pile.
func (l *listener) OnWill(cl *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	if c := of(cl); c != nil && l.ctx.Err() == nil && !c.banned.Load() {
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
	client := c.client.Load()
	var out bytes.Buffer
	for {
		out.Reset()
		c.mu.Lock()
		n := 0
		for n < len(c.waiting) && c.waiting[n].done {
			encodePuback(&out, client, c.waiting[n])
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

		client.Lock()
		_, err := c.Write(out.Bytes())
		client.Unlock()
		for range n {
			<-c.slots
		}
		l.underWay.Add(int64(-n))
		if err != nil {
			client.Stop(err) // the client sends again what it has no PUBACK for
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
		out.Write([]byte{packets.Puback << 4, 2, byte(ack.packetID >> 8), byte(ack.packetID)}) //nolint:gosec // its two bytes
		return
	}
	pk := packets.Packet{
		ProtocolVersion: 5,
		FixedHeader:     packets.FixedHeader{Type: packets.Puback},
		PacketID:        ack.packetID,
		ReasonCode:      payloadFormatInvalid,
		Properties:      packets.Properties{ReasonString: string(ack.verdict.reason) + ": " + ack.verdict.detail},
		// A reason only for whoever wants and holds it (MQTT-3.1.2-29, MQTT-3.4.2-2).
		Mods: packets.Mods{
			MaxSize:             cl.Properties.Props.MaximumPacketSize,
			DisallowProblemInfo: cl.Properties.Props.RequestProblemInfoFlag && cl.Properties.Props.RequestProblemInfo == 0,
		},
	}
	switch ack.verdict.reason {
	case wire.BadTopic:
		pk.ReasonCode = topicNameInvalid
	case wire.NotYours, wire.UnknownPile:
		pk.ReasonCode = notAuthorized
	}
	_ = pk.PubackEncode(out) // writes to memory
}
