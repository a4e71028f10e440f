package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/router"
)

// bucketTimeout bounds each request to a bucket. An answer takes milliseconds; a leader's election takes longer than
// anyone should wait in one request.
const bucketTimeout = 2 * time.Second

// bucketError names the operation, and says ErrConflict where the server says that nothing was written because the
// key is not at the expected revision, or may not be: replicated streams answer 10164 also while a write is in flight.
func bucketError(operation string, err error) error {
	if err == nil {
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return fmt.Errorf("%s: %w", operation, router.ErrConflict)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// watchBucket calls fn for each key that there is, then all, then fn for each change, until ctx or the watch ends.
func watchBucket(ctx context.Context, kv jetstream.KeyValue, keys string, fn func(jetstream.KeyValueEntry), all func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(bucketTimeout, cancel)
	w, err := kv.Watch(ctx, keys)
	if err != nil {
		return fmt.Errorf("watch %s in bucket %s: %w", keys, kv.Bucket(), err)
	}
	if !late.Stop() {
		cancel()
	}
	defer stopWatch(w)
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.Updates():
			if !ok {
				return fmt.Errorf("watch %s in bucket %s: ended by the server", keys, kv.Bucket())
			}
			if e == nil {
				all()
				continue
			}
			fn(e)
		}
	}
}

// stopWatch ends a watch. Its goroutine may be blocked on what nobody reads any more.
func stopWatch(w jetstream.KeyWatcher) {
	_ = w.Stop()
	enough := time.NewTimer(bucketTimeout)
	defer enough.Stop()
	for {
		select {
		case _, ok := <-w.Updates():
			if !ok {
				return
			}
		case <-enough.C:
			return
		}
	}
}

// lastOfKey reads a key's last message, also a marker of its deletion, from the leader. Error: errNoMessage.
func lastOfKey(ctx context.Context, nc *nats.Conn, bucket, key string) (*stored, error) {
	return (&Store{nc: nc}).getOnce(ctx, "KV_"+bucket, getRequest{LastFor: "$KV." + bucket + "." + key})
}

// updateKey writes a key that is at revision, and returns its new revision. Unlike the bucket's own it never asks
// twice: where there is no stream it says so at once, by nats.ErrNoResponders.
func updateKey(ctx context.Context, nc *nats.Conn, bucket, key string, value []byte, revision uint64) (uint64, error) {
	m := &nats.Msg{Subject: "$KV." + bucket + "." + key, Header: nats.Header{}, Data: value}
	expect(m.Header, "KV_"+bucket, revision)
	answer, err := nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, err
	}
	var a ack
	if err := json.Unmarshal(answer.Data, &a); err != nil {
		return 0, fmt.Errorf("decode answer: %w", err)
	}
	if a.Error != nil {
		return 0, a.Error
	}
	return a.Seq, nil
}

// gone reports whether a key's message says that it was deleted, or that it expired.
func gone(m *stored) bool {
	return m.Header.Get("KV-Operation") != "" || m.Header.Get(jetstream.MarkerReasonHeader) != ""
}
