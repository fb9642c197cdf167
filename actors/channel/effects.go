package channel

import (
	"errors"
	"sync"
	"time"

	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/protocol/session"
	"github.com/pando-agents/pando/transport"
)

// WebSocket close codes (RFC 6455 §7.4.1; 1012 and 1013 from the IANA registry).
const (
	closeNormal    = 1000
	closeGoingAway = 1001
	closeAbnormal  = 1006
	closePolicy    = 1008
	closeInternal  = 1011
	closeTryLater  = 1013
)

var errDead = errors.New("peer shows no sign of life")

// do carries out one effect. Everything that it touches outside of the cell is
// safe to be done again, or is done last.
func (i *incarnation) do(e *session.Effect) {
	ch := i.ch
	switch e.Kind {
	case session.EffectWrite:
		i.write(e)
	case session.EffectDeliver:
		i.deliver(e)
	case session.EffectResolve:
		ch.calls.resolve(e.ID, newMessage(ch, &e.Message, 0))
	case session.EffectFail:
		i.fail(e)
	case session.EffectOpened:
		ch.opened(e)
	case session.EffectDial:
		ch.dial()
	case session.EffectPing:
		if l := ch.cell.link; l != nil {
			_ = l.conn.Ping() // a connection that is gone reports itself
		}
	case session.EffectDisconnect:
		if l := ch.cell.link; l != nil {
			l.conn.Close(e.Code, e.Reason)
		}
	case session.EffectAbort:
		if l := ch.cell.link; l != nil {
			l.conn.Abort(errDead)
		}
	case session.EffectArm:
		ch.arm(e.At)
	case session.EffectStateChanged:
		i.stateChanged(e)
	case session.EffectDropped:
		ch.dropped.Add(1)
		ch.log().Debug("message dropped", "why", e.Reason, "message_id", e.ID)
	case session.EffectClosed:
		i.closed(e)
	}
}

// deliver hands a message over, together with the memory that it lies in.
func (i *incarnation) deliver(e *session.Effect) {
	m := newMessage(i.ch, &e.Message, i.ch.cell.link.epoch)
	in := i.ch.cell.input
	m.memory = in.memory
	i.ch.route(m)
	in.memory = nil // last: until then a crash leaves it with the input
}

var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// maxScratch is the largest encoding buffer that is kept for the next message.
const maxScratch = 64 << 10

// write encodes a message and queues it on the connection.
func (i *incarnation) write(e *session.Effect) {
	ch := i.ch
	l := ch.cell.link
	if l == nil {
		return
	}
	i.wrote++
	buf := scratch.Get().(*[]byte)
	*buf = protocol.AppendEncode((*buf)[:0], &e.Message)
	lane := transport.Data
	if e.Control {
		lane = transport.Control
	}
	err := l.conn.Send(lane, *buf)
	if cap(*buf) <= maxScratch {
		scratch.Put(buf)
	}
	if errors.Is(err, transport.ErrQueueFull) {
		ch.log().Warn("peer does not read: connection closed", "queued_bytes", l.conn.Buffered())
		l.conn.Close(closeTryLater, "peer does not read")
	}
}

// fail tells the sender of a message what became of it.
func (i *incarnation) fail(e *session.Effect) {
	ch := i.ch
	code := map[string]Code{
		session.FailNotSent: CodeNotSent, session.FailTooManyPending: CodeTooManyPending,
		session.FailTimeout: CodeTimeout, session.FailOutcomeUnknown: CodeOutcomeUnknown,
		session.FailClosed: CodeClosed,
	}[e.Reason]
	if code == CodeNotSent && errors.Is(e.Err, &session.Error{Code: session.CodeReservedType}) {
		code = CodeInvalid
	}
	if !ch.calls.fail(e.ID, &Error{Code: code, Op: "request", Peer: ch.peer, Err: e.Err}) && code == CodeNotSent {
		ch.dropped.Add(1)
		ch.log().Debug("message not sent", "message_id", e.ID, "err", e.Err)
	}
}

func (i *incarnation) stateChanged(e *session.Effect) {
	ch := i.ch
	switch e.To {
	case protocol.StateConnected: // opened says that, with what the peer can do
	case protocol.StateClosed: // finish says that, with the reason
	default:
		ch.gate.set(e.To)
	}
	switch e.To {
	case protocol.StateConnected:
		ch.log().Info("channel connected", "was", e.From.String())
	case protocol.StateReconnecting:
		ch.log().Warn("channel lost its connection", "err", e.Err)
		ch.cell.link = nil
		ch.conn.Store(nil)
		ch.env.Changed(ch, protocol.StateReconnecting)
	default:
		ch.log().Debug("channel "+e.To.String(), "was", e.From.String())
	}
}

// closed ends the channel for good.
func (i *incarnation) closed(e *session.Effect) {
	ch := i.ch
	err := &Error{Code: CodeClosed, Peer: ch.peer, Reason: e.Reason, Err: e.Err}
	if e.Err != nil {
		err.Code = closeCode(e.Err)
	}
	var ce *ConnectError
	if errors.As(e.Err, &ce) { // that says it all, without the words of the session around it
		err.Reason, err.Err = "", ce.Err
	}
	if err.Code == CodeClosed {
		ch.log().Info("channel closed", "code", e.Code, "reason", e.Reason)
	} else {
		ch.log().Warn("channel closed", "code", e.Code, "reason", e.Reason, "err", e.Err)
	}
	ch.finish(err, closeNormal, e.Reason, err.Code == CodeClosed)
	i.ctx.Stop(nil)
}

// closeCode says how the user sees the end of a channel.
func closeCode(err error) Code {
	var ce *ConnectError
	var s *session.Error
	switch {
	case errors.As(err, &ce) && ce.Final:
		return CodeRefused
	case errors.As(err, &s):
		switch s.Code {
		case session.CodeOpenFailed, session.CodeOpenTimeout:
			return CodeUnreachable
		case session.CodeRejected:
			return CodeRefused
		case session.CodeClosedByPeer:
			return CodeClosed
		}
	}
	return CodeLost
}

// arm sets the one timer of the channel.
func (c *Channel) arm(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disarmLocked()
	if !c.isEnded() {
		c.stopTimer = c.env.AfterFunc(at.Sub(c.env.Now()), c.tick)
	}
}

func (c *Channel) disarm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disarmLocked()
}

func (c *Channel) disarmLocked() {
	if c.stopTimer != nil {
		c.stopTimer()
		c.stopTimer = nil
	}
}
