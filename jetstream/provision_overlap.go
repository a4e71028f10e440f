package jetstream

import (
	"context"
	"fmt"
	"slices"
	"strings"

	js "github.com/nats-io/nats.go/jetstream"
)

// noOverlap looks for streams of somebody else's on subjects of ours, before anything is made. Those that our streams
// ingest could not be made; one that takes calls would answer them, with its own acknowledgement.
func (s *Store) noOverlap(ctx context.Context) error {
	n := s.names
	subjects := []string{
		n.HookAll(), n.dot + "log.*.*.*", n.BlobAll(), n.BlobOld(), n.TimerAll(), n.FireAll(), n.DeadAll(), n.EmitAll(),
		n.CallAll(), n.Own(0, ownCall, "*", "*", "*"), n.OutAll(),
	}
	for _, bucket := range n.buckets() {
		subjects = append(subjects, "$KV."+bucket+".>")
	}
	for _, subject := range subjects {
		list := s.js.StreamNames(ctx, js.WithStreamListSubject(subject))
		var theirs []string
		for name := range list.Name() {
			if !n.isOurs(name) {
				theirs = append(theirs, name)
			}
		}
		if err := list.Err(); err != nil {
			return fmt.Errorf("look for streams on %s: %w", subject, err)
		}
		if len(theirs) > 0 {
			slices.Sort(theirs)
			return fmt.Errorf("%w: stream %s has subjects that overlap with %s, which are ours: %s",
				ErrIncompatible, strings.Join(theirs, ", "), subject, n.otherPrefix())
		}
	}
	return nil
}

// overlap explains why a stream could not be made although nothing was in its way before.
func (s *Store) overlap(ctx context.Context, want js.StreamConfig) error {
	if err := s.noOverlap(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%w: the subjects of stream %s (%s) overlap with another stream: %s",
		ErrIncompatible, want.Name, brief(want.Subjects), s.names.otherPrefix())
}

// buckets are the names of all buckets.
func (n Names) buckets() []string {
	return []string{n.MetaBucket(), n.LeasesBucket(), n.PartitionsBucket(), n.TokensBucket()}
}

// isOurs reports whether a stream has the name of one of ours.
func (n Names) isOurs(stream string) bool {
	if bucket, ok := strings.CutPrefix(stream, "KV_"); ok {
		return slices.Contains(n.buckets(), bucket)
	}
	return strings.HasPrefix(stream, n.asset("LOG_")) ||
		slices.Contains([]string{n.InboxStream(), n.TimersStream(), n.BlobsStream(), n.DeadStream(), n.OutStream()}, stream)
}

// otherPrefix tells whoever meets an overlap what to do.
func (n Names) otherPrefix() string {
	if n.Prefix() == "" {
		return "choose other names with --prefix, such as --prefix acme"
	}
	return "choose another prefix than --prefix " + n.Prefix()
}
