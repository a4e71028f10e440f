package router

import "time"

// DefaultTTL is how long a node may stay silent before others take its partitions.
// A dead node's objects stand still that long, so it is short. A healthy node that is paused stands still from 0.7 of it
// less one renewal interval on (here 2.5 s), and loses its partitions from the whole less one interval on (4 s), so it is
// not shorter: garbage collection, a slow disk and a busy scheduler stay below a second, the migration of a virtual
// machine below two. TestTTL in test/cluster measures it.
const DefaultTTL = 5 * time.Second

const (
	renewals = 5  // renewals in a TTL
	checks   = 20 // looks at both clocks in a TTL
	trustNum = 7  // trust lasts trustNum/trustDen of a TTL
	trustDen = 10
)

// Instant is a moment on both clocks of a node.
type Instant struct {
	Mono time.Duration // since some fixed moment; never set back or forward
	Wall time.Time     // without a monotonic reading
}

// Trust is the lease arithmetic of a node about its own lease. The zero value is not trusted.
type Trust struct {
	ttl  time.Duration
	sent Instant // before the last successful request was sent
	held bool
}

// NewTrust returns what a node may believe that creates or renews a lease of this TTL by a request sent at sent.
func NewTrust(ttl time.Duration, sent Instant) Trust { return Trust{ttl: ttl, sent: sent, held: true} }

// Left returns how long the lease may still be trusted at now; 0 when it may not.
// Trust is lost, too, when the two clocks disagree by more than a tenth of a TTL about the time since the renewal:
// the monotonic clock stands still while a machine is suspended, and others do not wait for it.
func (t Trust) Left(now Instant) time.Duration {
	mono := now.Mono - t.sent.Mono
	drift := (now.Wall.Sub(t.sent.Wall) - mono).Abs()
	if !t.held || drift > t.ttl/trustDen {
		return 0
	}
	return max(t.ttl*trustNum/trustDen-mono, 0)
}
