package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const maxToken = 8 << 10

// Token is an interaction token: the identity registry's word that this agent
// may open channels to one other. It prints without its value.
type Token struct {
	Value   string `json:"-"`
	Expires time.Time
	Type    string // "DPoP" if it is bound to the agent's key, else "Bearer"
	PeerJKT string // thumbprint of the target's registered key, empty if the registry does not say

	renew time.Time // when to get another one
}

// String tells what the token is without its value.
func (t Token) String() string {
	return fmt.Sprintf("%s token until %s", t.Type, t.Expires.UTC().Format(time.RFC3339))
}

// Format writes String whatever the verb, so that no verb shows the value.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue is String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Token returns an interaction token for target, an agent id. One that was got
// before is used again until shortly before it expires: 60 s, or a tenth of its
// life if that is less. While the registry is down it is used until it expires.
// ErrRefused means that the registry does not take the credentials, or that one
// of the two agents does not permit the other; it does not say which.
func (c *Client) Token(ctx context.Context, target string) (Token, error) {
	const op = "get token"
	if err := c.needAgent(op); err != nil {
		return Token{}, err
	}
	if !isUUIDv4(target) {
		return Token{}, fail(ErrInvalidRequest, op, "the target is not a UUIDv4 in lower case")
	}
	if t, ok := c.tokens.get(target); ok && c.o.Now().Before(t.renew) {
		return t, nil
	}
	return shared(ctx, c, "token "+target, func(ctx context.Context) (Token, error) {
		old, ok := c.tokens.get(target)
		if ok && c.o.Now().Before(old.renew) {
			return old, nil // another caller was a moment earlier
		}
		t, err := c.fetchToken(ctx, target)
		if err == nil {
			c.tokens.put(target, t)
			return t, nil
		}
		if ok && c.o.Now().Before(old.Expires) && (errors.Is(err, ErrUnavailable) || errors.Is(err, ErrRateLimited)) {
			c.o.Logger.Warn("token not renewed, using it until it expires", "peer", target, "err", err)
			return old, nil
		}
		return Token{}, err
	})
}

// Drop forgets the token for target if it is the one with this value. Call it
// when the target answers 401, so that the next Token asks for a new one.
func (c *Client) Drop(target, value string) {
	c.tokens.drop(target, func(t Token) bool { return t.Value == value })
}

func (c *Client) fetchToken(ctx context.Context, target string) (Token, error) {
	const op = "get token"
	var answer struct {
		Token     string    `json:"token"`
		Target    string    `json:"target_agent_id"`
		ExpiresAt time.Time `json:"expires_at"`
		Type      string    `json:"token_type"`
	}
	start := c.o.Now()
	err := c.do(ctx, request{
		op: op, method: http.MethodPost, path: "/tokens/create", repeatable: true,
		prepare: func(h http.Header) (any, error) { return c.tokenRequest(h, target) },
	}, &answer)
	if err != nil {
		return Token{}, err
	}
	if checkCompact(answer.Token, maxToken) != nil || answer.Target != target || answer.ExpiresAt.IsZero() {
		return Token{}, fail(ErrBadResponse, op, "the answer holds no token for the target")
	}
	t := Token{Value: answer.Token, Expires: answer.ExpiresAt, Type: "Bearer", PeerJKT: peerThumbprint(answer.Token)}
	if answer.Type == "DPoP" {
		t.Type = "DPoP"
	}
	t.renew = t.Expires.Add(-min(time.Minute, t.Expires.Sub(start)/10))
	return t, nil
}

func (c *Client) tokenRequest(h http.Header, target string) (any, error) {
	p := ProofParams{Method: http.MethodPost, URL: c.url("/tokens/create"), Now: c.o.Now, Random: c.o.Random}
	key := c.o.Credentials.Key
	if key.Public().Type() == KeyRSA {
		// An original registry demands a nonce and knows RSA only; ours knows proofs by jti.
		nonce, err := c.nonce()
		if err != nil {
			return nil, err
		}
		p.Nonce = nonce
	}
	proof, err := key.Proof(p)
	if err != nil {
		return nil, err
	}
	h.Set("agent-id", c.o.Credentials.AgentID)
	h.Set("agent-secret", c.o.Credentials.AgentSecret)
	h.Set("dpop", proof)
	h.Set("dpop-public-key", key.Public().HeaderValue())
	return map[string]string{"target_agent_id": target, "dpop_proof": proof, "bind": "dpop"}, nil
}

// nonce is made as the Python SDK does: one and a half UUIDs.
func (c *Client) nonce() (string, error) {
	a, err1 := uuid.NewRandomFromReader(c.o.Random)
	b, err2 := uuid.NewRandomFromReader(c.o.Random)
	if err := errors.Join(err1, err2); err != nil {
		return "", fail(ErrInvalidProof, "make nonce", "read randomness: %w", err)
	}
	return a.String() + b.String()[:16], nil
}

// peerThumbprint reads peer.jkt. The token needs no check here: it came from
// the registry itself, over TLS.
func peerThumbprint(token string) string {
	claims := jwt.MapClaims{}
	if _, _, err := newParser().ParseUnverified(token, claims); err != nil {
		return ""
	}
	peer, _ := claims["peer"].(map[string]any)
	jkt, _ := peer["jkt"].(string)
	return jkt
}

// DialHeader returns the headers of a handshake with target at wsURL, a ws or
// wss URL: the token and a new proof for this one request. The token is
// returned too, for Drop and to compare PeerJKT. Errors are those of Token and
// Proof.
func (c *Client) DialHeader(ctx context.Context, target, wsURL string) (http.Header, Token, error) {
	token, err := c.Token(ctx, target)
	if err != nil {
		return nil, Token{}, err
	}
	proof, err := c.o.Credentials.Key.Proof(ProofParams{
		Method: http.MethodGet, URL: wsURL, Token: token.Value, Audience: target, Now: c.o.Now, Random: c.o.Random,
	})
	if err != nil {
		return nil, Token{}, err
	}
	h := http.Header{}
	h.Set("Authorization", "Bearer "+token.Value)
	h.Set("DPoP", proof)
	return h, token, nil
}
