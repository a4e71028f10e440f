package router

import (
	"testing"
	"time"

	"github.com/perdure/perdure/actor"
)

func TestDue(t *testing.T) {
	written := actor.Checkpoint{Inbox: 5, Incarnation: "i", Timers: 6, Floor: 7, Unsettled: []actor.UnsettledRun{{Run: "c/k", Seq: 3}}}
	with := func(change func(*actor.Checkpoint)) actor.Checkpoint {
		c := written
		change(&c)
		return c
	}
	for name, tc := range map[string]struct {
		now  actor.Checkpoint
		age  time.Duration
		want bool
	}{
		"nothing new":            {written, time.Hour, false},
		"floor moved":            {with(func(c *actor.Checkpoint) { c.Floor = 8 }), time.Second, true},
		"unsettled run is over":  {with(func(c *actor.Checkpoint) { c.Unsettled = nil }), time.Second, true},
		"positions alone":        {with(func(c *actor.Checkpoint) { c.Inbox, c.Timers = 9, 9 }), positionsEvery - time.Second, false},
		"positions alone, later": {with(func(c *actor.Checkpoint) { c.Inbox = 9 }), positionsEvery, true},
		"timers alone, later":    {with(func(c *actor.Checkpoint) { c.Timers = 9 }), positionsEvery, true},
		"both":                   {with(func(c *actor.Checkpoint) { c.Inbox, c.Floor = 9, 8 }), time.Second, true},
	} {
		if got := due(written, tc.now, tc.age); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestLowestCursor(t *testing.T) {
	at := func(inbox uint64) Record { return Record{Checkpoint: actor.Checkpoint{Inbox: inbox}} }
	for name, tc := range map[string]struct {
		records map[int]Record
		want    uint64
	}{
		"all":         {map[int]Record{0: at(5), 1: at(3), 2: at(9)}, 3},
		"one missing": {map[int]Record{0: at(5), 2: at(9)}, 0},
		"none":        {nil, 0},
	} {
		if got := lowestCursor(tc.records, 3); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}
