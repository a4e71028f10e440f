package jetstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
)

// NodeInfo is a node as its lease tells it. A node that died is listed until its lease lapses.
type NodeInfo struct {
	Node       string    `json:"node"`
	Session    string    `json:"session"`
	Types      []string  `json:"types"` // that it hosts
	Address    string    `json:"address,omitempty"`
	Draining   bool      `json:"draining"`         // it hands over what it owns and takes nothing
	Since      time.Time `json:"since,omitzero"`   // when its session began, by its own clock
	TTL        int64     `json:"ttl_ms,omitempty"` // of its lease, in milliseconds
	Renewed    time.Time `json:"renewed"`          // when its lease was stored last, by the server's clock
	Partitions int       `json:"partitions"`       // that it owns
}

// PartitionInfo is a partition as its record tells it; one that nobody ever claimed has only its number.
type PartitionInfo struct {
	Partition int       `json:"partition"`
	Node      string    `json:"node,omitempty"` // that claimed it last
	Session   string    `json:"session,omitempty"`
	Epoch     uint64    `json:"epoch"`
	Since     time.Time `json:"since,omitzero"` // when it was claimed, by the clock of who did
	Released  bool      `json:"released"`       // given back: its successor claims it, or after a TTL anyone
	Live      bool      `json:"live"`           // the session that claimed it has a lease
}

// Owned reports whether a living node executes the partition's objects.
func (p PartitionInfo) Owned() bool { return p.Live && !p.Released }

// Nodes lists the nodes that have a lease, by name.
func (c *Client) Nodes(ctx context.Context) ([]NodeInfo, error) {
	nodes, _, err := c.cluster(ctx)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return nodes, nil
}

// Partitions lists all partitions, by number.
func (c *Client) Partitions(ctx context.Context) ([]PartitionInfo, error) {
	_, partitions, err := c.cluster(ctx)
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	return partitions, nil
}

// Drain has a node begin to hand over what it owns, or, when on is false, take partitions again. It returns when the node has
// begun; [Client.Partitions] shows how far it is. [actor.ErrNotFound] when there is no such node, or it cannot;
// [actor.ErrConflict] when it refuses.
func (c *Client) Drain(ctx context.Context, node string, on bool) error {
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return fmt.Errorf("drain %s: %w", node, err)
	}
	if !slices.ContainsFunc(nodes, func(n NodeInfo) bool { return n.Node == node }) {
		return fmt.Errorf("drain %s: %w", node, noNode(node, nodes))
	}
	payload, err := json.Marshal(drainRequest{Off: !on})
	if err != nil {
		return fmt.Errorf("drain %s: encode request: %w", node, err)
	}
	subject := c.names.NodeDrain(node)
	o, err := c.outcome(ctx, &ask{
		until:    deadline(ctx, 0),
		message:  func(time.Duration) *nats.Msg { return &nats.Msg{Subject: subject, Data: payload} },
		tryAgain: unavailable,
	}, subject)
	if err == nil && o.Err != nil {
		err = o.Err
	}
	if err != nil {
		return fmt.Errorf("drain %s: %w", node, err)
	}
	return nil
}

func noNode(node string, nodes []NodeInfo) *actor.Error {
	if len(nodes) == 0 {
		return actor.Errorf(actor.CodeNotFound, "there is no node")
	}
	names := make([]string, 0, len(nodes))
	for _, n := range nodes {
		names = append(names, n.Node)
	}
	return actor.Errorf(actor.CodeNotFound, "there is no node %q: only %s", node, strings.Join(names, ", "))
}

// cluster reads who lives and who owns what: leases last, so that whoever had claimed a partition by then and has no
// lease is dead, and not just new.
func (c *Client) cluster(ctx context.Context) ([]NodeInfo, []PartitionInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	js, err := c.jetStream()
	if err != nil {
		return nil, nil, err
	}
	m, err := c.meta(ctx, js)
	if err != nil {
		return nil, nil, err
	}
	partitions, err := readPartitions(ctx, js, c.names.PartitionsBucket(), m.Partitions)
	if err != nil {
		return nil, nil, err
	}
	nodes, err := readNodes(ctx, js, c.names.LeasesBucket())
	if err != nil {
		return nil, nil, err
	}
	at := map[string]int{} // by session
	for i, n := range nodes {
		at[n.Session] = i
	}
	for i := range partitions {
		p := &partitions[i]
		n, live := at[p.Session]
		if p.Live = live; p.Owned() {
			nodes[n].Partitions++
		}
	}
	return nodes, partitions, nil
}

func readNodes(ctx context.Context, js jetstream.JetStream, bucket string) ([]NodeInfo, error) {
	nodes := []NodeInfo{}
	err := readBucket(ctx, js, bucket, leasePrefix+">", func(e jetstream.KeyValueEntry) {
		if l := decodeLease(strings.TrimPrefix(e.Key(), leasePrefix), e.Revision(), e.Value()); l.Session != "" {
			nodes = append(nodes, NodeInfo{
				Node: l.Node, Session: l.Session, Types: l.Types, Address: l.Address, Draining: l.Draining, Since: l.Since,
				TTL: int64(l.TTL), Renewed: e.Created().UTC(),
			})
		}
	})
	if errors.Is(err, jetstream.ErrBucketNotFound) { // it is in memory: the servers were restarted
		err = nil
	}
	slices.SortFunc(nodes, func(a, b NodeInfo) int { return cmp.Compare(a.Node, b.Node) })
	return nodes, err
}

func readPartitions(ctx context.Context, js jetstream.JetStream, bucket string, count int) ([]PartitionInfo, error) {
	partitions := make([]PartitionInfo, count)
	for p := range partitions {
		partitions[p].Partition = p
	}
	err := readBucket(ctx, js, bucket, partitionPrefix+"*", func(e jetstream.KeyValueEntry) {
		p, err := parsePartition(strings.TrimPrefix(e.Key(), partitionPrefix))
		if err != nil || p >= count {
			return
		}
		if r, err := decodeRecord(p, e.Revision(), e.Value()); err == nil {
			partitions[p] = PartitionInfo{
				Partition: p, Node: r.Node, Session: r.Session, Epoch: r.Epoch, Since: r.Since, Released: r.Released,
			}
		}
	})
	return partitions, err
}

// readBucket calls fn for each key that matches keys, as the bucket has them now.
func readBucket(ctx context.Context, js jetstream.JetStream, bucket, keys string, fn func(jetstream.KeyValueEntry)) error {
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	w, err := kv.Watch(ctx, keys)
	if err != nil {
		return fmt.Errorf("read bucket %s: %w", bucket, err)
	}
	defer stopWatch(w)
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("read bucket %s: %w", bucket, ctx.Err())
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return fmt.Errorf("read bucket %s: ended by the server", bucket)
			case e == nil: // that was all
				return nil
			case e.Operation() == jetstream.KeyValuePut:
				fn(e)
			}
		}
	}
}
