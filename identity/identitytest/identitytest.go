// Package identitytest runs an identity registry for tests: the real server with
// a store in memory, real TLS and real agents, ready in a few milliseconds.
package identitytest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/server"
)

//go:embed testdata/*.pem
var keys embed.FS

// ready is how many RSA keys for agents are kept in testdata.
const ready = 4

// Registry is a running identity registry. It stops when the test ends. All
// methods are safe for concurrent use and end the test when something fails, so
// they are to be called from the test's own goroutine.
type Registry struct {
	URL      string         // base URL, https
	CAFile   string         // the authority that signed its certificate, PEM
	Client   *http.Client   // trusts CAFile
	AdminKey string         // the operator's x-api-key
	Server   *server.Server // the registry itself

	t                testing.TB
	provider, secret string

	mu  sync.Mutex
	rsa int // keys of testdata handed out
}

// Option changes how [New] sets a registry up.
type Option func(*setup)

type setup struct {
	server server.Options
	ln     net.Listener
	host   string
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// WithServer changes the options of the registry, such as its clock or limits.
// They come with AdminKey, SigningKey and a Logger that discards set.
func WithServer(edit func(*server.Options)) Option {
	return func(s *setup) { edit(&s.server) }
}

// WithListener serves on ln, which may be of an in-memory network, under the
// given host (with :port, unless that is 443). Client connects with dial; nil means TCP.
func WithListener(ln net.Listener, host string, dial func(ctx context.Context, network, address string) (net.Conn, error)) Option {
	return func(s *setup) { s.ln, s.host, s.dial = ln, host, dial }
}

// New starts a registry. Without options it listens on a free port of 127.0.0.1.
func New(t testing.TB, opts ...Option) *Registry {
	t.Helper()
	s := setup{server: server.Options{AdminKey: "identitytest-operator", Logger: slog.New(slog.DiscardHandler)}}
	s.server.SigningKey = stored(t, "registry")
	for _, o := range opts {
		o(&s)
	}
	if s.ln == nil {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		s.ln, s.host = ln, ln.Addr().String()
	}
	name := s.host
	if h, _, err := net.SplitHostPort(s.host); err == nil {
		name = h
	}
	conf, caFile, err := server.DevTLS(t.TempDir(), []string{name})
	check(t, err)
	r := &Registry{URL: "https://" + s.host, CAFile: caFile, AdminKey: s.server.AdminKey, t: t}
	r.Server, err = server.New(context.Background(), s.server)
	check(t, err)
	r.Client = client(t, caFile, s.dial)
	r.serve(s.ln, conf)

	var p struct {
		ID     string `json:"id"`
		Secret string `json:"provider_secret"`
	}
	r.call("POST", "/providers/register", map[string]string{"name": "identitytest"}, &p)
	r.provider, r.secret = p.ID, p.Secret
	return r
}

// serve runs the registry until the test ends, and waits for it then.
func (r *Registry) serve(ln net.Listener, conf *tls.Config) {
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Server.Serve(ctx, ln, conf) }()
	r.t.Cleanup(func() {
		r.Client.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-served, r.Server.Close()); err != nil {
			r.t.Errorf("stop the identity registry: %v", err)
		}
	})
}

func client(t testing.TB, caFile string, dial func(context.Context, string, string) (net.Conn, error)) *http.Client {
	t.Helper()
	text, err := os.ReadFile(caFile)
	check(t, err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("no certificate in the CA file")
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool},
		DialContext:         dial,
		MaxIdleConnsPerHost: 16,
	}}
}

// AddAgent registers an agent with a new key, or for KeyRSA one from testdata as
// long as there are any, and returns everything it needs, the provider's part
// included. It has no permissions. An empty kind means Ed25519.
func (r *Registry) AddAgent(name string, kind identity.KeyType) identity.Credentials {
	r.t.Helper()
	key := r.newKey(kind)
	var a struct {
		ID     string `json:"agent_id"`
		Secret string `json:"agent_secret"`
	}
	r.call("POST", "/agents/register", map[string]string{
		"provider_id": r.provider, "name": name, "dpop_public_key": key.Public().PEM(),
	}, &a)
	return identity.Credentials{RegistryURL: r.URL, AgentID: a.ID, AgentSecret: a.Secret, Key: key,
		ProviderID: r.provider, ProviderSecret: r.secret, CAFile: r.CAFile}
}

func (r *Registry) newKey(kind identity.KeyType) *identity.Key {
	r.t.Helper()
	if kind == identity.KeyRSA {
		r.mu.Lock()
		n := r.rsa
		r.rsa++
		r.mu.Unlock()
		if n < ready {
			return stored(r.t, fmt.Sprintf("agent%d", n))
		}
	}
	if kind == "" {
		kind = identity.KeyEd25519
	}
	key, err := identity.GenerateKey(kind, nil)
	check(r.t, err)
	return key
}

// Allow lets the two agents talk to each other.
func (r *Registry) Allow(a, b identity.Credentials) {
	r.t.Helper()
	r.change("add", a, b)
	r.change("add", b, a)
}

// Revoke takes away what Allow gave, on both sides.
func (r *Registry) Revoke(a, b identity.Credentials) {
	r.t.Helper()
	r.change("remove", a, b)
	r.change("remove", b, a)
}

func (r *Registry) change(what string, from, to identity.Credentials) {
	r.t.Helper()
	r.call("PATCH", "/agents/"+from.AgentID+"/permissions", map[string]any{
		what: []map[string]string{{"type": "allow_agent", "target_id": to.AgentID}},
	}, nil)
}

// RequireProof marks an agent so that all its tokens are bound to its key.
func (r *Registry) RequireProof(a identity.Credentials) {
	r.t.Helper()
	r.call("PATCH", "/agents/"+a.AgentID, map[string]bool{"require_proof": true}, nil)
}

// Announce sets the endpoint under which others find an agent; empty takes it away.
func (r *Registry) Announce(a identity.Credentials, endpoint string) {
	r.t.Helper()
	r.call("PATCH", "/agents/"+a.AgentID, map[string]string{"endpoint": endpoint}, nil)
}

// Delete removes an agent.
func (r *Registry) Delete(a identity.Credentials) {
	r.t.Helper()
	r.call("DELETE", "/agents/delete?agent_id="+a.AgentID, nil, nil)
}

// call goes to the registry's handler directly: it saves the connection.
func (r *Registry) call(method, path string, body, result any) {
	r.t.Helper()
	data, err := json.Marshal(body)
	check(r.t, err)
	req := httptest.NewRequest(method, r.URL+path, bytes.NewReader(data))
	req.Header.Set("provider-secret", r.secret)
	w := httptest.NewRecorder()
	r.Server.Handler().ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		r.t.Fatalf("identity registry: %s %s: status %d: %s", method, path, w.Code, w.Body)
	}
	if result != nil {
		check(r.t, json.Unmarshal(w.Body.Bytes(), result))
	}
}

func stored(t testing.TB, name string) *identity.Key {
	t.Helper()
	text, err := keys.ReadFile("testdata/" + name + ".pem")
	check(t, err)
	key, err := identity.ParsePrivateKey(string(text))
	check(t, err)
	return key
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
