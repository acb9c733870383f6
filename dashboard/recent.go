package dashboard

import (
	"slices"
	"strings"
	"sync"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
)

// recent holds the last events and rejects, bounded. It is safe for concurrent use.
type recent struct {
	mu      sync.RWMutex
	events  []numbered // oldest first
	base    uint64     // every event after this version is still here
	begun   bool       // something has come since the events were forgotten
	last    uint64     // every event up to this version has come
	rejects []journal.Reject
	unknown unknownPiles
}

// A numbered event knows the sequence in CHANGES that brought it.
type numbered struct {
	seq   uint64
	event charge.Event
}

// restart says that the events after version are to come, some of them again, of a log that ends at
// last. Those that are here stay where they join; of another log, or over a gap, they are forgotten.
func (r *recent) restart(version, last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun && version <= r.last && r.last <= last {
		return
	}
	r.events, r.base, r.begun, r.last = nil, version, false, version
}

// addEvents takes the events of a change in. Where the log no longer holds what restart announced,
// the first change that comes says from where on events are here.
func (r *recent) addEvents(seq uint64, events []charge.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq <= r.last {
		return // it is here
	}
	r.last = seq
	if !r.begun {
		r.begun, r.base = true, max(r.base, seq-1)
	}
	for _, e := range events {
		r.events = append(r.events, numbered{seq, e})
	}
	if over := len(r.events) - keepEvents; over > 0 {
		r.base = r.events[over-1].seq
		r.events = slices.Delete(r.events, 0, over)
	}
}

// eventsOf gives at most limit events within a division, that are wanted, with after < seq <= upTo,
// newest first. ok is false where some of those after that version are no longer here.
func (r *recent) eventsOf(want func(*charge.Event) bool, within charge.DivisionCode, after, upTo uint64, limit int) (events []charge.Event, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	events = []charge.Event{}
	for i := len(r.events) - 1; i >= 0 && r.events[i].seq > after && len(events) < limit; i-- {
		if e := &r.events[i].event; r.events[i].seq <= upTo && e.Township.Within(within) && want(e) {
			events = append(events, *e)
		}
	}
	return events, after >= r.base
}

func (r *recent) addReject(reject journal.Reject) {
	r.unknown.add(&reject)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejects = append(r.rejects, reject)
	if over := len(r.rejects) - keepRejects; over > 0 {
		r.rejects = slices.Delete(r.rejects, 0, over)
	}
}

func (r *recent) forgetRejects() {
	r.unknown.forget()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejects = nil
}

// operatorOf tells whose pile an event is of, "" of none.
func operatorOf(e *charge.Event) charge.OperatorID {
	if e.Operator != "" {
		return e.Operator
	}
	operator, _, _ := strings.Cut(e.Pile, ":")
	return charge.OperatorID(operator)
}

// rejectsOf gives the newest rejects that are wanted, of an operator ("" for all) and reason ("" for
// all), and how many messages each reason stands for among all that are kept and wanted of that operator.
func (r *recent) rejectsOf(operator, reason string, limit int, want func(*journal.Reject) bool) (rejects []journal.Reject, totals map[string]int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	rejects, totals = []journal.Reject{}, map[string]int{}
	for i := len(r.rejects) - 1; i >= 0; i-- {
		reject := &r.rejects[i]
		if operator != "" && reject.Operator != operator || !want(reject) {
			continue
		}
		totals[reject.Reason] += max(reject.Count, 1)
		if (reason == "" || reject.Reason == reason) && len(rejects) < limit {
			rejects = append(rejects, *reject)
		}
	}
	return rejects, totals
}
