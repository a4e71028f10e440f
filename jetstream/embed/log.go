package embed

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// serverLog gives the server's log to slog, without ever ending the process. Notices are of interest only to
// whoever looks for something: debug.
type serverLog struct {
	ctx     context.Context //nolint:containedctx // the server's logger interface has no place for it
	logger  *slog.Logger
	onError func() // called for each error

	mu    sync.Mutex
	fatal error // the first one
}

func (l *serverLog) log(level slog.Level, format string, v []any) {
	if l.logger.Enabled(l.ctx, level) {
		l.logger.Log(l.ctx, level, "nats server", "said", fmt.Sprintf(format, v...))
	}
}

func (l *serverLog) Noticef(format string, v ...any) { l.log(slog.LevelDebug, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }

func (l *serverLog) Warnf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	level := slog.LevelWarn
	if harmless(text) {
		level = slog.LevelDebug
	}
	l.log(level, "%s", []any{text})
}

// harmless tells warnings that are none: the password of the internal users is made anew at each start and leaves this
// process never, a server that waits for the others of its cluster repeats that every two seconds, and one that stops
// says how long it wrote.
func harmless(warning string) bool {
	return slices.ContainsFunc([]string{
		"Plaintext passwords detected", "Waiting for routing to be established", "Metalayer blocking snapshot",
	}, func(begin string) bool { return strings.HasPrefix(warning, begin) })
}

func (l *serverLog) Errorf(format string, v ...any) {
	l.log(slog.LevelError, format, v)
	l.onError()
}

func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	if l.fatal == nil {
		l.fatal = fmt.Errorf(format, v...)
	}
	l.mu.Unlock()
	l.Errorf(format, v...)
}

func (l *serverLog) fatalError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}
