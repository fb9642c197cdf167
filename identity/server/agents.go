package server

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/pando-agents/pando/identity"
)

const maxPublicKey = 2048 // characters

// agentView is an agent as the API shows it: without secret and key.
type agentView struct {
	ID           string       `json:"agent_id"`
	Provider     string       `json:"provider_id"`
	User         *string      `json:"user_id"`
	Name         string       `json:"name"`
	Permissions  []permission `json:"permissions"`
	Created      string       `json:"created_at"`
	Updated      string       `json:"updated_at"`
	Status       string       `json:"status"`
	RequireProof bool         `json:"require_proof"`
	*announcedView
}

// announcedView is what an agent lets others know. It may be long, so lists
// leave it out.
type announcedView struct {
	Endpoint     string          `json:"endpoint"`
	Description  string          `json:"description"`
	Capabilities json.RawMessage `json:"capabilities"`
}

func viewOfAnnounced(a agent) *announcedView {
	return &announcedView{a.endpoint, a.description, json.RawMessage(a.capabilities)}
}

// viewOfAgent is the view of an agent in lists.
func viewOfAgent(a agent) agentView {
	return agentView{ID: a.id, Provider: a.provider, Name: a.name, Permissions: a.permissions,
		Created: stamp(a.created), Updated: stamp(a.updated), Status: a.status, RequireProof: a.requireProof}
}

// registerAgent is POST /agents/register, for the provider itself and the operator.
func (s *Server) registerAgent(r *http.Request) (any, error) {
	c, err := s.caller(r)
	if err != nil {
		return nil, err
	}
	a, err := s.readAgent(r)
	if err != nil {
		return nil, err
	}
	if !c.mayActFor(a.provider) {
		return nil, refuse(http.StatusForbidden, "not your provider")
	}
	if a.id, err = s.newID(); err != nil {
		return nil, err
	}
	secret, hash, err := s.secrets.create()
	if err != nil {
		return nil, err
	}
	switch err := s.store.addAgent(r.Context(), a, hash, s.opts.Limits.AgentsPerUnclaimedProvider); {
	case errors.Is(err, errNoProvider):
		return nil, refuse(http.StatusNotFound, "provider not found")
	case errors.Is(err, errTooManyAgents):
		return nil, refuse(http.StatusForbidden, err.Error())
	case err != nil:
		return nil, err
	}
	s.log.Info("agent registered", "agent", a.id, "provider", a.provider)
	return map[string]string{"agent_id": a.id, "agent_secret": secret, "registry_public_key": s.signer.key.Public().PEM()}, nil
}

func (s *Server) readAgent(r *http.Request) (agent, error) {
	f, err := readForm(r)
	if err != nil {
		return agent{}, err
	}
	now := s.opts.Now()
	a := agent{status: statusActive, created: now, updated: now, capabilities: "[]"}
	if a.provider = f.required("provider_id"); len(f.bad) == 0 {
		a.provider = f.uuid4("provider_id", a.provider)
	}
	if user := f.text("user_id"); user != nil {
		f.uuid4("user_id", *user)
	}
	if key := f.publicKey("dpop_public_key"); key != nil {
		a.publicKey, a.thumbprint = key.HeaderValue(), key.Thumbprint()
	}
	if required := f.flag("require_proof"); required != nil {
		a.requireProof = *required
	}
	if err := f.announcement().to(&a); err != nil {
		return a, err
	}
	if name := f.agentName("name"); name != nil {
		a.name = *name
		return a, f.bad.err()
	}
	var raw [4]byte
	if _, err := io.ReadFull(s.opts.Random, raw[:]); err != nil {
		return a, fmt.Errorf("make a name: %w", err)
	}
	a.name = "agent-" + hex.EncodeToString(raw[:])
	return a, f.bad.err()
}

// publicKey is a required field that holds a key of an accepted type and size.
func (f *form) publicKey(name string) *identity.PublicKey {
	before := len(f.bad)
	text := f.required(name)
	if len(f.bad) > before {
		return nil
	}
	if len(text) > maxPublicKey {
		f.bad.add("string_too_long", "String should have at most 2048 characters", nil, "body", name)
		return nil
	}
	key, err := identity.ParsePublicKey(text)
	if err != nil {
		f.bad.add("value_error", "not an accepted public key: RSA of 2048 to 8192 bits, ECDSA P-256 or Ed25519 in PEM form",
			f.fields[name], "body", name)
	}
	return key
}

// agentInfo is GET /agents/{id}. Somebody else's agent is as unknown as one that
// does not exist.
func (s *Server) agentInfo(r *http.Request) (any, error) {
	a, err := s.ownAgent(r, http.StatusNotFound)
	if err != nil {
		return nil, err
	}
	if a.permissions, err = s.store.permissions(r.Context(), a.id); err != nil {
		return nil, err
	}
	v := viewOfAgent(a)
	v.announcedView = viewOfAnnounced(a)
	return v, nil
}

// ownAgent returns the agent in the path if the caller has power over it. A
// provider gets the given status for every other, so that it cannot find out
// which exist; the operator gets 404.
func (s *Server) ownAgent(r *http.Request, otherwise int) (agent, error) {
	c, err := s.caller(r)
	if err != nil {
		return agent{}, err
	}
	id, err := pathID(r, "id")
	if err != nil {
		return agent{}, err
	}
	a, _, err := s.store.agent(r.Context(), id)
	switch {
	case err != nil && !errors.Is(err, errNotFound):
		return a, err
	case err != nil && c.operator:
		return a, refuse(http.StatusNotFound, "agent not found")
	case err != nil || !c.mayActFor(a.provider):
		return a, refuse(otherwise, "agent not found, or not yours")
	}
	return a, nil
}

// updateAgent is PATCH /agents/{id}: name, status, require_proof and what the
// agent lets others know, those that are given. What the operator has suspended only the operator can wake.
func (s *Server) updateAgent(r *http.Request) (any, error) {
	found, err := s.ownAgent(r, http.StatusNotFound)
	if err != nil {
		return nil, err
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	name, status, required := f.agentName("name"), f.text("status"), f.flag("require_proof")
	said := f.announcement()
	if status != nil && *status != statusActive && *status != statusInactive && *status != statusSuspended {
		f.bad.add("enum", "Input should be 'active', 'inactive' or 'suspended'", f.fields["status"], "body", "status")
	}
	if err := f.bad.err(); err != nil {
		return nil, err
	}
	operator := s.isOperatorKey(r.Header.Get(operatorHeader))
	a, err := s.store.updateAgent(r.Context(), found.id, s.opts.Now(), func(a *agent) error {
		if status != nil && *status != a.status {
			if !operator && (a.status == statusSuspended || *status == statusSuspended) {
				return refuse(http.StatusForbidden, "only the operator may suspend an agent, or wake a suspended one")
			}
			a.status = *status
		}
		if name != nil {
			a.name = *name
		}
		if required != nil {
			a.requireProof = *required
		}
		return said.to(a)
	})
	if errors.Is(err, errNotFound) {
		return nil, refuse(http.StatusNotFound, "agent not found")
	}
	if err != nil {
		return nil, err
	}
	s.log.Info("agent changed", "agent", a.id, "status", a.status)
	v := viewOfAgent(a)
	v.announcedView = viewOfAnnounced(a)
	return v, nil
}

// deleteAgent is DELETE /agents/delete?agent_id=….
func (s *Server) deleteAgent(r *http.Request) (any, error) {
	c, err := s.caller(r)
	if err != nil {
		return nil, err
	}
	values := r.URL.Query()["agent_id"]
	if len(values) != 1 {
		var p problems
		p.add("missing", "Field required", nil, "query", "agent_id")
		return nil, p.err()
	}
	id, err := checkedID(values[0], "query", "agent_id")
	if err != nil {
		return nil, err
	}
	switch err := s.store.deleteAgent(r.Context(), id, c.provider); {
	case errors.Is(err, errNotFound):
		return nil, refuse(http.StatusNotFound, "agent not found")
	case errors.Is(err, errNotOwner):
		return nil, refuse(http.StatusForbidden, "not your agent")
	case err != nil:
		return nil, err
	}
	s.log.Info("agent deleted", "agent", id)
	return map[string]string{"status": "success", "message": "agent " + id + " deleted"}, nil
}
