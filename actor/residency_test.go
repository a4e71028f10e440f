package actor

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

type page struct{ Text string }

func pages() *Object[page] {
	o := NewObject[page]("page")
	NewMethod(o, "write", func(p *page, ctx Context, n int) (int, error) {
		p.Text = strings.Repeat("x", n)
		return n, Sleep(ctx, time.Duration(n%10)*time.Hour) // sizes that end in 0 end at once
	})
	return o
}

// TestResidency_LeastRecentlyUsed: at a limit, by number or by bytes, those leave that were used least recently; what is at work stays.
func TestResidency_LeastRecentlyUsed(t *testing.T) {
	for name, limit := range map[string]func(*Config){
		"number": func(c *Config) { c.MaxResident = 40 },
		"bytes":  func(c *Config) { c.MaxResidentBytes = 40 * (20_000 + runBytes) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, func(t *testing.T) {
				w := newWorld(t)
				h := w.host("a", limit, pages())
				w.own(h, 1, Checkpoint{})
				w.run(h)
				addr := func(i int) Address { return Address{"page", fmt.Sprint(i)} }
				h.Call(&Request{ // an hour asleep: its timer is far, but its caller waits
					Address: addr(0), Hook: "write", Header: CallHeader{Timeout: 2 * time.Hour}, Payload: []byte("10001"), Received: time.Now(),
				})
				for i := 1; i <= 200; i++ {
					w.result(ask(h, addr(i), "write", "", "10000"))
					w.result(ask(h, addr(1), "write", "", "10000")) // used all the time
					time.Sleep(time.Second)
					if n := h.resident.Load(); n > 41 {
						t.Fatalf("%d objects in memory after %d", n, i)
					}
				}
				synctest.Wait()
				p := h.owned(0)
				p.mu.Lock()
				for _, i := range []int{0, 1, 199, 200} {
					if p.runs[addr(i)] == nil {
						t.Errorf("object %d left memory", i)
					}
				}
				for _, i := range []int{2, 100} {
					if p.runs[addr(i)] != nil {
						t.Errorf("object %d is in memory", i)
					}
				}
				p.mu.Unlock()
				if n := h.resident.Load(); n < 33 {
					t.Errorf("only %d objects are left in memory", n)
				}
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				p.mu.Lock()
				defer p.mu.Unlock()
				if runs, bytes := h.resident.Load(), h.residentBytes.Load(); runs != 0 || bytes != 0 || len(p.unsettled)+len(p.runs)+len(p.working)+len(p.appending) > 0 {
					t.Errorf("idle: %d objects, %d bytes, %v, %v", runs, bytes, p.runs, p.unsettled)
				}
			})
		})
	}
}
