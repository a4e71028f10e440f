package jetstream

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/actor"
)

func testOutlet(t *testing.T, r *rig) {
	ctx := short(t)
	replies, err := NewReplySubjects()
	if err != nil {
		t.Fatal(err)
	}
	out := r.store.Outlet(r.store.nc, replies)
	before, err := r.store.Inbox().Bounds(ctx)
	if err != nil {
		t.Fatal(err)
	}
	addr := actor.Address{Type: "outlet", Key: "a b"}
	h := actor.CallHeader{CallID: "e1", After: 3, Trace: []string{"00-1-2-3"}}
	if err := out.Forward(ctx, addr, "add", h, []byte("1")); err != nil {
		t.Fatal(err)
	}
	got, err := collect(ctx, r.store.Inbox(), before.Last+1, "outlet", 1)
	if err != nil || cmp.Diff(got[0].Header, h) != "" || got[0].Key != "a%20b" {
		t.Errorf("%+v %v", got, err)
	}
	testOutcome(t, r, out)
	testDeadLetter(t, r, out)
}

func testOutcome(t *testing.T, r *rig, out *Outlet) {
	sub, err := r.store.nc.SubscribeSync("_INBOX.outlet.*")
	if err != nil {
		t.Fatal(err)
	}
	forbidden, err := r.store.nc.SubscribeSync("elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	o := &actor.Outcome{Run: "outlet/x", Seq: 7, Result: json.RawMessage("3")}
	for _, subject := range []string{"elsewhere", "_INBOX.outlet.1"} {
		if err := out.Outcome(t.Context(), subject, o); err != nil {
			t.Error(err)
		}
	}
	m, err := sub.NextMsg(guard)
	if err != nil || string(m.Data) != "3" || m.Header.Get(HeaderSeq) != "7" {
		t.Errorf("%+v %v", m, err)
	}
	if _, err := forbidden.NextMsg(10 * time.Millisecond); err == nil {
		t.Error("an outcome went where it may not")
	}
}

func testDeadLetter(t *testing.T, r *rig, out *Outlet) {
	ctx := short(t)
	small := &actor.DeadLetter{
		Run: "outlet/dead.x", Hook: "add", CallID: "c", Inbox: 5, Sent: time.Now().UTC().Round(0),
		Cause: actor.Errorf(actor.CodeEnded, "the run has ended"), Payload: []byte("not JSON\xff"), ReplyTo: "_INBOX.x",
	}
	for range 2 {
		if err := out.DeadLetter(ctx, small); err != nil {
			t.Fatal(err)
		}
	}
	big := &actor.DeadLetter{Run: "$token/%zz", Inbox: 6, Cause: small.Cause, Payload: make([]byte, out.store.maxBody())}
	if err := out.DeadLetter(ctx, big); err != nil {
		t.Fatal(err)
	}
	read := func(subject string) (*actor.DeadLetter, bool) {
		t.Helper()
		m, err := r.store.get(ctx, r.store.names.DeadStream(), getRequest{LastFor: subject})
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		d, truncated, err := DecodeDead(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		return d, truncated
	}
	got, truncated := read("dead.outlet.dead%2Ex")
	if diff := cmp.Diff(got, small); diff != "" || truncated {
		t.Errorf("truncated %v (-got +want):\n%s", truncated, diff)
	}
	if got, truncated := read(r.store.names.Dead("$token", "%zz")); !truncated || len(got.Payload) < out.store.maxBody()/2 || !bytes.HasPrefix(big.Payload, got.Payload) {
		t.Errorf("truncated %v to %d", truncated, len(got.Payload))
	}
	stream, err := r.store.js.Stream(ctx, r.store.names.DeadStream())
	if err != nil || stream.CachedInfo().State.Msgs != 2 {
		t.Errorf("%v: the double is kept", err)
	}
}

func TestEncodeDead_fits(t *testing.T) {
	cause := actor.Errorf(actor.CodeInvalid, "no").With(strings.Repeat("d", 3000))
	for _, size := range []int{0, 1, 900, 1000, 1001, 1002, 1003, 5000} {
		d := &actor.DeadLetter{Run: "a/b", Payload: bytes.Repeat([]byte("p"), size), Cause: cause}
		body, err := encodeDead(d, 1500)
		if err != nil || len(body) > 1500 {
			t.Errorf("payload of %d: %d bytes, %v", size, len(body), err)
		}
		if got, truncated, err := DecodeDead(body); err != nil || !truncated || !bytes.HasPrefix(d.Payload, got.Payload) {
			t.Errorf("payload of %d: %+v %v %v", size, got, truncated, err)
		}
	}
}

func FuzzDecodeDead(f *testing.F) {
	f.Add([]byte(`{"run":"a/b","hook":"h","inbox":1,"cause":{"code":410},"payload":"eHg=","truncated":true}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if d, _, err := DecodeDead(body); err == nil && d == nil {
			t.Error("no error and no letter")
		}
	})
}
