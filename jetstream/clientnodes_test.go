package jetstream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

// provisioned is a store with four partitions and what the buckets say, by key.
func provisioned(t *testing.T, leases, partitions map[string]string, changes ...func(*server.Options)) *Client {
	t.Helper()
	nc := natstest.Connect(t, natstest.Server(t, changes...))
	store := provision(t, nc, Config{Prefix: "acme", Partitions: 4, LogStreams: 1, LeaseTTL: time.Minute})
	for key, value := range leases {
		if _, err := store.LeasesBucket().PutString(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	for key, value := range partitions {
		if _, err := store.PartitionsBucket().PutString(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	return NewClient(nc, ClientConfig{Names: store.Names()})
}

func TestClient_Nodes(t *testing.T) {
	c := provisioned(t, map[string]string{
		"node.n1":  `{"node":"n1","session":"s1","types":["counter","tally"],"address":"x","since":"2026-01-02T03:04:05Z","ttl_ms":5000,"draining":true,"new":[1]}`,
		"node.n.2": `{"node":"n.2","session":"s2","types":null}`,
		"node.n3":  `{"node":"another","session":"s3","types":null}`,
		"node.n4":  `nothing`,
	}, map[string]string{
		"partition.0": `{"node":"n1","session":"s1","epoch":3,"since":"2026-01-02T03:04:06Z","inbox":7,"successor":"n.2"}`,
		"partition.1": `{"node":"n1","session":"s1","epoch":4,"since":"2026-01-02T03:04:07Z","released":true}`,
		"partition.2": `{"node":"n1","session":"before","epoch":1,"since":"2026-01-02T03:04:08Z"}`,
		"partition.9": `{"node":"n1","session":"s1","epoch":1}`,
	})
	nodes, err := c.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		if age := time.Since(nodes[i].Renewed); age < -time.Second || age > time.Minute {
			t.Errorf("%s: renewed at %v", nodes[i].Node, nodes[i].Renewed)
		}
		nodes[i].Renewed = time.Time{}
	}
	at := func(second int) time.Time { return time.Date(2026, 1, 2, 3, 4, second, 0, time.UTC) }
	wantNodes := []NodeInfo{
		{Node: "n.2", Session: "s2"},
		{Node: "n1", Session: "s1", Types: []string{"counter", "tally"}, Address: "x", Draining: true, Since: at(5), TTL: 5000, Partitions: 1},
	}
	if diff := cmp.Diff(wantNodes, nodes); diff != "" {
		t.Errorf("nodes (-want +got)\n%s", diff)
	}
	partitions, err := c.Partitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantPartitions := []PartitionInfo{
		{Partition: 0, Node: "n1", Session: "s1", Epoch: 3, Since: at(6), Live: true},
		{Partition: 1, Node: "n1", Session: "s1", Epoch: 4, Since: at(7), Released: true, Live: true},
		{Partition: 2, Node: "n1", Session: "before", Epoch: 1, Since: at(8)},
		{Partition: 3},
	}
	if diff := cmp.Diff(wantPartitions, partitions); diff != "" {
		t.Errorf("partitions (-want +got)\n%s", diff)
	}
}

func TestClient_NodesWithoutStore(t *testing.T) {
	c := NewClient(natstest.Connect(t, natstest.Server(t)), ClientConfig{})
	_, err := c.Nodes(t.Context())
	wantCode(t, err, 503)
	_, err = c.Partitions(t.Context())
	wantCode(t, err, 503)
	wantCode(t, c.Drain(t.Context(), "n1", true), 503)
}

// TestClient_Drain is in virtual time: a node that takes a second to answer is asked again.
func TestClient_Drain(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		c := provisioned(t, map[string]string{
			"node.n.1": `{"node":"n.1","session":"s1","types":[]}`,
			"node.n2":  `{"node":"n2","session":"s2","types":[]}`,
		}, nil, noSockets)
		s := c.nc
		var asked []bool
		f := NewFront(FrontConfig{
			Conn: s, Replies: s, Names: c.names, Partitions: 4, Node: "n.1", Host: echoHost("n.1"),
			Drain: func(on bool) error {
				asked = append(asked, on)
				if len(asked) > 2 {
					return fmt.Errorf("it is alone")
				}
				return nil
			},
		})
		sub, err := s.Subscribe(c.names.NodeDrain("n.1"), f.takeDrain)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		for _, on := range []bool{true, false} {
			if err := c.Drain(t.Context(), "n.1", on); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]bool{true, false}, asked); diff != "" {
			t.Errorf("asked (-want +got)\n%s", diff)
		}
		if e := failure(t, c.Drain(t.Context(), "n.1", true), 409); !strings.Contains(e.Message, "it is alone") {
			t.Errorf("got %v", e)
		}
		if e := failure(t, c.Drain(t.Context(), "n3", true), 404); e.Message != `there is no node "n3": only n.1, n2` || e.Source != actor.SourceRuntime {
			t.Errorf("got %v", e)
		}
	})
}
