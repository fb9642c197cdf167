package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"

	"github.com/pando-agents/pando/identity"
)

// caller is who stands behind an administrative request.
type caller struct {
	provider string // empty for the operator
	operator bool
}

const (
	operatorHeader = "x-api-key"
	providerHeader = "provider-secret"
)

// caller finds out who asks. The operator's key wins over a provider's secret;
// while no operator's key is configured nobody has it.
func (s *Server) caller(r *http.Request) (caller, error) {
	key, present, err := header(r, operatorHeader)
	if err != nil {
		return caller{}, err
	}
	if present {
		if !s.isOperatorKey(key) {
			return caller{}, refuse(http.StatusUnauthorized, "invalid API key")
		}
		return caller{operator: true}, s.count("operator")
	}
	secret, present, err := header(r, providerHeader)
	if err != nil {
		return caller{}, err
	}
	if !present || secret == "" {
		return caller{}, refuse(http.StatusUnauthorized, "provider-secret header missing")
	}
	id, err := s.store.providerOf(r.Context(), s.secrets.hash(secret))
	if errors.Is(err, errNotFound) {
		return caller{}, refuse(http.StatusUnauthorized, "invalid provider secret")
	}
	if err != nil {
		return caller{}, err
	}
	return caller{provider: id}, s.count("provider " + id)
}

// callingAgent finds out which agent asks: by its id, its secret, and one proof
// by its registered key for this very request. Only active agents may ask.
func (s *Server) callingAgent(r *http.Request) (agent, error) {
	id, err := requiredHeader(r, "agent-id")
	if err != nil {
		return agent{}, err
	}
	secret, _, err := header(r, "agent-secret")
	if err != nil {
		return agent{}, err
	}
	proof, err := requiredHeader(r, "dpop")
	if err != nil {
		return agent{}, err
	}
	a, key, err := s.agentWith(r.Context(), id, secret)
	if err != nil {
		return a, err
	}
	if err := s.count("agent " + a.id); err != nil {
		return a, err
	}
	if err := s.useProof(r, proof, http.StatusUnauthorized, key); err != nil {
		return a, err
	}
	if a.status != statusActive {
		return a, refuse(http.StatusForbidden, "the agent is not active")
	}
	return a, nil
}

// agentWith finds an agent and its key by its id and its secret. An id that does
// not exist is answered like a wrong secret.
func (s *Server) agentWith(ctx context.Context, id, secret string) (agent, *identity.PublicKey, error) {
	id, err := parseUUID4(id)
	if err != nil {
		return agent{}, nil, refuse(http.StatusBadRequest, "agent-id is not a version 4 UUID")
	}
	a, hash, err := s.store.agent(ctx, id)
	if err != nil && !errors.Is(err, errNotFound) {
		return a, nil, err
	}
	if !hash.same(s.secrets.hash(secret)) || err != nil {
		return a, nil, refuse(http.StatusUnauthorized, "invalid agent credentials")
	}
	key, err := identity.ParsePublicKey(a.publicKey)
	return a, key, err
}

// isOperatorKey compares in constant time, also with respect to the length.
func (s *Server) isOperatorKey(key string) bool {
	if s.opts.AdminKey == "" {
		return false
	}
	got, want := sha256.Sum256([]byte(key)), sha256.Sum256([]byte(s.opts.AdminKey))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// count charges a request to somebody whose identity has been proved.
func (s *Server) count(principal string) error {
	if wait := s.perPrincipal.take(principal); wait > 0 {
		return tooMany(wait)
	}
	return nil
}

// mayActFor reports whether the caller has power over a provider's things.
func (c caller) mayActFor(provider string) bool {
	return c.operator || c.provider == provider
}
