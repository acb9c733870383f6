package simulator

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"pgregory.net/rapid"
)

// Another program's decoder reads what ours has written, also of several packets behind each other.
func TestPublishesAreReadAsTheyWereMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfN(rapid.Uint16Min(1), 1, 5).Draw(t, "ids")
		topic := rapid.StringN(1, 200, 400).Draw(t, "topic")
		payload := rapid.SliceOfN(rapid.Byte(), 0, 20_000).Draw(t, "payload")
		var out []byte
		for _, id := range ids {
			var err error
			if out, err = appendPublish(out, id, topic, payload); err != nil {
				t.Fatal(err)
			}
		}
		in := bytes.NewReader(out)
		for _, id := range ids {
			read, err := packets.ReadPacket(in)
			if err != nil {
				t.Fatal(err)
			}
			p, ok := read.(*packets.PublishPacket)
			if !ok || p.Qos != 1 || p.Dup || p.Retain || p.MessageID != id || p.TopicName != topic || !bytes.Equal(p.Payload, payload) {
				t.Fatalf("got %v, want message %d on %q", read, id, topic)
			}
		}
		if in.Len() > 0 {
			t.Fatalf("%d bytes are nobody's", in.Len())
		}
	})
}

func TestAMessageThatMQTTCannotCarryIsRefused(t *testing.T) {
	for name, topic := range map[string]string{"longest topic": strings.Repeat("t", 65_535), "too long": strings.Repeat("t", 65_536)} {
		out, err := appendPublish([]byte("before"), 1, topic, nil)
		if refused := len(topic) > 65_535; (err != nil) != refused || refused && string(out) != "before" {
			t.Errorf("%s: got %v and %d bytes", name, err, len(out))
		}
	}
}

func FuzzReadAnswer(f *testing.F) {
	for _, sent := range []string{"", "\x40", "\x40\x02\x00\x01", "\x40\x02\x01", "\xd0\x00\x40\x02\xff\xff", "\x40\x03\x00\x01\x10", "\x20\x02\x00\x00", "\xd0\x01\x00"} {
		f.Add([]byte(sent))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		from := bufio.NewReaderSize(bytes.NewReader(sent), 16)
		var again []byte
		for {
			kind, id, err := readAnswer(from)
			if err != nil {
				rest, _ := io.ReadAll(from)
				if whole := append(again, rest...); !bytes.Equal(whole, sent) {
					t.Fatalf("of %x was read %x", sent, whole)
				}
				if !errors.Is(err, io.EOF) && !errors.Is(err, errAnswer) {
					t.Fatalf("%x: %v", sent, err)
				}
				return
			}
			switch kind {
			case packets.Puback:
				again = append(again, packets.Puback<<4, 2, byte(id>>8), byte(id))
			case packets.Pingresp:
				again = append(again, packets.Pingresp<<4, 0)
			default:
				t.Fatalf("%x: a packet of type %d", sent, kind)
			}
		}
	})
}

// brokerThat accepts connections and does with each what it is told.
func brokerThat(t *testing.T, does func(net.Conn)) *dialer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := packets.ReadPacket(conn); err == nil { // the CONNECT
					does(conn)
				}
				_, _ = io.Copy(io.Discard, conn) // until the client has gone
			}()
		}
	}()
	return &dialer{url: &url.URL{Scheme: "tcp", Host: l.Addr().String()}}
}

func TestABrokerThatDoesNotLetTheClientIn(t *testing.T) {
	for name, answer := range map[string]string{
		"wrong password":     "\x20\x02\x00\x04",
		"code of the future": "\x20\x02\x00\x77",
		"no CONNACK":         "\x40\x02\x00\x01",
		"half a CONNACK":     "\x20\x02\x00",
	} {
		d := brokerThat(t, func(c net.Conn) {
			_, _ = io.WriteString(c, answer)
			_ = c.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert // a TCP listener's
		})
		conn, err := d.open(t.Context(), client{id: "c", keepAlive: time.Minute})
		_, refused := errors.AsType[*refusedError](err)
		if err == nil || conn != nil || refused != (answer[3:] == "\x04" || answer[3:] == "\x77") || strings.HasSuffix(err.Error(), ": ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	d := brokerThat(t, func(net.Conn) {})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := d.open(ctx, client{id: "c", keepAlive: time.Minute}); !errors.Is(err, context.Canceled) {
		t.Errorf("a broker without an answer, and an end of the wait: got %v", err)
	}
}

// What is not acknowledged as it should be counts as not acknowledged.
func TestABrokerWhoseAcknowledgementsCannotBeCounted(t *testing.T) {
	for name, tt := range map[string]struct {
		sent  string
		acked int
	}{
		"in order":              {"\x40\x02\x00\x01\x40\x02\x00\x02", 2},
		"turned round":          {"\x40\x02\x00\x02\x40\x02\x00\x01", 0},
		"one twice":             {"\x40\x02\x00\x01\x40\x02\x00\x01", 1},
		"one that was not sent": {"\x40\x02\x00\x01\x40\x02\x00\x02\x40\x02\x00\x03", 2},
		"another packet":        {"\x40\x02\x00\x01\x30\x05\x00\x01tab", 1},
	} {
		d := brokerThat(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "\x20\x02\x00\x00")
			for range 2 {
				if _, err := packets.ReadPacket(c); err != nil {
					return
				}
			}
			_, _ = io.WriteString(c, tt.sent)
			_ = c.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert // a TCP listener's
		})
		conn, err := d.open(t.Context(), client{id: "c", keepAlive: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		acked := 0
		w := &window[struct{}]{conn: conn, size: 2, acked: func(*struct{}) { acked++ }}
		for range 2 {
			if err := w.send(t.Context(), packet[struct{}]{topic: "a", payload: []byte("b")}); err != nil {
				t.Fatal(err)
			}
		}
		<-conn.lost
		if err := w.drain(t.Context()); acked != tt.acked || len(w.sent) != 2-tt.acked || (err == nil) != (tt.acked == 2) {
			t.Errorf("%s: %d are acknowledged and %d are not, %v; want %d acknowledged", name, acked, len(w.sent), err, tt.acked)
		}
	}
}

func TestABrokerThatNoLongerAnswersIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := newConnection(ours, bufio.NewReader(ours), time.Minute)
		begun := time.Now()
		go func() {
			for range 3 { // it answers three times, and then only reads
				if _, err := packets.ReadPacket(theirs); err != nil {
					return
				}
				_, _ = theirs.Write([]byte{packets.Pingresp << 4, 0})
			}
			_, _ = io.Copy(io.Discard, theirs)
		}()
		<-c.lost
		if lasted := time.Since(begun); lasted != 150*time.Second {
			t.Errorf("lost after %s, want the half minute behind the fourth question of each half minute", lasted)
		}
	})
}
