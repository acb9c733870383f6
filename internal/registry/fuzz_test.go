package registry

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf8"
)

// Whatever the file, an import ends, takes all of it or nothing, and names a line for every error;
// and what it takes comes out again as it is. Files that do not parse never reach the database
// here: its coverage differs from run to run, and the fuzzer would spend its time on that.
func fuzzImport(f *testing.F, table Table, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Add([]byte("\xef\xbb\xbf\"\n"))
	f.Add([]byte("a,\"b\r\nc\",\n\"\"\"\"\n\x00"))
	r := withPiles(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		parsed := &ImportError{Table: table}
		if _, err := parse(table, bytes.NewReader(file), parsed); err != nil {
			t.Fatal(err)
		}
		if len(parsed.Rows) > 0 {
			checkRows(t, parsed)
			return
		}
		before := export(t, r, table)
		done, err := r.Import(t.Context(), table, bytes.NewReader(file))
		confirmAll(t, r)
		after := export(t, r, table)
		var bad *ImportError
		switch {
		case errors.As(err, &bad):
			checkRows(t, bad)
			if len(bad.Rows) == 0 || after != before {
				t.Errorf("a refused file: %d errors, registry changed %v", len(bad.Rows), after != before)
			}
		case err != nil:
			t.Fatal(err)
		default:
			if done.Added+done.Updated+done.Removed == 0 && after != before {
				t.Errorf("nothing was imported, and the registry has changed")
			}
			if again := take(t, r, table, after); again.Added+again.Updated+again.Removed != 0 {
				t.Errorf("import of the export: got %+v, want all unchanged", again)
			}
		}
	})
}

func checkRows(t *testing.T, bad *ImportError) {
	t.Helper()
	for _, row := range bad.Rows {
		if row.Line < 1 || row.Reason == "" || !utf8.ValidString(bad.Error()+row.String()) {
			t.Errorf("error without line or reason, or not UTF-8: %+v", row)
		}
	}
}

func FuzzImportDivisions(f *testing.F) {
	fuzzImport(f, Divisions, "code,name,level,parent_code,kind,as_of\n371721101,庄寨镇,township,371721,town,2023-06-30\n", "code,name\n371721150,x\n")
}

func FuzzImportOperators(f *testing.F) { fuzzImport(f, Operators, someOperators) }

func FuzzImportStations(f *testing.F) {
	fuzzImport(f, Stations, someStations, "operator,station,township,kind,opened,lng,lat,crs\nMA3CLQP01,G,371721101,public,2023-01-01T00:00:00.5Z,116.4,39.9,gcj02\n")
}

func FuzzImportPiles(f *testing.F) { fuzzImport(f, Piles, somePiles) }

func FuzzImportTransfers(f *testing.F) { fuzzImport(f, Transfers, someTransfers) }

func FuzzImportRenames(f *testing.F) {
	fuzzImport(f, Renames, "old,new,date,document\n371721101,371721102,2024-05-01,x\n")
}

func FuzzImportExcuses(f *testing.F) { fuzzImport(f, Excuses, someExcuses) }

func FuzzImportTownships(f *testing.F) { fuzzImport(f, Townships, someTownships) }

func FuzzImportStatistics(f *testing.F) { fuzzImport(f, Statistics, someStatistics) }

func FuzzImportTargets(f *testing.F) { fuzzImport(f, TargetFile, someTargets) }
