package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/protocol"
)

// Link leads to one agent. Its methods are safe for concurrent use.
type Link interface {
	// Tell sends a message, waiting for a connection and for room unless
	// actors.MayWait(ctx) is false. lost, if it is not nil, is called when the
	// message was taken and not sent.
	Tell(ctx context.Context, to Address, data []byte, lost func(error)) error
	// Ask sends a message and waits for the data of the answer. What the peer
	// answers with an error is a *channel.RemoteError.
	Ask(ctx context.Context, to Address, data []byte) ([]byte, error)
	// Watch calls f once, when the incarnation of the actor that is in charge has
	// ended, as far as its agent says; else with the reason why that is not
	// known.
	Watch(actor string, f func(end End, unknown error)) (unwatch func() bool)
}

// Address says who at an agent gets a message: an actor by its name, or, without
// one, whoever handles its type.
type Address struct{ Actor, Type string }

// Dial returns a Ref to an actor of the agent that link leads to, with the
// messages of p. name is what errors and Downs call it. An empty actor stands
// for an agent that knows no actors.
func Dial[M any](link Link, name, actor string, p *Protocol[M]) actors.Ref[M] {
	return actors.NewRef(&far[M]{name: name, actor: actor, link: link, protocol: p})
}

// far is an actor of another agent.
type far[M any] struct {
	name     string
	actor    string
	link     Link
	protocol *Protocol[M]
}

// Name returns the address.
func (f *far[M]) Name() string { return f.name }

// Tell sends m. An answer that it asks for is awaited by a goroutine.
func (f *far[M]) Tell(ctx context.Context, m M) error {
	k, data, err := f.protocol.encode(m)
	if err != nil {
		return f.wrap("tell", err)
	}
	if answer, asked := actors.Pending(any(m)); asked {
		go func() {
			if err := f.Ask(context.Background(), m, answer); err != nil {
				answer.Fail(err)
			}
		}()
		return nil
	}
	var lost func(error)
	if u, ok := any(m).(actors.Unhandled); ok {
		lost = u.NotHandled
	}
	return f.wrap("tell", f.link.Tell(ctx, Address{f.actor, k.name}, data, lost))
}

// How long an asker waits before it tries a full mailbox again.
const (
	firstPause = time.Millisecond
	lastPause  = 100 * time.Millisecond
)

// Ask sends m and gives the answer to answer. An actor whose mailbox waits for
// room is asked again until it has some.
func (f *far[M]) Ask(ctx context.Context, m M, answer actors.Answer) error {
	k, data, err := f.protocol.encode(m)
	if err == nil && !k.reply {
		err = fmt.Errorf("%w: %s takes no answer", ErrUnnamed, k.name)
	}
	if err != nil {
		return f.wrap("ask", err)
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		raw, err := f.link.Ask(ctx, Address{f.actor, k.name}, data)
		if err == nil {
			answer.Resolve(func(v any) error { return f.wrap("ask", decodeAnswer(raw, v)) })
			return nil
		}
		var told *channel.RemoteError
		if !errors.As(err, &told) {
			return f.wrap("ask", err)
		}
		later := told.Code == CodeBusy || told.Code == protocol.CodeOverloaded // it was not delivered
		if !later || !actors.MayWait(ctx) || !sleep(ctx, pause) {
			return f.wrap("ask", received(f.protocol.errors, told))
		}
	}
}

func (f *far[M]) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", op, f.name, err)
}

// sleep reports false when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// OnDown asks the agent of the actor to tell of its end.
func (f *far[M]) OnDown(tell func(actors.Down)) (unwatch func() bool) {
	return f.link.Watch(f.actor, func(end End, unknown error) {
		if unknown != nil {
			tell(actors.Down{Actor: f.name, Reason: unknown})
			return
		}
		tell(end.down(f.protocol.errors, f.name))
	})
}
