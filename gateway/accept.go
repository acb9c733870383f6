package gateway

import (
	"context"
	"slices"
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
	bridge   string                             // "" for the listener's own clients
	answer   func(topic string, payload []byte) // how the sender is told of rejects
}

// directory is what the registry knows of piles.
type directory interface {
	Pile(id charge.PileID) (*registry.Pile, bool)
}

// appender is where good readings go.
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
}

type acceptMetrics struct {
	messages *prometheus.CounterVec
	readings *prometheus.CounterVec
	unknown  prometheus.Counter
}

func newAcceptMetrics(reg prometheus.Registerer) acceptMetrics {
	f := promauto.With(reg)
	return acceptMetrics{
		messages: f.NewCounterVec(prometheus.CounterOpts{Name: "gateway_messages_total", Help: "Messages received, by where they came in."}, []string{"door"}),
		readings: f.NewCounterVec(prometheus.CounterOpts{Name: "gateway_readings_total", Help: "Good readings handed to the log, by kind."}, []string{"kind"}),
		unknown:  f.NewCounter(prometheus.CounterOpts{Name: "gateway_unknown_fields_total", Help: "Fields of payloads that the platform does not know and leaves out."}),
	}
}

// A verdict is what a message as a whole came to, for senders whose protocol can be told.
type verdict struct {
	reason wire.Reason // "" where anything of the message was of use
	detail string
}

// accept takes one message. stored is called once, when everything of it that is of use is on
// disk: then its sender may forget it. A message that is of no use is recorded as a reject and
// counts as done, so that it does not block those behind it. accept waits while the log has no
// room, and fails only when ctx ends.
func (a *acceptor) accept(ctx context.Context, from *sender, topic string, payload []byte, received time.Time, stored func()) (verdict, error) {
	door := "listener"
	if from.bridge != "" {
		door = "bridge"
	}
	a.metrics.messages.WithLabelValues(door).Inc()

	address, err := wire.ParseTopic(topic)
	if err != nil {
		return a.refuse(from, address, topic, payload, received, wire.BadTopic, err.Error(), stored)
	}
	if address.Operator != from.operator || (from.pile != "" && address.Pile != from.pile) {
		return a.refuse(from, address, topic, payload, received, wire.NotYours, "the credential is not for this operator's pile", stored)
	}
	readings, refused, counts := wire.Decode(address, payload, received)
	a.metrics.unknown.Add(float64(counts.UnknownFields))

	placed := make([]journal.Placed, 0, len(readings))
	for i := range readings {
		r := &readings[i]
		pile, reason, detail := a.known(r)
		if reason != "" {
			refused = append(refused, wire.Reject{Pile: r.Pile.Equipment, Connector: string(r.Connector), Reason: reason, Detail: detail})
			if pile == nil {
				continue
			}
			*r = heard(r.Pile, received)
		} else {
			a.metrics.readings.WithLabelValues(r.Kind.String()).Inc()
		}
		placed = append(placed, journal.Placed{Partition: a.partition(pile.Station.Township), Reading: *r})
	}
	useful := len(placed) > 0
	placed = a.heardOf(placed, address, refused, received)
	if len(refused) > 0 {
		a.rejects.record(from, address, topic, payload, received, refused)
	}
	if len(placed) == 0 {
		stored()
	} else if err := a.log.Append(ctx, placed, stored); err != nil {
		return verdict{}, err
	}
	if useful || len(refused) == 0 {
		return verdict{}, nil
	}
	return verdict{reason: refused[0].Reason, detail: refused[0].Detail}, nil
}

// known looks the reading's pile and connector up. The pile is nil where it is not registered.
func (a *acceptor) known(r *charge.Reading) (*registry.Pile, wire.Reason, string) {
	pile, ok := a.piles.Pile(r.Pile)
	if !ok {
		return nil, wire.UnknownPile, "pile " + r.Pile.String() + " is not registered"
	}
	if r.Connector != "" && !slices.ContainsFunc(pile.Connectors, func(c charge.Connector) bool { return c.ID == r.Connector }) {
		return pile, wire.UnknownGun, "pile " + r.Pile.String() + " has no connector " + string(r.Connector)
	}
	return pile, "", ""
}

// refuse records a message of which nothing can be used.
func (a *acceptor) refuse(from *sender, address wire.Address, topic string, payload []byte, received time.Time, reason wire.Reason, detail string, stored func()) (verdict, error) {
	a.rejects.record(from, address, topic, payload, received, []wire.Reject{{Index: -1, Reason: reason, Detail: detail}})
	stored()
	return verdict{reason: reason, detail: detail}, nil
}

// heardOf adds a record of presence for each registered pile of which a message was refused and
// nothing else of it was of use: whoever sends nonsense is there all the same.
func (a *acceptor) heardOf(placed []journal.Placed, address wire.Address, refused []wire.Reject, received time.Time) []journal.Placed {
	if len(refused) == 0 {
		return placed
	}
	seen := make(map[string]bool, len(placed)+1)
	for i := range placed {
		seen[placed[i].Reading.Pile.Equipment] = true
	}
	for _, r := range refused {
		name := r.Pile
		if name == "" && address.Pile != wire.Many {
			name = address.Pile
		}
		if name == "" || seen[name] {
			continue
		}
		seen[name] = true
		id := charge.PileID{Operator: address.Operator, Equipment: name}
		if pile, ok := a.piles.Pile(id); ok {
			placed = append(placed, journal.Placed{Partition: a.partition(pile.Station.Township), Reading: heard(id, received)})
		}
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
	return a.log.Append(ctx, []journal.Placed{{Partition: a.partition(pile.Station.Township), Reading: r}}, func() {})
}
