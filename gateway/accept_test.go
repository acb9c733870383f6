package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/internal/wire"
)

// knownPiles is a registry of a few lines.
type knownPiles map[charge.PileID]*registry.Pile

func (k knownPiles) Pile(id charge.PileID) (*registry.Pile, bool) {
	p, ok := k[id]
	return p, ok
}

// somePiles are OP's P1 and P2 and OTHER's P1, each with the connectors 1 and 2.
func somePiles() knownPiles {
	k := make(knownPiles)
	for _, id := range []charge.PileID{{Operator: "OP", Equipment: "P1"}, {Operator: "OP", Equipment: "P2"}, {Operator: "OTHER", Equipment: "P1"}} {
		k[id] = &registry.Pile{
			ID: id, Station: &charge.Station{Township: "371721101"},
			Connectors: []charge.Connector{{ID: "1"}, {ID: "2"}},
		}
	}
	return k
}

// heldLog keeps what it is given, and says that it is stored when it is told to: at once, or
// at the test's word.
type heldLog struct {
	mu     sync.Mutex
	placed []journal.Placed
	hold   bool
	stored []func() // of messages held back, in the order they came
	came   chan struct{}
}

func newHeldLog(hold bool) *heldLog { return &heldLog{hold: hold, came: make(chan struct{}, 1<<20)} }

func (h *heldLog) Append(ctx context.Context, readings []journal.Placed, stored func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h.mu.Lock()
	h.placed = append(h.placed, readings...)
	hold := h.hold
	if hold {
		h.stored = append(h.stored, stored)
	}
	h.mu.Unlock()
	h.came <- struct{}{}
	if !hold {
		stored()
	}
	return nil
}

// take gives the stored functions that are held back, and forgets them.
func (h *heldLog) take() []func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.stored
	h.stored = nil
	return held
}

func (h *heldLog) readings() []charge.Reading {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]charge.Reading, len(h.placed))
	for i := range h.placed {
		all[i] = h.placed[i].Reading
	}
	return all
}

// told is a reading in one line.
func told(r charge.Reading) string {
	s := r.Pile.String() + "/" + string(r.Connector) + " " + r.Kind.String()
	if r.Tells(charge.HasStatus) {
		s += fmt.Sprintf(" %d", r.Status)
	}
	if r.Tells(charge.ClockWrong) {
		s += " clock"
	}
	if r.Tells(charge.HasOnline) {
		s += fmt.Sprintf(" online=%t", r.Online)
	}
	return s
}

// rejectBook writes down what rejects come to.
type rejectBook struct {
	mu      sync.Mutex
	records []journal.Reject
}

func (b *rejectBook) publish(r journal.Reject) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records = append(b.records, r)
	return nil
}

func (b *rejectBook) all() []journal.Reject {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.records)
}

func testAcceptor(piles directory, log appender, book *rejectBook) *acceptor {
	reg := prometheus.NewRegistry()
	return &acceptor{
		piles: piles, log: log, partition: func(charge.DivisionCode) int { return 3 },
		rejects: newRejectRecorder(book.publish, slog.New(slog.DiscardHandler), reg), metrics: newAcceptMetrics(reg),
	}
}

// refusals counts rejects by reason, as the metric does.
func refusals(a *acceptor) map[string]int {
	counts := make(map[string]int)
	for _, reason := range wire.Reasons() {
		if n := testutil.ToFloat64(a.rejects.total.WithLabelValues(string(reason))); n > 0 {
			counts[string(reason)] = int(n)
		}
	}
	return counts
}

var (
	noon         = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	operatorOP   = sender{operator: "OP", answer: func(string, []byte) {}}
	pileP1       = sender{operator: "OP", pile: "P1", answer: func(string, []byte) {}}
	idle         = `{"connector":"1","time":"2026-05-04T11:59:59Z","status":1}`
	statusOfP1   = "evcs/v1/OP/P1/status"
	statusOfMany = "evcs/v1/OP/-/status"
)

func TestAccept(t *testing.T) {
	thousand := func() string {
		var b strings.Builder
		for i := range 1000 {
			o := fmt.Sprintf(`{"pile":"P%d","connector":"1","time":%d,"status":1}`, 1+i%2, noon.UnixMilli()-int64(i))
			switch i {
			case 0:
				o = `{"pile":"P1","connector":"1","time":1777895999000,"status":7}`
			case 500:
				o = `{"pile":"P1","connector":"1","time":"yesterday","status":1}`
			case 999:
				o = `3`
			}
			b.WriteString("," + o)
		}
		return "[" + b.String()[1:] + "]"
	}
	tests := []struct {
		name    string
		from    sender
		topic   string
		payload string
		want    []string // of the readings handed to the log
		refused map[string]int
		verdict wire.Reason
	}{
		{"a pile's own status", pileP1, statusOfP1, idle, []string{"OP:P1/1 status 1"}, nil, ""},
		{"the operator's platform for one pile", operatorOP, statusOfP1, idle, []string{"OP:P1/1 status 1"}, nil, ""},
		{
			"the operator's platform for many piles", operatorOP, statusOfMany,
			`[{"pile":"P1","connector":"1","time":1777896000000,"status":3},{"pile":"P2","connector":"2","time":1777896000000,"status":255}]`,
			[]string{"OP:P1/1 status 3", "OP:P2/2 status 255"},
			nil, "",
		},
		{"a heartbeat for the whole pile", pileP1, "evcs/v1/OP/P1/heartbeat", `{"time":1777896000000,"online":false}`, []string{"OP:P1/ heartbeat online=false"}, nil, ""},
		{"an empty array says nothing, but its pile is heard", pileP1, statusOfP1, `[]`, []string{"OP:P1/ heard"}, map[string]int{"bad_json": 1}, wire.BadJSON},
		{"a topic of something else", operatorOP, "home/kitchen/lamp", idle, nil, map[string]int{"bad_topic": 1}, wire.BadTopic},
		{"no topic at all", operatorOP, "", idle, nil, map[string]int{"bad_topic": 1}, wire.BadTopic},
		{"our own pile on a topic of no kind is heard", operatorOP, "evcs/v1/OP/P1/weather", idle, []string{"OP:P1/ heard"}, map[string]int{"bad_topic": 1}, wire.BadTopic},
		{"a pile's own connection is heard whatever the topic", pileP1, "lamp", idle, []string{"OP:P1/ heard"}, map[string]int{"bad_topic": 1}, wire.BadTopic},
		{"another operator's pile", operatorOP, "evcs/v1/OTHER/P1/status", idle, nil, map[string]int{"not_yours": 1}, wire.NotYours},
		{"another operator's pile on a bad topic is not heard", operatorOP, "evcs/v1/OTHER/P1/weather", idle, nil, map[string]int{"bad_topic": 1}, wire.BadTopic},
		{"a pile that speaks for its neighbour is heard itself", pileP1, "evcs/v1/OP/P2/status", idle, []string{"OP:P1/ heard"}, map[string]int{"not_yours": 1}, wire.NotYours},
		{"a pile that speaks as the platform", pileP1, statusOfMany, `{"pile":"P1","connector":"1","time":1777896000000,"status":1}`, []string{"OP:P1/ heard"}, map[string]int{"not_yours": 1}, wire.NotYours},
		{"a pile nobody registered", operatorOP, "evcs/v1/OP/P9/status", idle, nil, map[string]int{"unknown_pile": 1}, wire.UnknownPile},
		{"a connector nobody registered", pileP1, statusOfP1, `{"connector":"9","time":1777896000000,"status":1}`, []string{"OP:P1/ heard"}, map[string]int{"unknown_connector": 1}, wire.UnknownGun},
		{"three unknown connectors are heard once", pileP1, statusOfP1, `[{"connector":"7","time":1777896000000,"status":1},{"connector":"8","time":1777896000000,"status":1},{"connector":"9","time":1777896000000,"status":1}]`, []string{"OP:P1/ heard"}, map[string]int{"unknown_connector": 3}, wire.UnknownGun},
		{"not JSON", pileP1, statusOfP1, `{"connector":`, []string{"OP:P1/ heard"}, map[string]int{"bad_json": 1}, wire.BadJSON},
		{"an empty payload", pileP1, statusOfP1, ``, []string{"OP:P1/ heard"}, map[string]int{"bad_json": 1}, wire.BadJSON},
		{"2 MiB", pileP1, statusOfP1, strings.Repeat(" ", 2<<20), []string{"OP:P1/ heard"}, map[string]int{"too_large": 1}, wire.TooLarge},
		{"an impossible number", pileP1, "evcs/v1/OP/P1/telemetry", `{"connector":"1","time":1777896000000,"power_kw":5000}`, []string{"OP:P1/ heard"}, map[string]int{"out_of_range": 1}, wire.OutOfRange},
		{"one bad gun does not take the other with it", pileP1, statusOfP1, `[{"connector":"1","time":1777896000000,"status":9},{"connector":"2","time":1777896000000,"status":1}]`, []string{"OP:P1/2 status 1"}, map[string]int{"bad_status": 1}, ""},
		{
			"a platform's bad object is heard for its own pile", operatorOP, statusOfMany,
			`[{"pile":"P1","connector":"1","time":1777896000000,"status":9},{"pile":"P2","connector":"2","time":1777896000000,"status":1},{"pile":"P9","connector":"2","time":1777896000000,"status":9}]`,
			[]string{"OP:P2/2 status 1", "OP:P1/ heard"},
			map[string]int{"bad_status": 2},
			"",
		},
		{"a clock a day ahead: history refuses it, its status counts", pileP1, statusOfP1, `{"connector":"1","time":"2026-05-05T12:00:00Z","status":255,"fault":"smoke"}`, []string{"OP:P1/1 status 255 clock"}, map[string]int{"bad_time": 1}, ""},
		{"a clock a day ahead on telemetry", pileP1, "evcs/v1/OP/P1/telemetry", `{"connector":"1","time":"2026-05-05T12:00:00Z","status":3,"power_kw":60}`, []string{"OP:P1/1 status 3 clock"}, map[string]int{"bad_time": 1}, ""},
		{"a clock a day ahead without a status", pileP1, "evcs/v1/OP/P1/telemetry", `{"connector":"1","time":"2026-05-05T12:00:00Z","power_kw":60}`, []string{"OP:P1/ heard"}, map[string]int{"bad_time": 1}, wire.BadTime},
		{"three bad objects of a thousand", operatorOP, statusOfMany, thousand(), nil, map[string]int{"bad_status": 1, "bad_time": 1, "bad_json": 1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log, book := newHeldLog(false), &rejectBook{}
			a := testAcceptor(somePiles(), log, book)
			var verdicts []verdict
			if err := a.accept(t.Context(), &tt.from, tt.topic, []byte(tt.payload), noon, func(v verdict) { verdicts = append(verdicts, v) }); err != nil {
				t.Fatal(err)
			}
			if len(verdicts) != 1 {
				t.Fatalf("stored was called %d times, want once", len(verdicts))
			}
			if got := verdicts[0].reason; got != tt.verdict {
				t.Errorf("verdict: got %q, want %q", got, tt.verdict)
			}
			var got []string
			for _, r := range log.readings() {
				got = append(got, told(r))
				if !r.Received.Equal(noon) {
					t.Errorf("%s: received %s, want %s", told(r), r.Received, noon)
				}
				if (r.Kind == charge.KindHeard || r.Tells(charge.ClockWrong)) && !r.At.Equal(noon) {
					t.Errorf("%s: at %s, want the gateway's %s", told(r), r.At, noon)
				}
			}
			if tt.name == "three bad objects of a thousand" {
				if len(got) != 997 {
					t.Errorf("%d readings, want 997", len(got))
				}
			} else if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("readings (-want +got):\n%s", diff)
			}
			want := tt.refused
			if want == nil {
				want = map[string]int{}
			}
			if diff := cmp.Diff(want, refusals(a)); diff != "" {
				t.Errorf("rejects (-want +got):\n%s", diff)
			}
			recorded := make(map[string]bool)
			for _, r := range book.all() {
				recorded[r.Reason] = true
			}
			for reason := range want {
				if !recorded[reason] {
					t.Errorf("no sample of %s is recorded", reason)
				}
			}
			for _, p := range log.placed {
				if p.Partition != 3 {
					t.Errorf("partition %d, want that of the township", p.Partition)
				}
			}
		})
	}
}

func TestAcceptWaitsForTheLogWithWhatIsOfUse(t *testing.T) {
	log := newHeldLog(true)
	a := testAcceptor(somePiles(), log, &rejectBook{})
	done := 0
	stored := func(verdict) { done++ }
	for _, tt := range []struct {
		name, topic, payload string
		want                 int // done before the log has it
	}{
		{"a good reading", statusOfP1, idle, 0},
		{"a bad one whose pile is heard", statusOfP1, "nonsense", 0},
		{"one of no use", "evcs/v1/OP/P9/status", idle, 1},
	} {
		done = 0
		if err := a.accept(t.Context(), &operatorOP, tt.topic, []byte(tt.payload), noon, stored); err != nil {
			t.Fatal(err)
		}
		if done != tt.want {
			t.Errorf("%s: done %d times before it is stored, want %d", tt.name, done, tt.want)
		}
		for _, tell := range log.take() {
			tell()
		}
		if done != 1 {
			t.Errorf("%s: done %d times in the end, want once", tt.name, done)
		}
	}
}

func TestAcceptEndsWithItsContext(t *testing.T) {
	log := newHeldLog(false)
	a := testAcceptor(somePiles(), log, &rejectBook{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, topic := range []string{statusOfP1, "lamp"} {
		err := a.accept(ctx, &operatorOP, topic, []byte(idle), noon, func(verdict) { t.Errorf("%s is acknowledged after the end", topic) })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("accept on %s after the end: got %v", topic, err)
		}
	}
}

// Each pile of a payload is heard, also of one with so many bad objects that not each is named.
func TestEveryPileOfABadPayloadIsHeard(t *testing.T) {
	piles, log := somePiles(), newHeldLog(false)
	var payload []string
	const n = 300
	for i := range n {
		id := charge.PileID{Operator: "OP", Equipment: fmt.Sprintf("M%d", i)}
		piles[id] = &registry.Pile{ID: id, Station: &charge.Station{Township: "371721101"}}
		payload = append(payload, fmt.Sprintf(`{"pile":"M%d","connector":"1"}`, i)) // without a time
	}
	a := testAcceptor(piles, log, &rejectBook{})
	from := sender{operator: "OP", answer: func(string, []byte) {}}
	if err := a.accept(t.Context(), &from, statusOfMany, []byte("["+strings.Join(payload, ",")+"]"), time.Now(), func(verdict) {}); err != nil {
		t.Fatal(err)
	}
	heard := make(map[charge.PileID]int)
	for _, r := range log.readings() {
		if r.Kind == charge.KindHeard {
			heard[r.Pile]++
		}
	}
	if len(heard) != n {
		t.Errorf("%d piles are heard, want %d", len(heard), n)
	}
	for id, times := range heard {
		if times != 1 {
			t.Errorf("%s is heard %d times, want once", id, times)
		}
	}
}

// The judge of the old township's partition has the station until the day ends, and the new one's from then on.
func TestAStationThatMovesIsOfItsOldPartitionUntilTheDayOfTheMove(t *testing.T) {
	piles, log := somePiles(), newHeldLog(false)
	moves := time.Date(2025, 3, 10, 0, 0, 0, 0, charge.Zone)
	for _, p := range piles {
		p.Station.Township = "371721102"
		p.Station.Past = &charge.StationPast{Terms: []charge.StationTerms{{Township: "371721101"}, {From: moves, Township: "371721102"}}}
	}
	a := testAcceptor(piles, log, &rejectBook{})
	a.partition = func(c charge.DivisionCode) int { return int(c[8] - '0') }
	pile := sender{operator: "OP", pile: "P1", answer: func(string, []byte) {}}
	for _, at := range []time.Time{moves.Add(-time.Second), moves} {
		for _, payload := range []string{fmt.Sprintf(`{"connector":"1","time":%d,"status":1}`, at.UnixMilli()), "nonsense"} {
			if err := a.accept(t.Context(), &pile, "evcs/v1/OP/P1/status", []byte(payload), at, func(verdict) {}); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.presence(t.Context(), &pile, charge.KindConnected, 1, at); err != nil {
			t.Fatal(err)
		}
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	var got []int
	for _, p := range log.placed {
		got = append(got, p.Partition)
	}
	if want := []int{1, 1, 1, 2, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("partitions of a status, a reject and a connection before and after: got %v, want %v", got, want)
	}
}

func TestRejectNamesTheObject(t *testing.T) {
	tests := []struct {
		name, payload string
		want          []answerItem
	}{
		{
			"the third of three", `[{"connector":"1","time":1777896000000,"status":1},{"connector":"2","time":1777896000000,"status":1},{"connector":"9","time":1777896000000,"status":1}]`,
			[]answerItem{{Index: 2, Pile: "P1", Connector: "9", Reason: wire.UnknownGun}},
		},
		{
			"behind a bad one only its name is sure", `[{"connector":"1","time":1777896000000,"status":8},{"connector":"9","time":1777896000000,"status":1}]`,
			[]answerItem{{Index: 0, Pile: "P1", Connector: "1", Reason: wire.BadStatus}, {Index: -1, Pile: "P1", Connector: "9", Reason: wire.UnknownGun}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answers := make(chan []byte, 1)
			from := sender{operator: "OP", answer: func(_ string, payload []byte) { answers <- payload }}
			a := testAcceptor(somePiles(), newHeldLog(false), &rejectBook{})
			if err := a.accept(t.Context(), &from, statusOfP1, []byte(tt.payload), noon, func(verdict) {}); err != nil {
				t.Fatal(err)
			}
			got := parseAnswer(t, <-answers)
			for i := range got.Rejects {
				got.Rejects[i].Topic, got.Rejects[i].Detail = "", ""
			}
			if diff := cmp.Diff(tt.want, got.Rejects); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzAccept(f *testing.F) {
	f.Add(statusOfP1, []byte(idle))
	f.Add(statusOfMany, []byte(`[{"pile":"P1","connector":"1","time":1777896000000,"status":1},3,{"pile":"P9"}]`))
	f.Add("evcs/v1/OP/P1/telemetry", []byte(`{"connector":"2","time":"2026-05-05T12:00:00Z","status":3,"power_kw":1e400}`))
	f.Add("evcs/v1/OP/P1/heartbeat", []byte(`{"time":1777896000000,"session":1,"online":true}`))
	f.Add("evcs/v1/OTHER/P1/order", []byte(`{}`))
	f.Add("evcs/v1/OP/P1/reject", []byte("\xff\x00"))
	f.Add("$SYS/broker", []byte{})
	known := make(map[string]bool)
	for _, reason := range wire.Reasons() {
		known[string(reason)] = true
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		for _, from := range []sender{operatorOP, pileP1} {
			log, book := newHeldLog(false), &rejectBook{}
			a := testAcceptor(somePiles(), log, book)
			done := 0
			var v verdict
			if err := a.accept(t.Context(), &from, topic, payload, noon, func(said verdict) { v = said; done++ }); err != nil {
				t.Fatal(err)
			}
			if done != 1 {
				t.Fatalf("stored %d times, want once", done)
			}
			readings, heard := 0, 0
			for _, p := range log.placed {
				if p.Reading.Pile.Operator != from.operator || (from.pile != "" && p.Reading.Pile.Equipment != from.pile) {
					t.Fatalf("a reading of %s from %+v", p.Reading.Pile, from)
				}
				if p.Reading.Kind == charge.KindHeard {
					heard++
				} else {
					readings++
				}
			}
			refused := 0
			for _, n := range refusals(a) {
				refused += n
			}
			if heard > 0 && refused == 0 {
				t.Fatalf("heard %d times, and nothing refused", heard)
			}
			address, err := wire.ParseTopic(topic)
			switch {
			case err != nil || !from.speaksFor(address):
				if refused != 1 || readings != 0 {
					t.Fatalf("topic %q: %d readings, %d refused, want 0 and 1", topic, readings, refused)
				}
			default: // every object of the payload is one of both, or both where its clock is ahead
				good, bad, _ := wire.Decode(address, payload, noon)
				objects := len(good)
				for _, r := range bad {
					objects += max(r.Count, 1)
				}
				if readings+refused != objects {
					t.Fatalf("%d readings and %d refused of %d", readings, refused, objects)
				}
			}
			if (v.reason != "") != (readings == 0 && refused > 0) {
				t.Fatalf("verdict %q with %d readings and %d refused", v.reason, readings, refused)
			}
			for _, r := range book.all() {
				if !known[r.Reason] || r.Operator != string(from.operator) {
					t.Fatalf("recorded as %+v", r)
				}
			}
		}
	})
}
