package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/wire"
)

// A Stage is where a scenario is played: a fleet, the door that it speaks to, and the dashboard that is asked.
type Stage struct {
	Fleet       *Fleet
	Broker      string
	Credentials func(op charge.OperatorID) (user, password string)
	API         string                           // http://host:port
	Token       string                           // of somebody who sees rejects; "" is nobody
	Say         func(format string, args ...any) // progress, a line each
}

// expectWithin is how long a figure may take where a scenario does not say.
const expectWithin = 30 * time.Second

// A player is one scenario being played.
type player struct {
	*Stage
	dial      *dialer
	piles     []int
	operators map[charge.OperatorID]*window[struct{}]
	own       map[int]*window[struct{}]
	seq       uint64
	before    map[string]float64
}

// Play lets a scenario happen, and fails with the first figure that is not as it should be.
func (st *Stage) Play(ctx context.Context, s *Scenario) (err error) {
	dial, err := parseBroker(st.Broker)
	if err != nil {
		return err
	}
	p := &player{
		Stage: st, dial: dial, operators: make(map[charge.OperatorID]*window[struct{}]), own: make(map[int]*window[struct{}]),
		seq: uint64(time.Now().UnixMilli()), before: make(map[string]float64), //nolint:gosec // after 1970
	}
	defer p.close()
	defer func() {
		if err != nil {
			err = fmt.Errorf("scenario %s: %w", s.Name, err)
		}
	}()
	if p.piles = st.choose(&s.Who); len(p.piles) < s.Who.Count {
		return fmt.Errorf("the fleet has %d public piles as wanted, and %d are needed", len(p.piles), s.Who.Count)
	}
	if err := p.do(ctx, s.Prepare); err != nil {
		return err
	}
	if err := p.note(ctx, append(append([]Expect{}, s.Expect...), s.After...)); err != nil {
		return err
	}
	for _, part := range []struct {
		steps   []Step
		expects []Expect
	}{{s.Steps, s.Expect}, {s.Then, s.After}} {
		if err := p.do(ctx, part.steps); err != nil {
			return err
		}
		for i := range part.expects {
			if err := p.expect(ctx, &part.expects[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// choose takes public piles that work, in the fleet's order.
func (st *Stage) choose(c *Chosen) (piles []int) {
	for i := range st.Fleet.Piles {
		p := &st.Fleet.Piles[i]
		s := &st.Fleet.Stations[p.Station]
		if s.Kind == charge.Public && p.usable() && len(piles) < c.Count && (c.Operator == "" || c.Operator == string(s.Operator)) &&
			strings.HasPrefix(string(s.Township), c.County) && (c.Site == "" || c.Site == s.Site) {
			piles = append(piles, i)
		}
	}
	return piles
}

func (p *player) do(ctx context.Context, steps []Step) error {
	for i := range steps {
		s := &steps[i]
		p.Say("%s %s", s.Do, s.Status)
		if err := p.step(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.Do, err)
		}
	}
	return nil
}

func (p *player) step(ctx context.Context, s *Step) error {
	switch s.Do {
	case Report:
		return p.report(ctx, scenarioStatuses[s.Status], 1)
	case Flood:
		return p.report(ctx, charge.Idle, max(s.Times, 1))
	case Connect:
		return p.connect(ctx)
	case Cut:
		p.cut()
		return nil
	case Restart:
		for _, i := range p.piles {
			if w := p.own[i]; w != nil {
				w.conn.cut()
			}
			if err := p.open(ctx, i); err != nil {
				return err
			}
		}
		return nil
	case Storm:
		for range max(s.Times, 1) {
			p.cut()
			if err := p.connect(ctx); err != nil {
				return err
			}
		}
		return nil
	case Send:
		return p.send(ctx, s)
	case Wait:
		return pause(ctx, s.For)
	}
	return nil
}

// platform gives the operator's connection.
func (p *player) platform(ctx context.Context, op charge.OperatorID) (*window[struct{}], error) {
	if w := p.operators[op]; w != nil {
		return w, nil
	}
	conn, err := p.dial.open(ctx, p.who(op, "platform"))
	if err != nil {
		return nil, err
	}
	p.operators[op] = &window[struct{}]{conn: conn, size: platformWindow, acked: func(*struct{}) {}}
	return p.operators[op], nil
}

func (p *player) who(op charge.OperatorID, name string) client {
	c := client{id: "scenario-" + string(op) + "-" + name, keepAlive: time.Minute}
	if p.Credentials != nil {
		c.user, c.password = p.Credentials(op)
	}
	return c
}

func (p *player) report(ctx context.Context, status charge.Status, times int) error {
	for range times {
		for _, i := range p.piles {
			id := p.Fleet.ID(i)
			w, err := p.platform(ctx, id.Operator)
			if err != nil {
				return err
			}
			if err := p.tell(ctx, w, i, status); err != nil {
				return err
			}
		}
	}
	for _, w := range p.operators {
		if err := w.drain(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) tell(ctx context.Context, w *window[struct{}], i int, status charge.Status) error {
	id := p.Fleet.ID(i)
	for g := range p.Fleet.Piles[i].Connectors {
		p.seq++
		r := charge.Reading{
			Pile: id, Connector: charge.ConnectorID(connectorName(g)), Kind: charge.KindStatus, At: time.Now(),
			Has: charge.HasSeq | charge.HasStatus, Seq: p.seq, Status: status,
		}
		if status == charge.Faulted {
			r.Fault = "contactor"
		}
		m := packet[struct{}]{topic: wire.Topic(string(id.Operator), id.Equipment, r.Kind), payload: wire.Encode(nil, &r, true)}
		if err := w.send(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) send(ctx context.Context, s *Step) error {
	for _, i := range p.piles {
		id := p.Fleet.ID(i)
		w, err := p.platform(ctx, id.Operator)
		if err != nil {
			return err
		}
		m := packet[struct{}]{topic: p.fill(s.Topic, id), payload: []byte(s.Payload)}
		for range max(s.Times, 1) {
			if err := w.send(ctx, m); err != nil {
				return err
			}
		}
		if err := w.drain(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) connect(ctx context.Context) error {
	for _, i := range p.piles {
		if p.own[i] == nil {
			if err := p.open(ctx, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// open lets a pile connect by itself, and say that it is back and idle.
func (p *player) open(ctx context.Context, i int) error {
	id, session := p.Fleet.ID(i), time.Now().UnixMilli()
	who := p.who(id.Operator, id.Equipment)
	beat := charge.Reading{Pile: id, Kind: charge.KindHeartbeat, Has: charge.HasSession | charge.HasOnline, At: time.Now(), Session: session}
	who.willTopic, who.will = wire.Topic(string(id.Operator), id.Equipment, beat.Kind), wire.Encode(nil, &beat, false)
	conn, err := p.dial.open(ctx, who)
	if err != nil {
		return err
	}
	w := &window[struct{}]{conn: conn, size: pileWindow, acked: func(*struct{}) {}}
	p.own[i] = w
	beat.Online = true
	if err := w.send(ctx, packet[struct{}]{topic: who.willTopic, payload: wire.Encode(nil, &beat, false)}); err != nil {
		return err
	}
	if err := p.tell(ctx, w, i, charge.Idle); err != nil {
		return err
	}
	return w.drain(ctx)
}

func (p *player) cut() {
	for i, w := range p.own {
		w.conn.cut()
		delete(p.own, i)
	}
}

func (p *player) close() {
	var all errgroup.Group
	for _, w := range p.operators {
		all.Go(func() error { w.conn.close(); return nil })
	}
	for _, w := range p.own {
		all.Go(func() error { w.conn.close(); return nil })
	}
	_ = all.Wait() // it has none
}

func (p *player) fill(text string, id charge.PileID) string {
	county := string(p.Fleet.Stations[p.Fleet.Piles[p.piles[0]].Station].Township[:6])
	return strings.NewReplacer("{operator}", string(id.Operator), "{pile}", id.Equipment, "{county}", county).Replace(text)
}

// note keeps the figures that "before" means, once all of them have been the same for a while: what was sent is shown
// by then.
func (p *player) note(ctx context.Context, expects []Expect) error {
	const looks, between = 4, 400 * time.Millisecond
	for same := 0; same < looks; same++ {
		for i := range expects {
			e := &expects[i]
			if is, err := parseIs(e.Is); err != nil || !is.before {
				continue // it was checked when it was read
			}
			got, err := p.figure(ctx, e)
			if err != nil {
				return err
			}
			if last, noted := p.before[e.Get+e.Path]; !noted || got != last {
				same = 0
			}
			p.before[e.Get+e.Path] = got
		}
		if err := pause(ctx, between); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) expect(ctx context.Context, e *Expect) error {
	i, err := parseIs(e.Is)
	if err != nil {
		return err
	}
	patience := e.Within
	if patience == 0 {
		patience = expectWithin
	}
	before := p.before[e.Get+e.Path]
	for until := time.Now().Add(patience); ; {
		got, err := p.figure(ctx, e)
		if err == nil && i.holds(got, before) {
			p.Say("%s of %s is %v: %s", e.Path, e.Get, got, e.Is)
			return nil
		}
		if time.Now().After(until) {
			return errors.Join(fmt.Errorf("%s of %s: got %v, want %s (before: %v)", e.Path, e.Get, got, e.Is, before), err)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// figure asks the API.
func (p *player) figure(ctx context.Context, e *Expect) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(p.API, "/")+p.fill(e.Get, p.Fleet.ID(p.piles[0])), nil)
	if err != nil {
		return 0, err
	}
	if p.Token != "" {
		request.Header.Set("Authorization", "Bearer "+p.Token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close() //nolint:errcheck // read to its end
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s answers %s", request.URL.Path, answer.Status)
	}
	var v any
	if err := json.NewDecoder(answer.Body).Decode(&v); err != nil {
		return 0, err
	}
	for key := range strings.SplitSeq(e.Path, ".") {
		switch at := v.(type) {
		case map[string]any:
			if v = at[key]; v == nil && key != "" {
				return 0, nil // not there is none: totals name only what there is
			}
		case []any:
			if key != "#" {
				return 0, fmt.Errorf("%s: %q is no key of a list", e.Path, key)
			}
			v = float64(len(at))
		default:
			return 0, fmt.Errorf("%s: nothing is within %q", e.Path, key)
		}
	}
	n, ok := v.(float64)
	if !ok {
		return 0, fmt.Errorf("%s is no number", e.Path)
	}
	return n, nil
}
