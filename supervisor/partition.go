package supervisor

import (
	"hash/fnv"
	"runtime"
)

// A Partitioned is a supervisor of parts that are alike, among which work is divided by key: a key always has the
// same part, in each process that has as many parts, and whatever becomes of the part's incarnations. P is what stands for
// a part in front of its users, like a *Supervisor or the address of an actor.
type Partitioned[P any] struct {
	*Supervisor
	parts []P
}

// NewPartitioned returns a supervisor of n parts, or of as many as Go uses processors if n is not positive. Part is
// called for each, from 0 on, and returns it and the spec to start it by; the specs follow [Options.Children].
func NewPartitioned[P any](o Options, n int, part func(i int) (P, Spec)) *Partitioned[P] {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	o = o.withDefaults()
	p := &Partitioned[P]{parts: make([]P, n)}
	for i := range n {
		var spec Spec
		p.parts[i], spec = part(i)
		o.Children = append(o.Children, spec)
	}
	p.Supervisor = New(o)
	return p
}

// For returns the part that key belongs to. It costs some nanoseconds and may be called at any time.
func (p *Partitioned[P]) For(key string) P { return p.parts[partition(key, len(p.parts))] }

// All returns the parts in order.
func (p *Partitioned[P]) All() []P { return append([]P(nil), p.parts...) }

// partition divides keys evenly among n parts.
func partition(key string, n int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum64() % uint64(n))
}
