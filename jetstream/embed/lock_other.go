//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package embed

import "os"

// lockFile does not lock: this platform has no lock that ends with the process in the standard library.
func lockFile(*os.File) error { return nil }
