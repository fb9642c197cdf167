package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestForgedAndForeignTokensAreRefused(t *testing.T) {
	t.Parallel()
	claim := func(name string, v any) func(h, c map[string]any) { return func(_, c map[string]any) { c[name] = v } }
	without := func(name string) func(h, c map[string]any) { return func(_, c map[string]any) { delete(c, name) } }
	header := func(name string, v any) func(h, c map[string]any) { return func(h, _ map[string]any) { h[name] = v } }
	now := testNow().Unix()
	for name, change := range map[string]func(h, c map[string]any){
		"another agent's":        func(_, c map[string]any) { c["target"], c["aud"] = testAgent, testAgent },
		"another target":         claim("target", testAgent),
		"no target":              without("target"),
		"another aud":            claim("aud", testAgent),
		"several aud":            claim("aud", []string{testTarget, testAgent}),
		"another issuer":         claim("iss", "evil"),
		"no issuer":              without("iss"),
		"typ of an access token": claim("typ", "access_token"),
		"no typ":                 without("typ"),
		"no sub":                 without("sub"),
		"sub no id":              claim("sub", "root"),
		"no jti":                 without("jti"),
		"no exp":                 without("exp"),
		"exp text":               claim("exp", "later"),
		"expired":                claim("exp", now-5),
		"issued in the future":   claim("iat", now+6),
		"no iat":                 without("iat"),
		"not yet":                claim("nbf", now+6),
		"cnf without jkt":        claim("cnf", map[string]any{}),
		"cnf null":               claim("cnf", nil),
		"cnf text":               claim("cnf", "x"),
		"header jku":             header("jku", "https://evil.example/keys"),
		"header x5u":             header("x5u", "https://evil.example/cert"),
		"header jwk":             header("jwk", map[string]any{"kty": "oct"}),
		"header crit":            header("crit", []string{"exp"}),
		"header typ of a proof":  header("typ", "dpop+jwt"),
		"unknown kid":            header("kid", "k-other"),
		"kid number":             header("kid", 1),
		"kid empty":              header("kid", ""),
	} {
		a := newAcceptor(t, nil)
		token := a.token(change)
		a.expect(name, handshake(token, a.proof(token, nil)), RefusedToken)
		if n := a.g.count("/tokens/verify"); n != 0 {
			t.Errorf("%s: the registry was asked", name)
		}
	}
}

func TestTokensWithABadSignatureAreRefused(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, nil)
	good := a.token(nil)
	parts := strings.Split(good, ".")
	kid := "k-" + a.g.key.Thumbprint()[:6]
	resign := func(method jwt.SigningMethod, key any, kid string) string {
		j := jwt.NewWithClaims(method, jwt.MapClaims(a.g.claims(testAgent, testTarget)))
		if kid != "" {
			j.Header["kid"] = kid
		}
		s, err := j.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	publicPEM := []byte(a.g.key.Public().PEM())
	for name, token := range map[string]string{
		"none":                   resign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid) + "AAAA",
		"none without kid":       resign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "") + "AAAA",
		"none, empty signature":  resign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid),
		"HS256 with public key":  resign(jwt.SigningMethodHS256, publicPEM, kid),
		"HS256 without kid":      resign(jwt.SigningMethodHS256, publicPEM, ""),
		"another key":            resign(jwt.SigningMethodEdDSA, ed25519Key().signer, kid),
		"another kind of key":    resign(jwt.SigningMethodRS256, rsaKey().signer, kid),
		"another key, no kid":    resign(jwt.SigningMethodEdDSA, ed25519Key().signer, ""),
		"RS384":                  resign(jwt.SigningMethodRS384, rsaKey().signer, ""),
		"claims of another":      parts[0] + "." + strings.Split(a.unbound(nil), ".")[1] + "." + parts[2],
		"signature cut":          good[:len(good)-4],
		"not a token":            "garbage",
		"empty":                  "",
		"a proof":                a.proof(good, nil),
		"two tokens":             good + "," + good,
		"trailing blank":         good + " ",
		"four parts":             good + ".x",
		"longer than 8 KiB":      good + strings.Repeat("A", 8192),
		"claims no object":       parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`"x"`)) + "." + parts[2],
		"header no object":       "W10." + parts[1] + "." + parts[2],
		"registry's name on kid": a.tamper(good, map[string]any{"iss": "registry"}),
	} {
		asked := a.g.count("/tokens/verify")
		a.expect(name, handshake(token, a.proof(good, nil)), RefusedToken)
		if name != "another key, no kid" && name != "registry's name on kid" && a.g.count("/tokens/verify") != asked {
			t.Errorf("%s: the registry was asked", name)
		}
	}
	if strings.Contains(a.log.String(), parts[1]) || strings.Contains(a.log.String(), parts[2]) {
		t.Error("the log holds a token")
	}
}

// tamper changes claims and leaves the signature.
func (a *acceptor) tamper(token string, changes map[string]any) string {
	parts := strings.Split(token, ".")
	_, claims := claimsOf(a.t, token)
	maps.Copy(claims, changes)
	raw, err := json.Marshal(claims)
	if err != nil {
		a.t.Fatal(err)
	}
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString(raw) + "." + parts[2]
}

func TestTokenIsTakenFromOneHeaderOnly(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, nil)
	token := a.unbound(nil)
	for name, change := range map[string]func(r *http.Request){
		"no header":      func(r *http.Request) { r.Header.Del("Authorization") },
		"two headers":    func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+token) },
		"empty":          func(r *http.Request) { r.Header.Set("Authorization", "") },
		"basic":          func(r *http.Request) { r.Header.Set("Authorization", "Basic "+token) },
		"no scheme":      func(r *http.Request) { r.Header.Set("Authorization", token) },
		"in the query":   func(r *http.Request) { r.URL.RawQuery = "Access_Token=" + token },
		"query as well":  func(r *http.Request) { r.URL.RawQuery = "x=1&token=1" },
		"only the query": func(r *http.Request) { r.Header.Del("Authorization"); r.URL.RawQuery = "token=" + token },
	} {
		r := handshake(token)
		change(r)
		a.expect(name, r, RefusedNoToken)
	}
	for _, scheme := range []string{"Bearer", "bearer", "DPoP", "dpop"} {
		r := handshake(token)
		r.Header.Set("Authorization", scheme+" "+token)
		a.expect(scheme, r, "")
	}
	r := handshake(token)
	r.Header.Set("Authorization", "Bearer")
	a.expect("scheme alone", r, RefusedToken)
}

func TestBrowsersAreRefusedUnlessListed(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, func(o *VerifierOptions) { o.AllowedOrigins = []string{"https://App.example"} })
	for origins, code := range map[string]string{
		"https://app.example":              "",
		"https://APP.example":              "",
		"https://evil.example":             RefusedOrigin,
		"http://app.example":               RefusedOrigin,
		"https://app.example.evil.example": RefusedOrigin,
		"https://app.example:8443":         RefusedOrigin,
		"null":                             RefusedOrigin,
		"":                                 RefusedOrigin,
		"https://app.example|https://evil.example": RefusedOrigin,
	} {
		r := a.good()
		r.Header["Origin"] = strings.Split(origins, "|")
		a.expect(origins, r, code)
	}
	// Origin comes before the token: a browser learns nothing about tokens.
	r := handshake("garbage")
	r.Header.Set("Origin", "https://evil.example")
	a.expect("bad token too", r, RefusedOrigin)
}

func TestStolenBoundTokenIsOfNoUse(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, nil)
	token := a.token(nil)
	thief := ed25519Key()
	stolenWith := func(k *Key, change func(h, c map[string]any)) string {
		header := map[string]any{"typ": "dpop+jwt", "jwk": jwkMap(t, k.Public())}
		claims := map[string]any{
			"jti": "some-id", "htm": "GET", "htu": testURL, "ath": tokenHash(token), "aud": testTarget, "iat": testNow().Unix() + 1,
		}
		if change != nil {
			change(header, claims)
		}
		s, err := k.SignJWT(header, claims)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	good := a.proof(token, nil)
	for name, r := range map[string]*http.Request{
		"no proof":             handshake(token),
		"empty proof":          handshake(token, ""),
		"two proofs":           handshake(token, good, a.proof(token, nil)),
		"the same proof twice": handshake(token, good, good),
		"two in one header":    handshake(token, good+","+good),
		"token as proof":       handshake(token, token),
		"proof by another key": handshake(token, stolenWith(thief, nil)),
		"victim's jwk":         handshake(token, stolenWith(thief, func(h, _ map[string]any) { h["jwk"] = jwkMap(t, a.peer.Public()) })),
		"private key in jwk":   handshake(token, stolenWith(a.peer, func(h, _ map[string]any) { h["jwk"].(map[string]any)["d"] = "AAAA" })),
		"no jwk":               handshake(token, stolenWith(a.peer, func(h, _ map[string]any) { delete(h, "jwk") })),
		"e = 1": handshake(token, stolenWith(a.peer, func(h, _ map[string]any) {
			h["jwk"] = map[string]any{"kty": "RSA", "n": jwkMap(t, rsaKey().Public())["n"], "e": "AQ"}
		})),
		"RSA-1024": handshake(token, stolenWith(a.peer, func(h, _ map[string]any) {
			h["jwk"] = map[string]any{"kty": "RSA", "n": strings.Repeat("_", 170) + "8", "e": "AQAB"}
		})),
		"proof for a POST":       handshake(token, a.proof(token, func(p *ProofParams) { p.Method = "POST" })),
		"proof of another token": handshake(token, a.proof(a.token(nil), nil)),
		"proof for a registry":   handshake(token, a.proof("", nil)),
		"relayed, aud":           handshake(token, a.proof(token, func(p *ProofParams) { p.Audience = testAgent })),
		"relayed, htu":           handshake(token, a.proof(token, func(p *ProofParams) { p.URL = "wss://evil.example/ws" })),
		"other path":             handshake(token, a.proof(token, func(p *ProofParams) { p.URL = "wss://agent.example/other" })),
		"plain":                  handshake(token, a.proof(token, func(p *ProofParams) { p.URL = "ws://agent.example/ws" })),
		"old":                    handshake(token, a.proof(token, func(p *ProofParams) { p.Now = func() time.Time { return testNow().Add(-61 * time.Second) } })),
		"from the future":        handshake(token, a.proof(token, func(p *ProofParams) { p.Now = func() time.Time { return testNow().Add(6 * time.Second) } })),
	} {
		a.expect(name, r, RefusedProof)
	}
	r := handshake(token, good)
	r.Host = "evil.example"
	a.expect("whatever Host says, the public url counts", r, "")
	for name, p := range map[string]string{
		"crafted as the real one": stolenWith(a.peer, nil),
		"no aud":                  stolenWith(a.peer, func(_, c map[string]any) { delete(c, "aud"); c["jti"] = "other" }),
	} {
		a.expect(name, handshake(token, p), "")
	}
}

func TestProofIsGoodOnce(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, nil)
	r := a.good()
	a.expect("first", r, "")
	a.expect("second", r, RefusedProof)
	a.ck.add(59 * time.Second)
	a.expect("within its age", r, RefusedProof)
	a.ck.add(62 * time.Second)
	a.expect("after the store forgot it", r, RefusedProof)
	token := a.token(nil)
	a.expect("another proof", handshake(token, a.proof(token, nil)), "")
}

func TestOnlyOneOfManyEqualProofsGetsIn(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, nil)
	token := a.token(nil)
	proof := a.proof(token, nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	results := map[string]int{}
	for range 50 {
		wg.Go(func() {
			_, refusal := a.v.Verify(handshake(token, proof))
			mu.Lock()
			defer mu.Unlock()
			if refusal == nil {
				results["in"]++
			} else {
				results[refusal.Code]++
			}
		})
	}
	wg.Wait()
	if results["in"] != 1 || results[RefusedProof] != 49 {
		t.Errorf("%v", results)
	}
}

func TestProofIsNotGoodAgainAfterARestart(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, nil)
	r := a.good()
	a.expect("before", r, "")
	a.ck.add(time.Millisecond)
	v, err := NewVerifier(VerifierOptions{Client: a.v.o.Client, PublicURLs: []string{testURL}, Now: a.ck.now, Logger: a.v.o.Logger})
	if err != nil {
		t.Fatal(err)
	}
	a.v = v
	a.expect("after", r, RefusedProof)
	a.expect("a new one made at once", a.good(), "")
}

// lasting is a store that survives restarts: it has no Since.
type lasting struct{ ReplayStore }

func TestStoreThatSurvivesRestartsTakesOlderProofs(t *testing.T) {
	t.Parallel()
	ck := newClock()
	store := lasting{NewReplayMemory(0, ck.now)}
	a := newAcceptor(t, func(o *VerifierOptions) { o.Replay = store })
	token := a.token(nil)
	older := a.proof(token, func(p *ProofParams) { p.Now = func() time.Time { return testNow().Add(-30 * time.Second) } })
	a.expect("older than the store", handshake(token, older), "")
	a.expect("again", handshake(token, older), RefusedProof)
}

func TestFullReplayStoreRefusesForNow(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, nil)
	a.v.o.Replay = NewReplayMemory(1, a.ck.now)
	a.expect("first", a.good(), "")
	r := a.good()
	a.expect("full", r, RefusedReplayStore)
	_, refusal := a.v.Verify(r)
	if refusal.Status != 503 || refusal.RetryAfter <= 0 {
		t.Errorf("%+v", refusal)
	}
	a.expect("unbound tokens need no store", handshake(a.unbound(nil)), "")
	a.ck.add(121 * time.Second)
	a.expect("when the first is forgotten", a.good(), "")
}

func TestReplayMemoryForgetsAndStaysSmall(t *testing.T) {
	t.Parallel()
	ck := newClock()
	m := NewReplayMemory(10, ck.now)
	insert := func(key string, life time.Duration) (bool, error) {
		return m.Insert(t.Context(), key, ck.now().Add(life))
	}
	for i := range 10_000 {
		if fresh, err := insert(string(rune(i+1)), 5*time.Second); !fresh || err != nil {
			t.Fatalf("%d: %v, %v", i, fresh, err)
		}
		ck.add(time.Second)
	}
	if len(m.seen) > 10 || cap(m.order) > 64 {
		t.Errorf("%d keys, room for %d", len(m.seen), cap(m.order))
	}
	ck.add(time.Minute)
	if _, err := insert("long", time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := insert("short", time.Second); err != nil {
		t.Fatal(err)
	}
	ck.add(time.Minute)
	if fresh, err := insert("long", time.Hour); fresh || err != nil {
		t.Errorf("long: %v, %v", fresh, err)
	}
	for i := range 8 {
		if _, err := insert(string(rune('a'+i)), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := insert("one more", time.Hour); !errors.Is(err, ErrReplayStoreFull) {
		t.Errorf("err = %v", err)
	}
	if fresh, err := insert("long", time.Hour); fresh || err != nil {
		t.Errorf("a known key in a full store: %v, %v", fresh, err)
	}
}

func FuzzVerifierToken(f *testing.F) {
	a := newAcceptor(f, nil)
	f.Add(a.unbound(nil))
	f.Add(a.token(nil))
	f.Add("eyJhbGciOiJFZERTQSJ9.e30.AA")
	f.Fuzz(func(t *testing.T, token string) {
		peer, refusal := a.v.Verify(handshake(token))
		if refusal == nil && peer.AgentID != testAgent {
			t.Fatalf("let in %+v", peer)
		}
	})
}
