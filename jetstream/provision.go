package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
)

// Defaults of [Config].
const (
	DefaultPartitions = 64
	DefaultLogStreams = 4
	DefaultReplicas   = 1
	DefaultInboxBytes = 1 << 30
	DefaultLeaseTTL   = 10 * time.Second
)

const (
	maxLogStreams = 64
	// minInboxBytes is where looking for an inbox that fits the server's storage ends.
	minInboxBytes = 1 << 20
	// retryEvery is how often a server that is not ready is asked again.
	retryEvery = 250 * time.Millisecond
	// answerWithin is when a server that is ready has answered a small request, and answersWithin when one under load has. What
	// is not answered may be lost, by a server without a leader: it is asked for again after the former.
	answerWithin, answersWithin = time.Second, 8 * time.Second
	// sayEvery is how often a node that waits says so.
	sayEvery = 30 * time.Second
	// missingAfter is how long a stream of a complete store may be missing: servers may still be recovering it.
	missingAfter = 10 * time.Second
)

// Config says how an installation's streams and buckets are made.
type Config struct {
	Prefix string // of streams, buckets and subjects; see [NewNames]
	// Partitions and LogStreams are fixed when the store is made. 0 takes what the store has, or the default
	// for a new one; another number than the store's is an error.
	Partitions int
	LogStreams int
	// Replicas of each stream and bucket made from now on; 0 is one. Streams that exist keep theirs.
	Replicas int
	// InboxBytes bounds the queue of one-way calls: a full inbox refuses. 0 is 1 GiB, or less where the server
	// has less to give. An inbox that exists keeps its bound.
	InboxBytes int64
	// LeaseTTL is after which a node that does not renew its lease is replaced; 0 is 10 s. At least one second. The bucket
	// keeps leases four times as long.
	LeaseTTL time.Duration
	Logger   *slog.Logger // nil: silent
}

func (c Config) withDefaults() Config {
	if c.Replicas == 0 {
		c.Replicas = DefaultReplicas
	}
	if c.InboxBytes == 0 {
		c.InboxBytes = DefaultInboxBytes
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = DefaultLeaseTTL
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Partitions < 0 || c.Partitions > maxPartitions:
		return fmt.Errorf("partitions: %d: want 1 to %d", c.Partitions, maxPartitions)
	case c.LogStreams < 0 || c.LogStreams > maxLogStreams:
		return fmt.Errorf("log streams: %d: want 1 to %d", c.LogStreams, maxLogStreams)
	case c.Replicas < 0 || c.Replicas > 5:
		return fmt.Errorf("replicas: %d: want 1 to 5", c.Replicas)
	case c.InboxBytes < 0:
		return fmt.Errorf("inbox size: %d bytes", c.InboxBytes)
	case c.LeaseTTL != 0 && c.LeaseTTL < time.Second:
		return fmt.Errorf("lease TTL: %v: want at least 1s", c.LeaseTTL)
	}
	return nil
}

// Provision makes the streams and buckets that cfg names, or verifies those that exist, and returns the store
// that they are. It waits, until ctx ends, for servers that do not answer yet. Several nodes may do so at once.
// Errors: [ErrIncompatible], [ErrNewerFormat], ctx's, and those of a bad cfg.
func Provision(ctx context.Context, nc *nats.Conn, cfg Config) (*Store, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	names, err := NewNames(cfg.Prefix)
	if err != nil {
		return nil, err
	}
	j, err := js.New(nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	s := &Store{nc: nc, js: j, names: names, cfg: cfg.withDefaults()}
	for _, step := range []func(context.Context) error{s.awaitLeader, s.noOverlap, s.provisionMeta, s.provisionStreams, s.provisionBuckets, s.completeMeta} {
		if err := s.patiently(ctx, step); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// awaitLeader asks for little, of the leader that all else needs. What is missing is missed from its answer on.
func (s *Store) awaitLeader(ctx context.Context) error {
	_, err := lookUp(ctx, s, func(ctx context.Context) (struct{}, error) {
		list := s.js.StreamNames(ctx, js.WithStreamListSubject(s.names.HookAll()))
		for range list.Name() {
		}
		return struct{}{}, list.Err()
	})
	s.lostAfter = time.Now().Add(missingAfter)
	return err
}

// lookUp makes a request that changes nothing, again while it is not answered. It returns soon at first, so that the node can
// say what it waits for, and later each time.
func lookUp[T any](ctx context.Context, s *Store, ask func(context.Context) (T, error)) (T, error) {
	unanswered := func(sent time.Time, _ int) bool { return time.Since(sent) >= answerWithin }
	return untilAnswered(ctx, max(s.within, answerWithin), unanswered, func(ctx context.Context, _ bool) (T, error) { return ask(ctx) })
}

// patiently repeats step while its error says that the servers are not ready. It says so, seldom, and when they are.
func (s *Store) patiently(ctx context.Context, step func(context.Context) error) error {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	var said time.Time
	s.within = answerWithin
	for began := time.Now(); ; s.within = min(2*s.within, answersWithin) {
		err := step(perRequest(ctx))
		if err == nil || !notReady(err) {
			if !said.IsZero() {
				s.cfg.Logger.InfoContext(ctx, "done waiting for JetStream", "waited", time.Since(began).Round(time.Second))
			}
			return err
		}
		if time.Since(began) > time.Second && time.Since(said) > sayEvery && ctx.Err() == nil {
			said = time.Now()
			s.cfg.Logger.WarnContext(ctx, "waiting for JetStream", "because", s.because(err), "cause", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for JetStream: %w (last: %w)", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// because says what the servers that are not ready seem to lack.
func (s *Store) because(err error) string {
	switch {
	case isCode(err, errNoPeers):
		return fmt.Sprintf("%d replicas need as many servers that are up and have room", s.cfg.Replicas)
	case isCode(err, js.JSErrCodeStreamNotFound, js.JSErrCodeMessageNotFound), errors.Is(err, js.ErrStreamNotFound), errors.Is(err, js.ErrBucketNotFound):
		return "the servers may still be recovering it"
	case errors.Is(err, js.ErrJetStreamNotEnabledForAccount), errors.Is(err, js.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return "no server has JetStream for this account"
	case errors.Is(err, errExists), errors.Is(err, errNoMeta):
		return "another node is making the store"
	default:
		return "no leader yet: more than half of the servers must be up, and all of them when their stores are new"
	}
}

// notReady reports whether err comes from servers that start, elect or recover, or cannot be reached.
func notReady(err error) bool {
	if errors.Is(err, ErrIncompatible) || errors.Is(err, ErrNewerFormat) || errors.Is(err, nats.ErrConnectionClosed) {
		return false
	}
	var api *js.APIError
	if !errors.As(err, &api) {
		return true // timeouts and lost connections
	}
	switch api.ErrorCode {
	case errNoPeers, js.JSErrCodeStreamNotFound, js.JSErrCodeMessageNotFound:
		return true
	default:
		return api.Code >= 500 && !permanent(api.ErrorCode)
	}
}

// Error codes of the server that its client library does not name.
const (
	errAccountExceeded     js.ErrorCode = 10002 // resource limits exceeded for account
	errNoPeers             js.ErrorCode = 10005 // no suitable peers for placement
	errInsufficient        js.ErrorCode = 10023 // insufficient resources
	errMemoryExceeded      js.ErrorCode = 10028
	errNoSequence          js.ErrorCode = 10043 // sequence not found
	errStorageExceeded     js.ErrorCode = 10047
	errStreamInvalidConfig js.ErrorCode = 10052
	errOtherStream         js.ErrorCode = 10060 // expected stream does not match
	errSubjectOverlap      js.ErrorCode = 10065
	errNoReplicas          js.ErrorCode = 10074 // not clustered
	errStoreFailed         js.ErrorCode = 10077
	errHeaderTooLarge      js.ErrorCode = 10097
	errSealed              js.ErrorCode = 10109
	errRollup              js.ErrorCode = 10111
	errTooManyRequests     js.ErrorCode = 10167
)

func permanent(code js.ErrorCode) bool {
	switch code {
	case errInsufficient, errMemoryExceeded, errStorageExceeded, errStreamInvalidConfig, errNoReplicas:
		return true
	default:
		return false
	}
}

func isCode(err error, codes ...js.ErrorCode) bool {
	var api *js.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode)
}
