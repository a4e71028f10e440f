package conformance

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/test/harness"
)

// TestStreams_Foreign has a stranger publish below emit and out: before the first chunk, in between and after. Readers
// and writers pass over it.
func TestStreams_Foreign(t *testing.T) {
	m := newMouth()
	n := harness.Run(t, harness.Config(t), m)
	client := perdure.NewClient(n.Dial())
	live := make(chan []string, 1)
	go func() { live <- follow(t, client, m.At("a"), 0) }()
	headers := []nats.Header{
		nil,
		{"Perdure-Index": {"7"}},
		{"Perdure-End": {"true"}},
		{"Perdure-Rewind": {"0"}},
		{"Perdure-Index": {"0"}, "Perdure-Run": {"mouth/b"}, "Perdure-Epoch": {"1"}},
		{"Perdure-Index": {"-1"}, "Perdure-Run": {"mouth/a"}, "Perdure-Epoch": {"1"}},
		{"Perdure-Index": {"0"}, "Perdure-Run": {"mouth/a"}, "Perdure-Epoch": {"1"}, "Perdure-Open": {"///"}},
	}
	var want []string
	for round := range 4 {
		for _, h := range headers {
			for _, body := range []string{"", "hello", "null", `"w0"`} {
				if h["Perdure-Open"] == nil && len(h["Perdure-Run"]) > 0 && body == "" {
					continue
				}
				for _, subject := range []string{"emit.mouth.a.default", "out.mouth.a.default"} {
					if err := n.Conn().PublishMsg(&nats.Msg{Subject: subject, Header: h, Data: []byte(body)}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for _, o := range []order{{Do: "write", N: 2}, {Do: "emit", N: 2}} {
			if got := m.tell(t, n, o); got != "ok" {
				t.Fatalf("round %d: %s", round, got)
			}
			for i := range o.N {
				want = append(want, fmt.Sprint(len(want), " ", o.Do[:1], i))
			}
		}
		awaitChunks(t, client, m.At("a"), want...)
		if got := chunks(t, client, m.At("a"), -3); !slices.Equal(got, want[len(want)-3:]) {
			t.Errorf("round %d: the last three are %q", round, got)
		}
	}
	m.tell(t, n, order{Do: "end"})
	want = append(want, fmt.Sprint(len(want), " end"))
	if got := <-live; !slices.Equal(got, want) {
		t.Errorf("the reader that was there: %q, want %q", got, want)
	}
	if got := harness.State(t, n.Conn(), "PERDURE_OUT").Msgs; got < uint64(len(want)+4*len(headers)) {
		t.Errorf("%d messages are stored: the test shows nothing", got)
	}
}

// TestStreams_Forged has a stranger forge whole chunks. What an epoch that was never issued says is not believed by the
// writer; what claims the present epoch is believed, which is why permissions leave emit.> to the nodes.
func TestStreams_Forged(t *testing.T) {
	for name, tc := range map[string]struct {
		epoch string
		again bool
	}{"future": {"99999", false}, "future, and another node goes on": {"99999", true}, "past": {"1", false}} {
		t.Run(name, func(t *testing.T) {
			m := newMouth()
			n := harness.Run(t, harness.Config(t), m)
			js := jetStream(t, n.Dial())
			n.Again(m) // the present epoch is 2
			forge := func() {
				t.Helper()
				chunks := harness.ReadStream(t, n.Conn(), "PERDURE_OUT")
				incarnation := chunks[0].Header.Get("Perdure-Incarnation")
				_, err := js.PublishMsg(t.Context(), &nats.Msg{
					Subject: "emit.mouth.a.default", Data: []byte(`"forged"`),
					Header: nats.Header{"Perdure-Index": {"41"}, "Perdure-Run": {"mouth/a"}, "Perdure-Epoch": {tc.epoch}, "Perdure-Incarnation": {incarnation}},
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			js = jetStream(t, n.Dial())
			var got []string
			stored := uint64(0)
			for _, o := range []order{{Do: "write", N: 2}, {Do: "emit", N: 2}, {Do: "write", N: 2}} {
				if answer := m.tell(t, n, o); answer != "ok" {
					t.Fatalf("%+v: %s", o, answer)
				}
				if stored += 2; tc.again { // a node that dies between two chunks finds nothing but the forgery
					harness.Eventually(t, 5*time.Second, func() string {
						if got := harness.State(t, n.Conn(), "PERDURE_OUT").Msgs; got < stored {
							return fmt.Sprintf("%d messages", got)
						}
						return ""
					})
				}
				stored++
				forge()
				if tc.again {
					n.Again(m)
					js = jetStream(t, n.Dial())
				}
			}
			m.tell(t, n, order{Do: "end"})
			got = follow(t, n.Client(), m.At("a"), 0)
			t.Logf("epoch %s: %q", tc.epoch, got)
			var ours []string
			for _, s := range got {
				if s != "41 forged" {
					ours = append(ours, s)
				}
			}
			want := []string{"0 w0", "1 w1", "2 e0", "3 e1", "4 w0", "5 w1", "6 end"}
			if tc.epoch != "1" && !slices.Equal(ours, want) {
				t.Errorf("got %q, want %q", ours, want)
			}
		})
	}
}
