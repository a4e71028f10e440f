package chaos

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

const (
	towers = 5
	bells  = 80 // of each tower in a peal, and a quarter more that are cancelled
)

// TestKill_Alarms has hundreds of alarms of a few objects come due within one second, and kills the node when it has fired some
// of them. Each fires once, in the order of their times, and none that was cancelled.
func TestKill_Alarms(t *testing.T) {
	kills, seed := harness.Number(t, "N", 2), harness.Number(t, "SEED", int(time.Now().UnixNano()))
	t.Logf("SEED=%d N=%d", seed, kills)
	program := program(t, t.TempDir(), seed, "--idle", "1s")
	p := &peal{
		t: t, program: program, node: program.Start(t), conn: program.Connect(t), rand: rand.New(rand.NewPCG(uint64(seed), 3)), want: map[string][]string{},
	}
	p.node.AwaitUp(t, 30*time.Second)
	rung := 0
	for ; rung < kills || p.cut == 0 && rung < 5*kills; rung++ { // on a busy machine a kill may come too late
		p.ring(rung)
	}
	if p.cut == 0 {
		t.Errorf("of %d kills none was in the middle of a peal", rung)
	}
	t.Logf("%d kills, %d of them in the middle of a peal", rung, p.cut)
	client := perdure.NewClient(p.conn)
	for i := range towers {
		key := fmt.Sprint(i)
		s, _, err := objects.Towers.State(t.Context(), client, key)
		if err != nil {
			t.Fatal(err)
		}
		var rang []string
		for _, r := range s.Rang {
			rang = append(rang, r.Key)
			if r.At.Before(r.Due) {
				t.Errorf("tower %s: %s rang at %s, before %s", key, r.Key, r.At, r.Due)
			}
		}
		if !slices.Equal(rang, p.want[key]) {
			t.Errorf("tower %s: rang %v, want %v", key, rang, p.want[key])
		}
	}
	soundLogs(t, p.conn)
}

// peal is towers whose bells ring, and what they are to ring.
type peal struct {
	t       *testing.T
	program harness.Program
	node    *harness.Process
	conn    *nats.Conn
	rand    *rand.Rand
	want    map[string][]string // by tower: keys of its bells, in the order in which they ring
	cut     int                 // kills in the middle
}

// ring sets bells, kills the node when it has rung some, and waits until it has rung all.
func (p *peal) ring(n int) {
	t := p.t
	t.Helper()
	sub, err := p.conn.SubscribeSync("log.*.tower.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	client, due := perdure.NewClient(p.conn), time.Now().Add(3*time.Second)
	for i := range towers {
		key, in := fmt.Sprint(i), p.bells(n, due)
		if left, err := objects.TowerHang.Call(t.Context(), client, key, in); err != nil || left != bells {
			t.Fatalf("tower %s: %d bells hang, %v", key, left, err)
		}
		kept := slices.DeleteFunc(in.Set, func(b objects.Bell) bool { return slices.Contains(in.Cancel, b.Key) })
		slices.SortStableFunc(kept, func(a, b objects.Bell) int { return a.Due.Compare(b.Due) })
		for _, b := range kept {
			p.want[key] = append(p.want[key], b.Key)
		}
	}
	for seen, until := 0, 1+p.rand.IntN(towers*bells*3/4); seen < until; {
		m, err := sub.NextMsg(20 * time.Second)
		if err != nil {
			t.Fatalf("%d bells have rung: %v", seen, err)
		}
		seen += bytes.Count(m.Data, []byte(`"type":"wait_completed"`))
	}
	p.node.Kill()
	_ = sub.Unsubscribe() // it is not connected
	p.node = p.program.Start(t)
	p.node.AwaitUp(t, 30*time.Second)
	all, rung, since := (n+1)*towers*bells, 0, 0
	harness.Eventually(t, 30*time.Second, func() string { // from the log: a question to a tower would have it look what is due
		rung, since = 0, 0
		harness.EachRecord(t, p.conn, func(r harness.Logged) {
			for i := range r.Events {
				if r.Events[i].Type != actor.WaitCompleted || !strings.Contains(r.Subject, ".tower.") {
					continue
				}
				rung++
				if r.Epoch > uint64(n+1) { // by the node that was started last
					since++
				}
			}
		})
		if rung < all {
			return fmt.Sprintf("%d of %d bells have rung", rung, all)
		}
		return ""
	})
	if since > 0 {
		p.cut++
	}
}

// bells are those of a peal: two share each time, they are set in no order, and some are taken back.
func (p *peal) bells(n int, due time.Time) (in objects.Bells) {
	const all = bells * 5 / 4
	for _, i := range p.rand.Perm(all) {
		at := due.Add(time.Duration(i/2*2) * time.Second / all)
		in.Set = append(in.Set, objects.Bell{Key: fmt.Sprintf("%d-%d", n, i), Due: at})
	}
	for _, i := range p.rand.Perm(all)[:all-bells] {
		in.Cancel = append(in.Cancel, fmt.Sprintf("%d-%d", n, i))
	}
	return in
}
