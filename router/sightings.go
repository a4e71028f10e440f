package router

import "time"

// sightings is what a node has seen of the sessions of all nodes: it takes a session for dead when it has seen no
// renewal of it for a TTL, on its own monotonic clock.
type sightings struct {
	ttl  time.Duration
	seen map[string]sighting // by session
}

type sighting struct {
	revision uint64        // of the lease as last seen; 0: it was looked for and not seen
	at       time.Duration // when a renewal was last seen, or when it was first looked for
	buried   bool          // known to be dead
}

func newSightings(ttl time.Duration) sightings {
	return sightings{ttl: ttl, seen: map[string]sighting{}}
}

// see notes a lease of the session. Only a revision that differs from the one before is a sign of life.
func (s sightings) see(session string, revision uint64, now time.Duration) {
	was, ok := s.seen[session]
	if ok && (was.buried || was.revision == revision) {
		return
	}
	s.seen[session] = sighting{revision: revision, at: now}
}

// silent returns for how much longer a session must stay unseen to be taken for dead; 0: it is dead.
// For a session never seen the count begins now.
func (s sightings) silent(session string, now time.Duration) time.Duration {
	was, ok := s.seen[session]
	if !ok {
		was = sighting{at: now}
		s.seen[session] = was
	}
	if was.buried {
		return 0
	}
	return max(was.at+s.ttl-now, 0)
}

// bury notes that the session cannot come back.
func (s sightings) bury(session string) { s.seen[session] = sighting{buried: true} }

// prune forgets the dead that no record names.
func (s sightings) prune(named map[string]bool, now time.Duration) {
	for session, was := range s.seen {
		if !named[session] && (was.buried || was.at+s.ttl <= now) {
			delete(s.seen, session)
		}
	}
}
