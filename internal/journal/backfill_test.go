package journal

import (
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

// storyOf is n messages of one reading each in partitions 0 and 1, a minute apart, and a last one of each.
func storyOf(n int) iter.Seq[Told] {
	return func(yield func(Told) bool) {
		for i := range n {
			r := charging("P1", uint64(i+1)) //nolint:gosec // small
			r.Received = noon.Add(time.Duration(i) * time.Minute)
			if !yield(Told{Partition: i % 2, At: r.Received, Readings: []charge.Reading{r}}) {
				return
			}
		}
		for p := range 2 {
			if !yield(Told{Partition: p, At: noon.Add(time.Duration(n) * time.Minute)}) {
				return
			}
		}
	}
}

func storyLog(t testing.TB) *Log {
	t.Helper()
	cfg := Embedded(t.TempDir())
	cfg.Partitions = 2
	return openLog(t, cfg)
}

// relived reads the readings of a partition's story, by their numbers, and how many messages they are.
func relived(t testing.TB, l *Log, partition, messages int) (seqs []uint64) {
	t.Helper()
	enough := errors.New("enough")
	err := l.FollowPartition(within(t), partition, 0, func(b Batch, _ uint64) error {
		if !b.Backfill {
			t.Errorf("message %d: not marked as a story's", b.Seq)
		}
		for i := range b.Readings {
			seqs = append(seqs, b.Readings[i].Seq)
		}
		if messages--; messages == 0 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	return seqs
}

func TestAStoryIsReadAsOne(t *testing.T) {
	l := storyLog(t)
	last, err := l.Backfill(t.Context(), storyOf(6))
	if err != nil || last != 8 {
		t.Fatalf("Backfill: got last %d, %v, want 8", last, err)
	}
	if diff := cmp.Diff([]uint64{1, 3, 5}, relived(t, l, 0, 4)); diff != "" {
		t.Errorf("readings of partition 0 (-want +got):\n%s", diff)
	}
}

func TestAStoryThatWasBrokenOffGoesOn(t *testing.T) {
	l := storyLog(t)
	var begun []Told
	for m := range storyOf(6) {
		begun = append(begun, m)
	}
	if _, err := l.Backfill(t.Context(), slices.Values(begun[:3])); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time nothing is left to write
		if last, err := l.Backfill(t.Context(), storyOf(6)); err != nil || last != 8 {
			t.Fatalf("Backfill again: got last %d, %v, want 8", last, err)
		}
	}
	for p, want := range [][]uint64{{1, 3, 5}, {2, 4, 6}} {
		if diff := cmp.Diff(want, relived(t, l, p, 4)); diff != "" {
			t.Errorf("readings of partition %d (-want +got):\n%s", p, diff)
		}
	}
}

func TestAStoryDoesNotFollowRealReadings(t *testing.T) {
	for _, told := range []int{0, 4} {
		l := storyLog(t)
		if told > 0 {
			if _, err := l.Backfill(t.Context(), storyOf(told)); err != nil {
				t.Fatal(err)
			}
		}
		startWriter(t, l).store(t, 1, 1)
		_, before, _ := span(t, l)
		if _, err := l.Backfill(t.Context(), storyOf(8)); !errors.Is(err, ErrReal) {
			t.Errorf("Backfill after %d messages and a gateway's: got %v, want ErrReal", told, err)
		}
		if _, after, _ := span(t, l); after != before {
			t.Errorf("Backfill after %d messages and a gateway's: the log grew from %d to %d", told, before, after)
		}
	}
}

func TestNoDoorWritesAStory(t *testing.T) {
	if b, err := decodeBatch(appendHeader(nil, noon)); err != nil || b.Backfill {
		t.Errorf("what a Writer writes: got backfill %t, %v, want false", b.Backfill, err)
	}
}
