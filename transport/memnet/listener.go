package memnet

import (
	"net"
	"sync"
)

// address is a net.Addr of the network "mem".
type address string

func (address) Network() string  { return "mem" }
func (a address) String() string { return string(a) }

type listener struct {
	n     *Network
	addr  address
	queue chan *conn
	done  chan struct{}
	once  sync.Once
}

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
	default:
		select {
		case c := <-l.queue:
			return c, nil
		case <-l.done:
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "mem", Addr: l.addr, Err: net.ErrClosed}
}

// Close ends the listening and resets the connections nobody has accepted.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.n.mu.Lock()
		delete(l.n.listeners, string(l.addr))
		l.n.mu.Unlock()
		close(l.done)
		for {
			select {
			case c := <-l.queue:
				c.in.reset()
				c.out.reset()
				l.n.forget(c.entry)
			default:
				return
			}
		}
	})
	return nil
}

// Addr returns the address that is listened on.
func (l *listener) Addr() net.Addr { return l.addr }
