package embed

import (
	"context"
	"fmt"
	"log/slog"
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

// Warnf drops one warning: the password of the internal user is made anew at each start and leaves this process never.
func (l *serverLog) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, "Plaintext passwords detected") {
		l.log(slog.LevelWarn, format, v)
	}
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
