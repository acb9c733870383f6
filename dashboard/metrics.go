package dashboard

import (
	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/charge"
)

var townshipsMetric = prometheus.NewDesc("pilewatch_townships",
	"Township-level divisions of a city by what they are counted as, by tier: towns (乡镇), streets (街道), or all.",
	[]string{"division", "name", "tier", "state"}, nil)

// Describe implements prometheus.Collector.
func (c *coverage) Describe(to chan<- *prometheus.Desc) { to <- townshipsMetric }

// Collect implements prometheus.Collector. It gives cities only, so that there are some hundred
// series and never one a township; nothing before coverage is known.
func (c *coverage) Collect(to chan<- prometheus.Metric) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !c.loaded {
		return
	}
	for _, p := range c.places {
		if p.division.Level != charge.City {
			continue
		}
		for t := range tiers {
			s := &p.sums[t]
			for state, n := range map[charge.CoverageState]int{
				charge.Effective: s.effective, charge.Failing: s.failing, charge.Unverified: s.unverified,
				charge.Starting: s.starting, charge.None: s.none,
			} {
				to <- prometheus.MustNewConstMetric(townshipsMetric, prometheus.GaugeValue, float64(n),
					string(p.division.Code), p.division.Name, tierNames[t], string(state))
			}
		}
	}
}
