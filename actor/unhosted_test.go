package actor

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// What a node is asked for and does not host is not lost: it is named in the checkpoint, by which the partition goes to
// a node that hosts it, and its sends stay before the cursor.
func TestHost_typeHostedElsewhere(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		var living atomic.Bool
		living.Store(true)
		h := w.host("a", func(c *Config) {
			c.Elsewhere = func(typ string) bool { return typ == "later" && living.Load() }
			c.Known = func(typ string) bool { return typ == "later" }
		}, sleeper())
		w.own(h, 1, Checkpoint{})
		w.run(h)
		if o := w.answer(ask(h, Address{"never", "x"}, "action", "1", "1")); !errors.Is(o.Err, ErrNotFound) {
			t.Errorf("a type that nobody hosts: got %v, want 404", o.Err)
		}
		if o := w.answer(ask(h, Address{"later", "x"}, "action", "2", "1")); !errors.Is(o.Err, ErrUnavailable) {
			t.Errorf("a type that another node hosts: got %v, want 503", o.Err)
		}
		w.send(Address{"later", "x"}, "action", "1", CallHeader{CallID: "3"})
		w.send(Address{"never", "x"}, "action", "1", CallHeader{CallID: "4"})
		w.until("the dead letter", func() bool { return len(w.dead) == 1 })
		synctest.Wait()
		time.Sleep(idleRefresh)
		c, _ := h.Checkpoint(0)
		if c.Inbox != 0 || !slices.Equal(c.Types, []string{"later"}) {
			t.Errorf("got checkpoint %+v, want the cursor below the send that is kept, and its type", c)
		}
		if w.dead[0].Run != "never/x" {
			t.Errorf("dead letter of %s", w.dead[0].Run)
		}

		time.Sleep(keepsFor + 2*time.Hour)
		if len(w.dead) != 1 {
			t.Fatal("given up although a node hosts the type")
		}
		living.Store(false)
		time.Sleep(2 * time.Hour)
		w.until("the send is given up", func() bool { return len(w.dead) == 2 })
		synctest.Wait()
		time.Sleep(idleRefresh)
		if c, _ := h.Checkpoint(0); c.Inbox != 2 {
			t.Errorf("got checkpoint %+v, want the cursor at the end", c)
		}
	})
}
