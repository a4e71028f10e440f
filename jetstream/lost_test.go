package jetstream

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

// TestLog_lost has requests be lost, as those to a stream are that has no leader: whoever waits goes on soon after there is one.
func TestLog_lost(t *testing.T) {
	addr := actor.Address{Type: "lost", Key: "k"}
	lostFor := 3500 * time.Millisecond
	for name, tc := range map[string]struct {
		do     func(t *testing.T, l *Log) error
		want   error
		within time.Duration // from the beginning
	}{
		"a read": {func(t *testing.T, l *Log) error {
			_, err := l.Last(t.Context(), addr)
			return err
		}, actor.ErrNoRecord, lostFor + getAgain},
		"a small append": {func(t *testing.T, l *Log) error {
			_, err := l.Append(t.Context(), entry(addr, "t1", "{}"), 0)
			return err
		}, actor.ErrAppendUnknown, appendTimeout + 10*time.Millisecond},
		"an append of 512 KiB": {func(t *testing.T, l *Log) error {
			_, err := l.Append(t.Context(), entry(addr, "t1", `"`+string(make([]byte, 512<<10))+`"`), 0)
			return err
		}, actor.ErrAppendUnknown, appendTimeout + appendPerMiB/2 + 10*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				s := natstest.Bubble(t)
				wire := natstest.NewWire(s)
				dial := func() *nats.Conn {
					return natstest.Connect(t, s, append(AppendOptions(), nats.InProcessServer(wire))...)
				}
				l := provision(t, dial(), Config{Partitions: 1, LogStreams: 1}).Log(dial())
				wire.Lose()
				time.AfterFunc(lostFor, wire.Mend)
				begin := time.Now()
				if err := tc.do(t, l); !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if took := time.Since(begin); took > tc.within {
					t.Errorf("took %v, want at most %v", took, tc.within)
				}
			})
		})
	}
}
