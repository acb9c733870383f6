package health

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/charge"
)

// A diary is a log of one pile with a tick every 10 s, written by hour of the day of start in Asia/Shanghai.
type diary struct {
	*replay
	seq uint64
}

func newDiary() *diary {
	d := &diary{replay: newReplay(DefaultPolicy())}
	d.state.Advance(startDay)
	return d
}

// at is a time of the first day.
func at(hours float64) time.Time { return startDay.Add(time.Duration(hours * float64(time.Hour))) }

// until lets time pass with ticks, and with heartbeats of the pile if it lives.
func (d *diary) until(end time.Time, lives bool) {
	for t := d.state.Now().Add(10 * time.Second); !t.After(end); t = t.Add(10 * time.Second) {
		d.take(&record{Reading: charge.Reading{Received: t}})
		if lives && t.Second() == 0 {
			d.take(&record{Reading: charge.Reading{Kind: charge.KindHeartbeat, Has: charge.HasOnline, Online: true, At: t, Received: t}})
		}
	}
}

// tell is a status of connector 1 received now, sent at sent by its own clock.
func (d *diary) tell(status charge.Status, sent time.Time) Taken {
	d.seq++
	r := charge.Reading{Kind: charge.KindStatus, Has: charge.HasStatus, Status: status, Connector: "1", At: sent, Received: d.state.Now()}
	return d.state.Tell(&d.pile, &d.connectors[0], &r)
}

func (d *diary) say(status charge.Status) { d.tell(status, d.state.Now()) }

// repeat tells a status each half hour until end.
func (d *diary) repeat(status charge.Status, end time.Time) {
	for d.state.Now().Before(end) {
		d.say(status)
		d.until(d.state.Now().Add(30*time.Minute), true)
	}
}

func (d *diary) link(kind charge.Kind, session int64) {
	d.take(&record{Reading: charge.Reading{Kind: kind, Has: charge.HasSession, Session: session, At: d.state.Now(), Received: d.state.Now()}})
}

var always = []charge.Span{{From: startDay.AddDate(-1, 0, 0), Until: startDay.AddDate(1, 0, 0)}}

// day is a day of connector 1, numbered from the first, as "kind minutes, ...".
func (d *diary) day(n int, service, excused []charge.Span) string {
	var day Day
	if !d.state.CloseDay(&day, &d.pile, &d.connectors[0], startDay.AddDate(0, 0, n), service, excused) {
		return "freed"
	}
	var parts []string
	for _, s := range day.Strip() {
		parts = append(parts, fmt.Sprintf("%s %d", s.Kind, s.Minutes))
	}
	return strings.Join(parts, ", ")
}

func TestAsAnOfficerWouldTellIt(t *testing.T) {
	tests := []struct {
		name    string
		live    func(*diary)
		day     int
		service []charge.Span
		excused []charge.Span
		want    string
	}{
		{"idle all day", func(d *diary) { d.repeat(charge.Idle, at(25)) }, 0, nil, nil, "usable 1440"},
		{"a status of six hours that nothing repeats", func(d *diary) {
			d.say(charge.Idle)
			d.until(at(24), true)
		}, 0, nil, nil, "usable 361, unknown 1079"},
		{"the modem lives and the status is 40 days old", func(d *diary) {
			d.say(charge.Idle)
			d.until(at(40*24-1), false)
			d.until(at(41*24), true)
		}, 40, nil, nil, "unknown 1440"},
		{"silent after 15 minutes", func(d *diary) {
			d.say(charge.Idle)
			d.until(at(24), false)
		}, 0, nil, nil, "usable 16, silent 1424"},
		{"told 2 for 30 hours: blocked after 24", func(d *diary) { d.repeat(charge.Occupied, at(30)) }, 1, nil, nil, "usable 1, blocked 360, not_in_service 1079"},
		{"told 2 and 4 for 24 hours: not yet blocked", func(d *diary) {
			d.repeat(charge.Occupied, at(12))
			d.repeat(charge.Reserved, at(24))
		}, 0, nil, nil, "usable 1440"},
		{"charged in between: not blocked", func(d *diary) {
			d.repeat(charge.Occupied, at(20))
			d.say(charge.Charging)
			d.repeat(charge.Occupied, at(30))
		}, 1, nil, nil, "usable 361, not_in_service 1079"},
		{"a lot open 18:00 to 08:00 is not out by day", func(d *diary) {
			d.repeat(charge.Idle, at(8))
			d.repeat(charge.Offline, at(18))
			d.repeat(charge.Idle, at(24))
		}, 0, []charge.Span{{From: at(-6), Until: at(8)}, {From: at(18), Until: at(32)}}, nil, "usable 480, not_in_service 600, usable 360"},
		{"a beach station closed in winter", func(d *diary) {
			d.until(at(24), false)
		}, 0, []charge.Span{{From: startDay.AddDate(0, -2, 0), Until: startDay.AddDate(0, -1, 0)}}, nil, "not_in_service 1440"},
		{"our own uplink fails for 25 hours: excused, and silence starts anew", func(d *diary) {
			d.say(charge.Idle)
			d.until(at(6), true)
			d.state.Advance(at(31))
			d.until(at(31.5), false)
		}, 1, nil, nil, "excused 420, usable 1, unknown 15, silent 15, not_in_service 989"},
		{"the status does not age while the platform is away", func(d *diary) {
			d.until(at(5), true)
			d.say(charge.Idle)
			d.until(at(6), true)
			d.state.Advance(at(31))
			d.until(at(40), true)
		}, 1, nil, nil, "excused 420, usable 301, unknown 240, not_in_service 479"},
		{"what it kept while the platform was away tells that it was usable", func(d *diary) {
			d.say(charge.Idle)
			d.until(at(6), true)
			d.state.Advance(at(12))
			for h := 6.5; h < 12; h += 0.2 {
				d.state.Advance(d.state.Now().Add(10 * time.Millisecond))
				d.tell(charge.Idle, at(h))
			}
			d.say(charge.Idle)
			d.until(at(12.5), true)
		}, 0, nil, nil, "usable 361, excused 29, usable 360, not_in_service 690"},
		{"an adapter that tells faults as offline: out, and not a fault", func(d *diary) { d.repeat(charge.Offline, at(24)) }, 0, nil, nil, "out 1440"},
		{"a fault", func(d *diary) {
			d.repeat(charge.Idle, at(10))
			d.repeat(charge.Faulted, at(24))
		}, 0, nil, nil, "usable 600, fault 840"},
		{"the \"disconnected\" of an old session after the new one's \"connected\"", func(d *diary) {
			d.link(charge.KindConnected, 1)
			d.say(charge.Idle)
			d.until(at(1), true)
			d.link(charge.KindConnected, 2)
			d.say(charge.Idle)
			d.link(charge.KindDisconnected, 1)
			d.until(at(2), true)
		}, 0, nil, nil, "usable 121, not_in_service 1319"},
		{"its connection ends: out while it is not silent, and then unknown", func(d *diary) {
			d.link(charge.KindConnected, 1)
			d.say(charge.Idle)
			d.until(at(1), true)
			d.link(charge.KindDisconnected, 1)
			d.until(at(2), false)
		}, 0, nil, nil, "usable 60, out 16, silent 45, not_in_service 1319"},
		{"its clock is one hour ahead", func(d *diary) {
			for range 24 {
				r := charge.Reading{
					Kind: charge.KindStatus, Has: charge.HasStatus | charge.ClockWrong, Status: charge.Idle, Connector: "1",
					At: d.state.Now(), Received: d.state.Now(),
				}
				d.take(&record{Reading: r})
				d.until(d.state.Now().Add(time.Hour), true)
			}
		}, 0, nil, nil, "usable 1440"},
		{"its clock is one hour behind", func(d *diary) {
			for range 24 {
				if got := d.tell(charge.Idle, d.state.Now().Add(-time.Hour)); got != InTime {
					t.Errorf("a clock that is behind: got %d, want in time", got)
				}
				for end := d.state.Now().Add(time.Hour); d.state.Now().Before(end); {
					d.until(d.state.Now().Add(time.Minute), false)
					r := charge.Reading{Kind: charge.KindHeartbeat, Has: charge.HasOnline, Online: true, At: d.state.Now().Add(-time.Hour), Received: d.state.Now()}
					d.take(&record{Reading: r})
				}
			}
		}, 0, nil, nil, "usable 1440"},
		{"its clock is set an hour back, and is believed after ten minutes", func(d *diary) {
			d.say(charge.Faulted)
			d.until(at(0.95), true)
			d.until(at(1), false)
			for range 6 {
				d.tell(charge.Idle, d.state.Now().Add(-time.Hour))
				d.until(d.state.Now().Add(5*time.Minute), false)
			}
		}, 0, nil, nil, "fault 70, usable 21, not_in_service 1349"},
		{"a message two days late fills what nobody knew", func(d *diary) {
			d.say(charge.Idle)
			d.until(at(1), true)
			d.until(at(50), false)
			if got := d.tell(charge.Faulted, at(2)); got != ComeLate {
				t.Errorf("two days late: got %d, want late", got)
			}
			d.say(charge.Idle)
		}, 0, nil, nil, "usable 76, silent 44, fault 16, silent 1304"},
		{"a message five days late changes nothing", func(d *diary) {
			d.say(charge.Idle)
			d.until(at(1), true)
			d.until(at(122), false)
			if got := d.tell(charge.Faulted, at(2)); got != TooLate {
				t.Errorf("five days late: got %d, want too late", got)
			}
			d.say(charge.Idle)
		}, 0, nil, nil, "usable 76, silent 1364"},
		{"a late message says nothing of what is known", func(d *diary) {
			d.repeat(charge.Idle, at(3))
			d.tell(charge.Faulted, at(1))
			d.say(charge.Idle)
			d.until(at(3.1), true)
		}, 0, nil, nil, "usable 187, not_in_service 1253"},
		{"of two late words of one minute the later by its own time counts, whichever comes first", func(d *diary) {
			d.say(charge.Idle)
			d.until(at(10), false)
			for _, sent := range []time.Duration{40 * time.Second, 10 * time.Second} {
				status := charge.Faulted
				if sent == 10*time.Second {
					status = charge.Offline
				}
				d.tell(status, at(2).Add(sent))
				d.say(charge.Idle)
				d.until(d.state.Now().Add(10*time.Second), false)
			}
		}, 0, nil, nil, "usable 16, silent 105, fault 15, silent 464, usable 1, not_in_service 839"},
		{"before the platform's first record nobody could be seen: excused", func(d *diary) {
			d.replay = newReplay(DefaultPolicy())
			d.state.Advance(at(10))
			d.repeat(charge.Idle, at(24))
		}, 0, nil, nil, "excused 600, usable 840"},
		{"nor on the day before it", func(d *diary) {
			d.replay = newReplay(DefaultPolicy())
			d.state.Advance(at(34))
			d.repeat(charge.Idle, at(48))
		}, 0, nil, nil, "excused 1440"},
		{"who is silent from the first record on is silent, not excused", func(d *diary) {
			d.replay = newReplay(DefaultPolicy())
			d.state.Advance(at(10))
			d.until(at(24), false)
		}, 0, nil, nil, "excused 600, silent 840"},
		{"a power cut excuses what is not usable", func(d *diary) {
			d.repeat(charge.Idle, at(10))
			d.until(at(24), false)
		}, 0, nil, []charge.Span{{From: at(9), Until: at(20)}}, "usable 616, excused 584, silent 240"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDiary()
			tt.live(d)
			if tt.service == nil {
				tt.service = always
			}
			if got := d.day(tt.day, tt.service, tt.excused); got != tt.want {
				t.Errorf("day %d:\ngot  %s\nwant %s", tt.day, got, tt.want)
			}
		})
	}
}

func TestUsableObserved(t *testing.T) {
	tests := []struct {
		name             string
		live             func(*diary)
		left             []charge.Span
		usable, observed int
	}{
		{"usable for 59 minutes of the last day", func(d *diary) {
			d.repeat(charge.Faulted, at(24))
			d.repeat(charge.Idle, at(24.5))
			d.until(at(24.5+29.0/60), true)
			d.say(charge.Faulted)
			d.until(at(25.5), true)
		}, nil, 59, 1440},
		{"usable for 60 minutes of the last day", func(d *diary) {
			d.repeat(charge.Faulted, at(24))
			d.repeat(charge.Idle, at(25))
			d.say(charge.Faulted)
			d.until(at(26), true)
		}, nil, 60, 1440},
		{"the platform away for 25 hours: it is as it was", func(d *diary) {
			d.repeat(charge.Faulted, at(1))
			d.repeat(charge.Idle, at(2))
			d.repeat(charge.Faulted, at(24))
			d.state.Advance(at(49))
		}, nil, 60, 1440},
		{"excused time is left out, and the window reaches back for it", func(d *diary) {
			d.repeat(charge.Idle, at(1))
			d.repeat(charge.Faulted, at(30))
		}, []charge.Span{{From: at(2), Until: at(8)}}, 59, 1440},
		{"a blocked connector is not usable for coverage", func(d *diary) { d.repeat(charge.Occupied, at(60)) }, nil, 0, 1440},
		{"away for nearly all of 96 hours: what is left of them", func(d *diary) {
			d.repeat(charge.Idle, at(2))
			d.state.Advance(at(97))
		}, nil, 61, 61},
		{"what comes late never raises it", func(d *diary) {
			d.say(charge.Idle)
			d.until(at(10), false)
			for h := 1.0; h < 10; h += 0.2 {
				d.tell(charge.Idle, at(h))
			}
			d.say(charge.Faulted)
			d.until(at(24), true)
		}, nil, 15, 1440},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDiary()
			tt.live(d)
			usable, observed := d.state.UsableObserved(&d.connectors[0], 24*time.Hour, tt.left)
			if usable != tt.usable || observed != tt.observed {
				t.Errorf("got %d of %d minutes, want %d of %d", usable, observed, tt.usable, tt.observed)
			}
		})
	}
}

func TestBlocked(t *testing.T) {
	d := newDiary()
	d.repeat(charge.Reserved, at(24))
	if d.state.Blocked(&d.connectors[0]) {
		t.Error("blocked after 24 hours, want after more")
	}
	d.repeat(charge.Occupied, at(25))
	if !d.state.Blocked(&d.connectors[0]) {
		t.Error("not blocked after 25 hours")
	}
	d.say(charge.Idle)
	if d.state.Blocked(&d.connectors[0]) {
		t.Error("still blocked when told idle")
	}
}

func TestInServiceBeginsWithTheFirstUsableMinuteOrThirtyDaysAfterItOpened(t *testing.T) {
	opened := startDay
	for _, tt := range []struct {
		name        string
		firstUsable time.Time
		want        time.Time
	}{
		{"usable before it opened", opened.AddDate(0, 0, -3), opened},
		{"usable on the tenth day", opened.AddDate(0, 0, 10), opened.AddDate(0, 0, 10)},
		{"usable on the fortieth day", opened.AddDate(0, 0, 40), opened.AddDate(0, 0, 30)},
		{"never usable", time.Time{}, opened.AddDate(0, 0, 30)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Connector{}
			if !tt.firstUsable.IsZero() {
				c.FirstUsable = tt.firstUsable.UnixMilli()
			}
			early, long := charge.Span{From: opened.AddDate(0, 0, -9), Until: opened.AddDate(0, 0, -8)}, charge.Span{From: opened.AddDate(0, 0, -1), Until: opened.AddDate(1, 0, 0)}
			got := New(DefaultPolicy()).InService(&c, opened, []charge.Span{early, long})
			if len(got) != 1 || !got[0].From.Equal(tt.want) || !got[0].Until.Equal(long.Until) {
				t.Errorf("got %v, want one span from %s", got, tt.want)
			}
		})
	}
}

// The worked example of judgement.md §2: of 1,440 minutes in service 300 out, 120 unknown, 60 excused: 69.6 %.
func TestTheWorkedExampleOfAvailability(t *testing.T) {
	d := newDiary()
	d.until(at(0.5), true)
	d.repeat(charge.Idle, at(10))
	d.repeat(charge.Faulted, at(15.5)) // 330 minutes, of which 30 are excused
	d.repeat(charge.Idle, at(20))      // heard until 20:00, not silent before 20:16
	d.until(at(22).Add(16*time.Minute), false)
	d.repeat(charge.Idle, at(25))
	d.until(at(26), true)
	var day Day
	service := []charge.Span{{From: startDay, Until: at(24)}}
	excused := []charge.Span{{From: at(-3), Until: at(0.5)}, {From: at(10), Until: at(10.5)}}
	d.state.CloseDay(&day, &d.pile, &d.connectors[0], startDay, service, excused)
	sum := day.Sum()
	availability := float64(sum.Usable) / float64(sum.InService()-int(sum.Excused))
	if sum.Usable != 960 || sum.Excused != 60 || sum.Out != 300 || sum.Unknown != 120 || math.Round(availability*1000) != 696 {
		t.Errorf("got %+v, availability %.3f", sum, availability)
	}
}

// The year's end: the last day of a year and the first of the next are days of Asia/Shanghai, and a break goes on.
func TestABreakGoesOnOverTheYearsEnd(t *testing.T) {
	midnight := time.Date(2026, 1, 1, 0, 0, 0, 0, charge.Zone)
	p := newReplay(DefaultPolicy())
	say := func(at time.Time, status charge.Status) {
		p.take(&record{Reading: charge.Reading{Kind: charge.KindStatus, Has: charge.HasStatus, Status: status, Connector: "1", At: at, Received: at}})
	}
	for m := -120; m <= 60; m++ {
		status := charge.Idle
		if m >= -30 && m < 20 {
			status = charge.Faulted
		}
		say(midnight.Add(time.Duration(m)*time.Minute), status)
	}
	var last, first Day
	p.state.CloseDay(&last, &p.pile, &p.connectors[0], midnight.AddDate(0, 0, -1), []charge.Span{{From: midnight.Add(-2 * time.Hour), Until: midnight.Add(time.Hour)}}, nil)
	p.state.CloseDay(&first, &p.pile, &p.connectors[0], midnight, []charge.Span{{From: midnight.Add(-2 * time.Hour), Until: midnight.Add(time.Hour)}}, nil)
	got := [2]charge.DayMinutes{last.Sum(), first.Sum()}
	want := [2]charge.DayMinutes{
		{Usable: 90, Out: 30, Fault: 30, Heard: 120, BreakLongest: 30, BreakLast: 30},
		{Usable: 40, Out: 20, Fault: 20, Heard: 60, BreakFirst: 20, BreakLongest: 20},
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAPileIsWhatItsConnectorsAreTogether(t *testing.T) {
	tests := []struct {
		a, b, want Minute
	}{
		{Usable, Fault, Usable},
		{Blocked, Usable, Usable},
		{Blocked, Silent, Blocked},
		{Excused, Excused, Excused},
		{Excused, Fault, Out},
		{Excused, Silent, Silent},
		{Excused, NotInService, Excused},
		{Fault, Fault, Fault},
		{Fault, NotInService, Fault},
		{Fault, Out, Out},
		{Fault, Silent, Out},
		{Out, Unknown, Out},
		{Unknown, Silent, Unknown},
		{NotInService, NotInService, NotInService},
	}
	for _, tt := range tests {
		for _, pair := range [][2]Minute{{tt.a, tt.b}, {tt.b, tt.a}} {
			a, b, got := Day{EnergyWh: 1, Sessions: 200}, Day{EnergyWh: 2, Sessions: 100}, Day{}
			for i, d := range []*Day{&a, &b} {
				d.add(7, NotInService)
				d.add(1, pair[i])
				d.add(1432, NotInService)
			}
			got.Unite(&a, &b)
			if m := minutesOf(&got)[7]; m != tt.want || got.EnergyWh != 3 || got.Sessions != 255 {
				t.Errorf("%s and %s: got %s, %d Wh, %d sessions, want %s, 3, 255", pair[0], pair[1], m, got.EnergyWh, got.Sessions, tt.want)
			}
		}
	}
}

func TestBreaks(t *testing.T) {
	tests := []struct {
		name                 string
		strip                []Stretch
		first, longest, last uint16
	}{
		{"usable all day", []Stretch{{Usable, 1440}}, 0, 0, 0},
		{"never usable", []Stretch{{Silent, 1440}}, 1440, 1440, 1440},
		{"three breaks", []Stretch{{Fault, 10}, {Usable, 1}, {Out, 30}, {Blocked, 5}, {Unknown, 20}}, 10, 30, 20},
		{"excused time ends no break", []Stretch{{Usable, 1}, {Out, 10}, {Excused, 300}, {Silent, 7}, {Usable, 1}}, 0, 17, 0},
		{"nor does time out of service", []Stretch{{NotInService, 60}, {Out, 10}, {NotInService, 600}, {Out, 5}, {Usable, 1}, {Out, 2}, {NotInService, 762}}, 15, 15, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d Day
			for _, s := range tt.strip {
				d.add(int32(s.Minutes), s.Kind) //nolint:gosec // of a day
			}
			if sum := d.Sum(); sum.BreakFirst != tt.first || sum.BreakLongest != tt.longest || sum.BreakLast != tt.last {
				t.Errorf("got %d, %d, %d, want %d, %d, %d", sum.BreakFirst, sum.BreakLongest, sum.BreakLast, tt.first, tt.longest, tt.last)
			}
		})
	}
}

// minutesOf gives a day minute by minute.
func minutesOf(d *Day) *[dayMinutes]Minute {
	var all [dayMinutes]Minute
	i := 0
	for _, r := range d.Runs {
		for range r.minutes() {
			all[i] = r.kind()
			i++
		}
	}
	return &all
}
