package chaos

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/objects"
)

// listenPlainly subscribes as `nats sub` does. A subscription misses what is shown while it is not connected.
func (sp *speech) listenPlainly() {
	subject := "out." + sp.addr.Type + "." + actor.EncodeKey(sp.addr.Key) + ".default"
	sp.plainConn = sp.program.Connect(sp.t)
	sub, err := sp.plainConn.SubscribeSync(subject)
	if err != nil {
		sp.t.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		sp.t.Fatal(err)
	}
	sp.plainSub = sub
}

// checkPlain follows nothing but headers. Who has missed something sees it by Nats-Last-Sequence, and forgets what it
// had; when it sees the end, what it has is a part of the speech.
func (sp *speech) checkPlain() {
	t := sp.t
	t.Helper()
	defer sp.plainSub.Unsubscribe() //nolint:errcheck // the end of it
	if err := sp.plainConn.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	has := map[int]objects.Word{}
	var last string // sequence of the last message
	next, ended := 0, false
	for {
		n, _, err := sp.plainSub.Pending()
		if err != nil || n == 0 {
			break
		}
		m, err := sp.plainSub.NextMsg(nats.DefaultTimeout)
		if err != nil {
			break
		}
		h := m.Header
		if before := h.Get(nats.JSLastSequence); last != "" && before != last || last == "" && before != "0" {
			sp.plain.gaps++
			clear(has)
			next = -1
		}
		last = h.Get(nats.JSSequence)
		if got := h.Get("Perdure-Run"); got != sp.addr.String() {
			t.Fatalf("%s: Perdure-Run is %q", sp.addr, got)
		}
		if to := h.Get("Perdure-Rewind"); to != "" {
			sp.plain.rewinds++
			next = number10(to)
			for i := range has {
				if i >= next {
					delete(has, i)
				}
			}
			continue
		}
		index := number10(h.Get("Perdure-Index"))
		if next >= 0 && index != next {
			t.Fatalf("%s: Perdure-Index %d, want %d, and nothing was missed", sp.addr, index, next)
		}
		if h.Get("Perdure-End") != "" {
			ended = true
			if index != words || len(m.Data) > 0 {
				t.Errorf("%s: the end has Perdure-Index %d and body %q", sp.addr, index, m.Data)
			}
			continue
		}
		var w objects.Word
		if err := json.Unmarshal(m.Data, &w); err != nil {
			t.Fatal(err)
		}
		sp.plain.chunks++
		has[index], next = w, index+1
	}
	if !ended {
		return // it was not connected then
	}
	sp.plain.ends++
	for i, w := range has {
		if w.N != i || w.Voice != sp.voice {
			t.Fatalf("%s: the plain subscriber has %+v at %d, in the end it was said by %s", sp.addr, w, i, sp.voice)
		}
	}
}

func number10(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
