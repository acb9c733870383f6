package cases_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/cases"
)

func record(t interface{ Fatal(...any) }, n int) []cases.Entry {
	var entries []cases.Entry
	for i := range n {
		var last *cases.Entry
		if i > 0 {
			last = &entries[i-1]
		}
		e, err := cases.Chained(last, cases.Entry{
			Case: fmt.Sprintf("2026-%04d", i%3+1), At: at("2026-05-04 10:00").Add(time.Duration(i) * time.Minute),
			Person: "王", Role: cases.CityOfficer, Action: cases.Notify, From: cases.Suspected, To: cases.Notified,
			Text: "通知书", Evidence: []cases.Evidence{{Name: "dossier", SHA256: "00"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

func TestAnyChangeOfTheRecordIsFoundWhereItIs(t *testing.T) {
	changes := map[string]func(*cases.Entry){
		"case":          func(e *cases.Entry) { e.Case += "0" },
		"time":          func(e *cases.Entry) { e.At = e.At.Add(1) },
		"person":        func(e *cases.Entry) { e.Person = "李" },
		"role":          func(e *cases.Entry) { e.Role = cases.ProvinceOfficer },
		"action":        func(e *cases.Entry) { e.Action = cases.Confirm },
		"from":          func(e *cases.Entry) { e.From = cases.Overdue },
		"to":            func(e *cases.Entry) { e.To = cases.Confirmed },
		"text":          func(e *cases.Entry) { e.Text += " " },
		"evidence":      func(e *cases.Entry) { e.Evidence = []cases.Evidence{{Name: "dossier", SHA256: "01"}} },
		"less evidence": func(e *cases.Entry) { e.Evidence = nil },
		"hash":          func(e *cases.Entry) { e.Hash = strings.Repeat("0", 64) },
		"hash before":   func(e *cases.Entry) { e.Previous = strings.Repeat("0", 64) },
		"number":        func(e *cases.Entry) { e.Seq++ },
		"not UTF-8":     func(e *cases.Entry) { e.Text = "\xff" },
	}
	for name, change := range changes {
		for i := range 5 {
			entries := record(t, 5)
			change(&entries[i])
			var broken *cases.BrokenError
			if err := cases.Verify(entries, ""); !errors.As(err, &broken) || broken.Index != i {
				t.Errorf("%s of entry %d: got %v", name, i+1, err)
			}
		}
	}
}

func TestEntriesTakenOutPutInOrCutOffAreFound(t *testing.T) {
	entries := record(t, 5)
	head := entries[4].Hash
	if err := cases.Verify(entries, head); err != nil {
		t.Fatalf("untouched: %v", err)
	}
	if err := cases.Verify(nil, ""); err != nil {
		t.Errorf("an empty record: %v", err)
	}
	for _, tt := range []struct {
		name    string
		entries []cases.Entry
		index   int
	}{
		{"the third taken out", slices.Delete(slices.Clone(entries), 2, 3), 2},
		{"the first taken out", slices.Clone(entries[1:]), 0},
		{"one put in twice", slices.Insert(slices.Clone(entries), 2, entries[1]), 2},
		{"two exchanged", []cases.Entry{entries[0], entries[2], entries[1], entries[3], entries[4]}, 1},
		{"the last cut off", entries[:4], 4},
		{"all written anew with another text", func() []cases.Entry {
			var anew []cases.Entry
			for i, e := range entries {
				var last *cases.Entry
				if i > 0 {
					last = &anew[i-1]
				}
				e.Text = "another"
				e, err := cases.Chained(last, e)
				if err != nil {
					t.Fatal(err)
				}
				anew = append(anew, e)
			}
			return anew
		}(), 5},
	} {
		var broken *cases.BrokenError
		if err := cases.Verify(tt.entries, head); !errors.As(err, &broken) || broken.Index != tt.index {
			t.Errorf("%s: got %v, want entry %d", tt.name, err, tt.index)
		}
	}
}

func TestAHashIsOfTheValuesAlone(t *testing.T) {
	zoned := cases.Entry{Case: "1", At: at("2026-05-04 10:00"), Text: "<&> \u2028 é"}
	utc := zoned
	utc.At, utc.Evidence = zoned.At.UTC(), []cases.Evidence{}
	a, err := cases.Chained(nil, zoned)
	b, err2 := cases.Chained(nil, utc)
	if err != nil || err2 != nil || a.Hash != b.Hash {
		t.Errorf("got %s and %s (%v, %v)", a.Hash, b.Hash, err, err2)
	}
	if _, err := cases.Chained(nil, cases.Entry{Person: "\xc3"}); err == nil {
		t.Error("a name that is not UTF-8 went onto the record")
	}
	// Computed apart: printf '%s' '{"action":"","at":"2026-05-04T02:00:00Z","case":"1","evidence":[],"from":"",
	// "person":"","previous":"","role":"","seq":1,"text":"","to":""}' | sha256sum
	plain, _ := cases.Chained(nil, cases.Entry{Case: "1", At: at("2026-05-04 10:00")})
	if want := "ba704b18d0336e30085c56717525fcf8caa1cdc6914a55e34fa7b0f6194c57a1"; plain.Hash != want {
		t.Errorf("got %s, want %s", plain.Hash, want)
	}
}

func dossier() *cases.Dossier {
	day := at("2026-05-04 00:00")
	return &cases.Dossier{
		Case: "2026-0001", Pile: "MA1234567:P-1", Serial: "SN 7", Station: "示范站", Township: "370102001", Frozen: day,
		Known:      []cases.Name{{Operator: "MA0000001", Pile: "A", From: day.AddDate(-1, 0, 0), Document: "转让协议"}},
		Grounds:    []cases.Ground{{Rule: "silent", Policy: "1", From: day.AddDate(0, 0, -30), Until: day, Unknown: 43200}},
		Changes:    []cases.StatusChange{{Connector: "1", At: day, Received: day.Add(time.Second), Partition: 3, Sequence: 9007199254740991, Status: 255, Fault: "other"}},
		Days:       []cases.Day{{Date: "2026-05-03", Unknown: 1440}},
		Excuses:    []cases.Excuse{{ID: 4, Kind: "power_cut", State: "refused", From: day, Until: day, Cause: "欠费"}},
		Rejects:    []cases.Reject{{Date: "2026-05-03", Reason: "bad_time", Count: 12}},
		Platform:   cases.PlatformRecord{Outages: []cases.Outage{}, UpMinutes: 43190, DownMinutes: 10, DelayP50MS: 120, DelayP99MS: 900},
		Neighbours: []cases.Neighbour{{Pile: "MA1234567:P-2", Usable: 43000, Heard: 43200}},
		Inspected:  []cases.Inspected{},
		Versions:   cases.Versions{Registry: 17, Policy: "1", Program: "v1"},
	}
}

func TestADossierIsReadAndVerifiedFromItsFileAlone(t *testing.T) {
	file, hash, err := dossier().Freeze()
	if err != nil {
		t.Fatal(err)
	}
	again, same, err := cases.Thaw(file)
	if err != nil || same != hash {
		t.Fatalf("got %s, %v; want %s", same, err, hash)
	}
	if diff := cmp.Diff(dossier(), again); diff != "" {
		t.Error(diff)
	}
	twice, hash2, err := again.Freeze()
	if err != nil || string(twice) != string(file) || hash2 != hash {
		t.Errorf("frozen again it is another: %s, %v", hash2, err)
	}
}

func TestOneChangedByteOfADossierIsFound(t *testing.T) {
	file, _, err := dossier().Freeze()
	if err != nil {
		t.Fatal(err)
	}
	for i := range file {
		for _, b := range []byte{file[i] + 1, file[i] ^ 0x20} { // another one, and the other case
			changed := slices.Clone(file)
			changed[i] = b
			if _, _, err := cases.Thaw(changed); err == nil {
				t.Fatalf("byte %d from %q to %q was not found", i, file[i], b)
			}
		}
	}
	for name, changed := range map[string]string{
		"a space put in": strings.Replace(string(file), `"dossier":`, `"dossier": `, 1),
		"cut off":        string(file[:len(file)-1]),
		"more behind":    string(file) + " ",
		"empty":          "",
		"null":           "null",
		"another file":   `{"a":1}`,
	} {
		if _, _, err := cases.Thaw([]byte(changed)); err == nil {
			t.Errorf("%s was not found", name)
		}
	}
	_, _, err = cases.Thaw([]byte(strings.Replace(string(file), `"unknown_min":1440`, `"unknown_min":1441`, 1)))
	if err == nil || !strings.Contains(err.Error(), `"days"`) {
		t.Errorf("a day's minutes changed: got %v, want it to name days", err)
	}
}

func TestAnyHeadThatWasSentOutIsFoundOnTheRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := record(t, rapid.IntRange(1, 6).Draw(t, "entries"))
		if err := cases.Verify(entries, entries[rapid.IntRange(0, len(entries)-1).Draw(t, "head")].Hash); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzThaw(f *testing.F) {
	file, _, err := dossier().Freeze()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte(`{"dossier":{},"sections":{},"sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, hash, err := cases.Thaw(b)
		if err == nil && (d == nil || len(hash) != 64) {
			t.Fatalf("thawed %q to %v, %q", b, d, hash)
		}
	})
}
