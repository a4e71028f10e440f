package jetstream

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// maxErrorHeader bounds the error text in a header: the whole text is in the body.
const maxErrorHeader = 512

// EncodeOutcome returns the headers and the body of the message that tells o.
func EncodeOutcome(o *actor.Outcome) (nats.Header, []byte) {
	h := nats.Header{}
	if o.Run != "" {
		h[HeaderRun] = []string{formatRun(o.Run)}
	}
	if o.Node != "" {
		h[HeaderNode] = []string{o.Node}
	}
	setSeq(h, HeaderSeq, o.Seq)
	setSeq(h, HeaderNext, o.Next)
	if o.Err != nil {
		return h, encodeError(h, o.Err)
	}
	if len(o.Result) == 0 {
		return h, []byte("null")
	}
	return h, o.Result
}

func encodeError(h nats.Header, e *actor.Error) []byte {
	h[HeaderErrorCode] = []string{strconv.Itoa(int(e.Code))}
	h[HeaderError] = []string{errorLine(e.Message)}
	h[HeaderErrorSource] = []string{string(e.Source)}
	body, err := json.Marshal(e)
	if err != nil { // details that are no JSON
		plain := *e
		plain.Details = nil
		body, _ = json.Marshal(plain)
	}
	return body
}

// errorLine makes a header value of a message: one line, of bounded length.
func errorLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if len(s) > maxErrorHeader {
		s = strings.ToValidUTF8(s[:maxErrorHeader], "") + "…"
	}
	if s == "" {
		return "failed" // an empty value would read as no error
	}
	return s
}

func setSeq(h nats.Header, name string, seq uint64) {
	if seq > 0 {
		h[name] = []string{strconv.FormatUint(seq, 10)}
	}
}

// DecodeOutcome reads the message that [EncodeOutcome] made. A failure is in the outcome's Err; the error says
// that the message is no outcome: somebody else answered.
func DecodeOutcome(h nats.Header, body []byte) (*actor.Outcome, error) {
	o := &actor.Outcome{Node: h.Get(HeaderNode)}
	var err error
	if o.Run, err = parseRun(h.Get(HeaderRun)); err != nil {
		return nil, fmt.Errorf("decode outcome: %w", err)
	}
	if o.Seq, err = getSeq(h, HeaderSeq); err != nil {
		return nil, fmt.Errorf("decode outcome: %w", err)
	}
	if o.Next, err = getSeq(h, HeaderNext); err != nil {
		return nil, fmt.Errorf("decode outcome: %w", err)
	}
	if h.Get(HeaderErrorCode) != "" {
		o.Err, err = decodeError(h, body)
		return o, err
	}
	if len(body) == 0 {
		body = []byte("null")
	}
	if !json.Valid(body) {
		return nil, fmt.Errorf("decode outcome: the body is not JSON")
	}
	if o.Node == "" { // a stream on the call's subject acknowledges in JSON, too
		return nil, fmt.Errorf("decode outcome: no header %s", HeaderNode)
	}
	o.Result = body
	return o, nil
}

// decodeError prefers the body, which has all of it; the headers suffice where the body is not ours.
func decodeError(h nats.Header, body []byte) (*actor.Error, error) {
	code, err := strconv.Atoi(h.Get(HeaderErrorCode))
	if err != nil || code < 100 || code > 999 {
		return nil, fmt.Errorf("decode outcome: header %s: %q is not a code", HeaderErrorCode, h.Get(HeaderErrorCode))
	}
	e := &actor.Error{}
	if json.Unmarshal(body, e) != nil || e.Code != actor.Code(code) {
		e = &actor.Error{Message: h.Get(HeaderError)}
	}
	e.Code = actor.Code(code)
	if e.Source = actor.Source(h.Get(HeaderErrorSource)); e.Source != actor.SourceObject {
		e.Source = actor.SourceRuntime
	}
	return e, nil
}

func getSeq(h nats.Header, name string) (uint64, error) {
	v := h.Get(name)
	if v == "" {
		return 0, nil
	}
	seq, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("header %s: %q is not a sequence", name, v)
	}
	return seq, nil
}

// formatRun writes a run ID as a header value: as it is, save where a header could not hold the key. Then the key is
// written as its subject token, and so is a key that would read like one written so.
func formatRun(run string) string {
	typ, key, _ := strings.Cut(run, "/")
	if needsToken(key) {
		return typ + "/" + actor.EncodeKey(key)
	}
	return run
}

// needsToken reports whether a key is written as its subject token.
func needsToken(key string) bool {
	unsafe := func(r rune) bool { return r < ' ' || r == 0x7f }
	if !utf8.ValidString(key) || strings.ContainsFunc(key, unsafe) || strings.TrimRightFunc(key, unicode.IsSpace) != key {
		return true
	}
	plain, err := actor.DecodeKey(key)
	return err == nil && plain != key && needsToken(plain)
}

func parseRun(v string) (string, error) {
	typ, key, ok := strings.Cut(v, "/")
	if !ok && v != "" || !utf8.ValidString(v) {
		return "", fmt.Errorf("header %s: %q is not a run", HeaderRun, v)
	}
	if plain, err := actor.DecodeKey(key); err == nil && needsToken(plain) {
		key = plain
	}
	if !ok {
		return v, nil
	}
	return typ + "/" + key, nil
}
