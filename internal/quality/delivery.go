package quality

import (
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"

	"pilewatch/internal/charge"
)

// A Delivery is how completely and how late messages came.
type Delivery struct {
	Messages int
	Numbered int // with a seq
	Missing  int // numbers that never came
	Twice    int // numbers that came again
	Restarts int // the count began anew
	// Delays from the device's clock to ours. A negative one is a clock that is ahead.
	HasDelay         bool
	Least, P50, P99  time.Duration // Least is the clock's offset, if the way is short at times
	Late             int           // later than the limit
	OldestMissingSeq uint64        // 0 where none is missing
}

// Completeness is the share (0-1) of numbered messages that came; ok is false without any.
func (d Delivery) Completeness() (share float64, ok bool) {
	if d.Numbered == 0 {
		return 0, false
	}
	came := d.Numbered - d.Twice
	return float64(came) / float64(came+d.Missing), true
}

// restartsBelow: a number so far under the highest, or over it, is a count that began anew, not a gap.
const restartsBelow = 10_000

// Deliveries looks through the messages of one connector in the order in which they were received. A number
// that comes late fills its gap again. lateAfter is the lateness limit.
func Deliveries(readings []charge.Reading, lateAfter time.Duration) Delivery {
	var d Delivery
	var delays []float64
	missing := map[uint64]bool{}
	var highest uint64
	counting := false
	for i := range readings {
		r := &readings[i]
		d.Messages++
		if !r.Tells(charge.ClockWrong) {
			delay := r.Received.Sub(r.At)
			delays = append(delays, float64(delay))
			if delay > lateAfter {
				d.Late++
			}
		}
		if !r.Tells(charge.HasSeq) {
			continue
		}
		d.Numbered++
		switch {
		case !counting:
			counting, highest = true, r.Seq
		case r.Seq > highest && r.Seq-highest <= restartsBelow:
			for s := highest + 1; s < r.Seq; s++ {
				missing[s] = true
			}
			highest = r.Seq
		case r.Seq <= highest && highest-r.Seq < restartsBelow && missing[r.Seq]:
			delete(missing, r.Seq)
		case r.Seq == highest, r.Seq < highest && highest-r.Seq < restartsBelow && r.Seq > 1:
			d.Twice++
		default:
			d.Missing += len(missing)
			d.oldest(missing)
			missing = map[uint64]bool{}
			d.Restarts++
			highest = r.Seq
		}
	}
	d.Missing += len(missing)
	d.oldest(missing)
	if len(delays) > 0 {
		slices.Sort(delays)
		d.HasDelay, d.Least = true, time.Duration(delays[0])
		d.P50 = time.Duration(stat.Quantile(0.5, stat.Empirical, delays, nil))
		d.P99 = time.Duration(stat.Quantile(0.99, stat.Empirical, delays, nil))
	}
	return d
}

func (d *Delivery) oldest(missing map[uint64]bool) {
	if d.OldestMissingSeq != 0 {
		return
	}
	for s := range missing {
		if d.OldestMissingSeq == 0 || s < d.OldestMissingSeq {
			d.OldestMissingSeq = s
		}
	}
}
