package dashboard

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// gathered gives a gauge's values by its labels' values, joined by commas.
func gathered(t *testing.T, from prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != name || f.GetType() != dto.MetricType_GAUGE {
			continue
		}
		for _, m := range f.Metric {
			key := ""
			for _, l := range m.Label {
				key += "," + l.GetValue()
			}
			values[key[1:]] = m.Gauge.GetValue()
		}
	}
	return values
}

func TestHowOperatorsAndCasesStandIsToldForAlerts(t *testing.T) {
	day := time.Now().AddDate(0, 0, -2)
	s := openSite(t, Config{}, func(s *site) {
		s.suspect(t)
		sum := func(day time.Time, kind charge.StationKind, operator charge.OperatorID, usable, excused, out int64) registry.DaySum {
			return registry.DaySum{
				Partition: 1, Day: day, Frozen: true, SumKey: registry.SumKey{County: "371721", Operator: operator, Kind: kind},
				MinuteSum: registry.MinuteSum{Connectors: 1, Usable: usable, Excused: excused, Out: out},
			}
		}
		if err := s.registry.SaveHealth(t.Context(), 1, 1, &registry.Health{Sums: []registry.DaySum{
			sum(day, charge.Public, "MA3CLQP01", 900, 240, 300),
			sum(day, charge.Residential, "MA3CLQP01", 0, 0, 1440),               // nobody's public station
			sum(day.AddDate(0, 0, -60), charge.Public, "MA3CLQP01", 0, 0, 1440), // too long ago
		}}); err != nil {
			t.Fatal(err)
		}
	})
	eventually(t, "it is read", func() bool { return len(gathered(t, s.metrics, "pilewatch_cases")) > 0 })
	cases := gathered(t, s.metrics, "pilewatch_cases")
	if n := cases["3717,菏泽市,suspected"]; n != 1 {
		t.Errorf("suspected in Heze: got %v of %v, want 1", n, cases)
	}
	if n, ok := cases["3701,济南市,overdue"]; n != 0 || !ok || len(cases) != 16*7 {
		t.Errorf("got %d series, overdue in Jinan %v %v, want a series a city and state", len(cases), n, ok)
	}
	for name, want := range map[string]map[string]float64{
		"pilewatch_operator_due_seconds":    {"MA3CLQP01": 1200 * 60, "MA3CLQP02": 0},
		"pilewatch_operator_usable_seconds": {"MA3CLQP01": 900 * 60, "MA3CLQP02": 0},
	} {
		got := gathered(t, s.metrics, name)
		for operator, v := range want {
			if n, ok := got[operator]; n != v || !ok {
				t.Errorf("%s of %s: got %v %v, want %v", name, operator, n, ok, v)
			}
		}
	}
}
