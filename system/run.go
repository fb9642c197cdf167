package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pando-agents/pando/supervisor"
)

// Prepare registers the agents of a system that are to run apart, once: it writes
// into dir a file NAME.env with credentials for each agent, readable by its owner
// only, and system.json, which everybody needs. What is there is kept; the
// permissions are set as the file says. If the system has an identity registry of
// its own, and none runs yet, one is run for as long as that takes.
func Prepare(ctx context.Context, f *File, dir string, o Options) error {
	dir, err := makeDir(dir)
	if err != nil {
		return err
	}
	w := newWorld(f, dir, o)
	if f.Registry.URL == "" {
		registry, err := openRegistry(ctx, f, dir, f.Registry.Listen, true, w.log)
		if err != nil && !busy(err) { // it runs already
			return err
		}
		defer func() { _ = registry.close() }()
	}
	base, err := f.base(dir, f.Registry.Listen)
	if err != nil {
		return err
	}
	seats := map[string]seat{}
	for _, a := range f.Agents {
		seats[a.Name] = seat{Endpoint: a.Endpoint}
	}
	_, err = (&enrolment{file: f, dir: dir, base: base, log: w.log}).enrol(ctx, seats)
	return err
}

func makeDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("directory of the system: %w", err)
	}
	return dir, nil
}

// ServeRegistry runs the identity registry of a system until ctx ends.
func ServeRegistry(ctx context.Context, f *File, dir string, o Options) error {
	if f.Registry.URL != "" {
		return fmt.Errorf("the registry of the system is %s: it is run by others", f.Registry.URL)
	}
	dir, err := makeDir(dir)
	if err != nil {
		return err
	}
	w := newWorld(f, dir, o)
	registry, err := openRegistry(ctx, f, dir, f.Registry.Listen, true, w.log)
	if err != nil {
		return err
	}
	base, err := f.base(dir, registry.addr)
	if err == nil {
		w.tell(Event{Kind: EventRegistry, Text: base.RegistryURL})
		<-ctx.Done()
	}
	return errors.Join(err, registry.close())
}

// ErrNoAgent says that the file names no such agent.
var ErrNoAgent = errors.New("there is no such agent in the file")

// Run runs one agent of a system in this process, with what Prepare has written
// into dir, until ctx ends: then it is drained. It is started again when it
// fails. An external agent is run by its command.
func Run(ctx context.Context, f *File, dir, name string, o Options) error {
	a := f.Agent(name)
	if a == nil {
		return fmt.Errorf("agent %s: %w", name, ErrNoAgent)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("directory of the system: %w", err)
	}
	w := newWorld(f, dir, o)
	if w.roster, err = readRoster(f, dir); err != nil {
		return err
	}
	s := w.roster.Agents[name]
	s.Listen = a.Listen
	if at := os.Getenv(EnvListen); at != "" && a.Listen == "" {
		s.Listen = at // where there is no endpoint in the file, whoever starts all agents knows one
	}
	w.roster.Agents[name] = s
	if s.Endpoint == "" {
		return fmt.Errorf("agent %s has no endpoint: it could not be reached", name)
	}
	var child supervisor.Spec
	if a.External {
		if len(a.Command) == 0 {
			return fmt.Errorf("external agent %s has no command", name)
		}
		p, way, err := w.external(ctx, a, s.Endpoint)
		if err != nil {
			return err
		}
		defer way.close()
		child = processChild(p)
	} else {
		child = w.memberChild(a, true, nil)
	}
	return w.runTree(ctx, []supervisor.Spec{child}, nil)
}

// Ask puts a question to the actor that the file names under "ask", of a system
// that runs apart, and returns the answer. It blocks until then, or until ctx ends.
func Ask(ctx context.Context, f *File, dir, text string, o Options) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("directory of the system: %w", err)
	}
	w := newWorld(f, dir, o)
	if w.roster, err = readRoster(f, dir); err != nil {
		return "", err
	}
	return w.ask(ctx, text)
}

// The environment of processes.
const (
	// EnvListen is the address at which an external agent listens.
	EnvListen = "PANDO_LISTEN"
	// EnvPeers are the other agents: {"name": {"agent_id": …, "endpoint": …}}.
	EnvPeers = "PANDO_PEERS"
	// EnvParent is set where the end of stdin means that the process which has
	// started this one is gone.
	EnvParent = "PANDO_PARENT"
)

// external is how an external agent is run. The credentials go by the
// environment, under the names that the Python SDK knows too.
func (w *world) external(ctx context.Context, a *Agent, endpoint string) (*process, *wayIn, error) {
	s := w.roster.Agents[a.Name]
	listen := a.Listen
	if listen == "" {
		listen = s.Listen
	}
	if listen == "" {
		listen = hostOf(endpoint)
	}
	peers, err := json.Marshal(w.roster.Agents)
	if err != nil {
		return nil, nil, err
	}
	c, err := credentials(w.dir, a.Name)
	if err != nil {
		return nil, nil, err
	}
	variables, err := c.Variables()
	if err != nil {
		return nil, nil, err
	}
	p := &process{world: w, agent: a.Name, argv: a.Command, probe: listen, dir: filepath.Dir(w.file.Path)}
	var way *wayIn
	if a.SDK == "python" {
		if way, err = openWayIn(ctx, c.RegistryURL); err != nil {
			return nil, nil, err
		}
		variables["AUTHED_REGISTRY_URL"] = "https://localhost"
		p.env = append(p.env, "HTTPS_PROXY="+way.url, "NO_PROXY=127.0.0.1", "PYTHONUNBUFFERED=1")
		if c.CAFile != "" {
			p.env = append(p.env, "SSL_CERT_FILE="+c.CAFile, "REQUESTS_CA_BUNDLE="+c.CAFile)
		}
	}
	for name, value := range variables {
		p.env = append(p.env, name+"="+value)
	}
	p.env = append(p.env, EnvListen+"="+listen, EnvPeers+"="+string(peers))
	return p, way, nil
}

// hostOf returns the host and port of an endpoint.
func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	standard := "443"
	if u.Scheme == "ws" {
		standard = "80"
	}
	return net.JoinHostPort(u.Hostname(), cmpPort(u, standard))
}
