package transport

import "fmt"

// Lane is one of the two outbound queues of a connection.
type Lane uint8

const (
	// Data is bounded by Options.MaxOutbound.
	Data Lane = iota
	// Control is written before Data, at a boundary between messages. It holds
	// at most 64 KiB.
	Control
)

// outbound is what waits to be written, guarded by Conn.mu. Frames wait in the
// lanes; wire holds whole frames that are being written, and nothing gets
// between its bytes.
type outbound struct {
	control, data, wire *buffer

	pong      []byte // answer to the latest ping, RFC 6455 §5.5.3
	pongDue   bool
	writing   bool // somebody owns wire: a Flush, or the flusher goroutine
	starved   bool // HandleWritable is due below half of MaxOutbound
	closed    bool // a close frame is queued; nothing may follow it
	closeSent bool
	err       error         // a write failed; nothing is written any more
	quiet     chan struct{} // closed when writing has ended; nil when nobody waits
}

func (o *outbound) size() int { return o.control.size() + o.data.size() + o.wire.size() }

func (o *outbound) pending() bool {
	return o.control != nil || o.data != nil || o.wire != nil || o.pongDue
}

// drop forgets what has not begun to be written.
func (o *outbound) drop() {
	o.control.release()
	o.data.release()
	o.control, o.data, o.pong, o.pongDue = nil, nil, nil, false
}

// take fills wire and reports whether there is anything to write.
func (o *outbound) take(client bool) bool {
	if o.wire != nil {
		return true
	}
	if o.pongDue {
		if !o.closed {
			appendTo(&o.control, client, opPong, o.pong)
		}
		o.pong, o.pongDue = nil, false
	}
	switch {
	case o.data == nil:
		o.wire, o.control = o.control, nil
	case o.control == nil && o.data.size() <= maxWire:
		o.wire, o.data = o.data, nil
	default:
		o.join()
	}
	return o.wire != nil
}

// join moves the control lane and then as many frames of the data lane as make a
// reasonable write to wire.
func (o *outbound) join() {
	n := wholeFrames(o.data.b[o.data.off:], maxWire)
	if o.control == nil && n == o.data.size() {
		o.wire, o.data = o.data, nil
		return
	}
	w := o.control
	if w == nil {
		w = buffers.Get().(*buffer)
	}
	w.b = append(w.b, o.data.b[o.data.off:o.data.off+n]...)
	o.data.off += n
	if o.data.size() == 0 {
		o.data.release()
		o.data = nil
	}
	o.wire, o.control = w, nil
}

// Send queues p as one text message, which must be UTF-8. It copies p and never
// blocks. Nothing is written before Flush.
//
// It returns ErrQueueFull when the lane has no room (for Data, HandleWritable
// follows when it has), ErrTooLarge when the lane would have none if it were
// empty, and ErrClosed after the end or Close. It is safe for concurrent use.
func (c *Conn) Send(lane Lane, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.dead || c.out.err != nil {
		return ErrClosed
	}
	queue, used, limit := &c.out.control, c.out.control.size(), controlSpace
	if lane == Data {
		queue, used, limit = &c.out.data, c.out.data.size()+c.out.wire.size(), c.o.maxOutbound()
	}
	need := len(p) + maxHeader
	if need > limit {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(p))
	}
	if lane == Data && used+need > limit/2 {
		c.out.starved = true
	}
	if used+need > limit {
		return ErrQueueFull
	}
	appendTo(queue, c.client, opText, p)
	return nil
}

// Flush writes what is queued: with one system call where the network connection
// allows it, else, and when the socket takes no more, in a goroutine of its own.
// It never blocks and is safe for concurrent use.
func (c *Conn) Flush() {
	c.mu.Lock()
	if c.out.writing || c.dead || c.out.err != nil || !c.out.take(c.client) {
		c.mu.Unlock()
		return
	}
	c.out.writing = true
	if c.raw == nil || !c.flushNow() {
		go c.flushSlowly()
	}
	c.mu.Unlock()
}

// flushNow writes without waiting. It reports false when the flusher goroutine
// has to go on. Conn.mu is held on entry and on return, not meanwhile.
func (c *Conn) flushNow() bool {
	// A bound, so that the caller does not end up writing for all the others.
	for range 8 {
		w := c.out.wire
		c.mu.Unlock()
		n, err := writeRaw(c.raw, w.b[w.off:], nil)
		c.mu.Lock()
		w.off += n
		if err == errAgain {
			return false
		}
		if err != nil {
			c.writeFailed(err)
			return true
		}
		c.written()
		if c.writable() {
			return false // the handler is never called from within Flush
		}
		if !c.out.take(c.client) {
			c.quieten()
			return true
		}
	}
	return false
}

// flushSlowly is the flusher goroutine: it writes until the queue is empty.
func (c *Conn) flushSlowly() {
	timer := progressTimer{c: c}
	c.mu.Lock()
	for {
		if c.writable() {
			c.out.starved = false
			h := c.h
			c.mu.Unlock()
			c.tellWritable(h)
			c.mu.Lock()
		}
		if c.dead || !c.out.take(c.client) {
			break
		}
		w := c.out.wire
		c.mu.Unlock()
		timer.restart()
		err := c.writeAll(w.b[w.off:], timer.restart)
		timer.end()
		c.mu.Lock()
		if err != nil {
			c.writeFailed(err)
			c.mu.Unlock()
			return
		}
		c.written()
	}
	c.quieten()
	c.mu.Unlock()
}

// writeAll writes all of p, however long it takes, calling progress after each
// part.
func (c *Conn) writeAll(p []byte, progress func()) error {
	if c.raw != nil {
		_, err := writeRaw(c.raw, p, progress)
		return err
	}
	for {
		part := p[:min(len(p), chunkSize)]
		if _, err := c.net.Write(part); err != nil {
			return err
		}
		if p = p[len(part):]; len(p) == 0 {
			return nil
		}
		progress()
	}
}

// written takes note that wire has been written.
func (c *Conn) written() {
	c.out.wire.release()
	c.out.wire = nil
}

// tellWritable calls HandleWritable and survives whatever it does. A handler that
// ends the goroutine takes the flusher with it, so another one goes on.
func (c *Conn) tellWritable(h Handler) {
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		c.logPanic("HandleWritable", p)
		c.Close(CodeInternal, "internal error")
		if p == nil {
			go c.flushSlowly()
		}
	}()
	h.HandleWritable()
	returned = true
}

// writable reports whether HandleWritable is due.
func (c *Conn) writable() bool {
	return c.out.starved && c.h != nil && !c.closing &&
		c.out.data.size()+c.out.wire.size() < c.o.maxOutbound()/2
}

// writeFailed ends the writing side. The reader goes on for a moment: it may find
// the peer's close frame, which says more than the error of a write.
func (c *Conn) writeFailed(err error) {
	c.out.drop()
	c.out.wire = nil
	c.out.err = err
	c.closing = true
	c.quieten()
	if !c.dead {
		c.restartCloseTimer(c.o.closeTimeout(), ErrCut.with(err))
	}
}

// quieten ends the ownership of wire.
func (c *Conn) quieten() {
	c.out.writing = false
	if c.out.closed && !c.out.pending() && !c.out.closeSent && c.out.err == nil && !c.dead {
		c.out.closeSent = true
		c.restartCloseTimer(c.o.closeTimeout(), ErrCloseTimeout)
	}
	if c.out.quiet != nil {
		close(c.out.quiet)
		c.out.quiet = nil
	}
}

// awaitQuiet waits until everything is written or can no longer be.
func (c *Conn) awaitQuiet() {
	c.mu.Lock()
	for c.out.writing || (c.out.pending() && !c.dead && c.out.err == nil) {
		if c.out.quiet == nil {
			c.out.quiet = make(chan struct{})
		}
		quiet := c.out.quiet
		c.mu.Unlock()
		<-quiet
		c.mu.Lock()
	}
	c.mu.Unlock()
}

// progressTimer aborts the connection when it has not been restarted for
// WriteTimeout.
type progressTimer struct {
	c    *Conn
	stop func() bool
}

func (t *progressTimer) restart() {
	t.end()
	t.stop = t.c.o.afterFunc(t.c.o.writeTimeout(), func() { t.c.Abort(ErrWriteTimeout) })
}

func (t *progressTimer) end() {
	if t.stop != nil {
		t.stop()
		t.stop = nil
	}
}
