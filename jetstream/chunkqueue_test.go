package jetstream

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
)

func TestChunkQueue(t *testing.T) {
	message := func(seq, size int) *nats.Msg {
		return &nats.Msg{
			Subject: "out.a.b.c", Data: make([]byte, size),
			Header: nats.Header{nats.JSStream: {"OUT"}, nats.JSSequence: {"9", fmt.Sprint(seq)}, nats.JSLastSequence: {fmt.Sprint(seq - 1)}},
		}
	}
	for name, c := range map[string]struct {
		size, put, kept int
	}{
		"few":        {10, 5, 5},
		"many":       {10, 3 * queueMessages, queueMessages},
		"large":      {queueBytes / 3, 10, 2},
		"very large": {8 << 20, 10, 1},
	} {
		q := newChunkQueue()
		for i := range c.put {
			q.put("OUT", message(i+1, c.size))
			q.put("OTHER", message(i+1, c.size))
			q.put("OUT", &nats.Msg{Subject: "out.a.b.c", Data: []byte("noise")})
		}
		all, lost := q.take()
		if len(all) != c.kept || lost != (c.kept < c.put) {
			t.Errorf("%s: %d kept, lost %v, want %d of %d", name, len(all), lost, c.kept, c.put)
		}
		for i, m := range all {
			if m.Seq != uint64(i+1) || m.before != uint64(i) {
				t.Errorf("%s: message %d has sequence %d after %d", name, i, m.Seq, m.before)
			}
		}
		if all, lost := q.take(); len(all) > 0 || lost || q.bytes != 0 {
			t.Errorf("%s: then %d, lost %v", name, len(all), lost)
		}
	}
}
