package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestServe(t *testing.T) {
	node := startNode(t, "127.0.0.1:0")
	count(t, node.Client()) // starts the run
	ctx, cancel := context.WithCancel(t.Context())
	l := listen(t)
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, node.URL(), l) }()

	status, answer := post(t, "http://"+l.Addr().String(), `{"runId":"counter/alice","type":"increment","amount":3}`)
	if status != http.StatusOK {
		t.Errorf("got %d %q", status, answer)
	}
	if got := count(t, node.Client()); got != 3 {
		t.Errorf("got %d, want 3", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestServe_NoNode(t *testing.T) {
	nobody := listen(t)
	url := "nats://" + nobody.Addr().String()
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	err := serve(t.Context(), url, listen(t))
	if err == nil || !strings.Contains(err.Error(), url) || !strings.Contains(err.Error(), "go run ./cmd/node") {
		t.Errorf("got %v, want an error that says what to do", err)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
