package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"pilewatch/internal/charge"
)

// A client is one WebSocket connection. What waits for it is bounded: a few messages, and a set of
// topics that it is owed a snapshot of.
type client struct {
	conn   *websocket.Conn
	looks  *rate.Limiter          // at the registry, for what it subscribes to
	who    func() (viewer, error) // now: a sign-in ends while the connection lasts
	topics map[*topic]struct{}    // guarded by the hub's lock
	wake   chan struct{}
	gone   chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	queue   []*frame
	owed    map[*topic]struct{}
	ending  *closing
	doubted bool // its rights may be others than before
}

type closing struct {
	code   int
	reason string
}

// What a client asks that is ordinary; more ends the connection.
const (
	askRate  = 20 // messages a second
	askBurst = 60
	// A message may name hundreds of piles, each of which is looked up in the registry, whether it is
	// there or not, and an unsubscription makes room for the next.
	lookRate  = 10 // piles a second
	lookBurst = 2 * topicsPerClient
)

func newClient(conn *websocket.Conn, who func() (viewer, error)) *client {
	return &client{
		conn: conn, who: who, looks: rate.NewLimiter(lookRate, lookBurst), topics: map[*topic]struct{}{}, wake: make(chan struct{}, 1), gone: make(chan struct{}),
		owed: map[*topic]struct{}{},
	}
}

// offer queues a message of a topic (nil: of none). It is false when the client is too slow for it;
// then the client is owed the topic.
func (c *client) offer(t *topic, f *frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f == nil {
		return false
	}
	if _, owed := c.owed[t]; owed {
		return true // the snapshot that comes will hold it
	}
	if len(c.queue) >= clientQueue {
		if t != nil {
			c.owed[t] = struct{}{}
		}
		return false
	}
	c.queue = append(c.queue, f)
	c.nudge()
	return true
}

// owe promises a snapshot.
func (c *client) owe(t *topic) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owed[t] = struct{}{}
	c.nudge()
}

func (c *client) forget(t *topic) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.owed, t)
}

// settled tells whether the snapshot is still owed, and takes the debt away.
func (c *client) settled(t *topic) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, owed := c.owed[t]
	delete(c.owed, t)
	return owed
}

// end asks the writer to say good-bye.
func (c *client) end(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending == nil {
		c.ending = &closing{code, reason}
	}
	c.nudge()
}

// doubt has the client's rights looked at again.
func (c *client) doubt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubted = true
	c.nudge()
}

// settledDoubt tells whether there was a doubt, and takes it away.
func (c *client) settledDoubt() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.doubted
	c.doubted = false
	return was
}

// check ends the connection of one whose rights are no longer those that it began with: what it
// watches was allowed to somebody else.
func (c *client) check(was *viewer) {
	if now, err := c.who(); err != nil || !now.same(was) {
		c.end(websocket.ClosePolicyViolation, "the sign-in has ended or has other rights")
	}
}

func (c *client) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// next gives what to do now: a queued message, else a topic that is owed, else nothing.
func (c *client) next() (f *frame, t *topic, end *closing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ending != nil:
		return nil, nil, c.ending
	case len(c.queue) > 0:
		f = c.queue[0]
		c.queue[0] = nil
		if c.queue = c.queue[1:]; len(c.queue) == 0 {
			c.queue = nil
		}
		return f, nil, nil
	}
	for t := range c.owed {
		return nil, t, nil
	}
	return nil, nil, nil
}

// write sends until the connection ends; polite tells that it has said good-bye. was is who began it.
func (c *client) write(h *hub, was *viewer) (polite bool) {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		if c.settledDoubt() {
			c.check(was)
		}
		f, t, end := c.next()
		if t != nil {
			f = h.settle(c, t)
			if f == nil {
				continue
			}
		}
		switch {
		case end != nil:
			return c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(end.code, end.reason), time.Now().Add(goodbyeWithin)) == nil
		case f != nil:
			if c.conn.SetWriteDeadline(time.Now().Add(writeWithin)) != nil || c.conn.WritePreparedMessage(f) != nil {
				return false
			}
			continue
		}
		select {
		case <-c.gone:
			return false
		case <-c.wake:
		case <-ping.C:
			c.doubt() // a session that is over changes nothing that would be noticed otherwise
			if c.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWithin)) != nil {
				return false
			}
		}
	}
}

// An ask is a message of the client.
type ask struct {
	Subscribe   []string          `json:"subscribe"`
	Unsubscribe []string          `json:"unsubscribe"`
	Versions    map[string]uint64 `json:"versions"` // by topic, where the client goes on from
}

// serveWS is GET /ws.
func (d *Dashboard) serveWS(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	conn, err := d.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil //nolint:nilerr // Upgrade has answered
	}
	v := viewerOf(r)
	ctx := context.WithoutCancel(r.Context())
	c := newClient(conn, func() (viewer, error) { return d.viewerFrom(ctx, r) })
	if !d.hub.join(c) {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseTryAgainLater, "too many connections"), time.Now().Add(time.Second))
		_ = conn.Close()
		return nil
	}
	c.offer(nil, d.hub.prepare(map[string]any{"type": "hello", "build": d.build, "now": time.Now().UTC()}))
	go func() {
		if c.write(d.hub, v) {
			// What the client sent before it read the good-bye is still read: a connection closed over
			// unread bytes is reset, and takes the good-bye with it.
			select {
			case <-c.gone:
			case <-time.After(goodbyeWithin):
			}
		}
		_ = conn.Close() // ends the reader too
	}()
	d.read(ctx, c, v)
	close(c.gone) // then the writer ends, and the connection with it
	d.hub.leave(c)
	return nil
}

// read takes what a client asks until the connection ends. What it may have is what v may see; when
// that changes, the connection ends.
func (d *Dashboard) read(ctx context.Context, c *client, v *viewer) {
	c.conn.SetReadLimit(clientMessage)
	alive := func(string) error { return c.conn.SetReadDeadline(time.Now().Add(pongWithin)) }
	c.conn.SetPongHandler(alive)
	if alive("") != nil {
		return
	}
	pace, over := rate.NewLimiter(askRate, askBurst), false
	for {
		_, text, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		if over {
			continue
		}
		if over = !pace.Allow(); over {
			d.hub.metrics.refused.Inc()
			c.end(websocket.ClosePolicyViolation, "too many messages")
			continue
		}
		var a ask
		if err := json.Unmarshal(text, &a); err != nil {
			d.refuse(c, "", "not a message that the server knows")
			continue
		}
		for _, name := range a.Unsubscribe {
			d.hub.unsubscribe(c, name)
		}
		for _, name := range a.Subscribe {
			seen, hasSeen := a.Versions[name]
			if err := d.subscribe(ctx, c, v, name, seen, hasSeen); err != nil {
				d.refuse(c, name, err.Error())
			}
		}
	}
}

// refuse tells a client what it cannot have. One that asks and does not read is not waited for.
func (d *Dashboard) refuse(c *client, topic, title string) {
	c.offer(nil, d.hub.prepare(map[string]any{"type": "error", "topic": topic, "title": title}))
}

// A refusal is an error to tell the client.
type refusal string

func (r refusal) Error() string { return string(r) }

const noTopic = refusal("no such topic")

const errTooManyLooks = refusal("too many piles asked for at once; ask again in a few seconds")

var errTooManyTopics = refusal(fmt.Sprintf("at most %d topics for one connection", topicsPerClient))

// eventsOfOperator begins the topic of an operator's events, wherever its piles are.
const eventsOfOperator = "events:op:"

// subscribe finds what a topic's name means. The name in use is the canonical one. A topic is the
// same for all who have it, so who may not see all of it does not get it.
func (d *Dashboard) subscribe(ctx context.Context, c *client, v *viewer, name string, seen uint64, hasSeen bool) error {
	kind, rest, _ := strings.Cut(name, ":")
	switch kind {
	case "coverage":
		code, tierName, _ := strings.Cut(rest, ":")
		t, ok := parseTier(tierName)
		key := coverageKey{charge.DivisionCode(code), t}
		if !ok || key.String() != name || !d.coverage.has(key.division) || !v.maySee(key.division) {
			return noTopic
		}
		return d.hub.subscribe(c, name, seen, hasSeen, func() *topic {
			return &topic{subject: &coverageSubject{key: key, state: d.coverage, changed: map[charge.DivisionCode]struct{}{}}}
		})
	case "events":
		division, want := charge.DivisionCode(rest), everyEvent
		allowed := v.public || v.within(division)
		if operator, ok := strings.CutPrefix(name, eventsOfOperator); ok {
			division, want = d.province(), func(e *charge.Event) bool { return string(operatorOf(e)) == operator }
			allowed = charge.ValidID(operator) && v.maySeeOperator(charge.OperatorID(operator), division)
		}
		if !allowed || !d.coverage.has(division) {
			return noTopic
		}
		return d.hub.subscribe(c, name, seen, hasSeen, func() *topic {
			return &topic{subject: &eventsSubject{division: division, want: want, recent: d.recent, state: d.coverage, sent: d.version()}}
		})
	case "cases":
		return d.subscribeCases(c, v, name, rest, seen, hasSeen)
	case "pile":
		return d.subscribePile(ctx, c, v, name, rest)
	}
	return noTopic
}

func everyEvent(*charge.Event) bool { return true }

// subscribePile watches a pile's live values while somebody looks.
func (d *Dashboard) subscribePile(ctx context.Context, c *client, v *viewer, name, rest string) error {
	id, err := charge.ParsePileID(rest)
	if err != nil {
		return noTopic
	}
	switch has, room := d.hub.roomFor(c, name); { // before the registry is asked
	case has:
		return nil
	case !room:
		return errTooManyTopics
	}
	if !c.looks.Allow() {
		return errTooManyLooks
	}
	row, _, err := d.pile(ctx, id, v)
	if err != nil {
		return noTopic
	}
	t := &topic{subject: &pileSubject{live: lastTold(row), changed: map[charge.ConnectorID]struct{}{}}}
	// Watching begins before the topic is there: what comes in between is kept, not lost.
	stop, err := d.feed.WatchLive(ctx, id, func(lc charge.LiveConnector) { d.hub.connectorLive(t, lc) })
	if err != nil {
		d.log.Error("watch a pile's live values", "pile", id, "err", err)
		return refusal("live values are not to be had now")
	}
	t.stop = stop
	used := false
	err = d.hub.subscribe(c, name, 0, false, func() *topic { used = true; return t })
	if !used {
		stop() // somebody watches it already, or the client may not have more
	}
	return err
}
