package pandotest

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"

	"github.com/pando-agents/pando/identity/identitytest"
	"github.com/pando-agents/pando/transport/memnet"
)

// World is what the agents of one test live in. It ends with the test. Its
// methods fail the test when something does not work, so they are to be called
// from the test's own goroutine, or in a bubble from the bubble's.
type World struct {
	// T is the test; in a Bubble, the one of the bubble.
	T testing.TB
	// Registry is the identity registry.
	Registry *identitytest.Registry
	// Net is the network, for faults beyond those of World; nil on sockets.
	Net *memnet.Network

	log    *log
	agents []*Agent
}

// Option changes how New makes a World.
type Option func(*options)

type options struct{ sockets bool }

// OnSockets puts a World on TCP over loopback, at ports that are free. There
// are no faults then, and it does not work in a bubble.
func OnSockets() Option { return func(o *options) { o.sockets = true } }

// The addresses of the identity registry in a network in memory.
const (
	registryHost = "127.0.0.8:443"
	testHost     = "127.0.0.9" // where the test itself dials from
)

// backlog is how many connections may wait at once to be accepted.
const backlog = 512

// New makes a World without agents. A test should have one.
func New(t testing.TB, opts ...Option) *World {
	t.Helper()
	var o options
	for _, f := range opts {
		f(&o)
	}
	w := &World{T: t, log: newLog(t)}
	w.markGoroutines()
	if o.sockets {
		w.Registry = identitytest.New(t)
		return w
	}
	w.Net = memnet.New(&memnet.Options{Backlog: backlog})
	ln, err := w.Net.Listen(registryHost)
	w.check("listen", err)
	w.Registry = identitytest.New(t, identitytest.WithListener(ln, registryHost, w.Net.From(testHost)))
	return w
}

// Bubble runs f in virtual time (testing/synctest): time stands still while
// anything runs, and jumps to the next timer when nothing does. f is to use
// World.T, not t.
func Bubble(t *testing.T, f func(w *World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(New(t)) })
}

// Pair is the shortest way to two agents that may talk to each other.
func Pair(t testing.TB) (alice, bob *Agent) {
	t.Helper()
	return New(t).Pair()
}

// Pair makes two agents that may talk to each other.
func (w *World) Pair() (alice, bob *Agent) {
	w.T.Helper()
	alice, bob = w.Agent("alice"), w.Agent("bob")
	w.Allow(alice, bob)
	return alice, bob
}

// Allow lets each of the agents talk to each of the others. Without it, agents
// refuse each other.
func (w *World) Allow(agents ...*Agent) {
	w.T.Helper()
	w.each(agents, func(a, b *Agent) { w.Registry.Allow(a.Credentials, b.Credentials) })
}

// Forbid takes the permission away again. Agents remember whom they have
// verified, for a minute at most, and channels that are open stay open.
func (w *World) Forbid(agents ...*Agent) {
	w.T.Helper()
	w.each(agents, func(a, b *Agent) { w.Registry.Revoke(a.Credentials, b.Credentials) })
}

func (w *World) each(agents []*Agent, f func(a, b *Agent)) {
	for i, a := range agents {
		for _, b := range agents[i+1:] {
			f(a, b)
		}
	}
}

// listen listens at an address of a network, or at any that is free.
func (w *World) listen(addr string) net.Listener {
	w.T.Helper()
	var ln net.Listener
	var err error
	if w.Net != nil {
		ln, err = w.Net.Listen(addr)
	} else {
		ln, err = net.Listen("tcp", addr)
	}
	w.check("listen", err)
	return ln
}

// dial returns how a host connects to others.
func (w *World) dial(host string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if w.Net != nil {
		return w.Net.From(host)
	}
	return new(net.Dialer).DialContext
}

// host returns the host of the next agent.
func (w *World) host() string {
	if w.Net == nil {
		return "127.0.0.1"
	}
	n := len(w.agents) + 1
	return fmt.Sprintf("127.0.%d.%d", n/250+1, n%250+1)
}

func (w *World) check(what string, err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatalf("pandotest: %s: %v", what, err)
	}
}
