// Package inspection draws piles and inspectors at random (双随机), so that nobody chooses who is inspected, nor by
// whom, and anybody can draw again from what is kept: the seed and the two lists. It is pure.
package inspection

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
)

// Inspectors is how many each inspection takes.
const Inspectors = 2

// A Pick is a pile that is to be inspected, and by whom.
type Pick struct {
	Pile       string
	Inspectors []string
}

// Draw picks count of the piles, and two inspectors for each: those whose SHA-256 of "{seed}\n{pile}" is the least, and
// for each pile those of "{seed}\n{pile}\n{inspector}", as `sha256sum` gives it for the same text without an end of
// line. The order of the lists does not matter. Fewer piles than count are all picked.
func Draw(seed string, piles, inspectors []string, count int) ([]Pick, error) {
	piles, inspectors = slices.Compact(slices.Sorted(slices.Values(piles))), slices.Compact(slices.Sorted(slices.Values(inspectors)))
	switch {
	case seed == "":
		return nil, fmt.Errorf("draw piles to inspect: give a seed")
	case count < 1:
		return nil, fmt.Errorf("draw piles to inspect: want at least 1 pile, not %d", count)
	case len(piles) == 0:
		return nil, fmt.Errorf("draw piles to inspect: there are none to draw from")
	case len(inspectors) < Inspectors:
		return nil, fmt.Errorf("draw piles to inspect: want at least %d inspectors, there are %d", Inspectors, len(inspectors))
	}
	var picks []Pick
	for _, pile := range least(seed, piles, count) {
		picks = append(picks, Pick{pile, least(seed+"\n"+pile, inspectors, Inspectors)})
	}
	return picks, nil
}

// least gives the n of the names whose hash is the least, in its order.
func least(seed string, names []string, n int) []string {
	type hashed struct {
		name string
		hash [sha256.Size]byte
	}
	all := make([]hashed, len(names))
	for i, name := range names {
		all[i] = hashed{name, sha256.Sum256([]byte(seed + "\n" + name))}
	}
	slices.SortFunc(all, func(a, b hashed) int { return cmp.Or(bytes.Compare(a.hash[:], b.hash[:]), cmp.Compare(a.name, b.name)) })
	first := make([]string, 0, n)
	for _, one := range all[:min(n, len(all))] {
		first = append(first, one.name)
	}
	return first
}
