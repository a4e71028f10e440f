package actor

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// coroutine is the goroutine of resident run code. It runs only while the engine waits for it in resume, so that
// the two never touch the execution's state at the same time.
//
//	         resume                wait
//	parked ──────────▶ running ──────────▶ parked
//	   │                  └── code returns or panics ──▶ ended
//	   └── kill: Goexit inside the wait ───────────────▶ ended
type coroutine struct {
	turn   chan bool     // engine → code: true: go on; false: end
	paused chan struct{} // code → engine: waits, or has ended
	ended  bool
	killed bool
	panic  *Error // what the code panicked with
}

// newCoroutine makes a parked coroutine that runs fn. Its goroutine ends when fn does, or by kill.
func newCoroutine(fn func()) *coroutine {
	c := &coroutine{turn: make(chan bool), paused: make(chan struct{})}
	go c.main(fn)
	return c
}

func (c *coroutine) main(fn func()) {
	normal := false
	defer func() {
		if r := recover(); r != nil {
			c.panic = Errorf(CodePanic, "panic: %v", r).With(map[string]string{"stack": string(debug.Stack())})
			c.panic.Source = SourceObject
		} else if !normal && !c.killed {
			c.panic = Errorf(CodePanic, "run code called runtime.Goexit")
			c.panic.Source = SourceObject
		}
		c.ended = true
		c.paused <- struct{}{}
	}()
	if !<-c.turn {
		c.killed = true
		return
	}
	fn()
	normal = true
}

// resume lets the code run until it waits or ends. Called by the engine.
func (c *coroutine) resume() {
	c.turn <- true
	<-c.paused
}

// kill ends parked code by runtime.Goexit inside its wait; deferred functions run.
func (c *coroutine) kill() {
	if c == nil || c.ended {
		return
	}
	c.turn <- false
	<-c.paused
}

// wait parks the code until the engine resumes it. Called by the code.
func (c *coroutine) wait() {
	if !c.killed {
		c.paused <- struct{}{}
		c.killed = !<-c.turn
	}
	if c.killed {
		runtime.Goexit()
	}
}

// alive ends the code when it was killed: a runtime call in a deferred function ends the goroutine again.
func (c *coroutine) alive() {
	if c.killed {
		runtime.Goexit()
	}
}

func (e *Error) asObject() *Error { e.Source = SourceObject; return e }

// userError is what an error of user code is to its caller.
func userError(err error) *Error {
	e := &Error{Code: CodeUser, Message: err.Error(), Source: SourceObject}
	if given := (*Error)(nil); errors.As(err, &given) {
		e.Message, e.Details = given.Message, given.Details
	}
	if held := (*HookConflictError)(nil); errors.As(err, &held) {
		e.Code = CodeConflict
		return e.With(map[string]string{"token": held.Token, "run": held.Run})
	}
	return e
}

// describeCommand names a command for a replay error.
func describeCommand(t EventType, name, id string) string {
	if name == "" {
		return fmt.Sprintf("%s %s", t, id)
	}
	return fmt.Sprintf("%s %q (%s)", t, name, id)
}
