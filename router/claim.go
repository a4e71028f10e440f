package router

import (
	"time"

	"github.com/perdure/perdure/actor"
)

// identity is who claims.
type identity struct {
	node    string
	session string
	ttl     Millis // of its lease
	// exclusive: no session of this node but our own can be alive, and what it had on its way died with its server.
	exclusive bool
}

// stance says what a session may do with a partition that it does not hold.
type stance int

const (
	stanceWait    stance = iota // its owner may be alive
	stanceClaim                 // free
	stanceUnclean               // its owner is dead, and may have appends on their way
	stanceOurs                  // claimed by this session, which did not hear of it
)

// judge says what self may do about a record. silent is for how much longer its owner must stay unseen to be
// taken for dead.
func judge(r Record, self identity, silent time.Duration) stance {
	switch {
	case r.bad():
		return stanceWait // its owner writes it again; without one, no node starts
	case r.Epoch == 0 || r.Released:
		return stanceClaim
	case r.Session == self.session:
		return stanceOurs
	case self.exclusive && r.Node == self.node:
		return stanceClaim
	case silent == 0:
		return stanceUnclean
	default:
		return stanceWait
	}
}

// claimed returns r as self claims it.
func (r Record) claimed(self identity, since time.Time, incarnation string) Record {
	r.Node, r.Session, r.Epoch, r.Since, r.TTL = self.node, self.session, r.Epoch+1, since, self.ttl
	r.Released, r.Successor = false, ""
	if r.Incarnation == "" {
		r.Incarnation = incarnation
	}
	return r
}

// claim returns what the host is told about a record of ours.
func (r Record) claim(unclean bool) actor.Claim {
	return actor.Claim{Partition: r.Partition, Session: r.Session, Epoch: r.Epoch, Revision: r.Revision, Unclean: unclean, Checkpoint: r.Checkpoint}
}

// checkInbox reports whether the record's cursor is a position in the inbox, as an [*InboxError].
func checkInbox(r Record, inbox actor.InboxBounds) error {
	if r.Incarnation == "" || r.Incarnation == inbox.Incarnation && r.Inbox <= inbox.Last {
		return nil
	}
	return &InboxError{Partition: r.Partition, Cursor: r.Checkpoint, Inbox: inbox}
}
