package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

// pagedHost answers $events with records 1 to n, two at a time.
func pagedHost(n uint64) *fakeHost {
	h := echoHost("n1")
	h.call = func(req *actor.Request) {
		var want struct{ From, Limit uint64 }
		if err := json.Unmarshal(req.Payload, &want); err != nil || req.Hook != actor.HookEvents || want.Limit == 0 {
			req.Reply(&actor.Outcome{Err: actor.Errorf(actor.CodeInvalid, "%v %s", err, req.Hook)})
			return
		}
		from := max(want.From, 1)
		page := []string{}
		for seq := from; seq <= n && seq < from+min(want.Limit, 2); seq++ {
			page = append(page, fmt.Sprintf(`{"seq":%d,"node":"n1","turn":"t","v":1,"run":"tally/alice","incarnation":"i","epoch":2,"events":[]}`, seq))
		}
		o := &actor.Outcome{Result: json.RawMessage("[" + strings.Join(page, ",") + "]")}
		if from+2 <= n {
			o.Next = from + 2
		}
		req.Reply(o)
	}
	return h
}

func TestClient_Events(t *testing.T) {
	s := callServer(t)
	startFront(t, s, "n1", pagedHost(5), allPartitions)
	c := NewClient(natstest.Connect(t, s), ClientConfig{})
	for from, want := range map[uint64][]uint64{0: {1, 2, 3, 4, 5}, 4: {4, 5}, 5: {5}, 6: nil} {
		var got []uint64
		for r, err := range c.Events(t.Context(), alice, from) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Run != "tally/alice" || r.Epoch != 2 || r.Node != "n1" {
				t.Errorf("got %+v", r)
			}
			got = append(got, r.Seq)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("from %d (-want +got)\n%s", from, diff)
		}
	}
	t.Run("error", func(t *testing.T) {
		n := 0
		for _, err := range c.Events(t.Context(), actor.Address{Type: "nothing", Key: "x"}, 0) {
			n++
			wantCode(t, err, 404)
		}
		if n != 1 {
			t.Errorf("%d errors", n)
		}
	})
}

// TestClient_FollowEnded follows runs that have ended before.
func TestClient_FollowEnded(t *testing.T) {
	s := callServer(t)
	h := pagedHost(5)
	events := h.call
	h.call = func(req *actor.Request) {
		if req.Hook == actor.HookDescribe {
			req.Reply(&actor.Outcome{Result: json.RawMessage(`{"status":"completed","log":{"last":5}}`)})
			return
		}
		events(req)
	}
	startFront(t, s, "n1", h, allPartitions)
	c := NewClient(natstest.Connect(t, s), ClientConfig{})
	for from, want := range map[uint64]int{0: 5, 5: 1, 6: 0} {
		got := 0
		for _, err := range c.Follow(short(t), alice, from) {
			if err != nil {
				t.Fatal(err)
			}
			got++
		}
		if got != want {
			t.Errorf("from %d: %d records, want %d", from, got, want)
		}
	}
}

// recordOf is the body of an object's n-th record, with one event.
func recordOf(addr actor.Address, n int, event actor.EventType) string {
	return fmt.Sprintf(`{"v":1,"run":%q,"incarnation":"i","epoch":3,"n":%d,"events":[{"type":%q,"at":"2026-01-02T03:04:05Z"}]}`, addr, n, event)
}

// TestClient_FollowToEnd follows runs that end, in each way, while they are followed.
func TestClient_FollowToEnd(t *testing.T) {
	s := natstest.Server(t)
	nc := natstest.Connect(t, s)
	r := &rig{server: s, store: provision(t, nc, Config{Partitions: 4, LogStreams: 2})}
	startFront(t, s, "n1", pagedHost(0), allPartitions)
	log, c := r.log(t), NewClient(nc, ClientConfig{})
	for _, end := range []actor.EventType{
		actor.RunCompleted, actor.RunFailed, actor.RunCancelled, actor.RunTerminated, actor.RunPurged,
	} {
		t.Run(string(end), func(t *testing.T) {
			run := actor.Address{Type: "tally", Key: string(end)}
			mustAppend(t, log, entry(run, "t1", recordOf(run, 1, actor.RunCancelling)), 0)
			var got []string
			for rec, err := range c.Follow(short(t), run, 0) {
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, rec.Turn); len(got) == 1 {
					mustAppend(t, log, entry(run, "t2", recordOf(run, 2, end)), rec.Seq)
				}
			}
			if diff := cmp.Diff([]string{"t1", "t2"}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestClient_FollowAndRuns(t *testing.T) {
	s := natstest.Server(t)
	nc := natstest.Connect(t, s)
	c := NewClient(nc, ClientConfig{})
	_, err := c.Runs(t.Context(), "", "", 0)
	wantCode(t, err, 503) // no node has ever been here

	r := &rig{server: s, store: provision(t, nc, Config{Partitions: 4, LogStreams: 2})}
	startFront(t, s, "n1", pagedHost(0), allPartitions)
	log := r.log(t)
	body := func(addr actor.Address, n int) string { return recordOf(addr, n, actor.RunCreated) }

	t.Run("follow", func(t *testing.T) {
		mustAppend(t, log, entry(alice, "t1", body(alice, 1)), 0)
		ctx, stop := context.WithCancel(short(t))
		var got []string
		for rec, err := range c.Follow(ctx, alice, 0) { // appends while it follows; the first below is there before
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				break
			}
			got = append(got, rec.Turn)
			if len(got) == 1 {
				ack, err := newJS(t, nc).Publish(ctx, c.names.Log(r.store.Partition(alice), alice), []byte("foreign"))
				if err != nil {
					t.Fatal(err)
				}
				mustAppend(t, log, entry(alice, "t2", body(alice, 2)), ack.Sequence) //nolint:contextcheck // it has a time of its own
			} else {
				stop()
			}
			if rec.Events[0].Type != actor.RunCreated || rec.Node != "n1" || rec.Time.IsZero() {
				t.Errorf("got %+v", rec)
			}
		}
		stop()
		if diff := cmp.Diff([]string{"t1", "t2"}, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})

	t.Run("runs", func(t *testing.T) {
		bob, cart := actor.Address{Type: "tally", Key: "bob"}, actor.Address{Type: "cart", Key: "a.b/c"}
		mustAppend(t, log, entry(bob, "b1", body(bob, 1)), 0)
		done := entry(cart, "c1", body(cart, 1))
		done.Status = actor.StatusCompleted
		mustAppend(t, log, done, 0)
		for _, q := range []struct {
			typ    string
			status actor.Status
			limit  int
			want   []string
		}{
			{"", "", 0, []string{"cart/a.b/c completed 1", "tally/alice running 2", "tally/bob running 1"}},
			{"tally", "", 0, []string{"tally/alice running 2", "tally/bob running 1"}},
			{"", actor.StatusCompleted, 0, []string{"cart/a.b/c completed 1"}},
			{"", "", 2, []string{"cart/a.b/c completed 1", "tally/alice running 2"}},
			{"nothing", "", 0, nil},
		} {
			runs, err := c.Runs(short(t), q.typ, q.status, q.limit)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range runs {
				got = append(got, fmt.Sprintf("%s %s %d", r.Run, r.Status, r.Records))
				if r.Seq == 0 || r.Updated.IsZero() || r.Node != "n1" {
					t.Errorf("got %+v", r)
				}
			}
			if diff := cmp.Diff(q.want, got); diff != "" {
				t.Errorf("%+v (-want +got)\n%s", q, diff)
			}
		}
	})
}
