package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// maxFilters is how many partitions of one stream are filtered by the server. It looks at each message for each
// filter, so more are filtered here.
const maxFilters = 4

// shortTail is up to how many messages are read without a consumer, tailReads of them at a time: one on replicated streams is made
// on a server that may just have died, and is then waited for.
const (
	shortTail = 512
	tailReads = 16
)

// Tail implements [actor.EventLog]. Partitions of one log stream are read together. A message whose subject is
// no object's, or an object's of another partition, is nobody's and left out.
func (l *Log) Tail(ctx context.Context, floors map[int]uint64) iter.Seq2[*actor.Entry, error] {
	return func(yield func(*actor.Entry, error) bool) {
		byStream := map[int]map[int]uint64{}
		for p, floor := range floors {
			i := l.store.logStream(p)
			if byStream[i] == nil {
				byStream[i] = map[int]uint64{}
			}
			byStream[i][p] = floor
		}
		for _, i := range slices.Sorted(maps.Keys(byStream)) {
			err := l.tailStream(ctx, i, byStream[i], func(e *actor.Entry) bool { return yield(e, nil) })
			if errors.Is(err, errStop) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("read the tail of the logs: %w", err))
				return
			}
		}
	}
}

func (l *Log) tailStream(ctx context.Context, i int, floors map[int]uint64, yield func(*actor.Entry) bool) error {
	r := reader{store: l.store, stream: l.store.names.LogStream(i), headersOnly: true}
	from := uint64(math.MaxUint64)
	for p, floor := range floors {
		from = min(from, floor)
		if len(floors) <= maxFilters {
			r.filters = append(r.filters, l.store.names.LogAll(p))
		}
	}
	for p := range floors { // any of them: they are in one stream
		end, err := l.End(ctx, p)
		if err != nil {
			return err
		}
		read := r.until
		if end < from+shortTail {
			read = r.withoutConsumer
		}
		return read(ctx, from+1, end, func(m *stored) error {
			p, addr, err := l.store.names.ParseLog(m.Subject)
			if err != nil || p != l.store.Partition(addr) {
				return nil //nolint:nilerr // somebody else's message
			}
			if floor, asked := floors[p]; !asked || m.Seq <= floor {
				return nil
			}
			e := parseEntry(addr, m)
			e.Body = nil
			if !yield(e) {
				return errStop
			}
			return nil
		})
	}
	return nil
}

// WatchAppends calls fn for each message that others publish to an object's log in the partition, stored or
// refused, until stop is called. fn must not block. It is active at the server when WatchAppends returns.
func (l *Log) WatchAppends(ctx context.Context, partition int, fn func(actor.Address)) (stop func() error, err error) {
	sub, err := l.conn.Subscribe(l.store.names.LogAll(partition), func(m *nats.Msg) {
		if p, addr, err := l.store.names.ParseLog(m.Subject); err == nil && p == l.store.Partition(addr) {
			fn(addr)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("watch appends to partition %d: %w", partition, err)
	}
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	if err := l.conn.FlushWithContext(ctx); err != nil {
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("watch appends to partition %d: %w", partition, err)
	}
	return sub.Unsubscribe, nil
}
