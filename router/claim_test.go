package router

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/actor"
)

func TestJudge(t *testing.T) {
	self := identity{node: "me", session: "now"}
	alone := self
	alone.exclusive = true
	other := Record{Revision: 9, Node: "other", Session: "theirs", Epoch: 4}
	mine := Record{Revision: 9, Node: "me", Session: "before", Epoch: 4}
	released := other
	released.Released = true
	ours := mine
	ours.Session = "now"
	for name, tc := range map[string]struct {
		record Record
		self   identity
		silent time.Duration
		want   stance
	}{
		"never claimed":                {Record{}, self, time.Second, stanceClaim},
		"deleted or overwritten":       {Record{Revision: 9}, alone, 0, stanceWait},
		"released":                     {released, self, time.Second, stanceClaim},
		"released, owner dead":         {released, self, 0, stanceClaim},
		"owner living":                 {other, self, 1, stanceWait},
		"owner dead":                   {other, self, 0, stanceUnclean},
		"claimed and not heard":        {ours, self, time.Second, stanceOurs},
		"earlier session":              {mine, self, time.Second, stanceWait},
		"earlier session dead":         {mine, self, 0, stanceUnclean},
		"earlier session, exclusive":   {mine, alone, time.Second, stanceClaim},
		"owner living, exclusive":      {other, alone, time.Second, stanceWait},
		"owner dead, exclusive":        {other, alone, 0, stanceUnclean},
		"claimed unheard, exclusive":   {ours, alone, time.Second, stanceOurs},
		"never claimed, owner unknown": {Record{}, alone, 0, stanceClaim},
	} {
		if got := judge(tc.record, tc.self, tc.silent); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestRecord_Claimed(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	self := identity{node: "me", session: "now"}
	keep := actor.Checkpoint{Inbox: 5, Incarnation: "i", Timers: 6, Floor: 7, Unsettled: []actor.UnsettledRun{{Run: "c/k", Seq: 3}}}
	got := Record{Partition: 2, Revision: 9, Node: "o", Session: "s", Epoch: 4, Released: true, Checkpoint: keep}.claimed(self, since, "j")
	want := Record{Partition: 2, Revision: 9, Node: "me", Session: "now", Epoch: 5, Since: since, Checkpoint: keep}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
	got = Record{Partition: 2}.claimed(self, since, "j")
	want = Record{Partition: 2, Node: "me", Session: "now", Epoch: 1, Since: since, Checkpoint: actor.Checkpoint{Incarnation: "j"}}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
}

func TestCheckInbox(t *testing.T) {
	inbox := actor.InboxBounds{First: 11, Last: 10, Incarnation: "i"}
	for name, tc := range map[string]struct {
		cursor actor.Checkpoint
		ok     bool
	}{
		"never claimed":       {actor.Checkpoint{}, true},
		"within":              {actor.Checkpoint{Inbox: 3, Incarnation: "i"}, true},
		"at the end":          {actor.Checkpoint{Inbox: 10, Incarnation: "i"}, true},
		"beyond the end":      {actor.Checkpoint{Inbox: 11, Incarnation: "i"}, false},
		"another incarnation": {actor.Checkpoint{Inbox: 3, Incarnation: "h"}, false},
	} {
		err := checkInbox(Record{Partition: 1, Checkpoint: tc.cursor}, inbox)
		var refused *InboxError
		if ok := err == nil; ok != tc.ok || !ok && !errors.As(err, &refused) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
