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

	mu      sync.Mutex
	samples map[sampleKey]*sampled
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
		samples: make(map[sampleKey]*sampled), answers: make(map[answerKey]*answer),
	}
}

// record keeps the rejects of one message.
func (r *rejectRecorder) record(from *sender, address wire.Address, topic string, payload []byte, received time.Time, refused []wire.Reject) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range refused {
		count := max(one.Count, 1)
		r.total.WithLabelValues(string(one.Reason)).Add(float64(count))
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
	if r.samples[key] == nil && len(r.samples) >= mostKeys {
		key.pile, reject.Pile = "", ""
	}
	s := r.samples[key]
	if s == nil {
		r.samples[key] = &sampled{since: reject.At, last: reject}
		reject.Sample = clean(string(payload[:min(len(payload), sampleBytes+utf8.UTFMax)]), sampleBytes)
		r.store(reject)
		return
	}
	s.count += reject.Count
	s.last = reject
}

func (r *rejectRecorder) store(reject journal.Reject) {
	if err := r.publish(reject); err != nil {
		// The counter has it; the log cannot take it now, and readings go first.
		r.log.Warn("reject is counted only", "reason", reject.Reason, "count", reject.Count, "err", err)
	}
}

// answer tells the sender, on the reject topic of its pile; where the topic names no pile of the
// sender's, on the one of its operator.
func (r *rejectRecorder) answer(from *sender, address wire.Address, topic string, received time.Time, refused []wire.Reject) {
	to := wire.RejectTopic(string(from.operator), wire.Many)
	if address.Pile != "" && from.speaksFor(address) {
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
			return nil
		case now := <-ticks.C:
			r.sweepAnswers(now)
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

// sweepSamples stores the count of every key that is due, and forgets it.
func (r *rejectRecorder) sweepSamples(due func(*sampled) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, s := range r.samples {
		if !due(s) {
			continue
		}
		if s.count > 0 {
			s.last.Count = s.count
			r.store(s.last)
		}
		delete(r.samples, key)
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
