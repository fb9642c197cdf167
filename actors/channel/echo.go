package channel

import (
	"context"

	"github.com/pando-agents/pando/protocol"
)

// Echo is the handler that a Python agent has when it registers none: the answer
// is {"text": <the text of the request>, "timestamp": <now>}.
func Echo() *Spec { return &Spec{Shared: HandlerFunc(echo), handsBack: true} }

// echo copies the text as it stands: it has been checked when it was decoded.
func echo(_ context.Context, m *Message) (any, error) {
	text := protocol.Member(m.Data, "text")
	if text == nil {
		text = []byte(`""`)
	}
	const rest = len(`{"text":,"timestamp":"2006-01-02T15:04:05.000000+00:00"}`)
	if len(text)+rest+envelopeRoom > m.channel.env.Limits.MaxMessage {
		return nil, &Error{Code: CodeTooLarge, Op: "answer", Peer: m.Peer}
	}
	out := newMemory(len(text) + rest)
	b := append(append(out.b, `{"text":`...), text...)
	b = protocol.AppendTimestamp(append(b, `,"timestamp":"`...), m.channel.env.Now())
	out.b = append(b, `"}`...)
	return out, nil
}

// handedBack reports whether a message goes to a handler that keeps nothing of its
// data. An answer goes to whoever has asked, and what names an actor to that.
func (c *Channel) handedBack(m *protocol.Envelope) bool {
	if m.ReplyTo != "" || m.Actor != "" || c.inbox != nil || c.env.Handler(m.Type) != nil {
		return false
	}
	spec := c.env.Fallback(m.Type)
	return spec != nil && spec.handsBack
}
