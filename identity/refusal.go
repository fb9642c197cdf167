package identity

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// The codes of Refusal: they are on the wire, in the log and in Verifier.Stats.
const (
	RefusedOverload    = "overloaded"            // 503: too many handshakes under verification
	RefusedOrigin      = "origin_not_allowed"    // 403: a browser from a place that is not listed
	RefusedNoToken     = "missing_token"         // 401: no token, or not in the one place for it
	RefusedToken       = "invalid_token"         // 401: a token that does not hold, or is for another agent
	RefusedPermission  = "forbidden"             // 403: the token is good, but the two may not talk any more
	RefusedProof       = "invalid_dpop_proof"    // 401: a bound token without a proof that holds
	RefusedUnbound     = "proof_required"        // 401: the agent takes bound tokens only
	RefusedUnavailable = "registry_unavailable"  // 503: the identity registry gives no answer
	RefusedReplayStore = "replay_store_unusable" // 503: no proof can be remembered
)

// Refusal says why a handshake is refused. What a stranger gets to see is in
// Status, Code, Message and the headers; Reason is for the log.
type Refusal struct {
	Status       int    // HTTP status
	Code         string // one of the Refused values
	Message      string
	RetryAfter   time.Duration // 0 if trying again makes no sense
	Authenticate string        // WWW-Authenticate, empty for none
	Reason       string
}

// WriteTo answers the handshake with the refusal, as HTTP before any upgrade.
func (f *Refusal) WriteTo(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if f.RetryAfter > 0 {
		seconds := (f.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	if f.Authenticate != "" {
		h.Set("WWW-Authenticate", f.Authenticate)
	}
	w.WriteHeader(f.Status)
	// The peer may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(map[string]string{"error": f.Code, "message": f.Message})
}

const schemes = `Bearer, DPoP algs="RS256 ES256 EdDSA"`

// refuse fills in all that follows from the code.
func refuse(code, reason string) *Refusal {
	f := &Refusal{Status: http.StatusUnauthorized, Code: code, Reason: reason}
	switch code {
	case RefusedOverload:
		f.Status, f.Message, f.RetryAfter = http.StatusServiceUnavailable, "too many handshakes, try again later", time.Second
	case RefusedOrigin:
		f.Status, f.Message = http.StatusForbidden, "this origin is not allowed"
	case RefusedNoToken:
		f.Message, f.Authenticate = "an interaction token is needed in the Authorization header", schemes
	case RefusedToken:
		f.Message, f.Authenticate = "the interaction token is not valid here", `Bearer error="invalid_token"`
	case RefusedPermission:
		f.Status, f.Message = http.StatusForbidden, "the agents do not permit each other"
	case RefusedProof:
		f.Message, f.Authenticate = "the token needs a valid proof of possession", `DPoP error="invalid_dpop_proof"`
	case RefusedUnbound:
		f.Message, f.Authenticate = "only tokens bound to a key are accepted", `DPoP algs="RS256 ES256 EdDSA"`
	case RefusedUnavailable, RefusedReplayStore:
		f.Status, f.Message, f.RetryAfter = http.StatusServiceUnavailable, "verification is not possible at the moment", time.Second
	}
	return f
}
