package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/pando-agents/pando/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const adminKey = "operator-key-0123456789"

// signingKey spares every test the making of an RSA key.
var signingKey = sync.OnceValue(func() *identity.Key {
	k, err := identity.GenerateKey(identity.KeyRSA, nil)
	if err != nil {
		panic(err)
	}
	return k
})

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 9, 30, 0, 123456000, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// rig is a registry under test, spoken to through its handler.
type rig struct {
	t     testing.TB
	s     *Server
	clock *clock
	url   string
	log   *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newRig(t testing.TB, edit ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, clock: newClock(), url: "https://registry.test", log: &syncBuffer{}}
	o := Options{AdminKey: adminKey, SigningKey: signingKey(), Now: r.clock.now,
		Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, e := range edit {
		e(&o)
	}
	s, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	r.s = s
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// reply is an answer of the registry.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// call sends a request; headers are name, value pairs. A body that is not a
// string or nil is sent as JSON.
func (r *rig) call(method, path string, body any, headers ...string) reply {
	r.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			r.t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	req := httptest.NewRequest(method, r.url+path, reader)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.s.Handler().ServeHTTP(w, req)
	return reply{r.t, w.Code, w.Header(), w.Body.Bytes()}
}

func (a reply) want(status int) reply {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if status != http.StatusTemporaryRedirect && a.header.Get("Content-Type") != "application/json" {
		a.t.Fatalf("content type %q", a.header.Get("Content-Type"))
	}
	return a
}

func (a reply) object() map[string]any {
	a.t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.body, &m); err != nil {
		a.t.Fatalf("%v: %s", err, a.body)
	}
	return m
}

func (a reply) text(key string) string {
	a.t.Helper()
	s, ok := a.object()[key].(string)
	if !ok {
		a.t.Fatalf("no text %q in %s", key, a.body)
	}
	return s
}

// problem checks the first entry of a 422.
func (a reply) problem(kind string, loc ...any) {
	a.t.Helper()
	a.want(http.StatusUnprocessableEntity)
	list, ok := a.object()["detail"].([]any)
	if !ok || len(list) == 0 {
		a.t.Fatalf("no list of problems: %s", a.body)
	}
	p := list[0].(map[string]any)
	got, _ := json.Marshal(p["loc"])
	want, _ := json.Marshal(loc)
	if p["type"] != kind || string(got) != string(want) {
		a.t.Fatalf("problem %v at %s, want %s at %s", p["type"], got, kind, want)
	}
	if _, ok := p["msg"].(string); !ok {
		a.t.Fatalf("no msg: %s", a.body)
	}
	if _, ok := p["input"]; !ok {
		a.t.Fatalf("no input: %s", a.body)
	}
}

type testProvider struct{ id, secret string }

func (p testProvider) auth() []string { return []string{"provider-secret", p.secret} }

func (r *rig) provider() testProvider {
	r.t.Helper()
	a := r.call("POST", "/providers/register", "{}").want(200)
	return testProvider{a.text("id"), a.text("provider_secret")}
}

type testAgent struct {
	id, secret string
	key        *identity.Key
	owner      testProvider
}

func (r *rig) agent(p testProvider, more ...any) testAgent {
	r.t.Helper()
	key, err := identity.GenerateKey(identity.KeyEd25519, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	body := map[string]any{"provider_id": p.id, "dpop_public_key": key.Public().PEM()}
	for i := 0; i < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	a := r.call("POST", "/agents/register", body, p.auth()...).want(200)
	return testAgent{a.text("agent_id"), a.text("agent_secret"), key, p}
}

func (r *rig) grant(from, to testAgent) {
	r.t.Helper()
	r.call("PATCH", "/agents/"+from.id+"/permissions",
		map[string]any{"add": []permission{{allowAgent, to.id}}}, from.owner.auth()...).want(200)
}

// pair is two agents of two providers that may talk.
func (r *rig) pair() (a, b testAgent) {
	r.t.Helper()
	a, b = r.agent(r.provider()), r.agent(r.provider())
	r.grant(a, b)
	r.grant(b, a)
	return a, b
}

func (r *rig) proof(k *identity.Key, path string, edit ...func(*identity.ProofParams)) string {
	r.t.Helper()
	p := identity.ProofParams{Method: "POST", URL: r.url + path, Now: r.clock.now, Nonce: uuid.NewString() + "0123456789abcdef"}
	for _, e := range edit {
		e(&p)
	}
	text, err := k.Proof(p)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

func (r *rig) create(a testAgent, target string, edit ...func(headers http.Header, body map[string]any)) reply {
	r.t.Helper()
	proof := r.proof(a.key, "/tokens/create")
	h := http.Header{}
	h.Set("agent-id", a.id)
	h.Set("agent-secret", a.secret)
	h.Set("dpop-public-key", a.key.Public().HeaderValue())
	h.Set("dpop", proof)
	body := map[string]any{"target_agent_id": target, "dpop_proof": proof}
	for _, e := range edit {
		e(h, body)
	}
	var headers []string
	for k, vs := range h {
		for _, v := range vs {
			headers = append(headers, k, v)
		}
	}
	return r.call("POST", "/tokens/create", body, headers...)
}

func (r *rig) token(a, b testAgent) string {
	r.t.Helper()
	return r.create(a, b.id).want(200).text("token")
}

func (r *rig) verify(token string, headers ...string) reply {
	r.t.Helper()
	return r.call("POST", "/tokens/verify", nil, append([]string{"authorization", "Bearer " + token}, headers...)...)
}

// useProofOf makes a request with another proof.
func useProofOf(proof string) func(http.Header, map[string]any) {
	return func(h http.Header, body map[string]any) {
		h.Set("dpop", proof)
		body["dpop_proof"] = proof
	}
}

func mode(t testing.TB, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}
