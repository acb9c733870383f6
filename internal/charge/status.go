package charge

import (
	"maps"
	"slices"
)

// A Status is what a connector says of itself, by T/CEC 102's ConnectorStatusInfo.Status.
type Status uint8

// The six codes of T/CEC 102.
const (
	Offline  Status = 0
	Idle     Status = 1
	Occupied Status = 2 // occupied and not charging
	Charging Status = 3
	Reserved Status = 4
	Faulted  Status = 255
)

// ParseStatus refuses every number that is not one of T/CEC 102's codes.
func ParseStatus(code int64) (Status, bool) {
	switch code {
	case 0, 1, 2, 3, 4, 255:
		return Status(code), true
	}
	return 0, false
}

// Usable tells whether a connector that tells this status can serve a driver now or after the
// present one: 1, 2, 3 or 4.
func (s Status) Usable() bool { return s >= Idle && s <= Reserved }

// String gives the word that the API and the page use.
func (s Status) String() string {
	switch s {
	case Offline:
		return "offline"
	case Idle:
		return "idle"
	case Occupied:
		return "occupied"
	case Charging:
		return "charging"
	case Reserved:
		return "reserved"
	case Faulted:
		return "fault"
	}
	return "invalid"
}

// A Fault is the platform's name of a fault.
type Fault string

// OtherFault is every fault that the taxonomy does not know; the sender's own code is kept beside it.
const OtherFault Fault = "other"

var faults = map[Fault]bool{
	"emergency_stop": true, "over_temperature": true, "insulation": true, "contactor": true,
	"communication": true, "metering": true, "over_voltage": true, "under_voltage": true,
	"over_current": true, "leakage": true, "door_open": true, "flood": true, "smoke": true,
	"vehicle": true, OtherFault: true,
}

// Faults lists every fault, by name.
func Faults() []Fault { return slices.Sorted(maps.Keys(faults)) }

// ParseFault maps a sender's code to a known fault, and what is not known to OtherFault.
func ParseFault(code string) Fault {
	if f := Fault(code); faults[f] {
		return f
	}
	return OtherFault
}
