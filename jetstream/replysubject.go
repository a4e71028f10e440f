package jetstream

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// inboxPrefix is where NATS clients expect their replies.
const inboxPrefix = "_INBOX"

// ReplySubjects says to which subjects a node may publish replies and outcomes. A reply subject is chosen by
// the caller, so whoever can call could otherwise make the node publish anywhere, the JetStream API included.
// The zero value allows what is below _INBOX.
type ReplySubjects struct{ prefixes []string }

// NewReplySubjects allows subjects below _INBOX and below the prefixes, which are whole subject tokens:
// "acme.replies" allows "acme.replies.x" and neither "acme.replies" nor "acme.replies2.x".
// A trailing "." or ".>" of a prefix is ignored.
func NewReplySubjects(prefixes ...string) (ReplySubjects, error) {
	var r ReplySubjects
	for _, p := range prefixes {
		p = strings.TrimSuffix(strings.TrimSuffix(p, ">"), ".")
		if !literalSubject(p) {
			return ReplySubjects{}, fmt.Errorf("reply prefix %q is not a subject without wildcards", p)
		}
		if strings.HasPrefix(p, "$") {
			return ReplySubjects{}, fmt.Errorf("reply prefix %q is the server's own", p)
		}
		r.prefixes = append(r.prefixes, p)
	}
	return r, nil
}

// Prefixes returns what is allowed beside _INBOX.
func (r ReplySubjects) Prefixes() []string { return r.prefixes }

// Allows reports whether replies may be published to subject.
func (r ReplySubjects) Allows(subject string) bool {
	if !literalSubject(subject) {
		return false
	}
	if below(subject, inboxPrefix) {
		return true
	}
	for _, p := range r.prefixes {
		if below(subject, p) {
			return true
		}
	}
	return false
}

func below(subject, prefix string) bool {
	rest, ok := strings.CutPrefix(subject, prefix)
	return ok && strings.HasPrefix(rest, ".")
}

// literalSubject reports whether s can be published to and means one subject: tokens that are not empty,
// no wildcards, nothing that the wire protocol would read as the end of the subject.
func literalSubject(s string) bool {
	if len(s) > maxSubjectLen || !utf8.ValidString(s) {
		return false
	}
	for token := range strings.SplitSeq(s, ".") {
		if token == "" || token == "*" || token == ">" {
			return false
		}
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}
