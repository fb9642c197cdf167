package transport

import (
	"io"
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
	err    error                 // what readable met

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

// fill reads once from the network, waiting for something to come, and leaves it
// in pending. Where gws asks for the payload of a large frame, it reads straight
// to p instead and returns the number of bytes. What ends the connection is left
// in stop.
func (c *Conn) fill(p []byte) int {
	in := &c.in
	if in.pinged {
		in.pinged = false
		c.Flush()
	}
	if len(p) >= chunkSize && in.watch.left >= int64(len(p)) && in.leftover == nil {
		n := c.readTo(p)
		in.watch.complete = false
		if n > 0 {
			in.watch.skip(int64(n))
		}
		c.checkTimer()
		return n
	}
	if in.leftover != nil {
		in.pending, in.leftover = in.leftover, nil
	} else {
		c.readSome()
	}
	if len(in.pending) == 0 {
		return 0
	}
	ok, v := in.watch.scan(in.pending, c.o.maxMessage())
	if v != nil {
		in.pending = in.pending[:ok]
		in.stop = v
	}
	c.checkTimer()
	return 0
}

// readTo reads to p.
func (c *Conn) readTo(p []byte) int {
	in := &c.in
	if c.raw != nil {
		in.direct, in.n = p, 0
		c.rawRead()
		in.direct = nil
		return in.n
	}
	c.startTimer()
	n, err := c.net.Read(p)
	in.stop = err
	return n
}

// readSome reads to pending. On a raw connection it waits without a buffer. On
// others it waits with a small one, and takes a large one once that was filled.
func (c *Conn) readSome() {
	in := &c.in
	if c.raw != nil {
		c.rawRead()
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
	c.startTimer()
	n, err := c.net.Read(b)
	in.pending, in.stop = b[:n], err
	in.filled = n == len(in.small) && in.buf == nil
}

func (c *Conn) rawRead() {
	in := &c.in
	in.err = nil
	err := c.raw.Read(in.ready)
	if err == nil {
		err = in.err
	}
	in.stop = err
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
	in.n, in.err = n, err
	return true
}

// startTimer limits the time an unfinished message may take, when the reader is
// about to wait for the rest of it.
func (c *Conn) startTimer() {
	if c.in.stopTimer == nil && c.in.watch.unfinished() {
		c.in.stopTimer = c.o.afterFunc(c.o.messageTimeout(), func() { c.Abort(ErrMessageTimeout) })
	}
}

// checkTimer stops the timer when the message it was for is complete.
func (c *Conn) checkTimer() {
	if c.in.stopTimer != nil && (c.in.watch.complete || !c.in.watch.unfinished()) {
		c.in.stopTimer()
		c.in.stopTimer = nil
	}
}

// linger reads and forgets what still comes, so that the peer gets to read our
// close frame: closing a socket with unread data resets the connection. The close
// timer ends it.
func (c *Conn) linger() {
	if w, ok := c.net.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
	for c.in.stop = nil; c.in.stop == nil; {
		c.readSome()
		c.in.release()
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
