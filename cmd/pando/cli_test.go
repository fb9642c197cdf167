package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pando-agents/pando"
)

func TestFromNothingToAnAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := start(t, w.dir, "agent", "serve", "--addr", "127.0.0.1:0", "--path", "/ws", "--env-file", w.bobs, "--require-proof")
	if id := agent.value(t, "agent"); id != w.bob {
		t.Errorf("the agent is %s, not %s", id, w.bob)
	}
	url, health := agent.value(t, "url"), agent.value(t, "health")
	resp, err := http.Get(health)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("health: %s", resp.Status)
	}

	send := []string{"send", w.bob, "--url", url, "--env-file", w.aliceEnv}
	fails(t, 1, "refused: the identity registry says: ", w.dir, send...)
	w.allow(t)
	var data struct{ Text string }
	out := must(t, w.dir, append(send, "--data", `{"text":"hello"}`)...)
	if err := json.Unmarshal([]byte(out), &data); err != nil || data.Text != "hello" {
		t.Errorf("reply %q: %v", out, err)
	}
	var reply struct {
		Type, Peer string
		Data       struct{ Text string }
	}
	out = must(t, w.dir, append(send, "--data", `{"text":"hi"}`, "--json")...)
	if err := json.Unmarshal([]byte(out), &reply); err != nil || reply.Type != "response" || reply.Peer != w.bob || reply.Data.Text != "hi" {
		t.Errorf("reply %q: %v", out, err)
	}
	fails(t, 1, "the agent answered with an error: peer answered unsupported_type", w.dir, append(send, "--type", "nonsense")...)

	must(t, w.dir, "permissions", "revoke", w.bob, "--type", "allow_agent", "--target-id", w.alice, "--env-file", w.bobs)
	fails(t, 1, "refused: ", w.dir, send...)
	w.allow(t)

	agent.stop(t, syscall.SIGTERM)
	fails(t, 1, "unreachable: ", w.dir, "send", w.bob, "--url", "ws://"+closedPort(t)+"/ws", "--env-file", w.aliceEnv)
	w.registry.stop(t, syscall.SIGINT)
	if strings.Contains(w.registry.logged()+agent.logged(), "panic") {
		t.Errorf("a server panicked: %s%s", w.registry.logged(), agent.logged())
	}
}

// closedPort returns an address on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// host runs an agent with the credentials of a .env file in this process.
func host(t *testing.T, file string) (a *pando.Agent, url string) {
	t.Helper()
	credentials, err := pando.CredentialsFromEnv(file)
	if err != nil {
		t.Fatal(err)
	}
	a, err = pando.New(credentials, pando.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	srv := httptest.NewServer(a)
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		srv.Close()
	})
	<-a.Ready()
	return a, "ws" + strings.TrimPrefix(srv.URL, "http") + "/ws"
}

func TestAnnouncedAgentIsFoundByItsID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.allow(t)
	send := []string{"send", w.bob, "--env-file", w.aliceEnv, "--data", `{"text":"hello"}`}
	fails(t, 1, "unreachable: ", w.dir, send...)
	agent := start(t, w.dir, "agent", "serve", "--addr", "127.0.0.1:0", "--env-file", w.bobs, "--announce")
	url := agent.value(t, "url")
	agent.says(t, "announced")
	if out := must(t, w.dir, send...); !strings.Contains(out, "hello") {
		t.Errorf("reply %q", out)
	}
	if out := must(t, w.dir, "agents", "info", w.bob, "--env-file", w.aliceEnv); !strings.Contains(out, url) {
		t.Errorf("info %q has no %s", out, url)
	}
	fails(t, 1, "no_such_actor", w.dir, "send", w.bob+"/desk", "--env-file", w.aliceEnv, "--type", "question")
}

func TestAnEventHasArrivedWhenSendEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.allow(t)
	bob, url := host(t, filepath.Join(w.dir, w.bobs))
	got := make(chan string, 10)
	bob.Handle(pando.Event, func(_ context.Context, m *pando.Message) (any, error) {
		got <- m.ID + " " + string(m.Data)
		return nil, nil
	})
	for range 5 {
		id := strings.TrimSpace(must(t, w.dir, "send", w.bob, "--url", url, "--env-file", w.aliceEnv, "--type", "event", "--data", `{"n":1}`))
		ctx, cancel := context.WithTimeout(context.Background(), patienceOfTests)
		select {
		case m := <-got:
			if m != id+` {"n":1}` {
				t.Errorf("got %q, sent %s", m, id)
			}
		case <-ctx.Done():
			t.Errorf("event %s did not arrive", id)
		}
		cancel()
	}
}

func TestASlowAgentIsATimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.allow(t)
	bob, url := host(t, filepath.Join(w.dir, w.bobs))
	bob.Handle(pando.Request, func(ctx context.Context, _ *pando.Message) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	args := []string{"send", w.bob, "--url", url, "--env-file", w.aliceEnv, "--timeout", "300ms"}
	fails(t, 1, "no answer in time", w.dir, args...)
	r := runPando(t, w.dir, append(args, "--json")...)
	var answer struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(r.out), &answer); err != nil || r.code != 1 || answer.Error.Code != "timeout" || answer.Error.Message == "" {
		t.Errorf("code %d, %q: %v", r.code, r.out, err)
	}
}

func TestSecondSetupChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := filepath.Join(w.dir, w.aliceEnv)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	setup := []string{"init", "setup", "--ca", w.ca, "--env-file", w.aliceEnv, "--name", "another", "--registry-url"}
	out := must(t, w.dir, append(setup, w.url)...)
	after, err := os.ReadFile(path)
	if err != nil || string(before) != string(after) {
		t.Errorf("the file has changed: %v", err)
	}
	if !strings.Contains(out, "nothing changed") || !strings.Contains(out, w.alice) {
		t.Errorf("it says %q", out)
	}
	fails(t, 1, "belongs to the registry", w.dir, append(setup, "https://elsewhere.example")...)
}

func TestSetupWritesAFileForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := filepath.Join(w.dir, "other.env")
	if err := os.WriteFile(path, []byte("DATABASE=here\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var ids struct {
		Agent    string `json:"agent_id"`
		Provider string `json:"provider_id"`
		Changed  bool   `json:"changed"`
	}
	out := must(t, w.dir, "init", "setup", "--registry-url", w.url, "--ca", w.ca, "--env-file", "other.env", "--json")
	if err := json.Unmarshal([]byte(out), &ids); err != nil || !ids.Changed || ids.Agent == "" || ids.Provider == "" {
		t.Errorf("it says %q: %v", out, err)
	}
	for _, p := range []string{path, filepath.Join(w.dir, w.aliceEnv)} {
		info, err := os.Stat(p)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, mode %v", p, err, info.Mode())
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"DATABASE=here\n", "AUTHED_REGISTRY_URL=", "AUTHED_PROVIDER_ID=", "AUTHED_PROVIDER_SECRET=", "AUTHED_AGENT_ID=",
		"AUTHED_AGENT_SECRET=", "AUTHED_PRIVATE_KEY=", "AUTHED_PUBLIC_KEY=", "AUTHED_CA_FILE=\"" + w.ca + "\"",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the file has no %s", want)
		}
	}
	credentials, err := pando.CredentialsFromEnv(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{credentials.AgentSecret, credentials.ProviderSecret} {
		if strings.Contains(out, secret) {
			t.Error("a secret was printed")
		}
	}
}

// The provider's secret is told once: a setup that fails after that has to keep
// it, and the next one has to go on with it.
func TestSetupGoesOnWhereItFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	provider, err := pando.CredentialsFromEnv(filepath.Join(w.dir, w.aliceEnv))
	if err != nil {
		t.Fatal(err)
	}
	setup := []string{"init", "setup", "--registry-url", w.url, "--ca", w.ca, "--env-file", "new.env"}
	// A name that the registry does not take: the provider is there by then.
	fails(t, 1, "the provider is in new.env", w.dir, append(setup, "--name", strings.Repeat("x", 500))...)
	kept, err := pando.CredentialsFromEnv(filepath.Join(w.dir, "new.env"))
	if err != nil || kept.ProviderSecret == "" || kept.AgentID != "" {
		t.Fatalf("the file has %v: %v", kept, err)
	}
	fails(t, 1, "belongs to the provider", w.dir,
		append(setup, "--provider-id", provider.ProviderID, "--provider-secret", provider.ProviderSecret)...)
	must(t, w.dir, setup...)
	now, err := pando.CredentialsFromEnv(filepath.Join(w.dir, "new.env"))
	if err != nil || now.ProviderID != kept.ProviderID || now.ProviderSecret != kept.ProviderSecret || now.AgentID == "" {
		t.Errorf("the file has %v: %v", now, err)
	}
	fails(t, 1, "no such file or directory", w.dir,
		"init", "setup", "--registry-url", w.url, "--ca", w.ca, "--env-file", "nowhere/x.env")
}

func TestSetupTakesAProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, err := pando.CredentialsFromEnv(filepath.Join(w.dir, w.aliceEnv))
	if err != nil {
		t.Fatal(err)
	}
	w.setup(t, "sister.env", "--provider-id", alice.ProviderID, "--provider-secret", alice.ProviderSecret)
	sister, err := pando.CredentialsFromEnv(filepath.Join(w.dir, "sister.env"))
	if err != nil || sister.ProviderID != alice.ProviderID || sister.AgentID == alice.AgentID {
		t.Errorf("%v: %v", sister, err)
	}
}

func TestPermissionsAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	list := []string{"permissions", "list", w.alice, "--env-file", w.aliceEnv}
	if out := must(t, w.dir, append(list, "--json")...); out != "[]\n" {
		t.Errorf("it says %q", out)
	}
	w.allow(t)
	if out := must(t, w.dir, list...); out != "allow_agent "+w.bob+"\n" {
		t.Errorf("it says %q", out)
	}
	fails(t, 1, "permissions", w.dir, "permissions", "list", w.bob, "--env-file", w.aliceEnv) // another provider's
}
