package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
)

// JWK is a public key as JSON (RFC 7517). It has no private members.
type JWK struct {
	Kty string `json:"kty"`
	Kid string `json:"kid,omitempty"`
	Use string `json:"use,omitempty"`
	Alg string `json:"alg,omitempty"`
	Crv string `json:"crv,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

// JWK returns the key with use and alg set and no kid.
func (p *PublicKey) JWK() JWK {
	j := JWK{Use: "sig", Alg: p.Alg()}
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := p.key.(type) {
	case *rsa.PublicKey:
		j.Kty, j.N, j.E = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		// 4 ‖ X ‖ Y, which P-256 keys that passed newPublicKey always have.
		point, _ := k.Bytes()
		j.Kty, j.Crv, j.X, j.Y = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case ed25519.PublicKey:
		j.Kty, j.Crv, j.X = "OKP", "Ed25519", b64(k)
	}
	return j
}

// canonical is the input of the thumbprint: the required members, sorted, without blanks (RFC 7638 §3.2, RFC 8037 §2).
func (j JWK) canonical() string {
	switch j.Kty {
	case "RSA":
		return fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, j.E, j.N)
	case "EC":
		return fmt.Sprintf(`{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, j.Crv, j.X, j.Y)
	default:
		return fmt.Sprintf(`{"crv":"%s","kty":"%s","x":"%s"}`, j.Crv, j.Kty, j.X)
	}
}

// parseJWK reads a decoded JWK. It works on the map and not on a struct so
// that names are compared exactly and members that must not be there are seen.
func parseJWK(v any) (*PublicKey, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fail(ErrInvalidKey, "parse jwk", "missing or not an object")
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, found := m[private]; found {
			return nil, fail(ErrInvalidKey, "parse jwk", "holds the private member %q", private)
		}
	}
	key, err := keyFromJWK(m)
	if err != nil {
		return nil, err
	}
	if alg, found := m["alg"]; found && alg != key.Alg() {
		return nil, fail(ErrInvalidKey, "parse jwk", "its alg does not fit its kind")
	}
	return key, nil
}

func keyFromJWK(m map[string]any) (*PublicKey, error) {
	const op = "parse jwk"
	switch {
	case m["kty"] == "RSA":
		n, err1 := jwkBytes(m, "n", maxRSABits/8+1)
		e, err2 := jwkBytes(m, "e", 4)
		if err1 != nil || err2 != nil {
			return nil, fail(ErrInvalidKey, op, "bad RSA members")
		}
		exponent := new(big.Int).SetBytes(e).Int64()
		if exponent > 1<<31-1 {
			return nil, fail(ErrInvalidKey, op, "RSA exponent too large")
		}
		return newPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent)})
	case m["kty"] == "EC" && m["crv"] == "P-256":
		x, err1 := jwkBytes(m, "x", 32)
		y, err2 := jwkBytes(m, "y", 32)
		if err1 != nil || err2 != nil || len(x) != 32 || len(y) != 32 {
			return nil, fail(ErrInvalidKey, op, "bad EC members")
		}
		k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err != nil {
			return nil, fail(ErrInvalidKey, op, "not a point on P-256")
		}
		return newPublicKey(k)
	case m["kty"] == "OKP" && m["crv"] == "Ed25519":
		x, err := jwkBytes(m, "x", ed25519.PublicKeySize)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, fail(ErrInvalidKey, op, "bad OKP members")
		}
		return newPublicKey(ed25519.PublicKey(x))
	default:
		return nil, fail(ErrInvalidKey, op, "kind of key not accepted")
	}
}

func jwkBytes(m map[string]any, name string, limit int) ([]byte, error) {
	s, ok := m[name].(string)
	if !ok || s == "" || len(s) > 2*limit+4 {
		return nil, fmt.Errorf("missing or of a wrong length")
	}
	// Some writers keep the padding that RFC 7515 drops.
	b, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(s, "="))
	if err != nil || len(b) > limit || strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("not base64url of at most %d bytes", limit)
	}
	return b, nil
}
