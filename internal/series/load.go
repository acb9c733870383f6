package series

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// LongKeep is how long windows, energy and coverage are kept; the embedded file keeps windows for Keep.
const LongKeep = 3 * 366 * 24 * time.Hour

// Measurements of what is kept long. A load has the tags division and partition, an energy those, level
// and operator, a day of energy (its sum over both) division and level, a coverage division alone.
const (
	loadMeasurement      = "load"
	energyMeasurement    = "energy"
	energyDayMeasurement = "energy_day"
	coverageMeasurement  = "coverage"
)

// A Load is what the connectors of one division and one partition drew in the 15 minutes from Start.
// Partitions, and only they, add up: there is a row for each division from county to province.
type Load struct {
	Start     time.Time
	Division  charge.DivisionCode
	Partition int
	EnergyKWh float64
	Charging  float64     // connectors, mean
	Minutes   [15]float64 // kW, mean of each minute

	Operators map[charge.OperatorID]float64 // kWh of each; of counties only
}

// PowerKW is the mean power of the window.
func (l *Load) PowerKW() float64 { return l.EnergyKWh * 4 }

// MaxKW is the largest minute. Of a sum of rows it is the maximum of the sum.
func (l *Load) MaxKW() float64 { return slices.Max(l.Minutes[:]) }

// An Energy is what one operator's connectors of a division and a partition drew in a day that
// begins at Day.
type Energy struct {
	Day       time.Time
	Division  charge.DivisionCode
	Operator  charge.OperatorID
	Partition int
	EnergyKWh float64
}

// EnergyBy is what energy is told apart by.
type EnergyBy string

// The days of the whole division, of its cities (or counties, for a city), or of its operators.
const (
	ByDay      EnergyBy = "day"
	ByCity     EnergyBy = "city"
	ByOperator EnergyBy = "operator"
)

// An EnergyQuery asks for a division's energy, From inclusive, To exclusive, by day and By.
type EnergyQuery struct {
	Division charge.DivisionCode
	From, To time.Time
	By       EnergyBy
}

func (q EnergyQuery) check() error {
	if err := checkRange(q.Division, q.From, q.To, MaxWindowRange); err != nil {
		return fmt.Errorf("query energy: %w", err)
	}
	switch q.By {
	case ByDay, ByCity, ByOperator:
		return nil
	}
	return fmt.Errorf("query energy by %q: want %s, %s or %s", q.By, ByDay, ByCity, ByOperator)
}

// codeDigits is how long the codes of the rows are that answer the query.
func (q EnergyQuery) codeDigits() int {
	if q.By == ByCity {
		return min(len(q.Division)+2, 6)
	}
	return len(q.Division)
}

// A Coverage is a division's count of towns and townships (乡镇) by state at the end of the day that
// begins at Day.
type Coverage struct {
	Day      time.Time
	Division charge.DivisionCode

	Total, Effective, Failing, Unverified, Starting, None int
	Connectors, Usable                                    int // of public stations in service
}

func checkRange(d charge.DivisionCode, from, to time.Time, most time.Duration) error {
	switch _, err := charge.ParseDivisionCode(string(d)); {
	case err != nil:
		return err
	case !from.Before(to):
		return fmt.Errorf("from %s is not before to %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	case to.Sub(from) > most:
		return fmt.Errorf("%w: %s, at most %s", ErrTooMuch, to.Sub(from), most)
	}
	return nil
}

// MaxLoadRange bounds a query for load windows: 31 days are 2,976 of them.
const MaxLoadRange = 31 * 24 * time.Hour

// drawOf is what a row of history says of a connector's power, and whether it says anything: a
// status other than charging is a power of 0, and who charges without saying how much changes nothing.
func drawOf(ms int64, status *int64, kw *float64) (charge.Draw, bool) {
	d := charge.Draw{AtMS: ms}
	if status != nil {
		d.Charging = charge.Status(*status) == charge.Charging //nolint:gosec // a code of one byte
	}
	switch {
	case kw != nil:
		d.PowerKW = *kw
		if status == nil {
			d.Charging = *kw != 0
		}
		return d, true
	case status != nil && !d.Charging:
		return d, true
	}
	return d, false
}

// Texts of a load row: both stores keep its minutes and operators as JSON.
func (l *Load) texts() (minutes, operators string, err error) {
	m, err := json.Marshal(l.Minutes)
	if err != nil {
		return "", "", fmt.Errorf("encode load of %s: %w", l.Division, err)
	}
	if len(l.Operators) == 0 {
		return string(m), "", nil
	}
	o, err := json.Marshal(l.Operators)
	if err != nil {
		return "", "", fmt.Errorf("encode load of %s: %w", l.Division, err)
	}
	return string(m), string(o), nil
}

// adder sums the rows of partitions by their start.
type adder map[int64]*Load

func (a adder) add(ms int64, division charge.DivisionCode, kWh, charging float64, minutes string) error {
	l := a[ms]
	if l == nil {
		l = &Load{Start: time.UnixMilli(ms).UTC(), Division: division}
		a[ms] = l
	}
	var m [15]float64
	if minutes != "" {
		if err := json.Unmarshal([]byte(minutes), &m); err != nil {
			return fmt.Errorf("read load of %s at %s: %w", division, l.Start.Format(time.RFC3339), err)
		}
	}
	l.EnergyKWh += kWh
	l.Charging += charging
	for i := range m {
		l.Minutes[i] += m[i]
	}
	return nil
}

func (a adder) sorted() []Load {
	all := make([]Load, 0, len(a))
	for _, l := range a {
		all = append(all, *l)
	}
	slices.SortFunc(all, func(x, y Load) int { return x.Start.Compare(y.Start) })
	return all
}
