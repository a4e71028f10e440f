package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/jetstream"
	"github.com/perdure/perdure/router"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// check checks everything that was written and told, after the load has ended.
func (l *load) check() {
	l.t.Helper()
	nc := l.top.connect()
	harness.AwaitDrained(l.t, nc, time.Minute)
	answered, runs := l.register.Operations()
	l.t.Logf("%d calls answered, of them %d that add to %d objects; %d sends accepted; %d jobs done", l.calls.Load(), answered, runs, l.sends.Load(), l.jobs.Load())
	l.checkSums(perdure.NewClient(nc))
	l.history.check(l.t)
	l.top.checkLogs()
}

// checkSums compares every object that something was added to with the register.
func (l *load) checkSums(client *perdure.Client) {
	l.t.Helper()
	keys := make(chan string)
	var readers sync.WaitGroup
	for range 64 {
		readers.Go(func() {
			for key := range keys {
				run := objects.Tallies.At(key).String()
				got, err := objects.TallyGet.Call(l.t.Context(), client, key, actor.None{})
				if want := l.register.Sum(run); err != nil || got != want {
					l.t.Errorf("%s is %d, acknowledged %d (%v)", run, got, want, err)
				}
				if wrong := l.register.Disorder(run); wrong != "" {
					l.t.Error(wrong)
				}
			}
		})
	}
	for i := range l.cfg.objects {
		if key := strconv.Itoa(i); l.register.Sum(objects.Tallies.At(key).String()) > 0 {
			keys <- key
		}
	}
	close(keys)
	readers.Wait()
}

// checkLogs checks all logs, against each other, against the claims, and against the journals of step executions.
func (top *topology) checkLogs() {
	t := top.t
	t.Helper()
	nc := top.connect()
	logs, steps := harness.NewLogCheck(t), harness.NewStepCheck("first", "second")
	var records, unseen int
	writers := map[claimID]string{}
	foreign := harness.EachRecord(t, nc, func(r harness.Logged) {
		records++
		logs.Record(r)
		steps.Record(r)
		if !top.checkOwner(r, writers) {
			unseen++
		}
	})
	if foreign > 0 {
		t.Errorf("%d messages in the logs are no records", foreign)
	}
	if dead := harness.ReadStream(t, nc, "PERDURE_DEAD"); len(dead) > 0 {
		t.Errorf("%d dead letters, the first: %s", len(dead), dead[0].Data)
	}
	t.Logf("%d records; of %d the claim was not seen", records, unseen)
	if unseen > records/4 {
		t.Error("that are too many: the watch of the claims shows too little")
	}
	executions := top.executions()
	all := make([]harness.Execution, len(executions))
	for i, x := range executions {
		all[i] = x.Execution
		all[i].Excused = x.woke()
	}
	steps.Check(t, all)
	top.checkExecutions(executions)
}

// claimID names a claim of a partition.
type claimID struct {
	partition int
	epoch     uint64
}

// checkOwner checks that a record was written by the node to which its epoch was issued, and that none but one wrote under
// it; writers says who did so far. It reports false when the watch has not seen the claim.
func (top *topology) checkOwner(r harness.Logged, writers map[claimID]string) bool {
	p, err := strconv.Atoi(strings.Split(r.Subject, ".")[1])
	if err != nil {
		top.t.Errorf("%s seq %d: %v", r.Subject, r.Seq, err)
		return true
	}
	node, under := r.Header.Get(jetstream.HeaderNode), claimID{p, r.Epoch}
	if before, ok := writers[under]; ok && before != node {
		top.t.Errorf("%s seq %d: written by %s under epoch %d, as others by %s", r.Subject, r.Seq, node, r.Epoch, before)
	}
	writers[under] = node
	c, ok := top.watch.claim(p, r.Epoch)
	if ok && c.node != node {
		top.t.Errorf("%s seq %d: written by %s under epoch %d, which was issued to %s", r.Subject, r.Seq, node, r.Epoch, c.node)
	}
	return ok
}

// execution is an execution of a step on a node.
type execution struct {
	harness.Execution
	*member
	life *life
}

func (x execution) String() string {
	return fmt.Sprintf("%s (%s, %s to %s)", x.Step, x.name, x.Began.Format(clock), x.until().Format(clock))
}

const clock = "15:04:05.000"

// until is when the body certainly ran no more, or when its node was stopped: what is executing then learns that it
// has lost its lease only after it woke up. A body without an end ran until its process ended.
func (x execution) until() time.Time {
	end := x.Ended
	if end.IsZero() {
		end = x.life.ended
	}
	if end.IsZero() {
		end = time.Now()
	}
	for _, p := range x.life.pauses {
		if p.to.After(x.Began) && p.from.Before(end) {
			return p.from
		}
	}
	return end
}

// wokeJustNow is how long after a pause of its process a body may begin whose lease was looked at before the pause:
// between the look and the first line of the body nothing can be atomic.
const wokeJustNow = 30 * time.Millisecond

func (x execution) woke() bool {
	return slices.ContainsFunc(x.life.pauses, func(p span) bool { return x.Began.After(p.to) && x.Began.Before(p.to.Add(wokeJustNow)) })
}

// checkExecutions checks that no step of one object was executed by two nodes at a time, and that none began on a node
// that did not own the object's partition, or whose lease had run out.
//
// It cannot see what a body does after its node was stopped and woke up, nor whether a body that began right after
// that was allowed to before; nor can it judge where the watch has missed revisions that may have allowed it. All are
// counted, none is judged.
func (top *topology) checkExecutions(executions []execution) {
	t := top.t
	t.Helper()
	byRun := map[string][]execution{}
	undecided, unclaimed, woke := 0, 0, 0
	for _, x := range executions {
		byRun[x.Run] = append(byRun[x.Run], x)
		if x.woke() {
			woke++
			t.Logf("%s: step %s began right after its node woke up", x.Run, x)
			continue
		}
		if trusted, ok := top.watch.trusted(x.name, x.life, x.Began); !ok {
			undecided++
		} else if !trusted {
			t.Errorf("%s: step %s began without a trusted lease", x.Run, x)
		}
		typ, key, _ := strings.Cut(x.Run, "/")
		p := router.Partition(actor.Address{Type: typ, Key: key}, partitions)
		if may, ok := top.watch.mayExecute(p, x.name, x.life, x.Began); !ok {
			unclaimed++
		} else if !may {
			t.Errorf("%s: step %s began when the node did not own partition %d", x.Run, x, p)
		}
	}
	for run, xs := range byRun {
		slices.SortFunc(xs, func(a, b execution) int { return a.Began.Compare(b.Began) })
		for i := 1; i < len(xs); i++ {
			if a, b := xs[i-1], xs[i]; a.life != b.life && b.Began.Before(a.until()) {
				t.Errorf("%s: step %s and step %s overlap", run, a, b)
			}
		}
	}
	t.Logf("%d step executions compared with leases and claims: %d began right after their node woke up, of %d the lease and of %d the claim is not known",
		len(executions), woke, undecided, unclaimed)
	if undecided > len(executions)/2 || unclaimed > len(executions)/4 {
		t.Error("too few are compared: the watches of leases and claims show too little")
	}
}

// partitions is how many an installation has by default.
const partitions = jetstream.DefaultPartitions
