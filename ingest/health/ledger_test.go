package health

import (
	"bytes"
	"encoding/gob"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

// restart puts everything through a checkpoint.
func (p *replay) restart(t *rapid.T, policy Policy) {
	var out bytes.Buffer
	type saved struct {
		State      Snapshot
		Pile       Pile
		Connectors [2]Connector
	}
	if err := gob.NewEncoder(&out).Encode(saved{p.state.Snapshot(), p.pile, p.connectors}); err != nil {
		t.Fatal(err)
	}
	var s saved
	if err := gob.NewDecoder(&out).Decode(&s); err != nil {
		t.Fatal(err)
	}
	p.state, p.pile, p.connectors = Restore(policy, s.State), s.Pile, s.Connectors
}

func sameDays(t *rapid.T, what string, want, got [][3]Day) {
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Day{})); diff != "" {
		t.Fatalf("%s (-undisturbed +%s):\n%s", what, what, diff)
	}
}

func TestDaysAreTheSameWhateverIsRepeatedAskedOrRestarted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawStory(t, 8)
		want := play(testPolicy(), s.log).days(&s)

		p := newReplay(testPolicy())
		for i := range s.log {
			p.take(&s.log[i])
			switch rapid.IntRange(0, 20).Draw(t, "disturbed") {
			case 0:
				p.restart(t, testPolicy())
			case 1:
				p.days(&s)
				p.state.UsableObserved(&p.connectors[0], 24*time.Hour, s.excused)
			case 2:
				again := s.log[rapid.IntRange(0, i).Draw(t, "repeated")]
				p.take(&again)
			case 3: // a batch is repeated whole
				for j := max(0, i-5); j <= i; j++ {
					again := s.log[j]
					p.take(&again)
				}
			case 4:
				for c := range p.connectors {
					p.state.Settle(&p.connectors[c])
				}
			}
		}
		sameDays(t, "disturbed", want, p.days(&s))
	})
}

func TestDaysAreTheSameInWhateverOrderLateMessagesCome(t *testing.T) {
	t.Parallel()
	moved := 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawStory(t, 8)
		want := play(testPolicy(), s.log).days(&s)
		// What comes late comes in another order within its burst; when something came does not change.
		for first := 0; first < len(s.log); {
			end := first
			for end < len(s.log) && s.log[end].late && !s.log[end].again {
				end++
			}
			if burst := s.log[first:end]; len(burst) > 1 {
				received := make([]time.Time, len(burst))
				for i := range burst {
					received[i] = burst[i].Received
				}
				order := rapid.Permutation(slices.Clone(burst)).Draw(t, "order")
				for i := range order {
					order[i].Received = received[i]
				}
				copy(burst, order)
				moved++
			}
			first = end + 1
		}
		for i := range s.log { // a repeat would have another content
			if s.log[i].again {
				s.log[i].Reading = charge.Reading{Received: s.log[0].Received}
			}
		}
		sameDays(t, "in another order", want, play(testPolicy(), s.log).days(&s))
	})
	if moved == 0 {
		t.Error("no burst was put in another order: that proves nothing")
	}
}

func TestDaysAreTheSameHoweverPilesAreInterleavedBetweenTicks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		policy := testPolicy()
		one, other := drawStory(t, 5), drawStory(t, 5)
		// Both on one log: outages are those of both.
		var log []record
		who := map[int]int{}
		i, j := 0, 0
		for i < len(one.log) || j < len(other.log) {
			if j == len(other.log) || i < len(one.log) && !one.log[i].Received.After(other.log[j].Received) {
				log = append(log, one.log[i])
				i++
			} else {
				who[len(log)] = 1
				log = append(log, other.log[j])
				j++
			}
		}
		playBoth := func(order []int) [2][][3]Day {
			p := [2]*replay{newReplay(policy), newReplay(policy)}
			p[1].state = p[0].state
			for _, n := range order {
				p[who[n]].take(&log[n])
			}
			return [2][][3]Day{p[0].days(&one), p[1].days(&other)}
		}
		order := make([]int, len(log))
		for n := range order {
			order[n] = n
		}
		want := playBoth(order)
		// Between two ticks of the log one pile's records come after the other's, as another batching would have it.
		// The log's clock is that of the tick before, and an outage is between ticks only.
		var shuffled []int
		for n := 0; n < len(order); {
			end := n + 1
			for end < len(order) && log[end].Kind != 0 && log[end].Received.Sub(log[n].Received) < policy.OutageAfter/2 {
				end++
			}
			first := rapid.IntRange(0, 1).Draw(t, "first")
			for _, w := range []int{first, 1 - first} {
				for k := n; k < end; k++ {
					if who[k] == w {
						shuffled = append(shuffled, k)
					}
				}
			}
			n = end
		}
		got := playBoth(shuffled)
		sameDays(t, "of one pile", want[0], got[0])
		sameDays(t, "of the other", want[1], got[1])
	})
}

func TestADaysFiguresAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawStory(t, 8)
		p := play(testPolicy(), s.log)
		for _, day := range p.days(&s) {
			var sums [3]charge.DayMinutes
			for i := range day {
				sums[i] = day[i].Sum()
				in, all := 0, 0
				for _, m := range minutesOf(&day[i]) {
					if m != NotInService {
						in++
					}
				}
				for _, stretch := range day[i].Strip() {
					all += stretch.Minutes
				}
				d := &sums[i]
				switch {
				case d.InService() != in:
					t.Fatalf("the four kinds add up to %d minutes, %d are in service", d.InService(), in)
				case all != dayMinutes:
					t.Fatalf("the strip has %d minutes", all)
				case d.Fault > d.Out, d.Blocked > d.Usable, d.Heard > d.Usable+d.Out+d.Unknown, d.Heard < d.Usable+d.Out,
					d.BreakFirst > d.BreakLongest, d.BreakLast > d.BreakLongest, d.BreakLongest > d.Out+d.Unknown:
					t.Fatalf("figures contradict each other: %+v", *d)
				case d.Usable == 0 && (d.BreakFirst != d.Out+d.Unknown || d.BreakLast != d.BreakFirst):
					t.Fatalf("a day without a usable minute is one break: %+v", *d)
				}
			}
			union := sums[2]
			for i, d := range sums[:2] {
				if union.Usable < d.Usable || union.InService() < d.InService() {
					t.Fatalf("the pile has less than connector %d:\n%+v\n%+v", i+1, union, d)
				}
			}
		}
	})
}

func TestWhatIsFreedIsNoLongerHeldAndTheRestStays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawStory(t, 10)
		want := play(testPolicy(), s.log)
		got := newReplay(testPolicy())
		frozen := startDay
		for i := range s.log {
			got.take(&s.log[i])
			// A day is frozen 72 hours after its end.
			for ; !got.state.Now().Before(frozen.AddDate(0, 0, 4)); frozen = frozen.AddDate(0, 0, 1) {
				for c := range got.connectors {
					got.state.Free(&got.connectors[c], frozen.AddDate(0, 0, 1))
				}
			}
		}
		for day := startDay; !day.After(got.state.Now()); day = day.AddDate(0, 0, 1) {
			for c := range got.connectors {
				var a, b Day
				held := got.state.CloseDay(&a, &got.pile, &got.connectors[c], day, s.service, s.excused)
				want.state.CloseDay(&b, &want.pile, &want.connectors[c], day, s.service, s.excused)
				switch {
				case held && *minutesOf(&a) != *minutesOf(&b):
					t.Fatalf("day %s is another than before", day)
				case !held && !day.Before(frozen):
					t.Fatalf("day %s is not held, though it is provisional", day)
				}
				a1, n1 := got.state.UsableObserved(&got.connectors[c], 24*time.Hour, s.excused)
				b1, n2 := want.state.UsableObserved(&want.connectors[c], 24*time.Hour, s.excused)
				if a1 != b1 || n1 != n2 {
					t.Fatalf("usable in the last day observed: got %d of %d, want %d of %d", a1, n1, b1, n2)
				}
			}
		}
	})
}
