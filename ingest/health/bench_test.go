package health

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"pilewatch/internal/charge"
)

// aDay plays a day of a pile to a state whose log's clock the caller moves: heartbeats each minute, status each half hour;
// every twelfth pile charges an hour with telemetry each 15 s, every twentieth is flaky.
func aDay(s *State, p *Pile, cs []Connector, n int, minute int, day time.Time, told *int) {
	at := day.Add(time.Duration(minute)*time.Minute + time.Duration(n%60)*time.Second)
	received := at.UnixMilli()
	status := charge.Idle
	charging := n%12 == 0 && minute >= 600 && minute < 660
	if charging {
		status = charge.Charging
	}
	if n%20 == 0 && minute%90 >= 40 && minute%90 < 80 {
		return // its modem is away
	}
	beat := charge.Reading{Kind: charge.KindHeartbeat, Has: charge.HasOnline, Online: true, At: at, Received: at}
	if p.Beat(&beat) == There {
		for i := range cs {
			s.Return(&cs[i], received)
		}
	}
	*told++
	if minute%30 == n%30 || n%20 == 0 && minute%90 == 80 || n%12 == 0 && (minute == 600 || minute == 660) {
		for i := range cs {
			r := charge.Reading{Kind: charge.KindStatus, Has: charge.HasStatus, Status: status, At: at, Received: at}
			s.Tell(p, &cs[i], &r)
			*told++
		}
	}
	if charging {
		for k := range 4 {
			when := at.Add(time.Duration(15*k) * time.Second)
			kWh := float64(minute-600)*0.8 + float64(k)*0.2
			r := charge.Reading{
				Kind: charge.KindTelemetry, Has: charge.HasStatus | charge.HasPower | charge.HasEnergy | charge.HasMeter, Status: status,
				PowerKW: 48, EnergyKWh: kWh, MeterKWh: 1000 + float64(day.Unix()/86400%1000)*48 + kWh, At: when, Received: when,
			}
			s.Tell(p, &cs[0], &r)
			*told++
		}
	}
}

type pileOfTwo struct {
	pile       Pile
	connectors [2]Connector
}

// live plays days to piles, freeing what is final.
func live(piles []pileOfTwo, s *State, days int) (readings int) {
	for d := range days {
		day := startDay.AddDate(0, 0, d)
		for minute := range dayMinutes {
			s.Advance(day.Add(time.Duration(minute) * time.Minute))
			for n := range piles {
				aDay(s, &piles[n].pile, piles[n].connectors[:], n, minute, day, &readings)
			}
		}
		for n := range piles {
			for i := range piles[n].connectors {
				s.Free(&piles[n].connectors[i], day.AddDate(0, 0, -3))
			}
		}
	}
	return readings
}

func newPiles(n int, s *State) []pileOfTwo {
	piles := make([]pileOfTwo, n)
	for p := range piles {
		for i := range piles[p].connectors {
			s.Limit(&piles[p].connectors[i], s.SilenceLimit(0), 0)
		}
	}
	return piles
}

// BenchmarkReplay plays a realistic day of 1,000 piles of two connectors.
func BenchmarkReplay(b *testing.B) {
	readings := 0
	for b.Loop() {
		s := New(DefaultPolicy())
		readings += live(newPiles(1000, s), s, 1)
	}
	b.ReportMetric(float64(readings)/b.Elapsed().Seconds(), "readings/s")
}

// BenchmarkTell tells statuses and telemetry of one connector a second.
func BenchmarkTell(b *testing.B) {
	s := New(DefaultPolicy())
	p := newPiles(1000, s)
	at, n := startDay, 0
	s.Advance(at)
	for b.Loop() {
		one := &p[n%len(p)]
		if n++; n%len(p) == 0 {
			at = at.Add(15 * time.Second)
			s.Advance(at)
		}
		r := charge.Reading{Kind: charge.KindTelemetry, Has: charge.HasStatus | charge.HasPower, Status: charge.Charging, PowerKW: 30, At: at, Received: at}
		s.Tell(&one.pile, &one.connectors[0], &r)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "readings/s")
}

func BenchmarkCloseDay(b *testing.B) {
	s := New(DefaultPolicy())
	piles := newPiles(240, s)
	live(piles, s, 2)
	var day, other, pile Day
	n := 0
	for b.Loop() {
		p := &piles[n%len(piles)]
		n++
		s.CloseDay(&day, &p.pile, &p.connectors[0], startDay, always, nil)
		s.CloseDay(&other, &p.pile, &p.connectors[1], startDay, always, nil)
		pile.Unite(&day, &other)
		sink = day.Sum().Usable + other.Sum().Usable + pile.Sum().Usable
	}
	b.ReportMetric(float64(2*n)/b.Elapsed().Seconds(), "connectors/s")
}

func BenchmarkUsableObserved(b *testing.B) {
	s := New(DefaultPolicy())
	piles := newPiles(240, s)
	live(piles, s, 5)
	n := 0
	for b.Loop() {
		usable, _ := s.UsableObserved(&piles[n%len(piles)].connectors[0], 24*time.Hour, nil)
		sink = uint16(usable)
		n++
	}
}

var sink uint16

// What a connector takes after six days of realistic traffic, of which the provisional ones are held: with its half of
// a pile of two, and without the maps of who holds it.
func TestAConnectorTakesUnder400BytesHere(t *testing.T) {
	const count = 480
	s := New(DefaultPolicy())
	before := heapBytes()
	piles := newPiles(count, s)
	live(piles, s, 6)
	each := float64(heapBytes()-before) / (2 * count)
	t.Logf("%.0f bytes a connector, of which %d are itself and %d its half of its pile", each, unsafe.Sizeof(Connector{}), unsafe.Sizeof(Pile{})/2)
	if each >= 400 {
		t.Errorf("a connector takes %.0f bytes, want under 400", each)
	}
	runtime.KeepAlive(piles)
}

func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
