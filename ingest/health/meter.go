package health

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// A Meter is what a connector has delivered on the days that are still held, by its meter and by its orders.
type Meter struct {
	Told    bool  // a total of the meter was told; then energy goes by it
	TotalWh int64 // of the meter
	At      int64 // that was received, Unix ms
	Jumps   uint32

	SessionWh int64 // of the session that is seen in telemetry, or of the last one
	Counted   bool  // it is

	Days   []DayMeter // oldest first; only days on which something was delivered
	Orders []OrderKey // of those days, sorted
}

// A DayMeter is what was delivered on a day.
type DayMeter struct {
	Day             int32 // since 1970-01-01, Asia/Shanghai
	MeterWh         uint32
	OrderWh         uint32
	Seen, Completed uint16 // sessions of at least 1 kWh: by telemetry, by orders
}

// An OrderKey is an order that is counted.
type OrderKey struct {
	Day    int32
	Number uint32 // a hash
}

const (
	zoneMS    = 8 * 60 * minuteMS
	dayMS     = 24 * 60 * minuteMS
	sessionWh = 1000
	// mostPowerW bounds what a meter may have run on by: design, "South".
	mostPowerW = 1_000_000
	mostOrders = 1000 // held of a connector, so that a sender cannot fill our memory
	mostDays   = 16
)

// dayOf gives the day of an instant, Unix ms, in Asia/Shanghai.
func dayOf(ms int64) int32 { return int32(floorDiv(ms+zoneMS, dayMS)) } //nolint:gosec // of this millennium

func wattHours(kWh float64) int64 {
	if !(kWh > 0 && kWh < 1e9) {
		return 0
	}
	return int64(math.Round(kWh * 1000))
}

func (m *Meter) day(day int32) *DayMeter {
	i, found := slices.BinarySearchFunc(m.Days, day, func(d DayMeter, day int32) int { return cmp.Compare(d.Day, day) })
	if !found {
		m.Days = slices.Insert(m.Days, i, DayMeter{Day: day})
		if len(m.Days) > mostDays && i > 0 { // nobody frees them
			m.Days, i = slices.Delete(m.Days, 0, 1), i-1
		}
	}
	return &m.Days[i]
}

// measure takes a status or telemetry that came in time and is the newest.
func (c *Connector) measure(r *charge.Reading, received int64) {
	charging := c.Status == charge.Charging && r.Kind == charge.KindTelemetry && r.Tells(charge.HasEnergy)
	if c.Meter == nil {
		if !charging && !r.Tells(charge.HasMeter) {
			return
		}
		c.Meter = &Meter{}
	}
	m := c.Meter
	if r.Tells(charge.HasMeter) {
		m.total(wattHours(r.MeterKWh), received)
	}
	switch {
	case charging:
		wh := wattHours(r.EnergyKWh)
		if wh < m.SessionWh {
			m.end(received)
			m.Counted = false
		}
		m.SessionWh = wh
	case c.Status != charge.Charging:
		m.end(received)
	}
}

// total takes the meter's running total. One that runs back or on by more than 1,000 kW could deliver
// is another meter's, or has wrapped: it is counted and delivers nothing.
func (m *Meter) total(wh, received int64) {
	delta, most := wh-m.TotalWh, (received-m.At)*mostPowerW/(60*minuteMS)+sessionWh
	switch {
	case !m.Told:
	case delta < 0 || delta > most:
		m.Jumps++
	case delta > 0:
		d := m.day(dayOf(received))
		d.MeterWh = saturate(d.MeterWh, delta)
	}
	m.Told, m.TotalWh, m.At = true, wh, received
}

func saturate(sum uint32, more int64) uint32 {
	return uint32(min(int64(sum)+more, math.MaxUint32)) //nolint:gosec // bounded
}

// end counts the session that is seen in telemetry.
func (m *Meter) end(received int64) {
	if m.SessionWh >= sessionWh && !m.Counted {
		m.Counted = true
		d := m.day(dayOf(received))
		d.Seen = min(d.Seen, math.MaxUint16-1) + 1
	}
}

// Order takes an order of the connector: its energy, and a session if it is of at least 1 kWh, on the day on
// which it ended. The same order again changes nothing. The caller tells by Return that its pile was heard.
func (s *State) Order(p *Pile, c *Connector, r *charge.Reading) Taken {
	received, at := r.Received.UnixMilli(), r.At.UnixMilli()
	timing := p.Clock.time(received, at)
	ended := at
	if r.Tells(charge.HasEnd) {
		ended = r.End.UnixMilli()
	}
	ended = p.Clock.event(ended)
	if received-ended > s.policy.Lateness.Milliseconds() || ended < int64(c.Freed)*minuteMS {
		return TooLate
	}
	if c.Meter == nil {
		c.Meter = &Meter{}
	}
	m := c.Meter
	if timing == inTime && r.Tells(charge.HasMeter) && received > m.At {
		m.total(wattHours(r.MeterKWh), received)
	}
	key := OrderKey{dayOf(ended), orderNumber(r)}
	i, _ := slices.BinarySearchFunc(m.Orders, key, OrderKey.compare)
	if slices.ContainsFunc(m.Orders, func(o OrderKey) bool { return o.Number == key.Number }) {
		return Old
	}
	if len(m.Orders) >= mostOrders {
		return TooMany
	}
	m.Orders = slices.Insert(m.Orders, i, key)
	if wh := wattHours(r.EnergyKWh); r.Tells(charge.HasEnergy) && wh > 0 {
		d := m.day(key.Day)
		d.OrderWh = saturate(d.OrderWh, wh)
		if wh >= sessionWh {
			d.Completed = min(d.Completed, math.MaxUint16-1) + 1
		}
	}
	if timing == suspect {
		return ComeLate
	}
	return InTime
}

func (k OrderKey) compare(o OrderKey) int {
	return cmp.Or(cmp.Compare(k.Day, o.Day), cmp.Compare(k.Number, o.Number))
}

// orderNumber names an order: by its number, else by its time.
func orderNumber(r *charge.Reading) uint32 {
	h := fnv.New32a()
	if r.Order != "" {
		_, _ = h.Write([]byte(r.Order)) // a hash's Write returns no error
	} else {
		_, _ = h.Write(r.At.AppendFormat(nil, time.RFC3339Nano))
	}
	return h.Sum32()
}

// free lets go of the days before day.
func (m *Meter) free(day int32) {
	m.Days = slices.DeleteFunc(m.Days, func(d DayMeter) bool { return d.Day < day })
	m.Orders = slices.DeleteFunc(m.Orders, func(o OrderKey) bool { return o.Day < day })
}

// delivered gives a day's energy and sessions. Where the connector has ever told its meter, energy goes by that,
// else by its orders. Sessions are those of orders or those seen in telemetry, whichever are more.
func (m *Meter) delivered(day int32) (wh uint32, sessions uint8) {
	i, found := slices.BinarySearchFunc(m.Days, day, func(d DayMeter, day int32) int { return cmp.Compare(d.Day, day) })
	if !found {
		return 0, 0
	}
	d := &m.Days[i]
	wh = d.OrderWh
	if m.Told {
		wh = d.MeterWh
	}
	return wh, uint8(min(max(d.Seen, d.Completed), math.MaxUint8)) //nolint:gosec // bounded
}

// join gives what both have delivered: this one before, the other since.
func (m *Meter) join(since *Meter) *Meter {
	if m == nil || since == nil {
		return cmp.Or(m, since)
	}
	joined := *since
	joined.Jumps += m.Jumps
	joined.Days = slices.Clone(m.Days)
	for _, d := range since.Days {
		if n := len(joined.Days); n > 0 && joined.Days[n-1].Day == d.Day {
			last := &joined.Days[n-1]
			last.MeterWh += d.MeterWh
			last.OrderWh += d.OrderWh
			last.Seen += d.Seen
			last.Completed += d.Completed
		} else {
			joined.Days = append(joined.Days, d)
		}
	}
	joined.Orders = slices.Concat(m.Orders, since.Orders)
	slices.SortFunc(joined.Orders, func(a, b OrderKey) int { return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Number, b.Number)) })
	joined.Orders = slices.Compact(joined.Orders)
	return &joined
}
