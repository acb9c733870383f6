package simulator

import (
	"fmt"
	"maps"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pilewatch/internal/charge"
	"pilewatch/internal/wire"
)

// A Monday without a holiday near.
var storyStart = time.Date(2026, 10, 12, 8, 0, 0, 0, charge.Zone)

// play lets every keep-th pile of the fleet live for a while, in the order that workers would step
// them: each looks at its own piles now and then.
func play(fleet *Fleet, cfg *Config, length time.Duration, workers, keep int, hear func(*message)) {
	playFrom(storyStart, fleet, cfg, length, workers, keep, hear)
}

func playFrom(start time.Time, fleet *Fleet, cfg *Config, length time.Duration, workers, keep int, hear func(*message)) {
	b := newBehaviour(fleet, cfg, start, 18*time.Second)
	v := b.voice(hear)
	for w := range workers {
		looks := 3 + w
		for look := range looks + 1 {
			for i := w; i < len(fleet.Piles); i += workers {
				if i%keep == 0 {
					b.step(v, i, length*time.Duration(look)/time.Duration(looks))
				}
			}
		}
	}
}

// sayings gives all that is said, byte by byte, for each pile.
func sayings(fleet *Fleet, workers int) map[int]string {
	said := make(map[int][]byte)
	play(fleet, Defaults(), 2*time.Hour, workers, 10, func(m *message) {
		out := fmt.Appendf(said[m.pile], "%d %d %s ", m.action, m.reading.Session, m.reading.Kind)
		said[m.pile] = append(wire.Encode(out, &m.reading, true), '\n')
	})
	all := make(map[int]string, len(said))
	for i, out := range said {
		all[i] = string(out)
	}
	return all
}

func TestSameSeedSameMessagesWhateverTheWorkers(t *testing.T) {
	fleet := generate(t, 2000, 4)
	one := sayings(fleet, 1)
	if len(one) < 180 {
		t.Fatalf("one worker: %d piles speak", len(one))
	}
	for _, workers := range []int{2, 3, 7} {
		if !maps.Equal(one, sayings(fleet, workers)) {
			t.Errorf("%d workers say something else than one", workers)
		}
	}
	if maps.Equal(one, sayings(generate(t, 2000, 5), 1)) {
		t.Error("another seed says the same")
	}
}

func TestEveryMessageIsTakenByTheGatewaysDecoder(t *testing.T) {
	fleet := generate(t, 2000, 1)
	seen := make(map[charge.Kind]int)
	play(fleet, Defaults(), 6*time.Hour, 1, 20, func(m *message) {
		if m.action != say {
			return
		}
		address := wire.Address{Operator: m.reading.Pile.Operator, Pile: wire.Many, Kind: m.reading.Kind}
		got, rejects, counts := wire.Decode(address, wire.Encode(nil, &m.reading, true), m.reading.At)
		if len(rejects) > 0 || counts.UnknownFields > 0 || len(got) != 1 {
			t.Fatalf("Decode(%s): %+v, %d unknown fields", wire.Encode(nil, &m.reading, true), rejects, counts.UnknownFields)
		}
		seen[m.reading.Kind]++
	})
	for kind := charge.KindStatus; kind <= charge.KindHeartbeat; kind++ {
		if seen[kind] == 0 {
			t.Errorf("no %s in 6 hours", kind)
		}
	}
}

func TestEveryWorkingPileIsFirstHeardUsableSoon(t *testing.T) {
	fleet := generate(t, 3000, 1)
	cfg := Defaults()
	first := make(map[int]time.Duration)
	second := make([]int, 60)
	play(fleet, cfg, time.Minute, 2, 1, func(m *message) {
		if m.reading.Kind != charge.KindStatus || m.action != say {
			return
		}
		if _, ok := first[m.pile]; ok {
			return
		}
		at := m.at
		first[m.pile] = at
		second[int(at.Seconds())]++
		if fleet.Piles[m.pile].Condition == Working && !m.reading.Status.Usable() {
			t.Errorf("%s first tells %s", m.reading.Pile, m.reading.Status)
		}
	})
	for i := range fleet.Piles {
		at, told := first[i]
		if silent := fleet.Piles[i].Condition == FailedSilent; told == silent || at > 20*time.Second {
			t.Errorf("pile %d, condition %d: told %v, first after %s", i, fleet.Piles[i].Condition, told, at)
		}
	}
	for s := 1; s < 17; s++ {
		if second[s] < len(first)/40 || second[s] > len(first)/10 {
			t.Errorf("second %d: %d of %d piles start, want them spread evenly", s, second[s], len(first))
		}
	}
}

func TestLongFailedPilesStaySo(t *testing.T) {
	fleet := generate(t, 2000, 2)
	play(fleet, Defaults(), 12*time.Hour, 1, 2, func(m *message) {
		r := &m.reading
		switch fleet.Piles[m.pile].Condition {
		case FailedSilent:
			t.Fatalf("silent pile says %+v", r)
		case FailedFault:
			if m.action == say && r.Kind != charge.KindHeartbeat && (r.Kind != charge.KindStatus || r.Status != charge.Faulted || r.Fault == "") {
				t.Fatalf("faulted pile says %+v", r)
			}
		case FailedGone:
			if m.action != say || r.Kind != charge.KindStatus || r.Status != charge.Offline {
				t.Fatalf("gone pile says %+v", r)
			}
		case Working:
		}
	})
}

// A history checks what one connector tells against what a real one could.
type history struct {
	last    map[charge.Kind]time.Time
	heard   time.Time
	seq     uint64
	meter   float64
	status  charge.Status
	session []charge.Reading // telemetry of the running session
}

func TestConnectorsArePlausible(t *testing.T) {
	fleet := generate(t, 2000, 9)
	cfg := Defaults()
	measured := 0
	rapid.Check(t, func(t *rapid.T) {
		fleet := *fleet
		fleet.Seed = rapid.Uint64().Draw(t, "seed")
		pile := rapid.Custom(func(t *rapid.T) int { // spread evenly, where IntRange prefers the first few
			return int(rapid.Uint64().Draw(t, "draw") * 0x9e3779b97f4a7c15 % uint64(len(fleet.Piles)))
		}).Draw(t, "pile")
		b := newBehaviour(&fleet, cfg, storyStart, 18*time.Second)
		guns := make(map[charge.ConnectorID]*history)
		up := false
		v := b.voice(func(m *message) {
			switch {
			case m.action == connect:
				if up {
					t.Fatalf("connects twice at %s", m.reading.At)
				}
				up = true
			case m.action == drop:
				if !up {
					t.Fatalf("drops twice at %s", m.reading.At)
				}
				up = false
			case m.again:
			case b.piles[pile].own && !up && !b.piles[pile].stores:
				t.Fatalf("speaks without a connection: %+v", m.reading)
			case m.reading.Kind != charge.KindHeartbeat:
				h := guns[m.reading.Connector]
				if h == nil {
					h = &history{last: make(map[charge.Kind]time.Time)}
					guns[m.reading.Connector] = h
				}
				h.check(t, &fleet.Piles[pile], &m.reading)
				measured += len(h.session)
			}
		})
		for now := time.Duration(0); now < 72*time.Hour; now += time.Minute {
			b.step(v, pile, now)
		}
		if fleet.Piles[pile].Condition == Working && len(guns) != int(fleet.Piles[pile].Connectors) {
			t.Fatalf("%d connectors spoke, want %d", len(guns), fleet.Piles[pile].Connectors)
		}
	})
	if measured < 10_000 {
		t.Errorf("only %d measurements were seen", measured)
	}
}

func (h *history) check(t *rapid.T, p *Pile, r *charge.Reading) {
	if last := h.last[r.Kind]; !r.At.After(last) {
		t.Fatalf("two %s at %s: one would be lost", r.Kind, r.At)
	}
	if !h.heard.IsZero() && (r.At.Before(h.heard) || r.At.Sub(h.heard) > 10*time.Minute+2*time.Minute) {
		t.Fatalf("%s follows after %s", r.Kind, r.At.Sub(h.heard))
	}
	if r.Seq != h.seq+1 {
		t.Fatalf("seq %d follows %d", r.Seq, h.seq)
	}
	h.last[r.Kind], h.heard, h.seq = r.At, r.At, r.Seq
	if r.Tells(charge.HasMeter) {
		if r.MeterKWh < h.meter && h.meter-r.MeterKWh < wrapsAt-1000 {
			t.Fatalf("meter runs back from %v to %v", h.meter, r.MeterKWh)
		}
		h.meter = r.MeterKWh
	}
	switch r.Kind {
	case charge.KindStatus:
		if r.Status == charge.Charging && h.status != charge.Charging {
			h.session = nil
		}
		h.status = r.Status
	case charge.KindTelemetry:
		h.telemetry(t, p, r)
	case charge.KindOrder:
		if h.status != charge.Charging || !r.End.After(r.Start) {
			t.Fatalf("order while %s: %+v", h.status, r)
		}
		if n := len(h.session); n > 0 && r.EnergyKWh < h.session[n-1].EnergyKWh {
			t.Fatalf("order of %v kWh after telemetry of %v", r.EnergyKWh, h.session[n-1].EnergyKWh)
		}
		h.session = nil
	default:
	}
}

func (h *history) telemetry(t *rapid.T, p *Pile, r *charge.Reading) {
	if h.status != charge.Charging || r.Status != charge.Charging {
		t.Fatalf("telemetry while %s: %+v", h.status, r)
	}
	if math.Abs(r.VoltageV*r.CurrentA/1000-r.PowerKW) > 0.0051 {
		t.Fatalf("%v V × %v A is not %v kW", r.VoltageV, r.CurrentA, r.PowerKW)
	}
	if r.PowerKW <= 0 || r.PowerKW > float64(p.PowerKW) || r.TempC < 0 || r.TempC > 80 {
		t.Fatalf("%v kW, %v °C at a connector of %v kW", r.PowerKW, r.TempC, p.PowerKW)
	}
	if low, high := 200.0, 240.0; !p.DC && (r.VoltageV < low || r.VoltageV > high || r.Tells(charge.HasSoC)) {
		t.Fatalf("AC: %v V, SoC told %v", r.VoltageV, r.Tells(charge.HasSoC))
	}
	if n := len(h.session); n > 0 {
		last := &h.session[n-1]
		hours := r.At.Sub(last.At).Hours()
		if want := (last.PowerKW + r.PowerKW) / 2 * hours; math.Abs(r.EnergyKWh-last.EnergyKWh-want) > 0.02 {
			t.Fatalf("energy rises by %v in %v h at %v to %v kW", r.EnergyKWh-last.EnergyKWh, hours, last.PowerKW, r.PowerKW)
		}
		if math.Abs(r.MeterKWh-last.MeterKWh-(r.EnergyKWh-last.EnergyKWh)) > 0.001 && r.MeterKWh > last.MeterKWh {
			t.Fatalf("meter rises by %v, energy by %v", r.MeterKWh-last.MeterKWh, r.EnergyKWh-last.EnergyKWh)
		}
		if p.DC && r.SoCPct < last.SoCPct {
			t.Fatalf("state of charge falls from %v to %v", last.SoCPct, r.SoCPct)
		}
		first := &h.session[0]
		switch flat := math.Abs(r.PowerKW-first.PowerKW) <= 0.02*first.PowerKW+0.05; {
		case !p.DC && !flat:
			t.Fatalf("AC power is not flat: %v, then %v kW", first.PowerKW, r.PowerKW)
		case p.DC && first.SoCPct < 79 && r.SoCPct < 79 && !flat:
			t.Fatalf("DC power is not constant below 80 %%: %v, then %v kW at %v %%", first.PowerKW, r.PowerKW, r.SoCPct)
		case p.DC && first.SoCPct < 79 && r.SoCPct > 85 && r.PowerKW > 0.75*first.PowerKW:
			t.Fatalf("DC power does not taper: %v, then %v kW at %v %%", first.PowerKW, r.PowerKW, r.SoCPct)
		}
	}
	h.session = append(h.session, *r)
}

func TestFaultsComeAfterUseAndAreRepaired(t *testing.T) {
	fleet := generate(t, 2000, 1)
	type key struct {
		pile      int
		connector charge.ConnectorID
	}
	now := make(map[key]charge.Status)
	faults, repairs := 0, 0
	play(fleet, Defaults(), 24*time.Hour, 1, 3, func(m *message) {
		if m.reading.Kind != charge.KindStatus || fleet.Piles[m.pile].Condition != Working {
			return
		}
		k := key{m.pile, m.reading.Connector}
		before, told := now[k]
		switch {
		case m.reading.Status == charge.Faulted && !told:
			t.Fatalf("%s begins with a fault", m.reading.Pile)
		case m.reading.Status == charge.Faulted && before != charge.Faulted:
			faults++
		case m.reading.Status != charge.Faulted && before == charge.Faulted && told:
			repairs++
		}
		now[k] = m.reading.Status
	})
	if faults < 100 || repairs < faults/2 {
		t.Errorf("%d faults and %d repairs in a day, want more, most of them repaired", faults, repairs)
	}
}

func TestConnectionsAreBoundedAndComeBack(t *testing.T) {
	fleet := generate(t, 2000, 1)
	for _, want := range []int{0, 1, 200} {
		cfg := Defaults()
		cfg.Connections = want
		up := make(map[int]int)
		drops, returns := 0, 0
		play(fleet, cfg, 6*time.Hour, 1, 1, func(m *message) {
			switch m.action {
			case connect:
				if up[m.pile]++; up[m.pile] > 1 {
					returns++
				}
			case drop:
				drops++
			case say:
			}
		})
		if len(up) != want {
			t.Errorf("Connections %d: %d piles connect", want, len(up))
		}
		if want == 200 && (drops < 100 || returns < drops-5) {
			t.Errorf("%d connections dropped in 6 h and %d came back", drops, returns)
		}
	}
}

// A meter goes on over a restart of the simulator: what the second run tells first is no less than
// what the first told last.
func TestMetersDoNotRunBackOverARestart(t *testing.T) {
	fleet := generate(t, 2000, 1)
	cfg := Defaults()
	last := make(map[charge.ConnectorKey]float64)
	play(fleet, cfg, 3*time.Hour, 1, 2, func(m *message) {
		if m.reading.Tells(charge.HasMeter) {
			last[charge.ConnectorKey{Pile: m.reading.Pile, Connector: m.reading.Connector}] = m.reading.MeterKWh
		}
	})
	b := newBehaviour(fleet, cfg, storyStart.Add(3*time.Hour+time.Second), 18*time.Second)
	v := b.voice(func(m *message) {
		k := charge.ConnectorKey{Pile: m.reading.Pile, Connector: m.reading.Connector}
		if m.reading.Tells(charge.HasMeter) && m.reading.MeterKWh < last[k] {
			t.Errorf("%s: meter %v after %v", k, m.reading.MeterKWh, last[k])
		}
	})
	for i := 0; i < len(fleet.Piles); i += 2 {
		b.step(v, i, time.Hour)
	}
	if len(last) == 0 {
		t.Error("no meter was told")
	}
}
