package identity

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	defaultIssuer      = "pando"
	defaultPending     = 512
	defaultPendingAddr = 128
	handshakeProofAge  = 60 * time.Second
	replayMemory       = 120 * time.Second // more than a proof can be valid
)

// VerifierOptions configure a Verifier. Only Client must be set; its agent is
// the one that peers dial.
type VerifierOptions struct {
	Client *Client
	// Issuer is what tokens signed with the registry's published keys have to
	// name as theirs, default "pando".
	Issuer string
	// PublicURLs are the URLs that peers dial this agent at, ws or wss.
	// Without them, bound tokens are accepted on loopback only.
	PublicURLs []string
	// AllowedOrigins are the values of Origin that browsers may come with. By default there are none.
	AllowedOrigins []string
	// RequireProof refuses tokens that are not bound to a key. Unmodified
	// Python peers have no others.
	RequireProof bool
	// Replay remembers proofs, by default in memory.
	Replay ReplayStore
	// MaxPending is the number of handshakes under verification, in all and
	// for one address (IPv6: one /64), beyond which further ones are refused.
	// Default 512 and 128, negative for no limit.
	MaxPending, MaxPendingPerAddr int

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default()
}

// Verifier decides whether an incoming handshake is let in, and who it is
// from. It is safe for concurrent use.
type Verifier struct {
	o       VerifierOptions
	origins map[string]bool

	mu      sync.Mutex
	pending map[string]int // by address
	total   int
	counts  map[string]uint64
}

// Peer is the verified other end of a handshake.
type Peer struct {
	AgentID string
	JKT     string // thumbprint of the key that the token is bound to, empty if it is not
	TokenID string // jti of the token
	Expires time.Time
	Proven  bool // the peer proved that it has the key
}

// NewVerifier checks the options. The error is ErrInvalidCredentials.
func NewVerifier(o VerifierOptions) (*Verifier, error) {
	const op = "new verifier"
	if o.Client == nil || o.Client.AgentID() == "" {
		return nil, fail(ErrInvalidCredentials, op, "no client with an agent id given")
	}
	for _, u := range o.PublicURLs {
		if _, err := normalizeURL(u); err != nil {
			return nil, fail(ErrInvalidCredentials, op, "public url %q: %w", u, err)
		}
	}
	if o.Issuer == "" {
		o.Issuer = defaultIssuer
	}
	if o.MaxPending == 0 {
		o.MaxPending = defaultPending
	}
	if o.MaxPendingPerAddr == 0 {
		o.MaxPendingPerAddr = defaultPendingAddr
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Replay == nil {
		o.Replay = NewReplayMemory(0, o.Now)
	}
	v := &Verifier{o: o, origins: map[string]bool{}, pending: map[string]int{}, counts: map[string]uint64{}}
	for _, origin := range o.AllowedOrigins {
		v.origins[strings.ToLower(origin)] = true
	}
	return v, nil
}

// Verify checks a handshake before it is upgraded. It blocks while the identity
// registry is asked, until the request's context is done at most. One of the
// results is nil or empty: a refusal is counted and logged already and still
// has to be written.
func (v *Verifier) Verify(r *http.Request) (Peer, *Refusal) {
	peer, refusal := v.verify(r)
	v.mu.Lock()
	if refusal == nil {
		v.counts["accepted"]++
	} else {
		v.counts[refusal.Code]++
	}
	v.mu.Unlock()
	if refusal != nil {
		v.o.Logger.Info("handshake refused", "agent", v.o.Client.AgentID(), "peer", peer.AgentID,
			"address", r.RemoteAddr, "code", refusal.Code, "err", refusal.Reason)
		return Peer{}, refusal
	}
	return peer, nil
}

// Stats returns how many handshakes were "accepted", and refused by code.
func (v *Verifier) Stats() map[string]uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.counts)
}

// verify goes through the checks in the one order in which the first failure
// tells a stranger least and costs least. The subject is filled in as soon as
// it is known.
func (v *Verifier) verify(r *http.Request) (peer Peer, refusal *Refusal) {
	release, ok := v.admit(addressGroup(r.RemoteAddr))
	if !ok {
		return peer, refuse(RefusedOverload, "too many handshakes under verification")
	}
	defer release()
	for _, origin := range r.Header.Values("Origin") {
		if !v.origins[strings.ToLower(origin)] {
			return peer, refuse(RefusedOrigin, fmt.Sprintf("origin %.100q is not listed", origin))
		}
	}
	text, refusal := tokenFrom(r)
	if refusal != nil {
		return peer, refusal
	}
	t, refusal := v.checkToken(r.Context(), text)
	if refusal != nil {
		return peer, refusal
	}
	verified, err := v.o.Client.Verify(r.Context(), text)
	switch {
	case errors.Is(err, ErrRefused) && t.local:
		peer.AgentID = t.subject
		return peer, refuse(RefusedPermission, err.Error())
	case errors.Is(err, ErrRefused):
		return peer, refuse(RefusedToken, err.Error())
	case err != nil:
		return peer, unavailable(err)
	case verified.Subject != t.subject:
		return peer, refuse(RefusedToken, "the registry names another subject than the token")
	}
	peer = Peer{AgentID: t.subject, JKT: t.jkt, TokenID: t.id, Expires: t.expires}
	if verified.Expires.Before(peer.Expires) {
		peer.Expires = verified.Expires
	}
	if t.jkt == "" {
		if v.o.RequireProof {
			return peer, refuse(RefusedUnbound, "the token is not bound to a key")
		}
		return peer, nil
	}
	if refusal := v.checkProof(r, text, t.jkt); refusal != nil {
		return peer, refusal
	}
	peer.Proven = true
	return peer, nil
}

func unavailable(err error) *Refusal {
	f := refuse(RefusedUnavailable, err.Error())
	var e *Error
	if errors.As(err, &e) {
		f.RetryAfter = max(f.RetryAfter, e.RetryAfter)
	}
	return f
}

// admit counts a handshake in, unless there are too many.
func (v *Verifier) admit(addr string) (release func(), ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.o.MaxPending > 0 && v.total >= v.o.MaxPending ||
		v.o.MaxPendingPerAddr > 0 && v.pending[addr] >= v.o.MaxPendingPerAddr {
		return nil, false
	}
	v.total++
	v.pending[addr]++
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.total--
		if v.pending[addr]--; v.pending[addr] == 0 {
			delete(v.pending, addr)
		}
	}, true
}

// addressGroup is what one stranger can be expected to have: an IPv4 address,
// or an IPv6 network of 64 bits.
func addressGroup(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

func tokenFrom(r *http.Request) (string, *Refusal) {
	for name := range r.URL.Query() {
		switch strings.ToLower(name) {
		case "token", "access_token", "authorization":
			return "", refuse(RefusedNoToken, "token in the query")
		}
	}
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", refuse(RefusedNoToken, fmt.Sprintf("%d authorization headers", len(values)))
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "DPoP") {
		return "", refuse(RefusedNoToken, "unknown authorization scheme")
	}
	return token, nil
}

// checkProof checks that the peer has the key that its token is bound to, and
// that it showed this with a proof made for this handshake (RFC 9449 §4.3).
func (v *Verifier) checkProof(r *http.Request, token, jkt string) *Refusal {
	values := r.Header.Values("DPoP")
	if len(values) != 1 {
		return refuse(RefusedProof, fmt.Sprintf("%d proofs", len(values)))
	}
	urls := v.o.PublicURLs
	if len(urls) == 0 {
		derived, ok := loopbackURL(r)
		if !ok {
			return refuse(RefusedProof, "no public url is configured for this agent to compare htu with")
		}
		urls = []string{derived}
	}
	proof, err := VerifyProof(values[0], ProofCheck{
		Method: http.MethodGet, URLs: urls, Token: token, Thumbprint: jkt, Audience: v.o.Client.AgentID(),
		MaxAge: handshakeProofAge, Leeway: proofLeeway, Now: v.o.Now,
	})
	if err != nil {
		return refuse(RefusedProof, err.Error())
	}
	if s, ok := v.o.Replay.(interface{ Since() time.Time }); ok && proof.IssuedAt.Before(s.Since().Truncate(time.Millisecond)) {
		return refuse(RefusedProof, "the proof is older than the memory of used proofs")
	}
	return v.useOnce(r.Context(), proof)
}

func (v *Verifier) useOnce(ctx context.Context, proof *Proof) *Refusal {
	// Both parts are hashed: an id of any length costs the store the same.
	sum := sha256.Sum256([]byte(proof.JKT + "." + proof.JTI))
	fresh, err := v.o.Replay.Insert(ctx, base64.RawURLEncoding.EncodeToString(sum[:]), v.o.Now().Add(replayMemory))
	if err != nil {
		return refuse(RefusedReplayStore, err.Error())
	}
	if !fresh {
		return refuse(RefusedProof, "the proof was used before")
	}
	return nil
}

// loopbackURL returns the URL of a request that did not leave the machine. Both
// ends and the name have to be loopback: behind a proxy on the same machine the
// ends are, but then Host is what a stranger chose, and a malicious agent could
// have had the proof made for that.
func loopbackURL(r *http.Request) (string, bool) {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if local == nil || err != nil || !remote.Addr().Unmap().IsLoopback() {
		return "", false
	}
	own, err := netip.ParseAddrPort(local.String())
	if err != nil || !own.Addr().Unmap().IsLoopback() {
		return "", false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if !isLoopbackHost(strings.Trim(host, "[]")) {
		return "", false
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host + r.URL.EscapedPath(), true
}
