// Package series is the history of connectors: it writes readings to InfluxDB or to the embedded
// file and reads a pile's past back from either. It knows every measurement, tag and field; it
// decides neither what is worth keeping (ingest does) nor who may see it (dashboard does).
package series

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"pilewatch/internal/charge"
)

// Keep is how long raw readings are kept.
const Keep = 30 * 24 * time.Hour

// Limits of one query: what a browser can draw, and what a store can read while others wait.
const (
	MaxRawRange    = 31 * 24 * time.Hour
	MaxWindowRange = 366 * 24 * time.Hour
	MaxRows        = 100_000
)

// ErrTooMuch says that a query asks for a longer range or more rows than one answer may hold.
var ErrTooMuch = errors.New("too much history asked for")

// A Query asks for the past of one pile, From inclusive, To exclusive.
type Query struct {
	Pile     charge.PileID
	From, To time.Time
	Kind     charge.Kind   // of readings, which it leaves out others of; 0: all
	Step     time.Duration // 0 gives the readings themselves; else windows of this length, aligned to days of charge.Zone
}

// check refuses what no store should be asked.
func (q Query) check() error {
	switch {
	case !charge.ValidID(string(q.Pile.Operator)) || !charge.ValidID(q.Pile.Equipment):
		return fmt.Errorf("query history of %q: not a pile's id", q.Pile)
	case !q.From.Before(q.To):
		return fmt.Errorf("query history of %s: from %s is not before to %s", q.Pile, q.From.Format(time.RFC3339), q.To.Format(time.RFC3339))
	case q.Step < 0 || q.Step%time.Second != 0:
		return fmt.Errorf("query history of %s: step %s is not a whole number of seconds", q.Pile, q.Step)
	case q.Kind != 0 && q.Step != 0:
		return fmt.Errorf("query history of %s: windows are of telemetry, not of kind %s", q.Pile, q.Kind)
	case q.Step == 0 && q.To.Sub(q.From) > MaxRawRange:
		return fmt.Errorf("%w: %s of raw readings, at most %s; give a step for longer ranges", ErrTooMuch, q.To.Sub(q.From), MaxRawRange)
	case q.To.Sub(q.From) > MaxWindowRange:
		return fmt.Errorf("%w: %s, at most %s", ErrTooMuch, q.To.Sub(q.From), MaxWindowRange)
	case q.Step > 0 && q.To.Sub(q.From)/q.Step > MaxRows:
		return fmt.Errorf("%w: %d windows of %s, at most %d", ErrTooMuch, q.To.Sub(q.From)/q.Step, q.Step, MaxRows)
	}
	return nil
}

// tooManyRows is what both stores say when a range holds more than MaxRows.
func (q Query) tooManyRows() error {
	return fmt.Errorf("%w: over %d rows between %s and %s; give a shorter range or a step", ErrTooMuch, MaxRows,
		q.From.UTC().Format(time.RFC3339), q.To.UTC().Format(time.RFC3339))
}

// A Stat is a field over one window. Of a single reading all three are equal.
type Stat struct{ Mean, Min, Max float64 }

// A Row is one reading of the past, or one window of them. A nil field was not told.
type Row struct {
	Connector charge.ConnectorID
	At        time.Time      // of the reading by the pile's clock, or the start of the window
	Kind      charge.Kind    // 0 in windows
	Status    *charge.Status // in windows the last one told by telemetry or status

	// From telemetry and orders; windows hold telemetry only, so that an order's totals do not
	// count as a second measurement.
	VoltageV, CurrentA, PowerKW, EnergyKWh, MeterKWh, SoCPct, TempC *Stat

	Seq        *uint64 // this and what follows: only where readings themselves were asked for
	Fault      charge.Fault
	FaultCode  string
	Level      string
	Code       string
	Text       string
	Order      string
	Start, End time.Time
}

// numbers lists the numeric fields once, in the order of the columns of the embedded file.
var numbers = [...]struct {
	name string
	has  charge.Fields
	of   func(*charge.Reading) float64
	to   func(*charge.Reading) *float64
	row  func(*Row) **Stat
}{
	{"voltage_v", charge.HasVoltage, func(r *charge.Reading) float64 { return r.VoltageV }, func(r *charge.Reading) *float64 { return &r.VoltageV }, func(w *Row) **Stat { return &w.VoltageV }},
	{"current_a", charge.HasCurrent, func(r *charge.Reading) float64 { return r.CurrentA }, func(r *charge.Reading) *float64 { return &r.CurrentA }, func(w *Row) **Stat { return &w.CurrentA }},
	{"power_kw", charge.HasPower, func(r *charge.Reading) float64 { return r.PowerKW }, func(r *charge.Reading) *float64 { return &r.PowerKW }, func(w *Row) **Stat { return &w.PowerKW }},
	{"energy_kwh", charge.HasEnergy, func(r *charge.Reading) float64 { return r.EnergyKWh }, func(r *charge.Reading) *float64 { return &r.EnergyKWh }, func(w *Row) **Stat { return &w.EnergyKWh }},
	{"meter_kwh", charge.HasMeter, func(r *charge.Reading) float64 { return r.MeterKWh }, func(r *charge.Reading) *float64 { return &r.MeterKWh }, func(w *Row) **Stat { return &w.MeterKWh }},
	{"soc_pct", charge.HasSoC, func(r *charge.Reading) float64 { return r.SoCPct }, func(r *charge.Reading) *float64 { return &r.SoCPct }, func(w *Row) **Stat { return &w.SoCPct }},
	{"temp_c", charge.HasTemp, func(r *charge.Reading) float64 { return r.TempC }, func(r *charge.Reading) *float64 { return &r.TempC }, func(w *Row) **Stat { return &w.TempC }},
}

// A RejectedError tells which readings of a batch the store will never take. The rest of the
// batch is stored: sending it again helps nobody.
type RejectedError struct {
	Points  []int    // indexes in the batch, as far as they are known
	Reasons []string // one for each of Points, in the store's own words, and then those of what is not known
	Dropped int      // readings that are not stored; more than len(Points) when the store only counts
}

// Error implements error.
func (e *RejectedError) Error() string {
	seen := slices.Compact(slices.Sorted(slices.Values(e.Reasons)))
	return fmt.Sprintf("store refused %d readings: %s", e.Dropped, strings.Join(seen[:min(3, len(seen))], "; "))
}

// A RetryError says that the store asks for patience: the whole batch may be sent again after After.
type RetryError struct {
	After time.Duration // 0 when the store named no time
	Err   error
}

// Error implements error.
func (e *RetryError) Error() string {
	if e.After == 0 {
		return fmt.Sprintf("store asks to wait: %v", e.Err)
	}
	return fmt.Sprintf("store asks to wait %s: %v", e.After, e.Err)
}

// Unwrap gives the store's answer.
func (e *RetryError) Unwrap() error { return e.Err }

// unfit tells why a reading can never be stored, "" when it can.
func unfit(r *charge.Reading) string {
	switch r.Kind {
	case charge.KindStatus, charge.KindTelemetry, charge.KindAlarm, charge.KindOrder:
	default:
		return "kind " + r.Kind.String() + " has no history"
	}
	if !charge.ValidID(string(r.Pile.Operator)) || !charge.ValidID(r.Pile.Equipment) || !charge.ValidID(string(r.Connector)) {
		return "no connector named"
	}
	if ms := r.At.UnixMilli(); ms < 0 || ms > maxTimeMS {
		return "time outside 1970 to 2200"
	}
	for i := range numbers {
		if r.Tells(numbers[i].has) {
			if v := numbers[i].of(r); math.IsNaN(v) || math.IsInf(v, 0) {
				return numbers[i].name + " is not a number"
			}
		}
	}
	if !r.Tells(numericFields|charge.HasStatus) && moreOf(r) == (more{}) {
		return "tells nothing but its time"
	}
	return ""
}

const numericFields = charge.HasVoltage | charge.HasCurrent | charge.HasPower | charge.HasEnergy | charge.HasMeter |
	charge.HasSoC | charge.HasTemp

const maxTimeMS = 7_258_118_400_000 // 2200-01-01, well inside InfluxDB's nanoseconds

// prepared is a batch in the order of its keys, each key once.
type prepared struct {
	order    []int // indexes into the batch
	rejected RejectedError
}

// prepare sorts a batch by key, since neighbours in the store are cheap to write together, drops
// repeats (of two with one key the higher seq wins, of equal ones the later) and sets apart what
// can never be stored.
func prepare(batch []charge.Reading) prepared {
	p := prepared{order: make([]int, 0, len(batch))}
	for i := range batch {
		if why := unfit(&batch[i]); why != "" {
			p.rejected.Points = append(p.rejected.Points, i)
			p.rejected.Reasons = append(p.rejected.Reasons, why)
			p.rejected.Dropped++
			continue
		}
		p.order = append(p.order, i)
	}
	slices.SortFunc(p.order, func(a, b int) int {
		return cmp.Or(compareKeys(&batch[a], &batch[b]), cmp.Compare(a, b))
	})
	kept := p.order[:0]
	for n, i := range p.order {
		if n+1 < len(p.order) && sameKey(&batch[i], &batch[p.order[n+1]]) {
			continue // the next one has a higher seq or came later
		}
		kept = append(kept, i)
	}
	p.order = kept
	return p
}

// compareKeys orders readings by hour, connector, kind, time and seq. It stops at the first difference,
// which is the pile as a rule.
func compareKeys(x, y *charge.Reading) int {
	xms, yms := x.At.UnixMilli(), y.At.UnixMilli()
	if c := cmp.Compare(xms/hourMS, yms/hourMS); c != 0 {
		return c
	}
	if c := cmp.Compare(x.Pile.Operator, y.Pile.Operator); c != 0 {
		return c
	}
	if c := cmp.Compare(x.Pile.Equipment, y.Pile.Equipment); c != 0 {
		return c
	}
	if c := cmp.Compare(x.Connector, y.Connector); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(xms, yms), cmp.Compare(seqOf(x), seqOf(y)))
}

// err gives the RejectedError of a batch that was otherwise stored, nil when nothing was refused.
func (p *prepared) err() error {
	if p.rejected.Dropped == 0 {
		return nil
	}
	return &p.rejected
}

const hourMS = int64(time.Hour / time.Millisecond)

func sameKey(x, y *charge.Reading) bool {
	return x.At.UnixMilli() == y.At.UnixMilli() && x.Connector == y.Connector && x.Kind == y.Kind && x.Pile == y.Pile
}

// seqOf orders readings of one key: without a seq comes before any seq. Both stores hold signed
// 64 bits, so what lies above counts as the largest.
func seqOf(r *charge.Reading) int64 {
	if !r.Tells(charge.HasSeq) {
		return -1
	}
	return int64(min(r.Seq, math.MaxInt64))
}

// align gives the start of the window of length step that holds ms, windows starting at midnight of charge.Zone.
func align(ms, stepMS int64) int64 {
	return floorDiv(ms+zoneMS, stepMS)*stepMS - zoneMS
}

const zoneMS = 8 * int64(time.Hour/time.Millisecond) // charge.Zone is UTC+8 all year

func floorDiv(a, b int64) int64 {
	if q := a / b; a%b >= 0 {
		return q
	}
	return a/b - 1
}

// sortRows puts rows in the order that History promises: by time, then connector, then kind.
func sortRows(rows []Row) {
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Connector, b.Connector), cmp.Compare(a.Kind, b.Kind))
	})
}
