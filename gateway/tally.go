package gateway

import (
	"sync"
	"time"
)

// tellEvery is how often a cause that goes on is told again.
const tellEvery = time.Minute

// A tally tells of what may happen a thousand times a second: one line a cause, at once, and then
// one a minute with a count for as long as it goes on. There must be few causes.
type tally struct {
	say func(cause string, count int, last []any) // writes the line; last is what belongs to the last one

	mu     sync.Mutex
	causes map[string]*tallied
}

type tallied struct {
	since time.Time // it was told
	count int       // since then
	last  []any
}

func newTally(say func(cause string, count int, last []any)) *tally {
	return &tally{say: say, causes: make(map[string]*tallied)}
}

// add counts n more, with keys and values for the line.
func (t *tally) add(now time.Time, cause string, n int, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.causes[cause]
	if c == nil {
		t.causes[cause] = &tallied{since: now}
		t.say(cause, n, args)
		return
	}
	c.count += n
	c.last = args
}

// sweep tells what is due, and forgets what has ended. all tells everything, at the end.
func (t *tally) sweep(now time.Time, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for cause, c := range t.causes {
		if now.Sub(c.since) < tellEvery && !all {
			continue
		}
		if c.count == 0 {
			delete(t.causes, cause)
			continue
		}
		t.say(cause, c.count, c.last)
		c.since, c.count, c.last = now, 0, nil
	}
}
