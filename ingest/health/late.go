package health

import (
	"cmp"
	"slices"

	"pilewatch/internal/charge"
)

// Late is what a connector told late: a set, so that the order in which it came is of no account. Of
// each minute the last told counts, by the pile's own time, then by number.
type Late struct {
	Words   []Word    // sorted; at most one for the minutes between two first instants
	Pending []Pending // suspect, and nothing has come in time since; sorted by minute of At
}

// A Word is a status told at an instant: ms since 2020 << 23 | 21 bits of the number << 2 | class.
type Word uint64

// Pending is a word that may be late or of a clock set back.
type Pending struct {
	At, Received int64  // Unix ms, by the pile's clock and the gateway's
	Tail         uint32 // the lower 23 bits of its Word
}

const (
	wordEpoch  = 1_577_836_800_000 // 2020-01-01, Unix ms
	wordTail   = 23
	wordsAhead = 8 // room for so many words more before those are looked for that can go
)

// classes are what a late word says of a minute, by the lowest bits of a Word.
var classes = [4]Minute{Usable, Out, Fault, Usable}

func tail(status charge.Status, seq uint64) uint32 {
	class := uint32(0)
	switch status {
	case charge.Offline:
		class = 1
	case charge.Faulted:
		class = 2
	}
	return uint32(seq&(1<<21-1))<<2 | class //nolint:gosec // 21 bits
}

func word(at int64, tail uint32) Word {
	return Word(max(at-wordEpoch, 0))<<wordTail | Word(tail) //nolint:gosec // not negative
}

func (w Word) at() int64    { return int64(w>>wordTail) + wordEpoch } //nolint:gosec // 41 bits
func (w Word) kind() Minute { return classes[w&3] }

// add puts a word into its minute, unless a later one is there.
func addWord(words []Word, w Word) []Word {
	i, found := slices.BinarySearchFunc(words, before(w.at()), func(o Word, m int32) int { return cmp.Compare(before(o.at()), m) })
	if found {
		words[i] = max(words[i], w)
		return words
	}
	return slices.Insert(words, i, w)
}

// hold keeps a suspect word until it is known what it was.
func (l *Late) hold(p Pending) {
	i, found := slices.BinarySearchFunc(l.Pending, before(p.At), func(o Pending, m int32) int { return cmp.Compare(before(o.At), m) })
	if !found {
		l.Pending = slices.Insert(l.Pending, i, p)
		return
	}
	o := &l.Pending[i]
	if cmp.Or(cmp.Compare(p.At, o.At), cmp.Compare(p.Tail, o.Tail), cmp.Compare(o.Received, p.Received)) > 0 {
		*o = p
	}
}

// late takes a suspect status or telemetry. What tells no status tells nothing here.
func (s *State) late(p *Pile, c *Connector, r *charge.Reading) Taken {
	at, received := r.At.UnixMilli(), r.Received.UnixMilli()
	event := p.Clock.event(at)
	if received-event > s.policy.Lateness.Milliseconds() || before(event) < c.Freed {
		return TooLate
	}
	status := r.Status
	if !r.Tells(charge.HasStatus) {
		if !r.Tells(charge.HasPower) || r.PowerKW == 0 {
			return ComeLate
		}
		status = charge.Charging
	}
	if c.Late == nil {
		c.Late = &Late{}
	}
	c.Late.hold(Pending{At: at, Received: received, Tail: tail(status, r.Seq)})
	if p.Clock.At >= received {
		s.resolve(p, c)
	}
	return ComeLate
}

// resolve makes words of what was suspect and is known to have been late.
func (s *State) resolve(p *Pile, c *Connector) {
	l := c.Late
	if l == nil || len(l.Pending) == 0 {
		return
	}
	l.Pending = slices.DeleteFunc(l.Pending, func(w Pending) bool {
		told, late, known := p.Clock.decide(w)
		if late {
			if len(l.Words) == cap(l.Words) && len(l.Words) >= wordsAhead {
				s.thin(c)
			}
			l.Words = addWord(l.Words, told)
		}
		return known
	})
	if len(l.Pending) == 0 {
		l.Pending = nil
	}
}

// words gives all that is known to have come late, of which some may still be held as pending.
func (s *State) words(p *Pile, c *Connector) []Word {
	if c.Late == nil {
		return nil
	}
	words := c.Late.Words
	if len(c.Late.Pending) > 0 {
		words = slices.Clone(words)
		for _, w := range c.Late.Pending {
			if told, late, _ := p.Clock.decide(w); late {
				words = addWord(words, told)
			}
		}
	}
	return words
}

// thin lets go of the late words that can change nothing: every minute that they could reach is known by
// what came in time.
func (s *State) thin(c *Connector) {
	l := &c.Ledger
	l.Late.Words = slices.DeleteFunc(l.Late.Words, func(w Word) bool {
		from, until := before(w.at()), after(w.at()+s.holds(c))
		switch {
		case until <= l.Freed:
			return true
		case until > l.Until, from < l.From:
			return false
		}
		for _, o := range s.outages {
			if o.From < int64(until)*minuteMS && o.Until > int64(from)*minuteMS {
				return false
			}
		}
		end := l.Until
		for i := len(l.Runs) - 1; i >= 0 && end > from; i-- {
			begin := end - l.Runs[i].minutes()
			if k := l.Runs[i].kind(); begin < until && (k == Unknown || k == Silent) {
				return false
			}
			end = begin
		}
		return true
	})
}

// free lets go of the words told before ms, and tells whether nothing is left.
func (l *Late) free(ms int64) (empty bool) {
	if kept := slices.DeleteFunc(l.Words, func(w Word) bool { return w.at() < ms }); cap(kept) > 2*len(kept) {
		l.Words = slices.Clone(kept)
	} else {
		l.Words = kept
	}
	l.Pending = slices.DeleteFunc(l.Pending, func(p Pending) bool { return p.Received < ms })
	return len(l.Words)+len(l.Pending) == 0
}
