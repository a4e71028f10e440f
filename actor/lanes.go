package actor

import "sync"

// lanes runs work in order within a lane, and lanes side by side. A lane has a goroutine while it has work.
type lanes struct {
	mu   sync.Mutex
	open map[string][]func()
}

func (l *lanes) add(h *Host, lane string, work func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if queue, busy := l.open[lane]; busy {
		l.open[lane] = append(queue, work)
		return
	}
	if l.open == nil {
		l.open = map[string][]func(){}
	}
	l.open[lane] = nil
	h.spawn(func() {
		for work != nil {
			work()
			work = l.next(lane)
		}
	})
}

func (l *lanes) next(lane string) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.open[lane]
	if len(queue) == 0 {
		delete(l.open, lane)
		return nil
	}
	l.open[lane] = queue[1:]
	return queue[0]
}
