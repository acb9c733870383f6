package availability

import (
	"cmp"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// LeagueFrom is from how many connectors on an entrant is ranked; those of fewer are listed without a rank.
const LeagueFrom = 30

const leagueDraws = 2000 // of the bootstrap

// An Entrant is an operator, a division or a maker that is compared with others.
type Entrant struct {
	Name       string // unique in the league
	Connectors int
	Stations   []Figure // one a station, all by one definition
}

// A Standing is an entrant's place in a league.
type Standing struct {
	Entrant
	Figure    Figure
	Low, High float64 // 95 % interval of the share; both 0 where Rank is 0
	Rank      int     // from 1; 0: not ranked, see Unranked
	Unranked  string  // few_connectors, one_station or not_measured
}

// League ranks entrants by the share of their stations' sum. The 95 % interval is a percentile bootstrap
// that draws whole stations, since the connectors of one station fail together; an entrant with one
// station has no such interval. Entrants whose intervals overlap, be it through others between them,
// share a rank; the next rank counts all before it (1, 1, 3). The draws depend on the entrant's name and
// stations alone, so neither order nor the other entrants change an interval.
func League(entrants []Entrant) []Standing {
	table := make([]Standing, 0, len(entrants))
	for _, e := range entrants {
		s := Standing{Entrant: e}
		if len(e.Stations) > 0 {
			s.Figure = Sum(e.Stations[0].Definition, e.Stations...)
		}
		stations := measured(e.Stations)
		switch _, ok := s.Figure.Share(); {
		case !ok:
			s.Unranked = "not_measured"
		case e.Connectors < LeagueFrom:
			s.Unranked = "few_connectors"
		case len(stations) < 2:
			s.Unranked = "one_station"
		default:
			s.Low, s.High = interval(e.Name, stations)
		}
		table = append(table, s)
	}
	slices.SortFunc(table, func(a, b Standing) int {
		x, _ := a.Figure.Share()
		y, _ := b.Figure.Share()
		return cmp.Or(cmp.Compare(a.Unranked, b.Unranked), cmp.Compare(y, x), cmp.Compare(a.Name, b.Name))
	})
	rankByOverlap(table)
	return table
}

// rankByOverlap walks the intervals from the highest down; a rank ends where one lies wholly below all
// that have it.
func rankByOverlap(table []Standing) {
	var ranked []*Standing
	for i := range table {
		if table[i].Unranked == "" {
			ranked = append(ranked, &table[i])
		}
	}
	slices.SortStableFunc(ranked, func(a, b *Standing) int { return cmp.Compare(b.High, a.High) })
	rank, low := 1, 0.0
	for i, s := range ranked {
		if i > 0 && s.High < low {
			rank, low = i+1, s.Low
		} else if i == 0 || s.Low < low {
			low = s.Low
		}
		s.Rank = rank
	}
}

func measured(stations []Figure) []Figure {
	of := slices.DeleteFunc(slices.Clone(stations), func(f Figure) bool { return f.Of <= 0 })
	slices.SortFunc(of, func(a, b Figure) int { return cmp.Or(cmp.Compare(a.Up, b.Up), cmp.Compare(a.Of, b.Of)) })
	return of
}

func interval(name string, stations []Figure) (low, high float64) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	rng := rand.New(rand.NewPCG(h.Sum64(), 0))
	shares := make([]float64, leagueDraws)
	for i := range shares {
		var up, of int64
		for range stations {
			f := stations[rng.IntN(len(stations))]
			up += f.Up
			of += f.Of
		}
		shares[i] = float64(up) / float64(of)
	}
	slices.Sort(shares)
	return stat.Quantile(0.025, stat.Empirical, shares, nil), stat.Quantile(0.975, stat.Empirical, shares, nil)
}
