package journal

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Below 5 % of free disk, or below the bytes that KeepFree names, the log must not be written: a
// file store that has failed once stays failed, and what ingest keeps on the same disk fails too.
// It is written again when there is a tenth more.
const (
	keepFreePart = 20      // a twentieth is 5 %
	keepFree     = 2 << 30 // unless KeepFree says otherwise
	lookAtDisk   = time.Second
	restartAgain = 5 * time.Second
)

// ErrDiskLow is what PublishReject returns while the log's disk is low.
var ErrDiskLow = errors.New("the log's disk is low")

// A disk is that of the embedded log.
type disk struct {
	free     func() (free, total uint64, err error) // nil where the log is elsewhere: that NATS has limits of its own
	keepFree uint64
	every    time.Duration // lookAtDisk
}

func diskOf(dir string) func() (free, total uint64, err error) {
	return func() (free, total uint64, err error) {
		var s syscall.Statfs_t
		if err := syscall.Statfs(dir, &s); err != nil {
			return 0, 0, fmt.Errorf("ask for the free space of %s: %w", dir, err)
		}
		size := uint64(s.Bsize) //nolint:gosec // not negative
		return s.Bavail * size, s.Blocks * size, nil
	}
}

// lowNow tells whether the disk is low, of which it was so before.
func (d *disk) lowNow(free, total uint64, before bool) bool {
	limit := max(total/keepFreePart, d.keepFree)
	if before {
		limit += limit / 10
	}
	return free < limit
}

// KeepFree sets below how many bytes of free disk nothing is written; 2 GiB without it. It is
// called before Run.
func (w *Writer) KeepFree(bytes uint64) { w.disk.keepFree = bytes }

// watch looks at the disk until ctx ends.
func (w *Writer) watch(ctx context.Context) {
	looks := time.NewTicker(w.disk.every)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
			w.look()
		}
		if !w.log.broken.Load() || w.log.diskLow.Load() {
			continue
		}
		w.slog.Error("embedded log has failed to write, starting it again")
		if err := w.log.restart(); err != nil {
			w.slog.Error("embedded log cannot be started again, trying again later", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(restartAgain):
			}
		}
	}
}

// look looks at the disk once, and tells once that it is low and once that it is not any more.
func (w *Writer) look() {
	if w.disk.free == nil {
		return
	}
	free, total, err := w.disk.free()
	if err != nil {
		w.slog.Error("free space of the log's disk is not known", "err", err)
		return
	}
	w.metrics.free.Set(float64(free))
	before := w.log.diskLow.Load()
	low := w.disk.lowNow(free, total, before)
	if low == before {
		return
	}
	w.log.diskLow.Store(low)
	if low {
		w.metrics.low.Set(1)
		w.slog.Error("log's disk is low, acknowledgements wait until there is room", "free_mib", free>>20, "of_mib", total>>20, "keep_free_mib", max(total/keepFreePart, w.disk.keepFree)>>20)
		return
	}
	w.metrics.low.Set(0)
	w.slog.Info("log's disk has room again", "free_mib", free>>20)
}
