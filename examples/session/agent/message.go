package agent

import (
	"encoding/json"
	"strings"
)

// Role says whose message it is.
type Role string

// The two sides of a conversation. Results of tools stand in messages of the user.
const (
	User      Role = "user"
	Assistant Role = "assistant"
)

// Message is one entry of a conversation.
type Message struct {
	Role        Role   `json:"role"`
	Parts       []Part `json:"parts,omitempty"`
	Interrupted bool   `json:"interrupted,omitempty"` // an answer that the user cut short
}

// Part is a piece of a message, or of an answer that a model is giving. One of its fields is set.
type Part struct {
	Text   string          `json:"text,omitempty"`
	Call   *Call           `json:"call,omitempty"`   // the model asks for a tool
	Result *Result         `json:"result,omitempty"` // what came of it
	Opaque json.RawMessage `json:"opaque,omitempty"` // only the model's provider reads it, and wants it back as it is
	End    *End            `json:"end,omitempty"`    // the last part of an answer; in no message
}

// size is about how many bytes the part has.
func (p *Part) size() int {
	n := len(p.Text) + len(p.Opaque)
	if p.Call != nil {
		n += len(p.Call.ID) + len(p.Call.Tool) + len(p.Call.Input)
	}
	if p.Result != nil {
		n += len(p.Result.ID) + len(p.Result.Content)
	}
	return n
}

// Size returns about how many bytes the message has.
func (m *Message) Size() (n int) {
	for i := range m.Parts {
		n += m.Parts[i].size()
	}
	return n
}

// Call is what a model wants of a tool.
type Call struct {
	ID    string          `json:"id"` // the model's own
	Tool  string          `json:"tool"`
	Input json.RawMessage `json:"input"`
}

// Result is what a tool answered to the call with this ID.
type Result struct {
	ID      string `json:"id"`
	Content string `json:"content"`
	Failed  bool   `json:"failed,omitempty"` // Content says why
}

// End is how an answer ended.
type End struct {
	Stop  Stop  `json:"stop"`
	Usage Usage `json:"usage"`
}

// Stop is why a model stopped speaking.
type Stop string

// Why models stop.
const (
	StopDone    Stop = "done"    // all is said
	StopTools   Stop = "tools"   // it waits for the results of its calls
	StopLength  Stop = "length"  // the limit on an answer, or on what the model can read, is reached
	StopRefused Stop = "refused" // it declines to go on
)

// Usage is what an answer cost, in tokens.
type Usage struct {
	Read    int64 `json:"read"`
	Written int64 `json:"written"`
}

// Plus adds up what answers cost.
func (u Usage) Plus(v Usage) Usage { return Usage{u.Read + v.Read, u.Written + v.Written} }

// Say returns a message of plain text.
func Say(role Role, text string) Message {
	m := Message{Role: role}
	m.add(Part{Text: text})
	return m
}

// Text returns what the message says.
func (m *Message) Text() string {
	var b strings.Builder
	for _, p := range m.Parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

// Calls returns the calls in the message.
func (m *Message) Calls() []Call {
	var calls []Call
	for _, p := range m.Parts {
		if p.Call != nil {
			calls = append(calls, *p.Call)
		}
	}
	return calls
}

// Asks reports whether the message is one that the user wrote, and not the results of tools.
func (m *Message) Asks() bool {
	return m.Role == User && (len(m.Parts) == 0 || m.Parts[0].Result == nil)
}

// add appends a part. Text that follows text goes on with it.
func (m *Message) add(p Part) {
	if last := len(m.Parts) - 1; p.Text != "" && last >= 0 && m.Parts[last].Text != "" {
		m.Parts[last].Text += p.Text
		return
	}
	if p.Text != "" || p.Call != nil || p.Result != nil || p.Opaque != nil {
		m.Parts = append(m.Parts, p)
	}
}

// withoutCalls returns the message with the calls left out, which nobody is going to answer.
func (m *Message) withoutCalls() Message {
	said := Message{Role: m.Role, Interrupted: m.Interrupted}
	for _, p := range m.Parts {
		if p.Call == nil {
			said.add(p)
		}
	}
	return said
}
