package registry

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"pilewatch/internal/charge"
)

// provinceFiles makes operators, stations and piles files of n piles, 18 a station, over all
// townships of the default list.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func provinceFiles(b testing.TB, r *Registry, n int) (operators, stations, piles []byte) {
	b.Helper()
	divisions, err := readDivisions(b.Context(), r.read)
	if err != nil {
		b.Fatal(err)
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
			fmt.Fprintf(&s, "MA3CL%04d,S%06d,%s充电站%d号,%s,%s,%s,%s人民路%d号,2023-05-01\n", op, station, township.Name, station, township.Code, kind, area, township.Name, station%300)
		}
		equipment, connectors := 2, 1
		if i%5 == 0 {
			equipment, connectors = 1, 2
		}
		for c := range connectors {
			fmt.Fprintf(&p, "MA3CL%04d,S%06d,3701%08d,%d,%d,%d,300,2023-05-01\n", op, station, i*104729%99999989, c+1, equipment, 7+113*(equipment%2))
		}
	}
	return o.Bytes(), s.Bytes(), p.Bytes()
}

// BenchmarkProvince is the province of 2025, 1.08 million piles: how long an import holds the
// registry, how long the directory takes to load and how much it needs, and the slowest pages.
// One round is enough: -benchtime 1x.
func BenchmarkProvince(b *testing.B) {
	if testing.Short() {
		b.Skip("a minute and 1 GB")
	}
	const n = 1_080_000
	ctx := context.Background()
	r := open(b)
	operators, stations, piles := provinceFiles(b, r, n)
	say("piles file: %d MB", len(piles)>>20)
	timed := func(what string, do func() error) {
		b.Helper()
		start := time.Now()
		if err := do(); err != nil {
			b.Fatalf("%s: %v", what, err)
		}
		say("%-44s %v", what, time.Since(start).Round(100*time.Microsecond))
	}
	imported := func(t Table, file []byte) func() error {
		return func() error {
			done, err := r.Import(ctx, t, bytes.NewReader(file))
			say("%s: %+v", t, done)
			return err
		}
	}
	for b.Loop() {
		timed("import operators", imported(Operators, operators))
		timed("import stations", imported(Stations, stations))
		timed("import piles", imported(Piles, piles))
		timed("import the same piles again", imported(Piles, piles))

		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var d *Directory
		timed("load directory", func() (err error) { d, err = r.Directory(ctx); return err })
		runtime.GC()
		runtime.ReadMemStats(&after)
		say("directory: %d MB, %d bytes a pile", (after.HeapAlloc-before.HeapAlloc)>>20, (after.HeapAlloc-before.HeapAlloc)/n)
		timed("import one pile", func() error {
			_, err := r.Import(ctx, Piles, bytes.NewReader([]byte("operator,station,pile,connector,power_kw,opened\nMA3CL0000,S000000,NEW,1,7,2024-01-01\n")))
			return err
		})
		timed("refresh directory by one pile", func() error { return d.Refresh(ctx) })

		var states []charge.ConnectorState
		count := 0
		for p := range d.Piles() {
			for _, c := range p.Connectors {
				status := charge.Idle
				if count%12 == 0 {
					status = charge.Charging
				}
				if count%100_000 == 7 {
					status = charge.Faulted
				}
				count++
				states = append(states, charge.ConnectorState{Key: charge.ConnectorKey{Pile: p.ID, Connector: c.ID}, Told: true, Status: status, LastHeard: time.Now()})
			}
		}
		for i := 0; i < len(states); i += 5000 {
			chunk := states[i:min(i+5000, len(states))]
			save := func() error { return r.SaveHealth(ctx, 0, uint64(i+1), nil, chunk) }
			if i%250_000 == 0 {
				timed("save health of 5,000, status new", save)
				timed("save health of 5,000, status the same", save)
			} else if err := save(); err != nil {
				b.Fatal(err)
			}
		}
		timed("targets", func() error { _, err := r.Targets(ctx); return err })
		timed("targets again", func() error { _, err := r.Targets(ctx); return err })
		for _, q := range []PileQuery{
			{}, {Division: "37"}, {Division: "3717"}, {Division: "371721101"}, {Operator: "MA3CL0000"}, {Operator: "MA3CL0039", Division: "3710"},
			{Status: "idle"}, {Status: "fault"}, {Status: "fault", Division: "3717"}, {Status: "silent"},
			{Status: "fault", Operator: "MA3CL0039"}, {Status: "fault", Operator: "MA3CL0000"}, {Status: "charging", Operator: "MA3CL0039"},
			{Search: "370100999"}, {Search: "3"}, {Search: "3701"}, {Search: "37010"}, {Search: "MA3CL0007:37"}, {Search: "庄寨镇"}, {Search: "充电站"}, {Search: "曹"},
			{Search: "充电站5999号"}, {Search: "没有"}, {Search: "人民路", Division: "3710"}, {Search: "人民路", Status: "fault"}, {Search: "威海"},
		} {
			timed(fmt.Sprintf("find %+v", q), func() error {
				rows, _, err := r.FindPiles(ctx, q)
				say("  %d rows", len(rows))
				return err
			})
		}
	}
}
