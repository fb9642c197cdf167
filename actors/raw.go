package actors

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pando-agents/pando/supervisor"
)

// Raw runs an actor that was written for protoactor-go as a supervised child.
// Each incarnation is spawned anew, with a PID and a mailbox of its own: what
// waits when it ends is lost, as it is with protoactor-go. A panic or
// runtime.Goexit in it ends the incarnation and is told to the supervisor;
// protoactor-go's own restarts are never used. After a Goexit, the children and
// watchers that protoactor-go keeps for the incarnation are not told.
type Raw struct {
	sys     *System
	name    string
	produce actor.Producer
	opts    []actor.PropsOption

	mu   sync.Mutex
	life *rawLife
}

var _ supervisor.Process = (*Raw)(nil)

// NewRaw returns a child for a supervisor. produce is called for each
// incarnation, on its goroutine: a panic there is a failed start, and so is nil.
// opts are those of protoactor-go, a mailbox for instance.
func NewRaw(sys *System, name string, produce actor.Producer, opts ...actor.PropsOption) *Raw {
	return &Raw{sys: sys, name: name, produce: produce, opts: opts}
}

// PID returns the address of the latest incarnation, nil before the first.
func (r *Raw) PID() *actor.PID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.life == nil {
		return nil
	}
	return r.life.pid
}

// Root returns the context with which code that is no actor sends to the PIDs
// of s and asks them.
func (s *System) Root() *actor.RootContext { return s.protoSystem().Root }

// Start spawns one incarnation and waits until it has handled *actor.Started.
func (r *Raw) Start(ctx context.Context, inc supervisor.Incarnation) error {
	life := &rawLife{raw: r, generation: inc.Generation, exit: inc.Exit, started: make(chan error, 1)}
	opts := append([]actor.PropsOption{actor.WithDispatcher(r.sys.dispatcher)}, r.opts...)
	props := actor.PropsFromProducer(func() actor.Actor { return life }, opts...)
	registry := r.sys.protoSystem().ProcessRegistry
	r.mu.Lock()
	if err := context.Cause(ctx); err != nil {
		r.mu.Unlock()
		return err // given up on before it began
	}
	pid, err := r.sys.Root().SpawnNamed(props, registry.NextID()+"/"+r.name)
	if err == nil {
		life.pid, r.life = pid, life
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	return <-life.started
}

// Stop asks incarnation gen to end as protoactor-go does: after the message
// under way, its children first.
func (r *Raw) Stop(gen uint64, _ error) {
	if life := r.of(gen); life != nil {
		r.sys.Root().Stop(life.pid)
	}
}

// Abandon takes the PID of incarnation gen away.
func (r *Raw) Abandon(gen uint64) {
	if life := r.of(gen); life != nil {
		life.fenced.Store(true)
		life.remove()
	}
}

func (r *Raw) of(gen uint64) *rawLife {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.life == nil || r.life.generation != gen {
		return nil
	}
	return r.life
}

// rawLife is what protoactor-go runs: it never panics.
type rawLife struct {
	raw        *Raw
	pid        *actor.PID
	generation uint64
	exit       func(error)
	started    chan error
	fenced     atomic.Bool

	// Only its own goroutine touches these.
	inner actor.Actor
	up    bool
	ended bool
}

// Receive hands everything to the user's actor.
func (l *rawLife) Receive(c actor.Context) {
	if l.ended || l.fenced.Load() && l.up {
		l.refuse(c)
		return
	}
	done := false
	defer func() {
		if !done {
			l.fail(c, supervisor.Recovered(recover()))
		}
	}()
	if _, ok := c.Message().(*actor.Started); ok {
		if l.inner = l.raw.produce(); l.inner == nil {
			done = true
			l.fail(c, errNoActor)
			return
		}
	}
	l.inner.Receive(c)
	done = true
	switch c.Message().(type) {
	case *actor.Started:
		if l.fenced.Load() {
			l.fail(c, ErrFenced)
			return
		}
		l.up = true
		l.started <- nil
	case *actor.Stopped:
		l.end(nil)
	}
}

// refuse takes what comes after the end, or after an abandonment.
func (l *rawLife) refuse(c actor.Context) {
	switch m := c.Message().(type) {
	case actor.SystemMessage, actor.AutoReceiveMessage:
		if _, ok := m.(*actor.Stopped); ok {
			l.end(ErrFenced)
		}
	default:
		l.raw.sys.deadLetters.Add(1)
	}
}

// fail ends the incarnation, and has protoactor-go forget it.
func (l *rawLife) fail(c actor.Context, err error) {
	c.Stop(c.Self())
	if err == supervisor.ErrGoexit { // its mailbox runs no more
		l.raw.sys.protoSystem().ProcessRegistry.Remove(c.Self())
	}
	l.end(err)
}

func (l *rawLife) end(err error) {
	switch {
	case l.ended:
		return
	case !l.up:
		l.started <- err
	case l.fenced.Load():
		l.exit(ErrFenced)
	default:
		l.exit(err)
	}
	l.ended = true
}

// remove takes the PID out of the process registry, and lets the incarnation
// end when it comes back.
func (l *rawLife) remove() {
	registry := l.raw.sys.protoSystem().ProcessRegistry
	if process, ok := registry.Get(l.pid); ok {
		process.Stop(l.pid)
	}
	registry.Remove(l.pid)
}
