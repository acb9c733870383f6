package simulator

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/wire"
)

// How a connection carries messages.
const (
	pileWindow     = 8  // messages sent and not acknowledged, of a pile's own connection
	platformWindow = 64 // of an operator's platform
	pileQueue      = 64
	platformQueue  = 256                    // and as much for each of its piles as newPlatformLink's caller adds
	gatherFor      = 200 * time.Millisecond // a platform's messages before they go out together
	largestArray   = 500                    // objects
	platformLife   = 2.0                    // mean hours of a platform's connection
	lateBy         = 3 * time.Minute        // how long one that sends late keeps measurements and orders back
	leaveWithin    = time.Second            // to have the last messages acknowledged
)

// A carried note tells what a packet carried.
type carried struct {
	kind    charge.Kind
	objects int
}

// A link carries the messages of one pile, or of all of an operator's piles that have no connection of
// their own. Workers push, one goroutine runs it. While the connection is away it keeps what it can
// within its limit: of each connector at least the newest status.
type link struct {
	s        *Simulator
	dial     *dialer
	operator charge.OperatorID
	name     string // of the pile, wire.Many for a platform
	arrays   bool
	ways     ways
	clock    func(time.Time) time.Duration // how far the pile's own is ahead; nil is not at all
	size     int                           // of the window
	limit    int                           // of the queue

	mu    sync.Mutex
	queue []message
	late  map[charge.ConnectorKey]message // newest statuses that found the queue full
	held  []kept                          // of a platform that sends late
	wake  chan struct{}

	// Of the running goroutine alone:
	rng     rand.PCG
	window  *window[carried] // nil while the pile wants no connection
	backlog []packet[carried]
	session int64 // Unix ms of the last CONNECT
	last    map[charge.ConnectorID]packet[carried]
	cut     <-chan time.Time // when a platform's connection drops next
	batch   []message
	woken   bool
}

// A kept message goes out when it is due.
type kept struct {
	due time.Time
	message
}

func newLink(s *Simulator, dial *dialer, operator charge.OperatorID, name string, stream uint64) *link {
	l := &link{
		s: s, dial: dial, operator: operator, name: name, wake: make(chan struct{}, 1),
		late: make(map[charge.ConnectorKey]message), last: make(map[charge.ConnectorID]packet[carried]),
	}
	l.rng.Seed(s.fleet.Seed, stream)
	return l
}

// linkStream keeps the connections' random numbers apart from those of the piles, which count from 1.
const linkStream = 1 << 62

func newPileLink(s *Simulator, dial *dialer, pile int) *link {
	id := s.fleet.ID(pile)
	l := newLink(s, dial, id.Operator, id.Equipment, linkStream+uint64(pile)) //nolint:gosec // not negative
	l.size, l.limit = pileWindow, pileQueue
	return l
}

func newPlatformLink(s *Simulator, dial *dialer, operator int) *link {
	l := newLink(s, dial, s.fleet.Operators[operator].ID, wire.Many, 2*linkStream+uint64(operator)) //nolint:gosec // not negative
	l.size, l.limit, l.arrays = platformWindow, platformQueue, s.fleet.habits[operator].arrays
	l.ways = s.fleet.habits[operator].ways
	return l
}

func (l *link) platform() bool { return l.name == wire.Many }

func (l *link) random() float64 { return float64(l.rng.Uint64()>>11) / (1 << 53) }

// push hands a message over; it never blocks. m is not kept.
func (l *link) push(m *message) {
	l.mu.Lock()
	key := charge.ConnectorKey{Pile: m.reading.Pile, Connector: m.reading.Connector}
	status := m.action == say && m.reading.Kind == charge.KindStatus
	room := len(l.queue) < l.limit
	switch _, behind := l.late[key]; {
	case l.ways == sendsLate && l.platform() && (m.reading.Kind == charge.KindTelemetry || m.reading.Kind == charge.KindOrder) && len(l.held) < 2*l.limit:
		l.held = append(l.held, kept{time.Now().Add(lateBy), *m})
	case status && (behind || !room):
		if behind {
			l.s.metrics.dropped.Inc()
		}
		l.late[key] = *m
	case room, m.action != say, m.reading.Kind == charge.KindOrder && len(l.queue) < 2*l.limit:
		l.queue = append(l.queue, *m)
	default:
		l.s.metrics.dropped.Inc()
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take gives all that is waiting, and whether there is more: the statuses that came late follow when
// the rest is gone.
func (l *link) take() (messages []message, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue, l.batch = l.batch[:0], l.queue
	for now := time.Now(); len(l.held) > 0 && !l.held[0].due.After(now); l.held = l.held[1:] {
		l.batch = append(l.batch, l.held[0].message)
	}
	if len(l.batch) == 0 {
		for _, m := range l.late {
			l.batch = append(l.batch, m)
		}
		clear(l.late)
	}
	return l.batch, len(l.late) > 0
}

// run carries messages until ctx ends.
func (l *link) run(ctx context.Context) error {
	defer l.leave(ctx)
	if l.platform() {
		if l.connect(ctx, time.Now().UnixMilli()) != nil {
			return nil // ctx has ended; there is no other error
		}
	}
	for {
		messages, err := l.next(ctx)
		if err != nil {
			return nil
		}
		if err := l.carry(ctx, messages); err != nil {
			return nil
		}
	}
}

// next waits for messages, and meanwhile looks after the connection. The only error is ctx's.
func (l *link) next(ctx context.Context) ([]message, error) {
	for {
		if l.window != nil {
			if err := l.flush(ctx); err != nil {
				return nil, err
			}
		}
		if l.woken {
			var messages []message
			if messages, l.woken = l.take(); len(messages) > 0 {
				return messages, nil
			}
		}
		if err := l.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// wait waits until something happens.
func (l *link) wait(ctx context.Context) error {
	var news, lost <-chan struct{}
	if l.window != nil {
		news, lost = l.window.conn.news, l.window.conn.lost
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.wake:
		l.woken = true
		if l.platform() {
			return pause(ctx, gatherFor)
		}
	case <-news:
		l.window.settle()
	case <-lost:
		return l.reconnect(ctx)
	case <-l.cut:
		l.hangUp()
		away := (5 + 25*l.random()) * float64(time.Second)
		if l.ways == fallsOver {
			away *= 15 // minutes, until somebody starts it again
		}
		if err := pause(ctx, time.Duration(away)); err != nil {
			return err
		}
		return l.reconnect(ctx)
	}
	return nil
}

// carry sends messages in their order. The only error is ctx's.
func (l *link) carry(ctx context.Context, messages []message) error {
	if l.platform() {
		for _, p := range l.pack(messages) {
			if err := l.send(ctx, p); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range messages {
		m := &messages[i]
		switch m.action {
		case connect:
			if err := l.connect(ctx, m.reading.Session); err != nil {
				return err
			}
		case drop:
			if l.window != nil {
				patience, cancel := context.WithTimeout(ctx, leaveWithin)
				_ = l.window.drain(patience) // a power cut does not wait for PUBACKs either
				cancel()
				l.hangUp()
			}
		case say:
			if m.reading.Kind == charge.KindHeartbeat {
				m.reading.Session = l.session // of a CONNECT that the gateway has accepted
			}
			p := l.packet(&m.reading)
			if m.reading.Kind == charge.KindStatus {
				l.last[m.reading.Connector] = p
			}
			if err := l.send(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *link) packet(r *charge.Reading) packet[carried] {
	return packet[carried]{
		topic:   wire.Topic(string(l.operator), l.name, r.Kind),
		payload: wire.Encode(nil, r, l.platform()),
		note:    carried{r.Kind, 1},
	}
}

// pack makes a platform's payloads: objects one by one, or arrays of one kind each. An array takes in
// later messages as long as no connector's messages change their order by that.
func (l *link) pack(messages []message) []packet[carried] {
	var packets []packet[carried]
	if !l.arrays {
		for i := range messages {
			packets = append(packets, l.packet(&messages[i].reading))
		}
		return packets
	}
	open := make(map[charge.Kind]int)       // last array of the kind
	at := make(map[charge.ConnectorKey]int) // array of the connector's last message
	for i := range messages {
		r := &messages[i].reading
		key := charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}
		n, ok := open[r.Kind]
		if !ok || n < at[key] || packets[n].note.objects == largestArray {
			n = len(packets)
			packets = append(packets, packet[carried]{
				topic: wire.Topic(string(l.operator), l.name, r.Kind), payload: []byte{'['}, note: carried{kind: r.Kind},
			})
			open[r.Kind] = n
		}
		p := &packets[n]
		if p.note.objects > 0 {
			p.payload = append(p.payload, ',')
		}
		p.payload = wire.Encode(p.payload, r, true)
		p.note.objects++
		at[key] = n
	}
	for i := range packets {
		packets[i].payload = append(packets[i].payload, ']')
	}
	return packets
}

// send sends p after all that waits before it.
func (l *link) send(ctx context.Context, p packet[carried]) error {
	if l.window == nil { // a pile without a connection keeps what it has to say, but for heartbeats
		if p.note.kind != charge.KindHeartbeat && len(l.backlog) < l.limit {
			l.backlog = append(l.backlog, p)
		} else {
			l.s.metrics.dropped.Inc()
		}
		return nil
	}
	l.backlog = append(l.backlog, p)
	return l.flush(ctx)
}

// flush sends the backlog, over as many connections as that takes. The only error is ctx's.
func (l *link) flush(ctx context.Context) error {
	for len(l.backlog) > 0 {
		err := l.window.send(ctx, l.backlog[0])
		switch {
		case err == nil:
			l.backlog = l.backlog[1:]
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			if err := l.reconnect(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// connect opens a connection with this session, or a later one if the gateway does not answer at once.
func (l *link) connect(ctx context.Context, session int64) error {
	retry := backoff{first: 500 * time.Millisecond, most: 10 * time.Second, random: l.random}
	for {
		l.session = session
		conn, err := l.dial.open(ctx, l.client())
		if err == nil {
			l.s.connected()
			l.window = &window[carried]{conn: conn, size: l.size, acked: func(c *carried) {
				l.s.metrics.acked[c.kind].Add(float64(c.objects))
			}}
			if l.platform() {
				hours := -math.Log(1-l.random()) * platformLife
				l.cut = time.After(max(10*time.Minute, time.Duration(hours*float64(time.Hour))))
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.s.refused(err)
		if err := retry.wait(ctx); err != nil {
			return err
		}
		session = l.now().UnixMilli()
	}
}

// now is the time by the pile's clock.
func (l *link) now() time.Time {
	now := time.Now()
	if l.clock != nil {
		now = now.Add(l.clock(now))
	}
	return now
}

func (l *link) client() client {
	who := client{id: "sim-" + string(l.operator) + "-" + l.name, keepAlive: time.Minute}
	if l.s.credentials != nil {
		who.user, who.password = l.s.credentials(l.operator)
	}
	if !l.platform() {
		will := charge.Reading{
			Kind: charge.KindHeartbeat, Has: charge.HasSession | charge.HasOnline,
			At: time.UnixMilli(l.session), Session: l.session,
		}
		who.willTopic = wire.Topic(string(l.operator), l.name, charge.KindHeartbeat)
		who.will = wire.Encode(nil, &will, false)
	}
	return who
}

// reconnect opens a new connection after one was lost. What was not acknowledged goes first; a pile
// says that it is back, and how its connectors are, before anything else.
func (l *link) reconnect(ctx context.Context) error {
	if l.window != nil {
		l.hangUp()
	}
	if err := l.connect(ctx, l.now().UnixMilli()); err != nil {
		return err
	}
	var first []packet[carried]
	if !l.platform() {
		back := charge.Reading{
			Kind: charge.KindHeartbeat, Has: charge.HasSession | charge.HasOnline,
			At: time.UnixMilli(l.session), Session: l.session, Online: true,
		}
		first = append(first, l.packet(&back))
		for _, p := range l.last {
			first = append(first, p)
		}
	}
	l.backlog = append(first, l.backlog...)
	return nil
}

// hangUp ends the connection without a word. What was not acknowledged is sent again over the next
// one, but for a pile's heartbeats: those bear a session that has ended.
func (l *link) hangUp() {
	l.window.conn.cut()
	l.window.settle()
	l.s.disconnected()
	unacked := l.window.sent
	l.window = nil
	l.backlog = append(unacked, l.backlog...)
	if !l.platform() {
		l.backlog = slices.DeleteFunc(l.backlog, func(p packet[carried]) bool { return p.note.kind == charge.KindHeartbeat })
	}
}

// leave takes leave of the gateway when the simulation stops.
func (l *link) leave(ctx context.Context) {
	if l.window == nil {
		return
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	_ = l.window.drain(patience) // what is lost now is what a stopped simulation does not say
	l.window.conn.close()
	l.s.disconnected()
}
