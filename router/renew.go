package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// interval is the time between renewals, and between other looks at the servers.
func (s *session) interval() time.Duration { return s.cfg.TTL / renewals }

// again is the time until a renewal that failed is tried again, and until a node without trust looks whether it has some:
// a part of the time for which objects stand still when the leases were out of reach. A request that nobody answers is
// repeated as often.
func (s *session) again() time.Duration { return s.interval() / 5 }

// began notes that the lease is at revision, by a request sent at sent.
func (s *session) began(sent Instant, revision uint64) {
	if s.lease.Revision != 0 && (s.failed || s.left() == 0) {
		s.view.doubt(s.now().Mono + s.interval()/2) // what kept this node from renewing may have kept others
	}
	s.lease.Revision = revision
	s.setTrust(NewTrust(s.cfg.TTL, sent))
	select {
	case s.renewed <- struct{}{}:
	default:
	}
}

// renew renews the lease until ctx ends, and then returns nil, or until it is lost: errSessionLost.
func (s *session) renew(ctx context.Context) error {
	next := time.NewTimer(s.interval())
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		case <-s.news:
		}
		begin := time.Now()
		s.lease.Draining = s.wantsOut()
		err := s.renewOnce(ctx)
		if errors.Is(err, errSessionLost) {
			return err
		}
		s.failed = err != nil
		s.trouble.about(ctx, "renew the lease", err)
		wait := s.interval()
		if err != nil {
			wait = s.again()
		}
		next.Reset(max(wait-time.Since(begin), 0))
	}
}

// renewOnce tries one renewal, and another when the first met one whose answer we did not get.
// Every error but errSessionLost leaves it open whether the lease was renewed.
func (s *session) renewOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.interval())
	defer cancel()
	for {
		sent, revision, err := s.ask(ctx)
		if err == nil {
			s.began(sent, revision)
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
		there, err := s.cfg.Leases.Get(ctx, s.self.node)
		switch {
		case err != nil:
			return err
		case there.Revision == 0:
			return fmt.Errorf("%w: it lapsed or was deleted", errSessionLost)
		case there.Session != s.self.session && there.Session != "": // without one it is a stranger's: write over it
			return fmt.Errorf("%w: session %s has taken its place", errSessionLost, there.Session)
		case there.Revision == s.lease.Revision:
			return ErrConflict // something is in flight: not now
		}
		s.lease.Revision = there.Revision
	}
}

// ask asks for a renewal, and again while nobody answers: what is sent to a leader that stopped is lost, and who is asked
// a moment later may be the next. At most one of these requests is written, because all expect one revision. The first
// answer counts, but a conflict of a repeated request does not while one before is being written: servers that are slow
// would never renew anything.
func (s *session) ask(ctx context.Context) (Instant, uint64, error) {
	type answer struct {
		sent     Instant
		revision uint64
		err      error
	}
	var asks sync.WaitGroup
	defer asks.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, s.interval()/s.again())
	again := time.NewTicker(s.again())
	defer again.Stop()
	for n := 0; ; n++ {
		if n < cap(answers) {
			asks.Go(func() {
				sent := s.now()
				revision, err := s.cfg.Leases.Renew(ctx, s.lease)
				if n == 0 || !errors.Is(err, ErrConflict) || !s.unchanged(ctx) { // the first one always answers
					answers <- answer{sent, revision, err}
				}
			})
		}
		select {
		case a := <-answers:
			return a.sent, a.revision, a.err
		case <-again.C:
		}
	}
}

// unchanged reports whether the lease is still at the revision that is known.
func (s *session) unchanged(ctx context.Context) bool {
	there, err := s.cfg.Leases.Get(ctx, s.self.node)
	return err == nil && there.Revision == s.lease.Revision
}

// guard tells the host whenever trust ends or begins anew, until ctx ends; a lost lease ends both.
func (s *session) guard(ctx context.Context) {
	trusted := true
	for {
		left := s.left()
		if now := left > 0; now != trusted {
			trusted = now
			s.cfg.Log.WarnContext(ctx, "trust in the lease changed", "trusted", trusted)
			s.cfg.Host.SetTrusted(trusted)
		}
		wait := s.cfg.TTL / checks
		if trusted {
			wait = min(wait, left)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			if s.left() == 0 {
				s.cfg.Host.SetTrusted(false)
			}
			return
		case <-timer.C:
		case <-s.renewed:
			timer.Stop()
		}
	}
}
