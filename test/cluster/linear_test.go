package cluster

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/perdure/perdure/actor"
)

// history is what was done to some objects, and when.
type history struct {
	began time.Time

	mu  sync.Mutex
	ops []porcupine.Operation
}

type (
	added struct {
		run    string
		amount int // 0: it was only read
	}
	shown struct {
		known bool // else it may have happened at any time since its call, or never
		sum   int
	}
)

// note notes an operation: amount was added, or with 0 the object read.
func (h *history) note(caller int, addr actor.Address, amount int, o observed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	op := porcupine.Operation{
		ClientId: caller, Input: added{addr.String(), amount}, Call: int64(o.began.Sub(h.began)),
		Output: shown{o.known, o.sum}, Return: int64(o.ended.Sub(h.began)),
	}
	if !o.known {
		op.Return = math.MaxInt64 // applied at some time, or as good as never: after everything that was seen
	}
	h.ops = append(h.ops, op)
}

// tallyModel is an object that adds: every answer shows the sum after it.
var tallyModel = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		runs := map[string][]porcupine.Operation{}
		for _, op := range all {
			run := op.Input.(added).run
			runs[run] = append(runs[run], op)
		}
		var parts [][]porcupine.Operation
		for _, ops := range runs {
			parts = append(parts, ops)
		}
		return parts
	},
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		sum := state.(int) + input.(added).amount
		out := output.(shown)
		return !out.known || out.sum == sum, sum
	},
}

// linearWithin bounds the search for an order. Answers show sums, so that few orders are possible: what takes longer is wrong.
const linearWithin = 2 * time.Minute

// check checks that there is an order of the operations, each within its time, that explains what every one has shown.
func (h *history) check(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	began := time.Now()
	result := porcupine.CheckOperationsTimeout(tallyModel, h.ops, linearWithin)
	if result != porcupine.Ok {
		t.Errorf("%d operations are not linearizable: %s", len(h.ops), result)
	}
	t.Logf("%d operations on sampled objects: linearizable %s (%s)", len(h.ops), result, time.Since(began).Round(time.Millisecond))
}
