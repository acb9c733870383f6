package journal

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

var noon = time.Date(2025, 3, 9, 4, 0, 0, 0, time.UTC)

// bits compares floats as they are stored, so that -0 is not 0 and NaN is NaN.
var bits = cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })

// charging is one telemetry reading as a DC pile sends it.
func charging(pile string, seq uint64) charge.Reading {
	return charge.Reading{
		Pile: charge.PileID{Operator: "MA3TEST01", Equipment: pile}, Connector: "1",
		Kind: charge.KindTelemetry, At: noon.Add(-1250 * time.Millisecond), Received: noon, Seq: seq, Status: charge.Charging,
		Has: charge.HasSeq | charge.HasStatus | charge.HasVoltage | charge.HasCurrent | charge.HasPower |
			charge.HasEnergy | charge.HasMeter | charge.HasSoC | charge.HasTemp,
		VoltageV: 702.4, CurrentA: 118.25, PowerKW: 83.06, EnergyKWh: 21.447, MeterKWh: 184203.91, SoCPct: 64, TempC: 43.5,
	}
}

func record(at time.Time, readings ...charge.Reading) []byte {
	data := appendHeader(nil, at)
	for i := range readings {
		data = appendReading(data, &readings[i])
	}
	return data
}

// anyReading draws every reading that a record can hold: what Has does not tell is not set.
func anyReading(t *rapid.T) charge.Reading {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "1", "MA3TEST01", "枪头温度过高", strings.Repeat("x", 300), "\x00\xff"}))
	ms := rapid.OneOf(rapid.Int64Range(0, 7258118400000), rapid.Int64Range(-62135596800000, 253402300799999))
	number := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-1000, 1000),
		rapid.Map(rapid.IntRange(-2_000_000, 2_000_000), func(n int) float64 { return float64(n) / 1000 }),
		rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, 1 << 52, 1 << 62, 0.1 + 0.2}))
	r := charge.Reading{
		Kind:      charge.Kind(rapid.IntRange(1, 8).Draw(t, "kind")),
		Has:       charge.Fields(rapid.Uint32Range(0, 1<<14-1).Draw(t, "has")),
		Pile:      charge.PileID{Operator: charge.OperatorID(text.Draw(t, "operator")), Equipment: text.Draw(t, "pile")},
		Connector: charge.ConnectorID(text.Draw(t, "connector")),
		Received:  time.UnixMilli(ms.Draw(t, "received")).UTC(),
		At:        time.UnixMilli(ms.Draw(t, "at")).UTC(),
	}
	if r.Kind != charge.KindOrder {
		r.Has &^= charge.HasStart | charge.HasEnd
	}
	if r.Tells(charge.HasSeq) {
		r.Seq = rapid.Uint64().Draw(t, "seq")
	}
	if r.Tells(charge.HasStatus) {
		r.Status = charge.Status(rapid.Uint8().Draw(t, "status"))
		r.Fault, r.FaultCode = charge.Fault(text.Draw(t, "fault")), text.Draw(t, "code")
	}
	for _, f := range numbers(&r) {
		if r.Tells(f.has) {
			*f.value = number.Draw(t, "number")
		}
	}
	if r.Tells(charge.HasSession) {
		r.Session = rapid.Int64().Draw(t, "session")
	}
	if r.Tells(charge.HasOnline) {
		r.Online = rapid.Bool().Draw(t, "online")
	}
	switch r.Kind {
	case charge.KindAlarm:
		r.Level, r.Code, r.Text = text.Draw(t, "level"), text.Draw(t, "code"), text.Draw(t, "text")
	case charge.KindOrder:
		r.Order = text.Draw(t, "order")
		if r.Tells(charge.HasStart) {
			r.Start = time.UnixMilli(ms.Draw(t, "start")).UTC()
		}
		if r.Tells(charge.HasEnd) {
			r.End = time.UnixMilli(ms.Draw(t, "end")).UTC()
		}
	}
	return r
}

func TestEveryReadingSurvivesItsRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Batch{
			At:       time.UnixMilli(rapid.Int64Range(0, 7258118400000).Draw(t, "now")).UTC(),
			Readings: rapid.SliceOfN(rapid.Custom(anyReading), 0, 20).Draw(t, "readings"),
		}
		got, err := decodeBatch(record(want.At, want.Readings...))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, bits, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("decodeBatch (-want +got):\n%s", diff)
		}
	})
}

// The first version is on disks: these bytes must read the same for ever.
func TestRecordOfVersion1(t *testing.T) {
	alarm := charge.Reading{
		Pile: charge.PileID{Operator: "MA3TEST01", Equipment: "P2"}, Connector: "1", Kind: charge.KindAlarm, At: noon, Received: noon,
		Level: "danger", Code: "smoke", Text: "烟",
	}
	order := charge.Reading{
		Pile: charge.PileID{Operator: "MA3TEST01", Equipment: "P2"}, Connector: "1", Kind: charge.KindOrder, At: noon, Received: noon,
		Has: charge.HasEnergy | charge.HasStart | charge.HasEnd, EnergyKWh: 0.1 + 0.2, Order: "7", Start: noon.Add(-time.Hour), End: noon,
	}
	will := charge.Reading{
		Pile: charge.PileID{Operator: "MA3TEST01", Equipment: "P2"}, Kind: charge.KindHeartbeat, At: noon, Received: noon,
		Has: charge.HasSession | charge.HasOnline, Session: 1741492800000,
	}
	fault := charge.Reading{
		Pile: charge.PileID{Operator: "MA3TEST01", Equipment: "P2"}, Connector: "1", Kind: charge.KindStatus, At: noon, Received: noon,
		Has: charge.HasStatus | charge.ClockWrong, Status: charge.Faulted, Fault: charge.OtherFault, FaultCode: "E-217",
	}
	const file = "\x01\x80\xa8\xfa\x90\xafe" + // version, time
		"\x02\xff\x03\tMA3TEST01\x02P1\x011\x80\xa8\xfa\x90\xafe\xc4\x13\a" + // kind, has, ids, received, received-at, seq
		"\x03\x00\x00\x80\xbe\xab\x01\xa8\xef\x1c\xd0\xa3\x14\x9c\x9e\x05\x98\xd4\xab\xdf\x02\x80\xd0\x0f\xb0\xcf\n" + // status, faults, numbers
		"\x03\x00\tMA3TEST01\x02P2\x011\x80\xa8\xfa\x90\xafe\x00\x06danger\x05smoke\x03烟"
	b, err := decodeBatch([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	want := Batch{At: noon, Readings: []charge.Reading{charging("P1", 7), alarm}}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("decodeBatch (-want +got):\n%s", diff)
	}
	if got := record(noon, charging("P1", 7), alarm); string(got) != file {
		t.Errorf("record: got %q, want %q", got, file)
	}
	b, err = decodeBatch(record(noon, order, will, fault))
	if diff := cmp.Diff([]charge.Reading{order, will, fault}, b.Readings); err != nil || diff != "" {
		t.Errorf("decodeBatch: %v (-want +got):\n%s", err, diff)
	}
}

func TestRecordIsSmall(t *testing.T) {
	r := charging("DX-00017", 41823)
	const most = 75 // of 250 bytes of JSON
	if got := len(appendReading(nil, &r)); got > most {
		t.Errorf("record of one reading: got %d bytes, want at most %d", got, most)
	}
}

func TestBrokenRecords(t *testing.T) {
	whole := record(noon, charging("P1", 1), charging("P2", 2))
	first := len(record(noon, charging("P1", 1)))
	cut := func(n int) []byte { return whole[:n] }
	with := func(at int, b byte) []byte {
		c := append([]byte(nil), whole...)
		c[at] = b
		return c
	}
	tests := []struct {
		name string
		data []byte
		want string // a part of the error; "": readable
		n    int    // readings, where it is readable
	}{
		{"whole", whole, "", 2},
		{"a tick", appendHeader(nil, noon), "", 0},
		{"cut between two readings, which no length tells", cut(first), "", 1},
		{"empty", nil, "ends too early", 0},
		{"the version alone", cut(1), "ends too early", 0},
		{"cut in the time", cut(3), "ends too early", 0},
		{"cut behind the kind of a reading", cut(first + 1), "decode reading 2: record ends too early", 0},
		{"cut in the operator", cut(first + 6), "decode reading 2: record ends too early", 0},
		{"cut by the last byte", cut(len(whole) - 1), "decode reading 2: record ends too early", 0},
		{"a story's", with(0, 2), "", 2},
		{"what is handed over", with(0, 3), "", 0},
		{"a newer version", with(0, 4), "record of version 4: this program reads version 3; upgrade it", 0},
		{"zeros of a file that was never written", make([]byte, 64), "version 0", 0},
		{"JSON from another program", []byte(`{"status":1}`), "version 123", 0},
		{"a text longer than the record", with(first+2+1, 0x7f), "ends too early", 0},
		{"a number of more than 64 bits", append(appendHeader(nil, noon), append([]byte{2}, strings.Repeat("\xff", 11)...)...), "ends too early", 0},
		{"a text of 2^63 bytes", append(append(appendHeader(nil, noon), 2, 0), binary.AppendUvarint(nil, 1<<63)...), "ends too early", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := decodeBatch(tt.data)
			switch {
			case tt.want == "" && (err != nil || len(b.Readings) != tt.n):
				t.Errorf("decodeBatch: got %d readings, %v, want %d", len(b.Readings), err, tt.n)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("decodeBatch: got %d readings, %v, want an error with %q", len(b.Readings), err, tt.want)
			case tt.want != "" && len(b.Readings) != 0:
				t.Errorf("decodeBatch: got %d readings of a broken record, want none", len(b.Readings))
			}
		})
	}
	for n := range whole {
		if b, err := decodeBatch(cut(n)); err == nil && n != first && len(b.Readings) != 0 {
			t.Errorf("record cut to %d of %d bytes: got %d readings and no error", n, len(whole), len(b.Readings))
		}
	}
}

// Whatever the bytes, decodeBatch ends, and what it reads it writes the same way again.
func FuzzDecodeBatch(f *testing.F) {
	f.Add(appendHeader(nil, noon))
	f.Add(record(noon, charging("P1", 1), charging("P2", 2)))
	f.Add(record(noon, charge.Reading{Kind: charge.KindOrder, Has: charge.HasStart | charge.HasEnd | charge.HasEnergy, Order: "7", EnergyKWh: 0.1 + 0.2}))
	f.Add(record(noon, charge.Reading{Kind: charge.KindAlarm, Level: "danger", Code: "smoke", Text: "烟"}))
	f.Add(record(noon, charge.Reading{Kind: charge.KindHeartbeat, Has: charge.HasSession | charge.HasOnline, Online: true, Session: -1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeBatch(data)
		if err != nil || b.Moved != nil {
			return
		}
		if len(b.Readings) > len(data) {
			t.Errorf("got %d readings of %d bytes", len(b.Readings), len(data))
		}
		again, err := decodeBatch(record(b.At, b.Readings...))
		if diff := cmp.Diff(b, again, bits); err != nil || diff != "" {
			t.Errorf("decodeBatch of what was decoded: %v (-want +got):\n%s", err, diff)
		}
	})
}

func BenchmarkDecodeBatch(b *testing.B) {
	readings := make([]charge.Reading, flushReadings)
	for i := range readings {
		readings[i] = charging("DX-000"+string(rune('0'+i%10)), uint64(i))
	}
	data := record(noon, readings...)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if got, err := decodeBatch(data); err != nil || len(got.Readings) != len(readings) {
			b.Fatal(len(got.Readings), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(readings)), "ns/reading")
}
