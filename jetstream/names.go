package jetstream

import (
	"fmt"
	"strconv"
	"strings"
)

// Names makes the names of one installation's streams, buckets and subjects, all with its prefix.
// Its zero value is the installation without prefix.
type Names struct {
	upper string // "ACME", empty without prefix
	dot   string // "acme.", empty without prefix
}

// maxPrefixLen keeps stream names, which are folders, short.
const maxPrefixLen = 32

// NewNames returns the names with this prefix; empty means none, then streams and buckets are PERDURE_… and
// subjects bare. Its error says what a prefix looks like.
func NewNames(prefix string) (Names, error) {
	if prefix == "" {
		return Names{}, nil
	}
	ok := len(prefix) <= maxPrefixLen && isLetter(prefix[0])
	for i := range len(prefix) {
		c := prefix[i]
		ok = ok && (isLetter(c) || c >= '0' && c <= '9' || c == '_' || c == '-')
	}
	if !ok {
		return Names{}, fmt.Errorf("prefix %q: want a letter, then up to %d letters, digits, _ or -", prefix, maxPrefixLen-1)
	}
	return Names{upper: strings.ToUpper(prefix), dot: prefix + "."}, nil
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// Prefix returns the prefix that the names were made with.
func (n Names) Prefix() string { return strings.TrimSuffix(n.dot, ".") }

func (n Names) asset(name string) string {
	if n.upper == "" {
		return "PERDURE_" + name
	}
	return n.upper + "_" + name
}

// InboxStream is the stream of one-way calls.
func (n Names) InboxStream() string { return n.asset("INBOX") }

// LogStream is the i-th stream of event logs.
func (n Names) LogStream(i int) string { return n.asset("LOG_" + strconv.Itoa(i)) }

// BlobsStream is the stream of parts of large records.
func (n Names) BlobsStream() string { return n.asset("BLOBS") }

// TimersStream is the stream of schedules and what they fire.
func (n Names) TimersStream() string { return n.asset("TIMERS") }

// OutStream is the stream of output chunks.
func (n Names) OutStream() string { return n.asset("OUT") }

// DeadStream is the stream of dead letters.
func (n Names) DeadStream() string { return n.asset("DEAD") }

// LeasesBucket is the bucket of node leases.
func (n Names) LeasesBucket() string { return n.asset("LEASES") }

// PartitionsBucket is the bucket of partition claims.
func (n Names) PartitionsBucket() string { return n.asset("PARTITIONS") }

// TokensBucket is the bucket of hook tokens.
func (n Names) TokensBucket() string { return n.asset("TOKENS") }

// MetaBucket is the bucket of what was fixed when the store was made.
func (n Names) MetaBucket() string { return n.asset("META") }
