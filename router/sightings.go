package router

import "time"

// sightings is what a node has seen of the sessions of all nodes: it takes a session for dead when it has seen no
// renewal of it for the TTL of its lease, on its own monotonic clock.
type sightings struct {
	seen  map[string]sighting // by session
	doubt time.Duration       // nobody is taken for dead before, unless known to be
}

type sighting struct {
	revision uint64        // of the lease as last seen; 0: it was looked for and not seen
	at       time.Duration // when a renewal was last seen, or when it was first looked for
	buried   bool          // known to be dead
}

func newSightings() sightings { return sightings{seen: map[string]sighting{}} }

// see notes a lease of the session. Only a revision that differs from the one before is a sign of life.
func (s *sightings) see(session string, revision uint64, now time.Duration) {
	was, ok := s.seen[session]
	if ok && (was.buried || was.revision == revision) {
		return
	}
	s.seen[session] = sighting{revision: revision, at: now}
}

// silent returns for how much longer a session whose lease has this TTL must stay unseen to be taken for dead;
// 0: it is dead. For a session never seen the count begins now.
func (s *sightings) silent(session string, ttl, now time.Duration) time.Duration {
	was, ok := s.seen[session]
	if !ok {
		was = sighting{at: now}
		s.seen[session] = was
	}
	if was.buried {
		return 0
	}
	return max(was.at+ttl-now, s.doubt-now, 0)
}

// restart counts from now for every session that is not known to be dead.
func (s *sightings) restart(now time.Duration) {
	for session, was := range s.seen {
		if !was.buried {
			was.at = now
			s.seen[session] = was
		}
	}
}

// bury notes that the session cannot come back.
func (s *sightings) bury(session string) { s.seen[session] = sighting{buried: true} }

// prune forgets the sessions that nothing names any more.
func (s *sightings) prune(named map[string]bool) {
	for session := range s.seen {
		if !named[session] {
			delete(s.seen, session)
		}
	}
}
