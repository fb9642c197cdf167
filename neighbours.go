package pando

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pando-agents/pando/transport/memnet"
)

// Neighbours are agents of one process that reach each other through memory, at
// no endpoint that anybody else could dial. Everything else between them is as
// between any two agents: tokens, permissions, channels and their limits. It is
// safe for concurrent use.
type Neighbours struct {
	net *memnet.Network

	mu    sync.Mutex
	hosts map[string]string // by agent id, of all that have ever been here
	addrs map[string]bool   // of these hosts
	here  map[string]bool   // by agent id
}

// NewNeighbours returns a neighbourhood without agents. Agents join it by
// WithNeighbours, each from its Run until that returns.
func NewNeighbours() *Neighbours {
	return &Neighbours{net: memnet.New(nil), hosts: map[string]string{}, addrs: map[string]bool{}, here: map[string]bool{}}
}

// WithNeighbours lets the agent and others of this process reach each other
// through memory.
func WithNeighbours(n *Neighbours) Option { return func(c *config) { c.neighbours = n } }

// neighbourPort is part of addresses that lead nowhere outside of the process.
const neighbourPort = "1"

// join makes an agent one of the neighbours until leave is called.
func (n *Neighbours) join(a *Agent) (leave func(), err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.here[a.id] {
		return nil, fmt.Errorf("agent %s is among its neighbours already", a.id)
	}
	// An agent that is started again is where it was: its peers come back to it.
	host := n.hosts[a.id]
	if host == "" {
		number := len(n.hosts) + 1
		host = fmt.Sprintf("127.255.%d.%d", number>>8&255, number&255)
	}
	addr := net.JoinHostPort(host, neighbourPort)
	ln, err := n.net.Listen(addr)
	if err != nil {
		return nil, err
	}
	n.hosts[a.id], n.addrs[addr], n.here[a.id] = host, true, true
	srv := &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln)
	}()
	return func() {
		n.mu.Lock()
		delete(n.here, a.id)
		n.mu.Unlock()
		_ = srv.Close()
		<-served
	}, nil
}

// url returns where a neighbour is dialled; empty if there is none of that id.
func (n *Neighbours) url(id string) string {
	if n == nil {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.here[id] {
		return "ws://" + net.JoinHostPort(n.hosts[id], neighbourPort) + "/"
	}
	return ""
}

// dial connects to a neighbour through memory, and to anybody else with other.
func (n *Neighbours) dial(a *Agent, other func(ctx context.Context, network, addr string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	if other == nil {
		other = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		n.mu.Lock()
		from, near := n.hosts[a.id], n.addrs[addr]
		n.mu.Unlock()
		if near && from != "" {
			return n.net.From(from)(ctx, network, addr)
		}
		return other(ctx, network, addr)
	}
}
