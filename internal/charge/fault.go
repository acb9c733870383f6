package charge

import (
	_ "embed" // for the taxonomy
	"encoding/csv"
	"strings"
)

// A Fault is the platform's name of a fault.
type Fault string

// OtherFault is every fault that the taxonomy does not know; the sender's own code is kept beside it.
const OtherFault Fault = "other"

// A FaultClass is what kind of fault it is: electrical, thermal, mechanical, control, communication, metering,
// environment, vehicle, stop (somebody pressed it) or other.
type FaultClass string

// A FaultKind is what the taxonomy says of one code.
type FaultKind struct {
	Fault    Fault
	Class    FaultClass
	Severity string // notice, warning or danger, as of alarms
	Out      bool   // whether it takes a connector out of service by itself. A status of 255 does whatever the code
}

// faultFile is the taxonomy: a row a code. scheme is whose code it is: ours, OCPP 1.6 (ChargePointErrorCode), DB4403/T 77
// (AlarmCode) or YKC 1.6 (fault bits). Names are understood by themselves, numbers with their scheme before them: "t77:9", "ykc:3".
//
//go:embed faults.csv
var faultFile string

type faultTaxonomy struct {
	byCode map[string]FaultKind
	names  []Fault // ours, in the order of the file
}

var taxonomy = readTaxonomy(faultFile)

// readTaxonomy leaves out what it cannot read; that there is no such row is tested.
func readTaxonomy(file string) faultTaxonomy {
	t := faultTaxonomy{byCode: make(map[string]FaultKind)}
	rows, _ := csv.NewReader(strings.NewReader(file)).ReadAll() //nolint:errcheck // of what is embedded; a test reads it
	for _, row := range rows[min(1, len(rows)):] {
		scheme, code := row[0], row[1]
		kind := FaultKind{Fault: Fault(row[2]), Class: FaultClass(row[3]), Severity: row[4], Out: row[5] == "yes"}
		switch scheme {
		case "pilewatch":
			t.byCode[code] = kind
			t.names = append(t.names, kind.Fault)
		case "ocpp16":
			t.byCode[code], t.byCode["ocpp:"+code] = kind, kind
		default:
			t.byCode[scheme+":"+code] = kind
		}
	}
	return t
}

// Faults lists every fault by our names.
func Faults() []Fault { return taxonomy.names }

// ParseFault maps a sender's code to a fault by our names, and what is not known to OtherFault.
func ParseFault(code string) Fault { return KindOfFault(OtherFault, code).Fault }

// KindOfFault tells what the taxonomy says of a sender's code, and where it does not know it (or the sender used our
// name), of the fault.
func KindOfFault(f Fault, code string) FaultKind {
	if kind, ok := taxonomy.byCode[code]; ok {
		return kind
	}
	if kind, ok := taxonomy.byCode[string(f)]; ok {
		return kind
	}
	return taxonomy.byCode[string(OtherFault)]
}
