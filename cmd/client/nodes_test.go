package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/perdure/perdure/internal/natstest"
	perdure "github.com/perdure/perdure/jetstream"
)

// cluster is a server with a store whose buckets tell of nodes, and a front that answers as node n1 when it is drained.
type cluster struct {
	server *server.Server
	store  *perdure.Store

	mu    sync.Mutex
	drain func() error // what draining does; nil: nothing
	asked []bool       // what the node was asked
}

func (c *cluster) drainNode(on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, on)
	if c.drain == nil {
		return nil
	}
	return c.drain()
}

// begin sets what draining does, and forgets what was asked.
func (c *cluster) begin(drain func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drain, c.asked = drain, []bool{}
}

// said is what the node was asked; a question that is repeated because its answer is late counts once.
func (c *cluster) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(slices.Compact(slices.Clone(c.asked)))
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{server: natstest.Server(t)}
	ctx, cancel := context.WithCancel(t.Context())
	var err error
	c.store, err = perdure.Provision(ctx, natstest.Connect(t, c.server), perdure.Config{Partitions: 4, LogStreams: 1, LeaseTTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	front := perdure.NewFront(perdure.FrontConfig{
		Conn: natstest.Connect(t, c.server), Replies: natstest.Connect(t, c.server), Partitions: 4, Node: "n1", Host: host{},
		Drain: c.drainNode,
	})
	ended := make(chan error, 1)
	go func() { ended <- front.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-front.Ready()
	return c
}

// joins writes a node's lease.
func (c *cluster) joins(t *testing.T, node, rest string) {
	t.Helper()
	value := fmt.Sprintf(`{"node":%q,"session":"s-%s"%s}`, node, node, rest)
	if _, err := c.store.LeasesBucket().PutString(t.Context(), "node."+node, value); err != nil {
		t.Fatal(err)
	}
}

// claims writes a partition's record.
func (c *cluster) claims(ctx context.Context, node string, p int, rest string) error {
	value := fmt.Sprintf(`{"node":%q,"session":"s-%s","epoch":%d,"since":"2026-01-02T03:04:0%dZ"%s}`, node, node, p+1, p, rest)
	_, err := c.store.PartitionsBucket().PutString(ctx, fmt.Sprintf("partition.%d", p), value)
	return err
}

func TestNodes(t *testing.T) {
	c := startCluster(t)
	c.joins(t, "n1", `,"types":["counter","tally"],"since":"2026-01-02T03:04:05Z","ttl_ms":5000`)
	c.joins(t, "n2.host", `,"types":[],"draining":true`)
	for p, node := range []string{"n1", "n1", "gone"} {
		if err := c.claims(t.Context(), node, p, map[int]string{1: `,"released":true`}[p]); err != nil {
			t.Fatal(err)
		}
	}
	renewed := regexp.MustCompile(`-?\d+\.\ds ago|"renewed":"[^"]*"`)
	for name, args := range map[string]string{
		"nodes":           "nodes",
		"nodes JSON":      "nodes --json",
		"partitions":      "partitions",
		"partitions JSON": "--json partitions",
		"of a node":       "partitions --node n1",
		"of no node":      "partitions --node n3",
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := client(t, c.server.ClientURL(), "", strings.Fields(args)...)
			if code != 0 || stderr != "" {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			golden(t, filepath.Join("testdata", "nodes", strings.ReplaceAll(name, " ", "_")+".golden"), renewed.ReplaceAllString(stdout, "(renewed)"))
		})
	}
	for _, verb := range []string{"nodes", "partitions", "drain n1"} {
		code, stdout, stderr := client(t, natstest.Server(t).ClientURL(), "", strings.Fields(verb)...)
		if code != exitUnreachable || stdout != "" || !strings.Contains(stderr, "there is no bucket PERDURE_META: has a node been started") {
			t.Errorf("%s without a store: exit code %d: %s%s", verb, code, stdout, stderr)
		}
	}
}

func TestDrain(t *testing.T) {
	c := startCluster(t)
	c.joins(t, "n1", "")
	for p := range 3 {
		if err := c.claims(t.Context(), "n1", p, ""); err != nil {
			t.Fatal(err)
		}
	}
	moves := func() error {
		for p := range 3 {
			if err := c.claims(context.Background(), "n2", p, ""); err != nil {
				return err
			}
		}
		return nil
	}
	refuses := func() error { return errors.New("it has no lease") }
	for _, step := range []struct {
		args           string
		drain          func() error
		code           int
		stdout, stderr string
		asked          string
	}{
		{"drain n3", nil, 1, "", "client: drain n3: there is no node \"n3\": only n1 (404, runtime)\n", "[]"},
		{"drain n1", refuses, 1, "", "client: drain n1: node n1 refuses: it has no lease (409, runtime)\n", "[true]"},
		{
			"drain n1", nil, 1, "",
			"client: drain n1: it keeps 3 partitions: there is no other node to take them; it hands them over to the next that comes, --off takes that back\n", "[true]",
		},
		{"drain n1 --off", nil, 0, "n1 takes partitions again\n", "", "[false]"},
		{"drain n1 --no-wait", nil, 0, "n1 hands over 3 partitions\n", "", "[true]"},
		{"drain n1 --no-wait --json", nil, 0, `{"node":"n1","draining":true,"moved":0,"left":3}` + "\n", "", "[true]"},
		{"join", nil, 0, "", "", ""},
		{"drain n1 --timeout 5s", nil, 3, "", "client: drain n1: 3 partitions left: context deadline exceeded\n", "[true]"},
		{"drain n1", moves, 0, "3 partitions moved from n1\n", "client: 0 partitions left\n", "[true]"},
		{"drain n1 --json", nil, 0, `{"node":"n1","draining":true,"moved":0,"left":0}` + "\n", "", "[true]"},
	} {
		if step.args == "join" {
			c.joins(t, "n2", "")
			continue
		}
		c.begin(step.drain)
		code, stdout, stderr := client(t, c.server.ClientURL(), "", strings.Fields(step.args)...)
		if code != step.code || stdout != step.stdout || stderr != step.stderr || c.said() != step.asked {
			t.Errorf("%s: exit code %d, want %d\n%q\n%q\nasked %v", step.args, code, step.code, stdout, stderr, c.said())
		}
	}
}
