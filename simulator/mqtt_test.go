package simulator

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/charge"
	"pilewatch/internal/wire"
)

// A heard message is one PUBLISH or last will as a gateway gets it.
type heard struct {
	client   string
	topic    string
	payload  string
	will     bool
	readings []charge.Reading
}

// A broker is a real MQTT server that writes down what it hears.
type broker struct {
	mochi.HookBase
	server *mochi.Server
	addr   string
	t      testing.TB

	mu      sync.Mutex
	all     []heard
	arrived chan struct{} // closed at the next message
	mute    bool          // no PUBACKs
	users   map[string]string
}

func startBroker(t testing.TB, addr string) *broker {
	t.Helper()
	b := &broker{t: t, arrived: make(chan struct{}), users: make(map[string]string)}
	options := &mochi.Options{Logger: slog.New(slog.DiscardHandler)}
	options.Capabilities = mochi.NewDefaultServerCapabilities()
	b.server = mochi.New(options)
	if err := b.server.AddHook(b, nil); err != nil {
		t.Fatal(err)
	}
	tcp := listeners.NewTCP(listeners.Config{ID: "tcp", Address: addr})
	if err := b.server.AddListener(tcp); err != nil {
		t.Fatal(err)
	}
	if err := b.server.Serve(); err != nil {
		t.Fatal(err)
	}
	b.addr = tcp.Address()
	t.Cleanup(b.stop)
	return b
}

func (b *broker) stop() { _ = b.server.Close() }

func (b *broker) url() string { return "tcp://" + b.addr }

func (b *broker) ID() string { return "test" }

func (b *broker) Provides(hook byte) bool {
	return slices.Contains([]byte{mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPublish, mochi.OnWillSent}, hook)
}

func (b *broker) OnConnectAuthenticate(cl *mochi.Client, pk packets.Packet) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.users[cl.ID] = string(pk.Connect.Username) + "/" + string(pk.Connect.Password)
	return true
}

func (b *broker) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func (b *broker) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Qos != 1 {
		b.t.Errorf("%s publishes with QoS %d", cl.ID, pk.FixedHeader.Qos)
	}
	if b.hear(cl.ID, pk, false) {
		return pk, packets.ErrRejectPacket
	}
	return pk, nil
}

func (b *broker) OnWillSent(cl *mochi.Client, pk packets.Packet) { b.hear(cl.ID, pk, true) }

func (b *broker) hear(client string, pk packets.Packet, will bool) (mute bool) {
	h := heard{client: client, topic: pk.TopicName, payload: string(pk.Payload), will: will}
	address, err := wire.ParseTopic(pk.TopicName)
	if err != nil {
		b.t.Errorf("topic %q: %v", pk.TopicName, err)
	}
	readings, rejects, _ := wire.Decode(address, pk.Payload, time.Now())
	if len(rejects) > 0 {
		b.t.Errorf("payload %.300s on %s: %+v", pk.Payload, pk.TopicName, rejects)
	}
	h.readings = readings
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, h)
	close(b.arrived)
	b.arrived = make(chan struct{})
	return b.mute
}

// until waits for what ok looks for in all that was heard.
func (b *broker) until(what string, ok func([]heard) bool) []heard {
	b.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		b.mu.Lock()
		all, arrived := slices.Clone(b.all), b.arrived
		b.mu.Unlock()
		if ok(all) {
			return all
		}
		select {
		case <-arrived:
		case <-deadline:
			b.t.Fatalf("waited in vain until %s; heard %d messages", what, len(all))
		}
	}
}

// forget makes the broker deaf to what was.
func (b *broker) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = nil
}

func (b *broker) setMute(mute bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mute = mute
}

// cut ends a client's connection from outside.
func (b *broker) cut(client string) {
	b.t.Helper()
	cl, ok := b.server.Clients.Get(client)
	if !ok {
		b.t.Fatalf("client %s is not connected", client)
	}
	_ = cl.Net.Conn.Close()
}

// A lines is a log that counts.
type lines struct {
	mu  sync.Mutex
	out strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func (l *lines) count(sentence string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.out.String(), sentence)
}

func newTestSimulator(t testing.TB, url string, fleet *Fleet, connections int, log io.Writer) *Simulator {
	t.Helper()
	cfg := Defaults()
	cfg.Broker, cfg.Piles, cfg.Connections = url, len(fleet.Piles), connections
	s := New(cfg, fleet, func(op charge.OperatorID) (string, string) { return string(op), "secret of " + string(op) },
		slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
	s.spread = time.Second
	return s
}

// start runs fn until the test ends, and expects it to end cleanly within 5 s.
func start(t testing.TB, fn func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
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

func TestPlatformHearsOfEveryWorkingTownship(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	fleet := generate(t, 2000, 1)
	s := newTestSimulator(t, b.url(), fleet, 40, io.Discard)
	if err := s.Ready(t.Context()); err == nil {
		t.Error("Ready before Run: got nil")
	}
	stop := start(t, s.Run)

	place := make(map[charge.PileID]charge.DivisionCode)
	for i := range fleet.Piles {
		if st := fleet.Stations[fleet.Piles[i].Station]; st.Kind == charge.Public {
			place[fleet.ID(i)] = st.Township
		}
	}
	want := fleet.WorkingTownships()
	all := b.until("every working township is usable", func(all []heard) bool {
		var usable []charge.DivisionCode
		for _, h := range all {
			for _, r := range h.readings {
				if township, public := place[r.Pile]; public && r.Kind == charge.KindStatus && r.Status.Usable() {
					usable = append(usable, township)
				}
			}
		}
		slices.Sort(usable)
		return slices.Equal(slices.Compact(usable), want)
	})
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}

	clients := make(map[string]bool)
	arrays, objects := 0, 0
	for _, h := range all {
		clients[h.client] = true
		address, err := wire.ParseTopic(h.topic)
		if err != nil {
			t.Fatal(err)
		}
		if h.client != "sim-"+string(address.Operator)+"-"+address.Pile {
			t.Errorf("client %s speaks on %s", h.client, h.topic)
		}
		switch {
		case address.Pile != wire.Many:
		case h.payload[0] == '[':
			arrays++
		default:
			objects++
		}
	}
	if piles := len(clients) - len(fleet.Operators); piles < 20 || piles > 40 {
		t.Errorf("%d piles have a connection of their own, want at most 40, and most of them by now", piles)
	}
	if arrays == 0 || objects == 0 {
		t.Errorf("%d arrays, %d single objects: want operators of both habits", arrays, objects)
	}
	b.mu.Lock()
	for client, user := range b.users {
		op := strings.Split(client, "-")[1]
		if user != op+"/secret of "+op {
			t.Errorf("%s signs in as %s", client, user)
		}
	}
	b.mu.Unlock()
	stop()
	for _, h := range b.until("", func([]heard) bool { return true }) {
		if h.will {
			t.Errorf("last will of %s after the simulator took leave", h.client)
		}
	}
}

func TestHandlerListsWorkingTownships(t *testing.T) {
	fleet := generate(t, 2000, 1)
	s := newTestSimulator(t, "tcp://127.0.0.1:1", fleet, 0, io.Discard)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/simulator/townships", nil))
	var got struct{ Working, Counted []charge.DivisionCode }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Working, fleet.WorkingTownships()) {
		t.Error("working is not the fleet's own list")
	}
	if len(got.Counted) == 0 || len(got.Counted) >= len(got.Working) || !slices.IsSorted(got.Counted) {
		t.Errorf("counted: %d of %d", len(got.Counted), len(got.Working))
	}
}

func TestPilesWaitForTheGatewayInOneLine(t *testing.T) {
	hold, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := hold.Addr().String()
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	var log lines
	s := newTestSimulator(t, "tcp://"+addr, generate(t, 2000, 1), 20, &log)
	start(t, s.Run)
	waitFor(t, "attempts to connect", func() bool { return log.count("does not answer") > 0 })
	if err := s.Ready(t.Context()); err == nil {
		t.Error("Ready without a gateway: got nil")
	}
	b := startBroker(t, addr)
	b.until("a pile reports", func(all []heard) bool { return len(all) > 100 })
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}
	if n := log.count("does not answer"); n != 1 {
		t.Errorf("%d lines say that the gateway does not answer, want 1", n)
	}
	if n := log.count("gateway answers"); n != 1 {
		t.Errorf("%d lines say that the gateway answers, want 1", n)
	}
}

// waitFor looks again and again; for what gives no sign of its own.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A pileLink is the connection of one pile with the test in the place of the behaviour.
func startPileLink(t *testing.T, b *broker) (l *link, say func(action, charge.Reading)) {
	fleet := generate(t, 2000, 1)
	s := newTestSimulator(t, b.url(), fleet, 1, io.Discard)
	d, err := parseBroker(b.url())
	if err != nil {
		t.Fatal(err)
	}
	l = newPileLink(s, d, 7)
	start(t, l.run)
	return l, func(a action, r charge.Reading) {
		r.Pile, r.At = fleet.ID(7), time.Now().UTC()
		l.push(&message{pile: 7, action: a, reading: r})
	}
}

// session is Unix ms of a day in 2025, to which the tests add.
const session = 1_750_000_000_000

func heartbeatOf(at int64) charge.Reading {
	return charge.Reading{Kind: charge.KindHeartbeat, Has: charge.HasSession | charge.HasOnline, Session: at, Online: true}
}

func statusOne(seq uint64, status charge.Status) charge.Reading {
	return charge.Reading{Connector: "1", Kind: charge.KindStatus, Has: charge.HasSeq | charge.HasStatus, Seq: seq, Status: status}
}

func sessionsOf(all []heard) (online, wills []int64) {
	for _, h := range all {
		for _, r := range h.readings {
			switch {
			case r.Kind != charge.KindHeartbeat:
			case r.Online:
				online = append(online, r.Session)
			case h.will:
				wills = append(wills, r.Session)
			}
		}
	}
	return online, wills
}

func TestADroppedPileLeavesItsLastWillAndReturnsWithANewSession(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	_, say := startPileLink(t, b)
	say(connect, charge.Reading{Session: session + 1000})
	say(0, heartbeatOf(session+1000))
	say(0, statusOne(1, charge.Idle))
	say(drop, charge.Reading{})
	all := b.until("the last will is out", func(all []heard) bool { return len(all) == 3 })
	online, wills := sessionsOf(all)
	if !slices.Equal(online, []int64{session + 1000}) || !slices.Equal(wills, []int64{session + 1000}) {
		t.Fatalf("sessions %v online, %v in last wills: want 1000 in both", online, wills)
	}
	say(connect, charge.Reading{Session: session + 2000})
	say(0, heartbeatOf(session+2000))
	say(0, statusOne(2, charge.Idle))
	all = b.until("the pile is back", func(all []heard) bool { return len(all) >= 5 })
	if online, wills = sessionsOf(all); !slices.Equal(online, []int64{session + 1000, session + 2000}) || len(wills) != 1 {
		t.Errorf("sessions %v online, %v in last wills: want 1000, 2000 and 1000", online, wills)
	}
}

func TestWhatAGatewayDidNotAcknowledgeIsSentAgain(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	l, say := startPileLink(t, b)
	say(connect, charge.Reading{Session: session + 1000})
	say(0, heartbeatOf(session+1000))
	say(0, statusOne(1, charge.Idle))
	b.until("heartbeat and status are there", func(all []heard) bool { return len(all) == 2 })
	b.setMute(true)
	for seq := range uint64(5) {
		say(0, statusOne(seq+2, charge.Charging))
	}
	b.until("five more are there", func(all []heard) bool { return len(all) == 7 })
	b.setMute(false)
	b.forget()
	b.cut("sim-" + string(l.operator) + "-" + l.name)
	all := b.until("the pile is back with all of them", func(all []heard) bool {
		var seqs []uint64
		for _, h := range all {
			for _, r := range h.readings {
				if r.Kind == charge.KindStatus {
					seqs = append(seqs, r.Seq)
				}
			}
		}
		// First the newest status, for the gateway must not wait for it; then the missing ones in order.
		return slices.Equal(seqs, []uint64{6, 2, 3, 4, 5, 6})
	})
	online, wills := sessionsOf(all)
	if len(online) != 1 || online[0] <= session+1000 || !slices.Equal(wills, []int64{session + 1000}) {
		t.Errorf("sessions %v online, %v in last wills: want a new one and 1000", online, wills)
	}
}

func TestAFullQueueKeepsTheNewestStatus(t *testing.T) {
	fleet := generate(t, 2000, 1)
	s := newTestSimulator(t, "tcp://127.0.0.1:1", fleet, 1, io.Discard)
	l := newPileLink(s, nil, 7)
	for seq := range uint64(pileQueue + 50) {
		r := statusOne(seq, charge.Idle)
		r.Pile = fleet.ID(7)
		l.push(&message{reading: r})
		telemetry := r
		telemetry.Kind = charge.KindTelemetry
		l.push(&message{reading: telemetry})
	}
	first, more := l.take()
	if len(first) != pileQueue || !more {
		t.Fatalf("take: got %d messages, more %v", len(first), more)
	}
	late, more := l.take()
	if len(late) != 1 || more || late[0].reading.Seq != pileQueue+49 {
		t.Errorf("take again: got %+v, more %v", late, more)
	}
}

func TestArraysKeepTheOrderOfAConnector(t *testing.T) {
	fleet := generate(t, 2000, 1)
	s := newTestSimulator(t, "tcp://127.0.0.1:1", fleet, 0, io.Discard)
	operator := slices.IndexFunc(fleet.habits, func(h habit) bool { return h.arrays })
	l := newPlatformLink(s, nil, operator)
	b := newBehaviour(fleet, s.cfg, storyStart, time.Second)
	var messages []message
	v := b.voice(func(m *message) { messages = append(messages, *m) })
	for i := range fleet.Piles {
		if int(fleet.Piles[i].Operator) == operator {
			b.step(v, i, 30*time.Minute)
		}
	}
	slices.SortStableFunc(messages, func(a, b message) int { return a.reading.At.Compare(b.reading.At) })
	seq := make(map[charge.ConnectorKey]uint64)
	objects := 0
	packets := l.pack(messages)
	for _, p := range packets {
		address, err := wire.ParseTopic(p.topic)
		if err != nil {
			t.Fatal(err)
		}
		readings, rejects, _ := wire.Decode(address, p.payload, storyStart.Add(time.Hour))
		if len(rejects) > 0 || len(readings) != p.note.objects {
			t.Fatalf("%d readings of %d objects, rejects %v", len(readings), p.note.objects, rejects)
		}
		objects += len(readings)
		for _, r := range readings {
			if r.Kind == charge.KindHeartbeat {
				continue
			}
			key := charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}
			if r.Seq != seq[key]+1 && r.Seq != seq[key] { // the same where it is sent twice
				t.Fatalf("%s: seq %d follows %d", key, r.Seq, seq[key])
			}
			seq[key] = r.Seq
		}
	}
	if objects != len(messages) || len(packets) > len(messages)/4 {
		t.Errorf("%d messages in %d packets, %d objects", len(messages), len(packets), objects)
	}
}

func TestLoadIsAcknowledgedOnceOverLostConnections(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	fleet := generate(t, 2000, 1)
	load := &Load{Broker: b.url(), Connections: 10, InFlight: 20, Count: 5000}
	for i := range 60 {
		load.Connectors = append(load.Connectors, charge.ConnectorKey{Pile: fleet.ID(i), Connector: "1"})
	}
	done := make(chan error, 1)
	go func() { done <- load.Run(t.Context()) }()
	b.until("a fifth is there", func(all []heard) bool { return len(all) > 1000 })
	if n := load.AckedCount(); n > 5000 {
		t.Errorf("acknowledged %d of 5000 so far", n)
	}
	for id := range b.server.Clients.GetAll() {
		if strings.HasPrefix(id, "load-") {
			b.cut(id)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	acked := load.Acked()
	if len(acked) != 5000 || load.AckedCount() != 5000 || load.Sent() != 5000 {
		t.Errorf("acknowledged %d, counted %d, sent %d: want 5000", len(acked), load.AckedCount(), load.Sent())
	}
	stored := make(map[Acked]bool)
	for _, h := range b.until("", func([]heard) bool { return true }) {
		if n := len(h.payload); n < 200 || n > 280 {
			t.Fatalf("payload of %d bytes: %s", n, h.payload)
		}
		r := h.readings[0]
		stored[Acked{r.Pile, r.Connector, r.At}] = true
	}
	unique := make(map[Acked]bool)
	for _, a := range acked {
		if unique[a] {
			t.Errorf("%+v acknowledged twice", a)
		}
		unique[a] = true
		if !stored[a] {
			t.Errorf("%+v acknowledged and never there", a)
		}
	}
}

func TestLoadKeepsToItsRateAndStops(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	fleet := generate(t, 2000, 1)
	load := &Load{Broker: b.url(), Connections: 2, InFlight: 10, Rate: 400}
	for i := range 20 {
		load.Connectors = append(load.Connectors, charge.ConnectorKey{Pile: fleet.ID(i), Connector: "1"})
	}
	began := time.Now()
	stop := start(t, load.Run)
	b.until("200 are there", func(all []heard) bool { return len(all) >= 200 })
	if took := time.Since(began); took < 350*time.Millisecond {
		t.Errorf("200 readings at 400 a second took %s", took)
	}
	stop()
	if got := load.AckedCount(); got < 200 || int64(got) > load.Sent() {
		t.Errorf("acknowledged %d of %d", got, load.Sent())
	}
	unique := make(map[Acked]bool)
	for _, a := range load.Acked() {
		unique[a] = true
	}
	if len(unique) != load.AckedCount() {
		t.Errorf("%d readings bear %d different times", load.AckedCount(), len(unique))
	}
}
