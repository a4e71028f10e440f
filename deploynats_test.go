package perdure_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

var talk = actor.NewStream[string]("default")

// newTalker is an object that uses what a node has rights for: a step that writes a stream, a large call, a token, a timer.
func newTalker() (*actor.Workflow[actor.None, actor.None], *actor.Hook[string, int]) {
	say := actor.NewHook[string, int]("say")
	speak := actor.NewStep("speak", func(ctx context.Context, text string) (int, error) {
		return len(text), talk.Write(ctx, text[:1])
	})
	return actor.NewWorkflow("talker", func(ctx actor.Context, _ actor.None) (actor.None, error) {
		for call, err := range say.Create(ctx, actor.Token("talk")).All(ctx) {
			if err != nil {
				return actor.None{}, err
			}
			n, err := speak.Run(ctx, call.Payload)
			if err != nil {
				return actor.None{}, err
			}
			if err := actor.Sleep(ctx, time.Second); err != nil {
				return actor.None{}, err
			}
			call.Reply(ctx, n)
		}
		return actor.None{}, nil
	}, say, talk), say
}

// TestDeploy_natsServer runs nodes and callers on servers with the configuration that deploy/nats has.
func TestDeploy_natsServer(t *testing.T) {
	env, err := os.ReadFile("deploy/nats/env.example")
	fatal(t, err)
	for line := range strings.Lines(string(env)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			t.Setenv(name, value)
		}
	}
	var configured *server.Options
	servers := natstest.Cluster(t, func(o *server.Options) {
		configured, err = server.ProcessConfigFile("deploy/nats/nats-server.conf")
		fatal(t, err)
		o.Accounts, o.Users, o.SystemAccount, o.MaxPayload, o.SyncAlways = configured.Accounts, configured.Users, configured.SystemAccount, configured.MaxPayload, configured.SyncAlways
		o.Cluster.Username, o.Cluster.Password = configured.Cluster.Username, configured.Cluster.Password
		for _, route := range o.Routes {
			route.User = configured.Routes[0].User
		}
	})
	if len(configured.Routes) != 3 || configured.MaxPayload != 8<<20 || !configured.SyncAlways {
		t.Errorf("%d routes, %d bytes, sync always %v", len(configured.Routes), configured.MaxPayload, configured.SyncAlways)
	}
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.ClientURL())
	}
	said := &log{}
	def := newTally()
	talker, say := newTalker()
	cfg := perdure.Config{
		NATS: urls, Name: "a", Replicas: 3, Security: perdure.Security{User: "node", Password: "change-me-1"},
		Logger: slog.New(slog.NewTextHandler(said, nil)),
	}
	start(t, cfg, def, talker)

	denied := make(chan error, 10)
	nc, err := nats.Connect(urls[1], nats.UserInfo("caller", "change-me-2"), nats.Timeout(time.Minute),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	fatal(t, err)
	defer nc.Close()
	client := perdure.NewClient(nc)
	if n, err := def.add.Call(t.Context(), client, "bob", amount{1}); err != nil || n != 1 {
		t.Errorf("call: %d, %v", n, err)
	}
	if _, err := def.add.Send(t.Context(), client, "bob", amount{1}); err != nil {
		t.Errorf("send: %v", err)
	}
	large := strings.Repeat("x", 1<<20)
	if n, err := say.Call(t.Context(), client, talker.At("ann"), large); err != nil || n != len(large) {
		t.Errorf("call with a step, a stream and a sleep: %d, %v", n, err)
	}
	for text, err := range talk.Read(t.Context(), client, talker.At("ann"), 0) {
		if text != "x" || err != nil {
			t.Errorf("stream: %q, %v", text, err)
		}
		break
	}
	select {
	case err := <-denied:
		t.Errorf("what callers do is denied: %v", err)
	default:
	}
	fatal(t, nc.Publish("log.0.tally.bob", nil))
	select {
	case err := <-denied:
		t.Log(err)
	case <-time.After(30 * time.Second):
		t.Error("a caller may write a log")
	}
	if text := said.String(); strings.Contains(strings.ToLower(text), "violation") {
		t.Errorf("what a node does is denied: %s", text)
	}
}

// log keeps what is logged.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
