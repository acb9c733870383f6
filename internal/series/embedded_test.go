package series

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

var noon = time.Date(2025, 3, 9, 12, 0, 0, 0, charge.Zone).UTC()

func openEmbedded(tb testing.TB) *Embedded {
	tb.Helper()
	e, err := OpenEmbedded(tb.Context(), filepath.Join(tb.TempDir(), "history.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Close(); err != nil {
			tb.Error(err)
		}
	})
	return e
}

// charging is one telemetry reading as a DC pile sends it.
func charging(pile int, at time.Time, seq uint64) charge.Reading {
	return charge.Reading{
		Pile: charge.PileID{Operator: "MA3TEST01", Equipment: fmt.Sprintf("pile-%05d", pile)}, Connector: "1",
		Kind: charge.KindTelemetry, At: at, Received: at, Seq: seq, Status: charge.Charging,
		Has: charge.HasSeq | charge.HasStatus | charge.HasVoltage | charge.HasCurrent | charge.HasPower |
			charge.HasEnergy | charge.HasMeter | charge.HasSoC | charge.HasTemp,
		VoltageV: 700, CurrentA: 120.5, PowerKW: 84.35, EnergyKWh: 12.34, MeterKWh: 98765.4, SoCPct: 55, TempC: 41.5,
	}
}

func (e *Embedded) day(t testing.TB, pile string) []Row {
	t.Helper()
	rows, err := e.History(t.Context(), Query{
		Pile: charge.PileID{Operator: "MA3TEST01", Equipment: pile}, From: today.Add(-12 * time.Hour), To: today.Add(12 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func (e *Embedded) put(t testing.TB, batch ...charge.Reading) {
	t.Helper()
	if err := e.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func TestLowerSeqInALaterBatchChangesNothing(t *testing.T) {
	e := openEmbedded(t)
	none := reading("P1", time.Minute, 0, 70)
	none.Has &^= charge.HasSeq
	e.put(t, reading("P1", 0, 9, 90), reading("P1", time.Minute, 0, 60))
	e.put(t, reading("P1", 0, 8, 80), none)
	want := rowsOf(reading("P1", 0, 9, 90), reading("P1", time.Minute, 0, 60))
	if diff := cmp.Diff(want, e.day(t, "P1")); diff != "" {
		t.Errorf("History (-want +got):\n%s", diff)
	}
	e.put(t, reading("P1", 0, 9, 91)) // the same seq: the later one
	if got := e.day(t, "P1")[0]; got.PowerKW.Mean != 91 {
		t.Errorf("the same seq again: got %v kW, want 91", got.PowerKW.Mean)
	}
}

func TestEmbeddedIsThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "历史 #1%20?.db") // a name that a URL would take apart
	open := func() *Embedded {
		t.Helper()
		e, err := OpenEmbedded(t.Context(), path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := open()
	e.put(t, reading("P1", 0, 1, 10))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file is not where it was asked for: %v", err)
	}
	e = open()
	e.put(t, reading("P1", time.Minute, 2, 20), on("2", reading("P1", 0, 1, 30)))
	want := rowsOf(reading("P1", 0, 1, 10), on("2", reading("P1", 0, 1, 30)), reading("P1", time.Minute, 2, 20))
	if diff := cmp.Diff(want, e.day(t, "P1")); diff != "" {
		t.Errorf("History (-want +got):\n%s", diff)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Write(t.Context(), []charge.Reading{reading("P1", 0, 1, 1)}); err == nil {
		t.Error("Write to a closed file: got no error")
	}
}

func TestFileOfANewerFormatIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 5; CREATE TABLE later (x)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := OpenEmbedded(t.Context(), path, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "file has format 5, this program knows up to 4") || !strings.Contains(err.Error(), path) {
		t.Errorf("OpenEmbedded: got %v, %v, want it to name the file and both formats", e, err)
	}
	if db, err = sql.Open("sqlite", path); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name IN ('readings', 'connectors')").Scan(&n); err != nil || n != 0 {
		t.Errorf("the refused file: got %d tables of ours, %v, want it untouched", n, err)
	}
}

func TestFileOfAnOlderFormatIsBroughtUpToDate(t *testing.T) {
	older := []string{schema, schema2, schema3} // as released; they do not change any more
	for version := 1; version <= len(older); version++ {
		path := filepath.Join(t.TempDir(), "history.db")
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		r := reading("P1", 0, 1, 10)
		for _, s := range older[:version] {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Exec(`INSERT INTO connectors VALUES (1, ?, ?, ?)`, string(r.Pile.Operator), r.Pile.Equipment, string(r.Connector)); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`INSERT INTO readings (hour, connector, kind, time_ms, seq, status, power_kw) VALUES (?, 1, ?, ?, 1, ?, 10)`,
			r.At.UnixMilli()/hourMS, int(r.Kind), r.At.UnixMilli(), int(r.Status)); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		e, err := OpenEmbedded(t.Context(), path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("format %d: %v", version, err)
		}
		if got := e.day(t, "P1"); len(got) != 1 || got[0].PowerKW == nil || got[0].PowerKW.Mean != 10 {
			t.Errorf("format %d: its reading: got %+v, want one of 10 kW", version, got)
		}
		suiteLoads(t, e)
		suiteEnergies(t, e)
		suiteCoverage(t, e)
		suiteAvailability(t, e)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFileThatIsNoHistoryIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("pile,connector\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := OpenEmbedded(t.Context(), path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("OpenEmbedded: got %v, %v, want an error that names the file", e, err)
	}
}

func TestPurgeTakesTheOldAndGivesItsPagesBack(t *testing.T) {
	e := openEmbedded(t)
	const old = 2*purgeRows + 7 // several steps
	cut := today.Add(10*time.Minute + 500*time.Millisecond)
	var batch []charge.Reading
	for i := range old {
		r := charging(i%500, cut.Add(-time.Millisecond-time.Duration(i/500)*7*time.Minute), uint64(i))
		batch = append(batch, r)
	}
	e.put(t, batch...)
	young := []charge.Reading{charging(0, cut, 1), charging(0, cut.Add(time.Hour), 2)}
	young[0].Pile.Equipment, young[1].Pile.Equipment = "P1", "P1"
	// The same hour as the cut, and a connector whose number is lower than those that go.
	young = append(young, on("0", young[0]))
	e.put(t, young...)

	pages := func() (n int) {
		t.Helper()
		if err := e.write.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := pages()
	n, err := e.Purge(t.Context(), cut)
	if err != nil || n != old {
		t.Fatalf("Purge: got %d, %v, want %d", n, err, old)
	}
	if after := pages(); after > before/4 {
		t.Errorf("file after the purge: got %d pages of %d, want most given back", after, before)
	}
	want := rowsOf(young[2], young[0], young[1])
	if diff := cmp.Diff(want, e.day(t, "P1")); diff != "" {
		t.Errorf("what is young (-want +got):\n%s", diff)
	}
	if n, err := e.Purge(t.Context(), cut); err != nil || n != 0 {
		t.Errorf("Purge again: got %d, %v, want nothing", n, err)
	}
}

func TestPurgeTellsHowFarItCame(t *testing.T) {
	e := openEmbedded(t)
	e.put(t, charging(1, noon, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := e.Purge(ctx, noon.Add(time.Hour)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("Purge after the end: got %d, %v, want 0 and %v", n, err, context.Canceled)
	}
}

func TestRowsOfOneAnswerAreBounded(t *testing.T) {
	e := openEmbedded(t)
	if e.maxRows != MaxRows {
		t.Errorf("rows of one answer: got at most %d, want %d", e.maxRows, MaxRows)
	}
	e.maxRows = 10
	for i := range 11 {
		e.put(t, reading("P1", time.Duration(i)*time.Minute, uint64(i), 1))
		for _, step := range []time.Duration{0, time.Minute} {
			rows, err := e.History(t.Context(), Query{
				Pile: charge.PileID{Operator: "MA3TEST01", Equipment: "P1"}, From: today, To: today.Add(time.Hour), Step: step,
			})
			if i < 10 && (err != nil || len(rows) != i+1) || i == 10 && (!errors.Is(err, ErrTooMuch) || rows != nil) {
				t.Errorf("History of %d rows by %s: got %d rows, %v", i+1, step, len(rows), err)
			}
		}
	}
}

// BenchmarkEmbeddedWrite writes batches as ingest does, from 20,000 piles that report every 15 s.
func BenchmarkEmbeddedWrite(b *testing.B) {
	for _, size := range []int{500, 5000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			e := openEmbedded(b)
			batch := make([]charge.Reading, size)
			n := 0
			b.ResetTimer()
			for range b.N {
				for i := range batch {
					batch[i] = charging(n%20000, noon.Add(time.Duration(n/20000)*15*time.Second), uint64(n))
					n++
				}
				if err := e.Write(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
