package ingest

import (
	"context"
	"errors"
	"testing"
	"time"
)

// pruneCalls says at each call what comes next.
type pruneCalls []error

var errMore = errors.New("more")

func (p *pruneCalls) PruneDays(context.Context, time.Time) (more bool, err error) {
	next := (*p)[0]
	*p = (*p)[1:]
	if errors.Is(next, errMore) {
		return true, nil
	}
	return false, next
}

func TestOldDaysAreRemovedUntilNoneIsLeft(t *testing.T) {
	calls := pruneCalls{errMore, errMore, nil, errMore}
	if err := (&tidier{pruner: &calls}).prune(t.Context(), midnight); err != nil || len(calls) != 1 {
		t.Errorf("got %v with %d calls left, want none and 1", err, len(calls))
	}
	broken := errors.New("broken")
	calls = pruneCalls{errMore, broken, errMore}
	if err := (&tidier{pruner: &calls}).prune(t.Context(), midnight); !errors.Is(err, broken) || len(calls) != 1 {
		t.Errorf("got %v with %d calls left, want the error and 1", err, len(calls))
	}
}
