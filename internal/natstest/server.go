// Package natstest runs real NATS servers with JetStream for tests.
//
// # Model
//
// [Server] is one server, [Bubble] one without sockets for use inside testing/synctest, [Cluster] three that
// replicate. [Wire] is a connection's path that a test can cut, [Proxy] one over TCP, for other processes. Everything
// ends with the test.
//
// A package that uses Bubble calls [Outside] in its TestMain.
package natstest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
)

// patience is how long a server or a handshake may take on a machine that is busy: a guard against hanging.
const patience = time.Minute

// Options returns what every test server has in common; its store is in dir.
func Options(dir string) *server.Options {
	return &server.Options{
		ServerName: "test", Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir,
		MaxPayload: 8 << 20, NoSigs: true, NoLog: true,
		AuthTimeout: patience.Seconds(), TLSTimeout: patience.Seconds(),
		JetStreamLimits: server.JSLimitOpts{DefaultMaxConsumers: -1},
	}
}

// Server runs a server with a store of its own on a random port. Each change is made to its options.
func Server(tb testing.TB, changes ...func(*server.Options)) *server.Server {
	tb.Helper()
	opts := Options(tb.TempDir())
	for _, change := range changes {
		change(opts)
	}
	return Start(tb, opts)
}

// Bubble runs a server without sockets, for use inside a synctest bubble: connect with [Connect].
func Bubble(tb testing.TB) *server.Server {
	tb.Helper()
	return BubbleAt(tb, tb.TempDir())
}

// BubbleAt is [Bubble] on a store that may exist.
func BubbleAt(tb testing.TB, dir string) *server.Server {
	tb.Helper()
	opts := Options(dir)
	opts.DontListen = true
	return Start(tb, opts)
}

// Outside keeps the server's process-wide clock goroutine outside every bubble. Call it in TestMain.
func Outside() { ats.Register() }

// Start runs a server until the test ends.
func Start(tb testing.TB, opts *server.Options) *server.Server {
	tb.Helper()
	s, err := server.NewServer(opts)
	if err != nil {
		tb.Fatalf("make server: %v", err)
	}
	s.Start()
	tb.Cleanup(func() { Stop(s) })
	if !s.ReadyForConnections(patience) {
		tb.Fatal("server is not ready")
	}
	return s
}

// Stop shuts a server down and waits for it.
func Stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// Connect opens an in-process connection that ends with the test.
func Connect(tb testing.TB, s *server.Server, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	opts = append([]nats.Option{nats.InProcessServer(s), nats.Timeout(patience), nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond)}, opts...)
	return dial(tb, "", opts...)
}

func dial(tb testing.TB, url string, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// given has the ports that FreePort returned: whoever was given one may not listen yet.
var given sync.Map

// FreePort returns a port that nobody listens on now and that it did not return before, below those that the kernel gives to
// connections and to who listens on port 0: of these, another test may have it before the caller does.
func FreePort(tb testing.TB) int {
	tb.Helper()
	for {
		port := 10_000 + rand.IntN(22_000)
		if _, was := given.LoadOrStore(port, true); was {
			continue
		}
		l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		switch {
		case err == nil:
			_ = l.Close() // nobody has connected
			return port
		case tb.Context().Err() != nil || !errors.Is(err, syscall.EADDRINUSE):
			tb.Fatalf("find a port: %v", err)
		}
	}
}
