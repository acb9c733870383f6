package projection_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pilewatch/internal/charge"
	"pilewatch/internal/projection"
)

var today = time.Date(2026, 3, 1, 0, 0, 0, 0, charge.Zone)

// history makes n days before today; each(age) gives the gains and losses of the day that many days ago.
func history(n int, each func(age int) (gained, lost int)) []projection.Day {
	var days []projection.Day
	for age := n; age >= 1; age-- {
		g, l := each(age)
		days = append(days, projection.Day{Date: today.AddDate(0, 0, -age), Gained: g, Lost: l})
	}
	return days
}

func steady(gained, lost int) func(int) (int, int) {
	return func(int) (int, int) { return gained, lost }
}

func weekly(gained int) func(int) (int, int) {
	return func(age int) (int, int) {
		if age%7 == 0 {
			return gained, 0
		}
		return 0, 0
	}
}

func TestProjection(t *testing.T) {
	in := func(days int) time.Time { return today.AddDate(0, 0, days) }
	for _, tt := range []struct {
		name      string
		days      []projection.Day
		remaining float64
		want      projection.Pace
	}{
		{"two a day", history(180, steady(3, 1)), 100, projection.Pace{Known: true, PerDay: 2, Days: 180, On: in(50), Early: in(50), Late: in(50)}},
		{"a part of a day is a day", history(180, steady(3, 1)), 99, projection.Pace{Known: true, PerDay: 2, Days: 180, On: in(50), Early: in(50), Late: in(50)}},
		{"nothing moves", history(180, steady(1, 1)), 10, projection.Pace{Known: true, Days: 180}},
		{"more lost than gained", history(180, steady(1, 2)), 10, projection.Pace{Known: true, PerDay: -1, Days: 180}},
		{"what is older than 180 days does not count", append(history(180, steady(1, 0)), projection.Day{Date: today.AddDate(0, 0, -181), Gained: 9999}), 10, projection.Pace{Known: true, PerDay: 1, Days: 180, On: in(10), Early: in(10), Late: in(10)}},
		{"today is not over", append(history(180, steady(1, 0)), projection.Day{Date: today, Gained: 9999}), 10, projection.Pace{Known: true, PerDay: 1, Days: 180, On: in(10), Early: in(10), Late: in(10)}},
		{"three weeks are too few", history(21, steady(1, 0)), 10, projection.Pace{Days: 21}},
		{"four will do", history(28, steady(1, 0)), 10, projection.Pace{Known: true, PerDay: 1, Days: 28, On: in(10), Early: in(10), Late: in(10)}},
		{"reached", history(180, steady(1, 0)), 0, projection.Pace{Known: true, PerDay: 1, Days: 180, Reached: true}},
		{"no history", nil, 10, projection.Pace{}},
		{"in more than a century", history(175, weekly(1)), 6000, projection.Pace{Known: true, PerDay: 1.0 / 7, Days: 175}},
		{"days without change may be missing", []projection.Day{{Date: today.AddDate(0, 0, -180), Gained: 180}}, 10, projection.Pace{Known: true, PerDay: 1, Days: 180}},
	} {
		got := projection.Project(tt.days, today, tt.remaining)
		if tt.name == "days without change may be missing" {
			got.On, got.Early, got.Late = time.Time{}, time.Time{}, time.Time{}
		}
		if got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestDaysThatNobodySawAreNoStandstill(t *testing.T) {
	days := history(180, steady(1, 0))
	for i := range 30 {
		days[i+50] = projection.Day{Date: days[i+50].Date, NoObservation: true}
	}
	if got := projection.Project(days, today, 10); got.PerDay != 1 || got.Days != 150 {
		t.Errorf("got %v a day of %d days, want 1 of 150", got.PerDay, got.Days)
	}
}

func TestTheRangeIsAsWideAsTheWeeksDiffer(t *testing.T) {
	bursts := func(age int) (int, int) { // all in three weeks of 25
		if age%56 < 7 {
			return 8, 0
		}
		return 0, 0
	}
	got := projection.Project(history(175, bursts), today, 200)
	if !got.Early.Before(got.On) || !got.Late.After(got.On) && !got.Late.IsZero() {
		t.Errorf("got %v, %v, %v", got.Early, got.On, got.Late)
	}
	rare := func(age int) (int, int) { // one week gained all, another lost nearly as much
		switch age {
		case 10:
			return 30, 0
		case 90:
			return 0, 28
		}
		return 0, 0
	}
	if got := projection.Project(history(175, rare), today, 20); got.Early.IsZero() || !got.Late.IsZero() {
		t.Errorf("two weeks decide: got %v to %v, want it open at the end", got.Early, got.Late)
	}
}

func TestProjectionHoldsWhateverTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		days := history(rapid.IntRange(0, 200).Draw(t, "days"), func(int) (int, int) {
			return rapid.IntRange(0, 3).Draw(t, "gained"), rapid.IntRange(0, 2).Draw(t, "lost")
		})
		remaining := rapid.Float64Range(-10, 500).Draw(t, "remaining")
		got := projection.Project(days, today, remaining)
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(days), func(i, j int) { days[i], days[j] = days[j], days[i] })
		if again := projection.Project(days, today, remaining); again != got {
			t.Fatalf("got %+v, then %+v", got, again)
		}
		if got.On.IsZero() != (!got.Known || got.Reached || got.PerDay <= 0 || remaining/got.PerDay > 36525) {
			t.Fatalf("%+v with %v remaining", got, remaining)
		}
		if !got.On.IsZero() && math.Abs(got.On.Sub(today).Hours()/24*got.PerDay-remaining) > got.PerDay+1e-6 {
			t.Fatalf("at %v a day, %v are not reached on %v", got.PerDay, remaining, got.On)
		}
		if got.Early.IsZero() && !got.Late.IsZero() || !got.Late.IsZero() && got.Late.Before(got.Early) {
			t.Fatalf("range from %v to %v", got.Early, got.Late)
		}
	})
}

func TestWhatIsDueToday(t *testing.T) {
	at := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, charge.Zone) }
	piles := []projection.Milestone{{By: projection.YearEnd(2025), Value: 180000}, {By: projection.YearEnd(2023), Value: 110000}}
	base := projection.Milestone{By: at(2022, 12, 31), Value: 90000}
	flow := []projection.Milestone{{By: projection.YearEnd(2025), Value: 750000}}
	for _, tt := range []struct {
		name       string
		kind       projection.Kind
		from       projection.Milestone
		milestones []projection.Milestone
		today      time.Time
		want       float64
		ok         bool
	}{
		{"on the day of a milestone", projection.Stock, base, piles, at(2023, 12, 31), 110000, true},
		{"half way between two", projection.Stock, base, piles, at(2024, 12, 30).Add(12 * time.Hour), 145000, true},
		{"from the baseline", projection.Stock, base, piles, at(2022, 12, 31), 90000, true},
		{"before the baseline", projection.Stock, base, piles, at(2022, 6, 1), 0, false},
		{"without a baseline, before the first milestone", projection.Stock, projection.Milestone{}, piles, at(2023, 6, 1), 0, false},
		{"after the last it stays due", projection.Stock, base, piles, at(2027, 1, 1), 180000, true},
		{"a flow begins at nothing", projection.Flow, projection.Milestone{By: at(2022, 12, 31), Value: 5}, flow, at(2022, 12, 31), 0, true},
		{"a flow by the days that have passed", projection.Flow, projection.Milestone{By: at(2022, 12, 31)}, flow, at(2023, 12, 31), 750000 * 365.0 / 1096, true},
		{"a share", projection.Share, projection.Milestone{By: at(2023, 12, 31), Value: 48.2}, []projection.Milestone{{By: at(2025, 12, 30), Value: 100}}, at(2024, 12, 30), 74.1, true},
		{"no milestone at all", projection.Share, projection.Milestone{}, nil, at(2024, 1, 1), 0, false},
	} {
		got, ok := projection.Due(tt.kind, tt.from, tt.milestones, tt.today)
		if ok != tt.ok || math.Abs(got-tt.want) > 1e-6*max(1, tt.want) {
			t.Errorf("%s: got %v (%v), want %v (%v)", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestWhatComesAfterTheTargetDate(t *testing.T) {
	towns := 1129.0
	all := projection.Milestone{By: projection.YearEnd(2025), Value: 100}
	for _, tt := range []struct {
		name       string
		actual     float64
		comparison string
		today      time.Time
		want       projection.Standing
	}{
		{"two months late", 90, ">=", today, projection.Standing{Shortfall: 10, DaysOverdue: 60}},
		{"on its last day it is not overdue", 90, ">=", projection.YearEnd(2025), projection.Standing{Shortfall: 10}},
		{"the day after it is", 90, ">=", projection.YearEnd(2025).AddDate(0, 0, 1), projection.Standing{Shortfall: 10, DaysOverdue: 1}},
		{"met", 100, ">=", today, projection.Standing{Met: true}},
		{"more than asked for", 120, "≥", today, projection.Standing{Met: true}},
		{"every township, as a quotient", towns / towns * 100, "=", today, projection.Standing{Met: true}},
		{"all but one", (towns - 1) / towns * 100, "=", today, projection.Standing{Shortfall: 100 - (towns-1)/towns*100, DaysOverdue: 60}},
		{"more than exactly that", 101, "=", today, projection.Standing{DaysOverdue: 60}},
	} {
		got, err := projection.Stand(tt.actual, tt.comparison, all, tt.today)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
	if _, err := projection.Stand(1, "<", all, today); err == nil {
		t.Error("compared by <")
	}
}
