package gateway

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pilewatch/internal/charge"
	"pilewatch/internal/testprog"
	"pilewatch/internal/wire"
)

// brokerConf is an operator's broker that keeps what its subscribers have not acknowledged.
const brokerConf = "persistence true\nmax_inflight_messages 0\nmax_queued_messages 0\n"

// A lane is a bridge to a broker, before a log of a few lines.
type lane struct {
	*bridge
	log  *heldLog
	book *rejectBook
	stop func()
}

// noBook remembers nothing.
type noBook struct{}

func (noBook) subscribed(string, string, []string) error { return nil }
func (noBook) ended(string, string) error                { return nil }

func openLane(t testing.TB, broker string, log *heldLog) *lane {
	t.Helper()
	l := &lane{log: log, book: &rejectBook{}}
	l.bridge = newBridge(bridgeConfig{operator: "OP", broker: "tcp://" + broker, connections: 1}, "pilewatch-test-OP-1",
		testAcceptor(somePiles(), log, l.book), limits{}, noBook{}, slog.New(slog.DiscardHandler), newBridgeMetrics(prometheus.NewRegistry()))
	l.stop = start(t, l.run)
	return l
}

func (l *lane) connected(t testing.TB) {
	t.Helper()
	eventually(t, "the bridge has subscribed", func() bool { return testutil.ToFloat64(l.up) == 1 })
}

// atBroker opens a client of the operator's at its broker.
func atBroker(t testing.TB, broker, id string) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + broker).SetClientID(id).SetAutoReconnect(false))
	if token := c.Connect(); !token.WaitTimeout(soon) || token.Error() != nil {
		t.Fatalf("connect to the broker: %v", token.Error())
	}
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

func publish(t testing.TB, c paho.Client, topic, payload string) {
	t.Helper()
	if token := c.Publish(topic, 1, false, payload); !token.WaitTimeout(soon) || token.Error() != nil {
		t.Fatalf("publish to the broker: %v", token.Error())
	}
}

func TestBridgeTakesItsOperatorsMessagesOnly(t *testing.T) {
	broker := testprog.Mosquitto(t, brokerConf)
	l := openLane(t, broker, newHeldLog(false))
	l.connected(t)
	c := atBroker(t, broker, "operator")
	for _, m := range []struct{ topic, payload string }{
		{"evcs/v1/OTHER/P1/status", idle}, // not even subscribed to
		{"evcs/v1/OP/P1/reject", "{}"},    // nor this, or we would answer ourselves
		{"evcs/v1/OP/P1/command", "{}"},
		{"lamp", "on"},
		{"evcs/v1/OP/P9/status", idle},
		{statusOfMany, `{"pile":"P2","connector":"2","time":1777896000000,"status":3}`},
		{"evcs/v1/OP/P1/heartbeat", `{"time":1777896000000,"online":false}`},
		{statusOfP1, idle},
	} {
		publish(t, c, m.topic, m.payload)
	}
	l.log.arrive(t, 3)
	l.log.none(t)
	want := []string{"OP:P1/ heartbeat online=false", "OP:P1/1 status 1", "OP:P2/2 status 3"}
	if diff := cmp.Diff(want, sorted(l.log.lines())); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"unknown_pile": 1}, refusals(l.accept)); diff != "" {
		t.Errorf("rejects (-want +got):\n%s", diff)
	}
}

// Whatever a broker delivers, and be it that an account may read more than its own.
func TestBridgeNeverSpeaksForAnotherOperator(t *testing.T) {
	log, book := newHeldLog(false), &rejectBook{}
	a := testAcceptor(somePiles(), log, book)
	from := sender{operator: "OP", bridge: "b", broker: "tcp://b", answer: func(string, []byte) {}}
	for _, m := range []struct{ topic, payload string }{
		{"evcs/v1/OTHER/P1/status", idle},
		{"evcs/v1/OTHER/-/status", `{"pile":"P1","connector":"1","time":1777896000000,"status":3}`},
		{statusOfMany, `{"pile":"OTHER:P1","connector":"1","time":1777896000000,"status":3}`},
		{statusOfP1, `{"pile":"P2","connector":"1","time":1777896000000,"status":3}`},
	} {
		if err := a.accept(t.Context(), &from, m.topic, []byte(m.payload), noon, func(verdict) {}); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range log.readings() {
		if r.Pile.Operator != "OP" || r.Kind != charge.KindHeard {
			t.Errorf("in the log: %s", told(r))
		}
	}
}

func TestBridgeAnswersAtTheBroker(t *testing.T) {
	broker := testprog.Mosquitto(t, brokerConf)
	l := openLane(t, broker, newHeldLog(false))
	l.connected(t)
	c := atBroker(t, broker, "operator")
	answers := make(chan paho.Message, 10)
	if token := c.Subscribe("evcs/v1/OP/+/reject", 1, func(_ paho.Client, m paho.Message) { answers <- m }); !token.WaitTimeout(soon) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	publish(t, c, statusOfP1, "nonsense")
	select {
	case m := <-answers:
		got := parseAnswer(t, m.Payload())
		if m.Topic() != "evcs/v1/OP/P1/reject" || len(got.Rejects) != 1 || got.Rejects[0].Reason != "bad_json" {
			t.Errorf("told on %s: %s", m.Topic(), m.Payload())
		}
	case <-time.After(soon):
		t.Fatal("no answer comes")
	}
	select {
	case m := <-answers:
		t.Errorf("our own answer is answered: %s", m.Payload())
	case <-time.After(2 * quiet):
	}
	if diff := cmp.Diff(map[string]int{"bad_json": 1}, refusals(l.accept)); diff != "" {
		t.Errorf("rejects (-want +got):\n%s", diff)
	}
}

func TestWhatABridgeHasNotStoredIsDeliveredAgain(t *testing.T) {
	broker := testprog.Mosquitto(t, brokerConf)
	hanging := openLane(t, broker, newHeldLog(true))
	hanging.connected(t)
	c := atBroker(t, broker, "operator")
	const n = 50
	for i := range n {
		publish(t, c, statusOfP1, idleAt(i))
	}
	hanging.log.arrive(t, n)
	held := hanging.log.take()
	for i, stored := range held {
		// The first ten are stored, and some later ones: those cannot be acknowledged before the others.
		if i < 10 || i > 40 {
			stored()
		}
	}
	hanging.stop()

	next := openLane(t, broker, newHeldLog(false))
	next.connected(t)
	next.log.arrive(t, n-10)
	next.log.none(t)
	before, after := hanging.log.readings(), next.log.readings()
	for i, r := range after {
		if !r.At.Equal(before[i+10].At) {
			t.Fatalf("delivered again as %d: the reading of %s, want that of %s", i, r.At, before[i+10].At)
		}
	}
}

func TestBridgeWaitsAtItsEndForWhatIsUnderWay(t *testing.T) {
	broker := testprog.Mosquitto(t, brokerConf)
	l := openLane(t, broker, newHeldLog(true))
	l.connected(t)
	publish(t, atBroker(t, broker, "operator"), statusOfP1, idle)
	l.log.arrive(t, 1)
	stopped := make(chan struct{})
	go func() { l.stop(); close(stopped) }()
	time.Sleep(quiet)
	for _, stored := range l.log.take() {
		stored()
	}
	<-stopped
	next := openLane(t, broker, newHeldLog(false))
	next.connected(t)
	next.log.none(t)
}

func TestBridgeComesBackByItself(t *testing.T) {
	server := testprog.MosquittoServer(t, brokerConf)
	l := openLane(t, server.Addr, newHeldLog(false))
	l.connected(t)
	publish(t, atBroker(t, server.Addr, "before"), statusOfP1, idle)
	l.log.arrive(t, 1)
	server.Stop()
	eventually(t, "the bridge knows that its broker is gone", func() bool { return testutil.ToFloat64(l.up) == 0 })
	server.Start(t)
	publish(t, atBroker(t, server.Addr, "after"), statusOfP1, idle) // perhaps before the bridge is back: its session keeps it
	l.log.arrive(t, 1)
	l.connected(t)
}

func TestBridgeOfOneConnectionGetsAllAndGivesItsShareUp(t *testing.T) {
	broker := testprog.Mosquitto(t, brokerConf+"allow_duplicate_messages true\n")
	l := openLane(t, broker, newHeldLog(false))
	l.connected(t)
	l.stop()
	// The same session under a setting of two connections, of which the other never comes.
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + broker).SetClientID(l.client).SetCleanSession(false))
	if token := c.Connect(); !token.WaitTimeout(soon) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	if token := c.Subscribe("$share/pilewatch/"+wire.Topic("OP", "+", charge.KindStatus), 1, nil); !token.WaitTimeout(soon) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	c.Disconnect(100)
	l = openLane(t, broker, newHeldLog(false))
	l.connected(t)
	publish(t, atBroker(t, broker, "operator"), statusOfP1, idle)
	l.log.arrive(t, 1)
	l.log.none(t) // not by the share as well
}

func TestBridgeWaitsForABrokerThatIsNotThereYet(t *testing.T) {
	server := testprog.MosquittoServer(t, brokerConf)
	server.Stop()
	l := openLane(t, server.Addr, newHeldLog(false))
	time.Sleep(quiet)
	server.Start(t)
	l.connected(t)
}

func TestBridgeThatMayNotSubscribeIsNotUp(t *testing.T) {
	d := openDoor(t, newHeldLog(false), nil) // our own door lets nobody subscribe to readings
	log := &lines{}
	l := &lane{log: newHeldLog(false), book: &rejectBook{}}
	l.bridge = newBridge(bridgeConfig{operator: "OP", broker: "tcp://" + d.socket.Addr().String(), user: "OP", password: "secret", connections: 1},
		"pilewatch-test-OP-1", testAcceptor(somePiles(), l.log, l.book), limits{}, noBook{}, slog.New(slog.NewTextHandler(log, nil)), newBridgeMetrics(prometheus.NewRegistry()))
	start(t, l.run)
	eventually(t, "it says that it may not", func() bool { return strings.Contains(log.String(), "is the account allowed to?") })
	if got := testutil.ToFloat64(l.up); got != 0 {
		t.Errorf("gateway_bridge_up: got %v, want 0", got)
	}
}

func TestBridgeSignsInWithItsAccount(t *testing.T) {
	broker := testprog.Mosquitto(t, brokerConf+testprog.MosquittoAccount(t, "province", "right"))
	for _, tt := range []struct {
		name, user, password string
		letIn                bool
	}{
		{"the right password", "province", "right", true},
		{"a wrong password", "province", "wrong", false},
		{"another user", "nobody", "right", false},
		{"no account", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := &lines{}
			l := &lane{log: newHeldLog(false), book: &rejectBook{}}
			l.bridge = newBridge(bridgeConfig{operator: "OP", broker: "tcp://" + broker, user: tt.user, password: tt.password, connections: 1}, "pilewatch-test-OP-1",
				testAcceptor(somePiles(), l.log, l.book), limits{}, noBook{}, slog.New(slog.NewTextHandler(log, nil)), newBridgeMetrics(prometheus.NewRegistry()))
			start(t, l.run)
			if tt.letIn {
				l.connected(t)
				return
			}
			const refusal = "the broker refuses the user name or the password"
			eventually(t, "its state tells of the refusal", func() bool { return strings.Contains(l.tell().Error, refusal) })
			if state := l.tell(); state.Up || state.Failed.IsZero() || testutil.ToFloat64(l.up) != 0 {
				t.Errorf("state: got %+v and gateway_bridge_up %v, want one that is not up and says when it failed", state, testutil.ToFloat64(l.up))
			}
			first := l.tell().Failed
			eventually(t, "it has tried again", func() bool { return l.tell().Failed.After(first) })
			if said := log.String(); strings.Count(said, refusal) != 1 || strings.Count(said, "\n") != 1 || strings.Contains(said, "wrong") {
				t.Errorf("its log: got %q, want one line of the refusal, without the password", said)
			}
		})
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	out strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

func TestBridgesOfAGateway(t *testing.T) {
	broker := testprog.Mosquitto(t, brokerConf)
	s := newStation(t, func(c *Config) {
		c.MQTT, c.Bridge = "", []string{"mqtt://" + broker + "/OP?connections=3", "mqtt://" + broker + "/OTHER"}
	})
	if s.gateway.Addr() != "" {
		t.Errorf("Addr: got %s of a gateway that listens nowhere", s.gateway.Addr())
	}
	var names []string
	for _, b := range s.gateway.bridges {
		names = append(names, b.client)
		eventually(t, "every bridge is up", func() bool { return testutil.ToFloat64(b.up) == 1 })
	}
	want := []string{"pilewatch-gateway-1-OP-1", "pilewatch-gateway-1-OP-2", "pilewatch-gateway-1-OP-3", "pilewatch-gateway-1-OTHER-1"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
	c := atBroker(t, broker, "operator")
	const n = 300
	for i := range n {
		publish(t, c, "evcs/v1/OP/P1/status", idleAt(i))
	}
	publish(t, c, "evcs/v1/OTHER/P1/status", idleAt(0))
	eventually(t, "all is in the log", func() bool { return len(kinds(s.stored(), charge.KindStatus)) >= n+1 })
	seen := make(map[string]bool)
	for _, r := range s.stored() {
		seen[r.Pile.String()+r.At.String()] = true
	}
	if len(seen) != n+1 {
		t.Errorf("%d different readings, want %d: the connections share them", len(seen), n+1)
	}
}

// message is one that a broker delivered.
type message struct {
	paho.Message
	id    int
	acked *acknowledged
}

type acknowledged struct {
	mu  sync.Mutex
	ids []int
}

func (m message) Ack() {
	m.acked.mu.Lock()
	defer m.acked.mu.Unlock()
	m.acked.ids = append(m.acked.ids, m.id)
}

func TestAcknowledge(t *testing.T) {
	tests := []struct {
		name    string
		settled []string // by message, in the order they came: stored, failed, hangs
		want    []int
	}{
		{"all are stored", []string{"stored", "stored", "stored"}, []int{0, 1, 2}},
		{"one that was not taken is left to the broker", []string{"stored", "failed", "stored"}, []int{0, 2}},
		{"nothing overtakes one that hangs", []string{"stored", "hangs", "stored"}, []int{0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var acked acknowledged
			order := make(chan *taken, len(tt.settled))
			for i, how := range tt.settled {
				m := &taken{message: message{id: i, acked: &acked}, settled: make(chan bool, 1)}
				if how != "hangs" {
					m.settled <- how == "stored"
				}
				order <- m
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			begun := time.Now()
			(&bridge{waiting: prometheus.NewGauge(prometheus.GaugeOpts{})}).acknowledge(ctx, order)
			if diff := cmp.Diff(tt.want, acked.ids); diff != "" {
				t.Errorf("acknowledged (-want +got):\n%s", diff)
			}
			if took := time.Since(begun); took > 3*drainWithin {
				t.Errorf("ends after %s", took)
			}
		})
	}
}
