package actor

import (
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// ReadContext is what a query gets. It is sealed and not a context.Context: a query that writes, or run code that
// does I/O outside a step, does not compile.
type ReadContext interface {
	// Logger returns a logger that names the run, and is silent while the run is replayed.
	Logger() *slog.Logger
	info() Info
	alarms() []*alarm
}

// Context is what a method or run function gets. It may be used only from the goroutine that it was given to.
type Context interface {
	ReadContext
	scope() *scope
}

// scope is a Context's state: the execution it belongs to and the deadline that the code put on its awaits.
type scope struct {
	x        *execution
	deadline time.Time // zero: none
	shielded bool      // no cancellation of the run ends its awaits
}

func (s *scope) scope() *scope        { return s }
func (s *scope) info() Info           { return s.x.info }
func (s *scope) alarms() []*alarm     { return s.x.settings(true) }
func (s *scope) Logger() *slog.Logger { return s.x.logger() }

type readScope struct {
	x   *execution
	log *slog.Logger
}

func (r readScope) info() Info           { return r.x.info }
func (r readScope) alarms() []*alarm     { return r.x.settings(false) }
func (r readScope) Logger() *slog.Logger { return r.log }

// Info identifies a run.
type Info struct {
	RunID       string // "<type>/<key>"
	Type, Key   string
	Incarnation string // uuid of this life of the key
}

// Metadata returns who the run is.
func Metadata(ctx ReadContext) Info { return ctx.info() }

// Now returns the time of the last event: the same on replay, and never going back within a run.
func Now(ctx Context) time.Time { return ctx.scope().x.journal.now }

// Rand returns the run's random numbers: the same on replay. A method's are its call's.
func Rand(ctx Context) *rand.Rand { return ctx.scope().x.random() }

// UUID returns a random uuid: the same on replay.
func UUID(ctx Context) uuid.UUID {
	var b [16]byte
	r := Rand(ctx)
	binary.LittleEndian.PutUint64(b[:8], r.Uint64())
	binary.LittleEndian.PutUint64(b[8:], r.Uint64())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return uuid.UUID(b)
}

// WithTimeout returns a context under which no await lasts beyond d from now: it returns [ErrTimeout] then.
// The time is durable. An await that is over in time costs nothing that stays.
func WithTimeout(ctx Context, d time.Duration) Context {
	s := ctx.scope()
	due := s.x.journal.now.Add(d)
	if !s.deadline.IsZero() && s.deadline.Before(due) {
		due = s.deadline
	}
	return &scope{x: s.x, deadline: due, shielded: s.shielded}
}

// WithoutCancel returns a context for cleanup: without the deadlines of ctx, and its awaits and steps go on when the
// run is cancelled.
func WithoutCancel(ctx Context) Context { return &scope{x: ctx.scope().x, shielded: true} }

// Cancelled reports whether the run was cancelled, and why, as whoever did it said. Awaits say it by themselves, with
// [ErrCancelled]: only code that awaits nothing for long has to ask.
func Cancelled(ctx Context) (reason string, ok bool) {
	c := ctx.scope().x.cancelling
	if c == nil {
		return "", false
	}
	return *c, true
}

func seeded(parts ...string) *rand.Rand {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
		_, _ = h.Write([]byte{0})
	}
	return rand.New(rand.NewChaCha8([32]byte(h.Sum(nil))))
}
