package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	js "github.com/nats-io/nats.go/jetstream"
)

// deadDuplicates is how long a dead letter that is published again is dropped. Earlier versions made every stream but the
// inbox so.
const deadDuplicates = 2 * time.Minute

// streams are the configurations of all streams. The inbox comes first: its subjects are the likeliest to
// overlap with somebody else's.
func (s *Store) streams() []js.StreamConfig {
	n := s.names
	all := []js.StreamConfig{
		{
			Name: n.InboxStream(), Subjects: []string{n.HookAll()}, Description: "one-way calls",
			SubjectTransform: &js.SubjectTransformConfig{Source: n.HookAll(), Destination: n.inTransform(s.meta.Partitions)},
			Discard:          js.DiscardNew, MaxBytes: s.cfg.InboxBytes,
		},
		{Name: n.TimersStream(), Subjects: []string{n.TimerAll(), n.FireAll()}, Description: "alarms", AllowMsgSchedules: true, AllowRollup: true},
		{Name: n.BlobsStream(), Subjects: []string{n.BlobAll(), n.BlobOld()}, Description: "parts of large records"},
		{Name: n.DeadStream(), Subjects: []string{n.DeadAll()}, Description: "dead letters", Duplicates: deadDuplicates},
		{
			Name: n.OutStream(), Subjects: []string{n.EmitAll()}, Description: "output streams",
			SubjectTransform: &js.SubjectTransformConfig{Source: n.EmitAll(), Destination: n.outTransform()},
			RePublish:        &js.RePublish{Source: n.OutAll(), Destination: n.outTransform()},
			AllowDirect:      true, AllowMsgTTL: true,
		},
	}
	for i := range s.meta.LogStreams {
		log := js.StreamConfig{Name: n.LogStream(i), Description: "event logs"}
		for p := range s.meta.Partitions {
			if s.logStream(p) == i {
				log.Subjects = append(log.Subjects, n.LogAll(p))
			}
		}
		all = append(all, log)
	}
	for i := range all {
		c := &all[i]
		c.Retention, c.Storage, c.Replicas = js.LimitsPolicy, js.FileStorage, s.cfg.Replicas
		c.MaxConsumers, c.MaxMsgs, c.MaxMsgsPerSubject, c.MaxMsgSize = -1, -1, -1, -1
		if c.MaxBytes == 0 {
			c.MaxBytes = -1
		}
		if c.Duplicates == 0 {
			c.Duplicates = 100 * time.Millisecond // the least: a server that starts reads all messages of the window
		}
	}
	return all
}

func (s *Store) provisionStreams(ctx context.Context) error {
	for _, cfg := range s.streams() {
		info, err := s.stream(ctx, cfg)
		if err != nil {
			return err
		}
		s.replicated = s.replicated || info.Config.Replicas > 1
		if info.Config.Replicas != s.cfg.Replicas {
			s.cfg.Logger.WarnContext(ctx, "a stream has another number of replicas than asked for",
				"stream", cfg.Name, "replicas", info.Config.Replicas, "asked", s.cfg.Replicas)
		}
	}
	return nil
}

// stream verifies a stream, or makes it where the store is still being made.
func (s *Store) stream(ctx context.Context, want js.StreamConfig) (*js.StreamInfo, error) {
	stream, err := s.lookUpStream(ctx, want.Name)
	switch {
	case err == nil:
		return s.upgrade(ctx, stream.CachedInfo(), want)
	case !errors.Is(err, js.ErrStreamNotFound):
		return nil, fmt.Errorf("look up stream %s: %w", want.Name, err)
	case s.meta.Created.IsZero():
		return s.createStream(ctx, want)
	default:
		return nil, s.lost("stream", want.Name, err)
	}
}

func (s *Store) lookUpStream(ctx context.Context, name string) (js.Stream, error) {
	return lookUp(ctx, s, func(ctx context.Context) (js.Stream, error) { return s.js.Stream(ctx, name) })
}

// lost is the error of something that a complete store does not have: err, until it is certain that no server is
// still recovering it.
func (s *Store) lost(what, name string, err error) error {
	if time.Now().Before(s.lostAfter) {
		return fmt.Errorf("look up %s %s: %w", what, name, err)
	}
	return fmt.Errorf("%w: %s %s is missing, although the store was complete on %s: restore it from a backup",
		ErrIncompatible, what, name, s.meta.Created.Format(time.RFC3339))
}

// upgrade verifies a stream, and gives it what an earlier version made it without.
func (s *Store) upgrade(ctx context.Context, info *js.StreamInfo, want js.StreamConfig) (*js.StreamInfo, error) {
	cfg := s.upgraded(info.Config, want)
	if err := s.checkStream(cfg, want); err != nil {
		return nil, err
	}
	if cfg.Duplicates == info.Config.Duplicates && cfg.AllowMsgTTL == info.Config.AllowMsgTTL && len(cfg.Subjects) == len(info.Config.Subjects) {
		return info, nil
	}
	stream, err := s.js.UpdateStream(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("upgrade stream %s: %w", cfg.Name, err)
	}
	return stream.CachedInfo(), nil
}

// upgraded is the stream's configuration as this version would have made it, where an earlier one did.
func (s *Store) upgraded(cfg, want js.StreamConfig) js.StreamConfig {
	if cfg.Name == s.names.BlobsStream() && slices.Equal(cfg.Subjects, []string{s.names.BlobOld()}) {
		cfg.Subjects = want.Subjects
	}
	cfg.AllowMsgTTL = cfg.AllowMsgTTL || want.AllowMsgTTL
	if cfg.Duplicates == deadDuplicates {
		cfg.Duplicates = want.Duplicates
	}
	return cfg
}

func (s *Store) createStream(ctx context.Context, want js.StreamConfig) (*js.StreamInfo, error) {
	if want.MaxBytes > 0 {
		room, err := s.room(ctx)
		if err != nil {
			return nil, err
		}
		want.MaxBytes = min(want.MaxBytes, room)
	}
	for {
		stream, err := s.js.CreateStream(ctx, want)
		switch {
		case err == nil:
			info := stream.CachedInfo()
			return info, s.checkStream(info.Config, want)
		case isCode(err, errSubjectOverlap): // made after we looked
			return nil, s.overlap(ctx, want)
		case isCode(err, js.JSErrCodeStreamNameInUse): // made by another node meanwhile, with another size perhaps
			return nil, errExists
		case noRoom(err) && want.MaxBytes/8 >= minInboxBytes:
			want.MaxBytes /= 8 // the others need some, too
		default:
			return nil, fmt.Errorf("create stream %s: %w", want.Name, err)
		}
	}
}

// room is the most that a bounded stream, which reserves its bound, may take of an account: a quarter.
func (s *Store) room(ctx context.Context) (int64, error) {
	info, err := s.js.AccountInfo(ctx)
	if err != nil {
		return 0, fmt.Errorf("look up the account's limits: %w", err)
	}
	limit := info.Limits.MaxStore
	if tier, ok := info.Tiers[fmt.Sprintf("R%d", s.cfg.Replicas)]; ok {
		limit = tier.Limits.MaxStore
	}
	if limit <= 0 {
		return math.MaxInt64, nil
	}
	return max(limit/int64(s.cfg.Replicas)/4, minInboxBytes), nil
}

// noRoom reports whether a stream is too large for a server or an account. Servers of a cluster say that no peer is
// suitable, and why.
func noRoom(err error) bool {
	return isCode(err, errStorageExceeded, errInsufficient) || isCode(err, errNoPeers) && strings.Contains(err.Error(), "insufficient storage")
}

// checkStream reports what makes a stream unfit. What operators may tune is not looked at.
func (s *Store) checkStream(have, want js.StreamConfig) error {
	var bad []string
	differ := func(what string, h, w any) {
		if h != w {
			bad = append(bad, fmt.Sprintf("%s is %v, want %v", what, h, w))
		}
	}
	if h, w := slices.Sorted(slices.Values(have.Subjects)), slices.Sorted(slices.Values(want.Subjects)); !slices.Equal(h, w) {
		bad = append(bad, fmt.Sprintf("its subjects are %s, want %s", brief(h), brief(w)))
	}
	differ("the subject transform", transformText(have.SubjectTransform), transformText(want.SubjectTransform))
	differ("republish", republishText(have.RePublish), republishText(want.RePublish))
	differ("retention", have.Retention, want.Retention)
	differ("discard", have.Discard, want.Discard)
	differ("the largest age", have.MaxAge, want.MaxAge)
	differ("the limit of messages", have.MaxMsgs, want.MaxMsgs)
	differ("the limit of messages a subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	differ("whether its size is limited", have.MaxBytes > 0, want.MaxBytes > 0)
	differ("allow-direct", have.AllowDirect, want.AllowDirect)
	differ("allow-rollup", have.AllowRollup, want.AllowRollup)
	differ("allow-schedules", have.AllowMsgSchedules, want.AllowMsgSchedules)
	differ("storage", have.Storage, want.Storage)
	differ("the persist mode", have.PersistMode, want.PersistMode)
	differ("whether messages have a TTL", have.AllowMsgTTL && !want.AllowMsgTTL, false)
	differ("deny-delete", have.DenyDelete, false)
	differ("deny-purge", have.DenyPurge, false)
	differ("whether its messages' size is limited", have.MaxMsgSize > 0, false)
	differ("no-ack", have.NoAck, false)
	differ("sealed", have.Sealed, false)
	differ("whether it has sources or a mirror", have.Mirror != nil || len(have.Sources) > 0, false)
	if have.Duplicates > want.Duplicates {
		differ("the duplicate window", have.Duplicates, want.Duplicates)
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("%w: stream %s is somebody else's or was changed: %s; %s",
		ErrIncompatible, have.Name, strings.Join(bad, "; "), s.names.otherPrefix())
}

func transformText(t *js.SubjectTransformConfig) string {
	if t == nil {
		return "none"
	}
	return t.Source + " → " + t.Destination
}

func republishText(r *js.RePublish) string {
	if r == nil {
		return "none"
	}
	return r.Source + " → " + r.Destination
}

func brief(subjects []string) string {
	if len(subjects) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(subjects[:3], ", "), len(subjects)-3)
	}
	return strings.Join(subjects, ", ")
}

// waitFor waits for d or until ctx ends.
func waitFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
