package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

const words = 1000

// TestKill_Streams kills the node while a step that repeats itself and a step that rewinds write to their streams and
// fail once each. Every reader ends with the whole speech, whenever it came.
func TestKill_Streams(t *testing.T) {
	kills, seed := harness.Number(t, "N", 5), harness.Number(t, "SEED", int(time.Now().UnixNano()))
	t.Logf("SEED=%d N=%d", seed, kills)
	program := program(t, t.TempDir(), seed)
	stage := &stage{
		t: t, program: program, node: program.Start(t), conn: program.Connect(t), rand: rand.New(rand.NewPCG(uint64(seed), 2)), left: kills,
	}
	stage.node.AwaitUp(t, 30*time.Second)
	rounds := 0
	for ; stage.left > 0; rounds++ {
		stage.round(rounds)
	}
	if stage.plain.ends == 0 || stage.plain.rewinds == 0 {
		t.Errorf("the plain subscribers show nothing: %+v", stage.plain)
	}
	t.Logf("%d kills, %d of them in the middle of one of %d speeches; plain subscribers saw %d chunks, %d rewinds and %d ends, and %d times that they had missed something",
		kills, stage.cut, 2*rounds, stage.plain.chunks, stage.plain.rewinds, stage.plain.ends, stage.plain.gaps)
	if n := harness.Consumers(t, stage.conn, "PERDURE_OUT"); n > 0 {
		t.Errorf("the output streams have %d consumers: readers need none", n)
	}
	soundLogs(t, stage.conn)
}

// stage is where speeches are given, and who gives them dies.
type stage struct {
	t       *testing.T
	program harness.Program
	node    *harness.Process
	conn    *nats.Conn
	rand    *rand.Rand
	left    int // kills
	cut     int // kills in the middle of a speech
	plain   struct{ chunks, rewinds, ends, gaps int }
}

// round gives two speeches, kills the node up to three times meanwhile, and asks all who listened.
func (s *stage) round(n int) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	var speeches []*speech
	for _, rewind := range []bool{false, true} {
		sp := &speech{stage: s, addr: objects.Speaker.At(fmt.Sprintf("%d-%v", n, rewind)), in: objects.Speech{Words: words, FailAt: 700, Rewind: rewind}}
		speeches = append(speeches, sp)
		sp.listenPlainly()
		sp.first = sp.listen(ctx, &wg, "there all along", 0)
		wg.Go(func() { sp.give(ctx) })
	}
	join := 1 + s.rand.IntN(words-2)
	for _, sp := range speeches {
		wg.Go(func() {
			sp.first.await(ctx, join)
			sp.listen(ctx, &wg, "joined in the middle", 0)
			sp.listen(ctx, &wg, "joined in the middle, from there on", join)
		})
	}
	at := 0
	for range min(1+s.rand.IntN(3), s.left) {
		at += s.rand.IntN(words - at)
		speeches[s.rand.IntN(2)].first.await(ctx, at)
		wait(s.node, time.Duration(s.rand.IntN(30))*time.Millisecond)
		if speeches[0].first.speaking() || speeches[1].first.speaking() {
			s.cut++
		}
		s.node.Kill()
		s.left--
		s.node = s.program.Start(s.t)
		if s.rand.IntN(4) > 0 { // else it is perhaps killed while it starts
			s.node.AwaitUp(s.t, 30*time.Second)
		}
	}
	wg.Wait()
	for _, sp := range speeches {
		sp.listen(ctx, &wg, "came after", 0)
		sp.listen(ctx, &wg, "came after, for the last three", -3)
	}
	wg.Wait()
	for _, sp := range speeches {
		sp.check()
	}
}

// speech is one run of the speaker, and who listens to it.
type speech struct {
	*stage
	addr  actor.Address
	in    objects.Speech
	voice string
	first *listener

	mu        sync.Mutex
	listeners []*listener
	plainConn *nats.Conn
	plainSub  *nats.Subscription
}

// give starts the run and waits for its result, however often the node dies.
func (sp *speech) give(ctx context.Context) {
	client := perdure.NewClient(sp.conn)
	for {
		voice, err := objects.Speaker.Execute(ctx, client, sp.addr.Key, sp.in)
		if err == nil {
			sp.voice = voice
			return
		}
		if !harness.Passing(err) || ctx.Err() != nil {
			sp.t.Errorf("%s: %v", sp.addr, err)
			return
		}
	}
}

func (sp *speech) check() {
	for _, l := range sp.listeners {
		l.check(sp.voice)
	}
	sp.checkPlain()
}

// listener is a reader over a connection of its own.
type listener struct {
	*speech
	name    string
	from    int
	reached chan struct{} // has one element when got has changed

	mu      sync.Mutex
	got     []objects.Word
	indexes []uint64
	rewinds int
	err     error
}

func (sp *speech) listen(ctx context.Context, wg *sync.WaitGroup, name string, from int) *listener {
	l := &listener{speech: sp, name: name, from: from, reached: make(chan struct{}, 1)}
	sp.mu.Lock()
	sp.listeners = append(sp.listeners, l)
	sp.mu.Unlock()
	client := perdure.NewClient(sp.program.Connect(sp.t))
	wg.Go(func() {
		err := l.read(ctx, client)
		l.mu.Lock()
		l.err = err
		l.mu.Unlock()
	})
	return l
}

func (l *listener) read(ctx context.Context, client *perdure.Client) error {
	for c, err := range client.Chunks(ctx, l.addr, "default", int64(l.from), true) {
		if err != nil {
			return err
		}
		l.mu.Lock()
		switch c.Kind {
		case actor.ChunkRewind:
			l.rewinds++
			keep := 0
			for keep < len(l.indexes) && l.indexes[keep] < c.Index {
				keep++
			}
			l.got, l.indexes = l.got[:keep], l.indexes[:keep]
		case actor.ChunkEnd:
			l.mu.Unlock()
			return nil
		default:
			var w objects.Word
			err = json.Unmarshal(c.Data, &w)
			l.got, l.indexes = append(l.got, w), append(l.indexes, c.Index)
		}
		l.mu.Unlock()
		select {
		case l.reached <- struct{}{}:
		default:
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("the reading ended without the stream's end")
}

// await waits until the listener has so many words, or for two seconds in which it has not.
func (l *listener) await(ctx context.Context, n int) {
	timeout := time.After(2 * time.Second)
	for {
		l.mu.Lock()
		got := len(l.got)
		l.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-l.reached:
		case <-timeout:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (l *listener) speaking() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.got) < words
}

func (l *listener) check(voice string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := l.from
	if from < 0 {
		from += words
	}
	if l.err != nil || len(l.got) != words-from {
		l.t.Errorf("%s, who %s: %d words from %d on, %v", l.addr, l.name, len(l.got), from, l.err)
		return
	}
	if !l.in.Rewind && l.rewinds > 0 {
		l.t.Errorf("%s, who %s: %d rewinds of a step that repeats itself", l.addr, l.name, l.rewinds)
	}
	for i, w := range l.got {
		if want := (objects.Word{Voice: voice, N: from + i}); w != want || l.indexes[i] != uint64(want.N) {
			l.t.Errorf("%s, who %s: word %d is %+v with index %d, want %+v", l.addr, l.name, i, w, l.indexes[i], want)
			return
		}
	}
}
