// Package memnet is an in-memory network for tests. Its connections behave like
// TCP connections as far as a test can tell: bounded buffers, deadlines, pending
// data before the end of the stream, resets. It has no goroutines of its own and
// waits on channels and timers only, so that it works within testing/synctest.
//
// Hosts exist by being named. An address is "host:port"; a fault is laid on an
// address, or on a host with all its ports.
package memnet

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options configure a [Network]; nil and zero values mean the defaults.
type Options struct {
	// Buffer is how many bytes may be on the way in one direction of a connection
	// before writes block. Default 64 KiB.
	Buffer int
	// Latency is how long data takes from one end to the other. Default 0.
	Latency time.Duration
	// Backlog is how many connections may wait to be accepted by a listener.
	// Default 128.
	Backlog int
}

// Network is a set of listeners and connections. Its methods are safe for
// concurrent use.
type Network struct {
	buffer, backlog int

	mu        sync.Mutex
	listeners map[string]*listener
	conns     map[*conn]struct{} // the dialling ends of all open connections
	latency   map[string]time.Duration
	refused   map[string]bool
	frozen    map[link]bool // true: half-open, dies when healed
	healed    chan struct{} // closed and replaced by Heal
	nextPort  int
	base      time.Duration
}

// link names both sides of a fault; an empty side is everybody.
type link struct{ a, b string }

// New makes an empty network.
func New(o *Options) *Network {
	if o == nil {
		o = &Options{}
	}
	n := &Network{
		buffer: o.Buffer, backlog: o.Backlog, base: o.Latency, nextPort: 40000,
		listeners: map[string]*listener{}, conns: map[*conn]struct{}{},
		latency: map[string]time.Duration{}, refused: map[string]bool{},
		frozen: map[link]bool{}, healed: make(chan struct{}),
	}
	if n.buffer <= 0 {
		n.buffer = 64 << 10
	}
	if n.backlog <= 0 {
		n.backlog = 128
	}
	return n
}

// Listen listens on addr, "host:port". Port 0 takes a free one.
func (n *Network) Listen(addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("memnet: listen: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == "0" {
		addr = n.freeAddr(host)
	}
	if n.listeners[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "mem", Addr: address(addr), Err: syscall.EADDRINUSE}
	}
	l := &listener{n: n, addr: address(addr), queue: make(chan *conn, n.backlog), done: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

func (n *Network) freeAddr(host string) string {
	n.nextPort++
	return fmt.Sprintf("%s:%d", host, n.nextPort)
}

// Dial connects from the host "client"; it fits transport.Options.Dial.
func (n *Network) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return n.From("client")(ctx, network, addr)
}

// From returns a dial function for connections from the given host.
func (n *Network) From(host string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		c, err := n.dial(ctx, host, addr)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: "mem", Addr: address(addr), Err: err}
		}
		return c, nil
	}
}

func (n *Network) dial(ctx context.Context, host, addr string) (net.Conn, error) {
	if err := n.awaitPath(ctx, host, addr); err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.listeners[addr]
	if l == nil || n.lookup(n.refused, addr) {
		n.mu.Unlock()
		return nil, syscall.ECONNREFUSED
	}
	near, far := n.pair(n.freeAddr(host), addr)
	select {
	case l.queue <- far:
	default:
		n.mu.Unlock()
		return nil, syscall.ECONNREFUSED
	}
	n.conns[near] = struct{}{}
	n.mu.Unlock()
	return near, nil
}

// awaitPath waits for one round trip, and while the path is frozen: a lost SYN
// is sent again.
func (n *Network) awaitPath(ctx context.Context, host, addr string) error {
	for {
		n.mu.Lock()
		blocked, healed := false, n.healed
		for f := range n.frozen {
			blocked = blocked || f.covers(host+":0", addr)
		}
		wait := 2 * n.latencyTo(addr)
		n.mu.Unlock()
		if !blocked {
			return sleep(ctx, wait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-healed:
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// pair makes both ends of a connection.
func (n *Network) pair(from, to string) (near, far *conn) {
	d := n.latencyTo(to)
	there, back := newPipe(n.buffer, d), newPipe(n.buffer, d)
	near = &conn{n: n, local: address(from), remote: address(to), in: back, out: there}
	far = &conn{n: n, local: address(to), remote: address(from), in: there, out: back}
	near.entry, far.entry = near, near
	return near, far
}

func (n *Network) latencyTo(addr string) time.Duration {
	if d, ok := n.latency[addr]; ok {
		return d
	}
	if d, ok := n.latency[hostOf(addr)]; ok {
		return d
	}
	return n.base
}

func (n *Network) lookup(m map[string]bool, addr string) bool { return m[addr] || m[hostOf(addr)] }

func hostOf(addr string) string {
	if i := strings.LastIndexByte(addr, ':'); i >= 0 {
		return addr[:i]
	}
	return addr
}

// matches reports whether addr is meant by name, an address or a host.
func matches(name, addr string) bool {
	return name == "" || name == addr || name == hostOf(addr)
}

func (l link) covers(x, y string) bool {
	return matches(l.a, x) && matches(l.b, y) || matches(l.a, y) && matches(l.b, x)
}

func (n *Network) forget(entry *conn) {
	n.mu.Lock()
	delete(n.conns, entry)
	n.mu.Unlock()
}
