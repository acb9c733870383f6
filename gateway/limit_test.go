package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"
	mochi "github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
)

// somebodyAt is a connection from an address.
type somebodyAt struct {
	net.Conn
	addr net.Addr
}

func (s somebodyAt) RemoteAddr() net.Addr { return s.addr }

func TestOrigin(t *testing.T) {
	tests := []struct {
		name, addr, want string
	}{
		{"an address", "203.0.113.7:1234", "203.0.113.7/32"},
		{"the same, as IPv6 writes it", "[::ffff:203.0.113.7]:1234", "203.0.113.7/32"},
		{"a customer of IPv6", "[2001:db8:1:2:3:4:5:6]:1234", "2001:db8:1:2::/64"},
		{"the same with its link", "[fe80::1%eth0]:1234", "fe80::/64"},
	}
	for _, tt := range tests {
		addr := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(tt.addr))
		if got := origin(somebodyAt{addr: addr}).String(); got != tt.want {
			t.Errorf("%s: origin(%s): got %s, want %s", tt.name, tt.addr, got, tt.want)
		}
	}
	if got := origin(somebodyAt{addr: &net.UnixAddr{}}); got.IsValid() {
		t.Errorf("a pipe: got %s, want none", got)
	}
}

func TestGuesses(t *testing.T) {
	here, there := netip.MustParsePrefix("203.0.113.7/32"), netip.MustParsePrefix("203.0.113.8/32")
	begun := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	type step struct {
		from  netip.Prefix
		name  string
		after time.Duration
		wrong int // times, and then
		want  bool
	}
	names := func(n int, want bool) (all []step) {
		for i := range n {
			all = append(all, step{here, fmt.Sprintf("N%d", i), 0, 1, i < 29})
		}
		return append(all, step{here, "someone", 0, 0, want})
	}
	tests := []struct {
		name  string
		most  int
		steps []step
	}{
		{"a few", 3, []step{{here, "OP", 0, 2, true}}},
		{"too many", 3, []step{{here, "OP", 0, 3, false}}},
		{"another name at the same address", 3, []step{{here, "OP", 0, 3, false}, {here, "OTHER", 0, 0, true}}},
		{"the same name elsewhere: its owner is not locked out", 3, []step{{here, "OP", 0, 3, false}, {there, "OP", 0, 0, true}}},
		{"again after its time", 3, []step{{here, "OP", 0, 3, false}, {here, "OP", 19 * time.Second, 0, false}, {here, "OP", 20 * time.Second, 0, true}}},
		{"it goes on and on", 3, []step{{here, "OP", 0, 3, false}, {here, "OP", 20 * time.Second, 1, false}, {here, "OP", 70 * time.Second, 1, true}, {here, "OP", 70 * time.Second, 1, false}}},
		{"a name each time", 3, names(30, false)},
		{"nearly too many names", 3, names(29, true)},
		{"no limit", 0, []step{{here, "OP", 0, 1000, true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuesses(tt.most)
			for i, s := range tt.steps {
				now := begun.Add(s.after)
				for range s.wrong {
					g.wrong(s.from, s.name, now)
				}
				if got := g.mayTry(s.from, s.name, now); got != s.want {
					t.Fatalf("step %d, %+v: got %v", i, s, got)
				}
			}
		})
	}
	t.Run("from everywhere, memory is bounded", func(t *testing.T) {
		g, long := newGuesses(3), strings.Repeat("x", 60_000)
		for i := range 5 * mostGuessers {
			from := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
			g.wrong(from, long, begun)
		}
		if n := len(g.young) + len(g.old); n > 2*mostGuessers+2 {
			t.Errorf("%d are remembered, want %d at most", n, 2*mostGuessers)
		}
		for who := range g.young {
			if len(who.name) > 128 {
				t.Fatalf("a name of %d bytes is remembered", len(who.name))
			}
		}
	})
}

func TestPace(t *testing.T) {
	tests := []struct {
		name              string
		perPile, perOper  float64
		operator, pile    string
		messages          int
		want              time.Duration // that they take
		slowed            []string
		another, stranger bool // go on meanwhile without a wait: another pile of the operator's, another operator
	}{
		{"no limits", 0, 0, "OP", "P1", 1000, 0, nil, true, true},
		{"a pile within its burst", 10, 0, "OP", "P1", 20, 0, nil, true, true},
		{"a pile beyond it", 10, 0, "OP", "P1", 30, time.Second, []string{"pile"}, true, true},
		{"an operator beyond its own", 0, 10, "OP", "", 30, time.Second, []string{"operator"}, false, true},
		{"a pile's limit is not its operator's", 10, 1000, "OP", "", 100, 0, nil, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPace(tt.perPile, tt.perOper)
				l := p.join(charge.OperatorID(tt.operator), tt.pile)
				var slowed []string
				paused := 0
				begun := time.Now()
				for range tt.messages {
					l.wait(t.Context(), func(by string) func() {
						if !slices.Contains(slowed, by) {
							slowed = append(slowed, by)
						}
						paused++
						return func() { paused-- }
					})
				}
				if paused != 0 {
					t.Errorf("%d are still said to be paused", paused)
				}
				if took := time.Since(begun).Round(time.Millisecond); took != tt.want {
					t.Errorf("%d messages: took %s, want %s", tt.messages, took, tt.want)
				}
				if diff := cmp.Diff(tt.slowed, slowed); diff != "" {
					t.Errorf("slowed (-want +got):\n%s", diff)
				}
				for who, want := range map[[2]string]bool{{"OP", "P2"}: tt.another, {"OTHER", "P1"}: tt.stranger} {
					begun := time.Now()
					p.join(charge.OperatorID(who[0]), who[1]).wait(t.Context(), func(string) func() { return func() {} })
					if got := time.Since(begun) == 0; got != want {
						t.Errorf("%s goes on without a wait: got %v, want %v", who, got, want)
					}
				}
			})
		})
	}
	t.Run("connections of a pile share its limit, and what is gone is forgotten", func(t *testing.T) {
		p := newPace(10, 0)
		one, two := p.join("OP", "P1"), p.join("OP", "P1")
		if one.pile != two.pile {
			t.Error("two connections have two limits")
		}
		p.leave("OP", "P1")
		if p.join("OP", "P1").pile != one.pile {
			t.Error("the limit begins anew while a connection is open")
		}
		p.leave("OP", "P1")
		p.leave("OP", "P1")
		p.leave("OP", "")
		if len(p.piles) != 0 {
			t.Errorf("%d piles are remembered, want none", len(p.piles))
		}
	})
}

func TestANoisyPileIsSlowedAndNotTheOthers(t *testing.T) {
	const rate = 20
	log := newHeldLog(false)
	d := openDoorWith(t, log, func(c *Config) { c.MaxPileRate = rate }, nil)
	noisy, other := d.connect("OP:P1", "noisy", nil), d.connect("OP:P2", "other", nil)
	const messages = 3 * rate // of which 2*rate may come at once
	begun := time.Now()
	var acked errgroup.Group
	acked.Go(func() error {
		for id := range uint16(messages) {
			if p, err := packets.ReadPacket(noisy.conn); err != nil || p.(*packets.PubackPacket).MessageID != id+1 {
				return fmt.Errorf("got %v, %w; want the PUBACK of %d", p, err, id+1)
			}
		}
		return nil
	})
	for id := range uint16(messages) {
		noisy.publish(id+1, statusOfP1, idleAt(int(id)))
	}
	for id := range uint16(rate) {
		sent := time.Now()
		other.publish(id+1, "evcs/v1/OP/P2/status", idleAt(int(id)))
		other.acks(id + 1)
		if took := time.Since(sent); took > 500*time.Millisecond {
			t.Errorf("the other's message takes %s", took)
		}
	}
	if err := acked.Wait(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < 900*time.Millisecond {
		t.Errorf("%d messages at %d a second take %s, want about 1 s", messages, rate, took)
	}
	if n := testutil.ToFloat64(d.accept.metrics.slowed.WithLabelValues("pile")); n < rate/2 {
		t.Errorf("gateway_slowed_total{by=pile}: got %v, want about %d", n, rate)
	}
}

// What a stranger hears does not tell what was wrong, nor that it has tried too often.
func TestAThousandWrongPasswords(t *testing.T) {
	log := &lines{}
	d := openDoorWith(t, newHeldLog(false), nil, func(l *listener) {
		l.refusals = newTally(func(cause string, count int, _ []any) {
			slog.New(slog.NewTextHandler(log, nil)).Warn("refused", "cause", cause, "count", count)
		})
	})
	stays := d.connect("OP:P1", "stays", nil)
	answers := make(map[byte]int)
	for i := range 1000 {
		user := []string{"OP:P1", "OP", "NOBODY", fmt.Sprintf("N%d", i)}[i%4]
		c, answer := d.connecting(user, fmt.Sprintf("guess %d", i), "c", nil)
		c.ended()
		_ = c.conn.Close()
		answers[answer.ReturnCode]++
	}
	if diff := cmp.Diff(map[byte]int{packets.ErrRefusedNotAuthorised: 1000}, answers); diff != "" {
		t.Errorf("CONNACKs by code (-want +got):\n%s", diff)
	}
	refused := func(cause string) float64 { return testutil.ToFloat64(d.metrics.refused.WithLabelValues(cause)) }
	// One or two more may have been looked at where the loop takes longer than 600 ms.
	if looked, all := refused(credential), refused(credential)+refused(guessing); looked > 130 || all != 1000 {
		t.Errorf("%v were compared and %v refused in all, want about 100 and 1000", looked, all)
	}
	if _, answer := d.connecting("OP:P1", "secret", "right at last", nil); answer.ReturnCode != packets.ErrRefusedNotAuthorised {
		t.Errorf("the right one after too many wrong ones at this address: got code %d, want it to wait its minute", answer.ReturnCode)
	}
	stays.publish(1, statusOfP1, idleAt(1)) // who is in is not touched
	stays.acks(1)
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines in the log for two causes:\n%s", n, log)
	}
	d.stop()
	if !strings.Contains(log.String(), "count=8") && !strings.Contains(log.String(), "count=9") {
		t.Errorf("the count is not told in the end:\n%s", log)
	}
}

func TestNoMoreConnectionsThanThereMayBe(t *testing.T) {
	tests := []struct {
		name  string
		set   func(*Config)
		cause string
	}{
		{"in all", func(c *Config) { c.MaxClients = 2 }, tooMany},
		{"of an address", func(c *Config) { c.MaxClientsPerAddress = 2 }, tooManyFrom},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := openDoorWith(t, newHeldLog(false), tt.set, nil)
			one, two := d.connect("OP", "one", nil), d.connect("OP", "two", nil)
			three, answer := d.connecting("OP", "secret", "three", nil)
			if answer.ReturnCode != packets.ErrRefusedServerUnavailable {
				t.Errorf("the third: got code %d, want %d", answer.ReturnCode, packets.ErrRefusedServerUnavailable)
			}
			three.ended()
			if n := testutil.ToFloat64(d.metrics.refused.WithLabelValues(tt.cause)); n != 1 {
				t.Errorf("refused for %s: got %v, want 1", tt.cause, n)
			}
			two.pong()
			_ = one.conn.Close()
			eventually(t, "there is room again", func() bool {
				c, answer := d.connecting("OP", "secret", "four", nil)
				if answer.ReturnCode != 0 {
					_ = c.conn.Close()
				}
				return answer.ReturnCode == 0
			})
			d.stop()
			if len(d.from) != 0 || len(d.open) != 0 {
				t.Errorf("%d addresses and %d connections are remembered, want none", len(d.from), len(d.open))
			}
		})
	}
}

func TestAStormOfConnectionsIsLetInAtItsPace(t *testing.T) {
	d := openDoorWith(t, newHeldLog(false), func(c *Config) { c.MaxConnectRate = 2 }, nil)
	begun := time.Now()
	for i := range 6 { // of which 4 may come at once
		d.connect("OP", fmt.Sprintf("c-%d", i), nil)
	}
	if took := time.Since(begun); took < 500*time.Millisecond {
		t.Errorf("6 connections at 2 a second are let in within %s", took)
	}
	if n := testutil.ToFloat64(d.accept.metrics.slowed.WithLabelValues("arrivals")); n == 0 {
		t.Error("gateway_slowed_total{by=arrivals} counts nothing")
	}
}

func TestTheFirstPacketIsSmall(t *testing.T) {
	tests := []struct {
		name  string
		bytes []byte
		want  bool // too large
	}{
		{"a CONNECT of 100 bytes", []byte{0x10, 100}, false},
		{"of 128 KiB", []byte{0x10, 0x80, 0x80, 0x08}, false},
		{"of one byte more", []byte{0x10, 0x81, 0x80, 0x08}, true},
		{"of 256 MiB", []byte{0x10, 0xff, 0xff, 0xff, 0x7f}, true},
		{"a length that does not end", []byte{0x10, 0x80, 0x80, 0x80, 0x80}, false}, // malformed: the library says so
		{"what follows is not looked at", []byte{0x10, 0, 0xff, 0xff, 0xff, 0x7f}, false},
	}
	for _, tt := range tests {
		for cut := range len(tt.bytes) { // however it comes
			client, server := net.Pipe()
			go func() {
				_, _ = client.Write(tt.bytes[:cut])
				_, _ = client.Write(tt.bytes[cut:])
				_ = client.Close()
			}()
			_, err := (&connection{Conn: server}).Read(make([]byte, 1))
			_ = server.Close()
			if got := errors.Is(err, mochi.ErrPacketTooLarge); got != tt.want {
				t.Errorf("%s, cut at %d: got %v, want %v", tt.name, cut, got, tt.want)
			}
		}
	}
	d := openDoor(t, newHeldLog(false), nil)
	conn, err := d.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write(tests[3].bytes)
	(&client{t, conn}).ended()
	eventually(t, "it is counted", func() bool {
		return testutil.ToFloat64(d.metrics.refused.WithLabelValues(packetTooLarge)) == 1
	})
}

func TestWhoIsSilentOrSlowIsEnded(t *testing.T) {
	tests := []struct {
		name  string
		do    func(d *door) *client
		cause string
		ended bool // after it had signed in
	}{
		{"a byte at a time of its CONNECT", func(d *door) *client {
			conn, err := d.dial()
			if err != nil {
				d.t.Fatal(err)
			}
			go func() {
				for _, b := range []byte{0x10, 100, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 80} {
					if _, err := conn.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
			}()
			return &client{d.t, conn}
		}, silent, false},
		{"a byte at a time of its PUBLISH", func(d *door) *client {
			c := d.connect("OP:P1", "slow", func(p *packets.ConnectPacket) { p.Keepalive = 1 })
			go func() {
				for _, b := range append([]byte{packets.Publish << 4, 100}, make([]byte, 98)...) {
					if _, err := c.conn.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
			}()
			return c
		}, silent, true},
		{"half open: its other side is gone and does not say so", func(d *door) *client {
			return d.connect("OP:P1", "gone", func(p *packets.ConnectPacket) { p.Keepalive = 1 })
		}, silent, true},
		{"it wants no keep-alive at all", func(d *door) *client {
			return d.connect("OP:P1", "for ever", func(p *packets.ConnectPacket) { p.Keepalive = 0 })
		}, silent, true},
		{"it wants one of 18 hours", func(d *door) *client {
			return d.connect("OP:P1", "for ever", func(p *packets.ConnectPacket) { p.Keepalive = 65535 })
		}, silent, true},
		{"a packet that is too large", func(d *door) *client {
			c := d.connect("OP:P1", "large", nil)
			_, _ = c.conn.Write([]byte{packets.Publish << 4, 0xff, 0xff, 0xff, 0x7f})
			return c
		}, packetTooLarge, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := openDoor(t, newHeldLog(false), func(l *listener) { l.connectIn, l.keepAlive = 500*time.Millisecond, 1 })
			other := d.connect("OP:P2", "other", nil)
			d.log.arrive(t, 1)
			c := tt.do(d)
			if tt.ended {
				d.log.arrive(t, 1)
			}
			other.publish(1, "evcs/v1/OP/P2/status", idleAt(1))
			other.acks(1)
			d.log.arrive(t, 1)
			c.ended()
			_ = c.conn.Close()
			if tt.ended {
				eventually(t, "the pile is told to be gone", func() bool {
					return slices.Contains(d.log.lines(), "OP:P1/ disconnected")
				})
			}
			metric := d.metrics.refused
			if tt.ended {
				metric = d.metrics.ended
			}
			eventually(t, "it is counted as "+tt.cause, func() bool { return testutil.ToFloat64(metric.WithLabelValues(tt.cause)) >= 1 })
		})
	}
}

// The library's defaults take 64 KiB more a connection. The goal is 25 KiB of the process' memory
// (gateway.idle_connection_kib of the benchmark, in a process of its own); here the other side's
// end counts as well, and what the race detector adds.
func TestAnIdleConnectionIsSmall(t *testing.T) {
	d := openDoorWith(t, newHeldLog(false), func(c *Config) { c.MaxConnectRate = 0 }, nil)
	measure := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	const n, most = 1000, 40
	before := measure()
	for i := range n {
		d.connect("OP:P1", fmt.Sprintf("c-%d", i), nil)
	}
	if each := float64(measure()-before) / n / 1024; each > most {
		t.Errorf("an idle connection takes %.1f KiB, want under %d", each, most)
	}
}

func TestTally(t *testing.T) {
	var told []string
	y := newTally(func(cause string, count int, last []any) {
		told = append(told, fmt.Sprint(cause, " ", count, " ", last))
	})
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	y.add(now, "tls", 1, "at", "a")
	for i := range 500 {
		y.add(now.Add(time.Duration(i)*time.Second/10), "tls", 1, "at", i)
	}
	y.add(now, "silent", 2)
	y.sweep(now.Add(59*time.Second), false)
	y.sweep(now.Add(60*time.Second), false)
	y.add(now.Add(70*time.Second), "tls", 1, "at", "b")
	y.sweep(now.Add(119*time.Second), false)
	y.sweep(now.Add(120*time.Second), false)
	y.sweep(now.Add(180*time.Second), false) // it has ended
	y.add(now.Add(200*time.Second), "tls", 1, "at", "c")
	y.add(now.Add(201*time.Second), "tls", 1, "at", "d")
	y.sweep(now.Add(202*time.Second), true)
	want := []string{"tls 1 [at a]", "silent 2 []", "tls 500 [at 499]", "tls 1 [at b]", "tls 1 [at c]", "tls 1 [at d]"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}
