package router

import (
	"errors"
	"slices"
	"time"
)

// ErrAlone is returned by [Owner.Drain] when no other living node could take the partitions.
var ErrAlone = errors.New("no other node could take the partitions")

// places returns where each partition belongs as this node sees it, and for how long that is true by itself.
// whole is false while not all living nodes are known: then nothing is to be taken or given.
func (s *session) places() (homes placement, next time.Duration, whole bool) {
	members, next, whole := s.others()
	self := member{node: s.self.node, types: s.cfg.Types, draining: s.wantsOut()}
	return place(append(members, self)), next, whole
}

// others returns the living nodes but this one.
func (o *Owner) others() (members []member, next time.Duration, whole bool) {
	members, next, whole = o.view.living(o.now().Mono)
	return slices.DeleteFunc(members, func(m member) bool { return m.node == o.cfg.Node }), next, whole
}

// wantsOut reports whether the node wants to own nothing: it drains, or it leaves.
func (s *session) wantsOut() bool { return s.draining.Load() || s.leaving.Load() }

// Drain says whether this node shall hand its partitions over to other nodes and take no more; it goes on serving
// callers by forwarding. It returns at once, and holds until it is taken back or the program ends. [ErrAlone].
func (o *Owner) Drain(on bool) error {
	others, _, _ := o.others()
	if on && !slices.ContainsFunc(others, func(m member) bool { return !m.draining }) {
		return ErrAlone
	}
	if o.draining.Swap(on) != on {
		o.cfg.Log.Info("draining changed", "draining", on)
	}
	o.announce()
	o.view.tell()
	return nil
}

// announce has the lease renewed at once, because it says something new.
func (o *Owner) announce() {
	select {
	case o.news <- struct{}{}:
	default:
	}
}

// Hosted reports whether a living node hosts objects of the type, this one included, or may: not all nodes are known
// yet, or this one was cut off for so long that it takes the others for dead.
func (o *Owner) Hosted(typ string) bool {
	return slices.Contains(o.cfg.Types, typ) || !o.Trusted() || o.view.hosted(typ, o.now().Mono)
}

// Known reports whether a living node hosts objects of the type, or some partition has such objects.
func (o *Owner) Known(typ string) bool { return o.Hosted(typ) || o.view.needed(typ) }
