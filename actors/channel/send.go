package channel

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/protocol/session"
	"github.com/pando-agents/pando/transport"
)

// envelopeRoom is what an envelope adds to its data, generously.
const envelopeRoom = 1024

// Send writes a message of any type and returns its id as soon as it is
// admitted: while the channel is not open, or the peer reads too slowly, it
// waits until ctx ends. Delivery is at most once; no reply is awaited, and one
// that comes goes to the handler of its type or the inbox. Errors: ErrInvalid,
// ErrTooLarge, ErrClosed, ErrTimeout, ErrCanceled.
func (c *Channel) Send(ctx context.Context, messageType string, data any) (id string, err error) {
	raw, memory, err := c.prepare("send", messageType, data)
	if err != nil {
		return "", err
	}
	return c.send(ctx, address{messageType: messageType}, raw, memory)
}

// address says who at the peer gets a message.
type address struct{ actor, messageType string }

func (c *Channel) send(ctx context.Context, to address, raw []byte, memory *memory) (id string, err error) {
	if err := c.admit(ctx, "send", len(raw)); err != nil {
		memory.release()
		return "", err
	}
	in := c.sending(to, raw, memory)
	id = in.ev.ID
	return id, c.submit(ctx, "send", in, len(raw))
}

// sending makes the input that writes a message, and then releases the memory
// that it lies in.
func (c *Channel) sending(to address, raw []byte, memory *memory) *input {
	in := c.newInput(inputEvent)
	in.memory = memory
	in.ev.Kind, in.ev.ID = session.EventSend, c.env.NewID()
	in.ev.Actor, in.ev.Type, in.ev.Data = to.actor, to.messageType, raw
	return in
}

// Request writes a message of the given type ("request" by convention) and
// waits for its reply, which is recognised by its id. Without a deadline in ctx
// it waits for 30 s (Env.HandlerTimeout). An error message of the peer comes
// back as *RemoteError. When the connection breaks before anything was written
// it waits for the next one and tries again; when it breaks later the error is
// ErrOutcomeUnknown. Errors: those of Send, ErrTimeout, ErrCanceled,
// ErrOutcomeUnknown, ErrTooManyPending, ErrLost.
func (c *Channel) Request(ctx context.Context, messageType string, data any) (*Message, error) {
	raw, memory, err := c.prepare("request", messageType, data)
	if err != nil {
		return nil, err
	}
	defer memory.release()
	return c.request(ctx, address{messageType: messageType}, raw, memory)
}

func (c *Channel) request(ctx context.Context, to address, raw []byte, memory *memory) (*Message, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.env.HandlerTimeout)
		defer cancel()
		deadline, _ = ctx.Deadline()
	}
	for {
		m, err := c.requestOnce(ctx, to, raw, memory, deadline)
		if !errors.Is(err, ErrNotSent) || ctx.Err() != nil {
			return m, err
		}
	}
}

func (c *Channel) requestOnce(ctx context.Context, to address, raw []byte, memory *memory, deadline time.Time) (*Message, error) {
	if err := c.admit(ctx, "request", len(raw)); err != nil {
		return nil, err
	}
	in := c.sending(to, raw, memory.share())
	id := in.ev.ID
	call, err := c.calls.add(id)
	if err != nil {
		in.free()
		c.out.release(len(raw) + 1)
		return nil, err
	}
	in.ev.Request, in.ev.Deadline = true, deadline
	if err := c.submit(ctx, "request", in, len(raw)); err != nil {
		c.calls.take(id)
		return nil, err
	}
	select {
	case <-call.done:
		return call.reply, call.err
	case <-ctx.Done():
	}
	if c.calls.take(id) == nil {
		<-call.done // the answer came at the same moment
		return call.reply, call.err
	}
	cancel := c.newInput(inputEvent)
	cancel.ev.Kind, cancel.ev.ID = session.EventCancel, id
	c.control(cancel)
	return nil, c.ctxError(ctx, "request")
}

// Close closes the channel for good and returns when it has ended, or when ctx
// does. Handlers that run are told through their contexts and not waited for,
// so that a handler may close its own channel. Closing twice is harmless.
func (c *Channel) Close(ctx context.Context, reason string) error {
	in := c.newInput(inputEvent)
	in.ev.Kind, in.ev.Reason = session.EventCloseAsked, reason
	c.inOrder(in)
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return c.ctxError(ctx, "close")
	}
}

// prepare checks what the application wants to send.
func (c *Channel) prepare(op, messageType string, data any) ([]byte, *memory, error) {
	if messageType == "" || strings.HasPrefix(messageType, "channel.") {
		return nil, nil, &Error{Code: CodeInvalid, Op: op, Peer: c.peer, Reason: "type " + messageType + " is not for applications"}
	}
	raw, memory, err := encode(data)
	if err != nil {
		return nil, nil, err
	}
	if len(raw)+len(messageType)+envelopeRoom > c.env.Limits.MaxMessage {
		memory.release()
		return nil, nil, &Error{Code: CodeTooLarge, Op: op, Peer: c.peer}
	}
	return raw, memory, nil
}

// admit waits for an open channel and for room on the way out.
func (c *Channel) admit(ctx context.Context, op string, n int) error {
	if err := ctx.Err(); err != nil {
		return c.ctxError(ctx, op)
	}
	for {
		if !c.gate.wait(ctx) {
			return c.whyNot(ctx, op)
		}
		if !c.out.acquire(ctx, c.ended, n+1) {
			return c.whyNot(ctx, op)
		}
		if c.gate.get() == protocol.StateConnected {
			return nil
		}
		c.out.release(n + 1)
	}
}

// submit hands an admitted message to the actor.
func (c *Channel) submit(ctx context.Context, op string, in *input, n int) error {
	in.admitted = n + 1
	if err := c.ref.Tell(ctx, in); err != nil {
		in.giveBack(nil)
		in.free()
		return c.whyNot(ctx, op)
	}
	return nil
}

// repay gives the bytes of a message back to the budget once it is written. As
// long as the transport cannot get rid of what it has, they are owed.
func (c *Channel) repay(n int, conn *transport.Conn) {
	if conn != nil && conn.Buffered() > c.env.Limits.Outbound {
		c.owed.Add(int64(n))
		return
	}
	if owed := c.owed.Swap(0); owed > 0 {
		n += int(owed)
	}
	c.out.release(n)
}

// payBack is called when the transport has room again, or is gone.
func (c *Channel) payBack() {
	if owed := c.owed.Swap(0); owed > 0 {
		c.out.release(int(owed))
	}
}
