package jetstream

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/router"
)

func provision(t testing.TB, nc *nats.Conn, cfg Config) *Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	s, err := Provision(ctx, nc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newJS(t testing.TB, nc *nats.Conn) js.JetStream {
	t.Helper()
	j, err := js.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestProvision(t *testing.T) {
	for _, prefix := range []string{"", "acme"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			srv := natstest.Server(t)
			nc := natstest.Connect(t, srv)
			s := provision(t, nc, Config{Prefix: prefix, Partitions: 16, LogStreams: 3})
			j := newJS(t, nc)
			var got []string
			for name := range j.StreamNames(t.Context()).Name() {
				got = append(got, name)
			}
			n := s.Names()
			slices.Sort(got)
			want := []string{
				"KV_" + n.LeasesBucket(), "KV_" + n.MetaBucket(), "KV_" + n.PartitionsBucket(), "KV_" + n.TokensBucket(),
				n.BlobsStream(), n.DeadStream(), n.InboxStream(), n.LogStream(0), n.LogStream(1), n.LogStream(2), n.OutStream(), n.TimersStream(),
			}
			slices.Sort(want)
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("streams (-got +want):\n%s", diff)
			}
			for p := range 16 {
				name, err := j.StreamNameBySubject(t.Context(), strings.ReplaceAll(n.LogAll(p), "*", "x"))
				if err != nil || name != s.LogStreamOf(p) {
					t.Errorf("partition %d is in %s (%v), want %s", p, name, err, s.LogStreamOf(p))
				}
			}
			again := provision(t, nc, Config{Prefix: prefix})
			if again.Partitions() != 16 || again.LogStreams() != 3 || !again.Created().Equal(s.Created()) || s.Created().IsZero() {
				t.Errorf("opened again: %+v", again.meta)
			}
		})
	}
}

func TestProvision_twoPrefixes(t *testing.T) {
	nc := natstest.Connect(t, natstest.Server(t))
	provision(t, nc, Config{})
	provision(t, nc, Config{Prefix: "acme"})
	provision(t, nc, Config{Prefix: "call", LogStreams: 1, Partitions: 2})
}

func TestProvision_restart(t *testing.T) {
	dir := t.TempDir()
	srv := natstest.Start(t, natstest.Options(dir))
	provision(t, natstest.Connect(t, srv), Config{})
	natstest.Stop(srv)
	start := time.Now()
	provision(t, natstest.Connect(t, natstest.Start(t, natstest.Options(dir))), Config{})
	t.Logf("restart and verification took %v", time.Since(start))
}

func TestProvision_concurrent(t *testing.T) {
	srv := natstest.Server(t)
	var g errgroup.Group
	for range 8 {
		nc := natstest.Connect(t, srv)
		g.Go(func() error {
			_, err := Provision(t.Context(), nc, Config{Partitions: 8})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestProvision_refuses(t *testing.T) {
	made := func(cfg js.StreamConfig) func(*testing.T, js.JetStream) {
		return func(t *testing.T, j js.JetStream) {
			if _, err := j.CreateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		}
	}
	wroteMeta := func(value string) func(*testing.T, js.JetStream) {
		return func(t *testing.T, j js.JetStream) {
			kv, err := j.CreateKeyValue(t.Context(), js.KeyValueConfig{Bucket: "PERDURE_META"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := kv.Put(t.Context(), "store", []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
	}
	was := func(cfg Config) func(*testing.T, js.JetStream) {
		return func(t *testing.T, j js.JetStream) { provision(t, j.Conn(), cfg) }
	}
	for name, c := range map[string]struct {
		before func(*testing.T, js.JetStream)
		cfg    Config
		want   error
		text   []string
	}{
		"overlap":              {before: made(js.StreamConfig{Name: "ORDERS", Subjects: []string{"hook.>"}}), want: ErrIncompatible, text: []string{"ORDERS", "--prefix"}},
		"overlap with log":     {before: made(js.StreamConfig{Name: "LOGS", Subjects: []string{"log.>"}}), want: ErrIncompatible, text: []string{"LOGS", "--prefix"}},
		"overlap with calls":   {before: made(js.StreamConfig{Name: "CALLS", Subjects: []string{"call.>"}}), want: ErrIncompatible, text: []string{"CALLS", "call.*.*.*", "--prefix"}},
		"overlap with owners":  {before: made(js.StreamConfig{Name: "OWN", Subjects: []string{"own.>"}}), want: ErrIncompatible, text: []string{"OWN", "--prefix"}},
		"overlap with outputs": {before: made(js.StreamConfig{Name: "OUTS", Subjects: []string{"out.counter.>"}}), want: ErrIncompatible, text: []string{"OUTS", "--prefix"}},
		"overlap with buckets": {before: made(js.StreamConfig{Name: "ALL", Subjects: []string{"$KV.>"}}), want: ErrIncompatible, text: []string{"ALL", "--prefix"}},
		"overlap with all":     {before: made(js.StreamConfig{Name: "ALL", Subjects: []string{">"}, NoAck: true}), want: ErrIncompatible, text: []string{"ALL", "--prefix"}},
		"overlap with a prefix": {
			before: made(js.StreamConfig{Name: "ACME", Subjects: []string{"acme.>"}}), cfg: Config{Prefix: "acme"},
			want: ErrIncompatible, text: []string{"ACME", "another prefix than --prefix acme"},
		},
		"other stream":     {before: made(js.StreamConfig{Name: "PERDURE_INBOX", Subjects: []string{"foo"}}), want: ErrIncompatible, text: []string{"PERDURE_INBOX", "foo", "--prefix"}},
		"newer format":     {before: wroteMeta(`{"format":2,"partitions":64,"log_streams":4}`), want: ErrNewerFormat, text: []string{"format 2 is newer", "upgrade"}},
		"broken meta":      {before: wroteMeta(`[]`), want: ErrIncompatible, text: []string{"PERDURE_META"}},
		"other partitions": {before: was(Config{Partitions: 8}), cfg: Config{Partitions: 16}, want: ErrIncompatible, text: []string{"8 partitions, not 16"}},
		"other streams":    {before: was(Config{Partitions: 8}), cfg: Config{LogStreams: 5}, want: ErrIncompatible, text: []string{"4 log streams, not 5"}},
		"bad prefix":       {cfg: Config{Prefix: "a.b"}, text: []string{`"a.b"`}},
		"bad partitions":   {cfg: Config{Partitions: -1}, text: []string{"partitions"}},
		"no cluster":       {cfg: Config{Replicas: 3}, text: []string{"replicas"}},
		"few partitions":   {cfg: Config{Partitions: 2, LogStreams: 3}, text: []string{"log streams"}},
	} {
		t.Run(name, func(t *testing.T) {
			nc := natstest.Connect(t, natstest.Server(t))
			if c.before != nil {
				c.before(t, newJS(t, nc))
			}
			_, err := Provision(t.Context(), nc, c.cfg)
			if err == nil || (c.want != nil && !errors.Is(err, c.want)) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			for _, text := range c.text {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			t.Log(err)
		})
	}
}

func TestProvision_noServer(t *testing.T) {
	opts := natstest.Options(t.TempDir())
	opts.JetStream = false
	nc := natstest.Connect(t, natstest.Start(t, opts))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := Provision(ctx, nc, Config{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	t.Log(err)
}

func TestProvision_smallServer(t *testing.T) {
	opts := natstest.Options(t.TempDir())
	opts.JetStreamMaxStore = 64 << 20
	nc := natstest.Connect(t, natstest.Start(t, opts))
	s := provision(t, nc, Config{})
	info, err := s.js.Stream(t.Context(), s.names.InboxStream())
	if err != nil {
		t.Fatal(err)
	}
	if got := info.CachedInfo().Config.MaxBytes; got != 16<<20 {
		t.Errorf("inbox is bounded by %d", got)
	}
}

// TestProvision_smallCluster: a bound that no server has room for makes room.
func TestProvision_smallCluster(t *testing.T) {
	servers := natstest.Cluster(t, func(o *server.Options) { o.JetStreamMaxStore = 64 << 20 })
	s := provision(t, natstest.Connect(t, servers[0]), Config{Replicas: 3})
	info, err := s.js.Stream(t.Context(), s.names.InboxStream())
	if err != nil {
		t.Fatal(err)
	}
	if c := info.CachedInfo().Config; c.MaxBytes != 16<<20 || c.Replicas != 3 {
		t.Errorf("inbox is bounded by %d, %d replicas", c.MaxBytes, c.Replicas)
	}
}

func TestProvision_leaseTTL(t *testing.T) {
	nc := natstest.Connect(t, natstest.Server(t))
	longest := time.Duration(0) // a node with a longer one may live, and renews its lease less often
	for _, ttl := range []time.Duration{0, 3 * time.Second, time.Minute, time.Second} {
		s := provision(t, nc, Config{LeaseTTL: ttl})
		longest = max(longest, leasesKept*s.LeaseTTL())
		status, err := s.LeasesBucket().Status(t.Context())
		if err != nil || status.TTL() != longest || status.LimitMarkerTTL() != longest {
			t.Errorf("%v: %v, markers %v, %v", ttl, status.TTL(), status.LimitMarkerTTL(), err)
		}
	}
}

// TestProvision_leasesMadeAgain: whichever node makes a lost bucket again, leases live as long as they say.
func TestProvision_leasesMadeAgain(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := natstest.Bubble(t)
		ctx := t.Context()
		var all []*Leases
		for _, ttl := range []time.Duration{2 * time.Second, time.Minute} {
			nc := natstest.Connect(t, s)
			leases, err := provision(t, nc, Config{LeaseTTL: ttl}).LeasesOn(ctx, nc)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, leases)
		}
		if err := provision(t, natstest.Connect(t, s), Config{LeaseTTL: time.Minute}).js.DeleteKeyValue(ctx, all[0].kv.Bucket()); err != nil {
			t.Fatal(err)
		}
		if _, err := all[0].Create(ctx, router.Lease{Node: "short", Session: "s"}); err != nil {
			t.Fatal(err)
		}
		long := router.Lease{Node: "long", Session: "l"}
		var err error
		if long.Revision, err = all[1].Create(ctx, long); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute / 5)
		if _, err := all[1].Renew(ctx, long); err != nil {
			t.Errorf("a fifth of its TTL later: %v", err)
		}
	})
}

// TestProvision_refusesFirst: what is refused leaves nothing behind.
func TestProvision_refusesFirst(t *testing.T) {
	nc := natstest.Connect(t, natstest.Server(t))
	j := newJS(t, nc)
	if _, err := j.CreateStream(t.Context(), js.StreamConfig{Name: "LOGS", Subjects: []string{"log.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := Provision(t.Context(), nc, Config{}); !errors.Is(err, ErrIncompatible) {
		t.Fatal(err)
	}
	var names []string
	for name := range j.StreamNames(t.Context()).Name() {
		names = append(names, name)
	}
	if len(names) != 1 {
		t.Errorf("there are streams %q", names)
	}
}

// TestProvision_unfit: a stream that could not keep what is written to it is not used.
func TestProvision_unfit(t *testing.T) {
	for name, change := range map[string]func(*js.StreamConfig){
		"memory":      func(c *js.StreamConfig) { c.Storage = js.MemoryStorage },
		"deny delete": func(c *js.StreamConfig) { c.DenyDelete = true },
		"deny purge":  func(c *js.StreamConfig) { c.DenyPurge = true },
		"async":       func(c *js.StreamConfig) { c.PersistMode = js.AsyncPersistMode },
		"tiny":        func(c *js.StreamConfig) { c.MaxMsgSize = 100 },
		"message TTL": func(c *js.StreamConfig) { c.AllowMsgTTL = true },
		"one each":    func(c *js.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"aging":       func(c *js.StreamConfig) { c.MaxAge = time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			nc := natstest.Connect(t, natstest.Server(t))
			s := &Store{nc: nc, js: newJS(t, nc), cfg: Config{}.withDefaults(), meta: meta{Partitions: 4, LogStreams: 1}}
			for _, cfg := range s.streams() {
				if cfg.Name != s.names.LogStream(0) {
					continue
				}
				change(&cfg)
				if _, err := s.js.CreateStream(t.Context(), cfg); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Provision(t.Context(), nc, Config{Partitions: 4, LogStreams: 1})
			if !errors.Is(err, ErrIncompatible) || !strings.Contains(err.Error(), s.names.LogStream(0)) {
				t.Errorf("got %v", err)
			}
			t.Log(err)
		})
	}
}

// TestProvision_lost: what is gone is not made anew, empty, as if nothing had been in it.
func TestProvision_lost(t *testing.T) {
	for _, lost := range []string{"PERDURE_LOG_2", "KV_PERDURE_PARTITIONS", "KV_PERDURE_TOKENS", "KV_PERDURE_META"} {
		t.Run(lost, func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				nc := natstest.Connect(t, natstest.Bubble(t))
				s := provision(t, nc, Config{})
				if err := s.js.DeleteStream(t.Context(), lost); err != nil {
					t.Fatal(err)
				}
				_, err := Provision(t.Context(), nc, Config{})
				if !errors.Is(err, ErrIncompatible) || !strings.Contains(err.Error(), strings.TrimPrefix(lost, "KV_")) {
					t.Fatal(err)
				}
				t.Log(err)
			})
		})
	}
}

// TestProvision_interrupted: what a node left half made is completed by the next.
func TestProvision_interrupted(t *testing.T) {
	nc := natstest.Connect(t, natstest.Server(t))
	s := &Store{nc: nc, js: newJS(t, nc), cfg: Config{Partitions: 8}.withDefaults()}
	if err := s.provisionMeta(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.createStream(t.Context(), s.streams()[0]); err != nil {
		t.Fatal(err)
	}
	if got := provision(t, nc, Config{}).Partitions(); got != 8 {
		t.Errorf("%d partitions", got)
	}
}

func FuzzParseMeta(f *testing.F) {
	f.Add([]byte(`{"format":1,"partitions":64,"log_streams":4,"created":"2026-11-23T10:00:00Z"}`))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		m, err := parseMeta(value)
		if err == nil && (m.LogStreams > m.Partitions || m.Partitions > maxPartitions || m.Partitions < 1) {
			t.Errorf("%s gives %+v", value, m)
		}
	})
}

// TestProvision_oldBlobs opens a store whose parts of large records had no subject for each append.
func TestProvision_oldBlobs(t *testing.T) {
	s := natstest.Server(t)
	nc := natstest.Connect(t, s)
	store := provision(t, nc, Config{})
	stream, err := store.js.Stream(short(t), store.names.BlobsStream())
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Subjects = []string{store.names.BlobOld()}
	if _, err := store.js.UpdateStream(short(t), cfg); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		provision(t, nc, Config{})
		if stream, err = store.js.Stream(short(t), store.names.BlobsStream()); err != nil || len(stream.CachedInfo().Config.Subjects) != 2 {
			t.Errorf("its subjects are %v, %v", stream.CachedInfo().Config.Subjects, err)
		}
	}
}
