package wire

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

var update = flag.Bool("update", false, "write testdata/*/want.json anew")

// received is the gateway's time of every capture and of every case below.
var received = time.Date(2025, 3, 9, 12, 0, 0, 0, charge.Zone)

var fieldNames = []struct {
	has  charge.Fields
	name string
}{
	{charge.HasSeq, "seq"},
	{charge.HasStatus, "status"},
	{charge.HasVoltage, "voltage"},
	{charge.HasCurrent, "current"},
	{charge.HasPower, "power"},
	{charge.HasEnergy, "energy"},
	{charge.HasMeter, "meter"},
	{charge.HasSoC, "soc"},
	{charge.HasTemp, "temp"},
	{charge.HasSession, "session"},
	{charge.HasOnline, "online"},
	{charge.HasStart, "start"},
	{charge.HasEnd, "end"},
	{charge.ClockWrong, "clock"},
}

// capture is what want.json holds of a capture: all that Decode makes of it.
type capture struct {
	Readings      []seen        `json:"readings"`
	Rejects       []seenRefused `json:"rejects,omitempty"`
	UnknownFields int           `json:"unknown_fields,omitempty"`
}

type seen struct {
	Pile      string    `json:"pile"`
	Connector string    `json:"connector,omitempty"`
	Kind      string    `json:"kind"`
	Has       []string  `json:"has"`
	At        time.Time `json:"at"`
	Received  time.Time `json:"received"`
	Seq       uint64    `json:"seq,omitempty"`
	Status    uint8     `json:"status,omitempty"`
	Fault     string    `json:"fault,omitempty"`
	FaultCode string    `json:"fault_code,omitempty"`
	VoltageV  float64   `json:"voltage_v,omitempty"`
	CurrentA  float64   `json:"current_a,omitempty"`
	PowerKW   float64   `json:"power_kw,omitempty"`
	EnergyKWh float64   `json:"energy_kwh,omitempty"`
	MeterKWh  float64   `json:"meter_kwh,omitempty"`
	SoCPct    float64   `json:"soc_pct,omitempty"`
	TempC     float64   `json:"temp_c,omitempty"`
	Level     string    `json:"level,omitempty"`
	Code      string    `json:"code,omitempty"`
	Text      string    `json:"text,omitempty"`
	Order     string    `json:"order,omitempty"`
	Start     time.Time `json:"start,omitzero"`
	End       time.Time `json:"end,omitzero"`
	Session   int64     `json:"session,omitempty"`
	Online    bool      `json:"online,omitempty"`
}

type seenRefused struct {
	Index     int    `json:"index"`
	Count     int    `json:"count,omitempty"`
	Pile      string `json:"pile,omitempty"`
	Connector string `json:"connector,omitempty"`
	Reason    Reason `json:"reason"`
	Detail    string `json:"detail"`
}

func see(readings []charge.Reading, rejects []Reject, counts Counts) capture {
	c := capture{Readings: []seen{}, UnknownFields: counts.UnknownFields}
	for _, r := range readings {
		s := seen{
			Pile: r.Pile.String(), Connector: string(r.Connector), Kind: r.Kind.String(), Has: []string{}, At: r.At, Received: r.Received,
			Seq: r.Seq, Status: uint8(r.Status), Fault: string(r.Fault), FaultCode: r.FaultCode, VoltageV: r.VoltageV, CurrentA: r.CurrentA,
			PowerKW: r.PowerKW, EnergyKWh: r.EnergyKWh, MeterKWh: r.MeterKWh, SoCPct: r.SoCPct, TempC: r.TempC, Level: r.Level, Code: r.Code,
			Text: r.Text, Order: r.Order, Start: r.Start, End: r.End, Session: r.Session, Online: r.Online,
		}
		for _, f := range fieldNames {
			if r.Tells(f.has) {
				s.Has = append(s.Has, f.name)
			}
		}
		c.Readings = append(c.Readings, s)
	}
	for _, r := range rejects {
		c.Rejects = append(c.Rejects, seenRefused(r))
	}
	return c
}

// A folder of testdata is what one maker's firmware sent: its topic, its payload byte by byte,
// and what we make of it.
func TestCaptures(t *testing.T) {
	folders, err := filepath.Glob("testdata/*/payload")
	if err != nil || len(folders) == 0 {
		t.Fatalf("captures: got %v, %v, want some", folders, err)
	}
	for _, file := range folders {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			topic := strings.TrimSpace(string(readFile(t, filepath.Join(dir, "topic"))))
			address, err := ParseTopic(topic)
			if err != nil {
				t.Fatalf("ParseTopic(%q): %v", topic, err)
			}
			readings, rejects, counts := Decode(address, readFile(t, file), received)
			checkRejects(t, rejects)
			got := see(readings, rejects, counts)
			path := filepath.Join(dir, "want.json")
			if *update {
				text, err := json.MarshalIndent(got, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			var want capture
			if err := json.Unmarshal(readFile(t, path), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Decode (-want +got; if it is right, run with -update):\n%s", diff)
			}
		})
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func checkRejects(t *testing.T, rejects []Reject) {
	t.Helper()
	for _, r := range rejects {
		if !slices.Contains(Reasons(), r.Reason) || r.Detail == "" || strings.ContainsAny(r.Detail, "\n\r") {
			t.Errorf("reject %+v: want a reason of the list and a detail of one line", r)
		}
	}
}

func address(kind charge.Kind) Address { return Address{"MA3TEST01", "P1", kind} }

func TestRefused(t *testing.T) {
	const at = `"time":"2025-03-09T11:59:58+08:00"`
	status, telemetry, alarm, order := charge.KindStatus, charge.KindTelemetry, charge.KindAlarm, charge.KindOrder
	heartbeat := charge.KindHeartbeat
	tests := []struct {
		name    string
		kind    charge.Kind
		payload string
		want    Reason
		detail  string // a part of it
	}{
		{"nothing at all", status, ``, BadJSON, "not JSON"},
		{"a word", status, `online`, BadJSON, "not JSON"},
		{"cut off", status, `{"connector":"1",` + at + `,"sta`, BadJSON, "not JSON"},
		{"something behind the object", status, `{"connector":"1",` + at + `,"status":1}}`, BadJSON, "not JSON"},
		{"two objects without an array", status, `{"connector":"1",` + at + `,"status":1}{"connector":"2",` + at + `,"status":1}`, BadJSON, "not JSON"},
		{"GBK instead of UTF-8", alarm, "{\"connector\":\"1\"," + at + ",\"level\":\"notice\",\"text\":\"\xb9\xca\xd5\xcf\"}", BadJSON, "UTF-8"},
		{"NaN", telemetry, `{"connector":"1",` + at + `,"power_kw":NaN}`, BadJSON, "not JSON"},
		{"Infinity", telemetry, `{"connector":"1",` + at + `,"power_kw":-Infinity}`, BadJSON, "not JSON"},
		{"a number with a leading zero", status, `{"connector":"1",` + at + `,"status":01}`, BadJSON, "not JSON"},
		{"a comma too many", status, `{"connector":"1",` + at + `,"status":1,}`, BadJSON, "not JSON"},
		{"a string", status, `"status"`, BadJSON, "neither"},
		{"null", status, `null`, BadJSON, "neither"},
		{"an empty array", status, `[]`, BadJSON, "empty"},
		{"an array of a number", status, `[1]`, BadJSON, "not an object"},
		{"an array of arrays", status, `[[{"connector":"1",` + at + `,"status":1}]]`, BadJSON, "not an object"},
		{"brackets 5,000 deep", status, strings.Repeat("[", 5000) + strings.Repeat("]", 5000), BadJSON, "not an object"},
		{"brackets 20,000 deep", status, strings.Repeat("[", 20000) + strings.Repeat("]", 20000), BadJSON, "not JSON"},
		{"more brackets than end", status, strings.Repeat(`{"a":`, 100000), BadJSON, "not JSON"},

		{"an empty object", status, `{}`, BadField, "connector is missing"},
		{"no connector", telemetry, `{` + at + `,"power_kw":1}`, BadField, "connector is missing"},
		{"a connector that is a number", status, `{"connector":1,` + at + `,"status":1}`, BadField, "connector is of JSON type number"},
		{"a connector with a slash", status, `{"connector":"1/2",` + at + `,"status":1}`, BadID, `"1/2"`},
		{"a connector too long to print", status, `{"connector":"` + strings.Repeat("桩", 100) + `",` + at + `,"status":1}`, BadID, "(300 bytes)"},
		{"another pile than the topic's", status, `{"pile":"P2","connector":"1",` + at + `,"status":1}`, BadID, `not the topic's "P1"`},
		{"a pile named many", status, `{"pile":"-","connector":"1",` + at + `,"status":1}`, BadID, `pile "-"`},

		{"no time", status, `{"connector":"1","status":1}`, BadTime, "missing"},
		{"a time without zone", status, `{"connector":"1","time":"2025-03-09T11:59:58","status":1}`, BadTime, "with zone"},
		{"a time in words", status, `{"connector":"1","time":"now","status":1}`, BadTime, `"now"`},
		{"a time in seconds", telemetry, `{"connector":"1","time":1741492798,"power_kw":1}`, BadTime, "before 2015"},
		{"a clock that never was set", telemetry, `{"connector":"1","time":"2000-01-01T00:00:00+08:00","power_kw":1}`, BadTime, "before 2015"},
		{"a time with a fraction of a millisecond", status, `{"connector":"1","time":1741492798000.5,"status":1}`, BadTime, "whole number"},
		{"a time before 1970", status, `{"connector":"1","time":-1,"status":1}`, BadTime, "Unix milliseconds"},
		{"a time in nanoseconds", status, `{"connector":"1","time":1741492798000000000,"status":1}`, BadTime, "Unix milliseconds"},
		{"a time beyond all bits", status, `{"connector":"1","time":99999999999999999999,"status":1}`, BadTime, "63 bits"},
		{"a time of 29 February in a common year", status, `{"connector":"1","time":"2025-02-29T00:00:00Z","status":1}`, BadTime, "RFC 3339"},
		{"a time that leaves the calendar in UTC", status, `{"connector":"1","time":"9999-12-31T23:59:59-12:00","status":1}`, BadTime, "RFC 3339"},
		{"a time that is true", status, `{"connector":"1","time":true,"status":1}`, BadTime, "JSON type bool"},

		{"no status", status, `{"connector":"1",` + at + `}`, BadStatus, "missing"},
		{"a status of another standard", status, `{"connector":"1",` + at + `,"status":5}`, BadStatus, "status 5"},
		{"a status below all", status, `{"connector":"1",` + at + `,"status":-1}`, BadStatus, "status -1"},
		{"a status that is 255 in 8 bits", status, `{"connector":"1",` + at + `,"status":511}`, BadStatus, "status 511"},
		{"a status that is 1 in 64 bits", status, `{"connector":"1",` + at + `,"status":18446744073709551617}`, BadStatus, "63 bits"},
		{"a status in words", status, `{"connector":"1",` + at + `,"status":"Charging"}`, BadStatus, "JSON type string"},
		{"a status and a half", telemetry, `{"connector":"1",` + at + `,"status":1.5}`, BadStatus, "whole number"},
		{"a status with an exponent", status, `{"connector":"1",` + at + `,"status":1e0}`, BadStatus, "whole number"},
		{"a status that is null", status, `{"connector":"1",` + at + `,"status":null}`, BadStatus, "JSON type null"},
		{"a good status after a bad one", status, `{"connector":"1",` + at + `,"status":9,"status":1}`, BadStatus, "status 9"},

		{"too much voltage", telemetry, `{"connector":"1",` + at + `,"voltage_v":1500.001}`, OutOfRange, "voltage_v is 1500.001"},
		{"negative voltage", telemetry, `{"connector":"1",` + at + `,"voltage_v":-0.1}`, OutOfRange, "voltage_v"},
		{"too much current", telemetry, `{"connector":"1",` + at + `,"current_a":1000.5}`, OutOfRange, "current_a"},
		{"watts for kilowatts", telemetry, `{"connector":"1",` + at + `,"power_kw":60000}`, OutOfRange, "power_kw is 60000: allowed -1000 to 1000"},
		{"fed back beyond all piles", telemetry, `{"connector":"1",` + at + `,"power_kw":-1000.1}`, OutOfRange, "power_kw"},
		{"watt-hours for kilowatt-hours", order, `{"connector":"1",` + at + `,"order":"1","energy_kwh":38120}`, OutOfRange, "energy_kwh"},
		{"a meter that runs backwards below 0", order, `{"connector":"1",` + at + `,"order":"1","meter_kwh":-1}`, OutOfRange, "meter_kwh"},
		{"charged above full", telemetry, `{"connector":"1",` + at + `,"soc_pct":100.1}`, OutOfRange, "soc_pct"},
		{"the cold of space", telemetry, `{"connector":"1",` + at + `,"temp_c":-273}`, OutOfRange, "temp_c"},
		{"a sensor that is torn off", telemetry, `{"connector":"1",` + at + `,"temp_c":850}`, OutOfRange, "temp_c"},
		{"a number beyond all numbers", telemetry, `{"connector":"1",` + at + `,"power_kw":1e999}`, OutOfRange, "no number that can be held"},
		{"a number of 19 digits and a dot", telemetry, `{"connector":"1",` + at + `,"power_kw":1844674407370955162.0}`, OutOfRange, "power_kw is 1.844"},
		{"a number of 400 digits", telemetry, `{"connector":"1",` + at + `,"power_kw":` + strings.Repeat("9", 400) + `}`, OutOfRange, "(400 bytes)"},
		{"a good power after a bad one", telemetry, `{"connector":"1",` + at + `,"power_kw":2000,"power_kw":1}`, OutOfRange, "power_kw is 2000"},
		{"a negative seq", status, `{"connector":"1",` + at + `,"status":1,"seq":-5}`, OutOfRange, "seq is -5"},
		{"a text of 201 characters", alarm, `{"connector":"1",` + at + `,"level":"notice","text":"` + strings.Repeat("枪", 201) + `"}`, OutOfRange, "201 characters"},
		{"an order without number", order, `{"connector":"1",` + at + `,"order":""}`, OutOfRange, "0 bytes"},
		{"an order number too long", order, `{"connector":"1",` + at + `,"order":"` + strings.Repeat("7", 65) + `"}`, OutOfRange, "65 bytes"},

		{"a power in quotes", telemetry, `{"connector":"1",` + at + `,"power_kw":"60"}`, BadField, "power_kw is of JSON type string"},
		{"a power that is null", telemetry, `{"connector":"1",` + at + `,"power_kw":null}`, BadField, "JSON type null"},
		{"an array for a number", telemetry, `{"connector":"1",` + at + `,"power_kw":[1]}`, BadField, "JSON type array"},
		{"a seq in quotes", status, `{"connector":"1",` + at + `,"status":1,"seq":"5"}`, BadField, "seq"},
		{"a seq of 64 bits", status, `{"connector":"1",` + at + `,"status":1,"seq":9223372036854775808}`, BadField, "63 bits"},
		{"no level", alarm, `{"connector":"1",` + at + `,"code":"smoke"}`, BadField, "level is missing"},
		{"a level of its own", alarm, `{"connector":"1",` + at + `,"level":"fatal"}`, BadField, `"fatal"`},
		{"no order number", order, `{"connector":"1",` + at + `}`, BadField, "order is missing"},
		{"an order's start in words", order, `{"connector":"1",` + at + `,"order":"1","start":"noon"}`, BadTime, "start"},
		{"an order's end without zone", order, `{"connector":"1",` + at + `,"order":"1","end":"2025-03-09T11:59:58"}`, BadTime, "end"},
		{"an order's start before piles had clocks", order, `{"connector":"1",` + at + `,"order":"1","start":"2014-12-31T23:59:59Z"}`, BadTime, "start 2014-12-31T23:59:59Z is before 2015"},
		{"an order's end in the future", order, `{"connector":"1",` + at + `,"order":"1","start":1741492000000,"end":"2025-03-09T12:10:01+08:00"}`, BadTime, "end 2025-03-09T04:10:01Z is more than 10 minutes ahead"},
		{"an order that ends before it starts", order, `{"connector":"1",` + at + `,"order":"1","start":1741492000000,"end":1741491999000}`, OutOfRange, "is before start"},
		{"an order of more than 30 days", order, `{"connector":"1",` + at + `,"order":"1","start":"2025-02-07T11:59:00+08:00","end":"2025-03-09T11:59:01+08:00"}`, OutOfRange, "is 30 days: at most 30"},
		{"an order's end that is true", order, `{"connector":"1",` + at + `,"order":"1","end":true}`, BadField, "end"},
		{"online in quotes", heartbeat, `{` + at + `,"online":"false"}`, BadField, "online"},
		{"a session in quotes", heartbeat, `{` + at + `,"session":"1741492798000"}`, BadField, "session"},

		{"two faults, of which the first is told", telemetry, `{"connector":"1",` + at + `,"voltage_v":"x","status":"y"}`, BadField, "voltage_v"},
		{"a bad field, then a bad time", telemetry, `{"connector":"1","voltage_v":"x","time":true}`, BadField, "voltage_v"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			readings, rejects, _ := Decode(address(tt.kind), []byte(tt.payload), received)
			if len(readings) != 0 || len(rejects) != 1 {
				t.Fatalf("Decode(%.200s): got %d readings, rejects %+v, want none and one", tt.payload, len(readings), rejects)
			}
			checkRejects(t, rejects)
			if got := rejects[0]; got.Reason != tt.want || !strings.Contains(got.Detail, tt.detail) {
				t.Errorf("Decode(%.200s): got %s %q, want %s with %q", tt.payload, got.Reason, got.Detail, tt.want, tt.detail)
			}
		})
	}
}

func TestTaken(t *testing.T) {
	const at = `"time":"2025-03-09T11:59:58+08:00"`
	long := strings.Repeat("故", 30) // 90 bytes
	tests := []struct {
		name    string
		kind    charge.Kind
		payload string
		got     func(charge.Reading) any
		want    any
	}{
		{
			"ten minutes ahead to the millisecond", charge.KindStatus, `{"connector":"1","time":"2025-03-09T12:10:00.000+08:00","status":1}`,
			func(r charge.Reading) any { return r.Tells(charge.ClockWrong) }, false,
		},
		{
			"a month late", charge.KindStatus, `{"connector":"1","time":"2025-02-09T12:00:00+08:00","status":1}`,
			func(r charge.Reading) any { return r.At }, time.Date(2025, 2, 9, 4, 0, 0, 0, time.UTC),
		},
		{
			"the later of two times", charge.KindStatus, `{"connector":"1","time":"2026-01-01T00:00:00Z",` + at + `,"status":1}`,
			func(r charge.Reading) any { return r.At }, time.Date(2025, 3, 9, 3, 59, 58, 0, time.UTC),
		},
		{
			"microseconds are cut to milliseconds", charge.KindStatus, `{"connector":"1","time":"2025-03-09T03:59:58.123999Z","status":1}`,
			func(r charge.Reading) any { return r.At }, time.Date(2025, 3, 9, 3, 59, 58, 123e6, time.UTC),
		},
		{
			"white space around", charge.KindStatus, "\r\n\t {\"connector\":\"1\"," + at + ",\"status\":1}\n\n",
			func(r charge.Reading) any { return r.Status }, charge.Idle,
		},
		{
			"a status with a zero fraction", charge.KindStatus, `{"connector":"1",` + at + `,"status":3.0}`,
			func(r charge.Reading) any { return r.Status }, charge.Charging,
		},
		{
			"a bound itself", charge.KindTelemetry, `{"connector":"1",` + at + `,"voltage_v":1500,"current_a":-1000,"power_kw":1e3,"soc_pct":0,"temp_c":-50}`,
			func(r charge.Reading) any { return []float64{r.VoltageV, r.CurrentA, r.PowerKW, r.SoCPct, r.TempC} },
			[]float64{1500, -1000, 1000, 0, -50},
		},
		{
			"a zero that was told", charge.KindTelemetry, `{"connector":"1",` + at + `,"power_kw":0}`,
			func(r charge.Reading) any { return r.Has }, charge.HasPower,
		},
		{
			"a number smaller than all", charge.KindTelemetry, `{"connector":"1",` + at + `,"power_kw":1e-999}`,
			func(r charge.Reading) any { return r.PowerKW }, 0.0,
		},
		{
			"the pile named though the topic has it", charge.KindStatus, `{"pile":"P1","connector":"1",` + at + `,"status":1}`,
			func(r charge.Reading) any { return r.Pile.Equipment }, "P1",
		},
		{
			"the largest seq", charge.KindStatus, `{"connector":"1",` + at + `,"status":1,"seq":9223372036854775807}`,
			func(r charge.Reading) any { return r.Seq }, uint64(1<<63 - 1),
		},
		{
			"a fault of a status that is none", charge.KindStatus, `{"connector":"1",` + at + `,"status":1,"fault":"smoke"}`,
			func(r charge.Reading) any { return r.Fault }, charge.Fault(""),
		},
		{
			"the word other says no more than none", charge.KindStatus, `{"connector":"1",` + at + `,"status":255,"fault":"other"}`,
			func(r charge.Reading) any { return []string{string(r.Fault), r.FaultCode} },
			[]string{"other", ""},
		},
		{
			"a fault code is cut between characters", charge.KindStatus, `{"connector":"1",` + at + `,"status":255,"fault":"` + long + `"}`,
			func(r charge.Reading) any { return []string{string(r.Fault), r.FaultCode} },
			[]string{"other", long[:63]},
		},
		{
			"a fault before its status", charge.KindStatus, `{"fault":"smoke","connector":"1",` + at + `,"status":255}`,
			func(r charge.Reading) any { return r.Fault }, charge.Fault("smoke"),
		},
		{
			"a text of 200 characters", charge.KindAlarm, `{"connector":"1",` + at + `,"level":"danger","text":"` + strings.Repeat("枪", 200) + `"}`,
			func(r charge.Reading) any { return len(r.Text) }, 600,
		},
		{
			"half a surrogate pair", charge.KindAlarm, `{"connector":"1",` + at + `,"level":"danger","text":"\ud83d!"}`,
			func(r charge.Reading) any { return r.Text }, "\uFFFD!",
		},
		{
			"a session that is still open", charge.KindOrder, `{"connector":"1",` + at + `,"order":"1","start":1741492000000}`,
			func(r charge.Reading) any { return r.Has }, charge.HasStart,
		},
		{
			"a session of 30 days that ends 10 minutes ahead of our clock", charge.KindOrder,
			`{"connector":"1",` + at + `,"order":"1","start":"2025-02-07T12:10:00+08:00","end":"2025-03-09T12:10:00+08:00"}`,
			func(r charge.Reading) any { return r.End.Sub(r.Start) }, 30 * 24 * time.Hour,
		},
		{
			"a session that ends as it begins", charge.KindOrder, `{"connector":"1",` + at + `,"order":"1","start":1741492000000,"end":1741492000000}`,
			func(r charge.Reading) any { return r.Has }, charge.HasStart | charge.HasEnd,
		},
		{
			"a key written with escapes", charge.KindStatus, `{"connector":"1",` + at + `,"\u0073tatus":1}`,
			func(r charge.Reading) any { return r.Status }, charge.Idle,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			readings, rejects, _ := Decode(address(tt.kind), []byte(tt.payload), received)
			if len(readings) != 1 || len(rejects) != 0 {
				t.Fatalf("Decode(%.200s): got %d readings, rejects %+v, want one and none", tt.payload, len(readings), rejects)
			}
			if diff := cmp.Diff(tt.want, tt.got(readings[0])); diff != "" {
				t.Errorf("Decode(%.200s) (-want +got):\n%s", tt.payload, diff)
			}
		})
	}
}

func TestPayloadSize(t *testing.T) {
	good := `{"connector":"1","time":"2025-03-09T11:59:58+08:00","status":1}`
	fits := []byte(good + strings.Repeat(" ", MaxPayloadBytes-len(good)))
	if readings, rejects, _ := Decode(address(charge.KindStatus), fits, received); len(readings) != 1 || len(rejects) != 0 {
		t.Errorf("payload of %d bytes: got %d readings, rejects %+v, want one and none", len(fits), len(readings), rejects)
	}
	over := append(fits, ' ')
	readings, rejects, _ := Decode(address(charge.KindStatus), over, received)
	want := []Reject{{Index: -1, Reason: TooLarge, Detail: "payload of 1048577 bytes: at most 1048576"}}
	if diff := cmp.Diff(want, rejects); len(readings) != 0 || diff != "" {
		t.Errorf("payload of %d bytes: got %d readings, rejects (-want +got):\n%s", len(over), len(readings), diff)
	}
}

func TestBadObjectsLeaveTheOthersOfAnArray(t *testing.T) {
	bad := map[int]string{ // by index: what stands there instead
		7:   `{"pile":"P-7","connector":"1","time":1741492790000,"status":7}`,
		500: `"P-500"`,
		999: `{"pile":"P-999","connector":"1","time":1741492790000,"status":3,"power_kw":1e9}`,
	}
	objects := make([]string, 1000)
	for i := range objects {
		objects[i] = fmt.Sprintf(`{"pile":"P-%d","connector":"1","time":1741492790000,"status":3,"power_kw":60.5}`, i)
		if s, ok := bad[i]; ok {
			objects[i] = s
		}
	}
	payload := []byte("[" + strings.Join(objects, ",\n") + "]")
	readings, rejects, _ := Decode(Address{"MA3TEST01", Many, charge.KindTelemetry}, payload, received)
	want := []Reject{
		{Index: 7, Pile: "P-7", Connector: "1", Reason: BadStatus, Detail: "status 7: want 0, 1, 2, 3, 4 or 255 (T/CEC 102)"},
		{Index: 500, Reason: BadJSON, Detail: "an element of the array is not an object"},
		{Index: 999, Pile: "P-999", Connector: "1", Reason: OutOfRange, Detail: "power_kw is 1e+09: allowed -1000 to 1000"},
	}
	if diff := cmp.Diff(want, rejects); diff != "" {
		t.Errorf("rejects (-want +got):\n%s", diff)
	}
	if len(readings) != 997 {
		t.Fatalf("readings: got %d, want 997", len(readings))
	}
	n := 0
	for i := range objects {
		if _, ok := bad[i]; ok {
			continue
		}
		if got, want := readings[n].Pile.Equipment, fmt.Sprintf("P-%d", i); got != want {
			t.Fatalf("reading %d: got pile %s, want %s", n, got, want)
		}
		n++
	}
}

// However many objects are refused, none is uncounted, and memory holds no more than a few complaints.
func TestRejectsOfOnePayloadAreBounded(t *testing.T) {
	const objects = 200_000
	payload := []byte("[" + strings.Repeat("{},", objects-1) + "1]")
	_, rejects, _ := Decode(address(charge.KindStatus), payload, received)
	checkRejects(t, rejects)
	total := 0
	for _, r := range rejects {
		total += max(r.Count, 1)
	}
	if most := maxRejectsTold + len(Reasons()); total != objects || len(rejects) > most {
		t.Errorf("got %d rejects that stand for %d objects, want at most %d for %d", len(rejects), total, most, objects)
	}
}

func TestReadingsKeepNothingOfThePayload(t *testing.T) {
	payload := []byte(`{"connector":"1","time":"2025-03-09T11:59:58+08:00","status":255,"fault":"E-217","seq":1}`)
	readings, _, _ := Decode(address(charge.KindStatus), payload, received)
	for i := range payload {
		payload[i] = 'x' // the listener reads the next packet into the same memory
	}
	if got := readings[0]; got.FaultCode != "E-217" || got.Connector != "1" {
		t.Errorf("after the payload's memory was used again: got connector %q, fault %q, want 1 and E-217", got.Connector, got.FaultCode)
	}
}

func TestNumbersReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := charge.Reading{
			Pile: charge.PileID{Operator: "MA3TEST01", Equipment: "P1"}, Connector: "1", Kind: charge.KindTelemetry,
			Has: numeric, At: received.UTC(), Received: received.UTC(),
			VoltageV: rapid.Float64Range(0, 1500).Draw(t, "voltage"), CurrentA: rapid.Float64Range(-1000, 1000).Draw(t, "current"),
			PowerKW: rapid.Float64Range(-1000, 1000).Draw(t, "power"), EnergyKWh: rapid.Float64Range(-10000, 10000).Draw(t, "energy"),
			MeterKWh: rapid.Float64Range(0, 1e9).Draw(t, "meter"), SoCPct: rapid.Float64Range(0, 100).Draw(t, "soc"),
			TempC: rapid.Float64Range(-50, 150).Draw(t, "temp"),
		}
		payload := Encode(nil, &r, false)
		readings, rejects, _ := Decode(address(charge.KindTelemetry), payload, received)
		if diff := cmp.Diff([]charge.Reading{r}, readings); diff != "" || len(rejects) != 0 {
			t.Fatalf("Decode(%s): rejects %+v (-want +got):\n%s", payload, rejects, diff)
		}
	})
}

const numeric = charge.HasVoltage | charge.HasCurrent | charge.HasPower | charge.HasEnergy | charge.HasMeter | charge.HasSoC | charge.HasTemp

// Whatever comes, Decode ends; each reject has a reason of the list; what decodes is within its
// ranges and survives Encode and Decode again.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*/payload")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		payload, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for kind := charge.KindStatus; kind <= charge.KindHeartbeat; kind++ {
			f.Add(uint8(kind), bytes.Contains(payload, []byte(`"pile"`)), payload)
		}
	}
	f.Add(uint8(2), false, []byte(`{"connector":"1","time":1741492790000,"power_kw":1844674407370955162.0}`))
	f.Add(uint8(4), false, []byte(`{"connector":"1","time":1741492790000,"order":"1","start":"0001-01-01T00:00:00+14:00","end":"9999-12-31T23:59:59-12:00"}`))
	f.Add(uint8(3), false, []byte(`{"connector":"1","time":1741492790000,"level":"notice","code":"0123456789012345678901234567890123456789012345678901234567890123456789"}`))
	f.Fuzz(func(t *testing.T, kind uint8, many bool, payload []byte) {
		a := address(charge.KindStatus + charge.Kind(kind%5))
		if many {
			a.Pile = Many
		}
		readings, rejects, counts := Decode(a, payload, received)
		checkRejects(t, rejects)
		if counts.UnknownFields < 0 || len(readings) == 0 && len(rejects) == 0 {
			t.Errorf("Decode(%q): got nothing, neither reading nor reject", payload)
		}
		for i := range readings {
			r := &readings[i]
			if !charge.ValidID(r.Pile.Equipment) || r.At.Sub(received) > maxAhead || r.At.Before(oldest) {
				t.Errorf("Decode(%q): got pile %q at %s", payload, r.Pile, r.At)
			}
			if r.Tells(charge.ClockWrong) {
				continue // its time is ours: sent again, it would be right
			}
			text := Encode(nil, r, many)
			again, refused, _ := Decode(a, text, received)
			if diff := cmp.Diff([]charge.Reading{*r}, again); diff != "" || len(refused) != 0 {
				t.Errorf("Decode(Encode(Decode(%q))) by %s: rejects %+v (-want +got):\n%s", payload, text, refused, diff)
			}
		}
	})
}

// BenchmarkDecode reads what a DC pile sends every 15 s of a session.
func BenchmarkDecode(b *testing.B) {
	payload := []byte(`{"connector":"2","time":"2025-03-09T11:59:57.250+08:00","seq":41823,"status":3,"voltage_v":702.4,"current_a":118.25,` +
		`"power_kw":83.06,"energy_kwh":21.447,"meter_kwh":184203.91,"soc_pct":64,"temp_c":43.5,"firmware":"3.1.4","vin":"LXXXXXXXXXXXXXX17"}`)
	a := address(charge.KindTelemetry)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	var readings []charge.Reading
	for b.Loop() {
		if readings, _, _ = Append(readings[:0], a, payload, received); len(readings) != 1 {
			b.Fatal("no reading")
		}
	}
}

// BenchmarkEncode writes the same.
func BenchmarkEncode(b *testing.B) {
	r := charge.Reading{
		Pile: charge.PileID{Operator: "MA3TEST01", Equipment: "P1"}, Connector: "2", Kind: charge.KindTelemetry,
		Has: numeric | charge.HasSeq | charge.HasStatus, Status: charge.Charging, Seq: 41823, At: received, Received: received,
		VoltageV: 702.4, CurrentA: 118.25, PowerKW: 83.06, EnergyKWh: 21.447, MeterKWh: 184203.91, SoCPct: 64, TempC: 43.5,
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = Encode(dst[:0], &r, false)
	}
}
