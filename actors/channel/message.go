package channel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pando-agents/pando/protocol"
)

// Message is an application message as it arrived.
type Message struct {
	// ID is the peer's message id; ReplyTo the id of ours that it answers.
	ID, ReplyTo string
	// Type is "request", "response", "event", "error" or any type of the
	// application's own.
	Type string
	// Data is the JSON object of content.data, as it came, for the receiver to keep.
	Data json.RawMessage
	// Sequence and Timestamp are the peer's words.
	Sequence  int64
	Timestamp string
	// Peer is the verified sender, whatever the message says.
	Peer string
	// Actor is the actor of this agent that the message is for, and Timeout how
	// long its sender waits for the answer; 0 means that it wants none.
	Actor   string
	Timeout time.Duration

	channel *Channel
	epoch   uint64
	memory  *memory // that Data lies in, if it is to be used again
}

// Decode unmarshals the data into v.
func (m *Message) Decode(v any) error {
	if err := json.Unmarshal(m.Data, v); err != nil {
		return fmt.Errorf("decode %s from %s: %w", m.Type, m.Peer, err)
	}
	return nil
}

// Channel returns the channel that the message came on, for those who want to
// write back on it.
func (m *Message) Channel() *Channel { return m.channel }

// Handler handles messages of one type. Requests run concurrently, so a
// handler with state locks it or is registered as ordered.
//
// What it returns is the answer: nil is an empty one for requests and none for
// other types; a Reply says it exactly; anything else is marshalled to JSON and
// must become an object. A *RemoteError goes to the peer as it is; any other
// error, and a panic, is logged under an id, and the peer gets only that id.
//
// ctx ends at the deadline of the message (30 s unless configured) and when the
// channel closes. A handler that goes on past its deadline is abandoned: its
// answer is dropped, and another takes its place.
type Handler interface {
	Handle(ctx context.Context, m *Message) (any, error)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, m *Message) (any, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, m *Message) (any, error) { return f(ctx, m) }

// Reply is an answer with a type of its own. An empty Type means "response". A
// nil *Reply is no answer at all, also to a request.
type Reply struct {
	Type string
	Data any
}

// Spec says how messages of one type are handled.
type Spec struct {
	// Shared is a handler without state, the same for all channels.
	Shared Handler
	// New, used without Shared, makes the handler of one channel; it is called again after a panic,
	// so that state which may be broken is not used again.
	New func() Handler
	// Ordered handles one message after the other instead of up to
	// Limits.Concurrency at once. Events are always ordered.
	Ordered bool

	handsBack bool // the handler keeps nothing of the data
}

// newMessage makes the application's view of an envelope.
func newMessage(c *Channel, e *protocol.Envelope, epoch uint64) *Message {
	return &Message{
		ID: e.MessageID, ReplyTo: e.ReplyTo, Type: e.Type, Data: e.Data, Sequence: e.Sequence,
		Timestamp: e.Timestamp, Peer: c.peer, Actor: e.Actor, Timeout: patience(e.Timeout), channel: c, epoch: epoch,
	}
}

// longest bounds what a peer says of its patience.
const longest = 24 * time.Hour

func patience(ms int64) time.Duration {
	return time.Duration(min(max(ms, 0), int64(longest/time.Millisecond))) * time.Millisecond
}

// encode makes content.data of what the application gave: a JSON object. What it
// has marshalled lies in memory, of which the caller is the holder.
func encode(data any) (raw []byte, m *memory, err error) {
	switch v := data.(type) {
	case nil:
		return nil, nil, nil
	case json.RawMessage:
		raw = bytes.TrimSpace(v)
	case []byte:
		raw = bytes.TrimSpace(v)
	default:
		if m, err = marshal(v); err != nil {
			return nil, nil, &Error{Code: CodeInvalid, Op: "encode", Err: err}
		}
		raw = m.b
	}
	if string(raw) == "null" {
		m.release()
		return nil, nil, nil
	}
	// Marshalled values are checked too: they may hold raw parts of their own.
	if err := protocol.CheckData(raw, protocol.Limits{MaxBytes: len(raw) + 1}); err != nil {
		m.release()
		return nil, nil, &Error{Code: CodeInvalid, Op: "encode", Err: err}
	}
	return raw, m, nil
}
