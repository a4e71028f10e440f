package objects

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/perdure/perdure/actor"
)

// Job is work with an outside effect.
type Job struct {
	ID     int `json:"id"`
	Millis int `json:"millis"` // how long each of its two steps takes, and the sleep between them
}

// Work is the worker's hook.
var Work = actor.NewHook[Job, int]("work")

// Journal notes step executions outside of the process, a line when a body begins and one when it ends:
//
//	begin <unix ns> <attempt> <step id> <run>
//	end <unix ns> <unix ns of the begin> <step id>
//
// What is written is there after kill -9, so nothing is synced.
type Journal struct {
	mu   sync.Mutex
	path string
}

// NewJournal returns the journal in this file.
func NewJournal(path string) *Journal { return &Journal{path: path} }

// Begin notes that the body of the step that ctx belongs to begins. The body calls end last.
func (j *Journal) Begin(ctx context.Context) (end func() error, err error) {
	info, ok := actor.StepMetadata(ctx)
	if !ok {
		return nil, actor.Terminal(fmt.Errorf("no step"))
	}
	began := time.Now().UnixNano()
	if err := j.line("begin %d %d %s %s", began, info.Attempt, info.ID, info.Run.RunID); err != nil {
		return nil, err
	}
	return func() error { return j.line("end %d %d %s", time.Now().UnixNano(), began, info.ID) }, nil
}

func (j *Journal) line(format string, args ...any) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	f, err := os.OpenFile(j.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, format+"\n", args...)
	return err
}

// NewWorker defines the workflow "worker": each job is a step, a sleep and another step, whose bodies note themselves in j.
func NewWorker(j *Journal) actor.Definition {
	effect := func(ctx context.Context, job Job) (int, error) {
		end, err := j.Begin(ctx)
		if err != nil {
			return 0, err
		}
		err = Pause(ctx, time.Duration(job.Millis)*time.Millisecond)
		return job.ID, errors.Join(err, end())
	}
	quick := actor.NewStep("first", effect)
	slow := actor.NewStep("second", effect)
	return actor.NewWorkflow("worker", func(ctx actor.Context, _ actor.None) (actor.None, error) {
		hook := Work.Create(ctx)
		for done := 1; ; done++ {
			call, err := hook.Await(ctx)
			if err != nil {
				return actor.None{}, err
			}
			if _, err := quick.Run(ctx, Job{ID: call.Payload.ID}); err != nil {
				return actor.None{}, err
			}
			if err := actor.Sleep(ctx, time.Duration(call.Payload.Millis)*time.Millisecond); err != nil {
				return actor.None{}, err
			}
			if _, err := slow.Run(ctx, call.Payload); err != nil {
				return actor.None{}, err
			}
			call.Reply(ctx, done)
		}
	}, Work)
}

// Pause waits for d or until ctx ends.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
