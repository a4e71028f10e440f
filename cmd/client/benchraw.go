package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// rawStream is a temporary file stream: the ceiling of what calls could reach.
type rawStream struct {
	js      jetstream.JetStream
	name    string
	prefix  string // of its subjects
	objects int
	body    []byte
}

// removeTimeout bounds the removal of the stream, also after an interrupt.
const removeTimeout = 10 * time.Second

func newRawStream(ctx context.Context, s *session, objects int, body []byte) (*rawStream, error) {
	js, err := s.conn.jetStream()
	if err != nil {
		return nil, err
	}
	token := nats.NewInbox()[len(nats.InboxPrefix):]
	r := &rawStream{js: js, name: "PERDURE_BENCH_" + token, prefix: "perdure-bench." + token + ".", objects: objects, body: body}
	replicas := 1
	if log, err := js.Stream(ctx, s.conn.names.LogStream(0)); err == nil {
		replicas = log.CachedInfo().Config.Replicas // as safe as what it is compared with
	}
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name: r.name, Subjects: []string{r.prefix + "*"}, Storage: jetstream.FileStorage, Replicas: replicas,
		Description: "perdure client bench --raw: may be deleted",
	})
	if err != nil {
		return nil, fmt.Errorf("create stream %s: %w", r.name, err)
	}
	return r, nil
}

func (r *rawStream) publish(ctx context.Context) error {
	_, err := r.js.Publish(ctx, r.prefix+strconv.Itoa(rand.IntN(r.objects)), r.body)
	return err
}

func (r *rawStream) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	if err := r.js.DeleteStream(ctx, r.name); err != nil {
		return fmt.Errorf("delete stream %s: %w", r.name, err)
	}
	return nil
}

func (c *connection) jetStream() (jetstream.JetStream, error) {
	if c.domain != "" {
		return jetstream.NewWithDomain(c.Conn, c.domain)
	}
	return jetstream.New(c.Conn)
}
