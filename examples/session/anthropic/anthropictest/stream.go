package anthropictest

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"

	"github.com/perdure/perdure/examples/session/agent"
)

// speaker writes one answer as events.
type speaker struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	fault Fault
	done  <-chan struct{} // closed when the client has gone
	said  int             // events of text or input
	block int             // index of the open content block
	open  bool            // a text block is open
	cut   bool
	err   error // the answer is not complete
}

var errEnded = errors.New("made to end")

func (s *speaker) say(parts iter.Seq2[agent.Part, error], model string) {
	s.event("message_start", map[string]any{"message": map[string]any{
		"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": []any{},
		"stop_reason": nil, "stop_sequence": nil, "usage": map[string]int{"input_tokens": 10, "output_tokens": 1},
	}})
	s.event("ping", nil)
	for p, err := range parts {
		if err != nil && s.err == nil {
			s.err = err
		}
		if s.err != nil {
			return
		}
		switch {
		case p.Text != "":
			s.text(p.Text)
		case p.Call != nil:
			s.call(p.Call)
		case p.Opaque != nil:
			s.opaque(p.Opaque)
		case p.End != nil:
			s.end(p.End)
		}
	}
}

func (s *speaker) text(text string) {
	if !s.open {
		s.start(map[string]any{"type": "text", "text": ""})
		s.open = true
	}
	s.delta(map[string]any{"type": "text_delta", "text": text})
}

func (s *speaker) call(c *agent.Call) {
	s.stop()
	s.start(map[string]any{"type": "tool_use", "id": c.ID, "name": c.Tool, "input": map[string]any{}})
	half := len(c.Input) / 2
	s.delta(map[string]any{"type": "input_json_delta", "partial_json": ""})
	s.delta(map[string]any{"type": "input_json_delta", "partial_json": string(c.Input[:half])})
	s.delta(map[string]any{"type": "input_json_delta", "partial_json": string(c.Input[half:])})
	s.open = true
	s.stop()
}

// opaque sends a thinking block, whose signature comes as a delta.
func (s *speaker) opaque(block json.RawMessage) {
	var b struct{ Thinking, Signature string }
	if err := json.Unmarshal(block, &b); err != nil {
		s.err = err
		return
	}
	s.stop()
	s.start(map[string]any{"type": "thinking", "thinking": "", "signature": ""})
	s.delta(map[string]any{"type": "thinking_delta", "thinking": b.Thinking})
	s.delta(map[string]any{"type": "signature_delta", "signature": b.Signature})
	s.open = true
	s.stop()
}

func (s *speaker) end(e *agent.End) {
	s.stop()
	reason := map[agent.Stop]string{
		agent.StopDone: "end_turn", agent.StopTools: "tool_use", agent.StopLength: "max_tokens", agent.StopRefused: "refusal",
	}[e.Stop]
	s.event("message_delta", map[string]any{
		"delta": map[string]any{"stop_reason": reason, "stop_sequence": nil}, "usage": map[string]int64{"output_tokens": e.Usage.Written},
	})
	s.event("message_stop", nil)
}

func (s *speaker) start(block map[string]any) {
	s.event("content_block_start", map[string]any{"index": s.block, "content_block": block})
}

// stop closes the open block, if there is one.
func (s *speaker) stop() {
	if !s.open {
		return
	}
	s.event("content_block_stop", map[string]any{"index": s.block})
	s.open = false
	s.block++
}

// delta sends a piece, or ends the stream as its fault wants.
func (s *speaker) delta(d map[string]any) {
	if s.fault.Then != Complete && s.said >= s.fault.After {
		s.interrupt()
		return
	}
	s.said++
	s.event("content_block_delta", map[string]any{"index": s.block, "delta": d})
}

func (s *speaker) interrupt() {
	if s.err != nil {
		return
	}
	switch s.fault.Then {
	case Cut:
		s.cut = true
	case Malformed:
		s.raw("content_block_delta", []byte(`{"type":"content_block_delta","index":`))
	case Failed:
		s.raw("error", s.fault.body())
	case Silent:
		<-s.done
	case Complete, Short:
	}
	s.err = errEnded
}

func (s *speaker) event(name string, fields map[string]any) {
	if s.err != nil {
		return
	}
	if fields == nil {
		fields = map[string]any{}
	}
	fields["type"] = name
	b, err := json.Marshal(fields)
	if err != nil {
		s.err = err
		return
	}
	s.raw(name, b)
}

func (s *speaker) raw(name string, data []byte) {
	if _, err := fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", name, data); err != nil {
		s.err = err
		return
	}
	s.err = errors.Join(s.err, s.rc.Flush())
}
