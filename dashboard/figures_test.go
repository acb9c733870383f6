package dashboard

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestDearFiguresAreGivenWhileTheyAreMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 10 * time.Second
		made, fails := 0, false
		o := once[string, int]{holds: time.Minute, kept: 1, make: func(context.Context, string) (int, error) {
			time.Sleep(takes)
			if fails {
				return 0, errTold
			}
			made++
			return made, nil
		}}
		get := func() (value int, took time.Duration) {
			t.Helper()
			begun := time.Now()
			value, ok, err := o.get(t.Context(), "")
			if err != nil || !ok {
				t.Fatalf("got %v, %v", ok, err)
			}
			return value, time.Since(begun)
		}
		for _, tt := range []struct {
			name  string
			after time.Duration
			fails bool
			want  int
			took  time.Duration
		}{
			{"the first asker waits", 0, false, 1, takes},
			{"it holds for twenty times as long as it took", 180 * time.Second, false, 1, 0},
			{"then the old one is given, at once", 20 * time.Second, false, 1, 0},
			{"also to those who come while it is made anew", time.Second, false, 1, 0},
			{"and then the new one", takes, false, 2, 0},
			{"what fails leaves the old one", 200 * time.Second, true, 2, 0},
			{"for as long as it is not much too old", 2 * takes, false, 2, 0},
			{"and it is tried again", takes + time.Second, false, 3, 0},
			{"what is much too old is not given", 601 * time.Second, false, 4, takes},
		} {
			time.Sleep(tt.after)
			fails = tt.fails
			if got, took := get(); got != tt.want || took != tt.took {
				t.Errorf("%s: got %d after %s, want %d after %s", tt.name, got, took, tt.want, tt.took)
			}
		}
		synctest.Wait()
	})
}
