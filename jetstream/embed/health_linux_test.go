package embed

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestServer_fullDisk fills the disk under a running server: it tells, and takes messages again when it is started
// again with room.
func TestServer_fullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); err != nil {
		t.Skipf("mounting a small disk needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := start(t, Config{Store: dir})
	j := stream(t, connect(t, s.URL()))
	if _, err := j.Publish(t.Context(), "s.x", nil); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	if err := fill(filler); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	var err error
	began := time.Now()
	for err == nil {
		_, err = j.Publish(t.Context(), "s.x", make([]byte, 100_000))
	}
	t.Logf("a publish to the full disk gives, after %v: %v", time.Since(began), err)
	select {
	case err := <-s.Failed():
		if !errors.Is(err, ErrFailed) {
			t.Error(err)
		}
		t.Log(err)
	case <-time.After(time.Minute):
		t.Fatal("the failure is not seen")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s = start(t, Config{Store: dir})
	if _, err := stream(t, connect(t, s.URL())).Publish(t.Context(), "s.x", make([]byte, 100_000)); err != nil {
		t.Errorf("after a restart with room: %v", err)
	}
}

func fill(path string) error {
	f, err := os.Create(path) //nolint:gosec // in a test's own directory
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
}
