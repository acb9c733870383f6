package charge

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTheTaxonomyKnowsEveryCodeOfItsSchemes(t *testing.T) {
	rows, err := csv.NewReader(strings.NewReader(faultFile)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	classes := []string{"electrical", "thermal", "mechanical", "control", "communication", "metering", "environment", "vehicle", "stop", "other"}
	count, seen := map[string]int{}, map[string]bool{}
	for i, row := range rows[1:] {
		count[row[0]]++
		if seen[row[0]+row[1]] || !slices.Contains(Faults(), Fault(row[2])) || !slices.Contains(classes, row[3]) ||
			!slices.Contains([]string{"notice", "warning", "danger"}, row[4]) || row[5] != "yes" && row[5] != "no" {
			t.Errorf("line %d: %v is there twice or has an unknown word", i+2, row)
		}
		seen[row[0]+row[1]] = true
	}
	// Ours of the payload's page; 16 of OCPP 1.6; 31 + 22 + 6 of DB4403/T 77; 12 of YKC 1.6.
	want := map[string]int{"pilewatch": 15, "ocpp16": 16, "t77": 59, "ykc": 12}
	if fmt.Sprint(count) != fmt.Sprint(want) {
		t.Errorf("codes by scheme: got %v, want %v", count, want)
	}
	for n := 1; n <= 31; n++ {
		if !seen[fmt.Sprint("t77", n)] {
			t.Errorf("AlarmCode %d is missing", n)
		}
	}
}

func TestASendersCodeIs(t *testing.T) {
	for _, tt := range []struct {
		code string
		want FaultKind
	}{
		{"insulation", FaultKind{"insulation", "electrical", "danger", true}},
		{"GroundFailure", FaultKind{"leakage", "electrical", "danger", true}},
		{"ocpp:WeakSignal", FaultKind{"communication", "communication", "notice", false}},
		{"t77:9", FaultKind{"smoke", "thermal", "danger", true}},
		{"t77:122", FaultKind{"vehicle", "vehicle", "warning", false}},
		{"ykc:3", FaultKind{"over_temperature", "thermal", "danger", true}},
		{"9", FaultKind{"other", "other", "warning", true}}, // of which scheme?
		{"E-217", FaultKind{"other", "other", "warning", true}},
		{"", FaultKind{"other", "other", "warning", true}},
	} {
		if got := KindOfFault(OtherFault, tt.code); got != tt.want || ParseFault(tt.code) != tt.want.Fault {
			t.Errorf("%q: got %+v and %s, want %+v", tt.code, got, ParseFault(tt.code), tt.want)
		}
	}
	if got := KindOfFault("smoke", "their own word"); got.Severity != "danger" {
		t.Errorf("a code that is not known, of a fault that is: got %+v", got)
	}
}
