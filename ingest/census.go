package ingest

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/charge"
)

// A census counts connectors by operator and by what they are shown as. Households' own are left
// out: their silence is their affair.
type census map[censusKey]int

type censusKey struct {
	operator charge.OperatorID
	status   string // as look's String
}

// census counts the connectors in service of the partition.
func (j *judge) census() census {
	counted := make(census)
	for _, p := range j.ordered {
		s := p.registered.Station
		if s.Kind == charge.Residential || !j.serves(s.Opened, s.Closed) {
			continue
		}
		for i := range p.guns {
			if c := &p.registered.Connectors[i]; j.serves(c.Opened, c.Closed) {
				counted[censusKey{p.registered.ID.Operator, j.look(&p.guns[i].Connector).String()}]++
			}
		}
	}
	return counted
}

var connectorsMetric = prometheus.NewDesc("pilewatch_connectors",
	"Connectors in service of public and dedicated stations, by operator and by what they are shown as: a status, silent, or unseen.",
	[]string{"operator", "status"}, nil)

// A connectorCount gives Prometheus the sum of what the owners in this process have counted. It is safe for
// concurrent use; a nil one counts nothing.
type connectorCount struct {
	mu sync.Mutex
	by map[int]census // partition
}

func (c *connectorCount) set(partition int, counted census) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[partition] = counted
}

// drop forgets a partition that another process owns from now on.
func (c *connectorCount) drop(partition int) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.by, partition)
}

// Describe implements prometheus.Collector.
func (c *connectorCount) Describe(to chan<- *prometheus.Desc) { to <- connectorsMetric }

// Collect implements prometheus.Collector.
func (c *connectorCount) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	sum := make(census)
	for _, counted := range c.by {
		for key, n := range counted {
			sum[key] += n
		}
	}
	c.mu.Unlock()
	for key, n := range sum {
		to <- prometheus.MustNewConstMetric(connectorsMetric, prometheus.GaugeValue, float64(n), string(key.operator), key.status)
	}
}

// beginDanger makes every city's count of danger alarms begin at 0: of a count that begins at 1 Prometheus
// sees no increase, and the first alarm is the one that matters.
func (m *healthMetrics) beginDanger(divisions []charge.Division) {
	for _, d := range divisions {
		if d.Level != charge.City {
			continue
		}
		for _, fault := range charge.Faults() {
			m.danger.WithLabelValues(string(d.Code), d.Name, string(fault))
		}
	}
}

// countDanger counts a danger alarm for its city.
func (o *owner) countDanger(e *charge.Event) {
	city, name := e.Township.Parent().Parent(), ""
	for _, d := range o.judge.dir.Divisions() { // it is seldom
		if d.Code == city {
			name = d.Name
		}
	}
	o.metrics.danger.WithLabelValues(string(city), name, string(e.Fault)).Inc()
}
