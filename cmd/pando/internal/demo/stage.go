package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/server"
)

// story is the state of one telling.
type story struct {
	Options
	page    page
	begun   time.Time
	report  Report
	chapter *Chapter

	registryURL, ca         string
	provider                identity.Credentials
	admin                   *identity.Client // as the provider of all agents
	ada, bruno, wanda, cleo *player
	url                     string // of Bruno
	channel                 *pando.Channel
	witness                 *witness

	never  chan struct{} // closed at the very end: what a hanging handler waits for
	events chan int      // numbers of the events that Bruno got
	slow   chan slowCall // requests that Bruno has begun and not answered

	forbidden atomic.Pointer[time.Time] // when Bruno changed his mind about Cleo

	exits []func() // undone in reverse order
}

// slowCall is a request under way; closing release lets Bruno answer it.
type slowCall struct{ release chan struct{} }

// player is an agent that runs.
type player struct {
	*pando.Agent
	mu     sync.Mutex
	socket net.Conn // the last one that it dialled or accepted
	ended  chan error
}

// conn returns the last network connection of the player.
func (p *player) conn() net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.socket
}

// leave takes down what still runs, whatever became of the story.
func (s *story) leave() {
	close(s.never) // before the agents wait for their handlers
	for i := len(s.exits) - 1; i >= 0; i-- {
		s.exits[i]()
	}
}

// openRegistry starts the identity registry in a directory of its own.
func (s *story) openRegistry(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "pando-demo-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	s.exits = append(s.exits, func() { _ = os.RemoveAll(dir) })
	srv, err := server.New(ctx, server.Options{Logger: s.Logger})
	if err != nil {
		return err
	}
	s.exits = append(s.exits, func() { _ = srv.Close() })
	conf, ca, err := server.DevTLS(dir, nil)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.registryURL, s.ca = "https://"+ln.Addr().String(), ca
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(serving, ln, conf) }()
	s.exits = append(s.exits, func() { stop(); <-ended })
	return nil
}

// register makes a provider and its client.
func (s *story) register(ctx context.Context) error {
	s.provider = identity.Credentials{RegistryURL: s.registryURL, CAFile: s.ca}
	for range 2 { // once without credentials, once with those that it got
		client, err := identity.NewClient(identity.ClientOptions{Credentials: s.provider, Logger: s.Logger})
		if err != nil {
			return err
		}
		s.exits = append(s.exits, client.Close)
		if s.provider.ProviderID != "" {
			s.admin = client
			continue
		}
		p, err := client.RegisterProvider(ctx, "demo", "")
		if err != nil {
			return err
		}
		s.provider.ProviderID, s.provider.ProviderSecret = p.ID, p.Secret
	}
	return nil
}

// enter registers an agent with a fresh key and runs it.
func (s *story) enter(ctx context.Context, name string, network pando.Network, opts ...pando.Option) (*player, error) {
	key, err := identity.GenerateKey(identity.KeyEd25519, nil)
	if err != nil {
		return nil, err
	}
	id, secret, err := s.admin.RegisterAgent(ctx, name, key.Public(), false, identity.Announcement{})
	if err != nil {
		return nil, err
	}
	p := &player{ended: make(chan error, 1)}
	network.WrapConn = func(c net.Conn) net.Conn {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.socket = c
		return c
	}
	credentials := s.provider
	credentials.AgentID, credentials.AgentSecret, credentials.Key = id, secret, key
	p.Agent, err = pando.New(credentials, append(opts, pando.WithLogger(s.Logger), pando.WithNetwork(network))...)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() { p.ended <- p.Run(running) }()
	s.exits = append(s.exits, func() { stop(); p.wait() })
	select {
	case <-p.Ready():
		return p, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// wait returns when the agent has stopped, any number of times.
func (p *player) wait() error {
	err := <-p.ended
	p.ended <- err
	return err
}

// open lets Bruno be reached.
func (s *story) open() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.url = "ws://" + ln.Addr().String() + "/ws"
	mux := http.NewServeMux()
	mux.Handle("/ws", s.bruno)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	s.exits = append(s.exits, func() { _ = srv.Close(); <-ended })
	return nil
}

// allow makes two agents permit each other.
func (s *story) allow(ctx context.Context, a, b *player) error {
	return errors.Join(s.permit(ctx, a, b), s.permit(ctx, b, a))
}

func (s *story) permit(ctx context.Context, a, b *player) error {
	_, err := s.admin.ChangePermissions(ctx, a.ID(), []identity.Permission{{Type: identity.AllowAgent, TargetID: b.ID()}}, nil)
	return err
}

func (s *story) forbid(ctx context.Context, a, b *player) error {
	_, err := s.admin.ChangePermissions(ctx, a.ID(), nil, []identity.Permission{{Type: identity.AllowAgent, TargetID: b.ID()}})
	return err
}

// handlerTimeout is Bruno's patience with his handlers, short so that the story is,
// and long enough for a machine that has other things to do: a handler that is
// late is overtaken.
const handlerTimeout = 1500 * time.Millisecond

// secret is what must not leave Bruno when a handler panics with it.
const secret = "the password is swordfish"

// teach gives Bruno his handlers, good and bad.
func (s *story) teach() {
	s.events, s.slow = make(chan int, 1000), make(chan slowCall, 1)
	s.bruno.Handle(pando.Request, func(_ context.Context, m *pando.Message) (any, error) {
		var q numbered
		return &q, m.Decode(&q)
	})
	s.bruno.Handle(pando.Event, func(_ context.Context, m *pando.Message) (any, error) {
		var q numbered
		if err := m.Decode(&q); err != nil {
			return nil, err
		}
		s.events <- q.N
		return nil, nil
	})
	s.bruno.Handle("panic", func(context.Context, *pando.Message) (any, error) { panic(secret) })
	s.bruno.Handle("hang", func(context.Context, *pando.Message) (any, error) {
		<-s.never
		return nil, nil
	})
	s.bruno.Handle("slow", func(ctx context.Context, m *pando.Message) (any, error) {
		c := slowCall{release: make(chan struct{})}
		s.slow <- c
		select {
		case <-c.release:
		case <-ctx.Done():
		}
		var q numbered
		return &q, m.Decode(&q)
	})
}

// numbered is the data of the messages.
type numbered struct {
	N int `json:"n"`
}
