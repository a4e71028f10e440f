package objects

import (
	"errors"
	"strings"

	"github.com/perdure/perdure/actor"
)

// Typed has a field of every kind that JSON and Go see differently.
type Typed struct {
	Text  string   `json:"text"`
	Small int8     `json:"small,omitzero"`
	Big   int64    `json:"big,omitzero"`
	Plain uint     `json:"plain,omitzero"`
	Float float64  `json:"float,omitzero"`
	Flag  *bool    `json:"flag,omitempty" jsonschema:"default=true"`
	List  []string `json:"list,omitempty"`
	Level int      `json:"level,omitzero" jsonschema:"default=3"`
}

// Echo is an object that returns what it was given.
type Echo struct {
	Last Typed `json:"last"`
}

// Echo returns its payload as it arrived.
func (e *Echo) Echo(_ actor.Context, in Typed) (Typed, error) { e.Last = in; return in, nil }

// Size says how large something is to be.
type Size struct {
	Bytes int `json:"bytes"`
}

// Box is an object whose state is as large as it is told.
type Box struct {
	Content string `json:"content"`
}

// Fill makes the state about so large.
func (b *Box) Fill(_ actor.Context, in Size) (int, error) {
	b.Content = strings.Repeat("x", in.Bytes)
	return in.Bytes, nil
}

// Put takes a payload of any size and returns its length.
func (b *Box) Put(_ actor.Context, in string) (int, error) { return len(in), nil }

// Make returns a result of about that size.
func (b *Box) Make(_ actor.Context, in Size) (string, error) {
	return strings.Repeat("y", in.Bytes), nil
}

// Look returns the length of what is inside.
func (b Box) Look(actor.ReadContext, actor.None) (int, error) { return len(b.Content), nil }

// Fail returns an error, having changed the state.
func (b *Box) Fail(_ actor.Context, in string) (int, error) {
	b.Content = "changed"
	return 0, errors.New(in)
}

// Crash panics, having changed the state.
func (b *Box) Crash(_ actor.Context, in string) (int, error) {
	b.Content = "changed"
	panic(in)
}

// The types and their methods.
var (
	Echoes   = actor.NewObject[Echo]("echo")
	EchoEcho = actor.NewMethod(Echoes, "echo", (*Echo).Echo)
	Boxes    = actor.NewObject[Box]("box")
	BoxFill  = actor.NewMethod(Boxes, "fill", (*Box).Fill)
	BoxPut   = actor.NewMethod(Boxes, "put", (*Box).Put)
	BoxMake  = actor.NewMethod(Boxes, "make", (*Box).Make)
	BoxFail  = actor.NewMethod(Boxes, "fail", (*Box).Fail)
	BoxCrash = actor.NewMethod(Boxes, "crash", (*Box).Crash)
	BoxLook  = actor.NewQuery(Boxes, "look", Box.Look)
)
