package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/counter"
)

// startNode runs a node with counters until the test ends.
func startNode(t *testing.T, listen string) *perdure.Node {
	t.Helper()
	node, err := perdure.Start(t.Context(), perdure.Config{Listen: listen, Store: t.TempDir()}, counter.Counter)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Stop(); err != nil {
			t.Error(err)
		}
	})
	return node
}

// serveCounter runs a node without sockets, and the route in front of it.
func serveCounter(t *testing.T) (url string, client *perdure.Client) {
	t.Helper()
	node := startNode(t, "none")
	server := httptest.NewServer(newRoute(node.Client()))
	t.Cleanup(server.Close)
	return server.URL, node.Client()
}

func post(t *testing.T, url, body string) (status int, answer string) {
	t.Helper()
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

func count(t *testing.T, c *perdure.Client) int {
	t.Helper()
	n, err := counter.Hook.Call(t.Context(), c, counter.Counter.At("alice"), counter.Action{Type: "get"})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRoute(t *testing.T) {
	url, client := serveCounter(t)
	count(t, client) // starts the run
	want := 0
	for _, x := range []struct {
		body string
		adds int
	}{
		{`{"runId":"counter/alice","type":"increment","amount":5}`, 5},
		{`{"runId":"counter/alice","type":"increment"}`, 1}, // the default amount
		{`{"runId":"counter/alice","type":"decrement","amount":2}`, -2},
		{`{"runId":"counter/alice","type":"increment","amount":0}`, 0},
		{`{"runId":"counter/alice","type":"get"}`, 0},
	} {
		status, answer := post(t, url, x.body)
		if status != http.StatusOK || answer != "{\"ok\":true}\n" {
			t.Errorf("%s: got %d %q", x.body, status, answer)
		}
		// It was durable before it was answered: a call that comes later is applied later.
		want += x.adds
		if got := count(t, client); got != want {
			t.Errorf("%s: got %d, want %d", x.body, got, want)
		}
	}
}

func TestRoute_Problem(t *testing.T) {
	url, client := serveCounter(t)
	count(t, client)
	for name, x := range map[string]struct {
		body, text string
		status     int
	}{
		"unknown run":    {`{"runId":"counter/nobody","type":"increment"}`, "counter:counter/nobody", http.StatusNotFound},
		"long run":       {`{"runId":"` + strings.Repeat("x", actor.MaxTokenLen) + `","type":"increment"}`, "", http.StatusBadRequest},
		"no run":         {`{"type":"increment"}`, "runId", http.StatusBadRequest},
		"null":           {`null`, "runId", http.StatusBadRequest},
		"run not text":   {`{"runId":7,"type":"increment"}`, "runId", http.StatusBadRequest},
		"empty":          {``, "JSON", http.StatusBadRequest},
		"not JSON":       {`increment`, "JSON", http.StatusBadRequest},
		"no object":      {`["counter/alice"]`, "JSON", http.StatusBadRequest},
		"unknown action": {`{"runId":"counter/alice","type":"multiply"}`, "type", http.StatusBadRequest},
		"no action":      {`{"runId":"counter/alice"}`, "type", http.StatusBadRequest},
		"wrong amount":   {`{"runId":"counter/alice","type":"increment","amount":"two"}`, "amount", http.StatusBadRequest},
		"too large":      {`{"runId":"` + strings.Repeat("x", maxBody) + `"}`, "too large", http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := post(t, url, x.body)
			if status != x.status || !strings.Contains(text, x.text) {
				t.Errorf("got %d %q, want %d with %q", status, text, x.status, x.text)
			}
		})
	}
	if got := count(t, client); got != 0 {
		t.Errorf("got %d after problems only, want 0", got)
	}
}

func TestRoute_Method(t *testing.T) {
	url, _ := serveCounter(t)
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: got %d, want %d", response.StatusCode, http.StatusMethodNotAllowed)
	}
}
