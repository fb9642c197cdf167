package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestWrongCommandLinesExitWithTwo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := filepath.Join(dir, "short")
	if err := os.WriteFile(secret, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says string
		args []string
	}{
		{"unknown command", []string{"foo"}},
		{"needs a command", []string{"identity"}},
		{"unknown command", []string{"permissions", "foo"}},
		{"unknown flag", []string{"send", "--foo"}},
		{"accepts 1 arg", []string{"send", "--url", "ws://localhost/ws"}},
		{"ws or wss URL", []string{"send", "id", "--url", "http://localhost/ws"}},
		{"JSON object", []string{"send", "id", "--url", "ws://localhost/ws", "--data", "[]"}},
		{"JSON object", []string{"send", "id", "--url", "ws://localhost/ws", "--data", "null"}},
		{"positive", []string{"send", "id", "--url", "ws://localhost/ws", "--timeout", "0s"}},
		{"not for applications", []string{"send", "id", "--url", "ws://localhost/ws", "--type", "channel.close"}},
		{"required flag", []string{"identity", "serve"}},
		{"not a loopback address", []string{"identity", "serve", "--addr", "0.0.0.0:0", "--data", dir}},
		{"not a loopback address", []string{"identity", "serve", "--addr", ":0", "--data", dir}},
		{"HOST:PORT", []string{"identity", "serve", "--addr", "here", "--data", dir}},
		{"come together", []string{"identity", "serve", "--addr", "127.0.0.1:0", "--data", dir, "--tls-cert", "x"}},
		{"none of the others can be", []string{"identity", "serve", "--addr", "127.0.0.1:0", "--data", dir, "--tls-dev", "--tls-cert", "x"}},
		{"16 characters", []string{"identity", "serve", "--addr", "127.0.0.1:0", "--data", dir, "--admin-key-file", secret}},
		{"lifetime", []string{"identity", "serve", "--addr", "127.0.0.1:0", "--data", dir, "--token-ttl", "1ms"}},
		{"not a loopback address", []string{"agent", "serve", "--addr", "0.0.0.0:0"}},
		{"--public-url is needed", []string{"agent", "serve", "--addr", "0.0.0.0:0", "--tls-cert", "x", "--tls-key", "x"}},
		{"cannot be served", []string{"agent", "serve", "--path", "ws"}},
		{"cannot be served", []string{"agent", "serve", "--path", "/healthz"}},
		{"--admin-token-file needs --admin", []string{"agent", "serve", "--admin-token-file", secret}},
		{"HOST:PORT", []string{"agent", "serve", "--admin", "here"}},
		{"give --admin-token-file", []string{"agent", "serve", "--admin", "0.0.0.0:0"}},
		{"fewer than 16 characters", []string{"agent", "serve", "--admin", "127.0.0.1:0", "--admin-token-file", secret}},
		{"accepts 1 arg", []string{"inspect"}},
		{"http or https URL", []string{"inspect", "ws://127.0.0.1:9001/ws"}},
		{"at least 100ms", []string{"inspect", "http://127.0.0.1:9002", "--interval", "1ms"}},
		{"from 0 to 10000", []string{"inspect", "http://127.0.0.1:9002", "--channels", "-1"}},
		{"not encrypted", []string{"inspect", "http://agent.example", "--token-file", secret}},
		{"--key-type", []string{"init", "setup", "--registry-url", "http://localhost", "--env-file", "x", "--key-type", "dsa"}},
		{"registry url", []string{"init", "setup", "--registry-url", "nonsense", "--env-file", "x"}},
		{"provider-secret", []string{"init", "setup", "--registry-url", "http://localhost", "--env-file", "x", "--provider-id", "x"}},
		{"--type", []string{"permissions", "grant", "id", "--type", "all", "--target-id", "x"}},
		{"needs a command", []string{"agents"}},
		{"unknown command", []string{"agents", "remove"}},
		{"accepts at most 1 arg", []string{"agents", "info", "a", "b"}},
		{"unknown command", []string{"agents", "list", "a"}},
		{"at least one of the flags", []string{"agents", "announce"}},
		{"ws or wss url", []string{"agents", "announce", "--endpoint", "https://a.example"}},
		{"user information", []string{"init", "setup", "--registry-url", "http://localhost", "--env-file", "x", "--endpoint", "wss://u:p@a.example"}},
		{"--log-level", []string{"version", "--log-level", "loud"}},
	} {
		fails(t, 2, c.says, dir, c.args...)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("a wrong command line left something behind: %v %v", left, err)
	}
}

func TestFailuresExitWithOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte(strings.Repeat("k", 32)), 0o644); err != nil {
		t.Fatal(err)
	}
	fails(t, 1, "does not exist", dir, "send", "id", "--url", "ws://localhost/ws", "--env-file", "none.env")
	fails(t, 1, "registry url is missing", dir, "agent", "serve")
	fails(t, 1, "certificate", dir, "identity", "serve", "--addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--tls-cert", "x", "--tls-key", "x")
	fails(t, 1, "can be read by others", dir, "identity", "serve", "--addr", "127.0.0.1:0", "--data", dir, "--admin-key-file", open)
	fails(t, 1, "can be read by others", dir, "inspect", "http://127.0.0.1:9002", "--token-file", open)
	fails(t, 1, "cannot be reached", dir, "inspect", "http://"+closedPort(t))
	fails(t, 1, "unavailable", dir, "init", "setup", "--registry-url", "http://"+closedPort(t), "--env-file", "x.env")
}

func TestEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	root := (&app{}).root()
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		if !c.HasSubCommands() && !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, child := range c.Commands() {
			check(child)
		}
	}
	check(root)
	for _, args := range [][]string{{"--help"}, {"help", "send"}, {"agent", "serve", "--help"}, {"identity", "--help"}, {"agents", "info", "--help"}} {
		var out, stderr bytes.Buffer
		if code := run(context.Background(), args, &out, &stderr); code != 0 || !strings.Contains(out.String(), "Usage:") || stderr.Len() > 0 {
			t.Errorf("%v: code %d, %q, %q", args, code, out.String(), stderr.String())
		}
	}
}

func TestVersionIsPrinted(t *testing.T) {
	t.Parallel()
	var v struct{ Version, Go, Platform string }
	if err := json.Unmarshal([]byte(must(t, t.TempDir(), "version", "--json")), &v); err != nil || v.Version == "" || v.Go == "" || v.Platform == "" {
		t.Errorf("%+v: %v", v, err)
	}
	if out := must(t, t.TempDir(), "version"); !strings.HasPrefix(out, "pando ") {
		t.Errorf("it says %q", out)
	}
}

func TestDemoTellsItsStory(t *testing.T) {
	t.Parallel()
	out := must(t, t.TempDir(), "demo")
	for _, want := range []string{
		" 1  The cast", " 4  A handler panics", " 5  A handler never returns", " 6  The connection is cut", " 7  A channel actor crashes",
		" 8  The root actor crashes", " 9  A permission is taken away", "10  And all the while", "All 22 steps held",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the story has no %q:\n%s", want, out)
		}
	}
}

func TestDemoExitsWithOneWhenAStepFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := command(t, dir, "demo", "--json")
	c.Env = append(c.Env, "TMPDIR="+filepath.Join(dir, "none"))
	r := finish(t, c)
	var report struct {
		OK    bool
		Error string
	}
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || report.OK || report.Error == "" {
		t.Errorf("the report is %q: %v", r.out, err)
	}
	if r.code != 1 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "did not hold") {
		t.Errorf("code %d, %q", r.code, r.stderr)
	}
}

func TestVerboseDemoShowsTheLog(t *testing.T) {
	t.Parallel()
	r := runPando(t, t.TempDir(), "demo", "--verbose")
	if r.code != 0 || !strings.Contains(r.stderr, "handler panicked") || strings.Contains(r.out, "handler panicked") {
		t.Errorf("code %d, %q", r.code, r.stderr)
	}
}
