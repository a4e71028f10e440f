package harness

import (
	"fmt"
	"slices"
	"sync"
)

// Register is what was acknowledged to callers, kept outside of the system under test.
type Register struct {
	mu      sync.Mutex
	sums    map[string]int
	replies map[string][]Acked
}

// Acked is a reply that a caller got: the sum that it showed, and the log sequence that made it durable.
type Acked struct {
	Sum, Amount int
	Seq         uint64
}

// NewRegister returns an empty register.
func NewRegister() *Register {
	return &Register{sums: map[string]int{}, replies: map[string][]Acked{}}
}

// Sent notes an acknowledged send that adds amount to the run.
func (r *Register) Sent(run string, amount int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sums[run] += amount
}

// Answered notes an answered call that adds amount to the run.
func (r *Register) Answered(run string, a Acked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sums[run] += a.Amount
	r.replies[run] = append(r.replies[run], a)
}

// Sum is what the run must come to.
func (r *Register) Sum(run string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sums[run]
}

// Operations returns how many calls were answered, and of how many runs.
func (r *Register) Operations() (replies, runs int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range r.replies {
		replies += len(rs)
	}
	return replies, len(r.sums)
}

// Disorder says where the replies of a run contradict each other: with amounts above zero each sum is shown once, and
// a later record never shows a smaller sum. Empty: nowhere.
func (r *Register) Disorder(run string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	rs := slices.Clone(r.replies[run])
	slices.SortFunc(rs, func(a, b Acked) int { return a.Sum - b.Sum })
	for i := 1; i < len(rs); i++ {
		before, a := rs[i-1], rs[i]
		if a.Sum-before.Sum < a.Amount || a.Seq < before.Seq {
			return fmt.Sprintf("%s: %+v and %+v cannot both be", run, before, a)
		}
	}
	return ""
}
