package counter

import "github.com/perdure/perdure/actor"

// Amount is what is added to a tally.
type Amount struct {
	N int `json:"n"`
}

// Tally is the state of a tally.
type Tally struct { //nolint:recvcheck // Add is a method and Get a query by their receivers
	Count int `json:"count"`
}

// Add adds to the tally and returns the sum.
func (t *Tally) Add(_ actor.Context, in Amount) (int, error) { t.Count += in.N; return t.Count, nil }

// Get reads the tally. Its receiver is a value: a query cannot change the state.
func (t Tally) Get(_ actor.ReadContext, _ actor.None) (int, error) { return t.Count, nil }

// The object type "tally" with its method "add" and its query "get".
var (
	Tallies = actor.NewObject[Tally]("tally")
	Add     = actor.NewMethod(Tallies, "add", (*Tally).Add)
	Get     = actor.NewQuery(Tallies, "get", Tally.Get)
)
