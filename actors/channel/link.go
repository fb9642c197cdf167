package channel

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/protocol/session"
	"github.com/pando-agents/pando/transport"
)

// link is one connection of a channel, seen from its reader: it decodes frames
// and posts them to the actor.
type link struct {
	ch    *Channel
	conn  *transport.Conn
	epoch uint64

	// Only the reader touches these.
	windowStart time.Time
	inWindow    int
	bad         int
}

// maxBadFrames is how many undecodable messages a connection may send.
const maxBadFrames = 64

var _ transport.Handler = (*link)(nil)

// input is what the mailbox of a channel actor holds.
type input struct {
	ch       *Channel
	kind     inputKind
	stepped  bool // the session has decided
	decided  bool // the same, of the stage of an inputAttach
	stage    uint8
	bytes    int     // of the inbound budget, given back when the input is taken
	admitted int     // bytes of the outbound budget, given back when it is written
	link     *link   // of inputAttach
	memory   *memory // that the data lies in, if it is to be used again
	ev       session.Event
}

type inputKind uint8

const (
	inputEvent  inputKind = iota
	inputAttach           // a connection is up; ev.Message is the first frame, if there was one
	inputTick
	inputCrash // for experiments
)

var inputs = sync.Pool{New: func() any { return new(input) }}

func (c *Channel) newInput(kind inputKind) *input {
	in := inputs.Get().(*input)
	in.ch, in.kind = c, kind
	return in
}

// control posts an input that overtakes the messages of the peer.
func (c *Channel) control(in *input) bool {
	if c.ref.Control(in) != nil {
		in.free()
		return false
	}
	return true
}

// inOrder posts an input behind what was sent before it: an answer comes after
// the messages that its handler has sent, and a close after the last words. When
// the mailbox is full it overtakes them, as a channel that is behind by so much
// must still be able to answer and to end.
func (c *Channel) inOrder(in *input) {
	if c.ref.Offer(in) != nil {
		c.control(in)
	}
}

// NotHandled is called for inputs that no incarnation will take. The input of
// an incarnation that failed is not one of them: it is in the cell.
func (in *input) NotHandled(err error) {
	if errors.Is(err, actors.ErrNotRun) {
		return
	}
	ch := in.ch
	in.giveBack(nil)
	if in.kind == inputAttach {
		in.link.conn.Close(closeNormal, "channel closed")
	}
	if in.ev.Kind == session.EventSend && in.ev.Request {
		ch.calls.fail(in.ev.ID, ch.closedError("request"))
	}
	in.free()
}

// giveBack returns what the input holds of the budgets.
func (in *input) giveBack(conn *transport.Conn) {
	if in.bytes > 0 {
		in.ch.inbound.release(in.bytes)
		in.bytes = 0
	}
	if in.admitted > 0 {
		in.ch.repay(in.admitted, conn)
		in.admitted = 0
	}
}

func (in *input) free() {
	in.memory.release()
	*in = input{}
	inputs.Put(in)
}

// HandleText takes one message. It pauses only while the actor is behind by
// more than the inbound budget.
func (l *link) HandleText(p []byte) {
	if !l.withinRate() {
		l.conn.Close(closePolicy, "message rate limit exceeded")
		return
	}
	in := l.ch.newInput(inputEvent)
	if err := l.decode(in, p); err != nil {
		in.free()
		l.refuse(err)
		return
	}
	in.ev.Kind, in.ev.Epoch, in.bytes = session.EventReceived, l.epoch, len(p)
	l.post(in)
}

// worthwhile is the size from which on it is cheaper to put the data of a message
// where it can be given back than to leave it to the collector.
const worthwhile = 1 << 10

// decode reads a message into an input. Its data stays out of the collector's way
// if it is for a handler that keeps nothing.
func (l *link) decode(in *input, p []byte) (err error) {
	lim := protocol.Limits{MaxBytes: l.ch.env.Limits.MaxMessage}
	if len(p) < worthwhile {
		in.ev.Message, err = protocol.Decode(p, lim)
		return err
	}
	m := &in.ev.Message
	if *m, err = protocol.DecodeInPlace(p, lim); err != nil {
		return err
	}
	if !l.ch.handedBack(m) {
		m.Data = bytes.Clone(m.Data)
		return nil
	}
	in.memory = newMemory(len(m.Data))
	in.memory.b = append(in.memory.b, m.Data...)
	m.Data = in.memory.b
	return nil
}

// post hands an input with a message to the actor.
func (l *link) post(in *input) {
	ch := l.ch
	ctx := context.Background()
	if !ch.inbound.acquire(ctx, ch.ended, in.bytes) {
		in.bytes = 0
		in.free()
		return
	}
	if err := ch.ref.Offer(in); err == nil {
		return
	}
	// The mailbox is full: the actor is alive but behind. Give it time once.
	ctx, cancel := context.WithTimeout(ctx, overloadGrace)
	defer cancel()
	if err := ch.ref.Tell(ctx, in); err != nil {
		in.giveBack(nil)
		in.free()
		l.conn.Close(closeTryLater, "overloaded")
	}
}

// overloadGrace is how long a reader waits for an actor that is behind.
const overloadGrace = 5 * time.Second

// refuse answers a message that cannot be decoded.
func (l *link) refuse(err error) {
	l.bad++
	if l.bad > maxBadFrames {
		l.conn.Close(closePolicy, "too many invalid messages")
		return
	}
	var bad *protocol.Error
	code, text, replyTo := protocol.CodeInvalidMessage, "invalid message", ""
	if errors.As(err, &bad) {
		code, text, replyTo = bad.Code, bad.Message, bad.ReplyTo
	}
	in := l.ch.newInput(inputEvent)
	in.ev.Kind, in.ev.Epoch = session.EventSend, l.epoch
	in.ev.Type, in.ev.ReplyTo = protocol.TypeError, replyTo
	in.ev.Data = protocol.ErrorData(code, text, "")
	if l.ch.ref.Offer(in) != nil {
		in.free()
	}
	l.ch.log().Warn("message refused", "err", err)
}

// withinRate counts messages; the clock is only read once a full window.
func (l *link) withinRate() bool {
	l.inWindow++
	limit := l.ch.env.Limits.MessagesPerSecond
	if l.inWindow < limit {
		return true
	}
	now := l.ch.env.Now()
	ok := now.Sub(l.windowStart) >= time.Second
	l.windowStart, l.inWindow = now, 0
	return ok
}

// HandlePong tells the session that the peer lives.
func (l *link) HandlePong() {
	in := l.ch.newInput(inputEvent)
	in.ev.Kind, in.ev.Epoch = session.EventAlive, l.epoch
	if l.ch.ref.Offer(in) != nil {
		in.free()
	}
}

// HandleWritable lets waiting senders go on.
func (l *link) HandleWritable() { l.ch.payBack() }

// HandleClose tells the session that the connection is gone.
func (l *link) HandleClose(e *transport.CloseError) {
	l.ch.payBack()
	in := l.ch.newInput(inputEvent)
	in.ev.Kind, in.ev.Epoch = session.EventLost, l.epoch
	in.ev.Code, in.ev.Reason, in.ev.Err = e.Code, e.Reason, e
	// The mailbox keeps its order, so that what was read before the loss is
	// handled before it; only a full one is overtaken.
	if l.ch.ref.Offer(in) != nil {
		l.ch.control(in)
	}
}
