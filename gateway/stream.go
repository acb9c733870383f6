package gateway

import (
	"encoding/binary"
	"math"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// connectBytes bounds the first packet: its texts have 64 KiB at most each, and nobody has signed
// in yet for whom more memory might be taken.
const connectBytes = 128 << 10

// readAhead is how much is read from a socket at once while there is more than a little.
const readAhead = 8 << 10

var ahead = sync.Pool{New: func() any { return new([readAhead]byte) }}

// A stream is what a client sends, packet by packet. A resting connection waits with a few bytes of
// room; what comes is read into a buffer that is borrowed.
type stream struct {
	little [16]byte         // what a resting connection waits with
	ahead  *[readAhead]byte // borrowed while rest holds something
	rest   []byte           // read and not yet taken
	more   bool             // the last read was as long as it could be
	pass   int              // bytes of the present packet that the library has yet to read
	took   bool             // a message was taken, of which the library knows nothing, since a read
}

// Read gives the library what a client sends, except for what nearly all of it is: a plain PUBLISH of
// a client that has signed in is taken right here, in its turn. The library would copy it twice and
// hand its packet, of 700 bytes, from function to function. It is given no packet's beginning before
// it has read the one before, so that each is handled before the next one is looked at.
func (c *connection) Read(b []byte) (int, error) {
	for c.pass == 0 {
		size, header := packetSize(c.rest)
		switch first := c.client.Load() == nil; {
		case header == 0: // not all of it is here
			if err := c.fill(); err != nil {
				return 0, err
			}
		case first && size-header > connectBytes && size != endless:
			return 0, packets.ErrPacketTooLarge
		case first || c.session == 0 || c.rest[0]>>4 != packets.Publish || size > readAhead:
			c.pass = size
		case size > len(c.rest):
			if err := c.fill(); err != nil {
				return 0, err
			}
		default:
			m, ok := plainPublish(c.rest[:size], header, c.client.Load().Properties.ProtocolVersion)
			if !ok {
				c.pass = size
				break
			}
			c.listener.take(c, m)
			c.took = true
			c.consume(size)
		}
	}
	b = b[:min(len(b), c.pass)]
	var n int
	var err error
	if len(c.rest) > 0 {
		n = copy(b, c.rest)
		c.consume(n)
	} else {
		n, err = c.Conn.Read(b)
		c.more = false // whether another packet waits behind this one is not known
	}
	c.pass -= n
	return n, err
}

// fill reads more, behind what is there.
func (c *connection) fill() error {
	if c.took {
		c.took = false
		every := time.Duration(c.client.Load().State.Keepalive) * time.Second
		_ = c.SetReadDeadline(time.Now().Add(every + every/2)) // as the library does after a packet (MQTT-3.1.2-24)
	}
	if c.ahead == nil && !c.more {
		n, err := c.Conn.Read(c.little[:])
		if n == 0 {
			return err
		}
		c.borrow()
		c.rest, c.more = c.ahead[:copy(c.ahead[:], c.little[:n])], n == len(c.little)
		return nil
	}
	if c.ahead == nil {
		c.borrow()
	}
	have := copy(c.ahead[:], c.rest)
	n, err := c.Conn.Read(c.ahead[have:])
	c.rest, c.more = c.ahead[:have+n], n == readAhead-have
	if n == 0 {
		c.consume(0)
		return err
	}
	return nil
}

func (c *connection) borrow() { c.ahead, _ = ahead.Get().(*[readAhead]byte) }

// consume goes on behind n bytes of rest.
func (c *connection) consume(n int) {
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		ahead.Put(c.ahead)
		c.ahead, c.rest = nil, nil
	}
}

// endless is the size of a packet whose length is written as nobody may.
const endless = math.MaxInt

// packetSize tells how long a packet is with its fixed header, and how long that is (MQTT 2.1.4); 0
// while not all of the header is here. Of an endless one the library tells what is wrong.
func packetSize(b []byte) (size, header int) {
	for header = 1; header < len(b); header++ {
		size |= int(b[header]&127) << (7 * (header - 1))
		if b[header] < 128 {
			return size + header + 1, header + 1
		}
		if header == 4 {
			return endless, header + 1
		}
	}
	return 0, 0
}

// A published is a message. Its payload is there only until it is taken.
type published struct {
	qos      byte
	packetID uint16 // of QoS 1
	topic    string
	payload  []byte
}

// plainPublish reads a PUBLISH (MQTT 3.3) such as nearly all are: of QoS 0 or 1, with a topic of visible
// ASCII, and with MQTT 5 without properties. Any other one it leaves to the library, with all its checks.
func plainPublish(packet []byte, header int, version byte) (published, bool) {
	m := published{qos: packet[0] >> 1 & 3}
	duplicate := packet[0]&8 != 0
	body := packet[header:]
	if m.qos > 1 || m.qos == 0 && duplicate || len(body) < 2 {
		return published{}, false
	}
	topic, body := body[2:], body[2:]
	n := int(binary.BigEndian.Uint16(packet[header:]))
	if n == 0 || n > len(topic) {
		return published{}, false
	}
	topic, body = topic[:n], body[n:]
	for _, c := range topic {
		if c <= ' ' || c > '~' || c == '+' || c == '#' || c == '$' {
			return published{}, false
		}
	}
	if m.qos == 1 {
		if len(body) < 2 || body[0] == 0 && body[1] == 0 {
			return published{}, false
		}
		m.packetID, body = binary.BigEndian.Uint16(body), body[2:]
	}
	if version == 5 {
		if len(body) == 0 || body[0] != 0 {
			return published{}, false
		}
		body = body[1:]
	}
	m.topic, m.payload = string(topic), body
	return m, true
}
