package ingest

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/policy"
	"pilewatch/internal/registry"
)

// begin is long after the stations of the tests have opened.
var begin = time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)

const (
	townA = charge.DivisionCode("371721101") // partition 0
	townB = charge.DivisionCode("371721102") // partition 0
	townC = charge.DivisionCode("371721103") // partition 1
)

// fakeDirectory is a registry of a few stations; whoever changes it raises rev.
type fakeDirectory struct {
	rev      int64
	minimum  time.Duration // that a connector must have been usable
	lateness time.Duration // 0: the default
	excuses  []charge.Excuse
	stations []*charge.Station
	piles    []*registry.Pile
	links    []registry.PileLink
}

func (d *fakeDirectory) Rev() int64                          { return d.rev }
func (d *fakeDirectory) Links() []registry.PileLink          { return d.links }
func (d *fakeDirectory) Piles() iter.Seq[*registry.Pile]     { return slices.Values(d.piles) }
func (d *fakeDirectory) Stations() iter.Seq[*charge.Station] { return slices.Values(d.stations) }
func (d *fakeDirectory) Policies() policy.Policies {
	p := *policy.Default()
	p.Coverage.MinUsable = d.minimum
	p.Lateness = cmp.Or(d.lateness, p.Lateness)
	return policy.Policies{&p}
}

func (d *fakeDirectory) Excuses(pile charge.PileID, _ charge.DivisionCode, from, until time.Time) []charge.Excuse {
	var all []charge.Excuse
	for _, e := range d.excuses {
		if e.Operator == pile.Operator && (e.Pile == "" || e.Pile == pile.Equipment) && e.From.Before(until) && from.Before(e.Until) {
			all = append(all, e)
		}
	}
	return all
}

func (d *fakeDirectory) Divisions() []charge.Division {
	var all []charge.Division
	for _, code := range []charge.DivisionCode{"37", "371721", townA, townB, townC} {
		all = append(all, charge.Division{Code: code, Level: code.Level()})
	}
	return all
}

func partitionOf(town charge.DivisionCode) int {
	if town == townC {
		return 1
	}
	return 0
}

// add registers a public station in a town with one pile of this many connectors, named 1, 2, ...
func (d *fakeDirectory) add(name string, town charge.DivisionCode, connectors int, change ...func(*charge.Station)) {
	s := &charge.Station{Operator: "OP", ID: charge.StationID("S" + name), Name: "station " + name, Township: town, Kind: charge.Public, Opened: begin.AddDate(-1, 0, 0)}
	for _, c := range change {
		c(s)
	}
	d.stations = append(d.stations, s)
	p := &registry.Pile{ID: pileNamed(name), Station: s}
	for i := range connectors {
		p.Connectors = append(p.Connectors, charge.Connector{Pile: p.ID, ID: charge.ConnectorID(fmt.Sprint(i + 1)), Station: s.ID, Opened: begin.AddDate(-1, 0, 0)})
	}
	d.piles = append(d.piles, p)
	d.rev++
}

// change replaces a station, and its pile, as a refresh of the registry does.
func (d *fakeDirectory) change(name string, change func(*charge.Station)) {
	i := slices.IndexFunc(d.stations, func(s *charge.Station) bool { return s.ID == charge.StationID("S"+name) })
	s := *d.stations[i]
	change(&s)
	d.stations[i] = &s
	k := slices.IndexFunc(d.piles, func(p *registry.Pile) bool { return p.ID == pileNamed(name) })
	p := *d.piles[k]
	p.Station = &s
	d.piles[k] = &p
	d.rev++
}

func pileNamed(name string) charge.PileID { return charge.PileID{Operator: "OP", Equipment: name} }

// court is a judge and the log that it reads.
type court struct {
	*judge
	dir  *fakeDirectory
	seq  uint64
	now  time.Time
	seen func(charge.PileID) bool
}

func newCourt(partition int, dir *fakeDirectory) *court {
	return &court{judge: newJudge(partition, partitionOf, dir), dir: dir, now: begin, seen: func(charge.PileID) bool { return false }}
}

func (c *court) message(readings ...charge.Reading) {
	c.seq++
	for i := range readings {
		r := &readings[i]
		if r.Received.IsZero() {
			r.Received = c.now
		}
		if r.At.IsZero() {
			r.At = r.Received
		}
	}
	c.take(&journal.Batch{Seq: c.seq, At: c.now, Readings: readings}, c.seen)
}

// pass lets d pass, a tick every 10 s.
func (c *court) pass(d time.Duration) {
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(10 * time.Second)
		c.message()
	}
}

// passAlive lets d pass while the piles beat every minute.
func (c *court) passAlive(d time.Duration, piles ...string) {
	for end := c.now.Add(d); c.now.Before(end); {
		c.pass(time.Minute)
		for _, name := range piles {
			c.message(charge.Reading{Pile: pileNamed(name), Kind: charge.KindHeartbeat})
		}
	}
}

func statusOf(name, connector string, status charge.Status) charge.Reading {
	return charge.Reading{Pile: pileNamed(name), Connector: charge.ConnectorID(connector), Kind: charge.KindStatus, Has: charge.HasStatus, Status: status}
}

func faultOf(name, connector string, fault charge.Fault) charge.Reading {
	r := statusOf(name, connector, charge.Faulted)
	r.Fault = fault
	return r
}

func powerOf(name, connector string, kw float64) charge.Reading {
	return charge.Reading{
		Pile: pileNamed(name), Connector: charge.ConnectorID(connector), Kind: charge.KindTelemetry,
		Has: charge.HasStatus | charge.HasPower, Status: charge.Charging, PowerKW: kw,
	}
}

// events collects and gives the events in short.
func (c *court) events() []string {
	var all []string
	for _, e := range c.collect(false).events {
		all = append(all, short(e.event))
	}
	return all
}

func short(e charge.Event) string {
	where := e.Pile
	if e.Conn != "" {
		where += "/" + string(e.Conn)
	}
	return fmt.Sprintf("%s %s%s %s>%s%s", e.Kind, e.Township[6:], where, e.Before, e.After, e.Fault)
}

// state collects, and gives a township as it is now.
func (c *court) state(town charge.DivisionCode) charge.TownshipState {
	c.collect(true)
	return c.towns[town].shown
}

// verdict is a township's state and reason.
func (c *court) verdict(town charge.DivisionCode) string {
	s := c.state(town)
	return string(s.State) + " " + s.Reason
}

func TestFiguresOfATownship(t *testing.T) {
	dir := &fakeDirectory{}
	dir.add("1", townA, 4)
	dir.add("2", townA, 2)
	dir.add("3", townA, 3, func(s *charge.Station) { s.Kind = charge.Residential })
	dir.add("4", townB, 1)
	c := newCourt(0, dir)
	c.message(powerOf("1", "1", 60), powerOf("1", "2", 30.5), faultOf("1", "3", "flood"), statusOf("2", "1", charge.Offline),
		statusOf("3", "1", charge.Idle), statusOf("4", "1", charge.Idle))
	c.pass(10 * time.Second)
	want := charge.TownshipState{
		Township: townA, State: charge.Effective, Reason: "usable", Since: begin, LastUsable: begin, Stations: 2, Connectors: 6,
		Online: 5, Usable: 2, Charging: 2, Fault: 1, PowerKW: 90.5, // connector 4 of pile 1 and 2 of pile 2 were heard, and told nothing
	}
	if diff := gocmp.Diff(want, c.state(townA)); diff != "" {
		t.Errorf("a charging township (-want +got):\n%s", diff)
	}
	c.pass(time.Minute)
	if got := c.state(townA).PowerKW; got != 0 {
		t.Errorf("power after a minute without telemetry: got %v, want 0", got)
	}
	c.pass(15 * time.Minute)
	want.Online, want.Usable, want.Charging, want.Fault, want.PowerKW = 0, 0, 0, 0, 0
	want.LastUsable = begin.Add(15 * time.Minute)
	if diff := gocmp.Diff(want, c.state(townA)); diff != "" {
		t.Errorf("a silent township (-want +got):\n%s", diff)
	}
}

func TestEventsOfAConnector(t *testing.T) {
	tests := []struct {
		name string
		do   func(*court)
		want []string
	}{
		{"its first word is none, but its township is covered", func(c *court) {
			c.message(statusOf("1", "1", charge.Idle))
		}, []string{"coverage_gained 101 unverified>effective"}},
		{"a fault and its mending", func(c *court) {
			c.message(faultOf("2", "1", "flood"))
			c.message(statusOf("2", "1", charge.Idle))
		}, []string{"connector_fault 102OP:2/1 idle>faultflood", "connector_restored 102OP:2/1 fault>idle"}},
		{"a fault told again is none", func(c *court) {
			c.message(faultOf("2", "1", "flood"))
			c.pass(time.Minute)
			c.message(faultOf("2", "1", "flood"))
		}, []string{"connector_fault 102OP:2/1 idle>faultflood"}},
		{"told offline", func(c *court) {
			c.message(statusOf("2", "1", charge.Offline))
		}, []string{"connector_offline 102OP:2/1 idle>offline"}},
		{"charging is none", func(c *court) {
			c.message(powerOf("2", "1", 60))
			c.message(statusOf("2", "1", charge.Idle))
		}, nil},
		{"silence, and a heartbeat after it", func(c *court) {
			c.pass(16 * time.Minute)
			c.message(charge.Reading{Pile: pileNamed("2"), Kind: charge.KindHeartbeat})
		}, []string{
			"connector_silent 102OP:2/1 idle>silent", "connector_silent 102OP:2/2 idle>silent",
			"connector_restored 102OP:2/1 silent>idle", "connector_restored 102OP:2/2 silent>idle",
		}},
		{"the other connector's status keeps it heard", func(c *court) {
			for range 4 {
				c.pass(10 * time.Minute)
				c.message(statusOf("2", "2", charge.Idle))
			}
		}, nil},
		{"a status that no longer holds is told again", func(c *court) {
			c.passAlive(7*time.Hour, "2")
			c.message(statusOf("2", "1", charge.Charging))
		}, nil},
		{"the end of its connection and its return", func(c *court) {
			c.message(charge.Reading{Pile: pileNamed("2"), Kind: charge.KindConnected, Session: 1, Has: charge.HasSession})
			c.now = c.now.Add(time.Second)
			c.message(charge.Reading{Pile: pileNamed("2"), Kind: charge.KindDisconnected, Session: 1, Has: charge.HasSession})
			c.now = c.now.Add(time.Second)
			c.message(charge.Reading{Pile: pileNamed("2"), Kind: charge.KindConnected, Session: 2, Has: charge.HasSession})
		}, []string{
			"connector_offline 102OP:2/1 idle>offline", "connector_offline 102OP:2/2 idle>offline",
			"connector_restored 102OP:2/1 offline>idle", "connector_restored 102OP:2/2 offline>idle",
		}},
		{"a danger alarm, told twice", func(c *court) {
			alarm := charge.Reading{Pile: pileNamed("2"), Connector: "1", Kind: charge.KindAlarm, Level: "danger", Code: "smoke", At: c.now, Received: c.now}
			c.message(alarm)
			c.now = c.now.Add(time.Second)
			alarm.Received = c.now
			c.message(alarm)
		}, []string{"danger_alarm 102OP:2/1 >smoke"}},
		{"a warning is none", func(c *court) {
			c.message(charge.Reading{Pile: pileNamed("2"), Connector: "1", Kind: charge.KindAlarm, Level: "warning", Code: "smoke"})
		}, nil},
		{"a danger alarm at a dedicated station", func(c *court) {
			c.message(charge.Reading{Pile: pileNamed("3"), Connector: "1", Kind: charge.KindAlarm, Level: "danger", Code: "what is this"})
		}, []string{"danger_alarm 102OP:3/1 >other"}},
		{"a fault at a dedicated station is not the public's", func(c *court) {
			c.message(statusOf("3", "1", charge.Idle))
			c.message(faultOf("3", "1", "flood"))
		}, nil},
		{"a fault at a station that is closed", func(c *court) {
			c.dir.change("2", func(s *charge.Station) { s.Closed = begin })
			c.message(faultOf("2", "1", "flood"))
		}, []string{"coverage_lost 102 effective>none"}},
		{"a pile that nobody has registered", func(c *court) {
			c.message(statusOf("9", "1", charge.Idle))
		}, nil},
		{"the loss of a township a day after its last connector", func(c *court) {
			c.message(faultOf("2", "1", "flood"), faultOf("2", "2", "smoke"))
			c.collect(false)
			c.passAlive(24*time.Hour+time.Minute, "2")
		}, []string{"coverage_lost 102 effective>failing"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := &fakeDirectory{}
			dir.add("1", townA, 1)
			dir.add("2", townB, 2)
			dir.add("3", townB, 1, func(s *charge.Station) { s.Kind = charge.Dedicated })
			c := newCourt(0, dir)
			c.message(statusOf("2", "1", charge.Idle), statusOf("2", "2", charge.Idle))
			c.pass(10 * time.Second)
			c.collect(false)
			tt.do(c)
			if diff := gocmp.Diff(tt.want, c.events()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyPublicStationsCover(t *testing.T) {
	tests := []struct {
		name   string
		change func(*charge.Station)
		want   string
	}{
		{"public", func(*charge.Station) {}, "effective usable"},
		{"open to everyone", func(s *charge.Station) { s.Access = "public" }, "effective usable"},
		{"residential", func(s *charge.Station) { s.Kind = charge.Residential }, "none no_station"},
		{"dedicated", func(s *charge.Station) { s.Kind = charge.Dedicated }, "none no_station"},
		{"for some only", func(s *charge.Station) { s.Access = "limited" }, "none limited_access"},
		{"inside a yard", func(s *charge.Station) { s.Access = "inner" }, "none limited_access"},
		{"on wheels", func(s *charge.Station) { s.Mobile = true }, "none mobile"},
		{"closed", func(s *charge.Station) { s.Closed = begin }, "none no_station"},
		{"not yet open", func(s *charge.Station) { s.Opened = begin.AddDate(0, 0, 1) }, "none no_station"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := &fakeDirectory{}
			dir.add("1", townA, 1, tt.change)
			c := newCourt(0, dir)
			c.message(statusOf("1", "1", charge.Idle))
			if got := c.verdict(townA); got != tt.want {
				t.Errorf("township: got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAConnectorThatIsClosedDoesNotCover(t *testing.T) {
	dir := &fakeDirectory{}
	dir.add("1", townA, 2)
	dir.piles[0].Connectors[0].Closed = begin
	c := newCourt(0, dir)
	c.message(statusOf("1", "1", charge.Idle))
	got := c.state(townA)
	if got.Connectors != 1 || got.Usable != 0 || got.State != charge.Failing {
		t.Errorf("township: got %d connectors, %d usable, %s, want 1, 0, failing", got.Connectors, got.Usable, got.State)
	}
}

func TestChangesOfTheRegistry(t *testing.T) {
	tests := []struct {
		name   string
		change func(*fakeDirectory)
		a, b   string
		events []string
	}{
		{"nothing but its number", func(d *fakeDirectory) { d.rev++ }, "effective usable", "none no_station", nil},
		{"a new pile in a town without any", func(d *fakeDirectory) { d.add("2", townB, 1) }, "effective usable", "unverified never_connected", nil},
		{"a new station in its first days", func(d *fakeDirectory) {
			d.add("2", townB, 1, func(s *charge.Station) { s.Opened = begin.AddDate(0, 0, -1) })
		}, "effective usable", "starting opened_recently", nil},
		{"the station moves to another town", func(d *fakeDirectory) {
			d.change("1", func(s *charge.Station) { s.Township = townB })
		}, "none no_station", "effective usable", []string{"coverage_lost 101 effective>none", "coverage_gained 102 none>effective"}},
		{"the station moves to another partition", func(d *fakeDirectory) {
			d.change("1", func(s *charge.Station) { s.Township = townC })
		}, "none no_station", "none no_station", []string{"coverage_lost 101 effective>none"}},
		{"the station closes", func(d *fakeDirectory) {
			d.change("1", func(s *charge.Station) { s.Closed = begin })
		}, "none no_station", "none no_station", []string{"coverage_lost 101 effective>none"}},
		{"the station is no longer public", func(d *fakeDirectory) {
			d.change("1", func(s *charge.Station) { s.Kind = charge.Dedicated })
		}, "none no_station", "none no_station", []string{"coverage_lost 101 effective>none"}},
		{"the pile is removed and the station stays", func(d *fakeDirectory) {
			d.piles = nil
			d.rev++
		}, "unverified never_connected", "none no_station", []string{"coverage_lost 101 effective>unverified"}},
		{"a pile still holds its station as it was before", func(d *fakeDirectory) {
			s := *d.stations[0]
			d.stations[0] = &s
			d.rev++
		}, "effective usable", "none no_station", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := &fakeDirectory{}
			dir.add("1", townA, 1)
			c := newCourt(0, dir)
			c.message(statusOf("1", "1", charge.Idle))
			c.collect(false)
			tt.change(dir)
			c.now = c.now.Add(time.Second)
			c.message()
			if diff := gocmp.Diff(tt.events, c.events()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if a, b := c.verdict(townA), c.verdict(townB); a != tt.a || b != tt.b {
				t.Errorf("towns: got %q and %q, want %q and %q", a, b, tt.a, tt.b)
			}
		})
	}
}

func TestAPileIsOfOnePartitionOnly(t *testing.T) {
	dir := &fakeDirectory{}
	dir.add("1", townA, 1)
	dir.add("2", townC, 1)
	for partition, want := range []int{1, 1} {
		c := newCourt(partition, dir)
		c.message(statusOf("1", "1", charge.Idle), statusOf("2", "1", charge.Idle))
		s := c.collect(false)
		if got := len(s.connectors); got != want {
			t.Errorf("partition %d: got %d connectors changed, want %d", partition, got, want)
		}
		for _, town := range s.townships {
			if partitionOf(town.Township) != partition {
				t.Errorf("partition %d: got township %s of another one", partition, town.Township)
			}
		}
	}
}

func TestWhatWasToBeSavedOutlivesAChangeOfTheRegistry(t *testing.T) {
	dir := &fakeDirectory{}
	dir.add("1", townA, 2)
	c := newCourt(0, dir)
	c.message(statusOf("1", "1", charge.Idle))
	dir.add("2", townB, 1)
	c.message(statusOf("2", "1", charge.Idle))
	if got := len(c.collect(false).connectors); got != 3 { // one told a status, the other was heard with it, and the new one
		t.Errorf("connectors to be saved: got %d, want 3", got)
	}
}

func TestCollectGivesOnlyWhatDiffers(t *testing.T) {
	dir := &fakeDirectory{}
	dir.add("1", townA, 1)
	c := newCourt(0, dir)
	count := func() [3]int {
		s := c.collect(true)
		return [3]int{len(s.townships), len(s.connectors), len(s.live)}
	}
	steps := []struct {
		name string
		do   func()
		want [3]int // townships, connectors, live values
	}{
		{"a first status: its town, and the other one without a station", func() { c.message(statusOf("1", "1", charge.Idle)) }, [3]int{2, 1, 0}},
		{"nothing", func() {}, [3]int{}},
		{"ticks", func() { c.pass(time.Minute) }, [3]int{}},
		{"the same status", func() { c.message(statusOf("1", "1", charge.Idle)) }, [3]int{}},
		{"the same status 5 minutes after the one that was saved", func() {
			c.pass(4 * time.Minute)
			c.message(statusOf("1", "1", charge.Idle))
		}, [3]int{0, 1, 0}},
		{"power", func() { c.message(powerOf("1", "1", 7)) }, [3]int{1, 1, 0}},
		{"the same power", func() { c.message(powerOf("1", "1", 7)) }, [3]int{}},
		{"the same power of a pile that is watched", func() {
			c.seen = func(p charge.PileID) bool { return p == pileNamed("1") }
			c.message(powerOf("1", "1", 7))
		}, [3]int{0, 0, 1}},
		{"a tick while it is watched", func() { c.pass(10 * time.Second) }, [3]int{}},
		{"nobody watches any more", func() {
			c.seen = func(charge.PileID) bool { return false }
			c.message(powerOf("1", "1", 8))
		}, [3]int{1, 0, 0}},
	}
	for _, step := range steps {
		step.do()
		if got := count(); got != step.want {
			t.Errorf("%s: got %v townships, connectors, live values, want %v", step.name, got, step.want)
		}
	}
}

func TestALossByTimeAloneIsShown(t *testing.T) {
	dir := &fakeDirectory{}
	dir.add("1", townA, 1)
	c := newCourt(0, dir)
	c.message(statusOf("1", "1", charge.Idle))
	c.pass(24*time.Hour + 14*time.Minute)
	c.collect(false)
	c.pass(2 * time.Minute)
	var got []string
	for _, s := range c.collect(false).townships {
		got = append(got, fmt.Sprint(s.Township, " ", s.State, " ", s.Reason))
	}
	if diff := gocmp.Diff([]string{string(townA) + " failing all_silent"}, got); diff != "" {
		t.Errorf("townships changed (-want +got):\n%s", diff)
	}
}

func TestLiveValues(t *testing.T) {
	dir := &fakeDirectory{}
	dir.add("1", townA, 2)
	c := newCourt(0, dir)
	c.seen = func(charge.PileID) bool { return true }
	c.message(powerOf("1", "1", 7))
	late := powerOf("1", "1", 5)
	late.At = begin.Add(-time.Minute)
	c.message(late)
	c.message(faultOf("1", "1", "flood"))
	got := c.collect(true).live
	if len(got) != 1 || got[0].pile != pileNamed("1") {
		t.Fatalf("live: got %+v, want one of OP:1", got)
	}
	v := got[0].value
	if v.PowerKW == nil || *v.PowerKW != 7 || v.VoltageV != nil || v.Status != "fault" || v.Fault != "flood" || v.Connector != "1" {
		t.Errorf("live values: got %+v, want 7 kW, no voltage, a fault", v)
	}
}

// A script is a random log of a small province, the same whenever it is played.
type script struct{ batches []journal.Batch }

func drawScript(t *rapid.T) script {
	var s script
	now := begin
	for seq := range uint64(rapid.IntRange(5, 60).Draw(t, "messages")) { //nolint:gosec // small
		now = now.Add(time.Duration(rapid.SampledFrom([]int{1, 5, 70, 119, 130, 1000, 90_000}).Draw(t, "pass s")) * time.Second)
		b := journal.Batch{Seq: 3*seq + 1, At: now}
		for range rapid.IntRange(0, 4).Draw(t, "readings") {
			name, gun := fmt.Sprint(rapid.IntRange(1, 3).Draw(t, "pile")), fmt.Sprint(rapid.IntRange(1, 2).Draw(t, "gun"))
			var r charge.Reading
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0, 1:
				r = statusOf(name, gun, rapid.SampledFrom([]charge.Status{charge.Offline, charge.Idle, charge.Occupied}).Draw(t, "status"))
			case 2:
				r = faultOf(name, gun, "flood")
			case 3:
				r = powerOf(name, gun, float64(rapid.IntRange(0, 120).Draw(t, "kw"))+0.1)
			case 4:
				r = charge.Reading{Pile: pileNamed(name), Kind: charge.KindHeartbeat, Has: charge.HasOnline, Online: rapid.Bool().Draw(t, "online")}
			case 5:
				r = charge.Reading{Pile: pileNamed(name), Connector: charge.ConnectorID(gun), Kind: charge.KindAlarm, Level: "danger", Code: "smoke"}
			}
			r.Received = now
			r.At = now.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "late s")) * time.Second)
			b.Readings = append(b.Readings, r)
		}
		s.batches = append(s.batches, b)
	}
	return s
}

func province() *fakeDirectory {
	dir := &fakeDirectory{minimum: 10 * time.Minute}
	dir.add("1", townA, 2)
	dir.add("2", townA, 2)
	dir.add("3", townB, 2)
	return dir
}

// world is what readers of the registry and of the changes know.
type world struct {
	towns  map[charge.DivisionCode]charge.TownshipState
	guns   map[charge.ConnectorKey]charge.ConnectorState
	events map[string]charge.Event
}

func newWorld() *world {
	return &world{map[charge.DivisionCode]charge.TownshipState{}, map[charge.ConnectorKey]charge.ConnectorState{}, map[string]charge.Event{}}
}

func (w *world) save(s step) {
	for _, t := range s.townships {
		w.towns[t.Township] = t
	}
	for _, c := range s.connectors {
		w.guns[c.Key] = c
	}
	for _, e := range s.events {
		w.events[e.event.ID] = e.event
	}
}

// final takes everything, saved or not.
func (w *world) final(j *judge) {
	for _, p := range j.ordered {
		for i := range p.guns {
			j.touch(p, i)
		}
	}
	for _, t := range j.towns {
		j.mark(t)
		t.shown = charge.TownshipState{Township: t.shown.Township}
	}
	w.save(j.collect(false))
}

func nobody(charge.PileID) bool { return false }

func TestAKilledJudgeFindsTheSameAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScript(t)
		undisturbed, killed := newWorld(), newWorld()
		whole := newJudge(0, partitionOf, province())
		for i := range s.batches {
			whole.take(&s.batches[i], nobody)
		}
		undisturbed.final(whole)

		j := newJudge(0, partitionOf, province())
		var (
			kept []byte
			next int // of the checkpoint
		)
		kills := rapid.IntRange(0, 4).Draw(t, "kills")
		for i := 0; i < len(s.batches); i++ {
			j.take(&s.batches[i], nobody)
			switch rapid.IntRange(0, 5).Draw(t, "then") {
			case 0, 1:
				killed.save(j.collect(false))
			case 2:
				killed.save(j.collect(false))
				var err error
				if kept, err = j.save(0); err != nil {
					t.Fatal(err)
				}
				next = i + 1
			case 3:
				if kills == 0 {
					continue
				}
				kills--
				j = newJudge(0, partitionOf, province())
				if kept != nil {
					if _, err := j.restore(kept); err != nil {
						t.Fatal(err)
					}
				}
				i = next - 1
			}
		}
		killed.final(j)
		if diff := gocmp.Diff(undisturbed.events, killed.events); diff != "" {
			t.Fatalf("events (-undisturbed +killed):\n%s", diff)
		}
		if diff := gocmp.Diff(undisturbed.towns, killed.towns); diff != "" {
			t.Fatalf("townships (-undisturbed +killed):\n%s", diff)
		}
		if diff := gocmp.Diff(undisturbed.guns, killed.guns); diff != "" {
			t.Fatalf("connectors (-undisturbed +killed):\n%s", diff)
		}
	})
}

func TestAnyCutIntoBatchesGivesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScript(t)
		whole, cut := newJudge(0, partitionOf, province()), newJudge(0, partitionOf, province())
		for i := range s.batches {
			b := s.batches[i]
			whole.take(&b, nobody)
			if len(b.Readings) == 0 {
				cut.take(&b, nobody)
				continue
			}
			for rest := b.Readings; len(rest) > 0; {
				n := rapid.IntRange(1, len(rest)).Draw(t, "readings together")
				cut.take(&journal.Batch{Seq: b.Seq, At: b.At, Readings: rest[:n]}, nobody)
				rest = rest[n:]
			}
		}
		a, b := newWorld(), newWorld()
		kinds := func(j *judge) (all []string) {
			for _, e := range j.changed.events {
				if e.event.Pile != "" { // a township may gain and lose within one batch
					all = append(all, short(e.event))
				}
			}
			return all
		}
		if diff := gocmp.Diff(kinds(whole), kinds(cut)); diff != "" {
			t.Fatalf("events (-whole +cut):\n%s", diff)
		}
		a.final(whole)
		b.final(cut)
		if diff := gocmp.Diff(a.towns, b.towns); diff != "" {
			t.Fatalf("townships (-whole +cut):\n%s", diff)
		}
		if diff := gocmp.Diff(a.guns, b.guns); diff != "" {
			t.Fatalf("connectors (-whole +cut):\n%s", diff)
		}
	})
}

func TestARestartFindsALossAtTheSameMessage(t *testing.T) {
	dir := province()
	// until plays the log up to a tick, as long as go on says so.
	play := func(goOn func(*court) bool) *court {
		c := newCourt(0, dir)
		c.message(statusOf("1", "1", charge.Idle))
		c.passAlive(15*time.Minute, "1")
		c.message(faultOf("1", "1", "flood"))
		c.collect(false)
		for goOn(c) {
			c.message(charge.Reading{Pile: pileNamed("1"), Kind: charge.KindHeartbeat})
			c.pass(10 * time.Second)
		}
		return c
	}
	lost := play(func(c *court) bool { return !slices.Contains(c.events(), "coverage_lost 101 effective>failing") }).now
	c := play(func(c *court) bool { return c.now.Before(lost.Add(-10 * time.Second)) })
	c.collect(false)
	data, err := c.save(0)
	if err != nil {
		t.Fatal(err)
	}
	c.judge = newJudge(0, partitionOf, dir)
	if _, err := c.restore(data); err != nil {
		t.Fatal(err)
	}
	c.now = lost // the minutes have run out, and the tick that tells it is yet to come
	c.message(charge.Reading{Pile: pileNamed("1"), Kind: charge.KindHeartbeat})
	if got := c.events(); len(got) != 0 {
		t.Errorf("at a heartbeat after the restart: got %v, want no event", got)
	}
	c.message()
	if diff := gocmp.Diff([]string{"coverage_lost 101 effective>failing"}, c.events()); diff != "" {
		t.Errorf("at the tick (-want +got):\n%s", diff)
	}
}

func TestEventsAreNumberedAcrossCollects(t *testing.T) {
	dir := province()
	dir.minimum = 0
	c := newCourt(0, dir)
	c.message(statusOf("1", "1", charge.Idle), statusOf("3", "1", charge.Idle))
	c.message(faultOf("1", "1", "flood"), faultOf("3", "1", "flood"))
	var got []string
	for _, e := range c.collect(false).events {
		got = append(got, e.event.ID)
	}
	if diff := gocmp.Diff([]string{"0-1-0", "0-1-1", "0-2-0", "0-2-1"}, got); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}

func TestACheckpointOfAnotherVersionIsRefused(t *testing.T) {
	c := newCourt(0, province())
	c.message(statusOf("1", "1", charge.Idle))
	c.collect(false)
	data, err := c.save(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range [][]byte{nil, data[:len(data)/2], []byte("not a checkpoint")} {
		if _, err := newJudge(0, partitionOf, province()).restore(broken); err == nil {
			t.Errorf("restore of %d broken bytes: got no error", len(broken))
		}
	}
}

// What a dossier tells of a connector: every change of how it stands, with both clocks and the log's sequence.
func TestEveryChangeOfHowAConnectorStandsIsKept(t *testing.T) {
	dir := &fakeDirectory{}
	dir.add("1", townA, 1)
	c := newCourt(0, dir)
	c.message(statusOf("1", "1", charge.Idle))
	c.message(statusOf("1", "1", charge.Charging)) // a car has come
	c.pass(time.Minute)
	c.message(faultOf("1", "1", "contactor"))
	c.message(faultOf("1", "1", "contactor"))
	c.message(statusOf("1", "1", charge.Offline))
	c.message(statusOf("1", "1", charge.Idle))
	c.pass(time.Hour)
	s := c.collect(false)
	var got []string
	for i, ch := range s.standings {
		got = append(got, ch.Standing)
		if ch.LogSeq == 0 || ch.Received.IsZero() || ch.Told.IsZero() != (ch.Standing == "silent") || i > 0 && ch.LogSeq <= s.standings[i-1].LogSeq {
			t.Errorf("change %d: got %+v, want both clocks and a later message of the log", i, ch)
		}
	}
	if want := []string{"usable", "fault", "offline", "usable", "silent"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if h := s.rows(1); h == nil || len(h.Changes) != len(got) {
		t.Errorf("kept with the step: got %+v, want all", h)
	}
	c.passAlive(7*time.Hour, "1")
	c.message(charge.Reading{Pile: pileNamed("1"), Kind: charge.KindHeartbeat})
	if s = c.collect(false); len(s.standings) == 0 || s.standings[len(s.standings)-1].Standing != "lapsed" {
		t.Errorf("heard and told nothing for 7 hours: got %+v, want lapsed", s.standings)
	}
}

func TestADecommissionedPileCountsForNothingUntilItIsPutBack(t *testing.T) {
	dir := &fakeDirectory{}
	dir.add("1", townA, 1)
	c := newCourt(0, dir)
	c.message(statusOf("1", "1", charge.Idle))
	c.pass(time.Minute)
	c.collect(false)
	mark := func(by string) {
		p := *dir.piles[0]
		p.Decommissioned = by
		dir.piles[0] = &p
		dir.rev++
	}
	mark("LF-2025-0001")
	c.pass(10 * time.Second)
	s := c.collect(false)
	if len(s.events) != 1 || s.events[0].event.Kind != charge.CoverageLost || s.events[0].event.Case != "LF-2025-0001" {
		t.Errorf("events: got %+v, want a loss of coverage with its case", s.events)
	}
	if len(s.townships) != 1 || s.townships[0].State != charge.None || s.townships[0].Stations != 0 || s.townships[0].Connectors != 0 {
		t.Errorf("township: got %+v, want none with nothing counted", s.townships)
	}
	alarm := charge.Reading{Pile: pileNamed("1"), Connector: "1", Kind: charge.KindAlarm, Level: "danger", Code: "smoke"}
	c.message(alarm, faultOf("1", "1", "insulation"))
	if got := c.events(); len(got) != 0 {
		t.Errorf("events of it: got %v, want none", got)
	}
	c.message(statusOf("1", "1", charge.Idle))
	mark("")
	c.pass(10 * time.Second)
	s = c.collect(false)
	if len(s.events) != 1 || s.events[0].event.After != string(charge.Effective) || len(s.townships) != 1 || s.townships[0].State != charge.Effective {
		t.Errorf("put back: got %+v and %+v, want its coverage again", s.events, s.townships)
	}
}
