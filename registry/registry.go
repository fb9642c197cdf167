// Package registry is the root registry actor of an agent: it spawns, looks up,
// stops and lists channel actors. (The identity registry, the service that
// issues tokens, is package identity/server.)
//
// The actor holds an index, nothing else. The records of the channels are kept
// beside the dynamic supervisor that runs them, so a registry actor that dies
// costs nobody a channel: its successor rebuilds the index from the records.
package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/supervisor"
	"github.com/pando-agents/pando/transport"
)

// Errors of this package; match with errors.Is.
var (
	// ErrLimit says that the agent or the peer has as many channels as allowed.
	ErrLimit = errors.New("too many channels")
	// ErrInUse says that the channel id belongs to somebody else's channel, or
	// to one that cannot be taken up again.
	ErrInUse = errors.New("channel id is in use")
	// ErrUnavailable says that the agent is not running, or that the registry
	// actor could not answer.
	ErrUnavailable = errors.New("channel registry is not available")
	// ErrNotFound says that there is no such channel.
	ErrNotFound = errors.New("no such channel")
)

// Options configures a Registry.
type Options struct {
	// Env is what the channels share; its Closed is taken by the registry.
	Env *channel.Env
	// MaxChannels bounds the channels in all (default 100,000), MaxPerPeer
	// those with one peer (default 1,024).
	MaxChannels, MaxPerPeer int
	// Budget is how many crashes one channel actor may have; default 3 in 5 s.
	Budget supervisor.Budget
}

// Registry is the handle of the registry actor. It is safe for concurrent use.
type Registry struct {
	env      *channel.Env
	records  *records
	channels *supervisor.Supervisor
	process  *actors.Process[*query]
	ref      actors.Ref[*query]
}

// New returns a registry whose parts are not started yet: Channels and Actor
// are to be children of the agent, in this order.
func New(o Options) *Registry {
	r := &Registry{env: o.Env, records: newRecords(o)}
	o.Env.Closed = r.closed
	r.channels = supervisor.New(supervisor.Options{
		Name: "channels", Budget: o.Budget, BudgetPerChild: true, Strategy: supervisor.Dynamic,
		Backoff: supervisor.Backoff{Initial: 50 * time.Millisecond, Max: time.Second},
		Logger:  o.Env.Logger, Now: o.Env.Now, AfterFunc: o.Env.AfterFunc, Rand: o.Env.Rand,
		OnGiveUp: r.gaveUp,
	})
	r.process = actors.New(o.Env.System, actors.Spec[*query]{
		Name: "registry", Capacity: 16 << 10,
		New: func() actors.Actor[*query] { return &registrar{records: r.records} },
	})
	r.ref = r.process.Ref()
	return r
}

// Channels is the dynamic supervisor of the channel actors.
func (r *Registry) Channels() *supervisor.Supervisor { return r.channels }

// Actor is the registry actor as a child of a supervisor.
func (r *Registry) Actor() supervisor.Process { return r.process }

// Open returns the channel to peer at url: the one that is open or being opened,
// or a new one. Callers that come at the same time get the same. It waits until
// the channel is open, and returns why it is not otherwise.
func (r *Registry) Open(ctx context.Context, cfg channel.Config) (*channel.Channel, error) {
	for {
		a, err := r.ask(ctx, &query{kind: askOpen, config: cfg, env: r.env})
		if err != nil {
			return nil, fmt.Errorf("open channel to %s: %w", cfg.Peer, err)
		}
		ch := a.channel
		if a.spawned {
			if err := r.start(ctx, ch); err != nil {
				return nil, fmt.Errorf("open channel to %s: %w", cfg.Peer, err)
			}
			ch.Dial()
		}
		err = ch.WaitOpen(ctx)
		if err == nil {
			return ch, nil
		}
		if !a.spawned && ctx.Err() == nil && errors.Is(err, channel.ErrClosed) {
			continue // it was just being closed when we came
		}
		if a.spawned && ctx.Err() != nil {
			_ = ch.Close(context.WithoutCancel(ctx), "open was given up") // nobody else knows it is wanted
		}
		return nil, err
	}
}

// start puts a spawned channel under its supervisor.
func (r *Registry) start(ctx context.Context, ch *channel.Channel) error {
	err := r.channels.StartChild(ctx, supervisor.Spec{
		ID: ch.Key(), Process: ch.Process(), Restart: supervisor.Transient,
	})
	switch {
	case err == nil:
	case ctx.Err() != nil:
		ch.Discard("open was given up")
	default:
		ch.Fail(err)
	}
	return err
}

// Accept finds or spawns the channel that open asks for on conn, and
// hands the connection over to it. The reader of conn calls it.
func (r *Registry) Accept(ctx context.Context, peer string, conn *transport.Conn, open protocol.Envelope) error {
	// A copy: the id is a part of the frame that it came in, and lives longer.
	cfg := channel.Config{ID: strings.Clone(open.ChannelID), Peer: peer}
	a, err := r.ask(ctx, &query{kind: askAccept, config: cfg, env: r.env})
	if err != nil {
		return err
	}
	if a.spawned {
		if err := r.start(ctx, a.channel); err != nil {
			return err
		}
	}
	a.channel.Attach(conn, open)
	return nil
}

// Full reports whether peer could not open another channel. It is a cheap guess
// for refusing handshakes early; Accept decides.
func (r *Registry) Full(peer string) bool { return r.records.full(peer) }

// Lookup returns the channel with this id.
func (r *Registry) Lookup(ctx context.Context, id string) (*channel.Channel, error) {
	a, err := r.ask(ctx, &query{kind: askID, id: id})
	if err != nil {
		return nil, err
	}
	return a.channel, nil
}

// With returns the channels with this peer, oldest first.
func (r *Registry) With(ctx context.Context, peer string) ([]*channel.Channel, error) {
	a, err := r.ask(ctx, &query{kind: askPeer, id: peer})
	if err != nil {
		return nil, err
	}
	return a.list, nil
}

// List returns all channels, oldest first.
func (r *Registry) List(ctx context.Context) ([]*channel.Channel, error) {
	a, err := r.ask(ctx, &query{kind: askAll})
	if err != nil {
		return nil, err
	}
	return a.list, nil
}

// Stop closes the channel with this id and waits for its end.
func (r *Registry) Stop(ctx context.Context, id, reason string) error {
	ch, err := r.Lookup(ctx, id)
	if err != nil {
		return err
	}
	return ch.Close(ctx, reason)
}

// All returns the channels from their records, without the actor: for the end,
// when it may be gone.
func (r *Registry) All() []*channel.Channel { return r.records.all() }

// Crash makes the registry actor panic, as a bug in it would. For experiments
// and demonstrations.
func (r *Registry) Crash() error { return r.ref.Control(&query{kind: askCrash}) }

// Close ends the registry actor for good, whatever has become of it. Whoever
// asks, or has asked and has no answer yet, gets ErrUnavailable.
func (r *Registry) Close() { r.process.Kill(nil) }

// closed is called when a channel has ended.
func (r *Registry) closed(ch *channel.Channel) {
	r.records.remove(ch)
	// The index forgets it too. If the actor is not there to hear it, its
	// successor reads the records.
	_ = r.ref.Control(&query{kind: tellClosed, gone: ch})
}

// gaveUp is called when a channel actor has crashed too often.
func (r *Registry) gaveUp(key string, reason error) {
	if ch := r.records.byKey(key); ch != nil {
		ch.Fail(fmt.Errorf("restart budget exceeded: %w", reason))
	}
}

// ask sends a query and waits for the answer. A query that the actor failed on
// is asked once more: its successor may know better.
func (r *Registry) ask(ctx context.Context, q *query) (answer, error) {
	for try := 0; ; try++ {
		q.reply = make(chan answer, 1)
		q.taken.Store(false)
		if err := r.ref.Tell(ctx, q); err != nil {
			return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		var a answer
		select {
		case a = <-q.reply:
		case <-ctx.Done():
			if !q.taken.Swap(true) {
				return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
			}
			a = <-q.reply // the actor has it already, and does not wait for anything
		}
		switch {
		case errors.Is(a.err, actors.ErrNotRun) && try == 0:
		case errors.Is(a.err, actors.ErrNotRun), errors.Is(a.err, actors.ErrStopped):
			return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, a.err)
		default:
			return a, a.err
		}
	}
}
