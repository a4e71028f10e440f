package jetstream

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/router"
)

// incoming is a call on its way through the front.
type incoming struct {
	target    Target
	partition int
	req       *actor.Request
}

// public takes a message on a public call subject.
func (f *Front) public(m *nats.Msg) {
	target, err := f.cfg.Names.ParseCall(m.Subject)
	in, e := f.read(m, target, err)
	in.req.Reply = f.replier(m, nats.Header{HeaderPartitions: {strconv.Itoa(f.cfg.Partitions)}})
	if e == nil {
		e = f.route(in)
	}
	if e != nil {
		f.fail(in.req, e)
	}
}

// forOwner takes a message to the owner of a partition.
func (f *Front) forOwner(m *nats.Msg) {
	p, verb, tokens, err := f.cfg.Names.ParseOwn(m.Subject)
	var target Target
	switch {
	case err != nil:
	case len(tokens) != 3:
		err = fmt.Errorf("subject %q: owners take <verb>.<type>.<key>.<hook>", m.Subject)
	default:
		target = Target{Type: tokens[0], Key: tokens[1], Hook: tokens[2]}
	}
	in, e := f.read(m, target, err)
	in.req.Reply = f.replier(m, nil)
	if e == nil {
		e = f.toHost(in, p, verb, m.Header.Get(HeaderToken))
	}
	if e != nil {
		f.fail(in.req, e)
	}
}

// toHost gives the host what the owner of partition p is asked. Clients may use the verb for calls, so a token counts
// with the others only.
func (f *Front) toHost(in *incoming, p int, verb, token string) *actor.Error {
	switch {
	case in.target.IsType():
		return actor.Errorf(actor.CodeInvalid, "a type has no owner")
	case in.partition != p: // of a client that knows another number of partitions
		return actor.Errorf(actor.CodeUnavailable, "%s is in partition %d, not %d", in.req.Address, in.partition, p)
	case !f.Owns(p):
		return actor.Errorf(actor.CodeUnavailable, "this node does not own partition %d any more", p)
	}
	switch verb {
	case ownCall:
	case ownResume:
		in.req.Token = token
	case ownSend:
		in.req.Header.Token = token
	default:
		return actor.Errorf(actor.CodeInvalid, "owners take no %q", verb)
	}
	return f.execute(in.req)
}

// read makes the request that m is, save its Reply. The error is the caller's mistake; the request then serves to answer it.
func (f *Front) read(m *nats.Msg, target Target, problem error) (*incoming, *actor.Error) {
	in := &incoming{target: target, req: &actor.Request{Hook: target.Hook, Payload: m.Data, Received: time.Now()}}
	if limit := f.cfg.Conn.MaxPayload() - payloadMargin; int64(len(m.Data)) > limit {
		return in, tooLarge(len(m.Data), limit)
	}
	if problem == nil {
		in.req.Address, problem = target.Address()
	}
	if problem != nil {
		in.req.Address = actor.Address{}
		return in, actor.Errorf(actor.CodeInvalid, "%v", problem)
	}
	if !hookName(target.Hook) {
		return in, badHook(target.Hook)
	}
	in.req.Header = ParseCallHeader(m.Header)
	if p := in.req.Header.Problem; p != "" {
		return in, actor.Errorf(actor.CodeInvalid, "%s", p)
	}
	if to := in.req.Header.ReplyTo; to != "" && !f.cfg.Allowed.Allows(to) {
		return in, actor.Errorf(actor.CodeInvalid, "header %s: %q is not below _INBOX, nor below a prefix that this node allows", HeaderReplyTo, to)
	}
	in.partition = router.Partition(in.req.Address, f.cfg.Partitions)
	return in, nil
}

// route gives a public call to who answers it.
func (f *Front) route(in *incoming) *actor.Error {
	addr, hook := in.req.Address, in.req.Hook
	switch {
	case addr.Type == actor.TypeToken:
		if hook != actor.HookResume {
			return actor.Errorf(actor.CodeNotFound, "a token has no hook %s: only %s", hook, actor.HookResume)
		}
		in.req.Token = addr.Key
		return f.execute(in.req)
	case !f.cfg.Host.Hosts(addr.Type) && !f.cfg.Types(addr.Type):
		return actor.Errorf(actor.CodeNotFound, "no node hosts the type %s", addr.Type)
	case in.target.IsType():
		return f.describeType(in.req)
	case f.Owns(in.partition):
		in.req.OrForward(f.Forward) // which node a caller happens to reach makes no difference to it
		return f.execute(in.req)
	default:
		f.toOwner(in.req)
		return nil
	}
}

// describeType answers for a type, or has a node answer that hosts it.
func (f *Front) describeType(req *actor.Request) *actor.Error {
	typ := req.Address.Type
	if req.Hook != actor.HookDescribe {
		return actor.Errorf(actor.CodeNotFound, "a type has no hook %s: only %s", req.Hook, actor.HookDescribe)
	}
	schema, ok := f.cfg.Host.Describe(typ)
	switch {
	case ok:
		f.reply(req, &actor.Outcome{Node: f.cfg.Node, Result: schema})
	case f.cfg.Host.Hosts(typ):
		return actor.Errorf(actor.CodePanic, "the type %s cannot be described", typ)
	default:
		f.forward(req, f.cfg.Names.Type(typ))
	}
	return nil
}

// describe takes the question of another node for a type that this one hosts.
func (f *Front) describe(m *nats.Msg, typ string) {
	req := &actor.Request{Hook: actor.HookDescribe, Address: actor.Address{Type: typ}, Reply: f.replier(m, nil)}
	if e := f.describeType(req); e != nil {
		f.fail(req, e)
	}
}

// execute gives the request to the host of this node.
func (f *Front) execute(req *actor.Request) *actor.Error {
	if req.Reply == nil {
		f.cfg.Host.Call(req)
		return nil
	}
	if e := f.begin(); e != nil {
		return e
	}
	reply := req.Reply
	req.Reply = func(o *actor.Outcome) {
		f.finish(req.Received, o.Err)
		reply(o)
	}
	f.cfg.Host.Call(req)
	return nil
}

// begin counts a call in, finish counts it out.
func (f *Front) begin() *actor.Error {
	if f.calls.Add(1) > int64(f.cfg.MaxCalls) {
		f.calls.Add(-1)
		return actor.Errorf(actor.CodeLimit, "this node has %d calls without outcome", f.cfg.MaxCalls).
			With(map[string]string{"limit": "calls"})
	}
	return nil
}

func (f *Front) finish(received time.Time, err *actor.Error) {
	f.calls.Add(-1)
	f.service.count(time.Since(received), err)
}

// replier returns what publishes the outcome of the call that m is, with more headers; nil when nobody waits for it.
func (f *Front) replier(m *nats.Msg, more nats.Header) func(*actor.Outcome) {
	if m.Reply == "" {
		return nil
	}
	if !f.cfg.Allowed.Allows(m.Reply) {
		f.log.Warn("a call asks for its reply on a subject that is not allowed: it gets none", "subject", m.Subject, "reply", m.Reply)
		return nil
	}
	return func(o *actor.Outcome) {
		h, body := EncodeOutcome(o)
		maps.Copy(h, more)
		f.publishReply(m.Reply, h, body)
	}
}

// fail answers a call with an error of this node's.
func (f *Front) fail(req *actor.Request, e *actor.Error) {
	f.reply(req, &actor.Outcome{Run: run(req), Node: f.cfg.Node, Err: e})
}

func (f *Front) reply(req *actor.Request, o *actor.Outcome) {
	if req.Reply != nil {
		req.Reply(o)
	}
}

// publishReply is the only place from which a front publishes to a subject that a caller chose.
func (f *Front) publishReply(subject string, h nats.Header, body []byte) {
	if !f.cfg.Allowed.Allows(subject) {
		return
	}
	err := f.cfg.Replies.PublishMsg(&nats.Msg{Subject: subject, Header: h, Data: body})
	if errors.Is(err, nats.ErrMaxPayload) {
		h, body = EncodeOutcome(&actor.Outcome{Node: f.cfg.Node, Err: actor.Errorf(actor.CodeTooLarge, "the result has %d bytes, more than a message may have", len(body))})
		err = f.cfg.Replies.PublishMsg(&nats.Msg{Subject: subject, Header: h, Data: body})
	}
	if err != nil {
		f.log.Warn("an outcome could not be published: the caller will ask again", "reply", subject, "error", err)
	}
}

func run(req *actor.Request) string {
	if req.Address.Type == "" || req.Address.Type == actor.TypeToken {
		return ""
	}
	return req.Address.String()
}

func badHook(s string) *actor.Error {
	return actor.Errorf(actor.CodeInvalid, "hook name %q: want a letter, then up to 63 letters, digits, _ or -", s)
}

// hookName reports whether s is a name as users give hooks, or one of the runtime's, which begin with "$".
func hookName(s string) bool {
	s = strings.TrimPrefix(s, "$")
	if s == "" || len(s) > 64 || !isLetter(s[0]) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	})
}
