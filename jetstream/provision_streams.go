package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	js "github.com/nats-io/nats.go/jetstream"
)

// streams are the configurations of all streams. The inbox comes first: its subjects are the likeliest to
// overlap with somebody else's.
func (s *Store) streams() []js.StreamConfig {
	n := s.names
	all := []js.StreamConfig{
		{
			Name: n.InboxStream(), Subjects: []string{n.HookAll()}, Description: "one-way calls",
			SubjectTransform: &js.SubjectTransformConfig{Source: n.HookAll(), Destination: n.inTransform(s.meta.Partitions)},
			Discard:          js.DiscardNew, MaxBytes: s.cfg.InboxBytes, Duplicates: 100 * time.Millisecond,
		},
		{Name: n.TimersStream(), Subjects: []string{n.TimerAll(), n.FireAll()}, Description: "alarms", AllowMsgSchedules: true, AllowRollup: true},
		{Name: n.BlobsStream(), Subjects: []string{n.BlobAll()}, Description: "parts of large records"},
		{Name: n.DeadStream(), Subjects: []string{n.DeadAll()}, Description: "dead letters"},
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
			c.Duplicates = 2 * time.Minute
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
	deadline := time.Now().Add(missingAfter)
	for {
		stream, err := s.js.Stream(ctx, want.Name)
		if err == nil {
			info := stream.CachedInfo()
			if err := checkStream(info.Config, want); err != nil {
				return nil, err
			}
			return s.allowTTL(ctx, info, want)
		}
		if !errors.Is(err, js.ErrStreamNotFound) {
			return nil, fmt.Errorf("look up stream %s: %w", want.Name, err)
		}
		if s.meta.Created.IsZero() {
			break
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%w: stream %s is missing, although the store was complete on %s: restore it from a backup",
				ErrIncompatible, want.Name, s.meta.Created.Format(time.RFC3339))
		}
		if err := waitFor(ctx, retryEvery); err != nil {
			return nil, err
		}
	}
	return s.createStream(ctx, want)
}

// allowTTL lets messages have a TTL in a stream that an earlier version made without.
func (s *Store) allowTTL(ctx context.Context, info *js.StreamInfo, want js.StreamConfig) (*js.StreamInfo, error) {
	if info.Config.AllowMsgTTL || !want.AllowMsgTTL {
		return info, nil
	}
	cfg := info.Config
	cfg.AllowMsgTTL = true
	stream, err := s.js.UpdateStream(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("allow stream %s messages with a TTL: %w", cfg.Name, err)
	}
	return stream.CachedInfo(), nil
}

func (s *Store) createStream(ctx context.Context, want js.StreamConfig) (*js.StreamInfo, error) {
	for {
		stream, err := s.js.CreateStream(ctx, want)
		switch {
		case err == nil:
			info := stream.CachedInfo()
			return info, checkStream(info.Config, want)
		case isCode(err, errSubjectOverlap):
			return nil, s.overlap(ctx, want)
		case isCode(err, js.JSErrCodeStreamNameInUse): // made by another node meanwhile, with another size perhaps
			return nil, errExists
		case isCode(err, errStorageExceeded, errInsufficient) && want.MaxBytes/8 >= minInboxBytes:
			want.MaxBytes /= 8 // the others need some, too
		default:
			return nil, fmt.Errorf("create stream %s: %w", want.Name, err)
		}
	}
}

// overlap names the streams whose subjects are in the way.
func (s *Store) overlap(ctx context.Context, want js.StreamConfig) error {
	var others []string
	for _, subject := range want.Subjects {
		list := s.js.StreamNames(ctx, js.WithStreamListSubject(subject))
		for name := range list.Name() {
			if !slices.Contains(others, name) {
				others = append(others, name)
			}
		}
	}
	return fmt.Errorf("%w: the subjects of stream %s (%s) overlap with stream %s: choose subjects of your own, such as --prefix acme",
		ErrIncompatible, want.Name, brief(want.Subjects), strings.Join(others, ", "))
}

// checkStream reports what makes a stream unfit. What operators may tune is not looked at.
func checkStream(have, want js.StreamConfig) error {
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
	differ("no-ack", have.NoAck, false)
	differ("sealed", have.Sealed, false)
	differ("whether it has sources or a mirror", have.Mirror != nil || len(have.Sources) > 0, false)
	if have.Duplicates > want.Duplicates {
		differ("the duplicate window", have.Duplicates, want.Duplicates)
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("%w: stream %s is somebody else's or was changed: %s; choose other names with --prefix, such as --prefix acme",
		ErrIncompatible, have.Name, strings.Join(bad, "; "))
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
