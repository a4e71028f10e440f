package actor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a [Host] stands on. Ports have no default; of the rest, zero means the documented default.
type Config struct {
	Node      string // name of this node, as records and replies show it
	Log       EventLog
	Inbox     Inbox
	Timers    Timers
	Tokens    Tokens
	Outlet    Outlet
	Outputs   Outputs
	Schemas   Schemas
	Logger    *slog.Logger
	Partition func(Address) int // placement of an object
	LogStream func(int) int     // which log stream holds a partition
	Remains   Remains
	// Cursor returns up to where, as the partition's record says, every send is in the logs: none of them comes again.
	Cursor func(ctx context.Context, partition int) (uint64, error)
	// Confirm returns the epoch in the partition's ownership record: an epoch that it did not issue is not believed.
	Confirm func(ctx context.Context, partition int) (uint64, error)
	// Forward gives a call to the owner of its object, who answers it, or returns false when this node is the owner. It
	// does not block. Calls by token need it, which reach any node; nil: they are answered 503 where it is not the owner.
	Forward func(req *Request) bool
	// Trusted reports whether the node's lease may be trusted by the clock now; nil: as [Host.SetTrusted] said last.
	Trusted func() bool
	// Elsewhere reports whether another living node hosts a type; Known also whether objects of it exist. Nil: no.
	Elsewhere, Known func(typ string) bool
	// Lags says that the log has replicas: whoever leads it since a moment may not know its last records yet.
	Lags bool

	Flush       time.Duration // how long a turn waits for a step before it commits without its result; default 1 ms
	Idle        time.Duration // after which a settled object is evicted; default 5 min
	MaxResident int           // objects in memory; beyond it settled ones are evicted, the least recently used first; default 100,000
	MaxPayload  int           // largest payload, result and chunk, in bytes; default 8 MiB − 64 KiB
	MaxState    int           // largest state of an object and checkpoint of a run function, in bytes; default, and at most, 64 MiB
	MaxQueued   int           // calls that one run keeps untaken; beyond it calls get 429, sends become dead letters; default 10,000
	MaxEffects  int           // effects of one run not yet out; beyond it calls get 429, sends become dead letters; default 10,000
	MaxInFlight int           // calls without outcome on this node; beyond it calls get 429; default 65,536

	MaxResidentBytes int64 // about how many bytes objects in memory take; beyond it as beyond MaxResident; default 1 GiB
}

func (c Config) withDefaults() Config {
	orInt := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	orTime := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	orTime(&c.Flush, time.Millisecond)
	orTime(&c.Idle, 5*time.Minute)
	orInt(&c.MaxResident, 100_000)
	if c.MaxResidentBytes <= 0 {
		c.MaxResidentBytes = 1 << 30
	}
	orInt(&c.MaxPayload, 8<<20-64<<10)
	orInt(&c.MaxState, maxState)
	c.MaxState = min(c.MaxState, maxState)
	orInt(&c.MaxQueued, 10_000)
	orInt(&c.MaxEffects, 10_000)
	orInt(&c.MaxInFlight, 65_536)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Trusted == nil {
		c.Trusted = func() bool { return true }
	}
	if c.Elsewhere == nil {
		c.Elsewhere = func(string) bool { return false }
	}
	if c.Known == nil {
		c.Known = c.Elsewhere
	}
	return c
}

// Host executes the objects of the partitions that its node owns.
type Host struct {
	cfg   Config
	log   *slog.Logger
	types *registry
	trust trust

	ctx    context.Context //nolint:containedctx // ends the workers, which belong to the host and not to a caller
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine that the host started, save step bodies
	bodies sync.WaitGroup // step bodies

	spawning sync.Mutex
	closing  bool // no goroutine starts any more

	resident atomic.Int64 // runs in memory
	inFlight atomic.Int64 // calls without outcome
	seen     []atomic.Uint64
	inbox    inboxReader
	forwards lanes         // sends by token, each token's in order
	trimming chan struct{} // one a log that records are removed from

	residentBytes atomic.Int64  // about how many bytes runs in memory take
	crowded       chan struct{} // one waits while there are too many, or too large ones

	mu         sync.RWMutex
	partitions map[int]*partition
	taking     map[int]map[Address]bool // partitions that are being taken: what others appended meanwhile
}

// NewHost compiles the definitions and makes a host that owns nothing yet.
// Its error is a [*DefinitionError] that names every mistake.
func NewHost(cfg Config, defs ...Definition) (*Host, error) {
	cfg = cfg.withDefaults()
	types, err := newRegistry(cfg.Schemas, defs)
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, log: cfg.Logger, types: types, partitions: map[int]*partition{}, taking: map[int]map[Address]bool{}}
	h.crowded = make(chan struct{}, 1)
	h.ctx, h.cancel = context.WithCancel(context.Background()) //nolint:forbidigo // ended by Run and Close
	h.seen = make([]atomic.Uint64, 256)
	h.trimming = make(chan struct{}, trimmers)
	h.inbox.init(cfg.MaxInFlight)
	h.trust.init(cfg.Trusted)
	return h, nil
}

// Check reports what is wrong with definitions, before anything is made for them. Its error is a [*DefinitionError].
func Check(schemas Schemas, defs ...Definition) error {
	_, err := newRegistry(schemas, defs)
	return err
}

// Run reads the inbox and the timers and evicts idle objects. It blocks until ctx ends, then stops every worker.
func (h *Host) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	loop := func(name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	loop("follow the inbox", h.followInbox)
	loop("follow the timers", h.followTimers)
	loop("evict", h.sweep)
	<-ctx.Done()
	wg.Wait()
	h.Close()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Close ends every worker and the goroutine of every run function, without a trace in the logs, and waits for them.
func (h *Host) Close() {
	h.mu.Lock()
	all := make([]int, 0, len(h.partitions))
	for p := range h.partitions {
		all = append(all, p)
	}
	h.mu.Unlock()
	h.cancel()
	h.spawning.Lock()
	h.closing = true
	h.spawning.Unlock()
	h.Drop(all)
	h.wg.Wait()
	ended := make(chan struct{})
	go func() { // step bodies are user code: one that ignores its context does not keep the node
		h.bodies.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(bodiesGrace):
		h.log.Warn("step bodies still run after their context ended")
	}
}

// spawn runs work in a goroutine that Close waits for. It reports false when the host is closing: then it does nothing.
func (h *Host) spawn(work func()) bool {
	h.spawning.Lock()
	defer h.spawning.Unlock()
	if h.closing {
		return false
	}
	h.wg.Go(work)
	return true
}

// bodiesGrace is how long Close waits for step bodies.
const bodiesGrace = 5 * time.Second

// SetTrusted says whether the node's lease may be trusted. While it may not, nothing is appended and no step body
// starts or goes on.
func (h *Host) SetTrusted(trusted bool) { h.trust.set(trusted) }

// Hosts reports whether the node has the type's code.
func (h *Host) Hosts(typ string) bool { return h.types.types[typ] != nil }

// Types returns the names of the hosted types in order.
func (h *Host) Types() []string { return h.types.names() }

// Describe returns a type's schemas and policies as JSON.
func (h *Host) Describe(typ string) (json.RawMessage, bool) {
	t := h.types.types[typ]
	if t == nil {
		return nil, false
	}
	b, err := json.Marshal(t.describe())
	return b, err == nil
}

// Call takes a call for an object that this node owns. It does not block; req.Reply gets the outcome.
func (h *Host) Call(req *Request) {
	req = h.limited(req)
	if req == nil {
		return
	}
	if req.Address.Type == TypeToken {
		if !h.spawn(func() { h.callByToken(req) }) {
			req.fail(Errorf(CodeUnavailable, "this node is leaving"))
		}
		return
	}
	h.route(req)
}

// limited counts the call as in flight until its reply, or refuses it.
func (h *Host) limited(req *Request) *Request {
	reply, counted := req.Reply, *req
	if reply == nil {
		reply = func(*Outcome) {} // nobody is told, but it counts
	}
	if h.inFlight.Add(1) > int64(h.cfg.MaxInFlight) {
		h.inFlight.Add(-1)
		reply(&Outcome{Node: h.cfg.Node, Err: limitError("calls in flight on this node", h.cfg.MaxInFlight)})
		return nil
	}
	var once sync.Once
	counted.Reply = func(o *Outcome) {
		once.Do(func() {
			h.inFlight.Add(-1)
			o.Node = cmp.Or(o.Node, h.cfg.Node) // it may have been forwarded
			reply(o)
		})
	}
	return &counted
}

// route hands a call to its run, or answers that this node does not own it.
func (h *Host) route(req *Request) {
	p := h.owned(h.cfg.Partition(req.Address))
	elsewhere := !h.Hosts(req.Address.Type) && h.cfg.Elsewhere(req.Address.Type)
	if p != nil && elsewhere {
		p.note(req.Address.Type) // and so the partition goes to a node that hosts it
		req.fail(Errorf(CodeUnavailable, "this node owns %s and does not host its type yet", req.Address))
		return
	}
	if err := h.check(req); err != nil && !elsewhere {
		req.fail(err)
		return
	}
	switch {
	case p == nil:
		req.fail(Errorf(CodeUnavailable, "this node does not own %s now", req.Address))
	case p.hold(req):
	default:
		p.deliver(req.Address, item{kind: itemCall, req: req})
	}
}

// check refuses what needs no look at the object.
func (h *Host) check(req *Request) *Error {
	t := h.types.types[req.Address.Type]
	if t == nil {
		return Errorf(CodeNotFound, "no type %q on this node", req.Address.Type)
	}
	if err := req.Address.Validate(); err != nil {
		return Errorf(CodeInvalid, "%v", err)
	}
	if len(req.Payload) > h.cfg.MaxPayload {
		return Errorf(CodeTooLarge, "the payload has %d bytes; at most %d are allowed", len(req.Payload), h.cfg.MaxPayload)
	}
	if req.Header.Problem != "" {
		return Errorf(CodeInvalid, "%s", req.Header.Problem)
	}
	if t.hooks[req.Hook] == nil && !isRuntimeHook(req.Hook) {
		return Errorf(CodeNotFound, "%s has no hook %q", req.Address.Type, req.Hook)
	}
	return nil
}

func isRuntimeHook(hook string) bool {
	switch hook {
	case HookStart, HookState, HookEvents, HookDescribe, HookCancel, HookTerminate, HookPause, HookUnpause, HookWake, HookPurge:
		return true
	default:
		return false
	}
}

// callByToken finds the run that holds the token and hands the call on.
func (h *Host) callByToken(req *Request) {
	if req.Hook != HookResume {
		req.fail(Errorf(CodeNotFound, "a token takes %s only", HookResume))
		return
	}
	holder, err := h.resolve(h.ctx, req.Address.Key)
	if err != nil {
		req.fail(asError(err, CodeUnavailable))
		return
	}
	req.Token, req.Address, req.Hook = req.Address.Key, holder.addr, holder.hook
	if h.cfg.Forward != nil {
		req.OrForward(h.cfg.Forward)
	}
	h.route(req)
}

type tokenTarget struct {
	addr Address
	hook string
}

// resolve finds the hook that a token names. Its error is 404 when nobody holds the token.
func (h *Host) resolve(ctx context.Context, token string) (tokenTarget, error) {
	holder, ok, err := h.cfg.Tokens.Resolve(ctx, token)
	if err != nil {
		return tokenTarget{}, err
	}
	if !ok { // a default token needs no entry
		addr, hook, ok := parseDefaultToken(token)
		t := h.types.types[addr.Type]
		if !ok || t == nil && !h.cfg.Known(addr.Type) || t != nil && t.hooks[hook] == nil {
			return tokenTarget{}, Errorf(CodeNotFound, "no run holds token %q", token)
		}
		return tokenTarget{addr, hook}, nil // of a type that others host, those know the hooks
	}
	addr, err := ParseAddress(holder.Run)
	return tokenTarget{addr: addr, hook: holder.Hook}, err
}

func (h *Host) owned(partition int) *partition {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.partitions[partition]
}

func (h *Host) saw(partition int, seq uint64) {
	s := &h.seen[h.cfg.LogStream(partition)%len(h.seen)]
	for {
		if old := s.Load(); seq <= old || s.CompareAndSwap(old, seq) {
			return
		}
	}
}

func (h *Host) lastSeen(partition int) uint64 {
	return h.seen[h.cfg.LogStream(partition)%len(h.seen)].Load()
}

func limitError(limit string, n int) *Error {
	return Errorf(CodeLimit, "limit reached: %s (%d)", limit, n).With(map[string]any{"limit": limit, "max": n})
}

func (r *Request) fail(err *Error) { r.answer(&Outcome{Err: err}) }

func (r *Request) answer(o *Outcome) {
	if r.Reply != nil {
		if o.Run == "" && r.Address.Type != TypeToken {
			o.Run = r.Address.String()
		}
		r.Reply(o)
	}
}
