package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pando-agents/pando"
)

func TestInspectShowsAnAgentThatServes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := "0123456789abcdef"
	for name, text := range map[string]string{"token": token, "wrong": "fedcba9876543210"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	agent := start(t, w.dir, "agent", "serve", "--addr", "127.0.0.1:0", "--env-file", w.bobs, "--admin", "127.0.0.1:0", "--admin-token-file", "token")
	admin := agent.value(t, "admin")
	fails(t, 1, "wants its admin token", w.dir, "inspect", admin)
	out := must(t, w.dir, "inspect", admin, "--token-file", "token")
	for _, want := range []string{"agent " + w.bob, "takes channels", "0 channels", "├─ channels (dynamic)", "─ registry", "QUEUED"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var in pando.Inspection
	if err := json.Unmarshal([]byte(must(t, w.dir, "inspect", admin, "--json", "--token-file", "token")), &in); err != nil || in.AgentID != w.bob {
		t.Errorf("%+v: %v", in, err)
	}
	fails(t, 1, "does not take this admin token", w.dir, "inspect", admin, "--token-file", "wrong")
	for _, given := range []string{"", "Bearer " + token} {
		req, err := http.NewRequest(http.MethodGet, admin+"/tree", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", "192.0.2.1")
		want := http.StatusUnauthorized
		if given != "" {
			req.Header.Set("Authorization", given)
			want = http.StatusOK
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("forwarded, with %q: %s", given, resp.Status)
		}
	}

	watch := start(t, w.dir, "inspect", admin, "--token-file", "token", "--watch", "--json", "--interval", "100ms")
	for range 3 {
		if err := json.Unmarshal([]byte(<-watch.lines), &in); err != nil || in.Schema != pando.InspectionSchema {
			t.Errorf("%+v: %v", in, err)
		}
	}
	watch.stop(t, syscall.SIGINT)
	frames := start(t, w.dir, "inspect", admin, "--token-file", "token", "--watch")
	for l := range frames.lines { // until the second frame
		if strings.HasPrefix(l, "────") {
			break
		}
	}
	agent.stop(t, syscall.SIGTERM)
	for range frames.lines {
	}
	<-frames.ended
	if code := frames.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(frames.logged(), "cannot be reached") {
		t.Errorf("code %d, %q, when the agent has gone", code, frames.logged())
	}
	if strings.Contains(agent.logged(), token) {
		t.Error("the admin token is in the log")
	}
}

func TestAgentIsShownToOtherMachinesEncryptedOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := []string{"agent", "serve", "--addr", "127.0.0.1:0", "--admin", "0.0.0.0:0"}
	fails(t, 2, "--tls-cert and --tls-key", dir, append(serve, "--admin-token-file", file)...)
	f := &adminFlags{tokenFile: file}
	f.addr = "0.0.0.0:0"
	if err := f.check(endpoint{cert: cert, key: key}); err != nil {
		t.Fatal(err)
	}
	if conf, err := f.tls(); err != nil || conf == nil {
		t.Errorf("it is not encrypted: %v", err)
	}
	f.addr, f.cert, f.key = "127.0.0.1:0", "", ""
	if err := f.check(endpoint{cert: cert, key: key}); err != nil || f.cert != "" {
		t.Errorf("on loopback: %v", err)
	}
}
