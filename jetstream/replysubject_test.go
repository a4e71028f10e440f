package jetstream

import "testing"

func TestReplySubjects_Allows(t *testing.T) {
	r, err := NewReplySubjects("acme.replies", "other.")
	if err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]bool{
		"_INBOX.a":                               true,
		"_INBOX.a.b.c":                           true,
		"acme.replies.x":                         true,
		"other.x":                                true,
		"":                                       false,
		"_INBOX":                                 false,
		"_INBOX.":                                false,
		"_INBOX.>":                               false,
		"_INBOX.*":                               false,
		"_INBOX.a.*":                             false,
		"_INBOX..a":                              false,
		"_INBOX2.a":                              false,
		"_inbox.a":                               false,
		"x._INBOX.a":                             false,
		"_INBOX.a $JS.API.STREAM.PURGE.X":        false,
		"_INBOX.a\r\nPUB $JS.API.INFO 0":         false,
		"_INBOX.a\tb":                            false,
		"acme.replies":                           false,
		"acme.replies2.x":                        false,
		"$JS.API.STREAM.PURGE.PERDURE_LOG_0":     false,
		"hook.counter.alice.action":              false,
		"$JS.ACK.PERDURE_INBOX.c.1.2.3.4.5":      false,
		"$KV.PERDURE_PARTITIONS.partition.1":     false,
		"log.1.counter.alice":                    false,
		"own.1.call.counter.alice.action":        false,
		"other.a.>":                              false,
		"othera.x":                               false,
		"_INBOX.a\x00b":                          false,
		"_INBOX.W9rP0Vqk2.aZ9":                   true,
		"_INBOX.with-dash_and=other:chars@~.100": true,
	} {
		if got := r.Allows(subject); got != want {
			t.Errorf("Allows(%q) = %v, want %v", subject, got, want)
		}
	}
}

func TestNewReplySubjects_Refuses(t *testing.T) {
	for _, p := range []string{"", ">", "*", "a.*.b", "a..b", "a b", "$JS", "$JS.API", "."} {
		if _, err := NewReplySubjects(p); err == nil {
			t.Errorf("NewReplySubjects(%q) accepted it", p)
		}
	}
}
