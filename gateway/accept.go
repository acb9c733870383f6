package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/internal/wire"
)

// A sender is who a message comes from. What a message says of its origin is never believed
// beyond this.
type sender struct {
	operator charge.OperatorID
	pile     string                             // "" may speak for every pile of the operator
	bridge   string                             // its name; "" for the listener's own clients
	broker   string                             // that the bridge subscribes to
	answer   func(topic string, payload []byte) // how the sender is told of rejects
}

// directory is what the registry knows of piles.
type directory interface {
	Pile(id charge.PileID) (*registry.Pile, bool)
}

// appender is where good readings go. It keeps nothing of the slice.
type appender interface {
	Append(ctx context.Context, readings []journal.Placed, stored func()) error
}

// An acceptor is the one path by which messages come in, whoever brought them.
type acceptor struct {
	piles     directory
	log       appender
	partition func(charge.DivisionCode) int
	rejects   *rejectRecorder
	metrics   acceptMetrics
	works     sync.Pool // of *work
}

// A work is the memory that one message's readings need while it is accepted.
type work struct {
	readings []charge.Reading
	placed   []journal.Placed
}

// mostKept is how many readings a work may have room for that is kept for the next message.
const mostKept = 64

// borrow gives a work that is empty, and giveBack takes it again.
func (a *acceptor) borrow() *work {
	if w, ok := a.works.Get().(*work); ok {
		return w
	}
	return &work{}
}

func (a *acceptor) giveBack(w *work) {
	if cap(w.readings) > mostKept {
		return
	}
	clear(w.readings)
	clear(w.placed)
	w.readings, w.placed = w.readings[:0], w.placed[:0]
	a.works.Put(w)
}

type acceptMetrics struct {
	listener prometheus.Counter // messages, by where they came in
	bridge   prometheus.Counter
	readings [charge.KindHeartbeat + 1]prometheus.Counter // by kind
	unknown  prometheus.Counter
	slowed   *prometheus.CounterVec
	paused   *prometheus.GaugeVec
}

// slow notes that somebody is not read from, until over is called.
func (m acceptMetrics) slow(by string) (over func()) {
	m.slowed.WithLabelValues(by).Inc()
	paused := m.paused.WithLabelValues(by)
	paused.Inc()
	return paused.Dec
}

func newAcceptMetrics(reg prometheus.Registerer) acceptMetrics {
	f := promauto.With(reg)
	messages := f.NewCounterVec(prometheus.CounterOpts{Name: "gateway_messages_total", Help: "Messages received, by where they came in."}, []string{"door"})
	m := acceptMetrics{
		listener: messages.WithLabelValues("listener"), bridge: messages.WithLabelValues("bridge"),
		unknown: f.NewCounter(prometheus.CounterOpts{Name: "gateway_unknown_fields_total", Help: "Fields of payloads that the platform does not know and leaves out."}),
		slowed:  f.NewCounterVec(prometheus.CounterOpts{Name: "gateway_slowed_total", Help: "Times that a sender was not read from for a while, by whose limit was reached: its pile's, its operator's, that of its connection (in_flight), or that of new connections (arrivals)."}, []string{"by"}),
		paused:  f.NewGaugeVec(prometheus.GaugeOpts{Name: "gateway_paused", Help: "Connections that are not read from now, by whose limit is reached; by arrivals: listeners that wait before they let the next one in."}, []string{"by"}),
	}
	readings := f.NewCounterVec(prometheus.CounterOpts{Name: "gateway_readings_total", Help: "Good readings handed to the log, by kind."}, []string{"kind"})
	for k := charge.KindStatus; k <= charge.KindHeartbeat; k++ {
		m.readings[k] = readings.WithLabelValues(k.String())
	}
	return m
}

// A verdict is what a message as a whole came to, for senders whose protocol can be told.
type verdict struct {
	reason wire.Reason // "" where anything of the message was of use
	detail string
}

// accept takes one message. stored is called once, when everything of it that is of use is on
// disk: then its sender may forget it. A message that is of no use is recorded as a reject and
// counts as done, so that it does not block those behind it. accept waits while the log has no
// room, and fails only when ctx ends; stored is then never called.
func (a *acceptor) accept(ctx context.Context, from *sender, topic string, payload []byte, received time.Time, stored func(verdict)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if from.bridge == "" {
		a.metrics.listener.Inc()
	} else {
		a.metrics.bridge.Inc()
	}
	w := a.borrow()
	defer a.giveBack(w)
	address, refused, unnamed := a.read(w, from, topic, payload, received)
	decoded := len(refused) == 0
	for i := range w.readings {
		r := &w.readings[i]
		pile, reason, detail := a.known(r)
		if reason != "" {
			index := -1
			if decoded {
				index = i // else some objects gave no reading, and only the names tell which it was
			}
			refused = append(refused, wire.Reject{Index: index, Pile: r.Pile.Equipment, Connector: string(r.Connector), Reason: reason, Detail: detail})
			continue
		}
		a.metrics.readings[r.Kind].Inc()
		w.placed = append(w.placed, journal.Placed{Partition: a.partition(pile.Station.TownshipAt(received)), Reading: *r})
	}
	var v verdict
	if len(w.placed) == 0 && len(refused) > 0 {
		v = verdict{reason: refused[0].Reason, detail: refused[0].Detail}
	}
	if len(refused) > 0 {
		a.rejects.record(from, address, topic, payload, received, refused)
		w.placed = a.heardOf(w.placed, from, address, refused, unnamed, received)
	}
	if len(w.placed) == 0 {
		stored(v)
		return nil
	}
	return a.log.Append(ctx, w.placed, func() { stored(v) })
}

// read takes the message apart, if its sender may speak for who it is said to be of.
func (a *acceptor) read(w *work, from *sender, topic string, payload []byte, received time.Time) (wire.Address, []wire.Reject, []string) {
	address, err := wire.ParseTopic(topic)
	switch {
	case err != nil:
		return address, []wire.Reject{{Index: -1, Reason: wire.BadTopic, Detail: err.Error()}}, nil
	case !from.speaksFor(address):
		return address, []wire.Reject{{Index: -1, Reason: wire.NotYours, Detail: "the credential is not for this operator's pile"}}, nil
	}
	var refused []wire.Reject
	var counts wire.Counts
	w.readings, refused, counts = wire.Append(w.readings, address, payload, received)
	if counts.UnknownFields > 0 {
		a.metrics.unknown.Add(float64(counts.UnknownFields))
	}
	return address, refused, counts.Unnamed
}

// speaksFor tells whether the pile, or all of the operator's piles, are the sender's.
func (s *sender) speaksFor(address wire.Address) bool {
	return address.Operator == s.operator && (s.pile == "" || s.pile == address.Pile)
}

// known looks the reading's pile and connector up.
func (a *acceptor) known(r *charge.Reading) (*registry.Pile, wire.Reason, string) {
	pile, ok := a.piles.Pile(r.Pile)
	if !ok {
		return nil, wire.UnknownPile, "pile " + r.Pile.String() + " is not registered"
	}
	if r.Connector != "" && !slices.ContainsFunc(pile.Connectors, func(c charge.Connector) bool { return c.ID == r.Connector }) {
		return nil, wire.UnknownGun, "pile " + r.Pile.String() + " has no connector " + string(r.Connector)
	}
	return pile, "", ""
}

// heardOf adds a record of presence for each registered pile of the sender's of which something was
// refused and nothing else of the message was of use: whoever sends nonsense is there all the
// same. A pile with a credential of its own is there whatever its message says.
func (a *acceptor) heardOf(placed []journal.Placed, from *sender, address wire.Address, refused []wire.Reject, unnamed []string, received time.Time) []journal.Placed {
	seen := make(map[string]bool, len(placed)+1)
	for i := range placed {
		seen[placed[i].Reading.Pile.Equipment] = true
	}
	add := func(name string) {
		if name == "" || name == wire.Many || seen[name] {
			return
		}
		seen[name] = true
		id := charge.PileID{Operator: from.operator, Equipment: name}
		if pile, ok := a.piles.Pile(id); ok {
			placed = append(placed, journal.Placed{Partition: a.partition(pile.Station.TownshipAt(received)), Reading: heard(id, received)})
		}
	}
	if !from.speaksFor(address) {
		add(from.pile)
		return placed
	}
	add(address.Pile)
	for _, r := range refused {
		add(r.Pile)
	}
	for _, name := range unnamed {
		add(name)
	}
	return placed
}

func heard(id charge.PileID, received time.Time) charge.Reading {
	received = received.UTC().Truncate(time.Millisecond)
	return charge.Reading{Pile: id, Kind: charge.KindHeard, At: received, Received: received}
}

// presence stores that a pile's own connection opened or ended.
func (a *acceptor) presence(ctx context.Context, from *sender, kind charge.Kind, session int64, at time.Time) error {
	id := charge.PileID{Operator: from.operator, Equipment: from.pile}
	pile, ok := a.piles.Pile(id)
	if !ok {
		return nil
	}
	r := heard(id, at)
	r.Kind, r.Session, r.Has = kind, session, charge.HasSession
	return a.log.Append(ctx, []journal.Placed{{Partition: a.partition(pile.Station.TownshipAt(at)), Reading: r}}, func() {})
}
