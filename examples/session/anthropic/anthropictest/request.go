package anthropictest

import (
	"encoding/json"
	"fmt"

	"github.com/perdure/perdure/examples/session/agent"
)

// request is what the API is sent, as far as the server looks at it.
type request struct {
	Model      string                `json:"model"`
	MaxTokens  int                   `json:"max_tokens"`
	Stream     bool                  `json:"stream"`
	System     []block               `json:"system"`
	Messages   []message             `json:"messages"`
	Tools      []tool                `json:"tools"`
	ToolChoice struct{ Type string } `json:"tool_choice"`
}

type message struct {
	Role    agent.Role        `json:"role"`
	Content []json.RawMessage `json:"content"`
}

type tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"input_schema"`
}

type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	IsError   bool            `json:"is_error"`
	Content   []block         `json:"content"`
}

// asked is the request in the agent's words. Its error is what the API would refuse.
func (r *request) asked() (agent.Request, error) {
	q := agent.Request{Last: r.ToolChoice.Type == "none"}
	for _, b := range r.System {
		q.Instructions += b.Text
	}
	for _, t := range r.Tools {
		q.Tools = append(q.Tools, agent.Spec{Name: t.Name, Description: t.Description, Input: t.InputSchema})
	}
	waiting := map[string]bool{} // calls without result
	for _, m := range r.Messages {
		said := agent.Message{Role: m.Role}
		for _, raw := range m.Content {
			p, err := part(raw)
			if err != nil {
				return q, err
			}
			if p.Result != nil {
				if !waiting[p.Result.ID] {
					return q, fmt.Errorf("result of an unknown call %s", p.Result.ID)
				}
				delete(waiting, p.Result.ID)
			}
			said.Parts = append(said.Parts, p)
		}
		if len(said.Parts) == 0 || m.Role == agent.User && len(waiting) > 0 {
			return q, fmt.Errorf("a message is empty, or calls have no result: %v", waiting)
		}
		for _, c := range said.Calls() {
			waiting[c.ID] = true
		}
		q.Messages = append(q.Messages, said)
	}
	if len(q.Messages) == 0 || q.Messages[0].Role != agent.User || len(waiting) > 0 {
		return q, fmt.Errorf("the first message is not the user's, or calls have no result: %v", waiting)
	}
	return q, nil
}

func part(raw json.RawMessage) (agent.Part, error) {
	var b block
	if err := json.Unmarshal(raw, &b); err != nil {
		return agent.Part{}, err
	}
	switch b.Type {
	case "text":
		return agent.Part{Text: b.Text}, nil
	case "tool_use":
		return agent.Part{Call: &agent.Call{ID: b.ID, Tool: b.Name, Input: b.Input}}, nil
	case "tool_result":
		r := agent.Result{ID: b.ToolUseID, Failed: b.IsError}
		for _, c := range b.Content {
			r.Content += c.Text
		}
		return agent.Part{Result: &r}, nil
	}
	return agent.Part{Opaque: raw}, nil
}
