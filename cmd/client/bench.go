package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/perdure/perdure/actor"
)

type benchVerb struct {
	Objects int           `default:"100" help:"Objects that are called, bench-0 and so on."`
	Callers int           `default:"16" help:"Callers, each of which calls again when its call has returned."`
	For     time.Duration `default:"10s" help:"How long to measure."`
	Warmup  time.Duration `default:"1s" help:"How long to call before that."`
	Type    string        `default:"tally" help:"Type of the objects."`
	Hook    string        `default:"add" help:"What is called."`
	Payload payload       `default:"{\"n\":1}" placeholder:"JSON" help:"The payload; - reads stdin."`
	Raw     bool          `help:"Measure in turns with it what the server stores without Perdure: synchronous publishes of the payload by the same callers to a temporary file stream."`
}

// rounds is how often the calls and the raw publishes take turns: what else the machine does hits both.
const rounds = 5

// Run prints what was measured.
func (v *benchVerb) Run(ctx context.Context, s *session) error {
	body, err := v.Payload.read(s.stdin)
	if err != nil {
		return err
	}
	if v.Objects < 1 || v.Callers < 1 || v.For <= 0 || v.Warmup < 0 {
		return fmt.Errorf("%w: --objects, --callers and --for must be positive", errUsage)
	}
	addrs := make([]actor.Address, v.Objects)
	for i := range addrs {
		addrs[i] = actor.Address{Type: v.Type, Key: "bench-" + strconv.Itoa(i)}
		if err := addrs[i].Validate(); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	call := func(ctx context.Context) error {
		_, err := s.client.Call(ctx, addrs[rand.IntN(len(addrs))], v.Hook, body, s.header(""))
		return err
	}
	if err := call(ctx); err != nil { // what is wrong with all calls is said once
		return fmt.Errorf("call %s of %s: %w", v.Hook, v.Type, err)
	}
	if !v.Raw {
		calls, err := v.measure(ctx, s, call, nil)
		if err != nil {
			return err
		}
		return s.printBench(v, calls[0], nil)
	}
	raw, err := newRawStream(ctx, s, len(addrs), body)
	if err != nil {
		return err
	}
	both, err := v.measure(ctx, s, call, raw.publish)
	if err := errors.Join(err, raw.remove(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	return s.printBench(v, both[0], both[1])
}

// measure runs the loads in turns, raw may be nil, and returns what each did.
func (v *benchVerb) measure(ctx context.Context, s *session, call, raw func(context.Context) error) ([]*sample, error) {
	loads, names, turns := []func(context.Context) error{call}, []string{"calls"}, 1
	if raw != nil {
		loads, names, turns = append(loads, raw), append(names, "raw"), rounds
	}
	out := make([]*sample, len(loads))
	for i, load := range loads {
		out[i] = &sample{}
		if v.Warmup > 0 {
			drive(ctx, v.Callers, v.Warmup, load)
		}
	}
	p := newProgress(s.stderr)
	defer p.clear()
	for turn := range turns {
		for i, load := range loads {
			if ctx.Err() != nil {
				return nil, errInterrupted
			}
			stop := p.show(ctx, fmt.Sprintf("%s, turn %d of %d", names[i], turn+1, turns), v.For/time.Duration(turns))
			out[i].add(drive(ctx, v.Callers, v.For/time.Duration(turns), load))
			stop()
		}
	}
	switch calls := out[0]; {
	case calls.count() > 0:
		return out, nil
	case calls.err != nil:
		return nil, fmt.Errorf("no call succeeded: %w", calls.err)
	case ctx.Err() != nil:
		return nil, errInterrupted
	default:
		return nil, errors.New("no call ended in this time")
	}
}
