package perdure

import (
	"context"
	"sync"

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
}

// Own watches the logs before it reads them: what a former owner's append leaves there later is then seen.
func (h *hosting) Own(ctx context.Context, claims []actor.Claim) error {
	ids := make([]int, 0, len(claims))
	for _, c := range claims {
		ids = append(ids, c.Partition)
		if err := h.watchLogs(ctx, c.Partition); err != nil {
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

func (h *hosting) Checkpoint(p int) (actor.Checkpoint, bool) { return h.host.Checkpoint(p) }

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
		_ = h.appends.ForceReconnect() // a connection that is gone sends nothing either
	}
}

func (h *hosting) giveUp(ids []int) {
	for _, id := range ids {
		h.front.Disown(id)
	}
}

func (h *hosting) watchLogs(ctx context.Context, id int) error {
	stop, err := h.log.WatchAppends(ctx, id, h.host.Touched)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watch == nil {
		h.watch = map[int]func() error{}
	}
	h.watch[id] = stop
	return nil
}

func (h *hosting) unwatch(ids []int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		if stop := h.watch[id]; stop != nil {
			_ = stop() // a connection that is gone has no subscriptions
			delete(h.watch, id)
		}
	}
}
