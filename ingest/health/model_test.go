package health

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

// A record is one record of a log: a tick, or a reading, of which the log's author knows what the platform has to
// find out.
type record struct {
	charge.Reading       // Kind 0 is a tick at Received
	late           bool  // it was stored and forwarded
	event          int64 // when it was sent, Unix ms by the gateway's clock
	again          bool  // it repeats an earlier record
}

// A story is a log of one pile of two connectors, and what else days are closed with.
type story struct {
	log     []record
	opened  time.Time
	service []charge.Span
	excused []charge.Span
}

// testPolicy has outages of half an hour, so that a log needs few ticks.
func testPolicy() Policy {
	p := DefaultPolicy()
	p.OutageAfter = 30 * time.Minute
	return p
}

// An author writes a log.
type author struct {
	*rand.Rand
	story
	at      time.Time // the log's time
	ticked  time.Time
	offset  time.Duration // that the pile's clock is behind, in whole minutes
	seq     [2]uint64
	status  [2]charge.Status
	session int64
	stored  []record
}

const second = time.Second

// pass lets time go by with ticks.
func (a *author) pass(d time.Duration) {
	for until := a.at.Add(d); ; {
		next := a.ticked.Add(time.Duration(10+a.IntN(19)) * time.Minute)
		if next.After(until) {
			a.at = until
			return
		}
		a.ticked = next
		a.log = append(a.log, record{Reading: charge.Reading{Received: next}})
	}
}

// between is a time from d to twice of it.
func (a *author) between(d time.Duration) time.Duration { return d + time.Duration(a.Int64N(int64(d))) }

// send adds a reading that was sent just now.
func (a *author) send(r charge.Reading) {
	a.pass(3*second + time.Duration(a.IntN(2000))*time.Millisecond)
	r.Received = a.at.Truncate(time.Millisecond)
	if a.IntN(40) == 0 { // at the first instant of a minute
		r.Received = r.Received.Truncate(time.Minute).Add(time.Minute)
		a.pass(r.Received.Sub(a.at))
	}
	if r.At.IsZero() {
		r.At = r.Received.Add(-a.offset - time.Duration(a.IntN(1500))*time.Millisecond)
	}
	if r.Tells(charge.ClockWrong) {
		r.At = r.Received
	}
	a.ticked = a.at
	a.log = append(a.log, record{Reading: r})
}

// word is a status or telemetry of connector c.
func (a *author) word(c int, status charge.Status) charge.Reading {
	a.seq[c]++
	return charge.Reading{
		Kind: charge.KindStatus, Has: charge.HasStatus | charge.HasSeq, Status: status, Seq: a.seq[c], Connector: charge.ConnectorID(rune('1' + c)),
	}
}

func (a *author) power(c int, kw float64, told bool) charge.Reading {
	r := a.word(c, charge.Charging)
	r.Kind, r.PowerKW = charge.KindTelemetry, kw
	r.Has |= charge.HasPower
	if !told {
		r.Has, r.Status = r.Has&^charge.HasStatus, 0
	}
	return r
}

func (a *author) anyStatus() charge.Status {
	return []charge.Status{charge.Idle, charge.Idle, charge.Charging, charge.Occupied, charge.Reserved, charge.Offline, charge.Faulted, charge.Faulted}[a.IntN(8)]
}

func (a *author) tell(c int, status charge.Status) {
	a.status[c] = status
	a.send(a.word(c, status))
}

func (a *author) beat(session int64, online bool) {
	a.send(charge.Reading{Kind: charge.KindHeartbeat, Has: charge.HasOnline | charge.HasSession, Session: session, Online: online})
}

// beats are heartbeats for d, of a pile that is heard well enough or now and then not.
func (a *author) beats(d time.Duration) {
	for end := a.at.Add(d); a.at.Before(end); {
		a.pass(a.between(8 * time.Minute))
		a.beat(a.session, true)
	}
}

func (a *author) connect() {
	a.session++
	a.send(charge.Reading{Kind: charge.KindConnected, Has: charge.HasSession, Session: a.session})
}

// store lets d pass in which the pile keeps what it would have sent.
func (a *author) store(d time.Duration) {
	begin := a.at
	for t := begin.Add(a.between(time.Minute)); t.Before(begin.Add(d)); t = t.Add(a.between(time.Duration(1+a.IntN(200)) * time.Minute)) {
		c := a.IntN(2)
		r := a.word(c, a.anyStatus())
		if a.IntN(4) == 0 {
			r = a.power(c, float64(a.IntN(3)), a.IntN(2) == 0)
		}
		if a.IntN(20) == 0 {
			t = t.Truncate(time.Minute)
		}
		t = t.Truncate(time.Millisecond)
		r.At = t.Add(-a.offset)
		a.stored = append(a.stored, record{Reading: r, late: true, event: t.UnixMilli()})
		if a.IntN(6) == 0 { // one in the same minute
			again := a.stored[len(a.stored)-1]
			again.Status, again.Seq = a.anyStatus(), again.Seq+1
			a.seq[c]++
			again.At = again.At.Add(time.Duration(a.IntN(20_000)) * time.Millisecond)
			again.event = again.At.Add(a.offset).UnixMilli()
			a.stored = append(a.stored, again)
		}
	}
}

// forward sends what was stored, in a burst.
func (a *author) forward() {
	if a.IntN(3) == 0 {
		a.Shuffle(len(a.stored), func(i, j int) { a.stored[i], a.stored[j] = a.stored[j], a.stored[i] })
	}
	a.pass(70 * second)
	for i, r := range a.stored {
		if i%50 == 49 {
			a.beat(a.session, true)
		}
		a.pass(time.Duration(a.IntN(300)) * time.Millisecond)
		r.Received = a.at.Truncate(time.Millisecond)
		if r.Received.Sub(time.UnixMilli(r.event)) > 62*second {
			a.ticked = a.at
			a.log = append(a.log, r)
		}
	}
	a.stored = nil
	a.beat(a.session, true)
}

// away lets the platform be away for d.
func (a *author) away(d time.Duration) {
	a.at = a.at.Add(d)
	a.ticked = a.at
	a.log = append(a.log, record{Reading: charge.Reading{Received: a.at.Truncate(time.Millisecond)}})
}

// episode is one thing that happens to a pile.
func (a *author) episode(kind int) {
	c := a.IntN(2)
	switch kind {
	case 0:
		a.beats(a.between(time.Hour))
	case 1:
		for range 1 + a.IntN(6) {
			a.tell(a.IntN(2), a.anyStatus())
			a.pass(a.between(time.Duration(1+a.IntN(30)) * time.Minute))
		}
	case 2:
		a.pass(a.between(4 * time.Hour))
	case 3:
		a.away(a.between(time.Duration(31+a.IntN(900)) * time.Minute))
	case 4: // it leaves and comes back, and the end of the old connection may be told late
		old := a.session
		if a.IntN(2) == 0 {
			a.beat(old, false)
		} else {
			a.send(charge.Reading{Kind: charge.KindDisconnected, Has: charge.HasSession, Session: old})
		}
		a.pass(a.between(time.Duration(1+a.IntN(40)) * time.Minute))
		a.connect()
		a.beat(a.session, true)
		switch a.IntN(3) {
		case 0:
			a.beat(old, false)
		case 1:
			a.send(charge.Reading{Kind: charge.KindDisconnected, Has: charge.HasSession, Session: old})
		}
	case 5:
		d := a.between(time.Duration(5+a.IntN(600)) * time.Minute)
		a.store(d)
		if a.IntN(2) == 0 {
			a.away(max(d, 31*time.Minute))
		} else {
			a.pass(d)
		}
		if a.IntN(2) == 0 {
			a.connect()
		}
		a.forward()
	case 6: // its clock is set back, or forward
		a.tell(c, a.anyStatus())
		if a.offset > 5*time.Minute && a.IntN(2) == 0 {
			a.offset = 0
		} else {
			a.offset += time.Duration(3+a.IntN(5000)) * time.Minute
		}
		a.tell(c, a.anyStatus())
		a.tell(1-c, a.anyStatus())
	case 7:
		a.tell(c, charge.Charging)
		for range 1 + a.IntN(30) {
			a.pass(a.between(time.Duration(1+a.IntN(12)) * time.Minute))
			a.send(a.power(c, float64(a.IntN(4)), a.IntN(2) == 0))
		}
	case 8:
		for range min(len(a.log), 5) {
			r := a.log[a.IntN(len(a.log))]
			r.again = true
			a.log = append(a.log, r)
		}
	case 9:
		for range 8 {
			a.tell(c, []charge.Status{charge.Occupied, charge.Reserved}[a.IntN(2)])
			a.beats(2 * time.Hour)
		}
	case 10: // its clock was right, and is more than 10 minutes ahead
		a.offset = 0
		a.tell(c, a.anyStatus())
		a.tell(1-c, a.anyStatus())
		for range 1 + a.IntN(3) {
			r := a.word(c, a.anyStatus())
			r.Has |= charge.ClockWrong
			a.send(r)
			a.pass(a.between(20 * time.Minute))
		}
	}
}

// drawStory draws a log and what days are closed with.
func drawStory(t *rapid.T, episodes int) story {
	a := author{Rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), at: start}
	a.log = append(a.log, record{Reading: charge.Reading{Received: start}})
	a.ticked = start
	a.connect()
	if a.IntN(4) == 0 {
		a.offset = time.Duration(a.IntN(6000)) * time.Minute
	}
	a.beat(a.session, true)
	for _, kind := range rapid.SliceOfN(rapid.IntRange(0, 10), 1, episodes).Draw(t, "episodes") {
		a.episode(kind)
	}
	a.pass(a.between(10 * time.Minute))
	a.beat(a.session, true)
	a.opened = start.Add(-time.Duration(a.IntN(100*24)) * time.Hour)
	day := startDay
	days := int(a.at.Sub(day)/(24*time.Hour)) + 1
	a.service = []charge.Span{{From: day.Add(-24 * time.Hour), Until: day.Add(time.Duration(days) * 24 * time.Hour)}}
	if a.IntN(2) == 0 { // open at night, or from some minute to another
		from, open := time.Duration(a.IntN(1440*60))*second, time.Duration(1+a.IntN(1440*60))*second
		a.service = nil
		for i := range days + 1 {
			at := day.Add(time.Duration(i-1)*24*time.Hour + from)
			a.service = append(a.service, charge.Span{From: at, Until: at.Add(open)})
		}
	}
	for range a.IntN(4) {
		from := start.Add(time.Duration(a.IntN(3*1440*60)) * second)
		a.excused = append(a.excused, charge.Span{From: from, Until: from.Add(time.Duration(a.IntN(600*60)) * second)})
	}
	return a.story
}

// startDay is the day of Asia/Shanghai in which start lies.
var startDay = time.Date(2025, 6, 1, 0, 0, 0, 0, charge.Zone)

// A replay is a log that is played to a state, as a judge does.
type replay struct {
	state      *State
	pile       Pile
	connectors [2]Connector
	ids        [2]charge.ConnectorID
}

func newReplay(policy Policy) *replay {
	r := &replay{state: New(policy), ids: [2]charge.ConnectorID{"1", "2"}}
	for i := range r.connectors {
		r.state.Limit(&r.connectors[i], r.state.SilenceLimit(0), 0)
	}
	return r
}

func (p *replay) take(r *record) {
	p.state.Advance(r.Received)
	received := r.Received.UnixMilli()
	says := There
	switch r.Kind {
	case 0:
		for i := range p.connectors {
			p.state.Settle(&p.connectors[i])
		}
		return
	case charge.KindStatus, charge.KindTelemetry:
		for i := range p.connectors {
			if p.ids[i] == r.Connector {
				p.state.Tell(&p.pile, &p.connectors[i], &r.Reading)
			} else {
				p.state.Return(&p.connectors[i], received)
			}
		}
		return
	case charge.KindOrder:
		i := slices.Index(p.ids[:], r.Connector)
		p.state.Order(&p.pile, &p.connectors[i], &r.Reading)
	case charge.KindHeartbeat:
		says = p.pile.Beat(&r.Reading)
	case charge.KindConnected, charge.KindDisconnected:
		says = p.pile.Attach(&r.Reading)
	}
	for i := range p.connectors {
		c := &p.connectors[i]
		switch says {
		case Left:
			p.state.Leave(c, received)
		case There:
			p.state.Return(c, received)
		case Heard:
			p.state.Hear(c, received)
		case Nothing:
		}
	}
}

func play(policy Policy, log []record) *replay {
	p := newReplay(policy)
	for i := range log {
		p.take(&log[i])
	}
	return p
}

// days closes every day that the log has come to, of both connectors and their union.
func (p *replay) days(s *story) [][3]Day {
	var all [][3]Day
	for day := startDay; !day.After(p.state.Now()); day = day.AddDate(0, 0, 1) {
		var d [3]Day
		for i := range p.connectors {
			c := &p.connectors[i]
			p.state.CloseDay(&d[i], &p.pile, c, day, p.state.InService(c, s.opened, s.service), s.excused)
		}
		d[2].Unite(&d[0], &d[1])
		all = append(all, d)
	}
	return all
}

// A model is the minutes of a connector in the slowest and plainest way: minute by minute, what was told, heard and
// left before it, by the whole log.
type model struct {
	policy  Policy
	id      charge.ConnectorID
	log     []record // each once, as received
	late    []record // what of it was stored and forwarded, by event
	outages [][2]int64
	end     int64
}

func newModel(policy Policy, id charge.ConnectorID, log []record) *model {
	m := &model{policy: policy, id: id}
	for _, r := range log {
		at := r.Received.UnixMilli()
		if at-m.end > policy.OutageAfter.Milliseconds() {
			m.outages = append(m.outages, [2]int64{m.end, at})
		}
		m.end = max(m.end, at)
		if r.again || r.Kind == 0 {
			continue
		}
		m.log = append(m.log, r)
		if r.late && r.Connector == id && at-r.event <= policy.Lateness.Milliseconds() &&
			(r.Tells(charge.HasStatus) || r.Tells(charge.HasPower) && r.PowerKW != 0) {
			if !r.Tells(charge.HasStatus) {
				r.Status = charge.Charging
			}
			m.late = append(m.late, r)
		}
	}
	slices.SortStableFunc(m.late, func(a, b record) int {
		if a.event != b.event {
			return int(a.event - b.event)
		}
		return int(a.Seq) - int(b.Seq)
	})
	return m
}

// observed is how much of the time between could be observed.
func (m *model) observed(from, until int64) int64 {
	all := until - from
	for _, o := range m.outages {
		all -= max(0, min(o[1], until)-max(o[0], from))
	}
	return all
}

// silent tells whether at t the connector, heard last at heard, has been silent: whether in one of the times between
// outages it was not heard for longer than the limit.
func (m *model) silent(heard, t, limit int64) bool {
	from := heard
	for _, o := range m.outages {
		if o[1] <= heard || o[0] >= t {
			continue
		}
		if o[0]-from > limit {
			return true
		}
		from = o[1]
	}
	return t-from > limit
}

func (m *model) away(t int64) bool {
	return slices.ContainsFunc(m.outages, func(o [2]int64) bool { return o[0] < t && t < o[1] })
}

// minutes gives what each minute from first on is, up to the end of the log, before hours and excuses, and whether it
// is so by what came late.
func (m *model) minutes(first int64) (kinds []Minute, prompt []Minute, usableFrom int64) {
	const limit = 15 * 60_000
	holds := m.policy.StatusHolds.Milliseconds()
	var (
		heard, toldAt, gone, busy int64
		told                      bool
		status                    charge.Status
		newestBeat, newestLink    int64
		next                      int
	)
	by := func(t int64) {
		for ; next < len(m.log) && m.log[next].Received.UnixMilli() <= t; next++ {
			r := &m.log[next]
			at := r.Received.UnixMilli()
			here := func() { heard, gone = at, 0 }
			switch {
			case r.Kind == charge.KindConnected:
				newestLink = max(newestLink, r.Session)
				here()
			case r.Kind == charge.KindDisconnected:
				if told && r.Session == newestLink {
					gone = at
				}
			case r.Kind == charge.KindHeartbeat && r.Online:
				newestBeat = max(newestBeat, r.Session)
				here()
			case r.Kind == charge.KindHeartbeat:
				if told && r.Session >= newestBeat {
					gone = at
				}
			case r.late || r.Connector != m.id:
				here()
			case r.Tells(charge.HasStatus):
				here()
				told, status, toldAt = true, r.Status, at
				if r.Status != charge.Occupied && r.Status != charge.Reserved {
					busy = 0
				} else if busy == 0 {
					busy = at
				}
			default:
				here()
				if status == charge.Charging && r.PowerKW != 0 {
					toldAt = at
				}
			}
			if usableFrom == 0 && told && gone == 0 && status.Usable() && m.observed(toldAt, at) <= holds {
				usableFrom = at
			}
		}
	}
	for t := first; t <= m.end; t += 60_000 {
		by(t)
		kind := Usable
		switch {
		case heard == 0 || m.silent(heard, t, limit):
			kind = Silent
		case gone != 0 && m.observed(gone, t) <= holds:
			kind = Out
		case gone != 0, !told, m.observed(toldAt, t) > holds:
			kind = Unknown
		case status == charge.Offline:
			kind = Out
		case status == charge.Faulted:
			kind = Fault
		case busy != 0 && m.observed(busy, t) > m.policy.BlockedAfter.Milliseconds():
			kind = Blocked
		}
		prompt = append(prompt, kind)
		kinds = append(kinds, m.withLate(t, kind, limit, holds))
	}
	by(m.end)
	return kinds, prompt, usableFrom
}

// withLate fills a minute with what came late.
func (m *model) withLate(t int64, kind Minute, silent, holds int64) Minute {
	limit := min(silent, holds)
	if kind == Unknown {
		limit = holds
	}
	word := NotInService
	for i := len(m.late) - 1; i >= 0; i-- { // the latest that is not later than t
		r := &m.late[i]
		if r.event > t {
			continue
		}
		if t-r.event <= limit {
			switch word = Usable; r.Status {
			case charge.Offline:
				word = Out
			case charge.Faulted:
				word = Fault
			}
		}
		break
	}
	switch {
	case m.away(t) && word == Usable:
		return Usable
	case m.away(t):
		return Excused
	case word != NotInService && (kind == Unknown || kind == Silent):
		return word
	}
	return kind
}

func within(spans []charge.Span, at time.Time) bool {
	return slices.ContainsFunc(spans, func(s charge.Span) bool { return !at.Before(s.From) && at.Before(s.Until) })
}

// days is what replay.days has to give for one connector, and the minutes usable of the last 1,440 that could be observed.
func (m *model) days(s *story) (days [][dayMinutes]Minute, usable int) {
	kinds, prompt, usableFrom := m.minutes(startDay.UnixMilli())
	opened := s.opened.AddDate(0, 0, 30)
	if first := time.UnixMilli(usableFrom); usableFrom != 0 && first.Before(opened) {
		opened = first
	}
	if opened.Before(s.opened) {
		opened = s.opened
	}
	for i, kind := range kinds {
		at := startDay.Add(time.Duration(i) * time.Minute)
		if i%dayMinutes == 0 {
			days = append(days, [dayMinutes]Minute{})
		}
		switch {
		case at.Before(opened) || !within(s.service, at):
			kind = NotInService
		case !kind.usable() && within(s.excused, at):
			kind = Excused
		}
		days[len(days)-1][i%dayMinutes] = kind
	}
	seen := 0
	for i := len(prompt) - 1; i > len(prompt)-1-96*60 && seen < dayMinutes; i-- {
		if i < 0 {
			break
		}
		at := startDay.Add(time.Duration(i) * time.Minute)
		if m.away(at.UnixMilli()) || within(s.excused, at) {
			continue
		}
		seen++
		if prompt[i] == Usable {
			usable++
		}
	}
	return days, usable
}

func TestTheMinutesAreThoseOfASlowAndObviousCount(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 1
	}
	for part := range 4 {
		t.Run(fmt.Sprintf("part %d", part+1), func(t *testing.T) {
			t.Parallel()
			seen := map[Minute]int{}
			for range rounds { // of 100 logs each
				rapid.Check(t, func(t *rapid.T) { compareWithModel(t, seen) })
			}
			for m := NotInService; m <= Silent && !testing.Short(); m++ {
				if seen[m] == 0 {
					t.Errorf("no log has a minute that is %s: the logs prove nothing of it", m)
				}
			}
		})
	}
}

func compareWithModel(t *rapid.T, seen map[Minute]int) {
	s := drawStory(t, 5)
	p := play(testPolicy(), s.log)
	got := p.days(&s)
	for i := range p.connectors {
		want, usable := newModel(testPolicy(), p.ids[i], s.log).days(&s)
		if len(got) != len(want) {
			t.Fatalf("days: got %d, want %d", len(got), len(want))
		}
		for day := range want {
			compareMinutes(t, i, day, minutesOf(&got[day][i]), &want[day])
			for _, m := range want[day] {
				seen[m]++
			}
		}
		if n, _ := p.state.UsableObserved(&p.connectors[i], 24*time.Hour, s.excused); n != usable {
			t.Fatalf("connector %d: usable in the last 24 hours observed: got %d minutes, want %d", i+1, n, usable)
		}
	}
}

func compareMinutes(t *rapid.T, connector, day int, got, want *[dayMinutes]Minute) {
	for m := range want {
		if got[m] != want[m] {
			t.Fatalf("connector %d, day %d, minute %02d:%02d: got %s, want %s", connector+1, day, m/60, m%60, got[m], want[m])
		}
	}
}
