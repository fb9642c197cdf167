package pando

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/supervisor"
)

// hosted are the children that the user adds to the tree of an agent.
type hosted struct {
	mu    sync.Mutex
	specs []supervisor.Spec
	now   *supervisor.Supervisor // that runs them, once one does
}

// service makes the supervisor of one incarnation, with all that were added.
func (a *Agent) hostedService() supervisor.Service {
	c := &a.config
	h := &a.hosted
	h.mu.Lock()
	defer h.mu.Unlock()
	// A message that makes an actor panic again and again must not cost the
	// others their actors: each is restarted for as long as it takes, more and
	// more slowly.
	h.now = supervisor.New(supervisor.Options{
		Name: "actors", Children: append([]supervisor.Spec(nil), h.specs...),
		Budget: supervisor.Budget{Failures: -1}, BudgetPerChild: true, OnGiveUp: a.gaveUp,
		Logger: c.logger, Now: c.clock.Now, AfterFunc: c.clock.AfterFunc, Rand: c.clock.Rand,
	})
	return h.now
}

func (a *Agent) gaveUp(id string, reason error) {
	a.log.Error("child of the agent given up", "actor", id, "err", reason)
}

// Supervise adds a child to the tree of the agent, beside its channels: an
// actor, a service or a whole supervisor. Before Run it only notes it; later it
// returns when the start is complete. Children are started in the order in which
// they were added and stopped, in reverse, before the channels go. Each has a
// restart budget of its own, without a limit: what should fail upwards belongs
// in a supervisor, which may be a child. Errors: those of
// supervisor.Supervisor.StartChild.
func (a *Agent) Supervise(ctx context.Context, child supervisor.Spec) error {
	h := &a.hosted
	h.mu.Lock()
	for _, s := range h.specs {
		if s.ID == child.ID {
			h.mu.Unlock()
			return &supervisor.Error{Code: supervisor.CodeDuplicate, Child: child.ID}
		}
	}
	h.specs = append(h.specs, child)
	now := h.now
	h.mu.Unlock()
	if now == nil {
		return nil // Run starts it
	}
	err := now.StartChild(ctx, child)
	if errors.Is(err, supervisor.ErrNotRunning) && !a.draining.Load() {
		return nil // on its way down or up: the next incarnation has it
	}
	if err != nil {
		h.forget(child.ID)
	}
	return err
}

func (h *hosted) forget(id string) *supervisor.Supervisor {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, s := range h.specs {
		if s.ID == id {
			h.specs = append(h.specs[:i:i], h.specs[i+1:]...)
			break
		}
	}
	return h.now
}

// Remove stops a child that Supervise or Spawn has added, and forgets it and its
// name. Errors: those of supervisor.Supervisor.Terminate.
func (a *Agent) Remove(ctx context.Context, id string) error {
	a.table.Remove(id)
	now := a.hosted.forget(id)
	if now == nil {
		return nil
	}
	if err := now.Terminate(ctx, id); err != nil && !errors.Is(err, supervisor.ErrNotRunning) {
		return err
	}
	if err := now.Delete(ctx, id); err != nil && !errors.Is(err, supervisor.ErrNotRunning) &&
		!errors.Is(err, supervisor.ErrNotFound) {
		return err
	}
	return nil
}

// Spawn adds an actor to the tree of the agent under the name in its spec, as
// Supervise does, and returns its address, which survives restarts. Before Run,
// messages to it are refused with actors.ErrStopped. Other agents cannot reach
// it until it is exposed. The options change how it is supervised.
func Spawn[M any](ctx context.Context, a *Agent, spec actors.Spec[M], opts ...func(*supervisor.Spec)) (actors.Ref[M], error) {
	process := actors.New(a.system, spec)
	ref := process.Ref()
	if err := remote.Name(&a.table, spec.Name, ref); err != nil {
		return ref, fmt.Errorf("spawn: %w", err)
	}
	child := supervisor.Spec{ID: spec.Name, Process: process}
	for _, o := range opts {
		o(&child)
	}
	if err := a.Supervise(ctx, child); err != nil {
		a.table.Remove(spec.Name)
		return ref, fmt.Errorf("spawn %s: %w", spec.Name, err)
	}
	return ref, nil
}

// ExposeOption says who may reach an exposed actor, and how.
type ExposeOption func(*remote.Exposing)

// ToPeers lets only these agents reach the actor; without any, none may. By default every agent may
// that has a channel, which takes the permission of both.
func ToPeers(ids ...string) ExposeOption {
	return func(x *remote.Exposing) { x.Peers = append(append([]string{}, x.Peers...), ids...) }
}

// ByType also gives the actor the messages of its protocol that name no actor:
// those of agents that speak plain protocol 1.0, such as Python's. Handlers that
// are registered for a type come first.
func ByType() ExposeOption { return func(x *remote.Exposing) { x.ByType = true } }

// Expose lets other agents reach an actor of this agent under a name, with the
// messages of p and no others. What they cannot reach they cannot see either: an
// unknown name, a hidden actor and a message that the actor does not take are
// refused alike. Exposing it again replaces what was said before.
func Expose[M any](a *Agent, name string, ref actors.Ref[M], p *remote.Protocol[M], opts ...ExposeOption) error {
	var x remote.Exposing
	for _, o := range opts {
		o(&x)
	}
	if err := remote.Expose(&a.table, name, ref, p, x); err != nil {
		return fmt.Errorf("expose: %w", err)
	}
	return nil
}

// Actors returns the named actors of the agent, sorted by name.
func (a *Agent) Actors() []remote.Info { return a.table.List() }
