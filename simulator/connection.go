package simulator

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	connectTimeout = 5 * time.Second
	writeTimeout   = 10 * time.Second // after it a connection counts as lost
	readBuffer     = 512              // bytes: 128 PUBACKs at once
)

// A dialer opens MQTT connections to one broker.
type dialer struct {
	url *url.URL
	tls bool
}

// A client is who opens a connection.
type client struct {
	id, user, password string
	willTopic          string // "" has no last will
	will               []byte
	keepAlive          time.Duration
}

// A connection is one MQTT 3.1.1 connection with a clean session that publishes with QoS 1. It is never
// opened again: whoever needs one after it is lost opens another, so that a last will can bear the new
// session. It writes its packets itself: a full client costs a load more than the server that it tries.
type connection struct {
	tcp   net.Conn
	said  atomic.Int64  // PUBLISHes so far
	acked atomic.Int64  // PUBACKs so far, which come in the order of the PUBLISHes (MQTT 3.1.1, 4.6)
	news  chan struct{} // there are more of them
	lost  chan struct{} // closed when the connection has ended, unless cut or close ended it
	gone  chan struct{} // closed when it has ended

	wake    chan struct{} // out is not empty
	mu      sync.Mutex
	out     []byte // not written yet
	id      uint16 // of the last PUBLISH
	leaving bool   // out ends with a DISCONNECT
	waiting bool   // for a PINGRESP
	ended   bool
}

func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if d.tls {
		return (&tls.Dialer{}).DialContext(ctx, "tcp", d.url.Host)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", d.url.Host)
}

// greeted dials and waits for the CONNACK, or until ctx ends. from reads what the broker sends, with
// a buffer of so many bytes.
func (d *dialer) greeted(ctx context.Context, who client, buffer int) (tcp net.Conn, from *bufio.Reader, err error) {
	if tcp, err = d.dial(ctx); err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = tcp.Close() }) // the handshake does not look at ctx
	from = bufio.NewReaderSize(tcp, buffer)
	err = greet(tcp, from, who)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = tcp.Close() // may be closed already
		return nil, nil, err
	}
	return tcp, from, nil
}

// open connects and waits for the CONNACK, or until ctx ends.
func (d *dialer) open(ctx context.Context, who client) (*connection, error) {
	tcp, from, err := d.greeted(ctx, who, readBuffer)
	if err != nil {
		return nil, err
	}
	return newConnection(tcp, from, who.keepAlive), nil
}

func newConnection(tcp net.Conn, from *bufio.Reader, keepAlive time.Duration) *connection {
	c := &connection{
		tcp: tcp, news: make(chan struct{}, 1), lost: make(chan struct{}), gone: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	go c.read(from)
	go c.write(keepAlive)
	return c
}

// publish hands a message over; it never waits. Whoever publishes limits what is not acknowledged.
func (c *connection) publish(topic string, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := following(c.id)
	out, err := appendPublish(c.out, id, topic, payload)
	if err != nil {
		return err
	}
	c.out, c.id = out, id
	c.said.Add(1)
	c.nudge()
	return nil
}

// following is the packet identifier behind id; 0 is none (MQTT 3.1.1, 2.3.1).
func following(id uint16) uint16 { return max(id+1, 1) }

func (c *connection) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// write writes what is handed over, all that has gathered at a time, and keeps the connection alive.
func (c *connection) write(keepAlive time.Duration) {
	ping := time.NewTicker(keepAlive / 2)
	defer ping.Stop()
	var spare []byte
	for {
		select {
		case <-c.wake:
		case <-ping.C:
			if !c.ping() {
				c.end(true)
				return
			}
		case <-c.gone:
			return
		}
		c.mu.Lock()
		batch, leaving := c.out, c.leaving
		c.out = spare[:0]
		c.mu.Unlock()
		err := c.tcp.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err == nil {
			_, err = c.tcp.Write(batch)
		}
		if err != nil || leaving {
			c.end(!leaving)
			return
		}
		spare = batch
	}
}

// ping asks for a sign of life. It is false where the last one has not come.
func (c *connection) ping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting {
		return false
	}
	c.waiting = true
	c.out = append(c.out, packets.Pingreq<<4, 0)
	return true
}

// read counts PUBACKs.
func (c *connection) read(from *bufio.Reader) {
	var want uint16
	for {
		kind, id, err := readAnswer(from)
		if err != nil {
			break
		}
		if kind == packets.Pingresp {
			c.mu.Lock()
			c.waiting = false
			c.mu.Unlock()
			continue
		}
		if want = following(want); id != want || c.acked.Load() == c.said.Load() {
			break // a broker that forgets one, turns them round or makes them up cannot be counted on
		}
		c.acked.Add(1)
		if from.Buffered() < 4 { // no other one is there
			select {
			case c.news <- struct{}{}:
			default:
			}
		}
	}
	c.end(true)
}

// end ends the connection without a word.
func (c *connection) end(lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	_ = c.tcp.Close() // nothing is left to be said on it
	if lost {
		close(c.lost)
	}
	close(c.gone)
}

// cut ends the connection as a power cut does, so that the broker publishes the last will.
func (c *connection) cut() { c.end(false) }

// close takes leave, so that the broker publishes no last will.
func (c *connection) close() {
	c.mu.Lock()
	c.leaving = true
	c.out = append(c.out, packets.Disconnect<<4, 0)
	c.mu.Unlock()
	c.nudge()
	select {
	case <-c.gone:
	case <-time.After(leaveWithin):
		c.end(false)
	}
}

// A packet is one PUBLISH; note is what its sender wants to know of it when it is acknowledged.
type packet[N any] struct {
	topic   string
	payload []byte
	note    N
}

// A window is a connection and what was sent on it and not yet acknowledged, in order. It is not safe
// for concurrent use.
type window[N any] struct {
	conn  *connection
	size  int
	acked func(*N)
	sent  []packet[N]
	taken int64 // of the connection's PUBACKs
}

var errLost = errors.New("connection lost")

// send publishes p when there is room. After an error p is not in the window.
func (w *window[N]) send(ctx context.Context, p packet[N]) error {
	w.settle()
	for len(w.sent) >= w.size {
		if err := w.wait(ctx); err != nil {
			return err
		}
	}
	if err := w.conn.publish(p.topic, p.payload); err != nil {
		return err
	}
	w.sent = append(w.sent, p)
	return nil
}

// settle takes out what is acknowledged by now.
func (w *window[N]) settle() {
	for n := w.conn.acked.Load(); w.taken < n; w.taken++ {
		w.acked(&w.sent[0].note)
		w.sent[0] = packet[N]{}
		w.sent = w.sent[1:]
	}
}

// wait waits for PUBACKs and takes them.
func (w *window[N]) wait(ctx context.Context) error {
	select {
	case <-w.conn.news:
		w.settle()
		return nil
	case <-w.conn.lost:
		w.settle()
		return errLost
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drain waits until all is acknowledged, the connection is lost or ctx ends.
func (w *window[N]) drain(ctx context.Context) error {
	for w.settle(); len(w.sent) > 0; {
		if err := w.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// A backoff waits longer after each attempt, up to most, and never as long as its neighbours.
type backoff struct {
	first, most time.Duration
	random      func() float64 // 0 to 1
	next        time.Duration
}

func (b *backoff) wait(ctx context.Context) error {
	b.next = min(max(b.next*2, b.first), b.most)
	return pause(ctx, time.Duration(float64(b.next)*(0.5+b.random())))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
