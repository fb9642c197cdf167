package transport

import (
	"errors"
	"time"

	"github.com/lxzan/gws"
)

// maxPings is how many pings a peer may send within a second.
const maxPings = 100

// events is the gws event handler of all connections; it has no state.
type events struct{}

func connOf(s *gws.Conn) *Conn { return (*Conn)(s.NetConn().(*wire)) }

// enter reports whether a handler method may still be called, and notes its name
// for the log.
func (c *Conn) enter(method string) bool {
	if c.in.verdict != nil || c.over.Load() {
		return false
	}
	c.in.handling = method
	return true
}

func (events) OnOpen(*gws.Conn) {}

func (events) OnMessage(s *gws.Conn, m *gws.Message) {
	c := connOf(s)
	if c.enter("HandleText") {
		c.h.HandleText(m.Bytes())
		c.in.handling = ""
	}
	_ = m.Close()
}

func (events) OnPong(s *gws.Conn, _ []byte) {
	c := connOf(s)
	if c.enter("HandlePong") {
		c.h.HandlePong()
		c.in.handling = ""
	}
}

// OnPing leaves the answer to the time when all that was read has been handled:
// of several pings only the latest is answered, as RFC 6455 §5.5.3 allows.
func (events) OnPing(s *gws.Conn, payload []byte) {
	c := connOf(s)
	if now := c.o.now(); now.Sub(c.in.pingTime).Abs() >= time.Second {
		c.in.pingTime, c.in.pings = now, 0
	}
	if c.in.pings++; c.in.pings > maxPings {
		c.judge(failure(CodePolicy, "too many pings"))
		return
	}
	c.in.pinged = true
	c.mu.Lock()
	c.out.pong, c.out.pongDue = payload, !c.closing
	c.mu.Unlock()
}

// OnClose ends the reading; nobody but us is told yet.
func (events) OnClose(s *gws.Conn, err error) {
	c := connOf(s)
	var v *violation
	var peer *gws.CloseError
	switch refused := c.in.response == CodeProtocol || c.in.response == CodeInvalidData; {
	case errors.As(err, &v):
		c.judge(failure(v.code, v.reason))
	case errors.As(err, &peer) && refused:
		c.judge(failure(c.in.response, "invalid close frame"))
	case errors.As(err, &peer):
		code := int(peer.Code)
		if code == 0 {
			code = CodeNoStatus
		}
		c.judge(&CloseError{Code: code, Reason: string(peer.Reason), Remote: true})
	case c.in.response == CodeProtocol:
		c.judge(failure(CodeProtocol, "protocol error"))
	case c.in.response == CodeInvalidData:
		c.judge(failure(CodeInvalidData, "text is not UTF-8"))
	case c.in.response == CodeTooBig:
		c.judge(failure(CodeTooBig, "message too big"))
	default:
		c.judge(cut(c.in.stop))
	}
}

func failure(code int, reason string) *CloseError {
	return &CloseError{Code: code, Reason: reason, Err: ErrProtocol.because(reason)}
}

// judge sets why reading ends; the first verdict counts. Code 1006 means that the
// connection is cut, Remote that the peer has sent a close frame, and everything
// else that we fail the connection.
func (c *Conn) judge(v *CloseError) {
	if c.in.verdict == nil {
		c.in.verdict = v
		if c.in.stop == nil {
			c.in.stop = v
		}
		c.in.pending = nil
	}
}

// read is the reader goroutine.
func (c *Conn) read() {
	returned := false
	defer func() {
		if !returned {
			c.crashed(recover())
		}
		c.finish()
	}()
	c.ws.ReadLoop()
	returned = true
}

// crashed is called when a handler, or gws, has panicked or ended the goroutine.
func (c *Conn) crashed(p any) {
	if c.in.handling == "" {
		c.logPanic("reader", p)
		c.judge(failure(CodeProtocol, "malformed frame"))
		return
	}
	c.logPanic(c.in.handling, p)
	c.judge(&CloseError{Code: CodeInternal, Reason: "internal error", Err: ErrPanic})
}

// finish brings the connection to its end: the close frame, the network
// connection, the flusher, HandleClose.
func (c *Conn) finish() {
	v := c.in.verdict
	if v == nil {
		v = cut(c.in.stop)
	}
	c.in.release()
	if c.lastWords(v) {
		c.Flush()
		c.awaitQuiet()
		if !v.Remote {
			c.linger()
		}
	}
	c.over.Store(true)
	if c.in.stopTimer != nil {
		c.in.stopTimer()
	}
	c.mu.Lock()
	c.stopCloseTimer()
	closed := c.dead
	c.dead, c.closing = true, true
	c.mu.Unlock()
	if !closed {
		_ = c.net.Close()
	}
	c.awaitQuiet()
	c.mu.Lock()
	c.out.drop()
	c.out.wire.release()
	c.out.wire = nil
	end := c.ending(v)
	c.mu.Unlock()
	c.tellClosed(end)
}

// lastWords queues the close frame that the verdict demands, unless one has been
// queued. It reports false when there is nobody to read it.
func (c *Conn) lastWords(v *CloseError) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead || v.Code == CodeAbnormal {
		return false
	}
	if c.closing {
		return true
	}
	if v.Remote {
		c.queueClose(&c.out.data, v.Code, "") // RFC 6455 §5.5.1: echo the code
	} else {
		c.out.drop()
		c.queueClose(&c.out.control, v.Code, v.Reason)
	}
	c.restartCloseTimer(c.o.closeTimeout(), ErrCloseTimeout)
	return true
}

// ending combines what reading, writing, Close and Abort have to say. Conn.mu is held.
func (c *Conn) ending(v *CloseError) *CloseError {
	if v.Code == CodeAbnormal {
		switch {
		case c.end != nil:
			v = c.end
		case c.out.err != nil:
			v = &CloseError{Code: CodeAbnormal, Err: ErrCut.with(c.out.err)}
		}
	}
	if c.own == nil {
		return v
	}
	own := *c.own
	if !v.Remote {
		own.Err = v.Err
	}
	return &own
}

func (c *Conn) tellClosed(end *CloseError) {
	returned := false
	defer func() {
		if !returned {
			c.logPanic("HandleClose", recover())
		}
	}()
	c.h.HandleClose(end)
	returned = true
}
