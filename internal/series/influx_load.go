package series

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"
	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"pilewatch/internal/charge"
)

// longBucket is where windows, energy and coverage lie, which are kept longer than readings: beside
// the bucket, as "database/long".
func longBucket(bucket string) string {
	db, _, _ := strings.Cut(bucket, "/")
	return db + "/long"
}

// writeLong sends points to the long bucket. encode writes the i-th of them.
func (x *Influx) writeLong(ctx context.Context, points int, encode func(e *lineprotocol.Encoder, i int) error) error {
	const atOnce = 5000
	for from := 0; from < points; from += atOnce {
		var e lineprotocol.Encoder
		e.SetPrecision(lineprotocol.Millisecond)
		for i := from; i < min(from+atOnce, points); i++ {
			if err := encode(&e, i); err != nil {
				return err
			}
		}
		if err := e.Err(); err != nil {
			return fmt.Errorf("encode lines: %w", err)
		}
		if err := x.post(ctx, x.long, string(e.Bytes())); err != nil {
			return err
		}
	}
	return nil
}

func addFloat(e *lineprotocol.Encoder, name string, f float64) {
	if v, ok := lineprotocol.FloatValue(f); ok {
		e.AddField(name, v)
	}
}

func addText(e *lineprotocol.Encoder, name, s string) {
	if v, ok := lineprotocol.StringValue(s); ok {
		e.AddField(name, v)
	}
}

// WriteLoads writes windows; one that is there is replaced.
func (x *Influx) WriteLoads(ctx context.Context, loads []Load) error {
	err := x.writeLong(ctx, len(loads), func(e *lineprotocol.Encoder, i int) error {
		l := &loads[i]
		minutes, operators, err := l.texts()
		if err != nil {
			return err
		}
		e.StartLine(loadMeasurement)
		e.AddTag("division", string(l.Division))
		e.AddTag("partition", strconv.Itoa(l.Partition))
		addFloat(e, "energy_kwh", l.EnergyKWh)
		addFloat(e, "power_kw", l.PowerKW())
		addFloat(e, "charging", l.Charging)
		addText(e, "minutes", minutes)
		if l.Division.Level() == charge.County {
			addText(e, "operators", cmp.Or(operators, "{}")) // also where a rewritten window has none any more
		}
		e.EndLine(l.Start)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %d load windows: %w", len(loads), err)
	}
	return nil
}

// WriteEnergies writes whole days of divisions; a row that is there is replaced. Their sums are written
// beside them: what asks for 90 days of a province would have to add 11,000 rows up, by city 170,000.
func (x *Influx) WriteEnergies(ctx context.Context, energies []Energy) error {
	err := x.writeLong(ctx, len(energies), func(e *lineprotocol.Encoder, i int) error {
		n := &energies[i]
		e.StartLine(energyMeasurement)
		e.AddTag("division", string(n.Division))
		e.AddTag("level", string(n.Division.Level()))
		e.AddTag("operator", string(n.Operator))
		e.AddTag("partition", strconv.Itoa(n.Partition))
		addFloat(e, "energy_kwh", n.EnergyKWh)
		e.EndLine(n.Day)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %d days of energy: %w", len(energies), err)
	}
	sums := energySum{}
	for i := range energies {
		n := &energies[i]
		sums[energyKey{n.Day.UnixMilli(), n.Division, ""}] += n.EnergyKWh
	}
	days := sums.sorted()
	err = x.writeLong(ctx, len(days), func(e *lineprotocol.Encoder, i int) error {
		n := &days[i]
		e.StartLine(energyDayMeasurement)
		e.AddTag("division", string(n.Division))
		e.AddTag("level", string(n.Division.Level()))
		addFloat(e, "energy_kwh", n.EnergyKWh)
		e.EndLine(n.Day)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write sums of %d days of energy: %w", len(days), err)
	}
	return nil
}

type energyKey struct {
	ms       int64
	division charge.DivisionCode
	operator charge.OperatorID
}

// energySum adds energies up.
type energySum map[energyKey]float64

func (s energySum) sorted() []Energy {
	var all []Energy
	for k, v := range s {
		all = append(all, Energy{Day: time.UnixMilli(k.ms).UTC(), Division: k.division, Operator: k.operator, EnergyKWh: v})
	}
	slices.SortFunc(all, func(a, b Energy) int {
		return cmp.Or(a.Day.Compare(b.Day), cmp.Compare(a.Division, b.Division), cmp.Compare(a.Operator, b.Operator))
	})
	return all
}

// coverageFields lists the counts once.
var coverageFields = [...]struct {
	name string
	of   func(*Coverage) *int
}{
	{"total", func(c *Coverage) *int { return &c.Total }},
	{"effective", func(c *Coverage) *int { return &c.Effective }},
	{"failing", func(c *Coverage) *int { return &c.Failing }},
	{"unverified", func(c *Coverage) *int { return &c.Unverified }},
	{"starting", func(c *Coverage) *int { return &c.Starting }},
	{"none", func(c *Coverage) *int { return &c.None }},
	{"connectors", func(c *Coverage) *int { return &c.Connectors }},
	{"usable", func(c *Coverage) *int { return &c.Usable }},
}

// WriteCoverage writes days; one that is there is replaced.
func (x *Influx) WriteCoverage(ctx context.Context, days []Coverage) error {
	err := x.writeLong(ctx, len(days), func(e *lineprotocol.Encoder, i int) error {
		c := &days[i]
		e.StartLine(coverageMeasurement)
		e.AddTag("division", string(c.Division))
		for _, f := range coverageFields {
			e.AddField(f.name, lineprotocol.IntValue(int64(*f.of(c))))
		}
		e.EndLine(c.Day)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %d days of coverage: %w", len(days), err)
	}
	return nil
}

// A csvRow is one value of an answer; of gives a column by name, "" where there is none.
type csvRow struct {
	names  []string
	values []string
}

func (r *csvRow) of(name string) string {
	for i, n := range r.names {
		if n == name && i < len(r.values) {
			return r.values[i]
		}
	}
	return ""
}

func (r *csvRow) ms(name string) (int64, error) {
	t, err := time.Parse(time.RFC3339Nano, r.of(name))
	if err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	return t.UnixMilli(), nil
}

func (r *csvRow) number(name string) (float64, error) {
	v, err := strconv.ParseFloat(r.of(name), 64)
	if err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	return v, nil
}

// ask runs a query and calls fn at each row of its answer, which is never in memory as a whole. The
// library's reader makes a map of each value; this one costs a tenth of it.
func (x *Influx) ask(ctx context.Context, flux string, fn func(*csvRow) error) error {
	err := x.askOnce(ctx, flux, fn)
	mended, mendErr := x.mend(ctx, err)
	if mendErr != nil {
		return errors.Join(err, mendErr)
	}
	if mended {
		return x.askOnce(ctx, flux, fn)
	}
	return err
}

func (x *Influx) askOnce(ctx context.Context, flux string, fn func(*csvRow) error) error {
	body, err := json.Marshal(map[string]any{
		"query": flux, "type": "flux", "dialect": map[string]any{"header": true, "annotations": []string{}, "delimiter": ","},
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.url("/api/v2/query", url.Values{"org": {x.cfg.Org}}), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/csv")
	res, err := x.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // only read from
	if res.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBytes)) // the status alone says enough when this fails
		return &influxhttp.Error{StatusCode: res.StatusCode, Code: res.Status, Message: strings.TrimSpace(string(text))}
	}
	lines := csv.NewReader(res.Body)
	lines.FieldsPerRecord, lines.ReuseRecord = -1, true
	var row csvRow
	for {
		values, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		switch {
		case slices.Contains(values, "error") && slices.Contains(values, "reference"):
			why, _ := lines.Read()
			return fmt.Errorf("InfluxDB gives up: %s", strings.Join(why, " "))
		case len(values) > 2 && values[1] == "result" && values[2] == "table":
			row.names = slices.Clone(values)
		default:
			row.values = values
			if err := fn(&row); err != nil {
				return err
			}
		}
	}
}

// fluxRange begins a query of a measurement; the nanosecond is for InfluxDB 1.8 (see fluxFrom).
func fluxRange(bucket, measurement string, from, to time.Time) string {
	return fmt.Sprintf(`from(bucket: %s) |> range(start: %s, stop: %s) |> filter(fn: (r) => r._measurement == %q)`,
		strconv.Quote(bucket), from.UTC().Format(time.RFC3339Nano), to.UTC().Add(-time.Nanosecond).Format(time.RFC3339Nano), measurement)
}

// A toldValue is one value that a connector told, as small as it can be: of a province there are millions.
type toldValue struct {
	ms    int64
	value float64
	order uint8 // status before telemetry, a status before the power that came with it
}

// Values of toldValue.order.
const (
	toldStatus uint8 = iota
	toldTelemetryStatus
	toldTelemetryPower
)

// Draws calls fn with what each connector told of its power in a range, by time, the connectors in
// the order of their keys. All of the range is in memory at once, 48 bytes a reading.
func (x *Influx) Draws(ctx context.Context, from, to time.Time, fn func(charge.ConnectorKey, []charge.Draw)) error {
	all := make(map[charge.ConnectorKey]*[]toldValue)
	var key charge.ConnectorKey // of the row before: rows come series by series
	var mine *[]toldValue
	err := x.ask(ctx, fluxRange(x.cfg.Bucket, Measurement, from, to)+fmt.Sprintf(`
 |> filter(fn: (r) => (r.kind == %q or r.kind == %q) and (r._field == "power_kw" or r._field == "status"))
 |> keep(columns: ["operator", "pile", "connector", "kind", "_field", "_time", "_value"])`, charge.KindStatus, charge.KindTelemetry),
		func(r *csvRow) error {
			operator, pile, connector := r.of("operator"), r.of("pile"), r.of("connector")
			if mine == nil || string(key.Pile.Operator) != operator || key.Pile.Equipment != pile || string(key.Connector) != connector {
				key = charge.ConnectorKey{
					Pile:      charge.PileID{Operator: charge.OperatorID(strings.Clone(operator)), Equipment: strings.Clone(pile)},
					Connector: charge.ConnectorID(strings.Clone(connector)),
				}
				if mine = all[key]; mine == nil {
					mine = new([]toldValue)
					all[key] = mine
				}
			}
			one := toldValue{order: toldStatus}
			if r.of("kind") == charge.KindTelemetry.String() {
				one.order = toldTelemetryStatus
				if r.of("_field") == "power_kw" {
					one.order = toldTelemetryPower
				}
			}
			var err error
			if one.value, err = r.number("_value"); err != nil {
				return err
			}
			if one.ms, err = r.ms("_time"); err != nil {
				return err
			}
			*mine = append(*mine, one)
			return nil
		})
	if err != nil {
		return fmt.Errorf("read power from %s: %w", from.Format(time.RFC3339), err)
	}
	var draws []charge.Draw
	for _, key := range slices.SortedFunc(maps.Keys(all), charge.ConnectorKey.Compare) {
		if draws = drawsOf(*all[key], draws[:0]); len(draws) > 0 {
			fn(key, draws)
		}
	}
	return nil
}

// drawsOf puts the values of one connector together to what it drew.
func drawsOf(values []toldValue, draws []charge.Draw) []charge.Draw {
	slices.SortStableFunc(values, func(a, b toldValue) int { return cmp.Or(cmp.Compare(a.ms, b.ms), cmp.Compare(a.order, b.order)) })
	for i := 0; i < len(values); i++ {
		v := &values[i]
		var code *int64
		var kw *float64
		switch {
		case v.order == toldTelemetryPower:
			kw = &v.value
		case v.order == toldTelemetryStatus && i+1 < len(values) && values[i+1].ms == v.ms:
			i++
			kw = &values[i].value
			fallthrough
		default:
			n := int64(v.value)
			code = &n
		}
		if d, ok := drawOf(v.ms, code, kw); ok {
			draws = append(draws, d)
		}
	}
	return draws
}

// Loads gives a division's windows, its partitions added up, by time.
func (x *Influx) Loads(ctx context.Context, division charge.DivisionCode, from, to time.Time) ([]Load, error) {
	if err := checkRange(division, from, to, MaxLoadRange); err != nil {
		return nil, fmt.Errorf("query load: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, influxQueryTimeout)
	defer cancel()
	sum := adder{}
	err := x.ask(ctx, fluxRange(longBucket(x.cfg.Bucket), loadMeasurement, from, to)+fmt.Sprintf(`
 |> filter(fn: (r) => r.division == %q and (r._field == "energy_kwh" or r._field == "charging" or r._field == "minutes"))
 |> keep(columns: ["_field", "_time", "_value", "partition"])`, string(division)), func(r *csvRow) error {
		ms, err := r.ms("_time")
		if err != nil {
			return err
		}
		if r.of("_field") == "minutes" {
			return sum.add(ms, division, 0, 0, r.of("_value"))
		}
		v, err := r.number("_value")
		if err != nil {
			return err
		}
		if r.of("_field") == "charging" {
			return sum.add(ms, division, 0, v, "")
		}
		return sum.add(ms, division, v, 0, "")
	})
	if err != nil {
		return nil, fmt.Errorf("read load of %s: %w", division, err)
	}
	return sum.sorted(), nil
}

// OperatorLoads gives the energy of operators in the counties' windows of a range: only Start,
// Division, Partition and Operators are set.
func (x *Influx) OperatorLoads(ctx context.Context, from, to time.Time) ([]Load, error) {
	var all []Load
	err := x.ask(ctx, fluxRange(longBucket(x.cfg.Bucket), loadMeasurement, from, to)+`
 |> filter(fn: (r) => r._field == "operators")
 |> keep(columns: ["_time", "_value", "division", "partition"])`, func(r *csvRow) error {
		ms, err := r.ms("_time")
		if err != nil {
			return err
		}
		l := Load{Start: time.UnixMilli(ms).UTC(), Division: charge.DivisionCode(strings.Clone(r.of("division")))}
		if l.Partition, err = strconv.Atoi(r.of("partition")); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(r.of("_value")), &l.Operators); err != nil {
			return err
		}
		if len(l.Operators) > 0 {
			all = append(all, l)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read load of operators from %s: %w", from.Format(time.RFC3339), err)
	}
	slices.SortFunc(all, func(a, b Load) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Division, b.Division), cmp.Compare(a.Partition, b.Partition))
	})
	return all, nil
}

// Energies gives energy by day and what the query tells apart; Operator is set by operator only.
func (x *Influx) Energies(ctx context.Context, q EnergyQuery) ([]Energy, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, influxQueryTimeout)
	defer cancel()
	where := fmt.Sprintf("r.division == %q", string(q.Division))
	if n := q.codeDigits(); n != len(q.Division) {
		where = fmt.Sprintf("r.level == %q and r.division =~ /^%s/", string(charge.DivisionCode(strings.Repeat("0", n)).Level()), string(q.Division))
	}
	measurement, keep := energyDayMeasurement, `"division"`
	if q.By == ByOperator {
		measurement, keep = energyMeasurement, `"division", "operator"`
	}
	sums := energySum{}
	err := x.ask(ctx, fluxRange(longBucket(x.cfg.Bucket), measurement, q.From, q.To)+fmt.Sprintf(`
 |> filter(fn: (r) => r._field == "energy_kwh" and %s)
 |> keep(columns: ["_time", "_value", %s])`, where, keep), func(r *csvRow) error {
		ms, err := r.ms("_time")
		if err != nil {
			return err
		}
		v, err := r.number("_value")
		sums[energyKey{ms, charge.DivisionCode(strings.Clone(r.of("division"))), charge.OperatorID(strings.Clone(r.of("operator")))}] += v
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read energy of %s: %w", q.Division, err)
	}
	return sums.sorted(), nil
}

// Coverages gives a division's days, by time.
func (x *Influx) Coverages(ctx context.Context, division charge.DivisionCode, from, to time.Time) ([]Coverage, error) {
	if err := checkRange(division, from, to, LongKeep); err != nil {
		return nil, fmt.Errorf("query coverage: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, influxQueryTimeout)
	defer cancel()
	days := map[int64]*Coverage{}
	err := x.ask(ctx, fluxRange(longBucket(x.cfg.Bucket), coverageMeasurement, from, to)+fmt.Sprintf(`
 |> filter(fn: (r) => r.division == %q) |> keep(columns: ["_field", "_time", "_value"])`, string(division)), func(r *csvRow) error {
		ms, err := r.ms("_time")
		if err != nil {
			return err
		}
		v, err := r.number("_value")
		if err != nil {
			return err
		}
		c := days[ms]
		if c == nil {
			c = &Coverage{Day: time.UnixMilli(ms).UTC(), Division: division}
			days[ms] = c
		}
		for _, f := range coverageFields {
			if f.name == r.of("_field") {
				*f.of(c) = int(v)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read coverage of %s: %w", division, err)
	}
	var all []Coverage
	for _, ms := range slices.Sorted(maps.Keys(days)) {
		all = append(all, *days[ms])
	}
	return all, nil
}
