package router

import (
	"context"
	"log/slog"
	"sync"
)

// complaints logs a trouble when it begins and when it is over, not each time that it is met.
type complaints struct {
	log *slog.Logger

	mu   sync.Mutex
	open map[string]bool // by operation
}

func newComplaints(log *slog.Logger) *complaints {
	return &complaints{log: log, open: map[string]bool{}}
}

// about notes how an operation ended.
func (c *complaints) about(ctx context.Context, operation string, err error) {
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	was := c.open[operation]
	c.open[operation] = err != nil
	c.mu.Unlock()
	switch {
	case err != nil && !was:
		c.log.WarnContext(ctx, "trying again until it works", "operation", operation, "error", err)
	case err == nil && was:
		c.log.InfoContext(ctx, "works again", "operation", operation)
	}
}
