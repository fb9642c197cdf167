package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/pando-agents/pando/identity"
)

// decode checks a token's signature with the published key set's key and returns
// its header and claims.
func (r *rig) decode(token string) (header, claims map[string]any) {
	r.t.Helper()
	c := jwt.MapClaims{}
	tok, err := jwt.NewParser(jwt.WithTimeFunc(r.clock.now)).ParseWithClaims(token, c, func(*jwt.Token) (any, error) {
		return signingKey().Public().Crypto(), nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return tok.Header, c
}

func TestTokenHasTheClaimsOfTheSpecification(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Issuer = "https://registry.test" })
	a, b := r.pair()
	answer := r.create(a, b.id).want(200).object()
	if len(answer) != 4 || answer["target_agent_id"] != b.id || answer["token_type"] != "Bearer" ||
		answer["expires_at"] != "2026-03-01T10:00:00.000000+00:00" {
		t.Fatalf("answer %v", answer)
	}
	head, claims := r.decode(answer["token"].(string))
	if head["alg"] != "RS256" || head["typ"] != "JWT" || head["kid"] != signingKey().Thumbprint() || len(head) != 3 {
		t.Errorf("header %v", head)
	}
	now := float64(r.clock.now().Unix())
	for name, want := range map[string]any{
		"iss": "https://registry.test", "sub": a.id, "target": b.id, "aud": b.id,
		"iat": now, "nbf": now, "exp": now + 1800, "typ": "interaction_token",
	} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	if id, err := uuid.Parse(claims["jti"].(string)); err != nil || id.Version() != 4 {
		t.Errorf("jti %v", claims["jti"])
	}
	if peer := claims["peer"].(map[string]any); peer["jkt"] != b.key.Thumbprint() {
		t.Errorf("peer %v", peer)
	}
	if _, bound := claims["cnf"]; bound || len(claims) != 10 {
		t.Errorf("claims %v", claims)
	}
}

func TestTokenIsBoundWhenAskedOrRequired(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	careful, plain := r.agent(p, "require_proof", true), r.agent(p)
	r.grant(careful, plain)
	r.grant(plain, careful)
	for name, a := range map[string]reply{
		"asked":    r.create(plain, careful.id, func(_ http.Header, body map[string]any) { body["bind"] = "dpop" }),
		"required": r.create(careful, plain.id),
	} {
		owner := map[string]testAgent{"asked": plain, "required": careful}[name]
		if got := a.want(200).text("token_type"); got != "DPoP" {
			t.Errorf("%s: token_type %q", name, got)
		}
		_, claims := r.decode(a.text("token"))
		if cnf, _ := claims["cnf"].(map[string]any); cnf["jkt"] != owner.key.Thumbprint() {
			t.Errorf("%s: cnf %v", name, claims["cnf"])
		}
	}
	r.create(plain, careful.id, func(_ http.Header, body map[string]any) { body["bind"] = "mtls" }).problem("enum", "body", "bind")
}

func TestWrongAgentSecretIsRefused(t *testing.T) { // D1
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	unknown := uuid.NewString()
	var bodies []string
	for name, edit := range map[string]func(http.Header){
		"missing":        func(h http.Header) { h.Del("agent-secret") },
		"empty":          func(h http.Header) { h.Set("agent-secret", "") },
		"another's":      func(h http.Header) { h.Set("agent-secret", b.secret) },
		"longer":         func(h http.Header) { h.Set("agent-secret", a.secret+"A") },
		"unknown agent":  func(h http.Header) { h.Set("agent-id", unknown) },
		"provider's one": func(h http.Header) { h.Set("agent-secret", a.owner.secret) },
	} {
		got := r.create(a, b.id, func(h http.Header, _ map[string]any) { edit(h) })
		if got.status != 401 {
			t.Errorf("%s: status %d", name, got.status)
		}
		bodies = append(bodies, string(got.body))
	}
	for _, body := range bodies {
		if body != bodies[0] {
			t.Errorf("the answers differ: %s and %s", body, bodies[0])
		}
	}
	r.create(a, b.id).want(200)
}

func TestUnregisteredKeyIsRefused(t *testing.T) { // D2
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	stranger, _ := identity.GenerateKey(identity.KeyEd25519, nil)
	own := r.proof(stranger, "/tokens/create")
	r.create(a, b.id, useProofOf(own), func(h http.Header, _ map[string]any) {
		h.Set("dpop-public-key", stranger.Public().HeaderValue())
	}).want(401)
	r.create(a, b.id, useProofOf(own)).want(400)
	r.create(a, b.id, func(h http.Header, _ map[string]any) { h.Set("dpop-public-key", "rubbish") }).want(401)
}

func TestRegisteredKeyMayBeWrittenInAnyForm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	pem := a.key.Public().PEM()
	for _, form := range []string{a.key.Public().HeaderValue(), strings.ReplaceAll(pem, "\n", " "), strings.ReplaceAll(strings.TrimSpace(pem), "\n", " ")} {
		r.create(a, b.id, func(h http.Header, _ map[string]any) { h.Set("dpop-public-key", form) }).want(200)
	}
}

func TestProofsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	at := func(d time.Duration) func() time.Time { return func() time.Time { return r.clock.now().Add(d) } }
	cases := []struct {
		name string
		edit func(*identity.ProofParams)
		want int
	}{
		{"as it should be", func(*identity.ProofParams) {}, 200},
		{"without nonce", func(p *identity.ProofParams) { p.Nonce = "" }, 200},
		{"other method", func(p *identity.ProofParams) { p.Method = "GET" }, 400},
		{"other path", func(p *identity.ProofParams) { p.URL = r.url + "/tokens/verify" }, 400},
		{"other host", func(p *identity.ProofParams) { p.URL = "https://elsewhere.test/tokens/create" }, 400},
		{"other port", func(p *identity.ProofParams) { p.URL = r.url + ":8443/tokens/create" }, 400},
		{"default port", func(p *identity.ProofParams) { p.URL = r.url + ":443/tokens/create" }, 200},
		{"host in capitals", func(p *identity.ProofParams) { p.URL = "https://Registry.TEST/tokens/create" }, 200},
		{"query", func(p *identity.ProofParams) { p.URL = r.url + "/tokens/create?a=1#b" }, 200},
		{"plain http over TLS", func(p *identity.ProofParams) { p.URL = "http://registry.test/tokens/create" }, 400},
	}
	for _, c := range cases {
		if got := r.create(a, b.id, useProofOf(r.proof(a.key, "/tokens/create", c.edit))); got.status != c.want {
			t.Errorf("%s: status %d, want %d: %s", c.name, got.status, c.want, got.body)
		}
	}
	r.clock.advance(-time.Duration(r.clock.now().Nanosecond())) // proofs have whole seconds
	ages := map[time.Duration]int{-300 * time.Second: 200, -301 * time.Second: 400, 5 * time.Second: 200, 6 * time.Second: 400}
	for age, want := range ages { // D14
		proof := r.proof(a.key, "/tokens/create", func(p *identity.ProofParams) { p.Now = at(age) })
		if got := r.create(a, b.id, useProofOf(proof)); got.status != want {
			t.Errorf("a proof made %v from now: status %d, want %d", age, got.status, want)
		}
	}
}

func TestProofForADoubledPortIsAccepted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.url = "https://registry.test:8443"
	a, b := r.pair()
	now := r.clock.now()
	claims := map[string]any{"jti": uuid.NewString(), "htm": "POST", "htu": "https://registry.test:8443:8443/tokens/create",
		"iat": now.Unix(), "exp": now.Unix() + 300, "nonce": "0123456789abcdef"}
	proof, err := a.key.SignJWT(map[string]any{"typ": "dpop+jwt", "jwk": a.key.Public().JWK()}, claims)
	if err != nil {
		t.Fatal(err)
	}
	r.create(a, b.id, useProofOf(proof)).want(200)
}

func TestOnlyProofsForThePublicURLsAreAccepted(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.PublicURLs = []string{"https://ids.example/base/", "https://10.0.0.1:8443"} })
	a, b := r.pair()
	for url, want := range map[string]int{
		"https://ids.example/base/tokens/create": 200, "https://10.0.0.1:8443/tokens/create": 200,
		"https://registry.test/tokens/create": 400, "https://ids.example/tokens/create": 400,
	} {
		proof := r.proof(a.key, "", func(p *identity.ProofParams) { p.URL = url })
		if got := r.create(a, b.id, useProofOf(proof)); got.status != want {
			t.Errorf("%s: status %d, want %d", url, got.status, want)
		}
	}
}

func TestHeaderProofMustBeTheOneInTheBody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	r.create(a, b.id, func(h http.Header, _ map[string]any) { h.Set("dpop", r.proof(a.key, "/tokens/create")) }).want(400)
	r.create(a, b.id, func(h http.Header, _ map[string]any) { h.Add("dpop", h.Get("dpop")) }).want(400)
	r.create(a, b.id, func(h http.Header, _ map[string]any) { h.Del("dpop") }).want(200)
}

func TestProofIsGoodForOneToken(t *testing.T) { // D13
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	proof := r.proof(a.key, "/tokens/create")
	r.create(a, b.id, useProofOf(proof)).want(200)
	r.create(a, b.id, useProofOf(proof)).want(400)

	nonce := "a nonce that is used again"
	with := func(p *identity.ProofParams) { p.Nonce = nonce }
	r.create(a, b.id, useProofOf(r.proof(a.key, "/tokens/create", with))).want(200)
	r.create(a, b.id, useProofOf(r.proof(a.key, "/tokens/create", with))).want(400)
	// What one agent has used says nothing about another's.
	r.create(b, a.id, useProofOf(r.proof(b.key, "/tokens/create", with))).want(200)
}

func TestSameJTIWithAnotherNonceIsAReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	jti := uuid.NewString()
	sign := func(nonce string) string {
		proof, err := a.key.SignJWT(map[string]any{"typ": "dpop+jwt", "jwk": a.key.Public().JWK()}, map[string]any{
			"jti": jti, "htm": "POST", "htu": r.url + "/tokens/create", "iat": r.clock.now().Unix(), "nonce": nonce})
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	r.create(a, b.id, useProofOf(sign("first nonce 0000000"))).want(200)
	r.create(a, b.id, useProofOf(sign("second nonce 000000"))).want(400)
	r.create(a, b.id, useProofOf(sign("too short"))).want(400)
}

func TestConcurrentReplaysGetOneTokenInAll(t *testing.T) { // D13
	t.Parallel()
	for _, dir := range []string{"", t.TempDir()} {
		r := newRig(t, func(o *Options) { o.Dir = dir })
		a, b := r.pair()
		proof := r.proof(a.key, "/tokens/create")
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			count = map[int]int{}
			start = make(chan struct{})
		)
		for range 50 {
			wg.Go(func() {
				<-start
				got := r.create(a, b.id, useProofOf(proof))
				mu.Lock()
				defer mu.Unlock()
				count[got.status]++
			})
		}
		close(start)
		wg.Wait()
		if count[200] != 1 || count[400] != 49 {
			t.Errorf("answers by status: %v", count)
		}
	}
}

func TestUsedProofsAreForgottenWhenTooOld(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	for range 20 {
		r.create(a, b.id).want(200)
	}
	r.clock.advance(10 * time.Minute)
	for range 20 {
		r.create(a, b.id).want(200)
	}
	var n int
	if err := r.s.store.read.QueryRow("SELECT count(*) FROM used_proofs").Scan(&n); err != nil || n != 40 {
		t.Fatalf("%d identifiers kept, want the 40 of the last 20 proofs (%v)", n, err)
	}
}

func TestUnknownAndUnwillingTargetsLookAlike(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, q := r.provider(), r.provider()
	a, b, c, d := r.agent(p), r.agent(q), r.agent(q), r.agent(q)
	r.grant(a, b) // b does not allow a
	r.grant(c, a) // a does not allow c
	var bodies []string
	for _, target := range []string{uuid.NewString(), b.id, c.id, d.id} {
		bodies = append(bodies, string(r.create(a, target).want(400).body))
	}
	for _, body := range bodies {
		if body != bodies[0] {
			t.Errorf("the answers differ: %s and %s", body, bodies[0])
		}
	}
}

func TestPermissionToAProviderIsForAllItsAgents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, q := r.provider(), r.provider()
	a, b := r.agent(p), r.agent(q)
	allow := func(from testAgent, to testProvider) {
		r.call("PUT", "/agents/"+from.id+"/permissions", []permission{{allowProvider, to.id}}, from.owner.auth()...).want(200)
	}
	allow(a, q)
	r.create(a, b.id).want(400)
	allow(b, p)
	r.create(a, b.id).want(200)
	late := r.agent(q)
	r.create(a, late.id).want(400)
	allow(late, p)
	r.create(late, a.id).want(200)
}

func TestInactiveAgentsGetNoTokensAndAreNotReached(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	token := r.token(a, b)
	set := func(x testAgent, status string, want int, auth ...string) {
		t.Helper()
		r.call("PATCH", "/agents/"+x.id, map[string]string{"status": status}, auth...).want(want)
	}
	for _, x := range []testAgent{a, b} {
		set(x, statusInactive, 200, x.owner.auth()...)
		r.create(a, b.id).want(400)
		r.verify(token).want(401)
		set(x, statusActive, 200, x.owner.auth()...)
	}
	r.create(a, b.id).want(200)
	r.verify(token).want(200)

	set(a, statusSuspended, 403, a.owner.auth()...)
	set(a, statusSuspended, 200, "x-api-key", adminKey)
	r.create(a, b.id).want(400)
	set(a, statusActive, 403, a.owner.auth()...)
	set(a, "asleep", 422, "x-api-key", adminKey)
	set(a, statusActive, 200, "x-api-key", adminKey)
	r.create(a, b.id).want(200)
}

func TestMalformedTokenRequestsAreExplained(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	header := func(edit func(http.Header)) func(http.Header, map[string]any) {
		return func(h http.Header, _ map[string]any) { edit(h) }
	}
	body := func(key string, v any) func(http.Header, map[string]any) {
		return func(_ http.Header, m map[string]any) {
			if m[key] = v; v == nil {
				delete(m, key)
			}
		}
	}
	r.create(a, b.id, header(func(h http.Header) { h.Del("agent-id") })).problem("missing", "header", "agent-id")
	r.create(a, b.id, header(func(h http.Header) { h.Del("dpop-public-key") })).problem("missing", "header", "dpop-public-key")
	r.create(a, b.id, header(func(h http.Header) { h.Add("agent-secret", "2") })).problem("value_error", "header", "agent-secret")
	r.create(a, b.id, header(func(h http.Header) { h.Set("agent-id", "me") })).want(400)
	r.create(a, b.id, body("target_agent_id", nil)).problem("missing", "body", "target_agent_id")
	r.create(a, b.id, body("target_agent_id", "you")).problem("uuid_parsing", "body", "target_agent_id")
	r.create(a, b.id, body("target_agent_id", uuid.Must(uuid.NewUUID()).String())).problem("uuid_parsing", "body", "target_agent_id")
	r.create(a, b.id, body("target_agent_id", 7)).problem("string_type", "body", "target_agent_id")
	r.create(a, b.id, body("dpop_proof", nil)).problem("missing", "body", "dpop_proof")
	r.create(a, b.id, body("dpop_proof", "a.b.c")).problem("string_too_short", "body", "dpop_proof")
	r.create(a, b.id, body("dpop_proof", strings.Repeat("a", 60))).problem("value_error", "body", "dpop_proof")
	r.create(a, b.id, body("dpop_proof", strings.Repeat("a.", 4000))).problem("string_too_long", "body", "dpop_proof")
}

func TestAfterACrashProofsFromBeforeAreNotTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clock := newClock()
	start := func() *Server {
		s, err := New(context.Background(), Options{Dir: dir, SigningKey: signingKey(), Now: clock.now, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	r := &rig{t: t, s: start(), clock: clock, url: "https://registry.test"}
	a, b := r.pair()
	early := r.proof(a.key, "/tokens/create")
	if err := r.s.store.close(); err != nil { // as if the process had died
		t.Fatal(err)
	}
	clock.advance(time.Second)
	r.s = start()
	if got := r.create(a, b.id, useProofOf(early)).want(503); got.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	clock.advance(time.Second)
	kept := r.proof(a.key, "/tokens/create")
	r.create(a, b.id).want(200)
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	r.s = start()
	r.create(a, b.id, useProofOf(kept)).want(200)
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
}
