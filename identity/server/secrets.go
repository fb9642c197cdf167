package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
)

// secretHash is what the registry keeps of a secret: its HMAC-SHA256 under a key
// that is not in the database. A secret has 256 random bits, so no slow hash is
// needed; a copy of the database alone is worth nothing either way.
type secretHash [sha256.Size]byte

// secrets makes and recognises secrets. It is safe for concurrent use.
type secrets struct {
	key    []byte
	random io.Reader
}

// create returns a new secret, 43 characters of URL-safe base64, and its hash.
func (s *secrets) create() (text string, hash secretHash, err error) {
	var raw [32]byte
	if _, err := io.ReadFull(s.random, raw[:]); err != nil {
		return "", hash, fmt.Errorf("make a secret: %w", err)
	}
	text = base64.RawURLEncoding.EncodeToString(raw[:])
	return text, s.hash(text), nil
}

func (s *secrets) hash(text string) (h secretHash) {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(text))
	mac.Sum(h[:0])
	return h
}

// same compares in constant time. A zero hash belongs to no secret.
func (h secretHash) same(other secretHash) bool {
	return subtle.ConstantTimeCompare(h[:], other[:]) == 1
}
