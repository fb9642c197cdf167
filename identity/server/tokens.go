package server

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/pando-agents/pando/identity"
)

const (
	proofMaxAge = 300 * time.Second
	proofLeeway = 5 * time.Second
	minProof    = 50
	maxProof    = 4 << 10

	// One text for both: a stranger learns nothing about the target.
	notPermitted = "no mutual permission between the agents"
	badProof     = "invalid DPoP proof"
)

// tokenRequest is the body and the headers of POST /tokens/create.
type tokenRequest struct {
	agent, key, secret string
	target, proof      string
	bind               bool
}

func readTokenRequest(r *http.Request) (t tokenRequest, err error) {
	if t.agent, err = requiredHeader(r, "agent-id"); err != nil {
		return t, err
	}
	if t.key, err = requiredHeader(r, "dpop-public-key"); err != nil {
		return t, err
	}
	if t.secret, _, err = header(r, "agent-secret"); err != nil {
		return t, err
	}
	f, err := readForm(r)
	if err != nil {
		return t, err
	}
	if t.target = f.required("target_agent_id"); len(f.bad) == 0 {
		t.target = f.uuid4("target_agent_id", t.target)
	}
	t.proof = f.proof("dpop_proof")
	if bind := f.text("bind"); bind != nil {
		if t.bind = *bind == "dpop"; !t.bind {
			f.bad.add("enum", "Input should be 'dpop'", f.fields["bind"], "body", "bind")
		}
	}
	return t, f.bad.err()
}

// proof is a required field that looks like a compact JWS. It is never echoed.
func (f *form) proof(key string) string {
	before := len(f.bad)
	s := f.required(key)
	if len(f.bad) > before {
		return ""
	}
	switch {
	case len(s) < minProof:
		f.bad.add("string_too_short", "String should have at least 50 characters", nil, "body", key)
	case len(s) > maxProof:
		f.bad.add("string_too_long", "String should have at most 4096 characters", nil, "body", key)
	case strings.Count(s, ".") != 2:
		f.bad.add("value_error", "a proof has three parts", nil, "body", key)
	}
	return s
}

// createToken is POST /tokens/create: an agent asks for a token with which it
// may meet another.
func (s *Server) createToken(r *http.Request) (any, error) {
	t, err := readTokenRequest(r)
	if err != nil {
		return nil, err
	}
	a, key, err := s.authenticate(r, t)
	if err != nil {
		return nil, err
	}
	if err := s.count("agent " + a.id); err != nil {
		return nil, err
	}
	if err := s.checkRequestProof(r, t, key); err != nil {
		return nil, err
	}
	rel, err := s.store.relation(r.Context(), a.id, t.target)
	if err != nil {
		return nil, err
	}
	if !rel.allowed {
		return nil, refuse(http.StatusBadRequest, notPermitted)
	}
	g := grant{subject: a.id, target: t.target, peer: rel.targetThumbprint}
	if g.id, err = s.newID(); err != nil {
		return nil, err
	}
	kind := "Bearer"
	if t.bind || a.requireProof {
		g.bindTo, kind = a.thumbprint, "DPoP"
	}
	token, expires, err := s.signer.sign(g)
	if err != nil {
		return nil, err
	}
	return struct {
		Token   string `json:"token"`
		Target  string `json:"target_agent_id"`
		Expires string `json:"expires_at"`
		Kind    string `json:"token_type"`
	}{token, t.target, stamp(expires), kind}, nil
}

// authenticate finds the agent by its id, its secret and its registered key.
func (s *Server) authenticate(r *http.Request, t tokenRequest) (agent, *identity.PublicKey, error) {
	a, registered, err := s.agentWith(r.Context(), t.agent, t.secret)
	if err != nil {
		return a, nil, err
	}
	given, err := identity.ParsePublicKey(t.key)
	if err != nil || !registered.Equal(given) {
		return a, nil, refuseFor(err, http.StatusUnauthorized, "dpop-public-key is not the agent's registered key")
	}
	return a, registered, nil
}

func (s *Server) checkRequestProof(r *http.Request, t tokenRequest, key *identity.PublicKey) error {
	switch sent := r.Header.Values("dpop"); {
	case len(sent) > 1, len(sent) == 1 && sent[0] != t.proof:
		return refuseFor(errors.New("the dpop header is not the proof in the body"), http.StatusBadRequest, badProof)
	}
	return s.useProof(r, t.proof, http.StatusBadRequest, key)
}

// useProof verifies a proof by one of the keys for this very request, and makes
// sure that it is the first time.
func (s *Server) useProof(r *http.Request, compact string, status int, keys ...*identity.PublicKey) error {
	now := s.opts.Now()
	var (
		p   *identity.Proof
		err error
	)
	for _, key := range keys {
		p, err = identity.VerifyProof(compact, identity.ProofCheck{
			Method: r.Method, URLs: s.urlsOf(r), Key: key, MaxAge: proofMaxAge, Leeway: proofLeeway,
			MaxLen: maxProof, Now: func() time.Time { return now },
		})
		if err == nil {
			break
		}
	}
	if err != nil {
		return refuseFor(err, status, badProof)
	}
	if p.IssuedAt.Before(s.floor) {
		return &refusal{status: http.StatusServiceUnavailable, detail: "the registry has just started, send a new proof", retry: time.Second}
	}
	ids := []string{"jti " + p.JTI}
	if p.Nonce != "" {
		ids = append(ids, "nonce "+p.Nonce)
	}
	// A minute more than it can be of use, in case the clock is put back a little.
	fresh, err := s.store.useProof(r.Context(), p.JKT, ids, now, p.IssuedAt.Add(proofMaxAge+time.Minute))
	if err != nil {
		return err
	}
	if !fresh {
		return refuseFor(errReplayed, status, badProof)
	}
	return nil
}

// urlsOf lists the URLs by which the client may have called this path. Without
// public URLs that is what it says in Host: it then only tells which name of the
// registry the agent used, and it is the registry that the agent trusts with its
// secret in the same request.
func (s *Server) urlsOf(r *http.Request) []string {
	path := r.URL.EscapedPath()
	if len(s.opts.PublicURLs) > 0 {
		urls := make([]string, len(s.opts.PublicURLs))
		for i, base := range s.opts.PublicURLs {
			urls[i] = strings.TrimSuffix(base, "/") + path
		}
		return urls
	}
	urls := []string{"https://" + r.Host + path}
	if r.TLS == nil {
		urls = append(urls, "http://"+r.Host+path)
	}
	return urls
}
