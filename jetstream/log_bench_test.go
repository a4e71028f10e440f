package jetstream

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

// BenchmarkLog_Append appends records of 500 bytes, each caller to an object of its own, beside plain publishes.
func BenchmarkLog_Append(b *testing.B) {
	srv := natstest.Server(b)
	s := provision(b, natstest.Connect(b, srv), Config{})
	l := s.Log(natstest.Connect(b, srv, AppendOptions()...))
	body := make([]byte, 500)
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("append/callers=%d", callers), func(b *testing.B) {
			b.SetParallelism(callers)
			var next atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				e := &actor.Entry{Address: actor.Address{Type: "bench", Key: fmt.Sprint(uuid.New(), next.Add(1))}, Epoch: 1, Body: body}
				var last uint64
				for pb.Next() {
					e.Turn = uuid.NewString()
					seq, err := l.Append(b.Context(), e, last)
					if err != nil {
						b.Fatal(err)
					}
					last = seq
				}
			})
		})
		b.Run(fmt.Sprintf("publish/callers=%d", callers), func(b *testing.B) {
			b.SetParallelism(callers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.js.Publish(b.Context(), "blob.0.bench.x", body); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
