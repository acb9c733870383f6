package registry

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"pilewatch/internal/charge"
)

// provinceFiles makes operators, stations and piles files of n piles, 18 a station, over all
// townships of the default list.
func provinceFiles(t testing.TB, r *Registry, n int) (operators, stations, piles []byte) {
	t.Helper()
	divisions, err := readDivisions(t.Context(), r.read)
	if err != nil {
		t.Fatal(err)
	}
	var townships []charge.Division
	for _, d := range divisions {
		if d.Level == charge.Township {
			townships = append(townships, d)
		}
	}
	const ops = 40
	var o, s, p bytes.Buffer
	o.WriteString("operator,name\n")
	for i := range ops {
		fmt.Fprintf(&o, "MA3CL%04d,运营商%d\n", i, i)
	}
	s.WriteString("operator,station,name,township,kind,area,address,opened\n")
	p.WriteString("operator,station,pile,connector,equipment_type,power_kw,report_s,opened\n")
	for i := range n {
		station := i / 18
		// Half of all belong to operator 0, as one grid company runs most residential piles.
		op := 0
		if station%2 == 1 {
			op = station / 2 % ops
		}
		if i%18 == 0 {
			township := townships[station*7919%len(townships)]
			kind, area := "public", "urban"
			if station%6 != 0 {
				kind = "residential"
			}
			if township.Kind != charge.KindStreet {
				area = "rural"
			}
			fmt.Fprintf(&s, "MA3CL%04d,S%06d,%s充电站%d号,%s,%s,%s,%s人民路%d号,2023-05-01\n",
				op, station, township.Name, station, township.Code, kind, area, township.Name, station%300)
		}
		equipment, connectors := 2, 1
		if i%5 == 0 {
			equipment, connectors = 1, 2
		}
		for c := range connectors {
			fmt.Fprintf(&p, "MA3CL%04d,S%06d,3701%08d,%d,%d,%d,300,2023-05-01\n",
				op, station, i*104729%99999989, c+1, equipment, 7+113*(equipment%2))
		}
	}
	return o.Bytes(), s.Bytes(), p.Bytes()
}

// BenchmarkProvince is the province of 2025, 1.08 million piles: how long an import takes, how long
// the directory takes to load and how much it needs, a step of health, and the slowest page. One
// round takes some minutes and 1 GB: -benchtime 1x.
func BenchmarkProvince(b *testing.B) {
	if testing.Short() {
		b.Skip("some minutes and 1 GB")
	}
	const n = 1_080_000
	ctx := context.Background()
	r := open(b)
	operators, stations, piles := provinceFiles(b, r, n)
	timed := func(do func() error) time.Duration {
		b.Helper()
		start := time.Now()
		if err := do(); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	imported := func(t Table, file []byte) time.Duration {
		return timed(func() error { _, err := r.Import(ctx, t, bytes.NewReader(file)); return err })
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		imported(Operators, operators)
		imported(Stations, stations)
		b.ReportMetric(imported(Piles, piles).Seconds(), "s/import")
		b.ReportMetric(imported(Piles, piles).Seconds(), "s/import-unchanged")
		var d *Directory
		before := heap()
		b.ReportMetric(timed(func() (err error) { d, err = r.Directory(ctx); return err }).Seconds(), "s/directory")
		b.ReportMetric(float64(heap()-before)/n, "B/pile")
		imported(Piles, []byte("operator,station,pile,connector,power_kw,opened\nMA3CL0000,S000000,NEW,1,7,2024-01-01\n"))
		b.ReportMetric(timed(func() error { return d.Refresh(ctx) }).Seconds()*1000, "ms/refresh")

		var states []charge.ConnectorState
		for p := range d.Piles() {
			for _, c := range p.Connectors {
				status := charge.Idle
				switch i := len(states); {
				case i%100_000 == 7:
					status = charge.Faulted
				case i%12 == 0:
					status = charge.Charging
				}
				states = append(states, charge.ConnectorState{
					Key:  charge.ConnectorKey{Pile: p.ID, Connector: c.ID},
					Told: true, Status: status, LastHeard: time.Now(),
				})
			}
		}
		var first, again time.Duration
		for i := 0; i < len(states); i += 5000 {
			save := func() error {
				return r.SaveHealth(ctx, 0, uint64(i+1), &Health{Connectors: states[i:min(i+5000, len(states))]})
			}
			first = max(first, timed(save))
			if i%100_000 == 0 {
				again = max(again, timed(save))
			}
		}
		b.ReportMetric(first.Seconds()*1000, "ms/save-5000-new-status-max")
		b.ReportMetric(again.Seconds()*1000, "ms/save-5000-same-status-max")
		b.ReportMetric(timed(func() error { _, err := r.Targets(ctx); return err }).Seconds(), "s/targets")
		var slowest time.Duration
		for _, q := range []PileQuery{
			{},
			{Division: "3717"},
			{Operator: "MA3CL0000"},
			{Operator: "MA3CL0039", Division: "3710"},
			{Status: "idle"},
			{Status: "fault", Division: "3717"},
			{Status: "silent"},
			{Status: "fault", Operator: "MA3CL0039"},
			{Status: "fault", Operator: "MA3CL0000"},
			{Status: "charging", Operator: "MA3CL0039"},
			{Search: "370100999"},
			{Search: "3"},
			{Search: "MA3CL0007:37"},
			{Search: "庄寨镇"},
			{Search: "充电站"},
			{Search: "没有"},
			{Search: "威海"},
			{Search: "人民路", Status: "fault"},
			{Search: "人民路", Status: "charging", Division: "3710"},
		} {
			took := timed(func() error { _, _, err := r.FindPiles(ctx, q); return err })
			if slowest = max(slowest, took); took > 100*time.Millisecond {
				b.Logf("%+v took %v", q, took)
			}
		}
		b.ReportMetric(slowest.Seconds()*1000, "ms/page-max")
	}
}

func BenchmarkLookUp(b *testing.B) {
	r := open(b)
	operators, stations, piles := provinceFiles(b, r, 20_000)
	take(b, r, Operators, string(operators))
	take(b, r, Stations, string(stations))
	take(b, r, Piles, string(piles))
	d, err := r.Directory(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var ids []charge.PileID
	for p := range d.Piles() {
		ids = append(ids, p.ID)
	}
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, ok := d.Pile(ids[i%len(ids)]); !ok {
				b.Fail()
			}
		}
	})
}

// BenchmarkSaveHealth saves 5,000 connectors of 100,000, each with another status than before.
func BenchmarkSaveHealth(b *testing.B) {
	r := open(b)
	operators, stations, piles := provinceFiles(b, r, 83_000)
	take(b, r, Operators, string(operators))
	take(b, r, Stations, string(stations))
	take(b, r, Piles, string(piles))
	d, err := r.Directory(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var states []charge.ConnectorState
	for p := range d.Piles() {
		for _, c := range p.Connectors {
			states = append(states, charge.ConnectorState{Key: charge.ConnectorKey{Pile: p.ID, Connector: c.ID}, Told: true})
		}
		if len(states) >= 5000 {
			break
		}
	}
	states = states[:5000]
	seq := uint64(0)
	for b.Loop() {
		seq++
		for i := range states {
			states[i].Status = charge.Status(seq % 5)
		}
		if err := r.SaveHealth(b.Context(), 0, seq, &Health{Connectors: states}); err != nil {
			b.Fatal(err)
		}
	}
}
