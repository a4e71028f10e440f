package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// Host executes calls. [actor.Host] is one.
type Host interface {
	// Call takes req. It never blocks, and replies once, later or at once, from any goroutine.
	Call(req *actor.Request)
	// Hosts reports whether this node runs objects of the type; Types returns all of them.
	Hosts(typ string) bool
	Types() []string
	// Describe returns the hooks of a type with their schemas, as JSON.
	Describe(typ string) (json.RawMessage, bool)
}

// FrontConfig is what a front needs. Fields without comment on their zero value must be set.
type FrontConfig struct {
	Conn       *nats.Conn // subscribes and forwards; not with NoEcho, a front forwards to itself too
	Replies    *nats.Conn // publishes replies and outcomes; give it no permission for anything else
	Names      Names      // the zero value is the installation without prefix
	Partitions int
	Node       string // name of this node
	Host       Host
	Allowed    ReplySubjects // where replies may go; the zero value is what is below _INBOX
	// Types reports whether any other live node hosts the type, and true where that is not known. Nil: none does.
	Types func(typ string) bool
	// Drain has the node hand its partitions over to others, or with false take partitions again; it must not block, and
	// an error is the reason why not. Nil: callers are told that the node cannot.
	Drain    func(on bool) error
	Version  string       // of the program, for $SRV; empty: 0.0.0
	MaxCalls int          // calls without outcome, beyond which new ones get 429; 0: 100,000
	Logger   *slog.Logger // nil: silent
}

const (
	defaultMaxCalls = 100_000
	frontQueue      = "perdure"
	pendingMessages = 500_000
	pendingBytes    = 256 << 20
	lookForDrops    = 5 * time.Second
	flushTimeout    = 10 * time.Second
	// finishing is how long Run goes on after its context ended, for calls that have arrived or are forwarded.
	finishing = 2 * time.Second
)

// Front takes calls from NATS subjects, gives each to the owner of its partition, here or on another node,
// and publishes the outcomes.
//
// Subscriptions run on goroutines of nats.go, which never wait here. Each forwarded call has a goroutine, which
// ends with the call, at the latest a little after Run's context; Run waits for all of them.
type Front struct {
	cfg     FrontConfig
	log     *slog.Logger
	owners  *Client // asks owners on other nodes
	service *service
	calls   atomic.Int64 // without outcome
	ready   chan struct{}

	ctx      context.Context //nolint:containedctx // ends the forwards, which belong to the front and not to a caller
	cancel   context.CancelFunc
	forwards sync.WaitGroup

	mu     sync.Mutex
	owned  map[int]*nats.Subscription
	subs   []*nats.Subscription
	closed bool // no forward starts any more
}

// NewFront makes a front. It subscribes to nothing before Run and Own.
func NewFront(cfg FrontConfig) *Front {
	if cfg.MaxCalls == 0 {
		cfg.MaxCalls = defaultMaxCalls
	}
	if cfg.Types == nil {
		cfg.Types = func(string) bool { return false }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Front{
		cfg: cfg, log: cfg.Logger, owners: NewClient(cfg.Conn, ClientConfig{Names: cfg.Names}), service: newService(cfg),
		ready: make(chan struct{}), owned: map[int]*nats.Subscription{},
	}
	f.ctx, f.cancel = context.WithCancel(context.Background()) //nolint:forbidigo // ended by Run
	return f
}

// Ready is closed when calls are taken.
func (f *Front) Ready() <-chan struct{} { return f.ready }

// Run takes calls until ctx ends. Then it gives up its subjects, and answers what has arrived and what it forwarded:
// within two seconds with the outcome, then with 503. It returns an error only when it cannot subscribe.
func (f *Front) Run(ctx context.Context) error {
	defer f.stop()
	if err := f.subscribe(f.cfg.Names.CallAll(), frontQueue, f.public); err != nil {
		return err
	}
	for _, typ := range f.cfg.Host.Types() {
		if err := f.subscribe(f.cfg.Names.Type(typ), frontQueue, func(m *nats.Msg) { f.describe(m, typ) }); err != nil {
			return err
		}
	}
	if err := f.subscribe(f.cfg.Names.NodeDrain(f.cfg.Node), "", f.takeDrain); err != nil {
		return err
	}
	for _, verb := range f.service.verbs() {
		for _, subject := range verb.subjects {
			if err := f.subscribe(subject, "", func(m *nats.Msg) { f.publishReply(m.Reply, nil, verb.answer()) }); err != nil {
				return err
			}
		}
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	close(f.ready)
	f.watch(ctx)
	return nil
}

// flush returns when the server knows the subscriptions.
func (f *Front) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := f.cfg.Conn.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("take calls: %w", err)
	}
	return nil
}

func (f *Front) subscribe(subject, queue string, fn nats.MsgHandler) error {
	sub, err := f.cfg.Conn.QueueSubscribe(subject, queue, fn)
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", subject, err)
	}
	f.mu.Lock()
	f.subs = append(f.subs, sub)
	f.mu.Unlock()
	return limitPending(sub)
}

func limitPending(sub *nats.Subscription) error {
	if err := sub.SetPendingLimits(pendingMessages, pendingBytes); err != nil {
		return fmt.Errorf("subscribe %s: %w", sub.Subject, err)
	}
	return nil
}

// Own makes this node answer for partition p, until Disown. The host must take its calls already.
func (f *Front) Own(p int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.owned[p] != nil {
		return nil
	}
	sub, err := f.cfg.Conn.Subscribe(f.cfg.Names.OwnAll(p), f.forOwner)
	if err != nil {
		return fmt.Errorf("own partition %d: %w", p, err)
	}
	f.owned[p] = sub
	return limitPending(sub)
}

// Disown ends what Own began. Calls that are on their way get a 503, with which they are repeated elsewhere.
func (f *Front) Disown(p int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sub := f.owned[p]
	if sub == nil {
		return
	}
	delete(f.owned, p)
	if err := f.end(sub); err != nil {
		f.complain(sub, err)
	}
}

// Owns reports whether this node answers for partition p.
func (f *Front) Owns(p int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.owned[p] != nil
}

// end ends a subscription such that who asked before is answered. While the connection is lost, nothing arrives, and what
// is drained would be subscribed to again: then the server is told after how many messages the subscription ended.
func (f *Front) end(sub *nats.Subscription) error {
	if f.cfg.Conn.IsConnected() {
		return sub.Drain()
	}
	delivered, err := sub.Delivered()
	if err != nil {
		return err
	}
	pending, _, err := sub.Pending()
	if err != nil {
		return err
	}
	return sub.AutoUnsubscribe(int(delivered) + pending)
}

// stop ends the subscriptions, then the forwards, and waits for them.
func (f *Front) stop() {
	enough := time.AfterFunc(finishing, f.cancel)
	defer enough.Stop()
	f.mu.Lock()
	subs := slices.AppendSeq(f.subs, maps.Values(f.owned))
	f.subs, f.owned = nil, map[int]*nats.Subscription{}
	f.mu.Unlock()
	f.drain(subs)
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.forwards.Wait()
	f.cancel()
	if err := f.owners.Close(); err != nil {
		f.log.Warn("front could not end a subscription", "error", err)
	}
}

// drain ends subscriptions and returns when what had arrived by then is taken, or when the front's time is up.
func (f *Front) drain(subs []*nats.Subscription) {
	if !f.cfg.Conn.IsConnected() { // nothing arrives, and nobody tells when that was all
		return
	}
	ended := make(chan struct{}, len(subs))
	waiting := 0
	for _, sub := range subs {
		sub.SetClosedHandler(func(string) { ended <- struct{}{} })
		if err := sub.Drain(); err != nil {
			f.complain(sub, err)
			continue
		}
		waiting++
	}
	for ; waiting > 0; waiting-- {
		select {
		case <-ended:
		case <-f.ctx.Done():
			return
		}
	}
}

// complain says that a subscription could not be ended; on a connection that is gone there is none.
func (f *Front) complain(sub *nats.Subscription, err error) {
	if !f.cfg.Conn.IsClosed() {
		f.log.Warn("front could not end a subscription", "subject", sub.Subject, "error", err)
	}
}

// watch says when the node is too slow for its callers, until ctx ends.
func (f *Front) watch(ctx context.Context) {
	drops := time.NewTicker(lookForDrops)
	defer drops.Stop()
	said := map[*nats.Subscription]int{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-drops.C:
			f.tellDrops(ctx, said)
		}
	}
}

// tellDrops logs what was dropped since it was last said. Who called will ask again.
func (f *Front) tellDrops(ctx context.Context, said map[*nats.Subscription]int) {
	f.mu.Lock()
	subs := slices.Clone(f.subs)
	subs = slices.AppendSeq(subs, maps.Values(f.owned))
	f.mu.Unlock()
	for _, sub := range subs {
		if n, err := sub.Dropped(); err == nil && n > said[sub] {
			f.log.ErrorContext(ctx, "calls were dropped: the node is too slow", "subject", sub.Subject, "dropped", n-said[sub])
			said[sub] = n
		}
	}
}
