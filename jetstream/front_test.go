package jetstream

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/router"
)

// fakeHost answers what its functions say.
type fakeHost struct {
	call      func(req *actor.Request)
	hosts     func(typ string) bool
	elsewhere func(typ string) bool // nil: no type is
	describe  func(typ string) (json.RawMessage, bool)
}

// Call says which node answers, and knows only its types, as the real host does.
func (h *fakeHost) Call(req *actor.Request) {
	if reply := req.Reply; reply != nil {
		named := *req
		named.Reply = func(o *actor.Outcome) {
			if o.Node == "" {
				o.Node = "n1"
			}
			reply(o)
		}
		req = &named
	}
	if typ := req.Address.Type; typ != actor.TypeToken && !h.hosts(typ) && req.Reply != nil {
		code := actor.CodeNotFound
		if h.elsewhere != nil && h.elsewhere(typ) {
			code = actor.CodeUnavailable
		}
		req.Reply(&actor.Outcome{Err: actor.Errorf(code, "no type %q on this node", typ)})
		return
	}
	h.call(req)
}

func (h *fakeHost) Hosts(typ string) bool { return h.hosts(typ) }
func (h *fakeHost) Types() []string {
	return slices.DeleteFunc([]string{"other", "tally"}, func(typ string) bool { return !h.hosts(typ) })
}

func (h *fakeHost) Describe(typ string) (json.RawMessage, bool) { return h.describe(typ) }

// echoHost hosts tally: each call's result says what reached the host.
func echoHost(node string) *fakeHost {
	return &fakeHost{
		call: func(req *actor.Request) {
			result, _ := json.Marshal(map[string]any{"hook": req.Hook, "key": req.Address.Key, "payload": string(req.Payload)})
			if req.Reply != nil {
				req.Reply(&actor.Outcome{Run: req.Address.String(), Seq: 5, Node: node, Result: result})
			}
		},
		hosts: func(typ string) bool { return typ == "tally" },
		describe: func(typ string) (json.RawMessage, bool) {
			return json.RawMessage(`{"type":"` + typ + `"}`), typ == "tally"
		},
	}
}

// callServer is a server with the default limit of payloads.
func callServer(t *testing.T) *server.Server {
	t.Helper()
	opts := natstest.Options(t.TempDir())
	opts.MaxPayload = 1 << 20
	return natstest.Start(t, opts)
}

// startFront runs a front on s that owns the partitions, until the test ends.
func startFront(t *testing.T, s *server.Server, node string, host Host, own []int, set ...func(*FrontConfig)) *Front {
	t.Helper()
	cfg := FrontConfig{Conn: natstest.Connect(t, s), Replies: natstest.Connect(t, s), Partitions: 4, Node: node, Host: host}
	for _, f := range set {
		f(&cfg)
	}
	f := NewFront(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	flushed, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	select {
	case <-f.Ready():
	case err := <-ended:
		cancel()
		t.Fatalf("the front does not start: %v", err)
	}
	for _, p := range own {
		if err := f.Own(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := cfg.Conn.FlushWithContext(flushed); err != nil { // Flush shares timers between bubbles
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return f
}

var allPartitions = []int{0, 1, 2, 3}

func request(t *testing.T, nc *nats.Conn, subject, payload string, header ...string) *nats.Msg {
	t.Helper()
	m := nats.NewMsg(subject)
	m.Data = []byte(payload)
	for i := 0; i < len(header); i += 2 {
		m.Header[header[i]] = []string{header[i+1]}
	}
	ans, err := nc.RequestMsg(m, time.Minute)
	if err != nil {
		t.Fatalf("request %s: %v", subject, err)
	}
	return ans
}

func TestFront_Answers(t *testing.T) {
	s := callServer(t)
	startFront(t, s, "n1", echoHost("n1"), allPartitions)
	nc := natstest.Connect(t, s)
	for name, c := range map[string]struct {
		subject, payload string
		header           []string
		want             string // the body, or the code of a failure
	}{
		"call":                  {"call.tally.alice.add", `{"n":1}`, nil, `{"hook":"add","key":"alice","payload":"{\"n\":1}"}`},
		"encoded key":           {"call.tally.a%2Eb%20c.add", ``, nil, `{"hook":"add","key":"a.b c","payload":""}`},
		"runtime hook":          {"call.tally.alice.$state", ``, nil, `{"hook":"$state","key":"alice","payload":""}`},
		"key $type":             {"call.tally.%24type.add", ``, nil, `{"hook":"add","key":"$type","payload":""}`},
		"token":                 {"call.$token.tally:a:b.$resume", `1`, nil, `{"hook":"$resume","key":"tally:a:b","payload":"1"}`},
		"type":                  {"call.tally.$type.$describe", ``, nil, `{"type":"tally"}`},
		"unknown type":          {"call.nothing.alice.add", ``, nil, "404"},
		"describe unknown":      {"call.nothing.$type.$describe", ``, nil, "404"},
		"other hook of a type":  {"call.tally.$type.add", ``, nil, "404"},
		"other hook of a token": {"call.$token.x.add", ``, nil, "404"},
		"not canonical":         {"call.tally.a%2eb.add", ``, nil, "400"},
		"escaped letter":        {"call.tally.%61.add", ``, nil, "400"},
		"raw special":           {"call.tally.a!b.add", ``, nil, "400"},
		"type in capitals":      {"call.Tally.alice.add", ``, nil, "400"},
		"reserved type":         {"call.$foo.alice.add", ``, nil, "400"},
		"bad hook":              {"call.tally.alice.9add", ``, nil, "400"},
		"long key":              {"call.tally." + strings.Repeat("k", 257) + ".add", ``, nil, "400"},
		"longest key":           {"call.tally." + strings.Repeat("k", 256) + ".$state", ``, nil, `{"hook":"$state","key":"` + strings.Repeat("k", 256) + `","payload":""}`},
		"bad timeout":           {"call.tally.alice.add", ``, []string{HeaderTimeout, "soon"}, "400"},
		"bad reply-to":          {"call.tally.alice.add", ``, []string{HeaderReplyTo, "$JS.API.STREAM.PURGE.X"}, "400"},
		"too large":             {"call.tally.alice.add", strings.Repeat("x", 1<<20-64<<10+1), nil, "413"},
		"too large comes first": {"call.no!thing.alice.9", strings.Repeat("x", 1<<20-64<<10+1), nil, "413"},
	} {
		t.Run(name, func(t *testing.T) {
			m := request(t, nc, c.subject, c.payload, c.header...)
			if got := m.Header.Get(HeaderErrorCode); len(c.want) == 3 {
				var e actor.Error
				if err := json.Unmarshal(m.Data, &e); err != nil || got != c.want || strconv.Itoa(int(e.Code)) != c.want {
					t.Errorf("code %q with %s, want %s", got, m.Data, c.want)
				}
				if m.Header.Get(HeaderErrorSource) != "runtime" || m.Header.Get(HeaderNode) != "n1" || m.Header.Get(HeaderError) == "" {
					t.Errorf("headers %v", m.Header)
				}
			} else if string(m.Data) != c.want {
				t.Errorf("got %s %v, want %s", m.Data, m.Header, c.want)
			}
		})
	}
	t.Run("headers", func(t *testing.T) {
		m := request(t, nc, "call.tally.alice.add", "")
		want := nats.Header{"Perdure-Run": {"tally/alice"}, "Perdure-Seq": {"5"}, "Perdure-Node": {"n1"}, "Perdure-Partitions": {"4"}}
		if diff := cmp.Diff(want, m.Header); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
	t.Run("largest payload", func(t *testing.T) {
		m := request(t, nc, "call.tally.alice.add", strings.Repeat("x", 1<<20-64<<10))
		if m.Header.Get(HeaderErrorCode) != "" {
			t.Errorf("got %v", m.Header)
		}
	})
}

func TestFront_ReplySubjects(t *testing.T) {
	s := callServer(t)
	var mu sync.Mutex
	var got []bool // per call that reached the host: is there somebody who waits
	host := echoHost("n1")
	answer := host.call
	host.call = func(req *actor.Request) {
		mu.Lock()
		got = append(got, req.Reply != nil)
		mu.Unlock()
		answer(req)
	}
	var logged strings.Builder
	allowed, err := NewReplySubjects("acme")
	if err != nil {
		t.Fatal(err)
	}
	startFront(t, s, "n1", host, allPartitions, func(c *FrontConfig) {
		c.Allowed = allowed
		c.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	})
	nc := natstest.Connect(t, s)
	sub, err := nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	for _, reply := range []string{"$JS.API.STREAM.PURGE.PERDURE_LOG_0", "acmes.x", "_INBOX", "hook.tally.alice.add", "acme.x"} {
		for _, subject := range []string{"call.tally.alice.add", "$SRV.PING", "$SRV.STATS.perdure", "call.tally.alice.9"} {
			if err := nc.PublishRequest(subject, reply, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, subject := range []string{"call.tally.alice.add", "$SRV.PING", "$SRV.STATS.perdure"} {
		request(t, nc, subject, "") // all before it on its subscription were handled
	}
	seen := map[string]int{}
	for {
		m, err := sub.NextMsg(200 * time.Millisecond)
		if err != nil {
			break
		}
		if !strings.HasPrefix(m.Subject, "call.") && !strings.HasPrefix(m.Subject, "$SRV.") && !strings.HasPrefix(m.Subject, "_INBOX.") {
			seen[m.Subject]++
		}
	}
	if diff := cmp.Diff(map[string]int{"acme.x": 4}, seen); diff != "" {
		t.Errorf("published (-want +got)\n%s", diff)
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]bool{false, false, false, false, true, true}, got); diff != "" {
		t.Errorf("calls executed (-want +got)\n%s", diff)
	}
	if !strings.Contains(logged.String(), "STREAM.PURGE") {
		t.Error("nothing was logged")
	}
}

func TestFront_Limit(t *testing.T) {
	s := callServer(t)
	held := make(chan *actor.Request, 10)
	host := echoHost("n1")
	host.call = func(req *actor.Request) { held <- req }
	startFront(t, s, "n1", host, allPartitions, func(c *FrontConfig) { c.MaxCalls = 1 })
	nc := natstest.Connect(t, s)
	type answered struct {
		m   *nats.Msg
		err error
	}
	first := make(chan answered, 1)
	go func() {
		m, err := nc.Request("call.tally.alice.add", nil, time.Minute)
		first <- answered{m, err}
	}()
	req := <-held
	m := request(t, nc, "call.tally.bob.add", "")
	if got, want := string(m.Data), `"details":{"limit":"calls"}`; m.Header.Get(HeaderErrorCode) != "429" || !strings.Contains(got, want) {
		t.Errorf("got %s", got)
	}
	req.Reply(&actor.Outcome{Result: json.RawMessage(`1`)})
	if a := <-first; a.err != nil {
		t.Fatal(a.err)
	} else if string(a.m.Data) != "1" {
		t.Errorf("got %s", a.m.Data)
	}
}

func TestFront_Forward(t *testing.T) {
	s := callServer(t)
	addr := actor.Address{Type: "tally", Key: "alice"}
	p := router.Partition(addr, 4)
	never := echoHost("n1")
	never.call = func(*actor.Request) { t.Error("the node that does not own the partition executes the call") }
	startFront(t, s, "n1", never, nil)
	nc := natstest.Connect(t, s)

	// timely is the answer to a call that has little time. 504 says only that an owner was being asked when time was up.
	timely := func(t *testing.T) (m *nats.Msg) {
		t.Helper()
		for range 50 {
			m = request(t, nc, "call.tally.alice.add", "", HeaderTimeout, "100ms")
			if m.Header.Get(HeaderErrorCode) != "504" {
				break
			}
		}
		return m
	}

	t.Run("no owner", func(t *testing.T) {
		if m := timely(t); m.Header.Get(HeaderErrorCode) != "503" {
			t.Errorf("got %s", m.Data)
		}
	})

	ids := make(chan string, 10)
	host := echoHost("n2")
	answer := host.call
	refusals := 2
	host.call = func(req *actor.Request) {
		ids <- req.Header.CallID
		if refusals > 0 {
			refusals--
			req.Reply(&actor.Outcome{Err: actor.Errorf(actor.CodeUnavailable, "not yet")})
			return
		}
		answer(req)
	}
	owner := NewFront(FrontConfig{Conn: natstest.Connect(t, s), Replies: natstest.Connect(t, s), Partitions: 4, Node: "n2", Host: host})
	time.AfterFunc(50*time.Millisecond, func() {
		if err := owner.Own(p); err != nil {
			t.Error(err)
		}
	})
	m := request(t, nc, "call.tally.alice.add", `{"n":2}`)
	if got, want := string(m.Data), `{"hook":"add","key":"alice","payload":"{\"n\":2}"}`; got != want || m.Header.Get(HeaderNode) != "n2" {
		t.Errorf("got %s %v, want %s", got, m.Header, want)
	}
	first := <-ids
	if first == "" || first != <-ids || first != <-ids {
		t.Error("the call id changes between repetitions, or there is none")
	}

	t.Run("wrong partition", func(t *testing.T) {
		subject := "own." + strconv.Itoa(p) + ".call.tally."
		for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
			if router.Partition(actor.Address{Type: "tally", Key: key}, 4) != p {
				subject += key
				break
			}
		}
		if m := request(t, nc, subject+".add", ""); m.Header.Get(HeaderErrorCode) != "503" { // of a client that knows another number

			t.Errorf("got %s", m.Data)
		}
	})
	t.Run("unknown verb", func(t *testing.T) {
		for _, rest := range []string{"steal.x", "steal.tally.alice.add", "call.tally.$type.$describe"} {
			if m := request(t, nc, "own."+strconv.Itoa(p)+"."+rest, ""); m.Header.Get(HeaderErrorCode) != "400" {
				t.Errorf("%s: got %s", rest, m.Data)
			}
		}
	})
	t.Run("disowned", func(t *testing.T) {
		owner.Disown(p)
		if m := timely(t); m.Header.Get(HeaderErrorCode) != "503" || owner.Owns(p) {
			t.Errorf("got %s", m.Data)
		}
	})
}

// TestFront_Types has two nodes during a rolling deploy: only one hosts the new type, and the other owns everything.
func TestFront_Types(t *testing.T) {
	s := callServer(t)
	either := func(typ string) bool { return typ == "tally" || typ == "other" }
	old, next := echoHost("n1"), echoHost("n2")
	old.elsewhere, next.hosts = either, either
	next.describe = func(typ string) (json.RawMessage, bool) {
		return json.RawMessage(`{"type":"` + typ + `","new":true}`), either(typ)
	}
	startFront(t, s, "n1", old, allPartitions, func(c *FrontConfig) { c.Types = either })
	startFront(t, s, "n2", next, nil, func(c *FrontConfig) { c.Types = func(string) bool { return false } }) // as without leases
	nc := natstest.Connect(t, s)
	for range 20 { // each reaches either node
		if m := request(t, nc, "call.other.$type.$describe", ""); string(m.Data) != `{"type":"other","new":true}` || m.Header.Get(HeaderNode) != "n2" {
			t.Fatalf("describe: got %s %v", m.Data, m.Header)
		}
		if m := request(t, nc, "call.nothing.$type.$describe", ""); m.Header.Get(HeaderErrorCode) != "404" {
			t.Fatalf("describe of no type: got %s", m.Data)
		}
		m := request(t, nc, "call.other.alice.add", "", HeaderTimeout, "20ms")
		if code := m.Header.Get(HeaderErrorCode); code != "503" && code != "504" { // 504: the owner was being asked when time was up
			t.Fatalf("an owner without the type: got %s", m.Data)
		}
		if m := request(t, nc, "call.nothing.alice.add", ""); m.Header.Get(HeaderErrorCode) != "404" {
			t.Fatalf("no type: got %s", m.Data)
		}
		if m := request(t, nc, "own."+strconv.Itoa(router.Partition(actor.Address{Type: "nothing", Key: "x"}, 4))+".call.nothing.x.add", ""); m.Header.Get(HeaderErrorCode) != "404" {
			t.Fatalf("an owner without the type that nobody has: got %s", m.Data)
		}
	}
}

func TestFront_Services(t *testing.T) {
	s := callServer(t)
	startFront(t, s, "n1", echoHost("n1"), allPartitions, func(c *FrontConfig) { c.Version = "1.2.3" })
	nc := natstest.Connect(t, s)
	request(t, nc, "call.tally.alice.add", "")
	request(t, nc, "call.nothing.alice.add", "")
	var ping micro.Ping
	decode(t, request(t, nc, "$SRV.PING", ""), &ping)
	if ping.Name != "perdure" || ping.Version != "1.2.3" || ping.Metadata["node"] != "n1" || ping.Type != micro.PingResponseType {
		t.Errorf("got %+v", ping)
	}
	var info micro.Info
	decode(t, request(t, nc, "$SRV.INFO.perdure", ""), &info)
	if len(info.Endpoints) != 1 || info.Endpoints[0].Subject != "call.*.*.*" || info.Endpoints[0].Name != "call" {
		t.Errorf("got %+v", info)
	}
	var stats micro.Stats
	decode(t, request(t, nc, "$SRV.STATS.perdure."+ping.ID, ""), &stats)
	if len(stats.Endpoints) != 1 || stats.Endpoints[0].NumRequests != 1 {
		t.Errorf("got %+v", stats)
	}
}

func decode(t *testing.T, m *nats.Msg, v any) {
	t.Helper()
	if err := json.Unmarshal(m.Data, v); err != nil {
		t.Fatalf("%s: %v", m.Data, err)
	}
}

func FuzzHookName(f *testing.F) {
	for _, s := range []string{"add", "$state", "$", "", "9", "a.b", "ä", "$$x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if hookName(s) && !literalSubject(s) {
			t.Errorf("%q passes as a hook and is no subject token", s)
		}
	})
}
