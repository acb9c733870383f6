package ingest

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/policy"
	"pilewatch/internal/registry"
)

// Figures of the design, of the judges alone: without the log and the registry, whose rows are made and dropped.
// PILEWATCH_BENCH_PILES and PILEWATCH_BENCH_DAYS make them smaller while one works on them.

const (
	benchTownships  = 1129
	benchPartitions = 4
)

func benchSize(b *testing.B, name string, usual int) int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// benchProvince is piles of one connector, five a station; one in every publicOf is public.
type benchProvince struct {
	bigDirectory
	policies policy.Policies
	slots    [benchPartitions][daySlots][]happens
}

func (d *benchProvince) Policies() policy.Policies { return d.policies }

// happens is a status that a pile tells each day in a slot of two minutes.
type happens struct {
	pile    int32
	status  charge.Status
	changes bool // it is another than the one before
}

const (
	slot     = 2 * time.Minute
	daySlots = int(24 * time.Hour / slot)
)

// A day of a pile: two charges, and a word at least every five hours.
var benchDay = []struct {
	at     time.Duration
	status charge.Status
}{
	{0, charge.Idle},
	{5 * time.Hour, charge.Charging},
	{6 * time.Hour, charge.Idle},
	{11 * time.Hour, charge.Idle},
	{15 * time.Hour, charge.Charging},
	{16 * time.Hour, charge.Idle},
	{20 * time.Hour, charge.Idle},
}

func newBenchProvince(piles, publicOf int) *benchProvince {
	d := &benchProvince{policies: policy.Policies{policy.Default()}}
	for i := range benchTownships {
		code := charge.DivisionCode(fmt.Sprintf("37%04d%03d", i/10, 100+i%10))
		d.towns = append(d.towns, charge.Division{Code: code, Level: charge.Township})
	}
	opened := midnight.AddDate(-1, 0, 0)
	var station *charge.Station
	for pile := range piles {
		if pile%5 == 0 {
			kind := charge.Residential
			if pile/5%publicOf == 0 {
				kind = charge.Public
			}
			n := pile / 5
			station = &charge.Station{
				Operator: charge.OperatorID(fmt.Sprintf("OP%d", n%20)), ID: charge.StationID(fmt.Sprintf("S%d", n)),
				Township: d.towns[(n/publicOf)%len(d.towns)].Code, Kind: kind, Opened: opened, Area: "rural",
			}
			d.stations = append(d.stations, station)
		}
		p := &registry.Pile{ID: charge.PileID{Operator: station.Operator, Equipment: fmt.Sprintf("EQ%08d", pile)}, Station: station}
		p.Connectors = []charge.Connector{{Pile: p.ID, ID: "1", Station: station.ID, Opened: opened, ReportEvery: 6 * time.Hour}}
		d.piles = append(d.piles, p)
		of := benchPartition(station.Township)
		phase := pile * 7919 % daySlots
		for i, one := range benchDay {
			before := benchDay[(i+len(benchDay)-1)%len(benchDay)].status
			s := &d.slots[of][(phase+int(one.at/slot))%daySlots]
			*s = append(*s, happens{int32(pile), one.status, one.status != before}) //nolint:gosec // small
		}
	}
	return d
}

func benchPartition(code charge.DivisionCode) int { return int(code[5]-'0'+code[8]) % benchPartitions }

// A benchLog plays days to one partition's judge.
type benchLog struct {
	*judge
	of       *benchProvince
	readings []charge.Reading
	rows     int
	read     int
	days     []registry.TownshipDay
	dropped  time.Time
}

// dropEvery is how often what the judge has found is taken: a backlog is saved as quickly as the registry can.
const dropEvery = 6 * time.Hour

func (d *benchProvince) log(partition int) *benchLog {
	return &benchLog{judge: newJudge(partition, benchPartition, d), of: d}
}

// play is a day in batches of a slot, with a tick every tickEvery; down tells which piles are faulted.
func (l *benchLog) play(day time.Time, tickEvery time.Duration, down func(*registry.Pile) bool) {
	for i := range l.of.slots[l.partition] {
		at := day.Add(time.Duration(i) * slot)
		l.readings = l.readings[:0]
		for _, h := range l.of.slots[l.partition][i] {
			l.readings = append(l.readings, l.tells(&h, at, down))
		}
		l.send(at, l.readings)
		for pass := time.Duration(0); pass < slot; pass += tickEvery {
			l.send(at.Add(pass), nil)
		}
		if at.Sub(l.dropped) >= dropEvery {
			l.drop()
			l.dropped = at
		}
	}
	l.drop()
}

func (l *benchLog) tells(h *happens, at time.Time, down func(*registry.Pile) bool) charge.Reading {
	l.read++
	p := l.of.piles[h.pile]
	r := charge.Reading{Pile: p.ID, Connector: "1", Kind: charge.KindStatus, Has: charge.HasStatus, Status: h.status, At: at, Received: at}
	if down(p) {
		r.Status = charge.Faulted
	}
	return r
}

// relate plays the changes of a day as a story, in which what was told holds until the next word.
func (l *benchLog) relate(day time.Time, down func(*registry.Pile) bool) {
	var at time.Time
	send := func() {
		l.take(&journal.Batch{Seq: l.seq + 1, At: at, Readings: l.readings, Backfill: true}, nobody)
		l.readings = l.readings[:0]
	}
	for i := range l.of.slots[l.partition] {
		at = day.Add(time.Duration(i) * slot)
		for _, h := range l.of.slots[l.partition][i] {
			if !h.changes {
				continue
			}
			if l.readings = append(l.readings, l.tells(&h, at, down)); len(l.readings) == 500 {
				send()
			}
		}
	}
	send()
	l.drop()
}

func (l *benchLog) send(at time.Time, readings []charge.Reading) {
	for len(readings) > 0 {
		n := min(len(readings), 500)
		l.take(&journal.Batch{Seq: l.seq + 1, At: at, Readings: readings[:n]}, nobody)
		readings = readings[n:]
	}
	l.take(&journal.Batch{Seq: l.seq + 1, At: at}, nobody)
}

func (l *benchLog) drop() {
	s := l.collect(false)
	l.rows += len(s.connectors) + len(s.townships) + len(s.connectorDays) + len(s.pileDays) + len(s.sums) + len(s.townDays)
	l.days = append(l.days, s.townDays...)
}

// all runs do for each partition beside the others, as the owners are.
func (d *benchProvince) each(b *testing.B, do func(partition int) error) time.Duration {
	b.Helper()
	var g errgroup.Group
	begun := time.Now()
	for p := range benchPartitions {
		g.Go(func() error { return do(p) })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

func never(*registry.Pile) bool { return false }

// BenchmarkThreeYears replays the state changes of 10,000 rural public piles in 1,129 townships, as records of a story.
func BenchmarkThreeYears(b *testing.B) {
	benchDays(b, 3*365+1, (*benchLog).relate)
}

// BenchmarkYearLive replays a year of the same piles as the log has it of piles that live: each tells its status at least
// every five hours, and there is a tick every two minutes.
func BenchmarkYearLive(b *testing.B) {
	benchDays(b, 366, func(l *benchLog, day time.Time, down func(*registry.Pile) bool) { l.play(day, slot, down) })
}

// benchDays plays days, in ten of which every hundredth township is down: each day's coverage has to say so.
func benchDays(b *testing.B, days int, play func(l *benchLog, day time.Time, down func(*registry.Pile) bool)) {
	b.Helper()
	piles, days := benchSize(b, "PILEWATCH_BENCH_PILES", 10_000), benchSize(b, "PILEWATCH_BENCH_DAYS", days)
	d := newBenchProvince(piles, 1)
	unlucky := make(map[charge.DivisionCode]bool)
	for i := 0; i < benchTownships; i += 100 {
		unlucky[d.towns[i].Code] = true
	}
	for b.Loop() {
		var logs [benchPartitions]*benchLog
		took := d.each(b, func(p int) error {
			l := d.log(p)
			logs[p] = l
			for day := range days {
				play(l, midnight.AddDate(0, 0, day), func(pile *registry.Pile) bool {
					return day >= 20 && day < 30 && unlucky[pile.Station.Township]
				})
			}
			return nil
		})
		rows, all, readings := 0, 0, 0
		for _, l := range logs {
			rows, all, readings = rows+l.rows, all+len(l.days), readings+l.read
			for _, got := range l.days {
				day, down := int(got.Day.Sub(midnight)/(24*time.Hour)), unlucky[got.Township]
				switch {
				case day == 0, down && (day == 20 || day == 30): // it may have served an hour before its first word of that day, or not yet after it
				case (got.State == charge.Effective) == (down && day > 20 && day < 30):
					b.Fatalf("%s on day %d: got %s %s", got.Township, day, got.State, got.Reason)
				}
			}
		}
		if all != benchTownships*(days-1) {
			b.Fatalf("got %d days of townships, want %d", all, benchTownships*(days-1))
		}
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(float64(rows), "rows")
		b.ReportMetric(float64(readings)/took.Seconds(), "readings/s")
	}
}

// provinceAfterADay is all of the province's judges after a day and the closing of it.
func provinceAfterADay(b *testing.B, d *benchProvince) (logs [benchPartitions]*benchLog, took time.Duration) {
	b.Helper()
	took = d.each(b, func(p int) error {
		l := d.log(p)
		logs[p] = l
		l.play(midnight, 10*time.Second, never)
		for pass := time.Duration(0); pass <= passTakes; pass += 10 * time.Second { // its day is closed
			l.send(midnight.AddDate(0, 0, 1).Add(pass), nil)
			l.drop()
		}
		return nil
	})
	return logs, took
}

// BenchmarkProvinceDay is one day of 1.08 million piles, one in six public, with ticks every 10 s and
// the closing of the day.
func BenchmarkProvinceDay(b *testing.B) {
	d := newBenchProvince(benchSize(b, "PILEWATCH_BENCH_PILES", 1_080_000), 6)
	for b.Loop() {
		_, took := provinceAfterADay(b, d)
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(float64(len(d.piles)*len(benchDay))/took.Seconds(), "readings/s")
	}
}

// BenchmarkRestart restores the judges of 1.08 million piles from their checkpoints and takes a minute of
// the log, in which each pile beats once.
func BenchmarkRestart(b *testing.B) {
	d := newBenchProvince(benchSize(b, "PILEWATCH_BENCH_PILES", 1_080_000), 6)
	logs, _ := provinceAfterADay(b, d)
	var saved [benchPartitions][]byte
	size := 0
	writing := d.each(b, func(p int) (err error) {
		saved[p], err = logs[p].save(0)
		return err
	})
	at := logs[0].state.Now()
	for p := range logs {
		size += len(saved[p])
		logs[p] = nil
	}
	runtime.GC()
	for b.Loop() {
		took := d.each(b, func(p int) error {
			l := d.log(p)
			if _, err := l.restore(saved[p]); err != nil {
				return err
			}
			for _, pile := range d.piles {
				if benchPartition(pile.Station.Township) != p {
					continue
				}
				l.readings = append(l.readings, charge.Reading{Pile: pile.ID, Kind: charge.KindHeartbeat, At: at, Received: at.Add(time.Second)})
				if len(l.readings) == 500 {
					l.take(&journal.Batch{Seq: l.seq + 1, At: at.Add(time.Second), Readings: l.readings}, nobody)
					l.readings = l.readings[:0]
				}
			}
			l.send(at.Add(time.Minute), l.readings)
			l.drop()
			return nil
		})
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(writing.Seconds(), "s-to-save")
		b.ReportMetric(float64(size)/float64(len(d.piles)), "checkpoint-bytes/connector")
	}
}

// BenchmarkBytesPerConnector is what the judges of a tenth of the province hold after a day, the registry's own
// directory not counted.
func BenchmarkBytesPerConnector(b *testing.B) {
	d := newBenchProvince(benchSize(b, "PILEWATCH_BENCH_PILES", 108_000), 6)
	for b.Loop() {
		before := heap()
		logs, _ := provinceAfterADay(b, d)
		for _, l := range logs {
			l.readings = nil
		}
		b.ReportMetric(float64(heap()-before)/float64(len(d.piles)), "bytes")
		runtime.KeepAlive(logs)
	}
}
