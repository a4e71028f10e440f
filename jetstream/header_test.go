package jetstream

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

func TestParseCallHeader(t *testing.T) {
	for name, c := range map[string]struct {
		in      nats.Header
		want    actor.CallHeader
		problem string // a part of it
	}{
		"none": {},
		"all": {
			in: nats.Header{
				HeaderCallID: {"c1"}, nats.MsgIdHdr: {"m1"}, HeaderTimeout: {"1m5s"}, HeaderReplyTo: {"_INBOX.x.1"}, HeaderAfter: {"42"},
				HeaderWait: {"end"}, HeaderTraceparent: {"00-aa-bb-01"}, HeaderTracestate: {"a=b"},
			},
			want: actor.CallHeader{
				CallID: "c1", Timeout: 65 * time.Second, ReplyTo: "_INBOX.x.1", After: 42, Wait: actor.WaitEnd,
				Trace: []string{"00-aa-bb-01", "a=b"},
			},
		},
		"msg id":             {in: nats.Header{nats.MsgIdHdr: {"m1"}}, want: actor.CallHeader{CallID: "m1"}},
		"long call id":       {in: nats.Header{HeaderCallID: {strings.Repeat("x", 257)}}, problem: HeaderCallID},
		"longest call id":    {in: nats.Header{HeaderCallID: {strings.Repeat("x", 256)}}, want: actor.CallHeader{CallID: strings.Repeat("x", 256)}},
		"long msg id":        {in: nats.Header{nats.MsgIdHdr: {strings.Repeat("x", 257)}}, problem: nats.MsgIdHdr},
		"binary call id":     {in: nats.Header{HeaderCallID: {"\xff"}}, problem: HeaderCallID},
		"timeout number":     {in: nats.Header{HeaderTimeout: {"5"}}, problem: HeaderTimeout},
		"timeout 0":          {in: nats.Header{HeaderTimeout: {"0s"}}, problem: HeaderTimeout},
		"timeout negative":   {in: nats.Header{HeaderTimeout: {"-1s"}}, problem: HeaderTimeout},
		"timeout 24h":        {in: nats.Header{HeaderTimeout: {"24h"}}, want: actor.CallHeader{Timeout: 24 * time.Hour}},
		"timeout over":       {in: nats.Header{HeaderTimeout: {"24h0m0.1s"}}, problem: HeaderTimeout},
		"after negative":     {in: nats.Header{HeaderAfter: {"-1"}}, problem: HeaderAfter},
		"wait unknown":       {in: nats.Header{HeaderWait: {"forever"}}, problem: HeaderWait},
		"reply-to wild":      {in: nats.Header{HeaderReplyTo: {"_INBOX.>"}}, problem: HeaderReplyTo},
		"reply-to space":     {in: nats.Header{HeaderReplyTo: {"a b"}}, problem: HeaderReplyTo},
		"state alone":        {in: nats.Header{HeaderTracestate: {"a=b"}}},
		"two problems":       {in: nats.Header{HeaderAfter: {"x"}, HeaderTimeout: {"y"}}, problem: "; "},
		"others still there": {in: nats.Header{HeaderAfter: {"x"}, HeaderCallID: {"c"}}, want: actor.CallHeader{CallID: "c"}, problem: HeaderAfter},
	} {
		t.Run(name, func(t *testing.T) {
			got := ParseCallHeader(c.in)
			if (got.Problem != "") != (c.problem != "") || !strings.Contains(got.Problem, c.problem) {
				t.Errorf("problem %q, want %q in it", got.Problem, c.problem)
			}
			got.Problem = ""
			if diff := cmp.Diff(got, c.want); diff != "" {
				t.Errorf("(-got +want):\n%s", diff)
			}
		})
	}
}

func FuzzParseCallHeader(f *testing.F) {
	f.Add("c1", "m1", "5s", "_INBOX.x", "3", "end", "00-1-2-3", "a=b")
	f.Add("", "m1", "1ns", "a..b", "-3", "x", "", "a=b")
	f.Fuzz(func(t *testing.T, id, msgID, timeout, replyTo, after, wait, parent, state string) {
		h := nats.Header{
			HeaderCallID: {id}, nats.MsgIdHdr: {msgID}, HeaderTimeout: {timeout}, HeaderReplyTo: {replyTo},
			HeaderAfter: {after}, HeaderWait: {wait}, HeaderTraceparent: {parent}, HeaderTracestate: {state},
		}
		c := ParseCallHeader(h)
		c.Problem = ""
		if diff := cmp.Diff(ParseCallHeader(FormatCallHeader(c)), c); diff != "" {
			t.Errorf("does not come back (-got +want):\n%s", diff)
		}
	})
}
