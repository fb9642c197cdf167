package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestUnknownPathsAndMethodsAnswerInJSON(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := uuid.NewString()
	for _, path := range []string{"/", "/nothing", "/tokens", "/agents/a/b", "/providers/a/b", "/docs"} {
		if got := r.call("GET", path, nil).want(404).text("detail"); got != "Not Found" {
			t.Errorf("%s: %q", path, got)
		}
	}
	for path, method := range map[string]string{
		"/tokens/create": "GET", "/tokens/verify": "PUT", "/agents/" + id: "PUT", "/health": "POST",
		"/agents/delete": "POST", "/providers/" + id + "/agents": "DELETE", "/health/ready": "POST", "/agents/register": "OPTIONS",
	} {
		got := r.call(method, path, nil).want(405)
		if got.text("detail") != "Method Not Allowed" || got.header.Get("Allow") == "" {
			t.Errorf("%s %s: %s", method, path, got.body)
		}
	}
	for path, target := range map[string]string{
		"/health/": "/health", "/tokens/create/?a=1": "/tokens/create?a=1", "/agents/" + id + "/": "/agents/" + id,
	} {
		got := r.call("POST", path, nil).want(307)
		if got.header.Get("Location") != target {
			t.Errorf("%s leads to %q", path, got.header.Get("Location"))
		}
	}
}

func TestTooLargeABodyIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pad := strings.Repeat(" ", maxBody-2)
	r.call("POST", "/providers/register", "{}"+pad).want(200)
	if got := r.call("POST", "/providers/register", "{}"+pad+" ").want(413).text("detail"); got == "" {
		t.Error("no detail")
	}
}

func TestLongOffendingValuesAreNotEchoed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	got := r.call("POST", "/providers/register", `{"name":"`+strings.Repeat("!", 10_000)+`"}`).want(422)
	if len(got.body) > 1000 {
		t.Errorf("answer of %d bytes", len(got.body))
	}
}

func TestAnswersCarrySecurityHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, got := range []reply{r.call("GET", "/health", nil), r.call("GET", "/x", nil), r.call("POST", "/providers/register", "{}")} {
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "X-XSS-Protection": "1; mode=block",
			"Referrer-Policy": "strict-origin-when-cross-origin", "Cache-Control": "no-store",
			"Access-Control-Allow-Origin": "",
		} {
			if v := got.header.Get(name); v != want {
				t.Errorf("%s is %q, want %q", name, v, want)
			}
		}
	}
}

func TestPanicInARequestIsAnsweredAndLogged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.s.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("inner text") }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/x", nil))
	if w.Code != 500 || w.Body.String() != `{"detail":"Internal Server Error"}` {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(r.log.String(), "inner text") {
		t.Error("not logged")
	}
	abort := r.s.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("recovered %v", p)
		}
	}()
	abort.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil))
}

func TestSecretsTokensAndProofsAreNotLogged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	proof := r.proof(a.key, "/tokens/create")
	token := r.create(a, b.id, useProofOf(proof)).want(200).text("token")
	r.create(a, b.id, useProofOf(proof)).want(400)
	r.create(a, b.id, func(h http.Header, _ map[string]any) { h.Set("agent-secret", b.secret) }).want(401)
	r.verify(token, "target-agent-id", a.id).want(401)
	r.verify(token+"x", "dpop", proof).want(401)
	r.call("GET", "/agents/"+a.id, nil, "x-api-key", adminKey+"x").want(401)
	log := r.log.String()
	if !strings.Contains(log, "request refused") {
		t.Fatal("refusals are not logged")
	}
	parts := append(strings.Split(token, ".")[1:], strings.Split(proof, ".")[1:]...)
	for _, secret := range append(parts, a.secret, b.secret, a.owner.secret, b.owner.secret, adminKey) {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
}

func TestHealthTellsWhetherTheStoreWorks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if got := r.call("GET", "/health", nil).want(200); string(got.body) != `{"status":"healthy"}` {
		t.Errorf("health: %s", got.body)
	}
	live := r.call("GET", "/health/live", nil).want(200).object()
	if live["healthy"] != true || live["timestamp"] != "2026-03-01T09:30:00.123456+00:00" || live["metrics"] == nil {
		t.Errorf("live: %v", live)
	}
	ready := r.call("GET", "/health/ready", nil).want(200).object()
	if ready["status"] != "healthy" || ready["version"] != "1.0.0" {
		t.Errorf("ready: %v", ready)
	}
	broken := newRig(t)
	if _, err := broken.s.store.write.Exec("DROP TABLE facts"); err != nil {
		t.Fatal(err)
	}
	if got := broken.call("GET", "/health/ready", nil).want(503).object(); got["status"] != "unhealthy" { // D48
		t.Errorf("ready: %v", got)
	}
	broken.call("GET", "/health/live", nil).want(200)
	if _, err := broken.s.store.write.Exec("CREATE TABLE facts (name TEXT, value BLOB)"); err != nil {
		t.Fatal(err)
	}
}

func TestRequestsPerAddressAreLimited(t *testing.T) { // D40, D41
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Limits.Address = Rate{Requests: 5, Per: 10 * time.Second} })
	from := func(address string) int {
		req := httptest.NewRequest("GET", "/.well-known/jwks.json", nil)
		req.RemoteAddr = address
		// What a client says about itself opens no new account.
		req.Header.Set("agent-id", uuid.NewString())
		req.Header.Set("X-Forwarded-For", uuid.NewString())
		w := httptest.NewRecorder()
		r.s.Handler().ServeHTTP(w, req)
		if w.Code == 429 && (w.Header().Get("Retry-After") != "2" || w.Body.String() != `{"detail":"Too many requests"}`) {
			t.Errorf("Retry-After %q: %s", w.Header().Get("Retry-After"), w.Body)
		}
		return w.Code
	}
	for i := range 5 {
		if got := from("192.0.2.1:" + string(rune('1'+i)) + "000"); got != 200 {
			t.Fatalf("request %d: %d", i, got)
		}
	}
	if got := from("192.0.2.1:9000"); got != 429 {
		t.Fatalf("request 6: %d", got)
	}
	if got := from("192.0.2.2:9000"); got != 200 {
		t.Fatalf("another address: %d", got)
	}
	r.call("GET", "/health", nil).want(200)
	r.clock.advance(2 * time.Second)
	if first, second := from("192.0.2.1:1"), from("192.0.2.1:1"); first != 200 || second != 429 {
		t.Fatalf("after 2 s: %d, %d", first, second)
	}
}

func TestRequestsPerPrincipalAreLimited(t *testing.T) { // D41
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Limits.Principal = Rate{Requests: 6, Per: time.Minute} })
	a, b := r.pair()
	for range 6 {
		r.create(a, b.id).want(200)
	}
	if got := r.create(a, b.id).want(429); got.header.Get("Retry-After") != "10" {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	// Whoever does not know the secret cannot use up its owner's share.
	for range 10 {
		r.create(b, a.id, func(h http.Header, _ map[string]any) { h.Set("agent-secret", "wrong") }).want(401)
	}
	r.create(b, a.id).want(200)
	for range 4 { // the registration and the grant counted as well
		r.call("GET", "/agents/"+a.id, nil, a.owner.auth()...).want(200)
	}
	r.call("GET", "/agents/"+a.id, nil, a.owner.auth()...).want(429)
}

func TestProviderRegistrationsAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Limits.Register = Rate{Requests: 2} })
	r.provider()
	p := r.provider()
	r.call("POST", "/providers/register", "{}").want(429)
	r.agent(p)
}

func TestDefaultLimitsLetABurstOfFiftyAgentsThrough(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	hub := r.agent(p)
	r.call("PUT", "/agents/"+hub.id+"/permissions", []permission{{allowProvider, p.id}}, p.auth()...).want(200)
	for range 50 {
		a := r.agent(p)
		r.grant(a, hub)
		r.verify(r.token(a, hub), "target-agent-id", hub.id).want(200)
	}
}

func TestGivenUpRequestsDoNoHarm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	req := httptest.NewRequestWithContext(ctx, "POST", r.url+"/providers/register", strings.NewReader("{}"))
	w := httptest.NewRecorder()
	if r.s.Handler().ServeHTTP(w, req); w.Code != 503 {
		t.Errorf("status %d", w.Code)
	}
	r.provider()
}
