package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
)

// rsaKey is made once: generating one takes longer than all that is tested with it.
var rsaKey = sync.OnceValue(func() *Key { return mustKey(GenerateKey(KeyRSA, nil)) })

func mustKey(k *Key, err error) *Key {
	if err != nil {
		panic(err)
	}
	return k
}

func ed25519Key() *Key { return mustKey(GenerateKey(KeyEd25519, nil)) }

func p256Key() *Key {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return mustKey(newKey(k))
}

func allKeys() map[string]*Key {
	return map[string]*Key{"RS256": rsaKey(), "EdDSA": ed25519Key(), "ES256": p256Key()}
}

func pkcs8(t testing.TB, k any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestKeysSurviveEveryTextForm(t *testing.T) {
	t.Parallel()
	for alg, k := range allKeys() {
		if k.Alg() != alg {
			t.Errorf("alg = %s, want %s", k.Alg(), alg)
		}
		text, err := k.PrivatePEM()
		if err != nil {
			t.Fatal(err)
		}
		for name, form := range map[string]string{
			"pem": text, "one line": strings.ReplaceAll(text, "\n", " "), "crlf": strings.ReplaceAll(text, "\n", "\r\n"),
		} {
			back, err := ParsePrivateKey(form)
			if err != nil {
				t.Fatalf("%s %s: %v", alg, name, err)
			}
			if !back.Public().Equal(k.Public()) {
				t.Errorf("%s %s: another key came back", alg, name)
			}
		}
		pub := k.Public()
		if strings.ContainsAny(pub.HeaderValue(), "\r\n -") {
			t.Errorf("%s: header value is not one line of base64: %q", alg, pub.HeaderValue())
		}
		for name, form := range map[string]string{
			"pem": pub.PEM(), "header": pub.HeaderValue(), "one line": strings.ReplaceAll(pub.PEM(), "\n", " "),
			"quoted": `"` + pub.PEM() + `"`, "crlf": strings.ReplaceAll(pub.PEM(), "\n", "\r\n"),
		} {
			back, err := ParsePublicKey(form)
			if err != nil {
				t.Fatalf("%s %s: %v", alg, name, err)
			}
			if !back.Equal(pub) || back.Thumbprint() != pub.Thumbprint() {
				t.Errorf("%s %s: another key came back", alg, name)
			}
		}
		fromJWK := parseBack(t, pub)
		if !fromJWK.Equal(pub) {
			t.Errorf("%s: another key came back from its jwk", alg)
		}
	}
}

func parseBack(t *testing.T, pub *PublicKey) *PublicKey {
	t.Helper()
	text, err := json.Marshal(pub.JWK())
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	k, err := parseJWK(m)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The keys and thumbprints are the examples of RFC 7638 §3.1 and RFC 8037 appendix A.3.
func TestThumbprintsAreThoseOfTheStandards(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]map[string]any{
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": {"kty": "RSA", "e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"},
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
	} {
		k, err := parseJWK(m)
		if err != nil {
			t.Fatal(err)
		}
		if k.Thumbprint() != want {
			t.Errorf("thumbprint of %s = %s, want %s", m["kty"], k.Thumbprint(), want)
		}
	}
}

func TestWeakAndForeignKeysAreRefused(t *testing.T) {
	t.Parallel()
	n := rsaKey().Public().key.(*rsa.PublicKey).N
	spki := func(n *big.Int, e int) string {
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: e})
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384DER, err := x509.MarshalPKIXPublicKey(p384.Public())
	if err != nil {
		t.Fatal(err)
	}
	one := big.NewInt(1)
	huge := new(big.Int).Add(new(big.Int).Lsh(one, 8192), one)
	for name, text := range map[string]string{
		"rsa 1024":         spki(new(big.Int).SetBit(new(big.Int).Rsh(n, 1024), 0, 1), 65537),
		"rsa 8193":         spki(huge, 65537),
		"rsa e=1":          spki(n, 1),
		"rsa e=3":          spki(n, 3),
		"rsa even e":       spki(n, 65538),
		"rsa even n":       spki(new(big.Int).Lsh(n, 1), 65537),
		"p-384":            base64.StdEncoding.EncodeToString(p384DER),
		"empty":            "",
		"not base64":       "-----BEGIN PUBLIC KEY-----\n!!!\n-----END PUBLIC KEY-----",
		"no end":           "-----BEGIN PUBLIC KEY-----\n" + rsaKey().Public().HeaderValue(),
		"trailing bytes":   rsaKey().Public().HeaderValue() + "AAAA",
		"a private key":    mustPEM(t, rsaKey()),
		"longer than 16 K": strings.Repeat(" ", 16<<10) + rsaKey().Public().HeaderValue(),
	} {
		if _, err := ParsePublicKey(text); !errors.Is(err, ErrInvalidKey) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
	if _, err := ParsePrivateKey(pkcs8(t, p384)); !errors.Is(err, ErrInvalidKey) {
		t.Errorf("private p-384: err = %v", err)
	}
	if _, err := ParsePrivateKey(rsaKey().Public().PEM()); !errors.Is(err, ErrInvalidKey) {
		t.Errorf("public as private: err = %v", err)
	}
	if _, err := GenerateKey(KeyP256, nil); !errors.Is(err, ErrInvalidKey) {
		t.Errorf("generate P-256: err = %v", err)
	}
}

func mustPEM(t testing.TB, k *Key) string {
	t.Helper()
	s, err := k.PrivatePEM()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Shows for each listed point that it is what the list says: a signature with
// S = 0 and R = 0 verifies for one message in eight at least.
func TestEd25519PointsOfSmallOrderAreRefused(t *testing.T) {
	t.Parallel()
	forged := make([]byte, ed25519.SignatureSize)
	forged[0] = 1 // R is the neutral element
	for _, y := range smallOrderPoints() {
		for _, sign := range []byte{0, 0x80} {
			point := ed25519.PublicKey(y[:])
			point[31] |= sign
			works := false
			for i := 0; i < 500 && !works; i++ {
				works = ed25519.Verify(point, []byte{byte(i), byte(i >> 8)}, forged)
			}
			// Not every point has an encoding with the sign bit set.
			if sign == 0 && !works {
				t.Errorf("%x is no point of small order", point)
			}
			if _, err := newPublicKey(point); !errors.Is(err, ErrInvalidKey) {
				t.Errorf("%x: err = %v", point, err)
			}
		}
	}
}

func TestPrivatePartsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	for alg, k := range allKeys() {
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "in", struct{ K *Key }{k})
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "in", struct{ K *Key }{k})
		var secrets []string
		switch s := k.signer.(type) {
		case *rsa.PrivateKey:
			secrets = []string{s.D.String(), s.Primes[0].String(), s.D.Text(16)}
		case *ecdsa.PrivateKey:
			raw, err := s.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			secrets = []string{new(big.Int).SetBytes(raw).String(), fmt.Sprintf("%x", raw), fmt.Sprint(raw)}
		case ed25519.PrivateKey:
			secrets = []string{fmt.Sprintf("%x", []byte(s.Seed())), strings.Trim(fmt.Sprint([]byte(s.Seed())), "[]")}
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
			out := fmt.Sprintf(verb, k) + fmt.Sprintf(verb, []*Key{k}) + log.String()
			for _, s := range secrets {
				if strings.Contains(out, s) {
					t.Errorf("%s %s shows the private part", alg, verb)
				}
			}
			if !strings.Contains(out, k.Thumbprint()) {
				t.Errorf("%s %s does not show the thumbprint: %s", alg, verb, out)
			}
		}
	}
}

func FuzzParsePublicKey(f *testing.F) {
	for _, k := range allKeys() {
		f.Add(k.Public().PEM())
		f.Add(k.Public().HeaderValue())
	}
	f.Add("-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParsePublicKey(text)
		if err != nil {
			if !errors.Is(err, ErrInvalidKey) {
				t.Fatalf("error without its code: %v", err)
			}
			return
		}
		for _, form := range []string{k.PEM(), k.HeaderValue()} {
			back, err := ParsePublicKey(form)
			if err != nil || !back.Equal(k) {
				t.Fatalf("%q does not come back: %v", form, err)
			}
		}
	})
}
