package series

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"pilewatch/internal/charge"
	"pilewatch/internal/testprog"
)

// A store is what both histories can do.
type store interface {
	Write(ctx context.Context, batch []charge.Reading) error
	History(ctx context.Context, q Query) ([]Row, error)
	Ping(ctx context.Context) error
}

// Both stores are asked the same questions and have to give the same answers.
func TestEmbedded(t *testing.T) {
	suite(t, openEmbedded(t))
}

func TestInflux18(t *testing.T) {
	base, _ := testprog.Influx(t) // one for all: it takes seconds to start
	suite(t, influxAt(t, base, "evcs/raw"))
	t.Run("a batch is stored but for what is refused", func(t *testing.T) { influxStoresTheRestOfABatch(t, base) })
	t.Run("setup makes database and retention", func(t *testing.T) { influxSetupMakesDatabaseAndRetention(t, base) })
	t.Run("a lower seq in a later batch", func(t *testing.T) { influxTakesTheLaterBatch(t, influxAt(t, base, "evcs/raw")) })
}

// Known and different: InfluxDB has no condition on a write, so of two batches the later one wins,
// whatever its seq, and a field that only the earlier one told stays. The log delivers in order but
// for what it delivers again.
func influxTakesTheLaterBatch(t *testing.T, x *Influx) {
	first := reading("later-wins", 0, 9, 90)
	first.Has, first.TempC = first.Has|charge.HasTemp, 41.5
	second := reading("later-wins", 0, 8, 80)
	for _, r := range []charge.Reading{first, second} {
		if err := x.Write(t.Context(), []charge.Reading{r}); err != nil {
			t.Fatal(err)
		}
	}
	want := second
	want.Has, want.TempC = first.Has, first.TempC
	got, err := x.History(t.Context(), Query{Pile: first.Pile, From: today, To: today.Add(time.Hour)})
	if diff := cmp.Diff(rowsOf(want), got); err != nil || diff != "" {
		t.Errorf("History: %v (-want +got):\n%s", err, diff)
	}
}

// influxAt is the history in a bucket that is set up.
func influxAt(t testing.TB, base, bucket string) *Influx {
	t.Helper()
	x, err := NewInflux(InfluxConfig{URL: base, Bucket: bucket}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := x.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	return x
}

// today is noon of a day that no store has forgotten yet, in charge.Zone.
var today = func() time.Time {
	now := time.Now().In(charge.Zone)
	return time.Date(now.Year(), now.Month(), now.Day()-2, 12, 0, 0, 0, charge.Zone).UTC()
}()

// reading is telemetry of a pile at noon plus after, with its power and seq.
func reading(pile string, after time.Duration, seq uint64, powerKW float64) charge.Reading {
	return charge.Reading{
		Pile: charge.PileID{Operator: "MA3TEST01", Equipment: pile}, Connector: "1", Kind: charge.KindTelemetry,
		At: today.Add(after), Received: today.Add(after), Seq: seq, Status: charge.Charging, PowerKW: powerKW,
		Has: charge.HasSeq | charge.HasStatus | charge.HasPower,
	}
}

func statusReading(pile string, after time.Duration, s charge.Status) charge.Reading {
	r := reading(pile, after, 0, 0)
	r.Kind, r.Status, r.Has = charge.KindStatus, s, charge.HasStatus
	return r
}

func on(connector charge.ConnectorID, r charge.Reading) charge.Reading {
	r.Connector = connector
	return r
}

// told is the row that a reading comes back as.
func told(r charge.Reading) Row {
	w := Row{
		Connector: r.Connector, At: r.At, Kind: r.Kind,
		Fault: r.Fault, FaultCode: r.FaultCode, Level: r.Level, Code: r.Code, Text: strings.ReplaceAll(r.Text, "\n", " "),
		Order: r.Order, Start: r.Start, End: r.End,
	}
	if r.Tells(charge.HasStatus) {
		w.Status = &r.Status
	}
	if r.Tells(charge.HasSeq) {
		w.Seq = &r.Seq
	}
	for i := range numbers {
		if r.Tells(numbers[i].has) {
			v := numbers[i].of(&r)
			*numbers[i].row(&w) = &Stat{v, v, v}
		}
	}
	return w
}

func rowsOf(readings ...charge.Reading) []Row {
	rows := make([]Row, len(readings))
	for i, r := range readings {
		rows[i] = told(r)
	}
	return rows
}

func status(s charge.Status) *charge.Status { return new(s) }

func window(after time.Duration, s *charge.Status, power *Stat) Row {
	return Row{Connector: "1", At: today.Add(after), Status: s, PowerKW: power}
}

// suite writes the batches of each case in their order and reads the pile's day.
func suite(t *testing.T, s longStore) {
	const m = time.Minute
	fault := statusReading("", m, charge.Faulted)
	fault.Fault, fault.FaultCode = charge.OtherFault, `E-217 "枪"\, a=b c`
	alarm := reading("", 2*m, 7, 0)
	alarm.Kind, alarm.Has, alarm.Level, alarm.Code = charge.KindAlarm, charge.HasSeq, "danger", "over_temperature"
	alarm.Text = "枪头 \"温度\" 过高\n92.5 ℃ \\ 已降功率, a=b"
	order := reading("", 3*m, 0, 0)
	order.Kind, order.Has = charge.KindOrder, charge.HasEnergy|charge.HasMeter|charge.HasStart|charge.HasEnd
	order.Order, order.EnergyKWh, order.MeterKWh = "MA3TEST0120250309110200017", 38.12, 184203.91
	order.Start, order.End = today.Add(-time.Hour), today.Add(2*m+123*time.Millisecond)
	open := order
	open.At, open.Has, open.End = today.Add(4*m), charge.HasStart, time.Time{}
	full := charging(0, today, math.MaxInt64)
	bare := reading("", 5*m, 0, 0)
	bare.Has = charge.HasPower                    // a zero that was told, and nothing else
	plain := func(pile string) []charge.Reading { // all kinds
		all := []charge.Reading{full, fault, alarm, order, open, bare}
		for i := range all {
			all[i].Pile.Equipment = pile
		}
		return all
	}
	feedsBack := reading("", 0, 1, -47.97)
	feedsBack.CurrentA, feedsBack.EnergyKWh, feedsBack.TempC = -120.5, -6.2, -11.25
	feedsBack.Has |= charge.HasCurrent | charge.HasEnergy | charge.HasTemp
	odd := func(v float64) charge.Reading { r := reading("", 0, 1, v); return r }

	tests := []struct {
		name    string
		batches [][]charge.Reading // of pile "", which stands for the case's own
		step    time.Duration
		want    []Row
	}{
		{"nothing was written", nil, 0, nil},
		{"every kind with all it can tell", [][]charge.Reading{plain("")}, 0, rowsOf(plain("")...)},
		{"negative where it feeds back", [][]charge.Reading{{feedsBack}}, 0, rowsOf(feedsBack)},
		{"a number that no decimal says", [][]charge.Reading{{odd(0.1 + 0.2)}}, 0, rowsOf(odd(0.1 + 0.2))},
		{"a number next to 0", [][]charge.Reading{{odd(5e-324)}}, 0, rowsOf(odd(5e-324))},
		{"a batch twice", [][]charge.Reading{plain(""), plain("")}, 0, rowsOf(plain("")...)},
		{"one reading twice in a batch", [][]charge.Reading{{odd(1), odd(1)}}, 0, rowsOf(odd(1))},
		{
			"out of order",
			[][]charge.Reading{{reading("", 2*m, 3, 3), reading("", 0, 1, 1)}, {reading("", m, 2, 2)}},
			0,
			rowsOf(reading("", 0, 1, 1), reading("", m, 2, 2), reading("", 2*m, 3, 3)),
		},
		{
			"a day late",
			[][]charge.Reading{{reading("", 0, 2, 2)}, {reading("", -11*time.Hour, 1, 1)}},
			0,
			rowsOf(reading("", -11*time.Hour, 1, 1), reading("", 0, 2, 2)),
		},
		{
			"of two with one key the higher seq wins, whichever comes first in the batch",
			[][]charge.Reading{{reading("", 0, 9, 90), reading("", 0, 8, 80), reading("", m, 8, 80), reading("", m, 9, 90)}},
			0,
			rowsOf(reading("", 0, 9, 90), reading("", m, 9, 90)),
		},
		{
			"a higher seq in a later batch wins",
			[][]charge.Reading{{reading("", 0, 8, 80)}, {reading("", 0, 9, 90)}},
			0,
			rowsOf(reading("", 0, 9, 90)),
		},
		{
			"milliseconds apart are two readings",
			[][]charge.Reading{{reading("", 0, 1, 1), reading("", time.Millisecond, 2, 2)}},
			0,
			rowsOf(reading("", 0, 1, 1), reading("", time.Millisecond, 2, 2)),
		},
		{
			"two kinds at one time are two readings",
			[][]charge.Reading{{reading("", 0, 1, 1), statusReading("", 0, charge.Charging)}},
			0,
			rowsOf(statusReading("", 0, charge.Charging), reading("", 0, 1, 1)),
		},
		{
			"connectors are kept apart",
			[][]charge.Reading{{on("2", reading("", 0, 1, 20)), on("1", reading("", 0, 1, 10)), on("10", reading("", 0, 1, 100))}},
			0,
			rowsOf(reading("", 0, 1, 10), on("10", reading("", 0, 1, 100)), on("2", reading("", 0, 1, 20))),
		},
		{
			"from is in the range, to is not",
			[][]charge.Reading{{
				reading("", -12*time.Hour-time.Millisecond, 1, 1), reading("", -12*time.Hour, 2, 2),
				reading("", 12*time.Hour-time.Millisecond, 3, 3), reading("", 12*time.Hour, 4, 4),
			}},
			0,
			rowsOf(reading("", -12*time.Hour, 2, 2), reading("", 12*time.Hour-time.Millisecond, 3, 3)),
		},

		{
			"windows of an hour",
			[][]charge.Reading{{
				reading("", 0, 1, 10), reading("", 30*m, 2, 30), reading("", 60*m-time.Millisecond, 3, 20), reading("", 60*m, 4, 7),
			}},
			time.Hour,
			[]Row{window(0, status(charge.Charging), &Stat{20, 10, 30}), window(time.Hour, status(charge.Charging), &Stat{7, 7, 7})},
		},
		{"windows that begin off the hour, and the first before the range", [][]charge.Reading{{
			reading("", -12*time.Hour, 1, 4), reading("", 0, 2, 10),
		}}, 7 * time.Hour, sevenHours()},
		{
			"a window of a day begins at midnight here, not in Greenwich",
			[][]charge.Reading{{
				reading("", -12*time.Hour, 1, 10), reading("", 12*time.Hour-time.Second, 2, 20),
			}},
			24 * time.Hour,
			[]Row{window(-12*time.Hour, status(charge.Charging), &Stat{15, 10, 20})},
		},
		{
			"windows hold the last status, told by whichever kind",
			[][]charge.Reading{{
				reading("", 0, 1, 10), statusReading("", 20*m, charge.Faulted), statusReading("", 10*m, charge.Idle),
				statusReading("", 70*m, charge.Idle), reading("", 80*m, 2, 5),
			}},
			time.Hour,
			[]Row{window(0, status(charge.Faulted), &Stat{10, 10, 10}), window(time.Hour, status(charge.Charging), &Stat{5, 5, 5})},
		},
		{
			"a window with a status alone",
			[][]charge.Reading{{statusReading("", 0, charge.Offline)}},
			time.Hour,
			[]Row{window(0, status(charge.Offline), nil)},
		},
		{"a window with numbers alone", [][]charge.Reading{{bare}}, time.Hour, []Row{window(0, nil, &Stat{0, 0, 0})}},
		{"orders and alarms are not measured twice", [][]charge.Reading{{order, alarm}}, time.Hour, nil},
		{
			"windows keep connectors apart",
			[][]charge.Reading{{reading("", 0, 1, 10), on("2", reading("", 0, 1, 20))}},
			time.Hour,
			[]Row{window(0, status(charge.Charging), &Stat{10, 10, 10}), func() Row {
				w := window(0, status(charge.Charging), &Stat{20, 20, 20})
				w.Connector = "2"
				return w
			}()},
		},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pile := fmt.Sprintf("case-%02d-", i)
			for _, batch := range tt.batches {
				mine := slices.Clone(batch)
				for j := range mine {
					mine[j].Pile = charge.PileID{Operator: "MA3TEST01", Equipment: pile}
				}
				// The same pile of another operator, and a pile whose name begins alike, are others.
				stranger := mine[0]
				stranger.Pile.Operator, stranger.PowerKW = "MA3TEST02", 999
				alike := mine[0]
				alike.Pile.Equipment, alike.PowerKW = pile+"0", 999
				if err := s.Write(t.Context(), append(mine, stranger, alike)); err != nil {
					t.Fatal(err)
				}
			}
			got, err := s.History(t.Context(), Query{
				Pile: charge.PileID{Operator: "MA3TEST01", Equipment: pile}, Step: tt.step,
				From: today.Add(-12 * time.Hour), To: today.Add(12 * time.Hour),
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("History (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("refused readings", func(t *testing.T) { suiteRejects(t, s) })
	t.Run("refused queries", func(t *testing.T) { suiteQueries(t, s) })
	t.Run("one kind alone", func(t *testing.T) {
		mine := plain("one-kind")
		if err := s.Write(t.Context(), mine); err != nil {
			t.Fatal(err)
		}
		q := Query{Pile: mine[0].Pile, Kind: charge.KindOrder, From: today, To: today.Add(time.Hour)}
		got, err := s.History(t.Context(), q)
		if diff := cmp.Diff(rowsOf(mine[3], mine[4]), got); err != nil || diff != "" {
			t.Errorf("History of orders: %v (-want +got):\n%s", err, diff)
		}
		q.Step = time.Hour
		if _, err := s.History(t.Context(), q); err == nil {
			t.Error("History of orders in windows: got no error")
		}
	})
	t.Run("draws", func(t *testing.T) { suiteDraws(t, s) })
	t.Run("load", func(t *testing.T) { suiteLoads(t, s) })
	t.Run("energy", func(t *testing.T) { suiteEnergies(t, s) })
	t.Run("coverage", func(t *testing.T) { suiteCoverage(t, s) })
	t.Run("availability", func(t *testing.T) { suiteAvailability(t, s) })
	t.Run("a cut range", func(t *testing.T) { suiteCutWindows(t, s) })
	t.Run("a context that has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Write(ctx, []charge.Reading{reading("ended", 0, 1, 1)}); !errors.Is(err, context.Canceled) {
			t.Errorf("Write: got %v, want %v", err, context.Canceled)
		}
		if _, err := s.History(ctx, Query{Pile: charge.PileID{Operator: "MA3TEST01", Equipment: "ended"}, From: today, To: today.Add(m)}); !errors.Is(err, context.Canceled) {
			t.Errorf("History: got %v, want %v", err, context.Canceled)
		}
	})
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

// sevenHours are the windows of 7 hours, which no day is a multiple of, that hold midnight and noon.
func sevenHours() []Row {
	begin := func(at time.Time) time.Duration {
		const step = int64(7 * time.Hour / time.Second)
		local := at.Unix() + 8*3600
		return time.Duration(local/step*step-local)*time.Second + at.Sub(today)
	}
	return []Row{
		window(begin(today.Add(-12*time.Hour)), status(charge.Charging), &Stat{4, 4, 4}),
		window(begin(today), status(charge.Charging), &Stat{10, 10, 10}),
	}
}

func suiteRejects(t *testing.T, s store) {
	pile := "rejects"
	bad := func(change func(*charge.Reading)) charge.Reading {
		r := reading(pile, time.Minute, 5, 5)
		change(&r)
		return r
	}
	tests := []struct {
		name string
		r    charge.Reading
		want string
	}{
		{"a heartbeat", bad(func(r *charge.Reading) { r.Kind = charge.KindHeartbeat }), "kind heartbeat has no history"},
		{"a kind of nobody's", bad(func(r *charge.Reading) { r.Kind = 77 }), "kind invalid has no history"},
		{"no connector", bad(func(r *charge.Reading) { r.Connector = "" }), "no connector named"},
		{"no operator", bad(func(r *charge.Reading) { r.Pile.Operator = "" }), "no connector named"},
		{"a connector that is no id", bad(func(r *charge.Reading) { r.Connector = "1\n2" }), "no connector named"},
		{"a pile that ends in a backslash", bad(func(r *charge.Reading) { r.Pile.Equipment = `P\` }), "no connector named"},
		{"no time", bad(func(r *charge.Reading) { r.At = time.Time{} }), "time outside"},
		{"a time beyond nanoseconds", bad(func(r *charge.Reading) { r.At = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC) }), "time outside"},
		{"no number", bad(func(r *charge.Reading) { r.PowerKW = math.NaN() }), "power_kw is not a number"},
		{"beyond all numbers", bad(func(r *charge.Reading) { r.PowerKW = math.Inf(-1) }), "power_kw is not a number"},
		{"nothing but its time", bad(func(r *charge.Reading) { r.Has = 0 }), "tells nothing"},
		{"nothing but its time and seq", bad(func(r *charge.Reading) { r.Has = charge.HasSeq }), "tells nothing"},
	}
	var batch, good []charge.Reading
	var points []int
	for i, tt := range tests {
		g := reading(pile, time.Duration(i)*time.Second, uint64(i), float64(i))
		good = append(good, g)
		batch = append(batch, g, tt.r)
		points = append(points, len(batch)-1)
	}
	err := s.Write(t.Context(), batch)
	var rejected *RejectedError
	if !errors.As(err, &rejected) {
		t.Fatalf("Write: got %v, want a RejectedError", err)
	}
	if diff := cmp.Diff(points, rejected.Points); diff != "" || rejected.Dropped != len(tests) || len(rejected.Reasons) != len(tests) {
		t.Fatalf("Write: got %d dropped, %d reasons, points (-want +got):\n%s", rejected.Dropped, len(rejected.Reasons), diff)
	}
	for i, tt := range tests {
		if got := rejected.Reasons[i]; !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	rows, err := s.History(t.Context(), Query{Pile: good[0].Pile, From: today, To: today.Add(time.Hour)})
	if diff := cmp.Diff(rowsOf(good...), rows); err != nil || diff != "" {
		t.Errorf("the rest of the batch: %v (-want +got):\n%s", err, diff)
	}
	for _, r := range []charge.Reading{tests[0].r, tests[len(tests)-1].r} {
		if err := s.Write(t.Context(), []charge.Reading{r}); !errors.As(err, &rejected) || rejected.Dropped != 1 {
			t.Errorf("Write of a refused reading alone: got %v, want a RejectedError of 1", err)
		}
	}
	if err := s.Write(t.Context(), nil); err != nil {
		t.Errorf("Write of nothing: %v", err)
	}
}

func suiteQueries(t *testing.T, s store) {
	good := charge.PileID{Operator: "MA3TEST01", Equipment: "P1"}
	tests := []struct {
		name string
		q    Query
		want string
		much bool
	}{
		{"no range", Query{Pile: good, From: today, To: today}, "is not before", false},
		{"a range backwards", Query{Pile: good, From: today, To: today.Add(-time.Hour)}, "is not before", false},
		{"a pile that would end the query", Query{Pile: charge.PileID{Operator: "a", Equipment: `x" or "1`}, From: today, To: today.Add(1)}, "not a pile's id", false},
		{"half a second", Query{Pile: good, From: today, To: today.Add(time.Hour), Step: 500 * time.Millisecond}, "whole number of seconds", false},
		{"a step backwards", Query{Pile: good, From: today, To: today.Add(time.Hour), Step: -time.Hour}, "whole number of seconds", false},
		{"raw readings of more than 31 days", Query{Pile: good, From: today.Add(-MaxRawRange - time.Second), To: today}, "give a step", true},
		{"windows of more than a year", Query{Pile: good, From: today.Add(-MaxWindowRange - time.Second), To: today, Step: time.Hour}, "at most", true},
		{"windows of a second for a month", Query{Pile: good, From: today.Add(-30 * 24 * time.Hour), To: today, Step: time.Second}, "2592000 windows", true},
	}
	for _, tt := range tests {
		rows, err := s.History(t.Context(), tt.q)
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrTooMuch) != tt.much || rows != nil {
			t.Errorf("%s: got %d rows, %v, want %q, too much %v", tt.name, len(rows), err, tt.want, tt.much)
		}
	}
	for _, q := range []Query{
		{Pile: good, From: today.Add(-MaxRawRange), To: today},
		{Pile: good, From: today.Add(-MaxWindowRange), To: today, Step: 24 * time.Hour},
		{Pile: good, From: time.UnixMilli(-1000), To: time.UnixMilli(1000)},
	} {
		if rows, err := s.History(t.Context(), q); err != nil || len(rows) != 0 {
			t.Errorf("History of %s to %s: got %d rows, %v, want none and no error", q.From, q.To, len(rows), err)
		}
	}
}

// A range that begins and ends within windows gives those windows with what of them is in the range.
func suiteCutWindows(t *testing.T, s store) {
	var batch []charge.Reading
	for i := range 12 {
		batch = append(batch, reading("cut", time.Duration(i)*10*time.Minute, uint64(i), float64(i)))
	}
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	got, err := s.History(t.Context(), Query{Pile: batch[0].Pile, From: today.Add(35 * time.Minute), To: today.Add(70 * time.Minute), Step: time.Hour})
	want := []Row{
		window(0, status(charge.Charging), &Stat{4.5, 4, 5}),
		window(time.Hour, status(charge.Charging), &Stat{6, 6, 6}),
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("History: %v (-want +got):\n%s", err, diff)
	}
}

// A 1.8 that asks for user and password is given them, and again after they were changed under the running program.
func TestInflux18ThatAsksForAPassword(t *testing.T) {
	t.Setenv("INFLUXDB_HTTP_AUTH_ENABLED", "true")
	base, _ := testprog.Influx(t)
	ask := func(user, password, q string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/query?"+url.Values{"q": {q}}.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", q, res.Status, err)
		}
	}
	ask("", "", `CREATE USER "pilewatch" WITH PASSWORD 'one' WITH ALL PRIVILEGES`)
	file := filepath.Join(t.TempDir(), "token")
	writeToken(t, file, "pilewatch:one\n")
	x, err := NewInflux(InfluxConfig{URL: base, TokenFile: file, Bucket: "evcs/raw"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	if said, err := x.Check(t.Context()); err != nil || said != "evcs/raw keeps 30 days, evcs/long keeps 1098 days" {
		t.Errorf("Check: got %q, %v", said, err)
	}
	if _, err := x.Started(t.Context()); err != nil {
		t.Errorf("Started: %v", err)
	}
	r := reading("P1", 0, 1, 60.5)
	if err := x.Write(t.Context(), []charge.Reading{r}); err != nil {
		t.Errorf("Write: %v", err)
	}
	ask("pilewatch", "one", `SET PASSWORD FOR "pilewatch" = 'two'`)
	later := reading("P1", time.Minute, 2, 70)
	if err := x.Write(t.Context(), []charge.Reading{later}); err == nil {
		t.Error("Write with a password that was changed: got no error")
	}
	writeToken(t, file, "pilewatch:two\n")
	if err := x.Write(t.Context(), []charge.Reading{later}); err != nil {
		t.Errorf("Write after the file has the new password: %v", err)
	}
	got, err := x.History(t.Context(), Query{Pile: r.Pile, From: today, To: today.Add(time.Hour)})
	if diff := cmp.Diff(rowsOf(r, later), got); err != nil || diff != "" {
		t.Errorf("History: %v (-want +got):\n%s", err, diff)
	}
}
