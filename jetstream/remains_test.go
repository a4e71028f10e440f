package jetstream

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

// TestRemains_foreign: a message in the log of a purged run that names the parts of another object's record takes none of
// them along.
func TestRemains_foreign(t *testing.T) {
	opts := natstest.Options(t.TempDir())
	smallMessages(opts)
	s := natstest.Start(t, opts)
	r := &rig{server: s, store: provision(t, natstest.Connect(t, s), Config{Partitions: 1, LogStreams: 1})}
	l, ctx := r.log(t), short(t)
	purged, other := actor.Address{Type: "remains", Key: "purged"}, actor.Address{Type: "remains", Key: "other"}
	large := func(addr actor.Address, turn string) *actor.Entry {
		body := bytes.Repeat([]byte{'x'}, 500<<10)
		copy(body, `{"v":1,"run":"`+addr.String()+`","incarnation":"i","epoch":3,"events":[],"state":"`)
		copy(body[len(body)-2:], `"}`)
		return entry(addr, turn, string(body))
	}
	kept := mustAppend(t, l, large(other, "t"), 0)
	own := mustAppend(t, l, large(purged, "t1"), 0)
	stream, subject, _ := l.place(purged) // the only one
	manifest, err := r.store.get(ctx, stream, getRequest{Seq: kept})
	if err != nil {
		t.Fatal(err)
	}
	h := formatEntry(entry(purged, "t2", ""))
	h[HeaderBlobs] = []string{strconv.Itoa(3)}
	expect(h, stream, own)
	copied, err := l.publish(ctx, &nats.Msg{Subject: subject, Header: h, Data: manifest.Data}, stream)
	if err != nil {
		t.Fatal(err)
	}
	tombstone := mustAppend(t, l, entry(purged, "t3", "{}"), copied)
	if err := r.store.Remains(l).Sweep(ctx, purged, tombstone, nil); err != nil {
		t.Fatal(err)
	}
	if left := scan(t, l, purged); len(left) != 1 || left[0].Seq != tombstone {
		t.Errorf("%d records are left", len(left))
	}
	if all, err := l.Attempts(ctx, r.store.Partition(purged), purged); err != nil || len(all) != 0 {
		t.Errorf("parts are left: %v, %v", all, err)
	}
	if _, err := l.Read(ctx, other, kept); err != nil {
		t.Errorf("the other object's record: %v", err)
	}
}
