package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
)

// page is a state of any size.
type page struct {
	Text string `json:"text"`
	N    int    `json:"n"`
}

// pages has methods that write a page anew, and that change one byte in the middle of it.
func pages() *actor.Object[page] {
	o := actor.NewObject[page]("page")
	actor.NewMethod(o, "fill", func(p *page, _ actor.Context, size int) (int, error) {
		text := bytes.Repeat([]byte(`<line> `), size/7+1)
		*p = page{Text: string(text[:size])}
		return size, nil
	})
	actor.NewMethod(o, "touch", func(p *page, _ actor.Context, n int) (int, error) {
		half := len(p.Text) / 2
		p.Text, p.N = p.Text[:half]+fmt.Sprint(n%10)+p.Text[half+1:], n
		return len(p.Text), nil
	})
	actor.NewQuery(o, "size", func(p page, _ actor.ReadContext, _ actor.None) (int, error) { return len(p.Text) + p.N, nil })
	return o
}

// rolls is a run function that checkpoints a text of the size that it is told.
func rolls() *actor.Workflow[actor.None, actor.None] {
	roll := actor.NewHook[int, int]("roll")
	return actor.NewWorkflow("roll", func(ctx actor.Context, _ actor.None) (actor.None, error) {
		before, _ := actor.Continued[page](ctx)
		call, err := roll.Create(ctx).Await(ctx)
		if err != nil {
			return actor.None{}, err
		}
		call.Reply(ctx, len(before.Text))
		actor.ContinueFrom(ctx, page{Text: string(bytes.Repeat([]byte("r"), call.Payload))})
		return actor.None{}, nil
	}, roll)
}

// TestLargeState has states of many sizes survive a restart; they are read by each way that there is, also as they were
// before. Those at the limit are in test/input.
func TestLargeState(t *testing.T) {
	o, f := pages(), rolls()
	n := harness.Run(t, harness.Config(t), o, f)
	call := func(addr actor.Address, hook, payload string) *actor.Outcome {
		t.Helper()
		out, err := n.Client().Call(t.Context(), addr, hook, []byte(payload), actor.CallHeader{Timeout: time.Minute})
		if err != nil {
			t.Fatalf("%s %s: %v", addr, hook, err)
		}
		return out
	}
	text := func(state json.RawMessage, err error) page {
		t.Helper()
		var p page
		if err != nil || json.Unmarshal(state, &p) != nil {
			t.Fatalf("%.100s, %v", state, err)
		}
		return p
	}
	for _, size := range []int{1 << 10, 100 << 10, 10 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			addr, flow := o.At(fmt.Sprint(size)), f.At(fmt.Sprint(size))
			quoted := size / 3 // its brackets take more room in JSON
			filled := call(addr, "fill", fmt.Sprint(quoted))
			touched := call(addr, "touch", "3")
			call(flow, "roll", fmt.Sprint(size))
			n.Again(o, f)
			if got := call(addr, "size", ""); string(got.Result) != fmt.Sprint(quoted+3) {
				t.Errorf("after a restart it has %s, want %d", got.Result, quoted+3)
			}
			if got := call(flow, "roll", "1"); string(got.Result) != fmt.Sprint(size) {
				t.Errorf("the run goes on from %s bytes, want %d", got.Result, size)
			}
			if p := text(n.Client().State(t.Context(), addr)); len(p.Text) != quoted || p.N != 3 || p.Text[quoted/2] != '3' {
				t.Errorf("State has %d bytes, n %d", len(p.Text), p.N)
			}
			if p := text(n.Client().StateAt(t.Context(), addr, filled.Seq)); len(p.Text) != quoted || p.N != 0 || p.Text[quoted/2] == '3' {
				t.Errorf("StateAt the first record has %d bytes, n %d", len(p.Text), p.N)
			}
			if p := text(n.Client().StateAt(t.Context(), addr, touched.Seq)); p.N != 3 {
				t.Errorf("StateAt the second record has n %d", p.N)
			}
			var states, records int
			for r, err := range n.Client().Events(t.Context(), addr, 0) {
				if err != nil {
					t.Fatal(err)
				}
				if records++; r.State != nil {
					states++
				}
			}
			if records != 2 || states < 1 {
				t.Errorf("Events gives %d records, %d with states", records, states)
			}
		})
	}
}
