package actors

import (
	"maps"
	"slices"
)

// kin are those who hear of the end of an incarnation, or share it. It is
// guarded by the mutex of the Process.
type kin struct {
	count    uint64
	watchers map[*watcher]uint64 // their numbers are their order
	ties     map[*tie]uint64
	severed  *LinkError // why the incarnation has to end
}

// kin returns those of c, made when they are needed. It is called with the mutex
// of the Process held.
func (c *Context[M]) kin() *kin {
	r := c.extra()
	if r.kin == nil {
		r.kin = new(kin)
	}
	return r.kin
}

func (k *kin) watch(w *watcher) {
	if k.watchers == nil {
		k.watchers = make(map[*watcher]uint64)
	}
	k.count++
	k.watchers[w] = k.count
}

func (k *kin) tie(l *tie) {
	if k.ties == nil {
		k.ties = make(map[*tie]uint64)
	}
	k.count++
	k.ties[l] = k.count
}

// tell tells all of the end of c, in the order in which they have come: a seeded
// run is to be the same each time.
func (k *kin) tell(c tied, d Down, tell func(f func(Down), d Down)) {
	for _, w := range inOrder(k.watchers) {
		tell(w.f, d)
	}
	for _, l := range inOrder(k.ties) {
		if !l.cut.CompareAndSwap(false, true) {
			continue
		}
		other := l.from
		if other == c {
			other = l.to
		}
		other.unbind(l)
		if d.Reason == nil {
			continue
		}
		e, passedOn := d.Reason.(*LinkError)
		if !passedOn {
			e = &LinkError{Actor: d.Actor, Generation: d.Generation, Reason: d.Reason}
		}
		other.sever(e)
	}
}

func inOrder[K comparable](numbers map[K]uint64) []K {
	return slices.SortedFunc(maps.Keys(numbers), func(a, b K) int {
		return int(numbers[a]) - int(numbers[b])
	})
}
