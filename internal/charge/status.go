package charge

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
