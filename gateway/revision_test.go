package gateway

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAChangeOfTheRegistryIsTickedAtOnceAndWhenAllHaveSeenIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var revision, ticks atomic.Int64
		go tickAtRevisions(ctx, revision.Load, func() { ticks.Add(1) })
		after := func(pass time.Duration, want int64) {
			t.Helper()
			time.Sleep(pass)
			synctest.Wait()
			if got := ticks.Load(); got != want {
				t.Errorf("ticks: got %d, want %d", got, want)
			}
		}
		after(time.Minute, 0)
		revision.Add(1)
		after(time.Second, 1)
		after(3*time.Second, 2)
		after(time.Minute, 2)
		revision.Add(1)
		after(time.Second, 3)
		revision.Add(1) // again before the second tick: that is put off
		after(time.Second, 4)
		after(3*time.Second, 5)
		stop()
	})
}
