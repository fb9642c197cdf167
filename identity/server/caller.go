package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
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
