package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"

	"github.com/pando-agents/pando/identity"
	idserver "github.com/pando-agents/pando/identity/server"
)

// registry is an identity registry in a process of its own, so that its
// processor time and memory are not the agent's.
type registry struct {
	URL string `json:"url"`
	CA  string `json:"ca"`

	cmd   *exec.Cmd
	stdin io.Closer // the registry leaves when it is closed
}

// startRegistry starts a registry that keeps its certificates in dir.
func startRegistry(dir string) (*registry, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r := &registry{cmd: exec.Command(exe, "serve-registry", "--dir", dir)}
	r.cmd.Stderr = os.Stderr
	stdin, errIn := r.cmd.StdinPipe()
	stdout, errOut := r.cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, r.cmd.Start()); err != nil {
		return nil, fmt.Errorf("starting the identity registry: %w", err)
	}
	r.stdin = stdin
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, r)
	}
	if err != nil {
		r.stop()
		return nil, fmt.Errorf("starting the identity registry: %w", err)
	}
	return r, nil
}

func (r *registry) stop() {
	_ = r.stdin.Close()
	_ = r.cmd.Wait()
}

// registryCommand is the command serve-registry: it prints where the registry
// listens and which authority it has, and leaves when standard input ends.
func registryCommand(ctx context.Context, args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("serve-registry", flag.ContinueOnError)
	dir := set.String("dir", "", "`directory` for the certificate authority")
	if err := set.Parse(args); err != nil {
		return err
	}
	// An interrupt at the terminal reaches all processes: the agent decides.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	srv, err := idserver.New(ctx, idserver.Options{Logger: quiet()})
	if err != nil {
		return err
	}
	defer srv.Close()
	conf, ca, err := idserver.DevTLS(*dir, nil)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(registry{URL: "https://" + ln.Addr().String(), CA: ca}); err != nil {
		return err
	}
	return srv.Serve(ctx, ln, conf)
}

// quiet is a logger for what a person should know about.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// enrol registers one agent for each kind of key. The first may talk to all
// others.
func (r *registry) enrol(ctx context.Context, kinds ...identity.KeyType) ([]identity.Credentials, error) {
	base := identity.Credentials{RegistryURL: r.URL, CAFile: r.CA}
	c, err := identity.NewClient(identity.ClientOptions{Credentials: base})
	if err != nil {
		return nil, err
	}
	p, err := c.RegisterProvider(ctx, "bench", "")
	c.Close()
	if err != nil {
		return nil, err
	}
	base.ProviderID, base.ProviderSecret = p.ID, p.Secret
	if c, err = identity.NewClient(identity.ClientOptions{Credentials: base}); err != nil {
		return nil, err
	}
	defer c.Close()
	all := make([]identity.Credentials, len(kinds))
	for i, kind := range kinds {
		x := base
		if x.Key, err = identity.GenerateKey(kind, nil); err != nil {
			return nil, err
		}
		if x.AgentID, x.AgentSecret, err = c.RegisterAgent(ctx, "bench", x.Key.Public(), false, identity.Announcement{}); err != nil {
			return nil, err
		}
		all[i] = x
	}
	permit := func(owner, other string) error {
		_, err := c.ChangePermissions(ctx, owner, []identity.Permission{{Type: identity.AllowAgent, TargetID: other}}, nil)
		return err
	}
	for _, x := range all[1:] {
		if err := errors.Join(permit(all[0].AgentID, x.AgentID), permit(x.AgentID, all[0].AgentID)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// bearer gets a token as the Python SDK does: not bound to a key.
func (r *registry) bearer(ctx context.Context, c identity.Credentials, target string) (string, error) {
	proof, err := c.Key.Proof(identity.ProofParams{Method: http.MethodPost, URL: r.URL + "/tokens/create"})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]string{"target_agent_id": target, "dpop_proof": proof})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL+"/tokens/create", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	for name, value := range map[string]string{
		"agent-id": c.AgentID, "agent-secret": c.AgentSecret, "dpop": proof,
		"dpop-public-key": c.Key.Public().HeaderValue(), "content-type": "application/json",
	} {
		req.Header.Set(name, value)
	}
	pem, err := os.ReadFile(r.CA)
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
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", fmt.Errorf("getting a token: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("getting a token: %s", resp.Status)
	}
	return answer.Token, nil
}
