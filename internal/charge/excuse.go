package charge

import "time"

// An ExcuseKind is why time is not a pile's fault (judgement.md §3).
type ExcuseKind string

// The kinds of excused time.
const (
	Maintenance    ExcuseKind = "maintenance"     // a window entered before it starts, at most 72 hours a year a pile
	GroupSilence   ExcuseKind = "group_silence"   // nearly all connectors of one credential at once
	PlatformOutage ExcuseKind = "platform_outage" // found by health itself
	PowerCut       ExcuseKind = "power_cut"       // imported, or entered with its cause
	Site           ExcuseKind = "site"            // demolition, flood, landlord: with a document
)

// An ExcuseState tells what became of a claim.
type ExcuseState string

// Only a granted excuse counts.
const (
	Claimed ExcuseState = "claimed"
	Granted ExcuseState = "granted"
	Refused ExcuseState = "refused"
)

// An Excuse is time that is claimed not to be a pile's fault. It is of one pile, of all piles of an
// operator, or of all piles in a division.
type Excuse struct {
	ID       int64
	Kind     ExcuseKind
	State    ExcuseState
	Operator OperatorID   // "" where it is of a division
	Pile     string       // "" where it is of the whole operator or of a division
	Division DivisionCode // "" where it is of a pile or an operator
	From     time.Time
	Until    time.Time // exclusive
	Cause    string
	Document string
	Entered  time.Time // by the platform's clock
	By       string    // who entered it
	Decided  time.Time // granted or refused; zero while claimed
	Judge    string    // who decided
}

// A Span is a time from From to before Until.
type Span struct{ From, Until time.Time }
