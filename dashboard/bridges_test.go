package dashboard

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/journal"
)

func TestBridgesOfGatewaysThatFallSilent(t *testing.T) {
	at := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	up := func(name, operator string) journal.BridgeState {
		return journal.BridgeState{Bridge: name, Operator: operator, Broker: "tcp://b:1883", Up: true, Since: at}
	}
	var b bridges
	if got := b.list(at); len(got) != 0 {
		t.Errorf("before anybody spoke: %+v", got)
	}
	b.add(journal.Bridges{Gateway: "one", Bridges: []journal.BridgeState{up("one-A-1", "A"), up("one-B-1", "B")}}, at)
	b.add(journal.Bridges{Gateway: "one", Bridges: []journal.BridgeState{up("one-B-1", "B")}}, at) // takes the place of the first
	b.add(journal.Bridges{Gateway: "two", Bridges: []journal.BridgeState{up("two-C-1", "C")}}, at.Add(time.Minute))
	type row struct {
		name      string
		up, stale bool
	}
	for _, tt := range []struct {
		after time.Duration
		want  []row
	}{
		{0, []row{{"one-B-1", true, false}, {"two-C-1", true, false}}},
		{time.Minute, []row{{"one-B-1", false, true}, {"two-C-1", true, false}}},
		{2 * time.Minute, []row{{"one-B-1", false, true}, {"two-C-1", false, true}}},
	} {
		var got []row
		for _, v := range b.list(at.Add(tt.after)) {
			got = append(got, row{v.Bridge, v.Up, v.Stale})
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(row{})); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", tt.after, diff)
		}
	}
	b.add(journal.Bridges{Gateway: "three"}, at.Add(25*time.Hour))
	if got := b.list(at.Add(25 * time.Hour)); len(got) != 0 {
		t.Errorf("after a day they are still listed: %+v", got)
	}
}
