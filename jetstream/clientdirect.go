package jetstream

import (
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/router"
)

const (
	// firstAvoid is how long owners are not asked directly after one met silence; it is doubled up to lastAvoid while
	// none of them answers.
	firstAvoid = time.Minute
	lastAvoid  = time.Hour
)

// direct says whether owners can be asked directly, which needs the number of partitions, and permission to publish to
// their subjects. Both are learned from answers. The zero value knows neither, and is safe for concurrent use.
type direct struct {
	mu         sync.Mutex
	partitions int           // 0: not known
	avoid      time.Duration // how long they were avoided last; 0: one has answered since
	until      time.Time     // they are avoided
}

// way is how one call travels: to the owner first, and by any node for good once that was in vain. Any node waits for
// an owner, finds the next one, and knows whether the type exists at all.
type way struct {
	direct *direct
	public string
	owner  string // empty: by any node
	asked  bool   // an owner was asked
}

// way returns the way to a hook.
func (d *direct) way(names Names, addr actor.Address, hook string) *way {
	w := &way{direct: d, public: names.Call(addr, hook)}
	target := TargetOf(addr, hook)
	if p := d.known(); p > 0 && addr.Type != actor.TypeToken && !target.IsType() {
		w.owner = names.Own(router.Partition(addr, p), ownCall, target.Type, target.Key, target.Hook)
	}
	return w
}

// known returns the number of partitions; 0 where owners should not be asked now.
func (d *direct) known() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.avoid > 0 && time.Now().Before(d.until) {
		return 0
	}
	return d.partitions
}

// subject is where the next repetition goes.
func (w *way) subject() string {
	if w.owner != "" {
		w.asked = true
		return w.owner
	}
	return w.public
}

// missed is told of each repetition that was in vain, and whether it met silence.
func (w *way) missed(silence bool) {
	if w.owner == "" {
		return
	}
	w.owner = ""
	if silence {
		w.direct.silent()
	}
}

// heard is told of each answer. Only nodes that were asked as any node say how many partitions there are.
func (w *way) heard(m *nats.Msg) {
	switch p, err := strconv.Atoi(m.Header.Get(HeaderPartitions)); {
	case err == nil && p > 0 && p <= maxPartitions:
		w.direct.learn(p)
	case w.asked:
		w.direct.works()
	}
}

func (d *direct) silent() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Now().Before(d.until) {
		return // others met the same silence
	}
	d.avoid = min(max(2*d.avoid, firstAvoid), lastAvoid)
	d.until = time.Now().Add(d.avoid)
}

// works ends the avoiding: what met silence was only slow.
func (d *direct) works() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.avoid, d.until = 0, time.Time{}
}

func (d *direct) learn(partitions int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.partitions = partitions
}
