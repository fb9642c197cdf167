package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/pando-agents/pando/identity"
)

// The files of a system's directory, beside NAME.env for each agent.
const (
	rosterFile  = "system.json"
	caFile      = "ca.pem"
	registryDir = "registry"
)

// roster is what everybody in a system may know. It is kept in system.json.
type roster struct {
	System   string          `json:"system"`
	Registry string          `json:"registry"`
	Agents   map[string]seat `json:"agents"`
}

// seat is who an agent is and where.
type seat struct {
	ID       string `json:"agent_id"`
	Endpoint string `json:"endpoint,omitempty"`
	Listen   string `json:"-"`
}

func envFile(dir, agent string) string { return filepath.Join(dir, agent+".env") }

// maxName is how long the name of an agent is at a registry. It is for people:
// nothing depends on it.
const maxName = 100

// enrolment registers the agents of a system.
type enrolment struct {
	file  *File
	dir   string
	base  identity.Credentials // the registry
	log   *slog.Logger
	admin *identity.Client
}

// enrol registers the agents that are not registered yet, sets the permissions of
// all as the file says, and writes their credentials and the roster.
func (e *enrolment) enrol(ctx context.Context, seats map[string]seat) (*roster, error) {
	if err := e.provider(ctx); err != nil {
		return nil, err
	}
	defer e.admin.Close()
	r := &roster{System: e.file.Name, Registry: e.base.RegistryURL, Agents: map[string]seat{}}
	for _, a := range e.members() {
		s := seats[a.Name]
		var err error
		if s.ID, err = e.agent(ctx, a, s); err != nil {
			return nil, fmt.Errorf("register agent %s: %w", a.Name, err)
		}
		r.Agents[a.Name] = s
	}
	for _, a := range e.members() {
		all := []identity.Permission{}
		for _, other := range a.TalksTo {
			all = append(all, identity.Permission{Type: identity.AllowAgent, TargetID: r.Agents[other].ID})
		}
		if a.Name == e.file.Ask.Agent {
			all = append(all, identity.Permission{Type: identity.AllowAgent, TargetID: r.Agents[operator].ID})
		}
		if _, err := e.admin.SetPermissions(ctx, r.Agents[a.Name].ID, all); err != nil {
			return nil, fmt.Errorf("permissions of agent %s: %w", a.Name, err)
		}
	}
	return r, r.write(e.dir)
}

// members are the agents of the file, and the one that asks.
func (e *enrolment) members() []*Agent {
	all := e.file.Agents
	if !e.file.Ask.IsZero() {
		all = append(all[:len(all):len(all)], &Agent{Name: operator, About: "asks for those outside", TalksTo: []string{e.file.Ask.Agent}})
	}
	return all
}

// provider registers the provider of the agents, unless there is one.
func (e *enrolment) provider(ctx context.Context) error {
	path := envFile(e.dir, provider)
	have, err := e.read(path)
	if err != nil {
		return err
	}
	if have.ProviderID == "" {
		client, err := identity.NewClient(identity.ClientOptions{Credentials: e.base, Logger: e.log})
		if err != nil {
			return err
		}
		p, err := client.RegisterProvider(ctx, "", "") // not every name of a system is one there
		client.Close()
		if err != nil {
			return err
		}
		have.ProviderID, have.ProviderSecret = p.ID, p.Secret
	}
	have.RegistryURL, have.CAFile = e.base.RegistryURL, e.base.CAFile
	if err := have.WriteFile(path); err != nil {
		return err
	}
	e.admin, err = identity.NewClient(identity.ClientOptions{Credentials: have, Logger: e.log})
	return err
}

// read returns the credentials in a file, none if there is no such file.
func (e *enrolment) read(path string) (identity.Credentials, error) {
	c, err := identity.FromFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return identity.Credentials{}, nil
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// agent registers one agent, unless it has credentials, and returns its id.
func (e *enrolment) agent(ctx context.Context, a *Agent, s seat) (string, error) {
	path := envFile(e.dir, a.Name)
	have, err := e.read(path)
	if err != nil {
		return "", err
	}
	if have.AgentID == "" {
		kind := identity.KeyEd25519
		if a.SDK == "python" {
			kind = identity.KeyRSA // it knows no other
		}
		key, err := identity.GenerateKey(kind, nil)
		if err != nil {
			return "", err
		}
		about := identity.Announcement{}
		if a.About != "" {
			about.Description = &a.About
		}
		if s.Endpoint != "" {
			about.Endpoint = &s.Endpoint
		}
		name := e.file.Name + "/" + a.Name
		name = name[max(0, len(name)-maxName):]
		id, secret, err := e.admin.RegisterAgent(ctx, name, key.Public(), false, about)
		if err != nil {
			return "", err
		}
		have.AgentID, have.AgentSecret, have.Key = id, secret, key
	}
	have.RegistryURL, have.CAFile = e.base.RegistryURL, e.base.CAFile
	return have.AgentID, have.WriteFile(path)
}

func (r *roster) write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, rosterFile)
	if err := os.WriteFile(path+".tmp", append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the roster: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("write the roster: %w", err)
	}
	return nil
}

// readRoster reads what Prepare has written.
func readRoster(f *File, dir string) (*roster, error) {
	data, err := os.ReadFile(filepath.Join(dir, rosterFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no system: prepare it first (pando system init)", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the roster: %w", err)
	}
	r := new(roster)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read the roster: %w", err)
	}
	if r.System != f.Name {
		return nil, fmt.Errorf("%s holds the system %s, not %s", dir, r.System, f.Name)
	}
	for _, a := range f.Agents {
		s, known := r.Agents[a.Name]
		if !known {
			return nil, fmt.Errorf("agent %s is not registered: prepare the system anew (pando system init)", a.Name)
		}
		if a.Endpoint != "" {
			s.Endpoint = a.Endpoint
		}
		r.Agents[a.Name] = s
	}
	return r, nil
}

// credentials reads those of an agent. The authority of the registry goes with
// the directory.
func credentials(dir, agent string) (identity.Credentials, error) {
	c, err := identity.FromFile(envFile(dir, agent))
	if err != nil {
		return c, fmt.Errorf("credentials of agent %s: %w", agent, err)
	}
	if path := filepath.Join(dir, caFile); c.CAFile != "" {
		if _, err := os.Stat(path); err == nil {
			c.CAFile = path
		}
	}
	return c, nil
}
