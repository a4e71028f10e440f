package actor

import (
	"sync"
	"sync/atomic"
	"time"
)

// waiter is a caller that waits for an outcome; it gets one answer.
type waiter struct {
	req      *Request
	once     sync.Once
	answered bool        // by the run's worker
	expired  atomic.Bool // by its timer
	timer    *time.Timer
}

func (w *waiter) answer(o *Outcome) {
	w.answered = true
	w.once.Do(func() {
		if w.timer != nil {
			w.timer.Stop()
		}
		w.req.answer(o)
	})
}

func (w *waiter) fail(err *Error) { w.answer(&Outcome{Err: err}) }

// limit answers 504 when the call's time is up, and then tells the run of it.
func (w *waiter) limit(now time.Time, expired func()) {
	if w.timer != nil || w.answered {
		return
	}
	timeout := w.req.Timeout()
	w.timer = time.AfterFunc(w.req.Received.Add(timeout).Sub(now), func() {
		w.once.Do(func() {
			defer expired()
			w.expired.Store(true)
			w.req.fail(Errorf(CodeTimeout, "no outcome within %s; the call id finds it later", timeout))
		})
	})
}
