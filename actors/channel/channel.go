package channel

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/protocol/session"
	"github.com/pando-agents/pando/transport"
)

// Config is what one channel has of its own.
type Config struct {
	// ID is the channel id; an acceptor's comes from channel.open.
	ID string
	// Peer is the agent at the other end: the target, or the verified subject.
	Peer string
	// URL is where a dialler finds the peer; empty for an acceptor.
	URL string
	// Announced says that the URL is the peer's word, and not to be trusted.
	Announced bool
	// Heartbeat is the interval of a dialler's heartbeats; 0 means none.
	Heartbeat time.Duration
	// Inbox, when positive, is how many messages wait for Receive.
	Inbox int
}

// Channel is one channel: the handle that users hold, and the record that
// outlives the incarnations of its actor. All methods are safe for concurrent
// use.
type Channel struct {
	env     *Env
	id      string
	peer    string
	url     string
	claimed bool // Config.Announced
	key     string
	process *actors.Process[*input]
	ref     actors.Ref[*input]
	started time.Time

	cell    cell
	calls   calls
	queue   queue
	inbox   *inbox
	later   later
	gate    gate
	inbound budget
	out     budget
	owed    atomic.Int64 // bytes of the outbound budget that the transport still holds
	conn    atomic.Pointer[transport.Conn]
	epochs  atomic.Uint64

	tickWaits atomic.Bool
	dropped   atomic.Uint64
	refused   atomic.Uint64 // requests answered "overloaded"
	restarts  atomic.Uint64
	reopened  atomic.Uint64
	pando     atomic.Bool

	mu        sync.Mutex
	stopTimer func() bool
	handlers  map[*Spec]*instance
	cancel    context.CancelFunc // of the connection attempt under way

	endOnce sync.Once
	ended   chan struct{}
	endErr  error
}

// New returns a channel whose Process is not started yet. A dialler begins to
// connect when it is; an acceptor waits for Attach.
func New(env *Env, cfg Config) (*Channel, error) {
	c := &Channel{
		env: env, id: cfg.ID, peer: cfg.Peer, url: cfg.URL, claimed: cfg.Announced, started: env.Now(),
		inbound: budget{max: env.Limits.Inbound}, out: budget{max: env.Limits.Outbound},
		ended: make(chan struct{}),
	}
	role, key := session.Acceptor, "in/"+cfg.Peer+"/"+cfg.ID
	if cfg.URL != "" {
		role, key = session.Dialler, "out/"+cfg.ID
	}
	c.key = key
	var err error
	c.cell.session, err = session.New(session.Config{
		Role: role, Self: env.Agent, Peer: cfg.Peer, ChannelID: cfg.ID, Heartbeat: cfg.Heartbeat,
		PingInterval: env.PingInterval, PongTimeout: env.PongTimeout, Backoff: env.Backoff,
		MaxReconnect: env.MaxReconnect, Wait: env.Wait, MaxPending: env.Limits.Pending,
		NewID: env.NewID, Rand: env.Rand,
	})
	if err != nil {
		return nil, err
	}
	c.queue.ch = c
	c.gate.state = protocol.StateConnecting
	if cfg.Inbox > 0 {
		c.inbox = newInbox(cfg.Inbox, env.Limits.QueuedBytes)
	}
	c.process = actors.New(env.System, actors.Spec[*input]{
		Name: "channel", Capacity: mailboxCapacity,
		New: func() actors.Actor[*input] { return &incarnation{ch: c} },
	})
	c.ref = c.process.Ref()
	return c, nil
}

// mailboxCapacity is how many inputs wait for the actor; what a peer can put
// there is also bounded in bytes.
const mailboxCapacity = 4096

// Process is the channel actor as a child of a supervisor.
func (c *Channel) Process() *actors.Process[*input] { return c.process }

// ID returns the channel id that both ends use.
func (c *Channel) ID() string { return c.id }

// Key names the channel among those of its agent: two peers may choose the same
// channel id, and so may both ends of a channel of an agent with itself.
func (c *Channel) Key() string { return c.key }

// Resumable reports whether the peer can take the channel up again on a new
// connection.
func (c *Channel) Resumable() bool { return c.pando.Load() }

// Waiting reports whether the channel waits for its peer to come back.
func (c *Channel) Waiting() bool { return c.url == "" && c.State() == protocol.StateReconnecting }

// Peer returns the agent id of the other end, verified.
func (c *Channel) Peer() string { return c.peer }

// URL returns where the peer was dialled; empty for accepted channels.
func (c *Channel) URL() string { return c.url }

// Since returns when the channel was made.
func (c *Channel) Since() time.Time { return c.started }

// State returns where the channel stands.
func (c *Channel) State() protocol.State { return c.gate.get() }

// Done returns a channel that is closed when this one has ended for good.
func (c *Channel) Done() <-chan struct{} { return c.ended }

// Err returns why the channel has ended: nil before, an *Error after. A channel
// that was closed on purpose has CodeClosed.
func (c *Channel) Err() error {
	if !c.isEnded() {
		return nil
	}
	return c.endErr
}

func (c *Channel) isEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// log makes the logger of the channel when it is needed: 9,000 idle channels
// would hold 9,000 of them.
func (c *Channel) log() *slog.Logger {
	return c.env.Logger.With("agent", c.env.Agent, "peer", c.peer, "channel", c.id)
}

// Dial starts the first connection attempt. It is called once, after the start
// of the actor.
func (c *Channel) Dial() { c.dial() }

// Attach gives the channel a connection that the peer has made, with the
// channel.open that came on it. The reader calls it; what the reader gets next
// comes after it. The connection is handed over before anything is written on it.
func (c *Channel) Attach(conn *transport.Conn, open protocol.Envelope) {
	l := c.link(conn)
	conn.HandOver(l)
	in := c.newInput(inputAttach)
	in.link, in.ev.Message = l, open
	if !c.control(in) {
		conn.Close(closeNormal, "channel closed")
	}
}

func (c *Channel) link(conn *transport.Conn) *link {
	return &link{ch: c, conn: conn, epoch: c.epochs.Add(1)}
}

// dial makes a connection in a goroutine of its own and reports by message.
func (c *Channel) dial() {
	ctx, cancel := context.WithTimeout(context.Background(), c.env.ConnectTimeout)
	c.mu.Lock()
	if c.isEnded() {
		c.mu.Unlock()
		cancel()
		return
	}
	if c.cancel != nil {
		c.cancel()
	}
	c.cancel = cancel
	c.mu.Unlock()
	go func() {
		defer cancel()
		conn, err := c.connect(ctx)
		if err != nil {
			c.dialFailed(err)
			return
		}
		l := c.link(conn)
		in := c.newInput(inputAttach)
		in.link = l
		conn.Start(l)
		if !c.control(in) {
			conn.Abort(errReplaced)
		}
	}()
}

// connect calls Connect and keeps its panics to this attempt.
func (c *Channel) connect(ctx context.Context) (conn *transport.Conn, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &ConnectError{Err: errors.New("panic while connecting")}
			c.log().Error("panic while connecting", "err", v)
		}
	}()
	return c.env.Connect(ctx, c.peer, c.url, c.claimed)
}

func (c *Channel) dialFailed(err error) {
	in := c.newInput(inputEvent)
	in.ev.Kind, in.ev.Err = session.EventDialFailed, err
	var ce *ConnectError
	in.ev.Final = errors.As(err, &ce) && ce.Final
	c.control(in)
}

// opened is called when messages can flow.
func (c *Channel) opened(e *session.Effect) {
	c.pando.Store(slices.Contains(e.Capabilities, session.CapPando))
	if e.Reopened {
		c.reopened.Add(1)
	}
	c.gate.set(protocol.StateConnected)
	c.env.Changed(c, protocol.StateConnected)
}

// WaitOpen returns when the channel is open, or why it will not be.
func (c *Channel) WaitOpen(ctx context.Context) error {
	if c.gate.wait(ctx) {
		return nil
	}
	select { // the reason comes with the end, a moment after the state
	case <-c.ended:
	case <-ctx.Done():
	}
	return c.whyNot(ctx, "open")
}

// whyNot explains why the gate did not open. Of a channel that is closing it
// waits to hear why: that is a matter of seconds at most.
func (c *Channel) whyNot(ctx context.Context, op string) error {
	select {
	case <-c.ended:
		return c.ending(op)
	default:
	}
	if err := ctx.Err(); err != nil {
		return c.ctxError(ctx, op)
	}
	select {
	case <-c.ended:
		return c.ending(op)
	case <-ctx.Done():
		return c.ctxError(ctx, op)
	}
}

// closedError returns the error of calls that the actor did not take.
func (c *Channel) closedError(op string) error {
	if c.isEnded() {
		return c.ending(op)
	}
	return &Error{Code: CodeClosed, Op: op, Peer: c.peer}
}

// ending returns the error of calls on a channel that has ended.
func (c *Channel) ending(op string) error {
	var e *Error
	if errors.As(c.endErr, &e) {
		copied := *e
		copied.Op = op
		return &copied
	}
	return c.endErr
}

func (c *Channel) ctxError(ctx context.Context, op string) error {
	code := CodeCanceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		code = CodeTimeout
	}
	return &Error{Code: code, Op: op, Peer: c.peer, Err: context.Cause(ctx)}
}

// finish ends the channel towards its users, once: waiting requests fail,
// handlers are told, the inbox ends, the connection is closed. After an orderly
// end the events that have arrived are still handled.
func (c *Channel) finish(err *Error, code int, reason string, orderly bool) {
	c.endOnce.Do(func() {
		c.endErr = err
		close(c.ended)
		c.gate.set(protocol.StateClosed)
		c.mu.Lock()
		c.disarmLocked()
		if c.cancel != nil {
			c.cancel()
		}
		c.mu.Unlock()
		c.calls.end(c.ending("request"))
		c.queue.close(err, orderly)
		c.later.end(c.ending("answer"))
		if c.inbox != nil {
			c.inbox.end(err)
		}
		if conn := c.conn.Load(); conn != nil {
			conn.Close(code, reason)
		}
		c.env.Closed(c)
		c.env.Changed(c, protocol.StateClosed)
	})
}

// Drain waits until no message waits for a handler, no handler runs (but the
// one that ctx belongs to), no request waits for its reply, and all that was
// sent is written or queued on the connection, where a Close follows it.
func (c *Channel) Drain(ctx context.Context) error {
	self, _ := ctx.Value(jobKey{}).(*job)
	for {
		idle := c.queue.wait(self)
		if idle == nil {
			idle = c.later.wait(c.env.Now())
		}
		if idle == nil {
			idle = c.calls.wait()
		}
		if idle == nil {
			idle = c.out.drained()
		}
		if idle == nil {
			return nil
		}
		select {
		case <-idle:
		case <-c.ended:
			return nil
		case <-ctx.Done():
			return c.ctxError(ctx, "drain")
		}
	}
}

// poison gives the session up: it is closed as lost, with a reason that both
// ends can read, and never used again.
func (c *Channel) poison(why string) {
	c.log().Error("channel lost", "err", why)
	c.finish(&Error{Code: CodeLost, Peer: c.peer, Reason: why}, closeInternal, "channel failed", false)
}

// Fail closes the channel as lost. The supervisor calls it when the actor
// cannot be restarted any more.
func (c *Channel) Fail(reason error) {
	c.poison(reason.Error())
	c.process.Kill(nil)
}

// Discard ends a channel that has not begun to connect: nobody wants it any more.
func (c *Channel) Discard(reason string) {
	c.finish(&Error{Code: CodeClosed, Peer: c.peer, Reason: reason}, closeNormal, reason, true)
	c.process.Kill(nil)
}

// hung is called when the actor does not take its messages.
func (c *Channel) hung() {
	if c.isEnded() {
		return
	}
	c.poison("the channel actor hangs")
	c.process.Kill(nil)
}

// Crash makes the channel actor panic with reason, as a bug in it would. For
// experiments and demonstrations.
func (c *Channel) Crash(reason string) error {
	in := c.newInput(inputCrash)
	in.ev.Reason = reason
	if !c.control(in) {
		return c.closedError("crash")
	}
	return nil
}
