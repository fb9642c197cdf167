package channel

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/protocol/session"
	"github.com/pando-agents/pando/transport"
)

// Limits bounds what one channel can hold. Zero fields mean the defaults.
type Limits struct {
	// Concurrency is how many handlers of one channel run at once; default 16.
	Concurrency int
	// QueuedMessages and QueuedBytes bound the handler queue; defaults 256 and
	// 4 MiB. Beyond it requests are answered "overloaded"; other messages have
	// the same room again before the channel is closed with 1013.
	QueuedMessages, QueuedBytes int
	// Outbound bounds the bytes admitted for sending and not yet written;
	// default 2 MiB. Beyond it Send and Request wait; answers have as much
	// room again before a peer that does not read is disconnected.
	Outbound int
	// Inbound bounds the bytes of frames read and not yet taken by the actor;
	// default 4 MiB.
	Inbound int
	// MessagesPerSecond is what a peer may send; default 50,000. Beyond it the
	// connection is closed with 1008.
	MessagesPerSecond int
	// Pending bounds the requests that wait for a reply; default 1,024.
	Pending int
	// MaxMessage is the largest frame in bytes; default 1 MiB.
	MaxMessage int
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.Concurrency, 16)
	orDefault(&l.QueuedMessages, 256)
	orDefault(&l.QueuedBytes, 4<<20)
	orDefault(&l.Outbound, 2<<20)
	orDefault(&l.Inbound, 4<<20)
	orDefault(&l.MessagesPerSecond, 50_000)
	orDefault(&l.Pending, 1024)
	orDefault(&l.MaxMessage, 1<<20)
	return l
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Env is what the channels of one agent share.
type Env struct {
	// Agent is the own agent id.
	Agent string
	// System runs the actors.
	System *actors.System
	// Handler finds how messages of a type are handled; nil means nobody does.
	Handler func(messageType string) *Spec
	// Fallback is asked after the inbox: the default handlers.
	Fallback func(messageType string) *Spec
	// Actors handles the messages that are for actors of this agent; nil means
	// that it has none.
	Actors *Spec
	// Connect makes an authenticated connection to peer. A *ConnectError
	// says whether it is worth trying again. announced is that of Config.
	Connect func(ctx context.Context, peer, url string, announced bool) (*transport.Conn, error)
	// ConnectTimeout bounds one Connect; default 15 s.
	ConnectTimeout time.Duration
	// HandlerTimeout is the deadline of a handler; default 30 s.
	HandlerTimeout time.Duration
	// Wait is how long an accepted channel waits for a lost peer; default 30 s.
	Wait time.Duration
	// PingInterval and PongTimeout are the liveness of connections; default
	// 20 s each.
	PingInterval, PongTimeout time.Duration
	// Backoff spaces the attempts to come back.
	Backoff session.Backoff
	// MaxReconnect is how long an outage may last; 0 means for ever.
	MaxReconnect time.Duration
	// Limits bounds each channel.
	Limits Limits
	// Logger gets what happens to channels, with agent, peer and channel.
	Logger *slog.Logger
	// Closed is called once when a channel has ended.
	Closed func(c *Channel)
	// Changed is called when a channel can be written to (StateConnected), when
	// it has lost its connection (StateReconnecting) and when it has ended
	// (StateClosed). It must not block.
	Changed func(c *Channel, state protocol.State)
	// Draining makes requests be answered "shutting_down".
	Draining atomic.Bool
	// Now, AfterFunc, NewID and Rand default to the real ones.
	Now       func() time.Time
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
	NewID     func() string
	Rand      func() float64
	// Fault, when set, is called at the named points of the actor, on the
	// actor's own goroutine; it may panic, hang or exit. For experiments.
	Fault func(c *Channel, point FaultPoint)

	lingering lingering
}

// FaultPoint names a place where faults can be injected.
type FaultPoint string

// The places: before an input is looked at, inside the session's step, and
// before an effect is carried out.
const (
	FaultReceive FaultPoint = "receive"
	FaultStep    FaultPoint = "step"
	FaultEffect  FaultPoint = "effect"
)

// ConnectError is why a connection attempt failed.
type ConnectError struct {
	// Final says that trying again is pointless: the peer or the identity
	// registry refused.
	Final bool
	Err   error
}

// Error tells the cause.
func (e *ConnectError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// Prepare fills in the defaults. It is called once, before the first channel.
func (e *Env) Prepare() {
	orDefault(&e.ConnectTimeout, 15*time.Second)
	orDefault(&e.HandlerTimeout, 30*time.Second)
	orDefault(&e.Wait, 30*time.Second)
	e.Limits = e.Limits.withDefaults()
	if e.Logger == nil {
		e.Logger = slog.Default()
	}
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.AfterFunc == nil {
		e.AfterFunc = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	if e.NewID == nil {
		e.NewID = NewID
	}
	if e.Rand == nil {
		e.Rand = random
	}
	if e.Handler == nil {
		e.Handler = func(string) *Spec { return nil }
	}
	if e.Fallback == nil {
		e.Fallback = func(string) *Spec { return nil }
	}
	if e.Closed == nil {
		e.Closed = func(*Channel) {}
	}
	if e.Changed == nil {
		e.Changed = func(*Channel, protocol.State) {}
	}
}
