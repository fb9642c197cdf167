package system

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/supervisor"
)

// Host is where the constructor of an actor builds it. Its methods are safe for
// concurrent use, and may be used for as long as the actor lives.
type Host struct {
	world   *world
	spec    *Agent
	actor   *Actor
	agent   *pando.Agent
	log     *slog.Logger
	spawned bool
}

// Agent returns the agent that the actor is part of. It does not run yet when the
// constructor is called.
func (h *Host) Agent() *pando.Agent { return h.agent }

// Name returns what the file calls the actor: "agent/actor".
func (h *Host) Name() string { return h.spec.Name + "/" + h.actor.Name }

// Log returns the logger of the actor.
func (h *Host) Log() *slog.Logger { return h.log }

// Say tells those who watch the system, in one line, what the actor does. It does
// not wait for them.
func (h *Host) Say(format string, args ...any) {
	h.world.tell(Event{Kind: EventSays, Agent: h.spec.Name, Actor: h.actor.Name, Text: fmt.Sprintf(format, args...)})
}

// Spawn spawns the actor of the file under its name, whatever the name in spec,
// and lets those reach it that the file says, with the messages of p. It is called
// once by each constructor; helpers of the actor are spawned with pando.Spawn. The
// options change how it is supervised. Errors: those of pando.Spawn and
// pando.Expose.
func Spawn[M any](ctx context.Context, h *Host, spec actors.Spec[M], p *remote.Protocol[M], opts ...func(*supervisor.Spec)) (actors.Ref[M], error) {
	spec.Name = h.actor.Name
	ref, err := pando.Spawn(ctx, h.agent, spec, opts...)
	if err != nil {
		return ref, err
	}
	h.spawned = true
	peers := h.world.ids(h.actor.Expose)
	if h.world.file.Ask == (Address{h.spec.Name, h.actor.Name}) {
		peers = append(peers, h.world.roster.Agents[operator].ID)
	}
	var how []pando.ExposeOption
	switch {
	case h.actor.ExposeAll:
	case len(peers) > 0:
		how = append(how, pando.ToPeers(peers...))
	default:
		return ref, nil
	}
	if h.actor.ByType {
		how = append(how, pando.ByType())
	}
	return ref, pando.Expose(h.agent, h.actor.Name, ref, p, how...)
}

var errNoAddress = errors.New("no actor is addressed")

// RefTo returns the Ref to an actor of the system, wherever its agent runs. See
// pando.RefTo.
func RefTo[M any](h *Host, to Address, p *remote.Protocol[M]) (actors.Ref[M], error) {
	if to.IsZero() {
		return actors.Ref[M]{}, errNoAddress
	}
	return refTo(h.world, h.agent, to, p)
}

func refTo[M any](w *world, a *pando.Agent, to Address, p *remote.Protocol[M]) (actors.Ref[M], error) {
	seat, known := w.roster.Agents[to.Agent]
	if !known {
		return actors.Ref[M]{}, fmt.Errorf("there is no agent %s in the system", to.Agent)
	}
	address := seat.ID
	if to.Actor != "" {
		address += "/" + to.Actor
	}
	return pando.RefTo(a, address, p)
}
