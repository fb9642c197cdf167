package identity

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: testNow()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// testRegistry is a small identity registry which signs tokens. It is an
// http.Handler, and an http.RoundTripper that needs no sockets.
type testRegistry struct {
	key      *Key
	original bool // as the Python registry: no kid, no key set, issuer "registry", nothing bound
	now      func() time.Time

	mu     sync.Mutex
	agents map[string]*PublicKey
	denied bool // permissions were taken away
	asked  map[string]int
	proofs map[string]bool
	// before can answer in the registry's place: it reports whether it did.
	before func(w http.ResponseWriter, r *http.Request) bool
}

const testSecret = "the-agent-secret"

func newRegistry(now func() time.Time) *testRegistry {
	return &testRegistry{
		key: ed25519Key(), now: now, agents: map[string]*PublicKey{}, asked: map[string]int{}, proofs: map[string]bool{},
	}
}

func (g *testRegistry) count(path string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked[path]
}

func (g *testRegistry) set(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

func (g *testRegistry) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	r.Host = r.URL.Host
	g.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (g *testRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/base")
	g.mu.Lock()
	g.asked[path]++
	before := g.before
	g.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	status, answer := 404, any(map[string]any{"detail": "Not Found"})
	switch path {
	case "/tokens/create":
		status, answer = g.create(r)
	case "/tokens/verify":
		status, answer = g.verify(r)
	case "/.well-known/jwks.json":
		if !g.original {
			jwk := g.key.Public().JWK()
			jwk.Kid = "k-" + g.key.Thumbprint()[:6]
			status, answer = 200, map[string]any{"keys": []JWK{{Kty: "oct", Kid: "other"}, jwk}}
		}
	}
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(err)
	}
}

func detailed(status int, text string) (int, any) { return status, map[string]any{"detail": text} }

func (g *testRegistry) create(r *http.Request) (int, any) {
	var body struct {
		Target string `json:"target_agent_id"`
		Proof  string `json:"dpop_proof"`
		Bind   string `json:"bind"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return detailed(422, err.Error())
	}
	id := r.Header.Get("agent-id")
	g.mu.Lock()
	defer g.mu.Unlock()
	key := g.agents[id]
	if key == nil || r.Header.Get("agent-secret") != testSecret || r.Header.Get("dpop-public-key") != key.HeaderValue() {
		return detailed(401, "who are you")
	}
	p, err := VerifyProof(body.Proof, ProofCheck{
		Method: "POST", URLs: []string{"https://" + r.Host + r.URL.Path}, Key: key, Now: g.now,
	})
	if err != nil || g.proofs[p.JTI] || body.Proof != r.Header.Get("dpop") || (p.Nonce != "") != (key.Type() == KeyRSA) {
		return detailed(401, fmt.Sprintf("bad proof: %v", err))
	}
	g.proofs[p.JTI] = true
	if g.denied {
		return detailed(400, "not permitted")
	}
	claims := g.claims(id, body.Target)
	answer := map[string]any{
		"target_agent_id": body.Target, "expires_at": g.now().Add(30 * time.Minute).UTC().Format("2006-01-02T15:04:05.000000-07:00"),
	}
	if body.Bind == "dpop" && !g.original {
		claims["cnf"] = map[string]string{"jkt": key.Thumbprint()}
		answer["token_type"] = "DPoP"
		if peer := g.agents[body.Target]; peer != nil {
			claims["peer"] = map[string]string{"jkt": peer.Thumbprint()}
		}
	}
	answer["token"] = g.sign(nil, claims)
	return 200, answer
}

// claims are those of a good token that is not bound.
func (g *testRegistry) claims(sub, target string) map[string]any {
	now := g.now().Unix()
	c := map[string]any{
		"iss": "pando", "sub": sub, "target": target, "aud": target, "iat": now, "nbf": now, "exp": now + 1800,
		"jti": uuid.NewString(), "typ": "interaction_token",
	}
	if g.original {
		c["iss"] = "registry"
		delete(c, "aud")
	}
	return c
}

func (g *testRegistry) sign(header, claims map[string]any) string {
	if header == nil {
		header = map[string]any{}
		if !g.original {
			header["kid"] = "k-" + g.key.Thumbprint()[:6]
		}
	}
	s, err := g.key.SignJWT(header, claims)
	if err != nil {
		panic(err)
	}
	return s
}

func (g *testRegistry) verify(r *http.Request) (int, any) {
	if r.Header.Get("dpop") != "" {
		return detailed(401, "a proof by the wrong key")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	token, _ := strings.CutPrefix(r.Header.Get("authorization"), "Bearer ")
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{g.key.Alg()}), jwt.WithTimeFunc(g.now))
	_, err := parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return g.key.Public().Crypto(), nil })
	if err != nil || claims["target"] != r.Header.Get("target-agent-id") || g.denied {
		return detailed(401, "no")
	}
	return 200, map[string]any{"valid": true, "subject": claims["sub"], "target": claims["target"], "expires_at": claims["exp"]}
}

// client returns a client for a new agent of the registry.
func (g *testRegistry) client(t testing.TB, id string, key *Key, change func(*ClientOptions)) *Client {
	t.Helper()
	g.set(func() { g.agents[id] = key.Public() })
	o := ClientOptions{
		Credentials: Credentials{RegistryURL: "https://registry.example/base", AgentID: id, AgentSecret: testSecret, Key: key},
		HTTP:        &http.Client{Transport: g}, Now: g.now, Logger: slog.New(slog.DiscardHandler),
		AfterFunc: func(d time.Duration, f func()) func() bool {
			if d >= time.Second {
				return func() bool { return true } // timeouts
			}
			return time.AfterFunc(0, f).Stop // back-off
		},
	}
	if change != nil {
		change(&o)
	}
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
