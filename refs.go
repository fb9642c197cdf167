package pando

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
)

// RefTo returns the address of an actor: "agent-id/name", or "agent-id" alone for
// an agent that knows no actors, such as a Python one, which handles messages by
// their type. It does not matter where the agent is: this one, another in this
// process (WithNeighbours) or one beyond the network. Nothing is looked up or
// opened before the Ref is used: then a channel is opened on demand, shared by
// all Refs to that agent, and comes back by itself.
//
// The error says that the address is not one.
func RefTo[M any](a *Agent, address string, p *remote.Protocol[M]) (actors.Ref[M], error) {
	agent, name, named := strings.Cut(address, "/")
	if agent == "" || len(agent) > maxAgentID {
		return actors.Ref[M]{}, fmt.Errorf("address %q: not an agent id, or agent-id/name", address)
	}
	if named {
		if err := remote.CheckName(name); err != nil {
			return actors.Ref[M]{}, fmt.Errorf("address: %w", err)
		}
	}
	if agent == a.id {
		return actors.NewRef(&sameAgent[M]{agent: a, name: name, address: address}), nil
	}
	return remote.Dial(a.links.to(agent), address, name, p), nil
}

const maxAgentID = 256

// sameAgent is an actor of the same agent, found by its name each time.
type sameAgent[M any] struct {
	agent         *Agent
	name, address string
}

// Name returns the address.
func (n *sameAgent[M]) Name() string { return n.address }

// Local finds the actor.
func (n *sameAgent[M]) Local() (actors.Ref[M], error) {
	return remote.Lookup[M](&n.agent.table, n.name)
}

// Tell sends m.
func (n *sameAgent[M]) Tell(ctx context.Context, m M) error {
	ref, err := n.Local()
	if err != nil {
		return err
	}
	return ref.Tell(ctx, m)
}

// Ask is never called: Local says who is asked.
func (n *sameAgent[M]) Ask(context.Context, M, actors.Answer) error {
	return errors.New("ask: not an actor of this agent")
}

// OnDown watches the actor; that there is none is told at once.
func (n *sameAgent[M]) OnDown(f func(actors.Down)) (unwatch func() bool) {
	ref, err := n.Local()
	if err != nil {
		f(actors.Down{Actor: n.address, Reason: err})
		return func() bool { return false }
	}
	return ref.OnDown(f)
}
