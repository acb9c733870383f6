package health

// A Clock is how far a pile's own clock is behind the gateway's, and so which of its messages come
// late: were stored in the pile and forwarded. The offset is the least delay (received - time) that
// is believed. It follows at once where a message shows it to be less; it rises only when for
// ten minutes nothing came with a smaller delay and time passed in the messages as it did here, so that
// a backlog, whose delay shrinks, is not taken for a clock that is behind. Docs: docs/health.md.
//
// Instants are Unix milliseconds by the gateway's clock, 0 for never.
type Clock struct {
	Known       bool
	Offset      int64 // ms that the pile's clock is behind; negative ahead
	Since       int64 // the clock was another before; 0 for the first
	At          int64 // the newest message that came in time was received
	DoubtAt     int64 // a message was received that is late, or the first of a clock set back; nothing came in time since
	DoubtOffset int64 // the offset that it would have, in ms

	BeforeOffset int64 // of the clock before this one, by which what is still pending from then is judged
	BeforeAt     int64
}

const (
	lateAfter     = minuteMS      // of delay beyond the clock's offset
	believedAfter = 10 * minuteMS // a clock that was set back
)

// A timing is how a message stands to its pile's clock.
type timing uint8

const (
	inTime  timing = iota
	suspect        // late, or the clock was set back
	earlier        // received before the pile's clock was known anew: a repeat, or out of order
)

// time tells whether a message of that own time came in time, and learns from it.
func (k *Clock) time(received, at int64) timing {
	delay := received - at
	switch {
	case !k.Known:
		k.Known = true
		k.set(received, delay)
		k.Since = 0
		return inTime
	case received < k.Since:
		return earlier
	case received == k.Since:
		return inTime
	case delay < k.Offset-lateAfter:
		if received > k.At {
			k.set(received, delay)
		}
		return inTime
	case delay <= k.Offset+lateAfter:
		k.At = max(k.At, received)
		if received >= k.DoubtAt {
			k.DoubtAt, k.DoubtOffset = 0, 0
		}
		return inTime
	}
	if received <= k.At {
		return suspect
	}
	switch {
	case k.DoubtAt == 0 || delay < k.DoubtOffset-lateAfter:
		k.DoubtAt, k.DoubtOffset = received, delay
	case delay <= k.DoubtOffset+lateAfter && received-k.DoubtAt >= believedAfter:
		k.set(received, delay)
		return inTime
	}
	return suspect
}

// set takes the clock for another from received on.
func (k *Clock) set(received, offset int64) {
	k.BeforeOffset, k.BeforeAt = k.Offset, k.At
	k.Offset, k.Since, k.At, k.DoubtAt, k.DoubtOffset = offset, received, max(k.At, received), 0, 0
}

// event is when a message was sent, by the gateway's clock to a minute's rounding of the offset, so
// that its jitter does not move messages about.
func (k *Clock) event(at int64) int64 { return onOurClock(at, k.Offset) }

func onOurClock(at, offset int64) int64 { return at + floorDiv(offset+minuteMS/2, minuteMS)*minuteMS }

// decide tells whether something has come in time since a suspect word, so that its pile's clock is known; and if
// it was late by that clock, what it tells.
func (k *Clock) decide(p Pending) (w Word, late, known bool) {
	offset := k.Offset
	switch {
	case k.BeforeAt >= p.Received:
		offset = k.BeforeOffset
	case k.At < p.Received:
		return 0, false, false
	}
	return word(onOurClock(p.At, offset), p.Tail), p.Received-p.At > offset+lateAfter, true
}
