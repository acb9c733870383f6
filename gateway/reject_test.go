package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/wire"
)

type answerPayload struct {
	Time    time.Time    `json:"time"`
	Rejects []answerItem `json:"rejects"`
	More    int          `json:"more"`
}

func parseAnswer(t testing.TB, payload []byte) answerPayload {
	t.Helper()
	var a answerPayload
	if err := json.Unmarshal(payload, &a); err != nil {
		t.Fatalf("answer %s: %v", payload, err)
	}
	return a
}

// answers writes down what senders are told: "topic xN" for N rejects, listed or counted.
type answers struct {
	mu  sync.Mutex
	all []string
}

func (a *answers) take(topic string, payload []byte) {
	var p answerPayload
	_ = json.Unmarshal(payload, &p)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, fmt.Sprintf("%s x%d", topic, len(p.Rejects)+p.More))
}

func (a *answers) drain() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.all
	a.all = nil
	return all
}

func inBubble(t *testing.T, test func(t *testing.T, r *rejectRecorder, book *rejectBook, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		book := &rejectBook{}
		r := newRejectRecorder(book.publish, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.run(ctx) }()
		stop := sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		defer stop()
		test(t, r, book, stop)
	})
}

func refuse(r *rejectRecorder, from *sender, topic, payload string, reason wire.Reason) {
	address, _ := wire.ParseTopic(topic)
	r.record(from, address, topic, []byte(payload), time.Now(), []wire.Reject{{Index: -1, Reason: reason}})
}

func TestRejectsAreSampledOnceAMinute(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rejectRecorder, book *rejectBook, stop func()) {
		told := func() []string {
			var all []string
			for _, one := range book.all() {
				all = append(all, fmt.Sprintf("%s %s %s x%d %s", one.Operator, one.Pile, one.Reason, one.Count, one.Sample))
			}
			return all
		}
		other := sender{operator: "OTHER", answer: func(string, []byte) {}}
		bridged := sender{operator: "OP", bridge: "b-1", broker: "tcp://b", answer: func(string, []byte) {}}
		for range 10 {
			refuse(r, &operatorOP, statusOfP1, "first", wire.BadJSON)
		}
		refuse(r, &bridged, statusOfP1, "by another way", wire.BadJSON) // the same pile and reason
		refuse(r, &operatorOP, statusOfP1, "too hot", wire.OutOfRange)
		refuse(r, &operatorOP, "evcs/v1/OP/P2/status", "second pile", wire.BadJSON)
		refuse(r, &other, "evcs/v1/OTHER/P1/status", "another operator", wire.BadJSON)
		want := []string{
			"OP P1 bad_json x1 first", "OP P1 out_of_range x1 too hot", "OP P2 bad_json x1 second pile", "OTHER P1 bad_json x1 another operator",
		}
		if diff := cmp.Diff(want, told()); diff != "" {
			t.Errorf("at once (-want +got):\n%s", diff)
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff(want, told()); diff != "" {
			t.Errorf("after 59 s (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want = append(want, "OP P1 bad_json x10 ")
		if diff := cmp.Diff(want, told()); diff != "" {
			t.Errorf("after a minute (-want +got):\n%s", diff)
		}
		for range 3 {
			refuse(r, &operatorOP, statusOfP1, "next minute", wire.BadJSON)
		}
		want = append(want, "OP P1 bad_json x1 next minute")
		if diff := cmp.Diff(want, told()); diff != "" {
			t.Errorf("in the next minute (-want +got):\n%s", diff)
		}
		stop()
		want = append(want, "OP P1 bad_json x2 ")
		if diff := cmp.Diff(want, told()); diff != "" {
			t.Errorf("at the end (-want +got):\n%s", diff)
		}
		if got := testutil.ToFloat64(r.total.WithLabelValues("bad_json")); got != 16 {
			t.Errorf("gateway_rejects_total{reason=bad_json}: got %v, want 16", got)
		}
		if got := testutil.ToFloat64(r.total.WithLabelValues("not_yours")); got != 0 {
			t.Errorf("gateway_rejects_total{reason=not_yours}: got %v, want 0", got)
		}
	})
}

func TestAnswersGoToTheTopicThatTheSenderMayRead(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rejectRecorder, _ *rejectBook, _ func()) {
		tests := []struct {
			name, pile, topic, want string
		}{
			{"its pile", "", statusOfP1, "evcs/v1/OP/P1/reject"},
			{"its pile, signed in by itself", "P1", statusOfP1, "evcs/v1/OP/P1/reject"},
			{"its many piles", "", statusOfMany, "evcs/v1/OP/-/reject"},
			{"another operator's pile", "", "evcs/v1/OTHER/P1/status", "evcs/v1/OP/-/reject"},
			{"its operator's other pile, which it may not read of", "P1", "evcs/v1/OP/P2/status", "evcs/v1/OP/P1/reject"},
			{"a topic of something else, signed in by itself", "P1", "lamp", "evcs/v1/OP/P1/reject"},
			{"a topic of its pile of no kind", "", "evcs/v1/OP/P1/weather", "evcs/v1/OP/P1/reject"},
			{"a pile that cannot be named", "", "evcs/v1/OP/P 1/status", "evcs/v1/OP/-/reject"},
			{"a topic of something else", "", "lamp", "evcs/v1/OP/-/reject"},
		}
		for _, tt := range tests {
			var got answers
			from := sender{operator: "OP", pile: tt.pile, answer: got.take}
			time.Sleep(2 * answerEvery)
			refuse(r, &from, tt.topic, "x", wire.BadJSON)
			synctest.Wait()
			if diff := cmp.Diff([]string{tt.want + " x1"}, got.drain()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
		}
	})
}

func TestAnswersAreAtMostOneASecondATopic(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rejectRecorder, _ *rejectBook, _ func()) {
		var got, bridged answers
		// Two connections of one operator publish their answers on the same topics.
		from := []sender{{operator: "OP", answer: got.take}, {operator: "OP", answer: got.take}}
		broker := sender{operator: "OP", bridge: "b-1", broker: "tcp://b", answer: bridged.take}
		for range 100 {
			for i := range from {
				refuse(r, &from[i], statusOfP1, "x", wire.BadJSON)
			}
		}
		refuse(r, &from[0], "evcs/v1/OP/P2/status", "x", wire.BadJSON)
		refuse(r, &broker, statusOfP1, "x", wire.BadJSON)
		synctest.Wait()
		want := []string{"evcs/v1/OP/P1/reject x1", "evcs/v1/OP/P2/reject x1"}
		if diff := cmp.Diff(want, sorted(got.drain())); diff != "" {
			t.Errorf("at once (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want[:1], bridged.drain()); diff != "" {
			t.Errorf("at the operator's broker (-want +got):\n%s", diff)
		}
		time.Sleep(answerEvery + sweepEvery)
		synctest.Wait()
		if diff := cmp.Diff([]string{"evcs/v1/OP/P1/reject x199"}, got.drain()); diff != "" {
			t.Errorf("a second later (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if left := got.drain(); len(left) != 0 {
			t.Errorf("later: got %v, want nothing", left)
		}
		if len(r.answers) != 0 || len(r.samples) != 0 {
			t.Errorf("%d answers and %d samples are kept for nobody", len(r.answers), len(r.samples))
		}
	})
}

func TestAFloodOfRejectsIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rejectRecorder, book *rejectBook, stop func()) {
		const operators, of = mostKeys/mostKeysOfOne + 2, mostKeysOfOne + 500
		for o := range operators {
			from := sender{operator: charge.OperatorID(fmt.Sprintf("O%d", o)), answer: func(string, []byte) {}}
			for i := range of {
				refuse(r, &from, fmt.Sprintf("evcs/v1/O%d/P%d/status", o, i), "x", wire.UnknownPile)
			}
			if n := r.keysOf[from.operator]; n > mostKeysOfOne+1 {
				t.Errorf("%s has %d samples open", from.operator, n)
			}
		}
		if len(r.samples) > mostKeys+operators || len(r.answers) > mostOpenAnswer {
			t.Errorf("%d samples and %d answers are open", len(r.samples), len(r.answers))
		}
		stop()
		counted := 0
		for _, one := range book.all() {
			counted += one.Count
		}
		if counted != operators*of {
			t.Errorf("%d rejects are counted in what is recorded, want %d", counted, operators*of)
		}
		if len(r.keysOf) != 0 {
			t.Errorf("%d operators are remembered in the end, want none", len(r.keysOf))
		}
	})
}

func TestTheFloodOfOneLeavesTheOthersTheirNames(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rejectRecorder, book *rejectBook, _ func()) {
		for i := range mostKeysOfOne + 10 {
			refuse(r, &operatorOP, fmt.Sprintf("evcs/v1/OP/P%d/status", i), "x", wire.UnknownPile)
		}
		other := sender{operator: "OTHER", answer: func(string, []byte) {}}
		refuse(r, &other, "evcs/v1/OTHER/P7/status", "x", wire.UnknownPile)
		all := book.all()
		if last := all[len(all)-1]; last.Operator != "OTHER" || last.Pile != "P7" {
			t.Errorf("recorded of the other: %+v, want its pile P7", last)
		}
	})
}

func TestWhatTheLogCannotTakeIsRecordedLater(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rejectRecorder, book *rejectBook, _ func()) {
		busy := true
		r.publish = func(one journal.Reject) error {
			if busy {
				return journal.ErrBusy
			}
			return book.publish(one)
		}
		for range 5 {
			refuse(r, &operatorOP, statusOfP1, "the payload", wire.BadJSON)
		}
		time.Sleep(2 * sampleEvery)
		r.mu.Lock()
		busy = false
		r.mu.Unlock()
		time.Sleep(2 * sweepEvery)
		all := book.all()
		if len(all) != 1 || all[0].Count != 5 {
			t.Errorf("recorded: %+v, want one record of 5", all)
		}
	})
}

func TestRejectsAreOneLineInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		full := func(journal.Reject) error { return journal.ErrBusy }
		r := newRejectRecorder(full, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.run(ctx) }()
		for i := range 1000 {
			refuse(r, &operatorOP, fmt.Sprintf("evcs/v1/OP/P%d/status", i), "x", wire.BadJSON)
		}
		time.Sleep(tellEvery + time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		got := log.String()
		for line, want := range map[string]int{"\n": 4, "messages cannot be used": 2, "rejects are recorded later": 2, "count=999": 2, "operator=OP reason=bad_json": 2} {
			if n := strings.Count(got, line); n != want {
				t.Errorf("%q is in the log %d times, want %d:\n%s", line, n, want, got)
			}
		}
	})
}

func TestASampleIsShortAndText(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rejectRecorder, book *rejectBook, _ func()) {
		refuse(r, &operatorOP, "evcs/v1/OP/P1/"+strings.Repeat("充", 1000), strings.Repeat("电", 1000)+"\xff", wire.BadTopic)
		refuse(r, &operatorOP, statusOfP1, "\xff\xfe", wire.BadJSON)
		for _, one := range book.all() {
			if len(one.Sample) > sampleBytes || !utf8.ValidString(one.Sample) {
				t.Errorf("sample of %d bytes: %.40q", len(one.Sample), one.Sample)
			}
			if len(one.Topic) > 256 || !utf8.ValidString(one.Topic) {
				t.Errorf("topic of %d bytes: %.40q", len(one.Topic), one.Topic)
			}
		}
	})
}

func TestAnAnswerListsAFewAndCountsTheRest(t *testing.T) {
	payloads := make(chan []byte, 1)
	from := sender{operator: "OP", answer: func(_ string, p []byte) { payloads <- p }}
	r := newRejectRecorder((&rejectBook{}).publish, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	refused := make([]wire.Reject, 20)
	for i := range refused {
		refused[i] = wire.Reject{Index: i, Reason: wire.BadStatus}
	}
	refused[19].Count = 81
	r.record(&from, wire.Address{Operator: "OP", Pile: "P1", Kind: charge.KindStatus}, statusOfP1, nil, noon, refused)
	got := parseAnswer(t, <-payloads)
	if len(got.Rejects) != answerDetails || got.More != 100-answerDetails {
		t.Errorf("got %d listed and %d more, want %d and %d", len(got.Rejects), got.More, answerDetails, 100-answerDetails)
	}
}
