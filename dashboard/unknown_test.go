package dashboard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/journal"
)

func TestUnknownPiles(t *testing.T) {
	at := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	var u unknownPiles
	for i, r := range []journal.Reject{
		{Operator: "A", Pile: "P1", Reason: "unknown_pile", Topic: "a", Sample: "first", Count: 1},
		{Operator: "A", Pile: "P2", Reason: "bad_json", Topic: "b", Count: 1},
		{Operator: "B", Pile: "P1", Reason: "unknown_pile", Topic: "c", Count: 1},
		{Operator: "A", Pile: "P1", Reason: "unknown_pile", Topic: "d", Count: 40}, // a minute's rest, without a sample
		{Operator: "A", Reason: "unknown_pile", Topic: "e", Count: 7},              // of a flood, without names
	} {
		r.At = at.Add(time.Duration(i) * time.Minute)
		u.add(&r)
	}
	one := unknownPile{ID: "A:P1", Operator: "A", Pile: "P1", First: at, Last: at.Add(3 * time.Minute), Count: 41, Topic: "d", Sample: "first"}
	two := unknownPile{ID: "B:P1", Operator: "B", Pile: "P1", First: at.Add(2 * time.Minute), Last: at.Add(2 * time.Minute), Count: 1, Topic: "c"}
	for operator, want := range map[string][]unknownPile{"": {one, two}, "A": {one}, "B": {two}, "C": nil} {
		got, beyond := u.list(operator)
		if diff := cmp.Diff(want, got); diff != "" || beyond != 7 {
			t.Errorf("of %q, %d beyond, want 7 (-want +got):\n%s", operator, beyond, diff)
		}
	}
	u.forget()
	if got, beyond := u.list(""); got != nil || beyond != 0 {
		t.Errorf("forgotten: got %v and %d beyond", got, beyond)
	}
}

func TestUnknownPilesAreBounded(t *testing.T) {
	var u unknownPiles
	const operators = 2 + unknownAtMost/unknownOfOperator
	for o := range operators {
		for i := range unknownOfOperator + 10 {
			u.add(&journal.Reject{Operator: fmt.Sprint("O", o), Pile: fmt.Sprint("P", i), Reason: "unknown_pile", Sample: strings.Repeat("充", 400)})
		}
	}
	all, beyond := u.list("")
	if len(all) != unknownAtMost || len(all)+beyond != operators*(unknownOfOperator+10) {
		t.Errorf("%d are listed and %d beyond, want %d and the rest", len(all), beyond, unknownAtMost)
	}
	if got, _ := u.list("O0"); len(got) != unknownOfOperator {
		t.Errorf("%d of one operator, want %d", len(got), unknownOfOperator)
	}
	if n := len(all[0].Sample); n == 0 || n > unknownSampleBytes {
		t.Errorf("a sample of %d bytes, want %d at most", n, unknownSampleBytes)
	}
}
