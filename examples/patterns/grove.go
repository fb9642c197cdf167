package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/server"
)

// grove is an identity registry and agents that may all talk to each other, over
// the loopback interface.
type grove struct {
	agents map[string]*agent
	stops  []func() error
}

// agent is one that can be killed.
type agent struct {
	*pando.Agent
	credentials pando.Credentials
	address     string
	ln          net.Listener      // of the next life, if there is one already
	urls        map[string]string // of all agents, by id
	stop        func() error

	mu    sync.Mutex
	conns []net.Conn // all that it has ever had
	dead  bool
}

// grow starts everything.
func grow(ctx context.Context, names ...string) (g *grove, err error) {
	g = &grove{agents: map[string]*agent{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	dir, err := os.MkdirTemp("", "patterns")
	if err != nil {
		return g, err
	}
	g.stops = append(g.stops, func() error { return os.RemoveAll(dir) })
	conf, caFile, err := server.DevTLS(dir, nil)
	if err != nil {
		return g, err
	}
	registry, err := server.New(ctx, server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return g, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return g, errors.Join(err, registry.Close())
	}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- registry.Serve(serving, ln, conf) }()
	g.stops = append(g.stops, func() error {
		end()
		return errors.Join(<-served, registry.Close())
	})
	owner := pando.Credentials{RegistryURL: "https://" + ln.Addr().String(), CAFile: caFile}
	if err := g.register(ctx, owner, names); err != nil {
		return g, err
	}
	for _, a := range g.agents {
		g.stops = append(g.stops, func() error { return a.stop() })
	}
	return g, nil
}

// register makes the agents, lets each talk to each, and runs them.
func (g *grove) register(ctx context.Context, owner pando.Credentials, names []string) error {
	stranger, err := identity.NewClient(identity.ClientOptions{Credentials: owner})
	if err != nil {
		return err
	}
	defer stranger.Close()
	provider, err := stranger.RegisterProvider(ctx, "grove", "")
	if err != nil {
		return err
	}
	owner.ProviderID, owner.ProviderSecret = provider.ID, provider.Secret
	admin, err := identity.NewClient(identity.ClientOptions{Credentials: owner})
	if err != nil {
		return err
	}
	defer admin.Close()
	var all []identity.Permission
	for _, name := range names {
		a := &agent{credentials: owner}
		c := &a.credentials
		if c.Key, err = identity.GenerateKey(identity.KeyEd25519, nil); err != nil {
			return err
		}
		if c.AgentID, c.AgentSecret, err = admin.RegisterAgent(ctx, name, c.Key.Public(), false, identity.Announcement{}); err != nil {
			return err
		}
		g.agents[name] = a
		all = append(all, identity.Permission{Type: identity.AllowAgent, TargetID: c.AgentID})
	}
	urls := map[string]string{}
	for _, name := range names {
		a := g.agents[name]
		if _, err := admin.SetPermissions(ctx, a.credentials.AgentID, all); err != nil {
			return err
		}
		if a.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		a.address, a.urls = a.ln.Addr().String(), urls
		urls[a.credentials.AgentID] = "ws://" + a.address + "/ws"
	}
	for _, name := range names {
		if err := g.agents[name].run(); err != nil {
			return err
		}
	}
	return nil
}

// close stops everything, the registry last.
func (g *grove) close() (err error) {
	for i := len(g.stops) - 1; i >= 0; i-- {
		err = errors.Join(err, g.stops[i]())
	}
	return err
}

// run is one life of an agent: always at the same address.
func (a *agent) run() (err error) {
	ln := a.ln
	if ln == nil {
		if ln, err = net.Listen("tcp", a.address); err != nil {
			return err
		}
	}
	a.ln, a.dead, a.conns = nil, false, nil
	if a.Agent, err = pando.New(a.credentials,
		pando.WithLogger(slog.New(slog.DiscardHandler)),
		pando.WithEndpoints(a.urls),
		pando.WithNetwork(pando.Network{Dial: a.dial}),
		pando.WithTimeouts(pando.Timeouts{Connect: time.Second, Lost: time.Second / 2}), // on one machine
	); err != nil {
		return errors.Join(err, ln.Close())
	}
	srv := &http.Server{Handler: a.Agent, ReadHeaderTimeout: 5 * time.Second, ConnState: func(c net.Conn, s http.ConnState) {
		if s == http.StateNew {
			_ = a.keep(c)
		}
	}}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	runs := a.Agent
	go func() { ran <- runs.Run(ctx) }()
	a.stop = sync.OnceValue(func() error {
		cancel()
		err := <-ran
		_ = srv.Close()
		<-served
		return err
	})
	<-runs.Ready()
	return nil
}

var errDead = errors.New("killed")

func (a *agent) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return c, a.keep(c)
}

func (a *agent) keep(c net.Conn) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.dead {
		_ = c.Close()
		return errDead
	}
	a.conns = append(a.conns, c)
	return nil
}

// cut breaks all connections of the agent; kill makes it unable to make others,
// too, and ends it: nobody is told.
func (a *agent) cut(kill bool) {
	a.mu.Lock()
	a.dead = kill
	for _, c := range a.conns {
		_ = c.Close()
	}
	a.conns = nil
	a.mu.Unlock()
}

func (a *agent) kill() {
	a.cut(true)
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = a.Shutdown(now) // without time to finish anything
	_ = a.stop()
}
