package simulator

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"pilewatch/internal/charge"
)

// An action is what a pile does towards the platform.
type action uint8

const (
	say     action = iota // the reading
	connect               // opens its own connection, at reading.At with session reading.Session
	drop                  // loses its own connection, without a word
)

// A message is one action of a pile.
type message struct {
	pile    int
	action  action
	again   bool          // the same as the one before: sent twice
	at      time.Duration // true time since start; reading.At is by the pile's clock
	reading charge.Reading
}

// never is the due time of what does not happen.
const never = time.Duration(math.MaxInt64)

// A behaviour decides what each pile of a fleet does and says. It reads no clock: it is told how much
// time has passed since start, and what it says bears the time at which it fell due. Every pile has
// random numbers of its own, so the same seed gives the same messages in whatever order the piles are
// stepped. Different piles may be stepped at once, the same one may not.
type behaviour struct {
	fleet          *Fleet
	start          time.Time // to a millisecond
	heartbeatEvery time.Duration
	telemetryEvery time.Duration
	demand         *demand

	piles []pileState
	guns  []gunState
}

// A pileState is kept small: there may be a million of them.
type pileState struct {
	rng       rand.PCG
	link      time.Duration // next connect or drop
	heartbeat time.Duration
	session   time.Duration // of its last CONNECT
	firstGun  uint32
	own       bool // connects by itself
	up        bool
	stores    bool // while it is not up it goes on, and sends afterwards
}

// A phase is where a connector stands in the life of a session.
type phase uint8

const (
	idle phase = iota
	reserved
	plugged // a vehicle is there, and charging has not begun
	charging
	finished // charging has ended, and the vehicle is still there
	faulted
	dead // told the same for good
)

var statusOf = [...]charge.Status{
	idle: charge.Idle, reserved: charge.Reserved, plugged: charge.Occupied, charging: charge.Charging,
	finished: charge.Occupied, faulted: charge.Faulted, dead: charge.Offline,
}

// A gunState is one connector. Times are since the start of the simulation; energy is in kWh, power in kW.
type gunState struct {
	phaseEnds, telemetry, repeat, faultAt time.Duration

	at, began time.Duration // of the last measurement; of the session
	meter     float64       // total when the session began, to 0.01 kWh
	energy    float64       // of the session
	wanted    float64       // of the session; AC only
	power     float32       // measured last
	peak      float32       // what pile and vehicle can do
	nominalV  float32
	capacity  float32 // of the vehicle's battery
	soc0      float32 // when the session began, %
	target    float32 // where the driver unplugs, %
	offsetC   float32 // warmer than the air outdoors
	ambientC  float32
	tempC     float32
	seq       uint32
	phase     phase
	status    charge.Status
	fault     uint8 // index into faultModes
}

// A faultMode is an ordinary fault: how often it occurs among all, and how long it lasts (log-normal
// with this median, spread 0.7). Short ones are cleared on the spot or from afar, long ones need a visit,
// with medians of 8 to 24 hours, and neverRepaired of them are left. All assumed.
type faultMode struct {
	fault  charge.Fault
	weight float64
	median time.Duration
	level  string
}

var faultModes = [...]faultMode{
	{"emergency_stop", 24, 8 * time.Minute, "notice"},
	{"communication", 20, 6 * time.Minute, "notice"},
	{"vehicle", 16, 4 * time.Minute, "notice"},
	{"over_temperature", 8, 25 * time.Minute, "warning"},
	{"under_voltage", 5, 15 * time.Minute, "warning"},
	{"over_voltage", 3, 15 * time.Minute, "warning"},
	{"over_current", 3, 20 * time.Minute, "warning"},
	{"door_open", 3, 40 * time.Minute, "warning"},
	{"metering", 3, 10 * time.Hour, "warning"},
	{"contactor", 6, 12 * time.Hour, "warning"},
	{"insulation", 6, 12 * time.Hour, "warning"},
	{"leakage", 2, 9 * time.Hour, "danger"},
	{"smoke", 1, 20 * time.Hour, "danger"},
}

// Rhythm of a connector. Shares in use (DC public 6 to 15 %, AC 2 to 6 %, at home 5 to 8 %) and rates
// of faults are assumed.
const (
	faultFreeHours    = 170.0         // mean between two ordinary faults of a connector
	faultFreeHoursBad = 80.0          // at an operator that keeps its piles badly
	visitMedian       = 8 * time.Hour // from it on a fault needs a visit
	neverRepaired     = 0.01
	twice             = 0.0005    // share of messages sent twice
	storesShare       = 0.5       // of lost connections, those over which the pile keeps what it has to say
	wrapsEvery        = 97        // one pile of these has a meter of five digits
	wrapsAt           = 100_000.0 // kWh
	dropFreeHours     = 4.0       // mean life of a pile's own connection
	quietStart        = 3 * time.Minute
	chargeEfficiency  = 0.94 // of what the meter counts, what reaches the battery
	taperFromPct      = 80.0 // state of charge from which a battery takes less
	largestVehicleKW  = 180.0
)

// meterEpoch is when the fleet's meters began to turn.
var meterEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// newBehaviour makes the state of all piles. The first messages of the fleet are spread evenly over
// the given time, so that its start is no storm.
func newBehaviour(fleet *Fleet, cfg *Config, start time.Time, spread time.Duration) *behaviour {
	own, err := ownCalendar()
	if err != nil {
		panic(fmt.Sprintf("the embedded calendar is wrong: %v", err)) // a test reads it
	}
	b := &behaviour{
		fleet: fleet, start: start.UTC().Truncate(time.Millisecond), demand: newDemand(own, start),
		heartbeatEvery: cfg.HeartbeatEvery, telemetryEvery: cfg.ReportEvery,
		piles: make([]pileState, len(fleet.Piles)),
	}
	guns, able := 0, 0
	for i := range fleet.Piles {
		guns += int(fleet.Piles[i].Connectors)
		if fleet.Piles[i].connects() {
			able++
		}
	}
	b.guns = make([]gunState, guns)
	gun, seen, alone := 0, 0, 0
	for i := range b.piles {
		p := &b.piles[i]
		p.rng.Seed(fleet.Seed, uint64(i)+1) //nolint:gosec // i is not negative
		p.firstGun = uint32(gun)            //nolint:gosec // two a pile at most
		gun += int(fleet.Piles[i].Connectors)
		if fleet.Piles[i].connects() {
			// Every able/Connections-th, so that all operators have some.
			if seen++; alone*able < min(cfg.Connections, able)*seen {
				alone++
				p.own = true
			}
		}
		p.heartbeat, p.link = never, never
		if fleet.Piles[i].Condition != FailedSilent {
			p.link = p.between(spread/36, spread)
		}
		for g := range b.gunsOf(i) {
			b.newGun(i, &b.gunsOf(i)[g])
		}
	}
	return b
}

// connects tells whether the pile can open a connection: one that is told offline has none.
func (p *Pile) connects() bool {
	return p.Condition == Working || p.Condition == Unused || p.Condition == FailedFault
}

// spreadOf is the spread that gives at most 2,000 piles and 200 connections a second.
func spreadOf(piles, connections int) time.Duration {
	return max(18*time.Second, time.Duration(piles)*time.Second/2000, time.Duration(connections)*time.Second/200)
}

func (b *behaviour) gunsOf(i int) []gunState {
	first := int(b.piles[i].firstGun)
	return b.guns[first : first+int(b.fleet.Piles[i].Connectors)]
}

func (b *behaviour) newGun(i int, g *gunState) {
	p, pile := &b.piles[i], &b.fleet.Piles[i]
	g.phaseEnds, g.telemetry, g.repeat, g.faultAt = never, never, never, never
	// A meter never runs back, not even over a restart of the simulator: it has gone on meanwhile by
	// more than could be charged.
	turned := max(b.start.Sub(meterEpoch), 0).Hours() * math.Min(float64(pile.PowerKW), largestVehicleKW)
	g.meter = hundredths(500 + 4500*p.float() + turned)
	g.offsetC = float32(8*p.float() - 2)
	switch pile.Condition {
	case Working, Unused:
	case FailedFault:
		g.phase, g.status, g.fault = dead, charge.Faulted, p.faultMode()
	case FailedSilent, FailedGone:
		g.phase, g.status = dead, charge.Offline
	}
}

// due tells when the pile acts next, as time since start; never, if it does not.
func (b *behaviour) due(i int) time.Duration {
	p := &b.piles[i]
	next := p.link
	if !p.up && !p.stores {
		return next
	}
	if p.up {
		next = min(next, p.heartbeat)
	}
	for g := range b.gunsOf(i) {
		next = min(next, b.gunsOf(i)[g].due())
	}
	return next
}

func (g *gunState) due() time.Duration { return min(g.phaseEnds, g.telemetry, g.repeat, g.faultAt) }

// step lets the pile do all that is due by now, in the voice given.
func (b *behaviour) step(v *voice, i int, now time.Duration) {
	v.i = i
	p := &b.piles[i]
	for {
		at := b.due(i)
		if at > now {
			return
		}
		switch {
		case p.link == at && p.up:
			b.lose(v, at)
		case p.link == at:
			b.join(v, at)
		case p.up && p.heartbeat == at:
			v.heartbeat(at)
			p.heartbeat = at + p.jitter(b.heartbeatEvery)
		default:
			guns := b.gunsOf(i)
			for g := range guns {
				if guns[g].due() == at {
					b.act(v, g, at)
					break
				}
			}
		}
	}
}

// join connects the pile, which then says how it and its connectors are.
func (b *behaviour) join(v *voice, at time.Duration) {
	p, pile := &b.piles[v.i], &b.fleet.Piles[v.i]
	first := p.session == 0
	p.up, p.stores, p.link, p.session = true, false, never, at
	if p.own {
		v.do(connect, at)
		p.link = at + max(5*time.Minute, p.exponential(dropFreeHours))
	}
	if pile.Condition != FailedGone {
		v.heartbeat(at)
		p.heartbeat = at + p.jitter(b.heartbeatEvery)
	}
	for g := range b.gunsOf(v.i) {
		if gun := &b.gunsOf(v.i)[g]; first && pile.usable() {
			b.settle(v, g, at)
		} else {
			v.status(g, at, gun.status)
		}
	}
}

// lose ends the pile's own connection. Until it is back its connectors' next steps wait, or go on and are kept.
func (b *behaviour) lose(v *voice, at time.Duration) {
	p := &b.piles[v.i]
	v.do(drop, at)
	p.up = false
	p.link = at + p.between(5*time.Second, 2*time.Minute)
	if p.stores = p.float() < storesShare; p.stores {
		p.link = at + p.between(time.Minute, 8*time.Minute)
		return
	}
	later := func(due *time.Duration) {
		if *due <= p.link+time.Second {
			*due = p.link + p.between(time.Second, 5*time.Second)
		}
	}
	for g := range b.gunsOf(v.i) {
		gun := &b.gunsOf(v.i)[g]
		later(&gun.phaseEnds)
		later(&gun.telemetry)
		later(&gun.repeat)
		later(&gun.faultAt)
	}
}

// settle puts a working connector somewhere into its life when the simulation starts: in a session,
// as often as it is in use, or idle.
func (b *behaviour) settle(v *voice, g int, at time.Duration) {
	p, pile, gun := &b.piles[v.i], &b.fleet.Piles[v.i], &b.gunsOf(v.i)[g]
	gun.faultAt = at + quietStart + p.exponential(b.faultFree(v.i))
	share, _ := b.use(v.i)
	share = min(0.9, share*b.demand.now(b.fleet.tier(v.i), b.start.Add(at)))
	if pile.Condition == Unused {
		gun.phase, gun.faultAt = idle, never // idle for good
		v.status(g, at, charge.Idle)
		return
	}
	if p.float() >= share {
		gun.phase = idle
		gun.phaseEnds = at + p.between(5*time.Second, 20*time.Second) + b.nextVehicle(v.i, at)
		v.status(g, at, charge.Idle)
		return
	}
	b.plugIn(v.i, gun, at)
	done := 0.9 * p.float()
	if pile.DC {
		gun.energy = done * float64(gun.target-gun.soc0) / 100 * float64(gun.capacity) / chargeEfficiency
	} else {
		gun.energy = done * gun.wanted
	}
	gun.energy = hundredths(gun.energy)
	hours := gun.energy / float64(gun.peak) * 1.1
	gun.phase, gun.power = charging, float32(gun.accepts(gun.charged(gun.energy)))
	gun.began, gun.at = at-time.Duration(hours*float64(time.Hour)).Truncate(time.Millisecond), at
	gun.tempC = gun.ambientC + gun.heat()*0.7
	gun.phaseEnds, gun.telemetry = never, at+p.between(time.Second, b.telemetryEvery+2*time.Second)
	v.status(g, at, charge.Charging)
}

// use gives the share of time in which the pile's connectors serve a vehicle, and the mean hours of it.
// Home charging comes every 40 to 60 hours (51 in 168 Beijing cars, seen in an excerpt).
func (b *behaviour) use(i int) (share, hours float64) {
	if t := b.fleet.tier(i); t == homeTier {
		return 0.069, 3.3
	} else if b.fleet.Piles[i].DC {
		return [tiers]float64{urbanTier: 0.077, ruralTier: 0.03, expresswayTier: 0.08, depotTier: 0.14}[t], 0.9
	}
	return 0.052, 3.3
}

// nextVehicle draws how long a connector that is free at a time waits for a vehicle.
func (b *behaviour) nextVehicle(i int, at time.Duration) time.Duration {
	share, hours := b.use(i)
	drawn := -math.Log(1 - b.piles[i].float())
	return b.demand.wait(b.fleet.tier(i), b.start.Add(at), drawn, hours*(1-share)/share)
}

func (b *behaviour) faultFree(i int) float64 {
	if b.fleet.habits[b.fleet.Piles[i].Operator].bad() {
		return faultFreeHoursBad
	}
	return faultFreeHours
}

// act does what is due at a connector. A fault comes before the rest, and a repetition last, so that
// no two statuses bear the same time.
func (b *behaviour) act(v *voice, g int, at time.Duration) {
	gun := &b.gunsOf(v.i)[g]
	switch at {
	case gun.faultAt:
		b.fail(v, g, at)
	case gun.phaseEnds:
		b.proceed(v, g, at)
	case gun.telemetry:
		b.measure(v, g, at)
	default:
		v.status(g, at, gun.status)
	}
}

func (b *behaviour) fail(v *voice, g int, at time.Duration) {
	p, gun := &b.piles[v.i], &b.gunsOf(v.i)[g]
	if gun.phase == charging {
		b.end(v, g, at)
	}
	gun.fault = p.faultMode()
	mode := &faultModes[gun.fault]
	repair := time.Duration(float64(mode.median) * math.Exp(0.7*p.normal()))
	gun.phase, gun.faultAt, gun.telemetry = faulted, never, never
	gun.phaseEnds = at + max(repair, time.Minute).Truncate(time.Millisecond)
	if mode.median >= visitMedian && p.float() < neverRepaired {
		gun.phaseEnds = never
	}
	v.status(g, at, charge.Faulted)
	v.alarm(g, at, mode)
}

// proceed takes the connector to the next phase of its life.
func (b *behaviour) proceed(v *voice, g int, at time.Duration) {
	p, gun := &b.piles[v.i], &b.gunsOf(v.i)[g]
	pile := &b.fleet.Piles[v.i]
	switch gun.phase {
	case idle:
		if b.fleet.Stations[pile.Station].Kind == charge.Public && p.float() < 0.06 {
			gun.phase, gun.phaseEnds = reserved, at+p.between(3*time.Minute, 12*time.Minute)
			break
		}
		gun.phase, gun.phaseEnds = plugged, at+p.between(15*time.Second, time.Minute)
	case reserved:
		gun.phase, gun.phaseEnds = plugged, at+p.between(15*time.Second, time.Minute)
	case plugged:
		b.plugIn(v.i, gun, at)
		gun.phase, gun.phaseEnds = charging, never
		gun.began, gun.at, gun.tempC = at, at, gun.ambientC
		gun.telemetry = at + p.between(3*time.Second, 8*time.Second)
	case finished:
		gun.phase, gun.phaseEnds = idle, at+10*time.Second+b.nextVehicle(v.i, at)
	case faulted:
		gun.phase, gun.phaseEnds = idle, at+10*time.Second+b.nextVehicle(v.i, at)
		gun.faultAt = at + time.Minute + p.exponential(b.faultFree(v.i))
	case charging, dead:
	}
	v.status(g, at, statusOf[gun.phase])
}

// plugIn draws the vehicle of a session and what its driver wants. Public DC sessions come to
// 23 to 28 kWh and 45 to 55 minutes in the mean (中国充电联盟 2022: 25.6 kWh, 49.3 min; seen in an excerpt);
// cold batteries take less power.
func (b *behaviour) plugIn(i int, gun *gunState, at time.Duration) {
	p, pile := &b.piles[i], &b.fleet.Piles[i]
	airC := outdoorC(b.start.Add(at))
	gun.ambientC = float32(airC) + gun.offsetC
	gun.energy, gun.power = 0, 0
	if !pile.DC {
		onboardKW := [...]float64{3.3, 6.6, 7, 7}[int(4*p.float())]
		gun.peak = float32(math.Min(float64(pile.PowerKW), onboardKW))
		gun.nominalV = float32(222 + 12*p.float())
		gun.wanted = 5 + 27*p.float()*float64(gun.peak)/7
		return
	}
	gun.capacity = float32(35 + 45*p.float())
	rate := 0.58 + 0.62*p.float() // kW for each kWh of the battery
	gun.peak = float32(math.Min(math.Min(float64(pile.PowerKW)*(0.85+0.13*p.float()), float64(gun.capacity)*rate), largestVehicleKW) * coldPower(airC))
	gun.nominalV = 370
	if p.float() < 0.25 {
		gun.nominalV = 640
	}
	gun.soc0 = float32(26 + 44*p.float())
	gun.target = float32(76 + 18*p.float())
	if p.float() < 0.25 {
		gun.target = 98
	}
}

// charged gives the battery's state of charge, in %, after the session's energy.
func (g *gunState) charged(energy float64) float64 {
	return math.Min(100, float64(g.soc0)+100*energy*chargeEfficiency/float64(g.capacity))
}

// accepts gives the power that a DC session draws at a state of charge: constant, then less and less.
func (g *gunState) accepts(soc float64) float64 {
	if g.capacity == 0 || soc <= taperFromPct {
		return float64(g.peak)
	}
	return float64(g.peak) * math.Max(0.06, math.Exp((taperFromPct-soc)/9))
}

// heat gives how much warmer than the air the contacts become at the present power.
func (g *gunState) heat() float32 { return 4 + 34*(g.power/g.peak)*(g.power/g.peak) }

// measure tells a charging connector's values, and ends the session when the driver has what he wanted.
func (b *behaviour) measure(v *voice, g int, at time.Duration) {
	gun := &b.gunsOf(v.i)[g]
	dc := b.fleet.Piles[v.i].DC
	r := v.reading(g, at, charge.KindTelemetry)
	b.advance(v.i, gun, at, r)
	r.Has |= charge.HasStatus | charge.HasVoltage | charge.HasCurrent | charge.HasPower | charge.HasEnergy | charge.HasMeter | charge.HasTemp
	r.Status = charge.Charging
	r.EnergyKWh = hundredths(gun.energy)
	r.MeterKWh = told(v.i, hundredths(gun.meter+r.EnergyKWh))
	r.TempC = tenths(float64(gun.tempC))
	soc := gun.charged(gun.energy)
	if dc {
		r.Has |= charge.HasSoC
		r.SoCPct = tenths(soc)
	}
	v.tell()
	gun.telemetry = at + b.telemetryEvery
	if dc && soc < float64(gun.target) || !dc && gun.energy < gun.wanted {
		return
	}
	p := &b.piles[v.i]
	b.end(v, g, at)
	gun.phase, gun.telemetry = finished, never
	gun.phaseEnds = at + p.between(2*time.Minute, 15*time.Minute)
	v.status(g, at, charge.Occupied)
}

// advance integrates the session up to at and puts voltage, current and power of that moment into r.
func (b *behaviour) advance(i int, gun *gunState, at time.Duration, r *charge.Reading) {
	p := &b.piles[i]
	hours := (at - gun.at).Hours()
	soc, expected := 0.0, gun.energy+float64(gun.power)*hours
	if gun.capacity > 0 {
		soc = gun.charged(expected)
	}
	wantKW := gun.accepts(soc) * (0.985 + 0.015*p.float())
	r.VoltageV = float64(gun.nominalV)
	if gun.capacity > 0 {
		r.VoltageV *= 0.92 + 0.14*soc/100
	} else {
		r.VoltageV += 2 * (p.float() - 0.5)
	}
	r.VoltageV = tenths(r.VoltageV)
	r.CurrentA = math.Floor(wantKW*10_000/r.VoltageV) / 10 // down, so that power stays below the pile's
	r.PowerKW = hundredths(r.VoltageV * r.CurrentA / 1000)
	gun.energy += (float64(gun.power) + r.PowerKW) / 2 * hours
	gun.power, gun.at = float32(r.PowerKW), at
	gun.tempC += (gun.ambientC + gun.heat() - gun.tempC) * float32(1-math.Exp(-hours*6))
}

// end closes a session with its order. What was charged since the last measurement is counted at the
// power measured then.
func (b *behaviour) end(v *voice, g int, at time.Duration) {
	gun := &b.gunsOf(v.i)[g]
	gun.energy += float64(gun.power) * (at - gun.at).Hours()
	r := v.reading(g, at, charge.KindOrder)
	r.Has |= charge.HasEnergy | charge.HasMeter | charge.HasStart | charge.HasEnd
	r.EnergyKWh = hundredths(gun.energy)
	total := hundredths(gun.meter + r.EnergyKWh)
	r.MeterKWh = told(v.i, total)
	r.Start, r.End = r.At.Add(gun.began-at), r.At
	r.Order = fmt.Sprintf("%s%s%06d%s", r.Pile.Operator, r.Start.In(charge.Zone).Format("060102150405"), v.i%1_000_000, r.Connector)
	v.tell()
	gun.meter, gun.energy, gun.power, gun.at = total, 0, 0, at
}

// told gives what a pile's meter shows: some begin again at 0 when their digits are used up.
func told(pile int, total float64) float64 {
	if pile%wrapsEvery == 0 {
		return hundredths(math.Mod(total, wrapsAt))
	}
	return total
}

// clock gives how far a pile's clock is ahead of the true time: a second or two where it is set by the network,
// minutes behind where it is not, and there it goes on to lose up to 20 s a day.
func (b *behaviour) clock(i int, at time.Duration) time.Duration {
	var rng rand.PCG
	rng.Seed(b.fleet.Seed, ^uint64(i)) //nolint:gosec // an index
	u := float64(rng.Uint64()>>11)/(1<<52) - 1
	if b.fleet.habits[b.fleet.Piles[i].Operator].ways != badClocks {
		return time.Duration(2 * u * float64(time.Second)).Truncate(time.Millisecond)
	}
	off := 8*time.Minute + time.Duration(20*at.Hours()/24*float64(time.Second))
	return -time.Duration(math.Abs(u) * float64(off)).Truncate(time.Millisecond)
}

// A voice says things for one pile after the other; each worker has its own.
type voice struct {
	b    *behaviour
	emit func(*message)
	i    int     // the pile that speaks
	m    message // what it says; used again for the next
}

// voice makes one whose messages go to emit and are valid during that call only.
func (b *behaviour) voice(emit func(*message)) *voice { return &voice{b: b, emit: emit} }

func (v *voice) reading(g int, at time.Duration, kind charge.Kind) *charge.Reading {
	v.m = message{pile: v.i, action: say, at: at, reading: charge.Reading{
		Pile: v.b.fleet.ID(v.i), Kind: kind, At: v.b.start.Add(at),
	}}
	v.m.reading.At = v.m.reading.At.Add(v.b.clock(v.i, at))
	if g >= 0 {
		gun := &v.b.gunsOf(v.i)[g]
		gun.seq++
		v.m.reading.Connector = charge.ConnectorID(connectorName(uint8(g))) //nolint:gosec // two at most
		v.m.reading.Seq, v.m.reading.Has = uint64(gun.seq), charge.HasSeq
	}
	return &v.m.reading
}

func (v *voice) tell() {
	v.emit(&v.m)
	if v.m.action == say && v.m.reading.Kind != charge.KindHeartbeat && v.b.piles[v.i].float() < twice {
		v.m.again = true
		v.emit(&v.m)
	}
}

func (v *voice) do(a action, at time.Duration) {
	r := v.reading(-1, at, charge.KindHeartbeat)
	r.Session = r.At.UnixMilli()
	v.m.action = a
	v.tell()
}

func (v *voice) heartbeat(at time.Duration) {
	r := v.reading(-1, at, charge.KindHeartbeat)
	r.Has, r.Online = charge.HasSession|charge.HasOnline, true
	session := v.b.piles[v.i].session
	r.Session = v.b.start.Add(session + v.b.clock(v.i, session)).UnixMilli()
	v.tell()
}

// status tells a connector's status, and when it will be repeated if nothing changes.
func (v *voice) status(g int, at time.Duration, status charge.Status) {
	p, gun := &v.b.piles[v.i], &v.b.gunsOf(v.i)[g]
	gun.status = status
	r := v.reading(g, at, charge.KindStatus)
	r.Has |= charge.HasStatus
	if r.Status = status; status == charge.Faulted {
		r.Fault = faultModes[gun.fault].fault
	}
	v.tell()
	gun.repeat = at + p.between(reportEvery/2, reportEvery-10*time.Second)
}

func (v *voice) alarm(g int, at time.Duration, mode *faultMode) {
	r := v.reading(g, at, charge.KindAlarm)
	r.Level, r.Code = mode.level, string(mode.fault)
	v.tell()
}

// Random numbers of a pile. They are drawn from the generator itself: a rand.Rand a pile would
// double its memory.

func (p *pileState) float() float64 { return float64(p.rng.Uint64()>>11) / (1 << 53) }

// between draws a time from low to high, to a millisecond.
func (p *pileState) between(low, high time.Duration) time.Duration {
	return (low + time.Duration(p.float()*float64(high-low))).Truncate(time.Millisecond)
}

// exponential draws a waiting time with the given mean.
func (p *pileState) exponential(meanHours float64) time.Duration {
	return time.Duration(-math.Log(1-p.float()) * meanHours * float64(time.Hour)).Truncate(time.Millisecond)
}

// jitter draws a time within a tenth of every.
func (p *pileState) jitter(every time.Duration) time.Duration {
	return p.between(every*9/10, every*11/10)
}

func (p *pileState) normal() float64 {
	return math.Sqrt(-2*math.Log(1-p.float())) * math.Cos(2*math.Pi*p.float())
}

func (p *pileState) faultMode() uint8 { return faultOf(p.float()) }

// faultOf gives a fault by its place, 0 to 1, among all that occur.
func faultOf(place float64) uint8 {
	total := 0.0
	for i := range faultModes {
		total += faultModes[i].weight
	}
	at := place * total
	for i := range faultModes {
		if at -= faultModes[i].weight; at < 0 {
			return uint8(i) //nolint:gosec // a dozen
		}
	}
	return 0
}

func tenths(v float64) float64     { return math.Round(v*10) / 10 }
func hundredths(v float64) float64 { return math.Round(v*100) / 100 }
