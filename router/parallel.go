package router

import "sync"

// parallel is how many requests a node sends at once when it claims, checkpoints or releases.
const parallel = 16

// inParallel calls do for each index below n, at most [parallel] at once, and returns when all have returned.
func inParallel(n int, do func(i int)) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(n, parallel) {
		workers.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
}
