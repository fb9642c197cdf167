package transport

import (
	"crypto/tls"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lxzan/gws"
)

// Handler gets what happens on a connection. All methods but HandleWritable are
// called by the connection's one reader goroutine, one after the other. They may
// call any method of the connection. While one of them blocks nothing is read,
// and pings are not answered.
//
// A panic in a method is recovered, logged with its stack, and closes the
// connection with 1011.
type Handler interface {
	// HandleText gets a text message. p is valid UTF-8, and only valid until
	// HandleText returns. Messages may still come after Close, until HandleClose.
	HandleText(p []byte)
	// HandlePong tells that the peer has answered a ping.
	HandlePong()
	// HandleWritable tells that the outbound queue has fallen below half of
	// MaxOutbound after it had been above it or a Send had been refused. It is
	// called by a goroutine that writes and must not block.
	HandleWritable()
	// HandleClose is called exactly once, as the last of all methods, when the
	// network connection has been closed.
	HandleClose(err *CloseError)
}

// Conn is a WebSocket connection. Its methods are safe for concurrent use.
type Conn struct {
	o      *Options
	net    net.Conn
	raw    syscall.RawConn // nil where only net's blocking calls will do
	ws     *gws.Conn
	h      Handler
	client bool
	over   atomic.Bool // the verdict is in: no more calls but HandleClose

	in inbound // the reader goroutine's

	mu         sync.Mutex
	out        outbound
	closing    bool        // nothing more may be sent
	dead       bool        // the network connection is closed
	own        *CloseError // what Close was given
	end        *CloseError // what cut the connection, if anything did
	closeTimer func() bool // stops the timer of the closing handshake
}

// newConn makes a connection of a network connection on which the opening
// handshake has been done. leftover is what has been read beyond it.
func newConn(o *Options, nc net.Conn, client bool, leftover []byte) (*Conn, error) {
	c := &Conn{o: o, net: nc, raw: rawConn(nc), client: client}
	c.in.ready = c.readable
	var err error
	if client {
		c.ws, err = clientReader((*wire)(c))
	} else {
		c.ws, err = serverReader((*wire)(c), o.maxMessage())
	}
	c.in.leftover = leftover
	return c, err
}

// Start begins to read and to call h. It must be called once.
func (c *Conn) Start(h Handler) {
	c.mu.Lock()
	if c.h != nil {
		c.mu.Unlock()
		panic("transport: connection started twice")
	}
	c.h = h
	if c.writable() && !c.out.writing { // it has drained while there was nobody to tell
		c.out.writing = true
		go c.flushSlowly()
	}
	c.mu.Unlock()
	go c.read()
}

// HandOver makes h the handler from now on, which is told what comes next. Only a
// method of the handler before may call it, and not HandleWritable, which another
// goroutine calls: it may still be running there.
func (c *Conn) HandOver(h Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.h = h
}

// RemoteAddr is the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.net.RemoteAddr() }

// LocalAddr is our own address.
func (c *Conn) LocalAddr() net.Addr { return c.net.LocalAddr() }

// Buffered returns the number of bytes that wait to be written.
func (c *Conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.size()
}

// Ping sends a ping without payload; HandlePong follows when the peer answers.
// It returns ErrClosed after the end or Close, and ErrQueueFull.
func (c *Conn) Ping() error {
	c.mu.Lock()
	if c.closing || c.dead || c.out.err != nil {
		c.mu.Unlock()
		return ErrClosed
	}
	if c.out.control.size()+maxHeader > controlSpace {
		c.mu.Unlock()
		return ErrQueueFull
	}
	appendTo(&c.out.control, c.client, opPing, nil)
	c.mu.Unlock()
	c.Flush()
	return nil
}

// Close starts the close handshake of RFC 6455 §7 and returns at once. What has
// been queued is written first, for at most WriteTimeout; then the peer has
// CloseTimeout to answer. The network connection is closed in any case. A reason
// longer than 123 bytes is cut. After the first call, or the end, Close does nothing.
//
// On a connection that was never started it only sends the close frame and ends
// the connection after CloseTimeout.
func (c *Conn) Close(code int, reason string) {
	c.mu.Lock()
	if c.closing || c.dead {
		c.mu.Unlock()
		return
	}
	c.own = &CloseError{Code: code, Reason: reason}
	c.queueClose(&c.out.data, code, reason)
	c.restartCloseTimer(c.o.writeTimeout(), ErrCloseTimeout)
	c.mu.Unlock()
	c.Flush()
}

// queueClose appends a close frame to a lane. Nothing follows it.
func (c *Conn) queueClose(lane **buffer, code int, reason string) {
	c.closing = true
	if c.out.err != nil || c.dead {
		return
	}
	appendTo(lane, c.client, opClose, closePayload(code, reason))
	c.out.closed = true
}

// Abort closes the network connection at once. HandleClose gets err, or ErrAborted
// if err is nil, in a CloseError with code 1006, or with the code of an earlier
// Close.
func (c *Conn) Abort(err error) {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return
	}
	if err == nil {
		err = ErrAborted
	}
	c.dead, c.closing = true, true
	c.over.Store(true)
	c.end = &CloseError{Code: CodeAbnormal, Err: err}
	c.stopCloseTimer()
	if !c.out.writing {
		c.quieten()
	}
	c.mu.Unlock()
	// The close of a tls.Conn may wait to send an alert.
	if t, ok := c.net.(*tls.Conn); ok {
		_ = t.NetConn().Close()
		return
	}
	_ = c.net.Close()
}

// restartCloseTimer aborts the connection with err after d. Conn.mu is held.
func (c *Conn) restartCloseTimer(d time.Duration, err error) {
	c.stopCloseTimer()
	c.closeTimer = c.o.afterFunc(d, func() { c.Abort(err) })
}

func (c *Conn) stopCloseTimer() {
	if c.closeTimer != nil {
		c.closeTimer()
		c.closeTimer = nil
	}
}

func (c *Conn) logPanic(method string, p any) {
	c.o.logger().Error("handler panicked", slog.String("method", method), slog.Any("err", p),
		slog.String("peer", c.RemoteAddr().String()), slog.String("stack", string(debug.Stack())))
}
