package system

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/supervisor"
)

// errKilled is why an agent of this process that was killed has ended.
var errKilled = errors.New("killed")

// member is one life of an agent in this process.
type member struct {
	world *world
	spec  *Agent
	seat  seat
	// alone: it has the process for itself, and its endpoint is told to the
	// registry.
	alone bool
	ready chan struct{}
	kill  chan struct{}
	once  sync.Once
}

func newMember(w *world, a *Agent, alone bool) *member {
	return &member{world: w, spec: a, seat: w.roster.Agents[a.Name], alone: alone, ready: make(chan struct{}), kill: make(chan struct{})}
}

// Ready makes the start of the agent complete when it takes channels.
func (m *member) Ready() <-chan struct{} { return m.ready }

// killNow ends the agent without draining it.
func (m *member) killNow() { m.once.Do(func() { close(m.kill) }) }

// Serve makes the agent and its actors, and runs it.
func (m *member) Serve(ctx context.Context) error {
	c, err := credentials(m.world.dir, m.spec.Name)
	if err != nil {
		return err
	}
	agent, err := pando.New(c, m.options()...)
	if err != nil {
		return err
	}
	if err := m.build(ctx, agent); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served, err := m.listen(ctx, cancel, agent)
	if err != nil {
		return err
	}
	ran := make(chan error, 1)
	go func() { ran <- agent.Run(ctx) }()
	err = m.run(ctx, agent, ran)
	cancel()
	return errors.Join(err, <-served)
}

// run waits until the agent has ended, in one way or another.
func (m *member) run(ctx context.Context, agent *pando.Agent, ran chan error) error {
	select {
	case err := <-ran:
		return err
	case <-agent.Ready():
	}
	close(m.ready)
	select {
	case err := <-ran:
		return err
	case <-m.kill:
		gone, cancel := context.WithCancel(ctx)
		cancel() // no time to drain
		_ = agent.Shutdown(gone)
		<-ran
		return errKilled
	}
}

// backoff is that of the default but for its end: an agent of a system is known
// to come back.
func backoff() pando.Backoff { return pando.Backoff{Max: 2 * time.Second} }

func (m *member) options() []pando.Option {
	w := m.world
	opts := []pando.Option{
		pando.WithLogger(w.log), pando.WithEndpoints(w.endpoints(m.spec.Name)), pando.WithBackoff(backoff()),
	}
	if i := w.file.Registry.Issuer; i != "" {
		opts = append(opts, pando.WithIssuer(i))
	}
	if w.neighbours != nil {
		opts = append(opts, pando.WithNeighbours(w.neighbours))
	} else if m.seat.Endpoint != "" {
		opts = append(opts, pando.WithPublicURLs(m.seat.Endpoint))
		if m.alone { // for those that do not know it from the file
			opts = append(opts, pando.WithAnnouncement(pando.Announcement{Endpoint: &m.seat.Endpoint}))
		}
	}
	return opts
}

// build calls the constructors.
func (m *member) build(ctx context.Context, agent *pando.Agent) error {
	for _, actor := range m.spec.Actors {
		log := m.world.log.With("agent", m.spec.Name, "actor", actor.Name)
		h := &Host{world: m.world, spec: m.spec, actor: actor, agent: agent, log: log}
		if err := actor.entry.make(ctx, h, actor.config); err != nil {
			return fmt.Errorf("actor %s: %w", h.Name(), err)
		}
		if !h.spawned {
			return fmt.Errorf("actor %s: the constructor %s has spawned none", h.Name(), actor.New)
		}
	}
	return nil
}

// listen serves the endpoint, if there is one, until ctx ends. lost is called
// when it cannot go on: an agent that nobody can reach is of no use.
func (m *member) listen(ctx context.Context, lost func(), agent *pando.Agent) (served <-chan error, err error) {
	ended := make(chan error, 1)
	if m.seat.Listen == "" {
		ended <- nil
		return ended, nil
	}
	var conf *tls.Config
	if m.spec.Cert != "" && m.alone {
		pair, err := tls.LoadX509KeyPair(m.world.file.relative(m.spec.Cert), m.world.file.relative(m.spec.Key))
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		conf = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", m.seat.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle(endpointPath(m.seat.Endpoint), agent)
	srv := &http.Server{
		Handler: mux, TLSConfig: conf, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(m.world.log.Handler(), slog.LevelDebug), // strangers' broken handshakes
	}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true) // WebSockets upgrade HTTP/1.1
	go func() {
		defer lost()
		serve := func() error { return srv.Serve(ln) }
		if conf != nil {
			serve = func() error { return srv.ServeTLS(ln, "", "") }
		}
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			ended <- fmt.Errorf("serve: %w", err)
			return
		}
		ended <- nil
	}()
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	return ended, nil
}

func endpointPath(endpoint string) string {
	if u, err := url.Parse(endpoint); err == nil && u.Path != "" {
		return u.Path
	}
	return "/"
}

// pauseFor reports false when ctx ended.
func pauseFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// child supervises the agent in this process.
func (w *world) memberChild(a *Agent, alone bool, started func(*member)) supervisor.Spec {
	return supervisor.Spec{ID: a.Name, Shutdown: shutdown, New: func() supervisor.Service {
		m := newMember(w, a, alone)
		if started != nil {
			started(m)
		}
		return m
	}}
}
