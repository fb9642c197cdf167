package channel

import (
	"context"

	"github.com/pando-agents/pando/protocol"
)

// SendTo is Send to an actor of the peer. An empty actor means the peer itself,
// which handles the message by its type. data is a JSON object, not checked.
func (c *Channel) SendTo(ctx context.Context, actor, messageType string, data []byte) error {
	if c.tooLarge(actor, messageType, data) {
		return &Error{Code: CodeTooLarge, Op: "send", Peer: c.peer}
	}
	_, err := c.send(ctx, address{actor, messageType}, data, nil)
	return err
}

// TrySendTo is SendTo if that need not wait, and reports whether the message was
// taken.
func (c *Channel) TrySendTo(actor, messageType string, data []byte) (bool, error) {
	if c.tooLarge(actor, messageType, data) {
		return false, &Error{Code: CodeTooLarge, Op: "send", Peer: c.peer}
	}
	if c.gate.get() != protocol.StateConnected || !c.out.try(len(data)+1) {
		return false, nil
	}
	in := c.sending(address{actor, messageType}, data, nil)
	in.admitted = len(data) + 1
	if c.ref.Offer(in) != nil {
		in.giveBack(nil)
		in.free()
		return false, nil
	}
	return true, nil
}

// RequestTo is Request of an actor of the peer, under the conditions of SendTo.
func (c *Channel) RequestTo(ctx context.Context, actor, messageType string, data []byte) (*Message, error) {
	if c.tooLarge(actor, messageType, data) {
		return nil, &Error{Code: CodeTooLarge, Op: "request", Peer: c.peer}
	}
	return c.request(ctx, address{actor, messageType}, data, nil)
}

func (c *Channel) tooLarge(actor, messageType string, data []byte) bool {
	return len(data)+len(messageType)+len(actor)+envelopeRoom > c.env.Limits.MaxMessage
}
