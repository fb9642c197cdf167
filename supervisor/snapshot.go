package supervisor

import (
	"errors"
	"time"
)

// A Snapshot is a supervisor at one moment.
type Snapshot struct {
	// Path is its place in the tree: the name of the root, then the ids of children, like "agent/channels".
	Path string
	// State is Idle while the supervisor is not being served.
	State State
	// Restarts is the number of restarts after failures since Serve was called.
	Restarts uint64
	// Children are in the order of their starts.
	Children []ChildSnapshot
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
	// Restarts is the number of restarts after failures.
	Restarts uint32
	// Uptime is the age of the incarnation, zero unless the child is Running.
	Uptime time.Duration
	// Reason is why it failed last.
	Reason error
	// FailedAt is when that was.
	FailedAt time.Time
	// Supervisor is set if the child is a supervisor, or has a method Snapshot like one.
	Supervisor *Snapshot
}

// Stack returns the stack of the last failure if that was a panic. It is made when it is asked for.
func (c *ChildSnapshot) Stack() []byte {
	if p := (*PanicError)(nil); errors.As(c.Reason, &p) {
		return p.Stack()
	}
	return nil
}

type snapshotter interface{ Snapshot() Snapshot }

// Snapshot returns the state of the whole subtree. Each supervisor in it is asked at a slightly different time.
func (s *Supervisor) Snapshot() Snapshot {
	snap := Snapshot{Path: s.place.Load().path}
	snap.Abandoned, snap.AbandonedTotal = s.lost.list()
	for i, sub := range s.look(&snap) {
		if sub != nil {
			inner := sub.Snapshot()
			snap.Children[i].Supervisor = &inner
		}
	}
	return snap
}

// look copies what the core knows, and returns the supervisors among the children, or nil if there is none.
func (s *Supervisor) look(snap *Snapshot) []snapshotter {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.core
	if k == nil {
		return nil
	}
	snap.State, snap.Restarts = min(k.state, Stopping), k.restarts
	snap.Children = make([]ChildSnapshot, 0, len(k.kids))
	var subs []snapshotter
	now := s.opts.Now().Sub(s.epoch)
	for c := k.first; c != nil; c = c.next {
		child := ChildSnapshot{
			ID: c.spec.ID, State: c.state, Restart: c.spec.Restart, Generation: c.gen, Restarts: c.restarts,
		}
		if c.state == Running {
			child.Uptime = now - c.since
		}
		if r := c.rare; r != nil && r.reason != nil {
			child.Reason, child.FailedAt = r.reason, s.epoch.Add(r.failedAt)
		}
		if r := c.rare; r != nil && r.sub != nil {
			if subs == nil {
				subs = make([]snapshotter, len(k.kids))
			}
			subs[len(snap.Children)] = r.sub
		}
		snap.Children = append(snap.Children, child)
	}
	return subs
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

// Count returns the number of children, in whatever state they are.
func (s *Supervisor) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core == nil {
		return 0
	}
	return len(s.core.kids)
}
