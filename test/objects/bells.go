package objects

import (
	"time"

	"github.com/perdure/perdure/actor"
)

// Tower is an object with bells: alarms that it is told to set, and that note when they rang.
type Tower struct {
	Rang []Ring `json:"rang"`
}

// Ring says that a bell has rung.
type Ring struct {
	Key string    `json:"key"`
	Due time.Time `json:"due"`
	At  time.Time `json:"at"`
}

// Bell is one alarm to be set.
type Bell struct {
	Key string    `json:"key"`
	Due time.Time `json:"due"`
}

// Bells says which to set and which to cancel.
type Bells struct {
	Set    []Bell   `json:"set,omitempty"`
	Cancel []string `json:"cancel,omitempty"`
}

var bell = actor.AlarmRef[Bell]("bell")

// Hang sets and cancels bells.
func (*Tower) Hang(ctx actor.Context, in Bells) (int, error) {
	for _, b := range in.Set {
		if err := bell.Set(ctx, b.Key, b.Due, b); err != nil {
			return 0, err
		}
	}
	for _, key := range in.Cancel {
		bell.Cancel(ctx, key)
	}
	left, err := bell.List(ctx)
	return len(left), err
}

// Ring notes that a bell rings.
func (t *Tower) Ring(ctx actor.Context, b Bell) error {
	t.Rang = append(t.Rang, Ring{b.Key, b.Due, actor.Now(ctx)})
	return nil
}

// Keys returns the keys of the bells that have rung.
func (t Tower) Keys(actor.ReadContext, actor.None) ([]string, error) {
	keys := []string{}
	for _, r := range t.Rang {
		keys = append(keys, r.Key)
	}
	return keys, nil
}

// The tower's type, its methods and its alarm.
var (
	Towers    = actor.NewObject[Tower]("tower")
	TowerHang = actor.NewMethod(Towers, "hang", (*Tower).Hang)
	TowerKeys = actor.NewQuery(Towers, "keys", Tower.Keys)
	TowerBell = actor.NewAlarm(Towers, "bell", (*Tower).Ring)
)
