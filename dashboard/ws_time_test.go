package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/policy"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
)

// A shelf is a registry of one county and two towns, in memory, so that it can be asked in a bubble.
// It holds what the feed has published, as the registry does.
type shelf struct {
	Inspections
	People // of which but one session is asked for
	Figures
	Decisions
	Places    // of which nothing is
	Procedure // nor of this
	feed      *feed
	until     time.Time // the session of the cookie hourCookie
}

const hourCookie = cookieName + "=hour"

func (shelf) CaseVersion(context.Context) (int64, error)                         { return 0, nil }
func (shelf) Cases(context.Context, registry.CaseQuery) ([]registry.Case, error) { return nil, nil }
func (shelf) AccountRev(context.Context) (int64, error)                          { return 1, nil }

func (s shelf) FindSession(_ context.Context, secret string) (registry.Session, error) {
	if secret != "hour" || !time.Now().Before(s.until) {
		return registry.Session{}, registry.ErrNoSession
	}
	return registry.Session{Account: registry.Account{ID: 1, Name: "wang", Grant: registry.Grant{Role: registry.Viewer, Scope: "37"}}}, nil
}

func (shelf) Operators() []charge.Operator              { return nil }
func (shelf) Pile(charge.PileID) (*registry.Pile, bool) { return nil, false }
func (shelf) Piles() iter.Seq[*registry.Pile]           { return func(func(*registry.Pile) bool) {} }

func (shelf) Rev() int64 { return 1 }

func (shelf) DaySums(context.Context, registry.SumQuery) ([]registry.DaySum, error) { return nil, nil }

func (shelf) Divisions() []charge.Division {
	return []charge.Division{
		{Code: "37", Name: "山东省", Level: charge.Province},
		{Code: "3717", Name: "菏泽市", Level: charge.City, Parent: "37"},
		{Code: "371721", Name: "曹县", Level: charge.County, Parent: "3717"},
		{Code: "371721101", Name: "庄寨镇", Level: charge.Township, Parent: "371721", Kind: charge.KindTown},
		{Code: "371721102", Name: "普连集镇", Level: charge.Township, Parent: "371721", Kind: charge.KindTown},
	}
}
func (shelf) Story(context.Context) (*registry.Story, error) { return nil, nil } //nolint:nilnil // none

func (shelf) StoryJudged(context.Context, *registry.Story) (int, error) { return 0, nil }

func (shelf) Stations() iter.Seq[*charge.Station] { return func(func(*charge.Station) bool) {} }

func (shelf) Links() []registry.PileLink                                  { return nil }
func (shelf) Policies() policy.Policies                                   { return policy.NewPolicies() }
func (shelf) Refresh(context.Context) error                               { return nil }
func (shelf) Ping(context.Context) error                                  { return nil }
func (shelf) DivisionsAsOf(context.Context) (string, error)               { return "2023-06-30", nil }
func (shelf) Targets(context.Context) ([]registry.Target, error)          { return nil, nil }
func (shelf) History(context.Context, series.Query) ([]series.Row, error) { return nil, nil }
func (shelf) Loads(context.Context, charge.DivisionCode, time.Time, time.Time) ([]series.Load, error) {
	return nil, nil
}

func (shelf) Energies(context.Context, series.EnergyQuery) ([]series.Energy, error) { return nil, nil }

func (s shelf) TownshipStates(context.Context) (states []charge.TownshipState, err error) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	for _, c := range s.feed.changes {
		states = append(states, c.Townships...)
	}
	return states, nil
}

func (shelf) FindPiles(context.Context, registry.PileQuery) ([]registry.PileRow, string, error) {
	return nil, "", nil
}

func (shelf) PileByID(context.Context, charge.PileID) (registry.PileRow, charge.Station, error) {
	return registry.PileRow{}, charge.Station{}, registry.ErrUnknownPile
}

// pipes is a network without buffers: what one side writes waits until the other reads it.
type pipes struct {
	dialled chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialled:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.dialled <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A bubble is a dashboard on a network and a clock of its own.
type bubble struct {
	*site
	net *pipes
}

// inBubble runs a test in a bubble, where waiting takes no time.
func inBubble(t *testing.T, public bool, test func(t *testing.T, b *bubble)) {
	t.Helper()
	data := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		b := &bubble{site: &site{feed: newFeed()}, net: &pipes{dialled: make(chan net.Conn), closed: make(chan struct{})}}
		of := shelf{feed: b.feed, until: time.Now().Add(time.Hour)}
		var err error
		b.Dashboard, err = newDashboard(&Config{Public: public}, data, page, Sources{of, of, b.feed, of}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		server := &httptest.Server{Listener: b.net, Config: &http.Server{Handler: b.Handler(), ReadHeaderTimeout: time.Minute}}
		server.Start()
		g, ctx := errgroup.WithContext(ctx)
		b.start(ctx, g)
		synctest.Wait()
		test(t, b)
		b.hub.close()
		stop()
		noError(t, g.Wait())
		server.Close()
	})
}

// open opens a WebSocket.
func (b *bubble) open(t *testing.T, header http.Header) *watcherConn {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: b.net.dial}
	conn, _, err := dialer.DialContext(t.Context(), "ws://dashboard.example/ws", header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &watcherConn{conn, t}
}

// here tells how many clients there are.
func (b *bubble) here() int {
	b.hub.mu.Lock()
	defer b.hub.mu.Unlock()
	return len(b.hub.clients)
}

// A timed message knows when it came, since the beginning of the test's part that asks.
type timed struct {
	message
	after time.Duration
}

// record reads all messages until the connection ends.
func (c *watcherConn) record() (got func() []timed) {
	var mu sync.Mutex
	var all []timed
	from := time.Now()
	go func() {
		for {
			m, err := c.read()
			if err != nil {
				return
			}
			mu.Lock()
			all = append(all, timed{m, time.Since(from)})
			mu.Unlock()
		}
	}()
	return func() []timed {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func TestChangesOfATopicAreMergedForAQuarterOfASecond(t *testing.T) {
	inBubble(t, true, func(t *testing.T, b *bubble) {
		c := b.open(t, nil)
		c.subscribe("coverage:371721")
		c.next("snapshot", nil)
		got := c.record()
		for i := range 100 { // for a second
			b.feed.publish(changeOf(town("371721101", i%3), town("371721102", i+1)))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		var when []time.Duration
		for _, m := range got() {
			when = append(when, m.after)
		}
		// The first change is told at once, the others by the quarter, the last of them soon after it came.
		want := []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond, time.Second}
		if fmt.Sprint(when) != fmt.Sprint(want) {
			t.Errorf("100 changes in a second: got deltas after %v, want %v", when, want)
		}
		if all := got(); all[len(all)-1].Version != 100 {
			t.Errorf("the last delta: got version %d, want 100", all[len(all)-1].Version)
		}
	})
}

func TestASlowClientGetsASnapshotAndHoldsNobody(t *testing.T) {
	inBubble(t, true, func(t *testing.T, b *bubble) {
		slow, fast := b.open(t, nil), b.open(t, nil)
		slow.subscribe("coverage:371721")
		slow.next("snapshot", nil)
		fast.subscribe("coverage:371721")
		fast.next("snapshot", nil)
		got := fast.record()
		const changes = 40
		for i := range changes { // for 12 s; who reads nothing for 15 s is let go
			b.feed.publish(changeOf(town("371721101", i+1)))
			time.Sleep(300 * time.Millisecond)
			b.hub.mu.Lock()
			for c := range b.hub.clients {
				c.mu.Lock()
				if len(c.queue) > clientQueue || len(c.owed) > 1 {
					t.Errorf("after %d changes %d messages and %d topics wait for a client, want at most %d and 1", i+1, len(c.queue), len(c.owed), clientQueue)
				}
				c.mu.Unlock()
			}
			b.hub.mu.Unlock()
		}
		if n := len(got()); n != changes {
			t.Errorf("the other client: got %d deltas, want %d", n, changes)
		}
		var v coverageView
		m, err := slow.read()
		deltas := 0
		for ; err == nil && m.Type == "delta"; m, err = slow.read() {
			deltas++
		}
		if err != nil || m.Type != "snapshot" || m.Version != changes {
			t.Fatalf("the slow client: after %d deltas got a %s of version %d and %v, want a snapshot of %d", deltas, m.Type, m.Version, err, changes)
		}
		if deltas > clientQueue+1 {
			t.Errorf("the slow client: got %d old deltas, want at most %d", deltas, clientQueue+1)
		}
		b.feed.publish(changeOf(town("371721101", 9)))
		if m := slow.next("delta", &v); m.Version != changes+1 || v.Children[0].Connectors.Usable != 9 {
			t.Errorf("the slow client, caught up: got version %d with %d usable, want %d with 9", m.Version, v.Children[0].Connectors.Usable, changes+1)
		}
	})
}

func TestAClientThatReadsNothingIsLetGo(t *testing.T) {
	inBubble(t, true, func(t *testing.T, b *bubble) {
		c := b.open(t, nil)
		c.subscribe("coverage:371721")
		c.next("snapshot", nil)
		if b.here() != 1 {
			t.Fatalf("got %d clients, want 1", b.here())
		}
		b.feed.publish(changeOf(town("371721101", 1)))
		time.Sleep(writeWithin + time.Second)
		synctest.Wait()
		if b.here() != 0 {
			t.Errorf("%s after a message that it does not read: got %d clients, want none", writeWithin+time.Second, b.here())
		}
	})
}

func TestPingsFindOutWhoIsGone(t *testing.T) {
	inBubble(t, true, func(t *testing.T, b *bubble) {
		alive, deaf := b.open(t, nil), b.open(t, nil)
		pings := make(chan time.Time, 100)
		answer := alive.PingHandler()
		alive.SetPingHandler(func(data string) error {
			pings <- time.Now()
			return answer(data)
		})
		deaf.SetPingHandler(func(string) error { return nil })
		alive.record()
		deaf.record()
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		if n := len(pings); n != 10 {
			t.Errorf("in five minutes: got %d pings, want 10", n)
		}
		if n := b.here(); n != 1 {
			t.Errorf("after five minutes: got %d clients, want the one that answers pings", n)
		}
	})
}

func TestAHeartbeatComesEachFiveSeconds(t *testing.T) {
	inBubble(t, true, func(t *testing.T, b *bubble) {
		c := b.open(t, nil)
		var m struct {
			Type, Build string
			Now         time.Time
		}
		if err := c.ReadJSON(&m); err != nil || m.Type != "hello" || m.Build != b.build {
			t.Fatalf("first: got %+v and %v, want hello of build %s", m, err, b.build)
		}
		for range 3 {
			before := time.Now()
			if err := c.ReadJSON(&m); err != nil || m.Type != "ping" {
				t.Fatalf("got %+v and %v, want a ping", m, err)
			}
			if waited := time.Since(before); waited > pageHeartbeat || !m.Now.Equal(time.Now()) {
				t.Errorf("a ping of %s after %s, want it now and within %s", m.Now, waited, pageHeartbeat)
			}
		}
	})
}

func TestAConnectionDoesNotOutliveItsSignIn(t *testing.T) {
	inBubble(t, true, func(t *testing.T, b *bubble) {
		stranger := b.open(t, nil)
		stranger.record()
		from := time.Now()
		c := b.open(t, http.Header{"Cookie": {hourCookie}})
		var end *websocket.CloseError
		for {
			if _, err := c.read(); err != nil {
				if !errors.As(err, &end) || end.Code != websocket.ClosePolicyViolation || end.Text != "the sign-in has ended or has other rights" {
					t.Errorf("got %v, want close code %d with the reason", err, websocket.ClosePolicyViolation)
				}
				break
			}
		}
		if lasted := time.Since(from); lasted < time.Hour || lasted > time.Hour+2*pingEvery {
			t.Errorf("the connection lasted %s, want an hour and at most %s more", lasted, 2*pingEvery)
		}
		synctest.Wait()
		if b.here() != 1 {
			t.Errorf("got %d clients, want the stranger to stay", b.here())
		}
	})
}

func TestALostLogLosesNoEventAndEmptiesNoList(t *testing.T) {
	inBubble(t, true, func(t *testing.T, b *bubble) {
		c := b.open(t, nil)
		c.subscribe("events:37", "coverage:371721")
		c.next("snapshot", nil)
		c.next("snapshot", nil)
		got := c.record()
		with := func(n int) journal.Change {
			change := changeOf(town("371721101", n))
			change.Events = []charge.Event{fault(n, "371721101")}
			return change
		}
		for n := range 3 {
			b.feed.publish(with(n + 1))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		before := len(got())
		b.feed.slow = 100 * time.Millisecond
		b.feed.lost <- errors.New("connection lost")
		b.feed.publish(with(4)) // while nobody follows
		time.Sleep(5 * time.Second)
		var last eventsView
		var usable int
		for _, m := range got()[before:] {
			if m.Topic == "coverage:371721" {
				var v coverageView
				if err := json.Unmarshal(m.Data, &v); err != nil {
					t.Fatal(err)
				}
				usable = v.Connectors.Usable
				continue
			}
			if err := json.Unmarshal(m.Data, &last); err != nil {
				t.Fatal(err)
			}
			if len(last.Events) < 3 {
				t.Errorf("a %s after the log was lost: got %d events, want the three that were there to stay", m.Type, len(last.Events))
			}
		}
		if len(last.Events) != 4 || last.Events[0].ID != "0-4-0" {
			t.Errorf("in the end: got events %+v, want the four, the one that nobody followed first", last.Events)
		}
		if usable != 4 {
			t.Errorf("in the end: got %d usable connectors, want 4", usable)
		}
	})
}
