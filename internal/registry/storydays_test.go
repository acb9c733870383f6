package registry

import (
	"testing"
	"time"

	"pilewatch/internal/charge"
)

// A story keeps the days on which something changes, and whoever asks is given all of them; a living platform's days are all kept,
// and one that is missing there is not made up.
func TestTheDaysBetweenAStorysChangesAreGivenToo(t *testing.T) {
	r := withPiles(t)
	day := func(d int) time.Time { return time.Date(2024, 5, d, 0, 0, 0, 0, charge.Zone) }
	var days []TownshipDay
	for d := 1; d <= 10; d++ {
		state := charge.Effective
		if d >= 7 {
			state = charge.Failing
		}
		days = append(days, TownshipDay{Township: "371721101", Day: day(d), State: state, Reason: "told", Story: true})
	}
	save(t, r, 1, Health{TownshipDays: days})
	save(t, r, 2, Health{TownshipDays: []TownshipDay{{Township: "371721101", Day: day(14), State: charge.Effective, Reason: "usable"}}})
	shown := func(from, to int) string {
		t.Helper()
		got, err := r.TownshipDays(t.Context(), "371721", day(from), day(to))
		if err != nil {
			t.Fatal(err)
		}
		var text string
		for _, d := range got {
			text += d.Day.Format("02") + string(d.State[0]) + " "
		}
		return text
	}
	if got, want := shown(3, 20), "07f 10f 14e "; got != want {
		t.Errorf("without a story: got %q, want %q", got, want)
	}
	if err := r.SetStory(t.Context(), Story{Name: "plan", Until: day(10).Add(9 * time.Hour), Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to int
		want     string
	}{
		{1, 20, "01e 02e 03e 04e 05e 06e 07f 08f 09f 10f 14e "},
		{4, 8, "04e 05e 06e 07f 08f "},
		{8, 9, "08f 09f "},
	} {
		if got := shown(c.from, c.to); got != c.want {
			t.Errorf("from %d to %d: got %q, want %q", c.from, c.to, got, c.want)
		}
	}
}
