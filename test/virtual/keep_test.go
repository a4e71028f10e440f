//go:build !race

package virtual

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
)

type page struct {
	Lines []string `json:"lines"`
	Set   int      `json:"set"`
}

func set(p *page, _ actor.Context, n int) (int, error) {
	for len(p.Lines) < 200 {
		p.Lines = append(p.Lines, fmt.Sprintf("line %d, as it was at first", len(p.Lines)))
	}
	p.Lines[n%200] = fmt.Sprint("set by ", n)
	p.Set++
	return p.Set, nil
}

// TestKeep counts what a real server has left of logs whose types trim them, over evictions and restarts.
func TestKeep(t *testing.T) {
	bump := actor.NewHook[int, int]("bump")
	defs := func() []actor.Definition {
		tally := actor.NewObject[struct{ N int }]("few", actor.KeepLast(20))
		actor.NewMethod(tally, "set", func(s *struct{ N int }, _ actor.Context, _ int) (int, error) { s.N++; return s.N, nil })
		pages := actor.NewObject[page]("page", actor.KeepNeeded())
		actor.NewMethod(pages, "set", set)
		whole := actor.NewObject[page]("whole")
		actor.NewMethod(whole, "set", set)
		flow := actor.NewWorkflow("flow", func(ctx actor.Context, _ actor.None) (actor.None, error) {
			sum, _ := actor.Continued[int](ctx)
			hook := bump.Create(ctx)
			for range 10 {
				call, err := hook.Await(ctx)
				if err != nil {
					return actor.None{}, err
				}
				sum++
				call.Reply(ctx, sum)
			}
			actor.ContinueFrom(ctx, sum)
			return actor.None{}, nil
		}, bump, actor.KeepNeeded())
		return []actor.Definition{tally, pages, whole, flow}
	}
	natstest.InBubble(t, func(t *testing.T) {
		n := run(t, nil, defs()...)
		const calls = 400
		for i := range calls {
			for typ, hook := range map[string]string{"few": "set", "page": "set", "whole": "set", "flow": "bump"} {
				// Sends without an id: nothing is kept for callers who might repeat them.
				if _, err := n.Conn().Request("hook."+typ+".k."+hook, []byte(fmt.Sprint(i)), 10*time.Second); err != nil {
					t.Fatalf("send %d to %s: %v", i, typ, err)
				}
			}
			time.Sleep(20 * time.Millisecond) // each is a record of its own
			switch i {
			case 90, 200, 311:
				n.Again(defs()...)
			case 150, 250:
				time.Sleep(10 * time.Minute) // evicted
			default:
			}
		}
		time.Sleep(time.Minute)
		left := map[string]int{}
		for _, name := range harness.LogStreams(t, n.Conn()) {
			harness.EachMessage(t, n.Conn(), name, func(m harness.Message) {
				left[strings.Split(m.Subject, ".")[2]]++ // log.<p>.<type>.<key>
			})
		}
		for typ, want := range map[string][2]int{"few": {20, 20}, "page": {2, 150}, "whole": {calls, calls}, "flow": {2, 25}} {
			if got := left[typ]; got < want[0] || got > want[1] {
				t.Errorf("%d records of %s are left after %d calls, want %d to %d", got, typ, calls, want[0], want[1])
			}
		}
		t.Logf("left after %d calls: %v", calls, left)
		n.Again(defs()...)
		for typ, hook := range map[string]string{"few": "set", "page": "set", "whole": "set", "flow": "bump"} {
			o, err := n.Client().Call(t.Context(), actor.Address{Type: typ, Key: "k"}, hook, []byte("7"), actor.CallHeader{})
			if err != nil || string(o.Result) != fmt.Sprint(calls+1) {
				t.Errorf("%s goes on with %v, %v", typ, o, err)
			}
			var events []any
			for e, err := range n.Client().Events(t.Context(), actor.Address{Type: typ, Key: "k"}, 1) {
				if err != nil {
					t.Fatalf("events of %s: %v", typ, err)
				}
				events = append(events, e)
			}
			if len(events) == 0 {
				t.Errorf("%s has no events", typ)
			}
		}
	})
}
