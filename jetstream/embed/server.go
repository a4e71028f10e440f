package embed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	publicUser = "public" // whoever gives no credentials
	replyUser  = "reply"  // may publish replies and nothing else

	// readyStep is how often a starting server is looked at.
	readyStep = 50 * time.Millisecond
)

// Server is a running server on a locked store. Make one with [Start].
type Server struct {
	ns       *server.Server
	lock     *os.File
	log      *serverLog
	password string // of the users; never leaves the process

	failed chan error
	kick   chan struct{} // look at the health now
	stop   context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
}

// Start runs a server. It returns when connections are served and what the store holds is recovered, which for a
// large store takes minutes. ctx bounds starting only. A server in a cluster does not wait for the others. Errors:
// [ErrListen], [ErrStoreInUse], [ErrOtherStore], those of a bad cfg.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	opts, err := cfg.options()
	if err != nil {
		return nil, err
	}
	if err := probe(ctx, opts); err != nil {
		return nil, err
	}
	lock, err := lockStore(cfg.Store)
	if err != nil {
		return nil, err
	}
	if err := claimStore(cfg); err != nil {
		_ = lock.Close()
		return nil, err
	}
	s := &Server{lock: lock, failed: make(chan error, 1), kick: make(chan struct{}, 1), password: rand.Text()}
	s.log = &serverLog{ctx: context.WithoutCancel(ctx), logger: cfg.Logger, onError: s.lookNow}
	opts.Users, opts.NoAuthUser = s.users(cfg.ReplyPrefixes), publicUser
	if s.ns, err = server.NewServer(opts); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("make server: %w", err)
	}
	s.ns.SetLoggerV2(s.log, false, false, false)
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.ns.Start()
	if err := s.awaitReady(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	s.wg.Go(func() { s.watch(watch) })
	return s, nil
}

// users are the public one, with every right, and the one that replies.
func (s *Server) users(replyPrefixes []string) []*server.User {
	allow := []string{"_INBOX.>"}
	for _, p := range replyPrefixes {
		allow = append(allow, p+".>")
	}
	return []*server.User{
		{Username: publicUser, Password: s.password},
		{Username: replyUser, Password: s.password, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: allow},
			Subscribe: &server.SubjectPermission{Deny: []string{">"}},
		}},
	}
}

// probe reports whether the server's addresses can be listened on, before anything is created.
func probe(ctx context.Context, o *server.Options) error {
	type place struct {
		host string
		port int
	}
	var places []place
	if !o.DontListen {
		places = append(places, place{o.Host, o.Port})
	}
	if o.Cluster.Port != 0 {
		places = append(places, place{o.Cluster.Host, o.Cluster.Port})
	}
	for _, p := range places {
		addr := net.JoinHostPort(p.host, fmt.Sprint(max(p.port, 0)))
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err != nil {
			return fmt.Errorf("%w on %s: %w", ErrListen, addr, err)
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("%w on %s: %w", ErrListen, addr, err)
		}
	}
	return nil
}

func (s *Server) awaitReady(ctx context.Context) error {
	for !s.ns.ReadyForConnections(readyStep) || s.log.fatalError() != nil {
		if err := s.log.fatalError(); err != nil {
			return fmt.Errorf("start server: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("start server: %w", err)
		}
	}
	return nil
}

// Stop shuts the server down, waits until its store is written out, and unlocks the store. It may be called again.
func (s *Server) Stop() {
	s.once.Do(func() {
		s.stop()
		s.wg.Wait()
		s.ns.Shutdown()
		s.ns.WaitForShutdown()
		if err := s.lock.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			s.log.Errorf("unlock store: %v", err)
		}
	})
}

// URL is where clients outside connect; empty when the server does not listen.
func (s *Server) URL() string {
	if s.ns.Addr() == nil {
		return ""
	}
	return s.ns.ClientURL()
}

// Options connect from inside the process: nats.Connect("", s.Options()...).
// They reach this server whatever others of its cluster it tells of.
func (s *Server) Options() []nats.Option {
	return []nats.Option{nats.InProcessServer(s.ns), nats.IgnoreDiscoveredServers()}
}

// ReplyOptions connect from inside the process with the right to publish below _INBOX and the reply prefixes,
// and no other: a reply subject is chosen by the caller.
func (s *Server) ReplyOptions() []nats.Option {
	return append(s.Options(), nats.UserInfo(replyUser, s.password))
}
