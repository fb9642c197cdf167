package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
)

// pandoServer serves an agent behind net/http, as any user would mount it.
// configure may register handlers; an agent without any echoes requests.
func pandoServer(configure func(*pando.Agent) error, opts ...pando.Option) func(context.Context, string, func(readiness) error) error {
	return func(ctx context.Context, addr string, ready func(readiness) error) error {
		dir, err := os.MkdirTemp("", "pando-bench")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		reg, err := startRegistry(dir)
		if err != nil {
			return err
		}
		defer reg.stop()
		self, r, err := prepare(ctx, reg, dir)
		if err != nil {
			return err
		}
		// All channels come from one peer: the limits for one are in the way.
		agent, err := pando.New(self, append([]pando.Option{pando.WithLogger(quiet()),
			pando.WithAdmission(pando.Admission{PerPeer: 1 << 20, Unopened: 1 << 16})}, opts...)...)
		if err != nil {
			return err
		}
		if err := configure(agent); err != nil {
			return err
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		mux.Handle("/ws", agent)
		srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = srv.Serve(ln) }()
		defer srv.Close()
		r.URL = "ws://" + ln.Addr().String() + "/ws"
		go func() {
			<-agent.Ready()
			_ = ready(r)
		}()
		return agent.Run(ctx)
	}
}

// echoValues answers requests like the floor does and like most users would:
// it decodes into a struct and returns one.
func echoValues(a *pando.Agent) error {
	type message struct {
		Text string `json:"text"`
	}
	a.Handle(pando.Request, func(_ context.Context, m *pando.Message) (any, error) {
		var in message
		if err := m.Decode(&in); err != nil {
			return nil, err
		}
		return message{Text: in.Text}, nil
	})
	return nil
}

// prepare registers the agent and its callers, and leaves what the callers
// need in files that only this user can read.
func prepare(ctx context.Context, reg *registry, dir string) (self identity.Credentials, r readiness, err error) {
	all, err := reg.enrol(ctx, identity.KeyEd25519, identity.KeyEd25519, identity.KeyRSA)
	if err != nil {
		return self, r, err
	}
	self = all[0]
	token, err := reg.bearer(ctx, all[1], self.AgentID)
	if err != nil {
		return self, r, err
	}
	r = readiness{Target: self.AgentID, Token: token, Callers: map[string]string{
		"Ed25519": filepath.Join(dir, "ed25519.env"), "RSA": filepath.Join(dir, "rsa.env"),
	}}
	if err := all[1].WriteFile(r.Callers["Ed25519"]); err != nil {
		return self, r, err
	}
	return self, r, all[2].WriteFile(r.Callers["RSA"])
}
