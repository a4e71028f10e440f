package actor

import "context"

// What asks a run to end, to stop for a time, or to go on. Each blocks until the run's log has it, not until the run
// has done it, and changes nothing when it is so already: the first reason stands. A reason, which may be empty, is
// kept in the log and shown to whoever asks; at most [MaxReasonLen] bytes.
// Errors of all: [ErrNotFound] when there is no such run, [ErrEnded] when the run has ended in another way.

// Cancel asks a run to end: each await of its code, and each step, returns [ErrCancelled] from then on, save under
// [WithoutCancel]. When its run function returns, whatever it returns, the run has ended as cancelled: whoever waits for
// its end gets [ErrCancelled]. A parked or paused run is cancelled once it goes on; one that was not started ends at
// once. Errors: also [ErrInvalid] for an object with methods, which has no end.
func Cancel(ctx context.Context, c Client, addr Address, reason string, opts ...CallOption) error {
	return control(ctx, c, addr, HookCancel, reason, opts)
}

// Terminate ends a run at once, whatever it is doing: its code is not asked, and the contexts of its steps end. Whoever
// waits for its end gets [ErrEnded]. Errors: also [ErrInvalid] for an object with methods, which has no end.
func Terminate(ctx context.Context, c Client, addr Address, reason string, opts ...CallOption) error {
	return control(ctx, c, addr, HookTerminate, reason, opts)
}

// Pause stops a run for a time: its code does not go on, calls get [ErrStopped], sends are kept, timers wait. Steps in
// progress end, and their results are kept; no attempt starts. Errors: also [ErrStopped] when the run is parked.
func Pause(ctx context.Context, c Client, addr Address, reason string, opts ...CallOption) error {
	return control(ctx, c, addr, HookPause, reason, opts)
}

// Unpause lets a paused run go on with what has arrived. Errors: also [ErrStopped] when the run is parked.
func Unpause(ctx context.Context, c Client, addr Address, reason string, opts ...CallOption) error {
	return control(ctx, c, addr, HookUnpause, reason, opts)
}

// Wake loads a run and has it go on now: the code of a parked one is tried again, and steps that wait for their next
// attempt begin it. Errors: also [ErrStopped] when the run is parked even so, or paused.
func Wake(ctx context.Context, c Client, addr Address, reason string, opts ...CallOption) error {
	return control(ctx, c, addr, HookWake, reason, opts)
}

// Purge removes a run that has ended, or an object with methods, and everything that is kept of it: its log, its output
// streams, its call ids. It blocks until that is gone; the key is free then, for a new run or object that has nothing in
// common with it. Dead letters stay. While it goes on, calls wait, and sends are kept for whoever has the key then.
// Errors: [ErrNotFound] also when it was purged before, [ErrConflict] when the run has not ended or the object has calls
// without outcome, steps in progress or alarms set, [ErrStopped] when the object is parked or paused.
func Purge(ctx context.Context, c Client, addr Address, reason string, opts ...CallOption) error {
	return control(ctx, c, addr, HookPurge, reason, opts)
}

func control(ctx context.Context, c Client, addr Address, hook, reason string, opts []CallOption) error {
	_, err := call[None](ctx, c, addr, hook, lifeRequest{reason}, header(opts))
	return err
}
