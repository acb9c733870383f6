package series

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

// What a line says is what the reading tells, by InfluxDB's own decoder.
func TestLinesReadBackAsTheyAreMeant(t *testing.T) {
	text := rapid.OneOf(rapid.Just(""), rapid.SampledFrom([]string{`a"b`, `c\d`, `\"`, `\`, "枪 1,2=3", "e\nf"}), rapid.String())
	number := rapid.OneOf(rapid.SampledFrom([]float64{0, 1.0 / 3, -0.001, 702.4, 1e15, 1e-9, 123456789.125, -1e21, 5e-324}),
		rapid.Map(rapid.IntRange(-2_000_000, 2_000_000), func(n int) float64 { return float64(n) / 1000 }), rapid.Float64())
	rapid.Check(t, func(t *rapid.T) {
		r := charge.Reading{
			Pile:      charge.PileID{Operator: "MA3TEST01", Equipment: rapid.StringMatching(`[A-Za-z0-9._-]{2,20}`).Draw(t, "pile")},
			Connector: charge.ConnectorID(rapid.StringMatching(`[A-Za-z0-9._]{1,5}`).Draw(t, "connector")),
			Kind:      charge.Kind(rapid.IntRange(1, 4).Draw(t, "kind")), Has: charge.Fields(rapid.Uint32().Draw(t, "has")) | charge.HasStatus,
			Status: charge.Charging, Seq: rapid.Uint64().Draw(t, "seq"), At: time.UnixMilli(rapid.Int64Range(0, maxTimeMS).Draw(t, "at")).UTC(),
			Fault: charge.Fault(text.Draw(t, "fault")), FaultCode: text.Draw(t, "code"), Text: text.Draw(t, "text"),
			Start: time.UnixMilli(1_741_492_790_000), End: time.UnixMilli(1_741_492_790_001),
		}
		for i := range numbers {
			*numbers[i].to(&r) = number.Draw(t, numbers[i].name)
		}
		want := map[string]any{"status": int64(r.Status)}
		for i := range numbers {
			if r.Tells(numbers[i].has) {
				want[numbers[i].name] = numbers[i].of(&r)
			}
		}
		m := moreOf(&r)
		for _, f := range moreFields {
			if s := *f.text(&m); s != "" {
				want[f.name] = s
			}
		}
		for name, v := range map[string]int64{"start_ms": m.StartMS, "end_ms": m.EndMS} {
			if v != 0 {
				want[name] = v
			}
		}
		if r.Tells(charge.HasSeq) {
			want["seq"] = seqOf(&r)
		}
		wantTags := []string{"connector=" + string(r.Connector), "kind=" + r.Kind.String(), "operator=MA3TEST01", "pile=" + r.Pile.Equipment}

		line := appendLine(nil, &r)
		d := lineprotocol.NewDecoderWithBytes(line)
		if !d.Next() {
			t.Fatalf("%q is no line", line)
		}
		if name, err := d.Measurement(); err != nil || string(name) != Measurement {
			t.Fatalf("measurement of %q: got %q, %v", line, name, err)
		}
		var tags []string
		for {
			key, value, err := d.NextTag()
			if err != nil {
				t.Fatalf("tags of %q: %v", line, err)
			}
			if key == nil {
				break
			}
			tags = append(tags, string(key)+"="+string(value))
		}
		fields := make(map[string]any)
		for {
			key, value, err := d.NextField()
			if err != nil {
				t.Fatalf("fields of %q: %v", line, err)
			}
			if key == nil {
				break
			}
			fields[string(key)] = value.Interface()
		}
		at, err := d.Time(lineprotocol.Millisecond, time.Time{})
		if err != nil || !at.Equal(r.At) || d.Next() {
			t.Errorf("time of %q: got %s, %v, want %s and no more", line, at, err, r.At)
		}
		if diff := cmp.Diff(wantTags, tags); diff != "" {
			t.Errorf("tags of %q (-want +got):\n%s", line, diff)
		}
		if diff := cmp.Diff(want, fields); diff != "" {
			t.Errorf("fields of %q (-want +got):\n%s", line, diff)
		}
	})
}

// BenchmarkEncodeBatch prepares and writes 5,000 readings of as many piles, as they come from the log.
func BenchmarkEncodeBatch(b *testing.B) {
	batch := make([]charge.Reading, 5000)
	begin := time.UnixMilli(1_741_492_790_000).UTC()
	for i := range batch {
		pile := i * 7919 % len(batch)
		batch[i] = charge.Reading{
			Pile:      charge.PileID{Operator: charge.OperatorID("MA3TEST0" + string(rune('0'+pile%5))), Equipment: "EQ" + string(rune('A'+pile%26)) + begin.Add(time.Duration(pile)).Format("0405.000000000")},
			Connector: "1", Kind: charge.KindTelemetry, At: begin.Add(time.Duration(i) * time.Millisecond), Received: begin, Status: charge.Charging, Seq: uint64(i),
			Has:      numericFields | charge.HasStatus | charge.HasSeq,
			VoltageV: 702.4, CurrentA: 118.25, PowerKW: 83.06, EnergyKWh: 21.447, MeterKWh: 184203.91, SoCPct: 64, TempC: 43.5,
		}
	}
	x := &Influx{}
	b.ReportAllocs()
	for b.Loop() {
		p := prepare(batch)
		if lines := x.encode(batch, p.order); len(lines) < 100*len(batch) {
			b.Fatal(len(lines))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/reading")
}
