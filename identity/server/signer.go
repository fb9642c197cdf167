package server

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pando-agents/pando/identity"
)

const (
	tokenType = "interaction_token"
	maxToken  = 8 << 10
)

// signer makes and checks the registry's own tokens.
type signer struct {
	key    *identity.Key
	kid    string // the key's thumbprint (RFC 7638)
	issuer string
	ttl    time.Duration
	now    func() time.Time
	parser *jwt.Parser
}

func newSigner(key *identity.Key, o Options) *signer {
	s := &signer{key: key, kid: key.Thumbprint(), issuer: o.Issuer, ttl: o.TokenTTL, now: o.Now}
	s.parser = jwt.NewParser(jwt.WithValidMethods([]string{key.Alg()}), jwt.WithIssuer(o.Issuer),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(o.Now), jwt.WithStrictDecoding())
	return s
}

// grant is what a token is to say.
type grant struct {
	id, subject, target string
	bindTo              string // thumbprint of the key that the holder has to prove; may be empty
	peer                string // thumbprint of the target's key, for the holder
}

// sign returns the token and the time at which it expires.
func (s *signer) sign(g grant) (token string, expires time.Time, err error) {
	now := s.now().Truncate(time.Second)
	expires = now.Add(s.ttl).Truncate(time.Second)
	claims := map[string]any{
		"iss": s.issuer, "sub": g.subject, "target": g.target, "aud": g.target,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": expires.Unix(),
		"jti": g.id, "typ": tokenType,
		"peer": map[string]string{"jkt": g.peer},
	}
	if g.bindTo != "" {
		claims["cnf"] = map[string]string{"jkt": g.bindTo}
	}
	token, err = s.key.SignJWT(map[string]any{"kid": s.kid, "typ": "JWT"}, claims)
	return token, expires, err
}

// claims of a token, as far as the registry reads them again.
type claims struct {
	jwt.RegisteredClaims
	Target string `json:"target"`
	Type   string `json:"typ"`
}

// parse checks a token of this registry: signature, times, issuer, type, and
// that it is for one target only.
func (s *signer) parse(token string) (claims, error) {
	var c claims
	if len(token) > maxToken {
		return c, fmt.Errorf("longer than %d bytes", maxToken)
	}
	_, err := s.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		if t.Header["kid"] != s.kid || t.Header["typ"] != "JWT" {
			return nil, errors.New("kid or typ of the header is not ours")
		}
		return s.key.Public().Crypto(), nil
	})
	switch {
	case err != nil:
		return c, err
	case c.Type != tokenType:
		return c, errors.New("not an interaction token")
	case len(c.Audience) != 1 || c.Audience[0] != c.Target:
		return c, errors.New("audience and target differ")
	}
	return c, nil
}

// keySet is the JSON Web Key Set (RFC 7517) with which anybody can check tokens.
func (s *Server) keySet(*http.Request) (any, error) {
	jwk := s.signer.key.Public().JWK()
	jwk.Kid = s.signer.kid
	return map[string]any{"keys": []identity.JWK{jwk}}, nil
}
