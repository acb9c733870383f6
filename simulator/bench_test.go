package simulator

import (
	"runtime"
	"testing"
	"time"
)

// What a pile costs: its entry in the fleet, its state with its connectors, and its appointment.
func BenchmarkMemoryOfAPile(b *testing.B) {
	const piles = 100_000
	divisions := shandong(b)
	for b.Loop() {
		before := heapBytes()
		fleet, err := Generate(divisions, piles, 1)
		if err != nil {
			b.Fatal(err)
		}
		registry := heapBytes()
		behaviour := newBehaviour(fleet, Defaults(), storyStart, time.Minute)
		a := newAgenda(behaviour, 0, 1)
		all := heapBytes()
		b.ReportMetric(float64(registry-before)/piles, "fleet-B/pile")
		b.ReportMetric(float64(all-registry)/piles, "state-B/pile")
		runtime.KeepAlive(a)
		runtime.KeepAlive(behaviour)
		runtime.KeepAlive(fleet)
	}
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// How many messages a core decides on, without sending them.
func BenchmarkBehaviour(b *testing.B) {
	fleet := generate(b, 20_000, 1)
	behaviour := newBehaviour(fleet, Defaults(), storyStart, time.Minute)
	messages := 0
	v := behaviour.voice(func(*message) { messages++ })
	a := newAgenda(behaviour, 0, 1)
	for b.Loop() {
		i := int(a[0].pile)
		behaviour.step(v, i, a[0].due)
		a.reset(behaviour.due(i))
	}
	b.ReportMetric(float64(messages)/b.Elapsed().Seconds(), "messages/s")
}
