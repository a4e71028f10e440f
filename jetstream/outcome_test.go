package jetstream

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

func TestAckOutcome(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		header nats.Header
		want   error
		// wantReplicated is what the answer means on a replicated stream, where it differs.
		wantReplicated error
	}{
		"committed":          {answer: `{"stream":"S","seq":7}`},
		"committed, domain":  {answer: `{"stream":"S","domain":"d","seq":7,"duplicate":true}`},
		"other stream":       {answer: `{"stream":"T","seq":7}`, want: actor.ErrAppendUnknown},
		"seq 0":              {answer: `{"stream":"S"}`, want: actor.ErrAppendUnknown},
		"no responders":      {header: nats.Header{"Status": {"503"}}, want: actor.ErrAppendRefused},
		"empty":              {want: actor.ErrAppendUnknown},
		"not JSON":           {answer: "+OK", want: actor.ErrAppendUnknown},
		"conflict":           {answer: `{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 5"},"stream":"S"}`, want: actor.ErrAppendConflict},
		"conflict in flight": {answer: `{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"},"stream":"S"}`, want: actor.ErrAppendConflict},
		"too large":          {answer: `{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}`, want: actor.ErrAppendRefused},
		"header too large":   {answer: `{"error":{"code":400,"err_code":10097}}`, want: actor.ErrAppendRefused},
		"sealed":             {answer: `{"error":{"code":400,"err_code":10109}}`, want: actor.ErrAppendRefused},
		"expected stream":    {answer: `{"error":{"code":400,"err_code":10060}}`, want: actor.ErrAppendRefused},
		"full":               {answer: `{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}`, want: actor.ErrAppendRefused},
		"store closed":       {answer: `{"error":{"code":503,"err_code":10077,"description":"store is closed"}}`, want: actor.ErrAppendUnknown},
		"no resources":       {answer: `{"error":{"code":503,"err_code":10023}}`, want: actor.ErrAppendRefused, wantReplicated: actor.ErrAppendUnknown},
		"queue full":         {answer: `{"error":{"code":429,"err_code":10167}}`, header: nats.Header{"Status": {"429"}}, want: actor.ErrAppendRefused, wantReplicated: actor.ErrAppendUnknown},
		"account full":       {answer: `{"error":{"code":400,"err_code":10002}}`, want: actor.ErrAppendRefused, wantReplicated: actor.ErrAppendUnknown},
		"anything else":      {answer: `{"error":{"code":500,"err_code":10051}}`, want: actor.ErrAppendUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			for _, replicated := range []bool{false, true} {
				want := c.want
				if replicated && c.wantReplicated != nil {
					want = c.wantReplicated
				}
				seq, err := ackOutcome(&nats.Msg{Header: c.header, Data: []byte(c.answer)}, "S", replicated)
				if !errors.Is(err, want) || (want == nil && (err != nil || seq != 7)) {
					t.Errorf("replicated %v: got %d, %v, want %v", replicated, seq, err, want)
				}
			}
		})
	}
}

func TestSendOutcome(t *testing.T) {
	for err, want := range map[error]error{
		nats.ErrMaxPayload:           actor.ErrAppendRefused,
		nats.ErrReconnectBufExceeded: actor.ErrAppendRefused,
		nats.ErrConnectionClosed:     actor.ErrAppendRefused,
		nats.ErrConnectionDraining:   actor.ErrAppendRefused,
		nats.ErrTimeout:              actor.ErrAppendUnknown,
		errors.New("broken pipe"):    actor.ErrAppendUnknown,
	} {
		if got := sendOutcome(err); !errors.Is(got, want) {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}

func FuzzAckOutcome(f *testing.F) {
	f.Add([]byte(`{"stream":"S","seq":7}`))
	f.Add([]byte(`{"error":{"code":400,"err_code":10071}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		seq, err := ackOutcome(&nats.Msg{Data: data}, "S", true)
		if (err == nil) != (seq > 0) {
			t.Errorf("%q: %d, %v", data, seq, err)
		}
		if err != nil && !errors.Is(err, actor.ErrAppendConflict) && !errors.Is(err, actor.ErrAppendRefused) && !errors.Is(err, actor.ErrAppendUnknown) {
			t.Errorf("%q: %v is none of the outcomes", data, err)
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	f.Add("3", "t1", "n", "running", "true", "1,2", "1", "1", "1", uint64(9))
	f.Fuzz(func(t *testing.T, epoch, turn, node, status, unsettled, page, prev, base, ids string, seq uint64) {
		m := &stored{Seq: seq, Header: nats.Header{
			HeaderEpoch: {epoch}, HeaderTurn: {turn}, HeaderNode: {node}, HeaderStatus: {status}, HeaderUnsettled: {unsettled},
			HeaderPage: {page}, HeaderPrev: {prev}, HeaderBase: {base}, HeaderIDs: {ids},
		}}
		addr := actor.Address{Type: "a", Key: "b"}
		e := parseEntry(addr, m)
		if e.Foreign {
			if e.Turn != "" || e.Epoch != 0 || e.Body != nil {
				t.Errorf("a foreign entry says %+v", e)
			}
			return
		}
		again := parseEntry(addr, &stored{Seq: seq, Header: formatEntry(e)})
		if again.Foreign || again.Turn != e.Turn || again.Epoch != e.Epoch || len(again.Index.Page) != len(e.Index.Page) || again.Index.Base != e.Index.Base {
			t.Errorf("%+v comes back as %+v", e, again)
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"v":1,"run":"a/b","incarnation":"i","epoch":1,"events":[],"blobs":[1,2],"size":9,"sha256":"` + "0000000000000000000000000000000000000000000000000000000000000000" + `"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parseManifest(body)
		if err == nil && (len(m.Blobs) == 0 || m.Size > MaxRecord) {
			t.Errorf("%q gives %+v", body, m)
		}
		if err != nil && !errors.Is(err, errNotSplit) {
			t.Error(err)
		}
	})
}
