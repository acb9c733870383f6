package simulator

import (
	"math"
	"time"

	"pilewatch/internal/charge"
)

// A tier is whom a pile serves: what decides when vehicles come to it.
type tier uint8

const (
	urbanTier tier = iota
	ruralTier
	expresswayTier
	depotTier
	homeTier
	tiers
)

func (f *Fleet) tier(i int) tier {
	s := &f.Stations[f.Piles[i].Station]
	switch {
	case s.Kind == charge.Residential:
		return homeTier
	case s.Kind == charge.Dedicated:
		return depotTier
	case s.Site == expressway:
		return expresswayTier
	case s.Area == "rural":
		return ruralTier
	}
	return urbanTier
}

// How many vehicles come in each hour of an ordinary day, only the proportions count. Public charging peaks at 5-7,
// 12-16 and 23-1 (中国充电联盟 2022, seen in an excerpt); the others are assumed. At home it is when people come home;
// those who wait for the valley are added by the tariff.
var comes = [tiers][24]float64{
	urbanTier:      {1.6, 0.9, 0.6, 0.5, 0.7, 1.3, 1.35, 0.8, 0.75, 0.75, 0.85, 1, 1.45, 1.4, 1.35, 1.3, 0.85, 0.75, 0.7, 0.7, 0.75, 0.8, 1, 1.7},
	ruralTier:      {1.1, 0.6, 0.4, 0.4, 0.7, 1.3, 1.35, 0.9, 0.9, 0.9, 1, 1.1, 1.45, 1.4, 1.35, 1.3, 1, 0.9, 0.9, 0.9, 0.8, 0.8, 0.9, 1.2},
	expresswayTier: {0.4, 0.3, 0.2, 0.2, 0.3, 0.5, 0.7, 0.9, 1.2, 1.5, 1.7, 1.8, 1.7, 1.5, 1.5, 1.6, 1.6, 1.5, 1.3, 1.1, 0.9, 0.8, 0.6, 0.5},
	depotTier:      {1.5, 1.1, 0.8, 0.6, 0.5, 0.4, 0.4, 0.5, 0.6, 0.8, 1.1, 1.5, 1.5, 1.2, 0.9, 0.7, 0.6, 0.6, 0.7, 0.9, 1.2, 1.6, 2, 2},
	homeTier:       {0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.3, 0.6, 0.7, 0.7, 0.7, 0.8, 0.9, 0.8, 0.7, 0.8, 1, 1.8, 2.6, 2.8, 2.4, 1.9, 1.2, 0.6},
}

// Answers to price, day and weather. All assumed, but that the valley draws home charging and holidays fill the
// expressways; 3 to 5 times an ordinary day is the range that is kept to.
const (
	valleyShare      = 0.42 // of home charging waits for the valley
	priceAnswer      = -0.4 // elasticity of public charging to the hour's price
	weekendPublic    = 1.1
	weekendDepot     = 0.8
	festiveHighway   = 5.5 // as long as connectors are free
	festiveUrban     = 0.9
	springRural      = 1.6 // people are at home in their villages
	coldPowerPct     = 1.6 // less power of a battery for each degree below warmEnoughC
	warmEnoughC      = 15.0
	leastColdPowerPc = 55.0
)

// valleyStarts is when those who wait for the valley begin: timers are set to its first hours.
var valleyStarts = [...]float64{0.5, 0.25, 0.15, 0.1}

// A demand tells how many vehicles come, hour by hour. It is read only once made.
type demand struct {
	calendar *calendar
	begin    time.Time // a full hour, that of the first rate
	rates    [tiers][]float32
}

// demandDays are laid out in advance; a simulation that runs for longer begins them again at their weekday.
const demandDays = 7 * 16

func newDemand(c *calendar, start time.Time) *demand {
	d := &demand{calendar: c, begin: start.In(charge.Zone).Truncate(time.Hour)}
	for t := range tiers {
		d.rates[t] = make([]float32, 24*demandDays)
		for h := range d.rates[t] {
			d.rates[t][h] = float32(c.rate(t, d.begin.Add(time.Duration(h)*time.Hour)))
		}
	}
	return d
}

// rate gives how many vehicles come in an hour, 1 in the mean of an ordinary day.
func (c *calendar) rate(t tier, at time.Time) float64 {
	at = at.In(charge.Zone)
	mean := 0.0
	for _, n := range comes[t] {
		mean += n / 24
	}
	rate := comes[t][at.Hour()] / mean
	weekend := at.Weekday() == time.Saturday || at.Weekday() == time.Sunday
	festival := c.holiday(at)
	switch t {
	case homeTier:
		rate *= 1 - valleyShare
		if after := (at.Hour() - c.tariff.valley(at) + 24) % 24; after < len(valleyStarts) {
			rate += 24 * valleyShare * valleyStarts[after]
		}
	case expresswayTier:
		if festival != "" {
			rate *= festiveHighway
		}
	case depotTier:
		if weekend || festival != "" {
			rate *= weekendDepot
		}
	default:
		rate *= math.Pow(c.tariff.at(at).yuan/flatYuan, priceAnswer)
		switch {
		case festival == "Spring Festival" && t == ruralTier:
			rate *= springRural
		case festival != "" && t == urbanTier:
			rate *= festiveUrban
		case weekend:
			rate *= weekendPublic
		}
	}
	return rate
}

const flatYuan = 0.555

// wait gives how long after a time a vehicle comes, where they come every meanHours on an ordinary day in the mean:
// hours are used up at the rate of each until the exponential draw is.
func (d *demand) wait(t tier, after time.Time, drawn, meanHours float64) time.Duration {
	left := drawn * meanHours
	passed := after.Sub(d.begin).Hours()
	for h := int(passed); ; h++ {
		rate := max(float64(d.rates[t][h%len(d.rates[t])]), 1e-3)
		span := float64(h+1) - passed
		if left <= span*rate {
			passed += left / rate
			break
		}
		left -= span * rate
		passed = float64(h + 1)
	}
	return time.Duration((passed - after.Sub(d.begin).Hours()) * float64(time.Hour)).Truncate(time.Millisecond)
}

// now gives how much busier an hour is than the mean.
func (d *demand) now(t tier, at time.Time) float64 {
	return float64(d.rates[t][int(at.Sub(d.begin).Hours())%len(d.rates[t])])
}

// Months' mean temperatures near Jinan, °C, rounded; assumed.
var monthC = [...]float64{0, -0.5, 3, 9.5, 16.5, 22, 26.5, 27.5, 26, 22, 16, 8.5, 1.5}

// outdoorC gives the air's temperature: a month's mean, and ±4 degrees by the hour, warmest at 15:00.
func outdoorC(at time.Time) float64 {
	at = at.In(charge.Zone)
	day := float64(at.Day()-1) / 30.5
	next := at.Month()%12 + 1
	return monthC[at.Month()]*(1-day) + monthC[next]*day + 4*math.Cos(float64(at.Hour()-15)*math.Pi/12)
}

// coldPower gives the share of its power that a battery takes at a temperature.
func coldPower(airC float64) float64 {
	return min(1, max(leastColdPowerPc, 100-coldPowerPct*(warmEnoughC-airC))/100)
}
