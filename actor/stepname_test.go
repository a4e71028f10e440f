package actor

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// oneStep is a workflow whose code runs one step of this name, or starts it as a future.
func oneStep(name string, future bool) *Workflow[None, None] {
	hook := NewHook[None, None]("never")
	step := NewStep(name, func(_ context.Context, n int) (int, error) { return n, nil })
	return NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
		var err error
		if future {
			_, err = step.Start(ctx, 1).Await(ctx)
		} else {
			_, err = step.Run(ctx, 1)
		}
		if err != nil {
			return None{}, err
		}
		_, err = hook.Create(ctx).Await(ctx)
		return None{}, err
	}, hook)
}

// TestStep_name: code that starts a step with a name that steps cannot have parks its run, which goes on
// with code that has another name for it.
func TestStep_name(t *testing.T) {
	for name, good := range map[string]bool{
		"charge": true, "Charge_card-2": true, strings.Repeat("x", 64): true,
		"": false, "charge card": false, "1st": false, "-x": false, "größe": false, "a.b": false, strings.Repeat("x", 65): false,
	} {
		for _, future := range []bool{false, true} {
			b := newBench(t, oneStep(name, future))
			out := b.input(started())
			stepped := slices.ContainsFunc(out, func(ev Event) bool { return isStepEvent(ev.Type) })
			if err := b.x.err; good != (err == nil) || good != stepped || err != nil && !strings.Contains(err.Error(), "step name") {
				t.Errorf("%q, future %t: %v, %v", name, future, b.x.err, brief(out))
			}
			if x := b.cold(oneStep("charge", future)); !good && x.err != nil {
				t.Errorf("%q, future %t: with a good name: %v", name, future, x.err)
			}
		}
	}
}

// TestStep_nameRecorded: a step that is in the log is replayed, whatever it is called.
func TestStep_nameRecorded(t *testing.T) {
	for _, future := range []bool{false, true} {
		b := newBench(t, oneStep("charge", future))
		for i, ev := range b.input(started()) {
			if isStepEvent(ev.Type) {
				b.log[0].Events[i].Name = "charge card"
			}
		}
		if x := b.cold(oneStep("charge card", future)); x.err != nil {
			t.Errorf("future %t: %v", future, x.err)
		}
	}
}
