package gateway

import (
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"
	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pilewatch/internal/charge"
	"pilewatch/internal/testprog"
)

// idleAt is a status of connector 1 with a time of its own.
func idleAt(i int) string {
	return fmt.Sprintf(`{"connector":"1","time":%d,"status":1}`, time.Now().Add(-time.Hour).UnixMilli()+int64(i))
}

func TestPubackWaitsForTheLogInTheOrderReceived(t *testing.T) {
	d := openDoor(t, newHeldLog(true), nil)
	c := d.connect("OP", "c", nil)
	for id := range uint16(3) {
		c.publish(id+1, statusOfP1, idleAt(int(id)))
	}
	c.publish(4, "nonsense", "refused at once, acknowledged in its turn")
	d.log.arrive(t, 3)
	c.pong()
	held := d.log.take()
	held[2]()
	held[1]()
	c.pong()
	held[0]()
	c.acks(1, 2, 3, 4)
	c.publish(5, statusOfP1, idleAt(5))
	c.publish(6, statusOfP1, idleAt(6))
	d.log.arrive(t, 2)
	held = d.log.take()
	held[0]()
	c.acks(5)
	c.pong()
	held[1]()
	c.acks(6)
	eventually(t, "nothing is under way in the end", func() bool { return d.underWay.Load() == 0 })
}

func TestTooManyUnderWayStopTheReading(t *testing.T) {
	d := openDoor(t, newHeldLog(true), func(l *listener) { l.maxInFlight = 4 })
	c, other := d.connect("OP", "c", nil), d.connect("OTHER", "c", nil)
	for id := range uint16(10) {
		c.publish(id+1, statusOfP1, idleAt(int(id)))
	}
	d.log.arrive(t, 4)
	d.log.none(t)
	paused := d.accept.metrics.paused.WithLabelValues("in_flight")
	eventually(t, "it is told to be paused", func() bool { return testutil.ToFloat64(paused) == 1 })
	if most, all := d.mostUnderWay(), d.underWay.Load(); most != 4 || all != 4 {
		t.Errorf("under way: %v of one connection and %d in all, want 4 and 4", most, all)
	}
	held := d.log.take()
	held[0]()
	c.acks(1)
	d.log.arrive(t, 1) // one more
	d.log.none(t)
	other.publish(1, "evcs/v1/OTHER/P1/status", idleAt(0)) // not held up by it
	d.log.arrive(t, 1)
	for _, stored := range append(held[1:], d.log.take()...) {
		stored()
	}
	other.acks(1)
	for _, n := range []int{4, 1} {
		d.log.arrive(t, n)
		for _, stored := range d.log.take() {
			stored()
		}
	}
	c.acks(2, 3, 4, 5, 6, 7, 8, 9, 10)
	eventually(t, "nobody is paused", func() bool { return testutil.ToFloat64(paused) == 0 && d.mostUnderWay() == 0 })
}

// Nothing that others sent may be lost, nor what the deaf one sent: it is in the log, though its
// sender has read no acknowledgement.
func TestAClientThatNeverReadsHoldsNobody(t *testing.T) {
	log := newHeldLog(false)
	var network *pipes
	d := openDoor(t, log, func(l *listener) { network = usePipes(l); l.writeIn = time.Second })
	d.dial = func() (net.Conn, error) {
		ours, theirs := net.Pipe()
		network.conns <- theirs
		return ours, nil
	}
	deaf, other := d.connect("OP", "deaf", nil), d.connect("OP", "other", nil)
	for id := range uint16(5) {
		deaf.publish(id+1, statusOfP1, idleAt(int(id)))
	}
	for id := range uint16(100) {
		other.publish(id+1, statusOfP1, idleAt(int(id)))
		other.acks(id + 1)
	}
	d.log.arrive(t, 105)
	begun := time.Now()
	go func() { // that it still sends gives it no more time to read
		p, _ := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Payload = statusOfP1, []byte(idle)
		for p.Write(deaf.conn) == nil {
			time.Sleep(quiet)
		}
	}()
	eventually(t, "the deaf one's connection ends", func() bool { return testutil.ToFloat64(d.metrics.connections) == 1 })
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it ends after %s, want about %s", took, d.writeIn)
	}
	eventually(t, "it is counted", func() bool { return testutil.ToFloat64(d.metrics.ended.WithLabelValues("deaf")) == 1 })
	other.pong()
}

func TestAPileThatRestsStaysConnected(t *testing.T) {
	d := openDoor(t, newHeldLog(false), func(l *listener) { l.writeIn = 20 * time.Millisecond })
	c := d.connect("OP", "c", nil)
	c.publish(1, statusOfP1, idleAt(1))
	c.acks(1)
	time.Sleep(3 * d.writeIn) // longer than one write may take
	c.pong()
}

func TestWhoOnlyOpensAConnectionCannotKeepIt(t *testing.T) {
	d := openDoor(t, newHeldLog(false), func(l *listener) { l.connectIn = 50 * time.Millisecond })
	conn, err := d.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	(&client{t, conn}).ended()
	c := d.connect("OP", "c", func(p *packets.ConnectPacket) { p.Keepalive = 0 })
	time.Sleep(3 * d.connectIn)
	c.pong() // once signed in it is the client's own keep-alive that counts
}

func TestSignIn(t *testing.T) {
	d := openDoor(t, newHeldLog(false), nil)
	const refused = packets.ErrRefusedNotAuthorised
	tests := []struct {
		name, user, password string
		want                 byte
	}{
		{"an operator", "OP", "secret", packets.Accepted},
		{"a pile", "OP:P1", "secret", packets.Accepted},
		{"a wrong password", "OP", "guess", refused},
		{"an unknown name is told the same", "NOBODY", "secret", refused},
		{"a name without a password", "OP", "", refused},
		{"nobody", "", "", refused},
	}
	for _, tt := range tests {
		c, answer := d.connecting(tt.user, tt.password, "c-"+tt.user, nil)
		if answer.ReturnCode != tt.want || answer.SessionPresent {
			t.Errorf("%s: got %v, want code %d", tt.name, answer, tt.want)
		}
		if tt.want != packets.Accepted {
			c.ended()
		}
	}
}

func TestOnlyItsOwnRejectsAndCommandsMayBeRead(t *testing.T) {
	d := openDoor(t, newHeldLog(false), nil)
	tests := []struct {
		user, filter string
		want         bool
	}{
		{"OP", "evcs/v1/OP/P1/reject", true},
		{"OP", "evcs/v1/OP/+/reject", true},
		{"OP", "evcs/v1/OP/-/reject", true},
		{"OP", "evcs/v1/OP/P1/command", true},
		{"OP", "evcs/v1/OP/#", true}, // nothing else is ever published there
		{"OP", "evcs/v1/OTHER/P1/reject", false},
		{"OP", "evcs/v1/+/P1/reject", false},
		{"OP", "evcs/v1/OP/P1/status", false},
		{"OP", "evcs/v1/OP/+/+", false},
		{"OP", "evcs/v1/OP", false},
		{"OP", "evcs/v1/#", false},
		{"OP", "#", false},
		{"OP", "$SYS/#", false},
		{"OP", "$share/g/evcs/v1/OP/P1/reject", false},
		{"OP:P1", "evcs/v1/OP/P1/reject", true},
		{"OP:P1", "evcs/v1/OP/P1/command", true},
		{"OP:P1", "evcs/v1/OP/P2/reject", false},
		{"OP:P1", "evcs/v1/OP/+/reject", false},
		{"OP:P1", "evcs/v1/OP/#", false},
	}
	clients := map[string]*client{"OP": d.connect("OP", "c", nil), "OP:P1": d.connect("OP:P1", "c", nil)}
	for i, tt := range tests {
		c := clients[tt.user]
		p, _ := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
		p.MessageID, p.Topics, p.Qoss = uint16(i+1), []string{tt.filter}, []byte{1}
		c.send(p)
		answer, ok := c.read().(*packets.SubackPacket)
		if !ok || len(answer.ReturnCodes) != 1 || (answer.ReturnCodes[0] < 0x80) != tt.want {
			t.Errorf("%s subscribes to %s: got %v, want %t", tt.user, tt.filter, answer, tt.want)
		}
	}
}

func TestSameClientAgain(t *testing.T) {
	d := openDoor(t, newHeldLog(false), nil)
	other := d.connect("OTHER", "c", nil)
	platform := d.connect("OP", "c", nil)
	older := d.connect("OP:P1", "c", nil)
	d.log.arrive(t, 1)
	newer := d.connect("OP:P1", "c", nil)
	older.ended() // without a DISCONNECT, which 3.1.1 knows from clients only
	d.log.arrive(t, 2)
	newer.pong()
	other.pong() // the same identifier under other credentials is somebody else
	platform.pong()
	sessions := make(map[charge.Kind][]int64)
	for _, r := range d.log.readings() {
		if !r.Tells(charge.HasSession) || r.Pile.String() != "OP:P1" {
			t.Errorf("unexpected %s", told(r))
		}
		sessions[r.Kind] = append(sessions[r.Kind], r.Session)
	}
	began, ended := sessions[charge.KindConnected], sessions[charge.KindDisconnected]
	if len(began) != 2 || len(ended) != 1 {
		t.Fatalf("%d connected and %d disconnected, want 2 and 1", len(began), len(ended))
	}
	if ended[0] != slices.Min(began) {
		t.Errorf("disconnected bears session %d, want the older of %v: or it outranks the newer connection", ended[0], began)
	}
}

// What a connection had under way when a second client of its identifier came is in the log, and
// what its sender has no acknowledgement for is taken again: nothing of it may be lost.
func TestATakenOverConnectionLosesNothing(t *testing.T) {
	d := openDoor(t, newHeldLog(true), nil)
	older := d.connect("OP", "c", nil)
	for id := range uint16(2) {
		older.publish(id+1, statusOfP1, idleAt(int(id)))
	}
	d.log.arrive(t, 2)
	held := d.log.take()
	newer := d.connect("OP", "c", nil)
	older.ended()
	for _, stored := range held {
		stored()
	}
	for id := range uint16(2) {
		newer.publish(id+1, statusOfP1, idleAt(int(id)))
	}
	d.log.arrive(t, 2)
	for _, stored := range d.log.take() {
		stored()
	}
	newer.acks(1, 2)
	if n := len(d.log.readings()); n != 4 {
		t.Errorf("%d readings in the log, want each of the two twice", n)
	}
	eventually(t, "nothing is under way", func() bool { return d.underWay.Load() == 0 })
}

// Many connections of one client at once: whichever stays, its session is the highest, and what
// is told as ended is never the one that stays.
func TestSameClientManyTimesAtOnce(t *testing.T) {
	d := openDoor(t, newHeldLog(false), nil)
	const times = 30
	done := make(chan struct{})
	for range times {
		go func() {
			defer func() { done <- struct{}{} }()
			conn, err := d.dial()
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			p, _ := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
			p.ProtocolName, p.ProtocolVersion, p.CleanSession, p.ClientIdentifier = "MQTT", 4, true, "c"
			p.UsernameFlag, p.Username, p.PasswordFlag, p.Password = true, "OP:P1", true, []byte("secret")
			_ = p.Write(conn)
			_ = conn.SetReadDeadline(time.Now().Add(soon))
			_, _ = packets.ReadPacket(conn)
		}()
	}
	for range times {
		<-done
	}
	last := d.connect("OP:P1", "c", nil)
	last.pong()
	eventually(t, "the last one's presence is told", func() bool {
		began := kinds(d.log.readings(), charge.KindConnected)
		ended := kinds(d.log.readings(), charge.KindDisconnected)
		newest := slices.MaxFunc(began, func(a, b charge.Reading) int { return int(a.Session - b.Session) })
		return !slices.ContainsFunc(ended, func(r charge.Reading) bool { return r.Session == newest.Session })
	})
}

func TestLastWillAndPresence(t *testing.T) {
	d := openDoor(t, newHeldLog(false), nil)
	will := func(p *packets.ConnectPacket) {
		p.WillFlag, p.WillQos, p.WillRetain = true, 1, true // as many devices ask for
		p.WillTopic, p.WillMessage = "evcs/v1/OP/P1/heartbeat", []byte(`{"time":1777896000000,"session":7,"online":false}`)
	}
	c := d.connect("OP:P1", "c", will)
	d.log.arrive(t, 1)
	_ = c.conn.Close()
	d.log.arrive(t, 2)
	want := []string{"OP:P1/ connected", "OP:P1/ heartbeat online=false", "OP:P1/ disconnected"}
	if diff := cmp.Diff(want, d.log.lines()); diff != "" {
		t.Errorf("a connection that breaks (-want +got):\n%s", diff)
	}
	all := d.log.readings()
	if all[0].Session == 0 || all[0].Session != all[2].Session || all[1].Session != 7 {
		t.Errorf("sessions: got %d, %d and %d", all[0].Session, all[1].Session, all[2].Session)
	}
	c = d.connect("OP:P1", "c", will)
	c.send(packets.NewControlPacket(packets.Disconnect))
	d.log.arrive(t, 2)
	if diff := cmp.Diff(append(want, want[0], want[2]), d.log.lines()); diff != "" {
		t.Errorf("a pile that takes leave (-want +got):\n%s", diff)
	}
	platform := d.connect("OP", "c", nil)
	_ = platform.conn.Close()
	d.log.none(t) // its end says nothing of the piles
}

func TestOddPublishes(t *testing.T) {
	d := openDoor(t, newHeldLog(false), nil)
	publish := func(set func(*packets.PublishPacket)) packets.ControlPacket {
		p, _ := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.Qos, p.MessageID, p.TopicName, p.Payload = 1, 1, statusOfP1, []byte(idle)
		set(p)
		return p
	}
	tests := []struct {
		name   string
		packet packets.ControlPacket
		acked  bool // else the connection ends
		want   map[string]int
	}{
		{"retained", publish(func(p *packets.PublishPacket) { p.Retain = true }), true, nil},
		{"sent again", publish(func(p *packets.PublishPacket) { p.Dup = true }), true, nil},
		{"the server's own topics", publish(func(p *packets.PublishPacket) { p.TopicName = "$SYS/broker/uptime" }), true, map[string]int{"bad_topic": 1}},
		{"the reject topic", publish(func(p *packets.PublishPacket) { p.TopicName = "evcs/v1/OP/P1/reject" }), true, map[string]int{"bad_topic": 1}},
		{"2 MiB", publish(func(p *packets.PublishPacket) { p.Payload = make([]byte, 2<<20) }), true, map[string]int{"too_large": 1}},
		{"over 4 MiB", publish(func(p *packets.PublishPacket) { p.Payload = make([]byte, 4<<20) }), false, nil},
		{"a wildcard", publish(func(p *packets.PublishPacket) { p.TopicName = "evcs/v1/OP/+/status" }), false, nil},
		{"QoS 2", publish(func(p *packets.PublishPacket) { p.Qos = 2 }), false, nil},
		{"no identifier", publish(func(p *packets.PublishPacket) { p.MessageID = 0 }), false, nil},
		{"a second CONNECT", func() packets.ControlPacket {
			p, _ := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
			p.ProtocolName, p.ProtocolVersion, p.CleanSession, p.ClientIdentifier = "MQTT", 4, true, "c"
			return p
		}(), false, nil},
	}
	bystander := d.connect("OP", "bystander", nil)
	before := map[string]int{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := d.connect("OP", "c", nil)
			c.t = t
			_ = tt.packet.Write(c.conn) // the gateway may end the connection before it is through
			if tt.acked {
				c.acks(1)
				c.pong()
			} else {
				c.ended()
			}
			got := refusals(d.accept)
			for reason, n := range before {
				if got[reason] -= n; got[reason] == 0 {
					delete(got, reason)
				}
			}
			before = refusals(d.accept)
			if tt.want == nil {
				tt.want = map[string]int{}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("rejects (-want +got):\n%s", diff)
			}
			bystander.pong()
		})
	}
}

func TestGatewayStops(t *testing.T) {
	d := openDoor(t, newHeldLog(true), nil)
	silent, err := d.dial() // never says who it is
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	waiting := d.connect("OP", "waiting", nil)
	waiting.publish(1, statusOfP1, idleAt(1))
	waiting.publish(2, statusOfP1, idleAt(2))
	d.log.arrive(t, 2)
	pile := d.connect("OP:P1", "pile", func(p *packets.ConnectPacket) {
		p.WillFlag, p.WillTopic, p.WillMessage = true, "evcs/v1/OP/P1/heartbeat", []byte(`{"time":1777896000000,"online":false}`)
	})
	d.log.arrive(t, 1)
	stopped := make(chan struct{})
	go func() { d.stop(); close(stopped) }()
	eventually(t, "nobody is let in", func() bool {
		c, err := d.dial()
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	waiting.publish(3, statusOfP1, idleAt(3)) // too late
	for _, stored := range d.log.take() {
		stored()
	}
	waiting.acks(1, 2)
	waiting.ended()
	pile.ended()
	(&client{t, silent}).ended()
	<-stopped
	want := []string{"OP:P1/1 status 1", "OP:P1/1 status 1", "OP:P1/ connected"}
	if diff := cmp.Diff(want, d.log.lines()); diff != "" {
		t.Errorf("log (-want +got); that the gateway stops says nothing of the pile:\n%s", diff)
	}
}

func TestGatewayStopsBeforeALogThatHangs(t *testing.T) {
	var network *pipes
	d := openDoor(t, newHeldLog(true), func(l *listener) { network = usePipes(l); l.maxInFlight = 1 })
	d.dial = func() (net.Conn, error) {
		ours, theirs := net.Pipe()
		network.conns <- theirs
		return ours, nil
	}
	c := d.connect("OP", "c", nil)
	c.publish(1, statusOfP1, idleAt(1))
	c.publish(2, statusOfP1, idleAt(2)) // waits for room
	d.log.arrive(t, 1)
	d.log.none(t)
	d.stop() // checks that it takes no more than 5 s
	c.ended()
}

func TestSecondGatewayOnOnePortIsToldWhy(t *testing.T) {
	s := newStation(t, nil)
	cfg := Defaults()
	cfg.MQTT = s.gateway.Addr()
	_, err := New(cfg, t.TempDir(), s.log, s.dir, s.gateway.listener.log, prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "--mqtt") || !strings.Contains(err.Error(), cfg.MQTT) {
		t.Errorf("got %v, want an error that names --mqtt and the address", err)
	}
	cfg.MQTT, cfg.Bridge = "", []string{"mqtt://127.0.0.1/NOBODY"}
	if _, err := New(cfg, t.TempDir(), s.log, s.dir, s.gateway.listener.log, prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), "NOBODY is not registered") {
		t.Errorf("got %v, want that the operator is not registered", err)
	}
	if err := s.gateway.Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}
}

func TestPahoPublishesAreAllInTheLog(t *testing.T) {
	s := newStation(t, nil)
	const connections, each = 4, 500
	for i := range connections {
		c := s.connect("OP", fmt.Sprintf("c-%d", i), nil)
		tokens := make([]paho.Token, each)
		for k := range tokens {
			tokens[k] = c.Publish(fmt.Sprintf("evcs/v1/OP/P%d/status", 1+k%2), 1, false, idleAt(i*each+k))
		}
		for k, token := range tokens {
			if !token.WaitTimeout(soon) || token.Error() != nil {
				t.Fatalf("message %d of connection %d: %v", k, i, token.Error())
			}
		}
	}
	seen := make(map[string]int)
	for _, r := range s.stored() {
		seen[r.Pile.String()+r.At.String()]++
	}
	if len(seen) != connections*each {
		t.Errorf("%d readings in the log, want %d", len(seen), connections*each)
	}
}

// connect5 opens a connection of MQTT 5.
func (s *station) connect5(user, id string, set func(*paho5.Connect)) (*paho5.Client, *paho5.Connack, <-chan *paho5.Disconnect) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.gateway.Addr())
	if err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan *paho5.Disconnect, 1)
	c := paho5.NewClient(paho5.ClientConfig{
		Conn: conn, OnServerDisconnect: func(d *paho5.Disconnect) { ended <- d }, OnClientError: func(error) {},
	})
	connect := &paho5.Connect{
		ClientID: id, CleanStart: true, KeepAlive: 30,
		Username: user, UsernameFlag: true, Password: []byte(s.tokens[user]), PasswordFlag: true,
	}
	if set != nil {
		set(connect)
	}
	ack, err := c.Connect(s.t.Context(), connect)
	if err != nil {
		s.t.Fatalf("connect as %s: %v", user, err)
	}
	s.t.Cleanup(func() { _ = c.Disconnect(&paho5.Disconnect{}) })
	return c, ack, ended
}

func TestMQTT5(t *testing.T) {
	s := newStation(t, nil)
	c, ack, _ := s.connect5("OP", "five", nil)
	if p := ack.Properties; p.MaximumQoS == nil || *p.MaximumQoS != 1 || p.ReceiveMaximum == nil || *p.ReceiveMaximum != 256 || p.MaximumPacketSize == nil || *p.MaximumPacketSize != maxPacketBytes {
		t.Errorf("announced: %+v; want QoS 1, 256 under way, packets of 4 MiB", p)
	}
	tests := []struct {
		name, topic, payload string
		code                 byte
		reason               string
	}{
		{"a good one", statusOfP1, idleAt(1), 0, ""},
		{"half a good one", statusOfP1, "[" + idleAt(2) + `,{}]`, 0, ""},
		{"a bad topic", "lamp", "{}", 0x90, "bad_topic: want evcs/v1/"},
		{"another operator's", "evcs/v1/OTHER/P1/status", "{}", 0x87, "not_yours: "},
		{"an unknown pile", "evcs/v1/OP/P9/status", idleAt(3), 0x87, "unknown_pile: pile OP:P9"},
		{"an unknown connector", statusOfP1, strings.Replace(idleAt(4), `"1"`, `"9"`, 1), 0x99, "unknown_connector: "},
		{"no JSON", statusOfP1, "no", 0x99, "bad_json: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// paho takes a code of 0x80 and more for an error, and gives the answer all the same.
			ack, err := c.Publish(t.Context(), &paho5.Publish{QoS: 1, Topic: tt.topic, Payload: []byte(tt.payload)})
			if ack == nil {
				t.Fatal(err)
			}
			if ack.ReasonCode != tt.code || (ack.Properties != nil && !strings.HasPrefix(ack.Properties.ReasonString, tt.reason)) || (tt.reason != "" && ack.Properties == nil) {
				t.Errorf("got %#x %+v, want %#x %s", ack.ReasonCode, ack.Properties, tt.code, tt.reason)
			}
		})
	}
	quietly, _, _ := s.connect5("OP", "no reasons", func(p *paho5.Connect) { p.Properties = &paho5.ConnectProperties{} })
	small, _, _ := s.connect5("OP", "small", func(p *paho5.Connect) {
		most := uint32(30)
		p.Properties = &paho5.ConnectProperties{MaximumPacketSize: &most, RequestProblemInfo: true}
	})
	for name, c := range map[string]*paho5.Client{"who asks for no reasons": quietly, "who holds 30 bytes": small} {
		ack, err := c.Publish(t.Context(), &paho5.Publish{QoS: 1, Topic: "lamp"})
		if ack == nil || ack.ReasonCode != 0x90 || (ack.Properties != nil && ack.Properties.ReasonString != "") {
			t.Errorf("%s: got %+v, %v; want 0x90 alone", name, ack, err)
		}
	}
}

func TestMQTT5ClientsAreToldWhyTheyEnd(t *testing.T) {
	s := newStation(t, nil)
	code := func(ended <-chan *paho5.Disconnect) byte {
		t.Helper()
		select {
		case d := <-ended:
			return d.ReasonCode
		case <-time.After(soon):
			t.Fatal("no DISCONNECT comes")
			return 0
		}
	}
	_, _, older := s.connect5("OP", "same", nil)
	_, _, newer := s.connect5("OP", "same", nil)
	if got := code(older); got != 0x8e {
		t.Errorf("taken over: got %#x, want 0x8e", got)
	}
	s.stop()
	if got := code(newer); got != 0x8b {
		t.Errorf("the gateway stops: got %#x, want 0x8b", got)
	}
}

func TestMQTT5ClientsAreSentElsewhere(t *testing.T) {
	s := newStation(t, func(c *Config) { c.ServerReference = "mqtt-2.example:8883" })
	_, _, ended := s.connect5("OP", "five", nil)
	_, _, older := s.connect5("OP", "same", nil)
	s.connect5("OP", "same", nil)
	if d := <-older; d.ReasonCode != 0x8e || d.Properties.ServerReference != "" {
		t.Errorf("taken over: got %#x, reference %q; want 0x8e and none", d.ReasonCode, d.Properties.ServerReference)
	}
	s.stop()
	select {
	case d := <-ended:
		if d.ReasonCode != 0x9c || d.Properties.ServerReference != "mqtt-2.example:8883" {
			t.Errorf("the gateway stops: got %#x, reference %q; want 0x9c and where to go", d.ReasonCode, d.Properties.ServerReference)
		}
	case <-time.After(soon):
		t.Fatal("no DISCONNECT comes")
	}
}

func TestMosquittoClients(t *testing.T) {
	pub, sub := testprog.MosquittoClients(t)
	s := newStation(t, nil)
	host, port, err := net.SplitHostPort(s.gateway.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"311", "5"} {
		t.Run(version, func(t *testing.T) {
			args := []string{"-h", host, "-p", port, "-V", version, "-u", "OP", "-P", s.tokens["OP"]}
			listening := exec.Command(sub, append(args, "-t", "evcs/v1/OP/+/reject", "-C", "1", "-W", "10", "-i", "ears", "-q", "1")...)
			out := &strings.Builder{}
			listening.Stdout = out
			if err := listening.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "mosquitto_sub has subscribed", func() bool {
				cl, ok := s.gateway.listener.server.Clients.Get("OP//ears")
				return ok && cl.State.Subscriptions.Len() == 1
			})
			good, bad := idleAt(1), `{"connector":"1"}`
			for _, payload := range []string{good, bad} {
				if text, err := exec.Command(pub, append(args, "-q", "1", "-i", "mouth", "-t", "evcs/v1/OP/P2/status", "-m", payload)...).CombinedOutput(); err != nil {
					t.Fatalf("mosquitto_pub: %v: %s", err, text)
				}
			}
			if err := listening.Wait(); err != nil {
				t.Fatalf("mosquitto_sub: %v", err)
			}
			got := parseAnswer(t, []byte(out.String()))
			if len(got.Rejects) != 1 || got.Rejects[0].Topic != "evcs/v1/OP/P2/status" || got.Rejects[0].Reason != "bad_time" {
				t.Errorf("told: %s", out)
			}
			if text, err := exec.Command(pub, "-h", host, "-p", port, "-V", version, "-u", "OP", "-P", "guess", "-q", "1", "-t", "x", "-m", "x").CombinedOutput(); err == nil {
				t.Errorf("mosquitto_pub with a wrong password succeeds: %s", text)
			}
		})
	}
	if got := len(kinds(s.stored(), charge.KindStatus)); got != 2 {
		t.Errorf("%d readings in the log, want 2", got)
	}
}
