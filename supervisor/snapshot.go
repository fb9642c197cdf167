package supervisor

import (
	"errors"
	"iter"
	"slices"
	"sort"
	"time"
)

// A Snapshot is a supervisor at one moment.
type Snapshot struct {
	// Path is its place in the tree: the name of the root, then the ids of children, like "agent/channels".
	Path     string
	Strategy Strategy
	// State is Idle while the supervisor is not being served.
	State State
	// Restarts is the number of restarts after failures since Serve was called. The restart of a group is one.
	Restarts uint64
	// Children are in the order of their starts.
	Children []ChildSnapshot
	// More is the number of children that [Supervisor.Outline] has left out.
	More int
	// Abandoned are the incarnations in the whole subtree, also under supervisors that are gone, that were
	// abandoned and have not ended; the oldest first.
	Abandoned []AbandonedChild
	// AbandonedTotal counts those that have ended too.
	AbandonedTotal uint64
}

// A ChildSnapshot is a child at one moment.
type ChildSnapshot struct {
	ID         string
	State      State
	Restart    Restart
	Generation uint64
	// Restarts is the number of restarts after failures of its own. Generation tells of the others too.
	Restarts uint32
	// Uptime is the age of the incarnation, zero unless the child is Running.
	Uptime time.Duration
	// Reason is why it failed last.
	Reason error
	// FailedAt is when that was.
	FailedAt time.Time
	// Stats is what the child tells of itself, nil if it has no method Stats.
	Stats *Stats
	// Supervisor is set if the child is a supervisor, or serves one with its own context.
	Supervisor *Snapshot
}

// Stats tells how much work waits. A Service or a Process has them in the snapshot if it has a method
//
//	Stats() Stats
//
// It is called when somebody asks for a snapshot, who waits for it: it must not block.
type Stats struct {
	Queue     int // messages that wait
	HighWater int // the most that ever did
	// Dropped counts the messages that a policy of the child has thrown away.
	Dropped uint64
}

// Stack returns the stack of the last failure if that was a panic. It is made when it is asked for.
func (c *ChildSnapshot) Stack() []byte {
	if p := (*PanicError)(nil); errors.As(c.Reason, &p) {
		return p.Stack()
	}
	return nil
}

type loaded interface{ Stats() Stats }

// stats asks the child, on a goroutine that it may end. One that fails on that has none.
func stats(child loaded) *Stats {
	var s Stats
	failed := make(chan error, 1)
	go protect(func() error { s = child.Stats(); return nil }, func(err error) { failed <- err })
	if <-failed != nil {
		return nil
	}
	return &s
}

// Snapshot returns the state of the whole subtree. Each supervisor in it is asked at a slightly different time.
func (s *Supervisor) Snapshot() Snapshot { return s.snapshot(all) }

// Outline is a Snapshot that stays small: of the children of each supervisor, which may be tens of thousands, it has
// at most n, and if there are more, those that were restarted most often, first. The others are counted, and not asked.
func (s *Supervisor) Outline(n int) Snapshot { return s.snapshot(max(n, 0)) }

// all is the number of children for a snapshot that has them all.
const all = -1

func (s *Supervisor) snapshot(n int) Snapshot {
	snap := Snapshot{Path: s.place.Load().path, Strategy: s.opts.Strategy}
	snap.Abandoned, snap.AbandonedTotal = s.lost.list()
	for i, more := range s.look(&snap, n) {
		more.ask(&snap.Children[i], n)
	}
	return snap
}

// Child returns the state of one child, and of what is below it. The error is ErrNotFound or ErrNotRunning.
func (s *Supervisor) Child(id string) (ChildSnapshot, error) {
	s.mu.Lock()
	if s.core == nil {
		s.mu.Unlock()
		return ChildSnapshot{}, ErrNotRunning
	}
	c := s.core.kids[id]
	if c == nil {
		s.mu.Unlock()
		return ChildSnapshot{}, &Error{Code: CodeNotFound, Child: id}
	}
	child, more := s.lookAt(c)
	s.mu.Unlock()
	more.ask(&child, all)
	return child, nil
}

// below is whom else to ask for the snapshot of a child, without holding a lock.
type below struct {
	sub  *Supervisor
	load loaded
}

func (b below) ask(c *ChildSnapshot, n int) {
	if b.sub != nil {
		inner := b.sub.snapshot(n)
		c.Supervisor = &inner
	}
	if b.load != nil {
		c.Stats = stats(b.load)
	}
}

// look copies what the core knows.
func (s *Supervisor) look(snap *Snapshot, n int) []below {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.core
	if k == nil {
		return nil
	}
	snap.State, snap.Restarts = min(k.state, Stopping), k.restarts
	if n != all && n < len(k.kids) {
		snap.More = len(k.kids) - n
		return s.lookAtAll(snap, n, mostRestarted(k.first, n))
	}
	return s.lookAtAll(snap, len(k.kids), func(yield func(*child) bool) {
		for c := k.first; c != nil && yield(c); c = c.next {
		}
	})
}

func (s *Supervisor) lookAtAll(snap *Snapshot, n int, kids iter.Seq[*child]) []below {
	snap.Children = make([]ChildSnapshot, 0, n)
	asked := make([]below, 0, n)
	for c := range kids {
		child, more := s.lookAt(c)
		snap.Children, asked = append(snap.Children, child), append(asked, more)
	}
	return asked
}

// mostRestarted picks n children in one pass: nearly all of them have never been restarted.
func mostRestarted(c *child, n int) iter.Seq[*child] {
	top := make([]*child, 0, n)
	for ; c != nil && n > 0; c = c.next {
		if len(top) == n {
			if c.restarts <= top[n-1].restarts {
				continue
			}
			top = top[:n-1]
		}
		at := sort.Search(len(top), func(i int) bool { return top[i].restarts < c.restarts })
		top = slices.Insert(top, at, c)
	}
	return slices.Values(top)
}

func (s *Supervisor) lookAt(c *child) (child ChildSnapshot, more below) {
	child = ChildSnapshot{
		ID: c.spec.ID, State: c.state, Restart: c.spec.Restart, Generation: c.gen, Restarts: c.restarts,
	}
	if c.state == Running {
		child.Uptime = s.opts.Now().Sub(s.epoch) - c.since
	}
	if c.spec.Service != nil {
		more.load, _ = c.spec.Service.(loaded)
	} else if c.spec.Process != nil {
		more.load, _ = c.spec.Process.(loaded)
	}
	if r := c.rare; r != nil {
		more.sub = r.sub
		if r.load != nil {
			more.load = r.load
		}
		if r.reason != nil {
			child.Reason, child.FailedAt = r.reason, s.epoch.Add(r.failedAt)
		}
	}
	return child, more
}

// Children returns the ids of the children, in the order of their starts.
func (s *Supervisor) Children() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core == nil {
		return nil
	}
	ids := make([]string, 0, len(s.core.kids))
	for c := s.core.first; c != nil; c = c.next {
		ids = append(ids, c.spec.ID)
	}
	return ids
}

// Counts are the numbers of children, as OTP counts them.
type Counts struct {
	Specs       int // all, in whatever state
	Active      int // those with an incarnation
	Supervisors int // those whose latest incarnation was a supervisor
	Workers     int // the others
}

// Count counts the children, not those below them.
func (s *Supervisor) Count() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n Counts
	if s.core == nil {
		return n
	}
	for c := s.core.first; c != nil; c = c.next {
		n.Specs++
		if c.state == Starting || c.state == Running || c.state == Stopping {
			n.Active++
		}
		if c.nested {
			n.Supervisors++
		} else {
			n.Workers++
		}
	}
	return n
}
