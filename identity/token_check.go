package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	tokenType      = "interaction_token"
	tokenLeeway    = 5 * time.Second
	originalIssuer = "registry" // of an original Python registry
	thumbprintLen  = 43         // SHA-256 in base64url
)

// interactionToken is what a token says. If local is false its signature was
// not checked here and the registry has to confirm it before anything in it counts.
type interactionToken struct {
	subject, id, jkt string
	expires          time.Time
	local            bool
}

// checkToken checks all that can be checked without asking about permissions.
// Tokens of an original registry have no kid and no published key.
func (v *Verifier) checkToken(ctx context.Context, text string) (interactionToken, *Refusal) {
	var t interactionToken
	if err := checkCompact(text, maxToken); err != nil {
		return t, refuse(RefusedToken, err.Error())
	}
	claims := jwt.MapClaims{}
	parsed, parts, err := newParser().ParseUnverified(text, claims)
	if err != nil {
		return t, refuse(RefusedToken, err.Error())
	}
	kid, err := checkTokenHeader(parsed)
	if err != nil {
		return t, refuse(RefusedToken, err.Error())
	}
	if t.local = kid != "" && claims["iss"] != originalIssuer; t.local {
		key, err := v.o.Client.SigningKey(ctx, kid)
		if errors.Is(err, ErrInvalidToken) {
			return t, refuse(RefusedToken, err.Error())
		}
		if err != nil {
			return t, unavailable(err)
		}
		if parsed.Method.Alg() != key.Alg() {
			return t, refuse(RefusedToken, "alg is not that of the registry's key")
		}
		if err := parsed.Method.Verify(parts[0]+"."+parts[1], parsed.Signature, key.Crypto()); err != nil {
			return t, refuse(RefusedToken, "wrong signature")
		}
		if claims["iss"] != v.o.Issuer {
			return t, refuse(RefusedToken, "another issuer")
		}
	}
	if err := t.read(claims, v.o.Client.AgentID(), v.o.Now()); err != nil {
		return t, refuse(RefusedToken, err.Error())
	}
	return t, nil
}

// checkTokenHeader returns the kid, empty if there is none. A header that
// brings or points to a key of its own is an attack, not a variant.
func checkTokenHeader(t *jwt.Token) (kid string, err error) {
	for _, name := range []string{"jku", "x5u", "jwk", "x5c", "crit"} {
		if _, found := t.Header[name]; found {
			return "", fmt.Errorf("%s in the header", name)
		}
	}
	if typ, found := t.Header["typ"]; found && typ != "JWT" {
		return "", fmt.Errorf("typ of the header is not JWT")
	}
	if !slices.Contains([]string{"RS256", "ES256", "EdDSA"}, t.Method.Alg()) {
		return "", fmt.Errorf("alg is not one of a registry")
	}
	if v, found := t.Header["kid"]; found {
		var ok bool
		if kid, ok = v.(string); !ok || kid == "" {
			return "", fmt.Errorf("kid is not a name")
		}
	}
	return kid, nil
}

func (t *interactionToken) read(claims jwt.MapClaims, self string, now time.Time) error {
	if claims["typ"] != tokenType {
		return fmt.Errorf("typ is not %s", tokenType)
	}
	if aud, found := claims["aud"]; claims["target"] != self || found && !isAudience(aud, self) {
		return fmt.Errorf("the token is for another agent")
	}
	t.subject, _ = claims["sub"].(string)
	t.id, _ = claims["jti"].(string)
	if !isUUIDv4(t.subject) || t.id == "" || len(t.id) > maxProofID {
		return fmt.Errorf("sub or jti missing or malformed")
	}
	if v, found := claims["cnf"]; found {
		cnf, _ := v.(map[string]any)
		if t.jkt, _ = cnf["jkt"].(string); len(t.jkt) != thumbprintLen {
			return fmt.Errorf("cnf holds no thumbprint")
		}
	}
	return t.readTimes(claims, now)
}

func (t *interactionToken) readTimes(claims jwt.MapClaims, now time.Time) (err error) {
	if t.expires, err = numericDate(claims["exp"]); err != nil {
		return fmt.Errorf("exp: %w", err)
	}
	if now.Sub(t.expires) >= tokenLeeway {
		return fmt.Errorf("the token has expired")
	}
	for _, name := range []string{"iat", "nbf"} {
		v, found := claims[name]
		if !found && name == "nbf" {
			continue
		}
		at, err := numericDate(v)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if at.Sub(now) > tokenLeeway {
			return fmt.Errorf("%s is in the future", name)
		}
	}
	return nil
}
