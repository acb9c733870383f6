package testprog

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// SmallDisk is the directory of a file system of its own of 64 MiB in memory, until the test ends. Where none can
// be mounted, the test is left out.
func SmallDisk(t testing.TB) (dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out under -short: mounts a small disk")
	}
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("left out: a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// FillDisk leaves so many bytes free on the disk of dir, until the file is removed.
func FillDisk(t testing.TB, dir string, leave uint64) (file string) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	free := fs.Bavail * uint64(fs.Bsize) //nolint:gosec // block sizes are positive
	file = filepath.Join(dir, "filler")
	if free <= leave {
		return file
	}
	// What others write meanwhile may make it full a little earlier.
	if err := os.WriteFile(file, make([]byte, free-leave), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return file
}
