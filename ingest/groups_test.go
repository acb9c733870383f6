package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/charge"
	"pilewatch/internal/policy"
	"pilewatch/internal/registry"
)

// silences is a registry of operators whose connectors were last heard so long before begin; those in
// speaking are heard now.
type silences struct {
	silent   map[charge.OperatorID][]time.Duration
	speaking map[charge.OperatorID]int
	excuses  []charge.Excuse
}

func (s *silences) Silences(_ context.Context, since time.Time) (map[charge.OperatorID][]registry.Silence, error) {
	all := make(map[charge.OperatorID][]registry.Silence)
	for operator, ago := range s.silent {
		for i, d := range ago {
			if at := begin.Add(-d); at.After(since) {
				key := charge.ConnectorKey{Pile: charge.PileID{Operator: operator, Equipment: fmt.Sprint(i)}, Connector: "1"}
				all[operator] = append(all[operator], registry.Silence{Key: key, LastHeard: at})
			}
		}
	}
	return all, nil
}

func (s *silences) Speaking(_ context.Context, operator charge.OperatorID) (int, error) {
	return s.speaking[operator], nil
}

func (s *silences) OpenExcuses(_ context.Context, now time.Time) ([]charge.Excuse, error) {
	return slices.DeleteFunc(slices.Clone(s.excuses), func(e charge.Excuse) bool { return !e.Until.After(now) }), nil
}

func (s *silences) FoundExcuse(_ context.Context, e charge.Excuse) error {
	e.ID = int64(len(s.excuses) + 1)
	s.excuses = append(s.excuses, e)
	return nil
}

func (s *silences) EndExcuse(_ context.Context, id int64, until time.Time) error {
	s.excuses[id-1].Until = until
	return nil
}

// together are n connectors last heard within a minute so long ago.
func together(n int, ago time.Duration) []time.Duration {
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = ago + time.Duration(i)*time.Minute/time.Duration(n)
	}
	return all
}

func (s *silences) groups() *groups {
	return &groups{
		store: s, policies: func() policy.Policies { return policy.Policies{policy.Default()} },
		pile:   func(charge.PileID) (*registry.Pile, bool) { return nil, false },
		places: func() []charge.Division { return []charge.Division{{Code: "37"}} },
		slog:   slog.New(slog.DiscardHandler), open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "open"}),
	}
}

func TestGroupSilences(t *testing.T) {
	type operators = map[charge.OperatorID][]time.Duration
	tests := []struct {
		name     string
		silent   operators
		speaking map[charge.OperatorID]int
		want     []string
	}{
		{"an operator's broker is away", operators{"A": together(95, 20*time.Minute)}, map[charge.OperatorID]int{"A": 5}, []string{"group_silence A -21m"}},
		{"ten in a hundred are still heard", operators{"A": together(90, 20*time.Minute)}, map[charge.OperatorID]int{"A": 10}, nil},
		{"12 connectors of a small operator", operators{"A": together(12, 20*time.Minute)}, nil, []string{"group_silence A -21m"}},
		{"four connectors are no group", operators{"A": together(4, 20*time.Minute)}, nil, nil},
		{"they fell silent one after the other", operators{"A": {20 * time.Minute, 40 * time.Minute, 60 * time.Minute, 80 * time.Minute, 100 * time.Minute, 120 * time.Minute}}, nil, nil},
		{
			"long-dead piles are not counted among them",
			operators{"A": append(together(20, 20*time.Minute), together(30, 20*time.Hour)...)},
			nil,
			[]string{"group_silence A -21m"},
		},
		{
			"half of the connectors of three operators",
			operators{"A": together(60, 20*time.Minute), "B": together(60, 20*time.Minute), "C": together(60, 20*time.Minute)},
			map[charge.OperatorID]int{"A": 40, "B": 40, "C": 40},
			[]string{"platform_outage 37 -21m"},
		},
		{
			"half of the connectors of two operators",
			operators{"A": together(60, 20*time.Minute), "B": together(60, 20*time.Minute)},
			map[charge.OperatorID]int{"A": 40, "B": 40},
			nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &silences{silent: tt.silent, speaking: tt.speaking}
			for range 2 { // looked at twice, it is the same
				if err := s.groups().look(t.Context(), begin); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, e := range s.excuses {
				got = append(got, fmt.Sprintf("%s %s%s %.0fm", e.Kind, e.Operator, e.Division, e.From.Sub(begin).Minutes()))
			}
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("excuses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAGroupSilenceEnds(t *testing.T) {
	s := &silences{silent: map[charge.OperatorID][]time.Duration{"A": together(40, 20*time.Minute)}, speaking: map[charge.OperatorID]int{"A": 2}}
	g := s.groups()
	look := func(after time.Duration) {
		t.Helper()
		if err := g.look(t.Context(), begin.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	look(0)
	s.silent["A"], s.speaking["A"] = append(s.silent["A"], -5*time.Hour, -6*time.Hour), 0 // the two that were left fall silent, too
	look(30 * time.Hour)
	if len(s.excuses) != 1 || !s.excuses[0].Until.After(begin.Add(30*time.Hour)) {
		t.Fatalf("after 30 hours: got %+v, want the one excuse to go on", s.excuses)
	}
	s.silent["A"], s.speaking["A"] = together(30, 20*time.Minute), 12
	look(31 * time.Hour)
	if want := begin.Add(31 * time.Hour); len(s.excuses) != 1 || !s.excuses[0].Until.Equal(want) {
		t.Errorf("after they are heard again: got %+v, want it to end at %s", s.excuses, want)
	}
	look(32 * time.Hour)
	if len(s.excuses) != 1 {
		t.Errorf("an hour later: got %d excuses, want no new one of those that stay silent", len(s.excuses))
	}
}
