package server

import (
	"errors"
	"net/http"
)

// providerView is a provider as the API shows it. The secret is there once, in
// the answer to the registration.
type providerView struct {
	ID      string  `json:"id"`
	Name    *string `json:"name"`
	Email   *string `json:"contact_email"`
	User    *string `json:"registered_user_id"`
	Created string  `json:"created_at"`
	Updated *string `json:"updated_at"`
	Secret  string  `json:"provider_secret,omitempty"`
	Claimed bool    `json:"claimed"`
}

func viewOfProvider(p provider) providerView {
	v := providerView{ID: p.id, Name: p.name, Email: p.email, Created: stamp(p.created), Claimed: p.claimed}
	if p.updated != nil {
		t := stamp(*p.updated)
		v.Updated = &t
	}
	return v
}

// registerProvider is POST /providers/register, open to everybody. Only the
// operator may register somebody as claimed.
func (s *Server) registerProvider(r *http.Request) (any, error) {
	if wait := s.perRegister.take(addressOf(r.RemoteAddr)); wait > 0 {
		return nil, tooMany(wait)
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	p := provider{name: f.name("name"), email: f.email("contact_email"), created: s.opts.Now()}
	if p.email == nil {
		p.email = f.email("email") // as the CLI sends it
	}
	user := f.text("registered_user_id")
	if err := f.bad.err(); err != nil {
		return nil, err
	}
	if p.claimed = user != nil; p.claimed {
		if c, err := s.caller(r); err != nil || !c.operator {
			return nil, refuseFor(err, http.StatusForbidden, "only the operator may register a claimed provider")
		}
	}
	if p.id, err = s.newID(); err != nil {
		return nil, err
	}
	secret, hash, err := s.secrets.create()
	if err != nil {
		return nil, err
	}
	if err := s.store.addProvider(r.Context(), p, hash); err != nil {
		return nil, err
	}
	s.log.Info("provider registered", "provider", p.id)
	v := viewOfProvider(p)
	v.Secret, v.User = secret, user
	return v, nil
}

// updateProvider is PATCH /providers/{id}, for the provider itself and the
// operator; only the latter may change claimed.
func (s *Server) updateProvider(r *http.Request) (any, error) {
	id, err := s.ownProvider(r)
	if err != nil {
		return nil, err
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	name, email, claimed := f.name("name"), f.email("contact_email"), f.flag("claimed")
	if err := f.bad.err(); err != nil {
		return nil, err
	}
	if claimed != nil && !s.isOperatorKey(r.Header.Get(operatorHeader)) {
		return nil, refuse(http.StatusForbidden, "only the operator may change claimed")
	}
	p, err := s.store.updateProvider(r.Context(), id, s.opts.Now(), func(p *provider) {
		if _, given := f.fields["name"]; given {
			p.name = name
		}
		if _, given := f.fields["contact_email"]; given {
			p.email = email
		}
		if claimed != nil {
			p.claimed = *claimed
		}
	})
	if errors.Is(err, errNotFound) {
		return nil, refuse(http.StatusNotFound, "provider not found")
	}
	if err != nil {
		return nil, err
	}
	s.log.Info("provider changed", "provider", id)
	return viewOfProvider(p), nil
}

// ownProvider returns the provider in the path if the caller has power over it.
func (s *Server) ownProvider(r *http.Request) (string, error) {
	c, err := s.caller(r)
	if err != nil {
		return "", err
	}
	id, err := pathID(r, "id")
	if err != nil {
		return "", err
	}
	if !c.mayActFor(id) {
		return "", refuse(http.StatusForbidden, "not your provider")
	}
	return id, nil
}

// listAgents is GET /providers/list-agents/{id}: one page of a provider's agents.
func (s *Server) listAgents(r *http.Request) (any, error) {
	id, err := s.ownProvider(r)
	if err != nil {
		return nil, err
	}
	skip, err := queryInt(r, "skip", 0, 0, 1<<31-1)
	if err != nil {
		return nil, err
	}
	limit, err := queryInt(r, "limit", 100, 1, 1000)
	if err != nil {
		return nil, err
	}
	list, err := s.agentViews(r, id, skip, limit)
	if err != nil {
		return nil, err
	}
	return map[string]any{"total": len(list), "skip": skip, "limit": limit, "agents": list}, nil
}

// providerAgents is GET /providers/{id}/agents: all of them, and with a wrong
// secret 401 where the other route says 403, as it always was.
func (s *Server) providerAgents(r *http.Request) (any, error) {
	c, err := s.caller(r)
	if err != nil {
		return nil, err
	}
	id, err := pathID(r, "id")
	if err != nil {
		return nil, err
	}
	if c.operator {
		if _, err := requiredHeader(r, providerHeader); err != nil {
			return nil, err
		}
	}
	if !c.mayActFor(id) {
		return nil, refuse(http.StatusUnauthorized, "invalid provider secret")
	}
	return s.agentViews(r, id, 0, 1<<31-1)
}

func (s *Server) agentViews(r *http.Request, provider string, skip, limit int) ([]agentView, error) {
	_, err := s.store.provider(r.Context(), provider)
	if errors.Is(err, errNotFound) {
		return nil, refuse(http.StatusNotFound, "provider not found")
	}
	if err != nil {
		return nil, err
	}
	list, err := s.store.agentsOf(r.Context(), provider, skip, limit)
	if err != nil {
		return nil, err
	}
	views := make([]agentView, len(list))
	for i, a := range list {
		views[i] = viewOfAgent(a)
	}
	return views, nil
}
