// Package identity proves who an agent is and finds out who a peer is: keys,
// proofs of possession (RFC 9449), interaction tokens from the identity
// registry, and the check of both before a channel is opened.
//
// An agent has Credentials, from its environment or a .env file. A Client
// talks to the identity registry with them and makes the headers of an
// outgoing handshake. A Verifier checks those of an incoming one. Nothing here
// opens a WebSocket.
package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// KeyType names a kind of key.
type KeyType string

// The kinds of key. KeyRSA is what the Python SDK can use; KeyEd25519 is what
// Pando makes for itself; KeyP256 can be parsed but is not generated.
const (
	KeyRSA     KeyType = "RSA"
	KeyEd25519 KeyType = "Ed25519"
	KeyP256    KeyType = "P-256"
)

const (
	minRSABits = 2048
	maxRSABits = 8192 // verification costs the square of the size
	maxKeyText = 16 << 10
)

// Key is an agent's private key. It is immutable and safe for concurrent use.
// It prints as its kind and thumbprint only.
type Key struct {
	signer crypto.Signer
	public *PublicKey
}

// PublicKey is the public half of a Key, or a peer's. It is immutable and safe
// for concurrent use.
type PublicKey struct {
	key crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	der []byte           // SubjectPublicKeyInfo as encoded by us, whatever the input looked like
}

// GenerateKey makes a new key: RSA with 2048 bits and e = 65537, or Ed25519.
// random is where an Ed25519 seed is read from, nil means crypto/rand; RSA keys
// always come from the system's source.
func GenerateKey(kind KeyType, random io.Reader) (*Key, error) {
	switch kind {
	case KeyRSA:
		k, err := rsa.GenerateKey(rand.Reader, minRSABits)
		if err != nil {
			return nil, fail(ErrInvalidKey, "generate key", "%w", err)
		}
		return newKey(k)
	case KeyEd25519:
		if random == nil {
			random = rand.Reader
		}
		seed := make([]byte, ed25519.SeedSize)
		if _, err := io.ReadFull(random, seed); err != nil {
			return nil, fail(ErrInvalidKey, "generate key", "read randomness: %w", err)
		}
		return newKey(ed25519.NewKeyFromSeed(seed))
	default:
		return nil, fail(ErrInvalidKey, "generate key", "cannot generate keys of kind %q", kind)
	}
}

// ParsePrivateKey reads an unencrypted PKCS#8 private key in PEM form, with
// line breaks or with blanks in their place: RSA from 2048 to 8192 bits,
// Ed25519 or ECDSA P-256. The error is ErrInvalidKey and never quotes the text.
func ParsePrivateKey(text string) (*Key, error) {
	const op = "parse private key"
	der, err := decodeKeyText(text, "PRIVATE KEY")
	if err != nil {
		return nil, fail(ErrInvalidKey, op, "%w", err)
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		// The parser's own text may hold values of the key.
		return nil, fail(ErrInvalidKey, op, "not a valid PKCS#8 key")
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, fail(ErrInvalidKey, op, "keys of type %T are not accepted", k)
	}
	if r, ok := k.(*rsa.PrivateKey); ok && len(r.Primes) != 2 {
		return nil, fail(ErrInvalidKey, op, "RSA keys of more than two primes are not accepted")
	}
	return newKey(signer)
}

// ParsePublicKey reads a SubjectPublicKeyInfo in any form that is seen on the
// wire: PEM, PEM on one line with blanks for line breaks, or base64 of the DER
// alone as in the dpop-public-key header. The limits are those of
// ParsePrivateKey; keys with which anybody could sign are refused as well.
func ParsePublicKey(text string) (*PublicKey, error) {
	const op = "parse public key"
	der, err := decodeKeyText(text, "PUBLIC KEY")
	if err != nil {
		return nil, fail(ErrInvalidKey, op, "%w", err)
	}
	k, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fail(ErrInvalidKey, op, "%w", err)
	}
	return newPublicKey(k)
}

func decodeKeyText(text, label string) ([]byte, error) {
	if len(text) > maxKeyText {
		return nil, fmt.Errorf("longer than %d bytes", maxKeyText)
	}
	text = strings.Trim(text, " \t\r\n\"'")
	if rest, ok := strings.CutPrefix(text, "-----BEGIN "+label+"-----"); ok {
		if rest, ok = strings.CutSuffix(rest, "-----END "+label+"-----"); !ok {
			return nil, fmt.Errorf("the end line of %s is missing", label)
		}
		text = rest
	}
	text = strings.Join(strings.Fields(text), "")
	if text == "" {
		return nil, fmt.Errorf("empty")
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("neither PEM of type %s nor base64", label)
	}
	return der, nil
}

func newKey(signer crypto.Signer) (*Key, error) {
	public, err := newPublicKey(signer.Public())
	if err != nil {
		return nil, err
	}
	return &Key{signer: signer, public: public}, nil
}

func newPublicKey(k crypto.PublicKey) (*PublicKey, error) {
	const op = "check key"
	switch k := k.(type) {
	case *rsa.PublicKey:
		if err := checkRSA(k.N, k.E); err != nil {
			return nil, fail(ErrInvalidKey, op, "%w", err)
		}
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return nil, fail(ErrInvalidKey, op, "the curve %s is not accepted, only P-256", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
		if isSmallOrder(k) {
			return nil, fail(ErrInvalidKey, op, "a point of small order: anybody can sign for it")
		}
	default:
		return nil, fail(ErrInvalidKey, op, "keys of type %T are not accepted", k)
	}
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil, fail(ErrInvalidKey, op, "%w", err)
	}
	return &PublicKey{key: k, der: der}, nil
}

func checkRSA(n *big.Int, e int) error {
	if bits := n.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("RSA of %d bits, need %d to %d", bits, minRSABits, maxRSABits)
	}
	if n.Bit(0) == 0 {
		return fmt.Errorf("the RSA modulus is even")
	}
	// With e = 1 a signature is the message itself; small exponents have a history of forgeries.
	if e < 65537 || e%2 == 0 {
		return fmt.Errorf("the RSA exponent is not an odd number from 65537")
	}
	return nil
}

// isSmallOrder reports whether an Ed25519 public key is one of the points of
// order 1, 2, 4 or 8, in any encoding. They are public knowledge, and
// signatures that verify under them can be made without any secret.
func isSmallOrder(k ed25519.PublicKey) bool {
	if len(k) != ed25519.PublicKeySize {
		return true
	}
	y := bytes.Clone(k)
	y[31] &= 0x7f // the sign of x
	for _, low := range smallOrderPoints() {
		if bytes.Equal(y, low[:]) {
			return true
		}
	}
	return false
}

// smallOrderPoints returns the y coordinates of these points, little-endian,
// and the two that can also be written as y + p.
func smallOrderPoints() [][32]byte {
	minusOne := [32]byte{31: 0x7f} // p - 1
	for i := range 31 {
		minusOne[i] = 0xff
	}
	zeroPlusP, onePlusP := minusOne, minusOne
	minusOne[0], zeroPlusP[0], onePlusP[0] = 0xec, 0xed, 0xee
	return [][32]byte{
		{}, {1}, minusOne, zeroPlusP, onePlusP,
		{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
			0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
		{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
			0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
	}
}

// Public returns the public half.
func (k *Key) Public() *PublicKey { return k.public }

// Alg is the JWS algorithm of the key: RS256, ES256 or EdDSA.
func (k *Key) Alg() string { return k.public.Alg() }

// Thumbprint is that of the public half.
func (k *Key) Thumbprint() string { return k.public.Thumbprint() }

// PrivatePEM returns the key as PKCS#8 PEM with a trailing newline. It is the
// only way the private part leaves a Key: the result must not be logged.
func (k *Key) PrivatePEM() (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return "", fail(ErrInvalidKey, "encode private key", "%w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// SignJWT returns claims as a compact JWS with the key's alg in its header.
// header holds further header members and may be nil.
func (k *Key) SignJWT(header, claims map[string]any) (string, error) {
	t := jwt.NewWithClaims(k.public.method(), jwt.MapClaims(claims))
	for name, v := range header {
		t.Header[name] = v
	}
	t.Header["alg"] = k.Alg()
	s, err := t.SignedString(k.signer)
	if err != nil {
		return "", fail(ErrInvalidKey, "sign", "%w", err)
	}
	return s, nil
}

// String names the key without its private part.
func (k *Key) String() string {
	if k == nil {
		return "no key"
	}
	return "private " + k.public.String()
}

// Format writes String whatever the verb, so that no verb shows the private part.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Type returns the kind of the key.
func (p *PublicKey) Type() KeyType {
	switch p.key.(type) {
	case *rsa.PublicKey:
		return KeyRSA
	case *ecdsa.PublicKey:
		return KeyP256
	default:
		return KeyEd25519
	}
}

func (p *PublicKey) method() jwt.SigningMethod {
	switch p.Type() {
	case KeyRSA:
		return jwt.SigningMethodRS256
	case KeyP256:
		return jwt.SigningMethodES256
	default:
		return jwt.SigningMethodEdDSA
	}
}

// Alg is the JWS algorithm that signatures by this key have: RS256, ES256 or EdDSA.
func (p *PublicKey) Alg() string { return p.method().Alg() }

// Crypto returns the key as an *rsa.PublicKey, *ecdsa.PublicKey or
// ed25519.PublicKey, to be handed to a JWT parser. It must not be changed.
func (p *PublicKey) Crypto() crypto.PublicKey { return p.key }

// PEM returns the key as SubjectPublicKeyInfo PEM with a trailing newline.
func (p *PublicKey) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.der}))
}

// HeaderValue returns the key as the dpop-public-key header holds it: base64 of the DER on one line.
func (p *PublicKey) HeaderValue() string { return base64.StdEncoding.EncodeToString(p.der) }

// Equal reports whether both are the same key, however they were written. It is false if either is nil.
func (p *PublicKey) Equal(other *PublicKey) bool {
	return p != nil && other != nil && bytes.Equal(p.der, other.der)
}

// String names the key by kind and thumbprint.
func (p *PublicKey) String() string {
	if p == nil {
		return "no key"
	}
	return string(p.Type()) + " key " + p.Thumbprint()
}

// LogValue is String.
func (p *PublicKey) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Thumbprint is the RFC 7638 SHA-256 thumbprint, base64url without padding.
func (p *PublicKey) Thumbprint() string {
	sum := sha256.Sum256([]byte(p.JWK().canonical()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
