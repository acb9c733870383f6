package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

// A message is what the server says; Data is read by what the topic is about.
type message struct {
	Type    string
	Topic   string
	Version uint64
	Data    json.RawMessage
	Title   string
}

// A watcherConn is a browser's WebSocket.
type watcherConn struct {
	*websocket.Conn
	t *testing.T
}

// dial opens a WebSocket; header may carry an origin, a token or a cookie.
func (s *site) dial(t *testing.T, header http.Header) *watcherConn {
	t.Helper()
	conn, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(s.url, "http")+"/ws", header)
	if err != nil {
		t.Fatalf("open /ws: %v (%v)", err, res)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the test may have closed it
	return &watcherConn{conn, t}
}

func (s *site) bearer() http.Header {
	return http.Header{"Authorization": {"Bearer " + s.token.token}}
}

func (c *watcherConn) send(a ask) {
	c.t.Helper()
	if err := c.WriteJSON(a); err != nil {
		c.t.Fatalf("send %v: %v", a, err)
	}
}

func (c *watcherConn) subscribe(topics ...string) {
	c.t.Helper()
	c.send(ask{Subscribe: topics})
}

// read gives the next message or the error that ended the connection; greetings and heartbeats are passed over.
func (c *watcherConn) read() (message, error) {
	for {
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return message{}, err
		}
		_, text, err := c.ReadMessage()
		if err != nil {
			return message{}, err
		}
		var m message
		if err := json.Unmarshal(text, &m); err != nil {
			return message{}, fmt.Errorf("%w in %s", err, text)
		}
		if m.Type != "hello" && m.Type != "ping" {
			return m, nil
		}
	}
}

// next wants a message of a type and reads its data into v, unless that is nil.
func (c *watcherConn) next(kind string, v any) message {
	c.t.Helper()
	m, err := c.read()
	if err != nil {
		c.t.Fatalf("waiting for a %s: %v", kind, err)
	}
	if m.Type != kind {
		c.t.Fatalf("got a %s of %s (version %d, %q, %.300s), want a %s", m.Type, m.Topic, m.Version, m.Title, m.Data, kind)
	}
	if v != nil {
		if err := json.Unmarshal(m.Data, v); err != nil {
			c.t.Fatalf("%s of %s: %v", m.Type, m.Topic, err)
		}
	}
	return m
}

// closed reads until the connection ends and wants its close code.
func (c *watcherConn) closed(code int) {
	c.t.Helper()
	for {
		_, err := c.read()
		if err == nil {
			continue
		}
		var end *websocket.CloseError
		if !errors.As(err, &end) || end.Code != code {
			c.t.Errorf("the connection ended with: got %v, want close code %d", err, code)
		}
		return
	}
}

// town is the state of a town with so many usable connectors; none makes it failing.
func town(code charge.DivisionCode, usable int) charge.TownshipState {
	s := charge.TownshipState{Township: code, State: charge.Effective, Since: noon, Reason: "usable", Stations: 1, Connectors: 9, Usable: usable, Online: usable, PowerKW: float64(usable) * 7.1}
	if usable == 0 {
		s.State, s.Reason = charge.Failing, "all_offline"
	}
	return s
}

func changeOf(towns ...charge.TownshipState) journal.Change {
	return journal.Change{At: noon, Townships: towns}
}

func fault(n int, township charge.DivisionCode) charge.Event {
	return charge.Event{ID: fmt.Sprintf("0-%d-0", n), At: noon, Kind: charge.ConnectorFault, Township: township, Fault: "insulation"}
}

func codes(v coverageView) []charge.DivisionCode {
	all := []charge.DivisionCode{}
	for _, c := range v.Children {
		all = append(all, c.Division)
	}
	return all
}

func TestASubscriptionGivesASnapshotAndThenDeltas(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	c := s.dial(t, nil)
	c.subscribe("coverage:371721", "coverage:3717:streets")
	var counties, streets coverageView
	byTopic := map[string]*coverageView{"coverage:371721": &counties, "coverage:3717:streets": &streets}
	for range byTopic {
		m := c.next("snapshot", nil)
		if err := json.Unmarshal(m.Data, byTopic[m.Topic]); err != nil {
			t.Fatal(err)
		}
	}
	if len(counties.Children) != 21 || counties.Total != 21 || counties.Effective != 0 {
		t.Errorf("snapshot of 曹县: got %d children, total %d, effective %d, want 21, 21 and 0", len(counties.Children), counties.Total, counties.Effective)
	}
	if streets.Tier != "streets" || len(streets.Children) == 0 {
		t.Errorf("snapshot of 菏泽's streets: got tier %q with %d children", streets.Tier, len(streets.Children))
	}
	c.send(ask{Unsubscribe: []string{"coverage:3717:streets"}, Subscribe: []string{"coverage:3702"}})
	c.next("snapshot", nil) // so the other is no longer subscribed to
	seq := s.feed.publish(changeOf(town("371721101", 2), town("371721001", 1)))
	var delta coverageView
	m := c.next("delta", &delta)
	if m.Topic != "coverage:371721" || m.Version != seq || delta.Version != seq {
		t.Errorf("delta: got version %d of %s, want %d of coverage:371721", m.Version, m.Topic, seq)
	}
	if diff := cmp.Diff([]charge.DivisionCode{"371721101"}, codes(delta)); diff != "" {
		t.Errorf("a delta's children are those that changed, and a street is none of the towns' (-want +got):\n%s", diff)
	}
	if delta.Effective != 1 || delta.Children[0].State != charge.Effective || delta.Children[0].Connectors.Usable != 2 {
		t.Errorf("delta: got effective %d, child %+v, want 1 and its 2 usable connectors", delta.Effective, delta.Children[0])
	}
}

func TestAnUnchangedStateIsNoDelta(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	c := s.dial(t, nil)
	c.subscribe("coverage:371721")
	c.next("snapshot", nil)
	s.feed.publish(changeOf(town("371721101", 2)))
	c.next("delta", nil)
	s.feed.publish(changeOf(town("371721101", 2))) // a repeat
	s.feed.publish(changeOf(town("370102001", 2))) // elsewhere
	seq := s.feed.publish(changeOf(town("371721102", 2)))
	if m := c.next("delta", nil); m.Version != seq {
		t.Errorf("got a delta of version %d, want the next one at %d: a repeat and another city's change say nothing here", m.Version, seq)
	}
}

func TestChildrenOfEveryMessageAddUpToTheirParent(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	topics := []string{"coverage:37", "coverage:37:all", "coverage:3717", "coverage:371721", "coverage:371721:all"}
	c := s.dial(t, nil)
	c.subscribe(topics...)
	towns := s.coverage.list("3717", tierAll, func(charge.CoverageState) bool { return true })
	const changes = 2000
	go func() {
		for i := range changes {
			d := towns[i*37%len(towns)].Division
			if i%3 == 0 {
				d = charge.DivisionCode(fmt.Sprintf("371721%03d", 100+i%20))
			}
			s.feed.publish(changeOf(town(d, i%4)))
		}
	}()
	seen := map[string]coverageView{}
	children := map[string]map[charge.DivisionCode]counts{}
	last := func() bool {
		for _, name := range topics {
			if seen[name].Version < changes {
				return false
			}
		}
		return true
	}
	for !last() {
		m, err := c.read()
		if err != nil {
			t.Fatalf("before the last change came to all topics: %v", err)
		}
		var v coverageView
		if err := json.Unmarshal(m.Data, &v); err != nil {
			t.Fatal(err)
		}
		if v.Version != m.Version {
			t.Errorf("%s: got version %d in the data, want the message's %d", m.Topic, v.Version, m.Version)
		}
		if m.Type == "snapshot" {
			children[m.Topic] = map[charge.DivisionCode]counts{}
		}
		for _, child := range v.Children {
			children[m.Topic][child.Division] = child.counts
		}
		seen[m.Topic] = v
		sum := counts{}
		for _, child := range children[m.Topic] {
			sum = plus(sum, child)
		}
		// Power in kW is compared as whole watts; the rest is whole anyway.
		if diff := cmp.Diff(watts(v.counts), watts(sum)); diff != "" {
			t.Fatalf("%s of %s at %d: the children do not add up (-parent +sum):\n%s", m.Type, m.Topic, m.Version, diff)
		}
	}
	for _, name := range topics {
		division, tierName, _ := strings.Cut(strings.TrimPrefix(name, "coverage:"), ":")
		var asked coverageView
		s.get(t, "/api/v1/coverage?division="+division+"&tier="+tierName, &asked)
		if diff := cmp.Diff(watts(asked.counts), watts(seen[name].counts)); diff != "" {
			t.Errorf("%s after the last delta and GET /coverage differ (-asked +told):\n%s", name, diff)
		}
	}
}

func plus(a, b counts) counts {
	return counts{
		a.Total + b.Total, a.Nominal + b.Nominal, a.Effective + b.Effective, a.Failing + b.Failing, a.Unverified + b.Unverified, a.Starting + b.Starting,
		a.None + b.None, a.Paper + b.Paper, a.NotObserved + b.NotObserved, a.Proven + b.Proven, a.Stations + b.Stations,
		connectorCounts{
			a.Connectors.Public + b.Connectors.Public, a.Connectors.Online + b.Connectors.Online, a.Connectors.Usable + b.Connectors.Usable,
			a.Connectors.Charging + b.Connectors.Charging, a.Connectors.Fault + b.Connectors.Fault, a.Connectors.PowerKW + b.Connectors.PowerKW,
		},
	}
}

func watts(c counts) counts {
	c.Connectors.PowerKW = float64(int64(c.Connectors.PowerKW*1000 + 0.5))
	return c
}

func TestAClientThatComesBackGetsWhatItMissed(t *testing.T) {
	s := openSite(t, Config{Public: true}, func(s *site) { s.feed.publish(journal.Change{At: noon}) })
	for i, code := range []charge.DivisionCode{"371721101", "371721102", "370102001", "371721103"} {
		c := changeOf(town(code, 1))
		c.Events = []charge.Event{fault(i+2, code)}
		s.feed.publish(c) // 2 to 5
	}
	eventually(t, "all changes are in", func() bool { return s.version() == 5 })
	for _, tt := range []struct {
		name, topic string
		version     uint64
		kind        string
		want        []string // children or events
	}{
		{"all but the first change", "coverage:371721", 2, "delta", []string{"371721102", "371721103"}},
		{"nothing missed", "coverage:371721", 5, "delta", nil},
		{"only another city's change missed", "coverage:371721", 4, "delta", []string{"371721103"}},
		{"from before the start of this dashboard", "coverage:371721", 0, "snapshot", nil},
		{"from a log that has begun anew", "coverage:371721", 99, "snapshot", nil},
		{"the province's cities", "coverage:37", 3, "delta", []string{"3701", "3717"}},
		{"events, newest first", "events:37", 2, "delta", []string{"0-5-0", "0-4-0", "0-3-0"}},
		{"events of a county", "events:371721", 2, "delta", []string{"0-5-0", "0-3-0"}},
		{"no event missed", "events:37", 5, "delta", nil},
		{"events from a log that has begun anew", "events:37", 99, "snapshot", []string{"0-5-0", "0-4-0", "0-3-0", "0-2-0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t, nil)
			c.send(ask{Subscribe: []string{tt.topic}, Versions: map[string]uint64{tt.topic: tt.version}})
			var v struct {
				Children []struct{ Division string }
				Events   []struct{ ID string }
			}
			m := c.next(tt.kind, &v)
			if m.Version != 5 {
				t.Errorf("%s since %d: got version %d, want 5", tt.topic, tt.version, m.Version)
			}
			var got []string
			for _, child := range v.Children {
				got = append(got, child.Division)
			}
			for _, e := range v.Events {
				got = append(got, e.ID)
			}
			if tt.want == nil && tt.kind == "snapshot" {
				if len(v.Children) != 21 {
					t.Errorf("%s since %d: got %d children, want all 21", tt.topic, tt.version, len(v.Children))
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s since %d (-want +got):\n%s", tt.topic, tt.version, diff)
			}
		})
	}
}

func TestNoEventIsToldTwiceNorMissedOverReconnects(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	const events = 140 // in sevens
	told := map[string]int{}
	var version uint64
	connections := 0
	c, published := s.dial(t, nil), 0
	for reads := 0; version < events; reads++ {
		for version == uint64(published) { // nothing is to come: let more happen
			for range 7 {
				published++
				s.feed.publish(journal.Change{At: noon, Events: []charge.Event{fault(published, "371721101")}})
			}
		}
		if reads%3 == 0 { // come back with the version of the last message
			_ = c.Close()
			c = s.dial(t, nil)
			a := ask{Subscribe: []string{"events:3717"}}
			if connections > 0 {
				a.Versions = map[string]uint64{"events:3717": version}
			}
			c.send(a)
			connections++
		}
		var v eventsView
		m, err := c.read()
		if err != nil {
			t.Fatalf("after version %d: %v", version, err)
		}
		if err := json.Unmarshal(m.Data, &v); err != nil {
			t.Fatal(err)
		}
		if m.Type == "snapshot" { // instead of what came before
			clear(told)
		}
		for _, e := range v.Events {
			told[e.ID]++
		}
		version = m.Version
	}
	for i := 1; i <= events; i++ {
		if got := told[fmt.Sprintf("0-%d-0", i)]; got != 1 {
			t.Errorf("event %d was told %d times over %d connections, want once", i, got, connections)
		}
	}
	for id, n := range told {
		if n != 1 {
			t.Errorf("event %s was told %d times, want once", id, n)
		}
	}
}

func TestEventsThatTheLogNoLongerHoldsAreNotSkippedInSilence(t *testing.T) {
	r := &recent{}
	r.restart(100, 500)
	r.addEvents(500, []charge.Event{fault(500, "371721101")}) // 101 to 499 have been discarded
	for _, tt := range []struct {
		name    string
		version uint64
		ok      bool
	}{
		{"came back before they were discarded", 100, false},
		{"missed some of them", 498, false},
		{"missed only what is here", 499, true},
		{"missed nothing", 500, true},
	} {
		if _, ok := r.eventsOf(everyEvent, "37", tt.version, 500, eventsAtMost); ok != tt.ok {
			t.Errorf("%s: since %d: got ok %v, want %v", tt.name, tt.version, ok, tt.ok)
		}
	}
}

func TestTooManyEventsForADeltaAreASnapshotOfTheNewest(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	c := s.dial(t, nil)
	c.subscribe("events:37")
	c.next("snapshot", nil)
	var many []charge.Event
	for i := range eventsAtMost + 100 {
		many = append(many, fault(i, "371721101"))
	}
	seq := s.feed.publish(journal.Change{At: noon, Events: many})
	var v eventsView
	m := c.next("snapshot", &v)
	if want := fmt.Sprintf("0-%d-0", eventsAtMost+99); m.Version != seq || len(v.Events) != eventsAtMost || v.Events[0].ID != want {
		t.Errorf("got version %d and %d events, first %s, want %d, %d and %s", m.Version, len(v.Events), v.Events[0].ID, seq, eventsAtMost, want)
	}
	// Whoever missed them all gets the same.
	back := s.dial(t, nil)
	back.send(ask{Subscribe: []string{"events:37"}, Versions: map[string]uint64{"events:37": seq - 1}})
	back.next("snapshot", nil)
}

func TestWhatCannotBeHadIsRefusedByName(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	c := s.dial(t, nil)
	for _, topic := range []string{
		"coverage:99", "coverage:", "coverage:37:towns", "coverage:37:x", "coverage:037", "events:99", "events:", "load:37", "cases:37", "", "37",
		"pile:MA3CLQP01", "pile:MA3CLQP01:P9", "pile:MA3CLQP02:HOME", "pile:" + evil,
	} {
		c.subscribe(topic)
		m := c.next("error", nil)
		if m.Topic != topic || m.Title != "no such topic" {
			t.Errorf("subscribe %q: got %q for topic %q, want no such topic", topic, m.Title, m.Topic)
		}
	}
	for _, text := range []string{"{", "[]", `"coverage:37"`, `{"subscribe":"coverage:37"}`} {
		if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if m := c.next("error", nil); m.Topic != "" || m.Title == "" {
			t.Errorf("send %s: got %+v, want an error that says why", text, m)
		}
	}
	c.subscribe("coverage:37")
	c.next("snapshot", nil) // and the connection goes on
}

func TestPilesAtHomeAreForWhoHasSignedIn(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	const topic = "pile:MA3CLQP02:HOME"
	home := charge.PileID{Operator: "MA3CLQP02", Equipment: "HOME"}
	in := s.dial(t, s.bearer())
	in.subscribe(topic)
	in.next("snapshot", nil)
	// The topic is there now; a stranger does not get it all the same.
	out := s.dial(t, nil)
	out.send(ask{Subscribe: []string{topic}, Versions: map[string]uint64{topic: 0}})
	if m := out.next("error", nil); m.Title != "no such topic" {
		t.Errorf("signed out: got %q, want no such topic", m.Title)
	}
	s.feed.watched(home, charge.LiveConnector{Connector: "1", Status: "charging", StatusCode: charge.Charging})
	in.next("delta", nil)
	out.subscribe("coverage:37")
	if m := out.next("snapshot", nil); m.Topic != "coverage:37" {
		t.Errorf("signed out: got a message of %s, want coverage:37 to be the next", m.Topic)
	}
}

func TestAPilesLiveValues(t *testing.T) {
	s := openSite(t, Config{Public: true}, func(s *site) { told(t, s) })
	pile := charge.PileID{Operator: "MA3CLQP01", Equipment: "P1"}
	kw := func(v float64) *float64 { return &v }
	first := s.dial(t, nil)
	first.subscribe("pile:MA3CLQP01:P1")
	var v pileView
	first.next("snapshot", &v)
	if len(v.Connectors) != 2 || v.Connectors[0].Status != "charging" || v.Connectors[0].PowerKW != nil || !v.Connectors[1].Silent {
		t.Errorf("snapshot: got %+v, want what the registry knows of both connectors", v.Connectors)
	}
	if !s.feed.watched(pile, charge.LiveConnector{Connector: "1", At: noon, Status: "charging", StatusCode: charge.Charging, PowerKW: kw(61.5)}) {
		t.Fatal("nobody watches the pile")
	}
	first.next("delta", &v)
	if len(v.Connectors) != 1 || v.Connectors[0].Connector != "1" || *v.Connectors[0].PowerKW != 61.5 {
		t.Errorf("delta: got %+v, want connector 1 alone with its 61.5 kW", v.Connectors)
	}
	second := s.dial(t, nil)
	second.subscribe("pile:MA3CLQP01:P1")
	second.next("snapshot", &v)
	if len(v.Connectors) != 2 || v.Connectors[0].PowerKW == nil || *v.Connectors[0].PowerKW != 61.5 {
		t.Errorf("a later watcher's snapshot: got %+v, want the newest values too", v.Connectors)
	}
	var asked struct {
		Live map[string]charge.LiveConnector
	}
	s.get(t, "/api/v1/piles/MA3CLQP01:P1", &asked)
	if got := asked.Live["1"].PowerKW; got == nil || *got != 61.5 {
		t.Errorf("GET /piles while it is watched: got %v kW, want 61.5", got)
	}
	// The one that came first goes; the other still gets what comes.
	first.send(ask{Unsubscribe: []string{"pile:MA3CLQP01:P1"}})
	first.subscribe("coverage:37")
	first.next("snapshot", nil)
	s.feed.watched(pile, charge.LiveConnector{Connector: "2", At: noon, Status: "idle", StatusCode: charge.Idle})
	second.next("delta", &v)
	if len(v.Connectors) != 1 || v.Connectors[0].Connector != "2" {
		t.Errorf("delta after the first watcher left: got %+v, want connector 2", v.Connectors)
	}
	_ = second.Close()
	eventually(t, "nobody watches the pile any more", func() bool { return !s.feed.watched(pile) })
}

func TestLimitsOfOneConnection(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	counties := slices.Sorted(maps.Keys(s.coverage.places))[:topicsPerClient+2]
	topics := make([]string, len(counties))
	for i, code := range counties {
		topics[i] = "coverage:" + string(code)
	}
	t.Run("topics", func(t *testing.T) {
		c := s.dial(t, nil)
		c.subscribe(topics...)
		snapshots, refused := 0, []string{}
		for range topics {
			m, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			if m.Type == "error" {
				refused = append(refused, m.Topic+": "+m.Title)
			} else {
				snapshots++
			}
		}
		want := []string{topics[64] + ": at most 64 topics for one connection", topics[65] + ": at most 64 topics for one connection"}
		if diff := cmp.Diff(want, refused); snapshots != topicsPerClient || diff != "" {
			t.Errorf("subscribed to %d topics: got %d snapshots, want %d; refused (-want +got):\n%s", len(topics), snapshots, topicsPerClient, diff)
		}
		c.subscribe("pile:MA3CLQP01:P1")
		if m := c.next("error", nil); !strings.Contains(m.Title, "at most 64 topics") {
			t.Errorf("a pile on top: got %q, want the limit named", m.Title)
		}
		c.send(ask{Unsubscribe: topics[:1], Subscribe: []string{"pile:MA3CLQP01:P1"}})
		c.next("snapshot", nil)
	})
	t.Run("piles looked up", func(t *testing.T) {
		c := s.dial(t, nil)
		begun, looked, refused := time.Now(), 0, 0
		for i := range 40 { // well within the messages that it may send
			var names []string
			for j := range 10 {
				names = append(names, fmt.Sprintf("pile:MA3CLQP01:NONE-%d-%d", i, j))
			}
			c.send(ask{Subscribe: names, Unsubscribe: names})
			for range names {
				switch m := c.next("error", nil); m.Title {
				case string(noTopic):
					looked++
				case string(errTooManyLooks):
					refused++
				default:
					t.Fatalf("refused with %q", m.Title)
				}
			}
		}
		if most := lookBurst + int(lookRate*(time.Since(begun)+time.Second).Seconds()); looked > most || looked < lookBurst || refused == 0 {
			t.Errorf("%d piles are looked up for one client, and %d refused; want %d at once and %d a second", looked, refused, lookBurst, lookRate)
		}
	})
	t.Run("size of a message", func(t *testing.T) {
		c := s.dial(t, nil)
		c.send(ask{Subscribe: []string{strings.Repeat("x", clientMessage)}})
		c.closed(websocket.CloseMessageTooBig)
	})
	t.Run("messages a second", func(t *testing.T) {
		c := s.dial(t, nil)
		for range askBurst {
			c.send(ask{})
		}
		c.subscribe("coverage:37")
		for range 10 * askBurst { // far more than what becomes free meanwhile
			if c.WriteJSON(ask{}) != nil {
				break // it has been ended already
			}
		}
		c.closed(websocket.ClosePolicyViolation)
	})
	eventually(t, "all have left", func() bool { s.hub.mu.Lock(); defer s.hub.mu.Unlock(); return len(s.hub.clients) <= 1 })
}

func TestClientsAreAtMostSoMany(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	out := func() (viewer, error) { return viewer{}, nil }
	for i := range clientsAtMost {
		if !s.hub.join(newClient(nil, out)) {
			t.Fatalf("client %d was refused, want %d let in", i+1, clientsAtMost)
		}
	}
	c := s.dial(t, nil)
	c.closed(websocket.CloseTryAgainLater)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	clear(s.hub.clients)
}

func TestWhoMayOpenAWebSocket(t *testing.T) {
	public, closed := openSite(t, Config{Public: true}, nil), openSite(t, Config{}, nil)
	for _, tt := range []struct {
		name   string
		site   *site
		header http.Header
		status int
	}{
		{"the page itself", public, http.Header{"Origin": {public.url}}, http.StatusSwitchingProtocols},
		{"a program without an origin", public, nil, http.StatusSwitchingProtocols},
		{"another site's page", public, http.Header{"Origin": {"http://other.example"}}, http.StatusForbidden},
		{"the same host on another port", public, http.Header{"Origin": {closed.url}}, http.StatusForbidden},
		{"a stranger where a sign-in is wanted", closed, nil, http.StatusUnauthorized},
		{"with a wrong token", closed, http.Header{"Authorization": {"Bearer x"}}, http.StatusUnauthorized},
		{"who has signed in", closed, closed.bearer(), http.StatusSwitchingProtocols},
		{"another site's page with the cookie", closed, http.Header{"Origin": {"http://other.example"}, "Cookie": {cookieOf(t, closed, time.Hour)}}, http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, res, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(tt.site.url, "http")+"/ws", tt.header)
			if err == nil {
				noError(t, conn.Close())
			}
			if res == nil || res.StatusCode != tt.status {
				t.Errorf("got %v and %v, want status %d", res, err, tt.status)
			}
		})
	}
}

// cookieOf is a Cookie header that signs in for so long.
func cookieOf(t *testing.T, s *site, lasts time.Duration) string {
	t.Helper()
	secret, err := s.registry.OpenTokenSession(t.Context(), s.token.sum, lasts, registry.Actor{Name: tokenFile})
	if err != nil {
		t.Fatal(err)
	}
	return cookieName + "=" + secret
}

func TestClientsAreToldWhenTheDashboardStops(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	d, err := New(&Config{HTTP: "127.0.0.1:0", Public: true}, t.TempDir(), Sources{s.divisions, s.registry, s.feed, s.history}, s.log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	eventually(t, "coverage is loaded", func() bool { return d.Ready(ctx) == nil })
	other := &site{Dashboard: d, url: "http://" + d.Addr()}
	c := other.dial(t, nil)
	c.subscribe("coverage:37")
	c.next("snapshot", nil)
	stop()
	c.closed(websocket.CloseGoingAway)
	select {
	case err := <-ended:
		noError(t, err)
	case <-time.After(10 * time.Second):
		t.Error("Run does not return")
	}
}

func TestNoDeltaIsMadeBetweenAChangeAndTheNoteOfIt(t *testing.T) {
	h := newHub(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	h.change(func() []charge.DivisionCode {
		if h.mu.TryLock() {
			h.mu.Unlock()
			t.Error("while a change is taken in: got a free lock, want it held, so that no delta has the sums without the child")
		}
		return nil
	}, nil)
}

func TestADeltaIsEncodedOnceForAll(t *testing.T) {
	s := openSite(t, Config{Public: true}, nil)
	h := newHub(s.log, prometheus.NewRegistry())
	var all []*client
	for range 3 {
		c := newClient(nil, func() (viewer, error) { return viewer{}, nil })
		h.join(c)
		key := coverageKey{division: "371721"}
		err := h.subscribe(c, key.String(), 0, false, func() *topic {
			return &topic{subject: &coverageSubject{key: key, state: s.coverage, changed: map[charge.DivisionCode]struct{}{}}}
		})
		noError(t, err)
		all = append(all, c)
	}
	var snapshots, deltas []*frame
	for _, c := range all {
		_, owed, _ := c.next()
		snapshots = append(snapshots, h.settle(c, owed))
	}
	h.change(func() []charge.DivisionCode { return []charge.DivisionCode{"371721101"} }, nil)
	h.flushDue(time.Now())
	for _, c := range all {
		f, _, _ := c.next()
		deltas = append(deltas, f)
	}
	for i := range all {
		if snapshots[i] == nil || snapshots[i] != snapshots[0] {
			t.Errorf("snapshot for client %d: got %p, want the first one's %p", i, snapshots[i], snapshots[0])
		}
		if deltas[i] == nil || deltas[i] != deltas[0] {
			t.Errorf("delta for client %d: got %p, want the first one's %p", i, deltas[i], deltas[0])
		}
	}
}
