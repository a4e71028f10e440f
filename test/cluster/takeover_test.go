package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	perdurejs "github.com/perdure/perdure/jetstream"
	"github.com/perdure/perdure/router"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestTakeover kills the owner of an object that is called without pause, and measures for how long nobody answers.
func TestTakeover(t *testing.T) {
	both(t, always, func(t *testing.T, f form) {
		takeovers := length(t, "N", 2, 30)
		top := begin(t, f, 3)
		addr := objects.Tallies.At("called without pause")
		var worst time.Duration
		called := 0
		for i := range takeovers {
			owner := top.ownerOf(addr)
			probe := top.probe(addr, owner, fmt.Sprintf("takeover-%d", i))
			probe.awaitAnswers(20)
			marks := map[*member]int{}
			for _, m := range top.nodes {
				marks[m] = m.proc.Mark()
			}
			killed := time.Now()
			owner.kill()
			probe.awaitAfter(killed.Add(100*time.Millisecond), top.ttl+2*time.Minute)
			probe.awaitAnswers(20)
			probe.end()
			silent := longestGap(probe.answers, killed)
			stream, election := probe.longestElection(killed)
			called += len(probe.answers)
			t.Logf("takeover %d: %s without an answer; TTL %s, %s was %s without a leader", i, silent.Round(time.Millisecond), top.ttl, stream, election.Round(time.Millisecond))
			worst = max(worst, silent)
			limit := top.ttl + time.Second
			if f == embedded {
				limit = max(top.ttl, election) + time.Second
			}
			if full() && silent > limit {
				t.Errorf("takeover %d took %s, more than %s; %s was killed at %s", i, silent, limit, owner.name, killed.UTC().Format(clock))
				for m, mark := range marks {
					t.Logf("%s said:\n%s", m.name, m.proc.Since(mark))
				}
			}
			owner.start()
			top.awaitUp()
			top.awaitShared()
		}
		t.Logf("the longest of %d takeovers: %s (TTL %s)", takeovers, worst.Round(time.Millisecond), top.ttl)
		got, err := objects.TallyGet.Call(t.Context(), perdure.NewClient(top.connect()), addr.Key, actor.None{})
		if err != nil || got != called {
			t.Errorf("%s is %d, acknowledged %d (%v)", addr, got, called, err)
		}
		top.checkLogs()
	})
}

// ownerOf returns the node that owns an object.
func (top *topology) ownerOf(addr actor.Address) *member {
	top.t.Helper()
	name := top.owners()[router.Partition(addr, partitions)]
	i := slices.IndexFunc(top.nodes, func(m *member) bool { return m.name == name })
	if i < 0 {
		top.t.Fatalf("%s has no owner", addr)
	}
	return top.nodes[i]
}

// probe is a caller in a closed loop that waits little for each answer, and a look at the leaders of the streams without
// which nobody can take over.
type probe struct {
	t    *testing.T
	nc   *nats.Conn
	addr actor.Address
	id   string

	leave context.CancelFunc
	wg    sync.WaitGroup

	mu      sync.Mutex
	answers []time.Time
	leaders map[string][]time.Time // stream → when its leader was heard of
}

// patience is how long an attempt waits, pace the time between two.
const (
	patience = 100 * time.Millisecond
	pace     = 10 * time.Millisecond
)

// probe begins to call, over a server that does not die with the node.
func (top *topology) probe(addr actor.Address, without *member, id string) *probe {
	top.t.Helper()
	urls := slices.DeleteFunc(slices.Clone(top.urls), func(url string) bool { return url == "nats://"+without.program.Listen })
	ctx, leave := context.WithCancel(top.t.Context())
	p := &probe{t: top.t, nc: harness.Connect(top.t, strings.Join(urls, ",")), addr: addr, id: id, leave: leave, leaders: map[string][]time.Time{}}
	var names perdurejs.Names
	js, err := jetstream.New(p.nc)
	if err != nil {
		top.t.Fatal(err)
	}
	log, err := js.StreamNameBySubject(ctx, names.Log(router.Partition(addr, partitions), addr))
	if err != nil {
		top.t.Fatalf("find the log of %s: %v", addr, err)
	}
	p.wg.Go(func() { p.call(ctx) })
	for _, stream := range []string{log, names.InboxStream(), names.TimersStream(), "KV_" + names.LeasesBucket(), "KV_" + names.PartitionsBucket()} {
		p.wg.Go(func() { p.look(ctx, stream) })
	}
	top.t.Cleanup(p.end)
	return p
}

func (p *probe) end() {
	p.leave()
	p.wg.Wait()
}

// call calls until ctx ends and what it has begun is answered.
func (p *probe) call(ctx context.Context) {
	asking := context.WithoutCancel(ctx)
	for n, answered := 0, true; ctx.Err() == nil || !answered && !p.t.Failed(); {
		answered = false
		r, err := harness.TryAsk(asking, p.nc, "call."+p.addr.Type+"."+actor.EncodeKey(p.addr.Key)+".add", []byte(`{"n":1}`), patience,
			"Perdure-Call-Id", fmt.Sprintf("%s-%d", p.id, n), "Perdure-Timeout", patience.String())
		if err == nil && r.Code == 0 {
			p.mu.Lock()
			p.answers = append(p.answers, time.Now())
			p.mu.Unlock()
			n, answered = n+1, true
		} else if err == nil && !harness.Passing(r.Err) {
			p.t.Errorf("call %s: %v", p.addr, r.Err)
		}
		breathe(ctx)
	}
}

func (p *probe) look(ctx context.Context, stream string) {
	for ; ctx.Err() == nil; breathe(ctx) { // it is the leader that answers
		asking, cancel := context.WithTimeout(ctx, patience)
		m, err := p.nc.RequestWithContext(asking, "$JS.API.STREAM.INFO."+stream, nil)
		cancel()
		var info struct {
			Error any `json:"error"`
		}
		if err == nil && json.Unmarshal(m.Data, &info) == nil && info.Error == nil && m.Header.Get("Status") == "" {
			p.mu.Lock()
			p.leaders[stream] = append(p.leaders[stream], time.Now())
			p.mu.Unlock()
		}
	}
}

func breathe(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(pace):
	}
}

// longestElection returns which stream was without a leader for longest, and for how long.
func (p *probe) longestElection(after time.Time) (stream string, longest time.Duration) {
	for name, heard := range p.leaders {
		if gap := longestGap(heard, after); gap >= longest {
			stream, longest = name, gap
		}
	}
	return stream, longest
}

// awaitAnswers waits for so many answers from now on.
func (p *probe) awaitAnswers(n int) {
	p.t.Helper()
	p.mu.Lock()
	n += len(p.answers)
	p.mu.Unlock()
	harness.Eventually(p.t, time.Minute, func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.answers) < n {
			return fmt.Sprintf("%d answers, want %d", len(p.answers), n)
		}
		return ""
	})
}

// awaitAfter waits for an answer after a moment.
func (p *probe) awaitAfter(moment time.Time, within time.Duration) {
	p.t.Helper()
	harness.Eventually(p.t, within, func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.answers) == 0 || !p.answers[len(p.answers)-1].After(moment) {
			return fmt.Sprintf("%s does not answer", p.addr)
		}
		return ""
	})
}

// longestGap returns the longest time between two answers that ends after a moment.
func longestGap(answers []time.Time, moment time.Time) time.Duration {
	var longest time.Duration
	for i := 1; i < len(answers); i++ {
		if answers[i].After(moment) {
			longest = max(longest, answers[i].Sub(answers[i-1]))
		}
	}
	return longest
}
