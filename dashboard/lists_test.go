package dashboard

import (
	"errors"
	"testing"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
)

func TestAListIsMadeOnceForEachEdition(t *testing.T) {
	var l lists
	made := 0
	ask := func(edition uint64, key listKey) string {
		list, err := l.get(edition, key, func() (any, error) { made++; return made, nil })
		if err != nil {
			t.Fatal(err)
		}
		return string(list.text)
	}
	here, there := listKey{division: "37"}, listKey{division: "3717"}
	for _, c := range []struct {
		name    string
		edition uint64
		key     listKey
		want    string
	}{
		{"the first asker has it made", 1, here, "1"},
		{"the second gets the same", 1, here, "1"},
		{"another division is another list", 1, there, "2"},
		{"a change has it made anew", 2, here, "3"},
		{"what was asked before the change does not take its place", 1, here, "4"},
		{"the newest stays", 2, here, "3"},
	} {
		if got := ask(c.edition, c.key); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	for n := range 3 * listsKept {
		ask(2, listKey{limit: n})
	}
	if n := len(l.ready); n > listsKept {
		t.Errorf("kept %d lists, want %d at most", n, listsKept)
	}
	bad := errors.New("no")
	if _, err := l.get(3, there, func() (any, error) { return nil, bad }); !errors.Is(err, bad) {
		t.Errorf("a list that cannot be made: got %v, want its error", err)
	}
}

// What the API gives is always of the newest state, and of who asks for what.
func TestReadyListsFollowWhatChanges(t *testing.T) {
	s := openSite(t, Config{Public: true}, func(s *site) { told(t, s) })
	of := func(query string) (states map[charge.DivisionCode]charge.CoverageState) {
		var v struct{ Townships []townshipView }
		s.get(t, "/api/v1/townships?"+query, &v)
		states = map[charge.DivisionCode]charge.CoverageState{}
		for _, row := range v.Townships {
			states[row.Division] = row.State
		}
		return states
	}
	const town = "371721101"
	before := of("division=371721")[town]
	if of("division=371721&state=" + string(before))[town] != before || of("division=370102")[town] != "" {
		t.Fatal("lists by state and division are not of what was asked for")
	}
	to := charge.Failing
	if before == to {
		to = charge.None
	}
	s.feed.publish(journal.Change{At: noon, Townships: []charge.TownshipState{{Township: town, State: to, Reason: "all_fault"}}})
	eventually(t, "the list has the change", func() bool { return of("division=371721")[town] == to })
}
