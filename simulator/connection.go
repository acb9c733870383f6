package simulator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const (
	connectTimeout = 5 * time.Second
	writeTimeout   = 10 * time.Second // after it a connection counts as lost
	qos            = 1
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

// A connection is one MQTT 3.1.1 connection with a clean session. It is never opened again: whoever
// needs one after it is lost opens another, so that a last will can bear the new session.
type connection struct {
	mqtt    mqtt.Client
	lost    chan struct{} // closed when the connection has ended, unless close ended it
	out     chan outgoing
	results chan error // of each PUBLISH, in order; nil is a PUBACK

	mu   sync.Mutex
	tcp  net.Conn
	gone chan struct{} // closed by cut and close
	once sync.Once
}

type outgoing struct {
	topic   string
	payload []byte
}

// open connects and waits for the CONNACK, or until ctx ends. size is the most messages that will be
// sent and not acknowledged.
func (d *dialer) open(ctx context.Context, who client, size int) (*connection, error) {
	c := &connection{
		lost: make(chan struct{}), gone: make(chan struct{}),
		out: make(chan outgoing, size), results: make(chan error, size),
	}
	o := mqtt.NewClientOptions().AddBroker(d.url.String()).SetProtocolVersion(4).
		SetClientID(who.id).SetUsername(who.user).SetPassword(who.password).
		SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false).SetOrderMatters(false).
		SetKeepAlive(who.keepAlive).SetPingTimeout(10 * time.Second).
		SetConnectTimeout(connectTimeout).SetWriteTimeout(writeTimeout).
		SetConnectionLostHandler(func(mqtt.Client, error) { close(c.lost) }).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return c.dial(ctx, d) })
	if who.willTopic != "" {
		o.SetBinaryWill(who.willTopic, who.will, qos, false)
	}
	c.mqtt = mqtt.NewClient(o)
	token := c.mqtt.Connect()
	// The handshake does not look at ctx; without its connection it ends at once.
	stop := context.AfterFunc(ctx, c.cut)
	<-token.Done()
	if !stop() && token.Error() == nil {
		return nil, ctx.Err()
	}
	if err := token.Error(); err != nil {
		return nil, err
	}
	tokens := make(chan mqtt.Token, size)
	go c.publish(tokens)
	go c.listen(tokens)
	return c, nil
}

// publish has a goroutine of its own, since the client's Publish may wait for the whole writeTimeout
// on a connection that has just been lost.
func (c *connection) publish(tokens chan<- mqtt.Token) {
	for {
		select {
		case p := <-c.out:
			tokens <- c.mqtt.Publish(p.topic, qos, false, p.payload)
		case <-c.gone:
			return
		}
	}
}

// listen passes PUBACKs on. They come in the order of the PUBLISHes (MQTT 3.1.1, 4.6).
func (c *connection) listen(tokens <-chan mqtt.Token) {
	for {
		select {
		case token := <-tokens:
			select {
			case <-token.Done():
				c.results <- token.Error()
			case <-c.gone:
				return
			}
		case <-c.gone:
			return
		}
	}
}

func (c *connection) dial(ctx context.Context, d *dialer) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tcp = conn
	if err := ctx.Err(); err != nil { // cut came before there was anything to cut
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	if d.tls {
		return (&tls.Dialer{}).DialContext(ctx, "tcp", d.url.Host)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", d.url.Host)
}

// cut ends the connection as a power cut does, so that the broker publishes the last will.
func (c *connection) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tcp != nil {
		_ = c.tcp.Close() // nothing is left to be said on it
	}
	c.once.Do(func() { close(c.gone) })
}

// close takes leave, so that the broker publishes no last will.
func (c *connection) close() {
	c.mqtt.Disconnect(250)
	c.once.Do(func() { close(c.gone) })
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
}

var errLost = errors.New("connection lost")

// send publishes p when there is room. After an error p is not in the window.
func (w *window[N]) send(ctx context.Context, p packet[N]) error {
	if err := w.settle(); err != nil {
		return err
	}
	for len(w.sent) >= w.size {
		select {
		case result := <-w.conn.results:
			if err := w.take(result); err != nil {
				return err
			}
		case <-w.conn.lost:
			return errLost
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.conn.out <- outgoing{p.topic, p.payload} // has room for the whole window
	w.sent = append(w.sent, p)
	return nil
}

// take takes the first packet out, now that its fate is known.
func (w *window[N]) take(result error) error {
	if result != nil {
		return fmt.Errorf("publish: %w", result)
	}
	w.acked(&w.sent[0].note)
	w.sent = w.sent[1:]
	return nil
}

// settle takes out what is acknowledged by now.
func (w *window[N]) settle() error {
	for {
		select {
		case result := <-w.conn.results:
			if err := w.take(result); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// drain waits until all is acknowledged, the connection is lost or ctx ends.
func (w *window[N]) drain(ctx context.Context) error {
	for len(w.sent) > 0 {
		select {
		case result := <-w.conn.results:
			if err := w.take(result); err != nil {
				return err
			}
		case <-w.conn.lost:
			return errors.Join(w.settle(), errLost)
		case <-ctx.Done():
			return ctx.Err()
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
