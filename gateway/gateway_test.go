package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

func TestMain(m *testing.M) {
	// A client that tries to connect sleeps its interval of up to 2 s out, whoever has ended it.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/eclipse/paho%2emqtt%2egolang.(*client).Connect.func1"),
		goleak.IgnoreAnyFunction("github.com/eclipse/paho%2emqtt%2egolang.(*client).Disconnect.func1"))
}

const (
	soon  = 10 * time.Second       // by when what must come has come
	quiet = 100 * time.Millisecond // for what must not come
)

// eventually looks again and again, for what gives no sign of its own.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(soon)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// start runs fn until the test ends or stop is called, and expects it to end cleanly within 5 s.
func start(t testing.TB, fn func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("ended with: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("does not end within 5 s")
		}
	})
	t.Cleanup(stop)
	return stop
}

// logins are user names with their identities; the password of each is "secret".
type logins map[string]registry.Identity

func (l logins) Authenticate(username, password string) (registry.Identity, bool) {
	id, ok := l[username]
	if !ok || password != "secret" {
		return registry.Identity{}, false
	}
	return id, true
}

func (l logins) Holds(who registry.Identity, token [sha256.Size]byte) bool {
	return l[who.String()] == who && token == sha256.Sum256([]byte("secret"))
}

func (l logins) Registered(who registry.Identity) bool { return l[who.String()] == who }

func (l logins) Rev() int64 { return 0 }

var someLogins = logins{
	"OP": {Operator: "OP"}, "OP:P1": {Operator: "OP", Pile: "P1"}, "OP:P2": {Operator: "OP", Pile: "P2"}, "OTHER": {Operator: "OTHER"},
}

// pipes is a network without buffers: what the other side does not read cannot be written.
type pipes struct {
	conns chan net.Conn
	end   chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), end: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.end) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A door is a listener before a log of a few lines.
type door struct {
	*listener
	t    testing.TB
	log  *heldLog
	book *rejectBook
	stop func()
	dial func() (net.Conn, error)
}

// openDoor starts a listener; set may change it first.
func openDoor(t testing.TB, log *heldLog, set func(*listener)) *door {
	t.Helper()
	return openDoorWith(t, log, nil, set)
}

// openDoorWith may change its settings.
func openDoorWith(t testing.TB, log *heldLog, configure func(*Config), set func(*listener)) *door {
	t.Helper()
	d := &door{t: t, log: log, book: &rejectBook{}}
	cfg := Defaults()
	cfg.MQTT = "127.0.0.1:0"
	if configure != nil {
		configure(cfg)
	}
	l, err := newListener(cfg, testAcceptor(somePiles(), log, d.book), someLogins, newPace(cfg.MaxPileRate, cfg.MaxOperatorRate), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if set != nil {
		set(l)
	}
	d.listener = l
	addr := l.socket.Addr().String()
	d.dial = func() (net.Conn, error) { return net.Dial("tcp", addr) }
	d.stop = start(t, l.run)
	return d
}

// usePipes makes the listener's network one of pipes.
func usePipes(l *listener) *pipes {
	_ = l.socket.Close()
	p := newPipes()
	l.socket = p
	return p
}

// A client is one of MQTT 3.1.1 that does what it is told and nothing else.
type client struct {
	t    testing.TB
	conn net.Conn
}

// connecting sends a CONNECT and gives what is answered.
func (d *door) connecting(user, password, id string, set func(*packets.ConnectPacket)) (*client, *packets.ConnackPacket) {
	d.t.Helper()
	conn, err := d.dial()
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close() })
	c := &client{d.t, conn}
	p, _ := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion, p.CleanSession, p.ClientIdentifier = "MQTT", 4, true, id
	p.UsernameFlag, p.Username, p.PasswordFlag, p.Password = user != "", user, password != "", []byte(password)
	if set != nil {
		set(p)
	}
	c.send(p)
	answer, ok := c.read().(*packets.ConnackPacket)
	if !ok {
		d.t.Fatal("CONNECT is not answered by a CONNACK")
	}
	return c, answer
}

// connect is connecting with success.
func (d *door) connect(user, id string, set func(*packets.ConnectPacket)) *client {
	d.t.Helper()
	c, answer := d.connecting(user, "secret", id, set)
	if answer.ReturnCode != 0 {
		d.t.Fatalf("%s is refused with %d", user, answer.ReturnCode)
	}
	return c
}

func (c *client) send(p packets.ControlPacket) {
	c.t.Helper()
	_ = c.conn.SetWriteDeadline(time.Now().Add(soon))
	if err := p.Write(c.conn); err != nil {
		c.t.Fatalf("send %T: %v", p, err)
	}
}

func (c *client) publish(id uint16, topic, payload string) {
	c.t.Helper()
	p, _ := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.Qos, p.MessageID, p.TopicName, p.Payload = 1, id, topic, []byte(payload)
	if id == 0 {
		p.Qos = 0
	}
	c.send(p)
}

func (c *client) read() packets.ControlPacket {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(soon))
	p, err := packets.ReadPacket(c.conn)
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return p
}

// acks expects these PUBACKs and nothing in between.
func (c *client) acks(want ...uint16) {
	c.t.Helper()
	for _, id := range want {
		p, ok := c.read().(*packets.PubackPacket)
		if !ok || p.MessageID != id {
			c.t.Fatalf("got %v, want the PUBACK of %d", p, id)
		}
	}
}

// pong expects that a PINGREQ is answered, and that nothing else was sent before.
func (c *client) pong() {
	c.t.Helper()
	c.send(packets.NewControlPacket(packets.Pingreq))
	if p := c.read(); p.String() != packets.NewControlPacket(packets.Pingresp).String() {
		c.t.Fatalf("got %v, want the PINGRESP", p)
	}
}

// ended expects the end of the connection, and nothing before it.
func (c *client) ended() {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(soon))
	p, err := packets.ReadPacket(c.conn)
	var timeout net.Error
	if err == nil {
		c.t.Fatalf("got %v, want the end of the connection", p)
	} else if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatal("the connection does not end")
	}
}

// arrive waits until n messages more are in the log.
func (h *heldLog) arrive(t testing.TB, n int) {
	t.Helper()
	for range n {
		select {
		case <-h.came:
		case <-time.After(soon):
			t.Fatal("the message does not reach the log")
		}
	}
}

// none expects that nothing more reaches the log.
func (h *heldLog) none(t testing.TB) {
	t.Helper()
	select {
	case <-h.came:
		t.Fatal("a message reaches the log that must not")
	case <-time.After(quiet):
	}
}

// lines gives the readings in the log, each in one line.
func (h *heldLog) lines() []string {
	var all []string
	for _, r := range h.readings() {
		all = append(all, told(r))
	}
	return all
}

// A station is a whole gateway, with a real log and a real registry.
type station struct {
	t       testing.TB
	log     *journal.Log
	reg     *registry.Registry
	dir     *registry.Directory
	tokens  map[string]string // by user name
	gateway *Gateway
	stop    func()
}

const (
	testOperators = "operator,name\nOP,鲁充\nOTHER,海岱\n"
	testStations  = "operator,station,name,township,kind,opened\nOP,S1,庄寨,371721101,public,2023-05-01\nOP,S2,曹城,371721001,public,2023-05-01\nOTHER,S1,普连集,371721102,public,2023-05-01\n"
	testPiles     = "operator,station,pile,connector,power_kw,opened\nOP,S1,P1,1,120,2023-05-01\nOP,S1,P1,2,120,2023-05-01\nOP,S2,P2,1,60,2023-05-01\nOTHER,S1,P1,1,60,2023-05-01\n"
)

func newStation(t testing.TB, set func(*Config)) *station {
	t.Helper()
	return newStationWith(t, set, func(*Gateway) {})
}

// newStationWith may change the gateway before it runs.
func newStationWith(t testing.TB, set func(*Config), change func(*Gateway)) *station {
	t.Helper()
	discard := slog.New(slog.DiscardHandler)
	s := &station{t: t, tokens: make(map[string]string)}
	var err error
	if s.log, err = journal.Open(t.Context(), journal.Embedded(t.TempDir()), discard); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.log.Close(); err != nil {
			t.Error(err)
		}
	})
	reg, err := registry.Open(t.Context(), filepath.Join(t.TempDir(), "registry.db"), discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reg.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, file := range []struct {
		table registry.Table
		text  string
	}{{registry.Operators, testOperators}, {registry.Stations, testStations}, {registry.Piles, testPiles}} {
		if _, err := reg.Import(t.Context(), file.table, strings.NewReader(file.text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, who := range []registry.Identity{{Operator: "OP"}, {Operator: "OP", Pile: "P1"}, {Operator: "OTHER"}} {
		token, credential, err := reg.IssueCredential(t.Context(), who.Operator, who.Pile)
		if err != nil {
			t.Fatal(err)
		}
		s.tokens[credential.Username()] = token
	}
	s.reg = reg
	if s.dir, err = reg.Directory(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg := Defaults()
	cfg.MQTT = "127.0.0.1:0"
	if set != nil {
		set(cfg)
	}
	if s.gateway, err = New(cfg, t.TempDir(), s.log, s.dir, discard, prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	change(s.gateway)
	s.stop = start(t, s.gateway.Run)
	return s
}

// stored reads all that is in the log by now.
func (s *station) stored() []charge.Reading {
	s.t.Helper()
	var all []charge.Reading
	for partition := range s.log.Partitions() {
		ctx, cancel := context.WithTimeout(s.t.Context(), soon)
		enough := errors.New("read up to the end")
		err := s.log.FollowPartition(ctx, partition, 0, func(b journal.Batch, pending uint64) error {
			all = append(all, b.Readings...)
			if pending == 0 {
				return enough
			}
			return nil
		})
		cancel()
		if !errors.Is(err, enough) {
			s.t.Fatalf("read partition %d: %v", partition, err)
		}
	}
	return all
}

// connect opens a connection with paho, for MQTT 3.1.1.
func (s *station) connect(user, id string, set func(*paho.ClientOptions)) paho.Client {
	s.t.Helper()
	opts := paho.NewClientOptions().AddBroker("tcp://" + s.gateway.Addr()).SetClientID(id).
		SetUsername(user).SetPassword(s.tokens[user]).SetAutoReconnect(false)
	if set != nil {
		set(opts)
	}
	c := paho.NewClient(opts)
	if token := c.Connect(); !token.WaitTimeout(soon) || token.Error() != nil {
		s.t.Fatalf("connect as %s: %v", user, token.Error())
	}
	s.t.Cleanup(func() { c.Disconnect(100) })
	return c
}

func kinds(all []charge.Reading, kind charge.Kind) []charge.Reading {
	return slices.DeleteFunc(slices.Clone(all), func(r charge.Reading) bool { return r.Kind != kind })
}
