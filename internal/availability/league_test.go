package availability_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/availability"
)

func entrant(name string, connectors int, percents ...int64) availability.Entrant {
	e := availability.Entrant{Name: name, Connectors: connectors}
	for _, p := range percents {
		e.Stations = append(e.Stations, availability.Figure{Definition: availability.Ours, Up: p * 100, Of: 10000})
	}
	return e
}

func TestLeague(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []availability.Entrant
		want []string
	}{
		{"clearly apart", []availability.Entrant{entrant("b", 40, 70, 71, 70, 72), entrant("a", 40, 98, 99, 98, 97)}, []string{"a 1", "b 2"}},
		{"one bad station of few makes the interval wide", []availability.Entrant{entrant("a", 40, 99, 99, 99, 40), entrant("b", 40, 80, 82, 81, 80), entrant("c", 40, 20, 21, 20, 21)}, []string{"a 1", "b 1", "c 3"}},
		{"29 connectors have no rank, 30 have", []availability.Entrant{entrant("a", 29, 99, 98), entrant("b", 30, 90, 91)}, []string{"b 1", "a few_connectors"}},
		{"a single station has no interval", []availability.Entrant{entrant("a", 60, 99), entrant("b", 30, 90, 91)}, []string{"b 1", "a one_station"}},
		{"nothing measured", []availability.Entrant{{Name: "a", Connectors: 50}}, []string{"a not_measured"}},
	} {
		var got []string
		for _, s := range availability.League(tt.in) {
			if s.Unranked != "" {
				got = append(got, s.Name+" "+s.Unranked)
				continue
			}
			got = append(got, fmt.Sprintf("%s %d", s.Name, s.Rank))
		}
		if !cmp.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestLeagueHoldsWhateverTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in []availability.Entrant
		for i := range rapid.IntRange(0, 8).Draw(t, "entrants") {
			percents := rapid.SliceOfN(rapid.Int64Range(0, 100), 1, 6).Draw(t, "stations")
			in = append(in, entrant(fmt.Sprint(i), rapid.IntRange(28, 32).Draw(t, "connectors"), percents...))
		}
		table := availability.League(in)
		shuffled := slices.Clone(in)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for i, e := range shuffled {
			shuffled[i].Stations = slices.Clone(e.Stations)
			slices.Reverse(shuffled[i].Stations)
		}
		type place struct {
			name      string
			low, high float64
			rank      int
		}
		places := func(table []availability.Standing) []place {
			var all []place
			for _, s := range table {
				all = append(all, place{s.Name, s.Low, s.High, s.Rank})
			}
			return all
		}
		if got, want := places(availability.League(shuffled)), places(table); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for i, a := range table {
			share, _ := a.Figure.Share()
			if a.Rank == 0 {
				continue
			}
			if a.Low < 0 || a.High > 1 || a.Low > a.High || share < 0 || share > 1 {
				t.Fatalf("%s: %v, %v-%v", a.Name, share, a.Low, a.High)
			}
			for _, b := range table[i+1:] {
				if b.Rank != 0 && a.Low <= b.High && b.Low <= a.High && a.Rank != b.Rank {
					t.Fatalf("%s and %s overlap and have ranks %d and %d", a.Name, b.Name, a.Rank, b.Rank)
				}
				if b.Rank != 0 && a.Rank > b.Rank && a.Low > b.High {
					t.Fatalf("%s is wholly above %s and ranks behind it", a.Name, b.Name)
				}
			}
		}
	})
}
