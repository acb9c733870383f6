package dashboard

import (
	"regexp"
	"testing"

	"pilewatch/dashboard/web"
)

// A word given twice silently takes the place of the first, with other blanks to fill in.
func TestNoWordOfThePageIsGivenTwice(t *testing.T) {
	text, err := web.Files.ReadFile("i18n.js")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^  '?([\w ]+?)'?: \['`).FindAllSubmatch(text, -1) {
		given[string(m[1])]++
	}
	if len(given) < 100 {
		t.Fatalf("got %d words, want all of the page's", len(given))
	}
	for word, n := range given {
		if n > 1 {
			t.Errorf("%s: given %d times, want once", word, n)
		}
	}
}
