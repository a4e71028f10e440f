package embed

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// healthEvery is how often the server's health is looked at; after an error in its log it is at once.
const healthEvery = time.Second

// Failed gives one error, [ErrFailed], when the server cannot go on: a stream that had a write error takes
// nothing more until the server is started again.
func (s *Server) Failed() <-chan error { return s.failed }

func (s *Server) lookNow() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

func (s *Server) watch(ctx context.Context) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		if err := s.health(); err != nil {
			s.failed <- err
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.kick:
		}
	}
}

// health looks for what does not heal by itself. A cluster that elects or catches up does.
func (s *Server) health() error {
	if !s.ns.JetStreamEnabled() {
		return fmt.Errorf("%w: JetStream is disabled", ErrFailed)
	}
	h := s.ns.Healthz(&server.HealthzOptions{Details: true})
	for _, e := range h.Errors {
		if strings.Contains(e.Error, "write error") {
			return fmt.Errorf("%w: %s", ErrFailed, e.Error)
		}
	}
	return nil
}
