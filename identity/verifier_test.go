package identity

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// acceptor is an agent that is dialled at testURL, with its registry, and a
// peer whose key its token is bound to.
type acceptor struct {
	t    testing.TB
	g    *testRegistry
	ck   *clock
	v    *Verifier
	peer *Key
	log  *strings.Builder
}

func newAcceptor(t testing.TB, change func(*VerifierOptions)) *acceptor {
	t.Helper()
	a := &acceptor{t: t, ck: newClock(), peer: ed25519Key(), log: &strings.Builder{}}
	a.g = newRegistry(a.ck.now)
	o := VerifierOptions{
		Client: a.g.client(t, testTarget, ed25519Key(), nil), PublicURLs: []string{"wss://other.example/x", "wss://agent.example/ws"},
		Now: a.ck.now, Logger: slog.New(slog.NewTextHandler(a.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	v, err := NewVerifier(o)
	if err != nil {
		t.Fatal(err)
	}
	a.v = v
	return a
}

// token returns a bound token after change has had its way with it.
func (a *acceptor) token(change func(header, claims map[string]any)) string {
	header := map[string]any{}
	if !a.g.original {
		header["kid"] = "k-" + a.g.key.Thumbprint()[:6]
	}
	claims := a.g.claims(testAgent, testTarget)
	claims["cnf"] = map[string]any{"jkt": a.peer.Thumbprint()}
	if change != nil {
		change(header, claims)
	}
	return a.g.sign(header, claims)
}

func (a *acceptor) unbound(change func(header, claims map[string]any)) string {
	return a.token(func(h, c map[string]any) {
		delete(c, "cnf")
		if change != nil {
			change(h, c)
		}
	})
}

func (a *acceptor) proof(token string, change func(*ProofParams)) string {
	a.t.Helper()
	p := ProofParams{Method: "GET", URL: testURL, Token: token, Audience: testTarget, Now: a.ck.now}
	if change != nil {
		change(&p)
	}
	s, err := a.peer.Proof(p)
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

func handshake(token string, proofs ...string) *http.Request {
	r := httptest.NewRequest("GET", "https://agent.example/ws", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	for _, p := range proofs {
		r.Header.Add("DPoP", p)
	}
	return r
}

func (a *acceptor) good() *http.Request {
	token := a.token(nil)
	return handshake(token, a.proof(token, nil))
}

func (a *acceptor) expect(name string, r *http.Request, code string) {
	a.t.Helper()
	before := a.v.Stats()
	peer, refusal := a.v.Verify(r)
	if code == "" {
		if refusal != nil {
			a.t.Errorf("%s: refused with %s: %s", name, refusal.Code, refusal.Reason)
		} else if peer.AgentID != testAgent || peer.TokenID == "" || peer.Expires.IsZero() {
			a.t.Errorf("%s: peer = %+v", name, peer)
		}
		code = "accepted"
	} else if refusal == nil {
		a.t.Errorf("%s: let in as %+v", name, peer)
	} else if refusal.Code != code || peer != (Peer{}) {
		a.t.Errorf("%s: %s (%s), want %s; peer %+v", name, refusal.Code, refusal.Reason, code, peer)
	}
	if after := a.v.Stats(); after[code] != before[code]+1 {
		a.t.Errorf("%s: not counted under %s: %v", name, code, after)
	}
}

func TestPeerIsTheSubjectOfItsToken(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, nil)
	peer, refusal := a.v.Verify(a.good())
	if refusal != nil {
		t.Fatalf("%+v", refusal)
	}
	if peer.AgentID != testAgent || peer.JKT != a.peer.Thumbprint() || !peer.Proven || peer.Expires.Unix() != testNow().Unix()+1800 {
		t.Errorf("peer = %+v", peer)
	}
	peer, refusal = a.v.Verify(handshake(a.unbound(nil), "a proof that nobody looks at"))
	if refusal != nil || peer.AgentID != testAgent || peer.JKT != "" || peer.Proven {
		t.Errorf("unbound: %+v, %+v", peer, refusal)
	}
}

func TestDiallerAndAcceptorAgree(t *testing.T) {
	t.Parallel()
	for alg, key := range allKeys() {
		for _, original := range []bool{false, true} {
			a := newAcceptor(t, nil)
			a.g.original = original
			if original {
				a.g.key = rsaKey()
				if alg != "RS256" {
					continue // an original registry knows no other
				}
			}
			h, token, err := a.g.client(t, testAgent, key, nil).DialHeader(t.Context(), testTarget, "wss://AGENT.example:443/ws?x=1")
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("GET", "https://agent.example/ws?x=1", nil)
			r.Header = h
			peer, refusal := a.v.Verify(r)
			if refusal != nil || peer.AgentID != testAgent || peer.Proven == original || token.Value == "" {
				t.Errorf("%s, original %v: %+v, %+v", alg, original, peer, refusal)
			}
		}
	}
}

func TestRequireProofRefusesUnboundTokens(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, func(o *VerifierOptions) { o.RequireProof = true })
	token := a.unbound(nil)
	a.expect("unbound", handshake(token), RefusedUnbound)
	a.expect("unbound with a proof", handshake(token, a.proof(token, nil)), RefusedUnbound)
	a.expect("bound", a.good(), "")
}

func TestPermissionTakenAwayBetweenIssueAndUseRefuses(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, nil)
	r := a.good()
	a.g.set(func() { a.g.denied = true })
	a.expect("taken away", r, RefusedPermission)
	if log := a.log.String(); !strings.Contains(log, testAgent) {
		t.Errorf("the log does not name the peer: %s", log)
	}
	a.g.set(func() { a.g.denied = false })
	a.expect("given back", r, "")
	token := a.token(nil)
	a.expect("verified", handshake(token, a.proof(token, nil)), "")
	a.g.set(func() { a.g.denied = true })
	a.ck.add(59 * time.Second)
	a.expect("within a minute", handshake(token, a.proof(token, nil)), "")
	a.ck.add(2 * time.Second)
	a.expect("after a minute", handshake(token, a.proof(token, nil)), RefusedPermission)
}

func TestTokensOfAnOriginalRegistryAreVerifiedOnline(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, nil)
	a.g.original, a.g.key = true, rsaKey()
	a.expect("good", handshake(a.unbound(nil)), "")
	a.expect("for another", handshake(a.unbound(func(_, c map[string]any) { c["target"] = testAgent })), RefusedToken)
	forged := a.tamper(a.unbound(nil), map[string]any{"sub": testProvider})
	a.expect("forged subject", handshake(forged), RefusedToken)
	a.g.set(func() { a.g.denied = true })
	a.expect("taken away", handshake(a.unbound(nil)), RefusedToken)
	a.g.set(func() { a.g.denied = false })
	bound := a.token(nil)
	a.expect("bound all the same, no proof", handshake(bound), RefusedProof)
	a.expect("bound all the same", handshake(bound, a.proof(bound, nil)), "")
	if n := a.g.count("/.well-known/jwks.json"); n != 0 {
		t.Errorf("asked %d times for a key set that it has not", n)
	}
	a.g.before = answer(200, `{"valid":true,"subject":"`+testAgent+`","target":"`+testTarget+`","expires_at":1700000000}`)
	if peer, refusal := a.v.Verify(handshake(a.unbound(nil))); refusal != nil || peer.Expires.Unix() != 1700000000 {
		t.Errorf("the registry's earlier end does not count: %+v, %+v", peer, refusal)
	}
	a.g.before = answer(200, `{"valid":true,"subject":"`+testProvider+`","target":"`+testTarget+`","expires_at":1900000000}`)
	a.expect("the registry names another", handshake(a.unbound(nil)), RefusedToken)
}

func TestRegistryThatIsDownIsNoRefusalOfThePeer(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, nil)
	r := a.good()
	a.g.before = answer(503, "", "Retry-After", "30")
	a.expect("no key set", r, RefusedUnavailable)
	_, refusal := a.v.Verify(r)
	if refusal.Status != 503 || refusal.RetryAfter != 30*time.Second {
		t.Errorf("%+v", refusal)
	}
	a.ck.add(time.Second)
	a.g.set(func() { a.g.before = nil })
	a.expect("up", a.good(), "")
	a.g.set(func() { a.g.before = answer(500, "") })
	a.expect("no verification", a.good(), RefusedUnavailable)
}

func TestHandshakesUnderVerificationAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAcceptor(t, func(o *VerifierOptions) { o.MaxPending, o.MaxPendingPerAddr = 4, 2 })
		release := make(chan struct{})
		a.g.before = func(http.ResponseWriter, *http.Request) bool { <-release; return false }
		from := func(addr string) *http.Request {
			r := handshake(a.unbound(nil))
			r.RemoteAddr = addr
			return r
		}
		var wg sync.WaitGroup
		for _, addr := range []string{"192.0.2.1:1", "192.0.2.1:2", "[2001:db8::1]:1"} {
			wg.Go(func() { a.v.Verify(from(addr)) })
		}
		synctest.Wait()
		a.expect("third of an address", from("192.0.2.1:3"), RefusedOverload)
		a.expect("the same address written otherwise", from("[::ffff:192.0.2.1]:3"), RefusedOverload)
		wg.Go(func() { a.v.Verify(from("[2001:db8::2]:1")) })
		synctest.Wait()
		a.expect("fifth in all", from("192.0.2.9:1"), RefusedOverload)
		close(release)
		wg.Wait()
		a.expect("afterwards", from("192.0.2.1:3"), "")
		if len(a.v.pending) != 0 || a.v.total != 0 {
			t.Errorf("left: %v, %d", a.v.pending, a.v.total)
		}
	})
}

func TestAddressesAreGroupedByWhatOneStrangerHas(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.1:1": "192.0.2.1", "[::ffff:192.0.2.1]:1": "192.0.2.1", "[2001:db8::1]:1": "2001:db8::/64",
		"[2001:db8:0:0:ffff::9]:1": "2001:db8::/64", "[fe80::1%eth0]:1": "fe80::/64", "pipe": "pipe",
	} {
		if got := addressGroup(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestCallerThatLeavesIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAcceptor(t, nil)
		release := make(chan struct{})
		a.g.before = func(http.ResponseWriter, *http.Request) bool { <-release; return false }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a.expect("gone", a.good().WithContext(ctx), RefusedUnavailable)
		close(release)
		synctest.Wait()
	})
}

func TestURLIsDerivedFromHostOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ local, remote, host, code string }{
		{"127.0.0.1:9000", "127.0.0.1:50000", "127.0.0.1:9000", ""},
		{"127.0.0.1:9000", "127.0.0.1:50000", "localhost:9000", ""},
		{"[::1]:9000", "[::1]:50000", "[::1]:9000", ""},
		{"192.0.2.1:9000", "127.0.0.1:50000", "127.0.0.1:9000", RefusedProof},
		{"127.0.0.1:9000", "192.0.2.9:50000", "127.0.0.1:9000", RefusedProof},
		{"", "127.0.0.1:50000", "127.0.0.1:9000", RefusedProof},
		// A reverse proxy on this machine that passes Host on.
		{"127.0.0.1:9000", "127.0.0.1:50000", "evil.example", RefusedProof},
		{"127.0.0.1:9000", "127.0.0.1:50000", "", RefusedProof},
	} {
		a := newAcceptor(t, func(o *VerifierOptions) { o.PublicURLs = nil })
		token := a.token(nil)
		host := test.host
		if host == "" {
			host = "127.0.0.1:9000"
		}
		r := handshake(token, a.proof(token, func(p *ProofParams) { p.URL = "ws://" + host + "/ws" }))
		r.TLS, r.Host, r.RemoteAddr = nil, test.host, test.remote
		if test.local != "" {
			addr, err := net.ResolveTCPAddr("tcp", test.local)
			if err != nil {
				t.Fatal(err)
			}
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr))
		}
		a.expect(test.local+" "+test.remote+" "+test.host, r, test.code)
	}
}

func TestVerifierWorksBehindARealServer(t *testing.T) {
	t.Parallel()
	a := newAcceptor(t, func(o *VerifierOptions) { o.PublicURLs = nil })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, refusal := a.v.Verify(r); refusal != nil {
			refusal.WriteTo(w)
		}
	}))
	t.Cleanup(server.Close)
	dialler := a.g.client(t, testAgent, a.peer, nil)
	wsURL := "ws" + strings.TrimPrefix(server.URL, "http") + "/a%2fb?x=1"
	h, _, err := dialler.DialHeader(t.Context(), testTarget, wsURL)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{200, 401} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/a%2fb?x=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = h
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != want {
			t.Errorf("attempt %d: %d, %v", i, resp.StatusCode, err)
		}
		if want == 401 && resp.Header.Get("WWW-Authenticate") != `DPoP error="invalid_dpop_proof"` {
			t.Errorf("headers %v", resp.Header)
		}
	}
}

func TestRefusalTellsAStrangerNoMoreThanItsCode(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]struct {
		status       int
		retry, authn string
	}{
		RefusedOverload:    {503, "1", ""},
		RefusedOrigin:      {403, "", ""},
		RefusedNoToken:     {401, "", `Bearer, DPoP algs="RS256 ES256 EdDSA"`},
		RefusedToken:       {401, "", `Bearer error="invalid_token"`},
		RefusedPermission:  {403, "", ""},
		RefusedProof:       {401, "", `DPoP error="invalid_dpop_proof"`},
		RefusedUnbound:     {401, "", `DPoP algs="RS256 ES256 EdDSA"`},
		RefusedUnavailable: {503, "1", ""},
		RefusedReplayStore: {503, "1", ""},
	} {
		w := httptest.NewRecorder()
		refuse(code, "the inner reason").WriteTo(w)
		var body map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if w.Code != want.status || w.Header().Get("Retry-After") != want.retry || w.Header().Get("WWW-Authenticate") != want.authn {
			t.Errorf("%s: %d %v", code, w.Code, w.Header())
		}
		if len(body) != 2 || body["error"] != code || body["message"] == "" || strings.Contains(w.Body.String(), "inner") {
			t.Errorf("%s: %s", code, w.Body)
		}
	}
}

func TestVerifierOptionsAreChecked(t *testing.T) {
	t.Parallel()
	c := newRegistry(testNow).client(t, testTarget, ed25519Key(), nil)
	nobody, err := NewClient(ClientOptions{Credentials: Credentials{RegistryURL: "https://registry.example"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nobody.Close)
	for name, o := range map[string]VerifierOptions{
		"no client":      {},
		"no agent":       {Client: nobody},
		"bad public url": {Client: c, PublicURLs: []string{"agent.example/ws"}},
	} {
		if _, err := NewVerifier(o); !errors.Is(err, ErrInvalidCredentials) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
}
