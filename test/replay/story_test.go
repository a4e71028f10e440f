package replay

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/session"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// The size of the stores.
const (
	partitions = 8
	logStreams = 2
)

// types is the code that the stores are written and read with. before: some of it is older than what reads it, or wrong.
func types(before bool) []actor.Definition {
	wallet := objects.NewWallet()
	if before {
		wallet = objects.NewWallet1()
	}
	nobody := func(context.Context) (actor.Client, error) { return nil, fmt.Errorf("no tools here") }
	return []actor.Definition{
		objects.Counter, objects.Tallies, objects.Sleeper, objects.Slow, objects.NewStory("one", "two", "three"), objects.NewFragile(before),
		objects.Patient, objects.Sum, objects.Diary, objects.Boxes, objects.Speaker, objects.Meter, objects.Notebooks, objects.Towers, wallet, session.New(session.Config{Client: nobody}),
	}
}

// drive does what objects live for, and leaves some of it undone.
func drive(t *testing.T, nc *nats.Conn) {
	t.Helper()
	call := func(subject, payload string, header ...string) {
		t.Helper()
		if r := harness.Ask(t, nc, "call."+subject, []byte(payload), header...); r.Code != 0 {
			t.Fatalf("%s: %v", subject, r.Err)
		}
	}
	send := func(subject, payload string, header ...string) (after string) {
		t.Helper()
		return fmt.Sprint(harness.AskStored(t, nc, "hook."+subject, []byte(payload), header...))
	}
	for i := range 40 { // more than a page of the index
		call("counter.alice.action", `{"type":"increment"}`, "Perdure-Call-Id", fmt.Sprint("c", i))
	}
	for i := range 150 { // more than one table of ids
		call("tally.bob.add", `{"n":1}`, "Perdure-Call-Id", fmt.Sprint("t", i), "Perdure-Timeout", "10m")
	}
	for i := range 21 { // more ids than a table has that is whole
		var calls sync.WaitGroup
		for j := range 50 {
			calls.Go(func() {
				id := fmt.Sprint("u", i*50+j)
				r, err := harness.TryAsk(t.Context(), nc, "call.tally.bob.add", []byte(`{"n":1}`), 30*time.Second, "Perdure-Call-Id", id, "Perdure-Timeout", "10m")
				if err != nil || r.Code != 0 {
					t.Errorf("call %s: %v, %v", id, err, r.Err)
				}
			})
		}
		calls.Wait()
	}
	call("tally.bob.add", `{"n":1}`, "Perdure-Call-Id", "u", "Perdure-Timeout", "10m") // its record has the table
	call("story.a.tell", "null")
	call("story.a.tell", "null", "Perdure-Call-Id", "again")
	call("box.b.fill", `{"bytes":65450}`) // its record is larger than a message
	call("sum.over.$start", `{"from":10}`)
	send("sum.over.add", `{"n":5}`)
	send("sum.over.end", "null")
	send("sum.later.add", `{"n":7}`) // it is not started
	call("diary.d.say", `{"sender":"x","n":1}`)
	send("$token.diary:d.$resume", `{"sender":"x","n":2}`)
	call("session.ann.message", `{"role":"user","content":"hello"}`)
	call("speaker.s.$start", `{"words":5,"failAt":3,"rewind":true}`, "Perdure-Wait", "end")
	call("patient.nudged.$start", `{"millis":3600000}`)
	send("patient.nudged.nudge", "null")
	send("tally.bob.add", `{"n":"one"}`) // a dead letter
	call("fragile.f.poke", `{"n":1}`)
	send("fragile.f.poke", `{"n":13}`) // it parks
	send("fragile.f.poke", `{"n":2}`)
	call("wallet.w.pay", `{"euros":5}`)
	call("meter.m.$start", `1000`)
	for i := range 70 {
		call("meter.m.reading", fmt.Sprint(i))
		call("notebook.n.write", fmt.Sprintf(`{"line":%d,"text":"line %d"}`, i*7, i))
	}
	call("tower.t.hang", fmt.Sprintf(`{"set":[{"key":"soon","due":%q},{"key":"late","due":"2126-01-01T00:00:00Z"},{"key":"never","due":"2126-01-01T00:00:00Z"}]}`,
		time.Now().UTC().Format(time.RFC3339Nano)))
	call("tower.t.hang", `{"cancel":["never"]}`)
	call("notebook.paused.write", `{"line":1,"text":"one"}`)
	call("notebook.paused.$pause", `{"reason":"lunch"}`)
	send("notebook.paused.write", `{"line":2,"text":"two"}`)
	call("sum.gone.$start", `{"from":1}`)
	call("sum.gone.add", `{"n":1}`)
	call("sum.gone.$cancel", `{"reason":"no use"}`)
	call("sum.shot.$start", `{"from":1}`)
	call("sum.shot.$terminate", `{"reason":"stuck"}`)
	call("sum.again.$start", `{"from":1}`)
	send("sum.again.end", "null")
	call("sum.again.$start", `{"from":1}`, "Perdure-Wait", "end")
	call("sum.again.$start", `{"from":100}`, "Perdure-Id-Policy", "ended")
	call("sum.again.add", `{"n":1}`)
	call("meter.cancelled.$start", `5`)
	call("meter.cancelled.reading", `1`)
	call("meter.cancelled.$pause", `null`)
	call("sum.freed.$start", `{"from":1}`)
	call("sum.freed.$terminate", `{"reason":"stuck"}`)
	call("sum.freed.$purge", `{"reason":"again"}`)
	call("sum.freed.$start", `{"from":2}`)
	call("tally.freed.add", `{"n":1}`)
	call("tally.freed.$purge", "")
	// From here on things are left undone: the node ends in their middle.
	call("tower.far.hang", fmt.Sprintf(`{"set":[{"key":"far","due":%q}]}`, time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano)))
	call("patient.far.$start", `{"millis":60000}`)
	send("speaker.hushed.$start", `{"words":5,"failAt":0,"rewind":false}`)
	call("speaker.hushed.$start", `{"words":5,"failAt":0,"rewind":false}`, "Perdure-Wait", "end")
	purgeHalf(t, nc, "speaker.hushed")
	send("wallet.w.hold", "null")
	waits := send("wallet.w.pay", `{"euros":2}`)
	call("wallet.w.$state", "", "Perdure-After", waits) // it is in the log, behind the other
	call("patient.waits.$start", `{"millis":4000}`)
	send("sleeper.z.nap", `{"nanos":4000000000}`)
	send("slow.w.wait", `{"millis":2000}`)
	for run, want := range map[string]string{
		"fragile.f": "parked", "slow.w": "running", "sleeper.z": "running", "sum.later": "pending", "sum.over": "completed", "patient.nudged": "completed",
		"sum.gone": "cancelled", "sum.shot": "terminated", "notebook.paused": "paused", "meter.cancelled": "paused",
	} {
		harness.Eventually(t, 10*time.Second, func() string {
			if got := pick(harness.Ask(t, nc, "call."+run+".$describe", nil).Data, "status"); got != `"`+want+`"` {
				return fmt.Sprintf("%s is %s, want %s", run, got, want)
			}
			return ""
		})
	}
}

// purgeHalf has a run purged whose chunks the server does not remove.
func purgeHalf(t *testing.T, nc *nats.Conn, run string) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	out, err := js.Stream(t.Context(), "PERDURE_OUT")
	if err != nil {
		t.Fatal(err)
	}
	cfg := out.CachedInfo().Config
	cfg.DenyDelete = true
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("call."+run+".$purge", nats.NewInbox(), nil); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 10*time.Second, func() string { // without reading what is being removed
		for _, name := range harness.LogStreams(t, nc) {
			log, err := js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			info, err := log.Info(t.Context(), jetstream.WithSubjectFilter("log.*."+run))
			if err != nil {
				t.Fatal(err)
			}
			for subject, records := range info.State.Subjects {
				last, err := log.GetLastMsgForSubject(t.Context(), subject)
				if err == nil && records == 1 && last.Header.Get("Perdure-Status") == "purged" {
					return ""
				}
			}
		}
		return "more than its tombstone is left of " + run
	})
}

// question is one request, and what the version that wrote the store answered.
type question struct {
	Subject string   `json:"subject"` // of a call; "stream <subject>" and "log <run>" read these, "dead" the dead letters; "later" lets time pass
	Payload string   `json:"payload,omitempty"`
	Header  []string `json:"header,omitempty"`
	Pick    string   `json:"pick,omitempty"` // only this member of the answer
	Answer  string   `json:"answer"`
}

// questions are asked in this order.
func questions() []question {
	end := []string{"Perdure-Wait", "end", "Perdure-Timeout", "30s"}
	return []question{
		{Subject: "call.counter.alice.action", Payload: `{"type":"get"}`},
		{Subject: "call.counter.alice.action", Payload: `{"type":"increment"}`, Header: []string{"Perdure-Call-Id", "c3"}},
		{Subject: "call.$token.counter:counter%2Falice.$resume", Payload: `{"type":"decrement","amount":2}`},
		{Subject: "call.tally.bob.$state"},
		{Subject: "call.tally.bob.get"},
		{Subject: "call.tally.bob.add", Payload: `{"n":1}`, Header: []string{"Perdure-Call-Id", "t2"}},
		{Subject: "call.tally.bob.add", Payload: `{"n":2}`, Header: []string{"Perdure-Call-Id", "t149"}}, // another payload
		{Subject: "call.tally.bob.add", Payload: `{"n":2}`, Header: []string{"Perdure-Call-Id", "u1049"}},
		{Subject: "call.tally.bob.add", Payload: `{"n":2}`, Header: []string{"Perdure-Call-Id", "new"}},
		{Subject: "call.tally.bob.add", Payload: `{"n":1}`},
		{Subject: "call.story.a.tell", Header: []string{"Perdure-Call-Id", "again"}},
		{Subject: "call.story.a.tell"},
		{Subject: "call.box.b.look"},
		{Subject: "call.box.b.put", Payload: `"abc"`},
		{Subject: "call.sum.over.$describe", Pick: "status"},
		{Subject: "call.sum.over.$start", Payload: `{"from":10}`, Header: end},
		{Subject: "call.sum.over.add", Payload: `{"n":1}`},
		{Subject: "call.sum.later.$describe", Pick: "status"},
		{Subject: "call.sum.later.$start", Payload: `{"from":1}`},
		{Subject: "call.sum.later.add", Payload: `{"n":0}`},
		{Subject: "call.diary.d.show"},
		{Subject: "call.session.ann.history", Pick: "messages"},
		{Subject: "stream out.session.ann.default"},
		{Subject: "call.session.ann.message", Payload: `{"role":"user","content":"hello"}`},
		{Subject: "stream out.session.ann.default"},
		{Subject: "call.speaker.s.$describe", Pick: "status"},
		{Subject: "stream out.speaker.s.default", Pick: "indexes"},
		{Subject: "call.patient.nudged.$start", Payload: `{"millis":3600000}`, Header: end},
		{Subject: "call.patient.nudged.nudge"},
		{Subject: "call.patient.waits.$start", Payload: `{"millis":4000}`, Header: end},
		{Subject: "call.sleeper.z.nap", Payload: `{"nanos":1}`},
		{Subject: "call.slow.w.wait", Payload: `{"millis":1}`},
		{Subject: "call.fragile.f.poke", Payload: `{"n":0}`},
		{Subject: "call.wallet.w.pay", Payload: `{"cents":1}`},
		{Subject: "call.wallet.w.$state"},
		{Subject: "call.meter.m.reading", Payload: `1`},
		{Subject: "call.meter.m.$state"},
		{Subject: "call.meter.m.$describe", Pick: "status"},
		{Subject: "call.notebook.n.read", Payload: `7`},
		{Subject: "call.notebook.n.write", Payload: `{"line":199,"text":"last"}`},
		{Subject: "call.notebook.n.$describe", Pick: "status"},
		{Subject: "call.tower.t.keys"},
		{Subject: "call.tower.t.hang", Payload: `{}`},
		{Subject: "call.notebook.paused.write", Payload: `{"line":3,"text":"three"}`},
		{Subject: "call.notebook.paused.$describe", Pick: "reason"},
		{Subject: "call.notebook.paused.$unpause"},
		{Subject: "call.notebook.paused.write", Payload: `{"line":3,"text":"three"}`},
		{Subject: "call.sum.gone.$describe", Pick: "error"},
		{Subject: "call.sum.gone.add", Payload: `{"n":1}`},
		{Subject: "call.sum.shot.$start", Payload: `{"from":1}`, Header: end},
		{Subject: "call.sum.again.add", Payload: `{"n":1}`},
		{Subject: "call.sum.again.$start", Payload: `{"from":100}`},
		{Subject: "call.meter.cancelled.$unpause"},
		{Subject: "call.meter.cancelled.reading", Payload: `1`},
		{Subject: "call.meter.cancelled.$cancel", Payload: `{"reason":"enough"}`},
		{Subject: "call.meter.cancelled.$start", Payload: `5`, Header: end},
		{Subject: "call.sum.freed.add", Payload: `{"n":1}`},
		{Subject: "call.tally.freed.get"},
		{Subject: "later", Payload: "3s"}, // until the cursor is past what hushed had received
		{Subject: "log speaker.hushed"},
		{Subject: "stream out.speaker.hushed.default"},
		{Subject: "call.speaker.hushed.$describe", Pick: "log"},
		{Subject: "call.speaker.hushed.$start", Payload: `{"words":2,"failAt":0,"rewind":false}`, Header: end},
		{Subject: "stream out.speaker.hushed.default"},
		{Subject: "log tower.far"},
		{Subject: "log patient.far"},
		{Subject: "later", Payload: "2m"},
		{Subject: "log tower.far"}, // nobody but its schedule has loaded it
		{Subject: "log patient.far"},
		{Subject: "call.tower.far.keys"},
		{Subject: "call.patient.far.$start", Payload: `{"millis":60000}`, Header: end},
		{Subject: "dead"},
	}
}
