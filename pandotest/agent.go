package pandotest

import (
	"context"
	"errors"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/identity"
)

// Agent is one life of an agent. It runs, and others can dial it.
type Agent struct {
	*pando.Agent
	Name        string
	URL         string // under which it is dialled, ws
	Host        string // where it is in World.Net
	Credentials identity.Credentials
	World       *World

	opts  []pando.Option
	addr  string
	dead  atomic.Bool // nothing gets in or out any more
	ended chan struct{}
	stop  func() // drains it, and waits
}

// Agent makes an agent and runs it until the test ends. It may not talk to
// anybody yet: see Allow.
func (w *World) Agent(name string, opts ...pando.Option) *Agent {
	w.T.Helper()
	a := &Agent{Name: name, Host: w.host(), World: w, opts: opts,
		Credentials: w.Registry.AddAgent(name, identity.KeyEd25519)}
	a.addr = net.JoinHostPort(a.Host, "0")
	return w.run(a)
}

// Restart runs an agent again that Stop or Kill has ended: the same identity,
// endpoint and options, and nothing else of its former life.
func (w *World) Restart(a *Agent) *Agent {
	w.T.Helper()
	select {
	case <-a.ended:
	default:
		w.T.Fatalf("pandotest: %s runs", a.Name)
	}
	if w.Net != nil {
		w.Net.Refuse(a.Host, false)
	}
	return w.run(&Agent{Name: a.Name, Host: a.Host, addr: a.addr, World: w, opts: a.opts, Credentials: a.Credentials})
}

// run starts one life of an agent.
func (w *World) run(a *Agent) *Agent {
	w.T.Helper()
	a.ended = make(chan struct{})
	ln := w.listen(a.addr)
	a.addr = ln.Addr().String()
	a.URL = "ws://" + a.addr + "/ws"
	opts := append([]pando.Option{
		pando.WithLogger(w.log.logger(a.Name)),
		pando.WithNetwork(pando.Network{Registry: w.Registry.Client, Dial: a.dial(w.dial(a.Host))}),
	}, a.opts...)
	agent, err := pando.New(a.Credentials, opts...)
	if err != nil {
		_ = ln.Close()
		w.check("new agent", err)
	}
	a.Agent = agent
	a.serve(ln)
	w.Registry.Announce(a.Credentials, a.URL)
	w.agents = append(w.agents, a)
	<-agent.Ready()
	return a
}

// headerTimeout bounds what a peer may take to send its request.
const headerTimeout = 5 * time.Second

// serve runs the agent and its endpoint.
func (a *Agent) serve(ln net.Listener) {
	srv := &http.Server{Handler: a.Agent, ReadHeaderTimeout: headerTimeout, ErrorLog: stdlog.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	go func() {
		defer close(a.ended)
		err = a.Run(ctx)
	}()
	a.stop = func() {
		cancel()
		<-a.ended
		_ = srv.Close()
		<-served
	}
	a.World.T.Cleanup(func() {
		a.stop()
		if err != nil {
			a.World.T.Errorf("pandotest: %s: run: %v", a.Name, err)
		}
	})
}

var errDead = errors.New("the agent has been killed")

// dial is how the agent connects while it lives.
func (a *Agent) dial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if a.dead.Load() {
			return nil, errDead
		}
		return dial(ctx, network, addr)
	}
}

// Address is how others call an actor of the agent; for an empty name, the
// agent.
func (a *Agent) Address(actor string) string {
	if actor == "" {
		return a.ID()
	}
	return a.ID() + "/" + actor
}

// Spawn adds an actor to the tree of an agent and exposes it, under the name in
// its spec, with the messages of p. The Ref is the agent's own.
func Spawn[M any](a *Agent, spec actors.Spec[M], p *remote.Protocol[M], opts ...pando.ExposeOption) actors.Ref[M] {
	a.World.T.Helper()
	ref, err := pando.Spawn(context.Background(), a.Agent, spec)
	a.World.check("spawn", err)
	a.World.check("expose", pando.Expose(a.Agent, spec.Name, ref, p, opts...))
	return ref
}

// RefTo returns the Ref with which one agent talks to an actor of another.
func RefTo[M any](from, to *Agent, actor string, p *remote.Protocol[M]) actors.Ref[M] {
	from.World.T.Helper()
	ref, err := pando.RefTo(from.Agent, to.Address(actor), p)
	from.World.check("ref", err)
	return ref
}
