package pando_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"runtime/pprof"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/identitytest"
	"github.com/pando-agents/pando/transport/memnet"
)

// world is what the agents of one test live in: an identity registry, and a
// network that is either the real one or, in virtual time, one in memory.
type world struct {
	t       *testing.T
	reg     *identitytest.Registry
	net     *memnet.Network // nil on real sockets
	secrets []string        // what no log may hold
	nodes   []*node
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	w.watchGoroutines()
	w.reg = identitytest.New(t)
	return w
}

// inVirtualTime runs f in a bubble with a network in memory. All time that
// passes in there is time that somebody waits.
func inVirtualTime(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: memnet.New(&memnet.Options{Backlog: 512})}
		const host = "127.0.0.8:443"
		ln, err := w.net.Listen(host)
		if err != nil {
			t.Fatal(err)
		}
		w.reg = identitytest.New(t, identitytest.WithListener(ln, host, w.net.From("127.0.0.9")))
		f(w)
	})
}

func newID() string { return uuid.NewString() }

// dial connects from a host; real connections come from wherever they do.
func (w *world) dial(host string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if w.net != nil {
		return w.net.From(host)
	}
	return new(net.Dialer).DialContext
}

func (w *world) listen(host string) net.Listener {
	w.t.Helper()
	var ln net.Listener
	var err error
	if w.net != nil {
		ln, err = w.net.Listen(host + ":0")
	} else {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return ln
}

// node is an agent that runs and can be dialled.
type node struct {
	*pando.Agent
	url, addr, host string
	creds           identity.Credentials
	log             *recorder
	cancel          context.CancelFunc
	ended           chan struct{}
	err             error // of Run, once it has ended
}

// newNode makes an agent and lets f set it up before it runs. Each has a host
// of its own in a network in memory.
func (w *world) newNode(name string, f func(n *node), opts ...pando.Option) *node {
	w.t.Helper()
	return w.nodeOf(w.reg.AddAgent(name, identity.KeyEd25519), f, opts...)
}

// nodeOf is newNode for an agent that is registered.
func (w *world) nodeOf(creds identity.Credentials, f func(n *node), opts ...pando.Option) *node {
	w.t.Helper()
	n := &node{
		host: fmt.Sprintf("127.0.1.%d", len(w.nodes)+1), log: newRecorder(), ended: make(chan struct{}), creds: creds,
	}
	network := pando.Network{Registry: w.reg.Client, Dial: w.dial(n.host)}
	opts = append([]pando.Option{
		pando.WithLogger(slog.New(n.log)), pando.WithNetwork(network),
	}, opts...)
	a, err := pando.New(n.creds, opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	n.Agent = a
	if f != nil {
		f(n)
	}
	ln := w.listen(n.host)
	n.addr = ln.Addr().String()
	n.url = "ws://" + n.addr + "/ws"
	w.nodes = append(w.nodes, n)
	w.serve(n, ln)
	<-a.Ready()
	return n
}

// serve runs a node until the test ends.
func (w *world) serve(n *node, ln net.Listener) {
	srv := &http.Server{Handler: n, ReadHeaderTimeout: headerTimeout, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() {
		defer close(n.ended)
		n.err = n.Run(ctx)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-n.ended
		if n.err != nil {
			w.t.Errorf("run: %v\n%s", n.err, n.log.tail())
		}
		_ = srv.Close()
		<-served
		for _, s := range w.secrets {
			if n.log.mentions(s) {
				w.t.Error("a token or a proof is in the log")
			}
		}
	})
}

// headerTimeout is how long the server lets strangers think about a request.
const headerTimeout = 5 * time.Second

// friend is a node that may talk to n.
func (w *world) friend(n *node, name string, f func(n *node), opts ...pando.Option) *node {
	w.t.Helper()
	other := w.newNode(name, f, opts...)
	w.reg.Allow(n.creds, other.creds)
	return other
}

// stranger is an agent that only has credentials, and may talk to n.
func (w *world) stranger(n *node) identity.Credentials {
	w.t.Helper()
	creds := w.reg.AddAgent("stranger", identity.KeyEd25519)
	w.secrets = append(w.secrets, creds.AgentSecret)
	w.reg.Allow(n.creds, creds)
	return creds
}

// open opens a channel from a node to another.
func (n *node) open(t *testing.T, to *node, opts ...pando.Option) *pando.Channel {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ch, err := n.Open(ctx, to.ID(), to.url, opts...)
	if err != nil {
		t.Fatalf("open: %v\n%s\n-- other end --\n%s", err, n.log.tail(), to.log.tail())
	}
	return ch
}

// at is the same node under another URL: the same URL would be the same channel.
func (n *node) at(query string) *node {
	other := *n
	other.url += query
	return &other
}

// lookup returns the other end of a channel.
func (n *node) lookup(t *testing.T, id string) *pando.Channel {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ch, err := n.Lookup(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// within returns a context that ends before anybody loses patience.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// watchGoroutines marks what the test starts and checks, after all has been
// stopped, that it is gone. In a bubble synctest does the same.
func (w *world) watchGoroutines() {
	ctx := pprof.WithLabels(context.Background(), pprof.Labels("test", w.t.Name()))
	pprof.SetGoroutineLabels(ctx)
	w.t.Cleanup(func() {
		name := w.t.Name()
		if !poll(patience, func() bool { return len(goroutines(name, "")) <= 1 }) {
			for _, stack := range goroutines(name, "") {
				w.t.Errorf("goroutine left:\n%s", stack)
			}
		}
		if ports := w.ports(); sockets(ports) != 0 {
			w.t.Errorf("%d sockets left", sockets(ports))
		}
	})
}

// ports are those that the nodes listen on.
func (w *world) ports() map[string]bool {
	ports := map[string]bool{}
	for _, n := range w.nodes {
		_, port, _ := net.SplitHostPort(n.addr)
		ports[port] = true
	}
	return ports
}
