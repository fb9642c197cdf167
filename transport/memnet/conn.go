package memnet

import (
	"net"
	"time"
)

// conn is one end of a connection.
type conn struct {
	n             *Network
	local, remote address
	in, out       *pipe
	entry         *conn // the end that Network.conns holds
	lost          bool  // the peer has vanished; guarded by Network.mu, on entry only
}

// Read reads what has arrived, waiting for it.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

// Write writes, waiting while the buffer is full.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// Close ends both directions: the peer reads what is on the way and then the end
// of the stream; its writes fail.
func (c *conn) Close() error {
	c.in.closeRead()
	c.out.closeWrite()
	if c.in.over() && c.out.over() {
		c.n.forget(c.entry)
	}
	return nil
}

// CloseWrite ends the outgoing direction.
func (c *conn) CloseWrite() error {
	c.out.closeWrite()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	c.out.setWriteDeadline(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.setWriteDeadline(t)
	return nil
}

func (c *conn) wrap(op string, err error) error {
	if err == nil || err == errEOF {
		return err
	}
	return &net.OpError{Op: op, Net: "mem", Source: c.local, Addr: c.remote, Err: err}
}
