package objects

import (
	"fmt"

	"github.com/perdure/perdure/actor"
)

// Entry is the n-th thing that a sender says to a ledger, from 1.
type Entry struct {
	Sender string `json:"sender"`
	N      int    `json:"n"`
}

// Ledger remembers the last entry of each sender, and everything that came out of order.
type Ledger struct {
	Last  map[string]int `json:"last"`
	Wrong []string       `json:"wrong"`
}

// Append takes an entry and returns how many entries of the sender there are.
func (l *Ledger) Append(_ actor.Context, e Entry) (int, error) {
	if l.Last == nil {
		l.Last = map[string]int{}
	}
	if e.N != l.Last[e.Sender]+1 {
		l.Wrong = append(l.Wrong, fmt.Sprintf("%s: %d after %d", e.Sender, e.N, l.Last[e.Sender]))
	}
	l.Last[e.Sender] = e.N
	return e.N, nil
}

// The ledger as a state type.
var (
	Ledgers      = actor.NewObject[Ledger]("ledger")
	LedgerAppend = actor.NewMethod(Ledgers, "append", (*Ledger).Append)
)

// Say is the diary's hook, Read asks what it has.
var (
	Say  = actor.NewHook[Entry, int]("say")
	Show = actor.NewHook[actor.None, Ledger]("show")
)

// Diary is the ledger as a run function that awaits two hooks. Its hook has a token of its own, "diary:<key>".
var Diary = actor.NewWorkflow("diary", func(ctx actor.Context, _ actor.None) (actor.None, error) {
	var l Ledger
	say := Say.Create(ctx, actor.Token("diary:"+actor.Metadata(ctx).Key))
	show := Show.Create(ctx)
	for {
		which, err := actor.Race(ctx, say, show)
		if err != nil {
			return actor.None{}, err
		}
		if which == 1 {
			call, err := show.Await(ctx)
			if err != nil {
				return actor.None{}, err
			}
			call.Reply(ctx, l)
			continue
		}
		call, err := say.Await(ctx)
		if err != nil {
			return actor.None{}, err
		}
		n, _ := l.Append(ctx, call.Payload)
		call.Reply(ctx, n)
	}
}, Say, Show)
