package quality

import (
	"slices"

	"pilewatch/internal/charge"
)

// Clones finds connectors that tell another's values: at least 20 readings under power, and 90 % of those it
// has, are equal to the other's in voltage, current, power and temperature within the same minute. Of equal
// ones the first by key is taken to be the one that measured. readings are of any number of connectors, in
// any order.
func Clones(readings []charge.Reading, l Limits) []Finding {
	type moment struct {
		values
		minute int64
	}
	at := map[moment][]int{}
	count := map[charge.ConnectorKey]int{}
	key := func(r *charge.Reading) charge.ConnectorKey {
		return charge.ConnectorKey{Pile: r.Pile, Connector: r.Connector}
	}
	for i := range readings {
		if v, ok := measured(&readings[i]); ok {
			m := moment{v, readings[i].At.Unix() / 60}
			at[m] = append(at[m], i)
			count[key(&readings[i])]++
		}
	}
	type pair struct{ clone, of charge.ConnectorKey }
	pairs := map[pair]*Finding{}
	for _, same := range at {
		first := key(&readings[same[0]])
		for _, i := range same {
			if k := key(&readings[i]); k.Compare(first) < 0 {
				first = k
			}
		}
		for _, i := range same {
			r := &readings[i]
			p := pair{key(r), first}
			if p.clone == p.of {
				continue
			}
			f := pairs[p]
			if f == nil {
				f = &Finding{What: Cloned, Connector: p.clone, Other: p.of, From: r.At, Until: r.At}
				pairs[p] = f
			}
			f.Messages++
			if r.At.Before(f.From) {
				f.From = r.At
			}
			if r.At.After(f.Until) {
				f.Until = r.At
			}
		}
	}
	var found []Finding
	for _, f := range pairs {
		f.Value = float64(f.Messages) / float64(count[f.Connector])
		if f.Messages >= l.ClonedCount && f.Value >= l.ClonedShare {
			found = append(found, *f)
		}
	}
	slices.SortFunc(found, func(a, b Finding) int { return a.Connector.Compare(b.Connector) })
	return found
}
