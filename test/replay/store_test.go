package replay

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	perdure "github.com/perdure/perdure/jetstream"
	"github.com/perdure/perdure/test/harness"
)

// line is one line of store.jsonl: a message, or, without subject, that the stream has come to this sequence.
type line struct {
	Stream  string      `json:"stream"`
	Seq     uint64      `json:"seq"`
	Subject string      `json:"subject,omitempty"`
	Header  nats.Header `json:"header,omitempty"`
	Text    string      `json:"text,omitempty"`
	Bytes   []byte      `json:"bytes,omitempty"` // what is no text
}

// kept reports whether a stream is a part of the store that is written down. Leases are in memory. Stores that were
// recorded before 2026-11-26-c have no schedules.
func kept(stream string) bool {
	return !strings.HasSuffix(stream, "_LEASES") && !strings.HasSuffix(stream, "_META")
}

// save writes down what a server has.
func save(t *testing.T, nc *nats.Conn, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	put := func(l line) {
		if err := enc.Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range harness.Streams(t, nc) {
		if !kept(name) {
			continue
		}
		harness.EachMessage(t, nc, name, func(m harness.Message) {
			l := line{Stream: name, Seq: m.Seq, Subject: m.Subject, Header: m.Header}
			if utf8.Valid(m.Data) {
				l.Text = string(m.Data)
			} else {
				l.Bytes = m.Data
			}
			put(l)
		})
		put(line{Stream: name, Seq: harness.State(t, nc, name).LastSeq})
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// lines ranges over a store that was written down.
func lines(t *testing.T, path string) iter.Seq[*line] {
	t.Helper()
	return func(yield func(*line) bool) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for dec := json.NewDecoder(f); dec.More(); {
			var l line
			if err := dec.Decode(&l); err != nil {
				t.Fatal(err)
			}
			if !yield(&l) {
				return
			}
		}
	}
}

// recorded is when the last event of a store happened.
func recorded(t *testing.T, path string) (last time.Time) {
	t.Helper()
	for l := range lines(t, path) {
		rec, err := actor.DecodeRecord([]byte(l.Text))
		if err != nil || !strings.HasPrefix(l.Subject, "log.") {
			continue
		}
		for i := range rec.Events {
			if at := rec.Events[i].At; at.After(last) {
				last = at
			}
		}
	}
	return last
}

// restorer puts a store onto a server that has none.
type restorer struct {
	js          jetstream.JetStream
	incarnation string // of the new inbox
	at          map[string]uint64
}

func restore(t *testing.T, nc *nats.Conn, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	store, err := perdure.Provision(ctx, nc, perdure.Config{Partitions: partitions, LogStreams: logStreams})
	if err != nil {
		t.Fatal(err)
	}
	bounds, err := store.Inbox().Bounds(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := restorer{incarnation: bounds.Incarnation, at: map[string]uint64{}}
	if r.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	for l := range lines(t, path) {
		if err := r.put(ctx, l); err != nil {
			t.Fatalf("%s seq %d: %v", l.Stream, l.Seq, err)
		}
	}
}

// put stores a message under the sequence that it had: positions in logs and inbox are part of what records say.
func (r *restorer) put(ctx context.Context, l *line) error {
	if strings.HasPrefix(l.Stream, "KV_") {
		if l.Subject == "" {
			return nil
		}
		return r.bucket(ctx, l)
	}
	for r.at[l.Stream]+1 < l.Seq || l.Subject == "" && r.at[l.Stream] < l.Seq {
		if err := r.gap(ctx, l.Stream); err != nil {
			return err
		}
	}
	if l.Subject == "" {
		return nil
	}
	seq, err := r.publish(ctx, l)
	if err == nil && seq != l.Seq {
		err = fmt.Errorf("stored as %d", seq)
	}
	return err
}

// bucket stores a bucket's value. Cursors of partitions count in the streams of now.
func (r *restorer) bucket(ctx context.Context, l *line) error {
	if strings.HasSuffix(l.Stream, "_PARTITIONS") && l.Text != "" {
		var value map[string]any
		if err := json.Unmarshal([]byte(l.Text), &value); err != nil {
			return err
		}
		value["incarnation"] = r.incarnation
		delete(value, "timers")
		b, err := json.Marshal(value)
		if err != nil {
			return err
		}
		l.Text = string(b)
	}
	_, err := r.publish(ctx, l)
	return err
}

// gap takes the next sequence of a stream for nothing.
func (r *restorer) gap(ctx context.Context, stream string) error {
	s, err := r.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	subject := strings.ReplaceAll(s.CachedInfo().Config.Subjects[0], "*", "x")
	seq, err := r.publish(ctx, &line{Stream: stream, Subject: subject})
	if err != nil {
		return err
	}
	return s.DeleteMsg(ctx, seq)
}

// publish stores a message through the subject that its stream takes.
func (r *restorer) publish(ctx context.Context, l *line) (uint64, error) {
	m := &nats.Msg{Subject: l.Subject, Header: nats.Header{}, Data: append([]byte(l.Text), l.Bytes...)}
	for name, values := range l.Header {
		if !strings.HasPrefix(name, "Nats-Expected-") {
			m.Header[name] = values
		}
	}
	switch tokens := strings.Split(l.Subject, "."); tokens[0] {
	case "in":
		m.Subject = "hook." + strings.Join(tokens[2:], ".")
	case "out":
		m.Subject = "emit." + strings.Join(tokens[1:], ".")
	}
	ack, err := r.js.PublishMsg(ctx, m)
	if err != nil {
		return 0, err
	}
	r.at[l.Stream] = ack.Sequence
	return ack.Sequence, nil
}
