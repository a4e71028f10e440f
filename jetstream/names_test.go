package jetstream

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewNames(t *testing.T) {
	for prefix, want := range map[string][2]string{
		"":     {"PERDURE_INBOX", "hook.*.*.*"},
		"acme": {"ACME_INBOX", "acme.hook.*.*.*"},
		"A-1":  {"A-1_INBOX", "A-1.hook.*.*.*"},
	} {
		n, err := NewNames(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([2]string{n.InboxStream(), n.HookAll()}, want); diff != "" {
			t.Errorf("prefix %q (-got +want):\n%s", prefix, diff)
		}
		if got := n.Prefix(); got != prefix {
			t.Errorf("Prefix() = %q, want %q", got, prefix)
		}
	}
	for _, prefix := range []string{"1a", ".", "a.b", "a b", "*", "a>", "ä", strings.Repeat("a", 33)} {
		if _, err := NewNames(prefix); err == nil {
			t.Errorf("NewNames(%q): no error", prefix)
		}
	}
}
