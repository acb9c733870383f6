package charge

import (
	"slices"
	"time"
)

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
	Why      string    // in the words of who decided; may be ""
}

// A Span is a time from From to before Until.
type Span struct{ From, Until time.Time }

// Overlap is how long two spans last together, 0 where they are apart.
func (s Span) Overlap(o Span) time.Duration {
	return max(0, earlierOf(s.Until, o.Until).Sub(laterOf(s.From, o.From)))
}

// WithinYearlyLimit parts the time of excuses of one kind and one pile into what counts and what is
// over the limit of a calendar year (Asia/Shanghai), the earliest first. Time that two of them share
// is used once. Both parts are sorted and apart.
func WithinYearlyLimit(excuses []Excuse, limit time.Duration) (counting, over []Span) {
	spans := make([]Span, 0, len(excuses))
	for _, e := range excuses {
		if e.Until.After(e.From) {
			spans = append(spans, Span{e.From, e.Until})
		}
	}
	slices.SortFunc(spans, func(a, b Span) int { return a.From.Compare(b.From) })
	var done time.Time // all before is dealt with
	used := make(map[int]time.Duration)
	for _, s := range spans {
		for at := laterOf(s.From, done); at.Before(s.Until); {
			year := at.In(Zone).Year()
			until := earlierOf(s.Until, time.Date(year+1, 1, 1, 0, 0, 0, 0, Zone))
			if left := limit - used[year]; left > 0 {
				until = earlierOf(until, at.Add(left))
				counting = appendSpan(counting, Span{at, until})
				used[year] += until.Sub(at)
			} else {
				over = appendSpan(over, Span{at, until})
			}
			at, done = until, until
		}
	}
	return counting, over
}

// appendSpan joins a span with the last one where they touch.
func appendSpan(spans []Span, s Span) []Span {
	if n := len(spans); n > 0 && spans[n-1].Until.Equal(s.From) {
		spans[n-1].Until = s.Until
		return spans
	}
	return append(spans, s)
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlierOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
