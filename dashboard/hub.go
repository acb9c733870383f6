package dashboard

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/internal/charge"
)

// A frame is a message ready to be sent to any number of clients: encoded, framed and compressed once.
type frame = websocket.PreparedMessage

// A subject is what a topic is about. The hub calls it under its lock.
type subject interface {
	// snapshot shows everything. It may hold what the next delta will say again.
	snapshot() (data any, version uint64)
	// since shows what came after a client's version; ok is false where only a snapshot will do.
	since(version uint64) (data any, now uint64, ok bool)
	// delta shows what changed since the delta before, as far as one can.
	delta() (data any, version uint64, told tells)
}

// tells is what a delta can do.
type tells int

const (
	tellsNothing tells = iota // nothing has changed
	tellsAll
	tellsTooLittle // so much has changed that only a snapshot will do
)

// A topic is what clients subscribe to. Its fields are guarded by the hub's lock.
type topic struct {
	name      string
	subject   subject
	clients   map[*client]struct{}
	dirty     bool
	dirtyFrom time.Time // when the first of the pending changes came
	flushed   time.Time
	full      *frame // a snapshot, shared by all who need one; nil when something has changed
	stop      func() // ends what feeds the topic
}

type hubMetrics struct {
	clients  prometheus.Gauge
	topics   prometheus.Gauge
	sent     *prometheus.CounterVec
	skipped  prometheus.Counter
	refused  prometheus.Counter
	mergeLag prometheus.Histogram
}

// hub brings changes to browsers. Each topic has at most one delta each mergeFor, encoded once for
// all; each client has a short queue, and what does not fit is made up for by a snapshot.
type hub struct {
	log     *slog.Logger
	metrics hubMetrics
	wake    chan struct{}

	mu      sync.Mutex
	topics  map[string]*topic
	dirty   map[*topic]struct{}
	clients map[*client]struct{}
	closed  bool
}

func newHub(log *slog.Logger, reg prometheus.Registerer) *hub {
	f := promauto.With(reg)
	return &hub{
		log: log, wake: make(chan struct{}, 1),
		topics: map[string]*topic{}, dirty: map[*topic]struct{}{}, clients: map[*client]struct{}{},
		metrics: hubMetrics{
			clients:  f.NewGauge(prometheus.GaugeOpts{Name: "dashboard_ws_clients", Help: "Open WebSocket connections."}),
			topics:   f.NewGauge(prometheus.GaugeOpts{Name: "dashboard_ws_topics", Help: "Topics that somebody watches."}),
			sent:     f.NewCounterVec(prometheus.CounterOpts{Name: "dashboard_ws_messages_total", Help: "Messages handed to clients, by type."}, []string{"type"}),
			skipped:  f.NewCounter(prometheus.CounterOpts{Name: "dashboard_ws_deltas_skipped_total", Help: "Deltas not queued for a client too slow for them; a snapshot follows."}),
			refused:  f.NewCounter(prometheus.CounterOpts{Name: "dashboard_ws_refused_total", Help: "WebSocket connections refused or ended for passing a limit."}),
			mergeLag: f.NewHistogram(prometheus.HistogramOpts{Name: "dashboard_ws_merge_seconds", Help: "From the first pending change of a topic to its delta.", Buckets: []float64{.001, .01, .05, .1, .25, .5, 1, 2.5}}),
		},
	}
}

// run sends what is due until ctx ends.
func (h *hub) run(ctx context.Context) {
	beat := time.NewTicker(pageHeartbeat)
	defer beat.Stop()
	timer := time.NewTimer(mergeFor)
	defer timer.Stop()
	for {
		next := h.flushDue(time.Now())
		if next > 0 {
			timer.Reset(next)
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		case <-timer.C:
		case now := <-beat.C:
			h.broadcast("ping", map[string]any{"type": "ping", "now": now.UTC()})
		}
	}
}

// flushDue sends the deltas that are due and tells how long until the next one is, 0 for never.
func (h *hub) flushDue(now time.Time) (next time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for t := range h.dirty {
		if wait := t.flushed.Add(mergeFor).Sub(now); wait > 0 {
			if next == 0 || wait < next {
				next = wait
			}
			continue
		}
		h.flush(t, now)
	}
	return next
}

// flush sends a topic's pending changes. The caller holds the lock.
func (h *hub) flush(t *topic, now time.Time) {
	delete(h.dirty, t)
	t.dirty, t.flushed = false, now
	h.metrics.mergeLag.Observe(now.Sub(t.dirtyFrom).Seconds())
	data, version, told := t.subject.delta()
	switch told {
	case tellsNothing:
		return
	case tellsTooLittle:
		for c := range t.clients {
			c.owe(t)
		}
		return
	}
	f := h.encode("delta", t.name, version, data)
	for c := range t.clients {
		if c.offer(t, f) {
			h.metrics.sent.WithLabelValues("delta").Inc()
		} else {
			h.metrics.skipped.Inc()
		}
	}
}

// touch notes that a topic has something new; the caller holds the lock and has told the subject.
func (h *hub) touch(t *topic) {
	t.full = nil
	if t.dirty {
		return
	}
	t.dirty, t.dirtyFrom = true, time.Now()
	h.dirty[t] = struct{}{}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// An envelope is a message of the server.
type envelope struct {
	Type    string `json:"type"`
	Topic   string `json:"topic"`
	Version uint64 `json:"version"`
	Data    any    `json:"data"`
}

func (h *hub) encode(kind, topic string, version uint64, data any) *frame {
	return h.prepare(envelope{kind, topic, version, data})
}

// prepare encodes what the program itself has put together, so it can fail by a mistake in the
// program only; then the client gets an empty object and the log a line.
func (h *hub) prepare(message any) *frame {
	text, err := json.Marshal(message)
	if err != nil {
		h.log.Error("encode a message to browsers", "err", err)
		text = []byte("{}")
	}
	f, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
	if err != nil {
		h.log.Error("frame a message to browsers", "err", err)
	}
	return f
}

// broadcast offers a message to everyone; who is too slow for it does not get it.
func (h *hub) broadcast(kind string, message any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.clients) == 0 {
		return
	}
	f := h.prepare(message)
	for c := range h.clients {
		if c.offer(nil, f) {
			h.metrics.sent.WithLabelValues(kind).Inc()
		}
	}
}

// resync gives every client a new snapshot of all that it watches.
func (h *hub) resync() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.topics {
		t.full = nil
		if s, ok := t.subject.(*eventsSubject); ok {
			s.sent, _, _ = s.state.now()
		}
		for c := range t.clients {
			c.owe(t)
		}
	}
}

// join takes a client in, unless there are too many.
func (h *hub) join(c *client) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.clients) >= clientsAtMost {
		h.metrics.refused.Inc()
		return false
	}
	h.clients[c] = struct{}{}
	h.metrics.clients.Set(float64(len(h.clients)))
	return true
}

func (h *hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
	for t := range c.topics {
		h.drop(t, c)
	}
	h.metrics.clients.Set(float64(len(h.clients)))
}

// drop ends a subscription, and the topic with its last one. The caller holds the lock.
func (h *hub) drop(t *topic, c *client) {
	delete(t.clients, c)
	delete(c.topics, t)
	c.forget(t)
	if len(t.clients) > 0 {
		return
	}
	delete(h.topics, t.name)
	delete(h.dirty, t)
	h.metrics.topics.Set(float64(len(h.topics)))
	if t.stop != nil {
		t.stop()
	}
}

// subscribe gives a client a topic: with a version that it has seen, what came after it where that
// can be told; else a snapshot. make is called, under the lock, when nobody watches the topic yet.
func (h *hub) subscribe(c *client, name string, seen uint64, hasSeen bool, make func() *topic) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[name]
	if t != nil {
		if _, already := t.clients[c]; already {
			return nil
		}
	}
	if _, here := h.clients[c]; !here {
		return nil // it has left meanwhile
	}
	if len(c.topics) >= topicsPerClient {
		return errTooManyTopics
	}
	if t == nil {
		t = make()
		t.name, t.clients = name, map[*client]struct{}{}
		h.topics[name] = t
		h.metrics.topics.Set(float64(len(h.topics)))
	}
	t.clients[c], c.topics[t] = struct{}{}, struct{}{}
	if hasSeen {
		if data, now, ok := t.subject.since(seen); ok {
			if c.offer(t, h.encode("delta", name, now, data)) {
				h.metrics.sent.WithLabelValues("delta").Inc()
			}
			return nil
		}
	}
	c.owe(t)
	return nil
}

// roomFor tells whether a client has the topic already, and whether it may have one more.
func (h *hub) roomFor(c *client, name string) (has, room bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[name]; t != nil {
		_, has = t.clients[c]
	}
	return has, len(c.topics) < topicsPerClient
}

func (h *hub) unsubscribe(c *client, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[name]; t != nil {
		if _, ok := t.clients[c]; ok {
			h.drop(t, c)
		}
	}
}

// settle makes the snapshot that a client is owed, nil when it is owed none any more. It is made
// when it can be sent, and not before: so it is as new as can be, and nothing waits in memory.
func (h *hub) settle(c *client, t *topic) *frame {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !c.settled(t) {
		return nil
	}
	if t.full == nil {
		data, version := t.subject.snapshot()
		t.full = h.encode("snapshot", t.name, version, data)
	}
	h.metrics.sent.WithLabelValues("snapshot").Inc()
	return t.full
}

// doubt has everybody's rights looked at again.
func (h *hub) doubt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		c.doubt()
	}
}

// close ends all connections.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for c := range h.clients {
		c.end(websocket.CloseGoingAway, "the server stops")
	}
}

// A coverageKey names a coverage topic.
type coverageKey struct {
	division charge.DivisionCode
	tier     tier
}

func (k coverageKey) String() string {
	if k.tier == tierTowns {
		return "coverage:" + string(k.division)
	}
	return "coverage:" + string(k.division) + ":" + tierNames[k.tier]
}

// coverageSubject shows one division and its children.
type coverageSubject struct {
	key     coverageKey
	state   *coverage
	changed map[charge.DivisionCode]struct{} // children
	pending bool
}

func (s *coverageSubject) snapshot() (any, uint64) {
	v, _ := s.state.view(s.key.division, s.key.tier, every)
	return v, v.Version
}

func (s *coverageSubject) since(version uint64) (any, uint64, bool) {
	v, ok := s.state.since(s.key.division, s.key.tier, version)
	return v, v.Version, ok
}

func (s *coverageSubject) delta() (any, uint64, tells) {
	v, ok := s.state.view(s.key.division, s.key.tier, func(p *place) bool {
		_, changed := s.changed[p.division.Code]
		return changed
	})
	told := tellsNothing
	if ok && s.pending {
		told = tellsAll
	}
	clear(s.changed)
	s.pending = false
	return v, v.Version, told
}

// change takes a change in and passes it on. apply runs under the lock: a delta made between a change
// and the note of who changed would have its version, and its sums, without the child that it was in.
func (h *hub) change(apply func() []charge.DivisionCode, events []charge.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.townshipsChanged(apply())
	h.eventsHappened(events)
}

// townshipsChanged marks the topics of the townships that are different. The caller holds the lock.
func (h *hub) townshipsChanged(changed []charge.DivisionCode) {
	for _, code := range changed {
		child := charge.DivisionCode("")
		for at := code; at != ""; at = at.Parent() {
			for t := range tiers {
				if found := h.topics[(coverageKey{at, t}).String()]; found != nil {
					s := found.subject.(*coverageSubject) //nolint:forcetypeassert // its name says so
					s.pending = true
					if child != "" {
						s.changed[child] = struct{}{}
					}
					h.touch(found)
				}
			}
			child = at
		}
	}
}

// eventsSubject shows the events within a division.
type eventsSubject struct {
	division charge.DivisionCode
	want     func(*charge.Event) bool // of those in the division
	recent   *recent
	state    *coverage
	sent     uint64 // events up to this version are in deltas or snapshots
}

type eventsView struct {
	Events []eventView `json:"events"` // newest first
}

// snapshot stops where the last delta did, so that the next delta tells no event twice.
func (s *eventsSubject) snapshot() (any, uint64) {
	events, _ := s.recent.eventsOf(s.want, s.division, 0, s.sent, eventsAtMost)
	return eventsView{s.state.named(events)}, s.sent
}

func (s *eventsSubject) since(version uint64) (any, uint64, bool) {
	if version > s.sent {
		return nil, 0, false
	}
	events, ok := s.recent.eventsOf(s.want, s.division, version, s.sent, eventsAtMost+1)
	return eventsView{s.state.named(events)}, s.sent, ok && len(events) <= eventsAtMost
}

func (s *eventsSubject) delta() (any, uint64, tells) {
	now, _, _ := s.state.now()
	events, ok := s.recent.eventsOf(s.want, s.division, s.sent, now, eventsAtMost+1)
	s.sent = now
	switch {
	case !ok || len(events) > eventsAtMost:
		return nil, now, tellsTooLittle
	case len(events) == 0:
		return nil, now, tellsNothing
	}
	return eventsView{s.state.named(events)}, now, tellsAll
}

// eventsHappened marks the topics of new events. The caller holds the lock.
func (h *hub) eventsHappened(events []charge.Event) {
	for _, e := range events {
		for at := e.Township; at != ""; at = at.Parent() {
			if t := h.topics["events:"+string(at)]; t != nil {
				h.touch(t)
			}
		}
		if t := h.topics[eventsOfOperator+string(operatorOf(&e))]; t != nil {
			h.touch(t)
		}
	}
}

// pileSubject shows the newest values of a pile's connectors. Its versions are its own: they say
// nothing after the last watcher has gone.
type pileSubject struct {
	live    map[charge.ConnectorID]charge.LiveConnector
	changed map[charge.ConnectorID]struct{}
	version uint64
}

type pileView struct {
	Connectors []charge.LiveConnector `json:"connectors"`
}

func (s *pileSubject) snapshot() (any, uint64) {
	v := pileView{Connectors: []charge.LiveConnector{}}
	for _, c := range s.live {
		v.Connectors = append(v.Connectors, c)
	}
	sortConnectors(v.Connectors)
	return v, s.version
}

func (s *pileSubject) since(uint64) (any, uint64, bool) { return nil, 0, false }

func (s *pileSubject) delta() (any, uint64, tells) {
	v := pileView{Connectors: []charge.LiveConnector{}}
	for id := range s.changed {
		v.Connectors = append(v.Connectors, s.live[id])
	}
	sortConnectors(v.Connectors)
	clear(s.changed)
	if len(v.Connectors) == 0 {
		return nil, s.version, tellsNothing
	}
	return v, s.version, tellsAll
}

func sortConnectors(c []charge.LiveConnector) {
	slices.SortFunc(c, func(a, b charge.LiveConnector) int { return cmp.Compare(a.Connector, b.Connector) })
}

// connectorLive takes a connector's newest values in.
func (h *hub) connectorLive(t *topic, c charge.LiveConnector) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := t.subject.(*pileSubject) //nolint:forcetypeassert // only such topics are fed from here
	s.version++
	s.live[c.Connector] = c
	s.changed[c.Connector] = struct{}{}
	if h.topics[t.name] == t {
		h.touch(t)
	}
}

// liveOf gives the newest values of a pile that somebody watches.
func (h *hub) liveOf(pile charge.PileID) map[charge.ConnectorID]charge.LiveConnector {
	h.mu.Lock()
	defer h.mu.Unlock()
	live := map[charge.ConnectorID]charge.LiveConnector{}
	if t := h.topics["pile:"+pile.String()]; t != nil {
		maps.Copy(live, t.subject.(*pileSubject).live) //nolint:forcetypeassert // its name says so
	}
	return live
}
