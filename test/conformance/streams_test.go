package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
)

// order tells a mouth what to do with its stream.
type order struct {
	Do   string `json:"do"`
	N    int    `json:"n"`    // how many chunks
	Size int    `json:"size"` // bytes of a chunk on the wire; 0: they count
}

// mouth is a workflow that does with its stream what it is told, from run code or in a step. It says "ok", "closed",
// "too large", or the error's text.
type mouth struct {
	*actor.Workflow[actor.None, actor.None]
	do     *actor.Hook[order, string]
	stream *actor.Stream[string]
}

func newMouth(opts ...actor.StreamOption) mouth {
	m := mouth{do: actor.NewHook[order, string]("do"), stream: actor.NewStream[string]("default", opts...)}
	undeclared := actor.NewStream[string]("other")
	write := actor.NewStep("write", func(ctx context.Context, o order) (string, error) {
		s := m.stream
		if o.Do == "write elsewhere" {
			s = undeclared
		}
		for i := range o.N {
			if err := s.Write(ctx, o.chunk("w", i)); err != nil {
				return said(err), nil
			}
		}
		return "ok", nil
	})
	m.Workflow = actor.NewWorkflow("mouth", func(ctx actor.Context, _ actor.None) (actor.None, error) {
		for call, err := range m.do.Create(ctx).All(ctx) {
			if err != nil {
				return actor.None{}, err
			}
			o, answer := call.Payload, "ok"
			switch o.Do {
			case "emit":
				for i := range o.N {
					if err := m.stream.Emit(ctx, o.chunk("e", i)); err != nil {
						answer = said(err)
					}
				}
			case "close":
				m.stream.Close(ctx)
			case "emit elsewhere":
				answer = said(undeclared.Emit(ctx, "x"))
			case "end":
				call.Reply(ctx, answer)
				return actor.None{}, nil
			default:
				if answer, err = write.Run(ctx, o); err != nil {
					return actor.None{}, err
				}
			}
			call.Reply(ctx, answer)
		}
		return actor.None{}, nil
	}, m.do, m.stream)
	return m
}

func (o order) chunk(by string, i int) string {
	if o.Size > 0 {
		return strings.Repeat("x", o.Size-len(`""`))
	}
	return fmt.Sprint(by, i)
}

func said(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, actor.ErrStreamClosed):
		return "closed"
	case errors.Is(err, actor.ErrTooLarge):
		return "too large"
	}
	return err.Error()
}

func (m mouth) tell(t *testing.T, n *harness.Node, o order) string {
	t.Helper()
	answer, err := m.do.Call(t.Context(), n.Client(), m.At("a"), o)
	if err != nil {
		t.Fatalf("%+v: %v", o, err)
	}
	return answer
}

// chunks reads what a stream has now: "<index> <data>", with "rewind" and "end" for the others.
func chunks(t *testing.T, c *perdure.Client, addr actor.Address, from int64) (all []string) {
	t.Helper()
	return read(t, c, addr, from, false)
}

// follow reads a stream to its end.
func follow(t *testing.T, c *perdure.Client, addr actor.Address, from int64) (all []string) {
	t.Helper()
	return read(t, c, addr, from, true)
}

func read(t *testing.T, c *perdure.Client, addr actor.Address, from int64, toEnd bool) (all []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for c, err := range c.Chunks(ctx, addr, "default", from, toEnd) {
		if err != nil {
			t.Fatalf("read %s from %d: %v after %d chunks", addr, from, err, len(all))
		}
		all = append(all, shown(c))
	}
	return all
}

func shown(c *actor.Chunk) string {
	switch {
	case c.Kind != actor.ChunkData:
		return fmt.Sprint(c.Index, " ", c.Kind)
	case len(c.Data) > 40:
		return fmt.Sprint(c.Index, " ", len(c.Data), " bytes")
	}
	return fmt.Sprint(c.Index, " ", strings.Trim(string(c.Data), `"`))
}

// awaitChunks reads a stream until it has what is wanted. One reading of chunks of megabytes takes seconds under the
// race detector, so the limit is far off.
func awaitChunks(t *testing.T, c *perdure.Client, addr actor.Address, want ...string) {
	t.Helper()
	harness.Eventually(t, time.Minute, func() string {
		if got := chunks(t, c, addr, 0); !slices.Equal(got, want) {
			return fmt.Sprintf("%s has %q, want %q", addr, got, want)
		}
		return ""
	})
}

// TestStreams_Emit emits and writes over restarts: each chunk is there once, in the order of the log.
func TestStreams_Emit(t *testing.T) {
	m := newMouth()
	n := harness.Run(t, harness.Config(t), m)
	var want []string
	for range 4 {
		for _, o := range []order{{Do: "emit", N: 3}, {Do: "write", N: 2}, {Do: "emit", N: 1}} {
			if got := m.tell(t, n, o); got != "ok" {
				t.Fatalf("%+v: %s", o, got)
			}
			for i := range o.N {
				want = append(want, fmt.Sprint(len(want), " ", o.Do[:1], i))
			}
		}
		n.Again(m)
	}
	awaitChunks(t, n.Client(), m.At("a"), want...)
	if got := m.tell(t, n, order{Do: "end"}); got != "ok" {
		t.Error(got)
	}
	want = append(want, fmt.Sprint(len(want), " end"))
	if got := follow(t, n.Client(), m.At("a"), 0); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	n.Again(m)
	awaitChunks(t, n.Client(), m.At("a"), want...)
	checkEmitted(t, n)
}

// checkEmitted compares what was emitted with the log: the chunk names its place there.
func checkEmitted(t *testing.T, n *harness.Node) {
	t.Helper()
	logs, _ := harness.Logs(t, n.Conn())
	harness.CheckLogs(t, logs)
	logged := map[string]harness.Logged{}
	for _, records := range logs {
		for _, r := range records {
			for i, ev := range r.Events {
				if ev.Type == actor.Output && !ev.End {
					logged[fmt.Sprintf("%d.%d %s", r.N, i, ev.Payload)] = r
				}
			}
		}
	}
	emitted := 0
	var last time.Time
	for _, m := range harness.ReadStream(t, n.Conn(), "PERDURE_OUT") {
		if m.Header.Get("Perdure-Emitted") != m.Header.Get("Perdure-Origin") || m.Header.Get("Perdure-End") != "" {
			continue
		}
		emitted++
		r, ok := logged[m.Header.Get("Perdure-Origin")+" "+string(m.Data)]
		if !ok {
			t.Errorf("chunk %s, %s, is not in the log", m.Header.Get("Perdure-Origin"), m.Data)
		} else if m.Time.Before(r.Time) || r.Time.Before(last) {
			t.Errorf("chunk %s was stored at %s, its record at %s", m.Header.Get("Perdure-Origin"), m.Time, r.Time)
		}
		last = r.Time
	}
	if emitted != len(logged) {
		t.Errorf("%d chunks were emitted, the log has %d", emitted, len(logged))
	}
}

// TestStreams_Method emits from an object's methods; one that fails emits nothing.
func TestStreams_Method(t *testing.T) {
	stream := actor.NewStream[int]("default")
	crier := actor.NewObject[int]("crier", stream)
	cry := actor.NewMethod(crier, "cry", func(n *int, ctx actor.Context, in int) (string, error) {
		*n++
		err := stream.Emit(ctx, *n)
		if in == 0 {
			return "", errors.New("hoarse")
		}
		return said(err), nil
	})
	hush := actor.NewMethod(crier, "hush", func(_ *int, ctx actor.Context, _ actor.None) (actor.None, error) {
		stream.Close(ctx)
		return actor.None{}, nil
	})
	n := harness.Run(t, harness.Config(t), crier)
	for range 3 {
		for _, in := range []int{1, 0, 1} {
			if got, err := cry.Call(t.Context(), n.Client(), "a", in); (err != nil) != (in == 0) || err == nil && got != "ok" {
				t.Fatal(got, err)
			}
		}
		n.Again(crier)
	}
	want := []string{"0 1", "1 2", "2 3", "3 4", "4 5", "5 6"}
	awaitChunks(t, n.Client(), crier.At("a"), want...)
	if _, err := hush.Call(t.Context(), n.Client(), "a", actor.None{}); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"after Close", "after Close and a restart"} {
		if got, err := cry.Call(t.Context(), n.Client(), "a", 1); err != nil || got != "closed" {
			t.Errorf("emit %s: %q, %v", when, got, err)
		}
		awaitChunks(t, n.Client(), crier.At("a"), append(want, "6 end")...)
		n.Again(crier)
	}
	checkEmitted(t, n)
}

// TestStreams_EmitMuch emits chunks that are fine one by one, and together more than one message holds.
func TestStreams_EmitMuch(t *testing.T) {
	m := newMouth()
	n := harness.Run(t, harness.Config(t), m)
	if got := m.tell(t, n, order{Do: "emit", N: 3, Size: 3 << 20}); got != "ok" {
		t.Fatal(got)
	}
	big := fmt.Sprint(" ", 3<<20, " bytes")
	awaitChunks(t, n.Client(), m.At("a"), "0"+big, "1"+big, "2"+big)
	n.Again(m)
	m.tell(t, n, order{Do: "emit", N: 1})
	awaitChunks(t, n.Client(), m.At("a"), "0"+big, "1"+big, "2"+big, "3 e0")
}

// TestStreams_Refused writes where it may not: the answer says so, nothing is stored, and the run lives on.
func TestStreams_Refused(t *testing.T) {
	m := newMouth()
	n := harness.Run(t, harness.Config(t), m)
	if err := m.stream.Write(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "inside a step") {
		t.Errorf("write outside of a step: %v", err)
	}
	const limit = 8<<20 - 64<<10
	var want []string
	for _, tc := range []struct {
		order
		want string
	}{
		{order{Do: "write elsewhere", N: 1}, `stream "other" is not declared: add it to the definition of mouth`},
		{order{Do: "write", N: 1, Size: limit}, "ok"},
		{order{Do: "write", N: 1, Size: limit + 1}, "too large"},
		{order{Do: "emit", N: 1, Size: limit}, "ok"},
		{order{Do: "emit", N: 1, Size: limit + 1}, "too large"},
		{order{Do: "write", N: 1, Size: 3 * limit}, "too large"},
		{order{Do: "close"}, "ok"},
		{order{Do: "close"}, "ok"},
		{order{Do: "emit", N: 1}, "closed"},
		{order{Do: "write", N: 1}, "closed"},
	} {
		if got := m.tell(t, n, tc.order); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.order, got, tc.want)
		}
		switch {
		case tc.want == "ok" && tc.Size > 0:
			want = append(want, fmt.Sprintf("%d %d bytes", len(want), limit))
		case tc.Do == "close" && len(want) == 2:
			want = append(want, "2 end")
		}
		awaitChunks(t, n.Client(), m.At("a"), want...)
	}
	n.Again(m)
	for _, do := range []string{"emit", "write"} {
		if got := m.tell(t, n, order{Do: do, N: 1}); got != "closed" {
			t.Errorf("%s after Close and a restart: %s", do, got)
		}
	}
	awaitChunks(t, n.Client(), m.At("a"), want...)
	_, err := m.do.Call(t.Context(), n.Client(), m.At("a"), order{Do: "emit elsewhere"}, actor.Timeout(2*time.Second))
	var stopped *actor.Error
	if !errors.As(err, &stopped) || stopped.Code != actor.CodeStopped || !strings.Contains(string(stopped.Details), "not declared") {
		details, _ := json.Marshal(stopped)
		t.Errorf("emit to an undeclared stream: %v %s", err, details)
	}
}
