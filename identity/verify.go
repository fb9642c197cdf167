package identity

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"time"
)

// Verified is the identity registry's answer about a token.
type Verified struct {
	Subject string // the agent that the token was given to
	Target  string // the agent that it is for, which is this one
	Expires time.Time

	until time.Time // how long the answer may be used
}

// Verify asks the identity registry whether a token that a peer sent is valid
// for this agent, and whether both still permit each other. It sends no proof:
// an original registry would check it with the wrong key. ErrRefused means no;
// every other error means that there is no answer. Positive answers are used
// again for VerifyTTL.
func (c *Client) Verify(ctx context.Context, token string) (Verified, error) {
	const op = "verify token"
	if c.AgentID() == "" {
		return Verified{}, fail(ErrInvalidCredentials, op, "no agent id given")
	}
	if err := checkCompact(token, maxToken); err != nil {
		return Verified{}, fail(ErrRefused, op, "%w", err)
	}
	sum := sha256.Sum256([]byte(token))
	key := string(sum[:])
	if v, ok := c.verified.get(key); ok && c.o.Now().Before(v.until) {
		return v, nil
	}
	return shared(ctx, c, "verify "+key, func(ctx context.Context) (Verified, error) {
		v, err := c.fetchVerified(ctx, token)
		if err == nil && c.o.VerifyTTL > 0 {
			c.verified.put(key, v)
		}
		return v, err
	})
}

func (c *Client) fetchVerified(ctx context.Context, token string) (Verified, error) {
	const op = "verify token"
	var answer struct {
		Valid   bool        `json:"valid"`
		Subject string      `json:"subject"`
		Target  string      `json:"target"`
		Expires json.Number `json:"expires_at"`
	}
	// The answer is as old as the question, not as its arrival.
	now := c.o.Now()
	err := c.do(ctx, request{
		op: op, method: http.MethodPost, path: "/tokens/verify", repeatable: true,
		prepare: func(h http.Header) (any, error) {
			h.Set("authorization", "Bearer "+token)
			h.Set("target-agent-id", c.AgentID())
			return nil, nil
		},
	}, &answer)
	if err != nil {
		return Verified{}, err
	}
	expires, err := numericDate(answer.Expires)
	if !isUUIDv4(answer.Subject) || err != nil {
		return Verified{}, fail(ErrBadResponse, op, "subject or expires_at missing")
	}
	if !answer.Valid || answer.Target != c.AgentID() {
		return Verified{}, fail(ErrRefused, op, "not valid, or for another agent")
	}
	v := Verified{Subject: answer.Subject, Target: answer.Target, Expires: expires, until: now.Add(c.o.VerifyTTL)}
	if v.Expires.Before(v.until) {
		v.until = v.Expires
	}
	return v, nil
}
