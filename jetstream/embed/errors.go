package embed

import "errors"

var (
	// ErrStoreInUse is returned when another process runs a server on the store directory. Stop it or choose another directory.
	ErrStoreInUse = errors.New("store is in use")
	// ErrListen is returned when the address cannot be listened on, because it is in use or not ours. Choose another one.
	ErrListen = errors.New("cannot listen")
	// ErrOtherStore is returned when the store was made under another server name, in another cluster, or by a server
	// that was alone and now is to be in a cluster. Use its names, or another directory.
	ErrOtherStore = errors.New("store is another server's")
	// ErrFailed is given when the server cannot write its store, or gave JetStream up. Start it again.
	ErrFailed = errors.New("embedded server failed")
)
