package objects

import (
	"context"
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

// Journal counts step executions outside of the process: a line each, synced, "<unix ns> <attempt> <step id>".
type Journal struct {
	mu   sync.Mutex
	path string
}

// NewJournal returns the journal in this file.
func NewJournal(path string) *Journal { return &Journal{path: path} }

// Note writes the line of the step that ctx belongs to.
func (j *Journal) Note(ctx context.Context) error {
	info, ok := actor.StepMetadata(ctx)
	if !ok {
		return actor.Terminal(fmt.Errorf("no step"))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	f, err := os.OpenFile(j.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%d %d %s\n", time.Now().UnixNano(), info.Attempt, info.ID); err != nil {
		return err
	}
	return f.Sync()
}

// NewWorker defines the workflow "worker": each job is a step, a sleep and another step, which note themselves in j.
func NewWorker(j *Journal) actor.Definition {
	effect := func(ctx context.Context, job Job) (int, error) {
		if err := j.Note(ctx); err != nil {
			return 0, err
		}
		return job.ID, Pause(ctx, time.Duration(job.Millis)*time.Millisecond)
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
