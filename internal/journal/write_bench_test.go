package journal

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// BenchmarkAppendStored counts what is on disk (every sync waited for) when senders hand over
// one reading at a time, as piles do, and batches, as operators' platforms do.
func BenchmarkAppendStored(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l, err := Open(b.Context(), Embedded(b.TempDir()), slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			w := l.NewWriter(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			ctx, stop := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- w.Run(ctx) }()
			batch := make([]Placed, size)
			for i := range batch {
				batch[i] = Placed{Partition: i % l.Partitions(), Reading: charging(fmt.Sprintf("DX-%05d", i), uint64(i))}
			}
			var stored, latency atomic.Int64
			const underWay = 20_000 // readings of all senders together
			room := make(chan struct{}, underWay/size)
			b.ResetTimer()
			n := 0
			for b.Loop() {
				room <- struct{}{}
				batch[0].Partition = n % l.Partitions()
				begun := time.Now()
				if err := w.Append(ctx, batch, func() {
					latency.Add(int64(time.Since(begun)))
					stored.Add(int64(size))
					<-room
				}); err != nil {
					b.Fatal(err)
				}
				n++
			}
			for range cap(room) {
				room <- struct{}{} // all that is under way is stored
			}
			b.StopTimer()
			if got := stored.Load(); got != int64(n*size) {
				b.Errorf("stored: got %d readings, want %d", got, n*size)
			}
			b.ReportMetric(float64(n*size)/b.Elapsed().Seconds(), "readings/s")
			b.ReportMetric(float64(latency.Load())/float64(n)/1e6, "ms/append")
			stop()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
	}
}
