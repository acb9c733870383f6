package health

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

// A storyWord is what a story tells at a minute of it; heard is for the last time.
type storyWord struct {
	at     time.Time
	status charge.Status
	last   bool
}

func drawTold(t *rapid.T) (all []storyWord, end time.Time) {
	now := startDay
	for range rapid.IntRange(1, 8).Draw(t, "words") {
		now = now.Add(time.Duration(rapid.IntRange(1, 2000).Draw(t, "gap")) * time.Minute)
		status := rapid.SampledFrom([]charge.Status{charge.Idle, charge.Idle, charge.Occupied, charge.Faulted, charge.Offline}).Draw(t, "status")
		last := len(all) > 0 && rapid.IntRange(0, 3).Draw(t, "last") == 0
		if all = append(all, storyWord{now, status, last}); now.Sub(startDay) > 5*24*time.Hour {
			break
		}
	}
	return all, now.Add(time.Duration(rapid.IntRange(1, 1000).Draw(t, "tail")) * time.Minute)
}

// A heard is one connector and the state that it is in.
type heard struct {
	state *State
	pile  Pile
	c     Connector
}

func newHeard() *heard {
	h := &heard{state: New(DefaultPolicy())}
	h.state.Limit(&h.c, 30*time.Minute, 0)
	return h
}

func (h *heard) tell(at time.Time, status charge.Status) {
	h.state.Tell(&h.pile, &h.c, &charge.Reading{Kind: charge.KindStatus, Has: charge.HasStatus, Status: status, At: at, Received: at})
	h.state.Settle(&h.c)
}

func (h *heard) days(n int) []Day {
	days := make([]Day, n)
	for i := range days {
		h.state.CloseDay(&days[i], &h.pile, &h.c, startDay.AddDate(0, 0, i), always, nil)
	}
	return days
}

func TestAStoryHasTheMinutesOfItsStatesRepeatedEveryMinute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words, end := drawTold(t)
		after := time.Duration(rapid.IntRange(0, 2000).Draw(t, "after")) * time.Minute // live time in which nothing comes

		story := newHeard()
		for _, w := range words {
			story.state.AdvanceStory(w.at)
			if w.last {
				story.state.Last(&story.c, w.at.UnixMilli())
			} else {
				story.tell(w.at, w.status)
			}
		}
		story.state.AdvanceStory(end)
		story.state = Restore(DefaultPolicy(), story.state.Snapshot())

		slow, next, silent, status := newHeard(), 0, true, charge.Idle
		for now := startDay; !now.After(end); now = now.Add(time.Minute) {
			slow.state.Advance(now)
			if next < len(words) && words[next].at.Equal(now) {
				w := words[next]
				next++
				if w.last {
					if !silent {
						slow.tell(now, status)
					}
					silent = true
					continue
				}
				silent, status = false, w.status
			}
			if !silent {
				slow.tell(now, status)
			}
		}
		for now := end; !now.After(end.Add(after)); now = now.Add(time.Minute) {
			for _, h := range []*heard{story, slow} {
				h.state.Advance(now)
				h.state.Settle(&h.c)
			}
		}

		want, got := slow.days(8), story.days(8)
		for i := range want {
			if diff := cmp.Diff(want[i].Strip(), got[i].Strip()); diff != "" {
				t.Fatalf("day %d of %v (-repeated +story):\n%s", i, words, diff)
			}
		}
		wantUsable, _ := slow.state.UsableObserved(&slow.c, 24*time.Hour, nil)
		gotUsable, _ := story.state.UsableObserved(&story.c, 24*time.Hour, nil)
		if wantUsable != gotUsable || slow.c.Silent != story.c.Silent || slow.state.Usable(&slow.c) != story.state.Usable(&story.c) {
			t.Fatalf("after %v: got %d usable minutes, silent %t, usable %t, want %d, %t, %t", after, gotUsable, story.c.Silent,
				story.state.Usable(&story.c), wantUsable, slow.c.Silent, slow.state.Usable(&slow.c))
		}
		compareWhole(t, story, got)
	})
}

func compareWhole(t *rapid.T, h *heard, days []Day) {
	for i := range days {
		kind, sum, ok := h.state.WholeDay(&h.c, startDay.AddDate(0, 0, i))
		strip := days[i].Strip()
		if alike := len(strip) == 1 && strip[0].Kind != NotInService; ok != alike {
			t.Fatalf("day %d, %v: WholeDay got %t, want %t", i, strip, ok, alike)
		}
		if !ok {
			continue
		}
		if diff := cmp.Diff(days[i].Sum(), sum); diff != "" || kind != strip[0].Kind {
			t.Fatalf("day %d, %v: got %s (-CloseDay +WholeDay):\n%s", i, strip, kind, diff)
		}
	}
}

func TestAPilesWholeDayIsThatOfItsMinutes(t *testing.T) {
	kinds := []Minute{Usable, Blocked, Excused, Out, Fault, Unknown, Silent}
	for _, a := range kinds {
		for _, b := range kinds {
			var one, two, both Day
			one.add(dayMinutes, a)
			two.add(dayMinutes, b)
			one.EnergyWh, two.EnergyWh, one.Sessions, two.Sessions = 1000, 4000, 200, 100
			both.Unite(&one, &two)
			got := UniteWhole([]Minute{a, b}, []charge.DayMinutes{one.Sum(), two.Sum()})
			if diff := cmp.Diff(both.Sum(), got); diff != "" {
				t.Errorf("%s and %s (-minutes +whole):\n%s", a, b, diff)
			}
		}
	}
}
