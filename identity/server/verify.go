package server

import (
	"errors"
	"net/http"
	"strings"

	"github.com/pando-agents/pando/identity"
)

const badToken = "invalid token"

// verifyToken is POST /tokens/verify: somebody who was shown a token asks
// whether it still holds. An optional proof says who asks: the target, or the
// token's owner.
func (s *Server) verifyToken(r *http.Request) (any, error) {
	auth, err := requiredHeader(r, "authorization")
	if err != nil {
		return nil, err
	}
	expected, present, err := header(r, "target-agent-id")
	if err != nil {
		return nil, err
	}
	if present {
		if expected, err = checkedID(expected, "header", "target-agent-id"); err != nil {
			return nil, err
		}
	}
	c, err := s.signer.parse(withoutScheme(auth))
	if err != nil {
		return nil, refuseFor(err, http.StatusUnauthorized, badToken)
	}
	if present && expected != c.Target {
		return nil, refuse(http.StatusUnauthorized, "the token is for another agent")
	}
	rel, err := s.store.relation(r.Context(), c.Subject, c.Target)
	if err != nil {
		return nil, err
	}
	if !rel.allowed {
		return nil, refuse(http.StatusUnauthorized, notPermitted)
	}
	if err := s.checkVerifierProof(r, rel); err != nil {
		return nil, err
	}
	return struct {
		Valid   bool   `json:"valid"`
		Subject string `json:"subject"`
		Target  string `json:"target"`
		Expires int64  `json:"expires_at"`
	}{true, c.Subject, c.Target, c.ExpiresAt.Unix()}, nil
}

func (s *Server) checkVerifierProof(r *http.Request, rel relation) error {
	sent := r.Header.Values("dpop")
	if len(sent) == 0 {
		return nil
	}
	if len(sent) > 1 {
		return refuseFor(errors.New("more than one proof"), http.StatusUnauthorized, badProof)
	}
	target, err := identity.ParsePublicKey(rel.targetKey)
	if err != nil {
		return err
	}
	requester, err := identity.ParsePublicKey(rel.requesterKey)
	if err != nil {
		return err
	}
	return s.useProof(r, sent[0], http.StatusUnauthorized, target, requester)
}

// withoutScheme takes Bearer or DPoP (RFC 9449 §7.1) off, which may be missing.
func withoutScheme(auth string) string {
	scheme, token, ok := strings.Cut(auth, " ")
	if ok && (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "dpop")) {
		return strings.TrimLeft(token, " ")
	}
	return auth
}
