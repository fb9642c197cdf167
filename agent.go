package pando

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/registry"
	"github.com/pando-agents/pando/supervisor"
	"github.com/pando-agents/pando/transport"
)

// Credentials are who an agent is and where its identity registry is.
type Credentials = identity.Credentials

// CredentialsFromEnv reads credentials from the AUTHED_* variables of the
// environment and, for those that are not set there, from the .env file at path;
// an empty path means no file.
func CredentialsFromEnv(path string) (Credentials, error) {
	if path == "" {
		return identity.FromEnv(os.LookupEnv)
	}
	return identity.Load(path, os.LookupEnv)
}

// Agent is one agent: an identity, its handlers and its channels. Several in one
// process do not share anything. All methods are safe for concurrent use.
type Agent struct {
	config    config
	id        string
	log       *slog.Logger
	client    *identity.Client
	verifier  *identity.Verifier
	directory *identity.Directory
	system    *actors.System
	env       *channel.Env
	registry  *registry.Registry
	tree      *supervisor.Supervisor
	transport *transport.Options
	handlers  handlers
	table     remote.Table // its named actors
	hosted    hosted
	links     links
	instance  string // which life of the agent this is
	reserved  *channel.Spec
	settler   settler
	unopened  atomic.Int64
	refusals  refusals

	ran      atomic.Bool
	began    atomic.Pointer[time.Time] // when Run was called
	draining atomic.Bool
	stop     chan struct{} // closed to make Run take the tree down
	stopOnce sync.Once
	done     chan struct{} // closed when Run has returned
}

// New returns an agent with these credentials. It starts nothing and does not
// touch the network: Run does. The error says what is wrong with the
// credentials.
func New(credentials Credentials, opts ...Option) (*Agent, error) {
	a := &Agent{config: defaults(), id: credentials.AgentID, stop: make(chan struct{}), done: make(chan struct{})}
	for _, o := range opts {
		o(&a.config)
	}
	if credentials.AgentID == "" {
		return nil, fmt.Errorf("new agent: %w", identity.ErrInvalidCredentials)
	}
	c := &a.config
	if c.logger == nil {
		c.logger = slog.Default()
	}
	a.log = c.logger.With("agent", a.id)
	var err error
	a.client, err = identity.NewClient(identity.ClientOptions{
		Credentials: credentials, HTTP: c.network.Registry, AllowInsecure: c.insecure,
		Now: c.clock.Now, AfterFunc: c.clock.AfterFunc, Rand: c.clock.Rand, Logger: c.logger,
	})
	if err != nil {
		return nil, fmt.Errorf("new agent: %w", err)
	}
	if err := a.newDirectory(); err != nil {
		return nil, fmt.Errorf("new agent: %w", err)
	}
	a.verifier, err = identity.NewVerifier(a.verifierOptions())
	if err != nil {
		return nil, fmt.Errorf("new agent: %w", err)
	}
	a.build()
	return a, nil
}

// build puts the parts of the agent together.
func (a *Agent) build() {
	c := &a.config
	a.system = actors.NewSystem(actors.SystemOptions{Logger: c.logger})
	a.env = &channel.Env{
		Agent: a.id, System: a.system, Handler: a.handler, Fallback: a.fallback(),
		Connect: a.connect, ConnectTimeout: c.timeouts.Connect, HandlerTimeout: c.timeouts.Handler,
		Wait: c.timeouts.Wait, PingInterval: c.timeouts.Ping, PongTimeout: c.timeouts.Pong,
		Backoff: c.backoff, MaxReconnect: c.timeouts.Reconnect, Limits: c.limits, Logger: c.logger,
		Now: c.clock.Now, AfterFunc: c.clock.AfterFunc, Rand: c.clock.Rand, NewID: c.clock.NewID, Fault: c.fault,
	}
	a.env.Actors = &channel.Spec{Shared: HandlerFunc(a.handleForActor), Ordered: true}
	a.env.Changed = a.links.changed
	a.reserved = &channel.Spec{Shared: HandlerFunc(a.handleReserved), Ordered: true}
	a.env.Prepare()
	a.links.init(a)
	a.instance = a.env.NewID()
	a.settler.after = a.env.AfterFunc
	dial := c.network.Dial
	if c.neighbours != nil {
		dial = c.neighbours.dial(a, dial)
	}
	a.transport = &transport.Options{
		MaxMessage: a.env.Limits.MaxMessage, MaxOutbound: 2 * a.env.Limits.Outbound,
		TLS: c.network.TLS, Dial: dial, WrapConn: c.network.WrapConn, Logger: c.logger,
		Now: c.clock.Now, AfterFunc: c.clock.AfterFunc,
	}
	a.registry = registry.New(registry.Options{
		Env: a.env, MaxChannels: c.admission.Channels, MaxPerPeer: c.admission.PerPeer, Budget: c.budget,
	})
	children := []supervisor.Spec{
		{ID: "channels", Service: a.registry.Channels()},
		{ID: "registry", Process: a.registry.Actor()},
		{ID: "actors", New: a.hostedService},
	}
	if c.about != nil {
		children = append(children, a.announceService())
	}
	a.tree = supervisor.New(supervisor.Options{
		Name: "agent", Logger: c.logger, Now: c.clock.Now, AfterFunc: c.clock.AfterFunc, Rand: c.clock.Rand,
		Children: children,
	})
}

// ID returns the agent id.
func (a *Agent) ID() string { return a.id }

// Ready returns a channel that is closed when the agent runs: it accepts and
// opens channels from then on. It makes an Agent a service with readiness for
// package supervisor.
func (a *Agent) Ready() <-chan struct{} { return a.tree.Ready() }

// Serve is Run, under the name that package supervisor knows.
func (a *Agent) Serve(ctx context.Context) error { return a.Run(ctx) }

// Run runs the agent until ctx ends or Shutdown is called, then drains it (for
// up to Timeouts.Drain when ctx ended) and returns nil. It returns an error when
// the agent cannot go on: then its supervision tree has failed. It never ends
// the process. An agent runs once; a second call returns ErrRan.
func (a *Agent) Run(ctx context.Context) error {
	if a.ran.Swap(true) {
		return ErrRan
	}
	now := a.env.Now()
	a.began.Store(&now)
	defer close(a.done)
	defer a.close()
	if n := a.config.neighbours; n != nil {
		leave, err := n.join(a)
		if err != nil {
			return err
		}
		defer leave()
	}
	treeCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- a.tree.Serve(treeCtx) }()
	a.log.Debug("agent starts")
	select {
	case err := <-ended:
		return err
	case <-a.stop:
	case <-ctx.Done():
		drainCtx, done := context.WithTimeout(treeCtx, a.config.timeouts.Drain)
		if err := a.drain(drainCtx); err != nil {
			a.log.Warn("agent stops with work unfinished", "err", err)
		}
		done()
	}
	cancel()
	err := <-ended
	a.log.Debug("agent stopped")
	return err
}

// close releases what the agent holds after its tree has gone.
func (a *Agent) close() {
	a.draining.Store(true)
	a.env.Draining.Store(true)
	for _, ch := range a.registry.All() {
		ch.Fail(ErrShuttingDown)
	}
	a.env.Abandon(ErrShuttingDown)
	a.links.close()
	a.registry.Close()
	a.client.Close()
	a.system.Close()
}

// Shutdown drains the agent and ends Run: no new channels and no new requests
// are taken, handlers that run and requests that wait are given until ctx ends,
// then every channel is closed with the reason "agent_shutdown". It returns when
// Run has, or the error of ctx. Called inside a handler it does not wait for
// that handler, nor for Run.
func (a *Agent) Shutdown(ctx context.Context) error {
	err := a.drain(ctx)
	a.stopOnce.Do(func() { close(a.stop) })
	if !a.ran.Load() || channel.InHandler(ctx) {
		return err
	}
	select {
	case <-a.done:
		return err
	case <-ctx.Done():
		return errors.Join(err, context.Cause(ctx))
	}
}

// shutdownReason is what peers are told; it is the Python SDK's word.
const shutdownReason = "agent_shutdown"

// closeGrace is how long channels may take to close once the time for draining
// is over.
const closeGrace = 3 * time.Second

func (a *Agent) drain(ctx context.Context) error {
	a.draining.Store(true)
	a.env.Draining.Store(true)
	channels := a.registry.All()
	err := each(channels, func(ch *Channel) error { return ch.Drain(ctx) })
	closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
	defer cancel()
	_ = each(channels, func(ch *Channel) error { return ch.Close(closeCtx, shutdownReason) })
	return errors.Join(err, a.env.Settle(ctx))
}

// each calls f for all channels at once and returns the first error.
func each(channels []*Channel, f func(*Channel) error) error {
	var first error
	var once sync.Once
	var wg sync.WaitGroup
	for _, ch := range channels {
		wg.Go(func() {
			if err := f(ch); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	wg.Wait()
	return first
}

// Tree returns a snapshot of the agent's supervision tree.
func (a *Agent) Tree() supervisor.Snapshot { return a.tree.Snapshot() }

// Events returns what happens in the supervision tree from now on, in a channel
// with room for n events, until cancel is called. A slow reader loses events and
// is told how many.
func (a *Agent) Events(n int) (events <-chan supervisor.Event, cancel func()) {
	return a.tree.Subscribe(n)
}
