package health

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

var start = time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)

// bench is one pile with one connector on the log.
type bench struct {
	State     *State
	Pile      Pile
	Connector Connector
}

func newBench(reportEvery time.Duration) *bench {
	b := &bench{State: New(DefaultPolicy())}
	b.Connector.SilenceMS = int32(b.State.SilenceLimit(reportEvery).Milliseconds())
	b.State.Advance(start)
	return b
}

// A happening is something at a time after start.
type happening struct {
	at time.Duration
	do func(*bench, time.Time)
}

// ticks lets time pass until at, a tick every 10 s.
func ticks(at time.Duration) happening {
	return happening{at, func(b *bench, until time.Time) {
		for t := b.State.Now(); t.Before(until); {
			t = t.Add(10 * time.Second)
			b.State.Advance(t)
			b.State.Settle(&b.Connector)
		}
	}}
}

// gap is a time without any gateway, ended by one tick.
func gap(until time.Duration) happening {
	return happening{until, func(b *bench, now time.Time) {
		b.State.Advance(now)
		b.State.Settle(&b.Connector)
	}}
}

func message(at time.Duration, change func(*charge.Reading)) happening {
	return happening{at, func(b *bench, now time.Time) {
		r := charge.Reading{At: now, Received: now}
		change(&r)
		b.take(&r)
	}}
}

// take does what a judge does with one reading of the pile.
func (b *bench) take(r *charge.Reading) {
	received := r.Received.UnixMilli()
	b.State.Advance(r.Received)
	says := There
	switch r.Kind {
	case charge.KindStatus, charge.KindTelemetry:
		b.State.Tell(&b.Pile, &b.Connector, r)
		says = Nothing
	case charge.KindHeartbeat:
		says = b.Pile.Beat(r)
	case charge.KindConnected, charge.KindDisconnected:
		says = b.Pile.Attach(r)
	}
	switch says {
	case Left:
		b.State.Leave(&b.Connector, received)
	case There:
		b.State.Return(&b.Connector, received)
	case Heard:
		b.State.Hear(&b.Connector, received)
	case Nothing:
	}
	b.State.Settle(&b.Connector)
}

// told is a status received at at; sent is by the device's clock.
func told(at time.Duration, status charge.Status, more ...func(*charge.Reading)) happening {
	return message(at, func(r *charge.Reading) {
		r.Kind, r.Has, r.Status = charge.KindStatus, charge.HasStatus, status
		for _, m := range more {
			m(r)
		}
	})
}

func sent(at time.Duration) func(*charge.Reading) {
	return func(r *charge.Reading) { r.At = start.Add(at) }
}

func seq(n uint64) func(*charge.Reading) {
	return func(r *charge.Reading) { r.Seq = n; r.Has |= charge.HasSeq }
}

func fault(f charge.Fault) func(*charge.Reading) {
	return func(r *charge.Reading) { r.Fault = f }
}

func clockWrong(r *charge.Reading) { r.Has |= charge.ClockWrong }

func telemetry(at time.Duration, kw float64, more ...func(*charge.Reading)) happening {
	return message(at, func(r *charge.Reading) {
		r.Kind, r.Has, r.PowerKW = charge.KindTelemetry, charge.HasPower, kw
		for _, m := range more {
			m(r)
		}
	})
}

func telling(status charge.Status) func(*charge.Reading) {
	return func(r *charge.Reading) { r.Status = status; r.Has |= charge.HasStatus }
}

func heartbeat(at time.Duration, session int64, online bool) happening {
	return message(at, func(r *charge.Reading) {
		r.Kind, r.Online, r.Has = charge.KindHeartbeat, online, charge.HasOnline
		if session != 0 {
			r.Session = session
			r.Has |= charge.HasSession
		}
	})
}

func connected(at time.Duration, session int64) happening {
	return message(at, func(r *charge.Reading) {
		r.Kind, r.Session, r.Has = charge.KindConnected, session, charge.HasSession
	})
}

func disconnected(at time.Duration, session int64) happening {
	return message(at, func(r *charge.Reading) {
		r.Kind, r.Session, r.Has = charge.KindDisconnected, session, charge.HasSession
	})
}

// heartbeats are one a minute from after from until until.
func heartbeats(from, until time.Duration) happening {
	return happening{until, func(b *bench, end time.Time) {
		for t := start.Add(from + time.Minute); !t.After(end); t = t.Add(time.Minute) {
			r := charge.Reading{Kind: charge.KindHeartbeat, Has: charge.HasOnline, Online: true, At: t, Received: t}
			b.take(&r)
		}
	}}
}

const (
	sec  = time.Second
	mins = time.Minute
	hour = time.Hour
)

func TestAConnectorIs(t *testing.T) {
	type shown struct {
		Status charge.Status
		Silent bool
		Usable bool
	}
	var (
		usableIdle = shown{charge.Idle, false, true}
		lapsedIdle = shown{charge.Idle, false, false}
		silentIdle = shown{charge.Idle, true, false}
		left       = shown{charge.Offline, false, false}
	)
	tests := []struct {
		name   string
		report time.Duration
		log    []happening
		want   shown
	}{
		{"nothing before its first word", 0, []happening{ticks(hour)}, shown{}},
		{"usable when told idle", 0, []happening{told(0, charge.Idle)}, usableIdle},
		{"usable when told reserved", 0, []happening{told(0, charge.Reserved)}, shown{charge.Reserved, false, true}},
		{"not usable when told offline", 0, []happening{told(0, charge.Offline)}, shown{charge.Offline, false, false}},
		{"not usable when told a fault", 0, []happening{told(0, charge.Faulted)}, shown{charge.Faulted, false, false}},
		{"not yet silent at 15 minutes", 0, []happening{told(0, charge.Idle), ticks(15 * mins)}, usableIdle},
		{"silent after 15 minutes", 0, []happening{told(0, charge.Idle), ticks(15*mins + 10*sec)}, silentIdle},
		{"heard again after silence", 0, []happening{told(0, charge.Idle), ticks(hour), heartbeat(hour+sec, 0, true)}, usableIdle},
		{"silent after three of its declared reports", 30 * mins, []happening{told(0, charge.Idle), ticks(90*mins + 10*sec)}, silentIdle},
		{"not silent within three of its declared reports", 30 * mins, []happening{told(0, charge.Idle), ticks(90 * mins)}, usableIdle},
		{"silent after a day however seldom it reports", 12 * hour, []happening{told(0, charge.Idle), ticks(24*hour + 10*sec)}, silentIdle},
		{"kept heard by heartbeats, and usable for 6 hours only", 0, []happening{told(0, charge.Idle), heartbeats(0, 6*hour+mins)}, lapsedIdle},
		{"usable at 6 hours when heartbeats keep it heard", 0, []happening{told(0, charge.Idle), heartbeats(0, 6*hour)}, usableIdle},
		{"never usable by heartbeats alone", 0, []happening{heartbeats(0, hour)}, shown{}},
		{"usable for 6 hours from the repetition", 0, []happening{
			told(0, charge.Idle), heartbeats(0, 5*hour), told(5*hour+sec, charge.Idle), heartbeats(5*hour, 11*hour),
		}, usableIdle},
		{"kept charging by telemetry that agrees", 0, []happening{
			told(0, charge.Charging), heartbeats(0, 5*hour), telemetry(5*hour+sec, 60), heartbeats(5*hour, 7*hour),
		}, shown{charge.Charging, false, true}},
		{"not kept charging by telemetry of no power", 0, []happening{
			told(0, charge.Charging), heartbeats(0, 5*hour), telemetry(5*hour+sec, 0), heartbeats(5*hour, 7*hour),
		}, shown{charge.Charging, false, false}},
		{"not kept idle by telemetry of power", 0, []happening{
			told(0, charge.Idle), heartbeats(0, 5*hour), telemetry(5*hour+sec, 7), heartbeats(5*hour, 7*hour),
		}, lapsedIdle},
		{"what its telemetry tells", 0, []happening{told(0, charge.Idle), telemetry(mins, 60, telling(charge.Charging))}, shown{charge.Charging, false, true}},

		{"not changed by a late message", 0, []happening{told(10*mins, charge.Faulted), told(11*mins, charge.Idle, sent(9*mins))}, shown{charge.Faulted, false, false}},
		{"heard by a late message", 0, []happening{told(0, charge.Idle), ticks(hour), told(hour+sec, charge.Faulted, sent(-mins))}, usableIdle},
		{"not changed by a late message with its number", 0, []happening{
			told(10*mins, charge.Faulted, seq(7)), told(11*mins, charge.Idle, seq(6), sent(9*mins)),
		}, shown{charge.Faulted, false, false}},
		{"changed by the next number though its clock was set back", 0, []happening{
			told(10*mins, charge.Faulted, seq(7)), told(11*mins, charge.Idle, seq(8), sent(-hour)),
		}, usableIdle},
		{"not changed by a repeat from before its clock was set back", 0, []happening{
			told(10*mins, charge.Faulted, seq(7)), told(11*mins, charge.Idle, seq(8), sent(-hour)),
			told(12*mins, charge.Faulted, seq(7), func(r *charge.Reading) { r.At, r.Received = start.Add(10*mins), start.Add(10*mins) }),
		}, usableIdle},
		{"changed after its number has wrapped", 0, []happening{
			told(0, charge.Faulted, seq(1<<64-1)), told(mins, charge.Idle, seq(0)),
		}, usableIdle},
		{"changed after a number of 16 bits has wrapped", 0, []happening{
			told(0, charge.Faulted, seq(65535)), told(mins, charge.Idle, seq(0)),
		}, usableIdle},
		{"changed after a restart that begins to count anew", 0, []happening{
			told(0, charge.Faulted, seq(5000)), told(mins, charge.Idle, seq(1)),
		}, usableIdle},
		{"changed after a restart that lost its clock", 0, []happening{
			connected(0, 1), told(sec, charge.Faulted, seq(5000)), connected(hour, 2), told(hour+sec, charge.Idle, seq(1), sent(-40000*hour)),
		}, usableIdle},
		{"not changed by a repeat from before the restart", 0, []happening{
			connected(0, 1), told(sec, charge.Faulted, seq(5000)), connected(mins, 2), told(mins+sec, charge.Idle, seq(1)),
			told(2*mins, charge.Faulted, seq(5000), func(r *charge.Reading) { r.At, r.Received = start.Add(sec), start.Add(sec) }),
		}, usableIdle},
		{"told at the gateway's time where its clock is an hour ahead", 0, []happening{
			told(0, charge.Faulted), told(mins, charge.Idle, clockWrong), told(2*mins, charge.Occupied, clockWrong),
		}, shown{charge.Occupied, false, true}},
		{"told by the gateway's time though its clock was 9 minutes ahead before", 0, []happening{
			told(0, charge.Faulted, sent(9*mins)), told(mins, charge.Idle, clockWrong),
		}, usableIdle},
		{"not changed by a repeat of what a wrong clock said", 0, []happening{
			told(0, charge.Faulted, clockWrong), told(mins, charge.Idle, clockWrong),
			told(2*mins, charge.Faulted, clockWrong, func(r *charge.Reading) { r.At, r.Received = start, start }),
		}, usableIdle},
		{"usable though its clock is 8 hours behind", 0, []happening{told(0, charge.Idle, sent(-8*hour)), ticks(10 * mins)}, usableIdle},

		{"offline when its connection ended", 0, []happening{connected(0, 1), told(sec, charge.Idle), disconnected(mins, 1)}, left},
		{"back as it was when it connects again", 0, []happening{
			connected(0, 1), told(sec, charge.Idle), disconnected(mins, 1), connected(2*mins, 2),
		}, usableIdle},
		{"there when the end of its old connection comes after the new one's begin", 0, []happening{
			connected(0, 1), told(sec, charge.Idle), connected(mins, 2), disconnected(mins+sec, 1),
		}, usableIdle},
		{"offline after the end of its newest connection", 0, []happening{
			connected(0, 1), told(sec, charge.Idle), connected(mins, 2), disconnected(mins+sec, 1), disconnected(2*mins, 2),
		}, left},
		{"offline by its last will", 0, []happening{heartbeat(0, 100, true), told(sec, charge.Idle), heartbeat(mins, 100, false)}, left},
		{"there when the last will of an old session comes late", 0, []happening{
			heartbeat(0, 100, true), told(sec, charge.Idle), heartbeat(mins, 200, true), heartbeat(mins+sec, 100, false),
		}, usableIdle},
		{"not heard by the last will of an old session", 0, []happening{
			told(0, charge.Idle), heartbeat(sec, 200, true), ticks(hour), heartbeat(hour+sec, 100, false),
		}, silentIdle},
		{"offline by a last will that names no session", 0, []happening{told(0, charge.Idle), heartbeat(mins, 0, false)}, left},
		{"heard by a heartbeat of an old session", 0, []happening{
			heartbeat(0, 200, true), told(sec, charge.Idle), ticks(hour), heartbeat(hour+sec, 100, true),
		}, usableIdle},
		{"offline though a repeat from before its leaving comes", 0, []happening{
			connected(0, 1), told(sec, charge.Idle), disconnected(mins, 1),
			message(2*mins, func(r *charge.Reading) {
				r.Kind, r.Session, r.Received = charge.KindConnected, 1, start
			}),
		}, left},
		{"there though its last will is told again", 0, []happening{
			told(0, charge.Idle), heartbeat(mins, 0, false), told(2*mins, charge.Idle),
			message(3*mins, func(r *charge.Reading) {
				r.Kind, r.Has, r.Received = charge.KindHeartbeat, charge.HasOnline, start.Add(mins)
			}),
		}, usableIdle},

		{"not silent for an outage of the platform", 0, []happening{told(0, charge.Idle), ticks(mins), gap(5 * hour), ticks(5*hour + 15*mins)}, usableIdle},
		{"silent 15 minutes after an outage of the platform", 0, []happening{
			told(0, charge.Idle), ticks(mins), gap(5 * hour), ticks(5*hour + 15*mins + 10*sec),
		}, silentIdle},
		{"silent still when it was before an outage", 0, []happening{told(0, charge.Idle), ticks(hour), gap(5 * hour)}, silentIdle},
		{"silent through gaps that are no outage", 0, []happening{
			told(0, charge.Idle), gap(2 * mins), gap(4 * mins), gap(6 * mins), gap(8 * mins), gap(10 * mins), gap(12 * mins), gap(14 * mins), gap(16 * mins),
		}, silentIdle},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(tt.report)
			for _, h := range tt.log {
				h.do(b, start.Add(h.at))
			}
			got := shown{b.Connector.Shown(), b.Connector.Silent, b.State.Usable(&b.Connector)}
			if got != tt.want {
				t.Errorf("got %+v, want %+v\n%+v", got, tt.want, b.Connector)
			}
		})
	}
}

func TestPower(t *testing.T) {
	tests := []struct {
		name string
		log  []happening
		want float64
	}{
		{"never told", nil, 0},
		{"as told", []happening{told(0, charge.Charging), telemetry(sec, 60)}, 60},
		{"fed back", []happening{told(0, charge.Charging), telemetry(sec, -11)}, -11},
		{"holds for a minute", []happening{told(0, charge.Charging), telemetry(0, 60), gap(mins)}, 60},
		{"does not hold longer", []happening{told(0, charge.Charging), telemetry(0, 60), gap(mins + time.Millisecond)}, 0},
		{"ends with the session", []happening{told(0, charge.Charging), telemetry(sec, 60), told(2*sec, charge.Idle)}, 0},
		{"ends with the connection", []happening{told(0, charge.Charging), telemetry(sec, 60), disconnected(2*sec, 1)}, 0},
		{"stays when a late reading comes", []happening{told(0, charge.Charging), telemetry(20*sec, 60), telemetry(21*sec, 5, sent(10*sec))}, 60},
		{"is of now though the clock is behind", []happening{told(0, charge.Charging, sent(-8*hour)), telemetry(sec, 60, sent(-8*hour+sec))}, 60},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(0)
			for _, h := range tt.log {
				h.do(b, start.Add(h.at))
			}
			if got := b.State.Power(&b.Connector); got != tt.want {
				t.Errorf("Power: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFaultAndSince(t *testing.T) {
	b := newBench(0)
	for _, step := range []struct {
		name  string
		do    happening
		fault charge.Fault
		since time.Duration
	}{
		{"a fault begins", told(mins, charge.Faulted, fault("insulation")), "insulation", mins},
		{"it is repeated", told(2*mins, charge.Faulted, fault("insulation")), "insulation", mins},
		{"telemetry repeats it without its code", telemetry(3*mins, 0, telling(charge.Faulted)), "insulation", mins},
		{"another fault takes its place", told(4*mins, charge.Faulted, fault("flood")), "flood", 4 * mins},
		{"it is mended", told(5*mins, charge.Idle), "", 5 * mins},
		{"it goes silent", ticks(25 * mins), "", 20*mins + 10*sec},
		{"it is heard again", heartbeat(26*mins, 0, true), "", 26 * mins},
		{"it leaves", heartbeat(27*mins, 0, false), "", 27 * mins},
	} {
		step.do.do(b, start.Add(step.do.at))
		if want := start.Add(step.since).UnixMilli(); b.Connector.Fault != step.fault || b.Connector.Since != want {
			t.Errorf("%s: got fault %q since %s, want %q since %s", step.name, b.Connector.Fault,
				time.UnixMilli(b.Connector.Since).Sub(start), step.fault, step.since)
		}
	}
}

func TestLastUsableMovesWithTheLogWhileUsable(t *testing.T) {
	b := newBench(0)
	for _, h := range []happening{told(0, charge.Idle), ticks(10 * mins), told(10*mins+5*sec, charge.Faulted), ticks(20 * mins)} {
		h.do(b, start.Add(h.at))
	}
	if got, want := time.UnixMilli(b.Connector.LastUsable).Sub(start), 10*mins; got != want {
		t.Errorf("last usable: got %s, want %s", got, want)
	}
}

func TestObserved(t *testing.T) {
	tests := []struct {
		name  string
		log   []happening
		since time.Duration
		want  time.Duration
	}{
		{"all of it", []happening{ticks(hour)}, 0, hour},
		{"not the outage", []happening{ticks(hour), gap(3 * hour), ticks(4 * hour)}, 0, 2 * hour},
		{"only the part after an outage that began before", []happening{ticks(hour), gap(3 * hour), ticks(4 * hour)}, 2 * hour, hour},
		{"two outages", []happening{ticks(hour), gap(2 * hour), ticks(3 * hour), gap(5 * hour)}, 0, 2 * hour},
		{"nothing of what is to come", []happening{ticks(hour)}, 2 * hour, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(0)
			for _, h := range tt.log {
				h.do(b, start.Add(h.at))
			}
			if got := b.State.Observed(start.Add(tt.since).UnixMilli()); got != tt.want {
				t.Errorf("Observed: got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestTheLogsClockNeverGoesBack(t *testing.T) {
	s := New(DefaultPolicy())
	if !s.Now().IsZero() {
		t.Errorf("before the first record: got %s, want never", s.Now())
	}
	for _, step := range []struct {
		at      time.Duration
		outage  bool
		now     time.Duration
		because string
	}{
		{0, false, 0, "the first record ends no outage"},
		{10 * sec, false, 10 * sec, "a tick"},
		{5 * sec, false, 10 * sec, "another gateway's clock is behind"},
		{130 * sec, false, 130 * sec, "two minutes are none"},
		{251 * sec, true, 251 * sec, "over two minutes are one"},
	} {
		outage := s.Advance(start.Add(step.at))
		if got := s.Now().Sub(start); outage != step.outage || got != step.now {
			t.Errorf("%s: got outage %t, now %s, want %t, %s", step.because, outage, got, step.outage, step.now)
		}
	}
}

// drawLog draws what a pile with a clock of its own and restarts may send, in the order of the log.
func drawLog(t *rapid.T) []charge.Reading {
	var (
		log      []charge.Reading
		received = start
		at       = start
		number   = rapid.SampledFrom([]uint64{0, 1<<16 - 3, 1<<64 - 3}).Draw(t, "number")
		link     = int64(1)
	)
	for range rapid.IntRange(1, 40).Draw(t, "messages") {
		pass := time.Duration(rapid.SampledFrom([]int{1, 900, 5_000, 59_000, 130_000, 900_001, 30_000_000}).Draw(t, "pass ms")) * time.Millisecond
		received, at = received.Add(pass), at.Add(pass)
		r := charge.Reading{At: at, Received: received}
		switch rapid.IntRange(0, 7).Draw(t, "kind") {
		case 0, 1, 2:
			r.Kind, r.Has = charge.KindStatus, charge.HasStatus|charge.HasSeq
			r.Status = rapid.SampledFrom([]charge.Status{charge.Offline, charge.Idle, charge.Charging, charge.Faulted}).Draw(t, "status")
			number++
			r.Seq = number
		case 3:
			r.Kind, r.Has, r.PowerKW = charge.KindTelemetry, charge.HasPower|charge.HasSeq, float64(rapid.IntRange(0, 60).Draw(t, "kw"))
			number++
			r.Seq = number
		case 4:
			r.Kind, r.Has, r.Session, r.Online = charge.KindHeartbeat, charge.HasOnline|charge.HasSession, link, rapid.Bool().Draw(t, "online")
		case 5:
			r.Kind, r.Has, r.Session = charge.KindDisconnected, charge.HasSession, link
		case 6:
			r.Kind, r.Has, r.Status, r.At = charge.KindStatus, charge.HasStatus|charge.ClockWrong, charge.Occupied, received
		case 7: // it starts anew, perhaps with another clock
			link++
			number = 0
			at = at.Add(time.Duration(rapid.IntRange(-7200, 0).Draw(t, "clock s")) * time.Second)
			r.Kind, r.Has, r.Session = charge.KindConnected, charge.HasSession, link
		}
		log = append(log, r)
	}
	return log
}

func TestRepeatsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		once, again := newBench(0), newBench(0)
		for i := range log {
			once.take(&log[i])
			again.take(&log[i])
			for _, back := range rapid.SliceOfN(rapid.IntRange(0, i), 0, 3).Draw(t, "repeated") {
				now := again.State.Now()
				again.take(&log[back])
				if got := again.State.Now(); !got.Equal(now) {
					t.Fatalf("a repeat moves the log's clock: got %s, want %s", got, now)
				}
			}
			if diff := cmp.Diff(once.Connector, again.Connector); diff != "" {
				t.Fatalf("after message %d (-once +repeated):\n%s", i, diff)
			}
		}
		if diff := cmp.Diff(once.Pile, again.Pile); diff != "" {
			t.Fatalf("pile (-once +repeated):\n%s", diff)
		}
	})
}

func TestASnapshotGoesOnAtAnyPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		whole, cut := newBench(0), newBench(0)
		for i := range log {
			whole.take(&log[i])
			cut.take(&log[i])
			if rapid.Bool().Draw(t, "restart") {
				cut.State = Restore(DefaultPolicy(), cut.State.Snapshot())
			}
		}
		if diff := cmp.Diff(whole.State.Snapshot(), cut.State.Snapshot()); diff != "" {
			t.Fatalf("state (-whole +restarted):\n%s", diff)
		}
		if diff := cmp.Diff(whole.Connector, cut.Connector); diff != "" {
			t.Fatalf("connector (-whole +restarted):\n%s", diff)
		}
		for _, since := range []time.Duration{0, hour, 10 * hour} {
			if got, want := cut.State.Observed(start.Add(since).UnixMilli()), whole.State.Observed(start.Add(since).UnixMilli()); got != want {
				t.Fatalf("Observed(%s): got %s, want %s", since, got, want)
			}
		}
	})
}

func TestAConnectorIsUsableOnlyWhenToldAndHeard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(0)
		for _, r := range drawLog(t) {
			b.take(&r)
			c := &b.Connector
			if b.State.Usable(c) && (!c.Told || c.Silent || !c.Shown().Usable() || b.State.Observed(c.ToldAt) > 6*hour) {
				t.Fatalf("usable: %+v at %s", c, b.State.Now())
			}
		}
	})
}
