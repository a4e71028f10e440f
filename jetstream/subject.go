package jetstream

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/perdure/perdure/actor"
)

// Log is the subject of an object's event log in partition p.
func (n Names) Log(p int, addr actor.Address) string { return n.inPartition("log", p, addr) }

// LogAll matches the event logs of partition p.
func (n Names) LogAll(p int) string { return n.dot + "log." + strconv.Itoa(p) + ".*.*" }

// Blob is the subject of the parts of one append of a large record. Without an append it is where they were all stored
// by versions before those had subjects of their own.
func (n Names) Blob(p int, addr actor.Address, attempt string) string {
	return strings.TrimSuffix(n.inPartition("blob", p, addr)+"."+attempt, ".")
}

// BlobAll matches every part of a large record, and BlobOld those of versions before.
func (n Names) BlobAll() string { return n.dot + "blob.*.*.*.*" }

// BlobOld is explained at [Names.BlobAll].
func (n Names) BlobOld() string { return n.dot + "blob.*.*.*" }

// Fire is the subject that an object's timers fire to.
func (n Names) Fire(p int, addr actor.Address) string { return n.inPartition("fire", p, addr) }

// FireAll matches every firing.
func (n Names) FireAll() string { return n.dot + "fire.*.*.*" }

// Timer is the subject of one armed timer; id is any text.
func (n Names) Timer(p int, addr actor.Address, id string) string {
	return n.inPartition("timer", p, addr) + "." + shortToken(id)
}

// TimerAll matches every armed timer.
func (n Names) TimerAll() string { return n.dot + "timer.*.*.*.*" }

// Call is the public request subject of a hook. The type may be "$token" with a token as key; for the hook
// "$describe" the key may be "$type".
func (n Names) Call(addr actor.Address, hook string) string {
	t := TargetOf(addr, hook)
	return n.dot + "call." + t.Type + "." + t.Key + "." + t.Hook
}

// CallAll matches every public call.
func (n Names) CallAll() string { return n.dot + "call.*.*.*" }

// Hook is the public subject of one-way calls to a hook.
func (n Names) Hook(addr actor.Address, hook string) string {
	return n.dot + "hook." + addr.Type + "." + actor.EncodeKey(addr.Key) + "." + hook
}

// HookAll matches every one-way call.
func (n Names) HookAll() string { return n.dot + "hook.*.*.*" }

// InAll matches what the inbox stores, which is every one-way call with its partition.
func (n Names) InAll() string { return n.dot + "in.*.*.*.*" }

// inTransform is how the server stores one-way calls, with their partition.
func (n Names) inTransform(partitions int) string {
	return n.dot + "in.{{partition(" + strconv.Itoa(partitions) + ",1,2)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}"
}

// Own is a subject that only the owner of partition p subscribes to: own.<p>.<verb> and the tokens, which must
// be subject tokens.
func (n Names) Own(p int, verb string, tokens ...string) string {
	return n.dot + "own." + strings.Join(append([]string{strconv.Itoa(p), verb}, tokens...), ".")
}

// OwnAll matches everything for the owner of partition p.
func (n Names) OwnAll(p int) string { return n.dot + "own." + strconv.Itoa(p) + ".>" }

// Type is the subject on which nodes that host a type describe it.
func (n Names) Type(typ string) string { return n.dot + "type." + typ }

// NodeDrain is the subject on which a node is asked to hand its partitions over.
func (n Names) NodeDrain(node string) string {
	return n.dot + "node." + actor.EncodeKey(node) + ".drain"
}

// Dead is the subject of dead letters of the run typ/key, which need not be a valid address.
func (n Names) Dead(typ, key string) string {
	return n.dot + "dead." + shortToken(typ) + "." + shortToken(key)
}

// DeadOf matches the dead letters of a type.
func (n Names) DeadOf(typ string) string { return n.dot + "dead." + shortToken(typ) + ".*" }

// DeadAll matches every dead letter.
func (n Names) DeadAll() string { return n.dot + "dead.*.*" }

// Emit is the subject that chunks of an output stream are written to.
func (n Names) Emit(addr actor.Address, stream string) string {
	return n.dot + "emit." + addr.Type + "." + actor.EncodeKey(addr.Key) + "." + stream
}

// EmitAll matches every chunk as it is written.
func (n Names) EmitAll() string { return n.dot + "emit.*.*.*" }

// OutAll matches every stored chunk.
func (n Names) OutAll() string { return n.dot + "out.*.*.*" }

// outTransform is how the server stores chunks.
func (n Names) outTransform() string {
	return n.dot + "out.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}"
}

// Out is the subject that stored chunks of an output stream are read from.
func (n Names) Out(addr actor.Address, stream string) string {
	return n.dot + "out." + addr.Type + "." + actor.EncodeKey(addr.Key) + "." + stream
}

func (n Names) inPartition(what string, p int, addr actor.Address) string {
	return n.dot + what + "." + strconv.Itoa(p) + "." + addr.Type + "." + actor.EncodeKey(addr.Key)
}

// maxTokenLen is the length from which a token made from any text is its hash.
const maxTokenLen = 320

// shortToken makes one subject token from any text, different for different texts.
func shortToken(text string) string {
	if token := actor.EncodeKey(text); token != "" && len(token) <= maxTokenLen {
		return token
	}
	sum := sha256.Sum256([]byte(text))
	return "~" + hex.EncodeToString(sum[:])
}

// tokens strips the prefix and what from a subject and returns the n tokens that follow.
func (n Names) tokens(subject, what string, count int) ([]string, error) {
	rest, ok := strings.CutPrefix(subject, n.dot+what+".")
	if !ok {
		return nil, fmt.Errorf("subject %q is not below %s%s", subject, n.dot, what)
	}
	t := strings.Split(rest, ".")
	if count > 0 && len(t) != count {
		return nil, fmt.Errorf("subject %q: %d tokens after %s, want %d", subject, len(t), what, count)
	}
	for _, tok := range t {
		if tok == "" || tok == "*" || tok == ">" {
			return nil, fmt.Errorf("subject %q: token %q", subject, tok)
		}
	}
	return t, nil
}

// ParseCall reads a public call subject.
func (n Names) ParseCall(subject string) (Target, error) {
	t, err := n.tokens(subject, "call", 3)
	if err != nil {
		return Target{}, err
	}
	return Target{Type: t[0], Key: t[1], Hook: t[2]}, nil
}

// ParseHook reads the public subject of a one-way call.
func (n Names) ParseHook(subject string) (Target, error) {
	t, err := n.tokens(subject, "hook", 3)
	if err != nil {
		return Target{}, err
	}
	return Target{Type: t[0], Key: t[1], Hook: t[2]}, nil
}

// ParseIn reads the subject of a stored one-way call.
func (n Names) ParseIn(subject string) (p int, target Target, err error) {
	t, err := n.tokens(subject, "in", 4)
	if err != nil {
		return 0, Target{}, err
	}
	p, err = parsePartition(t[0])
	return p, Target{Type: t[1], Key: t[2], Hook: t[3]}, err
}

// ParseOwn reads a subject made by [Names.Own].
func (n Names) ParseOwn(subject string) (p int, verb string, tokens []string, err error) {
	t, err := n.tokens(subject, "own", 0)
	if err != nil {
		return 0, "", nil, err
	}
	if len(t) < 2 {
		return 0, "", nil, fmt.Errorf("subject %q: no verb", subject)
	}
	p, err = parsePartition(t[0])
	return p, t[1], t[2:], err
}

// ParseLog reads the subject of an object's event log.
func (n Names) ParseLog(subject string) (p int, addr actor.Address, err error) {
	return n.parseInPartition(subject, "log")
}

// ParseBlob reads the subject of parts that belong to an append.
func (n Names) ParseBlob(subject string) (addr actor.Address, attempt string, err error) {
	i := strings.LastIndexByte(subject, '.')
	if i < 0 {
		return actor.Address{}, "", fmt.Errorf("subject %q: no append", subject)
	}
	_, addr, err = n.parseInPartition(subject[:i], "blob")
	return addr, subject[i+1:], err
}

// ParseFire reads the subject of a firing.
func (n Names) ParseFire(subject string) (p int, addr actor.Address, err error) {
	return n.parseInPartition(subject, "fire")
}

// ParseOut reads the subject of a stored chunk.
func (n Names) ParseOut(subject string) (addr actor.Address, stream string, err error) {
	t, err := n.tokens(subject, "out", 3)
	if err != nil {
		return actor.Address{}, "", err
	}
	addr, err = Target{Type: t[0], Key: t[1]}.Address()
	return addr, t[2], err
}

func (n Names) parseInPartition(subject, what string) (int, actor.Address, error) {
	t, err := n.tokens(subject, what, 3)
	if err != nil {
		return 0, actor.Address{}, err
	}
	p, err := parsePartition(t[0])
	if err != nil {
		return 0, actor.Address{}, fmt.Errorf("subject %q: %w", subject, err)
	}
	key, err := actor.DecodeKey(t[2])
	if err != nil {
		return 0, actor.Address{}, fmt.Errorf("subject %q: %w", subject, err)
	}
	addr := actor.Address{Type: t[1], Key: key}
	if err := addr.Validate(); err != nil {
		return 0, actor.Address{}, fmt.Errorf("subject %q: %w", subject, err)
	}
	return p, addr, nil
}

// maxPartitions bounds P: a reader a partition and a key each must stay cheap.
const maxPartitions = 4096

// parsePartition reads a partition as strconv.Itoa writes it.
func parsePartition(token string) (int, error) {
	p, err := strconv.Atoi(token)
	if err != nil || p < 0 || p >= maxPartitions || strconv.Itoa(p) != token {
		return 0, fmt.Errorf("%q is not a partition", token)
	}
	return p, nil
}
