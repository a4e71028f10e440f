package actor

import "fmt"

// historyPolicy says how much of an object's log is kept. The zero value keeps all.
type historyPolicy struct {
	trims bool
	last  int // records that are kept at least; 0: only what is needed
}

func (p historyPolicy) String() string {
	switch {
	case !p.trims:
		return "all"
	case p.last == 0:
		return "needed"
	default:
		return fmt.Sprintf("last %d", p.last)
	}
}

// keep is a [Declaration] of a type's history policy.
type keep struct {
	historyPolicy
	wrong bool
}

// KeepAll has a type keep the whole log of each object: the default.
func KeepAll() Declaration { return keep{} }

// KeepLast has a type keep the last n records of each object, and what is needed beyond them: see [KeepNeeded]. The
// record before the last is always kept. Calls with an id can be repeated for a day, so of the last 1,000 such calls
// within 24 h the records with their outcomes are needed; every call of the Go client has an id.
// n is at least 1. Older records are removed in the background after each commit. An object that leaves memory between
// its calls may have a quarter and 32 more, and so may any object whose node died.
func KeepLast(n int) Declaration { return keep{historyPolicy{true, n}, n < 1} }

// KeepNeeded has a type keep what recovery needs of each object: the records that its state or its run function's last
// checkpoint stands in and those since, those with calls, effects or steps in progress, and those with the outcomes of
// calls that can still be repeated. A run function that never continues from a checkpoint needs its whole log.
func KeepNeeded() Declaration { return keep{historyPolicy: historyPolicy{trims: true}} }

func (k keep) declare(r *registry, t *typeDef) {
	if t.historyDeclared {
		r.problem("%s: its history policy is declared twice", t.name)
	}
	if k.wrong {
		r.problem("%s: KeepLast(%d): keep at least 1 record", t.name, k.last)
	}
	t.history, t.historyDeclared = k.historyPolicy, true
}
