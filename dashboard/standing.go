package dashboard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/availability"
	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

const (
	standingEvery = 5 * time.Minute
	standingDays  = 30
)

var (
	casesMetric = prometheus.NewDesc("pilewatch_cases", "Cases of long-failed piles that are not at their end, by city and state.",
		[]string{"division", "name", "state"}, nil)
	dueMetric = prometheus.NewDesc("pilewatch_operator_due_seconds",
		"Time of the last 30 days in which an operator's public connectors were in service and not excused, in all.", []string{"operator"}, nil)
	usableMetric = prometheus.NewDesc("pilewatch_operator_usable_seconds", "Of pilewatch_operator_due_seconds, the time in which they were usable.",
		[]string{"operator"}, nil)
)

// A standing is how operators and cases stand, for alerts: read from the registry every few minutes, since both move by
// the day.
type standing struct {
	mu        sync.Mutex
	read      bool
	cities    []charge.Division
	cases     map[charge.DivisionCode]map[cases.State]int
	operators map[charge.OperatorID]availability.Figure
}

// Describe implements prometheus.Collector.
func (s *standing) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{casesMetric, dueMetric, usableMetric} {
		to <- d
	}
}

// Collect implements prometheus.Collector: a series a city and state, and two an operator.
func (s *standing) Collect(to chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.read {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, city := range s.cities {
		for _, state := range cases.RunningStates() {
			gauge(casesMetric, float64(s.cases[city.Code][state]), string(city.Code), city.Name, string(state))
		}
	}
	for operator, f := range s.operators {
		gauge(dueMetric, float64(f.Of)*60, string(operator))
		gauge(usableMetric, float64(f.Up)*60, string(operator))
	}
}

func (d *Dashboard) followStanding(ctx context.Context) {
	failing := false
	for {
		err := d.readStanding(ctx, time.Now())
		if err != nil && !failing && ctx.Err() == nil {
			d.log.Warn("does not read how cases and operators stand, tries again", "every", standingEvery, "err", err)
		}
		failing = err != nil
		if !wait(ctx, standingEvery) {
			return
		}
	}
}

func (d *Dashboard) readStanding(ctx context.Context, now time.Time) error {
	open, err := d.registry.Cases(ctx, registry.CaseQuery{States: cases.RunningStates()})
	if err != nil {
		return fmt.Errorf("count cases: %w", err)
	}
	sums, err := d.registry.DaySums(ctx, registry.SumQuery{From: now.AddDate(0, 0, -standingDays), To: now.AddDate(0, 0, -1), Kind: charge.Public})
	if err != nil {
		return fmt.Errorf("sum up operators' days: %w", err)
	}
	counts := make(map[charge.DivisionCode]map[cases.State]int)
	for _, c := range open {
		city := c.Township
		for city != "" && city.Level() != charge.City {
			city = city.Parent()
		}
		if counts[city] == nil {
			counts[city] = make(map[cases.State]int)
		}
		counts[city][c.State]++
	}
	minutes := make(map[charge.OperatorID]availability.Minutes)
	for i := range sums {
		s := &sums[i]
		m := minutes[s.Operator]
		m.AddAll(minutesOf(&s.MinuteSum))
		minutes[s.Operator] = m
	}
	operators := make(map[charge.OperatorID]availability.Figure)
	for _, o := range d.divisions.Operators() {
		operators[o.ID] = minutes[o.ID].Ours()
	}
	var cities []charge.Division
	for _, division := range d.divisions.Divisions() {
		if division.Level == charge.City {
			cities = append(cities, division)
		}
	}
	d.standing.mu.Lock()
	defer d.standing.mu.Unlock()
	d.standing.read, d.standing.cities, d.standing.cases, d.standing.operators = true, cities, counts, operators
	return nil
}
