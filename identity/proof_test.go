package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const (
	testTarget = "22222222-2222-4222-8222-222222222222"
	testToken  = "aaaa.bbbb.cccc"
	testURL    = "https://agent.example/ws"
)

func testNow() time.Time { return time.Date(2026, 3, 1, 9, 30, 0, 123e6, time.UTC) }

func handshakeCheck(k *Key) ProofCheck {
	return ProofCheck{
		Method: "GET", URLs: []string{"wss://agent.example/ws"}, Token: testToken, Thumbprint: k.Thumbprint(),
		Audience: testTarget, MaxAge: time.Minute, Now: testNow,
	}
}

// claimsOf reads a compact JWS without checking it.
func claimsOf(t testing.TB, compact string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(compact, ".")
	for i, m := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, m); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func TestHandshakeProofHoldsWhatTheAcceptorChecks(t *testing.T) {
	t.Parallel()
	for alg, k := range allKeys() {
		compact, err := k.Proof(ProofParams{
			Method: "GET", URL: "wss://Agent.Example:443/ws?x=1#f", Token: testToken, Audience: testTarget, Now: testNow,
		})
		if err != nil {
			t.Fatal(err)
		}
		header, claims := claimsOf(t, compact)
		if header["typ"] != "dpop+jwt" || header["alg"] != alg {
			t.Errorf("header = %v", header)
		}
		if claims["htu"] != testURL || claims["htm"] != "GET" || claims["aud"] != testTarget || len(claims["jti"].(string)) != 22 {
			t.Errorf("claims = %v", claims)
		}
		if _, found := claims["nonce"]; found {
			t.Error("a handshake proof has a nonce")
		}
		p, err := VerifyProof(compact, handshakeCheck(k))
		if err != nil {
			t.Fatal(err)
		}
		if p.JTI != claims["jti"] || p.JKT != k.Thumbprint() || !p.Key.Equal(k.Public()) || !p.IssuedAt.Equal(testNow()) {
			t.Errorf("proof = %+v", p)
		}
	}
}

func TestRegistryProofIsThatOfThePythonSDK(t *testing.T) {
	t.Parallel()
	compact, err := rsaKey().Proof(ProofParams{
		Method: "POST", URL: "https://registry.example/base/tokens/create", Nonce: strings.Repeat("n", 52), Now: testNow,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(compact) > 2048 {
		t.Errorf("%d characters, the Python registry takes 2048", len(compact))
	}
	header, claims := claimsOf(t, compact)
	jwk := header["jwk"].(map[string]any)
	if jwk["kty"] != "RSA" || jwk["use"] != "sig" || jwk["alg"] != "RS256" || jwk["e"] != "AQAB" || len(jwk) != 5 {
		t.Errorf("jwk = %v", jwk)
	}
	if id, err := uuid.Parse(claims["jti"].(string)); err != nil || id.Version() != 4 {
		t.Errorf("jti = %v", claims["jti"])
	}
	iat := float64(testNow().Unix())
	if claims["iat"] != iat || claims["exp"] != iat+300 || claims["nonce"] != strings.Repeat("n", 52) {
		t.Errorf("claims = %v", claims)
	}
	p, err := VerifyProof(compact, ProofCheck{
		Method: "POST", URLs: []string{"https://registry.example/base/tokens/create"}, Key: rsaKey().Public(), Now: testNow,
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.Nonce != strings.Repeat("n", 52) {
		t.Errorf("nonce = %q", p.Nonce)
	}
}

// craft signs a handshake proof after change has had its way with it.
func craft(t testing.TB, k *Key, change func(header, claims map[string]any)) string {
	t.Helper()
	header := map[string]any{"typ": "dpop+jwt", "jwk": jwkMap(t, k.Public())}
	claims := map[string]any{
		"jti": "0123456789abcdef012345", "htm": "GET", "htu": testURL, "iat": testNow().Unix(),
		"ath": tokenHash(testToken), "aud": testTarget,
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

func jwkMap(t testing.TB, pub *PublicKey) map[string]any {
	t.Helper()
	raw, err := json.Marshal(pub.JWK())
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestProofVariantsAreRefused(t *testing.T) {
	t.Parallel()
	k, other := ed25519Key(), ed25519Key()
	now := testNow().Unix()
	set := func(name string, v any) func(h, c map[string]any) {
		return func(_, c map[string]any) { c[name] = v }
	}
	unset := func(name string) func(h, c map[string]any) {
		return func(_, c map[string]any) { delete(c, name) }
	}
	jwk := func(name string, v any) func(h, c map[string]any) {
		return func(h, _ map[string]any) {
			m := maps.Clone(h["jwk"].(map[string]any))
			m[name] = v
			h["jwk"] = m
		}
	}
	for name, change := range map[string]func(h, c map[string]any){
		"typ JWT":              func(h, _ map[string]any) { h["typ"] = "JWT" },
		"typ in capitals":      func(h, _ map[string]any) { h["typ"] = "DPOP+JWT" },
		"no typ":               func(h, _ map[string]any) { delete(h, "typ") },
		"crit":                 func(h, _ map[string]any) { h["crit"] = []string{"x"} },
		"no jwk":               func(h, _ map[string]any) { delete(h, "jwk") },
		"jwk text":             func(h, _ map[string]any) { h["jwk"] = "x" },
		"jwk with d":           jwk("d", "AAAA"),
		"jwk with k":           jwk("k", "AAAA"),
		"jwk with empty d":     jwk("d", nil),
		"jwk with another alg": jwk("alg", "RS256"),
		"jwk of another key":   func(h, _ map[string]any) { h["jwk"] = jwkMap(t, other.Public()) },
		"htm POST":             set("htm", "POST"),
		"htm get":              set("htm", "get"),
		"htm missing":          unset("htm"),
		"htm list":             set("htm", []string{"GET"}),
		"htu other path":       set("htu", "https://agent.example/other"),
		"htu longer path":      set("htu", "https://agent.example/ws/"),
		"htu other host":       set("htu", "https://evil.example/ws"),
		"htu plain":            set("htu", "http://agent.example/ws"),
		"htu other port":       set("htu", "https://agent.example:8443/ws"),
		"htu two ports":        set("htu", "https://agent.example:443:8443/ws"),
		"htu user":             set("htu", "https://agent.example@evil.example/ws"),
		"htu relative":         set("htu", "/ws"),
		"htu missing":          unset("htu"),
		"htu number":           set("htu", 7),
		"ath other":            set("ath", tokenHash("other")),
		"ath hex":              set("ath", strings.Repeat("ab", 32)),
		"ath missing":          unset("ath"),
		"aud other":            set("aud", "33333333-3333-4333-8333-333333333333"),
		"aud several":          set("aud", []string{testTarget, "33333333-3333-4333-8333-333333333333"}),
		"aud empty":            set("aud", ""),
		"aud object":           set("aud", map[string]any{"a": testTarget}),
		"iat 61 s old":         set("iat", now-61),
		"iat 6 s ahead":        set("iat", now+6),
		"iat missing":          unset("iat"),
		"iat text":             set("iat", "now"),
		"iat huge":             set("iat", 1e300),
		"iat negative":         set("iat", -1),
		"exp past":             set("exp", now-6),
		"exp text":             set("exp", "x"),
		"jti missing":          unset("jti"),
		"jti empty":            set("jti", ""),
		"jti number":           set("jti", 5),
		"jti long":             set("jti", strings.Repeat("j", 257)),
		"nonce of 15":          set("nonce", strings.Repeat("n", 15)),
		"nonce number":         set("nonce", 1234567890123456),
	} {
		if _, err := VerifyProof(craft(t, k, change), handshakeCheck(k)); !errors.Is(err, ErrInvalidProof) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
	for name, change := range map[string]func(h, c map[string]any){
		"unchanged":       nil,
		"59 s old":        set("iat", now-59),
		"5 s ahead":       set("iat", now+5),
		"fraction":        set("iat", float64(now)+0.5),
		"no aud":          unset("aud"),
		"aud list of one": set("aud", []string{testTarget}),
		"htu as ws":       set("htu", "wss://AGENT.example:443/a/../ws?x=1"),
		"exp 5 s ago":     set("exp", now-4),
		"nonce of 16":     set("nonce", strings.Repeat("n", 16)),
	} {
		if _, err := VerifyProof(craft(t, k, change), handshakeCheck(k)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProofWithABadSignatureOrFormIsRefused(t *testing.T) {
	t.Parallel()
	k, other := rsaKey(), ed25519Key()
	good := craft(t, k, nil)
	parts := strings.Split(good, ".")
	foreign := strings.Split(craft(t, other, func(h, c map[string]any) { h["jwk"], c["extra"] = jwkMap(t, k.Public()), 1 }), ".")
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	hmac := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"htm": "GET", "htu": testURL, "jti": "j", "iat": testNow().Unix()})
	hmac.Header["typ"], hmac.Header["jwk"] = "dpop+jwt", jwkMap(t, k.Public())
	hs256, err := hmac.SignedString([]byte(k.Public().PEM()))
	if err != nil {
		t.Fatal(err)
	}
	for name, compact := range map[string]string{
		"empty":                  "",
		"signature cut":          good[:len(good)-4],
		"no signature":           parts[0] + "." + parts[1] + ".",
		"signature of another":   parts[0] + "." + parts[1] + "." + foreign[2],
		"another key's":          strings.Join(foreign, "."),
		"claims of another":      parts[0] + "." + foreign[1] + "." + parts[2],
		"four parts":             good + ".x",
		"line break":             good[:50] + "\n" + good[50:],
		"two proofs":             good + ", " + good,
		"padding":                good + "=",
		"alg none":               none,
		"HS256 with public key":  hs256,
		"longer than the limit":  craft(t, k, func(_, c map[string]any) { c["pad"] = strings.Repeat("x", 6000) }),
		"header not JSON":        "AAAA." + parts[1] + "." + parts[2],
		"claims an array":        parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte("[]")) + "." + parts[2],
		"loose signature bits":   loosen(good),
		"alg of another key":     strings.Replace(good, parts[0], foreign[0], 1),
		"signed by another kind": craft(t, other, nil),
	} {
		if _, err := VerifyProof(compact, handshakeCheck(k)); !errors.Is(err, ErrInvalidProof) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
	if _, err := VerifyProof(good, ProofCheck{Method: "GET", URLs: []string{testURL}, Token: testToken, Now: testNow}); !errors.Is(err, ErrInvalidProof) {
		t.Errorf("without an expected key: err = %v", err)
	}
	if _, err := VerifyProof(good, handshakeCheck(k)); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// loosen sets bits of the last character that carry no data: RSA-2048
// signatures have 256 bytes, so the last character holds four of six.
func loosen(compact string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, compact[len(compact)-1])
	return compact[:len(compact)-1] + alphabet[i|1:i|1+1]
}

func TestExpectedKeyNeedsNoJWKButMustBeTheSigner(t *testing.T) {
	t.Parallel()
	k, other := ed25519Key(), ed25519Key()
	check := handshakeCheck(k)
	check.Thumbprint, check.Key = "", k.Public()
	noJWK := func(h, _ map[string]any) { delete(h, "jwk") }
	if _, err := VerifyProof(craft(t, k, noJWK), check); err != nil {
		t.Errorf("without jwk: %v", err)
	}
	for name, compact := range map[string]string{
		"other key, its jwk": craft(t, other, nil),
		"other key, no jwk":  craft(t, other, noJWK),
	} {
		if _, err := VerifyProof(compact, check); !errors.Is(err, ErrInvalidProof) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
}

func TestURLsAreComparedNormalised(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://H.example":                       "https://h.example/",
		"HTTPS://h.example:443/":                  "https://h.example/",
		"https://h.example:/":                     "https://h.example/",
		"https://h.example:8443:8443/tokens/x":    "https://h.example:8443/tokens/x",
		"https://h.example:8443:8443":             "https://h.example:8443/",
		"http://h.example:80/a":                   "http://h.example/a",
		"https://h.example:80/a":                  "https://h.example:80/a",
		"http://h.example:443/a":                  "http://h.example:443/a",
		"ws://127.0.0.1:9000/ws":                  "http://127.0.0.1:9000/ws",
		"wss://[2001:DB8:0:0::1]:443/ws":          "https://[2001:db8::1]/ws",
		"wss://[::1]:9000:9000/ws":                "https://[::1]:9000/ws",
		"https://h.example/a?b=2&a=1#f":           "https://h.example/a",
		"https://h.example?b=2":                   "https://h.example/",
		"https://h.example/%7euser/%2Fx/%e4":      "https://h.example/~user/%2Fx/%E4",
		"https://h.example/a/./b/../c":            "https://h.example/a/c",
		"https://h.example/../../a/.":             "https://h.example/a/",
		"https://h.example/a/%2e%2e/b":            "https://h.example/b",
		"https://h.example//a//b":                 "https://h.example//a//b",
		"https://h.example:0443/":                 "https://h.example/",
		"https://xn--bcher-kva.example/B%C3%BCch": "https://xn--bcher-kva.example/B%C3%BCch",
	} {
		got, err := normalizeURL(raw)
		if err != nil || got != want {
			t.Errorf("%s = %s, %v, want %s", raw, got, err, want)
		}
		if again, err := normalizeURL(got); err != nil || again != got {
			t.Errorf("%s is not stable: %s, %v", got, again, err)
		}
	}
	for _, raw := range []string{
		"", "/ws", "wss://::", "h.example/ws", "ftp://h.example/", "https:///x", "https://", "https://u@h.example/", "https://h.example:1:2/",
		"https://h.example:8443:8443:8443/", "https://h.example:99999/", "https://h.example:0/", "https://[::1%25eth0]/",
		"https://[127.0.0.1]/", "https://h%2eexample/", "https://h.example:x/", "https:h.example", "https://" + strings.Repeat("h", 4096),
	} {
		if got, err := normalizeURL(raw); err == nil {
			t.Errorf("%q was taken, as %s", raw, got)
		}
	}
}

func FuzzVerifyProof(f *testing.F) {
	k := mustKey(GenerateKey(KeyEd25519, strings.NewReader(strings.Repeat("s", 32))))
	f.Add(craft(f, k, nil))
	f.Add(craft(f, k, func(_, c map[string]any) { c["aud"] = []any{nil} }))
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, compact string) {
		p, err := VerifyProof(compact, handshakeCheck(k))
		if err == nil && p.JKT != k.Thumbprint() {
			t.Fatal("taken with another key")
		}
		if err != nil && !errors.Is(err, ErrInvalidProof) {
			t.Fatalf("error without its code: %v", err)
		}
	})
}

func FuzzNormalizeURL(f *testing.F) {
	f.Add("https://h.example:8443:8443/a/../%7e?x#y")
	f.Add("wss://[::1]:9000:9000/ws")
	f.Add("http://h/" + strings.Repeat("\xbc", 3000))
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := normalizeURL(raw)
		if err != nil {
			return
		}
		if again, err := normalizeURL(got); err != nil || again != got {
			t.Fatalf("%q became %q, then %q, %v", raw, got, again, err)
		}
	})
}
