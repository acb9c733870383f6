package ranking_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
	"pilewatch/internal/ranking"
)

func township(code string, values ...any) ranking.Township {
	t := ranking.Township{Code: charge.DivisionCode(code), Values: map[ranking.Component]float64{}}
	for i := 0; i < len(values); i += 2 {
		t.Values[values[i].(ranking.Component)] = values[i+1].(float64)
	}
	return t
}

func someWeights() ranking.Weights {
	return ranking.Weights{ranking.Distance: 3, ranking.Demand: 2, ranking.Tags: 2, ranking.Population: 1, ranking.Grid: 1, ranking.Holiday: 1}
}

var someDraws = ranking.Draws{Count: 1000, Vary: 0.2, First: 100}

func ranked(t *testing.T, w ranking.Weights, townships ...ranking.Township) []ranking.Place {
	t.Helper()
	places, err := ranking.Rank(townships, w, someDraws)
	if err != nil {
		t.Fatal(err)
	}
	return places
}

func codes(places []ranking.Place) []charge.DivisionCode {
	var all []charge.DivisionCode
	for _, p := range places {
		all = append(all, p.Code)
	}
	return all
}

func TestRanking(t *testing.T) {
	far, near := ranking.Distance, ranking.Demand
	for _, tt := range []struct {
		name string
		w    ranking.Weights
		in   []ranking.Township
		want []charge.DivisionCode
	}{
		{"the farther, the earlier", ranking.Weights{far: 1}, []ranking.Township{township("1", far, 3.0), township("2", far, 20.0), township("3", far, 7.0)}, []charge.DivisionCode{"2", "3", "1"}},
		{"equal ones by code", ranking.Weights{far: 1}, []ranking.Township{township("2", far, 3.0), township("1", far, 3.0)}, []charge.DivisionCode{"1", "2"}},
		{"no data is neither first nor last", ranking.Weights{far: 1}, []ranking.Township{township("1"), township("2", far, 20.0), township("3", far, 1.0)}, []charge.DivisionCode{"2", "1", "3"}},
		{"a weight of 0 counts for nothing", ranking.Weights{far: 1, near: 0}, []ranking.Township{township("1", far, 3.0, near, 900.0), township("2", far, 4.0, near, 1.0)}, []charge.DivisionCode{"2", "1"}},
		{"the heavier component wins", ranking.Weights{far: 1, near: 2}, []ranking.Township{township("1", far, 3.0, near, 900.0), township("2", far, 4.0, near, 1.0)}, []charge.DivisionCode{"1", "2"}},
		{"not a number is no data", ranking.Weights{far: 1}, []ranking.Township{township("1", far, math.NaN()), township("2", far, 20.0), township("3", far, 1.0)}, []charge.DivisionCode{"2", "1", "3"}},
		{"nothing to rank", ranking.Weights{far: 1}, nil, nil},
	} {
		if got := codes(ranked(t, tt.w, tt.in...)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestPercentilesAndNoDataAreShown(t *testing.T) {
	d := ranking.Distance
	places := ranked(t, ranking.Weights{d: 1}, township("1", d, 5.0), township("2", d, 5.0), township("3", d, 9.0), township("4", d, 1.0), township("5"))
	got := map[charge.DivisionCode]ranking.Part{}
	for _, p := range places {
		got[p.Code] = p.Parts[d]
	}
	want := map[charge.DivisionCode]ranking.Part{
		"1": {Value: 5, Percentile: 0.5}, "2": {Value: 5, Percentile: 0.5}, "3": {Value: 9, Percentile: 1}, "4": {Value: 1}, "5": {Percentile: 0.5, NoData: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(places[0].Parts) != 6 || !places[0].Parts[ranking.Grid].NoData {
		t.Errorf("components: got %v", places[0].Parts)
	}
}

func TestStabilityTellsAClearPlaceFromALuckyOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var in []ranking.Township
	for i := range 300 {
		in = append(in, township(fmt.Sprintf("%09d", i), ranking.Distance, rng.Float64(), ranking.Demand, rng.Float64(), ranking.Population, rng.Float64()))
	}
	in = append(in, township("999999998", ranking.Distance, 2.0, ranking.Demand, 2.0, ranking.Population, 2.0), township("999999999", ranking.Distance, -2.0, ranking.Demand, -2.0, ranking.Population, -2.0))
	places := ranked(t, someWeights(), in...)
	if first := places[0]; first.Code != "999999998" || first.Stability != 1 {
		t.Errorf("the first by all: got %s, stability %v, want 1", first.Code, first.Stability)
	}
	if last := places[len(places)-1]; last.Code != "999999999" || last.Stability != 0 {
		t.Errorf("the last by all: got %s, stability %v, want 0", last.Code, last.Stability)
	}
	if p := places[99]; p.Stability <= 0.2 || p.Stability >= 0.99 {
		t.Errorf("the hundredth: stability %v", p.Stability)
	}
	sum := 0.0
	for _, p := range places {
		sum += p.Stability
	}
	if math.Abs(sum-100) > 1e-6 {
		t.Errorf("stabilities add up to %v, want 100 places", sum)
	}
}

func TestWeightsFromAFileAreChecked(t *testing.T) {
	for name, w := range map[string]ranking.Weights{
		"none": {}, "all 0": {ranking.Grid: 0}, "negative": {ranking.Grid: -1}, "not a number": {ranking.Grid: math.NaN()},
		"endless": {ranking.Grid: math.Inf(1)}, "unknown": {"beauty": 1},
	} {
		if _, err := ranking.Rank(nil, w, someDraws); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := someWeights().Check(); err != nil {
		t.Error(err)
	}
	if _, err := ranking.Rank([]ranking.Township{{Code: "1"}, {Code: "1"}}, someWeights(), someDraws); err == nil {
		t.Error("a township was ranked twice")
	}
}

func TestStabilityIsThatOfTheDrawsAskedFor(t *testing.T) {
	in := []ranking.Township{
		township("000000001", ranking.Distance, 2.0, ranking.Demand, 1.0), township("000000002", ranking.Distance, 1.0, ranking.Demand, 2.0),
	}
	w := ranking.Weights{ranking.Distance: 1.05, ranking.Demand: 1}
	for _, tt := range []struct {
		name   string
		draws  ranking.Draws
		stable func(first float64) bool
	}{
		{"weights that do not vary", ranking.Draws{Count: 50, First: 1}, func(s float64) bool { return s == 1 }},
		{"weights that do", ranking.Draws{Count: 500, Vary: 0.2, First: 1}, func(s float64) bool { return s > 0.4 && s < 0.9 }},
		{"both are among the first two", ranking.Draws{Count: 50, Vary: 0.2, First: 2}, func(s float64) bool { return s == 1 }},
	} {
		places, err := ranking.Rank(in, w, tt.draws)
		if err != nil || !tt.stable(places[0].Stability) {
			t.Errorf("%s: got %v, %v", tt.name, places, err)
		}
	}
	for _, bad := range []ranking.Draws{{}, {Count: 1}, {Count: 1, First: 1, Vary: 1.5}, {Count: 1, First: 1, Vary: math.NaN()}} {
		if _, err := ranking.Rank(in, w, bad); err == nil {
			t.Errorf("%+v: taken", bad)
		}
	}
}

func TestTagsCountOnce(t *testing.T) {
	if got := ranking.CountTags([]string{"乡镇驻地", "和美乡村", "乡镇驻地", "别的"}); got != 2 {
		t.Errorf("got %d, want 2", got)
	}
}

func anyTownships(t *rapid.T) []ranking.Township {
	var all []ranking.Township
	for i := range rapid.IntRange(0, 25).Draw(t, "townships") {
		one := ranking.Township{Code: charge.DivisionCode(fmt.Sprintf("%09d", i)), Values: map[ranking.Component]float64{}}
		for _, c := range ranking.Components() {
			if v := rapid.IntRange(-2, 9).Draw(t, string(c)); v >= 0 {
				one.Values[c] = float64(v)
			}
		}
		all = append(all, one)
	}
	return all
}

func TestRankingIsTheSameWhateverTheOrderAndScale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyTownships(t)
		places, err := ranking.Rank(in, someWeights(), someDraws)
		if err != nil {
			t.Fatal(err)
		}
		shuffled := slices.Clone(in)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		again, err := ranking.Rank(shuffled, someWeights(), someDraws)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(places, again); diff != "" {
			t.Fatal(diff)
		}
		for i := range in { // kilometres or miles
			scaled := map[ranking.Component]float64{}
			for c, v := range in[i].Values {
				scaled[c] = v*8 + 3
			}
			in[i].Values = scaled
		}
		scaled, err := ranking.Rank(in, someWeights(), someDraws)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(codes(scaled), codes(places)) {
			t.Fatal("another unit gives another order")
		}
		for i, p := range places {
			if p.Rank != i+1 || p.Score < 0 || p.Score > 1 || p.Stability < 0 || p.Stability > 1 {
				t.Fatalf("%+v at place %d", p, i+1)
			}
			if len(places) <= 100 && p.Stability != 1 {
				t.Fatalf("stability %v among %d", p.Stability, len(places))
			}
			sum, weight := 0.0, 0.0
			for c, part := range p.Parts {
				if part.Percentile < 0 || part.Percentile > 1 || part.NoData && part.Percentile != 0.5 {
					t.Fatalf("%s: %+v", c, part)
				}
				sum += part.Percentile * someWeights()[c]
				weight += someWeights()[c]
			}
			if math.Abs(p.Score-sum/weight) > 1e-9 {
				t.Fatalf("score %v, its parts give %v", p.Score, sum/weight)
			}
		}
	})
}

func TestDistance(t *testing.T) {
	jinan, qingdao := ranking.Point{Lng: 117.0009, Lat: 36.6758}, ranking.Point{Lng: 120.3550, Lat: 36.0830}
	if got := ranking.KM(jinan, qingdao); math.Abs(got-307.3) > 1 {
		t.Errorf("Jinan to Qingdao: got %v km", got)
	}
	if got := ranking.KM(ranking.Point{}, ranking.Point{Lng: 180}); math.Abs(got-math.Pi*6371.0088) > 1e-6 {
		t.Errorf("half around the earth: got %v km", got)
	}
	if _, ok := ranking.NewStations(nil).NearestKM(jinan); ok {
		t.Error("a distance without a station")
	}
	if _, ok := ranking.NewStations([]ranking.Point{qingdao}).NearestKM(ranking.Point{Lng: math.NaN()}); ok {
		t.Error("a distance from nowhere")
	}
	if _, ok := ranking.NewStations([]ranking.Point{{Lat: 91}}).NearestKM(jinan); ok {
		t.Error("a distance to a station that is not on the earth")
	}
	rapid.Check(t, func(t *rapid.T) {
		point := rapid.Custom(func(t *rapid.T) ranking.Point {
			return ranking.Point{Lng: rapid.Float64Range(114, 123).Draw(t, "lng"), Lat: rapid.Float64Range(34, 39).Draw(t, "lat")}
		})
		points := rapid.SliceOfN(point, 1, 30).Draw(t, "stations")
		from := point.Draw(t, "from")
		want := math.Inf(1)
		for _, p := range points {
			want = min(want, ranking.KM(from, p))
		}
		if got, ok := ranking.NewStations(points).NearestKM(from); !ok || math.Abs(got-want) > 1e-5 {
			t.Fatalf("got %v (%v), want %v", got, ok, want)
		}
	})
}
