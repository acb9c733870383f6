package dashboard

import (
	"encoding/json"
	"fmt"
	"sync"

	"pilewatch/internal/charge"
)

// listsKept bounds the answers that are kept ready: one of the whole province is half a MiB.
const listsKept = 16

// A listKey is all that a list of townships depends on, beside the edition of coverage. Who may see a division's list
// was decided before: it is the same for all of them.
type listKey struct {
	division             charge.DivisionCode
	tier                 tier
	state                charge.CoverageState
	reason, sort, cursor string
	limit                int
}

// A readyList is an answer as it is sent; packed is nil where compressing is not worth it.
type readyList struct{ text, packed []byte }

// lists keeps answers of one edition of coverage, each encoded and compressed once for all askers. It is safe for
// concurrent use.
type lists struct {
	mu      sync.Mutex
	edition uint64
	ready   map[listKey]*readyList
}

// get gives the list that is ready, or makes it. edition is of before it is made, so that what changes meanwhile has it
// made anew for the next asker.
func (l *lists) get(edition uint64, key listKey, answer func() (any, error)) (*readyList, error) {
	if list := l.find(edition, key); list != nil {
		return list, nil
	}
	data, err := answer()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	list := &readyList{text, pack(text)}
	l.keep(edition, key, list)
	return list, nil
}

func (l *lists) find(edition uint64, key listKey) *readyList {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.edition != edition {
		return nil
	}
	return l.ready[key]
}

func (l *lists) keep(edition uint64, key listKey, list *readyList) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if edition < l.edition {
		return
	}
	if edition > l.edition || l.ready == nil || len(l.ready) >= listsKept {
		l.edition, l.ready = edition, map[listKey]*readyList{}
	}
	l.ready[key] = list
}
