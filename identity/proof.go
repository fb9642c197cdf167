package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const (
	proofType       = "dpop+jwt"
	proofLifetime   = 300 * time.Second
	proofLeeway     = 5 * time.Second
	defaultProofLen = 8 << 10
	minNonce        = 16
	maxProofID      = 256
)

// ProofParams says what a proof of possession is for.
type ProofParams struct {
	Method string // HTTP method, upper case
	URL    string // http, https, ws or wss; normalised by Proof
	// Token makes it a handshake proof: its hash becomes ath, and jti is 128
	// random bits. Without Token it is one for the identity registry, in the
	// form of the Python SDK: jti is a UUIDv4 and exp is iat + 300 s.
	Token    string
	Audience string           // aud, left out if empty
	Nonce    string           // nonce, at least 16 characters, left out if empty
	Now      func() time.Time // default time.Now
	Random   io.Reader        // default crypto/rand
}

// Proof returns a signed proof of possession of the key (RFC 9449 §4.2).
func (k *Key) Proof(p ProofParams) (string, error) {
	const op = "make proof"
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Random == nil {
		p.Random = rand.Reader
	}
	htu, err := normalizeURL(p.URL)
	if err != nil {
		return "", fail(ErrInvalidProof, op, "%w", err)
	}
	id, err := uuid.NewRandomFromReader(p.Random)
	if err != nil {
		return "", fail(ErrInvalidProof, op, "read randomness: %w", err)
	}
	now := p.Now()
	claims := map[string]any{"htm": p.Method, "htu": htu}
	if p.Token == "" {
		claims["jti"] = id.String()
		claims["iat"] = now.Unix()
		claims["exp"] = now.Add(proofLifetime).Unix()
	} else {
		var raw [16]byte
		if _, err := io.ReadFull(p.Random, raw[:]); err != nil {
			return "", fail(ErrInvalidProof, op, "read randomness: %w", err)
		}
		claims["jti"] = base64.RawURLEncoding.EncodeToString(raw[:])
		// An acceptor refuses what is older than its own start: whole seconds
		// would look older for up to a second.
		ms := now.UnixMilli()
		claims["iat"] = json.Number(fmt.Sprintf("%d.%03d", ms/1000, ms%1000))
		claims["ath"] = tokenHash(p.Token)
	}
	if p.Audience != "" {
		claims["aud"] = p.Audience
	}
	if p.Nonce != "" {
		claims["nonce"] = p.Nonce
	}
	return k.SignJWT(map[string]any{"typ": proofType, "jwk": k.public.JWK()}, claims)
}

// ProofCheck says what a proof must be about. One of Key and Thumbprint has to
// be set: a proof by any key proves nothing.
type ProofCheck struct {
	Method     string           // htm must be this, exactly
	URLs       []string         // htu must be one of these, after normalisation
	Token      string           // if set, ath must be its hash
	Key        *PublicKey       // if set, the key that must have signed; a jwk in the header is then optional, but must be this key
	Thumbprint string           // if set, the RFC 7638 thumbprint of the key that must have signed
	Audience   string           // if set, a present aud must be exactly this
	MaxAge     time.Duration    // how old iat may be, default 300 s
	Leeway     time.Duration    // how far iat may be ahead, and exp behind, default 5 s
	MaxLen     int              // bytes, default 8192
	Now        func() time.Time // default time.Now
}

// Proof is a proof that was verified. That it was not used before is for the
// caller to find out: see ReplayStore.
type Proof struct {
	JTI      string
	Nonce    string // empty if the proof has none, else at least 16 characters
	IssuedAt time.Time
	JKT      string // RFC 7638 thumbprint of Key
	Key      *PublicKey
}

// VerifyProof checks a proof of possession (RFC 9449 §4.3, except 10 and 12):
// type, algorithm, key, one signature, method, URL, token hash, audience and
// age. The error is ErrInvalidProof and says which check failed, for the log.
func VerifyProof(compact string, want ProofCheck) (*Proof, error) {
	p, err := verifyProof(compact, want)
	if err != nil {
		return nil, fail(ErrInvalidProof, "verify proof", "%w", err)
	}
	return p, nil
}

func verifyProof(compact string, want ProofCheck) (*Proof, error) {
	if want.Key == nil && want.Thumbprint == "" {
		return nil, fmt.Errorf("no key given to check it with")
	}
	if want.MaxLen == 0 {
		want.MaxLen = defaultProofLen
	}
	if err := checkCompact(compact, want.MaxLen); err != nil {
		return nil, err
	}
	var key *PublicKey
	claims := jwt.MapClaims{}
	_, err := newParser().ParseWithClaims(compact, claims, func(t *jwt.Token) (any, error) {
		var err error
		if key, err = proofKey(t, want); err != nil {
			return nil, err
		}
		return key.Crypto(), nil
	})
	if err != nil {
		return nil, err
	}
	p := &Proof{Key: key, JKT: key.Thumbprint()}
	if err := p.readIDs(claims); err != nil {
		return nil, err
	}
	if err := checkTarget(claims, want); err != nil {
		return nil, err
	}
	if err := p.checkAge(claims, want); err != nil {
		return nil, err
	}
	return p, nil
}

// newParser leaves the claims to us: it knows neither our leeways nor fractions of a second.
func newParser() *jwt.Parser {
	return jwt.NewParser(jwt.WithValidMethods([]string{"RS256", "ES256", "EdDSA"}),
		jwt.WithStrictDecoding(), jwt.WithJSONNumber(), jwt.WithoutClaimsValidation())
}

// checkCompact lets through three non-empty parts of base64url only: the
// decoder would skip line breaks.
func checkCompact(s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("longer than %d bytes", limit)
	}
	parts := strings.Split(s, ".")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return fmt.Errorf("not three parts")
	}
	for i := range len(s) {
		if c := s[i]; c != '.' && c != '_' && c != '-' && !isAlphanumeric(c) {
			return fmt.Errorf("not base64url")
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func proofKey(t *jwt.Token, want ProofCheck) (*PublicKey, error) {
	if t.Header["typ"] != proofType {
		return nil, fmt.Errorf("typ is not %s", proofType)
	}
	if _, found := t.Header["crit"]; found {
		return nil, fmt.Errorf("crit in header")
	}
	key := want.Key
	if v, found := t.Header["jwk"]; found || key == nil {
		embedded, err := parseJWK(v)
		if err != nil {
			return nil, err
		}
		if key != nil && !key.Equal(embedded) {
			return nil, fmt.Errorf("jwk is not the expected key")
		}
		key = embedded
	}
	if want.Thumbprint != "" && key.Thumbprint() != want.Thumbprint {
		return nil, fmt.Errorf("key does not have the expected thumbprint")
	}
	if t.Method.Alg() != key.Alg() {
		return nil, fmt.Errorf("alg does not fit the key")
	}
	return key, nil
}

func (p *Proof) readIDs(claims jwt.MapClaims) error {
	var ok bool
	if p.JTI, ok = claims["jti"].(string); !ok || p.JTI == "" || len(p.JTI) > maxProofID {
		return fmt.Errorf("jti missing or of a wrong length")
	}
	if v, found := claims["nonce"]; found {
		if p.Nonce, ok = v.(string); !ok || len(p.Nonce) < minNonce || len(p.Nonce) > maxProofID {
			return fmt.Errorf("nonce not a string of %d to %d characters", minNonce, maxProofID)
		}
	}
	return nil
}

func checkTarget(claims jwt.MapClaims, want ProofCheck) error {
	if want.Method == "" || claims["htm"] != want.Method {
		return fmt.Errorf("htm is another method")
	}
	htu, ok := claims["htu"].(string)
	if !ok {
		return fmt.Errorf("htu missing")
	}
	if !matchURL(htu, want.URLs) {
		return fmt.Errorf("htu is another url")
	}
	if want.Token != "" && claims["ath"] != tokenHash(want.Token) {
		return fmt.Errorf("ath is not the hash of the token")
	}
	if aud, found := claims["aud"]; found && want.Audience != "" && !isAudience(aud, want.Audience) {
		return fmt.Errorf("aud is somebody else")
	}
	return nil
}

func matchURL(htu string, allowed []string) bool {
	got, err := normalizeURL(htu)
	if err != nil {
		return false
	}
	for _, a := range allowed {
		if w, err := normalizeURL(a); err == nil && w == got {
			return true
		}
	}
	return false
}

// isAudience takes one audience only: what is meant for several can be passed on among them.
func isAudience(aud any, want string) bool {
	if list, ok := aud.([]any); ok && len(list) == 1 {
		aud = list[0]
	}
	return aud == want
}

func (p *Proof) checkAge(claims jwt.MapClaims, want ProofCheck) error {
	maxAge, leeway, now := want.MaxAge, want.Leeway, want.Now
	if maxAge == 0 {
		maxAge = proofLifetime
	}
	if leeway == 0 {
		leeway = proofLeeway
	}
	if now == nil {
		now = time.Now
	}
	iat, err := numericDate(claims["iat"])
	if err != nil {
		return fmt.Errorf("iat: %w", err)
	}
	t := now()
	if t.Sub(iat) > maxAge {
		return fmt.Errorf("iat is too old")
	}
	if iat.Sub(t) > leeway {
		return fmt.Errorf("iat is in the future")
	}
	if v, found := claims["exp"]; found {
		exp, err := numericDate(v)
		if err != nil {
			return fmt.Errorf("exp: %w", err)
		}
		if t.Sub(exp) > leeway {
			return fmt.Errorf("expired")
		}
	}
	p.IssuedAt = iat
	return nil
}

// numericDate reads a JWT date (RFC 7519 §2) to the millisecond. Its bounds
// keep differences between dates from overflowing.
func numericDate(v any) (time.Time, error) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, fmt.Errorf("missing or not a number")
	}
	f, err := strconv.ParseFloat(n.String(), 64)
	if err != nil || f < 0 || f > 1<<36 {
		return time.Time{}, fmt.Errorf("out of range")
	}
	return time.UnixMilli(int64(math.Round(f * 1000))), nil
}

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
