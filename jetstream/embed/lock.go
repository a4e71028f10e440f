package embed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName is the file in the store directory that its server holds locked. The file stays; the lock ends with
// the process that holds it.
const lockName = "perdure.lock"

// errLocked: somebody else holds the lock.
var errLocked = errors.New("locked")

// lockStore makes the directory if needed and locks it. Close the file to unlock.
func lockStore(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator chooses the directory
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := lockFile(f); err != nil {
		defer f.Close()
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("lock store %s: %w", dir, err)
		}
		return nil, fmt.Errorf("%w: %s is held by %s: stop it, or choose another directory with --store", ErrStoreInUse, dir, holder(path))
	}
	// Who holds it is only told, never relied on.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

func holder(path string) string {
	b, err := os.ReadFile(path) //nolint:gosec // the operator chooses the directory
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return "process " + pid
	}
	return "another process"
}
