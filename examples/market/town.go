package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/server"
)

// town is the identity registry, and the agents that are registered with it.
type town struct {
	dir         string // for the files of all
	caFile      string
	address     string // of the registry
	credentials map[string]pando.Credentials
	stop        func() error
}

// clerk is who closes the market: it reads the books of the bank.
const clerk = "clerk"

// found starts an identity registry in memory and registers everybody.
func found(ctx context.Context, dir string, s *scenario, python string) (t *town, err error) {
	conf, caFile, err := server.DevTLS(dir, nil)
	if err != nil {
		return nil, err
	}
	registry, err := server.New(ctx, server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, registry.Close())
	}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- registry.Serve(serving, ln, conf) }()
	t = &town{dir: dir, caFile: caFile, address: ln.Addr().String(), credentials: map[string]pando.Credentials{}}
	t.stop = func() error {
		end()
		return errors.Join(<-served, registry.Close())
	}
	if err := t.register(ctx, s, python); err != nil {
		return nil, errors.Join(err, t.stop())
	}
	return t, nil
}

// register makes the agents and the permissions: whoever trades talks to the
// bank, and buyers to sellers.
func (t *town) register(ctx context.Context, s *scenario, python string) error {
	owner := pando.Credentials{RegistryURL: "https://" + t.address, CAFile: t.caFile}
	admin, err := identity.NewClient(identity.ClientOptions{Credentials: owner})
	if err != nil {
		return err
	}
	defer admin.Close()
	provider, err := admin.RegisterProvider(ctx, "market", "")
	if err != nil {
		return err
	}
	owner.ProviderID, owner.ProviderSecret = provider.ID, provider.Secret
	if admin, err = identity.NewClient(identity.ClientOptions{Credentials: owner}); err != nil {
		return err
	}
	defer admin.Close()
	for _, name := range append(s.everybody(), clerk) {
		c := owner
		kind := identity.KeyEd25519
		if name == python {
			kind = identity.KeyRSA // the SDK knows no other
		}
		if c.Key, err = identity.GenerateKey(kind, nil); err != nil {
			return err
		}
		if c.AgentID, c.AgentSecret, err = admin.RegisterAgent(ctx, name, c.Key.Public(), false, identity.Announcement{}); err != nil {
			return err
		}
		t.credentials[name] = c
	}
	return t.permit(ctx, admin, s)
}

func (t *town) permit(ctx context.Context, admin *identity.Client, s *scenario) error {
	talk := map[string][]string{}
	allow := func(a, b string) { talk[a], talk[b] = append(talk[a], b), append(talk[b], a) }
	allow(clerk, theBank)
	for _, seller := range s.sellers {
		allow(seller, theBank)
		for _, buyer := range s.buyers {
			allow(buyer, seller)
		}
	}
	for _, buyer := range s.buyers {
		allow(buyer, theBank)
	}
	for name, others := range talk {
		var all []identity.Permission
		for _, o := range others {
			all = append(all, identity.Permission{Type: identity.AllowAgent, TargetID: t.credentials[o].AgentID})
		}
		if _, err := admin.SetPermissions(ctx, t.credentials[name].AgentID, all); err != nil {
			return err
		}
	}
	return nil
}

// announce tells the others where an agent is.
func (t *town) announce(ctx context.Context, name, url string) error {
	c, err := identity.NewClient(identity.ClientOptions{Credentials: t.credentials[name]})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Announce(ctx, identity.Announcement{Endpoint: &url})
	return err
}

// file is where something of an agent is kept.
func (t *town) file(name, suffix string) string { return filepath.Join(t.dir, name+suffix) }

// ids are those of all agents, by name.
func (t *town) ids() map[string]string {
	ids := map[string]string{}
	for name, c := range t.credentials {
		ids[name] = c.AgentID
	}
	return ids
}

// running is an agent that runs.
type running struct {
	*pando.Agent
	stop func() error
}

// run makes and runs an agent. With a listener it can be dialled there, else
// only by its neighbours.
func run(credentials pando.Credentials, ln net.Listener, opts ...pando.Option) (*running, error) {
	opts = append([]pando.Option{
		pando.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))),
		pando.WithTimeouts(pando.Timeouts{Lost: 500 * time.Millisecond}), // on one machine
	}, opts...)
	agent, err := pando.New(credentials, opts...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- agent.Run(ctx) }()
	r := &running{Agent: agent, stop: func() error {
		cancel()
		return <-ran
	}}
	if ln == nil {
		<-agent.Ready()
		return r, nil
	}
	srv := &http.Server{Handler: agent, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln)
	}()
	r.stop = func() error {
		cancel()
		err := <-ran
		_ = srv.Close()
		<-served
		return err
	}
	<-agent.Ready()
	return r, nil
}
