package router

import (
	"context"
	"errors"
	"fmt"
)

// acquire creates the session's lease, however long the servers take to answer. A lease that another session left
// under this name is in the way until it has been silent for a TTL; when it is renewed twice meanwhile, or another takes
// its place, a living node has our name: [ErrNameTaken]. Renewed once, it may be by what a dead process left on its way.
func (s *session) acquire(ctx context.Context) error {
	var before Lease // the lease in the way, as seen before
	renewed := false // once
	for ctx.Err() == nil {
		there, err := s.create(ctx)
		s.trouble.about(ctx, "create the node's lease", err)
		switch {
		case err != nil:
		case there.Session == s.self.session:
			s.cfg.Log.InfoContext(ctx, "lease created", "session", s.self.session, "ttl", s.cfg.TTL)
			return nil
		case there.Revision == 0 || s.displace(ctx, there):
			continue
		case before.Revision == 0:
			before = there
			s.cfg.Log.InfoContext(ctx, "waiting for the lease of an earlier session to lapse", "session", there.Session)
		case before.Session == there.Session && before.Revision != there.Revision && !renewed:
			before, renewed = there, true
		case before.Session != there.Session || before.Revision != there.Revision:
			return fmt.Errorf("%w: %q is a living node's (session %s, address %q); give this node another name",
				ErrNameTaken, s.self.node, there.Session, there.Address)
		}
		pause(ctx, s.interval())
	}
	return ctx.Err()
}

// create tries once, and returns the lease that the node then has: ours, another session's, or none.
func (s *session) create(ctx context.Context) (Lease, error) {
	sent := s.now()
	revision, err := s.cfg.Leases.Create(ctx, s.lease)
	if err == nil {
		s.began(sent, revision)
		return s.lease, nil
	}
	if !errors.Is(err, ErrConflict) {
		return Lease{}, err
	}
	there, err := s.cfg.Leases.Get(ctx, s.self.node)
	if err != nil || there.Session != s.self.session {
		return there, err
	}
	// A try of ours came through, unheard of. When it was sent is forgotten: a renewal starts the count.
	s.lease.Revision = there.Revision
	sent = s.now()
	revision, err = s.cfg.Leases.Renew(ctx, s.lease)
	if err != nil {
		return Lease{}, err
	}
	s.began(sent, revision)
	return s.lease, nil
}

// displace deletes another session's lease if that is dead, and reports whether it did.
func (s *session) displace(ctx context.Context, there Lease) bool {
	s.view.see(there, s.now().Mono)
	if s.view.silent(there.Session, there.TTL, s.now().Mono) > 0 || s.cfg.Leases.Delete(ctx, there) != nil {
		return false
	}
	s.view.vanished(there)
	return true
}

// confirmDead makes sure that a silent session cannot renew its lease any more.
func (s *session) confirmDead(ctx context.Context, node, session string) bool {
	if node != s.self.node { // else our own lease is in its place
		there, err := s.cfg.Leases.Get(ctx, node)
		s.trouble.about(ctx, "read the lease of a silent node", err)
		switch {
		case err != nil:
			s.view.doubt(s.now().Mono + s.interval()/2) // it may not have been able to renew for the same reason
			return false
		case there.Session == session && !s.displace(ctx, there),
			there.Revision != 0 && there.Session == "" && s.cfg.Leases.Delete(ctx, there) != nil:
			return false // it lives after all, or may
		}
	}
	s.view.bury(session)
	return true
}

// surrender deletes the lease of a session that has ended in good order.
func (s *session) surrender(ctx context.Context) {
	err := s.cfg.Leases.Delete(ctx, s.lease)
	if errors.Is(err, ErrConflict) {
		there, getErr := s.cfg.Leases.Get(ctx, s.self.node)
		switch {
		case getErr != nil:
			err = getErr
		case there.Session == s.self.session: // renewed, unheard of
			err = s.cfg.Leases.Delete(ctx, there)
		default:
			return
		}
	}
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "lease left to lapse", "session", s.self.session, "error", err)
	}
}
