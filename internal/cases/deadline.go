package cases

import "time"

// Terms are the numbers of the procedure.
type Terms struct {
	SuspectedDays int // working days until a suspected case goes to the province's list
	OverdueDays   int // the same for an overdue one
	PublicDays    int // days from the posting of a public notice to its service
}

// DefaultTerms are those of judgement.md §5.
func DefaultTerms() Terms { return Terms{SuspectedDays: 10, OverdueDays: 15, PublicDays: 30} }

// A Case is what its deadlines depend on.
type Case struct {
	State     State
	Since     time.Time // when it came into State
	CheckBy   time.Time // Checking: when the test charge is due
	Served    bool
	Deadline  time.Time // of the period after service
	Escalated bool      // in this State
}

// A Passing is what comes of time alone.
type Passing struct {
	Action Action
	At     time.Time // when it was due; its record is written later
}

// Due gives what has become due by now and has not been done: the end of a period or of a check, or that
// nobody has acted. It gives the same again until it is done.
func Due(c *Case, now time.Time, cal Calendar, terms Terms) (p Passing, due bool) {
	var action Action
	var at time.Time
	switch c.State {
	case Checking:
		action, at = Suspect, c.CheckBy
	case Notified:
		if !c.Served {
			return Passing{}, false
		}
		action, at = Expire, c.Deadline
	case Suspected:
		action, at = Escalate, cal.AfterWorking(c.Since, terms.SuspectedDays)
	case Overdue:
		action, at = Escalate, cal.AfterWorking(c.Since, terms.OverdueDays)
	default:
		return Passing{}, false
	}
	return Passing{action, at}, !now.Before(at) && (action != Escalate || !c.Escalated)
}

// Lengthened is a deadline after it has been computed anew, by an extension, another calendar or a newer
// policy: once served it never becomes shorter.
func Lengthened(served, anew time.Time) time.Time {
	if anew.After(served) {
		return anew
	}
	return served
}
