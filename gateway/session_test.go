package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/testprog"
	"pilewatch/internal/wire"
)

// A bridged gateway is one with bridges only, started again and again on one data directory.
type bridged struct {
	*station
	data string
	cfg  *Config
}

func newBridged(t *testing.T) *bridged {
	t.Helper()
	b := &bridged{data: t.TempDir(), cfg: Defaults()}
	b.station = newStation(t, func(c *Config) { c.MQTT = "" })
	b.stop()
	b.cfg.MQTT = ""
	return b
}

// start begins with these bridges, and waits until those that are meant to be are up.
func (b *bridged) start(bridges ...string) {
	b.t.Helper()
	b.cfg.Bridge = bridges
	var err error
	if b.gateway, err = New(b.cfg, b.data, b.log, b.dir, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err != nil {
		b.t.Fatal(err)
	}
	for _, one := range b.gateway.bridges {
		one.emptyAfter = 500 * time.Millisecond
	}
	b.stop = start(b.t, b.gateway.Run)
	for _, one := range b.gateway.bridges {
		if !one.ending {
			eventually(b.t, one.client+" is up", func() bool { return testutil.ToFloat64(one.up) == 1 })
		}
	}
}

// kept gives the client identifiers that the data directory names, with what each subscribes to.
func (b *bridged) kept() map[string][]string {
	b.t.Helper()
	all, err := Sessions(b.data)
	if err != nil {
		b.t.Fatal(err)
	}
	named := map[string][]string{}
	for _, k := range all {
		for _, s := range k.Sessions {
			name := s.Client
			if s.Orphan {
				name += " orphan"
			}
			named[name] = s.Filters
		}
	}
	return named
}

// present asks the broker whether it has a session of this identifier.
func present(t *testing.T, broker, client string) bool {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + broker).SetClientID(client).SetCleanSession(false).SetAutoReconnect(false))
	token, _ := c.Connect().(*paho.ConnectToken)
	if !token.WaitTimeout(soon) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	defer c.Disconnect(100)
	return token.SessionPresent()
}

// statuses counts different ones in the log, of whose consumers, one for each look, there may be so many.
func (b *bridged) statuses() int {
	time.Sleep(quiet)
	seen := make(map[string]bool)
	for _, r := range kinds(b.stored(), charge.KindStatus) {
		seen[r.Pile.String()+r.At.String()] = true
	}
	return len(seen)
}

// Fewer connections leave no session in the share that goes on getting messages, and what such a
// session held when the gateway stopped is not lost.
func TestFewerConnectionsLeaveNoSessionBehind(t *testing.T) {
	broker := testprog.Mosquitto(t, brokerConf)
	b := newBridged(t)
	b.start("mqtt://" + broker + "/OP?connections=3")
	b.stop()
	c := atBroker(t, broker, "operator")
	const n = 60
	for i := range n {
		publish(t, c, statusOfP1, idleAt(i)) // shared out among three sessions
	}
	b.start("mqtt://" + broker + "/OP?connections=1")
	eventually(t, "what the three held is in the log", func() bool { return b.statuses() == n })
	eventually(t, "the two are forgotten", func() bool { return len(b.kept()) == 1 })
	for i := range n {
		publish(t, c, statusOfP1, idleAt(n+i))
	}
	eventually(t, "the one gets all", func() bool { return b.statuses() == 2*n })
	b.stop()
	want := map[string]bool{"pilewatch-gateway-1-OP-1": true, "pilewatch-gateway-1-OP-2": false, "pilewatch-gateway-1-OP-3": false}
	for client, want := range want {
		if got := present(t, broker, client); got != want {
			t.Errorf("session of %s at the broker: got %v, want %v", client, got, want)
		}
	}
}

func TestOtherTopicsGiveTheOldOnesUp(t *testing.T) {
	broker := testprog.Mosquitto(t, brokerConf)
	b := newBridged(t)
	b.start("mqtt://" + broker + "/OP")
	b.stop()
	b.start("mqtt://" + broker + "/OP?topic=" + url.QueryEscape("charging/{pile}/rt=status"))
	if diff := cmp.Diff(map[string][]string{"pilewatch-gateway-1-OP-1": {"charging/+/rt"}}, b.kept()); diff != "" {
		t.Errorf("remembered (-want +got):\n%s", diff)
	}
	c := atBroker(t, broker, "operator")
	publish(t, c, statusOfP1, idleAt(0)) // not subscribed to any more
	publish(t, c, "charging/P1/rt", idleAt(1))
	publish(t, c, "charging/P1/st", idleAt(2))
	publish(t, c, "charging/P9/rt", idleAt(3))
	publish(t, c, "charging/P2/rt", idleAt(4))
	eventually(t, "the mapped ones are in the log", func() bool { return b.statuses() == 2 })
	refused := b.gateway.rejects.total.WithLabelValues(string(wire.UnknownPile))
	if got := testutil.ToFloat64(refused); got != 1 {
		t.Errorf("unknown piles: got %v, want 1", got)
	}
	if got := testutil.ToFloat64(b.gateway.rejects.total.WithLabelValues(string(wire.BadTopic))); got != 0 {
		t.Errorf("bad topics: got %v, want 0: what is not mapped is not subscribed to", got)
	}
}

// A broker that is away keeps its session; it is listed until it is ended.
func TestASessionThatCannotBeEndedIsListed(t *testing.T) {
	server := testprog.MosquittoServer(t, brokerConf)
	b := newBridged(t)
	b.start("mqtt://"+server.Addr+"/OP?connections=2", "mqtt://"+server.Addr+"/OTHER")
	b.stop()
	server.Stop()
	b.start()
	all, err := Sessions(b.data)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Name != "gateway-1" || !all[0].Running || len(all[0].Sessions) != 3 || slices.ContainsFunc(all[0].Sessions, func(s Session) bool { return !s.Orphan }) {
		t.Errorf("listed: %+v, want three orphans of gateway-1, which runs", all)
	}
	server.Start(t)
	eventually(t, "all are ended", func() bool { return len(b.kept()) == 0 })
	b.stop()
	if all, err = Sessions(b.data); err != nil || len(all) != 0 {
		t.Errorf("listed in the end: %+v, %v", all, err)
	}
}

func TestTwoGatewaysOfOneNameDoNotShareSessions(t *testing.T) {
	b := newBridged(t)
	b.cfg.Bridge = []string{"mqtt://127.0.0.1:1/OP"}
	holder, err := openSessionBook(b.data, "gateway-1")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.close()
	if _, err := New(b.cfg, b.data, b.log, b.dir, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); !errors.Is(err, journal.ErrTaken) {
		t.Errorf("got %v, want that the name is taken", err)
	}
}

func TestSessionBookIsWholeOrAsBefore(t *testing.T) {
	data := t.TempDir()
	write(t, filepath.Join(data, sessionsFile+"g.json"), []byte(`[{"client":`))
	if _, err := openSessionBook(data, "g"); err == nil {
		t.Error("a torn book is read")
	}
	if _, err := Sessions(data); err == nil {
		t.Error("a torn book is listed")
	}
}

func TestBackOff(t *testing.T) {
	for failed, longest := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		seen := make(map[time.Duration]bool)
		for range 20 {
			d := backOff(failed)
			if seen[d] = true; d < longest*time.Second/2 || d >= longest*time.Second {
				t.Errorf("after %d failures: %s, want %d s or up to half of it less", failed, d, longest)
			}
		}
		if len(seen) < 10 {
			t.Errorf("after %d failures all wait the same", failed)
		}
	}
}

func TestBridgeTellsItsState(t *testing.T) {
	server := testprog.MosquittoServer(t, brokerConf)
	b := newBridged(t)
	told := make(chan journal.Bridges, 100)
	listening := start(t, func(ctx context.Context) error {
		return b.log.FollowBridges(ctx, func(s journal.Bridges) { told <- s })
	})
	defer listening()
	b.start("mqtt://" + server.Addr + "/OP")
	publish(t, atBroker(t, server.Addr, "operator"), statusOfP1, idleAt(1))
	eventually(t, "it is in the log", func() bool { return b.statuses() == 1 })
	one := b.gateway.bridges[0]
	got := one.tell()
	if !got.Up || got.Messages != 1 || got.Waiting != 0 || got.Error != "" || got.Last.IsZero() || got.Bridge != "pilewatch-gateway-1-OP-1" || got.Operator != "OP" {
		t.Errorf("tells: %+v", got)
	}
	server.Stop()
	eventually(t, "it is down, and says why", func() bool { s := one.tell(); return !s.Up && s.Error != "" && !s.Failed.IsZero() })
	eventually(t, "whoever listens has it", func() bool {
		select {
		case s := <-told:
			return s.Gateway == "gateway-1" && len(s.Bridges) == 1
		default:
			return false
		}
	})
}
