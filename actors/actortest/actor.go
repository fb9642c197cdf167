package actortest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/supervisor"
)

// ErrInjected is what an actor panics with when CrashOn makes it fail.
var ErrInjected = errors.New("injected crash")

const child = "actor"

// Actor is an actor under test, with its address. It is supervised: permanent,
// with a budget without end and no back-off worth speaking of, so that it is
// started again each time it ends.
type Actor[M any] struct {
	actors.Ref[M]
	t    testing.TB
	tree *supervisor.Supervisor

	mu    sync.Mutex
	match func(M) bool
}

// Start runs an actor until the test ends, and returns when it has started. A
// start that fails ends the test.
func Start[M any](t testing.TB, spec actors.Spec[M]) *Actor[M] {
	t.Helper()
	a := &Actor[M]{t: t}
	log := slog.New(slog.DiscardHandler)
	sys := actors.NewSystem(actors.SystemOptions{Logger: log})
	if spec.New != nil {
		make := spec.New
		spec.New = func() actors.Actor[M] {
			inner := make()
			if inner == nil {
				return nil
			}
			return &double[M]{a, inner}
		}
	}
	process := actors.New(sys, spec)
	a.Ref = process.Ref()
	a.tree = supervisor.New(supervisor.Options{
		Name: t.Name(), Logger: log,
		Children: []supervisor.Spec{{ID: child, Process: process}},
		Budget:   supervisor.Budget{Failures: -1},
		Backoff:  supervisor.Backoff{Initial: time.Nanosecond, Max: time.Nanosecond},
	})
	ready := a.tree.Ready()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- a.tree.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		<-served
		sys.Close()
	})
	select {
	case <-ready:
	case err := <-served:
		served <- err
		t.Fatalf("start of the actor: %v", err)
	}
	return a
}

// Tell sends messages in this order. One that is refused ends the test.
func (a *Actor[M]) Tell(messages ...M) {
	a.t.Helper()
	for _, m := range messages {
		if err := a.Ref.Tell(context.Background(), m); err != nil {
			a.t.Fatalf("tell %v: %v", m, err)
		}
	}
}

// CrashOn has the actor panic with ErrInjected, once, in the place of handling
// the next message for which match is true. match is called by the actor. A
// later call replaces it; nil takes it back.
func (a *Actor[M]) CrashOn(match func(M) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.match = match
}

// crashes reports whether the actor has to fail on m.
func (a *Actor[M]) crashes(m M) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.match == nil || !a.match(m) {
		return false
	}
	a.match = nil
	return true
}

// Stop has the supervisor stop the actor for good, and returns when it has
// ended. An end that is not orderly ends the test.
func (a *Actor[M]) Stop() {
	a.t.Helper()
	if err := a.tree.Terminate(context.Background(), child); err != nil {
		a.t.Fatalf("stop of the actor: %v", err)
	}
}

// State returns what the supervisor knows of the actor: its generation, its
// restarts, the last failure, and its mailbox.
func (a *Actor[M]) State() supervisor.ChildSnapshot {
	a.t.Helper()
	state, err := a.tree.Child(child)
	if err != nil {
		a.t.Fatalf("state of the actor: %v", err)
	}
	return state
}

// double stands before an incarnation and fails in its place.
type double[M any] struct {
	a     *Actor[M]
	inner actors.Actor[M]
}

func (d *double[M]) Receive(c *actors.Context[M], m M) {
	if d.a.crashes(m) {
		panic(ErrInjected)
	}
	d.inner.Receive(c, m)
}

func (d *double[M]) Start(c *actors.Context[M]) error {
	if s, ok := d.inner.(actors.Starter[M]); ok {
		return s.Start(c)
	}
	return nil
}

func (d *double[M]) Stop(reason error) {
	if s, ok := d.inner.(actors.Stopper); ok {
		s.Stop(reason)
	}
}

func (d *double[M]) Idle() {
	if i, ok := d.inner.(actors.Idler); ok {
		i.Idle()
	}
}
