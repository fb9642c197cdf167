package identity

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	keySetAge      = 10 * time.Minute // after this it is fetched again
	keySetInterval = 10 * time.Second // strangers can make us ask no more often
	keySetRetry    = time.Second      // the same after a failure
	maxKeys        = 64
)

// keySet holds the keys that the identity registry signs tokens with.
type keySet struct {
	mu      sync.Mutex
	keys    map[string]*PublicKey
	fetched time.Time // of keys
	next    time.Time // no request before this
	err     error     // of the last request
}

// SigningKey returns the key with which the identity registry signs tokens
// under this key id (RFC 7517). The set is fetched when it is first needed,
// every ten minutes, and for an unknown id, but for these no more often than
// every ten seconds. ErrInvalidToken means that there is no such key; an
// original registry publishes none.
func (c *Client) SigningKey(ctx context.Context, kid string) (*PublicKey, error) {
	old, settled, err := c.keys.lookup(kid, c.o.Now())
	if settled {
		return old, err
	}
	_, err = shared(ctx, c, "keys", func(ctx context.Context) (struct{}, error) {
		if _, settled, err := c.keys.lookup(kid, c.o.Now()); settled {
			return struct{}{}, err // another caller was a moment earlier
		}
		keys, err := c.fetchKeys(ctx)
		c.keys.store(keys, err, c.o.Now())
		return struct{}{}, err
	})
	switch {
	case err != nil && old != nil:
		// Every handshake is checked online as well, so an old set does no harm.
		c.o.Logger.Warn("key set not refreshed, using the old one", "err", err)
		return old, nil
	case err != nil:
		return nil, err
	}
	key, _, err := c.keys.lookup(kid, c.o.Now())
	return key, err
}

// lookup returns what the set knows, and whether that is settled: false means
// that a request for the set is due.
func (s *keySet) lookup(kid string, now time.Time) (key *PublicKey, settled bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key = s.keys[kid]
	due := !now.Before(s.next)
	switch {
	case key != nil:
		return key, !due || now.Sub(s.fetched) < keySetAge, nil
	case s.err != nil:
		return nil, !due, s.err
	default:
		return nil, !due, fail(ErrInvalidToken, "find signing key", "the registry has no key with this id")
	}
}

func (s *keySet) store(keys map[string]*PublicKey, err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	if err != nil {
		s.next = now.Add(keySetRetry)
		return
	}
	s.keys, s.fetched, s.next = keys, now, now.Add(keySetInterval)
}

func (c *Client) fetchKeys(ctx context.Context) (map[string]*PublicKey, error) {
	var answer struct {
		Keys []map[string]any `json:"keys"`
	}
	err := c.do(ctx, request{
		op: "get key set", method: http.MethodGet, path: "/.well-known/jwks.json", repeatable: true,
		prepare: func(http.Header) (any, error) { return nil, nil },
	}, &answer)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(answer.Keys) > maxKeys {
		return nil, fail(ErrBadResponse, "get key set", "more than %d keys", maxKeys)
	}
	keys := map[string]*PublicKey{}
	for _, m := range answer.Keys {
		kid, ok := m["kid"].(string)
		if use, found := m["use"]; !ok || kid == "" || found && use != "sig" {
			continue
		}
		// Kinds that we do not know may be there for others.
		if key, err := parseJWK(m); err == nil && keys[kid] == nil {
			keys[kid] = key
		}
	}
	return keys, nil
}
