package patterns

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
)

// Conversations is an actor with which others, near or far, have conversations:
// many turns, either way, that belong together. Zero fields mean the defaults.
//
// Turns are heard in order and once, also when the connection was lost meanwhile
// and has come back. A conversation ends when either side ends it, when nobody
// has said anything for too long, when it takes too long as a whole, or when the
// other side is lost: both sides read why. What was said before the end is heard
// before it.
//
// Conversations are those of an incarnation; when it ends, so do they.
type Conversations[T any] struct {
	// Name is that of the actor; default "conversations".
	Name string
	// Converse does this side's part, on a goroutine of its own; its error is why
	// the conversation ends, and that of a name (remote.Error) is told. Its context
	// is that of the conversation.
	Converse func(ctx context.Context, c *Conversation[T]) error
	// Most is how many may be under way; default 256. One more is refused.
	Most int
	// Idle is how long nobody may say anything; default 1 min. Total is how long a
	// conversation may take; default 1 h. They are observed to about an eighth, or
	// a second.
	Idle, Total time.Duration
	// Lease is after how long without a sign of life the other side is lost;
	// default DefaultLease. Signs come at least every 5 s over a good connection.
	Lease time.Duration
	// Logger is told of panics in Converse; default slog.Default().
	Logger *slog.Logger
}

// DefaultLease is after how long without a sign of life the other side of a
// conversation or a task is lost. That it has ended is known sooner, as a rule.
const DefaultLease = 20 * time.Second

// ConversationMessage is what the actor takes from Begin.
type ConversationMessage[T any] = exchangeMessage[T, T]

// ConversationProtocol is the protocol of conversations with other agents. The
// name is how the types of its messages begin; errors are those that Converse
// returns (remote.Error).
func ConversationProtocol[T any](name string, errors ...remote.Entry) *remote.Protocol[ConversationMessage[T]] {
	return exchangeProtocol[T, T](name, errors)
}

// Spec is how the actor is made.
func (o Conversations[T]) Spec() actors.Spec[ConversationMessage[T]] {
	orDefault(&o.Name, "conversations")
	orDefault(&o.Most, 256)
	orDefault(&o.Idle, time.Minute)
	orDefault(&o.Total, time.Hour)
	orDefault(&o.Lease, DefaultLease)
	return exchanges[T, T]{
		name: o.Name, most: o.Most, idle: o.Idle, total: o.Total, lease: o.Lease, log: o.Logger,
		serve: func(x *exchange[T, T]) error {
			return o.Converse(x.ctx, &Conversation[T]{id: x.id, ctx: x.ctx, hear: x.next,
				say: func(ctx context.Context, turn T) error { return x.say(ctx, turn, nil) },
				end: func(reason string) { x.finish(&Error{Code: ErrEnded.Code, Reason: reason}) },
			})
		},
	}.spec()
}

// Conversation is one, at either side. Its methods are safe for concurrent use.
type Conversation[T any] struct {
	id  string
	ctx context.Context

	mu   sync.Mutex // of those who say something
	say  func(context.Context, T) error
	hear func(context.Context) (T, error)
	end  func(reason string)
}

// Begin begins a conversation, which lasts no longer than ctx; end it in any
// case. Errors: ErrRefused, those of actors.Ask, and the cause of ctx.
func Begin[T any](ctx context.Context, with actors.Ref[ConversationMessage[T]]) (*Conversation[T], error) {
	b, err := beginWith(ctx, with, DefaultLease, nil, nil)
	if err != nil {
		return nil, err
	}
	return &Conversation[T]{id: b.id, ctx: b.ctx, say: b.say, hear: b.next, end: func(reason string) {
		b.cancel(&Error{Code: ErrEnded.Code, Reason: reason})
	}}, nil
}

// ID is the same at both sides, and nobody else can guess it.
func (c *Conversation[T]) ID() string { return c.id }

// Done is closed when the conversation has ended, or this side has.
func (c *Conversation[T]) Done() <-chan struct{} { return c.ctx.Done() }

// Say says something, and waits while the other side has too much to hear (64
// turns). At the side that has begun, what Say returns nil for has arrived; if it
// fails, also because ctx has ended, the conversation has ended.
func (c *Conversation[T]) Say(ctx context.Context, turn T) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.say(ctx, turn)
}

// Hear returns what the other side says next, and after the last turn why the
// conversation has ended: ErrEnded, with the reason that the other side has given,
// ErrFailed, ErrIdle, ErrTooLong, ErrPartnerLost, ErrCancelled.
func (c *Conversation[T]) Hear(ctx context.Context) (T, error) { return c.hear(ctx) }

// End ends the conversation: the other side reads ErrEnded with the reason. It
// does not wait, and only the first end counts.
func (c *Conversation[T]) End(reason string) { c.end(reason) }
