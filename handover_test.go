package perdure_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/jetstream"
)

// TestNode_handOver stops one of two nodes while callers of both kinds go on: no call fails, and each is
// applied once.
func TestNode_handOver(t *testing.T) {
	s := natstest.Server(t)
	def := newTally()
	leaving := start(t, perdure.Config{NATS: []string{s.ClientURL()}, Name: "a"}, def)
	start(t, perdure.Config{NATS: []string{s.ClientURL()}, Name: "b"}, def)
	nc := natstest.Connect(t, s)
	client := perdure.NewClient(nc)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	plain := func(key string) error {
		call := nats.NewMsg("call.tally." + key + ".add")
		call.Header.Set(jetstream.HeaderCallID, uuid.NewString())
		call.Data = []byte(`{"n":1}`)
		for {
			m, err := nc.RequestMsgWithContext(ctx, call)
			if err != nil {
				return err
			}
			switch m.Header.Get(jetstream.HeaderErrorCode) {
			case "":
				return nil
			case "503": // what the leaving node could not pass on in time: to be repeated
			default:
				return fmt.Errorf("%s", m.Data)
			}
		}
	}
	direct := func(key string) error {
		_, err := def.add.Call(ctx, client, key, amount{1})
		return err
	}
	const callers, before, after = 8, 20, 20
	var stopped atomic.Bool
	var running errgroup.Group
	warmed := make(chan struct{}, 2*callers)
	counts := make([]int, 2*callers)
	key := func(i int) string { return fmt.Sprintf("k%d", i) }
	for i := range counts {
		call := plain
		if i%2 == 1 {
			call = direct
		}
		running.Go(func() error {
			for left := after; left > 0; counts[i]++ {
				if err := call(key(i)); err != nil {
					return fmt.Errorf("caller %d, call %d: %w", i, counts[i], err)
				}
				if counts[i] == before {
					warmed <- struct{}{}
				}
				if stopped.Load() {
					left--
				}
			}
			return nil
		})
	}
	for range counts {
		select {
		case <-warmed:
		case <-ctx.Done():
			t.Fatal("the callers do not get going")
		}
	}
	if err := leaving.Stop(); err != nil {
		t.Error(err)
	}
	stopped.Store(true)
	if err := running.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, want := range counts {
		if got, err := def.get.Call(ctx, client, key(i), actor.None{}); err != nil || got != want {
			t.Errorf("caller %d: %d calls were applied, %v; %d were acknowledged", i, got, err, want)
		}
	}
}
