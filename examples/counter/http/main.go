// Command http is the API route of the counter pattern: an HTTP server that resumes counters by token.
// It holds no state and hosts no objects; a node does, such as cmd/node.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
)

func main() {
	url := flag.String("nats", cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL), "NATS server of the node")
	addr := flag.String("listen", "127.0.0.1:8081", "address to serve HTTP on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *url, *addr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, addr string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("POST to http://%s/\n", l.Addr())
	return serve(ctx, url, l)
}

// serve answers requests until ctx ends.
func serve(ctx context.Context, url string, l net.Listener) error {
	defer l.Close()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err != nil {
		return fmt.Errorf("connect to %s: %w; start a node with: go run ./cmd/node", url, err)
	}
	defer nc.Close()
	server := &http.Server{Handler: newRoute(perdure.NewClient(nc)), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}
