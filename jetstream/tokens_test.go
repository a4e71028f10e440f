package jetstream

import (
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure/actor"
)

func testTokens(t *testing.T, r *rig) {
	tokens, ctx := r.store.Tokens(), short(t)
	a := actor.TokenHolder{Run: "x/a", Hook: "h", Incarnation: "1"}
	b := actor.TokenHolder{Run: "x/b", Hook: "h", Incarnation: "2"}
	for _, token := range []string{"order:1", strings.Repeat("ä", 128), " .*>\x00"} {
		if _, ok, err := tokens.Resolve(ctx, token); ok || err != nil {
			t.Fatalf("%q is held before: %v", token, err)
		}
		claim := func(holder, want actor.TokenHolder) {
			t.Helper()
			if got, err := tokens.Claim(ctx, token, holder); err != nil || got != want {
				t.Fatalf("claim %q for %v: %v, %v", token, holder, got, err)
			}
		}
		claim(a, a)
		claim(a, a)
		claim(b, a)
		if err := tokens.Release(ctx, token, b); err != nil { // not its own
			t.Fatal(err)
		}
		if got, ok, err := tokens.Resolve(ctx, token); !ok || err != nil || got != a {
			t.Fatalf("%q: %v %v %v", token, got, ok, err)
		}
		for range 2 {
			if err := tokens.Release(ctx, token, a); err != nil {
				t.Fatal(err)
			}
		}
		claim(b, b)
	}
	testTokensContested(t, tokens)
}

// testTokensContested lets many runs claim one token: all are told the same holder.
func testTokensContested(t *testing.T, tokens *Tokens) {
	var (
		g    errgroup.Group
		mu   sync.Mutex
		seen = map[actor.TokenHolder]int{}
	)
	ctx := short(t)
	for i := range 8 {
		g.Go(func() error {
			got, err := tokens.Claim(ctx, "contested", actor.TokenHolder{Run: "x/" + string(rune('a'+i))})
			mu.Lock()
			defer mu.Unlock()
			seen[got]++
			return err
		})
	}
	if err := g.Wait(); err != nil || len(seen) != 1 {
		t.Errorf("%v, %v", seen, err)
	}
}

func FuzzParseHolder(f *testing.F) {
	f.Add([]byte(`{"run":"a/b","hook":"h","incarnation":"i"}`))
	f.Fuzz(func(_ *testing.T, value []byte) {
		_, _ = parseHolder(value)
	})
}

func FuzzTokenKey(f *testing.F) {
	f.Add("order:1", "order:2")
	f.Fuzz(func(t *testing.T, a, b string) {
		if (a == b) != (tokenKey(a) == tokenKey(b)) {
			t.Errorf("%q and %q have keys %q and %q", a, b, tokenKey(a), tokenKey(b))
		}
		if strings.Trim(tokenKey(a), "0123456789abcdefghijklmnopqrstuv") != "" {
			t.Errorf("%q has key %q", a, tokenKey(a))
		}
	})
}
