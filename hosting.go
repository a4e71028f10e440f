package perdure

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/jetstream"
)

// hosting is what a partition's ownership means on this node: its calls are taken, its logs watched for what others
// append, its objects executed. It is the router's Host.
type hosting struct {
	host  *actor.Host
	front *jetstream.Front
	log   *jetstream.Log

	appends *nats.Conn

	mu      sync.Mutex
	trusted bool                 // as last said
	watch   map[int]func() error // stops the watch of a partition's logs
	floors  map[int][2]uint64    // of the last two checkpoints
}

// Own watches the logs before it reads them: what a former owner's append leaves there later is then seen.
func (h *hosting) Own(ctx context.Context, claims []actor.Claim) error {
	ids := make([]int, 0, len(claims))
	for _, c := range claims {
		ids = append(ids, c.Partition)
		if err := h.watchLogs(ctx, c.Partition, c.Checkpoint.Floor); err != nil {
			h.Drop(ids)
			return err
		}
	}
	if err := h.host.Own(ctx, claims); err != nil {
		h.Drop(ids)
		return err
	}
	for _, id := range ids {
		if err := h.front.Own(id); err != nil {
			h.Drop(ids)
			return err
		}
	}
	return nil
}

func (h *hosting) Checkpoint(p int) (actor.Checkpoint, bool) {
	c, ok := h.host.Checkpoint(p)
	h.mu.Lock()
	defer h.mu.Unlock()
	if f, hosted := h.floors[p]; ok && hosted {
		h.floors[p] = [2]uint64{f[1], c.Floor}
	}
	return c, ok
}

// rewatch looks, each time that the append connection was made anew, for what others appended while nobody watched.
func (h *hosting) rewatch(ctx context.Context) error {
	status := h.appends.StatusChanged(nats.RECONNECTING, nats.CONNECTED)
	defer h.appends.RemoveStatusListener(status)
	var since map[int]uint64 // floors when the connection was lost
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-status:
			switch {
			case s == nats.RECONNECTING && since == nil:
				since = h.watchedUpTo()
			case s == nats.CONNECTED && since != nil:
				h.catchUp(ctx, since)
				since = nil
			}
		}
	}
}

// watchedUpTo returns, for each partition, a floor that the watch has certainly passed: the last but one that was asked
// for, because the last may be younger than the loss of the connection.
func (h *hosting) watchedUpTo() map[int]uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	since := make(map[int]uint64, len(h.floors))
	for p, f := range h.floors {
		since[p] = f[0]
	}
	return since
}

// catchUp has the host look at everything that the logs hold above the floors. It tries until that works.
func (h *hosting) catchUp(ctx context.Context, floors map[int]uint64) {
	look := func() error {
		for e, err := range h.log.Tail(ctx, floors) {
			if err != nil {
				return err
			}
			h.host.Touched(e.Address)
		}
		return nil
	}
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	for len(floors) > 0 && look() != nil {
		select {
		case <-ctx.Done():
			return
		case <-retry.C:
		}
	}
}

// Release stops taking calls first: callers then ask again until the successor answers.
func (h *hosting) Release(ctx context.Context, ids []int) (map[int]actor.Checkpoint, error) {
	h.giveUp(ids)
	finished, err := h.host.Release(ctx, ids)
	h.unwatch(ids)
	return finished, err
}

func (h *hosting) Drop(ids []int) {
	h.giveUp(ids)
	h.host.Drop(ids)
	h.unwatch(ids)
}

// SetTrusted cuts the append connection when trust ends: an append that is still on its way from here is not sent later.
func (h *hosting) SetTrusted(trusted bool) {
	h.host.SetTrusted(trusted)
	h.mu.Lock()
	lost := h.trusted && !trusted
	h.trusted = trusted
	h.mu.Unlock()
	if lost {
		h.cut()
	}
}

// cutWithin is how long the end of the append connection is waited for.
const cutWithin = 250 * time.Millisecond

// cut ends the append connection, and waits for that only shortly: the connection flushes first, for up to its
// FlusherTimeout (a minute) where a server takes nothing more, and whoever looks after trust must not stand still meanwhile.
func (h *hosting) cut() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.appends.ForceReconnect() // a connection that is gone sends nothing either
	}()
	enough := time.NewTimer(cutWithin)
	defer enough.Stop()
	select {
	case <-done:
	case <-enough.C:
	}
}

func (h *hosting) giveUp(ids []int) {
	for _, id := range ids {
		h.front.Disown(id)
	}
}

func (h *hosting) watchLogs(ctx context.Context, id int, floor uint64) error {
	stop, err := h.log.WatchAppends(ctx, id, h.host.Touched)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watch == nil {
		h.watch = map[int]func() error{}
	}
	if old := h.watch[id]; old != nil {
		_ = old() // owned before, and given up by the host itself
	}
	h.watch[id] = stop
	if h.floors == nil {
		h.floors = map[int][2]uint64{}
	}
	h.floors[id] = [2]uint64{floor, floor}
	return nil
}

func (h *hosting) unwatch(ids []int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		if stop := h.watch[id]; stop != nil {
			_ = stop() // a connection that is gone has no subscriptions
			delete(h.watch, id)
			delete(h.floors, id)
		}
	}
}
