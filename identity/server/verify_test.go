package server

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/pando-agents/pando/identity"
)

func TestTokenIsIssuedAndVerified(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	token := r.token(a, b)
	exp := float64(r.clock.now().Unix() + 1800)
	for _, auth := range []string{"Bearer " + token, "bearer " + token, "DPoP " + token, token} {
		got := r.call("POST", "/tokens/verify", nil, "authorization", auth, "target-agent-id", b.id).want(200).object()
		if len(got) != 4 || got["valid"] != true || got["subject"] != a.id || got["target"] != b.id || got["expires_at"] != exp {
			t.Fatalf("answer %v", got)
		}
	}
	r.verify(token).want(200)
	r.verify(token, "target-agent-id", strings.ToUpper(b.id), "original-method", "GET").want(200)
}

func TestTokenForAnotherTargetIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	token := r.token(a, b)
	r.verify(token, "target-agent-id", a.id).want(401)
	r.verify(token, "target-agent-id", uuid.NewString()).want(401)
	r.verify(token, "target-agent-id", "x").problem("uuid_parsing", "header", "target-agent-id")
	r.call("POST", "/tokens/verify", nil).problem("missing", "header", "authorization")
}

func TestTakenAwayPermissionEndsTheToken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, end := range map[string]func(a, b testAgent){
		"by the target": func(a, b testAgent) {
			r.call("PATCH", "/agents/"+b.id+"/permissions", map[string]any{"remove": []permission{{allowAgent, a.id}}}, b.owner.auth()...).want(200)
		},
		"by the requester": func(a, b testAgent) {
			r.call("PUT", "/agents/"+a.id+"/permissions", "[]", a.owner.auth()...).want(200)
		},
		"target deleted": func(_, b testAgent) {
			r.call("DELETE", "/agents/delete?agent_id="+b.id, nil, b.owner.auth()...).want(200)
		},
		"requester deleted": func(a, _ testAgent) {
			r.call("DELETE", "/agents/delete?agent_id="+a.id, nil, a.owner.auth()...).want(200)
		},
	} {
		a, b := r.pair()
		token := r.token(a, b)
		r.verify(token).want(200)
		end(a, b)
		if got := r.verify(token); got.status != 401 {
			t.Errorf("%s: status %d", name, got.status)
		}
	}
}

func TestVerifierProvesItselfWithItsOwnKey(t *testing.T) { // D8
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	token := r.token(a, b)
	stranger := r.agent(r.provider())
	verifying := func(k *identity.Key, edit ...func(*identity.ProofParams)) string {
		return r.proof(k, "/tokens/verify", edit...)
	}
	r.verify(token, "dpop", verifying(b.key)).want(200)
	r.verify(token, "dpop", verifying(a.key), "target-agent-id", b.id).want(200)
	r.verify(token, "dpop", verifying(stranger.key)).want(401)
	r.verify(token, "dpop", r.proof(b.key, "/tokens/create")).want(401)
	r.verify(token, "dpop", "not a proof").want(401)
	r.verify(token, "dpop", verifying(b.key), "dpop", verifying(b.key)).want(401)
	r.verify(token, "dpop", verifying(b.key, func(p *identity.ProofParams) { p.Method = "GET" })).want(401)

	once := verifying(b.key)
	r.verify(token, "dpop", once).want(200)
	r.verify(token, "dpop", once).want(401)
}

func TestTokenEndsAtItsTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.TokenTTL = time.Minute })
	a, b := r.pair()
	token := r.token(a, b)
	r.clock.advance(59 * time.Second)
	r.verify(token).want(200)
	r.clock.advance(time.Second)
	r.verify(token).want(401)
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	good := r.token(a, b)
	_, claims := r.decode(good)
	other, _ := identity.GenerateKey(identity.KeyRSA, nil)
	kid := signingKey().Thumbprint()
	with := func(key *identity.Key, header map[string]any, edit func(map[string]any)) string {
		c := map[string]any{}
		for k, v := range claims {
			c[k] = v
		}
		if edit != nil {
			edit(c)
		}
		text, err := key.SignJWT(header, c)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	head := map[string]any{"kid": kid, "typ": "JWT"}
	set := func(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }
	none := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims(claims))
	none.Header["kid"] = kid
	unsigned, _ := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	hmac := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(claims))
	hmac.Header["kid"] = kid
	symmetric, _ := hmac.SignedString([]byte(signingKey().Public().PEM()))
	own := signingKey()
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"none":              unsigned,
		"key as HMAC":       symmetric,
		"other key":         with(other, head, nil),
		"other key and kid": with(other, map[string]any{"kid": other.Thumbprint(), "typ": "JWT"}, nil),
		"no kid":            with(own, map[string]any{"typ": "JWT"}, nil),
		"typ of a proof":    with(own, map[string]any{"kid": kid, "typ": "dpop+jwt"}, nil),
		"other issuer":      with(own, head, set("iss", "registry")),
		"other kind":        with(own, head, set("typ", "access_token")),
		"other target":      with(own, head, set("target", a.id)),
		"two audiences":     with(own, head, set("aud", []string{b.id, a.id})),
		"no exp":            with(own, head, func(c map[string]any) { delete(c, "exp") }),
		"not yet":           with(own, head, set("nbf", r.clock.now().Unix()+60)),
		"from the future":   with(own, head, set("iat", r.clock.now().Unix()+60)),
		"cut":               parts[0] + "." + parts[1] + ".",
		"too long":          good + strings.Repeat("A", maxToken),
		"a proof":           r.proof(a.key, "/tokens/verify"),
		"nothing":           "",
	} {
		if got := r.verify(token); got.status != 401 {
			t.Errorf("%s: status %d: %s", name, got.status, got.body)
		}
	}
	r.verify(with(own, head, nil)).want(200) // the forger's tool itself works
}

func TestTokensOfAnotherRegistryAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := newRig(t, func(o *Options) { o.SigningKey = nil })
	a, b := other.pair()
	r.verify(other.token(a, b)).want(401)
}

func TestKeySetHasTheSigningKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	keys := r.call("GET", "/.well-known/jwks.json", nil).want(200).object()["keys"].([]any)
	if len(keys) != 1 {
		t.Fatalf("%d keys", len(keys))
	}
	got, want := keys[0].(map[string]any), signingKey().Public().JWK()
	if len(got) != 6 || got["kid"] != signingKey().Thumbprint() || got["n"] != want.N || got["e"] != want.E ||
		got["kty"] != "RSA" || got["use"] != "sig" || got["alg"] != "RS256" {
		t.Fatalf("key %v", got)
	}
}
