package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/wire"
)

// How often rejects are recorded and told back (design: "South"), and what bounds the memory of it.
const (
	sampleEvery    = time.Minute
	answerEvery    = time.Second
	sampleBytes    = 1024
	mostKeys       = 100_000 // of (operator, pile, reason); beyond it rejects are counted by operator and reason
	mostKeysOfOne  = 10_000  // the same of one operator: its flood must not take the others' names
	answerDetails  = 16      // rejects listed in one answer; the rest is counted
	sweepEvery     = 250 * time.Millisecond
	mostOpenAnswer = 10_000
)

// A rejectRecorder keeps what could not be used: a sample of each kind a minute, a count of the
// rest, and an answer to the sender. Nothing is dropped in silence, and a flood of garbage costs
// neither disk nor memory without bound.
type rejectRecorder struct {
	publish func(journal.Reject) error
	log     *slog.Logger
	total   *prometheus.CounterVec
	of      *prometheus.CounterVec // the same by operator
	told    *tally                 // in our own log, by operator and reason
	late    *tally                 // what the log could not take at once, by error

	mu      sync.Mutex
	samples map[sampleKey]*sampled
	keysOf  map[charge.OperatorID]int // of samples
	answers map[answerKey]*answer
}

type sampleKey struct {
	operator charge.OperatorID
	pile     string
	reason   wire.Reason
}

// sampled counts what came since the last record of a key.
type sampled struct {
	since time.Time
	last  journal.Reject // without its sample
	count int
}

// answerKey is a topic of the listener's, or of an operator's broker: several connections share the
// limit of their topic.
type answerKey struct {
	broker string // "" for the listener's
	topic  string
}

type answer struct {
	to      func(topic string, payload []byte) // of the sender that was heard last
	next    time.Time                          // the topic may be answered again from then on
	waiting []answerItem
	more    int
}

type answerItem struct {
	Topic     string      `json:"topic"`
	Index     int         `json:"index"` // of the object in the array, -1 for the whole message
	Pile      string      `json:"pile,omitempty"`
	Connector string      `json:"connector,omitempty"`
	Reason    wire.Reason `json:"reason"`
	Detail    string      `json:"detail"`
}

func newRejectRecorder(publish func(journal.Reject) error, log *slog.Logger, reg prometheus.Registerer) *rejectRecorder {
	total := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_rejects_total", Help: "Messages, or objects of an array, that could not be used.",
	}, []string{"reason"})
	for _, reason := range wire.Reasons() {
		total.WithLabelValues(string(reason))
	}
	return &rejectRecorder{
		publish: publish, log: log, total: total,
		of: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_operator_rejects_total", Help: "Messages, or objects of an array, that could not be used, by the operator that sent them.",
		}, []string{"operator"}),
		told: newTally(func(_ string, count int, last []any) {
			log.Warn("messages cannot be used", append([]any{"count", count}, last...)...)
		}),
		late: newTally(func(cause string, count int, _ []any) {
			// Readings go first; the counters have them in any case.
			log.Warn("rejects are recorded later", "count", count, "err", cause)
		}),
		samples: make(map[sampleKey]*sampled), keysOf: make(map[charge.OperatorID]int), answers: make(map[answerKey]*answer),
	}
}

// record keeps the rejects of one message.
func (r *rejectRecorder) record(from *sender, address wire.Address, topic string, payload []byte, received time.Time, refused []wire.Reject) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range refused {
		count := max(one.Count, 1)
		r.total.WithLabelValues(string(one.Reason)).Add(float64(count))
		r.of.WithLabelValues(string(from.operator)).Add(float64(count)) // as signed in, so there are no more than are registered
		r.told.add(received, string(from.operator)+" "+string(one.Reason), count,
			"operator", from.operator, "reason", one.Reason, "pile", clean(one.Pile, 80), "detail", one.Detail)
		pile := one.Pile
		if pile == "" && address.Pile != wire.Many {
			pile = address.Pile
		}
		r.sample(sampleKey{from.operator, pile, one.Reason}, journal.Reject{
			At: received.UTC(), Operator: string(from.operator), Pile: pile, Conn: one.Connector,
			Kind: kindName(address.Kind), Topic: clean(topic, 256), Reason: string(one.Reason), Detail: one.Detail,
			Count: count, Bridge: from.bridge,
		}, payload)
	}
	r.answer(from, address, topic, received, refused)
}

func kindName(k charge.Kind) string {
	if k == 0 {
		return ""
	}
	return k.String()
}

func (r *rejectRecorder) sample(key sampleKey, reject journal.Reject, payload []byte) {
	if r.samples[key] == nil && (len(r.samples) >= mostKeys || r.keysOf[key.operator] >= mostKeysOfOne) {
		key.pile, reject.Pile = "", ""
	}
	s := r.samples[key]
	if s == nil {
		s = &sampled{since: reject.At, last: reject}
		r.samples[key] = s
		r.keysOf[key.operator]++
		reject.Sample = clean(string(payload[:min(len(payload), sampleBytes+utf8.UTFMax)]), sampleBytes)
		if err := r.publish(reject); err != nil {
			r.late.add(reject.At, err.Error(), reject.Count)
			s.last, s.count = reject, reject.Count // with the next ones
		}
		return
	}
	s.count += reject.Count
	s.last = reject
}

// answer tells the sender, on the reject topic of its pile; where the topic names no pile of the
// sender's, on the one of its operator. A pile that has signed in by itself may read its own only.
func (r *rejectRecorder) answer(from *sender, address wire.Address, topic string, received time.Time, refused []wire.Reject) {
	to := wire.RejectTopic(string(from.operator), wire.Many)
	switch {
	case from.pile != "":
		to = wire.RejectTopic(string(from.operator), from.pile)
	case address.Pile != "" && from.speaksFor(address):
		to = wire.RejectTopic(string(from.operator), address.Pile)
	}
	key := answerKey{from.broker, to}
	a := r.answers[key]
	if a == nil {
		if len(r.answers) >= mostOpenAnswer {
			return // answered again once the sweeper has made room; recorded and counted all the same
		}
		a = &answer{}
		r.answers[key] = a
	}
	a.to = from.answer
	for _, one := range refused {
		if len(a.waiting) < answerDetails {
			a.waiting = append(a.waiting, answerItem{
				Topic: clean(topic, 256), Index: one.Index, Pile: one.Pile, Connector: one.Connector, Reason: one.Reason, Detail: one.Detail,
			})
			a.more += max(one.Count, 1) - 1
		} else {
			a.more += max(one.Count, 1)
		}
	}
	if !received.Before(a.next) {
		r.send(key, a, received)
	}
}

func (r *rejectRecorder) send(key answerKey, a *answer, now time.Time) {
	payload, err := json.Marshal(struct {
		Time    time.Time    `json:"time"`
		Rejects []answerItem `json:"rejects"`
		More    int          `json:"more,omitempty"` // rejects of the same second that are not listed
	}{now.UTC(), a.waiting, a.more})
	if err != nil {
		r.log.Error("encode the answer to a reject", "err", err)
		return
	}
	a.waiting, a.more, a.next = nil, 0, now.Add(answerEvery)
	go a.to(key.topic, payload) // a sender that does not read must not hold the others
}

// run sends the answers that waited their second and the counts that waited their minute, until
// ctx ends; then it stores the counts that it still holds.
func (r *rejectRecorder) run(ctx context.Context) error {
	ticks := time.NewTicker(sweepEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			r.sweepSamples(func(*sampled) bool { return true })
			r.told.sweep(time.Now(), true)
			r.late.sweep(time.Now(), true)
			return nil
		case now := <-ticks.C:
			r.sweepAnswers(now)
			r.told.sweep(now, false)
			r.late.sweep(now, false)
			r.sweepSamples(func(s *sampled) bool { return now.Sub(s.since) >= sampleEvery })
		}
	}
}

func (r *rejectRecorder) sweepAnswers(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, a := range r.answers {
		switch {
		case now.Before(a.next):
		case len(a.waiting) > 0:
			r.send(key, a, now)
		default:
			delete(r.answers, key)
		}
	}
}

// sweepSamples stores the count of every key that is due, and forgets it; what the log does not
// take stays until the next time.
func (r *rejectRecorder) sweepSamples(due func(*sampled) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, s := range r.samples {
		if !due(s) {
			continue
		}
		if s.count > 0 {
			s.last.Count = s.count
			if r.publish(s.last) != nil {
				continue
			}
		}
		delete(r.samples, key)
		if r.keysOf[key.operator]--; r.keysOf[key.operator] == 0 {
			delete(r.keysOf, key.operator)
		}
	}
}

// clean makes a stranger's bytes a text of at most limit bytes.
func clean(s string, limit int) string {
	// A little more than the limit, so that the cut below falls between two whole characters.
	s = strings.ToValidUTF8(s[:min(len(s), limit+utf8.UTFMax)], "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
