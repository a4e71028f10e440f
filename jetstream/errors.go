package jetstream

import "errors"

var (
	// ErrIncompatible is returned when streams or buckets of the installation's names exist, but are not what this program
	// needs: somebody else's, or fixed otherwise when they were made. The text names the stream and what to do.
	ErrIncompatible = errors.New("incompatible store")
	// ErrNewerFormat is returned when the store was written by a newer version. Upgrade this program.
	ErrNewerFormat = errors.New("store format is newer")
)
