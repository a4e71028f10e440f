package jetstream

import (
	"context"
	"time"
)

// perRequest is ctx without its deadline, but ending when it does. The client library gives up a request whose
// answer is lost after its default of five seconds only under a context without a deadline; under one it waits,
// and nothing would be tried again.
func perRequest(ctx context.Context) context.Context { return undated{ctx} }

type undated struct{ context.Context } //nolint:containedctx // it is a context

func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }
