package perdure

import (
	"context"
	"errors"
	"testing"

	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/jetstream"
)

// TestFlags_Limits keeps the limits of flags those of the store.
func TestFlags_Limits(t *testing.T) {
	nc := natstest.Connect(t, natstest.Server(t))
	ended, end := context.WithCancel(t.Context())
	end()
	for _, c := range []struct {
		cfg   jetstream.Config
		taken bool
	}{
		{jetstream.Config{Partitions: maxPartitions}, true},
		{jetstream.Config{Partitions: maxPartitions + 1}, false},
		{jetstream.Config{LogStreams: maxLogStreams}, true},
		{jetstream.Config{LogStreams: maxLogStreams + 1}, false},
	} {
		if _, err := jetstream.Provision(ended, nc, c.cfg); errors.Is(err, context.Canceled) != c.taken {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
}
