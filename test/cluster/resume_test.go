package cluster

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/router"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestResume leaves many runs in the middle of steps, of sleeps, of awaits and with sends on their way out, kills their
// owner, and waits for all of them, without calling any: they go on by themselves, none early.
func TestResume(t *testing.T) {
	both(t, inFull, func(t *testing.T, f form) {
		seed := seed(t)
		each := length(t, "N", 100, 1000)
		top := begin(t, f, 3)
		owner := top.ownerOf(objects.Slow.At("0"))
		r := &resumption{
			t: t, top: top, owner: owner, owners: top.owners(), each: each, client: perdure.NewClient(top.connect(nats.Name("load"))),
			due: map[string]time.Time{}, ended: map[string]bool{}, some: make(chan struct{}),
		}
		r.follow()
		lasts := 3 * top.ttl // what is in progress when the owner dies ends after the takeover, or is overdue then
		r.leave(lasts, seed)
		sent := r.sendOut()
		select {
		case <-r.some:
		case <-time.After(upWithin):
			t.Fatal("no outcome arrives")
		}
		killed := time.Now()
		owner.kill()
		before := r.arrived()
		if full() && before == each {
			t.Error("no send was on its way when the owner died")
		}
		sent.Wait()
		r.nudge()
		r.awaitAll(lasts + top.ttl + 30*time.Second)
		t.Logf("%d runs in each state went on after %s was killed, all done %s later; %d outcomes arrived for %d sends, %d of them before",
			each, owner.name, time.Since(killed).Round(time.Millisecond), r.arrived(), each, before)
		top.checkLogs()
	})
}

// resumption is runs that are left in the middle of something, and what is seen of them in the logs.
type resumption struct {
	t      *testing.T
	top    *topology
	owner  *member
	owners map[int]string // of all partitions, before the owner dies
	each   int
	client *perdure.Client

	steppers, sleepers, timeouts, nudged, diaries, tallies []actor.Address

	mu       sync.Mutex
	busy     int                  // steps begun, waits created
	due      map[string]time.Time // log and wait → when it is to end
	early    []string
	ended    map[string]bool // runs whose call or run function has ended, and whatever else is awaited
	outcomes int             // with those that came twice
	some     chan struct{}   // closed when there is a quarter of them
}

// tried is how many keys are tried to find those of the owner.
const tried = 100_000

// addresses returns so many that the owner has, by where what owned gives is.
func (r *resumption) addresses(n int, at func(key string) actor.Address, owned func(key string) actor.Address) []actor.Address {
	r.t.Helper()
	var found []actor.Address
	for i := 0; len(found) < n; i++ {
		if i == tried {
			r.t.Fatalf("%s owns %d of %d keys", r.owner.name, len(found), i)
		}
		if key := strconv.Itoa(i); r.owners[router.Partition(owned(key), partitions)] == r.owner.name {
			found = append(found, at(key))
		}
	}
	return found
}

// leave brings all runs where they are to be when the owner dies.
func (r *resumption) leave(lasts time.Duration, seed uint64) {
	r.t.Helper()
	r.steppers = r.addresses(r.each, objects.Slow.At, objects.Slow.At)
	r.sleepers = r.addresses(r.each, objects.Sleeper.At, objects.Sleeper.At)
	patient := r.addresses(2*r.each, objects.Patient.At, objects.Patient.At)
	r.timeouts, r.nudged = patient[:r.each], patient[r.each:]
	r.tallies = r.addresses(r.each, objects.Tallies.At, objects.Tallies.At)
	// A send by token goes out from where the token is.
	r.diaries = r.addresses(r.each, objects.Diary.At, func(key string) actor.Address { return token("diary:" + key) })
	ctx := r.t.Context()
	r.together(r.diaries, func(_ int, a actor.Address) error {
		_, err := objects.Say.Call(ctx, r.client, a, objects.Entry{Sender: "before", N: 1})
		return err
	})
	r.together(r.nudged, func(_ int, a actor.Address) error {
		return objects.Patient.Start(ctx, r.client, a.Key, objects.Wait{Millis: int(time.Hour.Milliseconds())})
	})
	// Their times are spread, from just after the kill to well after the takeover.
	spread := func(i int) time.Duration {
		return lasts/2 + time.Duration((uint64(i)*7919+seed)%uint64(r.each))*(lasts/2)/time.Duration(r.each) //nolint:gosec // positive
	}
	r.together(r.timeouts, func(i int, a actor.Address) error {
		return objects.Patient.Start(ctx, r.client, a.Key, objects.Wait{Millis: int(spread(i).Milliseconds())})
	})
	r.together(r.sleepers, func(i int, a actor.Address) error {
		_, err := objects.Nap.Send(ctx, r.client, a, objects.Rest{Nanos: int64(spread(i))})
		return err
	})
	r.together(r.steppers, func(i int, a actor.Address) error {
		_, err := objects.SlowWait.Send(ctx, r.client, a, objects.Wait{Millis: int(spread(i).Milliseconds())})
		return err
	})
	harness.Eventually(r.t, upWithin, func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.busy < 4*r.each {
			return fmt.Sprintf("%d runs are in the middle of something, want %d", r.busy, 4*r.each)
		}
		return ""
	})
}

// sendOut begins to send to objects of the owner, by name and by token, and has their outcomes arrive.
func (r *resumption) sendOut() *sync.WaitGroup {
	r.t.Helper()
	ctx := r.t.Context()
	inbox := nats.NewInbox()
	nc := r.top.connect(nats.Name("outcomes"))
	if _, err := nc.Subscribe(inbox+".*", func(m *nats.Msg) { r.end("outcome " + m.Subject[len(inbox)+1:]) }); err != nil {
		r.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		r.t.Fatal(err)
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		r.together(r.diaries, func(_ int, a actor.Address) error {
			_, err := r.client.Send(ctx, token("diary:"+a.Key), actor.HookResume, []byte(`{"sender":"after","n":1}`), actor.CallHeader{})
			return err
		})
	})
	sending.Go(func() {
		r.together(r.tallies, func(_ int, a actor.Address) error {
			_, err := objects.TallyAdd.Send(ctx, r.client, a.Key, objects.Amount{N: 1}, actor.ReplyTo(inbox+"."+a.Key))
			return err
		})
	})
	return &sending
}

func token(text string) actor.Address { return actor.Address{Type: actor.TypeToken, Key: text} }

// nudge sends to those who wait for it, while nobody owns them.
func (r *resumption) nudge() {
	r.t.Helper()
	r.together(r.nudged, func(_ int, a actor.Address) error {
		_, err := objects.Nudge.Send(r.t.Context(), r.client, a, actor.None{})
		return err
	})
}

// together does something for all runs, 64 at a time.
func (r *resumption) together(runs []actor.Address, do func(i int, a actor.Address) error) {
	r.t.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 64 {
		wg.Go(func() {
			for i := range next {
				if err := do(i, runs[i]); err != nil {
					r.t.Errorf("%s: %v", runs[i], err)
				}
			}
		})
	}
	for i := range runs {
		next <- i
	}
	close(next)
	wg.Wait()
}

// follow reads all logs as they are written.
func (r *resumption) follow() {
	r.t.Helper()
	nc := r.top.connect(nats.Name("reader"))
	js, err := jetstream.New(nc)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range harness.LogStreams(r.t, nc) {
		c, err := js.OrderedConsumer(r.t.Context(), name, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
		if err != nil {
			r.t.Fatal(err)
		}
		following, err := c.Consume(func(m jetstream.Msg) {
			rec, err := actor.DecodeRecord(m.Data())
			if meta, metaErr := m.Metadata(); err == nil && metaErr == nil {
				r.record(rec, meta.Timestamp)
			}
		})
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(following.Stop)
	}
}

func (r *resumption) record(rec *actor.Record, stored time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ev := range rec.Events {
		switch ev.Type {
		case actor.StepStarted:
			if ev.Attempt <= 1 {
				r.busy++
			}
		case actor.WaitCreated:
			r.busy++
			r.due[rec.Run+" "+ev.ID] = *ev.Due
		case actor.WaitCompleted:
			if due := r.due[rec.Run+" "+ev.ID]; due.IsZero() || stored.Before(due) {
				r.early = append(r.early, fmt.Sprintf("%s: due %s, ended %s", rec.Run, due.Format(clock), stored.Format(clock)))
			}
		case actor.CallCompleted:
			r.ended[rec.Run] = true
		case actor.HookReceived:
			if strings.Contains(string(ev.Payload), `"after"`) {
				r.ended["resumed "+rec.Run] = true
			}
		case actor.RunCompleted:
			r.ended[rec.Run+" "+string(ev.Result)] = true
		default:
		}
	}
}

func (r *resumption) end(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outcomes++; r.outcomes == r.each/4 {
		close(r.some)
	}
	r.ended[what] = true
}

// arrived is how many outcomes have arrived.
func (r *resumption) arrived() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcomes
}

// awaitAll waits until everything has gone on to its end.
func (r *resumption) awaitAll(within time.Duration) {
	r.t.Helper()
	var want []string
	for _, of := range []struct {
		runs []actor.Address
		text string
	}{
		{r.steppers, "%s"},
		{r.sleepers, "%s"},
		{r.timeouts, "%s false"},
		{r.nudged, "%s true"},
		{r.diaries, "resumed %s"},
		{r.tallies, "%s"},
	} {
		for _, a := range of.runs {
			want = append(want, fmt.Sprintf(of.text, a))
		}
	}
	for _, a := range r.tallies {
		want = append(want, "outcome "+a.Key)
	}
	harness.Eventually(r.t, within, func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		missing, first := 0, ""
		for _, w := range want {
			if !r.ended[w] {
				missing++
				first = w
			}
		}
		if missing > 0 {
			return fmt.Sprintf("%d of %d have not ended, among them %q", missing, len(want), first)
		}
		return ""
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.early {
		r.t.Errorf("early: %s", e)
	}
}
