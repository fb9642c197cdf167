package transport

import (
	"io"
	"net"
	"time"
)

// inbound is the reading side of a connection. It belongs to the reader
// goroutine, and before Start to whoever makes the connection.
type inbound struct {
	watch     watch
	pending   []byte // read and checked, not yet taken by gws
	buf       *chunk // the pooled buffer that pending lies in, nil if none
	leftover  []byte // read along with the opening handshake
	small     []byte // buffer for connections that must be waited for with one
	filled    bool   // the last read filled small, so more is likely to be there
	stop      error  // what Read returns when pending is empty
	stopTimer func() bool

	ready  func(fd uintptr) bool // Conn.readable, bound once
	direct []byte                // where readable is to read to, nil: a pooled buffer
	n      int                   // bytes read to direct

	handling string      // the handler method being called, "" if none
	response int         // the close code gws wanted to send
	verdict  *CloseError // why reading ended; see Conn.judge
	pinged   bool        // a pong waits for the next flush
	pings    int         // number of pings since pingTime
	pingTime time.Time
}

// release gives the pooled buffer back.
func (in *inbound) release() {
	if in.buf != nil {
		chunks.Put(in.buf)
		in.buf = nil
	}
	in.pending = nil
}

// prepare makes ready for a read from the network that is to satisfy a read of p by
// gws. It returns the error that ends the reading.
func (c *Conn) prepare(p []byte) error {
	in := &c.in
	in.release()
	switch {
	case c.ws == nil: // gws has read the answer to its handshake
		return io.EOF
	case in.stop != nil:
		return in.stop
	case c.over.Load():
		return net.ErrClosed
	}
	if in.pinged {
		in.pinged = false
		c.Flush()
	}
	// The payload of a large frame goes straight to where gws wants it.
	if len(p) >= chunkSize && in.watch.left >= int64(len(p)) && in.leftover == nil {
		in.direct = p
	}
	return nil
}

// failed takes note of the error of a raw read.
func (in *inbound) failed(err error) {
	if err != nil {
		in.stop = err
	}
}

// accept checks what a read from the network has brought. It returns the number
// of bytes that went straight to gws; what ends the connection is left in stop.
func (c *Conn) accept() int {
	in := &c.in
	in.watch.complete = false
	n := 0
	if in.direct != nil {
		n, in.n, in.direct = in.n, 0, nil
		if n > 0 {
			in.watch.skip(int64(n))
		}
	} else if ok, v := in.watch.scan(in.pending, c.o.maxMessage()); v != nil {
		in.pending = in.pending[:ok]
		in.stop = v
	}
	if in.stopTimer != nil && (in.watch.complete || !in.watch.unfinished()) {
		in.stopTimer()
		in.stopTimer = nil
	}
	return n
}

// readBlocking reads where the network connection has only blocking calls. It waits
// with a small buffer, and takes a large one once that was filled.
func (c *Conn) readBlocking() {
	in := &c.in
	c.startTimer()
	if in.direct != nil {
		in.n, in.stop = c.net.Read(in.direct)
		return
	}
	if in.small == nil {
		in.small = make([]byte, 512)
	}
	b := in.small
	if in.filled {
		in.buf = chunks.Get().(*chunk)
		b = in.buf[:]
	}
	n, err := c.net.Read(b)
	in.pending, in.stop = b[:n], err
	in.filled = n == len(in.small) && in.buf == nil
}

// readable is called when the socket may have something. It reports false to wait.
func (c *Conn) readable(fd uintptr) bool {
	in := &c.in
	p := in.direct
	var buf *chunk
	if p == nil {
		buf = chunks.Get().(*chunk)
		p = buf[:]
	}
	n, err := readFD(fd, p)
	if n > 0 && buf != nil {
		in.buf, in.pending = buf, buf[:n]
		return true
	}
	if buf != nil {
		chunks.Put(buf)
	}
	if err == errAgain {
		c.startTimer()
		return false
	}
	in.n, in.stop = n, err
	return true
}

// startTimer limits the time an unfinished message may take, when the reader is
// about to wait for the rest of it.
func (c *Conn) startTimer() {
	if c.in.stopTimer == nil && c.in.watch.unfinished() {
		c.in.stopTimer = c.o.afterFunc(c.o.messageTimeout(), func() { c.Abort(ErrMessageTimeout) })
	}
}

// linger reads and forgets what still comes, so that the peer gets to read our
// close frame: closing a socket with unread data resets the connection. The close
// timer ends it.
func (c *Conn) linger() {
	if w, ok := c.net.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
	for c.in.stop = nil; c.in.stop == nil; c.in.release() {
		if c.raw != nil {
			c.in.failed(c.raw.Read(c.in.ready))
		} else {
			c.readBlocking()
		}
	}
}

// cut describes the error of a read.
func cut(err error) *CloseError {
	switch {
	case err == io.EOF || err == nil:
		return &CloseError{Code: CodeAbnormal, Err: ErrCut.because("ended without a close frame")}
	default:
		return &CloseError{Code: CodeAbnormal, Err: ErrCut.with(err)}
	}
}
