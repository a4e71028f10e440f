package actor

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxUnfinished is how many sends may be read from the inbox and not yet in a log; beyond it the reader waits.
const maxUnfinished = 4096

// inboxReader is how far this node has read the inbox, which holds the sends to all objects.
type inboxReader struct {
	at    atomic.Uint64
	held  atomic.Int64  // calls that wait for a send
	slots chan struct{} // one a send read and not finished

	mu      sync.Mutex
	restart chan struct{} // closed when partitions were added: read again from their cursors
}

func (r *inboxReader) init(int) {
	r.slots = make(chan struct{}, maxUnfinished)
	r.restart = make(chan struct{})
}

func (r *inboxReader) position() uint64 { return r.at.Load() }

func (r *inboxReader) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.restart)
	r.restart = make(chan struct{})
}

func (r *inboxReader) restarted() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.restart
}

// runtimeID begins the call ids that the runtime gives.
const runtimeID = "~"

// tokenID begins the call ids of sends that came by token without one.
const tokenID = runtimeID + "token-"

// forwarded reports whether the header is that of a send that came by token and was given to its run by a node.
func (h *CallHeader) forwarded() bool {
	return h.Token != "" && (strings.HasPrefix(h.CallID, tokenID) || !strings.HasPrefix(h.CallID, runtimeID))
}

// inboxID is the call id of a send that was given none.
func inboxID(seq uint64) string { return runtimeID + "send-" + strconv.FormatUint(seq, 10) }

// followInbox reads the inbox for all partitions of this node with one reader, and starts over from the lowest cursor
// when partitions are added.
func (h *Host) followInbox(ctx context.Context) error {
	return h.follow(ctx, func(ctx context.Context, owned []*partition) error {
		reader := h.inbox.position()
		from := lowest(owned, func(p *partition) uint64 { p.inbox.leave(reader); return p.readFromLocked() })
		h.inbox.at.Store(from)
		lowest(owned, func(p *partition) uint64 { p.inbox.join(); return 0 })
		return h.cfg.Inbox.Follow(ctx, from+1, func(m *Message) error { return h.takeSend(ctx, m) })
	})
}

// follow runs read for the owned partitions, and again whenever partitions were added.
func (h *Host) follow(ctx context.Context, read func(context.Context, []*partition) error) error {
	for ctx.Err() == nil {
		again := h.inbox.restarted()
		inner, cancel := context.WithCancel(ctx)
		stop := make(chan struct{})
		h.spawn(func() {
			select {
			case <-again:
				cancel()
			case <-stop:
			}
		})
		var err error
		if owned := h.all(); len(owned) > 0 {
			err = read(inner, owned)
		} else {
			<-inner.Done()
		}
		close(stop)
		failed := inner.Err() == nil && err != nil
		cancel()
		if failed {
			h.log.WarnContext(ctx, "reader ended: it starts again", "err", err)
			_ = pause(ctx, time.Second)
		}
	}
	return ctx.Err()
}

// all returns the partitions that this node owns.
func (h *Host) all() []*partition {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Collect(maps.Values(h.partitions))
}

// lowest returns the lowest position of ps, which must not be empty, each asked under its lock.
func lowest(ps []*partition, position func(*partition) uint64) uint64 {
	low := uint64(math.MaxUint64)
	for _, p := range ps {
		p.mu.Lock()
		low = min(low, position(p))
		p.mu.Unlock()
	}
	return low
}

// takeSend hands a message of the inbox to its run. It blocks while too many are unfinished.
func (h *Host) takeSend(ctx context.Context, m *Message) error {
	select {
	case h.inbox.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer h.readTo(m.Seq)
	p := h.owned(m.Partition)
	if p == nil {
		<-h.inbox.slots
		return nil
	}
	p.mu.Lock()
	fresh := p.inbox.joined && (p.inbox.begin(m.Seq) || p.retakeLocked(m.Seq)) // a partition that was just added is read from its cursor, soon
	p.active = p.active || fresh
	p.mu.Unlock()
	if !fresh {
		<-h.inbox.slots
		return nil
	}
	it := item{kind: itemCall, inbox: m.Seq, done: func(applied bool) {
		if applied {
			p.mu.Lock()
			p.inbox.finish(m.Seq)
			p.mu.Unlock()
		}
		<-h.inbox.slots
	}}
	it.req = &Request{
		Address: Address{m.Type, m.Key}, Hook: m.Hook, Header: m.Header, Payload: m.Payload, Received: m.Time,
	}
	if err := h.admit(p, m, &it); err != nil {
		h.bury(&it, err)
		return nil
	}
	return nil
}

// readTo notes how far the inbox was read, and delivers the calls that waited for it.
func (h *Host) readTo(seq uint64) {
	h.inbox.at.Store(seq)
	if h.inbox.held.Load() == 0 {
		return
	}
	for _, p := range h.all() {
		p.releaseHeld()
	}
}

// admit checks a send and delivers it; its error is why it can never be applied.
func (h *Host) admit(p *partition, m *Message, it *item) *Error {
	decode := DecodeKey
	if m.Type == TypeToken {
		decode = DecodeToken
	}
	key, err := decode(m.Key)
	if err != nil {
		it.badAddress = true
		return Errorf(CodeInvalid, "%v", err)
	}
	it.req.Address.Key = key
	if strings.HasPrefix(m.Header.CallID, runtimeID) && !m.Header.forwarded() {
		return Errorf(CodeInvalid, "call id %q: ids that begin with %s are the runtime's", m.Header.CallID, runtimeID)
	}
	if to := m.Header.ReplyTo; to != "" && !h.cfg.Outlet.Allows(to) {
		it.req.Header.ReplyTo = ""
		return Errorf(CodeInvalid, "outcomes do not go to subject %q: only below _INBOX and the prefixes that the node allows", to)
	}
	if m.Type == TypeToken {
		if m.Hook != HookResume {
			return Errorf(CodeNotFound, "a token takes %s only", HookResume)
		}
		if problem := m.Header.Problem; problem != "" { // what is forwarded does not have it
			return Errorf(CodeInvalid, "%s", problem)
		}
		if len(m.Payload) > h.cfg.MaxPayload { // with its token beside it, it would fit into no message
			return Errorf(CodeTooLarge, "the payload has %d bytes; at most %d are allowed", len(m.Payload), h.cfg.MaxPayload)
		}
		req, done := it.req, it.done
		h.forwards.add(h, m.Key, func() { h.forwardByToken(p, m, req, done) })
		return nil
	}
	if h.cfg.Partition(it.req.Address) != m.Partition {
		return Errorf(CodeInvalid, "%s does not belong to partition %d", it.req.Address, m.Partition)
	}
	if h.keeps(p, m) {
		it.done(false)
		return nil
	}
	if err := h.check(it.req); err != nil {
		return err
	}
	if strings.HasPrefix(m.Hook, "$") && m.Hook != HookStart {
		return Errorf(CodeInvalid, "%s cannot be sent: call it", m.Hook)
	}
	p.deliver(it.req.Address, *it)
	return nil
}

// forwardByToken puts a send that came by token into the inbox again, for the run that holds the token: its partition
// may be another node's.
func (h *Host) forwardByToken(p *partition, m *Message, req *Request, done func(bool)) {
	var target tokenTarget
	var refused *Error
	h.untilDone("resolve token", func(ctx context.Context) error {
		found, err := h.resolve(ctx, req.Address.Key)
		if err != nil && asError(err, CodeUnavailable).Code == CodeNotFound {
			refused = asError(err, CodeNotFound)
			return nil
		}
		target = found
		return err
	})
	if h.ctx.Err() != nil {
		done(false)
		return
	}
	if refused != nil {
		h.bury(&item{req: req, inbox: m.Seq, done: done}, refused)
		return
	}
	header := m.Header
	if header.CallID == "" {
		header.CallID = tokenID + strconv.FormatUint(m.Seq, 10)
	}
	header.Token = req.Address.Key
	h.untilDone("forward send", func(ctx context.Context) error {
		err := h.cfg.Outlet.Forward(ctx, target.addr, target.hook, header, req.Payload)
		if e := (*Error)(nil); errors.As(err, &e) && e.Code != CodeUnavailable && e.Code != CodeTimeout {
			refused, err = e, nil
		}
		return err
	})
	if refused != nil {
		h.bury(&item{req: req, inbox: m.Seq, done: done}, refused)
		return
	}
	done(h.ctx.Err() == nil && p.ctx.Err() == nil)
}

// followTimers delivers what the durable schedules fire.
func (h *Host) followTimers(ctx context.Context) error {
	return h.follow(ctx, func(ctx context.Context, owned []*partition) error {
		from := lowest(owned, func(p *partition) uint64 { p.timers.join(); return p.timers.read })
		return h.cfg.Timers.Follow(ctx, from+1, func(f *Firing) error {
			h.fire(f)
			return nil
		})
	})
}

func (h *Host) fire(f *Firing) {
	p := h.owned(f.Partition)
	if p == nil {
		return
	}
	p.mu.Lock()
	fresh := p.timers.joined && p.timers.begin(f.Seq) // one that was just added is read from its cursor, soon
	p.mu.Unlock()
	if !fresh {
		return
	}
	done := func(applied bool) {
		if !applied {
			return
		}
		h.spawn(func() {
			h.untilDone("drop firing", func(ctx context.Context) error { return h.cfg.Timers.Done(ctx, f.Seq) })
			p.mu.Lock()
			p.timers.finish(f.Seq)
			p.active = true
			p.mu.Unlock()
		})
	}
	if h.cfg.Partition(f.Address) != f.Partition {
		done(true)
		return
	}
	if !h.Hosts(f.Address.Type) {
		p.note(f.Address.Type)
		return // it is kept for a node that has the type
	}
	p.deliver(f.Address, item{kind: itemTimer, id: f.ID, done: done})
}
