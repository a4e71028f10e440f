package objects

import (
	"fmt"

	"github.com/perdure/perdure/actor"
)

// Meter is a run that adds up for ever: it continues from its sum after every third reading, and keeps no more of its log
// than it needs.
var (
	Reading = actor.NewHook[int, int]("reading")
	Meter   = actor.NewWorkflow("meter", func(ctx actor.Context, from int) (int, error) {
		sum, ok := actor.Continued[int](ctx)
		if !ok {
			sum = from
		}
		hook := Reading.Create(ctx)
		for range 3 {
			call, err := hook.Await(ctx)
			if err != nil {
				return sum, err
			}
			sum += call.Payload
			call.Reply(ctx, sum)
		}
		actor.ContinueFrom(ctx, sum)
		return 0, nil
	}, Reading, actor.KeepNeeded())
)

// Page is one line of a notebook.
type Page struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Notebook is an object whose state is large and changes little at a time.
type Notebook struct {
	Lines []string `json:"lines"`
}

// Write writes one of 200 lines, and returns how many are written.
func (n *Notebook) Write(_ actor.Context, p Page) (written int, err error) {
	for len(n.Lines) < 200 {
		n.Lines = append(n.Lines, fmt.Sprintf("%050d", len(n.Lines)))
	}
	n.Lines[p.Line%len(n.Lines)] = p.Text
	for _, l := range n.Lines {
		if len(l) < 50 {
			written++
		}
	}
	return written, nil
}

// Read returns a line.
func (n Notebook) Read(_ actor.ReadContext, line int) (string, error) {
	if line < 0 || line >= len(n.Lines) {
		return "", actor.Errorf(actor.CodeInvalid, "there is no line %d", line)
	}
	return n.Lines[line], nil
}

// The notebook's type, which keeps little of its log.
var (
	Notebooks     = actor.NewObject[Notebook]("notebook", actor.KeepLast(5))
	NotebookWrite = actor.NewMethod(Notebooks, "write", (*Notebook).Write)
	NotebookRead  = actor.NewQuery(Notebooks, "read", Notebook.Read)
)
