package health

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

// measured is a telemetry of connector 1 while it charges, received at at.
func measured(at time.Time, more func(*charge.Reading)) record {
	r := charge.Reading{
		Kind: charge.KindTelemetry, Has: charge.HasStatus, Status: charge.Charging, Connector: "1", At: at, Received: at,
	}
	more(&r)
	return record{Reading: r}
}

func meter(kWh float64) func(*charge.Reading) {
	return func(r *charge.Reading) { r.MeterKWh = kWh; r.Has |= charge.HasMeter }
}

func session(kWh float64) func(*charge.Reading) {
	return func(r *charge.Reading) { r.EnergyKWh = kWh; r.Has |= charge.HasEnergy }
}

// ordered is an order of connector 1.
func ordered(received time.Time, number string, end time.Time, kWh float64) record {
	return record{Reading: charge.Reading{
		Kind: charge.KindOrder, Has: charge.HasEnergy | charge.HasEnd, Connector: "1", At: received, Received: received,
		Order: number, End: end, EnergyKWh: kWh,
	}}
}

func TestEnergyAndSessionsOfADay(t *testing.T) {
	idle := func(at time.Time) record {
		return measured(at, func(r *charge.Reading) { r.Kind, r.Status = charge.KindStatus, charge.Idle })
	}
	type delivered struct {
		wh       uint32
		sessions uint8
	}
	tests := []struct {
		name  string
		log   []record
		days  [2]delivered
		jumps uint32
	}{
		{"a session by the meter", []record{measured(at(1), meter(100)), measured(at(2), meter(112.5))}, [2]delivered{{12_500, 0}}, 0},
		{"a session over midnight", []record{measured(at(23), meter(100)), measured(at(23.5), meter(103)), measured(at(24.5), meter(107))}, [2]delivered{{3000, 0}, {4000, 0}}, 0},
		{"a meter that wraps delivers nothing for once", []record{measured(at(1), meter(99_999)), measured(at(2), meter(3)), measured(at(3), meter(5))}, [2]delivered{{2000, 0}}, 1},
		{"a meter that was exchanged for one further on", []record{measured(at(1), meter(5)), measured(at(2), meter(90_000)), measured(at(3), meter(90_001))}, [2]delivered{{1000, 0}}, 1},
		{"a meter told again", []record{measured(at(1), meter(5)), measured(at(2), meter(7)), measured(at(1), meter(5)), measured(at(2), meter(7))}, [2]delivered{{2000, 0}}, 0},
		{"orders, where no meter is told", []record{ordered(at(2), "A", at(2), 10), ordered(at(3), "B", at(3), 0.5)}, [2]delivered{{10_500, 1}}, 0},
		{"an order told again", []record{ordered(at(2), "A", at(2), 10), ordered(at(3), "A", at(2), 10)}, [2]delivered{{10_000, 1}}, 0},
		{"the meter, where both are told", []record{measured(at(1), meter(100)), measured(at(2), meter(109)), ordered(at(2), "A", at(2), 10)}, [2]delivered{{9000, 1}}, 0},
		{"an order that comes a day late", []record{measured(at(1), meter(1)), ordered(at(25), "A", at(2), 10)}, [2]delivered{{0, 1}}, 0},
		{"an order that comes five days late", []record{measured(at(1), meter(1)), ordered(at(122), "A", at(2), 10)}, [2]delivered{}, 0},
		{"a session seen in telemetry, without an order", []record{measured(at(1), session(0.2)), measured(at(2), session(8)), idle(at(2.1))}, [2]delivered{{0, 1}}, 0},
		{"one seen and ordered is one", []record{measured(at(1), session(0.2)), measured(at(2), session(8)), idle(at(2.1)), ordered(at(2.1), "A", at(2.1), 8)}, [2]delivered{{8000, 1}}, 0},
		{"a pause is no end of it", []record{measured(at(1), session(3)), idle(at(1.1)), measured(at(2), session(8)), idle(at(2.1))}, [2]delivered{{0, 1}}, 0},
		{"two without a word between", []record{measured(at(1), session(3)), measured(at(2), session(0.1)), measured(at(3), session(4)), idle(at(4))}, [2]delivered{{0, 2}}, 0},
		{"one of less than a kilowatt-hour", []record{measured(at(1), session(0.99)), idle(at(2))}, [2]delivered{}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := play(DefaultPolicy(), tt.log)
			for i, want := range tt.days {
				var d Day
				p.state.CloseDay(&d, &p.pile, &p.connectors[0], startDay.AddDate(0, 0, i), nil, nil)
				if got := (delivered{d.EnergyWh, d.Sessions}); got != want {
					t.Errorf("day %d: got %+v, want %+v", i, got, want)
				}
			}
			if m := p.connectors[0].Meter; m.Jumps != tt.jumps {
				t.Errorf("jumps: got %d, want %d", m.Jumps, tt.jumps)
			}
		})
	}
}

// Whatever is repeated and in whatever steps the meter is told, the days add up to what it ran on by.
func TestTheDaysEnergyIsWhatTheMeterRanOnBy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var log []record
		kWh, at := 0.0, startDay
		steps := rapid.SliceOfN(rapid.IntRange(0, 3_600_000), 1, 50).Draw(t, "steps")
		log = append(log, measured(at, meter(kWh)))
		for _, step := range steps {
			at = at.Add(time.Duration(1000+step) * time.Millisecond)
			kWh += float64(step) / 36_000 // at 100 kW
			log = append(log, measured(at, meter(kWh)))
			if rapid.IntRange(0, 4).Draw(t, "again") == 0 {
				log = append(log, log[rapid.IntRange(0, len(log)-1).Draw(t, "which")])
			}
		}
		p := play(DefaultPolicy(), log)
		var sum int64
		for i := range 4 {
			var d Day
			p.state.CloseDay(&d, &p.pile, &p.connectors[0], startDay.AddDate(0, 0, i), nil, nil)
			sum += int64(d.EnergyWh)
		}
		if want := wattHours(kWh); sum != want {
			t.Fatalf("got %d Wh, want %d", sum, want)
		}
	})
}

func TestASenderOfEndlessOrdersFillsNoMemory(t *testing.T) {
	p := newReplay(DefaultPolicy())
	var refused int
	for i := range mostOrders + 100 {
		r := ordered(at(1), fmt.Sprint("order ", i), at(1), 2)
		if p.state.Order(&p.pile, &p.connectors[0], &r.Reading) == TooMany {
			refused++
		}
	}
	if got := len(p.connectors[0].Meter.Orders); got != mostOrders || refused != 100 {
		t.Errorf("got %d orders held and %d refused, want %d and 100", got, refused, mostOrders)
	}
}
