package inspection_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pilewatch/internal/inspection"
)

func TestAnybodyCanDrawAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[A-Z0-9]{1,6}:[A-Z0-9]{1,4}`)
		piles := rapid.SliceOfNDistinct(name, 1, 60, rapid.ID).Draw(t, "piles")
		people := rapid.SliceOfNDistinct(rapid.StringMatching(`[甲乙丙丁戊己庚辛]{1,3}`), 2, 9, rapid.ID).Draw(t, "people")
		count := rapid.IntRange(1, 70).Draw(t, "count")
		seed := rapid.StringMatching(`[0-9a-f]{8}`).Draw(t, "seed")
		first, err := inspection.Draw(seed, piles, people, count)
		if err != nil || len(first) != min(count, len(piles)) {
			t.Fatalf("got %d of %d, %v", len(first), len(piles), err)
		}
		again, err := inspection.Draw(seed, rapid.Permutation(piles).Draw(t, "order"), rapid.Permutation(people).Draw(t, "order of people"), count)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(first) {
			t.Fatalf("in another order: got %v, want %v", again, first)
		}
		seen := map[string]bool{}
		for _, p := range first {
			if seen[p.Pile] || !slices.Contains(piles, p.Pile) || len(p.Inspectors) != 2 || p.Inspectors[0] == p.Inspectors[1] {
				t.Fatalf("got %+v", p)
			}
			seen[p.Pile] = true
		}
		// More are drawn, and those that were are among them.
		if more, err := inspection.Draw(seed, piles, people, count+1); err != nil || fmt.Sprint(more[:len(first)]) != fmt.Sprint(first) {
			t.Fatalf("one more: got %v after %v", more, first)
		}
	})
}

func TestAShellDrawsTheSame(t *testing.T) {
	piles := []string{"OP:1", "OP:2", "OP:3", "OP:4", "OP:5", "OP:6", "OP:7"}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `for p in `+strings.Join(piles, " ")+`; do printf 'seed\n%s' "$p" | sha256sum | cut -c1-64 | tr '\n' ' '; echo "$p"; done | sort | head -3 | cut -d' ' -f2`).Output()
	if err != nil {
		t.Skipf("no shell with sha256sum: %v", err)
	}
	picks, err := inspection.Draw("seed", piles, []string{"甲", "乙", "丙"}, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range strings.Fields(string(out)) {
		if picks[i].Pile != p {
			t.Errorf("pile %d: got %s, the shell says %s", i+1, picks[i].Pile, p)
		}
	}
}

func TestWhatCannotBeDrawnFrom(t *testing.T) {
	for name, err := range map[string]error{
		"no seed":         second(inspection.Draw("", []string{"a"}, []string{"x", "y"}, 1)),
		"no pile":         second(inspection.Draw("s", nil, []string{"x", "y"}, 1)),
		"one inspector":   second(inspection.Draw("s", []string{"a"}, []string{"x", "x"}, 1)),
		"none to inspect": second(inspection.Draw("s", []string{"a"}, []string{"x", "y"}, 0)),
	} {
		if err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func second(_ []inspection.Pick, err error) error { return err }
