package jetstream

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/actor"
)

func mustNames(t testing.TB, prefix string) Names {
	t.Helper()
	n, err := NewNames(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNames_subjects(t *testing.T) {
	n := mustNames(t, "acme")
	a := actor.Address{Type: "counter", Key: "a.b c"}
	got := []string{
		n.Log(7, a), n.LogAll(7), n.Blob(7, a, ""), n.Blob(7, a, "3-i-f"), n.Fire(7, a), n.Timer(7, a, "x.1"), n.Call(a, "action"), n.Hook(a, "action"),
		n.Own(7, "call", "counter", "k", "h"), n.Dead("counter", "a.b"), n.Emit(a, "default"), n.Out(a, "default"),
		n.Call(actor.Address{Type: "counter", Key: actor.KeyType}, actor.HookDescribe),
		n.Call(actor.Address{Type: "counter", Key: actor.KeyType}, "action"),
		n.Call(actor.Address{Type: actor.TypeToken, Key: "counter:x/y"}, actor.HookResume),
	}
	want := []string{
		"acme.log.7.counter.a%2Eb%20c", "acme.log.7.*.*", "acme.blob.7.counter.a%2Eb%20c", "acme.blob.7.counter.a%2Eb%20c.3-i-f", "acme.fire.7.counter.a%2Eb%20c",
		"acme.timer.7.counter.a%2Eb%20c.x%2E1", "acme.call.counter.a%2Eb%20c.action", "acme.hook.counter.a%2Eb%20c.action",
		"acme.own.7.call.counter.k.h", "acme.dead.counter.a%2Eb", "acme.emit.counter.a%2Eb%20c.default", "acme.out.counter.a%2Eb%20c.default",
		"acme.call.counter.$type.$describe", "acme.call.counter.%24type.action", "acme.call.$token.counter:x%2Fy.$resume",
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

func TestNames_Dead_anyText(t *testing.T) {
	var n Names
	for _, key := range []string{"", "a.b.*", "\r\n", "\xff", strings.Repeat("x", 5000)} {
		s := n.Dead("$token", key)
		if !literalSubject(s) || strings.Count(s, ".") != 2 || len(s) > maxSubjectLen {
			t.Errorf("Dead(%q) = %q", key, s)
		}
	}
}

func TestTarget_Address(t *testing.T) {
	for _, c := range []struct {
		target Target
		want   actor.Address
		bad    bool
	}{
		{target: Target{"counter", "a%2Eb", "h"}, want: actor.Address{Type: "counter", Key: "a.b"}},
		{target: Target{"$token", "counter:x%2Fy", "$resume"}, want: actor.Address{Type: "$token", Key: "counter:x/y"}},
		{target: Target{"counter", "$type", "$describe"}, want: actor.Address{Type: "counter", Key: "$type"}},
		{target: Target{"counter", "a%2eb", "h"}, bad: true},
		{target: Target{"counter", "%61", "h"}, bad: true},
		{target: Target{"counter", "$x", "h"}, bad: true},
		{target: Target{"Counter", "x", "h"}, bad: true},
		{target: Target{"Counter", "$type", "h"}, bad: true},
		{target: Target{"$token", "%", "h"}, bad: true},
		{target: Target{"counter", strings.Repeat("a", 257), "h"}, bad: true},
	} {
		got, err := c.target.Address()
		if (err != nil) != c.bad || (err == nil && got != c.want) {
			t.Errorf("%+v: %v, %v", c.target, got, err)
		}
	}
}

func FuzzNames_parse(f *testing.F) {
	for _, s := range []string{"log.1.counter.a", "in.3.$token.x.$resume", "call.c.k.h", "fire.0.a.b", "own.1.call.a.b.c", "out.a.b.c", "log.01.a.b", "log.-1.a.b", "log.1.a.%2e"} {
		f.Add(s, "")
		f.Add("acme."+s, "acme")
	}
	f.Fuzz(func(t *testing.T, subject, prefix string) {
		n, err := NewNames(prefix)
		if err != nil {
			return
		}
		same := func(what, got string) {
			if got != subject {
				t.Errorf("%s: %q comes back as %q", what, subject, got)
			}
		}
		if p, a, err := n.ParseLog(subject); err == nil {
			same("log", n.Log(p, a))
		}
		if p, a, err := n.ParseFire(subject); err == nil {
			same("fire", n.Fire(p, a))
		}
		if a, s, err := n.ParseOut(subject); err == nil && a.Key != actor.KeyType {
			same("out", n.Out(a, s))
		}
		if p, verb, tokens, err := n.ParseOwn(subject); err == nil {
			same("own", n.Own(p, verb, tokens...))
		}
		if target, err := n.ParseCall(subject); err == nil {
			if a, err := target.Address(); err == nil && !target.IsType() {
				same("call", n.Call(a, target.Hook))
			}
		}
		if _, target, err := n.ParseIn(subject); err == nil {
			_, _ = target.Address()
		}
		_, _ = n.ParseHook(subject)
	})
}

func FuzzNames_address(f *testing.F) {
	f.Add("counter", "a.b", "id")
	f.Fuzz(func(t *testing.T, typ, key, id string) {
		a := actor.Address{Type: typ, Key: key}
		if a.Validate() != nil {
			return
		}
		var n Names
		for _, s := range []string{n.Log(1, a), n.Timer(1, a, id), n.Call(a, "h"), n.Hook(a, "h"), n.Dead(typ, key)} {
			if !literalSubject(s) {
				t.Errorf("%q is no subject", s)
			}
		}
		if p, got, err := n.ParseLog(n.Log(3, a)); err != nil || got != a || p != 3 {
			t.Errorf("log of %q: %d %v %v", a, p, got, err)
		}
	})
}
