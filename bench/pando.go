package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	idserver "github.com/pando-agents/pando/identity/server"
)

// servePando runs an agent with its default handler, an echo like the floor's, behind net/http
// as any user would mount it. Its identity registry runs in this process too,
// but is asked only once per token and minute.
func servePando(ctx context.Context, addr string, ready func(readiness) error) error {
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	dir, err := os.MkdirTemp("", "pando-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	registry, stop, err := startRegistry(ctx, dir, quiet)
	if err != nil {
		return err
	}
	defer stop()
	dialler, agent, err := registry.pair(ctx)
	if err != nil {
		return err
	}
	a, err := pando.New(agent, pando.WithLogger(quiet), pando.WithAdmission(pando.Admission{PerPeer: 1 << 20, Unopened: 1 << 16}))
	if err != nil {
		return err
	}
	token, err := registry.bearer(ctx, dialler, agent.AgentID)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", a)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go srv.Serve(ln)
	defer srv.Close()
	go func() {
		<-a.Ready()
		_ = ready(readiness{URL: "ws://" + ln.Addr().String() + "/ws", Token: token})
	}()
	return a.Run(ctx)
}

// testRegistry is an identity registry for a benchmark.
type testRegistry struct{ url, ca string }

func startRegistry(ctx context.Context, dir string, log *slog.Logger) (*testRegistry, func(), error) {
	srv, err := idserver.New(ctx, idserver.Options{Logger: log})
	if err != nil {
		return nil, nil, err
	}
	conf, ca, err := idserver.DevTLS(dir, nil)
	if err != nil {
		return nil, nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ctx, ln, conf) }()
	return &testRegistry{url: "https://" + ln.Addr().String(), ca: ca}, func() { cancel(); <-done; srv.Close() }, nil
}

// pair registers two agents that may talk.
func (r *testRegistry) pair(ctx context.Context) (a, b identity.Credentials, err error) {
	base := identity.Credentials{RegistryURL: r.url, CAFile: r.ca}
	c, err := identity.NewClient(identity.ClientOptions{Credentials: base})
	if err != nil {
		return a, b, err
	}
	p, err := c.RegisterProvider(ctx, "bench", "")
	c.Close()
	if err != nil {
		return a, b, err
	}
	base.ProviderID, base.ProviderSecret = p.ID, p.Secret
	if c, err = identity.NewClient(identity.ClientOptions{Credentials: base}); err != nil {
		return a, b, err
	}
	defer c.Close()
	both := []*identity.Credentials{&a, &b}
	for _, x := range both {
		*x = base
		if x.Key, err = identity.GenerateKey(identity.KeyEd25519, nil); err != nil {
			return a, b, err
		}
		if x.AgentID, x.AgentSecret, err = c.RegisterAgent(ctx, "bench", x.Key.Public(), false); err != nil {
			return a, b, err
		}
	}
	for i, x := range both {
		allow := []identity.Permission{{Type: "allow_agent", TargetID: both[1-i].AgentID}}
		if _, err = c.ChangePermissions(ctx, x.AgentID, allow, nil); err != nil {
			return a, b, err
		}
	}
	return a, b, nil
}

// bearer gets a token as the Python SDK does: not bound to a key.
func (r *testRegistry) bearer(ctx context.Context, c identity.Credentials, target string) (string, error) {
	proof, err := c.Key.Proof(identity.ProofParams{Method: http.MethodPost, URL: r.url + "/tokens/create"})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]string{"target_agent_id": target, "dpop_proof": proof})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/tokens/create", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	for name, value := range map[string]string{
		"agent-id": c.AgentID, "agent-secret": c.AgentSecret, "dpop": proof,
		"dpop-public-key": c.Key.Public().HeaderValue(), "content-type": "application/json",
	} {
		req.Header.Set(name, value)
	}
	pem, err := os.ReadFile(r.ca)
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get token: status %d: %w", resp.StatusCode, err)
	}
	return answer.Token, nil
}
