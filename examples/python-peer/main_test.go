package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/identitytest"
	"github.com/pando-agents/pando/internal/pypeer"
)

// asProgram makes the test's own executable be the program.
const asProgram = "PANDO_EXAMPLE_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestGoAndPythonAskEachOther(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	registry := identitytest.New(t)
	goAgent, pythonAgent := registry.AddAgent("go", identity.KeyRSA), registry.AddAgent("python", identity.KeyRSA)
	registry.Allow(goAgent, pythonAgent)
	dir := t.TempDir()
	write(t, goAgent, filepath.Join(dir, "go.env"))
	write(t, pythonAgent, filepath.Join(dir, "python.env"))
	base, err := url.Parse(registry.URL)
	if err != nil {
		t.Fatal(err)
	}

	goProgram := func(args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, os.Args[0], append([]string{"-env-file", "go.env"}, args...)...)
		c.Env = []string{asProgram + "=1"} // and no credentials of the shell
		return c
	}
	goURL, goEnds := start(t, dir, goProgram("-listen", "127.0.0.1:0"))

	script, err := filepath.Abs("agent.py")
	if err != nil {
		t.Fatal(err)
	}
	python := exec.CommandContext(ctx, pypeer.Python(t), script, "--port", "0", "--peer-id", goAgent.AgentID, "--peer-url", goURL)
	python.Env = []string{
		"AUTHED_REGISTRY_URL=https://localhost",
		"HTTPS_PROXY=" + pypeer.NewProxy(t, map[string]string{"localhost:443": base.Host}),
		"NO_PROXY=127.0.0.1", "SSL_CERT_FILE=" + registry.CAFile, "PYTHONDONTWRITEBYTECODE=1",
	}
	pythonURL, _ := start(t, dir, python)

	pythonAsks(ctx, t, pythonURL)
	asks := goProgram("-peer-id", pythonAgent.AgentID, "-peer-url", pythonURL, "-text", "grüß dich")
	asks.Dir, asks.Stderr = dir, os.Stderr
	if out, err := asks.Output(); err != nil || string(out) != "Python answers: Python has read: grüß dich\n" {
		t.Errorf("the Go program printed %q: %v", out, err)
	}
	if err := goEnds(); err != nil {
		t.Errorf("the Go program ended with %v", err)
	}
}

// pythonAsks makes the Python agent at wsURL ask the Go agent.
func pythonAsks(ctx context.Context, t *testing.T, wsURL string) {
	t.Helper()
	ask := "http" + strings.TrimSuffix(strings.TrimPrefix(wsURL, "ws"), "/ws") + "/ask?text=witaj"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ask, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got reply
	if err := json.Unmarshal(text, &got); err != nil || got != (reply{Text: "Go has read: witaj", From: "Go"}) {
		t.Errorf("the Python program was answered %s (%s)", text, response.Status)
	}
}

func write(t *testing.T, credentials identity.Credentials, file string) {
	t.Helper()
	if err := credentials.WriteFile(file); err != nil {
		t.Fatal(err)
	}
}

// start runs a program until it says where it listens. It is interrupted, as by
// Ctrl-C, by end or when the test is over.
func start(t *testing.T, dir string, c *exec.Cmd) (wsURL string, end func() error) {
	t.Helper()
	c.Dir, c.Stderr = dir, os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(out).ReadString('\n')
	ended := false
	end = func() error {
		if ended {
			return nil
		}
		ended = true
		_ = c.Process.Signal(syscall.SIGINT)
		return c.Wait()
	}
	t.Cleanup(func() { _ = end() })
	_, wsURL, ok := strings.Cut(strings.TrimSpace(line), " listens on ")
	if !ok {
		t.Fatalf("%s said %q: %v", c.Path, line, readErr)
	}
	return wsURL, end
}
