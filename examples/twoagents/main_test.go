package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/identitytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client keeps no connections that would hold up the end of a server.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// serve runs one of the two as its main function would.
func serve(t *testing.T, credentials identity.Credentials, addr string, s service) {
	t.Helper()
	env := filepath.Join(t.TempDir(), ".env")
	if err := credentials.WriteFile(env); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, env, addr, s) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// free returns an address that nobody uses now.
func free(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// call makes one HTTP request; status 0 means that nobody is there.
func call(ctx context.Context, t *testing.T, method, url, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

// healthy waits until the service says that it takes channels.
func healthy(ctx context.Context, t *testing.T, addr string) {
	t.Helper()
	for {
		status, text := call(ctx, t, http.MethodGet, "http://"+addr+"/healthz", "")
		if status == http.StatusOK {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s is not healthy: %d %s", addr, status, text)
		}
	}
}

func TestTwoServicesAskEachOther(t *testing.T) {
	t.Parallel()
	registry := identitytest.New(t)
	alice, bob := registry.AddAgent("alice", identity.KeyRSA), registry.AddAgent("bob", identity.KeyRSA)
	a, b := free(t), free(t)
	serve(t, alice, a, service{peer: bob.AgentID, url: "ws://" + b + "/ws"})
	serve(t, bob, b, service{peer: alice.AgentID, url: "ws://" + a + "/ws"})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	healthy(ctx, t, a)
	healthy(ctx, t, b)
	ask := func(addr, body string) (int, string) {
		return call(ctx, t, http.MethodPost, "http://"+addr+"/ask", body)
	}

	if status, text := ask(a, `{"text":"hello"}`); status != http.StatusBadGateway || !strings.Contains(text, "may not be asked") {
		t.Errorf("without permission: %d %s", status, text)
	}
	registry.Allow(alice, bob)
	for _, from := range []string{a, b, a} {
		if status, text := ask(from, `{"text":"hello"}`); status != http.StatusOK || text != `{"text":"HELLO"}` {
			t.Errorf("%d %s", status, text)
		}
	}
	if status, _ := ask(a, `hello`); status != http.StatusBadRequest {
		t.Errorf("a body that is not JSON: %d", status)
	}
}
