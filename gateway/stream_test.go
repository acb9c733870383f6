package gateway

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	mqtt "github.com/mochi-mqtt/server/v2"
	mochi "github.com/mochi-mqtt/server/v2/packets"
)

// Messages are taken in order and answered in order, whatever stands between them and wherever the
// network cuts: those that the library reads and those that it does not.
func TestMessagesHoweverTheyAreCut(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same on every run
	for round := range 8 {
		d := openDoor(t, newHeldLog(false), nil)
		c := d.connect("OP", fmt.Sprintf("cut-%d", round), nil)
		var sent bytes.Buffer
		pings, messages := 0, uint16(0)
		for range 60 {
			switch random.IntN(4) {
			case 0:
				pings++
				_ = packets.NewControlPacket(packets.Pingreq).Write(&sent)
			default:
				messages++
				p, _ := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
				p.Qos, p.MessageID, p.TopicName = 1, messages, "evcs/v1/OP/P1/status"
				p.Retain, p.Dup = random.IntN(9) == 0, random.IntN(9) == 0
				blanks := []int{0, 1, 100, 9000}[random.IntN(4)] // some are longer than what is read at once
				p.Payload = fmt.Appendf(nil, `{"connector":"1","time":%d,"status":1%s}`, time.Now().UnixMilli(), strings.Repeat(" ", blanks))
				_ = p.Write(&sent)
			}
		}
		go func() {
			for sent.Len() > 0 {
				_, _ = c.conn.Write(sent.Next(1 + random.IntN([]int{1, 20, 500, 20_000}[round%4])))
			}
		}()
		for next := uint16(1); pings > 0 || next <= messages; {
			switch p := c.read().(type) {
			case *packets.PingrespPacket:
				pings--
			case *packets.PubackPacket:
				if p.MessageID != next {
					t.Fatalf("PUBACK of %d, want %d", p.MessageID, next)
				}
				next++
			default:
				t.Fatalf("answered by %s", p)
			}
		}
		if got := len(d.log.readings()); got != int(messages) {
			t.Errorf("stored: got %d readings, want %d", got, messages)
		}
		d.stop()
	}
}

// A connection that has nothing to read holds no buffer of its own: there may be 20,000 of them.
func TestARestingConnectionHoldsNoBuffer(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent [][]byte
	}{
		{"from the beginning", nil},
		{"after its first packet", [][]byte{append([]byte{0x10, 40}, make([]byte, 40)...)}},
		{"after one in two parts", [][]byte{{0x10, 40, 0}, make([]byte, 39)}},
		{"after a short one", [][]byte{{0x10, 4}, {0, 0, 0, 0}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				c := &connection{Conn: ours}
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for b := make([]byte, 16); ; { // as the library reads
						if _, err := c.Read(b); err != nil {
							return
						}
					}
				}()
				for _, b := range tt.sent {
					if _, err := theirs.Write(b); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if c.ahead != nil {
					t.Errorf("waits with a buffer of %d bytes", len(c.ahead))
				}
				_ = theirs.Close()
				<-ended
			})
		})
	}
}

// What is taken without the library is what the library would have given, after all its checks.
func FuzzPlainPublish(f *testing.F) {
	for _, version := range []byte{3, 4, 5} {
		for flags := range byte(16) {
			f.Add(version, flags, []byte("\x00\x05a/b/c\x00\x07{}"))
			f.Add(version, flags, []byte("\x00\x05a/b/c\x00\x07\x00{}"))
			f.Add(version, flags, []byte("\x00\x05a/b/c\x00\x00\x00"))
		}
		f.Add(version, byte(2), []byte("\x00\x03a/+\x00\x07\x00"))
		f.Add(version, byte(2), []byte("\x00\x02$S\x00\x07\x00"))
		f.Add(version, byte(2), []byte("\x00\x00\x00\x07\x00"))
		f.Add(version, byte(2), []byte("\x00\xffa"))
		f.Add(version, byte(2), []byte("\x00\x01a\x00\x07\x03\x23\x00\x01{}"))
	}
	f.Fuzz(func(t *testing.T, version, flags byte, body []byte) {
		if len(body) > 1<<14 {
			t.Skip()
		}
		packet := []byte{packets.Publish<<4 | flags&15, byte(len(body)) | 128, byte(len(body) >> 7)}
		packet = append(packet, body...)
		size, header := packetSize(packet)
		if header != 3 || len(body) >= 1<<7 && size != len(packet) {
			t.Fatalf("a packet of %d bytes: got %d with a header of %d", len(packet), size, header)
		}
		got, ok := plainPublish(packet, header, version)
		if !ok {
			return
		}
		pk := mochi.Packet{ProtocolVersion: version}
		if err := pk.FixedHeader.Decode(packet[0]); err != nil {
			t.Fatalf("%q is taken, and the library says: %v", packet, err)
		}
		if err := pk.PublishDecode(body); err != nil {
			t.Fatalf("%q is taken, and the library says: %v", packet, err)
		}
		if code := pk.PublishValidate(0); code != mochi.CodeSuccess || !mqtt.IsValidFilter(pk.TopicName, true) {
			t.Fatalf("%q is taken, and the library says: %v", packet, code)
		}
		if got.topic != pk.TopicName || got.qos != pk.FixedHeader.Qos || got.packetID != pk.PacketID || !bytes.Equal(got.payload, pk.Payload) {
			t.Errorf("%q is taken as %+v, and by the library as %+v", packet, got, pk)
		}
	})
}
