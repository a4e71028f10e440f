package conformance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
)

// TestStreams_NobodyRuns reads while no node runs.
func TestStreams_NobodyRuns(t *testing.T) {
	srv := natstest.Server(t)
	m := newMouth()
	cfg := harness.Config(t)
	cfg.NATS, cfg.Name, cfg.Listen, cfg.Store = []string{srv.ClientURL()}, "a", "", ""
	n := harness.Run(t, cfg, m)
	m.tell(t, n, order{Do: "write", N: 10})
	client := perdure.NewClient(natstest.Connect(t, srv))
	n.End()
	all := []string{"0 w0", "1 w1", "2 w2", "3 w3", "4 w4", "5 w5", "6 w6", "7 w7", "8 w8", "9 w9"}
	for from, want := range map[int64][]string{0: all, 4: all[4:], -3: all[7:], -10: all, -99: all, 9: all[9:], 10: nil, 1000: nil} {
		if got := chunks(t, client, m.At("a"), from); !slices.Equal(got, want) {
			t.Errorf("from %d: %q, want %q", from, got, want)
		}
	}
	if got := chunks(t, client, m.At("nobody"), 0); got != nil {
		t.Errorf("a stream that is not: %q", got)
	}
	waits, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for c, err := range client.Chunks(waits, m.At("a"), "default", 10, true) {
		if err == nil || !errors.Is(err, actor.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("follow with nobody there: %v, %v", c, err)
		}
	}
	// Readers from here on, from beyond the end, and of a stream that is not yet, are there before the node is again.
	type result struct {
		from int64
		got  []string
	}
	results := make(chan result, 3)
	for _, from := range []int64{-3, 10, 12} {
		go func() { results <- result{from, follow(t, client, m.At("a"), from)} }()
	}
	n.Again(m)
	m.tell(t, n, order{Do: "emit", N: 3})
	m.tell(t, n, order{Do: "end"})
	rest := append(all, "10 e0", "11 e1", "12 e2", "13 end")
	for range cap(results) {
		r := <-results
		if want := rest[(r.from+10)%10:]; r.from == -3 && !slices.Equal(r.got, rest[7:]) || r.from > 0 && !slices.Equal(r.got, rest[r.from:]) {
			t.Errorf("from %d: %q, want %q", r.from, r.got, want)
		}
	}
	if got := follow(t, client, m.At("a"), 1000); !slices.Equal(got, []string{"13 end"}) {
		t.Errorf("from beyond the end of a stream that has ended: %q", got)
	}
}

// TestStreams_Slow has readers stop after their first chunk until far more is written than the process may keep for
// them: they miss nothing.
func TestStreams_Slow(t *testing.T) {
	const size, each, calls, readers = 16 << 10, 500, 8, 3 // 64 MB, each reader's on a connection of its own
	m := newMouth()
	n := harness.Run(t, harness.Config(t), m)
	first, goOn := make(chan struct{}, readers), make(chan struct{})
	done := make(chan error, readers)
	for range readers {
		client := perdure.NewClient(n.Dial())
		go func() {
			done <- slowly(t.Context(), client, m.At("a"), func() {
				first <- struct{}{}
				<-goOn
			})
		}()
	}
	m.tell(t, n, order{Do: "write", N: each, Size: size})
	for range readers {
		<-first
	}
	before := held()
	for range calls {
		if got := m.tell(t, n, order{Do: "write", N: each, Size: size}); got != "ok" {
			t.Fatal(got)
		}
	}
	after := held()
	t.Logf("%d KB held before and %d KB after %d MB of chunks for each of %d readers", before>>10, after>>10, size*each*calls>>20, readers)
	if after > before+readers<<20+8<<20 {
		t.Errorf("%d KB held before, %d KB after", before>>10, after>>10)
	}
	m.tell(t, n, order{Do: "end"})
	close(goOn)
	for range readers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// slowly reads a stream to its end, and stops after the first chunk.
func slowly(ctx context.Context, client *perdure.Client, addr actor.Address, stop func()) error {
	next := uint64(0)
	for c, err := range client.Chunks(ctx, addr, "default", 0, true) {
		switch {
		case err != nil:
			return err
		case c.Index != next:
			return fmt.Errorf("chunk %d, want %d", c.Index, next)
		case c.Kind == actor.ChunkEnd:
			return nil
		case next == 0:
			stop()
		}
		next++
	}
	return errors.New("no end")
}

// TestStreams_Vanish has readers go away in the middle, by context, by break, and with their connection: they leave
// nothing behind, and the writer does not notice.
func TestStreams_Vanish(t *testing.T) {
	m := newMouth()
	n := harness.Run(t, harness.Config(t), m)
	m.tell(t, n, order{Do: "write", N: 5})
	before := runtime.NumGoroutine()
	for range 20 {
		nc := n.Dial()
		client := perdure.NewClient(nc)
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 2)
		for _, leave := range []func(){cancel, nc.Close} {
			read := make(chan struct{})
			go func() {
				seen := 0
				var last error
				for _, err := range client.Chunks(ctx, m.At("a"), "default", 0, true) {
					if last = err; err == nil {
						if seen++; seen == 5 {
							close(read)
						}
					}
				}
				gone <- last
			}()
			<-read
			leave()
			if err := <-gone; err == nil {
				t.Error("a reading that was ended has no error")
			}
			ctx = t.Context()
		}
	}
	client := perdure.NewClient(n.Dial())
	for range 20 {
		for _, err := range client.Chunks(t.Context(), m.At("a"), "default", 0, true) {
			if err != nil {
				t.Error(err)
			}
			break
		}
	}
	if got := m.tell(t, n, order{Do: "write", N: 500}); got != "ok" {
		t.Error(got)
	}
	harness.Eventually(t, 5*time.Second, func() string {
		if now := runtime.NumGoroutine(); now > before+20 {
			return fmt.Sprintf("%d goroutines, were %d before", now, before)
		}
		return ""
	})
	if got := harness.Consumers(t, n.Conn(), "PERDURE_OUT"); got != 0 {
		t.Errorf("%d consumers", got)
	}
}

// TestStreams_NobodyReads writes far more than the process may keep.
func TestStreams_NobodyReads(t *testing.T) {
	const size, each, calls = 16 << 10, 500, 8 // 64 MB
	m := newMouth()
	n := harness.Run(t, harness.Config(t), m)
	m.tell(t, n, order{Do: "write", N: each, Size: size})
	before := held()
	for range calls {
		if got := m.tell(t, n, order{Do: "write", N: each, Size: size}); got != "ok" {
			t.Fatal(got)
		}
	}
	after := held()
	t.Logf("%d KB held before and %d KB after %d MB of chunks", before>>10, after>>10, size*each*calls>>20)
	if after > before+8<<20 {
		t.Errorf("%d KB held before, %d KB after", before>>10, after>>10)
	}
}

// held estimates the bytes that are in use and were not allocated by the embedded server: that has its last blocks in
// memory for some seconds.
func held() (sum int64) {
	runtime.GC() // the profile is that of the collection before the last
	runtime.GC()
	records := make([]runtime.MemProfileRecord, 100_000)
	n, _ := runtime.MemProfile(records, false)
	for _, r := range records[:min(n, len(records))] {
		frames := runtime.CallersFrames(r.Stack())
		ours := true
		for more := true; more && ours; {
			var f runtime.Frame
			f, more = frames.Next()
			ours = !strings.Contains(f.Function, "/nats-server/")
		}
		if objects := r.InUseObjects(); ours && objects > 0 { // scaled up from the sample
			size := float64(r.InUseBytes()) / float64(objects)
			sum += int64(float64(r.InUseBytes()) / (1 - math.Exp(-size/float64(runtime.MemProfileRate))))
		}
	}
	return sum
}
