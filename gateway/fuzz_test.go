package gateway

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/url"
	"runtime"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/wire"
)

// Whoever a certificate is for, it is a name that may be one, and the same that it gives back.
func FuzzCertified(f *testing.F) {
	for _, name := range []string{"OP", "OP:P1", "", "鲁充", "OP:P1:2", ":"} {
		f.Add([]byte{}, name) // real certificates are in testdata
	}
	f.Fuzz(func(t *testing.T, der []byte, name string) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			c = &x509.Certificate{} // one of a name that no encoder would write
			c.Subject.CommonName = name
		}
		who, err := certified(c)
		if err != nil {
			if who.Operator != "" || who.Pile != "" || len(err.Error()) > 1000 {
				t.Fatalf("refused, and for %+v: %v", who, err)
			}
			return
		}
		if !charge.ValidID(string(who.Operator)) || (who.Pile != "" && !charge.ValidID(who.Pile)) {
			t.Fatalf("certified for %+v", who)
		}
		again := &x509.Certificate{URIs: []*url.URL{{Scheme: "urn", Opaque: "evcs:" + who.String()}}}
		if same, err := certified(again); err != nil || same != who {
			t.Fatalf("%s by a URI: got %+v, %v", who, same, err)
		}
	})
}

// A file of authorities or of revoked certificates is read whole or refused; nothing is revoked by a
// list that no authority has signed.
func FuzzTLSFiles(f *testing.F) {
	authority, err := readCertificates("testdata/authority.pem") // that has signed the lists in testdata
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add([]byte("-----BEGIN X509 CRL-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if all, err := parseCertificates(text); (err == nil) != (len(all) > 0) {
			t.Fatalf("%d authorities and %v", len(all), err)
		}
		if _, err := parseRevoked(text, authority, slog.New(slog.DiscardHandler)); err == nil {
			if revoked, _ := parseRevoked(text, nil, slog.New(slog.DiscardHandler)); len(revoked) > 0 {
				t.Fatal("certificates are revoked by nobody")
			}
		}
	})
}

// A packet's length is read as MQTT says (3.1.1, 2.2.3), however its bytes come.
func FuzzPacketSize(f *testing.F) {
	f.Add([]byte{0x10, 100}, 1)
	f.Add([]byte{0x10, 0x80, 0x80, 0x08}, 2)
	f.Add([]byte{0x10, 0x81, 0x80, 0x08, 0xff}, 3)
	f.Add([]byte{0x10, 0xff, 0xff, 0xff, 0x7f}, 4)
	f.Add([]byte{0x10, 0x80, 0x80, 0x80, 0x80, 0x01}, 5)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		size, header := packetSize(b)
		length, whole := 0, false
		for i := 1; i < len(b) && i <= 4 && !whole; i++ {
			length += int(b[i]%128) * (1 << (7 * (i - 1)))
			if whole = b[i] < 128; whole && (header != i+1 || size != length+header) {
				t.Fatalf("%x: got %d of which %d header, want %d and %d", b, size, header, length+i+1, i+1)
			}
		}
		if !whole && size != 0 && (size != endless || len(b) < 5) {
			t.Fatalf("%x has no whole header: got %d and %d", b, size, header)
		}
		cut = max(0, min(cut, len(b)))
		if early, at := packetSize(b[:cut]); at != 0 && (early != size || at != header) {
			t.Fatalf("%x cut at %d: got %d and %d before, and then %d and %d", b, cut, early, at, size, header)
		}
	})
}

// Whatever a connection brings, before it has signed in or after: the gateway goes on, takes no
// memory for what it is only told to expect, and everybody else is served.
func FuzzConnection(f *testing.F) {
	connect := func(set func(*packets.ConnectPacket)) []byte {
		p, _ := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
		p.ProtocolName, p.ProtocolVersion, p.CleanSession, p.ClientIdentifier, p.Keepalive = "MQTT", 4, true, "c", 60
		p.UsernameFlag, p.Username, p.PasswordFlag, p.Password = true, "OP", true, []byte("secret")
		if set != nil {
			set(p)
		}
		var out bytes.Buffer
		_ = p.Write(&out)
		return out.Bytes()
	}
	publish := []byte("\x32\x19\x00\x13" + statusOfP1 + "\x00\x01{")
	f.Add(connect(nil), true)
	f.Add(append(connect(nil), publish...), true)
	f.Add(publish, true)
	f.Add(connect(func(p *packets.ConnectPacket) { p.Password = []byte("guess") }), false)
	f.Add(connect(func(p *packets.ConnectPacket) {
		p.WillFlag, p.WillTopic, p.WillMessage = true, "evcs/v1/OTHER/P1/status", []byte("{}")
	}), false)
	f.Add([]byte{0x10, 0xff, 0xff, 0xff, 0x7f}, false)
	f.Add([]byte{0x10, 0x80, 0x80, 0x80, 0x80, 0x01}, false)
	f.Add([]byte{0x32, 0xff, 0xff, 0xff, 0x01}, true)
	f.Add([]byte{0xa2, 0x02, 0x00, 0x01}, true)
	f.Add([]byte("\x10\x13\x00\x04MQTT\x05\xc2\x00\x3c\x00\x00\x01c\x00\x02OP\x00\x00"), false)
	d := openDoorWith(f, newHeldLog(false), func(c *Config) { c.MaxConnectRate, c.MaxWrongPasswords = 0, 0 }, nil)
	over := make(chan struct{})
	f.Cleanup(func() { close(over) })
	go func() { // nobody counts what reaches the log
		for {
			select {
			case <-d.log.came:
			case <-over:
				return
			}
		}
	}()
	other := d.connect("OTHER", "other", nil)
	f.Fuzz(func(t *testing.T, text []byte, signedIn bool) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		conn, err := d.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if signedIn {
			text = append(connect(nil), text...)
		}
		_, _ = conn.Write(text)
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(soon))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // of the connection itself
				t.Fatalf("%x: the connection does not end", text)
			}
		}
		other.t = t
		other.pong()
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 2*maxPacketBytes {
			t.Fatalf("%d bytes made the process take %d", len(text), took)
		}
	})
}

// What is recorded of a reject and told back is text of a bounded length that can be read, whatever
// a stranger sent.
func FuzzReject(f *testing.F) {
	f.Add(statusOfP1, []byte("nonsense"), "P1", "1", "detail")
	f.Add("evcs/v1/OP/-/status", []byte("\xff\x00\xc3\x28"), "充", "\x00", "\xed\xa0\x80")
	f.Add("", []byte{}, "", "", "")
	f.Fuzz(func(t *testing.T, topic string, payload []byte, pile, connector, detail string) {
		var told []byte
		book := &rejectBook{}
		r := newRejectRecorder(book.publish, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		done := make(chan struct{})
		from := &sender{operator: "OP", answer: func(_ string, p []byte) { told = p; close(done) }}
		address, _ := wire.ParseTopic(topic)
		refused := make([]wire.Reject, 20)
		for i := range refused {
			refused[i] = wire.Reject{Index: i, Pile: pile, Connector: connector, Reason: wire.BadJSON, Detail: detail}
		}
		r.record(from, address, topic, payload, noon, refused)
		<-done
		var got struct {
			Rejects []answerItem `json:"rejects"`
			More    int          `json:"more"`
		}
		if err := json.Unmarshal(told, &got); err != nil || !utf8.Valid(told) {
			t.Fatalf("told: %q: %v", told, err)
		}
		if len(got.Rejects) != answerDetails || got.More != len(refused)-answerDetails {
			t.Fatalf("told of %d and %d more, want %d in all", len(got.Rejects), got.More, len(refused))
		}
		for _, one := range book.all() {
			if len(one.Sample) > sampleBytes || len(one.Topic) > 256 || !utf8.ValidString(one.Sample+one.Topic) {
				t.Fatalf("recorded: %+v", one)
			}
			if text, err := json.Marshal(one); err != nil || json.Unmarshal(text, &journal.Reject{}) != nil {
				t.Fatalf("the record %+v cannot be written and read: %v", one, err)
			}
		}
	})
}
