package ingest

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

const benchConnectors = 100_000

// bigDirectory is a partition of 300 townships with piles of two connectors, five piles a station.
type bigDirectory struct {
	fakeDirectory
	towns []charge.Division
}

func (d *bigDirectory) Divisions() []charge.Division { return d.towns }

func newBigDirectory(connectors int) *bigDirectory {
	d := &bigDirectory{}
	for i := range 300 {
		code := charge.DivisionCode(fmt.Sprintf("371%03d101", i))
		d.towns = append(d.towns, charge.Division{Code: code, Level: charge.Township})
	}
	for i := range connectors / 2 {
		d.add(fmt.Sprintf("EQ%08d", i), d.towns[i/5%len(d.towns)].Code, 2)
		if i%5 != 0 { // it stands at the station of the one before
			d.stations = d.stations[:len(d.stations)-1]
			d.piles[i].Station = d.piles[i-1].Station
		}
	}
	return d
}

// benchJudge is a judge whose connectors have all told that they are idle.
func benchJudge(dir *bigDirectory) *judge {
	j := newJudge(0, func(charge.DivisionCode) int { return 0 }, dir)
	for _, b := range benchBatches(dir.piles, func(r *charge.Reading) {
		r.Kind, r.Has, r.Status = charge.KindStatus, charge.HasStatus, charge.Idle
	}) {
		j.take(&b, nobody)
	}
	j.collect(false)
	return j
}

// benchBatches is one reading a connector, 500 a batch.
func benchBatches(piles []*registry.Pile, change func(*charge.Reading)) []journal.Batch {
	var all []journal.Batch
	b := journal.Batch{Seq: 1, At: begin}
	for _, p := range piles {
		for _, c := range p.Connectors {
			r := charge.Reading{Pile: p.ID, Connector: c.ID, At: begin, Received: begin}
			change(&r)
			b.Readings = append(b.Readings, r)
		}
		if len(b.Readings) == 500 {
			all = append(all, b)
			b = journal.Batch{Seq: b.Seq + 1, At: begin}
		}
	}
	return all
}

// BenchmarkJudgeTake judges half telemetry, half heartbeats; of the telemetry every eighth changes the
// status. It collects every 10 batches.
func BenchmarkJudgeTake(b *testing.B) {
	dir := newBigDirectory(benchConnectors)
	j := benchJudge(dir)
	var passes [2][]journal.Batch
	for pass := range passes {
		n := 0
		passes[pass] = benchBatches(dir.piles, func(r *charge.Reading) {
			if n++; n%2 == 0 {
				r.Kind, r.Connector = charge.KindHeartbeat, ""
				return
			}
			r.Kind, r.Has, r.Status, r.PowerKW = charge.KindTelemetry, charge.HasStatus|charge.HasPower, charge.Charging, float64(n%60+pass)
			if pass == 0 && n%16 == 1 {
				r.Status = charge.Occupied
			}
		})
	}
	now, seq := begin, j.seq
	take := func() {
		seq++
		i := int(seq) //nolint:gosec // small
		batch := passes[i/len(passes[0])%2][i%len(passes[0])]
		now = now.Add(20 * time.Millisecond)
		batch.Seq, batch.At = seq, now
		for i := range batch.Readings {
			batch.Readings[i].At, batch.Readings[i].Received = now, now
		}
		j.take(&batch, nobody)
		if seq%10 == 0 {
			j.collect(false)
		}
	}
	for range 2 * len(passes[0]) {
		take()
	}
	readings := 0
	for b.Loop() {
		take()
		readings += 500
	}
	b.ReportMetric(float64(readings)/b.Elapsed().Seconds(), "readings/s")
}

func BenchmarkJudgeTick(b *testing.B) {
	j := benchJudge(newBigDirectory(benchConnectors))
	now, seq := begin, j.seq
	for b.Loop() {
		seq++
		now = now.Add(10 * time.Second)
		j.take(&journal.Batch{Seq: seq, At: now}, nobody)
		j.collect(false)
	}
}

// BenchmarkJudgeRefresh makes the indexes anew, as after every change of the registry.
func BenchmarkJudgeRefresh(b *testing.B) {
	dir := newBigDirectory(benchConnectors)
	j := benchJudge(dir)
	seq := j.seq
	for b.Loop() {
		seq++
		dir.rev++
		j.take(&journal.Batch{Seq: seq, At: begin}, nobody)
		j.collect(false)
	}
}

func BenchmarkCheckpoint(b *testing.B) {
	dir := newBigDirectory(benchConnectors)
	j := benchJudge(dir)
	b.Run("save", func(b *testing.B) {
		size := 0
		for b.Loop() {
			data, err := j.save(0)
			if err != nil {
				b.Fatal(err)
			}
			size = len(data)
		}
		b.ReportMetric(float64(size)/benchConnectors, "bytes/connector")
	})
	b.Run("restore", func(b *testing.B) {
		data, err := j.save(0)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			again := newJudge(0, j.partitionOf, dir)
			if _, err := again.restore(data); err != nil {
				b.Fatal(err)
			}
			again.take(&journal.Batch{Seq: j.seq + 1, At: begin}, nobody)
		}
	})
}

func TestAConnectorTakesUnder500Bytes(t *testing.T) {
	const connectors = 20_000
	dir := newBigDirectory(connectors)
	before := heap()
	j := benchJudge(dir)
	each := float64(heap()-before) / connectors
	t.Logf("%.0f bytes a connector", each)
	if each >= 500 {
		t.Errorf("a judge takes %.0f bytes a connector, want under 500", each)
	}
	runtime.KeepAlive(j)
	runtime.KeepAlive(dir)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
